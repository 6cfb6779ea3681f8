//! One poll: brake, executor, candidates, admission, claims, first steps.
//!
//! An idle poll is one query per project and nothing else. Nothing is claimed that could not be finished.

use super::{
    App,
    candidate::{Found, look, start_of_day},
    claim, notice,
    report::{Line, Report},
    ring, tick,
};
use crate::{
    ado,
    decide::{Load, RefuseReason, budget::is_under_way, queue},
    domain::{Policy, Run, Stage, WorkItem, WorkItemId},
    exit::Exit,
    store,
};
use jiff::SignedDuration;
use std::collections::BTreeSet;

/// Names under which programs leave their sign of life.
pub const POLLER: &str = "poller";
/// See [`POLLER`].
pub const WATCHER: &str = "watcher";

/// Numbers of candidates read with one query: the service ends a query at 20,000 results, and a quarter of it is a page
/// of 50 KB. A backlog of any size that a team has is one call.
const CANDIDATES: u32 = 5_000;
/// Items read in one batch, and let go before the next: the most that the service gives.
const BATCH: usize = 200;
/// Lines about items that wait only because nothing more can be claimed; beyond, they are counted.
const LINES: usize = 200;

/// Whether anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Claims and starts.
    Real,
    /// Says what it would do.
    DryRun,
}

/// Polls once.
pub async fn poll(app: &App, mode: Mode) -> Report {
    let mut report = Report::new(POLLER);
    if let Err(failure) = try_poll(app, mode, &mut report).await {
        report.exit = Some(failure.exit());
        report.held = Some(failure.to_string());
        tracing::error!("{failure}");
    }
    // What a first step came to is told now: where memory is short, nobody would know of it later.
    if mode == Mode::Real && report.lines.iter().any(|line| line.what == "claimed") {
        report.rings = ring::deliver(app).await;
    }
    report.count(&app.ado.calls());
    report
}

async fn try_poll(app: &App, mode: Mode, report: &mut Report) -> Result<(), Failure> {
    app.check_brief()?;
    if let Some(held) = held(&app.policy) {
        report.held = Some(held);
        return Ok(());
    }
    if mode == Mode::Real {
        app.store.beat(POLLER, app.now).await?;
    }
    if let Some(held) = nobody_watches(app).await? {
        tracing::warn!("{held}");
        report.held = Some(held);
        if mode == Mode::Real {
            return Ok(());
        }
    }
    app.runtime.health().await?;

    let (ids, told) = labelled(app).await?;
    if ids.is_empty() {
        return told;
    }
    // Before anything is claimed: is the token ours?
    app.check_who_we_are().await?;
    let mut load = load(app).await?;
    if app.facts_unknown() {
        report.exit = Some(Exit::SomeFailed);
    }
    if let Some(reason) = load.full(&app.policy) {
        // What is full needs no further reads.
        report.not_looked_at = u32::try_from(ids.len().saturating_sub(LINES)).unwrap_or(u32::MAX);
        let said = reason.to_string();
        report.lines.extend(ids.iter().take(LINES).map(|id| line(*id, "refused", said.clone())));
        return told;
    }
    let chosen = choose(app, ids, report).await?;
    for item in app.ado.work_items_with_links(&chosen).await?.into_iter().collect::<Ordered>().0 {
        let line = consider(app, mode, &item, &mut load).await;
        report.lines.push(line);
    }
    told
}

/// Items that carry the label, over all projects that can be searched, and what could not be searched. One project that
/// was renamed or is closed to us must not starve the others; what is wrong for all is wrong for the next too.
async fn labelled(app: &App) -> Result<(BTreeSet<WorkItemId>, Result<(), Failure>), ado::Error> {
    let mut ids = BTreeSet::new();
    let mut told = Ok(());
    for project in &app.settings.intake.projects {
        match app.ado.ids_with_label(project, &app.policy.labels.ready, CANDIDATES).await {
            Ok(found) => ids.extend(found),
            Err(why) if why.is_about_one_thing() => {
                tracing::warn!("{project} was not searched for work: {why}");
                told = Err(why.into());
            }
            Err(why) => return Err(why),
        }
    }
    Ok((ids, told))
}

/// The items that are looked at closely in this poll. Of a large backlog only places in the queue are kept, batch by
/// batch.
async fn choose(
    app: &App,
    ids: BTreeSet<WorkItemId>,
    report: &mut Report,
) -> Result<Vec<WorkItemId>, ado::Error> {
    let ids: Vec<WorkItemId> = ids.into_iter().collect();
    if ids.len() <= queue::LOOKS {
        return Ok(ids);
    }
    let labels = &app.policy.labels;
    let may_be_claimed = |item: &WorkItem| {
        let holds = [&labels.in_progress, &labels.paused, &labels.stop];
        !holds.into_iter().any(|label| item.labels.has(label))
    };
    let mut places = Vec::new();
    for batch in ids.chunks(BATCH) {
        let items = app.ado.work_items(batch).await?;
        places.extend(items.iter().filter(|item| may_be_claimed(item)).map(queue::Place::of));
    }
    let seed = app.now.as_second().unsigned_abs();
    let chosen: Vec<WorkItemId> = queue::to_look_at(places, seed).iter().map(|place| place.id).collect();
    report.not_looked_at = u32::try_from(ids.len() - chosen.len()).unwrap_or(u32::MAX);
    Ok(chosen)
}

/// Items in the order of the queue.
struct Ordered(Vec<WorkItem>);

impl FromIterator<WorkItem> for Ordered {
    fn from_iter<I: IntoIterator<Item = WorkItem>>(items: I) -> Self {
        let mut all: Vec<WorkItem> = items.into_iter().collect();
        all.sort_by_key(queue::Place::of);
        Self(all)
    }
}

fn line(item: WorkItemId, what: &'static str, why: String) -> Line {
    Line { run: None, item: item.0, what, why, stage: None, failed: false }
}

/// Why nothing may be claimed, before any network call.
pub fn held(policy: &Policy) -> Option<String> {
    (!policy.brake.allows_claims()).then(|| RefuseReason::Brake(policy.brake).to_string())
}

/// Why no poll finds an item of this project.
pub(super) fn not_searched(app: &App, project: &str) -> Option<String> {
    let is_searched = app.settings.intake.projects.iter().any(|one| one.eq_ignore_ascii_case(project));
    (!is_searched).then(|| format!("{project} is not among ROUNDSMAN_INTAKE_PROJECTS"))
}

/// Claims without a watcher would be started and then left alone.
pub(super) async fn nobody_watches(app: &App) -> Result<Option<String>, store::Error> {
    if !app.store.keeps_beats() {
        return Ok(None);
    }
    let silence = SignedDuration::try_from(app.settings.watcher_silence).unwrap_or(SignedDuration::MAX);
    Ok(match app.store.last_beat(WATCHER).await? {
        Some(at) if app.now.duration_since(at) <= silence => None,
        Some(at) => {
            Some(format!("nothing is claimed: the watcher was last seen at {at}; is its schedule running?"))
        }
        None => Some("nothing is claimed: no watcher has run yet; start roundsman-watcher first".into()),
    })
}

pub(super) async fn load(app: &App) -> Result<Load, store::Error> {
    let runs = app.store.in_flight().await?;
    let claims_today = app.store.opened_since(start_of_day(app.now)).await?;
    let facts = app.facts_with(Some(&runs)).await;
    let mut load = Load {
        claims_today,
        held: facts.refusal(&app.policy, runs.iter().any(is_under_way), app.now),
        ..Load::default()
    };
    for (repository, outage) in facts.pipelines {
        let is_held = outage.until > app.now || outage.trying.is_some();
        let reason = RefuseReason::Outage { what: outage.what, until: outage.until };
        if is_held { &mut load.down } else { &mut load.tried }.insert(repository, reason);
    }
    for run in runs {
        add(&mut load, &run);
    }
    Ok(load)
}

/// Escalated runs hold no capacity, but their item: labelling it again lets them go on.
fn add(load: &mut Load, run: &Run) {
    match run.stage {
        Stage::Claimed | Stage::Working { .. } | Stage::Pushed { .. } | Stage::InReview { .. } => {
            load.items.insert(run.id.item);
            load.runs += 1;
            *load.by_repository.entry(run.repository.id.clone()).or_default() += 1;
        }
        Stage::Escalated { .. } => {
            load.with_people.insert(run.id.item);
        }
        Stage::Closed { .. } => {}
    }
}

pub(super) async fn consider(app: &App, mode: Mode, item: &WorkItem, load: &mut Load) -> Line {
    let line = |what, why: String| line(item.id, what, why);
    // Cheap first: what is full needs no further reads.
    if let Some(reason) = load.full(&app.policy) {
        return line("refused", reason.to_string());
    }
    let looked = match look(app, item, load).await {
        Ok(looked) => looked,
        Err(why) => return Line { failed: true, ..line("failed", why.to_string()) },
    };
    let requested_by = looked.labelled.as_ref().map(|labelled| labelled.by.clone());
    let (repository, choices, earlier) = match looked.found {
        Found::Good { repository, choices, earlier } => (repository, choices, earlier),
        Found::Refused(ref reason) => {
            let said = line("refused", reason.to_string());
            if mode == Mode::Real
                && let Err(why) = notice::tell(app, item, &looked, reason).await
            {
                return Line {
                    failed: true,
                    why: format!("{reason}; people could not be told: {why}"),
                    ..said
                };
            }
            return said;
        }
    };
    if mode == Mode::DryRun {
        load.claim(&repository);
        return line("would-claim", format!("it would be claimed for {}", repository.path()));
    }
    let wanted = claim::Wanted { repository, requested_by, choices, earlier };
    match claim::claim(app, item, wanted).await {
        Ok(claim::Claimed::Ours(run)) => {
            load.items.insert(run.id.item);
            load.claim(&run.repository);
            let started = tick::visit(app, None, *run).await;
            Line { what: "claimed", why: format!("claimed; {}", started.why), ..started }
        }
        Ok(claim::Claimed::ByOther(why)) => line("lost", why),
        Err(why) => Line { failed: true, ..line("failed", why.to_string()) },
    }
}

/// What ends a whole invocation.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Azure DevOps.
    #[error("{0}; {hint}", hint = .0.hint())]
    Ado(#[from] ado::Error),
    /// The memory.
    #[error(transparent)]
    Store(store::Error),
    /// The executor.
    #[error(transparent)]
    Runtime(#[from] crate::runtime::Error),
    /// The token belongs to somebody else than the settings say.
    #[error("the token belongs to `{name}`, not to the identity in ROUNDSMAN_ADO_IDENTITY; nothing was done")]
    WrongIdentity {
        /// Whose it is.
        name: String,
    },
    /// The address leads to another organization than the settings say.
    #[error(
        "the address leads to the organization {found}, not to the one in ROUNDSMAN_ADO_ORGANIZATION; nothing was done"
    )]
    WrongOrganization {
        /// Its id, or that it tells none.
        found: String,
    },
    /// The operator's own file for briefs.
    #[error("{0}; nothing was done")]
    HouseRules(String),
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        match error {
            // Where Azure DevOps is the memory, its troubles have its hints.
            store::Error::Ado(error) => Self::Ado(error),
            store::Error::Busy
            | store::Error::Newer { .. }
            | store::Error::IllegalMove { .. }
            | store::Error::Unusable { .. }
            | store::Error::TooMany { .. }
            | store::Error::Record { .. } => Self::Store(error),
        }
    }
}

impl Failure {
    /// What cron is told.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Ado(error) => match error.fault() {
                ado::Fault::Transient => Exit::Unreachable,
                ado::Fault::Ours | ado::Fault::Theirs => Exit::Refused,
            },
            Self::Store(error) => error.into(),
            Self::Runtime(error) => error.into(),
            Self::WrongIdentity { .. } | Self::WrongOrganization { .. } => Exit::Refused,
            Self::HouseRules(_) => Exit::Settings,
        }
    }
}
