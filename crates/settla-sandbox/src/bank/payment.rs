//! A payment out of an account.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    http::Problem,
    money::{Amount, Currency, Money},
};

/// Who is paid.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct PaymentBeneficiary {
    name: String,
    account: String,
}

/// `POST /v1/payments`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct PaymentRequest {
    pub(crate) account: String,
    currency: Currency,
    amount: Amount,
    pub(crate) reference: String,
    beneficiary: PaymentBeneficiary,
}

impl PaymentRequest {
    pub(crate) fn money(&self) -> Money {
        Money { currency: self.currency, amount: self.amount }
    }

    pub(crate) fn counterparty(&self) -> String {
        self.beneficiary.name.clone()
    }

    pub(crate) fn check(&self) -> Result<(), Problem> {
        check_fiat(self.money())?;
        check_text("reference", &self.reference)?;
        check_text("beneficiary.name", &self.beneficiary.name)?;
        check_text("beneficiary.account", &self.beneficiary.account)
    }
}

/// Where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PaymentStatus {
    Pending,
    Executed,
    Rejected(String),
}

/// A payment in the book.
pub(crate) struct Payment {
    pub(crate) id: Uuid,
    pub(crate) request: PaymentRequest,
    pub(crate) due_ms: u64,
    pub(crate) status: PaymentStatus,
}

impl Payment {
    /// As answered and announced.
    pub(crate) fn to_json(&self) -> Value {
        let (status, reason) = match &self.status {
            PaymentStatus::Pending => ("pending", None),
            PaymentStatus::Executed => ("executed", None),
            PaymentStatus::Rejected(reason) => ("rejected", Some(reason)),
        };
        json!({ "payment": {
            "id": self.id,
            "client_reference": self.request.reference,
            "status": status,
            "reason": reason,
            "currency": self.request.currency,
            "amount": self.request.amount,
        }})
    }
}

/// A positive amount of a currency that the bank keeps.
pub(crate) fn check_fiat(money: Money) -> Result<(), Problem> {
    match (money.currency.is_fiat(), money.amount.0) {
        (false, _) => Err(Problem::unprocessable("unsupported_currency", "Send a fiat currency.")),
        (true, 0) => Err(Problem::unprocessable("invalid_amount", "The amount must be positive.")),
        (true, _) => Ok(()),
    }
}

/// A name, reference or account number.
pub(crate) fn check_text(field: &'static str, text: &str) -> Result<(), Problem> {
    if (1..=140).contains(&text.len()) && !text.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(Problem::unprocessable(
            "invalid_text",
            format!("{field} must have 1 to 140 bytes and no control characters."),
        ))
    }
}
