//! A pull request, its threads, votes, policies and builds, as far as decisions need them.
//!
//! Every enum that mirrors a word of the service has an `Other`: a word that Azure DevOps invents tomorrow must lead
//! to waiting, never to a panic and never to a guess.

use super::{BranchName, BuildId, CommentId, CommitId, Identity, IdentityId, PullRequestId, ThreadId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Its number.
    pub id: PullRequestId,
    /// GUID of the repository it belongs to.
    pub repository_id: String,
    /// Open, merged or given up.
    pub status: PullRequestStatus,
    /// Where the change comes from.
    pub source: BranchName,
    /// Where it shall go.
    pub target: BranchName,
    /// `lastMergeSourceCommit`: the head that the service has looked at, which can lag behind the branch.
    pub head: Option<CommitId>,
    /// The trial merge.
    pub merge: MergeState,
    /// The commit of the trial merge: what the builds of a pull request run on.
    pub merge_commit: Option<CommitId>,
    /// Drafts get no build validation.
    pub is_draft: bool,
    /// Who opened it.
    pub created_by: Identity,
    /// Votes by reviewer.
    pub reviewers: Vec<Reviewer>,
    /// Who set auto-complete, if set.
    pub auto_complete_by: Option<IdentityId>,
    /// Title.
    pub title: String,
}

impl PullRequest {
    /// The ref of the trial merge, on which build validation runs.
    pub fn merge_ref(&self) -> String {
        format!("refs/pull/{}/merge", self.id)
    }
}

/// Status of a pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PullRequestStatus {
    /// Open.
    Active,
    /// Merged.
    Completed,
    /// Given up.
    Abandoned,
    /// A word we do not know.
    Other,
}

/// State of the trial merge. Says nothing about policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MergeState {
    /// Not computed yet, or being computed.
    Pending,
    /// Merges cleanly.
    Clean,
    /// Conflicts with the target.
    Conflicts,
    /// The service could not merge for another reason.
    Failed,
    /// A word we do not know.
    Other,
}

/// A reviewer's standing vote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reviewer {
    /// Who.
    pub who: Identity,
    /// What they said.
    pub vote: Vote,
    /// Whether it is not merged without them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_required: bool,
}

/// A vote on a pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Vote {
    /// 10.
    Approved,
    /// 5.
    ApprovedWithSuggestions,
    /// 0.
    None,
    /// -5.
    WaitingForAuthor,
    /// -10.
    Rejected,
}

/// A discussion on a pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Unique in the pull request.
    pub id: ThreadId,
    /// Open or not; absent on system threads.
    pub status: ThreadStatus,
    /// File it is about, with its line in the new version.
    pub place: Option<Place>,
    /// In order of their ids; deleted and system comments are already left out.
    pub comments: Vec<Comment>,
}

/// A place in the changed code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Path from the repository's root, without leading slash.
    pub path: String,
    /// Line, from 1.
    pub line: Option<u32>,
    /// The last line of several.
    pub last_line: Option<u32>,
    /// What of these lines was selected, where the service tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Columns>,
    /// Number of the iteration in whose version of the file the lines are counted, where the service tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iteration: Option<u32>,
}

/// The part of its lines that a selection covers. The service's documents count columns from 0, its pages from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// Where it begins, in the first line.
    pub from: u32,
    /// The first column after it, in the last line.
    pub to: u32,
}

/// Status of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ThreadStatus {
    /// Waits for an answer.
    Active,
    /// Waits too; people use it as "I will look".
    Pending,
    /// Fixed: by a person, or by us where the operator wants that.
    Fixed,
    /// Closed, won't fix, by design: somebody decided that it is settled.
    Settled,
    /// Unknown or absent.
    Other,
}

/// One comment in a thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// Unique in its thread, from 1.
    pub id: CommentId,
    /// Who wrote it.
    pub author: Identity,
    /// Markdown as written. Untrusted.
    pub text: String,
    /// Server time of the last change of its text.
    pub changed_at: Timestamp,
}

/// What a branch policy says about a pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyEvaluation {
    /// GUID; requeueing names it.
    pub id: String,
    /// What the policy is about.
    pub kind: PolicyKind,
    /// As people see it.
    pub name: String,
    /// Where it stands.
    pub status: PolicyStatus,
    /// Blocking, enabled and not deleted: only these decide.
    pub gates: bool,
    /// The build behind it, for build validation.
    pub build: Option<BuildId>,
    /// The last build is too old; nothing is running.
    pub is_expired: bool,
    /// The head that was evaluated, where the service tells.
    pub head: Option<CommitId>,
}

/// Kinds of policy, by the type id of their configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PolicyKind {
    /// Build validation.
    Build,
    /// A status posted by another service.
    Status,
    /// A minimum number of reviewers.
    MinimumReviewers,
    /// Named reviewers.
    RequiredReviewers,
    /// All threads settled.
    CommentResolution,
    /// A linked work item.
    WorkItemLink,
    /// The merge strategy; decided when completing, never a check.
    MergeStrategy,
    /// Anything else.
    Other,
}

/// Status of a policy evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PolicyStatus {
    /// Not started, or waiting for people.
    Queued,
    /// Running.
    Running,
    /// Satisfied.
    Approved,
    /// Not satisfied.
    Rejected,
    /// Does not apply here.
    NotApplicable,
    /// Could not be evaluated.
    Broken,
    /// A word we do not know.
    Other,
}

/// A build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its number.
    pub id: BuildId,
    /// Name of its pipeline.
    pub pipeline: String,
    /// Number of its pipeline; 0 if the service names none.
    pub pipeline_id: u32,
    /// Where it stands.
    pub state: BuildState,
    /// What it was run on: `refs/pull/57/merge` or a branch's full name.
    pub source_ref: String,
    /// The commit it was run on: for a pull request the merge commit, not the head.
    pub source_commit: Option<CommitId>,
    /// Messages of a pipeline that could not even start, for example YAML errors.
    pub validation_errors: Vec<String>,
    /// Who stopped it, where it was stopped and the service tells that a person did.
    pub canceled_by: Option<Identity>,
    /// For people.
    pub url: String,
}

/// Where a build stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BuildState {
    /// Not begun.
    Queued,
    /// Running.
    Running,
    /// Not going on before a person approves it: not a hang, and nobody's failure.
    AwaitingApproval,
    /// Green.
    Succeeded,
    /// Green with something red in it.
    PartiallySucceeded,
    /// Red.
    Failed,
    /// Stopped by somebody or superseded: neither red nor green.
    Canceled,
    /// A word we do not know.
    Other,
}

/// A failing part of a build: what a person would look at first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FailedTask {
    /// Job and task, for example `Build › Run checks`.
    pub name: String,
    /// Error messages of the task's own record.
    pub messages: Vec<String>,
    /// Number of its log in the build, if it has one.
    pub log: Option<u32>,
}

/// A test that failed, as the pipeline published it. Untrusted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FailedTest {
    /// Full name of the automated test.
    pub name: String,
    /// What it says.
    pub message: String,
    /// Where.
    pub stack: String,
}

/// How many tests a build published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestTotals {
    /// Those that ran, whatever came of it.
    pub executed: u32,
    /// Those among them that failed.
    pub failed: u32,
    /// Those that were there and did not run.
    pub skipped: u32,
}

/// What was counted of the tests on one head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The head.
    pub head: CommitId,
    /// What the next head is compared with; none where no build published tests so far.
    pub totals: Option<TestTotals>,
}

impl TestTotals {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            executed: self.executed.saturating_add(other.executed),
            failed: self.failed.saturating_add(other.failed),
            skipped: self.skipped.saturating_add(other.skipped),
        }
    }
}

/// A status that another service posted on a pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostedStatus {
    /// Grows with time.
    pub id: u32,
    /// Genre and name: the newest of each counts.
    pub context: String,
    /// What it says.
    pub state: StatusState,
    /// In words. Untrusted.
    pub description: String,
    /// Number of the iteration that it is about; one without could be about any head.
    pub iteration: Option<u32>,
    /// The head of that iteration.
    pub head: Option<CommitId>,
}

/// What a posted status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StatusState {
    /// Still at it.
    Pending,
    /// Good.
    Succeeded,
    /// Bad, or could not be told.
    Failed,
    /// Has nothing to say.
    NotApplicable,
    /// A word we do not know.
    Other,
}
