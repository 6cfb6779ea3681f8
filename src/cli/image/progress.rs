//! What `BuildKit` says while it builds (`--progress=plain`), read line by line, shown to whoever waits.
//!
//! Knows nothing about what is built.

use crate::runtime::process::files::plain;
use std::{
    collections::{BTreeMap, VecDeque},
    io::Write,
};

/// How progress is shown, always on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// A line that moves; for terminals.
    Drawn,
    /// A line for each step that ended.
    Plain,
    /// Nothing.
    Silent,
}

/// Characters of a step's title; the rest of a long command says nothing to people.
const TITLE: usize = 64;
/// Lines of a failed step that are kept: what went wrong stands at its end.
const TAIL: usize = 20;
/// How `BuildKit` calls the step in which it looks for a base image.
const METADATA: &str = "load metadata for ";

/// What a line says of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// Its title.
    Begun(String),
    /// It was done before, and nothing has changed.
    Kept,
    /// It took so many seconds.
    Done(String),
    /// It failed.
    Failed(String),
    /// A line of its output.
    Output(String),
}

/// The number of a step and what is said of it; none for everything else.
fn read(line: &str) -> Option<(u32, Said)> {
    let (number, rest) = line.strip_prefix('#')?.split_once(' ')?;
    let number = number.parse().ok()?;
    let said = if rest == "CACHED" {
        Said::Kept
    } else if let Some(seconds) = rest.strip_prefix("DONE ") {
        Said::Done(seconds.trim_end_matches('s').to_owned())
    } else if let Some(why) = rest.strip_prefix("ERROR") {
        Said::Failed(why.trim_start_matches(':').trim().to_owned())
    } else if let Some(title) = rest.strip_prefix('[') {
        let (place, command) = title.split_once(']')?;
        let command = command.split_whitespace().collect::<Vec<_>>().join(" ");
        Said::Begun(format!("{place}: {command}"))
    } else {
        let (seconds, text) = rest.split_once(' ')?;
        seconds.parse::<f64>().ok()?;
        Said::Output(text.to_owned())
    };
    Some((number, said))
}

/// Why a build failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// A base image cannot be had.
    Base {
        /// As it is named in the recipe.
        base: String,
        /// The engine's words.
        said: String,
    },
    /// A step.
    Step {
        /// One line.
        why: String,
        /// Its last lines.
        tail: String,
    },
}

/// Hears every line, shows steps, remembers what a failure is explained with.
pub(super) struct Board {
    show: Show,
    titles: BTreeMap<u32, String>,
    output: BTreeMap<u32, VecDeque<String>>,
    failed: Option<(u32, String)>,
    last: String,
}

impl Board {
    pub(super) fn new(show: Show) -> Self {
        Self { show, titles: BTreeMap::new(), output: BTreeMap::new(), failed: None, last: String::new() }
    }

    pub(super) fn hear(&mut self, line: &str) {
        let line = plain(line);
        let Some((step, said)) = read(&line) else {
            if !line.starts_with('#') && !line.trim().is_empty() {
                line.trim().clone_into(&mut self.last);
            }
            return;
        };
        match said {
            Said::Begun(title) => {
                self.titles.insert(step, title);
                self.show_running(step);
            }
            Said::Kept => self.show_end(step, "kept"),
            Said::Done(seconds) => self.show_end(step, &format!("{seconds} s")),
            Said::Failed(why) => {
                self.show_end(step, "failed");
                // The steps beside it are then cancelled, and say so too.
                if !why.contains("CANCELED") && self.failed.is_none() {
                    self.failed = Some((step, why));
                }
            }
            Said::Output(text) => {
                let output = self.output.entry(step).or_default();
                output.push_back(text);
                if output.len() > TAIL {
                    output.pop_front();
                }
            }
        }
    }

    /// To be asked when the client has ended badly.
    pub(super) fn failure(self) -> Failure {
        let Some((step, why)) = self.failed else {
            return Failure::Step { why: self.last, tail: String::new() };
        };
        let title = self.titles.get(&step).map(String::as_str).unwrap_or_default();
        if let Some((_, base)) = title.split_once(METADATA) {
            let base = base.strip_prefix("docker.io/").unwrap_or(base);
            let base = base.strip_prefix("library/").unwrap_or(base);
            return Failure::Base { base: base.to_owned(), said: why };
        }
        let tail = self.output.get(&step).into_iter().flatten().map(String::as_str).collect::<Vec<_>>();
        Failure::Step { why: format!("{}: {why}", cut(title)), tail: tail.join("\n") }
    }

    /// Ours, not the engine's own preparations.
    fn title(&self, step: u32) -> Option<String> {
        self.titles.get(&step).filter(|title| !title.starts_with("internal")).map(|title| cut(title))
    }

    fn show_running(&self, step: u32) {
        if let (Show::Drawn, Some(title)) = (self.show, self.title(step)) {
            let mut out = std::io::stderr().lock();
            let _ = write!(out, "\r\x1b[2K         … {title}").and_then(|()| out.flush());
        }
    }

    fn show_end(&self, step: u32, how: &str) {
        let Some(title) = self.title(step) else { return };
        let mut out = std::io::stderr().lock();
        let _ = match self.show {
            Show::Drawn => writeln!(out, "\r\x1b[2K{how:>8}  {title}"),
            Show::Plain => writeln!(out, "{how:>8}  {title}"),
            Show::Silent => Ok(()),
        };
    }
}

fn cut(title: &str) -> String {
    let short: String = title.chars().take(TITLE).collect();
    if short.len() < title.len() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(text: &str) -> Board {
        let mut board = Board::new(Show::Silent);
        text.lines().for_each(|line| board.hear(line));
        board
    }

    #[test]
    fn every_kind_of_line_is_read() {
        let begun = |title: &str| Said::Begun(title.into());
        for (line, said) in [
            ("#7 [agents 2/2] RUN   set -eu;     ls", Some((7, begun("agents 2/2: RUN set -eu; ls")))),
            ("#7 6.800 added 3 packages in 7s", Some((7, Said::Output("added 3 packages in 7s".into())))),
            ("#7 DONE 7.4s", Some((7, Said::Done("7.4".into())))),
            ("#8 CACHED", Some((8, Said::Kept))),
            ("#7 ERROR: exit code: 1", Some((7, Said::Failed("exit code: 1".into())))),
            ("#7 sha256:1db3d79a", None),
            ("#14 exporting layers 0.4s done", None),
            ("------", None),
            ("", None),
        ] {
            assert_eq!(read(line), said, "{line}");
        }
    }

    #[test]
    fn a_missing_base_is_told_from_a_failed_step() {
        let base = heard(
            "#3 [internal] load metadata for docker.io/library/node:22-bookworm-slim\n#4 [internal] x\n\
             #4 ERROR: CANCELED\n#3 ERROR: failed to do request: no such host\n------\nfailed to solve: y",
        );
        let Failure::Base { base, said } = base.failure() else { panic!("a step") };
        assert_eq!(
            (base.as_str(), said.as_str()),
            ("node:22-bookworm-slim", "failed to do request: no such host")
        );

        let step = heard(
            "#5 [worker 2/7] RUN apt-get update\n#5 1.2 Err:1 cannot\n#5 1.3 \x1b[31mresolve\x1b[0m\n\
             #5 ERROR: executor failed running [/bin/sh -c apt-get update]: exit code: 100\n------\nlast",
        );
        let Failure::Step { why, tail } = step.failure() else { panic!("a base") };
        assert!(why.starts_with("worker 2/7: RUN apt-get update: executor failed"), "{why}");
        assert_eq!(tail, "Err:1 cannot\nresolve");

        let early = heard("unknown flag: --iidfile\n").failure();
        assert_eq!(early, Failure::Step { why: "unknown flag: --iidfile".into(), tail: String::new() });
    }

    #[test]
    fn a_talkative_step_leaves_its_end() {
        let lines: Vec<String> = (0..100).map(|line| format!("#5 0.{line} line {line}")).collect();
        let text = format!("#5 [a 1/1] RUN x\n{}\n#5 ERROR: e", lines.join("\n"));
        let Failure::Step { tail, .. } = heard(&text).failure() else { panic!("a base") };
        assert_eq!(tail.lines().count(), TAIL);
        assert!(tail.ends_with("line 99"), "{tail}");
    }
}
