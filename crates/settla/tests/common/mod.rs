//! A system of the test's own, and what tests ask of it.
#![allow(dead_code)] // each test binary uses its part

pub mod instants;
pub mod liar;
pub mod metrics;
pub mod persist;
pub mod promtool;
pub mod rest;
pub mod search;

use serde_json::Value;
use settla::local::{ApiClient, System};
use settla::reconcile;
use settla_devkit::TestFolder;
use std::path::Path;

/// A running system in a folder that is removed after a passed test.
pub struct Fixture {
    pub system: System,
    folder: TestFolder,
}

/// The binary under test.
pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_settla"))
}

impl Fixture {
    pub async fn start(label: &str, options: &[&str]) -> Self {
        Self::start_with_env(label, options, &[]).await
    }

    pub async fn start_with_env(label: &str, options: &[&str], env: &[(&str, &str)]) -> Self {
        let folder = TestFolder::new(label).unwrap();
        let system = System::start_with_env(program(), &folder.path().join("system"), options, env).await;
        let system = system.unwrap_or_else(|failure| panic!("{failure}"));
        Self { system, folder }
    }

    /// Ends the platform by SIGKILL and starts it on the same folder with other options. Everything around it lives on.
    pub async fn start_again_with(&mut self, options: &[&str], env: &[(&str, &str)]) {
        self.system.kill_platform().await.unwrap();
        let system = System::start_with_env(program(), self.system.dir(), options, env).await;
        self.system = system.unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// The check that reads everybody's books.
    pub async fn books_agree(&self) {
        let report = reconcile::check(&self.system.facts).await.unwrap_or_else(|failure| panic!("{failure}"));
        assert!(report.ok(), "{:#?}", report.failures());
        assert!(report.postings > 0 && report.payments > 0 && report.lines > 0, "nothing was compared");
    }

    pub async fn stop(self) {
        self.system.stop().await.unwrap_or_else(|failure| panic!("{failure}"));
        drop(self.folder);
    }
}

/// Minor units of `{"currency","amount"}`.
pub fn minor(amount: &Value) -> i128 {
    let currency: settla_domain::money::Currency = amount["currency"].as_str().unwrap().parse().unwrap();
    decimal(currency, amount["amount"].as_str().unwrap())
}

fn decimal(currency: settla_domain::money::Currency, text: &str) -> i128 {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    assert_eq!(text.split_once('.').map_or(0, |(_, f)| f.len()), currency.scale() as usize, "{text}");
    digits.parse().unwrap()
}

/// A tenant's positions.
pub struct Positions(Value);

impl Positions {
    /// A part of a position, in minor units; zero if there is no such position.
    pub fn get(&self, currency: &str, part: &str) -> i128 {
        let row = self.0["data"].as_array().unwrap().iter().find(|p| p["currency"] == currency);
        row.map_or(0, |p| decimal(currency.parse().unwrap(), p[part].as_str().unwrap()))
    }
}

pub async fn positions(client: &ApiClient) -> Positions {
    Positions(client.get("/v1/treasury/positions").await.unwrap().success().unwrap())
}
