//! Requests come before findings, and findings come too.

use crate::ground::{Wired, plain};
use crate::proxy::Held;
use crate::support::quote;
use futures_util::future::join_all;
use futures_util::poll;
use settla_domain::decide::{Answer, Command, Report};
use settla_domain::finding::Finding;
use settla_domain::id::EffectId;
use settla_domain::tenant::TenantNo;
use settla_server::runner::{Envelope, FINDINGS_BESIDE};
use uuid::Uuid;

/// About an effect that nobody knows: read, and nothing comes of it.
fn finding(tenant: TenantNo) -> Envelope {
    let (subject, effect) = (Uuid::now_v7(), EffectId(Uuid::now_v7()));
    plain(tenant, Command::Report(Report { tenant, subject, effect, finding: Finding::PaymentExecuted }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_does_not_wait_behind_all_findings_and_takes_some_along() {
    let wired = Wired::new().await;
    let tenant = wired.ground.funded("acme", 1_000).await;
    wired.proxy.hold(Held::Begin, 3);
    let first = tokio::spawn({
        let runner = wired.runner.clone();
        async move { runner.submit(finding(tenant)).await }
    });
    wired.proxy.held().await;
    let mut findings: Vec<_> =
        (0..3 * FINDINGS_BESIDE).map(|_| Box::pin(wired.runner.submit_patiently(finding(tenant)))).collect();
    for one in &mut findings {
        assert!(poll!(one).is_pending(), "not queued");
    }
    let mut request = Box::pin(wired.runner.submit(plain(tenant, Command::CreateQuote(quote(tenant, 100)))));
    assert!(poll!(&mut request).is_pending(), "not queued");
    // The first batch, then the one with the request; the third one stays at its BEGIN.
    wired.proxy.release();
    wired.proxy.held().await;
    wired.proxy.release();
    assert!(matches!(request.await.unwrap().answer, Answer::Quote(_)));
    assert_eq!(first.await.unwrap().unwrap().answer, Answer::Nothing);
    // Its neighbours have been told by the time that the next batch begins.
    wired.proxy.held().await;
    let (mut done, mut waiting) = (0, Vec::new());
    for mut one in findings {
        if poll!(&mut one).is_ready() {
            done += 1;
        } else {
            waiting.push(one);
        }
    }
    assert_eq!(done, FINDINGS_BESIDE);
    wired.proxy.release();
    assert!(join_all(waiting).await.into_iter().all(|answer| answer.unwrap().answer == Answer::Nothing));
}
