//! A turn: one execution of the agent inside a run, as three steps, and what its workers left behind.
//!
//! What the agent step says is a *claim*; what fetch and publish say is *measured*. Both arrive as [`StepResult`], the
//! last line of a worker's output, and are schema-checked before anything is decided from them.

use super::{BuildId, CommentId, CommitId, Revision, ThreadId, TurnNumber, Usage};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// From 1 within its run.
    pub number: TurnNumber,
    /// Why the agent is called.
    pub kind: TurnKind,
    /// The input that it answers.
    pub trigger: Trigger,
    /// The head that it starts from; none before the first push.
    pub base: Option<CommitId>,
    /// The earlier turn whose work this one only publishes: its agent was paid, its publish step was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_of: Option<TurnNumber>,
}

impl Turn {
    /// The turn whose agent did the work.
    pub fn work(&self) -> TurnNumber {
        self.work_of.unwrap_or(self.number)
    }
}

/// Why the agent is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TurnKind {
    /// Do what the work item asks for.
    Implement,
    /// Checks are red on our head.
    FixForward,
    /// People wrote to us.
    Respond,
    /// The branch conflicts with its target.
    Conflict,
    /// An earlier turn was lost; do its work again.
    Redispatch,
}

impl TurnKind {
    /// All kinds, in reading order.
    pub const ALL: [Self; 5] =
        [Self::Implement, Self::FixForward, Self::Respond, Self::Conflict, Self::Redispatch];

    /// As it stands in logs, names and comments.
    pub fn word(self) -> &'static str {
        match self {
            Self::Implement => "implement",
            Self::FixForward => "fix-forward",
            Self::Respond => "respond",
            Self::Conflict => "conflict",
            Self::Redispatch => "redispatch",
        }
    }
}

impl fmt::Display for TurnKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The input that a turn answers. Its [`key`](Trigger::key) is used once: an unchanged input never costs a second
/// turn (promise *no-burn*).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "on")]
pub enum Trigger {
    /// The work item's text at the approved revision.
    WorkItem {
        /// The approved revision.
        revision: Revision,
    },
    /// Failing checks on our head.
    FailingChecks {
        /// The head that is red.
        head: CommitId,
        /// Same failure, same signature; see `decide::verdict`.
        signature: String,
        /// The builds that tell why.
        builds: Vec<BuildId>,
    },
    /// Threads whose newest word is a trusted person's.
    Threads {
        /// The head they speak of.
        head: CommitId,
        /// Thread and newest comment, ordered.
        awaiting: Vec<Awaiting>,
    },
    /// The branch does not merge into its target.
    Conflict {
        /// Our head.
        head: CommitId,
    },
    /// A trusted person answered the agent's question in the discussion of the work item.
    Answer {
        /// The comments that answer it, ordered.
        words: Vec<CommentId>,
    },
}

/// A thread that awaits us, with the comment that we would answer: the key of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Awaiting {
    /// The thread.
    pub thread: ThreadId,
    /// The newest comment by a person in it.
    pub comment: CommentId,
    /// When the newest wording in it is from; none where nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// Whether we answered that comment before, and the wording changed since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

impl Awaiting {
    /// A comment, whatever its wording.
    pub const fn of(thread: ThreadId, comment: CommentId) -> Self {
        Self { thread, comment, as_of: None, again: false }
    }

    /// What makes it another input than those before: the comment, and its wording once an earlier one was answered. A list
    /// that lags shows an earlier wording; that is no other input.
    fn key(&self) -> String {
        let Self { thread, comment, as_of, again } = self;
        match as_of.filter(|_| *again) {
            Some(at) => format!("{thread}.{comment}@{}", at.as_nanosecond()),
            None => format!("{thread}.{comment}"),
        }
    }
}

/// Text that is equal exactly when two triggers are the same input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TriggerKey(pub String);

impl TriggerKey {
    /// Whether `word` is part of the input, on whatever head.
    pub fn is_about(&self, word: Awaiting) -> bool {
        let words = self.0.strip_prefix("threads@").and_then(|rest| rest.split_once(':'));
        let asked = word.key();
        words.is_some_and(|(_, words)| words.split('+').any(|known| known == asked))
    }
}

impl fmt::Display for TriggerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Trigger {
    /// Equal for equal input, whatever the order in which the service listed it.
    pub fn key(&self) -> TriggerKey {
        TriggerKey(match self {
            Self::WorkItem { revision } => format!("item@{revision}"),
            Self::FailingChecks { head, signature, builds: _ } => {
                format!("checks@{}:{signature}", head.short())
            }
            Self::Threads { head, awaiting } => {
                let mut words: Vec<String> = awaiting.iter().map(Awaiting::key).collect();
                words.sort();
                format!("threads@{}:{}", head.short(), words.join("+"))
            }
            Self::Conflict { head } => format!("conflict@{}", head.short()),
            Self::Answer { words } => {
                let words: Vec<String> = words.iter().map(ToString::to_string).collect();
                format!("answer@{}", words.join("+"))
            }
        })
    }

    /// What kind of turn answers it when nothing was lost.
    pub fn kind(&self) -> TurnKind {
        match self {
            Self::WorkItem { .. } => TurnKind::Implement,
            Self::FailingChecks { .. } => TurnKind::FixForward,
            Self::Threads { .. } | Self::Answer { .. } => TurnKind::Respond,
            Self::Conflict { .. } => TurnKind::Conflict,
        }
    }
}

/// A turn's containers, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Clones with a read token; no agent code.
    Fetch,
    /// Runs the agent and the repository's checks; no Azure DevOps token.
    Agent,
    /// Checks the result and pushes it with a write token; no agent code.
    Publish,
}

impl Step {
    /// All steps in order.
    pub const ALL: [Self; 3] = [Self::Fetch, Self::Agent, Self::Publish];

    /// The step after a good end of this one.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Fetch => Some(Self::Agent),
            Self::Agent => Some(Self::Publish),
            Self::Publish => None,
        }
    }

    /// As it stands in names and sentences.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Agent => "agent",
            Self::Publish => "publish",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A worker that the runtime knows, whatever our memory says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// The turn it belongs to, as its own labels tell: enough to adopt it after our memory was lost.
    pub turn: Turn,
    /// The step.
    pub step: Step,
    /// What it is doing.
    pub state: WorkerState,
}

/// What a worker is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerState {
    /// Exists, was never started.
    Created,
    /// Running.
    Running {
        /// Since when, by the runtime's clock.
        since: Timestamp,
    },
    /// Ended and left a status.
    Finished(StepResult),
    /// Ended without a status that we can read.
    Crashed {
        /// What is known about how, for people.
        hint: String,
    },
}

/// What a worker reports in the last line of its output, also kept in `status.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum StepResult {
    /// Of the fetch step.
    Fetch(FetchResult),
    /// Of the agent step.
    Agent {
        /// How it ended.
        #[serde(flatten)]
        result: AgentResult,
        /// What it used up, as the agent counts.
        #[serde(default, skip_serializing_if = "Usage::is_nothing")]
        usage: Usage,
    },
    /// Of the publish step.
    Publish(PublishResult),
}

impl StepResult {
    /// The step that reports it.
    pub fn step(&self) -> Step {
        match self {
            Self::Fetch(_) => Step::Fetch,
            Self::Agent { .. } => Step::Agent,
            Self::Publish(_) => Step::Publish,
        }
    }
}

/// How fetch ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum FetchResult {
    /// A clean checkout is ready.
    Ready {
        /// The commit that the agent starts from.
        base: CommitId,
        /// Tip of the target branch at that moment.
        target: CommitId,
    },
    /// Our branch is not where we left it: a person or another epoch was here.
    Moved {
        /// Where it is now; none when it is gone.
        found: Option<CommitId>,
    },
    /// The repository or its target branch could not be read; the cluster's failure, not the agent's.
    Failed {
        /// Redacted, bounded, for people.
        detail: String,
    },
}

/// How the agent step ended. A claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum AgentResult {
    /// Commits are in the bundle.
    Worked {
        /// What the agent says it did, one paragraph.
        summary: String,
        /// Whether the repository's own checks passed at the end; none when it has none.
        checks_passed: Option<bool>,
        /// Files changed, as git counts them.
        changed: DiffStat,
        /// Threads for which a reply was left.
        replies: Vec<ThreadId>,
        /// Checks that fail, and failed before this run changed anything.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        red_before: Vec<String>,
        /// What a second agent said about the change, where one was asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        review: Option<Review>,
        /// What it said that it would do, where it said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan: Option<String>,
        /// What limit of the turn cut the agent off before it was done, in words; none when it was done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cut: Option<String>,
    },
    /// Ended properly and changed nothing: for review turns an answer can be enough.
    NothingChanged {
        /// The agent's reason.
        answer: String,
        /// Threads for which a reply was left.
        replies: Vec<ThreadId>,
    },
    /// The agent cannot go on without a person.
    Question {
        /// The question.
        question: String,
    },
    /// Did not end properly.
    Failed {
        /// Which kind of failure: decides whether an attempt is charged.
        class: AgentFailure,
        /// Redacted, bounded, for people.
        detail: String,
    },
}

/// What a second agent said about the change. A claim like everything else that agents say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// The second agent's name.
    pub by: String,
    /// What it said.
    #[serde(flatten)]
    pub said: ReviewSaid,
}

/// How a second agent's look ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "said")]
pub enum ReviewSaid {
    /// Nothing to object to.
    Approved,
    /// Something; the first agent was given it once.
    Findings {
        /// Redacted, bounded.
        text: String,
    },
    /// It could not be asked, or its answer could not be understood. Holds nothing up.
    Failed {
        /// Redacted, bounded.
        why: String,
    },
}

/// Kinds of failure of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentFailure {
    /// The program could not be started, or a volume failed: ours, not the agent's.
    Infrastructure,
    /// The model provider did not answer: nobody's attempt.
    Provider,
    /// The model provider will not answer this: key, model or request are wrong. Waiting does not help.
    Rejected,
    /// Ended with an error of its own.
    Agent,
    /// Silent for too long.
    Idle,
    /// Took longer than the turn limit.
    Timeout,
    /// Wrote more output than the cap.
    TooMuchOutput,
    /// Used up its steps, tokens, money or disk.
    Exhausted,
    /// Left a merge unfinished or conflict markers behind.
    LeftConflict,
    /// Left files that must not be committed, and did not remove them when asked.
    Untidy,
    /// Was told to stop.
    Stopped,
}

impl AgentFailure {
    /// All classes, for sweeps and tables.
    pub const ALL: [Self; 11] = [
        Self::Infrastructure,
        Self::Provider,
        Self::Rejected,
        Self::Agent,
        Self::Idle,
        Self::Timeout,
        Self::TooMuchOutput,
        Self::Exhausted,
        Self::LeftConflict,
        Self::Untidy,
        Self::Stopped,
    ];
}

/// How publish ended. Measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum PublishResult {
    /// The branch is at `head`, confirmed by a read after the push.
    Pushed {
        /// The new head.
        head: CommitId,
        /// Files changed against the base, as git counts them.
        changed: DiffStat,
        /// What people should know about the change, whatever its text says.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        doubts: Vec<Doubt>,
    },
    /// A rule forbids the push; nothing was pushed.
    Refused {
        /// One sentence per broken rule.
        rules: Vec<String>,
    },
    /// The branch is not where this turn started: a person or another epoch was here. Nothing was pushed.
    Diverged {
        /// Where it is now; none when it is gone.
        found: Option<CommitId>,
    },
    /// Could not be pushed; the bundle is kept.
    Failed {
        /// Redacted, bounded, for people.
        detail: String,
    },
}

/// What git says about a change and its text does not, or says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "doubt")]
pub enum Doubt {
    /// Tests are said to be added or changed, and no file of the change looks like one.
    NoTest,
    /// A file is said to be changed that is not part of the change.
    NotChanged {
        /// As the agent wrote it.
        path: String,
    },
    /// A file that looks like a test is gone.
    TestRemoved {
        /// Its path.
        path: String,
    },
}

/// Size of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffStat {
    /// Files touched.
    pub files: u32,
    /// Lines added.
    pub insertions: u32,
    /// Lines removed.
    pub deletions: u32,
}

impl fmt::Display for DiffStat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, insertions, deletions } = self;
        let noun = if *files == 1 { "file" } else { "files" };
        write!(f, "{files} {noun}, +{insertions} −{deletions}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_key_ignores_the_order_of_threads() {
        let head: CommitId = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let a = Awaiting::of(ThreadId(7), CommentId(1));
        let b = Awaiting::of(ThreadId(12), CommentId(3));
        let one = Trigger::Threads { head: head.clone(), awaiting: vec![a, b] };
        let two = Trigger::Threads { head, awaiting: vec![b, a] };
        assert_eq!(one.key(), two.key());
        assert_eq!(one.key().to_string(), "threads@01234567:12.3+7.1");
    }

    #[test]
    fn a_wording_is_another_input_once_an_earlier_one_was_answered() {
        let head: CommitId = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let plain = Awaiting::of(ThreadId(7), CommentId(1));
        let first = Awaiting { as_of: Timestamp::from_second(10).ok(), ..plain };
        let again = Awaiting { as_of: Timestamp::from_second(20).ok(), again: true, ..plain };
        let key = |word| Trigger::Threads { head: head.clone(), awaiting: vec![word] }.key();
        assert_eq!(key(plain), key(first), "as older versions remember it");
        assert_ne!(key(first), key(again));
        assert!(key(first).is_about(first) && key(again).is_about(again));
        assert!(!key(first).is_about(again) && !key(again).is_about(first));
        let old = r#"{"thread":7,"comment":1}"#;
        assert_eq!(serde_json::from_str::<Awaiting>(old).unwrap(), plain);
        assert_eq!(serde_json::to_string(&plain).unwrap(), old);
    }

    #[test]
    fn usage_travels_beside_the_result_and_may_be_absent() {
        let old = r#"{"step":"agent","result":"question","question":"which?"}"#;
        let result = AgentResult::Question { question: "which?".into() };
        let none = StepResult::Agent { result: result.clone(), usage: Usage::default() };
        assert_eq!(serde_json::from_str::<StepResult>(old).unwrap(), none);
        assert_eq!(serde_json::to_string(&none).unwrap(), old, "an older reader finds nothing new");
        let usage = Usage { calls: 2, input_tokens: 7, cost_micro_usd: Some(3), ..Usage::default() };
        let some = StepResult::Agent { result, usage };
        let line = serde_json::to_string(&some).unwrap();
        assert_eq!(serde_json::from_str::<StepResult>(&line).unwrap(), some, "{line}");
    }

    #[test]
    fn a_worker_line_reads_back_what_it_writes() {
        let result =
            StepResult::Publish(PublishResult::Refused { rules: vec!["`ci.yml` is protected".into()] });
        let line = serde_json::to_string(&result).unwrap();
        assert_eq!(line, r#"{"step":"publish","result":"refused","rules":["`ci.yml` is protected"]}"#);
        assert_eq!(serde_json::from_str::<StepResult>(&line).unwrap(), result);
    }
}
