//! What happens inside a step: fetch, agent, publish. One process per step, told by a [`WorkerSpec`], remembered by files.
//!
//! ```text
//! <step>/spec.json    what to do                      (written before the start, never by us)
//! <step>/lock         held exclusively while we live  (the only proof of life: a pid can be reused)
//! <step>/latch        made once, before anything else (a second start of the same name ends with code 73)
//! <step>/pid          process group, for a kill while the lock is held
//! <step>/stop         somebody asks us to end
//! <step>/status.json  how it ended                    (also the last line of standard output)
//! ```
//!
//! Beside an agent without a network of its own runs the gate, `roundsman-worker egress`: what it lets out, and nothing else.
//!
//! What is secret comes as one JSON line on standard input, read once and stored nowhere; see [`Handover`].
//!
//! An agent is called as its file in `agents` says, by default with its brief on standard input, in the workspace, and
//! with these variables besides those that the operator lets through: `ROUNDSMAN_CALL` (`plan`, `implement`, `repair`,
//! `tidy`, `review`), `ROUNDSMAN_TURN_KIND`, `ROUNDSMAN_BRIEF` (the brief as a file), `ROUNDSMAN_IN`, `ROUNDSMAN_OUT`. It answers
//! with files below `ROUNDSMAN_OUT`: `outcome.json` =
//! `{"outcome":"done|nothing-to-do|question|failed","summary":"…","answer":"…","reason":"…"}` (a reason for nothing to
//! do is `already-done`, `cannot-reproduce`, `needs-information` or `out-of-scope`), `plan.md`, `pr.md`, `title.txt`,
//! `replies/<thread>.md`, `question.md`, `proposals/*.md`. Its exit code is evidence, not success; where its file says so, 75 means that
//! the model provider did not answer.
//!
//! This room knows nothing about work items, pull requests or labels, and asks no Azure DevOps API.
//!
//! [`WorkerSpec`]: crate::runtime::spec::WorkerSpec
//! [`Handover`]: crate::runtime::Handover

mod agent;
mod calls;
mod carry;
mod changes;
mod checks;
mod child;
mod claims;
mod egress;
mod evidence;
mod fetch;
mod gate;
mod git;
mod job;
mod left;
mod machine;
mod memory;
mod meter;
mod policy;
mod prompts;
mod publish;
mod review;
mod rewrite;
mod room;
mod scripted;
mod secrets;
mod suggest;

use crate::domain::{Step, StepResult};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The step ended and its status was written, whatever the status says.
pub const EXIT_DONE: u8 = 0;
/// The arguments make no sense.
pub const EXIT_USAGE: u8 = 2;
/// The specification could not be read or the status could not be written.
pub const EXIT_BROKEN: u8 = 70;
/// This step was started before; `EX_CANTCREAT` of sysexits.
pub const EXIT_STARTED_BEFORE: u8 = 73;

const USAGE: &str =
    "usage: roundsman-worker <fetch|agent|publish> --dir <step directory>\n       roundsman-worker egress …";

/// The worker program: `arguments` without the program's name.
pub fn main(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let arguments: Vec<String> = arguments.into_iter().collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (step, directory) = match words.as_slice() {
        ["--help" | "-h"] => {
            use std::io::Write as _;
            // Asked for, so it is data; whoever closed the pipe has read enough.
            _ = writeln!(std::io::stdout(), "{USAGE}");
            return ExitCode::from(EXIT_DONE);
        }
        ["egress", options @ ..] => return egress::main(options),
        ["scripted", directory] => return scripted::main(Path::new(directory)),
        ["fetch", "--dir", directory] => (Step::Fetch, *directory),
        ["agent", "--dir", directory] => (Step::Agent, *directory),
        ["publish", "--dir", directory] => (Step::Publish, *directory),
        _ => return complain(EXIT_USAGE, USAGE),
    };
    match execute(step, Path::new(directory)) {
        Ok(()) => ExitCode::from(EXIT_DONE),
        Err(job::Refusal { code, why }) => complain(code, &why),
    }
}

fn execute(step: Step, directory: &Path) -> Result<(), job::Refusal> {
    let directory: PathBuf =
        std::path::absolute(directory).map_err(|e| job::Refusal { code: EXIT_USAGE, why: e.to_string() })?;
    let job = job::Job::begin(step, &directory)?;
    let result = match step {
        Step::Fetch => StepResult::Fetch(fetch::run(&job)),
        Step::Agent => {
            let (result, usage) = agent::run(&job);
            StepResult::Agent { result, usage }
        }
        Step::Publish => StepResult::Publish(publish::run(&job)),
    };
    job.end(&result)
}

fn complain(code: u8, why: &str) -> ExitCode {
    use std::io::Write as _;
    _ = writeln!(std::io::stderr(), "{why}");
    ExitCode::from(code)
}
