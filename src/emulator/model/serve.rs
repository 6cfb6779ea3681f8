//! One request to the model server, from arrival to answer: the key, the dialect, the manner in which an answer travels.
//!
//! It knows HTTP. What is answered, `behaviour` decides.

use super::{
    Asked, Desk,
    ask::{Answer, Ask, Event, Part, Refusal},
    behaviour::{self, Manner, NAMES, Reply},
    chat::{self, CREATED},
    messages, responses,
};
use crate::emulator::connection::Scissors;
use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode},
};
use serde_json::{Value, json};
use std::{convert::Infallible, sync::Arc, time::Duration};

/// Bytes of a request: conversations of large contexts are a few megabytes.
const LARGEST: usize = 64 << 20;
/// Between the parts of a slow answer.
const PAUSE: Duration = Duration::from_secs(1);
/// For how long a silent model holds the line: longer than any idle limit that a test would set.
const SILENCE: Duration = Duration::from_mins(2);

/// What a garbled answer says.
const GARBAGE: &str = "{not json";
/// The status of every answer that is no refusal.
const SUCCESS: u16 = 200;

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Chat,
    Responses,
    Messages,
}

impl Dialect {
    fn read(self, body: &Value) -> Ask {
        match self {
            Self::Chat => chat::read(body),
            Self::Responses => responses::read(body),
            Self::Messages => messages::read(body),
        }
    }

    fn whole(self, ask: &Ask, answer: &Answer, number: u64) -> Value {
        match self {
            Self::Chat => chat::whole(ask, answer, number),
            Self::Responses => responses::whole(ask, answer, number),
            Self::Messages => messages::whole(ask, answer, number),
        }
    }

    fn stream(self, ask: &Ask, answer: &Answer, number: u64) -> Vec<Event> {
        match self {
            Self::Chat => chat::stream(ask, answer, number),
            Self::Responses => responses::stream(ask, answer, number),
            Self::Messages => messages::stream(ask, answer, number),
        }
    }

    fn refuse(self, refusal: &Refusal) -> Response<Body> {
        let body = match self {
            Self::Chat | Self::Responses => chat::refuse(refusal),
            Self::Messages => messages::refuse(refusal),
        };
        let mut response = json(refusal.status, &body);
        if let Some(seconds) = refusal.retry_after {
            response.headers_mut().insert("retry-after", HeaderValue::from(seconds));
        }
        response
    }
}

/// What a request is about.
enum Matter {
    Talk(Dialect),
    Count,
    Models(Dialect),
    Unknown(Dialect),
}

fn matter(method: &Method, path: &str, headers: &HeaderMap) -> Matter {
    let speaks = if headers.contains_key("anthropic-version") { Dialect::Messages } else { Dialect::Chat };
    match (method.as_str(), path) {
        ("POST", "/v1/chat/completions") => Matter::Talk(Dialect::Chat),
        ("POST", "/v1/responses") => Matter::Talk(Dialect::Responses),
        ("POST", "/v1/messages") => Matter::Talk(Dialect::Messages),
        ("POST", "/v1/messages/count_tokens") => Matter::Count,
        ("GET", "/v1/models") => Matter::Models(speaks),
        _ => Matter::Unknown(speaks),
    }
}

/// The one handler of the server.
pub(super) async fn handle(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let asked = Asked {
        method: parts.method.to_string(),
        path,
        model: String::new(),
        tools: Vec::new(),
        status: 0,
        played: String::new(),
        body: Value::Null,
    };
    // Some agents look whether there is anybody before they say who they are.
    if parts.method == Method::HEAD {
        desk.remember(Asked { status: SUCCESS, ..asked });
        return Response::new(Body::empty());
    }
    let matter = matter(&parts.method, parts.uri.path(), &parts.headers);
    let bytes = axum::body::to_bytes(body, LARGEST).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let asked = Asked { body: body.clone(), ..asked };
    let refused = |dialect: Dialect, status, kind, message: &str| {
        let refusal = Refusal { status, kind, message: message.to_owned(), retry_after: None };
        desk.remember(Asked { status, played: "refused".to_owned(), ..asked.clone() });
        dialect.refuse(&refusal)
    };
    let (Matter::Talk(speaks) | Matter::Models(speaks) | Matter::Unknown(speaks)) = matter else {
        if !is_known(&desk.key, &parts.headers) {
            return refused(Dialect::Messages, 401, "authentication_error", WRONG_KEY);
        }
        desk.remember(Asked { status: SUCCESS, played: "count".to_owned(), ..asked });
        return json(SUCCESS, &messages::count(&body));
    };
    if !is_known(&desk.key, &parts.headers) {
        return refused(speaks, 401, "authentication_error", WRONG_KEY);
    }
    match matter {
        Matter::Models(_) | Matter::Count => {
            desk.remember(Asked { status: SUCCESS, played: "models".to_owned(), ..asked });
            json(SUCCESS, &models(speaks))
        }
        Matter::Unknown(_) => refused(speaks, 404, "not_found_error", "there is nothing at this address"),
        Matter::Talk(_) if !body.is_object() => {
            refused(speaks, 400, "invalid_request_error", "the request's body is not a JSON object")
        }
        Matter::Talk(_) => talk(&desk, speaks, asked, &scissors).await,
    }
}

const WRONG_KEY: &str = "the key is missing or wrong";

async fn talk(desk: &Desk, dialect: Dialect, asked: Asked, scissors: &Scissors) -> Response<Body> {
    let ask = dialect.read(&asked.body);
    let tools = ask.tools.iter().map(|tool| tool.name.clone()).collect();
    let asked = Asked { model: ask.model.clone(), tools, ..asked };
    match behaviour::play(&ask, &desk.screenplay) {
        Reply::Silence => {
            desk.remember(Asked { played: ask.model, ..asked });
            tokio::time::sleep(SILENCE).await;
            scissors.cut();
            Response::new(Body::empty())
        }
        Reply::Refuse(refusal) => {
            desk.remember(Asked { status: refusal.status, played: ask.model, ..asked });
            dialect.refuse(&refusal)
        }
        Reply::Answer(answer, manner) => {
            desk.remember(Asked { status: SUCCESS, played: answer.played.clone(), ..asked });
            let number = desk.number();
            if ask.streaming {
                streamed(&dialect.stream(&ask, &answer, number), manner)
            } else {
                at_once(&dialect.whole(&ask, &answer, number), manner)
            }
        }
    }
}

/// As a bearer, or as Anthropic's header.
fn is_known(key: &str, headers: &HeaderMap) -> bool {
    let told = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    told("x-api-key") == Some(key)
        || told("authorization").and_then(|value| value.strip_prefix("Bearer ")) == Some(key)
}

fn models(dialect: Dialect) -> Value {
    match dialect {
        Dialect::Chat | Dialect::Responses => {
            let list = NAMES.map(
                |name| json!({"id": name, "object": "model", "created": CREATED, "owned_by": "emulator"}),
            );
            json!({"object": "list", "data": list})
        }
        Dialect::Messages => {
            let list = NAMES.map(|name| {
                json!({"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"})
            });
            json!({"data": list, "has_more": false, "first_id": NAMES.first(), "last_id": NAMES.last()})
        }
    }
}

fn json(status: u16, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

/// An answer in one piece. Some agents try this when a stream was broken, and must not be better off.
fn at_once(body: &Value, manner: Manner) -> Response<Body> {
    let mut response = json(SUCCESS, body);
    match manner {
        Manner::Whole | Manner::Slow => {}
        Manner::Cut => {
            let text = body.to_string();
            *response.body_mut() = Body::from(text.as_bytes()[..text.len() / 2].to_vec());
        }
        Manner::Garbled => *response.body_mut() = Body::from(GARBAGE),
    }
    response
}

/// Server-sent events, as far as the manner lets them come.
fn streamed(events: &[Event], manner: Manner) -> Response<Body> {
    let kept = |event: &&Event| match manner {
        Manner::Whole | Manner::Slow => true,
        Manner::Cut => event.part != Part::Closing,
        Manner::Garbled => event.part == Part::Opening,
    };
    let mut texts: Vec<(Part, String)> =
        events.iter().filter(|event| kept(event)).map(|event| (event.part, event.wire())).collect();
    if manner == Manner::Garbled {
        texts.push((Part::Closing, Event::plain(Part::Closing, &GARBAGE).wire()));
    }
    let pieces = futures_util::stream::unfold(texts.into_iter(), move |mut texts| async move {
        let (part, text) = texts.next()?;
        if manner == Manner::Slow && part == Part::Middle {
            tokio::time::sleep(PAUSE).await;
        }
        Some((Ok::<_, Infallible>(text), texts))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    response
}
