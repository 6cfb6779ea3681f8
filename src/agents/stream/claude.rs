//! The dialect of `claude -p --output-format stream-json --verbose`: messages as they come, one result at the end.
//!
//! Messages carry preliminary counts, once per message id however often its parts are told; the result carries the
//! sums and the cost of this call. A result says `success` also when it is an error, and when the stream was cut.

use super::{Event, Failure, Finish, ToolEnd, count, micro_usd, status, words};
use crate::domain::Usage;
use serde_json::Value;
use std::collections::BTreeMap;

/// How a missing permission is told to the model, and so to us.
const REFUSED: [&str; 3] = ["but you haven't granted it yet", "Permission to use", "while in plan mode"];
/// Open tool calls that are remembered by name; more at once is no conversation.
const MOST_OPEN: usize = 1_000;

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct State {
    session: Option<String>,
    message: Option<String>,
    usage: Usage,
    open: BTreeMap<String, String>,
    has_done: bool,
    has_refused: bool,
}

impl State {
    pub(super) fn read(&mut self, line: &Value, events: &mut Vec<Event>) {
        let is_error = line.get("is_error").and_then(Value::as_bool).unwrap_or(false);
        // The answer to an unknown session names the session that was asked for.
        if !is_error
            && let Some(session) = words(line, "/session_id").filter(|id| self.session.as_deref() != Some(id))
        {
            self.session = Some(session.to_owned());
            events.push(Event::Session(session.to_owned()));
        }
        match words(line, "/type") {
            Some("assistant") => self.assistant(line, events),
            Some("user") => self.user(line, events),
            Some("result") => self.result(line, is_error, events),
            Some(_) | None => {}
        }
    }

    fn assistant(&mut self, line: &Value, events: &mut Vec<Event>) {
        if words(line, "/message/model") == Some("<synthetic>") {
            // The program's own words about an error; the result repeats them.
            return;
        }
        let id = words(line, "/message/id");
        if id.is_some() && id != self.message.as_deref() {
            self.message = id.map(str::to_owned);
            self.usage = self.usage + usage(line, "/message/usage", 1);
            events.push(Event::Step);
            events.push(Event::Usage(self.usage));
        }
        for part in line.pointer("/message/content").and_then(Value::as_array).into_iter().flatten() {
            match words(part, "/type") {
                Some("text") => {
                    events.extend(words(part, "/text").map(|text| Event::Text(text.to_owned())));
                }
                Some("tool_use") if self.open.len() < MOST_OPEN => {
                    let name = words(part, "/name").unwrap_or_default().to_owned();
                    self.open.insert(words(part, "/id").unwrap_or_default().to_owned(), name);
                }
                Some(_) | None => {}
            }
        }
    }

    fn user(&mut self, line: &Value, events: &mut Vec<Event>) {
        for part in line.pointer("/message/content").and_then(Value::as_array).into_iter().flatten() {
            if words(part, "/type") != Some("tool_result") {
                continue;
            }
            let id = words(part, "/tool_use_id").unwrap_or_default();
            let name = self.open.remove(id).unwrap_or_default();
            let told = part.get("content").map(Value::to_string).unwrap_or_default();
            let failed = part.get("is_error").and_then(Value::as_bool).unwrap_or(false);
            let end = if !failed {
                self.has_done = true;
                ToolEnd::Done
            } else if REFUSED.iter().any(|words| told.contains(words)) {
                self.has_refused = true;
                ToolEnd::Refused
            } else {
                ToolEnd::Failed
            };
            events.push(Event::Tool { name, end });
        }
    }

    fn result(&mut self, line: &Value, is_error: bool, events: &mut Vec<Event>) {
        let denials = line.get("permission_denials").and_then(Value::as_array);
        if let Some(denied) = denials.and_then(|list| list.first())
            && !self.has_done
            && !self.has_refused
        {
            let name = words(denied, "/tool_name").unwrap_or_default().to_owned();
            events.push(Event::Tool { name, end: ToolEnd::Refused });
        }
        let sums = usage(line, "/usage", self.usage.steps);
        if sums.has_tokens() {
            self.usage = Usage { cost_micro_usd: micro_usd(line, "/total_cost_usd"), ..sums };
        }
        events.push(Event::Usage(self.usage));
        let subtype = words(line, "/subtype").unwrap_or_default();
        if is_error || subtype != "success" {
            let first = words(line, "/errors/0");
            let message = words(line, "/result").or(first).filter(|text| !text.is_empty()).unwrap_or(subtype);
            events.push(Event::Error(Failure::new(status(line, "/api_error_status"), message)));
        } else if sums.output_tokens == 0 || words(line, "/stop_reason").is_none() {
            events.push(Event::Finished(Finish::Cut));
        } else if words(line, "/stop_reason") == Some("max_tokens") {
            events.push(Event::Finished(Finish::TooLong));
        } else {
            events.push(Event::Finished(Finish::Done));
        }
    }
}

fn usage(line: &Value, at: &str, steps: u32) -> Usage {
    let count = |name: &str| count(line, &format!("{at}/{name}"));
    Usage {
        steps,
        input_tokens: count("input_tokens").saturating_add(count("cache_creation_input_tokens")),
        cached_tokens: count("cache_read_input_tokens"),
        output_tokens: count("output_tokens"),
        ..Usage::default()
    }
}
