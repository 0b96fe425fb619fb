//! What the store's and the runner's tests seed a database with, and the check of the books that every test
//! which moves money ends with.

pub mod check;

use settla_domain::beneficiary::MaskedBeneficiary;
use settla_domain::decide::{Command, CreateTransfer, Report};
use settla_domain::effect::EffectKind;
use settla_domain::fee::FeeSchedule;
use settla_domain::finding::Finding;
use settla_domain::id::{BatchId, QuoteId, TenantId, TopupId, TransferId, WithdrawalId};
use settla_domain::limit::Limits;
use settla_domain::money::{Currency, Money};
use settla_domain::quote::{AmountSide, Fallbacks, PriceRequest, Quote, Route, SourcedRate, price};
use settla_domain::tenant::{TenantNo, TenantStatus, TenantTerms};
use settla_domain::time::Timestamp;
use settla_domain::topup::{BankCredit, Topup, reference_for};
use settla_domain::transfer::{Settlement, Transfer};
use settla_domain::withdrawal::{Withdrawal, WithdrawalState};
use settla_store::{Store, StoreConfig, operator};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

const FEES: FeeSchedule = FeeSchedule { on_ramp_bps: 40, off_ramp_bps: 35, minimum: 10, maximum: 1_000_000 };
const LIMITS: Limits = Limits { per_transfer: 1_000_000_000, per_day: 1_000_000_000_000, pending: 1_000_000_000_000 };
const SPREAD_BPS: u16 = 50;

/// The wall clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since.as_micros()).unwrap())
}

/// The store of a database.
pub async fn open(url: &str) -> Store {
    Store::open(&StoreConfig::new(url)).await.unwrap()
}

/// An active tenant that may send pounds.
pub async fn tenant(store: &Store, slug: &str) -> TenantNo {
    let new = operator::NewTenant {
        status: settla_domain::tenant::TenantStatus::Active,
        id: TenantId(Uuid::now_v7()),
        slug,
        name: slug,
        spread_bps: SPREAD_BPS,
        currencies: &[(Currency::GBP, FEES, LIMITS)],
        actor: "test",
    };
    operator::create_tenant(&store.operator, &new, |number| number.0.to_be_bytes().to_vec()).await.unwrap()
}

/// So many pence.
pub fn pence(minor: i128) -> Money {
    Money::new(Currency::GBP, minor)
}

/// A quote for exchanging so many pence into naira. What it debits is in its terms.
pub fn quote(tenant: TenantNo, source_minor: i128) -> Quote {
    let now = now();
    let rate = |text: &str| SourcedRate { rate: text.parse().unwrap(), source: "test".into(), as_of: now };
    let route = Route {
        on_ramp: "harbour".into(),
        stablecoin: Currency::USDC,
        chain: "eip155:43113".into(),
        off_ramp: "meridian".into(),
    };
    let request = PriceRequest {
        side: AmountSide::Source,
        amount: pence(source_minor),
        source: Currency::GBP,
        destination: Currency::NGN,
        route,
        fallbacks: Fallbacks::default(),
        rate_on: rate("1.2731"),
        rate_off: rate("1543.77"),
        rate_age_ms_max: 5_000,
    };
    let terms = TenantTerms {
        status: TenantStatus::Active,
        spread_bps: SPREAD_BPS,
        fees: [(Currency::GBP, FEES)].into(),
        limits: [(Currency::GBP, LIMITS)].into(),
    };
    let terms = price(&request, &terms, now).unwrap();
    let expires_at = now.plus_ms(300_000);
    Quote { id: QuoteId(Uuid::now_v7()), tenant, terms, created_at: now, expires_at, used: false }
}

/// The wish to start a transfer from a quote.
pub fn create(quote: &Quote) -> CreateTransfer {
    let beneficiary = MaskedBeneficiary { name: "J***".into(), account: "****4567".into(), country: "NG".into() };
    let id = TransferId(Uuid::now_v7());
    CreateTransfer {
        tenant: quote.tenant,
        id,
        quote: quote.id,
        reference: "INV-1".into(),
        beneficiary,
        settlement: Settlement::Batched,
    }
}

/// A top-up with the bank's credit for it: money in.
pub fn funding(tenant: TenantNo, minor: i128) -> [Command; 2] {
    let id = TopupId(Uuid::now_v7());
    let reference = reference_for(id);
    let topup =
        Topup { id, tenant, expected: pence(minor), credited: 0, reference: reference.clone(), created_at: now() };
    let credit = BankCredit { entry_id: format!("entry-{}", id.0), reference, amount: pence(minor) };
    [Command::CreateTopup(topup), Command::BankCredit { id: Uuid::now_v7(), credit, sale_of: None }]
}

/// A wish to withdraw so many pence.
pub fn withdrawal(tenant: TenantNo, minor: i128, reference: &str) -> Withdrawal {
    let now = now();
    Withdrawal {
        id: WithdrawalId(Uuid::now_v7()),
        tenant,
        amount: pence(minor),
        reference: reference.to_owned(),
        account_masked: "****4567".to_owned(),
        state: WithdrawalState::Pending,
        failure: None,
        created_at: now,
        updated_at: now,
    }
}

/// A finding about one of a transfer's effects.
pub fn report(transfer: &Transfer, kind: EffectKind, finding: Finding) -> Report {
    Report { tenant: transfer.tenant, subject: transfer.id.0, effect: kind.id_for(transfer.id.0), finding }
}

/// What workers find on the way of a transfer that completes, in order.
pub fn findings_to_completion(transfer: &Transfer) -> [Report; 5] {
    let tx = || format!("0x{}", "ab".repeat(32));
    let paid = Finding::PaidOut { amount: transfer.terms.destination, reference: "P1".into() };
    [
        report(transfer, EffectKind::OnRamp, Finding::Accepted),
        report(transfer, EffectKind::OnRamp, Finding::Delivered { amount: transfer.terms.bought, tx: tx() }),
        report(transfer, EffectKind::Settle, Finding::Settled { batch: BatchId(Uuid::now_v7()), tx: tx() }),
        report(transfer, EffectKind::OffRamp, Finding::Accepted),
        report(transfer, EffectKind::OffRamp, paid),
    ]
}
