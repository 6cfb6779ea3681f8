//! Why: every decision carries one of these, and every one of these is one sentence. What was *not* done this tick
//! can always be said (promise *explained*).

use super::observation::Gap;
use crate::domain::{AgentFailure, Brake, BranchName, PullRequestId, ThreadId, TurnKind, WorkItemId};
use jiff::Timestamp;
use std::fmt;

/// Why a run waits. Each names whose move it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// The kill switch holds.
    Brake(Brake),
    /// The run is over.
    Over,
    /// A person holds the run.
    Paused(Pause),
    /// Something needed could not be read.
    Gap(Gap),
    /// The item was read as it was before our claim.
    StaleItem,
    /// Something was not there; the next tick looks again before that counts.
    LookAgain(Missing),
    /// A step is at work.
    StepRunning {
        /// Since when.
        since: Timestamp,
    },
    /// A lost or failed turn is started again later.
    BackingOff {
        /// When.
        until: Timestamp,
    },
    /// People were asked.
    AskedPeople,
    /// Somebody is still writing.
    QuietPeriod {
        /// When the review counts as whole.
        until: Timestamp,
    },
    /// The service has not looked at our head yet.
    NotCurrentYet,
    /// Checks are running.
    ChecksRunning,
    /// The same failure is on the target branch.
    TargetRed,
    /// A pipeline waits for a person's approval.
    AwaitingApproval,
    /// Nothing checks this repository's pull requests; people must look.
    NoChecks,
    /// All is good; people must look.
    AwaitingReview {
        /// Policies that only people can satisfy.
        open: Vec<String>,
    },
    /// Cold: nothing was looked at in this tick beyond the survey.
    Cold,
}

/// How a person holds a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pause {
    /// By label.
    Label,
    /// By turning the pull request to draft.
    Draft,
    /// By taking the item.
    Assigned,
}

/// What was not there at first sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// The work item.
    Item,
    /// Our branch.
    Branch,
    /// A worker that we saw.
    Worker,
    /// Our own head: the branch is somewhere else.
    OwnHead,
    /// The reply that our turn left.
    Reply,
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Brake(Brake::Stop) => write!(f, "the kill switch is on stop; the operator takes it off"),
            Self::Brake(Brake::On | Brake::Drain | Brake::Off) => {
                write!(f, "the kill switch is on: nothing new starts until the operator takes it off")
            }
            Self::Over => write!(f, "the run is over"),
            Self::Paused(Pause::Label) => write!(f, "paused by label; a person removes it"),
            Self::Paused(Pause::Draft) => {
                write!(f, "a person turned the pull request into a draft; they publish it")
            }
            Self::Paused(Pause::Assigned) => {
                write!(f, "the work item is assigned to a person; they hand it back")
            }
            Self::Gap(gap) => write!(f, "{gap}"),
            Self::StaleItem => {
                write!(f, "the work item was read as it was before the claim; the next tick looks again")
            }
            Self::LookAgain(missing) => {
                let what = match missing {
                    Missing::Item => "the work item was not there",
                    Missing::Branch => "our branch was not there",
                    Missing::Worker => "the worker was not there",
                    Missing::Reply => "our reply was not there",
                    Missing::OwnHead => "our branch is at a commit that we did not push",
                };
                write!(f, "{what}; the next tick looks again before that counts")
            }
            Self::StepRunning { since } => write!(f, "a step has been at work since {since}"),
            Self::BackingOff { until } => write!(f, "the turn is started again at {until}"),
            Self::AskedPeople => write!(f, "a person was asked and has not answered yet"),
            Self::QuietPeriod { until } => {
                write!(f, "somebody is still writing; the review counts as whole at {until}")
            }
            Self::NotCurrentYet => write!(f, "Azure DevOps has not looked at the newest commit yet"),
            Self::ChecksRunning => write!(f, "checks are running"),
            Self::TargetRed => write!(f, "the target branch fails the same way; it has to be mended first"),
            Self::AwaitingApproval => write!(f, "a pipeline waits for a person's approval"),
            Self::NoChecks => write!(f, "nothing checks pull requests here; a person has to look closely"),
            Self::AwaitingReview { open } if open.is_empty() => {
                write!(f, "all checks are green; a person decides")
            }
            Self::AwaitingReview { open } => {
                write!(f, "all checks are green; people still have to: {}", open.join(", "))
            }
            Self::Cold => write!(f, "nothing moved; it is looked at closely every few ticks"),
        }
    }
}

/// Why a person is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EscalateReason {
    /// Something has been unreadable for too long.
    Gap(Gap),
    /// A worker outlived its deadline and every attempt to stop it.
    TurnTooLong,
    /// The cluster lost the turn too often.
    InfrastructureBudget {
        /// What happened last.
        detail: String,
    },
    /// The agent failed, and once more is not allowed.
    AgentFailed {
        /// How.
        class: AgentFailure,
        /// Its last words.
        detail: String,
    },
    /// The agent ended and changed nothing.
    NothingChanged {
        /// Its reason.
        answer: String,
    },
    /// The agent cannot go on without an answer.
    Question {
        /// Its question.
        question: String,
    },
    /// The change breaks rules; nothing was pushed.
    Refused {
        /// One sentence each.
        rules: Vec<String>,
    },
    /// A person pushed to our branch; we stand down.
    PersonPushed,
    /// Turns of this kind are used up.
    BudgetSpent(TurnKind),
    /// This very input was answered already, and it came back.
    SameInputAgain(TurnKind),
    /// Red for too long since the first red verdict.
    RedTooLong,
    /// The same failure came back after a fix.
    SameFailureAgain,
    /// A fix left fewer or skipped tests.
    TestsWeakened {
        /// What changed.
        detail: String,
    },
    /// A check could not be evaluated.
    CheckBroken {
        /// Its name.
        name: String,
    },
    /// A check is neither red nor green, and a person decides whether that is enough.
    PartlyGreen,
    /// A build was stopped by somebody.
    Canceled,
    /// No verdict for too long.
    NoVerdict,
    /// Somebody voted against it without saying why.
    VotedDownSilently {
        /// Who.
        name: String,
    },
    /// In review for too long.
    NobodyReviews,
    /// The run used all its turns.
    TooManyTurns,
    /// The trial merge failed, but not by conflict.
    CannotMerge,
    /// What was decided could not be performed for too long.
    Stuck {
        /// Why it last could not.
        why: String,
    },
}

impl fmt::Display for EscalateReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap(gap) => write!(f, "for too long, {gap}"),
            Self::TurnTooLong => {
                write!(f, "a worker is long past its deadline and does not end although it was stopped")
            }
            Self::InfrastructureBudget { detail } => {
                write!(f, "the executor lost the agent's work too often; last time: {detail}")
            }
            Self::AgentFailed { class, detail } => {
                let how = match class {
                    AgentFailure::Infrastructure => "could not be run",
                    AgentFailure::Provider => "got no answer from its model provider",
                    AgentFailure::Agent => "ended with an error",
                    AgentFailure::Idle => "went silent and was stopped",
                    AgentFailure::Timeout => "took longer than a turn may take and was stopped",
                    AgentFailure::TooMuchOutput => "wrote more output than is allowed and was stopped",
                    AgentFailure::Exhausted => "used more than a turn may and was stopped",
                    AgentFailure::LeftConflict => "left an unfinished merge behind",
                    AgentFailure::Untidy => "left files that must not be committed",
                    AgentFailure::Stopped => "was stopped",
                };
                if detail.is_empty() {
                    write!(f, "the agent {how}")
                } else {
                    write!(f, "the agent {how}: {detail}")
                }
            }
            Self::NothingChanged { answer } if answer.is_empty() => {
                write!(f, "the agent ended without changing anything")
            }
            Self::NothingChanged { answer } => {
                write!(f, "the agent ended without changing anything and says: {answer}")
            }
            Self::Question { question } => write!(f, "the agent has a question: {question}"),
            Self::Refused { rules } => {
                write!(f, "the change was not pushed because it breaks rules: {}", rules.join("; "))
            }
            Self::PersonPushed => {
                write!(f, "a person pushed to the agent's branch, so the agent stands down")
            }
            Self::BudgetSpent(kind) => write!(f, "the run has used all its {kind} turns"),
            Self::SameInputAgain(kind) => {
                write!(f, "one of its {kind} turns answered this already, and it is still there")
            }
            Self::RedTooLong => write!(f, "the checks have been red for longer than the agent may try"),
            Self::SameFailureAgain => write!(f, "the same failure came back after a fix"),
            Self::TestsWeakened { detail } => write!(f, "the fix weakened the tests: {detail}"),
            Self::CheckBroken { name } => write!(f, "the check `{name}` could not be evaluated"),
            Self::PartlyGreen => write!(f, "a build succeeded only partially"),
            Self::Canceled => write!(f, "a build was cancelled"),
            Self::NoVerdict => write!(f, "no check has given a verdict for too long"),
            Self::VotedDownSilently { name } => {
                write!(f, "{name} voted against the change without saying why")
            }
            Self::NobodyReviews => write!(f, "nobody has reviewed the pull request for too long"),
            Self::TooManyTurns => write!(f, "the run has used all its turns"),
            Self::CannotMerge => {
                write!(f, "Azure DevOps cannot merge the pull request, and it is not a conflict")
            }
            Self::Stuck { why } => write!(f, "the run cannot be carried on: {why}"),
        }
    }
}

impl EscalateReason {
    /// Whether red work stays in place for a person to look at ("frozen") rather than nothing having come of the turn.
    pub fn is_freeze(&self) -> bool {
        match self {
            Self::BudgetSpent(TurnKind::FixForward)
            | Self::SameInputAgain(TurnKind::FixForward)
            | Self::RedTooLong
            | Self::SameFailureAgain
            | Self::TestsWeakened { .. } => true,
            Self::BudgetSpent(
                TurnKind::Implement | TurnKind::Respond | TurnKind::Conflict | TurnKind::Redispatch,
            )
            | Self::SameInputAgain(
                TurnKind::Implement | TurnKind::Respond | TurnKind::Conflict | TurnKind::Redispatch,
            )
            | Self::Gap(_)
            | Self::TurnTooLong
            | Self::InfrastructureBudget { .. }
            | Self::AgentFailed { .. }
            | Self::NothingChanged { .. }
            | Self::Question { .. }
            | Self::Refused { .. }
            | Self::PersonPushed
            | Self::CheckBroken { .. }
            | Self::PartlyGreen
            | Self::Canceled
            | Self::NoVerdict
            | Self::VotedDownSilently { .. }
            | Self::NobodyReviews
            | Self::TooManyTurns
            | Self::CannotMerge
            | Self::Stuck { .. } => false,
        }
    }
}

/// Why an item is not claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefuseReason {
    /// The kill switch holds.
    Brake(Brake),
    /// The label is not on the item (any more).
    NotLabelled,
    /// A run of ours has it.
    AlreadyRunning,
    /// Escalated: a person must label it again.
    WithPeople,
    /// Paused by label.
    Paused,
    /// A person's stop label is on it.
    Stopped,
    /// Its state says that nobody expects work.
    ItemOver,
    /// Who labelled it could not be told.
    NobodyLabelled,
    /// A service labelled it.
    NotAPerson {
        /// Its name, for the sentence.
        name: String,
    },
    /// Another account saved the label in a person's name.
    Forged {
        /// The name that it was saved in.
        name: String,
    },
    /// The person who labelled it is not trusted.
    NotTrusted {
        /// Their name, for the sentence.
        name: String,
    },
    /// Somebody untrusted changed the text after it was approved.
    TextChanged {
        /// Their name.
        name: String,
    },
    /// It waits for others.
    Predecessors(Vec<WorkItemId>),
    /// Whether it waits for others could not be told.
    PredecessorsUnknown,
    /// It names more than one repository.
    TwoRepositories {
        /// One of them.
        first: String,
        /// Another one.
        second: String,
    },
    /// No repository could be found for it.
    NoRepository {
        /// What was tried.
        detail: String,
    },
    /// Its repository is not on the allow-list.
    RepositoryNotAllowed {
        /// `project/repository`.
        repository: String,
    },
    /// The repository is empty or has no default branch.
    NoTargetBranch {
        /// `project/repository`.
        repository: String,
    },
    /// A label chooses what the operator does not offer.
    NotOffered {
        /// The label.
        label: String,
    },
    /// Two labels choose different things.
    TwoChoices {
        /// One of them.
        first: String,
        /// The other one.
        second: String,
    },
    /// Somebody else's open pull request is linked to it.
    CompetingPullRequest {
        /// Its number.
        id: PullRequestId,
    },
    /// Somebody else's branch with work on it is linked to it.
    CompetingBranch {
        /// Its name.
        branch: BranchName,
    },
    /// Whether somebody else works on it could not be told.
    CompetingUnknown,
    /// A newer roundsman has left a record on it.
    NewerRecord {
        /// The version of that record.
        schema: u32,
    },
    /// It came back again and again today.
    ClaimedTooOften {
        /// How often it was claimed.
        times: u32,
    },
    /// As many runs as allowed are in flight in this repository.
    RepositoryBusy {
        /// `project/repository`.
        repository: String,
    },
    /// As many runs as allowed are in flight.
    CapacityFull,
    /// As many claims as allowed were made today.
    DayFull,
    /// As many claims as allowed were made in this poll.
    PollFull,
}

impl RefuseReason {
    /// The word under which it is told once on the item; none where nobody has to do anything, or has done it knowingly.
    pub fn notice(&self) -> Option<&'static str> {
        match self {
            Self::NotAPerson { .. } => Some("not-a-person"),
            Self::Forged { .. } => Some("other-account"),
            Self::NotTrusted { .. } => Some("not-trusted"),
            Self::TextChanged { .. } => Some("text-changed"),
            Self::TwoRepositories { .. } => Some("two-repositories"),
            Self::NoRepository { .. } => Some("no-repository"),
            Self::RepositoryNotAllowed { .. } => Some("repository-not-allowed"),
            Self::NoTargetBranch { .. } => Some("no-target-branch"),
            Self::NotOffered { .. } => Some("not-offered"),
            Self::TwoChoices { .. } => Some("two-choices"),
            Self::CompetingPullRequest { .. } => Some("competing-pull-request"),
            Self::CompetingBranch { .. } => Some("competing-branch"),
            Self::ClaimedTooOften { .. } => Some("claimed-too-often"),
            Self::Brake(_)
            | Self::NotLabelled
            | Self::AlreadyRunning
            | Self::WithPeople
            | Self::Paused
            | Self::Stopped
            | Self::ItemOver
            | Self::NobodyLabelled
            | Self::Predecessors(_)
            | Self::PredecessorsUnknown
            | Self::CompetingUnknown
            | Self::NewerRecord { .. }
            | Self::RepositoryBusy { .. }
            | Self::CapacityFull
            | Self::DayFull
            | Self::PollFull => None,
        }
    }

    /// Whether it is taken off the queue and given to people, rather than left until it is mended.
    pub fn hands_over(&self) -> bool {
        matches!(self, Self::ClaimedTooOften { .. })
    }
}

impl fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Brake(_) => write!(f, "the kill switch is on"),
            Self::NotLabelled => write!(f, "the label is not on it any more"),
            Self::AlreadyRunning => write!(f, "a run has it already"),
            Self::WithPeople => write!(f, "it was handed to a person; remove that label and label it again"),
            Self::Paused => write!(f, "it is paused by label"),
            Self::Stopped => write!(f, "it carries the stop label"),
            Self::ItemOver => write!(f, "its state says that nobody expects work on it"),
            Self::NobodyLabelled => write!(f, "its history does not tell who put the label on"),
            Self::NotAPerson { name } => {
                write!(f, "{name} put the label on and is a service; a trusted person labels it again")
            }
            Self::Forged { name } => {
                write!(
                    f,
                    "the label was put on in {name}'s name by another account; a trusted person labels it again"
                )
            }
            Self::NotTrusted { name } => {
                write!(f, "{name} put the label on and is not on the list of trusted people")
            }
            Self::TextChanged { name } => {
                write!(f, "{name} changed its text after it was labelled; a trusted person labels it again")
            }
            Self::Predecessors(items) => {
                let list: Vec<String> = items.iter().map(std::string::ToString::to_string).collect();
                write!(f, "it waits for work item {}", list.join(", "))
            }
            Self::PredecessorsUnknown => write!(f, "what it waits for could not be read"),
            Self::TwoRepositories { first, second } => {
                write!(f, "it names two repositories, {first} and {second}; remove one of them")
            }
            Self::NoRepository { detail } => write!(f, "no repository is known for it: {detail}"),
            Self::RepositoryNotAllowed { repository } => {
                write!(f, "its repository {repository} is not on the allow-list")
            }
            Self::NoTargetBranch { repository } => {
                write!(f, "its repository {repository} has no default branch")
            }
            Self::NotOffered { label } => {
                write!(f, "its label {label} chooses what the operator does not offer; change or remove it")
            }
            Self::TwoChoices { first, second } => {
                write!(f, "its labels {first} and {second} choose different things; remove one of them")
            }
            Self::CompetingPullRequest { id } => {
                write!(f, "somebody works on it already: pull request !{id} is open and linked to it")
            }
            Self::CompetingBranch { branch } => {
                write!(f, "somebody works on it already: the branch {branch} is linked to it and has commits")
            }
            Self::CompetingUnknown => write!(f, "whether somebody works on it already could not be read"),
            Self::NewerRecord { schema } => {
                write!(
                    f,
                    "a newer roundsman has left a record on it (version {schema}); it is left to that one"
                )
            }
            Self::ClaimedTooOften { times } => {
                write!(f, "it was claimed {times} times today and came back each time; a person has to look")
            }
            Self::RepositoryBusy { repository } => {
                write!(f, "as many runs as allowed are in flight in {repository}")
            }
            Self::CapacityFull => write!(f, "as many runs as allowed are in flight"),
            Self::DayFull => write!(f, "as many items as allowed were claimed today"),
            Self::PollFull => write!(f, "as many items as allowed were claimed in this poll"),
        }
    }
}

/// Why the agent is called again without new input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedispatchCause {
    /// The cluster lost the turn; costs no attempt of the agent.
    Lost {
        /// What happened.
        detail: String,
    },
    /// The agent failed.
    Failed {
        /// How.
        class: AgentFailure,
    },
}

impl fmt::Display for RedispatchCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { detail } => write!(f, "the executor lost the turn ({detail})"),
            Self::Failed { class } => write!(f, "the agent failed ({class:?})"),
        }
    }
}

/// Says which threads a turn answers.
pub(super) fn thread_list(threads: &[ThreadId]) -> String {
    let list: Vec<String> = threads.iter().map(ToString::to_string).collect();
    list.join(", ")
}
