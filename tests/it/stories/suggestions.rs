//! Reviewers who write down the very lines: committed to the letter, or left to the agent with the reason.

use crate::world::World;
use roundsman::{
    domain::TurnKind,
    emulator::{Fault, Identity, SeedFile, Selection},
};
use std::fs;

/// Tells which calls were made, keeps the brief of the newest turn, and changes a file of its own in each turn.
const NOTING: &str = "echo \"$ROUNDSMAN_TURN_KIND $ROUNDSMAN_CALL\" >> \"$WORLD/calls\"\n\
    cp \"$ROUNDSMAN_BRIEF\" \"$WORLD/brief\"; mkdir -p \"$ROUNDSMAN_OUT/replies\"\n\
    test \"$ROUNDSMAN_TURN_KIND\" = implement && printf 'A line.\\n' >> README.md\n\
    echo changed\n";
/// Answers the threads of which the story told.
const ANSWERS: &str = "for thread in $(cat \"$WORLD/threads\" 2> /dev/null); do\n\
    echo 'Done so.' > \"$ROUNDSMAN_OUT/replies/$thread.md\"; done\n";
const FIRST: &str = "```suggestion\n# Greeter\n```";

fn suggests(world: &World, pull: i64, text: &str, lines: (u32, u32), by: &Identity) -> i64 {
    let selected = Selection { file: "README.md", lines, columns: None };
    world.universe.emulator.comment_on(pull, text, selected, by).unwrap()
}

/// What we said in a thread.
fn ours(world: &World, pull: i64, id: i64) -> Vec<String> {
    let thread = world.universe.emulator.threads(pull).into_iter().find(|thread| thread.id == id).unwrap();
    let own = thread.comments.into_iter().filter(|c| c.author == world.universe.bot.id && !c.deleted);
    own.map(|c| c.text).collect()
}

fn head(world: &World, pull: i64) -> String {
    world.universe.emulator.pull_request(pull).unwrap().head
}

/// Subjects between two commits, oldest first.
fn subjects(world: &World, from: &str, to: &str) -> Vec<String> {
    let log = world.git(&["log", "--reverse", "--format=%s", &format!("{from}..{to}")]);
    log.lines().map(str::to_owned).collect()
}

fn told(world: &World, file: &str) -> String {
    fs::read_to_string(world.home().join(file)).unwrap()
}

async fn kinds(world: &World) -> Vec<TurnKind> {
    world.run().await.turns.iter().map(|turn| turn.kind).collect()
}

#[tokio::test]
async fn a_suggestion_alone_is_a_commit_and_no_call_of_the_agent() {
    let (mut world, item, pull) = World::in_review(NOTING).await;
    let (reviewer, before) = (world.universe.reviewer.clone(), head(&world, pull));
    let thread = suggests(&world, pull, FIRST, (1, 1), &reviewer);
    world.go(|world| ours(world, pull, thread).len() == 1).await;

    let after = head(&world, pull);
    assert_eq!(world.git(&["rev-parse", &format!("{after}^")]), before, "one commit");
    let changed = world.git(&["diff", "--numstat", &before, &after]);
    assert_eq!(changed, "1\t1\tREADME.md");
    assert_eq!(world.git(&["show", &format!("{after}:README.md")]).lines().next(), Some("# Greeter"));
    let message = world.git(&["log", "-1", "--format=%an: %B", &after]);
    let suggested = format!("Apply a suggestion to README.md\n\nSuggested-by: {}\n", reviewer.display_name);
    assert!(message.contains(&suggested) && message.contains("Agent-Turn: 2"), "{message}");
    let said = ours(&world, pull, thread);
    assert!(
        said[0].starts_with(&format!("Your suggestion is commit {}, to the letter.", &after[..8])),
        "{said:?}"
    );
    assert!(!said[0].contains("The agent writes"), "{said:?}");

    assert_eq!(told(&world, "calls"), "implement implement\n", "nobody else was asked");
    assert_eq!(kinds(&world).await, [TurnKind::Implement, TurnKind::Respond]);
    let _ = world.until_green().await;
    world.assert_quiet().await;
    world.assert_once(item);
}

#[tokio::test]
async fn suggestions_are_committed_one_by_one_and_the_agent_answers_the_rest() {
    let own = "test \"$ROUNDSMAN_TURN_KIND\" = respond && echo more >> NOTES.md; true\n";
    let (mut world, item, pull) = World::in_review(&format!("{NOTING}{ANSWERS}{own}")).await;
    // What a planning call changes is undone, but not what people suggested.
    world.set("ROUNDSMAN_AGENT_PLAN_FIRST", "yes");
    let (reviewer, owner) = (world.universe.reviewer.clone(), world.universe.owner.clone());
    let before = head(&world, pull);
    let lines = world.git(&["show", &format!("{before}:README.md")]).lines().count();
    let last = u32::try_from(lines).unwrap();
    let longer = "Like this:\n```suggestion\n# Greeter\n\nIn short.\n```";
    let top = suggests(&world, pull, longer, (1, 1), &reviewer);
    let end = suggests(&world, pull, "```suggestion\nB line.\nC line.\n```", (last, last), &owner);
    let asked =
        world.universe.emulator.comment_pull_request(pull, "And notes, please.", None, &owner).unwrap();
    fs::write(world.home().join("threads"), format!("{top}\n{asked}\n")).unwrap();
    world.go(|world| [top, end, asked].iter().all(|thread| ours(world, pull, *thread).len() == 1)).await;

    let after = head(&world, pull);
    let suggestion = "Apply a suggestion to README.md";
    let made = subjects(&world, &before, &after);
    assert_eq!(made[..2], [suggestion, suggestion], "{made:?}");
    assert_eq!(made.len(), 3, "the agent's own comes last: {made:?}");
    let readme = world.git(&["show", &format!("{after}:README.md")]);
    assert!(
        readme.starts_with("# Greeter\n\nIn short.\n") && readme.ends_with("\nB line.\nC line."),
        "{readme}"
    );
    assert_eq!(readme.lines().count(), lines + 3, "{readme}");
    let by =
        world.git(&["log", "--reverse", "--format=%H %(trailers:only)%b", &format!("{before}..{after}")]);
    let commit_of = |person: &Identity| {
        let log = world.git(&[
            "log",
            "--format=%h",
            "--abbrev=8",
            &format!("--grep=Suggested-by: {}", person.display_name),
            &after,
        ]);
        assert_eq!(log.lines().count(), 1, "{by}");
        log
    };
    let said = |thread| ours(&world, pull, thread).remove(0);
    assert!(
        said(top).starts_with(&format!("Your suggestion is commit {}", commit_of(&reviewer))),
        "{}",
        said(top)
    );
    assert!(said(top).contains("> Done so."), "{}", said(top));
    assert!(
        said(end).starts_with(&format!("Your suggestion is commit {}", commit_of(&owner))),
        "{}",
        said(end)
    );
    assert!(said(asked).starts_with(&format!("Commit {} answers this.", &after[..8])), "{}", said(asked));

    let brief = told(&world, "brief");
    assert!(brief.contains("Comment 1 is a suggested change:** replace line 1 of `README.md`"), "{brief}");
    assert!(brief.contains("These are committed already, to the letter."), "{brief}");
    assert!(
        brief.contains(&format!("- thread {top}, comment 1: commit {}", commit_of(&reviewer))),
        "{brief}"
    );
    let _ = world.until_green().await;
    world.assert_quiet().await;
    world.assert_once(item);
}

#[tokio::test]
async fn what_is_not_as_the_reviewer_saw_it_is_the_agents() {
    let busy = "if test \"$ROUNDSMAN_TURN_KIND\" = respond; then\n\
        touch \"$WORLD/begun\"; while test ! -e \"$WORLD/go\"; do echo working; sleep 0.1; done\n\
        printf 'Another line.\\n' >> README.md; fi\n";
    let (mut world, item, pull) = World::in_review(&format!("{NOTING}{ANSWERS}{busy}")).await;
    let (reviewer, before) = (world.universe.reviewer.clone(), head(&world, pull));
    let first =
        world.universe.emulator.comment_pull_request(pull, "One more line.", None, &reviewer).unwrap();
    fs::write(world.home().join("threads"), format!("{first}\n")).unwrap();
    world.until_there("begun").await;
    let suggested = suggests(&world, pull, FIRST, (1, 1), &reviewer);
    fs::write(world.home().join("threads"), format!("{first}\n{suggested}\n")).unwrap();
    fs::write(world.home().join("go"), "").unwrap();
    world.go(|world| ours(world, pull, suggested).len() == 1).await;
    let brief = told(&world, "brief");
    let why =
        format!("- thread {suggested}, comment 1: the file is not what the reviewer looked at any more");
    assert!(brief.contains(&why) && !brief.contains("These are committed already"), "{brief}");
    let made = subjects(&world, &before, &head(&world, pull));
    assert!(!made.iter().any(|subject| subject.contains("suggestion")), "{made:?}");
    assert!(ours(&world, pull, suggested)[0].contains("answers this"));
    world.assert_once(item);
}

#[tokio::test]
async fn half_a_line_is_a_matter_of_judgement() {
    let own = "test \"$ROUNDSMAN_TURN_KIND\" = respond && echo more >> NOTES.md; true\n";
    let (mut world, item, pull) = World::in_review(&format!("{NOTING}{ANSWERS}{own}")).await;
    let (reviewer, before) = (world.universe.reviewer.clone(), head(&world, pull));
    let selected = Selection { file: "README.md", lines: (1, 1), columns: Some((3, 6)) };
    let thread = world.universe.emulator.comment_on(pull, FIRST, selected, &reviewer).unwrap();
    fs::write(world.home().join("threads"), format!("{thread}\n")).unwrap();
    world.go(|world| ours(world, pull, thread).len() == 1).await;
    assert!(told(&world, "brief").contains("comment 1: only a part of the lines was selected"));
    assert_eq!(told(&world, "calls"), "implement implement\nrespond implement\n");
    let made = subjects(&world, &before, &head(&world, pull));
    assert!(made.len() == 1 && !made[0].contains("suggestion"), "{made:?}");
    world.assert_once(item);
}

#[tokio::test]
async fn what_only_people_change_is_not_committed_for_a_suggestion() {
    let mut world = World::new().await;
    let files = [SeedFile::new(".roundsman.toml", "[paths]\nprotected = [\"README.md\"]\n")];
    let (repository, owner) = (world.universe.repository.clone(), world.universe.owner.clone());
    world.universe.emulator.land(&repository, "refs/heads/main", &files, "Rules", &owner).unwrap();
    let own = "test \"$ROUNDSMAN_TURN_KIND\" = implement && git checkout -q README.md && echo more >> NOTES.md; true\n";
    let (item, pull) = world.brings_to_review(&format!("{NOTING}{ANSWERS}{own}")).await;
    let (reviewer, before) = (world.universe.reviewer.clone(), head(&world, pull));
    let thread = suggests(&world, pull, FIRST, (1, 1), &reviewer);
    fs::write(world.home().join("threads"), format!("{thread}\n")).unwrap();
    world.go(|world| ours(world, pull, thread).len() == 1).await;
    assert!(
        told(&world, "brief").contains("comment 1: only people change this file"),
        "{}",
        told(&world, "brief")
    );
    assert!(ours(&world, pull, thread)[0].starts_with("No change was made for this."));
    assert_eq!(head(&world, pull), before);
    world.assert_quiet().await;
    world.assert_once(item);
}

#[tokio::test]
async fn a_suggestion_that_breaks_the_checks_is_repaired_by_the_agent() {
    let mut world = World::new().await;
    let check = "! grep '^# Greeter$' README.md || test -e NOTES.md\n";
    let files = [SeedFile::new("src/scripts/code-checks.sh", check)];
    let (repository, owner) = (world.universe.repository.clone(), world.universe.owner.clone());
    world.universe.emulator.land(&repository, "refs/heads/main", &files, "A check", &owner).unwrap();
    let own = "test \"$ROUNDSMAN_CALL\" = repair && echo more >> NOTES.md; true\n";
    let (item, pull) = world.brings_to_review(&format!("{NOTING}{own}")).await;
    let (reviewer, before) = (world.universe.reviewer.clone(), head(&world, pull));
    let thread = suggests(&world, pull, FIRST, (1, 1), &reviewer);
    world.go(|world| ours(world, pull, thread).len() == 1).await;
    assert_eq!(told(&world, "calls"), "implement implement\nrespond repair\n");
    let brief = told(&world, "brief");
    assert!(
        brief.contains("`code-checks.sh` fails") && brief.contains("These are committed already"),
        "{brief}"
    );
    let made = subjects(&world, &before, &head(&world, pull));
    assert_eq!(made.len(), 2, "{made:?}");
    world.assert_once(item);
}

#[tokio::test]
async fn a_suggestion_is_one_commit_whatever_is_lost() {
    for fault in [
        Fault::on("pull request: iterations").lost(),
        Fault::on("pull request: iterations").unavailable(),
        Fault::on("thread comment: add").answer_lost(),
        Fault::on("thread comment: add").lost(),
    ] {
        let name = format!("{fault:?}");
        let (mut world, item, pull) = World::in_review(NOTING).await;
        let (reviewer, before) = (world.universe.reviewer.clone(), head(&world, pull));
        world.universe.emulator.fault(fault);
        let thread = suggests(&world, pull, FIRST, (1, 1), &reviewer);
        world.go(|world| head(world, pull) != before).await;
        world.lose_memory();
        world.go(|world| ours(world, pull, thread).len() == 1).await;
        let after = head(&world, pull);
        assert_eq!(subjects(&world, &before, &after).len(), 1, "{name}");
        let said = ours(&world, pull, thread);
        assert!(
            said[0].starts_with(&format!("Your suggestion is commit {}", &after[..8])),
            "{name}: {said:?}"
        );
        let _ = world.until_green().await;
        world.assert_quiet().await;
        world.assert_once(item);
    }
}

#[tokio::test]
async fn a_turn_that_is_lost_commits_the_same_again() {
    let dies = "if test \"$ROUNDSMAN_TURN_KIND\" != implement && test ! -e \"$WORLD/died\"; then\n\
        touch \"$WORLD/died\"; kill -9 $$; fi\n\
        test -e \"$WORLD/died\" && echo more >> NOTES.md; true\n";
    let (mut world, item, pull) = World::in_review(&format!("{NOTING}{ANSWERS}{dies}")).await;
    let (reviewer, before) = (world.universe.reviewer.clone(), head(&world, pull));
    let thread = suggests(&world, pull, &format!("Shorter:\n{FIRST}"), (1, 1), &reviewer);
    fs::write(world.home().join("threads"), format!("{thread}\n")).unwrap();
    world.go(|world| ours(world, pull, thread).len() == 1).await;
    let made = subjects(&world, &before, &head(&world, pull));
    assert_eq!(made.len(), 2, "the suggestion once, and the agent's own: {made:?}");
    assert_eq!(made[0], "Apply a suggestion to README.md");
    assert_eq!(told(&world, "calls").lines().count(), 3);
    world.assert_once(item);
}
