//! The signal that ends all workers and held answers.

use tokio::sync::watch;

/// Ends when told to, or when whoever could tell is gone.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

/// Gives the signal.
pub(crate) struct Stopper(watch::Sender<bool>);

pub(crate) fn channel() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Returns when it is time to stop.
    pub(crate) async fn stopped(&self) {
        let mut receiver = self.0.clone();
        // An error means that the sender is gone, which is the same news.
        let _ = receiver.wait_for(|stop| *stop).await;
    }

    /// Runs the work until it ends or it is time to stop.
    pub(crate) async fn or<F: Future>(&self, work: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            () = self.stopped() => None,
            output = work => Some(output),
        }
    }
}
