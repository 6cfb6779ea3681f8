//! A turn in real containers with the same limits as in production, so that an agent can try to get out of it: a
//! pretend Azure DevOps that containers reach, volumes, an internal network with the gate, and canaries that must not be
//! found anywhere afterwards.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::worker::{PATIENCE, git, run_id};
use roundsman::{
    domain::{BranchName, CommitId, Step, StepResult, Trigger, Turn, TurnKind, TurnNumber},
    emulator::{Emulator, IdentityKind, Options, RepositoryHandle, SeedFile, Token},
    runtime::{
        Credential, Handover, Scheme,
        spec::{AgentCall, CommitIdentity, Limits, Places, SCHEMA, Source, WorkerSpec},
    },
};
use secrecy::ExposeSecret as _;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    process::{Command, Output, Stdio},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// On everything that is made here, with the cage's name as its value.
const LABEL: &str = "io.roundsman.test-cage";
/// What the worker's image is made from.
const BASE: &str = "local/debian:bookworm";
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// What a container of this cage may use up.
#[derive(Clone, Debug)]
pub(crate) struct Caps {
    pub(crate) memory: &'static str,
    pub(crate) pids: &'static str,
    pub(crate) tmp: &'static str,
    pub(crate) fsize: &'static str,
}

/// As in production, but smaller.
pub(crate) const USUAL: Caps = Caps { memory: "1g", pids: "256", tmp: "256m", fsize: "1073741824" };

/// How a step ended.
pub(crate) struct Done {
    /// The last line of its output, if that is a status of this step.
    pub(crate) status: Option<StepResult>,
    pub(crate) log: String,
    pub(crate) exit_code: i64,
    pub(crate) out_of_memory: bool,
    pub(crate) took: Duration,
}

/// Values that must stay where they belong.
pub(crate) struct Canaries {
    pub(crate) azure_devops: String,
    pub(crate) model: String,
    pub(crate) feed: String,
    /// Text of another run.
    pub(crate) other: String,
}

impl Canaries {
    fn new(mark: &str) -> Self {
        let canary = |what: &str| format!("canary-{what}-{mark}-0123456789-0123456789");
        Self {
            azure_devops: canary("ado"),
            model: canary("model"),
            feed: canary("feed"),
            other: canary("other"),
        }
    }

    /// The secret ones in every spelling in which git prints one.
    pub(crate) fn spellings(&self) -> Vec<String> {
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD;
        [&self.azure_devops, &self.model, &self.feed]
            .into_iter()
            .flat_map(|canary| [canary.clone(), base64.encode(format!(":{canary}")), base64.encode(canary)])
            .collect()
    }
}

/// One run's volumes, one network with a gate, and a server.
pub(crate) struct Cage {
    pub(crate) name: String,
    pub(crate) canaries: Canaries,
    pub(crate) emulator: Emulator,
    pub(crate) repository: RepositoryHandle,
    /// The host's address in the network of fetch, publish and gate.
    pub(crate) gateway: IpAddr,
    url: String,
    image: &'static str,
    root: tempfile::TempDir,
    _forward: Tap,
}

/// Runs the engine's client.
pub(crate) fn docker(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn did(arguments: &[&str]) -> String {
    let output = docker(arguments);
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn engine_is_there() -> bool {
    let asked = Command::new("docker").args(["image", "inspect", BASE]).output();
    match asked {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let why = if said.contains("No such image") { "no image" } else { "no Docker engine" };
            println!("skipped: {why} ({})", said.lines().next().unwrap_or_default());
            false
        }
        Err(error) => {
            println!("skipped: no Docker client ({error})");
            false
        }
    }
}

/// The image of this test build's worker, made once. The engine's cache makes it cheap the second time.
fn image() -> &'static str {
    static IMAGE: OnceLock<String> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let context = tempfile::tempdir().unwrap();
        fs::copy(env!("CARGO_BIN_EXE_roundsman-worker"), context.path().join("roundsman-worker")).unwrap();
        let file = format!(
            "FROM {BASE}\nCOPY roundsman-worker /opt/roundsman/bin/roundsman-worker\n\
             RUN ln -s /opt/roundsman/bin/roundsman-worker /usr/local/bin/roundsman-worker && \
             useradd --uid 10001 --no-create-home --home-dir /home/agent --shell /bin/bash agent && \
             mkdir -p /repo.git /workspace /in /out /home/agent /step && \
             chown 10001:10001 /repo.git /workspace /in /out /home/agent /step\n"
        );
        fs::write(context.path().join("Dockerfile"), file).unwrap();
        let tag = "roundsman-test-cage:egress".to_owned();
        did(&["build", "--quiet", "--label", LABEL, "-t", &tag, context.path().to_str().unwrap()]);
        tag
    })
}

/// A listener that passes bytes on, or counts who arrives.
pub(crate) struct Tap {
    pub(crate) address: SocketAddr,
    arrived: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Tap {
    fn start(at: IpAddr, each: impl Fn(TcpStream) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind((at, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (arrived, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stop) = (Arc::clone(&arrived), Arc::clone(&over));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let each = each.clone();
                thread::spawn(move || each(stream));
            }
        });
        Self { address, arrived, over }
    }

    /// Nobody may come here.
    pub(crate) fn canary(at: IpAddr) -> Self {
        Self::start(at, |mut stream| _ = stream.write_all(b"a canary of the host\n"))
    }

    /// Sends back whatever arrives, for up to a second of silence.
    pub(crate) fn mirror(at: IpAddr) -> Self {
        Self::start(at, |mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            let mut buffer = [0; 4096];
            let mut back = Vec::new();
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                back.extend_from_slice(&buffer[..count]);
            }
            _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            _ = stream.write_all(&back);
        })
    }

    fn forward(at: IpAddr, to: SocketAddr) -> Self {
        Self::start(at, move |from| {
            let Ok(there) = TcpStream::connect(to) else { return };
            let (mut a, mut b) = (from.try_clone().unwrap(), there.try_clone().unwrap());
            let back = thread::spawn(move || {
                _ = std::io::copy(&mut b, &mut a);
                _ = a.shutdown(std::net::Shutdown::Write);
            });
            _ = std::io::copy(&mut &from, &mut &there);
            _ = there.shutdown(std::net::Shutdown::Write);
            _ = back.join();
        })
    }

    /// How many came.
    pub(crate) fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes it up.
        _ = TcpStream::connect(self.address);
    }
}

/// Looks at the arguments of all processes of this machine while something runs.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<(usize, BTreeSet<String>)>,
}

impl Watch {
    pub(crate) fn start(needles: Vec<String>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let (mut workers, mut found) = (0, BTreeSet::new());
            while !stop.load(Ordering::SeqCst) {
                for process in fs::read_dir("/proc").unwrap().flatten() {
                    let Ok(words) = fs::read(process.path().join("cmdline")) else { continue };
                    let words = String::from_utf8_lossy(&words).into_owned();
                    workers += usize::from(words.contains("roundsman-worker\0") && words.contains("/step"));
                    if needles.iter().any(|needle| words.contains(needle)) {
                        found.insert(words.replace('\0', " "));
                    }
                }
                thread::sleep(LOOK);
            }
            (workers, found)
        });
        Self { over, thread }
    }

    /// How often a worker was seen at all, and which command lines had a needle.
    pub(crate) fn end(self) -> (usize, BTreeSet<String>) {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

impl Cage {
    /// None without an engine, after saying so.
    pub(crate) async fn new(what: &str) -> Option<Self> {
        if !engine_is_there() {
            return None;
        }
        let name = format!("egress-{what}-{}", std::process::id());
        let canaries = Canaries::new(what);
        let root = tempfile::tempdir().unwrap();
        let options = Options { root: Some(root.path().to_owned()), ..Options::default() };
        let emulator = Emulator::start(options).await.unwrap();
        emulator.create_project("Fabrikam");
        let seed = [
            SeedFile::new("README.md", "# Hello\n"),
            SeedFile::new("AGENTS.md", "Be kind.\n"),
            SeedFile::new(".gitignore", "ignored/\n"),
        ];
        let repository = emulator.create_repository("Fabrikam", "greet", &seed).unwrap();
        let bot = emulator.create_identity("roundsman", "bot@fabrikam.example", IdentityKind::Service);
        emulator.issue_token(&bot, Token::Pat, &canaries.azure_devops);
        let gateway =
            did(&["network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"]);
        let gateway: IpAddr = gateway.parse().unwrap();
        let url = url_parts(&repository.clone_url);
        let forward = Tap::forward(gateway, url.0);
        let url = format!("http://{}{}", forward.address, url.1);
        Some(Self {
            name,
            canaries,
            emulator,
            repository,
            gateway,
            url,
            image: image(),
            root,
            _forward: forward,
        })
    }

    fn label(&self) -> String {
        format!("{LABEL}={}", self.name)
    }

    pub(crate) fn spec(
        &self,
        step: Step,
        turn: u16,
        program: &str,
        expected: Option<CommitId>,
    ) -> WorkerSpec {
        let branch = BranchName::of_run(run_id());
        WorkerSpec {
            schema: SCHEMA,
            run: run_id(),
            turn: Turn {
                number: TurnNumber(turn),
                kind: if turn == 1 { TurnKind::Implement } else { TurnKind::Redispatch },
                trigger: Trigger::WorkItem { revision: run_id().revision },
                base: expected.clone(),
            },
            step,
            places: Places { home: "/home/agent".into(), ..Places::of_image() },
            source: Source { url: self.url.clone(), branch, target: BranchName::new("main"), expected },
            brief: if step == Step::Fetch { "Do it.\n\n## Thread 7\nWhy?\n".into() } else { String::new() },
            agent: (step == Step::Agent).then(|| AgentCall {
                name: "command".into(),
                command: ["sh", "-c", program].map(str::to_owned).to_vec(),
                plan_first: false,
            }),
            commit: CommitIdentity {
                name: "Roundsman".into(),
                email: "roundsman@example.invalid".into(),
                date: "2026-01-02T03:04:05Z".parse().unwrap(),
            },
            limits: Limits { wall_seconds: 300, grace_seconds: 2, tidy_calls: 0, ..Limits::default() },
        }
    }

    /// What fetch and publish are handed.
    pub(crate) fn credential(&self) -> Handover {
        let token = self.canaries.azure_devops.clone().into();
        Handover { credential: Some(Credential { scheme: Scheme::Pat, token }), ..Handover::default() }
    }

    /// What an agent is handed: its own keys, and what the probe needs to know.
    pub(crate) fn keys(&self, more: &[(&str, String)]) -> Handover {
        let mut environment: BTreeMap<String, secrecy::SecretString> =
            more.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into())).collect();
        environment.insert("MODEL_API_KEY".into(), self.canaries.model.clone().into());
        environment.insert("FEED_TOKEN".into(), self.canaries.feed.clone().into());
        Handover { environment, ..Handover::default() }
    }

    /// An internal network whose bridge has no address on the host.
    pub(crate) fn network(&self, what: &str) -> String {
        let name = format!("{}-{what}", self.name);
        let label = self.label();
        let option = "com.docker.network.bridge.inhibit_ipv4=true";
        did(&["network", "create", "--internal", "-o", option, "--label", &label, &name]);
        name
    }

    /// The gate in a network; its container's name.
    pub(crate) fn gate(&self, network: &str, allow: &str) -> String {
        let name = format!("{network}-gate");
        let small = Caps { memory: "64m", pids: "64", tmp: "1m", fsize: "1048576" };
        let mut arguments = self.hardened(&name, &small);
        let own = ["--network", "bridge", "--entrypoint", "/opt/roundsman/bin/roundsman-worker", self.image];
        arguments.extend(own.map(str::to_owned));
        let gate = ["egress", "--listen", "0.0.0.0:3128", "--allow", allow, "--lifetime", "600"];
        arguments.extend(gate.map(str::to_owned));
        did(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        did(&["network", "connect", "--alias", "egress", network, &name]);
        did(&["start", &name]);
        name
    }

    /// The address of a container in a network.
    pub(crate) fn address(container: &str, network: &str) -> Ipv4Addr {
        let format = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
        did(&["inspect", "--format", &format, container]).parse().unwrap()
    }

    fn hardened(&self, name: &str, caps: &Caps) -> Vec<String> {
        let (label, tmp, fsize) = (
            self.label(),
            format!("/tmp:rw,nosuid,nodev,mode=1777,size={}", caps.tmp),
            format!("fsize={}", caps.fsize),
        );
        let words = [
            "create",
            "--name",
            name,
            "--label",
            &label,
            "--user",
            "10001:10001",
            "--cap-drop",
            "ALL",
            "--security-opt",
            "no-new-privileges",
            "--read-only",
            "--init",
            "--tmpfs",
            &tmp,
            "--tmpfs",
            "/run:rw,nosuid,nodev,noexec,mode=1777,size=16m",
            "--memory",
            caps.memory,
            "--memory-swap",
            caps.memory,
            "--cpus",
            "2",
            "--pids-limit",
            caps.pids,
            "--ulimit",
            "nofile=16384:16384",
            "--ulimit",
            "core=0:0",
            "--ulimit",
            &fsize,
            "--ipc",
            "private",
            "--restart",
            "no",
            "--log-driver",
            "json-file",
            "--log-opt",
            "max-size=4m",
            "--log-opt",
            "max-file=2",
        ];
        words.map(str::to_owned).to_vec()
    }

    /// The volumes of a step: name, place, whether it can only be read.
    fn volumes(&self, step: Step, turn: TurnNumber) -> Vec<(String, &'static str, bool)> {
        let of_run = |what: &str| format!("{}-{what}", self.name);
        let of_turn = |what: &str| format!("{}-t{:02}-{what}", self.name, turn.0);
        let own = (of_turn(step.word()), "/step", false);
        let (repo, workspace, home) = (of_run("repo"), of_run("workspace"), of_run("home"));
        match step {
            Step::Fetch => vec![
                (repo, "/repo.git", false),
                (workspace, "/workspace", false),
                (home, "/home/agent", false),
                (of_turn("in"), "/in", false),
                (of_turn("out"), "/out", false),
                own,
            ],
            Step::Agent => vec![
                (repo, "/repo.git", true),
                (workspace, "/workspace", false),
                (home, "/home/agent", false),
                (of_turn("in"), "/in", true),
                (of_turn("out"), "/out", false),
                own,
            ],
            Step::Publish => vec![(repo, "/repo.git", false), (of_turn("out"), "/out", true), own],
        }
    }

    /// Makes the container of a step; `mark` tells several of one kind apart.
    pub(crate) fn create(&self, spec: &WorkerSpec, mark: &str, network: &str, caps: &Caps) -> String {
        let name = format!("{}-t{:02}-{}{mark}", self.name, spec.turn.number.0, spec.step);
        let mut arguments = self.hardened(&name, caps);
        for (volume, place, read_only) in self.volumes(spec.step, spec.turn.number) {
            let is_own = place == "/step" || (place == "/out" && spec.step == Step::Agent);
            let volume = if is_own { format!("{volume}{mark}") } else { volume };
            let label = format!("{LABEL}={}", self.name);
            did(&["volume", "create", "--label", &label, &volume]);
            let end = if read_only { ",readonly" } else { "" };
            arguments.extend(["--mount".into(), format!("type=volume,src={volume},dst={place}{end}")]);
        }
        if spec.step == Step::Agent {
            arguments.extend(["--dns".into(), "192.0.2.1".into()]);
        }
        let (step, dir) = (spec.step.word(), "/step");
        let program = "/opt/roundsman/bin/roundsman-worker";
        let words = [
            "--interactive",
            "--workdir",
            dir,
            "--network",
            network,
            "--entrypoint",
            program,
            self.image,
            step,
            "--dir",
            dir,
        ];
        arguments.extend(words.map(str::to_owned));
        did(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        name
    }

    /// Starts what was made, hands over, waits for its end.
    pub(crate) fn run(&self, name: &str, spec: &WorkerSpec, handover: &Handover) -> Done {
        let began = Instant::now();
        let mut client = Command::new("docker")
            .args(["start", "--attach", "--interactive", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let line = handover.line(Some(spec));
        client.stdin.take().unwrap().write_all(line.expose_secret().as_bytes()).unwrap();
        while client.try_wait().unwrap().is_none() {
            if began.elapsed() > PATIENCE * 5 {
                _ = docker(&["kill", name]);
            }
            thread::sleep(LOOK);
        }
        Self::done(name, spec.step, began.elapsed())
    }

    fn done(name: &str, step: Step, took: Duration) -> Done {
        let log = did(&["logs", name]);
        let last = log.lines().last().unwrap_or_default();
        let status = serde_json::from_str(last).ok().filter(|status: &StepResult| status.step() == step);
        let state = did(&[
            "inspect",
            "--format",
            "{{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Running}}",
            name,
        ]);
        let state: Vec<&str> = state.split(' ').collect();
        assert_eq!(state[2], "false", "{name} still runs");
        let (exit_code, out_of_memory) = (state[0].parse().unwrap(), state[1] == "true");
        Done { status, log, exit_code, out_of_memory, took }
    }

    /// Makes and runs a step.
    pub(crate) fn step(&self, spec: &WorkerSpec, network: &str) -> Done {
        let handover = self.credential();
        let name = self.create(spec, "", network, &USUAL);
        self.run(&name, spec, &handover)
    }

    /// A text file out of a container that has ended.
    pub(crate) fn read(container: &str, path: &str) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("file");
        let output = docker(&["cp", &format!("{container}:{path}"), place.to_str().unwrap()]);
        output.status.success().then(|| String::from_utf8_lossy(&fs::read(place).unwrap()).into_owned())
    }

    /// Names in a directory of a container that has ended.
    pub(crate) fn list(container: &str, path: &str) -> Vec<String> {
        let output = docker(&["cp", &format!("{container}:{path}"), "-"]);
        let mut archive = tar::Archive::new(output.stdout.as_slice());
        let entries = archive.entries().unwrap().flatten();
        entries.map(|entry| entry.path().unwrap().display().to_string()).collect()
    }

    /// Everything that this cage left with the engine and that contains one of the needles: what, and where.
    pub(crate) fn leaks(&self, needles: &[String]) -> Vec<String> {
        let label = format!("label={}", self.label());
        let mut found = Vec::new();
        let mut look = |what: &str, text: &[u8]| {
            let text = String::from_utf8_lossy(text);
            found.extend(
                needles.iter().filter(|n| text.contains(*n)).map(|n| format!("{what}: {}", &n[..12])),
            );
        };
        let ids = |arguments: &[&str]| did(arguments).lines().map(str::to_owned).collect::<Vec<_>>();
        let containers = ids(&["ps", "-aq", "--filter", &label]);
        assert!(containers.len() > 2, "nothing to look at");
        for id in &containers {
            look("inspect", &docker(&["inspect", id]).stdout);
            let output = docker(&["logs", id]);
            look("log", &output.stdout);
            look("log", &output.stderr);
        }
        for network in ids(&["network", "ls", "-q", "--filter", &label]) {
            look("network", &docker(&["network", "inspect", &network]).stdout);
        }
        look("image history", &docker(&["history", "--no-trunc", self.image]).stdout);
        look("image", &docker(&["image", "inspect", self.image]).stdout);
        let volumes = ids(&["volume", "ls", "-q", "--filter", &label]);
        assert!(volumes.len() > 5, "nothing to look at");
        let mut arguments =
            ["run", "--rm", "-i", "--network", "none", "--user", "0"].map(str::to_owned).to_vec();
        for volume in &volumes {
            look("volume", &docker(&["volume", "inspect", volume]).stdout);
            arguments
                .extend(["--mount".into(), format!("type=volume,src={volume},dst=/look/{volume},readonly")]);
        }
        // git packs what it keeps: the loose form is searched as well as every object's content.
        let script = "cat > /tmp/needles; grep -raFl -D skip -f /tmp/needles /look; \
            for g in /look/*-repo /look/*-workspace/.git; do export GIT_DIR=$g; \
            git -c safe.directory='*' cat-file --batch-all-objects --batch 2>/dev/null | grep -aqF -f /tmp/needles && echo objects of $g; done; \
            echo searched";
        arguments.extend(["--entrypoint", "sh", self.image, "-c", script].map(str::to_owned));
        let searched = with_input(&arguments, &needles.join("\n"));
        assert!(searched.contains("searched"), "{searched}");
        found.extend(
            searched.lines().filter(|line| *line != "searched").map(|line| format!("volume: {line}")),
        );
        found
    }

    /// A commit of the server, as git keeps it.
    pub(crate) fn commit(&self, id: &str) -> String {
        let mut left = vec![self.root.path().to_owned()];
        while let Some(directory) = left.pop() {
            if directory.join("objects").is_dir() {
                return git(&directory, &["cat-file", "commit", id]);
            }
            left.extend(
                fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path()).filter(|p| p.is_dir()),
            );
        }
        panic!("the server has no repository")
    }

    /// Whether the image's layers contain one of the needles.
    pub(crate) fn image_has(&self, needles: &[String]) -> bool {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("image.tar");
        did(&["save", "-o", file.to_str().unwrap(), self.image]);
        contains(&file, needles)
    }

    /// Puts a text into a volume of another run.
    pub(crate) fn other_volume(&self) {
        let volume = format!("{}-other", self.name);
        did(&["volume", "create", "--label", &self.label(), &volume]);
        let place = format!("type=volume,src={volume},dst=/other");
        let arguments = [
            "run",
            "--rm",
            "-i",
            "--network",
            "none",
            "--user",
            "0",
            "--mount",
            &place,
            "--entrypoint",
            "tee",
        ];
        let arguments: Vec<String> =
            arguments.into_iter().chain([self.image, "/other/notes.txt"]).map(str::to_owned).collect();
        with_input(&arguments, &self.canaries.other);
    }
}

fn with_input(arguments: &[String], input: &str) -> String {
    let mut child = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn contains(file: &Path, needles: &[String]) -> bool {
    let patterns: Vec<&str> = needles.iter().flat_map(|needle| ["-e", needle]).collect();
    Command::new("grep").args(["-aqF"]).args(patterns).arg(file).status().unwrap().success()
}

/// `http://127.0.0.1:PORT/path` as address and path.
fn url_parts(url: &str) -> (SocketAddr, String) {
    let rest = url.strip_prefix("http://").unwrap();
    let (authority, path) = rest.split_at(rest.find('/').unwrap());
    (authority.parse().unwrap(), path.to_owned())
}

/// Datagrams that reach the host where none may.
pub(crate) fn datagrams(port: u16) -> Arc<Mutex<usize>> {
    let count = Arc::new(Mutex::new(0));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
    let seen = Arc::clone(&count);
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while socket.recv(&mut buffer).is_ok() {
            *seen.lock().unwrap() += 1;
        }
    });
    count
}

impl Drop for Cage {
    fn drop(&mut self) {
        let label = format!("label={}", self.label());
        let rows = [
            (["ps", "-aq", "--filter", &label], &["rm", "--force", "--volumes"][..]),
            (["volume", "ls", "-q", "--filter"], &["volume", "rm", "--force"]),
            (["network", "ls", "-q", "--filter"], &["network", "rm"]),
        ];
        for (list, remove) in rows {
            let mut list = list.to_vec();
            if list.last() == Some(&"--filter") {
                list.push(&label);
            }
            let ids = String::from_utf8_lossy(&docker(&list).stdout).into_owned();
            let ids: Vec<&str> = ids.lines().collect();
            if !ids.is_empty() {
                docker(&[remove, &ids].concat());
            }
        }
    }
}
