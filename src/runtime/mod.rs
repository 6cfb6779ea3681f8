//! Where steps run: start a one-shot worker by name, find it again, read what it left, stop it, remove it.
//!
//! The name of a worker is (run, turn, step); it is the arbiter: a second start of the same name adopts the first.
//! Objects of a live run are never removed, because they also count attempts when every other memory is lost.
//! This room knows nothing about Azure DevOps, and decides nothing.

pub mod docker;
pub mod environment;
pub mod handover;
pub mod process;
pub mod spec;

use crate::domain::{RunId, Step, Turn, TurnNumber, Worker};
use async_trait::async_trait;
pub use handover::Handover;
use jiff::Timestamp;
use secrecy::SecretString;
use spec::WorkerSpec;
use std::{collections::BTreeMap, time::Duration};

/// An executor: one host, or one cluster.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Whether a step could be started now. Asked before a claim: claim nothing that cannot be finished.
    async fn health(&self) -> Result<(), Error>;

    /// Starts the worker that `spec` describes, or adopts it if it exists. When this returns `Ok` the worker exists
    /// under its name; a crash right after is found by [`Runtime::workers`]. A worker that ended is never restarted.
    /// The handover reaches this one worker only, outside of `spec`, environment and arguments.
    async fn start(&self, spec: &WorkerSpec, handover: &Handover) -> Result<Started, Error>;

    /// Every worker that this executor has, by run, each list ordered by turn and step. Complete, or an error: what is
    /// not listed is absent.
    async fn workers(&self) -> Result<BTreeMap<RunId, Vec<Worker>>, Error>;

    /// The workers of one run, ordered by turn and step. Complete, or an error.
    async fn workers_of(&self, run: RunId) -> Result<Vec<Worker>, Error>;

    /// Returns when the worker has ended or `limit` is over, whichever comes first.
    async fn wait(&self, run: RunId, turn: TurnNumber, step: Step, limit: Duration) -> Result<(), Error>;

    /// Stops every live worker of the run: asks, waits a grace period, kills. Work in progress is kept. When this
    /// returns `Ok` nothing of the run is alive.
    async fn stop(&self, run: RunId) -> Result<(), Error>;

    /// A file that a turn left for us, cut to a sane size; none when it was not left. Untrusted text.
    async fn left(&self, run: RunId, turn: TurnNumber, file: &Left) -> Result<Option<String>, Error>;

    /// The end of a step's log: at most `bytes`, control characters stripped.
    async fn log_tail(&self, run: RunId, turn: TurnNumber, step: Step, bytes: usize)
    -> Result<String, Error>;

    /// Removes everything of a closed run. A live worker is an error. Nothing there is fine.
    async fn remove(&self, run: RunId) -> Result<(), Error>;

    /// In which image the agent of this turn works, as the repository's base revision describes it; may build it, which
    /// takes minutes. Asked when fetch has ended. An executor without images has none.
    async fn environment(&self, _run: RunId, _turn: &Turn) -> Result<environment::Decision, Error> {
        Ok(environment::Decision::default())
    }

    /// Removes what was made for many runs, before `before`, and serves none any more. How many.
    async fn remove_unused(&self, _before: Timestamp, _now: Timestamp) -> Result<u32, Error> {
        Ok(0)
    }

    /// Every run of which this executor still holds anything, also without a worker, in order. What is not ours is not
    /// listed. Whoever knows which runs are over, and since when, removes them.
    async fn leftovers(&self) -> Result<Vec<RunId>, Error>;

    /// What a turn left for people to look at: [`is_evidence`], regular files only, ordered by path. Complete up to a
    /// bound that no honest agent reaches.
    async fn evidence(&self, run: RunId, turn: TurnNumber) -> Result<Vec<EvidenceFile>, Error>;

    /// The first `limit` bytes of such a file; none when it is not there or no evidence. Untrusted bytes as they are.
    async fn read_evidence(
        &self,
        run: RunId,
        turn: TurnNumber,
        path: &str,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, Error>;
}

/// A file that a turn left for people to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceFile {
    /// Below `/out`, with `/` between its parts.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

/// Whether a path below `/out` is evidence: everything in the `evidence` folder and the agent's own texts.
pub fn is_evidence(path: &str) -> bool {
    let is_plain = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    is_plain && (path.starts_with("evidence/") || EVIDENCE_FILES.contains(&path))
}

/// Evidence outside of the folder.
pub(crate) const EVIDENCE_FILES: [&str; 3] = ["plan.md", "pr.md", "outcome.json"];
/// The folder.
pub(crate) const EVIDENCE_FOLDER: &str = "evidence";

/// Whether a start made something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It did.
    New,
    /// The worker was there already.
    Adopted,
}

/// Files in which an agent answers, below its `/out`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// `plan.md`: what it intends to do.
    Plan,
    /// `pr.md`: the pull request's description.
    PullRequest,
    /// `title.txt`: the pull request's title.
    Title,
    /// `replies/<thread>.md`: the answer to a thread.
    Reply(crate::domain::ThreadId),
    /// `question.md`: what it needs to know.
    Question,
    /// `proposals.json`: a list of [`Proposal`], made by the worker from what the agent left.
    Proposals,
    /// `suggestions.json`: a list of [`Suggested`](crate::domain::Suggested), made by the worker.
    Suggestions,
}

/// Work that an agent proposes to do later. Foreign text, redacted and bounded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Proposal {
    /// One line.
    pub title: String,
    /// Markdown.
    pub text: String,
}

impl Left {
    /// Path below `/out`.
    pub fn path(&self) -> String {
        match self {
            Self::Plan => "plan.md".into(),
            Self::PullRequest => "pr.md".into(),
            Self::Title => "title.txt".into(),
            Self::Reply(thread) => format!("replies/{thread}.md"),
            Self::Question => "question.md".into(),
            Self::Proposals => "proposals.json".into(),
            Self::Suggestions => "suggestions.json".into(),
        }
    }
}

/// How git authenticates in fetch and publish.
#[derive(Clone, Debug)]
pub struct Credential {
    /// How the token is presented.
    pub scheme: Scheme,
    /// The token.
    pub token: SecretString,
}

/// How a token is presented to Azure DevOps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// A personal access token: `Basic base64(":" + token)`.
    Pat,
    /// An Entra token: `Bearer token`.
    Bearer,
}

/// Why an executor could not do something. Always infrastructure: never charged to an agent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The executor does not answer, or its disk does not take what it must.
    #[error("the executor is not usable: {0}")]
    Unusable(String),
    /// A worker of this name exists with another specification.
    #[error("worker {name} exists with another specification")]
    Differs {
        /// Run, turn and step.
        name: String,
    },
    /// An executor would not confine a worker as it was asked to; the worker was not started.
    #[error("{name} was not started: the executor does not do what was asked for in {}", lines.join(", "))]
    Weakened {
        /// Run, turn and step, as the executor names it.
        name: String,
        /// What differs, in the executor's words.
        lines: Vec<String>,
    },
    /// A worker would not end.
    #[error("worker {name} is still alive after {grace_seconds} s of grace and a kill")]
    WillNotEnd {
        /// Run, turn and step.
        name: String,
        /// How long it was waited for.
        grace_seconds: u64,
    },
    /// Something of the run is alive that must not be.
    #[error("run {0} still has a live worker")]
    StillAlive(RunId),
}
