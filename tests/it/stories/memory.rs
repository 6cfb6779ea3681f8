//! The memory is lost: the store's file is deleted, at every stage. Azure DevOps, git and the executor know the rest.

use crate::world::{World, harsh::pause};
use jiff::SignedDuration;
use roundsman::{
    decide::Hand,
    domain::{Run, Stage, Step, TurnNumber},
    emulator::Fault,
    shell::hands::lay_hand,
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

/// Nothing in Azure DevOps leads to a run that is over; what it left on the executor does.
#[tokio::test]
async fn a_memory_lost_after_the_end_keeps_nothing_on_the_executor_for_ever() {
    let (mut world, item) = begun().await;
    world.set("ROUNDSMAN_RUNTIME_RETENTION", "7d");
    world.survives(item).await;
    let left = world.run_dir().await;
    assert!(left.exists(), "people may still want to look at it");
    world.forget();
    world.passes(SignedDuration::from_hours(6 * 24));
    let _ = world.tick().await;
    assert!(left.exists(), "its time is not up");
    world.passes(SignedDuration::from_hours(2 * 24));
    let _ = world.tick().await;
    assert!(!left.exists(), "{:#?}", world.runs().await);
    world.assert_survived(item).await;
    world.assert_quiet().await;
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

/// Fails three times, which is once more than a run may without a person's word.
const FAILS_THRICE: &str = "echo x >> \"$WORLD/tries\"; test $(wc -l < \"$WORLD/tries\") -gt 3 || exit 1; \
                            printf 'A line.\\n' >> README.md";

/// Whether the comment could be brought up to date in the same act or not: the word itself stands in the item.
#[tokio::test]
async fn a_memory_lost_after_an_operators_hand_keeps_what_the_hand_granted() {
    for fault in [None, Some(Fault::on("work item comment: edit").lost())] {
        let mut world = World::new().await;
        world.agent(FAILS_THRICE);
        let item = world.ask().await;
        let _ = world.until_handed(item).await;
        let before = world.run().await;
        assert_eq!((before.turns.len(), &before.resumed), (2, &None));

        let struck = fault.is_some();
        if let Some(fault) = fault {
            world.universe.emulator.fault(fault);
        }
        let app = world.app().await;
        let laid = lay_hand(&app, &before, Hand::Retry).await.unwrap();
        assert!(struck || laid.what == "resume", "{laid:#?}");
        drop(app);
        assert_eq!(world.universe.emulator.faults_waiting(), 0);
        world.forget();
        let _ = world.tick().await;
        let run = world.run().await;
        let after = run.resumed.as_ref().map(|resumed| resumed.after);
        assert_eq!((run.id, after), (before.id, Some(TurnNumber(2))), "{run:#?}");
        // One more failure is forgiven, as after any word that lets a run go on.
        world.until_green().await;
        let run = world.run().await;
        assert_eq!(run.turns.len(), 4, "{run:#?}");
        world.assert_once(item);
        world.assert_quiet().await;
    }
}

#[tokio::test]
async fn a_memory_lost_after_an_operator_paused_a_run_stays_paused() {
    let (mut world, item) = begun().await;
    world.survives_until(|world| !world.universe.emulator.pull_requests().is_empty()).await;
    let run = world.run().await;
    let _ = lay_hand(&world.app().await, &run, Hand::Pause).await.unwrap();
    world.forget();
    let report = world.tick().await;
    assert!(report.lines.iter().any(|line| line.why.contains("paused")), "{report:#?}");
    assert_eq!(world.tags(item).iter().filter(|tag| *tag == "agent-paused").count(), 1);
    let _ = lay_hand(&world.app().await, &world.run().await, Hand::Resume).await.unwrap();
    world.forget();
    world.survives(item).await;
    world.assert_survived(item).await;
}
