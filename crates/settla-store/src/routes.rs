//! What the router goes by: how providers did, and what operators have switched off.

use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::operator::audit;
use crate::row::at;
use settla_domain::effect::EffectKind;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use sqlx::Row;
use std::time::Duration;

/// How a provider did at one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// The provider; for a settlement, the chain.
    pub provider: String,
    /// The step.
    pub step: EffectKind,
    /// How often it did what was asked.
    pub succeeded: i64,
    /// How often it did not.
    pub failed: i64,
    /// How long the successes took, all together.
    pub milliseconds: i64,
}

/// Adds to the present minute. One statement, whatever the number of providers.
pub async fn record(worker: &BoundedPool, measured: &[Measured]) -> Result<(), StoreError> {
    if measured.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO provider_minutes (provider, step, minute, succeeded, failed, milliseconds)
         SELECT k.provider, k.step, date_trunc('minute', now()), k.succeeded, k.failed, k.milliseconds
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) k (provider, step, succeeded, failed, milliseconds)
         ON CONFLICT (minute, provider, step) DO UPDATE SET succeeded = provider_minutes.succeeded + excluded.succeeded,
             failed = provider_minutes.failed + excluded.failed, milliseconds = provider_minutes.milliseconds + excluded.milliseconds",
    )
    .bind(measured.iter().map(|m| m.provider.as_str()).collect::<Vec<_>>())
    .bind(measured.iter().map(|m| m.step.name()).collect::<Vec<_>>())
    .bind(measured.iter().map(|m| m.succeeded).collect::<Vec<_>>())
    .bind(measured.iter().map(|m| m.failed).collect::<Vec<_>>())
    .bind(measured.iter().map(|m| m.milliseconds).collect::<Vec<_>>())
    .execute(worker)
    .await?;
    Ok(())
}

/// Forgets minutes that are older than this.
pub async fn forget(worker: &BoundedPool, age: Duration) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM provider_minutes WHERE minute < now() - $1 * interval '1 millisecond'")
        .bind(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
        .execute(worker)
        .await?;
    Ok(())
}

/// Sums over the last `window`, by provider and step. It reads a row a provider, step and minute.
pub async fn measured(app: &BoundedPool, window: Duration) -> Result<Vec<Measured>, StoreError> {
    let rows = sqlx::query(
        "SELECT provider, step, sum(succeeded)::bigint AS succeeded, sum(failed)::bigint AS failed, sum(milliseconds)::bigint AS milliseconds
         FROM provider_minutes WHERE minute >= now() - $1 * interval '1 millisecond' GROUP BY provider, step",
    )
    .bind(i64::try_from(window.as_millis()).unwrap_or(i64::MAX))
    .fetch_all(app)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Measured {
                provider: row.try_get("provider")?,
                step: EffectKind::from_name(row.try_get("step")?).ok_or(StoreError::Corrupt("step"))?,
                succeeded: row.try_get("succeeded")?,
                failed: row.try_get("failed")?,
                milliseconds: row.try_get("milliseconds")?,
            })
        })
        .collect()
}

/// What can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SwitchKind {
    /// An on-ramp or off-ramp, by name.
    Provider,
    /// A pair of currencies, `GBP-NGN`.
    Corridor,
}

impl SwitchKind {
    /// Name as stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Corridor => "corridor",
        }
    }
}

/// Something that is switched off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchedOff {
    /// What it is.
    pub kind: SwitchKind,
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
    /// Who did it.
    pub by: String,
    /// Since when.
    pub at: Timestamp,
}

/// Everything that is switched off, oldest first.
pub async fn switched_off(pool: &BoundedPool) -> Result<Vec<SwitchedOff>, StoreError> {
    let rows = sqlx::query("SELECT * FROM switched_off ORDER BY at, kind, name").fetch_all(pool).await?;
    rows.iter()
        .map(|row| {
            let kind = match row.try_get("kind")? {
                "provider" => SwitchKind::Provider,
                "corridor" => SwitchKind::Corridor,
                _ => return Err(StoreError::Corrupt("kind")),
            };
            let at = at(row, "at")?;
            Ok(SwitchedOff {
                kind,
                name: row.try_get("name")?,
                reason: row.try_get("reason")?,
                by: row.try_get("by")?,
                at,
            })
        })
        .collect()
}

/// Switches something off, with an entry in the audit log. Once more replaces the reason.
pub async fn switch_off(
    operator: &BoundedPool,
    kind: SwitchKind,
    name: &str,
    reason: &str,
    by: &str,
) -> Result<(), StoreError> {
    let mut tx = operator.begin().await?;
    sqlx::query(
        "INSERT INTO switched_off (kind, name, reason, by) VALUES ($1, $2, $3, $4)
         ON CONFLICT (kind, name) DO UPDATE SET reason = excluded.reason, by = excluded.by, at = now()",
    )
    .bind(kind.name())
    .bind(name)
    .bind(reason)
    .bind(by)
    .execute(&mut *tx)
    .await?;
    audit(&mut tx, TenantNo::PLATFORM, by, "switch.off", &format!("{} {name}: {reason}", kind.name())).await?;
    Ok(tx.commit().await?)
}

/// Switches something on again, with an entry in the audit log. Returns whether it was off.
pub async fn switch_on(operator: &BoundedPool, kind: SwitchKind, name: &str, by: &str) -> Result<bool, StoreError> {
    let mut tx = operator.begin().await?;
    let done = sqlx::query("DELETE FROM switched_off WHERE kind = $1 AND name = $2")
        .bind(kind.name())
        .bind(name)
        .execute(&mut *tx)
        .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    audit(&mut tx, TenantNo::PLATFORM, by, "switch.on", &format!("{} {name}", kind.name())).await?;
    tx.commit().await?;
    Ok(true)
}
