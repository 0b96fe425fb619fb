//! Top-ups. A position grows only by what the bank's statement says it received.

use super::create::active;
use super::{Answer, Decision, sale};
use crate::account::{AccountId, AccountKind};
use crate::event::{Event, EventData};
use crate::money::Money;
use crate::posting::{Journal, PostingCode};
use crate::refusal::Refusal;
use crate::tenant::TenantNo;
use crate::time::Timestamp;
use crate::topup::{BankCredit, Topup};
use crate::world::{Change, World};
use uuid::Uuid;

/// Keeps the announcement. It moves no money.
pub(super) fn announce(world: &World, topup: &Topup) -> Result<Decision, Refusal> {
    let terms = active(world, topup.tenant)?;
    if topup.expected.currency.is_stable() || !terms.limits.contains_key(&topup.expected.currency) {
        return Err(Refusal::CorridorNotOffered);
    }
    Ok(Decision { changes: vec![Change::TopupCreated(topup.clone())], answer: Answer::Topup(topup.clone()) })
}

/// Credits what the bank received: to the transfer whose sale it is, or to the tenant whose reference it carries, in the
/// currency announced; else to suspense, where people look at it. An entry is applied once.
pub(super) fn credit(
    world: &World,
    id: Uuid,
    credit: &BankCredit,
    sale_of: Option<TenantNo>,
    now: Timestamp,
) -> Decision {
    if world.bank_entries.contains(&credit.entry_id) || credit.amount.minor <= 0 {
        return Decision::nothing();
    }
    if let Some(decision) = sale_of.and_then(|tenant| sale::paid(world, tenant, id, credit, now)) {
        return decision;
    }
    let bank = AccountId::platform(AccountKind::Bank);
    let mut changes = vec![Change::BankEntryApplied(credit.entry_id.clone())];
    let topup = world.topups.get(&credit.reference).filter(|t| t.expected.currency == credit.amount.currency);
    let postings = match topup {
        Some(topup) => {
            let mut journal = Journal::new(topup.tenant, id);
            let account = AccountId::tenant(topup.tenant, AccountKind::Available);
            journal.post(PostingCode::Topup, bank, account, credit.amount);
            let credited = Topup { credited: topup.credited + credit.amount.minor, ..topup.clone() };
            changes.push(Change::TopupChanged(credited));
            changes.push(Change::Happened(event(topup, credit.amount, now)));
            journal.into_postings()
        }
        None => {
            let mut journal = Journal::new(TenantNo::PLATFORM, id);
            journal.post(PostingCode::UnmatchedCredit, bank, AccountId::platform(AccountKind::Suspense), credit.amount);
            journal.into_postings()
        }
    };
    changes.extend(postings.into_iter().map(Change::Posted));
    Decision { changes, answer: Answer::Applied }
}

fn event(topup: &Topup, amount: Money, now: Timestamp) -> Event {
    let data = EventData::Topup { topup_id: topup.id, amount };
    Event { tenant: topup.tenant, subject: topup.id.0, kind: "topup.credited", at: now, data }
}
