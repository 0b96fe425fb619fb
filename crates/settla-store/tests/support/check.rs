//! The books, checked from outside the code that wrote them.

use settla_domain::account::AccountKind;
use settla_domain::money::Currency;
use settla_domain::tenant::TenantNo;
use settla_store::{Store, books};
use sqlx::Row;
use std::collections::BTreeMap;

/// Debits equal credits in every currency, positions equal the ledger, limits count what is live, and nothing
/// is held or in transit for a transfer or withdrawal that has ended.
pub async fn assert_books(store: &Store) {
    let sums = books::account_sums(&store.auditor).await.unwrap();
    assert!(!sums.is_empty(), "nothing was posted");
    let mut balance: BTreeMap<Currency, i128> = BTreeMap::new();
    let mut ledger: BTreeMap<(TenantNo, Currency), [i128; 3]> = BTreeMap::new();
    for sum in sums {
        *balance.entry(sum.currency).or_default() += sum.debits - sum.credits;
        let owner = sum.account.owner();
        if owner == TenantNo::PLATFORM {
            continue;
        }
        let part = match sum.account.kind() {
            Some(AccountKind::Available) => 0,
            Some(AccountKind::Held) => 1,
            Some(AccountKind::InTransit) => 2,
            other => panic!("a tenant has an account of kind {other:?}"),
        };
        ledger.entry((owner, sum.currency)).or_default()[part] += sum.credits - sum.debits;
    }
    assert!(balance.values().all(|difference| *difference == 0), "debits and credits differ: {balance:?}");

    let positions = books::positions(&store.auditor).await.unwrap();
    let live = books::live_debits(&store.auditor).await.unwrap();
    let live: BTreeMap<_, _> = live.iter().map(|(tenant, debit)| ((*tenant, debit.currency), debit.minor)).collect();
    for (tenant, currency, parts, usage_pending) in positions {
        let key = (tenant, currency);
        let of_ledger = ledger.remove(&key).unwrap_or_default();
        assert_eq!(parts, of_ledger, "position and ledger of {tenant:?} in {currency}");
        assert_eq!(
            usage_pending,
            live.get(&key).copied().unwrap_or_default(),
            "pending use of limits of {tenant:?} in {currency}"
        );
    }
    assert!(ledger.is_empty(), "in the ledger, without a position: {ledger:?}");
    let stray = stray_holds(store).await;
    assert!(stray.is_empty(), "held or in transit for nothing that lives: {stray:?}");
}

/// What the ledger still holds or has in transit, by subject, where no live transfer or withdrawal explains it.
async fn stray_holds(store: &Store) -> Vec<String> {
    let rows = sqlx::query(
        "WITH sides AS (
             SELECT tenant, subject, currency, credit AS account, amount FROM postings
             UNION ALL SELECT tenant, subject, currency, debit, -amount FROM postings),
         held AS (
             SELECT tenant, subject, currency, account, sum(amount) AS rest FROM sides
             WHERE substr(replace(account::text, '-', ''), 9, 4) IN ('0002', '0003')
             GROUP BY tenant, subject, currency, account HAVING sum(amount) <> 0)
         SELECT held.subject::text || ' ' || held.currency || ' ' || held.rest AS stray FROM held
         WHERE held.rest < 0
            OR NOT EXISTS (SELECT FROM transfers t WHERE t.tenant = held.tenant AND t.id = held.subject
                           AND t.state NOT IN ('COMPLETED', 'CANCELLED', 'REFUNDED', 'FAILED'))
           AND NOT EXISTS (SELECT FROM withdrawals w WHERE w.tenant = held.tenant AND w.id = held.subject
                           AND w.state IN ('PENDING', 'UNDER_REVIEW'))",
    )
    .fetch_all(&store.auditor)
    .await
    .unwrap();
    rows.iter().map(|row| row.get("stray")).collect()
}
