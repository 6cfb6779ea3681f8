//! What an agent says about files, held against the files that its change has. Pure.
//!
//! Modest on purpose: only sentences with a verb of change, only names that can be nothing but paths, and nothing that
//! denies or plans. A doubt that is wrong costs more trust than one that is missing.

use super::changes::Change;
use crate::domain::Doubt;
use regex::Regex;
use std::sync::LazyLock;

/// More doubts than this are one.
const MOST_DOUBTS: usize = 5;
/// Characters of a path that is told.
const MOST_PATH: usize = 120;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the patterns are constants and tested")
}

static TESTS_ADDED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i-u)\b(?:add(?:ed|s)?|wrote|extend(?:ed|s)?|creat(?:ed|es)|new)\b[ a-z`-]{0,40}\b(?:unit[ -]|integration[ -]|regression[ -])?tests?\b",
    )
});
static CHANGED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i-u)\b(?:add(?:ed|s)|chang(?:ed|es)|updat(?:ed|es)|creat(?:ed|es)|modif(?:ied|ies)|edit(?:ed|s)|renam(?:ed|es)|remov(?:ed|es)|delet(?:ed|es)|extend(?:ed|s)|rewrote)\b",
    )
});
/// Words after which a sentence is not about what was done.
static DENIES: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i-u)\b(?:no|not|never|none|nothing|without|unchanged|untouched|already|exist(?:s|ing)|should|could|would|will|later|todo|if|instead|unlike|before)\b|n't\b",
    )
});
static QUOTED: LazyLock<Regex> = LazyLock::new(|| pattern(r"`([^`\s]{3,200})`"));

/// What the change with these paths does not bear out.
pub(super) fn doubts(texts: &[&str], changed: &[String]) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    for sentence in texts.iter().flat_map(|text| sentences(text)) {
        if DENIES.is_match(sentence) {
            continue;
        }
        if adds_tests(sentence) && !changed.iter().any(|path| is_test(path)) {
            doubts.push(Doubt::NoTest);
        }
        if CHANGED.is_match(sentence) {
            let named = QUOTED.captures_iter(sentence).filter_map(|quoted| path_of(&quoted[1]));
            let absent = named.filter(|path| !changed.iter().any(|known| is_same(known, path)));
            doubts.extend(absent.map(|path| Doubt::NotChanged { path }));
        }
    }
    doubts.sort();
    doubts.dedup();
    doubts.truncate(MOST_DOUBTS);
    doubts
}

/// "Tests" as a thing, not as the half of another word: `test-driven`, `test suite`.
fn adds_tests(sentence: &str) -> bool {
    TESTS_ADDED.find_iter(sentence).any(|found| {
        let rest = sentence[found.end()..].trim_start_matches('`');
        !rest.starts_with(['-', '/', '_', '.'])
            || rest.trim_start_matches('.').trim().is_empty()
            || rest.starts_with(". ")
    })
}

/// Whether a path looks like a test's.
fn is_test(path: &str) -> bool {
    let path = path.to_lowercase();
    path.contains("test") || path.contains("spec")
}

/// Files that look like tests and are gone, without one of their name elsewhere: moving is no removal.
pub(super) fn removed_tests(changes: &[Change]) -> Vec<Doubt> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_lowercase();
    let added: Vec<String> =
        changes.iter().filter(|change| change.old_mode == 0).map(|change| name(&change.path)).collect();
    let gone = changes.iter().filter(|change| change.new_mode == 0 && is_test(&change.path));
    let gone = gone.filter(|change| !added.contains(&name(&change.path)));
    gone.map(|change| Doubt::TestRemoved { path: change.path.clone() }).take(MOST_DOUBTS).collect()
}

/// Sentences, roughly: a dot inside of a path is followed by no space.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    let lines = text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_fence && !is_code && !line.trim_start().starts_with(['#', '>', '<'])
    });
    lines.flat_map(|line| line.split_inclusive(". ")).filter(|sentence| !sentence.contains("- [ ]"))
}

/// A name that can only be a path: with a folder, and with an ending of letters.
fn path_of(word: &str) -> Option<String> {
    let word = word.trim_start_matches("./").split(':').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    let (folders, name) = word.rsplit_once('/')?;
    let (stem, ending) = name.rsplit_once('.')?;
    let is_path = word.chars().all(plain)
        && !word.contains("//")
        && !folders.is_empty()
        && !folders.starts_with(['.', '@'])
        && !folders.contains('.')
        && !stem.is_empty()
        && (1..=5).contains(&ending.len())
        && ending.starts_with(|c: char| c.is_ascii_alphabetic());
    (is_path && word.len() <= MOST_PATH).then(|| word.to_owned())
}

/// People leave out leading folders.
fn is_same(known: &str, named: &str) -> bool {
    let (known, named) = (known.to_lowercase(), named.trim_start_matches('/').to_lowercase());
    known == named || known.ends_with(&format!("/{named}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, changed: &[&str]) -> Vec<Doubt> {
        doubts(&[text], &changed.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn claims_about_files_are_held_against_the_files() {
        let changed = ["src/shop/cart.rs", "README.md"];
        for text in ["Added tests for the empty cart.", "I wrote two unit tests.", "- add a regression test"]
        {
            assert_eq!(told(text, &changed), [Doubt::NoTest], "{text}");
        }
        assert_eq!(
            told("Fixed the sum. Updated `shop/cart.rs` and `docs/prices.md`.", &changed),
            [Doubt::NotChanged { path: "docs/prices.md".into() }]
        );
        assert_eq!(told("Added tests.", &["src/cart.rs", "tests/cart.rs"]), []);
        assert_eq!(told("Added a test.", &["web/cart.spec.ts"]), []);
    }

    #[test]
    fn a_test_that_is_gone_is_told_and_one_that_moved_is_not() {
        let change = |old_mode, new_mode, path: &str| Change {
            old_mode,
            new_mode,
            object: String::new(),
            path: path.into(),
        };
        let changes = [
            change(0o100_644, 0, "tests/cart_test.sh"),
            change(0o100_644, 0, "tests/moved_test.sh"),
            change(0, 0o100_644, "tests/shop/moved_test.sh"),
            change(0o100_644, 0, "src/old.rs"),
            change(0o100_644, 0o100_644, "tests/other_test.sh"),
        ];
        assert_eq!(removed_tests(&changes), [Doubt::TestRemoved { path: "tests/cart_test.sh".into() }]);
    }

    #[test]
    fn what_is_no_claim_is_not_doubted() {
        for text in [
            "No tests were added: the change is in documentation.",
            "I did not add a test.",
            "The existing tests cover it.",
            "Ran the tests, all of them pass.",
            "Added test-driven wording.",
            "- [ ] Tests added",
            "## Tests added",
            "The bug was in `src/other/file.rs`, where the sum is made.",
            "Changed the call of `std::fs::read` and `a/b`.",
            "Updated `https://example.org/a/b.html`.",
            "Uses `serde/derive` as before, updated.",
            "```\nUpdated `src/x/y.rs`\n```",
            "Left `src/x/y.rs` unchanged and updated the sum.",
            "Updated `node_modules/@types/x.d.ts` handling if needed.",
        ] {
            assert_eq!(told(text, &["README.md"]), [], "{text}");
        }
    }
}
