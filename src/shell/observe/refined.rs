//! What refines a verdict, read only where it can matter: whether the target branch fails the same way, whether the failing
//! tests are known to fail now and then, and what became of the tests since the head before.

use super::{
    App,
    checks::{bearable, why},
};
use crate::{
    ado,
    decide::{
        Checks, Failing, TestsSeen, Verdict, procedure::Procedure, tests_kept, verdict, verdict::signature,
    },
    domain::{Build, BuildId, BuildState, FailedTask, FailedTest, PullRequest, Run, TestTotals},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What failed in the newest build of a pipeline on a target branch; none if it is not red.
pub(in crate::shell) type TargetRed = Option<Arc<(Vec<FailedTask>, Vec<FailedTest>)>>;

/// Signatures of our failure that the target branch has as well. Every red pipeline has to be red there, and all together
/// have to fail to the letter as ours do.
pub(super) async fn target_failures(
    app: &App,
    run: &Run,
    checks: &Checks,
    failing: &Failing,
) -> Result<BTreeSet<String>, ado::Error> {
    let pipelines: BTreeMap<u32, &Build> = failing
        .builds
        .iter()
        .filter_map(|id| checks.builds.iter().find(|build| build.id == *id))
        .filter(|build| build.pipeline_id > 0)
        .map(|build| (build.pipeline_id, build))
        .collect();
    // A status without a build cannot be looked up on the target.
    if pipelines.is_empty() || pipelines.len() != failing.checks.len() {
        return Ok(BTreeSet::new());
    }
    let (mut tasks, mut tests) = (Vec::new(), Vec::new());
    for pipeline in pipelines.keys() {
        let Some(red) = app.target_red(run, *pipeline).await? else { return Ok(BTreeSet::new()) };
        tasks.extend(red.0.iter().cloned());
        tests.extend(red.1.iter().cloned());
    }
    tests.sort();
    tests.dedup();
    Ok([signature(&failing.checks, &tasks, &tests)].into())
}

/// Completed builds of a target looked at: cancelled ones say nothing.
const TARGET_BUILDS: u32 = 5;

impl App {
    /// What the newest build of a pipeline on the run's target says; read once per invocation.
    async fn target_red(&self, run: &Run, pipeline: u32) -> Result<TargetRed, ado::Error> {
        let mut known = self.lookups.target_red.lock().await;
        let key = (run.repository.id.clone(), run.target.to_string(), pipeline);
        if let Some(red) = known.get(&key) {
            return Ok(red.clone());
        }
        let filter = ado::BuildFilter {
            pipeline: Some(pipeline),
            is_completed: true,
            ..ado::BuildFilter::newest(run.target.full(), TARGET_BUILDS)
        };
        let builds = self.ado.builds(&run.repository, &filter).await?;
        let newest = builds.iter().find(|build| build.state != BuildState::Canceled);
        let red = match newest.filter(|build| build.state == BuildState::Failed) {
            Some(build) => Some(Arc::new(why(self, &run.repository.project, &[build.id]).await?)),
            None => None,
        };
        known.insert(key, red.clone());
        Ok(red)
    }
}

/// More failing tests than this are no flake.
const MAX_FLAKES: usize = 10;

/// The failing tests that fail on the target branch now and then, once all of them do. Asked only while a retry is still
/// to be had. Whoever may not ask has no flakes.
pub(super) async fn known_flakes(
    app: &App,
    run: &Run,
    failing: &Failing,
) -> Result<BTreeSet<String>, ado::Error> {
    let head = run.pushed.as_ref().map(|pushed| &pushed.head);
    let is_retried = |build: &BuildId| {
        head.is_some_and(|head| run.procedures.contains(&Procedure::RetryBuild { build: *build }.key(head)))
    };
    let mut flakes = BTreeSet::new();
    if failing.tests.len() > MAX_FLAKES || failing.builds.iter().all(is_retried) {
        return Ok(flakes);
    }
    for test in &failing.tests {
        let history = bearable(app.ado.test_history(&run.repository.project, test, &run.target).await)?;
        if !history.is_some_and(|outcomes| tests_kept::is_flaky(&outcomes)) {
            return Ok(BTreeSet::new());
        }
        flakes.insert(test.clone());
    }
    Ok(flakes)
}

/// What became of the tests on our head. A token without the scope for test results still sees which files went.
pub(super) async fn tests(
    app: &App,
    run: &Run,
    open: &PullRequest,
    checks: &Checks,
) -> Result<Option<TestsSeen>, ado::Error> {
    let Some(pushed) = &run.pushed else { return Ok(None) };
    let counted = totals(app, run, &verdict::judging(checks, &pushed.head)).await?;
    let is_uncounted = counted.is_none();
    let mut seen = TestsSeen { totals: counted.flatten(), is_uncounted, ..TestsSeen::default() };
    if !tests_kept::is_fix(run) {
        return Ok(Some(seen));
    }
    if run.judged.is_none() && !is_uncounted {
        seen.before = before(app, run, open, checks).await?;
    }
    let iterations = app.ado.iterations(&run.repository, open.id).await?;
    let own = iterations.iter().position(|(_, head)| head.as_ref() == Some(&pushed.head));
    if let Some(at) = own.filter(|at| *at > 0) {
        let ((newest, _), (since, _)) = (&iterations[at], &iterations[at - 1]);
        for file in app.ado.iteration_changes(&run.repository, open.id, *newest, *since).await? {
            let left = if file.is_deleted { Some(&file.path) } else { file.from.as_ref() };
            if let Some(path) = left.filter(|path| tests_kept::is_test(path))
                && (file.is_deleted || !tests_kept::is_test(&file.path))
            {
                seen.removed.push(path.clone());
            }
            if tests_kept::is_threshold(&file.path) {
                seen.touched.push(file.path);
            }
        }
    }
    Ok(Some(seen))
}

/// All tests of several builds; the outer none where the token may not ask.
async fn totals(app: &App, run: &Run, builds: &[BuildId]) -> Result<Option<Option<TestTotals>>, ado::Error> {
    let mut all: Option<TestTotals> = None;
    for build in builds {
        let Some(published) = bearable(app.ado.published_tests(&run.repository.project, *build).await)?
        else {
            return Ok(None);
        };
        if let Some(one) = published.totals {
            all = Some(all.unwrap_or_default().plus(one));
        }
    }
    Ok(Some(all))
}

/// Earlier builds of a pull request that are looked at for a count to compare with.
const EARLIER_BUILDS: u32 = 10;

/// What the builds of an earlier head published, for a run that does not remember: of each pipeline the newest one that
/// published anything.
async fn before(
    app: &App,
    run: &Run,
    open: &PullRequest,
    checks: &Checks,
) -> Result<Option<TestTotals>, ado::Error> {
    let Some(pushed) = &run.pushed else { return Ok(None) };
    let now = verdict::judging(checks, &pushed.head);
    let mut all: Option<TestTotals> = None;
    let mut done: BTreeSet<u32> = BTreeSet::new();
    for source_ref in [open.merge_ref(), run.branch().full()] {
        let filter =
            ado::BuildFilter { is_completed: true, ..ado::BuildFilter::newest(source_ref, EARLIER_BUILDS) };
        for build in app.ado.builds(&run.repository, &filter).await? {
            let is_older = now.iter().all(|own| build.id < *own);
            if !is_older || done.contains(&build.pipeline_id) {
                continue;
            }
            if let Some(Some(one)) = totals(app, run, &[build.id]).await? {
                done.insert(build.pipeline_id);
                all = Some(all.unwrap_or_default().plus(one));
            }
        }
    }
    Ok(all)
}

/// All three, for a look at a run whose checks were read.
pub(super) async fn refine(app: &App, run: &Run, open: &PullRequest, checks: &Checks) -> Refined {
    let none = Refined { target_failures: Ok(None), known_flakes: Ok(None), tests: Ok(None) };
    let Some(pushed) = &run.pushed else { return none };
    let verdict = verdict(checks, &pushed.head);
    let is_final = matches!(verdict, Verdict::Failing(_) | Verdict::Passing { .. });
    let tests = if is_final && !tests_kept::is_judged(run, &pushed.head) {
        tests(app, run, open, checks).await
    } else {
        Ok(None)
    };
    let Verdict::Failing(failing) = verdict else { return Refined { tests, ..none } };
    let target_failures = target_failures(app, run, checks, &failing).await.map(Some);
    let known_flakes = known_flakes(app, run, &failing).await.map(Some);
    Refined { target_failures, known_flakes, tests }
}

/// None = not asked.
pub(super) struct Refined {
    pub(super) target_failures: Result<Option<BTreeSet<String>>, ado::Error>,
    pub(super) known_flakes: Result<Option<BTreeSet<String>>, ado::Error>,
    pub(super) tests: Result<Option<TestsSeen>, ado::Error>,
}
