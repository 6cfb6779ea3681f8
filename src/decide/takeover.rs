//! When the executor that owns a run counts as gone for ever, and what of its run another one goes on with.
//!
//! Decided by what stands in the item and by the server's times. Nobody asks the owner: it may be switched off. It is told by
//! the new claim, which it finds when it looks for one; and it looks before anybody could have made one.

use super::{Decision, Observation, Seen, WaitReason, deadline::later};
use crate::domain::{
    CommitId, Continued, Doubts, ExecutorId, Generation, Outcome, Policy, Pushed, Run, RunId, Stage, TurnEnd,
};
use jiff::Timestamp;

/// Before anything else may be touched: whoever was replaced owns neither label nor pull request.
pub(super) fn replaced(seen: &Observation) -> Option<Decision> {
    match &seen.replaced {
        Seen::Known(true) => Some(Decision::Close(Outcome::Superseded)),
        Seen::Unknown(gap) => Some(Decision::Wait(WaitReason::Gap(gap.clone()))),
        Seen::Known(false) | Seen::NotAsked => None,
    }
}

/// When another executor may go on with `run`, of which the last sign was given at `sign`; none where never. People may
/// take weeks, so a run that is with them has their time first: an owner that lives asks them at its end.
pub fn takeover_due_at(run: &Run, sign: Timestamp, policy: &Policy) -> Option<Timestamp> {
    if policy.takeover_after.is_zero() {
        return None;
    }
    match run.stage {
        Stage::Claimed | Stage::Working { .. } | Stage::Pushed { .. } => {
            Some(later(sign, policy.takeover_after))
        }
        Stage::InReview { .. } => Some(later(later(sign, policy.review_limit), policy.takeover_after)),
        // Nobody has to do anything but people, and labelling again is theirs.
        Stage::Escalated { .. } | Stage::Closed { .. } => None,
    }
}

/// The last sign of life that the run itself tells.
pub fn last_moved(run: &Run) -> Timestamp {
    let stage = match run.stage {
        Stage::Working { since, .. }
        | Stage::Pushed { since }
        | Stage::InReview { since }
        | Stage::Escalated { since, .. } => Some(since),
        Stage::Closed { at, .. } => Some(at),
        Stage::Claimed => None,
    };
    let turns = run.turns.iter().flat_map(|turn| [Some(turn.at), turn.ended_at]);
    let others = [stage, run.reminded_at, run.pushed.as_ref().map(|pushed| pushed.at)];
    turns.chain(others).flatten().fold(run.claimed_at, Timestamp::max)
}

/// The run that goes on where `old` was left: a new claim on the old branch. What was spent stays spent; a turn under way
/// is lost with its executor.
pub fn continuing(
    old: &Run,
    id: RunId,
    executor: ExecutorId,
    nonce: String,
    head: Option<&CommitId>,
    now: Timestamp,
) -> Run {
    let mut run = Run {
        id,
        executor,
        nonce,
        claimed_at: now,
        continues: Some(Continued { branch: old.branch(), text: old.text_revision() }),
        progress_comment: None,
        progress_digest: None,
        doubts: Doubts::default(),
        heard: None,
        generation: Generation::NEW,
        ..old.clone()
    };
    for turn in &mut run.turns {
        turn.end.get_or_insert(TurnEnd::Lost);
    }
    // The owner may have died right after its push; a head that came in another stage is somebody else's.
    if let (Some(head), Stage::Working { .. }) = (head, &old.stage)
        && !old.knows_head(head)
    {
        run.pushed = Some(Pushed { head: head.clone(), at: now });
    }
    run.stage = if run.pushed.is_some() { Stage::Pushed { since: now } } else { Stage::Claimed };
    run
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decide::{
            Gap, Source, decide,
            given::{At, Given, Pr, World},
        },
        domain::{Brake, Revision, TurnKind, WorkItemId},
    };
    use std::time::Duration;

    #[test]
    fn only_a_long_silence_makes_an_owner_dead() {
        let days = |n: u64| Duration::from_hours(24 * n);
        let due = |at: At, policy: &Policy| {
            let World { run, .. } = Given { at, ..Given::default() }.world();
            let sign = last_moved(&run);
            takeover_due_at(&run, sign, policy).map(|due| due.duration_since(sign).unsigned_abs())
        };
        let policy = Policy::default();
        assert_eq!(due(At::Claimed, &policy), Some(days(3)));
        assert_eq!(due(At::Pushed, &policy), Some(days(3)));
        assert_eq!(due(At::InReview, &policy), Some(days(17)), "people may take two weeks");
        assert_eq!(due(At::Escalated, &policy), None);
        let never = Policy { takeover_after: Duration::ZERO, ..policy };
        assert_eq!(due(At::Claimed, &never), None);
    }

    #[test]
    fn what_was_spent_stays_spent_and_the_branch_stays() {
        let World { run: old, now, .. } = Given::default().world();
        let id = RunId { item: WorkItemId(4711), revision: Revision(40) };
        let run = continuing(&old, id, ExecutorId("there".into()), "n".into(), None, now);
        assert_eq!((run.id, run.branch(), run.text_revision()), (id, old.branch(), old.text_revision()));
        assert_eq!(run.spent(TurnKind::FixForward), old.spent(TurnKind::FixForward));
        assert!(run.turns.iter().all(|turn| turn.end.is_some()));
        assert_eq!(run.pushed, old.pushed);
        assert!(matches!(run.stage, Stage::Pushed { .. }));
    }

    #[test]
    fn an_owner_that_was_replaced_touches_nothing() {
        for (pr, brake, expected) in [
            (Pr::Current, Brake::Off, Decision::Close(Outcome::Superseded)),
            (Pr::Completed, Brake::Off, Decision::Close(Outcome::Superseded)),
            (Pr::Current, Brake::Stop, Decision::Wait(WaitReason::Brake(Brake::Stop))),
        ] {
            let World { run, mut seen, policy, now } = Given { pr, brake, ..Given::default() }.world();
            seen.replaced = Seen::Known(true);
            assert_eq!(decide(&run, &seen, &policy, now), expected);
        }
        let World { run, mut seen, policy, now } = Given::default().world();
        let gap = Gap { source: Source::Item, why: "timed out".into() };
        seen.replaced = Seen::Unknown(gap.clone());
        assert_eq!(decide(&run, &seen, &policy, now), Decision::Wait(WaitReason::Gap(gap)));
    }
}
