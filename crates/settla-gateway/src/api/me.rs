//! `/v1/me`

use super::Answer;
use crate::admission::Session;
use crate::answer;

pub(crate) async fn show(session: Session) -> Answer {
    Ok(answer::ok(session.platform.me(&session.caller).await?))
}
