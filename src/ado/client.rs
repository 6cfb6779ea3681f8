//! Sends requests: authentication, time-outs, retries of reads, one write at a time, paging, counting.
//!
//! Knows the transport and nothing about what is asked. Reads no environment and no wall clock.

use super::{
    Error, ErrorKind, Operation, Redactor, Written,
    classify::{Received, problem, shorten},
    request::Call,
    retry::Retries,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    error::Error as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use url::Url;

/// Throttled requests are held back up to 30 s before they are answered; a shorter limit would make them look dead and
/// invite double writes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(100);
/// A host that does not accept a connection in ten seconds is down for this tick.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For one read with all its tries: covers a restart of an instance, and is short against a cron period.
const RETRY_BUDGET: Duration = Duration::from_secs(20);
/// A wait that the service asks for is slept through up to this long; beyond it the tick does better to end.
const SHORT_WAIT: Duration = Duration::from_secs(5);
/// Modest concurrency is asked for; eight is where a batch of hot runs stops getting faster.
const PARALLEL_READS: usize = 8;
/// The largest answer read: a page of 200 long work items stays far below; a runaway answer must not eat the memory.
const MAX_ANSWER: usize = 32 * 1024 * 1024;
/// Ends a list that never ends. No list of ours has a fraction of it.
pub(super) const MAX_PAGES: u32 = 200;

/// A credential.
#[derive(Clone, Debug)]
pub enum Auth {
    /// A personal access token, sent as `Basic`.
    Pat(SecretString),
    /// An Entra or pipeline token, sent as `Bearer`.
    Bearer(SecretString),
}

/// What may differ between installations and tests.
#[derive(Clone, Debug)]
pub struct Options {
    /// Limit of one request, from sending to the last byte.
    pub request_timeout: Duration,
    /// Limit of one read with all its tries, waits included.
    pub retry_budget: Duration,
    /// The longest wait asked for by the service that is slept through.
    pub short_wait: Duration,
    /// Reads in parallel at most.
    pub parallel_reads: usize,
    /// Sends `X-VSS-ForceMsaPassThrough`, for organizations of personal accounts only.
    pub msa_pass_through: bool,
    /// Lets the credential travel unencrypted to a host other than this one.
    pub allow_http: bool,
    /// Further values that must never appear in a text.
    pub secrets: Vec<SecretString>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            request_timeout: REQUEST_TIMEOUT,
            retry_budget: RETRY_BUDGET,
            short_wait: SHORT_WAIT,
            parallel_reads: PARALLEL_READS,
            msa_pass_through: false,
            allow_http: false,
            secrets: Vec::new(),
        }
    }
}

/// Why there is no client. Never names the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// Not the address of an organization or collection.
    #[error("the organization's address {0}")]
    Address(&'static str),
    /// The token cannot be sent in a header.
    #[error("the token is empty or has characters that no token has")]
    Token,
    /// TLS could not be set up, for example because the machine has no root certificates.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// The client of one organization under one identity. One per process, shared by reference: it holds the limits that
/// belong to the identity.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    options: Options,
    redactor: Redactor,
    reads: Semaphore,
    writes: tokio::sync::Mutex<()>,
    not_before: Mutex<Option<Instant>>,
    calls: Mutex<BTreeMap<Operation, u32>>,
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
        let url = Url::parse(base.trim()).map_err(|_| SetupError::Address("is not a URL"))?;
        let (token, authorization) = match auth {
            Auth::Pat(token) => {
                (token, format!("Basic {}", STANDARD.encode(format!(":{}", token.expose_secret().trim()))))
            }
            Auth::Bearer(token) => (token, format!("Bearer {}", token.expose_secret().trim())),
        };
        if token.expose_secret().trim().is_empty() {
            return Err(SetupError::Token);
        }
        let is_local = is_local(&url);
        if !url.username().is_empty() || url.password().is_some() {
            return Err(SetupError::Address("contains a user or a password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(SetupError::Address("contains a query"));
        }
        match url.scheme() {
            "https" => {}
            "http" if is_local || options.allow_http => {}
            "http" => return Err(SetupError::Address("would send the token unencrypted")),
            _ => return Err(SetupError::Address("is neither https nor http")),
        }

        let mut headers = HeaderMap::new();
        let mut authorization = HeaderValue::from_str(&authorization).map_err(|_| SetupError::Token)?;
        authorization.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, authorization);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        // Asks for 401 instead of the sign-in page. Both are understood.
        headers
            .insert(HeaderName::from_static("x-tfs-fedauthredirect"), HeaderValue::from_static("Suppress"));
        if options.msa_pass_through {
            headers.insert(
                HeaderName::from_static("x-vss-forcemsapassthrough"),
                HeaderValue::from_static("true"),
            );
        }

        // An error means that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("roundsman/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(options.request_timeout);
        if is_local {
            http = http.no_proxy();
        }
        if url.scheme() == "http" {
            // No certificate is ever looked at, so the machine needs none.
            http = http.tls_certs_only(std::iter::empty());
        }
        let redactor = Redactor::new(std::iter::once(token).chain(&options.secrets));
        let http = http.build().map_err(|error| SetupError::Tls(shorten(&whole(error), &redactor)))?;
        Ok(Self {
            http,
            base: url.as_str().trim_end_matches('/').to_owned(),
            redactor,
            reads: Semaphore::new(options.parallel_reads.max(1)),
            writes: tokio::sync::Mutex::new(()),
            not_before: Mutex::new(None),
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
        let address = format!("{}{}?{}", self.base, call.path, call.query);
        let mut request = self.http.request(call.method.clone(), address);
        if let Some(body) = &call.body {
            request = request.header(header::CONTENT_TYPE, body.content_type).body(body.bytes.clone());
        }
        let mut response = request.send().await.map_err(|error| self.lost(error))?;

        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let retry_after =
            text("retry-after").and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
        if let Some(wait) = retry_after {
            // Comes with 200 as well: the answer is good, the next request has to wait.
            let until = Instant::now() + wait;
            let mut not_before = lock(&self.not_before);
            *not_before = Some(not_before.map_or(until, |known| known.max(until)));
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

/// The whole chain of causes, without the address: its query is nobody's business.
fn whole(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The guarded values are plain; a panic elsewhere cannot leave them half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(base: &str) -> Option<SetupError> {
        Client::new(base, &Auth::Pat("secret-token".into()), Options::default()).err()
    }

    #[test]
    fn a_token_never_travels_unencrypted_nor_twice() {
        assert_eq!(
            refused("http://tfs.example/tfs"),
            Some(SetupError::Address("would send the token unencrypted"))
        );
        assert_eq!(
            refused("https://u:p@dev.azure.com/x"),
            Some(SetupError::Address("contains a user or a password"))
        );
        assert_eq!(refused("dev.azure.com/x"), Some(SetupError::Address("is not a URL")));
        assert_eq!(refused("http://127.0.0.1:1/org/"), None);
    }

    #[test]
    fn an_empty_token_is_refused() {
        let client = Client::new("http://localhost", &Auth::Bearer(" ".into()), Options::default());
        assert_eq!(client.err(), Some(SetupError::Token));
    }
}
