//! What is measured. Each round is checked for its result; what a round leaves open is ended outside of its time.

use super::fill::{Range, Source};
use super::ground::{Side, create, quote, report, transfer};
use super::plans;
use super::template::reference;
use crate::failure::Failure;
use settla_domain::decide::{Answer, Command};
use settla_domain::effect::EffectKind;
use settla_domain::finding::Finding;
use settla_domain::quote::Quote;
use settla_domain::tenant::TenantNo;
use settla_domain::transfer::{Transfer, TransferState};
use settla_store::data::{self, Swept};
use settla_store::{outbox, read};
use std::path::Path;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Commands at once, where there are many.
const MANY: usize = 50;
/// Effects that are due at once, and the most that a claim takes.
const DUE: usize = 64;
/// How long a claim holds: over the whole measurement.
const LEASE_MS: i64 = 3_600_000;
/// A page as the API asks for it: one row more than it shows.
const PAGE: i64 = 26;
/// Events of a transfer that are asked for.
const EVENTS_MAX: i64 = 101;
/// Most rows of one delete.
const DELETE_MAX: i64 = 1_000;

/// What is measured, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    FirstPage,
    DeepPage,
    ByReference,
    NewestEvents,
    OldestEvents,
    MakePartitions,
    Sweep,
    Quotes(usize),
    Transfers(usize),
    Claim,
    OpenWork,
    ClaimNothing,
}

impl Operation {
    pub const ALL: [Self; 14] = [
        Self::FirstPage,
        Self::DeepPage,
        Self::ByReference,
        Self::NewestEvents,
        Self::OldestEvents,
        Self::MakePartitions,
        Self::Sweep,
        Self::Quotes(1),
        Self::Transfers(1),
        Self::Quotes(MANY),
        Self::Transfers(MANY),
        Self::Claim,
        Self::OpenWork,
        Self::ClaimNothing,
    ];

    pub fn name(self) -> String {
        match self {
            Self::FirstPage => "list: first page".to_owned(),
            Self::DeepPage => "list: page in the middle".to_owned(),
            Self::ByReference => "list: by reference".to_owned(),
            Self::NewestEvents => "events of a new transfer".to_owned(),
            Self::OldestEvents => "events of an old transfer".to_owned(),
            Self::MakePartitions => "partitions: all there".to_owned(),
            Self::Sweep => "sweeps: nothing to sweep".to_owned(),
            Self::Quotes(n) => format!("create: {n} quote{}", if n == 1 { "" } else { "s at once" }),
            Self::Transfers(n) => format!("create: {n} transfer{}", if n == 1 { "" } else { "s at once" }),
            Self::Claim => format!("outbox: claim {DUE} due"),
            Self::OpenWork => format!("outbox: gauges, {DUE} open"),
            Self::ClaimNothing => "outbox: claim, none due".to_owned(),
        }
    }
}

/// How long a round took, and where the log was before and after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lap {
    pub took: Duration,
    pub log: (u64, u64),
}

/// What rounds are about.
pub(super) struct Course<'a> {
    pub side: &'a Side,
    pub source: &'a Source,
    /// What was stored last.
    pub range: Range,
    pub tenants: &'a [TenantNo],
    /// The server's log, if statements are explained there.
    pub log: Option<&'a Path>,
    pub warm_up: usize,
    pub rounds: usize,
}

impl Course<'_> {
    /// Runs all operations and gives each one's rounds to `each`.
    pub async fn run(&self, mut each: impl FnMut(Operation, Vec<Lap>) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut open = Vec::new();
        for operation in Operation::ALL {
            if operation == Operation::Claim {
                let wishes = self.quoted(DUE, 0).await?;
                open = self.create(&wishes).await?.0;
            }
            if operation == Operation::ClaimNothing {
                self.claim(DUE).await?;
            }
            let mut laps = Vec::with_capacity(self.rounds);
            for round in 0..self.warm_up + self.rounds {
                let lap = self.round(operation, round).await?;
                if round >= self.warm_up {
                    laps.push(lap);
                }
            }
            each(operation, laps)?;
        }
        // A provider that has refused the order: the money goes back.
        let refused = || Finding::Refused { reason: "bench".to_owned() };
        let ends = open.iter().map(|t| (t.tenant, report(t.tenant, t.id, EffectKind::OnRamp, refused()))).collect();
        let ended = self.side.answers(ends).await?;
        check(ended.iter().all(|answer| *answer == Answer::Applied), "a refusal was not applied")
    }

    async fn round(&self, operation: Operation, round: usize) -> Result<Lap, Failure> {
        let store = &self.side.store;
        let tenant = self.tenants[round % self.tenants.len()];
        let each = usize::try_from(self.range.to)? / self.tenants.len();
        match operation {
            Operation::FirstPage => {
                let (page, lap) = self.lap(read::transfers(&store.app, tenant, None, None, None, PAGE)).await?;
                check(page?.len() >= each.min(PAGE as usize), "a page is short")?;
                Ok(lap)
            }
            Operation::DeepPage => {
                let before = Uuid::from_u128(u128::from(self.source.middle_ms().unsigned_abs()) << 80);
                let (page, lap) = self.lap(read::transfers(&store.app, tenant, None, None, Some(before), PAGE)).await?;
                let page = page?;
                check(page.len() >= (each / 4).min(PAGE as usize), "a page in the middle is short")?;
                check(page.iter().all(|t| t.id.0 < before), "a page begins too early")?;
                Ok(lap)
            }
            Operation::ByReference => {
                let stored = self.source.stored(self.range.from + self.nth(round), self.range);
                let name = reference(stored.number);
                let asked = read::transfers(&store.app, TenantNo(stored.tenant), None, Some(&name), None, PAGE);
                let (found, lap) = self.lap(asked).await?;
                let ids: Vec<Uuid> = found?.iter().map(|t| t.id.0).collect();
                check(ids == [self.source.id_of(&stored)], "a reference finds another transfer")?;
                Ok(lap)
            }
            Operation::NewestEvents => self.events(self.range.to - 1 - self.nth(round)).await,
            Operation::OldestEvents => self.events(self.range.from + self.nth(round)).await,
            Operation::MakePartitions => {
                let (made, lap) = self.lap(data::make_partitions(&store.worker)).await?;
                made?;
                Ok(lap)
            }
            Operation::Sweep => {
                let all = async {
                    let mut swept = 0;
                    for what in Swept::ALL {
                        swept += data::sweep(&store.worker, what, DELETE_MAX).await?;
                    }
                    Ok::<_, settla_store::StoreError>(swept)
                };
                let (swept, lap) = self.lap(all).await?;
                check(swept? == 0, "something was swept")?;
                Ok(lap)
            }
            Operation::Quotes(count) => {
                let quotes = self.quotes(count, round)?;
                let commands = quotes.into_iter().map(|q| (q.tenant, Command::CreateQuote(q))).collect();
                let (answers, lap) = self.lap(self.side.answers(commands)).await?;
                check(answers?.iter().all(|answer| matches!(answer, Answer::Quote(_))), "a quote was not made")?;
                Ok(lap)
            }
            Operation::Transfers(count) => {
                let (made, lap) = self.create(&self.quoted(count, round).await?).await?;
                let end = |t: &Transfer| (t.tenant, Command::CancelTransfer { tenant: t.tenant, transfer: t.id });
                for answer in self.side.answers(made.iter().map(end).collect()).await? {
                    check(transfer(answer)?.state == TransferState::Cancelled, "a transfer was not cancelled")?;
                }
                Ok(lap)
            }
            Operation::Claim => self.claim_and_give_back().await,
            Operation::OpenWork => {
                let (open, lap) = self.lap(outbox::backlog(&store.worker)).await?;
                let count: i64 = open?.iter().map(|(_, count, _)| count).sum();
                check(count == DUE as i64, "what is open was counted otherwise")?;
                Ok(lap)
            }
            Operation::ClaimNothing => self.claim(0).await.map(|(_, lap)| lap),
        }
    }

    /// Some of a range, the same ones again and again.
    fn nth(&self, round: usize) -> u64 {
        (round % self.tenants.len()) as u64 % (self.range.to - self.range.from)
    }

    async fn events(&self, number: u64) -> Result<Lap, Failure> {
        let stored = self.source.stored(number, self.range);
        let id = self.source.id_of(&stored);
        let asked = read::event_rows(&self.side.store.app, TenantNo(stored.tenant), id, 0, EVENTS_MAX);
        let (events, lap) = self.lap(asked).await?;
        check(Some(&events?.len()) == self.source.rows().get("events"), "events are missing")?;
        Ok(lap)
    }

    fn quotes(&self, count: usize, round: usize) -> Result<Vec<Quote>, Failure> {
        (0..count).map(|n| quote(self.tenants[(round + n) % self.tenants.len()])).collect()
    }

    /// Quotes that are kept.
    async fn quoted(&self, count: usize, round: usize) -> Result<Vec<Quote>, Failure> {
        let quotes = self.quotes(count, round)?;
        self.side.answers(quotes.iter().map(|q| (q.tenant, Command::CreateQuote(q.clone()))).collect()).await?;
        Ok(quotes)
    }

    async fn create(&self, quotes: &[Quote]) -> Result<(Vec<Transfer>, Lap), Failure> {
        let commands = quotes.iter().map(|q| (q.tenant, Command::CreateTransfer(create(q)))).collect();
        let (answers, lap) = self.lap(self.side.answers(commands)).await?;
        let made: Vec<Transfer> = answers?.into_iter().map(transfer).collect::<Result<_, _>>()?;
        check(made.iter().all(|t| t.state == TransferState::Funded), "a transfer was not funded")?;
        Ok((made, lap))
    }

    async fn claim(&self, expected: usize) -> Result<(Vec<outbox::Claim>, Lap), Failure> {
        let asked = outbox::claim(&self.side.store.worker, EffectKind::OnRamp, DUE as i64, LEASE_MS);
        let (claims, lap) = self.lap(asked).await?;
        let claims = claims?;
        check(claims.len() == expected, "a claim found another number of effects")?;
        Ok((claims, lap))
    }

    async fn claim_and_give_back(&self) -> Result<Lap, Failure> {
        let (claims, lap) = self.claim(DUE).await?;
        let at_once: Vec<_> = claims.iter().map(|claim| (claim, 0)).collect();
        outbox::postpone(&self.side.store.worker, &at_once).await?;
        Ok(lap)
    }

    /// Takes the time of something.
    async fn lap<T>(&self, work: impl Future<Output = T>) -> Result<(T, Lap), Failure> {
        let from = self.log.map_or(Ok(0), plans::length)?;
        let begun = Instant::now();
        let came = work.await;
        let took = begun.elapsed();
        let mut to = 0;
        if let Some(log) = self.log {
            // A transaction that only read is ended when its connection is used again; then its plan is in the log.
            self.side.store.ping().await?;
            to = plans::length(log)?;
        }
        Ok((came, Lap { took, log: (from, to) }))
    }
}

fn check(fits: bool, otherwise: &str) -> Result<(), Failure> {
    if fits { Ok(()) } else { Err(Failure::new(otherwise)) }
}
