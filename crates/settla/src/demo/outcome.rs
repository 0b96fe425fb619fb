//! Checks, and what a part of the story ends with.

use super::api::{Position, Transfer};
use super::show;
use crate::failure::Failure;
use settla_domain::money::Money;
use settla_domain::transfer::TransferState;

/// Something that has to be so.
pub(super) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::new(otherwise())) }
}

/// The state that a transfer has to have ended in.
pub(super) fn ensure_state(transfer: &Transfer, state: TransferState) -> Result<(), Failure> {
    ensure(transfer.state == state, || {
        let reason = transfer.failure.as_deref().unwrap_or("none");
        format!("{} is {}, not {} (failure: {reason})", transfer.reference, transfer.state.name(), state.name())
    })
}

/// A position before and after.
#[derive(Clone, Copy)]
pub(super) struct Change {
    pub before: Position,
    pub after: Position,
}

impl Change {
    /// What was added to the available part.
    pub(super) fn available(&self) -> Money {
        Money::new(self.before.currency, self.after.available.minor - self.before.available.minor)
    }

    /// The available part has to have changed by just this, and nothing may be held or on its way any more.
    pub(super) fn ensure(&self, minor: i128) -> Result<(), Failure> {
        let expected = Money::new(self.before.currency, minor);
        ensure(self.available() == expected, || {
            format!("the position has changed by {}, not by {expected}", self.available())
        })?;
        let rest = [self.after.held, self.after.in_transit];
        ensure(rest.iter().all(|part| part.minor == 0), || {
            format!("{} are still held and {} in transit", rest[0], rest[1])
        })
    }
}

/// Sums of one account or one currency.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub debits: i128,
    pub credits: i128,
}

/// How a part of the story ended, after its checks.
pub(super) struct Outcome {
    /// What was wrong.
    pub title: &'static str,
    /// What was found, each a checked fact.
    pub facts: Vec<String>,
    /// The positions that it may have touched.
    pub positions: Vec<Change>,
}

impl Outcome {
    /// Shows it.
    pub(super) fn show(&self, number: &str) {
        show::heading(number, self.title);
        for fact in &self.facts {
            show::checked(fact);
        }
        show::positions(&self.positions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settla_domain::money::Currency;

    fn position(available: i128, held: i128) -> Position {
        let mut position = Position::none(Currency::GBP);
        position.available.minor = available;
        position.held.minor = held;
        position
    }

    #[test]
    fn a_change_has_to_be_exact_and_leave_nothing_held() {
        let change = |after| Change { before: position(1_000, 0), after };
        assert!(change(position(900, 0)).ensure(-100).is_ok());
        assert!(change(position(901, 0)).ensure(-100).is_err());
        assert!(change(position(900, 1)).ensure(-100).is_err());
    }
}
