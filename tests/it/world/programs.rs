//! More of the test universe: our real programs as processes, agents that are shell scripts, and waiting for what must
//! happen without a reviewer who helps it along.

use super::World;
use jiff::SignedDuration;
use roundsman::{
    domain::{Run, Stage, WorkerState},
    shell::report::{Line, Report},
};
use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    /// Data.
    pub(crate) out: String,
    /// Talk.
    pub(crate) log: String,
}

impl Ended {
    /// The last line of the data, as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        let last = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|why| panic!("{why}: {self:#?}"))
    }
}

/// Runs a program of ours with exactly these variables and the search path.
pub(crate) async fn program(
    name: &str,
    arguments: &[&str],
    vars: impl IntoIterator<Item = (String, String)>,
) -> Ended {
    let path = match name {
        "roundsman" => env!("CARGO_BIN_EXE_roundsman"),
        "roundsman-poller" => env!("CARGO_BIN_EXE_roundsman-poller"),
        "roundsman-watcher" => env!("CARGO_BIN_EXE_roundsman-watcher"),
        "roundsman-worker" => env!("CARGO_BIN_EXE_roundsman-worker"),
        other => panic!("{other} is no program of ours"),
    };
    let output = tokio::process::Command::new(path)
        .args(arguments)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs(vars)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let output =
        tokio::time::timeout(Duration::from_mins(2), output).await.expect("it ends").expect("it starts");
    Ended {
        code: output.status.code().expect("no signal"),
        out: String::from_utf8(output.stdout).expect("text"),
        log: String::from_utf8(output.stderr).expect("text"),
    }
}

impl World {
    /// Runs a program of ours as a scheduler would.
    pub(crate) async fn program(&self, name: &str, arguments: &[&str]) -> Ended {
        program(name, arguments, self.vars.clone()).await
    }

    /// From now on the agent is this shell script; it finds the world's directory in `$WORLD`.
    pub(crate) fn agent(&mut self, script: &str) {
        let path = self.home().join("agent.sh");
        let script = format!("WORLD='{}'\n{script}\n", self.home().display());
        fs::write(&path, script).expect("a script");
        self.set("ROUNDSMAN_AGENT_NAME", "command");
        self.set("ROUNDSMAN_AGENT_COMMAND", &format!("sh '{}'", path.display()));
        self.set("ROUNDSMAN_AGENT_PLAN_FIRST", "no");
    }

    /// From now on the agent is `opencode`, played by this shell script; it finds the world's directory in `$WORLD`.
    pub(crate) fn opencode(&mut self, script: &str) {
        let bin = self.home().join("bin");
        fs::create_dir_all(&bin).expect("a directory");
        let path = bin.join("opencode");
        let script = format!("#!/bin/sh\nWORLD='{}'\n{script}\n", self.home().display());
        fs::write(&path, script).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
        let search = std::env::var_os("PATH").expect("a search path").to_string_lossy().into_owned();
        self.set("PATH", &format!("{}:{search}", bin.display()));
        self.set("ROUNDSMAN_AGENT_ENVIRONMENT", "PATH");
        self.set("ROUNDSMAN_AGENT_NAME", "opencode");
        self.set("ROUNDSMAN_AGENT_COMMAND", "");
        self.set("ROUNDSMAN_AGENT_PLAN_FIRST", "no");
    }

    /// What git says in the repository of the pretend service.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let bare = self.home().join("azure-devops").join(format!("{}.git", self.universe.repository.id));
        let output = std::process::Command::new("git").arg("-C").arg(bare).args(arguments).output();
        let output = output.expect("git runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// Files an item for a watched world; answers its id.
    pub(crate) async fn ask(&self) -> i64 {
        let _ = self.tick().await;
        self.universe.file_item(&["ready-for-agent"]).expect("an item")
    }

    /// Ticks and polls without any person's help until `done`. A pause before a second try is skipped.
    pub(crate) async fn go(&mut self, done: impl Fn(&Self) -> bool) {
        for _ in 0..600 {
            if done(self) {
                return;
            }
            let report = self.tick().await;
            let _ = self.poll().await;
            if report.lines.iter().any(|line| line.why.contains("is started again at")) {
                self.passes(SignedDuration::from_mins(2));
            }
            // An outage is told of all runs together; its pauses are longer.
            if report.lines.iter().any(|line| line.why.contains("tries again at")) {
                self.passes(SignedDuration::from_mins(30));
            }
            // Nor is it waited for that a lost request may still arrive.
            if report.lines.iter().any(|line| line.why.contains("it is looked for at")) {
                self.passes(SignedDuration::from_secs(61));
            }
            // Workers and builds are real processes; they need real time.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it did not get there: {:#?}\n{:#?}", self.runs().await, self.universe.emulator.items());
    }

    /// Until the agent's script has made this file in `$WORLD`.
    pub(crate) async fn until_there(&mut self, file: &str) {
        self.go(|world| world.home().join(file).exists()).await;
    }

    /// Until the pull request is there and every check on it has passed; answers its number.
    pub(crate) async fn until_green(&mut self) -> i64 {
        self.go(|world| {
            world
                .universe
                .emulator
                .pull_requests()
                .iter()
                .any(|pull| pull.checks.iter().any(|(name, status)| name == "Build" && status == "approved"))
        })
        .await;
        let _ = self.tick().await;
        self.universe.emulator.pull_requests()[0].id
    }

    /// A world in which this agent's change is green and in review; with the item and the pull request.
    pub(crate) async fn in_review(script: &str) -> (Self, i64, i64) {
        let mut world = Self::new().await;
        let (item, pull) = world.brings_to_review(script).await;
        (world, item, pull)
    }

    /// Lets this agent bring a change to review, green; answers the item and the pull request.
    pub(crate) async fn brings_to_review(&mut self, script: &str) -> (i64, i64) {
        self.agent(script);
        let item = self.ask().await;
        let pull = self.until_green().await;
        assert!(matches!(self.stage().await, roundsman::domain::Stage::InReview { .. }));
        (item, pull)
    }

    pub(crate) fn tags(&self, item: i64) -> Vec<String> {
        self.universe.emulator.item(item).expect("the item").tags
    }

    /// Until people were asked; answers what they were told.
    pub(crate) async fn until_handed(&mut self, item: i64) -> String {
        self.go(|world| world.tags(item).iter().any(|tag| tag == "ready-for-human")).await;
        assert!(!self.tags(item).iter().any(|tag| tag == "agent-in-progress" || tag == "ready-for-agent"));
        let run = self.run().await;
        assert!(matches!(run.stage, Stage::Escalated { .. }), "{run:#?}");
        let told: Vec<String> =
            self.comments(item).into_iter().filter(|text| text.contains("this run needs a person")).collect();
        assert_eq!(told.len(), 1, "people are told once: {told:#?}");
        assert!(told[0].len() < 20_000, "a comment, not a flood: {}", told[0].len());
        self.assert_once(item);
        self.assert_quiet().await;
        told[0].clone()
    }

    /// The only run.
    pub(crate) async fn run(&self) -> Run {
        let mut runs = self.runs().await;
        assert_eq!(runs.len(), 1, "{runs:#?}");
        runs.remove(0)
    }

    /// Nobody works, and two more rounds write nothing.
    pub(crate) async fn assert_quiet(&self) {
        let workers = self.app().await.runtime.workers().await.expect("workers");
        let lives = workers.values().flatten().any(|w| matches!(w.state, WorkerState::Running { .. }));
        assert!(!lives, "{workers:#?}");
        // What ended since the last visit is noted in the comment, once.
        let _ = self.tick().await;
        let before = self.universe.emulator.writes();
        let mut reports = Vec::new();
        for _ in 0..2 {
            reports.push(self.tick().await);
            reports.push(self.poll().await);
        }
        assert_eq!(
            self.universe.emulator.writes(),
            before,
            "an unchanged world is not written to: {reports:#?}"
        );
        let unknown = self.universe.emulator.unknown_requests();
        assert!(unknown.is_empty(), "{unknown:#?}");
    }

    /// Branches of ours.
    pub(crate) fn agent_branches(&self) -> Vec<String> {
        let refs = self.universe.emulator.refs(&self.universe.repository);
        refs.into_keys().filter(|name| name.starts_with("refs/heads/agent/")).collect()
    }

    /// Where the only run keeps its work.
    pub(crate) async fn run_dir(&self) -> PathBuf {
        self.universe.state_dir.join("runs").join(self.run().await.id.to_string())
    }
}

/// The report's line about an item.
pub(crate) fn line(report: &Report, item: i64) -> &Line {
    let is_about = |line: &&Line| i64::from(line.item) == item && line.what != "recovered";
    let found = report.lines.iter().find(is_about);
    found.unwrap_or_else(|| panic!("nothing is said about {item}: {report:#?}"))
}
