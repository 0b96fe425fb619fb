//! Between columns and domain types.

use crate::StoreError;
use serde::de::DeserializeOwned;
use settla_domain::money::{Currency, Money};
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use time::OffsetDateTime;

/// The tenant number as its column's type. Numbers come from a Postgres identity, so they fit.
pub fn tenant_i32(tenant: TenantNo) -> i32 {
    i32::try_from(tenant.0).unwrap_or(i32::MAX)
}

/// A tenant number from its column.
pub fn tenant(row: &PgRow) -> Result<TenantNo, StoreError> {
    let number: i32 = row.try_get("tenant")?;
    u32::try_from(number).map(TenantNo).map_err(|_| StoreError::Corrupt("tenant"))
}

/// An amount as its column's type. What does not fit is refused, never cut.
pub fn minor_i64(minor: i128) -> Result<i64, StoreError> {
    i64::try_from(minor).map_err(|_| StoreError::Corrupt("amount"))
}

/// A currency from its column.
pub fn currency(row: &PgRow, column: &'static str) -> Result<Currency, StoreError> {
    let code: &str = row.try_get(column)?;
    code.parse().map_err(|_| StoreError::Corrupt(column))
}

/// An amount from two columns.
pub fn money(row: &PgRow, currency_column: &'static str, amount_column: &'static str) -> Result<Money, StoreError> {
    let minor: i64 = row.try_get(amount_column)?;
    Ok(Money::new(currency(row, currency_column)?, i128::from(minor)))
}

/// An instant from its column.
pub fn at(row: &PgRow, column: &'static str) -> Result<Timestamp, StoreError> {
    let at: OffsetDateTime = row.try_get(column)?;
    Ok(Timestamp::from_datetime(at))
}

/// An instant from its column, if there is one.
pub fn maybe_at(row: &PgRow, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<OffsetDateTime> = row.try_get(column)?;
    Ok(at.map(Timestamp::from_datetime))
}

/// A JSON document from its column.
pub fn json<T: DeserializeOwned>(row: &PgRow, column: &'static str) -> Result<T, StoreError> {
    row.try_get::<Json<T>, _>(column).map(|json| json.0).map_err(|_| StoreError::Corrupt(column))
}
