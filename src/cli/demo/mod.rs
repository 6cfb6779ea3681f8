//! `roundsman demo`: the whole loop, live, on a real git repository against a pretend Azure DevOps.
//!
//! Poller and watcher are called as a scheduler would call them: one invocation after the other, each with settings,
//! memory and clock of its own; nothing is handed from one to the next. People act between the invocations. Exit
//! status 0 only if the work item ended closed by a merged pull request and every promise that can be seen from
//! outside was kept.

mod bell;
mod cast;
mod ground;
mod programs;
mod promises;
mod story;
mod timeline;
pub mod universe;

use super::{image, program::Surroundings, say};
use crate::{exit::Exit, shell::Host};
use bell::Bell;
use cast::{Agent, Cast};
use ground::Ground;
use programs::{Programs, now};
use std::{collections::BTreeMap, io, net::SocketAddr, path::PathBuf, time::Duration};
use story::{Story, direct};
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
    /// At the end, write what a person would see of work items and pull requests to this file, as HTML.
    #[arg(long, value_name = "FILE", conflicts_with = "serve")]
    page: Option<PathBuf>,
    /// Another road than the straight one; played by processes of this machine, the agent is a script.
    #[arg(long, value_enum, conflicts_with_all = ["serve", "agent", "runtime"])]
    story: Option<Story>,
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
    let title = options.story.map_or("one label in, one merged pull request out", Story::title);
    let timeline = Timeline::begin(style, surroundings.now, title, &universe);
    if let Some(story) = options.story {
        let programs = Programs::new(vars, host);
        let emulator = universe.emulator.clone();
        let told = Box::pin(direct(story, universe, programs, timeline, bell, &root)).await?;
        options.page.as_ref().map_or(Ok(()), |file| std::fs::write(file, emulator.page()))?;
        return Ok(if told { Exit::Ok } else { Exit::SomeFailed });
    }
    let mut play = Play {
        programs: Programs::new(vars, host),
        timeline,
        limit: options.agent.limit(options.runtime),
        universe,
        bell,
        cast,
    };
    for said in ground.introduction().into_iter().chain(play.cast.as_ref().map(Cast::introduction)) {
        play.timeline.tell(&Event::program("demo", said));
    }
    let summary = Box::pin(play.perform()).await?;
    let kept = summary.is_kept();
    options.page.as_ref().map_or(Ok(()), |file| std::fs::write(file, play.universe.emulator.page()))?;
    play.timeline.end(&summary);
    Ok(if kept { Exit::Ok } else { Exit::SomeFailed })
}

struct Play {
    universe: Universe,
    bell: Bell,
    cast: Option<Cast>,
    programs: Programs,
    timeline: Timeline,
    /// When it is stuck.
    limit: Duration,
}

impl Play {
    async fn perform(&mut self) -> io::Result<promises::Summary> {
        let begun = now();
        // A watcher that nobody has started would leave claims alone, so the poller waits for its first sign of life.
        self.programs.watch(&mut self.timeline).await?;
        let item = self.universe.file_item(&["ready-for-agent"])?;
        self.timeline.tell(
            &Event::person("product owner", format!("files work item {item} and labels it ready-for-agent"))
                .item(item),
        );
        while !self.is_over(item)
            && now().duration_since(begun) < jiff::SignedDuration::try_from(self.limit).unwrap_or_default()
        {
            self.programs.poll(&mut self.timeline).await?;
            self.programs.watch(&mut self.timeline).await?;
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
        self.programs.poll(&mut self.timeline).await?;
        self.programs.watch(&mut self.timeline).await?;
        let idle_writes = self.universe.emulator.writes() - before;
        let facts = promises::Facts {
            item,
            idle_writes,
            rings: self.bell.rings(),
            said: self.timeline.said(),
            counts: self.programs.counts,
            wall: now().duration_since(begun),
            talk: self.cast.as_ref().map(Cast::talk),
            key: self.cast.as_ref().map(|cast| cast.key.clone()),
        };
        Ok(promises::check(&self.universe, &self.programs.app().await?, facts).await)
    }

    fn is_over(&self, item: i64) -> bool {
        let is_closed = self.universe.emulator.item(item).is_some_and(|item| item.category == "Completed");
        is_closed && !self.bell.rings().is_empty()
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
