//! What a turn leaves for people who want to know how it came about, below `/out/evidence`: what the agent was asked, what it
//! printed, what it changed, what it used up. Everything is redacted when it is written, and nothing grows without end.

use super::{
    agent::Session,
    git::Git,
    job::{Job, SAVE_LIMIT},
    machine::{self, now, text},
    secrets::Redactor,
};
use crate::{domain::Usage, runtime::process::files};
use serde::Serialize;
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Bytes of a log's beginning; nobody reads more.
pub(super) const LOG_CAP: u64 = 2 << 20;
/// Bytes of an event stream: whole file contents pass through it.
pub(super) const EVENTS_CAP: u64 = 16 << 20;
/// Bytes kept of the end of what is longer: the end says what failed.
const END_KEPT: usize = 32 << 10;
/// Bytes that wait for their line's end, so that a secret is seen whole.
const PENDING: usize = 64 << 10;
/// Bytes of the patch; a larger change is in the bundle anyway.
const PATCH_CAP: usize = 1 << 20;

/// A file that takes any amount of output, redacts it line by line, and keeps its beginning and its end.
pub(super) struct Sink {
    file: File,
    redactor: Redactor,
    cap: u64,
    written: u64,
    pending: Vec<u8>,
    left_out: u64,
    end: Vec<u8>,
}

impl Sink {
    /// Makes the file; one that is there already is never overwritten.
    pub(super) fn create(path: &Path, cap: u64, redactor: &Redactor) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        let redactor = redactor.clone();
        Ok(Self { file, redactor, cap, written: 0, pending: Vec::new(), left_out: 0, end: Vec::new() })
    }

    /// Takes bytes. A full disk is noticed elsewhere; it stops no output.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        let is_long = self.pending.len() > PENDING;
        let is_end = |byte: &u8| *byte == b'\n' || is_long && byte.is_ascii_whitespace();
        let ready = match self.pending.iter().rposition(is_end) {
            Some(last) => last + 1,
            None if is_long => self.pending.len(),
            None => return,
        };
        let ready: Vec<u8> = self.pending.drain(..ready).collect();
        self.put(&ready);
    }

    /// Writes what is still waiting.
    pub(super) fn finish(&mut self) {
        let rest = std::mem::take(&mut self.pending);
        self.put(&rest);
        if self.left_out > 0 {
            let end = std::mem::take(&mut self.end);
            let hidden = self.left_out.saturating_sub(end.len() as u64);
            _ = write!(self.file, "\n[{hidden} bytes are left out here]\n");
            _ = self.file.write_all(&self.redactor.redact(&end));
            self.left_out = 0;
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.left_out == 0 && self.written + bytes.len() as u64 <= self.cap {
            self.written += bytes.len() as u64;
            _ = self.file.write_all(&self.redactor.redact(bytes));
            return;
        }
        self.left_out += bytes.len() as u64;
        self.end.extend_from_slice(bytes);
        let surplus = self.end.len().saturating_sub(END_KEPT);
        self.end.drain(..surplus);
    }
}

/// One call of the agent, for `turn.json`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct CallNote {
    /// From 1.
    pub(super) number: u32,
    /// Why.
    pub(super) why: &'static str,
    /// Whether it went on with an earlier conversation.
    pub(super) resumed: bool,
    /// How long it took.
    pub(super) seconds: u64,
    /// How its process ended.
    pub(super) end: String,
    /// What it came to.
    pub(super) verdict: String,
    /// Lines of its output that nobody understood.
    pub(super) garbage_lines: u32,
    /// Its conversation.
    pub(super) session: Option<String>,
    /// What it used up.
    pub(super) usage: Usage,
}

#[derive(Serialize)]
struct TurnNote<'a> {
    agent: &'a str,
    program_version: &'a str,
    model: Option<&'a str>,
    result: &'a str,
    /// Whether it went on with the conversation of an earlier turn, and if not, why not.
    conversation: &'a str,
    usage: Usage,
    calls: &'a [CallNote],
}

/// Directory of the evidence.
pub(super) fn directory(job: &Job) -> PathBuf {
    job.spec.places.output.join("evidence")
}

impl Session<'_> {
    /// Leaves what can only be told at the end. Evidence that cannot be written changes no result.
    pub(super) fn leave_evidence(&self, result: &str) {
        let directory = directory(self.job);
        let call = self.call;
        let note = TurnNote {
            agent: &call.name,
            program_version: &self.version,
            model: call.model.as_deref(),
            result,
            conversation: &self.began,
            usage: self.usage,
            calls: &self.notes,
        };
        let write = |name: &str, bytes: &[u8]| {
            _ = files::write_atomically(&directory.join(name), &self.job.redactor.redact(bytes));
        };
        write("turn.json", &serde_json::to_vec_pretty(&note).unwrap_or_default());
        write("usage.json", &serde_json::to_vec_pretty(&self.usage).unwrap_or_default());
        let Ok(git) = Git::new(self.job, None).map(|git| git.unstoppable(now() + SAVE_LIMIT)) else { return };
        let Ok(tip) = self.tip(&git) else { return };
        if tip == self.base {
            return;
        }
        let diff = |options: &[&str]| {
            let mut arguments = vec!["diff", "--no-ext-diff", "--no-textconv", "--no-color"];
            arguments.extend(options);
            arguments.extend([self.base.as_str(), tip.as_str(), "--"]);
            git.local(&self.workspace, &arguments)
        };
        if let Ok(mut patch) = diff(&["--patch"]) {
            let left_out = patch.len().saturating_sub(PATCH_CAP);
            if left_out > 0 {
                patch.truncate(PATCH_CAP);
                patch.extend(format!("\n[{left_out} bytes are left out; the bundle has them]\n").bytes());
            }
            write("diff.patch", &patch);
        }
        if let Ok(stat) = diff(&["--stat"]) {
            write("stat.txt", &stat);
        }
    }
}

/// Writes a brief as it was told, but redacted where people read it.
pub(super) fn keep_brief(job: &Job, stem: &str, brief: &str) -> io::Result<PathBuf> {
    let place = directory(job).join(format!("{stem}.brief.md"));
    machine::write(place.clone(), &job.redactor.redact(brief.as_bytes()))
        .map_err(|error| io::Error::other(format!("{}: {error}", text(&place))))?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sunk(cap: u64, chunks: &[&[u8]]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut redactor = Redactor::default();
        redactor.learn("canary-0123456789-canary");
        let mut sink = Sink::create(&path, cap, &redactor).unwrap();
        for chunk in chunks {
            sink.take(chunk);
        }
        sink.finish();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_secret_is_gone_however_the_pipe_cut_it() {
        assert_eq!(
            sunk(1_000, &[b"key=canary-01234", b"56789-canary end\nlast"]),
            "key=[redacted] end\nlast"
        );
        let long = "x".repeat(PENDING);
        let text = sunk(1 << 20, &[long.as_bytes(), b" canary-0123", b"456789-canary\n"]);
        assert!(text.ends_with("[redacted]\n") && text.len() > PENDING, "{}", &text[PENDING..]);
    }

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        let line = format!("{}\n", "y".repeat(999));
        let mut chunks = vec![&b"first\n"[..]];
        chunks.extend(std::iter::repeat_n(line.as_bytes(), 200));
        chunks.push(b"key=canary-0123456789-canary last\n");
        let text = sunk(10_000, &chunks);
        assert!(text.starts_with("first\n") && text.ends_with("key=[redacted] last\n"), "{}", &text[..20]);
        assert!(text.contains("bytes are left out here]") && text.len() < 10_000 + END_KEPT + 100);
    }
}
