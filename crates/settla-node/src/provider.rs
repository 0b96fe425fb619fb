//! The loop that all provider workers share: claim what is due, call the provider, report or come back later.

use crate::{Node, Stop, stopped, wait};
use async_trait::async_trait;
use settla_domain::decide::Answer;
use settla_domain::effect::EffectKind;
use settla_domain::finding::Finding;
use settla_rails::Enquired;
use settla_server::clock::now;
use settla_server::runner::RunnerError;
use settla_store::batch::EffectTaker;
use settla_store::outbox::{self, Claim};
use settla_store::set_aside;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How long a worker sleeps when nothing rings.
const IDLE: Duration = Duration::from_millis(150);
/// Effects of one kind that are worked on at once, those among them that were taken and may end soon, and those whose finding
/// is being made durable.
const IN_WORK_MAX: usize = 4_096;
/// Orders that batches hand over and that wait for room. More would eat their leases when a provider is slow, and those of
/// an on-ramp cannot be called off any more.
const HANDED_OVER_MAX: usize = 64;
/// Longest wait between enquiries.
const ENQUIRY_MS_MAX: i64 = 30_000;

/// What is next for an effect.
#[derive(Debug)]
pub(crate) enum Next {
    /// A fact is known.
    Found(Finding),
    /// The provider has taken it; come back after so many milliseconds.
    AcceptedThen(i64),
    /// Nothing new; come back after so many milliseconds.
    Later(i64),
}

/// A kind of provider call.
#[async_trait]
pub(crate) trait Desk: Send + Sync + 'static {
    /// The effects it carries out.
    fn kind(&self) -> EffectKind;
    /// Carries one out, or asks how it stands.
    async fn handle(&self, node: &Node, claim: &Claim) -> Next;
}

/// Runs a desk until told to stop.
pub(crate) async fn run(node: Arc<Node>, desk: impl Desk, mut stop: Stop) {
    let kind = desk.kind();
    let (worker, handed) = mpsc::channel(HANDED_OVER_MAX);
    let room = Room {
        places: Arc::new(Semaphore::new(node.config.concurrency)),
        in_work: Arc::new(Semaphore::new(IN_WORK_MAX)),
    };
    let work = Work { node: Arc::clone(&node), desk: Arc::new(desk), room };
    let taking_over = tokio::spawn(take_over(work.clone(), handed));
    let taker = EffectTaker { worker, lease_ms: node.config.lease_ms };
    node.runner.set_takers(|takers| drop(takers.effects.insert(kind, taker)));
    claim(&work, &mut stop).await;
    // What batches have handed over until now is still carried out.
    node.runner.set_takers(|takers| drop(takers.effects.remove(&kind)));
    let _ = taking_over.await;
    // What is still running finishes, within its own time-outs.
    let _ = work.room.in_work.acquire_many(u32::try_from(IN_WORK_MAX).unwrap_or(u32::MAX)).await;
}

struct Work<D> {
    node: Arc<Node>,
    desk: Arc<D>,
    room: Room,
}

impl<D> Clone for Work<D> {
    fn clone(&self) -> Self {
        Self { node: Arc::clone(&self.node), desk: Arc::clone(&self.desk), room: self.room.clone() }
    }
}

/// How much may be done at once.
#[derive(Clone)]
struct Room {
    /// Calls to the provider.
    places: Arc<Semaphore>,
    /// These, and what they found that waits for the runner or for its end, within a bound of its own.
    in_work: Arc<Semaphore>,
}

/// The room of one effect.
struct Taken {
    place: OwnedSemaphorePermit,
    working: OwnedSemaphorePermit,
}

impl Room {
    /// Waits for room and takes what there is, up to `most`.
    async fn take(&self, most: usize) -> Option<Vec<Taken>> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let working = Arc::clone(&self.in_work).acquire_owned().await.ok()?;
        let mut taken = vec![Taken { place, working }];
        while taken.len() < most {
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { break };
            let Ok(working) = Arc::clone(&self.in_work).try_acquire_owned() else { break };
            taken.push(Taken { place, working });
        }
        Some(taken)
    }
}

impl<D: Desk> Work<D> {
    fn begin(&self, claim: Claim, taken: Taken) {
        let work = self.clone();
        tokio::spawn(async move {
            carry_out(&work.node, work.desk.as_ref(), &claim, taken.place).await;
            drop(taken.working);
        });
    }
}

/// Carries out what batches hand over, until none can any more.
async fn take_over<D: Desk>(work: Work<D>, mut handed: mpsc::Receiver<Claim>) {
    while let Some(claim) = handed.recv().await {
        let Some(taken) = work.room.take(1).await.and_then(|mut taken| taken.pop()) else { return };
        work.begin(claim, taken);
    }
}

/// Carries out what is due in the table, until told to stop.
async fn claim<D: Desk>(work: &Work<D>, stop: &mut Stop) {
    let (node, kind) = (&work.node, work.desk.kind());
    while wait(node.runner.ordered(kind), IDLE, stop).await {
        loop {
            // Claim no more than can be worked on at once: a claim that waits would eat its lease. And only half of that, so
            // that what is handed over does not wait for this statement.
            let room = tokio::select! {
                biased;
                () = stopped(stop) => return,
                Some(room) = work.room.take(node.config.concurrency.div_ceil(2)) => room,
                else => return,
            };
            let limit = room.len();
            let claimed = outbox::claim(&node.store.worker, kind, limit as i64, node.config.lease_ms).await;
            let claims = match claimed {
                Ok(claims) => claims,
                Err(error) => {
                    tracing::warn!(%error, kind = kind.name(), "claiming failed");
                    break;
                }
            };
            let is_all = claims.len() < limit;
            for (claim, taken) in claims.into_iter().zip(room) {
                work.begin(claim, taken);
            }
            if is_all {
                break;
            }
        }
    }
}

async fn carry_out(node: &Node, desk: &impl Desk, claim: &Claim, place: OwnedSemaphorePermit) {
    let begun = Instant::now();
    // A delivery waits for its depth on chain, and a bank's event only says that there is news.
    let ends_soon = matches!(desk.kind(), EffectKind::OffRamp | EffectKind::SellBack);
    let mut watch = (ends_soon && !claim.accepted).then(|| node.taken.watch(claim.id));
    let next = desk.handle(node, claim).await;
    drop(place);
    metrics::histogram!("settla_provider_call_seconds", "kind" => desk.kind().name())
        .record(begun.elapsed().as_secs_f64());
    let delay_ms = match next {
        Next::Found(finding) => return report(node, claim, finding).await,
        Next::AcceptedThen(delay_ms) => {
            if let Some(watch) = &mut watch
                && watch.has_ended().await
            {
                return;
            }
            if !claim.accepted {
                // Also ends the lease and schedules the first enquiry.
                return report(node, claim, Finding::Accepted).await;
            }
            delay_ms
        }
        Next::Later(delay_ms) => delay_ms,
    };
    postpone(node, claim, delay_ms).await;
}

async fn report(node: &Node, claim: &Claim, finding: Finding) {
    match node.report(claim.tenant, claim.subject, claim.id, finding.clone()).await {
        // Its end has come before it was told that it was taken. Whatever else it may be, the lease ends by itself, and the
        // next attempt keeps its distance.
        Ok(Answer::Nothing) if finding == Finding::Accepted && claim.attempt == 1 => {}
        // It was known already, so nothing was written that would have ended the lease.
        Ok(Answer::Nothing | Answer::Contradicts) => postpone(node, claim, backoff_ms(claim.attempt)).await,
        Ok(_) => {
            if let Some(provider) = claim.effect.provider() {
                node.measures.note(provider, claim.effect.kind(), &finding, Some(claim.first_attempt_at));
            }
        }
        // Not the database's doing: the same will come of it again.
        Err(RunnerError::Internal) => match set_aside::failed(&node.store.worker, claim, "finding_not_taken").await {
            Ok(true) => tracing::error!(effect = %claim.id, "an effect failed again and again and is set aside"),
            Ok(false) => tracing::warn!(effect = %claim.id, "a finding was not taken; it is tried again"),
            Err(error) => tracing::warn!(%error, effect = %claim.id, "a finding was not taken"),
        },
        Err(error) => {
            tracing::warn!(%error, effect = %claim.id, "a finding was not taken; the lease will end by itself")
        }
    }
}

async fn postpone(node: &Node, claim: &Claim, delay_ms: i64) {
    if let Err(error) = outbox::postpone(&node.store.worker, &[(claim, delay_ms)]).await {
        tracing::warn!(%error, effect = %claim.id, "postponing failed; the lease will end by itself");
    }
}

/// Whether this attempt begins with a start, not with an enquiry. Only the very first does: any later one
/// may follow a request that got through.
pub(crate) fn begins(claim: &Claim) -> bool {
    claim.attempt == 1 && !claim.accepted
}

/// This attempt's start was refused, or not made.
pub(crate) fn not_started(claim: &Claim, reason: &str) -> Next {
    Next::Found(Finding::NotStarted { reason: reason.to_owned(), attempt: claim.attempt })
}

/// Whether a provider gets new orders. When that cannot be known now, it is as it was: what is switched off stays so in
/// the quotes, and the next attempt asks again.
pub(crate) async fn is_on(node: &Node, provider: &str) -> bool {
    match node.facts.switches().await {
        Ok(switches) => switches.is_provider_on(provider),
        Err(error) => {
            tracing::warn!(%error, provider, "whether a provider is switched off cannot be read now");
            true
        }
    }
}

/// Whether there is time left to start something. A worker that was stopped for longer than its lease (by a
/// debugger, a paused machine) must not wake up and place an order that somebody else has given up since.
pub(crate) fn in_time(node: &Node, claim: &Claim) -> bool {
    claim.claimed_at.elapsed() < lease(node) / 2
}

/// After a start without an answer: look again once the provider must have it or never will.
pub(crate) fn after_unknown(claim: &Claim, acceptance_delay_ms: i64) -> Next {
    Next::Later((acceptance_delay_ms + 500).max(backoff_ms(claim.attempt)))
}

/// What a refusal of a start means.
pub(crate) enum Refusal<T> {
    /// It definitely has not taken it, this time or before.
    Final,
    /// An earlier start had got through: this is how it stands.
    Taken(T),
    /// Not known yet.
    Unclear,
}

/// Judges a refusal. The first start's is final. After a repeated one, an earlier request that was thought lost may
/// still be on its way, so the provider is asked once more when it would have arrived.
pub(crate) async fn refused<T>(
    node: &Node,
    claim: &Claim,
    acceptance_delay_ms: i64,
    enquire: impl Future<Output = Enquired<T>>,
) -> Refusal<T> {
    if claim.attempt == 1 {
        return Refusal::Final;
    }
    tokio::time::sleep(Duration::from_millis(u64::try_from(acceptance_delay_ms).unwrap_or(0))).await;
    match enquire.await {
        Enquired::Known(state) => Refusal::Taken(state),
        // After the lease somebody else may have started it again.
        Enquired::NotFound if claim.claimed_at.elapsed() < lease(node) => Refusal::Final,
        Enquired::NotFound | Enquired::Unknown => Refusal::Unclear,
    }
}

fn lease(node: &Node) -> Duration {
    Duration::from_millis(u64::try_from(node.config.lease_ms).unwrap_or(0))
}

/// What "not found" means for an effect that may have been started before.
pub(crate) enum NotFound {
    /// The provider may still be taking it.
    TooEarly(i64),
    /// It does not have it: start it again, with the same id.
    StartAgain,
    /// It may have forgotten: nothing but people can tell.
    PastLifetime,
}

/// Judges a "not found". It proves something only when the last start is longer ago than the provider takes
/// to accept: every start is followed by at least that long a pause, or by the end of a lease.
pub(crate) fn not_found(
    node: &Node,
    claim: &Claim,
    acceptance_delay_ms: i64,
    idempotency_lifetime_ms: i64,
) -> NotFound {
    let age_ms = now().ms_since(claim.first_attempt_at);
    // A start may go out until half the lease is over.
    if acceptance_delay_ms >= node.config.lease_ms / 2 {
        tracing::error!(
            acceptance_delay_ms,
            lease_ms = node.config.lease_ms,
            "the lease must be more than twice the provider's acceptance delay"
        );
        NotFound::TooEarly(ENQUIRY_MS_MAX)
    } else if age_ms < acceptance_delay_ms {
        NotFound::TooEarly(acceptance_delay_ms - age_ms + 100)
    } else if age_ms > idempotency_lifetime_ms {
        NotFound::PastLifetime
    } else {
        NotFound::StartAgain
    }
}

/// When to ask again: 0.5 s at first, doubling, with a bound.
pub(crate) fn backoff_ms(attempt: i32) -> i64 {
    (500i64 << attempt.clamp(0, 6)).min(ENQUIRY_MS_MAX)
}
