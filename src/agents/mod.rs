//! Coding agents as data: one TOML each says how to call it and what its exit codes mean.
//!
//! Adding an agent is adding a file. Knows nothing about turns and starts nothing.

pub mod stream;

use serde::Deserialize;
use std::sync::LazyLock;

const FILES: [&str; 2] = [include_str!("command.toml"), include_str!("scripted.toml")];

/// The operator's own program and arguments in a command template.
const COMMAND: &str = "{command}";
/// The worker program in a command template: `roundsman-worker`, or `roundsman worker`.
const WORKER: &str = "{worker}";

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// By which settings choose it.
    pub name: String,
    /// One sentence for people.
    pub about: String,
    /// When and with what it was last seen to work.
    pub verified: String,
    /// Program and arguments; `{command}` and `{worker}` stand for several words each.
    pub command: Vec<String>,
    /// Whether a separate planning call comes first.
    pub plan_first: bool,
    /// Variables that it needs; the operator's list adds to them.
    pub environment: Vec<String>,
    /// What its exit codes mean.
    pub exit: Exits,
}

/// What exit codes mean. Everything that is not listed is judged by what the agent left.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exits {
    /// The model provider did not answer: nobody's attempt.
    pub provider: Vec<i32>,
}

impl Agent {
    /// The words to call it with. `operator` is the command of the settings, `worker` the way to our own worker
    /// program as the step sees it.
    pub fn command(&self, operator: &[String], worker: &[String]) -> Vec<String> {
        let mut words = Vec::new();
        for word in &self.command {
            match word.as_str() {
                COMMAND => words.extend_from_slice(operator),
                WORKER => words.extend_from_slice(worker),
                _ => words.push(word.clone()),
            }
        }
        words
    }

    /// Whether the operator must say which program it is.
    pub fn needs_command(&self) -> bool {
        self.command.iter().any(|word| word == COMMAND)
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
mod tests {
    use super::*;

    #[test]
    fn every_file_is_an_agent_with_a_name_of_its_own() {
        let names: Vec<&str> = all().iter().map(|agent| agent.name.as_str()).collect();
        assert_eq!(names, ["command", "scripted"]);
    }

    #[test]
    fn templates_become_words() {
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let (operator, worker) = (words(&["my-agent", "--fast"]), words(&["roundsman", "worker"]));
        let command = find("command").unwrap();
        assert!(command.needs_command());
        assert_eq!(command.command(&operator, &worker), operator);
        assert_eq!(
            find("scripted").unwrap().command(&words(&["play"]), &worker),
            ["roundsman", "worker", "scripted", "play"]
        );
    }
}
