//! Decides again what was recorded, with the very functions that decided then. Reads a file and nothing else.

use super::{runs::complain, say};
use crate::{
    decide::{
        self,
        record::{Record, SCHEMA, Told},
    },
    exit::Exit,
};
use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

/// What replaying a file came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
struct Summary {
    records: usize,
    different: usize,
    unreadable: usize,
}

pub(super) fn replay(path: &Path, explain: bool, json: bool) -> Exit {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(why) => return complain(&format!("the record cannot be read: {}", why.kind()), Exit::Usage),
    };
    let mut summary = Summary::default();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let number = number + 1;
        let Ok(line) = line else {
            return complain(&format!("line {number} is not text"), Exit::Usage);
        };
        if line.trim().is_empty() {
            continue;
        }
        summary.records += 1;
        let record = match read(&line) {
            Ok(record) => record,
            Err(why) => {
                summary.unreadable += 1;
                told(json, number, "unreadable", &why, None);
                continue;
            }
        };
        let now = record.again();
        let again = Told::of(&now);
        let then = &record.decision;
        if again == *then {
            if explain {
                told(json, number, "same", &format!("{} {}", record.run.id, then.sentence), Some(&record));
            }
        } else {
            summary.different += 1;
            let (was, is) = if again.sentence == then.sentence {
                (&then.exact, &again.exact)
            } else {
                (&then.sentence, &again.sentence)
            };
            let text = format!("{} at {} was \"{was}\", is \"{is}\"", record.run.id, record.at);
            told(json, number, "different", &text, explain.then_some(&record));
        }
    }
    if json {
        say(&serde_json::to_string(&summary).unwrap_or_default());
    } else {
        let Summary { records, different, unreadable } = summary;
        say(&format!("{records} decisions, {different} different, {unreadable} unreadable"));
    }
    if summary.different + summary.unreadable > 0 { Exit::SomeFailed } else { Exit::Ok }
}

fn read(line: &str) -> Result<Record, String> {
    let schema = serde_json::from_str::<serde_json::Value>(line).map_err(|why| why.to_string())?["schema"]
        .as_u64()
        .unwrap_or_default();
    if schema > u64::from(SCHEMA) {
        return Err(format!("schema {schema} is newer than {SCHEMA}: upgrade roundsman"));
    }
    // The place, and not the text: it is somebody's work item.
    let from = &mut serde_json::Deserializer::from_str(line);
    serde_path_to_error::deserialize(from)
        .map_err(|why| format!("it is of another version of roundsman, at {}", why.path()))
}

fn told(json: bool, number: usize, what: &str, why: &str, trace: Option<&Record>) {
    let rungs = trace.map(|it| decide::trace(&it.caught_up(), &it.seen, &it.policy, it.at));
    if json {
        let line = serde_json::json!({ "line": number, "what": what, "why": why, "rungs": rungs });
        say(&line.to_string());
        return;
    }
    say(&format!("line {number}: {what}: {why}"));
    for rung in rungs.into_iter().flatten() {
        say(&format!("  {rung}"));
    }
}
