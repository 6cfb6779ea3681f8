//! Which line of the failure catalogue is played by which story. The lines are those of the groups that concern a
//! decision (people, agents, checks, git, operation, notification); a story carries its line in its name (`e07_…`) or,
//! when it plays several, in its comment (`Also E8.`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

/// Groups of the catalogue and how many lines each has.
const GROUPS: [(&str, u32); 6] = [("e", 21), ("h", 18), ("ci", 14), ("j", 8), ("m", 10), ("n", 7)];

/// Lines without a story, each with its reason.
const ELSEWHERE: &[(&str, &str)] = &[];

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|kind| kind == "rs") {
            let name = entry.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("ours").display().to_string();
            found.push((name, fs::read_to_string(&entry).expect("text")));
        }
    }
}

/// `e07` of `e07_a_push_…`, if it is one of ours.
fn line_of(name: &str) -> Option<String> {
    let id = name.split('_').next()?;
    let digits = id.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let (group, number) = (&id[..id.len() - digits.len()], digits.parse::<u32>().ok()?);
    let is_known = GROUPS.iter().any(|(known, lines)| group == *known && (1..=*lines).contains(&number));
    is_known.then(|| format!("{group}{number:02}"))
}

/// Line to the tests that play it.
fn stories() -> BTreeMap<String, BTreeSet<String>> {
    let mut all = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it"), &mut all);
    let mut stories: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, text) in all {
        let mut also: Vec<String> = Vec::new();
        for row in text.lines().map(str::trim) {
            if let Some(said) = row.strip_prefix("/// Also ") {
                let ids = said.split([',', ' ', '.']).map(str::to_ascii_lowercase);
                also.extend(ids.filter_map(|id| line_of(&id)));
                continue;
            }
            let signature = row.strip_prefix("async fn ").or_else(|| row.strip_prefix("fn "));
            let Some(name) = signature.and_then(|rest| rest.split('(').next()) else { continue };
            for id in line_of(name).into_iter().chain(also.drain(..)) {
                stories.entry(id).or_default().insert(format!("{name} ({file})"));
            }
        }
    }
    stories
}

#[test]
#[expect(clippy::print_stdout, reason = "the list is what a reader of this test wants to see")]
fn every_line_of_the_catalogue_is_played_or_says_why_not() {
    let stories = stories();
    let mut list = String::new();
    let mut missing = Vec::new();
    for (group, lines) in GROUPS {
        for number in 1..=lines {
            let id = format!("{group}{number:02}");
            let elsewhere = ELSEWHERE.iter().find(|(line, _)| *line == id).map(|(_, why)| *why);
            match (stories.get(&id), elsewhere) {
                (Some(names), None) => {
                    let names = names.iter().map(String::as_str).collect::<Vec<_>>().join("\n      ");
                    let _ = writeln!(list, "{id:<5} {names}");
                }
                (None, Some(why)) => {
                    let _ = writeln!(list, "{id:<5} no story: {why}");
                }
                (Some(_), Some(_)) => missing.push(format!("{id} has a story and a reason for none")),
                (None, None) => missing.push(id),
            }
        }
    }
    println!("{list}");
    assert!(missing.is_empty(), "without a story or a reason: {missing:?}\n{list}");
}
