//! What a decision means for something that could not be performed: whether it is still wanted, and whether people can be
//! asked about it instead. How long it may last is [`super::deadline`]'s.

use super::{Decision, WaitReason};

impl Decision {
    /// Whether what could not be performed before is not wanted now: the run waits for somebody else. While the kill
    /// switch or a person holds it, the time does not count against it.
    pub fn moves_on(&self) -> bool {
        match self {
            Self::Wait(reason) => match reason {
                WaitReason::Gap(_)
                | WaitReason::StaleItem
                | WaitReason::LookAgain(_)
                | WaitReason::Unheard { .. }
                | WaitReason::BackingOff { .. } => false,
                WaitReason::Brake(_)
                | WaitReason::Over
                | WaitReason::Paused(_)
                | WaitReason::Outage { .. }
                | WaitReason::DaySpent { .. }
                | WaitReason::SpendingUnknown { .. }
                | WaitReason::StepRunning { .. }
                | WaitReason::AskedPeople
                | WaitReason::NotResumed(_)
                | WaitReason::QuietPeriod { .. }
                | WaitReason::NotCurrentYet
                | WaitReason::ChecksRunning
                | WaitReason::TargetRed
                | WaitReason::AwaitingApproval
                | WaitReason::BuildStopped { .. }
                | WaitReason::NoChecks
                | WaitReason::AwaitingReview { .. }
                | WaitReason::Cold => true,
            },
            Self::StopWorkers(_)
            | Self::Proceed(_)
            | Self::Redispatch(_)
            | Self::FixForward(_)
            | Self::Respond(_)
            | Self::Obey(_)
            | Self::Resume(_)
            | Self::Escalate(_)
            | Self::Close(_) => false,
        }
    }

    /// Whether, when it cannot be performed, people can be asked instead: asking itself and ending cannot.
    pub fn can_become_a_question(&self) -> bool {
        match self {
            Self::Proceed(_) | Self::Redispatch(_) | Self::FixForward(_) | Self::Respond(_) => true,
            Self::Wait(_)
            | Self::StopWorkers(_)
            | Self::Obey(_)
            | Self::Resume(_)
            | Self::Escalate(_)
            | Self::Close(_) => false,
        }
    }
}
