//! The gates of admission, for people: which one refused, and which ones before it were open. Told from the reason that
//! [`admit`](super::admit()) gave; behind the gate that refused nothing was looked at.

use super::{
    Load,
    reason::RefuseReason,
    trace::{Match, Rung},
};
use crate::domain::{Policy, WorkItem};

const TITLES: [&str; 22] = [
    "the kill switch",
    "no run has it",
    "labelled",
    "not stopped by label",
    "not paused by label",
    "its state expects work",
    "who labelled it is known",
    "not with people",
    "a person labelled it",
    "they are trusted",
    "it was they themselves",
    "text as they saw it",
    "waits for nothing",
    "has one repository",
    "repository is allowed",
    "repository has a branch",
    "choices are offered",
    "nobody else works on it",
    "our records of it",
    "repository is free",
    "capacity is free",
    "the day and this poll",
];

/// All gates; `refused` is what was said at one of them, if anything.
pub fn gates(item: &WorkItem, load: &Load, policy: &Policy, refused: Option<&RefuseReason>) -> Vec<Rung> {
    let shut = refused.map(gate_of);
    let gate = |(number, title): (u8, &'static str)| {
        let number = number + 1;
        let (is, fact) = match shut {
            Some(shut) if number > shut => (Match::NotReached, "not looked at".to_owned()),
            Some(shut) if number == shut => {
                (Match::Decided, refused.map(ToString::to_string).unwrap_or_default())
            }
            Some(_) | None => (Match::Passed, open(number, item, load, policy)),
        };
        Rung { number, title, is, fact }
    };
    (0u8..).zip(TITLES).map(gate).collect()
}

/// At which gate a reason is given.
fn gate_of(reason: &RefuseReason) -> u8 {
    match reason {
        RefuseReason::Brake(_) => 1,
        RefuseReason::AlreadyRunning | RefuseReason::GoesOn => 2,
        RefuseReason::NotLabelled => 3,
        RefuseReason::Stopped => 4,
        RefuseReason::Paused => 5,
        RefuseReason::ItemOver => 6,
        // What could not be read can be anything from here on.
        RefuseReason::NobodyLabelled | RefuseReason::Unreadable { .. } => 7,
        RefuseReason::WithPeople => 8,
        RefuseReason::NotAPerson { .. } => 9,
        RefuseReason::NotTrusted { .. } => 10,
        RefuseReason::Forged { .. } => 11,
        RefuseReason::TextChanged { .. } => 12,
        RefuseReason::Predecessors(_) | RefuseReason::PredecessorsUnknown => 13,
        RefuseReason::TwoRepositories { .. } | RefuseReason::NoRepository { .. } => 14,
        RefuseReason::RepositoryNotAllowed { .. } => 15,
        RefuseReason::NoTargetBranch { .. } => 16,
        RefuseReason::NotOffered { .. } | RefuseReason::TwoChoices { .. } => 17,
        RefuseReason::CompetingPullRequest { .. }
        | RefuseReason::CompetingBranch { .. }
        | RefuseReason::CompetingUnknown => 18,
        RefuseReason::NewerRecord { .. } | RefuseReason::ClaimedTooOften { .. } => 19,
        RefuseReason::RepositoryBusy { .. } => 20,
        RefuseReason::CapacityFull => 21,
        RefuseReason::Outage { .. } | RefuseReason::DaySpent { .. } | RefuseReason::UnknownPrice => 21,
        RefuseReason::DayFull | RefuseReason::PollFull => 22,
    }
}

/// What an open gate saw, where that is more than its title.
fn open(number: u8, item: &WorkItem, load: &Load, policy: &Policy) -> String {
    match number {
        1 => "off".to_owned(),
        3 => item.labels.iter().collect::<Vec<_>>().join(", "),
        6 => item.state.clone(),
        15 => format!("{} are allowed", policy.repositories.len()),
        20 => format!("at most {} runs each", policy.max_runs_per_repository),
        21 => format!("{} of {} runs in flight", load.runs, policy.max_runs),
        22 => format!("{} of {} claims today", load.claims_today, policy.max_claims_per_day),
        0 | 2 | 4 | 5 | 7..=14 | 16..=19 | 23..=u8::MAX => "yes".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::given::{Given, Item};
    use super::*;
    use crate::decide::{ItemSeen, Seen};

    fn told(refused: Option<&RefuseReason>) -> Vec<Match> {
        let world = Given { item: Item::Here, ..Given::default() }.world();
        let Seen::Known(ItemSeen::Here { item, .. }) = world.seen.item else { panic!("an item") };
        gates(&item, &Load::default(), &world.policy, refused).into_iter().map(|gate| gate.is).collect()
    }

    #[test]
    fn gates_before_the_one_that_refused_were_open() {
        assert!(told(None).iter().all(|gate| *gate == Match::Passed));
        let stranger = told(Some(&RefuseReason::NotTrusted { name: "Mallory".into() }));
        assert_eq!(stranger.iter().position(|gate| *gate == Match::Decided), Some(9));
        assert!(stranger[..9].iter().all(|gate| *gate == Match::Passed));
        assert!(stranger[10..].iter().all(|gate| *gate == Match::NotReached));
    }
}
