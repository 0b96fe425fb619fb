//! Questions that many ask at the same time, answered by one statement: while one is under way the next ones gather, so
//! the load itself sets how many share a round trip. Nothing is remembered: whoever asks gets what the database said after
//! it asked. Statements keep a [`Pace`], so that a fast database is not asked for every one by itself.

use crate::StoreError;
use crate::bounded::ANSWER_WITHIN;
use crate::pace::Pace;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Most questions of one statement.
const TOGETHER_MAX: usize = 500;
/// Most questions that wait; beyond that callers are told that we are busy.
const WAITING_MAX: usize = 4_096;
/// From one statement's beginning to the next one's, at least.
const EVERY: Duration = Duration::from_millis(20);

/// There is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unanswered {
    /// Too many wait already.
    #[error("too many wait for an answer")]
    Busy,
    /// The statement that this question was a part of failed.
    #[error(transparent)]
    Failed(Arc<StoreError>),
    /// Nobody answers any more: the program ends.
    #[error("nobody answers any more")]
    Ended,
}

type Job<Q, A> = (Q, oneshot::Sender<Result<A, Unanswered>>);

/// A kind of question. Its task ends with the last handle.
pub struct Together<Q, A> {
    jobs: mpsc::Sender<Job<Q, A>>,
}

impl<Q: Send + 'static, A: Send + 'static> Together<Q, A> {
    /// `ask` puts the questions to the database and gives one answer to each, in their order.
    pub fn start<F>(ask: impl Fn(Vec<Q>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Vec<A>, StoreError>> + Send,
    {
        Self::start_every(EVERY, ask)
    }

    /// As [`Self::start`], at another pace.
    pub fn start_every<F>(every: Duration, ask: impl Fn(Vec<Q>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Vec<A>, StoreError>> + Send,
    {
        let (jobs, mut queue) = mpsc::channel::<Job<Q, A>>(WAITING_MAX);
        tokio::spawn(async move {
            let mut gathered = Vec::with_capacity(TOGETHER_MAX);
            let mut pace = Pace::new(every);
            while let Some(first) = queue.recv().await {
                // A statement that will be full anyway need not wait for more.
                if queue.len() + 1 < TOGETHER_MAX {
                    pace.turn().await;
                }
                gathered.push(first);
                while gathered.len() < TOGETHER_MAX
                    && let Ok(next) = queue.try_recv()
                {
                    gathered.push(next);
                }
                let (questions, callers): (Vec<_>, Vec<_>) = gathered.drain(..).unzip();
                // A caller that has gone away needs no answer.
                let answers = timeout(ANSWER_WITHIN, ask(questions)).await;
                match answers.unwrap_or_else(|_| Err(StoreError::silent())) {
                    Ok(answers) => callers.into_iter().zip(answers).for_each(|(c, a)| drop(c.send(Ok(a)))),
                    Err(error) => {
                        let failed = Unanswered::Failed(Arc::new(error));
                        callers.into_iter().for_each(|c| drop(c.send(Err(failed.clone()))));
                    }
                }
            }
        });
        Self { jobs }
    }

    /// Asks, and waits for the answer. Refuses at once when too many wait.
    pub async fn ask(&self, question: Q) -> Result<A, Unanswered> {
        let (caller, answer) = oneshot::channel();
        self.jobs.try_send((question, caller)).map_err(|_| Unanswered::Busy)?;
        answer.await.unwrap_or(Err(Unanswered::Ended))
    }

    /// As [`Self::ask`], but waits for room: for workers, who ask no more at once than they have places.
    pub async fn ask_patiently(&self, question: Q) -> Result<A, Unanswered> {
        let (caller, answer) = oneshot::channel();
        self.jobs.send((question, caller)).await.map_err(|_| Unanswered::Ended)?;
        answer.await.unwrap_or(Err(Unanswered::Ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::Arc;
    use std::sync::Mutex;
    use tokio::sync::Semaphore;

    /// Doubles numbers when let through, and tells how many came together.
    fn doubling(gate: &Arc<Semaphore>) -> (Together<u32, u32>, Arc<Mutex<Vec<usize>>>) {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let (noted, gate) = (Arc::clone(&sizes), Arc::clone(gate));
        let together = Together::start(move |numbers: Vec<u32>| {
            let (noted, gate) = (Arc::clone(&noted), Arc::clone(&gate));
            async move {
                gate.acquire().await.unwrap().forget();
                noted.lock().unwrap().push(numbers.len());
                if numbers.contains(&0) {
                    Err(StoreError::Corrupt("zero"))
                } else {
                    Ok(numbers.iter().map(|n| n * 2).collect())
                }
            }
        });
        (together, sizes)
    }

    #[tokio::test]
    async fn those_that_come_while_one_is_answered_share_the_next() {
        let gate = Arc::new(Semaphore::new(0));
        let (together, sizes) = doubling(&gate);
        let asking = join_all((1..=600).map(|n| together.ask(n)));
        let (answers, ()) = tokio::join!(asking, async {
            tokio::task::yield_now().await;
            gate.add_permits(3);
        });
        let answers: Vec<u32> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, (1..=600).map(|n| n * 2).collect::<Vec<_>>(), "each its own answer");
        let sizes = sizes.lock().unwrap();
        assert!(sizes.len() <= 3 && sizes.iter().all(|size| *size <= TOGETHER_MAX), "{sizes:?}");
    }

    #[tokio::test]
    async fn a_failure_is_everybodys_and_the_next_ones_go_on() {
        let gate = Arc::new(Semaphore::new(9));
        let (together, _) = doubling(&gate);
        let answers = join_all([together.ask(0), together.ask(1)]).await;
        assert!(answers.iter().all(|answer| matches!(answer, Err(Unanswered::Failed(_)))), "{answers:?}");
        assert_eq!(together.ask_patiently(4).await.unwrap(), 8);
    }

    #[tokio::test]
    async fn a_statement_that_is_full_keeps_no_pace() {
        let together = Together::start_every(Duration::from_secs(3_600), |numbers: Vec<u32>| async { Ok(numbers) });
        let asking = join_all((0..2 * TOGETHER_MAX as u32).map(|n| together.ask(n)));
        let answers = tokio::time::timeout(Duration::from_secs(60), asking).await.expect("nobody waits an hour");
        assert!(answers.into_iter().all(|answer| answer.is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_statement_without_an_answer_does_not_keep_the_next_ones() {
        let together = Together::start(|numbers: Vec<u32>| async move {
            if numbers.contains(&0) { std::future::pending().await } else { Ok(numbers) }
        });
        let came = together.ask(0).await;
        assert!(matches!(came, Err(Unanswered::Failed(error)) if matches!(*error, StoreError::Unreachable(_))));
        assert_eq!(together.ask(1).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn more_than_may_wait_are_told_so() {
        let gate = Arc::new(Semaphore::new(0));
        let (together, _) = doubling(&gate);
        let asking = join_all((0..WAITING_MAX as u32 + 1).map(|_| together.ask(1)));
        let (answers, ()) = tokio::join!(asking, async {
            tokio::task::yield_now().await;
            gate.add_permits(100);
        });
        assert_eq!(answers.iter().filter(|answer| matches!(answer, Err(Unanswered::Busy))).count(), 1);
    }
}
