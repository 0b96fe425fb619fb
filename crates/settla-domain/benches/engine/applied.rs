//! `World::apply`: where a posting against the rules, or one that a position does not cover, is found.

use crate::commands::{A, B};
use crate::payment::{FUNDS, LIMITS, Step, assert_same, carry_out, desk, up_to};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use settla_domain::account::{AccountId, AccountKind};
use settla_domain::decide::{Command, decide};
use settla_domain::posting::{Posting, PostingError};
use settla_domain::time::Timestamp;
use settla_domain::world::{Broken, Change, World};

/// The changes of one payment's step, on the state that they meet.
#[divan::bench(args = Step::ALL)]
fn step(bencher: Bencher, step: Step) {
    let mut desk = desk(LIMITS);
    let commands = up_to(&mut desk, step, 1);
    let before = desk.world.clone();
    let changes = decide(&before, &commands[0], desk.now).unwrap().changes;
    carry_out(&mut desk, step, &commands);
    let mut after = before.clone();
    after.apply(&changes).unwrap();
    assert_same(&after, &desk);
    bencher.with_inputs(|| before.clone()).bench_refs(|world| world.apply(black_box(&changes)));
}

/// The changes of a whole payment.
#[divan::bench]
fn payment(bencher: Bencher) {
    let (before, changes) = whole();
    let mut after = before.clone();
    after.apply(&changes).unwrap();
    bencher
        .counter(ItemsCount::new(postings(&changes).len()))
        .with_inputs(|| before.clone())
        .bench_refs(|world| world.apply(black_box(&changes)));
}

/// The rules of a posting alone, for all of a payment's.
#[divan::bench]
fn rules(bencher: Bencher) {
    let postings = postings(&whole().1);
    assert_eq!(postings.iter().map(Posting::check).collect::<Result<Vec<()>, _>>().map(|all| all.len()), Ok(10));
    bencher.counter(ItemsCount::new(postings.len())).bench(|| {
        // All of them, so that none is left out behind one that fails.
        black_box(&postings).iter().filter(|posting| posting.check().is_ok()).count()
    });
}

/// What is wrong with a posting.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    NotCovered,
    OfTwoTenants,
}

/// A reservation that breaks an invariant, and is found.
#[divan::bench(args = [Wrong::NotCovered, Wrong::OfTwoTenants])]
fn broken(bencher: Bencher, wrong: Wrong) {
    let mut desk = desk(LIMITS);
    let commands = up_to(&mut desk, Step::Transfer, 1);
    let before = desk.world.clone();
    let mut changes = decide(&before, &commands[0], desk.now).unwrap().changes;
    let hold = changes.iter_mut().find_map(|change| match change {
        Change::Posted(posting) => Some(posting),
        _ => None,
    });
    let hold = hold.expect("a reservation posts");
    let expected = match wrong {
        Wrong::NotCovered => {
            hold.amount.minor = FUNDS.minor + 1;
            Broken::Position
        }
        Wrong::OfTwoTenants => {
            hold.credit = AccountId::tenant(B, AccountKind::Held);
            Broken::Posting(PostingError::CrossTenant)
        }
    };
    assert_eq!(hold.tenant, A);
    assert_eq!(before.clone().apply(&changes), Err(expected));
    bencher.with_inputs(|| before.clone()).bench_refs(|world| world.apply(black_box(&changes)));
}

/// The state before a payment, and all that the payment changes.
fn whole() -> (World, Vec<Change>) {
    let mut desk = desk(LIMITS);
    let before = desk.world.clone();
    let mut changes = Vec::new();
    for (step, command) in Step::ALL.into_iter().zip(crate::payment::payment(&mut desk)) {
        changes.extend(changes_of(&desk.world, &command, desk.now));
        carry_out(&mut desk, step, &[command]);
    }
    let mut after = before.clone();
    after.apply(&changes).unwrap();
    assert_same(&after, &desk);
    (before, changes)
}

fn changes_of(world: &World, command: &Command, now: Timestamp) -> Vec<Change> {
    decide(world, command, now).unwrap().changes
}

fn postings(changes: &[Change]) -> Vec<Posting> {
    let posting = |change: &Change| if let Change::Posted(posting) = change { Some(posting.clone()) } else { None };
    changes.iter().filter_map(posting).collect()
}
