//! What an operator does to runs: claim now. The acts are the shell's; this is only their command line.

use super::{runs::complain, say};
use crate::{
    domain::WorkItemId,
    exit::Exit,
    shell::{App, one, poll::Failure, report::Line},
};

/// Claims one item now.
pub(super) async fn claim(app: &App, item: &str, json: bool) -> Exit {
    let Ok(id) = item.parse::<WorkItemId>() else {
        return complain("give a work item by its number, for example `4711`", Exit::Usage);
    };
    told(one::claim(app, id).await, json)
}

/// What came of it, as data. What was refused was not done: scripts hear it.
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
    let refused = ["refused", "lost", "superseded"].contains(&line.what);
    if line.failed || refused { Exit::SomeFailed } else { Exit::Ok }
}
