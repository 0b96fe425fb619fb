//! Cancelling. Only while nobody has touched the on-ramp effect; the claim and this contend on its row.

use super::{Answer, Decision};
use crate::account::AccountKind::{Available, Held};
use crate::effect::{EffectKind, EffectStatus};
use crate::id::TransferId;
use crate::posting::{Journal, PostingCode};
use crate::refusal::Refusal;
use crate::tenant::TenantNo;
use crate::time::Timestamp;
use crate::transfer::{Transfer, TransferState};
use crate::world::{Change, World};

use super::report::{advance, usage_after_end};

/// Cancels a funded transfer whose on-ramp was not instructed. `failure` says why, if it was not the tenant's wish.
pub(super) fn transfer(
    world: &World,
    tenant: TenantNo,
    id: TransferId,
    failure: Option<&str>,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let transfer = world.transfers.get(&(tenant, id)).ok_or(Refusal::TransferNotFound)?;
    let effect = EffectKind::OnRamp.id_on_leg(id.0, transfer.progress.order_leg());
    let untouched = world.effects.get(&(tenant, effect)) == Some(&EffectStatus::Untouched);
    if transfer.state != TransferState::Funded || !untouched {
        return Err(Refusal::NotCancellable);
    }
    let mut journal = Journal::new(tenant, id.0);
    journal.within(PostingCode::Release, Held, Available, transfer.terms.debit);
    let mut changes = vec![Change::EffectMoved(tenant, effect, EffectStatus::Cancelled)];
    changes.extend(journal.into_postings().into_iter().map(Change::Posted));
    changes.push(give_back_the_day(world, transfer));
    let cancelled =
        advance(transfer, TransferState::Cancelled, now, |p| p.failure = failure.map(str::to_owned), &mut changes);
    Ok(Decision { changes, answer: Answer::Transfer(cancelled) })
}

/// A cancelled transfer no longer counts against the day it was created on, if that is the day still counted.
fn give_back_the_day(world: &World, transfer: &Transfer) -> Change {
    let mut usage = usage_after_end(world, transfer);
    if usage.day == transfer.created_at.utc_day() {
        usage.day_total = (usage.day_total - transfer.terms.debit.minor).max(0);
    }
    Change::UsageChanged(transfer.tenant, transfer.terms.debit.currency, usage)
}
