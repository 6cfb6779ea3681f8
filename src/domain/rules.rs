//! `.roundsman.toml`: what a repository decides for itself, as its target branch says it.
//!
//! Pure: a text in, rules or what is wrong with them out. Rules only narrow what the operator set (promise *no-lift*):
//! what would widen is told to people and cut to what the operator allows; what else the file says holds, because a file
//! that protects must not stop to because of one number. Does not know who reads the file and where an older version of it
//! is found.

use super::{Choices, IdentityId, Policy};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// The file, at the top of the repository.
pub const RULES_FILE: &str = ".roundsman.toml";
/// More checks than this belong into a script.
const MOST_CHECKS: usize = 20;
/// More documents than this are not read before a task, they are a library.
const MOST_DOCUMENTS: usize = 10;
/// More patterns than this are a list of files.
const MOST_PATTERNS: usize = 100;
/// More reviewers than this are a mailing list.
const MOST_REVIEWERS: usize = 10;
/// Entries of a list that are looked at one by one; ten times the longest list that holds.
const MOST_ENTRIES: usize = 1_000;
/// Characters of a house rule: as much as a brief takes.
const MOST_WORDS: usize = 8_000;
/// Characters of what a parser says: it may repeat the line that it means.
const COMPLAINT: usize = 400;
/// Micro US dollars in a US dollar.
const MICRO: u64 = 1_000_000;
/// Seconds in a minute.
const MINUTE: u64 = 60;

/// The file. Whoever writes a key that nobody reads believes in a rule that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// What decides whether work is good. None = the usual scripts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<NamedChecks>,
    /// What every brief says besides the task.
    pub brief: BriefRules,
    /// What agents do not touch.
    pub paths: PathRules,
    /// Smaller numbers.
    pub budget: BudgetRules,
    /// Who looks at the result.
    pub review: ReviewRules,
    /// Which agent, among those that the operator offers.
    pub agent: AgentRules,
}

/// `[checks]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NamedChecks {
    /// One command that changes files and never fails a turn.
    pub format: Vec<String>,
    /// Commands that decide, in their order.
    pub run: Vec<Vec<String>>,
}

/// `[brief]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BriefRules {
    /// House rules in words.
    pub rules: String,
    /// Documents of the repository to read first, by path.
    pub context: Vec<String>,
}

/// `[paths]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PathRules {
    /// Patterns of paths that only people change, besides those that are protected everywhere.
    pub protected: Vec<String>,
}

/// `[budget]`. None = what the operator set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetRules {
    /// Turns that answer failing checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix_forward_attempts: Option<u32>,
    /// Turns that answer people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond_attempts: Option<u32>,
    /// Turns that merge the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict_attempts: Option<u32>,
    /// Turns after a failed one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redispatch_attempts: Option<u32>,
    /// Minutes of a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn_minutes: Option<u32>,
    /// Answers of the model in a turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// Tokens of a turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Whole US dollars of a turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dollars: Option<u32>,
    /// Files that a turn may touch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u32>,
}

/// `[review]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReviewRules {
    /// Ids of people or groups who become optional reviewers of the pull request. Names can be chosen by anybody.
    pub reviewers: Vec<String>,
}

/// `[agent]`. None = what the operator set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentRules {
    /// The agent by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How hard it thinks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// Whether pull requests are opened as drafts. A repository may ask for drafts, not forbid them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draft: Option<bool>,
}

/// What the operator set: the ceiling of everything that a repository may say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ceiling {
    /// Limits of decisions.
    pub policy: Policy,
    /// Answers of the model in a turn.
    pub steps: u32,
    /// Tokens of a turn.
    pub tokens: u64,
    /// Micro US dollars of a turn.
    pub cost_micro_usd: u64,
    /// Files that a turn may touch.
    pub files: u32,
    /// Agents that may be chosen.
    pub agents: Vec<String>,
    /// Models that may be chosen.
    pub models: Vec<String>,
    /// Efforts that may be chosen.
    pub efforts: Vec<String>,
}

/// What is wrong with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulesError {
    /// It is not what it should be: no TOML, an unknown key, a wrong type.
    Unreadable(String),
    /// A number above the operator's.
    Widens {
        /// The key.
        key: &'static str,
        /// What it says.
        asked: u64,
        /// What holds.
        allowed: u64,
    },
    /// It turns off what the operator turned on.
    NoDraft,
    /// A choice that the operator does not offer.
    NotOffered {
        /// The key.
        key: &'static str,
        /// What it says.
        asked: String,
    },
    /// A list or text that is longer than it can be.
    TooMuch {
        /// The key.
        key: &'static str,
        /// The most.
        most: usize,
    },
    /// A value that means nothing.
    Meaningless {
        /// The key.
        key: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "it cannot be read: {why}"),
            Self::Widens { key, asked, allowed } => {
                write!(f, "`{key}` is {asked}, the operator allows {allowed}: a repository can only lower it")
            }
            Self::NoDraft => write!(f, "`agent.draft` is false, but the operator wants drafts"),
            Self::NotOffered { key, asked } => {
                write!(f, "`{key}` asks for `{asked}`, which the operator does not offer")
            }
            Self::TooMuch { key, most } => write!(f, "`{key}` is too long: at most {most}"),
            Self::Meaningless { key, wanted } => write!(f, "`{key}` must be {wanted}"),
        }
    }
}

impl Rules {
    /// Reads the file. Everything that is wrong with it by itself is told here, by the first thing found.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let rules: Self = toml::from_str(text).map_err(|error| {
            let said = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            RulesError::Unreadable(said.chars().take(COMPLAINT).collect())
        })?;
        rules.form().map_or(Ok(rules), Err)
    }

    /// As much of a file as can be read, key by key and entry by entry, for one that cannot be read as a whole: what it
    /// protects is protected whatever else stands in it. None where it is no TOML, so that nobody knows what it says.
    pub fn salvage(text: &str) -> Option<Self> {
        let file: toml::Table = toml::from_str(text).ok()?;
        let mut rules = Self::default();
        let mut known = toml::Table::new();
        let mut take = |section: &str, key: &str, value: toml::Value| -> bool {
            let mut next = known.clone();
            let place =
                next.entry(section.to_owned()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let toml::Value::Table(place) = place {
                place.insert(key.to_owned(), value);
            }
            match next.clone().try_into::<Self>() {
                Ok(read) if read.form().is_none() => {
                    (rules, known) = (read, next);
                    true
                }
                Ok(_) | Err(_) => false,
            }
        };
        for (section, value) in file {
            let toml::Value::Table(keys) = value else { continue };
            for (key, value) in keys {
                if take(&section, &key, value.clone()) {
                    continue;
                }
                let toml::Value::Array(entries) = value else { continue };
                let mut good = Vec::new();
                for entry in entries.into_iter().take(MOST_ENTRIES) {
                    good.push(entry);
                    if !take(&section, &key, toml::Value::Array(good.clone())) {
                        good.pop();
                    }
                }
            }
        }
        Some(rules)
    }

    /// This without what the operator does not allow, and the first thing that was too much.
    #[must_use]
    pub fn cut(mut self, ceiling: &Ceiling) -> (Self, Option<RulesError>) {
        let widens = self.widens(ceiling);
        let most = |asked: &mut Option<u32>, allowed: u32| *asked = asked.map(|asked| asked.min(allowed));
        let (budget, policy) = (&mut self.budget, &ceiling.policy);
        most(&mut budget.fix_forward_attempts, policy.fix_forward_attempts);
        most(&mut budget.respond_attempts, policy.respond_attempts);
        most(&mut budget.conflict_attempts, policy.conflict_attempts);
        most(&mut budget.redispatch_attempts, policy.redispatch_attempts);
        most(&mut budget.steps, ceiling.steps);
        most(&mut budget.files, ceiling.files);
        budget.tokens = budget.tokens.map(|asked| asked.min(ceiling.tokens));
        let fits = |asked: u32, allowed: u64| u64::from(asked) <= allowed;
        // Whole minutes and dollars cannot say the operator's; without them it holds.
        let turn = policy.turn_limit.as_secs().div_ceil(MINUTE);
        budget.turn_minutes = budget.turn_minutes.filter(|asked| fits(*asked, turn));
        let dollars = ceiling.cost_micro_usd.div_ceil(MICRO);
        budget.dollars = budget.dollars.filter(|asked| fits(*asked, dollars));
        let agent = &mut self.agent;
        let offered = |asked: &Option<String>, offered: &[String]| {
            asked.as_ref().is_none_or(|asked| offered.contains(asked))
        };
        if !offered(&agent.name, &ceiling.agents) {
            // A model of one agent means nothing to another.
            (agent.name, agent.model, agent.effort) = (None, None, None);
        }
        agent.model = agent.model.take().filter(|model| ceiling.models.contains(model));
        agent.effort = agent.effort.take().filter(|effort| ceiling.efforts.contains(effort));
        if policy.open_as_draft {
            agent.draft = agent.draft.filter(|draft| *draft);
        }
        (self, widens)
    }

    /// What is wrong with the values, whoever the operator is.
    fn form(&self) -> Option<RulesError> {
        let Self { checks, brief, paths, budget: _, review, agent: _ } = self;
        let too_much = |is: bool, key, most| is.then_some(RulesError::TooMuch { key, most });
        let bad = |is: bool, key, wanted| is.then_some(RulesError::Meaningless { key, wanted });
        let run = checks.as_ref().map_or(&[][..], |checks| &checks.run);
        let is_path = |path: &String| {
            !path.is_empty()
                && !path.contains(char::is_control)
                && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        };
        let is_id = |id: &String| id.len() == 36 && id.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        too_much(run.len() > MOST_CHECKS, "checks.run", MOST_CHECKS)
            .or(bad(run.iter().any(Vec::is_empty), "checks.run", "a list of commands, none of them empty"))
            .or(too_much(brief.rules.chars().count() > MOST_WORDS, "brief.rules", MOST_WORDS))
            .or(too_much(brief.context.len() > MOST_DOCUMENTS, "brief.context", MOST_DOCUMENTS))
            .or(bad(!brief.context.iter().all(is_path), "brief.context", "a list of paths in the repository"))
            .or(too_much(paths.protected.len() > MOST_PATTERNS, "paths.protected", MOST_PATTERNS))
            .or(bad(
                paths.protected.iter().any(|pattern| pattern.trim_matches('/').trim().is_empty()),
                "paths.protected",
                "a list of patterns, none of them empty",
            ))
            .or(too_much(review.reviewers.len() > MOST_REVIEWERS, "review.reviewers", MOST_REVIEWERS))
            .or(bad(
                !review.reviewers.iter().all(is_id),
                "review.reviewers",
                "a list of ids (GUIDs): names can be chosen by anybody",
            ))
    }

    /// Where the file asks for more than the operator allows.
    pub fn widens(&self, ceiling: &Ceiling) -> Option<RulesError> {
        let BudgetRules {
            fix_forward_attempts,
            respond_attempts,
            conflict_attempts,
            redispatch_attempts,
            turn_minutes,
            steps,
            tokens,
            dollars,
            files,
        } = &self.budget;
        let policy = &ceiling.policy;
        let number = |key, asked: Option<u64>, allowed: u64| {
            asked.filter(|asked| *asked > allowed).map(|asked| RulesError::Widens { key, asked, allowed })
        };
        let count =
            |key, asked: &Option<u32>, allowed: u32| number(key, asked.map(u64::from), allowed.into());
        let choice = |key, asked: &Option<String>, offered: &[String]| {
            asked.as_ref().filter(|asked| !offered.contains(asked)).map(|asked| {
                let asked = asked.chars().take(COMPLAINT).collect();
                RulesError::NotOffered { key, asked }
            })
        };
        let AgentRules { name, model, effort, draft } = &self.agent;
        count("budget.fix_forward_attempts", fix_forward_attempts, policy.fix_forward_attempts)
            .or(count("budget.respond_attempts", respond_attempts, policy.respond_attempts))
            .or(count("budget.conflict_attempts", conflict_attempts, policy.conflict_attempts))
            .or(count("budget.redispatch_attempts", redispatch_attempts, policy.redispatch_attempts))
            .or(number(
                "budget.turn_minutes",
                turn_minutes.map(u64::from),
                policy.turn_limit.as_secs().div_ceil(MINUTE),
            ))
            .or(count("budget.steps", steps, ceiling.steps))
            .or(number("budget.tokens", *tokens, ceiling.tokens))
            .or(number("budget.dollars", dollars.map(u64::from), ceiling.cost_micro_usd.div_ceil(MICRO)))
            .or(count("budget.files", files, ceiling.files))
            .or((*draft == Some(false) && policy.open_as_draft).then_some(RulesError::NoDraft))
            .or(choice("agent.name", name, &ceiling.agents))
            .or(choice("agent.model", model, &ceiling.models))
            .or(choice("agent.effort", effort, &ceiling.efforts))
    }

    /// What a turn may use up, at most what `ceiling` says whatever the file says.
    #[must_use]
    pub fn narrow(&self, ceiling: &Ceiling) -> Ceiling {
        let budget = &self.budget;
        let dollars = budget.dollars.map(|dollars| u64::from(dollars) * MICRO);
        Ceiling {
            policy: ceiling.policy.narrowed(self),
            steps: least(ceiling.steps, budget.steps),
            tokens: least(ceiling.tokens, budget.tokens),
            cost_micro_usd: least(ceiling.cost_micro_usd, dollars),
            files: least(ceiling.files, budget.files),
            ..ceiling.clone()
        }
    }

    /// What the item asked for, and where it asked for nothing, what the repository does.
    #[must_use]
    pub fn choices(&self, of_the_item: &Choices) -> Choices {
        let Choices { agent, model, effort, draft } = of_the_item.clone();
        let own = &self.agent;
        // A model of one agent means nothing to another: whoever chose the agent, chose the rest.
        let (model, effort) = match &agent {
            Some(_) => (model, effort),
            None => (model.or_else(|| own.model.clone()), effort.or_else(|| own.effort.clone())),
        };
        let draft = if own.draft == Some(true) { Some(true) } else { draft };
        Choices { agent: agent.or_else(|| own.name.clone()), model, effort, draft }
    }

    /// Reviewers as identities.
    pub fn reviewers(&self) -> Vec<IdentityId> {
        self.review.reviewers.iter().map(|id| IdentityId::new(id)).collect()
    }

    /// The pattern that protects `path`, if one does.
    pub fn protects(&self, path: &str) -> Option<&str> {
        self.paths.protected.iter().find(|pattern| matches(pattern, path)).map(String::as_str)
    }
}

impl Policy {
    /// This with a repository's rules: never more of anything.
    #[must_use]
    pub fn narrowed(&self, rules: &Rules) -> Self {
        let budget = &rules.budget;
        let turn_limit = budget.turn_minutes.map(|minutes| Duration::from_secs(u64::from(minutes) * MINUTE));
        Self {
            fix_forward_attempts: least(self.fix_forward_attempts, budget.fix_forward_attempts),
            respond_attempts: least(self.respond_attempts, budget.respond_attempts),
            conflict_attempts: least(self.conflict_attempts, budget.conflict_attempts),
            redispatch_attempts: least(self.redispatch_attempts, budget.redispatch_attempts),
            turn_limit: least(self.turn_limit, turn_limit),
            open_as_draft: self.open_as_draft || rules.agent.draft == Some(true),
            ..self.clone()
        }
    }
}

fn least<T: Ord>(operator: T, repository: Option<T>) -> T {
    match repository {
        Some(repository) => operator.min(repository),
        None => operator,
    }
}

/// Whether a pattern means a path, without regard to case: whoever protects `Deploy/` means `deploy/` too. `*` stands for
/// anything within a part, `**` for any parts, `?` for one character; a pattern without a slash means a name anywhere,
/// and one that names a folder means everything in it.
fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (pattern.to_lowercase(), path.to_lowercase());
    let is_anywhere = !pattern.trim_end_matches('/').contains('/');
    let mut parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
    if is_anywhere {
        parts.insert(0, "**");
    }
    let path: Vec<&str> = path.split('/').collect();
    // A folder protects what is in it.
    (1..=path.len()).any(|end| all_match(&parts, &path[..end]))
}

/// Row by row, so that no pattern can take longer than its length times the path's.
fn all_match(pattern: &[&str], path: &[&str]) -> bool {
    let is_any = |part: &&str| *part == "**";
    aligned(pattern, path, is_any, |part, name| {
        let (part, name): (Vec<char>, Vec<char>) = (part.chars().collect(), name.chars().collect());
        aligned(&part, &name, |c| *c == '*', |wanted, c| *wanted == '?' || wanted == c)
    })
}

fn aligned<P, T>(
    pattern: &[P],
    text: &[T],
    is_any: impl Fn(&P) -> bool,
    is: impl Fn(&P, &T) -> bool,
) -> bool {
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for wanted in pattern {
        let mut next = vec![false; text.len() + 1];
        next[0] = row[0] && is_any(wanted);
        for at in 0..text.len() {
            next[at + 1] =
                if is_any(wanted) { row[at + 1] || next[at] } else { row[at] && is(wanted, &text[at]) };
        }
        row = next;
    }
    row[text.len()]
}

#[cfg(test)]
mod tests;
