//! The breaker, by what is remembered.

use super::*;
use crate::{
    decide::given::{self, Given},
    domain::{Built, Policy, Revision, TriggerKey, TurnKind, TurnNumber, WorkItemId},
};

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(given::now().as_second() + 60 * minutes).unwrap()
}

fn id(item: u32) -> RunId {
    RunId { item: WorkItemId(item), revision: Revision(1) }
}

/// A run whose turns began a minute before they ended, at these minutes and for these faults.
fn run(item: u32, turns: &[(i64, Option<AgentFailure>)]) -> Run {
    let mut run = Given::default().world().run;
    run.id = id(item);
    run.stage = Stage::Claimed;
    run.turns = (1..)
        .zip(turns)
        .map(|(number, (ended, fault))| TurnRecord {
            ended_at: Some(at(*ended)),
            fault: *fault,
            end: Some(fault.map_or(TurnEnd::Answered, |_| TurnEnd::Lost)),
            ..TurnRecord::reserved(
                TurnNumber(number),
                TurnKind::Implement,
                TriggerKey("item".into()),
                at(ended - 1),
            )
        })
        .collect();
    run
}

const PROVIDER: Option<AgentFailure> = Some(AgentFailure::Provider);
const BROKEN: Option<AgentFailure> = Some(AgentFailure::Infrastructure);

#[test]
fn three_of_two_runs_open_it_and_one_success_closes_it() {
    let two = [run(1, &[(0, PROVIDER), (2, PROVIDER)]), run(2, &[(1, PROVIDER)])];
    let found = outage(&two, at(3)).unwrap();
    assert_eq!((found.what, found.until, found.trying), (Down::Provider, at(12), None));
    assert!(outage(&two[..1], at(3)).is_none(), "two are bad luck");
    let alone = [run(1, &[(0, PROVIDER), (1, PROVIDER), (2, PROVIDER)])];
    assert!(outage(&alone, at(3)).is_some(), "nobody else could tell");
    let healthy = run(2, &[]);
    assert!(outage(&[alone[0].clone(), healthy], at(3)).is_none(), "it may be this run's own trouble");
    let worked = [two[0].clone(), run(2, &[(1, PROVIDER), (3, None)])];
    assert!(outage(&worked, at(4)).is_none());
    let weak = [two[0].clone(), run(2, &[(1, PROVIDER), (3, Some(AgentFailure::Agent))])];
    assert!(outage(&weak, at(4)).is_none(), "a weak agent got answers");
}

#[test]
fn different_faults_and_old_ones_are_no_outage() {
    let mixed = [run(1, &[(0, PROVIDER), (2, PROVIDER)]), run(2, &[(1, BROKEN)])];
    assert!(outage(&mixed, at(3)).is_none());
    let broken = [run(1, &[(0, BROKEN), (2, BROKEN)]), run(2, &[(1, BROKEN)])];
    assert_eq!(outage(&broken, at(3)).unwrap().what, Down::Executor);
    assert!(outage(&broken, at(2 + 180)).is_none(), "what was three hours ago says nothing");
    let rare = [run(1, &[(0, BROKEN), (400, BROKEN)]), run(2, &[(200, BROKEN)])];
    assert!(outage(&rare, at(401)).is_none());
}

#[test]
fn each_try_that_fails_doubles_the_pause_and_those_under_way_are_no_tries() {
    let mut runs = vec![run(1, &[(0, PROVIDER)]), run(2, &[(0, PROVIDER)]), run(3, &[(0, PROVIDER)])];
    // Began before it opened, failed after.
    let mut late = run(4, &[(5, PROVIDER)]);
    late.turns[0].at = at(-3);
    runs.push(late);
    assert_eq!(outage(&runs, at(6)).unwrap().until, at(15));
    let mut ended = 5;
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let until = outage(&runs, at(ended)).unwrap().until;
        let minutes = (until.as_second() - at(ended).as_second()) / 60;
        pauses.push(minutes);
        ended += minutes + 1;
        let before: Vec<_> = runs[0].turns.clone();
        let number = TurnNumber(u16::try_from(before.len()).unwrap() + 1);
        let tried = run(1, &[(ended, PROVIDER)]).turns.remove(0);
        runs[0].turns.push(TurnRecord { number, ..tried });
    }
    assert_eq!(pauses, [10, 20, 40, 80, 120, 120]);
}

/// A run whose builds told at this minute whether they work.
fn built(item: u32, minute: i64, is_broken: bool) -> Run {
    let built = Built { head: given::head(), at: at(minute), is_broken };
    let mut run = Run { built: Some(built), ..run(item, &[(minute - 5, None)]) };
    run.stage = Stage::Escalated { reason: "x".into(), since: at(minute) };
    run
}

#[test]
fn pipelines_that_fail_two_runs_hold_their_repository_and_no_other() {
    let repository = run(1, &[]).repository.id;
    let two = [built(1, 0, true), built(2, 10, true)];
    let found = pipelines(&two, at(11));
    let down = &found[&repository];
    assert_eq!((found.len(), down.what, down.until, down.trying), (1, Down::Pipelines, at(20), None));
    assert!(pipelines(&two[..1], at(11)).is_empty(), "one may be bad luck");
    let worked = [two[0].clone(), two[1].clone(), built(3, 12, false)];
    assert!(pipelines(&worked, at(13)).is_empty(), "whatever works again closes it");
    assert!(!pipelines(&[built(3, 5, false), two[1].clone(), built(1, 6, true)], at(11)).is_empty());
    assert!(pipelines(&two, at(10 + 180)).is_empty(), "what was three hours ago says nothing");
    assert!(pipelines(&[built(1, -200, true), two[1].clone()], at(11)).is_empty());
    let mut elsewhere = two.clone();
    elsewhere[1].repository.id = "another".into();
    assert!(pipelines(&elsewhere, at(11)).is_empty(), "another repository's say nothing about these");
}

#[test]
fn one_run_tries_the_pipelines_and_each_that_fails_doubles_the_pause() {
    let repository = run(1, &[]).repository.id;
    let mut runs = vec![built(1, 0, true), built(2, 10, true), run(3, &[(22, None)])];
    runs[2].stage = Stage::InReview { since: at(22) };
    let down = &pipelines(&runs, at(23))[&repository];
    assert_eq!((down.until, down.trying), (at(20), Some(id(3))), "its builds have not told yet");
    let fleet =
        super::super::budget::FleetFacts { pipelines: pipelines(&runs, at(23)), ..Default::default() };
    let halt = |run: &Run| super::super::budget::halt(run, &fleet, &Policy::default(), true, at(23));
    let waits = Some(super::super::budget::Halt::Wait(crate::decide::WaitReason::Outage {
        what: Down::Pipelines,
        until: at(20),
    }));
    assert_eq!((halt(&run(4, &[])), halt(&runs[2])), (waits, None), "no other turn begins meanwhile");
    runs[2] = built(3, 30, true);
    let down = &pipelines(&runs, at(31))[&repository];
    assert_eq!((down.until, down.trying), (at(50), None));
}

#[test]
fn one_run_tries_and_nobody_waits_for_one_that_does_not() {
    let mut runs = [run(1, &[(0, PROVIDER), (2, PROVIDER)]), run(2, &[(1, PROVIDER)]), run(3, &[])];
    runs[2].stage = Stage::InReview { since: at(0) };
    let found = outage(&runs, at(3)).unwrap();
    assert_eq!(found.order, [id(1), id(2), id(3)], "those that wait for a turn come first");
    assert!(!found.lets(id(1), at(11)), "not before its time");
    let may = |now: i64| [1, 2, 3].map(|item| found.lets(id(item), at(now)));
    assert_eq!(may(12), [true, false, false]);
    assert_eq!(may(32), [true, true, false]);
    assert_eq!(may(52), [true, true, true]);
    // The second run tries: everybody else waits for what comes of it.
    let turn = TurnRecord::reserved(TurnNumber(2), TurnKind::Implement, TriggerKey("item".into()), at(23));
    runs[1].turns.push(turn);
    let found = outage(&runs, at(24)).unwrap();
    assert_eq!(found.trying, Some(id(2)));
    assert!(!found.lets(id(1), at(60)) && found.lets(id(2), at(60)));
}
