//! Turns a bad answer into an [`ErrorKind`]: by content type, then by the service's type key, then by status.
//!
//! Pure: knows what answers mean, not how they were obtained. Texts leave it redacted and shortened.

use super::{ErrorKind, Operation, Redactor};
use serde::Deserialize;
use std::time::Duration;

/// A server message is one sentence with names; more is a page or a stack.
const MAX_MESSAGE: usize = 500;

/// What was received, as far as it matters for the verdict.
pub(super) struct Received<'a> {
    pub(super) operation: Operation,
    pub(super) status: u16,
    pub(super) content_type: &'a str,
    /// The content type that was asked for.
    pub(super) accept: &'a str,
    /// `X-TFS-ServiceError`: the message, also when the body is empty.
    pub(super) service_error: Option<&'a str>,
    pub(super) location: Option<&'a str>,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: &'a [u8],
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Problem {
    message: Option<String>,
    type_key: Option<String>,
    value: Option<ModelProblem>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ModelProblem {
    #[serde(rename = "Message")]
    message: Option<String>,
}

/// Nothing if the answer is good, else what is wrong with it.
pub(super) fn problem(received: &Received<'_>, redactor: &Redactor) -> Option<ErrorKind> {
    let status = received.status;
    let is = |kind: &str| received.content_type.to_ascii_lowercase().contains(kind);
    let redirected = (300..400).contains(&status);
    // The sign-in page comes with 203, with 302 or even with 200; during an outage HTML comes with 5xx.
    if status < 500 && (status == 203 || redirected || is("html")) {
        let message = match received.location {
            Some(target) => {
                let target = target.split(['?', '#']).next().unwrap_or_default();
                shorten(&format!("redirected to {target}"), redactor)
            }
            None => format!("status {status} with a sign-in page"),
        };
        return Some(ErrorKind::Unauthorized { message });
    }
    if (200..300).contains(&status) {
        let readable = received.body.is_empty() || is(received.accept);
        return (!readable).then(|| ErrorKind::Malformed {
            at: "content type".into(),
            message: shorten(received.content_type, redactor),
        });
    }
    let problem: Problem = if is("html") {
        Problem::default()
    } else {
        serde_json::from_slice(received.body).unwrap_or_default()
    };
    let type_key = problem.type_key.filter(|key| !key.is_empty()).map(|key| shorten(&key, redactor));
    let message = problem
        .message
        .or(problem.value.and_then(|inner| inner.message))
        .or_else(|| received.service_error.map(decode))
        .or_else(|| is("text/plain").then(|| String::from_utf8_lossy(received.body).into_owned()))
        .filter(|message| !message.trim().is_empty())
        .unwrap_or_else(|| format!("status {status} without a message"));
    Some(by_key_and_status(received, type_key, &message, redactor))
}

fn by_key_and_status(
    received: &Received<'_>,
    type_key: Option<String>,
    raw: &str,
    redactor: &Redactor,
) -> ErrorKind {
    let status = received.status;
    let message = shorten(raw, redactor);
    let key = type_key.as_deref().unwrap_or_default();
    // Codes are matched in the whole text: some servers wrap one error's message in another's.
    let says = |code: &str| raw.contains(code);

    match key {
        "TestPatchOperationFailedException"
        | "WorkItemRevisionMismatchException"
        | "GitPullRequestStaleException" => {
            return ErrorKind::Conflict { message };
        }
        "GitPullRequestExistsException" => return ErrorKind::Exists { message },
        "UnauthorizedRequestException" => return ErrorKind::Unauthorized { message },
        "ProjectDoesNotExistException" => return ErrorKind::NotFound { type_key, message },
        _ => {}
    }
    if says("TF26071") || says("VS403351") {
        return ErrorKind::Conflict { message };
    }
    if says("TF401179") {
        return ErrorKind::Exists { message };
    }
    if says("TF401398") {
        return ErrorKind::BranchMissing { message };
    }
    if says("VS800075") {
        return ErrorKind::NotFound { type_key, message };
    }
    if says("TF401444") || says("TF400813") {
        return ErrorKind::Unauthorized { message };
    }
    if says("TF400733") {
        return ErrorKind::Throttled { retry_after: received.retry_after };
    }
    if received.operation == Operation::ChangeWorkItem
        && raw.to_ascii_lowercase().contains("relation already exists")
    {
        return ErrorKind::Exists { message };
    }
    // The query was too heavy at this moment.
    if ["VS402335", "VS402490", "VS402491"].iter().any(|code| says(code)) {
        return ErrorKind::Unreachable { status: Some(status), cause: message };
    }
    match status {
        401 => ErrorKind::Unauthorized { message },
        403 => ErrorKind::Forbidden { permission: permission(&message), message },
        404 => ErrorKind::NotFound { type_key, message },
        412 => ErrorKind::Conflict { message },
        // Older servers answer 409 to a plain revision mismatch. To read the item again is right in any case.
        409 if received.operation == Operation::ChangeWorkItem => ErrorKind::Conflict { message },
        429 => ErrorKind::Throttled { retry_after: received.retry_after },
        503 if received.retry_after.is_some() => ErrorKind::Throttled { retry_after: received.retry_after },
        408 | 500.. => ErrorKind::Unreachable { status: Some(status), cause: message },
        _ => ErrorKind::Rejected { status, type_key, message },
    }
}

/// The permission that a message names: `You need the Git 'GenericContribute' permission …`.
fn permission(message: &str) -> Option<String> {
    if message.contains("TF401289") {
        return Some("Create tag definition".into());
    }
    let at = message.find("' permission")?;
    let name = message[..at].rsplit('\'').next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Redacts, then shortens, so that no cut can hide a credential from the patterns.
pub(super) fn shorten(text: &str, redactor: &Redactor) -> String {
    let text = redactor.redact(text.trim());
    match text.char_indices().nth(MAX_MESSAGE) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, content_type: &str, body: &str) -> Option<ErrorKind> {
        problem(
            &Received {
                operation: Operation::WorkItem,
                status,
                content_type,
                accept: "json",
                service_error: None,
                location: None,
                retry_after: None,
                body: body.as_bytes(),
            },
            &Redactor::default(),
        )
    }

    const JSON: &str = "application/json; charset=utf-8; api-version=7.1";

    #[test]
    fn a_sign_in_page_is_never_success() {
        for (status, kind) in
            [(203, "text/html; charset=utf-8"), (200, "text/html"), (302, "text/html"), (203, JSON)]
        {
            assert!(
                matches!(verdict(status, kind, "<html>"), Some(ErrorKind::Unauthorized { .. })),
                "{status} {kind}"
            );
        }
        assert_eq!(verdict(200, JSON, "{}"), None);
        assert_eq!(verdict(204, "", ""), None);
    }

    #[test]
    fn conflicts_are_known_by_key_code_or_status() {
        for (status, body) in [
            (412, ""),
            (412, r#"{"message":"VS403351: Test Operation","typeKey":"TestPatchOperationFailedException"}"#),
            (409, r#"{"message":"TF26071: changed","typeKey":"WorkItemRevisionMismatchException"}"#),
            (400, r#"{"message":"TF26071: This work item has been changed"}"#),
        ] {
            assert!(
                matches!(verdict(status, JSON, body), Some(ErrorKind::Conflict { .. })),
                "{status} {body}"
            );
        }
        assert!(matches!(
            verdict(409, JSON, r#"{"message":"x"}"#),
            Some(ErrorKind::Rejected { status: 409, .. })
        ));
    }

    #[test]
    fn the_missing_permission_is_named() {
        let body = r#"{"message":"TF401027: You need the Git 'PullRequestContribute' permission to perform this action.","typeKey":"GitNeedsPermissionException"}"#;
        let Some(ErrorKind::Forbidden { permission, .. }) = verdict(403, JSON, body) else {
            panic!("not forbidden")
        };
        assert_eq!(permission.as_deref(), Some("PullRequestContribute"));
    }

    #[test]
    fn an_outage_is_not_an_authentication_failure() {
        for (status, kind) in [(503, "text/html"), (502, "text/plain"), (500, JSON)] {
            assert!(
                matches!(verdict(status, kind, "<html>"), Some(ErrorKind::Unreachable { .. })),
                "{status} {kind}"
            );
        }
    }

    #[test]
    fn model_errors_keep_their_message() {
        let kind = verdict(400, JSON, r#"{"count":1,"value":{"Message":"bad patch"}}"#);
        assert_eq!(
            kind,
            Some(ErrorKind::Rejected { status: 400, type_key: None, message: "bad patch".into() })
        );
    }
}
