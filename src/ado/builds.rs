//! Builds, what failed in them, and their logs.

use super::{
    Client, Error, ErrorKind, Operation, Written,
    git::is_missing,
    request::{Call, STABLE},
    wire::{
        List,
        ci::{Log, Timeline, WireBuild},
    },
};
use crate::domain::{Build, BuildId, FailedTask, Repository};
use jiff::Timestamp;
use serde_json::json;

/// Longest line kept of a log, in characters: minified code in a log is no help to anybody.
const MAX_LINE: usize = 2_000;

/// Which builds of a repository to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildFilter {
    /// Only those of this full ref, for example `refs/pull/57/merge`; pull requests are validated on their merge ref.
    pub source_ref: Option<String>,
    /// Only those of this pipeline.
    pub pipeline: Option<u32>,
    /// Only those that have ended, the one that ended last first.
    pub is_completed: bool,
    /// Only those queued at or after this.
    pub queued_since: Option<Timestamp>,
    /// At most so many, newest first.
    pub top: u32,
}

impl BuildFilter {
    /// The newest builds of a ref.
    pub fn newest(source_ref: String, top: u32) -> Self {
        Self { source_ref: Some(source_ref), pipeline: None, is_completed: false, queued_since: None, top }
    }
}

/// The end of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEnd {
    /// Its last lines.
    Read(Vec<String>),
    /// Deleted: retention took it, or it was never written.
    Gone,
    /// Larger than anything that is read.
    TooLong,
}

fn is_gone(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::NotFound { .. })
}

impl Client {
    /// The newest builds of a repository, newest first: one request, cut at the filter's `top`.
    ///
    /// REST: Build, Builds, *List*.
    pub async fn builds(&self, repository: &Repository, filter: &BuildFilter) -> Result<Vec<Build>, Error> {
        let project = repository.project_id.as_str();
        // Without the type the repository is refused, without the order the time is applied to another field.
        let mut call = Call::get(Operation::Builds, &[project, "_apis", "build", "builds"], STABLE)
            .with("repositoryId", &repository.id)
            .with("repositoryType", "TfsGit")
            .with("$top", filter.top);
        call = if filter.is_completed {
            call.with("queryOrder", "finishTimeDescending").with("statusFilter", "completed")
        } else {
            call.with("queryOrder", "queueTimeDescending")
        };
        if let Some(pipeline) = filter.pipeline {
            call = call.with("definitions", pipeline);
        }
        if let Some(since) = filter.queued_since {
            call = call.with("minTime", since);
        }
        if let Some(source) = &filter.source_ref {
            call = call.with("branchName", source);
        }
        let list: List<WireBuild> = self.json(&call).await?;
        Ok(list.entries().map(|build| self.understood(build, project)).collect())
    }

    /// One build; absent if deleted or not readable.
    ///
    /// REST: Build, Builds, *Get*.
    pub async fn build(&self, project: &str, id: BuildId) -> Result<Option<Build>, Error> {
        let call =
            Call::get(Operation::Build, &[project, "_apis", "build", "builds", &id.to_string()], STABLE);
        match self.json::<WireBuild>(&call).await {
            Ok(build) => Ok(Some(self.understood(build, project))),
            Err(error) if is_missing(&error, &["BuildNotFoundException"]) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Builds by number, ordered by it; those that are not there or not readable are left out.
    ///
    /// REST: Build, Builds, *List*.
    pub async fn builds_by_id(&self, project: &str, ids: &[BuildId]) -> Result<Vec<Build>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let named: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let call = Call::get(Operation::Builds, &[project, "_apis", "build", "builds"], STABLE)
            .with("buildIds", named.join(","));
        let list: List<WireBuild> = self.json(&call).await?;
        let mut builds: Vec<Build> = list.entries().map(|build| self.understood(build, project)).collect();
        builds.sort_by_key(|build| build.id);
        Ok(builds)
    }

    fn understood(&self, build: WireBuild, project: &str) -> Build {
        let mut build = build.build(|id| format!("{}/{project}/_build/results?buildId={id}", self.base()));
        for message in &mut build.validation_errors {
            *message = self.redactor().redact(message);
        }
        build
    }

    /// What failed in the newest attempt: tasks, or else jobs, or else stages. Empty if the build never began; then its
    /// `validation_errors` tell why. Messages are redacted, and cut by the service: the log has all.
    ///
    /// REST: Build, Timeline, *Get*.
    pub async fn failed_tasks(&self, project: &str, build: BuildId) -> Result<Vec<FailedTask>, Error> {
        let timeline = self.timeline(project, build).await?;
        let mut failed = timeline.map(|timeline| timeline.failed()).unwrap_or_default();
        for message in failed.iter_mut().flat_map(|task| &mut task.messages) {
            *message = self.redactor().redact(message);
        }
        Ok(failed)
    }

    /// Whether a running build stands still before a person's approval or another gate.
    ///
    /// REST: Build, Timeline, *Get*.
    pub async fn is_held(&self, project: &str, build: BuildId) -> Result<bool, Error> {
        Ok(self.timeline(project, build).await?.is_some_and(|timeline| timeline.is_held()))
    }

    /// Who stopped a build, by name alone, where its timeline says so and it was no service.
    ///
    /// REST: Build, Timeline, *Get*.
    pub async fn canceled_by(&self, project: &str, build: BuildId) -> Result<Option<String>, Error> {
        let timeline = self.timeline(project, build).await?;
        Ok(timeline.and_then(|timeline| timeline.canceled_by()).map(|name| self.redactor().redact(&name)))
    }

    async fn timeline(&self, project: &str, build: BuildId) -> Result<Option<Timeline>, Error> {
        let segments = [project, "_apis", "build", "builds", &build.to_string(), "timeline"];
        let call = Call::get(Operation::Timeline, &segments, STABLE);
        let answer = self.read(&call).await?;
        // 204 or `null` for a build that never began.
        if answer.body.is_empty() {
            return Ok(None);
        }
        self.parse(&answer).map_err(|kind| self.after_answer(&call, kind))
    }

    /// The last `lines` lines of a log, redacted. Untrusted. Two requests: the first tells how long it is. A log of which
    /// nobody tells the length is not read: it could be half a gigabyte.
    ///
    /// REST: Build, Builds, *Get Build Logs* and *Get Build Log*.
    pub async fn log_tail(
        &self,
        project: &str,
        build: BuildId,
        log: u32,
        lines: u32,
    ) -> Result<LogEnd, Error> {
        let (build, id) = (build.to_string(), log.to_string());
        let segments = [project, "_apis", "build", "builds", &build, "logs", &id];
        let list = Call::get(Operation::BuildLog, &segments[..6], STABLE);
        let logs: Result<List<Log>, Error> = self.json(&list).await;
        let logs = match logs {
            Ok(logs) => logs,
            Err(error) if is_gone(&error) => return Ok(LogEnd::Gone),
            Err(error) => return Err(error),
        };
        let Some(entry) = logs.entries().find(|one| one.id == Some(log)) else { return Ok(LogEnd::Gone) };
        let Some(count) = entry.line_count else { return Ok(LogEnd::TooLong) };
        let mut call = Call::get(Operation::BuildLog, &segments, STABLE).plain();
        // Whether lines count from 0 or 1 is not documented; one too many is cut below.
        let start = count.saturating_sub(u64::from(lines));
        if start > 0 {
            call = call.with("startLine", start);
        }
        let answer = match self.read(&call).await {
            Ok(answer) => answer,
            Err(error) if is_gone(&error) => return Ok(LogEnd::Gone),
            // Few lines can be long ones.
            Err(error) if matches!(error.kind, ErrorKind::Malformed { .. }) => return Ok(LogEnd::TooLong),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&answer.body);
        let all: Vec<&str> = text.lines().collect();
        // Redacted as one text: a private key spans lines.
        let tail = all[all.len().saturating_sub(lines as usize)..].join("\n");
        let tail = self.redactor().redact(&tail);
        Ok(LogEnd::Read(tail.lines().map(|line| line.chars().take(MAX_LINE).collect()).collect()))
    }

    /// Runs the failed jobs of a finished build again.
    ///
    /// REST: Build, Builds, *Update Build* with `retry`.
    pub async fn retry_build(&self, project: &str, build: BuildId) -> Written<()> {
        let segments = [project, "_apis", "build", "builds", &build.to_string()];
        // An empty body is refused.
        let call = Call::patch(Operation::RetryBuild, &segments, STABLE, &json!({})).with("retry", true);
        self.write(&call, |_| Ok::<(), ErrorKind>(())).await
    }
}
