//! Reading the project: which files there are, and what of a Rust file is code.

use std::{
    fs,
    path::{Path, PathBuf},
};

// --- reading Rust --------------------------------------------------------------------------------------------------

/// The code before the unit tests.
pub(super) fn product(text: &str) -> String {
    let code = code_of(text);
    match code.find("#[cfg(test)]\nmod ") {
        Some(tests) => code[..tests].to_owned(),
        None => code,
    }
}

/// The text with comments and the insides of literals blanked out; lines stay where they are.
pub(super) fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => until(&chars, at, |i| chars[i] == '\n'),
            ('/', Some('*')) => until(&chars, at + 2, |i| chars[i - 1] == '*' && chars[i] == '/') + 1,
            ('"', _) => end_of_string(&chars, at),
            ('r', Some('"' | '#')) if !word_before(&chars, at) => end_of_raw_string(&chars, at).unwrap_or(at),
            ('\'', Some('\\')) => until(&chars, at + 3, |i| chars[i] == '\'') + 1,
            ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => at + 3,
            (_, _) => at,
        };
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            let end = end.min(chars.len());
            code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

fn until(chars: &[char], from: usize, stop: impl Fn(usize) -> bool) -> usize {
    (from..chars.len()).find(|i| stop(*i)).unwrap_or(chars.len())
}

fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// None when it is a raw identifier.
fn end_of_raw_string(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars[start + 1..].iter().take_while(|c| **c == '#').count();
    let body = start + 1 + hashes;
    if chars.get(body) != Some(&'"') {
        return None;
    }
    let closes = |i: &usize| {
        chars[*i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    let end = (body + 1..chars.len()).find(closes).unwrap_or(chars.len());
    Some(end + 1 + hashes)
}

fn word_before(chars: &[char], at: usize) -> bool {
    // `br"…"` is a raw string too; other words that end in r are names.
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') && chars[at - 1] != 'b'
}

pub(super) fn has_word(code: &str, word: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(inner) && !code[at + word.len()..].starts_with(inner))
}

// --- reading the project -------------------------------------------------------------------------------------------

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn relative(path: &Path) -> String {
    path.strip_prefix(root()).expect("a path of the project").to_string_lossy().into_owned()
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

/// All files below `folder`, sorted; none when there is no such folder.
pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// All Rust files: path and text.
pub(super) fn sources() -> Vec<(String, String)> {
    let rust = files("src")
        .into_iter()
        .chain(files("tests"))
        .filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let all: Vec<_> =
        rust.map(|path| (relative(&path), fs::read_to_string(&path).expect("Rust is text"))).collect();
    assert!(all.len() > 10, "only {} files: this is no real check", all.len());
    all
}

/// All text files that people wrote or recorded.
pub(super) fn texts() -> Vec<(String, String)> {
    let folders = ["src", "tests", "deploy", "fixtures", ".ci", ".config", ".cargo"];
    let single = ["README.md", "Cargo.toml", "worker.dockerfile", ".deny.toml", ".clippy.toml", ".gitignore"];
    let all =
        folders.iter().flat_map(|folder| files(folder)).chain(single.iter().map(|name| root().join(name)));
    all.filter_map(|path| fs::read_to_string(&path).ok().map(|text| (relative(&path), text))).collect()
}

pub(super) fn lines_of(path: &str) -> usize {
    fs::read_to_string(root().join(path)).map_or(0, |text| text.lines().count())
}

/// `src/store/sqlite.rs` and `src/store.rs` belong to `store`; `src/lib.rs` and tests to none.
pub(super) fn room(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let room = inside.split('/').next()?;
    if room == "lib.rs" { None } else { Some(room.strip_suffix(".rs").unwrap_or(room)) }
}

#[test]
fn code_is_told_from_text() {
    let sample = "let a = \"/* \\\" tokio\"; // async\nlet b = r#\"x\"tokio\"#; let c = '\"'; let d: &'a str = e;\n/* x\ny */ f";
    let code = code_of(sample);
    assert!(!code.contains("tokio") && !code.contains("async"), "{code}");
    assert!(code.contains("let d: &'a str = e;") && code.ends_with(" f"), "{code}");
    assert_eq!(code.lines().count(), sample.lines().count());
}
