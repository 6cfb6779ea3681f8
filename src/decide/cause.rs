//! What many runs can suffer from at once: the cause behind an escalation, so that a storm of doorbells becomes one.

use super::{Observation, Source, Verdict, reason::EscalateReason, verdict};
use crate::domain::{AgentFailure, Cause, Run, TurnKind};

/// The cause of asking people about this run. Equal causes of many runs are told as one.
pub fn cause(run: &Run, seen: &Observation, reason: &EscalateReason) -> Cause {
    let alike = |word: &str| Cause::Reason { reason: word.to_owned() };
    match reason {
        EscalateReason::Gap(gap) => match gap.source {
            Source::Workers => Cause::Executor,
            Source::Item | Source::Branch | Source::PullRequest | Source::Checks | Source::Threads => {
                Cause::Service
            }
        },
        EscalateReason::Stuck { .. } => alike("stuck"),
        EscalateReason::TurnTooLong => Cause::Executor,
        EscalateReason::InfrastructureBudget { .. } => match run.turns.last().and_then(|turn| turn.fault) {
            Some(AgentFailure::Provider) => Cause::Provider,
            Some(_) | None => Cause::Executor,
        },
        EscalateReason::AgentFailed { class: AgentFailure::Provider, .. } => Cause::Provider,
        EscalateReason::AgentFailed { class: AgentFailure::Infrastructure, .. } => Cause::Executor,
        EscalateReason::AgentFailed { .. } => alike("agent-failed"),
        EscalateReason::RedTooLong => target_red(run, seen).unwrap_or_else(|| alike("red-too-long")),
        EscalateReason::NothingChanged { .. } => alike("nothing-changed"),
        EscalateReason::Question { .. } => alike("question"),
        EscalateReason::Refused { .. } => alike("refused"),
        EscalateReason::PersonPushed => alike("person-pushed"),
        EscalateReason::BudgetSpent(kind) => alike(&format!("budget-spent-{}", word(*kind))),
        EscalateReason::SameInputAgain(kind) => alike(&format!("same-input-again-{}", word(*kind))),
        EscalateReason::SameFailureAgain => alike("same-failure-again"),
        EscalateReason::TestsWeakened { .. } => alike("tests-weakened"),
        EscalateReason::CheckBroken { .. } => alike("check-broken"),
        EscalateReason::PartlyGreen => alike("partly-green"),
        EscalateReason::Canceled => alike("canceled"),
        EscalateReason::NoVerdict => alike("no-verdict"),
        EscalateReason::VotedDownSilently { .. } => alike("voted-down-silently"),
        EscalateReason::NobodyReviews => alike("nobody-reviews"),
        EscalateReason::TooManyTurns => alike("too-many-turns"),
        EscalateReason::CannotMerge => alike("cannot-merge"),
        EscalateReason::Contradiction { .. } => alike("contradiction"),
        EscalateReason::NoBuildAgent { .. } => alike("no-build-agent"),
        EscalateReason::BuildInfrastructure { .. } => alike("build-infrastructure"),
        EscalateReason::BudgetExceeded(_) => alike("budget-exceeded"),
        EscalateReason::CutShort => alike("cut-short"),
        EscalateReason::ProviderDown { .. } => Cause::Provider,
    }
}

fn word(kind: TurnKind) -> &'static str {
    kind.word()
}

/// The target branch, when it fails just as our head does.
fn target_red(run: &Run, seen: &Observation) -> Option<Cause> {
    let head = &run.pushed.as_ref()?.head;
    let Verdict::Failing(failing) = verdict(seen.checks.known()?, head) else { return None };
    seen.target_failures.known()?.contains(&failing.signature).then(|| Cause::TargetRed {
        repository: run.repository.path(),
        branch: run.target.to_string(),
        signature: failing.signature,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{
        Decision, Gap, decide,
        given::{Age, At, Ck, Fact, Given},
    };
    use super::*;
    use crate::domain::{TurnEnd, TurnRecord};

    fn of(given: Given, reason: &EscalateReason) -> Cause {
        let world = given.world();
        cause(&world.run, &world.seen, reason)
    }

    #[test]
    fn what_many_runs_suffer_from_is_one_cause() {
        let gap = |source| EscalateReason::Gap(Gap { source, why: "x".into() });
        assert_eq!(of(Given::default(), &gap(Source::Workers)), Cause::Executor);
        assert_eq!(of(Given::default(), &gap(Source::Item)), of(Given::default(), &gap(Source::Checks)));
        let failed = |class| EscalateReason::AgentFailed { class, detail: String::new() };
        assert_eq!(of(Given::default(), &failed(AgentFailure::Provider)), Cause::Provider);
        assert_ne!(of(Given::default(), &failed(AgentFailure::Idle)), Cause::Provider);
    }

    #[test]
    fn a_budget_of_lost_turns_is_whose_fault_the_last_one_was() {
        let mut world = Given::default().world();
        let reason = EscalateReason::InfrastructureBudget { detail: "x".into() };
        assert_eq!(cause(&world.run, &world.seen, &reason), Cause::Executor);
        let last: &mut TurnRecord = world.run.turns.last_mut().unwrap();
        (last.end, last.fault) = (Some(TurnEnd::Lost), Some(AgentFailure::Provider));
        assert_eq!(cause(&world.run, &world.seen, &reason), Cause::Provider);
    }

    #[test]
    fn a_red_target_is_told_by_repository_branch_and_failure() {
        let given = Given {
            at: At::InReview,
            checks: Ck::Failing,
            fact: Fact::TargetRed,
            age: Age::Weeks,
            ..Given::default()
        };
        let world = given.world();
        let decision = decide(&world.run, &world.seen, &world.policy, world.now);
        let Decision::Escalate(reason) = decision else { panic!("{decision}") };
        let Cause::TargetRed { repository, branch, signature } = cause(&world.run, &world.seen, &reason)
        else {
            panic!("{reason}");
        };
        assert_eq!((repository, branch), (world.run.repository.path(), world.run.target.to_string()));
        assert!(!signature.is_empty());
        let own = Given { fact: Fact::None, ..given }.world();
        assert_eq!(
            cause(&own.run, &own.seen, &EscalateReason::RedTooLong),
            Cause::Reason { reason: "red-too-long".into() }
        );
    }
}
