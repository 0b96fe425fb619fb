//! `settla review`: payments that no machine can settle, decided by two people.

use crate::dev::Home;
use crate::failure::Failure;
use crate::operator::{open, operator_name};
use crate::ui;
use settla_domain::decide::{Answer, Command};
use settla_domain::id::{TransferId, WithdrawalId};
use settla_domain::refusal::Refusal;
use settla_domain::review::{Decided, Decision};
use settla_server::runner::{Envelope, Runner, RunnerError};
use settla_store::review::{self, Case, Closed, Held, Proposal};
use settla_store::{Store, StoreError};
use std::path::PathBuf;
use uuid::Uuid;

/// Options of `settla review`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the local system.
    #[arg(long, default_value = ".settla", global = true)]
    dir: PathBuf,
    /// Who you are [default: the USER of the shell].
    #[arg(long, global = true)]
    operator: Option<String>,
    #[command(subcommand)]
    command: ReviewCommand,
}

#[derive(clap::Subcommand)]
enum ReviewCommand {
    /// List what waits for a decision, oldest first.
    List {
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Propose a decision. Somebody else has to approve it.
    Propose {
        /// The transfer `tr_…` or withdrawal `wd_…`.
        id: String,
        /// What is to be done.
        decision: Verdict,
        /// The other side's reference of the payment, to complete it.
        #[arg(long, required_if_eq("decision", "complete"))]
        reference: Option<String>,
        /// The change ticket.
        #[arg(long)]
        ticket: String,
        /// What was found out, for whoever approves it.
        #[arg(long)]
        reason: String,
    },
    /// Approve what somebody else has proposed; the money moves.
    Approve {
        /// The transfer `tr_…` or withdrawal `wd_…`.
        id: String,
    },
    /// Take a proposal back.
    Withdraw {
        /// The transfer `tr_…` or withdrawal `wd_…`.
        id: String,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Verdict {
    /// It can go on: the step where it stopped is tried again, after asking whether it was done.
    Retry,
    /// It will not be paid: the tenant gets back what its money has become.
    Refund,
    /// It was paid, as the other side's own statement shows.
    Complete,
}

/// What is proposed, and why.
struct Wish {
    verdict: Verdict,
    reference: Option<String>,
    ticket: String,
    reason: String,
}

/// Runs one of the commands.
pub async fn run(args: Args) -> Result<(), Failure> {
    let home = Home::existing(&args.dir)?;
    let db = open(&home).await?;
    let operator = operator_name(args.operator.as_deref())?;
    match args.command {
        ReviewCommand::List { json } => list(&db, json).await,
        ReviewCommand::Propose { id, decision, reference, ticket, reason } => {
            propose(&db, &id, Wish { verdict: decision, reference, ticket, reason }, operator).await
        }
        ReviewCommand::Approve { id } => approve(&db, &id, operator).await,
        ReviewCommand::Withdraw { id } => withdraw(&db, &id, &operator).await,
    }
}

fn subject(id: &str) -> Result<Uuid, Failure> {
    let transfer = id.parse().map(|id: TransferId| id.0);
    transfer.or_else(|_| id.parse().map(|id: WithdrawalId| id.0)).map_err(|_| {
        Failure::new(format!("{id} is neither a transfer nor a withdrawal")).try_next("see `settla review list`")
    })
}

fn shown(case: &Case) -> String {
    if case.is_withdrawal { WithdrawalId(case.subject).to_string() } else { TransferId(case.subject).to_string() }
}

async fn list(db: &Store, json: bool) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for case in review::cases(&db.auditor, None).await? {
        let proposal = review::open_proposal(&db.operator, case.subject).await?;
        rows.push((case, proposal));
    }
    if json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(case, proposal)| {
                serde_json::json!({
                    "id": shown(case), "tenant": case.slug, "failure": case.failure, "from": case.from,
                    "amount": case.amount, "since": case.since.to_rfc3339(),
                    "proposal": proposal.as_ref().map(|p| serde_json::json!({
                        "decision": p.decision, "proposed_by": p.proposed_by, "ticket": p.ticket, "reason": p.reason,
                    })),
                })
            })
            .collect();
        println!("{}", serde_json::Value::Array(rows));
        return Ok(());
    }
    if rows.is_empty() {
        println!("nothing waits for a decision");
        return Ok(());
    }
    let head = ["payment", "tenant", "amount", "why", "stood at", "since", "proposed"];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    for (case, proposal) in rows {
        let proposed =
            proposal.map_or_else(|| "-".to_owned(), |p| format!("{} by {}", p.decision.name(), p.proposed_by));
        table.push(vec![
            shown(&case),
            case.slug,
            case.amount.to_string(),
            case.failure,
            case.from.unwrap_or_else(|| "the bank".to_owned()),
            case.since.to_rfc3339(),
            proposed,
        ]);
    }
    ui::table(&table);
    Ok(())
}

async fn propose(db: &Store, id: &str, wish: Wish, operator: String) -> Result<(), Failure> {
    let subject = subject(id)?;
    let decision = match wish.verdict {
        Verdict::Retry => Decision::Retry,
        Verdict::Refund => Decision::Refund,
        Verdict::Complete => Decision::Complete { reference: plain(&wish.reference.unwrap_or_default())? },
    };
    let case = review::cases(&db.auditor, Some(subject)).await?.pop();
    let case =
        case.ok_or_else(|| Failure::new(format!("{id} is not under review")).try_next("see `settla review list`"))?;
    let proposal = Proposal {
        id: Uuid::now_v7(),
        tenant: case.tenant,
        subject,
        decision,
        ticket: plain(&wish.ticket)?,
        reason: wish.reason,
        proposed_by: operator,
    };
    match review::propose(&db.operator, &proposal).await {
        Ok(()) => {}
        Err(StoreError::Constraint(name)) if name == "review_proposals_open" => {
            return Err(Failure::new(format!("a decision about {id} is proposed already")).try_next(format!(
                "approve it (`settla review approve {id}`) or take it back (`settla review withdraw {id}`)"
            )));
        }
        Err(error) => return Err(error.into()),
    }
    println!(
        "{} {} for {}\nnext: somebody else runs `settla review approve {id}`",
        ui::green("proposed"),
        proposal.decision.name(),
        case.amount
    );
    Ok(())
}

async fn approve(db: &Store, id: &str, operator: String) -> Result<(), Failure> {
    let held = proposed(db, id).await?;
    if held.is_stale {
        // Of an earlier review, or carried out by somebody whose shell ended before it was closed.
        held.close(Closed::Withdrawn, &operator).await?;
        return Err(Failure::new(format!("the proposal for {id} is out of date and was closed"))
            .try_next("see `settla review list` for what waits for a decision now"));
    }
    let proposal = held.proposal.clone();
    let decided = Decided {
        tenant: proposal.tenant,
        subject: proposal.subject,
        decision: proposal.decision.clone(),
        proposed_by: proposal.proposed_by.clone(),
        approved_by: operator.clone(),
    };
    let envelope = Envelope {
        tenant: proposal.tenant,
        command: Command::Decide(decided),
        idempotency: None,
        sealed: None,
        audit: Some((operator.clone(), proposal.ticket.clone())),
    };
    let state = match Runner::start(db.clone())?.submit(envelope).await.map(|decided| decided.answer) {
        Ok(Answer::Transfer(transfer)) => transfer.state.name(),
        Ok(Answer::Withdrawal(withdrawal)) => withdrawal.state.name(),
        Ok(_) => return Err(Failure::new("the decision was not carried out")),
        Err(RunnerError::Refused(Refusal::NotUnderReview)) => {
            held.close(Closed::Withdrawn, &operator).await?;
            return Err(Failure::new(format!("{id} is not under review any more; the proposal is closed")));
        }
        Err(RunnerError::Refused(Refusal::SecondPersonNeeded)) => {
            return Err(Failure::new("you have proposed this yourself").try_next("somebody else has to approve it"));
        }
        Err(RunnerError::Refused(refusal)) => {
            return Err(Failure::new(refusal.to_string())
                .try_next(format!("take it back with `settla review withdraw {id}` and propose another decision")));
        }
        Err(error) => return Err(error.into()),
    };
    held.close(Closed::Approved, &operator).await?;
    println!("{} {}: {id} is {state}", ui::green("carried out"), proposal.decision.name());
    Ok(())
}

async fn withdraw(db: &Store, id: &str, operator: &str) -> Result<(), Failure> {
    let held = proposed(db, id).await?;
    let decision = held.proposal.decision.name();
    held.close(Closed::Withdrawn, operator).await?;
    println!("{} the proposal to {decision} {id}", ui::green("withdrawn"));
    Ok(())
}

async fn proposed(db: &Store, id: &str) -> Result<Held, Failure> {
    let held = review::hold(&db.operator, &db.auditor, subject(id)?).await?;
    held.ok_or_else(|| Failure::new(format!("nothing is proposed for {id}")).try_next("see `settla review list`"))
}

/// Text that goes into our books and logs: 1 to 128 printable ASCII characters.
fn plain(text: &str) -> Result<String, Failure> {
    let fits = (1..=128).contains(&text.len()) && text.bytes().all(|b| (0x20..0x7f).contains(&b));
    if fits { Ok(text.to_owned()) } else { Err(Failure::new("give 1 to 128 printable ASCII characters")) }
}
