//! Every documented outcome on either leg, against the real sandbox, Postgres and chain: the right state, the
//! right balances, and books that agree with everybody else's.

mod common;

use common::{Fixture, minor};
use serde_json::Value;
use settla::local::{Amount, ApiClient};
use std::time::Duration;

/// Which leg a case is about.
#[derive(Clone, Copy)]
enum Leg {
    On,
    Off,
}

/// What a case must end as.
struct Case {
    leg: Leg,
    digit: u8,
    what: &'static str,
    state: &'static str,
    failure: Option<&'static str>,
}

const CASES: [Case; 20] = [
    case(Leg::On, 0, "accepted", "COMPLETED", None),
    case(Leg::On, 1, "refused", "REFUNDED", Some("declined")),
    case(Leg::On, 2, "slow", "COMPLETED", None),
    case(Leg::On, 3, "never answered", "COMPLETED", None),
    case(Leg::On, 4, "answered twice", "COMPLETED", None),
    case(Leg::On, 5, "answered after the time-out", "COMPLETED", None),
    case(Leg::On, 6, "wrong amount", "UNDER_REVIEW", Some("on_ramp_amount_differs")),
    case(Leg::On, 7, "webhook before the response", "COMPLETED", None),
    case(Leg::On, 8, "webhook lost", "COMPLETED", None),
    case(Leg::On, 9, "request lost", "COMPLETED", None),
    case(Leg::Off, 0, "accepted", "COMPLETED", None),
    case(Leg::Off, 1, "refused", "REFUNDED", Some("declined")),
    case(Leg::Off, 2, "slow", "COMPLETED", None),
    case(Leg::Off, 3, "never answered", "COMPLETED", None),
    case(Leg::Off, 4, "answered twice", "COMPLETED", None),
    case(Leg::Off, 5, "answered after the time-out", "COMPLETED", None),
    case(Leg::Off, 6, "wrong amount", "UNDER_REVIEW", Some("payout_amount_differs")),
    case(Leg::Off, 7, "webhook before the response", "COMPLETED", None),
    case(Leg::Off, 8, "webhook lost", "COMPLETED", None),
    case(Leg::Off, 9, "request lost", "COMPLETED", None),
];

const fn case(leg: Leg, digit: u8, what: &'static str, state: &'static str, failure: Option<&'static str>) -> Case {
    Case { leg, digit, what, state, failure }
}

/// Starts a case; returns the transfer's id.
async fn start(client: &ApiClient, case: &Case) -> String {
    let amount = match case.leg {
        Leg::On => format!("4000.0{}", case.digit),
        Leg::Off => format!("4000000.0{}", case.digit),
    };
    let amount = match case.leg {
        Leg::On => Amount::Source(&amount),
        Leg::Off => Amount::Destination(&amount),
    };
    let transfer = client.pay(amount, case.what).await.unwrap();
    assert_eq!(transfer["state"], "FUNDED");
    transfer["id"].as_str().unwrap().to_owned()
}

/// What the tenant's positions must have changed by, in minor units.
#[derive(Default)]
struct Expected {
    gbp_available: i128,
    gbp_held: i128,
    usdc_in_transit: i128,
}

impl Expected {
    fn add(&mut self, case: &Case, transfer: &Value) {
        let price = &transfer["price"];
        let (debit, source, bought) = (minor(&price["debit"]), minor(&price["source"]), minor(&price["bought"]));
        let tried = |field: &str| transfer[field].as_array().map_or(0, Vec::len);
        match (case.state, case.leg) {
            ("COMPLETED", _) => self.gbp_available -= debit,
            // No on-ramp took the money: all of it is back. The last refusal is the transfer's failure.
            ("REFUNDED", Leg::On) => assert_eq!(tried("refused_orders"), 1, "{transfer}"),
            // The money had become stablecoin, which no off-ramp paid out: it was sold, and all of the debit is back.
            ("REFUNDED", Leg::Off) => {
                assert_eq!(tried("returned_payouts"), 2, "{transfer}");
                assert_eq!(transfer["sale"]["paid"], true, "{transfer}");
                let loss: f64 = transfer["sale"]["fx_loss"].as_str().unwrap().parse().unwrap();
                let proceeds = minor(&transfer["sale"]["proceeds"]);
                assert_eq!((loss * 100.0).round() as i128, source - proceeds, "{transfer}");
            }
            // What arrived is the tenant's and waits for people; so does the fee.
            ("UNDER_REVIEW", Leg::On) => {
                self.gbp_available -= debit;
                self.gbp_held += debit - source;
                self.usdc_in_transit += minor(&transfer["delivered"]);
            }
            ("UNDER_REVIEW", Leg::Off) => {
                self.gbp_available -= debit;
                self.gbp_held += debit - source;
                self.usdc_in_transit += bought;
            }
            other => panic!("no expectation for {}", other.0),
        }
    }
}

#[tokio::test]
async fn every_outcome_ends_in_the_right_state_with_the_right_balances() {
    let fixture = Fixture::start("outcomes", &[]).await;
    let client = fixture.system.client(0).unwrap();
    let before = common::positions(&client).await;
    let mut ids = Vec::new();
    for case in &CASES {
        ids.push(start(&client, case).await);
    }
    let mut expected = Expected::default();
    for (case, id) in CASES.iter().zip(&ids) {
        let leg = match case.leg {
            Leg::On => "on-ramp",
            Leg::Off => "off-ramp",
        };
        let transfer = client
            .wait_for(id, &["COMPLETED", "REFUNDED", "UNDER_REVIEW", "FAILED"], Duration::from_secs(90))
            .await
            .unwrap();
        assert_eq!(transfer["state"], case.state, "{leg} {}: {transfer}", case.what);
        assert_eq!(transfer["failure"].as_str(), case.failure, "{leg} {}", case.what);
        expected.add(case, &transfer);
    }
    let after = common::positions(&client).await;
    let change = |currency: &str, part: &str| after.get(currency, part) - before.get(currency, part);
    assert_eq!(change("GBP", "available"), expected.gbp_available);
    assert_eq!(change("GBP", "held"), expected.gbp_held);
    assert_eq!(change("GBP", "in_transit"), 0);
    assert_eq!(change("USDC", "available"), 0);
    assert_eq!(change("USDC", "held"), 0);
    assert_eq!(change("USDC", "in_transit"), expected.usdc_in_transit);
    fixture.books_agree().await;
    fixture.stop().await;
}
