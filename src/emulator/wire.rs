//! What travels: replies, error bodies, lists, dates, identifiers and the rules about `api-version`.
//!
//! It knows the habits of the service's JSON (lists are wrapped, nulls are left out, errors carry a `typeKey`). It
//! does not know any resource; those are rendered beside their state.

use base64::Engine as _;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// "Still current" in the dates of revisions.
pub(crate) const FOREVER: &str = "9999-01-01T00:00:00Z";
/// The identity that means "nobody".
pub(crate) const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
/// The object id that means "no such ref".
pub(crate) const ZERO: &str = "0000000000000000000000000000000000000000";

/// The content of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Json(Value),
    Text(String, &'static str),
    Bytes(Vec<u8>, &'static str),
    Empty,
}

/// An answer before it becomes HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content: Content,
    pub(crate) headers: Vec<(String, String)>,
}

impl Reply {
    pub(crate) fn new(status: u16, content: Content) -> Self {
        Self { status, content, headers: Vec::new() }
    }

    pub(crate) fn ok(value: Value) -> Self {
        Self::new(200, Content::Json(without_nulls(value)))
    }

    pub(crate) fn created(value: Value) -> Self {
        Self::new(201, Content::Json(without_nulls(value)))
    }

    /// `{"count": n, "value": […]}`, the way every list travels.
    pub(crate) fn list(values: Vec<Value>) -> Self {
        Self::ok(wrapped(values))
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self::new(status, Content::Empty)
    }

    pub(crate) fn html(status: u16, text: &str) -> Self {
        Self::new(status, Content::Text(text.to_owned(), "text/html; charset=utf-8"))
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

pub(crate) fn wrapped(values: Vec<Value>) -> Value {
    json!({"count": values.len(), "value": Value::Array(values)})
}

/// Null members are left out of objects; null entries of arrays stay (`errorPolicy=omit` answers with them).
pub(crate) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
        ),
        Value::Array(entries) => Value::Array(entries.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// A refusal in the service's own words.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) key: &'static str,
    pub(crate) message: String,
    pub(crate) custom: Option<Value>,
}

impl Problem {
    pub(crate) fn new(status: u16, key: &'static str, message: impl Into<String>) -> Self {
        Self { status, key, message: message.into(), custom: None }
    }

    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidArgumentValueException", message)
    }

    pub(crate) fn model(message: impl Into<String>) -> Self {
        Self::new(400, "VssPropertyValidationException", message)
    }

    /// A field rule was broken: the body names every field, the way the web form would.
    pub(crate) fn rule(field: &str, flags: &str, message: &str) -> Self {
        let mut problem = Self::new(400, "RuleValidationException", message);
        problem.custom = Some(json!({
            "ErrorMessage": null, "FieldReferenceName": null,
            "RuleValidationErrors": [{"fieldReferenceName": field, "fieldStatusFlags": flags, "errorMessage": message,
                "fieldStatusCode": 524_289, "ruleValidationErrors": null}],
        }));
        problem
    }

    pub(crate) fn body(&self) -> Value {
        let space = match self.key {
            "TestPatchOperationFailedException" => "Microsoft.VisualStudio.Services.WebApi.Patch",
            key if key.starts_with("Vss") => "Microsoft.VisualStudio.Services.WebApi",
            key if key.starts_with("Git") => "Microsoft.TeamFoundation.Git.Server",
            key if key.starts_with("Project") => "Microsoft.TeamFoundation.Core.WebApi",
            key if key.starts_with("WorkItem") || key.starts_with("Rule") => {
                "Microsoft.TeamFoundation.WorkItemTracking.Server"
            }
            key if key.starts_with("Build") || key.starts_with("Definition") => {
                "Microsoft.TeamFoundation.Build.WebApi"
            }
            _ => "Microsoft.TeamFoundation.Framework.Server",
        };
        let assembly =
            if space.ends_with(".Patch") { "Microsoft.VisualStudio.Services.WebApi" } else { space };
        let mut body = json!({
            "$id": "1", "innerException": null, "message": self.message,
            "typeName": format!("{space}.{}, {assembly}", self.key), "typeKey": self.key,
            "errorCode": 0, "eventId": if self.custom.is_some() { 3200 } else { 3000 },
        });
        if let Some(custom) = &self.custom {
            body["customProperties"] = custom.clone();
        }
        body
    }

    /// Error bodies keep their nulls: the service sends them.
    pub(crate) fn reply(&self) -> Reply {
        let reply = Reply::new(self.status, Content::Json(self.body()));
        if self.status == 401 || self.status == 403 {
            return reply.header("X-TFS-ServiceError", encode(&self.message));
        }
        reply
    }
}

/// Which versions an operation answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versions {
    /// Released: `7.1` and older.
    Released,
    /// Preview in every version; the number is the newest resource version.
    Preview(u32),
    /// The location service looks at nothing.
    Any,
}

/// The api-version that the answer echoes, or the refusal.
pub(crate) fn check_version(rule: Versions, asked: Option<&str>, write: bool) -> Result<String, Problem> {
    let Some(asked) = asked.filter(|text| !text.is_empty()) else {
        return match rule {
            Versions::Any => Ok("7.1-preview.1".to_owned()),
            Versions::Released if !write => Ok("7.1".to_owned()),
            _ => Err(Problem::new(
                400,
                "VssVersionNotSpecifiedException",
                "No api-version was supplied for the request. The api-version must be supplied either as part of the \
                 Accept header (e.g. \"application/json; api-version=1.0\") or as a query parameter (e.g. \"?api-version=1.0\").",
            )),
        };
    };
    let (number, preview) = match asked.split_once('-') {
        Some((number, rest)) => (number, Some(rest)),
        None => (asked, None),
    };
    let parsed =
        number.split_once('.').and_then(|(a, b)| Some((a.parse::<u32>().ok()?, b.parse::<u32>().ok()?)));
    let revision = match preview {
        None => None,
        Some("preview") => Some(0),
        Some(rest) => rest.strip_prefix("preview.").and_then(|n| n.parse::<u32>().ok()),
    };
    let malformed = preview.is_some() && revision.is_none();
    let Some(version) = parsed.filter(|_| !malformed) else {
        return Err(Problem::new(
            400,
            "VssInvalidApiVersionException",
            format!(
                "The api-version '{asked}' is not of the form {{major}}.{{minor}}[-preview[.{{resource version}}]]."
            ),
        ));
    };
    if !((1, 0)..=(7, 2)).contains(&version) || (version == (7, 2) && preview.is_none()) {
        return Err(Problem::new(
            400,
            "VssVersionOutOfRangeException",
            format!(
                "The requested REST API version of {asked} is out of range for this server. The latest REST API version \
                 this server supports is 7.2."
            ),
        ));
    }
    if let Versions::Preview(newest) = rule {
        if preview.is_none() {
            return Err(Problem::new(
                400,
                "VssInvalidPreviewVersionException",
                format!(
                    "The requested version \"{asked}\" of the resource is under preview. The -preview flag must be supplied \
                     in the api-version for such requests. For example: \"{asked}-preview\""
                ),
            ));
        }
        if revision.is_some_and(|n| n > newest) {
            return Err(Problem::new(
                400,
                "VssVersionOutOfRangeException",
                format!(
                    "The requested resource version of {asked} is out of range: the newest is preview.{newest}."
                ),
            ));
        }
    }
    Ok(asked.to_owned())
}

/// Dates of work items: milliseconds.
pub(crate) fn stamp(at: Timestamp) -> String {
    at.to_string()
}

/// Dates of pull requests and builds: seven digits.
pub(crate) fn stamp7(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S").to_string() + &format!(".{:03}0000Z", at.subsec_millisecond())
}

/// A stable GUID for a name: the same world gets the same identifiers in every run.
pub(crate) fn guid(seed: &str) -> String {
    let digest = Sha256::digest(seed.as_bytes());
    let hex: String = digest.iter().take(16).fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

pub(crate) fn is_guid(text: &str) -> bool {
    let bare = text.replace('-', "");
    bare.len() == 32 && bare.bytes().all(|b| b.is_ascii_hexdigit())
}

/// GUIDs come with and without dashes, in either case.
pub(crate) fn same_guid(a: &str, b: &str) -> bool {
    a.replace('-', "").eq_ignore_ascii_case(&b.replace('-', ""))
}

const RESERVED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'%')
    .add(b'/')
    .add(b'\\')
    .add(b'&')
    .add(b'+');

/// Percent-encodes one segment.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

pub(crate) fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The secret of an `Authorization` header: Basic's password, or the Bearer token.
pub(crate) fn secret(header: &str) -> Option<String> {
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

/// An enum word as it may arrive: any case.
pub(crate) fn word<'a>(text: &str, words: &[&'a str]) -> Option<&'a str> {
    words.iter().copied().find(|known| known.eq_ignore_ascii_case(text))
}
