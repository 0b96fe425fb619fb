//! A tenant's backend sends the same request twice, as one does after a time-out.

use super::outcome::{Change, Outcome, ensure, ensure_state};
use super::stage::{Stage, Tenant, Track, fresh_key};
use crate::failure::Failure;
use crate::local::{Amount, Answer};
use settla_domain::money::Currency;
use settla_domain::transfer::TransferState;
use std::time::Instant;

const REFERENCE: &str = "INV-TWICE";
const OTHER_REFERENCE: &str = "INV-ANOTHER";

/// Tells it.
pub(super) async fn tell(stage: &Stage, tenant: &Tenant, since: Instant) -> Result<Outcome, Failure> {
    let before = tenant.position(Currency::EUR).await?;
    let quote = tenant.quote("EUR", Amount::Source("500.00")).await?;
    let (key, quote_id) = (fresh_key(), quote.id.to_string());
    let track = Track { label: "sent twice", since };
    let first = tenant.api.transfer(&key, &quote_id, REFERENCE).await?;
    ensure(first.status == 201 && !first.replayed, || {
        format!("the first request got {} {}", first.status, first.body)
    })?;
    let transfer = serde_json::from_value(first.body.clone())?;
    let again = async {
        repeat(tenant, &key, &quote_id, &first).await?;
        stage.tell(track, Instant::now(), "the second request got the first one's answer");
        Ok(())
    };
    let (ended, ()) = tokio::try_join!(stage.follow(tenant, transfer, track), again)?;
    let transfer = ended.transfer;
    ensure_state(&transfer, TransferState::Completed)?;
    let made = tenant.transfers(REFERENCE).await?.len() + tenant.transfers(OTHER_REFERENCE).await?.len();
    ensure(made == 1, || format!("{made} transfers were made of one request"))?;
    let change = Change { before, after: tenant.position(Currency::EUR).await? };
    change.ensure(-transfer.price.debit.minor)?;

    Ok(Outcome {
        title: "The same request comes twice",
        facts: vec![
            format!("{}: the second request got the first answer, marked `Idempotent-Replayed: true`", transfer.id),
            "the same key with another body: HTTP 422 `idempotency_conflict`".to_owned(),
            "one transfer, debited once".to_owned(),
        ],
        positions: vec![change],
    })
}

/// The same request again is answered as the first was; another one under its key is refused.
async fn repeat(tenant: &Tenant, key: &str, quote_id: &str, first: &Answer) -> Result<(), Failure> {
    let second = tenant.api.transfer(key, quote_id, REFERENCE).await?;
    ensure(second.replayed && (second.status, &second.body) == (first.status, &first.body), || {
        format!("the second request did not get the first answer: {} {}", second.status, second.body)
    })?;
    let other = tenant.api.transfer(key, quote_id, OTHER_REFERENCE).await?;
    ensure((other.status, other.code()) == (422, "idempotency_conflict"), || {
        format!("another request under the same key got {} {}", other.status, other.body)
    })
}
