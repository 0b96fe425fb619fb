//! Readiness: each dependency is really asked, all at once, for at most two seconds.

use super::Server;
use async_trait::async_trait;
use settla_port::Dependency;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;

/// Something that can be asked whether it works.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Whether it works now.
    async fn ready(&self) -> bool;
}

const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn ask(server: &Server) -> Vec<Dependency> {
    let store = server.store.clone();
    let ping = async move { matches!(tokio::time::timeout(PATIENCE, store.ping()).await, Ok(Ok(()))) };
    let database = tokio::spawn(ping.in_current_span());
    let asked: Vec<_> = server
        .probes
        .iter()
        .map(|(name, probe)| {
            let probe = Arc::clone(probe);
            let ready = async move { tokio::time::timeout(PATIENCE, probe.ready()).await.unwrap_or(false) };
            (*name, tokio::spawn(ready.in_current_span()))
        })
        .collect();
    let mut answers = vec![Dependency { name: "database", ready: database.await.unwrap_or(false) }];
    for (name, task) in asked {
        answers.push(Dependency { name, ready: task.await.unwrap_or(false) });
    }
    answers
}
