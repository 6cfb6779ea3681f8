//! Faults on purpose: which request, how often, and what goes wrong.
//!
//! Everything is counted and nothing is random, so a story with a fault can be told again. It knows requests by the
//! operation names of the route table (`Emulator::calls` lists them) and by path.

use std::time::Duration;

/// Which requests a fault waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Operation(String),
    /// A part of the path; `*` stands for anything.
    Path(String),
    AnyWrite,
    AnyRead,
    Any,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Lost,
    AnswerLost,
    Late(u32),
    Answer { status: u16, headers: Vec<(String, String)>, body: String },
    Headers(Vec<(String, String)>),
    Stale,
    Partial,
    Slow(Duration),
    SlowAnswer(Duration),
}

impl Wrong {
    fn name(&self) -> String {
        match self {
            Self::Lost => "request lost".into(),
            Self::AnswerLost => "answer lost".into(),
            Self::Late(after) => format!("applied after {after} more"),
            Self::Answer { status, .. } => format!("answered {status}"),
            Self::Headers(_) => "extra headers".into(),
            Self::Stale => "stale".into(),
            Self::Partial => "partial page".into(),
            Self::Slow(by) => format!("slow by {by:?}"),
            Self::SlowAnswer(by) => format!("answered after {by:?}"),
        }
    }
}

/// One fault, ready to be armed with [`super::Emulator::fault`].
///
/// ```ignore
/// emulator.fault(Fault::on("work item: update").answer_lost());
/// emulator.fault(Fault::on_any_write().skip(3).lost());
/// ```
#[derive(Clone, Debug)]
#[must_use = "a fault does nothing until it is armed"]
pub struct Fault {
    on: On,
    skip: u32,
    times: u32,
    wrong: Wrong,
}

impl Fault {
    fn new(on: On) -> Self {
        Self { on, skip: 0, times: 1, wrong: Wrong::Lost }
    }

    /// Waits for an operation, by its name.
    pub fn on(operation: &str) -> Self {
        Self::new(On::Operation(operation.to_owned()))
    }

    /// Waits for a path with its query that contains the pattern; `*` matches anything.
    pub fn on_path(pattern: &str) -> Self {
        Self::new(On::Path(pattern.to_owned()))
    }

    /// Waits for any request that writes, a push included.
    pub fn on_any_write() -> Self {
        Self::new(On::AnyWrite)
    }

    /// Waits for any request that only reads.
    pub fn on_any_read() -> Self {
        Self::new(On::AnyRead)
    }

    /// Waits for any request at all.
    pub fn on_any() -> Self {
        Self::new(On::Any)
    }

    /// Lets this many matching requests pass first.
    pub fn skip(mut self, requests: u32) -> Self {
        self.skip = requests;
        self
    }

    /// Strikes this often (default: once).
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    fn wrong(mut self, wrong: Wrong) -> Self {
        self.wrong = wrong;
        self
    }

    /// The request never arrives: nothing is applied, the connection is cut.
    pub fn lost(self) -> Self {
        self.wrong(Wrong::Lost)
    }

    /// The request is applied, and then the connection is cut.
    pub fn answer_lost(self) -> Self {
        self.wrong(Wrong::AnswerLost)
    }

    /// The connection is cut now; the request is applied after this many further requests.
    pub fn late(self, after: u32) -> Self {
        self.wrong(Wrong::Late(after))
    }

    /// A fixed answer; nothing is applied.
    pub fn answer(self, status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers = owned(headers);
        self.wrong(Wrong::Answer { status, headers, body: body.to_owned() })
    }

    /// 429 with `Retry-After`, in the service's own words.
    pub fn throttled(self, retry_after_seconds: u32) -> Self {
        let body = r#"{"$id":"1","innerException":null,"message":"TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource 'TSTUs' in namespace 'User'. For more information on why your request was blocked, see the topic \"Rate limits\".","typeName":"Microsoft.TeamFoundation.Framework.Server.RequestFilterException, Microsoft.TeamFoundation.Framework.Server","typeKey":"RequestFilterException","errorCode":0,"eventId":3000}"#;
        let seconds = retry_after_seconds.to_string();
        self.answer(
            429,
            &[
                ("Content-Type", "application/json; charset=utf-8"),
                ("Retry-After", &seconds),
                ("X-RateLimit-Resource", "Core"),
                ("X-RateLimit-Delay", "0"),
                ("X-RateLimit-Remaining", "0"),
            ],
            body,
        )
    }

    /// 503 with an HTML page.
    pub fn unavailable(self) -> Self {
        self.answer(
            503,
            &[("Content-Type", "text/html; charset=utf-8")],
            "<html><head><title>Azure DevOps Services Unavailable</title></head><body><h2>We're sorry, we're having issues</h2></body></html>",
        )
    }

    /// The right answer, with more headers: `Retry-After` on a 200 means "slow down".
    pub fn with_headers(self, headers: &[(&str, &str)]) -> Self {
        let headers = owned(headers);
        self.wrong(Wrong::Headers(headers))
    }

    /// The newest answer that differs from the right one: what a lagging replica still shows.
    pub fn stale(self) -> Self {
        self.wrong(Wrong::Stale)
    }

    /// Half of a list, and no word about the rest.
    pub fn partial(self) -> Self {
        self.wrong(Wrong::Partial)
    }

    /// Done at once and answered later: whoever asked can die in between.
    pub fn slow_answer(self, by: Duration) -> Self {
        self.wrong(Wrong::SlowAnswer(by))
    }

    /// Done, and answered rightly, later.
    pub fn slow(self, by: Duration) -> Self {
        self.wrong(Wrong::Slow(by))
    }

    fn matches(&self, operation: &str, path: &str, write: bool) -> bool {
        match &self.on {
            On::Operation(name) => name == operation,
            On::Path(pattern) => wild(pattern, path),
            On::AnyWrite => write,
            On::AnyRead => !write,
            On::Any => true,
        }
    }
}

fn owned(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Every part of the pattern occurs, in order.
fn wild(pattern: &str, path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let mut rest = path.as_str();
    for part in pattern.to_ascii_lowercase().split('*') {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// The faults that wait.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    armed: Vec<Fault>,
}

impl Faults {
    pub(crate) fn arm(&mut self, fault: Fault) {
        self.armed.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.armed.clear();
    }

    pub(crate) fn waiting(&self) -> usize {
        self.armed.len()
    }

    /// The fault that strikes this request, if any. Every matching fault counts the request; the first that is due wins.
    pub(crate) fn strike(&mut self, operation: &str, path: &str, write: bool) -> Option<(Wrong, String)> {
        let mut struck = None;
        for fault in &mut self.armed {
            if !fault.matches(operation, path, write) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
            } else if struck.is_none() && fault.times > 0 {
                fault.times -= 1;
                struck = Some((fault.wrong.clone(), fault.wrong.name()));
            }
        }
        self.armed.retain(|fault| fault.times > 0);
        struck
    }
}
