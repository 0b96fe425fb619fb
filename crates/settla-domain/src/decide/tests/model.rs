//! A model world: it carries out what the [property](super::chaos) draws, and foretells the answers from the
//! history alone. The [desk](super::desk) audits after every step.

use super::chaos::Op;
use super::commands::{
    A, B, SOURCES, delivered, free, paid, rate_text, refused, returned, returning, sent_back, settled, terms,
    unresolved, usual,
};
use super::desk::Desk;
use super::guard::changes_nothing;
use crate::decide::{Answer, Command, Report};
use crate::effect::{EffectKind, EffectStatus, LEGS_MAX};
use crate::fee::FeeSchedule;
use crate::finding::Finding;
use crate::id::{QuoteId, TransferId, WithdrawalId};
use crate::limit::Limits;
use crate::money::{Currency, Money};
use crate::quote::Fallbacks;
use crate::refusal::Refusal;
use crate::review::{Decided, Decision as Verdict};
use crate::tenant::{TenantNo, TenantStatus};
use crate::transfer::{Transfer, TransferState, sale_reference};
use crate::withdrawal::WithdrawalState;
use uuid::Uuid;

const C: TenantNo = TenantNo(9);
const TENANTS: [TenantNo; 3] = [A, B, C];
const DESTINATIONS: [Currency; 4] = [Currency::NGN, Currency::KES, Currency::JPY, Currency::KWD];
const STABLES: [Currency; 2] = [Currency::USDC, Currency::USDT];
/// Tight enough that each of them is met, in minor units of any currency.
const TIGHT: Limits = Limits { per_transfer: 90_000, per_day: 170_000, pending: 150_000 };

/// The desk, and what was made so far in the order of its making.
pub(super) struct Model {
    desk: Desk,
    topups: Vec<String>,
    quotes: Vec<(TenantNo, QuoteId)>,
    subjects: Vec<(TenantNo, Uuid)>,
    reports: Vec<Report>,
    references: Vec<(TenantNo, String)>,
}

fn pick<T: Clone>(from: &[T], index: usize) -> Option<T> {
    if from.is_empty() { None } else { from.get(index % from.len()).cloned() }
}

impl Model {
    pub fn new() -> Self {
        let lean = FeeSchedule { on_ramp_bps: 300, off_ramp_bps: 0, minimum: 25, maximum: 900 };
        let tenants = [(A, usual(TIGHT)), (B, free(TIGHT)), (C, terms(999, lean, TIGHT))];
        let mut desk = Desk::new(tenants);
        for tenant in TENANTS {
            for currency in SOURCES {
                desk.top_up(tenant, Money::new(currency, 150_000));
            }
        }
        let topups = desk.world.topups.values().map(|t| (t.id, t.reference.clone()));
        let mut topups: Vec<_> = topups.collect();
        topups.sort();
        let topups = topups.into_iter().map(|(_, reference)| reference).collect();
        Self { desk, topups, quotes: vec![], subjects: vec![], reports: vec![], references: vec![] }
    }

    pub fn step(&mut self, op: &Op) {
        match *op {
            Op::Announce { tenant, currency } => {
                let tenant = TENANTS[tenant % 3];
                if self.active(tenant) {
                    let topup = self.desk.announce(tenant, Money::new(SOURCES[currency % 4], 1));
                    self.topups.push(topup.reference);
                }
            }
            Op::Credit { topup, currency, minor, entry } => self.credit(topup, currency, minor, entry),
            Op::Quote { tenant, source, way, minor } => {
                self.quote(tenant, source, way, minor);
            }
            Op::Start { tenant, source, way, minor } => {
                if self.quote(tenant, source, way, minor) {
                    self.create(None, self.quotes.len() - 1);
                }
            }
            Op::Create { by, quote } => self.create(by, quote),
            Op::Cancel { by, transfer } => self.cancel(by, transfer),
            Op::Withdraw { tenant, currency, minor, reference } => self.withdraw(tenant, currency, minor, reference),
            Op::Claim { subject } => {
                if let Some((tenant, subject)) = pick(&self.subjects, subject) {
                    let all = EffectKind::ALL.into_iter().flat_map(|k| (0..LEGS_MAX).map(move |leg| (k, leg)));
                    all.for_each(|(kind, leg)| self.desk.claim(tenant, kind.id_on_leg(subject, leg)));
                }
            }
            Op::Tell { subject, finding, amount } => self.tell(subject, finding, amount),
            Op::Babble { by, subject, effect_of, kind, finding, amount } => {
                let Some(subject) = pick(&self.subjects, subject) else { return };
                let tenant = by.map_or(subject.0, |by| TENANTS[by % 3]);
                let effect_of = effect_of.and_then(|of| pick(&self.subjects, of)).unwrap_or(subject).1;
                let effect = EffectKind::ALL[kind % 5].id_on_leg(effect_of, (kind / 5 % 3) as u8);
                let finding = self.finding(subject, finding % 9, amount);
                self.say(Report { tenant, subject: subject.1, effect, finding });
            }
            Op::Again { report } => {
                if let Some(report) = pick(&self.reports, report) {
                    self.say(report);
                }
            }
            Op::Decide { by, subject, verdict } => self.decide(by, subject, verdict),
            Op::Status { tenant, number } => {
                let terms = self.desk.world.tenants.get_mut(&TENANTS[tenant % 3]).unwrap();
                terms.status =
                    [TenantStatus::Suspended, TenantStatus::Active, TenantStatus::Active, TenantStatus::Active]
                        [number % 4];
            }
            Op::Pass { ms } => self.desk.now = self.desk.now.plus_ms(ms),
        }
        self.desk.audit();
    }

    fn active(&self, tenant: TenantNo) -> bool {
        self.desk.world.tenants[&tenant].status == TenantStatus::Active
    }

    fn credit(&mut self, topup: usize, currency: Option<usize>, minor: i64, entry: u8) {
        // Some references are nobody's.
        let reference = if topup == 0 { "nobody".to_owned() } else { pick(&self.topups, topup).unwrap() };
        let announced = self.desk.world.topups.get(&reference).map_or(Currency::GBP, |t| t.expected.currency);
        let currency = currency.map_or(announced, |c| SOURCES[c % 4]);
        let entry = format!("e{entry}");
        let fresh = !self.desk.world.bank_entries.contains(&entry) && minor > 0;
        let answer = self.desk.bank_credit(&entry, &reference, Money::new(currency, minor.into()));
        assert_eq!(answer == Answer::Applied, fresh);
    }

    /// Whether it was priced: not for a suspended tenant, and not for an amount that comes to nothing.
    fn quote(&mut self, tenant: usize, source: usize, way: usize, minor: i64) -> bool {
        let tenant = TENANTS[tenant % 3];
        let amount = Money::new(SOURCES[source % 4], minor.into());
        // None, one or two of each side, whatever the rest of the way is.
        let fallbacks = Fallbacks {
            on_ramps: ["quayside", "third"].iter().take(way % 3).map(|name| (*name).to_owned()).collect(),
            off_ramps: ["solano", "fourth"].iter().take(way / 3 % 3).map(|name| (*name).to_owned()).collect(),
        };
        let way = (DESTINATIONS[way % 4], STABLES[way / 4 % 2]);
        let quote = self.desk.quote_with(tenant, amount, way, fallbacks);
        self.quotes.extend(quote.iter().map(|id| (tenant, *id)));
        quote.is_ok()
    }

    fn create(&mut self, by: Option<usize>, quote: usize) {
        let Some((owner, id)) = pick(&self.quotes, quote) else { return };
        let tenant = by.map_or(owner, |by| TENANTS[by % 3]);
        let expected = self.foretell(tenant, owner, id);
        let result = self.desk.create(tenant, id);
        assert_eq!(result.as_ref().err().copied(), expected);
        if let Ok(transfer) = result {
            self.subjects.push((tenant, transfer.id.0));
        }
    }

    /// What a create must be told, from the transfers there are and not from the engine's counters.
    fn foretell(&self, tenant: TenantNo, owner: TenantNo, id: QuoteId) -> Option<Refusal> {
        let world = &self.desk.world;
        if !self.active(tenant) {
            return Some(Refusal::TenantNotActive);
        }
        if owner != tenant {
            return Some(Refusal::QuoteNotFound);
        }
        let quote = &world.quotes[&(owner, id)];
        if world.transfers.values().any(|t| t.quote == id) {
            return Some(Refusal::QuoteUsed);
        }
        if self.desk.now >= quote.expires_at {
            return Some(Refusal::QuoteExpired);
        }
        let debit = quote.terms.debit;
        let sum = |count: &dyn Fn(&Transfer) -> bool| -> i128 {
            let same = |t: &&Transfer| t.tenant == tenant && t.terms.debit.currency == debit.currency && count(t);
            world.transfers.values().filter(same).map(|t| t.terms.debit.minor).sum()
        };
        let today = sum(&|t| t.created_at.utc_day() == self.desk.now.utc_day() && t.state != TransferState::Cancelled);
        let pending = sum(&|t| !t.state.is_terminal());
        let available = self.desk.books.tenants(tenant, crate::account::AccountKind::Available, debit.currency);
        let refusals = [
            (debit.minor > TIGHT.per_transfer.into(), Refusal::LimitPerTransfer),
            (today + debit.minor > TIGHT.per_day.into(), Refusal::LimitPerDay),
            (pending + debit.minor > TIGHT.pending.into(), Refusal::LimitPending),
            (debit.minor > available, Refusal::InsufficientFunds),
        ];
        refusals.into_iter().find(|(applies, _)| *applies).map(|(_, refusal)| refusal)
    }

    fn cancel(&mut self, by: Option<usize>, transfer: usize) {
        let Some((owner, id)) = pick(&self.subjects, transfer) else { return };
        let tenant = by.map_or(owner, |by| TENANTS[by % 3]);
        let transfer = TransferId(id);
        let leg = self.desk.world.transfers.get(&(tenant, transfer)).map_or(0, |t| t.progress.refused_orders.len());
        let order = EffectKind::OnRamp.id_on_leg(id, leg as u8);
        let status = self.desk.world.effects.get(&(tenant, order)).copied();
        let expected = match self.desk.world.transfers.get(&(tenant, transfer)) {
            None => Some(Refusal::TransferNotFound),
            Some(t) if t.state == TransferState::Funded && status == Some(EffectStatus::Untouched) => None,
            Some(_) => Some(Refusal::NotCancellable),
        };
        assert_eq!(self.desk.run(&Command::CancelTransfer { tenant, transfer }).err(), expected);
    }

    fn withdraw(&mut self, tenant: usize, currency: usize, minor: i64, reference: u8) {
        let tenant = TENANTS[tenant % 3];
        let amount = Money::new(SOURCES[currency % 4], minor.into());
        let key = (tenant, format!("w{reference}"));
        let available = self.desk.books.tenants(tenant, crate::account::AccountKind::Available, amount.currency);
        let expected = if !self.active(tenant) {
            Some(Refusal::TenantNotActive)
        } else if self.references.contains(&key) {
            Some(Refusal::ReferenceUsed)
        } else if amount.minor > available {
            Some(Refusal::InsufficientFunds)
        } else {
            None
        };
        let result = self.desk.withdraw(tenant, amount, &key.1);
        assert_eq!(result.as_ref().err().copied(), expected);
        if let Ok(withdrawal) = result {
            self.references.push(key);
            self.subjects.push((tenant, withdrawal.id.0));
        }
    }

    /// Whatever is known of a payment under review, its money can be given back.
    fn decide(&mut self, by: Option<usize>, subject: usize, verdict: usize) {
        let waits = |(tenant, id): &(TenantNo, Uuid)| {
            let world = &self.desk.world;
            let transfer = world.transfers.get(&(*tenant, TransferId(*id))).map(|t| t.state);
            let withdrawal = world.withdrawals.get(&(*tenant, WithdrawalId(*id))).map(|w| w.state);
            transfer == Some(TransferState::UnderReview) || withdrawal == Some(WithdrawalState::UnderReview)
        };
        let waiting: Vec<_> = self.subjects.iter().copied().filter(waits).collect();
        let Some((owner, id)) = pick(&waiting, subject).or_else(|| pick(&self.subjects, subject)) else { return };
        let tenant = by.map_or(owner, |by| TENANTS[by % 3]);
        let decision = match verdict % 3 {
            0 => Verdict::Retry,
            1 => Verdict::Refund,
            _ => Verdict::Complete { reference: "P7".into() },
        };
        let is_refund = decision == Verdict::Refund;
        let two = ("ada".to_owned(), "grace".to_owned());
        let decided = Decided { tenant, subject: id, decision, proposed_by: two.0, approved_by: two.1 };
        let result = self.desk.run(&Command::Decide(decided)).err();
        if tenant != owner {
            assert_eq!(result, Some(Refusal::TransferNotFound));
        } else if !waiting.contains(&(owner, id)) {
            assert_eq!(result, Some(Refusal::NotUnderReview));
        } else if is_refund {
            assert_eq!(result, None);
        } else {
            assert!(matches!(result, None | Some(Refusal::DecisionNotPossible)), "{result:?}");
        }
    }

    fn live(&self, (tenant, id): (TenantNo, Uuid)) -> bool {
        let transfer = self.desk.world.transfers.get(&(tenant, TransferId(id)));
        let withdrawal = self.desk.world.withdrawals.get(&(tenant, WithdrawalId(id)));
        transfer.is_some_and(|t| !t.state.is_terminal() && t.state != TransferState::UnderReview)
            || withdrawal.is_some_and(|w| w.state == WithdrawalState::Pending)
    }

    fn tell(&mut self, subject: usize, finding: usize, amount: usize) {
        // About what is under way, if anything is.
        let live: Vec<_> = self.subjects.iter().copied().filter(|subject| self.live(*subject)).collect();
        let Some((tenant, id)) = pick(&live, subject).or_else(|| pick(&self.subjects, subject)) else { return };
        let transfer = self.desk.world.transfers.get(&(tenant, TransferId(id)));
        let order = transfer.map_or(0, |t| t.progress.refused_orders.len()) as u8;
        let payout = transfer.map_or(0, |t| t.progress.returned_payouts.len()) as u8;
        let sale = transfer.and_then(|t| t.progress.sale.clone());
        let ((kind, leg), said): ((EffectKind, u8), &[usize]) = match (transfer.map(|t| t.state), &sale) {
            (Some(TransferState::Funded | TransferState::OnRamping), _) => {
                ((EffectKind::OnRamp, order), &[0, 0, 1, 1, 1, 1, 1, 1, 7, 8])
            }
            (Some(TransferState::Settling), _) => ((EffectKind::Settle, payout), &[2, 2, 2, 2, 2, 2, 7, 8]),
            (Some(TransferState::Refunding), Some(sale)) if sale.settlement_tx.is_none() => {
                ((EffectKind::Settle, payout), &[2, 2, 2, 2, 7, 8])
            }
            (Some(TransferState::Refunding), Some(sale)) if !finding.is_multiple_of(3) => {
                let minor = if amount.is_multiple_of(9) { sale.proceeds.minor - 1 } else { sale.proceeds.minor };
                let money = Money::new(sale.proceeds.currency, minor);
                self.desk.claim(tenant, EffectKind::SellBack.id_for(id));
                let entry = format!("s{}", self.desk.id());
                let answer = self.desk.bank_credit(&entry, &sale_reference(TransferId(id)), money);
                assert_eq!(answer, Answer::Applied);
                assert!(
                    money != sale.proceeds || self.desk.world.transfers[&(tenant, TransferId(id))].state.is_terminal()
                );
                return;
            }
            (Some(TransferState::Refunding), Some(_)) => ((EffectKind::SellBack, 0), &[0, 4, 3, 5, 7, 8]),
            (Some(_), _) => ((EffectKind::OffRamp, payout), &[0, 0, 3, 3, 3, 4, 4, 5, 5, 5, 5, 7, 8]),
            (None, _) => ((EffectKind::BankPayment, 0), &[0, 6, 6, 7, 8]),
        };
        let finding = self.finding((tenant, id), said[finding % said.len()], amount);
        self.say(Report { tenant, subject: id, effect: kind.id_on_leg(id, leg), finding });
    }

    /// A finding about a subject, mostly with the amount that was agreed.
    fn finding(&self, (tenant, subject): (TenantNo, Uuid), which: usize, amount: usize) -> Finding {
        let transfer = self.desk.world.transfers.get(&(tenant, TransferId(subject)));
        let withdrawal = self.desk.world.withdrawals.get(&(tenant, WithdrawalId(subject)));
        let odd = |right: Money, wrong: Currency| match amount % 24 {
            0 => Money::new(right.currency, right.minor - 1),
            1 => Money::new(right.currency, right.minor * 2),
            2 => Money::new(right.currency, 0),
            3 => Money::new(wrong, right.minor),
            _ => right,
        };
        let of = |part: fn(&Transfer) -> Money| transfer.map(part).or(withdrawal.map(|w| w.amount)).unwrap();
        match which {
            0 => Finding::Accepted,
            1 => delivered(odd(of(|t| t.terms.bought), STABLES[amount % 2])),
            2 => settled(),
            3 => paid(odd(
                of(|t| t.progress.sale.as_ref().map_or(t.terms.destination, |s| s.proceeds)),
                DESTINATIONS[amount % 4],
            )),
            4 => returning(),
            5 => {
                let amount_back = odd(
                    of(|t| if t.progress.sale.is_some() { t.terms.bought } else { t.terms.sent }),
                    STABLES[amount % 2],
                );
                // Nobody, somebody at a good price or a better one, or somebody at a price that nobody takes.
                let offer = transfer.filter(|_| !(amount / 4).is_multiple_of(4)).map(|t| {
                    let worth = t.terms.source.minor * [1_000, 985, 1_004, 960][amount / 4 % 4] / 1_000;
                    rate_text(t.terms.bought, Money::new(t.terms.source.currency, worth))
                });
                if amount.is_multiple_of(5) {
                    returned(amount_back)
                } else {
                    sent_back(amount_back, offer.as_deref(), self.desk.now)
                }
            }
            6 => Finding::PaymentExecuted,
            7 => refused(),
            _ => unresolved(),
        }
    }

    /// A finding can only count if its effect is its subject's own, ordered, and not over.
    fn say(&mut self, report: Report) {
        let own = EffectKind::of(report.subject, report.effect).is_some();
        let status = self.desk.world.effects.get(&(report.tenant, report.effect)).copied();
        let open = matches!(status, Some(EffectStatus::Untouched | EffectStatus::Started | EffectStatus::Accepted));
        let answer = self.desk.say(report.clone());
        assert!(changes_nothing(&answer) || (own && open), "{report:?}");
        // Said once more at once, it changes nothing: whatever it was.
        assert!(changes_nothing(&self.desk.say(report.clone())), "{report:?}");
        self.reports.push(report);
    }
}
