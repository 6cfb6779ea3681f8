//! From variables to [`Settings`]: reads every concern, notes every problem, and only then looks whether there was one.

use super::{
    Ado, Agent, Commit, Intake, Log, LogFormat, Problem, Problems, Reviewer, Runtime, RuntimeKind, Secret,
    Settings, Store, StoreKind, doorbells,
    parse::{self, Wrong},
    raw::{
        Given, RawAdo, RawAgent, RawBrief, RawBudget, RawCommit, RawIntake, RawLog, RawMetrics, RawPolicy,
        RawRecord, RawReviewer, RawRuntime, RawStore, RawWatcher,
    },
    vars::{self, Var},
};
use crate::{
    domain::{Brake, Budget, CloseOn, ExecutorId, LabelNames, Offer, Policy, Prices, ResolveThreads, policy},
    runtime::{Scheme, spec::Limits},
};
use secrecy::SecretString;
use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf, time::Duration};

/// More parallel reads than this are a typing mistake: the service throttles an identity long before.
const MOST_CONCURRENCY: u32 = 32;
/// Eight parallel reads: `DESIGN.md` §12.
const CONCURRENCY: NonZeroU32 = NonZeroU32::new(8).expect("eight is not zero");
/// Runs in flight beyond this are not a setting but a mistake: an organization's quota carries about a thousand.
const MOST_RUNS: u32 = 1_000;
/// So many claims in a day are a mistake too.
const MOST_CLAIMS: u32 = 10_000;
/// Nobody wants an agent to try more often; keeps the sum of all attempts far from overflowing.
const MOST_ATTEMPTS: u32 = 100;
/// An agent that answers more often in one turn is in a loop.
const MOST_STEPS: u32 = 100_000;
/// Nobody wants to be told about more pushes of one change.
const MOST_PUSHES: u32 = 1_000;
/// Several ticks of any sensible schedule.
const WATCHER_SILENCE: Duration = Duration::from_hours(1);
/// As `runtime::spec::Limits` has it.
const IDLE_LIMIT: Duration = Duration::from_mins(10);
/// Relative on purpose: it works without root.
const STATE_DIR: &str = "./.roundsman";
/// Below the state directory.
const STORE_FILE: &str = "runs.sqlite";

pub(super) fn settings(vars: &BTreeMap<String, String>) -> Result<Settings, Problems> {
    let mut read = Reader { problems: Vec::new() };
    let given = Given::sort(vars, &mut read.problems);

    let brake = Brake::parse(given.one(&vars::KILL_SWITCH).as_deref());
    let state_dir: PathBuf = given.one(&vars::STATE_DIR).unwrap_or_else(|| STATE_DIR.into()).into();
    let concurrency = read.or(
        &vars::CONCURRENCY,
        given.one(&vars::CONCURRENCY),
        |text| parse::number(1..=MOST_CONCURRENCY)(text).map(|n| NonZeroU32::new(n).unwrap_or(CONCURRENCY)),
        CONCURRENCY,
    );
    let RawWatcher { silence } = given.section("ROUNDSMAN_WATCHER_");
    let watcher_silence = read.or(&vars::WATCHER_SILENCE, silence, parse::duration, WATCHER_SILENCE);

    let ado = read.ado(given.section("ROUNDSMAN_ADO_"));
    let (intake, policy) = read.intake(given.section("ROUNDSMAN_INTAKE_"));
    let (policy, idle_limit) = read.policy(given.section("ROUNDSMAN_POLICY_"), Policy { brake, ..policy });
    let raw_agent: RawAgent = given.section("ROUNDSMAN_AGENT_");
    let prices = read.prices(&raw_agent);
    let budget = read.budget(given.section("ROUNDSMAN_BUDGET_"), prices);
    let policy = Policy { budget, ..policy };
    let store = read.store(given.section("ROUNDSMAN_STORE_"), &state_dir);
    let runtime = read.runtime(given.section("ROUNDSMAN_RUNTIME_"), vars);
    let agent = read.agent(raw_agent, vars);
    let doorbells = doorbells::read(&mut read, given.section("ROUNDSMAN_DOORBELL_"));
    let reviewer = read.reviewer(given.section("ROUNDSMAN_REVIEWER_"));
    let RawBrief { file } = given.section("ROUNDSMAN_BRIEF_");
    let brief_file = file.map(PathBuf::from);
    let log = read.log(given.section("ROUNDSMAN_LOG_"));
    let RawRecord { file: record } = given.section("ROUNDSMAN_RECORD_");
    let RawMetrics { dir: metrics } = given.section("ROUNDSMAN_METRICS_");
    let commit = read.commit(given.section("ROUNDSMAN_COMMIT_"));

    let mut problems = read.problems;
    // In the order of the documentation; unknown names first, because they often explain the others.
    problems.sort_by_key(|problem| vars::ALL.iter().position(|var| var.name == problem.variable));
    match ado {
        Some(ado) if problems.is_empty() => Ok(Settings {
            brake,
            state_dir,
            concurrency,
            watcher_silence,
            ado,
            intake,
            idle_limit,
            store,
            runtime,
            agent,
            doorbells,
            reviewer,
            brief_file,
            log,
            record: record.map(PathBuf::from),
            metrics: metrics.map(PathBuf::from),
            commit,
            policy,
        }),
        Some(_) | None => Err(Problems(problems)),
    }
}

pub(super) struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    /// The value, or `absent`; after a problem too, because then the result is thrown away anyway.
    pub(super) fn or<T>(
        &mut self,
        var: &Var,
        raw: Option<String>,
        parse: impl Fn(&str) -> Result<T, Wrong>,
        absent: T,
    ) -> T {
        self.maybe(var, raw, parse).unwrap_or(absent)
    }

    pub(super) fn maybe<T>(
        &mut self,
        var: &Var,
        raw: Option<String>,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        match parse(&raw?) {
            Ok(value) => Some(value),
            Err(Wrong { wrong, advice }) => {
                self.problem(var, &wrong, &advice);
                None
            }
        }
    }

    pub(super) fn problem(&mut self, var: &Var, wrong: &str, advice: &str) {
        let problem = Problem { variable: var.name.into(), wrong: wrong.into(), advice: advice.into() };
        self.problems.push(problem);
    }

    /// A secret that is given in at most one of two ways.
    pub(super) fn secret(
        &mut self,
        [var, file_var]: [&Var; 2],
        value: Option<String>,
        file: Option<String>,
    ) -> Option<Secret> {
        match (value, file) {
            (Some(value), None) => Some(Secret::Given(SecretString::from(value))),
            (None, Some(path)) => Some(Secret::file(file_var, path)),
            (Some(_), Some(_)) => {
                self.problem(
                    var,
                    &format!("is set, and {} too", file_var.name),
                    "keep one of them, better the file",
                );
                None
            }
            (None, None) => None,
        }
    }

    fn ado(&mut self, raw: RawAdo) -> Option<Ado> {
        let RawAdo { url, token, token_file, allow_http, auth, identity, organization } = raw;
        if url.is_none() {
            let advice = "write the organization's address, for example `https://dev.azure.com/acme`";
            self.problem(&vars::ADO_URL, "is not set", advice);
        }
        if token.is_none() && token_file.is_none() {
            let advice = "name a file that holds the token, or put the token into ROUNDSMAN_ADO_TOKEN";
            self.problem(&vars::ADO_TOKEN_FILE, "is not set", advice);
        }
        let allow_http = self.or(&vars::ADO_ALLOW_HTTP, allow_http, parse::yes_no, false);
        let url = self.maybe(&vars::ADO_URL, url, |text| parse::organization_url(text, allow_http));
        let secret = self.secret([&vars::ADO_TOKEN, &vars::ADO_TOKEN_FILE], token, token_file);
        let scheme = self.or(&vars::ADO_AUTH, auth, parse::scheme, Scheme::Pat);
        let identity = self.maybe(&vars::ADO_IDENTITY, identity, parse::identity);
        let organization = self.maybe(&vars::ADO_ORGANIZATION, organization, parse::organization_id);
        Some(Ado { url: url?, scheme, identity, organization, secret: secret? })
    }

    fn intake(&mut self, raw: RawIntake) -> (Intake, Policy) {
        let RawIntake {
            projects,
            repositories,
            trusted,
            default_repository,
            routes,
            label_ready,
            label_in_progress,
            label_human,
            label_paused,
            label_stop,
            max_runs,
            max_runs_per_repository,
            max_claims_per_day,
            max_claims_per_poll,
            agents,
            models,
            efforts,
        } = raw;
        let (trusted, groups) =
            self.maybe(&vars::INTAKE_TRUSTED, trusted, parse::trusted).unwrap_or_default();
        let intake = Intake {
            projects: self.or(&vars::INTAKE_PROJECTS, projects, parse::list, Vec::new()),
            repositories: self.or(&vars::INTAKE_REPOSITORIES, repositories, parse::repositories, Vec::new()),
            trusted,
            groups,
            default_repository: self.maybe(
                &vars::INTAKE_DEFAULT_REPOSITORY,
                default_repository,
                parse::repository,
            ),
            routes: self.or(&vars::INTAKE_ROUTES, routes, parse::routes, Vec::new()),
        };
        let usual = LabelNames::default();
        let labels = LabelNames {
            ready: self.or(&vars::INTAKE_LABEL_READY, label_ready, parse::label, usual.ready),
            in_progress: self.or(
                &vars::INTAKE_LABEL_IN_PROGRESS,
                label_in_progress,
                parse::label,
                usual.in_progress,
            ),
            human: self.or(&vars::INTAKE_LABEL_HUMAN, label_human, parse::label, usual.human),
            paused: self.or(&vars::INTAKE_LABEL_PAUSED, label_paused, parse::label, usual.paused),
            stop: self.or(&vars::INTAKE_LABEL_STOP, label_stop, parse::label, usual.stop),
        };
        self.labels_differ(&labels);
        let runs = parse::number(0..=MOST_RUNS);
        let claims = parse::number(0..=MOST_CLAIMS);
        let policy = Policy {
            labels,
            trusted: intake.trusted.clone(),
            projects: intake.projects.iter().map(|project| project.to_lowercase()).collect(),
            repositories: intake.repositories.iter().map(|path| path.to_string().to_lowercase()).collect(),
            max_runs: self.or(&vars::INTAKE_MAX_RUNS, max_runs, &runs, policy::MAX_RUNS),
            max_runs_per_repository: self.or(
                &vars::INTAKE_MAX_RUNS_PER_REPOSITORY,
                max_runs_per_repository,
                &runs,
                policy::MAX_RUNS_PER_REPOSITORY,
            ),
            max_claims_per_day: self.or(
                &vars::INTAKE_MAX_CLAIMS_PER_DAY,
                max_claims_per_day,
                &claims,
                policy::MAX_CLAIMS_PER_DAY,
            ),
            max_claims_per_poll: self.or(
                &vars::INTAKE_MAX_CLAIMS_PER_POLL,
                max_claims_per_poll,
                &claims,
                policy::MAX_CLAIMS_PER_POLL,
            ),
            offer: Offer {
                agents: self.or(&vars::INTAKE_AGENTS, agents, parse::agents, Vec::new()),
                models: self.or(&vars::INTAKE_MODELS, models, parse::choices, Vec::new()),
                efforts: self.or(&vars::INTAKE_EFFORTS, efforts, parse::choices, Vec::new()),
            },
            ..Policy::default()
        };
        (intake, policy)
    }

    /// Two meanings on one label would make every item both.
    fn labels_differ(&mut self, labels: &LabelNames) {
        let LabelNames { ready, in_progress, human, paused, stop } = labels;
        let all = [
            (&vars::INTAKE_LABEL_READY, ready),
            (&vars::INTAKE_LABEL_IN_PROGRESS, in_progress),
            (&vars::INTAKE_LABEL_HUMAN, human),
            (&vars::INTAKE_LABEL_PAUSED, paused),
            (&vars::INTAKE_LABEL_STOP, stop),
        ];
        for (place, (var, label)) in all.iter().enumerate() {
            let same = |(_, other): &&(&Var, &String)| other.to_lowercase() == label.to_lowercase();
            if let Some((first, _)) = all[..place].iter().find(same) {
                self.problem(var, &format!("is the same label as {}", first.name), "give each its own label");
            }
        }
    }

    fn policy(&mut self, raw: RawPolicy, so_far: Policy) -> (Policy, Duration) {
        let RawPolicy {
            fix_forward_attempts,
            fix_forward_window,
            respond_attempts,
            conflict_attempts,
            infrastructure_attempts,
            provider_limit,
            redispatch_attempts,
            turn_limit,
            idle_limit,
            verdict_limit,
            checks_grace,
            quiet_period,
            gap_limit,
            remind_after,
            review_limit,
            takeover_after,
            close_on,
            draft,
            auto_complete,
            fault_drill,
            pause_when_assigned,
            resolve_threads,
            proposals,
            attach_evidence,
        } = raw;
        let mut p = so_far;
        let attempts = parse::number(0..=MOST_ATTEMPTS);
        let mut count = |var, raw, into: &mut u32| *into = self.or(var, raw, &attempts, *into);
        count(&vars::POLICY_FIX_FORWARD_ATTEMPTS, fix_forward_attempts, &mut p.fix_forward_attempts);
        count(&vars::POLICY_RESPOND_ATTEMPTS, respond_attempts, &mut p.respond_attempts);
        count(&vars::POLICY_CONFLICT_ATTEMPTS, conflict_attempts, &mut p.conflict_attempts);
        count(&vars::POLICY_INFRASTRUCTURE_ATTEMPTS, infrastructure_attempts, &mut p.infrastructure_attempts);
        count(&vars::POLICY_REDISPATCH_ATTEMPTS, redispatch_attempts, &mut p.redispatch_attempts);

        let mut span = |var, raw, into: &mut Duration| *into = self.or(var, raw, parse::duration, *into);
        let mut idle = IDLE_LIMIT;
        span(&vars::POLICY_FIX_FORWARD_WINDOW, fix_forward_window, &mut p.fix_forward_window);
        span(&vars::POLICY_TURN_LIMIT, turn_limit, &mut p.turn_limit);
        span(&vars::POLICY_PROVIDER_LIMIT, provider_limit, &mut p.provider_limit);
        span(&vars::POLICY_IDLE_LIMIT, idle_limit, &mut idle);
        span(&vars::POLICY_VERDICT_LIMIT, verdict_limit, &mut p.verdict_limit);
        span(&vars::POLICY_CHECKS_GRACE, checks_grace, &mut p.checks_grace);
        span(&vars::POLICY_QUIET_PERIOD, quiet_period, &mut p.quiet_period);
        span(&vars::POLICY_GAP_LIMIT, gap_limit, &mut p.gap_limit);
        span(&vars::POLICY_REMIND_AFTER, remind_after, &mut p.remind_after);
        span(&vars::POLICY_REVIEW_LIMIT, review_limit, &mut p.review_limit);
        span(&vars::POLICY_TAKEOVER_AFTER, takeover_after, &mut p.takeover_after);

        let mut flag = |var, raw, into: &mut bool| *into = self.or(var, raw, parse::yes_no, *into);
        flag(&vars::POLICY_DRAFT, draft, &mut p.open_as_draft);
        flag(&vars::POLICY_AUTO_COMPLETE, auto_complete, &mut p.auto_complete);
        flag(&vars::POLICY_PAUSE_WHEN_ASSIGNED, pause_when_assigned, &mut p.pause_when_assigned);
        flag(&vars::POLICY_ATTACH_EVIDENCE, attach_evidence, &mut p.attach_evidence);
        let no = ResolveThreads::No;
        p.resolve_threads =
            self.or(&vars::POLICY_RESOLVE_THREADS, resolve_threads, parse::resolve_threads, no);
        p.close_on = self.or(&vars::POLICY_CLOSE_ON, close_on, parse::close_on, CloseOn::Merged);

        let most = parse::number(0..=policy::MOST_PROPOSALS);
        p.proposals = self.or(&vars::POLICY_PROPOSALS, proposals, most, p.proposals);

        p.drill = self
            .maybe(&vars::POLICY_FAULT_DRILL, fault_drill, parse::repository)
            .map(|path| path.to_string().to_lowercase());
        if p.drill.as_ref().is_some_and(|named| !p.repositories.contains(named)) {
            self.problem(
                &vars::POLICY_FAULT_DRILL,
                "names a repository that is not worked on",
                "name one of those in ROUNDSMAN_INTAKE_REPOSITORIES",
            );
        }

        // The net must stay larger than what it catches, whatever the operator allows.
        let all = 1
            + p.fix_forward_attempts
            + p.respond_attempts
            + p.conflict_attempts
            + p.infrastructure_attempts
            + p.redispatch_attempts;
        p.max_turns = u16::try_from(all).unwrap_or(u16::MAX).max(policy::MAX_TURNS);
        (p, idle)
    }

    fn budget(&mut self, raw: RawBudget, prices: Option<Prices>) -> Budget {
        let RawBudget { item_time, item_tokens, item_cost, unaccepted_cost, day_tokens, day_cost, pushes } =
            raw;
        let usual = Budget::default();
        let dollars = parse::or_none(parse::dollars);
        let tokens = parse::or_none(parse::count);
        let unaccepted = &vars::BUDGET_UNACCEPTED_COST;
        let is_amount = |given: &Option<String>| {
            given.as_deref().is_some_and(|text| matches!(dollars(text), Ok(Some(_))))
        };
        let chooses_money = [&item_cost, &unaccepted_cost, &day_cost].into_iter().any(is_amount);
        Budget {
            chooses_money,
            item_time: self.or(
                &vars::BUDGET_ITEM_TIME,
                item_time,
                parse::or_none(parse::duration),
                usual.item_time,
            ),
            item_tokens: self.or(&vars::BUDGET_ITEM_TOKENS, item_tokens, &tokens, usual.item_tokens),
            item_cost: self.or(&vars::BUDGET_ITEM_COST, item_cost, &dollars, usual.item_cost),
            unaccepted_cost: self.or(unaccepted, unaccepted_cost, &dollars, usual.unaccepted_cost),
            day_tokens: self.or(&vars::BUDGET_DAY_TOKENS, day_tokens, &tokens, usual.day_tokens),
            day_cost: self.or(&vars::BUDGET_DAY_COST, day_cost, &dollars, usual.day_cost),
            pushes: self.or(&vars::BUDGET_PUSHES, pushes, parse::number(0..=MOST_PUSHES), usual.pushes),
            prices,
        }
    }

    /// One price alone would count the other as nothing.
    fn prices(&mut self, raw: &RawAgent) -> Option<Prices> {
        let mut price = |var, given: &Option<String>| self.maybe(var, given.clone(), parse::dollars);
        let input = price(&vars::AGENT_PRICE_INPUT, &raw.price_input);
        let cached = price(&vars::AGENT_PRICE_CACHED, &raw.price_cached);
        let output = price(&vars::AGENT_PRICE_OUTPUT, &raw.price_output);
        let is_given = raw.price_input.is_some() || raw.price_cached.is_some() || raw.price_output.is_some();
        for (var, given) in
            [(&vars::AGENT_PRICE_INPUT, &raw.price_input), (&vars::AGENT_PRICE_OUTPUT, &raw.price_output)]
        {
            if is_given && given.is_none() {
                self.problem(var, "is not set, but another price is", "give both prices, or none");
            }
        }
        let (input, output) = (input?, output?);
        Some(Prices { input, cached: cached.unwrap_or(input), output })
    }

    fn store(&mut self, raw: RawStore, state_dir: &std::path::Path) -> Store {
        let RawStore { kind, path } = raw;
        Store {
            kind: self.or(&vars::STORE_KIND, kind, parse::store_kind, StoreKind::Sqlite),
            path: path.map_or_else(|| state_dir.join(STORE_FILE), PathBuf::from),
        }
    }

    fn runtime(&mut self, raw: RawRuntime, vars: &BTreeMap<String, String>) -> Runtime {
        Runtime {
            kind: self.or(&vars::RUNTIME_KIND, raw.kind.clone(), parse::runtime_kind, RuntimeKind::Process),
            executor: ExecutorId(self.or(
                &vars::RUNTIME_EXECUTOR,
                raw.executor.clone(),
                parse::plain_name,
                "local".into(),
            )),
            worker: raw.worker.clone().map(PathBuf::from),
            sandbox: self.sandbox(raw, vars),
        }
    }

    fn agent(&mut self, raw: RawAgent, vars: &BTreeMap<String, String>) -> Agent {
        let RawAgent {
            name,
            command,
            environment,
            model,
            effort,
            step_limit,
            token_limit,
            cost_limit,
            // Read with the budget.
            price_input: _,
            price_cached: _,
            price_output: _,
            checks_environment,
            plan_first,
            base_checks,
        } = raw;
        let usual = Limits::default();
        let mut absent = Vec::new();
        let mut named = |var, raw| {
            let names = self.or(var, raw, parse::variable_names, Vec::new());
            let (set, missing): (Vec<_>, Vec<_>) =
                names.into_iter().partition(|name| vars.contains_key(name));
            absent.extend(missing);
            set.into_iter().map(|name| (name.clone(), SecretString::from(vars[&name].clone()))).collect()
        };
        let environment = named(&vars::AGENT_ENVIRONMENT, environment);
        let checks_environment = named(&vars::AGENT_CHECKS_ENVIRONMENT, checks_environment);
        Agent {
            name: self.or(&vars::AGENT_NAME, name, parse::agent, Agent::OF_THE_OPERATOR.into()),
            command: self.or(&vars::AGENT_COMMAND, command, parse::command, Vec::new()),
            environment,
            checks_environment,
            absent,
            model: self.maybe(&vars::AGENT_MODEL, model, parse::one_line),
            effort: self.maybe(&vars::AGENT_EFFORT, effort, parse::plain_name),
            step_limit: self.or(
                &vars::AGENT_STEP_LIMIT,
                step_limit,
                parse::number(0..=MOST_STEPS),
                usual.steps,
            ),
            token_limit: self.or(&vars::AGENT_TOKEN_LIMIT, token_limit, parse::count, usual.tokens),
            cost_limit: self.or(&vars::AGENT_COST_LIMIT, cost_limit, parse::dollars, usual.cost_micro_usd),
            plan_first: self.or(&vars::AGENT_PLAN_FIRST, plan_first, parse::yes_no, true),
            base_checks: self.or(&vars::AGENT_BASE_CHECKS, base_checks, parse::yes_no, true),
        }
    }

    fn reviewer(&mut self, raw: RawReviewer) -> Option<Reviewer> {
        let RawReviewer { agent, command, model, effort } = raw;
        let told = [
            (&vars::REVIEWER_COMMAND, &command),
            (&vars::REVIEWER_MODEL, &model),
            (&vars::REVIEWER_EFFORT, &effort),
        ];
        for (var, _) in told.into_iter().filter(|(_, given)| agent.is_none() && given.is_some()) {
            let wrong = format!("is set, but {} is not", vars::REVIEWER_AGENT.name);
            self.problem(var, &wrong, "write the name of the second agent, or remove this");
        }
        let command = self.or(&vars::REVIEWER_COMMAND, command, parse::command, Vec::new());
        let model = self.maybe(&vars::REVIEWER_MODEL, model, parse::one_line);
        let effort = self.maybe(&vars::REVIEWER_EFFORT, effort, parse::plain_name);
        let name = self.maybe(&vars::REVIEWER_AGENT, agent, parse::agent)?;
        Some(Reviewer { name, command, model, effort })
    }

    fn log(&mut self, raw: RawLog) -> Log {
        let RawLog { level, format } = raw;
        Log {
            level: self.or(&vars::LOG_LEVEL, level, parse::log_level, tracing::Level::INFO),
            format: self.or(&vars::LOG_FORMAT, format, parse::log_format, LogFormat::Auto),
        }
    }

    fn commit(&mut self, raw: RawCommit) -> Commit {
        let RawCommit { name, email } = raw;
        Commit {
            name: self.or(&vars::COMMIT_NAME, name, parse::commit_text, "roundsman".into()),
            email: self.or(
                &vars::COMMIT_EMAIL,
                email,
                parse::commit_text,
                "roundsman@localhost.invalid".into(),
            ),
        }
    }
}
