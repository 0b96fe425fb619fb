//! API keys, as their tenant sees and changes them. Only a hash of a key is ever here.

use super::asked::{Asked, Tx, Used, audit, claim_key};
use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::row::{at, maybe_at, tenant_i32};
use crate::tenant_tx;
use settla_domain::id::KeyId;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row, Transaction};
use std::collections::HashMap;
use uuid::Uuid;

/// A key as stored, without its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// Its id.
    pub id: KeyId,
    /// Name for people.
    pub name: String,
    /// Prefix and last four characters.
    pub hint: String,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// The networks that it may be used from, in CIDR notation; any if there is none.
    pub allowed_ips: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is no key any more, as it was said when it was made.
    pub expires_at: Option<Timestamp>,
    /// From when on it is no key any more because another one has replaced it.
    pub retires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to some seconds.
    pub last_used_at: Option<Timestamp>,
    /// The key that a request made it with; none if an operator did.
    pub made_by: Option<KeyId>,
    /// The key that this one was made instead of, and until when that one was said to work then.
    pub replaces: Option<(KeyId, Timestamp)>,
}

impl ApiKeyRow {
    /// From when on it is no key any more, if it is not revoked before.
    pub fn ends_at(&self) -> Option<Timestamp> {
        [self.expires_at, self.retires_at].into_iter().flatten().min()
    }
}

const COLUMNS: &str = "id, name, hint, scopes, allowed_ips::text[] AS allowed_ips, created_at, expires_at, retires_at, revoked_at, \
     last_used_at, made_by, replaces, replaced_until";

fn row(r: &PgRow) -> Result<ApiKeyRow, StoreError> {
    let replaces: Option<Uuid> = r.try_get("replaces")?;
    Ok(ApiKeyRow {
        id: KeyId(r.try_get("id")?),
        name: r.try_get("name")?,
        hint: r.try_get("hint")?,
        scopes: r.try_get("scopes")?,
        allowed_ips: r.try_get("allowed_ips")?,
        created_at: at(r, "created_at")?,
        expires_at: maybe_at(r, "expires_at")?,
        retires_at: maybe_at(r, "retires_at")?,
        revoked_at: maybe_at(r, "revoked_at")?,
        last_used_at: maybe_at(r, "last_used_at")?,
        made_by: r.try_get::<Option<Uuid>, _>("made_by")?.map(KeyId),
        replaces: replaces.map(KeyId).zip(maybe_at(r, "replaced_until")?),
    })
}

/// A key to be stored. The idempotency key's subject is its id.
#[derive(Debug, Clone, Copy)]
pub struct NewApiKey<'a> {
    /// `live` or `test`.
    pub environment: &'a str,
    /// HMAC of the key.
    pub hash: &'a [u8],
    /// Version of the secret.
    pub hash_version: u16,
    /// Prefix and last four characters.
    pub hint: &'a str,
    /// The most keys that are good at once.
    pub keys_max: i64,
    /// When it is made.
    pub created_at: Timestamp,
    /// The key of the request.
    pub made_by: KeyId,
}

/// What came of making a key.
#[derive(Debug)]
pub enum KeyMade {
    /// It was made.
    Made(ApiKeyRow),
    /// The idempotency key was used before.
    Before(Used),
    /// The tenant has too many.
    TooMany,
    /// There is no good key of that id to be replaced.
    Absent,
    /// The key of the request is good no more.
    MakerGone,
}

/// Makes a key: of `like` its name, scopes, networks and expiry.
pub async fn create_api_key(
    app: &BoundedPool,
    asked: &Asked<'_>,
    new: &NewApiKey<'_>,
    like: &ApiKeyRow,
) -> Result<KeyMade, StoreError> {
    let mut tx = tenant_tx::begin(app, asked.first.tenant).await?;
    if let Err(used) = claim_key(&mut tx, asked.first).await? {
        return Ok(KeyMade::Before(used));
    }
    lock_keys(&mut tx, asked.first.tenant).await?;
    if !is_good(&mut tx, asked.first.tenant, new.made_by).await? {
        return Ok(KeyMade::MakerGone);
    }
    if good_keys(&mut tx, asked.first.tenant, new.environment).await? >= new.keys_max {
        return Ok(KeyMade::TooMany);
    }
    let made = insert(&mut tx, asked, new, like).await?;
    audit(&mut tx, asked, "key.create", made.id.to_string()).await?;
    tx.commit().await?;
    Ok(KeyMade::Made(made))
}

/// How a key is to be replaced.
#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    /// Which.
    pub old: KeyId,
    /// How long it works besides the new one, unless it ends before.
    pub overlap_s: i64,
    /// When the new one expires; as the older one was to if absent.
    pub expires_at: Option<Timestamp>,
}

/// Makes a key that is like another one, which works for a while besides. `may` is asked about the older one within the
/// transaction: what it says no to changes nothing.
pub async fn rotate_api_key<E>(
    app: &BoundedPool,
    asked: &Asked<'_>,
    new: &NewApiKey<'_>,
    rotation: Rotation,
    may: impl FnOnce(&ApiKeyRow) -> Result<(), E> + Send,
) -> Result<Result<KeyMade, E>, StoreError> {
    let (tenant, mut tx) = (asked.first.tenant, tenant_tx::begin(app, asked.first.tenant).await?);
    if let Err(used) = claim_key(&mut tx, asked.first).await? {
        return Ok(Ok(KeyMade::Before(used)));
    }
    lock_keys(&mut tx, tenant).await?;
    if !is_good(&mut tx, tenant, new.made_by).await? {
        return Ok(Ok(KeyMade::MakerGone));
    }
    let good = good_keys(&mut tx, tenant, new.environment).await?;
    let found = sqlx::query(&format!(
        "SELECT {COLUMNS} FROM api_keys WHERE tenant = $1 AND id = $2 AND environment = $3 AND revoked_at IS NULL
             AND coalesce(least(expires_at, retires_at) > $4, true) FOR NO KEY UPDATE"
    ))
    .bind(tenant_i32(tenant))
    .bind(rotation.old.0)
    .bind(new.environment)
    .bind(new.created_at.to_datetime())
    .fetch_optional(&mut *tx)
    .await?;
    let Some(found) = found else { return Ok(Ok(KeyMade::Absent)) };
    let old = row(&found)?;
    if let Err(no) = may(&old) {
        return Ok(Err(no));
    }
    if good >= new.keys_max {
        return Ok(Ok(KeyMade::TooMany));
    }
    let overlap_ends = new.created_at.plus_ms(rotation.overlap_s.saturating_mul(1_000));
    let until = old.ends_at().map_or(overlap_ends, |ends_at| ends_at.min(overlap_ends));
    sqlx::query("UPDATE api_keys SET retires_at = $3 WHERE tenant = $1 AND id = $2")
        .bind(tenant_i32(tenant))
        .bind(old.id.0)
        .bind(until.to_datetime())
        .execute(&mut *tx)
        .await?;
    let like = ApiKeyRow { expires_at: rotation.expires_at.or(old.expires_at), replaces: Some((old.id, until)), ..old };
    let made = insert(&mut tx, asked, new, &like).await?;
    audit(&mut tx, asked, "key.rotate", format!("{} by {}", rotation.old, made.id)).await?;
    tx.commit().await?;
    Ok(Ok(KeyMade::Made(made)))
}

/// Whoever makes, replaces or revokes keys of a tenant does so alone: what is counted and found good stays so until the
/// transaction ends, and nobody makes a key with one that is being revoked.
pub(crate) async fn lock_keys(tx: &mut Transaction<'_, Postgres>, tenant: TenantNo) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('api_keys', $1))")
        .bind(i64::from(tenant.0))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The key of a request was good when it was admitted, which may be seconds ago.
async fn is_good(tx: &mut Tx, tenant: TenantNo, key: KeyId) -> Result<bool, StoreError> {
    let found = sqlx::query(
        "SELECT FROM api_keys WHERE tenant = $1 AND id = $2 AND revoked_at IS NULL AND coalesce(least(expires_at, retires_at) > now(), true)",
    )
    .bind(tenant_i32(tenant))
    .bind(key.0)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.is_some())
}

async fn good_keys(tx: &mut Tx, tenant: TenantNo, environment: &str) -> Result<i64, StoreError> {
    let row = sqlx::query(
        "SELECT count(*) AS n FROM api_keys WHERE tenant = $1 AND environment = $2 AND revoked_at IS NULL
             AND coalesce(least(expires_at, retires_at) > now(), true)",
    )
    .bind(tenant_i32(tenant))
    .bind(environment)
    .fetch_one(&mut **tx)
    .await?;
    Ok(row.try_get("n")?)
}

fn version(number: u16) -> Result<i16, StoreError> {
    i16::try_from(number).map_err(|_| StoreError::Corrupt("hash_version"))
}

async fn insert(
    tx: &mut Tx,
    asked: &Asked<'_>,
    new: &NewApiKey<'_>,
    like: &ApiKeyRow,
) -> Result<ApiKeyRow, StoreError> {
    let made = sqlx::query(&format!(
        "INSERT INTO api_keys (id, tenant, environment, hash, hash_version, hint, name, scopes, allowed_ips, created_at, expires_at,
             replaces, replaced_until, made_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text[]::cidr[], $10, $11, $12, $13, $14) RETURNING {COLUMNS}"
    ))
    .bind(asked.first.subject)
    .bind(tenant_i32(asked.first.tenant))
    .bind(new.environment)
    .bind(new.hash)
    .bind(version(new.hash_version)?)
    .bind(new.hint)
    .bind(&like.name)
    .bind(&like.scopes)
    .bind(&like.allowed_ips)
    .bind(new.created_at.to_datetime())
    .bind(like.expires_at.map(Timestamp::to_datetime))
    .bind(like.replaces.map(|(old, _)| old.0))
    .bind(like.replaces.map(|(_, until)| until.to_datetime()))
    .bind(new.made_by.0)
    .fetch_one(&mut **tx)
    .await?;
    row(&made)
}

/// What came of revoking a key.
#[derive(Debug)]
pub enum KeyRevoked {
    /// It is revoked, now or before.
    Revoked,
    /// The idempotency key was used before.
    Before(Used),
    /// There is no key of that id.
    Absent,
}

/// Revokes a key, for good. One that is revoked already stays as it is.
pub async fn revoke_api_key(
    app: &BoundedPool,
    asked: &Asked<'_>,
    environment: &str,
    id: KeyId,
) -> Result<KeyRevoked, StoreError> {
    let (tenant, mut tx) = (asked.first.tenant, tenant_tx::begin(app, asked.first.tenant).await?);
    if let Err(used) = claim_key(&mut tx, asked.first).await? {
        return Ok(KeyRevoked::Before(used));
    }
    lock_keys(&mut tx, tenant).await?;
    let found = sqlx::query(
        "SELECT revoked_at FROM api_keys WHERE tenant = $1 AND id = $2 AND environment = $3 FOR NO KEY UPDATE",
    )
    .bind(tenant_i32(tenant))
    .bind(id.0)
    .bind(environment)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(found) = found else { return Ok(KeyRevoked::Absent) };
    if maybe_at(&found, "revoked_at")?.is_none() {
        sqlx::query("UPDATE api_keys SET revoked_at = now() WHERE tenant = $1 AND id = $2")
            .bind(tenant_i32(tenant))
            .bind(id.0)
            .execute(&mut *tx)
            .await?;
        audit(&mut tx, asked, "key.revoke", id.to_string()).await?;
    }
    tx.commit().await?;
    Ok(KeyRevoked::Revoked)
}

/// One key, whether it is still good or not.
pub async fn api_key(
    app: &BoundedPool,
    tenant: TenantNo,
    environment: &str,
    id: KeyId,
) -> Result<Option<ApiKeyRow>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let found =
        sqlx::query(&format!("SELECT {COLUMNS} FROM api_keys WHERE tenant = $1 AND id = $2 AND environment = $3"))
            .bind(tenant_i32(tenant))
            .bind(id.0)
            .bind(environment)
            .fetch_optional(&mut *tx)
            .await?;
    found.as_ref().map(row).transpose()
}

/// Keys before `before`, newest first, whether they are still good or not.
pub async fn api_keys(
    app: &BoundedPool,
    tenant: TenantNo,
    environment: &str,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ApiKeyRow>, StoreError> {
    let mut tx = tenant_tx::begin(app, tenant).await?;
    let rows = sqlx::query(&format!(
        "SELECT {COLUMNS} FROM api_keys WHERE tenant = $1 AND environment = $2 AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4"
    ))
    .bind(tenant_i32(tenant))
    .bind(environment)
    .bind(before)
    .bind(limit)
    .fetch_all(&mut *tx)
    .await?;
    rows.iter().map(row).collect()
}

/// Writes down when keys were used, in one round trip however many there are.
pub async fn note_key_uses(app: &BoundedPool, uses: &HashMap<KeyId, Timestamp>) -> Result<(), StoreError> {
    sqlx::query("SELECT note_key_uses($1, $2)")
        .bind(uses.keys().map(|key| key.0).collect::<Vec<_>>())
        .bind(uses.values().map(|at| at.to_datetime()).collect::<Vec<_>>())
        .execute(app)
        .await?;
    Ok(())
}

/// Stores a key's hash under a newer secret instead of the one under an older.
pub async fn rehash_api_key(
    app: &BoundedPool,
    old_hash: &[u8],
    new_hash: &[u8],
    new_version: u16,
) -> Result<(), StoreError> {
    sqlx::query("SELECT rehash_api_key($1, $2, $3)")
        .bind(old_hash)
        .bind(new_hash)
        .bind(version(new_version)?)
        .execute(app)
        .await?;
    Ok(())
}
