//! The points at which the platform is killed, found on the wire while it works.
//!
//! Nobody lists them. A proxy that sees a commit or a request tells what marks it: the statements with the states and
//! kinds of events in them, or the call with the words in its body. As long as one of these marks has not been met
//! with a crash of a kind, the point is one for it. So what only recovery does is found as well, and the search ends
//! when nothing new turns up.

use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch};

/// What is done at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Crash {
    /// The platform dies, and what it sent was never passed on.
    Before,
    /// It was passed on and carried out; the platform dies before it hears of it.
    After,
    /// The platform lives. A request arrives twice; a commit takes place and its answer is lost.
    Repeat,
}

/// How the mark of all words of a commit together begins.
pub const COMBINED: &str = "commit of ";

const CRASHES: [Crash; 3] = [Crash::Before, Crash::After, Crash::Repeat];

#[derive(Default)]
struct State {
    /// Requests that were made before, by their bytes.
    made: HashSet<u64>,
    /// Marks of all points that came by.
    seen: BTreeSet<String>,
    struck: BTreeSet<(String, Crash)>,
    counts: [usize; 3],
    /// How many of those had a mark of their own, not only a new combination.
    turned_up: usize,
    /// So many more points are taken.
    armed: usize,
    /// A crash is under way: what a dying process does counts for nothing.
    dying: bool,
}

/// All points of a run.
pub struct Points {
    seed: u64,
    /// One in so many marks and kinds of crash is taken.
    one_in: u64,
    state: Mutex<State>,
    kill: mpsc::UnboundedSender<()>,
    killed: watch::Sender<u64>,
}

impl Points {
    /// Which points are taken depends on the seed alone. The receiver hears of each time the platform is to be killed.
    pub fn new(seed: u64, one_in: u64) -> (Self, mpsc::UnboundedReceiver<()>) {
        let (kill, kills) = mpsc::unbounded_channel();
        (Self { seed, one_in, state: Mutex::default(), kill, killed: watch::Sender::new(0) }, kills)
    }

    /// From now on so many points are taken.
    pub fn arm(&self, armed: usize) {
        self.state.lock().unwrap().armed = armed;
    }

    /// Whether so many have been taken as was asked for.
    pub fn is_spent(&self) -> bool {
        self.state.lock().unwrap().armed == 0
    }

    /// What is to be done at a point with these marks.
    pub fn meet(self: &Arc<Self>, what: &str, marks: &BTreeSet<String>) -> Option<Strike> {
        let mut state = self.state.lock().unwrap();
        state.seen.extend(marks.iter().cloned());
        if state.armed == 0 || state.dying {
            return None;
        }
        let is_new =
            |mark: &String, crash| self.is_taken(mark, crash) && !state.struck.contains(&(mark.clone(), crash));
        let crash = CRASHES.into_iter().find(|crash| marks.iter().any(|mark| is_new(mark, *crash)))?;
        let new: Vec<&str> = marks.iter().filter(|mark| is_new(mark, crash)).map(String::as_str).collect();
        let only_combined = new.iter().all(|mark| mark.starts_with(COMBINED));
        let number = state.counts.iter().sum::<usize>() + 1;
        println!("{number}. {crash:?} {what}: {}", new.join(", "));
        state.struck.extend(marks.iter().map(|mark| (mark.clone(), crash)));
        state.counts[crash as usize] += 1;
        state.turned_up += usize::from(!only_combined);
        state.armed -= 1;
        state.dying = crash != Crash::Repeat;
        Some(Strike { crash, marks: marks.clone(), points: Arc::clone(self), is_done: false })
    }

    /// Whether a request was made before, byte for byte.
    pub fn is_repeated(&self, request: impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        request.hash(&mut hasher);
        !self.state.lock().unwrap().made.insert(hasher.finish())
    }

    fn is_taken(&self, mark: &str, crash: Crash) -> bool {
        let mut hasher = DefaultHasher::new();
        (self.seed, mark, crash).hash(&mut hasher);
        hasher.finish().is_multiple_of(self.one_in)
    }

    /// The platform is dead; the next one's points count.
    pub fn dead(&self) {
        self.state.lock().unwrap().dying = false;
        self.killed.send_modify(|killed| *killed += 1);
    }

    /// How many points were struck so far: before, after, repeat.
    pub fn counts(&self) -> [usize; 3] {
        self.state.lock().unwrap().counts
    }

    /// How many points were struck that were new in themselves. Batches combine what happens at a time without end.
    pub fn turned_up(&self) -> usize {
        self.state.lock().unwrap().turned_up
    }

    /// How many marks came by.
    pub fn seen(&self) -> usize {
        self.state.lock().unwrap().seen.len()
    }

    /// What came by and was to be taken, and was not struck; and how much there is of all. Some come by once, or only
    /// when points are not taken.
    pub fn left_out(&self) -> (Vec<(String, Crash)>, usize) {
        let state = self.state.lock().unwrap();
        let all = state.seen.iter().flat_map(|mark| CRASHES.map(|crash| (mark.clone(), crash)));
        let taken: Vec<_> = all.filter(|(mark, crash)| self.is_taken(mark, *crash)).collect();
        let count = taken.len();
        (taken.into_iter().filter(|pair| !state.struck.contains(pair)).collect(), count)
    }

    /// Whether a mark of this kind, with this word, came by.
    pub fn has_seen(&self, kind: &str, word: &str) -> bool {
        let state = self.state.lock().unwrap();
        state.seen.iter().any(|mark| mark.starts_with(kind) && mark.split(' ').any(|part| part == word))
    }
}

/// What was begun at a point. If it does not come to it, because the caller has hung up before, the point counts as not
/// struck and will be met again.
pub struct Strike {
    pub crash: Crash,
    marks: BTreeSet<String>,
    points: Arc<Points>,
    is_done: bool,
}

impl Strike {
    /// Has the platform killed; returns once it is dead.
    pub async fn kill(mut self) {
        let mut killed = self.points.killed.subscribe();
        self.is_done = true;
        // An error means that the test is over.
        let _ = self.points.kill.send(());
        let _ = killed.changed().await;
    }

    /// It was repeated.
    pub fn repeated(mut self) {
        self.is_done = true;
    }
}

impl Drop for Strike {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        println!("… which did not come to it");
        let mut state = self.points.state.lock().unwrap();
        for mark in &self.marks {
            state.struck.remove(&(mark.clone(), self.crash));
        }
        state.counts[self.crash as usize] -= 1;
        state.dying &= self.crash == Crash::Repeat;
    }
}

/// Whether a text is a word of a protocol: a state, a kind of event, a method. Ids, amounts and references have digits.
pub fn is_word(text: &[u8]) -> bool {
    (3..=40).contains(&text.len()) && text.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.'))
}
