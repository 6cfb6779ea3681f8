//! Runs that were closed because a person gave their pull request up, and whose pull request a person has opened again: they
//! go on in review, with what is left of their budgets. Known from memory, or from the records of runs that were closed lately.

use super::{App, poll::Failure, report::Line};
use crate::{
    ado::{ItemChange, Written},
    decide::deadline::later,
    domain::{Doubts, Outcome, PullRequestStatus, Run, Stage},
    store::{Note, Saved},
    words::talk,
};

/// Runs looked through, newest first: far more than are given up within one patience.
const NEWEST: u32 = 200;

/// Opens them again. Costs one read per declined run, in turns, for as long as people may take for a review.
pub(super) async fn revive(app: &App, known: &[Run]) -> Result<(Vec<Run>, Vec<Line>), Failure> {
    let (mut runs, mut lines) = (Vec::new(), Vec::new());
    for run in app.store.recent(NEWEST).await? {
        let Stage::Closed { outcome: Outcome::Declined, at } = run.stage else { continue };
        let is_over = later(at, app.policy.review_limit) <= app.now;
        let is_taken = known.iter().any(|other| other.id.item == run.id.item);
        if is_over || is_taken || !app.is_its_turn(&run) {
            continue;
        }
        match reopen(app, &run).await {
            Ok(Some(run)) => {
                lines.push(Line {
                    run: Some(run.id),
                    item: run.id.item.0,
                    what: "reopened",
                    why: "a person reactivated its pull request".into(),
                    stage: Some(run.stage.word()),
                    failed: false,
                });
                runs.push(run);
            }
            Ok(None) => {}
            // One that cannot be read now is looked at again.
            Err(why) => tracing::warn!(run.id = %run.id, "whether it goes on could not be told: {why}"),
        }
    }
    Ok((runs, lines))
}

async fn reopen(app: &App, run: &Run) -> Result<Option<Run>, Failure> {
    let Some(id) = run.pull_request else { return Ok(None) };
    let labels = &app.policy.labels;
    let found = app.ado.pull_request(&run.repository, id).await?;
    if found.is_none_or(|found| found.status != PullRequestStatus::Active) {
        return Ok(None);
    }
    // It was declined by deleting its branch, and that stands: the service keeps such a pull request active.
    if app.ado.branch(&run.repository, &run.branch()).await?.is_none() {
        return Ok(None);
    }
    let Some(item) = app.ado.work_item(run.id.item).await? else { return Ok(None) };
    let states = app.states(&item.project, &item.kind).await?;
    // What people do to the item outranks what they do to the pull request.
    let is_theirs = super::candidate::category(&states, &item.state).is_over()
        || [&labels.ready, &labels.human, &labels.stop].into_iter().any(|label| item.labels.has(label));
    if is_theirs || !app.policy.works_in(&item.project) || !app.policy.brake.allows_claims() {
        return Ok(None);
    }
    if !item.labels.has(&labels.in_progress) {
        let change = ItemChange {
            labels: Some(item.labels.changed(&[&labels.in_progress], &[])),
            history: Some(talk::reopened(run)),
            ..ItemChange::default()
        };
        match app.ado.change_work_item(item.id, item.revision, &change).await {
            Written::Done(_) => {}
            // Somebody was faster, or the answer was lost: the next look finds the label, or tries again.
            Written::NotDone(_) | Written::Unknown(_) => return Ok(None),
        }
    }
    let next = Run {
        stage: Stage::InReview { since: app.now },
        doubts: Doubts::default(),
        reminded_at: None,
        ..run.clone()
    };
    let text = "a person reactivated its pull request".to_owned();
    let note = Note { at: app.now, stage: next.stage.word().to_owned(), text };
    Ok(match app.store.save(&next, &[], Some(&note)).await? {
        Saved::Saved(generation) => Some(Run { generation, ..next }),
        Saved::Superseded => None,
    })
}
