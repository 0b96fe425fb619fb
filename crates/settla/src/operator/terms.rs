//! A tenant's status, fees and limits. Each change says who and why, and counts from the tenant's next request on.

use super::{actor, find_tenant};
use crate::failure::Failure;
use crate::ui;
use settla_domain::money::{Currency, Money};
use settla_domain::tenant::TenantStatus;
use settla_store::operator::{self as store, FeesChange, LimitsChange, Reason};
use settla_store::{Store, StoreError, books};

/// A tenant, and why.
#[derive(clap::Args)]
pub(super) struct Whose {
    /// The tenant's short name.
    tenant: String,
    /// Why: it is kept in the audit log.
    #[arg(long, value_parser = reason)]
    reason: String,
}

/// What is asked of a reason: that there is one.
pub(crate) fn reason(text: &str) -> Result<String, String> {
    let good = !text.trim().is_empty() && text.len() <= 500;
    if good { Ok(text.to_owned()) } else { Err("1 to 500 characters".to_owned()) }
}

/// Options of `settla tenant fees`.
#[derive(clap::Args)]
pub(super) struct FeesArgs {
    #[command(flatten)]
    whose: Whose,
    /// The source currency.
    #[arg(long)]
    currency: Currency,
    /// Hundredths of a percent of the on-ramp leg.
    #[arg(long, value_parser = clap::value_parser!(i16).range(0..=10_000))]
    on_ramp_bps: Option<i16>,
    /// Hundredths of a percent of the off-ramp leg.
    #[arg(long, value_parser = clap::value_parser!(i16).range(0..=10_000))]
    off_ramp_bps: Option<i16>,
    /// The least that a transfer costs, decimal.
    #[arg(long)]
    minimum: Option<String>,
    /// The most that a transfer costs, decimal.
    #[arg(long)]
    maximum: Option<String>,
}

/// Options of `settla tenant limits`.
#[derive(clap::Args)]
pub(super) struct LimitsArgs {
    #[command(flatten)]
    whose: Whose,
    /// The source currency.
    #[arg(long)]
    currency: Currency,
    /// Most that one transfer may debit, decimal.
    #[arg(long)]
    per_transfer: Option<String>,
    /// Most that the transfers of one UTC day may debit, decimal.
    #[arg(long)]
    per_day: Option<String>,
    /// Most that transfers which have not ended may debit together, decimal.
    #[arg(long)]
    pending: Option<String>,
}

/// Changes the status.
pub(super) async fn status(db: &Store, whose: &Whose, from: &[TenantStatus], to: TenantStatus) -> Result<(), Failure> {
    let (tenant, actor) = (find_tenant(db, &whose.tenant).await?, actor());
    let why = Reason { tenant: tenant.number, actor: &actor, reason: &whose.reason };
    match store::set_status(&db.operator, &why, from, to).await? {
        Ok(()) => println!("{} {} is {}", ui::green("changed"), whose.tenant, to.name()),
        Err(present) => {
            let possible: Vec<&str> = from.iter().map(|status| status.name()).collect();
            return Err(Failure::new(format!("{} is {}", whose.tenant, present.name()))
                .try_next(format!("this is for a tenant that is {}", possible.join(" or "))));
        }
    }
    Ok(())
}

/// Closes a tenant that nobody owes anything.
pub(super) async fn close(db: &Store, whose: &Whose) -> Result<(), Failure> {
    let tenant = find_tenant(db, &whose.tenant).await?;
    // Of one that is suspended nothing new comes, so what is not there now will not be.
    if tenant.status != TenantStatus::Suspended.name() {
        return Err(Failure::new(format!("{} is {}", whose.tenant, tenant.status)).try_next("suspend it first"));
    }
    let left = books::left_of(&db.auditor, tenant.number).await?;
    if !left.is_empty() {
        return Err(Failure::new(format!("{} still has {}", whose.tenant, left.join(", "))).try_next(
            "let what is in flight end; for it to withdraw what it has, resume it and suspend it afterwards",
        ));
    }
    status(db, whose, &[TenantStatus::Suspended], TenantStatus::Closed).await
}

/// Changes fees.
pub(super) async fn fees(db: &Store, args: FeesArgs) -> Result<(), Failure> {
    let FeesArgs { whose, currency, on_ramp_bps, off_ramp_bps, minimum, maximum } = args;
    let change = FeesChange {
        on_ramp_bps,
        off_ramp_bps,
        minimum: amount(currency, minimum.as_deref())?,
        maximum: amount(currency, maximum.as_deref())?,
    };
    let tenant = find_tenant(db, &whose.tenant).await?;
    let actor = actor();
    let why = Reason { tenant: tenant.number, actor: &actor, reason: &whose.reason };
    done(store::change_fees(&db.operator, &why, currency, change).await, "fees", currency)
}

/// Changes limits.
pub(super) async fn limits(db: &Store, args: LimitsArgs) -> Result<(), Failure> {
    let LimitsArgs { whose, currency, per_transfer, per_day, pending } = args;
    let change = LimitsChange {
        per_transfer: amount(currency, per_transfer.as_deref())?,
        per_day: amount(currency, per_day.as_deref())?,
        pending: amount(currency, pending.as_deref())?,
    };
    let tenant = find_tenant(db, &whose.tenant).await?;
    let actor = actor();
    let why = Reason { tenant: tenant.number, actor: &actor, reason: &whose.reason };
    done(store::change_limits(&db.operator, &why, currency, change).await, "limits", currency)
}

fn amount(currency: Currency, text: Option<&str>) -> Result<Option<i64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let money = Money::parse(currency, text).map_err(|error| {
        Failure::new(format!("{text}: {error}")).try_next(format!("write an amount of {currency} as 1250.00"))
    })?;
    Ok(Some(i64::try_from(money.minor)?))
}

fn done(changed: Result<bool, StoreError>, what: &str, currency: Currency) -> Result<(), Failure> {
    match changed {
        Ok(true) => println!("{} from the next request on", ui::green("changed")),
        Ok(false) => return Err(Failure::new(format!("no {what} in {currency} were agreed"))),
        Err(StoreError::Constraint(name)) => {
            return Err(
                Failure::new(format!("such {what} cannot be ({name})")).try_next("the least may not be above the most")
            );
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
