//! The last part: everybody's books.

use super::outcome::ensure;
use super::show;
use super::stage::Stage;
use crate::failure::Failure;
use crate::reconcile;

/// Reads all books and compares them.
pub(super) async fn agree(stage: &Stage) -> Result<(), Failure> {
    let report = reconcile::check(&stage.facts).await?;
    report.print();
    ensure(report.ok(), || format!("the books differ: {}", report.failures().join("; ")))?;
    ensure(stage.hooks.refused() == 0, || format!("{} webhooks had a bad signature", stage.hooks.refused()))?;
    show::checked(&format!("{} webhooks received, each with a good signature", stage.hooks.received().len()));
    Ok(())
}
