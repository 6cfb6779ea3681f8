//! Would a run go through here? Tries what can be tried without writing anything, one finding per thing that a run needs,
//! each with what to do. Claims nothing about what was not tried: whether the token may push shows at the first push.

use super::{
    App,
    poll::{POLLER, WATCHER},
};
use crate::{agents, settings::RepositoryPath};
use jiff::SignedDuration;
use serde::Serialize;

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// As it must be.
    Good,
    /// Works, but somebody may have meant something else.
    Doubtful,
    /// No run would go through.
    Bad,
}

/// What one probe found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was tried.
    pub what: String,
    /// How it ended.
    pub health: Health,
    /// One sentence; where it is not good, with what to do.
    pub found: String,
}

impl Finding {
    fn new(what: impl Into<String>, health: Health, found: impl Into<String>) -> Self {
        Self { what: what.into(), health, found: found.into() }
    }
}

/// Tries everything, also after something was found wrong: one visit shows it all.
pub async fn examine(app: &App) -> Vec<Finding> {
    let mut findings: Vec<Finding> = app
        .settings
        .warnings()
        .into_iter()
        .map(|text| Finding::new("settings", Health::Doubtful, text))
        .collect();
    let me = identity(app).await;
    let reached = me.health != Health::Bad;
    findings.push(me);
    if reached {
        for project in &app.settings.intake.projects {
            findings.push(self::project(app, project).await);
        }
        for path in &app.settings.intake.repositories {
            findings.extend(repository(app, path).await);
        }
    }
    findings.push(executor(app).await);
    findings.push(agent(app));
    findings.extend(memory(app).await);
    findings
}

async fn identity(app: &App) -> Finding {
    const WHAT: &str = "identity";
    match app.me().await {
        Ok(me) if app.settings.ado.identity.as_ref().is_some_and(|pinned| *pinned != me.id) => Finding::new(
            WHAT,
            Health::Bad,
            format!("the token belongs to `{}`, not to the identity in ROUNDSMAN_ADO_IDENTITY", me.name),
        ),
        Ok(me) => Finding::new(WHAT, Health::Good, format!("the token belongs to `{}` ({})", me.name, me.id)),
        Err(why) => Finding::new(WHAT, Health::Bad, format!("{why}; {}", why.hint())),
    }
}

async fn project(app: &App, project: &str) -> Finding {
    let what = format!("project {project}");
    // One is enough to know that it can be asked.
    match app.ado.ids_with_label(project, &app.policy.labels.ready, 1).await {
        Ok(found) if found.is_empty() => Finding::new(what, Health::Good, "can be searched; nothing waits"),
        Ok(_) => Finding::new(what, Health::Good, "can be searched; work waits"),
        Err(why) => Finding::new(what, Health::Bad, format!("{why}; {}", why.hint())),
    }
}

async fn repository(app: &App, path: &RepositoryPath) -> Vec<Finding> {
    let what = format!("repository {path}");
    let bad = |found: String| vec![Finding::new(what.clone(), Health::Bad, found)];
    let found = match app.repository(&path.project, &path.name).await {
        Ok(Some(found)) => found,
        Ok(None) => return bad("it does not exist, is disabled, or the token may not read it".into()),
        Err(why) => return bad(format!("{why}; {}", why.hint())),
    };
    let Some(target) = found.default_branch.clone() else {
        return bad("it has no default branch; push a first commit".into());
    };
    let read = match app.ado.branch_head(&found, &target).await {
        Ok(Some(head)) => {
            Finding::new(what.clone(), Health::Good, format!("`{target}` is at {}", head.short()))
        }
        Ok(None) => return bad(format!("its default branch `{target}` is not there")),
        Err(why) => return bad(format!("{why}; {}", why.hint())),
    };
    let checks = match app.ado.policy_configurations(&found, &target).await {
        Ok(policies) if policies.iter().any(|policy| policy.gates && !policy.kind.is_for_people()) => {
            Finding::new(what, Health::Good, format!("a policy validates pull requests into `{target}`"))
        }
        Ok(_) => Finding::new(
            what,
            Health::Doubtful,
            format!(
                "no policy validates pull requests into `{target}`: nothing will be called green unless a pipeline builds branches"
            ),
        ),
        Err(why) => Finding::new(
            what,
            Health::Doubtful,
            format!("its policies could not be read: {why}; {}", why.hint()),
        ),
    };
    vec![read, checks]
}

async fn executor(app: &App) -> Finding {
    match app.runtime.health().await {
        Ok(()) => Finding::new("executor", Health::Good, "a step could be started now"),
        Err(why) => Finding::new("executor", Health::Bad, why.to_string()),
    }
}

fn agent(app: &App) -> Finding {
    let name = &app.settings.agent.name;
    match agents::find(name) {
        None => Finding::new(
            "agent",
            Health::Bad,
            format!("`{name}` is not known; `roundsman agents` lists what is"),
        ),
        Some(agent) if agent.needs_command && app.settings.agent.command.is_empty() => {
            Finding::new("agent", Health::Bad, "ROUNDSMAN_AGENT_COMMAND is empty: there is nothing to call")
        }
        // Not seen to work: a warning of the settings says so.
        Some(_) => Finding::new(
            "agent",
            Health::Good,
            format!("`{name}`; whether it answers shows in its first turn"),
        ),
    }
}

async fn memory(app: &App) -> Vec<Finding> {
    let mut findings = Vec::new();
    match app.store.in_flight().await {
        Ok(runs) => {
            findings.push(Finding::new("memory", Health::Good, format!("{} runs in flight", runs.len())));
        }
        Err(why) => findings.push(Finding::new("memory", Health::Bad, why.to_string())),
    }
    let silence = SignedDuration::try_from(app.settings.watcher_silence).unwrap_or(SignedDuration::MAX);
    for program in [WATCHER, POLLER] {
        let (health, found) = match app.store.last_beat(program).await {
            Ok(Some(at)) if app.now.duration_since(at) <= silence => {
                (Health::Good, format!("last ran at {at}"))
            }
            Ok(Some(at)) => (Health::Doubtful, format!("last ran at {at}; is its schedule running?")),
            Ok(None) => (Health::Doubtful, "has not run yet; start its schedule".into()),
            Err(why) => (Health::Bad, why.to_string()),
        };
        findings.push(Finding::new(program, health, found));
    }
    findings
}
