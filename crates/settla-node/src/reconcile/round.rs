//! One round: our books, then the others' from where they were left, then what does not agree.
//!
//! What was posted is folded in many short looks, and only what is left then is read from one snapshot together with the
//! positions it is compared with: as long as a look lasts, Postgres keeps every version of every row that has changed since,
//! and whoever reads a tenant's position goes through all of them.
//!
//! **Costs** of a round of [`Depth::Part`], however old the books are: a look-up a tenant; each posting since the last
//! round read twice and its payment once, or again if it went on meanwhile, at most [`POSTINGS_MAX`] of them; all
//! positions and all live transfers, added up by index; [`SWEEP`] old payments with their postings, so that each comes up
//! now and then; the new lines of each statement and the new blocks; what is open and what is a break already, looked up by
//! key.

use super::inside::{self, Subjects};
use super::kind::{Book, Flow, Kind};
use super::outside::{self, Outside, Reached, ReadError, Reading};
use super::state::{CREDITS_NAMED_AFTER, Found, Grace, State};
use super::{fold, ours};
use settla_domain::account::{AccountId, AccountKind};
use settla_domain::effect::EffectKind;
use settla_domain::id::{TransferId, WithdrawalId};
use settla_domain::money::Currency;
use settla_domain::posting::PostingCode;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use settla_domain::transfer::TransferState;
use settla_store::reconcile::{LedgerRow, Snapshot};
use settla_store::{Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Postings folded in one round, about: what 1,000 payments a second leave in a minute and a half.
pub const POSTINGS_MAX: usize = 900_000;
/// Of them so many are folded at ease: what 500 payments a second leave in a minute.
const AT_EASE: usize = 300_000;
/// Of a tenant at a time.
const PAGE: i64 = 500;
/// Tenants looked up at a time. With [`PAGE`] it bounds for how long a page keeps a thread from serving requests.
const TENANTS: usize = 10;
/// Payments looked at in one go, for the same reason.
const PAYMENTS: usize = 200;
/// With no more than this left since the last pass over all tenants, the books are compared.
const LEFT_MAX: usize = 5_000;
/// Passes until then.
const PASSES_MAX: usize = 6;
/// Payments remembered within a round, about; two kilobytes each.
const KNOWN_MAX: usize = 20_000;
/// Old transfers, and old withdrawals, looked at again in one round.
pub const SWEEP: i64 = 500;
/// A batch is written within 40 s or not at all; what is written under no tenant's lock is read only after that.
const PLATFORM_LAG: Duration = Duration::from_secs(60);

/// How far a round looks back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What is new, and some of what is old.
    Part,
    /// Everything, however long it takes.
    Whole,
}

/// A round did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// More money than there is.
    #[error(transparent)]
    Overflow(#[from] fold::Overflow),
}

/// What a round did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Postings folded.
    pub postings: usize,
    /// Payments whose postings were looked at.
    pub payments: usize,
    /// Lines of statements and transfers of tokens.
    pub lines: usize,
    /// Books that could not be read now.
    pub unread: BTreeSet<Book>,
    /// Books that are not read to their end yet: nothing is said about them.
    pub behind: BTreeSet<Book>,
}

/// Carries a round out.
pub async fn round(
    store: &Store,
    outside: &Outside,
    state: &mut State,
    depth: Depth,
    grace: Grace,
) -> Result<Done, RoundError> {
    let mut round = Round { found: Vec::new(), judged: BTreeSet::new(), done: Done::default() };
    let lag = i64::try_from(PLATFORM_LAG.min(grace.at_most).as_millis()).unwrap_or(0);
    round.catch_up(store, state, depth, lag).await?;
    round.sweep(store, state, depth).await?;
    let mut snapshot = Snapshot::begin(&store.auditor).await?;
    let now = snapshot.now().await?;
    round.compare(&mut snapshot, state, depth, now.plus_ms(-lag)).await?;
    round.found.extend(inside::work(&mut snapshot, now).await?);
    round.judge(|kind| kind.book() == Book::Work);
    snapshot.end().await?;

    // A later look at ours than at theirs would call what has come in between missing; the other way round it waits.
    let mut lookups = Snapshot::begin_lookups(&store.auditor).await?;
    round.outside(&mut lookups, outside, state).await?;
    state.items.settle();
    name_subjects(&mut lookups, state).await?;
    lookups.end().await?;
    for flow in Flow::ALL {
        round.found.extend(state.items.found(flow));
    }
    for book in Book::COMPARED {
        let judged = round.judged.iter().any(|kind| kind.book() == book && !is_about_payments(*kind));
        if judged && !round.done.unread.contains(&book) {
            state.cursors.insert(format!("compared/{}", book.name()), now.0.to_string());
        }
    }
    state.postings += round.done.postings;
    state.lines += round.done.lines;
    state.judge(round.found, &round.judged, now, grace);
    Ok(round.done)
}

/// Credits from before this have no name that the bank knows.
fn named_after(state: &State) -> Timestamp {
    let stored = state.cursors.get(CREDITS_NAMED_AFTER);
    stored.and_then(|text| Timestamp::from_rfc3339(text)).unwrap_or(Timestamp(0))
}

struct Round {
    found: Vec<Found>,
    judged: BTreeSet<Kind>,
    done: Done,
}

type Keys = BTreeSet<(TenantNo, Uuid)>;

impl Round {
    fn judge(&mut self, which: impl Fn(Kind) -> bool) {
        self.judged.extend(Kind::ALL.iter().copied().filter(|kind| which(*kind)));
    }

    /// Folds what has been posted, with a look of its own for each page, until little is left.
    async fn catch_up(
        &mut self,
        store: &Store,
        state: &mut State,
        depth: Depth,
        lag_ms: i64,
    ) -> Result<(), RoundError> {
        for _ in 0..PASSES_MAX {
            let before = self.done.postings;
            let mut look = Snapshot::begin(&store.auditor).await?;
            let tenants = tenants(&mut look).await?;
            look.end().await?;
            for tenants in tenants.chunks(TENANTS) {
                let mut known = Subjects::default();
                while !self.is_enough(depth) {
                    let begun = Instant::now();
                    let mut look = Snapshot::begin(&store.auditor).await?;
                    let platform_before = look.now().await?.plus_ms(-lag_ms);
                    let folded = self.fold(&mut look, state, tenants, platform_before, &mut known).await?;
                    look.end().await?;
                    // Nobody of them had a whole page left. What has come since is for the next pass: waiting for none to
                    // come would never end.
                    if folded < PAGE as usize {
                        break;
                    }
                    // What is compared all the time must not be felt.
                    if depth == Depth::Part {
                        tokio::time::sleep(begun.elapsed() * self.rest()).await;
                    }
                }
            }
            if self.done.postings - before <= LEFT_MAX {
                break;
            }
        }
        Ok(())
    }

    /// Folds the rest and compares, all from one snapshot.
    async fn compare(
        &mut self,
        snapshot: &mut Snapshot,
        state: &mut State,
        depth: Depth,
        platform_before: Timestamp,
    ) -> Result<(), RoundError> {
        for tenants in tenants(snapshot).await?.chunks(TENANTS) {
            let mut known = Subjects::default();
            while !self.is_enough(depth) && self.fold(snapshot, state, tenants, platform_before, &mut known).await? > 0
            {
            }
        }
        // What was found earlier is looked at again, so that it ends when it is mended.
        let again: Keys = state.breaks.values().filter_map(|b| payment(&b.found)).collect();
        self.payments(snapshot, &again).await?;
        self.judge(is_about_payments);
        if self.is_enough(depth) {
            self.done.behind.insert(Book::Ledger);
        } else {
            self.found.extend(inside::positions(snapshot, &state.folds).await?);
            self.judge(|kind| kind.book() == Book::Ledger);
        }
        Ok(())
    }

    /// How many times as long as a page took nothing is done: it works a quarter of the time, and half of it when there is
    /// much to do.
    fn rest(&self) -> u32 {
        if self.done.postings < AT_EASE { 3 } else { 1 }
    }

    /// Whether a round has folded as much as it may.
    fn is_enough(&self, depth: Depth) -> bool {
        depth == Depth::Part && self.done.postings >= POSTINGS_MAX
    }

    /// Folds the next page of these tenants' postings and looks at their payments, each once however many of its postings
    /// are still to come. Returns how many postings there were.
    async fn fold(
        &mut self,
        snapshot: &mut Snapshot,
        state: &mut State,
        tenants: &[TenantNo],
        platform_before: Timestamp,
        known: &mut Subjects,
    ) -> Result<usize, RoundError> {
        if known.len() >= KNOWN_MAX {
            *known = Subjects::default();
        }
        let heads: Vec<_> = tenants.iter().map(|t| (*t, state.folds.get(t).map_or(0, |fold| fold.sequence))).collect();
        let page = snapshot.postings(&heads, PAGE, platform_before).await?;
        let is_new = |row: &&LedgerRow| !is_credit(row) && !known.has_seen(row);
        let keys: Keys = page.iter().filter(is_new).map(|row| (row.tenant, row.subject)).collect();
        known.extend(self.payments(snapshot, &keys).await?);
        self.done.postings += page.len();
        for row in &page {
            add(state, known, row)?;
        }
        Ok(page.len())
    }

    /// Looks at payments with all their postings.
    async fn payments(&mut self, snapshot: &mut Snapshot, keys: &Keys) -> Result<Subjects, StoreError> {
        let mut all = Subjects::default();
        let mut left = keys.iter().copied().peekable();
        while left.peek().is_some() {
            let some: Keys = left.by_ref().take(PAYMENTS).collect();
            let subjects = inside::subjects(snapshot, &some).await?;
            self.found.extend(inside::trails(&subjects, &some));
            all.extend(subjects.without_postings());
            tokio::task::yield_now().await;
        }
        self.done.payments += keys.len();
        Ok(all)
    }

    /// Looks at the next old payments, whatever has become of them; from the beginning again after the last one.
    async fn sweep(&mut self, store: &Store, state: &mut State, depth: Depth) -> Result<(), StoreError> {
        const START: (TenantNo, Uuid) = (TenantNo::PLATFORM, Uuid::nil());
        for name in ["sweep/transfers", "sweep/withdrawals"] {
            let mut after = match depth {
                Depth::Whole => START,
                Depth::Part => state.cursors.get(name).and_then(|text| place(text)).unwrap_or(START),
            };
            loop {
                let mut look = Snapshot::begin(&store.auditor).await?;
                let page = match name {
                    "sweep/transfers" => look.transfers_after(after, SWEEP).await?,
                    _ => look.withdrawals_after(after, SWEEP).await?,
                };
                self.payments(&mut look, &page.iter().copied().collect()).await?;
                look.end().await?;
                let is_last = i64::try_from(page.len()).is_ok_and(|n| n < SWEEP);
                after = if is_last { START } else { page.last().copied().unwrap_or(START) };
                if is_last || depth == Depth::Part {
                    break;
                }
            }
            state.cursors.insert(name.to_owned(), format!("{}/{}", after.0.0, after.1.simple()));
        }
        Ok(())
    }

    async fn outside(
        &mut self,
        snapshot: &mut Snapshot,
        outside: &Outside,
        state: &mut State,
    ) -> Result<(), StoreError> {
        let named_after = named_after(state);
        let State { items, cursors, folds, .. } = state;
        let mut reading = Reading { items, cursors, found: &mut self.found, lines: 0 };
        let mut read: Vec<(Book, Result<Reached, ReadError>)> = Vec::new();
        let bank = outside::bank(&mut reading, outside.bank.as_ref(), snapshot, named_after).await;
        read.push((Book::Bank, bank));
        for on_ramp in &outside.on_ramps {
            read.push((Book::OnRamp, outside::on_ramp(&mut reading, on_ramp.as_ref()).await));
        }
        for off_ramp in &outside.off_ramps {
            read.push((Book::OffRamp, outside::off_ramp(&mut reading, off_ramp.as_ref()).await));
        }
        let chain = outside::chain(&mut reading, &outside.chain, outside.wallet, snapshot).await;
        read.push((Book::Chain, chain));
        self.done.lines = reading.lines;

        // A balance that cannot be read keeps nobody from comparing the lines.
        let mut balances: Vec<(Book, Currency, i128)> = Vec::new();
        let mut without_balance: BTreeMap<Book, ReadError> = BTreeMap::new();
        match outside.bank.balances().await {
            Ok(list) => balances.extend(list.iter().map(|m| (Book::Bank, m.currency, m.minor))),
            Err(error) => drop(without_balance.insert(Book::Bank, error.into())),
        }
        match outside.chain.tokens_of(outside.wallet).await {
            Ok(tokens) => {
                balances.push((Book::Chain, outside.chain.currency, i128::try_from(tokens).unwrap_or(i128::MAX)));
            }
            Err(error) => drop(without_balance.insert(Book::Chain, error.into())),
        }
        for (book, currency, theirs) in balances {
            let kind = if book == Book::Bank { AccountKind::Bank } else { AccountKind::Wallet };
            let account = AccountId::platform(kind);
            let ours = -folds.values().map(|f| i128::from(fold::balance(f, account, currency))).sum::<i128>();
            self.found.extend(outside::balance(items, book, currency, ours, theirs));
        }
        for (book, outcome) in read {
            match outcome {
                Ok(Reached::End) => {}
                Ok(Reached::Bound) => drop(self.done.behind.insert(book)),
                Err(ReadError::Store(error)) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, book = book.name(), "a book cannot be read now");
                    self.done.unread.insert(book);
                }
            }
        }
        // Of a book that is not read to its end, or with ours behind, what has no other side may have one.
        let ready = |book: &Book| !self.done.behind.contains(book) && !self.done.unread.contains(book);
        let books: BTreeSet<Book> = Book::OUTSIDE.into_iter().filter(ready).collect();
        if !self.done.behind.contains(&Book::Ledger) {
            let has_balance = |book| !without_balance.contains_key(&book);
            let is_balance = |kind| matches!(kind, Kind::BankBalanceDiffers | Kind::ChainBalanceDiffers);
            self.judge(|kind| books.contains(&kind.book()) && (has_balance(kind.book()) || !is_balance(kind)));
        }
        for (book, error) in without_balance {
            tracing::warn!(%error, book = book.name(), "a balance cannot be read now");
            self.done.unread.insert(book);
        }
        Ok(())
    }
}

async fn tenants(snapshot: &mut Snapshot) -> Result<Vec<TenantNo>, StoreError> {
    let mut tenants = vec![TenantNo::PLATFORM];
    tenants.extend(snapshot.tenants().await?);
    Ok(tenants)
}

fn is_credit(row: &LedgerRow) -> bool {
    let code = PostingCode::from_number(row.code);
    matches!(code, Some(PostingCode::Topup | PostingCode::UnmatchedCredit))
}

/// A posting into its tenant's fold and, where another book must say so too, among the items.
fn add(state: &mut State, subjects: &Subjects, row: &LedgerRow) -> Result<(), RoundError> {
    let named_after = named_after(state);
    let fold = state.folds.entry(row.tenant).or_insert_with(|| fold::empty(row.tenant));
    let transfer = subjects.transfers.get(&row.subject);
    state.checkpoints.extend(fold::add(fold, row)?);
    if PostingCode::from_number(row.code) == Some(PostingCode::Release)
        && let Some(cancelled) = transfer.filter(|t| t.state == TransferState::Cancelled)
    {
        fold::given_back(fold, cancelled.created_at, cancelled.terms.debit);
    }
    ours::say(&mut state.items, row, transfer, named_after);
    Ok(())
}

fn is_about_payments(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::TransferPostingsDiffer
            | Kind::TransferWithoutHold
            | Kind::HoldWithoutTransfer
            | Kind::PostingWithoutSubject
    )
}

/// The payment that a break is about.
fn payment(found: &Found) -> Option<(TenantNo, Uuid)> {
    let id = found.key.parse().ok().filter(|_| is_about_payments(found.kind))?;
    Some((found.tenant, id))
}

fn place(text: &str) -> Option<(TenantNo, Uuid)> {
    let (tenant, id) = text.split_once('/')?;
    Some((TenantNo(tenant.parse().ok()?), id.parse().ok()?))
}

/// Whose an item is that only they have: an order's name is the name of an effect of ours, if it is ours.
async fn name_subjects(snapshot: &mut Snapshot, state: &mut State) -> Result<(), StoreError> {
    let nameless = |open: &super::items::Open| open.ours.is_empty() && open.tenant == TenantNo::PLATFORM;
    let named: BTreeMap<Uuid, Vec<(Flow, String)>> = state
        .items
        .0
        .iter()
        .filter(|(_, open)| nameless(open))
        .filter_map(|((flow, key), _)| Some((outside::effect_of(*flow, key)?, (*flow, key.clone()))))
        .fold(BTreeMap::new(), |mut map, (effect, item)| {
            map.entry(effect).or_insert_with(Vec::new).push(item);
            map
        });
    let ids: Vec<Uuid> = named.keys().copied().collect();
    if ids.is_empty() {
        return Ok(());
    }
    for effect in snapshot.effects(&ids).await? {
        let bank_payment = EffectKind::BankPayment.id_for(effect.subject).0 == effect.id;
        let subject = if bank_payment {
            WithdrawalId(effect.subject).to_string()
        } else {
            TransferId(effect.subject).to_string()
        };
        for item in named.get(&effect.id).into_iter().flatten() {
            if let Some(open) = state.items.0.get_mut(item) {
                (open.tenant, open.subject) = (effect.tenant, Some(subject.clone()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_sweep_is_read_back() {
        let id = Uuid::from_u128(7);
        assert_eq!(place(&format!("3/{}", id.simple())), Some((TenantNo(3), id)));
        assert_eq!(place("x"), None);
    }
}
