//! A bench with the real gate, from which an agent tries to get out: canaries around it, steps with words of its own, and
//! a search through everything that the engine keeps.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use super::bench::{self, DockerBench, docker};
use crate::{
    runtime::suite::{Bench, MODEL_KEY, TOKEN, TURN, fetch, handover},
    worker::{PATIENCE, git, run_id},
};
use base64::Engine as _;
use roundsman::{
    domain::{Step, TurnNumber, WorkerState},
    runtime::{
        Handover,
        docker::{Egress, Options},
        spec::WorkerSpec,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Command, Output, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// The worker under test, with its real gate.
const IMAGE: &str = "roundsman-egress-test:worker";
/// What it is made on; `.ci/docker-up` brings it.
const BASE: &str = "local/debian:bookworm";
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// A bench whose worker image has the real gate. None, and said why, where there is no engine.
pub(crate) async fn cage(change: impl FnOnce(&mut Options)) -> Option<DockerBench> {
    let host = bench::host();
    if let Some(host) = &host
        && let Err(why) = image(host)
    {
        println!("skipped: no worker image for tests: {why}");
        return None;
    }
    bench::with(|options| {
        options.image = IMAGE.into();
        change(options);
    })
    .await
}

/// Builds the image, once.
fn image(host: &str) -> Result<(), String> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let build = || {
        let context = tempfile::tempdir().map_err(|error| error.to_string())?;
        let places = "/repo.git /workspace /in /out /home/agent /step";
        let recipe = format!(
            "FROM {BASE}\nLABEL io.roundsman.schema=1 io.roundsman.test=egress\n\
             RUN mkdir -p {places} && chown 10001:10001 {places}\n\
             COPY roundsman-worker /opt/roundsman/bin/\n\
             RUN ln -s /opt/roundsman/bin/roundsman-worker /usr/local/bin/roundsman-worker\n"
        );
        fs::write(context.path().join("Dockerfile"), recipe).map_err(|error| error.to_string())?;
        fs::copy(env!("CARGO_BIN_EXE_roundsman-worker"), context.path().join("roundsman-worker"))
            .map_err(|error| error.to_string())?;
        let output = Command::new("docker")
            .env("DOCKER_HOST", host)
            .args(["build", "-q", "-t", IMAGE])
            .arg(context.path())
            .output()
            .map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    };
    BUILT.get_or_init(build).clone()
}

/// How a step ended, and its log.
pub(crate) struct Done {
    pub(crate) state: WorkerState,
    pub(crate) log: String,
}

/// Starts a step of any turn and waits for its end.
pub(crate) async fn step(bench: &DockerBench, spec: &WorkerSpec, handover: &Handover) -> Done {
    let (runtime, turn) = (bench.runtime(), spec.turn.number);
    runtime.start(spec, handover).await.unwrap();
    runtime.wait(run_id(), turn, spec.step, PATIENCE * 5).await.unwrap();
    let workers = runtime.workers_of(run_id()).await.unwrap();
    let worker = workers.into_iter().find(|w| w.turn.number == turn && w.step == spec.step).unwrap();
    let log = runtime.log_tail(run_id(), turn, spec.step, 20_000).await.unwrap();
    Done { state: worker.state, log }
}

/// Fetches, then plays the program as the agent of turn 1.
pub(crate) async fn play(bench: &DockerBench, program: &str, told: &[(&str, String)]) -> Done {
    fetch(bench).await;
    step(bench, &bench.spec(Step::Agent, program), &told_to(told)).await
}

/// What an agent is handed: keys that it may have, and what the probe needs to know.
pub(crate) fn told_to(told: &[(&str, String)]) -> Handover {
    let mut handover = handover();
    handover.environment.extend(told.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into())));
    handover
}

/// A file of a turn's evidence.
pub(crate) async fn evidence(bench: &DockerBench, name: &str) -> Option<String> {
    let path = format!("evidence/{name}");
    let bytes = bench.runtime().read_evidence(run_id(), TURN, &path, 1 << 20).await.unwrap();
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The gate of a bench, and the addresses of the gate's container: inside, and outside.
pub(crate) fn gate_of(bench: &DockerBench) -> (String, [String; 2]) {
    let name = bench.object("t01-egress");
    let format = "{{range $n, $v := .NetworkSettings.Networks}}{{$n}}={{$v.IPAddress}} {{end}}";
    let networks = bench.docker(&["inspect", "--format", format, &name]);
    let address = |inside: bool| {
        let found = networks.split_whitespace().filter_map(|pair| pair.split_once('='));
        let mut found =
            found.filter(|(network, _)| (*network != "bridge") == inside).map(|(_, ip)| ip.to_owned());
        found.next().unwrap()
    };
    (name, [address(true), address(false)])
}

/// The host's address on the engine's default bridge.
pub(crate) fn gateway() -> IpAddr {
    docker(&["network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"])
        .parse()
        .unwrap()
}

/// All addresses of the host, for `PROBE_HOST`.
pub(crate) fn host_addresses() -> String {
    let output = Command::new("hostname").arg("-I").output().unwrap();
    let own = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut all: BTreeSet<&str> =
        own.split_whitespace().filter(|ip| ip.parse::<Ipv4Addr>().is_ok()).collect();
    let gateway = gateway().to_string();
    all.insert(&gateway);
    all.into_iter().collect::<Vec<_>>().join(" ")
}

/// A listener of the host.
pub(crate) struct Tap {
    pub(crate) address: SocketAddr,
    arrived: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Tap {
    fn start(at: IpAddr, each: fn(TcpStream)) -> Self {
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
                thread::spawn(move || each(stream));
            }
        });
        Self { address, arrived, over }
    }

    /// Nobody may come here.
    pub(crate) fn canary(at: IpAddr) -> Self {
        Self::start(at, |mut stream| _ = stream.write_all(b"a canary of the host\n"))
    }

    /// Sends back whatever arrives until it is silent for a moment.
    pub(crate) fn mirror(at: IpAddr) -> Self {
        Self::start(at, |mut stream| {
            stream.set_read_timeout(Some(LOOK * 10)).unwrap();
            let mut buffer = [0; 4096];
            let mut back = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                back.extend_from_slice(&buffer[..count]);
            }
            _ = stream.write_all(&back);
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

/// Counts datagrams that reach the host at a port where none may.
pub(crate) fn datagrams(port: u16) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
    let seen = Arc::clone(&count);
    thread::spawn(move || {
        while socket.recv(&mut [0; 64]).is_ok() {
            seen.fetch_add(1, Ordering::SeqCst);
        }
    });
    count
}

/// The credentials in every spelling in which git prints one.
pub(crate) fn secrets() -> Vec<String> {
    let base64 = base64::engine::general_purpose::STANDARD;
    let spell =
        |secret: &str| [secret.to_owned(), base64.encode(format!(":{secret}")), base64.encode(secret)];
    [TOKEN, MODEL_KEY].into_iter().flat_map(spell).collect()
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

/// Calls the client on the bench's engine, whatever it answers.
pub(crate) fn client(bench: &DockerBench, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new("docker")
        .env("DOCKER_HOST", bench.options.host.as_deref().unwrap())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(input.as_bytes()).unwrap();
    drop(pipe);
    child.wait_with_output().unwrap()
}

/// Runs a shell as root with all volumes of the bench below `/look`.
pub(crate) fn shell(bench: &DockerBench, writable: bool, program: &str, input: &str) -> String {
    let end = if writable { "" } else { ",readonly" };
    let volumes = bench.objects("volume");
    let prefix = format!("roundsman-{}-{}-", bench.options.scope, run_id());
    let mounts: Vec<String> = volumes
        .iter()
        .map(|volume| {
            format!("type=volume,src={volume},dst=/look/{}{end}", volume.trim_start_matches(&prefix))
        })
        .collect();
    let mut arguments = vec!["run", "--rm", "-i", "--network", "none", "--user", "0"];
    arguments.extend(mounts.iter().flat_map(|mount| ["--mount", mount]));
    arguments.extend(["--entrypoint", "sh", IMAGE, "-c", program]);
    let output = client(bench, &arguments, input);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// Everything that the engine keeps of the bench and that contains one of the needles: what, and which.
pub(crate) async fn leaks(bench: &DockerBench, needles: &[String]) -> Vec<String> {
    let mut texts = BTreeMap::from([("readable", bench.readable().await)]);
    assert!(texts["readable"].contains("README"), "nothing was looked at");
    let mut networks = String::new();
    for network in bench.objects("network") {
        networks += &bench.docker(&["network", "inspect", &network]);
    }
    texts.insert("networks", networks);
    texts.insert("image history", bench.docker(&["history", "--no-trunc", IMAGE]));
    texts.insert("image", bench.docker(&["image", "inspect", IMAGE]));
    // git packs what it keeps, so every object is unpacked for the search.
    let program = "cat > /tmp/needles; grep -raFl -D skip -f /tmp/needles /look; n=0
        for g in /look/repo /look/workspace/.git; do
            GIT_DIR=$g git -c safe.directory='*' cat-file --batch-all-objects --batch > /tmp/objects && n=$((n + 1))
            grep -aqF -f /tmp/needles /tmp/objects && echo objects of $g
        done; echo searched $n";
    let searched = shell(bench, false, program, &needles.join("\n"));
    assert!(searched.contains("searched 2"), "{searched}");
    let found = texts.iter().flat_map(|(what, text)| {
        needles.iter().filter(|needle| text.contains(*needle)).map(move |n| format!("{what}: {}…", &n[..12]))
    });
    let volumes =
        searched.lines().filter(|line| !line.starts_with("searched")).map(|line| format!("volume: {line}"));
    found.chain(volumes).collect()
}

/// Whether the image's layers contain one of the needles.
pub(crate) fn image_has(bench: &DockerBench, needles: &[String]) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("image.tar");
    bench.docker(&["save", "-o", file.to_str().unwrap(), IMAGE]);
    Command::new("grep")
        .arg("-aqF")
        .arg("-f")
        .arg(patterns(needles).path())
        .arg(&file)
        .status()
        .unwrap()
        .success()
}

/// A file of what is searched for: another test may be looking for it in the arguments of every process.
pub(crate) fn patterns(needles: &[String]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), needles.join("\n")).unwrap();
    file
}

/// git on this machine against the bench's server, with the credential in its environment. Standard output.
pub(crate) fn server(arguments: &[&str]) -> String {
    let basic = base64::engine::general_purpose::STANDARD.encode(format!(":{TOKEN}"));
    let output = Command::new("git")
        .args(arguments)
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "http.extraHeader")
        .env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {basic}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A commit of the server, as git keeps it.
pub(crate) fn commit(bench: &DockerBench, id: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    git(directory.path(), &["init", "--quiet", "--bare", "."]);
    let (spec, place) = (bench.spec(Step::Publish, ""), directory.path().to_str().unwrap());
    server(&["-C", place, "fetch", "--quiet", &spec.source.url, &spec.source.branch.full()]);
    git(directory.path(), &["cat-file", "commit", id])
}

/// The network of an agent is open to what is listed, and only to that.
pub(crate) fn gated(allow: &[String]) -> impl FnOnce(&mut Options) {
    let egress = Egress::Gate { allow: allow.to_vec(), upstream: None };
    move |options| options.egress = egress
}

/// Turn 2 of the same run.
pub(crate) fn second(mut spec: WorkerSpec) -> WorkerSpec {
    spec.turn.number = TurnNumber(2);
    spec
}
