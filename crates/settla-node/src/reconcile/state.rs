//! What one round hands to the next, in memory or in the database, and how a difference becomes a break and ends.

use super::items::{Amounts, Items, Open};
use super::kind::{Flow, Kind};
use settla_domain::money::Currency;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use settla_store::reconcile::{BreakRow, Checkpoint, Fold, Item, Kept, Side, Update};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The cursor that says since when credits are named by their line of the statement.
pub(crate) const CREDITS_NAMED_AFTER: &str = "credits_named_after";

/// A difference, as a round sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What kind.
    pub kind: Kind,
    /// Which one of its kind.
    pub key: String,
    /// Whose; the platform's if it concerns no tenant, or that is not known.
    pub tenant: TenantNo,
    /// The transfer, withdrawal, batch, effect or endpoint, as it is shown.
    pub subject: Option<String>,
    /// In which currency.
    pub currency: Option<Currency>,
    /// What we have, minor units.
    pub ours: Option<i128>,
    /// What they have, minor units.
    pub theirs: Option<i128>,
    /// In words.
    pub detail: String,
}

impl Found {
    /// How much more they have than we, minor units; nothing where it is not about money.
    pub fn size(&self) -> Option<i128> {
        match (self.ours, self.theirs) {
            (None, None) => None,
            (ours, theirs) => Some(theirs.unwrap_or(0) - ours.unwrap_or(0)),
        }
    }
}

/// A difference with its age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// What it is.
    pub found: Found,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// Since when it counts; nothing while it may still be on its way.
    pub opened_at: Option<Timestamp>,
}

/// Everything that goes from one round to the next.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub(crate) folds: BTreeMap<TenantNo, Fold>,
    pub(crate) items: Items,
    pub(crate) cursors: BTreeMap<String, String>,
    pub(crate) breaks: BTreeMap<(Kind, String), Break>,
    /// Since the state was read.
    pub(crate) checkpoints: Vec<Checkpoint>,
    /// Since the state was read.
    pub(crate) postings: usize,
    /// Since the state was read.
    pub(crate) lines: usize,
}

/// For how long a difference has to be there until it is a break, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace {
    /// No kind's grace is longer than this.
    pub at_most: Duration,
    /// A difference that nobody has looked at for so long begins anew: its other side may have come and gone.
    pub unseen_at_most: Duration,
}

impl Grace {
    fn of(self, kind: Kind) -> Duration {
        kind.book().grace().min(self.at_most)
    }
}

impl State {
    /// One that begins at the beginning: it trusts no sums but its own. Of what earlier rounds have kept it knows the ages
    /// of differences.
    pub fn fresh(kept: Kept) -> Self {
        let Self { breaks, mut cursors, .. } = Self::from(kept);
        cursors.retain(|name, _| name == CREDITS_NAMED_AFTER);
        Self { breaks, cursors, ..Self::default() }
    }

    /// Postings added up.
    pub fn postings(&self) -> usize {
        self.postings
    }

    /// Lines of statements read, and transfers of tokens.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// Breaks that count.
    pub fn open(&self) -> impl Iterator<Item = &Break> {
        self.breaks.values().filter(|b| b.opened_at.is_some())
    }

    /// Differences that may be on their way still.
    pub fn on_their_way(&self) -> impl Iterator<Item = &Break> {
        self.breaks.values().filter(|b| b.opened_at.is_none())
    }

    /// Takes in what a round has seen. What it could not judge stays as it was: it is neither gone nor older.
    pub(crate) fn judge(&mut self, found: Vec<Found>, judged: &BTreeSet<Kind>, now: Timestamp, grace: Grace) {
        let mut before = std::mem::take(&mut self.breaks);
        for found in found.into_iter().filter(|f| judged.contains(&f.kind)) {
            let key = (found.kind, found.key.clone());
            let known = before.remove(&key).or_else(|| self.breaks.remove(&key));
            let begun = known.filter(|b| b.opened_at.is_some() || age(b.last_seen, now) <= grace.unseen_at_most);
            let first_seen = begun.as_ref().map_or(now, |b| b.first_seen);
            let ripe = age(first_seen, now) >= grace.of(found.kind);
            let opened_at = begun.and_then(|b| b.opened_at).or(ripe.then_some(now));
            self.breaks.insert(key, Break { found, first_seen, last_seen: now, opened_at });
        }
        self.breaks.extend(before.into_iter().filter(|((kind, _), _)| !judged.contains(kind)));
    }
}

fn age(since: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(now.ms_since(since)).unwrap_or(0))
}

fn amounts(side: &Side) -> Amounts {
    side.iter().filter_map(|(code, minor)| Some((code.parse().ok()?, i128::from(*minor)))).collect()
}

fn narrow(minor: i128) -> i64 {
    // For showing only: sums that do not fit were refused before.
    i64::try_from(minor).unwrap_or(if minor < 0 { i64::MIN } else { i64::MAX })
}

fn side(amounts: &Amounts) -> Side {
    amounts.iter().map(|(currency, minor)| (currency.code().to_owned(), narrow(*minor))).collect()
}

impl From<Kept> for State {
    /// What an earlier version called otherwise is left out; it is found again under its new name.
    fn from(kept: Kept) -> Self {
        let item = |i: Item| {
            let open =
                Open { tenant: i.tenant, subject: i.subject, ours: amounts(&i.ours), theirs: amounts(&i.theirs) };
            Some(((Flow::from_name(&i.flow)?, i.key), open))
        };
        let known = |b: BreakRow| {
            let found = Found {
                kind: Kind::from_name(&b.kind)?,
                key: b.key,
                tenant: b.tenant,
                subject: b.subject,
                currency: b.currency.and_then(|code| code.parse().ok()),
                ours: b.ours.map(i128::from),
                theirs: b.theirs.map(i128::from),
                detail: b.detail,
            };
            let key = (found.kind, found.key.clone());
            Some((key, Break { found, first_seen: b.first_seen, last_seen: b.last_seen, opened_at: b.opened_at }))
        };
        Self {
            folds: kept.folds.into_iter().map(|fold| (fold.tenant, fold)).collect(),
            items: Items(kept.items.into_iter().filter_map(item).collect()),
            cursors: kept.cursors,
            breaks: kept.breaks.into_iter().filter_map(known).collect(),
            ..Self::default()
        }
    }
}

/// What has to be written so that the one state becomes the other.
pub(crate) fn difference(before: &State, after: &State) -> Update {
    let item = |((flow, key), open): (&(Flow, String), &Open)| Item {
        flow: flow.name().to_owned(),
        key: key.clone(),
        tenant: open.tenant,
        subject: open.subject.clone(),
        ours: side(&open.ours),
        theirs: side(&open.theirs),
    };
    let row = |b: &Break| BreakRow {
        kind: b.found.kind.name().to_owned(),
        key: b.found.key.clone(),
        tenant: b.found.tenant,
        subject: b.found.subject.clone(),
        currency: b.found.currency.map(|c| c.code().to_owned()),
        ours: b.found.ours.map(narrow),
        theirs: b.found.theirs.map(narrow),
        detail: b.found.detail.clone(),
        first_seen: b.first_seen,
        last_seen: b.last_seen,
        opened_at: b.opened_at,
        resolved_at: None,
    };
    let gone = before.items.0.keys().filter(|key| !after.items.0.contains_key(key));
    let resolved = before.breaks.keys().filter(|key| !after.breaks.contains_key(key));
    Update {
        folds: after.folds.values().filter(|f| before.folds.get(&f.tenant) != Some(f)).cloned().collect(),
        checkpoints: after.checkpoints.clone(),
        items: after.items.0.iter().filter(|(key, open)| before.items.0.get(key) != Some(open)).map(item).collect(),
        settled: gone.map(|(flow, key)| (flow.name().to_owned(), key.clone())).collect(),
        cursors: after
            .cursors
            .iter()
            .filter(|(name, value)| before.cursors.get(*name) != Some(value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        breaks: after.breaks.iter().filter(|(key, b)| before.breaks.get(key) != Some(b)).map(|(_, b)| row(b)).collect(),
        resolved: resolved.map(|(kind, key)| (kind.name().to_owned(), key.clone())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Grace = Grace { at_most: Duration::from_secs(100), unseen_at_most: Duration::from_secs(60) };

    fn found(kind: Kind) -> Found {
        Found {
            kind,
            key: "a".to_owned(),
            tenant: TenantNo(7),
            subject: None,
            currency: None,
            ours: Some(5),
            theirs: None,
            detail: String::new(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp(second * 1_000_000)
    }

    fn round(state: &mut State, found: &[Found], second: i64) {
        let judged = [Kind::PositionDiffers, Kind::BankCreditMissing].into();
        state.judge(found.to_vec(), &judged, at(second), GRACE);
    }

    #[test]
    fn a_difference_with_the_outside_is_a_break_once_it_has_stayed() {
        let (mut state, bank) = (State::default(), [found(Kind::BankCreditMissing)]);
        for second in [0, 50, 99] {
            round(&mut state, &bank, second);
            assert_eq!((state.open().count(), state.on_their_way().count()), (0, 1), "{second}");
        }
        round(&mut state, &bank, 100);
        let b = state.open().next().unwrap();
        assert_eq!((b.first_seen, b.opened_at, b.found.size()), (at(0), Some(at(100)), Some(-5)));
        // It stays one, as old as it is, and ends when it is not seen any more.
        round(&mut state, &bank, 500);
        assert_eq!(state.open().next().unwrap().first_seen, at(0));
        round(&mut state, &[], 501);
        assert_eq!(state.open().count(), 0);
        assert_eq!(difference(&State::default(), &state).breaks, []);
    }

    #[test]
    fn one_within_our_own_books_is_a_break_at_once() {
        let mut state = State::default();
        round(&mut state, &[found(Kind::PositionDiffers)], 0);
        assert_eq!(state.open().count(), 1);
    }

    #[test]
    fn what_nobody_has_looked_at_for_long_begins_anew_and_what_comes_back_too() {
        let (mut state, bank) = (State::default(), [found(Kind::BankCreditMissing)]);
        round(&mut state, &bank, 0);
        round(&mut state, &bank, 200);
        assert_eq!(state.open().count(), 0, "nobody knows that it was there all the time");
        round(&mut state, &[], 210);
        round(&mut state, &bank, 220);
        round(&mut state, &bank, 310);
        assert_eq!(state.open().count(), 0, "it was gone in between");
    }

    #[test]
    fn what_cannot_be_judged_stays_as_it_is() {
        let (mut state, on_ramp) = (State::default(), [found(Kind::OnRampOrderMissing)]);
        state.judge(on_ramp.to_vec(), &[Kind::OnRampOrderMissing].into(), at(0), GRACE);
        state.judge(on_ramp.to_vec(), &[Kind::OnRampOrderMissing].into(), at(50), GRACE);
        round(&mut state, &on_ramp, 105);
        let b = state.on_their_way().next().unwrap();
        assert_eq!((b.first_seen, b.last_seen), (at(0), at(50)));
    }

    #[test]
    fn what_is_kept_is_read_back_as_it_was() {
        let mut state = State::default();
        round(&mut state, &[found(Kind::PositionDiffers), found(Kind::BankCreditMissing)], 7);
        let open = Open {
            tenant: TenantNo(7),
            subject: Some("tr_1".to_owned()),
            ours: [(Currency::GBP, 5)].into(),
            theirs: Amounts::new(),
        };
        state.items.0.insert((Flow::BankCredit, "a".to_owned()), open);
        state.cursors.insert("bank".to_owned(), "12".to_owned());
        state.folds.insert(TenantNo(7), super::super::fold::empty(TenantNo(7)));
        let Update { folds, items, cursors, breaks, settled, resolved, .. } = difference(&State::default(), &state);
        assert!(settled.is_empty() && resolved.is_empty());
        let again = State::from(Kept { folds, items, cursors: cursors.into_iter().collect(), breaks });
        assert_eq!((&again.folds, &again.items, &again.cursors), (&state.folds, &state.items, &state.cursors));
        assert_eq!(again.breaks, state.breaks);
        let nothing = difference(&state, &again);
        assert!(nothing.folds.is_empty() && nothing.items.is_empty() && nothing.breaks.is_empty());
        let all = difference(&state, &State::default());
        assert_eq!((all.settled.len(), all.resolved.len()), (1, 2));
    }
}
