//! Lines as things happen; on a terminal also a last line that says what is being waited for, and for how long.

use crate::ui;
use std::io::{IsTerminal, Write, stdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How often the last line is drawn anew.
const FRAME: Duration = Duration::from_millis(100);
/// Keeps the last line within a narrow terminal.
const STATUS_CHARS_MAX: usize = 66;
const SPINNER: [char; 4] = ['|', '/', '-', '\\'];

/// The running output. Dropping this leaves the terminal clean.
pub(super) struct Live {
    board: Arc<Mutex<Board>>,
    ticker: Option<JoinHandle<()>>,
}

/// What the last line shows.
#[derive(Default)]
struct Board {
    waits: Vec<String>,
    since: Option<Instant>,
    frame: usize,
}

impl Live {
    /// Starts it. Without a terminal there is no last line.
    pub(super) fn start() -> Self {
        let board = Arc::new(Mutex::new(Board::default()));
        let ticker = stdout().is_terminal().then(|| {
            let board = Arc::clone(&board);
            tokio::spawn(async move {
                let mut frames = tokio::time::interval(FRAME);
                loop {
                    frames.tick().await;
                    board.lock().unwrap_or_else(PoisonError::into_inner).draw();
                }
            })
        });
        Self { board, ticker }
    }

    /// Shows that this is waited for, until [`Self::done_with`] or [`Self::clear`].
    pub(super) fn waiting_for(&self, what: &str) {
        let mut board = self.lock();
        board.since.get_or_insert_with(Instant::now);
        board.waits.push(what.to_owned());
    }

    /// This is not waited for any more.
    pub(super) fn done_with(&self, what: &str) {
        let mut board = self.lock();
        board.waits.retain(|wait| wait != what);
        if board.waits.is_empty() {
            board.since = None;
        }
    }

    /// Nothing is waited for.
    pub(super) fn clear(&self) {
        *self.lock() = Board::default();
        self.wipe();
    }

    /// Prints a line above the last one.
    pub(super) fn line(&self, text: &str) {
        let _whole_lines = self.lock();
        self.wipe();
        println!("{text}");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wipe(&self) {
        if self.ticker.is_some() {
            write("\r\x1b[2K");
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.wipe();
        if let Some(ticker) = &self.ticker {
            ticker.abort();
        }
    }
}

impl Board {
    fn draw(&mut self) {
        let (Some(since), false) = (self.since, self.waits.is_empty()) else { return };
        self.frame += 1;
        let spinner = SPINNER[self.frame % SPINNER.len()];
        let waits: String = self.waits.join(", ").chars().take(STATUS_CHARS_MAX).collect();
        let status = format!("{spinner} {:.1} s  {waits}", since.elapsed().as_secs_f64());
        write(&format!("\r\x1b[2K{}", ui::dim(&status)));
    }
}

/// A terminal that has gone away is found out by the next whole line.
fn write(text: &str) {
    let mut out = stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
