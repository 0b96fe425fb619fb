//! What must hold once nothing is broken any more.

use crate::common::Fixture;
use crate::common::persist::get_until_answered;
use crate::common::rest::at_rest;
use crate::load::Paid;
use settla::local::ApiClient;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// From the last blow until everything has ended.
const ENDED_WITHIN: Duration = Duration::from_secs(180);
/// Between two looks. The API has no call that waits for all of a tenant's payments.
const LOOK: Duration = Duration::from_millis(500);
/// States that nothing but people lead on from.
const ENDS: [&str; 5] = ["COMPLETED", "CANCELLED", "REFUNDED", "FAILED", "UNDER_REVIEW"];

/// Waits until all is at rest, then checks that every payment that was acknowledged is there once and has ended as
/// it must, that no other is there, and that everybody's books agree.
pub async fn settled(fixture: &Fixture, paid: Vec<Paid>) {
    let expected: HashMap<&str, &Paid> = paid.iter().map(|paid| (paid.id.as_str(), paid)).collect();
    assert_eq!(expected.len(), paid.len(), "two payments were acknowledged as one transfer");
    let begun = Instant::now();
    let states = loop {
        let mut states = HashMap::new();
        for tenant in 0..2 {
            states.extend(transfers(&fixture.system.client(tenant).unwrap()).await);
        }
        let open: BTreeMap<_, _> = states.iter().filter(|(_, state)| !ENDS.contains(&state.as_str())).collect();
        if open.is_empty() {
            break states;
        }
        assert!(begun.elapsed() < ENDED_WITHIN, "{} have not ended: {open:#?}", open.len());
        tokio::time::sleep(LOOK).await;
    };
    println!("all have ended after {:.1} s", begun.elapsed().as_secs_f64());
    for (id, paid) in &expected {
        assert_eq!(states.get(*id).map(String::as_str), Some(paid.ends), "{id} of tenant {}", paid.tenant);
    }
    assert_eq!(states.len(), paid.len(), "there are transfers that nobody was told of");
    at_rest(&fixture.system.facts).await;
    fixture.books_agree().await;
}

/// A tenant's transfers with their states.
async fn transfers(client: &ApiClient) -> HashMap<String, String> {
    let (mut states, mut cursor) = (HashMap::new(), String::new());
    loop {
        let page = get_until_answered(client, &format!("/v1/transfers?limit=200{cursor}")).await;
        for transfer in page["data"].as_array().unwrap() {
            let text = |field: &str| transfer[field].as_str().unwrap().to_owned();
            assert!(states.insert(text("id"), text("state")).is_none(), "{} is listed twice", text("id"));
        }
        let Some(next) = page["next_cursor"].as_str() else { return states };
        cursor = format!("&cursor={next}");
    }
}
