//! Settlement batches.

use super::{Server, from_store, page};
use crate::cursor::Binding;
use settla_domain::id::{BatchId, TransferId};
use settla_domain::money::Money;
use settla_port::caller::Caller;
use settla_port::error::PortError;
use settla_port::page::{Page, PageRequest};
use settla_port::settlement::{SettlementBatchView, SettlementMemberView};
use settla_store::read::{self, BatchRow};
use uuid::Uuid;

pub(super) async fn list(
    server: &Server,
    caller: &Caller,
    ask: &PageRequest,
) -> Result<Page<SettlementBatchView>, PortError> {
    let binding = Binding { tenant: caller.tenant(), list: "settlement_batches", filter: "" };
    let before = server.cursors.read::<16>(&binding, ask.cursor.as_deref())?.map(Uuid::from_bytes);
    let rows = read::batches(&server.store.app, caller.tenant(), before, i64::from(ask.limit) + 1)
        .await
        .map_err(from_store)?;
    Ok(page(rows, ask.limit, |b| server.cursors.make(&binding, b.id.0.as_bytes()), |b| view(b, None)))
}

pub(super) async fn get(server: &Server, caller: &Caller, id: BatchId) -> Result<SettlementBatchView, PortError> {
    let found = read::settlement_batch(&server.store.app, caller.tenant(), id).await.map_err(from_store)?;
    let (batch, members) = found.ok_or(PortError::NotFound("settlement_batch"))?;
    Ok(view(batch, Some(members)))
}

fn view(batch: BatchRow, members: Option<Vec<(TransferId, Money)>>) -> SettlementBatchView {
    let member =
        |(transfer_id, amount): (TransferId, Money)| SettlementMemberView { transfer_id, amount: amount.into() };
    SettlementBatchView {
        id: batch.id,
        status: batch.status,
        closed_by: batch.closed_by,
        chain: batch.chain,
        off_ramp: batch.provider,
        token: batch.token,
        destination: batch.destination,
        settlement_tx: batch.tx_hash,
        transactions: batch.transactions,
        manifest_hash: format!("0x{}", hex::encode(batch.manifest_hash)),
        amount: batch.amount.into(),
        member_count: u32::try_from(batch.members).unwrap_or(u32::MAX),
        members: members.map(|members| members.into_iter().map(member).collect()),
        failure: batch.failure,
        created_at: batch.created_at.to_rfc3339(),
        updated_at: batch.updated_at.to_rfc3339(),
    }
}
