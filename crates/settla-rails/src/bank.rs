//! The bank port: our account's statement, and payments out of it.

use crate::http::{Answer, Http};
use crate::on_ramp::register;
use crate::wire::{WireMoney, minor, page};
use crate::{Enquired, RailError, Started};
use async_trait::async_trait;
use serde::Deserialize;
use settla_domain::money::{Currency, Money};
use settla_vault::{PiiAccount, PiiName};

/// A line of the statement: its number, which grows, and what it says, if that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementLine {
    /// The bank's number of the line.
    pub sequence: u64,
    /// Nothing for a line in a currency or form that we do not know, or with an amount that we do not count.
    pub entry: Option<StatementEntry>,
}

/// What a line of the statement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementEntry {
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

/// Longest reference that is kept.
const REFERENCE_BYTES_MAX: usize = 140;

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
    /// Lines after a number, oldest first, at most `limit`.
    async fn statement(&self, after: u64, limit: u32) -> Result<Vec<StatementLine>, RailError>;
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
struct EntryBody {
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
        // Payers write what they like; what cannot be one of our references is nobody's, and the money is money.
        let is_text = self.reference.len() <= REFERENCE_BYTES_MAX && !self.reference.chars().any(char::is_control);
        let reference = if is_text { self.reference } else { String::new() };
        Some(StatementEntry { id, amount, kind: self.kind, reference })
    }
}

fn entry(value: serde_json::Value) -> Option<StatementEntry> {
    serde_json::from_value::<EntryBody>(value).ok().and_then(EntryBody::read)
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
    async fn statement(&self, after: u64, limit: u32) -> Result<Vec<StatementLine>, RailError> {
        let path = format!("/v1/accounts/{}/statement", self.account);
        let lines = page(&self.http, &path, after, limit).await?;
        Ok(lines.into_iter().map(|(sequence, value)| StatementLine { sequence, entry: entry(value) }).collect())
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn changed(change: impl FnOnce(&mut serde_json::Value)) -> Option<StatementEntry> {
        let mut value = json!({
            "seq": 4, "id": "e-1", "currency": "GBP", "amount": "1200", "kind": "incoming", "reference": "STLA1",
        });
        change(&mut value);
        entry(value)
    }

    #[test]
    fn a_line_that_cannot_be_read_is_told_from_the_others() {
        assert_eq!(changed(|_| {}).unwrap().amount, Money::new(Currency::GBP, 1_200));
        assert_eq!(changed(|e| e["amount"] = json!("-1200")).unwrap().amount.minor, -1_200);
        let odd: [fn(&mut serde_json::Value); 6] = [
            |e| e["currency"] = json!("CHF"),
            |e| e["amount"] = json!("1000000000000001"),
            |e| e["amount"] = json!("12.5"),
            |e| e["id"] = json!(""),
            |e| e["id"] = serde_json::Value::Null,
            |e| drop(e.as_object_mut().unwrap().remove("reference")),
        ];
        for change in odd {
            assert_eq!(changed(change), None);
        }
    }

    #[test]
    fn what_a_payer_wrote_never_makes_a_line_unreadable() {
        for odd in ["a\u{0}b", "\n", &"x".repeat(141)] {
            assert_eq!(changed(|e| e["reference"] = json!(odd)).unwrap().reference, "", "{odd:?}");
        }
        assert_eq!(changed(|e| e["reference"] = json!("Zahlung für März")).unwrap().reference, "Zahlung für März");
    }
}
