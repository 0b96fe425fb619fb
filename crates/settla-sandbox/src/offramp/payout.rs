//! A payout: fiat to a beneficiary for tokens that have arrived.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use settla_evm::{Address, TxHash};
use uuid::Uuid;

use crate::{
    bank::{check_fiat, check_text},
    http::Problem,
    magic::Behaviour,
    money::Money,
    onramp::{check_payee, check_tokens},
};

/// Who is paid. Fields that the sandbox does not know are kept as they are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Beneficiary {
    name: String,
    account_number: String,
    bank_code: String,
    country: String,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

/// `POST /v1/payouts`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct PayoutRequest {
    pub(crate) client_payout_id: Uuid,
    pub(crate) source: Money,
    pub(crate) destination: Money,
    beneficiary: Beneficiary,
    pub(crate) settlement_tx_hash: TxHash,
    pub(crate) return_address: Address,
    /// What the beneficiary's statement says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remittance: Option<String>,
}

impl PayoutRequest {
    /// What can be refused before anything is recorded.
    pub(crate) fn check(&self, token: Address, deposit: Address) -> Result<(), Problem> {
        check_tokens(self.source)?;
        check_fiat(self.destination)?;
        check_payee("return_address", self.return_address, token)?;
        // Returning to ourselves would count the same tokens as received again.
        check_payee("return_address", self.return_address, deposit)?;
        check_text("beneficiary.name", &self.beneficiary.name)?;
        check_text("beneficiary.account_number", &self.beneficiary.account_number)?;
        // Where the account number is an IBAN, it names the bank already.
        if !self.beneficiary.bank_code.is_empty() {
            check_text("beneficiary.bank_code", &self.beneficiary.bank_code)?;
        }
        check_text("beneficiary.country", &self.beneficiary.country)?;
        self.remittance.as_deref().map_or(Ok(()), check_remittance)
    }

    pub(crate) fn account_number(&self) -> &str {
        &self.beneficiary.account_number
    }
}

/// Text that any payment scheme carries.
fn check_remittance(text: &str) -> Result<(), Problem> {
    let printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if printable && (1..=35).contains(&text.len()) {
        return Ok(());
    }
    Err(Problem::unprocessable("invalid_remittance", "remittance has 1 to 35 printable ASCII characters."))
}

/// Where a payout stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PayoutStatus {
    /// Accepted; waits for its tokens or its time.
    Pending,
    /// The beneficiary has the money.
    Paid { amount: Money, reference: String },
    /// Not paid, and never will be; the tokens are on their way back.
    Returning { reason: String, amount: u128 },
    /// Not paid, and never will be. `returned` names batch, transaction and amount, if tokens had come.
    Rejected { reason: String, returned: Option<(Uuid, TxHash, u128)> },
}

impl PayoutStatus {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid { .. } => "paid",
            Self::Returning { .. } => "returning",
            Self::Rejected { .. } => "rejected",
        }
    }
}

/// A payout in the book.
pub(crate) struct Payout {
    pub(crate) request: PayoutRequest,
    pub(crate) behaviour: Behaviour,
    pub(crate) accepted_ms: u64,
    pub(crate) due_ms: u64,
    pub(crate) status: PayoutStatus,
}

impl Payout {
    /// As answered and announced.
    pub(crate) fn to_json(&self) -> Value {
        let (mut reason, mut paid, mut back) = (None, None, None);
        match &self.status {
            PayoutStatus::Pending => {}
            PayoutStatus::Paid { amount, reference } => {
                paid = Some(json!({ "currency": amount.currency, "amount": amount.amount, "reference": reference }));
            }
            PayoutStatus::Returning { reason: why, .. } => reason = Some(why),
            PayoutStatus::Rejected { reason: why, returned } => {
                reason = Some(why);
                back = returned
                    .as_ref()
                    .map(|(id, tx_hash, amount)| json!({ "id": id, "tx_hash": tx_hash, "amount": amount.to_string() }));
            }
        }
        json!({ "payout": {
            "client_payout_id": self.request.client_payout_id,
            "status": self.status.name(),
            "reason": reason,
            "source": self.request.source,
            "destination": self.request.destination,
            "paid": paid,
            "return": back,
        }})
    }
}
