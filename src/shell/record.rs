//! Writes looks and decisions down, one JSON line each, for `roundsman replay`. Only when the operator wants it; a
//! record that cannot be written is told once and stops nothing.
//!
//! What people wrote is shortened where that changes nothing, and what looks like a credential is removed.

use super::{App, tick::Considered};
use crate::{
    ado::Redactor,
    decide::record::{Record, SCHEMA, Told},
    domain::Run,
};
use serde_json::Value;
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// The file and the one before it have this size at most: weeks of a small installation.
const MOST_BYTES: u64 = 16 << 20;
/// Characters of one text: more than any error's first lines, far less than a pasted log.
const MOST_TEXT: usize = 2_000;

/// Writes one look down, if the operator wants it.
pub(super) fn add(app: &App, stored: &Run, considered: &Considered) {
    /// Once per process: a full disk would say it a thousand times.
    static TOLD: AtomicBool = AtomicBool::new(false);
    let Some(path) = &app.settings.record else { return };
    let line = line(app, stored, considered);
    if let Err(why) = append(path, &line)
        && !TOLD.swap(true, Ordering::Relaxed)
    {
        tracing::warn!("looks and decisions cannot be recorded: {}", why.kind());
    }
}

fn line(app: &App, stored: &Run, considered: &Considered) -> String {
    let record = Record {
        schema: SCHEMA,
        by: env!("CARGO_PKG_VERSION").to_owned(),
        at: app.now,
        run: stored.clone(),
        seen: considered.seen.clone(),
        policy: considered.policy.clone(),
        decision: Told::of(&considered.decision),
    };
    let redactor = app.ado.redactor();
    let whole = clean(serde_json::to_value(&record).unwrap_or_default(), redactor, usize::MAX);
    let short = clean(whole.clone(), redactor, MOST_TEXT);
    // Signatures of failures are made of texts: what a shorter one would change is kept.
    let same = |value: &Value| {
        serde_json::from_value::<Record>(value.clone()).is_ok_and(|it| it.again() == considered.decision)
    };
    let kept = if same(&short) { short } else { whole };
    format!("{kept}\n")
}

/// Every text without credentials and of bounded length.
pub(super) fn clean(value: Value, redactor: &Redactor, most: usize) -> Value {
    match value {
        Value::String(text) => {
            let text = redactor.redact(&text);
            match text.char_indices().nth(most) {
                Some((end, _)) => Value::String(format!("{}…", &text[..end])),
                None => Value::String(text),
            }
        }
        Value::Array(all) => all.into_iter().map(|value| clean(value, redactor, most)).collect(),
        Value::Object(all) => {
            let all = all.into_iter().map(|(name, value)| (name, clean(value, redactor, most)));
            Value::Object(all.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// One write per line, so that lines of two processes do not mix.
fn append(path: &Path, line: &str) -> io::Result<()> {
    match fs::metadata(path) {
        // A pipe or a device could hold us up for ever.
        Ok(file) if !file.is_file() => return Err(io::ErrorKind::InvalidInput.into()),
        Ok(file) if file.len() + line.len() as u64 > MOST_BYTES => {
            let mut older = path.as_os_str().to_owned();
            older.push(".1");
            // Another process may have been faster; then there is nothing left to put aside.
            if let Err(why) = fs::rename(path, older)
                && why.kind() != io::ErrorKind::NotFound
            {
                return Err(why);
            }
        }
        Ok(_) | Err(_) => {}
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_short_and_without_credentials() {
        let long = "x".repeat(9_000);
        let value = json!({ "a": [long, "Authorization: Bearer abcdefghijklmnopqrstuvwxyz"], "n": 3 });
        let text = clean(value, &Redactor::default(), MOST_TEXT).to_string();
        assert!(text.len() < 3_000 && !text.contains("abcdefghijkl"), "{text}");
        assert!(text.contains("\"n\":3"));
    }

    #[test]
    fn two_files_are_the_most() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        let line = "x".repeat(1 << 20);
        for _ in 0..40 {
            append(&path, &line).unwrap();
        }
        let sizes: Vec<u64> =
            fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).collect();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|size| *size <= MOST_BYTES), "{sizes:?}");
    }
}
