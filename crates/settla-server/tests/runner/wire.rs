//! The contract of round trips, counted on the wire: a batch takes as many however many commands it has.

use crate::ground::{Wired, keyed, plain, transfer_of};
use crate::proxy::Trips;
use crate::support::{check::assert_books, now};
use crate::support::{create, findings_to_completion, funding, quote, withdrawal};
use futures_util::future::join_all;
use settla_domain::decide::Command;
use settla_domain::event::EVENT_TYPES;
use settla_domain::tenant::TenantNo;
use settla_domain::transfer::Transfer;
use settla_server::runner::{BATCH_MAX, Envelope};
use settla_store::batch::{Idempotency, ROUND_TRIPS_MAX, SealedParties};
use settla_store::read::{self, EndpointRow, NewEndpoint};
use uuid::Uuid;

/// A pool has four connections, and statements are prepared once on each.
const WARM_UPS_MAX: usize = 12;

/// A tenant with much money and a webhook endpoint.
async fn tenant(wired: &Wired) -> TenantNo {
    let tenant = wired.ground.funded("acme", 100_000_000_000).await;
    let id = Uuid::now_v7();
    let row = EndpointRow {
        id,
        url: "https://x.example".to_owned(),
        events: EVENT_TYPES.map(str::to_owned).to_vec(),
        status: "enabled".to_owned(),
        old_secret_until: None,
        created_at: now(),
    };
    let first =
        Idempotency { tenant, key: "endpoint".to_owned(), fingerprint: vec![], refusal: None, subject: Some(id) };
    let new = NewEndpoint { row: &row, secret_sealed: b"", endpoints_max: 1, actor: "key", request_id: "r" };
    read::create_endpoint(&wired.ground.store.app, &first, &new).await.unwrap();
    tenant
}

/// Kept quotes, and the requests for transfers from them with all that belongs to one.
async fn creates(wired: &Wired, tenant: TenantNo, count: usize) -> Vec<Envelope> {
    let quotes: Vec<_> = (0..count).map(|_| quote(tenant, 10_000)).collect();
    let kept = quotes.iter().map(|q| wired.ground.runner.submit(plain(tenant, Command::CreateQuote(q.clone()))));
    assert!(join_all(kept).await.iter().all(Result::is_ok));
    let envelope = |quote| {
        let create = create(quote);
        let sealed = Some((create.id.0, SealedParties { recipient_name: Some(vec![1]), ..SealedParties::default() }));
        Envelope { sealed, ..keyed(tenant, Command::CreateTransfer(create), &Uuid::now_v7().to_string()) }
    };
    quotes.iter().map(envelope).collect()
}

async fn transfers(wired: &Wired, tenant: TenantNo, count: usize) -> Vec<Transfer> {
    let envelopes = creates(wired, tenant, count).await;
    let made = join_all(envelopes.into_iter().map(|envelope| wired.ground.runner.submit(envelope))).await;
    made.into_iter().map(|came| transfer_of(came.unwrap().answer)).collect()
}

/// What one batch of these takes once every statement is prepared.
async fn measure(wired: &Wired, tenant: TenantNo, mut envelopes: impl AsyncFnMut() -> Vec<Envelope>) -> usize {
    for _ in 0..WARM_UPS_MAX {
        let answers = wired.in_one_batch(tenant, envelopes().await).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        let commits = wired.proxy.commits();
        let [Trips { executed, prepared }] = commits[..] else { panic!("not one batch: {commits:?}") };
        if prepared == 0 {
            return executed;
        }
    }
    panic!("statements are prepared again and again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_hundred_creates_take_as_many_round_trips_as_one() {
    let wired = Wired::new().await;
    let tenant = tenant(&wired).await;
    let of_one = measure(&wired, tenant, async || creates(&wired, tenant, 1).await).await;
    let of_many = measure(&wired, tenant, async || creates(&wired, tenant, BATCH_MAX).await).await;
    assert_eq!(of_many, of_one);
    assert!(of_one <= ROUND_TRIPS_MAX, "{of_one}");
    println!("a batch of creates takes {of_one} round trips");
    assert_books(&wired.ground.store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_hundred_findings_take_as_many_round_trips_as_one() {
    let wired = Wired::new().await;
    let tenant = tenant(&wired).await;
    let findings = async |count| {
        let made = transfers(&wired, tenant, count).await;
        let accepted = |transfer| plain(tenant, Command::Report(findings_to_completion(transfer)[0].clone()));
        made.iter().map(accepted).collect()
    };
    let of_one = measure(&wired, tenant, async || findings(1).await).await;
    let of_many = measure(&wired, tenant, async || findings(BATCH_MAX).await).await;
    assert_eq!(of_many, of_one);
    assert!(of_one <= ROUND_TRIPS_MAX, "{of_one}");
    println!("a batch of findings takes {of_one} round trips");
    assert_books(&wired.ground.store).await;
}

/// Every kind of command at once: every statement that there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_everything_takes_the_most() {
    let wired = Wired::new().await;
    let tenant = tenant(&wired).await;
    let mut strangers = 0;
    let everything = async || {
        let made = transfers(&wired, tenant, 2).await;
        let mut envelopes = creates(&wired, tenant, 1).await;
        let [topup, credit] = funding(tenant, 100);
        let commands = [
            Command::CreateQuote(quote(tenant, 10_000)),
            Command::CancelTransfer { tenant, transfer: made[0].id },
            Command::Report(findings_to_completion(&made[1])[0].clone()),
            topup,
            credit,
            Command::CreateWithdrawal(withdrawal(tenant, 100, &Uuid::now_v7().to_string())),
        ];
        envelopes.extend(commands.map(|command| plain(tenant, command)));
        // What was agreed is read only of those that are not known yet; the transfers are another runner's.
        strangers += 1;
        let stranger = wired.ground.funded(&format!("stranger-{strangers}"), 100).await;
        envelopes.push(plain(stranger, Command::CreateQuote(quote(stranger, 10))));
        envelopes
    };
    assert_eq!(measure(&wired, tenant, everything).await, ROUND_TRIPS_MAX);
    assert_books(&wired.ground.store).await;
}
