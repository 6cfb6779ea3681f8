//! Every variable of roundsman, once: name, default, meaning, and why the default is what it is.
//!
//! The README's table is rendered from here, problems take names from here, and a variable that is not listed here is
//! a problem. This file does not know how a value is read; [`super::parse`] does.

use std::fmt::Write;

/// What all our variables start with; a variable that starts so and is not in [`ALL`] is a misspelling.
pub const PREFIX: &str = "ROUNDSMAN_";

/// Names with our prefix that the worker hands to programs inside a step. They are not settings; whoever runs
/// roundsman inside a step (our own tests do) must not be told that they are misspelt.
pub const RESERVED: [&str; 6] = [
    "ROUNDSMAN_CALL",
    "ROUNDSMAN_STEP",
    "ROUNDSMAN_BRIEF",
    "ROUNDSMAN_TURN_KIND",
    "ROUNDSMAN_IN",
    "ROUNDSMAN_OUT",
];

/// One variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Var {
    /// The whole name.
    pub name: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// What holds when it is absent.
    pub default: Absent,
    /// Why that default.
    pub why: &'static str,
    /// The first version that knows it.
    pub since: &'static str,
}

/// What an absent variable means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// As if this had been written; a test writes it and compares.
    Is(&'static str),
    /// In words, because no value says the same.
    Means(&'static str),
    /// A problem.
    Required,
}

/// Every variable, as a Markdown table in reading order.
pub fn table() -> String {
    let mut text = String::from("| Variable | Meaning | Default | Why | Since |\n|---|---|---|---|---|\n");
    for var in ALL {
        let Var { name, meaning, default, why, since } = var;
        let default = match default {
            Absent::Is(value) => format!("`{value}`"),
            Absent::Means(words) => (*words).to_owned(),
            Absent::Required => "**required**".to_owned(),
        };
        // A bar inside a cell would end it, even inside backticks.
        let cells = [meaning, default.as_str(), why].map(|cell| cell.replace('|', "\\|"));
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "| `{name}` | {} | {} | {} | {since} |", cells[0], cells[1], cells[2]);
    }
    text
}

macro_rules! vars {
    ($($name:ident: $default:expr, $meaning:literal, $why:literal, $since:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $name: Var = Var {
                name: concat!("ROUNDSMAN_", stringify!($name)),
                meaning: $meaning,
                default: $default,
                why: $why,
                since: $since,
            };
        )*

        /// All variables in reading order.
        pub const ALL: &[Var] = &[$($name),*];
    };
}

use Absent::{Is, Means, Required};

vars! {
    KILL_SWITCH: Is("on"),
        "The brake: `off` (armed), `drain` (claim nothing, finish what runs), `on` (claim nothing, start nothing), `stop` (also stop what runs). Anything else is `on`",
        "Ships disarmed; arming is a deliberate act", "0.1.0";
    STATE_DIR: Is("./.roundsman"),
        "Directory for everything that roundsman keeps on this machine",
        "Works without root; a service sets its own", "0.1.0";
    CONCURRENCY: Is("8"),
        "Reads in parallel against Azure DevOps, 1 to 32",
        "Azure DevOps throttles an identity, not a connection; more than 8 are only throttled sooner", "0.1.0";
    WATCHER_SILENCE: Is("1h"),
        "The poller claims nothing when the watcher's last sign of life is older than this",
        "Several ticks of any sensible schedule; nobody else would look after what is claimed", "0.1.0";

    ADO_URL: Required,
        "Organization or collection, for example `https://dev.azure.com/acme`; http only for this machine, see `ROUNDSMAN_ADO_ALLOW_HTTP`",
        "Nobody's organization is a sensible guess", "0.1.0";
    ADO_TOKEN: Means("none"),
        "The token itself. Either this or `ROUNDSMAN_ADO_TOKEN_FILE`",
        "A file can be rotated while we run and is not inherited by children: prefer it", "0.1.0";
    ADO_TOKEN_FILE: Means("none"),
        "A file that holds the token, read afresh for each use. Either this or `ROUNDSMAN_ADO_TOKEN`",
        "There is no usual place for it", "0.1.0";
    ADO_ALLOW_HTTP: Is("no"),
        "Whether the address may be `http` although it is another machine's: the token travels readable",
        "Some servers inside a company have no certificate; nobody else should say yes", "0.1.0";
    ADO_AUTH: Is("pat"),
        "How the token is presented: `pat` (personal access token) or `bearer` (Entra)",
        "What a first trial has at hand", "0.1.0";
    ADO_IDENTITY: Means("not checked"),
        "Id (GUID) of the identity that the token must belong to; another one is refused at start",
        "Protects from a token of the wrong organization or person; a first trial does not know the id", "0.1.0";
    ADO_ORGANIZATION: Means("not checked"),
        "Id (GUID) of the organization or collection, `instanceId` in `_apis/connectionData`; another one is refused at start",
        "An address can lead elsewhere, and the same account can be known there too", "0.1.0";

    INTAKE_PROJECTS: Means("none: nothing is polled"),
        "Projects whose work items are looked at, comma separated",
        "Nothing happens in a project that nobody named", "0.1.0";
    INTAKE_REPOSITORIES: Means("none: nothing is worked on"),
        "Repositories that may be worked on, as `project/repository`, comma separated",
        "An empty allow-list means nothing, never everything", "0.1.0";
    INTAKE_TRUSTED: Means("nobody"),
        "Ids (GUIDs) of the people whose labels and words count, and groups as `group:GUID` or by descriptor (`vssgp.…`, `aadgp.…`), comma separated. Services never count",
        "Everybody with write access to a work item could otherwise start agents", "0.1.0";
    INTAKE_DEFAULT_REPOSITORY: Means("none: the item must tell"),
        "Repository of a work item that neither names one nor has a route, as `project/repository`",
        "A guess would put work into the wrong repository", "0.1.0";
    INTAKE_ROUTES: Means("none"),
        "Repository by area path: `Area\\Path=project/repository; …`",
        "Small projects have one repository and need no routes", "0.1.0";
    INTAKE_LABEL_READY: Is("ready-for-agent"),
        "Label with which a person asks for a run",
        "The name that teams know from our ancestors", "0.1.0";
    INTAKE_LABEL_IN_PROGRESS: Is("agent-in-progress"),
        "Label of an item that we have claimed",
        "The name that teams know from our ancestors", "0.1.0";
    INTAKE_LABEL_HUMAN: Is("ready-for-human"),
        "Label of an item for which we need a person",
        "The name that teams know from our ancestors", "0.1.0";
    INTAKE_LABEL_PAUSED: Is("agent-paused"),
        "Label with which a person holds a run where it is",
        "Reads like its neighbours", "0.1.0";
    INTAKE_LABEL_STOP: Is("agent-stop"),
        "Label with which a person ends a run",
        "Reads like its neighbours", "0.1.0";
    INTAKE_MAX_RUNS: Is("4"),
        "Runs in flight at most",
        "Keeps one small host busy without starving it", "0.1.0";
    INTAKE_MAX_RUNS_PER_REPOSITORY: Is("1"),
        "Runs in flight at most in one repository",
        "Two agents in one code base mostly make conflicts for each other", "0.1.0";
    INTAKE_MAX_CLAIMS_PER_DAY: Is("20"),
        "Claims at most within 24 hours",
        "A query that suddenly matches ten thousand old items must not start ten thousand agents", "0.1.0";
    INTAKE_MAX_CLAIMS_PER_POLL: Is("4"),
        "Claims at most in one poll",
        "A first poll over a full backlog claims what can run at a time, whatever the other limits", "0.1.0";
    INTAKE_AGENTS: Means("no choice: the label refuses the item"),
        "Agents that an item may choose with the label `agent:<name>`, comma separated",
        "Another agent means other hosts, keys and prices: the operator's decision", "0.1.0";
    INTAKE_MODELS: Means("no choice: the label refuses the item"),
        "Models that an item may choose with the label `model:<name>`, comma separated",
        "Models differ in price by a factor of a hundred", "0.1.0";
    INTAKE_EFFORTS: Means("no choice: the label refuses the item"),
        "Words that an item may choose with the label `effort:<level>`, comma separated",
        "More thinking is more money", "0.1.0";

    POLICY_FIX_FORWARD_ATTEMPTS: Is("5"),
        "Turns that answer failing checks, at most",
        "Most red builds that an agent can fix are fixed by the second attempt", "0.1.0";
    POLICY_FIX_FORWARD_WINDOW: Is("6h"),
        "How long after the first red verdict failing checks are still answered",
        "One hour is eaten by slow pipelines, a day hides a stuck run", "0.1.0";
    POLICY_RESPOND_ATTEMPTS: Is("5"),
        "Turns that answer a review, at most",
        "Five rounds are a long review; then a person should talk to a person", "0.1.0";
    POLICY_CONFLICT_ATTEMPTS: Is("2"),
        "Turns that merge the target branch, at most",
        "A second conflict means a busy target: one more try, then a person", "0.1.0";
    POLICY_INFRASTRUCTURE_ATTEMPTS: Is("3"),
        "Turns started again because the executor lost them or the model provider failed, at most",
        "A bad afternoon does not end work, and a broken image does not loop", "0.1.0";
    POLICY_PROVIDER_LIMIT: Is("1d"),
        "How long a run waits for a model provider that does not answer before a person is told",
        "Outages last hours; what lasts longer is a contract, a key or a network", "0.1.0";
    POLICY_REDISPATCH_ATTEMPTS: Is("1"),
        "Turns started again because the agent failed, at most",
        "An agent that failed twice on the same text fails a third time", "0.1.0";
    POLICY_TURN_LIMIT: Is("45m"),
        "Wall-clock limit of a step",
        "A plan, an implementation and three repairs with slow tests", "0.1.0";
    POLICY_IDLE_LIMIT: Is("10m"),
        "How long an agent may be silent",
        "Longer than most silent test suites, much shorter than the turn limit", "0.1.0";
    POLICY_VERDICT_LIMIT: Is("2h"),
        "How long no verdict at all is normal after a push",
        "Longer means a queue without agents, or a pipeline that never starts", "0.1.0";
    POLICY_CHECKS_GRACE: Is("10m"),
        "How long an empty set of checks may still fill up before it means that there are none",
        "Under load, builds of a fresh push appear within minutes", "0.1.0";
    POLICY_QUIET_PERIOD: Is("3m"),
        "A review is answered when nobody has written for this long",
        "Comments of one review arrive one by one and are answered as one", "0.1.0";
    POLICY_GAP_LIMIT: Is("4h"),
        "How long something may be unreadable before a person is told",
        "Shorter outages heal by themselves", "0.1.0";
    POLICY_REMIND_AFTER: Is("3d"),
        "People are reminded once after this long in review",
        "After a weekend at the earliest", "0.1.0";
    POLICY_REVIEW_LIMIT: Is("14d"),
        "People are asked what to do after this long in review",
        "Nobody is going to look at it unasked", "0.1.0";
    POLICY_TAKEOVER_AFTER: Is("3d"),
        "How long a run's executor must have given no sign before another executor goes on with the run; `0` = never; a run in review has its review limit besides",
        "Longer than a weekend without power; the owner asks people itself when it lives", "0.1.0";
    POLICY_CLOSE_ON: Is("merged"),
        "When a run is done: `merged` (people merged it) or `green` (all checks passed)",
        "Work that nobody merged is not done", "0.1.0";
    POLICY_DRAFT: Is("no"),
        "Whether pull requests are opened as drafts and published when their checks are green",
        "Reviewers of a draft are not told about it", "0.1.0";
    POLICY_AUTO_COMPLETE: Is("no"),
        "Whether auto-complete is set when all is good",
        "Merging stays a person's act unless a team decides otherwise", "0.1.0";
    POLICY_FAULT_DRILL: Means("none"),
        "A drill: the repository, as `project/repository`, in which the first green verdict of each run is taken for red, so that a fix turn can be watched",
        "Costs a turn of an agent for each run; one repository that people named for it", "0.1.0";
    POLICY_PAUSE_WHEN_ASSIGNED: Is("no"),
        "Whether an item that is assigned to a person waits",
        "Many teams assign an item to whoever watches the agent", "0.1.0";
    POLICY_RESOLVE_THREADS: Is("no"),
        "Which threads are marked as fixed: `no` (none) or `answered` (those that a commit of ours answered)",
        "Whoever asked says whether it is settled", "0.1.0";
    POLICY_PROPOSALS: Is("0"),
        "Follow-up work items that a run may propose, at most; they are linked and carry no label of ours",
        "Items of an agent's making are a surprise where nobody asked for them; 3 are a useful number where people did", "0.1.0";
    POLICY_ATTACH_EVIDENCE: Is("no"),
        "Whether a run that asks people attaches what its turns left (briefs, output, checks, the patch) to the work item, as one text file",
        "Everybody who sees the item reads it, also those who cannot read the code", "0.1.0";

    BUDGET_ITEM_TIME: Is("8h"),
        "Time in which agents work on one work item, all its turns and runs together; `none` is no limit, as for all limits below",
        "Ten turns at their limit; whoever needs more works in circles", "0.1.0";
    BUDGET_ITEM_TOKENS: Is("60000000"),
        "Tokens of one work item that are paid in full, at most",
        "Three turns at their limit", "0.1.0";
    BUDGET_ITEM_COST: Is("60"),
        "US dollars of one work item, at most. Once this or another limit in dollars is set, to whatever amount, a price that nobody knows stops the run: see `ROUNDSMAN_AGENT_PRICE_INPUT`. The defaults hold where the price is known",
        "Three turns at their limit, or a dozen expensive honest ones", "0.1.0";
    BUDGET_UNACCEPTED_COST: Is("40"),
        "US dollars of one run since checks last passed on its work or a person let it go on, at most",
        "Two turns that were cut at their limit, and still nothing that passes", "0.1.0";
    BUDGET_DAY_TOKENS: Is("300000000"),
        "Tokens of all runs in one UTC day that are paid in full, at most; then everything waits for the next day",
        "Five work items that use up all theirs", "0.1.0";
    BUDGET_DAY_COST: Is("200"),
        "US dollars of all runs in one UTC day, at most; then everything waits for the next day",
        "What a team may find on Monday without having been asked", "0.1.0";
    BUDGET_PUSHES: Is("15"),
        "Pushes to one pull request, at most; counted anew when a person lets its run go on",
        "More than all turns that can push; reviewers and pipelines are told about each", "0.1.0";

    STORE_KIND: Is("sqlite"),
        "Where runs are remembered: `sqlite` (a file), or `labels` (no file: records in the work items' comments; more calls, \
         and a silent watcher is not noticed)",
        "Needs nothing but a local disk", "0.1.0";
    STORE_PATH: Means("`runs.sqlite` in the state directory"),
        "The run store's file; on a local disk, shared by poller and watcher of one executor",
        "One directory to mount and to back up", "0.1.0";

    RUNTIME_KIND: Is("process"),
        "Where steps run: `docker` (three hardened containers per turn), or `process` (children on this machine, not isolated; for trials)",
        "Needs nothing installed; a host that works for others sets `docker`", "0.1.0";
    RUNTIME_EXECUTOR: Is("local"),
        "Name of this host or cluster; only the executor that claimed a run starts its steps",
        "One executor needs no name; two must differ", "0.1.0";
    RUNTIME_WORKER: Means("`roundsman-worker` beside the running program"),
        "The worker program of the process runtime",
        "Both are installed together", "0.1.0";
    RUNTIME_DOCKER_HOST: Means("what `DOCKER_HOST` says, else this machine's socket"),
        "The container engine: `unix:///…`, or `tcp://host:port` with `ROUNDSMAN_RUNTIME_DOCKER_CERTIFICATES`",
        "The variable that every program around containers reads", "0.1.0";
    RUNTIME_DOCKER_CERTIFICATES: Means("what `DOCKER_CERT_PATH` says"),
        "Directory with `ca.pem`, `cert.pem` and `key.pem` for an engine on another machine",
        "The variable that every program around containers reads", "0.1.0";
    RUNTIME_IMAGE: Is("roundsman-worker"),
        "Image of the steps; `roundsman image build` makes it. Name it by digest where it is pulled",
        "What `roundsman image build` makes", "0.1.0";
    RUNTIME_IMAGES: Means("none: `ROUNDSMAN_RUNTIME_IMAGE` everywhere"),
        "Image of the agent's step by repository: `project/repository=image; …`; any image with a shell and git will do",
        "Most checks need nothing that the worker image lacks, or install it", "0.1.0";
    RUNTIME_BUILD_IMAGES: Is("no"),
        "Whether the image of the agent's step may be built from the repository's own compose file, devcontainer or Dockerfile, as the base revision has them",
        "A Dockerfile is code that runs on the engine's network before any check", "0.1.0";
    RUNTIME_ISOLATION: Means("the engine's own"),
        "Another OCI runtime of the engine, for example `runsc` (gVisor)",
        "Few engines have a second one", "0.1.0";
    RUNTIME_MEMORY: Is("4GiB"),
        "Memory of a step, swap included",
        "An agent needs 0.7 GiB; a compiler beside it the rest", "0.1.0";
    RUNTIME_CPUS: Is("2"),
        "Processors of a step",
        "Two steps side by side leave a small host usable", "0.1.0";
    RUNTIME_PROCESSES: Is("512"),
        "Processes and threads of a step",
        "A parallel build has a few hundred; a fork bomb ends there", "0.1.0";
    RUNTIME_DISK: Is("10GiB"),
        "What an agent's step may keep on its volumes",
        "A checkout, its dependencies and a build; more is a loop", "0.1.0";
    RUNTIME_EGRESS: Means("the model provider's own addresses, as `roundsman agents` lists them"),
        "What an agent's step may reach, as `host[:port]`, comma separated; `none` is no network, `*` any public host",
        "An agent that can reach nothing else can leak nothing elsewhere", "0.1.0";
    RUNTIME_PROXY: Means("none"),
        "Proxy through which steps leave the company network, for example `http://proxy.example:3128`",
        "Most hosts need none", "0.1.0";
    RUNTIME_NO_PROXY: Means("none"),
        "Hosts that fetch and publish reach without the proxy, comma separated",
        "Most hosts need none", "0.1.0";
    RUNTIME_CERTIFICATES: Means("those of the image"),
        "PEM file with certificates that steps trust, read afresh for each step: a company's own authority",
        "Public services need none", "0.1.0";
    RUNTIME_RETENTION: Is("7d"),
        "How long what a closed run left on the executor is kept",
        "Long enough to look into last week's surprise", "0.1.0";

    AGENT_NAME: Is("command"),
        "The agent, one of those that `roundsman agents` lists; `command` runs `ROUNDSMAN_AGENT_COMMAND`",
        "Works with every program", "0.1.0";
    AGENT_COMMAND: Means("none"),
        "Program and arguments of `command`, more arguments of any other agent; split at spaces; `'…'`, `\"…\"` and `\\` protect spaces; nothing is expanded",
        "Which agent a team runs is its own choice", "0.1.0";
    AGENT_ENVIRONMENT: Means("none"),
        "Names of variables that the agent step is given, comma separated",
        "An agent sees no key that nobody meant for it", "0.1.0";
    AGENT_MODEL: Means("the agent's own default"),
        "The model, as the agent writes it",
        "Models come and go faster than versions of this program", "0.1.0";
    AGENT_EFFORT: Means("the agent's own default"),
        "How hard the model thinks, as the agent writes it, where it can be told",
        "Not every model has levels", "0.1.0";
    AGENT_STEP_LIMIT: Is("500"),
        "Answers of the model in one turn, at most",
        "Long honest turns have about two hundred; an agent in a loop has no end", "0.1.0";
    AGENT_TOKEN_LIMIT: Is("20000000"),
        "Tokens of one turn that are paid in full, at most",
        "Two hundred answers with a context of 100,000 tokens each", "0.1.0";
    AGENT_COST_LIMIT: Is("20"),
        "US dollars of one turn, at most, where the agent tells a price",
        "Several times an expensive honest turn", "0.1.0";
    AGENT_PRICE_INPUT: Means("what the agent tells"),
        "US dollars of a million tokens sent, where the agent tells no price",
        "Prices differ by model and contract", "0.1.0";
    AGENT_PRICE_CACHED: Means("as much as any token sent"),
        "US dollars of a million tokens sent that the provider had in its cache",
        "Too much rather than too little", "0.1.0";
    AGENT_PRICE_OUTPUT: Means("what the agent tells"),
        "US dollars of a million tokens of the model's answers, reasoning included",
        "Prices differ by model and contract", "0.1.0";
    AGENT_CHECKS_ENVIRONMENT: Means("none"),
        "Names of variables that the repository's checks are given and the agent is not, comma separated",
        "Tests against a service need its key; the agent does not", "0.1.0";
    AGENT_PLAN_FIRST: Is("yes"),
        "Whether the agent makes a plan before it changes anything",
        "The plan is the cheapest moment to see that something is misunderstood", "0.1.0";
    AGENT_BASE_CHECKS: Is("yes"),
        "Whether the repository's checks are run on the untouched base before the agent is called, for a quarter of the turn limit and ten minutes at most",
        "What was red before is not the agent's to repair; switch it off where checks are slow", "0.1.0";
    BRIEF_FILE: Means("none"),
        "A file with rules of the operator for every brief, a template with `{{ item }}`, `{{ run }}`, `{{ turn }}`, `{{ kind }}`, `{{ project }}`, `{{ repository }}`, `{{ target }}`; read afresh for each brief",
        "Most rules belong to a repository, in its `.roundsman.toml`", "0.1.0";
    REVIEWER_AGENT: Means("none: nobody reviews before people do"),
        "A second agent that looks at the change before it is published, one of those that `roundsman agents` lists; it holds nothing up",
        "It costs as much as a short turn", "0.1.0";
    REVIEWER_COMMAND: Means("none"),
        "As `ROUNDSMAN_AGENT_COMMAND`, for the second agent",
        "Most agents need no more than their name", "0.1.0";
    REVIEWER_MODEL: Means("the agent's own default"),
        "As `ROUNDSMAN_AGENT_MODEL`, for the second agent; another model than the first one's sees more",
        "Models come and go faster than versions of this program", "0.1.0";
    REVIEWER_EFFORT: Means("the agent's own default"),
        "As `ROUNDSMAN_AGENT_EFFORT`, for the second agent",
        "Not every model has levels", "0.1.0";

    DOORBELL_WEBHOOK: Means("none: nobody is rung"),
        "Address to which notifications are posted as JSON. At most one of this and `ROUNDSMAN_DOORBELL_WEBHOOK_FILE`",
        "Azure DevOps mails whoever is mentioned; this is for chats and pagers", "0.1.0";
    DOORBELL_WEBHOOK_FILE: Means("none"),
        "A file that holds this address, read afresh for each use",
        "There is no usual place for it", "0.1.0";
    DOORBELL_WEBHOOK_EVENTS: Means("all"),
        "What the webhook is told, comma separated: `done`, `needs-human`, `frozen`",
        "A program that listens filters better than we do", "0.1.0";
    DOORBELL_SECRET: Means("none: not signed"),
        "Key with which the webhook's notifications are signed. At most one of this and `ROUNDSMAN_DOORBELL_SECRET_FILE`",
        "Many receivers cannot check a signature", "0.1.0";
    DOORBELL_SECRET_FILE: Means("none: not signed"),
        "A file that holds this key, read afresh for each use",
        "There is no usual place for it", "0.1.0";
    DOORBELL_TEAMS: Means("none"),
        "Address of a Teams workflow that is started by a webhook request; it is sent an Adaptive Card. At most one of this and `ROUNDSMAN_DOORBELL_TEAMS_FILE`",
        "Few teams want the same news in two chats", "0.1.0";
    DOORBELL_TEAMS_FILE: Means("none"),
        "A file that holds this address, read afresh for each use: whoever knows it can write there",
        "There is no usual place for it", "0.1.0";
    DOORBELL_TEAMS_EVENTS: Means("all"),
        "What Teams is told, comma separated: `done`, `needs-human`, `frozen`",
        "Whoever names a receiver wants to hear", "0.1.0";
    DOORBELL_SLACK: Means("none"),
        "Address of an incoming webhook of Slack. At most one of this and `ROUNDSMAN_DOORBELL_SLACK_FILE`",
        "Few teams want the same news in two chats", "0.1.0";
    DOORBELL_SLACK_FILE: Means("none"),
        "A file that holds this address, read afresh for each use: whoever knows it can write there",
        "There is no usual place for it", "0.1.0";
    DOORBELL_SLACK_EVENTS: Means("all"),
        "What Slack is told, comma separated: `done`, `needs-human`, `frozen`",
        "Whoever names a receiver wants to hear", "0.1.0";
    DOORBELL_NTFY: Means("none"),
        "Address of a topic of ntfy, for example `https://ntfy.example/agents`; a token goes into `?auth=…`. At most one of this and `ROUNDSMAN_DOORBELL_NTFY_FILE`",
        "Few people want to be woken", "0.1.0";
    DOORBELL_NTFY_FILE: Means("none"),
        "A file that holds this address, read afresh for each use: whoever knows it can write there",
        "There is no usual place for it", "0.1.0";
    DOORBELL_NTFY_EVENTS: Means("all"),
        "What ntfy is told, comma separated: `done`, `needs-human`, `frozen`",
        "Whoever names a receiver wants to hear", "0.1.0";

    LOG_LEVEL: Is("info"),
        "`error`, `warn`, `info`, `debug` or `trace`",
        "One line per decision", "0.1.0";
    LOG_FORMAT: Is("auto"),
        "`text`, `json`, or `auto`: text on a terminal, JSON elsewhere",
        "People read terminals, collectors read everything else", "0.1.0";
    RECORD_FILE: Means("none: nothing is recorded"),
        "File to which each look at each run and its decision is added, one JSON line each, for `roundsman replay`; two files of 16 MiB at most",
        "Texts of work items are in it, so somebody should want it", "0.1.0";
    METRICS_DIR: Means("none: nothing is counted"),
        "Directory in which each program leaves `roundsman-<program>.prom` with what its last invocation came to, as node exporter's textfile collector reads it",
        "Few hosts have a collector", "0.1.0";

    COMMIT_NAME: Is("roundsman"),
        "Author and committer of commits",
        "Says at once that no person typed it", "0.1.0";
    COMMIT_EMAIL: Is("roundsman@localhost.invalid"),
        "Mail address of commits",
        "A domain that can never belong to anybody", "0.1.0";
}
