//! Telling people and being looked at: doorbells, metrics, logs, records. None of them may cost a run anything.

use crate::{
    stories::cost::in_review,
    world::{
        Memory, World,
        harsh::{Program, pause},
    },
};
use jiff::SignedDuration;
use roundsman::decide::record::Record;
use serde_json::Value;
use std::{fs, io::Write, process::Stdio, time::Duration};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

async fn receiver(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

async fn heard(server: &MockServer) -> Vec<Value> {
    let posts = server.received_requests().await.unwrap();
    posts.iter().map(|post| post.body_json().unwrap()).collect()
}

#[tokio::test]
async fn n01_a_receiver_that_is_down_costs_a_later_try_and_no_run() {
    let mut world = World::new().await;
    let webhook = receiver(ResponseTemplate::new(503)).await;
    let ntfy = receiver(ResponseTemplate::new(200)).await;
    world.set("ROUNDSMAN_DOORBELL_WEBHOOK", &webhook.uri());
    world.set("ROUNDSMAN_DOORBELL_NTFY", &format!("{}/agents", ntfy.uri()));
    world.set("ROUNDSMAN_DOORBELL_NTFY_EVENTS", "needs-human");
    world.agent("echo 'Which greeting?' > \"$ROUNDSMAN_OUT/question.md\"");
    let item = world.ask().await;
    world.until_handed(item).await;
    // Who is up was told at once, and once.
    let told = ntfy.received_requests().await.unwrap();
    assert_eq!(told[0].headers["priority"].to_str().unwrap(), "high");
    // There is no pull request yet: whoever is called finds the work item.
    let page =
        format!("{}/Fabrikam/_workitems/edit/{item}", world.vars["ROUNDSMAN_ADO_URL"].trim_end_matches('/'));
    assert_eq!(heard(&webhook).await[0]["link"], page.as_str());
    assert_eq!(told[0].headers["click"].to_str().unwrap(), page);
    if Memory::chosen() != Memory::Sqlite {
        // That it was told, and what is to be told later, has to be remembered: a lost memory may cost a repeated
        // ring, and the work item's mention is there all the same.
        return;
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(heard(&webhook).await.len(), 1, "not again in the next ticks");
    webhook.reset().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&webhook).await;
    world.passes(SignedDuration::from_mins(2));
    for _ in 0..3 {
        let _ = world.tick().await;
    }
    let told = heard(&webhook).await;
    assert_eq!(told.len(), 1, "{told:#?}");
    let key = told[0]["key"].as_str().unwrap();
    let run = world.run().await.id.to_string();
    assert!(key.starts_with(&format!("{run}/needs-human@")), "run and transition: {key}");
    assert_eq!((&told[0]["kind"], &told[0]["attempts"]), (&"needs-human".into(), &1.into()));
    assert_eq!(ntfy.received_requests().await.unwrap().len(), 1);
}

/// A run that asks and is then done: who asked for the one hears nothing of the other.
#[tokio::test]
async fn a_receiver_with_a_filter_hears_nothing_else() {
    let mut world = World::new().await;
    let (all, done) =
        (receiver(ResponseTemplate::new(200)).await, receiver(ResponseTemplate::new(200)).await);
    world.set("ROUNDSMAN_DOORBELL_WEBHOOK", &all.uri());
    world.set("ROUNDSMAN_DOORBELL_NTFY", &format!("{}/agents", done.uri()));
    world.set("ROUNDSMAN_DOORBELL_NTFY_EVENTS", "done");
    world.agent("echo 'Which greeting?' > \"$ROUNDSMAN_OUT/question.md\"");
    let item = world.ask().await;
    world.until_handed(item).await;
    let told = heard(&all).await;
    assert!(told.iter().any(|post| post["kind"] == "needs-human"), "it did occur: {told:#?}");
    assert_eq!(done.received_requests().await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n02_a_ring_that_was_heard_and_not_noted_comes_again_under_the_same_key() {
    let mut world = World::new().await;
    if !world.keeps_a_file("what is still to be rung is kept in the file") {
        return;
    }
    let webhook = receiver(ResponseTemplate::new(200).set_delay(Duration::from_mins(1))).await;
    world.set("ROUNDSMAN_DOORBELL_WEBHOOK", &webhook.uri());
    world.agent("echo 'Which greeting?' > \"$ROUNDSMAN_OUT/question.md\"");
    let item = world.ask().await;
    let mut is_killed = false;
    for _ in 0..400 {
        let _ = world.poll().await;
        let mut watcher = world.start(Program::Watcher);
        while !watcher.is_over() {
            if !heard(&webhook).await.is_empty() {
                is_killed = watcher.kill();
            }
            pause(5).await;
        }
        if is_killed {
            break;
        }
        pause(30).await;
    }
    let first = heard(&webhook).await;
    assert!(is_killed && first.len() == 1, "it died right after it rang: {first:#?}");
    webhook.reset().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&webhook).await;
    for _ in 0..3 {
        world.passes(SignedDuration::from_mins(2));
        let _ = world.tick().await;
    }
    let again = heard(&webhook).await;
    assert_eq!(again.len(), 1, "once more, and then it is noted: {again:#?}");
    assert_eq!(again[0]["key"], first[0]["key"], "by which whoever listens knows it");
    world.assert_once(item);
}

#[tokio::test]
async fn n03_a_storm_of_one_cause_is_one_message() {
    const RUNS: usize = 6;
    let mut world = World::new().await;
    let webhook = receiver(ResponseTemplate::new(200)).await;
    let slack = receiver(ResponseTemplate::new(200)).await;
    world.set("ROUNDSMAN_DOORBELL_WEBHOOK", &webhook.uri());
    world.set("ROUNDSMAN_DOORBELL_SLACK", &slack.uri());
    for _ in 0..RUNS {
        world.universe.emulator.force_next_result(world.universe.pipeline, "succeeded");
    }
    let app = world.app().await;
    for _ in 0..RUNS {
        in_review(&world, &app).await;
    }
    world.universe.emulator.idle().await;
    world.universe.emulator.settle();
    // From now on nobody may take any time for a review: the same reason for all, in the same tick.
    world.set("ROUNDSMAN_POLICY_REVIEW_LIMIT", "0");
    let report = world.tick().await;
    let asked = report.lines.iter().filter(|line| line.stage == Some("escalated")).count();
    assert_eq!(asked, RUNS, "{report:#?}");
    let told = heard(&webhook).await;
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0]["count"], RUNS);
    assert_eq!(
        (told[0]["cause"].as_str(), told[0]["reason"].as_str()),
        (Some("reason"), Some("nobody-reviews"))
    );
    assert_eq!(told[0]["rings"].as_array().map(Vec::len), Some(RUNS));
    assert_eq!(heard(&slack).await.len(), 1);
    assert_eq!(report.rings.delivered as usize, 2 * RUNS);
    let _ = world.tick().await;
    // Who forgot that it was told may tell it again, as one message again.
    let most = if Memory::chosen() == Memory::Sqlite { 1 } else { 2 };
    assert!(heard(&webhook).await.len() <= most, "{:#?}", heard(&webhook).await);
}

#[tokio::test]
async fn n04_metrics_are_left_where_they_can_be_and_missed_where_not() {
    let mut world = World::new().await;
    let metrics = world.home().join("metrics");
    world.set("ROUNDSMAN_METRICS_DIR", &metrics.display().to_string());
    let ended = world.program("roundsman-watcher", &[]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(ended.log.contains("the metrics were not written"), "{ended:#?}");
    fs::create_dir(&metrics).unwrap();
    for program in ["watcher", "poller"] {
        let ended = world.program(&format!("roundsman-{program}"), &[]).await;
        assert_eq!(ended.code, 0, "{ended:#?}");
        let text = fs::read_to_string(metrics.join(format!("roundsman-{program}.prom"))).unwrap();
        let row = format!("roundsman_exit_code{{program=\"{program}\"}} 0");
        assert!(text.lines().any(|line| line == row), "{text}");
    }
}

#[tokio::test]
async fn n05_a_log_that_nobody_reads_holds_up_nothing() {
    let world = World::new().await;
    // A pipe that is full to the brim, and whose reader is there and does not read.
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    for size in [4096, 1] {
        while writer.write(&vec![b'x'; size]).is_ok() {}
    }
    rustix::fs::fcntl_setfl(&writer, flags).unwrap();
    let _ = world.universe.file_item(&["ready-for-agent"]).unwrap();
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_roundsman-watcher"));
    program
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs(world.vars.clone())
        .env("ROUNDSMAN_LOG_LEVEL", "trace")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(writer))
        .kill_on_drop(true);
    let mut child = program.spawn().unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), child.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(0));
    drop(reader);
}

#[tokio::test]
async fn n06_nothing_is_claimed_that_nobody_would_watch() {
    let mut world = World::new().await;
    // Signs of life are kept in the file.
    if !world.keeps_a_file("n06") {
        return;
    }
    let item = world.universe.file_item(&["ready-for-agent"]).unwrap();
    let report = world.poll().await;
    assert!(report.held.as_deref().is_some_and(|why| why.contains("no watcher has run yet")), "{report:#?}");
    let ended = world.program("roundsman", &["run", &item.to_string()]).await;
    assert_eq!(ended.code, 1, "an operator is told the same: {ended:#?}");
    assert!(ended.out.contains("no watcher has run yet"), "{ended:#?}");
    let _ = world.tick().await;
    world.passes(SignedDuration::from_hours(2));
    let report = world.poll().await;
    assert!(report.held.as_deref().is_some_and(|why| why.contains("last seen")), "{report:#?}");
    assert_eq!(world.universe.emulator.writes(), 0);
}

#[tokio::test]
async fn n07_an_error_text_with_credentials_is_told_without_them() {
    let mut world = World::new().await;
    let token = world.universe.token.clone();
    let message =
        format!("TF400813: token {token} of https://someone:{token}@dev.azure.com/acme is not authorized");
    let body = serde_json::json!({ "message": message, "typeKey": "UnauthorizedRequestException" });
    let service = receiver(ResponseTemplate::new(403).set_body_json(body)).await;
    world.set("ROUNDSMAN_ADO_URL", &format!("{}/acme", service.uri()));
    let ended = world.program("roundsman-watcher", &["--json"]).await;
    assert_ne!(ended.code, 0, "{ended:#?}");
    let told = format!("{}{}", ended.out, ended.log);
    assert!(told.contains("TF400813"), "{told}");
    assert!(!told.contains(&token), "{told}");
}

#[tokio::test]
async fn an_operator_claims_one_item_and_no_other() {
    let mut world = World::new().await;
    world.agent("printf 'A line.\\n' >> README.md; echo changed");
    let other = world.ask().await;
    let wanted = world.universe.file_item(&["ready-for-agent"]).unwrap();
    let ended = world.program("roundsman", &["run", &wanted.to_string(), "--json"]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert_eq!((&ended.json()["what"], &ended.json()["item"]), (&"claimed".into(), &wanted.into()));
    assert!(world.tags(wanted).iter().any(|tag| tag == "agent-in-progress"));
    assert!(world.tags(other).iter().all(|tag| tag == "ready-for-agent"), "{:?}", world.tags(other));
    let ended = world.program("roundsman", &["run", &wanted.to_string()]).await;
    assert_eq!(ended.code, 1, "it has a run: {ended:#?}");
    assert!(ended.out.contains("refused: a run has it already"), "{ended:#?}");
    assert_eq!(world.program("roundsman", &["run", "4711-r12"]).await.code, 2);
}

#[tokio::test]
async fn what_was_recorded_is_decided_again() {
    let mut world = World::new().await;
    let record = world.home().join("record.jsonl");
    let path = record.display().to_string();
    world.set("ROUNDSMAN_RECORD_FILE", &path);
    world.agent("printf 'A line.\\n' >> README.md; echo changed");
    let _ = world.ask().await;
    world.until_green().await;
    let text = fs::read_to_string(&record).unwrap();
    assert!(text.lines().count() > 5 && !text.contains(&world.universe.token), "{text}");
    let ended = world.program("roundsman", &["replay", &path]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(ended.out.contains(", 0 different, 0 unreadable"), "{ended:#?}");
    let ended = world.program("roundsman", &["replay", &path, "--explain"]).await;
    assert!(ended.out.contains("the kill switch") && ended.out.contains("→ 17"), "{ended:#?}");

    // Another world than the one that was decided about: the brake was on.
    fs::write(&record, text.replacen("\"brake\":\"Off\"", "\"brake\":\"On\"", 1)).unwrap();
    let ended = world.program("roundsman", &["replay", &path, "--json"]).await;
    assert_eq!((ended.code, &ended.json()["different"]), (1, &1.into()), "{ended:#?}");
    fs::write(&record, "{\"schema\":9}\n{}\n").unwrap();
    let ended = world.program("roundsman", &["replay", &path]).await;
    assert_eq!(ended.code, 1, "{ended:#?}");
    assert!(ended.out.contains("upgrade roundsman") && ended.out.contains("2 unreadable"), "{ended:#?}");
    assert_eq!(world.program("roundsman", &["replay", "/nowhere"]).await.code, 2);
}

#[tokio::test]
async fn explaining_shows_the_way_through_ladder_or_gates() {
    let mut world = World::new().await;
    world.agent("printf 'A line.\\n' >> README.md; echo changed");
    let refused = world.universe.file_item(&["ready-for-agent", "agent-paused"]).unwrap();
    let ended = world.program("roundsman", &["explain", &refused.to_string()]).await;
    assert!(ended.out.starts_with("refused: it is paused by label"), "{ended:#?}");
    // A title says what an open gate means, and the word after it whether it is: nobody reads the opposite.
    assert!(ended.out.contains("   4  not stopped by label       open no agent-stop\n"), "{ended:#?}");
    assert!(
        ended.out.contains("→  5  not paused by label        shut it is paused by label\n"),
        "{ended:#?}"
    );
    assert!(!ended.out.contains(" yes") && !ended.out.contains(" no  "), "{ended:#?}");
    let ended = world.program("roundsman", &["explain", &refused.to_string(), "--json"]).await;
    let way = ended.json()["way"].clone();
    assert_eq!(
        (&way[3]["is"], &way[4]["is"], &way[5]["is"]),
        (&"open".into(), &"shut".into(), &"not-reached".into())
    );
    let _ = world.ask().await;
    world.until_green().await;
    let run = world.run().await.id.to_string();
    let ended = world.program("roundsman", &["explain", &run]).await;
    assert!(ended.out.contains("→ 17  all good"), "{ended:#?}");
    assert!(ended.out.contains("  2  merged"), "{ended:#?}");
    let ended = world.program("roundsman", &["explain", &run, "--json"]).await;
    let way = ended.json()["way"].as_array().unwrap().clone();
    assert_eq!(way.iter().filter(|rung| rung["is"] == "decided").count(), 1, "{way:#?}");
}

/// It promises a claim only where the next poll would make one.
#[tokio::test]
async fn explaining_an_item_asks_whatever_a_poll_asks() {
    let mut world = World::new().await;
    let item = world.universe.file_item(&["ready-for-agent"]).unwrap().to_string();
    let explain = async |world: &World| world.program("roundsman", &["explain", &item]).await;
    if Memory::chosen() != Memory::Labels {
        let ended = explain(&world).await;
        assert!(ended.out.starts_with("refused: nothing is claimed: no watcher has run yet"), "{ended:#?}");
        assert!(
            ended.out.contains("  10  they are trusted           open "),
            "the item itself is fine: {ended:#?}"
        );
    }
    let _ = world.tick().await;
    let ended = explain(&world).await;
    assert!(ended.out.starts_with("would-claim: "), "{ended:#?}");
    let all = world.vars.clone();
    world.set("ROUNDSMAN_INTAKE_PROJECTS", "Elsewhere");
    let ended = explain(&world).await;
    let told = "refused: Fabrikam is not among ROUNDSMAN_INTAKE_PROJECTS";
    assert!(ended.out.starts_with(told), "{ended:#?}");
    world.vars = all;
    world.set("ROUNDSMAN_RUNTIME_WORKER", "/nowhere/roundsman-worker");
    let ended = explain(&world).await;
    assert!(ended.out.starts_with("refused: nothing is claimed: "), "{ended:#?}");
}

/// What was recorded once is decided the same way for ever, or somebody says here why not.
#[test]
fn recorded_decisions_are_decided_again_by_every_later_version() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/records");
    let mut count = 0;
    for file in fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "jsonl") {
            continue;
        }
        for line in fs::read_to_string(&path).unwrap().lines() {
            let record: Record = serde_json::from_str(line).unwrap();
            assert_eq!(record.again().to_string(), record.decision.sentence, "{}: {line}", path.display());
            count += 1;
        }
    }
    assert!(count > 5, "{count} decisions");
}
