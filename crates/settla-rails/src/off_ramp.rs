//! The off-ramp port: our tokens in, fiat out to a beneficiary.

use crate::http::{Answer, Http};
use crate::offer::KeptOffer;
use crate::on_ramp::{BatchBody, TokenBatch, register, terms};
use crate::wire::{WireMoney, minor, page, reason, reference};
use crate::{Enquired, Offer, ProviderTerms, RailError, Started};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use settla_domain::money::{Currency, Money};
use settla_evm::{Address, TxHash};
use settla_vault::{Pii, PiiAccount, PiiName};
use std::sync::Arc;
use uuid::Uuid;

/// A payout to be made.
#[derive(Debug, Clone)]
pub struct Payout {
    /// The effect's id: the idempotency key and the payout's name for ever.
    pub id: Uuid,
    /// The tokens that pay for it.
    pub sent: Money,
    /// What the beneficiary gets.
    pub destination: Money,
    /// To whom.
    pub beneficiary: PayoutBeneficiary,
    /// The transaction that brought the tokens.
    pub settlement_tx: TxHash,
    /// Where the tokens go if it does not pay.
    pub return_address: Address,
    /// What the beneficiary's statement says: 1 to 35 printable ASCII characters.
    pub remittance: Option<String>,
}

/// The beneficiary in clear, on its way to the provider that pays.
#[derive(Debug, Clone)]
pub struct PayoutBeneficiary {
    /// Full name.
    pub name: PiiName,
    /// Account number or IBAN.
    pub account_number: PiiAccount,
    /// Bank code, sort code or BIC; may be empty for an IBAN.
    pub bank_code: Pii<String>,
    /// ISO 3166-1 alpha-2.
    pub country: String,
}

/// How a payout stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayoutState {
    /// Taken, not finished.
    Pending,
    /// Paid.
    Paid {
        /// What was paid.
        amount: Money,
        /// The provider's reference.
        reference: String,
    },
    /// Will not be paid; the tokens are being sent back.
    Returning(String),
    /// Will not be paid, and the provider says that it has no tokens to give back.
    Refused(String),
    /// Was not paid; the provider says the tokens were sent back. Believed once seen on chain.
    Returned {
        /// Its return, which has a manifest.
        batch: Uuid,
        /// The transaction.
        tx: TxHash,
        /// For this payout.
        amount: Money,
        /// Why it was not paid.
        reason: String,
    },
}

/// A line of an off-ramp's own statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutLine {
    /// The provider's number of the line; grows.
    pub sequence: u64,
    /// Nothing for a line that cannot be read.
    pub entry: Option<BookedPayout>,
}

/// What a line of an off-ramp's statement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BookedPayout {
    /// Tokens of a settlement batch have come.
    Received {
        /// The batch, by our id.
        batch: Uuid,
        /// How much.
        amount: Money,
    },
    /// A payout was paid.
    Paid {
        /// The payout, by our id.
        payout: Uuid,
        /// How much.
        amount: Money,
    },
    /// A payout's tokens were sent back.
    Returned {
        /// The payout, by our id.
        payout: Uuid,
        /// How much.
        amount: Money,
    },
}

/// An off-ramp.
#[async_trait]
pub trait OffRamp: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;
    /// Its terms.
    async fn terms(&self) -> Result<ProviderTerms, RailError>;
    /// Its prices and what it can give at the moment: at most half a second old, or the last that could be had.
    async fn offer(&self) -> Result<Arc<Offer>, RailError>;
    /// Says which payouts a token transfer is for. The same batch again is the same manifest.
    async fn announce(&self, batch: &TokenBatch) -> Result<(), RailError>;
    /// Orders a payout. The same id again is the same payout.
    async fn start(&self, payout: &Payout) -> Started<PayoutState>;
    /// How a payout stands.
    async fn enquire(&self, id: Uuid) -> Enquired<PayoutState>;
    /// A return's manifest.
    async fn returned(&self, id: Uuid) -> Result<TokenBatch, RailError>;
    /// Lines of its own statement after a number, oldest first, at most `limit`.
    async fn statement(&self, after: u64, limit: u32) -> Result<Vec<PayoutLine>, RailError>;
    /// Reads an event's body: the payout and how it stands.
    fn read_event(&self, body: &serde_json::Value) -> Option<(Uuid, PayoutState)>;
    /// Tells the provider where to send events and how to sign them.
    async fn register_webhook(&self, url: &str, secret: &str) -> Result<(), RailError>;
    /// Whether it answers.
    async fn healthy(&self) -> bool;
}

/// An off-ramp that speaks the protocol of `docs/sandbox.md` over HTTP.
pub struct HttpOffRamp {
    http: Http,
    offer: KeptOffer,
}

#[derive(Serialize)]
struct PayoutRequest<'a> {
    client_payout_id: Uuid,
    source: WireMoney,
    destination: WireMoney,
    beneficiary: WireBeneficiary<'a>,
    settlement_tx_hash: TxHash,
    return_address: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    remittance: Option<&'a str>,
}

#[derive(Serialize)]
struct WireBeneficiary<'a> {
    name: &'a str,
    account_number: &'a str,
    bank_code: &'a str,
    country: &'a str,
}

#[derive(Deserialize)]
struct PayoutAnswer {
    payout: PayoutBody,
}

#[derive(Deserialize)]
struct PayoutBody {
    client_payout_id: Uuid,
    status: String,
    reason: Option<String>,
    source: WireMoney,
    paid: Option<PaidBody>,
    #[serde(rename = "return")]
    returned: Option<ReturnBody>,
}

#[derive(Deserialize)]
struct BookedBody {
    id: Uuid,
    kind: String,
    currency: Currency,
    amount: String,
}

#[derive(Deserialize)]
struct PaidBody {
    #[serde(flatten)]
    money: WireMoney,
    reference: String,
}

#[derive(Deserialize)]
struct ReturnBody {
    id: Uuid,
    tx_hash: TxHash,
    amount: String,
}

impl<'a> PayoutRequest<'a> {
    fn of(payout: &'a Payout) -> Self {
        const WHY: &str = "the provider that pays needs the beneficiary";
        Self {
            client_payout_id: payout.id,
            source: payout.sent.into(),
            destination: payout.destination.into(),
            beneficiary: WireBeneficiary {
                name: payout.beneficiary.name.reveal_pii(WHY),
                account_number: payout.beneficiary.account_number.reveal_pii(WHY),
                bank_code: payout.beneficiary.bank_code.reveal_pii(WHY),
                country: &payout.beneficiary.country,
            },
            settlement_tx_hash: payout.settlement_tx,
            return_address: payout.return_address,
            remittance: payout.remittance.as_deref(),
        }
    }
}

impl PayoutBody {
    fn state(&self) -> Option<PayoutState> {
        let reason = || reason(self.reason.as_deref());
        match self.status.as_str() {
            "pending" => Some(PayoutState::Pending),
            "paid" => {
                let paid = self.paid.as_ref()?;
                Some(PayoutState::Paid { amount: paid.money.money()?, reference: reference(&paid.reference)? })
            }
            "returning" => Some(PayoutState::Returning(reason())),
            "rejected" => {
                let Some(returned) = self.returned.as_ref() else { return Some(PayoutState::Refused(reason())) };
                let amount = Money::new(self.source.currency, minor(&returned.amount, self.source.currency)?);
                Some(PayoutState::Returned { batch: returned.id, tx: returned.tx_hash, amount, reason: reason() })
            }
            _ => None,
        }
    }
}

impl BookedBody {
    /// What went out has a minus sign, and only that.
    fn read(&self) -> Option<BookedPayout> {
        let out = self.amount.strip_prefix('-');
        let amount = Money::new(self.currency, minor(out.unwrap_or(&self.amount), self.currency)?);
        match (self.kind.as_str(), out) {
            ("tokens_received", None) => Some(BookedPayout::Received { batch: self.id, amount }),
            ("paid", Some(_)) => Some(BookedPayout::Paid { payout: self.id, amount }),
            ("tokens_returned", Some(_)) => Some(BookedPayout::Returned { payout: self.id, amount }),
            _ => None,
        }
    }
}

impl HttpOffRamp {
    /// An adapter on a client.
    pub fn new(http: Http) -> Self {
        Self { http, offer: KeptOffer::new() }
    }
}

#[async_trait]
impl OffRamp for HttpOffRamp {
    fn name(&self) -> &str {
        self.http.name()
    }

    async fn terms(&self) -> Result<ProviderTerms, RailError> {
        terms(&self.http).await
    }

    async fn offer(&self) -> Result<Arc<Offer>, RailError> {
        self.offer.get(&self.http).await
    }

    async fn announce(&self, batch: &TokenBatch) -> Result<(), RailError> {
        let members: Vec<_> = batch
            .members
            .iter()
            .map(|(id, amount)| serde_json::json!({ "client_payout_id": id, "amount": amount.to_string() }))
            .collect();
        let body = serde_json::json!({ "tx_hash": batch.tx, "batch_id": batch.id, "members": members });
        match self.http.post::<_, serde_json::Value>("/v1/settlements", Some(&batch.id.to_string()), &body).await {
            Answer::Ok(_) => Ok(()),
            Answer::Refused(_) | Answer::NotFound => Err(RailError::Malformed(self.name().to_owned())),
            Answer::Unknown => Err(RailError::Unavailable(self.name().to_owned())),
        }
    }

    async fn start(&self, payout: &Payout) -> Started<PayoutState> {
        let body = PayoutRequest::of(payout);
        match self.http.post::<_, PayoutAnswer>("/v1/payouts", Some(&payout.id.to_string()), &body).await {
            Answer::Ok(answer) if answer.payout.client_payout_id == payout.id => {
                answer.payout.state().map_or(Started::Unknown, Started::Taken)
            }
            Answer::Refused(code) => Started::Refused(code),
            Answer::Ok(_) | Answer::NotFound | Answer::Unknown => Started::Unknown,
        }
    }

    async fn enquire(&self, id: Uuid) -> Enquired<PayoutState> {
        match self.http.get::<PayoutAnswer>(&format!("/v1/payouts/{id}")).await {
            Answer::Ok(answer) if answer.payout.client_payout_id == id => {
                answer.payout.state().map_or(Enquired::Unknown, Enquired::Known)
            }
            Answer::NotFound => Enquired::NotFound,
            Answer::Ok(_) | Answer::Refused(_) | Answer::Unknown => Enquired::Unknown,
        }
    }

    async fn returned(&self, id: Uuid) -> Result<TokenBatch, RailError> {
        let body: BatchBody = self.http.fetch(&format!("/v1/returns/{id}")).await?;
        body.read("client_payout_id").ok_or_else(|| RailError::Malformed(self.name().to_owned()))
    }

    async fn statement(&self, after: u64, limit: u32) -> Result<Vec<PayoutLine>, RailError> {
        let read = |value| serde_json::from_value(value).ok().and_then(|body: BookedBody| body.read());
        let lines = page(&self.http, "/v1/statement", after, limit).await?;
        Ok(lines.into_iter().map(|(sequence, value)| PayoutLine { sequence, entry: read(value) }).collect())
    }

    fn read_event(&self, body: &serde_json::Value) -> Option<(Uuid, PayoutState)> {
        let data = body.get("data").unwrap_or(body);
        let payout: PayoutBody = serde_json::from_value(data.get("payout")?.clone()).ok()?;
        let state = payout.state()?;
        Some((payout.client_payout_id, state))
    }

    async fn register_webhook(&self, url: &str, secret: &str) -> Result<(), RailError> {
        register(&self.http, url, secret).await
    }

    async fn healthy(&self) -> bool {
        matches!(self.http.get::<serde_json::Value>("/health").await, Answer::Ok(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_remittance_is_sent_when_there_is_one() {
        let payout = |remittance: Option<&str>| Payout {
            id: Uuid::nil(),
            sent: Money::new(Currency::USDC, 1),
            destination: Money::new(Currency::GBP, 1),
            beneficiary: PayoutBeneficiary {
                name: PiiName::new("N".to_owned()),
                account_number: PiiAccount::new("A".to_owned()),
                bank_code: Pii::new(String::new()),
                country: "GB".to_owned(),
            },
            settlement_tx: TxHash([0; 32]),
            return_address: Address([1; 20]),
            remittance: remittance.map(str::to_owned),
        };
        let sent = |remittance| serde_json::to_value(PayoutRequest::of(&payout(remittance))).unwrap();
        assert_eq!(sent(Some("SB-1"))["remittance"], "SB-1");
        assert!(sent(None).get("remittance").is_none(), "a provider that does not know the field is not asked to");
    }

    #[test]
    fn a_line_says_what_it_is_by_its_kind_and_its_sign() {
        let id = Uuid::from_u128(7);
        let read = |kind: &str, amount: &str| {
            let value = json!({ "seq": 1, "id": id, "kind": kind, "currency": "USDC", "amount": amount });
            serde_json::from_value::<BookedBody>(value).ok().and_then(|body| body.read())
        };
        let amount = Money::new(Currency::USDC, 12);
        assert_eq!(read("tokens_received", "12"), Some(BookedPayout::Received { batch: id, amount }));
        assert_eq!(read("paid", "-12"), Some(BookedPayout::Paid { payout: id, amount }));
        assert_eq!(read("tokens_returned", "-12"), Some(BookedPayout::Returned { payout: id, amount }));
        for (kind, amount) in
            [("tokens_received", "-12"), ("paid", "12"), ("paid", "--12"), ("gift", "12"), ("paid", "")]
        {
            assert_eq!(read(kind, amount), None, "{kind} {amount}");
        }
    }
}
