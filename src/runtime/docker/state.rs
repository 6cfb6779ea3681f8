//! What the engine and the end of a log say about a worker. Pure.
//!
//! Only a status of the right step, the last line of standard output, says how a step ended. Exit codes and flags of the
//! kernel explain its absence, and are believed in nothing else.

use crate::{
    domain::{AgentResult, Step, StepResult, WorkerState},
    runtime::process::files::plain,
};
use bollard::models::{ContainerState, ContainerStateStatusEnum as Status};
use jiff::Timestamp;

/// Exit code of a worker that could not begin; `worker::EXIT_BROKEN`.
const BROKEN: i64 = 70;
/// Exit code of a worker that was started before; `worker::EXIT_STARTED_BEFORE`.
const STARTED_BEFORE: i64 = 73;
/// 128 + `SIGKILL`.
const KILLED: i64 = 137;
/// 128 + `SIGTERM`.
const TERMINATED: i64 = 143;
/// What an engine writes when it comes back and finds a container gone.
const LOST: i64 = 255;
/// A program that could not be executed, and one that was not found.
const NOT_STARTED: [i64; 2] = [126, 127];
/// Characters of a last line that hint at why a worker ended.
const HINT: usize = 300;

/// Whether it may still be doing something.
pub(super) fn is_live(state: &ContainerState) -> bool {
    matches!(status(state), Status::RUNNING | Status::PAUSED | Status::RESTARTING | Status::STOPPING)
}

/// Whether it was never started.
pub(super) fn is_created(state: &ContainerState) -> bool {
    matches!(status(state), Status::CREATED)
}

fn status(state: &ContainerState) -> Status {
    state.status.unwrap_or(Status::EMPTY)
}

/// The state of a worker; `output` is the end of its standard output.
pub(super) fn worker_state(step: Step, state: &ContainerState, output: &[u8]) -> Result<WorkerState, String> {
    match status(state) {
        Status::CREATED => Ok(WorkerState::Created),
        Status::RUNNING | Status::PAUSED | Status::RESTARTING | Status::STOPPING => {
            let said = state.started_at.as_deref().unwrap_or_default();
            let since =
                said.parse::<Timestamp>().map_err(|_| format!("the engine says it runs since `{said}`"))?;
            Ok(WorkerState::Running { since })
        }
        Status::EXITED | Status::DEAD | Status::REMOVING => {
            let text = plain(&String::from_utf8_lossy(output));
            let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
            Ok(match result(step, last) {
                Some(result) => WorkerState::Finished(told(result, state)),
                None => WorkerState::Crashed { hint: hint(state, last) },
            })
        }
        Status::EMPTY => Err("the engine does not say what it is doing".to_owned()),
    }
}

fn result(step: Step, line: &str) -> Option<StepResult> {
    serde_json::from_str::<StepResult>(line).ok().filter(|result| result.step() == step)
}

/// A worker that outlives the program it calls cannot know what the kernel did to it.
fn told(result: StepResult, state: &ContainerState) -> StepResult {
    match result {
        StepResult::Agent(AgentResult::Failed { class, detail }) if state.oom_killed == Some(true) => {
            let detail = format!("something in the container was killed: out of memory\n{detail}");
            StepResult::Agent(AgentResult::Failed { class, detail })
        }
        StepResult::Agent(_) | StepResult::Fetch(_) | StepResult::Publish(_) => result,
    }
}

fn hint(state: &ContainerState, last: &str) -> String {
    let code = state.exit_code.unwrap_or_default();
    let class = match status(state) {
        Status::DEAD => "the engine could not take it down (dead)".to_owned(),
        Status::REMOVING => "it is being removed".to_owned(),
        _ if state.oom_killed == Some(true) => format!("killed: out of memory (exit code {code})"),
        _ if code == KILLED => {
            "killed (maybe out of memory, maybe by somebody or with its engine)".to_owned()
        }
        _ if code == TERMINATED => "ended by a signal before it began".to_owned(),
        _ if code == LOST => "lost by its engine, as after a restart of engine or host".to_owned(),
        _ if code == STARTED_BEFORE => "started before".to_owned(),
        _ if code == BROKEN && last.is_empty() => {
            "it could not begin: maybe nothing was handed over".to_owned()
        }
        _ if NOT_STARTED.contains(&code) => format!("its program could not be started (exit code {code})"),
        _ => format!("ended without a status (exit code {code})"),
    };
    let engine = state.error.as_deref().unwrap_or_default().trim();
    let mut hint = class;
    for (who, said) in [("the engine", engine), ("its last line", last)] {
        if !said.is_empty() {
            let said: String = said.chars().take(HINT).collect();
            hint = format!("{hint}; {who}: {said}");
        }
    }
    hint
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AgentFailure, PublishResult};

    fn ended(code: i64) -> ContainerState {
        ContainerState { status: Some(Status::EXITED), exit_code: Some(code), ..Default::default() }
    }

    fn said(step: Step, state: &ContainerState, output: &str) -> String {
        match worker_state(step, state, output.as_bytes()).unwrap() {
            WorkerState::Crashed { hint } => hint,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_last_line_of_the_right_step_is_a_status() {
        let failed = PublishResult::Failed { detail: "no".into() };
        let line = serde_json::to_string(&StepResult::Publish(failed.clone())).unwrap();
        let seen = |output: &str| worker_state(Step::Publish, &ended(0), output.as_bytes()).unwrap();
        assert_eq!(seen(&format!("x\n{line}\n\n")), WorkerState::Finished(StepResult::Publish(failed)));
        assert!(matches!(seen(&format!("{line}\nmore\n")), WorkerState::Crashed { .. }));
        assert!(matches!(seen(""), WorkerState::Crashed { .. }));
        assert!(said(Step::Agent, &ended(0), &line).starts_with("ended without a status (exit code 0)"));
        assert!(said(Step::Agent, &ended(0), "{\"step\":\"agent\",\"result\":\"rich\"}").contains("rich"));
    }

    #[test]
    fn the_class_of_an_end_is_told() {
        for (code, class) in [
            (137, "killed (maybe out of memory"),
            (255, "lost by its engine"),
            (73, "started before"),
            (70, "maybe nothing was handed over"),
            (127, "could not be started"),
            (3, "exit code 3"),
        ] {
            assert!(said(Step::Fetch, &ended(code), "").contains(class), "{code}");
        }
        let oom = ContainerState { oom_killed: Some(true), ..ended(137) };
        assert!(said(Step::Agent, &oom, "").starts_with("killed: out of memory"));
        let dead = ContainerState { status: Some(Status::DEAD), ..ended(0) };
        assert!(said(Step::Agent, &dead, "\u{1b}[31mlast words\n").ends_with("its last line: last words"));
        let removing = ContainerState { status: Some(Status::REMOVING), ..ended(0) };
        assert!(said(Step::Agent, &removing, "").contains("being removed"));
    }

    #[test]
    fn the_kernels_word_reaches_the_agents_failure() {
        let failed = AgentResult::Failed { class: AgentFailure::Agent, detail: "Signalled(9)".into() };
        let line = serde_json::to_string(&StepResult::Agent(failed)).unwrap();
        let oom = ContainerState { oom_killed: Some(true), ..ended(0) };
        let WorkerState::Finished(StepResult::Agent(AgentResult::Failed { detail, .. })) =
            worker_state(Step::Agent, &oom, line.as_bytes()).unwrap()
        else {
            panic!("a status counts");
        };
        assert!(detail.contains("out of memory") && detail.ends_with("Signalled(9)"));
    }

    #[test]
    fn what_runs_tells_since_when() {
        let at = |status, started: &str| ContainerState {
            status: Some(status),
            started_at: Some(started.into()),
            ..Default::default()
        };
        let since = "2026-01-02T03:04:05.6Z";
        for status in [Status::RUNNING, Status::PAUSED] {
            let state = worker_state(Step::Agent, &at(status, since), b"").unwrap();
            assert_eq!(state, WorkerState::Running { since: since.parse().unwrap() });
        }
        assert!(worker_state(Step::Agent, &at(Status::RUNNING, "soon"), b"").is_err());
        assert_eq!(worker_state(Step::Agent, &at(Status::CREATED, ""), b""), Ok(WorkerState::Created));
        assert!(worker_state(Step::Agent, &ContainerState::default(), b"").is_err());
    }
}
