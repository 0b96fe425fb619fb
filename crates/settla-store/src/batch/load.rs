//! Loading, in an order that lets later statements use what earlier ones found.

use super::memory::{Agreement, Memory};
use super::{Keys, Loaded, Recorded, Subscription};
use crate::StoreError;
use crate::row::{at, currency, json, money, tenant, tenant_i32};
use settla_domain::effect::EffectStatus;
use settla_domain::fee::FeeSchedule;
use settla_domain::id::{EffectId, QuoteId, TopupId, TransferId, WithdrawalId};
use settla_domain::limit::{Limits, Usage};
use settla_domain::money::Currency;
use settla_domain::position::Position;
use settla_domain::quote::Quote;
use settla_domain::refusal::Refusal;
use settla_domain::tenant::{TenantNo, TenantStatus, TenantTerms};
use settla_domain::topup::Topup;
use settla_domain::transfer::{Settlement, Transfer, TransferState};
use settla_domain::withdrawal::{Withdrawal, WithdrawalState};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

type Tx = PgConnection;

pub(super) async fn load(tx: &mut Tx, mut keys: Keys, memory: &Memory) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    tenants(tx, &keys, memory, &mut loaded).await?;
    positions(tx, &keys, &mut loaded).await?;
    idempotency(tx, &mut keys, &mut loaded).await?;
    quotes(tx, &keys, &mut loaded).await?;
    transfers(tx, &keys, memory, &mut loaded).await?;
    effects(tx, &keys, &mut loaded).await?;
    topups(tx, &keys, &mut loaded).await?;
    withdrawals(tx, &keys, &mut loaded).await?;
    bank_entries(tx, &keys, &mut loaded).await?;
    Ok(loaded)
}

fn split<T>(keys: &BTreeSet<(TenantNo, T)>, id: impl Fn(&T) -> Uuid) -> (Vec<i32>, Vec<Uuid>) {
    keys.iter().map(|(tenant, key)| (tenant_i32(*tenant), id(key))).unzip()
}

fn split_text(keys: &BTreeSet<(TenantNo, String)>) -> (Vec<i32>, Vec<&str>) {
    keys.iter().map(|(tenant, key)| (tenant_i32(*tenant), key.as_str())).unzip()
}

async fn tenants(tx: &mut Tx, keys: &Keys, memory: &Memory, loaded: &mut Loaded) -> Result<(), StoreError> {
    let numbers: Vec<i32> = keys.tenants.iter().filter(|t| **t != TenantNo::PLATFORM).map(|t| tenant_i32(*t)).collect();
    if numbers.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(
        "SELECT l.tenant, l.event_sequence, l.terms_revision FROM tenant_locks l WHERE l.tenant = ANY ($1)
         ORDER BY l.tenant FOR NO KEY UPDATE OF l",
    )
    .bind(&numbers)
    .fetch_all(&mut *tx)
    .await?;
    let mut revisions = BTreeMap::new();
    for row in rows {
        let (number, revision) = (tenant(&row)?, row.try_get("terms_revision")?);
        loaded.sequences.insert(number, row.try_get("event_sequence")?);
        match memory.agreement(number, revision) {
            Some(agreement) => loaded.agree(number, agreement),
            None => drop(revisions.insert(number, revision)),
        }
    }
    if revisions.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(
        "SELECT t.tenant, t.status, t.spread_bps,
                (SELECT coalesce(jsonb_object_agg(f.currency, to_jsonb(f)), '{}') FROM fee_schedules f WHERE f.tenant = t.tenant) AS fees,
                (SELECT coalesce(jsonb_object_agg(m.currency, to_jsonb(m)), '{}') FROM limits m WHERE m.tenant = t.tenant) AS limits,
                (SELECT coalesce(jsonb_agg(jsonb_build_object('id', e.id, 'events', e.events)), '[]')
                 FROM webhook_endpoints e WHERE e.tenant = t.tenant AND e.status = 'enabled') AS endpoints
         FROM tenants t WHERE t.tenant = ANY ($1)",
    )
    .bind(revisions.keys().map(|number| tenant_i32(*number)).collect::<Vec<_>>())
    .fetch_all(&mut *tx)
    .await?;
    for row in rows {
        let number = tenant(&row)?;
        let revision = revisions.get(&number).copied().ok_or(StoreError::Corrupt("tenant"))?;
        let endpoints = json::<Vec<Subscription>>(&row, "endpoints")?.into();
        let agreement = Agreement { revision, terms: tenant_terms(&row)?, endpoints };
        memory.agree(number, agreement.clone());
        loaded.agree(number, agreement);
    }
    Ok(())
}

impl Loaded {
    fn agree(&mut self, tenant: TenantNo, agreement: Agreement) {
        self.world.tenants.insert(tenant, agreement.terms);
        self.endpoints.insert(tenant, agreement.endpoints);
    }
}

/// A tenant's terms from columns `status`, `spread_bps`, `fees` and `limits`.
pub(crate) fn tenant_terms(row: &PgRow) -> Result<TenantTerms, StoreError> {
    let status: TenantStatus = serde_json::from_value(serde_json::Value::String(row.try_get("status")?))
        .map_err(|_| StoreError::Corrupt("status"))?;
    let spread: i16 = row.try_get("spread_bps")?;
    Ok(TenantTerms {
        status,
        spread_bps: u16::try_from(spread).map_err(|_| StoreError::Corrupt("spread_bps"))?,
        fees: json::<BTreeMap<Currency, FeeSchedule>>(row, "fees")?,
        limits: json::<BTreeMap<Currency, Limits>>(row, "limits")?,
    })
}

async fn positions(tx: &mut Tx, keys: &Keys, loaded: &mut Loaded) -> Result<(), StoreError> {
    let numbers: Vec<i32> = keys.tenants.iter().filter(|t| **t != TenantNo::PLATFORM).map(|t| tenant_i32(*t)).collect();
    if numbers.is_empty() {
        return Ok(());
    }
    // Not locked: only the holder of the tenant's lock changes them.
    let rows =
        sqlx::query("SELECT * FROM positions WHERE tenant = ANY ($1)").bind(&numbers).fetch_all(&mut *tx).await?;
    for row in rows {
        loaded.world.positions.insert((tenant(&row)?, currency(&row, "currency")?), position(&row)?);
    }
    Ok(())
}

pub(crate) fn position(row: &PgRow) -> Result<Position, StoreError> {
    let amount = |column: &str| -> Result<i128, StoreError> { Ok(i128::from(row.try_get::<i64, _>(column)?)) };
    Ok(Position {
        available: amount("available")?,
        held: amount("held")?,
        in_transit: amount("in_transit")?,
        usage: Usage {
            day: row.try_get("usage_day")?,
            day_total: amount("usage_day_total")?,
            pending: amount("usage_pending")?,
        },
    })
}

/// First answers; what they refer to is loaded along with the rest, so that they can be given again.
async fn idempotency(tx: &mut Tx, keys: &mut Keys, loaded: &mut Loaded) -> Result<(), StoreError> {
    if keys.idempotency.is_empty() {
        return Ok(());
    }
    let (tenants, texts) = split_text(&keys.idempotency);
    let rows = sqlx::query(
        "SELECT i.* FROM idempotency i JOIN unnest($1::int[], $2::text[]) k (tenant, key) ON i.tenant = k.tenant AND i.key = k.key",
    )
    .bind(&tenants)
    .bind(&texts)
    .fetch_all(&mut *tx)
    .await?;
    for row in rows {
        let number = tenant(&row)?;
        let recorded = recorded(&row)?;
        if let Some(subject) = recorded.subject {
            keys.quotes.insert((number, QuoteId(subject)));
            keys.transfers.insert((number, TransferId(subject)));
            keys.withdrawals.insert((number, WithdrawalId(subject)));
            keys.topups.insert((number, subject));
        }
        loaded.idempotency.insert((number, row.try_get("key")?), recorded);
    }
    Ok(())
}

pub(crate) fn recorded(row: &PgRow) -> Result<Recorded, StoreError> {
    let refusal: Option<String> = row.try_get("refusal")?;
    let refusal: Option<Refusal> = refusal
        .map(|code| serde_json::from_value(serde_json::Value::String(code)))
        .transpose()
        .map_err(|_| StoreError::Corrupt("refusal"))?;
    Ok(Recorded { fingerprint: row.try_get("fingerprint")?, refusal, subject: row.try_get("subject")? })
}

async fn quotes(tx: &mut Tx, keys: &Keys, loaded: &mut Loaded) -> Result<(), StoreError> {
    if keys.quotes.is_empty() {
        return Ok(());
    }
    let (tenants, ids) = split(&keys.quotes, |id| id.0);
    let rows = sqlx::query("SELECT q.* FROM quotes q JOIN unnest($1::int[], $2::uuid[]) k (tenant, id) ON q.tenant = k.tenant AND q.id = k.id")
        .bind(&tenants)
        .bind(&ids)
        .fetch_all(&mut *tx)
        .await?;
    for row in rows {
        let quote = quote(&row)?;
        loaded.world.quotes.insert((quote.tenant, quote.id), quote);
    }
    Ok(())
}

pub(crate) fn quote(row: &PgRow) -> Result<Quote, StoreError> {
    Ok(Quote {
        id: QuoteId(row.try_get("id")?),
        tenant: tenant(row)?,
        terms: json(row, "terms")?,
        created_at: at(row, "created_at")?,
        expires_at: at(row, "expires_at")?,
        used: row.try_get("used")?,
    })
}

async fn transfers(tx: &mut Tx, keys: &Keys, memory: &Memory, loaded: &mut Loaded) -> Result<(), StoreError> {
    if keys.transfers.is_empty() {
        return Ok(());
    }
    let (tenants, ids) = split(&keys.transfers, |id| id.0);
    let rows = sqlx::query(
        "SELECT t.tenant, t.id, t.state, t.version, t.progress, t.updated_at
         FROM transfers t JOIN unnest($1::int[], $2::uuid[]) k (tenant, id) ON t.tenant = k.tenant AND t.id = k.id",
    )
    .bind(&tenants)
    .bind(&ids)
    .fetch_all(&mut *tx)
    .await?;
    let mut unknown = BTreeSet::new();
    for row in rows {
        let key = (tenant(&row)?, TransferId(row.try_get("id")?));
        match memory.transfer(&key) {
            Some(known) => drop(loaded.world.transfers.insert(key, now_as(&known, &row)?)),
            None => drop(unknown.insert(key)),
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let (tenants, ids) = split(&unknown, |id| id.0);
    let rows = sqlx::query("SELECT t.* FROM transfers t JOIN unnest($1::int[], $2::uuid[]) k (tenant, id) ON t.tenant = k.tenant AND t.id = k.id")
        .bind(&tenants)
        .bind(&ids)
        .fetch_all(&mut *tx)
        .await?;
    for row in rows {
        let transfer = transfer(&row)?;
        memory.keep(&transfer);
        loaded.world.transfers.insert((transfer.tenant, transfer.id), transfer);
    }
    Ok(())
}

/// A transfer with what may change of it as the row has it.
fn now_as(known: &Transfer, row: &PgRow) -> Result<Transfer, StoreError> {
    Ok(Transfer {
        state: state(row)?,
        version: version(row)?,
        progress: json(row, "progress")?,
        updated_at: at(row, "updated_at")?,
        ..known.clone()
    })
}

fn state(row: &PgRow) -> Result<TransferState, StoreError> {
    TransferState::from_name(row.try_get("state")?).ok_or(StoreError::Corrupt("state"))
}

fn version(row: &PgRow) -> Result<u32, StoreError> {
    u32::try_from(row.try_get::<i32, _>("version")?).map_err(|_| StoreError::Corrupt("version"))
}

pub(crate) fn transfer(row: &PgRow) -> Result<Transfer, StoreError> {
    Ok(Transfer {
        id: TransferId(row.try_get("id")?),
        tenant: tenant(row)?,
        quote: QuoteId(row.try_get("quote")?),
        terms: json(row, "terms")?,
        reference: row.try_get("reference")?,
        beneficiary: json(row, "beneficiary")?,
        settlement: Settlement::from_name(row.try_get("settlement")?).ok_or(StoreError::Corrupt("settlement"))?,
        state: state(row)?,
        version: version(row)?,
        progress: json(row, "progress")?,
        created_at: at(row, "created_at")?,
        updated_at: at(row, "updated_at")?,
    })
}

async fn effects(tx: &mut Tx, keys: &Keys, loaded: &mut Loaded) -> Result<(), StoreError> {
    if keys.effects.is_empty() {
        return Ok(());
    }
    let (tenants, ids) = split(&keys.effects, |id| id.0);
    let rows = sqlx::query(
        "SELECT o.tenant, o.id, o.status, o.attempts
         FROM outbox o JOIN unnest($1::int[], $2::uuid[]) k (tenant, id) ON o.tenant = k.tenant AND o.id = k.id
         ORDER BY o.id FOR NO KEY UPDATE OF o",
    )
    .bind(&tenants)
    .bind(&ids)
    .fetch_all(&mut *tx)
    .await?;
    for row in rows {
        let attempts: i32 = row.try_get("attempts")?;
        let status = match row.try_get::<&str, _>("status")? {
            "ready" if attempts == 0 => EffectStatus::Untouched,
            "ready" | "batched" => EffectStatus::Started,
            "accepted" => EffectStatus::Accepted,
            "done" => EffectStatus::Done,
            "cancelled" => EffectStatus::Cancelled,
            _ => return Err(StoreError::Corrupt("status")),
        };
        let key = (tenant(&row)?, EffectId(row.try_get("id")?));
        loaded.world.attempts.insert(key, attempts);
        loaded.world.effects.insert(key, status);
    }
    Ok(())
}

async fn topups(tx: &mut Tx, keys: &Keys, loaded: &mut Loaded) -> Result<(), StoreError> {
    if keys.topup_references.is_empty() && keys.topups.is_empty() {
        return Ok(());
    }
    let (tenants, references) = split_text(&keys.topup_references);
    let (id_tenants, ids) = split(&keys.topups, |id| *id);
    let rows = sqlx::query(
        "SELECT t.* FROM topups t JOIN unnest($1::int[], $2::text[]) k (tenant, reference) ON t.tenant = k.tenant AND t.reference = k.reference
         UNION SELECT t.* FROM topups t JOIN unnest($3::int[], $4::uuid[]) k (tenant, id) ON t.tenant = k.tenant AND t.id = k.id",
    )
    .bind(&tenants)
    .bind(&references)
    .bind(&id_tenants)
    .bind(&ids)
    .fetch_all(&mut *tx)
    .await?;
    for row in rows {
        let topup = topup(&row)?;
        loaded.world.topups.insert(topup.reference.clone(), topup);
    }
    Ok(())
}

pub(crate) fn topup(row: &PgRow) -> Result<Topup, StoreError> {
    Ok(Topup {
        id: TopupId(row.try_get("id")?),
        tenant: tenant(row)?,
        expected: money(row, "currency", "expected")?,
        credited: i128::from(row.try_get::<i64, _>("credited")?),
        reference: row.try_get("reference")?,
        created_at: at(row, "created_at")?,
    })
}

async fn withdrawals(tx: &mut Tx, keys: &Keys, loaded: &mut Loaded) -> Result<(), StoreError> {
    if keys.withdrawals.is_empty() && keys.withdrawal_references.is_empty() {
        return Ok(());
    }
    let (id_tenants, ids) = split(&keys.withdrawals, |id| id.0);
    let (tenants, references) = split_text(&keys.withdrawal_references);
    let rows = sqlx::query(
        "SELECT w.* FROM withdrawals w JOIN unnest($1::int[], $2::uuid[]) k (tenant, id) ON w.tenant = k.tenant AND w.id = k.id
         UNION SELECT w.* FROM withdrawals w JOIN unnest($3::int[], $4::text[]) k (tenant, reference) ON w.tenant = k.tenant AND w.reference = k.reference",
    )
    .bind(&id_tenants)
    .bind(&ids)
    .bind(&tenants)
    .bind(&references)
    .fetch_all(&mut *tx)
    .await?;
    for row in rows {
        let withdrawal = withdrawal(&row)?;
        loaded.world.withdrawal_references.insert((withdrawal.tenant, withdrawal.reference.clone()));
        loaded.world.withdrawals.insert((withdrawal.tenant, withdrawal.id), withdrawal);
    }
    Ok(())
}

pub(crate) fn withdrawal(row: &PgRow) -> Result<Withdrawal, StoreError> {
    Ok(Withdrawal {
        id: WithdrawalId(row.try_get("id")?),
        tenant: tenant(row)?,
        amount: money(row, "currency", "amount")?,
        reference: row.try_get("reference")?,
        account_masked: row.try_get("account_masked")?,
        state: WithdrawalState::from_name(row.try_get("state")?).ok_or(StoreError::Corrupt("state"))?,
        failure: row.try_get("failure")?,
        created_at: at(row, "created_at")?,
        updated_at: at(row, "updated_at")?,
    })
}

async fn bank_entries(tx: &mut Tx, keys: &Keys, loaded: &mut Loaded) -> Result<(), StoreError> {
    if keys.bank_entries.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = keys.bank_entries.iter().map(String::as_str).collect();
    let rows = sqlx::query("SELECT entry_id FROM bank_entries WHERE bank = 'bank' AND entry_id = ANY ($1)")
        .bind(&ids)
        .fetch_all(&mut *tx)
        .await?;
    for row in rows {
        loaded.world.bank_entries.insert(row.try_get("entry_id")?);
    }
    Ok(())
}
