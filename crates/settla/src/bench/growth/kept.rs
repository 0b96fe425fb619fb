//! How much of a transfer is stored: all that the tables of interest get of it, or less, if that does not fit.

use serde::Serialize;

/// Rows of a stored transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kept {
    /// What it leaves in these tables.
    All,
    /// All effects, the last event, the first two postings.
    Most,
    /// The last effect and event, no postings.
    Few,
}

/// One table's part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub table: &'static str,
    /// Which rows, with the transfer's id as `$transfer`, and in which order.
    pub rows: &'static str,
    /// The most of them that are kept.
    pub limit: u32,
}

impl Kept {
    /// From the fullest to the leanest.
    pub const ORDER: [Self; 3] = [Self::All, Self::Most, Self::Few];

    /// What is kept, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::All => "all rows in these tables",
            Self::Most => "all effects, the last event and the first two postings",
            Self::Few => "the last effect and the last event, no postings",
        }
    }

    /// In the order in which they are written; the first two and the last three at the same time.
    pub fn parts(self) -> [Part; 5] {
        let (effects, events, postings) = match self {
            Self::All => (10, 100, 100),
            Self::Most => (10, 1, 2),
            Self::Few => (1, 1, 0),
        };
        let part = |table, rows, limit| Part { table, rows, limit };
        [
            part("quotes", "id = (SELECT quote FROM transfers WHERE id = $transfer)", 1),
            part("transfers", "id = $transfer", 1),
            part("outbox", "subject = $transfer ORDER BY id DESC", effects),
            part("events", "subject = $transfer ORDER BY sequence DESC", events),
            part("postings", "subject = $transfer ORDER BY sequence", postings),
        ]
    }
}
