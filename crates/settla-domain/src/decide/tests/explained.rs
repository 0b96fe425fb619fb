//! What every account must hold, worked out from where transfers and withdrawals stand and from nothing
//! else. It shares no code with the engine's postings: the two must agree.

use super::books::{Sums, add};
use crate::account::{AccountId, AccountKind};
use crate::id::TransferId;
use crate::money::Money;
use crate::tenant::TenantNo;
use crate::transfer::{Transfer, TransferState};
use crate::withdrawal::WithdrawalState;
use crate::world::World;
use std::collections::HashMap;

/// What a transfer does not say about itself.
#[derive(Default, Clone)]
pub(super) struct Memory {
    /// The state from which a transfer went under review.
    pub reviewed_from: HashMap<TransferId, TransferState>,
    /// What the off-ramp sent back.
    pub returned: HashMap<TransferId, Money>,
    /// Every bank entry that was applied, with the tenant it was for, if one was found.
    pub credited: Vec<(Option<TenantNo>, Money)>,
}

/// The sums of all accounts as they must be.
pub(super) fn explained(world: &World, memory: &Memory) -> Sums {
    let mut sums = Sums::new();
    for (tenant, amount) in &memory.credited {
        let owed_to = match tenant {
            Some(tenant) => AccountId::tenant(*tenant, AccountKind::Available),
            None => AccountId::platform(AccountKind::Suspense),
        };
        flow(&mut sums, AccountId::platform(AccountKind::Bank), owed_to, *amount);
    }
    for withdrawal in world.withdrawals.values() {
        let tenants = |kind| AccountId::tenant(withdrawal.tenant, kind);
        let to = match withdrawal.state {
            WithdrawalState::Pending | WithdrawalState::UnderReview => tenants(AccountKind::Held),
            WithdrawalState::Paid => AccountId::platform(AccountKind::Bank),
            WithdrawalState::Refused => continue,
        };
        flow(&mut sums, tenants(AccountKind::Available), to, withdrawal.amount);
    }
    for transfer in world.transfers.values() {
        explain(transfer, memory, &mut sums);
    }
    sums
}

/// The fee that a transfer bears.
pub(super) fn fee(transfer: &Transfer) -> Money {
    let terms = &transfer.terms;
    Money::new(terms.debit.currency, terms.on_ramp_fee.minor + terms.off_ramp_fee.minor)
}

fn explain(transfer: &Transfer, memory: &Memory, sums: &mut Sums) {
    use AccountKind::{
        Available, Bank, Conversion, Exchange, Fees, Held, InTransit, OffRamp, Rounding, Spread, Suspense, Wallet,
    };
    use TransferState as S;
    let terms = &transfer.terms;
    let progress = &transfer.progress;
    let tenants = |kind| AccountId::tenant(transfer.tenant, kind);
    let platform = AccountId::platform;
    let stood = match transfer.state {
        S::UnderReview => memory.reviewed_from[&transfer.id],
        state => state,
    };

    // The tenant's side of the source currency.
    match (stood, progress.delivered) {
        (S::Cancelled, _) => return,
        (S::Refunded, None) => return,
        (S::Funded | S::OnRamping, Some(_)) | (S::Settling | S::OffRamping | S::Refunding, Some(_)) => {
            flow(sums, tenants(Available), tenants(Held), fee(transfer));
            flow(sums, tenants(Available), platform(Bank), terms.source);
        }
        (S::Funded, None) => flow(sums, tenants(Available), tenants(Held), terms.debit),
        (S::OnRamping, None) => {
            flow(sums, tenants(Available), tenants(Held), fee(transfer));
            flow(sums, tenants(Available), tenants(InTransit), terms.source);
        }
        (S::Completed, Some(_)) => {
            flow(sums, tenants(Available), platform(Fees), fee(transfer));
            flow(sums, tenants(Available), platform(Bank), terms.source);
        }
        (S::Refunded, Some(_)) => flow(sums, tenants(Available), platform(Bank), terms.source),
        (state, delivered) => panic!("{state:?} with delivery {delivered:?}"),
    }

    // The stablecoin.
    let Some(delivered) = progress.delivered else { return };
    let sale = progress.sale.as_ref();
    if let Some(sale) = sale.filter(|sale| sale.is_paid()) {
        // None of it is left, the bank has what it brought in, and the tenant has what it had given.
        flow(sums, platform(Bank), platform(Exchange), sale.proceeds);
        flow(sums, platform(Exchange), tenants(Available), terms.source);
        return;
    }
    match stood {
        S::Completed => {
            flow(sums, platform(Wallet), platform(OffRamp), terms.sent);
            flow(sums, platform(Wallet), platform(Spread), terms.spread);
            flow(sums, platform(Wallet), platform(Rounding), terms.rounding);
        }
        S::Refunded => flow(sums, platform(Wallet), tenants(Available), delivered),
        _ => flow(sums, platform(Wallet), tenants(InTransit), delivered),
    }
    if progress.settlement_tx.is_some() {
        flow(sums, platform(OffRamp), platform(Wallet), terms.sent);
    }
    if sale.is_some_and(|sale| sale.settlement_tx.is_some()) {
        flow(sums, platform(OffRamp), platform(Wallet), delivered);
    }
    if let Some(returned) = memory.returned.get(&transfer.id) {
        flow(sums, platform(Wallet), platform(OffRamp), *returned);
    }
    if let Some(paid) = progress.paid {
        flow(sums, platform(Conversion), platform(OffRamp), paid);
        if stood != S::Completed {
            flow(sums, platform(Suspense), platform(OffRamp), terms.sent);
        }
    }
}

fn flow(sums: &mut Sums, debit: AccountId, credit: AccountId, amount: Money) {
    add(sums, debit, Money::new(amount.currency, -amount.minor));
    add(sums, credit, amount);
}
