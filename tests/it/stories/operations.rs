//! Configuration, upgrade, operations: the lines M of the failure catalogue, and runs that cannot be carried on.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::{Memory, World, line, program};
use jiff::SignedDuration;
use roundsman::{
    domain::{RunId, Stage, WorkerState},
    emulator::{Fault, NewItem},
    shell::{
        poll::{Mode, poll},
        report::{Line, Report},
    },
};

const GOOD: &str = "printf 'A line.\\n' >> README.md; echo changed";

fn file(world: &World, tags: &[&str]) -> i64 {
    let item = NewItem::story("Greet loudly").tagged(tags).described("<p>Greet in capitals.</p>");
    world.universe.emulator.file_item("Fabrikam", &item, &world.universe.owner).unwrap()
}

async fn rehearse(world: &World) -> Report {
    poll(&world.app().await, Mode::DryRun).await
}

/// The texts of this item cannot be read, for as long as faults are armed.
fn hide_texts(world: &World, item: i64) {
    let body = r#"{"message":"VS403325: Work item revision does not exist.","typeKey":"WorkItemRevisionNotFoundException"}"#;
    world.universe.emulator.fault(
        Fault::on_path(&format!("workitems/{item}/revisions")).times(10_000).answer(
            404,
            &[("Content-Type", "application/json")],
            body,
        ),
    );
}

/// Whether one of the lines about an item is so: a run that was found again has one for that, too.
fn any(report: &Report, item: i64, is_so: impl Fn(&Line) -> bool) -> bool {
    report.lines.iter().any(|line| i64::from(line.item) == item && is_so(line))
}

fn has(world: &World, item: i64, label: &str) -> bool {
    world.tags(item).iter().any(|tag| tag == label)
}

#[tokio::test]
async fn m02_an_empty_list_is_nobody_and_nothing() {
    let mut world = World::new().await;
    let item = world.ask().await;
    let all = world.vars.clone();
    for (name, why) in [
        ("ROUNDSMAN_INTAKE_TRUSTED", "not on the list of trusted people"),
        ("ROUNDSMAN_INTAKE_REPOSITORIES", "not on the allow-list"),
    ] {
        world.set(name, "");
        let report = rehearse(&world).await;
        assert!(line(&report, item).why.contains(why), "{report:#?}");
        world.vars = all.clone();
    }
    world.set("ROUNDSMAN_INTAKE_PROJECTS", "");
    let report = rehearse(&world).await;
    assert!(report.lines.is_empty() && report.reads == 0, "{report:#?}");
}

#[tokio::test]
async fn m03_only_a_documented_word_takes_the_brake_off() {
    let mut world = World::new().await;
    let item = world.ask().await;
    for word in ["", "true", "1", "offf", "pause", "garbage"] {
        world.set("ROUNDSMAN_KILL_SWITCH", word);
        world.universe.emulator.reset_calls();
        let report = world.poll().await;
        assert!(
            report.held.as_deref().is_some_and(|held| held.contains("kill switch")),
            "{word}: {report:#?}"
        );
        assert!(world.universe.emulator.calls().is_empty(), "{word}");
    }
    for word in ["0", "false", "no", "off"] {
        world.set("ROUNDSMAN_KILL_SWITCH", word);
        assert_eq!(line(&rehearse(&world).await, item).what, "would-claim", "{word}");
    }
}

#[tokio::test]
async fn m04_a_brake_between_claim_and_start_starts_nothing() {
    let mut world = World::new().await;
    world.agent(GOOD);
    let item = world.ask().await;
    hide_texts(&world, item);
    let report = world.poll().await;
    assert!(line(&report, item).failed && has(&world, item, "agent-in-progress"), "{report:#?}");
    world.universe.emulator.clear_faults();
    world.set("ROUNDSMAN_KILL_SWITCH", "on");
    world.passes(SignedDuration::from_hours(9));
    for _ in 0..3 {
        let report = world.tick().await;
        assert!(any(&report, item, |line| line.why.contains("kill switch")), "{report:#?}");
    }
    let workers = world.app().await.runtime.workers().await.unwrap();
    let ran = workers.values().flatten().any(|one| !matches!(one.state, WorkerState::Created));
    assert!(!ran, "{workers:#?}");
    world.set("ROUNDSMAN_KILL_SWITCH", "off");
    world.until_green().await;
    world.assert_once(item);
}

/// Also M6.
#[tokio::test]
async fn m05_what_a_newer_roundsman_has_is_left_to_it() {
    let world = World::new().await;
    let _ = world.tick().await;
    let emulator = world.universe.emulator.clone();
    let (waiting, running) = (file(&world, &["ready-for-agent"]), file(&world, &["agent-in-progress"]));
    for item in [waiting, running] {
        let marker = format!(
            "<p>Working.</p><hr><p>roundsman {item}-r1 · executor local · nonce 1 · repository Fabrikam/greet · target main \
             · schema 2 · turns none</p>"
        );
        emulator.comment_item(item, &marker, &world.universe.bot).unwrap();
    }
    let before = (emulator.item(waiting), emulator.item(running));
    emulator.reset_calls();
    for _ in 0..2 {
        let report = world.poll().await;
        assert!(line(&report, waiting).why.contains("a newer roundsman"), "{report:#?}");
        let report = world.tick().await;
        assert!(line(&report, running).why.contains("a newer roundsman"), "{report:#?}");
    }
    assert_eq!(emulator.writes(), 0);
    assert_eq!((emulator.item(waiting), emulator.item(running)), before);
    // Whoever only quotes one is not it.
    let quoted = file(&world, &["ready-for-agent"]);
    let marker = format!(
        "roundsman {quoted}-r1 · executor x · nonce 1 · repository a/b · target main · schema 2 · turns none"
    );
    emulator.comment_item(quoted, &marker, &world.universe.owner).unwrap();
    assert_eq!(line(&rehearse(&world).await, quoted).what, "would-claim");
}

#[tokio::test]
async fn m07_another_organization_or_identity_than_the_pinned_one_is_refused() {
    let mut world = World::new().await;
    let item = world.ask().await;
    let before = world.universe.emulator.item(item);
    world.universe.emulator.reset_calls();
    let pinned = world.universe.emulator.organization_id();
    let bot = world.universe.bot.id.clone();
    let foreign = "11111111-2222-3333-4444-555555555555";
    for (organization, identity, says) in [
        (foreign, bot.as_str(), "not to the one in ROUNDSMAN_ADO_ORGANIZATION"),
        (pinned.as_str(), foreign, "not to the identity in ROUNDSMAN_ADO_IDENTITY"),
    ] {
        world.set("ROUNDSMAN_ADO_ORGANIZATION", organization);
        world.set("ROUNDSMAN_ADO_IDENTITY", identity);
        for name in ["roundsman-poller", "roundsman-watcher"] {
            let ended = world.program(name, &[]).await;
            assert_eq!(ended.code, 77, "{ended:#?}");
            assert!(ended.log.contains(says), "{ended:#?}");
        }
    }
    assert_eq!(world.universe.emulator.writes(), 0);
    assert_eq!(world.universe.emulator.item(item), before);
    world.set("ROUNDSMAN_ADO_ORGANIZATION", &pinned);
    world.set("ROUNDSMAN_ADO_IDENTITY", &bot);
    assert_eq!(line(&rehearse(&world).await, item).what, "would-claim");
}

/// A brief that cannot be written is not tried for ever, and costs the others nothing.
#[tokio::test]
async fn m08_a_run_that_cannot_be_carried_on_goes_to_people_and_the_others_go_on() {
    let mut world = World::new().await;
    world.agent(GOOD);
    world.set("ROUNDSMAN_INTAKE_MAX_RUNS_PER_REPOSITORY", "9");
    let _ = world.tick().await;
    let (poisoned, healthy) = (file(&world, &["ready-for-agent"]), file(&world, &["ready-for-agent"]));
    hide_texts(&world, poisoned);
    let report = world.poll().await;
    assert!(line(&report, poisoned).failed, "{report:#?}");
    assert!(!line(&report, healthy).failed, "{report:#?}");
    let report = world.tick().await;
    assert!(any(&report, poisoned, |line| line.failed), "{report:#?}");
    assert!(!has(&world, poisoned, "ready-for-human"), "not at once: {report:#?}");
    world.passes(SignedDuration::from_mins(16));
    world.go(|world| has(world, poisoned, "ready-for-human")).await;
    assert!(!has(&world, poisoned, "agent-in-progress"));
    let told: Vec<String> = world
        .comments(poisoned)
        .into_iter()
        .filter(|text| text.contains("cannot be carried on"))
        .filter(|text| text.contains("this run needs a person"))
        .collect();
    assert!(told.len() == 1 && told[0].contains("VS403325"), "{told:#?}");
    world.go(|world| !world.universe.emulator.pull_requests().is_empty()).await;
    assert!(has(&world, healthy, "agent-in-progress"));
    for _ in 0..2 {
        let report = world.tick().await;
        assert!(!report.lines.iter().any(|line| line.failed), "{report:#?}");
        let _ = world.poll().await;
    }
    assert!(has(&world, poisoned, "ready-for-human"));
}

#[tokio::test]
async fn what_heals_in_time_is_no_poison() {
    let mut world = World::new().await;
    world.agent(GOOD);
    let item = world.ask().await;
    hide_texts(&world, item);
    let _ = world.poll().await;
    world.passes(SignedDuration::from_mins(5));
    let _ = world.tick().await;
    world.universe.emulator.clear_faults();
    world.until_green().await;
    let run = world.run().await;
    assert_eq!(run.doubts.stuck, None, "{run:#?}");
    assert!(!has(&world, item, "ready-for-human"));
}

#[tokio::test]
async fn an_item_that_comes_back_again_and_again_goes_to_people() {
    let mut world = World::new().await;
    world.agent("echo busy; sleep 5");
    let item = world.ask().await;
    let (emulator, owner) = (world.universe.emulator.clone(), world.universe.owner.clone());
    for _ in 0..3 {
        let report = world.poll().await;
        assert_eq!(line(&report, item).what, "claimed", "{report:#?}");
        emulator.untag(item, "agent-in-progress", &owner).unwrap();
        let _ = world.tick().await;
        emulator.tag(item, "ready-for-agent", &owner).unwrap();
    }
    let report = world.poll().await;
    assert!(line(&report, item).why.contains("claimed 3 times today"), "{report:#?}");
    assert!(has(&world, item, "ready-for-human") && !has(&world, item, "ready-for-agent"));
    let writes = emulator.writes();
    let _ = world.poll().await;
    assert_eq!(emulator.writes(), writes);
    assert_eq!(world.comments(item).iter().filter(|text| text.contains("3 times today")).count(), 1);
    // A person looks, on another day, and labels it again.
    world.passes(SignedDuration::from_hours(24));
    let _ = world.tick().await;
    emulator.untag(item, "ready-for-human", &owner).unwrap();
    emulator.tag(item, "ready-for-agent", &owner).unwrap();
    assert_eq!(line(&rehearse(&world).await, item).what, "would-claim");
}

#[tokio::test]
async fn m09_a_backlog_of_ten_thousand_starts_few_and_starves_nobody() {
    const MANY: usize = 10_000;
    let mut world = World::new().await;
    world.agent("echo busy; sleep 3");
    let _ = world.tick().await;
    let emulator = world.universe.emulator.clone();
    let item = NewItem::story("Old").tagged(&["ready-for-agent"]);
    emulator.file_items("Fabrikam", &item, MANY, &world.universe.owner).unwrap();
    // One that somebody wants now, filed last.
    let urgent = NewItem { priority: Some(1), ..NewItem::story("Now").tagged(&["ready-for-agent"]) };
    let urgent = emulator.file_item("Fabrikam", &urgent, &world.universe.owner).unwrap();
    world.set("ROUNDSMAN_INTAKE_MAX_RUNS", "50");
    world.set("ROUNDSMAN_INTAKE_MAX_RUNS_PER_REPOSITORY", "50");
    world.set("ROUNDSMAN_INTAKE_MAX_CLAIMS_PER_POLL", "2");

    let first = world.poll().await;
    let claimed: Vec<u32> =
        first.lines.iter().filter(|line| line.what == "claimed").map(|line| line.item).collect();
    assert_eq!(claimed.len(), 2, "{:#?}", first.lines);
    assert_eq!(i64::from(claimed[0]), urgent, "the most urgent first");
    // Without a file each claim is counted, and each run found, in the items themselves.
    let budget = if world.memory() == Memory::Sqlite { 100 } else { 130 };
    assert!(first.reads < budget, "{} reads: {:#?}", first.reads, first.calls);
    assert!(first.lines.len() <= 60 && first.not_looked_at as usize > MANY - 60, "{}", first.not_looked_at);
    assert!(first.lines.iter().any(|line| line.why.contains("claimed in this poll")), "{:#?}", first.lines);

    // Nothing more can be claimed today: then nothing more is read either.
    world.set("ROUNDSMAN_INTAKE_MAX_CLAIMS_PER_DAY", "2");
    let full = world.poll().await;
    // Without a file three lists of runs are asked of the items, and the comments of each run once.
    let most = if world.memory() == Memory::Labels { 12 } else { 4 };
    assert!(full.reads <= most, "{} reads: {:#?}", full.reads, full.calls);
    assert!(full.lines.len() <= 200 && full.writes == 0);
    assert!(full.lines[0].why.contains("claimed today"), "{:#?}", full.lines[0]);
}

#[tokio::test]
async fn m10_a_watcher_without_a_token_fails_no_run() {
    let mut world = World::new().await;
    world.agent(&format!(
        "touch \"$WORLD/begun\"; while test ! -e \"$WORLD/go\"; do echo on; sleep 0.1; done; {GOOD}"
    ));
    let item = world.ask().await;
    world.until_there("begun").await;
    let before = (world.run().await.id, world.universe.emulator.item(item));
    world.universe.emulator.reset_calls();
    let without = world.vars.clone().into_iter().filter(|(name, _)| name != "ROUNDSMAN_ADO_TOKEN_FILE");
    let ended = program("roundsman-watcher", &[], without).await;
    assert_eq!(ended.code, 78, "{ended:#?}");
    assert!(ended.log.contains("ROUNDSMAN_ADO_TOKEN_FILE"), "{ended:#?}");
    let after: (RunId, _) = (world.run().await.id, world.universe.emulator.item(item));
    assert_eq!(after, before);
    assert_eq!(world.universe.emulator.writes(), 0);
    assert!(matches!(world.run().await.stage, Stage::Working { .. }));
    std::fs::write(world.home().join("go"), "").unwrap();
    world.until_green().await;
    assert_eq!(world.run().await.turns.len(), 1);
    world.assert_once(item);
}
