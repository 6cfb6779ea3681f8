//! What a look did not bring: rung 6, as facts.

use super::observation::{Gap, ItemSeen, Observation, Seen, Source};
use crate::domain::{Revision, Run};

/// The first thing that could not be read and that a rung below needs at this stage.
pub(super) fn needed_gap(run: &Run, seen: &Observation) -> Option<Gap> {
    let needs_branch = run.pushed.is_some();
    // It was there and nobody can delete one: a list that does not show it yet must not lead to a second one.
    let lost_pull_request = run.pull_request.is_some() && seen.pull_request.known() == Some(&None);
    gap_in(&seen.item, Source::Item)
        .or_else(|| gap_in(&seen.workers, Source::Workers))
        .or_else(|| gap_in(&seen.branch, Source::Branch).filter(|_| needs_branch))
        .or_else(|| gap_in(&seen.pull_request, Source::PullRequest).filter(|_| needs_branch))
        .or_else(|| lost_pull_request.then(|| gap(Source::PullRequest, "it is not shown any more")))
        .or_else(|| seen.checks.gap().cloned())
        .or_else(|| seen.threads.gap().cloned())
        // Only looked at when we are red: without it a fix turn would be bought for somebody else's failure.
        .or_else(|| seen.target_failures.gap().cloned())
        // And what a fix did to the tests has to be known before anything is called good.
        .or_else(|| seen.tests.gap().cloned())
}

/// What every look needs and this one did not bring.
fn gap_in<T>(seen: &Seen<T>, source: Source) -> Option<Gap> {
    match seen {
        Seen::Known(_) => None,
        Seen::Unknown(gap) => Some(gap.clone()),
        Seen::NotAsked => Some(gap(source, "it was not looked at")),
    }
}

fn gap(source: Source, why: &str) -> Gap {
    Gap { source, why: why.to_owned() }
}

/// Whether this is how the item was before our claim, or before what we read in its discussion.
pub(super) fn is_old(run: &Run, revision: Revision) -> bool {
    revision <= run.id.revision || run.heard.is_some_and(|heard| revision < heard)
}

/// Whether the item was read as it was before our claim. For ever, if the claim was never made.
pub(super) fn is_stale(run: &Run, seen: &Observation) -> bool {
    match seen.item.known() {
        Some(ItemSeen::Here { item, .. }) => is_old(run, item.revision),
        Some(ItemSeen::Gone) | None => false,
    }
}

pub(super) fn stale_gap() -> Gap {
    gap(Source::Item, "it is shown as it was before the claim")
}
