//! What a client is made of: address, credential, options, and the HTTP client with its headers.
//!
//! Refuses what would leak a credential. Reads no environment.

use super::{Redactor, classify::shorten};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use std::{error::Error as _, time::Duration};
use url::Url;

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

/// The HTTP client, the address without trailing slash, and what removes the credential from texts.
pub(super) fn connect(
    base: &str,
    auth: &Auth,
    options: &Options,
) -> Result<(reqwest::Client, String, Redactor), SetupError> {
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
    headers.insert(HeaderName::from_static("x-tfs-fedauthredirect"), HeaderValue::from_static("Suppress"));
    if options.msa_pass_through {
        headers
            .insert(HeaderName::from_static("x-vss-forcemsapassthrough"), HeaderValue::from_static("true"));
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
    Ok((http, url.as_str().trim_end_matches('/').to_owned(), redactor))
}

/// Where identities and groups of an organization are asked for: a host of its own in the cloud, under either form of
/// the organization's address; a server answers itself.
pub(super) fn identity_base(base: &str) -> String {
    const OLD: &str = ".visualstudio.com";
    let Ok(mut url) = Url::parse(base) else { return base.to_owned() };
    let host = url.host_str().unwrap_or_default().to_owned();
    let own = if host == "dev.azure.com" {
        "vssps.dev.azure.com".to_owned()
    } else if let Some(organization) = host.strip_suffix(OLD) {
        format!("{organization}.vssps{OLD}")
    } else {
        return base.to_owned();
    };
    match url.set_host(Some(&own)) {
        Ok(()) => url.as_str().trim_end_matches('/').to_owned(),
        Err(_) => base.to_owned(),
    }
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The whole chain of causes, without the address: its query is nobody's business.
pub(super) fn whole(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::Client, *};

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
    fn identities_have_a_host_of_their_own_in_the_cloud_only() {
        let rows = [
            ("https://dev.azure.com/acme", "https://vssps.dev.azure.com/acme"),
            ("https://acme.visualstudio.com", "https://acme.vssps.visualstudio.com"),
            ("https://tfs.example/tfs/DefaultCollection", "https://tfs.example/tfs/DefaultCollection"),
        ];
        for (base, expected) in rows {
            assert_eq!(identity_base(base), expected);
        }
    }

    #[test]
    fn an_empty_token_is_refused() {
        let client = Client::new("http://localhost", &Auth::Bearer(" ".into()), Options::default());
        assert_eq!(client.err(), Some(SetupError::Token));
    }
}
