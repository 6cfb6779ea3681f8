//! The process runtime with real workers: one start, found again, never believed dead or alive by a pid.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::worker::{PATIENCE, World, run_id, runtime_at};
use roundsman::{
    domain::{AgentFailure, AgentResult, Step, StepResult, TurnNumber, WorkerState},
    runtime::{Error, Handover, Runtime, Started},
};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::{fs, path::Path, process::Command, time::Duration};

const TURN: TurnNumber = TurnNumber(1);
/// Between two looks of a test.
const LOOK: Duration = Duration::from_millis(50);

async fn state(world: &World) -> WorkerState {
    let workers = world.runtime.workers_of(run_id()).await.unwrap();
    workers.into_iter().find(|worker| worker.step == Step::Agent).unwrap().state
}

/// The content of a file, once it has any.
async fn appears(path: &Path) -> String {
    let look = async {
        loop {
            match fs::read_to_string(path) {
                Ok(text) if text.ends_with('\n') || text.parse::<u32>().is_ok() => {
                    return text.trim().to_owned();
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the file appears")
}

/// Starts an agent that works and then waits; its process id.
async fn busy(world: &World) -> String {
    world.fetch(1).await;
    let program = "echo x > wip.txt; echo $$ > $ROUNDSMAN_OUT/agent-pid; setsid sleep 300 & sleep 300";
    world.runtime.start(&world.spec(Step::Agent, 1, program), &Handover::default()).await.unwrap();
    appears(&world.runtime.places(run_id(), TURN).output.join("agent-pid")).await
}

fn is_dead(pid: &str) -> bool {
    // Nobody may have reaped it yet.
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

#[tokio::test]
async fn two_starts_are_one_worker_whoever_asks() {
    let world = World::new();
    world.fetch(1).await;
    let spec = world.spec(Step::Agent, 1, "echo x >> $ROUNDSMAN_OUT/starts; sleep 1; echo y > new.txt");
    let other = runtime_at(&world.path().join("runs"));
    let nothing = Handover::default();
    let (one, two) = tokio::join!(world.runtime.start(&spec, &nothing), other.start(&spec, &nothing));
    let news = [one.unwrap(), two.unwrap()].into_iter().filter(|started| *started == Started::New).count();
    assert_eq!(news, 1);
    let found = other.workers().await.unwrap();
    assert_eq!(found[&run_id()].len(), 2);
    assert_eq!(found[&run_id()][1].turn, spec.turn);
    other.wait(run_id(), TURN, Step::Agent, PATIENCE).await.unwrap();
    assert!(matches!(state(&world).await, WorkerState::Finished(_)));
    // Ended is ended.
    assert_eq!(other.start(&spec, &Handover::default()).await.unwrap(), Started::Adopted);
    let out = world.runtime.places(run_id(), TURN).output;
    assert_eq!(fs::read_to_string(out.join("starts")).unwrap(), "x\n");
    // A copy that read the world a moment later adopts the worker; one that means another source is a bug.
    let mut later = spec.clone();
    later.limits.repairs += 1;
    assert_eq!(other.start(&later, &Handover::default()).await.unwrap(), Started::Adopted);
    let mut different = spec.clone();
    different.source.url.push('x');
    assert!(matches!(other.start(&different, &Handover::default()).await, Err(Error::Differs { .. })));
}

#[tokio::test]
async fn a_start_that_died_before_its_worker_is_completed() {
    let world = World::new();
    world.fetch(1).await;
    let spec = world.spec(Step::Agent, 1, "echo y > new.txt");
    world.runtime.start(&spec, &Handover::default()).await.unwrap();
    world.runtime.wait(run_id(), TURN, Step::Agent, PATIENCE).await.unwrap();
    let directory = world.runtime.step_dir(run_id(), TURN, Step::Agent);
    for file in ["latch", "lock", "status.json", "pid"] {
        fs::remove_file(directory.join(file)).unwrap();
    }
    assert_eq!(state(&world).await, WorkerState::Created);
    assert_eq!(world.runtime.start(&spec, &Handover::default()).await.unwrap(), Started::Adopted);
    world.runtime.wait(run_id(), TURN, Step::Agent, PATIENCE).await.unwrap();
    assert!(matches!(state(&world).await, WorkerState::Finished(_)));
}

#[tokio::test]
async fn a_killed_worker_is_crashed_and_a_reused_pid_fools_nobody() {
    let world = World::new();
    let agent = busy(&world).await;
    assert!(matches!(state(&world).await, WorkerState::Running { .. }));
    assert!(matches!(world.runtime.remove(run_id()).await, Err(Error::StillAlive(_))));
    let pid_file = world.runtime.step_dir(run_id(), TURN, Step::Agent).join("pid");
    let worker = Pid::from_raw(appears(&pid_file).await.parse().unwrap()).unwrap();
    kill_process_group(worker, Signal::KILL).unwrap();
    world.runtime.wait(run_id(), TURN, Step::Agent, PATIENCE).await.unwrap();
    assert!(matches!(state(&world).await, WorkerState::Crashed { .. }));

    // The number now belongs to somebody else.
    let mut bystander = Command::new("sleep").arg("300").spawn().unwrap();
    fs::write(&pid_file, bystander.id().to_string()).unwrap();
    assert!(matches!(state(&world).await, WorkerState::Crashed { .. }));
    world.runtime.stop(run_id()).await.unwrap();
    assert!(is_dead(&agent), "the orphan of the crashed worker is found by its mark");
    assert!(matches!(bystander.try_wait(), Ok(None)), "a bystander lives");
    kill_process(Pid::from_child(&bystander), Signal::KILL).unwrap();
    bystander.wait().unwrap();
    world.runtime.remove(run_id()).await.unwrap();
    assert!(world.runtime.workers().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_stop_keeps_the_work() {
    let world = World::new();
    let agent = busy(&world).await;
    world.runtime.stop(run_id()).await.unwrap();
    assert!(is_dead(&agent));
    let state = state(&world).await;
    let WorkerState::Finished(StepResult::Agent { result: AgentResult::Failed { class, .. }, .. }) = state
    else {
        panic!("{state:?}")
    };
    assert_eq!(class, AgentFailure::Stopped);
    assert_eq!(world.saved(1), ["wip.txt"]);
}

#[tokio::test]
async fn a_container_runtime_stops_with_a_signal_and_the_log_is_plain() {
    let world = World::new();
    world.fetch(1).await;
    let program =
        "printf '\\033[31mred\\033[0m\\n'; echo x > wip.txt; echo $$ > $ROUNDSMAN_OUT/agent-pid; sleep 300";
    world.runtime.start(&world.spec(Step::Agent, 1, program), &Handover::default()).await.unwrap();
    appears(&world.runtime.places(run_id(), TURN).output.join("agent-pid")).await;
    let pid_file = world.runtime.step_dir(run_id(), TURN, Step::Agent).join("pid");
    let worker = Pid::from_raw(appears(&pid_file).await.parse().unwrap()).unwrap();
    kill_process(worker, Signal::TERM).unwrap();
    world.runtime.wait(run_id(), TURN, Step::Agent, PATIENCE).await.unwrap();
    let state = state(&world).await;
    let WorkerState::Finished(StepResult::Agent { result: AgentResult::Failed { class, .. }, .. }) = state
    else {
        panic!("{state:?}")
    };
    assert_eq!(class, AgentFailure::Stopped);
    assert_eq!(world.saved(1), ["wip.txt"]);
    let log = world.runtime.log_tail(run_id(), TURN, Step::Agent, 10_000).await.unwrap();
    assert!(log.contains("\nred\n") && log.trim_end().lines().last().unwrap().starts_with('{'), "{log}");
    assert!(world.runtime.log_tail(run_id(), TURN, Step::Agent, 5).await.unwrap().len() <= 5);
}

#[tokio::test]
async fn the_wall_limit_holds_although_nobody_watches() {
    let mut world = World::new();
    world.fetch(1).await;
    world.limits.wall_seconds = 2;
    let program = "trap '' TERM; echo x > wip.txt; while true; do echo busy; sleep 0.2; done";
    world.runtime.start(&world.spec(Step::Agent, 1, program), &Handover::default()).await.unwrap();
    // Only the file tells; no runtime looks.
    let status = world.runtime.step_dir(run_id(), TURN, Step::Agent).join("status.json");
    let look = async {
        while !status.exists() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("it ends by itself");
    assert!(fs::read_to_string(status).unwrap().contains(r#""class":"timeout""#));
    assert_eq!(world.saved(1), ["wip.txt"]);
}

#[tokio::test]
async fn health_says_what_is_missing() {
    let world = World::new();
    world.runtime.health().await.unwrap();
    let missing =
        roundsman::runtime::process::ProcessRuntime::new(world.path(), vec!["/no/such/worker".into()]);
    assert!(matches!(missing.health().await, Err(Error::Unusable(_))));
}
