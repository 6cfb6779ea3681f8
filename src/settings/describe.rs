//! Settings in words, for `roundsman config check`. What could hold a secret is never shown: tokens, the names of
//! their files, a webhook's path, and an agent's arguments.

use super::{
    Ado, Agent, Commit, Intake, Log, LogFormat, Reviewer, Runtime, RuntimeKind, Secret, Settings, Store,
    StoreKind, doorbells as bells,
    parse::duration_text,
    vars::{self, Var},
};
use crate::{
    domain::{Brake, Budget, CloseOn, LabelNames, Offer, Policy, Prices, ResolveThreads},
    runtime::Scheme,
};
use std::fmt::Write;

pub(super) fn describe(settings: &Settings) -> String {
    let mut text = String::new();
    for (var, value) in values(settings) {
        let value = if value.is_empty() { "(none)" } else { &value };
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{} = {value}", var.name);
    }
    text
}

const SET: &str = "set";
const NOT_SET: &str = "not set";

fn values(settings: &Settings) -> Vec<(&'static Var, String)> {
    let Settings {
        brake,
        state_dir,
        concurrency,
        watcher_silence,
        ado: Ado { url, scheme, identity, organization, secret: token },
        intake: Intake { projects, repositories, trusted, groups, default_repository, routes },
        idle_limit,
        store: Store { kind: store_kind, path: store_path },
        runtime: Runtime { kind: runtime_kind, executor, worker, sandbox },
        agent:
            Agent {
                name: agent,
                command,
                environment,
                checks_environment,
                absent: _,
                model,
                effort,
                step_limit,
                token_limit,
                cost_limit,
                plan_first,
                base_checks,
            },
        doorbells,
        reviewer,
        brief_file,
        log: Log { level, format },
        record,
        metrics,
        commit: Commit { name: commit_name, email: commit_email },
        policy,
    } = settings;
    let LabelNames { ready, in_progress, human, paused, stop } = &policy.labels;
    let [given_token, token_file] = secret(Some(token));
    let path = |path: &Option<std::path::PathBuf>| {
        path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    };
    let nobody = || Reviewer { name: String::new(), command: Vec::new(), model: None, effort: None };
    let second = reviewer.clone().unwrap_or_else(nobody);
    let names = |given: &std::collections::BTreeMap<String, _>| joined(given.keys().cloned(), ", ");
    let named =
        groups.iter().map(|group| if group.contains('.') { group.clone() } else { format!("group:{group}") });
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let allow_http = url.scheme() == "http" && !super::parse::is_loopback(url);
    let routes = routes.iter().map(|route| format!("{}={}", route.area, route.repository));
    let mut all = vec![
        (&vars::KILL_SWITCH, brake_word(*brake).into()),
        (&vars::STATE_DIR, state_dir.display().to_string()),
        (&vars::CONCURRENCY, concurrency.to_string()),
        (&vars::WATCHER_SILENCE, duration_text(*watcher_silence)),
        (&vars::ADO_URL, url.to_string()),
        (&vars::ADO_TOKEN, given_token),
        (&vars::ADO_TOKEN_FILE, token_file),
        (&vars::ADO_ALLOW_HTTP, yes_no(allow_http)),
        (&vars::ADO_AUTH, scheme_word(*scheme).into()),
        (&vars::ADO_IDENTITY, identity.as_ref().map(ToString::to_string).unwrap_or_default()),
        (&vars::ADO_ORGANIZATION, organization.as_ref().map(ToString::to_string).unwrap_or_default()),
        (&vars::INTAKE_PROJECTS, projects.join(", ")),
        (&vars::INTAKE_REPOSITORIES, joined(repositories.iter().map(ToString::to_string), ", ")),
        (&vars::INTAKE_TRUSTED, joined(trusted.iter().map(ToString::to_string).chain(named), ", ")),
        (
            &vars::INTAKE_DEFAULT_REPOSITORY,
            default_repository.as_ref().map(ToString::to_string).unwrap_or_default(),
        ),
        (&vars::INTAKE_ROUTES, joined(routes, "; ")),
        (&vars::INTAKE_LABEL_READY, ready.clone()),
        (&vars::INTAKE_LABEL_IN_PROGRESS, in_progress.clone()),
        (&vars::INTAKE_LABEL_HUMAN, human.clone()),
        (&vars::INTAKE_LABEL_PAUSED, paused.clone()),
        (&vars::INTAKE_LABEL_STOP, stop.clone()),
    ];
    all.extend(limits(policy, *idle_limit));
    all.extend([
        (&vars::STORE_KIND, store_word(*store_kind).into()),
        (&vars::STORE_PATH, store_path.display().to_string()),
        (&vars::RUNTIME_KIND, runtime_word(*runtime_kind).into()),
        (&vars::RUNTIME_EXECUTOR, executor.to_string()),
        (&vars::RUNTIME_WORKER, worker.as_ref().map(|path| path.display().to_string()).unwrap_or_default()),
    ]);
    all.extend(sandbox.describe());
    let prices = policy.budget.prices.as_ref();
    let price = |of: fn(&Prices) -> u64| {
        prices.map(|prices| super::parse::dollars_text(of(prices))).unwrap_or_default()
    };
    all.extend([
        (&vars::AGENT_NAME, agent.clone()),
        (&vars::AGENT_COMMAND, command_text(command)),
        (&vars::AGENT_ENVIRONMENT, names(environment)),
        (&vars::AGENT_MODEL, optional(model)),
        (&vars::AGENT_EFFORT, optional(effort)),
        (&vars::AGENT_STEP_LIMIT, step_limit.to_string()),
        (&vars::AGENT_TOKEN_LIMIT, token_limit.to_string()),
        (&vars::AGENT_COST_LIMIT, super::parse::dollars_text(*cost_limit)),
        (&vars::AGENT_PRICE_INPUT, price(|prices: &Prices| prices.input)),
        (&vars::AGENT_PRICE_CACHED, price(|prices: &Prices| prices.cached)),
        (&vars::AGENT_PRICE_OUTPUT, price(|prices: &Prices| prices.output)),
        (&vars::AGENT_CHECKS_ENVIRONMENT, names(checks_environment)),
        (&vars::AGENT_PLAN_FIRST, yes_no(*plan_first)),
        (&vars::AGENT_BASE_CHECKS, yes_no(*base_checks)),
        (&vars::BRIEF_FILE, brief_file.as_ref().map(|path| path.display().to_string()).unwrap_or_default()),
        (&vars::REVIEWER_AGENT, second.name),
        (&vars::REVIEWER_COMMAND, command_text(&second.command)),
        (&vars::REVIEWER_MODEL, optional(&second.model)),
        (&vars::REVIEWER_EFFORT, optional(&second.effort)),
    ]);
    all.extend(bells::describe(doorbells, secret));
    all.extend([
        (&vars::LOG_LEVEL, level.as_str().to_ascii_lowercase()),
        (&vars::LOG_FORMAT, format_word(*format).into()),
        (&vars::RECORD_FILE, path(record)),
        (&vars::METRICS_DIR, path(metrics)),
        (&vars::COMMIT_NAME, commit_name.clone()),
        (&vars::COMMIT_EMAIL, commit_email.clone()),
    ]);
    all
}

fn limits(policy: &Policy, idle_limit: std::time::Duration) -> Vec<(&'static Var, String)> {
    let Policy {
        // Told elsewhere, or computed.
        brake: _,
        labels: _,
        projects: _,
        trusted: _,
        repositories: _,
        max_turns: _,
        budget,
        provider_limit,
        max_runs,
        max_runs_per_repository,
        max_claims_per_day,
        max_claims_per_poll,
        offer: Offer { agents, models, efforts },
        fix_forward_attempts,
        fix_forward_window,
        respond_attempts,
        conflict_attempts,
        infrastructure_attempts,
        redispatch_attempts,
        turn_limit,
        verdict_limit,
        checks_grace,
        quiet_period,
        gap_limit,
        remind_after,
        review_limit,
        takeover_after,
        close_on,
        open_as_draft,
        auto_complete,
        drill,
        pause_when_assigned,
        resolve_threads,
        proposals,
        attach_evidence,
    } = policy;
    let mut all = vec![
        (&vars::INTAKE_MAX_RUNS, max_runs.to_string()),
        (&vars::INTAKE_MAX_RUNS_PER_REPOSITORY, max_runs_per_repository.to_string()),
        (&vars::INTAKE_MAX_CLAIMS_PER_DAY, max_claims_per_day.to_string()),
        (&vars::INTAKE_MAX_CLAIMS_PER_POLL, max_claims_per_poll.to_string()),
        (&vars::INTAKE_AGENTS, agents.join(", ")),
        (&vars::INTAKE_MODELS, models.join(", ")),
        (&vars::INTAKE_EFFORTS, efforts.join(", ")),
        (&vars::POLICY_FIX_FORWARD_ATTEMPTS, fix_forward_attempts.to_string()),
        (&vars::POLICY_FIX_FORWARD_WINDOW, duration_text(*fix_forward_window)),
        (&vars::POLICY_RESPOND_ATTEMPTS, respond_attempts.to_string()),
        (&vars::POLICY_CONFLICT_ATTEMPTS, conflict_attempts.to_string()),
        (&vars::POLICY_INFRASTRUCTURE_ATTEMPTS, infrastructure_attempts.to_string()),
        (&vars::POLICY_PROVIDER_LIMIT, duration_text(*provider_limit)),
        (&vars::POLICY_REDISPATCH_ATTEMPTS, redispatch_attempts.to_string()),
        (&vars::POLICY_TURN_LIMIT, duration_text(*turn_limit)),
        (&vars::POLICY_IDLE_LIMIT, duration_text(idle_limit)),
        (&vars::POLICY_VERDICT_LIMIT, duration_text(*verdict_limit)),
        (&vars::POLICY_CHECKS_GRACE, duration_text(*checks_grace)),
        (&vars::POLICY_QUIET_PERIOD, duration_text(*quiet_period)),
        (&vars::POLICY_GAP_LIMIT, duration_text(*gap_limit)),
        (&vars::POLICY_REMIND_AFTER, duration_text(*remind_after)),
        (&vars::POLICY_REVIEW_LIMIT, duration_text(*review_limit)),
        (&vars::POLICY_TAKEOVER_AFTER, duration_text(*takeover_after)),
        (&vars::POLICY_CLOSE_ON, close_on_word(*close_on).into()),
        (&vars::POLICY_DRAFT, yes_no(*open_as_draft)),
        (&vars::POLICY_AUTO_COMPLETE, yes_no(*auto_complete)),
        (&vars::POLICY_FAULT_DRILL, drill.clone().unwrap_or_else(|| "none".into())),
        (&vars::POLICY_PAUSE_WHEN_ASSIGNED, yes_no(*pause_when_assigned)),
        (&vars::POLICY_RESOLVE_THREADS, resolve_threads_word(*resolve_threads).into()),
        (&vars::POLICY_PROPOSALS, proposals.to_string()),
        (&vars::POLICY_ATTACH_EVIDENCE, yes_no(*attach_evidence)),
    ];
    all.extend(budgets(budget));
    all
}

fn budgets(budget: &Budget) -> Vec<(&'static Var, String)> {
    let Budget {
        item_time,
        item_tokens,
        item_cost,
        unaccepted_cost,
        day_tokens,
        day_cost,
        pushes,
        prices: _,
        chooses_money: _,
    } = budget;
    let none = || "none".to_owned();
    let dollars = |micro: &Option<u64>| micro.map_or_else(none, super::parse::dollars_text);
    let tokens = |count: &Option<u64>| count.map_or_else(none, |count| count.to_string());
    vec![
        (&vars::BUDGET_ITEM_TIME, item_time.map_or_else(none, duration_text)),
        (&vars::BUDGET_ITEM_TOKENS, tokens(item_tokens)),
        (&vars::BUDGET_ITEM_COST, dollars(item_cost)),
        (&vars::BUDGET_UNACCEPTED_COST, dollars(unaccepted_cost)),
        (&vars::BUDGET_DAY_TOKENS, tokens(day_tokens)),
        (&vars::BUDGET_DAY_COST, dollars(day_cost)),
        (&vars::BUDGET_PUSHES, pushes.to_string()),
    ]
}

/// Whether it is given in the variable, and whether in the file.
fn secret(secret: Option<&Secret>) -> [String; 2] {
    match secret {
        Some(Secret::Given(_)) => [SET, NOT_SET],
        Some(Secret::File { .. }) => [NOT_SET, SET],
        None => [NOT_SET, NOT_SET],
    }
    .map(str::to_owned)
}

fn command_text(command: &[String]) -> String {
    match command {
        [] => String::new(),
        [program] => program.clone(),
        [program, arguments @ ..] => format!("{program} (and {} more words)", arguments.len()),
    }
}

pub(super) fn joined(items: impl Iterator<Item = String>, with: &str) -> String {
    items.collect::<Vec<_>>().join(with)
}

pub(super) fn yes_no(flag: bool) -> String {
    if flag { "yes" } else { "no" }.into()
}

fn brake_word(brake: Brake) -> &'static str {
    match brake {
        Brake::Off => "off",
        Brake::Drain => "drain",
        Brake::On => "on",
        Brake::Stop => "stop",
    }
}

fn scheme_word(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Pat => "pat",
        Scheme::Bearer => "bearer",
    }
}

fn store_word(kind: StoreKind) -> &'static str {
    match kind {
        StoreKind::Sqlite => "sqlite",
        StoreKind::Labels => "labels",
    }
}

fn runtime_word(kind: RuntimeKind) -> &'static str {
    match kind {
        RuntimeKind::Process => "process",
        RuntimeKind::Docker => "docker",
    }
}

fn close_on_word(close_on: CloseOn) -> &'static str {
    match close_on {
        CloseOn::Merged => "merged",
        CloseOn::Green => "green",
    }
}

fn resolve_threads_word(resolve: ResolveThreads) -> &'static str {
    match resolve {
        ResolveThreads::No => "no",
        ResolveThreads::Answered => "answered",
    }
}

fn format_word(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
        LogFormat::Auto => "auto",
    }
}
