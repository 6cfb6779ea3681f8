//! Rung 11: what people said on the pull request, and what we said to them.

use super::{
    Decision, EscalateReason, Missing, Observation, Proceed, WaitReason,
    conversation::{contradiction, conversation, said_twice},
    deadline::later,
    review_since,
};
use crate::domain::{CommitId, Policy, PullRequest, Run, Trigger, TurnKind};
use jiff::Timestamp;

/// Nothing when nobody awaits us, or when nobody was listened to in this tick.
pub(super) fn listen(
    run: &Run,
    seen: &Observation,
    pull_request: &PullRequest,
    policy: &Policy,
    now: Timestamp,
    head: &CommitId,
) -> Option<Decision> {
    let threads = seen.threads.known()?;
    let said = seen.said.known().map_or(&[][..], Vec::as_slice);
    if let Some((thread, comment)) = said_twice(said) {
        return Some(Decision::Proceed(Proceed::Unsay { thread, comment }));
    }
    let talk = conversation(threads, said, &seen.me, policy);
    let newest_at = talk.newest_at?;
    // People who were asked and let the run go on have settled what they said until then.
    let is_news = run.resumed.as_ref().is_none_or(|resumed| newest_at > resumed.at);
    let opposed = contradiction(threads, said, &talk, &pull_request.reviewers, policy);
    if let Some(between) = opposed.filter(|_| is_news) {
        return Some(Decision::Escalate(EscalateReason::Contradiction { between }));
    }
    let trigger = Trigger::Threads { head: head.clone(), awaiting: talk.awaiting };
    let whole_at = later(newest_at, policy.quiet_period);
    Some(if run.has_answered(&trigger) {
        // Our reply may not be shown yet: the quiet period counts from the end of our turn, too.
        let shown_at = later(review_since(run).unwrap_or(newest_at), policy.quiet_period);
        if shown_at > now {
            Decision::Wait(WaitReason::LookAgain(Missing::Reply))
        } else {
            Decision::Escalate(EscalateReason::SameInputAgain(TurnKind::Respond))
        }
    } else if run.spent(TurnKind::Respond) >= policy.respond_attempts {
        Decision::Escalate(EscalateReason::BudgetSpent(TurnKind::Respond))
    } else if whole_at > now {
        Decision::Wait(WaitReason::QuietPeriod { until: whole_at })
    } else {
        Decision::Respond(trigger)
    })
}
