//! The claim: one PATCH with `test /rev`. It takes the label away, puts ours on and leaves the marker, all or
//! nothing; whoever loses the revision loses the claim and makes no noise.

use super::{App, progress};
use crate::{
    ado::{self, ItemChange, Written},
    decide::budget::before,
    domain::{Choices, Claim, Identity, Repository, Run, RunId, WorkItem},
    store::{self, Intent, Saved},
    words::{Marker, Record},
};

/// Whose the item is now.
pub(super) enum Claimed {
    /// Ours, and remembered.
    Ours(Box<Run>),
    /// Somebody was faster, or changed it meanwhile.
    ByOther(String),
}

/// Why a claim could not be tried or remembered.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClaimError {
    #[error(transparent)]
    Ado(#[from] ado::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("whether the claim went in could not be told: {0}; the next tick looks")]
    Unknown(ado::Error),
}

/// What is claimed besides the item.
pub(super) struct Wanted {
    pub(super) repository: Repository,
    pub(super) requested_by: Option<Identity>,
    pub(super) choices: Choices,
    /// Runs of the item that its comments tell of.
    pub(super) earlier: Vec<Run>,
}

/// Claims `item` as it was read.
pub(super) async fn claim(app: &App, item: &WorkItem, wanted: Wanted) -> Result<Claimed, ClaimError> {
    let Wanted { repository, requested_by, choices, earlier } = wanted;
    let id = RunId { item: item.id, revision: item.revision };
    let Some(target) = repository.default_branch.clone() else {
        return Ok(Claimed::ByOther("its repository has no default branch any more".into()));
    };
    let run = Run {
        choices,
        ..Run::claimed(Claim {
            id,
            executor: app.settings.runtime.executor.clone(),
            nonce: nonce(app),
            repository,
            target,
            kind: item.kind.clone(),
            // It stands in titles and rings of ours; what is in the item is the person's own.
            title: app.ado.redactor().redact(&item.title),
            requested_by,
            claimed_at: app.now,
        })
    };
    // Comments tell of every executor's runs and outlive a memory; a memory outlives a comment that somebody deleted.
    let known = app.store.of_item(item.id).await?;
    let run = Run { before: before(known.iter().chain(&earlier).filter(|earlier| earlier.id != id)), ..run };
    let text = progress::text(&run);
    let run = Run { progress_digest: Some(Record::of_claim(&run).digest(&text)), ..run };
    let labels = &app.policy.labels;
    let change = ItemChange {
        labels: Some(item.labels.changed(&[&labels.in_progress], &[&labels.ready, &labels.human])),
        history: Some(Record::of_claim(&run).attached_to(&text)),
        ..ItemChange::default()
    };
    app.store.intend(&Intent { run: id, nonce: run.nonce.clone(), at: app.now }).await?;
    let claimed_at = match app.ado.change_work_item(item.id, item.revision, &change).await {
        Written::Done(claimed) => claimed.changed_at,
        Written::NotDone(why) if why.is_conflict() => match ours(app, item, &run).await? {
            Some(claimed_at) => claimed_at,
            None => {
                app.store.drop_intent(id).await?;
                return Ok(Claimed::ByOther("somebody else changed it first".into()));
            }
        },
        Written::NotDone(why) => {
            app.store.drop_intent(id).await?;
            return Err(why.into());
        }
        // The same PATCH with the same tested revision can only commit once, whoever's copy it is.
        Written::Unknown(_) => match app.ado.change_work_item(item.id, item.revision, &change).await {
            Written::Done(claimed) => claimed.changed_at,
            Written::NotDone(_) | Written::Unknown(_) => match ours(app, item, &run).await {
                Ok(Some(claimed_at)) => claimed_at,
                Ok(None) => {
                    return Ok(Claimed::ByOther("its claim was not answered; the next tick looks".into()));
                }
                Err(why) => return Err(ClaimError::Unknown(why)),
            },
        },
    };
    let run = Run { claimed_at, ..run };
    let Saved::Saved(generation) = app.store.open(&run).await? else {
        return Ok(Claimed::ByOther("another process of ours has opened the run".into()));
    };
    Ok(Claimed::Ours(Box::new(Run { generation, ..run })))
}

/// Whether the claim that is on the item is the one we just tried, by the marker's run and nonce; then its time.
async fn ours(app: &App, item: &WorkItem, run: &Run) -> Result<Option<jiff::Timestamp>, ado::Error> {
    let me = app.me().await?;
    let Some(found) = app.ado.work_item(item.id).await? else { return Ok(None) };
    if !found.labels.has(&app.policy.labels.in_progress) {
        return Ok(None);
    }
    let comments = app.ado.comments(&found.project, item.id).await?;
    let is_ours = comments
        .iter()
        .filter(|comment| comment.author.id == me.id)
        .filter_map(|comment| Marker::find(&comment.text))
        .any(|marker| marker.run == run.id && marker.nonce == run.nonce && marker.executor == run.executor);
    Ok(is_ours.then_some(found.changed_at))
}

/// Random per attempt; only tells two processes of one executor apart.
pub(super) fn nonce(app: &App) -> String {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_i128(app.now.as_nanosecond());
    hasher.write_u32(std::process::id());
    format!("{:016x}", hasher.finish())
}
