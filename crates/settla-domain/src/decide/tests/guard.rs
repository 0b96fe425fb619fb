//! What must hold of every decision, looked at before it is applied.

use super::desk::Desk;
use crate::decide::{Answer, Command, Decision};
use crate::effect::{EffectKind, EffectStatus};
use crate::event::EVENT_TYPES;
use crate::finding::Finding;
use crate::id::EffectId;
use crate::tenant::TenantNo;
use crate::topup::BankCredit;
use crate::transfer::{Progress, Transfer, TransferState, sale_named_by};
use crate::withdrawal::WithdrawalState;
use crate::world::Change;

impl Desk {
    /// What must hold of a decision, before it is applied.
    pub fn check(&self, command: &Command, decision: &Decision) {
        let owner = self.owner(command);
        self.check_told(decision);
        assert_eq!(decision.changes.is_empty(), changes_nothing(&decision.answer), "{decision:?}");
        for change in &decision.changes {
            let of = match change {
                Change::Posted(posting) => {
                    assert!(
                        [posting.debit, posting.credit]
                            .iter()
                            .all(|a| [TenantNo::PLATFORM, owner].contains(&a.owner())),
                        "{posting:?}"
                    );
                    posting.tenant
                }
                Change::EffectMoved(tenant, effect, status) => {
                    self.check_moved(command, *tenant, *effect, *status);
                    *tenant
                }
                Change::EffectOrdered(order) => {
                    assert!(!self.world.effects.contains_key(&(order.tenant, order.id)), "ordered twice: {order:?}");
                    assert_eq!(
                        EffectKind::of(order.subject, order.id).map(|(kind, _)| kind),
                        Some(order.effect.kind())
                    );
                    order.tenant
                }
                Change::TransferChanged(after) => {
                    self.check_advanced(command, after);
                    after.tenant
                }
                Change::Happened(event) => {
                    assert!(EVENT_TYPES.contains(&event.kind) && event.at == self.now, "{event:?}");
                    event.tenant
                }
                Change::TransferCreated(transfer) => transfer.tenant,
                Change::QuoteCreated(quote) => quote.tenant,
                Change::QuoteUsed(tenant, _) | Change::UsageChanged(tenant, _, _) => *tenant,
                Change::TopupCreated(topup) | Change::TopupChanged(topup) => topup.tenant,
                Change::WithdrawalCreated(withdrawal) | Change::WithdrawalChanged(withdrawal) => withdrawal.tenant,
                Change::BankEntryApplied(id) => {
                    assert!(!self.world.bank_entries.contains(id), "applied twice: {id}");
                    owner
                }
            };
            assert_eq!(of, owner, "{command:?} touches another tenant: {change:?}");
        }
    }

    /// Each new state is told of once, as it is; that a withdrawal is under review, or no longer, is kept to ourselves,
    /// and so is what leaves a transfer in its state.
    fn check_told(&self, decision: &Decision) {
        let told =
            decision.changes.iter().filter_map(|c| if let Change::Happened(event) = c { Some(event) } else { None });
        let mut expected = Vec::new();
        for change in &decision.changes {
            match change {
                Change::TransferChanged(transfer) if transfer.state == self.state(transfer) => {}
                Change::TransferCreated(transfer) | Change::TransferChanged(transfer) => {
                    expected.push((transfer.id.0, format!("transfer.{}", transfer.state.name().to_lowercase())));
                }
                Change::TopupChanged(topup) => expected.push((topup.id.0, "topup.credited".into())),
                Change::WithdrawalChanged(withdrawal)
                    if !matches!(withdrawal.state, WithdrawalState::UnderReview | WithdrawalState::Pending) =>
                {
                    expected.push((withdrawal.id.0, format!("withdrawal.{}", withdrawal.state.name().to_lowercase())));
                }
                _ => {}
            }
        }
        assert_eq!(told.map(|e| (e.subject, e.kind.to_owned())).collect::<Vec<_>>(), expected);
    }

    /// The transfer whose sale a credit is exactly the proceeds of.
    pub fn awaited(&self, credit: &BankCredit) -> Option<&Transfer> {
        self.world.transfers.values().find(|t| {
            let sale = t.progress.sale.as_ref().filter(|sale| sale.settlement_tx.is_some());
            let status = self.world.effects.get(&(t.tenant, EffectKind::SellBack.id_for(t.id.0)));
            let is_asked = status.is_some_and(|s| matches!(s, EffectStatus::Started | EffectStatus::Accepted));
            let is_reviewed = t.state == TransferState::UnderReview
                && status == Some(&EffectStatus::Done)
                && t.progress.return_tx.is_none();
            (t.state == TransferState::Refunding && is_asked || is_reviewed)
                && sale.is_some_and(|sale| sale.proceeds == credit.amount)
                && sale_named_by(&credit.reference) == Some(t.id)
        })
    }

    fn owner(&self, command: &Command) -> TenantNo {
        match command {
            Command::CreateQuote(quote) => quote.tenant,
            Command::CreateTransfer(create) => create.tenant,
            Command::CancelTransfer { tenant, .. } | Command::ExpireHold { tenant, .. } => *tenant,
            Command::CreateTopup(topup) => topup.tenant,
            Command::BankCredit { credit, .. } => match self.world.topups.get(&credit.reference) {
                None if self.awaited(credit).is_some() => self.awaited(credit).unwrap().tenant,
                Some(topup) if topup.expected.currency == credit.amount.currency => topup.tenant,
                _ => TenantNo::PLATFORM,
            },
            Command::CreateWithdrawal(withdrawal) => withdrawal.tenant,
            Command::Decide(decided) => decided.tenant,
            Command::Report(report) => report.tenant,
        }
    }

    /// An effect only moves forward, and not at all once it is done or called off; people alone open it again.
    fn check_moved(&self, command: &Command, tenant: TenantNo, effect: EffectId, to: EffectStatus) {
        let rank = |status: EffectStatus| match status {
            EffectStatus::Untouched => 0,
            EffectStatus::Started => 1,
            EffectStatus::Accepted => 2,
            EffectStatus::Done | EffectStatus::Cancelled => 3,
        };
        let from = self.world.effects[&(tenant, effect)];
        if matches!(command, Command::Decide(_)) {
            assert_eq!((from, to), (EffectStatus::Done, EffectStatus::Started));
            return;
        }
        assert!(rank(from) < 3, "{effect} was over");
        assert!(rank(to) > rank(from) || to == from, "{effect} from {from:?} to {to:?}");
        assert!(!self.finished.contains(&effect), "{effect} finished twice");
    }

    /// A transfer moves on one version at a time, with its state, never once it has ended, and forgets nothing.
    fn check_advanced(&self, command: &Command, after: &Transfer) {
        let before = self.now_of(after);
        assert!(!before.state.is_terminal(), "{before:?} had ended");
        // And the money that they wait for.
        let by_people = matches!(command, Command::Decide(_))
            || matches!(command, Command::BankCredit { .. } if before.state == TransferState::UnderReview);
        assert_eq!(before.state == TransferState::UnderReview, by_people, "people end a review, and nothing else");
        let moved = u32::from(before.state != after.state);
        assert_eq!((after.version, after.updated_at), (before.version + moved, self.now));
        let mut same = before.clone();
        (same.state, same.version, same.updated_at, same.progress) =
            (after.state, after.version, after.updated_at, after.progress.clone());
        assert_eq!(&same, after, "only state and progress move");
        let Progress {
            delivered,
            delivery_tx,
            settlement_batch,
            settlement_tx,
            paid,
            payout_reference,
            return_tx,
            failure: _,
            reviewed_from: _,
            refused_orders,
            returned_payouts,
            sale,
        } = &before.progress;
        let later = &after.progress;
        assert!(later.refused_orders.starts_with(refused_orders));
        assert!(later.returned_payouts.starts_with(returned_payouts));
        if let (Some(before), Some(after)) = (sale, &later.sale) {
            let (paid, tx) = (before.is_paid(), &before.settlement_tx);
            assert!(
                (&before.provider, before.proceeds) == (&after.provider, after.proceeds) && after.is_paid() >= paid
            );
            assert!(tx.is_none() || *tx == after.settlement_tx);
        }
        assert!(sale.is_none() || later.sale.is_some());
        // What was known of a leg stays with it.
        let same_leg = later.returned_payouts.len() == returned_payouts.len();
        if let Some(last) = later.returned_payouts.last().filter(|_| !same_leg) {
            assert_eq!(&last.settlement_tx, settlement_tx);
        }
        let (settlement_batch, settlement_tx) =
            if same_leg { (settlement_batch, settlement_tx) } else { (&None, &None) };
        assert!(delivered.is_none() || *delivered == later.delivered);
        assert!(delivery_tx.is_none() || *delivery_tx == later.delivery_tx);
        assert!(settlement_batch.is_none() || *settlement_batch == later.settlement_batch);
        assert!(settlement_tx.is_none() || *settlement_tx == later.settlement_tx);
        assert!(paid.is_none() || *paid == later.paid);
        assert!(payout_reference.is_none() || *payout_reference == later.payout_reference);
        assert!(return_tx.is_none() || *return_tx == later.return_tx);
    }

    pub fn remember(&mut self, command: &Command, decision: &Decision) {
        if let (Command::BankCredit { credit, .. }, Answer::Applied) = (command, &decision.answer) {
            let owner = Some(self.owner(command)).filter(|t| *t != TenantNo::PLATFORM);
            if self.awaited(credit).is_none() {
                self.memory.credited.push((owner, credit.amount));
            }
        }
        for change in &decision.changes {
            match change {
                Change::TransferChanged(after) if after.state == TransferState::UnderReview => {
                    self.memory.reviewed_from.insert(after.id, self.state(after));
                }
                Change::EffectMoved(_, effect, EffectStatus::Done | EffectStatus::Cancelled) => {
                    self.finished.insert(*effect);
                }
                Change::EffectMoved(_, effect, EffectStatus::Started) => {
                    self.finished.remove(effect);
                }
                _ => {}
            }
            if let (Change::TransferChanged(after), Command::Report(report)) = (change, command)
                && let Finding::Returned { amount, .. } = &report.finding
                // A leg that is over leaves nothing behind.
                && after.progress.returned_payouts.len() == self.now_of(after).progress.returned_payouts.len()
            {
                self.memory.returned.insert(after.id, *amount);
            }
        }
    }
}

/// Whether an answer says that nothing was changed.
pub fn changes_nothing(answer: &Answer) -> bool {
    matches!(answer, Answer::Nothing | Answer::Contradicts)
}
