//! Whether a turn goes on with the conversation of the turn before it, or begins afresh with the whole brief.
//!
//! Going on saves what was read and thought. It is for a conversation that went well: an agent that asked, was answered or
//! reviewed. What failed, was lost, or was tried and did not help is better seen with fresh eyes: a conversation that led
//! there leads there again. Knows records only; whether the conversation is still there is for the worker to see.

use crate::domain::{Run, Trigger, Turn, TurnEnd, TurnKind, TurnNumber};

/// The turn whose conversation this one goes on with.
pub fn goes_on(run: &Run, turn: &Turn) -> Option<TurnNumber> {
    let key = turn.trigger.key();
    let earlier = || run.turns.iter().filter(|record| record.number < turn.number);
    let newest = earlier().max_by_key(|record| record.number)?;
    match newest.end {
        Some(TurnEnd::Pushed { .. } | TurnEnd::Answered) => {}
        Some(TurnEnd::Lost | TurnEnd::Failed) | None => return None,
    }
    let is_again = earlier().any(|record| record.trigger == key);
    let is_news = match turn.kind {
        TurnKind::Respond | TurnKind::Conflict => true,
        // The first repair knows what was meant; a second one follows a repair that did not help.
        TurnKind::FixForward => newest.kind != TurnKind::FixForward,
        TurnKind::Implement | TurnKind::Redispatch => false,
    };
    let has_news = match turn.trigger {
        Trigger::Answer { .. }
        | Trigger::Threads { .. }
        | Trigger::FailingChecks { .. }
        | Trigger::Conflict { .. } => true,
        // The item's text is the whole brief.
        Trigger::WorkItem { .. } => false,
    };
    (is_news && has_news && !is_again && turn.work_of.is_none())
        .then(|| newest.work_of.unwrap_or(newest.number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decide::given::{Given, head},
        domain::{CommentId, Revision, TurnRecord},
    };

    fn turn(number: u16, kind: TurnKind, trigger: Trigger) -> Turn {
        Turn { number: TurnNumber(number), kind, trigger, base: None, work_of: None }
    }

    fn run(turns: &[(TurnKind, &Trigger, Option<TurnEnd>)]) -> Run {
        let mut run = Given::default().world().run;
        let begun = run.claimed_at;
        run.turns = (1..)
            .zip(turns)
            .map(|(number, (kind, trigger, end))| TurnRecord {
                end: end.clone(),
                ..TurnRecord::reserved(TurnNumber(number), *kind, trigger.key(), begun)
            })
            .collect();
        run
    }

    #[test]
    fn a_conversation_that_went_well_goes_on_and_any_other_begins_afresh() {
        use TurnKind::{Conflict, FixForward, Implement, Redispatch, Respond};
        let item = Trigger::WorkItem { revision: Revision(12) };
        let answer = Trigger::Answer { words: vec![CommentId(5)] };
        let checks = |signature: &str| Trigger::FailingChecks {
            head: head(),
            signature: signature.into(),
            builds: Vec::new(),
        };
        let red = checks("a");
        let conflict = Trigger::Conflict { head: head() };
        let pushed = || Some(TurnEnd::Pushed { head: head() });
        let after = |turns: &[(TurnKind, &Trigger, Option<TurnEnd>)], kind, trigger: &Trigger| {
            let number = u16::try_from(turns.len()).unwrap() + 1;
            goes_on(&run(turns), &turn(number, kind, trigger.clone())).map(|turn| turn.0)
        };
        let answered = (Implement, &item, Some(TurnEnd::Answered));
        assert_eq!(after(&[], Implement, &item), None, "there is nothing to go on with");
        assert_eq!(after(std::slice::from_ref(&answered), Respond, &answer), Some(1));
        assert_eq!(after(&[(Implement, &item, pushed())], FixForward, &red), Some(1));
        assert_eq!(after(&[(Implement, &item, pushed())], Conflict, &conflict), Some(1));
        for end in [Some(TurnEnd::Lost), Some(TurnEnd::Failed), None] {
            assert_eq!(after(&[(Implement, &item, end.clone())], Respond, &answer), None, "{end:?}");
        }
        assert_eq!(after(std::slice::from_ref(&answered), Implement, &item), None, "an item is told whole");
        assert_eq!(after(std::slice::from_ref(&answered), Redispatch, &answer), None);
        let helped_not = [(Implement, &item, pushed()), (FixForward, &red, pushed())];
        assert_eq!(after(&helped_not, FixForward, &checks("b")), None, "fresh eyes");
        let again = [answered, (Respond, &answer, Some(TurnEnd::Answered))];
        assert_eq!(after(&again, Respond, &answer), None, "the same input again");
        let mut published = run(&[(Implement, &item, Some(TurnEnd::Lost)), (Redispatch, &item, pushed())]);
        published.turns[1].work_of = Some(TurnNumber(1));
        let next = turn(3, Respond, answer);
        assert_eq!(goes_on(&published, &next), Some(TurnNumber(1)), "whose agent worked");
        assert_eq!(
            goes_on(&published, &Turn { work_of: Some(TurnNumber(2)), ..next }),
            None,
            "nobody is called"
        );
    }
}
