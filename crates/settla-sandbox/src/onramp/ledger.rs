//! The on-ramp's book.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use settla_evm::TxHash;
use uuid::Uuid;

use super::order::{Order, OrderRequest, OrderStatus};
use crate::{
    book::Ledger,
    chain::{Outflow, OutflowRecord, Outflowing},
    clock,
    control::Control,
    magic::Behaviour,
    money::{Amount, Currency, Money, Totals},
    webhook::{Announcement, StoredEndpoint},
};

/// A completed order in the statement.
#[derive(Serialize)]
pub(crate) struct Entry {
    seq: u64,
    id: Uuid,
    #[serde(rename = "booked_at", serialize_with = "clock::as_rfc3339")]
    booked_at_ms: u64,
    #[serde(rename = "accepted_at", serialize_with = "clock::as_rfc3339")]
    accepted_at_ms: u64,
    client_order_id: Uuid,
    fiat_taken: Money,
    tokens_delivered: Money,
    delivery_id: Uuid,
    tx_hash: TxHash,
}

/// One line of the on-ramp's journal.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Record {
    Endpoint { endpoint: StoredEndpoint },
    Accepted { key: String, request: OrderRequest, behaviour: Behaviour, at_ms: u64, due_ms: u64 },
    Key { key: String, order: Uuid },
    Rejected { order: Uuid, reason: String },
    Debited { order: Uuid, deliver: Amount },
    Control { control: Control },
    Outflow { batch: OutflowRecord },
}

/// The state.
#[derive(Default)]
pub(crate) struct OnrampLedger {
    pub(crate) endpoint: Option<StoredEndpoint>,
    pub(crate) control: Control,
    pub(crate) orders: HashMap<Uuid, Order>,
    pub(crate) keys: HashMap<String, Uuid>,
    /// Accepted orders by the time at which their money is to move.
    pub(crate) due: BTreeSet<(u64, Uuid)>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) fiat_taken: Totals,
    pub(crate) tokens_delivered: Totals,
    /// Tokens of all orders that are neither delivered nor rejected.
    pub(crate) promised: u128,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    outflow: Outflow,
}

impl Ledger for OnrampLedger {
    type Record = Record;

    fn apply(&mut self, record: Record) {
        match record {
            Record::Endpoint { endpoint } => self.endpoint = Some(endpoint),
            Record::Control { control } => self.control = control,
            Record::Accepted { key, request, behaviour, at_ms, due_ms } => {
                let id = request.client_order_id;
                self.keys.insert(key, id);
                self.due.insert((due_ms, id));
                self.count("pending", 1);
                self.promised += request.destination.amount.0;
                let status = OrderStatus::Accepted;
                let order = Order { request, behaviour, accepted_ms: at_ms, due_ms, status, deliver: 0 };
                self.orders.insert(id, order);
            }
            Record::Key { key, order } => {
                self.keys.insert(key, order);
            }
            Record::Rejected { order, reason } => {
                if let Some(order) = self.orders.get_mut(&order) {
                    self.due.remove(&(order.due_ms, order.request.client_order_id));
                    order.status = OrderStatus::Rejected { reason };
                    self.promised = self.promised.saturating_sub(order.request.destination.amount.0);
                    self.count("pending", -1);
                    self.count("rejected", 1);
                }
            }
            Record::Debited { order: id, deliver } => {
                if let Some(order) = self.orders.get_mut(&id) {
                    self.due.remove(&(order.due_ms, id));
                    order.status = OrderStatus::Debited;
                    order.deliver = deliver.0;
                    // What is delivered may be less than what was asked for.
                    self.promised = self.promised.saturating_sub(order.request.destination.amount.0) + deliver.0;
                    self.fiat_taken.add(order.request.source);
                    self.outflow.queue(order.request.wallet_address, id, deliver.0);
                }
            }
            Record::Outflow { batch } => self.apply_outflow(&batch),
        }
    }
}

impl OnrampLedger {
    fn count(&mut self, status: &'static str, change: i64) {
        let count = self.counts.entry(status).or_default();
        *count = count.saturating_add_signed(change);
    }

    fn apply_outflow(&mut self, record: &OutflowRecord) {
        for member in self.outflow.apply(record) {
            let Some(order) = self.orders.get_mut(&member.id) else { continue };
            match record {
                OutflowRecord::Made { batch, .. } => order.status = OrderStatus::Delivering { batch: *batch },
                OutflowRecord::Failed { .. } => order.status = OrderStatus::Debited,
                OutflowRecord::Signed { .. } => {}
                OutflowRecord::Done { batch, at_ms } => {
                    let Some(tx_hash) = self.outflow.batch(*batch).and_then(|batch| batch.tx_hash) else { continue };
                    order.status = OrderStatus::Completed { batch: *batch, tx_hash };
                    let tokens = Money { currency: Currency::Usdc, amount: member.amount };
                    self.tokens_delivered.add(tokens);
                    self.promised = self.promised.saturating_sub(member.amount.0);
                    self.entries.push(Entry {
                        seq: self.entries.len() as u64 + 1,
                        id: member.id,
                        booked_at_ms: *at_ms,
                        accepted_at_ms: order.accepted_ms,
                        client_order_id: member.id,
                        fiat_taken: order.request.source,
                        tokens_delivered: tokens,
                        delivery_id: *batch,
                        tx_hash,
                    });
                    self.count("pending", -1);
                    self.count("completed", 1);
                }
            }
        }
    }
}

impl Outflowing for OnrampLedger {
    fn outflow(&self) -> &Outflow {
        &self.outflow
    }

    fn record(batch: OutflowRecord) -> Record {
        Record::Outflow { batch }
    }

    fn announcement(&self, id: Uuid) -> Option<Announcement> {
        let order = self.orders.get(&id)?;
        let data = order.to_json();
        Some(Announcement { subject: id, kind: "order.updated", data, behaviour: order.behaviour })
    }
}
