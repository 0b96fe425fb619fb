//! Payments under way all the time: good ones and one of each fault that the sandbox knows, by tenants who ask with
//! the same key until they have an answer.

use crate::blows::Blows;
use crate::common::persist::{ask_until_answered, post_until_answered};
use serde_json::json;
use settla::local::{ApiClient, transfer_body};
use std::time::Duration;
use tokio::task::JoinSet;

/// Between two payments of those that one blow releases.
const GAP_MS: u64 = 30;
/// Quotes asked for one payment: each is good for a minute, in which the platform may be away.
const QUOTES: usize = 20;

/// A payment that was acknowledged.
pub struct Paid {
    pub tenant: usize,
    pub id: String,
    /// The state that it must end in.
    pub ends: &'static str,
}

/// Payments that are being made.
pub struct Load(JoinSet<Paid>);

impl Load {
    /// Starts so many, in step with the blows. A list of processes to ask for each of two tenants.
    pub fn start(payments: usize, tenants: [Vec<ApiClient>; 2], blows: &Blows) -> Self {
        let mut paying = JoinSet::new();
        for n in 0..payments {
            let tenant = n % 2;
            let mut clients = tenants[tenant].clone();
            // The tenants' backends begin at different processes.
            let first = (n / 2) % clients.len();
            clients.rotate_left(first);
            let (mut fallen, after) = (blows.watch(), n * blows.all() / payments);
            let place = (n - (after * payments).div_ceil(blows.all())) as u64;
            paying.spawn(async move {
                fallen.wait_for(|fallen| *fallen >= after).await.expect("the blows go on until the last payment");
                tokio::time::sleep(Duration::from_millis(place * GAP_MS)).await;
                pay(&clients, tenant, n).await
            });
        }
        Self(paying)
    }

    /// All of them, once each has its answer.
    pub async fn acknowledged(self) -> Vec<Paid> {
        self.0.join_all().await
    }
}

/// What the n-th payment asks for: every fourth one asks for a fault on one of the legs.
fn request(n: usize) -> (serde_json::Value, &'static str) {
    let digit = (n / 8) % 10;
    let ends = match (n % 4 == 3, digit) {
        (true, 1) => "REFUNDED",
        (true, 6) => "UNDER_REVIEW",
        _ => "COMPLETED",
    };
    let mut ask = json!({ "source_currency": "GBP", "destination_currency": "NGN" });
    match n % 8 {
        3 => ask["source_amount"] = json!(format!("4000.0{digit}")),
        7 => ask["destination_amount"] = json!(format!("4000000.0{digit}")),
        _ => ask["source_amount"] = json!(format!("{}.{:02}", 100 + n % 50, n % 100)),
    }
    (ask, ends)
}

async fn pay(clients: &[ApiClient], tenant: usize, n: usize) -> Paid {
    let (ask, ends) = request(n);
    for attempt in 0..QUOTES {
        let quote = post_until_answered(clients, "/v1/quotes", &format!("quote-{n}-{attempt}"), &ask).await;
        let body = transfer_body(quote["id"].as_str().unwrap(), &format!("soak-{n}"));
        let key = format!("transfer-{n}-{attempt}");
        let answer = ask_until_answered(clients, "/v1/transfers", &key, &body).await;
        if answer.code() != "quote_expired" {
            let transfer = answer.success().unwrap_or_else(|failure| panic!("payment {n}: {failure}"));
            return Paid { tenant, id: transfer["id"].as_str().unwrap().to_owned(), ends };
        }
    }
    panic!("payment {n}: all quotes expired");
}
