//! Intake: what an item may choose, and what happens where somebody works on it already.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::{World, line};
use roundsman::{
    ado::{Auth, Client, NewPullRequest, Options, Written},
    domain::{BranchName, Stage, WorkItemId},
    emulator::{NewItem, SeedFile, Token},
    shell::poll::{Mode, poll},
};
use std::{fs, path::Path};

const GOOD: &str = "printf 'A line.\\n' >> README.md; echo changed";

fn file(world: &World, tags: &[&str]) -> i64 {
    let item = NewItem::story("Greet loudly").tagged(tags).described("<p>Greet in capitals.</p>");
    world.universe.emulator.file_item("Fabrikam", &item, &world.universe.owner).unwrap()
}

/// What the agent's step was told, wherever the executor keeps it.
fn agent_spec(run: &Path) -> serde_json::Value {
    let mut folders = vec![run.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path.ends_with("spec.json") {
                let spec: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                if spec["agent"].is_object() {
                    return spec;
                }
            }
        }
    }
    panic!("no agent was told anything in {}", run.display());
}

#[tokio::test]
async fn what_an_item_chooses_holds_for_its_run() {
    let mut world = World::new().await;
    world.agent(GOOD);
    world.set("ROUNDSMAN_INTAKE_MODELS", "small, Large/2");
    world.set("ROUNDSMAN_INTAKE_EFFORTS", "high");
    let _ = world.tick().await;
    let item = file(&world, &["ready-for-agent", "model:large/2", "draft:yes"]);
    world.go(|world| !world.universe.emulator.pull_requests().is_empty()).await;
    let run = world.run().await;
    assert_eq!((run.choices.model.as_deref(), run.choices.draft), (Some("Large/2"), Some(true)), "{run:#?}");
    let spec = agent_spec(&world.run_dir().await);
    assert_eq!(spec["agent"]["model"], "Large/2", "{spec:#}");
    // Opened as a draft by choice is no pause by a person: it is published when it may be looked at.
    world.go(|world| !world.universe.emulator.pull_requests()[0].draft).await;
    let published =
        world.universe.emulator.calls().contains_key(&("PATCH".into(), "pull request: update".into()));
    assert!(published, "it was a draft at first");
    assert!(matches!(world.run().await.stage, Stage::InReview { .. }));
    // What is put on later chooses nothing.
    world.universe.emulator.tag(item, "model:small", &world.universe.owner).unwrap();
    let _ = world.tick().await;
    assert_eq!(world.run().await.choices.model.as_deref(), Some("Large/2"));
    world.lose_memory();
    let _ = world.tick().await;
    assert_eq!(world.run().await.choices.model.as_deref(), Some("Large/2"), "the claim's own labels tell");
    world.assert_once(item);
}

#[tokio::test]
async fn another_agent_is_called_with_its_own_words() {
    let mut world = World::new().await;
    world.agent(GOOD);
    world.set("ROUNDSMAN_INTAKE_AGENTS", "claude");
    world.set("ROUNDSMAN_AGENT_MODEL", "the-usual-one");
    let _ = world.tick().await;
    let item = file(&world, &["ready-for-agent", "agent:Claude"]);
    // There is no such program here: what it was told is what counts.
    world
        .go(|world| world.tags(item).iter().any(|tag| tag == "ready-for-human" || tag == "agent-in-progress"))
        .await;
    for _ in 0..100 {
        let _ = world.tick().await;
        let run = world.runs().await.remove(0);
        let dir = world.universe.state_dir.join("runs").join(run.id.to_string());
        if dir.join("t01/steps/agent/spec.json").exists() {
            let agent = agent_spec(&dir)["agent"].clone();
            assert_eq!(agent["name"], "claude");
            assert_eq!(agent["model"], serde_json::Value::Null, "the usual agent's model is not this one's");
            assert!(agent["hosts"].to_string().contains("anthropic"), "{agent:#}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the agent was never called: {:#?}", world.runs().await);
}

/// An opencode that keeps what it was called with, and works.
const CALLED: &str = "test \"$1\" = --version && { echo 1.0; exit; }\n\
    test \"$1\" = run || exit 0\n\
    echo \"$*\" >> \"$WORLD/called\"; printf 'A line.\\n' >> README.md\n\
    echo '{\"type\":\"step_start\",\"sessionID\":\"ses_1\",\"part\":{\"type\":\"step-start\"}}'\n\
    echo '{\"type\":\"text\",\"sessionID\":\"ses_1\",\"part\":{\"type\":\"text\",\"text\":\"Done.\"}}'\n\
    echo '{\"type\":\"step_finish\",\"sessionID\":\"ses_1\",\"part\":{\"type\":\"step-finish\",\"reason\":\"stop\",\"tokens\":{\"input\":1,\"output\":1,\"reasoning\":0,\"cache\":{\"read\":0,\"write\":0}},\"cost\":0}}'";

#[tokio::test]
async fn agent_model_and_effort_of_repository_and_labels_reach_the_call() {
    let mut world = World::new().await;
    world.opencode(CALLED);
    // The usual agent is another one, and is not called.
    world.agent("touch \"$WORLD/usual\"; exit 3");
    world.set("ROUNDSMAN_INTAKE_AGENTS", "opencode");
    world.set("ROUNDSMAN_INTAKE_MODELS", "small, large");
    world.set("ROUNDSMAN_INTAKE_EFFORTS", "low, high");
    let rules = "[agent]\nname = \"opencode\"\nmodel = \"small\"\neffort = \"low\"\n";
    let universe = world.universe.clone();
    universe
        .emulator
        .land(
            &universe.repository,
            "refs/heads/main",
            &[SeedFile::new(".roundsman.toml", rules)],
            "Rules",
            &universe.owner,
        )
        .unwrap();
    world.set("ROUNDSMAN_INTAKE_MAX_RUNS_PER_REPOSITORY", "3");
    let _ = world.tick().await;
    let rows: [(&[&str], &str); 3] = [
        (&["ready-for-agent"], "--model small --variant low"),
        (&["ready-for-agent", "effort:high"], "--model small --variant high"),
        (&["ready-for-agent", "model:large", "effort:high"], "--model large --variant high"),
    ];
    for (number, (tags, wanted)) in rows.into_iter().enumerate() {
        file(&world, tags);
        world.go(|world| world.universe.emulator.pull_requests().len() == number + 1).await;
        let called = fs::read_to_string(world.home().join("called")).unwrap();
        let called: Vec<&str> = called.lines().collect();
        assert_eq!(called.len(), number + 1, "{called:#?}");
        assert!(called[number].contains(wanted), "{called:#?}");
    }
    assert!(!world.home().join("usual").exists());
}

#[tokio::test]
async fn a_label_asks_for_no_draft_where_the_operator_usually_wants_one() {
    let mut world = World::new().await;
    world.agent(GOOD);
    world.set("ROUNDSMAN_POLICY_DRAFT", "yes");
    let _ = world.tick().await;
    file(&world, &["ready-for-agent", "draft:no"]);
    world.go(|world| !world.universe.emulator.pull_requests().is_empty()).await;
    assert!(world.sent().contains("\"isDraft\":false"), "it is opened for everybody");
    assert!(!world.sent().contains("\"isDraft\":true"));
}

#[tokio::test]
async fn what_is_not_offered_is_refused_and_told() {
    let world = World::new().await;
    let _ = world.tick().await;
    let rows = [
        (file(&world, &["ready-for-agent", "agent:claude"]), "agent:claude"),
        (file(&world, &["ready-for-agent", "model:huge"]), "model:huge"),
        (file(&world, &["ready-for-agent", "effort:max"]), "effort:max"),
        (file(&world, &["ready-for-agent", "draft:perhaps"]), "draft:perhaps"),
        (file(&world, &["ready-for-agent", "draft:yes", "draft:no"]), "choose different things"),
    ];
    for _ in 0..2 {
        let report = world.poll().await;
        for (item, label) in rows {
            assert!(line(&report, item).why.contains(label), "{report:#?}");
            let told = world.comments(item);
            assert!(told.len() == 1 && told[0].contains(label), "{told:#?}");
        }
    }
    assert!(world.runs().await.is_empty());
}

#[tokio::test]
async fn somebody_elses_work_is_not_competed_with() {
    let world = World::new().await;
    let _ = world.tick().await;
    let (emulator, repository, owner) =
        (&world.universe.emulator, &world.universe.repository, &world.universe.owner);
    let with_pull = file(&world, &["ready-for-agent"]);
    let with_branch = file(&world, &["ready-for-agent"]);
    let with_nothing = file(&world, &["ready-for-agent"]);
    let files = [SeedFile::new("theirs.txt", "x\n")];
    for branch in ["refs/heads/fix/one", "refs/heads/fix/two"] {
        emulator.push_as(repository, branch, &files, "Theirs", owner).unwrap();
    }
    emulator.issue_token(owner, Token::Pat, "the-owners-own-token");
    let theirs =
        Client::new(&emulator.url(), &Auth::Pat("the-owners-own-token".into()), Options::default()).unwrap();
    let found = theirs.repository("Fabrikam", "greet").await.unwrap().unwrap();
    let new = NewPullRequest {
        source: BranchName::new("fix/one"),
        target: BranchName::new("main"),
        title: "Theirs".into(),
        description: String::new(),
        is_draft: false,
        work_item: Some(WorkItemId(with_pull.try_into().unwrap())),
        labels: Vec::new(),
        reviewers: Vec::new(),
    };
    let Written::Done(pull) = theirs.create_pull_request(&found, &new).await else {
        panic!("no pull request")
    };
    emulator.settle();
    emulator.add_branch_link(with_branch, repository, "refs/heads/fix/two", owner).unwrap();
    // The target itself, and a branch that is not there any more, are nobody's work.
    emulator.add_branch_link(with_nothing, repository, "refs/heads/main", owner).unwrap();
    emulator.add_branch_link(with_nothing, repository, "refs/heads/gone", owner).unwrap();

    let report = poll(&world.app().await, Mode::DryRun).await;
    assert!(line(&report, with_pull).why.contains(&format!("!{} is open", pull.id)), "{report:#?}");
    assert!(line(&report, with_branch).why.contains("the branch fix/two"), "{report:#?}");
    assert_eq!(line(&report, with_nothing).what, "would-claim", "{report:#?}");
    // What was given up competes with nobody.
    emulator.abandon(pull.id.0.into(), owner).unwrap();
    let report = poll(&world.app().await, Mode::DryRun).await;
    assert_eq!(line(&report, with_pull).what, "would-claim", "{report:#?}");
}

#[tokio::test]
async fn an_earlier_pull_request_of_ours_is_given_up_for_the_new_one() {
    let mut world = World::new().await;
    world.agent(GOOD);
    let item = world.ask().await;
    let first = world.until_green().await;
    let (emulator, owner) = (world.universe.emulator.clone(), world.universe.owner.clone());
    emulator.untag(item, "agent-in-progress", &owner).unwrap();
    let _ = world.tick().await;
    emulator.tag(item, "ready-for-agent", &owner).unwrap();
    let status = |world: &World, id: i64| {
        world.universe.emulator.pull_request(id).map(|pull| pull.status).unwrap_or_default()
    };
    assert_eq!(status(&world, first), "active", "a person took the item back, not the pull request");
    // Its answer is lost: it is looked for, and the sentence is not said again.
    emulator.fault(roundsman::emulator::Fault::on("pull request: update").answer_lost());
    world.go(|world| world.universe.emulator.pull_requests().len() == 2).await;
    let _ = world.tick().await;
    assert_eq!(status(&world, first), "abandoned");
    let threads = emulator.threads(first);
    let said = threads
        .iter()
        .flat_map(|thread| &thread.comments)
        .filter(|comment| comment.text.contains("replaces this pull request"))
        .count();
    assert_eq!(said, 1, "{threads:#?}");
    let open = emulator.pull_requests().into_iter().filter(|pull| pull.status == "active").count();
    assert_eq!(open, 1);
}
