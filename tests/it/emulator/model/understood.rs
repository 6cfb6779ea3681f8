//! What a client of each dialect understands of an answer. A stream that breaks the dialect's own rules fails its test.

use super::Told;
use serde_json::{Value, json};

/// What a client of the dialect understands of an answer, streamed or whole: text, the tool that is called with the
/// command line, input and output tokens, and why it ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Understood {
    pub(super) text: String,
    pub(super) call: Option<(String, String)>,
    pub(super) usage: (u64, u64),
    pub(super) end: String,
}

pub(super) fn understood(path: &str, told: &Told, stream: bool) -> Understood {
    match (path, stream) {
        ("/v1/chat/completions", false) => chat(&told.json()),
        ("/v1/chat/completions", true) => chat_stream(&told.events()),
        ("/v1/responses", false) => response(&told.json()),
        ("/v1/responses", true) => response_stream(&told.events()),
        (_, false) => message(&told.json()),
        (_, true) => message_stream(&told.events()),
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn command(arguments: &Value) -> String {
    string(if arguments["cmd"].is_null() { &arguments["command"] } else { &arguments["cmd"] })
}

fn chat(body: &Value) -> Understood {
    assert_eq!(body["object"], "chat.completion", "{body}");
    let choice = &body["choices"][0];
    let function = &choice["message"]["tool_calls"][0]["function"];
    let call = function["name"].as_str().map(|name| {
        (name.to_owned(), command(&serde_json::from_str(function["arguments"].as_str().unwrap()).unwrap()))
    });
    let usage = (number(&body["usage"]["prompt_tokens"]), number(&body["usage"]["completion_tokens"]));
    Understood {
        text: string(&choice["message"]["content"]),
        call,
        usage,
        end: string(&choice["finish_reason"]),
    }
}

fn chat_stream(events: &[(String, Value)]) -> Understood {
    let mut found = Understood::default();
    let (mut name, mut arguments) = (String::new(), String::new());
    assert_eq!(events.last().unwrap().1, "[DONE]", "{events:?}");
    for (event, data) in &events[..events.len() - 1] {
        assert_eq!(event, "", "chat completions name no events");
        assert_eq!(data["object"], "chat.completion.chunk", "{data}");
        if let Some(usage) = data.get("usage") {
            assert_eq!(data["choices"], json!([]));
            found.usage = (number(&usage["prompt_tokens"]), number(&usage["completion_tokens"]));
        }
        let choice = &data["choices"][0];
        found.text += &string(&choice["delta"]["content"]);
        found.end += &string(&choice["finish_reason"]);
        let call = &choice["delta"]["tool_calls"][0]["function"];
        name += &string(&call["name"]);
        arguments += &string(&call["arguments"]);
    }
    found.call = (!name.is_empty()).then(|| (name, command(&serde_json::from_str(&arguments).unwrap())));
    found
}

fn response(body: &Value) -> Understood {
    assert_eq!((&body["object"], &body["status"]), (&json!("response"), &json!("completed")), "{body}");
    let mut found = Understood {
        usage: (number(&body["usage"]["input_tokens"]), number(&body["usage"]["output_tokens"])),
        end: string(&body["status"]),
        ..Understood::default()
    };
    for item in body["output"].as_array().unwrap() {
        if item["type"] == "function_call" {
            let arguments = serde_json::from_str(item["arguments"].as_str().unwrap()).unwrap();
            found.call = Some((string(&item["name"]), command(&arguments)));
        } else {
            found.text += &string(&item["content"][0]["text"]);
        }
    }
    found
}

fn response_stream(events: &[(String, Value)]) -> Understood {
    assert_eq!(events[0].0, "response.created");
    let (mut text, mut arguments, mut items) = (String::new(), String::new(), Vec::new());
    for (at, (name, data)) in events.iter().enumerate() {
        assert_eq!(data["type"], name.as_str());
        assert_eq!(number(&data["sequence_number"]), at as u64, "{data}");
        match name.as_str() {
            "response.output_text.delta" => text += data["delta"].as_str().unwrap(),
            "response.function_call_arguments.delta" => arguments += data["delta"].as_str().unwrap(),
            "response.output_item.done" => items.push(data["item"].clone()),
            _ => {}
        }
    }
    let (name, last) = events.last().unwrap();
    assert_eq!(name, "response.completed");
    let found = response(&last["response"]);
    assert_eq!(last["response"]["output"].as_array().unwrap(), &items, "items and the end agree");
    assert_eq!(found.text, text, "deltas and the end agree");
    let call = items.iter().find(|item| item["type"] == "function_call");
    assert_eq!(call.map_or(String::new(), |call| string(&call["arguments"])), arguments);
    found
}

fn message(body: &Value) -> Understood {
    assert_eq!((&body["type"], &body["role"]), (&json!("message"), &json!("assistant")), "{body}");
    let mut found = Understood { end: string(&body["stop_reason"]), ..Understood::default() };
    let usage = &body["usage"];
    let input = number(&usage["input_tokens"]) + number(&usage["cache_read_input_tokens"]);
    found.usage = (input, number(&usage["output_tokens"]));
    for block in body["content"].as_array().unwrap() {
        if block["type"] == "tool_use" {
            found.call = Some((string(&block["name"]), command(&block["input"])));
        } else {
            found.text += &string(&block["text"]);
        }
    }
    found
}

fn message_stream(events: &[(String, Value)]) -> Understood {
    assert_eq!(events[0].0, "message_start");
    assert_eq!(events.last().unwrap().0, "message_stop");
    let mut body = events[0].1["message"].clone();
    let mut json_text = String::new();
    for (name, data) in events {
        assert_eq!(data["type"], name.as_str());
        let index = usize::try_from(number(&data["index"])).unwrap();
        match name.as_str() {
            "content_block_start" => {
                assert_eq!(body["content"].as_array().unwrap().len(), index);
                body["content"].as_array_mut().unwrap().push(data["content_block"].clone());
            }
            "content_block_delta" if data["delta"]["type"] == "text_delta" => {
                let text = string(&body["content"][index]["text"]) + data["delta"]["text"].as_str().unwrap();
                body["content"][index]["text"] = json!(text);
            }
            "content_block_delta" => json_text += data["delta"]["partial_json"].as_str().unwrap(),
            "content_block_stop" if body["content"][index]["type"] == "tool_use" => {
                body["content"][index]["input"] = serde_json::from_str(&json_text).unwrap();
            }
            "message_delta" => {
                body["stop_reason"] = data["delta"]["stop_reason"].clone();
                body["usage"]["output_tokens"] = data["usage"]["output_tokens"].clone();
            }
            _ => {}
        }
    }
    message(&body)
}
