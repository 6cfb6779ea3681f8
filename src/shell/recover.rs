//! Runs that Azure DevOps knows and our memory does not: we died right after the claim, or the memory was lost. The
//! marker in our own comment tells everything that is needed to go on; a marker that somebody else wrote tells nothing.

mod left;

use super::{App, report::Line, takeover};
use crate::{
    ado,
    decide::{RefuseReason, breaker},
    domain::{
        Claim, Generation, IdentityId, Run, RunId, Stage, TriggerKey, TurnNumber, TurnRecord, WorkItem,
        WorkItemId,
    },
    store::{self, RunStore as _, Saved},
    words::{Found, Marker, Record, record::Unreadable},
};
use left::{Left, left};
use std::collections::BTreeSet;

/// How many items in progress are looked at per project.
const IN_PROGRESS: u32 = 200;

/// Why recovering could not be tried.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecoverError {
    #[error(transparent)]
    Ado(#[from] ado::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Runtime(#[from] crate::runtime::Error),
}

/// What was found again.
pub(super) struct Recovered {
    /// Runs that were opened again.
    pub(super) runs: Vec<Run>,
    /// What is said about each item.
    pub(super) lines: Vec<Line>,
    /// Whether every project could be searched.
    pub(super) is_complete: bool,
}

/// Finds items that carry our label and that no run of ours has, and opens their runs again.
pub(super) async fn recover(app: &App, known: &[Run], me: &IdentityId) -> Result<Recovered, RecoverError> {
    let (mut ids, mut all_searched) = labelled(app, &app.policy.labels.in_progress).await?;
    for run in known.iter().filter(|run| !matches!(run.stage, Stage::Escalated { .. })) {
        ids.remove(&run.id.item);
    }
    // Where nothing is kept but in the items, these were looked for already.
    let looked_for_asked = app.store.keeps_beats() && is_due(app).await?;
    if looked_for_asked {
        let (mut asked, searched) = labelled(app, &app.policy.labels.human).await?;
        all_searched &= searched;
        for run in known {
            asked.remove(&run.id.item);
        }
        ids.extend(asked);
    }
    let mut runs: Vec<Run> = Vec::new();
    let mut lines = Vec::new();
    let mut is_complete = true;
    let left = left(app, known, me, looked_for_asked).await?;
    let mut room = takeover::Room::beside(known);
    let all = ids.into_iter().map(|id| (id, None));
    for (id, left) in all.chain(left.into_iter().map(|left| (left.run.item, Some(left)))) {
        if left.is_some_and(|left| runs.iter().any(|found| found.id == left.run)) {
            continue;
        }
        let line = |what, why: String, failed| Line { run: None, item: id.0, what, why, stage: None, failed };
        match rebuild(app, id, left, (known, &room), me).await {
            Ok(Rebuilt::Run(run)) => {
                lines.push(Line {
                    run: Some(run.id),
                    ..line("recovered", "its run was found in the work item".into(), false)
                });
                room.add(&run);
                runs.push(*run);
            }
            Ok(Rebuilt::TakenOver(run)) => {
                let why =
                    "its executor gave no sign for too long; this one goes on with its branch".to_owned();
                lines.push(Line { run: Some(run.id), ..line("taken-over", why, false) });
                room.add(&run);
                runs.push(*run);
            }
            Ok(Rebuilt::Stopped(run, why)) => {
                lines.push(Line { run: Some(run), ..line("stopped", why, false) });
            }
            Ok(Rebuilt::NotOurs) => {}
            Ok(Rebuilt::Orphan(why)) => lines.push(line("orphan", why, false)),
            Err(why) => {
                is_complete = false;
                lines.push(line("failed", why.to_string(), true));
            }
        }
    }
    remember_the_day(app, &runs).await?;
    if looked_for_asked && is_complete {
        app.store.beat(ASKED, app.now).await?;
    }
    forget_intents(app, &runs).await?;
    Ok(Recovered { runs, lines, is_complete: all_searched })
}

/// Items that carry a label, over all projects that can be searched, and whether all can.
async fn labelled(app: &App, label: &str) -> Result<(BTreeSet<WorkItemId>, bool), ado::Error> {
    let mut ids = BTreeSet::new();
    let mut all_searched = true;
    for project in &app.settings.intake.projects {
        match app.ado.ids_with_label(project, label, IN_PROGRESS).await {
            Ok(found) => ids.extend(found),
            // One that was renamed or is closed to us must not keep lost runs of the others lost.
            Err(why) if why.is_about_one_thing() => {
                all_searched = false;
                tracing::warn!("{project} was not searched for lost runs: {why}");
            }
            Err(why) => return Err(why),
        }
    }
    Ok((ids, all_searched))
}

/// Under this name the memory notes that it looked for runs about which people were asked. A new memory has no note.
const ASKED: &str = "recovery";

/// Under this name the memory notes that the runs of its first day were read back.
const DAY: &str = "day";

/// Whether limits of the day can be counted: a new memory has to be told first what was spent before it was new.
pub(super) async fn knows_the_day(app: &App) -> Result<bool, store::Error> {
    Ok(!app.store.keeps_beats() || app.store.last_beat(DAY).await?.is_some())
}

/// A memory that is new does not know which runs were closed today, and limits of the day count them. They are read from
/// their comments, once, as a memory without a file reads them all the time.
async fn remember_the_day(app: &App, found: &[Run]) -> Result<(), store::Error> {
    if knows_the_day(app).await? {
        return Ok(());
    }
    let told = app.in_comments().worked_since(breaker::looks_back_to(app.now)).await?;
    for run in told.into_iter().filter(Run::is_closed) {
        if !found.iter().any(|found| found.id == run.id) {
            // Superseded means that it is remembered.
            let _ = app.store.open(&Run { generation: Generation::NEW, ..run }).await?;
        }
    }
    app.store.beat(DAY, app.now).await
}

/// Runs about which people were asked carry another label and wait for days: they are looked for when the memory is
/// new, and then now and then, because a query can be behind. An idle tick does not pay for it.
async fn is_due(app: &App) -> Result<bool, store::Error> {
    const AGAIN_AFTER: std::time::Duration = std::time::Duration::from_hours(1);
    let last = app.store.last_beat(ASKED).await?;
    Ok(last.is_none_or(|at| crate::decide::deadline::later(at, AGAIN_AFTER) <= app.now))
}

/// Why a worker of a run that is over is stopped.
const OVER: &str = "its run is over, and nobody waits for its work; what it had done is kept";

enum Rebuilt {
    Run(Box<Run>),
    TakenOver(Box<Run>),
    /// It is over, and its worker was still at it.
    Stopped(RunId, String),
    NotOurs,
    Orphan(String),
}

/// `left`: a run that left something; without it, the newest run of the item is looked for.
async fn rebuild(
    app: &App,
    id: WorkItemId,
    left: Option<Left>,
    (known, room): (&[Run], &takeover::Room<'_>),
    me: &IdentityId,
) -> Result<Rebuilt, RecoverError> {
    if let Some(left) = left {
        match app.store.load(left.run).await? {
            Some(remembered) if remembered.is_closed() => return left.is_over(app, OVER).await,
            Some(remembered) => return Ok(Rebuilt::Run(Box::new(remembered))),
            None => {}
        }
    }
    let Some(item) = app.ado.work_item(id).await? else { return Ok(Rebuilt::NotOurs) };
    let is_claimed = item.labels.has(&app.policy.labels.in_progress);
    if left.is_none() && !is_claimed && !item.labels.has(&app.policy.labels.human) {
        // The query was behind; the item decides.
        return Ok(Rebuilt::NotOurs);
    }
    let comments = app.ado.comments(&item.project, id).await?;
    let own = || comments.iter().filter(|comment| comment.author.id == *me);
    let newer = own().find_map(|comment| match Found::in_text(&comment.text) {
        Some(Found::Newer { run, schema }) if run.item == id => Some(schema),
        Some(Found::Newer { .. } | Found::Marker(_)) | None => None,
    });
    if let Some(schema) = newer {
        // Ours, but not to be interpreted: whoever wrote it goes on with it.
        return Ok(Rebuilt::Orphan(RefuseReason::NewerRecord { schema }.to_string()));
    }
    let marked = own()
        .filter_map(|comment| Marker::find(&comment.stored).map(|marker| (marker, comment)))
        .filter(|(marker, _)| marker.run.item == id)
        .max_by_key(|(marker, _)| marker.run.revision);
    let Some((marker, comment)) = marked else {
        if !is_claimed || left.is_some() {
            // Somebody else asked people about something else.
            return Ok(Rebuilt::NotOurs);
        }
        return Ok(Rebuilt::Orphan(format!(
            "it carries `{}` without a record of ours; a person takes the label off or puts `{}` on",
            app.policy.labels.in_progress, app.policy.labels.ready
        )));
    };
    if let Some(left) = left.filter(|left| left.run != marker.run) {
        return if left.run < marker.run {
            left.is_replaced(app, &own().collect::<Vec<_>>(), comment.created_at).await
        } else {
            // Its claim is not shown yet.
            Ok(Rebuilt::NotOurs)
        };
    }
    if marker.executor != app.settings.runtime.executor && left.is_none() && is_claimed {
        let taken = takeover::take_over(app, &item, &marker, comment, room).await?;
        return Ok(taken.map_or(Rebuilt::NotOurs, |run| Rebuilt::TakenOver(Box::new(run))));
    }
    if marker.executor != app.settings.runtime.executor || known.iter().any(|run| run.id == marker.run) {
        return Ok(Rebuilt::NotOurs);
    }
    if let Some(remembered) = app.store.load(marker.run).await? {
        let over = remembered.is_closed();
        return Ok(if over && is_claimed {
            Rebuilt::Orphan(format!(
                "its run {} is over; a person takes `{}` off",
                marker.run, app.policy.labels.in_progress
            ))
        } else {
            // Another process has opened it meanwhile, or people keep the label on something that is over.
            Rebuilt::NotOurs
        });
    }
    let recorded = match Record::find(&comment.stored, marker.run) {
        Ok(record) => Some(record.run(&item.labels, &app.policy.labels, comment.created_at)),
        Err(Unreadable::Missing | Unreadable::Damaged) => None,
        Err(why @ Unreadable::Newer(_)) => return Ok(Rebuilt::Orphan(why.to_string())),
    };
    if let Some(run) = recorded {
        if run.is_closed() {
            return match left {
                Some(left) => {
                    // Remembered again as what it is: what it left here is removed in its time, not kept for ever.
                    // Superseded means that another copy was first.
                    let _ = app.store.open(&Run { generation: Generation::NEW, ..run }).await?;
                    left.is_over(app, OVER).await
                }
                None if is_claimed => Ok(Rebuilt::Orphan(format!(
                    "its run {} is over; a person takes `{}` off",
                    marker.run, app.policy.labels.in_progress
                ))),
                None => Ok(Rebuilt::NotOurs),
            };
        }
        let run = Run { progress_comment: Some(comment.id), generation: Generation::NEW, ..run };
        return reopen(app, run).await;
    }
    // The record is gone, the marker is there: what the world does not tell is lost.
    let Some((project, name)) = marker.repository.split_once('/') else {
        return Ok(Rebuilt::Orphan("its record names no repository".into()));
    };
    let Some(repository) = app.repository(project, name).await? else {
        return Ok(Rebuilt::Orphan(format!("its repository `{}` cannot be read", marker.repository)));
    };
    let requested_by = app.ado.labelled_by(id, &app.policy.labels.ready).await?.map(|labelled| labelled.by);
    let claim = Claim {
        id: marker.run,
        executor: marker.executor.clone(),
        nonce: marker.nonce.clone(),
        repository,
        target: marker.target.clone(),
        kind: item.kind.clone(),
        // It stands in titles and rings of ours; what is in the item is the person's own.
        title: app.ado.redactor().redact(&item.title),
        requested_by,
        claimed_at: claimed_at(app, &item, &marker).await?,
    };
    let run = Run {
        progress_comment: Some(comment.id),
        turns: turns(app, &marker).await,
        choices: super::choices::frozen(app, marker.run).await?,
        ..Run::claimed(claim)
    };
    reopen(app, run).await
}

async fn reopen(app: &App, run: Run) -> Result<Rebuilt, RecoverError> {
    Ok(match app.store.open(&run).await? {
        Saved::Saved(generation) => Rebuilt::Run(Box::new(Run { generation, ..run })),
        Saved::Superseded => Rebuilt::NotOurs,
    })
}

/// The revision that our claim made is the one after the tested one; its time is the claim's. Commits carry it, so it
/// has to be the same as before.
async fn claimed_at(app: &App, item: &WorkItem, marker: &Marker) -> Result<jiff::Timestamp, ado::Error> {
    let claim = crate::domain::Revision(marker.run.revision.0 + 1);
    Ok(app.ado.changed_at(item.id, claim).await?.unwrap_or(item.changed_at))
}

/// The executor's workers count turns by themselves; only where it has none, the marker's counts stand in.
async fn turns(app: &App, marker: &Marker) -> Vec<TurnRecord> {
    match app.runtime.workers_of(marker.run).await {
        Ok(workers) if workers.is_empty() => {}
        Ok(_) | Err(_) => return Vec::new(),
    }
    let kinds = marker.turns.iter().flat_map(|(kind, n)| std::iter::repeat_n(*kind, *n as usize));
    (1..)
        .zip(kinds)
        .map(|(number, kind)| {
            let trigger = TriggerKey("before the memory was lost".into());
            TurnRecord::reserved(TurnNumber(number), kind, trigger, app.now)
        })
        .collect()
}

/// An intent that became no run was never claimed, or was claimed by somebody else: nothing to keep.
async fn forget_intents(app: &App, recovered: &[Run]) -> Result<(), store::Error> {
    /// A claim takes seconds; a process that is still at it is not disturbed.
    const SETTLED_AFTER: std::time::Duration = std::time::Duration::from_mins(10);
    for intent in app.store.intents().await? {
        let settled = crate::decide::deadline::later(intent.at, SETTLED_AFTER) < app.now;
        if settled && !recovered.iter().any(|run| run.id == intent.run) {
            app.store.drop_intent(intent.run).await?;
        }
    }
    Ok(())
}
