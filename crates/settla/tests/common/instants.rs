//! Chance that can be had again: with the same `SETTLA_SEED` a test does the same things in the same order.

use uuid::Uuid;

/// Numbers from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Instants {
    seed: u64,
    state: u64,
}

impl Instants {
    /// From `SETTLA_SEED`, or from a new seed, which is printed.
    pub fn new() -> Self {
        let seed = std::env::var("SETTLA_SEED").ok().and_then(|s| s.parse().ok());
        let seed = seed.unwrap_or_else(|| Uuid::now_v7().as_u128() as u64);
        println!("SETTLA_SEED={seed}");
        Self { seed, state: seed }
    }

    /// Others of the same seed, for something that goes on beside: each has its own, so neither depends on which
    /// of them is asked first.
    pub fn aside(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.state =
            name.bytes().fold(self.seed, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        other
    }

    pub fn next_ms(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from)
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
