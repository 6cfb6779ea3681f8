//! Why a person is asked. Knows what went wrong; not what is written to that person, which `words` does.

use crate::decide::{budget::Limit, observation::Gap};
use crate::domain::{AgentFailure, Identity, TurnKind};
use std::fmt;

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
    /// A build has been waiting for an agent machine for too long.
    NoBuildAgent {
        /// Its pipeline.
        pipeline: String,
    },
    /// The pipeline itself fails, not the change, and again after a retry.
    BuildInfrastructure {
        /// The checks.
        checks: Vec<String>,
    },
    /// No verdict for too long.
    NoVerdict,
    /// Somebody voted against it without saying why.
    VotedDownSilently {
        /// Who: only they can say it.
        who: Identity,
    },
    /// Two trusted people want opposite things.
    Contradiction {
        /// Who; the one that spoke last comes first.
        between: [Identity; 2],
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
    /// Time, tokens, money or pushes are used up.
    BudgetExceeded(Limit),
    /// A limit cut the turn off; what it had done is in a draft.
    CutShort,
    /// The model provider has not answered for too long.
    ProviderDown {
        /// What happened last.
        detail: String,
    },
}

/// What an agent did that did not end properly, as the end of a sentence.
pub fn failure(class: AgentFailure) -> &'static str {
    match class {
        AgentFailure::Infrastructure => "could not be run",
        AgentFailure::Provider => "got no answer from its model provider",
        AgentFailure::Rejected => "was rejected by its model provider",
        AgentFailure::Agent => "ended with an error",
        AgentFailure::Idle => "went silent and was stopped",
        AgentFailure::Timeout => "took longer than a turn may take and was stopped",
        AgentFailure::TooMuchOutput => "wrote more output than is allowed and was stopped",
        AgentFailure::Exhausted => "used more than a turn may and was stopped",
        AgentFailure::LeftConflict => "left an unfinished merge behind",
        AgentFailure::Untidy => "left files that must not be committed",
        AgentFailure::Stopped => "was stopped",
    }
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
                let how = failure(*class);
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
            Self::NoBuildAgent { pipeline } => {
                write!(f, "no agent machine takes the build of `{pipeline}`; its pool needs one")
            }
            Self::BuildInfrastructure { checks } => {
                write!(
                    f,
                    "the pipeline itself failed twice, not the change ({}); its machines need a look",
                    checks.join(", ")
                )
            }
            Self::NoVerdict => write!(f, "no check has given a verdict for too long"),
            Self::VotedDownSilently { who } => {
                write!(f, "{} voted against the change without saying why", who.name)
            }
            Self::Contradiction { between: [one, other] } => {
                write!(
                    f,
                    "{} and {} ask for opposite things in one thread; please agree on one",
                    one.name, other.name
                )
            }
            Self::NobodyReviews => write!(f, "nobody has reviewed the pull request for too long"),
            Self::TooManyTurns => write!(f, "the run has used all its turns"),
            Self::CannotMerge => {
                write!(f, "Azure DevOps cannot merge the pull request, and it is not a conflict")
            }
            Self::Stuck { why } => write!(f, "the run cannot be carried on: {why}"),
            Self::BudgetExceeded(limit) => write!(f, "{limit}"),
            Self::CutShort => write!(
                f,
                "a limit cut the agent off before it was done; what it had done is in the pull request, a draft, and \
                 nobody has checked whether it is whole"
            ),
            Self::ProviderDown { detail } => {
                write!(f, "the model provider has not answered for too long; last time: {detail}")
            }
        }
    }
}

impl EscalateReason {
    /// People who are meant besides whoever asked for the run; nobody is mailed who is not mentioned.
    pub fn people(&self) -> Vec<Identity> {
        match self {
            Self::Contradiction { between } => between.to_vec(),
            Self::VotedDownSilently { who } => vec![who.clone()],
            Self::Gap(_)
            | Self::TurnTooLong
            | Self::InfrastructureBudget { .. }
            | Self::AgentFailed { .. }
            | Self::NothingChanged { .. }
            | Self::Question { .. }
            | Self::Refused { .. }
            | Self::PersonPushed
            | Self::BudgetSpent(_)
            | Self::SameInputAgain(_)
            | Self::RedTooLong
            | Self::SameFailureAgain
            | Self::TestsWeakened { .. }
            | Self::CheckBroken { .. }
            | Self::PartlyGreen
            | Self::Canceled
            | Self::NoVerdict
            | Self::NobodyReviews
            | Self::TooManyTurns
            | Self::CannotMerge
            | Self::NoBuildAgent { .. }
            | Self::BuildInfrastructure { .. }
            | Self::BudgetExceeded(_)
            | Self::CutShort
            | Self::ProviderDown { .. }
            | Self::Stuck { .. } => Vec::new(),
        }
    }

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
            | Self::NoBuildAgent { .. }
            | Self::BuildInfrastructure { .. }
            | Self::NoVerdict
            | Self::VotedDownSilently { .. }
            | Self::Contradiction { .. }
            | Self::NobodyReviews
            | Self::TooManyTurns
            | Self::CannotMerge
            | Self::BudgetExceeded(
                Limit::Time { .. }
                | Limit::Tokens { .. }
                | Limit::Cost { .. }
                | Limit::Unaccepted { .. }
                | Limit::Pushes { .. }
                | Limit::UnknownPrice,
            )
            | Self::CutShort
            | Self::Stuck { .. }
            | Self::ProviderDown { .. } => false,
        }
    }
}
