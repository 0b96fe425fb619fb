//! What one provider does not do, another does: only on proof that the first has failed, for the same amounts, and when
//! nobody does it, the tokens are sold back.

use super::commands::{
    A, B, WIDE, delivered, gbp, paid, rate_text, refused, returned, returning, sent_back, settled, unresolved, usual,
};
use super::desk::Desk;
use crate::account::AccountKind::{Bank, Exchange, OffRamp as AtOffRamp, Wallet};
use crate::decide::{Answer, Command, Report};
use crate::effect::Effect;
use crate::effect::EffectKind::{self, OffRamp, OnRamp, SellBack, Settle};
use crate::finding::{Finding, PROVIDER_OFF};
use crate::money::{Currency, Money};
use crate::quote::Fallbacks;
use crate::review::{Decided, Decision};
use crate::transfer::{Transfer, TransferState, sale_reference};
use crate::world::Change;

const FUNDS: i128 = 2_000_00;

/// A transfer with one provider more on either side.
fn desk() -> (Desk, Transfer) {
    let mut desk = Desk::new([(A, usual(WIDE)), (B, usual(WIDE))]);
    desk.top_up(A, gbp(FUNDS));
    let fallbacks = Fallbacks { on_ramps: vec!["quayside".into()], off_ramps: vec!["solano".into()] };
    let quote = desk.quote_with(A, gbp(1_000_00), (Currency::NGN, Currency::USDC), fallbacks).unwrap();
    let transfer = desk.create(A, quote).unwrap();
    (desk, transfer)
}

impl Desk {
    /// Says something about a leg; returns what was ordered.
    fn on_leg(&mut self, of: &Transfer, kind: EffectKind, leg: u8, finding: Finding) -> Vec<Effect> {
        let effect = kind.id_on_leg(of.id.0, leg);
        let report = Report { tenant: of.tenant, subject: of.id.0, effect, finding };
        let decision = self.run_unaudited(&Command::Report(report)).unwrap();
        assert_eq!(decision.answer, Answer::Applied);
        self.audit();
        let ordered = |c| if let Change::EffectOrdered(order) = c { Some(order.effect) } else { None };
        decision.changes.into_iter().filter_map(ordered).collect()
    }

    fn answer(&mut self, of: &Transfer, kind: EffectKind, leg: u8, finding: Finding) -> Answer {
        let effect = kind.id_on_leg(of.id.0, leg);
        self.say(Report { tenant: of.tenant, subject: of.id.0, effect, finding })
    }
}

/// Both off-ramps have sent the tokens back, the second one while somebody offers `source` times this, in permille.
fn nobody_pays(permille: i128) -> (Desk, Transfer) {
    let (mut desk, transfer) = desk();
    let terms = &transfer.terms;
    let worth = Money::new(Currency::GBP, terms.source.minor * permille / 1_000);
    let offer = rate_text(terms.bought, worth);
    desk.on_leg(&transfer, OnRamp, 0, delivered(terms.bought));
    for leg in [0, 1] {
        desk.on_leg(&transfer, Settle, leg, settled());
        let now = desk.now;
        desk.on_leg(&transfer, OffRamp, leg, sent_back(terms.sent, Some(&offer), now));
    }
    (desk, transfer)
}

#[test]
fn trap_08_another_on_ramp_gets_the_order_only_when_the_first_has_refused_it() {
    for accepted_first in [false, true] {
        let (mut desk, transfer) = desk();
        if accepted_first {
            desk.on_leg(&transfer, OnRamp, 0, Finding::Accepted);
        }
        let state = desk.state(&transfer);
        let ordered = desk.on_leg(&transfer, OnRamp, 0, refused());
        let (source, expected) = (transfer.terms.source, transfer.terms.bought);
        assert_eq!(ordered, [Effect::OnRamp { provider: "quayside".into(), source, expected }]);
        assert_eq!(desk.state(&transfer), state);
        // What the first one says from now on is no news, and that it has delivered is an alarm.
        assert_eq!(desk.answer(&transfer, OnRamp, 0, Finding::Accepted), Answer::Nothing);
        assert_eq!(desk.answer(&transfer, OnRamp, 0, delivered(expected)), Answer::Contradicts);
        assert_eq!(desk.answer(&transfer, OnRamp, 1, Finding::Accepted), Answer::Applied);
        desk.on_leg(&transfer, OnRamp, 1, delivered(expected));
        assert_eq!(desk.state(&transfer), TransferState::Settling);
        assert_eq!(desk.answer(&transfer, OnRamp, 0, delivered(expected)), Answer::Contradicts);
        assert_eq!(desk.now_of(&transfer).progress.refused_orders[0].provider, "harbour");
    }
    let (mut desk, transfer) = desk();
    assert!(desk.on_leg(&transfer, OnRamp, 0, unresolved()).is_empty(), "unclear is no proof");
    assert_eq!(desk.state(&transfer), TransferState::UnderReview);
}

#[test]
fn when_every_on_ramp_refuses_the_debit_is_released() {
    for accepted in [false, true] {
        let (mut desk, transfer) = desk();
        if accepted {
            desk.on_leg(&transfer, OnRamp, 0, Finding::Accepted);
        }
        desk.on_leg(&transfer, OnRamp, 0, refused());
        assert!(desk.on_leg(&transfer, OnRamp, 1, refused()).is_empty());
        assert_eq!(desk.state(&transfer), TransferState::Refunded);
        assert_eq!(desk.parts(A, Currency::GBP), (FUNDS, 0, 0));
    }
}

/// The order that nobody has touched yet is the second one's: it can be called off as the first could.
#[test]
fn what_waits_for_the_second_on_ramp_can_be_cancelled() {
    let (mut desk, transfer) = desk();
    desk.claim(A, OnRamp.id_for(transfer.id.0));
    desk.on_leg(&transfer, OnRamp, 0, refused());
    desk.cancel(&transfer).unwrap();
    assert_eq!(desk.parts(A, Currency::GBP), (FUNDS, 0, 0));
}

#[test]
fn trap_08_another_off_ramp_pays_only_when_all_tokens_are_back() {
    let (mut desk, transfer) = desk();
    let terms = &transfer.terms;
    desk.on_leg(&transfer, OnRamp, 0, delivered(terms.bought));
    desk.on_leg(&transfer, Settle, 0, settled());
    assert!(desk.on_leg(&transfer, OffRamp, 0, returning()).is_empty(), "announced is not back");
    let now = desk.now;
    let ordered = desk.on_leg(&transfer, OffRamp, 0, sent_back(terms.sent, Some("0.8"), now));
    let [Effect::Settle { provider, payout, amount, .. }] = &ordered[..] else { panic!("{ordered:?}") };
    assert_eq!((provider.as_str(), *amount), ("solano", terms.sent));
    assert_eq!(*payout, Some(OffRamp.id_on_leg(transfer.id.0, 1)));
    assert_eq!(desk.state(&transfer), TransferState::Settling);
    assert_eq!(desk.answer(&transfer, OffRamp, 0, paid(terms.destination)), Answer::Contradicts);
    let ordered = desk.on_leg(&transfer, Settle, 1, settled());
    assert!(matches!(&ordered[..], [Effect::OffRamp { provider, .. }] if provider == "solano"), "{ordered:?}");
    desk.on_leg(&transfer, OffRamp, 1, paid(terms.destination));
    assert_eq!(desk.state(&transfer), TransferState::Completed);
    assert_eq!(desk.answer(&transfer, OffRamp, 0, paid(terms.destination)), Answer::Contradicts);
    assert_eq!(desk.books.platform(AtOffRamp, Currency::USDC), 0);
    let progress = &desk.now_of(&transfer).progress;
    assert_eq!((progress.returned_payouts[0].provider.as_str(), &progress.failure), ("meridian", &None));
}

#[test]
fn what_lies_with_the_beneficiary_is_not_tried_elsewhere() {
    let (mut desk, transfer) = desk();
    desk.on_leg(&transfer, OnRamp, 0, delivered(transfer.terms.bought));
    desk.on_leg(&transfer, Settle, 0, settled());
    assert!(desk.on_leg(&transfer, OffRamp, 0, returned(transfer.terms.sent)).is_empty());
    assert_eq!(desk.state(&transfer), TransferState::Refunded);
}

#[test]
fn tokens_that_nobody_pays_out_are_sold_and_the_tenant_has_its_debit_back() {
    // At a loss, at a gain, and for what they had cost but for a rounding.
    for permille in [985, 1_004, 1_000] {
        let (mut desk, transfer) = nobody_pays(permille);
        assert_eq!(desk.state(&transfer), TransferState::Refunding);
        let sale = desk.now_of(&transfer).progress.sale.clone().unwrap();
        let ordered = desk.on_leg(&transfer, Settle, 2, settled());
        let [Effect::SellBack { provider, sent, proceeds, remittance, .. }] = &ordered[..] else {
            panic!("{ordered:?}")
        };
        assert_eq!((provider.as_str(), *sent, *proceeds), ("solano", transfer.terms.bought, sale.proceeds));
        let bank = desk.books.platform(Bank, Currency::GBP);
        // The buyer's word alone is nothing that anybody could spend.
        desk.on_leg(&transfer, SellBack, 0, paid(sale.proceeds));
        assert_eq!(desk.state(&transfer), TransferState::Refunding);
        assert_eq!(desk.bank_credit("s1", remittance, sale.proceeds), Answer::Applied);
        assert_eq!(desk.state(&transfer), TransferState::Refunded);
        assert_eq!(desk.parts(A, Currency::GBP), (FUNDS, 0, 0));
        assert_eq!(desk.parts(A, Currency::USDC), (0, 0, 0));
        assert_eq!(desk.books.platform(Bank, Currency::GBP), bank + sale.proceeds.minor);
        let result = sale.proceeds.minor - transfer.terms.source.minor;
        assert_eq!(desk.books.platform(Exchange, Currency::GBP), result);
        assert!(result.signum() == (permille - 1_000).signum() || result == -1, "{result}");
        assert_eq!(desk.books.platform(Wallet, Currency::USDC), 0);
        assert_eq!(desk.books.platform(AtOffRamp, Currency::USDC), 0);
        // Once more is somebody else's money.
        assert_eq!(desk.bank_credit("s1", remittance, sale.proceeds), Answer::Nothing);
        assert_eq!(desk.bank_credit("s2", remittance, sale.proceeds), Answer::Applied);
        assert_eq!(desk.parts(A, Currency::GBP), (FUNDS, 0, 0));
    }
}

#[test]
fn a_sale_that_costs_too_much_or_is_offered_by_nobody_is_not_made() {
    let (desk, transfer) = nobody_pays(969);
    assert_eq!(desk.state(&transfer), TransferState::Refunded);
    assert_eq!(desk.parts(A, Currency::USDC), (transfer.terms.bought.minor, 0, 0));
    assert_eq!(nobody_pays(971).0.state(&transfer), TransferState::Refunding);
    // Nobody gives more than it is worth: whoever says so does not mean it.
    assert_eq!(nobody_pays(1_029).0.state(&transfer), TransferState::Refunding);
    assert_eq!(nobody_pays(1_031).0.state(&transfer), TransferState::Refunded);
    // An offer from a while ago is none.
    let (mut desk, transfer) = self::desk();
    desk.on_leg(&transfer, OnRamp, 0, delivered(transfer.terms.bought));
    for leg in [0, 1] {
        desk.on_leg(&transfer, Settle, leg, settled());
        let then = desk.now;
        desk.now = desk.now.plus_ms(60_001);
        desk.on_leg(&transfer, OffRamp, leg, sent_back(transfer.terms.sent, Some("0.785"), then));
    }
    assert_eq!(desk.state(&transfer), TransferState::Refunded);
}

/// Anybody can write a transfer's reference into a payment: only what was agreed, when it is awaited, is the sale's.
#[test]
fn a_credit_that_is_not_the_proceeds_of_the_sale_goes_to_suspense() {
    let (mut desk, transfer) = nobody_pays(990);
    let reference = sale_reference(transfer.id);
    let proceeds = desk.now_of(&transfer).progress.sale.clone().unwrap().proceeds;
    let suspense = |desk: &Desk| desk.books.platform(crate::account::AccountKind::Suspense, Currency::GBP);
    desk.bank_credit("early", &reference, proceeds);
    assert_eq!((desk.state(&transfer), suspense(&desk)), (TransferState::Refunding, proceeds.minor));
    desk.on_leg(&transfer, Settle, 2, settled());
    desk.bank_credit("not even asked", &reference, proceeds);
    desk.claim(A, SellBack.id_for(transfer.id.0));
    desk.bank_credit("less", &reference, Money::new(Currency::GBP, proceeds.minor - 1));
    desk.bank_credit("euros", &reference, Money::new(Currency::EUR, proceeds.minor));
    desk.bank_credit("another", &sale_reference(crate::id::TransferId(super::commands::uuid(999))), proceeds);
    assert_eq!(desk.state(&transfer), TransferState::Refunding);
    desk.bank_credit("it", &reference, proceeds);
    assert_eq!((desk.state(&transfer), desk.parts(A, Currency::GBP)), (TransferState::Refunded, (FUNDS, 0, 0)));
}

#[test]
fn a_buyer_who_gives_the_tokens_back_leaves_the_tenant_with_them() {
    let (mut desk, transfer) = nobody_pays(990);
    desk.on_leg(&transfer, Settle, 2, settled());
    assert_eq!(desk.answer(&transfer, SellBack, 0, returning()), Answer::Applied);
    desk.on_leg(&transfer, SellBack, 0, returned(transfer.terms.bought));
    assert_eq!(desk.state(&transfer), TransferState::Refunded);
    assert_eq!(desk.parts(A, Currency::USDC), (transfer.terms.bought.minor, 0, 0));
    let proceeds = desk.now_of(&transfer).progress.sale.clone().unwrap().proceeds;
    assert_eq!(desk.answer(&transfer, SellBack, 0, paid(proceeds)), Answer::Contradicts);
}

/// What people wait for may still happen: late, or after a wrong word of the buyer.
#[test]
fn the_proceeds_of_a_sale_under_review_end_it() {
    for stuck in [unresolved(), paid(gbp(1))] {
        let (mut desk, transfer) = nobody_pays(990);
        desk.on_leg(&transfer, Settle, 2, settled());
        desk.on_leg(&transfer, SellBack, 0, stuck);
        assert_eq!(desk.state(&transfer), TransferState::UnderReview);
        let proceeds = desk.now_of(&transfer).progress.sale.clone().unwrap().proceeds;
        let reference = sale_reference(transfer.id).to_ascii_uppercase();
        desk.bank_credit("late", &reference, proceeds);
        assert_eq!((desk.state(&transfer), desk.parts(A, Currency::GBP)), (TransferState::Refunded, (FUNDS, 0, 0)));
    }
    // Not when the tokens have come back instead.
    let (mut desk, transfer) = nobody_pays(990);
    desk.on_leg(&transfer, Settle, 2, settled());
    let odd = Money::new(Currency::USDC, transfer.terms.bought.minor - 1);
    desk.on_leg(&transfer, SellBack, 0, returned(odd));
    let proceeds = desk.now_of(&transfer).progress.sale.clone().unwrap().proceeds;
    desk.bank_credit("odd", &sale_reference(transfer.id), proceeds);
    assert_eq!(desk.state(&transfer), TransferState::UnderReview);
}

/// A worker that was held up comes back with the refusal of its own attempt, or with that it made none, when somebody
/// else has started it since.
#[test]
fn trap_08_a_refusal_of_an_earlier_attempt_is_no_proof() {
    for (accepted, reason) in [(false, "declined"), (true, "declined"), (false, PROVIDER_OFF), (true, PROVIDER_OFF)] {
        let (mut desk, transfer) = desk();
        let effect = OnRamp.id_for(transfer.id.0);
        let not_started = |attempt| Finding::NotStarted { reason: reason.into(), attempt };
        desk.claim(A, effect);
        desk.claim(A, effect);
        assert_eq!(desk.answer(&transfer, OnRamp, 0, not_started(1)), Answer::Nothing);
        if accepted {
            desk.on_leg(&transfer, OnRamp, 0, Finding::Accepted);
            assert_eq!(desk.answer(&transfer, OnRamp, 0, not_started(2)), Answer::Nothing, "it was taken since");
        } else {
            assert_eq!(desk.on_leg(&transfer, OnRamp, 0, not_started(2)).len(), 1, "the last attempt's is one");
        }
    }
}

/// The tokens are ours still: another off-ramp gets them at once, and if there is none they wait for this one.
#[test]
fn an_off_ramp_that_is_switched_off_gets_no_tokens() {
    let (mut desk, transfer) = desk();
    desk.on_leg(&transfer, OnRamp, 0, delivered(transfer.terms.bought));
    let off = |desk: &mut Desk, leg| {
        let effect = Settle.id_on_leg(transfer.id.0, leg);
        desk.world.attempts.insert((A, effect), 0);
        desk.answer(&transfer, Settle, leg, Finding::NotStarted { reason: PROVIDER_OFF.into(), attempt: 0 })
    };
    assert_eq!(off(&mut desk, 0), Answer::Applied);
    assert_eq!(off(&mut desk, 1), Answer::Nothing);
    assert_eq!(desk.state(&transfer), TransferState::Settling);
    desk.on_leg(&transfer, Settle, 1, settled());
    desk.on_leg(&transfer, OffRamp, 1, paid(transfer.terms.destination));
    assert_eq!(desk.state(&transfer), TransferState::Completed);
}

/// Wherever a sale gets stuck, people can have it tried again under the same effect, or give the tokens to the tenant.
#[test]
fn trap_09_a_sale_that_is_stuck_has_a_way_out() {
    type Stuck = fn(&mut Desk, &Transfer);
    let ways: [Stuck; 3] = [
        |desk, t| drop(desk.on_leg(t, Settle, 2, unresolved())),
        |desk, t| {
            desk.on_leg(t, Settle, 2, settled());
            desk.on_leg(t, SellBack, 0, unresolved());
        },
        |desk, t| {
            desk.on_leg(t, Settle, 2, settled());
            desk.on_leg(t, SellBack, 0, paid(gbp(1)));
        },
    ];
    for stuck in ways {
        for decision in [Decision::Retry, Decision::Refund] {
            let (mut desk, transfer) = nobody_pays(990);
            stuck(&mut desk, &transfer);
            assert_eq!(desk.state(&transfer), TransferState::UnderReview);
            let (proposed_by, approved_by) = ("ada".into(), "grace".into());
            let decided =
                Decided { tenant: A, subject: transfer.id.0, decision: decision.clone(), proposed_by, approved_by };
            desk.run(&Command::Decide(decided)).unwrap();
            if decision == Decision::Refund {
                assert_eq!(desk.parts(A, Currency::USDC), (transfer.terms.bought.minor, 0, 0));
                continue;
            }
            assert_eq!(desk.state(&transfer), TransferState::Refunding);
            if desk.now_of(&transfer).progress.sale.as_ref().unwrap().settlement_tx.is_none() {
                desk.on_leg(&transfer, Settle, 2, settled());
            }
            desk.claim(A, SellBack.id_for(transfer.id.0));
            let proceeds = desk.now_of(&transfer).progress.sale.clone().unwrap().proceeds;
            desk.bank_credit("s", &sale_reference(transfer.id), proceeds);
            assert_eq!(desk.parts(A, Currency::GBP), (FUNDS, 0, 0));
        }
    }
}
