//! The limits, one by one.

use super::*;
use crate::{
    decide::given::{self, Given},
    domain::{AgentFailure, Prices, Resumed, Revision, TriggerKey, TurnKind, TurnNumber},
};

fn used(tokens: u64, cost: Option<u64>) -> Usage {
    Usage { calls: 1, input_tokens: tokens, cost_micro_usd: cost, seconds: 60, ..Usage::default() }
}

/// A run with one ended turn for each of these.
fn run(turns: &[Usage]) -> Run {
    let mut run = Given::default().world().run;
    run.turns = (1..)
        .zip(turns)
        .map(|(number, usage)| TurnRecord {
            usage: *usage,
            ended_at: Some(given::now()),
            end: Some(TurnEnd::Pushed { head: given::head() }),
            ..TurnRecord::reserved(
                TurnNumber(number),
                TurnKind::FixForward,
                TriggerKey(number.to_string()),
                given::now(),
            )
        })
        .collect();
    run
}

/// Nothing is limited but turns and pushes.
fn generous() -> Policy {
    let budget = Budget {
        item_time: None,
        item_tokens: None,
        item_cost: None,
        unaccepted_cost: None,
        day_tokens: None,
        day_cost: None,
        chooses_money: true,
        ..Budget::default()
    };
    Policy { budget, ..Policy::default() }
}

fn told(run: &Run, policy: &Policy) -> Option<String> {
    let fleet = FleetFacts::of(std::slice::from_ref(run), policy, given::now());
    halt(run, &fleet, policy, true, given::now()).map(|halt| match halt {
        Halt::Wait(reason) => format!("wait: {reason}"),
        Halt::Ask(reason) => format!("ask: {reason}"),
    })
}

#[test]
fn each_limit_holds_by_itself_and_zero_is_nothing() {
    let run = run(&[used(100, Some(5_000_000)), used(50, Some(1_000_000))]);
    assert_eq!(told(&run, &generous()), None);
    let with = |change: fn(&mut Budget)| {
        let mut policy = generous();
        change(&mut policy.budget);
        told(&run, &policy)
    };
    assert_eq!(with(|b| b.item_cost = Some(6_000_001)), None);
    let limits: [fn(&mut Budget); 7] = [
        |b| b.item_cost = Some(6_000_000),
        |b| b.unaccepted_cost = Some(6_000_000),
        |b| b.item_tokens = Some(150),
        |b| b.item_time = Some(Duration::from_mins(2)),
        |b| b.day_cost = Some(6_000_000),
        |b| b.day_tokens = Some(150),
        |b| b.pushes = 2,
    ];
    let rows: Vec<String> = limits.into_iter().map(|limit| with(limit).unwrap()).collect();
    insta::assert_snapshot!(rows.join("\n"), @r"
    ask: this work item has cost 6.00 USD, of 6.00 USD allowed
    ask: 6.00 USD were spent without a change that passes its checks, of 6.00 USD allowed
    ask: this work item has used 150 tokens, of 150 allowed
    ask: agents have worked on this work item for 2 min, of 2 min allowed
    wait: all runs together have used what they may in one day; it goes on at 2026-01-10T00:00:00Z
    wait: all runs together have used what they may in one day; it goes on at 2026-01-10T00:00:00Z
    ask: 2 pushes were made, which is as many as are allowed
    ");
    let nothing = self::run(&[]);
    let zero: [fn(&mut Budget); 7] = [
        |b| b.item_cost = Some(0),
        |b| b.unaccepted_cost = Some(0),
        |b| b.item_tokens = Some(0),
        |b| b.item_time = Some(Duration::ZERO),
        |b| b.day_cost = Some(0),
        |b| b.day_tokens = Some(0),
        |b| b.pushes = 0,
    ];
    for (at, limit) in zero.into_iter().enumerate() {
        let mut policy = generous();
        limit(&mut policy.budget);
        assert!(told(&nothing, &policy).is_some(), "{at}");
    }
}

#[test]
fn an_unknown_price_stops_where_money_is_limited() {
    let run = run(&[used(100, Some(1)), used(100, None)]);
    assert_eq!(told(&run, &generous()), None, "nobody asked about money");
    for limit in [
        (|b: &mut Budget| b.item_cost = Some(u64::MAX)) as fn(&mut Budget),
        |b| b.unaccepted_cost = Some(u64::MAX),
        |b| b.day_cost = Some(u64::MAX),
    ] {
        let mut policy = generous();
        limit(&mut policy.budget);
        let why = told(&run, &policy).unwrap();
        assert!(why.contains("nobody knows what the tokens"), "{why}");
        let facts = FleetFacts::of(std::slice::from_ref(&run), &policy, given::now());
        assert_eq!(facts.refusal(&policy, true, given::now()), Some(RefuseReason::UnknownPrice));
        policy.budget.prices = Some(Prices { input: 1, cached: 1, output: 1 });
        assert_eq!(told(&run, &policy), None, "the operator says what it costs");
        let facts = FleetFacts::of(std::slice::from_ref(&run), &policy, given::now());
        assert_eq!(facts.refusal(&policy, true, given::now()), None);
    }
    // A program that tells no tokens at all cannot be priced; time and attempts limit it.
    assert_eq!(told(&self::run(&[used(0, None)]), &Policy::default()), None);
}

#[test]
fn what_was_accepted_or_let_go_on_is_not_spent_for_nothing() {
    let mut run = run(&[used(1, Some(30_000_000)), used(1, Some(15_000_000))]);
    let policy = Policy::default();
    assert!(told(&run, &policy).unwrap().contains("45.00 USD were spent without a change"));
    run.accepted = Some(TurnNumber(1));
    assert_eq!(told(&run, &policy), None);
    run.accepted = None;
    run.resumed = Some(Resumed { at: given::now(), by: None, after: TurnNumber(2), revision: Revision(20) });
    assert_eq!(told(&run, &policy), None);
    // The item's own limit does not begin anew.
    run.before = used(1, Some(15_000_000));
    assert!(told(&run, &policy).unwrap().contains("this work item has cost 60.00 USD"));
}

#[test]
fn a_default_is_no_choice_and_its_amount_can_be_one() {
    let run = run(&[used(100, None)]);
    let with = |change: fn(&mut Budget)| {
        let mut policy = Policy::default();
        change(&mut policy.budget);
        told(&run, &policy)
    };
    assert_eq!(with(|_| {}), None, "nobody chose");
    assert!(with(|b| b.chooses_money = true).unwrap().contains("nobody knows what the tokens"));
    let none = |b: &mut Budget| {
        (b.chooses_money, b.item_cost, b.unaccepted_cost, b.day_cost) = (true, None, None, None);
    };
    assert_eq!(with(none), None, "nothing is limited");
}

#[test]
fn pushes_begin_anew_when_a_person_lets_the_run_go_on() {
    let mut run = run(&[used(1, Some(1)), used(1, Some(1))]);
    let mut policy = generous();
    policy.budget.pushes = 2;
    assert!(told(&run, &policy).unwrap().contains("2 pushes were made"));
    run.resumed = Some(Resumed { at: given::now(), by: None, after: TurnNumber(2), revision: Revision(20) });
    assert_eq!(told(&run, &policy), None);
    policy.budget.pushes = 0;
    assert!(told(&run, &policy).is_some(), "none is none");
}

/// A change of the limits, and the setting that is named then.
type Row = (fn(&mut Budget), Option<&'static str>);

#[test]
fn the_operator_is_named_where_a_persons_word_is_not_enough() {
    let run = run(&[used(100, Some(5_000_000))]);
    let setting = |change: fn(&mut Budget)| {
        let mut policy = generous();
        change(&mut policy.budget);
        item_is_spent(&run, &policy).and_then(|limit| limit.setting())
    };
    let rows: [Row; 8] = [
        (|b| b.item_cost = Some(5_000_000), Some("ROUNDSMAN_BUDGET_ITEM_COST")),
        (|b| b.item_tokens = Some(100), Some("ROUNDSMAN_BUDGET_ITEM_TOKENS")),
        (|b| b.item_time = Some(Duration::from_mins(1)), Some("ROUNDSMAN_BUDGET_ITEM_TIME")),
        (|b| b.unaccepted_cost = Some(0), Some("ROUNDSMAN_BUDGET_UNACCEPTED_COST")),
        (|b| b.pushes = 0, Some("ROUNDSMAN_BUDGET_PUSHES")),
        // These are counted anew.
        (|b| b.unaccepted_cost = Some(5_000_000), None),
        (|b| b.pushes = 1, None),
        (|_| {}, None),
    ];
    for (at, (change, expected)) in rows.into_iter().enumerate() {
        assert_eq!(setting(change), expected, "{at}");
    }
}

#[test]
fn what_is_not_known_holds_what_would_be_paid_for_and_nothing_else() {
    let (run, policy) = (run(&[used(1, Some(1))]), generous());
    let facts = FleetFacts::unknown("the query was not answered");
    let held = halt(&run, &facts, &policy, true, given::now());
    assert!(matches!(held, Some(Halt::Wait(WaitReason::SpendingUnknown { .. }))), "{held:?}");
    assert_eq!(halt(&run, &facts, &policy, false, given::now()), None, "publishing is free");
    let refused = facts.refusal(&policy, true, given::now());
    assert!(matches!(refused, Some(RefuseReason::SpendingUnknown { .. })), "{refused:?}");
}

#[test]
fn publishing_again_is_free_and_what_a_provider_did_not_answer_is_no_turn() {
    let mut run = run(&[used(1, Some(90_000_000))]);
    let facts = FleetFacts::default();
    let policy = Policy::default();
    assert!(halt(&run, &facts, &policy, true, given::now()).is_some());
    assert_eq!(halt(&run, &facts, &policy, false, given::now()), None);
    run.turns = self::run(&[Usage::default(); 30]).turns;
    for turn in &mut run.turns {
        (turn.fault, turn.end) = (Some(AgentFailure::Provider), Some(TurnEnd::Lost));
    }
    assert_eq!(halt(&run, &facts, &policy, true, given::now()), None);
    assert_eq!((run.lost(), run.unanswered().count()), (0, 30));
}

#[test]
fn a_turn_gets_no_more_than_what_is_left() {
    let run = run(&[used(100, Some(35_000_000))]);
    let left = Left::of(&run, &Policy::default());
    assert_eq!(left.cost, Some(5_000_000), "the tighter of two limits");
    assert_eq!(left.tokens, Some(59_999_900));
    assert_eq!(left.time, Some(Duration::from_hours(8) - Duration::from_mins(1)));
    assert_eq!(Left::of(&run, &generous()), Left { time: None, tokens: None, cost: None });
}

#[test]
fn a_later_run_of_the_item_begins_with_what_earlier_ones_spent() {
    let id = |revision| crate::domain::RunId { revision: Revision(revision), ..given::ID };
    let first = Run { id: id(1), ..run(&[used(10, Some(1))]) };
    let second = Run { id: id(2), before: before([&first]), ..run(&[used(20, Some(2))]) };
    assert_eq!(second.before, used(10, Some(1)));
    assert_eq!(before([&second, &first, &second]), used(10, Some(1)) + used(20, Some(2)));
    assert_eq!(before([&second]), before([&first, &second]), "the first may be forgotten");
    assert_eq!(before([]), Usage::default());
    // One that took over has the turns of the run before among its own.
    let branch = crate::domain::BranchName::of_run(first.id);
    let continues = Some(crate::domain::Continued { branch, text: first.id.revision });
    let taken = Run { id: id(2), continues, ..self::run(&[used(10, Some(1)), used(5, Some(1))]) };
    assert_eq!(before([&first, &taken]), used(10, Some(1)) + used(5, Some(1)));
}

#[test]
fn only_todays_turns_are_the_days() {
    let mut run = run(&[used(10, Some(1)), used(20, Some(2))]);
    run.turns[0].at = super::super::deadline::earlier(given::now(), Duration::from_hours(24));
    let facts = FleetFacts::of(std::slice::from_ref(&run), &Policy::default(), given::now());
    assert_eq!((facts.day_tokens, facts.day_cost), (20, 2));
    let mut policy = generous();
    policy.budget.day_tokens = Some(20);
    let ends = facts.day_ends.unwrap();
    assert_eq!(facts.refusal(&policy, false, given::now()), Some(RefuseReason::DaySpent { until: ends }));
    assert_eq!(facts.refusal(&policy, false, ends), None, "tomorrow is another day");
}
