//! What a worker is told: everything it needs and nothing secret. The contract between our programs and an image.
//!
//! Pure data, made by the shell, stored beside the worker, read by `worker`. Additive only: a worker of an older
//! image refuses a [`SCHEMA`] that it does not know.

use crate::domain::{BranchName, CommitId, Rules, RunId, Step, Suggestions, Turn, TurnNumber};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

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
    /// The text for the agent. Fetch writes it to `<input>/brief.md`; what the agent step has comes after it.
    pub brief: String,
    /// What to tell an agent that can go on with its conversation, in place of the brief; only the fetch step has it, and
    /// writes it to `<input>/goes-on.json`, which no agent can write. None = the conversation begins afresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goes_on: Option<GoesOn>,
    /// What reviewers suggested to the letter; only the fetch step has it, and writes it to `<input>/suggestions.json`. The
    /// agent step commits what still fits before the agent is called.
    #[serde(default, skip_serializing_if = "Suggestions::is_nothing")]
    pub suggestions: Suggestions,
    /// How the agent is called; only the agent step has it.
    pub agent: Option<AgentCall>,
    /// Who commits: identical input gives identical commits.
    pub commit: CommitIdentity,
    /// Limits that the worker enforces itself, watched or not.
    pub limits: Limits,
    /// The image in which the step runs instead of the worker image; only the agent step may have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The repository's rules that hold for this run; none = the step looks at what our branch stands on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    /// A second agent that looks at the change before it is published; only the agent step may have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewer: Option<AgentCall>,
}

impl WorkerSpec {
    /// `4711-r12-t03-agent`: the name under which the executor knows the worker.
    pub fn name(&self) -> String {
        worker_name(self.run, self.turn.number, self.step)
    }
}

/// A turn that goes on with an earlier turn's conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoesOn {
    /// The turn whose conversation it is.
    pub after: TurnNumber,
    /// What is new since.
    pub news: String,
}

/// `4711-r12-t03-agent`.
pub fn worker_name(run: RunId, turn: TurnNumber, step: Step) -> String {
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

/// How the agent is called: everything that is known of it as data, and no value of a secret. `agents` resolves it; the
/// worker fills in what only a step knows, see `agents::template`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentCall {
    /// Its name in `agents/*.toml`.
    pub name: String,
    /// Program and arguments of a call that begins a conversation; never through a shell.
    pub command: Vec<String>,
    /// Whether a separate, read-only planning call comes first.
    pub plan_first: bool,
    /// Program and arguments of a call that goes on with a conversation; empty = it cannot.
    #[serde(default)]
    pub resume: Vec<String>,
    /// Words that stand for `{mode}` where the workspace may be changed.
    #[serde(default)]
    pub work: Vec<String>,
    /// Words that stand for `{mode}` in a planning call, and make it read-only; none = nothing does.
    #[serde(default)]
    pub plan: Option<Vec<String>>,
    /// How it is given its brief.
    #[serde(default)]
    pub brief: BriefWay,
    /// How it writes its output.
    #[serde(default)]
    pub dialect: Dialect,
    /// Variables that switch off what a step does not need: updates, telemetry, the repository's own configuration.
    #[serde(default)]
    pub switches: BTreeMap<String, String>,
    /// More of them, or other values, in a planning call.
    #[serde(default)]
    pub plan_switches: BTreeMap<String, String>,
    /// A configuration that is written before the call.
    #[serde(default)]
    pub config: Option<ConfigFile>,
    /// How it is given the repository's instruction files.
    #[serde(default)]
    pub instructions: InstructionsWay,
    /// Exit codes that mean that its model provider did not answer.
    #[serde(default)]
    pub provider_codes: Vec<i32>,
    /// Names at the top of a repository that configure this agent: they are kept out of its workspace.
    #[serde(default)]
    pub hides: Vec<String>,
    /// `host:port` of what it may reach, in place of the executor's own list; none = that list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// How its conversations outlive a turn.
    #[serde(default, skip_serializing_if = "SessionKeep::is_nothing")]
    pub keep: SessionKeep,
    /// Prints its version.
    #[serde(default)]
    pub version: Vec<String>,
    /// Names of handed-over variables that are meant for the repository's checks and not for the agent.
    #[serde(default)]
    pub checks_environment: Vec<String>,
    /// The model that was asked for, for the record; none = whatever the agent is configured for.
    #[serde(default)]
    pub model: Option<String>,
}

/// How a conversation outlives its turn: as files that hold it and nothing else, or through the program that wrote it.
/// Nothing at all = every turn begins afresh. Everything else in the home ends with the turn: what an agent that was
/// led astray left there must not configure the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionKeep {
    /// Files of the conversation `{session}`, below the home; a `*` stands for any part of a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Prints the conversation `{session}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub export: Vec<String>,
    /// Takes what was printed from `{session_file}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub import: Vec<String>,
}

impl SessionKeep {
    /// Whether no conversation outlives its turn.
    pub fn is_nothing(&self) -> bool {
        self.files.is_empty() && self.export.is_empty()
    }
}

/// How an agent is given its brief.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BriefWay {
    /// On standard input.
    #[default]
    Stdin,
    /// As the word `{brief}`.
    Argument,
    /// As a file, named by `{brief_file}`.
    File,
}

/// How an agent is given the instruction files that people landed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstructionsWay {
    /// The brief names them.
    #[default]
    Brief,
    /// Its configuration names them, by `{instructions}`.
    Config,
}

/// How an agent writes its output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// `opencode run --format json`.
    Opencode,
    /// `claude -p --output-format stream-json --verbose`.
    Claude,
    /// `codex exec --json`.
    Codex,
    /// Text for people: the exit code is all there is.
    #[default]
    Plain,
}

/// A configuration file for an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// The variable that names the file.
    pub variable: String,
    /// Its text; `{instructions}` becomes a JSON list of absolute paths.
    pub text: String,
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
    /// Answers of the model in one turn, all calls together.
    #[serde(default = "Limits::default_steps")]
    pub steps: u32,
    /// Tokens of one turn that are paid in full, all calls together; reads of the provider's cache are not counted.
    #[serde(default = "Limits::default_tokens")]
    pub tokens: u64,
    /// Micro US dollars of one turn, where the agent tells a price.
    #[serde(default = "Limits::default_cost")]
    pub cost_micro_usd: u64,
    /// What tokens cost where it tells none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<crate::domain::Prices>,
    /// Bytes below workspace, home and output together.
    #[serde(default = "Limits::default_disk")]
    pub disk_bytes: u64,
    /// Seconds before the one further try after the provider failed for now.
    #[serde(default = "Limits::default_pause")]
    pub provider_pause_seconds: u64,
    /// Files that one turn may touch.
    pub max_files: u32,
    /// Bytes that one changed file may have.
    pub max_file_bytes: u64,
    /// Bytes that all changed files may have together.
    pub max_total_bytes: u64,
    /// Seconds that the repository's checks may take on the untouched base; 0 = they are not run there.
    #[serde(default)]
    pub base_checks_seconds: u64,
    /// Follow-up proposals that are taken from one turn.
    #[serde(default)]
    pub proposals: u32,
}

impl Limits {
    /// Long honest turns have about two hundred; a cut stream was measured to loop twelve times a second.
    fn default_steps() -> u32 {
        500
    }

    /// Two hundred steps with a context of 100,000 tokens and a provider without a cache.
    fn default_tokens() -> u64 {
        20_000_000
    }

    /// Twenty US dollars: several times an expensive honest turn.
    fn default_cost() -> u64 {
        20_000_000
    }

    /// A large checkout with its dependencies and build output has a few GiB; ten are a leak.
    fn default_disk() -> u64 {
        10 << 30
    }

    /// Longer than the agents' own quick retries, far shorter than the idle limit.
    fn default_pause() -> u64 {
        30
    }
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
            steps: Self::default_steps(),
            tokens: Self::default_tokens(),
            cost_micro_usd: Self::default_cost(),
            prices: None,
            disk_bytes: Self::default_disk(),
            provider_pause_seconds: Self::default_pause(),
            // More than a hundred files are not a reviewable change.
            max_files: 100,
            // Nothing written by hand is larger than 1 MiB.
            max_file_bytes: 1 << 20,
            // Five MiB in total, as peers limit a patch.
            max_total_bytes: 5 << 20,
            // Both are the operator's to switch on.
            base_checks_seconds: 0,
            proposals: 0,
        }
    }
}
