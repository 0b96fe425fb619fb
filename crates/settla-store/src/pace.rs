//! A pace: what is done again and again is begun no sooner than so long after the last time, so that under load each
//! time does more. Who has been idle for longer never waits.

use std::time::Duration;
use tokio::time::Instant;

/// When the next turn may begin.
#[derive(Debug)]
pub struct Pace {
    every: Duration,
    next: Option<Instant>,
}

impl Pace {
    /// The first turn is at once.
    pub fn new(every: Duration) -> Self {
        Self { every, next: None }
    }

    /// Waits for the turn and takes it.
    pub async fn turn(&mut self) {
        if let Some(next) = self.next {
            tokio::time::sleep_until(next).await;
        }
        self.next = Some(Instant::now() + self.every);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_are_apart_and_the_idle_do_not_wait() {
        const EVERY: Duration = Duration::from_millis(20);
        let (begun, mut pace) = (Instant::now(), Pace::new(EVERY));
        for _ in 0..4 {
            pace.turn().await;
        }
        assert!(begun.elapsed() >= EVERY * 3, "three waits between four turns");
        let mut idle = Pace { every: Duration::from_secs(3_600), next: Some(Instant::now()) };
        idle.turn().await;
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}
