//! What it costs: calls are counted, not timed (DESIGN §12).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::{Memory, World};
use jiff::SignedDuration;
use roundsman::{
    ado::{ItemChange, NewPullRequest, Written},
    domain::{
        Claim, CommitId, IdentityId, Pushed, Run, RunId, Stage, TriggerKey, TurnEnd, TurnKind, TurnNumber,
        TurnRecord, WorkItemId,
    },
    emulator::SeedFile,
    shell::{App, report::Report},
    store::Saved,
    words::{Links, Progress, ProgressNote, comments::progress},
};
use std::fmt::Write;

/// Runs of the fleet.
const N: u32 = 100;

/// One run in review, made by the same calls that a real one makes.
pub(super) async fn in_review(world: &World, app: &App) {
    let universe = &world.universe;
    let id = universe.file_item(&["ready-for-agent"]).unwrap();
    let item = app.ado.work_item(WorkItemId(id.try_into().unwrap())).await.unwrap().unwrap();
    let repository = app.ado.repository("Fabrikam", "greet").await.unwrap().unwrap();
    let target = repository.default_branch.clone().unwrap();
    let run_id = RunId { item: item.id, revision: item.revision };
    let number = TurnNumber::FIRST;
    let mut run = Run::claimed(Claim {
        id: run_id,
        executor: app.settings.runtime.executor.clone(),
        nonce: "0".into(),
        repository,
        target: target.clone(),
        kind: item.kind.clone(),
        title: item.title.clone(),
        requested_by: None,
        claimed_at: app.now,
    });
    run.stage = Stage::InReview { since: app.now };
    let labels = &app.policy.labels;
    let change = ItemChange {
        labels: Some(item.labels.changed(&[&labels.in_progress], &[&labels.ready])),
        history: Some(progress(&Progress::of(&run, &Links::default(), ProgressNote::default()))),
        ..ItemChange::default()
    };
    let claimed = app.ado.change_work_item(item.id, item.revision, &change).await;
    assert!(matches!(claimed, Written::Done(_)), "{claimed:?}");
    let files = [SeedFile::new(&format!("notes/{id}.txt"), "A line.\n")];
    let branch = run.branch();
    let head = universe
        .emulator
        .push_as(&universe.repository, &branch.full(), &files, "A line", &universe.bot)
        .unwrap();
    let head: CommitId = head.parse().unwrap();
    let new = NewPullRequest {
        source: branch,
        target,
        title: "A line".into(),
        description: "A line.".into(),
        is_draft: false,
        work_item: Some(item.id),
        labels: Vec::new(),
        reviewers: Vec::new(),
    };
    let Written::Done(opened) = app.ado.create_pull_request(&run.repository, &new).await else {
        panic!("no pull request");
    };
    run.pull_request = Some(opened.id);
    run.pushed = Some(Pushed { head: head.clone(), at: app.now });
    let trigger = TriggerKey(format!("item@{}", item.revision));
    run.turns.push(TurnRecord {
        end: Some(TurnEnd::Pushed { head }),
        ..TurnRecord::reserved(number, TurnKind::Implement, trigger, app.now)
    });
    let saved = app.store.open(&run).await.unwrap();
    assert!(matches!(saved, Saved::Saved(_)));
}

fn table(what: &str, report: &Report) -> String {
    let mut text = format!("{what}: {} reads, {} writes\n", report.reads, report.writes);
    for (operation, count) in &report.calls {
        let _ = writeln!(text, "  {operation:<20} {count:>4}");
    }
    text
}

#[expect(clippy::print_stderr, reason = "the table is what a reader of this test wants to see")]
#[tokio::test]
async fn a_hundred_runs_cost_few_reads_and_no_writes() {
    let mut world = World::new().await;
    if !world.keeps_a_file("its budget is that of a file") {
        return;
    }
    for _ in 0..N {
        world.universe.emulator.force_next_result(world.universe.pipeline, "succeeded");
    }
    let app = world.app().await;
    for _ in 0..N {
        in_review(&world, &app).await;
    }
    world.universe.emulator.idle().await;
    world.universe.emulator.settle();

    // All are fresh: each gets reads of its own, and its progress comment is brought up to date.
    let fresh = world.tick().await;
    let mut shown = table("fresh", &fresh);
    assert!(fresh.lines.iter().all(|line| line.what == "wait"), "{fresh:#?}");
    let again = world.tick().await;
    shown += &table("fresh, again", &again);
    assert_eq!(again.writes, 0, "{shown}");
    assert!(again.reads <= 10 + 3 * N, "{shown}");

    // After a pause everybody's turn has come.
    world.passes(SignedDuration::from_mins(45));
    shown += &table("after a pause", &world.tick().await);
    world.passes(SignedDuration::from_mins(1));
    let cold = world.tick().await;
    shown += &table("cold", &cold);
    world.passes(SignedDuration::from_mins(1));
    let next = world.tick().await;
    shown += &table("cold, again", &next);
    let idle = {
        world.set("ROUNDSMAN_INTAKE_MAX_RUNS", "9");
        world.poll().await
    };
    shown += &table("idle poll", &idle);
    eprintln!("{shown}");

    for report in [&cold, &next] {
        assert_eq!(report.lines.len(), N as usize);
        assert_eq!(report.writes, 0, "{shown}");
        assert!(!report.lines.iter().any(|line| line.failed), "{report:#?}");
        let hot = report.lines.iter().filter(|line| !line.why.contains("nothing moved")).count();
        assert!((5..=15).contains(&hot), "one of eleven is looked at closely, not {hot}");
        // P + N/200 + P·pages + R + 2·hot, and who we are, what states mean, and runs that were lost.
        let budget = 1 + 1 + 1 + 1 + 2 * u32::try_from(hot).unwrap() + 2;
        assert!(report.reads <= budget, "{} reads, {budget} allowed\n{shown}", report.reads);
        assert!(report.reads < 60, "{shown}");
    }
    assert_eq!((idle.reads, idle.writes), (1, 0), "{shown}");
    assert!(world.universe.emulator.unknown_requests().is_empty());
}

#[tokio::test]
async fn an_idle_poll_is_one_query_per_project() {
    let mut world = World::new().await;
    let _ = world.tick().await;
    world.universe.emulator.create_project("Second");
    for (projects, expected) in [("Fabrikam", 1), ("Fabrikam,Second", 2)] {
        world.set("ROUNDSMAN_INTAKE_PROJECTS", projects);
        world.universe.emulator.reset_calls();
        let report = world.poll().await;
        let calls = world.universe.emulator.calls();
        assert_eq!(calls.len(), 1, "{calls:#?}");
        let ((method, operation), count) = calls.first_key_value().unwrap();
        assert_eq!((method.as_str(), count.count), ("POST", expected), "{operation}");
        assert!(operation.to_lowercase().contains("wiql"), "{operation}");
        assert_eq!((report.reads as usize, report.writes), (expected, 0), "{report:#?}");
    }
    // An idle tick asks for lost runs and for who we are, and that is all.
    world.universe.emulator.reset_calls();
    let report = world.tick().await;
    // Without a file both projects are also searched for runs and for what they left open.
    let budget = if world.memory() == Memory::Sqlite { 3 } else { 9 };
    assert!(report.reads <= budget && report.writes == 0, "{report:#?}");
}

#[tokio::test]
async fn the_fleet_looks_like_runs_of_ours() {
    // Otherwise its runs would be orphans and cost other calls.
    let world = World::new().await;
    if !world.keeps_a_file("its runs are put into the file") {
        return;
    }
    let app = world.app().await;
    in_review(&world, &app).await;
    let me = app.me().await.unwrap().id.clone();
    assert_eq!(me, IdentityId::new(&world.universe.bot.id));
    let report = world.tick().await;
    assert_eq!(report.lines.len(), 1, "{report:#?}");
    assert_eq!(report.lines[0].what, "wait", "{report:#?}");
}
