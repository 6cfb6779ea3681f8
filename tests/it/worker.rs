//! Steps with real git and real processes: a local bare repository is the server, shell programs are the agents.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use roundsman::{
    agents::Wanted,
    domain::{
        AgentFailure, AgentResult, BranchName, CommitId, FetchResult, PublishResult, RunId, Step, StepResult,
        ThreadId, Trigger, Turn, TurnKind, TurnNumber, WorkerState,
    },
    runtime::{
        Credential, Handover, Left, Runtime, Scheme,
        process::ProcessRuntime,
        spec::{AgentCall, CommitIdentity, Limits, Places, SCHEMA, Source, WorkerSpec},
    },
};
use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Longest time that a step of a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) runtime: ProcessRuntime,
    pub(crate) limits: Limits,
    pub(crate) kind: TurnKind,
    pub(crate) plan_first: bool,
    pub(crate) expected: Option<CommitId>,
}

pub(crate) fn run_id() -> RunId {
    "4711-r12".parse().unwrap()
}

fn branch() -> BranchName {
    BranchName::of_run(run_id())
}

pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.invalid"])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// A server whose `main` has the usual files and these.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtime = runtime_at(&directory.path().join("runs"));
        let world = Self {
            directory,
            runtime,
            limits: Limits { grace_seconds: 1, ..Limits::default() },
            kind: TurnKind::Implement,
            plan_first: false,
            expected: None,
        };
        git(world.path(), &["init", "--quiet", "--bare", "-b", "main", "remote.git"]);
        git(world.path(), &["init", "--quiet", "-b", "main", "person"]);
        let usual = [
            ("README.md", "# Hello\n"),
            (".gitignore", "ignored/\n"),
            ("AGENTS.md", "Be kind.\n"),
            (".azuredevops/Pull_Request_Template.md", "## What\n"),
        ];
        for (path, text) in usual.iter().chain(files) {
            let place = world.path().join("person").join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, text).unwrap();
        }
        world.person_pushes("main", "Begin");
        world
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn remote(&self) -> PathBuf {
        self.path().join("remote.git")
    }

    /// Commits whatever is in the person's checkout and pushes it.
    fn person_pushes(&self, to: &str, message: &str) -> CommitId {
        let person = self.path().join("person");
        git(&person, &["add", "-A"]);
        git(&person, &["commit", "--quiet", "--allow-empty", "-m", message]);
        let remote = self.remote();
        git(&person, &["push", "--quiet", "-f", remote.to_str().unwrap(), &format!("HEAD:refs/heads/{to}")]);
        git(&person, &["rev-parse", "HEAD"]).parse().unwrap()
    }

    fn head(&self, name: &str) -> Option<CommitId> {
        git(&self.remote(), &["for-each-ref", "--format=%(objectname)", &format!("refs/heads/{name}")])
            .parse()
            .ok()
    }

    pub(crate) fn spec(&self, step: Step, turn: u16, agent: &str) -> WorkerSpec {
        let agent = (step == Step::Agent).then(|| AgentCall {
            name: "command".into(),
            command: ["sh", "-c", agent].map(str::to_owned).to_vec(),
            provider_codes: vec![75],
            plan_first: self.plan_first,
            ..AgentCall::default()
        });
        WorkerSpec {
            schema: SCHEMA,
            run: run_id(),
            turn: Turn {
                number: TurnNumber(turn),
                kind: self.kind,
                trigger: Trigger::WorkItem { revision: run_id().revision },
                base: self.expected.clone(),
                work_of: None,
            },
            step,
            places: Places::of_image(),
            source: Source {
                url: format!("file://{}", self.remote().display()),
                branch: branch(),
                target: BranchName::new("main"),
                expected: self.expected.clone(),
            },
            brief: if step == Step::Fetch { "Do it.\n\n## Thread 7\nWhy?\n".into() } else { String::new() },
            goes_on: None,
            suggestions: roundsman::domain::Suggestions::default(),
            agent,
            commit: CommitIdentity {
                name: "Roundsman".into(),
                email: "roundsman@example.invalid".into(),
                date: "2026-01-02T03:04:05Z".parse().unwrap(),
            },
            limits: self.limits.clone(),
            image: None,
            rules: None,
            reviewer: None,
        }
    }

    pub(crate) async fn step(&self, spec: &WorkerSpec) -> StepResult {
        self.step_with(spec, &Handover::default()).await
    }

    pub(crate) async fn step_with(&self, spec: &WorkerSpec, handover: &Handover) -> StepResult {
        self.runtime.start(spec, handover).await.unwrap();
        let turn = spec.turn.number;
        self.runtime.wait(run_id(), turn, spec.step, PATIENCE).await.unwrap();
        let workers = self.runtime.workers_of(run_id()).await.unwrap();
        let worker = workers.into_iter().find(|w| w.turn.number == turn && w.step == spec.step).unwrap();
        match worker.state {
            WorkerState::Finished(result) => result,
            other => panic!("{other:?}\n{}", self.log(spec).await),
        }
    }

    async fn log(&self, spec: &WorkerSpec) -> String {
        self.runtime.log_tail(run_id(), spec.turn.number, spec.step, 10_000).await.unwrap()
    }

    pub(crate) async fn fetch(&self, turn: u16) -> FetchResult {
        match self.step(&self.spec(Step::Fetch, turn, "")).await {
            StepResult::Fetch(result) => result,
            other => panic!("{other:?}"),
        }
    }

    /// Fetches, then plays the shell program as the agent.
    pub(crate) async fn agent(&self, turn: u16, program: &str) -> AgentResult {
        let fetched = self.fetch(turn).await;
        assert!(matches!(fetched, FetchResult::Ready { .. }), "{fetched:?}");
        match self.step(&self.spec(Step::Agent, turn, program)).await {
            StepResult::Agent { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    async fn publish(&self, turn: u16) -> PublishResult {
        match self.step(&self.spec(Step::Publish, turn, "")).await {
            StepResult::Publish(result) => result,
            other => panic!("{other:?}"),
        }
    }

    async fn publish_after(&self, program: &str) -> PublishResult {
        let result = self.agent(1, program).await;
        assert!(matches!(result, AgentResult::Worked { .. }), "{result:?}");
        self.publish(1).await
    }

    /// What the agent step saved, as paths changed against `main`.
    pub(crate) fn saved(&self, turn: u16) -> Vec<String> {
        let places = self.runtime.places(run_id(), TurnNumber(turn));
        let bundle = places.output.join("work.bundle");
        let reference = "+refs/roundsman/work:refs/roundsman/saved";
        git(&places.repository, &["fetch", "--quiet", bundle.to_str().unwrap(), reference]);
        let names =
            git(&places.repository, &["diff", "--name-only", "refs/roundsman/base", "refs/roundsman/saved"]);
        names.lines().map(str::to_owned).collect()
    }
}

pub(crate) fn runtime_at(root: &Path) -> ProcessRuntime {
    ProcessRuntime::new(root, vec![env!("CARGO_BIN_EXE_roundsman-worker").to_owned()])
}

#[track_caller]
fn class_of(result: AgentResult) -> AgentFailure {
    match result {
        AgentResult::Failed { class, .. } => class,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn rules_of(result: PublishResult) -> String {
    match result {
        PublishResult::Refused { rules } => rules.join("\n"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn pushed(result: PublishResult) -> CommitId {
    match result {
        PublishResult::Pushed { head, .. } => head,
        other => panic!("{other:?}"),
    }
}

const WORK: &str = "echo new > new.txt; git add -A; git commit -qm 'Add it [skip ci]'";

#[tokio::test]
async fn a_happy_turn_ends_with_a_pushed_branch() {
    let mut world = World::new();
    world.plan_first = true;
    let program = r#"
        test -z "$(git remote)" || exit 9
        cat > "$ROUNDSMAN_OUT/stdin-$ROUNDSMAN_CALL"
        if [ "$ROUNDSMAN_CALL" = plan ]; then echo "- a plan" > "$ROUNDSMAN_OUT/plan.md"; exit 0; fi
        echo new > new.txt; echo more >> README.md
        mkdir -p "$ROUNDSMAN_OUT/replies"; echo because > "$ROUNDSMAN_OUT/replies/7.md"; echo text > "$ROUNDSMAN_OUT/pr.md"
        echo '{"outcome":"done","summary":"Added a file.","other":1}' > "$ROUNDSMAN_OUT/outcome.json"
    "#;
    let result = world.agent(1, program).await;
    let AgentResult::Worked { summary, checks_passed: None, changed, replies, plan, .. } = result else {
        panic!("{result:?}")
    };
    assert_eq!(plan.as_deref(), Some("- a plan"));
    assert_eq!((summary.as_str(), changed.files, replies), ("Added a file.", 2, vec![ThreadId(7)]));

    let places = world.runtime.places(run_id(), TurnNumber(1));
    assert_eq!(fs::read_to_string(places.input.join("pull_request_template.md")).unwrap(), "## What\n");
    assert_eq!(fs::read_to_string(places.input.join("instructions/AGENTS.md")).unwrap(), "Be kind.\n");
    assert!(fs::read_to_string(places.output.join("stdin-implement")).unwrap().starts_with("Do it."));
    let plan = world.runtime.left(run_id(), TurnNumber(1), &Left::Plan).await.unwrap();
    assert_eq!(plan.as_deref(), Some("- a plan\n"));

    let head = pushed(world.publish(1).await);
    assert_eq!(world.head(branch().as_str()), Some(head.clone()));
    let message = git(&world.remote(), &["log", "-1", "--format=%an %ae %at%n%B", head.as_str()]);
    assert_eq!(
        message,
        "Roundsman roundsman@example.invalid 1767323045\nAdded a file.\n\nAgent-Run: 4711-r12\nAgent-Turn: 1"
    );
}

#[tokio::test]
async fn the_same_work_has_the_same_ids_and_a_lost_answer_does_not_matter() {
    let world = World::new();
    let head = pushed(world.publish_after(WORK).await);
    // The push is done, the memory of it is gone.
    let steps = world.runtime.step_dir(run_id(), TurnNumber(1), Step::Publish);
    fs::remove_dir_all(steps).unwrap();
    assert_eq!(pushed(world.publish(1).await), head);
    let message = git(&world.remote(), &["log", "-1", "--format=%s", head.as_str()]);
    assert_eq!(message, "Add it (marker removed)");
}

#[tokio::test]
async fn a_branch_that_moved_is_never_overwritten() {
    let mut world = World::new();
    world.agent(1, WORK).await;
    let theirs = world.person_pushes(branch().as_str(), "Mine");
    assert_eq!(world.publish(1).await, PublishResult::Diverged { found: Some(theirs.clone()) });
    assert_eq!(world.head(branch().as_str()), Some(theirs.clone()));
    // A first turn expects no branch; a later one expects ours.
    assert_eq!(world.fetch(2).await, FetchResult::Moved { found: Some(theirs) });
    world.expected = world.head("main");
    assert!(matches!(world.fetch(3).await, FetchResult::Moved { found: Some(_) }));
}

#[tokio::test]
async fn a_conflict_turn_merges_the_target_and_keeps_its_commits() {
    let mut world = World::new();
    let first = pushed(world.publish_after("echo ours > README.md").await);
    fs::write(world.path().join("person/README.md"), "theirs\n").unwrap();
    fs::write(world.path().join("person/azure-pipelines.yml"), "trigger: none\n").unwrap();
    let main = world.person_pushes("main", "Change the same line");
    world.expected = Some(first.clone());
    world.kind = TurnKind::Conflict;
    let program = "git merge -q refs/roundsman/target || true; echo both > README.md; git add README.md";
    let result = world.agent(2, program).await;
    let AgentResult::Worked { changed, .. } = result else { panic!("{result:?}") };
    assert_eq!(changed.files, 1, "the target's own change is not ours");
    let head = pushed(world.publish(2).await);
    let parents = git(&world.remote(), &["log", "-1", "--format=%P", head.as_str()]);
    assert_eq!(parents, format!("{first} {main}"));
}

#[tokio::test]
async fn a_merge_that_undoes_protected_changes_of_the_target_is_refused() {
    let mut world = World::new();
    let first = pushed(world.publish_after(WORK).await);
    fs::write(world.path().join("person/azure-pipelines.yml"), "trigger: none\n").unwrap();
    world.person_pushes("main", "Protect");
    world.expected = Some(first.clone());
    world.kind = TurnKind::Conflict;
    world.agent(2, "git merge -q -s ours refs/roundsman/target").await;
    assert!(rules_of(world.publish(2).await).contains("`azure-pipelines.yml` is protected"));
    assert_eq!(world.head(branch().as_str()), Some(first));
}

#[tokio::test]
async fn work_is_found_on_whatever_branch_it_was_left() {
    for program in [
        "git checkout -q -b elsewhere; echo x > new.txt; git add -A; git commit -qm x",
        "git checkout -q --detach; echo x > new.txt; git add -A; git commit -qm x; echo y >> new.txt",
        "echo x > new.txt; git add -A; git commit -qm x; git checkout -q HEAD~1",
    ] {
        let world = World::new();
        let result = world.agent(1, program).await;
        assert!(matches!(result, AgentResult::Worked { .. }), "{program}: {result:?}");
        assert_eq!(world.saved(1), ["new.txt"], "{program}");
    }
}

#[tokio::test]
async fn a_second_worker_of_a_name_ends_at_once() {
    let world = World::new();
    world.fetch(1).await;
    let directory = world.runtime.step_dir(run_id(), TurnNumber(1), Step::Fetch);
    let again =
        Command::new(env!("CARGO_BIN_EXE_roundsman-worker")).args(["fetch", "--dir"]).arg(directory).output();
    assert_eq!(again.unwrap().status.code(), Some(i32::from(roundsman::worker::EXIT_STARTED_BEFORE)));
}

#[tokio::test]
async fn checks_of_the_base_decide_and_repairs_are_bounded() {
    let check = "#!/bin/sh\ntouch artefact.log\ngrep -q good new.txt || { echo 'new.txt is bad'; exit 3; }\n";
    let world = World::with(&[("src/scripts/run-tests.sh", check), ("src/scripts/format.sh", "exit 1\n")]);
    let program = r#"
        echo "exit 0" > src/scripts/run-tests.sh; git checkout -q src/scripts
        case "$ROUNDSMAN_CALL" in
          implement) echo bad > new.txt;;
          repair) grep -q 'new.txt is bad' "$ROUNDSMAN_BRIEF" && echo good > new.txt;;
        esac
    "#;
    let result = world.agent(1, program).await;
    assert!(matches!(result, AgentResult::Worked { checks_passed: Some(true), .. }), "{result:?}");
    assert_eq!(world.saved(1), ["new.txt"]);

    let world = World::with(&[("src/scripts/run-tests.sh", check)]);
    let stubborn = r#"echo x >> "$ROUNDSMAN_OUT/calls"; date +%N > new.txt"#;
    let result = world.agent(1, stubborn).await;
    assert!(matches!(result, AgentResult::Worked { checks_passed: Some(false), .. }), "{result:?}");
    let out = world.runtime.places(run_id(), TurnNumber(1)).output;
    assert_eq!(fs::read_to_string(out.join("calls")).unwrap().lines().count(), 4);
}

#[tokio::test]
async fn an_exit_code_is_no_success() {
    let nothing = World::new().agent(1, "echo 'All done, it was fine already.'").await;
    let AgentResult::NothingChanged { answer, .. } = nothing else { panic!("{nothing:?}") };
    assert_eq!(answer, "All done, it was fine already.");
    assert_eq!(class_of(World::new().agent(1, "echo oops >&2; exit 1").await), AgentFailure::Agent);
    assert_eq!(class_of(World::new().agent(1, "exit 75").await), AgentFailure::Provider);
    assert!(matches!(World::new().agent(1, "echo x > new; exit 1").await, AgentResult::Worked { .. }));
    let asked =
        World::new().agent(1, "echo x > wip.txt; echo 'Which one?' > $ROUNDSMAN_OUT/question.md").await;
    assert_eq!(asked, AgentResult::Question { question: "Which one?".into() });

    let world = World::new();
    world.fetch(1).await;
    let mut spec = world.spec(Step::Agent, 1, "");
    spec.agent.as_mut().unwrap().command = vec!["/no/such/program".into()];
    let StepResult::Agent { result, .. } = world.step(&spec).await else { panic!() };
    assert_eq!(class_of(result), AgentFailure::Infrastructure);
}

#[tokio::test]
async fn what_the_agent_step_has_to_tell_comes_after_the_brief() {
    let world = World::new();
    world.fetch(1).await;
    let mut spec = world.spec(Step::Agent, 1, "cp \"$ROUNDSMAN_BRIEF\" told.md");
    spec.brief = "## Where your programs come from\n".into();
    world.step(&spec).await;
    let told =
        fs::read_to_string(world.runtime.places(run_id(), TurnNumber(1)).workspace.join("told.md")).unwrap();
    let place = |part: &str| told.find(part).unwrap_or_else(|| panic!("{part} is not in {told}"));
    assert!(place("Do it.") < place("Where your programs come from"));
}

#[tokio::test]
async fn limits_strike_and_work_is_saved() {
    let mut world = World::new();
    world.limits.idle_seconds = 1;
    assert_eq!(class_of(world.agent(1, "echo x > wip.txt; sleep 100").await), AgentFailure::Idle);
    assert_eq!(world.saved(1), ["wip.txt"]);

    let mut world = World::new();
    world.limits.output_bytes = 1 << 20;
    let loud = "echo x > wip.txt; trap '' TERM; head -c 1000000000 /dev/zero; sleep 100";
    assert_eq!(class_of(world.agent(1, loud).await), AgentFailure::TooMuchOutput);
    assert_eq!(world.saved(1), ["wip.txt"]);
    let log = world.runtime.places(run_id(), TurnNumber(1)).output.join("evidence/01-implement.log");
    assert_eq!(fs::metadata(log).unwrap().len(), 1 << 20);
}

#[tokio::test]
async fn what_cannot_be_committed_is_asked_about_and_then_refused() {
    let markers = "printf '<<<<<<< a\\n=======\\n>>>>>>> b\\n' > README.md";
    assert_eq!(class_of(World::new().agent(1, markers).await), AgentFailure::LeftConflict);

    let world = World::new();
    assert_eq!(class_of(world.agent(1, "echo ok > ok.txt; echo X=1 > .env").await), AgentFailure::Untidy);
    assert_eq!(world.saved(1), ["ok.txt"]);

    let world = World::new();
    let tidied = r"case $ROUNDSMAN_CALL in tidy) rm .env;; *) echo ok > ok.txt; echo X=1 > .env; mkdir ignored; echo x > ignored/x;; esac";
    let result = world.agent(1, tidied).await;
    assert!(matches!(result, AgentResult::Worked { .. }), "{result:?}");
    assert_eq!(world.saved(1), ["ok.txt"]);
}

#[tokio::test]
async fn publish_refuses_what_breaks_a_rule() {
    let refused = async |program: &str| rules_of(World::new().publish_after(program).await);
    assert!(refused("echo x > azure-pipelines.yml").await.contains("protected"));
    assert!(refused("git rm -q AGENTS.md").await.contains("protected"));
    assert!(refused("ln -s /etc/passwd link").await.contains("symbolic link"));
    assert!(refused("chmod +x README.md").await.contains("executed"));
    assert!(refused("head -c 2000000 /dev/zero > big").await.contains("bytes"));
    let token =
        "echo token=ghp_0123456789abcdefghijklmnopqrstuvwxyz > a; git add a; git commit -qm a; echo > a";
    assert!(refused(token).await.contains("GitHub token"));
    let orphan = "git checkout -q --orphan x; echo x > x; git add -A; git commit -qm root";
    assert!(refused(orphan).await.contains("history was rewritten"));
}

#[tokio::test]
async fn publish_takes_exactly_one_reference() {
    let world = World::new();
    world.agent(1, WORK).await;
    let places = world.runtime.places(run_id(), TurnNumber(1));
    let bundle = places.output.join("work.bundle");
    let bundle = bundle.to_str().unwrap();
    git(&places.workspace, &["update-ref", "refs/heads/second", "HEAD"]);
    git(
        &places.workspace,
        &["bundle", "create", "-q", bundle, "refs/roundsman/work", "refs/heads/second", "^HEAD~1"],
    );
    assert!(rules_of(world.publish(1).await).contains("2 references"));
    assert_eq!(world.head(branch().as_str()), None);
}

#[tokio::test]
async fn h16_nothing_hostile_in_the_workspace_is_executed() {
    let world = World::new();
    let mark = world.path().join("executed");
    let program = format!(
        r"echo work > work.txt
        for hook in pre-commit post-commit post-checkout reference-transaction pre-push post-update; do
            mkdir -p .git/hooks; printf '#!/bin/sh\ntouch {mark}\n' > .git/hooks/$hook; chmod +x .git/hooks/$hook
        done
        git config core.fsmonitor 'touch {mark}'; git config core.sshCommand 'touch {mark}'
        git config core.pager 'touch {mark}'; git config diff.external 'touch {mark}'; git config core.hooksPath .git/hooks
        git config url.ext::touch.insteadOf file://",
        mark = mark.display()
    );
    pushed(world.publish_after(&program).await);
    assert!(!mark.exists());
}

#[tokio::test]
async fn the_token_is_in_the_header_and_nowhere_else() {
    let token = "canarycanary0123456789canarycanary0123456789canary42";
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!(":{token}"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 8192];
        let count = stream.read(&mut request).unwrap();
        let commands: String = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
            .map(|command| String::from_utf8_lossy(&command).into_owned())
            .collect();
        stream
            .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .unwrap();
        (String::from_utf8_lossy(&request[..count]).into_owned(), commands)
    });
    let world = World::new();
    let mut spec = world.spec(Step::Fetch, 1, "");
    spec.source.url = format!("http://127.0.0.1:{port}/org/_git/repo");
    let credential = Credential { scheme: Scheme::Pat, token: token.into() };
    world
        .runtime
        .start(&spec, &Handover { credential: Some(credential), ..Handover::default() })
        .await
        .unwrap();
    world.runtime.wait(run_id(), TurnNumber(1), Step::Fetch, PATIENCE).await.unwrap();
    let (request, commands) = server.join().unwrap();
    assert!(request.contains(&format!("Authorization: Basic {basic}")), "{request}");
    assert!(commands.contains("ls-remote") && !commands.contains(token) && !commands.contains(&basic));
    let everything =
        Command::new("grep").args(["-raE", &format!("{token}|{basic}")]).arg(world.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&everything.stdout), "");
    let workers = world.runtime.workers_of(run_id()).await.unwrap();
    assert!(matches!(
        &workers[0].state,
        WorkerState::Finished(StepResult::Fetch(FetchResult::Failed { .. }))
    ));
}

#[tokio::test]
async fn an_empty_repository_and_a_branch_with_slashes_are_understood() {
    let world = World::new();
    world.person_pushes("release/2.0", "Release");
    let mut spec = world.spec(Step::Fetch, 1, "");
    spec.source.target = BranchName::new("release/2.0");
    assert!(matches!(world.step(&spec).await, StepResult::Fetch(FetchResult::Ready { .. })));
    // Half-made by a worker that was killed.
    fs::remove_dir_all(world.runtime.places(run_id(), TurnNumber(1)).repository.join("objects")).unwrap();
    let mut again = world.spec(Step::Fetch, 3, "");
    again.source.target = BranchName::new("release/2.0");
    assert!(matches!(world.step(&again).await, StepResult::Fetch(FetchResult::Ready { .. })));
    git(world.path(), &["init", "--quiet", "--bare", "empty.git"]);
    let mut spec = world.spec(Step::Fetch, 2, "");
    spec.source.url = format!("file://{}", world.path().join("empty.git").display());
    let StepResult::Fetch(FetchResult::Failed { detail }) = world.step(&spec).await else { panic!() };
    assert!(detail.contains("may be empty"), "{detail}");
}

#[tokio::test]
async fn the_scripted_agent_plays_its_files_and_says_so() {
    let mut world = World::new();
    world.plan_first = true;
    let scene = world.path().join("screenplay/implement");
    fs::create_dir_all(scene.join("tree/sub")).unwrap();
    fs::write(scene.join("tree/sub/played.txt"), "x").unwrap();
    fs::write(scene.join("pr.md"), "Text").unwrap();
    fs::write(scene.join("reply.md"), "Because.").unwrap();
    world.fetch(1).await;
    let mut spec = world.spec(Step::Agent, 1, "");
    let agent = roundsman::agents::find("scripted").unwrap();
    spec.agent = Some(agent.call(Wanted {
        command: &[world.path().join("screenplay").display().to_string()],
        worker: &[env!("CARGO_BIN_EXE_roundsman-worker").to_owned()],
        plan_first: true,
        ..Wanted::default()
    }));
    let result = world.step(&spec).await;
    let StepResult::Agent { result: AgentResult::Worked { summary, replies, .. }, .. } = &result else {
        panic!("{result:?}")
    };
    assert!(summary.contains("no model wrote this"), "{summary}");
    assert_eq!(*replies, [ThreadId(7)]);
    for file in [Left::Plan, Left::PullRequest, Left::Reply(ThreadId(7))] {
        let text = world.runtime.left(run_id(), TurnNumber(1), &file).await.unwrap().unwrap();
        assert!(text.contains("no model wrote this"), "{file:?}: {text}");
    }
    assert_eq!(world.saved(1), ["sub/played.txt"]);
    pushed(world.publish(1).await);
}
