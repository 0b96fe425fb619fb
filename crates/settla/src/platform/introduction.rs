//! Telling the bank and the providers where their events go.
//!
//! Each is told again and again until it has taken it, beside everything else: one that is down or slow must not
//! keep the platform from starting. What its events say can be had by asking, so nothing is lost until then.

use settla_rails::RailError;
use settla_rails::bank::Bank;
use settla_rails::off_ramp::OffRamp;
use settla_rails::on_ramp::OnRamp;
use settla_vault::WebhookSecret;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Between the first tries; doubles up to [`WAIT_MAX`].
const WAIT: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Who is told.
pub(super) enum Party {
    Bank(Arc<dyn Bank>),
    OnRamp(Arc<dyn OnRamp>),
    OffRamp(Arc<dyn OffRamp>),
}

impl Party {
    async fn hear(&self, url: &str, secret: &WebhookSecret) -> Result<(), RailError> {
        let secret = secret.expose();
        let secret = secret.expose();
        match self {
            Self::Bank(bank) => {
                bank.open_account().await?;
                bank.register_webhook(url, secret).await
            }
            Self::OnRamp(ramp) => ramp.register_webhook(url, secret).await,
            Self::OffRamp(ramp) => ramp.register_webhook(url, secret).await,
        }
    }
}

/// Ends when the party has taken it.
pub(super) fn introduce(party: Party, url: String, secret: WebhookSecret) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut wait = WAIT;
        while let Err(error) = party.hear(&url, &secret).await {
            tracing::warn!(%error, "a provider has not taken our address for its events; it is told again");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    })
}
