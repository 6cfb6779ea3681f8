//! What of a devcontainer's description makes an image: its build or its image. Features, mounts, commands and run
//! arguments are not obeyed. Starts nothing.

use super::{
    compose::{Seen, inside_braces, scalar},
    detect::{
        DEVCONTAINER, Files, Note, Origin, Recipe, Unusable, Wanted, WantedFile, is_argument, is_image,
    },
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The folder that its paths are relative to.
const FOLDER: &str = ".devcontainer";
/// Keys that add to the image, and that people could rely on.
const ADDING: [&str; 13] = [
    "features",
    "dockerComposeFile",
    "runArgs",
    "mounts",
    "privileged",
    "capAdd",
    "securityOpt",
    "containerEnv",
    "remoteEnv",
    "initializeCommand",
    "onCreateCommand",
    "postCreateCommand",
    "updateContentCommand",
];
/// Keys of `build` that are obeyed.
const OBEYED: [&str; 5] = ["dockerfile", "dockerFile", "context", "target", "args"];

/// The recipe; none when it names neither a build nor an image.
pub(super) fn read(
    files: &impl Files,
    text: &str,
    notes: &mut Vec<Note>,
) -> Result<Option<Recipe>, Unusable> {
    let malformed =
        || Unusable::Malformed { path: DEVCONTAINER.to_owned(), what: "a devcontainer's description" };
    let top: Map<String, Value> = serde_json::from_slice(&without_comments(text)).map_err(|_| malformed())?;
    let nothing = Map::new();
    let build = match top.get("build") {
        None | Some(Value::Null) => &nothing,
        Some(Value::Object(build)) => build,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            return Err(malformed());
        }
    };
    let mut seen = Seen {
        keys: top.keys().filter(|key| ADDING.contains(&key.as_str())).cloned().collect(),
        ..Seen::default()
    };
    seen.keys
        .extend(build.keys().filter(|key| !OBEYED.contains(&key.as_str())).map(|key| format!("build.{key}")));
    let mut text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(interpolate(text, &mut seen))),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => Err(malformed()),
    };
    let dockerfile =
        build.get("dockerfile").or_else(|| build.get("dockerFile")).or_else(|| top.get("dockerFile"));
    let dockerfile = text(dockerfile)?;
    let context = text(build.get("context").or_else(|| top.get("context")))?;
    let target = text(build.get("target"))?;
    let image = text(top.get("image"))?;
    let recipe = match (dockerfile, image) {
        (Some(dockerfile), _) => {
            let mut args = BTreeMap::new();
            for (name, value) in build.get("args").and_then(Value::as_object).into_iter().flatten() {
                match scalar(value) {
                    Some(value) if is_argument(name) => {
                        args.insert(name.clone(), interpolate(&value, &mut seen));
                    }
                    Some(_) | None => seen.without_value.push(name.clone()),
                }
            }
            let wanted = Wanted {
                origin: Origin::Devcontainer,
                folder: FOLDER,
                context: context.unwrap_or_default(),
                dockerfile: WantedFile::OfFolder(dockerfile),
                target: target.filter(|target| !target.is_empty()),
                args,
            };
            Some(Recipe::Build(wanted.check(files)?))
        }
        (None, Some(image)) if is_image(&image) => Some(Recipe::Image(image)),
        (None, Some(image)) => return Err(Unusable::BadName { name: image, what: "an image" }),
        (None, None) => None,
    };
    seen.tell(DEVCONTAINER, notes);
    Ok(recipe)
}

/// `${localEnv:NAME:default}` becomes its default, every other variable nothing.
fn interpolate(text: &str, seen: &mut Seen) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((body, after)) = inside_braces(after) else {
            out.push_str("${");
            rest = after;
            continue;
        };
        let mut parts = body.splitn(3, ':');
        let kind = parts.next().unwrap_or_default();
        seen.variables.insert(parts.next().unwrap_or(kind).to_owned());
        out.push_str(parts.next().unwrap_or_default());
        rest = after;
    }
    out.push_str(rest);
    out
}

/// JSON as it should be: comments and commas before a closing bracket become spaces.
fn without_comments(text: &str) -> Vec<u8> {
    let mut out = text.as_bytes().to_vec();
    let mut at = 0;
    // The last comma since which only space and comments were seen.
    let mut comma = None;
    while at < out.len() {
        let end = match (out[at], out.get(at + 1)) {
            (b'"', _) => {
                comma = None;
                at = end_of_text(&out, at + 1);
                continue;
            }
            (b'/', Some(b'/')) => out[at..].iter().position(|byte| *byte == b'\n').map(|line| at + line),
            (b'/', Some(b'*')) => {
                out[at + 2..].windows(2).position(|pair| pair == b"*/").map(|inner| at + inner + 4)
            }
            (byte, _) => {
                match byte {
                    b',' => comma = Some(at),
                    b']' | b'}' => {
                        if let Some(comma) = comma.take() {
                            out[comma] = b' ';
                        }
                    }
                    byte if byte.is_ascii_whitespace() => {}
                    _ => comma = None,
                }
                at += 1;
                continue;
            }
        };
        let end = end.unwrap_or(out.len());
        out[at..end].fill(b' ');
        at = end;
    }
    out
}

/// Behind the quotation mark that ends a text.
fn end_of_text(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_last_commas_go_and_texts_stay() {
        let text = r#"{ // one
            "a": "// no /* comment */ \" // none", /* two
            lines */ "b": [1, 2, /* three */ ], "u": "http://x", "c": ",]" , } // end"#;
        let read: Value = serde_json::from_slice(&without_comments(text)).unwrap();
        assert_eq!(read["a"], "// no /* comment */ \" // none");
        assert_eq!(read["b"], serde_json::json!([1, 2]));
        assert_eq!((&read["u"], &read["c"]), (&"http://x".into(), &",]".into()));
        for broken in ["\"\\", "/*", "/", "//", "\"", "{,"] {
            assert!(serde_json::from_slice::<Value>(&without_comments(broken)).is_err(), "{broken}");
        }
    }
}
