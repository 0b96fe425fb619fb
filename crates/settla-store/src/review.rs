//! Payments under review and what operators propose about them.

use crate::StoreError;
use crate::bounded::BoundedPool;
use crate::row::{at, json, money, tenant, tenant_i32};
use settla_domain::money::Money;
use settla_domain::review::Decision;
use settla_domain::tenant::TenantNo;
use settla_domain::time::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, Row, Transaction};
use uuid::Uuid;

/// Most payments listed.
const LISTED_MAX: i64 = 500;

/// A payment that waits for a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Whose.
    pub tenant: TenantNo,
    /// The tenant's short name.
    pub slug: String,
    /// The transfer or withdrawal.
    pub subject: Uuid,
    /// Whether it is a withdrawal.
    pub is_withdrawal: bool,
    /// Why it is under review, a stable code.
    pub failure: String,
    /// Where it stood before; withdrawals stand at the bank.
    pub from: Option<String>,
    /// What the tenant is debited.
    pub amount: Money,
    /// Since when.
    pub since: Timestamp,
}

/// Payments under review, oldest first: all, or one of them.
pub async fn cases(auditor: &BoundedPool, subject: Option<Uuid>) -> Result<Vec<Case>, StoreError> {
    let rows = sqlx::query(
        "SELECT c.*, n.slug FROM (
             SELECT tenant, id, false AS is_withdrawal, progress->>'failure' AS failure, progress->>'reviewed_from' AS reviewed_from,
                    debit_currency AS currency, debit_amount AS amount, updated_at FROM transfers WHERE state = 'UNDER_REVIEW'
             UNION ALL
             SELECT tenant, id, true, failure, NULL, currency, amount, updated_at FROM withdrawals WHERE state = 'UNDER_REVIEW'
         ) c JOIN tenants n ON n.tenant = c.tenant WHERE $1::uuid IS NULL OR c.id = $1 ORDER BY c.updated_at LIMIT $2",
    )
    .bind(subject)
    .bind(LISTED_MAX)
    .fetch_all(auditor)
    .await?;
    rows.iter()
        .map(|r| {
            let failure: Option<String> = r.try_get("failure")?;
            Ok(Case {
                tenant: tenant(r)?,
                slug: r.try_get("slug")?,
                subject: r.try_get("id")?,
                is_withdrawal: r.try_get("is_withdrawal")?,
                failure: failure.unwrap_or_default(),
                from: r.try_get("reviewed_from")?,
                amount: money(r, "currency", "amount")?,
                since: at(r, "updated_at")?,
            })
        })
        .collect()
}

/// A decision that somebody has proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Its id.
    pub id: Uuid,
    /// Whose payment.
    pub tenant: TenantNo,
    /// The payment.
    pub subject: Uuid,
    /// What is to be done.
    pub decision: Decision,
    /// The change ticket.
    pub ticket: String,
    /// Why.
    pub reason: String,
    /// Who proposed it.
    pub proposed_by: String,
}

/// Writes a proposal down, with its audit entry. Only one may be open for a payment.
pub async fn propose(operator: &BoundedPool, new: &Proposal) -> Result<(), StoreError> {
    let mut tx = operator.begin().await?;
    sqlx::query(
        "INSERT INTO review_proposals (id, tenant, subject, decision, ticket, reason, proposed_by) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(new.id)
    .bind(tenant_i32(new.tenant))
    .bind(new.subject)
    .bind(Json(&new.decision))
    .bind(&new.ticket)
    .bind(&new.reason)
    .bind(&new.proposed_by)
    .execute(&mut *tx)
    .await?;
    let object = format!("{} {}", new.subject, new.decision.name());
    crate::operator::audit(&mut tx, new.tenant, &new.proposed_by, "review.propose", &object).await?;
    Ok(tx.commit().await?)
}

/// The open proposal for a payment.
pub async fn open_proposal(operator: &BoundedPool, subject: Uuid) -> Result<Option<Proposal>, StoreError> {
    let row = sqlx::query("SELECT * FROM review_proposals WHERE subject = $1 AND status = 'open'")
        .bind(subject)
        .fetch_optional(operator)
        .await?;
    row.as_ref().map(proposal).transpose()
}

fn proposal(r: &PgRow) -> Result<Proposal, StoreError> {
    Ok(Proposal {
        id: r.try_get("id")?,
        tenant: tenant(r)?,
        subject: r.try_get("subject")?,
        decision: json(r, "decision")?,
        ticket: r.try_get("ticket")?,
        reason: r.try_get("reason")?,
        proposed_by: r.try_get("proposed_by")?,
    })
}

/// How a proposal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// It was carried out.
    Approved,
    /// It was taken back, or overtaken by events.
    Withdrawn,
}

/// An open proposal in somebody's hands: as long as this lives, nobody else can approve it or take it back.
pub struct Held {
    tx: Transaction<'static, Postgres>,
    /// The proposal.
    pub proposal: Proposal,
    /// Whether it is about an earlier review of the payment, or about one that has ended: it must not be carried out.
    pub is_stale: bool,
}

/// Takes the open proposal for a payment in hand; waits while somebody else has it.
pub async fn hold(operator: &BoundedPool, auditor: &BoundedPool, subject: Uuid) -> Result<Option<Held>, StoreError> {
    let mut tx = operator.begin().await?;
    let row = sqlx::query("SELECT * FROM review_proposals WHERE subject = $1 AND status = 'open' FOR UPDATE")
        .bind(subject)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let case = cases(auditor, Some(subject)).await?.pop();
    let proposed_at = at(&row, "proposed_at")?;
    Ok(Some(Held { tx, proposal: proposal(&row)?, is_stale: case.is_none_or(|case| case.since > proposed_at) }))
}

impl Held {
    /// Closes the proposal.
    pub async fn close(mut self, how: Closed, by: &str) -> Result<(), StoreError> {
        let status = match how {
            Closed::Approved => "approved",
            Closed::Withdrawn => "withdrawn",
        };
        sqlx::query("UPDATE review_proposals SET status = $2, closed_by = $3, closed_at = now() WHERE id = $1")
            .bind(self.proposal.id)
            .bind(status)
            .bind(by)
            .execute(&mut *self.tx)
            .await?;
        let object = format!("{} {}", self.proposal.subject, self.proposal.decision.name());
        crate::operator::audit(&mut self.tx, self.proposal.tenant, by, &format!("review.{status}"), &object).await?;
        Ok(self.tx.commit().await?)
    }
}
