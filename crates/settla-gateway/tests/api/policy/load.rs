//! Too many requests at once are refused, not queued.

use settla_gateway::Limits;

use crate::support::client::Ask;
use crate::support::fake::Behaviour;
use crate::support::start_with;

#[tokio::test]
async fn the_request_too_many_is_shed_and_liveness_is_not() {
    let gateway = start_with(Limits { requests_max: 1, ..Limits::default() }).await;
    gateway.fake.behave(Behaviour::Wait);
    let first = tokio::spawn(gateway.get("/v1/me").send());
    gateway.fake.entered().await;

    let second = gateway.get("/v1/me").send().await;
    assert_eq!((second.status, second.problem().as_str()), (503, "overloaded"));
    assert_eq!(second.header("retry-after"), Some("1"));
    assert_eq!(Ask::new(gateway.at, "GET", "/health/live").send().await.status, 200);

    gateway.fake.release();
    assert_eq!(first.await.unwrap().status, 200);
    gateway.fake.behave(Behaviour::Answer);
    assert_eq!(gateway.get("/v1/me").send().await.status, 200);
}

#[tokio::test]
async fn a_client_that_goes_away_gives_its_place_back() {
    let gateway = start_with(Limits { requests_max: 1, ..Limits::default() }).await;
    gateway.fake.behave(Behaviour::Wait);
    let first = tokio::spawn(gateway.get("/v1/me").send());
    gateway.fake.entered().await;
    first.abort();
    assert!(first.await.is_err());
    gateway.fake.behave(Behaviour::Answer);
    // The server notices the closed connection in its own time; a shed request changes nothing, so ask until it has.
    let served = async {
        while gateway.get("/v1/me").send().await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), served).await.expect("the place was not given back");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_one_to_end() {
    let gateway = start_with(Limits { connections_max: 1, ..Limits::default() }).await;
    gateway.fake.behave(Behaviour::Wait);
    let first = tokio::spawn(gateway.get("/v1/me").send());
    gateway.fake.entered().await;
    let mut second = tokio::spawn(Ask::new(gateway.at, "GET", "/health/live").send());
    let early = tokio::time::timeout(std::time::Duration::from_millis(50), &mut second).await;
    assert!(early.is_err(), "served beyond the bound");
    gateway.fake.release();
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(second.await.unwrap().status, 200);
}
