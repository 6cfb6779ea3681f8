//! What engines do: lose answers, kill, restart, run out of things, and forget.

use super::{
    bench::{DockerBench, bench, docker, on, with},
    faulty::{Lost, line},
    own_engine::OwnEngine,
};
use crate::{
    runtime::suite::{Bench, TURN, agent, busy, class, ended, fetch, handover, left, log, state},
    worker::{PATIENCE, run_id},
};
use roundsman::{
    domain::{AgentFailure, AgentResult, FetchResult, PublishResult, Step, StepResult, WorkerState},
    runtime::{
        Error, Left, Runtime, Started,
        docker::{DockerRuntime, Options},
    },
};
use rustix::process::Pid;
use std::time::Duration;

#[tokio::test]
async fn a_turn_goes_all_the_way_to_the_server() {
    let Some(bench) = bench().await else { return };
    bench.runtime().health().await.unwrap();
    let program = r#"
        test "$(id -u):$(id -g)" = 10001:10001 || exit 9; test -z "$(git remote)" || exit 9; pwd | grep -q /workspace || exit 9
        echo new > new.txt; echo '{"outcome":"done","summary":"Added a file."}' > "$ROUNDSMAN_OUT/outcome.json"
    "#;
    let result = agent(&bench, program).await;
    let AgentResult::Worked { summary, .. } = result else { panic!("{result:?}") };
    assert_eq!(summary, "Added a file.");
    let end = ended(&bench, &bench.spec(Step::Publish, "")).await;
    let WorkerState::Finished(StepResult::Publish(PublishResult::Pushed { head, .. })) = end else {
        panic!("{end:?}\n{}", log(&bench, Step::Publish).await)
    };
    assert_eq!(bench.head().as_deref(), Some(head.as_str()));
    bench.runtime().remove(run_id()).await.unwrap();
    for kind in ["container", "volume", "network"] {
        assert_eq!(bench.objects(kind), [""; 0], "{kind}");
    }
}

#[tokio::test]
async fn a_lost_request_or_answer_costs_nothing_but_another_look() {
    for (what, lost) in [
        ("/containers/create", Lost::Request),
        ("/containers/create", Lost::Answer),
        ("/start", Lost::Request),
        ("/start", Lost::Answer),
        ("/volumes/create", Lost::Answer),
    ] {
        let Some(bench) = bench().await else { return };
        let mut options = bench.options.clone();
        options.host = Some(line(options.host.as_deref().unwrap(), what, lost));
        let shaky = DockerRuntime::connect(options).unwrap();
        let spec = bench.spec(Step::Fetch, "");
        // The next invocation does it again; whatever was said, the worker starts once and gets what it needs.
        let first = shaky.start(&spec, &handover()).await;
        let second = bench.other().start(&spec, &handover()).await.unwrap();
        if lost == Lost::Answer && what != "/volumes/create" {
            assert!(first.is_ok(), "{what} {lost:?}: {first:?}");
        }
        assert!(first.is_ok() || second == Started::New || what == "/start", "{what}: {first:?} {second:?}");
        bench.other().wait(run_id(), TURN, Step::Fetch, PATIENCE).await.unwrap();
        let end = state(&bench, Step::Fetch).await;
        let is_ready =
            matches!(end, Some(WorkerState::Finished(StepResult::Fetch(FetchResult::Ready { .. }))));
        assert!(is_ready, "{what} {lost:?}: {end:?}");
        assert_eq!(bench.objects("container").len(), 1);
    }
}

#[tokio::test]
async fn a_container_removed_by_hand_is_absent_and_a_stranger_is_left_alone() {
    let Some(bench) = bench().await else { return };
    fetch(&bench).await;
    let stranger = with(|_| {}).await.unwrap();
    fetch(&stranger).await;
    bench.docker(&["rm", "-f", &bench.name(Step::Fetch)]);
    assert!(bench.runtime().workers().await.unwrap().is_empty());
    bench.runtime().wait(run_id(), TURN, Step::Fetch, PATIENCE).await.unwrap();
    // Its volumes are still ours to remove; the same run of another installation is not.
    assert_eq!(bench.runtime().leftovers().await.unwrap(), [run_id()]);
    bench.runtime().remove(run_id()).await.unwrap();
    assert_eq!(stranger.objects("volume").len(), 6);
    assert!(state(&stranger, Step::Fetch).await.is_some());
}

#[tokio::test]
async fn out_of_memory_is_told() {
    let Some(bench) = with(|options| options.memory_bytes = 64 << 20).await else { return };
    // The worker outlives its agent and cannot know; the engine does.
    let result = agent(&bench, "echo x > wip.txt; perl -e '$x = \"a\" x (200 << 20); sleep 5'; exit 1").await;
    let told = match &result {
        AgentResult::Failed { detail, .. } => detail.contains("out of memory"),
        AgentResult::Worked { .. } | AgentResult::NothingChanged { .. } | AgentResult::Question { .. } => {
            false
        }
    };
    let worked = matches!(result, AgentResult::Worked { .. });
    assert!(told || worked, "{result:?}");
    assert_eq!(bench.saved().await, ["wip.txt"]);
    let result = agent_again(&bench, "perl -e '$x = \"a\" x (200 << 20); sleep 5'; exit 1").await;
    assert!(format!("{result:?}").contains("out of memory"), "{result:?}");
}

/// Another turn of the same run.
async fn agent_again(bench: &DockerBench, program: &str) -> WorkerState {
    for step in [Step::Fetch, Step::Agent] {
        let mut spec = bench.spec(step, program);
        spec.turn.number.0 = 2;
        bench.runtime().start(&spec, &handover()).await.unwrap();
        bench.runtime().wait(run_id(), spec.turn.number, step, PATIENCE).await.unwrap();
    }
    let workers = bench.runtime().workers_of(run_id()).await.unwrap();
    workers.last().unwrap().state.clone()
}

#[tokio::test]
async fn a_full_volume_loses_no_work() {
    let Some(bench) = bench().await else { return };
    let scope = format!("io.roundsman.scope={}", bench.options.scope);
    let run = format!("io.roundsman.run={}", run_id());
    let options =
        ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=300k,uid=10001,gid=10001"];
    let arguments = [["volume", "create", "--label", &scope, "--label", &run].as_slice(), &options].concat();
    bench.docker(&[arguments.as_slice(), &[bench.object("t01-out").as_str()]].concat());
    let result =
        agent(&bench, "echo x > wip.txt; head -c 1000000 /dev/zero > $ROUNDSMAN_OUT/full; exit 0").await;
    let AgentResult::Failed { class: AgentFailure::Infrastructure, detail } = &result else {
        panic!("{result:?}")
    };
    assert!(detail.contains("No space left"), "{detail}");
    assert_eq!(bench.shell(&[("workspace", "/workspace")], "cat /workspace/wip.txt"), "x");
}

#[tokio::test]
async fn health_tells_what_to_do() {
    let Some(bench) = bench().await else { return };
    let told = async |change: &dyn Fn(&mut Options)| {
        let mut options = bench.options.clone();
        change(&mut options);
        DockerRuntime::connect(options).unwrap().health().await.unwrap_err().to_string()
    };
    let missing = told(&|options| options.image = "no-such-image:1".into()).await;
    assert!(missing.contains("no-such-image:1") && missing.contains("roundsman image build"), "{missing}");
    let other = told(&|options| options.image = "local/debian:bookworm".into()).await;
    assert!(other.contains("is no worker image"), "{other}");
    let down = told(&|options| options.host = Some("unix:///no/such.sock".into())).await;
    assert!(down.contains("/no/such.sock"), "{down}");
    let closed = told(&|options| options.host = Some("tcp://127.0.0.1:1".into())).await;
    assert!(closed.contains("refused"), "{closed}");
}

#[tokio::test]
async fn what_an_engine_weakens_is_never_started() {
    let Some(bench) = bench().await else { return };
    // An image can ask for a volume of its own; nobody asked us.
    let context = tempfile::tempdir().unwrap();
    let base = &bench.options.image;
    std::fs::write(context.path().join("Dockerfile"), format!("FROM {base}\nVOLUME /data\n")).unwrap();
    let tag = format!("roundsman-docker-test:{}", bench.options.scope);
    bench.docker(&["build", "-q", "-t", &tag, &context.path().display().to_string()]);
    let mut options = bench.options.clone();
    options.image.clone_from(&tag);
    let runtime = DockerRuntime::connect(options).unwrap();
    let started = runtime.start(&bench.spec(Step::Fetch, ""), &handover()).await;
    let Err(Error::Weakened { lines, .. }) = started else { panic!("{started:?}") };
    assert_eq!(lines, ["Mounts"]);
    assert_eq!(state(&bench, Step::Fetch).await, Some(WorkerState::Created));
    bench.runtime().remove(run_id()).await.unwrap();
    bench.docker(&["rmi", &tag]);
}

#[tokio::test]
async fn a_restarted_engine_has_crashed_its_workers_and_is_nobodys_attempt() {
    let Some(mut engine) = OwnEngine::start() else { return };
    // No server can be reached from its network: what fetch would leave is put there by hand.
    let bench = on(engine.host(), "127.0.0.1".into(), |_| {}).await;
    let seed = "cd /workspace; git init -q -b main; git config user.name T; git config user.email t@example.invalid
        git commit -q --allow-empty -m Begin; git init -q --bare /repo.git
        for name in base target; do git push -q /repo.git HEAD:refs/roundsman/$name; done; echo 'Do it.' > /in/brief.md";
    let mounts = [
        ("repo", "/repo.git"),
        ("workspace", "/workspace"),
        ("t01-in", "/in"),
        ("t01-out", "/out"),
        ("home", "/home/agent"),
    ]
    .map(|(what, place)| format!("{}:{place}", bench.object(what)));
    let mut arguments = vec!["run", "--rm", "--network", "none", "--user", "10001:10001"];
    for mount in &mounts {
        arguments.extend(["-v", mount]);
    }
    arguments.extend(["--entrypoint", "/bin/sh", &bench.options.image, "-ec", seed]);
    bench.docker(&arguments);
    let program = "echo x > wip.txt; echo on > $ROUNDSMAN_OUT/plan.md; sleep 300";
    let mut spec = bench.spec(Step::Agent, program);
    bench.runtime().start(&spec, &handover()).await.unwrap();
    left(&bench, &Left::Plan).await;
    engine.restart(&[]);
    bench.runtime().wait(run_id(), TURN, Step::Agent, PATIENCE).await.unwrap();
    // An engine that comes back asks what it finds to end, and work is saved as at any stop; or it was lost.
    let end = state(&bench, Step::Agent).await.unwrap();
    if !matches!(end, WorkerState::Crashed { .. }) {
        assert_eq!(class(Some(end)), AgentFailure::Stopped);
        assert_eq!(bench.saved().await, ["wip.txt"]);
    }
    // Adopted, never started again.
    assert_eq!(bench.runtime().start(&spec, &handover()).await.unwrap(), Started::Adopted);

    spec.turn.number.0 = 2;
    let name = bench.object("t02-agent");
    let input = [bench.object("t01-in"), bench.object("t02-in")];
    let copy = ["run", "--rm", "-v", &format!("{}:/a", input[0]), "-v", &format!("{}:/in", input[1])]
        .map(str::to_owned);
    let copy: Vec<&str> = copy.iter().map(String::as_str).collect();
    let tail =
        ["--network", "none", "--entrypoint", "/bin/cp", &bench.options.image, "/a/brief.md", "/in/brief.md"];
    bench.docker(&[copy.as_slice(), &tail].concat());
    bench.runtime().start(&spec, &handover()).await.unwrap();
    bench.runtime().wait(run_id(), spec.turn.number, Step::Agent, Duration::from_secs(1)).await.unwrap();
    let first: i32 = bench.docker(&["inspect", "--format", "{{.State.Pid}}", &name]).parse().unwrap();
    engine.restart(&[parent(first), Pid::from_raw(first).unwrap()]);
    bench.runtime().wait(run_id(), spec.turn.number, Step::Agent, PATIENCE).await.unwrap();
    let end = bench.runtime().workers_of(run_id()).await.unwrap().pop().unwrap().state;
    let WorkerState::Crashed { hint } = end else { panic!("{end:?}") };
    assert!(hint.contains("engine"), "{hint}");
    assert_eq!(bench.shell(&[("workspace", "/workspace")], "cat /workspace/wip.txt"), "x");
}

fn parent(process: i32) -> Pid {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim();
    Pid::from_raw(parent.parse().unwrap()).unwrap()
}

#[tokio::test]
async fn a_stop_that_was_asked_for_is_no_crash() {
    let Some(bench) = bench().await else { return };
    busy(&bench).await;
    docker(&["stop", "--time", "45", &bench.name(Step::Agent)]);
    assert_eq!(class(state(&bench, Step::Agent).await), AgentFailure::Stopped);
    assert_eq!(bench.saved().await, ["wip.txt"]);
}
