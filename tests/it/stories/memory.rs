//! The memory is lost: the store's file is deleted, at every stage. Azure DevOps, git and the executor know the rest.

use crate::world::{World, harsh::pause};
use roundsman::{
    domain::{Run, Stage, Step},
    emulator::Fault,
};

/// Ticks and polls until a run is at `stage`, then loses the memory, then goes on to the end.
async fn forgotten_at(world: &mut World, item: i64, stage: impl Fn(&Run) -> bool) {
    let mut forgotten = false;
    for _ in 0..400 {
        if world.runs().await.first().is_some_and(&stage) {
            world.forget();
            forgotten = true;
            break;
        }
        _ = world.tick().await;
        if world.runs().await.first().is_some_and(&stage) {
            continue;
        }
        _ = world.poll().await;
        if world.runs().await.first().is_some_and(&stage) {
            continue;
        }
        world.universe.review().unwrap();
        pause(10).await;
    }
    assert!(forgotten, "the stage was reached: {:#?}", world.runs().await);
    world.survives(item).await;
    world.assert_survived(item).await;
}

async fn begun() -> (World, i64) {
    let world = World::new().await;
    _ = world.tick().await;
    let item = world.universe.file_item(&["ready-for-agent"]).unwrap();
    (world, item)
}

#[tokio::test]
async fn a_memory_lost_after_the_claim_is_found_in_the_work_item() {
    let (mut world, item) = begun().await;
    // A worker that cannot be started leaves the claim alone.
    world.set("ROUNDSMAN_RUNTIME_WORKER", "/bin/false");
    _ = world.poll().await;
    assert!(matches!(world.stage().await, Stage::Working { step: Step::Fetch, .. } | Stage::Claimed));
    world.vars.remove("ROUNDSMAN_RUNTIME_WORKER");
    forgotten_at(&mut world, item, |_| true).await;
}

#[tokio::test]
async fn a_memory_lost_while_the_agent_works_adopts_the_agent() {
    let (mut world, item) = begun().await;
    forgotten_at(&mut world, item, |run| matches!(run.stage, Stage::Working { step: Step::Agent, .. })).await;
    let runs = world.runs().await;
    // Implement, fix forward, respond: as in a run that nobody disturbs.
    assert_eq!(runs[0].turns.len(), 3, "nothing was worked twice: {runs:#?}");
}

#[tokio::test]
async fn a_memory_lost_between_push_and_pull_request_opens_one() {
    let (mut world, item) = begun().await;
    world.universe.emulator.fault(Fault::on("pull request: create").lost());
    forgotten_at(&mut world, item, |run| matches!(run.stage, Stage::Pushed { .. })).await;
}

#[tokio::test]
async fn a_memory_lost_after_an_unheard_pull_request_adopts_it() {
    let (mut world, item) = begun().await;
    world.universe.emulator.fault(Fault::on("pull request: create").answer_lost());
    forgotten_at(&mut world, item, |run| matches!(run.stage, Stage::Pushed { .. })).await;
}

#[tokio::test]
async fn a_memory_lost_in_review_goes_on_in_review() {
    let (mut world, item) = begun().await;
    forgotten_at(&mut world, item, |run| matches!(run.stage, Stage::InReview { .. })).await;
}

#[tokio::test]
async fn a_memory_lost_while_people_are_answered_answers_once() {
    let (mut world, item) = begun().await;
    let answering = |run: &Run| run.turns.len() > 1 && matches!(run.stage, Stage::Working { .. });
    forgotten_at(&mut world, item, answering).await;
}

#[tokio::test]
async fn a_memory_lost_after_the_answer_does_not_answer_again() {
    let (mut world, item) = begun().await;
    let answered = |run: &Run| run.turns.len() > 1 && matches!(run.stage, Stage::InReview { .. });
    forgotten_at(&mut world, item, answered).await;
}

#[tokio::test]
async fn a_memory_lost_in_every_round_still_merges_once() {
    let (mut world, item) = begun().await;
    let mut lost = 0;
    for _ in 0..200 {
        if world.is_closed(item) {
            break;
        }
        world.forget();
        lost += 1;
        _ = world.tick().await;
        _ = world.poll().await;
        world.universe.review().unwrap();
        pause(30).await;
    }
    world.survives(item).await;
    world.assert_once(item);
    let seen = world.seen(item);
    assert_eq!((seen.pulls.len(), &*seen.replies, seen.said), (1, &[1][..], 1), "{seen:#?}");
    println!("lost {lost} memories");
}

#[tokio::test]
async fn a_memory_lost_after_people_were_asked_still_hears_their_answer() {
    let (mut world, item) = begun().await;
    world.survives_until(|world| !world.universe.emulator.pull_requests().is_empty()).await;
    let pull = world.universe.emulator.pull_requests()[0].id;
    // A rejection without words is for people to talk about.
    world.universe.emulator.vote(pull, -10, &world.universe.reviewer).unwrap();
    let mut asked = false;
    for _ in 0..200 {
        _ = world.tick().await;
        asked = matches!(world.stage().await, Stage::Escalated { .. });
        if asked {
            break;
        }
        pause(30).await;
    }
    assert!(asked, "people were asked: {:#?}", world.runs().await);
    world.forget();
    _ = world.tick().await;
    let before = world.universe.emulator.writes();
    _ = world.tick().await;
    assert_eq!(world.universe.emulator.writes(), before, "people were asked once");
    world.universe.emulator.vote(pull, 10, &world.universe.reviewer).unwrap();
    world.universe.emulator.complete(pull, "squash", &world.universe.reviewer).unwrap();
    for _ in 0..50 {
        _ = world.tick().await;
        if world.is_closed(item) {
            break;
        }
    }
    assert!(world.is_closed(item), "{:#?}", world.universe.emulator.item(item));
    _ = world.tick().await;
    world.assert_once(item);
    assert!(matches!(world.stage().await, Stage::Closed { .. }));
}
