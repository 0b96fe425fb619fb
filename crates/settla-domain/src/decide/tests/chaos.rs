//! Commands in any order, over several tenants and currencies; findings that are doubled, late, early,
//! contradictory or about something else. The [model](super::model) checks every answer and every state.

use super::cases;
use super::model::Model;
use proptest::prelude::*;

/// One step. Numbers choose among what there is, so that every sequence means something.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Announce {
        tenant: usize,
        currency: usize,
    },
    Credit {
        topup: usize,
        currency: Option<usize>,
        minor: i64,
        entry: u8,
    },
    Quote {
        tenant: usize,
        source: usize,
        way: usize,
        minor: i64,
    },
    /// A quote, used at once.
    Start {
        tenant: usize,
        source: usize,
        way: usize,
        minor: i64,
    },
    /// `by` is another tenant, now and then.
    Create {
        by: Option<usize>,
        quote: usize,
    },
    Cancel {
        by: Option<usize>,
        transfer: usize,
    },
    Withdraw {
        tenant: usize,
        currency: usize,
        minor: i64,
        reference: u8,
    },
    Claim {
        subject: usize,
    },
    /// What may well be said next about a subject.
    Tell {
        subject: usize,
        finding: usize,
        amount: usize,
    },
    /// Anything about anything.
    Babble {
        by: Option<usize>,
        subject: usize,
        effect_of: Option<usize>,
        kind: usize,
        finding: usize,
        amount: usize,
    },
    /// Something that was said before.
    Again {
        report: usize,
    },
    /// People decide about it, whether it waits for them or not.
    Decide {
        by: Option<usize>,
        subject: usize,
        verdict: usize,
    },
    /// Suspended one time in four, active otherwise.
    Status {
        tenant: usize,
        number: usize,
    },
    Pass {
        ms: i64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let some = || 0..64usize;
    let rarely = || proptest::option::weighted(0.15, 0..64usize);
    prop_oneof![
        1 => (some(), some()).prop_map(|(tenant, currency)| Op::Announce { tenant, currency }),
        4 => (some(), rarely(), -5i64..300_000, any::<u8>()).prop_map(|(topup, currency, minor, entry)| Op::Credit { topup, currency, minor, entry }),
        4 => (some(), some(), some(), 1i64..100_000).prop_map(|(tenant, source, way, minor)| Op::Quote { tenant, source, way, minor }),
        14 => (some(), some(), some(), 1i64..100_000).prop_map(|(tenant, source, way, minor)| Op::Start { tenant, source, way, minor }),
        4 => (rarely(), some()).prop_map(|(by, quote)| Op::Create { by, quote }),
        3 => (rarely(), some()).prop_map(|(by, transfer)| Op::Cancel { by, transfer }),
        3 => (some(), some(), 1i64..150_000, 0u8..12).prop_map(|(tenant, currency, minor, reference)| Op::Withdraw { tenant, currency, minor, reference }),
        3 => some().prop_map(|subject| Op::Claim { subject }),
        40 => (some(), some(), some()).prop_map(|(subject, finding, amount)| Op::Tell { subject, finding, amount }),
        6 => (rarely(), some(), rarely(), some(), some(), some()).prop_map(|(by, subject, effect_of, kind, finding, amount)| Op::Babble { by, subject, effect_of, kind, finding, amount }),
        6 => some().prop_map(|report| Op::Again { report }),
        8 => (rarely(), some(), some()).prop_map(|(by, subject, verdict)| Op::Decide { by, subject, verdict }),
        2 => (some(), some()).prop_map(|(tenant, number)| Op::Status { tenant, number }),
        3 => prop_oneof![0i64..5_000, 30_000i64..90_000, 3_600_000i64..30_000_000].prop_map(|ms| Op::Pass { ms }),
    ]
}

proptest! {
    #![proptest_config(cases(120))]

    #[test]
    fn any_interleaving_keeps_every_invariant(ops in proptest::collection::vec(op(), 1..250)) {
        let mut model = Model::new();
        for op in &ops {
            model.step(op);
        }
    }
}
