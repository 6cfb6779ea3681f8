//! The variables as they were given, one flat struct per concern, read by `envy`. All texts: what they mean is
//! [`super::parse`]. No `Debug` here: some of them are secrets.
//!
//! `envy` reports only the first problem, repeats values, takes an empty value for a present one and confuses nested
//! structs; so it is given texts only, without empty ones and without unknown names.

use super::{
    problems::Problem,
    vars::{self, Var},
};
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// What was given under our prefix and is known, trimmed and not empty.
pub(super) struct Given(BTreeMap<&'static str, String>);

impl Given {
    /// Sorts out what is ours; notes a problem for each unknown name.
    pub(super) fn sort(vars: &BTreeMap<String, String>, problems: &mut Vec<Problem>) -> Self {
        let mut given = BTreeMap::new();
        for (name, value) in vars.iter().filter(|(name, _)| name.starts_with(vars::PREFIX)) {
            if vars::RESERVED.contains(&name.as_str()) {
                continue;
            }
            match vars::ALL.iter().find(|var| var.name == name) {
                // Known but empty is absent: deployment templates write empty values for what nobody set.
                Some(_) if value.trim().is_empty() => {}
                Some(var) => {
                    given.insert(var.name, value.trim().to_owned());
                }
                None => problems.push(Problem::unknown(name)),
            }
        }
        Self(given)
    }

    /// One concern: everything that starts with `prefix`.
    pub(super) fn section<T: DeserializeOwned>(&self, prefix: &str) -> T {
        let own = self.0.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        envy::prefixed(prefix).from_iter(own).unwrap_or_else(|error| {
            unreachable!("`{prefix}` has only known names and optional texts: {error}")
        })
    }

    /// What belongs to no concern.
    pub(super) fn one(&self, var: &Var) -> Option<String> {
        self.0.get(var.name).cloned()
    }
}

macro_rules! raw {
    ($($(#[$doc:meta])* $name:ident { $($field:ident),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $(pub(super) $field: Option<String>,)*
        }
    )*};
}

raw! {
    /// `ROUNDSMAN_ADO_*`
    RawAdo { url, token, token_file, allow_http, auth, identity, organization }
    /// `ROUNDSMAN_INTAKE_*`
    RawIntake {
        projects, repositories, trusted, default_repository, routes, label_ready, label_in_progress, label_human,
        label_paused, label_stop, max_runs, max_runs_per_repository, max_claims_per_day,
        max_claims_per_poll, agents, models, efforts,
    }
    /// `ROUNDSMAN_POLICY_*`
    RawPolicy {
        fix_forward_attempts, fix_forward_window, respond_attempts, conflict_attempts, infrastructure_attempts,
provider_limit, redispatch_attempts, turn_limit, idle_limit, verdict_limit, checks_grace, quiet_period, gap_limit, remind_after, review_limit, takeover_after, close_on, draft, auto_complete, fault_drill, pause_when_assigned, resolve_threads, proposals, attach_evidence,
    }
    /// `ROUNDSMAN_BUDGET_*`
    RawBudget { item_time, item_tokens, item_cost, unaccepted_cost, day_tokens, day_cost, pushes }
    /// `ROUNDSMAN_STORE_*`
    RawStore { kind, path }
    /// `ROUNDSMAN_RUNTIME_*`
    RawRuntime {
        kind, executor, worker, docker_host, docker_certificates, image, images, build_images, isolation, memory, cpus,
        processes, disk, egress, proxy, no_proxy, certificates, retention,
    }
    /// `ROUNDSMAN_AGENT_*`
    RawAgent {
        name, command, environment, model, effort, step_limit, token_limit, cost_limit, price_input, price_cached, price_output, checks_environment, plan_first,
        base_checks,
    }
    /// `ROUNDSMAN_REVIEWER_*`
    RawReviewer { agent, command, model, effort }
    /// `ROUNDSMAN_BRIEF_*`
    RawBrief { file }
    /// `ROUNDSMAN_DOORBELL_*`
    RawDoorbell {
        webhook, webhook_file, webhook_events, secret, secret_file, teams, teams_file, teams_events, slack, slack_file,
        slack_events, ntfy, ntfy_file, ntfy_events,
    }
    /// `ROUNDSMAN_LOG_*`
    RawLog { level, format }
    /// `ROUNDSMAN_COMMIT_*`
    RawCommit { name, email }
    /// `ROUNDSMAN_WATCHER_*`
    RawWatcher { silence }
    /// `ROUNDSMAN_RECORD_*`
    RawRecord { file }
    /// `ROUNDSMAN_METRICS_*`
    RawMetrics { dir }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_variable_has_a_field() {
        let all = vars::ALL.iter().map(|var| (var.name.to_owned(), "x".to_owned())).collect();
        let given = Given::sort(&all, &mut Vec::new());
        // `section` would not get past an unknown field.
        let _: RawAdo = given.section("ROUNDSMAN_ADO_");
        let _: RawIntake = given.section("ROUNDSMAN_INTAKE_");
        let _: RawPolicy = given.section("ROUNDSMAN_POLICY_");
        let _: RawBudget = given.section("ROUNDSMAN_BUDGET_");
        let _: RawStore = given.section("ROUNDSMAN_STORE_");
        let _: RawRuntime = given.section("ROUNDSMAN_RUNTIME_");
        let _: RawAgent = given.section("ROUNDSMAN_AGENT_");
        let _: RawDoorbell = given.section("ROUNDSMAN_DOORBELL_");
        let _: RawReviewer = given.section("ROUNDSMAN_REVIEWER_");
        let _: RawBrief = given.section("ROUNDSMAN_BRIEF_");
        let _: RawLog = given.section("ROUNDSMAN_LOG_");
        let _: RawCommit = given.section("ROUNDSMAN_COMMIT_");
        let _: RawWatcher = given.section("ROUNDSMAN_WATCHER_");
        let _: RawRecord = given.section("ROUNDSMAN_RECORD_");
        let _: RawMetrics = given.section("ROUNDSMAN_METRICS_");
    }
}
