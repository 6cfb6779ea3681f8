//! One call of the agent: what it is told, with which words and variables it is started, and what its end means.
//!
//! A conversation goes on where it can: within a turn, and from an earlier turn of the run (`carry`). One that is not known
//! any more is begun afresh with the whole brief, and a provider that fails for now is asked once more; both cost the agent nothing.

use super::{
    agent::{Session, Why},
    child::{self, Call, End, Ended},
    evidence::{self, CallNote, EVENTS_CAP, LOG_CAP, Sink},
    machine::{self, Instant, now, text},
    memory, meter,
    meter::{Heard, Meter},
    prompts,
};
use crate::{
    agents::{
        stream::{Dialect, Exit, Summary, Verdict},
        template::{self, Value},
    },
    domain::{AgentFailure, AgentResult, Usage},
    runtime::{
        process::files,
        spec::{BriefWay, InstructionsWay},
    },
};
use secrecy::ExposeSecret as _;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// Bytes read of a file that the agent left.
const LEFT_LIMIT: u64 = 64 << 10;
/// Bytes of a log that explain a failure.
pub(super) const LOG_TAIL: usize = 2_000;
/// Bytes of one argument: Linux takes 128 KiB, and the brief is not alone.
const ARGUMENT_LIMIT: usize = 100 << 10;
/// How long a program may take to print its version.
const VERSION_LIMIT: Duration = Duration::from_secs(20);
/// How often a stop is looked for while waiting.
const PAUSE_STEP: Duration = Duration::from_millis(200);
/// Characters of a version.
const VERSION: usize = 100;

/// What to tell the agent: everything, or what it does not know yet.
pub(super) struct Told {
    /// For an agent that knows nothing.
    pub(super) fresh: String,
    /// For one that was told before, in the same conversation, what this turn is about.
    pub(super) again: String,
}

/// What one process came to.
struct Came {
    end: End,
    verdict: Verdict,
    /// The conversation that it spoke of.
    session: Option<String>,
    /// For people: the end of what it said.
    words: String,
}

impl Session<'_> {
    /// Calls the agent. Errors are ends that no evidence can outweigh; work is saved before they are reported.
    pub(super) fn ask(&mut self, why: Why, told: &Told) -> Result<(), AgentResult> {
        // After a provider failed for now: whether the agent had heard us before.
        let (mut is_told, mut was_heard, mut is_retry) = (self.is_told, false, false);
        loop {
            if let Some(over) = meter::exhausted(&self.usage, &self.job.spec.limits) {
                return Err(self.fail(AgentFailure::Exhausted, &format!("the turn has used {over}")));
            }
            let going_on = self.conversation.clone().filter(|_| !self.call.resume.is_empty());
            let brief = match (&going_on, is_told) {
                (Some(_), _) if was_heard => prompts::go_on(),
                (Some(_), true) => told.again.clone(),
                (Some(_), false) | (None, _) => told.fresh.clone(),
            };
            let came = self.one_call(why, &brief, going_on.as_ref().map(|c| c.session.as_str()))?;
            if let Some(halt) = self.halts(why, &came) {
                return Err(halt);
            }
            match came.verdict {
                Verdict::UnknownSession if going_on.is_some() => {
                    self.job.say("the conversation is not known any more: it begins afresh");
                    self.conversation = None;
                    memory::remember(self.job, &self.call.name, None);
                    (is_told, was_heard) = (false, false);
                }
                Verdict::ProviderTransient | Verdict::Transport
                    if !is_retry && self.call.dialect != Dialect::Plain =>
                {
                    self.job.say("the provider failed for now: one more try after a pause");
                    self.pause();
                    is_retry = true;
                    // What it was told before it broke off, it knows only where it can go on.
                    was_heard = came.session.is_some();
                }
                Verdict::ProviderPermanent => {
                    let detail = format!("{} call {}: {}", why.word(), came.verdict, came.words);
                    return Err(self.fail(AgentFailure::Rejected, &detail));
                }
                Verdict::ProviderTransient | Verdict::Transport => {
                    let detail = format!("{} call {}: {}", why.word(), came.verdict, came.words);
                    return Err(self.fail(AgentFailure::Provider, &detail));
                }
                Verdict::Answered | Verdict::Refused | Verdict::UnknownSession | Verdict::Crashed => {
                    self.is_told = true;
                    self.last = came.verdict;
                    self.last_words = came.words;
                    return Ok(());
                }
            }
        }
    }

    /// Ends that were ours: limits, a stop, a program that is not there.
    fn halts(&self, why: Why, came: &Came) -> Option<AgentResult> {
        let told = |what: &str| match came.words.trim() {
            "" => format!("{} call {what}", why.word()),
            words => format!("{} call {what}: {words}", why.word()),
        };
        let (class, detail) = match &came.end {
            End::Exited(_) | End::Signalled(_) => return None,
            End::NotStarted(error) => {
                (AgentFailure::Infrastructure, told(&format!("did not start: {error}")))
            }
            End::Idle => (AgentFailure::Idle, told("was silent for too long")),
            End::Timeout => (AgentFailure::Timeout, told("took too long")),
            End::TooMuchOutput => (AgentFailure::TooMuchOutput, told("wrote too much")),
            End::Exhausted(what) => (AgentFailure::Exhausted, told(&format!("used {what}"))),
            End::Stopped => (AgentFailure::Stopped, told("was stopped")),
        };
        Some(self.fail(class, &detail))
    }

    fn one_call(&mut self, why: Why, brief: &str, session: Option<&str>) -> Result<Came, AgentResult> {
        self.calls += 1;
        let (job, call) = (self.job, self.call);
        let places = &job.spec.places;
        let stem = format!("{:02}-{}", self.calls, why.word());
        let broken = |e: std::io::Error| self.fail(AgentFailure::Infrastructure, &format!("evidence: {e}"));
        // What an earlier call said must not be taken for this one's word.
        _ = fs::remove_file(places.output.join("outcome.json"));
        evidence::keep_brief(job, &stem, brief).map_err(broken)?;
        let brief_file = job.directory.join("brief.md");
        machine::write(brief_file.clone(), brief.as_bytes()).map_err(broken)?;
        let path = |ending: &str| evidence::directory(job).join(format!("{stem}.{ending}"));
        let log = path("log");
        let sink = Sink::create(&log, LOG_CAP, &job.redactor).map_err(broken)?;
        let events = match call.dialect {
            Dialect::Plain => None,
            Dialect::Opencode | Dialect::Claude | Dialect::Codex => {
                Some(Sink::create(&path("events.jsonl"), EVENTS_CAP, &job.redactor).map_err(broken)?)
            }
        };
        let environment = self.environment(why, &brief_file).map_err(broken)?;
        let command = self.words(why, session, brief, &brief_file);
        let before =
            self.conversation.as_ref().filter(|_| session.is_some()).map_or(Usage::default(), |c| c.usage);
        let meter =
            std::sync::Arc::new(Meter::new(call.dialect, &job.spec.limits, self.usage, before, events));
        let measuring =
            meter.measure(vec![places.workspace.clone(), places.home.clone(), places.output.clone()]);
        let began = now();
        let ended = child::run(Call {
            command: &command,
            environment: &environment,
            directory: &places.workspace,
            input: if call.brief == BriefWay::Stdin { brief.as_bytes().to_vec() } else { Vec::new() },
            log: Some(sink),
            watch: Some(meter.clone()),
            capture: false,
            bounds: self.bounds(),
        });
        files::kill_marked(&job.directory);
        drop(measuring);
        let Heard { summary, usage, session: session_usage, garbage } = meter.finish();
        self.usage = self.usage + usage;
        if let Ok(Some(said)) = files::read_left(&places.output, "outcome.json", LEFT_LIMIT)
            && let Ok(outcome) = serde_json::from_str(&said)
        {
            self.outcome = outcome;
        }
        let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
        let verdict = match &ended.end {
            End::Exited(code) if call.provider_codes.contains(code) => Verdict::ProviderTransient,
            End::Exited(code) => summary.verdict(Exit::Code(*code), &errors),
            End::Signalled(_) => summary.verdict(Exit::Signal, &errors),
            End::NotStarted(_)
            | End::Idle
            | End::Timeout
            | End::TooMuchOutput
            | End::Exhausted(_)
            | End::Stopped => Verdict::Crashed,
        };
        if let Some(name) = &summary.session
            && verdict != Verdict::UnknownSession
        {
            memory::remember(job, &call.name, Some((name, session_usage)));
            self.conversation = memory::recall(job, &call.name);
        }
        let words = job.clean(&last_words(call.dialect, &summary, &log), LOG_TAIL);
        job.say(&format!("{stem} {verdict} ({:?}); its last words:\n{words}", ended.end));
        self.notes.push(CallNote {
            number: self.calls,
            why: why.word(),
            resumed: session.is_some(),
            seconds: began.elapsed().as_secs(),
            end: format!("{:?}", ended.end),
            verdict: verdict.to_string(),
            garbage_lines: garbage,
            session: summary.session.clone(),
            usage,
        });
        self.plan_text.clone_from(&summary.text);
        Ok(Came { end: ended.end, verdict, session: summary.session, words })
    }

    /// Program and arguments, with everything filled in that only this step knows.
    fn words(&self, why: Why, session: Option<&str>, brief: &str, brief_file: &Path) -> Vec<String> {
        let call = self.call;
        let (workspace, brief_file) = (text(&self.job.spec.places.workspace), text(brief_file));
        let mode = match why {
            Why::Plan | Why::Review => call.plan.as_ref().unwrap_or(&call.work),
            Why::Implement | Why::Repair | Why::Tidy => &call.work,
        };
        let pointer = prompts::read_file(&brief_file);
        let brief = if brief.len() <= ARGUMENT_LIMIT { brief } else { &pointer };
        let template = if session.is_some() { &call.resume } else { &call.command };
        template::fill_all(template, |slot| match slot {
            "{mode}" => Some(Value::Words(mode)),
            "{session}" => session.map(Value::Text),
            "{workspace}" => Some(Value::Text(&workspace)),
            "{brief_file}" => Some(Value::Text(&brief_file)),
            "{brief}" => Some(Value::Text(brief)),
            _ => None,
        })
    }

    /// The agent's whole environment. Nothing of the worker's own gets there by itself, least of all the variables by
    /// which an agent recognises that it runs inside another one.
    pub(super) fn environment(&self, why: Why, brief_file: &Path) -> std::io::Result<Vec<(String, String)>> {
        let (job, call) = (self.job, self.call);
        let places = &job.spec.places;
        let is_for_agent = |name: &String| !call.checks_environment.contains(name);
        let given = job.handover.environment.iter().filter(|(name, _)| is_for_agent(name));
        let mut environment: BTreeMap<String, String> =
            given.map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect();
        environment.extend(job.network());
        // The operator may choose the search path and the language; the rest is ours.
        let is_chosen =
            |name: &str| matches!(name, "PATH" | "LANG") && job.handover.environment.contains_key(name);
        environment.extend(job.environment().into_iter().filter(|(name, _)| !is_chosen(name)));
        environment.extend(call.switches.clone());
        match why {
            Why::Plan | Why::Review => environment.extend(call.plan_switches.clone()),
            Why::Implement | Why::Repair | Why::Tidy => {}
        }
        if let Some(config) = &call.config {
            let paths: Vec<String> = self.instructions().iter().map(|path| text(path)).collect();
            let list = serde_json::to_string(&paths).unwrap_or_else(|_| "[]".into());
            let content = template::fill_text(&config.text, |slot| {
                (slot == "{instructions}").then_some(Value::Text(&list))
            });
            let place = job.directory.join("agent-configuration");
            machine::write(place.clone(), content.as_bytes())?;
            environment.insert(config.variable.clone(), text(&place));
        }
        for (name, value) in [
            ("ROUNDSMAN_CALL", why.word().to_owned()),
            ("ROUNDSMAN_TURN_KIND", job.spec.turn.kind.word().to_owned()),
            ("ROUNDSMAN_BRIEF", text(brief_file)),
            ("ROUNDSMAN_IN", text(&places.input)),
            ("ROUNDSMAN_OUT", text(&places.output)),
        ] {
            environment.insert(name.to_owned(), value);
        }
        Ok(environment.into_iter().collect())
    }

    /// Instruction files that people landed, as fetch left them.
    fn instructions(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut waiting = vec![self.job.spec.places.input.join("instructions")];
        while let Some(directory) = waiting.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => waiting.push(entry.path()),
                    Ok(kind) if kind.is_file() => found.push(entry.path()),
                    Ok(_) | Err(_) => {}
                }
            }
        }
        found.sort();
        found
    }

    /// The brief with whatever this agent does not get in another way.
    pub(super) fn complete(&self, brief: &str) -> String {
        match self.call.instructions {
            InstructionsWay::Config => brief.to_owned(),
            InstructionsWay::Brief => prompts::with_instructions(brief, &self.instructions()),
        }
    }

    /// What the program calls its version; nothing when it does not say.
    pub(super) fn ask_version(&self) -> String {
        if self.call.version.is_empty() {
            return String::new();
        }
        self.let_print(&self.call.version, &self.job.directory, VERSION_LIMIT, None)
            .map(|ended| self.job.clean(&String::from_utf8_lossy(&ended.stdout), VERSION))
            .unwrap_or_default()
    }

    /// Lets the agent's program say something that is not work: its version, a conversation. It gets the environment of a
    /// call that may write nothing. None when there is none to give.
    pub(super) fn let_print(
        &self,
        command: &[String],
        directory: &Path,
        patience: Duration,
        most_bytes: Option<u64>,
    ) -> Option<Ended> {
        let environment = self.environment(Why::Plan, Path::new("/dev/null")).ok()?;
        let mut bounds = self.bounds();
        bounds.deadline = bounds.deadline.min(now() + patience);
        bounds.output_bytes = most_bytes.unwrap_or(bounds.output_bytes);
        let ended = child::run(Call {
            command,
            environment: &environment,
            directory,
            input: Vec::new(),
            log: None,
            watch: None,
            capture: true,
            bounds,
        });
        files::kill_marked(&self.job.directory);
        Some(ended)
    }

    /// Waits before another try, no longer than there is time, and not when somebody wants us to stop.
    fn pause(&self) {
        let until: Instant = now() + Duration::from_secs(self.job.spec.limits.provider_pause_seconds);
        while now() < until.min(self.job.deadline) && !self.job.stop.asked() {
            thread::sleep(PAUSE_STEP);
        }
    }
}

/// What explains an end: the error that it told, its last text, the end of its log.
fn last_words(dialect: Dialect, summary: &Summary, log: &Path) -> String {
    let log = files::tail(log, LOG_TAIL).unwrap_or_default();
    if dialect == Dialect::Plain {
        // The log has both streams, and the end of a text says how it ended.
        return log;
    }
    let error = summary.failure.as_ref().map(|failure| failure.message.clone());
    let parts = [error.unwrap_or_default(), summary.text.clone(), log];
    let mut told: Vec<&str> = Vec::new();
    for part in parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()) {
        // Some programs say the same in both streams.
        if !told.iter().any(|known| known.contains(part)) {
            told.push(part);
        }
    }
    told.join("\n")
}
