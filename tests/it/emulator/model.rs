//! The pretend model provider: each dialect as its documents describe it, each trap as it is named.

mod real;
mod scenes;
mod understood;

use super::client;
use roundsman::{
    cli::demo::universe,
    emulator::model::{Model, NAMES, Options, Screenplay},
};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};
use understood::understood;

const KEY: &str = "sk-pretend-0123456789";
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const PATHS: [&str; 3] = ["/v1/chat/completions", "/v1/responses", "/v1/messages"];
/// The brief of an implement turn, as far as a script reads it.
const IMPLEMENT: &str = "# Work item 7, run 7-r3\n\nYou work alone.\n\n## Your task: implement\n\nDo it.\n";
/// The brief of a respond turn.
const RESPOND: &str = "# Work item 7, run 7-r3\n\n## Your task: respond to a review\n\n### Thread 12\n\nAbout `/bin/greet` line 7; \
                       awaits you.\n\n### Thread 13\n\nAbout the pull request as a whole; context only, do not answer.\n";

async fn model(screenplay: Screenplay) -> Model {
    Model::start(Options { address: ADDRESS, key: KEY.to_owned(), screenplay }).await.unwrap()
}

/// A request in the dialect of its path: a shell tool, a prompt, and what the tool answered so far.
fn request(path: &str, model: &str, prompt: &str, results: &[&str], stream: bool) -> Value {
    let text = json!({"type": "string"});
    match path {
        "/v1/chat/completions" => {
            let mut messages = vec![
                json!({"role": "system", "content": "Be good."}),
                json!({"role": "user", "content": prompt}),
            ];
            messages.extend(results.iter().flat_map(|result| {
                let function = json!({"name": "bash", "arguments": "{}"});
                let calls = json!([{"id": "call_1", "type": "function", "function": function}]);
                [
                    json!({"role": "assistant", "content": "", "tool_calls": calls}),
                    json!({"role": "tool", "tool_call_id": "call_1", "content": result}),
                ]
            }));
            let schema = json!({"type": "object", "properties": {"command": text}, "required": ["command"]});
            json!({"model": model, "stream": stream, "stream_options": {"include_usage": true}, "messages": messages,
                   "tools": [{"type": "function", "function": {"name": "bash", "parameters": schema}}]})
        }
        "/v1/responses" => {
            let content = |text: &str| json!([{"type": "input_text", "text": text}]);
            let mut input = vec![
                json!({"type": "message", "role": "user", "content": content("<environment_context/>")}),
                json!({"type": "message", "role": "user", "content": content(prompt)}),
            ];
            input.extend(results.iter().flat_map(|result| {
                [
                    json!({"type": "function_call", "call_id": "call_1", "name": "exec_command", "arguments": "{}"}),
                    json!({"type": "function_call_output", "call_id": "call_1", "output": result}),
                ]
            }));
            let schema = json!({"type": "object", "properties": {"cmd": text}, "required": ["cmd"]});
            json!({"model": model, "stream": stream, "input": input,
                   "tools": [{"type": "function", "name": "exec_command", "parameters": schema}]})
        }
        _ => {
            let reminder = "<system-reminder>\n## Your task: respond\n</system-reminder>";
            let content = json!([{"type": "text", "text": reminder}, {"type": "text", "text": prompt}]);
            let mut messages = vec![json!({"role": "user", "content": content})];
            messages.extend(results.iter().flat_map(|result| {
                let call = json!({"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}});
                let result = json!({"type": "tool_result", "tool_use_id": "toolu_1", "content": result});
                [
                    json!({"role": "assistant", "content": [call]}),
                    json!({"role": "user", "content": [result, {"type": "text", "text": reminder}]}),
                ]
            }));
            let properties = json!({"command": text, "description": text});
            let schema = json!({"type": "object", "properties": properties, "required": ["command"]});
            json!({"model": model, "stream": stream, "max_tokens": 4096, "messages": messages,
                   "tools": [{"name": "Bash", "input_schema": schema}]})
        }
    }
}

struct Told {
    status: u16,
    retry_after: Option<String>,
    kind: String,
    text: String,
}

impl Told {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|why| panic!("{why}: {}", self.text))
    }

    /// The events of a stream: their names, and what they carry. `[DONE]` and garbage carry a string.
    fn events(&self) -> Vec<(String, Value)> {
        assert!(self.kind.starts_with("text/event-stream"), "{}: {}", self.kind, self.text);
        assert!(self.text.ends_with("\n\n"), "{}", self.text);
        let event = |block: &str| {
            let mut name = String::new();
            let mut data = Value::Null;
            for line in block.lines() {
                if let Some(told) = line.strip_prefix("event: ") {
                    told.clone_into(&mut name);
                } else if let Some(told) = line.strip_prefix("data: ") {
                    data = serde_json::from_str(told).unwrap_or_else(|_| json!(told));
                } else {
                    panic!("no line of an event: {line}");
                }
            }
            (name, data)
        };
        self.text.trim_end().split("\n\n").map(event).collect()
    }
}

async fn ask(model: &Model, path: &str, key: &str, body: &Value) -> reqwest::Result<Told> {
    let mut request =
        client().post(format!("{}{path}", model.url())).header("Content-Type", "application/json");
    request = if path.starts_with("/v1/messages") {
        request.header("x-api-key", key).header("anthropic-version", "2023-06-01")
    } else {
        request.header("Authorization", format!("Bearer {key}"))
    };
    let response = request.body(body.to_string()).send().await?;
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (retry_after, kind) = (header("retry-after"), header("content-type").unwrap_or_default());
    Ok(Told { status: response.status().as_u16(), retry_after, kind, text: response.text().await? })
}

async fn told(model: &Model, path: &str, name: &str, results: &[&str], stream: bool) -> Told {
    ask(model, path, KEY, &request(path, name, "do it", results, stream)).await.unwrap()
}

#[tokio::test]
async fn without_the_right_key_every_dialect_refuses_in_its_own_words() {
    let model = model(Screenplay::default()).await;
    for path in PATHS {
        let body = request(path, "ok", "do it", &[], true);
        for key in ["", "sk-wrong"] {
            let told = ask(&model, path, key, &body).await.unwrap();
            assert_eq!(told.status, 401, "{path}");
            let error = told.json();
            assert_eq!(error["error"]["type"], "authentication_error", "{error}");
            if path == "/v1/messages" {
                assert_eq!(error["type"], "error", "{error}");
            } else {
                assert_eq!(error["error"]["code"], "invalid_api_key", "{error}");
            }
        }
        assert_eq!(ask(&model, path, KEY, &body).await.unwrap().status, 200, "{path}");
    }
    let counted = "/v1/messages/count_tokens";
    assert_eq!(ask(&model, counted, "no", &json!({})).await.unwrap().status, 401);
    let told = ask(&model, counted, KEY, &request("/v1/messages", "ok", "do it", &[], false)).await.unwrap();
    assert!(told.json()["input_tokens"].as_u64().unwrap() > 20, "{}", told.text);
    assert_eq!(ask(&model, "/v1/nothing", KEY, &json!({})).await.unwrap().status, 404);
    let told = ask(&model, PATHS[0], KEY, &json!("no object")).await.unwrap();
    assert_eq!((told.status, &told.json()["error"]["type"]), (400, &json!("invalid_request_error")));
}

#[tokio::test]
async fn an_empty_key_opens_nothing() {
    let options = Options { address: ADDRESS, key: String::new(), screenplay: Screenplay::default() };
    let refused = Model::start(options).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn models_are_listed_in_the_asked_dialect() {
    let model = model(Screenplay::default()).await;
    let list = |name: &'static str, value: String| {
        client().get(format!("{}/v1/models", model.url())).header(name, value)
    };
    let openai = list("Authorization", format!("Bearer {KEY}")).send().await.unwrap().text().await.unwrap();
    let anthropic = list("x-api-key", KEY.to_owned()).header("anthropic-version", "2023-06-01");
    let anthropic = anthropic.send().await.unwrap().text().await.unwrap();
    for (text, kind, name) in [(openai, "object", "model"), (anthropic, "type", "model")] {
        let body: Value = serde_json::from_str(&text).unwrap();
        let models = body["data"].as_array().unwrap();
        assert!(models.iter().all(|model| model[kind] == name), "{body}");
        let ids: Vec<&str> = models.iter().map(|model| model["id"].as_str().unwrap()).collect();
        assert_eq!(ids, NAMES);
    }
}

#[tokio::test]
async fn a_tool_is_called_once_and_then_the_answer_ends() {
    let model = model(Screenplay::default()).await;
    for path in PATHS {
        let tool = match path {
            "/v1/chat/completions" => "bash",
            "/v1/responses" => "exec_command",
            _ => "Bash",
        };
        let (call_end, end) = match path {
            "/v1/chat/completions" => ("tool_calls", "stop"),
            "/v1/responses" => ("completed", "completed"),
            _ => ("tool_use", "end_turn"),
        };
        for stream in [true, false] {
            let told = told(&model, path, "provider/bash", &[], stream).await;
            assert_eq!(told.status, 200, "{path}: {}", told.text);
            let first = understood(path, &told, stream);
            let (name, command) = first.call.expect("a call");
            assert_eq!(name, tool, "{path}");
            assert!(command.starts_with("echo from-bash > bash.txt"), "{command}");
            assert_eq!((first.end.as_str(), first.usage), (call_end, (1_000, 42)), "{path}");
            let told = self::told(&model, path, "bash", &["from the tool"], stream).await;
            let last = understood(path, &told, stream);
            assert_eq!((last.call, last.end.as_str()), (None, end), "{path}");
            assert!(!last.text.is_empty(), "{path}");
        }
    }
}

#[tokio::test]
async fn usage_of_a_stream_is_told_to_those_who_ask() {
    let model = model(Screenplay::default()).await;
    let mut body = request(PATHS[0], "ok", "do it", &[], true);
    body["stream_options"] = Value::Null;
    let told = ask(&model, PATHS[0], KEY, &body).await.unwrap();
    assert!(told.events().iter().all(|(_, data)| data.get("usage").is_none()), "{}", told.text);
}

#[tokio::test]
async fn a_loop_never_has_enough() {
    let model = model(Screenplay::default()).await;
    for path in PATHS {
        let told = told(&model, path, "loop", &["again"; 50], true).await;
        assert!(understood(path, &told, true).call.is_some(), "{path}");
    }
}

#[tokio::test]
async fn refusals_have_their_status_and_their_form() {
    let model = model(Screenplay::default()).await;
    for path in PATHS {
        for (name, status, kind) in [
            ("err400", 400, "invalid_request_error"),
            ("err401", 401, "authentication_error"),
            ("err429", 429, "rate_limit_error"),
            ("err500", 500, if path == "/v1/messages" { "api_error" } else { "server_error" }),
            ("gpt-none", 404, "not_found_error"),
        ] {
            let told = told(&model, path, name, &[], true).await;
            assert_eq!((told.status, told.kind.as_str()), (status, "application/json"), "{path} {name}");
            assert_eq!(told.json()["error"]["type"], kind, "{path} {name}");
            assert_eq!(told.retry_after.as_deref(), (name == "err429").then_some("1"), "{path} {name}");
        }
    }
}

#[tokio::test]
async fn broken_streams_break_where_they_say() {
    let model = model(Screenplay::default()).await;
    for path in PATHS {
        let whole = told(&model, path, "ok", &[], true).await.events();
        let cut = told(&model, path, "cut", &[], true).await.events();
        assert!(cut.len() > 1 && cut.len() < whole.len(), "{path}: {cut:?}");
        let ends = ["response.completed", "message_delta", "message_stop"];
        for (name, data) in &cut {
            let ended = *data == "[DONE]" || !data["choices"][0]["finish_reason"].is_null();
            assert!(!ended && !ends.contains(&name.as_str()), "{path}: {name} {data}");
        }
        let garbled = told(&model, path, "badjson", &[], true).await.events();
        let (last, before) = garbled.split_last().unwrap();
        assert_eq!(last.1, "{not json", "{path}");
        assert!(before.iter().all(|(_, data)| data.is_object()) && !before.is_empty(), "{path}");
        // Who asks again for an answer in one piece is not better off.
        for name in ["cut", "badjson"] {
            let told = told(&model, path, name, &[], false).await;
            assert!(serde_json::from_str::<Value>(&told.text).is_err(), "{path} {name}: {}", told.text);
        }
    }
}

#[tokio::test]
async fn slow_is_slow_and_hanging_is_silent() {
    let model = model(Screenplay::default()).await;
    let begun = Instant::now();
    let told = told(&model, PATHS[0], "slow", &[], true).await;
    // "Working on it." has three words, with a second before each.
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(understood(PATHS[0], &told, true).call.is_some());
    let silent =
        tokio::time::timeout(Duration::from_secs(1), self::told(&model, PATHS[0], "hang", &[], true));
    assert!(silent.await.is_err(), "it answers");
}

#[tokio::test]
async fn what_was_asked_is_remembered_without_the_key() {
    let model = model(Screenplay::default()).await;
    let prompt = format!("never say {KEY}");
    let body = request(PATHS[0], "fake/ok", &prompt, &[], true);
    let path = format!("{}?key={KEY}", PATHS[0]);
    assert_eq!(ask(&model, &path, KEY, &body).await.unwrap().status, 200);
    client().head(model.url()).send().await.unwrap();
    let asked = model.requests();
    assert!(!format!("{asked:?}").contains(KEY), "{asked:?}");
    assert_eq!(asked[0].body["messages"][1]["content"], "never say [key]");
    assert_eq!((asked[0].model.as_str(), asked[0].status, asked[0].played.as_str()), ("ok", 200, "ok"));
    assert_eq!(asked[0].tools, ["bash"]);
    assert_eq!((asked[1].method.as_str(), asked[1].status), ("HEAD", 200));
}

#[tokio::test]
async fn requests_without_tools_get_a_short_title() {
    let model = model(universe::screenplay()).await;
    for path in PATHS {
        for name in ["screenplay", "some-small-model"] {
            let mut body = request(path, name, IMPLEMENT, &[], true);
            body["tools"] = json!([]);
            let told = ask(&model, path, KEY, &body).await.unwrap();
            let found = understood(path, &told, true);
            assert_eq!((found.text.as_str(), found.call), ("Scripted session", None), "{path} {name}");
        }
    }
}
