//! What every part of the story works with: the system, tenants with their webhooks, and the following of a transfer.

use super::api::{Event, Page, Position, Posting, Quote, Topup, Transfer};
use super::live::Live;
use super::outcome::ensure;
use super::show;
use crate::failure::Failure;
use crate::local::{Amount, Answer, ApiClient, Facts, Received, Receiver, ServerFacts};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use settla_domain::id::TransferId;
use settla_domain::money::{Currency, Money};
use settla_domain::transfer::TransferState;
use settla_evm::Rpc;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The longest that anything may take to the next webhook.
const STEP_WITHIN: Duration = Duration::from_secs(30);

/// The system and who watches it.
pub(super) struct Stage {
    pub facts: Facts,
    /// The system's folder, for the operator's commands.
    pub dir: PathBuf,
    pub chain: Rpc,
    /// The webhook server of all tenants.
    pub hooks: Receiver,
    pub live: Arc<Live>,
}

/// A tenant's backend.
pub(super) struct Tenant {
    pub api: ApiClient,
}

/// How a part of the story appears among the live lines.
#[derive(Clone, Copy)]
pub(super) struct Track {
    /// Its name; empty if it is alone.
    pub label: &'static str,
    /// When its time began.
    pub since: Instant,
}

/// A transfer at its end, and the webhook that said so.
pub(super) struct Ended {
    pub transfer: Transfer,
    pub webhook: Received,
    /// When each state was reported.
    states: Vec<(TransferState, Instant)>,
}

impl Ended {
    /// How long the last state was waited for.
    pub(super) fn last_step(&self) -> Duration {
        match self.states.as_slice() {
            [.., (_, before), (_, last)] => last.saturating_duration_since(*before),
            _ => Duration::ZERO,
        }
    }
}

impl Stage {
    /// The stage for a running system.
    pub(super) async fn set(facts: Facts, dir: PathBuf, live: Arc<Live>) -> Result<Self, Failure> {
        let chain = Rpc::connect(&facts.rpc_url, facts.chain_id).await?;
        Ok(Self { facts, dir, chain, hooks: Receiver::start().await?, live })
    }

    /// The on-ramp of this name.
    pub(super) fn on_ramp(&self, name: &str) -> Result<&ServerFacts, Failure> {
        named(&self.facts.on_ramps, name)
    }

    /// The off-ramp of this name.
    pub(super) fn off_ramp(&self, name: &str) -> Result<&ServerFacts, Failure> {
        named(&self.facts.off_ramps, name)
    }

    /// A seeded tenant, its webhooks registered.
    pub(super) async fn seeded(&self, slug: &str) -> Result<Tenant, Failure> {
        let known = self.facts.tenants.iter().find(|t| t.slug == slug);
        let known = known.ok_or_else(|| Failure::new(format!("there is no tenant {slug}")))?;
        let tenant = self.tenant(&known.api_key).await?;
        self.funded(&tenant).await?;
        Ok(tenant)
    }

    /// The tenant with this key, its webhooks registered.
    pub(super) async fn tenant(&self, key: &str) -> Result<Tenant, Failure> {
        let api = ApiClient::new(&self.facts.api, key)?;
        let endpoint = json!({ "url": self.hooks.url });
        let created = api.post("/v1/webhook-endpoints", &fresh_key(), &endpoint).await?.success()?;
        self.hooks.trust(created["secret"].as_str().unwrap_or_default())?;
        Ok(Tenant { api })
    }

    /// Waits until the bank has credited all that the tenant has announced.
    pub(super) async fn funded(&self, tenant: &Tenant) -> Result<(), Failure> {
        // The webhooks are registered before this looks, so what is missing now will be told.
        for topup in tenant.topups().await?.into_iter().filter(|topup| topup.credited.minor == 0) {
            let id = topup.id.to_string();
            let credited = |body: &Value| body["type"] == "topup.credited" && body["data"]["topup_id"] == *id;
            let webhook = self.webhook(&format!("the credit of {id}"), credited).await?;
            let amount: Money = serde_json::from_value(webhook.body["data"]["amount"].clone())?;
            ensure(amount == topup.expected, || format!("{amount} were credited, not {}", topup.expected))?;
        }
        Ok(())
    }

    /// Waits for a webhook.
    pub(super) async fn webhook(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Received, Failure> {
        let came = self.hooks.wait_for(|r| fits(&r.body), STEP_WITHIN).await;
        came.ok_or_else(|| Failure::new(format!("no webhook came within {STEP_WITHIN:?}: {what}")))
    }

    /// Shows a line of a part of the story, as things happen.
    pub(super) fn tell(&self, track: Track, at: Instant, text: &str) {
        self.live.line(&show::live_line(track.label, at.saturating_duration_since(track.since), text));
    }

    /// Follows a transfer by its webhooks, showing each state as it is reported, to the end.
    pub(super) async fn follow(&self, tenant: &Tenant, transfer: Transfer, track: Track) -> Result<Ended, Failure> {
        let id = transfer.id.to_string();
        let waited_for = if track.label.is_empty() { "the next webhook" } else { track.label };
        let mut states = Vec::new();
        self.live.waiting_for(waited_for);
        for version in 1.. {
            // Webhooks may overtake each other; the version says which is next.
            let is_next = |body: &Value| body["data"]["transfer_id"] == *id && body["data"]["version"] == version;
            let webhook = self.webhook(&format!("version {version} of {id}"), is_next).await?;
            let state: TransferState = serde_json::from_value(webhook.body["data"]["state"].clone())?;
            let reason = webhook.body["data"]["failure"].as_str();
            self.tell(track, webhook.at, &show::state(state, &transfer.price, reason));
            states.push((state, webhook.at));
            if state.is_terminal() || state == TransferState::UnderReview {
                self.live.done_with(waited_for);
                return Ok(Ended { transfer: tenant.transfer_by_id(transfer.id).await?, webhook, states });
            }
        }
        Err(Failure::new("a transfer without an end"))
    }
}

impl Tenant {
    /// A price.
    pub(super) async fn quote(&self, source: &str, amount: Amount<'_>) -> Result<Quote, Failure> {
        read(self.api.quote(source, "NGN", amount).await?)
    }

    /// Starts a transfer on a quote.
    pub(super) async fn start(&self, quote: &Quote, reference: &str) -> Result<Transfer, Failure> {
        read(self.api.transfer(&fresh_key(), &quote.id.to_string(), reference).await?)
    }

    /// A transfer as it stands.
    pub(super) async fn transfer_by_id(&self, id: TransferId) -> Result<Transfer, Failure> {
        read(self.api.get(&format!("/v1/transfers/{id}")).await?)
    }

    /// All transfers of the tenant with this reference.
    pub(super) async fn transfers(&self, reference: &str) -> Result<Vec<Transfer>, Failure> {
        self.list(&format!("/v1/transfers?reference={reference}")).await
    }

    /// All top-ups of the tenant.
    async fn topups(&self) -> Result<Vec<Topup>, Failure> {
        self.list("/v1/treasury/topups?limit=100").await
    }

    /// A transfer's timeline.
    pub(super) async fn events(&self, id: TransferId) -> Result<Vec<Event>, Failure> {
        self.list(&format!("/v1/transfers/{id}/events")).await
    }

    /// A transfer's postings, oldest first.
    pub(super) async fn postings(&self, id: TransferId) -> Result<Vec<Posting>, Failure> {
        let mut newest_first = self.list(&format!("/v1/ledger/postings?transfer_id={id}&limit=100")).await?;
        newest_first.reverse();
        Ok(newest_first)
    }

    /// The position in one currency; nothing where there never was any.
    pub(super) async fn position(&self, currency: Currency) -> Result<Position, Failure> {
        let positions: Vec<Position> = self.list("/v1/treasury/positions").await?;
        Ok(positions.into_iter().find(|p| p.currency == currency).unwrap_or_else(|| Position::none(currency)))
    }

    /// Lists are shorter here than a page.
    async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Failure> {
        let page: Page<T> = read(self.api.get(path).await?)?;
        Ok(page.data)
    }
}

fn named<'a>(servers: &'a [ServerFacts], name: &str) -> Result<&'a ServerFacts, Failure> {
    servers.iter().find(|server| server.name == name).ok_or_else(|| Failure::new(format!("there is no {name}")))
}

/// What one of the sandbox's servers says.
pub(super) async fn ask(server: &ServerFacts, path: &str) -> Result<Value, Failure> {
    ApiClient::new(&server.url, &server.key)?.get(path).await?.success()
}

/// An idempotency key of its own.
pub(super) fn fresh_key() -> String {
    Uuid::now_v7().to_string()
}

fn read<T: DeserializeOwned>(answer: Answer) -> Result<T, Failure> {
    Ok(serde_json::from_value(answer.success()?)?)
}
