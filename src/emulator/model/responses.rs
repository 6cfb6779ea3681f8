//! `OpenAI`'s responses: `POST /v1/responses`.
//!
//! Shapes follow <https://platform.openai.com/docs/api-reference/responses-streaming>. Reads a request into an [`Ask`] and
//! gives an [`Answer`] its form; errors look as in chat completions.

use super::{
    ask::{Answer, Ask, Event, Part, Said, Usage, flat, prompt},
    chat::{CREATED, function, list, pieces, words},
};
use serde_json::{Value, json};

pub(super) fn read(body: &Value) -> Ask {
    let said = match &body["input"] {
        Value::String(text) => prompt(text).into_iter().collect(),
        input => list(input).filter_map(said).collect(),
    };
    let tools = list(&body["tools"]).filter_map(function).collect();
    Ask::new(body, said, tools)
}

fn said(item: &Value) -> Option<Said> {
    let kind = item["type"].as_str().unwrap_or("message");
    if kind.ends_with("_output") {
        return Some(Said::Result(flat(&item["output"])));
    }
    if kind == "message" && item["role"] == "user" { prompt(&flat(&item["content"])) } else { None }
}

fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input, "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.output, "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    })
}

fn message(answer: &Answer, number: u64) -> Value {
    let content = json!([{"type": "output_text", "text": answer.text, "annotations": []}]);
    json!({"type": "message", "id": format!("msg_{number}"), "role": "assistant", "status": "completed", "content": content})
}

fn call(answer: &Answer, number: u64) -> Option<Value> {
    let call = answer.call.as_ref()?;
    Some(json!({
        "type": "function_call", "id": format!("fc_{number}"), "call_id": format!("call_{number}"),
        "status": "completed", "name": call.name, "arguments": call.arguments.to_string(),
    }))
}

pub(super) fn whole(ask: &Ask, answer: &Answer, number: u64) -> Value {
    let output: Vec<Value> =
        [Some(message(answer, number)), call(answer, number)].into_iter().flatten().collect();
    json!({
        "id": format!("resp_{number}"), "object": "response", "created_at": CREATED, "status": "completed",
        "error": null, "incomplete_details": null, "model": ask.model, "output": output,
        "usage": usage(answer.usage),
    })
}

pub(super) fn stream(ask: &Ask, answer: &Answer, number: u64) -> Vec<Event> {
    let complete = whole(ask, answer, number);
    let mut begun = complete.clone();
    begun["status"] = json!("in_progress");
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    let mut parts = vec![
        (Part::Opening, json!({"type": "response.created", "response": begun})),
        (Part::Opening, json!({"type": "response.in_progress", "response": begun})),
    ];

    let said = message(answer, number);
    let id = said["id"].clone();
    let mut empty = said.clone();
    empty["status"] = json!("in_progress");
    empty["content"] = json!([]);
    let text = |kind: &str, key: &str, value: Value| {
        let mut event = json!({"type": kind, "item_id": id, "output_index": 0, "content_index": 0});
        event[key] = value;
        event
    };
    let blank = json!({"type": "output_text", "text": "", "annotations": []});
    parts.push((
        Part::Opening,
        json!({"type": "response.output_item.added", "output_index": 0, "item": empty}),
    ));
    parts.push((Part::Opening, text("response.content_part.added", "part", blank)));
    parts.extend(
        words(&answer.text)
            .map(|word| (Part::Middle, text("response.output_text.delta", "delta", json!(word)))),
    );
    parts.push((Part::Closing, text("response.output_text.done", "text", json!(answer.text))));
    parts.push((Part::Closing, text("response.content_part.done", "part", said["content"][0].clone())));
    parts
        .push((Part::Closing, json!({"type": "response.output_item.done", "output_index": 0, "item": said})));

    if let Some(call) = call(answer, number) {
        let arguments = call["arguments"].as_str().unwrap_or_default().to_owned();
        let mut begun = call.clone();
        begun["status"] = json!("in_progress");
        begun["arguments"] = json!("");
        let about = |kind: &str, key: &str, value: &str| {
            let mut event = json!({"type": kind, "item_id": call["id"], "output_index": 1});
            event[key] = json!(value);
            (Part::Closing, event)
        };
        parts.push((
            Part::Closing,
            json!({"type": "response.output_item.added", "output_index": 1, "item": begun}),
        ));
        parts.extend(
            pieces(&arguments)
                .iter()
                .map(|piece| about("response.function_call_arguments.delta", "delta", piece)),
        );
        parts.push(about("response.function_call_arguments.done", "arguments", &arguments));
        parts.push((
            Part::Closing,
            json!({"type": "response.output_item.done", "output_index": 1, "item": call}),
        ));
    }
    parts.push((Part::Closing, json!({"type": "response.completed", "response": complete})));
    (0_u64..)
        .zip(parts)
        .map(|(at, (part, mut event))| {
            event["sequence_number"] = json!(at);
            Event::named(part, &event)
        })
        .collect()
}
