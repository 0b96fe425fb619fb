//! The local EVM node keeps its chain.

use std::time::Duration;

use serde_json::{Value, json};
use settla_devkit::probe::json_rpc;
use settla_devkit::{Anvil, AnvilSettings, TestFolder};

const SETTINGS: AnvilSettings = AnvilSettings { chain_id: 43_113, block_time: None };

async fn call(anvil: &Anvil, method: &str, params: Value) -> Value {
    json_rpc(anvil.port(), method, params).await.expect(method)
}

/// Asks until the answer is there, ten seconds at most.
async fn eventually(anvil: &Anvil, method: &str, params: Value, absent: Value) -> Value {
    let ask = async {
        loop {
            let answer = call(anvil, method, params.clone()).await;
            if answer != absent {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ask).await.expect(method)
}

#[tokio::test]
async fn carries_on_after_a_stop() {
    let folder = TestFolder::new("anvil").expect("folder");
    let first = Anvil::start(Some(folder.path()), SETTINGS).await.expect("start");
    let accounts = call(&first, "eth_accounts", json!([])).await;
    let transfer = json!([{"from": accounts[0], "to": accounts[1], "value": "0x1"}]);
    let hash = call(&first, "eth_sendTransaction", transfer).await;
    let receipt = eventually(&first, "eth_getTransactionReceipt", json!([hash]), Value::Null).await;
    assert_eq!(receipt["status"], "0x1");

    first.stop().await.expect("stop");
    assert!(!first.child().is_alive());
    let second = Anvil::start(Some(folder.path()), SETTINGS).await.expect("start again");
    assert!(!second.child().was_attached());
    assert_eq!(second.url(), first.url());
    let again = call(&second, "eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(again["blockHash"], receipt["blockHash"]);

    let attached = Anvil::start(Some(folder.path()), SETTINGS).await.expect("attach");
    assert_eq!(attached.child().pid(), second.child().pid());
}

#[tokio::test]
async fn makes_blocks_by_the_clock_and_ends_with_its_value() {
    let settings = AnvilSettings { chain_id: 31_337, block_time: Some(Duration::from_millis(100)) };
    let anvil = Anvil::start(None, settings).await.expect("start");
    assert_eq!(call(&anvil, "eth_chainId", json!([])).await, "0x7a69");
    eventually(&anvil, "eth_blockNumber", json!([]), json!("0x0")).await;
    let child = anvil.child().clone();
    drop(anvil);
    assert!(!child.is_alive());
}
