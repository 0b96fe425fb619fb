//! The reservation: a quote used, limits counted, the debit held. Or why not.

use crate::commands::A;
use crate::payment::{FUNDS, LIMITS, SIDE_BY_SIDE, Step, assert_same, carry_out, desk, fold, up_to};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use settla_domain::decide::decide;
use settla_domain::limit::Limits;
use settla_domain::money::Currency;
use settla_domain::refusal::Refusal;

/// So many transfers of one tenant in one batch, each with a quote of its own: decided and applied.
#[divan::bench(args = SIDE_BY_SIDE)]
fn transfers(bencher: Bencher, transfers: usize) {
    let mut desk = desk(LIMITS);
    let commands = up_to(&mut desk, Step::Transfer, transfers);
    let (before, now) = (desk.world.clone(), desk.now);
    carry_out(&mut desk, Step::Transfer, &commands);
    let mut after = before.clone();
    fold(&mut after, &commands, now);
    assert_same(&after, &desk);
    let position = after.position(A, Currency::GBP);
    assert_eq!(position.held, position.usage.pending);
    assert_eq!(position.available + position.held, FUNDS.minor);
    bencher
        .counter(ItemsCount::new(transfers))
        .with_inputs(|| before.clone())
        .bench_refs(|world| fold(world, &commands, now));
}

/// A transfer that may not be.
#[divan::bench(args = [Refusal::LimitPerTransfer, Refusal::LimitPerDay, Refusal::LimitPending, Refusal::InsufficientFunds])]
fn refused(bencher: Bencher, refusal: Refusal) {
    let limits = match refusal {
        Refusal::LimitPerTransfer => Limits { per_transfer: 1, ..LIMITS },
        Refusal::LimitPerDay => Limits { per_day: 1, ..LIMITS },
        Refusal::LimitPending => Limits { pending: 1, ..LIMITS },
        _ => LIMITS,
    };
    let mut desk = desk(limits);
    let commands = up_to(&mut desk, Step::Transfer, 1);
    let (mut world, now) = (desk.world.clone(), desk.now);
    if refusal == Refusal::InsufficientFunds {
        world.positions.clear();
    }
    assert_eq!(decide(&world, &commands[0], now), Err(refusal));
    bencher.bench(|| decide(black_box(&world), black_box(&commands[0]), now));
}
