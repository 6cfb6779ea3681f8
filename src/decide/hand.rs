//! An operator's hand on a run: what a label or a command of a trusted person would come to, by the same ladder.
//!
//! Knows that nobody wrote anything in the world: the hand is laid upon what was seen. What outranks a label outranks the
//! hand too, so the answer may be another decision than the one that was wanted; [`Hand::is_done_by`] tells.

use super::{
    Decision, Gap, Hand, ItemSeen, Obedience, Observation, Pause, Seen, WaitReason,
    gaps::{is_stale, needed_gap},
    ladder, paused, resume, unless_held,
};
use crate::domain::{Brake, Outcome, Policy, Run, Stage};
use jiff::Timestamp;

/// What an operator's hand comes to for a run as it is seen.
pub fn by_hand(run: &Run, seen: &Observation, policy: &Policy, hand: Hand, now: Timestamp) -> Decision {
    let ladder = |seen: &Observation| unless_held(run, seen, policy, ladder(run, seen, policy, now), now);
    match hand {
        Hand::Stop | Hand::Release => match (ladder(&stop_asked(seen)), seen.item.gap()) {
            // Without the item nobody can hand it back.
            (Decision::Wait(WaitReason::AskedPeople), Some(gap)) => gap_in(gap),
            (decision, Some(_) | None) => decision,
        },
        Hand::Pause | Hand::Resume | Hand::Retry => {
            let decision = ladder(seen);
            unless_outranked(run, seen, policy, &decision).unwrap_or_else(|| {
                let laid = held_or_let_go(run, seen, policy, hand, decision);
                unless_held(run, seen, policy, laid, now)
            })
        }
    }
}

impl Hand {
    /// Whether a decision is what the hand was laid for. A run that is over otherwise needs no end any more; one that is
    /// another executor's goes on there.
    pub fn is_done_by(self, decision: &Decision) -> bool {
        let (ends, holds) = match self {
            Self::Stop | Self::Release => (true, None),
            Self::Pause => (false, Some(true)),
            Self::Resume | Self::Retry => (false, Some(false)),
        };
        match decision {
            Decision::Close(outcome) => match outcome {
                Outcome::HandedBack | Outcome::Merged | Outcome::Declined | Outcome::Green => ends,
                Outcome::Superseded => false,
            },
            Decision::Obey(obedience) => holds.is_some() && obedience.pause == holds,
            Decision::Resume(_) => holds == Some(false),
            Decision::Wait(_)
            | Decision::StopWorkers(_)
            | Decision::Proceed(_)
            | Decision::Redispatch(_)
            | Decision::FixForward(_)
            | Decision::Respond(_)
            | Decision::Escalate(_) => false,
        }
    }
}

/// The same look, if a trusted person had asked us to stop.
fn stop_asked(seen: &Observation) -> Observation {
    let mut asked = seen.clone();
    if let Seen::Known(ItemSeen::Here { stop_asked, .. }) = &mut asked.item {
        *stop_asked = true;
    }
    asked
}

/// What comes before any word that holds a run or lets it go on, as for a command: the kill switch, the end, workers that
/// have to be stopped first, and whatever must be known.
fn unless_outranked(run: &Run, seen: &Observation, policy: &Policy, decision: &Decision) -> Option<Decision> {
    let is_here = matches!(seen.item.known(), Some(ItemSeen::Here { .. }));
    let outranks = matches!(decision, Decision::Close(_) | Decision::StopWorkers(_));
    if run.is_closed() || policy.brake == Brake::Stop || outranks {
        return Some(decision.clone());
    }
    // Whoever may have been replaced holds nobody's run.
    if let Some(gap) = needed_gap(run, seen).as_ref().or(seen.replaced.gap()) {
        return Some(gap_in(gap));
    }
    if is_stale(run, seen) {
        return Some(Decision::Wait(WaitReason::StaleItem));
    }
    (!is_here).then(|| decision.clone())
}

fn held_or_let_go(
    run: &Run,
    seen: &Observation,
    policy: &Policy,
    hand: Hand,
    decision: Decision,
) -> Decision {
    let pause = |on| Decision::Obey(Obedience { pause: Some(on), answer: None });
    let is_escalated = matches!(run.stage, Stage::Escalated { .. });
    if hand == Hand::Pause {
        return pause(true);
    }
    // A person's word does the same, and says more.
    if matches!(decision, Decision::Resume(_)) {
        return decision;
    }
    if is_escalated {
        return resume::by_operator(run, seen, policy);
    }
    match paused(run, seen, policy) {
        // Not our label: whoever holds it so lets it go.
        Some(held @ (Pause::Draft | Pause::Assigned | Pause::AutoComplete)) => {
            Decision::Wait(WaitReason::Paused(held))
        }
        Some(Pause::Label) | None => pause(false),
    }
}

fn gap_in(gap: &Gap) -> Decision {
    Decision::Wait(WaitReason::Gap(gap.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decide::{
            NotResumed, ResumeCause, Source, StopCause, decide,
            given::{At, Branch, Given, Item, On, Pr, Successor, Voice, Work, World, who},
        },
        domain::{Revision, Started, Step, TextChange},
    };

    /// Cases in which something outranks a person's word, and in which nothing does.
    fn cases() -> Vec<Given> {
        let stages = [
            At::Claimed,
            At::Working(On::Item, Step::Agent, Started::Seen),
            At::Pushed,
            At::InReview,
            At::EscalatedEarly,
            At::Escalated,
            At::Closed,
        ];
        let items =
            [Item::Here, Item::Over, Item::Gone, Item::LabelGone, Item::Paused, Item::Asked, Item::Stale];
        let pulls = [Pr::None, Pr::Current, Pr::Draft, Pr::Completed, Pr::Abandoned, Pr::MergesAtOnce];
        let mut all = Vec::new();
        for at in stages {
            for item in items {
                for pr in pulls {
                    for brake in [Brake::Off, Brake::On, Brake::Stop] {
                        for successor in [Successor::NotAsked, Successor::There, Successor::Unknown] {
                            for work in [Work::None, Work::Running] {
                                for holes in [0, 1, 2, 8] {
                                    let base = Given {
                                        at,
                                        work,
                                        pr,
                                        item,
                                        brake,
                                        successor,
                                        holes,
                                        ..Given::default()
                                    };
                                    all.push(base);
                                    all.push(Given { branch: Branch::Gone, second_look: true, ..base });
                                }
                            }
                        }
                    }
                }
            }
        }
        all
    }

    fn laid(given: Given, hand: Hand) -> Decision {
        let World { run, mut seen, policy, now } = given.world();
        seen.text_changes = Seen::Known(Vec::new());
        by_hand(&run, &seen, &policy, hand, now)
    }

    #[test]
    fn stop_and_release_are_the_stop_label() {
        let mut closed = 0;
        for given in cases() {
            let World { run, mut seen, policy, now } = given.world();
            if let Seen::Known(ItemSeen::Here { item, .. }) = &mut seen.item {
                item.labels = item.labels.changed(&[&policy.labels.stop], &[]);
            }
            let by_label = match decide(&run, &seen, &policy, now) {
                Decision::Wait(WaitReason::AskedPeople) if seen.item.gap().is_some() => {
                    Decision::Wait(WaitReason::Gap(seen.item.gap().unwrap().clone()))
                }
                decision => decision,
            };
            for hand in [Hand::Stop, Hand::Release] {
                assert_eq!(laid(given, hand), by_label, "{hand:?} {given:#?}");
                assert_eq!(
                    hand.is_done_by(&by_label),
                    matches!(by_label, Decision::Close(outcome) if outcome != Outcome::Superseded)
                );
            }
            closed += u32::from(matches!(by_label, Decision::Close(_)));
        }
        assert!(closed > 100, "{closed}");
    }

    #[test]
    fn what_outranks_a_label_outranks_a_hand() {
        let close = |given: Given| laid(given, Hand::Stop);
        let base = Given::default();
        assert_eq!(close(base), Decision::Close(Outcome::HandedBack));
        assert_eq!(close(Given { pr: Pr::Completed, ..base }), Decision::Close(Outcome::Merged));
        for hand in [Hand::Stop, Hand::Release, Hand::Pause, Hand::Resume, Hand::Retry] {
            let there = laid(Given { successor: Successor::There, ..base }, hand);
            assert_eq!(there, Decision::Close(Outcome::Superseded), "{hand:?}");
            assert!(!hand.is_done_by(&there));
        }
        let alive = Given { at: At::Escalated, item: Item::Asked, work: Work::Running, ..base };
        assert_eq!(
            laid(alive, Hand::Retry),
            Decision::StopWorkers(StopCause::AskedPeople),
            "never two agents"
        );
        let held = Given { pr: Pr::Draft, ..base };
        assert_eq!(laid(held, Hand::Resume), Decision::Wait(WaitReason::Paused(Pause::Draft)));
    }

    /// What a trusted person's command gets done, the hand gets done, and nothing else.
    #[test]
    fn pause_and_resume_are_their_commands() {
        let mut done = [0; 2];
        for given in cases() {
            // Nobody writes to an item that is not there.
            if given.item == Item::Gone || given.holes & 1 != 0 {
                assert!(!Hand::Pause.is_done_by(&laid(given, Hand::Pause)), "{given:#?}");
                continue;
            }
            let commands = [(Voice::Pause, Hand::Pause), (Voice::Resume, Hand::Resume)];
            for ((voice, hand), done) in commands.into_iter().zip(&mut done) {
                let World { run, seen, policy, now } = Given { voice, ..given }.world();
                let by_hand = laid(given, hand);
                match decide(&run, &seen, &policy, now) {
                    Decision::Obey(Obedience { pause: Some(on), .. }) => {
                        assert_eq!(by_hand, Decision::Obey(Obedience { pause: Some(on), answer: None }));
                        *done += 1;
                    }
                    Decision::Resume(how) => {
                        let Decision::Resume(laid) = by_hand else { panic!("{by_hand:?} {given:#?}") };
                        assert_eq!(
                            (laid.cause, laid.tested, laid.head),
                            (ResumeCause::Operator, how.tested, how.head)
                        );
                        *done += 1;
                    }
                    // The command is answered that nothing of ours holds it; then nothing is done.
                    Decision::Obey(_) => match by_hand {
                        Decision::Obey(Obedience { pause, answer: None }) => assert_eq!(pause, Some(false)),
                        Decision::Wait(_) => {}
                        other => panic!("{other:?} {given:#?}"),
                    },
                    Decision::Wait(_)
                    | Decision::StopWorkers(_)
                    | Decision::Proceed(_)
                    | Decision::Redispatch(_)
                    | Decision::FixForward(_)
                    | Decision::Respond(_)
                    | Decision::Escalate(_)
                    | Decision::Close(_) => {
                        assert!(!hand.is_done_by(&by_hand), "{by_hand:?} {given:#?}");
                    }
                }
            }
        }
        assert!(done.iter().all(|count| *count > 20), "{done:?}");
    }

    #[test]
    fn an_operator_does_not_approve_what_a_stranger_wrote() {
        let given = Given { at: At::Escalated, item: Item::Asked, ..Given::default() };
        let World { run, mut seen, policy, now } = given.world();
        let by =
            |name: &str, revision: u32| TextChange { by: who(name), revision: Revision(revision), at: now };
        let approved = run.text_revision().0;
        for (changes, refused) in [
            (vec![by("mallory", approved)], None),
            (vec![by("ana", approved + 1)], None),
            (vec![by("mallory", approved + 1)], Some("mallory")),
            (vec![by("mallory", approved + 1), by("ana", approved + 2)], Some("mallory")),
        ] {
            seen.text_changes = Seen::Known(changes);
            let decision = by_hand(&run, &seen, &policy, Hand::Retry, now);
            match refused {
                None => assert!(matches!(decision, Decision::Resume(_)), "{decision:?}"),
                Some(name) => {
                    let why = NotResumed::TextChanged { name: name.into() };
                    assert_eq!(decision, Decision::Wait(WaitReason::NotResumed(why)));
                }
            }
        }
        let gap = Gap { source: Source::Item, why: "timed out".into() };
        seen.text_changes = Seen::Unknown(gap.clone());
        assert_eq!(by_hand(&run, &seen, &policy, Hand::Retry, now), Decision::Wait(WaitReason::Gap(gap)));
    }
}
