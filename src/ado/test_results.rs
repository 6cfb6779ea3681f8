//! Test results that builds published: how many, which failed, and how a test fared before.
//!
//! Only calls of the organization's own host: the test results service has another one, which a firewall may not know.

use super::{
    Client, Error, Operation,
    request::{Call, STABLE},
    wire::{
        List,
        test_results::{History, TestResult, TestRun},
    },
};
use crate::domain::{BranchName, BuildId, FailedTest, TestTotals};
use serde_json::json;
use std::collections::BTreeMap;

/// Runs of tests per page; a build publishes a handful.
const RUNS: u32 = 100;
/// Failed tests read of one run: more are one cause.
const FAILED: u32 = 50;
/// Days of history: the most that the service looks back.
const HISTORY_DAYS: u32 = 7;
/// Longest message or stack kept of one test, in characters.
const MAX_TEXT: usize = 4_000;

/// Of several runs with one name and job, those of its newest attempt.
fn newest_attempts(runs: Vec<TestRun>) -> Vec<TestRun> {
    let mut newest: BTreeMap<String, u32> = BTreeMap::new();
    for (job, attempt) in runs.iter().filter_map(TestRun::attempt) {
        let known = newest.entry(job).or_default();
        *known = attempt.max(*known);
    }
    let counts =
        |run: &TestRun| run.attempt().is_none_or(|(job, attempt)| newest.get(&job) == Some(&attempt));
    runs.into_iter().filter(counts).collect()
}

/// What a build published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// All its runs together; none if it published nothing.
    pub totals: Option<TestTotals>,
    /// Runs of tests in which something failed.
    pub red_runs: Vec<u32>,
}

impl Client {
    /// How many tests a build published, by the newest attempt of each job: one request. The service goes on listing what
    /// older attempts published.
    ///
    /// REST: Test, Runs, *List*.
    pub async fn published_tests(&self, project: &str, build: BuildId) -> Result<Published, Error> {
        let call = Call::get(Operation::TestRuns, &[project, "_apis", "test", "runs"], STABLE)
            .with("buildUri", format!("vstfs:///Build/Build/{build}"))
            .with("includeRunDetails", true);
        let runs: Vec<TestRun> = self.skipped(&call, RUNS).await?;
        let mut published = Published::default();
        for run in newest_attempts(runs) {
            let one = run.totals();
            if one.failed > 0 {
                published.red_runs.extend(run.id);
            }
            published.totals = Some(published.totals.unwrap_or_default().plus(one));
        }
        Ok(published)
    }

    /// The failed tests of one run of tests, redacted, ordered by name, the first of very many.
    ///
    /// REST: Test, Results, *List*.
    pub async fn failed_tests(&self, project: &str, run: u32) -> Result<Vec<FailedTest>, Error> {
        let call = Call::get(
            Operation::TestResults,
            &[project, "_apis", "test", "Runs", &run.to_string(), "results"],
            STABLE,
        )
        .with("outcomes", "Failed")
        .with("$top", FAILED);
        let list: List<TestResult> = self.json(&call).await?;
        let clean = |text: Option<String>| -> String {
            self.redactor().redact(&text.unwrap_or_default()).chars().take(MAX_TEXT).collect()
        };
        let mut failed: Vec<FailedTest> = list
            .entries()
            // The filter was seen to be ignored by older servers.
            .filter(TestResult::is_failed)
            .filter_map(|result| {
                let name = result.name()?.to_owned();
                Some(FailedTest {
                    name,
                    message: clean(result.error_message),
                    stack: clean(result.stack_trace),
                })
            })
            .collect();
        failed.sort();
        failed.dedup();
        Ok(failed)
    }

    /// How a test fared on a branch within the last week, oldest first; true is passed. What neither passed nor failed is
    /// left out. A question that travels as POST, for which the service wants the scope *Test management (read and write)*.
    ///
    /// REST: Test, Test History, *Query*.
    pub async fn test_history(
        &self,
        project: &str,
        test: &str,
        branch: &BranchName,
    ) -> Result<Vec<bool>, Error> {
        let body = json!({
            "automatedTestName": test, "branch": branch.full(), "groupBy": "branch", "trendDays": HISTORY_DAYS,
        });
        let segments = [project, "_apis", "test", "Results", "testhistory"];
        let call = Call::post(Operation::TestHistory, &segments, STABLE, &body);
        let history: History = self.json(&call).await?;
        Ok(history.outcomes(&branch.full()))
    }
}
