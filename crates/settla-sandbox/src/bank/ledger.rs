//! The bank's book: accounts, their entries, payments and direct debits.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::payment::{Payment, PaymentRequest, PaymentStatus};
use crate::{
    book::Ledger,
    clock,
    money::{self, Currency, Money},
    webhook::StoredEndpoint,
};

/// Why an entry was booked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EntryKind {
    Incoming,
    DirectDebit,
    Payment,
}

/// A line of a statement, as it is shown.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) id: Uuid,
    #[serde(rename = "booked_at", serialize_with = "clock::as_rfc3339")]
    pub(crate) booked_at_ms: u64,
    pub(crate) currency: Currency,
    #[serde(serialize_with = "money::as_string")]
    pub(crate) amount: i128,
    pub(crate) kind: EntryKind,
    pub(crate) reference: String,
    pub(crate) counterparty: String,
}

/// Money into an account (`credit`) or out of it, as the journal keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Booking {
    pub(crate) entry: Uuid,
    pub(crate) account: String,
    pub(crate) money: Money,
    pub(crate) reference: String,
    pub(crate) counterparty: String,
    pub(crate) at_ms: u64,
}

/// An account: a balance a currency and the entries that make it up, numbered from 1.
#[derive(Default)]
pub(crate) struct Account {
    pub(crate) balances: BTreeMap<Currency, i128>,
    pub(crate) entries: Vec<Entry>,
}

impl Account {
    /// Whether the money could go without overdrawing.
    pub(crate) fn covers(&self, money: Money) -> bool {
        let balance = self.balances.get(&money.currency).copied().unwrap_or(0);
        u128::try_from(balance).is_ok_and(|balance| balance >= money.amount.0)
    }
}

/// One line of the bank's journal.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Record {
    Endpoint { endpoint: StoredEndpoint },
    AccountOpened { account: String },
    Incoming { key: Option<String>, booking: Booking },
    PaymentAccepted { key: String, id: Uuid, request: PaymentRequest, due_ms: u64 },
    PaymentKey { key: String, reference: String },
    PaymentExecuted { booking: Booking },
    PaymentRejected { reference: String, reason: String },
    Debited { order: Uuid, booking: Booking },
    DebitRefused { order: Uuid, creditor: String },
    PaidIn { booking: Booking },
}

/// The state.
#[derive(Default)]
pub(crate) struct BankLedger {
    pub(crate) endpoint: Option<StoredEndpoint>,
    pub(crate) accounts: HashMap<String, Account>,
    /// Entries made by keyed calls of `_control/incoming`: account and place in it.
    pub(crate) incoming_keys: HashMap<String, (String, usize)>,
    pub(crate) payments: HashMap<String, Payment>,
    pub(crate) payment_keys: HashMap<String, String>,
    /// Pending payments by due time.
    pub(crate) due: BTreeSet<(u64, String)>,
    /// Outcome of each direct debit by creditor and order, for ever.
    debits: HashMap<String, HashMap<Uuid, bool>>,
    /// Entries of off-ramps' payouts.
    pub(crate) paid_in: HashSet<Uuid>,
}

impl Ledger for BankLedger {
    type Record = Record;

    fn apply(&mut self, record: Record) {
        match record {
            Record::Endpoint { endpoint } => self.endpoint = Some(endpoint),
            Record::AccountOpened { account } => {
                self.accounts.entry(account).or_default();
            }
            Record::Incoming { key, booking } => {
                let account = booking.account.clone();
                let place = self.book(EntryKind::Incoming, booking);
                if let Some(key) = key {
                    self.incoming_keys.insert(key, (account, place));
                }
            }
            Record::PaymentAccepted { key, id, request, due_ms } => {
                let reference = request.reference.clone();
                self.payment_keys.insert(key, reference.clone());
                self.due.insert((due_ms, reference.clone()));
                self.payments.insert(reference, Payment { id, request, due_ms, status: PaymentStatus::Pending });
            }
            Record::PaymentKey { key, reference } => {
                self.payment_keys.insert(key, reference);
            }
            Record::PaymentExecuted { booking } => {
                self.finish(&booking.reference, PaymentStatus::Executed);
                self.book(EntryKind::Payment, booking);
            }
            Record::PaymentRejected { reference, reason } => self.finish(&reference, PaymentStatus::Rejected(reason)),
            Record::Debited { order, booking } => {
                self.debits.entry(booking.counterparty.clone()).or_default().insert(order, true);
                self.book(EntryKind::DirectDebit, booking);
            }
            Record::DebitRefused { order, creditor } => {
                self.debits.entry(creditor).or_default().insert(order, false);
            }
            Record::PaidIn { booking } => {
                self.paid_in.insert(booking.entry);
                self.book(EntryKind::Incoming, booking);
            }
        }
    }
}

impl BankLedger {
    /// What became of a creditor's debit for an order.
    pub(crate) fn debit(&self, creditor: &str, order: Uuid) -> Option<bool> {
        self.debits.get(creditor)?.get(&order).copied()
    }

    /// Books the entry and returns its place in the account.
    fn book(&mut self, kind: EntryKind, booking: Booking) -> usize {
        let account = self.accounts.entry(booking.account).or_default();
        // Amounts are at most 10^18.
        let size = i128::try_from(booking.money.amount.0).unwrap_or(i128::MAX);
        let amount = if kind == EntryKind::Incoming { size } else { -size };
        *account.balances.entry(booking.money.currency).or_default() += amount;
        account.entries.push(Entry {
            seq: account.entries.len() as u64 + 1,
            id: booking.entry,
            booked_at_ms: booking.at_ms,
            currency: booking.money.currency,
            amount,
            kind,
            reference: booking.reference,
            counterparty: booking.counterparty,
        });
        account.entries.len() - 1
    }

    fn finish(&mut self, reference: &str, status: PaymentStatus) {
        if let Some(payment) = self.payments.get_mut(reference) {
            self.due.remove(&(payment.due_ms, reference.to_owned()));
            payment.status = status;
        }
    }
}
