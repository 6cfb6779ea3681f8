//! Bad input: settings, tokens, disks, networks and work items that are not as they should be. Each ends in a sentence
//! where its reader looks and in the right exit code; nothing is lost, and nothing is written that must not be.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::{Ended, World, line, program};
use jiff::SignedDuration;
use roundsman::{
    domain::Stage,
    emulator::{IdentityKind, NewItem, SeedFile, SignIn, Token},
    shell::poll::{Mode, poll},
};
use std::fs;

const BOTH: [&str; 2] = ["roundsman-poller", "roundsman-watcher"];
const GOOD: &str = "printf 'A line.\\n' >> README.md; echo changed";

/// A watched world with one labelled item that nobody has touched yet.
async fn waiting() -> (World, i64) {
    let world = World::new().await;
    let item = world.ask().await;
    world.universe.emulator.reset_calls();
    (world, item)
}

/// Runs both programs: they end so, say this, write nothing and leave the item as it is.
async fn both(world: &World, item: i64, code: i32, says: &str) -> Vec<Ended> {
    let before = world.universe.emulator.item(item);
    let mut all = Vec::new();
    for name in BOTH {
        let ended = world.program(name, &[]).await;
        assert_eq!(ended.code, code, "{name}: {ended:#?}");
        assert!(ended.log.contains(says), "{name} does not say {says:?}: {ended:#?}");
        assert!(!ended.log.contains(&world.universe.token), "{name} tells the token");
        assert_eq!(ended.out, "", "{name} talks on standard output");
        all.push(ended);
    }
    assert_eq!(world.universe.emulator.writes(), 0);
    assert_eq!(world.universe.emulator.item(item), before);
    all
}

#[tokio::test]
async fn a_wrong_token_is_told_whatever_the_service_answers() {
    let (mut world, item) = waiting().await;
    let file = world.home().join("wrong");
    fs::write(&file, "wrongwrongwrongwrong").unwrap();
    world.set("ROUNDSMAN_ADO_TOKEN_FILE", &file.display().to_string());
    for answer in [SignIn::Page, SignIn::Redirect, SignIn::Empty] {
        world.universe.emulator.set_sign_in(answer);
        for ended in both(&world, item, 77, "token not accepted").await {
            assert!(ended.log.contains("check that the token is valid"), "{ended:#?}");
            assert!(!ended.log.contains("wrongwrong"), "{ended:#?}");
        }
    }
}

#[tokio::test]
async fn an_expired_token_is_told() {
    let (world, item) = waiting().await;
    world.universe.emulator.expire_token(&world.universe.token);
    both(&world, item, 77, "token not accepted").await;
}

#[tokio::test]
async fn being_nobody_is_not_being_somebody() {
    let (world, item) = waiting().await;
    world.universe.emulator.set_public_projects(true);
    world.universe.emulator.revoke_token(&world.universe.token);
    both(&world, item, 77, "token not accepted").await;
}

#[tokio::test]
async fn another_identity_than_the_pinned_one_is_refused() {
    let (mut world, item) = waiting().await;
    world.set("ROUNDSMAN_ADO_IDENTITY", "11111111-2222-3333-4444-555555555555");
    both(&world, item, 77, "not to the identity in ROUNDSMAN_ADO_IDENTITY").await;
    let bot = world.universe.bot.id.clone();
    world.set("ROUNDSMAN_ADO_IDENTITY", &bot);
    let ended = world.program("roundsman-poller", &["--dry-run"]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(ended.out.contains("would-claim"), "{ended:#?}");
}

#[tokio::test]
async fn rules_that_could_not_be_rendered_are_refused_before_anything_is_done() {
    let (mut world, item) = waiting().await;
    let file = world.home().join("house.md");
    world.set("ROUNDSMAN_BRIEF_FILE", &file.display().to_string());
    for bad in [None, Some("{{ titel }}"), Some("Be kind to {{ item.x }}."), Some("{{ item | nonsense }}")] {
        if let Some(text) = bad {
            fs::write(&file, text).unwrap();
        }
        both(&world, item, 78, "ROUNDSMAN_BRIEF_FILE cannot be used").await;
        let ended = world.program("roundsman", &["run", &item.to_string()]).await;
        assert_eq!(ended.code, 78, "{bad:?}: {ended:#?}");
        let ended = world.program("roundsman", &["config", "check"]).await;
        assert_eq!(ended.code, 78, "{bad:?}: {ended:#?}");
    }
    fs::write(&file, "Be kind in {{ repository }}.").unwrap();
    let ended = world.program("roundsman-poller", &["--dry-run"]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(ended.out.contains("would-claim"), "{ended:#?}");
}

#[tokio::test]
async fn an_unreachable_host_is_told() {
    let (mut world, item) = waiting().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    world.set("ROUNDSMAN_ADO_URL", &format!("http://127.0.0.1:{port}/acme"));
    both(&world, item, 69, "unreachable").await;
}

#[tokio::test]
async fn a_missing_or_empty_token_file_is_named_by_its_variable() {
    let (mut world, item) = waiting().await;
    let missing = world.home().join("hidden-name");
    world.set("ROUNDSMAN_ADO_TOKEN_FILE", &missing.display().to_string());
    for empty in [false, true] {
        if empty {
            fs::write(&missing, " \n").unwrap();
        }
        for ended in both(&world, item, 78, "ROUNDSMAN_ADO_TOKEN_FILE").await {
            assert!(!ended.log.contains("hidden-name"), "a path can be a token: {ended:#?}");
        }
    }
}

#[tokio::test]
async fn one_unknown_project_does_not_stop_the_others() {
    let (mut world, item) = waiting().await;
    world.set("ROUNDSMAN_INTAKE_PROJECTS", "Nowhere,Fabrikam");
    let ended = world.program("roundsman-poller", &["--dry-run"]).await;
    assert_eq!(ended.code, 77, "{ended:#?}");
    assert!(ended.log.contains("Nowhere") && ended.log.contains("check the name"), "{ended:#?}");
    assert!(ended.out.contains("would-claim") && ended.out.contains(&item.to_string()), "{ended:#?}");
}

#[tokio::test]
async fn one_unknown_project_does_not_keep_lost_runs_lost() {
    let mut world = World::new().await;
    world.agent(GOOD);
    let item = world.ask().await;
    world.until_green().await;
    let known = world.run().await.id;
    let fresh = world.home().join("fresh.sqlite").display().to_string();
    world.set("ROUNDSMAN_STORE_PATH", &fresh);
    world.set("ROUNDSMAN_INTAKE_PROJECTS", "Nowhere,Fabrikam");
    let ended = world.program("roundsman-watcher", &[]).await;
    assert_eq!(ended.code, 1, "somebody has to hear of it: {ended:#?}");
    assert!(ended.log.contains("Nowhere was not searched"), "{ended:#?}");
    assert_eq!(world.run().await.id, known);
    world.assert_once(item);
}

#[tokio::test]
async fn a_directory_in_the_place_of_the_database_is_told() {
    let (mut world, item) = waiting().await;
    if !world.keeps_a_file("the file is what is wrong") {
        return;
    }
    let place = world.home().join("not-a-file.sqlite");
    fs::create_dir(&place).unwrap();
    world.set("ROUNDSMAN_STORE_PATH", &place.display().to_string());
    both(&world, item, 74, "not-a-file.sqlite").await;
    assert!(place.is_dir());
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_made_is_told() {
    let (mut world, item) = waiting().await;
    if !world.keeps_a_file("the file is what cannot be made") {
        return;
    }
    // Nobody can make anything there, whoever runs this test.
    world.set("ROUNDSMAN_STATE_DIR", "/proc/roundsman");
    both(&world, item, 74, "/proc/roundsman").await;
}

#[tokio::test]
async fn a_garbled_database_is_put_aside_and_the_run_is_found_again() {
    let mut world = World::new().await;
    if !world.keeps_a_file("the file is what is garbled") {
        return;
    }
    world.agent(GOOD);
    let item = world.ask().await;
    let pull = world.until_green().await;
    let known = world.run().await;
    let file = world.universe.state_dir.join("runs.sqlite");
    for end in ["-wal", "-shm"] {
        _ = fs::remove_file(world.universe.state_dir.join(format!("runs.sqlite{end}")));
    }
    fs::write(&file, "This is a letter to my landlord. ".repeat(500)).unwrap();

    let ended = world.program("roundsman-watcher", &["--json"]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(ended.log.contains("was damaged and is now"), "{ended:#?}");
    assert!(ended.out.contains("its run was found in the work item"), "{ended:#?}");
    assert!(world.universe.state_dir.join("runs.sqlite.corrupt-1").is_file(), "nothing is deleted");
    let found = world.run().await;
    assert_eq!((found.id, found.pull_request), (known.id, known.pull_request), "{pull}");
    assert!(matches!(found.stage, Stage::InReview { .. }), "{found:#?}");
    assert_eq!(found.pushed.map(|pushed| pushed.head), known.pushed.map(|pushed| pushed.head));
    world.assert_once(item);
}

#[tokio::test]
async fn m01_three_wrong_settings_are_told_at_once_by_every_program() {
    let (mut world, item) = waiting().await;
    world.set("ROUNDSMAN_CONCURRENCY", "many-secret-words");
    world.set("ROUNDSMAN_POLICY_TURN_LIMIT", "45");
    world.set("ROUNDSMAN_ADO_TOKN_FILE", "somewhere-secret");
    let told = ["ROUNDSMAN_CONCURRENCY", "ROUNDSMAN_POLICY_TURN_LIMIT", "ROUNDSMAN_ADO_TOKN_FILE"];
    let mut all = both(&world, item, 78, "3 problems").await;
    all.push(world.program("roundsman", &["ps"]).await);
    all.push(world.program("roundsman", &["config", "check"]).await);
    for ended in all {
        assert_eq!(ended.code, 78, "{ended:#?}");
        let said = format!("{}{}", ended.out, ended.log);
        for name in told {
            assert!(said.contains(name), "{name}: {ended:#?}");
        }
        assert!(said.contains("did you mean ROUNDSMAN_ADO_TOKEN_FILE?"), "{ended:#?}");
        assert!(!said.contains("secret"), "values are not repeated: {ended:#?}");
    }
}

#[tokio::test]
async fn without_any_setting_it_says_what_is_needed() {
    for name in BOTH {
        let ended = program(name, &[], []).await;
        assert_eq!(ended.code, 78, "{ended:#?}");
        assert!(ended.log.contains("ROUNDSMAN_ADO_URL"), "{ended:#?}");
    }
}

#[tokio::test]
async fn nothing_is_claimed_while_nobody_watches() {
    let mut world = World::new().await;
    if !world.keeps_a_file("signs of life are kept in the file") {
        return;
    }
    let item = world.universe.file_item(&["ready-for-agent"]).unwrap();
    world.universe.emulator.reset_calls();
    let ended = world.program("roundsman-poller", &[]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(ended.log.contains("no watcher has run yet"), "{ended:#?}");
    assert_eq!(world.universe.emulator.calls().len(), 0, "nobody is asked for what cannot be used");

    let _ = world.tick().await;
    world.passes(SignedDuration::from_mins(61));
    let report = world.poll().await;
    assert!(report.held.as_deref().is_some_and(|held| held.contains("watcher was last seen")), "{report:#?}");
    assert_eq!(world.tags(item), ["ready-for-agent"]);
    let _ = world.tick().await;
    let report = world.poll().await;
    assert_eq!(line(&report, item).what, "claimed", "{report:#?}");
}

#[tokio::test]
async fn a_dry_run_writes_nothing_anywhere() {
    let (world, item) = waiting().await;
    let ended = world.program("roundsman-poller", &["--dry-run"]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    let row = ended.out.lines().find(|line| line.starts_with(&item.to_string())).unwrap_or_default();
    assert!(row.contains("would-claim") && row.contains("for Fabrikam/greet"), "{ended:#?}");
    let ended = world.program("roundsman-poller", &["--dry-run", "--json"]).await;
    let report = ended.json();
    assert_eq!(report["program"], "poller");
    assert_eq!(report["writes"], 0);
    assert_eq!(report["lines"][0]["what"], "would-claim");
    assert_eq!(report["lines"][0]["item"], item);
    let ended = world.program("roundsman-watcher", &["--dry-run", "--json"]).await;
    assert_eq!((ended.code, ended.json()["program"].as_str()), (0, Some("watcher")), "{ended:#?}");
    assert_eq!(world.universe.emulator.writes(), 0);
    assert_eq!(world.tags(item), ["ready-for-agent"]);
    assert!(world.runs().await.is_empty());
    let beat = world.app().await.store.last_beat("poller").await.unwrap();
    assert_eq!(beat, None, "a rehearsal is no sign of life");
}

/// Files a story with these labels.
fn file(world: &World, tags: &[&str]) -> i64 {
    let item = NewItem::story("Greet loudly").tagged(tags).described("<p>Greet in capitals.</p>");
    world.universe.emulator.file_item("Fabrikam", &item, &world.universe.owner).unwrap()
}

#[tokio::test]
async fn every_refusal_says_why_in_report_and_explanation() {
    let mut world = World::new().await;
    let _ = world.tick().await;
    let emulator = world.universe.emulator.clone();
    let owner = world.universe.owner.clone();
    let stranger = emulator.create_identity("Stranger", "stranger@fabrikam.example", IdentityKind::Person);
    emulator.create_repository("Fabrikam", "other", &[SeedFile::new("README.md", "x\n")]).unwrap();
    emulator.create_repository("Fabrikam", "empty", &[]).unwrap();
    world.set("ROUNDSMAN_INTAKE_REPOSITORIES", "Fabrikam/greet,Fabrikam/empty");

    let nowhere = file(&world, &["ready-for-agent", "repo:nowhere"]);
    let other = file(&world, &["ready-for-agent", "repo:other"]);
    let empty = file(&world, &["ready-for-agent", "repo:empty"]);
    let labelled = file(&world, &[]);
    emulator.tag(labelled, "ready-for-agent", &stranger).unwrap();
    let changed = file(&world, &["ready-for-agent"]);
    emulator.edit_description(changed, "<p>Delete everything.</p>", &stranger).unwrap();
    let (waits, first) = (file(&world, &["ready-for-agent"]), file(&world, &[]));
    emulator.link_predecessor(waits, first, &owner).unwrap();
    let paused = file(&world, &["ready-for-agent", "agent-paused"]);
    let stopped = file(&world, &["ready-for-agent", "agent-stop"]);
    let handed = file(&world, &["ready-for-agent"]);
    emulator.tag(handed, "ready-for-human", &owner).unwrap();
    let over = file(&world, &["ready-for-agent"]);
    emulator.set_state(over, "Closed", &owner).unwrap();
    emulator.reset_calls();

    let expected = [
        (nowhere, "`Fabrikam/nowhere` does not exist or cannot be read".to_owned()),
        (other, "Fabrikam/other is not on the allow-list".to_owned()),
        (empty, "Fabrikam/empty has no default branch".to_owned()),
        (labelled, "Stranger put the label on and is not on the list of trusted people".to_owned()),
        (changed, "Stranger changed its text after it was labelled".to_owned()),
        (waits, format!("it waits for work item {first}")),
        (paused, "it is paused by label".to_owned()),
        (stopped, "it carries the stop label".to_owned()),
        (handed, "it was handed to a person".to_owned()),
        (over, "its state says that nobody expects work on it".to_owned()),
    ];
    let report = world.poll().await;
    assert_eq!(report.lines.len(), expected.len(), "{report:#?}");
    for (item, why) in &expected {
        let said = line(&report, *item);
        assert_eq!(said.what, "refused", "{said:#?}");
        assert!(said.why.contains(why), "{why}: {said:#?}");
        let ended = world.program("roundsman", &["explain", &item.to_string()]).await;
        assert_eq!(ended.code, 0, "{ended:#?}");
        assert!(ended.out.starts_with("refused: ") && ended.out.contains(why), "{why}: {ended:#?}");
    }
    // What people must mend is told once on the item; what only takes time is not.
    assert_eq!(emulator.writes(), 5);
    let told = [nowhere, other, empty, labelled, changed];
    for (item, why) in &expected {
        let said = world.comments(*item);
        assert_eq!(said.len(), usize::from(told.contains(item)), "{item}: {said:#?}");
        let words = |html: &str| html.replace("<code>", "`").replace("</code>", "`");
        assert!(said.iter().all(|text| !text.contains('`') && words(text).contains(why)), "{why}: {said:#?}");
    }
    let _ = world.poll().await;
    assert_eq!(emulator.writes(), 5, "an unchanged world is not written to");
    assert!(world.runs().await.is_empty());
    assert!(emulator.unknown_requests().is_empty());

    // What people mend is claimed.
    emulator.tag(labelled, "x", &owner).unwrap();
    emulator.set_state(first, "Closed", &owner).unwrap();
    emulator.untag(paused, "agent-paused", &owner).unwrap();
    for item in [changed, labelled] {
        emulator.untag(item, "ready-for-agent", &owner).unwrap();
        emulator.tag(item, "ready-for-agent", &owner).unwrap();
    }
    world.set("ROUNDSMAN_INTAKE_MAX_RUNS", "9");
    world.set("ROUNDSMAN_INTAKE_MAX_RUNS_PER_REPOSITORY", "9");
    let report = poll(&world.app().await, Mode::DryRun).await;
    for item in [labelled, changed, waits, paused] {
        assert_eq!(line(&report, item).what, "would-claim", "{report:#?}");
    }
}

#[tokio::test]
async fn what_does_not_fit_the_caps_says_so() {
    let mut world = World::new().await;
    world.agent("echo busy; sleep 2");
    let first = world.ask().await;
    let second = file(&world, &["ready-for-agent"]);
    let report = world.poll().await;
    assert_eq!(line(&report, first).what, "claimed", "{report:#?}");
    assert!(line(&report, second).why.contains("as many runs as allowed are in flight in Fabrikam/greet"));
    for (name, value, why) in [
        ("ROUNDSMAN_INTAKE_MAX_RUNS", "1", "as many runs as allowed are in flight"),
        ("ROUNDSMAN_INTAKE_MAX_CLAIMS_PER_DAY", "1", "as many items as allowed were claimed today"),
    ] {
        let before = world.vars.clone();
        world.set("ROUNDSMAN_INTAKE_MAX_RUNS_PER_REPOSITORY", "9");
        world.set(name, value);
        let report = world.poll().await;
        assert_eq!(line(&report, second).why, why, "{report:#?}");
        world.vars = before;
    }
    let owner = world.universe.owner.clone();
    world.universe.emulator.untag(second, "ready-for-agent", &owner).unwrap();
    world.until_handed(first).await;
}

#[tokio::test]
async fn an_item_that_is_not_there_is_explained() {
    let (world, _) = waiting().await;
    let ended = world.program("roundsman", &["explain", "99999"]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(ended.out.contains("does not exist or cannot be read"), "{ended:#?}");
    let ended = world.program("roundsman", &["explain", "what?"]).await;
    assert_eq!(ended.code, 2, "{ended:#?}");
    assert!(ended.log.contains("4711-r12"), "{ended:#?}");
}

#[tokio::test]
async fn a_token_that_ends_in_the_middle_of_a_run_loses_nothing() {
    let mut world = World::new().await;
    world.agent(&format!(
        "touch \"$WORLD/begun\"; while test ! -e \"$WORLD/go\"; do echo working; sleep 0.1; done; {GOOD}"
    ));
    let item = world.ask().await;
    world.until_there("begun").await;
    let emulator = world.universe.emulator.clone();
    let before = emulator.item(item);
    emulator.reset_calls();
    emulator.expire_token(&world.universe.token);
    for name in BOTH {
        let ended = world.program(name, &[]).await;
        assert_eq!(ended.code, 77, "{name}: {ended:#?}");
        assert!(ended.log.contains("token not accepted"), "{ended:#?}");
    }
    fs::write(world.home().join("go"), "").unwrap();
    assert_eq!(world.program("roundsman-watcher", &[]).await.code, 77);
    assert_eq!(emulator.item(item), before);
    assert_eq!(emulator.writes(), 0);

    // Somebody puts a new token into the file; nothing else has to be done.
    let renewed = format!("{}renewed", world.universe.token);
    emulator.issue_token(&world.universe.bot, Token::Pat, &renewed);
    fs::write(world.home().join("token"), &renewed).unwrap();
    world.until_green().await;
    assert_eq!(world.run().await.turns.len(), 1, "the agent's work was kept");
    world.assert_once(item);
}

#[tokio::test]
async fn a_token_without_the_right_to_push_is_told_on_the_item() {
    let mut world = World::new().await;
    world.agent(GOOD);
    world.universe.emulator.allow_contribute(&world.universe.bot, false);
    let item = world.ask().await;
    let told = world.until_handed(item).await;
    assert!(world.agent_branches().is_empty());
    assert!(told.contains("lost the agent's work too often") || told.contains("TF401027"), "{told}");
    assert!(!told.contains(&world.universe.token), "{told}");
    assert!(world.run_dir().await.join("t01/out/work.bundle").is_file(), "work is kept");
}
