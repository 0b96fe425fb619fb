//! The off-ramp `meridian`: takes USDC on chain and pays fiat to beneficiaries.
//!
//! **Never**: pays a payout whose tokens it has not seen at depth, member by member, or that it has paid or rejected
//! before; keeps the tokens of a payout that it rejects.

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
    book::Book,
    chain::{Chain, Courier, Outflowing, Wallet},
    clock::now_ms,
    error::StoreError,
    http::LostOnce,
    magic::{Behaviour, Script},
    money::{Amount, one_percent_less},
    schedule::{self, DUE_MAX, Scheduled},
    setup::Setup,
    stop::Stop,
    webhook::Announcer,
};
use ledger::{OfframpLedger, Record};
use payout::Payout;

/// The off-ramp.
pub(crate) struct Offramp {
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
    pub(crate) async fn open(setup: Setup, wallet: &Wallet) -> Result<Arc<Self>, StoreError> {
        let Setup { dir, lock, announcer, script, stop } = setup;
        let book = Arc::new(Book::<OfframpLedger>::open(&dir, lock)?);
        announcer.use_endpoint(book.read(|offramp| offramp.endpoint.clone()).await?.as_ref());
        Ok(Arc::new(Self {
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
            name: "meridian",
            book: Arc::clone(&self.book),
            wallet,
            announcer: Arc::clone(&self.announcer),
            bell: Arc::clone(&self.return_bell),
        };
        tasks.spawn(courier.run(self.stop.clone()));
    }
}

/// What becomes of a payout whose settlement is verified. `credit`: the tokens that came for it.
fn decide(payout: &Payout, credit: Option<u128>, at_ms: u64) -> Record {
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
            let reference = format!("MER-{}", Uuid::now_v7().simple());
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

    /// Pays or rejects the payouts that are due, in one change: there is no moment between deciding and paying.
    async fn work(&self) -> Result<(), StoreError> {
        let finished = self.book.commit(|change| {
            let now_ms = now_ms();
            let due: Vec<Uuid> = change
                .ledger()
                .due
                .iter()
                .take_while(|(due_ms, _)| *due_ms <= now_ms)
                .take(DUE_MAX)
                .map(|(_, id)| *id)
                .collect();
            let mut finished = Vec::with_capacity(due.len());
            for id in due {
                let ledger = change.ledger();
                let Some(payout) = ledger.payouts.get(&id) else { continue };
                let record = decide(payout, ledger.credit(&payout.request), now_ms);
                let is_final = !matches!(record, Record::Returning { .. });
                change.write(record);
                if is_final {
                    finished.extend(change.ledger().announcement(id));
                }
            }
            finished
        });
        self.announcer.announce(finished.await?);
        self.return_bell.notify_one();
        Ok(())
    }
}
