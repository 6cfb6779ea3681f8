//! Two executors share one project. One of them dies; the other goes on with its run, and never before it is time.

use crate::world::{
    World,
    harsh::{Program, pause},
};
use jiff::SignedDuration;
use roundsman::{
    domain::{Outcome, Run, Stage, WorkerState},
    words::Marker,
};
use std::fs;

pub(super) const SLOW: &str = "touch \"$WORLD/begun\"; while test ! -e \"$WORLD/go\"; do echo working; sleep 0.1; done; \
                    echo done >> README.md; git commit -qam done";

/// The same project, seen from another executor with a memory of its own.
pub(super) fn executor(world: &World, name: &str) -> World {
    let mut there = world.elsewhere();
    let state = world.home().join(name);
    fs::create_dir_all(&state).unwrap();
    there.set("ROUNDSMAN_RUNTIME_EXECUTOR", name);
    there.set("ROUNDSMAN_STATE_DIR", &state.display().to_string());
    there
}

/// The owner has a run whose agent works, and is then switched off.
pub(super) async fn orphaned(script: &str) -> (World, i64) {
    let mut owner = World::new().await;
    owner.agent(script);
    let item = owner.ask().await;
    owner.until_there("begun").await;
    (owner, item)
}

fn claims(world: &World, item: i64) -> Vec<Marker> {
    let mut markers: Vec<Marker> =
        world.comments(item).iter().filter_map(|text| Marker::find(text)).collect();
    markers.sort_by_key(|marker| marker.run);
    markers.dedup_by_key(|marker| marker.run);
    markers
}

async fn works(world: &World) -> bool {
    let workers = world.app().await.runtime.workers().await.unwrap();
    workers.values().flatten().any(|worker| matches!(worker.state, WorkerState::Running { .. }))
}

async fn only(world: &World) -> Run {
    world.run().await
}

/// Also K9: nobody's clock but the service's counts, and a living owner is left alone.
#[tokio::test]
async fn a15_a_run_is_left_to_its_owner_until_its_time_is_over() {
    let (mut owner, item) = orphaned(SLOW).await;
    owner.passes(SignedDuration::from_hours(71));
    let other = executor(&owner, "other");
    let before = owner.universe.emulator.writes();
    for _ in 0..3 {
        let report = other.tick().await;
        assert!(report.lines.is_empty(), "{report:#?}");
    }
    assert_eq!(owner.universe.emulator.writes(), before);
    assert_eq!(claims(&owner, item).len(), 1);
    // Never is never.
    let mut never = executor(&owner, "never");
    never.set("ROUNDSMAN_POLICY_TAKEOVER_AFTER", "0");
    never.passes(SignedDuration::from_hours(500));
    assert!(never.tick().await.lines.is_empty());
}

#[tokio::test]
async fn a15_the_run_of_a_dead_executor_goes_on_elsewhere_on_its_branch() {
    let (mut owner, item) = orphaned(SLOW).await;
    owner.passes(SignedDuration::from_hours(80));
    let mut other = executor(&owner, "other");
    let report = other.tick().await;
    assert!(report.lines.iter().any(|line| line.what == "taken-over"), "{report:#?}");
    let told = claims(&owner, item);
    assert_eq!(told.len(), 2, "{told:#?}");
    let branch = only(&owner).await.branch();
    assert_eq!(told[1].continues, Some(branch.clone()));
    assert!(told[1].run.revision > told[0].run.revision, "a new epoch");

    fs::write(owner.home().join("go"), "").unwrap();
    other.until_green().await;
    let run = only(&other).await;
    assert_eq!(run.branch(), branch);
    assert_eq!(other.agent_branches(), [branch.full()], "one branch, the old one");
    assert_eq!(run.turns.len(), 2, "the lost turn still counts: {run:#?}");
}

/// Also A15: the owner comes back with its worker alive, and lets go without a word to anybody else.
#[tokio::test]
async fn a15_an_owner_that_comes_back_finds_itself_replaced() {
    let (mut owner, item) = orphaned(SLOW).await;
    owner.passes(SignedDuration::from_hours(80));
    let mut other = executor(&owner, "other");
    let report = other.tick().await;
    assert!(report.lines.iter().any(|line| line.what == "taken-over"), "{report:#?}");
    assert!(works(&owner).await, "the old worker lives");

    let tags = owner.tags(item);
    for _ in 0..3 {
        let _ = owner.tick().await;
    }
    let old = only(&owner).await;
    assert!(matches!(old.stage, Stage::Closed { outcome: Outcome::Superseded, .. }), "{old:#?}");
    assert!(!works(&owner).await, "its worker was stopped");
    assert_eq!(owner.tags(item), tags, "the label is the new owner's");
    assert!(owner.agent_branches().is_empty() && owner.universe.emulator.pull_requests().is_empty());

    fs::write(owner.home().join("go"), "").unwrap();
    other.until_green().await;
    let _ = owner.tick().await;
    assert_eq!(owner.universe.emulator.pull_requests().len(), 1);
    assert_eq!(owner.tags(item), tags);
}

/// Also A15: nothing but its own worker tells the old owner of the run, and that the run is another's.
#[tokio::test]
async fn a15_an_owner_that_forgot_the_run_stops_its_worker_and_keeps_the_evidence() {
    let (mut owner, item) = orphaned(SLOW).await;
    let run = only(&owner).await.id;
    owner.passes(SignedDuration::from_hours(80));
    let mut other = executor(&owner, "other");
    let report = other.tick().await;
    assert!(report.lines.iter().any(|line| line.what == "taken-over"), "{report:#?}");
    assert!(works(&owner).await, "the old worker lives");

    owner.set("ROUNDSMAN_RUNTIME_RETENTION", "7d");
    owner.forget();
    let (tags, writes) = (owner.tags(item), owner.universe.emulator.writes());
    let report = owner.tick().await;
    let stopped: Vec<_> = report.lines.iter().filter(|line| line.what == "stopped").collect();
    assert!(stopped.len() == 1 && stopped[0].run == Some(run), "{report:#?}");
    assert!(!works(&owner).await);
    let report = owner.tick().await;
    assert!(report.lines.is_empty(), "{report:#?}");
    assert_eq!((owner.universe.emulator.writes(), owner.tags(item)), (writes, tags));
    let evidence = async |owner: &World| owner.app().await.runtime.leftovers().await.unwrap();
    assert_eq!(evidence(&owner).await, [run], "what it had done is kept");

    fs::write(owner.home().join("go"), "").unwrap();
    other.until_green().await;
    owner.passes(SignedDuration::from_hours(24 * 8));
    for _ in 0..2 {
        let _ = owner.tick().await;
    }
    assert_eq!(evidence(&owner).await, [], "and removed in its time");
    assert_eq!(claims(&owner, item).len(), 2);
    assert_eq!(owner.universe.emulator.pull_requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a15_of_two_that_take_over_at_once_one_wins() {
    let (mut owner, item) = orphaned(SLOW).await;
    // Real programs have the real clock: what has to pass is made short instead.
    let mut others = [executor(&owner, "left"), executor(&owner, "right")];
    for other in &mut others {
        other.set("ROUNDSMAN_POLICY_TAKEOVER_AFTER", "1s");
    }
    owner.passes(SignedDuration::ZERO);
    pause(1_500).await;
    let mut started: Vec<_> = others.iter().map(|other| other.start(Program::Watcher)).collect();
    for invocation in &mut started {
        invocation.ends().await;
    }
    let told = claims(&owner, item);
    assert_eq!(told.len(), 2, "one new claim: {told:#?}");
    assert!(told[1].continues.is_some());
}

/// The owner has two runs, and is then switched off.
async fn two_orphans(owner: &mut World) {
    owner.agent(SLOW);
    owner.set("ROUNDSMAN_INTAKE_MAX_RUNS_PER_REPOSITORY", "2");
    let items = [owner.ask().await, owner.universe.file_item(&["ready-for-agent"]).unwrap()];
    owner.go(|world| items.iter().all(|item| world.tags(*item).contains(&"agent-in-progress".into()))).await;
    owner.passes(SignedDuration::from_hours(80));
}

async fn takes_over(world: &World) -> usize {
    world.tick().await.lines.iter().filter(|line| line.what == "taken-over").count()
}

#[tokio::test]
async fn a_takeover_takes_room_like_a_claim() {
    let mut owner = World::new().await;
    two_orphans(&mut owner).await;
    let mut other = executor(&owner, "other");
    other.set("ROUNDSMAN_INTAKE_MAX_RUNS", "1");
    assert_eq!(takes_over(&other).await, 1, "also within one visit");
    assert_eq!(takes_over(&other).await, 0);
    other.set("ROUNDSMAN_INTAKE_MAX_RUNS", "2");
    other.set("ROUNDSMAN_INTAKE_MAX_RUNS_PER_REPOSITORY", "1");
    assert_eq!(takes_over(&other).await, 0, "its repository is busy");
    other.set("ROUNDSMAN_INTAKE_MAX_RUNS_PER_REPOSITORY", "2");
    assert_eq!(takes_over(&other).await, 1);
    fs::write(owner.home().join("go"), "").unwrap();
}

#[tokio::test]
async fn runs_that_wait_for_people_leave_room_for_a_takeover() {
    let mut owner = World::new().await;
    owner.agent("echo 'Which greeting?' > \"$ROUNDSMAN_OUT/question.md\"");
    let mut other = executor(&owner, "other");
    let item = other.ask().await;
    other.until_handed(item).await;
    two_orphans(&mut owner).await;
    let mut other = executor(&owner, "other");
    other.set("ROUNDSMAN_INTAKE_MAX_RUNS", "1");
    assert_eq!(takes_over(&other).await, 1);
    fs::write(owner.home().join("go"), "").unwrap();
}
