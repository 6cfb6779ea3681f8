//! What a doorbell says. Plain text for any receiver; does not know receivers (each escapes for its own
//! syntax), addresses or whether it was heard.

use super::neutral;
use crate::domain::{Cause, Receiver, Ring, RingKind, Run, Stage};
use jiff::Timestamp;

/// A title has to fit on a phone's lock screen, and into the smallest receiver's limit.
const MAX_TITLE: usize = 120;
/// A few sentences; the link has the rest.
const MAX_TEXT: usize = 600;

/// Runs of a storm that are named; the others are counted.
const NAMED: usize = 5;
/// On whatever leads to the link.
pub const LOOK: &str = "Have a look";

/// What receivers that people read are told: one ring, or a storm of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// One line.
    pub title: String,
    /// More lines.
    pub lines: Vec<Line>,
    /// Where to look.
    pub link: Option<String>,
}

/// A line of news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Plain text.
    pub text: String,
    /// Where it leads.
    pub link: Option<String>,
}

/// One ring as it is; a storm as its cause, its size and the first few.
pub fn news(rings: &[Ring]) -> News {
    let line = |text: &str, link: Option<&String>| Line { text: text.to_owned(), link: link.cloned() };
    match rings {
        [] => News { title: String::new(), lines: Vec::new(), link: None },
        [one] => News {
            title: one.title.clone(),
            lines: one.text.lines().map(|text| line(text, None)).collect(),
            link: one.link.clone(),
        },
        [first, ..] => {
            let title = format!("{} {} runs: {}", tag(first.kind), rings.len(), shared(first.cause.as_ref()));
            let mut lines: Vec<Line> =
                rings.iter().take(NAMED).map(|ring| line(&ring.title, ring.link.as_ref())).collect();
            let more = rings.len().saturating_sub(NAMED);
            if more > 0 {
                lines.push(line(&format!("and {more} more; `roundsman ps` lists them"), None));
            }
            News { title: neutral::line(&title, MAX_TITLE), lines, link: None }
        }
    }
}

/// What they have in common.
fn shared(cause: Option<&Cause>) -> String {
    match cause {
        Some(Cause::Provider) => "the model provider does not answer".into(),
        Some(Cause::Executor) => "the executor loses or cannot run workers".into(),
        Some(Cause::Service) => "Azure DevOps does not show what is needed".into(),
        Some(Cause::TargetRed { repository, branch, .. }) => {
            format!("{branch} of {repository} is red by itself")
        }
        Some(Cause::Reason { reason }) => format!("the same reason, {reason}"),
        None => "for one cause".into(),
    }
}

/// The ring for the transition that led to `run`'s stage. Equal transitions have equal keys, so a repeated one folds.
pub fn ring(
    kind: RingKind,
    run: &Run,
    sentence: &str,
    cause: Option<Cause>,
    link: Option<String>,
    at: Timestamp,
) -> Ring {
    let title = format!("{} {}: {}", tag(kind), run.id.item, run.title);
    let mut text = vec![neutral::cap(neutral::plain(sentence).trim(), MAX_TEXT)];
    if let Some(id) = run.pull_request {
        text.push(format!("Pull request {id} in {}.", run.repository.path()));
    }
    if let (RingKind::Frozen, Some(pushed)) = (kind, &run.pushed) {
        text.push(format!("The work stays as it is on {} at {}.", run.branch(), pushed.head.short()));
    }
    Ring {
        key: key(kind, run),
        kind,
        run: run.id,
        item: run.id.item,
        title: neutral::line(&title, MAX_TITLE),
        text: text.join("\n"),
        link,
        attempts: 0,
        at,
        receiver: Receiver::Webhook,
        cause,
    }
}

/// The ring for runs that wait because their target branch fails the same way: one for all of them, and for a day. The
/// run is only the first that met it.
pub fn target_red(run: &Run, signature: &str, link: Option<String>, at: Timestamp) -> Ring {
    const DAY: i64 = 24 * 3600;
    let target = neutral::line(run.target.as_str(), MAX_TITLE);
    let cause = Cause::TargetRed {
        repository: run.repository.path(),
        branch: run.target.to_string(),
        signature: signature.to_owned(),
    };
    let key = format!("target-red/{}/{}/{signature}", run.repository.id, run.target);
    let title = format!("{} {}: `{target}` is red", tag(RingKind::NeedsHuman), run.repository.path());
    let text = format!(
        "The checks of {target} in {} fail, and those of work item {} fail the same way. It waits, as does every run \
         like it, until {target} is mended; then its checks are run again by themselves.",
        run.repository.path(),
        run.id.item
    );
    Ring {
        key: format!("{key}@{}", at.as_second().div_euclid(DAY)),
        kind: RingKind::NeedsHuman,
        run: run.id,
        item: run.id.item,
        title: neutral::line(&title, MAX_TITLE),
        text: neutral::cap(neutral::plain(&text).trim(), MAX_TEXT),
        link,
        attempts: 0,
        at,
        receiver: Receiver::Webhook,
        cause: Some(cause),
    }
}

/// The first word of a title, by which people filter.
fn tag(kind: RingKind) -> &'static str {
    match kind {
        RingKind::Done => "[DONE]",
        RingKind::NeedsHuman => "[NEEDS-HUMAN]",
        RingKind::Frozen => "[FROZEN]",
    }
}

fn key(kind: RingKind, run: &Run) -> String {
    let word = kind.word();
    let since = match &run.stage {
        Stage::Claimed => run.claimed_at,
        Stage::Working { since, .. }
        | Stage::Pushed { since }
        | Stage::InReview { since }
        | Stage::Escalated { since, .. } => *since,
        Stage::Closed { at, .. } => *at,
    };
    format!("{}/{word}@{}", run.id, since.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::samples::{at, fixing, run};

    #[test]
    fn titles_start_with_the_word_to_filter_by() {
        let rung = |kind| {
            let Ring { key, title, text, .. } =
                ring(kind, &fixing(), "The same check failed twice.", None, None, at(0));
            format!("{key}\n{title}\n{text}")
        };
        insta::assert_snapshot!(rung(RingKind::Frozen), @r"
        4711-r12/frozen@1790000090
        [FROZEN] 4711: Login <b>fails</b> for # 99
        The same check failed twice.
        Pull request 57 in Fabrikam Fiber/web.
        The work stays as it is on agent/4711-r12 at 01234567.
        ");
        insta::assert_snapshot!(rung(RingKind::NeedsHuman), @r"
        4711-r12/needs-human@1790000090
        [NEEDS-HUMAN] 4711: Login <b>fails</b> for # 99
        The same check failed twice.
        Pull request 57 in Fabrikam Fiber/web.
        ");
        insta::assert_snapshot!(rung(RingKind::Done), @r"
        4711-r12/done@1790000090
        [DONE] 4711: Login <b>fails</b> for # 99
        The same check failed twice.
        Pull request 57 in Fabrikam Fiber/web.
        ");
    }

    #[test]
    fn a_new_escalation_rings_again_and_a_repeated_one_does_not() {
        let escalated =
            |since| Run { stage: Stage::Escalated { reason: "x".into(), since: at(since) }, ..run() };
        let key = |since, now| ring(RingKind::NeedsHuman, &escalated(since), "x", None, None, at(now)).key;
        assert_eq!(key(1, 5), key(1, 9));
        assert_ne!(key(1, 5), key(2, 5));
    }
}
