//! Reads the world: once for the whole fleet in batches, then for single runs what only they need. Cannot fail: what
//! could not be read is a gap.
//!
//! Hot runs get reads of their own (threads, policy evaluations); cold ones take turns, spread by the item's id, so that
//! a thousand runs in review cost a handful of calls.

mod checks;
mod listen;
mod refined;
mod said;
mod survey;

use super::{App, candidate::category};
use crate::{
    ado,
    decide::{
        Gap, ItemSeen, Observation, Seen, Source,
        takeover::{last_moved, takeover_due_at},
    },
    domain::{IdentityId, PullRequest, PullRequestStatus, Run, Stage},
    words::Marker,
};
use checks::checks;
pub(super) use checks::{posted_red, why};
pub(super) use listen::vouch_for_hand;
use listen::{Heard, listen, vouch};
pub(super) use refined::TargetRed;
use refined::{Refined, refine};
pub(super) use said::said;
use std::time::Duration;
use survey::needs_branch;
pub(super) use survey::{Fleet, survey};

/// Gathers everything about one run: from the survey where it is fresh, else by its own reads.
pub(super) async fn observe(app: &App, fleet: Option<&Fleet>, run: &Run, me: &IdentityId) -> Observation {
    // Alone it is looked at closely: after an act of ours, and when a person asks.
    let is_its_turn = fleet.is_none() || app.is_its_turn(run);
    let item = item(app, fleet, run).await;
    let workers = match fleet {
        Some(fleet) => known(
            fleet.workers.as_ref().map(|all| all.get(&run.id).cloned().unwrap_or_default()),
            Source::Workers,
        ),
        None => known(app.runtime.workers_of(run.id).await, Source::Workers),
    };
    let (branch, branch_by) = match branch(app, fleet, run).await {
        Seen::Known(found) => {
            let creator = found.as_ref().and_then(|branch| branch.creator.clone());
            (Seen::Known(found.map(|branch| branch.head)), Seen::Known(creator))
        }
        Seen::Unknown(gap) => (Seen::Unknown(gap.clone()), Seen::Unknown(gap)),
        Seen::NotAsked => (Seen::NotAsked, Seen::NotAsked),
    };
    let pull_request = pull_request(app, fleet, run).await;
    let open = match pull_request.known() {
        Some(Some(found)) if found.status == PullRequestStatus::Active => Some(found),
        Some(_) | None => None,
    };
    let (checks, threads) = match open {
        Some(open) if is_hot(app, run, open, is_its_turn) => {
            let checks = async { known(checks(app, run, open).await, Source::Checks) };
            let threads = async { known(app.ado.threads(&run.repository, open.id).await, Source::Threads) };
            tokio::join!(checks, threads)
        }
        Some(_) | None => (Seen::NotAsked, Seen::NotAsked),
    };
    let (target_failures, known_flakes, tests) = match (open, checks.known()) {
        (Some(open), Some(checks)) => {
            let Refined { target_failures, known_flakes, tests } = refine(app, run, open, checks).await;
            (asked(target_failures), asked(known_flakes), asked(tests))
        }
        (_, _) => (Seen::NotAsked, Seen::NotAsked, Seen::NotAsked),
    };
    let Heard { threads, commands, discussion } = listen(app, run, &item, open, threads, me).await;
    let said = match &threads {
        Seen::Known(threads) => Seen::Known(said(threads, me)),
        Seen::Unknown(gap) => Seen::Unknown(gap.clone()),
        Seen::NotAsked => Seen::NotAsked,
    };
    let mut seen = Observation {
        me: me.clone(),
        item,
        workers,
        branch,
        pull_request,
        checks,
        threads,
        target_failures,
        known_flakes,
        tests,
        said,
        branch_by,
        discussion,
        commands,
        labelled: Seen::NotAsked,
        text_changes: Seen::NotAsked,
        fleet: app.facts().await,
        replaced: replaced(app, run, me).await,
        // Who spoke is known only now.
        unsure: false,
    };
    vouch(app, run, &mut seen).await;
    seen
}

/// What refines the checks: where there was nothing to ask, nothing was.
fn asked<T>(read: Result<Option<T>, crate::ado::Error>) -> Seen<T> {
    match read {
        Ok(Some(value)) => Seen::Known(value),
        Ok(None) => Seen::NotAsked,
        Err(why) => Seen::Unknown(Gap { source: Source::Checks, why: why.to_string() }),
    }
}

fn known<T, E: ToString>(read: Result<T, E>, source: Source) -> Seen<T> {
    match read {
        Ok(value) => Seen::Known(value),
        Err(why) => Seen::Unknown(Gap { source, why: why.to_string() }),
    }
}

async fn item(app: &App, fleet: Option<&Fleet>, run: &Run) -> Seen<ItemSeen> {
    let from_survey = match fleet.map(|fleet| &fleet.items) {
        Some(Err(why)) => return Seen::Unknown(Gap { source: Source::Item, why: why.clone() }),
        Some(Ok(items)) => items.get(&run.id.item).cloned(),
        None => None,
    };
    // A batch leaves out what it may not show; only the read by id tells whether it is gone.
    let found = match from_survey {
        Some(item) => Some(item),
        None => match app.ado.work_item(run.id.item).await {
            Ok(found) => found,
            Err(why) => return Seen::Unknown(Gap { source: Source::Item, why: why.to_string() }),
        },
    };
    let Some(item) = found else { return Seen::Known(ItemSeen::Gone) };
    match app.states(&item.project, &item.kind).await {
        Ok(states) => {
            let is_over = category(&states, &item.state).is_over();
            Seen::Known(ItemSeen::Here { item: Box::new(item), is_over, stop_asked: false })
        }
        Err(why) => Seen::Unknown(Gap { source: Source::Item, why: why.to_string() }),
    }
}

/// Costs a read only after a silence in which another executor may have taken over.
async fn replaced(app: &App, run: &Run, me: &IdentityId) -> Seen<bool> {
    let due = takeover_due_at(run, last_moved(run), &app.policy);
    if due.is_none_or(|due| due > app.now) {
        return Seen::NotAsked;
    }
    let read = async {
        // An item that is gone tells nothing; the rungs below know what to do about it.
        let Some(item) = app.ado.work_item(run.id.item).await? else { return Ok(false) };
        let comments = app.ado.comments(&item.project, item.id).await?;
        let ours = comments.iter().filter(|comment| comment.author.id == *me);
        let mut claims = ours.filter_map(|comment| Marker::find(&comment.stored)).map(|marker| marker.run);
        Ok::<bool, crate::ado::Error>(claims.any(|claim| claim.item == item.id && claim > run.id))
    };
    known(read.await, Source::Item)
}

async fn branch(app: &App, fleet: Option<&Fleet>, run: &Run) -> Seen<Option<ado::Branch>> {
    if !needs_branch(run) {
        return Seen::NotAsked;
    }
    match fleet.and_then(|fleet| fleet.branches.get(&run.repository.id)) {
        Some(Ok(branches)) => Seen::Known(branches.get(&run.branch()).cloned()),
        Some(Err(why)) => Seen::Unknown(Gap { source: Source::Branch, why: why.clone() }),
        None => known(app.ado.branch(&run.repository, &run.branch()).await, Source::Branch),
    }
}

async fn pull_request(app: &App, fleet: Option<&Fleet>, run: &Run) -> Seen<Option<PullRequest>> {
    if run.pushed.is_none() && run.pull_request.is_none() && !matches!(run.stage, Stage::Claimed) {
        return Seen::Known(None);
    }
    match fleet.and_then(|fleet| fleet.active.get(&run.repository.project)) {
        Some(Ok(active)) => {
            let own = |pr: &&PullRequest| pr.source == run.branch() && pr.repository_id == run.repository.id;
            if let Some(found) = active.iter().find(own) {
                return Seen::Known(Some(found.clone()));
            }
        }
        Some(Err(why)) => return Seen::Unknown(Gap { source: Source::PullRequest, why: why.clone() }),
        None => {}
    }
    // Not among the open ones: merged, given up, or not shown yet.
    let found = match run.pull_request {
        Some(id) => app.ado.pull_request(&run.repository, id).await,
        None => app.ado.find_pull_requests(&run.repository, &run.branch()).await.map(newest),
    };
    known(found, Source::PullRequest)
}

/// Of several with our source, the open one, else the newest.
fn newest(mut found: Vec<PullRequest>) -> Option<PullRequest> {
    found.sort_by_key(|pr| (pr.status == PullRequestStatus::Active, pr.id));
    found.pop()
}

/// How long after a push or a change of stage a run is looked at in every tick: builds and first reviews come now.
const HOT_FOR: Duration = Duration::from_mins(30);

fn is_hot(app: &App, run: &Run, open: &PullRequest, is_its_turn: bool) -> bool {
    let since = match &run.stage {
        Stage::InReview { since } | Stage::Pushed { since } => *since,
        // A step decides; its own reads are not needed.
        Stage::Claimed | Stage::Working { .. } | Stage::Escalated { .. } | Stage::Closed { .. } => {
            return false;
        }
    };
    let moved = run.pushed.as_ref().is_none_or(|pushed| open.head.as_ref() != Some(&pushed.head));
    let is_recent = crate::decide::deadline::later(since, HOT_FOR) > app.now;
    moved || is_recent || is_its_turn
}
