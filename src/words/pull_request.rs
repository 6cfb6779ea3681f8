//! Title and description of the pull request.
//!
//! Knows the service's limits on both; does not know templates: the agent fills in the repository's own, and what it wrote
//! arrives here as foreign text.

use super::{marker::Marker, neutral};
use crate::domain::{DiffStat, Doubt, Review, ReviewSaid, Run, WorkItemId};

/// The service refuses titles from about 400 characters on (measured by others, not documented).
pub const MAX_TITLE: usize = 250;
/// The service refuses descriptions over 4,000, probably counted in UTF-16 units; a margin for what it may add.
pub const MAX_DESCRIPTION: usize = 3_900;

/// Characters of either in a comment, which may have 150,000 and needs some for itself.
const MAX_REST: usize = 40_000;

/// Ends a description that had to be cut.
const CUT: &str = "\n\n(Cut here: Azure DevOps allows 4,000 characters.)";

/// What the description is made from. Everything of the agent's is a claim and foreign text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The agent's `pr.md`: the repository's template, filled in.
    pub filled: Option<String>,
    /// The agent's summary, used without `filled`.
    pub summary: Option<String>,
    /// Whether the repository's own checks passed in the agent's container; none when it has none.
    pub checks_passed: Option<bool>,
    /// Size of the change, as publish measured it.
    pub changed: Option<DiffStat>,
    /// Checks that fail, and failed before the change.
    pub red_before: Vec<String>,
    /// What a second agent said.
    pub review: Option<Review>,
    /// What the agent says and the change does not show.
    pub doubts: Vec<Doubt>,
}

/// The title: the agent's or the work item's, on one line.
pub fn title(wanted: &str, item: WorkItemId) -> String {
    let one_line = neutral::line(wanted, MAX_TITLE);
    let title = neutral::first_utf16(&one_line, MAX_TITLE).trim();
    if title.is_empty() { format!("Work item {item}") } else { title.to_owned() }
}

/// The description, Markdown. Starts with what we need to find again, because the service cuts at the end.
pub fn description(run: &Run, from: &Description) -> String {
    let head = format!(
        "{}\n\nWork item {}. Made by an agent; please review it like the work of somebody new to this code.\n\n{}",
        Marker::of(run).render(),
        run.id.item,
        measured(from)
    );
    let filled = from.filled.as_deref().map(neutral::markdown).filter(|text| !text.trim().is_empty());
    let body = filled.unwrap_or_else(|| own_structure(run, from));
    let text = head + body.trim();
    if neutral::first_utf16(&text, MAX_DESCRIPTION).len() == text.len() {
        return text;
    }
    let kept = neutral::first_utf16(&text, MAX_DESCRIPTION - CUT.len());
    let fences = kept.lines().filter(|line| line.trim_start().starts_with("```")).count();
    // An open fence would swallow the note.
    let close = if fences % 2 == 1 { "\n```" } else { "" };
    let kept = &kept[..kept.len() - kept.chars().rev().take(close.len()).map(char::len_utf8).sum::<usize>()];
    format!("{}{close}{CUT}", kept.trim_end())
}

/// What title and description had no room for: both in full, for a comment; nothing if all of it stands there. A
/// comment has room for more than any agent may leave.
pub fn rest(wanted: &str, run: &Run, from: &Description) -> Option<String> {
    let is_cut = neutral::line(wanted, usize::MAX).encode_utf16().count() > MAX_TITLE;
    let description = description(run, from);
    let body = from.filled.as_deref().filter(|_| description.ends_with(CUT));
    if !is_cut && body.is_none() {
        return None;
    }
    let mut parts = vec!["Azure DevOps has no room for all of it above. In full:".to_owned()];
    parts.extend(is_cut.then(|| format!("**{}**", neutral::markdown(&neutral::line(wanted, MAX_REST)))));
    parts.extend(body.map(|body| neutral::cap(neutral::markdown(body).trim(), MAX_REST)));
    Some(parts.join("\n\n"))
}

/// Characters of a check's name or a path inside our sentences.
const MAX_NAME: usize = 200;
/// Characters of what a second agent says: the rest is evidence.
const MAX_REVIEW: usize = 1_200;

/// What did not come from the agent itself, before its own words; empty where nothing is known.
fn measured(from: &Description) -> String {
    let name = |text: &str| neutral::markdown(&neutral::line(text, MAX_NAME)).replace('`', "'");
    let mut said = Vec::new();
    if let Some(changed) = from.changed {
        said.push(format!("Measured: {changed}."));
    }
    for doubt in &from.doubts {
        said.push(match doubt {
            Doubt::NoTest => {
                "Measured: no file of this change looks like a test, although the text speaks of new tests."
                    .into()
            }
            Doubt::NotChanged { path } => format!(
                "Measured: `{}` is not part of this change, although the text says that it was changed.",
                name(path)
            ),
            Doubt::TestRemoved { path } => format!(
                "**Measured: this change removes the test `{}`.** It is opened as a draft; publish it if that is meant.",
                name(path)
            ),
        });
    }
    for check in &from.red_before {
        said.push(format!("Measured: `{}` fails without this change, too.", name(check)));
    }
    if let Some(Review { by, said: answer }) = &from.review {
        let by = name(by);
        said.push(match answer {
            ReviewSaid::Approved => format!("A second agent ({by}) reviewed the change and had no objection."),
            ReviewSaid::Findings { text } => format!(
                "A second agent ({by}) had findings; the first was given them once and may not have agreed with all:\n\n{}",
                neutral::quote_block(&neutral::cap(&neutral::plain(text), MAX_REVIEW))
            ),
            ReviewSaid::Failed { why } => {
                format!("A second agent ({by}) was to review the change; nothing came of it: {}", name(why))
            }
        });
    }
    if said.is_empty() { String::new() } else { said.join("\n\n") + "\n\n" }
}

fn own_structure(run: &Run, from: &Description) -> String {
    let what = from.summary.as_deref().map(neutral::markdown).filter(|text| !text.trim().is_empty());
    let what = what.unwrap_or_else(|| {
        let title = neutral::line(&run.title, MAX_TITLE);
        format!("What the work item asks for: {}", neutral::markdown(&title))
    });
    let checked = match from.checks_passed {
        Some(true) => "The repository's own checks passed in the agent's container (claimed by the agent).",
        Some(false) => "The repository's own checks did not pass in the agent's container.",
        None => "The repository has no checks that the agent could run.",
    };
    format!("## What\n\n{}\n\n## How it was checked\n\n{checked}", what.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::samples::run;

    #[test]
    fn titles_are_one_short_harmless_line() {
        let item = WorkItemId(4711);
        assert_eq!(title("Fixes #12\n  again", item), "Fixes # 12 again");
        assert_eq!(title(" \u{202e}", item), "Work item 4711");
        assert!(title(&"😀".repeat(400), item).encode_utf16().count() <= MAX_TITLE);
    }

    #[test]
    fn our_own_description() {
        let from = Description {
            summary: Some("Handles the empty name. Fixes #99.".into()),
            checks_passed: Some(true),
            changed: Some(DiffStat { files: 1, insertions: 4, deletions: 0 }),
            ..Description::default()
        };
        insta::assert_snapshot!(description(&run(), &from), @r"
        roundsman 4711-r12 · executor local · nonce 8f3c9a01 · repository Fabrikam%20Fiber/web · target main · schema 1 · turns none

        Work item 4711. Made by an agent; please review it like the work of somebody new to this code.

        Measured: 1 file, +4 −0.

        ## What

        Handles the empty name. Fixes # 99.

        ## How it was checked

        The repository's own checks passed in the agent's container (claimed by the agent).
        ");
        insta::assert_snapshot!(description(&run(), &Description::default()), @r"
        roundsman 4711-r12 · executor local · nonce 8f3c9a01 · repository Fabrikam%20Fiber/web · target main · schema 1 · turns none

        Work item 4711. Made by an agent; please review it like the work of somebody new to this code.

        ## What

        What the work item asks for: Login &lt;b>fails&lt;/b> for # 99

        ## How it was checked

        The repository has no checks that the agent could run.
        ");
    }

    #[test]
    fn what_was_measured_stands_before_what_is_claimed() {
        let from = Description {
            filled: Some("## What\n\nAdded tests.".into()),
            changed: Some(DiffStat { files: 1, insertions: 4, deletions: 0 }),
            red_before: vec!["run-tests.sh".into()],
            review: Some(Review {
                by: "claude".into(),
                said: ReviewSaid::Findings { text: "- a.rs:1 breaks #12 @<someone>\n```\nx".into() },
            }),
            doubts: vec![Doubt::NoTest, Doubt::NotChanged { path: "docs/a`b.md".into() }],
            ..Description::default()
        };
        insta::assert_snapshot!(description(&run(), &from), @r"
        roundsman 4711-r12 · executor local · nonce 8f3c9a01 · repository Fabrikam%20Fiber/web · target main · schema 1 · turns none

        Work item 4711. Made by an agent; please review it like the work of somebody new to this code.

        Measured: 1 file, +4 −0.

        Measured: no file of this change looks like a test, although the text speaks of new tests.

        Measured: `docs/a'b.md` is not part of this change, although the text says that it was changed.

        Measured: `run-tests.sh` fails without this change, too.

        A second agent (claude) had findings; the first was given them once and may not have agreed with all:

        ````text
        - a.rs:1 breaks # 12 @ <someone>
        ```
        x
        ````

        ## What

        Added tests.
        ");
    }

    #[test]
    fn a_long_template_is_cut_behind_the_marker() {
        for filled in ["😀 word ".repeat(2_000), format!("```\n{}", "x\n".repeat(9_000))] {
            let text = description(&run(), &Description { filled: Some(filled), ..Description::default() });
            assert!(text.encode_utf16().count() <= MAX_DESCRIPTION, "{}", text.encode_utf16().count());
            assert!(text.ends_with(CUT));
            assert_eq!(Marker::find(&text), Some(Marker::of(&run())));
        }
    }
}
