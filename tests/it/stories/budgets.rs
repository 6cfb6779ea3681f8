//! What runs may use up, and what people are told when it is used up. The agents are shell scripts that print what real
//! ones print about tokens and money.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::{
    stories::rules::land,
    world::{
        Memory, World,
        harsh::{Program, pause},
        line,
    },
};
use jiff::SignedDuration;
use roundsman::{
    domain::{TurnKind, WorkerState},
    emulator::Fault,
    exit::Exit,
    runtime::spec::{Limits, WorkerSpec},
};
use std::{fs, time::Duration};

/// A change that passes all checks.
const GOOD: &str = "printf 'A line.\\n' >> README.md";

/// From now on the agent is `opencode`, which is this script, and then says that it used 1000 tokens for so many dollars.
fn metered(world: &mut World, script: &str, dollars: &str) {
    let step = |reason: &str| {
        format!(
            r#"echo '{{"type":"step_finish","sessionID":"ses_1","part":{{"reason":"{reason}","tokens":{{"input":900,"output":100}},"cost":{dollars}}}}}'"#
        )
    };
    world.opencode(&format!(
        "if [ \"$1\" != run ]; then echo 1; exit; fi\n\
         step() {{ {}; }}\necho \"$ROUNDSMAN_TURN_KIND\" >> \"$WORLD/calls\"\n{script}\n{}",
        step("tool-calls"),
        step("stop"),
    ));
}

/// Kinds of the turns in which the agent was called, in order.
fn calls(world: &World) -> Vec<String> {
    let calls = fs::read_to_string(world.home().join("calls")).unwrap_or_default();
    calls.lines().map(str::to_owned).collect()
}

/// The run's one progress comment.
fn progress(world: &World, item: i64) -> String {
    world.comments(item).into_iter().find(|text| roundsman::words::Marker::find(text).is_some()).unwrap()
}

fn asks_again(world: &World, item: i64) {
    world.universe.emulator.tag(item, "ready-for-agent", &world.universe.owner.clone()).unwrap();
}

/// Ticks and polls until nobody works.
async fn settle(world: &World) {
    loop {
        let _ = world.tick().await;
        let _ = world.poll().await;
        let workers = world.app().await.runtime.workers().await.unwrap();
        let live = |state: &WorkerState| matches!(state, WorkerState::Running { .. });
        if !workers.values().flatten().any(|worker| live(&worker.state)) {
            let _ = world.tick().await;
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn h02_an_agent_that_is_cut_off_leaves_a_draft_and_a_person_is_asked() {
    let mut world = World::new().await;
    let script =
        format!("{GOOD}; git add -A; git commit -qm 'Half of it'; while :; do step; sleep 0.05; done");
    metered(&mut world, &script, "0.01");
    world.set("ROUNDSMAN_AGENT_STEP_LIMIT", "4");
    let item = world.ask().await;
    let told = world.until_handed(item).await;
    assert!(told.contains("a limit cut the agent off") && told.contains("a draft"), "{told}");
    assert!(told.contains("cut off by a limit"), "what was tried: {told}");
    let pulls = world.universe.emulator.pull_requests();
    assert_eq!(pulls.len(), 1, "{pulls:#?}");
    assert!(pulls[0].draft, "nobody has said that it is whole: {pulls:#?}");
    let readme =
        world.universe.emulator.file(&world.universe.repository, &pulls[0].source, "README.md").unwrap();
    assert!(String::from_utf8(readme).unwrap().contains("A line."), "what was paid for is kept");
    assert_eq!(calls(&world), ["implement"], "nobody pays for the rest unasked");
}

#[tokio::test]
async fn h15_an_outage_of_hours_costs_no_item_its_attempts() {
    let mut world = World::new().await;
    world.set("ROUNDSMAN_INTAKE_MAX_RUNS", "5");
    world.set("ROUNDSMAN_INTAKE_MAX_RUNS_PER_REPOSITORY", "5");
    world.set("ROUNDSMAN_INTAKE_MAX_CLAIMS_PER_POLL", "5");
    // 75 is how this agent says that its provider does not answer.
    world.agent(&format!(
        "echo \"$ROUNDSMAN_TURN_KIND\" >> \"$WORLD/calls\"; if test -e \"$WORLD/down\"; then exit 75; fi; {GOOD}"
    ));
    fs::write(world.home().join("down"), "").unwrap();
    let mut items = vec![world.ask().await];
    for _ in 0..4 {
        items.push(world.universe.file_item(&["ready-for-agent"]).unwrap());
    }
    // Eight hours, a look every quarter of an hour.
    for _ in 0..32 {
        settle(&world).await;
        world.passes(SignedDuration::from_mins(15));
    }
    let tried = calls(&world).len();
    assert!((5..=15).contains(&tried), "it is found out once, and not by everybody: {tried}");
    let late = world.universe.file_item(&["ready-for-agent"]).unwrap();
    let _ = world.tick().await;
    let refused = world.poll().await;
    assert!(line(&refused, late).why.contains("the model provider does not answer"), "{refused:#?}");
    for item in &items {
        assert!(!world.tags(*item).contains(&"ready-for-human".to_owned()), "{item} waits");
    }
    let waiting = items.iter().filter(|item| progress(&world, **item).contains("model provider to answer"));
    assert!(waiting.count() >= 4, "their comments say so: {}", progress(&world, items[0]));

    fs::remove_file(world.home().join("down")).unwrap();
    for _ in 0..30 {
        if world.universe.emulator.pull_requests().len() == items.len() {
            break;
        }
        settle(&world).await;
        world.passes(SignedDuration::from_mins(15));
    }
    assert_eq!(world.universe.emulator.pull_requests().len(), items.len(), "{:#?}", world.runs().await);
    for run in world.runs().await {
        assert_eq!((run.lost(), run.spent(TurnKind::Redispatch)), (0, 0), "no attempt was lost: {run:#?}");
    }
    assert!(calls(&world).iter().all(|kind| kind == "implement"), "{:?}", calls(&world));
}

#[tokio::test]
async fn pipelines_that_fail_run_after_run_hold_new_claims_until_one_run_shows_that_they_work() {
    let mut world = World::new().await;
    world.set("ROUNDSMAN_INTAKE_MAX_RUNS", "5");
    world.set("ROUNDSMAN_INTAKE_MAX_RUNS_PER_REPOSITORY", "5");
    world.set("ROUNDSMAN_INTAKE_MAX_CLAIMS_PER_POLL", "5");
    world.agent(&format!("echo \"$ROUNDSMAN_TURN_KIND\" >> \"$WORLD/calls\"; {GOOD}"));
    for _ in 0..4 {
        world.universe.emulator.force_next_result(world.universe.pipeline, "lost-agent");
    }
    let broken = [world.ask().await, world.universe.file_item(&["ready-for-agent"]).unwrap()];
    let is_with_people = |world: &World, item: i64| world.tags(item).contains(&"ready-for-human".to_owned());
    world.go(|world| broken.iter().all(|item| is_with_people(world, *item))).await;
    // Nobody else is paid to find it out.
    let late = [(); 2].map(|()| world.universe.file_item(&["ready-for-agent"]).unwrap());
    for _ in 0..2 {
        let _ = world.tick().await;
        let refused = world.poll().await;
        for item in late {
            assert!(
                line(&refused, item).why.contains("the build infrastructure of this repository"),
                "{refused:#?}"
            );
        }
    }
    assert_eq!(calls(&world), ["implement", "implement"]);
    // One tries whether it is over, and only one.
    world.passes(SignedDuration::from_mins(11));
    let _ = world.tick().await;
    let report = world.poll().await;
    let claimed = late.map(|item| line(&report, item).what == "claimed");
    assert_eq!(claimed.iter().filter(|is| **is).count(), 1, "{report:#?}");
    let _ = world.tick().await;
    let still = late[usize::from(claimed[0])];
    let report = world.poll().await;
    assert!(line(&report, still).why.contains("the build infrastructure of this repository"), "{report:#?}");
    world.go(|world| world.universe.emulator.pull_requests().len() == 4).await;
    assert_eq!(calls(&world).len(), 4, "what works again lets everybody go on");
    assert!(late.iter().all(|item| !is_with_people(&world, *item)));
}

#[tokio::test]
async fn h17_a_commit_without_a_change_is_not_pushed() {
    let mut world = World::new().await;
    world.agent(&format!(
        "echo \"$ROUNDSMAN_TURN_KIND\" >> \"$WORLD/calls\"\n\
         if test \"$ROUNDSMAN_TURN_KIND\" = implement; then {GOOD}; else git commit -q --allow-empty -m 'Fix it'; fi"
    ));
    world.universe.emulator.force_next_result(world.universe.pipeline, "failed");
    let item = world.ask().await;
    let told = world.until_handed(item).await;
    assert!(told.contains("without changing anything"), "{told}");
    assert_eq!(calls(&world), ["implement", "fix-forward"], "the same tree is not built again");
    assert_eq!(world.universe.emulator.builds().len(), 1, "{:#?}", world.universe.emulator.builds());
}

#[tokio::test]
async fn a_price_that_nobody_knows_stops_the_run_and_the_poller() {
    let mut world = World::new().await;
    // Somebody chose how much money may be spent. A model without a configured price is told as 0.
    world.set("ROUNDSMAN_BUDGET_DAY_COST", "50");
    metered(&mut world, GOOD, "0");
    world.universe.emulator.force_next_result(world.universe.pipeline, "failed");
    let item = world.ask().await;
    let told = world.until_handed(item).await;
    assert!(told.contains("nobody knows what the tokens of this run cost"), "{told}");
    assert!(told.contains("ROUNDSMAN_AGENT_PRICE_INPUT"), "{told}");
    assert_eq!(calls(&world), ["implement"]);
    let next = world.universe.file_item(&["ready-for-agent"]).unwrap();
    let _ = world.tick().await;
    let refused = world.poll().await;
    assert!(line(&refused, next).why.contains("nobody knows what the tokens"), "{refused:#?}");

    world.set("ROUNDSMAN_AGENT_PRICE_INPUT", "100");
    world.set("ROUNDSMAN_AGENT_PRICE_OUTPUT", "400");
    let _ = world.tick().await;
    let claimed = world.poll().await;
    assert_eq!(line(&claimed, next).what, "claimed", "{claimed:#?}");
}

fn asked_for_people(world: &World, item: i64) -> usize {
    world.comments(item).iter().filter(|text| text.contains("this run needs a person")).count()
}

/// People are told what has to be raised, and labelling again before that asks them nothing twice.
#[tokio::test]
async fn a_spent_item_waits_for_the_operator_and_asks_people_once() {
    let mut world = World::new().await;
    let script = format!(
        "if test -e \"$WORLD/calls2\"; then {GOOD}; else echo 'Which one?' > \"$ROUNDSMAN_OUT/question.md\"; fi; \
         touch \"$WORLD/calls2\""
    );
    metered(&mut world, &script, "0.5");
    world.set("ROUNDSMAN_BUDGET_ITEM_COST", "0.50");
    let item = world.ask().await;
    let told = world.until_handed(item).await;
    assert!(told.contains("Which one?") && told.contains("0.50 USD"), "{told}");
    assert!(told.contains("the operator has to change ROUNDSMAN_BUDGET_ITEM_COST first"), "{told}");
    asks_again(&world, item);
    for _ in 0..3 {
        let report = world.tick().await;
        let why = &line(&report, item).why;
        assert!(why.contains("has cost 0.50 USD, of 0.50 USD allowed"), "{report:#?}");
        let _ = world.poll().await;
    }
    assert_eq!(asked_for_people(&world, item), 1, "{:#?}", world.comments(item));
    assert_eq!(calls(&world), ["implement"], "a new label is no new money");
    world.assert_quiet().await;

    world.set("ROUNDSMAN_BUDGET_ITEM_COST", "5");
    world.until_green().await;
    assert_eq!(calls(&world).len(), 2, "what was said still counts: {:?}", calls(&world));
}

/// A closed run and a new claim, with the memory lost in between.
#[tokio::test]
async fn the_money_of_an_item_is_counted_over_all_its_runs() {
    for forgets in [false, true] {
        let mut world = World::new().await;
        metered(&mut world, GOOD, "0.5");
        world.set("ROUNDSMAN_BUDGET_ITEM_COST", "0.50");
        let item = world.ask().await;
        let pull = world.until_green().await;
        let owner = world.universe.owner.clone();
        world.universe.emulator.abandon(pull, &owner).unwrap();
        world.go(|world| !world.tags(item).contains(&"agent-in-progress".to_owned())).await;
        let first = world.run().await;
        assert!(first.is_closed(), "{first:#?}");
        if forgets {
            world.lose_memory();
        }
        let _ = world.tick().await;
        world.universe.emulator.untag(item, "ready-for-human", &owner).ok();
        asks_again(&world, item);
        world.go(|world| asked_for_people(world, item) == 1).await;
        let told = world.comments(item).into_iter().next_back().unwrap();
        assert!(told.contains("has cost 0.50 USD, of 0.50 USD allowed"), "{told}");
        assert!(told.contains("ROUNDSMAN_BUDGET_ITEM_COST first"), "{told}");
        let second = world.runs().await.remove(0);
        assert!(second.id != first.id && second.before == first.usage(), "{second:#?}");
        assert_eq!(calls(&world), ["implement"], "a new claim is no new money");
    }
}

/// One query that fails: nobody pays and nobody claims, and what is free goes on.
#[tokio::test]
async fn what_cannot_be_counted_pays_for_nothing_and_holds_nothing_else() {
    let mut world = World::new().await;
    world.set("ROUNDSMAN_STORE_KIND", "labels");
    metered(&mut world, GOOD, "0.5");
    world.universe.emulator.force_next_result(world.universe.pipeline, "failed");
    let refused = || Fault::on_path("wit/wiql*timePrecision=true").times(10_000).answer(400, &[], "{}");
    let item = world.ask().await;
    // The first of the two counts claims, the second what was spent.
    world.universe.emulator.fault(refused().skip(1));
    let report = world.poll().await;
    assert!(line(&report, item).why.contains("so nothing more is paid for"), "{report:#?}");
    assert_eq!(report.exit(), Exit::SomeFailed, "the operator hears of it: {report:#?}");
    world.universe.emulator.clear_faults();
    let report = world.poll().await;
    assert_eq!(line(&report, item).what, "claimed", "{report:#?}");

    world.universe.emulator.fault(refused());
    world.go(|world| progress(world, item).contains("so nothing more is paid for")).await;
    assert_eq!(world.universe.emulator.pull_requests().len(), 1, "what was paid for is published");
    let report = world.tick().await;
    assert_eq!(line(&report, item).what, "wait", "{report:#?}");
    assert_eq!(report.exit(), Exit::SomeFailed, "{report:#?}");
    assert_eq!(calls(&world), ["implement"]);
    assert_eq!(asked_for_people(&world, item), 0);
    world.universe.emulator.clear_faults();
    world.until_green().await;
    assert_eq!(calls(&world), ["implement", "fix-forward"]);
}

/// More items are talked about in a day than one page of a query has; the run with the money is the one saved first.
#[tokio::test]
async fn a_day_is_counted_however_much_people_talk() {
    let mut world = World::new().await;
    world.set("ROUNDSMAN_STORE_KIND", "labels");
    world.set("ROUNDSMAN_INTAKE_MAX_RUNS_PER_REPOSITORY", "2");
    metered(&mut world, GOOD, "0.5");
    world.set("ROUNDSMAN_BUDGET_DAY_COST", "0.50");
    let item = world.ask().await;
    let pull = world.until_green().await;
    world.universe.emulator.abandon(pull, &world.universe.owner.clone()).unwrap();
    world.go(|world| !world.tags(item).contains(&"agent-in-progress".to_owned())).await;
    for _ in 0..201 {
        let other = world.universe.file_item(&[]).unwrap();
        world.universe.emulator.comment_item(other, "Me too.", &world.universe.owner.clone()).unwrap();
    }
    let next = world.universe.file_item(&["ready-for-agent"]).unwrap();
    let refused = world.poll().await;
    assert!(line(&refused, next).why.contains("what they may in one day"), "{refused:#?}");
}

#[tokio::test]
async fn a_spent_day_stays_spent_when_the_memory_is_lost() {
    let mut world = World::new().await;
    metered(&mut world, GOOD, "0.5");
    world.set("ROUNDSMAN_BUDGET_DAY_COST", "0.50");
    world.set("ROUNDSMAN_INTAKE_MAX_CLAIMS_PER_DAY", "1");
    let item = world.ask().await;
    let pull = world.until_green().await;
    world.universe.emulator.abandon(pull, &world.universe.owner.clone()).unwrap();
    world.go(|world| !world.tags(item).contains(&"agent-in-progress".to_owned())).await;
    world.lose_memory();
    let next = world.universe.file_item(&["ready-for-agent"]).unwrap();
    let is_known = world.memory() == Memory::Labels;
    let day = || Fault::on_path("wit/wiql*timePrecision=true");
    // What a watcher had only begun to read back when it died is not taken for all there was.
    if !is_known {
        world.universe.emulator.fault(day().slow_answer(Duration::from_mins(1)));
        let mut watcher = world.start(Program::Watcher);
        while world.universe.emulator.faults_waiting() > 0 {
            assert!(!watcher.is_over(), "it reads the day");
            pause(5).await;
        }
        assert!(watcher.kill());
    }
    // Nor is what cannot be read back taken for nothing.
    world.universe.emulator.fault(day().times(1).answer(400, &[], "{}"));
    let _ = world.tick().await;
    world.universe.emulator.clear_faults();
    let refused = world.poll().await;
    let why = line(&refused, next).why.clone();
    assert!(
        why.contains(if is_known { "what they may in one day" } else { "nothing more is paid for" }),
        "{why}"
    );

    let _ = world.tick().await;
    let refused = world.poll().await;
    assert!(line(&refused, next).why.contains("what they may in one day"), "{refused:#?}");
    world.set("ROUNDSMAN_BUDGET_DAY_COST", "5");
    let refused = world.poll().await;
    assert!(line(&refused, next).why.contains("as many items as allowed were claimed today"), "{refused:#?}");
}

#[tokio::test]
async fn an_agent_that_outlives_its_time_leaves_a_draft_and_a_person_is_asked() {
    for left in ["git add -A; git commit -qm 'Half of it'", ":"] {
        let mut world = World::new().await;
        let script = format!("{GOOD}; {left}; while :; do step; sleep 0.2; done");
        metered(&mut world, &script, "0.01");
        world.set("ROUNDSMAN_BUDGET_ITEM_TIME", "3s");
        let item = world.ask().await;
        let told = world.until_handed(item).await;
        assert!(told.contains("a limit cut the agent off") && told.contains("a draft"), "{told}");
        assert!(told.contains("ROUNDSMAN_BUDGET_ITEM_TIME first"), "{told}");
        let pulls = world.universe.emulator.pull_requests();
        assert!(pulls.len() == 1 && pulls[0].draft, "{pulls:#?}");
        let readme =
            world.universe.emulator.file(&world.universe.repository, &pulls[0].source, "README.md").unwrap();
        assert!(String::from_utf8(readme).unwrap().contains("A line."), "what was paid for is kept");
        assert_eq!(calls(&world), ["implement"], "nobody pays for the rest unasked");
    }
}

/// The amount of a default is a choice, too, when somebody makes it.
#[tokio::test]
async fn a_limit_that_equals_the_default_asks_for_a_price() {
    let mut world = World::new().await;
    world.set("ROUNDSMAN_BUDGET_ITEM_COST", "60");
    metered(&mut world, GOOD, "0");
    world.universe.emulator.force_next_result(world.universe.pipeline, "failed");
    let item = world.ask().await;
    let told = world.until_handed(item).await;
    assert!(told.contains("nobody knows what the tokens of this run cost"), "{told}");
    assert!(told.contains("the operator has to change ROUNDSMAN_AGENT_PRICE_INPUT first"), "{told}");
}

#[tokio::test]
async fn a_spent_day_holds_new_work_until_the_next() {
    let mut world = World::new().await;
    metered(&mut world, GOOD, "0.5");
    world.set("ROUNDSMAN_BUDGET_DAY_COST", "0.50");
    world.set("ROUNDSMAN_INTAKE_MAX_RUNS_PER_REPOSITORY", "2");
    let _item = world.ask().await;
    world.until_green().await;
    let next = world.universe.file_item(&["ready-for-agent"]).unwrap();
    let _ = world.tick().await;
    let refused = world.poll().await;
    assert!(line(&refused, next).why.contains("what they may in one day"), "{refused:#?}");
    world.passes(SignedDuration::from_hours(24));
    let _ = world.tick().await;
    let claimed = world.poll().await;
    assert_eq!(line(&claimed, next).what, "claimed", "{claimed:#?}");
}

#[tokio::test]
async fn people_see_what_it_cost_whose_move_it_is_and_are_mentioned_once() {
    let mut world = World::new().await;
    metered(&mut world, GOOD, "0.5");
    let item = world.ask().await;
    world.until_green().await;
    let told = progress(&world, item);
    assert!(told.contains("Used so far: 1000 tokens (+ 0 cached), 0.50 USD"), "{told}");
    assert!(told.contains("1 file, +1"), "measured: {told}");
    assert!(told.contains("Waiting for "), "{told}");
    let owner = world.universe.owner.id.clone();
    assert!(told.contains(&owner), "it is their move: {told}");
    world.assert_quiet().await;
    // The same head with another sentence: no second mail.
    world.universe.emulator.comment_item(item, "Nice.", &world.universe.owner.clone()).unwrap();
    world.passes(SignedDuration::from_mins(11));
    let _ = world.tick().await;
    world.assert_quiet().await;
    assert_eq!(
        world.comments(item).iter().filter(|text| text.contains(&owner)).count(),
        1,
        "{:#?}",
        world.comments(item)
    );
}

#[tokio::test]
async fn a_frozen_run_is_handed_over_with_everything_that_a_person_needs() {
    let mut world = World::new().await;
    metered(&mut world, GOOD, "0.5");
    world.set("ROUNDSMAN_POLICY_FIX_FORWARD_ATTEMPTS", "0");
    world.universe.emulator.force_next_result(world.universe.pipeline, "failed");
    let item = world.ask().await;
    let told = world.until_handed(item).await;
    for part in [
        "used all its fix-forward turns",
        "turn 1, implement: pushed",
        "1 file, +1",
        "0.50 USD",
        "the failing build",
        "_build/results?buildId=",
        "pull request !",
        "evidence",
        "/agent resume",
        "ready-for-agent",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let owner = &world.universe.owner.id;
    assert!(told.contains(owner), "{told}");
    assert!(!progress(&world, item).contains(owner), "one mail is enough");
    let pulls = world.universe.emulator.pull_requests();
    assert_eq!(pulls[0].status, "active", "the work stays in place");
}

/// What the newest agent's step was told about its limits.
async fn limits(world: &mut World) -> Limits {
    let item = world.ask().await;
    world.go(|world| !calls(world).is_empty() && !world.tags(item).contains(&"ready-for-agent".into())).await;
    let run = world.runs().await.remove(0).id.to_string();
    let mut waiting = vec![world.home().to_path_buf()];
    while let Some(place) = waiting.pop() {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.ends_with("steps/agent/spec.json") && path.to_string_lossy().contains(&run) {
                return serde_json::from_slice::<WorkerSpec>(&fs::read(path).unwrap()).unwrap().limits;
            }
            if entry.file_type().unwrap().is_dir() {
                waiting.push(path);
            }
        }
    }
    panic!("the agent's step was not started")
}

#[tokio::test]
async fn smaller_budgets_of_a_repository_reach_the_worker() {
    let mut world = World::new().await;
    metered(&mut world, GOOD, "0.01");
    let rules = "[budget]\nturn_minutes = 7\nsteps = 11\ntokens = 12345\ndollars = 2\nfiles = 3\n";
    land(&world, &[(".roundsman.toml", rules)]);
    let told = limits(&mut world).await;
    assert_eq!((told.wall_seconds, told.steps, told.tokens), (420, 11, 12_345), "{told:?}");
    assert_eq!((told.cost_micro_usd, told.max_files), (2_000_000, 3), "{told:?}");
}

#[tokio::test]
async fn a_turn_gets_no_more_than_its_item_has_left() {
    let mut world = World::new().await;
    metered(&mut world, GOOD, "0.01");
    world.set("ROUNDSMAN_BUDGET_ITEM_TIME", "5m");
    world.set("ROUNDSMAN_BUDGET_ITEM_TOKENS", "6000");
    world.set("ROUNDSMAN_BUDGET_ITEM_COST", "1.50");
    let told = limits(&mut world).await;
    assert_eq!((told.wall_seconds, told.tokens, told.cost_micro_usd), (300, 6_000, 1_500_000), "{told:?}");
}

/// None at all and too few, limit by limit: people are asked with the limit's own sentence, and nothing more is paid.
#[tokio::test]
async fn each_limit_ends_in_one_question_with_its_own_sentence() {
    let rows = [
        ("ROUNDSMAN_BUDGET_ITEM_TOKENS", "1000", "has used 1000 tokens, of 1000 allowed", 1),
        ("ROUNDSMAN_BUDGET_UNACCEPTED_COST", "0.50", "0.50 USD were spent without a change that passes", 1),
        ("ROUNDSMAN_BUDGET_PUSHES", "1", "1 pushes were made", 1),
        ("ROUNDSMAN_BUDGET_ITEM_TOKENS", "0", "has used 0 tokens, of 0 allowed", 0),
        ("ROUNDSMAN_BUDGET_ITEM_COST", "0", "has cost 0.00 USD, of 0.00 USD allowed", 0),
        ("ROUNDSMAN_BUDGET_UNACCEPTED_COST", "0", "0.00 USD were spent without", 0),
        ("ROUNDSMAN_BUDGET_PUSHES", "0", "0 pushes were made", 0),
    ];
    for (limit, value, sentence, paid) in rows {
        let mut world = World::new().await;
        metered(&mut world, GOOD, "0.5");
        world.universe.emulator.force_next_result(world.universe.pipeline, "failed");
        world.set(limit, value);
        let item = world.ask().await;
        let told = world.until_handed(item).await;
        assert!(told.contains(sentence), "{limit}={value}: {told}");
        assert_eq!(calls(&world).len(), paid, "{limit}={value}");
    }
}
