//! What of a compose file makes an image: one service's build, and of that the context, the Dockerfile, the stage and
//! the literal arguments. No other file is read, no variable of the host is seen. Starts nothing.

use super::detect::{Build, Files, Note, Origin, Unusable, Wanted, WantedFile, is_argument};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Services that an application uses, by the names that people give them.
const INFRASTRUCTURE: [&str; 18] = [
    "db",
    "database",
    "redis",
    "postgres",
    "postgresql",
    "mysql",
    "mongo",
    "mongodb",
    "mssql",
    "sqlserver",
    "cache",
    "rabbitmq",
    "kafka",
    "worker",
    "nginx",
    "proxy",
    "elasticsearch",
    "elastic",
];
/// The application itself, by the names that people give it; the first that is there.
const PREFERRED: [&str; 3] = ["app", "api", "service"];
/// Keys of `build` that are obeyed.
const OBEYED: [&str; 5] = ["context", "dockerfile", "dockerfile_inline", "target", "args"];
/// Keys of a service that need no mention: they say how it would be served, and nobody expects that of a check.
const HARMLESS: [&str; 20] = [
    "build",
    "image",
    "command",
    "container_name",
    "depends_on",
    "deploy",
    "entrypoint",
    "expose",
    "healthcheck",
    "hostname",
    "init",
    "labels",
    "logging",
    "networks",
    "ports",
    "profiles",
    "restart",
    "stdin_open",
    "tty",
    "working_dir",
];
/// Values and anchors of a description: far above what people write, far below what costs a second.
const NODES: usize = 20_000;
/// Defaults inside of defaults.
const NESTED: usize = 8;

/// The one build that could be the application's; none when there is no such service.
pub(super) fn read(
    files: &impl Files,
    file: &str,
    text: &str,
    notes: &mut Vec<Note>,
) -> Result<Option<Build>, Unusable> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: NODES, max_events: 4 * NODES, max_merge_keys: NODES },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 4 * NODES },
        strict_booleans: true,
    };
    let document: Document = serde_saphyr::from_str_with_options(text, options)
        .map_err(|_| Unusable::Malformed { path: file.to_owned(), what: "a compose file" })?;
    let mut candidates: Vec<(String, Value)> = document
        .services
        .into_iter()
        .filter(|(name, service)| {
            !INFRASTRUCTURE.contains(&name.to_lowercase().as_str())
                && matches!(service.get("build"), Some(Value::String(_) | Value::Object(_)))
        })
        .collect();
    let preferred = PREFERRED
        .iter()
        .find_map(|wanted| candidates.iter().position(|(name, _)| name.to_lowercase() == *wanted));
    if candidates.is_empty() {
        return Ok(None);
    }
    let (name, service) = candidates.swap_remove(preferred.unwrap_or(0));
    let mut seen = Seen::default();
    let wanted = wanted(file, &name, &service, &mut seen)?;
    seen.keys.extend(document.others);
    seen.tell(file, notes);
    wanted.check(files).map(Some)
}

fn wanted(file: &str, name: &str, service: &Value, seen: &mut Seen) -> Result<Wanted, Unusable> {
    let malformed = || Unusable::Malformed { path: file.to_owned(), what: "a compose file" };
    let mut wanted = Wanted {
        origin: Origin::Compose { file: file.to_owned(), service: name.to_owned() },
        folder: "",
        context: String::new(),
        dockerfile: WantedFile::OfContext(String::new()),
        target: None,
        args: BTreeMap::new(),
    };
    for (key, value) in service.as_object().into_iter().flatten() {
        if !HARMLESS.contains(&key.as_str()) && !value.is_null() {
            seen.keys.push(key.clone());
        }
    }
    let build = match service.get("build") {
        Some(Value::String(context)) => {
            wanted.context = seen.interpolate(context);
            return Ok(wanted);
        }
        Some(Value::Object(build)) => build,
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | None => {
            return Err(malformed());
        }
    };
    seen.keys
        .extend(build.keys().filter(|key| !OBEYED.contains(&key.as_str())).map(|key| format!("build.{key}")));
    let mut text = |key: &str| match build.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(seen.interpolate(text))),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => Err(malformed()),
    };
    wanted.context = text("context")?.unwrap_or_default();
    wanted.dockerfile = match text("dockerfile_inline")? {
        Some(inline) => WantedFile::Inline(inline),
        None => WantedFile::OfContext(text("dockerfile")?.unwrap_or_default()),
    };
    wanted.target = text("target")?.filter(|target| !target.is_empty());
    for (name, value) in arguments(build.get("args")).ok_or_else(malformed)? {
        match value {
            Some(value) if is_argument(&name) => {
                wanted.args.insert(name, seen.interpolate(&value));
            }
            Some(_) | None => seen.without_value.push(name),
        }
    }
    Ok(wanted)
}

/// Names and values, from a map or a list; a name alone would take its value from the host. None when it is neither.
fn arguments(args: Option<&Value>) -> Option<Vec<(String, Option<String>)>> {
    match args {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Object(map)) => {
            Some(map.iter().map(|(name, value)| (name.clone(), scalar(value))).collect())
        }
        Some(Value::Array(list)) => list
            .iter()
            .map(|item| {
                let item = scalar(item)?;
                Some(match item.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (item, None),
                })
            })
            .collect(),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) => None,
    }
}

/// As compose writes it down; none for what has no text.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(yes) => Some(yes.to_string()),
        // A whole number stays one, also where it was written as `1.0`.
        Value::Number(number) if number.is_f64() => number.as_f64().map(|number| number.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What was met on the way and is not obeyed.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) variables: BTreeSet<String>,
    pub(super) without_value: Vec<String>,
    pub(super) keys: Vec<String>,
}

impl Seen {
    /// One note for each kind of thing.
    pub(super) fn tell(self, file: &str, notes: &mut Vec<Note>) {
        let file = || file.to_owned();
        if !self.variables.is_empty() {
            notes.push(Note::Variables { file: file(), names: self.variables.into_iter().collect() });
        }
        if !self.without_value.is_empty() {
            notes.push(Note::Arguments { file: file(), names: self.without_value });
        }
        if !self.keys.is_empty() {
            notes.push(Note::Keys { file: file(), keys: self.keys });
        }
    }

    /// The text with every variable replaced by its default, or nothing.
    fn interpolate(&mut self, text: &str) -> String {
        self.interpolate_to(text, NESTED)
    }

    fn interpolate_to(&mut self, text: &str, depth: usize) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            rest = after;
            if let Some(escaped) = rest.strip_prefix('$') {
                out.push('$');
                rest = escaped;
                continue;
            }
            let braced = rest.strip_prefix('{').and_then(inside_braces);
            let body = braced.map_or(rest, |(body, _)| body);
            let end = body.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(body.len());
            if !is_argument(&body[..end]) {
                // No variable: the sign itself.
                out.push('$');
                continue;
            }
            self.variables.insert(body[..end].to_owned());
            match braced {
                Some((body, after)) => {
                    let operation = &body[end..];
                    let default = operation.strip_prefix(":-").or_else(|| operation.strip_prefix('-'));
                    if let Some(default) = default
                        && depth > 0
                    {
                        out.push_str(&self.interpolate_to(default, depth - 1));
                    }
                    rest = after;
                }
                None => rest = &rest[end..],
            }
        }
        out.push_str(rest);
        out
    }
}

/// Up to the brace that closes the one before, and what follows it.
pub(super) fn inside_braces(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some((&text[..at], &text[at + 1..])),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The services in the order of the file, and the other keys that reach out of it.
#[derive(Default)]
struct Document {
    services: Vec<(String, Value)>,
    others: Vec<String>,
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Top;
        impl<'de> Visitor<'de> for Top {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let mut document = Document::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "services" => document.services = map.next_value::<Services>()?.0,
                        "include" => {
                            map.next_value::<IgnoredAny>()?;
                            document.others.push(key);
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(document)
            }
        }
        deserializer.deserialize_map(Top)
    }
}

/// A map that keeps its order.
struct Services(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Services {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Services;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of services")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Services, A::Error> {
                let mut services = Vec::new();
                while let Some(service) = map.next_entry()? {
                    services.push(service);
                }
                Ok(Services(services))
            }
        }
        deserializer.deserialize_map(Each)
    }
}
