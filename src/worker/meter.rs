//! Watches one call of an agent: reads its stream as it comes, counts what is used up, and says when that is too much.
//!
//! Counts, and ends nothing itself. Steps, tokens and money are the turn's, all calls together; disk is measured below
//! the directories that the agent writes to.

use super::{child::Watch, evidence::Sink};
use crate::{
    agents::stream::{Dialect, Reader, Summary},
    domain::Usage,
    runtime::spec::Limits,
};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

/// Shortest pause between two measurements of the disk.
const DISK_PAUSE: Duration = Duration::from_secs(1);
/// A measurement rests so many times as long as it took: a tenth of a core at most.
const DISK_REST: u32 = 10;
/// Size of the blocks in which `stat` counts, whatever the file system's own are.
const BLOCK: u64 = 512;

/// One call's meter.
pub(super) struct Meter {
    dialect: Dialect,
    limits: Limits,
    /// What the turn used up before this call.
    turn: Usage,
    /// What the session had used up before this call, where its program counts sessions.
    session: Usage,
    disk: Arc<AtomicU64>,
    state: Mutex<State>,
}

struct State {
    reader: Reader,
    summary: Summary,
    events: Option<Sink>,
}

/// What a call said, once it is over.
pub(super) struct Heard {
    pub(super) summary: Summary,
    /// What this call used up.
    pub(super) usage: Usage,
    /// What the session used up, as its program counts it.
    pub(super) session: Usage,
    pub(super) garbage: u32,
}

impl Meter {
    /// For one call; `session` is what the conversation that it goes on with had used up, as its program counted.
    pub(super) fn new(
        dialect: Dialect,
        limits: &Limits,
        turn: Usage,
        session: Usage,
        events: Option<Sink>,
    ) -> Self {
        let session = if dialect.counts_sessions() { session } else { Usage::default() };
        let state = State { reader: Reader::new(dialect), summary: Summary::new(dialect), events };
        let (limits, disk) = (limits.clone(), Arc::new(AtomicU64::new(0)));
        Self { dialect, limits, turn, session, disk, state: Mutex::new(state) }
    }

    /// Measures the disk until the guard is dropped.
    pub(super) fn measure(&self, places: Vec<PathBuf>) -> Guard {
        let (stop, stopped) = mpsc::channel();
        let disk = Arc::clone(&self.disk);
        thread::spawn(move || {
            let mut pause = DISK_PAUSE;
            // Ends when the guard is gone, whatever comes first.
            while stopped.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
                let began = super::machine::now();
                disk.store(places.iter().map(|place| size(place)).sum(), Ordering::SeqCst);
                pause = (began.elapsed() * DISK_REST).max(DISK_PAUSE);
            }
        });
        Guard { _stop: stop }
    }

    /// The call is over: half a line counts as a whole one.
    pub(super) fn finish(&self) -> Heard {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let events = state.reader.end();
        state.summary.note_all(events);
        if let Some(events) = &mut state.events {
            events.finish();
        }
        let summary = state.summary.clone();
        let usage = Usage { calls: 1, ..self.of_call(&summary) };
        let session = if summary.usage.has_tokens() { summary.usage } else { self.session };
        Heard { usage, session, garbage: state.reader.garbage(), summary }
    }

    fn of_call(&self, summary: &Summary) -> Usage {
        if summary.usage.has_tokens() { summary.usage.since(&self.session) } else { summary.usage }
    }
}

impl Watch for Meter {
    fn output(&self, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let events = state.reader.feed(bytes);
        state.summary.note_all(events);
        if let Some(sink) = &mut state.events {
            sink.take(bytes);
        }
    }

    fn cut(&self) -> Option<String> {
        let disk = self.disk.load(Ordering::SeqCst);
        if disk > self.limits.disk_bytes {
            return Some(format!("{disk} bytes of disk, of {} allowed", self.limits.disk_bytes));
        }
        let used = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            self.turn + self.of_call(&state.summary)
        };
        exhausted(&used, &self.limits)
    }

    fn is_logged(&self) -> bool {
        self.dialect == Dialect::Plain
    }
}

/// What of `used` is more than a turn may use, in words.
pub(super) fn exhausted(used: &Usage, limits: &Limits) -> Option<String> {
    let cost = used.cost_micro_usd.or_else(|| limits.prices.map(|prices| prices.of(used))).unwrap_or(0);
    if used.steps > limits.steps {
        Some(format!("{} steps, of {} allowed", used.steps, limits.steps))
    } else if used.fresh_tokens() > limits.tokens {
        Some(format!("{} tokens, of {} allowed", used.fresh_tokens(), limits.tokens))
    } else if cost > limits.cost_micro_usd {
        Some(format!("{cost} micro dollars, of {} allowed", limits.cost_micro_usd))
    } else {
        None
    }
}

/// Ends a measurement when dropped.
pub(super) struct Guard {
    _stop: mpsc::Sender<()>,
}

/// Bytes on disk below a directory. Links are not followed; what vanishes meanwhile counts nothing.
fn size(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .filter_map(|entry| {
            let facts = fs::symlink_metadata(entry.path()).ok()?;
            let below = if facts.is_dir() { size(&entry.path()) } else { 0 };
            Some(facts.blocks() * BLOCK + below)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { steps: 3, tokens: 2_000, cost_micro_usd: 8_000, ..Limits::default() }
    }

    const STEP: &[u8] = br#"{"type":"step_finish","part":{"reason":"tool-calls","tokens":{"input":700,"output":35},"cost":0.003}}
"#;

    #[test]
    fn a_call_is_cut_when_the_turn_has_used_up_enough() {
        let cut_after = |turn: Usage, limits: &Limits| {
            let meter = Meter::new(Dialect::Opencode, limits, turn, Usage::default(), None);
            for step in 1..=10 {
                meter.output(STEP);
                if let Some(why) = meter.cut() {
                    return (step, why);
                }
            }
            panic!("never cut")
        };
        assert_eq!(cut_after(Usage::default(), &limits()).0, 3, "2205 tokens, 9000 micro dollars");
        assert!(cut_after(Usage::default(), &limits()).1.contains("tokens"));
        let (step, why) = cut_after(Usage::default(), &Limits { tokens: u64::MAX, ..limits() });
        assert!(step == 3 && why.contains("micro dollars"), "{why}");
        let generous = Limits { tokens: u64::MAX, cost_micro_usd: u64::MAX, ..limits() };
        assert_eq!(cut_after(Usage::default(), &generous), (4, "4 steps, of 3 allowed".into()));
        assert_eq!(cut_after(Usage { steps: 3, ..Usage::default() }, &generous).0, 1, "earlier calls count");
    }

    #[test]
    fn a_program_that_counts_sessions_is_charged_the_difference() {
        let told = |input: u64| {
            format!(
                "{{\"type\":\"turn.completed\",\"usage\":{{\"input_tokens\":{input},\"output_tokens\":10}}}}\n"
            )
        };
        let first = Meter::new(Dialect::Codex, &limits(), Usage::default(), Usage::default(), None);
        first.output(told(1_500).as_bytes());
        let first = first.finish();
        assert_eq!((first.usage.input_tokens, first.usage.calls), (1_500, 1));
        let second = Meter::new(Dialect::Codex, &limits(), first.usage, first.session, None);
        second.output(told(1_600).as_bytes());
        assert_eq!(second.cut(), None);
        let second = second.finish();
        assert_eq!((second.usage.input_tokens, second.session.input_tokens), (100, 1_600));
    }
}
