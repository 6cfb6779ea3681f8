//! Sends requests: authentication, time-outs, retries of reads, one write at a time, paging, counting.
//!
//! Knows the transport and nothing about what is asked. Reads no environment and no wall clock.

use super::{
    Error, ErrorKind, Operation, Redactor, Written,
    classify::{Received, problem, shorten},
    request::Call,
    retry::Retries,
    setup::{self, Auth, Options, SetupError, whole},
};
use reqwest::header;
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// The largest answer read: a page of 200 long work items stays far below; a runaway answer must not eat the memory.
const MAX_ANSWER: usize = 32 * 1024 * 1024;
/// Ends a list that never ends. No list of ours has a fraction of it.
pub(super) const MAX_PAGES: u32 = 200;
/// The longest wait believed, in seconds: an hour is beyond every tick, and a nonsense number must not overflow a clock.
const MAX_WAIT: u64 = 3600;

/// The client of one organization under one identity. One per process, shared by reference: it holds the limits that
/// belong to the identity.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    identity_base: String,
    options: Options,
    redactor: Redactor,
    reads: Semaphore,
    writes: tokio::sync::Mutex<()>,
    not_before: Mutex<Option<Instant>>,
    allowance: Mutex<Option<Allowance>>,
    calls: Mutex<BTreeMap<Operation, u32>>,
}

/// What the service last told about our load, in its own unit (TSTU per five minutes). Only told near the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// `X-RateLimit-Limit`: allowed in all.
    pub limit: u32,
    /// `X-RateLimit-Remaining`: left before requests are held back.
    pub remaining: u32,
}

/// A good answer.
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    pub(super) continuation: Option<String>,
}

struct Failure {
    kind: ErrorKind,
    /// Whether the service may have carried it out.
    maybe_done: bool,
    is_worth_a_retry: bool,
    retry_after: Option<Duration>,
}

impl Client {
    /// A client for `base`, for example `https://dev.azure.com/fabrikam` or `https://tfs.example/tfs/DefaultCollection`.
    pub fn new(base: &str, auth: &Auth, options: Options) -> Result<Self, SetupError> {
        let (http, base, redactor) = setup::connect(base, auth, &options)?;
        Ok(Self {
            http,
            identity_base: setup::identity_base(&base),
            base,
            redactor,
            reads: Semaphore::new(options.parallel_reads.max(1)),
            writes: tokio::sync::Mutex::new(()),
            not_before: Mutex::new(None),
            allowance: Mutex::new(None),
            calls: Mutex::new(BTreeMap::new()),
            options,
        })
    }

    /// Requests sent so far, by operation, retries included.
    pub fn calls(&self) -> BTreeMap<Operation, u32> {
        lock(&self.calls).clone()
    }

    /// Reading requests sent so far.
    pub fn reads(&self) -> u32 {
        self.sent(false)
    }

    /// Writing requests sent so far.
    pub fn writes(&self) -> u32 {
        self.sent(true)
    }

    /// How long the service still asks us to stay away, if at all.
    pub fn throttled_for(&self) -> Option<Duration> {
        (*lock(&self.not_before))?.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())
    }

    /// What the service last told about our load; nothing told is no news, not zero.
    pub fn allowance(&self) -> Option<Allowance> {
        *lock(&self.allowance)
    }

    /// What this client's texts have gone through, for texts of other origin.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// The organization's address, without trailing slash.
    pub fn base(&self) -> &str {
        &self.base
    }

    fn sent(&self, writes: bool) -> u32 {
        lock(&self.calls)
            .iter()
            .filter(|(operation, _)| operation.is_write() == writes)
            .map(|(_, count)| count)
            .sum()
    }

    /// Reads JSON.
    pub(super) async fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Error> {
        let answer = self.read(call).await?;
        self.parse(&answer).map_err(|kind| self.after_answer(call, kind))
    }

    /// Reads the pages of a list whose continuation comes in a header.
    pub(super) async fn continued<T: DeserializeOwned>(&self, call: &Call) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let page = match &token {
                Some(token) => call.clone().with("continuationToken", token),
                None => call.clone(),
            };
            let answer = self.read(&page).await?;
            let list: super::wire::List<T> =
                self.parse(&answer).map_err(|kind| self.after_answer(call, kind))?;
            all.extend(list.entries());
            match answer.continuation {
                None => return Ok(all),
                same if same == token => return Err(self.incomplete(call, "the same page was offered again")),
                next => token = next,
            }
        }
        Err(self.incomplete(call, "the list has too many pages"))
    }

    /// Reads the pages of a list by offset, up to the first page that is not full.
    pub(super) async fn skipped<T: DeserializeOwned>(&self, call: &Call, top: u32) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        for page in 0..MAX_PAGES {
            let call = call.clone().with("$top", top).with("$skip", page * top);
            let list: super::wire::List<T> = self.json(&call).await?;
            let is_full = list.value.len() >= top as usize;
            all.extend(list.entries());
            if !is_full {
                return Ok(all);
            }
        }
        Err(self.incomplete(call, "the list has too many pages"))
    }

    /// Sends a read; tries again within the budget.
    pub(super) async fn read(&self, call: &Call) -> Result<Answer, Error> {
        debug_assert!(!call.operation.is_write(), "{} is a write", call.operation);
        let started = Instant::now();
        let _slot = self.reads.acquire().await.expect("the semaphore is never closed");
        let mut retries = Retries::within(self.options.retry_budget);
        let mut attempts = 0;
        loop {
            if let Err(kind) = self.wait_for_turn().await {
                return Err(self.error(call, kind, attempts, started.elapsed()));
            }
            attempts += 1;
            let failure = match self.attempt(call).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let pause = if failure.is_worth_a_retry { retries.next(failure.retry_after) } else { None };
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(self.error(call, failure.kind, attempts, started.elapsed())),
            }
        }
    }

    /// Sends a write, once. `understand` reads the answer; what it cannot read may still have happened.
    pub(super) async fn write<T>(
        &self,
        call: &Call,
        understand: impl FnOnce(&Answer) -> Result<T, ErrorKind>,
    ) -> Written<T> {
        debug_assert!(call.operation.is_write(), "{} is a read", call.operation);
        let started = Instant::now();
        let _turn = self.writes.lock().await;
        if let Err(kind) = self.wait_for_turn().await {
            return Written::NotDone(self.error(call, kind, 0, started.elapsed()));
        }
        match self.attempt(call).await {
            Ok(answer) => match understand(&answer) {
                Ok(value) => Written::Done(value),
                Err(kind) => Written::Unknown(self.error(call, kind, 1, started.elapsed())),
            },
            Err(failure) => {
                let error = self.error(call, failure.kind, 1, started.elapsed());
                if failure.maybe_done { Written::Unknown(error) } else { Written::NotDone(error) }
            }
        }
    }

    /// Reads an answer's JSON, naming the place that does not fit.
    pub(super) fn parse<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, ErrorKind> {
        let body = answer.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&answer.body);
        let mut json = serde_json::Deserializer::from_slice(body);
        serde_path_to_error::deserialize(&mut json).map_err(|error| ErrorKind::Malformed {
            at: shorten(&error.path().to_string(), &self.redactor),
            message: shorten(&error.inner().to_string(), &self.redactor),
        })
    }

    /// An error found after the answer was good JSON.
    pub(super) fn after_answer(&self, call: &Call, kind: ErrorKind) -> Error {
        self.error(call, kind, 1, Duration::ZERO)
    }

    pub(super) fn incomplete(&self, call: &Call, message: &str) -> Error {
        self.after_answer(call, ErrorKind::Incomplete { message: message.into() })
    }

    fn error(&self, call: &Call, kind: ErrorKind, attempts: u32, elapsed: Duration) -> Error {
        Error {
            operation: call.operation,
            path: shorten(&call.path, &self.redactor),
            kind,
            attempts,
            elapsed,
        }
    }

    /// Waits as long as the service asked, if that is short.
    async fn wait_for_turn(&self) -> Result<(), ErrorKind> {
        while let Some(wait) = self.throttled_for() {
            if wait > self.options.short_wait {
                return Err(ErrorKind::Throttled { retry_after: Some(wait) });
            }
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    async fn attempt(&self, call: &Call) -> Result<Answer, Failure> {
        *lock(&self.calls).entry(call.operation).or_default() += 1;
        let base = if call.on_identity_host { &self.identity_base } else { &self.base };
        let address = format!("{base}{}?{}", call.path, call.query);
        let mut request = self.http.request(call.method.clone(), address).header(header::ACCEPT, call.accept);
        if let Some(body) = &call.body {
            request = request.header(header::CONTENT_TYPE, body.content_type).body(body.bytes.clone());
        }
        let mut response = request.send().await.map_err(|error| self.lost(error))?;

        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let whole_number =
            |name: &str| text(name).and_then(|value| value.trim().split('.').next()?.parse::<u64>().ok());
        let retry_after =
            whole_number("retry-after").map(|seconds| Duration::from_secs(seconds.min(MAX_WAIT)));
        if let Some(wait) = retry_after {
            // Comes with 200 as well: the answer is good, the next request has to wait.
            let until = Instant::now() + wait;
            let mut not_before = lock(&self.not_before);
            *not_before = Some(not_before.map_or(until, |known| known.max(until)));
        }
        if let (Some(limit), Some(remaining)) =
            (whole_number("x-ratelimit-limit"), whole_number("x-ratelimit-remaining"))
        {
            let told = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            *lock(&self.allowance) = Some(Allowance { limit: told(limit), remaining: told(remaining) });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(error))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER {
                let kind = ErrorKind::Malformed {
                    at: "body".into(),
                    message: "larger than any answer should be".into(),
                };
                return Err(Failure { kind, maybe_done: true, is_worth_a_retry: false, retry_after: None });
            }
        }
        let received = Received {
            operation: call.operation,
            status,
            content_type: text("content-type").unwrap_or_default(),
            accept: call.accept,
            service_error: text("x-tfs-serviceerror"),
            location: text("location"),
            retry_after,
            body: &body,
        };
        match problem(&received, &self.redactor) {
            None => Ok(Answer {
                continuation: text("x-ms-continuationtoken")
                    .filter(|token| !token.is_empty())
                    .map(str::to_owned),
                body,
            }),
            Some(kind) => {
                let is_outage = status == 408 || status >= 500;
                Err(Failure {
                    maybe_done: is_outage || matches!(kind, ErrorKind::Malformed { .. }),
                    is_worth_a_retry: is_outage || status == 429,
                    retry_after,
                    kind,
                })
            }
        }
    }

    /// A request without answer. Only if no connection was made, nothing was sent.
    fn lost(&self, error: reqwest::Error) -> Failure {
        let maybe_done = !error.is_connect() && !error.is_builder();
        let is_worth_a_retry = !error.is_builder();
        let cause = shorten(&whole(error), &self.redactor);
        Failure {
            kind: ErrorKind::Unreachable { status: None, cause },
            maybe_done,
            is_worth_a_retry,
            retry_after: None,
        }
    }
}

/// The guarded values are plain; a panic elsewhere cannot leave them half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
