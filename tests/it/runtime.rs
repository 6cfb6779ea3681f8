//! The contract of runtimes, on child processes, and what only they promise: never believed dead or alive by a pid.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

pub(crate) mod suite;

use crate::worker::{PATIENCE, World, run_id, runtime_at};
use async_trait::async_trait;
use roundsman::{
    domain::{AgentFailure, AgentResult, Step, StepResult, WorkerState},
    runtime::{Error, Handover, Runtime, process::ProcessRuntime, spec::WorkerSpec},
};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use suite::{Bench, LOOK, TURN};

/// Child processes and a repository on disk.
struct ProcessBench {
    world: World,
    other: ProcessRuntime,
}

fn processes() -> std::future::Ready<Option<ProcessBench>> {
    let world = World::new();
    let other = runtime_at(&world.path().join("runs"));
    std::future::ready(Some(ProcessBench { world, other }))
}

impl ProcessBench {
    fn file(&self, step: Step, name: &str) -> PathBuf {
        self.world.runtime.step_dir(run_id(), TURN, step).join(name)
    }
}

#[async_trait]
impl Bench for ProcessBench {
    fn runtime(&self) -> &dyn Runtime {
        &self.world.runtime
    }

    fn other(&self) -> &dyn Runtime {
        &self.other
    }

    fn spec(&self, step: Step, program: &str) -> WorkerSpec {
        self.world.spec(step, 1, program)
    }

    async fn half_start(&self, spec: &WorkerSpec) {
        self.world.step(spec).await;
        for file in ["latch", "lock", "status.json", "pid"] {
            fs::remove_file(self.file(spec.step, file)).unwrap();
        }
    }

    async fn kill(&self, step: Step) {
        let worker = Pid::from_raw(appears(&self.file(step, "pid")).await.parse().unwrap()).unwrap();
        kill_process_group(worker, Signal::KILL).unwrap();
    }

    async fn saved(&self) -> Vec<String> {
        self.world.saved(1)
    }

    async fn readable(&self) -> String {
        let below = Command::new("grep").args(["-ra", "."]).arg(self.world.path()).output().unwrap();
        let arguments = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
            .map(|command| String::from_utf8_lossy(&command).into_owned());
        String::from_utf8_lossy(&below.stdout).into_owned() + &arguments.collect::<String>()
    }
}

suite::contract!(processes);

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

async fn state(world: &World) -> WorkerState {
    let workers = world.runtime.workers_of(run_id()).await.unwrap();
    workers.into_iter().find(|worker| worker.step == Step::Agent).unwrap().state
}

#[tokio::test]
async fn a_reused_pid_fools_nobody_and_orphans_are_found() {
    let world = World::new();
    let agent = busy(&world).await;
    let pid_file = world.runtime.step_dir(run_id(), TURN, Step::Agent).join("pid");
    let worker = Pid::from_raw(appears(&pid_file).await.parse().unwrap()).unwrap();
    kill_process_group(worker, Signal::KILL).unwrap();
    world.runtime.wait(run_id(), TURN, Step::Agent, PATIENCE).await.unwrap();

    // The number now belongs to somebody else.
    let mut bystander = Command::new("sleep").arg("300").spawn().unwrap();
    fs::write(&pid_file, bystander.id().to_string()).unwrap();
    assert!(matches!(state(&world).await, WorkerState::Crashed { .. }));
    world.runtime.stop(run_id()).await.unwrap();
    assert!(is_dead(&agent), "the orphan of the crashed worker is found by its mark");
    assert!(matches!(bystander.try_wait(), Ok(None)), "a bystander lives");
    kill_process(Pid::from_child(&bystander), Signal::KILL).unwrap();
    bystander.wait().unwrap();
}

#[tokio::test]
async fn a_stop_ends_the_agent() {
    let world = World::new();
    let agent = busy(&world).await;
    world.runtime.stop(run_id()).await.unwrap();
    assert!(is_dead(&agent));
}

#[tokio::test]
async fn a_signal_stops_like_a_file() {
    let world = World::new();
    busy(&world).await;
    let pid_file = world.runtime.step_dir(run_id(), TURN, Step::Agent).join("pid");
    let worker = Pid::from_raw(appears(&pid_file).await.parse().unwrap()).unwrap();
    kill_process(worker, Signal::TERM).unwrap();
    world.runtime.wait(run_id(), TURN, Step::Agent, PATIENCE).await.unwrap();
    let state = state(&world).await;
    let WorkerState::Finished(StepResult::Agent(AgentResult::Failed { class, .. })) = state else {
        panic!("{state:?}")
    };
    assert_eq!(class, AgentFailure::Stopped);
    assert_eq!(world.saved(1), ["wip.txt"]);
}

#[tokio::test]
async fn health_says_what_is_missing() {
    let world = World::new();
    world.runtime.health().await.unwrap();
    let missing = ProcessRuntime::new(world.path(), vec!["/no/such/worker".into()]);
    assert!(matches!(missing.health().await, Err(Error::Unusable(_))));
}
