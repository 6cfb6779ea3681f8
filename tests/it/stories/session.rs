//! The conversation goes on where it stopped. The agent is `opencode`, played by a shell script that has its words: it keeps
//! what was said, exports it, takes it back, and does not know what it was not given.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::World;
use roundsman::{domain::Stage, emulator::IdentityKind};
use std::fs;

/// What it says when it is called without being asked for anything else; `$session` is empty in a new conversation.
const OPENCODE: &str = r#"talk="$HOME/.local/share/opencode/talk"
case "$1" in
--version) echo 1; exit ;;
export) cat "$talk/$2"; exit ;;
import) if [ -e "$WORLD/forgets" ]; then exit; fi; mkdir -p "$talk"; cp "$2" "$talk/ses_1"; exit ;;
esac
session=; for word; do if [ "$last" = --session ]; then session=$word; fi; last=$word; done
if [ -n "$session" ] && [ ! -e "$talk/$session" ]; then echo 'Error: Session not found' >&2; exit 1; fi
number=$(ls "$WORLD/calls" | wc -l); cat > "$WORLD/brief"; mkdir -p "$talk"; echo "call $number" >> "$talk/ses_1"
{ echo "session=$session"; cat "$talk/ses_1" "$WORLD/brief"; } > "$WORLD/calls/$number"
echo '{"type":"step_finish","sessionID":"ses_1","part":{"reason":"stop","tokens":{"input":9,"output":1},"cost":0.001}}'
"#;

/// From now on the agent is that script, which then does `work`.
fn talks(world: &mut World, work: &str) {
    fs::create_dir_all(world.home().join("calls")).unwrap();
    world.opencode(&format!("{OPENCODE}{work}"));
}

/// What the agent got in a call, from 0: session, what it remembers, what it was told.
fn call(world: &World, number: usize) -> String {
    fs::read_to_string(world.home().join("calls").join(number.to_string())).unwrap_or_default()
}

/// Asks once, and works with an answer at hand.
const ASKS: &str = "if grep -q 'Euro, please' \"$WORLD/brief\"; then printf 'A line.\\n' >> README.md; \
    else echo 'Euro or dollar?' > \"$ROUNDSMAN_OUT/question.md\"; fi";

async fn asked_and_answered() -> (World, i64) {
    let mut world = World::new().await;
    talks(&mut world, ASKS);
    let item = world.ask().await;
    world.until_handed(item).await;
    let owner = world.universe.owner.clone();
    world.universe.emulator.comment_item(item, "<div>Euro, please.</div>", &owner).unwrap();
    (world, item)
}

/// The first words of a whole brief.
const WHOLE: &str = "You are a software engineer";

#[tokio::test]
async fn an_answer_goes_on_with_the_conversation_and_says_only_what_is_new() {
    let (mut world, item) = asked_and_answered().await;
    world.until_green().await;
    let first = call(&world, 0);
    assert!(first.starts_with("session=\ncall 0\n") && first.contains(WHOLE), "{first}");
    let second = call(&world, 1);
    assert!(second.starts_with("session=ses_1\ncall 0\ncall 1\n"), "it remembers: {second}");
    assert!(second.contains("Euro, please.") && !second.contains(WHOLE), "only what is new: {second}");

    let reviewer = world.universe.reviewer.clone();
    let pull = world.universe.emulator.pull_requests()[0].id;
    talks(&mut world, "printf 'Another line.\\n' >> README.md");
    world.universe.emulator.comment_pull_request(pull, "One more line.", None, &reviewer).unwrap();
    world.go(|world| world.universe.emulator.pull_request(pull).unwrap().iterations > 1).await;
    let third = call(&world, 2);
    assert!(third.starts_with("session=ses_1\ncall 0\ncall 1\ncall 2\n"), "{third}");
    assert!(third.contains("One more line.") && !third.contains(WHOLE), "{third}");
    world.assert_once(item);
}

#[tokio::test]
async fn a_lost_conversation_is_told_everything_and_costs_no_attempt() {
    let (mut world, item) = asked_and_answered().await;
    fs::write(world.home().join("forgets"), "").unwrap();
    world.until_green().await;
    let second = call(&world, 1);
    assert!(second.starts_with("session=\ncall 1\n"), "a new one: {second}");
    assert!(second.contains("Euro, please.") && second.contains(WHOLE), "{second}");
    let run = world.run().await;
    assert!(matches!(run.stage, Stage::InReview { .. }), "{run:#?}");
    assert_eq!(run.turns.len(), 2, "within the same turn: {:#?}", run.turns);
    assert!(call(&world, 2).is_empty());
    world.assert_once(item);
}

/// What is said on the item while a turn runs enters the next one, whatever that is about and how often it goes on.
#[tokio::test]
async fn what_people_say_during_a_turn_is_told_to_the_conversation_that_goes_on() {
    let wait = "if [ -e \"$WORLD/held\" ]; then touch \"$WORLD/begun\"; while [ ! -e \"$WORLD/go\" ]; do \
        echo '{\"type\":\"text\"}'; sleep 0.1; done; fi\n";
    let mut world = World::new().await;
    fs::write(world.home().join("held"), "").unwrap();
    talks(&mut world, &format!("{wait}printf 'A line.\\n' >> README.md"));
    let emulator = world.universe.emulator.clone();
    let (owner, reviewer) = (world.universe.owner.clone(), world.universe.reviewer.clone());
    let stranger = emulator.create_identity("M", "m@fabrikam.example", IdentityKind::Person);
    let item = world.ask().await;
    emulator.comment_item(item, "<div>It is for the shop in Porto.</div>", &owner).unwrap();
    world.until_there("begun").await;
    world.passes(jiff::SignedDuration::from_mins(5));
    emulator.comment_item(item, "<div>In Portuguese, too.</div>", &owner).unwrap();
    emulator.comment_item(item, "<div>In Klingon, too.</div>", &stranger).unwrap();
    emulator.comment_item(item, "<div>/agent status</div>", &owner).unwrap();
    fs::write(world.home().join("go"), "").unwrap();
    let pull = world.until_green().await;
    let first = call(&world, 0);
    assert!(first.contains("the shop in Porto") && !first.contains("Portuguese"), "{first}");

    emulator.comment_pull_request(pull, "One more line.", None, &reviewer).unwrap();
    world.go(|world| world.universe.emulator.pull_request(pull).unwrap().iterations > 1).await;
    let second = call(&world, 1);
    assert!(second.starts_with("session=ses_1\n") && !second.contains(WHOLE), "it goes on: {second}");
    assert!(second.contains("In Portuguese, too.") && second.contains("Product owner (may ask)"), "{second}");
    assert!(!second.contains("Klingon") && !second.contains("/agent status"), "{second}");
    assert!(!second.contains("the shop in Porto"), "what it was told is not told again: {second}");
    world.until_green().await;
    world.assert_once(item);
}

/// What was said before the question is no answer to it, but it was said.
#[tokio::test]
async fn what_people_say_before_a_question_stands_beside_the_answer() {
    let mut world = World::new().await;
    let waits = "if [ -e \"$WORLD/go\" ]; then :; else touch \"$WORLD/begun\"; while [ ! -e \"$WORLD/go\" ]; do \
        echo '{\"type\":\"text\"}'; sleep 0.1; done; fi\n";
    talks(&mut world, &format!("{waits}{ASKS}"));
    let owner = world.universe.owner.clone();
    let item = world.ask().await;
    world.until_there("begun").await;
    world.passes(jiff::SignedDuration::from_mins(5));
    world.universe.emulator.comment_item(item, "<div>Round to cents.</div>", &owner).unwrap();
    fs::write(world.home().join("go"), "").unwrap();
    world.until_handed(item).await;
    world.universe.emulator.comment_item(item, "<div>Euro, please.</div>", &owner).unwrap();
    world.until_green().await;
    let second = call(&world, 1);
    assert!(second.starts_with("session=ses_1\n") && !second.contains(WHOLE), "it goes on: {second}");
    assert!(second.contains("Euro, please.") && second.contains("Round to cents."), "{second}");
    world.assert_once(item);
}
