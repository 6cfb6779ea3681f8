//! The executor as settings want it: which runtime, behind which walls, what a step is handed, and what is swept.
//!
//! Translates; what a wall is in an engine is the runtime's business, what a number means the settings'.

use super::{App, OpenError, turnstile};
use crate::{
    agents,
    domain::{Run, RunId, Stage, Step, Turn},
    runtime::{
        Error, Handover, Runtime,
        docker::{self, DockerRuntime},
        environment::Decision,
        process::ProcessRuntime,
    },
    settings::{self, Egress, RuntimeKind, Sandbox, Settings},
};
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, fmt::Write as _};

/// The worker in a container, whichever image it is of.
const WORKER_OF_IMAGE: &str = "/opt/roundsman/bin/roundsman-worker";
/// A file of certificates has a few hundred KB.
const CERTIFICATES_LIMIT: u64 = 4 << 20;

/// The runtime that the settings name. Reaches nothing yet.
pub(super) fn open(
    settings: &Settings,
    worker: &[String],
    environment: BTreeMap<String, String>,
) -> Result<Box<dyn Runtime>, Error> {
    let sandbox = &settings.runtime.sandbox;
    Ok(match settings.runtime.kind {
        RuntimeKind::Process => {
            let root = settings.state_dir.join("runs");
            let environment = environment.into_iter().chain(proxies(sandbox)).collect();
            Box::new(ProcessRuntime::new(root, worker.to_vec()).with_environment(environment))
        }
        RuntimeKind::Docker => Box::new(DockerRuntime::connect(options(settings))?),
    })
}

fn options(settings: &Settings) -> docker::Options {
    let sandbox = &settings.runtime.sandbox;
    let is_remote = sandbox.engine.as_ref().is_some_and(|engine| !engine.starts_with("unix://"));
    let tls = sandbox.engine_certificates.as_ref().filter(|_| is_remote).map(|folder| docker::TlsFiles {
        ca: folder.join("ca.pem"),
        cert: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    });
    docker::Options {
        host: sandbox.engine.clone(),
        tls,
        memory_bytes: sandbox.memory,
        cpus_milli: sandbox.milli_cpus.into(),
        pids: sandbox.processes.into(),
        oci_runtime: sandbox.isolation.clone(),
        egress: egress(settings),
        environment: proxies(sandbox).collect(),
        retention: sandbox.retention,
        ..docker::Options::new(scope(settings), sandbox.image.as_str())
    }
}

/// Eight digits that tell this installation from every other one that uses the same engine.
fn scope(settings: &Settings) -> String {
    let said = format!("{}\n{}", settings.ado.url, settings.runtime.executor);
    Sha256::digest(said).iter().take(4).fold(String::new(), |mut hex, byte| {
        // Writing to a `String` cannot fail.
        _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn egress(settings: &Settings) -> docker::Egress {
    let sandbox = &settings.runtime.sandbox;
    let allow = match &sandbox.egress {
        Egress::Listed(hosts) => hosts.clone(),
        // Of all that may be called: each call says which of them are its own.
        Egress::OfTheAgent => {
            let offered = settings.policy().offer.agents;
            let mut all: Vec<String> = Vec::new();
            for agent in
                std::iter::once(&settings.agent.name).chain(&offered).filter_map(|name| agents::find(name))
            {
                all.extend(
                    agent.hosts.iter().filter(|host| !all.contains(host)).cloned().collect::<Vec<_>>(),
                );
            }
            all
        }
    };
    if allow.is_empty() {
        return docker::Egress::Nothing;
    }
    let upstream = sandbox.proxy.as_ref().map(|proxy| proxy.as_str().trim_end_matches('/').to_owned());
    docker::Egress::Gate { allow, upstream }
}

/// What this agent may reach, where the operator left that to the agents and items may choose between several; else the
/// executor's list holds.
pub(super) fn hosts(settings: &Settings, agent: &agents::Agent) -> Option<Vec<String>> {
    let is_left_to_agents = settings.runtime.sandbox.egress == Egress::OfTheAgent;
    (is_left_to_agents && !settings.policy().offer.agents.is_empty()).then(|| agent.hosts.clone())
}

/// The way out of a company network, in both spellings that programs look for.
fn proxies(sandbox: &Sandbox) -> impl Iterator<Item = (String, String)> {
    let proxy = sandbox.proxy.as_ref().map(ToString::to_string);
    let not = (!sandbox.no_proxy.is_empty()).then(|| sandbox.no_proxy.join(","));
    let both = |name: &str, value: Option<String>| {
        let names = [name.to_owned(), name.to_lowercase()];
        value.into_iter().flat_map(move |value| names.clone().map(|name| (name, value.clone())))
    };
    both("HTTPS_PROXY", proxy.clone()).chain(both("HTTP_PROXY", proxy)).chain(both("NO_PROXY", not))
}

/// The image of the agent's step where it is not the worker image: the operator's for this repository, else the
/// repository's own where that is allowed.
pub(super) async fn environment(app: &App, run: &Run, turn: &Turn) -> Result<Decision, Error> {
    let settings::Runtime { kind, sandbox, .. } = &app.settings.runtime;
    match kind {
        RuntimeKind::Process => Ok(Decision::default()),
        RuntimeKind::Docker => {
            let repository = &run.repository;
            if let Some(named) = sandbox.image_of(&repository.project, &repository.name) {
                return Ok(Decision { image: Some(named.to_owned()), ..Decision::default() });
            }
            if !sandbox.build_images {
                return Ok(Decision::default());
            }
            let decision = app.runtime.environment(run.id, turn).await?;
            for said in &decision.told {
                tracing::info!(run.id = %run.id, "the repository's environment: {said}");
            }
            Ok(decision)
        }
    }
}

/// The worker program as the step itself finds it.
pub(super) fn worker(runtime: &settings::Runtime, own: &[String]) -> Vec<String> {
    match runtime.kind {
        RuntimeKind::Process => own.to_vec(),
        RuntimeKind::Docker => vec![WORKER_OF_IMAGE.to_owned()],
    }
}

/// What a step is handed. The agent's never holds a token of Azure DevOps (promise *no-secret*).
pub(super) fn handover(app: &App, step: Step) -> Result<Handover, OpenError> {
    let certificates = certificates(&app.settings.runtime.sandbox)?;
    Ok(match step {
        Step::Fetch | Step::Publish => {
            Handover { credential: Some(app.credential()?), certificates, ..Handover::default() }
        }
        Step::Agent => {
            let agent = &app.settings.agent;
            let environment = agent.environment.iter().chain(&agent.checks_environment);
            let environment = environment.map(|(name, value)| (name.clone(), value.clone())).collect();
            Handover { environment, certificates, ..Handover::default() }
        }
    })
}

fn certificates(sandbox: &Sandbox) -> Result<Option<String>, OpenError> {
    let Some(path) = &sandbox.certificates else { return Ok(None) };
    let bad =
        |why: &str| OpenError::Secret(format!("the file that ROUNDSMAN_RUNTIME_CERTIFICATES names {why}"));
    let size = std::fs::metadata(path).map_err(|e| bad(&format!("cannot be read: {}", e.kind())))?.len();
    if size > CERTIFICATES_LIMIT {
        return Err(bad("is too large for certificates"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| bad(&format!("cannot be read: {}", e.kind())))?;
    if text.contains("-----BEGIN CERTIFICATE-----") {
        Ok(Some(text))
    } else {
        Err(bad("holds no certificate"))
    }
}

/// How many runs are known by heart when the executor is swept.
const KNOWN_RUNS: u32 = 1_000;

/// Removes what runs left that are over, when their time is up. By what the store knows to be over, never by "not
/// mine": a run that the store does not know is only swept when a later run of its item is over.
pub(super) async fn sweep(app: &App) {
    let skipped = |why: String| tracing::warn!("the executor could not be swept: {why}");
    let left = match app.runtime.leftovers().await {
        Ok(left) => left,
        Err(why) => return skipped(why.to_string()),
    };
    if left.is_empty() {
        return;
    }
    let before = crate::decide::deadline::earlier(app.now, app.settings.runtime.sandbox.retention);
    if let Err(why) = app.runtime.remove_unused(before, app.now).await {
        tracing::warn!("images that nobody uses could not be removed: {why}");
    }
    let known = match app.store.recent(KNOWN_RUNS).await {
        Ok(known) => known,
        Err(why) => return skipped(why.to_string()),
    };
    for run in left {
        let own = match app.store.load(run).await {
            Ok(own) => own,
            Err(why) => return skipped(why.to_string()),
        };
        let judge = match &own {
            Some(own) => Some(own),
            None => {
                known.iter().filter(|other| is_later(other.id, run)).max_by_key(|other| other.id.revision)
            }
        };
        if judge.is_some_and(|judge| is_over(app, judge)) {
            turnstile::remove(app, run);
            if let Err(why) = app.runtime.remove(run).await {
                tracing::warn!(run.id = %run, "what the run left could not be removed: {why}");
            }
        }
    }
}

fn is_later(other: RunId, than: RunId) -> bool {
    other.item == than.item && other.revision > than.revision
}

fn is_over(app: &App, run: &Run) -> bool {
    match &run.stage {
        Stage::Closed { at, .. } => {
            crate::decide::deadline::later(*at, app.settings.runtime.sandbox.retention) <= app.now
        }
        Stage::Claimed
        | Stage::Working { .. }
        | Stage::Pushed { .. }
        | Stage::InReview { .. }
        | Stage::Escalated { .. } => false,
    }
}
