//! The demo's stand-in for an agent: plays files from a directory and says everywhere that it does.
//!
//! Below the directory `implement`, `fix-forward`, `respond` and `conflict` may hold
//! `tree/` (copied over the workspace), `pr.md`, `title.txt`, `summary.txt`, `plan.md` and `reply.md` (the answer to every
//! thread that the brief names as `Thread <id>`). No model, no network.

use super::machine::{text, variable};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Stands in everything that this agent leaves.
const HONESTY: &str = "Played from a script for the demo; no model wrote this.";

/// Stands for a directory that is in the variable [`SCREENPLAY`]: in a container there is none of ours.
const IN_VARIABLE: &str = "-";
/// Path and content of each file, as JSON.
const SCREENPLAY: &str = "SCREENPLAY";

/// Plays one call.
pub(super) fn main(screenplay: &Path) -> ExitCode {
    let played = if screenplay == Path::new(IN_VARIABLE) { unfold() } else { play(screenplay) };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::complain(1, &format!("scripted: {error}")),
    }
}

fn unfold() -> io::Result<()> {
    let script = variable(SCREENPLAY).ok_or_else(|| io::Error::other(format!("{SCREENPLAY} is not set")))?;
    let files: BTreeMap<PathBuf, String> = serde_json::from_str(&script)?;
    let directory = tempfile::tempdir()?;
    for (path, content) in files {
        super::machine::write(directory.path().join(path), content.as_bytes())?;
    }
    play(directory.path())
}

fn play(screenplay: &Path) -> io::Result<()> {
    let needed = |name: &str| variable(name).ok_or_else(|| io::Error::other(format!("{name} is not set")));
    let kind = needed("ROUNDSMAN_TURN_KIND")?;
    let scene = if kind == "redispatch" { "implement" } else { kind.as_str() };
    let scene = screenplay.join(scene);
    let out = PathBuf::from(needed("ROUNDSMAN_OUT")?);
    let told = |name: &str, otherwise: &str| {
        fs::read_to_string(scene.join(name)).unwrap_or_else(|_| otherwise.to_owned()).trim().to_owned()
    };
    let signed = |body: &str| format!("{body}\n\n_{HONESTY}_\n");
    match needed("ROUNDSMAN_CALL")?.as_str() {
        "plan" => fs::write(
            out.join("plan.md"),
            signed(&told("plan.md", "- Copy the prepared files.\n- Commit them.")),
        )?,
        "implement" => {
            let summary = told("summary.txt", "Applied the prepared change.");
            if kind == "conflict" {
                merge()?;
            }
            if scene.join("tree").is_dir() {
                copy(&scene.join("tree"), &std::env::current_dir()?)?;
            }
            if scene.join("pr.md").is_file() {
                fs::write(out.join("pr.md"), signed(&told("pr.md", "")))?;
            }
            if scene.join("title.txt").is_file() {
                fs::write(out.join("title.txt"), told("title.txt", ""))?;
            }
            if scene.join("reply.md").is_file() {
                fs::create_dir_all(out.join("replies"))?;
                let brief = fs::read_to_string(Path::new(&needed("ROUNDSMAN_IN")?).join("brief.md"))?;
                for thread in threads(&brief) {
                    fs::write(out.join(format!("replies/{thread}.md")), signed(&told("reply.md", "")))?;
                }
            }
            let summary = format!("[scripted] {summary}");
            let outcome = serde_json::json!({"outcome": "done", "summary": format!("{summary} {HONESTY}"), "answer": ""});
            fs::write(out.join("outcome.json"), outcome.to_string())?;
            git(&["add", "-A"])?;
            // Nothing to commit is an end like any other.
            _ = git(&["commit", "--quiet", "-m", &format!("{summary}\n\n{HONESTY}")]);
        }
        // A script has nothing to add when checks fail.
        _ => {}
    }
    Ok(())
}

/// Takes the target's side where both changed the same lines; `tree/` then says how it should be.
fn merge() -> io::Result<()> {
    git(&["merge", "--quiet", "--no-edit", "-X", "theirs", super::git::TARGET])
}

fn git(arguments: &[&str]) -> io::Result<()> {
    let status = Command::new("git").args(arguments).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("git {arguments:?}: {status}"))) }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &place)?;
        } else {
            // Content only: whether a file can be executed is the repository's business.
            fs::write(&place, fs::read(entry.path())?)
                .map_err(|error| io::Error::other(format!("{}: {error}", text(&place))))?;
        }
    }
    Ok(())
}

/// Thread ids that a brief names, each once.
fn threads(brief: &str) -> Vec<u32> {
    let mut ids: Vec<u32> = brief
        .match_indices("Thread ")
        .filter_map(|(at, word)| {
            let digits: String = brief[at + word.len()..].chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    #[test]
    fn threads_are_found_in_a_brief() {
        assert_eq!(super::threads("## Thread 12\nx\nThread 7: y Thread 12, Thread x"), [7, 12]);
    }
}
