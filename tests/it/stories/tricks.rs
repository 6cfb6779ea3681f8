//! Agents that are worse than clumsy: they break their repository, rewrite history, stay behind, write where they were
//! not asked, and look for what they must not have.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::World;
use roundsman::domain::{Stage, TurnKind};
use std::fs;

const GOOD: &str = "printf 'A line.\\n' >> README.md; echo changed";

async fn asked(script: &str) -> (World, i64) {
    let mut world = World::new().await;
    world.agent(script);
    let item = world.ask().await;
    (world, item)
}

#[tokio::test]
async fn the_agent_sees_no_token_of_azure_devops() {
    let (mut world, item) = asked(&format!(
        "(env; git config --list --show-origin; cat /proc/$PPID/environ | tr '\\0' '\\n'; \
         git remote -v; cat .git/config; ls -R \"$ROUNDSMAN_IN\"; cat \"$ROUNDSMAN_IN\"/* 2>/dev/null) > \"$WORLD/seen\" 2>&1; {GOOD}"
    ))
    .await;
    world.until_green().await;
    let seen = String::from_utf8_lossy(&fs::read(world.home().join("seen")).unwrap()).into_owned();
    assert!(seen.contains("ROUNDSMAN_CALL=implement"), "{seen}");
    assert!(!seen.contains(&world.universe.token), "the agent can read the token");
    assert!(!seen.contains("ROUNDSMAN_ADO") && !seen.contains("ROUNDSMAN_KILL_SWITCH"), "{seen}");
    world.assert_once(item);
}

#[tokio::test]
async fn what_an_agent_leaves_running_is_ended() {
    let (mut world, _) = asked(&format!(
        "setsid sh -c 'while :; do date > \"'$WORLD'/alive\"; sleep 0.05; done' > /dev/null 2>&1 &\n\
         while test ! -e \"$WORLD/alive\" -o ! -e \"$WORLD/go\"; do sleep 0.05; done; {GOOD}"
    ))
    .await;
    world.until_there("alive").await;
    // Its command line names the world's directory, as long as it lives.
    let lives = |world: &World| world.orphans().iter().any(|line| line.contains("while :; do date"));
    assert!(lives(&world), "{:#?}", world.orphans());
    fs::write(world.home().join("go"), "").unwrap();
    world.until_green().await;
    assert!(!lives(&world), "{:#?}", world.orphans());
}

#[tokio::test]
async fn an_agent_that_breaks_its_repository_gets_a_fresh_one() {
    let (mut world, item) = asked(&format!(
        "if test ! -e \"$WORLD/broke\"; then touch \"$WORLD/broke\"; rm -rf .git; exit; fi; {GOOD}"
    ))
    .await;
    world.until_green().await;
    let kinds: Vec<TurnKind> = world.run().await.turns.iter().map(|turn| turn.kind).collect();
    assert_eq!(kinds, [TurnKind::Implement, TurnKind::Redispatch]);
    world.assert_once(item);
}

#[tokio::test]
async fn h06_rewritten_history_is_refused() {
    let (mut world, item) = asked(
        "git checkout -q --orphan fresh; echo x > new.txt; git add -A; git commit -q -m 'All new'; echo done",
    )
    .await;
    let told = world.until_handed(item).await;
    assert!(told.contains("history was rewritten"), "{told}");
    assert!(world.agent_branches().is_empty());
}

/// Also H10.
#[tokio::test]
async fn h05_a_commit_on_another_branch_that_asks_to_skip_checks_is_built_all_the_same() {
    let (mut world, item) = asked(
        "git checkout -q -b mine; printf 'A line.\\n' >> README.md; git add -A; \
         git commit -q -m 'Change [skip ci] ***NO_CI***'; echo done",
    )
    .await;
    let pull = world.until_green().await;
    let pull = world.universe.emulator.pull_request(pull).unwrap();
    assert_eq!(world.agent_branches(), [pull.source]);
    assert!(!pull.title.contains("[skip ci]"), "{}", pull.title);
    world.assert_once(item);
}

#[tokio::test]
async fn h11_what_is_too_large_is_refused() {
    let (mut world, item) = asked("head -c 2000000 /dev/urandom > big.bin; echo done").await;
    let told = world.until_handed(item).await;
    assert!(told.contains("big.bin") && told.contains("2000000"), "{told}");
    assert!(world.agent_branches().is_empty());
}

#[tokio::test]
async fn h11_what_is_too_much_is_refused() {
    let (mut world, item) = asked(
        "i=0; while test $i -lt 150; do echo $i > many-$i.txt; i=$((i+1)); done; ln -s /etc/passwd link; echo '*.txt filter=x' > .gitattributes",
    )
    .await;
    let told = world.until_handed(item).await;
    assert!(told.contains("152 files are changed; 100 are allowed"), "{told}");
    assert!(told.contains("symbolic link that leaves") && told.contains(".gitattributes"), "{told}");
    assert!(world.agent_branches().is_empty());
}

#[tokio::test]
async fn h07_an_agent_that_pushes_by_itself_moves_nothing() {
    let mut world = World::new().await;
    let before = world.universe.emulator.refs(&world.universe.repository);
    let url = world.universe.repository.clone_url.clone();
    world.agent(&format!(
        "printf 'x\\n' >> README.md; git add -A; git commit -qm mine; git tag v9\n\
         export GIT_TERMINAL_PROMPT=0\n\
         for how in 'HEAD:refs/heads/main --force' 'HEAD:refs/heads/elsewhere' 'v9' '--mirror'; do\n\
           git push '{url}' $how > \"$WORLD/pushed\" 2>&1 && touch \"$WORLD/succeeded\"\n\
         done; true"
    ));
    let item = world.ask().await;
    world.until_green().await;
    assert!(!world.home().join("succeeded").exists(), "it could push");
    assert!(world.home().join("pushed").exists());
    let mut after = world.universe.emulator.refs(&world.universe.repository);
    after.retain(|name, _| !name.starts_with("refs/heads/agent/") && !name.starts_with("refs/pull/"));
    assert_eq!(after, before);
    world.assert_once(item);
}

#[tokio::test]
async fn h13_a_pull_requests_text_closes_mentions_and_claims_nothing() {
    let mut world = World::new().await;
    let other = world.universe.file_item(&[]).unwrap();
    let stranger = world.universe.owner.id.clone();
    world.agent(&format!(
        "{GOOD}; echo 'Fixes #{other} and all' > \"$ROUNDSMAN_OUT/title.txt\"\n\
         printf 'Fixes #{other}. AB#{other} @<{stranger}>\\n' > \"$ROUNDSMAN_OUT/pr.md\""
    ));
    let item = world.ask().await;
    let pull = world.until_green().await;
    let shown = world.universe.emulator.pull_request(pull).unwrap();
    assert_eq!(shown.work_items, [item], "{shown:#?}");
    assert!(!shown.description.contains(&format!("@<{stranger}>")), "{}", shown.description);
    let reviewer = world.universe.reviewer.clone();
    world.universe.emulator.vote(pull, 10, &reviewer).unwrap();
    world.universe.emulator.complete(pull, "squash", &reviewer).unwrap();
    world.until_closed(item).await;
    let other = world.universe.emulator.item(other).unwrap();
    assert_eq!((other.state.as_str(), other.comments.len()), ("New", 0), "{other:#?}");
}

#[tokio::test]
async fn replies_to_threads_that_nobody_asked_about_are_not_posted() {
    let (mut world, _) = asked(&format!(
        "if test \"$ROUNDSMAN_TURN_KIND\" != respond; then {GOOD}; exit; fi\n\
         mkdir -p \"$ROUNDSMAN_OUT/replies\"; i=0\n\
         while test $i -lt 60; do echo 'I was here.' > \"$ROUNDSMAN_OUT/replies/$i.md\"; i=$((i+1)); done\n\
         echo '{{\"outcome\": 7, broken' > \"$ROUNDSMAN_OUT/outcome.json\""
    ))
    .await;
    let pull = world.until_green().await;
    let (owner, reviewer) = (world.universe.owner.clone(), world.universe.reviewer.clone());
    let emulator = world.universe.emulator.clone();
    let settled = emulator.comment_pull_request(pull, "Nice.", None, &owner).unwrap();
    emulator.set_thread_status(pull, settled, "closed").unwrap();
    let asked = emulator.comment_pull_request(pull, "Why?", None, &reviewer).unwrap();
    let bot = world.universe.bot.id.clone();
    let said = move |world: &World| -> Vec<i64> {
        let threads = world.universe.emulator.threads(pull).into_iter().filter(|thread| !thread.is_system());
        let ours = threads.flat_map(|thread| {
            let own = thread.comments.iter().filter(|comment| comment.author == bot).count();
            std::iter::repeat_n(thread.id, own)
        });
        ours.collect()
    };
    world.go(|world| !said(world).is_empty()).await;
    let _ = world.tick().await;
    assert_eq!(said(&world), [asked]);
    assert!(matches!(world.stage().await, Stage::InReview { .. }));
    world.assert_quiet().await;
}

#[tokio::test]
async fn a_long_question_arrives_whole() {
    let (mut world, item) = asked(
        "(i=0; while test $i -lt 200; do echo \"Line $i of it.\"; i=$((i+1)); done; echo 'And why?') > \"$ROUNDSMAN_OUT/question.md\"",
    )
    .await;
    let told = world.until_handed(item).await;
    assert!(told.contains("Line 0 of it.") && told.contains("And why?"), "{told}");
}

#[tokio::test]
async fn e16_a_deleted_progress_comment_stays_deleted() {
    let (mut world, item) = asked(&format!(
        "touch \"$WORLD/begun\"; while test ! -e \"$WORLD/go\"; do echo working; sleep 0.1; done; {GOOD}"
    ))
    .await;
    if !world.keeps_a_file("what is deleted is the record") {
        return;
    }
    world.until_there("begun").await;
    let shown = world.universe.emulator.item(item).unwrap();
    let ours = shown.comments.iter().find(|comment| comment.author == world.universe.bot.id).unwrap();
    let bot = world.universe.bot.clone();
    world.universe.emulator.delete_item_comment(item, ours.id, &bot).unwrap();
    fs::write(world.home().join("go"), "").unwrap();
    world.until_green().await;
    assert!(world.comments(item).is_empty(), "a person's wish: {:#?}", world.comments(item));
    world.assert_quiet().await;
}
