//! `settla tenant` and `settla key`: what operators do.

mod key;
mod secret;
mod tenant;
mod terms;

use crate::dev::Home;
use crate::failure::Failure;
use crate::platform;
use settla_domain::fee::FeeSchedule;
use settla_domain::id::{KeyId, TenantId};
use settla_domain::limit::Limits;
use settla_domain::money::Currency;
use settla_domain::tenant::TenantStatus;
use settla_domain::time::Timestamp;
use settla_port::caller::Scope;
use settla_store::operator::{self as store, NewKey, NewTenant, RateOverrides, TenantRow};
use settla_store::{Store, StoreConfig};
use settla_vault::{ApiKey, Environment, KeyHasher, MasterKey};
use uuid::Uuid;

pub use key::{KeyArgs, key};
pub use tenant::{TenantArgs, tenant};
pub(crate) use terms::reason;

/// What a limit of requests a minute can be.
pub(crate) fn per_minute() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=10_000_000)
}

/// Fees and limits of a new tenant, the same numbers in every source currency.
pub(crate) struct Terms {
    pub(crate) status: TenantStatus,
    pub(crate) spread_bps: u16,
    pub(crate) fees: FeeSchedule,
    pub(crate) limits: Limits,
}

impl Default for Terms {
    /// 0.40 % and 0.35 %, from 0.50 to 2,500.00; 1 million a transfer, 50 million a day and in progress.
    fn default() -> Self {
        Self {
            status: TenantStatus::Active,
            spread_bps: 30,
            fees: FeeSchedule { on_ramp_bps: 40, off_ramp_bps: 35, minimum: 50, maximum: 250_000 },
            limits: Limits { per_transfer: 100_000_000, per_day: 5_000_000_000, pending: 5_000_000_000 },
        }
    }
}

const SOURCES: [Currency; 3] = [Currency::GBP, Currency::EUR, Currency::USD];

/// Sets a tenant up.
pub(crate) async fn create_tenant(
    db: &Store,
    master: &MasterKey,
    slug: &str,
    name: &str,
    terms: &Terms,
    actor: &str,
) -> Result<TenantRow, Failure> {
    let id = TenantId(Uuid::now_v7());
    let currencies: Vec<_> = SOURCES.iter().map(|c| (*c, terms.fees, terms.limits)).collect();
    let new = NewTenant {
        id,
        slug,
        name,
        status: terms.status,
        spread_bps: terms.spread_bps,
        currencies: &currencies,
        actor,
    };
    let number =
        store::create_tenant(&db.operator, &new, |number| master.wrap(&settla_vault::Dek::generate(), number.0))
            .await?;
    Ok(TenantRow {
        number,
        id,
        slug: slug.to_owned(),
        name: name.to_owned(),
        status: terms.status.name().to_owned(),
        rate_limits: RateOverrides::default(),
    })
}

/// What a key may do, from where and for how long.
pub(crate) struct NewKeyTerms {
    pub(crate) scopes: Vec<Scope>,
    /// Networks; any if there is none.
    pub(crate) allowed_ips: Vec<String>,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Default for NewKeyTerms {
    /// Everything but personal data, from anywhere, for ever.
    fn default() -> Self {
        let scopes = Scope::ALL.into_iter().filter(|scope| *scope != Scope::Pii).collect();
        Self { scopes, allowed_ips: Vec::new(), expires_at: None }
    }
}

/// Makes a key.
pub(crate) async fn create_key(
    db: &Store,
    hasher: &KeyHasher,
    tenant: &TenantRow,
    terms: &NewKeyTerms,
    name: &str,
    actor: &str,
) -> Result<(KeyId, ApiKey), Failure> {
    // So far there is the sandbox alone.
    let environment = Environment::Test;
    let key = ApiKey::generate(environment);
    let hash = hasher.hash(&key);
    let scopes: Vec<&str> = terms.scopes.iter().map(|scope| scope.name()).collect();
    let id = KeyId(Uuid::now_v7());
    let new = NewKey {
        id,
        tenant: tenant.number,
        environment: environment.as_str(),
        hash: hash.as_bytes(),
        hash_version: hash.version(),
        hint: &key.hint(),
        name,
        scopes: &scopes,
        allowed_ips: &terms.allowed_ips,
        expires_at: terms.expires_at,
        actor,
    };
    store::create_key(&db.operator, &new).await?;
    Ok((id, key))
}

/// The database of the system in this folder, or the one that `SETTLA_TRANSFER_DB_URL` names.
pub(crate) async fn open(home: &Home) -> Result<Store, Failure> {
    let url = match std::env::var("SETTLA_TRANSFER_DB_URL") {
        Ok(url) => url,
        Err(_) => home.facts()?["database_url"].as_str().unwrap_or_default().to_owned(),
    };
    let store = Store::open(&StoreConfig::new(url))
        .await
        .map_err(|error| Failure::from(error).try_next("is the system running? start it with `settla dev`"))?;
    // What is made with other secrets than the platform's would never work.
    platform::agree(&store, &home.key_hashers()?, &home.master_key()?).await?;
    Ok(store)
}

pub(crate) async fn find_tenant(db: &Store, slug: &str) -> Result<TenantRow, Failure> {
    let row = store::find_tenant(&db.operator, slug).await?;
    row.ok_or_else(|| Failure::new(format!("no tenant {slug}")).try_next("see `settla tenant list`"))
}

/// Who acts, for decisions that need two people.
pub(crate) fn operator_name(given: Option<&str>) -> Result<String, Failure> {
    let name = given.map(str::to_owned).or_else(|| std::env::var("USER").ok()).filter(|name| !name.is_empty());
    name.ok_or_else(|| Failure::new("nobody says who you are").try_next("name yourself with --operator"))
}

pub(crate) fn actor() -> String {
    format!("cli:{}", std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned()))
}
