//! Crash by exhaustion. At every commit and every request that the platform makes, seen on the wire, it is killed
//! just before and just after, and the commit or request is repeated; each time everything still happens exactly
//! once, and everybody's books balance.
//!
//! The short form takes a sample of the points that its seed picks, the full one (`make soak`) all of them.

#[path = "../common/mod.rs"]
mod common;
mod database;
mod http;
mod points;
mod script;

use common::Fixture;
use common::instants::Instants;
use common::rest::at_rest;
use http::Door;
use points::Points;
use script::{Ended, Tenant, everything};
use serde_json::json;
use settla::local::{Receiver, ServerFacts, System};
use settla_devkit::{Postgres, PostgresSettings, TestFolder};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Rounds of the script that are under way at a time, so that something happens while others wait for a lease.
const AT_A_TIME: usize = 3;
/// Rounds in which points are taken: in the short form what turns up in these, in the full form until nothing new does.
const ROUNDS_SHORT: u32 = 3;
const ROUNDS_MAX: u32 = 400;
/// After so many crashes everything is let come to rest, and the books are looked at: in the short form, in the full one.
const CRASHES_A_LOOK: (u32, u32) = (25, 100);
/// A webhook whose sender died is sent again when its lease of 40 seconds is over, and those that wait for its endpoint
/// wait as long: each crash at one of them costs that.
const TOLD_WITHIN: Duration = Duration::from_secs(3_000);
/// Starts that may fail one after the other: a start gives up when its database connection is cut.
const STARTS_MAX: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_commit_or_request_leaves_exactly_one_effect() {
    let seed = Instants::new().next();
    let (points, mut kills) = Points::new(seed, u64::from(settla_devkit::rounds(16, 1)));
    let points = Arc::new(points);
    let folder = TestFolder::new("exhaustion-postgres").unwrap();
    let postgres = Postgres::start(folder.path(), PostgresSettings::DURABLE).await.unwrap();
    postgres.create_database("settla_test").await.unwrap();
    let direct = postgres.url("settla_test");
    let database = database::proxy(&direct, &points).await;
    let mut fixture = Fixture::start_with_env("exhaustion", &[], &[("SETTLA_TRANSFER_DB_URL", direct.as_str())]).await;

    // The same system again, its platform behind proxies.
    let facts = fixture.system.facts.clone();
    let (door, on_ramp_door) = (Door::new(), Door::new());
    let mut options = Vec::new();
    options.extend(["--rpc-url".to_owned(), http::proxy("chain", &facts.rpc_url, &door, &points).await]);
    let one = |kind, name: &str, server: &ServerFacts, door| (kind, name.to_owned(), server.url.clone(), door);
    let mut servers = vec![one("bank", "bank", &facts.bank, &door), one("fx", "fx", &facts.fx, &door)];
    servers.extend(facts.on_ramps.iter().map(|ramp| one("on_ramp", &ramp.name, ramp, &on_ramp_door)));
    servers.extend(facts.off_ramps.iter().map(|ramp| one("off_ramp", &ramp.name, ramp, &door)));
    for (kind, name, url, door) in servers {
        options.extend(["--at".to_owned(), format!("{name}={}", http::proxy(kind, &url, door, &points).await)]);
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    fixture.start_again_with(&options, &[("SETTLA_TRANSFER_DB_URL", database.as_str())]).await;
    let client = fixture.system.client(0).unwrap();
    let receiver = Arc::new(Receiver::start().await.unwrap());
    let hooks = receiver.url.trim_end_matches("/hooks");
    let hooks = format!("{}/hooks", http::proxy("webhook", hooks, &door, &points).await);
    let endpoint = client.post("/v1/webhook-endpoints", "hooks", &json!({ "url": hooks })).await.unwrap();
    receiver.trust(endpoint.success().unwrap()["secret"].as_str().unwrap()).unwrap();

    let tenant = Tenant { client, bank: facts.bank.clone(), on_ramp: on_ramp_door };
    let (mut rounds, mut is_exhausted) = (0, false);
    // The first thing to be interrupted is a start.
    fixture.system.kill_platform().await.unwrap();
    let a_look = settla_devkit::rounds(CRASHES_A_LOOK.0, CRASHES_A_LOOK.1) as usize;
    points.arm(a_look);
    start(&mut fixture.system, &points, &mut kills).await;
    while !is_exhausted {
        is_exhausted = tokio::select! {
            is_exhausted = drive(&tenant, &receiver, &points, &mut rounds) => is_exhausted,
            () = keep_up(&mut fixture.system, &points, &mut kills) => unreachable!("it goes on"),
        };
        let mut facts = fixture.system.facts.clone();
        facts.database_url.clone_from(&direct);
        at_rest(&facts).await;
        println!("{} points seen, {:?} struck in {rounds} rounds; the books agree", points.seen(), points.counts());
        points.arm(a_look);
    }
    assert!(rounds < ROUNDS_MAX as usize, "new points turn up without end");
    // The proxies are really in between, each of them.
    for name in ["chain", "bank", "on_ramp", "off_ramp", "fx", "webhook"] {
        assert!(points.has_seen("request", name), "no request to {name} was seen");
    }
    for word in ["COMPLETED", "CANCELLED", "REFUNDED", "UNDER_REVIEW", "PAID", "topup.credited"] {
        assert!(points.has_seen("commit", word), "no commit of {word} was seen");
    }
    let (left_out, all) = points.left_out();
    for (mark, crash) in &left_out {
        println!("not met: {crash:?} {mark}");
    }
    println!("{} of {all} marks and kinds of crash were not met", left_out.len());
    assert!(points.counts().iter().all(|count| *count > 0), "{:?}", points.counts());
    points.arm(0);
    fixture.stop().await;
}

/// Runs the script again and again, until nothing new turns up or enough has been interrupted, and everything that was
/// begun has ended. Returns whether nothing new turns up any more.
async fn drive(tenant: &Tenant, receiver: &Arc<Receiver>, points: &Points, rounds: &mut usize) -> bool {
    let mut open = JoinSet::new();
    let most = settla_devkit::rounds(ROUNDS_SHORT, ROUNDS_MAX) as usize;
    let mut is_exhausted = false;
    loop {
        is_exhausted |= *rounds == most && open.is_empty();
        let is_enough = is_exhausted || points.is_spent();
        while open.len() < AT_A_TIME && *rounds < most && !is_enough {
            *rounds += 1;
            let (tenant, receiver) = (tenant.clone(), Arc::clone(receiver));
            let (round, turned_up) = (*rounds, points.turned_up());
            open.spawn(async move {
                // Its webhooks are part of a round: they are requests too.
                told(&receiver, &everything(tenant, round).await).await;
                turned_up
            });
        }
        if is_enough {
            // What is left comes to its end without being interrupted.
            points.arm(0);
        }
        let Some(round) = open.join_next().await else { return is_exhausted };
        is_exhausted |= !is_enough && points.turned_up() == round.unwrap();
    }
}

/// Kills the platform whenever a point asks for it, and starts it again.
async fn keep_up(system: &mut System, points: &Points, kills: &mut mpsc::UnboundedReceiver<()>) {
    while kills.recv().await.is_some() {
        system.kill_platform().await.unwrap();
        points.dead();
        start(system, points, kills).await;
    }
}

/// Starts the platform, which may be killed on the way.
async fn start(system: &mut System, points: &Points, kills: &mut mpsc::UnboundedReceiver<()>) {
    let mut failed = 0;
    loop {
        tokio::select! {
            started = system.restart_platform() => match started {
                Ok(()) => return,
                Err(failure) => {
                    failed += 1;
                    assert!(failed < STARTS_MAX, "{failure}");
                }
            },
            // The start that is dropped here dies by SIGKILL.
            _ = kills.recv() => points.dead(),
        }
    }
}

/// Of everything that has ended its tenant was told, by one event.
async fn told(receiver: &Receiver, ended: &[Ended]) {
    for Ended { kind, id } in ended {
        let about = |body: &serde_json::Value| {
            let data = &body["data"];
            body["type"] == *kind
                && ["transfer_id", "topup_id", "withdrawal_id"].iter().any(|field| data[field] == id.as_str())
        };
        let first = receiver.wait_for(|received| about(&received.body), TOLD_WITHIN).await;
        assert!(first.is_some(), "nobody told of {kind} of {id}");
        let received = receiver.received();
        let events: BTreeSet<&str> = received.iter().filter(|r| about(&r.body)).map(|r| r.id.as_str()).collect();
        assert_eq!(events.len(), 1, "{kind} of {id} happened more than once");
    }
}
