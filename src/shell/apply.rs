//! Performs effects. Each has a key that is known before, a probe, and somebody who refuses a second copy, so that
//! doing it again after a crash or a lost answer finds the first one (reliability protocol, DESIGN §6).

mod people;
use super::{App, OpenError, brief, evidence, executor, older, progress, proposals, rules, talk};
use crate::{
    ado::{self, ItemChange, NewPullRequest, PullRequestChange, Written},
    decide::{Effect, Observation, Procedure, budget::item_is_spent},
    domain::{
        AgentResult, BranchName, Doubt, Identity, Labels, Outcome, PublishResult, PullRequest,
        PullRequestStatus, RULES_FILE, Repository, Run, Stage, StateCategory, Step, StepResult, Turn,
        TurnRecord, WorkItem, WorkerState,
    },
    runtime::{self, Left},
    words::{self, Escalation, Evidence},
};
use std::time::Duration;

/// What became of an effect.
#[derive(Debug)]
pub(super) enum Applied {
    /// Done, or found done.
    Done,
    /// The pull request, opened or adopted.
    PullRequest(Box<PullRequest>),
    /// Done, in this repository as it is called now and for this target.
    Moved(Box<Repository>, BranchName),
    /// Whether it went in could not be told: look again next tick.
    Unknown(String),
    /// The same, for words: nobody refuses a second copy, so they are not said again before the server is surely done.
    Unheard(String),
    /// The world changed under us: nothing was done, look again.
    Overtaken(String),
}

/// Why an effect could not be performed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error(transparent)]
    Ado(#[from] ado::Error),
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the agent cannot be called: {0}")]
    NoAgent(String),
    #[error("the run has no pull request to speak of")]
    NoPullRequest,
    #[error("the rules of the operator in ROUNDSMAN_BRIEF_FILE cannot be used: {0}")]
    HouseRules(String),
    #[error("no version of `{RULES_FILE}` on the target branch can be read: {0}")]
    Unreadable(String),
}

impl ApplyError {
    /// Whether the next tick may succeed without anybody's hand on this run: an outage, or what the operator mends for all
    /// runs at once (a token, the executor). What is left is wrong with this run, and fails again.
    pub(super) fn may_heal(&self) -> bool {
        match self {
            Self::Ado(why) => match why.fault() {
                ado::Fault::Transient => true,
                ado::Fault::Theirs => !why.is_not_found() && !why.is_rule(),
                ado::Fault::Ours => false,
            },
            Self::Runtime(_) | Self::Open(_) => true,
            Self::NoAgent(_) | Self::NoPullRequest | Self::Unreadable(_) => false,
            // Mended for all runs at once.
            Self::HouseRules(_) => true,
        }
    }
}

/// A fetch or publish step takes seconds; waiting for it here saves a cron period.
const SHORT_STEP: Duration = Duration::from_secs(20);

/// Performs one effect.
pub(super) async fn apply(
    app: &App,
    run: &Run,
    effect: &Effect,
    seen: &Observation,
) -> Result<Applied, ApplyError> {
    match effect {
        Effect::StartStep { turn, step } => start_step(app, run, turn, *step).await,
        Effect::StopWorkers => {
            app.runtime.stop(run.id).await?;
            Ok(Applied::Done)
        }
        Effect::PostReplies { turn } => talk::post_replies(app, run, turn).await,
        Effect::OpenPullRequest => open_pull_request(app, run).await,
        Effect::Do(procedure) => carry_out(app, run, procedure).await,
        Effect::Remind => talk::remind(app, run).await,
        Effect::Unsay { thread, comment } => talk::unsay(app, run, *thread, *comment).await,
        Effect::HandToPeople { reason, people, asks, pushed } => {
            let mut people = people.clone();
            if *pushed {
                people.extend(pusher(app, run).await);
            }
            hand_to_people(app, run, reason, people, *asks, seen).await
        }
        Effect::TakeBack(how) => people::take_back(app, run, how).await,
        Effect::Pause { on } => people::pause(app, run, *on).await,
        Effect::Answer(said) => people::answer(app, run, said).await,
        Effect::Release { outcome } => release(app, run, *outcome).await,
    }
}

async fn start_step(app: &App, run: &Run, turn: &Turn, step: Step) -> Result<Applied, ApplyError> {
    let rules = rules::in_force(app, run).await?;
    if let (Step::Fetch, Some(complaint)) = (step, &rules.complaint)
        && let unsettled @ Applied::Unknown(_) = rules::tell(app, run, complaint).await?
    {
        return Ok(unsettled);
    }
    if let Some(why) = rules.unreadable() {
        return Err(ApplyError::Unreadable(why.to_owned()));
    }
    let mut current = run.clone();
    if let Some((repository, target)) = moved(app, run, step).await? {
        (current.repository, current.target) = (repository, target);
    }
    if step == Step::Publish
        && let Some(why) = people::holds_publish(app, run).await?
    {
        return Ok(Applied::Overtaken(why));
    }
    let spec = brief::spec(app, &current, turn, step, &rules).await?;
    let handover = executor::handover(app, step)?;
    app.runtime.start(&spec, &handover).await?;
    match step {
        Step::Fetch | Step::Publish => app.runtime.wait(run.id, turn.number, step, SHORT_STEP).await?,
        Step::Agent => {}
    }
    let is_same = (&current.repository, &current.target) == (&run.repository, &run.target);
    Ok(if is_same { Applied::Done } else { Applied::Moved(Box::new(current.repository), current.target) })
}

/// Repository and target as they are now, for a step that uses the network: a repository keeps its id through a change
/// of name, its clone address does not. Until something was pushed, a run whose target is gone aims at the default
/// branch, which is how a renamed one looks; afterwards the target is the pull request's, and people's.
async fn moved(app: &App, run: &Run, step: Step) -> Result<Option<(Repository, BranchName)>, ApplyError> {
    match step {
        Step::Fetch | Step::Publish => {}
        Step::Agent => return Ok(None),
    }
    let known = &run.repository;
    // Disabled or not readable: git says so itself, and why.
    let Some(found) = app.repository(&known.project_id, &known.id).await? else { return Ok(None) };
    let now = found.default_branch.clone().filter(|now| *now != run.target);
    let target = match (now, step) {
        // One more read, for runs that aim elsewhere, before their first push. Publish judges against what fetch fetched.
        (Some(now), Step::Fetch)
            if run.pushed.is_none() && app.ado.branch_head(&found, &run.target).await?.is_none() =>
        {
            now
        }
        (Some(_) | None, Step::Fetch | Step::Agent | Step::Publish) => run.target.clone(),
    };
    Ok(Some((found, target)))
}

/// What title and description of the pull request are made from.
pub(super) async fn told(
    app: &App,
    run: &Run,
) -> Result<(String, words::pull_request::Description), ApplyError> {
    let left = |file| async move {
        match run.turns.last() {
            Some(turn) => app.runtime.left(run.id, turn.work(), &file).await,
            None => Ok(None),
        }
    };
    let title = left(Left::Title).await?.filter(|title| !title.trim().is_empty());
    let description = words::pull_request::Description {
        filled: left(Left::PullRequest).await?,
        ..measured(app, run).await
    };
    Ok((title.unwrap_or_else(|| run.title.clone()), description))
}

async fn open_pull_request(app: &App, run: &Run) -> Result<Applied, ApplyError> {
    let given_up = older::give_up(app, run).await?;
    if !matches!(given_up, Applied::Done | Applied::PullRequest(_)) {
        return Ok(given_up);
    }
    // Before the pull request: whatever is lost on the way, the run comes back here.
    if let unsettled @ Applied::Unknown(_) = proposals::file(app, run).await? {
        return Ok(unsettled);
    }
    let rules = rules::in_force(app, run).await?.rules();
    let (title, description) = told(app, run).await?;
    let is_draft = run.drafts(app.policy.narrowed(&rules).open_as_draft);
    // A person has to want it: a draft waits until one publishes it.
    let has_lost_tests = description.doubts.iter().any(|doubt| matches!(doubt, Doubt::TestRemoved { .. }));
    let mut new = NewPullRequest {
        source: run.branch(),
        target: run.target.clone(),
        title: words::pull_request::title(&title, run.id.item),
        description: words::pull_request::description(run, &description),
        is_draft: is_draft || has_lost_tests,
        work_item: Some(run.id.item),
        labels: Vec::new(),
        reviewers: rules.reviewers(),
    };
    let mut written = app.ado.create_pull_request(&run.repository, &new).await;
    if let Written::NotDone(why) = &written
        && why.is_rejected()
        && !new.reviewers.is_empty()
    {
        // A reviewer who left must not keep the work from everybody else.
        tracing::warn!(run.id = %run.id, "opened without the repository's own reviewers: {why}");
        new.reviewers.clear();
        written = app.ado.create_pull_request(&run.repository, &new).await;
    }
    match written {
        Written::Done(opened) => Ok(Applied::PullRequest(Box::new(opened))),
        // Azure DevOps has one already for this source and target: ours, from a life we do not remember.
        Written::NotDone(why) if why.is_exists() => {
            let found = app.ado.find_pull_requests(&run.repository, &run.branch()).await?;
            match found.into_iter().find(|pr| pr.status == PullRequestStatus::Active) {
                Some(found) => Ok(Applied::PullRequest(Box::new(found))),
                None => Ok(Applied::Unknown("a pull request exists but is not listed yet".into())),
            }
        }
        Written::NotDone(why) => Err(why.into()),
        Written::Unknown(why) => Ok(Applied::Unknown(why.to_string())),
    }
}

/// What the steps of the newest turn report: the agent's a claim, publish's measured. What cannot be read is left out.
async fn measured(app: &App, run: &Run) -> words::pull_request::Description {
    let mut from = words::pull_request::Description::default();
    let Some(work) = run.turns.last().map(TurnRecord::work) else { return from };
    for worker in app.runtime.workers_of(run.id).await.unwrap_or_default() {
        match worker.state {
            WorkerState::Finished(StepResult::Agent {
                result:
                    AgentResult::Worked {
                        summary,
                        checks_passed,
                        red_before,
                        review,
                        changed: _,
                        replies: _,
                        plan: _,
                        cut: _,
                    },
                usage: _,
            }) if worker.turn.number == work => {
                from.summary = Some(summary);
                from.checks_passed = checks_passed;
                from.red_before = red_before;
                from.review = review;
            }
            WorkerState::Finished(StepResult::Publish(PublishResult::Pushed {
                changed,
                doubts,
                head: _,
            })) if worker.turn.work() == work => {
                from.changed = Some(changed);
                from.doubts = doubts;
            }
            WorkerState::Finished(_)
            | WorkerState::Created
            | WorkerState::Running { .. }
            | WorkerState::Crashed { .. } => {}
        }
    }
    from
}

async fn carry_out(app: &App, run: &Run, procedure: &Procedure) -> Result<Applied, ApplyError> {
    let repository = &run.repository;
    let pull_request = run.pull_request.ok_or(ApplyError::NoPullRequest)?;
    let change = |change: PullRequestChange| async move {
        settle(app.ado.update_pull_request(repository, pull_request, &change).await)
    };
    match procedure {
        Procedure::Requeue { evaluation } => {
            asked(run, app.ado.requeue_evaluation(&repository.project, evaluation).await)
        }
        Procedure::RetryBuild { build } => asked(run, app.ado.retry_build(&repository.project, *build).await),
        Procedure::Publish => change(PullRequestChange { is_draft: Some(false), ..Default::default() }).await,
        Procedure::ArmAutoComplete => {
            let me = app.me().await?.id.clone();
            change(PullRequestChange { auto_complete_by: Some(me), ..Default::default() }).await
        }
        Procedure::LinkWorkItem => {
            // One that is there is not made again: a second copy is refused, or worse, accepted.
            let linked = app.ado.pull_request_work_items(repository, pull_request).await?;
            if linked.contains(&run.id.item) {
                return Ok(Applied::Done);
            }
            let links = vec![ado::PullRequestLink::new(repository, pull_request)];
            let change = ItemChange { links, ..ItemChange::default() };
            change_item(app, run, |_| Some(change.clone())).await
        }
    }
}

/// A build that cannot be had again was asked for as often as makes sense: once. What the checks say then decides.
fn asked<T>(run: &Run, written: Written<T>) -> Result<Applied, ApplyError> {
    match written {
        Written::NotDone(why) if why.fault() != ado::Fault::Transient => {
            tracing::warn!(run.id = %run.id, "a build could not be asked for again: {why}");
            Ok(Applied::Done)
        }
        Written::NotDone(_) | Written::Done(_) | Written::Unknown(_) => settle(written),
    }
}

fn settle<T>(written: Written<T>) -> Result<Applied, ApplyError> {
    match written {
        Written::Done(_) => Ok(Applied::Done),
        Written::NotDone(why) => Err(why.into()),
        Written::Unknown(why) => Ok(Applied::Unknown(why.to_string())),
    }
}

async fn hand_to_people(
    app: &App,
    run: &Run,
    reason: &str,
    people: Vec<Identity>,
    asks: bool,
    seen: &Observation,
) -> Result<Applied, ApplyError> {
    let labels = &app.policy.labels;
    let links = progress::links_seen(run, seen);
    let escalation = Escalation {
        reason: reason.to_owned(),
        tried: words::comments::tried(run),
        agent_text: run.said.as_ref().map(|said| said.summary.clone()),
        // Only where something is red: a green build has nothing to show.
        failing: links
            .build
            .as_ref()
            .and(seen.checks.known())
            .map(|checks| checks.failed_tasks.clone())
            .unwrap_or_default(),
        used: words::comments::used(run, &app.policy),
        evidence: Evidence::default(),
        people,
        asks,
        first: item_is_spent(run, &app.policy).and_then(|limit| limit.setting()),
    };
    let wanted = |item: &WorkItem, evidence: &Evidence, file: Option<&ado::AttachedFile>| {
        let escalation = Escalation { evidence: evidence.clone(), ..escalation.clone() };
        (!is_handed(app, &item.labels)).then(|| ItemChange {
            labels: Some(item.labels.changed(&[&labels.human], &[&labels.in_progress, &labels.ready])),
            history: Some(words::comments::escalated(run, &escalation, &links, labels)),
            files: file.into_iter().cloned().collect(),
            ..ItemChange::default()
        })
    };
    let (evidence, file) = evidence_of(app, run).await?;
    match change_item(app, run, |item| wanted(item, &evidence, file.as_ref())).await {
        // The service may not take the file: too many hang there, or the upload is not known. People are asked without it.
        Err(ApplyError::Ado(why)) if file.is_some() && why.fault() != ado::Fault::Transient => {
            tracing::warn!(run.id = %run.id, "people are asked without the evidence: {why}");
            change_item(app, run, |item| wanted(item, &Evidence::NotAttached, None)).await
        }
        applied => applied,
    }
}

/// The person who pushed to the run's branch last. People are asked also where that cannot be read.
async fn pusher(app: &App, run: &Run) -> Option<Identity> {
    let me = app.me().await.ok()?;
    match app.ado.last_pusher(&run.repository, &run.branch()).await {
        Ok(pusher) => pusher.filter(|who| who.id != me.id),
        Err(why) => {
            tracing::warn!(run.id = %run.id, "who pushed to the agent's branch could not be read: {why}");
            None
        }
    }
}

/// Where the evidence will be. Costs a read and an upload, where the operator wants it attached and people were not asked
/// yet; otherwise nothing.
async fn evidence_of(app: &App, run: &Run) -> Result<(Evidence, Option<ado::AttachedFile>), ApplyError> {
    if !app.policy.attach_evidence {
        return Ok((Evidence::WithOperator, None));
    }
    Ok(match app.ado.work_item(run.id.item).await? {
        Some(item) if !is_handed(app, &item.labels) => evidence::prepare(app, run, &item).await,
        Some(_) | None => (Evidence::WithOperator, None),
    })
}

fn is_handed(app: &App, labels: &Labels) -> bool {
    labels.has(&app.policy.labels.human) && !labels.has(&app.policy.labels.in_progress)
}

/// Lets go of the item: label, state and last words in one write. Where a rule of the process forbids the state, the
/// label goes alone and a person closes the item.
async fn release(app: &App, run: &Run, outcome: Outcome) -> Result<Applied, ApplyError> {
    let labels = &app.policy.labels;
    let done = match outcome {
        Outcome::Merged => completed_state(app, run).await?,
        // People decide what becomes of the item.
        Outcome::Green | Outcome::Declined | Outcome::HandedBack | Outcome::Superseded => None,
    };
    let owns_label = !matches!(run.stage, Stage::Escalated { .. }) && outcome != Outcome::Superseded;
    let lost: Vec<&str> =
        if owns_label { vec![&labels.in_progress, &labels.stop] } else { vec![&labels.human] };
    let history = words::comments::closing_history(run, outcome, &progress::links(run));
    let wanted = |item: &WorkItem, done: Option<&String>| {
        let loses = lost.iter().any(|label| item.labels.has(label)) && outcome != Outcome::Superseded;
        let closes = done.filter(|done| !item.state.eq_ignore_ascii_case(done));
        (loses || closes.is_some()).then(|| ItemChange {
            labels: loses.then(|| item.labels.changed(&[], &lost)),
            state: closes.cloned(),
            history: Some(history.clone()),
            ..ItemChange::default()
        })
    };
    match change_item(app, run, |item| wanted(item, done.as_ref())).await {
        Err(ApplyError::Ado(why)) if why.is_rule() && done.is_some() => {
            tracing::warn!(run.id = %run.id, "the item keeps its state: {why}");
            change_item(app, run, |item| wanted(item, None)).await
        }
        applied => applied,
    }
}

/// The state that means done for the item's type; none when it is over already or the type has none.
async fn completed_state(app: &App, run: &Run) -> Result<Option<String>, ApplyError> {
    let Some(item) = app.ado.work_item(run.id.item).await? else { return Ok(None) };
    let states = app.states(&item.project, &item.kind).await?;
    if super::candidate::category(&states, &item.state).is_over() {
        return Ok(None);
    }
    Ok(states
        .iter()
        .find(|(_, category)| **category == StateCategory::Completed)
        .map(|(name, _)| name.clone()))
}

/// How often a change is computed anew when somebody saves in between; people do not type faster.
const ITEM_TRIES: u32 = 3;

/// Reads the item, computes the change from that reading, writes it under `test /rev`. Nothing left to change is done.
async fn change_item(
    app: &App,
    run: &Run,
    wanted: impl Fn(&WorkItem) -> Option<ItemChange>,
) -> Result<Applied, ApplyError> {
    let mut last = String::new();
    for _ in 0..ITEM_TRIES {
        let Some(item) = app.ado.work_item(run.id.item).await? else {
            return Ok(Applied::Done);
        };
        let Some(change) = wanted(&item) else { return Ok(Applied::Done) };
        match app.ado.change_work_item(item.id, item.revision, &change).await {
            Written::Done(_) => return Ok(Applied::Done),
            Written::NotDone(why) if why.is_conflict() => last = why.to_string(),
            Written::NotDone(why) => return Err(why.into()),
            // Guarded by its revision: reading again tells.
            Written::Unknown(why) => last = why.to_string(),
        }
    }
    Ok(Applied::Overtaken(last))
}
