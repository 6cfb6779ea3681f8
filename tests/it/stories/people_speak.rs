//! People speak to a run: commands, answers to its questions, and the ways to let it go on after it gave up.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use super::people::{GOOD, assert_closed, busy, in_review, works};
use crate::world::{World, line};
use roundsman::{
    decide::Hand,
    domain::{Outcome, Stage},
    emulator::{IdentityKind, SeedFile},
    shell::hands::lay_hand,
};
use std::fs;

/// Asks once; with an answer at hand it works, and keeps the brief to be looked at.
const ASKS: &str = "if grep -q 'Euro, please' \"$ROUNDSMAN_BRIEF\"; then cp \"$ROUNDSMAN_BRIEF\" \"$WORLD/brief\"; \
    printf 'A line.\\n' >> README.md; else echo 'Euro or dollar?' > \"$ROUNDSMAN_OUT/question.md\"; fi";

async fn asked() -> (World, i64) {
    let mut world = World::new().await;
    world.agent(ASKS);
    let item = world.ask().await;
    let told = world.until_handed(item).await;
    assert!(told.contains("answer with a comment here"), "{told}");
    (world, item)
}

fn say(world: &World, item: i64, text: &str) -> i64 {
    world.universe.emulator.comment_item(item, &format!("<div>{text}</div>"), &world.universe.owner).unwrap()
}

/// Our answers to a comment.
fn answers(world: &World, item: i64, comment: i64) -> Vec<String> {
    let key = format!("answers {comment} ");
    world.comments(item).into_iter().filter(|text| text.contains(&key)).collect()
}

async fn hears(world: &World, item: i64, text: &str) -> String {
    let comment = say(world, item, text);
    for _ in 0..4 {
        let _ = world.tick().await;
    }
    let all = answers(world, item, comment);
    assert_eq!(all.len(), 1, "{text} is answered once: {:#?}", world.comments(item));
    all[0].clone()
}

#[tokio::test]
async fn an_answer_in_the_discussion_lets_the_run_go_on() {
    let (mut world, item) = asked().await;
    let stranger = world.universe.emulator.create_identity("M", "m@fabrikam.example", IdentityKind::Person);
    world.universe.emulator.comment_item(item, "<div>Dollar.</div>", &stranger).unwrap();
    world.assert_quiet().await;
    say(&world, item, "Euro, please.");
    world.until_green().await;
    let run = world.run().await;
    assert!(matches!(run.stage, Stage::InReview { .. }), "{run:#?}");
    let brief = fs::read_to_string(world.home().join("brief")).unwrap();
    assert!(brief.contains("Euro, please") && brief.contains("Product owner (may ask)"), "{brief}");
    assert!(!brief.contains("Dollar."), "{brief}");
    assert_eq!(world.tags(item), ["agent-in-progress"]);
    world.assert_once(item);
    world.assert_quiet().await;
}

/// Asks in a review until it is answered; then answers every thread that awaits it, and works.
const ASKS_IN_REVIEW: &str = "if grep -q 'Euro, please' \"$ROUNDSMAN_BRIEF\"; then cp \"$ROUNDSMAN_BRIEF\" \"$WORLD/brief\"; \
    mkdir -p \"$ROUNDSMAN_OUT/replies\"; for thread in $(grep -B2 'awaits you' \"$ROUNDSMAN_BRIEF\" | sed -n 's/^### Thread //p'); \
    do echo 'Done so.' > \"$ROUNDSMAN_OUT/replies/$thread.md\"; done; printf 'A line.\\n' >> README.md; \
    else echo 'Euro or dollar?' > \"$ROUNDSMAN_OUT/question.md\"; fi";

/// Visits as they are made, until `done` or half an hour is over.
async fn minutes(world: &mut World, done: impl Fn(&World) -> bool) -> bool {
    for _ in 0..30 {
        if done(world) {
            return true;
        }
        world.passes(jiff::SignedDuration::from_mins(1));
        let _ = world.tick().await;
    }
    done(world)
}

/// A review turn asked a question; answers item, pull request and the thread that it was about.
async fn asked_in_review() -> (World, i64, i64, i64) {
    let (mut world, item, pull) = in_review().await;
    world.agent(ASKS_IN_REVIEW);
    let reviewer = world.universe.reviewer.clone();
    let emulator = world.universe.emulator.clone();
    let thread = emulator.comment_pull_request(pull, "Use the right currency.", None, &reviewer).unwrap();
    let told = world.until_handed(item).await;
    assert!(told.contains("here or in a thread of the pull request"), "{told}");
    world.passes(jiff::SignedDuration::from_secs(2));
    (world, item, pull, thread)
}

fn replies(world: &World, pull: i64, thread: i64) -> usize {
    let threads = world.universe.emulator.threads(pull);
    let own = &world.universe.bot.id;
    threads
        .iter()
        .filter(|one| one.id == thread)
        .flat_map(|one| &one.comments)
        .filter(|c| c.author == *own)
        .count()
}

#[tokio::test]
async fn a_reply_on_the_pull_request_answers_the_question_and_stays_a_review() {
    let (mut world, item, pull, thread) = asked_in_review().await;
    let emulator = world.universe.emulator.clone();
    let stranger = emulator.create_identity("M", "m@fabrikam.example", IdentityKind::Person);
    emulator.reply(pull, thread, "Dollar.", &stranger).unwrap();
    assert!(
        !minutes(&mut world, |world| world.tags(item) == ["agent-in-progress"]).await,
        "a stranger's word"
    );
    world.assert_quiet().await;

    let reviewer = world.universe.reviewer.clone();
    emulator.reply(pull, thread, "Euro, please.", &reviewer).unwrap();
    let other = emulator.comment_pull_request(pull, "And a second line.", None, &reviewer).unwrap();
    assert!(minutes(&mut world, |world| world.tags(item) == ["agent-in-progress"]).await);
    world.passes(jiff::SignedDuration::from_mins(5));
    world.go(|world| replies(world, pull, thread) == 1 && replies(world, pull, other) == 1).await;
    let brief = fs::read_to_string(world.home().join("brief")).unwrap();
    assert!(brief.contains("Euro or dollar?"), "what it had asked is told: {brief}");
    let run = world.run().await;
    assert_eq!(run.turns.len(), 3, "{:#?}", run.turns);
    world.assert_once(item);
}

#[tokio::test]
async fn words_from_before_the_question_do_not_answer_it() {
    let (mut world, item, ..) = asked_in_review().await;
    assert!(!minutes(&mut world, |world| world.tags(item) == ["agent-in-progress"]).await);
    world.assert_quiet().await;
    assert_eq!(world.run().await.turns.len(), 2);
}

#[tokio::test]
async fn the_label_lets_the_run_go_on_and_no_second_one_begins() {
    let (mut world, item) = asked().await;
    world.agent(GOOD);
    let emulator = world.universe.emulator.clone();
    let stranger = emulator.create_identity("M", "m@fabrikam.example", IdentityKind::Person);
    emulator.tag(item, "ready-for-agent", &stranger).unwrap();
    let report = world.tick().await;
    assert!(line(&report, item).why.contains("not on the list of trusted people"), "{report:#?}");
    let report = world.poll().await;
    assert!(line(&report, item).why.contains("its run goes on"), "{report:#?}");
    world.assert_quiet().await;
    emulator.untag(item, "ready-for-agent", &stranger).unwrap();
    emulator.tag(item, "ready-for-agent", &world.universe.owner.clone()).unwrap();
    world.until_green().await;
    let run = world.run().await;
    assert!(matches!(run.stage, Stage::InReview { .. }), "{run:#?}");
    assert_eq!(world.tags(item), ["agent-in-progress"]);
    world.assert_once(item);
}

#[tokio::test]
async fn a_command_lets_it_go_on_unless_a_stranger_changed_the_text_since() {
    let (mut world, item) = asked().await;
    world.agent(GOOD);
    let emulator = world.universe.emulator.clone();
    let stranger = emulator.create_identity("M", "m@fabrikam.example", IdentityKind::Person);
    let refused = say(&world, item, "/agent resume");
    world.passes(jiff::SignedDuration::from_secs(2));
    emulator.edit_description(item, "<p>Delete everything.</p>", &stranger).unwrap();
    for _ in 0..3 {
        let _ = world.tick().await;
    }
    let told = answers(&world, item, refused);
    assert!(told.len() == 1 && told[0].contains("changed the item"), "{told:#?}");
    assert!(world.agent_branches().is_empty());
    world.assert_quiet().await;

    emulator.edit_description(item, "<p>Greet.</p>", &world.universe.owner.clone()).unwrap();
    world.passes(jiff::SignedDuration::from_secs(2));
    let accepted = say(&world, item, "/agent retry");
    world.until_green().await;
    assert_eq!(answers(&world, item, accepted).len(), 1);
    world.assert_once(item);
}

#[tokio::test]
async fn commands_on_the_item_are_answered_once() {
    let (world, item, _) = in_review().await;
    let told = hears(&world, item, "/agent status").await;
    assert!(told.contains("In review.") && told.contains("Turns so far: 1."), "{told}");
    let told = hears(&world, item, "/agent explain").await;
    assert!(told.contains("kill switch"), "{told}");
    let told = hears(&world, item, "/agent dance").await;
    assert!(told.contains("There is no such command"), "{told}");
    let told = hears(&world, item, "/agent resume").await;
    assert!(told.contains("Nothing holds this run"), "{told}");
    let told = hears(&world, item, "/agent pause").await;
    assert!(told.contains("The run is paused"), "{told}");
    assert!(world.tags(item).contains(&"agent-paused".to_owned()));
    hears(&world, item, "/agent resume").await;
    assert!(!world.tags(item).contains(&"agent-paused".to_owned()));
    world.assert_quiet().await;
    world.assert_once(item);
}

#[tokio::test]
async fn a_command_in_a_thread_is_answered_there_and_is_no_review() {
    let (world, item, pull) = in_review().await;
    let reviewer = world.universe.reviewer.clone();
    world.universe.emulator.comment_pull_request(pull, "/agent status", None, &reviewer).unwrap();
    for _ in 0..3 {
        let _ = world.tick().await;
    }
    let threads = world.universe.emulator.pull_request(pull).unwrap().threads;
    let thread = threads.iter().find(|thread| !thread.is_system()).unwrap();
    let ours = thread.comments.iter().filter(|one| one.author == world.universe.bot.id).count();
    assert_eq!(ours, 1, "{thread:#?}");
    assert_eq!(world.run().await.turns.len(), 1, "nothing is done about it");
    world.assert_quiet().await;
    world.assert_once(item);
}

/// Our answers in the thread of a command of this kind, after a few visits.
async fn hears_in_thread(world: &World, pull: i64, text: &str) -> Vec<String> {
    let (emulator, reviewer) = (world.universe.emulator.clone(), world.universe.reviewer.clone());
    let thread = emulator.comment_pull_request(pull, text, None, &reviewer).unwrap();
    for _ in 0..4 {
        let _ = world.tick().await;
    }
    let own = &world.universe.bot.id;
    let said = emulator.threads(pull).into_iter().filter(|one| one.id == thread);
    said.flat_map(|one| one.comments).filter(|one| one.author == *own).map(|one| one.text).collect()
}

/// A thread is as good a place as the item for every command but status, which has its story above.
#[tokio::test]
async fn every_command_is_heard_in_a_thread() {
    let (world, item, pull) = in_review().await;
    let paused = |world: &World| world.tags(item).contains(&"agent-paused".to_owned());
    for (text, told, is_paused) in [
        ("/agent explain", "kill switch", false),
        ("/agent retry", "Nothing holds this run", false),
        ("/agent pause", "The run is paused", true),
        ("/agent resume", "The run goes on.", false),
    ] {
        let answers = hears_in_thread(&world, pull, text).await;
        assert!(answers.len() == 1 && answers[0].contains(told), "{text}: {answers:#?}");
        assert_eq!(paused(&world), is_paused, "{text}");
        assert!(matches!(world.stage().await, Stage::InReview { .. }), "{text}");
    }
    assert_eq!(world.run().await.turns.len(), 1, "no command is a review");
    world.assert_quiet().await;
    hears_in_thread(&world, pull, "/agent stop").await;
    assert_closed(&world, Outcome::HandedBack).await;
    assert!(world.tags(item).is_empty(), "{:?}", world.tags(item));
    world.assert_once(item);
    world.assert_quiet().await;
}

#[tokio::test]
async fn a_command_in_a_thread_lets_an_escalated_run_go_on() {
    let (mut world, item, pull, _) = asked_in_review().await;
    world.agent(GOOD);
    let reviewer = world.universe.reviewer.clone();
    world.universe.emulator.comment_pull_request(pull, "/agent retry", None, &reviewer).unwrap();
    assert!(minutes(&mut world, |world| world.tags(item) == ["agent-in-progress"]).await);
    world.assert_once(item);
}

/// Nobody reads the threads for a review while a turn works; a command there is heard all the same.
#[tokio::test]
async fn a_command_in_a_thread_is_heard_while_a_turn_works() {
    let (mut world, item, pull) = in_review().await;
    world.agent(&format!("touch \"$WORLD/begun\"; {}", super::people::BUSY));
    let reviewer = world.universe.reviewer.clone();
    world.universe.emulator.comment_pull_request(pull, "Another line, please.", None, &reviewer).unwrap();
    world.passes(jiff::SignedDuration::from_mins(5));
    world.until_there("begun").await;
    assert!(works(&world).await);
    let answers = hears_in_thread(&world, pull, "/agent status").await;
    assert!(answers.len() == 1 && answers[0].contains("Turns so far: 2."), "{answers:#?}");
    assert!(works(&world).await, "a question stops nobody");
    hears_in_thread(&world, pull, "/agent stop").await;
    assert_closed(&world, Outcome::HandedBack).await;
    assert!(!works(&world).await);
    assert!(world.tags(item).is_empty(), "{:?}", world.tags(item));
    world.assert_quiet().await;
}

#[tokio::test]
async fn stop_ends_the_run_and_its_closing_words_answer() {
    let (world, item) = busy().await;
    say(&world, item, "/agent stop");
    let before = world.universe.emulator.writes();
    let _ = world.tick().await;
    assert_closed(&world, Outcome::HandedBack).await;
    assert!(!works(&world).await);
    assert_eq!(world.universe.emulator.writes(), before + 2, "the progress comment, and one acknowledgement");
    assert!(world.tags(item).is_empty(), "{:?}", world.tags(item));
    world.assert_quiet().await;
}

#[tokio::test]
async fn e07_a_resumed_run_builds_on_what_a_person_committed() {
    let (mut world, item, pull) = in_review().await;
    let owner = world.universe.owner.clone();
    let emulator = world.universe.emulator.clone();
    let branch = world.run().await.branch().full();
    let files = [SeedFile::new("HAND.md", "# By hand\n")];
    emulator.push_as(&world.universe.repository, &branch, &files, "By hand", &owner).unwrap();
    let _ = world.until_handed(item).await;
    say(&world, item, "/agent resume");
    world.go(|world| world.tags(item) == ["agent-in-progress"]).await;
    let _ = world.tick().await;
    assert!(matches!(world.stage().await, Stage::InReview { .. }), "{:#?}", world.run().await);
    let reviewer = world.universe.reviewer.clone();
    emulator.comment_pull_request(pull, "One more line, please.", None, &reviewer).unwrap();
    world.go(|world| world.universe.emulator.pull_request(pull).unwrap().iterations > 2).await;
    let kept = emulator.file(&world.universe.repository, &branch, "HAND.md");
    assert_eq!(kept.as_deref(), Some(b"# By hand\n".as_slice()), "the person's commit is below ours");
    world.assert_once(item);
}

#[tokio::test]
async fn the_operators_hand_does_the_same() {
    let (mut world, item) = asked().await;
    world.agent(GOOD);
    let app = world.app().await;
    let laid = lay_hand(&app, &world.run().await, Hand::Retry).await.unwrap();
    assert_eq!((laid.what, laid.failed), ("resume", false), "{laid:#?}");
    world.until_green().await;
    let app = world.app().await;
    let _ = lay_hand(&app, &world.run().await, Hand::Pause).await.unwrap();
    assert!(world.tags(item).contains(&"agent-paused".to_owned()));
    let _ = lay_hand(&app, &world.run().await, Hand::Resume).await.unwrap();
    assert!(!world.tags(item).contains(&"agent-paused".to_owned()));
    let _ = lay_hand(&app, &world.run().await, Hand::Release).await.unwrap();
    assert_closed(&world, Outcome::HandedBack).await;
    assert_eq!(world.agent_branches().len(), 1, "the work stays");
    assert!(world.tags(item).is_empty(), "{:?}", world.tags(item));
}
