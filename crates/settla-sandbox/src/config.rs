//! How a sandbox is set up.

use std::{
    collections::HashSet,
    fmt,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use settla_evm::Address;

use crate::{error::SandboxError, magic::Script, provider::ProviderSettings};

/// Longest delay that can be asked for: a day.
pub(crate) const DELAY_MS_MAX: u64 = 86_400_000;
/// Most providers of one sandbox.
const PROVIDERS_MAX: usize = 16;

/// Ports of bank and feed; 0 takes a free one. Each provider has its own in its settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// The bank.
    pub bank: u16,
    /// The FX feed.
    pub fx: u16,
}

/// The bearer keys that bank and feed ask for. Each provider has its own in its settings.
#[derive(Clone)]
pub struct Keys {
    /// The bank's.
    pub bank: String,
    /// The FX feed's.
    pub fx: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// Fills the wallets on a local chain with its well-known key. Never for a chain that anybody else uses.
#[derive(Clone, Copy, Debug)]
pub struct Funder {
    /// Tokens minted to each on-ramp's treasury when it has none.
    pub treasury_tokens: u128,
    /// Wei given to each wallet that has less than a tenth of it.
    pub gas_wei: u128,
}

impl Default for Funder {
    /// A thousand million USDC, and gas for about a million transactions of a quiet chain.
    fn default() -> Self {
        Self { treasury_tokens: 1_000_000_000_000_000, gas_wei: 100_000_000_000_000_000_000 }
    }
}

/// Everything that a sandbox needs to know.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Its folder. One sandbox at a time; made when it is not there.
    pub dir: PathBuf,
    /// The address to listen on.
    pub ip: IpAddr,
    /// The ports.
    pub ports: Ports,
    /// Keys of bank and feed.
    pub keys: Keys,
    /// The on-ramps and off-ramps.
    pub providers: Vec<ProviderSettings>,
    /// A node of the chain.
    pub rpc_url: String,
    /// The chain that the node must serve.
    pub chain_id: u64,
    /// The USDC contract.
    pub token: Address,
    /// Blocks that make a transaction final; 1 is the head block.
    pub depth: u64,
    /// Fills the wallets at start, on a local chain.
    pub funder: Option<Funder>,
    /// Median time that a payment takes, and an order or payout at a provider of 100 per cent; each takes 0.5 to 2 times
    /// as long, by its id.
    pub latency_ms: u64,
    /// How long a slow order (magic digit 2) takes.
    pub slow_ms: u64,
    /// How late an answer (magic digit 5) comes.
    pub late_ms: u64,
}

impl SandboxConfig {
    /// Defaults for everything but the chain and the providers: free ports on the loopback address, 300 ms.
    #[must_use]
    pub fn new(
        dir: PathBuf,
        keys: Keys,
        providers: Vec<ProviderSettings>,
        rpc_url: String,
        chain_id: u64,
        token: Address,
    ) -> Self {
        Self {
            dir,
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ports: Ports::default(),
            keys,
            providers,
            rpc_url,
            chain_id,
            token,
            depth: 1,
            funder: None,
            latency_ms: 300,
            slow_ms: 15_000,
            late_ms: 15_000,
        }
    }

    pub(crate) fn check(&self) -> Result<(), SandboxError> {
        let mut keys = [&self.keys.bank, &self.keys.fx].into_iter().chain(self.providers.iter().map(|one| &one.key));
        // A bearer token that a header cannot carry, or none at all, would lock everybody in or out.
        if keys.any(|key| key.len() < 8 || !key.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(SandboxError::Setting { name: "keys", reason: "at least 8 visible ASCII characters each" });
        }
        if self.providers.len() > PROVIDERS_MAX {
            return Err(SandboxError::Setting { name: "providers", reason: "at most 16" });
        }
        let mut names = HashSet::new();
        for provider in &self.providers {
            provider.check()?;
            if !names.insert(&provider.name) {
                return Err(SandboxError::Setting { name: "providers", reason: "each name once" });
            }
        }
        if [self.latency_ms, self.slow_ms, self.late_ms].iter().any(|delay_ms| *delay_ms > DELAY_MS_MAX) {
            return Err(SandboxError::Setting { name: "latency_ms, slow_ms, late_ms", reason: "at most a day" });
        }
        Ok(())
    }

    pub(crate) fn script(&self) -> Script {
        Script { latency_ms: self.latency_ms, slow_ms: self.slow_ms, late_ms: self.late_ms, unknown_permille: 0 }
    }
}
