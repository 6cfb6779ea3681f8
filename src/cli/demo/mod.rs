//! `roundsman demo`: the whole loop, live, on a real git repository against a pretend Azure DevOps.
//!
//! Poller and watcher are called as a scheduler would call them: one invocation after the other, each with settings,
//! memory and clock of its own; nothing is handed from one to the next. People act between the invocations. Exit
//! status 0 only if the work item ended closed by a merged pull request and every promise that can be seen from
//! outside was kept.

mod bell;
mod cast;
mod ground;
mod promises;
mod timeline;
pub mod universe;

use super::{image, program::Surroundings, say};
use crate::{
    exit::Exit,
    settings::Settings,
    shell::{
        App, Host,
        poll::{self, Mode},
        report::Report,
        tick,
    },
};
use bell::Bell;
use cast::{Agent, Cast};
use ground::Ground;
use jiff::Timestamp;
use std::{collections::BTreeMap, io, net::SocketAddr, path::PathBuf, time::Duration};
use timeline::{Event, Timeline};
use universe::Universe;

/// What the demo can be told.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// One JSON event a line, the summary last.
    #[arg(long)]
    json: bool,
    /// Draw the timeline even when nobody looks (standard output is not a terminal).
    #[arg(long)]
    timeline: bool,
    /// Keep repositories, state and logs in this directory.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Append all traffic of the pretend Azure DevOps to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Leave the pretend Azure DevOps running and print how to run poller and watcher by hand.
    #[arg(long)]
    serve: bool,
    /// Work items that wait when serving.
    #[arg(long, default_value_t = 3, value_name = "N")]
    items: u32,
    /// Port of the pretend Azure DevOps; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Who writes the code: our own stand-in, or a real agent whose model is played from a script.
    #[arg(long, value_enum, default_value_t)]
    agent: Agent,
    /// Where steps run.
    #[arg(long, value_enum, default_value_t)]
    runtime: cast::Runtime,
}

/// The scheduler's period, a few hundred times faster than cron.
const PERIOD: Duration = Duration::from_millis(150);

/// Runs the demo.
pub fn main(options: &Options, surroundings: &Surroundings) -> Exit {
    match Surroundings::block_on(run(options, surroundings)) {
        Ok(exit) => exit,
        Err(why) => {
            let _ = io::Write::write_fmt(
                &mut io::stderr().lock(),
                format_args!("the demo could not be set up: {why}\n"),
            );
            Exit::Bug
        }
    }
}

async fn run(options: &Options, surroundings: &Surroundings) -> io::Result<Exit> {
    let (ground, cast) = match gather(options, surroundings).await {
        Ok(both) => both,
        Err(refused) => {
            let _ = io::Write::write_fmt(&mut io::stderr().lock(), format_args!("{refused}\n"));
            return Ok(refused.exit());
        }
    };
    let mut host = surroundings.host.clone();
    if let Some(cast) = &cast {
        let given = host.environment.get("PATH").cloned().unwrap_or_default();
        host.environment.insert("PATH".to_owned(), cast.search_path(&given));
    }
    let scratch;
    let root = match &options.keep {
        Some(directory) => {
            std::fs::create_dir_all(directory)?;
            std::path::absolute(directory)?
        }
        None => {
            scratch = tempfile::Builder::new().prefix("roundsman-demo-").tempdir()?;
            scratch.path().to_owned()
        }
    };
    let at = SocketAddr::new(ground.address, options.port);
    let universe = Universe::build(&root, at, options.record.as_deref()).await?;
    let mut vars = settings(&universe, cast.as_ref(), &ground, options.agent);
    if options.serve {
        return serve(&universe, &vars, cast.is_some().then_some(&host), &host, options).await;
    }
    let bell = Bell::hang().await?;
    let style = match (options.json, options.timeline || surroundings.writes_to_terminal) {
        (true, _) => timeline::Style::Json,
        (false, true) => timeline::Style::Drawn { colour: surroundings.writes_to_terminal },
        (false, false) => timeline::Style::Silent,
    };
    vars.insert("ROUNDSMAN_DOORBELL_WEBHOOK".into(), bell.url());
    let mut play = Play {
        vars,
        host,
        timeline: Timeline::begin(style, surroundings.now, &universe),
        limit: options.agent.limit(options.runtime),
        ticks: 0,
        polls: 0,
        reads: 0,
        writes: 0,
        universe,
        bell,
        cast,
    };
    for said in ground.introduction().into_iter().chain(play.cast.as_ref().map(Cast::introduction)) {
        play.timeline.tell(&Event::program("demo", said));
    }
    let summary = Box::pin(play.perform()).await?;
    let kept = summary.is_kept();
    play.timeline.end(&summary);
    Ok(if kept { Exit::Ok } else { Exit::SomeFailed })
}

struct Play {
    universe: Universe,
    bell: Bell,
    cast: Option<Cast>,
    vars: BTreeMap<String, String>,
    host: Host,
    timeline: Timeline,
    /// When it is stuck.
    limit: Duration,
    ticks: u32,
    polls: u32,
    reads: u32,
    writes: u32,
}

impl Play {
    async fn perform(&mut self) -> io::Result<promises::Summary> {
        let begun = now();
        // A watcher that nobody has started would leave claims alone, so the poller waits for its first sign of life.
        self.watch().await?;
        let item = self.universe.file_item(&["ready-for-agent"])?;
        self.timeline.tell(
            &Event::person("product owner", format!("files work item {item} and labels it ready-for-agent"))
                .item(item),
        );
        while !self.is_over(item)
            && now().duration_since(begun) < jiff::SignedDuration::try_from(self.limit).unwrap_or_default()
        {
            self.poll().await?;
            self.watch().await?;
            self.timeline.look(&self.universe);
            for (pull, what) in self.universe.review()? {
                self.timeline
                    .tell(&Event::person("reviewer", format!("{what} (!{pull})")).pull_request(pull));
            }
            self.timeline.look(&self.universe);
            tokio::time::timeout(PERIOD, std::future::pending::<()>()).await.ok();
            self.timeline.look(&self.universe);
        }
        // One more tick on a world in which nothing happens any more.
        let before = self.universe.emulator.writes();
        self.poll().await?;
        self.watch().await?;
        let idle_writes = self.universe.emulator.writes() - before;
        let facts = promises::Facts {
            item,
            idle_writes,
            rings: self.bell.rings(),
            said: self.timeline.said(),
            ticks: self.ticks,
            polls: self.polls,
            reads: self.reads,
            writes: self.writes,
            wall: now().duration_since(begun),
            talk: self.cast.as_ref().map(Cast::talk),
            key: self.cast.as_ref().map(|cast| cast.key.clone()),
        };
        Ok(promises::check(&self.universe, &self.app().await?, facts).await)
    }

    fn is_over(&self, item: i64) -> bool {
        let is_closed = self.universe.emulator.item(item).is_some_and(|item| item.category == "Completed");
        is_closed && !self.bell.rings().is_empty()
    }

    async fn app(&self) -> io::Result<App> {
        let settings = Settings::from_vars(self.vars.clone().into_iter())
            .map_err(|why| io::Error::other(why.to_string()))?;
        App::open(settings, self.host.clone(), now()).await.map_err(io::Error::other)
    }

    async fn poll(&mut self) -> io::Result<()> {
        let app = self.app().await?;
        let report = poll::poll(&app, Mode::Real).await;
        self.polls += 1;
        self.note("poller", &app, &report).await;
        Ok(())
    }

    async fn watch(&mut self) -> io::Result<()> {
        let app = self.app().await?;
        let report = tick::tick(&app, Mode::Real).await;
        self.ticks += 1;
        self.note("watcher", &app, &report).await;
        Ok(())
    }

    /// Tells what a person would want to know of an invocation; its whole report is in `roundsman show`.
    async fn note(&mut self, who: &'static str, app: &App, report: &Report) {
        self.reads += report.reads;
        self.writes += report.writes;
        for line in &report.lines {
            let what = match line.what {
                "claimed" => format!("claims work item {}", line.item),
                "close" | "escalate" => line.why.clone(),
                _ if line.failed => line.why.clone(),
                _ => continue,
            };
            let event = Event::program(who, what).item(i64::from(line.item));
            self.timeline.tell(&match line.run {
                Some(run) => event.run(run),
                None => event,
            });
        }
        if let Some(held) = report.held.as_ref().filter(|_| report.exit.is_some()) {
            self.timeline.tell(&Event::program(who, held.clone()));
        }
        self.timeline.follow(&app.store.in_flight().await.unwrap_or_default());
    }
}

/// With which settings our programs find the universe, and who plays in it.
fn settings(
    universe: &Universe,
    cast: Option<&Cast>,
    ground: &Ground,
    agent: Agent,
) -> BTreeMap<String, String> {
    let provider = cast.map(|cast| cast.model.address().port());
    let cast = cast.map(Cast::vars).unwrap_or_default();
    universe.vars().into_iter().chain(cast).chain(ground.vars(agent, provider)).collect()
}

/// The ground and who plays on it; nothing is left running when one of them cannot be had.
async fn gather(
    options: &Options,
    surroundings: &Surroundings,
) -> Result<(Ground, Option<Cast>), cast::Refused> {
    let show = if surroundings.talks_to_terminal { image::Show::Drawn } else { image::Show::Plain };
    let ground = Ground::lay(options.runtime, options.agent, surroundings, show).await?;
    let cast = Cast::gather(options.agent, options.runtime, ground.address, surroundings).await?;
    Ok((ground, cast))
}

/// Leaves the universe running; people review by themselves, programs are run by whoever reads this.
async fn serve(
    universe: &Universe,
    vars: &BTreeMap<String, String>,
    player: Option<&Host>,
    host: &Host,
    options: &Options,
) -> io::Result<Exit> {
    for _ in 0..options.items {
        universe.file_item(&["ready-for-agent"])?;
    }
    say(&format!("# {} work items wait at {}", options.items, universe.emulator.url()));
    say("# Run these lines in another terminal, then the two programs as often as you like, as cron would:");
    if let Some(path) = player.and_then(|host| host.environment.get("PATH")) {
        say(&format!("export PATH={}", quoted(path)));
    }
    for (name, value) in vars {
        say(&format!("export {name}={}", quoted(value)));
    }
    let beside = host.worker.first().map(PathBuf::from).unwrap_or_default();
    for program in ["roundsman-watcher", "roundsman-poller"] {
        let path = beside.with_file_name(program);
        let how =
            if path.is_file() { path.display().to_string() } else { format!("cargo run --bin {program}") };
        say(&format!("#   {how}"));
    }
    say("# A reviewer looks at pull requests by themselves. Stop with Ctrl-C.");
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Ok),
            () = tokio::time::sleep(PERIOD) => {
                // People are refused now and then, for example by a policy; they try again.
                let _ = universe.review();
            }
        }
    }
}

/// For a POSIX shell.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// The demo plays a scheduler: it starts invocations, and each has a `now` of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "each pretended invocation reads its clock once, as an entry point does"
)]
fn now() -> Timestamp {
    Timestamp::now()
}
