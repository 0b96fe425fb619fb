//! One of each thing that the API shows. The documentation has them as its examples, so an example has always the type
//! of the answer; doubles of the port in tests answer with them.

use settla_domain::event::TEST_EVENT_TYPE;
use settla_domain::id::{
    BatchId, DeliveryId, EndpointId, EventId, KeyId, PostingId, QuoteId, RedeliveryId, TenantId, TopupId, TransferId,
    WithdrawalId,
};
use settla_domain::transfer::Settlement;
use settla_port::api_key::{ApiKeyStatus, ApiKeyView};
use settla_port::caller::{FeeView, LimitView, Me, RateLimitView, Scope};
use settla_port::ledger::{LedgerAccount, PostingView};
use settla_port::quote::{AmountView, PriceView, QuoteView, RateView, RouteView};
use settla_port::rate_limit::RateLimits;
use settla_port::settlement::{SettlementBatchView, SettlementMemberView};
use settla_port::transfer::{BeneficiaryView, TransferEvent, TransferView};
use settla_port::treasury::{PositionView, TopupView, WithdrawalView};
use settla_port::webhook::{AttemptView, DeliveryView, EndpointView, RedeliveryView};
use uuid::Uuid;

const AT: &str = "2026-11-21T12:00:00Z";
const LATER: &str = "2026-11-21T12:00:30Z";

fn uuid() -> Uuid {
    Uuid::from_u128(0x0193_9d2a_7f0e_7c4e_9a53_a1c2_b3d4_e5f6)
}

fn amount(currency: &str, amount: &str) -> AmountView {
    AmountView { currency: currency.into(), amount: amount.into() }
}

fn rate(pair: &str, rate: &str, source: &str) -> RateView {
    RateView { pair: pair.into(), rate: rate.into(), source: source.into(), as_of: AT.into() }
}

/// A transaction hash, told from others by one digit.
fn transaction(digit: char) -> String {
    format!("0x{}", digit.to_string().repeat(64))
}

fn price() -> PriceView {
    PriceView {
        source: amount("GBP", "1250.00"),
        on_ramp_fee: amount("GBP", "5.00"),
        off_ramp_fee: amount("GBP", "4.38"),
        debit: amount("GBP", "1259.38"),
        bought: amount("USDC", "1591.375000"),
        sent: amount("USDC", "1588.192250"),
        spread: amount("USDC", "3.182750"),
        rounding: amount("USDC", "0.000000"),
        destination: amount("NGN", "2500005.18"),
        rates: vec![rate("GBP/USDC", "1.2731", "harbour"), rate("USDC/NGN", "1574.12", "meridian")],
        spread_bps: 20,
        on_ramp: "harbour".into(),
        chain: "eip155:43113".into(),
        off_ramp: "meridian".into(),
    }
}

/// A way to take.
pub fn route() -> RouteView {
    RouteView {
        score: 96.4,
        cost: 1.0,
        speed: 0.88,
        liquidity: 1.0,
        reliability: 1.0,
        expected_ms: Some(3_420),
        price: price(),
    }
}

/// A quote.
pub fn quote() -> QuoteView {
    QuoteView { id: QuoteId(uuid()), price: price(), created_at: AT.into(), expires_at: LATER.into() }
}

/// A transfer that has just been created.
pub fn transfer() -> TransferView {
    TransferView {
        id: TransferId(uuid()),
        state: "FUNDED".into(),
        version: 1,
        quote_id: QuoteId(uuid()),
        reference: "INV-2026-0042".into(),
        beneficiary: BeneficiaryView { name: "C***".into(), account: "****4579".into(), country: "NG".into() },
        settlement: Settlement::Batched,
        price: price(),
        delivered: None,
        delivery_tx: None,
        settlement_batch_id: None,
        settlement_tx: None,
        paid: None,
        payout_reference: None,
        return_tx: None,
        failure: None,
        refused_orders: Vec::new(),
        returned_payouts: Vec::new(),
        sale: None,
        created_at: AT.into(),
        updated_at: AT.into(),
    }
}

/// A transfer that has arrived.
pub fn completed_transfer() -> TransferView {
    TransferView {
        state: "COMPLETED".into(),
        version: 5,
        delivered: Some(amount("USDC", "1591.375000")),
        delivery_tx: Some(transaction('a')),
        settlement_batch_id: Some(BatchId(uuid())),
        settlement_tx: Some(transaction('b')),
        paid: Some(amount("NGN", "2500005.18")),
        payout_reference: Some("MRD-7Q2M0W3K".into()),
        updated_at: LATER.into(),
        ..transfer()
    }
}

/// A transfer that was called off.
pub fn cancelled_transfer() -> TransferView {
    TransferView { state: "CANCELLED".into(), version: 2, updated_at: LATER.into(), ..transfer() }
}

/// Something that happened to a transfer.
pub fn event() -> TransferEvent {
    let transfer = completed_transfer();
    TransferEvent {
        id: EventId(uuid()),
        sequence: 1_042,
        kind: "transfer.completed".into(),
        at: LATER.into(),
        data: serde_json::json!({ "id": transfer.id, "state": transfer.state, "reference": transfer.reference }),
    }
}

/// A settlement batch.
pub fn settlement_batch() -> SettlementBatchView {
    SettlementBatchView {
        id: BatchId(uuid()),
        status: "done".into(),
        closed_by: "window".into(),
        chain: "eip155:43113".into(),
        off_ramp: "meridian".into(),
        token: "0x5425890298aed601595a70AB815c96711a31Bc65".into(),
        destination: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".into(),
        settlement_tx: Some(transaction('b')),
        transactions: vec![transaction('c'), transaction('b')],
        manifest_hash: transaction('d'),
        amount: amount("USDC", "1586.601125"),
        member_count: 1,
        members: Some(vec![SettlementMemberView {
            transfer_id: TransferId(uuid()),
            amount: amount("USDC", "1586.601125"),
        }]),
        failure: None,
        created_at: AT.into(),
        updated_at: LATER.into(),
    }
}

/// A position.
pub fn position() -> PositionView {
    PositionView {
        currency: "GBP".into(),
        available: "98740.62".into(),
        held: "1259.38".into(),
        in_transit: "0.00".into(),
    }
}

/// A top-up that waits for the bank.
pub fn topup() -> TopupView {
    TopupView {
        id: TopupId(uuid()),
        expected: amount("GBP", "100000.00"),
        credited: amount("GBP", "0.00"),
        reference: "STU7Q2M0W3KX9A1BZC".into(),
        pay_to: "settla-client-money".into(),
        created_at: AT.into(),
    }
}

/// A withdrawal on its way.
pub fn withdrawal() -> WithdrawalView {
    WithdrawalView {
        id: WithdrawalId(uuid()),
        amount: amount("GBP", "500.00"),
        reference: "WD-2026-0007".into(),
        account: "****9911".into(),
        state: "PENDING".into(),
        failure: None,
        created_at: AT.into(),
        updated_at: AT.into(),
    }
}

/// A ledger account.
pub fn ledger_account() -> LedgerAccount {
    LedgerAccount {
        id: "GBP-00000007000100000000000000000000".into(),
        kind: "available".into(),
        currency: "GBP".into(),
        balance: "98740.62".into(),
        at: None,
    }
}

/// A posting.
pub fn posting() -> PostingView {
    PostingView {
        id: PostingId(uuid()),
        transfer_id: Some(TransferId(uuid()).to_string()),
        code: "hold".into(),
        debit: "available".into(),
        credit: "held".into(),
        amount: amount("GBP", "1259.38"),
        at: AT.into(),
    }
}

/// An API key that has just been made.
pub fn new_api_key() -> ApiKeyView {
    ApiKeyView {
        id: KeyId(uuid()),
        name: "payouts worker".into(),
        hint: "sk_test_****3f9a".into(),
        scopes: vec![Scope::Read, Scope::Quotes, Scope::Transfers],
        allowed_ips: vec!["203.0.113.0/24".into()],
        status: ApiKeyStatus::Active,
        created_at: AT.into(),
        expires_at: Some("2027-11-21T12:00:00Z".into()),
        revoked_at: None,
        last_used_at: None,
        made_by: Some(KeyId(Uuid::from_u128(0x0193_9d2a_6e10_7b1a_8c42_1f0e_9d8c_7b6a))),
        replaces: None,
    }
}

/// An API key that is in use.
pub fn api_key() -> ApiKeyView {
    ApiKeyView { last_used_at: Some(LATER.into()), ..new_api_key() }
}

/// A webhook endpoint.
pub fn endpoint() -> EndpointView {
    EndpointView {
        id: EndpointId(uuid()),
        url: "https://api.example.com/hooks/settla".into(),
        events: vec!["transfer.completed".into()],
        status: "enabled".into(),
        old_secret_until: None,
        created_at: AT.into(),
    }
}

/// A delivery that went through at the second attempt.
pub fn delivery() -> DeliveryView {
    let timeout =
        AttemptView { number: 1, at: AT.into(), status: None, error: Some("timeout".into()), latency_ms: 15_000 };
    let success = AttemptView { number: 2, at: LATER.into(), status: Some(200), error: None, latency_ms: 84 };
    DeliveryView {
        id: DeliveryId(uuid()),
        endpoint_id: EndpointId(uuid()),
        event_id: EventId(uuid()),
        event_type: "transfer.completed".into(),
        sequence: Some(1_042),
        redelivery: 0,
        status: "delivered".into(),
        attempts: vec![timeout, success],
        next_attempt_at: None,
        created_at: AT.into(),
    }
}

/// A delivery that has just been made.
pub fn new_delivery() -> DeliveryView {
    let status = "pending".to_owned();
    DeliveryView { redelivery: 1, status, attempts: Vec::new(), next_attempt_at: Some(AT.into()), ..delivery() }
}

/// A delivery of a test event that has just been made.
pub fn test_delivery() -> DeliveryView {
    DeliveryView { event_type: TEST_EVENT_TYPE.into(), sequence: None, redelivery: 0, ..new_delivery() }
}

/// A range of events that is delivered again.
pub fn redelivery() -> RedeliveryView {
    RedeliveryView {
        id: RedeliveryId(uuid()),
        endpoint_id: EndpointId(uuid()),
        from_sequence: 1_000,
        to_sequence: 1_042,
        deliveries: 17,
        created_at: AT.into(),
    }
}

/// A caller with these scopes.
pub fn me(scopes: &[Scope]) -> Me {
    Me {
        tenant_id: TenantId(uuid()),
        name: "Lemfi".into(),
        status: "active".into(),
        environment: "test".into(),
        key_id: KeyId(uuid()),
        scopes: scopes.to_vec(),
        fees: vec![FeeView {
            currency: "GBP".into(),
            on_ramp_bps: 40,
            off_ramp_bps: 35,
            minimum: "0.50".into(),
            maximum: "250.00".into(),
        }],
        limits: vec![LimitView {
            currency: "GBP".into(),
            per_transfer: "10000.00".into(),
            per_day: "100000.00".into(),
            pending: "50000.00".into(),
        }],
        rate_limits: RateLimitView::all(&RateLimits::default()),
    }
}
