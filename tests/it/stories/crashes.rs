//! SIGKILL of real processes at moments that chance picks; the seed is printed.

use crate::world::{
    World,
    harsh::{Dice, Program, number, pause, steps_below},
};
use jiff::SignedDuration;
use roundsman::emulator::Fault;
use std::{
    path::PathBuf,
    thread::{self, JoinHandle},
    time::Duration,
};

/// Programs killed in one telling.
fn kills() -> u64 {
    number("ROUNDSMAN_STORY_KILLS").unwrap_or(20)
}

/// Starts programs in turn and kills them after a while that chance picks, until `kills` were killed; worlds that got to
/// their end on the way are left for new ones. Every world ends as if nothing had happened.
async fn killing(story: &str, programs: &[Program], kills: u64) {
    let mut dice = Dice::new(story);
    let (mut killed, mut told, mut invocations) = (0, 0, 0);
    while killed < kills {
        let mut world = World::new().await;
        _ = world.tick().await;
        let item = world.universe.file_item(&["ready-for-agent"]).unwrap();
        while killed < kills && !world.is_closed(item) {
            for program in [Program::Poller, Program::Watcher] {
                let mut invocation = world.start(program);
                invocations += 1;
                let is_victim = programs.iter().any(|victim| {
                    matches!(
                        (victim, program),
                        (Program::Poller, Program::Poller) | (Program::Watcher, Program::Watcher)
                    )
                });
                if is_victim {
                    // Programs that only look take a tenth of a second, those that push a second or two.
                    let sides = if dice.roll(3) == 0 { 1_500 } else { 200 };
                    let moment = dice.roll(sides);
                    for _ in 0..=moment / 5 {
                        if invocation.is_over() {
                            break;
                        }
                        pause(5).await;
                    }
                    killed += u64::from(invocation.kill());
                } else {
                    invocation.ends().await;
                }
            }
            _ = world.universe.review();
        }
        world.survives(item).await;
        world.assert_survived(item).await;
        told += 1;
    }
    println!("{story}: {killed} of {invocations} invocations killed, {told} runs merged, seed {}", dice.seed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_killed_at_any_moment_costs_nothing_but_time() {
    killing("killed watchers", &[Program::Watcher], kills()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_programs_killed_at_any_moment_still_merge_once() {
    killing("killed programs", &[Program::Poller, Program::Watcher], kills()).await;
}

/// The poller has its say only once in a run, so each of these is a world of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poller_killed_around_its_claim_leaves_one_claim() {
    let mut dice = Dice::new("killed pollers");
    let (mut killed, mut claimed) = (0, 0);
    for _ in 0..kills().div_ceil(4) {
        let world = World::new().await;
        _ = world.tick().await;
        let item = world.universe.file_item(&["ready-for-agent"]).unwrap();
        for _ in 0..4 {
            let mut poller = world.start(Program::Poller);
            // Died before, while and right after the request went out, by what the service has seen.
            let requests = dice.roll(12) as usize;
            let before = world.universe.emulator.request_log().len();
            for _ in 0..2_000 {
                if poller.is_over() || world.universe.emulator.request_log().len() >= before + requests {
                    break;
                }
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
            killed += u64::from(poller.kill());
            claimed += u64::from(!world.comments(item).is_empty());
        }
        let mut world = world;
        world.survives(item).await;
        world.assert_survived(item).await;
    }
    println!("killed pollers: {killed} killed, {claimed} times with a claim on the item, seed {}", dice.seed);
}

/// Kills the worker that is alive after so many looks at live workers; its step.
fn kill_one(runs: PathBuf, mut looks: u64) -> JoinHandle<Option<String>> {
    thread::spawn(move || {
        for _ in 0..8_000 {
            for step in steps_below(&runs) {
                let is_begun = step.join("pid").exists() && !step.join("status.json").exists();
                if is_begun && looks == 0 && World::kill_worker(&step) {
                    return Some(step.file_name()?.to_string_lossy().into_owned());
                }
                looks = looks.saturating_sub(u64::from(is_begun));
            }
            thread::sleep(Duration::from_millis(2));
        }
        None
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_workers_are_replaced_and_nothing_is_done_twice() {
    let mut dice = Dice::new("killed workers");
    let mut killed = Vec::new();
    for _ in 0..kills().div_ceil(8) {
        let mut world = World::new().await;
        _ = world.tick().await;
        let item = world.universe.file_item(&["ready-for-agent"]).unwrap();
        // Two, because the third loss is a person's: the budget of the executor.
        for _ in 0..2 {
            let killer = kill_one(world.settings().state_dir.join("runs"), dice.roll(150));
            world.survives_until(|world| killer.is_finished() || world.is_closed(item)).await;
            if killer.is_finished() {
                killed.extend(killer.join().unwrap());
            } else {
                break;
            }
            // Longer than the back-off of one loss.
            world.passes(SignedDuration::from_mins(5));
        }
        world.survives(item).await;
        world.assert_survived(item).await;
    }
    println!("killed workers: {killed:?}, seed {}", dice.seed);
    assert!(!killed.is_empty());
}

/// Kills the publish worker before or after its push; the service answers slowly there, so that the place is known.
/// `push` counts from 1. The work of an agent is paid once, whatever becomes of its publish step.
async fn publish_killed(push: usize, slow_after_push: bool) {
    let mut world = World::new().await;
    _ = world.tick().await;
    let item = world.universe.file_item(&["ready-for-agent"]).unwrap();
    let emulator = world.universe.emulator.clone();
    let pushes = |status: bool| {
        emulator
            .request_log()
            .iter()
            .filter(|seen| seen.operation == "git: push" && (!status || seen.status == 200))
            .count()
    };
    let slow = Duration::from_secs(4);
    let ask = || roundsman::emulator::Fault::on("git: discover").times(9).slow(slow);
    if slow_after_push {
        // Publish asks before the push, with it and after it.
        emulator.fault(ask().skip(discovers_before_push(push).await));
    }
    let mut is_armed = slow_after_push;
    let mut victim = None;
    for _ in 0..400 {
        let mut tick = world.start(Program::Watcher);
        let mut poll = world.start(Program::Poller);
        while !(tick.is_over() && poll.is_over()) {
            let publishing = world.steps().into_iter().filter(|step| step.ends_with("publish")).max();
            if !is_armed
                && pushes(true) + 1 == push
                && world.steps().iter().any(|step| step.ends_with("agent"))
            {
                // From here on only publish asks, and its first question takes long.
                emulator.fault(ask());
                is_armed = true;
            }
            let is_time = if slow_after_push { pushes(true) == push } else { is_armed };
            if let (true, None, Some(step)) = (is_time, &victim, publishing) {
                victim = World::kill_worker(&step).then_some(step);
            }
            pause(5).await;
        }
        if victim.is_some() {
            break;
        }
        // People are refused now and then; they try again.
        _ = world.universe.review();
        pause(30).await;
    }
    assert!(victim.is_some(), "publish was killed");
    assert_eq!(pushes(true), push - usize::from(!slow_after_push), "at the place that was meant");
    emulator.clear_faults();
    world.survives(item).await;
    world.assert_survived(item).await;
    let run = world.runs().await.pop().unwrap();
    let again: Vec<_> = run.turns.iter().filter(|turn| turn.work_of.is_some()).collect();
    let asks_people = push == 3;
    assert_eq!(again.len(), usize::from(!slow_after_push || asks_people), "{:?}", run.turns);
    assert_eq!(run.turns.len(), 3 + again.len(), "no agent was called twice: {:?}", run.turns);
    let lost = emulator.request_log().iter().filter(|seen| seen.operation == "git: push").count();
    println!(
        "publish killed {}: {lost} pushes",
        if slow_after_push { "after its push" } else { "before it" }
    );
}

/// How often git asks for references before and with a push of an undisturbed run.
async fn discovers_before_push(push: usize) -> u32 {
    let world = World::new().await;
    _ = world.tick().await;
    world.universe.file_item(&["ready-for-agent"]).unwrap();
    let pushed = |world: &World| {
        let log = world.universe.emulator.request_log();
        let mut pushes = log.iter().enumerate().filter(|(_, seen)| seen.operation == "git: push");
        pushes.nth(push - 1).map(|(place, _)| place)
    };
    world.until(|world| pushed(world).is_some()).await;
    let log = world.universe.emulator.request_log();
    let before = &log[..pushed(&world).unwrap()];
    u32::try_from(before.iter().filter(|seen| seen.operation == "git: discover").count()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_killed_after_its_push_is_believed_by_the_branch() {
    publish_killed(1, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_answered_although_publish_died_after_its_push() {
    publish_killed(3, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_killed_before_its_push_is_done_again_without_its_agent() {
    publish_killed(1, false).await;
}

/// Kills the watcher right after one effect of procedure: it is done, and nobody heard that it was. With and without the
/// memory it is not done again.
async fn killed_after(settings: &[&str], operation: &str, is_done: impl Fn(&World, i64) -> bool) {
    for forgets in [false, true] {
        let mut world = World::new().await;
        world.agent("printf 'A line.\\n' >> README.md; echo changed");
        for name in settings {
            world.set(name, "yes");
        }
        let emulator = world.universe.emulator.clone();
        emulator.require_work_item_link(&world.universe.repository, "refs/heads/main", true);
        let item = world.ask().await;
        world.go(|world| !world.universe.emulator.pull_requests().is_empty()).await;
        let pull = emulator.pull_requests()[0].id;
        if settings.is_empty() {
            emulator.unlink_pull_request(item, pull, &world.universe.owner).unwrap();
        }
        let count = || emulator.request_log().iter().filter(|seen| seen.operation == operation).count();
        let before = count();
        emulator.fault(Fault::on(operation).slow_answer(Duration::from_mins(1)));
        let mut is_killed = false;
        for _ in 0..400 {
            let mut watcher = world.start(Program::Watcher);
            while !watcher.is_over() {
                if is_done(&world, pull) {
                    is_killed = watcher.kill();
                }
                pause(5).await;
            }
            if is_killed {
                break;
            }
            pause(30).await;
        }
        assert!(is_killed && is_done(&world, pull), "it died right after {operation}");
        if forgets {
            world.forget();
        }
        world.until_green().await;
        for _ in 0..4 {
            let _ = world.tick().await;
        }
        assert!(is_done(&world, pull));
        assert_eq!(count(), before + 1, "{operation} was done once");
        assert_eq!(world.run().await.turns.len(), 1);
        world.assert_once(item);
        world.assert_quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_killed_after_publishing_a_draft_publishes_it_once() {
    killed_after(&["ROUNDSMAN_POLICY_DRAFT"], "pull request: update", |world, pull| {
        world.universe.emulator.pull_request(pull).is_some_and(|pull| !pull.draft)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_killed_after_arming_auto_complete_arms_it_once() {
    killed_after(&["ROUNDSMAN_POLICY_AUTO_COMPLETE"], "pull request: update", |world, pull| {
        world.universe.emulator.pull_request(pull).is_some_and(|pull| pull.auto_complete.is_some())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_killed_after_linking_the_item_links_it_once() {
    killed_after(&[], "work item: update", |world, pull| {
        world.universe.emulator.pull_request(pull).is_some_and(|pull| !pull.work_items.is_empty())
    })
    .await;
}
