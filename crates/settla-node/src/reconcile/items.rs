//! Items: what one book says about a thing and what the other one says. Two that say the same cancel out; what is left
//! is on its way, or a break.

use super::kind::{Flow, Kind};
use super::state::Found;
use settla_domain::money::{Currency, Money};
use settla_domain::tenant::TenantNo;
use std::collections::BTreeMap;

/// Minor units by currency.
pub(crate) type Amounts = BTreeMap<Currency, i128>;

/// A thing that the two books do not agree about yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    /// Whose; the platform's if that is not known.
    pub tenant: TenantNo,
    /// What it is about, as it is shown.
    pub subject: Option<String>,
    pub ours: Amounts,
    pub theirs: Amounts,
}

/// Everything that is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Items(pub BTreeMap<(Flow, String), Open>);

impl Items {
    /// We have so much of it.
    pub fn ours(&mut self, flow: Flow, key: String, owner: (TenantNo, Option<String>), amount: Money) {
        let item = self.entry(flow, key);
        item.tenant = owner.0;
        item.subject = owner.1.or(item.subject.take());
        *item.ours.entry(amount.currency).or_default() += amount.minor;
    }

    /// They have so much of it. What it is about is known better by us, if we know of it.
    pub fn theirs(&mut self, flow: Flow, key: String, subject: Option<String>, amount: Money) {
        let item = self.entry(flow, key);
        if item.subject.is_none() {
            item.subject = subject;
        }
        *item.theirs.entry(amount.currency).or_default() += amount.minor;
    }

    fn entry(&mut self, flow: Flow, key: String) -> &mut Open {
        let empty = || Open { tenant: TenantNo::PLATFORM, subject: None, ours: Amounts::new(), theirs: Amounts::new() };
        self.0.entry((flow, key)).or_insert_with(empty)
    }

    /// Forgets what both say alike.
    pub fn settle(&mut self) {
        self.0.retain(|_, item| item.ours != item.theirs);
    }

    /// By how much they have more than we, of all that is open in a flow.
    pub fn excess(&self, flow: Flow, currency: Currency) -> i128 {
        let of = |amounts: &Amounts| amounts.get(&currency).copied().unwrap_or(0);
        let items = self.0.iter().filter(|((f, _), _)| *f == flow);
        items.map(|(_, item)| of(&item.theirs) - of(&item.ours)).sum()
    }

    /// What is open in a flow, as it would be called if it stays.
    pub fn found(&self, flow: Flow) -> impl Iterator<Item = Found> + '_ {
        self.0.iter().filter(move |((f, _), _)| *f == flow).map(move |((_, key), item)| found(flow, key, item))
    }
}

fn found(flow: Flow, key: &str, item: &Open) -> Found {
    let [unknown, missing, differs] = flow.kinds();
    let kind: Kind = match (item.ours.is_empty(), item.theirs.is_empty()) {
        (true, _) => unknown,
        (_, true) => missing,
        _ => differs,
    };
    // Of two currencies the one that differs.
    let mut currencies = item.ours.keys().chain(item.theirs.keys()).copied();
    let currency = currencies.find(|c| item.ours.get(c) != item.theirs.get(c));
    let of = |amounts: &Amounts| currency.and_then(|c| amounts.get(&c).copied());
    Found {
        kind,
        key: key.to_owned(),
        tenant: item.tenant,
        subject: item.subject.clone(),
        currency,
        ours: of(&item.ours),
        theirs: of(&item.theirs),
        detail: format!("{} {key}", flow.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usdc(minor: i128) -> Money {
        Money::new(Currency::USDC, minor)
    }

    #[test]
    fn what_both_say_cancels_out_and_the_rest_is_named_by_who_says_it() {
        let mut items = Items::default();
        let ours = |items: &mut Items, key: &str, minor| {
            items.ours(Flow::ChainArrival, key.to_owned(), (TenantNo(7), Some("tr_1".to_owned())), usdc(minor));
        };
        let theirs = |items: &mut Items, key: &str, minor| {
            items.theirs(Flow::ChainArrival, key.to_owned(), None, usdc(minor));
        };
        // One transfer of tokens for two orders.
        theirs(&mut items, "both", 300);
        ours(&mut items, "both", 100);
        items.settle();
        assert_eq!(items.found(Flow::ChainArrival).next().unwrap().kind, Kind::ChainArrivalDiffers);
        ours(&mut items, "both", 200);
        theirs(&mut items, "theirs", 5);
        ours(&mut items, "ours", 7);
        items.settle();
        let found: Vec<_> = items.found(Flow::ChainArrival).map(|f| (f.kind, f.key, f.ours, f.theirs)).collect();
        assert_eq!(
            found,
            [
                (Kind::ChainArrivalMissing, "ours".to_owned(), Some(7), None),
                (Kind::ChainArrivalUnknown, "theirs".to_owned(), None, Some(5)),
            ]
        );
        assert_eq!(items.excess(Flow::ChainArrival, Currency::USDC), -2);
        assert_eq!(items.excess(Flow::ChainSettlement, Currency::USDC), 0);
    }

    #[test]
    fn of_two_currencies_the_one_that_differs_is_named() {
        let mut items = Items::default();
        let owner = || (TenantNo(7), None);
        items.ours(Flow::OnRampOrder, "a".to_owned(), owner(), Money::new(Currency::GBP, 10));
        items.ours(Flow::OnRampOrder, "a".to_owned(), owner(), usdc(13));
        items.theirs(Flow::OnRampOrder, "a".to_owned(), None, Money::new(Currency::GBP, 10));
        items.theirs(Flow::OnRampOrder, "a".to_owned(), None, usdc(12));
        let found = items.found(Flow::OnRampOrder).next().unwrap();
        assert_eq!((found.currency, found.ours, found.theirs), (Some(Currency::USDC), Some(13), Some(12)));
    }
}
