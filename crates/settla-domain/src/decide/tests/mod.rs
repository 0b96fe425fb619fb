//! The engine under test. Every command of every test here goes through the [`desk`](desk), which keeps
//! books of its own beside the engine's positions and audits both after each step.

// 1_000_01 is GBP 1,000.01.
#![allow(clippy::inconsistent_digit_grouping)]

mod audit;
mod books;
mod chaos;
mod commands;
mod desk;
mod elsewhere;
mod explained;
mod funding;
mod guard;
mod limits;
mod model;
mod money_in_and_out;
mod orders;
mod outcomes;
mod postings;
mod quotes;
mod reports;
mod reviews;

/// Cases of a property: a modest number at every run, twenty times as many under `make soak`.
fn cases(short: u32) -> proptest::test_runner::Config {
    let soak = std::env::var_os("SETTLA_SOAK").is_some_and(|value| value == "1");
    proptest::test_runner::Config {
        cases: if soak { short * 20 } else { short },
        // The failing input is printed, shrunk; nothing is written beside the sources.
        failure_persistence: None,
        ..Default::default()
    }
}
