//! Adding postings up, in the order in which they were written.

use settla_domain::account::{AccountId, AccountKind};
use settla_domain::money::{Currency, Money};
use settla_domain::posting::PostingCode;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use settla_store::reconcile::{Checkpoint, Fold, LedgerRow};

/// Postings from one checkpoint to the next: what a balance at a past instant takes to add up at most, besides what was
/// posted since the last round.
pub const CHECKPOINT_EVERY: i32 = 1_000;
/// Days whose volume is kept.
const DAYS_KEPT: i32 = 3;
/// Before midnight another server's clock may be on the next day already.
const CLOCKS_APART_MS: i64 = 300_000;

/// A sum does not fit: more money than there is.
#[derive(Debug, thiserror::Error)]
#[error("a sum of the ledger overflows")]
pub struct Overflow;

/// An empty fold of a tenant.
pub(crate) fn empty(tenant: TenantNo) -> Fold {
    Fold { tenant, sequence: 0, max_at: Timestamp(0), unmarked: 0, sums: Default::default(), days: Default::default() }
}

/// The name of an account in a currency, in folds.
pub(crate) fn account_key(account: AccountId, currency: Currency) -> String {
    format!("{account}/{currency}")
}

/// What an account holds: credits less debits.
pub(crate) fn balance(fold: &Fold, account: AccountId, currency: Currency) -> i64 {
    fold.sums.get(&account_key(account, currency)).copied().unwrap_or(0)
}

/// Adds a posting. A checkpoint is due now and then.
pub(crate) fn add(fold: &mut Fold, row: &LedgerRow) -> Result<Option<Checkpoint>, Overflow> {
    let minor = i64::try_from(row.amount.minor).map_err(|_| Overflow)?;
    for (account, change) in [(row.debit, -minor), (row.credit, minor)] {
        let sum = fold.sums.entry(account_key(account, row.amount.currency)).or_default();
        *sum = sum.checked_add(change).ok_or(Overflow)?;
    }
    fold.sequence = row.sequence;
    fold.max_at = fold.max_at.max(row.at);
    if PostingCode::from_number(row.code) == Some(PostingCode::Hold) {
        volume(fold, row.at, row.amount)?;
    }
    fold.unmarked += 1;
    if fold.unmarked < CHECKPOINT_EVERY || fold.tenant == TenantNo::PLATFORM {
        return Ok(None);
    }
    fold.unmarked = 0;
    Ok(Some(checkpoint(fold)))
}

/// The balances as they are now.
pub(crate) fn checkpoint(fold: &Fold) -> Checkpoint {
    let own = [AccountKind::Available, AccountKind::Held, AccountKind::InTransit]
        .map(|kind| AccountId::tenant(fold.tenant, kind).to_string());
    let is_own = |key: &str| own.iter().any(|account| key.split('/').next() == Some(account));
    let balances = fold.sums.iter().filter(|(key, _)| is_own(key)).map(|(key, sum)| (key.clone(), *sum)).collect();
    Checkpoint { tenant: fold.tenant, sequence: fold.sequence, max_at: fold.max_at, balances }
}

fn day_key(day: i32, currency: Currency) -> String {
    format!("{day}/{currency}")
}

fn late_key(day: i32, currency: Currency) -> String {
    format!("{day}/{currency}/late")
}

/// Counts what was held on its day, and forgets days long past.
fn volume(fold: &mut Fold, at: Timestamp, amount: Money) -> Result<(), Overflow> {
    let day = at.utc_day();
    let minor = i64::try_from(amount.minor).map_err(|_| Overflow)?;
    let mut count = |key: String| -> Result<(), Overflow> {
        let sum = fold.days.entry(key).or_default();
        *sum = sum.checked_add(minor).ok_or(Overflow)?;
        Ok(())
    };
    count(day_key(day, amount.currency))?;
    if at.plus_ms(CLOCKS_APART_MS).utc_day() > day {
        count(late_key(day, amount.currency))?;
    }
    fold.days
        .retain(|key, _| key.split('/').next().and_then(|d| d.parse().ok()).is_some_and(|d: i32| d + DAYS_KEPT > day));
    Ok(())
}

/// A transfer of that day was called off: the day has its amount back.
pub(crate) fn given_back(fold: &mut Fold, created_at: Timestamp, debit: Money) {
    if let (Some(sum), Ok(minor)) =
        (fold.days.get_mut(&day_key(created_at.utc_day(), debit.currency)), i64::try_from(debit.minor))
    {
        *sum -= minor;
    }
}

/// What the day's use of limits may be: what was held on it, and as much more as was held just before its midnight, when
/// another server's clock may have been ahead.
pub(crate) fn volume_of(fold: &Fold, day: i32, currency: Currency) -> (i64, i64) {
    let of = |key: &str| fold.days.get(key).copied().unwrap_or(0);
    let least = of(&day_key(day, currency));
    (least, least + of(&late_key(day - 1, currency)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use settla_domain::id::PostingId;
    use uuid::Uuid;

    const NOON: Timestamp = Timestamp(20_000 * 86_400_000_000 + 43_200_000_000);

    fn hold(sequence: i64, at: Timestamp, minor: i128) -> LedgerRow {
        let tenant = TenantNo(7);
        LedgerRow {
            id: PostingId(Uuid::nil()),
            sequence,
            tenant,
            subject: Uuid::nil(),
            code: PostingCode::Hold as i16,
            debit: AccountId::tenant(tenant, AccountKind::Available),
            credit: AccountId::tenant(tenant, AccountKind::Held),
            amount: Money::new(Currency::GBP, minor),
            at,
        }
    }

    #[test]
    fn a_checkpoint_is_due_after_so_many_and_holds_the_tenants_own_balances() {
        let mut fold = empty(TenantNo(7));
        let marks: Vec<_> = (1..=2_500).filter_map(|n| add(&mut fold, &hold(n, NOON, 2)).unwrap()).collect();
        assert_eq!(marks.iter().map(|mark| mark.sequence).collect::<Vec<_>>(), [1_000, 2_000]);
        let held = account_key(AccountId::tenant(TenantNo(7), AccountKind::Held), Currency::GBP);
        assert_eq!((marks[1].balances[&held], marks[1].balances.len(), fold.unmarked), (4_000, 2, 500));
        assert_eq!(balance(&fold, AccountId::tenant(TenantNo(7), AccountKind::Available), Currency::GBP), -5_000);
    }

    #[test]
    fn the_volume_of_a_day_is_what_was_held_on_it_less_what_was_called_off() {
        let mut fold = empty(TenantNo(7));
        let day = NOON.utc_day();
        add(&mut fold, &hold(1, NOON, 100)).unwrap();
        let late = Timestamp((i64::from(day) + 1) * 86_400_000_000 - 1_000_000);
        add(&mut fold, &hold(2, late, 30)).unwrap();
        given_back(&mut fold, NOON, Money::new(Currency::GBP, 100));
        assert_eq!(volume_of(&fold, day, Currency::GBP), (30, 30));
        // The next day may have counted what was held a second before it.
        assert_eq!(volume_of(&fold, day + 1, Currency::GBP), (0, 30));
        add(&mut fold, &hold(3, NOON.plus_ms(5 * 86_400_000), 1)).unwrap();
        assert_eq!(volume_of(&fold, day, Currency::GBP), (0, 0), "long past");
    }

    #[test]
    fn a_sum_that_does_not_fit_is_an_error() {
        let mut fold = empty(TenantNo(7));
        add(&mut fold, &hold(1, NOON, i128::from(i64::MAX))).unwrap();
        assert!(add(&mut fold, &hold(2, NOON, 1)).is_err());
    }
}
