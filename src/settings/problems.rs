//! What is wrong with the settings, all of it at once, in words that never contain a value: whoever swaps two
//! variables must not find a token in the log.

use super::vars;
use std::fmt;

/// Everything that is wrong, ordered by variable as documented.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub(super) Vec<Problem>);

impl Problems {
    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

/// One line per problem, with what would be right.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "{count} {} with the settings:", if count == 1 { "problem" } else { "problems" })?;
        for problem in &self.0 {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The whole name.
    pub variable: String,
    /// A predicate: `is not a number`.
    pub wrong: String,
    /// What would be right.
    pub advice: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variable, wrong, advice } = self;
        write!(f, "{variable} {wrong}; {advice}")
    }
}

impl Problem {
    /// Of a name that nobody knows.
    pub(super) fn unknown(name: &str) -> Self {
        let advice = nearest(name).map_or_else(
            || "remove it, or see the README for the names there are".to_owned(),
            |known| format!("did you mean {known}?"),
        );
        Self { variable: name.escape_debug().to_string(), wrong: "is not a setting".into(), advice }
    }
}

/// A name is a misspelling of another when a quarter of it would have to be typed differently, at most.
const MISSPELT_SHARE: usize = 4;

fn nearest(name: &str) -> Option<&'static str> {
    let own = |full: &str| full.strip_prefix(vars::PREFIX).unwrap_or(full).to_owned();
    let typed = own(&name.to_ascii_uppercase());
    let (distance, known) =
        vars::ALL.iter().map(|var| (distance(&typed, &own(var.name)), var.name)).min_by_key(|(d, _)| *d)?;
    (distance <= typed.len().div_ceil(MISSPELT_SHARE)).then_some(known)
}

/// Levenshtein's: single characters to insert, remove or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_counts_typed_characters() {
        for (a, b, d) in [("", "", 0), ("abc", "abc", 0), ("abc", "abd", 1), ("abc", "ac", 1), ("", "abc", 3)]
        {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        assert_eq!(nearest("ROUNDSMAN_ADO_TOKENFILE"), Some("ROUNDSMAN_ADO_TOKEN_FILE"));
        assert_eq!(nearest("ROUNDSMAN_KILLSWITCH"), Some("ROUNDSMAN_KILL_SWITCH"));
        assert_eq!(nearest("ROUNDSMAN_WEATHER_FORECAST_REGION"), None);
    }
}
