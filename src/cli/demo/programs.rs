//! Our two programs as a scheduler calls them: one invocation after the other, each with settings, memory and clock of its
//! own; nothing is handed from one to the next.

use super::timeline::{Event, Timeline};
use crate::{
    domain::Run,
    settings::Settings,
    shell::{
        App, Host,
        poll::{self, Mode},
        report::Report,
        tick,
    },
};
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeMap, io};

/// One executor's scheduler, and what it counted.
pub(super) struct Programs {
    /// Settings of both programs.
    pub(super) vars: BTreeMap<String, String>,
    /// How far their clock is ahead of the real one.
    pub(super) ahead: SignedDuration,
    /// What this machine offers to steps.
    pub(super) host: Host,
    pub(super) counts: Counts,
}

/// How much was done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) ticks: u32,
    pub(super) polls: u32,
    pub(super) reads: u32,
    pub(super) writes: u32,
}

/// More than any play has.
const RUNS: u32 = 10;

impl Programs {
    pub(super) fn new(vars: BTreeMap<String, String>, host: Host) -> Self {
        Self { vars, ahead: SignedDuration::ZERO, host, counts: Counts::default() }
    }

    /// One invocation's application.
    pub(super) async fn app(&self) -> io::Result<App> {
        let settings = Settings::from_vars(self.vars.clone().into_iter())
            .map_err(|why| io::Error::other(why.to_string()))?;
        App::open(settings, self.host.clone(), now() + self.ahead).await.map_err(io::Error::other)
    }

    pub(super) async fn poll(&mut self, timeline: &mut Timeline) -> io::Result<Vec<Run>> {
        let app = self.app().await?;
        let report = poll::poll(&app, Mode::Real).await;
        self.counts.polls += 1;
        Ok(self.note("poller", &app, &report, timeline).await)
    }

    pub(super) async fn watch(&mut self, timeline: &mut Timeline) -> io::Result<Vec<Run>> {
        let app = self.app().await?;
        let report = tick::tick(&app, Mode::Real).await;
        self.counts.ticks += 1;
        Ok(self.note("watcher", &app, &report, timeline).await)
    }

    /// Tells what a person would want to know of an invocation; its whole report is in `roundsman show`.
    async fn note(
        &mut self,
        who: &'static str,
        app: &App,
        report: &Report,
        timeline: &mut Timeline,
    ) -> Vec<Run> {
        self.counts.reads += report.reads;
        self.counts.writes += report.writes;
        for line in &report.lines {
            let what = match line.what {
                "claimed" => format!("claims work item {}", line.item),
                "close" | "escalate" => line.why.clone(),
                _ if line.failed => line.why.clone(),
                _ => continue,
            };
            let event = Event::program(who, what).item(i64::from(line.item));
            timeline.tell(&match line.run {
                Some(run) => event.run(run),
                None => event,
            });
        }
        if let Some(held) = report.held.as_ref().filter(|_| report.exit.is_some()) {
            timeline.tell(&Event::program(who, held.clone()));
        }
        let runs = app.store.recent(RUNS).await.unwrap_or_default();
        timeline.follow(&runs);
        runs
    }
}

/// The demo plays a scheduler: it starts invocations, and each has a `now` of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "each pretended invocation reads its clock once, as an entry point does"
)]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}
