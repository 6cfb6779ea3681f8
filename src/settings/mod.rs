//! What the operator decided, read once from variables: [`Settings::from_vars`] is a pure function over an iterator.
//!
//! Only `bin` reads the real environment. Everything that is wrong is reported at once, by whole names, without values.
//! An empty value is an absent one; an empty list is nobody or nothing, never everybody; zero means zero. What the
//! target repository may decide for itself (`.roundsman.toml`) is not known here.

mod describe;
mod doorbells;
mod parse;
mod problems;
mod raw;
mod read;
mod sandbox;
mod secret;
pub mod vars;

pub use doorbells::{Address, AddressError, Doorbell, Webhook};
pub use problems::{Problem, Problems};
pub use sandbox::{Egress, ImageRoute, Sandbox};
pub use secret::{Secret, SecretError};

use crate::{
    agents,
    domain::{Brake, ExecutorId, IdentityId, Policy},
    runtime::Scheme,
};
use secrecy::SecretString;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};
use url::Url;

/// Everything that the operator decided.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The kill switch; also in [`Settings::policy`].
    pub brake: Brake,
    /// Directory for everything that is kept on this machine.
    pub state_dir: PathBuf,
    /// Reads in parallel against Azure DevOps.
    pub concurrency: NonZeroU32,
    /// The poller claims nothing when the watcher was silent for longer.
    pub watcher_silence: Duration,
    /// Where Azure DevOps is and who we are there.
    pub ado: Ado,
    /// What is taken in.
    pub intake: Intake,
    /// How long an agent may be silent.
    pub idle_limit: Duration,
    /// Where runs are remembered.
    pub store: Store,
    /// Where steps run.
    pub runtime: Runtime,
    /// What does the work.
    pub agent: Agent,
    /// What looks at the work before it is published, if anything.
    pub reviewer: Option<Reviewer>,
    /// The operator's own rules for briefs.
    pub brief_file: Option<PathBuf>,
    /// Who is rung, if anybody.
    pub doorbells: Vec<Doorbell>,
    /// What is logged.
    pub log: Log,
    /// Where looks and decisions are recorded, if anywhere.
    pub record: Option<PathBuf>,
    /// Where each program leaves its counters, if anywhere.
    pub metrics: Option<PathBuf>,
    /// In whose name commits are made.
    pub commit: Commit,
    policy: Policy,
}

impl Settings {
    /// Reads settings from variables. Of those without our prefix only `DOCKER_HOST` and `DOCKER_CERT_PATH` are looked
    /// at, and what `ROUNDSMAN_AGENT_ENVIRONMENT` and `ROUNDSMAN_AGENT_CHECKS_ENVIRONMENT` name.
    pub fn from_vars(vars: impl Iterator<Item = (String, String)>) -> Result<Self, Problems> {
        read::settings(&vars.collect())
    }

    /// The limits that decisions use.
    pub fn policy(&self) -> Policy {
        self.policy.clone()
    }

    /// Everything secret that this process was given, as it is now: for taking it out of texts. A secret that cannot be
    /// read now was given to nobody by us, and is left out.
    pub fn secrets(&self) -> Vec<SecretString> {
        let mut all: Vec<SecretString> = self.ado.token().into_iter().collect();
        let Agent { environment, checks_environment, .. } = &self.agent;
        all.extend(environment.values().chain(checks_environment.values()).cloned());
        for bell in &self.doorbells {
            all.extend(bell.secret.as_ref().and_then(|secret| secret.read().ok()));
            all.extend(bell.address.read().iter().flat_map(doorbells::Webhook::spellings));
        }
        all
    }

    /// What is allowed but probably not meant, one sentence each. Looks at the modes of secret files, not into them.
    pub fn warnings(&self) -> Vec<String> {
        let mut said = Vec::new();
        let mut warn = |when: bool, text: &str| {
            if when {
                said.push(text.to_owned());
            }
        };
        let Intake { projects, repositories, trusted, groups, default_repository, routes } = &self.intake;
        warn(
            self.brake != Brake::Off,
            "the brake is on: nothing is claimed until ROUNDSMAN_KILL_SWITCH is `off`",
        );
        warn(projects.is_empty(), "ROUNDSMAN_INTAKE_PROJECTS is empty: nothing is polled");
        warn(repositories.is_empty(), "ROUNDSMAN_INTAKE_REPOSITORIES is empty: nothing may be worked on");
        warn(
            trusted.is_empty() && groups.is_empty(),
            "ROUNDSMAN_INTAKE_TRUSTED is empty: nobody is trusted, so nobody can start a run",
        );
        let forbidden = |path: &RepositoryPath| !self.policy.allows(&path.to_string());
        warn(
            default_repository.as_ref().is_some_and(forbidden),
            "ROUNDSMAN_INTAKE_DEFAULT_REPOSITORY is not in ROUNDSMAN_INTAKE_REPOSITORIES: its items go to people",
        );
        warn(
            routes.iter().any(|route| forbidden(&route.repository)),
            "ROUNDSMAN_INTAKE_ROUTES leads to a repository that is not in ROUNDSMAN_INTAKE_REPOSITORIES: its items go to people",
        );
        warn(
            self.agent.name == Agent::OF_THE_OPERATOR && self.agent.command.is_empty(),
            "ROUNDSMAN_AGENT_COMMAND is empty: there is no agent that could be run",
        );
        for name in &self.policy.offer.agents {
            let needs_command = agents::find(name).is_some_and(|agent| agent.needs_command);
            warn(
                needs_command && *name != self.agent.name,
                &format!(
                    "ROUNDSMAN_INTAKE_AGENTS offers {name}, which needs a command and has none: its items go to people"
                ),
            );
        }
        for name in &self.agent.absent {
            warn(true, &format!("a step is to be given {name}, which is not set"));
        }
        warn(
            self.policy.turn_limit.is_zero() || self.idle_limit.is_zero(),
            "ROUNDSMAN_POLICY_TURN_LIMIT or ROUNDSMAN_POLICY_IDLE_LIMIT is zero: every step is over at once",
        );
        warn(
            self.policy.remind_after >= self.policy.review_limit,
            "ROUNDSMAN_POLICY_REMIND_AFTER is not shorter than ROUNDSMAN_POLICY_REVIEW_LIMIT: nobody is reminded",
        );
        warn(
            self.policy.max_runs_per_repository > self.policy.max_runs,
            "ROUNDSMAN_INTAKE_MAX_RUNS_PER_REPOSITORY is larger than ROUNDSMAN_INTAKE_MAX_RUNS, which holds",
        );
        let known = agents::find(&self.agent.name);
        warn(
            known.is_some_and(|agent| agent.unverified.is_some()),
            "ROUNDSMAN_AGENT_NAME is an agent that was never seen to work here: `roundsman agents` says why",
        );
        warn(
            self.policy.budget.caps_money()
                && self.policy.budget.prices.is_none()
                && known.is_some_and(|agent| agent.dialect == agents::stream::Dialect::Codex),
            "ROUNDSMAN_AGENT_PRICE_INPUT is not set and this agent does not tell what it costs: where money is limited, each run stops after its first turn",
        );
        match self.runtime.kind {
            RuntimeKind::Process => {
                warn(true, "ROUNDSMAN_RUNTIME_KIND is `process`: agents are not isolated from this machine");
            }
            RuntimeKind::Docker => {
                warn(
                    self.runtime.sandbox.egress == Egress::OfTheAgent
                        && known.is_some_and(|agent| agent.hosts.is_empty()),
                    "ROUNDSMAN_RUNTIME_EGRESS is not set and this agent has no provider of its own: it has no network",
                );
                warn(
                    self.runtime.sandbox.egress == Egress::Listed(vec!["*".into()]),
                    "ROUNDSMAN_RUNTIME_EGRESS is `*`: an agent can send what it reads to any public host",
                );
            }
        }
        warn(
            self.ado.is_readable_on_the_way(),
            "ROUNDSMAN_ADO_ALLOW_HTTP is `yes`: the token can be read on the way",
        );
        said.extend(self.ado.secret.warning());
        said.extend(doorbells::warnings(&self.doorbells));
        said
    }

    /// One line per variable with what holds now; secrets as `set` or `not set`. Everything shown reads back as given,
    /// except what could hold a secret.
    pub fn describe(&self) -> String {
        describe::describe(self)
    }
}

/// Where Azure DevOps is and who we are there.
#[derive(Clone, Debug)]
pub struct Ado {
    /// Organization or collection, without a slash at its end.
    pub url: Url,
    /// How the token is presented.
    pub scheme: Scheme,
    /// The identity that the token must belong to, if that is checked.
    pub identity: Option<IdentityId>,
    /// The organization that must answer, if that is checked.
    pub organization: Option<IdentityId>,
    pub(super) secret: Secret,
}

impl Ado {
    fn is_readable_on_the_way(&self) -> bool {
        self.url.scheme() == "http" && !parse::is_loopback(&self.url)
    }

    /// The token as it is now: read afresh each time when it is in a file.
    pub fn token(&self) -> Result<SecretString, SecretError> {
        self.secret.read()
    }
}

/// What is taken in. Limits and label names are in [`Settings::policy`].
#[derive(Clone, Debug)]
pub struct Intake {
    /// Projects whose items are looked at. Empty = nothing is polled.
    pub projects: Vec<String>,
    /// Repositories that may be worked on. Empty = none.
    pub repositories: Vec<RepositoryPath>,
    /// Whose labels and words count. Empty = nobody.
    pub trusted: BTreeSet<IdentityId>,
    /// Groups whose people's labels and words count, by id or subject descriptor. Empty = none.
    pub groups: BTreeSet<String>,
    /// Where an item belongs that does not tell.
    pub default_repository: Option<RepositoryPath>,
    /// Repository by area path, as given.
    pub routes: Vec<Route>,
}

/// A repository as people write it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepositoryPath {
    /// Name of its project.
    pub project: String,
    /// Its name.
    pub name: String,
}

/// `project/repository`, in the spelling that was given.
impl fmt::Display for RepositoryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project, name } = self;
        write!(f, "{project}/{name}")
    }
}

/// Items of this area, and below it, belong to that repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// For example `Web\Shop`.
    pub area: String,
    /// The repository.
    pub repository: RepositoryPath,
}

/// Where runs are remembered.
#[derive(Clone, Debug)]
pub struct Store {
    /// In which way.
    pub kind: StoreKind,
    /// The file.
    pub path: PathBuf,
}

/// Ways to remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// One file on a local disk.
    Sqlite,
    /// No file: records in the work items' own comments.
    Labels,
}

/// Where steps run.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// In which way.
    pub kind: RuntimeKind,
    /// This host or cluster.
    pub executor: ExecutorId,
    /// The worker program; none = the one beside the running program.
    pub worker: Option<PathBuf>,
    /// Walls of a step, where it has any.
    pub sandbox: Sandbox,
}

/// Ways to run a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeKind {
    /// Children on this machine, not isolated.
    Process,
    /// Hardened containers of an engine.
    Docker,
}

/// What does the work.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its kind by name.
    pub name: String,
    /// Program and arguments; empty when none was given.
    pub command: Vec<String>,
    /// What the agent step is given of our own environment: what `ROUNDSMAN_AGENT_ENVIRONMENT` names and is set.
    pub environment: BTreeMap<String, SecretString>,
    /// What the repository's checks are given and the agent is not.
    pub checks_environment: BTreeMap<String, SecretString>,
    /// Names of both lists that are not set.
    pub absent: Vec<String>,
    /// The model, as the agent writes it.
    pub model: Option<String>,
    /// How hard it thinks, as the agent writes it.
    pub effort: Option<String>,
    /// Answers of the model in one turn.
    pub step_limit: u32,
    /// Tokens of one turn that are paid in full.
    pub token_limit: u64,
    /// Micro US dollars of one turn.
    pub cost_limit: u64,
    /// Whether a plan is made first.
    pub plan_first: bool,
    /// Whether the repository's checks are run before the agent is called.
    pub base_checks: bool,
}

/// A second agent, which reviews.
#[derive(Clone, Debug)]
pub struct Reviewer {
    /// Its name.
    pub name: String,
    /// The operator's own words for it.
    pub command: Vec<String>,
    /// The model.
    pub model: Option<String>,
    /// How hard it thinks.
    pub effort: Option<String>,
}

impl Agent {
    /// The agent that is whatever the operator's command is.
    pub const OF_THE_OPERATOR: &str = "command";
}

/// What is logged.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    /// How much.
    pub level: tracing::Level,
    /// In which form.
    pub format: LogFormat,
}

/// Forms of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
    /// Text on a terminal, JSON elsewhere.
    Auto,
}

/// In whose name commits are made.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Name.
    pub name: String,
    /// Mail address.
    pub email: String,
}
