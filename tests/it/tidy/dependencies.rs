//! What we depend on, held against `.deny.toml`: licences, sources, and the same crate twice.
//!
//! The gate may have cargo-deny, which knows more; this runs wherever `cargo test` runs, without a network.

use super::{none, reading::root};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

#[test]
fn dependencies_are_what_deny_toml_allows() {
    let packages = packages();
    let deny: toml::Table = fs::read_to_string(root().join(".deny.toml"))
        .expect(".deny.toml")
        .parse()
        .expect(".deny.toml is TOML");
    let allowed = strings(&deny["licenses"]["allow"]);
    let skipped: BTreeSet<String> = deny["bans"]["skip"]
        .as_array()
        .expect("bans.skip is a list")
        .iter()
        .map(|entry| entry["crate"].as_str().expect("bans.skip names a crate").to_owned())
        .collect();
    assert!(packages.len() > 50, "only {} packages: this is no real check", packages.len());
    none(&dependency_findings(&packages, &allowed, &skipped));
}

fn dependency_findings(packages: &[Package], allowed: &[String], skipped: &BTreeSet<String>) -> Vec<String> {
    let mut findings = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in packages {
        let Package { name, version, license, source } = package;
        if !license_allowed(license, allowed) {
            findings.push(format!("{name} {version}: licence `{license}` is not allowed"));
        }
        if !source.is_empty() && !source.starts_with("registry+") {
            findings.push(format!("{name} {version} comes from {source}"));
        }
        versions.entry(name).or_default().insert(format!("{name}@{version}"));
    }
    for (name, of_name) in &versions {
        let excused = of_name.iter().filter(|version| skipped.contains(*version)).count();
        if of_name.len() > excused + 1 {
            findings.push(format!("{name} is there in {} versions: {of_name:?}", of_name.len()));
        }
    }
    let needed = |skip: &String| versions.values().any(|of_name| of_name.len() > 1 && of_name.contains(skip));
    let stale = skipped.iter().filter(|skip| !needed(skip));
    findings.extend(stale.map(|skip| format!("bans.skip of {skip} is not needed any more")));
    findings
}

/// Evaluates an SPDX expression: one side of an `OR` must be allowed, both sides of an `AND`.
fn license_allowed(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.trim();
    // Old manifests say `MIT/Apache-2.0`.
    let expression = expression.replace(" / ", " OR ").replace('/', " OR ");
    if let Some((left, right)) = split_outside(&expression, " OR ") {
        return license_allowed(&left, allowed) || license_allowed(&right, allowed);
    }
    if let Some((left, right)) = split_outside(&expression, " AND ") {
        return license_allowed(&left, allowed) && license_allowed(&right, allowed);
    }
    match expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => license_allowed(inner, allowed),
        None => allowed.contains(&expression),
    }
}

fn split_outside(text: &str, separator: &str) -> Option<(String, String)> {
    let found = text.match_indices(separator).map(|(at, _)| at).find(|at| {
        let before = &text[..*at];
        before.matches('(').count() == before.matches(')').count()
    })?;
    Some((text[..found].to_owned(), text[found + separator.len()..].to_owned()))
}

fn strings(list: &toml::Value) -> Vec<String> {
    let list = list.as_array().expect("a list");
    list.iter().map(|item| item.as_str().expect("a list of strings").to_owned()).collect()
}

struct Package {
    name: String,
    version: String,
    license: String,
    source: String,
}

/// Every package of this machine's build, as cargo resolved it.
fn packages() -> Vec<Package> {
    let rustc = Command::new("rustc").arg("-vV").output().expect("rustc answers");
    let text = String::from_utf8_lossy(&rustc.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    let answer = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", host])
        .current_dir(root())
        .output()
        .expect("cargo answers");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let metadata: Value = serde_json::from_slice(&answer.stdout).expect("cargo metadata is JSON");
    let text = |package: &Value, key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().expect("packages").iter();
    packages
        .map(|package| Package {
            name: text(package, "name"),
            version: text(package, "version"),
            license: text(package, "license"),
            source: text(package, "source"),
        })
        .collect()
}

/// Crates that offer more to tests than to our programs, and why that cannot change what a program does. What is not named
/// here is the same in both: a pattern that only a test's `regex` understands was once the end of a publish step.
const RICHER_IN_TESTS: [(&str, &str); 7] = [
    ("futures-channel", "an allocation feature of the pretend service"),
    ("futures-util", "macros and collections that we do not call"),
    ("getrandom", "how temporary names are seeded"),
    ("hyper", "its server"),
    ("hyper-util", "its server"),
    ("tower", "layers of the pretend service"),
    ("roundsman", "the emulator"),
];

/// `name version features` of all that is built, a line each.
fn features(more: &[&str]) -> BTreeSet<String> {
    let answer = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p} {f}"])
        .args(more)
        .current_dir(root())
        .output()
        .expect("cargo answers");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let text = String::from_utf8(answer.stdout).expect("text");
    text.lines().map(|line| line.trim_end_matches(" (*)").trim_end().to_owned()).collect()
}

#[test]
fn what_is_tested_is_built_with_the_features_that_programs_have() {
    let programs = features(&["--edges", "normal", "--no-default-features"]);
    let tested = features(&["--edges", "normal,dev"]);
    let name = |line: &&String| line.split(' ').next().unwrap_or_default().to_owned();
    let differ: BTreeSet<String> = programs.difference(&tested).map(|line| name(&line)).collect();
    let known: BTreeSet<String> = RICHER_IN_TESTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert!(programs.len() > known.len() && tested.len() > programs.len(), "cargo lists what is built");
    assert_eq!(differ, known, "give the crate in Cargo.toml the features that a test brings, or say why not");
}

#[test]
fn the_dependency_rule_finds_its_bad_samples() {
    let package = |name: &str, version: &str, license: &str, source: &str| Package {
        name: name.into(),
        version: version.into(),
        license: license.into(),
        source: source.into(),
    };
    let allowed = ["MIT".to_owned(), "ISC".to_owned(), "Apache-2.0".to_owned()];
    let skipped = BTreeSet::from(["b@1.0.0".to_owned(), "gone@1.0.0".to_owned()]);
    let packages = [
        package("a", "1.0.0", "GPL-3.0-only", ""),
        package("a", "2.0.0", "MIT", ""),
        package("b", "1.0.0", "MIT OR GPL-2.0-only", "git+https://example.com/b"),
        package("b", "2.0.0", "(MIT OR GPL-2.0-only) AND ISC", ""),
    ];
    let findings = dependency_findings(&packages, &allowed, &skipped);
    assert_eq!(findings.len(), 4, "{findings:?}");
    for (expression, expected) in [
        ("MIT/Apache-2.0", true),
        ("Apache-2.0 / MIT", true),
        ("MIT AND GPL-2.0-only", false),
        ("(MIT AND GPL-2.0-only) OR ISC", true),
        ("(MIT OR GPL-2.0-only) AND BSD-3-Clause", false),
        ("", false),
    ] {
        assert_eq!(license_allowed(expression, &allowed), expected, "{expression}");
    }
}
