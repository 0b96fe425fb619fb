//! `decide`: a command by itself, and whole payments with what they change.

use crate::payment::{LIMITS, SIDE_BY_SIDE, Step, assert_same, carry_out, desk, fold, side_by_side, up_to};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use settla_domain::decide::decide;

/// One command on the state that it meets. Nothing is applied.
#[divan::bench(args = Step::ALL)]
fn command(bencher: Bencher, step: Step) {
    let mut desk = desk(LIMITS);
    let commands = up_to(&mut desk, step, 1);
    let (world, now) = (desk.world.clone(), desk.now);
    assert!(!decide(&world, &commands[0], now).unwrap().changes.is_empty());
    carry_out(&mut desk, step, &commands);
    bencher.bench(|| decide(black_box(&world), black_box(&commands[0]), now));
}

/// Payments from quote to completed, all that a batch may hold side by side: decided and applied.
#[divan::bench(args = SIDE_BY_SIDE)]
fn payments(bencher: Bencher, payments: usize) {
    let mut desk = desk(LIMITS);
    let before = desk.world.clone();
    let commands = side_by_side(&mut desk, payments);
    for step in Step::ALL {
        carry_out(&mut desk, step, &commands[step as usize]);
    }
    let now = desk.now;
    let mut after = before.clone();
    fold(&mut after, commands.iter().flatten(), now);
    assert_same(&after, &desk);
    bencher
        .counter(ItemsCount::new(payments))
        .with_inputs(|| before.clone())
        .bench_refs(|world| fold(world, commands.iter().flatten(), now));
}
