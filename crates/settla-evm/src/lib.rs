//! EVM chains: addresses, batch manifests, reading and broadcasting, signing.
//!
//! **For:** everything the platform needs to move a token on an EVM chain and to know what became of it. Two sides
//! that do not depend on each other: [`rpc`] reads a chain and broadcasts bytes and never sees a key; [`signer`] owns
//! a key and its nonces and never talks to a network. What both need is plain data: [`Address`], [`TxHash`],
//! [`Manifest`], [`Fees`].
//!
//! **Costs:** a signature is two `fdatasync`s, shared by all calls that wait at the same moment; [`Rpc::confirmed`] is
//! at most three HTTP requests for every 100 transactions.
//!
//! **Never:** knows tenants or transfers, calls a transport failure a failed payment, reads a nonce for signing from
//! the chain, or overwrites a key or journal that it cannot read.

pub mod address;
pub mod calldata;
pub mod devkeys;
pub mod fees;
pub mod manifest;
pub mod rpc;
pub mod signer;
pub mod token;

pub use address::{Address, AddressError, TxHash};
pub use calldata::{TransferCall, parse_transfer_calldata, transfer_calldata};
pub use fees::{Fees, TOKEN_TRANSFER_GAS_LIMIT};
pub use manifest::{Manifest, ManifestError, ManifestMember, manifest_hash};
pub use rpc::{Confirmation, Nodes, Receipt, Rpc, RpcError, SendError, TokenTransfer, Tx};
pub use signer::{Intent, LocalSigner, SignedTx, Signer, SignerError};
