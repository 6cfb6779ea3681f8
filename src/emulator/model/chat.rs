//! `OpenAI`'s chat completions: `POST /v1/chat/completions`.
//!
//! Shapes follow <https://platform.openai.com/docs/api-reference/chat>. Reads a request into an [`Ask`] and gives an
//! [`Answer`] its form, whole or as a stream; knows nothing of why it is answered so.

use super::ask::{Answer, Ask, Event, Part, Refusal, Said, Tool, Usage, flat, prompt};
use serde_json::{Value, json};

/// When all answers were made, in seconds since 1970: the same for all, so that answers can be compared.
pub(super) const CREATED: u64 = 1_767_225_600;
/// Bytes of a call's arguments in one event.
const ARGUMENTS: usize = 64;

pub(super) fn read(body: &Value) -> Ask {
    let said = list(&body["messages"])
        .filter_map(|message| match message["role"].as_str() {
            Some("user") => prompt(&flat(&message["content"])),
            Some("tool") => Some(Said::Result(flat(&message["content"]))),
            _ => None,
        })
        .collect();
    let tools = list(&body["tools"]).filter_map(|tool| function(&tool["function"])).collect();
    let wants_usage = body["stream_options"]["include_usage"] == true;
    Ask { wants_usage, ..Ask::new(body, said, tools) }
}

/// A function as `OpenAI` describes it.
pub(super) fn function(tool: &Value) -> Option<Tool> {
    Some(Tool { name: tool["name"].as_str()?.to_owned(), schema: tool["parameters"].clone() })
}

pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn reason(answer: &Answer) -> &'static str {
    if answer.call.is_some() { "tool_calls" } else { "stop" }
}

fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input, "completion_tokens": usage.output, "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    })
}

pub(super) fn whole(ask: &Ask, answer: &Answer, number: u64) -> Value {
    let mut message = json!({"role": "assistant", "content": answer.text});
    if let Some(call) = &answer.call {
        let function = json!({"name": call.name, "arguments": call.arguments.to_string()});
        message["tool_calls"] =
            json!([{"id": format!("call_{number}"), "type": "function", "function": function}]);
    }
    json!({
        "id": format!("chatcmpl-{number}"), "object": "chat.completion", "created": CREATED, "model": ask.model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason(answer)}],
        "usage": usage(answer.usage),
    })
}

pub(super) fn stream(ask: &Ask, answer: &Answer, number: u64) -> Vec<Event> {
    let chunk = |choices: Value| {
        json!({
            "id": format!("chatcmpl-{number}"), "object": "chat.completion.chunk", "created": CREATED,
            "model": ask.model, "choices": choices,
        })
    };
    let event = |part, delta: Value, finish: Option<&str>| {
        Event::plain(part, &chunk(json!([{"index": 0, "delta": delta, "finish_reason": finish}])))
    };
    let mut events = vec![event(Part::Opening, json!({"role": "assistant", "content": ""}), None)];
    events.extend(words(&answer.text).map(|word| event(Part::Middle, json!({"content": word}), None)));
    if let Some(call) = &answer.call {
        let id = format!("call_{number}");
        let function = json!({"name": call.name, "arguments": ""});
        let begin = json!({"tool_calls": [{"index": 0, "id": id, "type": "function", "function": function}]});
        events.push(event(Part::Closing, begin, None));
        for piece in pieces(&call.arguments.to_string()) {
            let more = json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]});
            events.push(event(Part::Closing, more, None));
        }
    }
    events.push(event(Part::Closing, json!({}), Some(reason(answer))));
    if ask.wants_usage {
        let mut last = chunk(json!([]));
        last["usage"] = usage(answer.usage);
        events.push(Event::plain(Part::Closing, &last));
    }
    events.push(Event::plain(Part::Closing, &"[DONE]"));
    events
}

/// The words of a text with the spaces after them.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}

/// A text in pieces of about the same size, as a model would dictate it.
pub(super) fn pieces(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(ARGUMENTS).map(|piece| piece.iter().collect()).collect()
}

/// An error as both of `OpenAI`'s dialects write it.
pub(super) fn refuse(refusal: &Refusal) -> Value {
    let code = match refusal.status {
        401 => "invalid_api_key".to_owned(),
        404 => "model_not_found".to_owned(),
        429 => "rate_limit_exceeded".to_owned(),
        other => other.to_string(),
    };
    json!({"error": {"message": refusal.message, "type": refusal.kind, "param": null, "code": code}})
}
