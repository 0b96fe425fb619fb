//! What a posting of ours says about another book: the item that its other side must have.

use super::items::Items;
use super::kind::Flow;
use settla_domain::effect::EffectKind;
use settla_domain::id::{BatchId, TransferId, WithdrawalId};
use settla_domain::posting::PostingCode;
use settla_domain::time::Timestamp;
use settla_domain::transfer::Transfer;
use settla_domain::withdrawal::bank_reference;
use settla_store::reconcile::LedgerRow;

/// Adds it. The transfer tells which transaction or batch it was; credits from before `named_after` have no name that
/// the bank knows.
pub(crate) fn say(items: &mut Items, row: &LedgerRow, transfer: Option<&Transfer>, named_after: Timestamp) {
    let of_transfer = || (row.tenant, Some(TransferId(row.subject).to_string()));
    let order = |kind: EffectKind| kind.id_for(row.subject).0.simple().to_string();
    // A transaction that our books do not name is none that the chain has.
    let unnamed = || format!("unnamed/{}", row.id);
    let tx = |of: fn(&Transfer) -> Option<String>| transfer.and_then(of).unwrap_or_else(unnamed);
    let mut say = |flow, key, owner| items.ours(flow, key, owner, row.amount);
    match PostingCode::from_number(row.code) {
        Some(PostingCode::Topup | PostingCode::UnmatchedCredit) if row.at > named_after => {
            say(Flow::BankCredit, row.subject.simple().to_string(), (row.tenant, None));
        }
        Some(PostingCode::OnRampPaid) => {
            say(Flow::BankDebit, order(EffectKind::OnRamp), of_transfer());
            say(Flow::OnRampOrder, order(EffectKind::OnRamp), of_transfer());
        }
        Some(PostingCode::OnRampDelivered) => {
            say(Flow::OnRampOrder, order(EffectKind::OnRamp), of_transfer());
            say(Flow::ChainArrival, tx(|t| t.progress.delivery_tx.clone()), of_transfer());
        }
        Some(PostingCode::Settle) => {
            let batch = transfer.and_then(|t| t.progress.settlement_batch);
            let key = batch.map_or_else(unnamed, |batch: BatchId| batch.to_string());
            for flow in [Flow::ChainSettlement, Flow::OffRampDeposit] {
                say(flow, key.clone(), (row.tenant, Some(TransferId(row.subject).to_string())));
            }
        }
        Some(PostingCode::PaidOut) => say(Flow::OffRampPayout, order(EffectKind::OffRamp), of_transfer()),
        Some(PostingCode::Returned) => {
            say(Flow::OffRampReturn, order(EffectKind::OffRamp), of_transfer());
            say(Flow::ChainArrival, tx(|t| t.progress.return_tx.clone()), of_transfer());
        }
        Some(PostingCode::WithdrawPaid) => {
            let id = WithdrawalId(row.subject);
            say(Flow::BankPayment, bank_reference(id), (row.tenant, Some(id.to_string())));
        }
        _ => {}
    }
}
