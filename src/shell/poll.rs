//! One poll: brake, executor, candidates, admission, claims, first steps.
//!
//! An idle poll is one query per project and nothing else. Nothing is claimed that could not be finished.

use super::{
    App, claim,
    report::{Line, Report},
    route, tick,
};
use crate::{
    ado,
    decide::{self, Admission, Candidate, Gap, Load, RefuseReason, Seen, Source, admit},
    domain::{Link, Policy, Run, Stage, StateCategory, WorkItem, WorkItemId},
    exit::Exit,
    store,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// Names under which programs leave their sign of life.
pub const POLLER: &str = "poller";
/// See [`POLLER`].
pub const WATCHER: &str = "watcher";

/// Candidates looked at per project and poll: a batch read takes 200, and capacity is far below.
const CANDIDATES: u32 = 200;

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
    report.count(&app.ado.calls());
    report
}

async fn try_poll(app: &App, mode: Mode, report: &mut Report) -> Result<(), Failure> {
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

    let mut ids: BTreeSet<WorkItemId> = BTreeSet::new();
    let mut trouble = None;
    for project in &app.settings.intake.projects {
        match app.ado.ids_with_label(project, &app.policy.labels.ready, CANDIDATES).await {
            Ok(found) => ids.extend(found),
            // A project that was renamed must not starve the others; what is wrong for all is wrong for the next too.
            Err(why) if why.is_not_found() => trouble = Some(why),
            Err(why) => return Err(why.into()),
        }
    }
    let told = trouble.map_or(Ok(()), |why| Err(why.into()));
    if ids.is_empty() {
        return told;
    }
    // Before anything is claimed: is the token ours?
    let me = app.me().await?;
    if app.settings.ado.identity.as_ref().is_some_and(|pinned| *pinned != me.id) {
        return Err(Failure::WrongIdentity { name: me.name.clone() });
    }
    let ids: Vec<WorkItemId> = ids.into_iter().collect();
    let mut items = app.ado.work_items_with_links(&ids).await?;
    items.sort_by(decide::admit::order);
    let mut load = load(app).await?;
    for item in items {
        let line = consider(app, mode, &item, &mut load).await;
        report.lines.push(line);
    }
    told
}

/// Why nothing may be claimed, before any network call.
pub fn held(policy: &Policy) -> Option<String> {
    (!policy.brake.allows_claims()).then(|| RefuseReason::Brake(policy.brake).to_string())
}

/// Claims without a watcher would be started and then left alone.
async fn nobody_watches(app: &App) -> Result<Option<String>, store::Error> {
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
    let mut load =
        Load { claims_today: app.store.opened_since(start_of_day(app.now)).await?, ..Load::default() };
    for run in app.store.in_flight().await? {
        add(&mut load, &run);
    }
    Ok(load)
}

/// Escalated runs hold neither their item nor capacity: labelling again is how a person starts anew.
fn add(load: &mut Load, run: &Run) {
    match run.stage {
        Stage::Claimed | Stage::Working { .. } | Stage::Pushed { .. } | Stage::InReview { .. } => {
            load.items.insert(run.id.item);
            load.runs += 1;
            *load.by_repository.entry(run.repository.id.clone()).or_default() += 1;
        }
        Stage::Escalated { .. } | Stage::Closed { .. } => {}
    }
}

/// Days are UTC days: everywhere the same.
fn start_of_day(now: Timestamp) -> Timestamp {
    const DAY: i64 = 24 * 3600;
    let second = now.as_second();
    Timestamp::from_second(second - second.rem_euclid(DAY)).unwrap_or(now)
}

async fn consider(app: &App, mode: Mode, item: &WorkItem, load: &mut Load) -> Line {
    let line = |what, why: String| Line { run: None, item: item.id.0, what, why, stage: None, failed: false };
    let refused = |reason: RefuseReason| line("refused", reason.to_string());
    // Cheap first: what is full needs no further reads.
    if load.runs >= app.policy.max_runs {
        return refused(RefuseReason::CapacityFull);
    }
    if load.claims_today >= app.policy.max_claims_per_day {
        return refused(RefuseReason::DayFull);
    }
    let (known, admission) = match look(app, item, load).await {
        Ok(found) => found,
        Err(why) => return Line { failed: true, ..line("failed", why.to_string()) },
    };
    match (admission, known.repository, known.labelled) {
        (Admission::Refused(reason), _, _) => refused(reason),
        (Admission::Admitted, Ok(repository), Some(labelled)) => {
            if mode == Mode::DryRun {
                load.runs += 1;
                *load.by_repository.entry(repository.id.clone()).or_default() += 1;
                return line("would-claim", format!("it would be claimed for {}", repository.path()));
            }
            match claim::claim(app, item, repository, &labelled).await {
                Ok(claim::Claimed::Ours(run)) => {
                    load.claims_today += 1;
                    add(load, &run);
                    let started = tick::visit(app, None, *run).await;
                    Line { what: "claimed", why: format!("claimed; {}", started.why), ..started }
                }
                Ok(claim::Claimed::ByOther(why)) => line("lost", why),
                Err(why) => Line { failed: true, ..line("failed", why.to_string()) },
            }
        }
        (Admission::Admitted, _, _) => refused(RefuseReason::NobodyLabelled),
    }
}

/// What was read about one candidate.
pub(super) struct Known {
    labelled: Option<crate::domain::LabelledBy>,
    repository: Result<crate::domain::Repository, String>,
}

pub(super) async fn look(app: &App, item: &WorkItem, load: &Load) -> Result<(Known, Admission), ado::Error> {
    let labels = &app.policy.labels;
    let states = app.states(&item.project, &item.kind).await?;
    let labelled = app.ado.labelled_by(item.id, &labels.ready).await?;
    let handed_to_people = if item.labels.has(&labels.human) {
        app.ado.labelled_by(item.id, &labels.human).await?
    } else {
        None
    };
    let repository = route::repository(app, item).await?;
    let candidate = Candidate {
        item,
        category: category(&states, &item.state),
        labelled: labelled.as_ref(),
        handed_to_people: handed_to_people.as_ref(),
        predecessors: predecessors(app, item).await,
        repository: repository.as_ref().map_err(Clone::clone),
    };
    let admission = admit(&candidate, load, &app.policy);
    Ok((Known { labelled, repository }, admission))
}

/// What a state means; one that the type does not list is nothing we know.
pub(super) fn category(
    states: &std::collections::BTreeMap<String, StateCategory>,
    state: &str,
) -> StateCategory {
    states
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(state))
        .map_or(StateCategory::Other, |(_, category)| *category)
}

/// Items that this one waits for and that are not over.
async fn predecessors(app: &App, item: &WorkItem) -> Seen<Vec<WorkItemId>> {
    let ids: Vec<WorkItemId> = item
        .links
        .iter()
        .filter_map(|link| match link {
            Link::Predecessor(id) => Some(*id),
            Link::Branch { .. } | Link::PullRequest { .. } => None,
        })
        .collect();
    if ids.is_empty() {
        return Seen::Known(Vec::new());
    }
    let gap = |why: String| Seen::Unknown(Gap { source: Source::Item, why });
    let found = match app.ado.work_items(&ids).await {
        Ok(found) => found,
        Err(why) => return gap(why.to_string()),
    };
    // One that we may not read is one that we must wait for.
    let mut open: Vec<WorkItemId> =
        ids.iter().copied().filter(|id| !found.iter().any(|other| other.id == *id)).collect();
    for other in found {
        match app.states(&other.project, &other.kind).await {
            Ok(states) if category(&states, &other.state).is_over() => {}
            Ok(_) => open.push(other.id),
            Err(why) => return gap(why.to_string()),
        }
    }
    open.sort_unstable();
    Seen::Known(open)
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
            Self::WrongIdentity { .. } => Exit::Refused,
        }
    }
}
