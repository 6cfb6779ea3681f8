//! `roundsman image`: the worker image is built and looked at here, with the engine's own client.
//!
//! What the image holds is written in `worker.dockerfile`, a copy of which is part of this program; what our programs
//! and an image owe each other, in `deploy/IMAGE.md`. Knows nothing about runs and starts no step.

mod check;
mod client;
mod context;
mod plan;
mod progress;

use super::{program::Surroundings, say};
use crate::{exit::Exit, runtime::spec::SCHEMA};
use client::{Client, Need};
use context::Programs;
use plan::{NO_AGENT, Plan};
pub use progress::Show;
use progress::{Board, Failure};
use sha2::{Digest, Sha256};
use std::{
    fmt::Write as _,
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant, UNIX_EPOCH},
};

/// What `ROUNDSMAN_RUNTIME_IMAGE` is when nobody says.
const TAG: &str = "roundsman-worker";
/// Names of images that are made for a demo.
const DEMO: &str = "roundsman-demo";
/// Agents that `worker.dockerfile` can put into an image.
pub const AGENTS: [&str; 3] = ["opencode", "claude", "codex"];
/// A base that a machine without a registry makes for itself; see `.ci/docker-up`.
const LOCAL_BASE: &str = "local/node:22";
/// Says of a demo's image what it was made from.
const MADE_FROM: &str = "io.roundsman.made-from";
/// Bytes in the megabyte in which engines count.
const MEGABYTE: u64 = 1_000_000;
/// Said of a worker that is linked like any other program.
const BOUND: &str = "note: the worker inside needs this image's C library. To use images of repositories \
                     (ROUNDSMAN_RUNTIME_IMAGES) link it statically, see deploy/README.md, or build with --source";

/// What can be done with images.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Build the image in which steps run.
    Build(Options),
    /// Look at an image: is it there, does it fit this version, do its programs start.
    Check {
        /// The image; without it the one that the settings name.
        image: Option<String>,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// How the image is built.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Name of the image; without it the one that the settings name.
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,
    /// Image to begin with: Debian with Node.js 22, from a registry or this engine.
    #[arg(long, value_name = "IMAGE")]
    base: Option<String>,
    /// Agents inside, comma separated: opencode, claude, codex; or `none`.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "opencode")]
    agents: Vec<String>,
    /// Compile this checkout inside the engine, instead of taking the programs beside this one.
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = ".")]
    source: Option<PathBuf>,
    /// Certificates that the build trusts, as PEM; without it what `SSL_CERT_FILE` names.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The engine's network in which the build works, for example `host`.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Build every step anew.
    #[arg(long)]
    no_cache: bool,
    /// Say what would be run; build nothing.
    #[arg(long)]
    dry_run: bool,
}

/// An image that is there.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its name.
    pub image: String,
    /// Its content's name, `sha256:…`; means the same tomorrow.
    pub id: String,
    /// Size in bytes, base included.
    pub bytes: u64,
    /// How long it took; nothing when it was there.
    pub took: Duration,
    /// Whether its worker starts in this image only, not in one that a repository brings.
    pub is_bound: bool,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The command line asks for something that does not exist.
    #[error("{0}")]
    Asked(String),
    /// No client.
    #[error(
        "no `docker` on PATH. Install the engine's client (Debian: `apt-get install docker.io`), then try again"
    )]
    NoClient,
    /// A client that cannot build what we write.
    #[error(
        "{} cannot build with BuildKit. Install its `buildx` plug-in, or put another `docker` first on PATH",
        .0.display()
    )]
    NoBuildKit(PathBuf),
    /// Nothing answers the client.
    #[error(
        "no container engine answers: {0}\nStart it, or name another one in ROUNDSMAN_RUNTIME_DOCKER_HOST (else \
         DOCKER_HOST)"
    )]
    NoEngine(String),
    /// The image to begin with cannot be had.
    #[error(
        "the base image {base} cannot be had: {said}\nName one that this engine has or may pull: --base IMAGE \
         (Debian 12 with Node.js 22)"
    )]
    NoBase {
        /// As it was asked for.
        base: String,
        /// The engine's words.
        said: String,
    },
    /// Nothing to put into an image.
    #[error(
        "nothing to build from: this program is not a Linux program, and {} is no checkout of roundsman. Name one: \
         --source DIR",
        .0.display()
    )]
    NoProgram(PathBuf),
    /// The programs are for other machines.
    #[error(
        "the engine runs {engine} programs, this one is for {own}. Compile inside the engine: --source DIR"
    )]
    OtherMachine {
        /// The engine's.
        engine: String,
        /// Ours.
        own: &'static str,
    },
    /// A step of the build failed.
    #[error("the build failed: {why}\n{tail}")]
    Failed {
        /// One line.
        why: String,
        /// The last lines of the step.
        tail: String,
    },
    /// No such image.
    #[error("the engine has no image {0}. Build it with `roundsman image build`, or pull it")]
    Missing(String),
    /// Files of ours.
    #[error("{0}")]
    Files(#[from] std::io::Error),
}

impl From<&Problem> for Exit {
    fn from(problem: &Problem) -> Self {
        match problem {
            Problem::Asked(_) => Self::Usage,
            Problem::NoClient
            | Problem::NoBuildKit(_)
            | Problem::NoEngine(_)
            | Problem::NoBase { .. }
            | Problem::NoProgram(_)
            | Problem::OtherMachine { .. }
            | Problem::Failed { .. }
            | Problem::Missing(_)
            | Problem::Files(_) => Self::RuntimeUnavailable,
        }
    }
}

/// Runs the verb.
pub fn main(verb: &Verb, surroundings: &Surroundings) -> Exit {
    let ended = match verb {
        Verb::Build(options) if options.dry_run => rehearse(options, surroundings).map(|()| Exit::Ok),
        Verb::Build(options) => {
            let show = if surroundings.talks_to_terminal { Show::Drawn } else { Show::Plain };
            build(options, surroundings, show, &[]).map(|made| {
                if made.is_bound {
                    let _ = writeln!(std::io::stderr().lock(), "{BOUND}");
                }
                say(&format!("{}, {} MB, {} s", made.id, made.bytes / MEGABYTE, made.took.as_secs()));
                say(&format!("ROUNDSMAN_RUNTIME_IMAGE={}", made.image));
                Exit::Ok
            })
        }
        Verb::Check { image, json } => {
            let named = image.clone().unwrap_or_else(|| configured(surroundings));
            check::check(&named, surroundings).map(|findings| check::tell(&named, &findings, *json))
        }
    };
    ended.unwrap_or_else(|problem| {
        let _ = writeln!(std::io::stderr().lock(), "{problem}");
        (&problem).into()
    })
}

/// An image for a demo, made from the running program: the one of last time when nothing has changed, else a new one.
/// Takes seconds without agents, and the time of their download with them; blocks.
pub fn ensure(surroundings: &Surroundings, agents: &[&str], show: Show) -> Result<Made, Problem> {
    let client = Client::find(surroundings, Need::Anything)?;
    client.engine()?;
    let base = client.id_of(LOCAL_BASE).map(|_| LOCAL_BASE.to_owned());
    let kinds = if agents.is_empty() { "scripted".to_owned() } else { agents.join("-") };
    let tag = format!("{DEMO}:{kinds}");
    let program = own_program(surroundings);
    let made_from = fingerprint(&program, base.as_deref(), agents)?;
    let before = client.label(&tag, MADE_FROM);
    if before.as_deref() == Some(&made_from) {
        let is_bound = Programs::Compiled(program).is_bound();
        let made = |(id, bytes)| Made { image: tag.clone(), id, bytes, took: Duration::ZERO, is_bound };
        return client.describe(&tag).map(made);
    }
    let replaced = before.and_then(|_| client.id_of(&tag));
    let named = if agents.is_empty() { vec![NO_AGENT.to_owned()] } else { owned(agents) };
    let options = Options { tag: Some(tag), base, agents: named, ..Options::default() };
    let made = build(&options, surroundings, show, &[format!("{MADE_FROM}={made_from}")])?;
    if let Some(old) = replaced.filter(|old| *old != made.id) {
        // Of no use to anybody; another demo that is using it keeps it, and then it stays.
        let _ = client.ask(["image", "rm", &old]);
    }
    Ok(made)
}

fn build(
    options: &Options,
    surroundings: &Surroundings,
    show: Show,
    labels: &[String],
) -> Result<Made, Problem> {
    let plan = Plan::new(options, surroundings)?;
    let client = Client::find(surroundings, Need::BuildKit)?;
    let machine = client.engine()?;
    let scratch = tempfile::Builder::new().prefix("roundsman-image-").tempdir()?;
    let context = plan.programs.context(scratch.path(), &machine)?;
    let answer = scratch.path().join("id");
    let begun = Instant::now();
    let mut command = client.command();
    command.args(plan.arguments(&context, client.loads()));
    command.args(labels.iter().flat_map(|label| ["--label", label]));
    command.arg("--iidfile").arg(&answer).arg(&context);
    let mut board = Board::new(show);
    if !client::watch(command, |line| board.hear(line))? {
        return Err(match board.failure() {
            Failure::Base { base, said } => Problem::NoBase { base, said },
            Failure::Step { why, tail } => Problem::Failed { why, tail },
        });
    }
    let id = fs::read_to_string(&answer)?.trim().to_owned();
    let (_, bytes) = client.describe(&id)?;
    Ok(Made { image: plan.tag, id, bytes, took: begun.elapsed(), is_bound: plan.programs.is_bound() })
}

/// The command, as it would be typed.
fn rehearse(options: &Options, surroundings: &Surroundings) -> Result<(), Problem> {
    let plan = Plan::new(options, surroundings)?;
    let client = Client::find(surroundings, Need::BuildKit)?;
    let context = match &plan.programs {
        Programs::Checkout(folder) => folder.clone(),
        Programs::Compiled(program) => {
            say(&format!("# CONTEXT: worker.dockerfile, and {} as roundsman-worker", program.display()));
            "CONTEXT".into()
        }
    };
    let mut words = vec![client.program().display().to_string()];
    words.extend(plan.arguments(&context, client.loads()));
    words.push(context.display().to_string());
    let quoted = words.iter().map(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@".contains(c);
        if word.chars().all(plain) { word.clone() } else { format!("'{word}'") }
    });
    say(&format!("DOCKER_BUILDKIT=1 {}", quoted.collect::<Vec<_>>().join(" ")));
    Ok(())
}

/// The image that the settings name. Only this one setting is read: building needs no Azure DevOps.
fn configured(surroundings: &Surroundings) -> String {
    variable(surroundings, "ROUNDSMAN_RUNTIME_IMAGE").unwrap_or_else(|| TAG.into())
}

fn variable(surroundings: &Surroundings, name: &str) -> Option<String> {
    let found = surroundings.vars.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
}

/// The program that becomes `roundsman-worker`: a worker beside us that is linked statically, because it starts in any
/// image, else whoever plays the worker here. A worker of a checkout may be older than we are.
fn own_program(surroundings: &Surroundings) -> PathBuf {
    let plays = surroundings.host.worker.first().map(PathBuf::from).unwrap_or_default();
    let beside = plays.with_file_name("roundsman-worker");
    if context::is_static(&beside) { beside } else { plays }
}

/// What a demo's image is made from, in a few characters. Time and size stand for the program's bytes, which are too
/// many to be read for every demo.
fn fingerprint(program: &Path, base: Option<&str>, agents: &[&str]) -> Result<String, Problem> {
    /// Bytes of the hash that are kept: enough to tell builds of one machine apart.
    const KEPT: usize = 12;
    let about = fs::metadata(program)?;
    let changed = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let all = format!(
        "{} {} {changed} {base:?} {agents:?} {SCHEMA}\n{}",
        program.display(),
        about.len(),
        context::DOCKERFILE
    );
    Ok(Sha256::digest(all).iter().take(KEPT).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_or_base_is_another_image() {
        let own = std::env::current_exe().unwrap();
        let first = fingerprint(&own, None, &[]).unwrap();
        assert_eq!(first, fingerprint(&own, None, &[]).unwrap());
        assert_ne!(first, fingerprint(&own, Some("b"), &[]).unwrap());
        assert_ne!(first, fingerprint(&own, None, &["opencode"]).unwrap());
        assert_ne!(first, fingerprint(Path::new("/bin/sh"), None, &[]).unwrap());
    }
}
