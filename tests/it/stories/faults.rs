//! One fault at every single request of the road, then none until the end: what people see must be what they see when
//! nothing goes wrong.

use crate::world::{
    World,
    harsh::{Dice, Seen, number, pause},
};
use futures_util::{FutureExt, StreamExt, stream};
use roundsman::emulator::Fault;
use std::{collections::BTreeMap, panic::AssertUnwindSafe};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    Lost,
    AnswerLost,
    Late,
    Unavailable,
    Stale,
}

/// One fault: this request of this operation.
#[derive(Clone, Debug)]
struct Case {
    operation: String,
    nth: u32,
    wrong: Wrong,
}

impl Case {
    fn fault(&self) -> Fault {
        let fault = Fault::on(&self.operation).skip(self.nth);
        match self.wrong {
            Wrong::Lost => fault.lost(),
            Wrong::AnswerLost => fault.answer_lost(),
            Wrong::Late => fault.late(2),
            Wrong::Unavailable => fault.unavailable(),
            Wrong::Stale => fault.stale(),
        }
    }
}

async fn road(fault: Option<Fault>) -> (World, i64, bool) {
    let mut world = World::new().await;
    _ = world.tick().await;
    let item = world.universe.file_item(&["ready-for-agent", "customer-x"]).unwrap();
    if let Some(fault) = fault {
        world.universe.emulator.fault(fault);
    }
    world.survives(item).await;
    let struck = world.universe.emulator.faults_waiting() == 0;
    (world, item, struck)
}

/// The requests of an undisturbed road, and a fault for each: writes one by one, reads by their first (what is read
/// first decides most) and their middle occurrence (what is read right after a write of ours).
fn cases(world: &World, begin: usize) -> Vec<Case> {
    let mut counts: BTreeMap<(String, bool), u32> = BTreeMap::new();
    for seen in &world.universe.emulator.request_log()[begin..] {
        *counts.entry((seen.operation.clone(), seen.write)).or_default() += 1;
    }
    let mut cases = Vec::new();
    for ((operation, is_write), count) in counts {
        let case = |nth, wrong| Case { operation: operation.clone(), nth, wrong };
        if is_write {
            for nth in 0..count {
                let kinds = [Wrong::Lost, Wrong::AnswerLost, Wrong::Late, Wrong::Unavailable];
                cases.extend(kinds.map(|wrong| case(nth, wrong)));
            }
        } else {
            cases.extend([Wrong::Lost, Wrong::Unavailable].map(|wrong| case(0, wrong)));
            let mut looks = vec![0, 1, count / 3, count / 2, count - 1];
            looks.retain(|nth| *nth < count);
            looks.sort_unstable();
            looks.dedup();
            cases.extend(looks.into_iter().map(|nth| case(nth, Wrong::Stale)));
        }
    }
    cases
}

/// Why the world differs from the undisturbed one, if it does.
async fn differs(case: &Case, undisturbed: &Seen) -> (bool, Option<String>) {
    let told = AssertUnwindSafe(async {
        let (world, item, struck) = road(Some(case.fault())).await;
        let seen = world.seen(item);
        assert_eq!(&seen, undisturbed);
        world.assert_survived(item).await;
        struck
    });
    match told.catch_unwind().await {
        Ok(struck) => {
            println!("{case:?} changes nothing (struck: {struck})");
            (struck, None)
        }
        Err(why) => {
            let why = why.downcast_ref::<String>().cloned().unwrap_or_else(|| "panicked".into());
            println!("{case:?} differs");
            (true, Some(why))
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fault_anywhere_on_the_road_changes_nothing_that_people_see() {
    /// Told in every run of the suite; all of them with `ROUNDSMAN_STORY_ALL`.
    const SAMPLE: usize = 24;
    let begun = World::new().await.universe.emulator.request_log().len() + 1;
    let (world, item, _) = road(None).await;
    let undisturbed = world.seen(item);
    world.assert_survived(item).await;
    let mut cases = cases(&world, begun);
    let all = cases.len();
    if number("ROUNDSMAN_STORY_ALL").is_none() {
        // A rotation, not a lottery: consecutive seeds tell all of them.
        let every = all.div_ceil(SAMPLE);
        let offset = Dice::new("faults").seed as usize % every;
        cases = cases.into_iter().skip(offset).step_by(every).collect();
    } else if let Some(from) = number("ROUNDSMAN_STORY_FROM") {
        // The rest of a long telling that was cut short.
        cases.drain(..all.min(from as usize));
    }
    let told: Vec<_> = stream::iter(&cases)
        .map(async |case| (case, differs(case, &undisturbed).await))
        .buffer_unordered(4)
        .collect()
        .await;
    let mut counts: BTreeMap<Wrong, (u32, u32)> = BTreeMap::new();
    let mut failures = Vec::new();
    for (case, (struck, why)) in told {
        let count = counts.entry(case.wrong).or_default();
        count.0 += 1;
        count.1 += u32::from(struck);
        if let Some(why) = why {
            let why: String = why.chars().take(4_000).collect();
            failures.push(format!("{case:?}: {why}"));
        }
    }
    println!("faults: {} of {all} told, (armed, struck) {counts:?}", cases.len());
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n\n"));
}

#[tokio::test]
async fn a_service_that_lags_behind_everywhere_is_waited_for() {
    let mut world = World::new().await;
    _ = world.tick().await;
    let emulator = world.universe.emulator.clone();
    emulator.set_index_lag(4);
    emulator.set_merge_lag(3);
    emulator.set_push_lag(3);
    emulator.set_evaluation_lag(3);
    emulator.set_completion_lag(3);
    emulator.set_work_item_link_lag(3);
    let item = world.universe.file_item(&["ready-for-agent"]).unwrap();
    // With four writes of lag a lonely item is never found: somebody else is busy, too.
    for n in 0..4 {
        world.universe.file_item(&[&format!("other-{n}")]).unwrap();
    }
    world.survives(item).await;
    emulator.set_index_lag(0);
    _ = world.tick().await;
    world.assert_survived(item).await;
}

#[tokio::test]
async fn somebody_who_saves_at_the_same_moment_is_never_overwritten() {
    let mut world = World::new().await;
    _ = world.tick().await;
    let emulator = world.universe.emulator.clone();
    let item = world.universe.file_item(&["ready-for-agent"]).unwrap();
    // The claim loses its race ...
    emulator.race_next_save(item, &world.universe.owner);
    _ = world.poll().await;
    assert!(world.comments(item).is_empty(), "a claim that lost makes no noise");
    world.survives_until(|world| !world.universe.emulator.pull_requests().is_empty()).await;
    // ... and so does the release.
    emulator.race_next_save(item, &world.universe.owner);
    world.survives(item).await;
    world.assert_survived(item).await;
}

#[tokio::test]
async fn a_label_of_ours_without_a_record_is_left_to_people() {
    let world = World::new().await;
    let item = world.universe.file_item(&["ready-for-agent", "agent-in-progress"]).unwrap();
    let writes = world.universe.emulator.writes();
    for _ in 0..3 {
        let tick = world.tick().await;
        assert!(tick.lines.iter().any(|line| line.what == "orphan" && line.item == 1), "{tick:#?}");
        _ = world.poll().await;
    }
    assert_eq!(world.universe.emulator.writes(), writes, "nobody touched it");
    assert!(world.runs().await.is_empty());
    // A person settles it by taking the label off.
    world.universe.emulator.untag(item, "agent-in-progress", &world.universe.owner).unwrap();
    let mut world = world;
    world.survives(item).await;
    world.assert_survived(item).await;
}

#[tokio::test]
async fn a_reply_that_arrives_after_it_was_given_up_is_not_said_twice() {
    for fault in [
        Fault::on("thread comment: add").answer_lost(),
        Fault::on("thread comment: add").late(1),
        Fault::on("thread comment: add").lost(),
    ] {
        let mut world = World::new().await;
        _ = world.tick().await;
        let item = world.universe.file_item(&["ready-for-agent"]).unwrap();
        world.universe.emulator.fault(fault);
        for _ in 0..400 {
            _ = world.tick().await;
            if world.universe.emulator.faults_waiting() == 0 {
                break;
            }
            _ = world.poll().await;
            _ = world.universe.review();
            pause(30).await;
        }
        // Whether it may still arrive is waited for; the programs' patience is a minute.
        world.passes(jiff::SignedDuration::from_secs(61));
        // The reviewer is slow: whoever merges at once hides that something is said again.
        for _ in 0..5 {
            _ = world.tick().await;
        }
        assert_eq!(world.seen(item).replies, [1]);
        world.survives(item).await;
        world.assert_survived(item).await;
    }
}
