//! Labels: what Azure DevOps stores as one string of tags, here a set that ignores case and keeps other people's
//! spelling. The names that mean something to us are [`LabelNames`].

use serde::{Deserialize, Serialize};

/// The labels of a work item. Compared without case, because the service does; each keeps the spelling it came with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(Vec<String>);

impl Labels {
    /// From single labels; empty ones and repetitions are dropped.
    pub fn new<'a>(labels: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = Self::default();
        for label in labels {
            all.insert(label);
        }
        all
    }

    /// Whether `label` is present, in any case.
    pub fn has(&self, label: &str) -> bool {
        self.0.iter().any(|own| same(own, label))
    }

    /// In the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// What follows `prefix` in each label that begins with it, in any case, in order.
    pub fn after<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter_map(move |label| {
            let head = label.get(..prefix.len())?;
            head.eq_ignore_ascii_case(prefix).then(|| label[prefix.len()..].trim())
        })
    }

    /// These labels with `gained` added and `lost` removed; everybody else's stay untouched.
    #[must_use]
    pub fn changed(&self, gained: &[&str], lost: &[&str]) -> Self {
        let mut next = Self::new(self.iter().filter(|own| !lost.iter().any(|label| same(own, label))));
        for label in gained {
            next.insert(label);
        }
        next
    }

    fn insert(&mut self, label: &str) {
        let label = label.trim();
        if !label.is_empty() && !self.has(label) {
            self.0.push(label.to_owned());
        }
    }
}

fn same(a: &str, b: &str) -> bool {
    a.trim().to_lowercase() == b.trim().to_lowercase()
}

/// The labels that mean something to us. A small fixed vocabulary: labels are a list that a whole project shares, so
/// none ever carries a run id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelNames {
    /// A person asks for a run.
    pub ready: String,
    /// We hold the claim.
    pub in_progress: String,
    /// We need a person; nothing happens until one labels again.
    pub human: String,
    /// A person holds the run where it is.
    pub paused: String,
    /// A person ends the run.
    pub stop: String,
}

impl Default for LabelNames {
    /// The ancestors' names, so that a team which used them changes nothing.
    fn default() -> Self {
        Self {
            ready: "ready-for-agent".into(),
            in_progress: "agent-in-progress".into(),
            human: "ready-for-human".into(),
            paused: "agent-paused".into(),
            stop: "agent-stop".into(),
        }
    }
}

/// `repo:<name>`: a person names the repository with a label.
pub const REPOSITORY_LABEL_PREFIX: &str = "repo:";
/// `agent:<name>`: a person chooses the agent with a label.
pub const AGENT_LABEL_PREFIX: &str = "agent:";
/// `model:<name>`: a person chooses the model with a label.
pub const MODEL_LABEL_PREFIX: &str = "model:";
/// `effort:<level>`: a person chooses how hard the agent thinks with a label.
pub const EFFORT_LABEL_PREFIX: &str = "effort:";
/// `draft:yes` or `draft:no`: a person chooses how the pull request is opened with a label.
pub const DRAFT_LABEL_PREFIX: &str = "draft:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_prefix_keeps_its_spelling() {
        let labels = Labels::new(["Repo: Shop", "repo:web", "report", "rep", "ü"]);
        assert_eq!(labels.after(REPOSITORY_LABEL_PREFIX).collect::<Vec<_>>(), ["Shop", "web"]);
    }

    #[test]
    fn other_peoples_labels_survive_a_change() {
        let labels = Labels::new(["customer-x", "Ready-For-Agent", " ", "customer-X"]);
        let next = labels.changed(&["agent-in-progress"], &["ready-for-agent"]);
        assert_eq!(next.iter().collect::<Vec<_>>(), ["customer-x", "agent-in-progress"]);
        assert!(next.has("AGENT-IN-PROGRESS") && !next.has("ready-for-agent"));
    }
}
