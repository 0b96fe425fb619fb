//! What a posting of ours says about another book: the item that its other side must have.

use super::items::Items;
use super::kind::Flow;
use settla_domain::account::{AccountId, AccountKind};
use settla_domain::effect::EffectKind;
use settla_domain::id::{BatchId, TransferId, WithdrawalId};
use settla_domain::posting::{PostingCode, posting_leg};
use settla_domain::time::Timestamp;
use settla_domain::transfer::Transfer;
use settla_domain::withdrawal::bank_reference;
use settla_store::reconcile::LedgerRow;
use uuid::Uuid;

/// Adds it. The transfer tells which transaction or batch it was; credits from before `named_after` have no name that
/// the bank knows.
pub(crate) fn say(items: &mut Items, row: &LedgerRow, transfer: Option<&Transfer>, named_after: Timestamp) {
    let owner = || (row.tenant, Some(TransferId(row.subject).to_string()));
    let named = |kind: EffectKind, leg: u8| kind.id_on_leg(row.subject, leg).0.simple().to_string();
    let order = || named(EffectKind::OnRamp, transfer.map_or(0, |t| t.progress.order_leg()));
    // A transaction that our books do not name is none that the chain has.
    let unnamed = || format!("unnamed/{}", row.id);
    let leg = transfer.map(|t| Leg::of(t, posting_leg(row.id.0)));
    let mut say = |flow, key, owner| items.ours(flow, key, owner, row.amount);
    match PostingCode::from_number(row.code) {
        Some(PostingCode::Topup | PostingCode::UnmatchedCredit) if row.at > named_after => {
            say(Flow::BankCredit, row.subject.simple().to_string(), (row.tenant, None));
        }
        Some(PostingCode::OnRampPaid) => {
            say(Flow::BankDebit, order(), owner());
            say(Flow::OnRampOrder, order(), owner());
        }
        Some(PostingCode::OnRampDelivered) => {
            say(Flow::OnRampOrder, order(), owner());
            let tx = transfer.and_then(|t| t.progress.delivery_tx.clone());
            say(Flow::ChainArrival, tx.unwrap_or_else(unnamed), owner());
        }
        Some(PostingCode::Settle) => {
            let batch = leg.and_then(|leg| leg.batch);
            let key = batch.map_or_else(unnamed, |batch: BatchId| batch.to_string());
            for flow in [Flow::ChainSettlement, Flow::OffRampDeposit] {
                say(flow, key.clone(), owner());
            }
        }
        Some(PostingCode::PaidOut) => {
            let leg = transfer.map_or(0, |t| t.progress.payout_leg());
            say(Flow::OffRampPayout, named(EffectKind::OffRamp, leg), owner());
        }
        Some(PostingCode::Returned) => {
            let payout =
                leg.as_ref().map_or_else(|| named(EffectKind::OffRamp, 0), |leg| leg.payout.simple().to_string());
            say(Flow::OffRampReturn, payout, owner());
            say(Flow::ChainArrival, leg.and_then(|leg| leg.return_tx).unwrap_or_else(unnamed), owner());
        }
        // A gain is on our bank account as the rest of the proceeds is; a loss is nowhere but in our books.
        Some(PostingCode::SaleProceeds | PostingCode::ExchangeResult)
            if row.debit == AccountId::platform(AccountKind::Bank) =>
        {
            let credit = transfer.and_then(|t| t.progress.sale.as_ref()).and_then(|sale| sale.credit);
            say(Flow::BankCredit, credit.map_or_else(unnamed, |id| id.simple().to_string()), owner());
            say(Flow::OffRampPayout, named(EffectKind::SellBack, 0), owner());
        }
        Some(PostingCode::WithdrawPaid) => {
            let id = WithdrawalId(row.subject);
            say(Flow::BankPayment, bank_reference(id), (row.tenant, Some(id.to_string())));
        }
        _ => {}
    }
}

/// What is known of a leg of a transfer's settlement.
struct Leg {
    payout: Uuid,
    batch: Option<BatchId>,
    return_tx: Option<String>,
}

impl Leg {
    /// An earlier one, that of the sale, or the present one.
    fn of(transfer: &Transfer, leg: u8) -> Self {
        let (progress, id) = (&transfer.progress, transfer.id.0);
        let payout = EffectKind::OffRamp.id_on_leg(id, leg).0;
        if let Some(over) = progress.returned_payouts.get(usize::from(leg)) {
            return Self { payout, batch: over.settlement_batch, return_tx: over.return_tx.clone() };
        }
        let return_tx = progress.return_tx.clone();
        match &progress.sale {
            Some(sale) => Self { payout: EffectKind::SellBack.id_for(id).0, batch: sale.settlement_batch, return_tx },
            None => Self { payout, batch: progress.settlement_batch, return_tx },
        }
    }
}
