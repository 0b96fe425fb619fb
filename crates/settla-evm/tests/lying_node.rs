//! Nodes that answer wrongly: nothing is believed that was not asked for, and no broadcast is called failed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::{Value, json};
use settla_evm::{Address, Rpc, RpcError, SendError, TxHash};

/// What the node answers, given the request: status, further header lines, body.
type Answer = fn(&Value) -> (u16, &'static str, Vec<u8>);

/// An HTTP server that says `eth_chainId` = 1 and answers everything else with `answer`. Its thread ends with the
/// test's process.
fn node(answer: Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let line = line.trim().to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let request: Value = serde_json::from_slice(&body).unwrap_or_default();
            let (status, headers, body) =
                if request["method"] == "eth_chainId" { (200, "", result(&json!("0x1"))) } else { answer(&request) };
            let head =
                format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n", body.len());
            // The client hangs up when it has read enough.
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&body);
        }
    });
    url
}

fn result(value: &Value) -> Vec<u8> {
    json!({"jsonrpc": "2.0", "id": 0, "result": value}).to_string().into_bytes()
}

async fn connect(answer: Answer) -> Rpc {
    Rpc::connect(&node(answer), 1).await.unwrap()
}

#[tokio::test]
async fn a_broadcast_that_was_not_clearly_answered_is_unknown() {
    let answers: [(&str, Answer); 6] = [
        ("a server error", |_| (502, "", b"bad gateway".to_vec())),
        ("too many requests", |_| (429, "", Vec::new())),
        ("no JSON", |_| (200, "", b"<html>".to_vec())),
        ("the hash of something else", |_| (200, "", result(&json!(TxHash([1; 32]))))),
        ("a redirect", |_| (307, "location: http://127.0.0.1:1/\r\n", Vec::new())),
        ("the node's own trouble", |_| {
            let body = json!({"id": 0, "error": {"code": -32603, "message": "internal"}});
            (200, "", body.to_string().into_bytes())
        }),
    ];
    for (name, answer) in answers {
        let error = connect(answer).await.send_raw(&[2, 3]).await.unwrap_err();
        assert!(matches!(error, SendError::Unknown(_)), "{name}: {error}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let rpc = connect(|_| (200, "", vec![b' '; 17 * 1024 * 1024])).await;
    assert!(matches!(rpc.block_number().await, Err(RpcError::TooLarge)));
}

#[tokio::test]
async fn a_batch_must_be_answered_once_for_every_question() {
    let answers: [(&str, Answer); 4] = [
        ("one missing", |_| (200, "", json!([{"id": 0, "result": null}]).to_string().into())),
        ("one twice", |_| {
            let one = json!({"id": 0, "result": null});
            (200, "", json!([one, one]).to_string().into())
        }),
        ("one too many", |_| {
            let body = json!([{"id": 0}, {"id": 1}, {"id": 2}]);
            (200, "", body.to_string().into())
        }),
        ("another transaction's receipt", |_| {
            let body = json!([{"id": 1, "result": null}, {"id": 0, "result": receipt(7)}]);
            (200, "", body.to_string().into())
        }),
    ];
    let asked = [TxHash([1; 32]), TxHash([2; 32])];
    for (name, answer) in answers {
        let error = connect(answer).await.receipts(&asked).await.unwrap_err();
        assert!(matches!(error, RpcError::Malformed(_)), "{name}: {error}");
    }
}

#[tokio::test]
async fn answers_in_another_order_find_their_questions() {
    let rpc = connect(|_| {
        let body = json!([{"id": 1, "result": receipt(2)}, {"id": 0, "result": receipt(1)}]);
        (200, "", body.to_string().into())
    })
    .await;
    let receipts = rpc.receipts(&[TxHash([1; 32]), TxHash([2; 32])]).await.unwrap();
    assert_eq!(receipts[0].as_ref().unwrap().tx_hash, TxHash([1; 32]));
    assert_eq!(receipts[1].as_ref().unwrap().tx_hash, TxHash([2; 32]));
}

#[tokio::test]
async fn logs_of_another_token_or_payee_are_not_believed() {
    let rpc = connect(|_| (200, "", result(&json!([log(Address([9; 20]))])))).await;
    let ours = Address([8; 20]);
    let error = rpc.token_transfers(ours, 0, 9, None, None).await;
    assert!(matches!(error, Err(RpcError::Malformed(_))));
    let token = Address([9; 20]);
    let to_us = rpc.token_transfers(token, 0, 9, None, Some(ours)).await;
    assert!(matches!(to_us, Err(RpcError::Malformed(_))));
    let all = rpc.token_transfers(token, 0, 9, None, None).await.unwrap();
    assert_eq!((all[0].amount, all[0].block_number), (7, 5));
}

#[tokio::test]
async fn an_absurd_base_fee_is_refused() {
    let rpc = connect(|_| {
        let block = json!({"baseFeePerGas": "0xffffffffffffffff"});
        let body = json!([{"id": 0, "result": block}, {"id": 1, "result": "0x1"}]);
        (200, "", body.to_string().into())
    })
    .await;
    assert!(matches!(rpc.fees().await, Err(RpcError::FeeTooHigh(_))));
}

#[tokio::test]
async fn an_address_that_is_not_http_is_refused_and_never_printed() {
    for url in ["", "ftp://127.0.0.1/", "/tmp/ipc"] {
        assert!(matches!(Rpc::connect(url, 1).await, Err(RpcError::Url)));
    }
    // A port where nobody listens; the key in the path must not reach a log.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Rpc::connect(&format!("http://{address}/canary-key"), 1).await.err().unwrap();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("canary"), "{shown}");
}

fn receipt(hash: u8) -> Value {
    json!({
        "transactionHash": TxHash([hash; 32]),
        "from": Address::ZERO,
        "to": Address::ZERO,
        "contractAddress": null,
        "blockNumber": "0x5",
        "blockHash": TxHash([5; 32]),
        "status": "0x1",
        "gasUsed": "0x5208",
        "logs": [],
    })
}

fn log(token: Address) -> Value {
    json!({
        "address": token,
        "topics": [
            "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
            TxHash([0; 32]),
            TxHash([0; 32]),
        ],
        "data": TxHash([[0; 31].as_slice(), &[7]].concat().try_into().unwrap()),
        "transactionHash": TxHash([3; 32]),
        "blockNumber": "0x5",
        "logIndex": "0x0",
    })
}
