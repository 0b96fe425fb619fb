//! The body of a withdrawal. The port's own type joins a flattened, tagged account with `deny_unknown_fields`, which
//! serde cannot read (it takes the account's fields for unknown ones); this is the same JSON in a form that it can.

use serde::Deserialize;
use settla_port::treasury::{CreateWithdrawal, PayoutAccount, PayoutAccountNumber};
use settla_vault::{Pii, PiiAccount, PiiName};
use utoipa::ToSchema;

/// `POST /v1/treasury/withdrawals`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateWithdrawal)]
pub(crate) struct WithdrawalBody {
    /// A fiat currency.
    #[schema(example = "GBP")]
    currency: String,
    /// How much.
    #[schema(example = "500.00")]
    amount: String,
    /// Your reference, 1 to 64 printable ASCII characters, unique for ever.
    #[schema(example = "WD-2026-0007")]
    reference: String,
    /// The account to pay.
    account: PayoutAccountBody,
}

/// An account of your own.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = PayoutAccount)]
pub(crate) enum PayoutAccountBody {
    /// United Kingdom.
    UkAccount {
        /// Holder.
        #[schema(value_type = String, example = "Lemfi Ltd")]
        name: PiiName,
        /// Six digits, dashes allowed.
        #[schema(value_type = String, example = "20-00-00")]
        sort_code: Pii<String>,
        /// Eight digits.
        #[schema(value_type = String, example = "55779911")]
        account_number: PiiAccount,
    },
    /// IBAN countries.
    Iban {
        /// Holder.
        #[schema(value_type = String, example = "Lemfi Ltd")]
        name: PiiName,
        /// ISO 13616.
        #[schema(value_type = String, example = "DE89370400440532013000")]
        iban: PiiAccount,
    },
}

impl From<WithdrawalBody> for CreateWithdrawal {
    fn from(body: WithdrawalBody) -> Self {
        let (name, account) = match body.account {
            PayoutAccountBody::UkAccount { name, sort_code, account_number } => {
                (name, PayoutAccountNumber::UkAccount { sort_code, account_number })
            }
            PayoutAccountBody::Iban { name, iban } => (name, PayoutAccountNumber::Iban { iban }),
        };
        Self {
            currency: body.currency,
            amount: body.amount,
            reference: body.reference,
            account: PayoutAccount { name, account },
        }
    }
}
