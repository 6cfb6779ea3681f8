//! Rung 14: what to do about red, be it real or the operator's drill. Facts come from the verdict; which turn or procedure
//! they call for is decided here and nowhere else.

use super::{
    Decision, EscalateReason, Failing, Missing, Observation, Procedure, Proceed, WaitReason,
    deadline::{Deadline, later},
    procedure,
};
use crate::domain::{CommitId, Policy, Run, Trigger, TurnKind};
use jiff::Timestamp;

/// Rung 14: what to do about red.
pub(super) fn red(
    run: &Run,
    seen: &Observation,
    policy: &Policy,
    now: Timestamp,
    head: &CommitId,
    failing: Failing,
) -> Decision {
    use EscalateReason::{BudgetSpent, BuildInfrastructure, RedTooLong, SameFailureAgain, SameInputAgain};
    if seen.target_failures.known().is_some_and(|target| target.contains(&failing.signature)) {
        return if Deadline::Review.is_over(run, policy, now) {
            Decision::Escalate(RedTooLong)
        } else {
            Decision::Wait(WaitReason::TargetRed)
        };
    }
    // It was red because of its target, and is so no more: builds of the merge as it was then say nothing of now.
    if let Some(parked) = &run.parked {
        if let Some(procedure) = procedure::rebuild(run, &failing, head) {
            return Decision::Proceed(Proceed::Do(procedure));
        }
        // Until the new builds show, the old ones do.
        let until = later(parked.released.unwrap_or(now), policy.checks_grace);
        if until > now {
            return Decision::Wait(WaitReason::LookAgain(Missing::Rebuild));
        }
    }
    let is_flake = seen.known_flakes.known().is_some_and(|flakes| {
        !failing.tests.is_empty() && failing.tests.iter().all(|test| flakes.contains(test))
    });
    if failing.is_infrastructure || is_flake {
        let retries = failing.builds.iter().map(|build| Procedure::RetryBuild { build: *build });
        if let Some(retry) = retries.into_iter().find(|retry| !run.procedures.contains(&retry.key(head))) {
            return Decision::Proceed(Proceed::Do(retry));
        }
    }
    if failing.is_infrastructure {
        // Nothing that an agent could mend.
        return Decision::Escalate(BuildInfrastructure { checks: failing.checks });
    }
    let signature = failing.signature.clone();
    let trigger =
        Trigger::FailingChecks { head: head.clone(), signature: failing.signature, builds: failing.builds };
    let same_before = run
        .counted()
        .filter(|turn| {
            turn.kind == TurnKind::FixForward && turn.trigger.0.ends_with(&format!(":{signature}"))
        })
        .count();
    if run.has_answered(&trigger) {
        Decision::Escalate(SameInputAgain(TurnKind::FixForward))
    } else if same_before >= SAME_SIGNATURE_FREEZES {
        Decision::Escalate(SameFailureAgain)
    } else if run.spent(TurnKind::FixForward) >= policy.fix_forward_attempts {
        Decision::Escalate(BudgetSpent(TurnKind::FixForward))
    } else if Deadline::Red.is_over(run, policy, now) {
        Decision::Escalate(RedTooLong)
    } else {
        Decision::FixForward(trigger)
    }
}

/// A failure that two fix turns left standing, to the letter, will not be fixed by a third.
const SAME_SIGNATURE_FREEZES: usize = 2;

/// Signature of the red that the operator asked for.
pub const DRILL: &str = "drill";

/// Whether the operator wants to see this run answer red: once, in the one repository that they named.
pub(super) fn drill_is_due(run: &Run, policy: &Policy) -> bool {
    let is_here = policy.drill.as_ref().is_some_and(|named| *named == run.repository.path().to_lowercase());
    is_here && !run.turns.iter().any(|turn| turn.trigger.0.ends_with(&format!(":{DRILL}")))
}

/// What a drill takes a green verdict for.
pub(super) fn drilled() -> Failing {
    Failing {
        checks: vec!["fault drill".into()],
        builds: Vec::new(),
        evaluations: Vec::new(),
        unnamed: Vec::new(),
        tests: Vec::new(),
        signature: DRILL.into(),
        is_infrastructure: false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Decision, EscalateReason, decide,
        given::{Ck, Given, Past, World},
    };
    use crate::domain::{Resumed, Revision};

    #[test]
    fn a_person_who_lets_it_go_on_gives_the_same_failure_new_tries() {
        let case = Given { past: Past::SameTwice, checks: Ck::Failing, ..Given::default() };
        let World { mut run, seen, policy, now } = case.world();
        assert_eq!(decide(&run, &seen, &policy, now), Decision::Escalate(EscalateReason::SameFailureAgain));
        let after = run.turns.last().unwrap().number;
        run.resumed = Some(Resumed { at: now, by: None, after, revision: Revision(20) });
        let decision = decide(&run, &seen, &policy, now);
        assert!(matches!(decision, Decision::FixForward(_)), "{decision:?}");
    }
}
