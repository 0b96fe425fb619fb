//! The books check: our books against those that others keep — the bank's statement, the providers' own
//! books, and the chain. It reads theirs from them, not from what we noted about them.
//!
//! Exact on a system at rest. While payments are on their way, money that has left one book and not reached
//! the next one shows as a difference.

mod compare;
mod ours;
mod outside;

use crate::dev::Home;
use crate::failure::Failure;
use crate::local::Facts;
use crate::ui;
use std::path::PathBuf;

/// Options of `settla books`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the local system.
    #[arg(long, default_value = ".settla")]
    dir: PathBuf,
    /// For machines.
    #[arg(long)]
    json: bool,
}

/// One comparison.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Line {
    /// What is compared.
    pub what: String,
    /// Ours.
    pub ours: String,
    /// Theirs.
    pub theirs: String,
    /// Whether they agree.
    pub agree: bool,
}

/// All comparisons.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Report {
    /// In the order they were made.
    pub lines: Vec<Line>,
}

impl Report {
    /// Compares two things of one kind.
    pub(crate) fn compare<T: PartialEq + std::fmt::Display>(&mut self, what: impl Into<String>, ours: T, theirs: T) {
        let agree = ours == theirs;
        self.lines.push(Line { what: what.into(), ours: ours.to_string(), theirs: theirs.to_string(), agree });
    }

    /// States that a list of exceptions is empty; shows the first few if it is not.
    pub(crate) fn none(&mut self, what: impl Into<String>, exceptions: &[String]) {
        let shown = exceptions.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
        let ours = if exceptions.is_empty() { "none".to_owned() } else { format!("{}: {shown}", exceptions.len()) };
        self.lines.push(Line { what: what.into(), ours, theirs: "none".to_owned(), agree: exceptions.is_empty() });
    }

    /// Whether everything agrees.
    pub fn ok(&self) -> bool {
        self.lines.iter().all(|line| line.agree)
    }

    /// What does not agree, in words.
    pub fn failures(&self) -> Vec<String> {
        self.lines
            .iter()
            .filter(|l| !l.agree)
            .map(|l| format!("{}: ours {}, theirs {}", l.what, l.ours, l.theirs))
            .collect()
    }

    /// Prints the comparisons.
    pub fn print(&self) {
        let mut rows = vec![["", "compared", "ours", "theirs"].map(str::to_owned).to_vec()];
        for line in &self.lines {
            let mark = if line.agree { "=" } else { "!" };
            rows.push(vec![mark.to_owned(), line.what.clone(), line.ours.clone(), line.theirs.clone()]);
        }
        ui::table(&rows);
        if self.ok() {
            println!("  {}", ui::green("the books agree"));
        } else {
            println!("  {}", ui::red("the books differ"));
        }
    }
}

/// Reads all books and compares them.
pub async fn check(facts: &Facts) -> Result<Report, Failure> {
    let ours = ours::read(&facts.database_url).await?;
    let theirs = outside::read(facts).await?;
    let mut report = Report::default();
    compare::ledger(&ours, &mut report);
    compare::bank(&ours, &theirs, &mut report);
    compare::on_ramp(&ours, &theirs, &mut report);
    compare::off_ramp(&ours, &theirs, &mut report);
    compare::chain(&ours, &theirs, &mut report);
    Ok(report)
}

/// `settla books`.
pub async fn run(args: Args) -> Result<(), Failure> {
    let home = Home::existing(&args.dir)?;
    let facts: Facts = serde_json::from_value(home.facts()?)?;
    let report = check(&facts).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print();
    }
    if report.ok() {
        Ok(())
    } else {
        Err(Failure::new("the books differ")
            .try_next("if payments are on their way, run it again once they have ended"))
    }
}
