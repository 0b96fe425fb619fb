//! One look at our books: every question is answered from the same instant, so nothing in it is half-way.
//!
//! Each question is bounded by its arguments and answered by an index: postings by tenant and number, subjects by key,
//! effects and deliveries by their partial indexes. It holds a read-only transaction; end it with [`Snapshot::end`].

use super::keep::{Checkpoint, Fold, checkpoint, fold};
use crate::StoreError;
use crate::batch;
use crate::bounded::BoundedPool;
use crate::row::{at, currency, money, tenant, tenant_i32};
use settla_domain::account::AccountId;
use settla_domain::id::PostingId;
use settla_domain::money::{Currency, Money};
use settla_domain::position::Position;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use settla_domain::transfer::Transfer;
use settla_domain::withdrawal::Withdrawal;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row, Transaction};
use uuid::Uuid;

/// A posting as it stands in the table, whatever it says.
#[derive(Debug, Clone)]
pub struct LedgerRow {
    /// Its id.
    pub id: PostingId,
    /// Its number in the order of writing.
    pub sequence: i64,
    /// Whose it says it is.
    pub tenant: TenantNo,
    /// What it belongs to.
    pub subject: Uuid,
    /// Number of a `PostingCode`.
    pub code: i16,
    /// Account debited.
    pub debit: AccountId,
    /// Account credited.
    pub credit: AccountId,
    /// How much.
    pub amount: Money,
    /// When.
    pub at: Timestamp,
}

/// Something that waits for longer than it should, or for people.
#[derive(Debug, Clone)]
pub struct Stuck {
    /// The row's id.
    pub id: Uuid,
    /// Whose.
    pub tenant: TenantNo,
    /// The transfer, withdrawal or endpoint it is about.
    pub subject: Uuid,
    /// What it is, or why it waits.
    pub what: String,
}

/// An effect by its id: the name that the outside knows it by.
#[derive(Debug, Clone, Copy)]
pub struct Effect {
    /// The effect.
    pub id: Uuid,
    /// Whose.
    pub tenant: TenantNo,
    /// The transfer or withdrawal it serves.
    pub subject: Uuid,
}

/// Most rows of one kind that are named in a round.
const NAMED_MAX: i64 = 500;

/// The books at one instant.
pub struct Snapshot {
    tx: Transaction<'static, Postgres>,
}

fn ledger_row(r: &PgRow) -> Result<LedgerRow, StoreError> {
    Ok(LedgerRow {
        id: PostingId(r.try_get("id")?),
        sequence: r.try_get("sequence")?,
        tenant: tenant(r)?,
        subject: r.try_get("subject")?,
        code: r.try_get("code")?,
        debit: AccountId::from_uuid(r.try_get("debit")?),
        credit: AccountId::from_uuid(r.try_get("credit")?),
        amount: money(r, "currency", "amount")?,
        at: at(r, "at")?,
    })
}

fn stuck(r: &PgRow) -> Result<Stuck, StoreError> {
    Ok(Stuck { id: r.try_get("id")?, tenant: tenant(r)?, subject: r.try_get("subject")?, what: r.try_get("what")? })
}

fn keys(subjects: &[(TenantNo, Uuid)]) -> (Vec<i32>, Vec<Uuid>) {
    subjects.iter().map(|(tenant, id)| (tenant_i32(*tenant), *id)).unzip()
}

impl Snapshot {
    /// Begins it.
    pub async fn begin(auditor: &BoundedPool) -> Result<Self, StoreError> {
        let tx = auditor.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        Ok(Self { tx })
    }

    /// For questions that need not be answered from the same instant, however long it takes to ask them all: nothing is kept
    /// from being cleared away meanwhile.
    pub async fn begin_lookups(auditor: &BoundedPool) -> Result<Self, StoreError> {
        Ok(Self { tx: auditor.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY").await? })
    }

    /// Ends it.
    pub async fn end(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }

    /// The instant.
    pub async fn now(&mut self) -> Result<Timestamp, StoreError> {
        let row = sqlx::query("SELECT now() AS at").fetch_one(&mut *self.tx).await?;
        at(&row, "at")
    }

    /// All tenants' numbers.
    pub async fn tenants(&mut self) -> Result<Vec<TenantNo>, StoreError> {
        let rows = sqlx::query("SELECT tenant FROM tenants ORDER BY tenant").fetch_all(&mut *self.tx).await?;
        rows.iter().map(tenant).collect()
    }

    /// Postings above each tenant's number, in order, at most `limit` a tenant. Of the platform's own only those below
    /// the first that is not from before `platform_before`: they are written under no lock, so one may appear below another.
    pub async fn postings(
        &mut self,
        heads: &[(TenantNo, i64)],
        limit: i64,
        platform_before: Timestamp,
    ) -> Result<Vec<LedgerRow>, StoreError> {
        let (tenants, sequences): (Vec<i32>, Vec<i64>) = heads.iter().map(|(t, s)| (tenant_i32(*t), *s)).unzip();
        let rows = sqlx::query(
            "SELECT p.* FROM unnest($1::int[], $2::bigint[]) h (tenant, sequence) CROSS JOIN LATERAL
                 (SELECT * FROM postings p WHERE p.tenant = h.tenant AND p.sequence > h.sequence
                  AND (p.tenant > 0 OR p.sequence < coalesce((SELECT min(l.sequence) FROM postings l
                      WHERE l.tenant = 0 AND l.sequence > h.sequence AND l.at >= $4), 9223372036854775807))
                  ORDER BY p.sequence LIMIT $3) p ORDER BY p.tenant, p.sequence",
        )
        .bind(tenants)
        .bind(sequences)
        .bind(limit)
        .bind(platform_before.to_datetime())
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(ledger_row).collect()
    }

    /// All positions: as many as tenants and currencies.
    pub async fn positions(&mut self) -> Result<Vec<(TenantNo, Currency, Position)>, StoreError> {
        let rows = sqlx::query("SELECT * FROM positions ORDER BY tenant, currency").fetch_all(&mut *self.tx).await?;
        rows.iter().map(|r| Ok((tenant(r)?, currency(r, "currency")?, batch::position(r)?))).collect()
    }

    /// Debits of transfers that have not ended, added up.
    pub async fn live_debits(&mut self) -> Result<Vec<(TenantNo, Money)>, StoreError> {
        let rows = sqlx::query(
            "SELECT tenant, debit_currency AS currency, sum(debit_amount)::bigint AS amount FROM transfers
             WHERE live GROUP BY tenant, debit_currency",
        )
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(|r| Ok((tenant(r)?, money(r, "currency", "amount")?))).collect()
    }

    /// These transfers, of those that there are.
    pub async fn transfers(&mut self, subjects: &[(TenantNo, Uuid)]) -> Result<Vec<Transfer>, StoreError> {
        let (tenants, ids) = keys(subjects);
        let rows = sqlx::query(
            "SELECT t.* FROM transfers t JOIN unnest($1::int[], $2::uuid[]) k (tenant, id) ON t.tenant = k.tenant AND t.id = k.id",
        )
        .bind(tenants)
        .bind(ids)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(batch::transfer).collect()
    }

    /// These withdrawals, of those that there are.
    pub async fn withdrawals(&mut self, subjects: &[(TenantNo, Uuid)]) -> Result<Vec<Withdrawal>, StoreError> {
        let (tenants, ids) = keys(subjects);
        let rows = sqlx::query(
            "SELECT w.* FROM withdrawals w JOIN unnest($1::int[], $2::uuid[]) k (tenant, id) ON w.tenant = k.tenant AND w.id = k.id",
        )
        .bind(tenants)
        .bind(ids)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(batch::withdrawal).collect()
    }

    /// All postings of these subjects, whosever they say they are: a range of ids each.
    pub async fn postings_of(&mut self, subjects: &[Uuid]) -> Result<Vec<LedgerRow>, StoreError> {
        let (low, high): (Vec<Uuid>, Vec<Uuid>) = subjects.iter().map(|s| PostingId::of_subject(*s)).unzip();
        let rows = sqlx::query(
            "SELECT p.* FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) k (subject, low, high) CROSS JOIN LATERAL
                 (SELECT * FROM postings WHERE id >= k.low AND id <= k.high AND subject = k.subject OFFSET 0) p
             ORDER BY p.subject, p.sequence",
        )
        .bind(subjects)
        .bind(low)
        .bind(high)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(ledger_row).collect()
    }

    /// The next transfers in the order of their keys.
    pub async fn transfers_after(
        &mut self,
        after: (TenantNo, Uuid),
        limit: i64,
    ) -> Result<Vec<(TenantNo, Uuid)>, StoreError> {
        self.after(
            "SELECT tenant, id FROM transfers WHERE (tenant, id) > ($1, $2) ORDER BY tenant, id LIMIT $3",
            after,
            limit,
        )
        .await
    }

    /// The next withdrawals in the order of their keys.
    pub async fn withdrawals_after(
        &mut self,
        after: (TenantNo, Uuid),
        limit: i64,
    ) -> Result<Vec<(TenantNo, Uuid)>, StoreError> {
        self.after(
            "SELECT tenant, id FROM withdrawals WHERE (tenant, id) > ($1, $2) ORDER BY tenant, id LIMIT $3",
            after,
            limit,
        )
        .await
    }

    async fn after(
        &mut self,
        statement: &'static str,
        (after_tenant, after_id): (TenantNo, Uuid),
        limit: i64,
    ) -> Result<Vec<(TenantNo, Uuid)>, StoreError> {
        let rows = sqlx::query(statement)
            .bind(tenant_i32(after_tenant))
            .bind(after_id)
            .bind(limit)
            .fetch_all(&mut *self.tx)
            .await?;
        rows.iter().map(|r| Ok((tenant(r)?, r.try_get("id")?))).collect()
    }

    /// Subjects of postings that are no transfer, no withdrawal and no bank credit. Reads all postings: for a check that
    /// people ask for.
    pub async fn subjects_without_payment(
        &mut self,
        after: (TenantNo, Uuid),
        limit: i64,
    ) -> Result<Vec<(TenantNo, Uuid)>, StoreError> {
        self.after(
            "SELECT tenant, subject AS id FROM postings p WHERE (tenant, subject) > ($1, $2)
                 AND NOT EXISTS (SELECT FROM transfers t WHERE t.tenant = p.tenant AND t.id = p.subject)
                 AND NOT EXISTS (SELECT FROM withdrawals w WHERE w.tenant = p.tenant AND w.id = p.subject)
             GROUP BY tenant, subject HAVING count(*) > 1 OR min(code) > 2 ORDER BY tenant, subject LIMIT $3",
            after,
            limit,
        )
        .await
    }

    /// All tenants that postings name. Reads all postings: for a check that people ask for.
    pub async fn tenants_of_postings(&mut self) -> Result<Vec<TenantNo>, StoreError> {
        let rows = sqlx::query("SELECT DISTINCT tenant FROM postings ORDER BY tenant").fetch_all(&mut *self.tx).await?;
        rows.iter().map(tenant).collect()
    }

    /// What is kept of these tenants' ledgers.
    pub async fn folds(&mut self, tenants: &[TenantNo]) -> Result<Vec<Fold>, StoreError> {
        let tenants: Vec<i32> = tenants.iter().map(|t| tenant_i32(*t)).collect();
        let rows = sqlx::query("SELECT * FROM ledger_folds WHERE tenant = ANY ($1)")
            .bind(tenants)
            .fetch_all(&mut *self.tx)
            .await?;
        rows.iter().map(fold).collect()
    }

    /// The checkpoints of these tenants: one in so many postings.
    pub async fn checkpoints(&mut self, tenants: &[TenantNo]) -> Result<Vec<Checkpoint>, StoreError> {
        let tenants: Vec<i32> = tenants.iter().map(|t| tenant_i32(*t)).collect();
        let rows = sqlx::query("SELECT * FROM ledger_checkpoints WHERE tenant = ANY ($1)")
            .bind(tenants)
            .fetch_all(&mut *self.tx)
            .await?;
        rows.iter().map(checkpoint).collect()
    }

    /// Open effects of a kind that were ordered before an instant, oldest first.
    pub async fn effects_before(&mut self, kind: &str, before: Timestamp) -> Result<Vec<Stuck>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, tenant, subject, status AS what FROM (
                 SELECT * FROM outbox WHERE status IN ('ready', 'accepted') AND kind = $1
                 UNION ALL SELECT * FROM outbox WHERE status = 'batched' AND kind = $1) o
             WHERE set_aside IS NULL AND created_at < $2 ORDER BY created_at LIMIT $3",
        )
        .bind(kind)
        .bind(before.to_datetime())
        .bind(NAMED_MAX)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(stuck).collect()
    }

    /// Effects that are set aside.
    pub async fn set_aside(&mut self) -> Result<Vec<Stuck>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, tenant, subject, set_aside AS what FROM outbox
             WHERE set_aside IS NOT NULL AND status IN ('ready', 'accepted', 'batched') ORDER BY created_at LIMIT $1",
        )
        .bind(NAMED_MAX)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(stuck).collect()
    }

    /// Effects that are open although their transfer has ended: work that could still do something.
    pub async fn open_effects_of_ended(&mut self) -> Result<Vec<Stuck>, StoreError> {
        let rows = sqlx::query(
            "SELECT o.id, o.tenant, o.subject, o.kind AS what FROM (
                 SELECT * FROM outbox WHERE status IN ('ready', 'accepted') UNION ALL SELECT * FROM outbox WHERE status = 'batched') o
             JOIN transfers t ON t.tenant = o.tenant AND t.id = o.subject
             WHERE t.state IN ('COMPLETED', 'CANCELLED', 'REFUNDED', 'FAILED') LIMIT $1",
        )
        .bind(NAMED_MAX)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(stuck).collect()
    }

    /// Deliveries of webhooks that have been due since before an instant, oldest first.
    pub async fn deliveries_due_before(&mut self, before: Timestamp) -> Result<Vec<Stuck>, StoreError> {
        let rows = sqlx::query(
            "SELECT d.id, d.tenant, d.endpoint AS subject, 'due' AS what FROM webhook_deliveries d
             JOIN webhook_endpoints e ON e.tenant = d.tenant AND e.id = d.endpoint AND e.status = 'enabled'
             WHERE d.status = 'pending' AND d.next_at < $1 AND (d.lease_until IS NULL OR d.lease_until < now()) ORDER BY d.next_at LIMIT $2",
        )
        .bind(before.to_datetime())
        .bind(NAMED_MAX)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(stuck).collect()
    }

    /// Endpoints that are disabled: their tenant is told of nothing.
    pub async fn disabled_endpoints(&mut self) -> Result<Vec<Stuck>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, tenant, id AS subject, status AS what FROM webhook_endpoints WHERE status = 'disabled' LIMIT $1",
        )
        .bind(NAMED_MAX)
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(stuck).collect()
    }

    /// Which batch each of these transactions was signed for, of those that we signed.
    pub async fn batches_of(&mut self, tx_hashes: &[String]) -> Result<Vec<(String, Uuid)>, StoreError> {
        let rows = sqlx::query("SELECT tx_hash, batch FROM settlement_transactions WHERE tx_hash = ANY ($1)")
            .bind(tx_hashes)
            .fetch_all(&mut *self.tx)
            .await?;
        rows.iter().map(|r| Ok((r.try_get("tx_hash")?, r.try_get("batch")?))).collect()
    }

    /// These effects, of those that there are.
    pub async fn effects(&mut self, ids: &[Uuid]) -> Result<Vec<Effect>, StoreError> {
        let rows =
            sqlx::query("SELECT o.id, o.tenant, o.subject FROM unnest($1::uuid[]) k (id) JOIN outbox o ON o.id = k.id")
                .bind(ids)
                .fetch_all(&mut *self.tx)
                .await?;
        rows.iter()
            .map(|r| Ok(Effect { id: r.try_get("id")?, tenant: tenant(r)?, subject: r.try_get("subject")? }))
            .collect()
    }

    /// Of these bank entries those that were applied up to an instant.
    pub async fn entries_applied_by(&mut self, ids: &[String], by: Timestamp) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query(
            "SELECT entry_id FROM bank_entries WHERE bank = 'bank' AND entry_id = ANY ($1) AND applied_at <= $2",
        )
        .bind(ids)
        .bind(by.to_datetime())
        .fetch_all(&mut *self.tx)
        .await?;
        rows.iter().map(|r| Ok(r.try_get("entry_id")?)).collect()
    }
}
