//! The one progress comment of a run: where it stands, whose move it is, what it cost, what the agent claims.

use super::{
    super::{marker::Marker, neutral},
    Links, MAX_AGENT_TEXT, MAX_INLINE, MAX_SENTENCE, anchor, foreign, mention, outcome_sentence, take_back,
};
use crate::{
    decide::{
        Pause, WaitReason,
        budget::{Spent, dollars, minutes},
        deadline::later,
    },
    domain::{CommitId, DiffStat, Identity, LabelNames, Outcome, Policy, Run, Stage},
};
use jiff::Timestamp;

/// What an edit means, and what a person does who wants it to count.
const EDITED: &str = "The agent goes on with the text as it was approved, and does not read the new one. If the new text \
    shall be worked on, end this run by taking its label off; then a trusted person reads the text and labels the item \
    again.";

/// A plan is a list; longer ones are evidence. Two thousand are kept with the run, and cannot have grown.
const MAX_PLAN: usize = 2_100;

/// Whoever has more than this between a pull request and its merge looks at the pull request itself.
const MAX_OPEN: usize = 20;

/// Where the checks on our head stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    /// Nothing to check yet.
    #[default]
    NotYet,
    /// No verdict yet.
    Running,
    /// A build was stopped before it said anything.
    Canceled,
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
    /// What still stands between the pull request and its merge, one line each; see [`crate::decide::checklist()`].
    pub open: Vec<String>,
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
    /// What was used up so far; see [`used`].
    pub used: Option<String>,
    /// Who edited the item after its text was approved.
    pub edited_by: Option<String>,
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
    /// How the change is taken back, HTML; from when people can merge it.
    pub take_back: Option<String>,
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
        if let (Some(edit), false) = (&run.edited, run.is_closed()) {
            note.edited_by = Some(edit.by.name.clone());
        }
        Self {
            heading: heading(run),
            steps: steps(run, links, note.checks),
            branch: run.branch().to_string(),
            head: run.pushed.as_ref().map(|pushed| pushed.head.clone()),
            take_back: take_back_from(run, links),
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

/// Told where people merge, and kept where they merged.
fn take_back_from(run: &Run, links: &Links) -> Option<String> {
    match run.stage {
        Stage::InReview { .. } | Stage::Closed { outcome: Outcome::Green, .. } => {
            take_back(run, links, false)
        }
        Stage::Closed { outcome: Outcome::Merged, .. } => take_back(run, links, true),
        Stage::Claimed
        | Stage::Working { .. }
        | Stage::Pushed { .. }
        | Stage::Escalated { .. }
        | Stage::Closed { outcome: Outcome::Declined | Outcome::HandedBack | Outcome::Superseded, .. } => {
            None
        }
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
        Checks::Canceled => linked(Mark::Now, "checks (cancelled)".into(), &links.build),
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
    let Progress { heading, steps, branch, head, mention: person, take_back, note, marker } = progress;
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
        out.push(format!("<p>{}</p>", neutral::sentence(sentence, MAX_SENTENCE)));
    }
    if let Some(name) = &note.edited_by {
        let name = foreign(name, MAX_INLINE);
        out.push(format!("<p>{name} edited this work item after it was approved. {EDITED}</p>"));
    }
    if let Some(Waiting { whom, until }) = &note.waiting {
        let until =
            until.as_ref().map(|until| format!(" until {}", foreign(until, MAX_INLINE))).unwrap_or_default();
        out.push(format!("<p>Waiting for {}{until}.</p>", foreign(whom, MAX_INLINE)));
    }
    if !note.open.is_empty() {
        out.push("<p>What still stands between the pull request and its merge:</p>\n<ul>".to_owned());
        let shown = note.open.iter().take(MAX_OPEN).map(|line| foreign(line, MAX_SENTENCE));
        out.extend(shown.map(|line| format!("<li>{} {line}</li>", Mark::Open.sign())));
        let more = note.open.len().saturating_sub(MAX_OPEN);
        out.extend((more > 0).then(|| format!("<li>and {more} more</li>")));
        out.push("</ul>".to_owned());
    }
    if let Some(person) = person {
        out.push(format!("<p>{}: it is your move.</p>", mention(person)));
    }
    if let Some(head) = head {
        let changed = note.changed.map(|changed| format!(", {changed}")).unwrap_or_default();
        let sentence = format!("Measured: branch {branch} at {}{changed}.", head.short());
        out.push(format!("<p>{}</p>", neutral::html(&sentence)));
    }
    if let Some(how) = take_back {
        out.push(format!("<p>{how}</p>"));
    }
    if let Some(used) = &note.used {
        out.push(format!("<p>Used so far: {}.</p>", neutral::html(used)));
    }
    let claimed = claims(note);
    if !claimed.is_empty() {
        out.push(format!("<p>Claimed by the agent, not verified:</p>\n<blockquote>{claimed}</blockquote>"));
    }
    if let Some(plan) = note.plan.as_deref().filter(|plan| !plan.trim().is_empty()) {
        let plan = foreign(plan, MAX_PLAN);
        out.push(format!(
            "<details><summary>The agent's plan</summary>\n<blockquote>{plan}</blockquote></details>"
        ));
    }
    out.push(footer(marker));
    out.join("\n")
}

/// What the turns of a run used up, for people; nothing when none has ended.
pub fn used(run: &Run, policy: &Policy) -> Option<String> {
    let usage = run.usage() + run.before;
    if usage.is_nothing() {
        return None;
    }
    let spent = Spent::of(run, policy);
    let mut parts = Vec::new();
    if usage.has_tokens() {
        parts.push(format!("{} tokens (+ {} cached)", usage.fresh_tokens(), usage.cached_tokens));
        parts.push(spent.cost.map_or_else(|| "price unknown".to_owned(), dollars));
    } else {
        parts.push("tokens unknown".to_owned());
    }
    parts.push(format!("{} of agents' work", minutes(spent.time)));
    if !run.before.is_nothing() {
        parts.push("earlier runs of this work item included".to_owned());
    }
    Some(parts.join(", "))
}

/// Whose move it is, where a person can see that nothing happens; `assigned` has the item. Short looks again are nobody's to wait for.
pub fn waiting(reason: &WaitReason, assigned: Option<&str>, policy: &Policy) -> Option<Waiting> {
    let LabelNames { paused, .. } = &policy.labels;
    let (whom, until): (String, Option<Timestamp>) = match reason {
        WaitReason::Over
        | WaitReason::AskedPeople
        | WaitReason::Gap(_)
        | WaitReason::StaleItem
        | WaitReason::LookAgain(_)
        | WaitReason::Unheard { .. }
        | WaitReason::NotResumed(_)
        | WaitReason::Cold => return None,
        WaitReason::Brake(_) => ("the operator, who has the kill switch on".into(), None),
        WaitReason::Paused(Pause::Label) => (format!("a person, who takes the label {paused} off"), None),
        WaitReason::Paused(Pause::Draft) => ("a person, who publishes the draft".into(), None),
        WaitReason::Paused(Pause::AutoComplete) => {
            ("a person, who takes auto-complete off or completes".into(), None)
        }
        WaitReason::Paused(Pause::Assigned) => {
            (format!("{}, to whom the work item is assigned", assigned.unwrap_or("the person")), None)
        }
        WaitReason::StepRunning { since } => ("the agent".into(), Some(later(*since, policy.turn_limit))),
        WaitReason::BackingOff { until } => ("the next try".into(), Some(*until)),
        WaitReason::QuietPeriod { .. } => ("the end of the review that is being written".into(), None),
        WaitReason::NotCurrentYet | WaitReason::ChecksRunning => ("the checks".into(), None),
        WaitReason::TargetRed => ("whoever mends the target branch".into(), None),
        WaitReason::AwaitingApproval => ("a person, who approves the pipeline's stage".into(), None),
        WaitReason::BuildStopped { by } => (format!("{by}, who cancelled a build"), None),
        WaitReason::NoChecks => ("a reviewer".into(), None),
        WaitReason::AwaitingReview { open, optional: _ } if open.is_empty() => ("a reviewer".into(), None),
        WaitReason::AwaitingReview { open, optional: _ } => (format!("people: {}", open.join(", ")), None),
        WaitReason::Outage { what, until } => (format!("{} to answer again", what.word()), Some(*until)),
        WaitReason::DaySpent { until } => ("the next day".into(), Some(*until)),
        WaitReason::SpendingUnknown { .. } => {
            ("the operator, unless what all runs have used can be read again at the next visit".into(), None)
        }
    };
    Some(Waiting { whom, until: until.map(|at| at.strftime("%Y-%m-%d %H:%M UTC").to_string()) })
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

fn footer(marker: &Marker) -> String {
    format!("<hr>\n<p>{}</p>", neutral::html(&marker.render()))
}
