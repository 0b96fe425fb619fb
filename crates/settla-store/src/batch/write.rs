//! Writing what a batch decided. Each kind of row is folded to its last state first and then written by one
//! statement, so the number of statements does not depend on the number of commands.

use super::touched::Touched;
use super::{Loaded, Takers, Written, deliveries};
use crate::StoreError;
use crate::outbox::Moment;
use crate::row::{minor_i64, tenant_i32};
use crate::webhook::hand_over::NewDelivery;
use settla_domain::effect::EffectStatus;
use settla_domain::refusal::Refusal;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use settla_domain::world::{Change, World};
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use std::collections::BTreeMap;
use time::OffsetDateTime;
use uuid::Uuid;

type Tx = PgConnection;

/// How long after a provider took an order we ask, if we have not heard. Longer than a delivery takes to its depth on chain:
/// else most would be asked about for nothing, and the more so the less there is time for it.
const ENQUIRE_AFTER_MS: i64 = 10_000;

/// Sealed personal data of a transfer or withdrawal; the columns of `personal_data`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SealedParties {
    /// Sealed `sender_name`.
    pub sender_name: Option<Vec<u8>>,
    /// Sealed `sender_account`.
    pub sender_account: Option<Vec<u8>>,
    /// Sealed `recipient_name`.
    pub recipient_name: Option<Vec<u8>>,
    /// Sealed `recipient_account`.
    pub recipient_account: Option<Vec<u8>>,
    /// Sealed `recipient_bank`.
    pub recipient_bank: Option<Vec<u8>>,
}

/// A first answer to be kept.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// Whose key.
    pub tenant: TenantNo,
    /// The key.
    pub key: String,
    /// Keyed fingerprint of the request.
    pub fingerprint: Vec<u8>,
    /// Whether it was refused.
    pub refusal: Option<Refusal>,
    /// What it made or changed.
    pub subject: Option<Uuid>,
}

/// An audit entry.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Whose matter.
    pub tenant: TenantNo,
    /// Who did it: a key id, an operator, or a part of the platform.
    pub actor: String,
    /// What: `transfer.create`.
    pub action: &'static str,
    /// To what: an id.
    pub object: String,
    /// The request's id.
    pub request_id: Option<String>,
}

/// What a batch decided, in order.
#[derive(Debug, Default)]
pub struct Outcome {
    /// All changes; the world of [`Loaded`] has them applied.
    pub changes: Vec<Change>,
    /// Personal data by tenant and subject.
    pub sealed: Vec<(TenantNo, Uuid, SealedParties)>,
    /// First answers.
    pub idempotency: Vec<Idempotency>,
    /// Audit entries.
    pub audit: Vec<Audit>,
}

/// Beside the rows: who takes what over.
pub(super) struct Writing<'a> {
    pub takers: &'a Takers,
    /// Before the transaction began, by whose time leases are counted.
    pub begun: Moment,
    pub written: Written,
}

pub(super) async fn write(
    tx: &mut Tx,
    id: Uuid,
    outcome: &Outcome,
    loaded: &Loaded,
    now: Timestamp,
    writing: &mut Writing<'_>,
) -> Result<(), StoreError> {
    let world = &loaded.world;
    let touched = Touched::by(&outcome.changes);
    let at = now.to_datetime();
    quotes(tx, &touched, world).await?;
    new_transfers(tx, &touched, world).await?;
    sealed(tx, outcome).await?;
    changed_transfers(tx, &touched, world).await?;
    topups(tx, &touched, world).await?;
    withdrawals(tx, &touched, world).await?;
    postings(tx, &touched, at).await?;
    positions(tx, &touched, world).await?;
    new_effects(tx, &touched, world, now, writing).await?;
    moved_effects(tx, &touched, world, at).await?;
    let new_deliveries = events(tx, &touched, loaded).await?;
    deliveries::write(tx, &new_deliveries, at, writing).await?;
    idempotency(tx, outcome, at).await?;
    audit(tx, outcome, at).await?;
    bank_entries_and_marker(tx, &touched, id, at).await
}

async fn quotes(tx: &mut Tx, touched: &Touched<'_>, world: &World) -> Result<(), StoreError> {
    let new: Vec<_> = touched.new_quotes.iter().filter_map(|key| world.quotes.get(key)).collect();
    if !new.is_empty() {
        sqlx::query(
            "INSERT INTO quotes (tenant, id, terms, created_at, expires_at, used)
             SELECT * FROM unnest($1::int[], $2::uuid[], $3::jsonb[], $4::timestamptz[], $5::timestamptz[], $6::bool[])",
        )
        .bind(new.iter().map(|q| tenant_i32(q.tenant)).collect::<Vec<_>>())
        .bind(new.iter().map(|q| q.id.0).collect::<Vec<_>>())
        .bind(new.iter().map(|q| Json(&q.terms)).collect::<Vec<_>>())
        .bind(new.iter().map(|q| q.created_at.to_datetime()).collect::<Vec<_>>())
        .bind(new.iter().map(|q| q.expires_at.to_datetime()).collect::<Vec<_>>())
        .bind(new.iter().map(|q| q.used).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
    }
    if !touched.used_quotes.is_empty() {
        let (tenants, ids): (Vec<i32>, Vec<Uuid>) =
            touched.used_quotes.iter().map(|(t, id)| (tenant_i32(*t), id.0)).unzip();
        sqlx::query("UPDATE quotes q SET used = true FROM unnest($1::int[], $2::uuid[]) k (tenant, id) WHERE q.tenant = k.tenant AND q.id = k.id")
            .bind(tenants)
            .bind(ids)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

async fn new_transfers(tx: &mut Tx, touched: &Touched<'_>, world: &World) -> Result<(), StoreError> {
    let new: Vec<_> = touched.new_transfers.iter().filter_map(|key| world.transfers.get(key)).collect();
    if new.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO transfers (tenant, id, quote, reference, beneficiary, terms, debit_currency, debit_amount,
             destination_currency, destination_amount, state, version, progress, created_at, updated_at, settlement)
         SELECT * FROM unnest($1::int[], $2::uuid[], $3::uuid[], $4::text[], $5::jsonb[], $6::jsonb[], $7::text[], $8::bigint[],
             $9::text[], $10::bigint[], $11::text[], $12::int[], $13::jsonb[], $14::timestamptz[], $15::timestamptz[],
             $16::text[])",
    )
    .bind(new.iter().map(|t| tenant_i32(t.tenant)).collect::<Vec<_>>())
    .bind(new.iter().map(|t| t.id.0).collect::<Vec<_>>())
    .bind(new.iter().map(|t| t.quote.0).collect::<Vec<_>>())
    .bind(new.iter().map(|t| t.reference.as_str()).collect::<Vec<_>>())
    .bind(new.iter().map(|t| Json(&t.beneficiary)).collect::<Vec<_>>())
    .bind(new.iter().map(|t| Json(&t.terms)).collect::<Vec<_>>())
    .bind(new.iter().map(|t| t.terms.debit.currency.code()).collect::<Vec<_>>())
    .bind(new.iter().map(|t| minor_i64(t.terms.debit.minor)).collect::<Result<Vec<_>, _>>()?)
    .bind(new.iter().map(|t| t.terms.destination.currency.code()).collect::<Vec<_>>())
    .bind(new.iter().map(|t| minor_i64(t.terms.destination.minor)).collect::<Result<Vec<_>, _>>()?)
    .bind(new.iter().map(|t| t.state.name()).collect::<Vec<_>>())
    .bind(new.iter().map(|t| version(t.version)).collect::<Result<Vec<_>, _>>()?)
    .bind(new.iter().map(|t| Json(&t.progress)).collect::<Vec<_>>())
    .bind(new.iter().map(|t| t.created_at.to_datetime()).collect::<Vec<_>>())
    .bind(new.iter().map(|t| t.updated_at.to_datetime()).collect::<Vec<_>>())
    .bind(new.iter().map(|t| t.settlement.name()).collect::<Vec<_>>())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

fn version(version: u32) -> Result<i32, StoreError> {
    i32::try_from(version).map_err(|_| StoreError::Corrupt("version"))
}

async fn sealed(tx: &mut Tx, outcome: &Outcome) -> Result<(), StoreError> {
    if outcome.sealed.is_empty() {
        return Ok(());
    }
    let rows = &outcome.sealed;
    let column =
        |f: fn(&SealedParties) -> &Option<Vec<u8>>| rows.iter().map(|(_, _, s)| f(s).as_deref()).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO personal_data (tenant, subject, sender_name, sender_account, recipient_name, recipient_account, recipient_bank)
         SELECT * FROM unnest($1::int[], $2::uuid[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[])",
    )
    .bind(rows.iter().map(|(tenant, _, _)| tenant_i32(*tenant)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, subject, _)| *subject).collect::<Vec<_>>())
    .bind(column(|s| &s.sender_name))
    .bind(column(|s| &s.sender_account))
    .bind(column(|s| &s.recipient_name))
    .bind(column(|s| &s.recipient_account))
    .bind(column(|s| &s.recipient_bank))
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn changed_transfers(tx: &mut Tx, touched: &Touched<'_>, world: &World) -> Result<(), StoreError> {
    let changed: Vec<_> = touched.changed_transfers.iter().filter_map(|key| world.transfers.get(key)).collect();
    if changed.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE transfers t SET state = k.state, version = k.version, progress = k.progress, updated_at = k.updated_at
         FROM unnest($1::int[], $2::uuid[], $3::text[], $4::int[], $5::jsonb[], $6::timestamptz[]) k (tenant, id, state, version, progress, updated_at)
         WHERE t.tenant = k.tenant AND t.id = k.id",
    )
    .bind(changed.iter().map(|t| tenant_i32(t.tenant)).collect::<Vec<_>>())
    .bind(changed.iter().map(|t| t.id.0).collect::<Vec<_>>())
    .bind(changed.iter().map(|t| t.state.name()).collect::<Vec<_>>())
    .bind(changed.iter().map(|t| version(t.version)).collect::<Result<Vec<_>, _>>()?)
    .bind(changed.iter().map(|t| Json(&t.progress)).collect::<Vec<_>>())
    .bind(changed.iter().map(|t| t.updated_at.to_datetime()).collect::<Vec<_>>())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn topups(tx: &mut Tx, touched: &Touched<'_>, world: &World) -> Result<(), StoreError> {
    let rows: Vec<_> = touched.topups.iter().filter_map(|reference| world.topups.get(*reference)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO topups (tenant, id, reference, currency, expected, credited, created_at)
         SELECT * FROM unnest($1::int[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::timestamptz[])
         ON CONFLICT (tenant, id) DO UPDATE SET credited = excluded.credited",
    )
    .bind(rows.iter().map(|t| tenant_i32(t.tenant)).collect::<Vec<_>>())
    .bind(rows.iter().map(|t| t.id.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|t| t.reference.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|t| t.expected.currency.code()).collect::<Vec<_>>())
    .bind(rows.iter().map(|t| minor_i64(t.expected.minor)).collect::<Result<Vec<_>, _>>()?)
    .bind(rows.iter().map(|t| minor_i64(t.credited)).collect::<Result<Vec<_>, _>>()?)
    .bind(rows.iter().map(|t| t.created_at.to_datetime()).collect::<Vec<_>>())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn withdrawals(tx: &mut Tx, touched: &Touched<'_>, world: &World) -> Result<(), StoreError> {
    let rows: Vec<_> = touched.withdrawals.iter().filter_map(|key| world.withdrawals.get(key)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO withdrawals (tenant, id, reference, currency, amount, account_masked, state, failure, created_at, updated_at)
         SELECT * FROM unnest($1::int[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::timestamptz[], $10::timestamptz[])
         ON CONFLICT (tenant, id) DO UPDATE SET state = excluded.state, failure = excluded.failure, updated_at = excluded.updated_at",
    )
    .bind(rows.iter().map(|w| tenant_i32(w.tenant)).collect::<Vec<_>>())
    .bind(rows.iter().map(|w| w.id.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|w| w.reference.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|w| w.amount.currency.code()).collect::<Vec<_>>())
    .bind(rows.iter().map(|w| minor_i64(w.amount.minor)).collect::<Result<Vec<_>, _>>()?)
    .bind(rows.iter().map(|w| w.account_masked.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|w| w.state.name()).collect::<Vec<_>>())
    .bind(rows.iter().map(|w| w.failure.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|w| w.created_at.to_datetime()).collect::<Vec<_>>())
    .bind(rows.iter().map(|w| w.updated_at.to_datetime()).collect::<Vec<_>>())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn postings(tx: &mut Tx, touched: &Touched<'_>, at: OffsetDateTime) -> Result<(), StoreError> {
    let rows = &touched.postings;
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO postings (id, tenant, subject, code, debit, credit, currency, amount, at)
         SELECT *, $9 FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::smallint[], $5::uuid[], $6::uuid[], $7::text[], $8::bigint[])",
    )
    .bind(rows.iter().map(|p| p.id.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|p| tenant_i32(p.tenant)).collect::<Vec<_>>())
    .bind(rows.iter().map(|p| p.subject).collect::<Vec<_>>())
    .bind(rows.iter().map(|p| i16::from(p.code as u8)).collect::<Vec<_>>())
    .bind(rows.iter().map(|p| p.debit.to_uuid()).collect::<Vec<_>>())
    .bind(rows.iter().map(|p| p.credit.to_uuid()).collect::<Vec<_>>())
    .bind(rows.iter().map(|p| p.amount.currency.code()).collect::<Vec<_>>())
    .bind(rows.iter().map(|p| minor_i64(p.amount.minor)).collect::<Result<Vec<_>, _>>()?)
    .bind(at)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn positions(tx: &mut Tx, touched: &Touched<'_>, world: &World) -> Result<(), StoreError> {
    if touched.positions.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = touched
        .positions
        .iter()
        .map(|(tenant, currency)| (tenant, currency, world.position(*tenant, *currency)))
        .collect();
    sqlx::query(
        "INSERT INTO positions (tenant, currency, available, held, in_transit, usage_day, usage_day_total, usage_pending)
         SELECT * FROM unnest($1::int[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::int[], $7::bigint[], $8::bigint[])
         ON CONFLICT (tenant, currency) DO UPDATE SET available = excluded.available, held = excluded.held, in_transit = excluded.in_transit,
             usage_day = excluded.usage_day, usage_day_total = excluded.usage_day_total, usage_pending = excluded.usage_pending",
    )
    .bind(rows.iter().map(|(tenant, _, _)| tenant_i32(**tenant)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, currency, _)| currency.code()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, _, p)| minor_i64(p.available)).collect::<Result<Vec<_>, _>>()?)
    .bind(rows.iter().map(|(_, _, p)| minor_i64(p.held)).collect::<Result<Vec<_>, _>>()?)
    .bind(rows.iter().map(|(_, _, p)| minor_i64(p.in_transit)).collect::<Result<Vec<_>, _>>()?)
    .bind(rows.iter().map(|(_, _, p)| p.usage.day).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, _, p)| minor_i64(p.usage.day_total)).collect::<Result<Vec<_>, _>>()?)
    .bind(rows.iter().map(|(_, _, p)| minor_i64(p.usage.pending)).collect::<Result<Vec<_>, _>>()?)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

fn stored_status(status: Option<&EffectStatus>) -> &'static str {
    match status {
        Some(EffectStatus::Accepted) => "accepted",
        Some(EffectStatus::Done) => "done",
        Some(EffectStatus::Cancelled) => "cancelled",
        Some(EffectStatus::Untouched | EffectStatus::Started) | None => "ready",
    }
}

/// An order that a worker of this process takes over is written as its first attempt.
async fn new_effects(
    tx: &mut Tx,
    touched: &Touched<'_>,
    world: &World,
    now: Timestamp,
    writing: &mut Writing<'_>,
) -> Result<(), StoreError> {
    if touched.new_effects.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = touched.new_effects.values().collect();
    let leases: Vec<Option<i64>> = rows
        .iter()
        .map(|order| {
            // What was ordered and called off by one batch is nobody's.
            if world.effects.get(&(order.tenant, order.id)) != Some(&EffectStatus::Untouched) {
                return None;
            }
            let lease = writing.written.handed.effect(writing.takers, order, writing.begun, now);
            if lease.is_none() {
                writing.written.to_claim.insert(order.effect.kind());
            }
            lease
        })
        .collect();
    sqlx::query(
        "INSERT INTO outbox (id, tenant, subject, kind, payload, status, attempts, epoch, first_attempt_at, lease_until, next_at, created_at)
         SELECT id, tenant, subject, kind, payload, status, CASE WHEN lease IS NULL THEN 0 ELSE 1 END, CASE WHEN lease IS NULL THEN 0 ELSE 1 END,
             CASE WHEN lease IS NOT NULL THEN now() END, now() + lease * interval '1 millisecond',
             coalesce(now() + lease * interval '1 millisecond', $8), $8
         FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::text[], $5::jsonb[], $6::text[], $7::bigint[])
             k (id, tenant, subject, kind, payload, status, lease)",
    )
    .bind(rows.iter().map(|o| o.id.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|o| tenant_i32(o.tenant)).collect::<Vec<_>>())
    .bind(rows.iter().map(|o| o.subject).collect::<Vec<_>>())
    .bind(rows.iter().map(|o| o.effect.kind().name()).collect::<Vec<_>>())
    .bind(rows.iter().map(|o| Json(&o.effect)).collect::<Vec<_>>())
    .bind(rows.iter().map(|o| stored_status(world.effects.get(&(o.tenant, o.id)))).collect::<Vec<_>>())
    .bind(leases)
    .bind(now.to_datetime())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// A finding ends the lease of whoever had the effect; one that was only taken is asked after later.
async fn moved_effects(
    tx: &mut Tx,
    touched: &Touched<'_>,
    world: &World,
    at: OffsetDateTime,
) -> Result<(), StoreError> {
    if touched.moved_effects.is_empty() {
        return Ok(());
    }
    let rows = &touched.moved_effects;
    sqlx::query(
        "UPDATE outbox o SET status = k.status, lease_until = NULL, next_at = $4,
             -- Only a decision of people opens a step again: its count and time begin anew.
             attempts = CASE k.status WHEN 'ready' THEN least(o.attempts, 1) ELSE o.attempts END,
             first_attempt_at = CASE k.status WHEN 'ready' THEN NULL ELSE o.first_attempt_at END
         FROM unnest($1::int[], $2::uuid[], $3::text[]) k (tenant, id, status) WHERE o.tenant = k.tenant AND o.id = k.id",
    )
    .bind(rows.iter().map(|(tenant, _)| tenant_i32(*tenant)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, id)| id.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|key| stored_status(world.effects.get(key))).collect::<Vec<_>>())
    .bind(at + time::Duration::milliseconds(ENQUIRE_AFTER_MS))
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Events are numbered under the tenant's lock, whose row a trigger moves up with them. Returns the deliveries to be made:
/// one for each endpoint that wants one.
async fn events(tx: &mut Tx, touched: &Touched<'_>, loaded: &Loaded) -> Result<Vec<NewDelivery>, StoreError> {
    if touched.events.is_empty() {
        return Ok(Vec::new());
    }
    let mut sequences: BTreeMap<TenantNo, i64> = BTreeMap::new();
    let mut rows = Vec::with_capacity(touched.events.len());
    let mut deliveries = Vec::new();
    for event in &touched.events {
        let sequence =
            sequences.entry(event.tenant).or_insert_with(|| loaded.sequences.get(&event.tenant).copied().unwrap_or(0));
        *sequence += 1;
        let id = Uuid::now_v7();
        let wanting = loaded
            .endpoints
            .get(&event.tenant)
            .into_iter()
            .flat_map(|endpoints| endpoints.iter())
            .filter(|e| e.events.iter().any(|kind| kind == event.kind));
        deliveries.extend(wanting.map(|endpoint| NewDelivery::of(event, endpoint.id, id, *sequence)));
        rows.push((*event, *sequence, id));
    }
    sqlx::query(
        "INSERT INTO events (tenant, sequence, id, subject, kind, data, at)
         SELECT * FROM unnest($1::int[], $2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::jsonb[], $7::timestamptz[])",
    )
    .bind(rows.iter().map(|(e, _, _)| tenant_i32(e.tenant)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, sequence, _)| *sequence).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, _, id)| *id).collect::<Vec<_>>())
    .bind(rows.iter().map(|(e, _, _)| e.subject).collect::<Vec<_>>())
    .bind(rows.iter().map(|(e, _, _)| e.kind).collect::<Vec<_>>())
    .bind(rows.iter().map(|(e, _, _)| Json(&e.data)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(e, _, _)| e.at.to_datetime()).collect::<Vec<_>>())
    .execute(&mut *tx)
    .await?;
    Ok(deliveries)
}

async fn idempotency(tx: &mut Tx, outcome: &Outcome, at: OffsetDateTime) -> Result<(), StoreError> {
    let rows = &outcome.idempotency;
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO idempotency (tenant, key, fingerprint, refusal, subject, created_at)
         SELECT *, $6 FROM unnest($1::int[], $2::text[], $3::bytea[], $4::text[], $5::uuid[])",
    )
    .bind(rows.iter().map(|i| tenant_i32(i.tenant)).collect::<Vec<_>>())
    .bind(rows.iter().map(|i| i.key.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|i| i.fingerprint.as_slice()).collect::<Vec<_>>())
    .bind(rows.iter().map(|i| i.refusal.map(Refusal::code)).collect::<Vec<_>>())
    .bind(rows.iter().map(|i| i.subject).collect::<Vec<_>>())
    .bind(at)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn audit(tx: &mut Tx, outcome: &Outcome, at: OffsetDateTime) -> Result<(), StoreError> {
    let rows = &outcome.audit;
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO audit_log (id, tenant, at, actor, action, object, request_id)
         SELECT k.id, k.tenant, $7, k.actor, k.action, k.object, k.request_id
         FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[]) k (id, tenant, actor, action, object, request_id)",
    )
    .bind(rows.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>())
    .bind(rows.iter().map(|a| tenant_i32(a.tenant)).collect::<Vec<_>>())
    .bind(rows.iter().map(|a| a.actor.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|a| a.action).collect::<Vec<_>>())
    .bind(rows.iter().map(|a| a.object.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|a| a.request_id.as_deref()).collect::<Vec<_>>())
    .bind(at)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn bank_entries_and_marker(
    tx: &mut Tx,
    touched: &Touched<'_>,
    id: Uuid,
    at: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "WITH marker AS (INSERT INTO commit_markers (batch, committed) VALUES ($1, true))
         INSERT INTO bank_entries (bank, entry_id, applied_at) SELECT 'bank', entry, $3 FROM unnest($2::text[]) entry",
    )
    .bind(id)
    .bind(&touched.bank_entries)
    .bind(at)
    .execute(&mut *tx)
    .await?;
    Ok(())
}
