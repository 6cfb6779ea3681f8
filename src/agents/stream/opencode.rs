//! The dialect of `opencode run --format json`: one object a line; tokens and cost come with each step.

use super::{Event, Failure, Finish, ToolEnd, count, micro_usd, status, words};
use crate::domain::Usage;
use serde_json::Value;

/// How a rejected permission is told to the model, and so to us.
const REJECTED: [&str; 2] = ["rejected permission", "The user has specified a rule which prevents"];

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct State {
    session: Option<String>,
    usage: Usage,
}

impl State {
    pub(super) fn read(&mut self, line: &Value, events: &mut Vec<Event>) {
        if let Some(session) = words(line, "/sessionID").filter(|id| self.session.as_deref() != Some(id)) {
            self.session = Some(session.to_owned());
            events.push(Event::Session(session.to_owned()));
        }
        match words(line, "/type") {
            Some("text") => {
                events.extend(words(line, "/part/text").map(|text| Event::Text(text.to_owned())));
            }
            Some("tool_use") => {
                let name = words(line, "/part/tool").unwrap_or_default().to_owned();
                let error = words(line, "/part/state/error").unwrap_or_default();
                let end = match words(line, "/part/state/status") {
                    Some("completed") => ToolEnd::Done,
                    Some(_) | None if REJECTED.iter().any(|words| error.contains(words)) => ToolEnd::Refused,
                    Some(_) | None => ToolEnd::Failed,
                };
                events.push(Event::Tool { name, end });
            }
            Some("step_finish") => self.step(line, events),
            Some("error") => {
                let message = words(line, "/error/data/message")
                    .or(words(line, "/error/name"))
                    .unwrap_or("an error without words");
                events.push(Event::Error(Failure::new(status(line, "/error/data/statusCode"), message)));
            }
            Some(_) | None => {}
        }
    }

    fn step(&mut self, line: &Value, events: &mut Vec<Event>) {
        let step = Usage {
            steps: 1,
            input_tokens: count(line, "/part/tokens/input") + count(line, "/part/tokens/cache/write"),
            cached_tokens: count(line, "/part/tokens/cache/read"),
            output_tokens: count(line, "/part/tokens/output"),
            reasoning_tokens: count(line, "/part/tokens/reasoning"),
            // A model without a configured price is told as 0.
            cost_micro_usd: micro_usd(line, "/part/cost").filter(|cost| *cost > 0),
            ..Usage::default()
        };
        self.usage = self.usage + step;
        events.push(Event::Step);
        events.push(Event::Usage(self.usage));
        match words(line, "/part/reason") {
            Some("stop") => events.push(Event::Finished(Finish::Done)),
            Some("length") => events.push(Event::Finished(Finish::TooLong)),
            // It goes on by itself; an end without another step is a cut, which the verdict sees.
            Some("tool-calls") => {}
            Some(_) | None => events.push(Event::Finished(Finish::Cut)),
        }
    }
}
