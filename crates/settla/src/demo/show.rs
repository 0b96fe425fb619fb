//! How the story looks.

use super::api::{Event, Posting, Price, Quote, Transfer};
use super::outcome::{Change, Sums};
use crate::local::{Facts, Received};
use crate::ui;
use settla_domain::money::{Currency, Money};
use settla_domain::transfer::TransferState;
use settla_evm::{Address, Receipt};
use std::collections::BTreeMap;
use std::time::Duration;

/// Width of the names of fields.
const NAME: usize = 17;
/// Width of the labels of payments that run at the same time.
const LABEL: usize = 16;

/// The first lines.
pub(super) fn opening() {
    println!("{}", ui::bold("Settla demo: fiat in, USDC across, fiat out"));
    note("Everything runs on this machine, as processes of their own: Postgres, an EVM chain, the platform,");
    note("and a simulated bank, on-ramps, off-ramps and price feed that the platform reaches over HTTP alone.");
}

/// What was started.
pub(super) fn cast(facts: &Facts, took: Duration) {
    checked(&format!("started in {}", seconds(took)));
    field("platform", &facts.api);
    field("bank", &facts.bank.url);
    for (side, servers) in [("on-ramp", &facts.on_ramps), ("off-ramp", &facts.off_ramps)] {
        for server in servers {
            field(&format!("{side} {}", server.name), &server.url);
        }
    }
    field("chain", &format!("{}, chain id {}, token {}", facts.rpc_url, facts.chain_id, facts.token));
}

/// The last line.
pub(super) fn summary(took: Duration) {
    println!();
    checked(&ui::bold(&format!("Every payment ended as it should, and all books agree: {} in all", seconds(took))));
    note("Everything is stopped and removed. `settla dev` keeps such a system running for you to try.");
}

/// The title of a part.
pub(super) fn heading(number: &str, title: &str) {
    println!("\n{}", ui::bold(&format!("{number}  {title}")));
}

/// What comes below.
pub(super) fn subheading(title: &str) {
    println!("\n  {}", ui::bold(title));
}

/// An explanation.
pub(super) fn note(text: &str) {
    println!("  {}", ui::dim(text));
}

/// Something that was checked.
pub(super) fn checked(text: &str) {
    println!("  {} {text}", ui::green("✓"));
}

/// A name and a value.
pub(super) fn field(name: &str, value: &str) {
    println!("  {} {value}", ui::dim(&format!("{name:<NAME$}")));
}

/// `GBP 1,250.00`
pub(super) fn money(amount: Money) -> String {
    format!("{} {}", amount.currency, digits(amount))
}

/// `1,250.00`
pub(super) fn digits(amount: Money) -> String {
    let text = amount.decimal();
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut grouped = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if fraction.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{fraction}") }
}

/// `+1,250.00`
fn signed(amount: Money) -> String {
    if amount.minor > 0 { format!("+{}", digits(amount)) } else { digits(amount) }
}

fn seconds(took: Duration) -> String {
    format!("{:.2} s", took.as_secs_f64())
}

/// A table whose columns from `first_number` on are aligned to the right.
fn table(mut rows: Vec<Vec<String>>, first_number: usize) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    for column in first_number..columns {
        let width = rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
        for cell in rows.iter_mut().filter_map(|r| r.get_mut(column)) {
            *cell = format!("{cell:>width$}");
        }
    }
    ui::table(&rows);
}

fn head(titles: &[&str]) -> Vec<String> {
    titles.iter().map(|t| (*t).to_owned()).collect()
}

/// Something that happens now.
pub(super) fn live_line(label: &str, after: Duration, text: &str) -> String {
    let label = if label.is_empty() { String::new() } else { format!("{label:<LABEL$} ") };
    format!("  {:>7}  {label}{text}", seconds(after))
}

/// A state and what it means.
pub(super) fn state(state: TransferState, price: &Price, reason: Option<&str>) -> String {
    let meaning = match state {
        TransferState::Funded => format!("{} are held", money(price.debit)),
        TransferState::OnRamping => {
            format!("{} sells {} for {}", price.on_ramp, money(price.bought), money(price.source))
        }
        TransferState::Settling => format!("the tokens are in our wallet and go to {}", price.off_ramp),
        TransferState::OffRamping => format!("{} has {} and is to pay out", price.off_ramp, money(price.sent)),
        TransferState::Completed => format!("{} paid out", money(price.destination)),
        _ => reason.map(|reason| format!("reason: {reason}")).unwrap_or_default(),
    };
    let name = format!("{:<12}", state.name());
    let name = if state.is_terminal() { ui::green(&name) } else { ui::bold(&name) };
    format!("{name} {}", ui::dim(&meaning))
}

/// The price.
pub(super) fn quote(quote: &Quote) {
    let price = &quote.price;
    subheading("Quote");
    field("quote", &format!("{}, valid for {} s", quote.id, quote.expires_at.ms_since(quote.created_at) / 1_000));
    field("exchanged", &money(price.source));
    field("fees", &format!("{} on-ramp, {} off-ramp", money(price.on_ramp_fee), money(price.off_ramp_fee)));
    field("debited", &ui::bold(&money(price.debit)));
    for rate in &price.rates {
        field(
            "rate",
            &format!("{} {}  {}", rate.pair, rate.rate, ui::dim(&format!("{} at {}", rate.source, rate.as_of))),
        );
    }
    field(
        "bought",
        &format!("{}, of which {} spread ({} bps)", money(price.bought), money(price.spread), price.spread_bps),
    );
    field("beneficiary gets", &ui::bold(&money(price.destination)));
    field("route", &format!("{} -> {} -> {}", price.on_ramp, price.chain, price.off_ramp));
}

/// What happened, by the platform's own clock.
pub(super) fn timeline(transfer: &Transfer, events: &[Event]) {
    subheading("Timeline");
    let mut rows = vec![head(&["at", "event", "id"])];
    for event in events {
        let after = Duration::from_millis(u64::try_from(event.at.ms_since(transfer.created_at)).unwrap_or(0));
        rows.push(vec![format!("+{}", seconds(after)), event.kind.clone(), event.id.to_string()]);
    }
    ui::table(&rows);
}

/// A transaction as the chain tells it.
pub(super) fn receipt(receipt: &Receipt, names: &BTreeMap<Address, &str>) {
    let name = |address: &Address| match names.get(address) {
        Some(name) => format!("{address} {}", ui::dim(&format!("({name})"))),
        None => address.to_string(),
    };
    let status = if receipt.succeeded { ui::green("succeeded") } else { ui::red("reverted") };
    field("transaction", &ui::bold(&receipt.tx_hash.to_string()));
    field("receipt", &format!("{status}, block {}, gas used {}", receipt.block_number, receipt.gas_used));
    for log in &receipt.transfers {
        let amount = i128::try_from(log.amount).unwrap_or(i128::MAX);
        field("log", &format!("Transfer of {}", ui::bold(&money(Money::new(Currency::USDC, amount)))));
        field("", &format!("from {}", name(&log.from)));
        field("", &format!("to   {}", name(&log.to)));
    }
}

/// The postings, one debit and one credit each.
pub(super) fn postings(postings: &[Posting]) {
    subheading("Postings");
    let mut rows = vec![head(&["why", "debit", "credit", "", "amount"])];
    for posting in postings {
        let currency = posting.amount.currency.to_string();
        rows.push(vec![
            posting.code.clone(),
            posting.debit.clone(),
            posting.credit.clone(),
            currency,
            digits(posting.amount),
        ]);
    }
    table(rows, 4);
}

/// Debits and credits of each account that a transfer has touched.
pub(super) fn sums(accounts: &BTreeMap<(Currency, String), Sums>) {
    subheading("Sums");
    let mut rows = vec![head(&["", "account", "debits", "credits", "credits - debits"])];
    for ((currency, account), Sums { debits, credits }) in accounts {
        let amount = |minor| Money::new(*currency, minor);
        let amounts = [digits(amount(*debits)), digits(amount(*credits)), signed(amount(credits - debits))];
        rows.push([currency.to_string(), account.clone()].into_iter().chain(amounts).collect());
    }
    table(rows, 2);
}

/// A webhook as it came.
pub(super) fn webhook(received: &Received, url: &str) {
    subheading("Webhook, as the tenant's server received it (body indented)");
    println!("  POST {url}");
    for (name, value) in received.headers() {
        println!("  {} {value}", ui::dim(&format!("{name}:")));
    }
    let body = serde_json::to_string_pretty(&received.body).unwrap_or_default();
    for line in body.lines() {
        println!("  {line}");
    }
}

/// Positions before and after.
pub(super) fn positions(changes: &[Change]) {
    let mut rows = vec![head(&["position", "available before", "after", "change", "held", "in transit"])];
    for change in changes {
        let (before, after) = (&change.before, &change.after);
        let amounts = [
            digits(before.available),
            digits(after.available),
            signed(change.available()),
            digits(after.held),
            digits(after.in_transit),
        ];
        rows.push(std::iter::once(before.currency.to_string()).chain(amounts).collect());
    }
    table(rows, 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_grouped_by_thousands() {
        let text = |currency, minor| digits(Money::new(currency, minor));
        assert_eq!(text(Currency::GBP, 0), "0.00");
        assert_eq!(text(Currency::GBP, 99_999), "999.99");
        assert_eq!(text(Currency::GBP, 100_000), "1,000.00");
        assert_eq!(text(Currency::USDC, 1_234_567_000_001), "1,234,567.000001");
        assert_eq!(text(Currency::JPY, -123_456), "-123,456");
        assert_eq!(signed(Money::new(Currency::NGN, 400_000_001)), "+4,000,000.01");
        assert_eq!(signed(Money::new(Currency::NGN, -1)), "-0.01");
    }
}
