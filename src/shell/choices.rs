//! What an item chose when it was claimed, for a run whose memory was lost. The labels of the claim's own revision tell:
//! what was put on later was never approved.

use super::App;
use crate::{
    ado, decide,
    domain::{Choices, Revision, RunId},
};

/// The choices frozen at the claim of `run`; none where the operator's offer has changed since, because the run must go
/// on and cannot be refused any more.
pub(super) async fn frozen(app: &App, run: RunId) -> Result<Choices, ado::Error> {
    let claim = Revision(run.revision.0.saturating_add(1));
    let labels = app.ado.labels_at(run.item, claim).await?;
    Ok(labels.and_then(|labels| decide::choices::choose(&labels, &app.policy.offer).ok()).unwrap_or_default())
}
