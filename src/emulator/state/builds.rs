//! Pipelines and builds: what ran, on which commit, with which outcome, and how it is told.
//!
//! It knows the records and their rendering; running the command is the runner's business.

use super::{Errand, World, policies::Policy};
use crate::emulator::wire::{Problem, guid, stamp7};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::{Arc, RwLock},
    time::Duration,
};

/// The id of the service's own account, which ends what ran.
const SYSTEM: &str = "00000002-0000-8888-8000-000000000000";

/// The lines of a log; growing while the build runs.
pub(crate) type Lines = Arc<RwLock<Vec<String>>>;

#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pub(crate) id: i64,
    pub(crate) project: String,
    pub(crate) repository: String,
    pub(crate) name: String,
    pub(crate) step: String,
    pub(crate) command: Vec<String>,
    pub(crate) timeout: Duration,
    pub(crate) branches: Vec<String>,
    pub(crate) yaml_error: Option<String>,
    pub(crate) never_starts: bool,
    pub(crate) forced: VecDeque<&'static str>,
    pub(crate) checkpoint: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    pub(crate) result: Option<&'static str>,
    pub(crate) errors: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) lines: Lines,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "switches of a pretend build, each set by a knob of its own"
)]
#[derive(Clone, Debug)]
pub(crate) struct Build {
    pub(crate) id: i64,
    pub(crate) pipeline: i64,
    pub(crate) project: String,
    pub(crate) repository: String,
    pub(crate) number: String,
    pub(crate) status: &'static str,
    pub(crate) result: Option<&'static str>,
    pub(crate) reason: &'static str,
    pub(crate) branch: String,
    pub(crate) version: String,
    pub(crate) pull: Option<i64>,
    pub(crate) pull_head: String,
    pub(crate) pull_target: String,
    pub(crate) by: String,
    /// Who changed it last: the service, once it has ended it.
    pub(crate) changed_by: String,
    /// Who stopped its jobs.
    pub(crate) stopped_by: Option<String>,
    pub(crate) queued: Timestamp,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    pub(crate) attempt: i64,
    pub(crate) problem: Option<String>,
    pub(crate) steps: Vec<Step>,
    pub(crate) parameters: Option<String>,
    pub(crate) stuck: bool,
    pub(crate) checkpoint: bool,
    pub(crate) lost_agent: bool,
    /// Retention took its logs.
    pub(crate) logs_gone: bool,
    /// What each attempt published of tests: attempts of old stay.
    pub(crate) tests: Vec<TestRun>,
    pub(crate) changed: Timestamp,
}

/// What one attempt of a build published of its tests.
#[derive(Clone, Debug)]
pub(crate) struct TestRun {
    pub(crate) id: i64,
    pub(crate) attempt: i64,
    pub(crate) at: Timestamp,
    pub(crate) results: Vec<TestResult>,
}

/// One test of it.
#[derive(Clone, Debug)]
pub(crate) struct TestResult {
    pub(crate) name: String,
    /// `Passed`, `Failed`, `NotExecuted`.
    pub(crate) outcome: &'static str,
    pub(crate) message: String,
}

/// What a line of a log says after `mark`, if it begins with it: the echo of a command that would print one says nothing.
fn marked<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    let (_, said) = line.split_once(' ')?;
    said.trim_start().strip_prefix(mark)
}

/// Lines of a log that stand for what a publishing task would have found in a result file: `##[test]passed NAME`,
/// `##[test]failed NAME: message`, `##[test]skipped NAME`.
fn published(lines: &[String]) -> Vec<TestResult> {
    let told = lines.iter().filter_map(|line| marked(line, "##[test]"));
    told.filter_map(|told| {
        let (word, rest) = told.split_once(' ')?;
        let outcome = match word {
            "passed" => "Passed",
            "failed" => "Failed",
            "skipped" => "NotExecuted",
            _ => return None,
        };
        let (name, message) = rest.split_once(": ").unwrap_or((rest, ""));
        Some(TestResult { name: name.trim().to_owned(), outcome, message: message.to_owned() })
    })
    .collect()
}

impl Build {
    /// Queued or running, and not stuck by a knob: something that will end by itself.
    pub(crate) fn busy(&self) -> bool {
        self.status != "completed" && !self.stuck
    }
}

/// What the runner needs to know.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: i64,
    pub(crate) command: Vec<String>,
    pub(crate) timeout: Duration,
    pub(crate) git_dir: std::path::PathBuf,
    pub(crate) version: String,
    pub(crate) branch: String,
    pub(crate) pull: Option<i64>,
    pub(crate) lines: Vec<Lines>,
    pub(crate) forced: Option<&'static str>,
}

const STEPS: [&str; 2] = ["Initialize job", "Checkout"];

impl World {
    pub(crate) fn build(&self, project: &str, id: i64) -> Result<&Arc<Build>, Problem> {
        self.builds.get(&id).filter(|build| build.project == project).ok_or_else(|| {
            Problem::new(
                404,
                "BuildNotFoundException",
                format!("The requested build {id} could not be found."),
            )
        })
    }

    pub(crate) fn build_mut(&mut self, id: i64) -> Option<&mut Build> {
        self.builds.get_mut(&id).map(Arc::make_mut)
    }

    pub(crate) fn queue_build(
        &mut self,
        pipeline: i64,
        reason: &'static str,
        branch: &str,
        version: &str,
        pull: Option<i64>,
        by: &str,
    ) -> Option<i64> {
        let pipeline = self.pipelines.get(&pipeline)?.clone();
        let now = self.now();
        let id = self.builds.keys().next_back().map_or(501, |id| id + 1);
        let today = now.strftime("%Y%m%d").to_string();
        let merge =
            pull.and_then(|pull| self.pulls.get(&pull)).map(|pull| pull.merge.clone()).unwrap_or_default();
        let invalid = pipeline.yaml_error.clone();
        let stuck = pipeline.never_starts || self.knobs.builds_never_start;
        let build = Build {
            id,
            pipeline: pipeline.id,
            project: pipeline.project.clone(),
            repository: pipeline.repository.clone(),
            number: format!("{today}.{}", id - 500),
            status: if invalid.is_some() { "completed" } else { "notStarted" },
            result: invalid.is_some().then_some("failed"),
            reason,
            branch: branch.to_owned(),
            version: version.to_owned(),
            pull,
            pull_head: merge.source,
            pull_target: merge.target,
            by: by.to_owned(),
            changed_by: by.to_owned(),
            stopped_by: None,
            queued: now,
            started: None,
            finished: invalid.is_some().then_some(now),
            attempt: 1,
            problem: invalid,
            steps: Vec::new(),
            parameters: None,
            stuck,
            checkpoint: false,
            lost_agent: false,
            logs_gone: false,
            tests: Vec::new(),
            changed: now,
        };
        if build.status != "completed" && !stuck {
            self.errands.push(Errand::Start(id));
        }
        self.builds.insert(id, Arc::new(build));
        Some(id)
    }

    pub(crate) fn continuous_integration(&mut self, repository: &str, name: &str, version: &str, by: &str) {
        let ids: Vec<i64> = self
            .pipelines
            .values()
            .filter(|pipeline| {
                pipeline.repository == repository && pipeline.branches.iter().any(|b| b == name)
            })
            .map(|pipeline| pipeline.id)
            .collect();
        for id in ids {
            self.queue_build(id, "individualCI", name, version, None, by);
        }
    }

    /// The runner takes a build; nothing when it was cancelled meanwhile.
    pub(crate) fn start_build(&mut self, id: i64) -> Option<Job> {
        let now = self.now();
        let pipeline_id = self.builds.get(&id).filter(|build| build.status == "notStarted")?.pipeline;
        let pipeline = self.pipelines.get_mut(&pipeline_id).map(Arc::make_mut)?;
        let forced = pipeline.forced.pop_front();
        let (command, timeout, step) = (pipeline.command.clone(), pipeline.timeout, pipeline.step.clone());
        let held = pipeline.checkpoint;
        let git_dir = self.git(&self.builds.get(&id)?.repository).dir;
        let build = self.build_mut(id)?;
        build.status = "inProgress";
        build.started = Some(now);
        build.changed = now;
        if held {
            build.checkpoint = true;
            build.stuck = true;
            return None;
        }
        build.steps = STEPS
            .iter()
            .map(|name| (*name).to_owned())
            .chain([step])
            .map(|name| Step {
                name,
                started: None,
                finished: None,
                result: None,
                errors: Vec::new(),
                warnings: Vec::new(),
                lines: Lines::default(),
            })
            .collect();
        Some(Job {
            id,
            command,
            timeout,
            git_dir,
            version: build.version.clone(),
            branch: build.branch.clone(),
            pull: build.pull,
            lines: build.steps.iter().map(|step| Arc::clone(&step.lines)).collect(),
            forced,
        })
    }

    pub(crate) fn begin_step(&mut self, id: i64, step: usize) {
        let now = self.now();
        if let Some(step) = self.build_mut(id).and_then(|build| build.steps.get_mut(step)) {
            step.started = Some(now);
        }
    }

    pub(crate) fn end_step(&mut self, id: i64, step: usize, result: &'static str) {
        let now = self.now();
        let Some(step) = self.build_mut(id).and_then(|build| build.steps.get_mut(step)) else { return };
        step.finished = Some(now);
        step.result = Some(result);
        let lines = step.lines.read().map(|lines| lines.clone()).unwrap_or_default();
        let issues = |mark: &str| -> Vec<String> {
            let texts = lines.iter().filter_map(|line| marked(line, mark)).map(|text| text.trim().to_owned());
            // The agent caps the issues of one task.
            texts.take(10).collect()
        };
        step.errors = issues("##[error]");
        step.warnings = issues("##[warning]");
    }

    pub(crate) fn finish_build(&mut self, id: i64, result: &'static str) {
        let now = self.now();
        let Some(build) = self.build_mut(id).filter(|build| build.status != "completed") else { return };
        build.status = "completed";
        build.result = Some(result);
        build.finished = Some(now);
        build.changed = now;
        if build.started.is_some() {
            SYSTEM.clone_into(&mut build.changed_by);
        }
        let lines: Vec<String> = build
            .steps
            .iter()
            .flat_map(|step| step.lines.read().map(|l| l.clone()).unwrap_or_default())
            .collect();
        let results = published(&lines);
        if !results.is_empty() {
            let id = build.id * 100 + build.attempt;
            build.tests.push(TestRun { id, attempt: build.attempt, at: now, results });
        }
        for step in build.steps.iter_mut().filter(|step| step.result.is_none()) {
            step.result = Some(if result == "canceled" { "canceled" } else { "skipped" });
        }
        if let Some(pull) = build.pull {
            self.consider_completion(pull);
        }
    }

    pub(crate) fn cancel_build(&mut self, id: i64, by: &str) {
        let now = self.now();
        let Some(build) = self.build_mut(id).filter(|build| build.status != "completed") else { return };
        build.changed = now;
        by.clone_into(&mut build.changed_by);
        build.stopped_by = Some(by.to_owned());
        match build.status {
            "notStarted" => self.finish_build(id, "canceled"),
            "inProgress" if build.checkpoint => self.finish_build(id, "canceled"),
            "inProgress" => {
                build.status = "cancelling";
                self.errands.push(Errand::Cancel(id));
            }
            _ => {}
        }
    }

    /// The unfinished builds of a pull request, of one policy or of all: superseded.
    pub(crate) fn cancel_builds(&mut self, pull: i64, policy: Option<&Policy>) {
        let pipeline = policy.map(|policy| policy.settings["buildDefinitionId"].as_i64().unwrap_or_default());
        let ids: Vec<i64> = self
            .builds
            .values()
            .filter(|build| build.pull == Some(pull) && build.status != "completed")
            .filter(|build| pipeline.is_none_or(|pipeline| build.pipeline == pipeline))
            .map(|build| build.id)
            .collect();
        for id in ids {
            self.cancel_build(id, SYSTEM);
        }
    }

    pub(crate) fn retry_build(&mut self, id: i64) -> Result<(), Problem> {
        let now = self.now();
        let Some(build) = self.build_mut(id) else { return Ok(()) };
        if build.status != "completed" || build.result == Some("succeeded") {
            return Err(Problem::new(
                400,
                "BuildStatusInvalidChangeException",
                format!("The build {id} has no failed jobs to retry, or is not finished."),
            ));
        }
        if build.problem.is_some() {
            return Err(Problem::argument(format!("The build {id} never started; it cannot be retried.")));
        }
        build.status = "notStarted";
        build.result = None;
        build.finished = None;
        build.started = None;
        build.attempt += 1;
        build.lost_agent = false;
        build.stopped_by = None;
        build.changed = now;
        self.errands.push(Errand::Start(id));
        Ok(())
    }

    /// An account, or the service itself.
    fn changer(&self, id: &str) -> Value {
        if id != SYSTEM {
            return self.identity(id);
        }
        let name = "Microsoft.VisualStudio.Services.TFS";
        let descriptor = "s2s.MDAwMDAwMDItMDAwMC04ODg4LTgwMDAtMDAwMDAwMDAwMDAw";
        json!({
            "displayName": name, "id": SYSTEM, "uniqueName": format!("{SYSTEM}@2c895908-04e0-4952-89fd-54b0046d6288"),
            "url": format!("{}/_apis/Identities/{SYSTEM}", self.base), "descriptor": descriptor,
        })
    }

    pub(crate) fn build_url(&self, build: &Build) -> String {
        format!("{}/_apis/build/Builds/{}", self.project_url(&build.project), build.id)
    }

    pub(crate) fn pipeline_json(&self, pipeline: &Pipeline) -> Value {
        let url = self.project_url(&pipeline.project);
        json!({
            "id": pipeline.id, "name": pipeline.name, "path": "\\", "type": "build", "queueStatus": "enabled", "revision": 1,
            "uri": format!("vstfs:///Build/Definition/{}", pipeline.id),
            "url": format!("{url}/_apis/build/Definitions/{}?revision=1", pipeline.id),
            "project": self.project_reference(&pipeline.project),
        })
    }

    pub(crate) fn build_json(&self, build: &Build) -> Value {
        let url = self.build_url(build);
        let repository = self.repositories.get(&build.repository);
        let mut trigger = json!({"ci.sourceBranch": build.branch, "ci.sourceSha": build.version});
        if let Some(pull) = build.pull {
            // Azure Repos builds were not seen to carry more than these.
            trigger = json!({"pr.number": pull.to_string(), "pr.isFork": "False", "pr.triggerRepository": build.repository});
        }
        let problems: Vec<Value> =
            build.problem.iter().map(|message| json!({"result": "error", "message": message})).collect();
        json!({
            "id": build.id, "buildNumber": build.number, "status": build.status, "result": build.result,
            "queueTime": stamp7(build.queued), "startTime": build.started.map(stamp7),
            "finishTime": build.finished.map(stamp7), "url": url,
            "uri": format!("vstfs:///Build/Build/{}", build.id), "reason": build.reason, "priority": "normal",
            "sourceBranch": build.branch, "sourceVersion": build.version, "triggerInfo": trigger,
            "definition": self.pipelines.get(&build.pipeline).map(|pipeline| self.pipeline_json(pipeline)),
            "project": self.project_reference(&build.project),
            "requestedBy": self.identity(&build.by), "requestedFor": self.identity(&build.by),
            "lastChangedBy": self.changer(&build.changed_by), "lastChangedDate": stamp7(build.changed),
            "parameters": build.parameters, "keepForever": null, "retainedByRelease": false, "tags": [], "properties": {},
            "validationResults": problems,
            "logs": (build.problem.is_none()).then(|| json!({"id": 0, "type": "Container", "url": format!("{url}/logs")})),
            "repository": {"id": build.repository, "type": "TfsGit", "name": repository.map(|r| r.name.clone()),
                "url": repository.map(|r| self.repository_json(r)["webUrl"].clone()), "checkoutSubmodules": false},
            "_links": {"self": {"href": url}, "timeline": {"href": format!("{url}/timeline")},
                "web": {"href": format!("{}/_build/results?buildId={}", self.project_url(&build.project), build.id)}},
        })
    }

    /// The records of a build, outermost first. Nothing for a run that never started.
    pub(crate) fn timeline_json(&self, build: &Build) -> Option<Value> {
        let started = build.started?;
        let url = self.build_url(build);
        let plan = guid(&format!("plan {}", build.id));
        let id = |what: &str| guid(&format!("record {} {what}", build.id));
        let state = if build.status == "completed" { "completed" } else { "inProgress" };
        let errors: usize = build.steps.iter().map(|step| step.errors.len()).sum();
        let outcome = build
            .result
            .map(|result| if result == "partiallySucceeded" { "succeededWithIssues" } else { result });
        let mut records = Vec::new();
        let outer =
            [("Stage", "__default", None), ("Phase", "Job", Some("Stage")), ("Job", "Job", Some("Phase"))];
        for (kind, name, parent) in outer {
            let previous: Vec<Value> = if kind == "Stage" {
                (1..build.attempt)
                    .map(|attempt| json!({"attempt": attempt, "timelineId": guid(&format!("{plan} {attempt}")), "recordId": id(kind)}))
                    .collect()
            } else {
                Vec::new()
            };
            let mut record = json!({
                "id": id(kind), "parentId": parent.map(id), "type": kind, "name": name, "identifier": name,
                "startTime": stamp7(started), "finishTime": build.finished.map(stamp7), "state": state, "result": outcome,
                "order": 1, "attempt": build.attempt, "previousAttempts": previous, "changeId": 1,
                "errorCount": if kind == "Job" { errors } else { 0 }, "warningCount": 0,
                "lastModified": stamp7(build.changed),
            });
            if kind == "Job" {
                record["workerName"] = json!("Emulated Agent 1");
                if build.lost_agent {
                    let text = "We stopped hearing from agent Emulated Agent 1. Verify the agent machine is running and has a healthy network connection.";
                    record["issues"] = json!([{"type": "error", "category": "General", "message": text}]);
                    record["errorCount"] = json!(1);
                }
                if let Some(by) = build.stopped_by.as_deref().filter(|_| build.status == "completed") {
                    let name = self.changer(by)["displayName"].as_str().unwrap_or_default().to_owned();
                    let text = format!("The build was canceled by {name}");
                    record["issues"] = json!([{"type": "error", "category": "General", "message": text}]);
                    record["errorCount"] = json!(1);
                }
            }
            records.push(record);
        }
        if build.checkpoint {
            records.push(json!({
                "id": id("Checkpoint"), "parentId": id("Stage"), "type": "Checkpoint", "name": "Checkpoint", "identifier": "Checkpoint",
                "startTime": stamp7(started), "state": state, "result": outcome, "order": 1, "attempt": 1,
                "errorCount": 0, "warningCount": 0, "previousAttempts": [],
            }));
        }
        for (number, step) in build.steps.iter().enumerate() {
            let issues: Vec<Value> = [("error", &step.errors), ("warning", &step.warnings)]
                .into_iter()
                .flat_map(|(kind, texts)| texts.iter().map(move |text| (kind, text)))
                .map(|(kind, text)| json!({"type": kind, "category": "General", "message": text, "data": {"type": kind}}))
                .collect();
            let log = step.started.map(|_| json!({"id": number + 1, "type": "Container", "url": format!("{url}/logs/{}", number + 1)}));
            let task = (number > 0)
                .then(|| json!({"id": guid(&step.name), "name": "CmdLine", "version": "2.250.1"}));
            records.push(json!({
                "id": id(&format!("Task {number}")), "parentId": id("Job"), "type": "Task", "name": step.name,
                "startTime": step.started.map(stamp7), "finishTime": step.finished.map(stamp7),
                "state": match (step.started, step.finished, build.status) {
                    (_, Some(_), _) | (_, _, "completed") => "completed",
                    (Some(_), None, _) => "inProgress",
                    _ => "pending",
                },
                "result": step.result, "order": number + 1, "attempt": build.attempt, "previousAttempts": [],
                "errorCount": step.errors.len(), "warningCount": step.warnings.len(), "workerName": "Emulated Agent 1",
                "issues": (!issues.is_empty()).then_some(issues), "log": log, "task": task, "changeId": number + 2,
            }));
        }
        Some(json!({
            "id": plan, "changeId": 7, "records": records, "lastChangedBy": SYSTEM,
            "lastChangedOn": stamp7(build.changed), "url": format!("{url}/Timeline/{plan}"),
        }))
    }
}
