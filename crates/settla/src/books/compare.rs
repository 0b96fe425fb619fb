//! The comparisons.

use super::Report;
use super::ours::Ours;
use super::outside::Theirs;
use settla_domain::account::{AccountId, AccountKind};
use settla_domain::money::{Currency, Money};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

fn show(currency: Currency, minor: i128) -> String {
    Money::new(currency, minor).to_string()
}

/// Our ledger in itself: balanced, equal to the positions, and every hold explained.
pub fn ledger(ours: &Ours, report: &mut Report) {
    for currency in Currency::ALL {
        let rows: Vec<_> = ours.sums.iter().filter(|s| s.currency == currency).collect();
        if !rows.is_empty() {
            let debits: i128 = rows.iter().map(|s| s.debits).sum();
            let credits: i128 = rows.iter().map(|s| s.credits).sum();
            report.compare(
                format!("ledger {currency}: debits, credits"),
                show(currency, debits),
                show(currency, credits),
            );
        }
    }
    report.none("positions that differ from the ledger", &positions(ours));
    report.none("holds and transits that nothing explains", &holds(ours));
    report.compare("open effects of ended transfers", ours.open_effects_of_ended, 0);
}

fn positions(ours: &Ours) -> Vec<String> {
    const KINDS: [AccountKind; 3] = [AccountKind::Available, AccountKind::Held, AccountKind::InTransit];
    let mut ledger: BTreeMap<_, i128> = BTreeMap::new();
    for sums in ours.sums.iter().filter(|s| s.account.owner() != settla_domain::tenant::TenantNo::PLATFORM) {
        ledger.insert((sums.account, sums.currency), sums.credits - sums.debits);
    }
    let mut wrong = Vec::new();
    for (tenant, currency, parts, _) in &ours.positions {
        for (kind, part) in KINDS.into_iter().zip(parts) {
            let posted = ledger.remove(&(AccountId::tenant(*tenant, kind), *currency)).unwrap_or(0);
            if posted != *part {
                wrong.push(format!(
                    "tenant {} {}: position {}, ledger {}",
                    tenant.0,
                    kind.name(),
                    show(*currency, *part),
                    show(*currency, posted)
                ));
            }
        }
    }
    wrong.extend(
        ledger
            .iter()
            .filter(|(_, sum)| **sum != 0)
            .map(|((account, currency), sum)| format!("{account:?} {} without a position", show(*currency, *sum))),
    );
    wrong
}

/// What is held or in transit in fiat never exceeds what live transfers and withdrawals account for, and is
/// nothing where nothing is live.
fn holds(ours: &Ours) -> Vec<String> {
    let sum = |rows: &[(settla_domain::tenant::TenantNo, Money)], tenant, currency| -> i128 {
        rows.iter().filter(|(t, m)| *t == tenant && m.currency == currency).map(|(_, m)| m.minor).sum()
    };
    let mut wrong = Vec::new();
    for (tenant, currency, [_, held, in_transit], pending) in &ours.positions {
        let live = sum(&ours.live, *tenant, *currency);
        if !currency.is_stable() && held + in_transit > live + sum(&ours.pending_withdrawals, *tenant, *currency) {
            wrong.push(format!("tenant {}: {} held or in transit", tenant.0, show(*currency, held + in_transit)));
        }
        if currency.is_stable() && *in_transit > 0 && !ours.live.iter().any(|(t, _)| t == tenant) {
            wrong.push(format!(
                "tenant {}: {} in transit without a live transfer",
                tenant.0,
                show(*currency, *in_transit)
            ));
        }
        if *pending != live {
            wrong.push(format!(
                "tenant {}: {} counted as pending, {} live",
                tenant.0,
                show(*currency, *pending),
                show(*currency, live)
            ));
        }
    }
    wrong
}

/// Ids that are in one list and not in the other, or in either one twice, or with another value.
fn differences<T: PartialEq + Clone>(
    ours: &[(Uuid, T)],
    theirs: &[(Uuid, T)],
    say: impl Fn(&T) -> String,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, rows) in [("ours", ours), ("theirs", theirs)] {
        let mut seen = BTreeSet::new();
        wrong.extend(rows.iter().filter(|(id, _)| !seen.insert(*id)).map(|(id, _)| format!("{id} twice in {name}")));
    }
    let index = |rows: &[(Uuid, T)]| rows.iter().cloned().collect::<BTreeMap<Uuid, T>>();
    let (ours, theirs) = (index(ours), index(theirs));
    for (id, value) in &ours {
        match theirs.get(id) {
            None => wrong.push(format!("{id} {} only in ours", say(value))),
            Some(other) if other != value => wrong.push(format!("{id} ours {}, theirs {}", say(value), say(other))),
            Some(_) => {}
        }
    }
    wrong.extend(
        theirs
            .iter()
            .filter(|(id, _)| !ours.contains_key(*id))
            .map(|(id, value)| format!("{id} {} only in theirs", say(value))),
    );
    wrong
}

/// The bank: balances, money in, and every single debit and payment.
pub fn bank(ours: &Ours, theirs: &Theirs, report: &mut Report) {
    let mut currencies: BTreeSet<Currency> = theirs.balances.keys().copied().collect();
    currencies
        .extend(ours.sums.iter().filter(|s| s.account == AccountId::platform(AccountKind::Bank)).map(|s| s.currency));
    for currency in currencies {
        let balance = theirs.balances.get(&currency).copied().unwrap_or(0);
        report.compare(
            format!("bank {currency}: balance"),
            show(currency, ours.platform(AccountKind::Bank, currency)),
            show(currency, balance),
        );
        let account = AccountId::platform(AccountKind::Bank);
        let debits = ours.sums.iter().find(|s| s.account == account && s.currency == currency).map_or(0, |s| s.debits);
        let incoming = theirs.incoming.get(&currency).copied().unwrap_or(0);
        report.compare(format!("bank {currency}: paid in"), show(currency, debits), show(currency, incoming));
    }
    let delivered = ours.transfers.iter().filter(|t| t.delivered.is_some());
    let debits: Vec<(Uuid, Money)> = delivered.map(|t| (t.order, t.source)).collect();
    report.none(
        format!("bank: {} direct debits, one by one", debits.len()),
        &differences(&debits, &theirs.debits, Money::to_string),
    );
    let index = |rows: &[(String, Money)]| rows.iter().map(|(r, m)| format!("{r} {m}")).collect::<Vec<_>>();
    let (mut paid, mut theirs_paid) = (index(&ours.paid_withdrawals), index(&theirs.payments));
    paid.sort();
    theirs_paid.sort();
    report.compare("bank: payments, one by one", paid.join(", "), theirs_paid.join(", "));
}

/// The on-ramp: every order's fiat and tokens.
pub fn on_ramp(ours: &Ours, theirs: &Theirs, report: &mut Report) {
    let line = |t: &settla_store::books::TransferLine| t.delivered.map(|got| (t.order, (t.source, got)));
    let orders: Vec<_> = ours.transfers.iter().filter_map(line).collect();
    let books: Vec<_> = theirs.orders.iter().map(|(id, fiat, tokens)| (*id, (*fiat, *tokens))).collect();
    let say = |(fiat, tokens): &(Money, Money)| format!("{fiat} -> {tokens}");
    report.none(format!("on-ramp: {} orders, one by one", orders.len()), &differences(&orders, &books, say));
}

/// The off-ramp: tokens in and back, and every payout.
pub fn off_ramp(ours: &Ours, theirs: &Theirs, report: &mut Report) {
    let account = AccountId::platform(AccountKind::OffRamp);
    let tokens = ours.sums.iter().find(|s| s.account == account && s.currency == Currency::USDC);
    let sent = tokens.map_or(0, |s| s.debits);
    report.compare("off-ramp: tokens it got", show(Currency::USDC, sent), show(Currency::USDC, theirs.tokens_received));
    let returned: i128 = ours.transfers.iter().map(|t| t.back).sum();
    report.compare(
        "off-ramp: tokens it gave back",
        show(Currency::USDC, returned),
        show(Currency::USDC, theirs.tokens_returned),
    );
    let payouts = ours.transfers.iter().filter_map(|t| t.paid.map(|m| (t.payout, m)));
    let paid: Vec<(Uuid, Money)> = payouts.chain(ours.transfers.iter().filter_map(|t| t.sold)).collect();
    report.none(
        format!("off-ramp: {} payouts, one by one", paid.len()),
        &differences(&paid, &theirs.payouts, Money::to_string),
    );
}

/// The chain: what our wallet holds, and what went through it.
pub fn chain(ours: &Ours, theirs: &Theirs, report: &mut Report) {
    let usdc = |minor| show(Currency::USDC, minor);
    report.compare("chain: our wallet", usdc(ours.platform(AccountKind::Wallet, Currency::USDC)), usdc(theirs.wallet));
    let delivered: i128 = ours.transfers.iter().filter_map(|t| t.delivered).map(|m| m.minor).sum();
    report.compare("chain: from the on-ramp", usdc(delivered), usdc(theirs.delivered));
    let settled: i128 = ours.transfers.iter().map(|t| t.out).sum();
    report.compare("chain: to the off-ramp", usdc(settled), usdc(theirs.settled));
    let returned: i128 = ours.transfers.iter().map(|t| t.back).sum();
    report.compare("chain: back from the off-ramp", usdc(returned), usdc(theirs.returned));
    report.compare("chain: to or from anybody else", usdc(0), usdc(theirs.strangers));
}
