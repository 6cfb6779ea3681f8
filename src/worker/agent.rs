//! The agent step: plan, implement, check, repair, tidy, bundle. Runs beside agent code and therefore proves nothing;
//! what it reports is a claim.
//!
//! An agent is believed in nothing: not its exit code, not its silence, not its working directory. What counts is what
//! it left: commits, files, `outcome.json`.

use super::{
    EXIT_PROVIDER, changes, checks,
    child::{self, Bounds, Call, End},
    git::{BASE, Git, GitError, Repo, TARGET, WORK},
    job::{Job, SAVE_LIMIT},
    machine::{self, now, text},
    prompts,
};
use crate::{
    agents,
    domain::{AgentFailure, AgentResult, CommitId, ThreadId},
    runtime::{process::files, spec::AgentCall},
};
use secrecy::ExposeSecret as _;
use std::{collections::BTreeMap, fs, time::Duration};

/// Characters of a failure's detail.
const DETAIL: usize = 1_500;
/// Characters of a summary, an answer or a question: what a comment takes.
const WORDS: usize = 4_000;
/// Bytes read of a file that the agent left.
const LEFT_LIMIT: u64 = 64 << 10;
/// Bytes of a log that explain a failure.
const LOG_TAIL: usize = 2_000;
/// More replies than this are no answer to a review.
const MOST_REPLIES: usize = 200;

/// Runs the step.
pub(super) fn run(job: &Job) -> AgentResult {
    let mut session = match Session::begin(job) {
        Ok(session) => session,
        Err(detail) => {
            return AgentResult::Failed {
                class: AgentFailure::Infrastructure,
                detail: job.clean(&detail, DETAIL),
            };
        }
    };
    session.play().unwrap_or_else(|halt| halt)
}

/// Why the agent is called this time.
#[derive(Clone, Copy)]
pub(super) enum Why {
    Plan,
    Implement,
    Repair,
    Tidy,
}

impl Why {
    fn word(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Implement => "implement",
            Self::Repair => "repair",
            Self::Tidy => "tidy",
        }
    }
}

/// What an agent says about its work. Unknown fields are tolerated: it is written by a model.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Outcome {
    #[serde(rename = "outcome")]
    kind: String,
    summary: String,
    answer: String,
}

/// One agent step.
pub(super) struct Session<'a> {
    pub(super) job: &'a Job,
    pub(super) git: Git,
    /// `repo.git`, which an agent cannot write where containers are used.
    pub(super) clone: Repo,
    pub(super) workspace: Repo,
    pub(super) base: CommitId,
    pub(super) target: CommitId,
    pub(super) tidy_left: u32,
    call: &'a AgentCall,
    provider_codes: Vec<i32>,
    calls: u32,
    outcome: Outcome,
    last_end: End,
}

impl<'a> Session<'a> {
    fn begin(job: &'a Job) -> Result<Self, String> {
        let places = &job.spec.places;
        let call = job.spec.agent.as_ref().ok_or("the specification names no agent")?;
        for directory in [&places.output, &places.home, &places.output.join("evidence")] {
            fs::create_dir_all(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
        }
        let git = Git::new(job, None).map_err(|e| e.to_string())?;
        let clone = Repo::bare(&places.repository);
        let known = |name: &str| {
            git.commit(&clone, name).map_err(|e| e.to_string())?.ok_or(format!("{name}: fetch left nothing"))
        };
        let (base, target) = (known(BASE)?, known(TARGET)?);
        let provider_codes =
            agents::find(&call.name).map_or_else(|| vec![EXIT_PROVIDER], |agent| agent.exit.provider.clone());
        Ok(Self {
            job,
            git,
            clone,
            workspace: Repo::checkout(&places.workspace),
            base,
            target,
            tidy_left: job.spec.limits.tidy_calls,
            call,
            provider_codes,
            calls: 0,
            outcome: Outcome::default(),
            last_end: End::Exited(0),
        })
    }

    fn play(&mut self) -> Result<AgentResult, AgentResult> {
        let job = self.job;
        let brief = fs::read_to_string(job.spec.places.input.join("brief.md"))
            .map_err(|e| self.fail(AgentFailure::Infrastructure, &format!("brief.md: {e}")))?;
        if self.call.plan_first {
            self.ask(Why::Plan, &prompts::plan(&brief))?;
            self.question()?;
            if self.last_end != End::Exited(0) {
                return Err(self.fail_agent("the planning call"));
            }
        }
        self.ask(Why::Implement, &brief)?;
        let mut repairs_left = job.spec.limits.repairs;
        let checks_passed = loop {
            self.question()?;
            if self.outcome.kind == "failed" {
                let summary = self.outcome.summary.clone();
                return Err(self.fail(AgentFailure::Agent, &summary));
            }
            if !self.has_work()? {
                return if self.last_end == End::Exited(0) {
                    Ok(AgentResult::NothingChanged { answer: self.answer(), replies: self.replies() })
                } else {
                    Err(self.fail_agent("the agent"))
                };
            }
            self.gate()?;
            match checks::run(self)? {
                checks::Verdict::None => break None,
                checks::Verdict::Passed => break Some(true),
                checks::Verdict::Failed { .. } if repairs_left == 0 => break Some(false),
                checks::Verdict::Failed { script, ended, output } => {
                    repairs_left -= 1;
                    self.ask(Why::Repair, &prompts::repair(script, &ended, &output))?;
                }
            }
        };
        let tip = self.tip(&self.git).map_err(|e| self.broken(&e))?;
        self.bundle(&self.git, &tip).map_err(|e| self.broken(&e))?;
        let (_, changed) = changes::measure(
            &self.git,
            &self.workspace,
            self.base.as_str(),
            self.target.as_str(),
            tip.as_str(),
        )
        .map_err(|e| self.broken(&e))?;
        Ok(AgentResult::Worked { summary: self.summary(), checks_passed, changed, replies: self.replies() })
    }

    /// Calls the agent. Errors are ends that no evidence can outweigh; work is saved before they are reported.
    pub(super) fn ask(&mut self, why: Why, brief: &str) -> Result<(), AgentResult> {
        self.calls += 1;
        let places = &self.job.spec.places;
        let stem = format!("{:02}-{}", self.calls, why.word());
        let evidence = places.output.join("evidence");
        let brief_file = evidence.join(format!("{stem}.brief.md"));
        let log = evidence.join(format!("{stem}.log"));
        // What an earlier call said must not be taken for this one's word.
        _ = fs::remove_file(places.output.join("outcome.json"));
        machine::write(brief_file.clone(), brief.as_bytes())
            .map_err(|e| self.fail(AgentFailure::Infrastructure, &format!("evidence: {e}")))?;

        let given = &self.job.handover.environment;
        let mut environment: BTreeMap<String, String> =
            given.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect();
        environment.extend(self.job.environment().into_iter().filter(|(name, _)| {
            // The operator may choose the search path and the language; the rest is ours.
            !(matches!(name.as_str(), "PATH" | "LANG") && given.contains_key(name))
        }));
        for (name, value) in [
            ("ROUNDSMAN_CALL", why.word().to_owned()),
            ("ROUNDSMAN_TURN_KIND", self.job.spec.turn.kind.word().to_owned()),
            ("ROUNDSMAN_BRIEF", text(&brief_file)),
            ("ROUNDSMAN_IN", text(&places.input)),
            ("ROUNDSMAN_OUT", text(&places.output)),
        ] {
            environment.insert(name.to_owned(), value);
        }
        let environment: Vec<(String, String)> = environment.into_iter().collect();
        let ended = child::run(Call {
            command: &self.call.command,
            environment: &environment,
            directory: &places.workspace,
            input: brief.as_bytes().to_vec(),
            log: Some(log.clone()),
            capture: false,
            bounds: self.bounds(),
        });
        files::kill_marked(&self.job.directory);
        if let Ok(Some(said)) = files::read_left(&places.output, "outcome.json", LEFT_LIMIT)
            && let Ok(outcome) = serde_json::from_str(&said)
        {
            self.outcome = outcome;
        }
        let tail = files::tail(&log, LOG_TAIL).unwrap_or_default();
        self.job.say(&format!("{stem} ended with {:?}; its last words:\n{tail}", ended.end));
        let told = |what: &str| format!("{} call {what}: {tail}", why.word());
        let halt = match &ended.end {
            End::Exited(code) if self.provider_codes.contains(code) => {
                Some((AgentFailure::Provider, told("got no answer from its provider")))
            }
            End::Exited(_) | End::Signalled(_) => None,
            End::NotStarted(error) => {
                Some((AgentFailure::Infrastructure, told(&format!("did not start: {error}"))))
            }
            End::Idle => Some((AgentFailure::Idle, told("was silent for too long"))),
            End::Timeout => Some((AgentFailure::Timeout, told("took too long"))),
            End::TooMuchOutput => Some((AgentFailure::TooMuchOutput, told("wrote too much"))),
            End::Stopped => Some((AgentFailure::Stopped, told("was stopped"))),
        };
        self.last_end = ended.end;
        halt.map_or(Ok(()), |(class, detail)| Err(self.fail(class, &detail)))
    }

    /// Bounds of anything that runs in this step.
    pub(super) fn bounds(&self) -> Bounds {
        let limits = &self.job.spec.limits;
        Bounds {
            deadline: self.job.deadline,
            idle: Some(Duration::from_secs(limits.idle_seconds)),
            output_bytes: limits.output_bytes,
            grace: Duration::from_secs(limits.grace_seconds),
            stop: Some(self.job.stop.clone()),
        }
    }

    /// Ends the step, after saving whatever was done.
    pub(super) fn fail(&self, class: AgentFailure, detail: &str) -> AgentResult {
        let saved = Git::new(self.job, None)
            .map(|git| git.unstoppable(now() + SAVE_LIMIT))
            .and_then(|git| self.save(&git));
        let detail = match saved {
            Ok(()) => detail.to_owned(),
            Err(error) => format!("{detail}\n(work could not be saved: {error})"),
        };
        AgentResult::Failed { class, detail: self.job.clean(&detail, DETAIL) }
    }

    fn fail_agent(&self, who: &str) -> AgentResult {
        let tail = self.last_words();
        self.fail(
            AgentFailure::Agent,
            &format!("{who} ended with {:?} and left no work: {tail}", self.last_end),
        )
    }

    /// git failed in the workspace: because of a stop, a limit, or because the agent broke the repository.
    pub(super) fn broken(&self, error: &GitError) -> AgentResult {
        let class = if self.job.stop.asked() {
            AgentFailure::Stopped
        } else if now() >= self.job.deadline {
            AgentFailure::Timeout
        } else {
            AgentFailure::Agent
        };
        self.fail(class, &format!("the workspace's repository is not usable: {error}"))
    }

    fn save(&self, git: &Git) -> Result<(), GitError> {
        self.commit_what_is_safe(git)?;
        let tip = self.tip(git)?;
        if tip == self.base { Ok(()) } else { self.bundle(git, &tip) }
    }

    /// The commit that counts: where the agent stands; or our branch, if it left without taking its work along.
    pub(super) fn tip(&self, git: &Git) -> Result<CommitId, GitError> {
        let head = git.commit(&self.workspace, "HEAD")?.filter(|head| *head != self.base);
        match head {
            Some(head) => Ok(head),
            None => Ok(git
                .commit(&self.workspace, &self.job.spec.source.branch.full())?
                .unwrap_or(self.base.clone())),
        }
    }

    fn bundle(&self, git: &Git, tip: &CommitId) -> Result<(), GitError> {
        let output = &self.job.spec.places.output;
        let (temporary, bundle) = (output.join("work.bundle.part"), output.join("work.bundle"));
        let not = [format!("^{}", self.base), format!("^{}", self.target)];
        git.local(&self.workspace, &["update-ref", WORK, tip.as_str()])?;
        git.local(
            &self.workspace,
            &["bundle", "create", "--quiet", &text(&temporary), WORK, &not[0], &not[1]],
        )?;
        // A rename cannot fail where the file was just made, short of a broken disk; publish would find no bundle.
        _ = fs::rename(&temporary, &bundle);
        Ok(())
    }

    fn has_work(&self) -> Result<bool, AgentResult> {
        let tip = self.tip(&self.git).map_err(|e| self.broken(&e))?;
        Ok(tip != self.base || !self.status(&self.git).map_err(|e| self.broken(&e))?.is_empty())
    }

    fn question(&self) -> Result<(), AgentResult> {
        let left = files::read_left(&self.job.spec.places.output, "question.md", LEFT_LIMIT).ok().flatten();
        let said = (self.outcome.kind == "question").then(|| self.outcome.answer.clone());
        match left
            .or(said)
            .map(|question| self.job.clean(&question, WORDS))
            .filter(|question| !question.is_empty())
        {
            Some(question) => {
                // What was done on the way to the question is evidence; nobody waits for it.
                _ = self.save(&self.git);
                Err(AgentResult::Question { question })
            }
            None => Ok(()),
        }
    }

    fn answer(&self) -> String {
        let said =
            [&self.outcome.answer, &self.outcome.summary].into_iter().find(|said| !said.trim().is_empty());
        said.map_or_else(|| self.job.clean(&self.last_words(), WORDS), |said| self.job.clean(said, WORDS))
    }

    /// What the agent says it did; without its word the newest commit's.
    pub(super) fn summary(&self) -> String {
        let said = self.job.clean(&self.outcome.summary, WORDS);
        if !said.is_empty() {
            return said;
        }
        let subject =
            self.git.local(&self.workspace, &["log", "-1", "--format=%s", "HEAD"]).unwrap_or_default();
        self.job.clean(&String::from_utf8_lossy(&subject), WORDS)
    }

    fn last_words(&self) -> String {
        let evidence = self.job.spec.places.output.join("evidence");
        let mut logs: Vec<_> = fs::read_dir(evidence)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        logs.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
        logs.sort();
        logs.last().and_then(|log| files::tail(log, LOG_TAIL).ok()).unwrap_or_default()
    }

    fn replies(&self) -> Vec<ThreadId> {
        let directory = self.job.spec.places.output.join("replies");
        let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
        let mut threads: Vec<ThreadId> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".md")?.parse().ok())
            .collect();
        threads.sort();
        threads.truncate(MOST_REPLIES);
        threads
    }
}
