//! Answers to what people write to us: commands, and words that let a run go on.
//!
//! One text for both places: on the work item it is HTML, in a thread Markdown, and each ends in the note by which it is
//! known again. Says where a run stands; does not decide.

use super::{neutral, note};
use crate::{
    decide::{Answer, Command, Note, Place, Reply, ResumeCause, Resumption},
    domain::{LabelNames, Run, Stage, Usage},
};

/// A reason is a sentence or two.
const MAX_SENTENCE: usize = 1_000;
/// A name stands inside a sentence.
const MAX_INLINE: usize = 200;
/// Millionths of a dollar in a hundredth.
const MICRO_PER_CENT: u64 = 10_000;

/// The answer to a command, as lines of text.
fn lines(run: &Run, answer: &Answer, labels: &LabelNames) -> Vec<String> {
    let stands = format!("{} Decided now: {}.", standing(run), answer.standing);
    match &answer.reply {
        Reply::Status => vec![stands, spent(run)],
        Reply::Explain => {
            let mut all = vec![stands, spent(run)];
            all.extend(run.turns.iter().rev().take(MAX_TURNS).map(|turn| {
                let end = match &turn.end {
                    Some(crate::domain::TurnEnd::Pushed { head }) => format!("pushed {}", head.short()),
                    Some(crate::domain::TurnEnd::Answered) => "ended with an answer".into(),
                    Some(crate::domain::TurnEnd::Lost) => "was lost to the executor".into(),
                    Some(crate::domain::TurnEnd::Failed) => "failed".into(),
                    None => "has not ended".into(),
                };
                format!("Turn {} ({}) {end}.", turn.number, turn.kind)
            }));
            all.push(
                "In order of weight: the kill switch; people who end it; people who hold it; what cannot be read; the step \
                 at work; reviews; conflicts; checks; patience."
                    .into(),
            );
            all
        }
        Reply::Paused => vec![format!(
            "The run is paused: nothing new starts, and what runs may end. A person takes the label {} off, or writes {}.",
            labels.paused,
            Command::Resume
        )],
        Reply::Unpaused => vec!["The run goes on.".into()],
        Reply::NothingHeld => {
            vec!["Nothing holds this run, so there is nothing to let go on.".into(), stands]
        }
        Reply::Refused(why) => vec![sentence(&why.to_string())],
        Reply::Unknown => {
            let known: Vec<String> = Command::KNOWN.iter().map(ToString::to_string).collect();
            vec![format!("There is no such command. These are known: {}.", known.join(", "))]
        }
    }
}

/// The newest turns tell most; older ones are in the run's history.
const MAX_TURNS: usize = 5;

fn standing(run: &Run) -> String {
    let pull_request = run.pull_request.map(|id| format!(" Pull request {id}.")).unwrap_or_default();
    let stage = match &run.stage {
        Stage::Claimed => "Claimed; the first turn is next.".to_owned(),
        Stage::Working { turn, step, .. } => {
            format!("At work: turn {} ({}), {step} step.", turn.number, turn.kind)
        }
        Stage::Pushed { .. } => "Pushed; the pull request is next.".to_owned(),
        Stage::InReview { .. } => "In review.".to_owned(),
        Stage::Escalated { reason, .. } if reason.is_empty() => "A person was asked.".to_owned(),
        Stage::Escalated { reason, .. } => format!("A person was asked: {reason}."),
        Stage::Closed { outcome, .. } => format!("Over: {}.", outcome.word()),
    };
    format!("{stage}{pull_request}")
}

fn spent(run: &Run) -> String {
    let all = run.turns.iter().map(|turn| turn.usage).collect::<Vec<Usage>>();
    let money = all.iter().filter_map(|usage| usage.cost_micro_usd).fold(0u64, u64::saturating_add);
    let cents = money.div_ceil(MICRO_PER_CENT);
    let turns = run.turns.len();
    let unpriced = all.iter().filter(|usage| usage.cost_micro_usd.is_none()).count();
    let unknown = if unpriced == 0 { String::new() } else { format!("; {unpriced} turns named no price") };
    format!("Turns so far: {turns}. Cost so far: ${}.{:02}{unknown}.", cents / 100, cents % 100)
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", chars.as_str())
}

fn html(lines: &[String], note: &Note) -> String {
    let mut out: Vec<String> =
        lines.iter().map(|line| format!("<p>{}</p>", neutral::sentence(line, MAX_SENTENCE))).collect();
    out.push(format!("<hr>\n<p>{}</p>", neutral::html(&note::render(note))));
    out.join("\n")
}

/// The answer in the discussion of the work item, HTML.
pub fn answer(run: &Run, answer: &Answer, labels: &LabelNames) -> String {
    html(&lines(run, answer, labels), &noted(run, answer.asked.place))
}

/// The answer in a thread of the pull request, Markdown.
pub fn answer_in_thread(run: &Run, answer: &Answer, labels: &LabelNames) -> String {
    let lines = lines(run, answer, labels);
    let text = lines.iter().map(|line| neutral::cap(neutral::markdown(line).trim(), MAX_SENTENCE));
    let note = note::render(&noted(run, answer.asked.place));
    text.chain([note]).collect::<Vec<String>>().join("\n\n")
}

fn noted(run: &Run, place: Place) -> Note {
    Note { answers: Some(place), ..Note::of(run.id) }
}

/// The discussion entry that is saved together with taking an item back from people, HTML.
pub fn goes_on(run: &Run, how: &Resumption) -> String {
    let by = how.by.as_ref().map_or_else(
        || "The operator".to_owned(),
        |who| neutral::plain(&neutral::line(&who.name, MAX_INLINE)),
    );
    let why = match &how.cause {
        ResumeCause::Label => format!("{by} labelled this work item again"),
        ResumeCause::Command(asked) => format!("{by} wrote {}", asked.command),
        ResumeCause::Answer(_) => format!("{by} answered the agent's question"),
        ResumeCause::Review(_) => format!("{by} wrote on the pull request while the agent's question waited"),
        ResumeCause::Operator => format!("{by} lets it go on"),
    };
    let place = match (&run.pull_request, &run.pushed) {
        (Some(id), _) => format!(" with pull request {id}"),
        (None, Some(pushed)) => format!(" from {}", pushed.head.short()),
        (None, None) => String::new(),
    };
    let answers = match &how.cause {
        ResumeCause::Command(asked) => Some(asked.place),
        ResumeCause::Label | ResumeCause::Answer(_) | ResumeCause::Review(_) | ResumeCause::Operator => None,
    };
    let resumed = run.resumed.as_ref().map(|resumed| (resumed.revision, resumed.after));
    let line = format!("{why}: this run goes on{place}. Its attempts are counted afresh.");
    html(&[line], &Note { answers, resumed, ..Note::of(run.id) })
}

/// The discussion entry with which a run that was given up is taken up again, HTML.
pub fn reopened(run: &Run) -> String {
    let id = run.pull_request.map(|id| format!(" {id}")).unwrap_or_default();
    html(&[format!("A person reactivated pull request{id}: this run goes on with it.")], &Note::of(run.id))
}
