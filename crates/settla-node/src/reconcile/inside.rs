//! Our own books with themselves, from one snapshot: positions and limits with the ledger, payments with their postings,
//! and whether work goes on.

use super::fold;
use super::kind::Kind;
use super::state::Found;
use settla_domain::account::{AccountId, AccountKind};
use settla_domain::effect::EffectKind;
use settla_domain::id::{EffectId, EndpointId, TransferId, WithdrawalId};
use settla_domain::money::{Currency, Money};
use settla_domain::posting::PostingCode;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use settla_domain::trail::{self, Misfit, Step};
use settla_domain::transfer::Transfer;
use settla_domain::withdrawal::{Withdrawal, WithdrawalState};
use settla_store::StoreError;
use settla_store::reconcile::{Fold, LedgerRow, Snapshot, Stuck};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A webhook that is due is sent within seconds; one that nobody has touched for so long is not being sent.
const WEBHOOK_LATE_MS: i64 = 900_000;

/// For how long an effect may be open: as the alerts have it.
pub const fn effect_age_max_ms(kind: EffectKind) -> i64 {
    match kind {
        EffectKind::OnRamp => 2_400_000,
        EffectKind::Settle => 900_000,
        EffectKind::OffRamp => 4_500_000,
        EffectKind::BankPayment => 3_600_000,
        EffectKind::SellBack => 7_200_000,
    }
}

const PARTS: [AccountKind; 3] = [AccountKind::Available, AccountKind::Held, AccountKind::InTransit];

fn plain(kind: Kind, key: String, tenant: TenantNo, detail: String) -> Found {
    Found { kind, key, tenant, subject: None, currency: None, ours: None, theirs: None, detail }
}

/// Positions, limits and the day's volume with what was posted. The folds must be those of the snapshot.
pub(crate) async fn positions(
    snapshot: &mut Snapshot,
    folds: &BTreeMap<TenantNo, Fold>,
) -> Result<Vec<Found>, StoreError> {
    let mut found = unbalanced(folds);
    let live = snapshot.live_debits().await?;
    let mut posted: BTreeSet<(TenantNo, String)> = BTreeSet::new();
    for (tenant, fold) in folds.iter().filter(|(tenant, _)| **tenant != TenantNo::PLATFORM) {
        let own = |key: &str| PARTS.iter().any(|k| key.starts_with(&AccountId::tenant(*tenant, *k).to_string()));
        posted.extend(fold.sums.iter().filter(|(k, sum)| **sum != 0 && own(k)).map(|(k, _)| (*tenant, k.clone())));
    }
    for (tenant, currency, position) in snapshot.positions().await? {
        let empty = fold::empty(tenant);
        let fold = folds.get(&tenant).unwrap_or(&empty);
        for (kind, part) in PARTS.into_iter().zip([position.available, position.held, position.in_transit]) {
            let account = AccountId::tenant(tenant, kind);
            posted.remove(&(tenant, fold::account_key(account, currency)));
            let sum = i128::from(fold::balance(fold, account, currency));
            if sum != part {
                found.push(differs(Kind::PositionDiffers, tenant, currency, (part, sum), kind.name()));
            }
        }
        let pending = live.iter().filter(|(t, m)| *t == tenant && m.currency == currency).map(|(_, m)| m.minor).sum();
        if position.usage.pending != pending {
            let amounts = (position.usage.pending, pending);
            found.push(differs(Kind::PendingDiffers, tenant, currency, amounts, "counted as pending, and live"));
        }
        let (least, most) = fold::volume_of(fold, position.usage.day, currency);
        let total = position.usage.day_total;
        if total < i128::from(least) || total > i128::from(most) {
            let amounts = (total, i128::from(least));
            found.push(differs(
                Kind::DailyVolumeDiffers,
                tenant,
                currency,
                amounts,
                "counted on the day, and held on it",
            ));
        }
    }
    // Posted to an account of which there is no position.
    for (tenant, key) in posted {
        let currency = key.split('/').nth(1).and_then(|code| code.parse().ok());
        let sum = folds.get(&tenant).and_then(|fold| fold.sums.get(&key)).copied().unwrap_or(0);
        let detail = "there is no position".to_owned();
        let theirs = Some(i128::from(sum));
        found.push(Found {
            currency,
            theirs,
            ..plain(Kind::PositionDiffers, format!("{}/{key}", tenant.0), tenant, detail)
        });
    }
    Ok(found)
}

fn differs(kind: Kind, tenant: TenantNo, currency: Currency, (ours, theirs): (i128, i128), what: &str) -> Found {
    let key = format!("{}/{currency}/{what}", tenant.0);
    Found {
        currency: Some(currency),
        ours: Some(ours),
        theirs: Some(theirs),
        ..plain(kind, key, tenant, what.to_owned())
    }
}

/// A posting has one amount for both of its sides, so this can only be a fold that somebody has changed.
fn unbalanced(folds: &BTreeMap<TenantNo, Fold>) -> Vec<Found> {
    let mut sums: BTreeMap<(TenantNo, Currency), i128> = BTreeMap::new();
    for fold in folds.values() {
        for (key, sum) in &fold.sums {
            if let Some(currency) = key.split('/').nth(1).and_then(|code| code.parse().ok()) {
                *sums.entry((fold.tenant, currency)).or_default() += i128::from(*sum);
            }
        }
    }
    let wrong = sums.into_iter().filter(|(_, sum)| *sum != 0);
    wrong
        .map(|((tenant, currency), sum)| {
            differs(Kind::LedgerUnbalanced, tenant, currency, (0, sum), "debits and credits")
        })
        .collect()
}

/// Payments with their postings.
#[derive(Default)]
pub(crate) struct Subjects {
    pub transfers: BTreeMap<Uuid, Transfer>,
    withdrawals: BTreeMap<Uuid, Withdrawal>,
    postings: BTreeMap<Uuid, Vec<LedgerRow>>,
    /// The number of the last posting of each.
    last: BTreeMap<Uuid, i64>,
}

impl Subjects {
    pub fn extend(&mut self, more: Self) {
        self.transfers.extend(more.transfers);
        self.withdrawals.extend(more.withdrawals);
        self.postings.extend(more.postings);
        self.last.extend(more.last);
    }

    /// What is needed of those whose postings have been looked at.
    pub fn without_postings(self) -> Self {
        Self { postings: BTreeMap::new(), ..self }
    }

    /// Whether this posting was among those that were looked at.
    pub fn has_seen(&self, row: &LedgerRow) -> bool {
        self.last.get(&row.subject).is_some_and(|last| row.sequence <= *last)
    }

    pub fn len(&self) -> usize {
        self.last.len()
    }
}

/// Reads these payments and all their postings: three look-ups by key.
pub(crate) async fn subjects(
    snapshot: &mut Snapshot,
    keys: &BTreeSet<(TenantNo, Uuid)>,
) -> Result<Subjects, StoreError> {
    let keys: Vec<_> = keys.iter().copied().collect();
    let transfers = snapshot.transfers(&keys).await?.into_iter().map(|t| (t.id.0, t)).collect();
    let withdrawals = snapshot.withdrawals(&keys).await?.into_iter().map(|w| (w.id.0, w)).collect();
    let ids: Vec<Uuid> = keys.iter().map(|(_, id)| *id).collect();
    let mut postings: BTreeMap<Uuid, Vec<LedgerRow>> = BTreeMap::new();
    for row in snapshot.postings_of(&ids).await? {
        postings.entry(row.subject).or_default().push(row);
    }
    let last = postings.iter().filter_map(|(id, rows)| Some((*id, rows.last()?.sequence))).collect();
    Ok(Subjects { transfers, withdrawals, postings, last })
}

/// Whether each of these payments has the postings that its state demands.
pub(crate) fn trails(subjects: &Subjects, keys: &BTreeSet<(TenantNo, Uuid)>) -> Vec<Found> {
    keys.iter().filter_map(|(tenant, id)| trail_of(subjects, *tenant, *id)).collect()
}

fn trail_of(subjects: &Subjects, tenant: TenantNo, id: Uuid) -> Option<Found> {
    let postings = subjects.postings.get(&id).map_or(&[][..], Vec::as_slice);
    let steps: Vec<Option<Step>> = postings.iter().map(|row| step(tenant, row)).collect();
    let steps_read: Vec<Step> = steps.iter().flatten().copied().collect();
    let is_odd = steps.len() != steps_read.len();
    let base = |kind, subject: String, detail| Found {
        subject: Some(subject),
        ..plain(kind, id.simple().to_string(), tenant, detail)
    };
    if let Some(transfer) = subjects.transfers.get(&id) {
        let misfits = trail::of_transfer(transfer, &steps_read);
        let subject = TransferId(id).to_string();
        return judged(misfits, is_odd, &steps_read, !transfer.state.is_terminal())
            .map(|j| j.found(base(j.kind, subject, format!("{}: {}", transfer.state.name(), j.words))));
    }
    if let Some(withdrawal) = subjects.withdrawals.get(&id) {
        let misfits = trail::of_withdrawal(withdrawal, &steps_read);
        let subject = WithdrawalId(id).to_string();
        let is_live = matches!(withdrawal.state, WithdrawalState::Pending | WithdrawalState::UnderReview);
        return judged(misfits, is_odd, &steps_read, is_live)
            .map(|j| j.found(base(j.kind, subject, format!("{}: {}", withdrawal.state.name(), j.words))));
    }
    // A bank credit has no row of its own: the bank's statement is what it is compared with.
    let first = postings.first().filter(|_| !is_credit(&steps_read) || is_odd)?;
    let misfits: Vec<Misfit> = steps_read.iter().copied().map(Misfit::Surplus).collect();
    let rest = rest(&steps_read);
    let kind = if rest.is_empty() { Kind::PostingWithoutSubject } else { Kind::HoldWithoutTransfer };
    let money = rest.first().copied().unwrap_or(first.amount);
    let detail = format!("no such payment: {}", words(&misfits));
    Some(Found {
        currency: Some(money.currency),
        ours: Some(money.minor),
        theirs: None,
        ..base(kind, id.simple().to_string(), detail)
    })
}

fn is_credit(steps: &[Step]) -> bool {
    matches!(steps, [one] if matches!(one.code, PostingCode::Topup | PostingCode::UnmatchedCredit))
}

/// Nothing for a posting that none of ours can be: of another tenant, or of unknown codes or accounts.
fn step(tenant: TenantNo, row: &LedgerRow) -> Option<Step> {
    let of_the_tenant = |account: AccountId| account.owner() == TenantNo::PLATFORM || account.owner() == tenant;
    let fits = row.tenant == tenant && of_the_tenant(row.debit) && of_the_tenant(row.credit);
    let code = PostingCode::from_number(row.code).filter(|_| fits)?;
    Some(Step { code, debit: row.debit.kind()?, credit: row.credit.kind()?, amount: row.amount })
}

/// What is left held or in transit.
fn rest(steps: &[Step]) -> Vec<Money> {
    let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
    let waits = |kind| matches!(kind, AccountKind::Held | AccountKind::InTransit);
    for step in steps {
        let sum = sums.entry(step.amount.currency).or_default();
        *sum += if waits(step.credit) { step.amount.minor } else { 0 };
        *sum -= if waits(step.debit) { step.amount.minor } else { 0 };
    }
    sums.into_iter().filter(|(_, sum)| *sum != 0).map(|(currency, sum)| Money::new(currency, sum)).collect()
}

struct Judged {
    kind: Kind,
    words: String,
    ours: Option<Money>,
    theirs: Option<Money>,
}

impl Judged {
    fn found(&self, base: Found) -> Found {
        let currency = self.ours.or(self.theirs).map(|m| m.currency);
        Found { currency, ours: self.ours.map(|m| m.minor), theirs: self.theirs.map(|m| m.minor), ..base }
    }
}

/// What is wrong with a trail. "Theirs" is what the state demands.
fn judged(misfits: Vec<Misfit>, is_odd: bool, steps: &[Step], is_live: bool) -> Option<Judged> {
    let said = words(&misfits);
    let missing = misfits.iter().find_map(|m| if let Misfit::Missing(step) = m { Some(*step) } else { None });
    let surplus = misfits.iter().find_map(|m| if let Misfit::Surplus(step) = m { Some(*step) } else { None });
    let is_hold = |step: Step| matches!(step.code, PostingCode::Hold | PostingCode::WithdrawHold);
    let rest = if is_live { Vec::new() } else { rest(steps) };
    if misfits.is_empty() {
        let words = "a posting that is not of its tenant, or that we do not know".to_owned();
        return is_odd.then_some(Judged { kind: Kind::TransferPostingsDiffer, words, ours: None, theirs: None });
    }
    let no_hold = missing.filter(|step| is_live && is_hold(*step) && surplus.is_none());
    let (kind, ours, theirs) = if let Some(hold) = no_hold {
        (Kind::TransferWithoutHold, None, Some(hold.amount))
    } else if let Some(left) = rest.first() {
        (Kind::HoldWithoutTransfer, Some(*left), None)
    } else {
        (Kind::TransferPostingsDiffer, surplus.map(|s| s.amount), missing.map(|s| s.amount))
    };
    // Of two currencies the demanded one.
    let ours = ours.filter(|o| theirs.is_none_or(|t| t.currency == o.currency));
    Some(Judged { kind, words: said, ours, theirs })
}

fn words(misfits: &[Misfit]) -> String {
    let one = |misfit: &Misfit| match misfit {
        Misfit::Missing(step) => format!("lacks {} {}", step.code.name(), step.amount),
        Misfit::Surplus(step) => format!("has {} {}", step.code.name(), step.amount),
    };
    misfits.iter().take(4).map(one).collect::<Vec<_>>().join(", ")
}

/// Effects and webhooks that do not go on.
pub(crate) async fn work(snapshot: &mut Snapshot, now: Timestamp) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    let of_subject = |kind, stuck: &Stuck, words: String| {
        let bank_payment = EffectKind::BankPayment.id_for(stuck.subject) == EffectId(stuck.id);
        let subject =
            if bank_payment { WithdrawalId(stuck.subject).to_string() } else { TransferId(stuck.subject).to_string() };
        let key = EffectId(stuck.id).to_string();
        Found { subject: Some(subject), ..plain(kind, key, stuck.tenant, words) }
    };
    for kind in EffectKind::ALL {
        let before = now.plus_ms(-effect_age_max_ms(kind));
        for stuck in snapshot.effects_before(kind.name(), before).await? {
            found.push(of_subject(Kind::EffectOverdue, &stuck, format!("{} is {}", kind.name(), stuck.what)));
        }
    }
    for stuck in snapshot.set_aside().await? {
        found.push(of_subject(Kind::EffectSetAside, &stuck, stuck.what.clone()));
    }
    for stuck in snapshot.open_effects_of_ended().await? {
        found.push(of_subject(Kind::EffectOfEnded, &stuck, stuck.what.clone()));
    }
    let of_endpoint = |kind, stuck: &Stuck, words: &str| {
        let key = stuck.id.simple().to_string();
        Found {
            subject: Some(EndpointId(stuck.subject).to_string()),
            ..plain(kind, key, stuck.tenant, words.to_owned())
        }
    };
    for stuck in snapshot.deliveries_due_before(now.plus_ms(-WEBHOOK_LATE_MS)).await? {
        found.push(of_endpoint(Kind::WebhookOverdue, &stuck, "a delivery is due"));
    }
    for stuck in snapshot.disabled_endpoints().await? {
        found.push(of_endpoint(Kind::WebhookEndpointDisabled, &stuck, "disabled"));
    }
    Ok(found)
}
