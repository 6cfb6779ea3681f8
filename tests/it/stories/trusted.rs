//! Whose words count: people who are trusted only through a group are heard wherever listed people are.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use super::people::GOOD;
use crate::world::{World, line};
use roundsman::{
    domain::{Stage, TurnKind},
    emulator::{Fault, IdentityKind},
};
use std::fs;

/// Keeps every brief; asks once, and works with an answer at hand.
const ASKS: &str = "cp \"$ROUNDSMAN_BRIEF\" \"$WORLD/brief-$(ls \"$WORLD\" | grep -c '^brief-')\"\n\
    if grep -q 'Euro, please' \"$ROUNDSMAN_BRIEF\"; then printf 'A line.\\n' >> README.md; \
    else echo 'Euro or dollar?' > \"$ROUNDSMAN_OUT/question.md\"; fi";

/// Only a group is on the list: owner and reviewer are in it.
async fn grouped(agent: &str) -> World {
    let mut world = World::new().await;
    world.agent(agent);
    let (owner, reviewer) = (world.universe.owner.clone(), world.universe.reviewer.clone());
    let group = world.universe.emulator.create_group("Leads", &[&owner, &reviewer]);
    world.set("ROUNDSMAN_INTAKE_TRUSTED", &format!("group:{}", group.id));
    world
}

fn brief(world: &World, number: usize) -> String {
    fs::read_to_string(world.home().join(format!("brief-{number}"))).unwrap()
}

fn says(world: &World, item: i64, text: &str) -> i64 {
    world.universe.emulator.comment_item(item, &format!("<div>{text}</div>"), &world.universe.owner).unwrap()
}

/// Says it and sees it obeyed: as one answer in the discussion.
async fn obeyed(world: &World, item: i64, text: &str) {
    let key = format!("answers {} ", says(world, item, text));
    for _ in 0..3 {
        let _ = world.tick().await;
    }
    let comments = world.comments(item);
    assert_eq!(comments.iter().filter(|said| said.contains(&key)).count(), 1, "{text}: {comments:#?}");
}

fn is_paused(world: &World, item: i64) -> bool {
    world.tags(item).contains(&"agent-paused".to_owned())
}

#[tokio::test]
async fn whoever_is_trusted_by_a_group_is_heard_in_the_discussion() {
    let mut world = grouped(ASKS).await;
    let item = world.ask().await;
    says(&world, item, "It is for the shop in Porto.");
    world.until_handed(item).await;
    assert!(brief(&world, 0).contains("the shop in Porto"), "{}", brief(&world, 0));
    let emulator = world.universe.emulator.clone();
    let stranger = emulator.create_identity("M", "m@fabrikam.example", IdentityKind::Person);
    emulator.comment_item(item, "<div>Dollar.</div>", &stranger).unwrap();
    world.assert_quiet().await;
    says(&world, item, "Euro, please.");
    let pull = world.until_green().await;
    let told = brief(&world, 1);
    assert!(told.contains("Euro, please") && told.contains("Product owner (may ask)"), "{told}");
    assert!(!told.contains("Dollar."), "{told}");

    obeyed(&world, item, "/agent pause").await;
    assert!(is_paused(&world, item));
    obeyed(&world, item, "/agent resume").await;
    assert!(!is_paused(&world, item));
    let reviewer = world.universe.reviewer.clone();
    for (command, holds) in [("/agent pause", true), ("/agent resume", false)] {
        emulator.comment_pull_request(pull, command, None, &reviewer).unwrap();
        for _ in 0..3 {
            let _ = world.tick().await;
        }
        assert_eq!(is_paused(&world, item), holds, "{command} in a thread");
    }
    assert_eq!(world.run().await.turns.len(), 2, "commands are no review");
    world.assert_quiet().await;
    world.assert_once(item);
}

#[tokio::test]
async fn whoever_is_trusted_by_a_group_lets_a_run_go_on_by_label() {
    let mut world = grouped(ASKS).await;
    let item = world.ask().await;
    world.until_handed(item).await;
    world.agent(GOOD);
    let emulator = world.universe.emulator.clone();
    let stranger = emulator.create_identity("M", "m@fabrikam.example", IdentityKind::Person);
    emulator.tag(item, "ready-for-agent", &stranger).unwrap();
    let report = world.tick().await;
    assert!(line(&report, item).why.contains("not on the list of trusted people"), "{report:#?}");
    emulator.untag(item, "ready-for-agent", &stranger).unwrap();
    emulator.tag(item, "ready-for-agent", &world.universe.owner.clone()).unwrap();
    // Whoever is in the group may also change the text.
    emulator.edit_description(item, "<p>Greet.</p>", &world.universe.reviewer.clone()).unwrap();
    world.until_green().await;
    assert!(matches!(world.stage().await, Stage::InReview { .. }));
    assert_eq!(world.tags(item), ["agent-in-progress"]);
    world.assert_once(item);
}

#[tokio::test]
async fn a_word_that_came_while_the_group_could_not_be_read_is_heard_later() {
    let mut world = grouped(ASKS).await;
    let item = world.ask().await;
    world.until_handed(item).await;
    let emulator = world.universe.emulator.clone();
    says(&world, item, "Euro, please.");
    emulator.fault(Fault::on("identity: read").times(1_000).answer(403, &[], "{}"));
    for _ in 0..3 {
        let _ = world.tick().await;
    }
    assert!(matches!(world.stage().await, Stage::Escalated { .. }), "nobody is trusted blindly");
    // Nor is a new label called a stranger's, in words that stay.
    let other = world.universe.file_item(&["ready-for-agent"]).unwrap();
    let _ = world.poll().await;
    assert_eq!(world.comments(other), Vec::<String>::new());
    emulator.untag(other, "ready-for-agent", &world.universe.owner.clone()).unwrap();
    emulator.clear_faults();
    world.until_green().await;
    assert!(matches!(world.stage().await, Stage::InReview { .. }));
    world.assert_once(item);
}

#[tokio::test]
async fn a_thread_is_not_settled_over_a_later_word_of_somebody_in_the_group() {
    let busy = "touch \"$WORLD/begun\"; while test ! -e \"$WORLD/go\"; do echo working; sleep 0.1; done";
    let answers = "mkdir -p \"$ROUNDSMAN_OUT/replies\"; for thread in $(cat \"$WORLD/threads\"); \
        do echo 'Done so.' > \"$ROUNDSMAN_OUT/replies/$thread.md\"; done";
    let mut world = grouped("").await;
    world.set("ROUNDSMAN_POLICY_RESOLVE_THREADS", "answered");
    let respond = format!("if test \"$ROUNDSMAN_TURN_KIND\" = respond; then {answers}; {busy}; fi\n{GOOD}");
    let (item, pull) = world.brings_to_review(&respond).await;
    let emulator = world.universe.emulator.clone();
    let (owner, reviewer) = (world.universe.owner.clone(), world.universe.reviewer.clone());
    let thread = emulator.comment_pull_request(pull, "Shorter, please.", None, &reviewer).unwrap();
    fs::write(world.home().join("threads"), thread.to_string()).unwrap();
    world.until_there("begun").await;
    emulator.reply(pull, thread, "And a test, please.", &owner).unwrap();
    let settled = |world: &World| {
        let log = world.universe.emulator.request_log();
        log.iter().filter(|seen| seen.operation == "thread: update").count()
    };
    fs::write(world.home().join("go"), "").unwrap();
    let replies = |world: &World| {
        let threads = world.universe.emulator.threads(pull);
        let talk = threads.into_iter().find(|one| one.id == thread).unwrap().comments;
        talk.iter().filter(|said| said.author == world.universe.bot.id).count()
    };
    world.go(|world| replies(world) == 1).await;
    assert_eq!(settled(&world), 0, "somebody has gone on");
    world.go(|world| replies(world) == 2).await;
    world.until_green().await;
    assert_eq!(settled(&world), 1, "after the last word");
    let kinds: Vec<TurnKind> = world.run().await.turns.iter().map(|turn| turn.kind).collect();
    assert_eq!(kinds, [TurnKind::Implement, TurnKind::Respond, TurnKind::Respond]);
    world.assert_once(item);
}
