//! What we say on the work item (HTML) and in the threads of the pull request (Markdown).
//!
//! Knows where a run stands and renders it; equal state renders equal text, nothing in it changes with the clock. Does not
//! know when to speak: `decide` says so, and `shell` compares with what was written before. Whatever is not our own
//! sentence is neutralised here.

use super::{marker::Marker, neutral};
use crate::domain::{CommitId, DiffStat, Identity, LabelNames, Outcome, Run, Stage};

/// The part of an agent's text that goes into a comment: a page, not a flood.
const MAX_AGENT_TEXT: usize = 4_000;
/// A plan is a list; longer ones are evidence and kept with the run.
const MAX_PLAN: usize = 3_000;
/// Titles and names stand inside sentences of ours.
const MAX_INLINE: usize = 200;
/// A reason is a sentence or two.
const MAX_SENTENCE: usize = 1_000;

/// Where people can look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The pull request's page.
    pub pull_request: Option<String>,
    /// The branch's page.
    pub branch: Option<String>,
    /// The failing build's page.
    pub build: Option<String>,
}

/// Where the checks on our head stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    /// Nothing to check yet.
    #[default]
    NotYet,
    /// No verdict yet.
    Running,
    /// All passed.
    Passed,
    /// At least one failed.
    Failed,
    /// The repository has none.
    None,
}

/// Whose move it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// For example `the checks` or `a reviewer`.
    pub whom: String,
    /// A fixed moment, never a remaining time.
    pub until: Option<String>,
}

/// What the run itself does not remember, but the progress comment tells. Must not change from tick to tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgressNote {
    /// The decision's sentence.
    pub sentence: Option<String>,
    /// Whose move it is.
    pub waiting: Option<Waiting>,
    /// Whether it is a person's move: then the person who asked is mentioned, because nobody is mailed otherwise.
    pub needs_person: bool,
    /// Checks on our head.
    pub checks: Checks,
    /// Size of the change, as publish measured it.
    pub changed: Option<DiffStat>,
    /// The agent's own summary: a claim.
    pub summary: Option<String>,
    /// Whether the agent says that the repository's checks passed: a claim.
    pub checks_claimed: Option<bool>,
    /// The agent's plan.
    pub plan: Option<String>,
}

/// The progress comment as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// One sentence, our own words.
    pub heading: String,
    /// Steps in order.
    pub steps: Vec<ProgressStep>,
    /// The run's branch.
    pub branch: String,
    /// What was pushed last.
    pub head: Option<CommitId>,
    /// Who is mentioned when it is a person's move.
    pub mention: Option<Identity>,
    /// The rest.
    pub note: ProgressNote,
    /// The footer.
    pub marker: Marker,
}

/// A line of the checklist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressStep {
    /// How far it is.
    pub mark: Mark,
    /// What it is.
    pub text: String,
    /// Where it can be seen.
    pub link: Option<String>,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Finished.
    Done,
    /// Under way.
    Now,
    /// Not begun.
    Open,
}

impl Mark {
    fn sign(self) -> char {
        match self {
            Self::Done => '✓',
            Self::Now => '▸',
            Self::Open => '☐',
        }
    }
}

impl Progress {
    /// The progress of `run`.
    pub fn of(run: &Run, links: &Links, mut note: ProgressNote) -> Self {
        if let (None, Stage::Escalated { reason, .. }) = (&note.sentence, &run.stage) {
            note.sentence = Some(reason.clone());
        }
        Self {
            heading: heading(run),
            steps: steps(run, links, note.checks),
            branch: run.branch().to_string(),
            head: run.pushed.as_ref().map(|pushed| pushed.head.clone()),
            mention: run.requested_by.clone().filter(|_| note.needs_person),
            note,
            marker: Marker::of(run),
        }
    }
}

fn heading(run: &Run) -> String {
    match &run.stage {
        Stage::Claimed => "An agent takes care of this work item.".into(),
        Stage::Working { turn, .. } => {
            format!("An agent is working on this, turn {}: {}.", turn.number, turn.kind)
        }
        Stage::Pushed { .. } => "The agent's change is pushed; the pull request is next.".into(),
        Stage::InReview { .. } => "The agent's change is with checks and reviewers.".into(),
        Stage::Escalated { .. } => "This run needs a person.".into(),
        Stage::Closed { outcome, .. } => outcome_sentence(*outcome).into(),
    }
}

fn outcome_sentence(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Merged => "The pull request was merged; this run is done.",
        Outcome::Green => "All checks passed; this run is done, the pull request is for people to complete.",
        Outcome::Declined => "The pull request was abandoned or its branch deleted; this run is closed.",
        Outcome::HandedBack => "A person took this work item back; this run is closed.",
        Outcome::Superseded => "A later run of this work item replaced this one.",
    }
}

fn steps(run: &Run, links: &Links, checks: Checks) -> Vec<ProgressStep> {
    let step = |mark, text: String| ProgressStep { mark, text, link: None };
    let linked = |mark, text: String, link: &Option<String>| ProgressStep { mark, text, link: link.clone() };
    let done = |yes| if yes { Mark::Done } else { Mark::Open };
    let is_good = matches!(run.stage, Stage::Closed { outcome: Outcome::Merged | Outcome::Green, .. });
    let is_merged = matches!(run.stage, Stage::Closed { outcome: Outcome::Merged, .. });

    let agent = match run.current_turn() {
        Some((turn, _)) => step(Mark::Now, format!("agent at work (turn {}: {})", turn.number, turn.kind)),
        None => match run.turns.len() {
            0 => step(Mark::Open, "agent at work".into()),
            1 => step(done(run.pushed.is_some()), "agent at work (1 turn)".into()),
            n => step(done(run.pushed.is_some()), format!("agent at work ({n} turns)")),
        },
    };
    let pushed = match &run.pushed {
        Some(pushed) => linked(Mark::Done, format!("pushed ({})", pushed.head.short()), &links.branch),
        None => step(Mark::Open, "pushed".into()),
    };
    let pull_request = match run.pull_request {
        Some(id) => linked(Mark::Done, format!("pull request !{id}"), &links.pull_request),
        None if matches!(run.stage, Stage::Pushed { .. }) => step(Mark::Now, "pull request".into()),
        None => step(Mark::Open, "pull request".into()),
    };
    let checks_step = match checks {
        Checks::NotYet => step(done(is_good), "checks".into()),
        Checks::Running => step(Mark::Now, "checks (running)".into()),
        Checks::Passed => step(Mark::Done, "checks (passed)".into()),
        Checks::Failed => linked(Mark::Now, "checks (failed)".into(), &links.build),
        Checks::None => step(Mark::Open, "checks (this repository has none)".into()),
    };
    let review = match &run.stage {
        Stage::InReview { .. } => step(Mark::Now, "review".into()),
        _ => step(done(is_merged), "review".into()),
    };
    vec![
        step(Mark::Done, "claimed".into()),
        agent,
        pushed,
        pull_request,
        checks_step,
        review,
        step(done(is_good), "done".into()),
    ]
}

/// The one progress comment of a run, HTML.
pub fn progress(progress: &Progress) -> String {
    let Progress { heading, steps, branch, head, mention: person, note, marker } = progress;
    let mut out = vec![format!("<p><b>{}</b></p>", neutral::html(heading)), "<ul>".to_owned()];
    for ProgressStep { mark, text, link } in steps {
        let text = match link {
            Some(link) => anchor(link, text),
            None => neutral::html(text),
        };
        out.push(format!("<li>{} {text}</li>", mark.sign()));
    }
    out.push("</ul>".to_owned());
    if let Some(sentence) = &note.sentence {
        out.push(format!("<p>{}</p>", foreign(sentence, MAX_SENTENCE)));
    }
    if let Some(Waiting { whom, until }) = &note.waiting {
        let until =
            until.as_ref().map(|until| format!(" until {}", foreign(until, MAX_INLINE))).unwrap_or_default();
        out.push(format!("<p>Waiting for {}{until}.</p>", foreign(whom, MAX_INLINE)));
    }
    if let Some(person) = person {
        out.push(format!("<p>{}: it is your move.</p>", mention(person)));
    }
    if let Some(head) = head {
        let changed = note.changed.map(|changed| format!(", {changed}")).unwrap_or_default();
        let sentence = format!("Measured: branch {branch} at {}{changed}.", head.short());
        out.push(format!("<p>{}</p>", neutral::html(&sentence)));
    }
    let claimed = claims(note);
    if !claimed.is_empty() {
        out.push(format!("<p>Claimed by the agent, not verified:</p>\n<blockquote>{claimed}</blockquote>"));
    }
    if let Some(plan) = note.plan.as_deref().filter(|plan| !plan.trim().is_empty()) {
        out.push(format!("<p>The agent's plan:</p>\n<blockquote>{}</blockquote>", foreign(plan, MAX_PLAN)));
    }
    out.push(footer(marker));
    out.join("\n")
}

fn claims(note: &ProgressNote) -> String {
    let mut claims = Vec::new();
    if let Some(summary) = note.summary.as_deref().filter(|summary| !summary.trim().is_empty()) {
        claims.push(foreign(summary, MAX_AGENT_TEXT));
    }
    match note.checks_claimed {
        Some(true) => claims.push("The repository's own checks passed at the end of the turn.".into()),
        Some(false) => claims.push("The repository's own checks did not pass at the end of the turn.".into()),
        None => {}
    }
    claims.join("<br>")
}

/// The discussion entry that is saved together with the claim: the progress comment's first text, HTML.
pub fn claim_history(first: &Progress) -> String {
    progress(first)
}

/// The discussion entry that is saved together with the closing change of the work item, HTML.
pub fn closing_history(run: &Run, outcome: Outcome, links: &Links) -> String {
    closed(run, outcome, links)
}

/// A run closed, HTML.
pub fn closed(run: &Run, outcome: Outcome, links: &Links) -> String {
    if outcome == Outcome::HandedBack {
        return handed_back(run, links);
    }
    format!("<p>{}{}</p>", outcome_sentence(outcome), pull_request_sentence(run, links))
}

/// The one acknowledgement to a person who took the item back, HTML.
pub fn handed_back(run: &Run, links: &Links) -> String {
    let left = match &run.pushed {
        Some(pushed) => format!(
            " The agent has stopped. What it pushed stays on {} at {}.",
            branch(run, links),
            pushed.head.short()
        ),
        None => " The agent has stopped. Nothing was pushed.".into(),
    };
    let sentence = outcome_sentence(Outcome::HandedBack);
    format!("<p>{sentence}{left}{}</p>", pull_request_sentence(run, links))
}

/// A run that goes to people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Escalation {
    /// Why, one sentence.
    pub reason: String,
    /// What was tried, one line each.
    pub tried: Vec<String>,
    /// The agent's own words, for example its question.
    pub agent_text: Option<String>,
}

/// We need a person: why, what was tried, where to look, how to go on. HTML, mentions who asked for the run.
pub fn escalated(run: &Run, escalation: &Escalation, links: &Links, labels: &LabelNames) -> String {
    let to = run.requested_by.as_ref().map(|who| format!("{}: ", mention(who))).unwrap_or_default();
    // It quotes what the agent asks or answers: nobody can answer half a question.
    let reason = foreign(&escalation.reason, MAX_SENTENCE + MAX_AGENT_TEXT);
    let mut out = vec![format!("<p>{to}<b>this run needs a person.</b> {reason}</p>")];
    if let Some(text) = escalation.agent_text.as_deref().filter(|text| !text.trim().is_empty()) {
        let text = foreign(text, MAX_AGENT_TEXT);
        out.push(format!("<p>The agent says:</p>\n<blockquote>{text}</blockquote>"));
    }
    if !escalation.tried.is_empty() {
        out.push("<p>What was tried:</p>".to_owned());
        out.push("<ul>".to_owned());
        out.extend(escalation.tried.iter().map(|line| format!("<li>{}</li>", foreign(line, MAX_SENTENCE))));
        out.push("</ul>".to_owned());
    }
    let mut look = Vec::new();
    if let (Some(id), Some(link)) = (run.pull_request, &links.pull_request) {
        look.push(anchor(link, &format!("pull request !{id}")));
    }
    if let Some(link) = &links.build {
        look.push(anchor(link, "the failing build"));
    }
    match &run.pushed {
        Some(pushed) => look.push(format!("branch {} at {}", branch(run, links), pushed.head.short())),
        None => look.push("nothing was pushed".into()),
    }
    out.push(format!("<p>Where to look: {}.</p>", look.join(" · ")));
    // Only these are read by the next turn; an answer in the discussion would be lost.
    let place = if run.pull_request.is_some() {
        "in the work item's text or in a thread of the pull request"
    } else {
        "in the work item's text"
    };
    let resume = format!(
        "To go on: answer {place}, then put the label {} on the work item again. To take it over yourself: remove \
         the label {}.",
        labels.ready, labels.human
    );
    out.push(format!("<p>{}</p>", neutral::html(&resume)));
    out.join(
        "
",
    )
}

/// Answer to a reviewer after a push, Markdown. Our header names the commit; the rest is the agent's, cut and
/// neutralised.
pub fn reply_to_thread(agent_text: &str, commit: &CommitId) -> String {
    match quoted_agent_text(agent_text) {
        Some(text) => format!("Commit {} answers this. The agent writes:\n\n{text}", commit.short()),
        None => reply_without_agent_text(commit),
    }
}

/// Answer to a reviewer for whom the agent left no words, Markdown.
pub fn reply_without_agent_text(commit: &CommitId) -> String {
    format!(
        "Commit {} was made with this thread in view, but the agent left no answer of its own. Please check whether it \
         settles the point.",
        commit.short()
    )
}

/// Answer to a reviewer when no commit was made, Markdown.
pub fn nothing_changed_reply(agent_text: &str) -> String {
    match quoted_agent_text(agent_text) {
        Some(text) => format!("No change was made for this. The agent writes:\n\n{text}"),
        None => "No change was made for this, and the agent left no reason. Please say what should be different, or \
                 settle the thread."
            .into(),
    }
}

/// An earlier run's pull request is given up for a new one, Markdown. `branch` of the new run is the key by which the
/// sentence is known again.
pub fn replaced_by(branch: &str, link: &str) -> String {
    let link = neutral::visible(link).replace('\n', "");
    format!("A later run of this work item replaces this pull request. It works on `{branch}`: {link}")
}

/// The one reminder to the people whose approval is missing, Markdown.
pub fn reminder(people: &[Identity]) -> String {
    let names: Vec<String> = people
        .iter()
        .map(|who| {
            if who.id.is_guid() {
                format!("@<{}>", who.id)
            } else {
                neutral::markdown(&neutral::line(&who.name, MAX_INLINE))
            }
        })
        .collect();
    let to = if names.is_empty() { String::new() } else { format!("{}: ", names.join(", ")) };
    format!("{to}this pull request waits for a review. This is the only reminder.")
}

fn quoted_agent_text(text: &str) -> Option<String> {
    let text = neutral::cap(neutral::markdown(text).trim(), MAX_AGENT_TEXT);
    (!text.is_empty())
        .then(|| text.lines().map(|line| format!("> {line}").trim_end().to_owned() + "\n").collect())
}

fn foreign(text: &str, max: usize) -> String {
    neutral::html(&neutral::cap(neutral::plain(text).trim(), max))
}

pub(super) fn mention(who: &Identity) -> String {
    let name = foreign(&who.name, MAX_INLINE);
    if who.id.is_guid() {
        format!("<a href=\"#\" data-vss-mention=\"version:2.0,{}\">@{name}</a>", who.id)
    } else {
        name
    }
}

/// Only web addresses become links; anything else stays text.
fn anchor(link: &str, text: &str) -> String {
    let text = neutral::html(text);
    if link.starts_with("https://") || link.starts_with("http://") {
        format!("<a href=\"{}\">{text}</a>", neutral::html(&neutral::visible(link).replace('\n', "")))
    } else {
        text
    }
}

fn branch(run: &Run, links: &Links) -> String {
    let name = run.branch().to_string();
    links.branch.as_ref().map_or_else(|| neutral::html(&name), |link| anchor(link, &name))
}

fn pull_request_sentence(run: &Run, links: &Links) -> String {
    let link = links.pull_request.as_deref().unwrap_or_default();
    run.pull_request
        .map(|id| format!(" See {}.", anchor(link, &format!("pull request !{id}"))))
        .unwrap_or_default()
}

fn footer(marker: &Marker) -> String {
    format!("<hr>\n<p>{}</p>", neutral::html(&marker.render()))
}

#[cfg(test)]
mod tests;
