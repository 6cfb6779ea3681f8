//! A record that would outgrow its comment says less about what is long past, and nothing wrong: what was spent stays spent.
//!
//! Knows how much a run may take up, and what each turn still counts for. Does not know how a record is packed. The same run
//! sheds the same, and one that was read back sheds nothing more; else every visit would write it again.

use crate::{
    decide::procedure::PUBLISH_PREFIX,
    domain::{Run, Summed},
};
use serde::Serialize;

/// Bytes of JSON that a run may have. Packed it takes a third of that; what cannot be compressed, four thirds. Together with
/// its words a comment stays below the hundred thousand characters that Azure DevOps is known to take. Room for a
/// hundred turns: budgets allow about twenty between two words of people.
pub(super) const MOST_JSON: usize = 48 << 10;
/// Bytes that a sum of turns can take up: its numbers, and what earlier ones used up.
const SUM: usize = 1 << 10;

/// `run`, small enough: procedures on heads that are gone are forgotten, and the oldest turns become a sum.
pub(super) fn fitting(mut run: Run) -> Run {
    if size(&run) <= MOST_JSON {
        return run;
    }
    if let Some(pushed) = &run.pushed {
        let here = format!("@{}", pushed.head.short());
        run.procedures.retain(|key| key.starts_with(PUBLISH_PREFIX) || key.ends_with(&here));
    }
    let mut over = size(&run).saturating_sub(MOST_JSON);
    if over == 0 {
        return run;
    }
    over += SUM;
    let mut gone = 0;
    // The newest is the one that is under way, or that tells how it went.
    while over > 0 && gone + 1 < run.turns.len() {
        over = over.saturating_sub(size(&run.turns[gone]) + ",".len());
        gone += 1;
    }
    let resumed = run.resumed.as_ref().map(|resumed| resumed.after);
    let turns: Vec<_> = run.turns.drain(..gone).collect();
    for turn in turns {
        run.before = run.before + turn.usage;
        let summed = run.summed.get_or_insert_with(|| Summed::until(turn.number));
        let counts = resumed.is_none_or(|after| turn.number > after);
        summed.add(&turn, counts);
    }
    run
}

fn size<T: Serialize>(value: &T) -> usize {
    super::to_json(value).len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::*,
        words::{Marker, Record, samples},
    };
    use proptest::{collection::vec, prelude::*};

    /// What a work item's comment is known to take, less what the words of a progress comment need at most.
    const MOST_CHARACTERS: usize = 80_000;

    fn turn() -> impl Strategy<Value = TurnRecord> {
        let kind = prop::sample::select(TurnKind::ALL.to_vec());
        let fault = prop::option::of(prop::sample::select(AgentFailure::ALL.to_vec()));
        let head = "[0-9a-f]{40}".prop_map(|text| Some(TurnEnd::Pushed { head: text.parse().unwrap() }));
        let others = [Some(TurnEnd::Answered), Some(TurnEnd::Lost), Some(TurnEnd::Failed), None];
        let end = prop_oneof![head, prop::sample::select(others.to_vec())];
        let usage = (0..1_000_000u64, prop::option::of(0..9_000_000u64));
        (kind, "[ -~]{0,300}", end, fault, usage).prop_map(|(kind, key, end, fault, (tokens, cost))| {
            TurnRecord {
                end,
                fault,
                usage: Usage { calls: 1, input_tokens: tokens, cost_micro_usd: cost, ..Usage::default() },
                ..TurnRecord::reserved(TurnNumber(0), kind, TriggerKey(key), samples::at(0))
            }
        })
    }

    fn lived(turns: Vec<TurnRecord>, resumed: Option<usize>, procedures: Vec<String>) -> Run {
        let number = |index: usize| TurnNumber(u16::try_from(index).unwrap() + 1);
        let turns: Vec<TurnRecord> = turns
            .into_iter()
            .enumerate()
            .map(|(index, turn)| TurnRecord { number: number(index), ..turn })
            .collect();
        let resumed = resumed.filter(|index| *index < turns.len()).map(|index| Resumed {
            at: samples::at(5),
            by: None,
            after: number(index),
            revision: Revision(15),
        });
        let procedures = procedures.into_iter().collect();
        Run {
            turns,
            resumed,
            procedures,
            stage: Stage::InReview { since: samples::at(9) },
            ..samples::fixing()
        }
    }

    /// What budgets are counted by.
    fn counts(run: &Run) -> (Vec<u32>, u32, Usage, TurnNumber) {
        let spent = TurnKind::ALL.into_iter().map(|kind| run.spent(kind)).collect();
        (spent, run.lost(), run.before + run.usage(), run.next_turn_number())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn however_long_a_life_its_record_fits_and_budgets_stay_spent(
            turns in vec(turn(), 0..400),
            resumed in prop::option::of(0..400usize),
            procedures in vec("retry:[0-9]{1,6}@[0-9a-f]{8}", 0..400),
        ) {
            let run = lived(turns, resumed, procedures);
            let record = Record::of(&run);
            let text = record.attached_to(&format!("<hr>\n<p>{}</p>", Marker::of(&run).render()));
            prop_assert!(text.len() < MOST_CHARACTERS, "{}", text.len());
            let found = Record::find(&text, run.id);
            prop_assert_eq!(found.as_ref(), Ok(&record), "it is read back");
            let read = record.run(&Labels::default(), &LabelNames::default(), samples::at(0));
            prop_assert!(size(&read) <= MOST_JSON);
            prop_assert_eq!(counts(&read), counts(&run));
            prop_assert_eq!(read.turns.last(), run.turns.last());
            let again = Record::of(&read);
            prop_assert!(again.tells_what(&record) && again.weight() == record.weight(), "and is not written again");
        }
    }

    #[test]
    fn a_word_of_people_forgives_what_was_summed_up() {
        let turn = |key: &str| TurnRecord {
            end: Some(TurnEnd::Answered),
            ..TurnRecord::reserved(
                TurnNumber(0),
                TurnKind::Respond,
                TriggerKey(key.repeat(900)),
                samples::at(0),
            )
        };
        let run = fitting(lived(vec![turn("x"); 100], None, Vec::new()));
        let summed = run.summed.clone().unwrap();
        assert!(
            run.turns.len() > 30 && summed.until == TurnNumber(100 - u16::try_from(run.turns.len()).unwrap())
        );
        assert_eq!((run.spent(TurnKind::Respond), run.turns[0].number), (100, summed.until.next()));
        let small = samples::fixing();
        assert_eq!(fitting(small.clone()), small, "usually nothing is shed");
    }
}
