//! Whether a fix kept the tests: one that counts fewer of them, or skips more, is none. Pure; claims nothing where
//! nothing was published.

use super::{
    observation::{Observation, TestsSeen},
    verdict::Verdict,
};
use crate::domain::{CommitId, Judged, Run, TestTotals, TurnEnd};

/// What the newest fix took from the tests, for a sentence; none if it took nothing, or if nothing can be said.
pub(super) fn weakened(run: &Run, seen: &Observation, head: &CommitId, verdict: &Verdict) -> Option<String> {
    let tests = seen.tests.known()?;
    if is_judged(run, head) || !is_fix(run) {
        return None;
    }
    let told =
        |files: &[String], what: &str| (!files.is_empty()).then(|| format!("{what}: {}", files.join(", ")));
    told(&tests.removed, "files of tests are gone")
        .or_else(|| told(&tests.touched, "thresholds of coverage were touched"))
        .or_else(|| match verdict {
            Verdict::Passing { .. } if tests.is_uncounted => None,
            Verdict::Passing { .. } => fewer(&before(run, tests)?, &tests.totals.unwrap_or_default()),
            // A red build may have stopped before its tests.
            Verdict::Failing(_)
            | Verdict::Broken { .. }
            | Verdict::Canceled { .. }
            | Verdict::Partial
            | Verdict::Pending
            | Verdict::NoChecks => None,
        })
}

fn fewer(before: &TestTotals, now: &TestTotals) -> Option<String> {
    if now.executed < before.executed {
        Some(format!("{} tests ran before it, {} ran after it", before.executed, now.executed))
    } else if now.skipped > before.skipped {
        Some(format!("{} tests were skipped before it, {} after it", before.skipped, now.skipped))
    } else {
        None
    }
}

fn before(run: &Run, tests: &TestsSeen) -> Option<TestTotals> {
    run.judged.as_ref().map_or(tests.before, |judged| judged.totals)
}

/// Whether this head's tests were counted already.
pub fn is_judged(run: &Run, head: &CommitId) -> bool {
    run.judged.as_ref().is_some_and(|judged| judged.head == *head)
}

/// Whether the newest turn answered failing checks. Reviewers may ask for a test to go, and a target branch may have
/// dropped one; what a person saw before letting the run go on is theirs.
pub fn is_fix(run: &Run) -> bool {
    let newest = run.counted().filter(|turn| turn.end != Some(TurnEnd::Lost)).last();
    newest.is_some_and(|turn| turn.trigger.0.starts_with("checks@"))
}

/// Notes what was counted on `head`, for the next one to be compared with. A red build may have stopped half-way: it
/// does not lower what the next has to reach.
pub(super) fn note(run: &mut Run, seen: &Observation, head: &CommitId, verdict: &Verdict) {
    let Some(tests) = seen.tests.known() else { return };
    if is_judged(run, head) || weakened(run, seen, head, verdict).is_some() {
        return;
    }
    let totals = match verdict {
        // The last count that was to be had stays what the next one has to reach.
        Verdict::Passing { .. } | Verdict::Failing(_) if tests.is_uncounted => before(run, tests),
        Verdict::Passing { .. } => tests.totals,
        Verdict::Failing(_) => {
            [before(run, tests), tests.totals].into_iter().flatten().max_by_key(|t| t.executed)
        }
        Verdict::Broken { .. }
        | Verdict::Canceled { .. }
        | Verdict::Partial
        | Verdict::Pending
        | Verdict::NoChecks => return,
    };
    run.judged = Some(Judged { head: head.clone(), totals });
}

/// Whether these outcomes, oldest first, are those of a test that fails now and then: it failed, and passed again.
pub fn is_flaky(outcomes: &[bool]) -> bool {
    outcomes.iter().position(|passed| !passed).is_some_and(|at| outcomes[at..].contains(&true))
}

/// Folders whose files are tests in most languages.
const FOLDERS: [&str; 5] = ["test", "tests", "spec", "specs", "__tests__"];

/// Whether a path reads like a file of tests.
pub fn is_test(path: &str) -> bool {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.split('.').next().unwrap_or(name);
    let lower = name.to_lowercase();
    folders.split('/').any(|folder| FOLDERS.contains(&folder.to_lowercase().as_str()))
        || ["test_", "spec_"].iter().any(|start| lower.starts_with(start))
        || ["_test.", "_spec.", ".test.", ".spec.", "-test.", "-spec."]
            .iter()
            .any(|part| lower.contains(part))
        || ["Test", "Tests", "Spec", "Specs"].iter().any(|end| stem.len() > end.len() && stem.ends_with(end))
}

/// Starts of the names of files that say how much must be covered.
const THRESHOLDS: [&str; 8] = [
    ".coveragerc",
    "codecov.y",
    ".codecov.y",
    ".nycrc",
    "coverlet.runsettings",
    "coverage.runsettings",
    "jacoco",
    ".c8rc",
];

/// Whether a path reads like a file that says how much must be covered.
pub fn is_threshold(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    THRESHOLDS.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_told_by_their_names() {
        for test in [
            "tests/basket.rs",
            "src/__tests__/a.js",
            "basket_test.go",
            "test_basket.py",
            "src/BasketTests.cs",
            "app/basket.spec.ts",
            "Spec/a.rb",
            "BasketTest.java",
        ] {
            assert!(is_test(test), "{test}");
        }
        for other in
            ["src/contest.rs", "latest.md", "src/Test.cs/../x.cs", "attestation/a.rs", "src/inspector.ts"]
        {
            assert!(!is_test(other), "{other}");
        }
        assert!(
            is_threshold("web/.nycrc.json") && is_threshold("codecov.yml") && !is_threshold("src/jaco.rs")
        );
    }

    #[test]
    fn a_flake_failed_and_passed_again() {
        assert!(is_flaky(&[true, false, true]) && is_flaky(&[false, true]));
        assert!(
            !is_flaky(&[]) && !is_flaky(&[true, true]) && !is_flaky(&[true, false]) && !is_flaky(&[false])
        );
    }

    #[test]
    fn fewer_and_skipped_are_less() {
        let of = |executed, skipped| TestTotals { executed, failed: 0, skipped };
        assert_eq!(fewer(&of(40, 1), &of(40, 1)), None);
        assert_eq!(fewer(&of(40, 1), &of(41, 0)), None);
        assert_eq!(fewer(&of(40, 1), &of(39, 1)).as_deref(), Some("40 tests ran before it, 39 ran after it"));
        assert_eq!(
            fewer(&of(40, 1), &of(41, 2)).as_deref(),
            Some("1 tests were skipped before it, 2 after it")
        );
    }
}
