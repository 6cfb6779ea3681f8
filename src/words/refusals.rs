//! What is said once on a work item that is not taken, and how it is known again. HTML.
//!
//! The footer is the key: the revision that gained the label, and the reason in one word. The same reason after a new
//! label is news; the same label and reason is not. Knows nothing about which reasons are worth telling.

use super::{comments, marker, neutral};
use crate::domain::{Identity, Revision, WorkItemId};

/// The words before the item's number.
const WORDS: &str = "roundsman notice";
/// A reason is a sentence or two.
const MAX_SENTENCE: usize = 1_000;

/// What a notice is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice<'a> {
    /// The item.
    pub item: WorkItemId,
    /// The revision that gained the label.
    pub label: Revision,
    /// The reason in one word.
    pub word: &'a str,
}

impl Notice<'_> {
    fn footer(&self) -> String {
        let separator = marker::SEPARATOR;
        let Self { item, label, word } = self;
        format!(
            "{WORDS} {item} {separator} label {label} {separator} reason {word} {separator} schema {}",
            marker::SCHEMA
        )
    }

    /// Whether `text`, which our own identity wrote, tells this already.
    pub fn is_in(&self, text: &str) -> bool {
        marker::visible_text(text).contains(&self.footer())
    }

    /// The item is not taken, and stays where it is until somebody mends it.
    pub fn not_taken(&self, reason: &str, person: Option<&Identity>) -> String {
        self.written("The agent does not take this work item", reason, person, "")
    }

    /// The item is given to people.
    pub fn handed_over(&self, reason: &str, person: Option<&Identity>, human: &str, ready: &str) -> String {
        let resume =
            format!("To go on: remove the label {human} and put the label {ready} on the work item again.");
        self.written("The agent gives this work item to a person", reason, person, &resume)
    }

    fn written(&self, heading: &str, reason: &str, person: Option<&Identity>, resume: &str) -> String {
        let reason = neutral::sentence(reason, MAX_SENTENCE);
        let mut out = vec![format!("<p><b>{heading}:</b> {reason}.</p>")];
        if let Some(person) = person {
            out.push(format!("<p>{}: it is your move.</p>", comments::mention(person)));
        }
        if !resume.is_empty() {
            out.push(format!("<p>{}</p>", neutral::html(resume)));
        }
        out.push(format!("<hr>\n<p>{}</p>", neutral::html(&self.footer())));
        out.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::IdentityId, words::Marker};

    #[test]
    fn a_notice_is_known_again_by_label_and_reason() {
        let notice = Notice { item: WorkItemId(7), label: Revision(3), word: "not-trusted" };
        let person =
            Identity { id: IdentityId::new("11111111-1111-1111-1111-111111111111"), name: "Ana <b>".into() };
        let text = notice.not_taken("Ana · is <not> on the list", Some(&person));
        assert!(notice.is_in(&text) && notice.is_in(&text.replace(' ', "&nbsp;")), "{text}");
        assert!(!text.contains("<not>") && text.contains("data-vss-mention"), "{text}");
        for other in [
            Notice { label: Revision(31), ..notice.clone() },
            Notice { item: WorkItemId(77), ..notice.clone() },
            Notice { word: "not", ..notice.clone() },
        ] {
            assert!(!other.is_in(&text), "{other:?}");
        }
        assert_eq!(Marker::find(&text), None, "a notice is no record of a run");
        let given = notice.handed_over("it came back", None, "ready-for-human", "ready-for-agent");
        assert!(notice.is_in(&given) && given.contains("ready-for-human"), "{given}");
    }
}
