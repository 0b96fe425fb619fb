//! Transfers.

use crate::quote::{AmountView, PriceView, RateView};
use serde::{Deserialize, Serialize};
use settla_domain::id::{BatchId, EventId, QuoteId, TransferId};
use settla_domain::transfer::Settlement;
use settla_vault::{Pii, PiiAccount, PiiName};
use utoipa::ToSchema;

/// `POST /v1/transfers`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTransfer {
    /// The quote to use. It is used up by this.
    #[schema(example = "qt_01939d2a7f0e7c4e9a53a1c2b3d4e5f6")]
    pub quote_id: String,
    /// The tenant's own reference, 1 to 64 printable ASCII characters. No personal data: it is stored in clear.
    #[schema(example = "INV-2026-0042")]
    pub reference: String,
    /// Who pays.
    pub sender: Sender,
    /// Who is paid.
    pub beneficiary: Beneficiary,
    /// How its tokens cross: `batched` with those of others (the default), or `alone` in a transaction of their own,
    /// without the wait for a batch: up to eight of yours at a time, more join the next batch.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "batched")]
    pub settlement: Settlement,
}

/// Who pays, as the beneficiary's bank will ask.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sender {
    /// Full name.
    #[schema(value_type = String, example = "Ada Obi Ltd")]
    pub name: PiiName,
    /// Account number or IBAN at the sender's bank.
    #[schema(value_type = Option<String>, example = "GB82WEST12345698765432")]
    pub account: Option<PiiAccount>,
}

/// Who is paid.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Beneficiary {
    /// Full name, 1 to 140 characters.
    #[schema(value_type = String, example = "Chinedu Okafor")]
    pub name: PiiName,
    /// Country of the account, ISO 3166-1 alpha-2. It must be one that the destination currency is paid in.
    #[schema(example = "NG")]
    pub country: String,
    /// The account.
    pub account: BeneficiaryAccount,
}

/// A bank account, by the scheme of its country.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum BeneficiaryAccount {
    /// Nigeria: 10 digits with a check digit over the bank code.
    Nuban {
        /// CBN code of the bank, 3, 5 or 6 digits.
        #[schema(value_type = String, example = "058")]
        bank_code: Pii<String>,
        /// Ten digits.
        #[schema(value_type = String, example = "0000014579")]
        account_number: PiiAccount,
    },
    /// United Kingdom.
    UkAccount {
        /// Six digits, dashes allowed.
        #[schema(value_type = String, example = "20-00-00")]
        sort_code: Pii<String>,
        /// Eight digits.
        #[schema(value_type = String, example = "55779911")]
        account_number: PiiAccount,
    },
    /// IBAN countries.
    Iban {
        /// ISO 13616.
        #[schema(value_type = String, example = "DE89370400440532013000")]
        iban: PiiAccount,
        /// ISO 9362.
        #[schema(value_type = Option<String>, example = "COBADEFFXXX")]
        bic: Option<Pii<String>>,
    },
    /// Kenya and Ghana: digits only, checked by the provider's name enquiry.
    Local {
        /// Bank code, digits.
        #[schema(value_type = String, example = "01100")]
        bank_code: Pii<String>,
        /// 6 to 20 digits.
        #[schema(value_type = String, example = "1234567890")]
        account_number: PiiAccount,
    },
}

/// A beneficiary as it is shown: masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BeneficiaryView {
    /// `C***`
    #[schema(example = "C***")]
    pub name: String,
    /// `****4579`
    #[schema(example = "****4579")]
    pub account: String,
    /// ISO 3166-1 alpha-2.
    #[schema(example = "NG")]
    pub country: String,
}

/// A transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TransferView {
    /// Its id.
    #[schema(value_type = String, example = "tr_01939d2a7f0e7c4e9a53a1c2b3d4e5f6")]
    pub id: TransferId,
    /// Where it stands.
    #[schema(example = "FUNDED")]
    pub state: String,
    /// One more at each change of its state.
    pub version: u32,
    /// The quote it used.
    #[schema(value_type = String)]
    pub quote_id: QuoteId,
    /// The tenant's own reference.
    pub reference: String,
    /// To whom.
    pub beneficiary: BeneficiaryView,
    /// `batched` or `alone`.
    #[schema(value_type = String, example = "batched")]
    pub settlement: Settlement,
    /// What was agreed.
    pub price: PriceView,
    /// What the on-ramp delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<AmountView>,
    /// The transaction that brought it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_tx: Option<String>,
    /// The batch it settled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub settlement_batch_id: Option<BatchId>,
    /// That batch's transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settlement_tx: Option<String>,
    /// What was paid out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid: Option<AmountView>,
    /// The off-ramp's reference of the payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payout_reference: Option<String>,
    /// The transaction that brought the tokens back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_tx: Option<String>,
    /// Why it did not complete: a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// On-ramps that refused the order before another one took it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused_orders: Vec<RefusedOrderView>,
    /// Off-ramps that gave the tokens back before another one got them, or before they were sold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub returned_payouts: Vec<ReturnedPayoutView>,
    /// How the stablecoin was sold back for a refund in the source currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sale: Option<SaleView>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
}

/// An on-ramp that refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusedOrderView {
    /// The provider.
    #[schema(example = "harbour")]
    pub provider: String,
    /// Why: a stable code.
    #[schema(example = "declined")]
    pub reason: String,
}

/// An off-ramp that did not pay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReturnedPayoutView {
    /// The provider.
    #[schema(example = "meridian")]
    pub provider: String,
    /// Why: a stable code.
    #[schema(example = "declined")]
    pub reason: String,
    /// The transaction that had brought it the tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settlement_tx: Option<String>,
    /// The transaction that brought them back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_tx: Option<String>,
}

/// A sale of the stablecoin for a refund. You have the whole debit back; the result of the exchange is the platform's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SaleView {
    /// Who bought.
    #[schema(example = "solano")]
    pub provider: String,
    /// At which rate.
    pub rate: RateView,
    /// What it brought in.
    pub proceeds: AmountView,
    /// Whether our bank has it.
    pub paid: bool,
    /// What the platform lost by it, or, if negative, gained, in the source currency.
    #[schema(example = "1.27")]
    pub fx_loss: String,
    /// The transaction that brought the buyer the tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settlement_tx: Option<String>,
}

/// Which transfers to list. Empty lists all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransferFilter {
    /// Only those in this state.
    pub state: Option<settla_domain::transfer::TransferState>,
    /// Only those with this reference.
    pub reference: Option<String>,
}

/// Something that happened to a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TransferEvent {
    /// Its id, also the `webhook-id` of deliveries about it.
    #[schema(value_type = String)]
    pub id: EventId,
    /// One more for each event of the tenant.
    pub sequence: i64,
    /// Such as `transfer.completed`.
    #[serde(rename = "type")]
    pub kind: String,
    /// RFC 3339.
    pub at: String,
    /// As in the webhook's `data`.
    pub data: serde_json::Value,
}
