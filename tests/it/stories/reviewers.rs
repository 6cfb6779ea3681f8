//! People who review: what they say is answered once, by whoever may ask; what goes wrong on the way is not heard by them.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::{Memory, World};
use jiff::SignedDuration;
use roundsman::{
    domain::{Stage, Step, TurnKind, WorkerState},
    emulator::{Fault, Identity, IdentityKind, ThreadSnapshot},
};
use std::fs;

/// Answers every thread of which the story told, with a commit of its own for each turn.
const ANSWERING: &str = "if test \"$ROUNDSMAN_TURN_KIND\" = respond; then\n\
    cp \"$ROUNDSMAN_BRIEF\" \"$WORLD/brief\"; mkdir -p \"$ROUNDSMAN_OUT/replies\"\n\
    for thread in $(cat \"$WORLD/threads\"); do echo 'Done so.' > \"$ROUNDSMAN_OUT/replies/$thread.md\"; done\n\
    fi\n";
const GOOD: &str = "printf 'A line.\\n' >> README.md; echo changed";
/// Longer than a lost request may still arrive.
const SETTLED: SignedDuration = SignedDuration::from_secs(61);

/// An agent that answers with a commit.
async fn answering() -> (World, i64, i64) {
    World::in_review(&format!("{ANSWERING}{GOOD}")).await
}

/// An agent that answers without one.
async fn explaining() -> (World, i64, i64) {
    World::in_review(&format!("{ANSWERING}if test \"$ROUNDSMAN_TURN_KIND\" != respond; then {GOOD}; fi"))
        .await
}

fn asks(world: &World, pull: i64, text: &str, by: &Identity) -> i64 {
    let thread = world.universe.emulator.comment_pull_request(pull, text, None, by).unwrap();
    knows(world, thread);
    thread
}

/// The agent is told the number, because it answers by it.
fn knows(world: &World, thread: i64) {
    let known = world.home().join("threads");
    let mut all = fs::read_to_string(&known).unwrap_or_default();
    all.push_str(&thread.to_string());
    all.push('\n');
    fs::write(known, all).unwrap();
}

fn thread(world: &World, pull: i64, id: i64) -> ThreadSnapshot {
    world.universe.emulator.threads(pull).into_iter().find(|thread| thread.id == id).unwrap()
}

/// What we said in a thread and did not take back.
fn ours(world: &World, pull: i64, id: i64) -> Vec<String> {
    let own = thread(world, pull, id).comments.into_iter();
    own.filter(|c| c.author == world.universe.bot.id && !c.deleted).map(|c| c.text).collect()
}

async fn kinds(world: &World) -> Vec<TurnKind> {
    world.run().await.turns.iter().map(|turn| turn.kind).collect()
}

fn calls(world: &World, operation: &str) -> usize {
    world.universe.emulator.request_log().iter().filter(|seen| seen.operation == operation).count()
}

/// Twice as many looks as anything takes that is still under way.
async fn looks(world: &mut World, times: usize) {
    for _ in 0..times {
        let _ = world.tick().await;
    }
}

#[tokio::test]
async fn e15_words_during_a_turn_are_the_next_turns() {
    let busy = "touch \"$WORLD/begun\"; while test ! -e \"$WORLD/go\"; do echo working; sleep 0.1; done";
    let (mut world, item, pull) = World::in_review(&format!(
        "{ANSWERING}if test \"$ROUNDSMAN_TURN_KIND\" = respond; then {busy}; fi\n{GOOD}"
    ))
    .await;
    let (owner, reviewer) = (world.universe.owner.clone(), world.universe.reviewer.clone());
    let first = asks(&world, pull, "Shorter, please.", &reviewer);
    world.until_there("begun").await;
    world.universe.emulator.reply(pull, first, "And a test, please.", &owner).unwrap();
    let second = asks(&world, pull, "Why this file?", &owner);
    fs::write(world.home().join("go"), "").unwrap();
    world.go(|world| ours(world, pull, first).len() == 2 && ours(world, pull, second).len() == 1).await;
    let said = ours(&world, pull, first);
    assert!(said[0].contains("answers comment 1") && said[1].contains("answers comment 2"), "{said:#?}");
    let _ = world.until_green().await;
    world.assert_quiet().await;
    world.assert_once(item);
}

#[tokio::test]
async fn a_comment_that_is_edited_after_our_answer_is_answered_again() {
    let (mut world, item, pull) = answering().await;
    let reviewer = world.universe.reviewer.clone();
    let emulator = world.universe.emulator.clone();
    let id = asks(&world, pull, "Call it X.", &reviewer);
    world.go(|world| ours(world, pull, id).len() == 1).await;
    world.until_green().await;
    // Whatever else moves the thread's own time is no word.
    emulator.set_thread_status(pull, id, "active").unwrap();
    looks(&mut world, 2).await;
    assert_eq!(ours(&world, pull, id).len(), 1);
    for (times, text) in [(2, "Call it Y."), (3, "Call it Y, please.")] {
        world.passes(SignedDuration::from_secs(2));
        emulator.edit_comment(pull, id, 1, text, &reviewer).unwrap();
        world.go(|world| ours(world, pull, id).len() == times).await;
        let brief = fs::read_to_string(world.home().join("brief")).unwrap();
        assert!(brief.contains(text) && brief.contains("may ask; changed after what follows it"), "{brief}");
        world.until_green().await;
        world.assert_quiet().await;
    }
    assert_eq!(ours(&world, pull, id).len(), 3, "once for each change");
    assert_eq!(kinds(&world).await[1..], [TurnKind::Respond; 3]);
    world.assert_once(item);
}

/// The answer to a new wording is looked for like any other when nobody heard of it, and a second host's copy goes.
#[tokio::test]
async fn the_answer_to_an_edit_is_said_once_although_it_was_not_heard() {
    let lost = Fault::on("thread comment: add").answer_lost();
    let never_came = Fault::on("thread comment: add").lost();
    for fault in [lost, never_came] {
        let (mut world, item, pull) = answering().await;
        let reviewer = world.universe.reviewer.clone();
        let emulator = world.universe.emulator.clone();
        let id = asks(&world, pull, "Call it X.", &reviewer);
        world.go(|world| ours(world, pull, id).len() == 1).await;
        world.until_green().await;
        world.passes(SignedDuration::from_secs(2));
        emulator.edit_comment(pull, id, 1, "Call it Y.", &reviewer).unwrap();
        emulator.fault(fault);
        world.go(|_| emulator.faults_waiting() == 0).await;
        world.lose_memory();
        looks(&mut world, 2).await;
        world.passes(SETTLED);
        world.go(|world| ours(world, pull, id).len() == 2).await;
        world.until_green().await;
        looks(&mut world, 3).await;
        assert_eq!(ours(&world, pull, id).len(), 2, "one for each wording");
        world.assert_once(item);
        world.assert_quiet().await;
    }
}

/// Also E15: the answer to the wording before is none to the new one.
#[tokio::test]
async fn e15_a_comment_that_is_edited_during_the_turn_is_answered_again() {
    let busy = "touch \"$WORLD/begun\"; while test ! -e \"$WORLD/go\"; do echo working; sleep 0.1; done";
    let (mut world, item, pull) = World::in_review(&format!(
        "{ANSWERING}if test \"$ROUNDSMAN_TURN_KIND\" = respond; then {busy}; fi\n{GOOD}"
    ))
    .await;
    let reviewer = world.universe.reviewer.clone();
    let id = asks(&world, pull, "Call it X.", &reviewer);
    world.until_there("begun").await;
    world.universe.emulator.edit_comment(pull, id, 1, "Call it Y.", &reviewer).unwrap();
    fs::write(world.home().join("go"), "").unwrap();
    world.go(|world| ours(world, pull, id).len() == 2).await;
    let brief = fs::read_to_string(world.home().join("brief")).unwrap();
    assert!(brief.contains("Call it Y."), "{brief}");
    world.until_green().await;
    world.assert_quiet().await;
    assert_eq!(ours(&world, pull, id).len(), 2);
    world.assert_once(item);
}

#[tokio::test]
async fn e16_what_a_person_settles_is_settled() {
    let (mut world, _, pull) = answering().await;
    let reviewer = world.universe.reviewer.clone();
    let thread = world.universe.emulator.comment_pull_request(pull, "Hm.", None, &reviewer).unwrap();
    world.universe.emulator.set_thread_status(pull, thread, "fixed").unwrap();
    looks(&mut world, 3).await;
    assert!(ours(&world, pull, thread).is_empty());
    assert_eq!(kinds(&world).await, [TurnKind::Implement]);
    world.assert_quiet().await;
}

#[tokio::test]
async fn e17_a_vote_against_with_words_is_answered_and_one_that_is_reset_asks_nothing() {
    let (mut world, item, pull) = answering().await;
    let reviewer = world.universe.reviewer.clone();
    world.universe.emulator.vote(pull, -5, &reviewer).unwrap();
    let thread = asks(&world, pull, "Shorter, please.", &reviewer);
    world.go(|world| ours(world, pull, thread).len() == 1).await;
    // The push resets votes where a policy says so: that is our own doing.
    world.universe.emulator.vote(pull, 0, &reviewer).unwrap();
    world.until_green().await;
    looks(&mut world, 2).await;
    assert!(matches!(world.stage().await, Stage::InReview { .. }));
    assert!(!world.tags(item).contains(&"ready-for-human".to_owned()));
    world.assert_quiet().await;
}

#[tokio::test]
async fn who_approves_with_an_open_question_is_answered() {
    let (mut world, _, pull) = answering().await;
    let reviewer = world.universe.reviewer.clone();
    world.universe.emulator.vote(pull, 10, &reviewer).unwrap();
    let id = asks(&world, pull, "Fine. One more line, though?", &reviewer);
    world.go(|world| ours(world, pull, id).len() == 1).await;
    assert_eq!(thread(&world, pull, id).status.as_deref(), Some("active"), "it is theirs to settle");
}

#[tokio::test]
async fn e18_two_reviewers_who_contradict_each_other_are_asked_after_one_attempt() {
    let (mut world, item, pull) = answering().await;
    let (owner, reviewer) = (world.universe.owner.clone(), world.universe.reviewer.clone());
    let emulator = world.universe.emulator.clone();
    let thread = asks(&world, pull, "Call it X.", &reviewer);
    world.go(|world| ours(world, pull, thread).len() == 1).await;
    emulator.vote(pull, 10, &reviewer).unwrap();
    emulator.vote(pull, -5, &owner).unwrap();
    emulator.reply(pull, thread, "No, call it Y.", &owner).unwrap();
    let told = world.until_handed(item).await;
    assert!(told.contains("Product owner and Reviewer ask for opposite things"), "{told}");
    assert!(told.contains(&owner.id) && told.contains(&reviewer.id), "both are mentioned: {told}");
    assert_eq!(kinds(&world).await, [TurnKind::Implement, TurnKind::Respond]);
}

/// Also E18: what cannot be told from facts is the agent's to notice.
#[tokio::test]
async fn e18_a_follow_up_of_another_person_is_no_contradiction() {
    let (mut world, item, pull) = answering().await;
    let (owner, reviewer) = (world.universe.owner.clone(), world.universe.reviewer.clone());
    let emulator = world.universe.emulator.clone();
    let thread = asks(&world, pull, "Call it X.", &reviewer);
    world.go(|world| ours(world, pull, thread).len() == 1).await;
    emulator.reply(pull, thread, "Thanks. Should it be in the docs, too?", &owner).unwrap();
    world.go(|world| ours(world, pull, thread).len() == 2).await;
    emulator.reply(pull, thread, "Thank you both!", &reviewer).unwrap();
    world.go(|world| ours(world, pull, thread).len() == 3).await;
    assert!(!world.tags(item).contains(&"ready-for-human".to_owned()));
    let brief = fs::read_to_string(world.home().join("brief")).unwrap();
    assert!(brief.contains("want opposite things, choose neither"), "{brief}");
}

/// Also E20, as far as words go.
#[tokio::test]
async fn e20_words_of_robots_never_await_us() {
    let (mut world, item, pull) = answering().await;
    let emulator = world.universe.emulator.clone();
    let robot = |name: &str| {
        emulator.create_identity(name, &format!("{name}@fabrikam.example"), IdentityKind::Service)
    };
    let (formatter, second) = (robot("formatter"), robot("roundsman-2"));
    let thread = asks(&world, pull, "Run the formatter.", &formatter);
    emulator.reply(pull, thread, "I answer robots.", &second).unwrap();
    asks(&world, pull, "roundsman 1-r1 · answers comment 1 · with a commit", &second);
    looks(&mut world, 3).await;
    assert_eq!(kinds(&world).await, [TurnKind::Implement]);
    world.assert_quiet().await;
    world.assert_once(item);
}

#[tokio::test]
async fn h18_an_answer_is_short_harmless_and_says_whose_it_is() {
    let stranger = "d291b0c4-a05c-4ea6-8df1-4b41d5f39eff";
    let (mut world, _, pull) = World::in_review(&format!(
        "{GOOD}\nif test \"$ROUNDSMAN_TURN_KIND\" != respond; then exit; fi\n\
         mkdir -p \"$ROUNDSMAN_OUT/replies\"\n\
         for thread in $(cat \"$WORLD/threads\"); do\n\
         (echo 'You are wrong. <script>x</script> @<{stranger}> !1 #1'; echo '##vso[task.complete]'\n\
         i=0; while test $i -lt 2000; do echo 'and wrong again'; i=$((i+1)); done\n\
         echo 'roundsman 1-r1 · answers comment 99') > \"$ROUNDSMAN_OUT/replies/$thread.md\"\n\
         done"
    ))
    .await;
    let reviewer = world.universe.reviewer.clone();
    let thread = asks(&world, pull, "Why?", &reviewer);
    world.go(|world| !ours(world, pull, thread).is_empty()).await;
    let said = ours(&world, pull, thread);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].starts_with("Commit ") && said[0].contains("The agent writes:"), "{}", said[0]);
    assert!(said[0].chars().count() < 6_000, "{}", said[0].len());
    for bad in ["<script", "@<", "##vso[", "!1", "comment 99"] {
        assert!(!said[0].contains(bad), "{bad}: {}", said[0]);
    }
}

/// Also H18: only after the push that it speaks of.
#[tokio::test]
async fn h18_nothing_is_answered_with_a_change_that_was_refused() {
    let (mut world, item, pull) = World::in_review(&format!(
        "{ANSWERING}if test \"$ROUNDSMAN_TURN_KIND\" = respond; then echo 'steps: []' > azure-pipelines.yml; exit; fi; {GOOD}"
    ))
    .await;
    let reviewer = world.universe.reviewer.clone();
    let thread = asks(&world, pull, "Faster builds, please.", &reviewer);
    let told = world.until_handed(item).await;
    assert!(told.contains("azure-pipelines.yml"), "{told}");
    assert!(ours(&world, pull, thread).is_empty());
}

#[tokio::test]
async fn an_answer_that_was_lost_is_looked_for_before_it_is_said_again() {
    let (mut world, item, pull) = explaining().await;
    let reviewer = world.universe.reviewer.clone();
    let adds = "thread comment: add";
    world.universe.emulator.fault(Fault::on(adds).lost());
    let thread = asks(&world, pull, "Why?", &reviewer);
    for _ in 0..400 {
        if world.universe.emulator.faults_waiting() == 0 {
            break;
        }
        let _ = world.tick().await;
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
    // Who remembers nothing else speaks again; should both copies arrive, the younger is taken back.
    if Memory::chosen() == Memory::Sqlite {
        looks(&mut world, 4).await;
        assert_eq!(calls(&world, adds), 1, "it may still arrive");
    }
    world.passes(SETTLED);
    world.go(|world| ours(world, pull, thread).len() == 1).await;
    world.assert_quiet().await;
    world.assert_once(item);
}

#[tokio::test]
async fn an_answer_that_arrives_after_it_was_said_again_is_taken_back() {
    let (mut world, item, pull) = explaining().await;
    let reviewer = world.universe.reviewer.clone();
    // More requests than all looks within our patience make, whichever memory asks.
    world.universe.emulator.fault(Fault::on("thread comment: add").late(150));
    let id = asks(&world, pull, "Why?", &reviewer);
    // Patience is over before it arrives.
    world.go(|world| !ours(world, pull, id).is_empty()).await;
    let all = |world: &World| {
        let comments = thread(world, pull, id).comments;
        comments.iter().filter(|comment| comment.author == world.universe.bot.id).count()
    };
    world.go(|world| all(world) == 2).await;
    world.go(|world| ours(world, pull, id).len() == 1).await;
    let own: Vec<bool> = thread(&world, pull, id)
        .comments
        .iter()
        .filter(|comment| comment.author == world.universe.bot.id)
        .map(|comment| comment.deleted)
        .collect();
    assert_eq!(own, [false, true], "the younger goes");
    assert_eq!(calls(&world, "thread comment: delete"), 1);
    world.assert_quiet().await;
    world.assert_once(item);
}

/// A host of its own with the same memory and the same workers, but no lock that it shares with `world`.
fn twin(world: &World, name: &str) -> World {
    let state = world.home().join(name);
    fs::create_dir_all(&state).unwrap();
    let link = |part: &str| {
        let there = world.universe.state_dir.join(part);
        std::os::unix::fs::symlink(there, state.join(part)).unwrap();
    };
    link("runs");
    let mut twin = world.elsewhere();
    // A file that is deleted before every visit must not be deleted under the other one.
    let store = match world.memory() {
        Memory::Sqlite | Memory::Labels => world.settings().store.path,
        Memory::Forgetful => state.join("roundsman.db"),
    };
    twin.set("ROUNDSMAN_STORE_PATH", &store.display().to_string());
    twin.set("ROUNDSMAN_STATE_DIR", &state.display().to_string());
    twin
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_that_share_no_lock_end_up_saying_it_once() {
    let (mut world, item, pull) = explaining().await;
    let twin = twin(&world, "twin");
    let reviewer = world.universe.reviewer.clone();
    // Both have looked before either has spoken.
    let slow = std::time::Duration::from_millis(700);
    world.universe.emulator.fault(Fault::on("thread comment: add").times(2).slow(slow));
    let id = asks(&world, pull, "Why?", &reviewer);
    let all = |world: &World| {
        let comments = thread(world, pull, id).comments;
        comments.iter().filter(|comment| comment.author == world.universe.bot.id).count()
    };
    // Until the agent has ended and nobody has looked since: then both have the same to say.
    let run = world.run().await.id;
    let has_ended = async |world: &World| {
        let workers = world.app().await.runtime.workers_of(run).await.unwrap();
        let last = workers.into_iter().max_by_key(|worker| (worker.turn.number, worker.step)).unwrap();
        last.turn.kind == TurnKind::Respond
            && last.step == Step::Agent
            && matches!(last.state, WorkerState::Finished(_))
    };
    for _ in 0..400 {
        if has_ended(&world).await {
            break;
        }
        // Ticks only start what is due; an agent that runs is left alone, so that nobody sees it end.
        if world.run().await.current_turn().is_none_or(|(_, step)| step != Step::Agent) {
            let _ = world.tick().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
    let _ = tokio::join!(world.tick(), twin.tick());
    // Whether both spoke is chance: the memory they share mostly stops one. The next story leaves nothing to it.
    println!("said {} times before anybody looked", all(&world));
    for _ in 0..3 {
        let _ = tokio::join!(world.tick(), twin.tick());
    }
    assert_eq!(ours(&world, pull, id).len(), 1, "{:#?}", thread(&world, pull, id));
    looks(&mut world, 2).await;
    world.assert_quiet().await;
    world.assert_once(item);
}

#[tokio::test]
async fn what_a_host_without_our_lock_said_again_is_taken_back_by_either() {
    let (mut world, item, pull) = explaining().await;
    let (reviewer, bot) = (world.universe.reviewer.clone(), world.universe.bot.clone());
    let emulator = world.universe.emulator.clone();
    let id = asks(&world, pull, "Why?", &reviewer);
    world.go(|world| ours(world, pull, id).len() == 1).await;
    let said = ours(&world, pull, id).remove(0);
    emulator.reply(pull, id, &said, &bot).unwrap();
    emulator.fault(Fault::on("thread comment: delete").answer_lost());
    looks(&mut world, 4).await;
    assert_eq!(ours(&world, pull, id), [said]);
    let last = thread(&world, pull, id).comments.pop().unwrap();
    assert!(last.deleted, "the younger goes: {last:?}");
    // An answer to another word is another word.
    emulator.reply(pull, id, "And why that?", &reviewer).unwrap();
    world.go(|world| ours(world, pull, id).len() == 2).await;
    looks(&mut world, 2).await;
    assert_eq!(ours(&world, pull, id).len(), 2);
    world.assert_quiet().await;
    world.assert_once(item);
}

#[tokio::test]
async fn threads_that_a_commit_answers_are_marked_where_the_operator_wants_it() {
    let (mut world, item, pull) = answering().await;
    world.set("ROUNDSMAN_POLICY_RESOLVE_THREADS", "answered");
    let reviewer = world.universe.reviewer.clone();
    world.universe.emulator.fault(Fault::on("thread: update").answer_lost());
    let id = asks(&world, pull, "Shorter, please.", &reviewer);
    let status = |world: &World| thread(world, pull, id).status.unwrap_or_default();
    world.go(|world| status(world) == "fixed").await;
    world.until_green().await;
    looks(&mut world, 2).await;
    assert_eq!(ours(&world, pull, id).len(), 1);
    world.assert_quiet().await;
    // A word does not open it again in Azure DevOps, but it counts.
    world.universe.emulator.reply(pull, id, "Shorter still.", &reviewer).unwrap();
    world.go(|world| ours(world, pull, id).len() == 2).await;
    assert_eq!(status(&world), "fixed");
    world.assert_once(item);
}

#[tokio::test]
async fn reviewers_are_reminded_once_whatever_becomes_of_answer_and_memory() {
    for fault in [Fault::on("thread: create").answer_lost(), Fault::on("thread: create").lost()] {
        let (mut world, item, pull) = explaining().await;
        world.universe.emulator.fault(fault);
        let reminders = |world: &World| {
            let threads = world.universe.emulator.threads(pull).into_iter();
            let own = threads.filter(|thread| thread.comments[0].author == world.universe.bot.id);
            own.filter(|thread| !thread.comments[0].deleted).collect::<Vec<_>>()
        };
        world.passes(SignedDuration::from_hours(80));
        world.go(|world| reminders(world).len() == 1).await;
        assert_eq!(reminders(&world)[0].status.as_deref(), Some("closed"), "it holds up nobody");
        looks(&mut world, 2).await;
        world.passes(SETTLED);
        looks(&mut world, 2).await;
        world.lose_memory();
        looks(&mut world, 2).await;
        world.passes(SignedDuration::from_hours(80));
        looks(&mut world, 3).await;
        assert_eq!(reminders(&world).len(), 1);
        world.assert_quiet().await;
        world.assert_once(item);
    }
}

/// Cron starts the watcher at even minutes, and half of all items have odd numbers.
#[tokio::test]
async fn a_review_of_a_cold_run_is_heard_whatever_minute_the_schedule_meets() {
    let (mut world, _, pull) = answering().await;
    let reviewer = world.universe.reviewer.clone();
    for parity in [0, 1] {
        world.passes(SignedDuration::from_hours(1) + SignedDuration::from_mins(parity));
        let _ = world.tick().await;
        let thread = asks(&world, pull, "Why this line?", &reviewer);
        let before = world.run().await.turns.len();
        for _ in 0..6 {
            world.passes(SignedDuration::from_mins(2));
            let _ = world.tick().await;
        }
        assert_eq!(world.run().await.turns.len(), before + 1, "nobody looked for twelve minutes ({parity})");
        world.go(|world| !ours(world, pull, thread).is_empty()).await;
        let _ = world.tick().await;
    }
}

#[tokio::test]
async fn a_whole_review_is_answered_by_one_turn_once_it_is_quiet() {
    let (mut world, _, pull) = answering().await;
    world.set("ROUNDSMAN_POLICY_QUIET_PERIOD", "3m");
    let reviewer = world.universe.reviewer.clone();
    let mut threads = Vec::new();
    for word in ["First.", "Second.", "Third."] {
        threads.push(asks(&world, pull, word, &reviewer));
        // They write on: each word begins the quiet anew.
        world.passes(SignedDuration::from_mins(2));
        let report = world.tick().await;
        assert!(report.lines.iter().any(|line| line.why.contains("still writing")), "{report:#?}");
        assert_eq!(kinds(&world).await, [TurnKind::Implement], "they have not finished");
    }
    world.passes(SignedDuration::from_mins(2));
    world.go(|world| threads.iter().all(|thread| !ours(world, pull, *thread).is_empty())).await;
    assert_eq!(kinds(&world).await, [TurnKind::Implement, TurnKind::Respond], "one turn for all of it");
    world.assert_quiet().await;
}
