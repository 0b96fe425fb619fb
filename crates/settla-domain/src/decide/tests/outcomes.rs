//! Every outcome on every leg: the state it leads to, the exact positions, and what the platform's accounts
//! hold. One transfer of GBP 1,000.01 by a tenant that put in GBP 5,000.00.

use super::commands::{A, WIDE, delivered, gbp, paid, refused, returned, returning, settled, unresolved, usual};
use super::desk::Desk;
use crate::account::AccountKind;
use crate::decide::Answer;
use crate::effect::EffectKind::{self, OffRamp, OnRamp, Settle};
use crate::finding::Finding;
use crate::money::Currency::{self, GBP, NGN, USDC, USDT};
use crate::money::Money;
use crate::transfer::Settlement;
use crate::transfer::TransferState::{
    self, Completed, Funded, OffRamping, OnRamping, Refunded, Refunding, Settling, UnderReview,
};

const FUNDS: i128 = 5_000_00;
const SOURCE: i128 = 1_000_01;
const FEE: i128 = 7_52;
const DEBIT: i128 = SOURCE + FEE;
const REST: i128 = FUNDS - DEBIT;
const BOUGHT: i128 = 1_273_112_731;
const SPREAD: i128 = 6_365_563;
const ROUNDING: i128 = 4;
const SENT: i128 = BOUGHT - SPREAD - ROUNDING;
const DESTINATION: i128 = 1_954_856_89;

type Parts = (i128, i128, i128);
type Story = Vec<(EffectKind, Finding)>;

/// The platform's accounts: assets as what is there, the others as what is owed or earned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Platform {
    bank: i128,
    wallet: i128,
    off_ramp: i128,
    off_ramp_paid: i128,
    conversion: i128,
    fees: i128,
    spread: i128,
    rounding: i128,
    suspense: i128,
}

/// Nothing has left yet.
const AT_HOME: Platform = Platform {
    bank: FUNDS,
    wallet: 0,
    off_ramp: 0,
    off_ramp_paid: 0,
    conversion: 0,
    fees: 0,
    spread: 0,
    rounding: 0,
    suspense: 0,
};
/// The fiat has become tokens in our wallet.
const BOUGHT_TOKENS: Platform = Platform { bank: FUNDS - SOURCE, wallet: BOUGHT, ..AT_HOME };
/// The tokens are at the off-ramp.
const SENT_TOKENS: Platform = Platform { wallet: BOUGHT - SENT, off_ramp: SENT, ..BOUGHT_TOKENS };
const PAID: Platform = Platform {
    off_ramp: 0,
    off_ramp_paid: -DESTINATION,
    conversion: -DESTINATION,
    fees: FEE,
    spread: SPREAD,
    rounding: ROUNDING,
    ..SENT_TOKENS
};

struct Case {
    story: Story,
    state: TransferState,
    failure: Option<&'static str>,
    gbp: Parts,
    usdc: Parts,
    platform: Platform,
}

fn case(
    story: Story,
    state: TransferState,
    failure: Option<&'static str>,
    gbp: Parts,
    usdc: Parts,
    platform: Platform,
) -> Case {
    Case { story, state, failure, gbp, usdc, platform }
}

fn usdc(minor: i128) -> Money {
    Money::new(USDC, minor)
}

fn ngn(minor: i128) -> Money {
    Money::new(NGN, minor)
}

fn on(finding: Finding) -> (EffectKind, Finding) {
    (OnRamp, finding)
}

fn off(finding: Finding) -> (EffectKind, Finding) {
    (OffRamp, finding)
}

/// Delivered, settled, then this.
fn at_the_off_ramp(findings: impl IntoIterator<Item = Finding>) -> Story {
    let mut story = vec![on(delivered(usdc(BOUGHT))), (Settle, settled())];
    story.extend(findings.into_iter().map(off));
    story
}

fn run(case: &Case) {
    let mut desk = Desk::new([(A, usual(WIDE))]);
    desk.top_up(A, gbp(FUNDS));
    let transfer = desk.transfer(A, gbp(SOURCE));
    for (kind, finding) in &case.story {
        assert_eq!(desk.tell(&transfer, *kind, finding.clone()), Answer::Applied, "{finding:?} of {:?}", case.story);
    }
    let told = &case.story;
    let after = desk.now_of(&transfer);
    assert_eq!((after.state, after.progress.failure.as_deref()), (case.state, case.failure), "{told:?}");
    assert_eq!(desk.parts(A, GBP), case.gbp, "{told:?}");
    assert_eq!(desk.parts(A, USDC), case.usdc, "{told:?}");
    assert_eq!(platform(&desk, USDC), case.platform, "{told:?}");
    let pending = if case.state.is_terminal() { 0 } else { DEBIT };
    let usage = desk.world.position(A, GBP).usage;
    assert_eq!((usage.pending, usage.day_total), (pending, DEBIT), "{told:?}");
}

fn platform(desk: &Desk, stable: Currency) -> Platform {
    let sum = |kind, currency| desk.books.platform(kind, currency);
    Platform {
        bank: sum(AccountKind::Bank, GBP),
        wallet: sum(AccountKind::Wallet, stable),
        off_ramp: sum(AccountKind::OffRamp, stable),
        off_ramp_paid: sum(AccountKind::OffRamp, NGN),
        conversion: sum(AccountKind::Conversion, NGN),
        fees: sum(AccountKind::Fees, GBP),
        spread: sum(AccountKind::Spread, stable),
        rounding: sum(AccountKind::Rounding, stable),
        suspense: sum(AccountKind::Suspense, stable),
    }
}

#[test]
fn every_outcome_of_the_on_ramp() {
    let accepted = || on(Finding::Accepted);
    let held = (REST, DEBIT, 0);
    let travelling = (REST, FEE, SOURCE);
    let exchanged = (REST, FEE, 0);
    let back = (FUNDS, 0, 0);
    let none = (0, 0, 0);
    let short = BOUGHT - BOUGHT / 100;
    let differs = Some("on_ramp_amount_differs");
    for case in [
        case(vec![], Funded, None, held, none, AT_HOME),
        case(vec![accepted()], OnRamping, None, travelling, none, AT_HOME),
        case(vec![on(delivered(usdc(BOUGHT)))], Settling, None, exchanged, (0, 0, BOUGHT), BOUGHT_TOKENS),
        case(vec![accepted(), on(delivered(usdc(BOUGHT)))], Settling, None, exchanged, (0, 0, BOUGHT), BOUGHT_TOKENS),
        case(
            vec![on(delivered(usdc(short)))],
            UnderReview,
            differs,
            exchanged,
            (0, 0, short),
            Platform { wallet: short, ..BOUGHT_TOKENS },
        ),
        case(
            vec![accepted(), on(delivered(usdc(short)))],
            UnderReview,
            differs,
            exchanged,
            (0, 0, short),
            Platform { wallet: short, ..BOUGHT_TOKENS },
        ),
        case(
            vec![accepted(), on(delivered(usdc(BOUGHT + 1)))],
            UnderReview,
            differs,
            exchanged,
            (0, 0, BOUGHT + 1),
            Platform { wallet: BOUGHT + 1, ..BOUGHT_TOKENS },
        ),
        case(
            vec![accepted(), on(delivered(usdc(0)))],
            UnderReview,
            differs,
            exchanged,
            none,
            Platform { wallet: 0, ..BOUGHT_TOKENS },
        ),
        case(vec![on(refused())], Refunded, Some("declined"), back, none, AT_HOME),
        case(vec![accepted(), on(refused())], Refunded, Some("declined"), back, none, AT_HOME),
        case(vec![on(unresolved())], UnderReview, Some("no_answer"), held, none, AT_HOME),
        case(vec![accepted(), on(unresolved())], UnderReview, Some("no_answer"), travelling, none, AT_HOME),
    ] {
        run(&case);
    }
}

#[test]
fn a_delivery_of_another_stablecoin_is_reviewed_and_booked_as_what_it_is() {
    let mut desk = Desk::new([(A, usual(WIDE))]);
    desk.top_up(A, gbp(FUNDS));
    let transfer = desk.transfer(A, gbp(SOURCE));
    desk.tell(&transfer, OnRamp, delivered(Money::new(USDT, BOUGHT)));
    assert_eq!(desk.state(&transfer), UnderReview);
    assert_eq!((desk.parts(A, USDC), desk.parts(A, USDT)), ((0, 0, 0), (0, 0, BOUGHT)));
    assert_eq!(platform(&desk, USDT), BOUGHT_TOKENS);
}

#[test]
fn every_outcome_of_the_settlement() {
    let gbp = (REST, FEE, 0);
    let usdc = (0, 0, BOUGHT);
    let told = |finding| vec![on(delivered(Money::new(USDC, BOUGHT))), (Settle, finding)];
    for case in [
        case(told(settled()), OffRamping, None, gbp, usdc, SENT_TOKENS),
        case(told(refused()), UnderReview, Some("declined"), gbp, usdc, BOUGHT_TOKENS),
        case(told(unresolved()), UnderReview, Some("no_answer"), gbp, usdc, BOUGHT_TOKENS),
    ] {
        run(&case);
    }
}

#[test]
fn every_outcome_of_the_off_ramp() {
    let open = (REST, FEE, 0);
    let held = (0, 0, BOUGHT);
    let none = (0, 0, 0);
    let short = DESTINATION - DESTINATION / 100;
    let disputed =
        |paid: i128| Platform { off_ramp: 0, off_ramp_paid: -paid, conversion: -paid, suspense: -SENT, ..SENT_TOKENS };
    let part = SENT - SENT / 100;
    let part_back = Platform { wallet: BOUGHT - SENT + part, off_ramp: SENT - part, ..SENT_TOKENS };
    let closed = Some("account_closed");
    let returned_all = || returned(usdc(SENT));
    for case in [
        case(at_the_off_ramp([Finding::Accepted]), OffRamping, None, open, held, SENT_TOKENS),
        case(at_the_off_ramp([paid(ngn(DESTINATION))]), Completed, None, (REST, 0, 0), none, PAID),
        case(at_the_off_ramp([Finding::Accepted, paid(ngn(DESTINATION))]), Completed, None, (REST, 0, 0), none, PAID),
        case(
            at_the_off_ramp([paid(ngn(short))]),
            UnderReview,
            Some("payout_amount_differs"),
            open,
            held,
            disputed(short),
        ),
        case(
            at_the_off_ramp([Finding::Accepted, paid(ngn(DESTINATION + 1))]),
            UnderReview,
            Some("payout_amount_differs"),
            open,
            held,
            disputed(DESTINATION + 1),
        ),
        case(at_the_off_ramp([paid(ngn(0))]), UnderReview, Some("payout_amount_differs"), open, held, disputed(0)),
        case(at_the_off_ramp([returning()]), Refunding, closed, open, held, SENT_TOKENS),
        case(at_the_off_ramp([Finding::Accepted, returning()]), Refunding, closed, open, held, SENT_TOKENS),
        case(
            at_the_off_ramp([returned_all()]),
            Refunded,
            closed,
            (FUNDS - SOURCE, 0, 0),
            (BOUGHT, 0, 0),
            BOUGHT_TOKENS,
        ),
        case(
            at_the_off_ramp([Finding::Accepted, returned_all()]),
            Refunded,
            closed,
            (FUNDS - SOURCE, 0, 0),
            (BOUGHT, 0, 0),
            BOUGHT_TOKENS,
        ),
        case(
            at_the_off_ramp([Finding::Accepted, returning(), returned_all()]),
            Refunded,
            closed,
            (FUNDS - SOURCE, 0, 0),
            (BOUGHT, 0, 0),
            BOUGHT_TOKENS,
        ),
        case(
            at_the_off_ramp([returning(), returned(usdc(part))]),
            UnderReview,
            Some("return_amount_differs"),
            open,
            held,
            part_back,
        ),
        case(at_the_off_ramp([returned(usdc(0))]), UnderReview, Some("return_amount_differs"), open, held, SENT_TOKENS),
        case(at_the_off_ramp([refused()]), UnderReview, Some("declined"), open, held, SENT_TOKENS),
        case(at_the_off_ramp([Finding::Accepted, refused()]), UnderReview, Some("declined"), open, held, SENT_TOKENS),
        case(at_the_off_ramp([unresolved()]), UnderReview, Some("no_answer"), open, held, SENT_TOKENS),
        case(
            at_the_off_ramp([Finding::Accepted, unresolved()]),
            UnderReview,
            Some("no_answer"),
            open,
            held,
            SENT_TOKENS,
        ),
        case(at_the_off_ramp([returning(), unresolved()]), UnderReview, Some("no_answer"), open, held, SENT_TOKENS),
        case(
            at_the_off_ramp([returning(), paid(ngn(DESTINATION))]),
            UnderReview,
            Some("paid_while_returning"),
            open,
            held,
            disputed(DESTINATION),
        ),
    ] {
        run(&case);
    }
}

#[test]
fn a_payout_in_another_currency_is_reviewed_and_booked_as_what_it_is() {
    let mut desk = Desk::new([(A, usual(WIDE))]);
    desk.top_up(A, gbp(FUNDS));
    let transfer = desk.transfer(A, gbp(SOURCE));
    for (kind, finding) in at_the_off_ramp([paid(Money::new(Currency::KES, DESTINATION))]) {
        desk.tell(&transfer, kind, finding);
    }
    assert_eq!(desk.state(&transfer), UnderReview);
    assert_eq!(platform(&desk, USDC), Platform { off_ramp: 0, suspense: -SENT, ..SENT_TOKENS });
    assert_eq!(desk.books.platform(AccountKind::Conversion, Currency::KES), -DESTINATION);
}

/// Each step orders the next one, with what the quote says, and the end orders nothing.
#[test]
fn each_step_orders_the_next_with_the_quotes_amounts() {
    use crate::decide::Command;
    use crate::effect::Effect;
    use crate::world::Change;
    let mut desk = Desk::new([(A, usual(WIDE))]);
    desk.top_up(A, gbp(FUNDS));
    let transfer = desk.transfer(A, gbp(SOURCE));
    let mut orders = Vec::new();
    for (kind, finding) in at_the_off_ramp([paid(ngn(DESTINATION))]) {
        let report = super::commands::report(A, transfer.id.0, kind, finding);
        let decision = desk.run_unaudited(&Command::Report(report)).unwrap();
        orders.extend(
            decision
                .changes
                .into_iter()
                .filter_map(|c| if let Change::EffectOrdered(o) = c { Some(o.effect) } else { None }),
        );
    }
    let settle = Effect::Settle {
        chain: "eip155:43113".into(),
        provider: "meridian".into(),
        amount: usdc(SENT),
        settlement: Settlement::Batched,
        payout: Some(OffRamp.id_for(transfer.id.0)),
    };
    let off_ramp = Effect::OffRamp {
        provider: "meridian".into(),
        sent: usdc(SENT),
        destination: ngn(DESTINATION),
        settlement_tx: "0x5e".into(),
        country: "NG".into(),
        refund_currency: Some(GBP),
    };
    assert_eq!(orders, [settle, off_ramp]);
}

/// What became known on the way is kept with the transfer.
#[test]
fn a_completed_transfer_tells_its_story() {
    let mut desk = Desk::new([(A, usual(WIDE))]);
    desk.top_up(A, gbp(FUNDS));
    let transfer = desk.transfer(A, gbp(SOURCE));
    for (kind, finding) in at_the_off_ramp([Finding::Accepted, paid(ngn(DESTINATION))]) {
        desk.now = desk.now.plus_ms(1_000);
        desk.tell(&transfer, kind, finding);
    }
    let after = desk.now_of(&transfer);
    let progress = &after.progress;
    assert_eq!((progress.delivered, progress.delivery_tx.as_deref()), (Some(usdc(BOUGHT)), Some("0xd1")));
    assert_eq!(progress.settlement_batch.map(|b| b.0.as_u128()), Some(5));
    assert_eq!(progress.settlement_tx.as_deref(), Some("0x5e"));
    assert_eq!((progress.paid, progress.payout_reference.as_deref()), (Some(ngn(DESTINATION)), Some("P1")));
    assert_eq!((progress.return_tx.as_deref(), progress.failure.as_deref()), (None, None));
    assert_eq!((after.version, after.updated_at.ms_since(after.created_at)), (4, 4_000));
}
