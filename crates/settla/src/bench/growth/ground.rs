//! The database that is filled, its tenants, and what is asked of it.

use crate::failure::Failure;
use crate::operator::Terms;
use futures_util::future::join_all;
use settla_devkit::{Postgres, PostgresSettings};
use settla_domain::beneficiary::MaskedBeneficiary;
use settla_domain::decide::{Answer, Command, CreateTransfer, Report};
use settla_domain::effect::EffectKind;
use settla_domain::finding::Finding;
use settla_domain::id::{BatchId, QuoteId, TenantId, TopupId, TransferId};
use settla_domain::limit::Limits;
use settla_domain::money::{Currency, Money};
use settla_domain::quote::{AmountSide, Fallbacks, PriceRequest, Quote, Route, SourcedRate, price};
use settla_domain::tenant::{TenantNo, TenantStatus, TenantTerms};
use settla_domain::topup::{BankCredit, Topup, reference_for};
use settla_domain::transfer::{Settlement, Transfer};
use settla_server::clock::now;
use settla_server::runner::{Envelope, Runner};
use settla_store::operator::{self, NewTenant};
use settla_store::{Store, StoreConfig, read};
use sqlx::{Connection, PgConnection};
use std::path::Path;
use uuid::Uuid;

/// Tenants that the transfers are spread over.
pub(super) const TENANTS: usize = 50;
const DATABASE: &str = "settla";
const ACTOR: &str = "settla bench";
/// What a transfer sends, and what each tenant has to spend, in pence.
const AMOUNT_MINOR: i128 = 10_000;
const FUNDS_MINOR: i128 = 1_000_000_000_000;
const UNHINDERED: i64 = 1_000_000_000_000_000;
/// How long a quote holds.
const QUOTE_LIFETIME_MS: i64 = 300_000;
const RATE_AGE_MS_MAX: i64 = 5_000;

/// A durable cluster of its own.
pub(super) struct Ground {
    pub cluster: Postgres,
}

impl Ground {
    pub async fn start(folder: &Path) -> Result<Self, Failure> {
        let cluster = Postgres::start(folder, PostgresSettings::DURABLE).await?;
        cluster.create_database(DATABASE).await?;
        Ok(Self { cluster })
    }

    /// Stops it and removes its data: gigabytes that tell nothing the report does not.
    pub async fn clear(self) -> Result<(), Failure> {
        self.cluster.stop().await?;
        Ok(std::fs::remove_dir_all(self.cluster.data())?)
    }

    /// As the platform opens it.
    pub async fn store(&self) -> Result<Store, Failure> {
        Ok(Store::open(&StoreConfig::new(self.cluster.url(DATABASE))).await?)
    }

    /// With more start-up options, and one connection for requests and one for workers, so that what was done on one of
    /// them has been done when it does the next thing.
    pub async fn store_with(&self, options: &[(&str, &str)]) -> Result<Store, Failure> {
        let mut url = self.cluster.url(DATABASE);
        for (name, value) in options {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&format!("options[{name}]={value}"));
        }
        Ok(Store::open(&StoreConfig { app_connections: 1, worker_connections: 1, ..StoreConfig::new(url) }).await?)
    }

    /// The superuser.
    pub async fn superuser(&self) -> Result<PgConnection, Failure> {
        let mut superuser = PgConnection::connect(&self.cluster.url(DATABASE)).await?;
        sqlx::raw_sql("SET search_path = settla; SET timezone = 'UTC'").execute(&mut superuser).await?;
        Ok(superuser)
    }
}

/// The database through which measurements are made.
pub(super) struct Side {
    pub store: Store,
    pub runner: Runner,
}

impl Side {
    pub fn new(store: Store) -> Result<Self, Failure> {
        let runner = Runner::start(store.clone())?;
        Ok(Self { store, runner })
    }

    /// The answers to commands that come at the same time and must be taken.
    pub async fn answers(&self, commands: Vec<(TenantNo, Command)>) -> Result<Vec<Answer>, Failure> {
        let submitted = commands.into_iter().map(|(tenant, command)| self.runner.submit(request(tenant, command)));
        let decided = join_all(submitted).await;
        decided.into_iter().map(|decided| Ok(decided?.answer)).collect()
    }

    async fn answer(&self, tenant: TenantNo, command: Command) -> Result<Answer, Failure> {
        let mut answers = self.answers(vec![(tenant, command)]).await?;
        answers.pop().ok_or_else(|| Failure::new("no answer"))
    }

    /// Sets the tenants up as an operator would, and gives them money.
    pub async fn tenants(&self) -> Result<Vec<TenantNo>, Failure> {
        let terms = terms();
        let currencies = [(Currency::GBP, terms.fees[&Currency::GBP], terms.limits[&Currency::GBP])];
        let mut tenants = Vec::with_capacity(TENANTS);
        for number in 0..TENANTS {
            let slug = format!("growth-{number}");
            let id = TenantId(Uuid::now_v7());
            let new = NewTenant {
                status: TenantStatus::Active,
                id,
                slug: &slug,
                name: &slug,
                spread_bps: terms.spread_bps,
                currencies: &currencies,
                actor: ACTOR,
            };
            // Nobody's personal data is sealed here, so there is no key to wrap.
            let tenant = operator::create_tenant(&self.store.operator, &new, |_| Vec::new()).await?;
            self.fund(tenant).await?;
            tenants.push(tenant);
        }
        Ok(tenants)
    }

    async fn fund(&self, tenant: TenantNo) -> Result<(), Failure> {
        let (id, amount) = (TopupId(Uuid::now_v7()), Money::new(Currency::GBP, FUNDS_MINOR));
        let reference = reference_for(id);
        let topup =
            Topup { id, tenant, expected: amount, credited: 0, reference: reference.clone(), created_at: now() };
        self.answer(tenant, Command::CreateTopup(topup)).await?;
        let credit = BankCredit { entry_id: format!("growth-{}", id.0), reference, amount };
        let credit = Command::BankCredit { id: Uuid::now_v7(), credit, sale_of: None };
        match self.answer(tenant, credit).await? {
            Answer::Applied => Ok(()),
            other => Err(Failure::new(format!("a top-up was not credited: {other:?}"))),
        }
    }

    /// Has a transfer completed, by what workers would find on its way.
    pub async fn completed(&self, tenant: TenantNo) -> Result<Transfer, Failure> {
        let quote = quote(tenant)?;
        self.answer(tenant, Command::CreateQuote(quote.clone())).await?;
        let transfer = transfer(self.answer(tenant, Command::CreateTransfer(create(&quote))).await?)?;
        let tx = || format!("0x{}", "ab".repeat(32));
        let paid = Finding::PaidOut { amount: transfer.terms.destination, reference: "P1".to_owned() };
        let findings = [
            (EffectKind::OnRamp, Finding::Accepted),
            (EffectKind::OnRamp, Finding::Delivered { amount: transfer.terms.bought, tx: tx() }),
            (EffectKind::Settle, Finding::Settled { batch: BatchId(Uuid::now_v7()), tx: tx() }),
            (EffectKind::OffRamp, Finding::Accepted),
            (EffectKind::OffRamp, paid),
        ];
        for (kind, finding) in findings {
            match self.answer(tenant, report(tenant, transfer.id, kind, finding)).await? {
                Answer::Applied => {}
                other => return Err(Failure::new(format!("a finding was not applied: {other:?}"))),
            }
        }
        Ok(transfer)
    }

    /// What each tenant has free, and that nothing of it is on its way.
    pub async fn at_rest(&self, tenants: &[TenantNo]) -> Result<Vec<i128>, Failure> {
        let mut free = Vec::with_capacity(tenants.len());
        for tenant in tenants {
            for (currency, position) in read::positions(&self.store.app, *tenant).await? {
                if position.held != 0 || position.in_transit != 0 || position.usage.pending != 0 {
                    return Err(Failure::new(format!("tenant {} has {currency} on its way", tenant.0)));
                }
                free.push(position.available);
            }
        }
        Ok(free)
    }
}

/// As a request comes, with its key and its audit entry.
fn request(tenant: TenantNo, command: Command) -> Envelope {
    let id = Uuid::now_v7().to_string();
    Envelope {
        tenant,
        command,
        idempotency: Some((id.clone(), vec![7; 32])),
        sealed: None,
        audit: Some((ACTOR.to_owned(), id)),
    }
}

fn terms() -> TenantTerms {
    let usual = Terms::default();
    let limits = Limits { per_transfer: UNHINDERED, per_day: UNHINDERED, pending: UNHINDERED };
    TenantTerms {
        status: TenantStatus::Active,
        spread_bps: usual.spread_bps,
        fees: [(Currency::GBP, usual.fees)].into(),
        limits: [(Currency::GBP, limits)].into(),
    }
}

/// A quote for exchanging pounds into naira.
pub(super) fn quote(tenant: TenantNo) -> Result<Quote, Failure> {
    let now = now();
    let rate = |text: &str| -> Result<SourcedRate, Failure> {
        let rate = text.parse().map_err(|_| Failure::new("a rate that is none"))?;
        Ok(SourcedRate { rate, source: "bench".to_owned(), as_of: now })
    };
    let route = Route {
        on_ramp: "harbour".to_owned(),
        stablecoin: Currency::USDC,
        chain: "eip155:43113".to_owned(),
        off_ramp: "meridian".to_owned(),
    };
    let ask = PriceRequest {
        side: AmountSide::Source,
        amount: Money::new(Currency::GBP, AMOUNT_MINOR),
        source: Currency::GBP,
        destination: Currency::NGN,
        route,
        fallbacks: Fallbacks::default(),
        rate_on: rate("1.2731")?,
        rate_off: rate("1543.77")?,
        rate_age_ms_max: RATE_AGE_MS_MAX,
    };
    let terms = price(&ask, &terms(), now).map_err(|refusal| Failure::new(format!("no price: {refusal}")))?;
    let expires_at = now.plus_ms(QUOTE_LIFETIME_MS);
    Ok(Quote { id: QuoteId(Uuid::now_v7()), tenant, terms, created_at: now, expires_at, used: false })
}

/// The wish to start a transfer from a quote.
pub(super) fn create(quote: &Quote) -> CreateTransfer {
    CreateTransfer {
        tenant: quote.tenant,
        id: TransferId(Uuid::now_v7()),
        quote: quote.id,
        reference: "LIVE".to_owned(),
        beneficiary: MaskedBeneficiary {
            name: "J***".to_owned(),
            account: "****4567".to_owned(),
            country: "NG".to_owned(),
        },
        settlement: Settlement::Batched,
    }
}

/// What a worker found about a transfer's effect.
pub(super) fn report(tenant: TenantNo, transfer: TransferId, kind: EffectKind, finding: Finding) -> Command {
    Command::Report(Report { tenant, subject: transfer.0, effect: kind.id_for(transfer.0), finding })
}

/// The transfer of an answer.
pub(super) fn transfer(answer: Answer) -> Result<Transfer, Failure> {
    match answer {
        Answer::Transfer(transfer) => Ok(transfer),
        other => Err(Failure::new(format!("not a transfer: {other:?}"))),
    }
}
