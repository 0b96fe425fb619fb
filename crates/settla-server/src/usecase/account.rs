//! Who the caller is.

use super::Server;
use settla_domain::money::Money;
use settla_port::caller::{Caller, FeeView, LimitView, Me, RateLimitView};
use settla_port::error::PortError;
use settla_store::read::TenantProfile;
use std::sync::Arc;

/// What was agreed with the caller.
pub(super) async fn profile(server: &Server, caller: &Caller) -> Result<Arc<TenantProfile>, PortError> {
    server.access.profile(caller.tenant()).await?.ok_or(PortError::Unauthenticated)
}

pub(super) async fn me(server: &Server, caller: &Caller) -> Result<Me, PortError> {
    let profile = profile(server, caller).await?;
    let fees = profile.terms.fees.iter().map(|(currency, fee)| FeeView {
        currency: currency.code().to_owned(),
        on_ramp_bps: fee.on_ramp_bps,
        off_ramp_bps: fee.off_ramp_bps,
        minimum: Money::new(*currency, i128::from(fee.minimum)).decimal(),
        maximum: Money::new(*currency, i128::from(fee.maximum)).decimal(),
    });
    let limits = profile.terms.limits.iter().map(|(currency, limits)| LimitView {
        currency: currency.code().to_owned(),
        per_transfer: Money::new(*currency, i128::from(limits.per_transfer)).decimal(),
        per_day: Money::new(*currency, i128::from(limits.per_day)).decimal(),
        pending: Money::new(*currency, i128::from(limits.pending)).decimal(),
    });
    Ok(Me {
        tenant_id: profile.id,
        name: profile.name.clone(),
        status: profile.terms.status.name().to_owned(),
        environment: caller.environment().as_str().to_owned(),
        key_id: caller.key(),
        scopes: caller.scopes().to_vec(),
        fees: fees.collect(),
        limits: limits.collect(),
        rate_limits: RateLimitView::all(caller.rate_limits()),
    })
}
