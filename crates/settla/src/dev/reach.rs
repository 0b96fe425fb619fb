//! Where the platform reaches the parts around it, if that is not where they are.

use crate::failure::Failure;
use crate::sandbox::servers;

/// Addresses that replace the parts' own, for the platform alone: those of proxies in between, or of other nodes.
#[derive(clap::Args, Clone, Default)]
pub struct Reach {
    /// A node of the chain that the platform asks instead of the local one. Given several times it asks all of
    /// them, and believes what a majority says.
    #[arg(long, value_name = "URL")]
    rpc_url: Vec<String>,
    /// Where the platform reaches the bank, the feed or a provider, such as `harbour=http://127.0.0.1:9000`.
    #[arg(long, value_name = "NAME=URL")]
    at: Vec<String>,
}

impl Reach {
    /// Nodes of the chain, `local` if no other is given.
    pub fn nodes(&self, local: String) -> Vec<String> {
        if self.rpc_url.is_empty() { vec![local] } else { self.rpc_url.clone() }
    }

    /// A server, in its place or at its own address. With several places for one the last counts.
    pub fn server(&self, name: &str, own: String) -> String {
        let given = self.at.iter().filter_map(|at| at.split_once('=')).rfind(|(given, _)| *given == name);
        given.map_or(own, |(_, url)| url.trim_end_matches('/').to_owned())
    }

    /// Refuses names that are nobody's: whoever misspells one would think that a proxy is in between.
    pub fn check(&self) -> Result<(), Failure> {
        let known = servers();
        let is_known = |at: &&String| at.split_once('=').is_some_and(|(name, _)| known.iter().any(|k| k == name));
        match self.at.iter().find(|at| !is_known(at)) {
            None => Ok(()),
            Some(at) => Err(Failure::new(format!("--at {at} names no server"))
                .try_next(format!("write NAME=URL; the names are {}", known.join(", ")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(at: &[&str]) -> Reach {
        Reach { rpc_url: Vec::new(), at: at.iter().map(|at| (*at).to_owned()).collect() }
    }

    #[test]
    fn a_server_is_at_its_own_address_or_where_it_was_said_last() {
        let reach = reach(&["harbour=http://a/", "harbour=http://b/"]);
        assert_eq!(reach.server("harbour", "http://own".to_owned()), "http://b");
        assert_eq!(reach.server("solano", "http://own".to_owned()), "http://own");
    }

    #[test]
    fn names_that_are_nobodys_are_refused() {
        assert!(reach(&["harbour=http://a", "bank=http://b", "fx=http://c"]).check().is_ok());
        for bad in ["harbor=http://a", "http://a", "=http://a", "chain=http://a"] {
            assert!(reach(&[bad]).check().is_err(), "{bad}");
        }
    }
}
