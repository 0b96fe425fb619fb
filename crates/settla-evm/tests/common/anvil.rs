//! A local EVM node that lives as long as its value.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

const START_TIMEOUT: Duration = Duration::from_secs(20);

/// When the node makes blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mining {
    /// One for every transaction.
    EveryTransaction,
    /// Only when the test says so.
    ByHand,
}

pub struct Anvil {
    child: Child,
    url: String,
}

impl Anvil {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a node on a free port and waits until it says which.
    pub fn start_with(args: &[&str]) -> Self {
        let program = program();
        let mut child = Command::new(&program)
            .args(["--port", "0", "--chain-id", "43113"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        let output = child.stdout.take().expect("stdout is piped");
        let (said, heard) = mpsc::channel();
        // Reads to the end, so that the node never waits for a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(address) = line.trim().strip_prefix("Listening on ") {
                    let _ = said.send(address.to_owned());
                }
            }
        });
        let mut anvil = Self { child, url: String::new() };
        let address = heard.recv_timeout(START_TIMEOUT).expect("the node ended, or did not say where it listens");
        anvil.url = format!("http://{address}");
        anvil
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub async fn mine_as(&self, mining: Mining) {
        let automatic = mining == Mining::EveryTransaction;
        self.control("evm_setAutomine", json!([automatic])).await;
    }

    pub async fn mine(&self, blocks: u64) {
        self.control("anvil_mine", json!([format!("{blocks:#x}")])).await;
    }

    /// Calls a method that only a test node has.
    pub async fn control(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let client = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        let answer: Value = client
            .post(&self.url)
            .json(&body)
            .send()
            .await
            .expect("the node answers")
            .json()
            .await
            .expect("the node answers in JSON");
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // By its own process id; an error says that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `$SETTLA_ANVIL`, else the one that `npm ci` in `tools/` installs, else one on the path.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("SETTLA_ANVIL") {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "SETTLA_ANVIL names no file: {}", named.display());
        return named;
    }
    let installed =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    if installed.is_file() {
        return installed;
    }
    std::env::var_os("PATH")
        .and_then(|path| {
            std::env::split_paths(&path).map(|folder| folder.join("anvil")).find(|candidate| candidate.is_file())
        })
        .unwrap_or_else(|| {
            panic!("no EVM node to test with: run `npm ci` in tools/, or set SETTLA_ANVIL to an anvil binary")
        })
}
