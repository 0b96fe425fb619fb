//! What must hold of the whole world, always.

use super::desk::Desk;
use super::explained::explained;
use crate::account::AccountKind;
use crate::effect::{EffectKind, EffectStatus, LEGS_MAX};
use crate::money::Currency;
use crate::tenant::TenantNo;
use crate::trail;
use crate::transfer::TransferState;
use crate::withdrawal::WithdrawalState;
use std::collections::BTreeMap;
use uuid::Uuid;

impl Desk {
    /// Books, positions, limits and effects agree with each other and with where every subject stands.
    pub fn audit(&self) {
        self.books.assert_balanced();
        assert_eq!(self.books.sums(), &explained(&self.world, &self.memory), "accounts hold what nothing explains");
        self.audit_positions();
        self.audit_usage();
        self.audit_effects();
        self.audit_trails();
    }

    /// What reconciliation demands of a state is what the engine posts on the way to it, and nothing else.
    fn audit_trails(&self) {
        for transfer in self.world.transfers.values() {
            let postings = self.books.trail(transfer.id.0);
            assert_eq!(trail::of_transfer(transfer, postings), [], "{transfer:?} with {postings:?}");
        }
        for withdrawal in self.world.withdrawals.values() {
            let postings = self.books.trail(withdrawal.id.0);
            assert_eq!(trail::of_withdrawal(withdrawal, postings), [], "{withdrawal:?} with {postings:?}");
        }
    }

    /// No part negative, and each equal to its account.
    fn audit_positions(&self) {
        for ((tenant, currency), position) in &self.world.positions {
            let booked = |kind| self.books.tenants(*tenant, kind, *currency);
            let parts = (position.available, position.held, position.in_transit);
            assert!(parts.0 >= 0 && parts.1 >= 0 && parts.2 >= 0, "{tenant:?} {currency} {position:?}");
            assert_eq!(
                parts,
                (booked(AccountKind::Available), booked(AccountKind::Held), booked(AccountKind::InTransit)),
                "{tenant:?} {currency}"
            );
        }
        for (account, currency) in self.books.sums().keys().filter(|(a, _)| a.owner() != TenantNo::PLATFORM) {
            assert!(self.world.positions.contains_key(&(account.owner(), *currency)), "{account:?} has no position");
        }
    }

    /// Pending is what has not ended; today's total is what was created today and not cancelled.
    fn audit_usage(&self) {
        let today = self.now.utc_day();
        let mut pending: BTreeMap<(TenantNo, Currency), i128> = BTreeMap::new();
        let mut created: BTreeMap<(TenantNo, Currency), i128> = BTreeMap::new();
        for transfer in self.world.transfers.values() {
            let key = (transfer.tenant, transfer.terms.debit.currency);
            let ended = matches!(
                transfer.state,
                TransferState::Completed | TransferState::Cancelled | TransferState::Refunded | TransferState::Failed
            );
            if !ended {
                *pending.entry(key).or_default() += transfer.terms.debit.minor;
            }
            if transfer.created_at.utc_day() == today && transfer.state != TransferState::Cancelled {
                *created.entry(key).or_default() += transfer.terms.debit.minor;
            }
        }
        for (key, position) in &self.world.positions {
            assert_eq!(position.usage.pending, pending.remove(key).unwrap_or(0), "{key:?}");
            assert_eq!(position.usage.on_day(today), created.remove(key).unwrap_or(0), "{key:?}");
        }
        assert!(pending.is_empty() && created.is_empty());
    }

    /// What is under way waits for exactly one thing, and what has ended or is under review for nothing.
    fn audit_effects(&self) {
        let open = |tenant: TenantNo, subject: Uuid| {
            let status = |kind: EffectKind, leg: u8| self.world.effects.get(&(tenant, kind.id_on_leg(subject, leg)));
            EffectKind::ALL
                .into_iter()
                .flat_map(|kind| (0..LEGS_MAX).map(move |leg| (kind, leg)))
                .filter(|(k, leg)| {
                    status(*k, *leg).is_some_and(|s| !matches!(s, EffectStatus::Done | EffectStatus::Cancelled))
                })
                .collect::<Vec<_>>()
        };
        for transfer in self.world.transfers.values() {
            let progress = &transfer.progress;
            let (order, payout) = (progress.refused_orders.len() as u8, progress.returned_payouts.len() as u8);
            let waits_for = match (transfer.state, &progress.sale) {
                (TransferState::Funded | TransferState::OnRamping, _) => vec![(EffectKind::OnRamp, order)],
                (TransferState::Settling, _) => vec![(EffectKind::Settle, payout)],
                (TransferState::Refunding, Some(sale)) if sale.settlement_tx.is_none() => {
                    vec![(EffectKind::Settle, payout)]
                }
                (TransferState::Refunding, Some(_)) => vec![(EffectKind::SellBack, 0)],
                (TransferState::OffRamping | TransferState::Refunding, _) => vec![(EffectKind::OffRamp, payout)],
                _ => vec![],
            };
            assert_eq!(open(transfer.tenant, transfer.id.0), waits_for, "{:?} {}", transfer.state, transfer.id);
        }
        for withdrawal in self.world.withdrawals.values() {
            let waits = withdrawal.state == WithdrawalState::Pending;
            assert_eq!(open(withdrawal.tenant, withdrawal.id.0).len(), usize::from(waits), "{withdrawal:?}");
        }
    }
}
