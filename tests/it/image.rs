//! The worker image: the recipe, the page that describes it, and the verbs that build and look at it.
//!
//! Most of it needs no engine: a client that is a script plays one. What only a real engine can show is skipped, by
//! name, where none answers.

use crate::{
    tidy::root,
    world::{Ended, program},
};
use roundsman::{
    agents,
    cli::{
        image::{self, AGENTS, Made, Show},
        program::Surroundings,
    },
    domain::{Step, StepResult},
    runtime::{
        Handover,
        spec::{Places, SCHEMA},
    },
    shell::Host,
    worker,
};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A volume of the container runtime, beside the places that an order names.
const STEP: &str = "/step";

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn places() -> BTreeSet<String> {
    let Places { repository, workspace, input, output, home } = Places::of_image();
    let places = [repository, workspace, input, output, home, PathBuf::from(STEP)];
    places.map(|place| place.display().to_string()).into()
}

// --- the recipe ----------------------------------------------------------------------------------------------------

#[test]
fn the_recipe_keeps_its_promises() {
    let recipe = read("worker.dockerfile");
    let lines = |start: &str| recipe.lines().filter(|line| line.starts_with(start)).collect::<Vec<_>>();
    for word in ["# syntax=", "COPY --link", "<<"] {
        assert!(
            !recipe.contains(word),
            "{word}: an engine without a registry, or an older one, cannot build it"
        );
    }
    assert!(recipe.contains("--locked --no-default-features"), "images leave the emulator out");
    assert!(recipe.contains("target-feature=+crt-static"), "the worker runs in foreign images");
    assert_eq!(
        lines("FROM ").last(),
        Some(&"FROM ${BASE} AS worker"),
        "the worker is what a plain build makes"
    );
    assert_eq!(lines("USER "), ["USER 10001:10001", "USER 10001:10001"], "coordinator and worker");
    for agent in AGENTS {
        let name = format!("ARG {}_VERSION=", agent.to_uppercase());
        let pinned = recipe.lines().find_map(|line| line.strip_prefix(&name));
        let exact =
            |version: &str| version.split('.').filter(|part| part.parse::<u32>().is_ok()).count() == 3;
        assert!(pinned.is_some_and(exact), "{agent}: {pinned:?} is no exact version");
    }
    for switch in
        ["OPENCODE_DISABLE_AUTOUPDATE=1", "OPENCODE_DISABLE_PROJECT_CONFIG=1", "DISABLE_AUTOUPDATER=1"]
    {
        assert!(recipe.contains(switch), "no {switch}");
    }
    assert!(
        recipe.contains(&format!("io.roundsman.schema=\"{SCHEMA}\"")),
        "the label is the schema of orders"
    );
    let ignored = read(".dockerignore");
    assert!(ignored.lines().any(|line| line == "*"), "a context is a list of what gets in");
}

#[test]
fn the_recipe_makes_every_place_for_the_user_of_steps() {
    let recipe = read("worker.dockerfile");
    for command in ["mkdir -p /", "chown 10001:10001 /"] {
        let line = recipe.lines().find(|line| line.trim().starts_with(command));
        let made: BTreeSet<String> = line
            .expect(command)
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
            .map(Into::into)
            .collect();
        assert_eq!(made, places(), "{command}");
    }
}

// --- the page ------------------------------------------------------------------------------------------------------

/// First cells of table rows that begin with a code span or a number.
fn first_cells(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect()
}

#[test]
fn the_page_names_the_places_exits_and_schema_of_the_code() {
    let page = read("deploy/IMAGE.md");
    let named: BTreeSet<String> = first_cells(&page)
        .into_iter()
        .filter_map(|cell| cell.strip_prefix("`/"))
        .map(|cell| format!("/{}", cell.split('`').next().unwrap_or_default()))
        .filter(|path| !path.starts_with("/opt/"))
        .collect();
    assert_eq!(named, places());

    let exits: Vec<u8> = first_cells(&page).into_iter().filter_map(|cell| cell.parse().ok()).collect();
    let ours =
        [worker::EXIT_DONE, worker::EXIT_USAGE, worker::EXIT_BROKEN, worker::EXIT_STARTED_BEFORE].to_vec();
    assert_eq!(exits, ours);
    assert!(page.contains(&format!(
        "; {} means that its provider",
        agents::find("command").unwrap().exit.provider[0]
    )));
    assert!(page.contains(&format!("is schema **{SCHEMA}**")));
    for step in Step::ALL {
        assert!(page.contains(&format!("{step}|")) || page.contains(&format!("|{step}")), "{step}");
    }
}

#[test]
fn what_the_page_shows_is_what_the_worker_reads_and_writes() {
    let page = read("deploy/IMAGE.md");
    let block = page.split("```json\n").nth(1).and_then(|rest| rest.split("\n```").next()).expect("a line");
    let mut shown: serde_json::Value = serde_json::from_str(block).expect("JSON");
    let order = shown.as_object_mut().and_then(|shown| shown.remove("spec")).expect("an order");
    assert_eq!(order["schema"], SCHEMA);
    let handover = Handover::read(format!("{shown}\n").as_bytes()).expect("a handover");
    assert!(handover.credential.is_some() && handover.certificates.is_some());
    assert_eq!(handover.environment.len(), 1);

    let line = page.split('`').find(|span| span.starts_with("{\"step\"")).expect("a last line");
    let result: StepResult = serde_json::from_str(line).expect("a result");
    assert!(matches!(result, StepResult::Publish(_)));
}

/// `roundsman …` in code, as words; also as people without an installation call it.
fn commands(page: &str) -> Vec<Vec<&str>> {
    let mut found = Vec::new();
    for (index, part) in page.split("```").enumerate() {
        let lines: Vec<&str> = if index % 2 == 1 {
            part.lines().collect()
        } else {
            part.split('`').skip(1).step_by(2).collect()
        };
        for line in lines {
            let line = line.trim().trim_start_matches("$ ");
            let called = ["roundsman ", "cargo run -- "];
            if let Some(words) = called.iter().find_map(|start| line.strip_prefix(start)) {
                let words = words.split('#').next().unwrap_or_default();
                found.push(words.split_whitespace().filter(|word| *word != "…").collect());
            }
        }
    }
    found
}

#[tokio::test]
async fn every_command_on_the_pages_exists() {
    let mut checked = 0;
    for page in ["README.md", "deploy/README.md", "deploy/IMAGE.md", "deploy/CHANGELOG.md"] {
        for words in commands(&read(page)) {
            let verbs: Vec<&str> = match words[0] {
                group @ ("image" | "config") => vec![group, words[1]],
                flag if flag.starts_with("--") => Vec::new(),
                verb => vec![verb],
            };
            let told = program("roundsman", &[&verbs[..], &["--help"]].concat(), []).await;
            assert_eq!(told.code, 0, "{page}: {words:?}: {told:#?}");
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                assert!(told.out.contains(flag), "{page}: {words:?} has no {flag}");
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} commands: this is no real check");
}

// --- the verbs, with a client that is a script ----------------------------------------------------------------------

/// Answers from files beside it, writes down what it is asked. Uses no search path, so that it can be the only one.
const SCRIPT: &str = r#"#!/bin/sh
here=${0%/*}
echo "$*" >>"$here/log"
case "$*" in
"buildx version") [ -e "$here/buildx" ] ;;
"version --format {{.Client.Version}}") /bin/cat "$here/client"; exit 1 ;;
"version --format {{.Server.Arch}}")
    /bin/cat "$here/arch" 2>/dev/null || { echo "Cannot connect to the engine" >&2; exit 1; } ;;
"build "*)
    for word; do
        case "$before" in
        --iidfile) echo "sha256:0123" >"$word" ;;
        --label) echo "${word#*=}" >"$here/label" ;;
        esac
        before=$word
    done
    (cd "$word" && for file in * */*; do [ -f "$file" ] && echo "$file"; done) >"$here/context"
    /bin/cat "$here/transcript" >&2
    [ ! -e "$here/fails" ] ;;
"image inspect --format {{.Id}} {{.Size}} "*) echo "sha256:0123 555900000" ;;
"image inspect --format {{.Id}} roundsman-demo"*) echo "sha256:old" ;;
"image inspect --format {{index"*) /bin/cat "$here/label" 2>/dev/null ;;
"image rm "*) ;;
*) exit 1 ;;
esac
"#;

struct Client {
    folder: TempDir,
}

impl Client {
    /// As Debian has it, with an engine that answers.
    fn new() -> Self {
        let client = Self { folder: tempfile::tempdir().expect("a folder") };
        client.put("docker", SCRIPT);
        fs::set_permissions(client.folder.path().join("docker"), fs::Permissions::from_mode(0o755)).unwrap();
        client.put("client", "20.10.24+dfsg1\n");
        client.put("arch", if cfg!(target_arch = "aarch64") { "arm64\n" } else { "amd64\n" });
        client.put("transcript", "#5 [worker 2/7] RUN apt-get update\n#5 0.3 fine\n#5 DONE 3.4s\n#6 [worker 3/7] COPY a b\n#6 CACHED\n");
        client
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn get(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    fn builds(&self) -> usize {
        self.get("log").lines().filter(|line| line.starts_with("build ")).count()
    }

    async fn image(&self, words: &[&str]) -> Ended {
        let path = self.folder.path().display().to_string();
        program("roundsman", &[&["image"], words].concat(), [("PATH".to_owned(), path)]).await
    }

    fn ensure(&self, worker: &Path, agents: &[&str]) -> Made {
        let surroundings = Surroundings {
            vars: vec![("PATH".into(), self.folder.path().display().to_string())],
            now: jiff::Timestamp::UNIX_EPOCH,
            talks_to_terminal: false,
            writes_to_terminal: false,
            host: Host { worker: vec![worker.display().to_string()], ..Host::default() },
        };
        image::ensure(&surroundings, agents, Show::Silent).expect("an image")
    }
}

#[tokio::test]
async fn a_build_ends_with_the_line_for_the_settings() {
    let client = Client::new();
    let ended = client.image(&["build", "--base", "base:1"]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    let lines: Vec<&str> = ended.out.lines().collect();
    assert!(lines[0].starts_with("sha256:0123, 555 MB, "), "{ended:#?}");
    assert_eq!(lines[1], "ROUNDSMAN_RUNTIME_IMAGE=roundsman-worker", "{ended:#?}");
    assert!(ended.log.contains("3.4 s  worker 2/7: RUN apt-get update"), "{ended:#?}");
    assert!(ended.log.contains("kept  worker 3/7: COPY a b"), "{ended:#?}");
    // The test's worker is linked as any program is.
    assert!(ended.log.contains("ROUNDSMAN_RUNTIME_IMAGES"), "{ended:#?}");
    assert_eq!(client.get("context"), "worker.dockerfile\nprograms/roundsman-worker\n");
    assert!(client.get("log").contains("--build-arg AGENTS=opencode "), "{}", client.get("log"));
    assert!(!client.get("log").contains("--load"), "an older client does not know it");

    client.put("buildx", "");
    client.image(&["build", "--base", "base:1"]).await;
    assert!(client.get("log").lines().any(|line| line.starts_with("build ") && line.contains("--load")));
}

#[tokio::test]
async fn a_rehearsal_builds_nothing() {
    let client = Client::new();
    let ended = client.image(&["build", "--dry-run", "--agents", "codex,claude"]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(ended.out.contains("'AGENTS=claude codex'"), "{ended:#?}");
    assert_eq!(client.builds(), 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_build_is_said_in_words() {
    let base = Client::new();
    base.put(
        "transcript",
        "#3 [internal] load metadata for docker.io/library/node:22\n#3 ERROR: no such host\n",
    );
    base.put("fails", "");
    let step = Client::new();
    step.put("transcript", "#5 [agents 2/2] RUN npm\n#5 1.0 npm ERR! SELF_SIGNED\n#5 ERROR: exit code: 1\n");
    step.put("fails", "");
    let silent = Client::new();
    fs::remove_file(silent.folder.path().join("arch")).unwrap();
    let new = Client::new();
    new.put("client", "28.2.2\n");
    let other = Client::new();
    other.put("arch", "riscv64\n");
    let none = Client::new();
    fs::remove_file(none.folder.path().join("docker")).unwrap();
    for (client, words) in [
        (base, ["node:22", "no such host", "--base"]),
        (step, ["agents 2/2: RUN npm", "exit code: 1", "SELF_SIGNED"]),
        (silent, ["no container engine", "Cannot connect", "ROUNDSMAN_RUNTIME_DOCKER_HOST"]),
        (new, ["BuildKit", "buildx", "PATH"]),
        (other, ["riscv64", "this one is for", "--source"]),
        (none, ["no `docker`", "PATH", "docker.io"]),
    ] {
        let ended = client.image(&["build"]).await;
        assert_eq!((ended.code, ended.out.as_str()), (71, ""), "{ended:#?}");
        for word in words {
            assert!(ended.log.contains(word), "{word}: {ended:#?}");
        }
    }
    let ended = Client::new().image(&["build", "--agents", "gemini"]).await;
    assert_eq!(ended.code, 2, "{ended:#?}");
    assert!(ended.log.contains("opencode, claude, codex"), "{ended:#?}");
}

#[test]
fn a_demo_builds_its_image_once_per_program() {
    let client = Client::new();
    let worker = Path::new(env!("CARGO_BIN_EXE_roundsman-worker"));
    let first = client.ensure(worker, &[]);
    assert_eq!((first.image.as_str(), client.builds()), ("roundsman-demo:scripted", 1));
    let again = client.ensure(worker, &[]);
    assert_eq!((again.id, client.builds()), (first.id, 1), "{}", client.get("log"));
    assert!(!client.get("log").contains("image rm"));
    client.ensure(Path::new(env!("CARGO_BIN_EXE_roundsman")), &[]);
    assert_eq!(client.builds(), 2, "{}", client.get("log"));
    assert!(client.get("log").contains("image rm sha256:old"), "the replaced one goes");
    assert_eq!(client.ensure(worker, &["opencode"]).image, "roundsman-demo:opencode");
}

#[tokio::test]
async fn the_operators_program_is_a_worker_under_the_workers_name() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("roundsman-worker");
    symlink(env!("CARGO_BIN_EXE_roundsman"), &name).unwrap();
    let said = tokio::process::Command::new(&name).arg("--help").output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), program("roundsman-worker", &["--help"], []).await.out);
}

// --- a real engine ---------------------------------------------------------------------------------------------------

/// What a machine without a registry makes for itself, see `.ci/docker-up`. Debian alone, so no agent.
const BASE: &str = "local/debian:bookworm";

#[tokio::test]
async fn docker_builds_an_image_that_fits() {
    let docker = async |words: &[&str]| {
        let output = tokio::process::Command::new("docker").args(words).output().await.ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if docker(&["version"]).await.is_none() {
        println!("skipped: no Docker engine");
        return;
    }
    if docker(&["image", "inspect", BASE]).await.is_none() {
        println!("skipped: the engine has no {BASE}");
        return;
    }
    let vars = || {
        ["DOCKER_HOST"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), std::env::var_os(name)?.into_string().ok()?)))
    };
    let tag = format!("roundsman-test-image:{}", std::process::id());
    let built =
        program("roundsman", &["image", "build", "--agents", "none", "--base", BASE, "--tag", &tag], vars())
            .await;
    let checked = program("roundsman", &["image", "check", &tag], vars()).await;
    let strange = program("roundsman", &["image", "check", BASE, "--json"], vars()).await;
    let gone = docker(&["image", "rm", &tag]).await;
    assert_eq!(built.code, 0, "{built:#?}");
    assert!(built.out.ends_with(&format!("ROUNDSMAN_RUNTIME_IMAGE={tag}\n")), "{built:#?}");
    assert_eq!(checked.code, 0, "{checked:#?}");
    for word in [&format!("schema {SCHEMA}"), "roundsman-worker: usage", "git: git version", "places: owned"]
    {
        assert!(checked.out.contains(word), "{word}: {checked:#?}");
    }
    assert_eq!(strange.code, 71, "{strange:#?}");
    assert_eq!(strange.json()["ok"], false, "{strange:#?}");
    assert!(strange.out.contains("/step"), "{strange:#?}");
    assert!(gone.is_some());
}
