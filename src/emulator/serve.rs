//! One request from arrival to answer: faults, credentials, versions, the handler, the log.
//!
//! It knows HTTP. What a request means is in `routes`; git's own traffic goes to `backend`.

use super::{
    Inner, SignIn, backend,
    connection::Scissors,
    faults::Wrong,
    page,
    record::Exchange,
    routes::{self, Body as Wanted, Call, Found, Place},
    wire::{self, Content, Problem, Reply},
};
use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// A request, read whole.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Incoming {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn target(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }
}

/// What kind of thing a path asks for.
enum Kind {
    Api(Place),
    Git,
    Page,
    Other,
}

fn kind(inner: &Inner, incoming: &Incoming) -> Kind {
    if let Some(place) = routes::place(&inner.organization, &incoming.path) {
        return Kind::Api(place);
    }
    let path = incoming.path.trim_matches('/');
    if path.is_empty() || path.eq_ignore_ascii_case(&inner.organization) {
        return Kind::Page;
    }
    if path.split('/').any(|segment| segment.eq_ignore_ascii_case("_git")) { Kind::Git } else { Kind::Other }
}

fn operation(kind: &Kind, incoming: &Incoming) -> (&'static str, bool) {
    match kind {
        Kind::Api(place) => match routes::find(&incoming.method, place) {
            Found::Route(route, _) => (route.name, route.writes),
            _ => ("unknown", incoming.method != "GET"),
        },
        Kind::Git => backend::operation(incoming),
        Kind::Page => ("page", false),
        Kind::Other => ("unknown", incoming.method != "GET"),
    }
}

/// The one handler of the server.
pub(crate) async fn handle(
    State(inner): State<Arc<Inner>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 256 << 20).await else {
        return http(Reply::empty(413), None);
    };
    let incoming = Incoming {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
    };
    for late in inner.due() {
        answer(&inner, &late, false, Some("arrived late".into())).await;
    }
    let (name, write) = operation(&kind(&inner, &incoming), &incoming);
    // The page is the spectator's: looking at it must not use up a fault.
    let struck = if name == "page" {
        None
    } else {
        inner.strike(name, &format!("{}?{}", incoming.path, incoming.query), write)
    };
    let Some((wrong, fault)) = struck else {
        return answer(&inner, &incoming, false, None).await;
    };
    match wrong {
        Wrong::Lost => {
            inner.log(&incoming, name, write, None, 0, Some(fault));
            scissors.cut();
            http(Reply::empty(500), None)
        }
        Wrong::Late(after) => {
            inner.log(&incoming, name, write, None, 0, Some(fault));
            inner.hold(incoming, after);
            scissors.cut();
            http(Reply::empty(500), None)
        }
        Wrong::AnswerLost => {
            let response = answer(&inner, &incoming, false, Some(fault)).await;
            scissors.cut();
            response
        }
        Wrong::Answer { status, headers, body } => {
            inner.log(&incoming, name, write, None, status, Some(fault));
            let mut reply = Reply::new(status, Content::Bytes(body.into_bytes(), ""));
            reply.headers = headers;
            http(reply, None)
        }
        Wrong::Headers(headers) => {
            let mut response = answer(&inner, &incoming, false, Some(fault)).await;
            for (name, value) in headers {
                put(response.headers_mut(), &name, &value);
            }
            response
        }
        Wrong::Stale => answer(&inner, &incoming, true, Some(fault)).await,
        Wrong::Partial => shortened(answer(&inner, &incoming, false, Some(fault)).await).await,
        Wrong::SlowAnswer(by) => {
            let response = answer(&inner, &incoming, false, Some(fault)).await;
            tokio::time::sleep(by).await;
            response
        }
        Wrong::Slow(by) => {
            tokio::time::sleep(by).await;
            answer(&inner, &incoming, false, Some(fault)).await
        }
    }
}

/// Does what the request asks, and writes it down.
async fn answer(
    inner: &Arc<Inner>,
    incoming: &Incoming,
    stale: bool,
    fault: Option<String>,
) -> Response<Body> {
    let kind = kind(inner, incoming);
    let (name, write) = operation(&kind, incoming);
    let (who, response) = match kind {
        Kind::Git => backend::serve(inner, incoming).await,
        Kind::Page => (None, http(Reply::html(200, &page::render(inner)), None)),
        Kind::Other => {
            inner.unknown(incoming);
            (None, http(no_controller(&incoming.path), None))
        }
        Kind::Api(place) => {
            let (inner, incoming) = (Arc::clone(inner), incoming.clone());
            let worked = tokio::task::spawn_blocking(move || api(&inner, &incoming, &place, stale)).await;
            match worked {
                Ok((who, reply, version)) => (who, http(reply, version.as_deref())),
                // A panic in a handler is a defect of the emulator; the client sees what it would see of a server's.
                Err(_) => (
                    None,
                    http(
                        Problem::new(
                            500,
                            "UnexpectedErrorException",
                            "TF400898: An Internal Error Occurred.",
                        )
                        .reply(),
                        None,
                    ),
                ),
            }
        }
    };
    if name != "page" {
        inner.log(incoming, name, write, who, response.status().as_u16(), fault);
    }
    if name.starts_with("git:") || name == "page" {
        return response;
    }
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let kind = parts.headers.get("content-type").and_then(|value| value.to_str().ok());
    inner.recorded(&Exchange {
        method: &incoming.method,
        url: &format!("{}{}", inner.origin, incoming.target()),
        request_type: incoming.header("content-type"),
        request: &incoming.body,
        status: parts.status.as_u16(),
        response_type: kind,
        response: &bytes,
    });
    Response::from_parts(parts, Body::from(bytes))
}

fn no_controller(path: &str) -> Reply {
    let text = format!("The controller for path '{path}' was not found or does not implement IController.");
    Reply::new(404, Content::Text(text, "text/plain; charset=utf-8"))
}

type Worked = (Option<String>, Reply, Option<String>);

fn api(inner: &Arc<Inner>, incoming: &Incoming, place: &Place, stale: bool) -> Worked {
    let data = place.segments.first().is_some_and(|segment| segment.eq_ignore_ascii_case("connectionData"));
    let me = match authenticate(inner, incoming) {
        Ok(me) => me,
        Err(_) if data && inner.look(|world| world.knobs.anonymous_connection_data) => {
            let body = inner.look(routes::location::anonymous);
            return (None, Reply::ok(body), Some("7.1-preview.1".into()));
        }
        Err(reply) => return (None, reply, None),
    };
    let name =
        inner.look(|world| world.account(&me).map(|a| (a.display_name.clone(), a.unique_name.clone())));
    let (name, unique) = name.unwrap_or_default();
    let user_data = format!("{me}:{unique}");
    let (reply, version) = match operate(inner, incoming, place, &me, stale) {
        Ok((reply, version)) => (reply, Some(version)),
        Err(reply) => (reply, None),
    };
    (Some(name), reply.header("X-VSS-UserData", user_data), version)
}

/// The account of the credential, or the refusal that the request deserves.
pub(crate) fn authenticate(inner: &Inner, incoming: &Incoming) -> Result<String, Reply> {
    let header = incoming.header("authorization").unwrap_or_default();
    let bearer = header.to_ascii_lowercase().starts_with("bearer ");
    let found =
        wire::secret(header).and_then(|secret| inner.look(|world| world.credentials.get(&secret).cloned()));
    match found {
        // A PAT is no bearer token; an Entra token may travel as Basic password.
        Some(known) if !known.expired && (known.bearer || !bearer) => return Ok(known.account),
        Some(known) if known.expired && !known.bearer && !bearer => {
            let text = "Access Denied: The Personal Access Token used has expired.";
            return Err(Problem::new(401, "AccessCheckException", text).reply());
        }
        _ => {}
    }
    let suppressed =
        incoming.header("x-tfs-fedauthredirect").is_some_and(|v| v.eq_ignore_ascii_case("suppress"));
    let challenge = format!("Basic realm=\"{}\"", inner.origin);
    let sign_in = inner.look(|world| world.knobs.sign_in);
    if sign_in == SignIn::Empty {
        return Err(Reply::empty(401)
            .header("WWW-Authenticate", "Bearer")
            .header("WWW-Authenticate", challenge));
    }
    if suppressed || !matches!(incoming.method.as_str(), "GET" | "POST") {
        let text = "TF400813: The user 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa' is not authorized to access this resource.";
        return Err(Problem::new(401, "UnauthorizedRequestException", text)
            .reply()
            .header("WWW-Authenticate", "Bearer")
            .header("WWW-Authenticate", challenge));
    }
    if sign_in == SignIn::Redirect {
        let to = format!("{}/_signin?realm=emulator&reply_to={}", inner.origin, wire::encode(&incoming.path));
        return Err(
            Reply::html(302, "<html><head><title>Object moved</title></head></html>").header("Location", to)
        );
    }
    Err(Reply::html(
        203,
        "<!DOCTYPE html><html lang=\"en-US\"><head><title>Azure DevOps Services | Sign In</title></head><body>Sign in</body></html>",
    ))
}

fn operate(
    inner: &Arc<Inner>,
    incoming: &Incoming,
    place: &Place,
    me: &str,
    stale: bool,
) -> Result<(Reply, String), Reply> {
    let (route, args) = match routes::find(&incoming.method, place) {
        Found::Route(route, args) => (route, args),
        Found::OtherMethods(others) => {
            inner.unknown(incoming);
            let text = format!(
                "{{\"count\":1,\"value\":{{\"Message\":\"The requested resource does not support http method '{}'.\"}}}}",
                incoming.method
            );
            let reply = Reply::new(405, Content::Text(text, "application/json; charset=utf-8"));
            return Err(reply.header("Allow", others.join(", ")));
        }
        Found::Nothing => {
            inner.unknown(incoming);
            return Err(no_controller(&incoming.path));
        }
    };
    let query: Vec<(String, String)> = url::form_urlencoded::parse(incoming.query.as_bytes())
        .map(|(a, b)| (a.into_owned(), b.into_owned()))
        .collect();
    let accept = incoming.header("accept").unwrap_or_default().to_owned();
    let asked = query
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("api-version"))
        .map(|(_, value)| value.clone())
        .or_else(|| version_of(&accept))
        .or_else(|| incoming.header("content-type").and_then(version_of));
    let version =
        wire::check_version(route.versions, asked.as_deref(), route.writes || incoming.method != "GET")
            .map_err(|problem| problem.reply())?;
    let body = read_body(route.body, incoming)?;
    let bytes = if route.body == Wanted::Bytes { incoming.body.clone() } else { Bytes::new() };
    let strange: Vec<String> = query
        .iter()
        .filter(|(name, _)| !name.eq_ignore_ascii_case("api-version"))
        .filter(|(name, _)| !route.query.iter().any(|known| known.eq_ignore_ascii_case(name)))
        .map(|(name, _)| format!("{} {}: the query '{name}' is not known", incoming.method, route.path))
        .collect();
    let project_name = place.project.clone();
    let me = me.to_owned();
    let work = move |world: &mut super::state::World, past: &super::state::Past| -> Result<Reply, Reply> {
        world.unsupported.extend(strange.iter().cloned());
        let project = match &project_name {
            Some(name) => Some(world.project(name).map_err(|problem| problem.reply())?),
            None => None,
        };
        let mut call = Call {
            world,
            past,
            me: me.clone(),
            project,
            args: args.clone(),
            query: query.clone(),
            body: body.clone(),
            bytes: bytes.clone(),
            accept: accept.clone(),
        };
        (route.handler)(&mut call).map_err(|problem| problem.reply())
    };
    let reply = match (stale, route.writes) {
        (_, true) => inner.write(work),
        (true, false) => inner.stale(work),
        (false, false) => inner.read(work),
    }?;
    Ok((reply, version))
}

fn version_of(header: &str) -> Option<String> {
    let part = header
        .split([';', ','])
        .map(str::trim)
        .find(|part| part.to_ascii_lowercase().starts_with("api-version="))?;
    part.split_once('=').map(|(_, version)| version.trim_matches('"').to_owned())
}

fn read_body(wanted: Wanted, incoming: &Incoming) -> Result<Value, Reply> {
    let given = incoming.header("content-type").unwrap_or_default();
    let media = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let accepted = match wanted {
        Wanted::None => None,
        Wanted::Json => Some("application/json"),
        Wanted::Patch => Some("application/json-patch+json"),
        Wanted::Bytes => Some("application/octet-stream"),
    };
    if let Some(accepted) = accepted
        && media != accepted
        && !(media.is_empty() && incoming.body.is_empty())
    {
        let text = format!(
            "The request indicated a Content-Type of \"{media}\" for method type \"{}\" which is not supported. Valid content \
             types for this method are: {accepted}.",
            incoming.method
        );
        return Err(Problem::new(415, "VssRequestContentTypeNotSupportedException", text).reply());
    }
    if incoming.body.is_empty() || wanted == Wanted::Bytes {
        return Ok(Value::Null);
    }
    match serde_json::from_slice(&incoming.body) {
        Ok(value) => Ok(value),
        Err(_) if accepted.is_none() => Ok(Value::Null),
        Err(error) => {
            let body = json!({"count": 1, "value": {"Message": format!("The request is invalid. {error}")}});
            Err(Reply::new(400, Content::Json(body)))
        }
    }
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        headers.append(name, value);
    }
}

pub(crate) fn http(reply: Reply, version: Option<&str>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (kind, bytes) = match reply.content {
        Content::Json(value) => {
            let kind = match version {
                Some(version) => format!("application/json; charset=utf-8; api-version={version}"),
                None => "application/json; charset=utf-8".to_owned(),
            };
            (kind, value.to_string().into_bytes())
        }
        Content::Text(text, kind) => (kind.to_owned(), text.into_bytes()),
        Content::Bytes(bytes, kind) => (kind.to_owned(), bytes),
        Content::Empty => (String::new(), Vec::new()),
    };
    if !kind.is_empty() {
        put(response.headers_mut(), "content-type", &kind);
    }
    let activity = wire::guid(&format!("{} {}", bytes.len(), reply.status));
    put(response.headers_mut(), "ActivityId", &activity);
    put(response.headers_mut(), "X-VSS-E2EID", &activity);
    put(response.headers_mut(), "X-TFS-ProcessId", &wire::guid("process"));
    for (name, value) in &reply.headers {
        put(response.headers_mut(), name, value);
    }
    *response.body_mut() = Body::from(bytes);
    response
}

/// Half of a list, and no continuation: a page that was cut short.
async fn shortened(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.remove("x-ms-continuationtoken");
    parts.headers.remove("content-length");
    let Ok(mut value) = serde_json::from_slice::<Value>(&bytes) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    for name in ["value", "comments", "workItems"] {
        if let Some(list) = value.get_mut(name).and_then(Value::as_array_mut) {
            list.truncate(list.len() / 2);
            let left = list.len();
            if value.get("count").is_some() {
                value["count"] = json!(left);
            }
        }
    }
    if let Some(members) = value.as_object_mut() {
        members.remove("continuationToken");
        members.remove("nextPage");
    }
    Response::from_parts(parts, Body::from(value.to_string()))
}
