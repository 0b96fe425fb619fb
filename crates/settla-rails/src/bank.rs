//! The bank port: our account's statement, and payments out of it.

use crate::http::{Answer, Http};
use crate::on_ramp::register;
use crate::wire::{WireMoney, minor};
use crate::{Enquired, RailError, Started};
use async_trait::async_trait;
use serde::Deserialize;
use settla_domain::money::{Currency, Money};
use settla_vault::{PiiAccount, PiiName};

/// A line of the statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementEntry {
    /// The bank's number of the entry, growing.
    pub sequence: u64,
    /// The bank's id of the entry.
    pub id: String,
    /// Positive for a credit to us, negative for a debit.
    pub amount: Money,
    /// `incoming`, `direct_debit` or `payment`.
    pub kind: String,
    /// The reference that came with it.
    pub reference: String,
}

/// How a payment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentState {
    /// Taken, not finished.
    Pending,
    /// Debited from us and sent.
    Executed,
    /// Not sent; nothing was debited.
    Rejected,
}

/// A payment to be made.
#[derive(Debug, Clone)]
pub struct Payment {
    /// Unique for ever: the payment's name at the bank.
    pub reference: String,
    /// How much.
    pub amount: Money,
    /// To whom.
    pub name: PiiName,
    /// To which account: an IBAN, or a UK sort code followed by the account number.
    pub account: PiiAccount,
}

/// Our bank.
#[async_trait]
pub trait Bank: Send + Sync {
    /// Entries after a number, oldest first, at most `limit`.
    async fn statement(&self, after: u64, limit: u32) -> Result<Vec<StatementEntry>, RailError>;
    /// Orders a payment. The same reference again is the same payment.
    async fn pay(&self, payment: &Payment) -> Started<PaymentState>;
    /// How a payment stands.
    async fn enquire(&self, reference: &str) -> Enquired<PaymentState>;
    /// Our account's name at the bank.
    fn account(&self) -> &str;
    /// Opens our account if it is not there.
    async fn open_account(&self) -> Result<(), RailError>;
    /// Balances by currency, minor units.
    async fn balances(&self) -> Result<Vec<Money>, RailError>;
    /// Tells the bank where to send events and how to sign them.
    async fn register_webhook(&self, url: &str, secret: &str) -> Result<(), RailError>;
    /// Whether it answers.
    async fn healthy(&self) -> bool;
}

/// A bank that speaks the protocol of `docs/sandbox.md` over HTTP.
pub struct HttpBank {
    http: Http,
    account: String,
}

#[derive(Deserialize)]
struct Statement {
    entries: Vec<EntryBody>,
}

#[derive(Deserialize)]
struct EntryBody {
    seq: u64,
    id: serde_json::Value,
    currency: Currency,
    amount: String,
    kind: String,
    reference: String,
}

#[derive(Deserialize)]
struct PaymentAnswer {
    payment: PaymentBody,
}

#[derive(Deserialize)]
struct PaymentBody {
    client_reference: String,
    status: String,
}

#[derive(Deserialize)]
struct AccountBody {
    balances: Vec<WireMoney>,
}

impl EntryBody {
    /// An entry that cannot be read is an error of the whole statement: skipping it would lose a credit.
    fn read(self) -> Option<StatementEntry> {
        let (negative, digits) = match self.amount.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, self.amount.as_str()),
        };
        let value = minor(digits, self.currency)?;
        let id = match self.id {
            serde_json::Value::String(text) if !text.is_empty() => text,
            serde_json::Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let amount = Money::new(self.currency, if negative { -value } else { value });
        Some(StatementEntry { sequence: self.seq, id, amount, kind: self.kind, reference: self.reference })
    }
}

impl PaymentBody {
    fn state(&self) -> Option<PaymentState> {
        match self.status.as_str() {
            "pending" => Some(PaymentState::Pending),
            "executed" => Some(PaymentState::Executed),
            "rejected" => Some(PaymentState::Rejected),
            _ => None,
        }
    }
}

impl HttpBank {
    /// An adapter on a client, for our account of this name.
    pub fn new(http: Http, account: impl Into<String>) -> Self {
        Self { http, account: account.into() }
    }
}

#[async_trait]
impl Bank for HttpBank {
    async fn statement(&self, after: u64, limit: u32) -> Result<Vec<StatementEntry>, RailError> {
        let path = format!("/v1/accounts/{}/statement?after={after}&limit={limit}", self.account);
        let statement: Statement = self.http.fetch(&path).await?;
        let entries: Option<Vec<_>> = statement.entries.into_iter().map(EntryBody::read).collect();
        entries.ok_or_else(|| RailError::Malformed(self.http.name().to_owned()))
    }

    async fn pay(&self, payment: &Payment) -> Started<PaymentState> {
        const WHY: &str = "the bank needs the payee";
        let body = serde_json::json!({
            "account": self.account,
            "currency": payment.amount.currency,
            "amount": payment.amount.minor.to_string(),
            "reference": payment.reference,
            "beneficiary": { "name": payment.name.reveal_pii(WHY), "account": payment.account.reveal_pii(WHY) },
        });
        match self.http.post::<_, PaymentAnswer>("/v1/payments", Some(&payment.reference), &body).await {
            Answer::Ok(answer) if answer.payment.client_reference == payment.reference => {
                answer.payment.state().map_or(Started::Unknown, Started::Taken)
            }
            Answer::Refused(code) => Started::Refused(code),
            Answer::Ok(_) | Answer::NotFound | Answer::Unknown => Started::Unknown,
        }
    }

    async fn enquire(&self, reference: &str) -> Enquired<PaymentState> {
        match self.http.get::<PaymentAnswer>(&format!("/v1/payments/{reference}")).await {
            Answer::Ok(answer) if answer.payment.client_reference == reference => {
                answer.payment.state().map_or(Enquired::Unknown, Enquired::Known)
            }
            Answer::NotFound => Enquired::NotFound,
            Answer::Ok(_) | Answer::Refused(_) | Answer::Unknown => Enquired::Unknown,
        }
    }

    fn account(&self) -> &str {
        &self.account
    }

    async fn open_account(&self) -> Result<(), RailError> {
        match self
            .http
            .put::<_, serde_json::Value>(&format!("/v1/accounts/{}", self.account), &serde_json::json!({}))
            .await
        {
            Answer::Ok(_) => Ok(()),
            _ => Err(RailError::Unavailable(self.http.name().to_owned())),
        }
    }

    async fn balances(&self) -> Result<Vec<Money>, RailError> {
        let body: AccountBody = self.http.fetch(&format!("/v1/accounts/{}", self.account)).await?;
        let balances: Option<Vec<_>> = body.balances.iter().map(WireMoney::money).collect();
        balances.ok_or_else(|| RailError::Malformed(self.http.name().to_owned()))
    }

    async fn register_webhook(&self, url: &str, secret: &str) -> Result<(), RailError> {
        register(&self.http, url, secret).await
    }

    async fn healthy(&self) -> bool {
        matches!(self.http.get::<serde_json::Value>("/health").await, Answer::Ok(_))
    }
}
