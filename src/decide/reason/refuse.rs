//! Why an item is not claimed. Knows each gate's sentence; not the gates, which are in `admit`.

use crate::decide::{breaker::Down, budget::Limit};
use crate::domain::{Brake, BranchName, PullRequestId, WorkItemId};
use jiff::Timestamp;
use std::fmt;

/// Why an item is not claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefuseReason {
    /// The kill switch holds.
    Brake(Brake),
    /// The label is not on the item (any more).
    NotLabelled,
    /// A run of ours has it.
    AlreadyRunning,
    /// A run of ours asked people about it, and this label lets that run go on.
    GoesOn,
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
    /// It has a title and nothing else.
    NotDescribed,
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
    /// Something that it needs is closed to us, or of a form that nobody knows: the next poll would read the same.
    Unreadable {
        /// What, and what to do about it.
        why: String,
    },
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
    /// What all runs need does not answer.
    Outage {
        /// What.
        what: Down,
        /// When a run tries again.
        until: Timestamp,
    },
    /// All runs together have used what they may in one day.
    DaySpent {
        /// When the day is over.
        until: Timestamp,
    },
    /// Money is limited, and nobody knows what today's tokens cost.
    UnknownPrice,
    /// What all runs together use up could not be read.
    SpendingUnknown {
        /// Why it could not.
        why: String,
    },
}

impl RefuseReason {
    /// The word under which it is told once on the item; none where nobody has to do anything, or has done it knowingly.
    pub fn notice(&self) -> Option<&'static str> {
        match self {
            Self::NotAPerson { .. } => Some("not-a-person"),
            Self::Forged { .. } => Some("other-account"),
            Self::NotTrusted { .. } => Some("not-trusted"),
            Self::TextChanged { .. } => Some("text-changed"),
            Self::NotDescribed => Some("not-described"),
            Self::TwoRepositories { .. } => Some("two-repositories"),
            Self::NoRepository { .. } => Some("no-repository"),
            Self::RepositoryNotAllowed { .. } => Some("repository-not-allowed"),
            Self::NoTargetBranch { .. } => Some("no-target-branch"),
            Self::NotOffered { .. } => Some("not-offered"),
            Self::TwoChoices { .. } => Some("two-choices"),
            Self::CompetingPullRequest { .. } => Some("competing-pull-request"),
            Self::CompetingBranch { .. } => Some("competing-branch"),
            Self::ClaimedTooOften { .. } => Some("claimed-too-often"),
            Self::Unreadable { .. } => Some("unreadable"),
            Self::Brake(_)
            | Self::NotLabelled
            | Self::AlreadyRunning
            | Self::GoesOn
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
            | Self::PollFull
            | Self::Outage { .. }
            | Self::DaySpent { .. }
            | Self::UnknownPrice
            | Self::SpendingUnknown { .. } => None,
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
            Self::GoesOn => write!(f, "its run goes on with it at the watcher's next visit"),
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
            Self::NotDescribed => write!(
                f,
                "it has a title and nothing else; say in its description, acceptance criteria or repro steps what is \
                 wanted, and it is taken"
            ),
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
            Self::Unreadable { why } => write!(f, "what is needed for it cannot be read: {why}"),
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
            Self::Outage { what, until } => {
                write!(
                    f,
                    "{} does not answer the runs that are under way; one tries again at {until}",
                    what.word()
                )
            }
            Self::DaySpent { until } => {
                write!(f, "all runs together have used what they may in one day; it goes on at {until}")
            }
            Self::UnknownPrice => write!(f, "{}", Limit::UnknownPrice),
            Self::SpendingUnknown { why } => write!(
                f,
                "what all runs together have used could not be read, so nothing more is paid for until it can: {why}"
            ),
        }
    }
}
