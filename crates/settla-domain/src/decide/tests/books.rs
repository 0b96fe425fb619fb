//! A ledger of the plainest kind: every posting that was ever made, and the sums of each account.

use crate::account::{AccountId, AccountKind};
use crate::id::PostingId;
use crate::money::{Currency, Money};
use crate::posting::Posting;
use crate::tenant::TenantNo;
use crate::trail::Step;
use std::collections::{BTreeMap, HashMap, HashSet};
use uuid::Uuid;

/// What each account holds, as credits minus debits. Accounts at zero are left out.
pub(super) type Sums = BTreeMap<(AccountId, Currency), i128>;

/// Adds to one account's sum.
pub(super) fn add(sums: &mut Sums, account: AccountId, money: Money) {
    let sum = sums.entry((account, money.currency)).or_default();
    *sum += money.minor;
    if *sum == 0 {
        sums.remove(&(account, money.currency));
    }
}

/// All postings since the beginning.
#[derive(Default, Clone)]
pub(super) struct Books {
    sums: Sums,
    debits: BTreeMap<Currency, i128>,
    credits: BTreeMap<Currency, i128>,
    ids: HashSet<PostingId>,
    trails: HashMap<Uuid, Vec<Step>>,
}

impl Books {
    /// Writes a posting down. An id that was there before is a defect.
    pub fn post(&mut self, posting: &Posting) {
        assert_eq!(posting.check(), Ok(()), "{posting:?}");
        assert!(self.ids.insert(posting.id), "posted twice: {posting:?}");
        let amount = posting.amount;
        *self.debits.entry(amount.currency).or_default() += amount.minor;
        *self.credits.entry(amount.currency).or_default() += amount.minor;
        add(&mut self.sums, posting.debit, Money::new(amount.currency, -amount.minor));
        add(&mut self.sums, posting.credit, amount);
        let kind = |account: AccountId| account.kind().expect("an account of ours");
        let step = Step { code: posting.code, debit: kind(posting.debit), credit: kind(posting.credit), amount };
        self.trails.entry(posting.subject).or_default().push(step);
    }

    /// The postings of a subject, as far as its trail goes.
    pub fn trail(&self, subject: Uuid) -> &[Step] {
        self.trails.get(&subject).map_or(&[], Vec::as_slice)
    }

    /// The sums of all accounts.
    pub fn sums(&self) -> &Sums {
        &self.sums
    }

    /// How many postings there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// A tenant's account.
    pub fn tenants(&self, tenant: TenantNo, kind: AccountKind, currency: Currency) -> i128 {
        self.sums.get(&(AccountId::tenant(tenant, kind), currency)).copied().unwrap_or(0)
    }

    /// A platform account, the way it grows: assets by debits, the others by credits.
    pub fn platform(&self, kind: AccountKind, currency: Currency) -> i128 {
        let credits = self.sums.get(&(AccountId::platform(kind), currency)).copied().unwrap_or(0);
        if kind.is_debit_normal() { -credits } else { credits }
    }

    /// Debits equal credits, and the accounts of each currency add up to nothing.
    pub fn assert_balanced(&self) {
        assert_eq!(self.debits, self.credits);
        let mut totals: BTreeMap<Currency, i128> = BTreeMap::new();
        for ((_, currency), sum) in &self.sums {
            *totals.entry(*currency).or_default() += sum;
        }
        assert!(totals.values().all(|total| *total == 0), "{totals:?}");
    }
}
