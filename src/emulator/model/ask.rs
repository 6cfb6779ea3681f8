//! A request and its answer, whatever the dialect: what was said, which tools there are, what is answered.
//!
//! Knows no HTTP and decides nothing.

use serde_json::{Map, Value, json};

/// Bytes of text per token, roughly, for all the models there are.
const BYTES_PER_TOKEN: usize = 4;

/// One thing that was said in the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// By whoever uses the model.
    Prompt(String),
    /// By a tool.
    Result(String),
}

/// A tool on offer.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    pub(super) name: String,
    /// The JSON schema of its arguments.
    pub(super) schema: Value,
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// The model without the provider's prefix.
    pub(super) model: String,
    pub(super) streaming: bool,
    /// Whether a stream ends with its usage; only one of the dialects asks.
    pub(super) wants_usage: bool,
    pub(super) said: Vec<Said>,
    pub(super) tools: Vec<Tool>,
    /// The request as text.
    pub(super) text: String,
}

impl Ask {
    pub(super) fn new(body: &Value, said: Vec<Said>, tools: Vec<Tool>) -> Self {
        let model = body["model"].as_str().unwrap_or_default();
        Self {
            model: model.rsplit('/').next().unwrap_or_default().to_owned(),
            streaming: body["stream"] == true,
            wants_usage: true,
            said,
            tools,
            text: body.to_string(),
        }
    }

    /// What was prompted, the newest first.
    pub(super) fn prompts(&self) -> impl Iterator<Item = &str> {
        self.said.iter().rev().filter_map(|said| match said {
            Said::Prompt(text) => Some(text.as_str()),
            Said::Result(_) => None,
        })
    }

    /// What tools answered since the newest prompt.
    pub(super) fn results(&self) -> Vec<&str> {
        let since = self.said.iter().rposition(|said| matches!(said, Said::Prompt(_))).map_or(0, |at| at + 1);
        self.said[since..]
            .iter()
            .filter_map(|said| match said {
                Said::Result(text) => Some(text.as_str()),
                Said::Prompt(_) => None,
            })
            .collect()
    }

    /// Where the agent says that it works.
    pub(super) fn directory(&self) -> Option<&str> {
        let after = ["orking directory: ", "<cwd>"]
            .iter()
            .find_map(|words| self.text.split_once(words).map(|(_, after)| after))?;
        let end = after.find(|c: char| c.is_whitespace() || "\\\"<".contains(c))?;
        Some(&after[..end])
    }

    /// The tool that runs a command line, and the call that runs this one with it.
    pub(super) fn shell(&self, command: &str, about: &str) -> Option<Call> {
        const KNOWN: [&str; 5] = ["bash", "exec_command", "shell", "shell_command", "local_shell"];
        let known = |tool: &&Tool| KNOWN.contains(&tool.name.to_ascii_lowercase().as_str());
        let tool = self.tools.iter().find(known)?;
        let properties = tool.schema["properties"].as_object()?;
        let name = ["command", "cmd"].into_iter().find(|name| properties.contains_key(*name))?;
        let mut arguments = Map::new();
        let words = properties[name]["type"] == "array";
        let value = if words { json!(["bash", "-lc", command]) } else { json!(command) };
        arguments.insert(name.to_owned(), value);
        if properties.contains_key("description") {
            arguments.insert("description".to_owned(), json!(about));
        }
        Some(Call { name: tool.name.clone(), arguments: arguments.into() })
    }

    /// The tool that writes a file, and the call that writes this one with it.
    pub(super) fn write(&self, name: &str, content: &str) -> Option<Call> {
        let tool = self.tools.iter().find(|tool| tool.name.eq_ignore_ascii_case("write"))?;
        let properties = tool.schema["properties"].as_object()?;
        let place = ["filePath", "file_path"].into_iter().find(|name| properties.contains_key(*name))?;
        let path = self.directory().map_or_else(|| name.to_owned(), |folder| format!("{folder}/{name}"));
        Some(Call { name: tool.name.clone(), arguments: json!({place: path, "content": content}) })
    }
}

/// What a person typed, without what the agent's program added to it; nothing when only that is there.
pub(super) fn prompt(text: &str) -> Option<Said> {
    const BEGIN: &str = "<system-reminder>";
    const END: &str = "</system-reminder>";
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, reminder)) = rest.split_once(BEGIN) {
        kept.push_str(before);
        rest = reminder.split_once(END).map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    (!kept.trim().is_empty()).then_some(Said::Prompt(kept))
}

/// Text that is a string, or a list of parts of which some have text.
pub(super) fn flat(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join("\n")
        }
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Value,
}

/// What it cost, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    /// All input, the cached part included.
    pub(super) input: usize,
    pub(super) cached: usize,
    /// All output, the reasoning included.
    pub(super) output: usize,
    pub(super) reasoning: usize,
}

/// What the traps report; round, so that sums are easily told apart.
pub(super) const FIXED: Usage = Usage { input: 1_000, cached: 300, output: 42, reasoning: 7 };

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) call: Option<Call>,
    pub(super) usage: Usage,
    /// What the record says was played.
    pub(super) played: String,
}

impl Answer {
    /// An answer that costs what its size suggests, and the same every time. After a tool's result the conversation up to
    /// it counts as cached, as with real providers.
    pub(super) fn measured(ask: &Ask, text: String, call: Option<Call>, played: String) -> Self {
        let called = call.as_ref().map_or(0, |call| call.arguments.to_string().len());
        let input = tokens(ask.text.len());
        let fresh: usize = ask.results().iter().map(|result| tokens(result.len())).sum();
        let cached = if ask.results().is_empty() { 0 } else { input.saturating_sub(fresh) / 2 };
        let usage = Usage { input, cached, output: tokens(text.len() + called), reasoning: 0 };
        Self { text, call, usage, played }
    }
}

/// How many tokens so many bytes are; never none.
pub(super) fn tokens(bytes: usize) -> usize {
    bytes.div_ceil(BYTES_PER_TOKEN).max(1)
}

/// A refusal, before the dialect gives it its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The kind of error, as both families of dialects call it.
    pub(super) kind: &'static str,
    pub(super) message: String,
    /// Seconds after which to try again.
    pub(super) retry_after: Option<u32>,
}

/// Which part of a stream an event belongs to; traps strike at the borders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Opening,
    Middle,
    Closing,
}

/// One server-sent event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) part: Part,
    name: Option<String>,
    data: String,
}

impl Event {
    /// Without a name, as chat completions have them.
    pub(super) fn plain(part: Part, data: &impl ToString) -> Self {
        Self { part, name: None, data: data.to_string() }
    }

    /// Named like the `type` inside.
    pub(super) fn named(part: Part, data: &Value) -> Self {
        Self { part, name: data["type"].as_str().map(str::to_owned), data: data.to_string() }
    }

    /// As it travels.
    pub(super) fn wire(&self) -> String {
        let name = self.name.as_ref().map(|name| format!("event: {name}\n")).unwrap_or_default();
        format!("{name}data: {}\n\n", self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(said: Vec<Said>, tools: Vec<Tool>) -> Ask {
        Ask::new(&json!({"model": "fake/ok", "system": "Working directory: /workspace\nx"}), said, tools)
    }

    #[test]
    fn results_count_since_the_newest_prompt() {
        let prompt = |text: &str| Said::Prompt(text.to_owned());
        let result = |text: &str| Said::Result(text.to_owned());
        let asked = ask(vec![prompt("a"), result("1"), prompt("b"), result("2"), result("3")], Vec::new());
        assert_eq!((asked.prompts().next(), asked.results()), (Some("b"), vec!["2", "3"]));
        assert_eq!((asked.model.as_str(), asked.directory()), ("ok", Some("/workspace")));
    }

    #[test]
    fn reminders_are_no_prompt() {
        assert_eq!(prompt("<system-reminder>\nx</system-reminder>\n "), None);
        let kept = prompt("<system-reminder>x</system-reminder>do it<system-reminder>never closed");
        assert_eq!(kept, Some(Said::Prompt("do it".to_owned())));
    }

    #[test]
    fn a_call_takes_the_form_that_the_tool_asks_for() {
        let tool = |name: &str, properties: Value| Tool {
            name: name.to_owned(),
            schema: json!({"type": "object", "properties": properties}),
        };
        let text = json!({"type": "string"});
        let call = |tool: Tool| ask(Vec::new(), vec![tool]).shell("ls", "look").unwrap();
        assert_eq!(call(tool("bash", json!({"command": text}))).arguments, json!({"command": "ls"}));
        let claude = call(tool("Bash", json!({"command": text, "description": text})));
        assert_eq!(claude.arguments, json!({"command": "ls", "description": "look"}));
        assert_eq!(call(tool("exec_command", json!({"cmd": text}))).arguments, json!({"cmd": "ls"}));
        let words = call(tool("shell", json!({"command": {"type": "array"}})));
        assert_eq!(words.arguments, json!({"command": ["bash", "-lc", "ls"]}));
        assert!(ask(Vec::new(), vec![tool("read", json!({"command": text}))]).shell("ls", "look").is_none());
        let written = ask(Vec::new(), vec![tool("Write", json!({"file_path": text}))]).write("a.txt", "x");
        assert_eq!(written.unwrap().arguments["file_path"], "/workspace/a.txt");
    }
}
