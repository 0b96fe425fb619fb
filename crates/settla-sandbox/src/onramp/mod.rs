//! An on-ramp: takes fiat by direct debit and delivers USDC on chain.
//!
//! **Costs**: a batch of orders is one look at the bank, one change of the bank's book and one of its own; a delivery
//! is one transaction for up to a thousand orders.
//!
//! **Never**: delivers without having debited, or debits or delivers twice for one order id, whatever is killed when.

mod api;
mod ledger;
mod order;

use std::sync::Arc;

use settla_evm::Address;
use tokio::{sync::Notify, task::JoinSet};
use uuid::Uuid;

use crate::{
    bank::{Bank, Debit},
    book::Book,
    chain::{Chain, Courier, Outflowing, Wallet},
    clock::now_ms,
    error::StoreError,
    http::LostOnce,
    magic::{Behaviour, Script},
    money::{Amount, Currency, one_percent_less},
    provider::Identity,
    schedule::{self, DUE_MAX, Scheduled},
    setup::Setup,
    stop::Stop,
    webhook::Announcer,
};
use ledger::{OnrampLedger, Record};
use order::OrderRequest;

pub(crate) use order::{check_payee, check_tokens};

/// An on-ramp.
pub(crate) struct Onramp {
    identity: Identity,
    book: Arc<Book<OnrampLedger>>,
    bank: Arc<Bank>,
    announcer: Arc<Announcer>,
    script: Script,
    bell: Notify,
    /// Rung when an order waits for its delivery.
    delivery_bell: Arc<Notify>,
    chain: Chain,
    treasury: Address,
    lost: LostOnce,
    stop: Stop,
}

impl Onramp {
    pub(crate) async fn open(
        setup: Setup,
        identity: Identity,
        bank: Arc<Bank>,
        wallet: &Wallet,
    ) -> Result<Arc<Self>, StoreError> {
        let Setup { dir, lock, announcer, script, stop } = setup;
        let book = Arc::new(Book::<OnrampLedger>::open(&dir, lock)?);
        announcer.use_endpoint(book.read(|onramp| onramp.endpoint.clone()).await?.as_ref());
        Ok(Arc::new(Self {
            identity,
            book,
            bank,
            announcer,
            script,
            bell: Notify::new(),
            delivery_bell: Arc::new(Notify::new()),
            chain: wallet.chain.clone(),
            treasury: wallet.address,
            lost: LostOnce::default(),
            stop,
        }))
    }

    /// Starts the workers: debiting orders, delivering tokens.
    pub(crate) fn start(self: &Arc<Self>, wallet: Wallet, tasks: &mut JoinSet<()>) {
        tasks.spawn(schedule::run(Arc::clone(self), self.stop.clone()));
        let courier = Courier {
            name: Arc::clone(&self.identity.name),
            book: Arc::clone(&self.book),
            wallet,
            announcer: Arc::clone(&self.announcer),
            bell: Arc::clone(&self.delivery_bell),
        };
        tasks.spawn(courier.run(self.stop.clone()));
    }

    /// Why an order is not carried out, as far as that does not depend on the account.
    async fn refusal(&self, request: &OrderRequest, behaviour: Behaviour) -> Result<Option<&'static str>, StoreError> {
        if behaviour == Behaviour::Reject {
            return Ok(Some("declined"));
        }
        let rate = self.identity.rate_e8(request.source.currency, Currency::Usdc).await?;
        Ok((!rate.is_some_and(|rate| request.is_near(rate))).then_some("rate_moved"))
    }
}

impl Scheduled for Onramp {
    type Ledger = OnrampLedger;

    fn book(&self) -> &Book<OnrampLedger> {
        &self.book
    }

    fn bell(&self) -> &Notify {
        &self.bell
    }

    fn next_due_ms(onramp: &OnrampLedger) -> Option<u64> {
        onramp.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// Rejects or debits the orders that are due.
    async fn work(&self) -> Result<(), StoreError> {
        let now_ms = now_ms();
        let due: Vec<(OrderRequest, Behaviour)> = self
            .book
            .read(|onramp| {
                let ids = onramp.due.iter().take_while(|(due_ms, _)| *due_ms <= now_ms).take(DUE_MAX);
                ids.filter_map(|(_, id)| onramp.orders.get(id))
                    .map(|order| (order.request.clone(), order.behaviour))
                    .collect()
            })
            .await?;
        // A debit that a crash kept us from noting stands: the order is not judged a second time.
        let ids: Vec<Uuid> = due.iter().map(|(request, _)| request.client_order_id).collect();
        let known = self.bank.debited(&self.identity.name, &ids).await?;

        let mut records = Vec::with_capacity(due.len());
        let (mut debits, mut debited) = (Vec::new(), Vec::new());
        for ((request, behaviour), known) in due.into_iter().zip(known) {
            let order = request.client_order_id;
            let refusal = if known { None } else { self.refusal(&request, behaviour).await? };
            if let Some(reason) = refusal {
                records.push((order, Record::Rejected { order, reason: reason.to_owned() }));
                continue;
            }
            let asked = request.destination.amount.0;
            let deliver = if behaviour == Behaviour::WrongAmount { one_percent_less(asked) } else { asked };
            debited.push((order, deliver));
            let creditor = Arc::clone(&self.identity.name);
            debits.push(Debit { order, account: request.bank_account, money: request.source, creditor });
        }
        let outcomes = self.bank.direct_debit(debits).await?;
        for ((order, deliver), taken) in debited.into_iter().zip(outcomes) {
            records.push((
                order,
                if taken {
                    Record::Debited { order, deliver: Amount(deliver) }
                } else {
                    Record::Rejected { order, reason: "insufficient_mandate_funds".to_owned() }
                },
            ));
        }
        let news = self.book.commit(|change| {
            let mut rejected = Vec::new();
            for (order, record) in records {
                let is_rejection = matches!(record, Record::Rejected { .. });
                change.write(record);
                if is_rejection {
                    rejected.extend(change.ledger().announcement(order));
                }
            }
            rejected
        });
        self.announcer.announce(news.await?);
        self.delivery_bell.notify_one();
        Ok(())
    }
}
