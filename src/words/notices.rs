//! Single notices on a work item: a repository's rules that cannot be obeyed, and work that an agent proposes. HTML.
//!
//! Each has something by which it is found again, in visible text: the service strips what people cannot see.

use super::{comments::mention, neutral};
use crate::domain::{CommitId, RULES_FILE, Run};

/// Characters of what is wrong with a file.
const MAX_WHY: usize = 600;
/// Characters of a proposed item's title: the service takes 255.
const MAX_TITLE: usize = 200;
/// Characters of a proposed item's text.
const MAX_TEXT: usize = 6_000;

/// A version of `.roundsman.toml` that cannot be obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesComplaint {
    /// The commit that made it; none when the service does not tell.
    pub version: Option<CommitId>,
    /// What is wrong.
    pub why: String,
    /// What holds instead.
    pub holds: Holds,
}

/// What holds where the newest version cannot be obeyed as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// The version itself, cut to what the operator allows.
    Cut,
    /// An older version.
    Older(CommitId),
    /// The parts of it that can be read.
    Parts,
    /// Nothing can be read, so nothing begins.
    Nothing,
}

impl RulesComplaint {
    /// By what the notice is found again.
    pub fn key(&self) -> String {
        let version = self.version.as_ref().map_or("unknown", CommitId::short);
        format!("{RULES_FILE} at {version}")
    }
}

/// The notice about such a version.
pub fn bad_rules(run: &Run, complaint: &RulesComplaint) -> String {
    let to = run.requested_by.as_ref().map(|who| format!("{}: ", mention(who))).unwrap_or_default();
    let why = neutral::sentence(&complaint.why, MAX_WHY);
    let holds = match &complaint.holds {
        Holds::Cut => "The rest of it holds, and this as far as the operator allows.".to_owned(),
        Holds::Older(commit) => {
            format!("The version of commit {} holds until it is repaired.", commit.short())
        }
        Holds::Parts => {
            "No older version can be read either, so the parts of it that can be read hold until it is repaired."
                .into()
        }
        Holds::Nothing => "No version can be read at all, so no work begins until it is repaired.".into(),
    };
    let place = neutral::html(&neutral::plain(&format!("{}, {}", run.repository.path(), run.target)));
    format!("<p>{to}<b>{}</b> ({place}) cannot be obeyed: {why}</p>\n<p>{holds}</p>", complaint.key())
}

/// The title of a proposed item: one harmless line.
pub fn proposal_title(wanted: &str) -> String {
    let line = neutral::line(&neutral::shown(wanted), MAX_TITLE);
    neutral::first_utf16(&line, MAX_TITLE).trim().to_owned()
}

/// The description of a proposed item.
pub fn proposal(run: &Run, text: &str) -> String {
    let text = neutral::html(&neutral::cap(neutral::plain(&neutral::shown(text)).trim(), MAX_TEXT));
    format!(
        "<p>Proposed by an agent that worked on the related item, run {}. Nobody has checked it, and nobody works on it.</p>\n\
         <blockquote>{text}</blockquote>",
        run.id
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::samples::{head, run};

    #[test]
    fn the_notices() {
        let complaint = RulesComplaint {
            version: Some(head()),
            why: "unknown field `runn`\n<b>".into(),
            holds: Holds::Older(head()),
        };
        insta::assert_snapshot!(bad_rules(&run(), &complaint), @r##"
        <p><a href="#" data-vss-mention="version:2.0,d291b0c4-a05c-4ea6-8df1-4b41d5f39eff">@Requester &amp; Co</a>: <b>.roundsman.toml at 01234567</b> (Fabrikam Fiber/web, main) cannot be obeyed: unknown field <code>runn</code><br>&lt;b&gt;</p>
        <p>The version of commit 01234567 holds until it is repaired.</p>
        "##);
        assert!(bad_rules(&run(), &complaint).contains(&complaint.key()), "it is found again");
        for (holds, says) in [
            (Holds::Cut, "as far as the operator allows"),
            (Holds::Parts, "the parts of it that can be read"),
            (Holds::Nothing, "no work begins"),
        ] {
            let complaint = RulesComplaint { holds, ..complaint.clone() };
            assert!(bad_rules(&run(), &complaint).contains(says), "{complaint:?}");
        }
        insta::assert_snapshot!(proposal(&run(), "Fixes #12 <b>x</b>\n##vso[x] @<someone>"), @r"
        <p>Proposed by an agent that worked on the related item, run 4711-r12. Nobody has checked it, and nobody works on it.</p>
        <blockquote>Fixes # 12 &lt;b&gt;x&lt;/b&gt;<br>\# #vso[x] @ &lt;someone&gt;</blockquote>
        ");
        assert_eq!(proposal_title("Fix #12 <!-- x -->\u{202e}"), "Fix # 12");
    }
}
