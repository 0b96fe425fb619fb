//! Putting what waits into batches.

use super::{RoundError, SettlementConfig, SettlementDesk, manifest};
use futures_util::future::join_all;
use settla_domain::decide::Answer;
use settla_domain::effect::Effect;
use settla_domain::finding::{Finding, PROVIDER_OFF};
use settla_domain::transfer;
use settla_store::outbox::{self, Claim};
use settla_store::settlement::{self, AlonePlaces, ClosedBy, Lane, Member, Waiting};
use std::time::Duration;
use uuid::Uuid;

/// Most members of a batch.
const MEMBERS_MAX: i64 = 1_000;
/// Most effects looked at before any is taken.
const LOOKED_AT_MAX: i64 = 2 * MEMBERS_MAX;
/// A member that nobody else can take is looked at again after this.
const TURNED_AWAY_MS: i64 = 10_000;
/// A member whose batches keep failing goes to people after this many.
const BATCHES_MAX: i32 = 3;

impl SettlementDesk {
    /// Closes the batches whose time has come.
    pub(super) async fn gather(&mut self) -> Result<(), RoundError> {
        let mut places = AlonePlaces::taken(&self.node.store.worker).await?;
        for lane in settlement::waiting(&self.node.store.worker, LOOKED_AT_MAX, places.clone()).await? {
            let closed_by = closes(&lane, &self.node.config.settlement);
            if closed_by.is_none() && lane.alone == 0 {
                continue;
            }
            // One lane in trouble must not keep the others waiting.
            if let Err(error) = self.gather_lane(&lane, closed_by, &mut places).await {
                tracing::warn!(%error, provider = lane.provider, "a lane cannot be settled now");
            }
        }
        Ok(())
    }

    async fn gather_lane(
        &mut self,
        waiting: &Waiting,
        closed_by: Option<ClosedBy>,
        places: &mut AlonePlaces,
    ) -> Result<(), RoundError> {
        let node = &self.node;
        if !crate::provider::is_on(node, &waiting.provider).await {
            return self.turn_away(waiting).await;
        }
        if waiting.chain != node.chain.name || waiting.currency != node.chain.currency {
            return Err(RoundError::Stored("no such chain or stablecoin is configured"));
        }
        // Asked before anything is locked: a provider may take its time.
        let ramp = node.off_ramps.get(&waiting.provider).ok_or(RoundError::Stored("no such off-ramp is configured"))?;
        let destination = node.sightings.terms(&waiting.provider, ramp.terms()).await?.deposit_address;
        let lane = Lane {
            chain: waiting.chain.clone(),
            provider: waiting.provider.clone(),
            currency: waiting.currency.code().to_owned(),
            token: node.chain.token.to_string(),
            destination: destination.ok_or(RoundError::Stored("the off-ramp has no deposit address"))?.to_string(),
        };
        let mut gathering = settlement::gather(&node.store.worker, waiting, MEMBERS_MAX).await?;
        let (tired, fresh): (Vec<&Claim>, Vec<&Claim>) =
            gathering.claims.iter().partition(|claim| claim.attempt >= BATCHES_MAX);
        let tired: Vec<_> = tired.into_iter().map(|claim| (claim.tenant, claim.subject, claim.id)).collect();
        for (closed_by, members) in batches(&fresh, closed_by, places)? {
            let batch = Uuid::now_v7();
            gathering.close(batch, &lane, closed_by, &members, &manifest(batch, &members).hash()).await?;
        }
        gathering.commit().await?;
        for (tenant, subject, effect) in tired {
            let finding = Finding::Unresolved { reason: "settlement_reverted".to_owned() };
            if let Err(error) = self.node.report(tenant, subject, effect, finding).await {
                tracing::warn!(%error, %effect, "a finding was not taken");
            }
        }
        Ok(())
    }

    /// The off-ramp is switched off and no tokens have gone to it: each member may go to another one, or waits.
    async fn turn_away(&self, waiting: &Waiting) -> Result<(), RoundError> {
        let gathering = settlement::gather(&self.node.store.worker, waiting, MEMBERS_MAX).await?;
        let claims = gathering.claims.clone();
        gathering.commit().await?;
        // All at once, so that they share the runner's batches.
        let tell = |claim: &Claim| {
            let finding = Finding::NotStarted { reason: PROVIDER_OFF.to_owned(), attempt: claim.attempt };
            self.node.report(claim.tenant, claim.subject, claim.id, finding)
        };
        let told = join_all(claims.iter().map(tell)).await;
        let mut waiting = Vec::new();
        for (claim, told) in claims.iter().zip(told) {
            match told {
                Ok(Answer::Nothing | Answer::Contradicts) => waiting.push((claim, TURNED_AWAY_MS)),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, effect = %claim.id, "a finding was not taken"),
            }
        }
        outbox::postpone(&self.node.store.worker, &waiting).await?;
        Ok(())
    }
}

/// Whether what may be batched has waited long enough, or is enough.
fn closes(lane: &Waiting, config: &SettlementConfig) -> Option<ClosedBy> {
    let waited = Duration::from_millis(u64::try_from(lane.oldest_ms).unwrap_or(0));
    if lane.batched == 0 {
        None
    } else if lane.batched >= MEMBERS_MAX {
        Some(ClosedBy::Members)
    } else if lane.total.minor >= config.amount {
        Some(ClosedBy::Amount)
    } else {
        (waited >= config.window).then_some(ClosedBy::Window)
    }
}

/// A batch for each member that does not wait for others, as far as its tenant has places for that, and one for the rest,
/// if it is closed now.
fn batches(
    claims: &[&Claim],
    closed_by: Option<ClosedBy>,
    places: &mut AlonePlaces,
) -> Result<Vec<(ClosedBy, Vec<Member>)>, RoundError> {
    let (mut batches, mut together) = (Vec::new(), Vec::new());
    for claim in claims {
        let Effect::Settle { amount, settlement, payout, .. } = &claim.effect else {
            return Err(RoundError::Stored("an effect that is not to be settled"));
        };
        let amount = i64::try_from(amount.minor).map_err(|_| RoundError::Stored("amount"))?;
        let payout = Member::payout_of(*payout, claim.subject);
        let member = Member { effect: claim.id, tenant: claim.tenant, subject: claim.subject, amount, payout };
        match settlement {
            transfer::Settlement::Alone if places.take(claim.tenant) => batches.push((ClosedBy::Alone, vec![member])),
            transfer::Settlement::Alone | transfer::Settlement::Batched => together.push(member),
        }
    }
    if let Some(closed_by) = closed_by.filter(|_| !together.is_empty()) {
        batches.push((closed_by, together));
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use settla_domain::money::{Currency, Money};

    #[test]
    fn a_batch_closes_by_time_by_amount_or_when_it_is_full() {
        let config = SettlementConfig { window: Duration::from_secs(2), amount: 500, ..SettlementConfig::default() };
        let lane = |oldest_ms, total, batched| Waiting {
            chain: "eip155:1".to_owned(),
            provider: "p".to_owned(),
            currency: Currency::USDC,
            oldest_ms,
            total: Money::new(Currency::USDC, total),
            batched,
            alone: 0,
        };
        for (oldest_ms, total, batched, expected) in [
            (1_999, 499, 3, None),
            (2_000, 499, 3, Some(ClosedBy::Window)),
            (0, 500, 3, Some(ClosedBy::Amount)),
            (0, 1, MEMBERS_MAX, Some(ClosedBy::Members)),
            // Only members that do not wait for others: they close nothing for anybody.
            (9_000, 0, 0, None),
        ] {
            assert_eq!(closes(&lane(oldest_ms, total, batched), &config), expected, "{oldest_ms} {total} {batched}");
        }
    }
}
