//! What waits for a batch, and what of it the next one takes.

use tokio::sync::mpsc::Receiver;

/// Most commands of one batch.
pub const BATCH_MAX: usize = 400;
/// Findings of workers for which a batch with requests has room, however few requests they are.
pub const FINDINGS_BESIDE: usize = 96;
/// As many for each request, if that is more. A payment is two requests and four findings or a few more: with room for less
/// than two to a request, a runner that has fallen behind would begin ever more payments and end ever fewer.
pub const FINDINGS_A_REQUEST: usize = 3;
/// Requests that leave room for their findings.
const REQUESTS_BEFORE_FINDINGS: usize = BATCH_MAX / (1 + FINDINGS_A_REQUEST);

/// What waits.
pub(super) struct Queue<T> {
    /// Requests.
    pub asked: Receiver<T>,
    /// Findings of workers.
    pub found: Receiver<T>,
}

impl<T> Queue<T> {
    /// The next batch, once there is something. Nothing if there will never be any more.
    pub async fn next(&mut self, batch: &mut Vec<T>) {
        let (first, mut requests) = tokio::select! {
            biased;
            Some(request) = self.asked.recv() => (request, 1),
            Some(finding) = self.found.recv() => (finding, 0),
            else => return,
        };
        batch.push(first);
        requests += take(&mut self.asked, batch, REQUESTS_BEFORE_FINDINGS);
        let room = if requests == 0 { BATCH_MAX } else { FINDINGS_BESIDE.max(FINDINGS_A_REQUEST * requests) };
        let findings_to = (batch.len() + room).min(BATCH_MAX);
        take(&mut self.found, batch, findings_to);
        // What findings leave.
        take(&mut self.asked, batch, BATCH_MAX);
    }
}

/// Takes what waits, until there are so many in all. Returns how many.
fn take<T>(queue: &mut Receiver<T>, batch: &mut Vec<T>, up_to: usize) -> usize {
    let before = batch.len();
    while batch.len() < up_to
        && let Ok(one) = queue.try_recv()
    {
        batch.push(one);
    }
    batch.len() - before
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[derive(Clone, Copy, PartialEq)]
    enum Job {
        Request,
        Finding,
    }

    /// How many requests and findings the next batch takes.
    async fn taken(requests: usize, findings: usize) -> (usize, usize) {
        let (ask, asked) = mpsc::channel(2_000);
        let (find, found) = mpsc::channel(2_000);
        (0..requests).for_each(|_| ask.try_send(Job::Request).expect("room"));
        (0..findings).for_each(|_| find.try_send(Job::Finding).expect("room"));
        drop((ask, find));
        let mut batch = Vec::new();
        Queue { asked, found }.next(&mut batch).await;
        let requests = batch.iter().filter(|job| **job == Job::Request).count();
        (requests, batch.len() - requests)
    }

    #[tokio::test]
    async fn a_few_requests_do_not_wait_behind_what_a_block_brings() {
        assert_eq!(taken(1, 1_500).await, (1, FINDINGS_BESIDE));
        assert_eq!(taken(32, 1_500).await, (32, FINDINGS_BESIDE));
    }

    #[tokio::test]
    async fn what_was_begun_ends_as_fast_as_more_is_begun() {
        assert_eq!(taken(60, 1_500).await, (60, 60 * FINDINGS_A_REQUEST));
        assert_eq!(taken(1_500, 1_500).await, (100, 300));
    }

    #[tokio::test]
    async fn room_that_nobody_needs_is_not_left_empty() {
        assert_eq!(taken(1_500, 0).await, (BATCH_MAX, 0));
        assert_eq!(taken(0, 1_500).await, (0, BATCH_MAX));
        assert_eq!(taken(1_500, 50).await, (BATCH_MAX - 50, 50));
        assert_eq!(taken(3, 2).await, (3, 2));
    }

    #[tokio::test]
    async fn there_is_nothing_when_there_will_be_no_more() {
        assert_eq!(taken(0, 0).await, (0, 0));
    }
}
