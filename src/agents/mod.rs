//! Coding agents as data: one TOML each says how to call it, how to read its output and what to switch off.
//!
//! Adding an agent is adding a file. Which of them were really seen to work stands in `verified`; what was only read in
//! a manual says so in `unverified`. Knows nothing about turns and starts nothing.

pub mod stream;
pub mod template;

use crate::runtime::spec::{AgentCall, BriefWay, ConfigFile, Dialect, InstructionsWay, SessionKeep};
use serde::Deserialize;
use std::{collections::BTreeMap, sync::LazyLock};
use template::{Value, Word};

const FILES: [&str; 15] = [
    include_str!("aider.toml"),
    include_str!("amazon-q.toml"),
    include_str!("amp.toml"),
    include_str!("claude.toml"),
    include_str!("cline.toml"),
    include_str!("codex.toml"),
    include_str!("command.toml"),
    include_str!("copilot.toml"),
    include_str!("cursor.toml"),
    include_str!("droid.toml"),
    include_str!("gemini.toml"),
    include_str!("goose.toml"),
    include_str!("opencode.toml"),
    include_str!("qwen.toml"),
    include_str!("scripted.toml"),
];

/// The operator's own words in a call: the program, or more arguments.
const COMMAND: &str = "{command}";

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// By which settings choose it.
    pub name: String,
    /// One sentence for people.
    pub about: String,
    /// When and with what it was last seen to work. Exactly one of this and `unverified`.
    #[serde(default)]
    pub verified: Option<String>,
    /// Why nobody may rely on it yet.
    #[serde(default)]
    pub unverified: Option<String>,
    /// `host:port` of everything that it talks to by default, for the list of what may be reached.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// How it is given its brief.
    pub brief: BriefWay,
    /// How it writes its output.
    pub dialect: Dialect,
    /// How it is given the repository's instruction files.
    #[serde(default)]
    pub instructions: InstructionsWay,
    /// Prints its version; empty where nobody knows how.
    #[serde(default)]
    pub version: Vec<String>,
    /// Variables that it may need and that only the operator can allow: keys, addresses, models.
    #[serde(default)]
    pub environment: Vec<String>,
    /// Names at the top of a repository that configure it. They are kept out of the workspace while it works, because
    /// switches were seen not to stop all of them.
    #[serde(default)]
    pub hides: Vec<String>,
    /// What of a conversation outlives a turn. Absent = every turn begins afresh, with the whole brief.
    #[serde(default)]
    pub keep: SessionKeep,
    /// Whether the operator must say more than the name: which program, or which prepared files.
    #[serde(default)]
    pub needs_command: bool,
    /// How it is called.
    pub call: Call,
    /// Variables that switch off updates, telemetry and the repository's own configuration.
    #[serde(default)]
    pub switches: BTreeMap<String, String>,
    /// More of them in a planning call.
    #[serde(default)]
    pub plan_switches: BTreeMap<String, String>,
    /// A configuration that is written before the call.
    #[serde(default)]
    pub config: Option<ConfigFile>,
    /// What its exit codes mean.
    #[serde(default)]
    pub exit: Exits,
}

/// Program and arguments, with slots; see [`template`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Begins a conversation.
    pub start: Vec<Word>,
    /// Goes on with the conversation `{session}`; empty = it cannot.
    #[serde(default)]
    pub resume: Vec<Word>,
    /// `{mode}` where the workspace may be changed.
    #[serde(default)]
    pub work: Vec<String>,
    /// `{mode}` in a planning call, which makes it read-only; absent = planning is only asked for, and what it changed
    /// nevertheless is undone.
    #[serde(default)]
    pub plan: Option<Vec<String>>,
}

/// What exit codes mean. Everything that is not listed is judged by the output and by what the agent left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exits {
    /// The model provider did not answer: nobody's attempt.
    #[serde(default)]
    pub provider: Vec<i32>,
}

/// What the operator wants of an agent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The operator's own words: the program, or more arguments.
    pub command: &'a [String],
    /// The way to our own worker program as the step sees it: `roundsman-worker`, or `roundsman worker`.
    pub worker: &'a [String],
    /// The model, by the agent's own name for it; none = whatever the agent is configured for.
    pub model: Option<&'a str>,
    /// How hard it thinks, by the agent's own word; none = its default.
    pub effort: Option<&'a str>,
    /// Whether a planning call comes first.
    pub plan_first: bool,
    /// Names of handed-over variables that are meant for the checks only.
    pub checks_environment: &'a [String],
}

impl Agent {
    /// The call as the worker gets it.
    pub fn call(&self, wanted: Wanted<'_>) -> AgentCall {
        let value = |slot: &str| match slot {
            "{model}" => Some(wanted.model.map_or(Value::Absent, Value::Text)),
            "{effort}" => Some(wanted.effort.map_or(Value::Absent, Value::Text)),
            "{worker}" => Some(Value::Words(wanted.worker)),
            COMMAND => Some(Value::Words(wanted.command)),
            _ => None,
        };
        AgentCall {
            name: self.name.clone(),
            command: template::fill(&self.call.start, value),
            plan_first: wanted.plan_first,
            resume: template::fill(&self.call.resume, value),
            work: self.call.work.clone(),
            plan: self.call.plan.clone(),
            brief: self.brief,
            dialect: self.dialect,
            switches: self.switches.clone(),
            plan_switches: self.plan_switches.clone(),
            config: self.config.clone(),
            instructions: self.instructions,
            provider_codes: self.exit.provider.clone(),
            hides: self.hides.clone(),
            keep: self.keep.clone(),
            version: self.version.clone(),
            checks_environment: wanted.checks_environment.to_vec(),
            model: wanted.model.map(str::to_owned),
            hosts: None,
        }
    }
}

/// The agent of this name.
pub fn find(name: &str) -> Option<&'static Agent> {
    all().iter().find(|agent| agent.name == name)
}

/// All agents, ordered by name.
pub fn all() -> &'static [Agent] {
    static ALL: LazyLock<Vec<Agent>> = LazyLock::new(|| {
        FILES
            .iter()
            .map(|text| toml::from_str(text).expect("agent files are part of the program and tested"))
            .collect()
    });
    &ALL
}

#[cfg(test)]
mod tests;
