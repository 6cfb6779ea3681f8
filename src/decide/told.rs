//! Decisions as sentences, and what each of them begins.

use super::{
    Decision, EscalateReason, Obedience, Proceed, ResumeCause, StopCause, WaitReason, procedure::Procedure,
    reason,
};
use crate::domain::Trigger;
use std::fmt;

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait(reason) => write!(f, "wait: {reason}"),
            Self::StopWorkers(StopCause::Brake) => write!(f, "stop workers: the kill switch is on stop"),
            Self::StopWorkers(StopCause::TooLong) => write!(f, "stop workers: the step is past its deadline"),
            Self::StopWorkers(StopCause::AskedPeople) => write!(f, "stop workers: people were asked"),
            Self::Proceed(proceed) => write!(f, "proceed: {proceed}"),
            Self::Redispatch(cause) => write!(f, "redispatch: {cause}"),
            Self::FixForward(Trigger::FailingChecks { head, .. }) => {
                write!(f, "fix forward: checks are red on {}", head.short())
            }
            Self::FixForward(Trigger::Conflict { head }) => {
                write!(f, "fix forward: {} conflicts with its target", head.short())
            }
            Self::FixForward(Trigger::WorkItem { .. } | Trigger::Threads { .. } | Trigger::Answer { .. }) => {
                write!(f, "fix forward")
            }
            Self::Respond(Trigger::Threads { awaiting, .. }) => {
                let threads: Vec<_> = awaiting.iter().map(|a| a.thread).collect();
                write!(f, "respond: threads {} await an answer", reason::thread_list(&threads))
            }
            Self::Respond(
                Trigger::WorkItem { .. }
                | Trigger::FailingChecks { .. }
                | Trigger::Conflict { .. }
                | Trigger::Answer { .. },
            ) => {
                write!(f, "respond")
            }
            Self::Obey(Obedience { answer: Some(answer), .. }) => write!(
                f,
                "obey: {} wrote {} in {}",
                answer.asked.by.name, answer.asked.command, answer.asked.place
            ),
            Self::Obey(Obedience { pause: Some(true), .. }) => write!(f, "obey: the operator pauses it"),
            Self::Obey(Obedience { pause: Some(false), .. }) => {
                write!(f, "obey: the operator takes the pause off")
            }
            Self::Obey(Obedience { pause: None, answer: None }) => write!(f, "obey"),
            Self::Resume(how) => {
                let by = how.by.as_ref().map_or("the operator", |who| who.name.as_str());
                match &how.cause {
                    ResumeCause::Label => write!(f, "resume: {by} labelled it again"),
                    ResumeCause::Command(asked) => write!(f, "resume: {by} wrote {}", asked.command),
                    ResumeCause::Answer(_) => write!(f, "resume: {by} answered the agent's question"),
                    ResumeCause::Review(_) => {
                        write!(f, "resume: {by} wrote on the pull request while the agent's question waited")
                    }
                    ResumeCause::Operator => write!(f, "resume: {by} lets it go on"),
                }
            }
            Self::Escalate(reason) => write!(f, "escalate: {reason}"),
            Self::Close(outcome) => write!(f, "close: {}", outcome.word()),
        }
    }
}

impl fmt::Display for Proceed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Implement => write!(f, "the first turn is due"),
            Self::Start(step) => write!(f, "start the {step} step"),
            Self::Next(step) => write!(f, "the {step} step is due"),
            Self::TurnPushed { head } => write!(f, "the turn pushed {}", head.short()),
            Self::TurnAnswered => write!(f, "the turn's answer is enough"),
            Self::OpenPullRequest => write!(f, "open the pull request"),
            Self::Do(Procedure::Requeue { .. }) => write!(f, "queue an expired or missing build validation"),
            Self::Do(Procedure::LinkWorkItem) => write!(f, "link the work item"),
            Self::Do(Procedure::Publish) => write!(f, "publish the draft"),
            Self::Do(Procedure::ArmAutoComplete) => write!(f, "arm auto-complete"),
            Self::Do(Procedure::RetryBuild { build }) => {
                write!(f, "run the failed jobs of build {build} once more")
            }
            Self::Remind => write!(f, "remind the reviewers"),
            Self::Unsay { thread, .. } => {
                write!(f, "take back what stands twice in thread {thread}")
            }
        }
    }
}

impl Decision {
    /// What it waits for, if it waits.
    pub fn waits_for(&self) -> Option<&WaitReason> {
        match self {
            Self::Wait(reason) => Some(reason),
            Self::StopWorkers(_)
            | Self::Proceed(_)
            | Self::Redispatch(_)
            | Self::FixForward(_)
            | Self::Respond(_)
            | Self::Obey(_)
            | Self::Resume(_)
            | Self::Escalate(_)
            | Self::Close(_) => None,
        }
    }

    /// Why people are asked, if they are.
    pub fn asks_why(&self) -> Option<&EscalateReason> {
        match self {
            Self::Escalate(reason) => Some(reason),
            Self::Wait(_)
            | Self::StopWorkers(_)
            | Self::Proceed(_)
            | Self::Redispatch(_)
            | Self::FixForward(_)
            | Self::Respond(_)
            | Self::Obey(_)
            | Self::Resume(_)
            | Self::Close(_) => None,
        }
    }

    /// Whether it reserves a turn: spends an attempt.
    pub fn starts_turn(&self) -> bool {
        match self {
            Self::Redispatch(_)
            | Self::FixForward(_)
            | Self::Respond(_)
            | Self::Proceed(Proceed::Implement) => true,
            Self::Resume(how) => matches!(how.cause, ResumeCause::Answer(_)),
            Self::Proceed(
                Proceed::Start(_)
                | Proceed::Next(_)
                | Proceed::TurnPushed { .. }
                | Proceed::TurnAnswered
                | Proceed::OpenPullRequest
                | Proceed::Do(_)
                | Proceed::Remind
                | Proceed::Unsay { .. },
            )
            | Self::Wait(_)
            | Self::StopWorkers(_)
            | Self::Obey(_)
            | Self::Escalate(_)
            | Self::Close(_) => false,
        }
    }

    /// Whether something new begins because of it, which the kill switch forbids.
    pub(super) fn starts_work(&self) -> bool {
        match self {
            Self::Proceed(
                Proceed::Start(_)
                | Proceed::OpenPullRequest
                | Proceed::Do(_)
                | Proceed::Remind
                | Proceed::Unsay { .. },
            )
            | Self::Resume(_) => true,
            Self::Proceed(
                Proceed::Implement | Proceed::Next(_) | Proceed::TurnPushed { .. } | Proceed::TurnAnswered,
            )
            | Self::Redispatch(_)
            | Self::FixForward(_)
            | Self::Respond(_)
            | Self::Wait(_)
            | Self::StopWorkers(_)
            | Self::Obey(_)
            | Self::Escalate(_)
            | Self::Close(_) => false,
        }
    }

    /// One word, for counting and for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Wait(_) => "wait",
            Self::StopWorkers(_) => "stop-workers",
            Self::Proceed(_) => "proceed",
            Self::Redispatch(_) => "redispatch",
            Self::FixForward(_) => "fix-forward",
            Self::Respond(_) => "respond",
            Self::Obey(_) => "obey",
            Self::Resume(_) => "resume",
            Self::Escalate(_) => "escalate",
            Self::Close(_) => "close",
        }
    }
}
