//! Our own books, added up: what the checks compare with each other and with the books of the outside.

use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::row::{currency, money, tenant, tenant_i32};
use settla_domain::account::AccountId;
use settla_domain::effect::EffectKind;
use settla_domain::money::{Currency, Money};
use settla_domain::tenant::TenantNo;
use settla_domain::transfer::Transfer;
use sqlx::Row;
use uuid::Uuid;

/// Debits and credits of one account in one currency, minor units.
#[derive(Debug, Clone)]
pub struct AccountSums {
    /// The account.
    pub account: AccountId,
    /// The currency.
    pub currency: Currency,
    /// Sum of debits.
    pub debits: i128,
    /// Sum of credits.
    pub credits: i128,
}

/// Adds up every posting, by account.
pub async fn account_sums(auditor: &BoundedPool) -> Result<Vec<AccountSums>, StoreError> {
    let rows = sqlx::query(
        "SELECT account, currency, sum(debit)::text AS debits, sum(credit)::text AS credits FROM (
             SELECT debit AS account, currency, amount AS debit, 0 AS credit FROM postings
             UNION ALL SELECT credit, currency, 0, amount FROM postings) sides
         GROUP BY account, currency ORDER BY account, currency",
    )
    .fetch_all(auditor)
    .await?;
    let sum = |row: &sqlx::postgres::PgRow, column: &'static str| -> Result<i128, StoreError> {
        row.try_get::<&str, _>(column)?.parse().map_err(|_| StoreError::Corrupt(column))
    };
    rows.iter()
        .map(|r| {
            Ok(AccountSums {
                account: AccountId::from_uuid(r.try_get("account")?),
                currency: currency(r, "currency")?,
                debits: sum(r, "debits")?,
                credits: sum(r, "credits")?,
            })
        })
        .collect()
}

/// All positions: available, held, in transit.
pub async fn positions(auditor: &BoundedPool) -> Result<Vec<(TenantNo, Currency, [i128; 3], i128)>, StoreError> {
    let rows = sqlx::query("SELECT * FROM positions ORDER BY tenant, currency").fetch_all(auditor).await?;
    rows.iter()
        .map(|r| {
            let p = crate::batch::position(r)?;
            Ok((tenant(r)?, currency(r, "currency")?, [p.available, p.held, p.in_transit], p.usage.pending))
        })
        .collect()
}

/// How many transfers are in each state.
pub async fn states(auditor: &BoundedPool) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = sqlx::query("SELECT state, count(*) AS n FROM transfers GROUP BY state ORDER BY state")
        .fetch_all(auditor)
        .await?;
    rows.iter().map(|r| Ok((r.try_get("state")?, r.try_get("n")?))).collect()
}

/// What of a tenant is still with us, in words: money, transfers that have not ended, withdrawals that are not paid.
pub async fn left_of(auditor: &BoundedPool, tenant: TenantNo) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query(
        "SELECT n, what FROM (
             SELECT available + held + in_transit AS n, 'in ' || currency AS what FROM positions WHERE tenant = $1
             UNION ALL SELECT count(*), 'transfers' FROM transfers WHERE tenant = $1 AND live
             UNION ALL SELECT count(*), 'withdrawals' FROM withdrawals WHERE tenant = $1 AND state = 'PENDING') l
         WHERE n <> 0 ORDER BY what",
    )
    .bind(tenant_i32(tenant))
    .fetch_all(auditor)
    .await?;
    rows.iter().map(|r| left(r.try_get("n")?, r.try_get("what")?)).collect()
}

fn left(n: i64, what: &str) -> Result<String, StoreError> {
    match what.strip_prefix("in ") {
        Some(code) => {
            let currency: Currency = code.parse().map_err(|_| StoreError::Corrupt("currency"))?;
            Ok(format!("{} {currency}", Money::new(currency, i128::from(n)).decimal()))
        }
        None => Ok(format!("{n} {what}")),
    }
}

/// Debits of transfers that have not ended: what the pending use of limits must equal, and what, with pending
/// withdrawals, explains holds and transits.
pub async fn live_debits(auditor: &BoundedPool) -> Result<Vec<(TenantNo, Money)>, StoreError> {
    let rows = sqlx::query(
        "SELECT tenant, debit_currency AS currency, sum(debit_amount)::bigint AS amount FROM transfers
         WHERE live GROUP BY tenant, debit_currency",
    )
    .fetch_all(auditor)
    .await?;
    rows.iter().map(|r| Ok((tenant(r)?, money(r, "currency", "amount")?))).collect()
}

/// One transfer for a comparison with the outside.
#[derive(Debug, Clone)]
pub struct TransferLine {
    /// Its id.
    pub id: Uuid,
    /// Its state.
    pub state: String,
    /// What the on-ramp was given.
    pub source: Money,
    /// What the on-ramp delivered.
    pub delivered: Option<Money>,
    /// The order's name at the on-ramp that has it.
    pub order: Uuid,
    /// The payout's name at the off-ramp that has it.
    pub payout: Uuid,
    /// What the off-ramp paid.
    pub paid: Option<Money>,
    /// Tokens that went to off-ramps, over all its legs.
    pub out: i128,
    /// Tokens that came back from them.
    pub back: i128,
    /// What was paid to us for its tokens, if they were sold, and the sale's name at the off-ramp.
    pub sold: Option<(Uuid, Money)>,
}

impl TransferLine {
    fn of(t: &Transfer) -> Self {
        let (progress, terms) = (&t.progress, &t.terms);
        let went = progress.returned_payouts.iter().filter(|leg| leg.settlement_tx.is_some()).count();
        let came = progress.returned_payouts.iter().filter(|leg| leg.return_tx.is_some()).count();
        let for_sale = progress.sale.as_ref().filter(|sale| sale.settlement_tx.is_some());
        let is_back = progress.return_tx.is_some();
        let times = |count: usize| terms.sent.minor * i128::try_from(count).unwrap_or(0);
        let out =
            times(went + usize::from(progress.settlement_tx.is_some())) + for_sale.map_or(0, |_| terms.bought.minor);
        let last = if for_sale.is_some() { terms.bought.minor } else { terms.sent.minor };
        Self {
            id: t.id.0,
            state: t.state.name().to_owned(),
            source: terms.source,
            delivered: progress.delivered,
            order: EffectKind::OnRamp.id_on_leg(t.id.0, progress.order_leg()).0,
            payout: EffectKind::OffRamp.id_on_leg(t.id.0, progress.payout_leg()).0,
            paid: progress.paid,
            out,
            back: times(came) + if is_back { last } else { 0 },
            sold: for_sale.filter(|s| s.is_paid()).map(|s| (EffectKind::SellBack.id_for(t.id.0).0, s.proceeds)),
        }
    }
}

/// Every transfer, oldest first. For checks of a bounded system, not for a live one of any size.
pub async fn transfer_lines(auditor: &BoundedPool) -> Result<Vec<TransferLine>, StoreError> {
    let rows = sqlx::query("SELECT * FROM transfers ORDER BY id").fetch_all(auditor).await?;
    rows.iter().map(|r| Ok(TransferLine::of(&crate::batch::transfer(r)?))).collect()
}

/// Rows of the whole schema by table, exact.
pub async fn row_counts(auditor: &BoundedPool) -> Result<Vec<(String, i64)>, StoreError> {
    const TABLES: [&str; 15] = [
        "quotes",
        "transfers",
        "events",
        "postings",
        "positions",
        "outbox",
        "provider_events",
        "settlements",
        "settlement_members",
        "idempotency",
        "audit_log",
        "webhook_deliveries",
        "webhook_attempts",
        "topups",
        "withdrawals",
    ];
    let mut counts = Vec::new();
    for table in TABLES {
        let row = sqlx::query(&format!("SELECT count(*) AS n FROM {table}")).fetch_one(auditor).await?;
        counts.push((table.to_owned(), row.try_get("n")?));
    }
    Ok(counts)
}

/// Transfers that have not ended, by state: how many, and for how many seconds the oldest has been in it.
pub async fn open_transfers(auditor: &BoundedPool) -> Result<Vec<(String, i64, f64)>, StoreError> {
    let rows = sqlx::query(
        "SELECT state, count(*) AS n, extract(epoch FROM now() - min(updated_at))::float8 AS oldest_s FROM transfers
         WHERE live GROUP BY state",
    )
    .fetch_all(auditor)
    .await?;
    rows.iter().map(|r| Ok((r.try_get("state")?, r.try_get("n")?, r.try_get("oldest_s")?))).collect()
}

/// How many withdrawals there are that have not ended, by state, and the age in seconds of the oldest.
pub async fn open_withdrawals(auditor: &BoundedPool) -> Result<Vec<(String, i64, f64)>, StoreError> {
    let rows = sqlx::query(
        "SELECT state, count(*) AS n, extract(epoch FROM now() - min(updated_at))::float8 AS oldest_s FROM withdrawals
         WHERE state IN ('PENDING', 'UNDER_REVIEW') GROUP BY state",
    )
    .fetch_all(auditor)
    .await?;
    rows.iter().map(|r| Ok((r.try_get("state")?, r.try_get("n")?, r.try_get("oldest_s")?))).collect()
}
