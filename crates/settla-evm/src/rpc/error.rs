//! What can go wrong between us and a node.

/// A question to a node was not answered. Nothing follows from it about the chain.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The address of the node is not an `http` or `https` URL.
    #[error("the RPC address is not an http(s) URL")]
    Url,
    /// No connection, a time-out, or a connection that broke. The URL is left out: it may hold a key.
    #[error("RPC transport: {0}")]
    Transport(String),
    /// An HTTP status other than success.
    #[error("the RPC node answered with HTTP status {0}")]
    Status(u16),
    /// The answer was longer than we read.
    #[error("the RPC node's answer is too large")]
    TooLarge,
    /// The answer is not what the question asks for.
    #[error("the RPC node's answer is malformed: {0}")]
    Malformed(&'static str),
    /// The node refused the question.
    #[error("the RPC node answered with error {code}: {message}")]
    Node {
        /// The JSON-RPC error code.
        code: i64,
        /// The node's text, cut to a bounded length.
        message: String,
    },
    /// The node serves another chain than the one configured.
    #[error("the RPC node serves chain {actual}, not {expected}")]
    WrongChain {
        /// The chain id that we were told to use.
        expected: u64,
        /// The chain id that the node claims.
        actual: u64,
    },
    /// The base fee is above the absolute ceiling.
    #[error("the base fee of {0} wei is above the ceiling")]
    FeeTooHigh(u128),
    /// More blocks were asked for than one call may scan.
    #[error("the block range is longer than {0} blocks")]
    RangeTooLong(u64),
}

/// A broadcast did not end in "accepted".
///
/// None of these proves that the transaction is dead: whoever has its bytes can broadcast it again. It has failed only
/// when its nonce is used up at depth, by a revert or by another transaction.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The bytes are not a signed transaction; nothing was sent.
    #[error("the bytes are not a signed transaction")]
    NotATransaction,
    /// The sender's nonce is used up on chain: by this very transaction, most often. Ask for its receipt.
    #[error("nonce too low")]
    NonceTooLow,
    /// Another transaction with this nonce waits, and this one does not pay enough more.
    #[error("replacement transaction underpriced")]
    Underpriced,
    /// The sender cannot pay the gas.
    #[error("insufficient funds for gas")]
    InsufficientFunds,
    /// The node refused it for another reason.
    #[error("refused by the node with error {code}: {message}")]
    Refused {
        /// The JSON-RPC error code.
        code: i64,
        /// The node's text, cut to a bounded length.
        message: String,
    },
    /// It is not known whether the node took it: broadcast the same bytes again, and look for the receipt.
    #[error("outcome unknown: {0}")]
    Unknown(RpcError),
}

impl From<RpcError> for SendError {
    fn from(error: RpcError) -> Self {
        match error {
            RpcError::Node { code, message } => Self::from_node(code, message),
            other => Self::Unknown(other),
        }
    }
}

impl SendError {
    /// Nodes agree on texts more than on codes, so the known texts are looked for first.
    fn from_node(code: i64, message: String) -> Self {
        let text = message.to_ascii_lowercase();
        if text.contains("nonce too low") || text.contains("nonce is too low") {
            Self::NonceTooLow
        } else if text.contains("underpriced") {
            Self::Underpriced
        } else if text.contains("insufficient funds") {
            Self::InsufficientFunds
        } else if is_the_nodes_own_trouble(code) {
            Self::Unknown(RpcError::Node { code, message })
        } else {
            Self::Refused { code, message }
        }
    }
}

/// Internal error, resource unavailable, limit exceeded: the node speaks of itself, not of the transaction.
fn is_the_nodes_own_trouble(code: i64) -> bool {
    matches!(code, -32603 | -32002 | -32005 | -32001)
}

/// Whether a node says that it has these very bytes already.
pub(super) fn is_already_known(error: &RpcError) -> bool {
    let RpcError::Node { message, .. } = error else {
        return false;
    };
    let text = message.to_ascii_lowercase();
    ["already known", "already imported", "known transaction", "already_exists", "alreadyknown"]
        .iter()
        .any(|known| text.contains(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(code: i64, message: &str) -> RpcError {
        RpcError::Node { code, message: message.to_owned() }
    }

    #[test]
    fn transport_trouble_is_unknown_and_never_a_refusal() {
        for error in [
            RpcError::Transport("timed out".to_owned()),
            RpcError::Status(502),
            RpcError::TooLarge,
            RpcError::Malformed("x"),
            node(-32603, "internal error"),
            node(-32005, "limit exceeded"),
        ] {
            assert!(matches!(SendError::from(error), SendError::Unknown(_)));
        }
    }

    #[test]
    fn known_texts_have_their_own_variant() {
        let cases = [(-32000, "nonce too low: next nonce 5, tx nonce 4"), (-32003, "nonce too low")];
        for (code, text) in cases {
            assert!(matches!(SendError::from(node(code, text)), SendError::NonceTooLow));
        }
        assert!(matches!(SendError::from(node(-32000, "replacement transaction underpriced")), SendError::Underpriced));
        assert!(matches!(
            SendError::from(node(-32003, "Insufficient funds for gas * price + value")),
            SendError::InsufficientFunds
        ));
        assert!(matches!(SendError::from(node(-32000, "invalid sender")), SendError::Refused { code: -32000, .. }));
    }

    #[test]
    fn a_node_that_has_the_bytes_is_recognised() {
        assert!(is_already_known(&node(-32000, "already known")));
        assert!(is_already_known(&node(-32003, "transaction already imported")));
        assert!(!is_already_known(&node(-32000, "nonce too low")));
        assert!(!is_already_known(&RpcError::Status(500)));
    }
}
