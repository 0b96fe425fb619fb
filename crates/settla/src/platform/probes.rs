//! What readiness asks.

use async_trait::async_trait;
use futures_util::future::join_all;
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
/// Asks the on-ramps: one that answers will do.
pub struct OnRampsProbe(pub Vec<Arc<dyn OnRamp>>);
/// Asks the off-ramps: one that answers will do.
pub struct OffRampsProbe(pub Vec<Arc<dyn OffRamp>>);
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
impl Probe for OnRampsProbe {
    async fn ready(&self) -> bool {
        join_all(self.0.iter().map(|ramp| ramp.healthy())).await.contains(&true)
    }
}

#[async_trait]
impl Probe for OffRampsProbe {
    async fn ready(&self) -> bool {
        join_all(self.0.iter().map(|ramp| ramp.healthy())).await.contains(&true)
    }
}

#[async_trait]
impl Probe for FxProbe {
    async fn ready(&self) -> bool {
        self.0.healthy().await
    }
}
