//! The operator's program, and what all our programs begin with.
//!
//! Output of commands is data and goes to standard output; talk goes to standard error. Nothing here decides: every
//! verb calls the function that the shell itself uses.

mod act;
mod agents;
#[cfg(feature = "emulator")]
pub mod demo;
mod doctor;
mod evidence;
pub mod image;
pub mod program;
mod replay;
mod runs;

use crate::shell::hands::Hand;
use crate::{exit::Exit, settings::Settings};
use clap::{Parser, Subcommand};
use program::Surroundings;
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The name by which the worker is called.
const WORKER: &str = "roundsman-worker";

/// Turns labelled Azure DevOps work items into reviewed pull requests.
#[derive(Debug, Parser)]
#[command(name = "roundsman", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Watch the whole loop once, against a pretend Azure DevOps with a real git repository.
    #[cfg(feature = "emulator")]
    Demo(demo::Options),
    /// List the runs in flight.
    Ps {
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
        /// Closed runs too, newest first.
        #[arg(long)]
        all: bool,
    },
    /// Show one run: stage, turns, evidence, history.
    Show {
        /// For example `4711-r12`.
        run: String,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
        /// Print this piece of evidence instead, for example `t03/evidence/01-plan.log`.
        #[arg(long, value_name = "NAME", conflicts_with = "json")]
        file: Option<String>,
    },
    /// List the coding agents that can be called, and which of them were seen to work.
    Agents {
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Say what would be decided now about a run or a work item, and why; writes nothing.
    Explain {
        /// A run (`4711-r12`) or a work item (`4711`).
        what: String,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Try everything that a run needs, without writing anything: token, projects, repositories, executor, memory.
    Doctor {
        /// One JSON object per finding and line.
        #[arg(long)]
        json: bool,
    },
    /// Claim this work item now, as the poller would; no other item is looked at.
    Run {
        /// For example `4711`.
        item: String,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// End a run, as the stop label does: its item is handed back.
    Stop(act::Which),
    /// Hold a run: nothing is done for it until somebody lets it go on.
    Pause(act::Which),
    /// Let a run go on that is held, or with people.
    Resume(act::Which),
    /// Let a run that is with people go on; attempts are counted afresh.
    Retry(act::Which),
    /// Let go of a run's item; all work stays where it is.
    Release(act::Which),
    /// Decide again what `ROUNDSMAN_RECORD_FILE` recorded, and say what would be decided differently today.
    Replay {
        /// The record.
        file: PathBuf,
        /// Print the way through the ladder for each.
        #[arg(long)]
        explain: bool,
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Look at the settings.
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// The image in which steps run, when they run in containers.
    Image {
        #[command(subcommand)]
        verb: image::Verb,
    },
    /// A step of a turn, as the process runtime starts it.
    #[command(hide = true)]
    Worker {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Report every problem at once; print what holds.
    Check {
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the operator's program.
pub fn main(arguments: Vec<String>, surroundings: &Surroundings) -> ExitCode {
    // One program under two names: an image can be made from whatever runs.
    let called = arguments.first().map(Path::new).and_then(Path::file_name);
    if called.is_some_and(|name| name == WORKER) {
        return crate::worker::main(arguments.into_iter().skip(1));
    }
    let verb = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments.verb,
        Err(refused) => {
            let _ = refused.print();
            return if refused.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    let exit = match verb {
        #[cfg(feature = "emulator")]
        Verb::Demo(options) => demo::main(&options, surroundings),
        Verb::Ps { json, all } => surroundings.with_app(async move |app| runs::list(&app, all, json).await),
        Verb::Show { run, json, file } => {
            surroundings.with_app(async move |app| runs::show(&app, &run, json, file.as_deref()).await)
        }
        Verb::Agents { json } => agents::list(json),
        Verb::Explain { what, json } => {
            surroundings.with_app(async move |app| runs::explain(&app, &what, json).await)
        }
        Verb::Doctor { json } => surroundings.with_app(async move |app| doctor::run(&app, json).await),
        Verb::Run { item, json } => {
            surroundings.with_app(async move |app| act::claim(&app, &item, json).await)
        }
        Verb::Stop(which) => surroundings.with_app(async move |app| act::lay(&app, &which, Hand::Stop).await),
        Verb::Pause(which) => {
            surroundings.with_app(async move |app| act::lay(&app, &which, Hand::Pause).await)
        }
        Verb::Resume(which) => {
            surroundings.with_app(async move |app| act::lay(&app, &which, Hand::Resume).await)
        }
        Verb::Retry(which) => {
            surroundings.with_app(async move |app| act::lay(&app, &which, Hand::Retry).await)
        }
        Verb::Release(which) => {
            surroundings.with_app(async move |app| act::lay(&app, &which, Hand::Release).await)
        }
        Verb::Replay { file, explain, json } => replay::replay(&file, explain, json),
        Verb::Config { verb: ConfigVerb::Check { json } } => check(surroundings, json),
        Verb::Image { verb } => image::main(&verb, surroundings),
        Verb::Worker { arguments } => return crate::worker::main(arguments),
    };
    exit.into()
}

fn check(surroundings: &Surroundings, json: bool) -> Exit {
    match Settings::from_vars(surroundings.vars.iter().cloned()) {
        Ok(settings) => {
            if let Some(problem) = crate::shell::house_rules_problem(&settings) {
                if json {
                    say(&serde_json::json!({ "ok": false, "problems": [problem] }).to_string());
                } else {
                    say(&problem);
                }
                return Exit::Settings;
            }
            let warnings = settings.warnings();
            if json {
                say(
                    &serde_json::json!({ "ok": true, "settings": settings.describe(), "warnings": warnings })
                        .to_string(),
                );
            } else {
                say(settings.describe().trim_end());
                for warning in warnings {
                    say(&format!("warning: {warning}"));
                }
                say("settings are complete");
            }
            Exit::Ok
        }
        Err(problems) => {
            if json {
                let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
                say(&serde_json::json!({ "ok": false, "problems": list }).to_string());
            } else {
                say(problems.to_string().trim_end());
            }
            Exit::Settings
        }
    }
}

/// A line of data. A reader that went away is not our problem.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
