//! All checks folded into one verdict about one commit. A word about another commit counts as pending; a missing word
//! is never green; an unknown word is never green either.

use super::observation::Checks;
use crate::domain::{
    Build, BuildId, BuildState, CommitId, FailedTask, FailedTest, PolicyEvaluation, PolicyKind, PolicyStatus,
    PostedStatus, StatusState,
};
use sha2::{Digest, Sha256};

/// What the checks say about our head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Something is red.
    Failing(Failing),
    /// A check cannot be evaluated.
    Broken {
        /// Its name.
        name: String,
    },
    /// A build was stopped: neither red nor green.
    Canceled {
        /// The build.
        build: BuildId,
        /// The policy's evaluation that names it, if one does.
        evaluation: Option<String>,
        /// The name of the person who stopped it, where that is known.
        by: Option<String>,
    },
    /// A build is green with something red in it.
    Partial,
    /// Running, queued, about another commit, or said in a word we do not know.
    Pending,
    /// Everything that gates is green, apart from what only people can do.
    Passing {
        /// Policies that only people can satisfy.
        people: Vec<String>,
        /// What is red and gates nothing: told, never acted upon.
        optional: Vec<String>,
    },
    /// Nothing validates, and nothing has spoken.
    NoChecks,
}

/// What is red.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Names of the failing checks, ordered.
    pub checks: Vec<String>,
    /// The builds behind them, ordered.
    pub builds: Vec<BuildId>,
    /// The policies' evaluations that are red.
    pub evaluations: Vec<String>,
    /// Those of the builds that no evaluation names.
    pub unnamed: Vec<BuildId>,
    /// Names of the failing tests, where the builds published any.
    pub tests: Vec<String>,
    /// Same failure, same signature.
    pub signature: String,
    /// Whether it reads like the pipeline's own failure rather than the change's.
    pub is_infrastructure: bool,
}

/// Folds what checks and policies say about `head`: policies first; builds that no policy names second; statuses of
/// other services where no policy validates.
pub fn verdict(checks: &Checks, head: &CommitId) -> Verdict {
    let gates = || checks.evaluations.iter().filter(|e| e.gates && !e.kind.is_for_people());
    let fresh = |e: &PolicyEvaluation| is_about(e, head);
    let state_of = |e: &PolicyEvaluation| named(checks, e).map(|build| build.state);
    let is_again = |e: &PolicyEvaluation| runs_again(checks, e);
    let is_canceled = |e: &PolicyEvaluation| state_of(e) == Some(BuildState::Canceled);

    let red: Vec<&PolicyEvaluation> = gates()
        .filter(|e| e.status == PolicyStatus::Rejected && fresh(e) && !e.is_expired)
        .filter(|e| !is_again(e) && !is_canceled(e))
        .collect();
    let newest = newest_of_each(&own_builds(checks, head));
    let red_builds: Vec<&Build> = newest.iter().filter(|b| b.state == BuildState::Failed).copied().collect();
    let statuses = if gates().next().is_none() { newest_statuses(checks, head) } else { Vec::new() };
    let says = |state: StatusState| statuses.iter().filter(move |one| one.state == state);

    if !red.is_empty() || !red_builds.is_empty() || says(StatusState::Failed).next().is_some() {
        let posted: Vec<&PostedStatus> = says(StatusState::Failed).copied().collect();
        return Verdict::Failing(failing(&red, &red_builds, &posted, checks));
    }
    if let Some(broken) = gates().find(|e| e.status == PolicyStatus::Broken) {
        return Verdict::Broken { name: broken.name.clone() };
    }
    if gates().any(|e| is_unfinished(checks, e, head))
        || newest.iter().any(|b| b.state.is_pending())
        || statuses.iter().any(|one| one.state.is_open())
    {
        return Verdict::Pending;
    }
    if let Some((build, e)) = gates().filter(|e| is_canceled(e)).find_map(|e| Some((e.build?, e))) {
        return Verdict::Canceled {
            build,
            evaluation: Some(e.id.clone()),
            by: named(checks, e).and_then(stopped_by),
        };
    }
    if let Some(build) = newest.iter().find(|b| b.state == BuildState::Canceled) {
        return Verdict::Canceled { build: build.id, evaluation: None, by: stopped_by(build) };
    }
    let is_partial = |state: BuildState| state == BuildState::PartiallySucceeded;
    if newest.iter().any(|b| is_partial(b.state)) || gates().filter_map(state_of).any(is_partial) {
        return Verdict::Partial;
    }
    let has_spoken = gates().any(|e| e.status == PolicyStatus::Approved)
        || newest.iter().any(|b| b.state == BuildState::Succeeded)
        || says(StatusState::Succeeded).next().is_some();
    match (has_spoken, checks.is_validated) {
        (true, _) => Verdict::Passing {
            people: open_for_people(&checks.evaluations),
            optional: optional_red(&checks.evaluations, head),
        },
        (false, true) => Verdict::Pending,
        (false, false) => Verdict::NoChecks,
    }
}

fn stopped_by(build: &Build) -> Option<String> {
    build.canceled_by.as_ref().map(|who| who.name.clone())
}

/// Whether an evaluation speaks of `head`, or of no head at all.
fn is_about(evaluation: &PolicyEvaluation, head: &CommitId) -> bool {
    evaluation.head.as_ref().is_none_or(|seen| seen == head)
}

/// After a retry its evaluation goes on saying what it said for a while.
fn runs_again(checks: &Checks, evaluation: &PolicyEvaluation) -> bool {
    named(checks, evaluation).is_some_and(|build| build.state.is_pending())
}

fn is_unfinished(checks: &Checks, evaluation: &PolicyEvaluation, head: &CommitId) -> bool {
    match evaluation.status {
        PolicyStatus::Queued | PolicyStatus::Running | PolicyStatus::Other => true,
        PolicyStatus::Approved | PolicyStatus::Rejected => {
            !is_about(evaluation, head) || evaluation.is_expired || runs_again(checks, evaluation)
        }
        PolicyStatus::NotApplicable | PolicyStatus::Broken => false,
    }
}

/// What [`Verdict::Pending`] waits for, by name: none where nothing has spoken at all.
pub fn unfinished(checks: &Checks, head: &CommitId) -> Vec<String> {
    let gates: Vec<_> = checks.evaluations.iter().filter(|e| e.gates && !e.kind.is_for_people()).collect();
    let statuses = if gates.is_empty() { newest_statuses(checks, head) } else { Vec::new() };
    let open = gates.into_iter().filter(|e| is_unfinished(checks, e, head)).map(|e| e.name.clone());
    let builds = newest_of_each(&own_builds(checks, head)).into_iter().filter(|b| b.state.is_pending());
    let posted = statuses.into_iter().filter(|one| one.state.is_open()).map(|one| one.context.clone());
    let mut names: Vec<String> = open.chain(builds.map(|b| b.pipeline.clone())).chain(posted).collect();
    names.sort();
    names.dedup();
    names
}

/// The build that a policy's evaluation names, where it was read.
fn named<'a>(checks: &'a Checks, evaluation: &PolicyEvaluation) -> Option<&'a Build> {
    checks.builds.iter().find(|build| Some(build.id) == evaluation.build)
}

/// Builds of our head that no policy speaks for, be it one that gates or one that only informs.
fn own_builds<'a>(checks: &'a Checks, head: &CommitId) -> Vec<&'a Build> {
    let is_named = |build: &Build| checks.evaluations.iter().any(|e| e.build == Some(build.id));
    checks.builds.iter().filter(|b| b.source_commit.as_ref() == Some(head) && !is_named(b)).collect()
}

/// Of each context the newest status about our head. One that names no iteration could be about any head, and says
/// nothing.
fn newest_statuses<'a>(checks: &'a Checks, head: &CommitId) -> Vec<&'a PostedStatus> {
    let ours = checks.statuses.iter().filter(|one| one.head.as_ref() == Some(head));
    let mut newest: Vec<&PostedStatus> = Vec::new();
    for status in ours {
        match newest.iter_mut().find(|known| known.context == status.context) {
            Some(known) if known.id < status.id => *known = status,
            Some(_) => {}
            None => newest.push(status),
        }
    }
    newest
}

/// Pipelines that are red and gate nothing.
fn optional_red(evaluations: &[PolicyEvaluation], head: &CommitId) -> Vec<String> {
    let mut red: Vec<String> = evaluations
        .iter()
        .filter(|e| !e.gates && !e.kind.is_for_people() && e.status == PolicyStatus::Rejected)
        .filter(|e| is_about(e, head))
        .map(|e| e.name.clone())
        .collect();
    red.sort();
    red.dedup();
    red
}

/// The builds that judge `head`.
pub fn judging(checks: &Checks, head: &CommitId) -> Vec<BuildId> {
    let named = checks.evaluations.iter().filter(|e| e.gates && is_about(e, head)).filter_map(|e| e.build);
    let own = newest_of_each(&own_builds(checks, head)).into_iter().map(|build| build.id);
    let mut all: Vec<BuildId> = named.chain(own).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Of what is pending, the pipeline whose build was never taken by an agent machine.
pub fn queued(checks: &Checks, head: &CommitId) -> Option<String> {
    let of_policies = checks.evaluations.iter().filter(|e| e.gates).filter_map(|e| named(checks, e));
    let newest = newest_of_each(&own_builds(checks, head));
    of_policies
        .chain(newest)
        .find(|build| build.state == BuildState::Queued)
        .map(|build| build.pipeline.clone())
}

/// Whether what is pending is pending because a pipeline waits for a person's approval.
pub fn awaits_approval(checks: &Checks, head: &CommitId) -> bool {
    let is_named = |build: &Build| {
        checks
            .evaluations
            .iter()
            .any(|e| e.gates && e.status == PolicyStatus::Running && e.build == Some(build.id))
    };
    let ours: Vec<&Build> =
        checks.builds.iter().filter(|b| b.source_commit.as_ref() == Some(head) || is_named(b)).collect();
    newest_of_each(&ours).into_iter().any(|build| build.state == BuildState::AwaitingApproval)
}

impl PolicyKind {
    /// Only people can satisfy it, or nobody needs to before completion: never a check.
    pub fn is_for_people(self) -> bool {
        match self {
            Self::MinimumReviewers | Self::RequiredReviewers | Self::CommentResolution => true,
            // Chosen by whoever completes, and procedure of ours.
            Self::MergeStrategy | Self::WorkItemLink => true,
            Self::Build | Self::Status | Self::Other => false,
        }
    }
}

impl BuildState {
    pub(super) fn is_pending(self) -> bool {
        match self {
            Self::Queued | Self::Running | Self::AwaitingApproval | Self::Other => true,
            Self::Succeeded | Self::PartiallySucceeded | Self::Failed | Self::Canceled => false,
        }
    }
}

impl StatusState {
    fn is_open(self) -> bool {
        match self {
            Self::Pending | Self::Other => true,
            Self::Succeeded | Self::Failed | Self::NotApplicable => false,
        }
    }
}

/// Policies that gate and that people have not satisfied yet. How it is merged is chosen by whoever completes.
pub(super) fn owed_by_people(evaluations: &[PolicyEvaluation]) -> impl Iterator<Item = &PolicyEvaluation> {
    let is_open = |status: PolicyStatus| match status {
        PolicyStatus::Queued | PolicyStatus::Running | PolicyStatus::Rejected | PolicyStatus::Other => true,
        PolicyStatus::Approved | PolicyStatus::NotApplicable | PolicyStatus::Broken => false,
    };
    evaluations.iter().filter(move |e| {
        e.gates && e.kind.is_for_people() && e.kind != PolicyKind::MergeStrategy && is_open(e.status)
    })
}

fn open_for_people(evaluations: &[PolicyEvaluation]) -> Vec<String> {
    let mut open: Vec<String> = owed_by_people(evaluations).map(|e| e.name.clone()).collect();
    open.sort();
    open.dedup();
    open
}

/// Of each pipeline only its newest build counts: a rerun replaces what it reran.
fn newest_of_each<'a>(builds: &[&'a Build]) -> Vec<&'a Build> {
    let mut newest: Vec<&Build> = Vec::new();
    for build in builds {
        match newest.iter_mut().find(|b| b.pipeline == build.pipeline && b.source_ref == build.source_ref) {
            Some(known) if known.id < build.id => *known = build,
            Some(_) => {}
            None => newest.push(build),
        }
    }
    newest
}

fn failing(
    red: &[&PolicyEvaluation],
    builds: &[&Build],
    posted: &[&PostedStatus],
    checks: &Checks,
) -> Failing {
    let names = red.iter().map(|e| e.name.clone());
    let names = names.chain(builds.iter().map(|b| b.pipeline.clone()));
    let mut names: Vec<String> = names.chain(posted.iter().map(|one| one.context.clone())).collect();
    names.sort();
    names.dedup();
    let unnamed: Vec<BuildId> = builds.iter().map(|b| b.id).collect();
    let mut ids: Vec<BuildId> = red.iter().filter_map(|e| e.build).chain(unnamed.iter().copied()).collect();
    ids.sort_unstable();
    ids.dedup();
    let tasks = &checks.failed_tasks;
    Failing {
        signature: signature(&names, tasks, &checks.failed_tests),
        is_infrastructure: !tasks.is_empty() && tasks.iter().all(is_infrastructure),
        tests: checks.failed_tests.iter().map(|test| test.name.clone()).collect(),
        evaluations: red.iter().filter(|e| e.build.is_some()).map(|e| e.id.clone()).collect(),
        checks: names,
        builds: ids,
        unnamed,
    }
}

/// Digest over the failing tasks, their messages and the names of the failing tests, without what differs between two
/// runs of the same failure: numbers (times, line numbers, ports, ids).
pub fn signature(checks: &[String], tasks: &[FailedTask], tests: &[FailedTest]) -> String {
    let mut lines: Vec<String> = tasks
        .iter()
        .flat_map(|t| {
            t.messages.iter().map(|m| format!("{}: {}", t.name, without_numbers(m))).chain([t.name.clone()])
        })
        .chain(checks.iter().cloned())
        .chain(tests.iter().map(|test| format!("test {}", without_numbers(&test.name))))
        .collect();
    lines.sort();
    lines.dedup();
    let digest = format!("{:x}", Sha256::digest(lines.join("\n").as_bytes()));
    digest[..SIGNATURE_DIGITS].to_owned()
}

/// A run sees a handful of failures; twelve hexadecimal digits never meet by chance.
const SIGNATURE_DIGITS: usize = 12;

fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !out.ends_with('#') {
            out.push('#');
        }
    }
    out
}

/// Messages of Azure Pipelines itself when an agent machine or the service failed, in lower case.
const INFRASTRUCTURE_WORDS: [&str; 7] = [
    "we stopped hearing from agent",
    "the agent did not connect",
    "lost communication with the server",
    "no space left on device",
    "the job was abandoned",
    "tf400733",
    "unable to connect to the remote server",
];

fn is_infrastructure(task: &FailedTask) -> bool {
    !task.messages.is_empty()
        && task.messages.iter().all(|message| {
            let message = message.to_lowercase();
            INFRASTRUCTURE_WORDS.iter().any(|word| message.contains(word))
        })
}

#[cfg(test)]
mod tests {
    use super::super::given::{build, commit, evaluation, failed_tasks, head};
    use super::*;
    use crate::domain::BranchName;
    use insta::assert_snapshot;

    fn of(evaluations: Vec<PolicyEvaluation>, builds: Vec<Build>, is_validated: bool) -> String {
        let checks = Checks {
            evaluations,
            builds,
            is_validated,
            failed_tasks: failed_tasks(false),
            ..Checks::default()
        };
        match verdict(&checks, &head()) {
            Verdict::Failing(failing) => format!("failing {:?} {:?}", failing.checks, failing.builds),
            other => format!("{other:?}"),
        }
    }

    fn says(status: PolicyStatus) -> PolicyEvaluation {
        evaluation(status)
    }

    #[test]
    fn every_word_of_the_service_has_its_verdict() {
        use PolicyStatus::{Approved, Broken, NotApplicable, Other, Queued, Rejected, Running};
        let people =
            |kind, status| PolicyEvaluation { kind, build: None, name: "people".into(), ..says(status) };
        let optional = PolicyEvaluation { gates: false, ..says(Rejected) };
        let on_other_head = |status| PolicyEvaluation { head: Some(commit('9')), ..says(status) };
        let expired = |status| PolicyEvaluation { is_expired: true, ..says(status) };
        let of_main = |id, state| Build { source_ref: BranchName::new("main").full(), ..build(id, state) };
        let older = Build { source_commit: Some(commit('9')), ..build(1, BuildState::Failed) };
        let rows = [
            ("queued", of(vec![says(Queued)], vec![], true)),
            ("running", of(vec![says(Running)], vec![], true)),
            ("approved", of(vec![says(Approved)], vec![], true)),
            ("rejected", of(vec![says(Rejected)], vec![], true)),
            ("not applicable", of(vec![says(NotApplicable)], vec![], true)),
            ("broken", of(vec![says(Broken)], vec![], true)),
            ("a word of tomorrow", of(vec![says(Other)], vec![], true)),
            ("optional red", of(vec![says(Approved), optional.clone()], vec![], true)),
            ("only optional red", of(vec![optional], vec![], false)),
            ("red about another head", of(vec![on_other_head(Rejected)], vec![], true)),
            ("green about another head", of(vec![on_other_head(Approved)], vec![], true)),
            (
                "green without a head",
                of(vec![PolicyEvaluation { head: None, ..says(Approved) }], vec![], true),
            ),
            ("expired green", of(vec![expired(Approved)], vec![], true)),
            ("expired red", of(vec![expired(Rejected)], vec![], true)),
            ("expired queued", of(vec![expired(Queued)], vec![], true)),
            ("red beside running", of(vec![says(Running), says(Rejected)], vec![], true)),
            ("broken beside running", of(vec![says(Running), says(Broken)], vec![], true)),
            (
                "reviewers",
                of(vec![says(Approved), people(PolicyKind::MinimumReviewers, Queued)], vec![], true),
            ),
            ("only reviewers", of(vec![people(PolicyKind::MinimumReviewers, Queued)], vec![], false)),
            (
                "open threads",
                of(vec![says(Approved), people(PolicyKind::CommentResolution, Rejected)], vec![], true),
            ),
            (
                "merge strategy",
                of(vec![says(Approved), people(PolicyKind::MergeStrategy, Rejected)], vec![], true),
            ),
            (
                "status red",
                of(
                    vec![PolicyEvaluation { kind: PolicyKind::Status, build: None, ..says(Rejected) }],
                    vec![],
                    true,
                ),
            ),
            ("validated, nothing yet", of(vec![], vec![], true)),
            ("nothing validates", of(vec![], vec![], false)),
            ("branch build green", of(vec![], vec![build(5, BuildState::Succeeded)], false)),
            ("branch build red", of(vec![], vec![build(5, BuildState::Failed)], false)),
            ("branch build of an older head", of(vec![], vec![older], false)),
            ("canceled", of(vec![], vec![build(5, BuildState::Canceled)], false)),
            ("partial", of(vec![], vec![build(5, BuildState::PartiallySucceeded)], false)),
            ("waits for approval", of(vec![], vec![build(5, BuildState::AwaitingApproval)], false)),
            ("build word of tomorrow", of(vec![], vec![build(5, BuildState::Other)], false)),
            (
                "rerun turned green",
                of(vec![], vec![build(5, BuildState::Failed), build(6, BuildState::Succeeded)], false),
            ),
            (
                "rerun turned red",
                of(vec![], vec![build(6, BuildState::Failed), build(5, BuildState::Succeeded)], false),
            ),
            (
                "rerun runs",
                of(vec![], vec![build(5, BuildState::Failed), build(6, BuildState::Running)], false),
            ),
            (
                "another ref is another build",
                of(vec![], vec![build(5, BuildState::Failed), of_main(6, BuildState::Succeeded)], false),
            ),
            (
                "the policy speaks for its build",
                of(vec![says(Approved)], vec![build(638, BuildState::Failed)], true),
            ),
        ];
        let table: Vec<String> = rows.into_iter().map(|(row, verdict)| format!("{row}: {verdict}")).collect();
        let table = table.join("\n");
        assert_snapshot!(table, @r#"
        queued: Pending
        running: Pending
        approved: Passing { people: [], optional: [] }
        rejected: failing ["CI"] [BuildId(638)]
        not applicable: Pending
        broken: Broken { name: "CI" }
        a word of tomorrow: Pending
        optional red: Passing { people: [], optional: ["CI"] }
        only optional red: NoChecks
        red about another head: Pending
        green about another head: Pending
        green without a head: Passing { people: [], optional: [] }
        expired green: Pending
        expired red: Pending
        expired queued: Pending
        red beside running: failing ["CI"] [BuildId(638)]
        broken beside running: Broken { name: "CI" }
        reviewers: Passing { people: ["people"], optional: [] }
        only reviewers: NoChecks
        open threads: Passing { people: ["people"], optional: [] }
        merge strategy: Passing { people: [], optional: [] }
        status red: failing ["CI"] []
        validated, nothing yet: Pending
        nothing validates: NoChecks
        branch build green: Passing { people: [], optional: [] }
        branch build red: failing ["CI"] [BuildId(5)]
        branch build of an older head: NoChecks
        canceled: Canceled { build: BuildId(5), evaluation: None, by: None }
        partial: Partial
        waits for approval: Pending
        build word of tomorrow: Pending
        rerun turned green: Passing { people: [], optional: [] }
        rerun turned red: failing ["CI"] [BuildId(6)]
        rerun runs: Pending
        another ref is another build: failing ["CI"] [BuildId(5)]
        the policy speaks for its build: Passing { people: [], optional: [] }
        "#);
    }

    #[test]
    fn a_signature_survives_numbers_and_nothing_else() {
        let task = |name: &str, message: &str| FailedTask {
            name: name.into(),
            messages: vec![message.into()],
            log: None,
        };
        let of = |name: &str, message: &str| signature(&["CI".into()], &[task(name, message)], &[]);
        let known = of("Compile", "shop.cs(17,4): error CS1002 after 31.5 s on port 40211");
        assert_eq!(
            known,
            of("Compile", "shop.cs(203,11): error CS1 after 4.25 s on port 8"),
            "same failure, other numbers"
        );
        assert_ne!(
            known,
            of("Compile", "basket.cs(17,4): error CS1002 after 31.5 s on port 40211"),
            "another file"
        );
        assert_ne!(
            known,
            of("Test", "shop.cs(17,4): error CS1002 after 31.5 s on port 40211"),
            "another task"
        );
        assert_ne!(known, signature(&["Nightly".into()], &[task("Compile", "")], &[]), "another check");
        let (a, b) = (task("A", "x"), task("B", "y"));
        assert_eq!(
            signature(&[], &[a.clone(), b.clone()], &[]),
            signature(&[], &[b, a], &[]),
            "order is nothing"
        );
        assert_eq!(known.len(), SIGNATURE_DIGITS);
    }

    #[test]
    fn infrastructure_is_when_every_message_says_so() {
        let words = |messages: &[&str]| FailedTask {
            name: "Job".into(),
            messages: messages.iter().map(|m| (*m).to_owned()).collect(),
            log: None,
        };
        assert!(is_infrastructure(&words(&["We stopped hearing from agent A 7."])));
        assert!(!is_infrastructure(&words(&["We stopped hearing from agent A 7.", "error CS1002"])));
        assert!(!is_infrastructure(&words(&[])), "silence is no excuse");
    }

    #[test]
    fn a_policy_build_that_waits_for_approval_is_told_from_one_that_hangs() {
        let waits = Build { source_commit: Some(commit('9')), ..build(638, BuildState::AwaitingApproval) };
        let checks =
            |builds| Checks { evaluations: vec![says(PolicyStatus::Running)], builds, ..Checks::default() };
        assert!(awaits_approval(&checks(vec![waits.clone()]), &head()), "named by its policy");
        assert!(
            !awaits_approval(&checks(vec![Build { id: BuildId(9), ..waits }]), &head()),
            "of another head"
        );
        assert!(!awaits_approval(&checks(vec![build(638, BuildState::Running)]), &head()));
    }
}
