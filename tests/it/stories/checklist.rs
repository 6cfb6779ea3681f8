//! What a person who is to merge reads in the progress comment: what still stands before the merge, and how the change is
//! taken back afterwards. The comment keeps still while nothing changes, whoever looks how closely.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::World;
use jiff::SignedDuration;
use roundsman::{
    decide::Hand,
    emulator::{Fault, Identity, IdentityKind},
    shell::hands::lay_hand,
    words::Marker,
};

const GOOD: &str = "printf 'A line.\\n' >> README.md";
const REVIEWERS: &str = "people still have to satisfy the policy Minimum number of reviewers";
const MAIN: &str = "refs/heads/main";
/// Longer than a run is looked at in every tick after it came to review.
const COLD: SignedDuration = SignedDuration::from_mins(31);

/// The run's comment, words only.
fn comment(world: &World, item: i64) -> String {
    let all = world.comments(item);
    all.into_iter().find(|text| Marker::find(text).is_some()).expect("a comment with a marker")
}

/// What the comment lists as open.
fn open(world: &World, item: i64) -> Vec<String> {
    let text = comment(world, item);
    let Some((_, list)) = text.split_once("its merge:</p>") else { return Vec::new() };
    let list = list.split("</ul>").next().unwrap();
    list.split("<li>").skip(1).map(|line| line.split("</li>").next().unwrap().replace("☐ ", "")).collect()
}

async fn in_review(prepare: impl FnOnce(&World)) -> (World, i64, i64) {
    let mut world = World::new().await;
    prepare(&world);
    let (item, pull) = world.brings_to_review(GOOD).await;
    (world, item, pull)
}

fn stranger(world: &World) -> Identity {
    world.universe.emulator.create_identity("Passer-by", "passer@fabrikam.example", IdentityKind::Person)
}

/// Until the run was looked at closely, and quiet afterwards in every tick of the next minutes, close or not.
async fn assert_settled(world: &mut World, item: i64, wanted: &[&str]) {
    for _ in 0..11 {
        world.passes(SignedDuration::from_mins(1));
        let _ = world.tick().await;
    }
    assert_eq!(open(world, item), wanted, "{}", comment(world, item));
    let (text, writes) = (comment(world, item), world.universe.emulator.writes());
    for minute in 0..11 {
        world.passes(SignedDuration::from_mins(1));
        let _ = world.tick().await;
        assert_eq!(world.universe.emulator.writes(), writes, "minute {minute}");
    }
    assert_eq!(comment(world, item), text);
    world.assert_quiet().await;
}

#[tokio::test]
async fn what_stands_before_the_merge_is_listed_and_goes_when_it_is_done() {
    let (mut world, item, pull) = in_review(|world| {
        world.universe.emulator.require_comment_resolution(&world.universe.repository, MAIN, true);
    })
    .await;
    let emulator = world.universe.emulator.clone();
    let (owner, reviewer, passer) =
        (world.universe.owner.clone(), world.universe.reviewer.clone(), stranger(&world));
    assert_eq!(open(&world, item), [REVIEWERS]);
    let text = comment(&world, item);
    assert_eq!(text.matches("Minimum number of reviewers").count(), 1, "said once: {text}");
    world.assert_quiet().await;

    let thread = emulator.comment_pull_request(pull, "I do not like it.", None, &passer).unwrap();
    emulator.vote(pull, -10, &passer).unwrap();
    let _ = world.tick().await;
    let discussion =
        "1 discussion is not settled (people&#39;s move); the policy Comment requirements waits for that";
    let (rejected, draft) = ("Passer-by rejected it", "it is a draft");
    assert_eq!(open(&world, item), [REVIEWERS, rejected, discussion], "{}", comment(&world, item));
    world.assert_quiet().await;
    world.passes(COLD);
    assert_settled(&mut world, item, &[REVIEWERS, rejected, discussion]).await;

    // A draft takes no votes, and loses those that it had.
    emulator.set_draft(pull, true, &owner).unwrap();
    assert_settled(&mut world, item, &[REVIEWERS, draft, discussion]).await;
    emulator.set_thread_status(pull, thread, "fixed").unwrap();
    assert_settled(&mut world, item, &[REVIEWERS, draft]).await;
    emulator.set_draft(pull, false, &owner).unwrap();
    emulator.idle().await;
    assert_settled(&mut world, item, &[REVIEWERS]).await;
    emulator.vote(pull, -5, &passer).unwrap();
    emulator.comment_pull_request(pull, "Still not.", None, &passer).unwrap();
    let waits = "Passer-by voted to wait for the author";
    assert_settled(&mut world, item, &[REVIEWERS, waits, discussion]).await;
    emulator.vote(pull, 0, &passer).unwrap();
    assert_settled(&mut world, item, &[REVIEWERS, discussion]).await;
    for thread in emulator.threads(pull) {
        emulator.set_thread_status(pull, thread.id, "closed").unwrap();
    }
    emulator.vote(pull, 10, &reviewer).unwrap();
    assert_settled(&mut world, item, &[]).await;
    let text = comment(&world, item);
    assert!(text.contains("all checks are green; a person decides"), "{text}");
    assert_eq!(world.run().await.turns.len(), 1, "no agent was called");
}

#[tokio::test]
async fn who_has_to_vote_is_named_until_they_have() {
    let (mut world, item, pull) = in_review(|world| {
        let universe = &world.universe;
        universe.emulator.require_approval_of(&universe.repository, MAIN, &[&universe.owner]);
    })
    .await;
    let owner = world.universe.owner.clone();
    let required = "people still have to satisfy the policy Required reviewers";
    let unvoted = "Product owner is a required reviewer and has not voted";
    assert_settled(&mut world, item, &[REVIEWERS, required, unvoted]).await;
    world.universe.emulator.vote(pull, 5, &owner).unwrap();
    assert_settled(&mut world, item, &[]).await;
}

/// A held run is looked at although its discussions cannot be read: a list made of less would come and go.
#[tokio::test]
async fn a_look_that_sees_less_leaves_the_list_as_it_stands() {
    let (mut world, item, pull) = in_review(|_| {}).await;
    let owner = world.universe.owner.clone();
    world.universe.emulator.tag(item, "agent-paused", &owner).unwrap();
    let _ = world.tick().await;
    assert_eq!(open(&world, item), [REVIEWERS]);
    world.assert_quiet().await;
    for blind in ["thread: list", "policy evaluation: list"] {
        // Where the comment is the memory, since when something cannot be read stands below the words.
        let words = |world: &World| comment(world, item).split("<details>").next().map(str::to_owned);
        let before = words(&world);
        world.universe.emulator.fault(Fault::on(blind).answer(403, &[], "{}"));
        let _ = world.tick().await;
        assert_eq!(words(&world), before, "{blind}");
    }
    // What is done meanwhile is told by the next look that sees.
    let reviewer = world.universe.reviewer.clone();
    world.universe.emulator.vote(pull, 10, &reviewer).unwrap();
    assert_settled(&mut world, item, &[]).await;
}

/// An operator's hand looks once, and may look less closely than the watcher did.
#[tokio::test]
async fn an_operator_who_holds_a_run_takes_nothing_back() {
    let (mut world, item, _) = in_review(|_| {}).await;
    world.passes(COLD);
    assert_settled(&mut world, item, &[REVIEWERS]).await;
    // Close looks and others take turns.
    for _ in 0..3 {
        world.passes(SignedDuration::from_mins(1));
        for hand in [Hand::Pause, Hand::Resume] {
            let laid = lay_hand(&world.app().await, &world.run().await, hand).await.unwrap();
            assert!(!laid.failed, "{laid:#?}");
            let text = comment(&world, item);
            assert_eq!(open(&world, item), [REVIEWERS], "{hand:?}: {text}");
            assert!(text.contains("checks (passed)"), "{hand:?}: {text}");
        }
    }
    assert_settled(&mut world, item, &[REVIEWERS]).await;
}

#[tokio::test]
async fn explaining_shows_the_list() {
    let (world, item, pull) = in_review(|_| {}).await;
    let heading = "What still stands between the pull request and its merge:";
    let ended = world.program("roundsman", &["explain", &item.to_string()]).await;
    assert!(ended.out.ends_with(&format!("{heading}\n  - {REVIEWERS}\n")), "{ended:#?}");
    let ended = world.program("roundsman", &["explain", &item.to_string(), "--json"]).await;
    assert_eq!(ended.json()["open"], serde_json::json!([REVIEWERS]), "{ended:#?}");
    let reviewer = world.universe.reviewer.clone();
    world.universe.emulator.vote(pull, 10, &reviewer).unwrap();
    let ended = world.program("roundsman", &["explain", &item.to_string()]).await;
    assert!(!ended.out.contains("What still stands"), "{ended:#?}");
}

#[tokio::test]
async fn how_it_is_taken_back_is_told_before_and_after_the_merge() {
    let (mut world, item, pull) = in_review(|_| {}).await;
    let (emulator, reviewer) = (world.universe.emulator.clone(), world.universe.reviewer.clone());
    let before = comment(&world, item);
    assert!(before.contains("To take the change back after the merge, choose Revert"), "{before}");
    assert!(
        before.contains(&format!("pullrequest/{pull}\">pull request !{pull}</a>: it prepares")),
        "{before}"
    );
    assert!(before.contains("for a pull request into main."), "{before}");
    world.assert_quiet().await;

    emulator.vote(pull, 10, &reviewer).unwrap();
    emulator.complete(pull, "squash", &reviewer).unwrap();
    world.go(|world| world.is_closed(item)).await;
    let after = comment(&world, item);
    assert!(after.contains("To take the change back, choose Revert"), "{after}");
    assert_eq!(open(&world, item), [""; 0], "{after}");
    let closing: Vec<String> =
        world.comments(item).into_iter().filter(|text| Marker::find(text).is_none()).collect();
    let told = closing.iter().filter(|text| text.contains("choose Revert") && text.contains("into main."));
    assert_eq!(told.count(), 1, "{closing:#?}");
    assert!(closing.iter().any(|text| text.contains(&format!("pullrequest/{pull}\""))), "{closing:#?}");
    world.assert_quiet().await;
}

/// A person may point the pull request elsewhere.
#[tokio::test]
async fn a_change_is_taken_back_from_where_it_goes() {
    let (world, item, pull) = in_review(|_| {}).await;
    let (emulator, owner) = (world.universe.emulator.clone(), world.universe.owner.clone());
    let head = emulator.head(&world.universe.repository, MAIN).unwrap();
    emulator.force_branch(&world.universe.repository, "refs/heads/release", &head, &owner).unwrap();
    emulator.retarget(pull, "refs/heads/release", &owner).unwrap();
    let _ = world.tick().await;
    world.assert_quiet().await;
    let text = comment(&world, item);
    assert!(text.contains("for a pull request into release."), "{text}");
}
