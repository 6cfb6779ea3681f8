//! Branches, repositories and pull requests that are not as they were: what git or its server does to a run.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::World;
use jiff::SignedDuration;
use roundsman::{
    domain::{Stage, TurnKind},
    emulator::{Fault, SeedFile},
};
use std::{fs, time::Duration};

const MAIN: &str = "refs/heads/main";
const GOOD: &str = "printf 'A line.\\n' >> README.md; echo changed";
/// Talks until the story lets it go on.
const BUSY: &str = "touch \"$WORLD/begun\"\n\
    while test ! -e \"$WORLD/go\"; do echo working; sleep 0.1; done\n";
/// Changes the title, answers threads below it, and merges a target that changed the title, too.
const TITLE: &str = "case $ROUNDSMAN_TURN_KIND in\n\
    conflict)\n\
      git merge refs/roundsman/target > \"$WORLD/merge\" 2>&1\n\
      git show refs/roundsman/target:README.md > README.md\n\
      echo 'A line of the agent.' >> README.md; git add README.md; echo merged;;\n\
    respond)\n\
      mkdir -p \"$ROUNDSMAN_OUT/replies\"\n\
      for thread in $(cat \"$WORLD/threads\"); do echo 'Done so.' > \"$ROUNDSMAN_OUT/replies/$thread.md\"; done\n\
      echo 'For the reviewer.' >> REVIEW.md;;\n\
    *) sed -i '1s/.*/# The agent was here/' README.md;;\n\
    esac";

async fn asked(script: &str) -> (World, i64) {
    let mut world = World::new().await;
    world.agent(script);
    let item = world.ask().await;
    (world, item)
}

async fn kinds(world: &World) -> Vec<TurnKind> {
    world.run().await.turns.iter().map(|turn| turn.kind).collect()
}

fn lands(world: &World, title: &str) {
    let files = [SeedFile::new("README.md", &format!("# {title}\n"))];
    let (repository, owner) = (&world.universe.repository, &world.universe.owner);
    world.universe.emulator.land(repository, MAIN, &files, "Another title", owner).unwrap();
}

fn merge_status(world: &World, pull: i64) -> String {
    world.universe.emulator.pull_request(pull).unwrap().merge_status
}

async fn is_checked(world: &mut World, pull: i64) {
    world
        .go(|world| {
            let pull = world.universe.emulator.pull_request(pull).unwrap();
            pull.checks.iter().any(|(name, status)| name == "Build" && status == "approved")
        })
        .await;
    let _ = world.tick().await;
}

#[tokio::test]
async fn j01_a_branch_of_our_name_that_appears_meanwhile_is_not_written_to() {
    let (mut world, item) = asked(&format!("{BUSY}{GOOD}")).await;
    world.until_there("begun").await;
    let branch = world.run().await.branch().full();
    let (emulator, owner) = (world.universe.emulator.clone(), world.universe.owner.clone());
    let files = [SeedFile::new("theirs.txt", "theirs")];
    let head = emulator.push_as(&world.universe.repository, &branch, &files, "Theirs", &owner).unwrap();
    fs::write(world.home().join("go"), "").unwrap();
    let told = world.until_handed(item).await;
    assert!(told.contains("pushed to the agent"), "{told}");
    assert_eq!(emulator.head(&world.universe.repository, &branch), Some(head));
    assert_eq!(world.agent_branches(), [branch], "and no other name is tried");
    assert!(emulator.pull_requests().is_empty());
}

/// Also J1: it is there before the run is.
#[tokio::test]
async fn j01_a_branch_of_our_name_that_was_there_first_is_not_taken_for_ours() {
    let mut world = World::new().await;
    world.agent(GOOD);
    let _ = world.tick().await;
    let item = world.universe.file_item(&[]).unwrap();
    let (emulator, owner) = (world.universe.emulator.clone(), world.universe.owner.clone());
    let files = [SeedFile::new("theirs.txt", "theirs")];
    let mut heads = Vec::new();
    for revision in 1..4 {
        let branch = format!("refs/heads/agent/{item}-r{revision}");
        let head = emulator.push_as(&world.universe.repository, &branch, &files, "Theirs", &owner).unwrap();
        heads.push((branch, head));
    }
    emulator.tag(item, "ready-for-agent", &owner).unwrap();
    let told = world.until_handed(item).await;
    assert!(told.contains("pushed to the agent"), "{told}");
    for (branch, head) in heads {
        assert_eq!(emulator.head(&world.universe.repository, &branch), Some(head));
    }
    assert!(emulator.pull_requests().is_empty(), "{:#?}", emulator.pull_requests());
}

#[tokio::test]
async fn j02_reviewers_come_before_a_conflict_and_both_are_served() {
    let (mut world, item) = asked(TITLE).await;
    let pull = world.until_green().await;
    let (emulator, reviewer) = (world.universe.emulator.clone(), world.universe.reviewer.clone());
    let before = emulator.pull_request(pull).unwrap().head;
    let thread = emulator.comment_pull_request(pull, "Add a note.", None, &reviewer).unwrap();
    fs::write(world.home().join("threads"), format!("{thread}\n")).unwrap();
    lands(&world, "A person was here");
    assert_eq!(merge_status(&world, pull), "conflicts");
    world.go(|world| merge_status(world, pull) == "succeeded").await;
    is_checked(&mut world, pull).await;
    assert_eq!(kinds(&world).await, [TurnKind::Implement, TurnKind::Respond, TurnKind::Conflict]);

    // Only forward, and the merge is one: ours and the target's, although publish wrote our commits anew.
    let shown = emulator.pull_request(pull).unwrap();
    world.git(&["merge-base", "--is-ancestor", &before, &shown.head]);
    let merge = world.git(&["rev-list", "--merges", "--parents", "-n1", &shown.head]);
    let target = emulator.head(&world.universe.repository, MAIN).unwrap();
    assert_eq!(merge.split(' ').count(), 3, "{merge}");
    assert!(merge.ends_with(&target), "the target is its second parent: {merge}");
    assert!(matches!(world.stage().await, Stage::InReview { .. }));
    world.assert_quiet().await;
    world.assert_once(item);
}

#[tokio::test]
async fn j02_a_conflict_that_goes_away_by_itself_costs_no_turn() {
    let (mut world, item) = asked(TITLE).await;
    let pull = world.until_green().await;
    let title = world.git(&["show", "main:README.md"]);
    world.set("ROUNDSMAN_KILL_SWITCH", "on");
    lands(&world, "A person was here");
    assert_eq!(merge_status(&world, pull), "conflicts");
    let _ = world.tick().await;
    let files = [SeedFile::new("README.md", &format!("{title}\n"))];
    let (repository, owner) = (world.universe.repository.clone(), world.universe.owner.clone());
    world.universe.emulator.land(&repository, MAIN, &files, "Back again", &owner).unwrap();
    assert_eq!(merge_status(&world, pull), "succeeded");
    world.set("ROUNDSMAN_KILL_SWITCH", "off");
    is_checked(&mut world, pull).await;
    let _ = world.tick().await;
    assert_eq!(kinds(&world).await, [TurnKind::Implement]);
    assert!(matches!(world.stage().await, Stage::InReview { .. }));
    world.assert_quiet().await;
    world.assert_once(item);
}

#[tokio::test]
async fn j02_a_second_conflict_beyond_the_budget_is_a_persons() {
    let (mut world, item) = asked(TITLE).await;
    world.set("ROUNDSMAN_POLICY_CONFLICT_ATTEMPTS", "1");
    let pull = world.until_green().await;
    lands(&world, "A person was here");
    assert_eq!(merge_status(&world, pull), "conflicts");
    world.go(|world| merge_status(world, pull) == "succeeded").await;
    is_checked(&mut world, pull).await;
    lands(&world, "And another one");
    assert_eq!(merge_status(&world, pull), "conflicts");
    let told = world.until_handed(item).await;
    assert!(told.contains("used all its conflict turns"), "{told}");
    assert_eq!(kinds(&world).await, [TurnKind::Implement, TurnKind::Conflict]);
}

#[tokio::test]
async fn j03_a_renamed_repository_is_found_by_its_id() {
    let (mut world, item) = asked(&format!("{BUSY}{GOOD}")).await;
    world.until_there("begun").await;
    world.universe.emulator.rename_repository(&world.universe.repository, "greetings");
    fs::write(world.home().join("go"), "").unwrap();
    world.until_green().await;
    assert_eq!(kinds(&world).await, [TurnKind::Implement]);
    let comments = world.comments(item);
    assert!(comments.iter().any(|text| text.contains("/_git/greetings")), "links work: {comments:#?}");
    world.assert_quiet().await;
    world.assert_once(item);
}

#[tokio::test]
async fn j03_a_disabled_repository_is_told() {
    let (mut world, item) = asked(&format!("{BUSY}{GOOD}")).await;
    world.until_there("begun").await;
    world.universe.emulator.set_repository_disabled(&world.universe.repository, true);
    fs::write(world.home().join("go"), "").unwrap();
    let told = world.until_handed(item).await;
    assert!(told.contains("TF401022") || told.contains("disabled"), "{told}");
    assert!(world.agent_branches().is_empty());
}

#[tokio::test]
async fn j04_a_renamed_default_branch_is_followed_until_there_is_a_pull_request() {
    let (mut world, item) =
        asked(&format!("if test ! -e \"$WORLD/go\"; then {BUSY}exit 3; fi; {GOOD}")).await;
    world.until_there("begun").await;
    let (emulator, repository) = (world.universe.emulator.clone(), world.universe.repository.clone());
    emulator.rename_default_branch(&repository, "trunk");
    emulator.require_build(&repository, "refs/heads/trunk", world.universe.pipeline, true);
    fs::write(world.home().join("go"), "").unwrap();
    let pull = world.until_green().await;
    let shown = emulator.pull_request(pull).unwrap();
    assert_eq!(shown.target, "refs/heads/trunk");
    assert_eq!(kinds(&world).await, [TurnKind::Implement, TurnKind::Redispatch]);
    world.assert_once(item);
}

#[tokio::test]
async fn j05_a_push_that_the_server_refuses_reaches_people_in_its_own_words() {
    let (mut world, item) = asked(&format!("{GOOD}; echo called >> \"$WORLD/calls\"")).await;
    let token = world.universe.token.clone();
    let words = format!("VS403654: The push was rejected because it contains one or more secrets: {token}");
    world.universe.emulator.refuse_pushes(&world.universe.repository, Some(&words));
    let told = world.until_handed(item).await;
    assert!(told.contains("the server refuses the push: VS403654"), "{told}");
    assert!(!told.contains(&token), "{told}");
    assert!(world.agent_branches().is_empty());
    let calls = fs::read_to_string(world.home().join("calls")).unwrap();
    assert_eq!(calls, "called\n", "the agent is not asked to push again");
    assert!(world.run_dir().await.join("t01/out/work.bundle").is_file(), "work is kept");
}

/// Also J5: a server that refuses once may have had a bad moment.
#[tokio::test]
async fn j05_a_push_that_is_refused_once_is_tried_again_without_the_agent() {
    let (mut world, item) = asked(&format!("{GOOD}; echo called >> \"$WORLD/calls\"")).await;
    let emulator = world.universe.emulator.clone();
    emulator.refuse_pushes(&world.universe.repository, Some("TF401035: An unexpected error occurred."));
    world.go(|world| calls_of(world, "git: push") == 1).await;
    emulator.refuse_pushes(&world.universe.repository, None);
    world.until_green().await;
    assert_eq!(fs::read_to_string(world.home().join("calls")).unwrap(), "called\n");
    world.assert_once(item);
}

fn calls_of(world: &World, operation: &str) -> usize {
    world.universe.emulator.request_log().iter().filter(|seen| seen.operation == operation).count()
}

#[tokio::test]
async fn j06_an_agent_that_cuts_its_clone_short_loses_nothing() {
    let (mut world, item) = asked(&format!("git rev-parse HEAD > .git/shallow; {GOOD}")).await;
    let pull = world.until_green().await;
    let head = world.universe.emulator.pull_request(pull).unwrap().head;
    world.git(&["merge-base", "--is-ancestor", "main", &head]);
    world.assert_once(item);
}

#[tokio::test]
async fn j07_a_clone_that_takes_too_long_ends_and_is_told() {
    let mut world = World::new().await;
    world.agent(GOOD);
    world.set("ROUNDSMAN_POLICY_TURN_LIMIT", "3s");
    world.set("ROUNDSMAN_POLICY_INFRASTRUCTURE_ATTEMPTS", "1");
    let _ = world.tick().await;
    world.universe.emulator.fault(Fault::on("git: fetch").times(9).slow(Duration::from_secs(9)));
    let item = world.universe.file_item(&["ready-for-agent"]).unwrap();
    let told = world.until_handed(item).await;
    assert!(told.contains("lost the agent") && told.contains("Timeout"), "{told}");
    assert!(world.agent_branches().is_empty());
    assert!(!world.home().join("brief").exists());
}

#[tokio::test]
async fn j08_what_a_pull_request_has_no_room_for_stands_in_a_thread() {
    let long = "i=0; while test $i -lt 600; do echo \"Point $i of the description.\"; i=$((i+1)); done";
    for fault in
        [None, Some(Fault::on("thread: create").answer_lost()), Some(Fault::on("thread: create").lost())]
    {
        let mut world = World::new().await;
        world.agent(&format!(
            "{GOOD}; printf 'Title %0500d' 7 > \"$ROUNDSMAN_OUT/title.txt\"; ({long}) > \"$ROUNDSMAN_OUT/pr.md\""
        ));
        let item = world.ask().await;
        if let Some(fault) = fault {
            world.universe.emulator.fault(fault);
        }
        let pull = world.until_green().await;
        let shown = world.universe.emulator.pull_request(pull).unwrap();
        assert!(
            shown.title.chars().count() <= 400 && shown.description.chars().count() <= 4000,
            "{shown:#?}"
        );
        assert!(!shown.description.contains("Point 599"));
        // A memory that is lost now has it looked for again, and found; a lost request is not waited for any more.
        world.passes(SignedDuration::from_secs(61));
        let _ = world.tick().await;
        world.lose_memory();
        for _ in 0..3 {
            let _ = world.tick().await;
        }
        let threads = world.universe.emulator.threads(pull).into_iter().filter(|thread| !thread.is_system());
        let own: Vec<_> = threads.filter(|thread| !thread.comments[0].deleted).collect();
        assert_eq!(own.len(), 1, "{own:#?}");
        assert_eq!(own[0].status.as_deref(), Some("closed"));
        assert!(
            own[0].comments[0].text.contains("Point 599 of") && own[0].comments[0].text.contains("0007**")
        );
        world.assert_quiet().await;
        world.assert_once(item);
    }
}
