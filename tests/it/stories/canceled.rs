//! Builds that somebody stopped: neither red nor green, and a person's stop stands (CI3).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use super::checks::{assert_one_turn_in_review, says, turns, until_a_close_look, validations, with_pipeline};
use crate::world::World;
use jiff::SignedDuration;

#[tokio::test]
async fn ci03_a_cancelled_build_is_neither_red_nor_green_and_queued_once_more() {
    let mut world = with_pipeline("true").await;
    world.universe.emulator.force_next_result(world.universe.pipeline, "canceled");
    world.ask().await;
    world.until_green().await;
    assert_one_turn_in_review(&world).await;
    assert_eq!(validations(&world).len(), 2);
    world.assert_quiet().await;
}

#[tokio::test]
async fn a_build_that_is_cancelled_twice_goes_to_people() {
    let mut world = with_pipeline("true").await;
    for _ in 0..2 {
        world.universe.emulator.force_next_result(world.universe.pipeline, "canceled");
    }
    let item = world.ask().await;
    let told = world.until_handed(item).await;
    assert!(told.contains("cancelled"), "{told}");
    assert_eq!((turns(&world).await, validations(&world).len()), (1, 2));
}

/// How far the build is when a person stops it. In its queue, the build itself goes on telling who; once it runs, the
/// service ends it and only its timeline tells.
#[derive(Clone, Copy, Debug)]
enum Reached {
    Queue,
    Job,
}

/// A run in review whose only build a person stopped; with the item and the pull request.
async fn stopped_by_a_person(reached: Reached) -> (World, i64, i64) {
    let mut world = with_pipeline("true").await;
    let (emulator, pipeline) = (world.universe.emulator.clone(), world.universe.pipeline);
    match reached {
        Reached::Queue => emulator.stall_pipeline(pipeline, true),
        Reached::Job => emulator.hold_pipeline(pipeline, true),
    }
    let item = world.ask().await;
    let begun = |status: &str| match reached {
        Reached::Queue => status == "notStarted",
        Reached::Job => status == "inProgress",
    };
    world.go(|world| validations(world).iter().any(|build| begun(&build.status))).await;
    let build = validations(&world).pop().unwrap();
    emulator.cancel_build(build.id, &world.universe.reviewer.clone());
    emulator.stall_pipeline(pipeline, false);
    emulator.hold_pipeline(pipeline, false);
    (world, item, build.pull_request.unwrap())
}

#[tokio::test]
async fn ci03_a_build_that_a_person_cancelled_waits_until_they_queue_it_again() {
    for reached in [Reached::Queue, Reached::Job] {
        let (mut world, item, pull) = stopped_by_a_person(reached).await;
        world.go(|world| says(world, item, "Reviewer cancelled a build")).await;
        until_a_close_look(&mut world).await;
        assert_eq!(validations(&world).len(), 1, "{reached:?}: their stop stands");
        assert_one_turn_in_review(&world).await;
        // Lost memory and a second look change nothing.
        world.lose_memory();
        let _ = world.tick().await;
        world.assert_quiet().await;
        assert_eq!(validations(&world).len(), 1, "{reached:?}");
        assert!(says(&world, item, "checks (cancelled)"), "{:#?}", world.comments(item));
        assert!(says(&world, item, "Waiting for Reviewer, who cancelled"), "{:#?}", world.comments(item));

        world.universe.emulator.requeue_validation(pull);
        world.until_green().await;
        assert_one_turn_in_review(&world).await;
        assert_eq!(validations(&world).len(), 2, "{reached:?}");
        assert!(!says(&world, item, "cancelled a build"), "{:#?}", world.comments(item));
        world.assert_once(item);
        world.assert_quiet().await;
    }
}

#[tokio::test]
async fn ci03_a_stop_that_nobody_takes_back_is_asked_about_and_whoever_lets_it_go_on_wants_a_build() {
    let (mut world, item, _) = stopped_by_a_person(Reached::Job).await;
    world.go(|world| says(world, item, "Reviewer cancelled a build")).await;
    world.passes(SignedDuration::from_hours(24 * 30));
    let told = world.until_handed(item).await;
    // Which of the two is noticed first depends on whether that visit looked closely.
    assert!(told.contains("a build was cancelled") || told.contains("nobody has reviewed"), "{told}");
    assert_eq!(validations(&world).len(), 1);
    world.passes(SignedDuration::from_secs(2));
    let owner = world.universe.owner.clone();
    world.universe.emulator.tag(item, "ready-for-agent", &owner).unwrap();
    world.until_green().await;
    assert_eq!(validations(&world).len(), 2, "queued once, by us");
    assert_one_turn_in_review(&world).await;
    world.assert_once(item);
}

/// We stop what runs when we queue it again; that is nobody's wish to wait.
#[tokio::test]
async fn ci03_a_build_that_we_stopped_ourselves_is_queued_once_more() {
    let mut world = with_pipeline("true").await;
    let (emulator, bot) = (world.universe.emulator.clone(), world.universe.bot.clone());
    emulator.hold_pipeline(world.universe.pipeline, true);
    let item = world.ask().await;
    world.go(|world| validations(world).iter().any(|build| build.status == "inProgress")).await;
    emulator.cancel_build(validations(&world).pop().unwrap().id, &bot);
    emulator.hold_pipeline(world.universe.pipeline, false);
    world.until_green().await;
    assert_one_turn_in_review(&world).await;
    assert_eq!(validations(&world).len(), 2);
    world.assert_once(item);
}
