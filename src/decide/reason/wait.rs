//! Why a run waits. Knows what is waited for; not for how long, which `deadline` decides.

use crate::decide::{breaker::Down, observation::Gap, resume::NotResumed};
use crate::domain::Brake;
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
    /// Whether something was said is not known; the server may still be at it.
    Unheard {
        /// When it is looked for.
        until: Timestamp,
    },
    /// People were asked, and whoever answered could not let the run go on.
    NotResumed(NotResumed),
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
    /// A person stopped a build of ours; they queue it again.
    BuildStopped {
        /// Their name.
        by: String,
    },
    /// Nothing checks this repository's pull requests; people must look.
    NoChecks,
    /// All is good; people must look.
    AwaitingReview {
        /// Policies that only people can satisfy.
        open: Vec<String>,
        /// Pipelines that are red and that no policy asks for.
        optional: Vec<String>,
    },
    /// What all runs need does not answer; nobody's attempts are spent on finding out.
    Outage {
        /// What.
        what: Down,
        /// When one of them tries again.
        until: Timestamp,
    },
    /// All runs together have used what they may in one day.
    DaySpent {
        /// When the day is over.
        until: Timestamp,
    },
    /// What all runs together use up could not be read, so nothing more is paid for.
    SpendingUnknown {
        /// Why it could not.
        why: String,
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
    /// By setting auto-complete: whatever we push would be merged unseen.
    AutoComplete,
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
    /// The build that we asked for.
    Rebuild,
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
            Self::Paused(Pause::AutoComplete) => {
                write!(
                    f,
                    "a person set auto-complete, so whatever the agent pushed would be merged unseen; they take it off"
                )
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
                    Missing::Rebuild => "the build that we asked for was not there",
                    Missing::OwnHead => "our branch is at a commit that we did not push",
                };
                write!(f, "{what}; the next tick looks again before that counts")
            }
            Self::StepRunning { since } => write!(f, "a step has been at work since {since}"),
            Self::BackingOff { until } => write!(f, "the turn is started again at {until}"),
            Self::NotResumed(why) => write!(f, "{why}"),
            Self::AskedPeople => write!(f, "a person was asked and has not answered yet"),
            Self::Unheard { until } => {
                write!(f, "whether something was said is not known; it is looked for at {until}")
            }
            Self::QuietPeriod { until } => {
                write!(f, "somebody is still writing; the review counts as whole at {until}")
            }
            Self::NotCurrentYet => write!(f, "Azure DevOps has not looked at the newest commit yet"),
            Self::ChecksRunning => write!(f, "checks are running"),
            Self::TargetRed => write!(f, "the target branch fails the same way; it has to be mended first"),
            Self::AwaitingApproval => write!(f, "a pipeline waits for a person's approval"),
            Self::BuildStopped { by } => {
                write!(f, "{by} cancelled a build, so there is no verdict; whoever wants one queues it again")
            }
            Self::NoChecks => write!(f, "nothing checks pull requests here; a person has to look closely"),
            Self::AwaitingReview { open, optional } => {
                if optional.is_empty() {
                    write!(f, "all checks are green; ")?;
                } else {
                    write!(
                        f,
                        "all required checks are green, optional ones are red ({}); ",
                        optional.join(", ")
                    )?;
                }
                if open.is_empty() {
                    write!(f, "a person decides")
                } else {
                    write!(f, "people still have to: {}", open.join(", "))
                }
            }
            Self::Outage { what, until } => {
                write!(f, "{} does not answer any run; one of them tries again at {until}", what.word())
            }
            Self::DaySpent { until } => {
                write!(f, "all runs together have used what they may in one day; it goes on at {until}")
            }
            Self::SpendingUnknown { why } => write!(
                f,
                "what all runs together have used could not be read, so nothing more is paid for until it can: {why}"
            ),
            Self::Cold => write!(f, "nothing moved; it is looked at closely every few ticks"),
        }
    }
}
