//! A second engine of a test alone, in a network of its own, that can be killed and comes back. Bridges and rules of the
//! machine belong to the machine's engine.

use super::bench::{IMAGE, ready};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    net::{IpAddr, Ipv4Addr},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The engine; gone when the test loses interest.
pub(crate) struct OwnEngine {
    home: tempfile::TempDir,
    /// Outlives the daemon, so that what its containers reach does not change when it comes back.
    network: Network,
    daemon: Option<Child>,
}

impl OwnEngine {
    /// With the test's worker image. None, and said why, where that is impossible.
    pub(crate) fn start() -> Option<Self> {
        let host = ready()?;
        let is_there =
            |program: &str| Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
        if !rustix::process::getuid().is_root() || !is_there("dockerd") || !is_there("nsenter") {
            println!("skipped: only root can start a second engine, where dockerd is installed");
            return None;
        }
        let network = match Network::make() {
            Ok(network) => network,
            Err(why) => {
                println!("skipped: no network for a second engine: {why}");
                return None;
            }
        };
        let mut engine = Self { home: tempfile::tempdir().unwrap(), network, daemon: None };
        engine.comes_back();
        let loaded = Command::new("sh")
            .args(["-c", "docker save \"$IMAGE\" | DOCKER_HOST=\"$OWN\" docker load -q"])
            .env("IMAGE", IMAGE)
            .env("OWN", engine.host())
            .env("DOCKER_HOST", &host)
            .output()
            .unwrap();
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
        Some(engine)
    }

    fn spawn(&self) -> Child {
        let home = self.home.path();
        let at = |what: &str| home.join(what).display().to_string();
        // Left by one that was killed; whether that one is alive, they cannot tell.
        for file in ["pid", "exec/containerd/containerd.pid"] {
            _ = std::fs::remove_file(home.join(file));
        }
        Command::new("nsenter")
            .arg(format!("--net={}", self.network.file()))
            .arg("dockerd")
            .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")])
            .args(["-H", &self.host()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(home.join("log")).unwrap())
            .spawn()
            .unwrap()
    }

    /// As `DOCKER_HOST` is written.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.home.path().join("sock").display())
    }

    /// Where its containers reach this machine.
    pub(crate) fn doorway(&self) -> IpAddr {
        self.network.outside.into()
    }

    fn client(&self, arguments: &[&str]) -> bool {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", self.host()).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap().success()
    }

    /// The engine crashes.
    pub(crate) fn dies(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    /// And comes back.
    pub(crate) fn comes_back(&mut self) {
        let answers = self.starts();
        assert!(answers, "{}", std::fs::read_to_string(self.home.path().join("log")).unwrap());
    }

    /// Whether it then answers.
    fn starts(&mut self) -> bool {
        self.daemon = Some(self.spawn());
        for _ in 0..300 {
            if self.client(&["version"]) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        false
    }

    /// Both at once; when the power was cut, everything else is gone as well.
    pub(crate) fn restart(&mut self, cut: &[Pid]) {
        self.dies();
        for process in cut {
            kill_process(*process, Signal::KILL).unwrap();
        }
        self.comes_back();
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        // Containers outlive an engine that was killed: it has to come back to take them along.
        if self.daemon.is_some() || self.starts() {
            let all = "docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes";
            let mut command = Command::new("sh");
            _ = command.args(["-c", all]).env("DOCKER_HOST", self.host()).output();
        }
        if let Some(mut daemon) = self.daemon.take() {
            _ = kill_process(Pid::from_child(&daemon), Signal::TERM);
            _ = daemon.wait();
        }
        // It mounts its folder onto itself, and a killed one leaves that behind.
        _ = Command::new("umount").arg(self.home.path().join("data")).output();
    }
}

/// A network with one line to this machine.
struct Network {
    name: String,
    line: String,
    outside: Ipv4Addr,
}

impl Network {
    /// Nobody else's: by process and by number in it.
    fn make() -> Result<Self, String> {
        static NEXT: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let [.., high, low] = std::process::id().to_be_bytes();
        // Four addresses of a range for private use, by process and by number in it.
        let own = |last: u8| Ipv4Addr::new(10, 192 + high % 64, low, number % 64 * 4 + last);
        let name = format!("roundsman-{}-{number}", std::process::id());
        let network = Self { line: format!("rm{high:02x}{low:02x}{number}"), name, outside: own(1) };
        let (name, line) = (&network.name, &network.line);
        let inside = format!("{line}i");
        for arguments in [
            format!("netns add {name}"),
            format!("link add {line} type veth peer name {inside} netns {name}"),
            format!("address add {}/30 dev {line}", own(1)),
            format!("link set {line} up"),
            format!("-n {name} address add {}/30 dev {inside}", own(2)),
            format!("-n {name} link set {inside} up"),
            format!("-n {name} link set lo up"),
        ] {
            let output = Command::new("ip").args(arguments.split(' ')).output().map_err(|e| e.to_string())?;
            if !output.status.success() {
                return Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()));
            }
        }
        Ok(network)
    }

    fn file(&self) -> String {
        format!("/run/netns/{}", self.name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Lines go with either of their ends.
        _ = Command::new("ip").args(["link", "delete", &self.line]).output();
        _ = Command::new("ip").args(["netns", "delete", &self.name]).output();
    }
}
