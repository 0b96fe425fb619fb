//! Several nodes of one chain, of which none is believed alone.
//!
//! What money depends on counts when a majority of the configured nodes says the same: with one node that is this
//! one, with three it is two. Nodes that are down or behind do not stand in the way as long as a majority is there;
//! nodes that contradict each other about a block at depth are an alarm, and nothing follows from what they say.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::{Confirmation, Rpc, RpcError, SendError, TokenTransfer, Tx};
use crate::{Address, Fees, TxHash};

/// Contradictions between nodes, counted since the start.
pub const DISAGREEMENTS_METRIC: &str = "settla_rpc_disagreements_total";

/// Once a majority has answered, the others get so long to agree or to contradict.
const GRACE: Duration = Duration::from_millis(500);
/// A node that cannot be connected to does not hold up a call for longer than this.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// The nodes of one chain. Cheap to clone.
#[derive(Clone)]
pub struct Nodes {
    nodes: Arc<[Node]>,
    chain_id: u64,
}

struct Node {
    url: String,
    /// Connected and seen to serve the right chain, at its first use that succeeds.
    rpc: OnceCell<Rpc>,
}

impl Node {
    async fn rpc(&self, chain_id: u64) -> Result<Rpc, RpcError> {
        let connecting = self.rpc.get_or_try_init(|| Rpc::connect(&self.url, chain_id));
        match timeout(CONNECT_PATIENCE, connecting).await {
            Ok(connected) => connected.cloned(),
            Err(_) => Err(RpcError::Transport("no connection in time".to_owned())),
        }
    }
}

impl Nodes {
    /// Connects to the nodes; a majority has to be there and to serve this chain. One that serves another chain is a
    /// mistake of whoever configured it, whatever the others are.
    pub async fn connect(urls: &[String], chain_id: u64) -> Result<Self, RpcError> {
        let nodes = urls.iter().map(|url| Node { url: url.clone(), rpc: OnceCell::new() }).collect();
        let nodes = Self { nodes, chain_id };
        let (mut there, mut trouble) = (0, RpcError::Url);
        for connected in nodes.each(|rpc| async move { Ok(rpc) }, usize::MAX).await {
            match connected {
                Ok(_) => there += 1,
                Err(wrong @ RpcError::WrongChain { .. }) => return Err(wrong),
                Err(error) => trouble = error,
            }
        }
        if there < nodes.majority() || urls.is_empty() { Err(trouble) } else { Ok(nodes) }
    }

    /// The chain that all of them serve.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    fn majority(&self) -> usize {
        self.nodes.len() / 2 + 1
    }

    /// Puts a question to all nodes at once. After `enough` answers the rest is waited for only a little longer.
    async fn each<T, E, F>(&self, question: impl Fn(Rpc) -> F, enough: usize) -> Vec<Result<T, E>>
    where
        E: From<RpcError>,
        F: Future<Output = Result<T, E>>,
    {
        let question = &question;
        let mut asked = FuturesUnordered::new();
        for place in 0..self.nodes.len() {
            let (nodes, chain_id) = (Arc::clone(&self.nodes), self.chain_id);
            asked.push(async move { question(nodes[place].rpc(chain_id).await?).await });
        }
        let (mut answers, mut good) = (Vec::with_capacity(self.nodes.len()), 0);
        loop {
            let next =
                if good < enough { asked.next().await } else { timeout(GRACE, asked.next()).await.ok().flatten() };
            let Some(answer) = next else { return answers };
            good += usize::from(answer.is_ok());
            answers.push(answer);
        }
    }

    /// Asks all nodes; fails unless a majority answers.
    async fn ask<T, F>(&self, question: impl Fn(Rpc) -> F) -> Result<Vec<T>, RpcError>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        let (mut answers, mut trouble) = (Vec::with_capacity(self.nodes.len()), RpcError::Url);
        for answer in self.each(question, self.majority()).await {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(error) => trouble = error,
            }
        }
        if answers.len() < self.majority() { Err(trouble) } else { Ok(answers) }
    }

    /// What became of these transactions, in their order; see [`Rpc::confirmed`]. An outcome counts when a majority
    /// has it, in the same block and with the same token transfers.
    pub async fn confirmed(&self, hashes: &[TxHash], depth: u64) -> Result<Vec<Confirmation>, RpcError> {
        let asked: Arc<[TxHash]> = hashes.into();
        let answers = self
            .ask(|rpc| {
                let asked = Arc::clone(&asked);
                async move { rpc.confirmed(&asked, depth).await }
            })
            .await?;
        Ok((0..hashes.len())
            .map(|place| self.agreed(answers.iter().filter_map(|answer| answer.get(place)).collect()))
            .collect())
    }

    fn agreed(&self, opinions: Vec<&Confirmation>) -> Confirmation {
        let is_final = |c: &&Confirmation| matches!(c, Confirmation::Succeeded { .. } | Confirmation::Reverted { .. });
        let mut outcomes = opinions.iter().copied().filter(is_final);
        if let Some(first) = outcomes.next() {
            if outcomes.any(|other| other != first) {
                tracing::error!("nodes contradict each other about a transaction at depth; none of them is believed");
                metrics::counter!(DISAGREEMENTS_METRIC).increment(1);
                return Confirmation::Pending;
            }
            let votes = opinions.iter().filter(|opinion| **opinion == first).count();
            return if votes >= self.majority() { first.clone() } else { Confirmation::Pending };
        }
        let without = opinions.iter().filter(|opinion| ***opinion == Confirmation::NotFound).count();
        if without >= self.majority() { Confirmation::NotFound } else { Confirmation::Pending }
    }

    /// A transaction as a majority knows it, its block left out.
    pub async fn transaction(&self, hash: TxHash) -> Result<Option<Tx>, RpcError> {
        let answers = self.ask(|rpc| async move { rpc.transaction(hash).await }).await?;
        let known: Vec<Tx> = answers.into_iter().flatten().map(|tx| Tx { block_number: None, ..tx }).collect();
        let agreed = known.iter().find(|tx| known.iter().filter(|other| other == tx).count() >= self.majority());
        Ok(agreed.cloned())
    }

    /// Broadcasts to all nodes. One that takes it is enough; else the first refusal is told.
    pub async fn send_raw(&self, raw: &[u8]) -> Result<TxHash, SendError> {
        let bytes: Arc<[u8]> = raw.into();
        let sent = self.each(
            |rpc| {
                let bytes = Arc::clone(&bytes);
                async move { rpc.send_raw(&bytes).await }
            },
            1,
        );
        let mut refusal = None;
        for outcome in sent.await {
            match outcome {
                Ok(hash) => return Ok(hash),
                Err(error) => drop(refusal.get_or_insert(error)),
            }
        }
        Err(refusal.unwrap_or(SendError::Unknown(RpcError::Url)))
    }

    /// The height that a majority has reached.
    pub async fn block_number(&self) -> Result<u64, RpcError> {
        Ok(self.reached(self.ask(|rpc| async move { rpc.block_number().await }).await?))
    }

    /// The transaction that used this nonce of the account, if a majority of nodes has the same one in its block at
    /// `depth`; see [`Rpc::transaction_of_nonce`].
    pub async fn transaction_of_nonce(
        &self,
        address: Address,
        nonce: u64,
        depth: u64,
    ) -> Result<Option<TxHash>, RpcError> {
        let answers = self.ask(|rpc| async move { rpc.transaction_of_nonce(address, nonce, depth).await }).await?;
        let agreed = |hash: &&TxHash| answers.iter().flatten().filter(|other| other == hash).count() >= self.majority();
        Ok(answers.iter().flatten().find(agreed).copied())
    }

    /// The highest nonce that any node claims for the account: a signer that knows less must not sign.
    pub async fn highest_nonce(&self, address: Address) -> Result<u64, RpcError> {
        let answers = self.ask(|rpc| async move { rpc.nonce(address).await }).await?;
        Ok(answers.into_iter().max().unwrap_or_default())
    }

    /// The balance in the chain's own coin, in wei: the least that a node claims.
    pub async fn native_balance(&self, address: Address) -> Result<u128, RpcError> {
        let answers = self.ask(|rpc| async move { rpc.native_balance(address).await }).await?;
        Ok(answers.into_iter().min().unwrap_or_default())
    }

    /// The balance of a token, in its minor units: what most nodes claim.
    pub async fn token_balance(&self, token: Address, owner: Address) -> Result<u128, RpcError> {
        let answers = self.ask(|rpc| async move { rpc.token_balance(token, owner).await }).await?;
        let mut votes: BTreeMap<u128, usize> = BTreeMap::new();
        answers.into_iter().for_each(|balance| *votes.entry(balance).or_default() += 1);
        Ok(votes.into_iter().max_by_key(|(_, votes)| *votes).map_or(0, |(balance, _)| balance))
    }

    /// A token's transfers in these blocks as a majority has them; see [`Rpc::token_transfers`]. Ask for blocks at depth:
    /// nodes that do not agree yet are no answer.
    pub async fn token_transfers(
        &self,
        token: Address,
        blocks: RangeInclusive<u64>,
        from: Option<Address>,
        to: Option<Address>,
    ) -> Result<Vec<TokenTransfer>, RpcError> {
        let (first, last) = (*blocks.start(), *blocks.end());
        let answers = self.ask(|rpc| async move { rpc.token_transfers(token, first, last, from, to).await }).await?;
        let agreed =
            answers.iter().find(|answer| answers.iter().filter(|other| other == answer).count() >= self.majority());
        agreed.cloned().ok_or(RpcError::Malformed("token transfers that no majority has"))
    }

    /// Fees for a transaction sent now: the middle one of what the nodes propose, so that no single one can make us
    /// pay without bound or have us wait for ever.
    pub async fn fees(&self) -> Result<Fees, RpcError> {
        let mut answers = self.ask(|rpc| async move { rpc.fees().await }).await?;
        answers.sort_unstable_by_key(|fees| (fees.max_fee_per_gas, fees.max_priority_fee_per_gas));
        let middle = answers.len() / 2;
        answers.get(middle).copied().ok_or(RpcError::Url)
    }

    /// The greatest number that a majority has at least.
    fn reached(&self, mut numbers: Vec<u64>) -> u64 {
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers.get(self.majority() - 1).copied().unwrap_or_default()
    }
}
