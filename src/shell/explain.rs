//! What would be decided now, and why. The same reads and the same functions as a real tick; writes nothing.

use super::{
    App,
    candidate::{Found, look},
    poll::{self, Failure},
    report::Line,
    tick,
};
use crate::domain::{Run, WorkItemId};

/// About a run.
pub async fn run(app: &App, run: &Run) -> Result<Line, Failure> {
    // As if nothing had been heard yet, so that an answer that was given before can be told.
    let unheard = Run { heard: None, ..run.clone() };
    let considered = tick::consider(app, None, &unheard).await?;
    Ok(Line {
        run: Some(run.id),
        item: run.id.item.0,
        what: considered.decision.word(),
        why: considered.decision.to_string(),
        stage: Some(considered.run.stage.word()),
        failed: false,
    })
}

/// About a work item: the decision about its run if it has one, else about its admission.
pub async fn item(app: &App, id: WorkItemId) -> Result<Line, Failure> {
    let in_flight = app.store.in_flight().await?;
    if let Some(found) = in_flight.iter().rev().find(|run| run.id.item == id) {
        return run(app, found).await;
    }
    let line = |what, why: String| Line { run: None, item: id.0, what, why, stage: None, failed: false };
    let Some(found) = app.ado.work_item(id).await? else {
        return Ok(line("refused", format!("work item {id} does not exist or cannot be read")));
    };
    let looked = look(app, &found, &poll::load(app).await?).await?;
    Ok(match looked.found {
        Found::Good { .. } => line("would-claim", "it would be claimed by the next poll".into()),
        Found::Refused(reason) => line("refused", reason.to_string()),
    })
}
