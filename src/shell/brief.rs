//! Builds what a worker is told: limits and places from settings, the brief from what Azure DevOps says now.

use super::{
    App,
    apply::ApplyError,
    candidate, executor,
    rules::{self, InForce},
    trust,
};
use crate::{
    ado::{self, ItemComment, LogEnd},
    agents::{self, Wanted},
    decide,
    decide::{Command, budget::Left, deadline::later, suggest},
    domain::{
        Awaiting, BuildId, Ceiling, Choices, CommentId, IdentityId, Link, Run, Step, Suggestions, Thread,
        Trigger, Turn, TurnEnd, TurnKind, WorkItem, WorkItemId, policy::SETTLE,
    },
    runtime::{
        self,
        environment::Decision,
        spec::{AgentCall, CommitIdentity, GoesOn, Limits, Places, SCHEMA, Source, WorkerSpec},
    },
    settings::Settings,
    words::{
        Marker,
        briefs::{self, Around, Failing, FailingLog, Red, Said, Task, Word},
        house,
    },
};
use std::{collections::BTreeSet, time::Duration};

/// Lines of a log that the agent gets to see; the end is where the cause is.
const LOG_TAIL_LINES: u32 = 200;
/// Comments of people that a brief quotes; of more, the newest count.
const MAX_WORDS: usize = 12;
/// More failing tasks than this are one cause.
const MAX_FAILING_TASKS: usize = 8;
/// More failed tests than this are one cause.
const MAX_FAILED_TESTS: usize = 12;

/// Comments of a discussion that a brief quotes: the newest say what holds.
const MOST_COMMENTS: usize = 20;
/// Bytes of the operator's own rules; a template of this size is a handbook.
const HOUSE_RULES_LIMIT: u64 = 64 << 10;
/// The repository's checks on the untouched base: what takes longer is no check before work but work.
const BASE_CHECKS: Duration = Duration::from_mins(10);
/// The part of the turn limit that they may take, whatever it is.
const BASE_CHECKS_SHARE: u32 = 4;

/// Everything that one step is told.
pub(super) async fn spec(
    app: &App,
    run: &Run,
    turn: &Turn,
    step: Step,
    in_force: &InForce,
) -> Result<WorkerSpec, ApplyError> {
    let rules = in_force.rules();
    let Ceiling { policy, steps, tokens, cost_micro_usd, files, .. } = rules.narrow(&rules::ceiling(app));
    let choices = rules.choices(&run.choices);
    let environment = match step {
        Step::Agent => executor::environment(app, run, turn).await?,
        Step::Fetch | Step::Publish => Decision::default(),
    };
    let Texts { brief, goes_on, suggestions } = match step {
        Step::Fetch => texts(app, run, turn, in_force).await?,
        Step::Agent | Step::Publish => {
            Texts { brief: briefs::environment(&environment.told), ..Texts::default() }
        }
    };
    let settings = &app.settings;
    let wall = match step {
        Step::Agent => policy.turn_limit,
        // Network and git only: a repository that takes longer to clone needs another design.
        Step::Fetch | Step::Publish => policy.turn_limit.min(Duration::from_mins(15)),
    };
    let left = Left::of(run, &app.policy);
    let wall = match step {
        // One second at least: a step without any time is refused before it says why.
        Step::Agent => left.time.map_or(wall, |left| wall.min(left).max(std::time::Duration::from_secs(1))),
        Step::Fetch | Step::Publish => wall,
    };
    let at_most = |limit: u64, left: Option<u64>| left.map_or(limit, |left| limit.min(left));
    Ok(WorkerSpec {
        schema: SCHEMA,
        run: run.id,
        turn: turn.clone(),
        step,
        places: Places::of_image(),
        source: Source {
            url: run.repository.clone_url.clone(),
            branch: run.branch(),
            target: run.target.clone(),
            expected: turn.base.clone(),
        },
        brief,
        goes_on,
        suggestions,
        agent: match step {
            Step::Agent => Some(agent(app, &choices)?),
            Step::Fetch | Step::Publish => None,
        },
        commit: CommitIdentity {
            name: settings.commit.name.clone(),
            email: settings.commit.email.clone(),
            date: run.claimed_at,
        },
        limits: Limits {
            wall_seconds: wall.as_secs(),
            idle_seconds: settings.idle_limit.as_secs(),
            steps,
            tokens: at_most(tokens, left.tokens),
            cost_micro_usd: at_most(cost_micro_usd, left.cost),
            prices: app.policy.budget.prices,
            max_files: files,
            base_checks_seconds: if settings.agent.base_checks {
                BASE_CHECKS.min(policy.turn_limit / BASE_CHECKS_SHARE).as_secs()
            } else {
                0
            },
            proposals: policy.proposals,
            disk_bytes: settings.runtime.sandbox.disk,
            ..Limits::default()
        },
        image: environment.image,
        rules: in_force.rules.clone(),
        reviewer: match step {
            Step::Agent => reviewer(app)?,
            Step::Fetch | Step::Publish => None,
        },
    })
}

/// The agent that was chosen, else the operator's. Command, model and effort of the settings are the usual agent's; another
/// one has what was chosen with it, or its own defaults.
fn agent(app: &App, choices: &Choices) -> Result<AgentCall, ApplyError> {
    let wanted = &app.settings.agent;
    let name = choices.agent.as_ref().unwrap_or(&wanted.name);
    let is_usual = *name == wanted.name;
    let known = agents::find(name).ok_or_else(|| ApplyError::NoAgent(name.clone()))?;
    let command: &[String] = if is_usual { &wanted.command } else { &[] };
    if known.needs_command && command.is_empty() {
        return Err(ApplyError::NoAgent(if is_usual {
            "ROUNDSMAN_AGENT_COMMAND is empty".into()
        } else {
            format!("`{name}` needs a command, and ROUNDSMAN_AGENT_COMMAND is that of `{}`", wanted.name)
        }));
    }
    let usual = |text: &Option<String>| text.clone().filter(|_| is_usual);
    let model = choices.model.clone().or_else(|| usual(&wanted.model));
    let effort = choices.effort.clone().or_else(|| usual(&wanted.effort));
    let call = known.call(Wanted {
        command,
        worker: &executor::worker(&app.settings.runtime, &app.worker),
        model: model.as_deref(),
        effort: effort.as_deref(),
        plan_first: wanted.plan_first,
        checks_environment: &wanted.checks_environment.keys().cloned().collect::<Vec<_>>(),
    });
    Ok(AgentCall { hosts: executor::hosts(&app.settings, known), ..call })
}

fn reviewer(app: &App) -> Result<Option<AgentCall>, ApplyError> {
    let Some(wanted) = &app.settings.reviewer else { return Ok(None) };
    let known = agents::find(&wanted.name).ok_or_else(|| ApplyError::NoAgent(wanted.name.clone()))?;
    if known.needs_command && wanted.command.is_empty() {
        return Err(ApplyError::NoAgent("ROUNDSMAN_REVIEWER_COMMAND is empty".into()));
    }
    let own = &app.settings.agent;
    Ok(Some(known.call(Wanted {
        command: &wanted.command,
        worker: &executor::worker(&app.settings.runtime, &app.worker),
        model: wanted.model.as_deref(),
        effort: wanted.effort.as_deref(),
        plan_first: false,
        checks_environment: &own.checks_environment.keys().cloned().collect::<Vec<_>>(),
    })))
}

/// The operator's own rules for this turn.
fn house_rules(app: &App, run: &Run, turn: &Turn) -> Result<String, ApplyError> {
    match template(&app.settings).map_err(ApplyError::HouseRules)? {
        Some(template) => house::render(&template, run, turn).map_err(ApplyError::HouseRules),
        None => Ok(String::new()),
    }
}

/// The template as it is now.
fn template(settings: &Settings) -> Result<Option<String>, String> {
    let Some(path) = &settings.brief_file else { return Ok(None) };
    let size = std::fs::metadata(path).map_err(|why| why.kind().to_string())?.len();
    if size > HOUSE_RULES_LIMIT {
        return Err(format!("it has {size} bytes; {HOUSE_RULES_LIMIT} are allowed"));
    }
    std::fs::read_to_string(path).map(Some).map_err(|why| why.kind().to_string())
}

/// Why the operator's own rules cannot be used, before anything needs them.
pub fn house_rules_problem(settings: &Settings) -> Option<String> {
    let checked = template(settings).and_then(|text| text.map_or(Ok(()), |text| house::check(&text)));
    checked.err().map(|why| ApplyError::HouseRules(why).to_string())
}

/// What people whose words count wrote in the discussion of the item, oldest first, without commands.
async fn discussion(app: &App, item: &WorkItem) -> Result<Vec<ItemComment>, ApplyError> {
    let me = &app.me().await?.id;
    let mut comments = app.ado.comments(&item.project, item.id).await?;
    let policy = app.policy_for(trust::commenters(&comments)).await;
    comments.retain(|comment| {
        comment.author.id != *me
            && policy.trusted.contains(&comment.author.id)
            && Marker::find(&comment.text).is_none()
            && Command::parse(&comment.text).is_none()
    });
    Ok(comments)
}

/// What stands around the task: what trusted people said, what it builds on, what others want said. An item that is gone is
/// a matter for the ladder; the brief is made from what is left.
async fn around(
    app: &App,
    run: &Run,
    turn: &Turn,
    in_force: &InForce,
    item: Option<&WorkItem>,
    said: &[ItemComment],
) -> Result<Around, ApplyError> {
    let mut around = Around {
        house_rules: house_rules(app, run, turn)?,
        context: in_force.rules().brief.context,
        proposals: app.policy.proposals,
        ..Around::default()
    };
    let newest = said.iter().skip(said.len().saturating_sub(MOST_COMMENTS));
    let quote = |comment: &ItemComment| Said { by: comment.author.name.clone(), text: comment.text.clone() };
    around.discussion = newest.map(quote).collect();
    let before: Vec<WorkItemId> = item
        .into_iter()
        .flat_map(|item| &item.links)
        .filter_map(|link| match link {
            Link::Predecessor(id) => Some(*id),
            Link::Related(_) | Link::Branch { .. } | Link::PullRequest { .. } | Link::File { .. } => None,
        })
        .collect();
    if !before.is_empty() {
        // A link may be younger than the claim: what it names need not be finished.
        for item in app.ado.work_items(&before).await? {
            let states = app.states(&item.project, &item.kind).await?;
            if candidate::category(&states, &item.state).is_over() {
                around.finished.push(format!("{}: {}", item.id, item.title));
            }
        }
    }
    Ok(around)
}

/// What a turn is about.
#[derive(Default)]
struct Texts {
    /// The whole brief.
    brief: String,
    /// What is told in its place to an agent that goes on with its conversation.
    goes_on: Option<GoesOn>,
    /// What can be committed without the agent.
    suggestions: Suggestions,
}

async fn texts(app: &App, run: &Run, turn: &Turn, in_force: &InForce) -> Result<Texts, ApplyError> {
    let item = app.ado.work_item_text(run.id.item, run.text_revision()).await?;
    let question = question(app, run, turn).await;
    let now = app.ado.work_item(run.id.item).await?;
    let said = match &now {
        Some(now) => discussion(app, now).await?,
        None => Vec::new(),
    };
    let around = Around { question, ..around(app, run, turn, in_force, now.as_ref(), &said).await? };
    let rules = in_force.rules();
    let words = match &turn.trigger {
        Trigger::Answer { .. } => those(&said, |one| one.created_at > run.claimed_at),
        // The discussion stands in every whole brief; only an answer is pointed at.
        Trigger::WorkItem { .. }
        | Trigger::FailingChecks { .. }
        | Trigger::Threads { .. }
        | Trigger::Conflict { .. } => Vec::new(),
    };
    let additions = &rules.brief.rules;
    let task = Task { run, item: &item, words: &words, additions, around: &around, knows: false };
    let after = decide::goes_on(run, turn);
    let told = after.and_then(|after| run.turns.iter().find(|record| record.number == after));
    let is_new = |one: &ItemComment| told.is_none_or(|told| later(one.changed_at, SETTLE) > told.at);
    let newest =
        those(&said, |one| is_answer(turn, one.id) || (one.changed_at > run.claimed_at && is_new(one)));
    let both = |write: &dyn Fn(Task<'_>) -> String| {
        let known = Task { words: &newest, knows: true, ..task };
        let goes_on = after.map(|after| GoesOn { after, news: write(known) });
        (write(task), goes_on)
    };
    let attempt = run.spent(turn.kind).max(1);
    let mut suggestions = Suggestions::default();
    let (text, goes_on) = match &turn.trigger {
        Trigger::WorkItem { .. } => both(&briefs::implement),
        Trigger::FailingChecks { builds, signature, head } => {
            let mut red = failing(app, run, builds).await?;
            if let (true, Some(id)) = (builds.is_empty(), run.pull_request) {
                let statuses = app.ado.posted_statuses(&run.repository, id).await?;
                let tasks = super::observe::posted_red(&statuses, head);
                red.tasks.extend(tasks.into_iter().map(|task| Failing { task, log: FailingLog::None }));
            }
            red.is_drill = *signature == decide::DRILL;
            let of = app.policy.fix_forward_attempts;
            both(&|task| briefs::fix_forward(task, &red, &earlier(run, turn), attempt, of))
        }
        Trigger::Threads { awaiting, .. } => {
            let pull_request = run.pull_request.ok_or(ApplyError::NoPullRequest)?;
            let threads = app.ado.threads(&run.repository, pull_request).await?;
            let policy = app.policy_for(trust::authors(&threads)).await;
            suggestions = suggested(app, run, (&threads, awaiting), &policy.trusted).await?;
            both(&|task| briefs::respond(task, &threads, awaiting, &policy.trusted, &suggestions))
        }
        Trigger::Answer { words } => both(&|task| briefs::answered(task, words)),
        Trigger::Conflict { .. } => both(&|task| briefs::conflict(task, &run.target)),
    };
    let key = turn.trigger.key();
    let is_again = run.turns.iter().any(|record| record.number < turn.number && record.trigger == key);
    let is_lost = is_again || turn.kind == TurnKind::Redispatch;
    Ok(Texts { brief: if is_lost { briefs::redispatch(&text) } else { text }, goes_on, suggestions })
}

/// What of a review can be committed without the agent. The iterations are asked for only where something is suggested.
async fn suggested(
    app: &App,
    run: &Run,
    (threads, awaiting): (&[Thread], &[Awaiting]),
    trusted: &BTreeSet<IdentityId>,
) -> Result<Suggestions, ApplyError> {
    let suggests = |asked: &Awaiting| {
        let thread = threads.iter().find(|thread| thread.id == asked.thread);
        thread.is_some_and(|thread| !suggest::blocks(thread, *asked, trusted).is_empty())
    };
    match run.pull_request.filter(|_| awaiting.iter().any(suggests)) {
        Some(id) => {
            let heads = app.ado.iterations(&run.repository, id).await?;
            Ok(suggest::suggestions(threads, awaiting, trusted, &heads))
        }
        None => Ok(Suggestions::default()),
    }
}

/// What the agent asked, in the first turn after people let it go on. A file of the executor; whoever lost it was told the
/// rest.
async fn question(app: &App, run: &Run, turn: &Turn) -> Option<String> {
    let asked = run.resumed.as_ref().map(|resumed| resumed.after)?;
    let is_first = !run.turns.iter().any(|record| record.number > asked && record.number < turn.number);
    let kept = is_first.then(|| app.runtime.left(run.id, asked, &runtime::Left::Question))?.await;
    kept.inspect_err(|why| tracing::warn!(run.id = %run.id, "the agent's question could not be read: {why}"))
        .ok()
        .flatten()
}

fn is_answer(turn: &Turn, word: CommentId) -> bool {
    match &turn.trigger {
        Trigger::Answer { words } => words.contains(&word),
        Trigger::WorkItem { .. }
        | Trigger::FailingChecks { .. }
        | Trigger::Threads { .. }
        | Trigger::Conflict { .. } => false,
    }
}

/// Those of the discussion that count here; of too many the newest.
fn those(said: &[ItemComment], counts: impl Fn(&ItemComment) -> bool) -> Vec<Word> {
    let word =
        |one: &ItemComment| Word { comment: one.id, by: one.author.name.clone(), text: one.text.clone() };
    let mut words: Vec<Word> = said.iter().filter(|one| counts(one)).map(word).collect();
    words.drain(..words.len().saturating_sub(MAX_WORDS));
    words
}

/// One line per fix turn so far.
fn earlier(run: &Run, turn: &Turn) -> Vec<String> {
    run.turns
        .iter()
        .filter(|record| record.number < turn.number && record.kind == TurnKind::FixForward)
        .map(|record| match &record.end {
            Some(TurnEnd::Pushed { head }) => {
                format!("turn {} pushed {}, which did not help", record.number, head.short())
            }
            Some(TurnEnd::Answered | TurnEnd::Lost | TurnEnd::Failed) | None => {
                format!("turn {} ended without a change", record.number)
            }
        })
        .collect()
}

/// What is told of the failing builds. What cannot be read is told to be unreadable: an agent that hears nothing would
/// guess.
async fn failing(app: &App, run: &Run, builds: &[BuildId]) -> Result<Red, ApplyError> {
    let project = &run.repository.project;
    let mut red = Red::default();
    for build in builds {
        let (tasks, tests) = match super::observe::why(app, project, &[*build]).await {
            Ok(found) => found,
            Err(why) if why.fault() == ado::Fault::Transient => return Err(why.into()),
            Err(why) => {
                tracing::warn!(run.id = %run.id, "what failed in build {build} could not be read: {why}");
                red.unread.push(*build);
                continue;
            }
        };
        for task in tasks {
            if red.tasks.len() == MAX_FAILING_TASKS {
                break;
            }
            let log = log(app, project, *build, task.log).await?;
            red.tasks.push(Failing { task, log });
        }
        red.tests.extend(tests);
    }
    red.tests.truncate(MAX_FAILED_TESTS);
    Ok(red)
}

async fn log(app: &App, project: &str, build: BuildId, log: Option<u32>) -> Result<FailingLog, ApplyError> {
    let Some(log) = log else { return Ok(FailingLog::None) };
    match app.ado.log_tail(project, build, log, LOG_TAIL_LINES).await {
        Ok(LogEnd::Read(lines)) => Ok(FailingLog::End(lines.join("\n"))),
        Ok(LogEnd::Gone) => Ok(FailingLog::Unread("it is gone, or was never written")),
        Ok(LogEnd::TooLong) => Ok(FailingLog::Unread("it is larger than anything that is read")),
        Err(why) if why.fault() == ado::Fault::Transient => Err(why.into()),
        Err(_) => Ok(FailingLog::Unread("access to it is refused")),
    }
}
