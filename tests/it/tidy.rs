//! The rules of the house that no compiler checks.
//!
//! Every rule is a function from texts to findings, so that each has a bad sample beside it that it must find: a rule
//! that cannot fail guards nothing. What a rule lets pass on purpose stands in a list with the reason.

mod dependencies;
mod reading;

use reading::{code_of, file_name, has_word, lines_of, product, relative, room, sources, texts};
pub(crate) use reading::{files, root};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fmt::Write as _,
    fs,
    path::Path,
};

/// The rooms from the ground up: a room knows itself and the rooms before it.
const ROOMS: [&str; 14] = [
    "domain",
    "decide",
    "words",
    "ado",
    "store",
    "runtime",
    "agents",
    "worker",
    "settings",
    "doorbell",
    "exit",
    "telemetry",
    "shell",
    "cli",
];

/// Rooms that know no other room of ours.
const ALONE: [&str; 1] = ["emulator"];

/// Rooms that may know everything: entry points, and the operator's program, whose demo starts the emulator.
const TOP: [&str; 2] = ["bin", "cli"];

/// The pure rooms.
const PURE: [&str; 2] = ["domain", "decide"];

/// What a pure room never says.
const IMPURE: [&str; 28] = [
    "async",
    "await",
    "tokio",
    "futures",
    "futures_util",
    "async_trait",
    "reqwest",
    "hyper",
    "axum",
    "rustls",
    "rusqlite",
    "bollard",
    "kube",
    "tracing",
    "tracing_subscriber",
    "backoff",
    "tempfile",
    "rand",
    "SystemTime",
    "Instant",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "Timestamp::now",
    "Zoned::now",
];

/// Catch-all arms in `decide` over values that are not our enums: (file, the whole line), and why in a comment.
const FOREIGN_MATCHES: &[(&str, &str)] = &[];

/// Files that may be longer than [`LINES`]: (file, why).
const LONG_FILES: &[(&str, &str)] = &[
    (
        "src/decide/given.rs",
        "one table of what a case is given; it grows with the axes, and each is read alone",
    ),
    ("src/decide/tables.rs", "rows of one table"),
];

/// What fits into one head.
const LINES: usize = 600;

/// Migrations that have shipped, with the SHA-256 of their text. Append only: a changed hash is a changed past.
const MIGRATIONS: &[(&str, &str)] =
    &[("0001_runs.sql", "39b02e7d3952268bd0164a24c7c1ad2a1e9eb510e4ec197754a7b6fa22703bab")];

/// What the top level holds, besides dotfiles and `target`.
const TOP_LEVEL: [&str; 9] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "deploy",
    "fixtures",
    "src",
    "tests",
    "worker.dockerfile",
];

// --- the rules, applied ------------------------------------------------------------------------------------------

#[test]
fn the_pure_rooms_are_pure() {
    let findings = over_sources(|path, text| match room(path) {
        Some(room) if PURE.contains(&room) => impurities(text),
        _ => Vec::new(),
    });
    none(&findings);
}

#[test]
fn imports_only_go_down() {
    none(&over_sources(|path, text| {
        room(path).map_or(Vec::new(), |room| [wrong_imports(room, text), climbs_out(path, text)].concat())
    }));
}

#[test]
fn every_room_has_its_place_in_the_order() {
    let unknown: Vec<String> = sources()
        .iter()
        .filter_map(|(path, _)| room(path))
        .filter(|room| !ROOMS.contains(room) && !ALONE.contains(room) && !TOP.contains(room))
        .map(|room| format!("src/{room} has no place in ROOMS"))
        .collect();
    none(&unknown);
}

#[test]
fn decisions_spell_out_every_arm() {
    none(&over_sources(|path, text| {
        if room(path) == Some("decide") { catch_alls(path, text, FOREIGN_MATCHES) } else { Vec::new() }
    }));
}

#[test]
fn every_file_says_why_it_exists() {
    none(&over_sources(|path, text| if path == "src/lib.rs" { Vec::new() } else { without_header(text) }));
}

#[test]
fn no_file_is_too_long() {
    none(&over_sources(|path, text| too_long(path, text, LONG_FILES)));
    let stale = LONG_FILES.iter().filter(|(path, _)| lines_of(path) <= LINES);
    none(
        &stale
            .map(|(path, _)| format!("{path} is not too long any more: drop its entry"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn nothing_is_left_for_later_or_silenced() {
    none(&over_sources(|_, text| left_for_later(text)));
}

#[test]
fn no_trace_of_a_machine() {
    let mut findings = Vec::new();
    for (path, text) in texts() {
        findings.extend(machine_traces(&text).into_iter().map(|finding| format!("{path}: {finding}")));
    }
    none(&findings);
}

#[test]
fn migrations_are_numbered_and_never_change() {
    let shipped: Vec<(String, String)> = files("src/store/schema")
        .into_iter()
        .map(|path| (file_name(&path), fs::read_to_string(&path).expect("a migration is text")))
        .collect();
    none(&migration_findings(&shipped, MIGRATIONS));
}

#[test]
fn every_fixture_has_a_source() {
    let all: Vec<String> = files("fixtures").iter().map(|path| relative(path)).collect();
    let sources: BTreeMap<String, String> = all
        .iter()
        .filter(|path| path.ends_with("SOURCES.md"))
        .map(|path| (path.clone(), fs::read_to_string(root().join(path)).expect("SOURCES.md is text")))
        .collect();
    none(&fixtures_without_source(&all, &sources));
}

#[test]
fn the_top_level_is_as_designed() {
    let found: BTreeSet<String> = fs::read_dir(root())
        .expect("the project's folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && name != "target")
        .collect();
    none(&top_level_findings(&found));
}

#[test]
fn the_readme_documents_every_setting() {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let table = between(&readme, "<!-- settings:begin -->", "<!-- settings:end -->").expect("both markers");
    assert_eq!(table.trim(), roundsman::settings::vars::table().trim());
}

#[test]
fn the_handbook_says_of_every_agent_how_far_it_is_believed() {
    let handbook = fs::read_to_string(root().join("deploy/README.md")).expect("the handbook");
    let table = between(&handbook, "<!-- agents:begin -->", "<!-- agents:end -->").expect("both markers");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let expected = roundsman::agents::all().iter().map(|agent| {
        let believed = if agent.verified.is_some() { "verified" } else { "unverified" };
        let hosts: Vec<String> = agent.hosts.iter().map(|host| format!("`{host}`")).collect();
        let hosts = if hosts.is_empty() { "nothing".to_owned() } else { hosts.join(", ") };
        let name = &agent.name;
        let image = if roundsman::cli::image::AGENTS.contains(&name.as_str()) {
            format!("`--agents {name}` ")
        } else {
            String::new()
        };
        format!("| `{name}` | {believed} | {hosts} | {image}|")
    });
    assert_eq!(rows, expected.collect::<Vec<_>>());
}

// --- the rules, as functions --------------------------------------------------------------------------------------

fn impurities(text: &str) -> Vec<String> {
    let code = product(text);
    let found = IMPURE.iter().filter(|word| has_word(&code, word));
    found.map(|word| format!("a pure room says `{word}`")).collect()
}

fn wrong_imports(room: &str, text: &str) -> Vec<String> {
    let code = product(text);
    let mut findings = Vec::new();
    if TOP.contains(&room) {
        return findings;
    }
    let place = ROOMS.iter().position(|other| *other == room);
    for import in imported_rooms(&code) {
        let allowed = import == room
            || match (place, ROOMS.iter().position(|other| *other == import)) {
                (Some(own), Some(other)) => other < own,
                (None, _) | (_, None) => false,
            };
        if !allowed {
            findings.push(format!("`{room}` imports `{import}`"));
        }
    }
    findings
}

/// Chains of `super::` that end at the crate's root, from where every room could be reached.
fn climbs_out(path: &str, text: &str) -> Vec<String> {
    let folders = path.trim_start_matches("src/").trim_end_matches("/mod.rs");
    let depth = folders.split('/').count();
    let climbs = product(text).contains(&"super::".repeat(depth));
    if climbs { vec![format!("climbs {depth} modules up: say `crate::` instead")] } else { Vec::new() }
}

/// The first name after every `crate::`, groups included.
fn imported_rooms(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (start, _) in code.match_indices("crate::") {
        // `my_crate::` is another crate, `$crate::` is a macro's own.
        if code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[start + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let (mut depth, mut item) = (0_u32, String::new());
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        rooms.extend(first_name(&item));
                        item.clear();
                        continue;
                    }
                    _ => {}
                }
                item.push(c);
            }
            rooms.extend(first_name(&item));
        } else {
            rooms.extend(first_name(rest));
        }
    }
    rooms
}

fn first_name(path: &str) -> Option<String> {
    let name: String = path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// Arms that catch everything: `_ =>`, `_ if … =>`, `(_, _) =>`.
fn catch_alls(path: &str, text: &str, allowed: &[(&str, &str)]) -> Vec<String> {
    let code = product(text);
    let mut findings = Vec::new();
    for (line, original) in code.lines().zip(text.lines()) {
        let Some((before, _)) = line.split_once("=>") else { continue };
        let pattern = before.split(" if ").next().unwrap_or_default().trim();
        let pattern = pattern.rsplit(['{', '|']).next().unwrap_or_default().trim();
        let catches = pattern.contains('_') && pattern.chars().all(|c| "_(), .".contains(c));
        if catches && !allowed.contains(&(path, original.trim())) {
            findings.push(format!("catch-all arm `{}`", original.trim()));
        }
    }
    findings
}

fn without_header(text: &str) -> Vec<String> {
    let first = text.lines().next().unwrap_or_default();
    if first.starts_with("//! ") { Vec::new() } else { vec!["does not begin with `//!`".to_owned()] }
}

fn too_long(path: &str, text: &str, allowed: &[(&str, &str)]) -> Vec<String> {
    let lines = text.lines().count();
    if lines <= LINES || allowed.iter().any(|(long, _)| *long == path) {
        return Vec::new();
    }
    vec![format!("{lines} lines; more than {LINES} need an entry in LONG_FILES that says why")]
}

fn left_for_later(text: &str) -> Vec<String> {
    let code = code_of(text);
    let mut findings: Vec<String> = ["todo!", "unimplemented!", "#[ignore"]
        .iter()
        .filter(|word| code.contains(*word))
        .map(|word| format!("contains `{word}`"))
        .collect();
    for (start, _) in code.match_indices("allow(") {
        let attribute = code[..start].rfind('#').is_some_and(|hash| {
            code[hash..start].trim_start_matches(['#', '!', '[']).chars().all(char::is_whitespace)
                || code[hash..start].starts_with("#[cfg_attr(") && !code[hash..start].contains(']')
        });
        let body = code[start..].split(']').next().unwrap_or_default();
        if attribute && !body.contains("reason") {
            findings.push("a bare `allow`: say `#[expect(…, reason = \"…\")]`".to_owned());
        }
    }
    findings
}

/// Paths of somebody's machine, and package registries other than the public one that `Cargo.lock` names.
fn machine_traces(text: &str) -> Vec<String> {
    let folders = ["root", "Users", "work"].map(|name| format!("/{name}/"));
    let hosts = [
        ["py", "env/"],
        ["artifact", "ory"],
        ["jf", "rog"],
        ["nex", "us."],
        ["dev", "pi"],
        [".inter", "nal/"],
    ]
    .map(|parts| parts.concat());
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let folder = folders.iter().any(|folder| {
            line.match_indices(folder.as_str())
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.})/*".contains(c)))
        });
        if folder || hosts.iter().any(|host| line.contains(host.as_str())) {
            findings.push(format!("line {} names a machine: {}", number + 1, line.trim()));
        }
    }
    findings
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    })
}

fn migration_findings(shipped: &[(String, String)], listed: &[(&str, &str)]) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, (name, text)) in shipped.iter().enumerate() {
        if !name.starts_with(&format!("{:04}_", index + 1))
            || Path::new(name).extension() != Some(OsStr::new("sql"))
        {
            findings.push(format!("{name} should be migration {:04}", index + 1));
        }
        let hash = sha256(text);
        match listed.iter().find(|(known, _)| known == name) {
            Some((_, known)) if *known == hash => {}
            Some(_) => findings.push(format!("{name} has changed: add a new migration instead")),
            None => findings.push(format!("{name} is new: add `(\"{name}\", \"{hash}\")` to MIGRATIONS")),
        }
    }
    let gone = listed.iter().filter(|(known, _)| !shipped.iter().any(|(name, _)| name == known));
    findings.extend(gone.map(|(known, _)| format!("{known} is gone")));
    findings
}

/// A `SOURCES.md` beside the fixture or above it must name it, by its path from there.
fn fixtures_without_source(all: &[String], sources: &BTreeMap<String, String>) -> Vec<String> {
    let named = |fixture: &String| {
        sources.iter().any(|(source, text)| {
            let folder = source.strip_suffix("SOURCES.md").unwrap_or_default();
            fixture.strip_prefix(folder).is_some_and(|path| {
                // A whole folder has one source when it is named with its slash.
                let top = path.split_inclusive('/').next().filter(|top| top.ends_with('/'));
                text.contains(path) || top.is_some_and(|top| text.contains(&format!("`{top}`")))
            })
        })
    };
    let lonely = all.iter().filter(|path| !path.ends_with("SOURCES.md") && !named(path));
    lonely.map(|path| format!("{path} is in no SOURCES.md")).collect()
}

fn top_level_findings(found: &BTreeSet<String>) -> Vec<String> {
    let unexpected = found.iter().filter(|name| !TOP_LEVEL.contains(&name.as_str()));
    let mut findings: Vec<String> =
        unexpected.map(|name| format!("`{name}` has no place at the top")).collect();
    // Git keeps no empty folder: `fixtures` is there as soon as something was recorded.
    let missing = TOP_LEVEL.iter().filter(|name| **name != "fixtures" && !found.contains(**name));
    findings.extend(missing.map(|name| format!("`{name}` is missing")));
    findings
}

/// Every `ROUNDSMAN_…` in a text, without prefixes that only end in `_`.
pub(crate) fn variables(text: &str) -> BTreeSet<String> {
    let names = text.match_indices("ROUNDSMAN_").map(|(at, _)| {
        text[at..]
            .chars()
            .take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_')
            .collect::<String>()
    });
    names.filter(|name| !name.ends_with('_')).collect()
}

/// The settings that exist; none while there is no such room.
pub(crate) fn known_settings() -> Option<BTreeSet<String>> {
    let known = declared_settings(&fs::read_to_string(root().join("src/settings/vars.rs")).ok()?);
    assert!(known.len() > 10, "only {} settings: this is no real check", known.len());
    Some(known)
}

/// The names in the declaration of all variables: `KILL_SWITCH: Is("on"),`.
fn declared_settings(text: &str) -> BTreeSet<String> {
    let declared = text.lines().filter_map(|line| {
        let (name, default) = line.trim().split_once(": ")?;
        let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        let is_default = ["Is(", "Means(", "Required"].iter().any(|word| default.starts_with(word));
        (is_name && is_default).then(|| format!("ROUNDSMAN_{name}"))
    });
    declared.collect()
}

fn differences(a: &str, in_a: &BTreeSet<String>, b: &str, in_b: &BTreeSet<String>) -> Vec<String> {
    let only_a = in_a.difference(in_b).map(|name| format!("{name} is in {a} but not in {b}"));
    let only_b = in_b.difference(in_a).map(|name| format!("{name} is in {b} but not in {a}"));
    only_a.chain(only_b).collect()
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    Some(text.split_once(begin)?.1.split_once(end)?.0)
}

// --- applying a rule -----------------------------------------------------------------------------------------------

fn over_sources(rule: impl Fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let findings = sources().into_iter().flat_map(|(path, text)| {
        rule(&path, &text).into_iter().map(move |finding| format!("{path}: {finding}")).collect::<Vec<_>>()
    });
    findings.collect()
}

fn none(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

// --- every rule can fail -------------------------------------------------------------------------------------------

#[test]
fn each_rule_finds_its_bad_sample() {
    assert_eq!(impurities("use tokio::time;\nlet t = Timestamp::now();").len(), 2);
    assert!(
        impurities("// tokio\nlet s = \"std::env\"; let instants = 1;\n#[cfg(test)]\nmod t { use tokio; }")
            .is_empty()
    );

    let sample =
        "use crate::{domain::{RunId, Step}, shell::tick};\nlet x = crate::ado::get();\nuse my_crate::cli;";
    assert_eq!(wrong_imports("words", sample), ["`words` imports `ado`", "`words` imports `shell`"]);
    assert_eq!(wrong_imports("emulator", "use crate::domain::RunId;"), ["`emulator` imports `domain`"]);
    assert_eq!(climbs_out("src/decide/plan.rs", "use super::super::ado;").len(), 1);
    assert_eq!(climbs_out("src/decide/mod.rs", "use super::ado;").len(), 1);
    assert!(
        climbs_out(
            "src/emulator/state/builds.rs",
            "use super::super::State;
use super::Build;"
        )
        .is_empty()
    );
    assert!(wrong_imports("shell", "use crate::{ado, store::RunStore, shell::App};").is_empty());

    let arms =
        "match x {\n    A => 1,\n    (_, _) => 2,\n    _ if y => 3,\n    _ => 4, // why\n    (A, _) => 5,\n}";
    assert_eq!(catch_alls("a.rs", arms, &[]).len(), 3);
    assert_eq!(catch_alls("a.rs", arms, &[("a.rs", "_ => 4, // why")]).len(), 2);
    assert_eq!(
        catch_alls("a.rs", "match x { A => 1, B | _ => 2 }", &[]).len(),
        0,
        "one arm a line, as rustfmt writes"
    );

    assert_eq!(without_header("use std::fs;").len(), 1);
    assert_eq!(too_long("a.rs", &"x\n".repeat(LINES + 1), &[]).len(), 1);
    assert!(too_long("a.rs", &"x\n".repeat(LINES + 1), &[("a.rs", "a table")]).is_empty());
    assert!(too_long("a.rs", &"x\n".repeat(LINES), &[]).is_empty());

    let later =
        "#[ignore]\n#[allow(dead_code)]\n#![allow(x)]\nfn f() { todo!() }\nfn g() { unimplemented!(\"x\") }";
    assert_eq!(left_for_later(later).len(), 5);
    assert!(left_for_later("#[allow(x, reason = \"y\")]\nfn f() { policy.allow(1); } // todo!").is_empty());

    let trace = ["cp /ro", "ot/x .\nindex = https://x.jf", "rog.io/a"].concat();
    assert_eq!(machine_traces(&trace).len(), 2);
    assert!(machine_traces("GET /acme/_apis/work/boards\n/workspace /home src/work/x").is_empty());

    let text = "CREATE TABLE a (b TEXT) STRICT;";
    let hash = sha256(text);
    let one = [("0001_a.sql".to_owned(), text.to_owned())];
    assert!(migration_findings(&one, &[("0001_a.sql", &hash)]).is_empty());
    assert_eq!(migration_findings(&one, &[("0001_a.sql", "00")]).len(), 1, "changed");
    assert_eq!(migration_findings(&one, &[]).len(), 1, "not listed");
    assert_eq!(migration_findings(&[], &[("0001_a.sql", "00")]).len(), 1, "gone");
    assert_eq!(
        migration_findings(&[("0002_a.sql".into(), text.into())], &[("0002_a.sql", &hash)]).len(),
        1,
        "a hole"
    );

    let all = ["fixtures/ado/a.json", "fixtures/ado/b.json", "fixtures/ado/SOURCES.md"].map(String::from);
    let sources = BTreeMap::from([("fixtures/ado/SOURCES.md".to_owned(), "`a.json`: GET".to_owned())]);
    assert_eq!(fixtures_without_source(&all, &sources), ["fixtures/ado/b.json is in no SOURCES.md"]);

    let mut found: BTreeSet<String> = TOP_LEVEL.iter().map(ToString::to_string).collect();
    assert!(top_level_findings(&found).is_empty());
    found.remove("src");
    found.insert("scripts".into());
    assert_eq!(top_level_findings(&found).len(), 2);

    let names = variables("`ROUNDSMAN_A_B`, ROUNDSMAN_POLICY_* and $ROUNDSMAN_C=1");
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), ["ROUNDSMAN_A_B", "ROUNDSMAN_C"]);
    let declared =
        declared_settings("    KILL_SWITCH: Is(\"on\"),\n    ADO_URL: Required,\n    pub name: Is,\n");
    assert_eq!(declared, variables("ROUNDSMAN_KILL_SWITCH ROUNDSMAN_ADO_URL"));
    assert_eq!(differences("a", &names, "b", &variables("ROUNDSMAN_C ROUNDSMAN_D")).len(), 2);
}
