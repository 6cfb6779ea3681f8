//! The repository's own checks, taken from the base revision so that an agent cannot weaken them, run in its workspace.
//!
//! They get no credential and none of the agent's variables. What they leave behind is thrown away; only the formatter
//! may change tracked files.

use super::{
    agent::Session,
    child::{self, Call, End},
    git::GitError,
    machine::{self, text},
};
use crate::{
    domain::{AgentFailure, AgentResult},
    runtime::process::files,
};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

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

/// What the checks say.
pub(super) enum Verdict {
    /// The repository has none.
    None,
    /// All passed.
    Passed,
    /// One failed.
    Failed {
        /// Which.
        script: &'static str,
        /// How.
        ended: String,
        /// The end of what it printed.
        output: String,
    },
}

/// Runs them on what is committed.
pub(super) fn run(session: &Session<'_>) -> Result<Verdict, AgentResult> {
    let outside = session.job.spec.places.output.join("checks");
    let broken = |e: std::io::Error| session.fail(AgentFailure::Infrastructure, &format!("checks: {e}"));
    // Taken anew each time: the agent could have changed the copy of an earlier round.
    files::remove_tree(&outside).map_err(broken)?;
    let scripts = extract(session, &outside).map_err(|e| session.broken(&e))?;
    let verdict = run_scripts(session, &outside, &scripts);
    _ = files::remove_tree(&outside);
    verdict
}

fn run_scripts(session: &Session<'_>, outside: &Path, scripts: &[String]) -> Result<Verdict, AgentResult> {
    let has = |name: &str| scripts.iter().any(|script| script == name);
    if has(FORMAT) {
        // A formatter that fails is no reason to throw work away.
        execute(session, outside, FORMAT)?;
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
    for script in CHECKS.into_iter().filter(|script| has(script)) {
        let (end, output) = execute(session, outside, script)?;
        clean(session)?;
        if end != End::Exited(0) {
            return Ok(Verdict::Failed { script, ended: format!("{end:?}"), output });
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

fn execute(session: &Session<'_>, outside: &Path, script: &str) -> Result<(End, String), AgentResult> {
    let places = &session.job.spec.places;
    let path = outside.join(SCRIPTS).join(script);
    let is_executable = fs::metadata(&path).is_ok_and(|facts| facts.permissions().mode() & 0o100 != 0);
    let mut command = vec![text(&path)];
    if !is_executable {
        command.insert(0, "sh".into());
    }
    let evidence = places.output.join("evidence");
    let log = (0..=MOST_ROUNDS)
        .map(|round| evidence.join(format!("check-{}-{round:02}.log", script.trim_end_matches(".sh"))))
        .find(|log| !log.exists());
    let mut environment = session.job.environment();
    environment.push(("CI".into(), "true".into()));
    let ended = child::run(Call {
        command: &command,
        environment: &environment,
        directory: &places.workspace,
        input: Vec::new(),
        log: log.clone(),
        capture: false,
        bounds: session.bounds(),
    });
    files::kill_marked(&session.job.directory);
    match &ended.end {
        End::Stopped => Err(session.fail(AgentFailure::Stopped, &format!("stopped during {script}"))),
        End::Timeout => Err(session.fail(AgentFailure::Timeout, &format!("took too long, last in {script}"))),
        _ => {
            let output = log.and_then(|log| files::tail(&log, OUTPUT_TAIL).ok()).unwrap_or_default();
            Ok((ended.end, session.job.clean(&output, OUTPUT_TAIL)))
        }
    }
}

/// Copies the scripts of the base revision; the names of those directly in the directory.
fn extract(session: &Session<'_>, outside: &Path) -> Result<Vec<String>, GitError> {
    let listing = session.git.local(
        &session.clone,
        &["ls-tree", "-r", "-z", session.base.as_str(), "--", &format!("{SCRIPTS}/")],
    )?;
    let mut names = Vec::new();
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
        if let Some(name) = path.strip_prefix(SCRIPTS).and_then(|path| path.strip_prefix('/')) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
