//! Sender and beneficiary: sealed before a command is made, opened only to pay.

use crate::keyring::{Keyring, KeyringError};
use settla_domain::tenant::TenantNo;
use settla_store::batch::SealedParties;
use settla_store::together::Together;
use settla_store::{Store, read};
use settla_vault::{Aad, OpenError, Pii, PiiAccount, PiiName, open_pii, seal};
use std::sync::Arc;
use uuid::Uuid;

/// The table that the ciphertexts are bound to.
const TABLE: &str = "personal_data";

/// The personal data of a transfer or withdrawal, in clear.
#[derive(Debug, Clone)]
pub struct Parties {
    /// Who pays.
    pub sender_name: Option<PiiName>,
    /// From which account.
    pub sender_account: Option<PiiAccount>,
    /// Who is paid.
    pub recipient_name: PiiName,
    /// To which account.
    pub recipient_account: PiiAccount,
    /// At which bank.
    pub recipient_bank: Option<Pii<String>>,
}

const WHY: &str = "sealing it for storage";

/// Seals parties under the tenant's key, each field bound to tenant, row and field.
pub async fn seal_parties(
    keyring: &Keyring,
    tenant: TenantNo,
    row: Uuid,
    parties: &Parties,
) -> Result<SealedParties, KeyringError> {
    let dek = keyring.dek(tenant).await?;
    let one = |field: &str, text: &str| {
        Some(seal(&dek, &Aad { tenant: tenant.0, table: TABLE, row, field }, text.as_bytes()))
    };
    Ok(SealedParties {
        sender_name: parties.sender_name.as_ref().and_then(|v| one("sender_name", v.reveal_pii(WHY))),
        sender_account: parties.sender_account.as_ref().and_then(|v| one("sender_account", v.reveal_pii(WHY))),
        recipient_name: one("recipient_name", parties.recipient_name.reveal_pii(WHY)),
        recipient_account: one("recipient_account", parties.recipient_account.reveal_pii(WHY)),
        recipient_bank: parties.recipient_bank.as_ref().and_then(|v| one("recipient_bank", v.reveal_pii(WHY))),
    })
}

/// Who is to be paid, for those who pay: read for all that come together, and opened for the one.
pub struct Payees {
    keyring: Arc<Keyring>,
    sealed: Together<(TenantNo, Uuid), Option<SealedParties>>,
}

impl Payees {
    /// Of a database.
    pub fn start(store: Store, keyring: Arc<Keyring>) -> Self {
        let sealed = Together::start(move |subjects: Vec<(TenantNo, Uuid)>| {
            let store = store.clone();
            async move {
                let found = read::personal_data(&store.payer, &subjects).await?;
                Ok(subjects.iter().map(|subject| found.get(subject).cloned()).collect())
            }
        });
        Self { keyring, sealed }
    }

    /// The parties of a transfer or withdrawal, in clear.
    pub async fn open(&self, tenant: TenantNo, subject: Uuid) -> Result<Parties, OpenPartiesError> {
        let sealed = self.sealed.ask_patiently((tenant, subject)).await.map_err(|_| OpenPartiesError::Unavailable)?;
        open_parties(&self.keyring, tenant, subject, &sealed.ok_or(OpenPartiesError::Missing)?).await
    }
}

/// Sealed data does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenPartiesError {
    /// It cannot be read now.
    #[error("sealed personal data cannot be read now")]
    Unavailable,
    /// The key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyringError),
    /// A field is damaged, moved or missing.
    #[error("sealed personal data does not open: {0}")]
    Open(#[from] OpenError),
    /// What must be there is not.
    #[error("personal data is missing")]
    Missing,
}

impl OpenPartiesError {
    /// Whether it may be otherwise in a while. If not, the reason as a stable code.
    pub fn lasting(&self) -> Option<&'static str> {
        match self {
            Self::Unavailable | Self::Key(KeyringError::Store(_)) => None,
            Self::Missing => Some("personal_data_missing"),
            Self::Key(KeyringError::NoTenant | KeyringError::Unwrap) | Self::Open(_) => {
                Some("personal_data_unreadable")
            }
        }
    }
}

/// Opens sealed parties.
async fn open_parties(
    keyring: &Keyring,
    tenant: TenantNo,
    row: Uuid,
    sealed: &SealedParties,
) -> Result<Parties, OpenPartiesError> {
    let dek = keyring.dek(tenant).await?;
    let aad = |field: &'static str| Aad { tenant: tenant.0, table: TABLE, row, field };
    let name = |field, bytes: &Option<Vec<u8>>| bytes.as_deref().map(|b| open_pii(&dek, &aad(field), b)).transpose();
    let account = |field, bytes: &Option<Vec<u8>>| bytes.as_deref().map(|b| open_pii(&dek, &aad(field), b)).transpose();
    let bank = |field, bytes: &Option<Vec<u8>>| bytes.as_deref().map(|b| open_pii(&dek, &aad(field), b)).transpose();
    Ok(Parties {
        sender_name: name("sender_name", &sealed.sender_name)?,
        sender_account: account("sender_account", &sealed.sender_account)?,
        recipient_name: name("recipient_name", &sealed.recipient_name)?.ok_or(OpenPartiesError::Missing)?,
        recipient_account: account("recipient_account", &sealed.recipient_account)?.ok_or(OpenPartiesError::Missing)?,
        recipient_bank: bank("recipient_bank", &sealed.recipient_bank)?,
    })
}
