//! The others' books: what they say themselves, not what we noted of it. Each is read by its own numbers from where the
//! last round stopped, at most so many pages a round.

use super::items::Items;
use super::kind::{Book, Flow, Kind};
use super::state::Found;
use crate::statement::credit_id;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use settla_domain::effect::EffectKind;
use settla_domain::id::BatchId;
use settla_domain::money::{Currency, Money};
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use settla_evm::{Address, RpcError, TokenTransfer};
use settla_rails::RailError;
use settla_rails::bank::{Bank, StatementEntry};
use settla_rails::chain::Chain;
use settla_rails::off_ramp::{BookedPayout, OffRamp};
use settla_rails::on_ramp::OnRamp;
use settla_store::StoreError;
use settla_store::reconcile::Snapshot;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Lines of a page.
const PAGE: u32 = 500;
/// Pages of one statement in one round.
const PAGES_MAX: usize = 200;
/// Lines that cannot be read; with more of them a statement is not read any further.
const UNREADABLE_MAX: usize = 100;
/// Blocks looked through in one round.
const BLOCKS_MAX: u64 = 10_000;

/// Where the others' books are.
pub struct Outside {
    /// Our bank.
    pub bank: Arc<dyn Bank>,
    /// On-ramps.
    pub on_ramps: Vec<Arc<dyn OnRamp>>,
    /// Off-ramps.
    pub off_ramps: Vec<Arc<dyn OffRamp>>,
    /// The chain we settle on.
    pub chain: Arc<Chain>,
    /// Our wallet on it.
    pub wallet: Address,
}

/// A book could not be read now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Rail(#[from] RailError),
    #[error(transparent)]
    Rpc(#[from] RpcError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("an amount of tokens that is none")]
    Amount,
}

/// How far a book was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// To its end.
    End,
    /// As far as a round may.
    Bound,
}

/// What reading needs of a round.
pub(crate) struct Reading<'a> {
    pub items: &'a mut Items,
    pub cursors: &'a mut BTreeMap<String, String>,
    pub found: &'a mut Vec<Found>,
    /// How many lines were read.
    pub lines: usize,
}

type Line<T> = (u64, Option<T>);
/// Lines after a number, at most so many.
type Fetch<'a, T> = &'a (dyn Fn(u64, u32) -> BoxFuture<'a, Result<Vec<Line<T>>, RailError>> + Sync);

impl Reading<'_> {
    fn cursor(&self, name: &str) -> u64 {
        self.cursors.get(name).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    fn unreadable(&self, name: &str) -> Vec<u64> {
        let list = self.cursors.get(&format!("{name}/unreadable")).map_or("", String::as_str);
        list.split(',').filter_map(|number| number.parse().ok()).collect()
    }

    /// Reads a statement on from its cursor. Lines that could not be read are looked at again each time.
    async fn statement<T>(
        &mut self,
        name: &str,
        unreadable_kind: Kind,
        fetch: Fetch<'_, T>,
    ) -> Result<(Vec<(u64, T)>, Reached), ReadError> {
        let (mut after, mut taken, mut unreadable) = (self.cursor(name), Vec::new(), Vec::new());
        for number in self.unreadable(name) {
            match fetch(number - 1, 1).await?.pop() {
                Some((same, Some(entry))) if same == number => taken.push((number, entry)),
                _ => unreadable.push(number),
            }
        }
        let mut reached = Reached::Bound;
        for _ in 0..PAGES_MAX {
            if unreadable.len() >= UNREADABLE_MAX {
                break;
            }
            let page = fetch(after, PAGE).await?;
            let Some((last, _)) = page.last() else {
                reached = Reached::End;
                break;
            };
            after = *last;
            for (number, entry) in page {
                self.lines += 1;
                match entry {
                    Some(entry) => taken.push((number, entry)),
                    None => unreadable.push(number),
                }
            }
        }
        for number in &unreadable {
            self.found.push(Found {
                kind: unreadable_kind,
                key: format!("{name}/{number}"),
                tenant: TenantNo::PLATFORM,
                subject: Some(format!("line_{number}")),
                currency: None,
                ours: None,
                theirs: None,
                detail: format!("line {number} of {name}"),
            });
        }
        self.cursors.insert(name.to_owned(), after.to_string());
        let list = unreadable.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        self.cursors.insert(format!("{name}/unreadable"), list);
        Ok((taken, reached))
    }
}

/// The bank's lines. `named_after` is when our credits began to be named by their lines.
pub(crate) async fn bank(
    reading: &mut Reading<'_>,
    bank: &dyn Bank,
    snapshot: &mut Snapshot,
    named_after: Timestamp,
) -> Result<Reached, ReadError> {
    let fetch = |after, limit| {
        let lines = bank.statement(after, limit);
        lines.map_ok(|lines| lines.into_iter().map(|line| (line.sequence, line.entry)).collect()).boxed()
    };
    let (lines, reached) = reading.statement("bank", Kind::BankLineUnreadable, &fetch).await?;
    let credits: Vec<String> = lines.iter().filter(|(_, e)| e.amount.minor > 0).map(|(_, e)| e.id.clone()).collect();
    let early = snapshot.entries_applied_by(&credits, named_after).await?;
    for (number, entry) in lines.iter().filter(|(_, e)| !early.contains(&e.id)) {
        let (flow, key) = bank_item(*number, entry);
        let size = Money::new(entry.amount.currency, entry.amount.minor.abs());
        reading.items.theirs(flow, key, Some(format!("line_{number}")), size);
    }
    Ok(reached)
}

/// What payers and payees wrote is not kept: a reference is a name only where it is one of ours.
fn bank_item(number: u64, entry: &StatementEntry) -> (Flow, String) {
    if entry.amount.minor > 0 {
        return (Flow::BankCredit, credit_id(&entry.id).simple().to_string());
    }
    if entry.kind == "direct_debit" {
        let order: Option<Uuid> = entry.reference.parse().ok();
        return (Flow::BankDebit, order.map_or_else(|| format!("line_{number}"), |id| id.simple().to_string()));
    }
    let ours = withdrawal_of(&entry.reference).is_some();
    (Flow::BankPayment, if ours { entry.reference.clone() } else { format!("line_{number}") })
}

/// The withdrawal that a payment's reference names.
pub(crate) fn withdrawal_of(reference: &str) -> Option<Uuid> {
    let hex = reference.strip_prefix("WD").filter(|hex| hex.len() == 32)?;
    hex.parse().ok()
}

/// Balances, each with the flows in and out of it that say why it differs from ours. What they do not say is a break.
pub(crate) fn balance(items: &Items, book: Book, currency: Currency, ours: i128, theirs: i128) -> Option<Found> {
    let (kind, into, out): (Kind, &[Flow], &[Flow]) = match book {
        Book::Bank => (Kind::BankBalanceDiffers, &[Flow::BankCredit], &[Flow::BankDebit, Flow::BankPayment]),
        _ => (Kind::ChainBalanceDiffers, &[Flow::ChainArrival], &[Flow::ChainSettlement]),
    };
    let excess = |flows: &[Flow]| -> i128 { flows.iter().map(|flow| items.excess(*flow, currency)).sum() };
    let unexplained = theirs - ours - excess(into) + excess(out);
    (unexplained != 0).then(|| Found {
        kind,
        // With its size in its name: one that changes from round to round is something on its way.
        key: format!("{currency}/{unexplained}"),
        tenant: TenantNo::PLATFORM,
        subject: None,
        currency: Some(currency),
        ours: Some(theirs - unexplained),
        theirs: Some(theirs),
        detail: format!("{}: {unexplained} more than follows", book.name()),
    })
}

/// The on-ramps' lines.
pub(crate) async fn on_ramp(reading: &mut Reading<'_>, on_ramp: &dyn OnRamp) -> Result<Reached, ReadError> {
    let fetch = |after, limit| {
        let lines = on_ramp.statement(after, limit);
        lines.map_ok(|lines| lines.into_iter().map(|line| (line.sequence, line.entry)).collect()).boxed()
    };
    let name = format!("on_ramp/{}", on_ramp.name());
    let (lines, reached) = reading.statement(&name, Kind::OnRampLineUnreadable, &fetch).await?;
    for (_, order) in lines {
        for amount in [order.taken, order.delivered] {
            reading.items.theirs(Flow::OnRampOrder, order.order.simple().to_string(), None, amount);
        }
    }
    Ok(reached)
}

/// The off-ramps' lines.
pub(crate) async fn off_ramp(reading: &mut Reading<'_>, off_ramp: &dyn OffRamp) -> Result<Reached, ReadError> {
    let fetch = |after, limit| {
        let lines = off_ramp.statement(after, limit);
        lines.map_ok(|lines| lines.into_iter().map(|line| (line.sequence, line.entry)).collect()).boxed()
    };
    let name = format!("off_ramp/{}", off_ramp.name());
    let (lines, reached) = reading.statement(&name, Kind::OffRampLineUnreadable, &fetch).await?;
    for (_, entry) in lines {
        let (flow, key, amount) = match entry {
            BookedPayout::Received { batch, amount } => (Flow::OffRampDeposit, BatchId(batch).to_string(), amount),
            BookedPayout::Paid { payout, amount } => (Flow::OffRampPayout, payout.simple().to_string(), amount),
            BookedPayout::Returned { payout, amount } => (Flow::OffRampReturn, payout.simple().to_string(), amount),
        };
        reading.items.theirs(flow, key, None, amount);
    }
    Ok(reached)
}

/// Token transfers from and to our wallet, in blocks at depth.
pub(crate) async fn chain(
    reading: &mut Reading<'_>,
    chain: &Chain,
    wallet: Address,
    snapshot: &mut Snapshot,
) -> Result<Reached, ReadError> {
    // The cursor is the first block that was not read yet.
    let first = reading.cursor("chain");
    let Some(end) = (chain.rpc.block_number().await? + 1).checked_sub(chain.depth.max(1)) else {
        return Ok(Reached::End);
    };
    if first > end {
        return Ok(Reached::End);
    }
    let last = end.min(first + BLOCKS_MAX - 1);
    let blocks = first..=last;
    let out = chain.rpc.token_transfers(chain.token, blocks.clone(), Some(wallet), None).await?;
    let into = chain.rpc.token_transfers(chain.token, blocks, None, Some(wallet)).await?;
    let hashes: Vec<String> = out.iter().map(|t| t.tx_hash.to_string()).collect();
    let batches: BTreeMap<String, Uuid> = snapshot.batches_of(&hashes).await?.into_iter().collect();
    let size = |t: &TokenTransfer| {
        i128::try_from(t.amount).map(|minor| Money::new(chain.currency, minor)).map_err(|_| ReadError::Amount)
    };
    for transfer in &out {
        let tx = transfer.tx_hash.to_string();
        let batch = batches.get(&tx).map(|batch| BatchId(*batch).to_string());
        let key = batch.clone().unwrap_or(tx);
        reading.items.theirs(Flow::ChainSettlement, key, batch, size(transfer)?);
    }
    for transfer in &into {
        reading.items.theirs(Flow::ChainArrival, transfer.tx_hash.to_string(), None, size(transfer)?);
    }
    reading.lines += out.len() + into.len();
    reading.cursors.insert("chain".to_owned(), (last + 1).to_string());
    Ok(if last == end { Reached::End } else { Reached::Bound })
}

/// The effect that an item is named by, if it is named by one.
pub(crate) fn effect_of(flow: Flow, key: &str) -> Option<Uuid> {
    match flow {
        Flow::BankDebit | Flow::OnRampOrder | Flow::OffRampPayout | Flow::OffRampReturn => key.parse().ok(),
        Flow::BankPayment => withdrawal_of(key).map(|id| EffectKind::BankPayment.id_for(id).0),
        Flow::BankCredit | Flow::OffRampDeposit | Flow::ChainSettlement | Flow::ChainArrival => None,
    }
}
