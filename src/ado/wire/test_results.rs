//! Runs of tests and their results as the service sends them.

use super::is;
use crate::domain::TestTotals;
use jiff::Timestamp;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestRun {
    pub(crate) id: Option<u32>,
    total_tests: Option<u32>,
    passed_tests: Option<u32>,
    not_applicable_tests: Option<u32>,
    run_statistics: Option<Vec<Statistic>>,
    name: Option<String>,
    pipeline_reference: Option<PipelineReference>,
}

#[expect(clippy::struct_field_names, reason = "as the service spells it")]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PipelineReference {
    stage_reference: Option<Part>,
    phase_reference: Option<Part>,
    job_reference: Option<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    attempt: Option<u32>,
    #[serde(alias = "stageName", alias = "phaseName", alias = "jobName")]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Statistic {
    outcome: Option<String>,
    count: Option<u32>,
}

/// Outcomes of tests that were there and did not run.
const SKIPPED: [&str; 4] = ["notExecuted", "notApplicable", "notImpacted", "blocked"];

impl TestRun {
    /// Which job published it under which name, and in which attempt, where the service tells.
    pub(crate) fn attempt(&self) -> Option<(String, u32)> {
        let place = self.pipeline_reference.as_ref()?;
        let parts = [&place.stage_reference, &place.phase_reference, &place.job_reference];
        let attempt = parts.iter().filter_map(|part| part.as_ref()?.attempt).max()?;
        let names =
            parts.iter().map(|part| part.as_ref().and_then(|part| part.name.as_deref()).unwrap_or_default());
        let mut names: Vec<&str> = names.collect();
        names.push(self.name.as_deref().unwrap_or_default());
        Some((names.join("/"), attempt))
    }

    /// By outcome where the service tells, else by its sums.
    pub(crate) fn totals(&self) -> TestTotals {
        let total = self.total_tests.unwrap_or_default();
        match self.run_statistics.as_deref() {
            Some(statistics) if !statistics.is_empty() => {
                let sum = |wanted: &dyn Fn(&str) -> bool| {
                    let of = |one: &Statistic| one.outcome.as_deref().is_some_and(wanted);
                    statistics.iter().filter(|one| of(one)).filter_map(|one| one.count).sum::<u32>()
                };
                let skipped = sum(&|word| SKIPPED.iter().any(|known| known.eq_ignore_ascii_case(word)));
                TestTotals {
                    executed: sum(&|_| true).saturating_sub(skipped),
                    failed: sum(&|word| is_bad(word)),
                    skipped,
                }
            }
            Some(_) | None => {
                let skipped = self.not_applicable_tests.unwrap_or_default();
                let executed = total.saturating_sub(skipped);
                TestTotals {
                    executed,
                    failed: executed.saturating_sub(self.passed_tests.unwrap_or(executed)),
                    skipped,
                }
            }
        }
    }
}

fn is_bad(outcome: &str) -> bool {
    ["failed", "error", "timeout", "aborted"].iter().any(|bad| bad.eq_ignore_ascii_case(outcome))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestResult {
    outcome: Option<String>,
    automated_test_name: Option<String>,
    test_case_title: Option<String>,
    pub(crate) error_message: Option<String>,
    pub(crate) stack_trace: Option<String>,
    completed_date: Option<Timestamp>,
}

impl TestResult {
    pub(crate) fn is_failed(&self) -> bool {
        self.outcome.as_deref().is_some_and(is_bad)
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.automated_test_name
            .as_deref()
            .or(self.test_case_title.as_deref())
            .filter(|name| !name.is_empty())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct History {
    results_for_group: Option<Vec<Group>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    group_by_value: Option<String>,
    results: Option<Vec<TestResult>>,
}

impl History {
    /// Of one branch, oldest first.
    pub(crate) fn outcomes(self, branch: &str) -> Vec<bool> {
        let groups = self.results_for_group.into_iter().flatten();
        let mut all: Vec<TestResult> = groups
            .filter(|group| group.group_by_value.as_deref().is_none_or(|value| value == branch))
            .flat_map(|group| group.results.unwrap_or_default())
            .collect();
        all.sort_by_key(|result| result.completed_date);
        all.iter()
            .filter_map(|result| {
                (is(result.outcome.as_deref(), "passed"))
                    .then_some(true)
                    .or(result.is_failed().then_some(false))
            })
            .collect()
    }
}
