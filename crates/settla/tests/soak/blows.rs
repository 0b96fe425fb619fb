//! How far the breaking has come. The load keeps step with it, so that each blow meets payments in every state,
//! however fast the machine is.

use settla_devkit::rounds;
use tokio::sync::watch;

/// How many payments are made.
pub fn payments() -> usize {
    rounds(200, 5_000) as usize
}

/// Blows that have fallen, of all that will.
pub struct Blows {
    all: usize,
    fallen: watch::Sender<usize>,
}

impl Blows {
    pub fn new(all: usize) -> Self {
        Self { all, fallen: watch::Sender::new(0) }
    }

    pub fn all(&self) -> usize {
        self.all
    }

    /// One more has fallen.
    pub fn strike(&self) {
        self.fallen.send_modify(|fallen| *fallen += 1);
        println!("blow {} of {}", *self.fallen.borrow(), self.all);
    }

    pub fn watch(&self) -> watch::Receiver<usize> {
        self.fallen.subscribe()
    }
}
