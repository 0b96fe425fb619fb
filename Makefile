# What a newcomer needs: `make demo` and `make test`.

SHELL := bash
CARGO ?= cargo
BENCH_RATE ?= 50
BENCH_SECONDS ?= 30

# cargo-nextest is used where it is installed; `cargo test` runs the same tests.
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

.PHONY: help setup demo test soak bench fmt lint doc clean-dev
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: ## install what is missing (PostgreSQL, the tools of tools/)
	@scripts/setup.sh

demo: setup ## build, start everything, settle payments and show it
	$(CARGO) build --bin settla
	target/debug/settla demo

test: setup ## every test; what takes long runs in a short form
	@$(call run_tests,default)

soak: export SETTLA_SOAK := 1
soak: setup ## every test with its full counts; takes long
	@$(call run_tests,soak)

bench: setup ## load on a local system; BENCH_RATE=50 BENCH_SECONDS=30
	$(CARGO) build --release --bin settla
	target/release/settla bench --rate $(BENCH_RATE) --seconds $(BENCH_SECONDS) --json

fmt: ## format the code
	$(CARGO) fmt --all

lint: ## format check and clippy, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

doc: ## the code's documentation, warnings are errors
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --no-deps --workspace

clean-dev: ## stop the parts of `settla dev` and of tests, remove their data
	@$(CARGO) run --quiet --bin devkit-stop -- .settla
	@$(CARGO) run --quiet --bin devkit-stop
	rm -rf .settla target/test-postgres

# All tests, the runner's summary last. Whatever they leave running (the shared Postgres) is stopped
# in any case, and the result of the tests is what counts.
define run_tests
	set -o pipefail; \
	stop() { $(CARGO) run --quiet --bin devkit-stop; }; \
	$(CARGO) build --quiet --bin devkit-stop || exit 1; \
	trap stop EXIT; \
	status=0; \
	if [ "$(NEXTEST)" = yes ]; then \
		$(CARGO) test --workspace --doc --quiet || status=$$?; \
		$(CARGO) nextest run --workspace --profile $(1) || status=$$?; \
	else \
		RUST_TEST_THREADS=4 $(CARGO) test --workspace --no-fail-fast || status=$$?; \
	fi; \
	exit $$status
endef
