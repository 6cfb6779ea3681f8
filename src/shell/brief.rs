//! Builds what a worker is told: limits and places from settings, the brief from what Azure DevOps says now.

use super::{App, apply::ApplyError, executor};
use crate::{
    agents::{self, Wanted},
    domain::{BuildId, FailedTask, Run, Step, Trigger, Turn, TurnEnd, TurnKind},
    runtime::{
        environment::Decision,
        spec::{AgentCall, CommitIdentity, Limits, Places, SCHEMA, Source, WorkerSpec},
    },
    words::briefs::{self, Failing, Task},
};

/// Lines of a log that the agent gets to see; the end is where the cause is.
const LOG_TAIL_LINES: u32 = 200;
/// More failing tasks than this are one cause.
const MAX_FAILING_TASKS: usize = 8;

/// Everything that one step is told.
pub(super) async fn spec(app: &App, run: &Run, turn: &Turn, step: Step) -> Result<WorkerSpec, ApplyError> {
    let environment = match step {
        Step::Agent => executor::environment(app, run, turn).await?,
        Step::Fetch | Step::Publish => Decision::default(),
    };
    let brief = match step {
        Step::Fetch => brief(app, run, turn).await?,
        Step::Agent | Step::Publish => briefs::environment(&environment.told),
    };
    let settings = &app.settings;
    let wall = match step {
        Step::Agent => settings.policy().turn_limit,
        // Network and git only: a repository that takes longer to clone needs another design.
        Step::Fetch | Step::Publish => settings.policy().turn_limit.min(std::time::Duration::from_mins(15)),
    };
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
        agent: match step {
            Step::Agent => Some(agent(app)?),
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
            steps: settings.agent.step_limit,
            tokens: settings.agent.token_limit,
            cost_micro_usd: settings.agent.cost_limit,
            disk_bytes: settings.runtime.sandbox.disk,
            ..Limits::default()
        },
        image: environment.image,
    })
}

fn agent(app: &App) -> Result<AgentCall, ApplyError> {
    let wanted = &app.settings.agent;
    let known = agents::find(&wanted.name).ok_or_else(|| ApplyError::NoAgent(wanted.name.clone()))?;
    if known.needs_command && wanted.command.is_empty() {
        return Err(ApplyError::NoAgent("ROUNDSMAN_AGENT_COMMAND is empty".into()));
    }
    Ok(known.call(Wanted {
        command: &wanted.command,
        worker: &executor::worker(&app.settings.runtime, &app.worker),
        model: wanted.model.as_deref(),
        effort: wanted.effort.as_deref(),
        plan_first: wanted.plan_first,
        checks_environment: &wanted.checks_environment.keys().cloned().collect::<Vec<_>>(),
    }))
}

async fn brief(app: &App, run: &Run, turn: &Turn) -> Result<String, ApplyError> {
    let item = app.ado.work_item_text(run.id.item, run.text_revision()).await?;
    let task = Task { run, item: &item, additions: "" };
    let attempt = run.spent(turn.kind).max(1);
    let text = match &turn.trigger {
        Trigger::WorkItem { .. } => briefs::implement(task),
        Trigger::FailingChecks { builds, .. } => {
            let failing = failing(app, run, builds).await?;
            briefs::fix_forward(task, &failing, &earlier(run, turn), attempt, app.policy.fix_forward_attempts)
        }
        Trigger::Threads { awaiting, .. } => {
            let pull_request = run.pull_request.ok_or(ApplyError::NoPullRequest)?;
            let threads = app.ado.threads(&run.repository, pull_request).await?;
            briefs::respond(task, &threads, awaiting, &app.policy.trusted)
        }
        Trigger::Conflict { .. } => briefs::conflict(task, &run.target),
    };
    let key = turn.trigger.key();
    let is_again = run.turns.iter().any(|record| record.number < turn.number && record.trigger == key);
    Ok(if is_again || turn.kind == TurnKind::Redispatch { briefs::redispatch(&text) } else { text })
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

async fn failing(app: &App, run: &Run, builds: &[BuildId]) -> Result<Vec<Failing>, ApplyError> {
    let project = &run.repository.project;
    let mut failing = Vec::new();
    for build in builds {
        let tasks: Vec<FailedTask> = app.ado.failed_tasks(project, *build).await?;
        for task in tasks {
            if failing.len() == MAX_FAILING_TASKS {
                return Ok(failing);
            }
            // A log can be gone by retention; the messages are still something to go by.
            let log_tail = match task.log {
                Some(log) => app
                    .ado
                    .log_tail(project, *build, log, LOG_TAIL_LINES)
                    .await
                    .unwrap_or_default()
                    .join("\n"),
                None => String::new(),
            };
            failing.push(Failing { task, log_tail });
        }
    }
    Ok(failing)
}
