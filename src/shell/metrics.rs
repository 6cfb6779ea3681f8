//! What the last invocation came to, as a file for node exporter's textfile collector. Counting is nobody's business but
//! the operator's: a file that cannot be written, or a disk that hangs, stops nothing.

use super::report::Report;
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::mpsc::channel,
    thread,
    time::Duration,
};

/// A disk that needs longer for two kilobytes hangs, and we do not wait with it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Leaves the counters of one invocation in `directory`.
pub fn leave(directory: &Path, report: &Report, at: Timestamp) {
    let text = render(report, at);
    let path = directory.join(format!("roundsman-{}.prom", report.program));
    let (done, wait) = channel();
    // Not waited for beyond our patience: the end of the process ends it.
    let thread = thread::Builder::new().name("metrics".into()).spawn(move || done.send(write(&path, &text)));
    match thread.map(|_| wait.recv_timeout(PATIENCE)) {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(why))) | Err(why) => tracing::warn!("the metrics were not written: {}", why.kind()),
        Ok(Err(_)) => tracing::warn!("the metrics were not written in time"),
    }
}

/// In one piece: a collector that reads at the same time sees the old or the new.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&beside);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    let moved = written.and_then(|()| fs::rename(&beside, path));
    if moved.is_err() {
        // Left there, it would only be in the way.
        let _ = fs::remove_file(&beside);
    }
    moved
}

/// Gauges of the last invocation; a collector that scrapes sees each once.
fn render(report: &Report, at: Timestamp) -> String {
    let program = report.program;
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, values: &[(String, u64)]| {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "# HELP roundsman_{name} {help}\n# TYPE roundsman_{name} gauge");
        for (labels, value) in values {
            let more = if labels.is_empty() { String::new() } else { format!(",{labels}") };
            let _ = writeln!(text, "roundsman_{name}{{program=\"{program}\"{more}}} {value}");
        }
    };
    let one = |value: u64| [(String::new(), value)];
    let by = |label: &str, words: &mut dyn Iterator<Item = &str>| {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for word in words {
            *counts.entry(word).or_default() += 1;
        }
        // Words of closed vocabularies: nothing to escape.
        counts.into_iter().map(|(word, count)| (format!("{label}=\"{word}\""), count)).collect::<Vec<_>>()
    };
    gauge("last_run_timestamp_seconds", "When it last ran.", &one(at.as_second().unsigned_abs()));
    gauge("exit_code", "How it ended.", &one(report.exit().code().into()));
    gauge("held", "Whether it was kept from even trying.", &one(u64::from(report.held.is_some())));
    let what = by("what", &mut report.lines.iter().map(|line| line.what));
    gauge("lines", "Runs or candidates by what was done.", &what);
    let stages = by("stage", &mut report.lines.iter().filter_map(|line| line.stage));
    gauge("runs", "Runs by stage afterwards.", &stages);
    let failed = report.lines.iter().filter(|line| line.failed).count();
    gauge("failed", "Runs or candidates that went wrong.", &one(failed as u64));
    let calls: Vec<_> = report
        .calls
        .iter()
        .map(|(operation, count)| (format!("operation=\"{operation}\""), u64::from(*count)))
        .collect();
    gauge("ado_calls", "Azure DevOps calls by operation.", &calls);
    gauge("ado_reads", "Of these, reads.", &one(report.reads.into()));
    gauge("ado_writes", "Of these, writes.", &one(report.writes.into()));
    let rings = [
        ("outcome=\"delivered\"".to_owned(), report.rings.delivered.into()),
        ("outcome=\"failed\"".to_owned(), report.rings.failed.into()),
        ("outcome=\"dropped\"".to_owned(), report.rings.dropped.into()),
    ];
    gauge("rings", "Notifications by what became of them.", &rings);
    text
}

#[cfg(test)]
mod tests {
    use super::super::report::Line;
    use super::*;

    #[test]
    fn counters_are_in_the_form_that_collectors_read() {
        let line = |what, stage, failed| Line { run: None, item: 1, what, why: String::new(), stage, failed };
        let mut report = Report::new("watcher");
        report.lines = vec![
            line("wait", Some("in-review"), false),
            line("wait", Some("in-review"), false),
            line("failed", Some("claimed"), true),
        ];
        let text = render(&report, Timestamp::from_second(1_800_000_000).unwrap());
        for row in [
            "roundsman_last_run_timestamp_seconds{program=\"watcher\"} 1800000000",
            "roundsman_exit_code{program=\"watcher\"} 1",
            "roundsman_lines{program=\"watcher\",what=\"wait\"} 2",
            "roundsman_runs{program=\"watcher\",stage=\"in-review\"} 2",
            "roundsman_failed{program=\"watcher\"} 1",
            "roundsman_rings{program=\"watcher\",outcome=\"dropped\"} 0",
        ] {
            assert!(text.lines().any(|line| line == row), "{row}\n{text}");
        }
        let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert_eq!(names.len(), names.iter().collect::<std::collections::BTreeSet<_>>().len());
    }

    #[test]
    fn a_file_is_replaced_whole_and_a_missing_directory_stops_nothing() {
        let dir = tempfile::tempdir().unwrap();
        leave(dir.path(), &Report::new("watcher"), Timestamp::UNIX_EPOCH);
        leave(dir.path(), &Report::new("watcher"), Timestamp::UNIX_EPOCH);
        let files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(files, ["roundsman-watcher.prom"]);
        leave(&dir.path().join("nowhere"), &Report::new("poller"), Timestamp::UNIX_EPOCH);
    }
}
