//! What every runtime promises, told once. A bench is a world with one executor, seen by two copies of us; a runtime
//! joins with `contract!`. Knows no executor.

use crate::worker::{PATIENCE, run_id};
use async_trait::async_trait;
use roundsman::{
    domain::{AgentFailure, AgentResult, FetchResult, Step, StepResult, TurnNumber, WorkerState},
    runtime::{Credential, Error, Handover, Left, Runtime, Scheme, Started, is_evidence, spec::WorkerSpec},
};
use std::time::Duration;

pub(crate) const TURN: TurnNumber = TurnNumber(1);
/// Between two looks of a test.
pub(crate) const LOOK: Duration = Duration::from_millis(50);
/// As long as a personal access token.
pub(crate) const TOKEN: &str = "canarycanary0123456789canarycanary0123456789canary42";
/// In a variable of the agent.
pub(crate) const MODEL_KEY: &str = "canary-model-key-0123456789-canary";

/// A world with one executor.
#[async_trait]
pub(crate) trait Bench: Send + Sync {
    /// One copy of us.
    fn runtime(&self) -> &dyn Runtime;
    /// Another copy.
    fn other(&self) -> &dyn Runtime;
    /// What a step of turn 1 is told; `program` is the agent, for `sh -c`.
    fn spec(&self, step: Step, program: &str) -> WorkerSpec;
    /// A start of this fetch step that dies before its worker runs.
    async fn half_start(&self, spec: &WorkerSpec);
    /// Kills a worker as the kernel would.
    async fn kill(&self, step: Step);
    /// Names of the files that the agent step saved.
    async fn saved(&self) -> Vec<String>;
    /// Everything about workers that others on the machine can read.
    async fn readable(&self) -> String;
}

pub(crate) fn handover() -> Handover {
    Handover {
        credential: Some(Credential { scheme: Scheme::Pat, token: TOKEN.to_owned().into() }),
        environment: [("MODEL_KEY".to_owned(), MODEL_KEY.to_owned().into())].into(),
        ..Handover::default()
    }
}

/// The state of a step; none when it does not exist.
pub(crate) async fn state(bench: &dyn Bench, step: Step) -> Option<WorkerState> {
    let workers = bench.other().workers_of(run_id()).await.unwrap();
    workers.into_iter().find(|worker| worker.step == step).map(|worker| worker.state)
}

/// Starts a step and waits for its end.
pub(crate) async fn ended(bench: &dyn Bench, spec: &WorkerSpec) -> WorkerState {
    bench.runtime().start(spec, &handover()).await.unwrap();
    bench.runtime().wait(run_id(), TURN, spec.step, PATIENCE).await.unwrap();
    state(bench, spec.step).await.unwrap()
}

pub(crate) async fn log(bench: &dyn Bench, step: Step) -> String {
    bench.runtime().log_tail(run_id(), TURN, step, 10_000).await.unwrap()
}

pub(crate) async fn fetch(bench: &dyn Bench) {
    let state = ended(bench, &bench.spec(Step::Fetch, "")).await;
    let is_ready = matches!(state, WorkerState::Finished(StepResult::Fetch(FetchResult::Ready { .. })));
    assert!(is_ready, "{state:?}\n{}", log(bench, Step::Fetch).await);
}

/// Fetches, then plays the program as the agent.
pub(crate) async fn agent(bench: &dyn Bench, program: &str) -> AgentResult {
    fetch(bench).await;
    match ended(bench, &bench.spec(Step::Agent, program)).await {
        WorkerState::Finished(StepResult::Agent { result, .. }) => result,
        other => panic!("{other:?}\n{}", log(bench, Step::Agent).await),
    }
}

/// Looks until the agent has left a file.
pub(crate) async fn left(bench: &dyn Bench, file: &Left) -> String {
    let look = async {
        loop {
            if let Some(text) = bench.other().left(run_id(), TURN, file).await.unwrap() {
                return text;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the file appears")
}

/// An agent that works and then waits, once it does.
pub(crate) async fn busy(bench: &dyn Bench) {
    fetch(bench).await;
    let program = "echo x > wip.txt; setsid sleep 300 & echo on > $ROUNDSMAN_OUT/plan.md; sleep 300";
    bench.runtime().start(&bench.spec(Step::Agent, program), &handover()).await.unwrap();
    left(bench, &Left::Plan).await;
}

#[track_caller]
pub(crate) fn class(state: Option<WorkerState>) -> AgentFailure {
    match state {
        Some(WorkerState::Finished(StepResult::Agent {
            result: AgentResult::Failed { class, .. }, ..
        })) => class,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn two_starts_are_one_worker_whoever_asks(bench: &dyn Bench) {
    fetch(bench).await;
    let program = "sleep 1; echo x >> $ROUNDSMAN_OUT/plan.md; echo y > new.txt";
    let spec = bench.spec(Step::Agent, program);
    let secret = handover();
    let (one, two) = tokio::join!(bench.runtime().start(&spec, &secret), bench.other().start(&spec, &secret));
    let news = [one.unwrap(), two.unwrap()].into_iter().filter(|started| *started == Started::New).count();
    assert_eq!(news, 1);
    bench.other().wait(run_id(), TURN, Step::Agent, PATIENCE).await.unwrap();
    let end = state(bench, Step::Agent).await;
    assert!(matches!(end, Some(WorkerState::Finished(_))), "{end:?}");
    // Ended is ended.
    assert_eq!(bench.other().start(&spec, &secret).await.unwrap(), Started::Adopted);
    assert_eq!(bench.runtime().left(run_id(), TURN, &Left::Plan).await.unwrap().as_deref(), Some("x\n"));
    // A copy that read the world a moment later adopts the worker; one that means another source is a bug.
    let mut later = spec.clone();
    later.limits.repairs += 1;
    assert_eq!(bench.other().start(&later, &secret).await.unwrap(), Started::Adopted);
    let mut different = spec.clone();
    different.source.url.push('x');
    assert!(matches!(bench.other().start(&different, &secret).await, Err(Error::Differs { .. })));
}

pub(crate) async fn a_start_that_died_before_its_worker_is_completed(bench: &dyn Bench) {
    let spec = bench.spec(Step::Fetch, "");
    bench.half_start(&spec).await;
    assert_eq!(state(bench, Step::Fetch).await, Some(WorkerState::Created));
    assert_eq!(bench.other().start(&spec, &handover()).await.unwrap(), Started::Adopted);
    bench.other().wait(run_id(), TURN, Step::Fetch, PATIENCE).await.unwrap();
    let end = state(bench, Step::Fetch).await;
    let is_ready = matches!(end, Some(WorkerState::Finished(StepResult::Fetch(FetchResult::Ready { .. }))));
    assert!(is_ready, "{end:?}");
}

pub(crate) async fn a_killed_worker_is_crashed_and_only_the_dead_are_removed(bench: &dyn Bench) {
    busy(bench).await;
    let alive = state(bench, Step::Agent).await;
    assert!(matches!(alive, Some(WorkerState::Running { .. })), "{alive:?}");
    assert!(matches!(bench.runtime().remove(run_id()).await, Err(Error::StillAlive(_))));
    bench.kill(Step::Agent).await;
    bench.runtime().wait(run_id(), TURN, Step::Agent, PATIENCE).await.unwrap();
    let end = state(bench, Step::Agent).await;
    assert!(matches!(end, Some(WorkerState::Crashed { .. })), "{end:?}");
    assert_eq!(bench.other().leftovers().await.unwrap(), [run_id()]);
    bench.runtime().stop(run_id()).await.unwrap();
    bench.runtime().remove(run_id()).await.unwrap();
    assert!(bench.runtime().workers().await.unwrap().is_empty());
    assert!(bench.other().leftovers().await.unwrap().is_empty());
    bench.other().remove(run_id()).await.unwrap();
}

pub(crate) async fn a_stop_keeps_the_work(bench: &dyn Bench) {
    busy(bench).await;
    bench.other().stop(run_id()).await.unwrap();
    assert_eq!(class(state(bench, Step::Agent).await), AgentFailure::Stopped);
    assert_eq!(bench.saved().await, ["wip.txt"]);
    // Nothing to stop is fine.
    bench.runtime().stop(run_id()).await.unwrap();
}

pub(crate) async fn what_was_left_is_never_read_through_a_link(bench: &dyn Bench) {
    let program = r#"
        cd "$ROUNDSMAN_OUT"; mkdir real; echo secret > real/7.md; echo secret > real/x
        ln -s real replies; ln -s real/x plan.md; ln -s /etc/passwd title.txt; mkdir question.md
        printf 'fine\033[31m red' > pr.md; head -c 100000 /dev/zero | tr '\0' x >> pr.md
        ln -s ../real evidence/linked; ln -s /etc/passwd evidence/passwd; echo deep > evidence/deep
    "#;
    agent(bench, program).await;
    let read = async |file: Left| bench.other().left(run_id(), TURN, &file).await.unwrap();
    let text = read(Left::PullRequest).await.unwrap();
    assert!(text.starts_with("fine redx") && text.len() <= 64 << 10, "{}", text.len());
    for file in [Left::Plan, Left::Title, Left::Question, Left::Reply(roundsman::domain::ThreadId(7))] {
        assert_eq!(read(file.clone()).await, None, "{file:?}");
    }
    // The same for what people look at.
    let evidence = bench.other().evidence(run_id(), TURN).await.unwrap();
    let paths: Vec<&str> = evidence.iter().map(|file| file.path.as_str()).collect();
    assert!(paths.contains(&"pr.md") && paths.contains(&"evidence/deep"), "{paths:?}");
    assert!(paths.iter().all(|path| is_evidence(path) && !path.contains("linked")), "{paths:?}");
    assert!(!paths.contains(&"plan.md") && !paths.contains(&"evidence/passwd"), "{paths:?}");
    let read =
        async |path: &str, limit| bench.other().read_evidence(run_id(), TURN, path, limit).await.unwrap();
    assert_eq!(read("evidence/deep", 3).await.as_deref(), Some(b"dee".as_slice()));
    for path in ["evidence/passwd", "evidence/linked/x", "real/x", "evidence/../real/x", "evidence/none"] {
        assert_eq!(read(path, 100).await, None, "{path}");
    }
}

pub(crate) async fn a_log_is_plain_and_its_end_bounded(bench: &dyn Bench) {
    let result =
        agent(bench, "printf '\\033[31mred\\033[0m\\n'; head -c 3000 /dev/zero | tr '\\0' y; exit 1").await;
    assert!(matches!(result, AgentResult::Failed { .. }), "{result:?}");
    let log = log(bench, Step::Agent).await;
    assert!(!log.contains('\u{1b}') && log.contains("yyyy"), "{log}");
    assert!(log.trim_end().lines().last().unwrap().starts_with('{'), "{log}");
    let end = bench.runtime().log_tail(run_id(), TURN, Step::Agent, 5).await.unwrap();
    assert!(end.len() <= 5 && end.ends_with("}\n"), "{end}");
    assert_eq!(bench.runtime().log_tail(run_id(), TURN, Step::Publish, 5).await.unwrap(), "");
}

pub(crate) async fn every_worker_is_listed_in_order_with_its_turn(bench: &dyn Bench) {
    agent(bench, "echo x > x.txt").await;
    let end = ended(bench, &bench.spec(Step::Publish, "")).await;
    assert!(matches!(end, WorkerState::Finished(StepResult::Publish(_))), "{end:?}");
    let mut next = bench.spec(Step::Fetch, "");
    next.turn.number = TurnNumber(2);
    bench.runtime().start(&next, &handover()).await.unwrap();
    let listed = bench.other().workers().await.unwrap();
    let workers = &listed[&run_id()];
    let order: Vec<_> = workers.iter().map(|worker| (worker.turn.number.0, worker.step)).collect();
    assert_eq!(order, [(1, Step::Fetch), (1, Step::Agent), (1, Step::Publish), (2, Step::Fetch)]);
    assert_eq!(workers[1].turn, bench.spec(Step::Agent, "").turn);
    assert_eq!(listed.len(), 1);
}

pub(crate) async fn the_wall_limit_holds_although_nobody_watches(bench: &dyn Bench) {
    fetch(bench).await;
    // Deaf to signals, silent, and with nothing left that a reader could wait for.
    let program =
        "trap '' TERM; echo x > wip.txt; exec >/dev/null 2>&1 </dev/null; while :; do sleep 1; done";
    let mut spec = bench.spec(Step::Agent, program);
    spec.limits.wall_seconds = 2;
    spec.limits.idle_seconds = 60;
    let end = ended(bench, &spec).await;
    // Its time is over; what it had done is handed on as unfinished.
    let WorkerState::Finished(StepResult::Agent { result: AgentResult::Worked { cut, .. }, .. }) = &end
    else {
        panic!("{end:?}")
    };
    assert_eq!(cut.as_deref(), Some("implement call took too long"));
    assert_eq!(bench.saved().await, ["wip.txt"]);
}

pub(crate) async fn what_is_secret_can_be_read_by_nobody(bench: &dyn Bench) {
    let state = ended(bench, &bench.spec(Step::Fetch, "")).await;
    let is_ready = matches!(state, WorkerState::Finished(StepResult::Fetch(FetchResult::Ready { .. })));
    assert!(is_ready, "{state:?}");
    // The agent proves that it has its own secret and not ours, without saying either.
    let program = r#"
        printf %s "$MODEL_KEY" | wc -c > "$ROUNDSMAN_OUT/title.txt"
        cat /proc/self/environ /proc/$PPID/environ /proc/1/environ 2>/dev/null | tr '\0' '\n' | grep -c canarycanary > "$ROUNDSMAN_OUT/pr.md"
        echo on > "$ROUNDSMAN_OUT/plan.md"; sleep 2; echo y > new.txt
    "#;
    bench.runtime().start(&bench.spec(Step::Agent, program), &handover()).await.unwrap();
    left(bench, &Left::Plan).await;
    let during = bench.readable().await;
    bench.runtime().wait(run_id(), TURN, Step::Agent, PATIENCE).await.unwrap();
    ended(bench, &bench.spec(Step::Publish, "")).await;
    let after = bench.readable().await;
    assert!(during.contains("agent") && after.contains("publish"), "there is something to read: {after}");
    for secret in [TOKEN, MODEL_KEY] {
        assert!(!during.contains(secret) && !after.contains(secret), "{secret} can be read");
        for step in Step::ALL {
            assert!(!log(bench, step).await.contains(secret), "{secret} is in the log of {step}");
        }
    }
    let read = async |file| bench.runtime().left(run_id(), TURN, &file).await.unwrap().unwrap();
    assert_eq!(read(Left::Title).await.trim(), MODEL_KEY.len().to_string());
    assert_eq!(read(Left::PullRequest).await.trim(), "0");
}

/// The promises as tests of one bench: `contract!(bench)`, where `bench` is an async function to `Option<impl Bench>`.
macro_rules! contract {
    ($bench:path) => {
        crate::runtime::suite::contract!(
            $bench:
            two_starts_are_one_worker_whoever_asks,
            a_start_that_died_before_its_worker_is_completed,
            a_killed_worker_is_crashed_and_only_the_dead_are_removed,
            a_stop_keeps_the_work,
            what_was_left_is_never_read_through_a_link,
            a_log_is_plain_and_its_end_bounded,
            every_worker_is_listed_in_order_with_its_turn,
            the_wall_limit_holds_although_nobody_watches,
            what_is_secret_can_be_read_by_nobody,
        );
    };
    ($bench:path: $($name:ident,)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                if let Some(bench) = $bench().await {
                    crate::runtime::suite::$name(&bench).await;
                }
            }
        )+
    };
}
pub(crate) use contract;
