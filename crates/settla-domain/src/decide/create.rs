//! Quotes are kept; a transfer is created and funded in one decision, or refused and leaves nothing.

use super::{Answer, CreateTransfer, Decision};
use crate::account::AccountKind::{Available, Held};
use crate::beneficiary::is_paid_in;
use crate::effect::{Effect, EffectOrder};
use crate::event::Event;
use crate::limit::{Limits, Usage};
use crate::posting::{Journal, PostingCode};
use crate::quote::Quote;
use crate::refusal::Refusal;
use crate::tenant::{TenantNo, TenantStatus, TenantTerms};
use crate::time::Timestamp;
use crate::transfer::{Progress, Transfer, TransferState};
use crate::world::{Change, World};

/// Keeps a quote that was priced before.
pub(super) fn quote(world: &World, quote: &Quote) -> Result<Decision, Refusal> {
    active(world, quote.tenant)?;
    Ok(Decision { changes: vec![Change::QuoteCreated(quote.clone())], answer: Answer::Quote(quote.clone()) })
}

/// The tenant's terms, if it may start new money.
pub(super) fn active(world: &World, tenant: TenantNo) -> Result<&TenantTerms, Refusal> {
    world.tenants.get(&tenant).filter(|t| t.status == TenantStatus::Active).ok_or(Refusal::TenantNotActive)
}

/// Creates and funds a transfer: quote used, limits counted, debit held, on-ramp ordered.
pub(super) fn transfer(world: &World, create: &CreateTransfer, now: Timestamp) -> Result<Decision, Refusal> {
    let terms = active(world, create.tenant)?;
    let quote = world.quotes.get(&(create.tenant, create.quote)).ok_or(Refusal::QuoteNotFound)?;
    if quote.used {
        return Err(Refusal::QuoteUsed);
    }
    if now >= quote.expires_at {
        return Err(Refusal::QuoteExpired);
    }
    if !is_paid_in(quote.terms.destination.currency, &create.beneficiary.country) {
        return Err(Refusal::CurrencyNotPaidHere);
    }
    let debit = quote.terms.debit;
    let position = world.position(create.tenant, debit.currency);
    let limits = terms.limits.get(&debit.currency).ok_or(Refusal::CorridorNotOffered)?;
    let usage = within_limits(limits, &position.usage, debit.minor, now)?;
    if position.available < debit.minor {
        return Err(Refusal::InsufficientFunds);
    }

    let transfer = Transfer {
        id: create.id,
        tenant: create.tenant,
        quote: quote.id,
        terms: quote.terms.clone(),
        reference: create.reference.clone(),
        beneficiary: create.beneficiary.clone(),
        settlement: create.settlement,
        state: TransferState::Funded,
        version: 1,
        progress: Progress::default(),
        created_at: now,
        updated_at: now,
    };
    let mut journal = Journal::new(create.tenant, create.id.0);
    journal.within(PostingCode::Hold, Available, Held, debit);
    let order = Effect::OnRamp {
        provider: quote.terms.route.on_ramp.clone(),
        source: quote.terms.source,
        expected: quote.terms.bought,
    };
    let mut changes = vec![
        Change::QuoteUsed(create.tenant, quote.id),
        Change::TransferCreated(transfer.clone()),
        Change::UsageChanged(create.tenant, debit.currency, usage),
    ];
    changes.extend(journal.into_postings().into_iter().map(Change::Posted));
    changes.push(Change::EffectOrdered(EffectOrder::new(create.tenant, create.id.0, 0, order)));
    changes.push(Change::Happened(Event::of_transfer(&transfer)));
    Ok(Decision { changes, answer: Answer::Transfer(transfer) })
}

/// What will have been used after `debit`, or which limit forbids it.
fn within_limits(limits: &Limits, usage: &Usage, debit: i128, now: Timestamp) -> Result<Usage, Refusal> {
    if debit > i128::from(limits.per_transfer) {
        return Err(Refusal::LimitPerTransfer);
    }
    // Servers' clocks differ a little around midnight: one that lags must not reset the day another began. A day further
    // ahead was written by a clock that was wrong, and must not stand until it comes.
    let today = now.utc_day();
    let day = if usage.day == today + 1 { usage.day } else { today };
    let after = Usage { day, day_total: usage.on_day(day) + debit, pending: usage.pending + debit };
    if after.day_total > i128::from(limits.per_day) {
        return Err(Refusal::LimitPerDay);
    }
    if after.pending > i128::from(limits.pending) {
        return Err(Refusal::LimitPending);
    }
    Ok(after)
}
