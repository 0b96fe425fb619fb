//! `decide`: state and a command in, changes and an answer out. Pure.
//!
//! A refusal changes nothing. A finding that comes twice, late or out of order changes nothing either, and
//! says so ([`Answer::Nothing`]).

mod cancel;
mod create;
mod money_in;
mod money_out;
mod report;
mod review;
mod sale;
#[cfg(test)]
mod tests;

use crate::beneficiary::MaskedBeneficiary;
use crate::finding::Finding;
use crate::id::{EffectId, QuoteId, TransferId};
use crate::quote::Quote;
use crate::refusal::Refusal;
use crate::review::Decided;
use crate::tenant::TenantNo;
use crate::time::Timestamp;
use crate::topup::{BankCredit, Topup};
use crate::transfer::{Settlement, Transfer};
use crate::withdrawal::Withdrawal;
use crate::world::{Change, World};
use uuid::Uuid;

/// Something to be decided.
#[expect(clippy::large_enum_variant, reason = "handed on by reference; a box would cost more than the copy")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Keep a priced quote.
    CreateQuote(Quote),
    /// Start a transfer.
    CreateTransfer(CreateTransfer),
    /// Call a transfer off.
    CancelTransfer {
        /// Whose.
        tenant: TenantNo,
        /// Which.
        transfer: TransferId,
    },
    /// Call a transfer off that nothing has happened to for too long.
    ExpireHold {
        /// Whose.
        tenant: TenantNo,
        /// Which.
        transfer: TransferId,
    },
    /// Announce a top-up.
    CreateTopup(Topup),
    /// The bank credited us. `id` names the credit's postings if it is new.
    BankCredit {
        /// Id for the postings.
        id: Uuid,
        /// The statement's entry.
        credit: BankCredit,
        /// The tenant whose sale it names, if it names one.
        sale_of: Option<TenantNo>,
    },
    /// Take money out.
    CreateWithdrawal(Withdrawal),
    /// Two people have decided about a payment under review.
    Decide(Decided),
    /// A worker found something out about an effect of a transfer or withdrawal.
    Report(Report),
}

/// The wish to start a transfer from a quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTransfer {
    /// Whose.
    pub tenant: TenantNo,
    /// The new transfer's id.
    pub id: TransferId,
    /// The quote to use.
    pub quote: QuoteId,
    /// The tenant's own reference.
    pub reference: String,
    /// To whom, masked.
    pub beneficiary: MaskedBeneficiary,
    /// How its tokens go to the off-ramp.
    pub settlement: Settlement,
}

/// A finding about an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whose effect.
    pub tenant: TenantNo,
    /// The transfer or withdrawal.
    pub subject: Uuid,
    /// The effect.
    pub effect: EffectId,
    /// What was found.
    pub finding: Finding,
}

/// What the caller is told.
#[expect(clippy::large_enum_variant, reason = "made once a command and moved to one caller")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The quote.
    Quote(Quote),
    /// The transfer as this command left it.
    Transfer(Transfer),
    /// The top-up.
    Topup(Topup),
    /// The withdrawal.
    Withdrawal(Withdrawal),
    /// The finding was applied.
    Applied,
    /// It had been applied before, or comes too late to matter.
    Nothing,
    /// It is a success of something whose end was another: money may have moved that our books know nothing of. Nothing
    /// was changed; people must look.
    Contradicts,
}

/// What a command leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// To be applied in this order.
    pub changes: Vec<Change>,
    /// For the caller.
    pub answer: Answer,
}

impl Decision {
    fn nothing() -> Self {
        Self { changes: Vec::new(), answer: Answer::Nothing }
    }
}

/// Decides one command against the state of its batch.
pub fn decide(world: &World, command: &Command, now: Timestamp) -> Result<Decision, Refusal> {
    match command {
        Command::CreateQuote(quote) => create::quote(world, quote),
        Command::CreateTransfer(create) => create::transfer(world, create, now),
        Command::CancelTransfer { tenant, transfer } => cancel::transfer(world, *tenant, *transfer, None, now),
        Command::ExpireHold { tenant, transfer } => {
            cancel::transfer(world, *tenant, *transfer, Some("hold_expired"), now)
        }
        Command::CreateTopup(topup) => money_in::announce(world, topup),
        Command::BankCredit { id, credit, sale_of } => Ok(money_in::credit(world, *id, credit, *sale_of, now)),
        Command::CreateWithdrawal(withdrawal) => money_out::create(world, withdrawal),
        Command::Decide(decided) => review::decided(world, decided, now),
        Command::Report(report) => Ok(report::finding(world, report, now)),
    }
}
