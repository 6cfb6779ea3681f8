//! What people do to the work item beside talking: they take it back, or hold it.
//!
//! What they do to the pull request stands in the ladder itself; what they say, in `heard`.

use super::{Missing, Observation, Pause, gaps::is_old, heard, observation::ItemSeen, procedure, resume};
use crate::domain::{Outcome, Policy, Run, Stage, WorkItem};
use jiff::Timestamp;

/// How people ended it.
pub(super) enum Ended {
    /// Like this.
    For(Outcome),
    /// They did, if it is still so at the next look.
    Perhaps(Missing),
    /// What was read is older than what we know.
    Stale,
}

/// Rung 3: people took the item back.
pub(super) fn people_end_it(run: &Run, seen: &Observation, policy: &Policy, now: Timestamp) -> Option<Ended> {
    let (item, is_over, stop_asked) = match seen.item.known()? {
        ItemSeen::Gone => {
            return Some(match run.doubts.item_gone_since {
                Some(since) if since < now => Ended::For(Outcome::HandedBack),
                Some(_) | None => Ended::Perhaps(Missing::Item),
            });
        }
        ItemSeen::Here { item, is_over, stop_asked } => (item, *is_over, *stop_asked),
    };
    let is_escalated = matches!(run.stage, Stage::Escalated { .. });
    if is_old(run, item.revision) {
        // Nothing can be told from it; people who were asked are still asked.
        return (!is_escalated).then_some(Ended::Stale);
    }
    let labels = &policy.labels;
    let is_asked = item.labels.has(&labels.human);
    let is_claimed = item.labels.has(&labels.in_progress);
    let stop_asked = stop_asked || heard::stop_asked(run, seen, policy);
    let is_stopped = is_over || stop_asked || item.labels.has(&labels.stop);
    if is_escalated && is_claimed && !is_asked && !is_stopped {
        // Catching up has found whatever we wrote ourselves; an unread discussion proves nothing.
        return (heard::claimed_anew(run, seen) == Some(true)).then_some(Ended::For(Outcome::Superseded));
    }
    // Swapping the labels is how people say "go on", not "leave it".
    let goes_on = is_escalated
        && item.labels.has(&labels.ready)
        && (seen.labelled.gap().is_some() || resume::is_asked_for(run, seen, policy));
    let label_gone = if is_escalated { !is_asked && !goes_on } else { !is_claimed };
    let ended = is_stopped || label_gone || !policy.works_in(&item.project);
    ended.then_some(Ended::For(Outcome::HandedBack))
}

/// Rung 5: a person holds the run.
pub(super) fn paused(run: &Run, seen: &Observation, policy: &Policy) -> Option<Pause> {
    let item: Option<&WorkItem> = match seen.item.known() {
        Some(ItemSeen::Here { item, .. }) => Some(item),
        Some(ItemSeen::Gone) | None => None,
    };
    let is_ours = run.drafts(policy.open_as_draft) && !procedure::was_published(run);
    let is_draft = seen.pull_request.known().and_then(Option::as_ref).is_some_and(|pr| pr.is_draft);
    if item.is_some_and(|item| item.labels.has(&policy.labels.paused)) {
        Some(Pause::Label)
    } else if is_draft && !is_ours {
        Some(Pause::Draft)
    } else if policy.pause_when_assigned
        && item.and_then(|item| item.assigned_to.as_ref()).is_some_and(|who| who.id != seen.me)
    {
        Some(Pause::Assigned)
    } else {
        None
    }
}
