//! The bank's statement: the only source of money coming in. Its checkpoint moves only after every line before it has
//! been applied, or set aside because it cannot be read: one line must not keep everybody else's money waiting.

use crate::{Node, Stop, wait};
use settla_domain::decide::Command;
use settla_domain::effect::EffectKind;
use settla_domain::tenant::TenantNo;
use settla_domain::topup::BankCredit;
use settla_domain::transfer::sale_named_by;
use settla_rails::bank::StatementEntry;
use settla_server::clock::now;
use settla_server::runner::Envelope;
use settla_store::set_aside::{self, LineMoved};
use settla_store::{inbox, outbox};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const CHECKPOINT: &str = "bank-statement";
const PAGE: u32 = 500;
/// How often it is read when the bank's webhook does not come.
const IDLE: Duration = Duration::from_secs(2);

/// Reads the statement until told to stop.
pub(crate) async fn run(node: Arc<Node>, mut stop: Stop) {
    while wait(node.statement_bell.notified(), IDLE, &mut stop).await {
        while !*stop.borrow() {
            match page(&node).await {
                Ok(true) => {}
                Ok(false) => {
                    if let Err(error) = look_again(&node).await {
                        tracing::warn!(error, "lines that were set aside cannot be looked at now");
                    }
                    metrics::gauge!(crate::counters::STATEMENT_APPLIED).set(now().0 as f64 / 1e6);
                    break;
                }
                Err(error) => {
                    tracing::warn!(error, "the bank's statement cannot be applied now");
                    break;
                }
            }
        }
    }
}

/// Applies one page. Returns whether there may be more.
async fn page(node: &Node) -> Result<bool, String> {
    let worker = &node.store.worker;
    let after = inbox::checkpoint(worker, CHECKPOINT).await.map_err(|e| e.to_string())?;
    let after: u64 =
        after.map_or(Ok(0), |text| text.parse()).map_err(|_| "the checkpoint is not a number".to_owned())?;
    let lines = node.bank.statement(after, PAGE).await.map_err(|e| e.to_string())?;
    let Some(last) = lines.last() else { return Ok(false) };
    for line in &lines {
        match &line.entry {
            Some(entry) => apply(node, entry).await?,
            None => {
                tracing::error!(sequence = line.sequence, "a line of the bank's statement cannot be read: set aside");
                let aside = set_aside::set_line_aside(worker, node.bank.account(), line.sequence).await;
                aside.map_err(|e| e.to_string())?;
            }
        }
    }
    inbox::set_checkpoint(worker, CHECKPOINT, &last.sequence.to_string()).await.map_err(|e| e.to_string())?;
    Ok(lines.len() == PAGE as usize)
}

/// Looks again at what people want to be looked at again.
async fn look_again(node: &Node) -> Result<(), String> {
    let (worker, account) = (&node.store.worker, node.bank.account());
    let lines = set_aside::lines(worker, account).await.map_err(|e| e.to_string())?;
    metrics::gauge!(crate::counters::STATEMENT_LINES_SET_ASIDE).set(lines.len() as f64);
    for sequence in lines.iter().filter(|line| line.replay).map(|line| line.sequence) {
        let found = node.bank.statement(sequence.saturating_sub(1), 1).await.map_err(|e| e.to_string())?;
        let entry = found.first().filter(|line| line.sequence == sequence).and_then(|line| line.entry.as_ref());
        let moved = match entry {
            Some(entry) => {
                apply(node, entry).await?;
                LineMoved::Resolved
            }
            None => LineMoved::StillUnreadable,
        };
        set_aside::move_line(worker, account, sequence, moved).await.map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Debits are known from what caused them.
async fn apply(node: &Node, entry: &StatementEntry) -> Result<(), String> {
    if entry.amount.minor > 0 { credit(node, entry).await } else { Ok(()) }
}

/// What the postings of a credit are named by: its line, so that the two can be compared.
pub(crate) fn credit_id(entry_id: &str) -> Uuid {
    let digest = Sha256::new().chain_update("settla bank credit\n").chain_update(entry_id).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

async fn credit(node: &Node, entry: &StatementEntry) -> Result<(), String> {
    let sale_of = sale_owner(node, &entry.reference).await?;
    let owner = match sale_of {
        Some(tenant) => Some(tenant),
        None => inbox::topup_owner(&node.store.worker, &entry.reference).await.map_err(|e| e.to_string())?,
    };
    let credit = BankCredit { entry_id: entry.id.clone(), reference: entry.reference.clone(), amount: entry.amount };
    let envelope = Envelope {
        tenant: owner.unwrap_or(TenantNo::PLATFORM),
        command: Command::BankCredit { id: credit_id(&entry.id), credit, sale_of },
        idempotency: None,
        sealed: None,
        audit: None,
    };
    if owner.is_none() {
        tracing::warn!(entry = entry.id, "the bank credited us with money that nobody announced");
        metrics::counter!(crate::counters::BANK_CREDITS_UNMATCHED).increment(1);
    }
    node.runner.submit_patiently(envelope).await.map(|_| ()).map_err(|e| e.to_string())
}

/// Whose tokens were sold, if a payment says that it is for such a sale. Whether it is, the engine judges.
async fn sale_owner(node: &Node, reference: &str) -> Result<Option<TenantNo>, String> {
    let Some(transfer) = sale_named_by(reference) else { return Ok(None) };
    let effect = EffectKind::SellBack.id_for(transfer.0);
    outbox::owner(&node.store.worker, effect).await.map_err(|e| e.to_string())
}
