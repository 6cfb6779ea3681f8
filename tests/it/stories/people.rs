//! People win. Whatever a person does to item, branch or pull request while a run is under way: the right stage and
//! outcome, workers stopped, no further effect but one acknowledgement.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::{Memory, World, line};
use roundsman::{
    decide::EscalateReason,
    domain::{Outcome, Stage, TurnKind, WorkerState},
    emulator::{Fault, SeedFile},
};
use std::fs;

/// Talks until somebody ends it or the story lets it go on.
pub(super) const BUSY: &str = "touch \"$WORLD/begun\"\n\
    while test ! -e \"$WORLD/go\"; do echo working; sleep 0.1; done\n\
    printf 'A line.\\n' >> README.md";
pub(super) const GOOD: &str = "printf 'A line.\\n' >> README.md; echo changed";

pub(super) async fn busy() -> (World, i64) {
    let mut world = World::new().await;
    world.agent(BUSY);
    let item = world.ask().await;
    world.until_there("begun").await;
    (world, item)
}

pub(super) async fn in_review() -> (World, i64, i64) {
    World::in_review(GOOD).await
}

pub(super) async fn assert_closed(world: &World, expected: Outcome) {
    let stage = world.stage().await;
    assert!(matches!(stage, Stage::Closed { outcome, .. } if outcome == expected), "{stage:?}");
}

pub(super) async fn works(world: &World) -> bool {
    let workers = world.app().await.runtime.workers().await.unwrap();
    workers.values().flatten().any(|worker| matches!(worker.state, WorkerState::Running { .. }))
}

#[tokio::test]
async fn e01_taking_the_label_off_ends_a_run_in_the_middle_of_a_turn() {
    let (world, item) = busy().await;
    let owner = world.universe.owner.clone();
    assert!(works(&world).await);
    world.universe.emulator.untag(item, "agent-in-progress", &owner).unwrap();
    let before = world.universe.emulator.writes();
    let _ = world.tick().await;
    assert_closed(&world, Outcome::HandedBack).await;
    assert!(!works(&world).await, "workers are stopped first");
    assert_eq!(world.universe.emulator.writes(), before + 1, "one acknowledgement");
    let comments = world.comments(item);
    assert!(comments.iter().any(|text| text.contains("took this work item back")), "{comments:#?}");
    assert!(world.agent_branches().is_empty() && world.universe.emulator.pull_requests().is_empty());
    world.assert_once(item);
    world.assert_quiet().await;
}

#[tokio::test]
async fn e02_closing_the_item_ends_the_run() {
    let (world, item) = busy().await;
    let owner = world.universe.owner.clone();
    world.universe.emulator.set_state(item, "Closed", &owner).unwrap();
    let _ = world.tick().await;
    assert_closed(&world, Outcome::HandedBack).await;
    assert!(!works(&world).await);
    assert!(world.tags(item).is_empty(), "{:?}", world.tags(item));
    world.assert_once(item);
    world.assert_quiet().await;
}

#[tokio::test]
async fn the_stop_label_ends_the_run() {
    let (world, item) = busy().await;
    let owner = world.universe.owner.clone();
    world.universe.emulator.tag(item, "agent-stop", &owner).unwrap();
    let _ = world.tick().await;
    assert_closed(&world, Outcome::HandedBack).await;
    assert!(!works(&world).await);
    assert!(world.tags(item).is_empty(), "{:?}", world.tags(item));
    world.assert_quiet().await;
}

#[tokio::test]
async fn e03_a_deleted_item_ends_the_run_at_the_second_look() {
    let (world, item) = busy().await;
    if !world.keeps_a_file("the first look cannot be noted on an item that is gone") {
        return;
    }
    world.universe.emulator.delete_item(item).unwrap();
    let _ = world.tick().await;
    assert!(matches!(world.stage().await, Stage::Working { .. }), "one answer proves nothing");
    let _ = world.tick().await;
    assert_closed(&world, Outcome::HandedBack).await;
    assert!(!works(&world).await);
    world.assert_quiet().await;
}

#[tokio::test]
async fn e10_an_abandoned_pull_request_is_not_opened_again() {
    let (world, item, pull) = in_review().await;
    let reviewer = world.universe.reviewer.clone();
    world.universe.emulator.abandon(pull, &reviewer).unwrap();
    let _ = world.tick().await;
    assert_closed(&world, Outcome::Declined).await;
    assert!(world.tags(item).is_empty(), "{:?}", world.tags(item));
    assert!(!world.is_closed(item), "what becomes of the item is for people");
    world.assert_once(item);
    world.assert_quiet().await;
}

#[tokio::test]
async fn e09_a_deleted_branch_is_not_made_again() {
    let (mut world, item, pull) = in_review().await;
    let owner = world.universe.owner.clone();
    let branch = world.run().await.branch().full();
    world.universe.emulator.delete_branch(&world.universe.repository, &branch, &owner).unwrap();
    let _ = world.tick().await;
    assert!(matches!(world.stage().await, Stage::InReview { .. }), "one look proves nothing");
    let _ = world.tick().await;
    assert_closed(&world, Outcome::Declined).await;
    assert!(world.agent_branches().is_empty());
    assert_eq!(world.universe.emulator.pull_requests().len(), 1, "{pull}");
    world.assert_once(item);
    world.assert_quiet().await;
    // The service keeps such a pull request active, and that is no word of a person: whenever it is looked at.
    let writes = world.universe.emulator.writes();
    for _ in 0..10 {
        world.passes(jiff::SignedDuration::from_mins(1));
        let _ = world.tick().await;
    }
    assert_closed(&world, Outcome::Declined).await;
    assert_eq!(world.universe.emulator.writes(), writes);
}

#[tokio::test]
async fn e14_a_draft_waits_until_it_is_published() {
    let (mut world, item, pull) = in_review().await;
    let reviewer = world.universe.reviewer.clone();
    world.universe.emulator.set_draft(pull, true, &reviewer).unwrap();
    world.universe.emulator.comment_pull_request(pull, "Please say why.", None, &reviewer).unwrap();
    let report = world.tick().await;
    assert!(line(&report, item).why.contains("turned the pull request into a draft"), "{report:#?}");
    world.assert_quiet().await;
    assert_eq!(world.run().await.turns.len(), 1, "nothing is answered while it is a draft");
    let comments = world.comments(item);
    assert!(comments.iter().any(|text| text.contains("into a draft")), "{comments:#?}");

    world.universe.emulator.set_draft(pull, false, &reviewer).unwrap();
    world.go(|world| world.universe.emulator.pull_request(pull).unwrap().iterations > 1).await;
}

#[tokio::test]
async fn e14_a_draft_that_we_published_and_a_person_made_a_draft_again_waits() {
    let mut world = World::new().await;
    world.set("ROUNDSMAN_POLICY_DRAFT", "yes");
    let (item, pull) = world.brings_to_review(GOOD).await;
    let emulator = world.universe.emulator.clone();
    world.go(|_| emulator.pull_request(pull).is_some_and(|pull| !pull.draft)).await;
    // Publishing begins a build; what it says is news.
    world.go(|_| emulator.builds().iter().all(|build| build.status == "completed")).await;
    let _ = world.tick().await;
    let reviewer = world.universe.reviewer.clone();
    emulator.set_draft(pull, true, &reviewer).unwrap();
    emulator.comment_pull_request(pull, "Please say why.", None, &reviewer).unwrap();
    let report = world.tick().await;
    assert!(line(&report, item).why.contains("turned the pull request into a draft"), "{report:#?}");
    world.assert_quiet().await;
    assert_eq!(world.run().await.turns.len(), 1, "nothing is answered while it is a draft");
    assert!(emulator.pull_request(pull).unwrap().draft, "nor is it published against their will");
    emulator.set_draft(pull, false, &reviewer).unwrap();
    world.go(|_| emulator.pull_request(pull).unwrap().iterations > 1).await;
}

#[tokio::test]
async fn a_persons_push_makes_the_agent_stand_down() {
    let (mut world, item, pull) = in_review().await;
    let reviewer = world.universe.reviewer.clone();
    let branch = world.run().await.branch().full();
    let files = [SeedFile::new("README.md", "# By hand\n")];
    let emulator = world.universe.emulator.clone();
    let head = emulator.push_as(&world.universe.repository, &branch, &files, "By hand", &reviewer).unwrap();
    let told = world.until_handed(item).await;
    assert!(
        told.contains(&EscalateReason::PersonPushed.to_string().replace('\'', "&#39;"))
            || told.contains("pushed to the agent"),
        "{told}"
    );
    assert!(told.contains(&reviewer.id), "whoever pushed is mentioned: {told}");
    assert_eq!(emulator.pull_request(pull).unwrap().head, head, "the person's commit stays");
}

/// Who it was is worth a read, not the hand-over.
#[tokio::test]
async fn a_persons_push_is_handed_over_also_where_nobody_tells_who_it_was() {
    let (mut world, item, _) = in_review().await;
    let (emulator, reviewer) = (world.universe.emulator.clone(), world.universe.reviewer.clone());
    let branch = world.run().await.branch().full();
    emulator.fault(Fault::on("push: list").answer(403, &[], "{}"));
    let files = [SeedFile::new("README.md", "# By hand\n")];
    emulator.push_as(&world.universe.repository, &branch, &files, "By hand", &reviewer).unwrap();
    let told = world.until_handed(item).await;
    assert!(told.contains("pushed to the agent") && !told.contains(&reviewer.id), "{told}");
    assert_eq!(emulator.faults_waiting(), 0, "it was asked");
    world.assert_once(item);
}

#[tokio::test]
async fn e07_a_persons_push_in_the_middle_of_a_turn_is_not_overwritten() {
    let (mut world, item, pull) = in_review().await;
    let (owner, reviewer) = (world.universe.owner.clone(), world.universe.reviewer.clone());
    let emulator = world.universe.emulator.clone();
    world.agent(BUSY);
    emulator.comment_pull_request(pull, "One more line, please.", None, &reviewer).unwrap();
    world.until_there("begun").await;
    let branch = world.run().await.branch().full();
    let files = [SeedFile::new("README.md", "# By hand\n")];
    let head = emulator.push_as(&world.universe.repository, &branch, &files, "By hand", &owner).unwrap();
    fs::write(world.home().join("go"), "").unwrap();
    let told = world.until_handed(item).await;
    assert!(told.contains("pushed to the agent"), "{told}");
    assert_eq!(emulator.head(&world.universe.repository, &branch), Some(head));
}

#[tokio::test]
async fn e17_a_vote_against_without_words_is_a_persons_matter() {
    let (mut world, item, pull) = in_review().await;
    let reviewer = world.universe.reviewer.clone();
    world.universe.emulator.vote(pull, -10, &reviewer).unwrap();
    let told = world.until_handed(item).await;
    assert!(told.contains("voted against the change without saying why"), "{told}");
    assert!(told.contains(&reviewer.id), "who can say it is mentioned: {told}");
    assert_eq!(world.universe.emulator.pull_request(pull).unwrap().status, "active");
}

#[tokio::test]
async fn a_paused_run_ends_its_turn_and_starts_nothing() {
    let (mut world, item) = busy().await;
    let owner = world.universe.owner.clone();
    world.universe.emulator.tag(item, "agent-paused", &owner).unwrap();
    let report = world.tick().await;
    assert!(line(&report, item).why.contains("paused by label"), "{report:#?}");
    assert!(works(&world).await, "what runs may end by itself");
    fs::write(world.home().join("go"), "").unwrap();
    while works(&world).await {
        let _ = world.tick().await;
        tokio::task::yield_now().await;
    }
    world.assert_quiet().await;
    assert!(world.agent_branches().is_empty(), "nothing is pushed while it is paused");

    world.universe.emulator.untag(item, "agent-paused", &owner).unwrap();
    world.until_green().await;
    assert_eq!(world.run().await.turns.len(), 1, "the turn's work was kept");
    world.assert_once(item);
}

#[tokio::test]
async fn the_brake_lets_a_turn_end_and_starts_nothing() {
    let (mut world, item) = busy().await;
    world.set("ROUNDSMAN_KILL_SWITCH", "on");
    fs::write(world.home().join("go"), "").unwrap();
    while works(&world).await {
        let _ = world.tick().await;
        tokio::task::yield_now().await;
    }
    let report = world.tick().await;
    assert!(line(&report, item).why.contains("kill switch is on"), "{report:#?}");
    world.assert_quiet().await;
    assert!(world.agent_branches().is_empty());

    world.set("ROUNDSMAN_KILL_SWITCH", "off");
    world.until_green().await;
    assert_eq!(world.run().await.turns.len(), 1);
}

#[tokio::test]
async fn draining_finishes_what_runs_and_claims_nothing() {
    let (mut world, _) = busy().await;
    world.set("ROUNDSMAN_KILL_SWITCH", "drain");
    world.set("ROUNDSMAN_INTAKE_MAX_RUNS_PER_REPOSITORY", "4");
    let second = world.universe.file_item(&["ready-for-agent"]).unwrap();
    fs::write(world.home().join("go"), "").unwrap();
    world.until_green().await;
    assert_eq!(world.tags(second), ["ready-for-agent"]);
    assert_eq!(world.runs().await.len(), 1);
}

#[tokio::test]
async fn stopping_ends_workers_and_the_work_goes_on_later() {
    let (mut world, item) = busy().await;
    world.set("ROUNDSMAN_KILL_SWITCH", "stop");
    let before = world.universe.emulator.writes();
    let report = world.tick().await;
    assert!(!works(&world).await, "{report:#?}");
    assert!(line(&report, item).why.contains("stop"), "{report:#?}");
    // Where the comment is the memory, it notes what the stopped agent used up.
    let noted = usize::from(world.memory() == Memory::Labels);
    assert!(world.universe.emulator.writes() - before <= noted, "{report:#?}");
    world.assert_quiet().await;

    world.set("ROUNDSMAN_KILL_SWITCH", "off");
    fs::write(world.home().join("go"), "").unwrap();
    world.until_green().await;
    let run = world.run().await;
    assert_eq!((run.turns.len(), run.lost()), (2, 1), "our own stop costs no attempt of the agent: {run:#?}");
    world.assert_once(item);
}

#[tokio::test]
async fn e04_an_item_that_moves_to_another_project_is_let_go() {
    let (mut world, item) = busy().await;
    let (emulator, owner) = (world.universe.emulator.clone(), world.universe.owner.clone());
    emulator.create_project("Elsewhere");
    emulator.move_item(item, "Elsewhere", &owner).unwrap();
    let _ = world.tick().await;
    assert!(!works(&world).await);
    assert!(world.tags(item).is_empty(), "{:?}", world.tags(item));
    assert!(world.agent_branches().is_empty());
    world.assert_once(item);
    let told = world.comments(item);
    assert!(told.iter().any(|text| text.contains("took this work item back")), "{told:#?}");
    // The discussion moved with the item, and so does the word that stands in it.
    let progress = told.iter().find(|text| roundsman::words::Marker::find(text).is_some()).unwrap();
    assert!(!progress.contains("An agent is working on this"), "{progress}");
    world.assert_quiet().await;
    // Which project may have agents is the operator's, whoever labels there.
    emulator.tag(item, "ready-for-agent", &owner).unwrap();
    let report = world.poll().await;
    assert!(report.lines.is_empty(), "{report:#?}");
    assert_eq!(world.tags(item), ["ready-for-agent"]);
    world.set("ROUNDSMAN_INTAKE_PROJECTS", "Fabrikam,Elsewhere");
    let _ = world.poll().await;
    assert_eq!(world.tags(item), ["agent-in-progress"], "there the item is, under the same number");
}

#[tokio::test]
async fn e05_text_that_is_edited_meanwhile_does_not_reach_the_agent() {
    let (mut world, item) = busy().await;
    let owner = world.universe.owner.clone();
    world.universe.emulator.edit_description(item, "<p>Delete everything.</p>", &owner).unwrap();
    let _ = world.tick().await;
    let told = world.comments(item);
    let is_told = |told: &[String]| {
        told.iter().any(|text| text.contains("edited this work item after it was approved"))
            && told
                .iter()
                .any(|text| text.contains(&owner.display_name) && text.contains("labels the item again"))
    };
    assert!(is_told(&told), "{told:#?}");
    let before = world.universe.emulator.writes();
    for _ in 0..2 {
        let _ = world.tick().await;
    }
    assert_eq!(world.universe.emulator.writes(), before, "once");
    world.agent("cp \"$ROUNDSMAN_BRIEF\" \"$WORLD/brief\"; printf 'A line.\\n' >> README.md");
    fs::write(world.home().join("go"), "").unwrap();
    let pull = world.until_green().await;
    assert!(is_told(&world.comments(item)), "{:#?}", world.comments(item));
    let reviewer = world.universe.reviewer.clone();
    world.universe.emulator.comment_pull_request(pull, "One more line, please.", None, &reviewer).unwrap();
    world.go(|world| world.home().join("brief").exists()).await;
    let brief = fs::read_to_string(world.home().join("brief")).unwrap();
    assert!(brief.contains("hard of hearing") && !brief.contains("Delete everything"), "{brief}");
    world.assert_once(item);
}

#[tokio::test]
async fn e05_text_that_is_edited_during_the_review_is_told_once() {
    let (mut world, item, _) = in_review().await;
    let owner = world.universe.owner.clone();
    world.assert_quiet().await;
    world.universe.emulator.edit_description(item, "<p>Delete everything.</p>", &owner).unwrap();
    let told = |world: &World| {
        let told = world.comments(item);
        told.iter().filter(|text| text.contains("edited this work item after it was approved")).count()
    };
    world.go(|world| told(world) == 1).await;
    let _ = world.tick().await;
    world.assert_quiet().await;
    assert_eq!(told(&world), 1, "{:#?}", world.comments(item));
    world.assert_once(item);
}

#[tokio::test]
async fn e05_the_new_text_is_worked_on_once_a_person_approves_it() {
    let (mut world, item) = busy().await;
    let (emulator, owner) = (world.universe.emulator.clone(), world.universe.owner.clone());
    emulator.edit_description(item, "<p>Greet in capitals.</p>", &owner).unwrap();
    let _ = world.tick().await;
    emulator.untag(item, "agent-in-progress", &owner).unwrap();
    let _ = world.tick().await;
    assert_closed(&world, Outcome::HandedBack).await;
    world.agent(&format!("cp \"$ROUNDSMAN_BRIEF\" \"$WORLD/brief\"; {GOOD}"));
    emulator.tag(item, "ready-for-agent", &owner).unwrap();
    world.until_there("brief").await;
    let brief = fs::read_to_string(world.home().join("brief")).unwrap();
    assert!(brief.contains("Greet in capitals"), "{brief}");
    let told = world.comments(item);
    let newest = told.iter().rfind(|text| roundsman::words::Marker::find(text).is_some()).unwrap();
    assert!(!newest.contains("edited this work item"), "{newest}");
}

#[tokio::test]
async fn e06_an_item_that_a_person_takes_waits_if_the_operator_wants_so() {
    let (mut world, item) = busy().await;
    let owner = world.universe.owner.clone();
    world.set("ROUNDSMAN_POLICY_PAUSE_WHEN_ASSIGNED", "yes");
    world.universe.emulator.assign(item, Some(&owner), &owner).unwrap();
    let report = world.tick().await;
    assert!(line(&report, item).why.contains("assigned to a person"), "{report:#?}");
    fs::write(world.home().join("go"), "").unwrap();
    while works(&world).await {
        let _ = world.tick().await;
        tokio::task::yield_now().await;
    }
    world.assert_quiet().await;
    assert!(world.agent_branches().is_empty(), "nothing is pushed meanwhile");
    let told = world.comments(item).concat();
    assert!(told.contains("Waiting for Product owner, to whom the work item is assigned"), "{told}");
    world.universe.emulator.assign(item, None, &owner).unwrap();
    world.until_green().await;
}

#[tokio::test]
async fn e08_a_branch_that_a_person_moved_back_is_left_alone() {
    let (mut world, item, _) = in_review().await;
    let owner = world.universe.owner.clone();
    let emulator = world.universe.emulator.clone();
    let branch = world.run().await.branch().full();
    let main = emulator.head(&world.universe.repository, "refs/heads/main").unwrap();
    emulator.force_branch(&world.universe.repository, &branch, &main, &owner).unwrap();
    let told = world.until_handed(item).await;
    assert!(told.contains("pushed to the agent"), "{told}");
    assert_eq!(emulator.head(&world.universe.repository, &branch), Some(main));
}

#[tokio::test]
async fn e11_a_pull_request_that_is_reactivated_is_in_review_again() {
    let (mut world, item, pull) = in_review().await;
    let reviewer = world.universe.reviewer.clone();
    world.universe.emulator.abandon(pull, &reviewer).unwrap();
    let _ = world.tick().await;
    assert_closed(&world, Outcome::Declined).await;
    world.universe.emulator.reactivate(pull, &reviewer).unwrap();
    for _ in 0..12 {
        world.passes(jiff::SignedDuration::from_mins(1));
        let _ = world.tick().await;
    }
    let run = world.run().await;
    assert!(matches!(run.stage, Stage::InReview { .. }), "{run:#?}");
    assert_eq!((run.turns.len(), run.resumed), (1, None), "the budget is kept");
    assert_eq!(world.tags(item), ["agent-in-progress"]);
    world.universe.emulator.comment_pull_request(pull, "One more line, please.", None, &reviewer).unwrap();
    world.go(|world| world.universe.emulator.pull_request(pull).unwrap().iterations > 1).await;
    world.assert_once(item);
}

#[tokio::test]
async fn e12_a_merge_ends_a_turn_and_nothing_is_pushed_after_it() {
    let (mut world, item, pull) = in_review().await;
    let reviewer = world.universe.reviewer.clone();
    let emulator = world.universe.emulator.clone();
    world.agent(BUSY);
    emulator.comment_pull_request(pull, "One more line, please.", None, &reviewer).unwrap();
    world.until_there("begun").await;
    let branch = world.run().await.branch().full();
    let head = emulator.head(&world.universe.repository, &branch);
    emulator.vote(pull, 10, &reviewer).unwrap();
    emulator.complete(pull, "squash", &reviewer).unwrap();
    let _ = world.tick().await;
    assert_closed(&world, Outcome::Merged).await;
    assert!(!works(&world).await, "its worker was stopped");
    assert_eq!(emulator.head(&world.universe.repository, &branch), head);
    assert!(world.is_closed(item));
    world.assert_quiet().await;
}

#[tokio::test]
async fn e13_a_pull_request_that_is_pointed_elsewhere_stays_there_and_is_checked_there() {
    let (mut world, item, pull) = in_review().await;
    let (owner, emulator) = (world.universe.owner.clone(), world.universe.emulator.clone());
    let files = [SeedFile::new("NEWS.md", "# News\n")];
    emulator.push_as(&world.universe.repository, "refs/heads/next", &files, "News", &owner).unwrap();
    emulator.require_build(&world.universe.repository, "refs/heads/next", world.universe.pipeline, true);
    emulator.force_next_result(world.universe.pipeline, "failed");
    emulator.retarget(pull, "refs/heads/next", &owner).unwrap();
    let _ = world.tick().await;
    assert_eq!(world.run().await.target.full(), "refs/heads/next");
    // Green there says nothing of here: what the new target's check says is repaired.
    let head = emulator.pull_request(pull).unwrap().head;
    world.go(|_| emulator.pull_request(pull).unwrap().head != head).await;
    let kinds: Vec<_> = world.run().await.turns.into_iter().map(|turn| turn.kind).collect();
    assert_eq!(kinds, [TurnKind::Implement, TurnKind::FixForward]);
    world.go(|world| world.comments(item).iter().any(|text| text.contains("checks (passed)"))).await;
    assert_eq!(emulator.pull_request(pull).unwrap().target, "refs/heads/next", "never turned back");
    world.assert_once(item);
}

#[tokio::test]
async fn e19_nothing_is_pushed_into_a_merge_that_completes_itself() {
    let (mut world, item, pull) = in_review().await;
    let reviewer = world.universe.reviewer.clone();
    let emulator = world.universe.emulator.clone();
    world.agent(BUSY);
    emulator.comment_pull_request(pull, "One more line, please.", None, &reviewer).unwrap();
    world.until_there("begun").await;
    let head = emulator.pull_request(pull).unwrap().head;
    emulator.set_auto_complete(pull, "squash", &reviewer).unwrap();
    fs::write(world.home().join("go"), "").unwrap();
    while works(&world).await {
        let _ = world.tick().await;
        tokio::task::yield_now().await;
    }
    let mut report = world.tick().await;
    for _ in 0..3 {
        report = world.tick().await;
    }
    assert!(line(&report, item).why.contains("set auto-complete"), "{report:#?}");
    let seen = emulator.pull_request(pull).unwrap();
    assert_eq!((seen.head, seen.status.as_str()), (head, "active"), "nothing was pushed");
    world.assert_quiet().await;

    emulator.clear_auto_complete(pull, &reviewer).unwrap();
    world.go(|world| world.universe.emulator.pull_request(pull).unwrap().iterations > 1).await;
    world.assert_once(item);
}

#[tokio::test]
async fn e20_another_robot_is_not_answered() {
    let (mut world, item, pull) = in_review().await;
    let emulator = world.universe.emulator.clone();
    let kind = roundsman::emulator::IdentityKind::Service;
    let robot = emulator.create_identity("Formatter", "formatter@fabrikam.example", kind);
    for text in ["/agent stop", "Please format this."] {
        emulator.comment_pull_request(pull, text, None, &robot).unwrap();
        emulator.comment_item(item, &format!("<div>{text}</div>"), &robot).unwrap();
    }
    for _ in 0..3 {
        world.passes(jiff::SignedDuration::from_mins(4));
        let _ = world.tick().await;
    }
    assert_eq!(world.run().await.turns.len(), 1);
    assert!(matches!(world.stage().await, Stage::InReview { .. }));
    world.assert_quiet().await;
}
