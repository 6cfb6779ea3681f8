//! The repository's own checks, taken from the base revision so that an agent cannot weaken them, run in its workspace.
//!
//! `.roundsman.toml` may name them; else they are the three scripts of `src/scripts`. They get no credential and none of
//! the agent's variables, only those that the operator meant for them. What they leave behind is thrown away; only the
//! formatter may change tracked files.

use super::{
    agent::Session,
    child::{self, Call, End},
    evidence::{self, LOG_CAP, Sink},
    git::GitError,
    machine::{self, text},
};
use crate::{
    domain::{AgentFailure, AgentResult},
    runtime::process::files,
};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// Where a repository says things for us.
const RULES: &str = ".roundsman.toml";
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
/// More checks than this belong into a script.
const MOST_CHECKS: usize = 20;
/// Characters of a check's name in the name of its log.
const NAME: usize = 40;

/// What the checks say.
pub(super) enum Verdict {
    /// The repository has none.
    None,
    /// All passed.
    Passed,
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

/// `.roundsman.toml`. Whoever writes a key that nobody reads believes in a check that is not there.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rules {
    checks: Option<Named>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Named {
    /// One command that changes files and never fails a turn.
    format: Vec<String>,
    /// Commands that decide, in their order.
    run: Vec<Vec<String>>,
}

impl Rules {
    fn read(text: &str) -> Result<Self, String> {
        let rules: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if let Some(named) = &rules.checks {
            if named.run.iter().any(Vec::is_empty) {
                return Err("a command of `run` is empty".into());
            }
            if named.run.len() > MOST_CHECKS {
                return Err(format!("{} commands in `run`; at most {MOST_CHECKS}", named.run.len()));
            }
        }
        Ok(rules)
    }
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

/// Runs them on what is committed.
pub(super) fn run(session: &Session<'_>) -> Result<Verdict, AgentResult> {
    let outside = session.job.spec.places.output.join("checks");
    let broken = |e: std::io::Error| session.fail(AgentFailure::Infrastructure, &format!("checks: {e}"));
    // Taken anew each time: the agent could have changed the copy of an earlier round.
    files::remove_tree(&outside).map_err(broken)?;
    let checks = match rules(session).map_err(|e| session.broken(&e))? {
        Ok(Rules { checks: Some(named) }) => named_checks(session, &outside, named),
        Ok(Rules { checks: None }) => scripts(session, &outside),
        Err(why) => {
            session.job.say(&format!("`{RULES}` of the base revision cannot be read: {why}"));
            let ended = "it cannot be read; a person must repair it on the target branch".to_owned();
            let output = session.job.clean(&why, OUTPUT_TAIL);
            return Ok(Verdict::Failed { check: RULES.into(), ended, output });
        }
    }
    .map_err(|e| session.broken(&e))?;
    let verdict = run_all(session, &checks);
    _ = files::remove_tree(&outside);
    verdict
}

/// The rules of the base revision, or why nobody can read them.
fn rules(session: &Session<'_>) -> Result<Result<Rules, String>, GitError> {
    let path = format!("{}:{RULES}", session.base);
    let arguments = ["ls-tree", "--name-only", session.base.as_str(), "--", RULES];
    if session.git.local(&session.clone, &arguments)?.is_empty() {
        return Ok(Ok(Rules::default()));
    }
    let text = session.git.local(&session.clone, &["cat-file", "blob", &path])?;
    Ok(Rules::read(&String::from_utf8_lossy(&text)))
}

fn named_checks(session: &Session<'_>, outside: &Path, named: Named) -> Result<Checks, GitError> {
    let check = |command: Vec<String>| -> Result<Check, GitError> {
        let name = command.join(" ");
        Ok(Check { name, command: from_base(session, outside, command)? })
    };
    let format = (!named.format.is_empty()).then(|| check(named.format)).transpose()?;
    let run = named.run.into_iter().map(check).collect::<Result<_, _>>()?;
    Ok(Checks { format, run })
}

/// A program that is a file of the repository is taken from the base revision, with its directory.
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
        execute(session, format)?;
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
    let mut verdict = Verdict::None;
    for check in &checks.run {
        let (end, output) = execute(session, check)?;
        clean(session)?;
        if end != End::Exited(0) {
            return Ok(Verdict::Failed { check: check.name.clone(), ended: format!("{end:?}"), output });
        }
        verdict = Verdict::Passed;
    }
    Ok(verdict)
}

/// Coverage reports and the like are no work; ignored caches stay.
fn clean(session: &Session<'_>) -> Result<(), AgentResult> {
    for arguments in [&["reset", "--quiet", "--hard"][..], &["clean", "-ffdq"]] {
        session.git.local(&session.workspace, arguments).map_err(|e| session.broken(&e))?;
    }
    Ok(())
}

fn execute(session: &Session<'_>, check: &Check) -> Result<(End, String), AgentResult> {
    let places = &session.job.spec.places;
    let broken = |e: std::io::Error| session.fail(AgentFailure::Infrastructure, &format!("checks: {e}"));
    let evidence = evidence::directory(session.job);
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = check.name.trim_end_matches(".sh").chars().map(plain).take(NAME).collect();
    let log = (0..=MOST_ROUNDS)
        .map(|round| evidence.join(format!("check-{name}-{round:02}.log")))
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
        bounds: session.bounds(),
    });
    files::kill_marked(&session.job.directory);
    let told = |what: &str| format!("{what} `{}`", check.name);
    match &ended.end {
        End::Stopped => Err(session.fail(AgentFailure::Stopped, &told("stopped during"))),
        End::Timeout => Err(session.fail(AgentFailure::Timeout, &told("took too long, last in"))),
        End::NotStarted(why) => Ok((ended.end.clone(), session.job.clean(why, OUTPUT_TAIL))),
        End::Exited(_) | End::Signalled(_) | End::Idle | End::TooMuchOutput | End::Exhausted(_) => {
            let output = log.and_then(|log| files::tail(&log, OUTPUT_TAIL).ok()).unwrap_or_default();
            Ok((ended.end, session.job.clean(&output, OUTPUT_TAIL)))
        }
    }
}

/// Copies a directory or a file of the base revision; the paths of what was copied.
fn extract(session: &Session<'_>, outside: &Path, what: &str) -> Result<Vec<String>, GitError> {
    let listing =
        session.git.local(&session.clone, &["ls-tree", "-r", "-z", session.base.as_str(), "--", what])?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_unknown_keys_are_errors() {
        let rules =
            Rules::read("[checks]\nformat = [\"fmt\"]\nrun = [[\"cargo\", \"test\"], [\"./x.sh\"]]\n")
                .unwrap();
        let named = rules.checks.unwrap();
        assert_eq!(named.format, ["fmt"]);
        assert_eq!(named.run, [vec!["cargo", "test"], vec!["./x.sh"]]);
        assert_eq!(Rules::read("").unwrap(), Rules::default());
        for bad in
            ["[checks]\nrunn = []", "[cheks]\nrun = []", "[checks]\nrun = [[]]", "checks = 1", "run = \"x"]
        {
            assert!(Rules::read(bad).is_err(), "{bad}");
        }
    }
}
