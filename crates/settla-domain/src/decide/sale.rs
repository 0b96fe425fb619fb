//! What becomes of tokens that an off-ramp has given back: another off-ramp gets them, or they are sold for what the
//! tenant had paid, or they are the tenant's own.
//!
//! A sale is a payout to ourselves. It is over when our bank's statement shows the money, whatever the provider says. The
//! tenant then has its whole debit back; what the way there and back has cost, or brought in, is the platform's.

use super::report::{Step, advance, platform, usage_after_end};
use super::{Answer, Decision};
use crate::account::AccountId;
use crate::account::AccountKind::{Available, Bank, Exchange, Held, InTransit, OffRamp, Wallet};
use crate::effect::{Effect, EffectKind, EffectStatus};
use crate::finding::{Finding, PROVIDER_OFF, SaleOffer};
use crate::money::Money;
use crate::posting::{Journal, PostingCode};
use crate::rate::Rounding;
use crate::tenant::TenantNo;
use crate::time::Timestamp;
use crate::topup::BankCredit;
use crate::transfer::{
    Progress, ReturnedPayout, Sale, Settlement, Transfer, TransferState, sale_named_by, sale_reference,
};
use crate::world::{Change, World};
use uuid::Uuid;

/// A sale that would cost the platform more than this is not made, and nor is one that would bring it more, since nobody
/// gives that: the tenant gets the stablecoin.
const RESULT_BPS_MAX: i128 = 300;
/// An offer that is older than this is none.
const OFFER_AGE_MS_MAX: i64 = 60_000;
/// Reasons that lie with the beneficiary: another off-ramp would not pay either.
const BENEFICIARY_FAULTS: [&str; 3] = ["account_closed", "account_unknown", "beneficiary_refused"];

impl Step<'_> {
    /// All tokens of this leg are back in our wallet: the proof that it has failed.
    pub(super) fn tokens_are_back(
        &self,
        mut journal: Journal,
        tx: &str,
        reason: &str,
        offer: Option<&SaleOffer>,
    ) -> Decision {
        let (t, leg) = (self.transfer, self.leg + 1);
        let returned = |provider: &str| ReturnedPayout {
            provider: provider.to_owned(),
            reason: reason.to_owned(),
            settlement_batch: t.progress.settlement_batch,
            settlement_tx: t.progress.settlement_tx.clone(),
            return_tx: Some(tx.to_owned()),
        };
        let begin_anew = |p: &mut Progress, returned: ReturnedPayout| {
            p.returned_payouts.push(returned);
            p.settlement_batch = None;
            p.settlement_tx = None;
        };
        let next = t.terms.off_ramp(leg).filter(|_| !BENEFICIARY_FAULTS.contains(&reason));
        let was = t.terms.off_ramp(self.leg);
        if let (Some(next), Some(was)) = (next, was) {
            let settle = self.order(leg, self.settlement(leg, next));
            return self.next(TransferState::Settling, journal, Some(settle), |p| {
                begin_anew(p, returned(was));
                p.failure = None;
            });
        }
        let sale = offer.and_then(|offer| agreed(t, offer, self.now));
        if let (Some(sale), Some(was)) = (sale, was) {
            let settle = Effect::Settle {
                chain: t.terms.route.chain.clone(),
                provider: sale.provider.clone(),
                amount: t.terms.bought,
                settlement: Settlement::Batched,
                payout: Some(EffectKind::SellBack.id_for(t.id.0)),
            };
            let settle = self.order(leg, settle);
            return self.next(TransferState::Refunding, journal, Some(settle), |p| {
                begin_anew(p, returned(was));
                p.failure = Some(reason.to_owned());
                p.sale = Some(sale);
            });
        }
        journal.within(PostingCode::CreditStable, InTransit, Available, t.terms.bought);
        journal.within(PostingCode::Release, Held, Available, t.terms.fee());
        self.end(TransferState::Refunded, journal, |p| {
            p.return_tx = Some(tx.to_owned());
            p.failure = Some(reason.to_owned());
        })
    }

    /// The tokens never went to this leg's off-ramp and will not: it is switched off. Another one gets them; if there is
    /// none, they wait for it.
    pub(super) fn settle_elsewhere(&self, reason: &str) -> Decision {
        let (t, leg) = (self.transfer, self.leg + 1);
        let (Some(was), Some(next)) = (t.terms.off_ramp(self.leg), t.terms.off_ramp(leg)) else {
            return Decision::nothing();
        };
        let was = ReturnedPayout {
            provider: was.to_owned(),
            reason: reason.to_owned(),
            settlement_batch: None,
            settlement_tx: None,
            return_tx: None,
        };
        let settle = self.order(leg, self.settlement(leg, next));
        self.next(TransferState::Settling, self.journal(), Some(settle), |p| p.returned_payouts.push(was))
    }

    /// The tokens are on their way to whom they are sold.
    pub(super) fn settle_for_sale(&self, sale: &Sale) -> Decision {
        let t = self.transfer;
        if t.state != TransferState::Refunding {
            return Decision::nothing();
        }
        let mut journal = self.journal();
        match &self.report.finding {
            Finding::Settled { batch, tx } => {
                let (debit, credit) = (platform(OffRamp), platform(Wallet));
                journal.post_on_leg(self.leg, PostingCode::Settle, debit, credit, t.terms.bought);
                let sell = Effect::SellBack {
                    provider: sale.provider.clone(),
                    sent: t.terms.bought,
                    proceeds: sale.proceeds,
                    settlement_tx: tx.clone(),
                    remittance: sale_reference(t.id),
                };
                let sale = Sale { settlement_batch: Some(*batch), settlement_tx: Some(tx.clone()), ..sale.clone() };
                self.next(TransferState::Refunding, journal, Some(self.order(0, sell)), |p| p.sale = Some(sale))
            }
            // The tokens have not left: without the buyer they are the tenant's.
            Finding::Refused { reason } if reason == PROVIDER_OFF => {
                journal.within(PostingCode::CreditStable, InTransit, Available, t.terms.bought);
                journal.within(PostingCode::Release, Held, Available, t.terms.fee());
                self.end(TransferState::Refunded, journal, |_| {})
            }
            Finding::Refused { reason } | Finding::Unresolved { reason } => self.under_review(journal, reason, |_| {}),
            _ => Decision::nothing(),
        }
    }

    /// What the buyer says. That it has paid is for the bank to say.
    pub(super) fn sell_back(&self) -> Decision {
        let t = self.transfer;
        let (TransferState::Refunding, Some(sale)) = (t.state, &t.progress.sale) else { return Decision::nothing() };
        let is_accepted = self.world.effects.get(&(t.tenant, self.report.effect)) == Some(&EffectStatus::Accepted);
        let mut journal = self.journal();
        match &self.report.finding {
            Finding::PaidOut { amount, .. } if *amount != sale.proceeds => {
                self.under_review(journal, "sale_amount_differs", |_| {})
            }
            Finding::Accepted | Finding::Returning { .. } | Finding::PaidOut { .. } if is_accepted => {
                Decision::nothing()
            }
            Finding::Accepted | Finding::Returning { .. } | Finding::PaidOut { .. } => self.accepted(),
            Finding::Returned { amount, tx, .. } => {
                journal.post_on_leg(
                    self.leg_of_sale(),
                    PostingCode::Returned,
                    platform(Wallet),
                    platform(OffRamp),
                    *amount,
                );
                let learn = |p: &mut Progress| p.return_tx = Some(tx.clone());
                if *amount != t.terms.bought {
                    return self.under_review(journal, "return_amount_differs", learn);
                }
                journal.within(PostingCode::CreditStable, InTransit, Available, t.terms.bought);
                journal.within(PostingCode::Release, Held, Available, t.terms.fee());
                self.end(TransferState::Refunded, journal, learn)
            }
            Finding::Refused { reason } | Finding::Unresolved { reason } => self.under_review(journal, reason, |_| {}),
            _ => Decision::nothing(),
        }
    }

    fn leg_of_sale(&self) -> u8 {
        self.transfer.progress.payout_leg()
    }
}

/// The sale that an offer comes to, if it is one to take.
fn agreed(transfer: &Transfer, offer: &SaleOffer, now: Timestamp) -> Option<Sale> {
    let (bought, source) = (transfer.terms.bought, transfer.terms.source);
    let age_ms = now.ms_since(offer.rate.as_of);
    // As of a price: one from the future is as wrong as an old one.
    let is_fresh = (-1_000..=OFFER_AGE_MS_MAX).contains(&age_ms);
    let proceeds = offer.rate.rate.convert(bought, source.currency, Rounding::Down).ok()?;
    let bounds = source.minor * (10_000 - RESULT_BPS_MAX)..=source.minor * (10_000 + RESULT_BPS_MAX);
    let is_sane = bounds.contains(&(proceeds.minor * 10_000));
    (is_fresh && is_sane && proceeds.minor > 0).then(|| Sale {
        provider: offer.provider.clone(),
        rate: offer.rate.clone(),
        proceeds,
        settlement_batch: None,
        settlement_tx: None,
        credit: None,
    })
}

/// The bank has credited what a sale was to bring in; `id` names the credit. Nothing if the credit is not exactly that: anybody can write a
/// transfer's reference into a payment.
pub(super) fn paid(world: &World, tenant: TenantNo, id: Uuid, credit: &BankCredit, now: Timestamp) -> Option<Decision> {
    let transfer = world.transfers.get(&(tenant, sale_named_by(&credit.reference)?))?;
    let sale = transfer.progress.sale.as_ref()?;
    let effect = EffectKind::SellBack.id_for(transfer.id.0);
    let was_asked = match (transfer.state, world.effects.get(&(tenant, effect))) {
        (TransferState::Refunding, Some(EffectStatus::Started | EffectStatus::Accepted)) => true,
        // It came late, or after a wrong word of the buyer: what people wait for has happened.
        (TransferState::UnderReview, Some(EffectStatus::Done)) => transfer.progress.return_tx.is_none(),
        _ => false,
    };
    if !was_asked || credit.amount != sale.proceeds {
        return None;
    }
    let mut changes = vec![Change::BankEntryApplied(credit.entry_id.clone())];
    if transfer.state == TransferState::Refunding {
        changes.push(Change::EffectMoved(tenant, effect, EffectStatus::Done));
    }
    changes.extend(postings(transfer, credit.amount).into_postings().into_iter().map(Change::Posted));
    let usage = usage_after_end(world, transfer);
    changes.push(Change::UsageChanged(tenant, transfer.terms.debit.currency, usage));
    let learn = |p: &mut Progress| p.sale = Some(Sale { credit: Some(id), ..sale.clone() });
    advance(transfer, TransferState::Refunded, now, learn, &mut changes);
    Some(Decision { changes, answer: Answer::Applied })
}

fn postings(transfer: &Transfer, proceeds: Money) -> Journal {
    let terms = &transfer.terms;
    let tenants = |kind| AccountId::tenant(transfer.tenant, kind);
    let mut journal = Journal::new(transfer.tenant, transfer.id.0);
    journal.post(PostingCode::SoldBack, tenants(InTransit), platform(OffRamp), terms.bought);
    let result = Money::new(proceeds.currency, (proceeds.minor - terms.source.minor).abs());
    if proceeds.minor < terms.source.minor {
        journal.post(PostingCode::SaleProceeds, platform(Bank), tenants(Available), proceeds);
        journal.post(PostingCode::ExchangeResult, platform(Exchange), tenants(Available), result);
    } else {
        journal.post(PostingCode::SaleProceeds, platform(Bank), tenants(Available), terms.source);
        journal.post(PostingCode::ExchangeResult, platform(Bank), platform(Exchange), result);
    }
    journal.within(PostingCode::Release, Held, Available, terms.fee());
    journal
}
