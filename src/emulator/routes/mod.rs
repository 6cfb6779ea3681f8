//! The table of operations: which request means which, and what each demands before it looks at the world.
//!
//! A request that is in no table is answered the way the service answers it, and remembered as unknown.

#![expect(clippy::unnecessary_wraps, reason = "all handlers of the table have one signature")]

pub(crate) mod attachments;
pub(crate) mod build;
pub(crate) mod comments;
pub(crate) mod git;
pub(crate) mod identities;
pub(crate) mod location;
pub(crate) mod policy;
pub(crate) mod pull_requests;
pub(crate) mod pull_update;
pub(crate) mod reviews;
pub(crate) mod test_results;
pub(crate) mod threads;
pub(crate) mod types;
pub(crate) mod wiql;
pub(crate) mod work_items;

use super::{
    state::{Past, Project, World},
    wire::{Problem, Reply, Versions, decode},
};
use axum::body::Bytes;
use serde_json::Value;
use std::sync::Arc;

pub(crate) type Answer = Result<Reply, Problem>;

/// Whether the path names a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Organization,
    Project,
    Either,
}

/// What the operation reads from the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    Json,
    Patch,
    Bytes,
}

/// One operation.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) scope: Scope,
    pub(crate) versions: Versions,
    pub(crate) body: Body,
    pub(crate) writes: bool,
    /// The operation's name in logs, counters and faults.
    pub(crate) name: &'static str,
    pub(crate) query: &'static [&'static str],
    pub(crate) handler: fn(&mut Call<'_>) -> Answer,
}

impl Route {
    pub(crate) const fn get(
        path: &'static str,
        name: &'static str,
        handler: fn(&mut Call<'_>) -> Answer,
    ) -> Self {
        Self {
            method: "GET",
            path,
            scope: Scope::Either,
            versions: Versions::Released,
            body: Body::None,
            writes: false,
            name,
            query: &[],
            handler,
        }
    }

    pub(crate) const fn send(
        method: &'static str,
        path: &'static str,
        name: &'static str,
        body: Body,
        handler: fn(&mut Call<'_>) -> Answer,
    ) -> Self {
        Self { method, body, writes: true, ..Self::get(path, name, handler) }
    }

    pub(crate) const fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    pub(crate) const fn preview(mut self, number: u32) -> Self {
        self.versions = Versions::Preview(number);
        self
    }

    pub(crate) const fn query(mut self, names: &'static [&'static str]) -> Self {
        self.query = names;
        self
    }

    /// A POST that only reads.
    pub(crate) const fn asks(mut self) -> Self {
        self.writes = false;
        self
    }

    fn matches(&self, segments: &[String]) -> Option<Vec<String>> {
        let pattern: Vec<&str> = self.path.split('/').collect();
        if pattern.len() != segments.len() {
            return None;
        }
        let mut args = Vec::new();
        for (wanted, given) in pattern.iter().zip(segments) {
            if let Some(rest) = wanted.strip_prefix('$').filter(|rest| rest.starts_with('{')) {
                debug_assert!(rest.ends_with('}'), "a pattern's braces are closed");
                args.push(given.strip_prefix('$')?.to_owned());
            } else if wanted.starts_with('{') {
                args.push(given.clone());
            } else if !wanted.eq_ignore_ascii_case(given) {
                return None;
            }
        }
        Some(args)
    }
}

const TABLES: [&[Route]; 15] = [
    location::ROUTES,
    identities::ROUTES,
    work_items::ROUTES,
    comments::ROUTES,
    attachments::ROUTES,
    types::ROUTES,
    wiql::ROUTES,
    git::ROUTES,
    pull_requests::ROUTES,
    pull_update::ROUTES,
    reviews::ROUTES,
    threads::ROUTES,
    policy::ROUTES,
    build::ROUTES,
    test_results::ROUTES,
];

/// A path taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) project: Option<String>,
    pub(crate) team: bool,
    pub(crate) segments: Vec<String>,
}

/// `/{organization}/{project?}/{team?}/_apis/…`; nothing when the path is no API path of this organization.
pub(crate) fn place(organization: &str, path: &str) -> Option<Place> {
    let mut segments = path.trim_matches('/').split('/').map(decode);
    if !segments.next()?.eq_ignore_ascii_case(organization) {
        return None;
    }
    let rest: Vec<String> = segments.collect();
    let at = rest.iter().position(|segment| segment.eq_ignore_ascii_case("_apis"))?;
    if at > 2 {
        return None;
    }
    Some(Place {
        project: rest.first().filter(|_| at > 0).cloned(),
        team: at == 2,
        segments: rest[at + 1..].to_vec(),
    })
}

pub(crate) enum Found {
    Route(&'static Route, Vec<String>),
    /// The path exists with other methods.
    OtherMethods(Vec<&'static str>),
    Nothing,
}

pub(crate) fn find(method: &str, place: &Place) -> Found {
    let mut others = Vec::new();
    for route in TABLES.iter().copied().flatten() {
        let Some(args) = route.matches(&place.segments) else { continue };
        let scoped = match route.scope {
            Scope::Organization => place.project.is_none(),
            Scope::Project => place.project.is_some(),
            Scope::Either => true,
        };
        if !scoped || (place.team && route.name != "wiql") {
            continue;
        }
        if route.method == method {
            return Found::Route(route, args);
        }
        others.push(route.method);
    }
    if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others) }
}

/// One request on its way through a handler.
pub(crate) struct Call<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) past: &'a Past,
    /// The authenticated account.
    pub(crate) me: String,
    pub(crate) project: Option<Arc<Project>>,
    pub(crate) args: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Value,
    /// What was sent, where the operation takes a file.
    pub(crate) bytes: Bytes,
    pub(crate) accept: String,
}

impl Call<'_> {
    /// A query value; names in any case.
    pub(crate) fn q(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.q(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<usize>, Problem> {
        let Some(text) = self.q(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            Problem::new(
                400,
                "VssPropertyValidationException",
                format!("The value '{text}' is not valid for the query parameter {name}."),
            )
        })
    }

    pub(crate) fn arg(&self, at: usize) -> &str {
        self.args.get(at).map_or("", String::as_str)
    }

    pub(crate) fn id(&self, at: usize) -> Result<i64, Problem> {
        self.arg(at).parse().map_err(|_| {
            Problem::new(
                400,
                "VssPropertyValidationException",
                format!("The request is invalid: '{}' is not a number.", self.arg(at)),
            )
        })
    }

    pub(crate) fn project(&self) -> Result<&Arc<Project>, Problem> {
        self.project.as_ref().ok_or_else(|| {
            Problem::new(400, "ProjectDoesNotExistException", "VS800075: The project is missing in the path.")
        })
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.body[name].as_str()
    }
}

/// `$top`/`$skip` on a list.
pub(crate) fn page<T>(list: Vec<T>, skip: usize, top: usize) -> Vec<T> {
    list.into_iter().skip(skip).take(top).collect()
}
