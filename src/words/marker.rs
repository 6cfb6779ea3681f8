//! The footer by which our own comments and pull requests are known again, and from which a lost run is rebuilt.
//!
//! Plain visible text on one line, because Azure DevOps strips HTML comments. Knows its own grammar and what the service
//! may do to it (tags, entities, white space); does not know who wrote a text: a marker counts only in text that our own
//! identity wrote, and that is for the caller to check.

use crate::domain::{BranchName, ExecutorId, Run, RunId, TurnKind};
use std::{collections::BTreeMap, fmt::Write as _};

/// Version of the grammar. Fields may be added within a version; a change of meaning needs the next one.
pub const SCHEMA: u32 = 1;

/// The first word of a marker.
const WORD: &str = "roundsman";

/// Between two fields. [`super::neutral`] removes this character from all foreign text, so nobody else can write a marker
/// into a text of ours.
pub(super) const SEPARATOR: char = '·';

/// What a marker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The run.
    pub run: RunId,
    /// Who owns its containers.
    pub executor: ExecutorId,
    /// Tells two processes of one executor apart.
    pub nonce: String,
    /// `project/repository`.
    pub repository: String,
    /// The branch that the change is for.
    pub target: BranchName,
    /// Turns that count against their budgets, so that budgets survive the loss of our memory.
    pub turns: BTreeMap<TurnKind, u32>,
    /// The branch that it goes on with, when it took over.
    pub continues: Option<BranchName>,
}

/// A marker in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// One that we understand.
    Marker(Marker),
    /// One that a newer roundsman wrote: ours, but not to be interpreted.
    Newer {
        /// The run.
        run: RunId,
        /// Its version.
        schema: u32,
    },
}

impl Marker {
    /// The marker of a run as it stands.
    pub fn of(run: &Run) -> Self {
        let spent = TurnKind::ALL.into_iter().map(|kind| (kind, run.spent(kind)));
        Self {
            run: run.id,
            executor: run.executor.clone(),
            nonce: run.nonce.clone(),
            repository: run.repository.path(),
            target: run.target.clone(),
            turns: spent.filter(|(_, count)| *count > 0).collect(),
            continues: run.continues.as_ref().map(|continued| continued.branch.clone()),
        }
    }

    /// One line, safe to put into HTML and Markdown as it is.
    pub fn render(&self) -> String {
        let turns: Vec<String> =
            self.turns.iter().filter(|(_, n)| **n > 0).map(|(kind, n)| format!("{kind} {n}")).collect();
        let turns = if turns.is_empty() { "none".to_owned() } else { turns.join(", ") };
        let Self { run, executor, nonce, repository, target, turns: _, continues } = self;
        let continues = continues.as_ref().map(|branch| format!(" · continues {}", encode(branch.as_str())));
        format!(
            "{WORD} {run} · executor {} · nonce {} · repository {} · target {} · schema {SCHEMA}{} · turns {turns}",
            encode(&executor.0),
            encode(nonce),
            encode(repository),
            encode(target.as_str()),
            continues.unwrap_or_default(),
        )
    }

    /// The last marker in `text` that we understand.
    pub fn find(text: &str) -> Option<Self> {
        match Found::in_text(text)? {
            Found::Marker(marker) => Some(marker),
            Found::Newer { .. } => None,
        }
    }
}

impl Found {
    /// The last marker in `text`, whatever HTML or white space the service put around and into it.
    pub fn in_text(text: &str) -> Option<Self> {
        let text = visible_text(text);
        text.rmatch_indices(WORD).find_map(|(start, word)| Self::parse(&text[start + word.len()..]))
    }

    fn parse(after_word: &str) -> Option<Self> {
        let mut fields = after_word.split(SEPARATOR).map(str::trim);
        let run: RunId = fields.next()?.parse().ok()?;
        let fields: BTreeMap<&str, &str> = fields.filter_map(|field| field.split_once(' ')).rev().collect();
        // Values hold no white space; whatever follows the last one is not ours.
        let value = |name: &str| fields.get(name).and_then(|value| value.split(' ').next()).and_then(decode);
        let schema: u32 = value("schema")?.parse().ok()?;
        if schema > SCHEMA {
            return Some(Self::Newer { run, schema });
        }
        Some(Self::Marker(Marker {
            run,
            executor: ExecutorId(value("executor")?),
            nonce: value("nonce")?,
            repository: value("repository")?,
            target: BranchName::new(&value("target")?),
            turns: turns(fields.get("turns")?)?,
            continues: value("continues").map(|name| BranchName::new(&name)),
        }))
    }
}

/// `implement 1, fix-forward 2` and whatever follows; nothing if it cannot be told, because a budget must not be read as
/// unspent only since its text was cut. Kinds that we do not know have no budget here.
fn turns(text: &str) -> Option<BTreeMap<TurnKind, u32>> {
    let words: Vec<&str> = text.split(' ').collect();
    let mut turns = BTreeMap::new();
    if words.first() == Some(&"none") {
        return Some(turns);
    }
    for pair in words.chunks(2) {
        let [kind, count] = pair else { return None };
        let is_last = !count.ends_with(',');
        let count = count.trim_end_matches(',').parse().ok()?;
        if let Some(kind) = TurnKind::ALL.into_iter().find(|known| known.word() == *kind) {
            turns.insert(kind, count);
        }
        if is_last {
            return Some(turns);
        }
    }
    None
}

/// Letters, digits and what is common in names stay readable; everything else is percent-encoded, so that a value is one
/// word which no renderer touches.
fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/') {
            out.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

fn decode(value: &str) -> Option<String> {
    let text = percent_encoding::percent_decode_str(value).decode_utf8().ok()?;
    (!text.is_empty()).then(|| text.into_owned())
}

/// What a person would see of HTML or Markdown: no tags, entities resolved once, white space collapsed.
pub(super) fn visible_text(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(open) = rest.find('<') {
        text.push_str(&rest[..open]);
        let inside = &rest[open + 1..];
        let is_tag = inside.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!');
        match inside.find(['<', '>']) {
            Some(end) if is_tag && inside[end..].starts_with('>') => {
                text.push(' ');
                rest = &inside[end + 1..];
            }
            _ => {
                text.push('<');
                rest = inside;
            }
        }
    }
    text.push_str(rest);
    for (entity, meaning) in ENTITIES {
        text = text.replace(entity, meaning);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What editors and sanitizers make of the characters of a marker; `&amp;` last, so that nothing is resolved twice.
const ENTITIES: [(&str, &str); 8] = [
    ("&nbsp;", " "),
    ("&#160;", " "),
    ("&middot;", "·"),
    ("&#183;", "·"),
    ("&#xb7;", "·"),
    ("&#xB7;", "·"),
    ("&#37;", "%"),
    ("&amp;", "&"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::samples;
    use proptest::prelude::*;

    #[test]
    fn a_marker_is_one_readable_line() {
        insta::assert_snapshot!(Marker::of(&samples::run()).render(), @"roundsman 4711-r12 · executor local · nonce 8f3c9a01 · repository Fabrikam%20Fiber/web · target main · schema 1 · turns none");
        insta::assert_snapshot!(Marker::of(&samples::fixing()).render(), @"roundsman 4711-r12 · executor local · nonce 8f3c9a01 · repository Fabrikam%20Fiber/web · target main · schema 1 · turns implement 1, fix-forward 1");
    }

    #[test]
    fn html_around_and_inside_does_not_hide_a_marker() {
        let marker = Marker::of(&samples::fixing());
        let line = marker.render();
        for text in [
            line.clone(),
            format!("<div><p>words</p><hr><p>{line}</p></div>"),
            format!("<p><i>{}</i></p> and more words · of others", line.replace(' ', "&nbsp; ")),
            line.replace('·', "&middot;").replace(" schema", "<br>\n schema"),
            format!("roundsman is a program. roundsman 1-r1 · broken\n\n{line}\r\n"),
        ] {
            assert_eq!(Marker::find(&text), Some(marker.clone()), "{text}");
        }
    }

    #[test]
    fn a_newer_marker_is_ours_but_says_nothing() {
        let text = Marker::of(&samples::run()).render().replace("schema 1", "schema 7");
        assert_eq!(Found::in_text(&text), Some(Found::Newer { run: samples::run().id, schema: 7 }));
        assert_eq!(Marker::find(&text), None);
    }

    #[test]
    fn a_cut_marker_is_none() {
        let line = Marker::of(&samples::run()).render();
        for field in [" · executor", " · nonce", " · repository", " · target", " · schema", " · turns"]
        {
            assert_eq!(Found::in_text(line.split(field).next().unwrap()), None, "{field}");
        }
        let line = Marker::of(&samples::fixing()).render();
        for cut in
            [line.trim_end_matches(" 1"), line.trim_end_matches(", fix-forward 1 ").trim_end_matches('1')]
        {
            assert_eq!(Found::in_text(cut), None, "{cut}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            item in 1..u32::MAX, revision in 1..u32::MAX, executor in ".{1,20}", nonce in "[0-9a-f]{8,32}",
            repository in ".{1,20}", target in "[^\0]{1,20}", turns in proptest::collection::vec(0..9u32, 5),
            before in ".{0,40}", after in "[^·&]{0,40}",
        ) {
            let marker = Marker {
                run: format!("{item}-r{revision}").parse().unwrap(),
                executor: ExecutorId(executor), nonce, repository,
                target: BranchName::new(&format!("x{target}")),
                turns: TurnKind::ALL.into_iter().zip(turns).filter(|(_, n)| *n > 0).collect(),
                continues: (item % 2 == 0).then(|| BranchName::new("agent/1-r1")),
            };
            let line = marker.render();
            prop_assert!(!line.contains(['\n', '<', '>', '&', '#', '@', '!']));
            prop_assert_eq!(Marker::find(&line), Some(marker.clone()));
            let before = before.replace('<', "");
            prop_assert_eq!(Marker::find(&format!("<p>{before}</p>{line}<br>{after}")), Some(marker));
        }
    }
}
