//! The agent step: plan, implement, check, repair, tidy, bundle. Runs beside agent code and therefore proves nothing;
//! what it reports is a claim.
//!
//! An agent is believed in nothing: not its exit code, not its silence, not its working directory. What counts is what
//! it left: commits, files, `outcome.json`.

use super::{
    calls::Told,
    carry, changes, checks,
    child::Bounds,
    evidence::CallNote,
    git::{BASE, Git, GitError, Repo, TARGET, WORK},
    job::{Job, SAVE_LIMIT},
    left,
    machine::{self, now, text},
    memory::Conversation,
    prompts, room,
    suggest::{self, Committed},
};
use crate::{
    agents::stream::Verdict,
    domain::{AgentFailure, AgentResult, CommitId, DiffStat, Review, ReviewSaid, ThreadId, Usage},
    runtime::{process::files, spec::AgentCall},
};
use std::{fs, time::Duration};

/// Characters of a failure's detail.
const DETAIL: usize = 1_500;
/// Characters of a summary, an answer or a question: what a comment takes.
const WORDS: usize = 4_000;
/// Bytes read of a file that the agent left.
const LEFT_LIMIT: u64 = 64 << 10;
/// Characters of a plan.
const PLAN: usize = 20_000;
/// More replies than this are no answer to a review.
const MOST_REPLIES: usize = 200;

/// Runs the step.
pub(super) fn run(job: &Job) -> (AgentResult, Usage) {
    let began = now();
    let mut session = match Session::begin(job) {
        Ok(session) => session,
        Err(detail) => {
            let class = AgentFailure::Infrastructure;
            return (AgentResult::Failed { class, detail: job.clean(&detail, DETAIL) }, Usage::default());
        }
    };
    let result = session.play().unwrap_or_else(|halt| session.rescue(halt));
    session.usage.seconds = began.elapsed().as_secs();
    left::clean(job);
    left::gather_proposals(job);
    session.settle(&result);
    session.tell_suggestions();
    session.leave_evidence(match &result {
        AgentResult::Worked { .. } => "worked",
        AgentResult::NothingChanged { .. } => "nothing changed",
        AgentResult::Question { .. } => "question",
        AgentResult::Failed { .. } => "failed",
    });
    (result, session.usage)
}

/// Why the agent is called this time.
#[derive(Clone, Copy)]
pub(super) enum Why {
    Plan,
    Implement,
    Repair,
    Tidy,
    /// A second agent.
    Review,
}

impl Why {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Implement => "implement",
            Self::Repair => "repair",
            Self::Tidy => "tidy",
            Self::Review => "review",
        }
    }
}

/// What an agent says about its work. Unknown fields are tolerated: it is written by a model.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Outcome {
    #[serde(rename = "outcome")]
    kind: String,
    summary: String,
    answer: String,
    reason: Option<Reason>,
}

/// Why an agent changed nothing, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reason {
    /// What is asked for is there.
    AlreadyDone,
    /// The problem does not show.
    CannotReproduce,
    /// Something must be told first.
    NeedsInformation,
    /// It is not this repository's business.
    OutOfScope,
    /// A word that we did not offer.
    #[serde(other)]
    Unknown,
}

impl Reason {
    /// What stands before the answer.
    fn word(self) -> Option<&'static str> {
        match self {
            Self::AlreadyDone => Some("already done"),
            Self::CannotReproduce => Some("cannot reproduce"),
            Self::NeedsInformation => Some("needs information"),
            Self::OutOfScope => Some("out of scope"),
            Self::Unknown => None,
        }
    }
}

/// What stands on the base after an agent was called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Nothing.
    Nothing,
    /// What stood there before: changes that reviewers suggested.
    Given,
    /// More.
    Done,
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
    /// What people landed of what our branch stands on: instructions and checks are taken from here, never from the base,
    /// which from the second turn on has commits of agents.
    pub(super) ground: CommitId,
    /// What was committed before the agent was called.
    pub(super) suggestions: Committed,
    pub(super) tidy_left: u32,
    pub(super) call: &'a AgentCall,
    pub(super) version: String,
    /// Calls so far, those that were made again included.
    pub(super) calls: u32,
    pub(super) usage: Usage,
    pub(super) notes: Vec<CallNote>,
    pub(super) outcome: Outcome,
    /// What the newest call came to.
    pub(super) last: Verdict,
    pub(super) last_words: String,
    /// The newest call's last text.
    pub(super) plan_text: String,
    /// The conversation that a call can go on with.
    pub(super) conversation: Option<Conversation>,
    /// What failed before the agent was called.
    pub(super) red_before: Vec<checks::RedBefore>,
    /// What this turn is about, complete.
    pub(super) brief: String,
    /// Whether it was told what this turn is about.
    pub(super) is_told: bool,
    /// What is new to an agent that goes on with an earlier turn's conversation.
    pub(super) news: Option<String>,
    /// Whether it does, for people.
    pub(super) began: String,
}

impl<'a> Session<'a> {
    fn begin(job: &'a Job) -> Result<Self, String> {
        let places = &job.spec.places;
        let call = job.spec.agent.as_ref().ok_or("the specification names no agent")?;
        for directory in [&places.output, &places.home, &places.output.join("evidence")] {
            fs::create_dir_all(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
        }
        let carried = carry::open(job, call).map_err(|e| format!("{}: {e}", places.home.display()))?;
        let git = Git::new(job, None).map_err(|e| e.to_string())?;
        let clone = Repo::bare(&places.repository);
        let known = |name: &str| {
            git.commit(&clone, name).map_err(|e| e.to_string())?.ok_or(format!("{name}: fetch left nothing"))
        };
        let (base, target) = (known(BASE)?, known(TARGET)?);
        let ground = git.ground(&clone, &target, &base).map_err(|e| e.to_string())?;
        let mut session = Self {
            job,
            git,
            clone,
            workspace: Repo::checkout(&places.workspace),
            base,
            target,
            ground,
            suggestions: Committed::default(),
            tidy_left: job.spec.limits.tidy_calls,
            call,
            version: String::new(),
            calls: 0,
            usage: Usage::default(),
            notes: Vec::new(),
            outcome: Outcome::default(),
            last: Verdict::Crashed,
            last_words: String::new(),
            plan_text: String::new(),
            conversation: None,
            red_before: Vec::new(),
            brief: String::new(),
            is_told: false,
            news: None,
            began: String::new(),
        };
        session.hide_configuration().map_err(|error| error.to_string())?;
        session.version = session.ask_version();
        session.go_on(carried);
        Ok(session)
    }

    fn play(&mut self) -> Result<AgentResult, AgentResult> {
        let job = self.job;
        let brief = fs::read_to_string(job.spec.places.input.join("brief.md"))
            .map_err(|e| self.fail(AgentFailure::Infrastructure, &format!("brief.md: {e}")))?;
        self.red_before = checks::before(self)?;
        self.suggestions = suggest::commit(self)?;
        let red = prompts::red_before(&self.red_before);
        let suggested = prompts::suggestions(&self.suggestions);
        self.brief = self.complete(&format!("{brief}{red}{suggested}{}", job.spec.brief));
        self.news = self.news.take().map(|news| format!("{news}{suggested}"));
        if self.suggestions.is_everything {
            job.say("the review is suggestions and nothing else: they are committed, and no agent is called");
        } else {
            self.work()?;
        }
        let mut repairs_left = job.spec.limits.repairs;
        let mut review = None;
        let (checks_passed, red_before) = loop {
            self.question()?;
            if self.outcome.kind == "failed" {
                let summary = self.outcome.summary.clone();
                return Err(self.fail(AgentFailure::Agent, &summary));
            }
            let left = self.what_is_left().map_err(|e| self.broken(&e))?;
            if left != Work::Done && !self.suggestions.is_everything {
                // Nothing may have been changed because nothing could be.
                if room::is_used_up(self.job) || self.last != Verdict::Answered {
                    return Err(self.fail_agent("the agent"));
                }
            }
            if left == Work::Nothing {
                return Ok(AgentResult::NothingChanged { answer: self.answer(), replies: self.replies() });
            }
            self.gate()?;
            let found = match checks::run(self)? {
                checks::Verdict::None => (None, Vec::new()),
                checks::Verdict::Passed => (Some(true), Vec::new()),
                checks::Verdict::RedBefore(red) => (Some(false), red),
                checks::Verdict::Failed { .. } if repairs_left == 0 => break (Some(false), Vec::new()),
                checks::Verdict::Failed { check, ended, output } => {
                    repairs_left -= 1;
                    self.ask_about(Why::Repair, prompts::repair(&check, &ended, &output))?;
                    continue;
                }
            };
            if review.is_some() {
                break found;
            }
            review = self.review()?;
            match &review {
                Some(Review { said: ReviewSaid::Findings { text }, .. }) => {
                    self.ask_about(Why::Repair, prompts::findings(text))?;
                }
                Some(Review { said: ReviewSaid::Approved | ReviewSaid::Failed { .. }, .. }) | None => {
                    break found;
                }
            }
        };
        let changed = self.deliver().map_err(|e| self.broken(&e))?;
        Ok(AgentResult::Worked {
            summary: self.summary(),
            checks_passed,
            changed,
            replies: self.replies(),
            plan: left::plan(job),
            red_before,
            review,
            cut: None,
        })
    }

    /// Asks for the work itself, after a plan where one is wanted.
    fn work(&mut self) -> Result<(), AgentResult> {
        let told = if self.call.plan_first {
            Told { fresh: self.plan()?, again: prompts::implement_plan() }
        } else {
            Told { fresh: self.brief.clone(), again: self.news.clone().unwrap_or_default() }
        };
        self.ask(Why::Implement, &told)
    }

    /// Puts all commits into the bundle, and measures them.
    fn deliver(&self) -> Result<DiffStat, GitError> {
        let tip = self.tip(&self.git)?;
        self.bundle(&self.git, &tip)?;
        let (_, changed) = changes::measure(
            &self.git,
            &self.workspace,
            self.base.as_str(),
            self.target.as_str(),
            tip.as_str(),
        )?;
        Ok(changed)
    }

    /// An agent that used up its limits may have done something that people can go on with: what it left is handed on as
    /// unfinished work where it is tidy. Nobody is asked to tidy it any more.
    fn rescue(&self, halt: AgentResult) -> AgentResult {
        let AgentResult::Failed { class: AgentFailure::Exhausted, detail } = halt else { return halt };
        let unfinished = || -> Result<Option<DiffStat>, GitError> {
            let is_tidy = self.problems()?.is_empty() && self.status(&self.git)?.is_empty();
            if is_tidy && self.tip(&self.git)? != self.base { self.deliver().map(Some) } else { Ok(None) }
        };
        match unfinished() {
            Ok(Some(changed)) if changed.files > 0 => AgentResult::Worked {
                summary: self.summary(),
                checks_passed: None,
                changed,
                replies: self.replies(),
                plan: left::plan(self.job),
                red_before: Vec::new(),
                review: None,
                cut: Some(detail),
            },
            Ok(_) | Err(_) => AgentResult::Failed { class: AgentFailure::Exhausted, detail },
        }
    }

    /// Keeps what the repository says to this agent's program out of the workspace: it could name another provider, and
    /// have its own code executed with the key. A sparse checkout leaves index, commits and merges as they are.
    fn hide_configuration(&self) -> Result<(), GitError> {
        let reviewer = self.job.spec.reviewer.iter().flat_map(|reviewer| &reviewer.hides);
        let hides: Vec<&str> = self.call.hides.iter().chain(reviewer).map(String::as_str).collect();
        let arguments = [&["ls-tree", "--name-only", "HEAD", "--"][..], &hides].concat();
        if hides.is_empty() || self.git.local(&self.workspace, &arguments)?.is_empty() {
            return Ok(());
        }
        let patterns: Vec<String> = hides.iter().map(|name| format!("!/{name}")).collect();
        let file = self.job.spec.places.workspace.join(".git/info/sparse-checkout");
        // Where it cannot be written, git does not leave anything out, and the next look refuses the turn.
        _ = machine::write(file, format!("/*\n{}\n", patterns.join("\n")).as_bytes());
        for (key, value) in [("core.sparseCheckout", "true"), ("core.sparseCheckoutCone", "false")] {
            self.git.local(&self.workspace, &["config", "--local", key, value])?;
        }
        self.git.local(&self.workspace, &["read-tree", "-mu", "HEAD"])?;
        match hides.iter().find(|name| self.job.spec.places.workspace.join(name).exists()) {
            None => Ok(()),
            Some(name) => Err(self.git.refusal("read-tree", &format!("`{name}` could not be kept out"))),
        }
    }

    /// Asks for a plan, and makes sure that it was only that. What to tell a program that cannot go on from it.
    fn plan(&mut self) -> Result<String, AgentResult> {
        let brief = self.brief.clone();
        let can_write = self.call.plan.is_none() && self.call.plan_switches.is_empty();
        let again = prompts::plan(self.news.as_ref().unwrap_or(&brief), can_write);
        self.ask(Why::Plan, &Told { again, fresh: prompts::plan(&brief, can_write) })?;
        let plan = self.job.spec.places.output.join("plan.md");
        let said = self.job.clean(&self.plan_text, PLAN);
        if !can_write && !plan.is_file() && !said.is_empty() {
            machine::write(plan.clone(), said.as_bytes())
                .map_err(|e| self.fail(AgentFailure::Infrastructure, &format!("plan.md: {e}")))?;
        }
        self.undo_what_planning_changed().map_err(|e| self.broken(&e))?;
        self.question()?;
        // A planner that wants to write is refused, and has planned nevertheless.
        let has_planned = self.last == Verdict::Answered || self.last == Verdict::Refused && plan.is_file();
        if !has_planned {
            return Err(self.fail_agent("the planning call"));
        }
        Ok(if plan.is_file() { prompts::with_plan(&brief, &text(&plan)) } else { brief })
    }

    /// Planning must not change anything. An agent that did is not believed to have planned only, and not punished
    /// either: the workspace is put back.
    fn undo_what_planning_changed(&self) -> Result<(), GitError> {
        self.put_back(self.given())
    }

    /// Makes the workspace what it was at `commit`, on our branch, without anything beside it.
    pub(super) fn put_back(&self, commit: &CommitId) -> Result<(), GitError> {
        let branch = self.job.spec.source.branch.full();
        let (git, workspace) = (&self.git, &self.workspace);
        let is_on_branch = git
            .local(workspace, &["symbolic-ref", "--quiet", "HEAD"])
            .is_ok_and(|name| String::from_utf8_lossy(&name).trim() == branch);
        if is_on_branch && self.tip(git)? == *commit && self.status(git)?.is_empty() {
            return Ok(());
        }
        self.job.say("a read-only call changed the workspace: that is undone");
        _ = fs::remove_file(self.job.spec.places.workspace.join(".git/index.lock"));
        git.local(workspace, &["symbolic-ref", "HEAD", &branch])?;
        git.local(workspace, &["update-ref", &branch, commit.as_str()])?;
        git.local(workspace, &["reset", "--quiet", "--hard"])?;
        git.local(workspace, &["clean", "-ffdq"])?;
        Ok(())
    }

    /// Asks for something that is only about what is there; whoever lost the thread is told the brief again.
    pub(super) fn ask_about(&mut self, why: Why, prompt: String) -> Result<(), AgentResult> {
        let fresh = format!("{prompt}\n---\n\n{}", self.brief);
        self.ask(why, &Told { fresh, again: prompt })
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

    /// Ends the step, after saving whatever was done. Where there is no room left, that is why.
    pub(super) fn fail(&self, class: AgentFailure, detail: &str) -> AgentResult {
        let saved = Git::new(self.job, None)
            .map(|git| git.unstoppable(now() + SAVE_LIMIT))
            .and_then(|git| self.save(&git));
        let is_full = room::is_used_up(self.job) || saved.as_ref().is_err_and(room::is_told);
        let class = if is_full { room::without_room(class) } else { class };
        let full = if is_full { "no space is left for the step: " } else { "" };
        let detail = match saved {
            Ok(()) => format!("{full}{detail}"),
            Err(error) => format!("{full}{detail}\n(work could not be saved: {error})"),
        };
        AgentResult::Failed { class, detail: self.job.clean(&detail, DETAIL) }
    }

    fn fail_agent(&self, who: &str) -> AgentResult {
        let detail = format!("{who} {} and left no work: {}", self.last, self.last_words);
        self.fail(AgentFailure::Agent, &detail)
    }

    /// git failed in the workspace: because of a stop, a full disk, a limit, or because the agent broke the repository.
    pub(super) fn broken(&self, error: &GitError) -> AgentResult {
        let class = if self.job.stop.asked() {
            AgentFailure::Stopped
        } else if room::is_told(error) {
            AgentFailure::Infrastructure
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
        let head = git.commit(&self.workspace, "HEAD")?.filter(|head| head != self.given());
        match head {
            Some(head) => Ok(head),
            None => Ok(git
                .commit(&self.workspace, &self.job.spec.source.branch.full())?
                .unwrap_or_else(|| self.given().clone())),
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

    /// What the agent was given: the base, with suggested changes on top.
    fn given(&self) -> &CommitId {
        self.suggestions.made.last().map_or(&self.base, |(_, commit)| commit)
    }

    fn what_is_left(&self) -> Result<Work, GitError> {
        let tip = self.tip(&self.git)?;
        let is_clean = self.status(&self.git)?.is_empty();
        Ok(if is_clean && tip == self.base {
            Work::Nothing
        } else if is_clean && tip == *self.given() {
            Work::Given
        } else {
            Work::Done
        })
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
                // Whoever goes on from it, or answers it, reads it here, however it was asked.
                let place = self.job.spec.places.output.join("question.md");
                _ = files::write_atomically(&place, question.as_bytes());
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
        let said = said.map_or_else(|| self.last_words.clone(), Clone::clone);
        let reason = self.outcome.reason.and_then(Reason::word).map(|word| format!("{word}: "));
        self.job.clean(&format!("{}{said}", reason.unwrap_or_default()), WORDS)
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
