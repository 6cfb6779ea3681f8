//! What runs left on this executor that no label of ours may lead to any more, and the end of it where the run is over: a
//! worker that works for nobody is stopped, its evidence stays.
//!
//! Knows the executor's list and what is open in our name. Whether a run goes on is for its caller to find out.

use super::{Rebuilt, RecoverError};
use crate::{
    ado::{self, ItemComment},
    domain::{Generation, IdentityId, OWN_BRANCH_PREFIX, Outcome, Run, RunId, Stage, WorkerState},
    shell::{App, turnstile},
    words::{Marker, Record},
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A run that left something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    pub(super) run: RunId,
    /// A worker of it is at work.
    pub(super) works: bool,
}

/// Runs that left something although no label of ours may lead to them any more: people took the label off while nobody
/// remembered the run, or another executor took it over. A memory that knows them to be over says so for free; else their
/// item is read. Pull requests are asked for only when nothing is remembered anyway.
pub(super) async fn left(
    app: &App,
    known: &[Run],
    me: &IdentityId,
    is_new: bool,
) -> Result<Vec<Left>, RecoverError> {
    let mut left: BTreeMap<RunId, bool> = BTreeMap::new();
    // One that does not answer is told of by the survey.
    for (run, workers) in app.runtime.workers().await.unwrap_or_default() {
        let works = workers.iter().any(|worker| matches!(worker.state, WorkerState::Running { .. }));
        left.insert(run, works);
    }
    if is_new || !app.store.keeps_beats() {
        for project in &app.settings.intake.projects {
            match app.ado.pull_requests_of(project, me, ado::PullRequestFilter::Active).await {
                Ok(open) => {
                    let names =
                        open.iter().filter_map(|pr| pr.source.as_str().strip_prefix(OWN_BRANCH_PREFIX));
                    for run in names.filter_map(|name| name.parse::<RunId>().ok()) {
                        left.entry(run).or_default();
                    }
                }
                Err(why) if why.is_not_found() => {}
                Err(why) => return Err(why.into()),
            }
        }
    }
    left.retain(|run, _| !known.iter().any(|known| known.id == *run));
    Ok(left.into_iter().map(|(run, works)| Left { run, works }).collect())
}

impl Left {
    /// The run is over: whatever still works for it works for nobody.
    pub(super) async fn is_over(self, app: &App, why: &str) -> Result<Rebuilt, RecoverError> {
        if !self.works {
            return Ok(Rebuilt::NotOurs);
        }
        let Some(_pass) = turnstile::enter(app, self.run) else { return Ok(Rebuilt::NotOurs) };
        app.runtime.stop(self.run).await?;
        Ok(Rebuilt::Stopped(self.run, why.to_owned()))
    }

    /// A later claim took its place, at `at`. It is remembered as over, so that what it left is removed in its time.
    pub(super) async fn is_replaced(
        self,
        app: &App,
        comments: &[&ItemComment],
        at: Timestamp,
    ) -> Result<Rebuilt, RecoverError> {
        let own = comments.iter().find(|comment| {
            Marker::find(&comment.stored).is_some_and(|marker| {
                marker.run == self.run && marker.executor == app.settings.runtime.executor
            })
        });
        // Without its own comment nobody says that it was this executor's.
        let Some(own) = own else { return Ok(Rebuilt::NotOurs) };
        if let Ok(record) = Record::find(&own.stored, self.run) {
            // Which label moved tells nothing about a run whose labels are another's.
            let run = record.run(&crate::domain::Labels::default(), &app.policy.labels, own.created_at);
            let run = Run {
                stage: Stage::Closed { outcome: Outcome::Superseded, at },
                progress_comment: Some(own.id),
                generation: Generation::NEW,
                ..run
            };
            let _ = app.store.open(&run).await?;
        }
        self.is_over(app, "a later claim of its work item took its place; what it had done is kept").await
    }
}
