//! What people are told when a run ends or needs one of them.

use super::{
    super::{neutral, note},
    Links, MAX_AGENT_TEXT, MAX_INLINE, MAX_SENTENCE, anchor, branch, foreign, mention, outcome_sentence,
    pull_request_sentence, take_back,
};
use crate::{
    decide::{Command, Note, reason::failure},
    domain::{FailedTask, Identity, LabelNames, Outcome, Run, TurnEnd, TurnRecord},
};

/// The discussion entry that is saved together with the closing change of the work item, HTML.
pub fn closing_history(run: &Run, outcome: Outcome, links: &Links) -> String {
    closed(run, outcome, links)
}

/// A run closed, HTML.
pub fn closed(run: &Run, outcome: Outcome, links: &Links) -> String {
    if outcome == Outcome::HandedBack {
        return handed_back(run, links);
    }
    let rest = match outcome {
        Outcome::Merged => take_back(run, links, true).map(|how| format!(" {how}")).unwrap_or_default(),
        Outcome::Green | Outcome::Declined | Outcome::HandedBack | Outcome::Superseded => {
            pull_request_sentence(run, links)
        }
    };
    format!("<p>{}{rest}</p>", outcome_sentence(outcome))
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
    /// What of the checks fails.
    pub failing: Vec<FailedTask>,
    /// What was used up; see [`super::used`].
    pub used: Option<String>,
    /// Where the evidence is.
    pub evidence: Evidence,
    /// Whom it is about, besides who asked for the run.
    pub people: Vec<Identity>,
    /// Whether words in the discussion are enough of an answer.
    pub asks: bool,
    /// The setting that the operator has to change first: without that the run could only stop again.
    pub first: Option<&'static str>,
}

/// Where what the turns left can be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Evidence {
    /// With the operator; nobody wants it elsewhere.
    #[default]
    WithOperator,
    /// On the work item, under this name.
    Attached(String),
    /// No turn began: there is none.
    NoTurn,
    /// Nothing of it is left, or it cannot be read.
    Gone,
    /// With the operator: it was wanted on the work item, and could not be put there.
    NotAttached,
}

impl Evidence {
    pub(super) fn told(&self, run: &Run) -> String {
        let id = run.id;
        match self {
            Self::WithOperator => format!("evidence: the operator's <code>roundsman show {id}</code>"),
            Self::Attached(name) => format!("evidence: attached as {}", foreign(name, MAX_INLINE)),
            Self::NoTurn => "evidence: none, because no turn began".to_owned(),
            Self::Gone => "evidence: nothing is left that could be attached".to_owned(),
            Self::NotAttached => {
                format!(
                    "evidence: it could not be attached; the operator's <code>roundsman show {id}</code> has it"
                )
            }
        }
    }
}

/// More failing tasks say nothing new.
const MAX_FAILING: usize = 5;
/// Characters of a failing task's first message.
const MAX_MESSAGE: usize = 300;

/// What each turn was for and what came of it, one line each.
pub fn tried(run: &Run) -> Vec<String> {
    run.turns.iter().map(tried_once).collect()
}

/// The same of one turn.
pub(crate) fn tried_once(turn: &TurnRecord) -> String {
    let fault = turn.fault.map(|fault| format!(": the agent {}", failure(fault))).unwrap_or_default();
    let came = match &turn.end {
        Some(TurnEnd::Pushed { head }) => {
            let changed = turn.changed.map(|changed| format!(" ({changed})")).unwrap_or_default();
            let cut = if turn.is_cut() { ", cut off by a limit" } else { "" };
            format!("pushed {}{changed}{cut}", head.short())
        }
        Some(TurnEnd::Answered) => "answered, no change".into(),
        Some(TurnEnd::Lost) => format!("lost, and not counted{fault}"),
        Some(TurnEnd::Failed) => format!("failed{fault}"),
        None => format!("ended without a result{fault}"),
    };
    let used = if turn.usage.is_nothing() { String::new() } else { format!("; {}", turn.usage) };
    format!("turn {}, {}: {came}{used}", turn.number, turn.kind)
}

/// We need a person: why, what was tried, where to look, how to go on. HTML, mentions who asked for the run.
pub fn escalated(run: &Run, escalation: &Escalation, links: &Links, labels: &LabelNames) -> String {
    let mut to: Vec<&Identity> = run.requested_by.iter().collect();
    to.extend(escalation.people.iter().filter(|who| run.requested_by.as_ref() != Some(who)));
    let to: Vec<String> = to.into_iter().map(mention).collect();
    let to = if to.is_empty() { String::new() } else { format!("{}: ", to.join(", ")) };
    // It quotes what the agent asks or answers: nobody can answer half a question.
    let reason = neutral::sentence(&escalation.reason, MAX_SENTENCE + MAX_AGENT_TEXT);
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
    if !escalation.failing.is_empty() {
        out.push("<p>What fails:</p>".to_owned());
        out.push("<ul>".to_owned());
        out.extend(escalation.failing.iter().take(MAX_FAILING).map(|task| {
            let message = task.messages.first().map(|message| foreign(message, MAX_MESSAGE));
            let message = message.map(|message| format!(": {message}")).unwrap_or_default();
            format!("<li>{}{message}</li>", foreign(&task.name, MAX_MESSAGE))
        }));
        out.push("</ul>".to_owned());
    }
    if let Some(used) = &escalation.used {
        out.push(format!("<p>Used so far: {}.</p>", neutral::html(used)));
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
    look.push(escalation.evidence.told(run));
    out.push(format!("<p>Where to look: {}.</p>", look.join(" · ")));
    let answer = match (escalation.asks, run.pull_request) {
        (true, Some(_)) => "answer with a comment here or in a thread of the pull request, or ",
        (true, None) => "answer with a comment here, or ",
        (false, _) => "",
    };
    let first = escalation.first.map_or_else(String::new, |setting| {
        format!(
            "the work item has used up what it may, so the operator has to change {setting} first, and the run goes on \
             no sooner; then "
        )
    });
    let resume = format!(
        "To go on with this run: {first}{answer}put the label {} on the work item again, or write {} in a comment. What you write \
         here before is read by the next turn. To take it over yourself: remove the label {}; what was pushed stays.",
        labels.ready,
        Command::Resume,
        labels.human
    );
    out.push(format!("<p>{}</p>", neutral::html(&resume)));
    let note = Note { asks: Some(escalation.asks), ..Note::of(run.id) };
    out.push(format!("<hr>\n<p>{}</p>", neutral::html(&note::render(&note))));
    out.join(
        "
",
    )
}
