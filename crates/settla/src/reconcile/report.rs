//! What a comparison came to, for people and for machines.

use crate::failure::Failure;
use crate::ui;
use serde::Serialize;
use settla_domain::money::{Currency, Money};
use settla_domain::time::Timestamp;
use settla_node::reconcile::{Book, Break, Done, Kind, State};
use settla_store::reconcile::BreakRow;

/// Breaks shown in a table.
const SHOWN_MAX: usize = 50;

/// All books, compared.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether everything was read and agrees.
    pub agree: bool,
    /// Postings added up.
    pub postings: usize,
    /// Payments whose postings were looked at.
    pub payments: usize,
    /// Lines of statements, and transfers of tokens.
    pub lines: usize,
    /// Books that could not be read.
    pub unread: Vec<&'static str>,
    /// What does not agree.
    pub breaks: Vec<BreakView>,
    /// What differs and may be on its way still.
    pub on_their_way: Vec<BreakView>,
}

/// A break, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakView {
    /// What kind.
    pub kind: String,
    /// Whose book differs from ours.
    pub book: &'static str,
    /// The tenant's number; nothing if it concerns none, or that is not known.
    pub tenant: Option<u32>,
    /// The transfer, withdrawal, batch, line, effect or endpoint.
    pub subject: Option<String>,
    /// In which currency.
    pub currency: Option<String>,
    /// What they have more than we, decimal.
    pub size: Option<String>,
    /// The same in minor units.
    pub size_minor: Option<i64>,
    /// When it was first seen.
    pub first_seen: String,
    /// When it was gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<String>,
    /// In words.
    pub detail: String,
}

fn decimal(currency: Option<&str>, minor: Option<i64>) -> Option<String> {
    let currency: Option<Currency> = currency.and_then(|code| code.parse().ok());
    Some(Money::new(currency?, i128::from(minor?)).decimal())
}

impl From<&Break> for BreakView {
    fn from(b: &Break) -> Self {
        let found = &b.found;
        let currency = found.currency.map(|c| c.code().to_owned());
        let size_minor = found.size().and_then(|size| i64::try_from(size).ok());
        Self {
            kind: found.kind.name().to_owned(),
            book: found.kind.book().name(),
            tenant: Some(found.tenant.0).filter(|number| *number > 0),
            subject: found.subject.clone(),
            size: decimal(currency.as_deref(), size_minor),
            size_minor,
            currency,
            first_seen: b.first_seen.to_rfc3339(),
            resolved_at: None,
            detail: found.detail.clone(),
        }
    }
}

impl From<&BreakRow> for BreakView {
    fn from(row: &BreakRow) -> Self {
        let about_money = row.ours.is_some() || row.theirs.is_some();
        let size_minor = about_money.then(|| row.theirs.unwrap_or(0).saturating_sub(row.ours.unwrap_or(0)));
        Self {
            kind: row.kind.clone(),
            book: Kind::from_name(&row.kind).map_or("unknown", |kind| kind.book().name()),
            tenant: Some(row.tenant.0).filter(|number| *number > 0),
            subject: row.subject.clone(),
            currency: row.currency.clone(),
            size: decimal(row.currency.as_deref(), size_minor),
            size_minor,
            first_seen: row.first_seen.to_rfc3339(),
            resolved_at: row.resolved_at.map(Timestamp::to_rfc3339),
            detail: row.detail.clone(),
        }
    }
}

impl Report {
    pub(super) fn new(state: &State, done: &Done) -> Self {
        let breaks: Vec<BreakView> = state.open().map(BreakView::from).collect();
        Self {
            agree: breaks.is_empty() && done.unread.is_empty(),
            postings: state.postings(),
            payments: done.payments,
            lines: state.lines(),
            unread: done.unread.iter().map(|book| book.name()).collect(),
            breaks,
            on_their_way: state.on_their_way().map(BreakView::from).collect(),
        }
    }

    /// Whether everything agrees.
    pub fn ok(&self) -> bool {
        self.agree
    }

    /// What does not agree, in words.
    pub fn failures(&self) -> Vec<String> {
        let unread = self.unread.iter().map(|book| format!("the book of {book} cannot be read"));
        self.breaks.iter().map(words).chain(unread).collect()
    }

    /// Prints it.
    pub fn print(&self) {
        let mut rows = vec![["", "book", "compared", "breaks", "on their way"].map(str::to_owned).to_vec()];
        for book in Book::COMPARED {
            let count = |list: &[BreakView]| list.iter().filter(|b| b.book == book.name()).count();
            let (breaks, waiting) = (count(&self.breaks), count(&self.on_their_way));
            let unread = self.unread.contains(&book.name());
            let compared = match book {
                _ if unread => "cannot be read now".to_owned(),
                Book::Ledger => format!("{} postings, {} payments; positions, limits", self.postings, self.payments),
                Book::Work => "effects, webhooks".to_owned(),
                Book::Bank => "each line of the statement, the balance".to_owned(),
                Book::OnRamp => "each order".to_owned(),
                Book::OffRamp => "tokens of each batch, each payout, each return".to_owned(),
                Book::Chain => "tokens out and in by transaction, the wallet".to_owned(),
            };
            let mark = if breaks > 0 || unread { "!" } else { "=" };
            let number = |n: usize| if n == 0 { "none".to_owned() } else { n.to_string() };
            rows.push(vec![mark.to_owned(), book.name().to_owned(), compared, number(breaks), number(waiting)]);
        }
        ui::table(&rows);
        table(&self.breaks);
        if self.ok() {
            println!("  {}", ui::green("the books agree"));
        } else {
            println!("  {}", ui::red("the books differ"));
        }
    }

    /// For the shell.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        if self.ok() {
            return Ok(());
        }
        let what = if self.breaks.is_empty() { "not every book can be read now" } else { "the books differ" };
        Err(Failure::new(what).try_next("each kind of break is in docs/operations.md"))
    }
}

fn words(b: &BreakView) -> String {
    let subject = b.subject.as_deref().unwrap_or("-");
    let size = b.size.as_deref().unwrap_or("-");
    format!("{} {subject} {size} {}: {}", b.kind, b.currency.as_deref().unwrap_or("-"), b.detail)
}

fn table(breaks: &[BreakView]) {
    if breaks.is_empty() {
        return;
    }
    let mut rows = vec![["kind", "subject", "tenant", "size", "since", "what"].map(str::to_owned).to_vec()];
    for b in breaks.iter().take(SHOWN_MAX) {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let size = match (&b.size, &b.currency) {
            (Some(size), Some(currency)) => format!("{currency} {size}"),
            _ => "-".to_owned(),
        };
        let tenant = b.tenant.map_or("-".to_owned(), |number| number.to_string());
        rows.push(vec![ui::red(&b.kind), text(&b.subject), tenant, size, b.first_seen.clone(), b.detail.clone()]);
    }
    ui::table(&rows);
    if breaks.len() > SHOWN_MAX {
        println!("  and {} more; --json has all", breaks.len() - SHOWN_MAX);
    }
}

/// Breaks that the platform has found.
pub(super) fn list(rows: &[BreakRow], json: bool) -> Result<(), Failure> {
    let views: Vec<BreakView> = rows.iter().map(BreakView::from).collect();
    if json {
        println!("{}", serde_json::to_string_pretty(&views)?);
    } else if views.is_empty() {
        println!("there is none");
    } else {
        table(&views);
    }
    Ok(())
}
