//! What hangs on the work item when people are asked: the evidence as one file, where the operator wants it.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::{
    World,
    harsh::{Program, pause},
};
use roundsman::emulator::{Fault, FileSnapshot};
use std::{fs, time::Duration};

/// Prints something, and cannot go on without a person.
const ASKS: &str =
    "echo 'I looked at every file.'; echo 'Which of the two?' > \"$ROUNDSMAN_OUT/question.md\"";
const UPLOAD: &str = "attachment: upload";
const UPDATE: &str = "work item: update";

/// A world whose agent is at work on an item and waits for [`goes_on`].
async fn at_work(world: &mut World, script: &str) -> i64 {
    world.set("ROUNDSMAN_POLICY_ATTACH_EVIDENCE", "yes");
    world.agent(&format!("while ! test -e \"$WORLD/on\"; do sleep 0.02; done\n{script}"));
    let item = world.ask().await;
    world.go(|world| world.tags(item).contains(&"agent-in-progress".to_owned())).await;
    item
}

fn goes_on(world: &World) {
    fs::write(world.home().join("on"), "").unwrap();
}

fn files(world: &World, item: i64) -> Vec<FileSnapshot> {
    world.universe.emulator.item(item).unwrap().files
}

fn calls(world: &World, operation: &str) -> usize {
    world.universe.emulator.request_log().iter().filter(|call| call.operation == operation).count()
}

/// The one file, and that the comment names it.
fn attached(world: &World, item: i64, told: &str) -> String {
    let files = files(world, item);
    assert_eq!(files.len(), 1, "{files:#?}");
    assert!(files[0].name.starts_with(&format!("roundsman-{item}-r")), "{}", files[0].name);
    assert!(files[0].name.ends_with("-t01.txt"), "{}", files[0].name);
    assert!(told.contains(&format!("evidence: attached as {}", files[0].name)), "{told}");
    String::from_utf8(files[0].bytes.clone()).unwrap()
}

#[tokio::test]
async fn evidence_hangs_on_the_item_when_people_are_asked() {
    let mut world = World::new().await;
    let item = at_work(&mut world, ASKS).await;
    goes_on(&world);
    let told = world.until_handed(item).await;
    let text = attached(&world, item, &told);
    for found in ["I looked at every file.", "t01/evidence/01-implement.log", "turn 1, implement"] {
        assert!(text.contains(found), "{found}: {text}");
    }
    assert_eq!(calls(&world, UPLOAD), 1);
    // Asked about another turn: another file beside the first.
    world.universe.emulator.tag(item, "ready-for-agent", &world.universe.owner.clone()).unwrap();
    world.go(|world| files(world, item).len() == 2).await;
    let names: Vec<String> = files(&world, item).into_iter().map(|file| file.name).collect();
    assert!(names[1].ends_with("-t02.txt"), "{names:?}");
    let newest = String::from_utf8(files(&world, item)[1].bytes.clone()).unwrap();
    assert!(newest.find("t02/evidence").unwrap() < newest.find("t01/evidence").unwrap(), "newest first");
    world.assert_quiet().await;
    assert_eq!(calls(&world, UPLOAD), 2);
}

#[tokio::test]
async fn nothing_is_uploaded_unless_the_operator_wants_it() {
    let mut world = World::new().await;
    let item = at_work(&mut world, ASKS).await;
    world.vars.remove("ROUNDSMAN_POLICY_ATTACH_EVIDENCE");
    goes_on(&world);
    let told = world.until_handed(item).await;
    assert!(told.contains("evidence: the operator's <code>roundsman show"), "{told}");
    assert_eq!((calls(&world, UPLOAD), files(&world, item)), (0, Vec::new()));
}

#[tokio::test]
async fn whatever_is_lost_on_the_way_one_file_hangs_there() {
    let faults = [
        ("the upload was lost", Fault::on(UPLOAD).lost(), 2),
        ("its answer was lost", Fault::on(UPLOAD).answer_lost(), 2),
        ("it was refused for now", Fault::on(UPLOAD).unavailable(), 2),
        ("the write was lost", Fault::on(UPDATE).lost(), 1),
        ("its answer was lost, too", Fault::on(UPDATE).answer_lost(), 1),
    ];
    for (what, fault, uploads) in faults {
        let mut world = World::new().await;
        let item = at_work(&mut world, ASKS).await;
        world.universe.emulator.fault(fault);
        goes_on(&world);
        let told = world.until_handed(item).await;
        assert_eq!(world.universe.emulator.faults_waiting(), 0, "{what}");
        assert!(attached(&world, item, &told).contains("I looked at every file."), "{what}");
        assert_eq!(calls(&world, UPLOAD), uploads, "{what}");
    }
}

#[tokio::test]
async fn somebody_saves_the_item_between_upload_and_link() {
    let mut world = World::new().await;
    let item = at_work(&mut world, ASKS).await;
    let owner = world.universe.owner.clone();
    world.universe.emulator.race_next_save(item, &owner);
    goes_on(&world);
    let told = world.until_handed(item).await;
    attached(&world, item, &told);
    assert_eq!(calls(&world, UPLOAD), 1);
}

/// Whoever may write on the item may also hang up a file of our name; it does not stand for ours.
#[tokio::test]
async fn somebody_elses_file_of_our_name_keeps_ours_from_nobody() {
    let mut world = World::new().await;
    let item = at_work(&mut world, ASKS).await;
    let name = format!("roundsman-{}-t01.txt", world.run().await.id);
    let stranger = world.universe.reviewer.clone();
    world.universe.emulator.attach(item, &name, b"All is well.", &stranger).unwrap();
    goes_on(&world);
    let told = world.until_handed(item).await;
    assert!(told.contains(&format!("evidence: attached as {name}")), "{told}");
    let files = files(&world, item);
    assert!(files.iter().all(|file| file.name == name), "{files:#?}");
    assert_eq!(files.len(), 2, "{files:#?}");
    assert!(String::from_utf8_lossy(&files[1].bytes).contains("I looked at every file."));
}

/// People let it go on, and there is nothing that another turn may do: the file of the turn hangs there already.
#[tokio::test]
async fn asked_again_about_the_same_turn_hangs_up_nothing_new() {
    let mut world = World::new().await;
    world.set("ROUNDSMAN_POLICY_FIX_FORWARD_ATTEMPTS", "0");
    world.universe.emulator.force_next_result(world.universe.pipeline, "failed");
    let item = at_work(&mut world, "printf 'A line.\\n' >> README.md").await;
    goes_on(&world);
    let told = world.until_handed(item).await;
    attached(&world, item, &told);
    world.universe.emulator.tag(item, "ready-for-agent", &world.universe.owner.clone()).unwrap();
    let asked = |world: &World| {
        world.comments(item).iter().filter(|text| text.contains("this run needs a person")).count()
    };
    world.go(|world| asked(world) == 2).await;
    world.assert_quiet().await;
    let told = world.comments(item).pop().unwrap();
    assert_eq!(world.run().await.turns.len(), 1, "{told}");
    attached(&world, item, &told);
    assert_eq!(calls(&world, UPLOAD), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_killed_between_upload_and_link_leaves_one_file() {
    let mut world = World::new().await;
    let item = at_work(&mut world, ASKS).await;
    world.universe.emulator.fault(Fault::on(UPDATE).slow(Duration::from_millis(500)));
    goes_on(&world);
    for _ in 0..100 {
        let mut watcher = world.start(Program::Watcher);
        while !watcher.is_over() && calls(&world, UPLOAD) == 0 {
            pause(1).await;
        }
        if calls(&world, UPLOAD) == 1 {
            assert!(watcher.kill(), "it waits for its write");
            break;
        }
    }
    // What it sent may still arrive.
    let told = world.until_handed(item).await;
    attached(&world, item, &told);
}

/// The answer never came, and the request itself arrives when somebody else looks at the item already, or has asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_killed_after_its_link_was_sent_leaves_one_file() {
    for requests_later in [1, 8, 20] {
        let mut world = World::new().await;
        let item = at_work(&mut world, ASKS).await;
        let before = calls(&world, UPDATE);
        world.universe.emulator.fault(Fault::on(UPDATE).late(requests_later));
        goes_on(&world);
        for _ in 0..100 {
            let mut watcher = world.start(Program::Watcher);
            while !watcher.is_over() && calls(&world, UPDATE) == before {
                pause(1).await;
            }
            if calls(&world, UPDATE) > before {
                watcher.kill();
                break;
            }
        }
        // It may hang there before anybody of ours knows; it may arrive after all is said.
        let arrived = |world: &World| {
            let log = world.universe.emulator.request_log();
            log.iter().any(|call| call.fault.as_deref() == Some("arrived late"))
        };
        world.go(|world| arrived(world) && world.tags(item).contains(&"ready-for-human".to_owned())).await;
        let _ = world.tick().await;
        let told = world.until_handed(item).await;
        attached(&world, item, &told);
    }
}

/// With the lock that keeps visits apart, and on a machine that cannot lock: there the item's revision decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_watchers_at_once_leave_one_file() {
    for locks in [true, false] {
        let mut world = World::new().await;
        let item = at_work(&mut world, ASKS).await;
        if !locks {
            let visits = world.settings().state_dir.join("visits");
            fs::remove_dir_all(&visits).unwrap();
            fs::write(&visits, "no directory").unwrap();
        }
        goes_on(&world);
        until_ended(&world).await;
        // Whoever comes second finds the item as the first one found it.
        world.universe.emulator.fault(Fault::on(UPLOAD).slow(Duration::from_millis(500)).times(2));
        let mut both = [world.start(Program::Watcher), world.start(Program::Watcher)];
        for watcher in &mut both {
            watcher.ends().await;
        }
        let told = world.until_handed(item).await;
        attached(&world, item, &told);
        // Without the lock both get that far, unless the second one hears in time that its memory is old.
        let uploads = calls(&world, UPLOAD);
        assert!(uploads == 1 || (!locks && uploads == 2), "locks: {locks}, uploads: {uploads}");
    }
}

/// Until the agent's step has ended; nobody of ours has seen it.
async fn until_ended(world: &World) {
    let status = world.run_dir().await.join("t01/steps/agent/status.json");
    for _ in 0..500 {
        if status.exists() {
            return;
        }
        pause(10).await;
    }
    panic!("the agent has not ended");
}

#[tokio::test]
async fn people_are_asked_without_a_file_that_is_gone() {
    let mut world = World::new().await;
    let item = at_work(&mut world, ASKS).await;
    goes_on(&world);
    until_ended(&world).await;
    fs::remove_dir_all(world.run_dir().await.join("t01/out")).unwrap();
    let told = world.until_handed(item).await;
    assert!(told.contains("evidence: nothing is left that could be attached"), "{told}");
    assert!(told.contains("Which of the two?"), "the question is asked nevertheless: {told}");
    assert_eq!((calls(&world, UPLOAD), files(&world, item)), (0, Vec::new()));
}

#[tokio::test]
async fn people_are_asked_without_a_file_that_is_refused() {
    let refusal = r#"{"message":"TF237082: The file you are trying to upload exceeds the supported file upload size.","typeKey":"AttachmentSizeExceededException"}"#;
    let json = [("content-type", "application/json")];
    for operation in [UPLOAD, UPDATE] {
        let mut world = World::new().await;
        let item = at_work(&mut world, ASKS).await;
        world.universe.emulator.fault(Fault::on(operation).answer(400, &json, refusal));
        goes_on(&world);
        let told = world.until_handed(item).await;
        assert!(
            told.contains("evidence: it could not be attached; the operator's <code>roundsman show"),
            "{told}"
        );
        assert!(told.contains("Which of the two?"), "{told}");
        assert_eq!(files(&world, item), Vec::new());
    }
}

/// Whoever sees the item reads the file: no value of a secret is in it, whatever an agent or a check printed, and also
/// where the worker could not know it.
#[tokio::test]
async fn no_credential_is_in_the_file() {
    const KEY: &str = "canary-model-key-0123456789-canary";
    const FEED: &str = "canary-feed-password-0123456789";
    const BELL: &str = "canary-bell-secret-0123456789";
    const HOOK: &str = "http://127.0.0.1:9/hooks/canary-hook-0123456789";
    let mut world = World::new().await;
    world.set("ROUNDSMAN_AGENT_ENVIRONMENT", "MODEL_API_KEY");
    world.set("MODEL_API_KEY", KEY);
    world.set("ROUNDSMAN_AGENT_CHECKS_ENVIRONMENT", "FEED_PASSWORD");
    world.set("FEED_PASSWORD", FEED);
    world.set("ROUNDSMAN_DOORBELL_WEBHOOK", HOOK);
    world.set("ROUNDSMAN_DOORBELL_SECRET", BELL);
    let token = world.universe.token.clone();
    let printed = [KEY, FEED, BELL, HOOK, token.as_str()];
    let prints: Vec<String> = printed.iter().map(|secret| format!("echo 'it is {secret} here'")).collect();
    let script = format!(
        "{prints}\n( {prints} ) > \"$ROUNDSMAN_OUT/plan.md\"\n( {prints} ) > \"$ROUNDSMAN_OUT/evidence/late.log\"\n{ASKS}",
        prints = prints.join("; "),
    );
    let item = at_work(&mut world, &script).await;
    goes_on(&world);
    let told = world.until_handed(item).await;
    let text = attached(&world, item, &told);
    assert!(text.contains("t01/plan.md") && text.contains("t01/evidence/late.log"), "{text}");
    assert!(text.matches("[redacted]").count() >= 3 * printed.len() - 3, "{text}");
    for secret in printed.into_iter().chain(["canary-hook-0123456789"]) {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}
