//! Several nodes of one chain, some of which are down, behind, or lying.

mod common;

use std::sync::Arc;

use common::{Anvil, CHAIN_ID, ONE_COIN, intent, open};
use serde_json::{Value, json};
use settla_evm::devkeys::DevKey;
use settla_evm::token::{TestToken, fund};
use settla_evm::{Address, Confirmation, Nodes, Rpc, RpcError, Signer, TxHash};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PAYEE: Address = Address([0x55; 20]);
const NOBODY: &str = "http://127.0.0.1:1";

/// Changes a node's answer to one call: the method, and the result.
type Twist = fn(&str, &mut Value);

/// A node that asks a real one and changes what it says.
async fn liar(real: &str, twist: Twist) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let real: Arc<str> = real.into();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&real), twist));
        }
    });
    url
}

async fn answer(mut stream: TcpStream, real: Arc<str>, twist: Twist) {
    let asked = request(&mut stream).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut said: Value = client.post(&*real).json(&asked).send().await.unwrap().json().await.unwrap();
    match (&asked, &mut said) {
        (Value::Array(calls), Value::Array(answers)) => {
            for answer in answers {
                let call = calls.iter().find(|call| call["id"] == answer["id"]).unwrap();
                twist(call["method"].as_str().unwrap(), &mut answer["result"]);
            }
        }
        (call, answer) => twist(call["method"].as_str().unwrap(), &mut answer["result"]),
    }
    let body = said.to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // The client may have hung up.
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

async fn request(stream: &mut TcpStream) -> Value {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4_096];
        let read = stream.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..read]);
        if let Some(body) = bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|end| &bytes[end + 4..])
            && let Ok(request) = serde_json::from_slice(body)
        {
            return request;
        }
        assert!(read > 0, "the request ended early");
    }
}

/// A chain on which a payment of seven has been made, two blocks deep.
struct Ground {
    anvil: Anvil,
    token: TestToken,
    wallet: Address,
    paid: TxHash,
    _folder: tempfile::TempDir,
}

async fn ground() -> Ground {
    let anvil = Anvil::start();
    let rpc = Rpc::connect(anvil.url(), CHAIN_ID).await.unwrap();
    let issuer = DevKey::account_0();
    let token = TestToken::deploy(&rpc, &issuer).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let signer = open(folder.path(), 0);
    let wallet = signer.address().await;
    token.mint(&rpc, &issuer, wallet, 100).await.unwrap();
    fund(&rpc, &issuer, wallet, ONE_COIN).await.unwrap();
    let signed = signer.sign(&intent(token.address(), PAYEE, &[7])).await.unwrap();
    rpc.send_raw(&signed.raw).await.unwrap();
    anvil.mine(1).await;
    Ground { anvil, token, wallet, paid: signed.tx_hash, _folder: folder }
}

async fn nodes(urls: &[&str]) -> Result<Nodes, RpcError> {
    Nodes::connect(&urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>(), CHAIN_ID).await
}

impl Ground {
    async fn outcome(&self, urls: &[&str]) -> Confirmation {
        nodes(urls).await.unwrap().confirmed(&[self.paid], 2).await.unwrap().remove(0)
    }
}

#[tokio::test]
async fn what_a_majority_says_counts_and_one_liar_changes_nothing() {
    let ground = ground().await;
    let url = ground.anvil.url();
    let blind = liar(url, |method, result| {
        if method == "eth_getTransactionReceipt" || method == "eth_getTransactionByHash" {
            *result = Value::Null;
        }
    })
    .await;
    assert!(matches!(ground.outcome(&[url]).await, Confirmation::Succeeded { .. }));
    assert!(matches!(ground.outcome(&[url, &blind, url]).await, Confirmation::Succeeded { .. }));
    assert!(matches!(ground.outcome(&[url, NOBODY, url]).await, Confirmation::Succeeded { .. }), "one is down");
    // Of two, both have to say so.
    assert_eq!(ground.outcome(&[url, &blind]).await, Confirmation::Pending);
    assert_eq!(ground.outcome(&[&blind, &blind, url]).await, Confirmation::Pending, "a minority has seen it");
    assert_eq!(ground.outcome(&[&blind]).await, Confirmation::NotFound);
}

#[tokio::test]
async fn nodes_that_contradict_each_other_are_not_believed() {
    let ground = ground().await;
    let url = ground.anvil.url();
    let pessimist = liar(url, |method, result| {
        if method == "eth_getTransactionReceipt" {
            result["status"] = json!("0x0");
        }
    })
    .await;
    let elsewhere = liar(url, |method, result| {
        if method == "eth_getTransactionReceipt" {
            result["blockHash"] = json!(format!("0x{}", "ab".repeat(32)));
        }
    })
    .await;
    for odd in [&pessimist, &elsewhere] {
        assert_eq!(ground.outcome(&[url, url, odd]).await, Confirmation::Pending, "two against one, and an alarm");
    }
}

#[tokio::test]
async fn without_a_majority_there_is_no_answer() {
    let ground = ground().await;
    let url = ground.anvil.url();
    assert!(matches!(nodes(&[url, NOBODY, NOBODY]).await.err(), Some(RpcError::Transport(_))));
    assert!(nodes(&[]).await.is_err());
    let other = liar(url, |method, result| {
        if method == "eth_chainId" {
            *result = json!("0x1");
        }
    })
    .await;
    let wrong = nodes(&[url, url, &other]).await.err();
    assert!(matches!(wrong, Some(RpcError::WrongChain { expected: CHAIN_ID, actual: 1 })), "{wrong:?}");
}

#[tokio::test]
async fn numbers_are_those_that_a_majority_has_reached() {
    let ground = ground().await;
    let url = ground.anvil.url();
    let boaster = liar(url, |method, result| match method {
        "eth_blockNumber" => *result = json!("0xffffff"),
        "eth_getTransactionCount" => *result = json!("0x99"),
        "eth_getBalance" => *result = json!("0xffffffffffffffffffffff"),
        _ => {}
    })
    .await;
    let rpc = Rpc::connect(url, CHAIN_ID).await.unwrap();
    let together = nodes(&[&boaster, url, url]).await.unwrap();
    assert_eq!(together.block_number().await.unwrap(), rpc.block_number().await.unwrap());
    assert_eq!(together.native_balance(ground.wallet).await.unwrap(), rpc.native_balance(ground.wallet).await.unwrap());
    assert_eq!(together.token_balance(ground.token.address(), PAYEE).await.unwrap(), 7);
    // A signer is warned by any of them.
    assert_eq!(together.highest_nonce(ground.wallet).await.unwrap(), 0x99);
    assert_eq!(together.transaction_of_nonce(ground.wallet, 0, 1).await.unwrap(), Some(ground.paid));
    assert_eq!(together.transaction_of_nonce(ground.wallet, 1, 1).await.unwrap(), None);
    // In a block, but not as deep as asked for.
    let height = rpc.block_number().await.unwrap();
    assert_eq!(together.transaction_of_nonce(ground.wallet, 0, height + 1).await.unwrap(), None);
}

#[tokio::test]
async fn a_broadcast_reaches_the_chain_by_any_node() {
    let ground = ground().await;
    let folder = tempfile::tempdir().unwrap();
    let signer = open(folder.path(), 0);
    let url = ground.anvil.url();
    let rpc = Rpc::connect(url, CHAIN_ID).await.unwrap();
    fund(&rpc, &DevKey::account_0(), signer.address().await, ONE_COIN).await.unwrap();
    ground.token.mint(&rpc, &DevKey::account_0(), signer.address().await, 5).await.unwrap();
    let signed = signer.sign(&intent(ground.token.address(), PAYEE, &[5])).await.unwrap();
    let together = nodes(&[NOBODY, url, url]).await.unwrap();
    assert_eq!(together.send_raw(&signed.raw).await.unwrap(), signed.tx_hash);
    assert_eq!(together.token_balance(ground.token.address(), PAYEE).await.unwrap(), 12);
    assert_eq!(together.transaction(signed.tx_hash).await.unwrap().unwrap().from, signer.address().await);
}
