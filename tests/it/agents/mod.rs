//! The driver of real agents: what it does with conversations, limits, refusals and hostile repositories.
//!
//! `driver` needs nothing: shell programs print what real programs were recorded to print. `real` plays the traps with the
//! real programs, where `.ci/agents` has installed them.

mod driver;
#[cfg(feature = "emulator")]
mod real;
mod rules;

use crate::worker::World;
use roundsman::{
    domain::{AgentResult, FetchResult, Step, StepResult, TurnNumber, Usage},
    runtime::{
        Handover,
        spec::{AgentCall, Dialect, GoesOn, SessionKeep, WorkerSpec},
    },
};
use std::{fs, path::PathBuf};

/// A shell program that writes opencode's dialect; `$1` is `new` or `again`, `$2` the session.
fn shell(program: &str) -> AgentCall {
    let words = |way: &str, rest: &[&str]| {
        let mut words = ["sh", "-c", program, "agent", way].map(str::to_owned).to_vec();
        words.extend(rest.iter().map(|word| (*word).to_owned()));
        words
    };
    AgentCall {
        name: "opencode".into(),
        command: words("new", &[]),
        resume: words("again", &["{session}"]),
        dialect: Dialect::Opencode,
        keep: SessionKeep { files: vec!["store/*/{session}.txt".into()], ..SessionKeep::default() },
        ..AgentCall::default()
    }
}

/// One line of opencode's stream.
fn step(reason: &str) -> String {
    format!(
        r#"echo '{{"type":"step_finish","sessionID":"ses_1","part":{{"reason":"{reason}","tokens":{{"input":700,"output":35}},"cost":0.003}}}}'"#
    )
}

fn error(status: u16) -> String {
    format!(
        r#"echo '{{"type":"error","sessionID":"ses_1","error":{{"name":"APIError","data":{{"message":"no","statusCode":{status}}}}}}}'"#
    )
}

/// Fetches and runs the agent step.
async fn turn(world: &World, number: u16, call: &AgentCall, handover: &Handover) -> (AgentResult, Usage) {
    turn_after(world, number, call, handover, None).await
}

/// The same, for a turn that goes on with the conversation of that turn.
async fn turn_after(
    world: &World,
    number: u16,
    call: &AgentCall,
    handover: &Handover,
    after: Option<u16>,
) -> (AgentResult, Usage) {
    let goes_on = |after| GoesOn { after: TurnNumber(after), news: "Euro, please.".into() };
    let fetch = WorkerSpec { goes_on: after.map(goes_on), ..world.spec(Step::Fetch, number, "") };
    let fetched = world.step_with(&fetch, &Handover::default()).await;
    assert!(matches!(fetched, StepResult::Fetch(FetchResult::Ready { .. })), "{fetched:?}");
    let mut spec = world.spec(Step::Agent, number, "");
    spec.agent = Some(AgentCall { plan_first: world.plan_first, ..call.clone() });
    match world.step_with(&spec, handover).await {
        StepResult::Agent { result, usage } => (result, usage),
        other => panic!("{other:?}"),
    }
}

fn out(world: &World, number: u16) -> PathBuf {
    world.runtime.places(crate::worker::run_id(), TurnNumber(number)).output
}

fn evidence(world: &World, number: u16, name: &str) -> String {
    let path = out(world, number).join("evidence").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether a turn went on with a conversation, in words.
fn began(world: &World, number: u16) -> String {
    let note: serde_json::Value = serde_json::from_str(&evidence(world, number, "turn.json")).unwrap();
    note["conversation"].as_str().unwrap().to_owned()
}

/// What was left of every call: number, why, resumed, verdict.
fn calls(world: &World, number: u16) -> Vec<String> {
    let note: serde_json::Value = serde_json::from_str(&evidence(world, number, "turn.json")).unwrap();
    let calls = note["calls"].as_array().unwrap();
    calls
        .iter()
        .map(|call| {
            let again = if call["resumed"] == true { "again" } else { "new" };
            format!("{} {again}: {}", call["why"].as_str().unwrap(), call["verdict"].as_str().unwrap())
        })
        .collect()
}
