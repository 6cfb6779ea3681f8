//! Words with slots: how a call in an agent's file becomes program and arguments.
//!
//! The set of slots is closed. `agents` fills those that settings know, the worker those that only a step knows. A slot
//! is never filled with the text of another: what was filled in is not looked at again.

use serde::Deserialize;

/// Slots that the shell fills.
pub const BEFORE: [&str; 4] = ["{model}", "{effort}", "{worker}", "{command}"];
/// Slots that the worker fills.
pub const LATER: [&str; 7] =
    ["{mode}", "{session}", "{session_file}", "{workspace}", "{brief_file}", "{brief}", "{instructions}"];

/// A word, or words that are there together or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Word {
    /// Always there.
    One(String),
    /// Only where all its slots have a value.
    Group(Vec<String>),
}

impl Word {
    /// The words themselves.
    pub fn words(&self) -> &[String] {
        match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Group(words) => words,
        }
    }
}

/// What stands for a slot.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Text inside a word.
    Text(&'a str),
    /// Words in place of a word.
    Words(&'a [String]),
    /// Nothing: a group with this slot vanishes, and so does a word that is this slot.
    Absent,
}

/// Fills slots; what `value` does not know stays as it is, for whoever fills next.
pub fn fill<'a>(words: &[Word], value: impl Fn(&str) -> Option<Value<'a>>) -> Vec<String> {
    let is_absent = |word: &String| slots(word).iter().any(|slot| matches!(value(slot), Some(Value::Absent)));
    let mut filled = Vec::new();
    for word in words {
        if word.words().iter().any(is_absent) {
            continue;
        }
        for word in word.words() {
            match value(word) {
                Some(Value::Words(words)) => filled.extend_from_slice(words),
                Some(Value::Text(_) | Value::Absent) | None => filled.push(fill_text(word, &value)),
            }
        }
    }
    filled
}

/// Fills slots of words that are all there.
pub fn fill_all<'a>(words: &[String], value: impl Fn(&str) -> Option<Value<'a>>) -> Vec<String> {
    let words: Vec<Word> = words.iter().cloned().map(Word::One).collect();
    fill(&words, value)
}

/// Fills the slots inside one text.
pub fn fill_text<'a>(text: &str, value: impl Fn(&str) -> Option<Value<'a>>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        filled.push_str(&rest[..start]);
        rest = &rest[start..];
        let slot = BEFORE.iter().chain(&LATER).find(|slot| rest.starts_with(**slot));
        match slot.and_then(|slot| Some((slot, value(slot)?))) {
            Some((slot, Value::Text(text))) => {
                filled.push_str(text);
                rest = &rest[slot.len()..];
            }
            Some((slot, Value::Words(words))) => {
                filled.push_str(&words.join(" "));
                rest = &rest[slot.len()..];
            }
            Some((_, Value::Absent)) | None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// Everything of a word that looks like a slot: `{name}`. Known or not.
pub fn slots(word: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (start, _) in word.match_indices('{') {
        let name =
            word[start + 1..].split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap_or_default();
        let end = start + 1 + name.len();
        if !name.is_empty() && word[end..].starts_with('}') {
            found.push(&word[start..=end]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(word: &str) -> Word {
        Word::One(word.to_owned())
    }

    #[test]
    fn groups_vanish_with_their_value_and_values_are_not_looked_into() {
        let words = [
            one("run"),
            Word::Group(vec!["-m".into(), "{model}".into()]),
            one("{command}"),
            one("--dir={workspace}"),
        ];
        let operator = ["{model}".to_owned(), "--fast".to_owned()];
        let value = |model: Option<&'static str>| {
            let operator = &operator;
            move |slot: &str| match slot {
                "{model}" => Some(model.map_or(Value::Absent, Value::Text)),
                "{command}" => Some(Value::Words(operator)),
                _ => None,
            }
        };
        assert_eq!(fill(&words, value(None)), ["run", "{model}", "--fast", "--dir={workspace}"]);
        assert_eq!(
            fill(&words, value(Some("a/{effort}"))),
            ["run", "-m", "a/{effort}", "{model}", "--fast", "--dir={workspace}"]
        );
        let filled = fill_text("{workspace}{workspace}/{x} {\"a\":1}", |slot| {
            (slot == "{workspace}").then_some(Value::Text("{workspace}"))
        });
        assert_eq!(filled, "{workspace}{workspace}/{x} {\"a\":1}");
    }

    #[test]
    fn slots_are_seen_wherever_they_stand() {
        assert_eq!(slots("a{b}c{d_e}{\"json\":1}{X}{"), ["{b}", "{d_e}"]);
    }
}
