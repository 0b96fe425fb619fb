//! The bank `sandbank`: accounts in several currencies, statements, incoming money, payments out, and the direct
//! debits of the on-ramps, and what off-ramps pay to accounts here.
//!
//! **Never**: overdraws an account; books a payment reference, an order's debit or an off-ramp's payout twice.

mod api;
mod ledger;
mod payment;

use std::sync::Arc;

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::{sync::Notify, task::JoinSet};
use uuid::Uuid;

use crate::{
    book::Book,
    clock::now_ms,
    error::StoreError,
    magic::{Behaviour, Script},
    money::Money,
    schedule::{self, DUE_MAX, Scheduled},
    setup::Setup,
    stop::Stop,
    webhook::{Announcement, Announcer},
};
use ledger::{BankLedger, Booking, Record};

pub(crate) use payment::{check_fiat, check_text};

/// The bank.
pub(crate) struct Bank {
    book: Book<BankLedger>,
    announcer: Arc<Announcer>,
    script: Script,
    bell: Notify,
    stop: Stop,
}

/// A direct debit by mandate.
pub(crate) struct Debit {
    pub(crate) order: Uuid,
    pub(crate) account: String,
    pub(crate) money: Money,
    pub(crate) creditor: Arc<str>,
}

/// A payout of an off-ramp to an account that may be here.
pub(crate) struct PayIn {
    pub(crate) payout: Uuid,
    pub(crate) account: String,
    pub(crate) money: Money,
    pub(crate) reference: String,
    pub(crate) payer: Arc<str>,
}

impl PayIn {
    /// The entry's id: the same whenever it is asked for, and another one for each provider's payout.
    fn entry(&self) -> Uuid {
        let mut hash = Sha256::new();
        hash.update(b"payout\n");
        hash.update(self.payer.as_bytes());
        hash.update(b"\n");
        hash.update(self.payout.as_bytes());
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

impl Bank {
    pub(crate) async fn open(setup: Setup) -> Result<Arc<Self>, StoreError> {
        let Setup { dir, lock, announcer, script, stop } = setup;
        let book = Book::<BankLedger>::open(&dir, lock)?;
        announcer.use_endpoint(book.read(|bank| bank.endpoint.clone()).await?.as_ref());
        Ok(Arc::new(Self { book, announcer, script, bell: Notify::new(), stop }))
    }

    /// Starts the worker that executes payments.
    pub(crate) fn start(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        tasks.spawn(schedule::run(Arc::clone(self), self.stop.clone()));
    }

    /// Which of these orders the creditor has debited already.
    pub(crate) async fn debited(&self, creditor: &str, orders: &[Uuid]) -> Result<Vec<bool>, StoreError> {
        self.book.read(|bank| orders.iter().map(|order| bank.debit(creditor, *order) == Some(true)).collect()).await
    }

    /// Takes the money of each order, or refuses: once for ever by creditor and order id, never into overdraft.
    pub(crate) async fn direct_debit(&self, debits: Vec<Debit>) -> Result<Vec<bool>, StoreError> {
        self.book
            .commit(|change| {
                let mut outcomes = Vec::with_capacity(debits.len());
                for debit in debits {
                    let bank = change.ledger();
                    if let Some(outcome) = bank.debit(&debit.creditor, debit.order) {
                        outcomes.push(outcome);
                        continue;
                    }
                    let covered = bank.accounts.get(&debit.account).is_some_and(|account| account.covers(debit.money));
                    change.write(if covered {
                        let booking = Booking {
                            entry: Uuid::now_v7(),
                            account: debit.account,
                            money: debit.money,
                            reference: debit.order.to_string(),
                            counterparty: debit.creditor.as_ref().to_owned(),
                            at_ms: now_ms(),
                        };
                        Record::Debited { order: debit.order, booking }
                    } else {
                        Record::DebitRefused { order: debit.order, creditor: debit.creditor.as_ref().to_owned() }
                    });
                    outcomes.push(covered);
                }
                outcomes
            })
            .await
    }

    /// Credits those payouts whose account is here: each once for ever, by provider and payout.
    pub(crate) async fn pay_in(&self, payments: Vec<PayIn>) -> Result<(), StoreError> {
        let news = self.book.commit(|change| {
            let mut news = Vec::new();
            for payment in payments {
                let entry = payment.entry();
                let bank = change.ledger();
                if !bank.accounts.contains_key(&payment.account) || bank.paid_in.contains(&entry) {
                    continue;
                }
                let account = payment.account.clone();
                let booking = Booking {
                    entry,
                    account: payment.account,
                    money: payment.money,
                    reference: payment.reference,
                    counterparty: payment.payer.as_ref().to_owned(),
                    at_ms: now_ms(),
                };
                change.write(Record::PaidIn { booking });
                news.extend(credited(change.ledger(), &account));
            }
            news
        });
        self.announcer.announce(news.await?);
        Ok(())
    }
}

/// Tells of the last entry of an account, a credit.
fn credited(bank: &BankLedger, account: &str) -> Option<Announcement> {
    let entry = bank.accounts.get(account)?.entries.last()?;
    let data = json!({ "account": account, "entry": entry });
    Some(Announcement { subject: entry.id, kind: "account.credited", data, behaviour: Behaviour::Normal })
}

impl Scheduled for Bank {
    type Ledger = BankLedger;

    fn book(&self) -> &Book<BankLedger> {
        &self.book
    }

    fn bell(&self) -> &Notify {
        &self.bell
    }

    fn next_due_ms(bank: &BankLedger) -> Option<u64> {
        bank.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// Executes the payments that are due, or rejects those that would overdraw.
    async fn work(&self) -> Result<(), StoreError> {
        let finished = self.book.commit(|change| {
            let now_ms = now_ms();
            let due: Vec<String> = change
                .ledger()
                .due
                .iter()
                .take_while(|(due_ms, _)| *due_ms <= now_ms)
                .take(DUE_MAX)
                .map(|(_, reference)| reference.clone())
                .collect();
            let mut finished = Vec::with_capacity(due.len());
            for reference in due {
                let bank = change.ledger();
                let Some(payment) = bank.payments.get(&reference) else { continue };
                let request = &payment.request;
                let covered =
                    bank.accounts.get(&request.account).is_some_and(|account| account.covers(request.money()));
                let record = if covered {
                    let booking = Booking {
                        entry: Uuid::now_v7(),
                        account: request.account.clone(),
                        money: request.money(),
                        reference: reference.clone(),
                        counterparty: request.counterparty(),
                        at_ms: now_ms,
                    };
                    Record::PaymentExecuted { booking }
                } else {
                    Record::PaymentRejected { reference: reference.clone(), reason: "insufficient_funds".to_owned() }
                };
                change.write(record);
                if let Some(payment) = change.ledger().payments.get(&reference) {
                    finished.push(Announcement {
                        subject: payment.id,
                        kind: "payment.updated",
                        data: payment.to_json(),
                        behaviour: Behaviour::Normal,
                    });
                }
            }
            finished
        });
        self.announcer.announce(finished.await?);
        Ok(())
    }
}
