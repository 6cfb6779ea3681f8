//! One look and one decision, written down so that it can be decided again: the same run, the same world, the same
//! limits and the same moment must lead to the same decision.
//!
//! Does not know where records are kept. Texts of people may have been shortened before; a record whose decision would
//! have come out differently for that is kept whole.

use super::{Decision, Observation, catch_up, decide};
use crate::domain::{Policy, Run};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The form of records. It grows with what an older roundsman would read wrongly.
pub const SCHEMA: u32 = 1;

/// One look at one run, and what was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// The version of roundsman that decided.
    pub by: String,
    /// The `now` of that tick.
    pub at: Timestamp,
    /// The run as it was remembered.
    pub run: Run,
    /// The world as it was seen.
    pub seen: Observation,
    /// The limits.
    pub policy: Policy,
    /// The decision.
    pub decision: Told,
}

/// A decision, written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Its one word.
    pub word: String,
    /// Its sentence.
    pub sentence: String,
    /// All of it, as this version spells it.
    pub exact: String,
}

impl Told {
    /// Of this decision.
    pub fn of(decision: &Decision) -> Self {
        Self {
            word: decision.word().to_owned(),
            sentence: decision.to_string(),
            exact: format!("{decision:?}"),
        }
    }
}

impl Record {
    /// The run as it was when it was decided about: the world may have been ahead of its memory.
    pub fn caught_up(&self) -> Run {
        catch_up(&self.run, &self.seen, &self.policy, self.at)
    }

    /// What is decided today.
    pub fn again(&self) -> Decision {
        decide(&self.caught_up(), &self.seen, &self.policy, self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::given::{At, Ck, Given, Item, Talk, Work};
    use super::*;
    use crate::domain::{Started, Step};

    #[test]
    fn what_was_written_down_is_decided_again() {
        let cases = [
            Given::default(),
            Given { checks: Ck::Failing, ..Given::default() },
            Given { talk: Talk::Awaiting, ..Given::default() },
            Given { item: Item::Gone, holes: 0b11_0000, ..Given::default() },
            Given { item: Item::Paused, ..Given::default() },
        ];
        let working = [Work::Running, Work::Crashed, Work::Worked, Work::Question].map(|work| Given {
            at: At::Working(super::super::given::On::Item, Step::Agent, Started::Seen),
            work,
            ..Given::default()
        });
        for given in cases.into_iter().chain(working) {
            let world = given.world();
            let before = Record {
                schema: SCHEMA,
                by: "0".into(),
                at: world.now,
                run: world.run,
                seen: world.seen,
                policy: world.policy,
                decision: Told { word: String::new(), sentence: String::new(), exact: String::new() },
            };
            let line = serde_json::to_string(&before).unwrap();
            let after: Record = serde_json::from_str(&line).unwrap();
            assert_eq!(Told::of(&after.again()), Told::of(&before.again()), "{line}");
            assert_eq!(after.seen, before.seen);
            assert_eq!(after.policy, before.policy);
        }
    }

    #[test]
    fn what_an_older_version_did_not_look_at_was_not_asked() {
        let world = Given::default().world();
        let mut seen = serde_json::to_value(&world.seen).unwrap();
        seen.as_object_mut().unwrap().remove("known_flakes");
        let mut policy = serde_json::to_value(&world.policy).unwrap();
        policy.as_object_mut().unwrap().remove("max_turns");
        let seen: Observation = serde_json::from_value(seen).unwrap();
        assert_eq!(seen.known_flakes, super::super::Seen::NotAsked);
        let policy: Policy = serde_json::from_value(policy).unwrap();
        assert_eq!(policy.max_turns, Policy::default().max_turns);
    }
}
