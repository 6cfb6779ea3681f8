//! The promises of the design that can be checked from outside, checked on what is left when the demo is over.

use super::{programs::Counts, universe::Universe};
use crate::{
    domain::{Run, RunId, Stage, Worker, WorkerState},
    shell::App,
    words::Marker,
};
use jiff::SignedDuration;
use serde::Serialize;
use serde_json::Value;
use std::{fs, path::Path};

/// What only the play itself can count.
pub(super) struct Facts {
    pub(super) item: i64,
    pub(super) idle_writes: usize,
    pub(super) rings: Vec<Value>,
    pub(super) said: String,
    pub(super) counts: Counts,
    pub(super) wall: SignedDuration,
    /// How often the model was asked, and refused; nothing when there is none.
    pub(super) talk: Option<(usize, usize)>,
    /// The model's key, to look for where it must not be.
    pub(super) key: Option<String>,
}

/// How it ended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    outcome: String,
    run: Option<RunId>,
    turns: usize,
    ticks: u32,
    polls: u32,
    ado_reads: u32,
    ado_writes: u32,
    wall_milliseconds: i128,
    promises: Vec<Promise>,
}

/// One promise.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Promise {
    pub(super) name: &'static str,
    pub(super) kept: bool,
    pub(super) found: String,
}

impl Summary {
    /// How a play ended whose runs these are, newest first.
    pub(super) fn of(runs: &[Run], promises: Vec<Promise>, facts: &Facts) -> Self {
        let run = runs.first();
        let outcome = match run.map(|run| &run.stage) {
            Some(Stage::Closed { outcome, .. }) => outcome.word().to_owned(),
            Some(stage) => stage.word().to_owned(),
            None => "nothing claimed".into(),
        };
        Self {
            outcome,
            run: run.map(|run| run.id),
            turns: run.map_or(0, |run| run.turns.len()),
            ticks: facts.counts.ticks,
            polls: facts.counts.polls,
            ado_reads: facts.counts.reads,
            ado_writes: facts.counts.writes,
            wall_milliseconds: facts.wall.as_millis(),
            promises,
        }
    }

    /// Whether all of it happened and every promise was kept.
    pub(super) fn is_kept(&self) -> bool {
        self.promises.iter().all(|promise| promise.kept)
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .promises
            .iter()
            .map(|p| format!("  {} {:<13} {}", if p.kept { "✓" } else { "✗" }, p.name, p.found))
            .collect();
        lines.push(String::new());
        lines.push(format!(
            "  {} after {} turns, {} polls and {} ticks; Azure DevOps was read {} times and written {} times; {}.{} s",
            self.outcome, self.turns, self.polls, self.ticks, self.ado_reads, self.ado_writes,
            self.wall_milliseconds / 1000,
            self.wall_milliseconds % 1000 / 100
        ));
        lines
    }
}

/// Looks at what is left.
pub(super) async fn check(universe: &Universe, app: &App, facts: Facts) -> Summary {
    let runs = app.store.recent(10).await.unwrap_or_default();
    let item = universe.emulator.item(facts.item);
    let pulls = universe.emulator.pull_requests();
    let promise = |name, kept, found: String| Promise { name, kept, found };
    let mut promises = Vec::new();

    let state =
        item.as_ref().map(|item| format!("{} [{}]", item.state, item.tags.join(", "))).unwrap_or_default();
    let closed = item.as_ref().is_some_and(|item| item.category == "Completed" && item.tags.is_empty());
    promises.push(promise("closed", closed, format!("the work item is {state}")));
    promises.push(promise("one-epoch", runs.len() == 1, format!("{} claim", runs.len())));
    let merged = pulls.iter().filter(|pull| pull.status == "completed").count();
    promises.push(promise(
        "one-pr",
        pulls.len() == 1 && merged == 1,
        format!("{} pull request, {merged} merged", pulls.len()),
    ));

    let comments = item.as_ref().map(|item| item.comments.as_slice()).unwrap_or_default();
    let progress = comments.iter().filter(|c| !c.deleted && Marker::find(&c.text).is_some()).count();
    promises.push(promise(
        "say-once",
        progress == 1 && facts.rings.len() == 1,
        format!("{progress} progress comment, {} ring of the doorbell", facts.rings.len()),
    ));

    let results: Vec<String> =
        universe.emulator.builds().into_iter().filter_map(|build| build.result).collect();
    let was_red =
        results.first().is_some_and(|result| result == "failed") && results.iter().any(|r| r == "succeeded");
    promises.push(promise("truth", was_red, format!("builds: {}", results.join(", "))));
    let answered =
        pulls.iter().flat_map(|pull| &pull.threads).filter(|thread| !thread.is_system()).all(|thread| {
            thread.comments.iter().filter(|comment| comment.author == universe.bot.id).count() == 1
        });
    promises.push(promise("answered", answered, "every thread has exactly one reply of ours".into()));
    if let Some((asked, refused)) = facts.talk {
        let found = format!("the model was asked {asked} times and refused {refused}");
        promises.push(promise("real-agent", asked > 0 && refused == 0, found));
    }
    promises.extend(always(universe, app, &facts).await);

    Summary::of(&runs, promises, &facts)
}

/// What every play must keep, whatever its road.
pub(super) async fn always(universe: &Universe, app: &App, facts: &Facts) -> Vec<Promise> {
    let promise = |name, kept, found: String| Promise { name, kept, found };
    let mut promises = vec![promise(
        "idle-safe",
        facts.idle_writes == 0,
        format!("{} writes in one more poll and tick", facts.idle_writes),
    )];
    let leaks = leaks(universe, facts);
    promises.push(promise(
        "no-secret",
        leaks.is_empty(),
        if leaks.is_empty() {
            "no secret is in any output, comment, branch, log or database".into()
        } else {
            format!("a secret is in {}", leaks.join(", "))
        },
    ));
    let is_open = app.store.in_flight().await.is_ok_and(|runs| !runs.is_empty());
    let workers = app.runtime.workers().await.map(|all| all.into_values().flatten().collect::<Vec<_>>());
    let (left, found) = if is_open {
        // Evidence stays while people are asked.
        let live = |worker: &Worker| matches!(worker.state, WorkerState::Running { .. });
        (workers.map(|all| all.iter().filter(|worker| live(worker)).count()), "nothing is at work any more")
    } else {
        (workers.map(|all| all.len()), "nothing is left of the run on the executor")
    };
    promises.push(promise("cleaned", matches!(left, Ok(0)), found.into()));
    let unknown = universe.emulator.unknown_requests();
    promises.push(promise(
        "understood",
        unknown.is_empty(),
        format!("{} requests that Azure DevOps does not know", unknown.len()),
    ));

    promises
}

/// Everywhere the token, or the form in which it travels, or the model's key was found.
fn leaks(universe: &Universe, facts: &Facts) -> Vec<String> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let mut forms = vec![universe.token.clone(), BASE64_STANDARD.encode(format!(":{}", universe.token))];
    forms.extend(facts.key.clone());
    let holds = |text: &[u8]| {
        forms.iter().any(|form| text.windows(form.len()).any(|window| window == form.as_bytes()))
    };
    let mut found = Vec::new();
    if holds(facts.said.as_bytes()) {
        found.push("the timeline".to_owned());
    }
    let shown =
        format!("{:?} {:?} {:?}", universe.emulator.items(), universe.emulator.pull_requests(), facts.rings);
    if holds(shown.as_bytes()) {
        found.push("Azure DevOps or the doorbell".to_owned());
    }
    search(&universe.state_dir, &holds, &mut found);
    found
}

fn search(directory: &Path, holds: &impl Fn(&[u8]) -> bool, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            search(&path, holds, found);
        } else if fs::read(&path).is_ok_and(|bytes| holds(&bytes)) {
            found.push(path.display().to_string());
        }
    }
}
