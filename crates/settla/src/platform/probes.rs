//! What readiness asks.

use async_trait::async_trait;
use settla_rails::bank::Bank;
use settla_rails::chain::Chain;
use settla_rails::fx::FxFeed;
use settla_rails::off_ramp::OffRamp;
use settla_rails::on_ramp::OnRamp;
use settla_server::Probe;
use std::sync::Arc;

/// Asks the chain for its head.
pub struct ChainProbe(pub Arc<Chain>);
/// Asks the bank.
pub struct BankProbe(pub Arc<dyn Bank>);
/// Asks the on-ramp.
pub struct OnRampProbe(pub Arc<dyn OnRamp>);
/// Asks the off-ramp.
pub struct OffRampProbe(pub Arc<dyn OffRamp>);
/// Asks the price feed.
pub struct FxProbe(pub Arc<dyn FxFeed>);

#[async_trait]
impl Probe for ChainProbe {
    async fn ready(&self) -> bool {
        self.0.rpc.block_number().await.is_ok()
    }
}

#[async_trait]
impl Probe for BankProbe {
    async fn ready(&self) -> bool {
        self.0.healthy().await
    }
}

#[async_trait]
impl Probe for OnRampProbe {
    async fn ready(&self) -> bool {
        self.0.healthy().await
    }
}

#[async_trait]
impl Probe for OffRampProbe {
    async fn ready(&self) -> bool {
        self.0.healthy().await
    }
}

#[async_trait]
impl Probe for FxProbe {
    async fn ready(&self) -> bool {
        self.0.healthy().await
    }
}
