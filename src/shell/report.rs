//! What one invocation did: counted, listed, explained. Rendered as a log line, as JSON and as an exit code.

use crate::{ado::Operation, domain::RunId, doorbell, exit::Exit};
use serde::Serialize;
use std::collections::BTreeMap;

/// What one invocation did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// `poller` or `watcher`.
    pub program: &'static str,
    /// One line per run or candidate, ordered.
    pub lines: Vec<Line>,
    /// Candidates that were not looked at in this invocation; the next ones get to them.
    #[serde(skip_serializing_if = "is_zero")]
    pub not_looked_at: u32,
    /// Why nothing was even tried, if so.
    pub held: Option<String>,
    /// Azure DevOps calls by operation.
    pub calls: BTreeMap<String, u32>,
    /// Of these, reads.
    pub reads: u32,
    /// Of these, writes.
    pub writes: u32,
    /// What became of the doorbells' rings.
    pub rings: doorbell::Report,
    /// What failed beyond single runs.
    #[serde(skip)]
    pub exit: Option<Exit>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What happened to one run or candidate.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The run, once there is one.
    pub run: Option<RunId>,
    /// The work item.
    pub item: u32,
    /// One word: the decision, `claimed`, `refused`, `lost`, `failed`.
    pub what: &'static str,
    /// One sentence.
    pub why: String,
    /// The stage afterwards, in one word.
    pub stage: Option<&'static str>,
    /// Whether it went wrong in a way that an operator should see.
    pub failed: bool,
}

impl Report {
    /// Of a program.
    pub fn new(program: &'static str) -> Self {
        Self { program, ..Self::default() }
    }

    /// Adds the calls that were made.
    pub fn count(&mut self, calls: &BTreeMap<Operation, u32>) {
        for (operation, n) in calls {
            *self.calls.entry(format!("{operation:?}")).or_default() += n;
            if operation.is_write() { self.writes += n } else { self.reads += n }
        }
    }

    /// Logs every line and a summary.
    pub fn log(&self) {
        for line in &self.lines {
            let run = line.run.map(|run| run.to_string()).unwrap_or_default();
            if line.failed {
                tracing::error!(run.id = %run, work_item.id = line.item, what = line.what, "{}", line.why);
            } else {
                tracing::info!(run.id = %run, work_item.id = line.item, what = line.what, "{}", line.why);
            }
        }
        let held = self.held.as_deref().unwrap_or_default();
        tracing::info!(
            program = self.program,
            lines = self.lines.len(),
            ado.reads = self.reads,
            ado.writes = self.writes,
            not_looked_at = self.not_looked_at,
            held,
            "{} done",
            self.program
        );
    }

    /// Every run or candidate with what would be done and why, for people.
    pub fn table(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_header(["ITEM", "RUN", "WHAT", "WHY"]);
        for line in &self.lines {
            let run = line.run.map(|run| run.to_string()).unwrap_or_default();
            table.add_row([line.item.to_string(), run, line.what.to_owned(), line.why.clone()]);
        }
        let mut text = table.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n");
        if self.not_looked_at > 0 {
            text += &format!("\n{} more wait and were not looked at this time", self.not_looked_at);
        }
        text
    }

    /// What the process says to cron.
    pub fn exit(&self) -> Exit {
        match self.exit {
            Some(exit) => exit,
            None if self.lines.iter().any(|line| line.failed) => Exit::SomeFailed,
            None => Exit::Ok,
        }
    }
}
