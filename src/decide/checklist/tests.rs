//! Each thing alone, all together, and looks that know less.

use super::*;
use crate::{
    decide::{
        Gap, Seen, Source,
        given::{At, Ck, Given, Pr, Talk, World, build, commit, evaluation, reviewer},
    },
    domain::{Brake, BuildState, CommentId, PolicyStatus, Reviewer, Thread, ThreadId},
};
use insta::assert_snapshot;

/// Nothing stands in the way of this one.
fn ready() -> World {
    Given::default().world()
}

fn told(world: &World) -> String {
    match checklist(&world.run, &world.seen, &world.policy) {
        Some(list) if list.is_empty() => "nothing".into(),
        Some(list) => list.iter().map(|item| format!("{item:?}")).collect::<Vec<_>>().join("\n"),
        None => "no list".into(),
    }
}

fn with(change: impl FnOnce(&mut World)) -> String {
    let mut world = ready();
    change(&mut world);
    told(&world)
}

fn of_pull_request(change: impl FnOnce(&mut PullRequest)) -> String {
    with(|world| change(pull_request(world)))
}

fn pull_request(world: &mut World) -> &mut PullRequest {
    let Seen::Known(Some(found)) = &mut world.seen.pull_request else { panic!("not read") };
    found
}

fn evaluations(world: &mut World) -> &mut Vec<PolicyEvaluation> {
    let Seen::Known(checks) = &mut world.seen.checks else { panic!("not read") };
    &mut checks.evaluations
}

fn people(kind: PolicyKind, name: &str) -> PolicyEvaluation {
    PolicyEvaluation {
        id: name.into(),
        kind,
        name: name.into(),
        build: None,
        ..evaluation(PolicyStatus::Queued)
    }
}

/// A discussion begun by somebody whose word counts, or does not.
fn thread(id: u32, status: ThreadStatus, by: &str) -> Thread {
    let given = Given { talk: Talk::Awaiting, ..Given::default() }.world();
    let mut thread = given.seen.threads.known().expect("threads")[0].clone();
    (thread.id, thread.status) = (ThreadId(id), status);
    thread.comments[0].author = reviewer(by, Vote::None).who;
    thread.comments[0].id = CommentId(1);
    thread
}

fn discussed(world: &mut World, threads: Vec<Thread>) {
    world.seen.threads = Seen::Known(threads);
}

#[test]
fn nothing_in_the_way_is_an_empty_list() {
    assert_eq!(told(&ready()), "nothing");
}

#[test]
fn each_thing_alone() {
    let checked = |checks| told(&Given { checks, ..Given::default() }.world());
    let pulled = |pr| told(&Given { pr, ..Given::default() }.world());
    let voted = |vote, is_required| {
        of_pull_request(|open| open.reviewers.push(Reviewer { is_required, ..reviewer("ben", vote) }))
    };
    let owed = |kind| with(|world| evaluations(world).push(people(kind, "owed")));
    let discussed = |threads: Vec<Thread>| with(|world| discussed(world, threads));
    let rows = [
        ("minimum of reviewers", owed(PolicyKind::MinimumReviewers)),
        ("required reviewers", owed(PolicyKind::RequiredReviewers)),
        ("linked item", owed(PolicyKind::WorkItemLink)),
        ("discussions, none open", owed(PolicyKind::CommentResolution)),
        ("merge strategy", owed(PolicyKind::MergeStrategy)),
        (
            "a policy that gates nothing",
            with(|world| {
                let policy = people(PolicyKind::MinimumReviewers, "owed");
                evaluations(world).push(PolicyEvaluation { gates: false, ..policy });
            }),
        ),
        ("draft", pulled(Pr::Draft)),
        ("conflicts", pulled(Pr::Conflicts)),
        ("merge failed", pulled(Pr::MergeFailed)),
        ("merge not known yet", of_pull_request(|open| open.merge = MergeState::Pending)),
        ("checks red", checked(Ck::Failing)),
        ("checks running", checked(Ck::Pending)),
        ("checks not begun", checked(Ck::NothingYet)),
        ("no checks", checked(Ck::Nothing)),
        (
            "own build running",
            with(|world| {
                let Seen::Known(checks) = &mut world.seen.checks else { panic!("not read") };
                checks.evaluations.clear();
                checks.builds = vec![build(7, BuildState::Running)];
            }),
        ),
        (
            "build waits for approval",
            with(|world| {
                let Seen::Known(checks) = &mut world.seen.checks else { panic!("not read") };
                checks.evaluations.clear();
                checks.builds = vec![build(7, BuildState::AwaitingApproval)];
            }),
        ),
        ("rejected", voted(Vote::Rejected, false)),
        ("waiting for author", voted(Vote::WaitingForAuthor, true)),
        ("required, no vote", voted(Vote::None, true)),
        ("required, approved", voted(Vote::ApprovedWithSuggestions, true)),
        ("optional, no vote", voted(Vote::None, false)),
        ("awaits us", discussed(vec![thread(3, ThreadStatus::Active, "ana")])),
        ("a stranger's", discussed(vec![thread(3, ThreadStatus::Pending, "mallory")])),
        ("settled", discussed(vec![thread(3, ThreadStatus::Settled, "ana")])),
    ];
    let rows: Vec<String> = rows.iter().map(|(what, told)| format!("{what:<28} {told}")).collect();
    assert_snapshot!(rows.join("\n"), @r#"
    minimum of reviewers         Policy { name: "owed" }
    required reviewers           Policy { name: "owed" }
    linked item                  Policy { name: "owed" }
    discussions, none open       Policy { name: "owed" }
    merge strategy               nothing
    a policy that gates nothing  nothing
    draft                        Draft
    conflicts                    Conflicts
    merge failed                 CannotMerge
    merge not known yet          nothing
    checks red                   Checks(Failing { checks: ["CI"] })
    checks running               Checks(Running { checks: ["CI"] })
    checks not begun             Checks(Running { checks: [] })
    no checks                    Checks(None)
    own build running            Checks(Running { checks: ["CI"] })
    build waits for approval     Checks(AwaitingApproval)
    rejected                     Against { name: "ben", is_rejection: true }
    waiting for author           Against { name: "ben", is_rejection: false }
    required, no vote            Unvoted { name: "ben" }
    required, approved           nothing
    optional, no vote            nothing
    awaits us                    Threads { agent: 1, people: 0, policies: [] }
    a stranger's                 Threads { agent: 0, people: 1, policies: [] }
    settled                      nothing
    "#);
}

#[test]
fn everything_in_its_order_and_nothing_twice() {
    let mut world = ready();
    evaluations(&mut world).extend([
        people(PolicyKind::RequiredReviewers, "Zoo keepers"),
        people(PolicyKind::CommentResolution, "Comment requirements"),
        people(PolicyKind::MinimumReviewers, "Minimum number of reviewers"),
        PolicyEvaluation { id: "lint".into(), name: "Lint".into(), ..evaluation(PolicyStatus::Rejected) },
    ]);
    let open = pull_request(&mut world);
    (open.is_draft, open.merge) = (true, MergeState::Conflicts);
    let required = |name| Reviewer { is_required: true, ..reviewer(name, Vote::None) };
    open.reviewers = vec![
        required("Zoe"),
        reviewer("Mia", Vote::WaitingForAuthor),
        required("Ben"),
        reviewer("Eva", Vote::Rejected),
    ];
    let threads = vec![
        thread(1, ThreadStatus::Active, "mallory"),
        thread(2, ThreadStatus::Active, "ana"),
        thread(3, ThreadStatus::Pending, "robot"),
        thread(4, ThreadStatus::Fixed, "ana"),
    ];
    discussed(&mut world, threads);
    assert_snapshot!(told(&world), @r#"
    Policy { name: "Minimum number of reviewers" }
    Policy { name: "Zoo keepers" }
    Draft
    Conflicts
    Checks(Failing { checks: ["Lint"] })
    Against { name: "Eva", is_rejection: true }
    Against { name: "Mia", is_rejection: false }
    Unvoted { name: "Ben" }
    Unvoted { name: "Zoe" }
    Threads { agent: 1, people: 2, policies: ["Comment requirements"] }
    "#);
    let first = told(&world);
    pull_request(&mut world).reviewers.reverse();
    evaluations(&mut world).reverse();
    assert_eq!(told(&world), first, "the service promises no order");
}

#[test]
fn a_look_that_knows_less_makes_no_list() {
    fn gap<T>(source: Source) -> Seen<T> {
        Seen::Unknown(Gap { source, why: "503".into() })
    }
    let rows = [
        with(|world| world.seen.checks = Seen::NotAsked),
        with(|world| world.seen.checks = gap(Source::Checks)),
        with(|world| world.seen.threads = Seen::NotAsked),
        with(|world| world.seen.threads = gap(Source::Threads)),
        with(|world| world.seen.said = gap(Source::Threads)),
        with(|world| world.seen.pull_request = gap(Source::PullRequest)),
        with(|world| world.seen.pull_request = Seen::Known(None)),
    ];
    assert_eq!(rows.iter().filter(|told| *told == "no list").count(), rows.len(), "{rows:#?}");
}

#[test]
fn only_a_run_in_review_has_one() {
    for at in [At::Claimed, At::Pushed, At::Escalated, At::EscalatedEarly, At::Closed] {
        assert_eq!(told(&Given { at, ..Given::default() }.world()), "no list", "{at:?}");
    }
    for pr in [Pr::None, Pr::Completed, Pr::Abandoned] {
        assert_eq!(told(&Given { pr, ..Given::default() }.world()), "no list", "{pr:?}");
    }
    assert_eq!(with(|world| world.run.pushed = None), "no list");
}

#[test]
fn a_trial_merge_of_another_head_says_nothing_about_ours() {
    let told = of_pull_request(|open| {
        open.head = Some(commit('9'));
        open.merge = MergeState::Conflicts;
    });
    assert_eq!(told, "nothing");
}

#[test]
fn what_the_decision_says_anyway_is_not_said_again() {
    let (none, approval) = (Item::Checks(Open::None), Item::Checks(Open::AwaitingApproval));
    assert!(says(&WaitReason::NoChecks, &none) && says(&WaitReason::AwaitingApproval, &approval));
    assert!(!says(&WaitReason::ChecksRunning, &none) && !says(&WaitReason::Brake(Brake::On), &approval));
    assert!(!says(&WaitReason::NoChecks, &Item::Draft) && !says(&WaitReason::AwaitingApproval, &none));
}
