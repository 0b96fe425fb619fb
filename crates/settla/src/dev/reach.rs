//! Where the platform reaches the parts around it, if that is not where they are.

/// Addresses that replace the parts' own, for the platform alone: those of proxies in between, or of other nodes.
#[derive(clap::Args, Clone, Default)]
pub struct Reach {
    /// A node of the chain that the platform asks instead of the local one. Given several times it asks all of
    /// them, and believes what a majority says.
    #[arg(long, value_name = "URL")]
    rpc_url: Vec<String>,
    /// Where the platform reaches the bank.
    #[arg(long, value_name = "URL")]
    bank_url: Option<String>,
    /// Where the platform reaches the on-ramp.
    #[arg(long, value_name = "URL")]
    on_ramp_url: Option<String>,
    /// Where the platform reaches the off-ramp.
    #[arg(long, value_name = "URL")]
    off_ramp_url: Option<String>,
    /// Where the platform reaches the price feed.
    #[arg(long, value_name = "URL")]
    fx_url: Option<String>,
}

impl Reach {
    /// Nodes of the chain, `local` if no other is given.
    pub fn nodes(&self, local: String) -> Vec<String> {
        if self.rpc_url.is_empty() { vec![local] } else { self.rpc_url.clone() }
    }

    /// Bank, on-ramp, off-ramp and feed, each in its place or at its own address.
    pub fn servers(&self, own: [String; 4]) -> [String; 4] {
        let [bank, on_ramp, off_ramp, fx] = own;
        let at = |given: &Option<String>, own: String| match given {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => own,
        };
        [
            at(&self.bank_url, bank),
            at(&self.on_ramp_url, on_ramp),
            at(&self.off_ramp_url, off_ramp),
            at(&self.fx_url, fx),
        ]
    }
}
