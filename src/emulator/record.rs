//! What came in and what went out: the request log, the call counter, and recorded traffic.
//!
//! It never sees a credential: headers are not recorded at all.

use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write as _},
    path::Path,
};

/// One request as the log remembers it.
#[derive(Clone, Debug)]
pub struct Logged {
    /// When it arrived, by the emulator's clock.
    pub at: Timestamp,
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The operation's name; `unknown` when there is none.
    pub operation: String,
    /// The display name of the account, if the credential was good.
    pub who: Option<String>,
    /// The status of the answer; 0 when the request was lost on its way.
    pub status: u16,
    /// The fault that struck it.
    pub fault: Option<String>,
    /// Whether it may change something.
    pub write: bool,
}

/// How often an operation was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Requests.
    pub count: usize,
    /// Whether the operation may change something.
    pub write: bool,
}

/// Log, counters and the recording.
#[derive(Debug, Default)]
pub(crate) struct Record {
    log: Vec<Logged>,
    calls: BTreeMap<(String, String), Calls>,
    file: Option<File>,
}

impl Record {
    pub(crate) fn to(path: Option<&Path>) -> io::Result<Self> {
        let open = |path| File::options().create(true).append(true).open(path);
        Ok(Self { file: path.map(open).transpose()?, ..Self::default() })
    }

    pub(crate) fn log(&mut self, entry: Logged) {
        let calls = self.calls.entry((entry.method.clone(), entry.operation.clone())).or_default();
        calls.count += 1;
        calls.write = entry.write;
        self.log.push(entry);
    }

    pub(crate) fn entries(&self) -> &[Logged] {
        &self.log
    }

    pub(crate) fn calls(&self) -> BTreeMap<(String, String), Calls> {
        self.calls.clone()
    }

    pub(crate) fn reset(&mut self) {
        self.calls.clear();
    }

    /// One line of traffic. A disk that is full must not change what the client sees.
    pub(crate) fn exchange(&mut self, exchange: &Exchange<'_>) {
        let Some(file) = &mut self.file else { return };
        let body = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or(Value::Null);
        let line = json!({
            "method": exchange.method, "url": exchange.url, "request_content_type": exchange.request_type,
            "request_body": body(exchange.request), "status": exchange.status,
            "response_content_type": exchange.response_type, "response_body": body(exchange.response),
        });
        // In one piece: a value that is printed straight into a file is a system call per character between words.
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}

/// A request with its answer.
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    pub(crate) request_type: Option<&'a str>,
    pub(crate) request: &'a [u8],
    pub(crate) status: u16,
    pub(crate) response_type: Option<&'a str>,
    pub(crate) response: &'a [u8],
}
