//! What a worker is told: everything it needs and nothing secret. The contract between our programs and an image.
//!
//! Pure data, made by the shell, stored beside the worker, read by `worker`. Additive only: a worker of an older
//! image refuses a [`SCHEMA`] that it does not know.

use crate::domain::{BranchName, CommitId, RunId, Step, Turn};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Version of this contract.
pub const SCHEMA: u32 = 1;

/// One step of one turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerSpec {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The run.
    pub run: RunId,
    /// The turn, complete: an executor alone can tell what was attempted.
    pub turn: Turn,
    /// The step.
    pub step: Step,
    /// Where the step finds and leaves things.
    pub places: Places,
    /// Where the code comes from and goes to.
    pub source: Source,
    /// The text for the agent. Fetch writes it to `<input>/brief.md`; other steps leave it empty.
    pub brief: String,
    /// How the agent is called; only the agent step has it.
    pub agent: Option<AgentCall>,
    /// Who commits: identical input gives identical commits.
    pub commit: CommitIdentity,
    /// Limits that the worker enforces itself, watched or not.
    pub limits: Limits,
    /// The image in which the step runs instead of the worker image; only the agent step may have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

impl WorkerSpec {
    /// `4711-r12-t03-agent`: the name under which the executor knows the worker.
    pub fn name(&self) -> String {
        worker_name(self.run, self.turn.number, self.step)
    }
}

/// `4711-r12-t03-agent`.
pub fn worker_name(run: RunId, turn: crate::domain::TurnNumber, step: Step) -> String {
    format!("{run}-t{:02}-{step}", turn.0)
}

/// Directories, as the step sees them (absolute).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Places {
    /// `/repo.git`: pristine bare clone, belongs to the run.
    pub repository: PathBuf,
    /// `/workspace`: clean checkout, belongs to the run.
    pub workspace: PathBuf,
    /// `/in`: brief and other texts, belongs to the turn.
    pub input: PathBuf,
    /// `/out`: bundle, answers and evidence, belongs to the turn.
    pub output: PathBuf,
    /// `/home/agent`: the agent's session, belongs to the run.
    pub home: PathBuf,
}

impl Places {
    /// Where the worker image has its volumes. A runtime without containers puts its own directories in their place.
    pub fn of_image() -> Self {
        Self {
            repository: "/repo.git".into(),
            workspace: "/workspace".into(),
            input: "/in".into(),
            output: "/out".into(),
            home: "/home/agent".into(),
        }
    }
}

/// Where the code comes from and goes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Clone address, without user part and without credential.
    pub url: String,
    /// Our branch.
    pub branch: BranchName,
    /// The branch that the pull request targets.
    pub target: BranchName,
    /// Where our branch must be when this turn starts and when it pushes; none = it must not exist (first push).
    pub expected: Option<CommitId>,
}

/// How the agent is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentCall {
    /// Its name in `agents/*.toml`.
    pub name: String,
    /// Program and arguments; never through a shell.
    pub command: Vec<String>,
    /// Whether a separate, read-only planning call comes first.
    pub plan_first: bool,
}

/// Name, mail and time of every commit we make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitIdentity {
    /// Author and committer.
    pub name: String,
    /// Author and committer.
    pub email: String,
    /// Author and committer date: the time of the claim.
    pub date: Timestamp,
}

/// What the worker enforces itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Seconds of wall-clock time for the whole step.
    pub wall_seconds: u64,
    /// Seconds without a byte of output after which an agent counts as hung.
    pub idle_seconds: u64,
    /// Bytes of output that one call may write.
    pub output_bytes: u64,
    /// Repair calls after failing checks.
    pub repairs: u32,
    /// Extra calls to tidy up before the commit.
    pub tidy_calls: u32,
    /// Seconds between asking and killing.
    pub grace_seconds: u64,
    /// Files that one turn may touch.
    pub max_files: u32,
    /// Bytes that one changed file may have.
    pub max_file_bytes: u64,
    /// Bytes that all changed files may have together.
    pub max_total_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // The ancestors' 45 minutes, see `domain::policy::TURN_LIMIT`.
            wall_seconds: 45 * 60,
            // Real agents were measured silent for 76 s during provider retries; ten minutes leave room for slow tests.
            idle_seconds: 10 * 60,
            // A talkative agent writes a few MB an hour; 64 MiB is a loop.
            output_bytes: 64 << 20,
            // The ancestors' three.
            repairs: 3,
            // The ancestors' two.
            tidy_calls: 2,
            // Enough to flush a session file; short enough for a drain.
            grace_seconds: 10,
            // More than a hundred files are not a reviewable change.
            max_files: 100,
            // Nothing written by hand is larger than 1 MiB.
            max_file_bytes: 1 << 20,
            // Five MiB in total, as peers limit a patch.
            max_total_bytes: 5 << 20,
        }
    }
}
