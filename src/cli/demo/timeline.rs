//! What happened, for people and for programs. Looks at the universe between invocations and tells what changed.

use super::{promises::Summary, universe::Universe};
use crate::{
    cli::say,
    domain::{Run, RunId, TurnEnd},
};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;

/// How events are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// For people.
    Drawn {
        /// Whether colours mean something here; they never carry meaning alone.
        colour: bool,
    },
    /// For programs.
    Json,
    /// Only the end.
    Silent,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Event {
    time: Timestamp,
    actor: &'static str,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    work_item: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_request: Option<i64>,
    #[serde(skip)]
    hue: u8,
}

/// Terminal colours by kind of actor.
const PERSON: u8 = 35;
const PROGRAM: u8 = 36;
const GOOD: u8 = 32;
const BAD: u8 = 31;
const AGENT: u8 = 33;

impl Event {
    fn new(actor: &'static str, what: String, hue: u8) -> Self {
        Self {
            time: super::programs::now(),
            actor,
            what,
            run: None,
            work_item: None,
            pull_request: None,
            hue,
        }
    }

    pub(super) fn person(actor: &'static str, what: String) -> Self {
        Self::new(actor, what, PERSON)
    }

    pub(super) fn program(actor: &'static str, what: String) -> Self {
        Self::new(actor, what, PROGRAM)
    }

    pub(super) fn item(self, item: i64) -> Self {
        Self { work_item: Some(item), ..self }
    }

    pub(super) fn run(self, run: RunId) -> Self {
        Self { run: Some(run), ..self }
    }

    pub(super) fn pull_request(self, id: i64) -> Self {
        Self { pull_request: Some(id), ..self }
    }
}

/// The events so far.
pub(super) struct Timeline {
    style: Style,
    begun: Timestamp,
    known: BTreeSet<String>,
    said: Vec<String>,
}

impl Timeline {
    pub(super) fn begin(style: Style, begun: Timestamp, title: &str, universe: &Universe) -> Self {
        let timeline = Self { style, begun, known: BTreeSet::new(), said: Vec::new() };
        if let Style::Drawn { .. } = style {
            say("");
            say(&format!("  roundsman demo: {title}"));
            say(&format!(
                "  a pretend Azure DevOps, real git, real builds; look inside at {}",
                universe.emulator.url()
            ));
            say("");
        }
        timeline
    }

    /// Everything that was shown, to look for what must not be shown.
    pub(super) fn said(&self) -> String {
        self.said.join("\n")
    }

    pub(super) fn tell(&mut self, event: &Event) {
        let line = match self.style {
            Style::Json | Style::Silent => serde_json::to_string(event).unwrap_or_default(),
            Style::Drawn { colour } => {
                let since = event.time.duration_since(self.begun).as_millis();
                let seconds = format!("{}.{}", since / 1000, since % 1000 / 100);
                let actor = format!("{:<13}", event.actor);
                let actor = if colour { format!("\x1b[{}m{actor}\x1b[0m", event.hue) } else { actor };
                format!("  {seconds:>5} s  {actor} {}", event.what)
            }
        };
        if self.style != Style::Silent {
            say(&line);
        }
        self.said.push(line);
    }

    /// Tells what the universe shows for the first time.
    pub(super) fn look(&mut self, universe: &Universe) {
        let emulator = &universe.emulator;
        for build in emulator.builds() {
            let Some(result) = &build.result else { continue };
            let failed: Vec<String> = build.tasks.iter().flat_map(|task| task.errors.clone()).collect();
            let (hue, what) = if result == "succeeded" {
                (GOOD, format!("build {} is green", build.id))
            } else {
                (BAD, format!("build {} is red: {}", build.id, failed.join("; ")))
            };
            let event = Event { pull_request: build.pull_request, ..Event::new("pipeline", what, hue) };
            self.once(&format!("build {} {}", build.id, build.attempt), &event);
        }
        for pull in emulator.pull_requests() {
            let event = |actor, what, hue| Event::new(actor, what, hue).pull_request(pull.id);
            self.once(
                &format!("pull {}", pull.id),
                &event(
                    "roundsman",
                    format!("opens !{} “{}” from {}", pull.id, pull.title, pull.source),
                    PROGRAM,
                ),
            );
            for thread in pull.threads.iter().filter(|thread| !thread.is_system()) {
                for comment in &thread.comments {
                    let is_own = comment.author == universe.bot.id;
                    let (actor, hue) = if is_own { ("agent", AGENT) } else { ("reviewer", PERSON) };
                    // Our own replies begin with a line that names the commit; what was said is the last one.
                    let mut lines = comment.text.lines().map(|line| line.trim_start_matches('>').trim());
                    let is_words = |line: &&str| !line.is_empty() && !line.starts_with(['_', '#']);
                    let first = lines.rfind(is_words).unwrap_or_default();
                    let key = format!("thread {} {} {}", pull.id, thread.id, comment.id);
                    self.once(&key, &event(actor, format!("says: {first}"), hue));
                }
            }
            if pull.status == "completed" {
                self.once(
                    &format!("merged {}", pull.id),
                    &event("pull request", format!("!{} is merged into main", pull.id), GOOD),
                );
            }
        }
        for item in emulator.items() {
            let tags = item.tags.join(", ");
            let what = format!("is {} [{tags}]", item.state);
            self.once(
                &format!("item {} {what}", item.id),
                &Event::new("work item", what, PROGRAM).item(item.id),
            );
        }
    }

    /// Tells which turns began and ended, as the programs remember them.
    pub(super) fn follow(&mut self, runs: &[Run]) {
        for run in runs {
            for turn in &run.turns {
                let event = |what| Event::new("agent", what, AGENT).run(run.id);
                let begins = event(format!("turn {} begins: {}", turn.number, turn.kind));
                self.once(&format!("turn {} {}", run.id, turn.number), &begins);
                if let Some(TurnEnd::Pushed { head }) = &turn.end {
                    let pushed =
                        event(format!("turn {} pushed {} to {}", turn.number, head.short(), run.branch()));
                    self.once(&format!("turn {} {} over", run.id, turn.number), &pushed);
                }
            }
        }
    }

    fn once(&mut self, key: &str, event: &Event) {
        if self.known.insert(key.to_owned()) {
            self.tell(event);
        }
    }

    pub(super) fn end(&mut self, summary: &Summary) {
        match self.style {
            Style::Json => say(&serde_json::to_string(summary).unwrap_or_default()),
            Style::Drawn { .. } | Style::Silent => {
                if self.style != Style::Silent {
                    say("");
                }
                for line in summary.lines() {
                    say(&line);
                }
            }
        }
    }
}
