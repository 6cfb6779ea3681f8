//! The imperative part: read the world, ask the pure part, do what it says, remember it.
//!
//! [`poll`] claims, [`tick`] visits. Both are functions that begin and end; nothing lives between two calls except
//! what `store`, the runtime and Azure DevOps keep. This room decides nothing.

mod apply;
mod brief;
mod candidate;
mod choices;
mod claim;
pub mod doctor;
pub mod evidence;
mod executor;
pub mod explain;
pub mod hands;
pub mod metrics;
mod notice;
mod observe;
mod older;
pub mod one;
mod overheard;
pub mod poll;
mod progress;
mod proposals;
mod record;
mod recover;
pub mod report;
mod revive;
mod ring;
mod route;
mod rules;
mod takeover;
mod talk;
pub mod tick;
mod trust;
mod turnstile;

pub use brief::house_rules_problem;

use crate::{
    ado,
    decide::{
        FleetFacts, breaker,
        close_look::{SHIPPED_SCHEDULE, is_its_turn},
    },
    domain::{Identity, Policy, Repository, Run, RunId, StateCategory},
    exit::Exit,
    runtime::{self, Credential, Runtime, Scheme},
    settings::{Settings, StoreKind},
    store::{self, RunStore},
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::sync::{Mutex, OnceCell};

/// Everything that one invocation works with.
pub struct App {
    /// What the operator decided.
    pub settings: Settings,
    /// The limits that decisions use.
    pub policy: Policy,
    /// Azure DevOps.
    pub ado: Arc<ado::Client>,
    /// Memory.
    pub store: Box<dyn RunStore>,
    /// The executor.
    pub runtime: Box<dyn Runtime>,
    /// The one `now` of this invocation.
    pub now: Timestamp,
    /// The command that runs a step.
    worker: Vec<String>,
    me: Arc<OnceCell<ado::Connection>>,
    facts: OnceCell<FleetFacts>,
    /// When the visit before this one was made, once it was asked for.
    last_visit: OnceCell<Timestamp>,
    lookups: Lookups,
}

/// What this machine offers to steps that run on it.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The command that runs a step when the operator named none.
    pub worker: Vec<String>,
    /// The environment of workers: where programs are, and how the network is reached. Never a secret.
    pub environment: BTreeMap<String, String>,
}

/// What the states of one type mean, by name.
pub(crate) type States = BTreeMap<String, StateCategory>;

/// What hardly changes and is read at most once per invocation.
#[derive(Default)]
struct Lookups {
    states: Mutex<BTreeMap<(String, String), Arc<States>>>,
    repositories: Mutex<BTreeMap<String, Option<Repository>>>,
    validated: Mutex<BTreeMap<(String, String), bool>>,
    /// By repository and target branch.
    rules: Mutex<BTreeMap<(String, String), Arc<rules::InForce>>>,
    members: OnceCell<trust::Members>,
    target_red: Mutex<BTreeMap<(String, String, u32), observe::TargetRed>>,
}

impl App {
    /// Opens the store and the executor; makes no network call.
    pub async fn open(settings: Settings, host: Host, now: Timestamp) -> Result<Self, OpenError> {
        let policy = settings.policy();
        let worker = settings
            .runtime
            .worker
            .as_ref()
            .map_or(host.worker, |program| vec![program.display().to_string()]);
        let token = settings.ado.token().map_err(|why| OpenError::Secret(why.to_string()))?;
        let auth = match settings.ado.scheme {
            Scheme::Pat => ado::Auth::Pat(token),
            Scheme::Bearer => ado::Auth::Bearer(token),
        };
        let options = ado::Options {
            parallel_reads: settings.concurrency.get() as usize,
            // The settings have refused it where nobody wants it.
            allow_http: settings.ado.url.scheme() == "http",
            ..ado::Options::default()
        };
        let ado = Arc::new(ado::Client::new(settings.ado.url.as_str(), &auth, options)?);
        let me = Arc::new(OnceCell::new());
        let store: Box<dyn RunStore> = match settings.store.kind {
            StoreKind::Sqlite => {
                let opened = store::sqlite::Sqlite::open(&settings.store.path).await?;
                opened.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                Box::new(opened.store)
            }
            StoreKind::Labels => Box::new(in_comments(&settings, &policy, &ado, &me)),
        };
        let inner = executor::open(&settings, &worker, host.environment)?;
        let runtime = Box::new(overheard::Overheard { inner, redactor: ado.redactor().clone() });
        Ok(Self {
            settings,
            policy,
            ado,
            store,
            runtime,
            now,
            worker,
            me,
            facts: OnceCell::new(),
            last_visit: OnceCell::new(),
            lookups: Lookups::default(),
        })
    }

    /// What the comments of work items tell about our runs, whatever the memory is.
    pub(crate) fn in_comments(&self) -> store::labels::Labels {
        in_comments(&self.settings, &self.policy, &self.ado, &self.me)
    }

    /// Who we are, asked once; a token that is not ours or nobody's is an error here and not later.
    pub async fn me(&self) -> Result<&Identity, ado::Error> {
        Ok(&self.me.get_or_try_init(|| self.ado.connection()).await?.identity)
    }

    /// That token and address are those that the operator pinned, if any. Asked before anything is written.
    pub(crate) async fn check_who_we_are(&self) -> Result<&Identity, poll::Failure> {
        let ado::Connection { identity, organization } =
            self.me.get_or_try_init(|| self.ado.connection()).await?;
        let pinned = &self.settings.ado;
        if pinned.organization.as_ref().is_some_and(|pinned| Some(pinned) != organization.as_ref()) {
            let found = organization.as_ref().map_or_else(|| "without an id".to_owned(), ToString::to_string);
            return Err(poll::Failure::WrongOrganization { found });
        }
        if pinned.identity.as_ref().is_some_and(|pinned| *pinned != identity.id) {
            return Err(poll::Failure::WrongIdentity { name: identity.name.clone() });
        }
        Ok(identity)
    }

    /// That the operator's own file for briefs can be used, in every kind of turn. Asked before anything is done, like
    /// every other setting.
    pub(crate) fn check_brief(&self) -> Result<(), poll::Failure> {
        house_rules_problem(&self.settings).map_or(Ok(()), |why| Err(poll::Failure::HouseRules(why)))
    }

    /// What all runs together come to, as this invocation found it. Where that cannot be read, it is unknown, and unknown
    /// facts let nobody pay or claim: one query that fails says nothing about whether the rest can be saved.
    pub(crate) async fn facts(&self) -> FleetFacts {
        self.facts_with(None).await
    }

    /// The same, for whoever has just read the runs in flight.
    pub(crate) async fn facts_with(&self, in_flight: Option<&[Run]>) -> FleetFacts {
        let facts = self.facts.get_or_init(|| async {
            let read = async {
                let runs = self.remembered_with(in_flight).await?;
                Ok::<_, store::Error>((recover::knows_the_day(self).await?, runs))
            };
            match read.await {
                Ok((false, _)) => FleetFacts::unknown(
                    "the memory is new, and the watcher has not yet read back what was spent today",
                ),
                Ok((true, runs)) => FleetFacts::of(&runs, &self.policy, self.now),
                Err(why) => {
                    tracing::warn!(
                        "what all runs together use up could not be read; nothing is paid for: {why}"
                    );
                    FleetFacts::unknown(why)
                }
            }
        });
        facts.await.clone()
    }

    /// Whether a run that nothing moved is looked at closely in this visit.
    pub(crate) fn is_its_turn(&self, run: &Run) -> bool {
        let assumed = || self.now.checked_sub(SHIPPED_SCHEDULE).unwrap_or(self.now);
        is_its_turn(run.id.item, self.last_visit.get().copied().unwrap_or_else(assumed), self.now)
    }

    /// Whether somebody asked what all runs together come to, and it could not be told.
    pub(crate) fn facts_unknown(&self) -> bool {
        self.facts.get().is_some_and(|facts| facts.unknown.is_some())
    }

    /// Runs in flight, and those in which something was paid for today or just before, each once.
    async fn remembered_with(&self, in_flight: Option<&[Run]>) -> Result<Vec<Run>, store::Error> {
        let mut runs = match in_flight {
            Some(read) => read.to_vec(),
            None => self.store.in_flight().await?,
        };
        let known: BTreeSet<RunId> = runs.iter().map(|run| run.id).collect();
        let worked = self.store.worked_since(breaker::looks_back_to(self.now)).await?;
        runs.extend(worked.into_iter().filter(|run| !known.contains(&run.id)));
        Ok(runs)
    }

    /// What the states of a type mean.
    pub(crate) async fn states(&self, project: &str, kind: &str) -> Result<Arc<States>, ado::Error> {
        let mut known = self.lookups.states.lock().await;
        let key = (project.to_lowercase(), kind.to_lowercase());
        if let Some(states) = known.get(&key) {
            return Ok(states.clone());
        }
        let states = Arc::new(self.ado.states(project, kind).await?);
        known.insert(key, states.clone());
        Ok(states)
    }

    /// A repository by `project` and name or id.
    pub(crate) async fn repository(
        &self,
        project: &str,
        name: &str,
    ) -> Result<Option<Repository>, ado::Error> {
        let mut known = self.lookups.repositories.lock().await;
        let key = format!("{project}/{name}").to_lowercase();
        if let Some(repository) = known.get(&key) {
            return Ok(repository.clone());
        }
        let repository = self.ado.repository(project, name).await?;
        known.insert(key, repository.clone());
        Ok(repository)
    }

    /// Whether a branch policy of the target validates pull requests.
    pub(crate) async fn is_validated(&self, run: &Run) -> Result<bool, ado::Error> {
        let mut known = self.lookups.validated.lock().await;
        let key = (run.repository.id.clone(), run.target.to_string());
        if let Some(validated) = known.get(&key) {
            return Ok(*validated);
        }
        let policies = self.ado.policy_configurations(&run.repository, &run.target).await?;
        let validated = policies.iter().any(|p| p.gates && !p.kind.is_for_people());
        known.insert(key, validated);
        Ok(validated)
    }

    /// What git authenticates with, read afresh.
    pub(crate) fn credential(&self) -> Result<Credential, OpenError> {
        let token = self.settings.ado.token().map_err(|why| OpenError::Secret(why.to_string()))?;
        Ok(Credential { scheme: self.settings.ado.scheme, token })
    }
}

fn in_comments(
    settings: &Settings,
    policy: &Policy,
    ado: &Arc<ado::Client>,
    me: &Arc<OnceCell<ado::Connection>>,
) -> store::labels::Labels {
    store::labels::Labels::new(
        ado.clone(),
        me.clone(),
        settings.runtime.executor.clone(),
        settings.intake.projects.clone(),
        policy.labels.clone(),
    )
}

/// Why an invocation cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A secret cannot be read.
    #[error("{0}")]
    Secret(String),
    /// The client cannot be built.
    #[error(transparent)]
    Ado(#[from] ado::SetupError),
    /// The memory cannot be used.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The executor cannot be used.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
}

impl From<&OpenError> for Exit {
    fn from(error: &OpenError) -> Self {
        match error {
            OpenError::Secret(_) | OpenError::Ado(_) => Self::Settings,
            OpenError::Store(error) => error.into(),
            OpenError::Runtime(error) => error.into(),
        }
    }
}
