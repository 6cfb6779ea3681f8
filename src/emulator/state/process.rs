//! Work item types, their states, categories and allowed transitions.
//!
//! It knows the Agile process and one inherited process with renamed states. It does not know items.

use serde_json::{Map, Value, json};

/// Which rules a project's work items live by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Process {
    /// Microsoft's Agile process: New, Active, Resolved, Closed, Removed.
    #[default]
    Agile,
    /// An inherited process with other state names, and where Done is only reachable through Doing.
    Inherited,
}

pub(crate) struct State {
    pub(crate) name: &'static str,
    pub(crate) category: &'static str,
    color: &'static str,
}

pub(crate) struct ItemType {
    pub(crate) name: &'static str,
    pub(crate) reference: &'static str,
    pub(crate) category: &'static str,
    pub(crate) states: &'static [State],
}

const fn state(name: &'static str, category: &'static str, color: &'static str) -> State {
    State { name, category, color }
}

const STORY: &[State] = &[
    state("New", "Proposed", "b2b2b2"),
    state("Active", "InProgress", "007acc"),
    state("Resolved", "InProgress", "ff9d00"),
    state("Closed", "Completed", "339933"),
    state("Removed", "Removed", "ffffff"),
];
const FEATURE: &[State] = &[
    state("New", "Proposed", "b2b2b2"),
    state("Active", "InProgress", "007acc"),
    state("Resolved", "Resolved", "ff9d00"),
    state("Closed", "Completed", "339933"),
    state("Removed", "Removed", "ffffff"),
];
const BUG: &[State] = &[
    state("New", "Proposed", "b2b2b2"),
    state("Active", "InProgress", "007acc"),
    state("Resolved", "Resolved", "ff9d00"),
    state("Closed", "Completed", "339933"),
];
const TASK: &[State] = &[
    state("New", "Proposed", "b2b2b2"),
    state("Active", "InProgress", "007acc"),
    state("Closed", "Completed", "339933"),
    state("Removed", "Removed", "ffffff"),
];
const ISSUE: &[State] = &[state("Active", "InProgress", "007acc"), state("Closed", "Completed", "339933")];
const RENAMED: &[State] = &[
    state("Backlog", "Proposed", "b2b2b2"),
    state("Doing", "InProgress", "007acc"),
    state("In Review", "Resolved", "ff9d00"),
    state("Done", "Completed", "339933"),
    state("Dropped", "Removed", "ffffff"),
];

const AGILE: &[ItemType] = &[
    ItemType {
        name: "User Story",
        reference: "Microsoft.VSTS.WorkItemTypes.UserStory",
        category: "Microsoft.RequirementCategory",
        states: STORY,
    },
    ItemType {
        name: "Bug",
        reference: "Microsoft.VSTS.WorkItemTypes.Bug",
        category: "Microsoft.BugCategory",
        states: BUG,
    },
    ItemType {
        name: "Task",
        reference: "Microsoft.VSTS.WorkItemTypes.Task",
        category: "Microsoft.TaskCategory",
        states: TASK,
    },
    ItemType {
        name: "Feature",
        reference: "Microsoft.VSTS.WorkItemTypes.Feature",
        category: "Microsoft.FeatureCategory",
        states: FEATURE,
    },
    ItemType {
        name: "Epic",
        reference: "Microsoft.VSTS.WorkItemTypes.Epic",
        category: "Microsoft.EpicCategory",
        states: FEATURE,
    },
    ItemType {
        name: "Issue",
        reference: "Microsoft.VSTS.WorkItemTypes.Issue",
        category: "Microsoft.IssueCategory",
        states: ISSUE,
    },
];

const INHERITED: &[ItemType] = &[
    ItemType {
        name: "User Story",
        reference: "AcmeAgile.UserStory",
        category: "Microsoft.RequirementCategory",
        states: RENAMED,
    },
    ItemType { name: "Bug", reference: "AcmeAgile.Bug", category: "Microsoft.BugCategory", states: RENAMED },
    ItemType {
        name: "Task",
        reference: "Microsoft.VSTS.WorkItemTypes.Task",
        category: "Microsoft.TaskCategory",
        states: TASK,
    },
];

impl Process {
    pub(crate) fn types(self) -> &'static [ItemType] {
        match self {
            Self::Agile => AGILE,
            Self::Inherited => INHERITED,
        }
    }

    /// A type by name or reference name, any case.
    pub(crate) fn item_type(self, name: &str) -> Option<&'static ItemType> {
        self.types()
            .iter()
            .find(|t| t.name.eq_ignore_ascii_case(name) || t.reference.eq_ignore_ascii_case(name))
    }

    /// The types of each category, in the order of the process.
    pub(crate) fn categories(self) -> Vec<(&'static str, Vec<&'static ItemType>)> {
        let mut found: Vec<(&'static str, Vec<&'static ItemType>)> = Vec::new();
        for item_type in self.types() {
            match found.iter_mut().find(|(name, _)| *name == item_type.category) {
                Some((_, types)) => types.push(item_type),
                None => found.push((item_type.category, vec![item_type])),
            }
        }
        found
    }
}

impl ItemType {
    pub(crate) fn state(&self, name: &str) -> Option<&State> {
        self.states.iter().find(|state| state.name.eq_ignore_ascii_case(name))
    }

    /// The renamed process wants two steps from Proposed to Completed.
    pub(crate) fn allows(&self, from: &str, to: &str) -> bool {
        let (Some(from), Some(to)) = (self.state(from), self.state(to)) else { return false };
        let renamed = self.states.first().is_some_and(|first| first.name == "Backlog");
        !(renamed && from.category == "Proposed" && to.category == "Completed")
    }

    /// The state that follows, for "complete linked work items after merging".
    pub(crate) fn after_merge(&self, from: &str) -> Option<&'static str> {
        let at = self.states.iter().position(|state| state.name.eq_ignore_ascii_case(from))?;
        if matches!(self.states.get(at)?.category, "Resolved" | "Completed" | "Removed") {
            return None;
        }
        self.states.get(at + 1).map(|state| state.name).filter(|name| self.allows(from, name))
    }

    pub(crate) fn states_json(&self) -> Vec<Value> {
        self.states
            .iter()
            .map(|s| json!({"name": s.name, "color": s.color, "category": s.category}))
            .collect()
    }

    pub(crate) fn json(&self, project_url: &str) -> Value {
        let mut transitions = Map::new();
        let first = self.states.first().map_or("", |state| state.name);
        transitions.insert(String::new(), json!([{"to": first, "actions": null}]));
        for from in self.states {
            let targets: Vec<Value> = self
                .states
                .iter()
                .filter(|to| self.allows(from.name, to.name))
                .map(|to| json!({"to": to.name}))
                .collect();
            transitions.insert(from.name.to_owned(), json!(targets));
        }
        json!({
            "name": self.name, "referenceName": self.reference, "description": format!("{} of the process", self.name),
            "color": "009CCC", "isDisabled": false,
            "icon": {"id": "icon_book", "url": format!("{project_url}/_apis/wit/workItemIcons/icon_book")},
            "states": self.states_json(), "transitions": transitions,
            "url": format!("{project_url}/_apis/wit/workItemTypes/{}", super::super::wire::encode(self.name)),
        })
    }
}
