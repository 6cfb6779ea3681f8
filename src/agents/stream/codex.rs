//! The dialect of `codex exec --json`: items as they end, one `turn.completed` with the sums of the whole session, or one
//! `turn.failed`. No prices. What it calls `error` in between may heal: it reconnects by itself.

use super::{Event, Failure, Finish, ToolEnd, count, words};
use crate::domain::Usage;
use serde_json::Value;

pub(super) fn read(line: &Value, events: &mut Vec<Event>) {
    match words(line, "/type") {
        Some("thread.started") => {
            events.extend(words(line, "/thread_id").map(|id| Event::Session(id.to_owned())));
        }
        Some("item.completed") => item(line, events),
        Some("turn.completed") => {
            let input = count(line, "/usage/input_tokens");
            let cached = count(line, "/usage/cached_input_tokens").min(input);
            let output = count(line, "/usage/output_tokens");
            let reasoning = count(line, "/usage/reasoning_output_tokens").min(output);
            events.push(Event::Usage(Usage {
                input_tokens: input - cached,
                cached_tokens: cached,
                output_tokens: output - reasoning,
                reasoning_tokens: reasoning,
                ..Usage::default()
            }));
            events.push(Event::Finished(Finish::Done));
        }
        Some("error") => events.extend(words(line, "/message").map(failed)),
        Some("turn.failed") => {
            let message = words(line, "/error/message").unwrap_or("the turn failed without words");
            events.push(failed(message));
        }
        Some(_) | None => {}
    }
}

fn item(line: &Value, events: &mut Vec<Event>) {
    match words(line, "/item/type") {
        Some("agent_message") => {
            events.push(Event::Step);
            events.extend(words(line, "/item/text").map(|text| Event::Text(text.to_owned())));
        }
        Some(name @ ("command_execution" | "file_change" | "mcp_tool_call" | "web_search")) => {
            let end = match words(line, "/item/status") {
                Some("declined") => ToolEnd::Refused,
                Some("failed") => ToolEnd::Failed,
                Some(_) | None => ToolEnd::Done,
            };
            events.push(Event::Step);
            events.push(Event::Tool { name: name.to_owned(), end });
        }
        // Reasoning, plans, and warnings that it calls errors.
        Some(_) | None => {}
    }
}

/// A provider's JSON answer is told as text in the message.
fn failed(message: &str) -> Event {
    Event::Error(Failure::new(None, message))
}
