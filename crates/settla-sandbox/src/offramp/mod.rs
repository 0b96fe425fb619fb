//! An off-ramp: takes USDC on chain and pays fiat to beneficiaries, those with an account at the sandbox's bank among
//! them.
//!
//! **Never**: pays a payout whose tokens it has not seen at depth, member by member, or that it has paid or rejected
//! before; keeps the tokens of a payout that it rejects; credits an account at the bank twice for one payout.

mod api;
mod ledger;
mod payout;
mod settlement;
mod watch;

use std::sync::Arc;

use settla_evm::Address;
use tokio::{sync::Notify, task::JoinSet};
use uuid::Uuid;

use crate::{
    bank::{Bank, PayIn},
    book::Book,
    chain::{Chain, Courier, Outflowing, Wallet},
    clock::now_ms,
    error::StoreError,
    http::LostOnce,
    magic::{Behaviour, Script},
    money::{Amount, Money, one_percent_less},
    provider::Identity,
    schedule::{self, DUE_MAX, Scheduled},
    setup::Setup,
    stop::Stop,
    webhook::Announcer,
};
use ledger::{OfframpLedger, Record};
use payout::Payout;

/// An off-ramp.
pub(crate) struct Offramp {
    identity: Identity,
    /// Fiat of each currency that it began with.
    float: u128,
    bank: Arc<Bank>,
    book: Arc<Book<OfframpLedger>>,
    announcer: Arc<Announcer>,
    script: Script,
    bell: Notify,
    settlement_bell: Notify,
    /// Rung when tokens wait to be returned.
    return_bell: Arc<Notify>,
    token: Address,
    deposit: Address,
    lost: LostOnce,
    stop: Stop,
}

impl Offramp {
    pub(crate) async fn open(
        setup: Setup,
        identity: Identity,
        float: u128,
        bank: Arc<Bank>,
        wallet: &Wallet,
    ) -> Result<Arc<Self>, StoreError> {
        let Setup { dir, lock, announcer, script, stop } = setup;
        let book = Arc::new(Book::<OfframpLedger>::open(&dir, lock)?);
        announcer.use_endpoint(book.read(|offramp| offramp.endpoint.clone()).await?.as_ref());
        Ok(Arc::new(Self {
            identity,
            float,
            bank,
            book,
            announcer,
            script,
            bell: Notify::new(),
            settlement_bell: Notify::new(),
            return_bell: Arc::new(Notify::new()),
            token: wallet.chain.token,
            deposit: wallet.address,
            lost: LostOnce::default(),
            stop,
        }))
    }

    /// Starts the workers: deciding payouts, checking settlements, returning tokens.
    pub(crate) fn start(self: &Arc<Self>, wallet: Wallet, tasks: &mut JoinSet<()>) {
        let chain: Chain = wallet.chain.clone();
        tasks.spawn(schedule::run(Arc::clone(self), self.stop.clone()));
        tasks.spawn(watch::run(Arc::clone(self), chain, self.stop.clone()));
        let courier = Courier {
            name: Arc::clone(&self.identity.name),
            book: Arc::clone(&self.book),
            wallet,
            announcer: Arc::clone(&self.announcer),
            bell: Arc::clone(&self.return_bell),
        };
        tasks.spawn(courier.run(self.stop.clone()));
    }

    /// What the bank is told of a payout that is paid: it may have the beneficiary's account.
    fn pay_in(&self, payout: &Payout, record: &Record) -> Option<PayIn> {
        let Record::Paid { payout: id, amount, .. } = record else { return None };
        let request = &payout.request;
        Some(PayIn {
            payout: *id,
            account: request.account_number().to_owned(),
            money: Money { currency: request.destination.currency, amount: *amount },
            reference: request.remittance.clone().unwrap_or_else(|| id.to_string()),
            payer: Arc::clone(&self.identity.name),
        })
    }
}

/// What becomes of a payout whose settlement is verified: always the same, as it depends on the books alone. `credit`: the
/// tokens that came for it; `payer`: the provider's name.
fn decide(payout: &Payout, credit: Option<u128>, payer: &str, at_ms: u64) -> Record {
    let id = payout.request.client_payout_id;
    let destination = payout.request.destination.amount.0;
    match (credit, payout.behaviour) {
        (None, _) => Record::Rejected { payout: id, reason: "not_in_settlement".to_owned() },
        (Some(tokens), _) if tokens != payout.request.source.amount.0 => {
            Record::Returning { payout: id, amount: Amount(tokens), reason: "amount_mismatch".to_owned() }
        }
        (Some(tokens), Behaviour::Reject) => {
            Record::Returning { payout: id, amount: Amount(tokens), reason: "declined".to_owned() }
        }
        (Some(_), behaviour) => {
            let amount = if behaviour == Behaviour::WrongAmount { one_percent_less(destination) } else { destination };
            let initials: String = payer.chars().take(3).collect();
            let reference = format!("{}-{}", initials.to_uppercase(), Uuid::now_v7().simple());
            Record::Paid { payout: id, amount: Amount(amount), reference, at_ms }
        }
    }
}

impl Scheduled for Offramp {
    type Ledger = OfframpLedger;

    fn book(&self) -> &Book<OfframpLedger> {
        &self.book
    }

    fn bell(&self) -> &Notify {
        &self.bell
    }

    fn next_due_ms(offramp: &OfframpLedger) -> Option<u64> {
        offramp.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// Pays or rejects the payouts that are due. Those to accounts at the bank are credited there before they are noted as
    /// paid; a crash in between decides them again, in the same way, and the bank knows what it has credited.
    async fn work(&self) -> Result<(), StoreError> {
        let now_ms = now_ms();
        let decided: Vec<(Record, Option<PayIn>)> = self
            .book
            .read(|offramp| {
                let ids = offramp.due.iter().take_while(|(due_ms, _)| *due_ms <= now_ms).take(DUE_MAX);
                ids.filter_map(|(_, id)| offramp.payouts.get(id))
                    .map(|payout| {
                        let credit = offramp.credit(&payout.request);
                        let record = decide(payout, credit, &self.identity.name, now_ms);
                        let pay_in = self.pay_in(payout, &record);
                        (record, pay_in)
                    })
                    .collect()
            })
            .await?;
        let (records, payments): (Vec<Record>, Vec<Option<PayIn>>) = decided.into_iter().unzip();
        self.bank.pay_in(payments.into_iter().flatten().collect()).await?;
        let finished = self.book.commit(|change| {
            let mut finished = Vec::with_capacity(records.len());
            for record in records {
                let ended = match &record {
                    Record::Paid { payout, .. } | Record::Rejected { payout, .. } => Some(*payout),
                    _ => None,
                };
                change.write(record);
                finished.extend(ended.and_then(|id| change.ledger().announcement(id)));
            }
            finished
        });
        self.announcer.announce(finished.await?);
        self.return_bell.notify_one();
        Ok(())
    }
}
