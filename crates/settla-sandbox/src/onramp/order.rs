//! An on-ramp order: fiat by direct debit for tokens on chain.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use settla_evm::{Address, TxHash};
use uuid::Uuid;

use crate::{
    bank::{check_fiat, check_text},
    fx::rates::stable_for_fiat,
    http::Problem,
    magic::Behaviour,
    money::{Currency, Money},
};

/// `POST /v1/orders`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct OrderRequest {
    pub(crate) client_order_id: Uuid,
    pub(crate) source: Money,
    pub(crate) destination: Money,
    pub(crate) wallet_address: Address,
    pub(crate) bank_account: String,
}

impl OrderRequest {
    /// What can be refused before anything is recorded.
    pub(crate) fn check(&self, token: Address) -> Result<(), Problem> {
        check_fiat(self.source)?;
        check_tokens(self.destination)?;
        check_payee("wallet_address", self.wallet_address, token)?;
        check_text("bank_account", &self.bank_account)
    }

    /// Whether the tokens asked for are within two per cent of what this rate gives.
    pub(crate) fn is_near(&self, rate_e8: u128) -> bool {
        let expected = stable_for_fiat(self.source.amount.0, rate_e8);
        expected.abs_diff(self.destination.amount.0) * 50 <= expected
    }
}

/// A positive amount of the token that the sandbox delivers.
pub(crate) fn check_tokens(money: Money) -> Result<(), Problem> {
    match (money.currency, money.amount.0) {
        (Currency::Usdc, 0) => Err(Problem::unprocessable("invalid_amount", "The amount must be positive.")),
        (Currency::Usdc, _) => Ok(()),
        _ => Err(Problem::unprocessable("unsupported_currency", "Only USDC is delivered and taken.")),
    }
}

/// An address that tokens can be sent to without being lost.
pub(crate) fn check_payee(field: &'static str, address: Address, token: Address) -> Result<(), Problem> {
    if address == Address::ZERO || address == token {
        return Err(Problem::unprocessable("invalid_address", format!("{field} cannot receive tokens.")));
    }
    Ok(())
}

/// Where an order stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum OrderStatus {
    /// Accepted; nothing has moved.
    Accepted,
    /// The fiat is taken, the tokens are to go.
    Debited,
    /// The tokens are in a batch.
    Delivering { batch: Uuid },
    /// The tokens are on chain.
    Completed { batch: Uuid, tx_hash: TxHash },
    /// Nothing has moved and nothing will.
    Rejected { reason: String },
}

/// An order in the book.
pub(crate) struct Order {
    pub(crate) request: OrderRequest,
    pub(crate) behaviour: Behaviour,
    pub(crate) accepted_ms: u64,
    pub(crate) due_ms: u64,
    pub(crate) status: OrderStatus,
    /// Tokens to be delivered, decided with the debit.
    pub(crate) deliver: u128,
}

impl Order {
    /// As answered and announced.
    pub(crate) fn to_json(&self) -> Value {
        let (status, reason, delivery) = match &self.status {
            OrderStatus::Accepted | OrderStatus::Debited | OrderStatus::Delivering { .. } => ("pending", None, None),
            OrderStatus::Completed { batch, tx_hash } => {
                let delivery = json!({ "id": batch, "tx_hash": tx_hash, "amount": self.deliver.to_string() });
                ("completed", None, Some(delivery))
            }
            OrderStatus::Rejected { reason } => ("rejected", Some(reason), None),
        };
        json!({ "order": {
            "client_order_id": self.request.client_order_id,
            "status": status,
            "reason": reason,
            "source": self.request.source,
            "destination": self.request.destination,
            "delivery": delivery,
        }})
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Currency, Money, OrderRequest, Uuid};

    #[test]
    fn two_per_cent_off_the_rate_is_the_limit() {
        let near = |tokens| {
            let request = OrderRequest {
                client_order_id: Uuid::nil(),
                source: Money::new(Currency::Gbp, 10_000),
                destination: Money::new(Currency::Usdc, tokens),
                wallet_address: Address([1; 20]),
                bank_account: "a".to_owned(),
            };
            request.is_near(127_310_000)
        };
        assert!(near(127_310_000) && near(129_856_200) && near(124_763_800));
        assert!(!near(129_856_201) && !near(124_763_799) && !near(1));
    }
}
