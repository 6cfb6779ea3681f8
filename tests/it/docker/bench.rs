//! A world with containers: a scope of its own on the machine's engine, a pretend Azure DevOps that containers reach by the
//! engine's bridge, a worker image made of the program under test. Everything of the scope goes when the bench goes.

use super::faulty::{self, Lost};
use crate::{
    runtime::suite::{Bench, TOKEN, TURN, handover},
    worker::run_id,
};
use async_trait::async_trait;
use roundsman::{
    domain::{BranchName, Step, Trigger, Turn, TurnKind},
    emulator::{self as pretend, Emulator, IdentityKind, RepositoryHandle, SeedFile, Token},
    runtime::{
        Runtime,
        docker::{DockerRuntime, Options},
        spec::{AgentCall, CommitIdentity, Limits, Places, SCHEMA, Source, WorkerSpec},
    },
};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

/// Made once for each process of tests, and again only where the program has changed.
pub(crate) const IMAGE: &str = "roundsman-docker-test:worker";
/// What it is made on; `.ci/docker-up` brings it.
pub(crate) const BASE: &str = "local/debian:bookworm";

/// Containers, and an emulator behind the bridge.
pub(crate) struct DockerBench {
    pub(crate) options: Options,
    runtime: DockerRuntime,
    other: DockerRuntime,
    emulator: Emulator,
    repository: RepositoryHandle,
    clone_url: String,
    pub(crate) limits: Limits,
}

/// The engine's address; none where there is no engine.
pub(crate) fn host() -> Option<String> {
    static HOST: OnceLock<Option<String>> = OnceLock::new();
    HOST.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "where the engine is, the machine tells its tests")]
        let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        let answers = client(host.as_deref(), &["version"]).is_ok();
        answers.then(|| host.unwrap_or_else(|| "unix:///var/run/docker.sock".into()))
    })
    .clone()
}

/// Calls the engine's client.
pub(crate) fn client(host: Option<&str>, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("docker");
    if let Some(host) = host {
        command.env("DOCKER_HOST", host);
    }
    let output = command.args(arguments).output().map_err(|error| error.to_string())?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}

/// Calls the engine's client on the engine of the tests.
pub(crate) fn docker(arguments: &[&str]) -> String {
    client(host().as_deref(), arguments).unwrap_or_else(|why| panic!("docker {arguments:?}: {why}"))
}

/// A bench with the defaults; none, and said why, where there is no engine.
pub(crate) async fn bench() -> Option<DockerBench> {
    with(|_| {}).await
}

/// A bench with other options.
pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Option<DockerBench> {
    Some(on(ready()?, gateway(), change).await)
}

/// The engine's address, when it has the worker image of these tests; none, and said why, otherwise.
pub(crate) fn ready() -> Option<String> {
    let Some(host) = host() else {
        println!("skipped: no Docker engine");
        return None;
    };
    if let Err(why) = image(&host) {
        println!("skipped: no worker image for tests: {why}");
        return None;
    }
    Some(host)
}

/// A bench on this engine, which has the image already.
pub(crate) async fn on(host: String, gateway: String, change: impl FnOnce(&mut Options)) -> DockerBench {
    let mut options = Options::new(scope(), IMAGE);
    options.host = Some(host);
    // Tests run side by side on small machines.
    options.memory_bytes = 512 << 20;
    options.tmp_bytes = 64 << 20;
    change(&mut options);
    let emulator = Emulator::start(pretend::Options::default()).await.unwrap();
    emulator.create_project("Shop");
    let bot = emulator.create_identity("Roundsman", "bot@example.invalid", IdentityKind::Service);
    emulator.issue_token(&bot, Token::Pat, TOKEN);
    let files = [
        SeedFile::new("README.md", "# Hello\n"),
        SeedFile::new("AGENTS.md", "Be kind.\n"),
        // Obeyed only where somebody asks for the repository's own environment.
        SeedFile::new("Dockerfile", "FROM local/debian:bookworm\nRUN echo described > /described\n"),
    ];
    let repository = emulator.create_repository("Shop", "web", &files).unwrap();
    let inside = emulator.url().split('/').nth(2).unwrap().to_owned();
    let outside = forward(&gateway, inside.clone());
    DockerBench {
        runtime: DockerRuntime::connect(options.clone()).unwrap(),
        other: DockerRuntime::connect(options.clone()).unwrap(),
        options,
        clone_url: repository.clone_url.replacen(&inside, &outside, 1),
        emulator,
        repository,
        limits: Limits { grace_seconds: 1, ..Limits::default() },
    }
}

/// Nobody else's: by process and by number in it.
fn scope() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{:06x}{:02x}", std::process::id() & 0x00ff_ffff, NEXT.fetch_add(1, Ordering::SeqCst) & 0xff)
}

/// The address of the machine on the engine's default bridge.
fn gateway() -> String {
    docker(&["network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"])
}

/// Lets containers reach a server of this machine that listens on its loopback only; where they find it.
fn forward(gateway: &str, to: String) -> String {
    let listener = TcpListener::bind((gateway, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for from in listener.incoming().flatten() {
            let Ok(to) = TcpStream::connect(&to) else { continue };
            let pairs = [(from.try_clone(), to.try_clone()), (Ok(to), Ok(from))];
            for (source, sink) in pairs {
                let (Ok(source), Ok(sink)) = (source, sink) else { continue };
                thread::spawn(move || pass(source, sink));
            }
        }
    });
    address
}

fn pass(mut source: TcpStream, mut sink: TcpStream) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = source.read(&mut buffer) {
        if sink.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    _ = sink.shutdown(std::net::Shutdown::Write);
}

/// Builds the image, once.
pub(crate) fn image(host: &str) -> Result<(), String> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    BUILT.get_or_init(|| build(host)).clone()
}

/// The layout of the worker image, with a gate that only says that it is one.
fn build(host: &str) -> Result<(), String> {
    let context = tempfile::tempdir().map_err(|error| error.to_string())?;
    fs::copy(env!("CARGO_BIN_EXE_roundsman-worker"), context.path().join("worker"))
        .map_err(|error| error.to_string())?;
    let gate = "#!/bin/sh\n[ \"$1\" = egress ] || exec /opt/roundsman/bin/worker \"$@\"\nexec perl -e '\
        use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 3128, Listen => 5, ReuseAddr => 1) or die;\
        while (my $c = $s->accept) { print $c \"gate\\n\"; close $c }'\n";
    write(&context.path().join("roundsman-worker"), gate)?;
    let places = "/repo.git /workspace /in /out /home/agent /step";
    let recipe = format!(
        "FROM {BASE}\nLABEL io.roundsman.schema=1 io.roundsman.test=true\nRUN mkdir -p {places} && chown 10001:10001 {places}\n\
         COPY roundsman-worker worker /opt/roundsman/bin/\n\
         RUN ln -s /opt/roundsman/bin/roundsman-worker /usr/local/bin/roundsman-worker\n"
    );
    write(&context.path().join("Dockerfile"), &recipe)?;
    client(Some(host), &["build", "-q", "-t", IMAGE, &context.path().display().to_string()]).map(drop)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let written =
        fs::write(path, text).and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)));
    written.map_err(|error| error.to_string())
}

impl DockerBench {
    /// The name of turn 1's worker.
    pub(crate) fn name(&self, step: Step) -> String {
        self.object(&format!("t01-{step}"))
    }

    /// The name of an object of the run.
    pub(crate) fn object(&self, what: &str) -> String {
        format!("roundsman-{}-{}-{what}", self.options.scope, run_id())
    }

    /// Ids of what is left of the scope.
    pub(crate) fn objects(&self, kind: &str) -> Vec<String> {
        objects(self.options.host.as_deref(), &self.options.scope, kind).unwrap()
    }

    /// Calls the client on this bench's engine.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        client(self.options.host.as_deref(), arguments)
            .unwrap_or_else(|why| panic!("docker {arguments:?}: {why}"))
    }

    /// Where our branch is on the server.
    pub(crate) fn head(&self) -> Option<String> {
        self.emulator.head(&self.repository, &BranchName::of_run(run_id()).full())
    }

    /// What a shell of the worker's user sees in volumes of the run, given as `volume:place`.
    pub(crate) fn shell(&self, volumes: &[(&str, &str)], program: &str) -> String {
        let mounts: Vec<String> =
            volumes.iter().map(|(what, place)| format!("{}:{place}:ro", self.object(what))).collect();
        let mut arguments = vec!["run", "--rm", "--network", "none", "--user", "10001:10001"];
        for mount in &mounts {
            arguments.extend(["-v", mount]);
        }
        arguments.extend(["--entrypoint", "/bin/sh", IMAGE, "-ec", program]);
        self.docker(&arguments)
    }
}

impl Drop for DockerBench {
    fn drop(&mut self) {
        clear(self.options.host.as_deref(), &self.options.scope);
    }
}

/// Ids of what is left of a scope.
pub(crate) fn objects(host: Option<&str>, scope: &str, kind: &str) -> Result<Vec<String>, String> {
    let filter = format!("label=io.roundsman.scope={scope}");
    let list: &[&str] = if kind == "container" { &["ps", "-aq"] } else { &[kind, "ls", "-q"] };
    let listed = client(host, &[list, &["--filter", &filter]].concat())?;
    Ok(listed.lines().map(str::to_owned).collect())
}

/// Removes everything of a scope.
pub(crate) fn clear(host: Option<&str>, scope: &str) {
    for (kind, remove) in [
        ("container", ["rm", "-fv"].as_slice()),
        ("volume", &["volume", "rm"]),
        ("network", &["network", "rm"]),
    ] {
        let Ok(ids) = objects(host, scope, kind) else { return };
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        if !ids.is_empty() {
            _ = client(host, &[remove, &ids].concat());
        }
    }
}

#[async_trait]
impl Bench for DockerBench {
    fn runtime(&self) -> &dyn Runtime {
        &self.runtime
    }

    fn other(&self) -> &dyn Runtime {
        &self.other
    }

    fn spec(&self, step: Step, program: &str) -> WorkerSpec {
        WorkerSpec {
            schema: SCHEMA,
            run: run_id(),
            turn: Turn {
                number: TURN,
                kind: TurnKind::Implement,
                trigger: Trigger::WorkItem { revision: run_id().revision },
                base: None,
                work_of: None,
            },
            step,
            places: Places::of_image(),
            source: Source {
                url: self.clone_url.clone(),
                branch: BranchName::of_run(run_id()),
                target: BranchName::new("main"),
                expected: None,
            },
            brief: if step == Step::Fetch { "Do it.\n".into() } else { String::new() },
            goes_on: None,
            suggestions: roundsman::domain::Suggestions::default(),
            agent: (step == Step::Agent).then(|| AgentCall {
                name: "command".into(),
                command: ["sh", "-c", program].map(str::to_owned).to_vec(),
                ..AgentCall::default()
            }),
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

    async fn half_start(&self, spec: &WorkerSpec) {
        let mut options = self.options.clone();
        options.host = Some(faulty::line(self.options.host.as_deref().unwrap(), "/attach", Lost::Request));
        let why = DockerRuntime::connect(options).unwrap().start(spec, &handover()).await.unwrap_err();
        assert!(why.to_string().contains("attach"), "{why}");
    }

    async fn kill(&self, step: Step) {
        self.docker(&["kill", "--signal", "KILL", &self.name(step)]);
    }

    async fn saved(&self) -> Vec<String> {
        let program = "git init -q --bare /tmp/x; cd /tmp/x; git fetch -q /repo.git '+refs/roundsman/*:refs/roundsman/*'
            git fetch -q /out/work.bundle +refs/roundsman/work:refs/roundsman/saved
            git diff --name-only refs/roundsman/base refs/roundsman/saved";
        let names = self.shell(&[("repo", "/repo.git"), ("t01-out", "/out")], program);
        names.lines().map(str::to_owned).collect()
    }

    async fn readable(&self) -> String {
        let containers = self.objects("container");
        let mut all = String::new();
        for id in &containers {
            all += &self.docker(&["inspect", id]);
            all += &self.docker(&["logs", id]);
        }
        for volume in self.objects("volume") {
            all += &self.docker(&["volume", "inspect", &volume]);
        }
        let places = [("repo", "/repo.git"), ("workspace", "/workspace"), ("home", "/home/agent")];
        let of_turn = [("t01-in", "/in"), ("t01-out", "/out"), ("t01-fetch", "/f"), ("t01-agent", "/a")];
        all += &self.shell(
            &[places.as_slice(), &of_turn].concat(),
            "grep -ra . /repo.git /workspace /home/agent /in /out /f /a || true",
        );
        all
    }
}
