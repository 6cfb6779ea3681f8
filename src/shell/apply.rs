//! Performs effects. Each has a key that is known before, a probe, and somebody who refuses a second copy, so that
//! doing it again after a crash or a lost answer finds the first one (reliability protocol, DESIGN §6).

use super::{App, OpenError, brief, executor, older, progress};
use crate::{
    ado::{self, ItemChange, NewPullRequest, PullRequestChange, Written},
    decide::{Effect, Procedure},
    domain::{
        Labels, Outcome, PullRequest, PullRequestStatus, Run, Stage, StateCategory, Step, Trigger, Turn,
        WorkItem,
    },
    runtime::{self, Left},
    words::{self, Escalation},
};
use std::time::Duration;

/// What became of an effect.
#[derive(Debug)]
pub(super) enum Applied {
    /// Done, or found done.
    Done,
    /// The pull request, opened or adopted.
    PullRequest(Box<PullRequest>),
    /// Whether it went in could not be told: look again next tick.
    Unknown(String),
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
            Self::NoAgent(_) | Self::NoPullRequest => false,
        }
    }
}

/// A fetch or publish step takes seconds; waiting for it here saves a cron period.
const SHORT_STEP: Duration = Duration::from_secs(20);

/// Performs one effect.
pub(super) async fn apply(app: &App, run: &Run, effect: &Effect) -> Result<Applied, ApplyError> {
    match effect {
        Effect::StartStep { turn, step } => start_step(app, run, turn, *step).await,
        Effect::StopWorkers => {
            app.runtime.stop(run.id).await?;
            Ok(Applied::Done)
        }
        Effect::PostReplies { turn } => post_replies(app, run, turn).await,
        Effect::OpenPullRequest => open_pull_request(app, run).await,
        Effect::Do(procedure) => carry_out(app, run, procedure).await,
        Effect::Remind => remind(app, run).await,
        Effect::HandToPeople { reason } => hand_to_people(app, run, reason).await,
        Effect::Release { outcome } => release(app, run, *outcome).await,
    }
}

async fn start_step(app: &App, run: &Run, turn: &Turn, step: Step) -> Result<Applied, ApplyError> {
    let spec = brief::spec(app, run, turn, step).await?;
    let handover = executor::handover(app, step)?;
    app.runtime.start(&spec, &handover).await?;
    match step {
        Step::Fetch | Step::Publish => app.runtime.wait(run.id, turn.number, step, SHORT_STEP).await?,
        Step::Agent => {}
    }
    Ok(Applied::Done)
}

/// One reply per thread, keyed by the comment that it answers: a thread in which we spoke after it is answered.
async fn post_replies(app: &App, run: &Run, turn: &Turn) -> Result<Applied, ApplyError> {
    let Trigger::Threads { awaiting, .. } = &turn.trigger else { return Ok(Applied::Done) };
    let pull_request = run.pull_request.ok_or(ApplyError::NoPullRequest)?;
    let me = app.me().await?;
    let threads = app.ado.threads(&run.repository, pull_request).await?;
    let head = run.pushed.as_ref().map(|pushed| &pushed.head);
    let moved = head != turn.base.as_ref();
    for asked in awaiting {
        let Some(thread) = threads.iter().find(|thread| thread.id == asked.thread) else { continue };
        if thread.comments.iter().any(|comment| comment.author.id == me.id && comment.id > asked.comment) {
            continue;
        }
        let said = app.runtime.left(run.id, turn.work(), &Left::Reply(asked.thread)).await?;
        let text = match (said, head) {
            (Some(said), Some(head)) if moved => words::comments::reply_to_thread(&said, head),
            (Some(said), _) => words::comments::nothing_changed_reply(&said),
            (None, Some(head)) => words::comments::reply_without_agent_text(head),
            (None, None) => continue,
        };
        match app.ado.reply(&run.repository, pull_request, asked.thread, &text).await {
            Written::Done(_) => {}
            Written::NotDone(why) => return Err(why.into()),
            // Said once is better than said twice: the next tick reads the thread before it speaks.
            Written::Unknown(why) => return Ok(Applied::Unknown(why.to_string())),
        }
    }
    Ok(Applied::Done)
}

async fn open_pull_request(app: &App, run: &Run) -> Result<Applied, ApplyError> {
    match older::give_up(app, run).await? {
        Applied::Done | Applied::PullRequest(_) => {}
        unsettled @ (Applied::Unknown(_) | Applied::Overtaken(_)) => return Ok(unsettled),
    }
    let left = |file| async move {
        match run.turns.last() {
            Some(turn) => app.runtime.left(run.id, turn.work(), &file).await,
            None => Ok(None),
        }
    };
    let title = left(Left::Title).await?.filter(|title| !title.trim().is_empty());
    let description =
        words::pull_request::Description { filled: left(Left::PullRequest).await?, ..Default::default() };
    let new = NewPullRequest {
        source: run.branch(),
        target: run.target.clone(),
        title: words::pull_request::title(title.as_deref().unwrap_or(&run.title), run.id.item),
        description: words::pull_request::description(run, &description),
        is_draft: run.opens_as_draft(app.policy.open_as_draft),
        work_item: Some(run.id.item),
        labels: Vec::new(),
    };
    match app.ado.create_pull_request(&run.repository, &new).await {
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

async fn carry_out(app: &App, run: &Run, procedure: &Procedure) -> Result<Applied, ApplyError> {
    let repository = &run.repository;
    let pull_request = run.pull_request.ok_or(ApplyError::NoPullRequest)?;
    let change = |change: PullRequestChange| async move {
        settle(app.ado.update_pull_request(repository, pull_request, &change).await)
    };
    match procedure {
        Procedure::Requeue { evaluation } => {
            settle(app.ado.requeue_evaluation(&repository.project, evaluation).await)
        }
        Procedure::RetryBuild { build } => settle(app.ado.retry_build(&repository.project, *build).await),
        Procedure::Publish => change(PullRequestChange { is_draft: Some(false), ..Default::default() }).await,
        Procedure::ArmAutoComplete => {
            let me = app.me().await?.id.clone();
            change(PullRequestChange { auto_complete_by: Some(me), ..Default::default() }).await
        }
        Procedure::LinkWorkItem => {
            let links = vec![ado::PullRequestLink::new(repository, pull_request)];
            let change = ItemChange { links, ..ItemChange::default() };
            change_item(app, run, |_| Some(change.clone())).await
        }
    }
}

fn settle<T>(written: Written<T>) -> Result<Applied, ApplyError> {
    match written {
        Written::Done(_) => Ok(Applied::Done),
        Written::NotDone(why) => Err(why.into()),
        Written::Unknown(why) => Ok(Applied::Unknown(why.to_string())),
    }
}

async fn remind(app: &App, run: &Run) -> Result<Applied, ApplyError> {
    let pull_request = run.pull_request.ok_or(ApplyError::NoPullRequest)?;
    let reviewers = app.ado.reviewers(&run.repository, pull_request).await?;
    let mut people: Vec<_> = reviewers.into_iter().map(|reviewer| reviewer.who).collect();
    if people.is_empty() {
        people.extend(run.requested_by.clone());
    }
    let text = words::comments::reminder(&people);
    settle(app.ado.open_thread(&run.repository, pull_request, &text, ado::ThreadMark::Closed).await)
}

async fn hand_to_people(app: &App, run: &Run, reason: &str) -> Result<Applied, ApplyError> {
    let labels = &app.policy.labels;
    let escalation = Escalation { reason: reason.to_owned(), tried: tried(run), agent_text: None };
    let history = words::comments::escalated(run, &escalation, &progress::links(app, run), labels);
    change_item(app, run, |item| {
        (!is_handed(app, &item.labels)).then(|| ItemChange {
            labels: Some(item.labels.changed(&[&labels.human], &[&labels.in_progress, &labels.ready])),
            history: Some(history.clone()),
            ..ItemChange::default()
        })
    })
    .await
}

fn is_handed(app: &App, labels: &Labels) -> bool {
    labels.has(&app.policy.labels.human) && !labels.has(&app.policy.labels.in_progress)
}

fn tried(run: &Run) -> Vec<String> {
    run.turns.iter().map(|turn| format!("turn {}: {}", turn.number, turn.kind)).collect()
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
    let history = words::comments::closing_history(run, outcome, &progress::links(app, run));
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
