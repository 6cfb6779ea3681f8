//! Goes on with a run whose executor is gone for ever: a new claim of the same item, on the same branch. One conditional
//! write, so of several executors that try, one wins; the old owner finds the new claim and lets go.

use super::{App, claim, progress, recover::RecoverError};
use crate::{
    ado::{ItemChange, ItemComment, Written},
    decide::{
        budget::is_under_way,
        takeover::{continuing, takeover_due_at},
    },
    domain::{Policy, Repository, Run, RunId, WorkItem},
    store::Saved,
    words::{Marker, Record},
};

/// What this executor works on: what is taken over takes room like a claim, also from what is found later in one visit.
pub(super) struct Room<'a> {
    known: &'a [Run],
    taken: Vec<Run>,
}

impl<'a> Room<'a> {
    /// Beside these runs.
    pub(super) fn beside(known: &'a [Run]) -> Self {
        Self { known, taken: Vec::new() }
    }

    /// One more, claimed or found again in this visit.
    pub(super) fn add(&mut self, run: &Run) {
        self.taken.push(run.clone());
    }

    /// Whether one more run in this repository is no more than the operator allows. Runs that wait for people take no room.
    fn is_left(&self, repository: &Repository, policy: &Policy) -> bool {
        let under_way = || self.known.iter().chain(&self.taken).filter(|run| is_under_way(run));
        let here = under_way().filter(|run| run.repository.id == repository.id).count();
        under_way().count() < policy.max_runs as usize && here < policy.max_runs_per_repository as usize
    }
}

/// Takes over the run that `comment` tells of, if its owner had its time and this executor has room. None where not.
pub(super) async fn take_over(
    app: &App,
    item: &WorkItem,
    marker: &Marker,
    comment: &ItemComment,
    room: &Room<'_>,
) -> Result<Option<Run>, RecoverError> {
    let policy = &app.policy;
    let is_open = policy.brake.allows_claims()
        && policy.allows(&marker.repository)
        && !item.labels.has(&policy.labels.paused)
        && !item.labels.has(&policy.labels.stop);
    // A record that cannot be read is for people: what was spent is not guessed.
    let Ok(record) = Record::find(&comment.stored, marker.run) else { return Ok(None) };
    let old = record.run(&item.labels, &policy.labels, comment.created_at);
    let sign = comment.changed_at.max(old.claimed_at);
    if !is_open
        || !room.is_left(&old.repository, policy)
        || takeover_due_at(&old, sign, policy).is_none_or(|due| due > app.now)
    {
        return Ok(None);
    }
    app.runtime.health().await?;
    let id = RunId { item: item.id, revision: item.revision };
    let head = app.ado.branch_head(&old.repository, &old.branch()).await?;
    let executor = app.settings.runtime.executor.clone();
    let run = continuing(&old, id, executor, claim::nonce(app), head.as_ref(), app.now);
    let text = progress::text(&run);
    let run = Run { progress_digest: Some(Record::of(&run).digest(&text)), ..run };
    let history = Record::of_claim(&run).attached_to(&text);
    let change = ItemChange { history: Some(history), ..ItemChange::default() };
    let claimed_at = match app.ado.change_work_item(item.id, item.revision, &change).await {
        Written::Done(claimed) => claimed.changed_at,
        // Somebody was faster, or lives.
        Written::NotDone(why) if why.is_conflict() => return Ok(None),
        // If it went in, the next visit finds our own marker.
        Written::NotDone(why) | Written::Unknown(why) => return Err(why.into()),
    };
    let run = Run { claimed_at, ..run };
    Ok(match app.store.open(&run).await? {
        Saved::Saved(generation) => Some(Run { generation, ..run }),
        Saved::Superseded => None,
    })
}
