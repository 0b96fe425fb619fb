//! Soak: payments go on while something is broken again and again, at instants that come from a seed. Afterwards
//! every payment that was acknowledged has ended as it must, nothing was lost, nothing was done twice, and
//! everybody's books agree.
//!
//! The short form runs with every test run, the full one (100 blows of each kind, 5,000 payments) in `make soak`.
//! With the same `SETTLA_SEED` the same things are broken in the same way for the same times.

mod blows;
#[path = "../common/mod.rs"]
mod common;
mod link;
mod load;
mod settled;

use blows::{Blows, payments};
use common::instants::Instants;
use common::{Fixture, program};
use link::{Line, Link};
use load::Load;
use settla::local::{Amount, ApiClient, System};
use settla_devkit::{Postgres, PostgresSettings, TestFolder, rounds};
use settled::settled;
use std::time::Duration;
use tokio::process::Command;

/// Of a thousand starts at the sandbox so many get no answer, beside those whose amount asks for a fault.
const FAULTS: [&str; 2] = ["--unknown-permille", "20"];

fn clients(systems: &[&System], tenant: usize) -> Vec<ApiClient> {
    systems.iter().map(|system| system.client(tenant).unwrap()).collect()
}

/// Kills a platform process and starts it again, so many times.
async fn kill_again_and_again(system: &mut System, mut instants: Instants, kills: usize, blows: &Blows) {
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(instants.next_ms(50, 2_500))).await;
        system.kill_platform().await.unwrap();
        blows.strike();
        system.restart_platform().await.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_two_platforms_loses_and_doubles_nothing() {
    let kills = rounds(5, 100) as usize;
    let instants = Instants::new();
    let mut first = Fixture::start("soak-kill", &FAULTS).await;
    let mut second = System::start(program(), first.system.dir(), &FAULTS).await.unwrap();
    let blows = Blows::new(2 * kills);
    let systems = [&first.system, &second];
    let load = Load::start(payments(), [clients(&systems, 0), clients(&systems, 1)], &blows);
    let (one, other) = (instants.aside("first"), instants.aside("second"));
    tokio::join!(
        kill_again_and_again(&mut first.system, one, kills, &blows),
        kill_again_and_again(&mut second, other, kills, &blows),
    );
    settled(&first, load.acknowledged().await).await;
    second.stop().await.unwrap();
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_loses_and_doubles_nothing() {
    let mut instants = Instants::new();
    // The test's own database, which gets its port back each time: the port is claimed by whoever started it first.
    let folder = TestFolder::new("soak-postgres").unwrap();
    let mut postgres = Postgres::start(folder.path(), PostgresSettings::DURABLE).await.unwrap();
    postgres.create_database("settla_test").await.unwrap();
    let url = postgres.url("settla_test");
    let fixture = Fixture::start_with_env("soak-database", &FAULTS, &[("SETTLA_TRANSFER_DB_URL", url.as_str())]).await;
    let blows = Blows::new(rounds(4, 100) as usize);
    let load = Load::start(payments(), [0, 1].map(|tenant| clients(&[&fixture.system], tenant)), &blows);
    for _ in 0..blows.all() {
        tokio::time::sleep(Duration::from_millis(instants.next_ms(500, 4_000))).await;
        postgres.kill().await.unwrap();
        blows.strike();
        tokio::time::sleep(Duration::from_millis(instants.next_ms(0, 2_000))).await;
        postgres = Postgres::start(folder.path(), PostgresSettings::DURABLE).await.unwrap();
        assert_eq!(postgres.url("settla_test"), url);
    }
    settled(&fixture, load.acknowledged().await).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_is_cut_off_loses_and_doubles_nothing() {
    let mut instants = Instants::new();
    let mut fixture = Fixture::start("soak-chain", &FAULTS).await;
    let link = Link::to(&fixture.system.facts.rpc_url).await;
    let through = ["--rpc-url", link.url.as_str()];
    fixture.start_again_with(&[&FAULTS[..], &through[..]].concat(), &[]).await;
    let blows = Blows::new(rounds(4, 100) as usize);
    let load = Load::start(payments(), [0, 1].map(|tenant| clients(&[&fixture.system], tenant)), &blows);
    for _ in 0..blows.all() {
        tokio::time::sleep(Duration::from_millis(instants.next_ms(500, 4_000))).await;
        link.set(if instants.next().is_multiple_of(2) { Line::Refuses } else { Line::Silent });
        blows.strike();
        tokio::time::sleep(Duration::from_millis(instants.next_ms(500, 6_000))).await;
        link.set(Line::Up);
    }
    assert!(link.passed() > 0, "the platform does not go through the proxy");
    settled(&fixture, load.acknowledged().await).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_that_freezes_loses_and_doubles_nothing() {
    let mut instants = Instants::new();
    let fixture = Fixture::start("soak-frozen", &FAULTS).await;
    let pid = fixture.system.facts.pids.sandbox.to_string();
    let signal = async |name: &str| {
        assert!(Command::new("kill").args([name, &pid]).status().await.unwrap().success());
    };
    let blows = Blows::new(rounds(4, 100) as usize);
    let load = Load::start(payments(), [0, 1].map(|tenant| clients(&[&fixture.system], tenant)), &blows);
    for _ in 0..blows.all() {
        tokio::time::sleep(Duration::from_millis(instants.next_ms(500, 4_000))).await;
        signal("-STOP").await;
        blows.strike();
        tokio::time::sleep(Duration::from_millis(instants.next_ms(500, 6_000))).await;
        signal("-CONT").await;
    }
    settled(&fixture, load.acknowledged().await).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_nodes_that_is_away_stops_nothing() {
    let mut fixture = Fixture::start("soak-nodes", &[]).await;
    let node = fixture.system.facts.rpc_url.clone();
    let links = [Link::to(&node).await, Link::to(&node).await, Link::to(&node).await];
    let options: Vec<&str> = links.iter().flat_map(|link| ["--rpc-url", link.url.as_str()]).collect();
    fixture.start_again_with(&options, &[]).await;
    let client = fixture.system.client(0).unwrap();
    for (link, how) in links.iter().zip([Line::Refuses, Line::Silent, Line::Silent]) {
        link.set(how);
        let transfer = client.pay(Amount::Source("20.00"), "nodes").await.unwrap();
        let id = transfer["id"].as_str().unwrap();
        client
            .wait_for(id, &["COMPLETED"], Duration::from_secs(60))
            .await
            .unwrap_or_else(|failure| panic!("{failure}"));
        assert!(link.passed() > 0, "it is never asked");
        link.set(Line::Up);
    }
    fixture.books_agree().await;
    fixture.stop().await;
}
