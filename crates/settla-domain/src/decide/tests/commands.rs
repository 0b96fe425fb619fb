//! Tenants, prices, ids and findings for tests.

use crate::beneficiary::MaskedBeneficiary;
use crate::decide::Report;
use crate::effect::EffectKind;
use crate::fee::FeeSchedule;
use crate::finding::{Finding, SaleOffer};
use crate::id::BatchId;
use crate::limit::Limits;
use crate::money::{Currency, Money};
use crate::quote::{AmountSide, Fallbacks, PriceRequest, QuoteTerms, Route, SourcedRate, price};
use crate::refusal::Refusal;
use crate::tenant::{TenantNo, TenantStatus, TenantTerms};
use crate::time::Timestamp;
use uuid::Uuid;

pub(super) const A: TenantNo = TenantNo(7);
pub(super) const B: TenantNo = TenantNo(8);
pub(super) const DAY_MS: i64 = 86_400_000;
/// Noon of some day.
pub(super) const NOON: Timestamp = Timestamp(20_000 * DAY_MS * 1_000 + DAY_MS * 500);
/// Limits that no test reaches by accident.
pub(super) const WIDE: Limits = Limits { per_transfer: i64::MAX, per_day: i64::MAX, pending: i64::MAX };
/// The currencies that tenants of the tests send.
pub(super) const SOURCES: [Currency; 4] = [Currency::GBP, Currency::EUR, Currency::JPY, Currency::KWD];

/// A distinct id, of which all but the last two bytes count, as in a UUIDv7.
pub(super) fn uuid(number: u64) -> Uuid {
    Uuid::from_u128(0x0193_aaaa_0000_7000_8000_0000_0000_0000 | (u128::from(number) << 16) | 0xbeef)
}

pub(super) fn terms(spread_bps: u16, schedule: FeeSchedule, limits: Limits) -> TenantTerms {
    let fees = SOURCES.into_iter().map(|c| (c, schedule)).collect();
    let limits = SOURCES.into_iter().map(|c| (c, limits)).collect();
    TenantTerms { status: TenantStatus::Active, spread_bps, fees, limits }
}

/// Half a per cent of spread, 40 and 35 basis points of fees.
pub(super) fn usual(limits: Limits) -> TenantTerms {
    terms(50, FeeSchedule { on_ramp_bps: 40, off_ramp_bps: 35, minimum: 0, maximum: i64::MAX }, limits)
}

/// No spread and no fees: what moves nothing must not be posted.
pub(super) fn free(limits: Limits) -> TenantTerms {
    terms(0, FeeSchedule { on_ramp_bps: 0, off_ramp_bps: 0, minimum: 0, maximum: 0 }, limits)
}

pub(super) fn gbp(minor: i128) -> Money {
    Money::new(Currency::GBP, minor)
}

/// Major units of a currency in a dollar-like stablecoin.
fn worth(currency: Currency) -> &'static str {
    match currency {
        Currency::GBP => "1.2731",
        Currency::EUR => "1.0807",
        Currency::JPY => "0.006611",
        Currency::KWD => "3.2541",
        _ => "1",
    }
}

/// Major units of a currency for one of a dollar-like stablecoin.
fn pays(currency: Currency) -> &'static str {
    match currency {
        Currency::NGN => "1543.21",
        Currency::KES => "129.37",
        Currency::GHS => "15.51",
        Currency::JPY => "151.26",
        Currency::KWD => "0.30731",
        _ => "1",
    }
}

/// The rate at which the one is worth the other, to eight decimals.
pub(super) fn rate_text(one: Money, other: Money) -> String {
    let e8 = other.minor * 10i128.pow(one.currency.scale() + 8) / (one.minor * 10i128.pow(other.currency.scale()));
    let e8 = e8.max(1);
    format!("{}.{:08}", e8 / 100_000_000, e8 % 100_000_000)
}

/// The price of sending `amount` to `destination` over `stable`.
pub(super) fn priced(
    tenant: &TenantTerms,
    amount: Money,
    destination: Currency,
    stable: Currency,
    now: Timestamp,
) -> Result<QuoteTerms, Refusal> {
    let rate = |text: &str| SourcedRate { rate: text.parse().unwrap(), source: "test".into(), as_of: now };
    let route = Route {
        on_ramp: "harbour".into(),
        stablecoin: stable,
        chain: "eip155:43113".into(),
        off_ramp: "meridian".into(),
    };
    let (source, side) = (amount.currency, AmountSide::Source);
    let (rate_on, rate_off) = (rate(worth(source)), rate(pays(destination)));
    let fallbacks = Fallbacks::default();
    let request =
        PriceRequest { side, amount, source, destination, route, fallbacks, rate_on, rate_off, rate_age_ms_max: 1_000 };
    price(&request, tenant, now)
}

/// Somebody who is paid in this currency.
pub(super) fn beneficiary(paid: Currency) -> MaskedBeneficiary {
    let countries = [("NG", Currency::NGN), ("KE", Currency::KES), ("JP", Currency::JPY), ("KW", Currency::KWD)];
    let (country, _) = countries.into_iter().find(|(_, money)| *money == paid).unwrap_or(countries[0]);
    MaskedBeneficiary { name: "J***".into(), account: "****4567".into(), country: country.into() }
}

pub(super) fn report(tenant: TenantNo, subject: Uuid, kind: EffectKind, finding: Finding) -> Report {
    Report { tenant, subject, effect: kind.id_for(subject), finding }
}

pub(super) fn delivered(amount: Money) -> Finding {
    Finding::Delivered { amount, tx: "0xd1".into() }
}

pub(super) fn settled() -> Finding {
    Finding::Settled { batch: BatchId(Uuid::from_u128(5)), tx: "0x5e".into() }
}

pub(super) fn paid(amount: Money) -> Finding {
    Finding::PaidOut { amount, reference: "P1".into() }
}

pub(super) fn returning() -> Finding {
    Finding::Returning { reason: "account_closed".into() }
}

pub(super) fn returned(amount: Money) -> Finding {
    Finding::Returned { amount, tx: "0x4e".into(), reason: "account_closed".into(), offer: None }
}

/// Sent back for no fault of the beneficiary's, while somebody would buy the tokens for so much of the source currency.
pub(super) fn sent_back(amount: Money, offer: Option<&str>, now: Timestamp) -> Finding {
    let rate = |text: &str| SourcedRate { rate: text.parse().unwrap(), source: "solano".into(), as_of: now };
    let offer = offer.map(|text| SaleOffer { provider: "solano".into(), rate: rate(text) });
    Finding::Returned { amount, tx: "0x4e".into(), reason: "declined".into(), offer }
}

pub(super) fn refused() -> Finding {
    Finding::Refused { reason: "declined".into() }
}

pub(super) fn unresolved() -> Finding {
    Finding::Unresolved { reason: "no_answer".into() }
}
