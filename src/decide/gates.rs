//! The gates of admission, for people: which one refused, and which ones before it were open. Told from the reason that
//! [`admit`](super::admit()) gave; behind the gate that refused nothing was looked at.

use super::{
    Load,
    reason::RefuseReason,
    trace::{Match, Rung},
};
use crate::domain::{Policy, WorkItem};

const TITLES: [&str; 23] = [
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
    "says what is wanted",
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
                (Match::Shut, refused.map(ToString::to_string).unwrap_or_default())
            }
            Some(_) | None => (Match::Open, open(number, item, load, policy)),
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
        RefuseReason::NotDescribed => 13,
        RefuseReason::Predecessors(_) | RefuseReason::PredecessorsUnknown => 14,
        RefuseReason::TwoRepositories { .. } | RefuseReason::NoRepository { .. } => 15,
        RefuseReason::RepositoryNotAllowed { .. } => 16,
        RefuseReason::NoTargetBranch { .. } => 17,
        RefuseReason::NotOffered { .. } | RefuseReason::TwoChoices { .. } => 18,
        RefuseReason::CompetingPullRequest { .. }
        | RefuseReason::CompetingBranch { .. }
        | RefuseReason::CompetingUnknown => 19,
        RefuseReason::NewerRecord { .. } | RefuseReason::ClaimedTooOften { .. } => 20,
        RefuseReason::RepositoryBusy { .. } => 21,
        RefuseReason::CapacityFull => 22,
        RefuseReason::Outage { .. }
        | RefuseReason::DaySpent { .. }
        | RefuseReason::UnknownPrice
        | RefuseReason::SpendingUnknown { .. } => 22,
        RefuseReason::DayFull | RefuseReason::PollFull => 23,
    }
}

/// Why an open gate was open: what was seen there.
fn open(number: u8, item: &WorkItem, load: &Load, policy: &Policy) -> String {
    let labels = &policy.labels;
    match number {
        1 => "off".to_owned(),
        2 => "nothing of ours is in flight for it".to_owned(),
        3 => item.labels.iter().collect::<Vec<_>>().join(", "),
        4 => format!("no {}", labels.stop),
        5 => format!("no {}", labels.paused),
        6 => item.state.clone(),
        7 => "its history tells".to_owned(),
        8 if item.labels.has(&labels.human) => format!("{} is older than the label", labels.human),
        8 => format!("no {}", labels.human),
        9 => "no service".to_owned(),
        10 => "on the list of trusted people".to_owned(),
        11 => "nobody wrote in their name".to_owned(),
        12 => "nobody else changed it since".to_owned(),
        13 => "more than a title".to_owned(),
        14 => "nothing before it is open".to_owned(),
        15 => "it was found".to_owned(),
        16 => format!("{} are allowed", policy.repositories.len()),
        17 => "it was found".to_owned(),
        18 => "none, or all of them".to_owned(),
        19 => "no pull request, no branch".to_owned(),
        20 => "none of a newer version, not too many".to_owned(),
        21 => format!("at most {} runs each", policy.max_runs_per_repository),
        22 => format!("{} of {} runs in flight", load.runs, policy.max_runs),
        23 => format!("{} of {} claims today", load.claims_today, policy.max_claims_per_day),
        0 | 24..=u8::MAX => String::new(),
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

    /// A title says what an open gate means; the word after it must not say the opposite.
    #[test]
    fn a_gate_reads_as_it_is() {
        let world = Given { item: Item::Here, ..Given::default() }.world();
        let Seen::Known(ItemSeen::Here { item, .. }) = world.seen.item else { panic!("an item") };
        let all = gates(&item, &Load::default(), &world.policy, Some(&RefuseReason::Paused));
        let told: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert!(told[3].starts_with("   4  not stopped by label       open no agent-stop"), "{}", told[3]);
        assert!(told[4].starts_with("→  5  not paused by label        shut "), "{}", told[4]);
        assert!(told[5].ends_with(" -"), "{}", told[5]);
        let open = gates(&item, &Load::default(), &world.policy, None);
        for gate in &open {
            assert!(!gate.fact.is_empty() && gate.fact != "yes" && gate.fact != "no", "{gate}");
        }
    }

    #[test]
    fn gates_before_the_one_that_refused_were_open() {
        assert!(told(None).iter().all(|gate| *gate == Match::Open));
        let stranger = told(Some(&RefuseReason::NotTrusted { name: "Mallory".into() }));
        assert_eq!(stranger.iter().position(|gate| *gate == Match::Shut), Some(9));
        assert!(stranger[..9].iter().all(|gate| *gate == Match::Open));
        assert!(stranger[10..].iter().all(|gate| *gate == Match::NotReached));
    }
}
