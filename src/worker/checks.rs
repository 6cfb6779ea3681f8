//! The repository's own checks, taken from what people landed (`Session::ground`) so that no agent can weaken them, neither
//! this turn's nor an earlier one's; run in its workspace.
//!
//! `.roundsman.toml` may name them; else they are the three scripts of `src/scripts`. They get no credential and none of
//! the agent's variables, only those that the operator meant for them. What they leave behind is thrown away; only the
//! formatter may change tracked files.
//!
//! Before the agent is called for the first time they are run on what it was given: what was red already is not its
//! fault, and it is told.

use super::{
    agent::Session,
    child::{self, Bounds, Call, End},
    evidence::{self, LOG_CAP, Sink},
    git::{Git, GitError, Repo},
    machine::{self, now, text},
    memory,
};
use crate::{
    domain::{AgentFailure, AgentResult, NamedChecks, RULES_FILE, Rules},
    runtime::process::files,
};
use secrecy::ExposeSecret as _;
use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

/// Where the scripts are; the whole directory is taken, because they call each other.
const SCRIPTS: &str = "src/scripts";
/// Changes files, never fails a turn.
const FORMAT: &str = "format.sh";
/// Decide whether the work is good, in this order.
const CHECKS: [&str; 2] = ["code-checks.sh", "run-tests.sh"];
/// Bytes of output that go into a repair brief: the end says what failed.
const OUTPUT_TAIL: usize = 16 << 10;
/// Far more rounds than any limit of repairs allows.
const MOST_ROUNDS: u32 = 1_000;
/// Characters of a check's name in the name of its log.
const NAME: usize = 40;

/// What the checks say.
pub(super) enum Verdict {
    /// The repository has none.
    None,
    /// All passed.
    Passed,
    /// Only those failed that failed before the agent was called.
    RedBefore(Vec<String>),
    /// One failed.
    Failed {
        /// Which.
        check: String,
        /// How.
        ended: String,
        /// The end of what it printed.
        output: String,
    },
}

/// A command with the name that people know it by.
struct Check {
    name: String,
    command: Vec<String>,
}

/// What is to be run.
struct Checks {
    format: Option<Check>,
    run: Vec<Check>,
}

/// A check that fails without the agent's doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RedBefore {
    /// Its name.
    pub(super) name: String,
    /// The end of what it printed; empty when that is not known any more.
    pub(super) output: String,
}

/// Which of them fail on what the agent was given. Looked at once per commit of the target: later turns are told what the
/// first one saw. What takes too long is not known, and then nothing is excused.
pub(super) fn before(session: &Session<'_>) -> Result<Vec<RedBefore>, AgentResult> {
    let limit = session.job.spec.limits.base_checks_seconds;
    if limit == 0 {
        return Ok(Vec::new());
    }
    let ground = &session.ground;
    if let Some(known) = memory::red_before(session.job, ground.as_str()) {
        return Ok(known.into_iter().map(|name| RedBefore { name, output: String::new() }).collect());
    }
    if *ground != session.base {
        return Ok(Vec::new());
    }
    let bounds = session.bounds();
    let bounds = Bounds { deadline: bounds.deadline.min(now() + Duration::from_secs(limit)), ..bounds };
    let Ok(checks) = checks(session)? else { return Ok(Vec::new()) };
    let (mut red, mut is_whole) = (Vec::new(), true);
    for check in &checks.run {
        let (end, output) = execute(session, "base", check, bounds.clone())?;
        clean(session)?;
        match end {
            End::Exited(0) => {}
            End::Stopped => {
                return Err(session.fail(AgentFailure::Stopped, &told("stopped during", check)));
            }
            End::Timeout | End::Idle | End::TooMuchOutput | End::Exhausted(_) => {
                session.job.say(&format!("`{}` takes too long on the untouched base", check.name));
                is_whole = false;
                break;
            }
            End::Exited(_) | End::Signalled(_) | End::NotStarted(_) => {
                session.job.say(&format!("`{}` fails on the untouched base", check.name));
                red.push(RedBefore { name: check.name.clone(), output });
            }
        }
    }
    _ = files::remove_tree(&outside(session));
    if is_whole {
        memory::keep_red_before(
            session.job,
            ground.as_str(),
            red.iter().map(|red| red.name.clone()).collect(),
        );
    }
    Ok(red)
}

/// Runs them on what is committed.
pub(super) fn run(session: &Session<'_>) -> Result<Verdict, AgentResult> {
    let checks = match checks(session)? {
        Ok(checks) => checks,
        Err(why) => {
            session.job.say(&format!("`{RULES_FILE}` of the base revision cannot be read: {why}"));
            let ended = "it cannot be read; a person must repair it on the target branch".to_owned();
            let output = session.job.clean(&why, OUTPUT_TAIL);
            return Ok(Verdict::Failed { check: RULES_FILE.into(), ended, output });
        }
    };
    let verdict = run_all(session, &checks);
    _ = files::remove_tree(&outside(session));
    verdict
}

fn outside(session: &Session<'_>) -> std::path::PathBuf {
    session.job.spec.places.output.join("checks")
}

/// What is to be run, or why nobody can tell.
fn checks(session: &Session<'_>) -> Result<Result<Checks, String>, AgentResult> {
    let outside = outside(session);
    let broken = |e: std::io::Error| session.fail(AgentFailure::Infrastructure, &format!("checks: {e}"));
    // Taken anew each time: the agent could have changed the copy of an earlier round.
    files::remove_tree(&outside).map_err(broken)?;
    let found = match rules(session).map_err(|e| session.broken(&e))? {
        Ok(Rules { checks: Some(named), .. }) => named_checks(session, &outside, named),
        Ok(Rules { checks: None, .. }) => scripts(session, &outside),
        Err(why) => return Ok(Err(why)),
    };
    found.map(Ok).map_err(|e| session.broken(&e))
}

/// The rules that hold: those that we were told, else those of what people landed.
pub(super) fn rules(session: &Session<'_>) -> Result<Result<Rules, String>, GitError> {
    match &session.job.spec.rules {
        Some(rules) => Ok(Ok(rules.clone())),
        None => of_ground(&session.git, &session.clone, session.ground.as_str()),
    }
}

/// The rules of a commit, or why nobody can read them.
pub(super) fn of_ground(git: &Git, repo: &Repo, ground: &str) -> Result<Result<Rules, String>, GitError> {
    if git.local(repo, &["ls-tree", "--name-only", ground, "--", RULES_FILE])?.is_empty() {
        return Ok(Ok(Rules::default()));
    }
    let text = git.local(repo, &["cat-file", "blob", &format!("{ground}:{RULES_FILE}")])?;
    Ok(Rules::parse(&String::from_utf8_lossy(&text)).map_err(|error| error.to_string()))
}

fn named_checks(session: &Session<'_>, outside: &Path, named: NamedChecks) -> Result<Checks, GitError> {
    let check = |command: Vec<String>| -> Result<Check, GitError> {
        let name = command.join(" ");
        Ok(Check { name, command: from_base(session, outside, command)? })
    };
    let format = (!named.format.is_empty()).then(|| check(named.format)).transpose()?;
    let run = named.run.into_iter().map(check).collect::<Result<_, _>>()?;
    Ok(Checks { format, run })
}

/// A program that is a file of the repository is taken from what people landed, with its directory.
fn from_base(
    session: &Session<'_>,
    outside: &Path,
    mut command: Vec<String>,
) -> Result<Vec<String>, GitError> {
    let program =
        command.first().map(|program| program.trim_start_matches("./").to_owned()).unwrap_or_default();
    let is_ours = command.first().is_some_and(|first| first.contains('/') && !first.starts_with('/'));
    if !is_ours {
        return Ok(command);
    }
    let directory = program.rsplit_once('/').map_or(program.as_str(), |(directory, _)| directory);
    extract(session, outside, directory)?;
    let place = outside.join(&program);
    let mut words = interpreter(&place);
    words.extend(command.drain(1..));
    Ok(words)
}

fn scripts(session: &Session<'_>, outside: &Path) -> Result<Checks, GitError> {
    let found = extract(session, outside, SCRIPTS)?;
    let check = |name: &str| {
        let path = format!("{SCRIPTS}/{name}");
        found
            .contains(&path)
            .then(|| Check { name: name.to_owned(), command: interpreter(&outside.join(path)) })
    };
    Ok(Checks { format: check(FORMAT), run: CHECKS.into_iter().filter_map(check).collect() })
}

/// A script that nobody marked as a program is one for `sh`.
fn interpreter(path: &Path) -> Vec<String> {
    let is_executable = fs::metadata(path).is_ok_and(|facts| facts.permissions().mode() & 0o100 != 0);
    let shell = (!is_executable).then(|| "sh".to_owned());
    shell.into_iter().chain([text(path)]).collect()
}

fn run_all(session: &Session<'_>, checks: &Checks) -> Result<Verdict, AgentResult> {
    if let Some(format) = &checks.format {
        // A formatter that fails is no reason to throw work away.
        let (end, _) = execute(session, "check", format, session.bounds())?;
        halts(session, format, &end)?;
        let git = |arguments: &[&str]| {
            session.git.local(&session.workspace, arguments).map_err(|e| session.broken(&e))
        };
        git(&["add", "-u"])?;
        let is_clean = session
            .git
            .asks(&session.workspace, &["diff", "--cached", "--quiet", "--no-ext-diff"])
            .map_err(|e| session.broken(&e))?;
        if !is_clean {
            git(&["commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", "Format"])?;
        }
        clean(session)?;
    }
    let mut red = Vec::new();
    for check in &checks.run {
        let (end, output) = execute(session, "check", check, session.bounds())?;
        halts(session, check, &end)?;
        clean(session)?;
        if end == End::Exited(0) {
            continue;
        }
        if !session.red_before.iter().any(|before| before.name == check.name) {
            return Ok(Verdict::Failed { check: check.name.clone(), ended: format!("{end:?}"), output });
        }
        red.push(check.name.clone());
    }
    Ok(match (checks.run.is_empty(), red.is_empty()) {
        (true, _) => Verdict::None,
        (false, true) => Verdict::Passed,
        (false, false) => Verdict::RedBefore(red),
    })
}

fn told(what: &str, check: &Check) -> String {
    format!("{what} `{}`", check.name)
}

/// Ends that end the whole step.
fn halts(session: &Session<'_>, check: &Check, end: &End) -> Result<(), AgentResult> {
    match end {
        End::Stopped => Err(session.fail(AgentFailure::Stopped, &told("stopped during", check))),
        End::Timeout => Err(session.fail(AgentFailure::Timeout, &told("took too long, last in", check))),
        End::NotStarted(_)
        | End::Exited(_)
        | End::Signalled(_)
        | End::Idle
        | End::TooMuchOutput
        | End::Exhausted(_) => Ok(()),
    }
}

/// Coverage reports and the like are no work; ignored caches stay.
fn clean(session: &Session<'_>) -> Result<(), AgentResult> {
    for arguments in [&["reset", "--quiet", "--hard"][..], &["clean", "-ffdq"]] {
        session.git.local(&session.workspace, arguments).map_err(|e| session.broken(&e))?;
    }
    Ok(())
}

fn execute(
    session: &Session<'_>,
    what: &str,
    check: &Check,
    bounds: Bounds,
) -> Result<(End, String), AgentResult> {
    let places = &session.job.spec.places;
    let broken = |e: std::io::Error| session.fail(AgentFailure::Infrastructure, &format!("checks: {e}"));
    let evidence = evidence::directory(session.job);
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = check.name.trim_end_matches(".sh").chars().map(plain).take(NAME).collect();
    let log = (0..=MOST_ROUNDS)
        .map(|round| evidence.join(format!("{what}-{name}-{round:02}.log")))
        .find(|log| !log.exists());
    let sink = log.as_deref().map(|log| Sink::create(log, LOG_CAP, &session.job.redactor)).transpose();
    let mut environment = session.job.environment();
    let meant = &session.call.checks_environment;
    let given = session.job.handover.environment.iter().filter(|(name, _)| meant.contains(name));
    environment.extend(given.map(|(name, value)| (name.clone(), value.expose_secret().to_owned())));
    environment.extend(session.job.network());
    environment.push(("CI".into(), "true".into()));
    let ended = child::run(Call {
        command: &check.command,
        environment: &environment,
        directory: &places.workspace,
        input: Vec::new(),
        log: sink.map_err(broken)?,
        watch: None,
        capture: false,
        bounds,
    });
    files::kill_marked(&session.job.directory);
    if let End::NotStarted(why) = &ended.end {
        return Ok((ended.end.clone(), session.job.clean(why, OUTPUT_TAIL)));
    }
    let output = log.and_then(|log| files::tail(&log, OUTPUT_TAIL).ok()).unwrap_or_default();
    Ok((ended.end, session.job.clean(&output, OUTPUT_TAIL)))
}

/// Copies a directory or a file of what people landed; the paths of what was copied.
fn extract(session: &Session<'_>, outside: &Path, what: &str) -> Result<Vec<String>, GitError> {
    let listing =
        session.git.local(&session.clone, &["ls-tree", "-r", "-z", session.ground.as_str(), "--", what])?;
    let mut paths = Vec::new();
    for row in String::from_utf8_lossy(&listing).split('\0') {
        let Some((facts, path)) = row.split_once('\t') else { continue };
        let facts: Vec<&str> = facts.split(' ').collect();
        let [mode, "blob", object] = facts.as_slice() else { continue };
        if !mode.starts_with("100") {
            continue;
        }
        let content = session.git.local(&session.clone, &["cat-file", "blob", object])?;
        let place = outside.join(path);
        let permissions = if *mode == "100755" { 0o755 } else { 0o644 };
        // What cannot be written cannot be run, and a check that does not run fails.
        _ = machine::write(place.clone(), &content);
        _ = fs::set_permissions(&place, fs::Permissions::from_mode(permissions));
        paths.push(path.to_owned());
    }
    Ok(paths)
}
