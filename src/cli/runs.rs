//! Looking at runs: list, show, explain. Reads only.

use super::{evidence, say};
use crate::{
    domain::{Run, RunId, Stage, TurnEnd, WorkItemId},
    exit::Exit,
    shell::{App, evidence as left_by, explain as looked},
};
use comfy_table::Table;

/// Closed runs shown at most.
const RECENT: u32 = 50;

pub(super) async fn list(app: &App, all: bool, json: bool) -> Exit {
    let runs = if all { app.store.recent(RECENT).await } else { app.store.in_flight().await };
    let runs = match runs {
        Ok(runs) => runs,
        Err(why) => return complain(&why.to_string(), (&why).into()),
    };
    if json {
        for run in &runs {
            say(&serde_json::to_string(run).unwrap_or_default());
        }
        return Exit::Ok;
    }
    if runs.is_empty() {
        say("no runs");
        return Exit::Ok;
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header([
        "RUN",
        "STAGE",
        "TURNS",
        "PULL REQUEST",
        "REPOSITORY",
        "TITLE",
    ]);
    for run in &runs {
        let pull_request = run.pull_request.map(|id| format!("!{id}")).unwrap_or_default();
        table.add_row([
            run.id.to_string(),
            stage(run),
            run.turns.len().to_string(),
            pull_request,
            run.repository.path(),
            run.title.clone(),
        ]);
    }
    say(&table.to_string());
    Exit::Ok
}

fn stage(run: &Run) -> String {
    match &run.stage {
        Stage::Working { turn, step, .. } => format!("working: {} {step}", turn.kind),
        Stage::Closed { outcome, .. } => format!("closed: {}", outcome.word()),
        Stage::Claimed | Stage::Pushed { .. } | Stage::InReview { .. } | Stage::Escalated { .. } => {
            run.stage.word().to_owned()
        }
    }
}

pub(super) async fn show(app: &App, id: &str, json: bool, file: Option<&str>) -> Exit {
    let run = match find(app, id).await {
        Ok(run) => run,
        Err(exit) => return exit,
    };
    if let Some(name) = file {
        return evidence::print(app, &run, name).await;
    }
    let history = match app.store.history(run.id).await {
        Ok(history) => history,
        Err(why) => return complain(&why.to_string(), (&why).into()),
    };
    let left = left_by::of_run(app, &run).await;
    if json {
        let left: Vec<_> = left
            .iter()
            .flat_map(|(turn, files)| files.iter().flatten().map(move |file| (turn, file)))
            .map(|(turn, file)| serde_json::json!({ "turn": turn, "path": file.path, "bytes": file.bytes }))
            .collect();
        say(&serde_json::json!({ "run": run, "history": history, "evidence": left }).to_string());
        return Exit::Ok;
    }
    say(&format!("run         {}  {}", run.id, run.title));
    say(&format!("stage       {}", stage(&run)));
    say(&format!("repository  {}  {} → {}", run.repository.path(), run.branch(), run.target));
    if let Some(id) = run.pull_request {
        say(&format!("pull request !{id}"));
    }
    for turn in &run.turns {
        let end = match &turn.end {
            Some(TurnEnd::Pushed { head }) => format!("pushed {}", head.short()),
            Some(TurnEnd::Answered) => "answered".to_owned(),
            Some(TurnEnd::Lost) => "lost by the executor".to_owned(),
            Some(TurnEnd::Failed) => "failed".to_owned(),
            None => "not over".to_owned(),
        };
        say(&format!("turn {:<3}    {:<12} {}  {end}", turn.number, turn.kind.word(), turn.trigger));
        if !turn.usage.is_nothing() {
            say(&format!("            used {}", turn.usage));
        }
    }
    evidence::list(&left);
    for note in history {
        say(&format!("{}  {:<10} {}", note.at, note.stage, note.text));
    }
    Exit::Ok
}

pub(super) async fn explain(app: &App, what: &str, json: bool) -> Exit {
    let explained = if let Ok(id) = what.parse::<RunId>() {
        let run = match find(app, &id.to_string()).await {
            Ok(run) => run,
            Err(exit) => return exit,
        };
        looked::run(app, &run).await
    } else if let Ok(id) = what.parse::<WorkItemId>() {
        looked::item(app, id).await
    } else {
        return complain("give a run (`4711-r12`) or a work item (`4711`)", Exit::Usage);
    };
    match explained {
        Ok(explained) if json => {
            say(&serde_json::to_string(&explained).unwrap_or_default());
            Exit::Ok
        }
        Ok(explained) => {
            let line = explained.line;
            // A decision's sentence begins with its word already.
            let begins = line.why.starts_with(line.what);
            say(&if begins { line.why } else { format!("{}: {}", line.what, line.why) });
            for rung in explained.way {
                say(&rung.to_string());
            }
            if !explained.open.is_empty() {
                say("What still stands between the pull request and its merge:");
            }
            for line in explained.open {
                say(&format!("  - {line}"));
            }
            Exit::Ok
        }
        Err(failure) => complain(&failure.to_string(), failure.exit()),
    }
}

async fn find(app: &App, id: &str) -> Result<Run, Exit> {
    let Ok(parsed) = id.parse::<RunId>() else {
        return Err(complain("a run is named like `4711-r12`; `roundsman ps --all` lists them", Exit::Usage));
    };
    match app.store.load(parsed).await {
        Ok(Some(run)) => Ok(run),
        Ok(None) => Err(complain(&format!("there is no run {parsed} here"), Exit::Usage)),
        Err(why) => Err(complain(&why.to_string(), (&why).into())),
    }
}

pub(super) fn complain(why: &str, exit: Exit) -> Exit {
    tracing::error!("{why}");
    exit
}
