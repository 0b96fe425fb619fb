//! `settla ledger check`: every posting there is, replayed from the beginning, each kind of error by its name.
//!
//! It reads the ledger once in pages of [`PAGE`] postings a tenant, from one snapshot, and each payment once with its
//! postings. Its memory is a few sums a tenant.

use super::fold;
use super::inside;
use super::kind::Kind;
use super::round::RoundError;
use super::state::Found;
use settla_domain::account::{AccountId, AccountKind as A};
use settla_domain::effect::LEGS_MAX;
use settla_domain::id::{PostingId, derived};
use settla_domain::posting::{PostingCode as Code, posting_leg};
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use settla_store::Store;
use settla_store::reconcile::{Checkpoint, Fold, LedgerRow, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Postings of a tenant at a time.
pub const PAGE: i64 = 1_000;
/// Tenants at a time.
const TENANTS: usize = 100;
/// Payments at a time.
const PAYMENTS: i64 = 500;
/// Errors of one kind that are named; all are counted.
const NAMED_MAX: usize = 100;
/// Servers' clocks are no further apart than this.
const CLOCKS_APART_MS: i64 = 60_000;

/// What can be wrong with a ledger. Names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The code is none of ours.
    UnknownCode,
    /// An account is none of ours.
    UnknownAccount,
    /// It touches a tenant that it does not name.
    WrongTenant,
    /// Of a tenant that there is not.
    UnknownTenant,
    /// It moves nothing, less than nothing, or from an account to itself.
    Empty,
    /// Its code does not go from this account to that one.
    WrongAccounts,
    /// Its id is not its subject's with its code: the same decision could be posted twice.
    WrongId,
    /// A part of a position was below zero after it.
    NegativeBalance,
    /// Its time is more than a minute before that of an earlier one.
    TimeRegress,
    /// A position is not what was posted.
    PositionDiffers,
    /// The sums that are kept of it are not those of its postings: some were changed, added or taken away below.
    FoldDiffers,
    /// The balances that are kept for a past instant are not those of its postings.
    CheckpointDiffers,
    /// Of a payment that there is not.
    UnknownSubject,
    /// A payment has not the postings that its state demands.
    PostingsDoNotFit,
}

impl FaultKind {
    /// Name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownCode => "unknown_code",
            Self::UnknownAccount => "unknown_account",
            Self::WrongTenant => "wrong_tenant",
            Self::UnknownTenant => "unknown_tenant",
            Self::Empty => "empty",
            Self::WrongAccounts => "wrong_accounts",
            Self::WrongId => "wrong_id",
            Self::NegativeBalance => "negative_balance",
            Self::TimeRegress => "time_regress",
            Self::PositionDiffers => "position_differs",
            Self::FoldDiffers => "fold_differs",
            Self::CheckpointDiffers => "checkpoint_differs",
            Self::UnknownSubject => "unknown_subject",
            Self::PostingsDoNotFit => "postings_do_not_fit",
        }
    }
}

/// One error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// Whose ledger.
    pub tenant: TenantNo,
    /// The posting, or the payment.
    pub at: String,
    /// In words.
    pub detail: String,
}

/// What the check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Postings replayed.
    pub postings: usize,
    /// Payments looked at.
    pub payments: usize,
    /// Errors, of each kind the first few.
    pub faults: Vec<Fault>,
    /// All errors, by kind.
    pub counts: BTreeMap<FaultKind, usize>,
}

impl Checked {
    fn fault(&mut self, kind: FaultKind, tenant: TenantNo, at: impl ToString, detail: impl Into<String>) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= NAMED_MAX {
            self.faults.push(Fault { kind, tenant, at: at.to_string(), detail: detail.into() });
        }
    }
}

/// Replays everything.
pub async fn check(store: &Store) -> Result<Checked, RoundError> {
    let mut checked = Checked::default();
    let mut snapshot = Snapshot::begin(&store.auditor).await?;
    let known: BTreeSet<TenantNo> = snapshot.tenants().await?.into_iter().chain([TenantNo::PLATFORM]).collect();
    let mut tenants: Vec<TenantNo> = known.iter().copied().collect();
    for stranger in snapshot.tenants_of_postings().await?.into_iter().filter(|t| !known.contains(t)) {
        checked.fault(FaultKind::UnknownTenant, stranger, "", "postings of a tenant that there is not");
        tenants.push(stranger);
    }
    let mut folds = BTreeMap::new();
    for tenants in tenants.chunks(TENANTS) {
        let mut kept = Kept::read(&mut snapshot, tenants).await?;
        replay(&mut snapshot, tenants, &mut kept, &mut folds, &mut checked).await?;
        kept.left(&folds, &mut checked);
    }
    for found in inside::positions(&mut snapshot, &folds).await? {
        // The others are of limits; and what is added up here balances, both sides of a posting having its amount.
        if found.kind == Kind::PositionDiffers {
            checked.fault(FaultKind::PositionDiffers, found.tenant, &found.key, amounts(&found));
        }
    }
    payments(&mut snapshot, &mut checked).await?;
    snapshot.end().await?;
    Ok(checked)
}

fn amounts(found: &Found) -> String {
    let show = |minor: Option<i128>| minor.map_or("nothing".to_owned(), |m| m.to_string());
    format!("{}: {} where {} was posted", found.detail, show(found.ours), show(found.theirs))
}

/// What reconciliation has kept of some tenants: to be the same as what is replayed.
struct Kept {
    folds: BTreeMap<TenantNo, Fold>,
    checkpoints: BTreeMap<(TenantNo, i64), Checkpoint>,
}

impl Kept {
    async fn read(snapshot: &mut Snapshot, tenants: &[TenantNo]) -> Result<Self, RoundError> {
        let folds = snapshot.folds(tenants).await?.into_iter().map(|fold| (fold.tenant, fold)).collect();
        let checkpoints = snapshot.checkpoints(tenants).await?;
        let checkpoints = checkpoints.into_iter().map(|c| ((c.tenant, c.sequence), c)).collect();
        Ok(Self { folds, checkpoints })
    }

    /// Compares where the replay has come to.
    fn meet(&mut self, fold: &Fold, checked: &mut Checked) {
        if let Some(kept) = self.folds.get(&fold.tenant).filter(|kept| kept.sequence == fold.sequence) {
            if nonzero(&kept.sums) != nonzero(&fold.sums) {
                checked.fault(FaultKind::FoldDiffers, fold.tenant, fold.sequence, "other sums are kept");
            }
            self.folds.remove(&fold.tenant);
        }
        if let Some(kept) = self.checkpoints.remove(&(fold.tenant, fold.sequence)) {
            let replayed = fold::checkpoint(fold);
            if nonzero(&kept.balances) != nonzero(&replayed.balances) || kept.max_at != replayed.max_at {
                checked.fault(FaultKind::CheckpointDiffers, fold.tenant, fold.sequence, "other balances are kept");
            }
        }
    }

    /// What was kept of postings that are not there.
    fn left(self, folds: &BTreeMap<TenantNo, Fold>, checked: &mut Checked) {
        for (tenant, fold) in self.folds.into_iter().filter(|(_, fold)| fold.sequence > 0) {
            let last = folds.get(&tenant).map_or(0, |f: &Fold| f.sequence);
            let detail = format!("posting {} is not there; the last one is {last}", fold.sequence);
            checked.fault(FaultKind::FoldDiffers, tenant, fold.sequence, detail);
        }
        for ((tenant, sequence), _) in self.checkpoints {
            checked.fault(FaultKind::CheckpointDiffers, tenant, sequence, "the posting is not there");
        }
    }
}

fn nonzero(sums: &BTreeMap<String, i64>) -> BTreeMap<&String, i64> {
    sums.iter().filter(|(_, sum)| **sum != 0).map(|(key, sum)| (key, *sum)).collect()
}

async fn replay(
    snapshot: &mut Snapshot,
    tenants: &[TenantNo],
    kept: &mut Kept,
    folds: &mut BTreeMap<TenantNo, Fold>,
    checked: &mut Checked,
) -> Result<(), RoundError> {
    let forever = Timestamp(253_402_300_799_000_000);
    loop {
        let heads: Vec<_> = tenants.iter().map(|t| (*t, folds.get(t).map_or(0, |f: &Fold| f.sequence))).collect();
        let page = snapshot.postings(&heads, PAGE, forever).await?;
        if page.is_empty() {
            return Ok(());
        }
        for row in &page {
            checked.postings += 1;
            let fold = folds.entry(row.tenant).or_insert_with(|| fold::empty(row.tenant));
            shape(row, checked);
            if row.at.ms_since(fold.max_at) < -CLOCKS_APART_MS && row.tenant != TenantNo::PLATFORM {
                let detail = format!("{} after {}", row.at.to_rfc3339(), fold.max_at.to_rfc3339());
                checked.fault(FaultKind::TimeRegress, row.tenant, row.id, detail);
            }
            fold::add(fold, row)?;
            if let Some((account, balance)) = below_zero(fold, row) {
                let detail = format!("{account:?} {}: {balance}", row.amount.currency);
                checked.fault(FaultKind::NegativeBalance, row.tenant, row.id, detail);
            }
            kept.meet(fold, checked);
        }
    }
}

fn below_zero(fold: &Fold, row: &LedgerRow) -> Option<(AccountId, i64)> {
    let own = [row.debit, row.credit].into_iter().filter(|account| account.owner() != TenantNo::PLATFORM);
    own.map(|account| (account, fold::balance(fold, account, row.amount.currency))).find(|(_, balance)| *balance < 0)
}

/// What can be seen of a posting alone.
fn shape(row: &LedgerRow, checked: &mut Checked) {
    let mut fault = |kind, detail: String| checked.fault(kind, row.tenant, row.id, detail);
    if row.amount.minor <= 0 || row.debit == row.credit {
        fault(FaultKind::Empty, row.amount.to_string());
    }
    let mut of_another = [row.debit, row.credit].into_iter();
    if of_another.any(|a| a.owner() != TenantNo::PLATFORM && a.owner() != row.tenant) {
        fault(FaultKind::WrongTenant, format!("from {:?} to {:?}", row.debit, row.credit));
    }
    let Some(code) = Code::from_number(row.code) else {
        return fault(FaultKind::UnknownCode, row.code.to_string());
    };
    let (Some(debit), Some(credit)) = (row.debit.kind(), row.credit.kind()) else {
        return fault(FaultKind::UnknownAccount, format!("from {:?} to {:?}", row.debit, row.credit));
    };
    if !ways(code).contains(&(debit, credit)) {
        fault(FaultKind::WrongAccounts, format!("{} from {} to {}", code.name(), debit.name(), credit.name()));
    }
    let number = u16::from(code as u8) << 8;
    let low = u16::from(row.id.0.as_bytes()[15]);
    if posting_leg(row.id.0) >= LEGS_MAX || PostingId(derived(row.subject, number | low)) != row.id {
        fault(FaultKind::WrongId, format!("{} of {}", code.name(), row.subject));
    }
}

/// From where to where a code goes.
fn ways(code: Code) -> &'static [(A, A)] {
    match code {
        Code::Topup => &[(A::Bank, A::Available)],
        Code::UnmatchedCredit => &[(A::Bank, A::Suspense)],
        Code::Hold | Code::WithdrawHold => &[(A::Available, A::Held)],
        Code::Release => &[(A::Held, A::Available), (A::InTransit, A::Available)],
        Code::OnRampStart => &[(A::Held, A::InTransit)],
        Code::OnRampPaid => &[(A::InTransit, A::Bank)],
        Code::OnRampDelivered => &[(A::Wallet, A::InTransit)],
        Code::Settle => &[(A::OffRamp, A::Wallet)],
        Code::OffRampUsed => &[(A::InTransit, A::OffRamp)],
        Code::PaidOut => &[(A::Conversion, A::OffRamp)],
        Code::Spread => &[(A::InTransit, A::Spread)],
        Code::Rounding => &[(A::InTransit, A::Rounding)],
        Code::Fee => &[(A::Held, A::Fees)],
        Code::Returned => &[(A::Wallet, A::OffRamp)],
        Code::CreditStable => &[(A::InTransit, A::Available)],
        Code::Disputed => &[(A::Suspense, A::OffRamp)],
        Code::DisputeSettled => &[(A::InTransit, A::Suspense)],
        Code::SoldBack => &[(A::InTransit, A::OffRamp)],
        Code::SaleProceeds => &[(A::Bank, A::Available)],
        Code::ExchangeResult => &[(A::Exchange, A::Available), (A::Bank, A::Exchange)],
        Code::WithdrawRelease => &[(A::Held, A::Available)],
        Code::WithdrawPaid => &[(A::Held, A::Bank)],
    }
}

/// Every payment with its postings, and postings of none.
async fn payments(snapshot: &mut Snapshot, checked: &mut Checked) -> Result<(), RoundError> {
    for kind in ["transfers", "withdrawals", "postings"] {
        let mut after = (TenantNo::PLATFORM, Uuid::nil());
        loop {
            let page = match kind {
                "transfers" => snapshot.transfers_after(after, PAYMENTS).await?,
                "withdrawals" => snapshot.withdrawals_after(after, PAYMENTS).await?,
                // Those of payments that there are have been looked at.
                _ => snapshot.subjects_without_payment(after, PAYMENTS).await?,
            };
            let keys: BTreeSet<_> = page.iter().copied().collect();
            checked.payments += keys.len();
            let subjects = inside::subjects(snapshot, &keys).await?;
            for found in inside::trails(&subjects, &keys) {
                let unknown = kind == "postings";
                let fault = if unknown { FaultKind::UnknownSubject } else { FaultKind::PostingsDoNotFit };
                checked.fault(fault, found.tenant, found.subject.unwrap_or(found.key), found.detail);
            }
            match page.last() {
                Some(last) if i64::try_from(page.len()).is_ok_and(|n| n == PAYMENTS) => after = *last,
                _ => break,
            }
        }
    }
    Ok(())
}
