//! What an operator does to runs: claim now, stop, hold, let go on. The acts are the shell's; this is only their command line.

use super::{runs::complain, say};
use crate::{
    domain::{Run, WorkItemId},
    exit::Exit,
    shell::{
        App,
        hands::{self, Hand},
        one,
        poll::Failure,
        report::Line,
    },
};

/// The run that is meant.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// A run (`4711-r12`) or a work item (`4711`).
    what: String,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

/// Lays a hand on a run in flight.
pub(super) async fn lay(app: &App, which: &Which, hand: Hand) -> Exit {
    let runs = match app.store.in_flight().await {
        Ok(runs) => runs,
        Err(why) => return complain(&why.to_string(), (&why).into()),
    };
    let what = &which.what;
    let is_meant = |run: &&Run| run.id.to_string() == *what || run.id.item.to_string() == *what;
    match runs.iter().rev().find(is_meant) {
        Some(run) => told(hands::lay_hand(app, run, hand).await, which.json),
        None => complain(&format!("no run in flight is `{what}`; `roundsman ps` lists them"), Exit::Usage),
    }
}

/// Claims one item now.
pub(super) async fn claim(app: &App, item: &str, json: bool) -> Exit {
    let Ok(id) = item.parse::<WorkItemId>() else {
        return complain("give a work item by its number, for example `4711`", Exit::Usage);
    };
    told(one::claim(app, id).await, json)
}

/// Words of a line that say that the thing asked for was not done, or that nobody knows.
const NOT_DONE: [&str; 5] = ["refused", "lost", "superseded", "unsettled", hands::NOT_DONE];

/// What came of it, as data. What was not done is no success: scripts hear it.
fn told(done: Result<Line, Failure>, json: bool) -> Exit {
    let line = match done {
        Ok(line) => line,
        Err(failure) => return complain(&failure.to_string(), failure.exit()),
    };
    if json {
        say(&serde_json::to_string(&line).unwrap_or_default());
    } else {
        let run = line.run.map(|run| format!("{run}: ")).unwrap_or_default();
        say(&format!("{run}{}: {}", line.what, line.why));
    }
    if line.failed || NOT_DONE.contains(&line.what) { Exit::SomeFailed } else { Exit::Ok }
}
