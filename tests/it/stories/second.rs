//! What stands beside the agent's own word: the checks on the untouched base, a second agent, git's count of the change,
//! and work that the agent proposes for later.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::World;
use roundsman::emulator::{Fault, ItemSnapshot, SeedFile};
use std::fs;

const GOOD: &str = "printf 'A line.\\n' >> README.md; echo changed";

async fn asked(script: &str) -> (World, i64) {
    let mut world = World::new().await;
    world.agent(script);
    let item = world.ask().await;
    (world, item)
}

async fn opened(world: &mut World) -> String {
    world.go(|world| world.universe.emulator.pull_requests().len() == 1).await;
    world.universe.emulator.pull_requests()[0].description.clone()
}

fn calls(world: &World) -> String {
    fs::read_to_string(world.home().join("calls")).unwrap()
}

#[tokio::test]
async fn what_was_red_before_is_not_blamed_on_the_agent() {
    let mut world = World::new().await;
    let files = [SeedFile::new("src/scripts/code-checks.sh", "echo 'a lint of last year'; exit 1\n")];
    let owner = world.universe.owner.clone();
    world
        .universe
        .emulator
        .land(&world.universe.repository, "refs/heads/main", &files, "Red", &owner)
        .unwrap();
    world.agent(&format!(
        "echo \"$ROUNDSMAN_CALL\" >> \"$WORLD/calls\"; cp \"$ROUNDSMAN_BRIEF\" \"$WORLD/brief\"; {GOOD}"
    ));
    world.ask().await;
    let told = opened(&mut world).await;
    assert_eq!(calls(&world), "implement\n", "nobody was asked to repair it");
    assert!(
        told.contains("Measured: 'code-checks.sh' fails without this change, too")
            || told.contains("`code-checks.sh` fails without this change, too"),
        "{told}"
    );
    let brief = fs::read_to_string(world.home().join("brief")).unwrap();
    assert!(brief.contains("What fails already") && brief.contains("a lint of last year"), "{brief}");
    assert!(!brief.contains("- `run-tests.sh`"), "{brief}");
}

#[tokio::test]
async fn without_a_look_at_the_base_everything_red_is_repaired() {
    let mut world = World::new().await;
    world.set("ROUNDSMAN_AGENT_BASE_CHECKS", "no");
    let files = [SeedFile::new("src/scripts/code-checks.sh", "exit 1\n")];
    let owner = world.universe.owner.clone();
    world
        .universe
        .emulator
        .land(&world.universe.repository, "refs/heads/main", &files, "Red", &owner)
        .unwrap();
    world.agent(&format!("echo \"$ROUNDSMAN_CALL\" >> \"$WORLD/calls\"; {GOOD}"));
    world.ask().await;
    opened(&mut world).await;
    assert_eq!(calls(&world), "implement\nrepair\nrepair\nrepair\n");
}

#[tokio::test]
async fn claims_about_files_are_measured() {
    let (mut world, _) = asked(&format!(
        "{GOOD}; printf '## What\\n\\nAdded tests for it. Updated `docs/manual.md` and `README.md`.\\n' > \"$ROUNDSMAN_OUT/pr.md\""
    ))
    .await;
    let told = opened(&mut world).await;
    assert!(told.contains("Measured: 1 file, +1 −0."), "{told}");
    assert!(told.contains("no file of this change looks like a test"), "{told}");
    assert!(told.contains("`docs/manual.md` is not part of this change"), "{told}");
    assert!(!told.contains("`README.md` is not part"), "{told}");
}

#[tokio::test]
async fn h08_an_agent_that_removes_a_test_waits_for_a_person() {
    let (mut world, item) = asked(&format!(
        "git rm -q tests/greet_test.sh; mkdir -p tests; printf '#!/bin/sh\\n' > tests/other_test.sh; {GOOD}"
    ))
    .await;
    let told = opened(&mut world).await;
    assert!(told.contains("removes the test `tests/greet_test.sh`"), "{told}");
    let _ = world.tick().await;
    let pull = world.universe.emulator.pull_requests()[0].clone();
    assert!(pull.draft, "nobody is asked to merge it: {pull:#?}");
    world.assert_quiet().await;
    // A person who means it publishes it; then it goes its usual way.
    let reviewer = world.universe.reviewer.clone();
    world.universe.emulator.set_draft(pull.id, false, &reviewer).unwrap();
    world.until_green().await;
    world.assert_once(item);
}

/// A world with a second agent that plays this script.
async fn reviewed(agent: &str, reviewer: &str) -> (World, i64) {
    let mut world = World::new().await;
    world.agent(&format!("echo \"$ROUNDSMAN_CALL\" >> \"$WORLD/calls\"; {agent}"));
    let place = world.home().join("reviewer.sh");
    let script = format!(
        "WORLD='{}'; echo \"$ROUNDSMAN_CALL\" >> \"$WORLD/calls\"; cat > \"$WORLD/asked\"; {reviewer}\n",
        world.home().display()
    );
    fs::write(&place, script).unwrap();
    world.set("ROUNDSMAN_REVIEWER_AGENT", "command");
    world.set("ROUNDSMAN_REVIEWER_COMMAND", &format!("sh '{}'", place.display()));
    let item = world.ask().await;
    (world, item)
}

#[tokio::test]
async fn a_second_agents_findings_go_to_the_first_once_and_to_people() {
    let (mut world, item) = reviewed(
        &format!("if test $ROUNDSMAN_CALL = repair; then cp \"$ROUNDSMAN_BRIEF\" \"$WORLD/repair\"; echo repaired >> README.md; exit; fi; {GOOD}"),
        "echo evil > evil.txt; git add -A; git commit -qm evil; rm -f \"$ROUNDSMAN_OUT/outcome.json\"; \
         printf 'findings\\n\\n- README.md: the line lacks a dot. Fixes #1\\n' > \"$ROUNDSMAN_OUT/review.md\"",
    )
    .await;
    let pull = world.until_green().await;
    assert_eq!(calls(&world), "implement\nreview\nrepair\n");
    let question = fs::read_to_string(world.home().join("asked")).unwrap();
    assert!(
        question.contains("+A line.") && question.contains("hard of hearing"),
        "the change and the task: {question}"
    );
    let repair = fs::read_to_string(world.home().join("repair")).unwrap();
    assert!(repair.contains("the line lacks a dot"), "{repair}");
    let shown = world.universe.emulator.pull_request(pull).unwrap();
    assert!(shown.description.contains("A second agent (command) had findings"), "{}", shown.description);
    assert!(shown.description.contains("Fixes # 1"), "{}", shown.description);
    let emulator = &world.universe.emulator;
    assert!(emulator.file(&world.universe.repository, &shown.source, "evil.txt").is_none(), "it only reads");
    let readme = emulator.file(&world.universe.repository, &shown.source, "README.md").unwrap();
    assert!(String::from_utf8(readme).unwrap().ends_with("repaired\n"));
    world.assert_once(item);
}

#[tokio::test]
async fn a_second_agent_that_fails_or_approves_holds_nothing_up() {
    for (script, told) in [
        ("echo approve > \"$ROUNDSMAN_OUT/review.md\"", "reviewed the change and had no objection"),
        ("exit 3", "nothing came of it"),
    ] {
        let (mut world, item) = reviewed(GOOD, script).await;
        let pull = world.until_green().await;
        assert_eq!(calls(&world), "implement\nreview\n");
        let shown = world.universe.emulator.pull_request(pull).unwrap();
        assert!(shown.description.contains(told), "{}", shown.description);
        world.assert_once(item);
    }
}

const PROPOSES: &str = "mkdir -p \"$ROUNDSMAN_OUT/proposals\"; cd \"$ROUNDSMAN_OUT/proposals\"\n\
     printf '# Greet in French\\n\\nSee bin/greet. Fixes #1 <img src=x>\\n' > a.md; printf 'Greet in French\\n' > b.md\n\
     printf 'Speed up\\n' > c.md; printf 'Too many\\n' > d.md; cd - > /dev/null";

fn proposed(world: &World, item: i64) -> Vec<ItemSnapshot> {
    let others = world.universe.emulator.items().into_iter().filter(|other| other.id != item);
    others.collect()
}

async fn proposing(most: &str, fault: Option<Fault>) -> (World, i64) {
    let mut world = World::new().await;
    world.set("ROUNDSMAN_POLICY_PROPOSALS", most);
    world.agent(&format!("cp \"$ROUNDSMAN_BRIEF\" \"$WORLD/brief\"; {PROPOSES}; {GOOD}"));
    let item = world.ask().await;
    if let Some(fault) = fault {
        world.universe.emulator.fault(fault);
    }
    world.until_green().await;
    assert_eq!(world.universe.emulator.faults_waiting(), 0, "the fault struck");
    world.assert_quiet().await;
    world.assert_once(item);
    (world, item)
}

#[tokio::test]
async fn proposals_become_related_items_without_a_label() {
    let (world, item) = proposing("2", None).await;
    let made = proposed(&world, item);
    let titles: Vec<&str> = made.iter().map(|item| item.title.as_str()).collect();
    assert_eq!(titles, ["Greet in French", "Speed up"], "capped, and each title once");
    for one in &made {
        assert!(one.tags.is_empty() && one.category == "Proposed", "{one:#?}");
        let relates = |(rel, url): &(String, String)| {
            rel == "System.LinkTypes.Related" && url.ends_with(&format!("/{item}"))
        };
        assert!(one.relations.iter().any(relates), "{one:#?}");
    }
    let text = made[0].fields["System.Description"].as_str().unwrap();
    assert!(text.contains("Proposed by an agent") && text.contains("Fixes # 1 [picture]"), "{text}");
    let brief = fs::read_to_string(world.home().join("brief")).unwrap();
    assert!(brief.contains("proposals/<name>.md"), "{brief}");
}

#[tokio::test]
async fn nothing_is_proposed_where_nobody_asked_for_it() {
    let (world, item) = proposing("0", None).await;
    assert!(proposed(&world, item).is_empty());
    assert!(!fs::read_to_string(world.home().join("brief")).unwrap().contains("proposals"));
}

#[tokio::test]
async fn a_proposal_is_made_once_whatever_becomes_of_an_answer() {
    for fault in [
        Fault::on("work item: create").answer_lost(),
        Fault::on("work item: create").skip(1).answer_lost(),
        Fault::on("work item: create").lost(),
        Fault::on("work item: create").unavailable(),
        // Both are there, and then the run has to come back: as after a crash.
        Fault::on("pull request: create").lost(),
        Fault::on("pull request: create").answer_lost(),
    ] {
        let (world, item) = proposing("3", Some(fault.clone())).await;
        let titles: Vec<String> = proposed(&world, item).into_iter().map(|item| item.title).collect();
        assert_eq!(titles, ["Greet in French", "Speed up", "Too many"], "{fault:?}");
    }
}

/// No value of a secret is in anything that we send, whatever an agent writes of it.
#[tokio::test]
async fn no_credential_is_in_any_body_that_is_sent() {
    const KEY: &str = "canary-model-key-0123456789-canary";
    const FEED: &str = "canary-feed-password-0123456789";
    const BELL: &str = "canary-bell-secret-0123456789";
    let mut world = World::new().await;
    world.set("ROUNDSMAN_POLICY_PROPOSALS", "1");
    world.set("ROUNDSMAN_AGENT_ENVIRONMENT", "MODEL_API_KEY");
    world.set("MODEL_API_KEY", KEY);
    world.set("ROUNDSMAN_AGENT_CHECKS_ENVIRONMENT", "FEED_PASSWORD");
    world.set("FEED_PASSWORD", FEED);
    world.set("ROUNDSMAN_DOORBELL_WEBHOOK", "http://127.0.0.1:9/hooks/canary-hook-0123456789");
    world.set("ROUNDSMAN_DOORBELL_SECRET", BELL);
    world.agent(&format!(
        "mkdir -p \"$ROUNDSMAN_OUT/proposals\" \"$ROUNDSMAN_OUT/replies\"\n\
         for text in plan.md pr.md title.txt proposals/a.md replies/1.md; do echo \"key $MODEL_API_KEY\" > \"$ROUNDSMAN_OUT/$text\"; done\n\
         printf '{{\"outcome\":\"done\",\"summary\":\"Used %s.\"}}' \"$MODEL_API_KEY\" > \"$ROUNDSMAN_OUT/outcome.json\"\n\
         if test $ROUNDSMAN_TURN_KIND = respond; then echo \"Is it $MODEL_API_KEY?\" > \"$ROUNDSMAN_OUT/question.md\"; exit; fi; {GOOD}"
    ));
    let item = world.ask().await;
    let pull = world.until_green().await;
    let reviewer = world.universe.reviewer.clone();
    world.universe.emulator.comment_pull_request(pull, "Why?", None, &reviewer).unwrap();
    let told = world.until_handed(item).await;
    assert!(told.contains("Is it [redacted]?"), "{told}");
    let sent = world.sent();
    // The search reaches what matters: bodies of ours, with what the agent wrote.
    for found in ["key [redacted]", "proposed while working on it", "this run needs a person"] {
        assert!(sent.contains(found), "{found} was not sent");
    }
    for secret in [KEY, FEED, BELL, "canary-hook-0123456789", &world.universe.token] {
        let line = sent
            .lines()
            .find(|line| line.contains(secret))
            .map(|line| line.chars().take(300).collect::<String>());
        assert_eq!(line, None);
    }
}

/// A token without the scope for test results.
fn nobody_may_count(world: &World) {
    let json = [("Content-Type", "application/json")];
    let refused = r#"{"message":"VS800075: No permission.","typeKey":"UnauthorizedRequestException"}"#;
    world.universe.emulator.fault(Fault::on_path("_apis/test").times(9_999).answer(403, &json, refused));
}

#[tokio::test]
async fn h08_files_of_tests_that_go_are_seen_where_nobody_may_count_tests() {
    let (mut world, item) = super::checks::after_a_fix_that("rm tests/c.case").await;
    nobody_may_count(&world);
    let told = world.until_handed(item).await;
    assert!(told.contains("files of tests are gone: tests/c.case"), "{told}");
    let (mut world, _) = super::checks::after_a_fix_that("echo good > tests/c.case").await;
    nobody_may_count(&world);
    world.until_green().await;
    assert!(
        matches!(world.stage().await, roundsman::domain::Stage::InReview { .. }),
        "no count is no suspicion"
    );
}

/// Everything below a folder that keeps what we remember: files whose name begins so.
fn remembered(world: &World) -> String {
    let store = world.settings().store.path;
    let parts = ["", "-wal"].map(|end| fs::read(format!("{}{end}", store.display())).unwrap_or_default());
    parts.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
}

/// What has the shape of a secret goes no further, wherever it comes from: a title, a build's log, a failed test, an agent.
#[tokio::test]
async fn no_secret_of_a_known_shape_is_repeated() {
    const GITHUB: &str = "ghp_canary0123456789abcdefghijklmnopqrstuv";
    const SIGNED: &str = "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOiIxMjM0NTY3.Y2FuYXJ5Y2FuYXJ5";
    const KEY: &str = "Y2FuYXJ5cGVtY2FuYXJ5cGVtY2FuYXJ5cGVt";
    let mut world = World::new().await;
    let token = world.universe.token.clone();
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("ci:{token}"));
    let pem = format!("-----BEGIN RSA PRIVATE KEY-----\n{KEY}\n-----END RSA PRIVATE KEY-----");
    fs::write(
        world.home().join("secrets"),
        format!("{GITHUB}\n{SIGNED}\n{pem}\n{token}\nBasic {basic}\n{basic}\n"),
    )
    .unwrap();
    let bell = wiremock::MockServer::start().await;
    wiremock::Mock::given(wiremock::matchers::any())
        .respond_with(wiremock::ResponseTemplate::new(200))
        .mount(&bell)
        .await;
    world.set("ROUNDSMAN_DOORBELL_WEBHOOK", &bell.uri());
    world.set("ROUNDSMAN_LOG_LEVEL", "debug");
    let tests = format!(
        "cat '{0}/secrets'; if ! test -e '{0}/mended'; then echo '##[error]1 test failed: {GITHUB} {token}'; \
         echo '##[test]failed Shop.Basket: boom {SIGNED} {token}'; exit 1; fi; echo '##[test]passed Shop.Basket'",
        world.home().display()
    );
    world.universe.emulator.set_pipeline_command(world.universe.pipeline, &["sh", "-c", &tests]);
    world.agent(&format!(
        "cp \"$ROUNDSMAN_BRIEF\" \"$WORLD/brief\"; cat \"$WORLD/secrets\"; S=$(cat \"$WORLD/secrets\")\n\
         if test $ROUNDSMAN_TURN_KIND != implement; then echo \"Is it $S?\" > \"$ROUNDSMAN_OUT/question.md\"; exit; fi\n\
         printf 'Found\\n%s\\n' \"$S\" > \"$ROUNDSMAN_OUT/pr.md\"; {GOOD}"
    ));
    let _ = world.tick().await;
    let new = roundsman::emulator::NewItem::story(&format!("Greet {GITHUB}"))
        .tagged(&["ready-for-agent"])
        .described(&format!("<p>Greet with {token} or {basic}.</p>"));
    let owner = world.universe.owner.clone();
    let item = world.universe.emulator.file_item("Fabrikam", &new, &owner).unwrap();
    let told = world.until_handed(item).await;
    assert!(told.contains("[redacted]"), "{told}");
    let ended = world.program("roundsman-watcher", &[]).await;

    // The brief is the agent's own; what a log or a test said stands there without its secrets.
    let brief = fs::read_to_string(world.home().join("brief")).unwrap();
    assert!(brief.contains("Shop.Basket") && brief.contains("boom [redacted]"), "{brief}");
    let said = |line: &str| -> String {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let from_us = line["url"].as_str().is_some_and(|url| url.contains("/_apis/"));
        if from_us { format!("{} {}", line["url"], line["request_body"]) } else { String::new() }
    };
    let sent: Vec<String> = world.sent().lines().map(said).collect();
    let rung: Vec<String> = bell
        .received_requests()
        .await
        .unwrap()
        .iter()
        .map(|one| String::from_utf8_lossy(&one.body).into())
        .collect();
    assert!(sent.iter().any(|text| text.contains("this run needs a person")) && !rung.is_empty());
    let middle = &basic[12..basic.len() - 12];
    for secret in [GITHUB, SIGNED, KEY, &token, middle] {
        for (place, texts) in [
            ("sent", sent.clone()),
            ("rung", rung.clone()),
            ("logged", vec![ended.log.clone(), ended.out.clone()]),
            ("remembered", vec![remembered(&world)]),
        ] {
            let found = texts.iter().find(|text| text.contains(secret));
            let shown = found.map(|text| {
                let at = text.find(secret).unwrap_or_default();
                let from = text[..at].char_indices().rev().nth(200).map_or(0, |(at, _)| at);
                text[from..].chars().take(300).collect::<String>()
            });
            assert_eq!(shown, None, "{place}");
        }
    }
}
