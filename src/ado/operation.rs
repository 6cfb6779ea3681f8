//! The closed list of everything we ask of Azure DevOps. Counters and errors speak in these words.

use std::fmt;

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $is_write:literal;)*) => {
        /// One kind of call. A count per operation is part of every tick's report.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {$(
            $(#[$doc])*
            $name,
        )*}

        impl Operation {
            /// All operations.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            fn facts(self) -> (&'static str, bool) {
                match self {
                    $(Self::$name => ($label, $is_write),)*
                }
            }
        }
    };
}

operations! {
    /// Whose token this is.
    WhoAmI = "who-am-i", false;
    /// Identities, and who belongs to a group.
    Identities = "identities", false;
    /// A work item query.
    Query = "query", false;
    /// Work items in a batch.
    WorkItems = "work-items", false;
    /// One work item.
    WorkItem = "work-item", false;
    /// A work item at one revision.
    WorkItemText = "work-item-text", false;
    /// A page of a work item's updates.
    Updates = "updates", false;
    /// States of a work item type.
    States = "states", false;
    /// The guarded patch of a work item.
    ChangeWorkItem = "change-work-item", true;
    /// A new work item.
    CreateWorkItem = "create-work-item", true;
    /// A file that is to hang on a work item.
    UploadAttachment = "upload-attachment", true;
    /// A page of a work item's comments.
    Comments = "comments", false;
    /// A new comment on a work item.
    AddComment = "add-comment", true;
    /// A changed comment on a work item.
    EditComment = "edit-comment", true;
    /// Repositories of a project.
    Repositories = "repositories", false;
    /// One repository.
    Repository = "repository", false;
    /// A page of branches.
    Refs = "refs", false;
    /// The newest pushes to a branch.
    Pushes = "pushes", false;
    /// How far a branch is ahead of another one.
    BranchStatistics = "branch-statistics", false;
    /// One file.
    File = "file", false;
    /// Commits that changed a file.
    Commits = "commits", false;
    /// A page of pull requests.
    PullRequests = "pull-requests", false;
    /// One pull request.
    PullRequest = "pull-request", false;
    /// A new pull request.
    CreatePullRequest = "create-pull-request", true;
    /// A changed pull request.
    UpdatePullRequest = "update-pull-request", true;
    /// Work items that a pull request is linked to.
    PullRequestWorkItems = "pull-request-work-items", false;
    /// Votes on a pull request.
    Reviewers = "reviewers", false;
    /// Threads of a pull request.
    Threads = "threads", false;
    /// A comment in a thread.
    Reply = "reply", true;
    /// A new thread.
    OpenThread = "open-thread", true;
    /// A comment taken out of a thread.
    Unsay = "unsay", true;
    /// A thread's status.
    SetThreadStatus = "set-thread-status", true;
    /// What the branch policies say about a pull request.
    PolicyEvaluations = "policy-evaluations", false;
    /// Another try of a policy.
    RequeueEvaluation = "requeue-evaluation", true;
    /// Branch policies as configured.
    PolicyConfigurations = "policy-configurations", false;
    /// The newest builds of a repository.
    Builds = "builds", false;
    /// One build.
    Build = "build", false;
    /// Records of a build.
    Timeline = "timeline", false;
    /// Logs of a build.
    BuildLog = "build-log", false;
    /// Runs of tests that a build published.
    TestRuns = "test-runs", false;
    /// Results of a run of tests.
    TestResults = "test-results", false;
    /// How a test fared before.
    TestHistory = "test-history", false;
    /// What other services posted on a pull request.
    Statuses = "statuses", false;
    /// Iterations of a pull request.
    Iterations = "iterations", false;
    /// Files that an iteration changed.
    IterationChanges = "iteration-changes", false;
    /// Another try of a build's failed jobs.
    RetryBuild = "retry-build", true;
}

impl Operation {
    /// Whether the call changes anything. Queries that travel as `POST` do not.
    pub fn is_write(self) -> bool {
        self.facts().1
    }

    /// The word used in logs and reports, for example `pull-requests`.
    pub fn name(self) -> &'static str {
        self.facts().0
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_queries_are_reads() {
        let names: std::collections::BTreeSet<_> = Operation::ALL.iter().map(|one| one.name()).collect();
        assert_eq!(names.len(), Operation::ALL.len());
        assert!(!Operation::Query.is_write() && !Operation::WorkItems.is_write());
        assert!(Operation::ChangeWorkItem.is_write() && Operation::RequeueEvaluation.is_write());
    }
}
