//! Agents that misbehave. Each ends in a state that people can see, with the work kept and nothing pushed that must not
//! be. The agents are shell scripts; what they do to the worker is real.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::World;
use roundsman::{
    domain::{Stage, TurnKind},
    emulator::SeedFile,
};
use std::{fs, path::Path};

/// A change that passes all checks.
const GOOD: &str = "printf 'A line.\\n' >> README.md; echo changed";

async fn asked(script: &str) -> (World, i64) {
    let mut world = World::new().await;
    world.agent(script);
    let item = world.ask().await;
    (world, item)
}

async fn kinds(world: &World) -> Vec<TurnKind> {
    world.run().await.turns.iter().map(|turn| turn.kind).collect()
}

fn size(directory: &Path) -> u64 {
    fs::read_dir(directory)
        .unwrap()
        .flatten()
        .map(
            |entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() },
        )
        .sum()
}

#[tokio::test]
async fn h04_an_agent_that_changes_nothing_is_asked_about_at_once() {
    let (mut world, item) = asked("echo 'It is done already, I think.'; exit 0").await;
    let told = world.until_handed(item).await;
    assert!(told.contains("without changing anything"), "{told}");
    assert!(told.contains("done already"), "{told}");
    assert_eq!(kinds(&world).await, [TurnKind::Implement], "the same input is not paid for twice");
    assert!(world.agent_branches().is_empty());
}

#[tokio::test]
async fn h01_an_agent_that_hangs_is_ended_tried_once_more_and_handed_over() {
    let mut world = World::new().await;
    world.set("ROUNDSMAN_POLICY_IDLE_LIMIT", "1s");
    // It ignores being asked, and its child would outlive it.
    world.agent("trap '' TERM; printf half > half.txt; echo begun; (trap '' TERM; sleep 600) & sleep 600");
    let item = world.ask().await;
    let told = world.until_handed(item).await;
    assert!(told.contains("went silent and was stopped"), "{told}");
    assert_eq!(kinds(&world).await, [TurnKind::Implement, TurnKind::Redispatch]);
    assert!(world.agent_branches().is_empty());
    let half = world.run_dir().await.join("workspace/half.txt");
    assert_eq!(fs::read_to_string(half).unwrap(), "half", "work is kept");
}

#[tokio::test]
async fn h02_an_agent_that_floods_is_cut_off_and_its_evidence_stays_small() {
    let (mut world, item) = asked("head -c 1000000000 /dev/zero | tr '\\0' 'x'").await;
    let told = world.until_handed(item).await;
    assert!(told.contains("wrote more output than is allowed"), "{told}");
    assert_eq!(kinds(&world).await, [TurnKind::Implement, TurnKind::Redispatch]);
    let kept = size(&world.run_dir().await);
    assert!(kept < 2 * (65 << 20), "{kept} bytes are kept");
}

#[tokio::test]
async fn conflict_markers_are_never_pushed() {
    let (mut world, item) =
        asked("printf '<<<<<<< a\\nx\\n=======\\ny\\n>>>>>>> b\\n' > notes.txt; echo \"$ROUNDSMAN_CALL\" >> \"$WORLD/calls\"")
            .await;
    let told = world.until_handed(item).await;
    assert!(told.contains("unfinished merge") && told.contains("notes.txt"), "{told}");
    let calls = fs::read_to_string(world.home().join("calls")).unwrap();
    assert_eq!(
        calls, "implement\ntidy\ntidy\nimplement\ntidy\ntidy\n",
        "twice asked to tidy up, in two turns"
    );
    assert!(world.agent_branches().is_empty());
}

#[tokio::test]
async fn an_agent_that_fails_once_gets_a_second_turn() {
    let (mut world, item) = asked(&format!(
        "if test ! -e \"$WORLD/failed\"; then touch \"$WORLD/failed\"; echo boom >&2; exit 3; fi; {GOOD}"
    ))
    .await;
    world.until_green().await;
    assert_eq!(kinds(&world).await, [TurnKind::Implement, TurnKind::Redispatch]);
    let used: Vec<u32> = world.run().await.turns.iter().map(|turn| turn.usage.calls).collect();
    assert_eq!(used, [1, 1], "what each turn used up is remembered");
    let id = world.run().await.id.to_string();
    let shown = world.program("roundsman", &["show", &id]).await.out;
    assert_eq!(shown.matches("used 1 call, tokens unknown").count(), 2, "{shown}");
    assert!(!world.tags(item).contains(&"ready-for-human".to_owned()));
    world.assert_once(item);
}

#[tokio::test]
async fn an_agent_that_fails_twice_is_handed_over_with_its_last_words() {
    let (mut world, item) = asked("echo 'boom: no such model' >&2; exit 3").await;
    let told = world.until_handed(item).await;
    assert!(told.contains("ended with an error") && told.contains("boom: no such model"), "{told}");
    assert_eq!(kinds(&world).await, [TurnKind::Implement, TurnKind::Redispatch]);
}

#[tokio::test]
async fn work_counts_whatever_the_exit_code_says() {
    let (mut world, item) = asked(&format!("{GOOD}; exit 3")).await;
    world.until_green().await;
    assert_eq!(kinds(&world).await, [TurnKind::Implement]);
    world.assert_once(item);
}

#[tokio::test]
async fn an_agent_that_cannot_be_started_costs_the_executors_attempts() {
    let mut world = World::new().await;
    world.agent("");
    world.set("ROUNDSMAN_AGENT_COMMAND", "no-such-program-anywhere");
    let item = world.ask().await;
    let told = world.until_handed(item).await;
    assert!(told.contains("no-such-program-anywhere") || told.contains("did not start"), "{told}");
    let run = world.run().await;
    assert_eq!(run.spent(TurnKind::Redispatch), 0, "{run:#?}");
    assert!(run.lost() >= 2, "{run:#?}");
}

/// Also H4.
#[tokio::test]
async fn a_question_reaches_the_person_who_asked() {
    let (mut world, item) =
        asked("echo 'Which currency, euro or dollar?' > \"$ROUNDSMAN_OUT/question.md\"").await;
    let told = world.until_handed(item).await;
    assert!(told.contains("Which currency, euro or dollar?"), "{told}");
    assert!(told.contains(&world.universe.owner.id), "who asked is mentioned: {told}");
    assert!(world.agent_branches().is_empty());

    // The answer goes into the text, the label back on: the run goes on.
    world.agent(GOOD);
    let owner = world.universe.owner.clone();
    world.universe.emulator.edit_description(item, "<p>Greet. In euro.</p>", &owner).unwrap();
    world.universe.emulator.tag(item, "ready-for-agent", &owner).unwrap();
    world.until_green().await;
    let _ = world.tick().await;
    let run = world.run().await;
    assert!(matches!(run.stage, Stage::InReview { .. }), "{run:#?}");
    assert!(!world.tags(item).contains(&"ready-for-human".to_owned()));
}

#[tokio::test]
async fn h09_pipelines_and_agent_settings_are_refused_before_the_push() {
    let (mut world, item) = asked(
        "mkdir -p .github .claude; echo 'steps: []' > azure-pipelines.yml; echo '{}' > .claude/settings.json; echo x >> AGENTS.md",
    )
    .await;
    let told = world.until_handed(item).await;
    for path in ["azure-pipelines.yml", ".claude/settings.json", "AGENTS.md"] {
        assert!(told.contains(path), "{path}: {told}");
    }
    assert!(told.contains("not pushed"), "{told}");
    assert!(world.agent_branches().is_empty());
    assert_eq!(kinds(&world).await, [TurnKind::Implement]);
    assert!(world.run_dir().await.join("t01/out/work.bundle").is_file(), "work is kept");
}

#[tokio::test]
async fn h12_a_file_that_looks_like_a_secret_is_never_committed() {
    let (mut world, item) = asked("echo 'PASSWORD=hunter2hunter2' > .env; echo more").await;
    let told = world.until_handed(item).await;
    assert!(told.contains(".env") && told.contains("must not be committed"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    assert!(world.agent_branches().is_empty());
}

#[tokio::test]
async fn h12_a_key_of_the_step_is_never_committed() {
    let mut world = World::new().await;
    world.set("ROUNDSMAN_AGENT_ENVIRONMENT", "MODEL_API_KEY");
    world.set("MODEL_API_KEY", "canary+without+any+form");
    world.agent("echo \"key: $MODEL_API_KEY\" >> README.md");
    let item = world.ask().await;
    let told = world.until_handed(item).await;
    assert!(told.contains("README.md") && told.contains("a credential of this step"), "{told}");
    assert!(!told.contains("canary"), "{told}");
    assert!(world.agent_branches().is_empty());
}

#[tokio::test]
async fn a_review_can_be_answered_without_a_change() {
    let (mut world, item) = asked(&format!(
        "if test \"$ROUNDSMAN_TURN_KIND\" != respond; then {GOOD}; exit; fi\n\
         mkdir -p \"$ROUNDSMAN_OUT/replies\"\n\
         cp \"$ROUNDSMAN_BRIEF\" \"$WORLD/brief\"\n\
         for thread in $(cat \"$WORLD/threads\"); do echo 'It is meant to be so.' > \"$ROUNDSMAN_OUT/replies/$thread.md\"; done"
    ))
    .await;
    let pull = world.until_green().await;
    let head = world.universe.emulator.pull_request(pull).unwrap().head;
    let reviewer = world.universe.reviewer.clone();
    let thread = world
        .universe
        .emulator
        .comment_pull_request(pull, "Why?", Some(("/README.md", 1)), &reviewer)
        .unwrap();
    fs::write(world.home().join("threads"), thread.to_string()).unwrap();
    let bot = world.universe.bot.id.clone();
    let own = move |world: &World| -> Vec<String> {
        let threads = world.universe.emulator.threads(pull);
        let comments = threads.into_iter().flat_map(|thread| thread.comments);
        comments.filter(|comment| comment.author == bot && comment.kind == "text").map(|c| c.text).collect()
    };
    world.go(|world| !own(world).is_empty()).await;
    let said = own(&world);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("No change was made") && said[0].contains("meant to be so"), "{said:#?}");
    assert!(fs::read_to_string(world.home().join("brief")).unwrap().contains("Why?"));
    assert_eq!(world.universe.emulator.pull_request(pull).unwrap().head, head, "nothing was pushed");
    let _ = world.tick().await;
    assert!(matches!(world.stage().await, Stage::InReview { .. }));
    world.assert_quiet().await;
    world.assert_once(item);
}

#[tokio::test]
async fn a_review_that_gets_neither_change_nor_answer_goes_to_a_person() {
    let (mut world, item) =
        asked(&format!("if test \"$ROUNDSMAN_TURN_KIND\" != respond; then {GOOD}; fi")).await;
    let pull = world.until_green().await;
    let reviewer = world.universe.reviewer.clone();
    world.universe.emulator.comment_pull_request(pull, "Why?", None, &reviewer).unwrap();
    let told = world.until_handed(item).await;
    assert!(told.contains("without changing anything") && told.contains(&format!("!{pull}")), "{told}");
    assert_eq!(world.universe.emulator.pull_request(pull).unwrap().status, "active", "evidence stays");
}

#[tokio::test]
async fn j02_a_moved_target_is_merged_into_the_branch() {
    let (mut world, item) = asked(
        "case $ROUNDSMAN_TURN_KIND in\n\
         conflict)\n\
           git merge refs/roundsman/target > \"$WORLD/merge\" 2>&1\n\
           git show refs/roundsman/target:README.md > README.md\n\
           echo 'A line of the agent.' >> README.md; git add README.md; echo merged;;\n\
         *) sed -i '1s/.*/# The agent was here/' README.md;;\n\
         esac",
    )
    .await;
    let pull = world.until_green().await;
    let emulator = world.universe.emulator.clone();
    let (repository, owner) = (world.universe.repository.clone(), world.universe.owner.clone());
    let before = emulator.pull_request(pull).unwrap().head;
    let files = [SeedFile::new("README.md", "# A person was here\n")];
    emulator.land(&repository, "refs/heads/main", &files, "Another title", &owner).unwrap();
    assert_eq!(emulator.pull_request(pull).unwrap().merge_status, "conflicts");

    world.go(|world| world.universe.emulator.pull_request(pull).unwrap().merge_status == "succeeded").await;
    world
        .go(|world| {
            let pull = world.universe.emulator.pull_request(pull).unwrap();
            pull.checks.iter().any(|(name, status)| name == "Build" && status == "approved")
        })
        .await;
    let _ = world.tick().await;
    assert_eq!(kinds(&world).await, [TurnKind::Implement, TurnKind::Conflict]);
    let after = emulator.pull_request(pull).unwrap();
    assert_ne!(after.head, before);
    let readme = emulator.file(&repository, &after.source, "README.md").unwrap();
    let readme = String::from_utf8(readme).unwrap();
    assert!(readme.starts_with("# A person was here") && readme.contains("of the agent"), "{readme}");
    assert!(matches!(world.stage().await, Stage::InReview { .. }));
    world.assert_once(item);
}

#[tokio::test]
async fn j02_a_conflict_that_is_left_unfinished_goes_to_a_person() {
    let (mut world, item) = asked(
        "if test \"$ROUNDSMAN_TURN_KIND\" = implement; then sed -i '1s/.*/# The agent was here/' README.md; exit; fi\n\
         git merge refs/roundsman/target; echo 'that is hard'",
    )
    .await;
    let pull = world.until_green().await;
    let emulator = world.universe.emulator.clone();
    let (repository, owner) = (world.universe.repository.clone(), world.universe.owner.clone());
    let before = emulator.pull_request(pull).unwrap().head;
    let files = [SeedFile::new("README.md", "# A person was here\n")];
    emulator.land(&repository, "refs/heads/main", &files, "Another title", &owner).unwrap();
    let told = world.until_handed(item).await;
    assert!(told.contains("unfinished merge") && told.contains("README.md"), "{told}");
    assert_eq!(emulator.pull_request(pull).unwrap().head, before, "nothing was pushed");
}
