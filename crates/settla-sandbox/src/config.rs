//! How a sandbox is set up.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use settla_evm::Address;

use crate::{error::SandboxError, magic::Script};

/// Ports of the four servers; 0 takes a free one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// The bank.
    pub bank: u16,
    /// The on-ramp.
    pub onramp: u16,
    /// The off-ramp.
    pub offramp: u16,
    /// The FX feed.
    pub fx: u16,
}

/// The bearer keys that the servers ask for.
#[derive(Clone)]
pub struct Keys {
    /// The bank's.
    pub bank: String,
    /// The on-ramp's.
    pub onramp: String,
    /// The off-ramp's.
    pub offramp: String,
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
    /// Tokens minted to the on-ramp's treasury when it has none.
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
    /// The servers' keys.
    pub keys: Keys,
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
    /// Median time that an order, payout or payment takes; each takes 0.5 to 2 times as long, by its id.
    pub latency_ms: u64,
    /// So many of a thousand starts are carried out but never answered.
    pub unknown_permille: u16,
    /// How long a slow order (magic digit 2) takes.
    pub slow_ms: u64,
    /// How late an answer (magic digit 5) comes.
    pub late_ms: u64,
}

impl SandboxConfig {
    /// Defaults for everything but the chain: free ports on the loopback address, 300 ms, nothing unknown.
    #[must_use]
    pub fn new(dir: PathBuf, keys: Keys, rpc_url: String, chain_id: u64, token: Address) -> Self {
        Self {
            dir,
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ports: Ports::default(),
            keys,
            rpc_url,
            chain_id,
            token,
            depth: 1,
            funder: None,
            latency_ms: 300,
            unknown_permille: 0,
            slow_ms: 15_000,
            late_ms: 15_000,
        }
    }

    pub(crate) fn check(&self) -> Result<(), SandboxError> {
        let keys = [&self.keys.bank, &self.keys.onramp, &self.keys.offramp, &self.keys.fx];
        // A bearer token that a header cannot carry, or none at all, would lock everybody in or out.
        if keys.iter().any(|key| key.len() < 8 || !key.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(SandboxError::Setting { name: "keys", reason: "at least 8 visible ASCII characters each" });
        }
        if self.unknown_permille > 1_000 {
            return Err(SandboxError::Setting { name: "unknown_permille", reason: "at most 1000" });
        }
        const DAY_MS: u64 = 86_400_000;
        if [self.latency_ms, self.slow_ms, self.late_ms].iter().any(|delay_ms| *delay_ms > DAY_MS) {
            return Err(SandboxError::Setting { name: "latency_ms, slow_ms, late_ms", reason: "at most a day" });
        }
        Ok(())
    }

    pub(crate) fn script(&self) -> Script {
        Script {
            latency_ms: self.latency_ms,
            slow_ms: self.slow_ms,
            late_ms: self.late_ms,
            unknown_permille: self.unknown_permille,
        }
    }
}
