//! From domain types to the API's.

use settla_domain::account::{AccountId, AccountKind};
use settla_domain::money::{Currency, Money};
use settla_domain::position::Position;
use settla_domain::posting::PostingCode;
use settla_domain::quote::{Quote, QuoteTerms, SourcedRate};
use settla_domain::tenant::TenantNo;
use settla_domain::topup::Topup;
use settla_domain::transfer::{RefusedOrder, ReturnedPayout, Sale, Transfer};
use settla_domain::withdrawal::Withdrawal;
use settla_port::ledger::{LedgerAccount, PostingView};
use settla_port::quote::{PriceView, QuoteView, RateView, RouteView};
use settla_port::transfer::{BeneficiaryView, RefusedOrderView, ReturnedPayoutView, SaleView, TransferView};
use settla_port::treasury::{PositionView, TopupView, WithdrawalView};
use settla_rails::router::{Scores, Way};
use settla_store::read::PostingRow;

fn rate(rate: &SourcedRate, base: Currency, quote: Currency) -> RateView {
    RateView {
        pair: format!("{base}/{quote}"),
        rate: rate.rate.to_string(),
        source: rate.source.clone(),
        as_of: rate.as_of.to_rfc3339(),
    }
}

fn price(terms: &QuoteTerms) -> PriceView {
    let stable = terms.route.stablecoin;
    PriceView {
        source: terms.source.into(),
        on_ramp_fee: terms.on_ramp_fee.into(),
        off_ramp_fee: terms.off_ramp_fee.into(),
        debit: terms.debit.into(),
        bought: terms.bought.into(),
        sent: terms.sent.into(),
        spread: terms.spread.into(),
        rounding: terms.rounding.into(),
        destination: terms.destination.into(),
        rates: vec![
            rate(&terms.rate_on, terms.source.currency, stable),
            rate(&terms.rate_off, stable, terms.destination.currency),
        ],
        spread_bps: terms.spread_bps,
        on_ramp: terms.route.on_ramp.clone(),
        chain: terms.route.chain.clone(),
        off_ramp: terms.route.off_ramp.clone(),
    }
}

/// Scores to three digits: more would only seem exact.
pub(crate) fn route(way: &Way, scores: &Scores) -> RouteView {
    let rounded = |value: f64| (value * 1_000.0).round() / 1_000.0;
    RouteView {
        score: rounded(scores.total),
        cost: rounded(scores.cost),
        speed: rounded(scores.speed),
        liquidity: rounded(scores.liquidity),
        reliability: rounded(scores.reliability),
        expected_ms: scores.expected_ms.map(|ms| ms as u64),
        price: price(&way.terms),
    }
}

pub(crate) fn quote(quote: &Quote) -> QuoteView {
    QuoteView {
        id: quote.id,
        price: price(&quote.terms),
        created_at: quote.created_at.to_rfc3339(),
        expires_at: quote.expires_at.to_rfc3339(),
    }
}

pub(crate) fn transfer(transfer: &Transfer) -> TransferView {
    let progress = &transfer.progress;
    TransferView {
        id: transfer.id,
        state: transfer.state.name().to_owned(),
        version: transfer.version,
        quote_id: transfer.quote,
        reference: transfer.reference.clone(),
        beneficiary: BeneficiaryView {
            name: transfer.beneficiary.name.clone(),
            account: transfer.beneficiary.account.clone(),
            country: transfer.beneficiary.country.clone(),
        },
        settlement: transfer.settlement,
        price: price(&transfer.terms),
        delivered: progress.delivered.map(Into::into),
        delivery_tx: progress.delivery_tx.clone(),
        settlement_batch_id: progress.settlement_batch,
        settlement_tx: progress.settlement_tx.clone(),
        paid: progress.paid.map(Into::into),
        payout_reference: progress.payout_reference.clone(),
        return_tx: progress.return_tx.clone(),
        failure: progress.failure.clone(),
        refused_orders: progress.refused_orders.iter().map(refused_order).collect(),
        returned_payouts: progress.returned_payouts.iter().map(returned_payout).collect(),
        sale: progress.sale.as_ref().map(|s| sale(s, &transfer.terms)),
        created_at: transfer.created_at.to_rfc3339(),
        updated_at: transfer.updated_at.to_rfc3339(),
    }
}

fn refused_order(order: &RefusedOrder) -> RefusedOrderView {
    RefusedOrderView { provider: order.provider.clone(), reason: order.reason.clone() }
}

fn returned_payout(payout: &ReturnedPayout) -> ReturnedPayoutView {
    ReturnedPayoutView {
        provider: payout.provider.clone(),
        reason: payout.reason.clone(),
        settlement_tx: payout.settlement_tx.clone(),
        return_tx: payout.return_tx.clone(),
    }
}

fn sale(sale: &Sale, terms: &QuoteTerms) -> SaleView {
    let loss = terms.source.minor - sale.proceeds.minor;
    let sign = if loss < 0 { "-" } else { "" };
    SaleView {
        provider: sale.provider.clone(),
        rate: rate(&sale.rate, terms.route.stablecoin, terms.source.currency),
        proceeds: sale.proceeds.into(),
        paid: sale.is_paid(),
        fx_loss: format!("{sign}{}", Money::new(terms.source.currency, loss.abs()).decimal()),
        settlement_tx: sale.settlement_tx.clone(),
    }
}

pub(crate) fn position(currency: Currency, position: &Position) -> PositionView {
    let decimal = |minor| Money::new(currency, minor).decimal();
    PositionView {
        currency: currency.code().to_owned(),
        available: decimal(position.available),
        held: decimal(position.held),
        in_transit: decimal(position.in_transit),
    }
}

pub(crate) fn topup(topup: &Topup, pay_to: &str) -> TopupView {
    TopupView {
        id: topup.id,
        expected: topup.expected.into(),
        credited: Money::new(topup.expected.currency, topup.credited).into(),
        reference: topup.reference.clone(),
        pay_to: pay_to.to_owned(),
        created_at: topup.created_at.to_rfc3339(),
    }
}

pub(crate) fn withdrawal(withdrawal: &Withdrawal) -> WithdrawalView {
    WithdrawalView {
        id: withdrawal.id,
        amount: withdrawal.amount.into(),
        reference: withdrawal.reference.clone(),
        account: withdrawal.account_masked.clone(),
        state: withdrawal.state.name().to_owned(),
        failure: withdrawal.failure.clone(),
        created_at: withdrawal.created_at.to_rfc3339(),
        updated_at: withdrawal.updated_at.to_rfc3339(),
    }
}

pub(crate) const TENANT_KINDS: [AccountKind; 3] = [AccountKind::Available, AccountKind::Held, AccountKind::InTransit];

/// The tenant's three accounts in a currency. Their balances are the position's parts, which change by
/// postings alone.
pub(crate) fn accounts(tenant: TenantNo, currency: Currency, position: &Position) -> [LedgerAccount; 3] {
    let balances = [position.available, position.held, position.in_transit];
    std::array::from_fn(|i| LedgerAccount {
        id: format!("{currency}-{}", AccountId::tenant(tenant, TENANT_KINDS[i])),
        kind: TENANT_KINDS[i].name().to_owned(),
        currency: currency.code().to_owned(),
        balance: Money::new(currency, balances[i]).decimal(),
        at: None,
    })
}

pub(crate) fn posting(row: &PostingRow, transfer_id: Option<String>) -> PostingView {
    let account = |id: AccountId| {
        let kind = id.kind().map_or("unknown", AccountKind::name);
        if id.owner() == TenantNo::PLATFORM { format!("platform:{kind}") } else { kind.to_owned() }
    };
    PostingView {
        id: row.id,
        transfer_id,
        code: PostingCode::from_number(row.code).map_or("unknown", PostingCode::name).to_owned(),
        debit: account(row.debit),
        credit: account(row.credit),
        amount: row.amount.into(),
        at: row.at.to_rfc3339(),
    }
}
