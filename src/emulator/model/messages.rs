//! Anthropic's messages: `POST /v1/messages` and `POST /v1/messages/count_tokens`.
//!
//! Shapes follow <https://docs.anthropic.com/en/api/messages-streaming>. Reads a request into an [`Ask`] and gives an
//! [`Answer`] its form. Messages may carry results of tools and words of the agent's program beside what a person typed.

use super::{
    ask::{Answer, Ask, Event, Part, Refusal, Said, Tool, Usage, flat, prompt, tokens},
    chat::{list, pieces, words},
};
use serde_json::{Value, json};

pub(super) fn read(body: &Value) -> Ask {
    let said = list(&body["messages"]).filter(|message| message["role"] == "user").flat_map(said).collect();
    let tools = list(&body["tools"])
        .filter_map(|tool| {
            Some(Tool { name: tool["name"].as_str()?.to_owned(), schema: tool["input_schema"].clone() })
        })
        .collect();
    Ask::new(body, said, tools)
}

fn said(message: &Value) -> Vec<Said> {
    let content = &message["content"];
    let results: Vec<Said> = list(content)
        .filter(|block| block["type"] == "tool_result")
        .map(|block| Said::Result(flat(&block["content"])))
        .collect();
    // Beside a result only the agent's own program speaks.
    if results.is_empty() { prompt(&flat(content)).into_iter().collect() } else { results }
}

fn usage(usage: Usage, output: usize) -> Value {
    json!({
        "input_tokens": usage.input - usage.cached, "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached, "output_tokens": output,
    })
}

fn stop(answer: &Answer) -> &'static str {
    if answer.call.is_some() { "tool_use" } else { "end_turn" }
}

fn blocks(answer: &Answer, number: u64) -> Vec<Value> {
    let mut blocks = vec![json!({"type": "text", "text": answer.text})];
    blocks.extend(answer.call.as_ref().map(|call| {
        json!({"type": "tool_use", "id": format!("toolu_{number:06}"), "name": call.name, "input": call.arguments})
    }));
    blocks
}

pub(super) fn whole(ask: &Ask, answer: &Answer, number: u64) -> Value {
    json!({
        "id": format!("msg_{number:06}"), "type": "message", "role": "assistant", "model": ask.model,
        "content": blocks(answer, number), "stop_reason": stop(answer), "stop_sequence": null,
        "usage": usage(answer.usage, answer.usage.output),
    })
}

pub(super) fn stream(ask: &Ask, answer: &Answer, number: u64) -> Vec<Event> {
    let mut begun = whole(ask, answer, number);
    begun["content"] = json!([]);
    begun["stop_reason"] = Value::Null;
    begun["usage"] = usage(answer.usage, 1);
    let mut events = vec![Event::named(Part::Opening, &json!({"type": "message_start", "message": begun}))];
    for (index, block) in blocks(answer, number).into_iter().enumerate() {
        let mut push = |event: Value| events.push(Event::named(Part::Middle, &event));
        let delta = |delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
        let (mut empty, deltas) = (
            block.clone(),
            match block["text"].as_str() {
                Some(text) => {
                    words(text).map(|word| delta(json!({"type": "text_delta", "text": word}))).collect()
                }
                None => pieces(&block["input"].to_string())
                    .iter()
                    .map(|piece| delta(json!({"type": "input_json_delta", "partial_json": piece})))
                    .collect::<Vec<_>>(),
            },
        );
        if block["type"] == "text" {
            empty["text"] = json!("");
        } else {
            empty["input"] = json!({});
        }
        push(json!({"type": "content_block_start", "index": index, "content_block": empty}));
        deltas.into_iter().for_each(&mut push);
        push(json!({"type": "content_block_stop", "index": index}));
    }
    let delta = json!({"stop_reason": stop(answer), "stop_sequence": null});
    let output = json!({"output_tokens": answer.usage.output});
    events.push(Event::named(
        Part::Closing,
        &json!({"type": "message_delta", "delta": delta, "usage": output}),
    ));
    events.push(Event::named(Part::Closing, &json!({"type": "message_stop"})));
    events
}

/// How large a request would be.
pub(super) fn count(body: &Value) -> Value {
    json!({"input_tokens": tokens(body.to_string().len())})
}

pub(super) fn refuse(refusal: &Refusal) -> Value {
    let kind = if refusal.kind == "server_error" { "api_error" } else { refusal.kind };
    json!({"type": "error", "error": {"type": kind, "message": refusal.message}})
}
