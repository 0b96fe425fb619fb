//! A local EVM node for one test.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

pub const CHAIN_ID: u64 = 43_113;

pub struct Anvil {
    child: Child,
    pub url: String,
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("SETTLA_ANVIL") {
        return path.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let installed = root.join("tools/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    if installed.exists() { installed } else { "anvil".into() }
}

impl Anvil {
    /// Mines a block for each transaction at once.
    pub fn start() -> Self {
        let mut child = Command::new(binary())
            .args(["--port", "0", "--chain-id", &CHAIN_ID.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("anvil: set SETTLA_ANVIL, or run npm ci in tools/");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned))
            .expect("anvil did not start");
        // Read on, or the node would stop at a full pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, url: format!("http://{address}") }
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
