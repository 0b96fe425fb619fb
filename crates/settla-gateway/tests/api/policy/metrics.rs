//! Counters and histograms with bounded labels, shown on a router of their own.

use metrics_exporter_prometheus::PrometheusBuilder;
use settla_gateway::{LATENCY_BUCKETS_S, LATENCY_METRIC, Limits, REQUESTS_METRIC, metrics_router, serve};
use tokio::net::TcpListener;

use crate::support::client::Ask;
use crate::support::{start, views};

#[tokio::test]
async fn requests_are_counted_by_template_method_and_class() {
    let recorder = PrometheusBuilder::new().set_buckets(&LATENCY_BUCKETS_S).unwrap().build_recorder();
    let handle = recorder.handle();
    // The test's runtime has one thread, so this is the recorder of every task in it.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let gateway = start().await;
    gateway.get(&format!("/v1/quotes/{}", views::quote_id())).send().await;
    gateway.get("/v1/quotes/canary-in-path?canary-in-query=1").send().await;
    gateway.get("/canary-unknown-path").send().await;
    Ask::new(gateway.at, "CANARYMETHOD", "/v1/me").send().await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        serve(listener, metrics_router(handle), &Limits::default(), std::future::pending()).await;
    });
    let answer = Ask::new(at, "GET", "/metrics").send().await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
    let text = answer.text();
    for (route, method, status) in [
        ("/v1/quotes/{id}", "GET", "2xx"),
        ("/v1/quotes/{id}", "GET", "4xx"),
        ("unmatched", "GET", "4xx"),
        ("/v1/me", "OTHER", "4xx"),
    ] {
        let line = format!("{REQUESTS_METRIC}{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}} 1");
        assert!(text.contains(&line), "{line} in {text}");
    }
    assert!(text.contains(&format!("{LATENCY_METRIC}_bucket")), "{text}");
    assert!(!text.to_ascii_lowercase().contains("canary"), "{text}");
    assert_eq!(Ask::new(at, "GET", "/v1/me").send().await.status, 404);
}
