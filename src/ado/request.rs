//! One request as data: method, encoded path, query, body. Knows how addresses are written, not how they are sent.

use super::Operation;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value;
use std::fmt::Display;

/// The newest stable version; needs Azure DevOps Services or Server 2022.1.
pub(super) const STABLE: &str = "7.1";
/// Work item comments exist only as preview.
pub(super) const COMMENTS: &str = "7.1-preview.4";
/// Connection data and policy evaluations exist only as preview.
pub(super) const PREVIEW: &str = "7.1-preview.1";

/// Everything but the unreserved characters of RFC 3986: a space becomes `%20`, never `+`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) method: Method,
    /// Below the base address, encoded, with leading slash.
    pub(super) path: String,
    /// Encoded, without question mark.
    pub(super) query: String,
    pub(super) body: Option<Body>,
    /// Whether it goes to the identity host of the organization.
    pub(super) on_identity_host: bool,
    /// The only content type that is understood.
    pub(super) accept: &'static str,
}

/// What is sent with a request.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) content_type: &'static str,
    pub(super) bytes: Vec<u8>,
}

impl Call {
    pub(super) fn get(operation: Operation, segments: &[&str], version: &str) -> Self {
        Self::new(operation, Method::GET, segments, version)
    }

    pub(super) fn post(operation: Operation, segments: &[&str], version: &str, body: &Value) -> Self {
        Self::new(operation, Method::POST, segments, version).body("application/json", body)
    }

    pub(super) fn patch(operation: Operation, segments: &[&str], version: &str, body: &Value) -> Self {
        Self::new(operation, Method::PATCH, segments, version).body("application/json", body)
    }

    pub(super) fn delete(operation: Operation, segments: &[&str], version: &str) -> Self {
        Self::new(operation, Method::DELETE, segments, version)
    }

    /// A JSON patch: work items refuse any other content type.
    pub(super) fn json_patch(operation: Operation, segments: &[&str], version: &str, body: &Value) -> Self {
        Self::new(operation, Method::PATCH, segments, version).body("application/json-patch+json", body)
    }

    /// A JSON patch on nothing: a new work item.
    pub(super) fn json_patch_new(
        operation: Operation,
        segments: &[&str],
        version: &str,
        body: &Value,
    ) -> Self {
        Self::new(operation, Method::POST, segments, version).body("application/json-patch+json", body)
    }

    /// A file as it is.
    pub(super) fn upload(operation: Operation, segments: &[&str], version: &str, bytes: Vec<u8>) -> Self {
        let body = Some(Body { content_type: "application/octet-stream", bytes });
        Self { body, ..Self::new(operation, Method::POST, segments, version) }
    }

    /// Asks for plain text: logs.
    pub(super) fn plain(self) -> Self {
        Self { accept: "text/plain", ..self }
    }

    /// Identities and groups live on a host of their own.
    pub(super) fn on_identity_host(self) -> Self {
        Self { on_identity_host: true, ..self }
    }

    /// Adds a query parameter. The key is ours and needs no encoding (`$top`).
    pub(super) fn with(mut self, key: &str, value: impl Display) -> Self {
        self.query.push('&');
        self.query.push_str(key);
        self.query.push('=');
        self.query.push_str(&encode(&value.to_string()));
        self
    }

    fn new(operation: Operation, method: Method, segments: &[&str], version: &str) -> Self {
        let path = segments.iter().fold(String::new(), |path, segment| path + "/" + &encode_segment(segment));
        Self {
            operation,
            method,
            path,
            query: format!("api-version={version}"),
            body: None,
            on_identity_host: false,
            accept: "application/json",
        }
    }

    fn body(mut self, content_type: &'static str, body: &Value) -> Self {
        self.body = Some(Body { content_type, bytes: body.to_string().into_bytes() });
        self
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// A segment can hold any name but not leave its place: an URL parser resolves `..`, even when it is encoded, and drops
/// empty segments.
fn encode_segment(text: &str) -> String {
    match text {
        "" | "." | ".." => "_".to_owned(),
        // The type of a new work item stands behind a plain `$`.
        _ => match text.strip_prefix('$') {
            Some(kind) => format!("${}", encode(kind)),
            None => encode(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_segment_and_value_is_encoded() {
        let call = Call::get(Operation::States, &["My Project", "_apis", "a/b", "Ü?#"], STABLE)
            .with("$top", 5)
            .with("x", "a+b c&d");
        assert_eq!(call.path, "/My%20Project/_apis/a%2Fb/%C3%9C%3F%23");
        assert_eq!(call.query, "api-version=7.1&$top=5&x=a%2Bb%20c%26d");
    }

    #[test]
    fn a_segment_cannot_climb() {
        assert_eq!(Call::get(Operation::States, &["..", ".", "", "..."], STABLE).path, "/_/_/_/...");
    }
}
