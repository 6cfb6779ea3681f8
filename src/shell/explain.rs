//! What would be decided now, and why: the decision, and the way that led to it. The same reads and the same functions
//! as a real tick or poll; writes nothing.

use super::{
    App,
    candidate::{Found, look},
    poll::{self, Failure},
    report::Line,
    tick,
};
use crate::{
    decide::{RefuseReason, Rung, checklist, gates, trace},
    domain::{Run, WorkItemId},
    words::{self, neutral},
};
use serde::Serialize;

/// What would be decided, and the way there: rungs of the ladder, or gates of admission.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// The decision.
    #[serde(flatten)]
    pub line: Line,
    /// The way to it, in order. None for a work item that cannot be read.
    pub way: Vec<Rung>,
    /// What still stands between the pull request and its merge, as the progress comment says it. Empty also where the run
    /// is not looked at closely just now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<String>,
}

/// Characters of one line of the list: names in it are people's own.
const MAX_OPEN: usize = 500;

/// About a run, also one that is closed.
pub async fn run(app: &App, run: &Run) -> Result<Explained, Failure> {
    // As if nothing had been heard yet, so that an answer that was given before can be told.
    let unheard = Run { heard: None, ..run.clone() };
    let considered = tick::consider(app, None, &unheard).await?;
    let way = trace(&considered.run, &considered.seen, &considered.policy, app.now);
    let open = checklist(&considered.run, &considered.seen, &considered.policy).unwrap_or_default();
    let open = open.iter().map(|item| neutral::line(&words::checklist::line(item), MAX_OPEN)).collect();
    let line = Line {
        run: Some(run.id),
        item: run.id.item.0,
        what: considered.decision.word(),
        why: considered.decision.to_string(),
        stage: Some(considered.run.stage.word()),
        failed: false,
    };
    Ok(Explained { line, way, open })
}

/// About a work item: the decision about its run if it has one, else about its admission.
pub async fn item(app: &App, id: WorkItemId) -> Result<Explained, Failure> {
    let in_flight = app.store.in_flight().await?;
    if let Some(found) = in_flight.iter().rev().find(|run| run.id.item == id) {
        return run(app, found).await;
    }
    let line = |what, why: String| Line { run: None, item: id.0, what, why, stage: None, failed: false };
    let nothing = |line| Ok(Explained { line, way: Vec::new(), open: Vec::new() });
    // With its links: they lead to its repository and to what it waits for.
    let Some(found) = app.ado.work_items_with_links(&[id]).await?.into_iter().find(|item| item.id == id)
    else {
        return nothing(line("refused", format!("work item {id} does not exist or cannot be read")));
    };
    if found.labels.has(&app.policy.labels.in_progress)
        && let Some(whose) = claimed_elsewhere(app, &found.project, id).await?
    {
        return nothing(line("elsewhere", whose));
    }
    if let Some(why) = poll::not_searched(app, &found.project) {
        return nothing(line("refused", why));
    }
    let load = poll::load(app).await?;
    let looked = look(app, &found, &load).await?;
    let reason = match looked.found {
        Found::Good { .. } => None,
        Found::Refused(reason) => Some(reason),
    };
    // All gates of its own are open, and still a poll claims nothing that could not be finished.
    let why = match &reason {
        None | Some(RefuseReason::SpendingUnknown { .. }) => held(app).await?,
        Some(_) => None,
    };
    let line = match why.or_else(|| reason.as_ref().map(ToString::to_string)) {
        Some(why) => line("refused", why),
        None => line("would-claim", "it would be claimed by the next poll".into()),
    };
    Ok(Explained { line, way: gates(&found, &load, &app.policy, reason.as_ref()), open: Vec::new() })
}

/// Why the next poll would claim nothing at all, whatever the item is.
async fn held(app: &App) -> Result<Option<String>, Failure> {
    if let Some(why) = poll::nobody_watches(app).await? {
        return Ok(Some(why));
    }
    Ok(app.runtime.health().await.err().map(|why| format!("nothing is claimed: {why}")))
}

/// Whose the claim on an item is that we know no run of.
async fn claimed_elsewhere(app: &App, project: &str, id: WorkItemId) -> Result<Option<String>, Failure> {
    let me = app.me().await?.id.clone();
    let comments = app.ado.comments(project, id).await?;
    let newest = comments
        .iter()
        .filter(|comment| comment.author.id == me)
        .rev()
        .find_map(|comment| words::Marker::find(&comment.text).filter(|marker| marker.run.item == id));
    let own = &app.settings.runtime.executor;
    Ok(newest.map(|marker| {
        if marker.executor == *own {
            format!("run {} has it, which this memory does not know; the watcher finds it again", marker.run)
        } else {
            format!("run {} of executor {} has it: ask there", marker.run, marker.executor)
        }
    }))
}
