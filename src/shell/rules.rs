//! Which version of a repository's own rules holds: the newest on the target branch that can be read, cut to what the
//! operator allows. Where a file is, something holds: rules that protect do not end with a slip or a lowered limit.
//!
//! Reads and tells; what a rule means is `domain::rules`. Nothing is remembered: a version that cannot be obeyed is told on
//! the work item once, because what was told is looked for first.

use super::{App, apply::Applied};
use crate::{
    ado::{self, Fault, Written},
    domain::{Ceiling, RULES_FILE, Rules, Run},
    words::{
        self,
        notices::{Holds, RulesComplaint},
    },
};
use std::sync::Arc;

/// Versions of the file looked at, newest first. People repair a broken file within a few commits.
const VERSIONS: u32 = 20;

/// What holds for one target branch.
#[derive(Clone, Debug, Default)]
pub(super) struct InForce {
    /// The rules; none = they could not be asked for, and each step looks at its own base.
    pub(super) rules: Option<Rules>,
    /// What is wrong with the newest version.
    pub(super) complaint: Option<RulesComplaint>,
}

impl InForce {
    /// Why no work may begin: there are rules, and nobody can read any of them.
    pub(super) fn unreadable(&self) -> Option<&str> {
        self.complaint.as_ref().filter(|told| told.holds == Holds::Nothing).map(|told| told.why.as_str())
    }

    /// The rules, or none at all.
    pub(super) fn rules(&self) -> Rules {
        self.rules.clone().unwrap_or_default()
    }
}

/// The rules that hold for `run`, read once per invocation and target branch.
pub(super) async fn in_force(app: &App, run: &Run) -> Result<Arc<InForce>, ado::Error> {
    let mut known = app.lookups.rules.lock().await;
    let key = (run.repository.id.clone(), run.target.to_string());
    if let Some(found) = known.get(&key) {
        return Ok(found.clone());
    }
    let found = match look(app, run).await {
        Ok(found) => found,
        Err(why) if why.fault() == Fault::Transient => return Err(why),
        Err(why) => {
            // The same will stop the fetch step, which says so to people; where it does not, the steps see the file.
            tracing::warn!(run.id = %run.id, "`{RULES_FILE}` cannot be asked for: {why}");
            InForce::default()
        }
    };
    let found = Arc::new(found);
    known.insert(key, found.clone());
    Ok(found)
}

async fn look(app: &App, run: &Run) -> Result<InForce, ado::Error> {
    let ceiling = ceiling(app);
    let Some(newest) = app.ado.file(&run.repository, RULES_FILE, &run.target).await? else {
        return Ok(InForce { rules: Some(Rules::default()), complaint: None });
    };
    let read = Rules::parse(&newest);
    if let Ok(rules) = &read
        && rules.widens(&ceiling).is_none()
    {
        return Ok(InForce { rules: Some(rules.clone()), complaint: None });
    }
    let versions = app.ado.commits_of(&run.repository, &run.target, RULES_FILE, VERSIONS).await?;
    let in_force = |rules: Rules, why: String, holds: Holds| {
        let complaint = RulesComplaint { version: versions.first().cloned(), why, holds };
        // What else would widen is cut without a word: one thing at a time is mended.
        InForce { rules: Some(rules.cut(&ceiling).0), complaint: Some(complaint) }
    };
    let why = match read {
        Ok(rules) => {
            let why = rules.widens(&ceiling).map(|why| why.to_string()).unwrap_or_default();
            return Ok(in_force(rules, why, Holds::Cut));
        }
        Err(why) => why.to_string(),
    };
    let mut parts = Rules::salvage(&newest);
    for commit in versions.iter().skip(1) {
        // One without the file is no older version of it: people wrote rules since.
        let Some(text) = app.ado.file_at(&run.repository, RULES_FILE, commit).await? else { continue };
        if let Ok(rules) = Rules::parse(&text) {
            return Ok(in_force(rules, why, Holds::Older(commit.clone())));
        }
        parts = parts.or_else(|| Rules::salvage(&text));
    }
    Ok(match parts {
        Some(parts) => in_force(parts, why, Holds::Parts),
        None => in_force(Rules::default(), why, Holds::Nothing),
    })
}

/// What the operator allows: its own agent, and what it offers to items.
pub(super) fn ceiling(app: &App) -> Ceiling {
    let agent = &app.settings.agent;
    let offer = &app.policy.offer;
    let with = |own: Option<&String>, offered: &[String]| own.into_iter().chain(offered).cloned().collect();
    Ceiling {
        policy: app.policy.clone(),
        steps: agent.step_limit,
        tokens: agent.token_limit,
        cost_micro_usd: agent.cost_limit,
        files: crate::runtime::spec::Limits::default().max_files,
        agents: with(Some(&agent.name), &offer.agents),
        models: with(agent.model.as_ref(), &offer.models),
        efforts: with(agent.effort.as_ref(), &offer.efforts),
    }
}

/// Says on the work item what is wrong with the newest version, once per version. Key: the version, which stands in the
/// comment. Probe: our own comments.
pub(super) async fn tell(app: &App, run: &Run, complaint: &RulesComplaint) -> Result<Applied, ado::Error> {
    let me = app.me().await?;
    let key = complaint.key();
    // Its repository may be in another project than the item.
    let Some(item) = app.ado.work_item(run.id.item).await? else { return Ok(Applied::Done) };
    let (project, item) = (&item.project, item.id);
    let comments = app.ado.comments(project, item).await?;
    if comments.iter().any(|comment| comment.author.id == me.id && comment.text.contains(&key)) {
        return Ok(Applied::Done);
    }
    let text = words::notices::bad_rules(run, complaint);
    Ok(match app.ado.add_comment(project, item, &text).await {
        Written::Done(_) => Applied::Done,
        Written::NotDone(why) => {
            tracing::warn!(run.id = %run.id, "what is wrong with `{RULES_FILE}` could not be told: {why}");
            Applied::Done
        }
        Written::Unknown(why) => Applied::Unknown(why.to_string()),
    })
}
