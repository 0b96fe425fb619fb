//! How providers do: counted as results come in, added to the minute's row every few seconds. The router goes by it.
//!
//! What a process that is killed has not written yet is lost, which moves a mean by a few seconds' worth and nothing else.

use crate::{Node, Stop, wait};
use settla_domain::effect::EffectKind;
use settla_domain::finding::{Finding, PROVIDER_OFF};
use settla_domain::time::Timestamp;
use settla_server::clock::now;
use settla_store::routes::{self, Measured};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(5);
/// Minutes older than this are forgotten: the router looks at one hour, people at some more.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Rounds between two times of forgetting.
const ROUNDS_TO_FORGET: u32 = 720;

#[derive(Default)]
struct Counts {
    succeeded: i64,
    failed: i64,
    milliseconds: i64,
}

/// What was counted and not written yet, by provider and step.
#[derive(Default)]
pub(crate) struct Measures {
    counts: Mutex<HashMap<(String, EffectKind), Counts>>,
}

impl Measures {
    /// Counts what a finding says about its provider, once it has been applied. `since` is when it was first asked.
    pub fn note(&self, provider: &str, step: EffectKind, finding: &Finding, since: Option<Timestamp>) {
        let elapsed_ms = since.map_or(0, |since| now().ms_since(since)).max(0);
        match finding {
            Finding::Delivered { .. } | Finding::PaidOut { .. } => self.succeeded(provider, step, 1, elapsed_ms),
            Finding::NotStarted { reason, .. } if reason == PROVIDER_OFF => {}
            Finding::NotStarted { .. }
            | Finding::Refused { .. }
            | Finding::Returned { .. }
            | Finding::Unresolved { .. } => self.failed(provider, step),
            Finding::Accepted | Finding::Returning { .. } | Finding::Settled { .. } | Finding::PaymentExecuted => {}
        }
    }

    /// Counts so many successes of so long each.
    pub fn succeeded(&self, provider: &str, step: EffectKind, times: i64, elapsed_ms: i64) {
        self.add(provider, step, |counts| {
            counts.succeeded += times;
            counts.milliseconds = counts.milliseconds.saturating_add(times.saturating_mul(elapsed_ms));
        });
    }

    fn failed(&self, provider: &str, step: EffectKind) {
        self.add(provider, step, |counts| counts.failed += 1);
    }

    fn add(&self, provider: &str, step: EffectKind, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        change(counts.entry((provider.to_owned(), step)).or_default());
    }

    fn take(&self) -> Vec<Measured> {
        let counts = std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        let measured = |((provider, step), counts): ((String, EffectKind), Counts)| Measured {
            provider,
            step,
            succeeded: counts.succeeded,
            failed: counts.failed,
            milliseconds: counts.milliseconds,
        };
        counts.into_iter().map(measured).collect()
    }
}

/// Writes until told to stop, and then once more.
pub(crate) async fn run(node: Arc<Node>, mut stop: Stop) {
    let mut rounds = 0;
    loop {
        let goes_on = wait(std::future::pending(), EVERY, &mut stop).await;
        if let Err(error) = routes::record(&node.store.worker, &node.measures.take()).await {
            tracing::warn!(%error, "some seconds of providers' results are not counted");
        }
        if rounds % ROUNDS_TO_FORGET == 0
            && let Err(error) = routes::forget(&node.store.worker, KEPT_FOR).await
        {
            tracing::warn!(%error, "old results of providers cannot be forgotten now");
        }
        rounds = rounds.wrapping_add(1);
        if !goes_on {
            return;
        }
    }
}
