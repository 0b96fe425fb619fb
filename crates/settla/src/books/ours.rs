//! Our side, from our database.

use crate::failure::Failure;
use settla_domain::account::{AccountId, AccountKind};
use settla_domain::money::{Currency, Money};
use settla_domain::tenant::TenantNo;
use settla_store::books::{self, AccountSums, TransferLine};
use settla_store::{Store, StoreConfig};

/// Everything that is compared.
pub struct Ours {
    pub sums: Vec<AccountSums>,
    pub positions: Vec<(TenantNo, Currency, [i128; 3], i128)>,
    pub live: Vec<(TenantNo, Money)>,
    pub transfers: Vec<TransferLine>,
    pub pending_withdrawals: Vec<(TenantNo, Money)>,
    pub paid_withdrawals: Vec<(String, Money)>,
    pub open_effects_of_ended: i64,
}

impl Ours {
    /// Debits less credits of a platform account.
    pub fn platform(&self, kind: AccountKind, currency: Currency) -> i128 {
        let account = AccountId::platform(kind);
        let row = self.sums.iter().find(|s| s.account == account && s.currency == currency);
        row.map_or(0, |s| s.debits - s.credits)
    }
}

/// Reads it.
pub async fn read(database_url: &str) -> Result<Ours, Failure> {
    let store = Store::open(&StoreConfig::new(database_url)).await?;
    let db = &store.auditor;
    let ours = Ours {
        sums: books::account_sums(db).await?,
        positions: books::positions(db).await?,
        live: books::live_debits(db).await?,
        transfers: books::transfer_lines(db).await?,
        pending_withdrawals: books::pending_withdrawals(db).await?,
        paid_withdrawals: books::paid_withdrawals(db).await?,
        open_effects_of_ended: books::open_effects_of_ended(db).await?,
    };
    store.close().await;
    Ok(ours)
}
