//! The bank `sandbank`: accounts in several currencies, statements, incoming money, payments out, and the direct
//! debits of the on-ramp.
//!
//! **Never**: overdraws an account; books a payment reference or an order's debit twice.

mod api;
mod ledger;
mod payment;

use std::sync::Arc;

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
    pub(crate) creditor: &'static str,
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

    /// Which of these orders have been debited already.
    pub(crate) async fn debited(&self, orders: &[Uuid]) -> Result<Vec<bool>, StoreError> {
        self.book.read(|bank| orders.iter().map(|order| bank.debits.get(order) == Some(&true)).collect()).await
    }

    /// Takes the money of each order, or refuses: once for ever by order id, never into overdraft.
    pub(crate) async fn direct_debit(&self, debits: Vec<Debit>) -> Result<Vec<bool>, StoreError> {
        self.book
            .commit(|change| {
                let mut outcomes = Vec::with_capacity(debits.len());
                for debit in debits {
                    let bank = change.ledger();
                    if let Some(outcome) = bank.debits.get(&debit.order) {
                        outcomes.push(*outcome);
                        continue;
                    }
                    let covered = bank.accounts.get(&debit.account).is_some_and(|account| account.covers(debit.money));
                    change.write(if covered {
                        let booking = Booking {
                            entry: Uuid::now_v7(),
                            account: debit.account,
                            money: debit.money,
                            reference: debit.order.to_string(),
                            counterparty: debit.creditor.to_owned(),
                            at_ms: now_ms(),
                        };
                        Record::Debited { order: debit.order, booking }
                    } else {
                        Record::DebitRefused { order: debit.order }
                    });
                    outcomes.push(covered);
                }
                outcomes
            })
            .await
    }
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
