//! What every program of ours begins with: settings or all their problems, logging, one runtime, one application.

use crate::{
    exit::Exit,
    settings::Settings,
    shell::{
        App, Host, metrics,
        poll::{self, Mode},
        report::Report,
        tick,
    },
    telemetry,
};
use jiff::Timestamp;
use std::{
    io::{IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

/// How a step is started on this machine. `roundsman` plays the worker itself: `cargo run` builds one program only, and
/// a worker that lies beside it from an earlier day would not understand it.
fn worker(own: &Path) -> Vec<String> {
    if own.file_stem().is_some_and(|name| name == "roundsman") {
        return vec![own.display().to_string(), "worker".into()];
    }
    vec![own.with_file_name("roundsman-worker").display().to_string()]
}

/// What only an entry point may read: environment, clock, terminal and its own place.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The environment.
    pub vars: Vec<(String, String)>,
    /// The one `now` of this invocation.
    pub now: Timestamp,
    /// Whether standard error is a terminal.
    pub talks_to_terminal: bool,
    /// Whether standard output is a terminal.
    pub writes_to_terminal: bool,
    /// What this machine offers to steps.
    pub host: Host,
}

impl Surroundings {
    /// Reads them. For entry points only, once.
    #[expect(clippy::disallowed_methods, reason = "the one place where an invocation reads its clock")]
    pub fn read() -> Self {
        let own = std::env::current_exe().unwrap_or_else(|_| "roundsman".into());
        let worker = worker(&own);
        let vars: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let passed = |(name, _): &&(String, String)| PASSED_ON.contains(&name.to_ascii_uppercase().as_str());
        let environment = vars.iter().filter(passed).cloned().collect();
        Self {
            vars,
            now: Timestamp::now(),
            talks_to_terminal: std::io::stderr().is_terminal(),
            writes_to_terminal: std::io::stdout().is_terminal(),
            host: Host { worker, environment },
        }
    }

    /// Settings, logging and the application; then `work`; its exit is ours.
    pub fn with_app(&self, work: impl AsyncFnOnce(App) -> Exit) -> Exit {
        let _flush = telemetry::Flush;
        let settings = match self.settings() {
            Ok(settings) => settings,
            Err(exit) => return exit,
        };
        Self::block_on(async {
            match App::open(settings, self.host.clone(), self.now).await {
                Ok(app) => work(app).await,
                Err(why) => {
                    tracing::error!("{why}");
                    (&why).into()
                }
            }
        })
    }

    fn settings(&self) -> Result<Settings, Exit> {
        match Settings::from_vars(self.vars.iter().cloned()) {
            Ok(settings) => {
                telemetry::init(settings.log.level, settings.log.format, self.talks_to_terminal);
                Ok(settings)
            }
            Err(problems) => {
                // Before there is a log: standard error is where cron and people look.
                let _ = writeln!(std::io::stderr().lock(), "{}", problems.to_string().trim_end());
                Err(Exit::Settings)
            }
        }
    }

    /// One thread drives all input and output; files and git have their own.
    pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("the operating system gives a process its event queue")
            .block_on(work)
    }
}

/// What workers get of our environment: where programs are, and how the network is reached.
const PASSED_ON: [&str; 9] = [
    "PATH",
    "TMPDIR",
    "LANG",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "GIT_SSL_CAINFO",
];

/// The command line of the poller and the watcher.
#[derive(Debug, clap::Parser)]
struct Arguments {
    /// Say what would be done; write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print the report as JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// `roundsman-poller`.
pub fn poller(arguments: Vec<String>, surroundings: &Surroundings) -> ExitCode {
    one_shot(arguments, surroundings, "Claims labelled work items once, then exits.", async |app, mode| {
        poll::poll(app, mode).await
    })
}

/// `roundsman-watcher`.
pub fn watcher(arguments: Vec<String>, surroundings: &Surroundings) -> ExitCode {
    one_shot(arguments, surroundings, "Visits every run in flight once, then exits.", async |app, mode| {
        tick::tick(app, mode).await
    })
}

fn one_shot(
    arguments: Vec<String>,
    surroundings: &Surroundings,
    about: &'static str,
    work: impl AsyncFnOnce(&App, Mode) -> Report,
) -> ExitCode {
    use clap::{CommandFactory, FromArgMatches};
    let command = Arguments::command().about(about).version(env!("CARGO_PKG_VERSION"));
    let parsed =
        command.try_get_matches_from(arguments).and_then(|found| Arguments::from_arg_matches(&found));
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(refused) => {
            let _ = refused.print();
            return if refused.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    let mode = if parsed.dry_run { Mode::DryRun } else { Mode::Real };
    surroundings
        .with_app(async |app| {
            let report = work(&app, mode).await;
            report.log();
            if let (Some(directory), Mode::Real) = (&app.settings.metrics, mode) {
                metrics::leave(directory, &report, app.now);
            }
            if parsed.json {
                super::say(&serde_json::to_string(&report).unwrap_or_default());
            } else if mode == Mode::DryRun {
                super::say(&report.table());
                if let Some(held) = &report.held {
                    super::say(held);
                }
            }
            report.exit()
        })
        .into()
}
