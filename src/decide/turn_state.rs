//! Rungs 8 and 9: where the turn under way stands, as facts.

use super::{
    deadline::Deadline,
    observation::Observation,
    reason::{EscalateReason, Missing},
    workers,
};
use crate::domain::{
    AgentFailure, AgentResult, CommitId, FetchResult, Policy, PublishResult, Run, Stage, Started, Step,
    StepResult, ThreadId, Trigger, Turn, WorkerState,
};
use jiff::Timestamp;

/// Where the current turn stands.
pub(super) enum TurnState {
    /// No turn is under way.
    None,
    /// The run has no turn yet.
    NotBegun,
    /// This step has to be started.
    Due(Step),
    /// This step follows.
    Next(Step),
    /// The turn pushed.
    Pushed(CommitId),
    /// The turn's answer is enough.
    Answered,
    /// Missing at first sight.
    LookAgain(Missing),
    /// It was lost to somebody else than the agent.
    Lost { class: AgentFailure, detail: String },
    /// The agent failed.
    Failed { class: AgentFailure, detail: String },
    /// Only a person can go on.
    NeedsPerson(EscalateReason),
}

pub(super) fn turn_state(run: &Run, seen: &Observation, policy: &Policy, now: Timestamp) -> TurnState {
    let (turn, step, started) = match &run.stage {
        Stage::Claimed => return if run.pushed.is_some() { TurnState::None } else { TurnState::NotBegun },
        Stage::Pushed { .. } | Stage::InReview { .. } | Stage::Escalated { .. } | Stage::Closed { .. } => {
            return TurnState::None;
        }
        // People let it go on after that turn; a memory that was found again may still be in it.
        Stage::Working { turn, .. } if run.resumed.as_ref().is_some_and(|word| turn.number <= word.after) => {
            return TurnState::NotBegun;
        }
        Stage::Working { turn, step, started, since: _ } => (turn, *step, *started),
    };
    let worker = workers(seen).iter().find(|worker| worker.turn.number == turn.number && worker.step == step);
    match (worker.map(|worker| &worker.state), started) {
        (None, Started::NotYet) | (Some(WorkerState::Created), _) => {
            // An executor that cannot start it must not be asked for ever.
            if Deadline::Step.is_over(run, policy, now) {
                lost("its worker could not be started")
            } else {
                TurnState::Due(step)
            }
        }
        (None, Started::Seen) => match run.doubts.worker_gone_since {
            Some(since) if since < now => lost("its worker was removed"),
            Some(_) | None => TurnState::LookAgain(Missing::Worker),
        },
        // Rung 7 has returned before this.
        (Some(WorkerState::Running { .. }), _) => TurnState::None,
        (Some(WorkerState::Crashed { hint }), _) => lost(hint),
        (Some(WorkerState::Finished(result)), _) => after_step(turn, step, result),
    }
}

fn after_step(turn: &Turn, step: Step, result: &StepResult) -> TurnState {
    if result.step() != step {
        return lost("its worker reported for another step");
    }
    match result {
        StepResult::Fetch(FetchResult::Ready { .. }) => TurnState::Next(Step::Agent),
        StepResult::Fetch(FetchResult::Moved { found: None }) => lost("the branch was gone"),
        StepResult::Fetch(FetchResult::Moved { found: Some(_) })
        | StepResult::Publish(PublishResult::Diverged { found: _ }) => {
            TurnState::NeedsPerson(EscalateReason::PersonPushed)
        }
        StepResult::Fetch(FetchResult::Failed { detail })
        | StepResult::Publish(PublishResult::Failed { detail }) => lost(detail),
        // A merge may come to nothing; anything else that does is no work, whoever committed it.
        StepResult::Agent { result: AgentResult::Worked { changed, summary, replies, .. }, .. }
            if changed.files == 0 && !matches!(turn.trigger, Trigger::Conflict { .. }) =>
        {
            nothing_changed(turn, summary, replies)
        }
        StepResult::Agent { result: AgentResult::Worked { .. }, .. } => TurnState::Next(Step::Publish),
        StepResult::Agent { result: AgentResult::NothingChanged { answer, replies }, .. } => {
            nothing_changed(turn, answer, replies)
        }
        StepResult::Agent { result: AgentResult::Question { question }, .. } => {
            TurnState::NeedsPerson(EscalateReason::Question { question: question.clone() })
        }
        StepResult::Agent { result: AgentResult::Failed { class, detail }, .. } => match class {
            AgentFailure::Infrastructure
            | AgentFailure::Provider
            | AgentFailure::Rejected
            | AgentFailure::Stopped => TurnState::Lost { class: *class, detail: detail.clone() },
            // Whoever used up a turn's money would use up the next one's.
            AgentFailure::Exhausted => {
                TurnState::NeedsPerson(EscalateReason::AgentFailed { class: *class, detail: detail.clone() })
            }
            AgentFailure::Agent
            | AgentFailure::Idle
            | AgentFailure::Timeout
            | AgentFailure::TooMuchOutput
            | AgentFailure::LeftConflict
            | AgentFailure::Untidy => TurnState::Failed { class: *class, detail: detail.clone() },
        },
        StepResult::Publish(PublishResult::Pushed { head, .. }) => TurnState::Pushed(head.clone()),
        StepResult::Publish(PublishResult::Refused { rules }) => {
            TurnState::NeedsPerson(EscalateReason::Refused { rules: rules.clone() })
        }
    }
}

fn lost(detail: &str) -> TurnState {
    TurnState::Lost { class: AgentFailure::Infrastructure, detail: detail.to_owned() }
}

fn nothing_changed(turn: &Turn, answer: &str, replies: &[ThreadId]) -> TurnState {
    match turn.trigger {
        Trigger::Threads { .. } if !replies.is_empty() => TurnState::Answered,
        Trigger::Threads { .. }
        | Trigger::WorkItem { .. }
        | Trigger::FailingChecks { .. }
        | Trigger::Answer { .. }
        | Trigger::Conflict { .. } => {
            TurnState::NeedsPerson(EscalateReason::NothingChanged { answer: answer.to_owned() })
        }
    }
}
