//! The programs as an operator meets them: real processes, arguments, output, exit codes.

use crate::world::{World, program};

const PROGRAMS: [&str; 4] = ["roundsman", "roundsman-poller", "roundsman-watcher", "roundsman-worker"];

#[tokio::test]
async fn every_program_explains_itself() {
    for name in PROGRAMS {
        let ended = program(name, &["--help"], []).await;
        assert_eq!(ended.code, 0, "{name}: {ended:#?}");
        assert!(ended.out.to_lowercase().contains("usage"), "{name}: {ended:#?}");
        assert_eq!(ended.log, "", "{name}: what was asked for is data");
    }
    for name in &PROGRAMS[..3] {
        let ended = program(name, &["--version"], []).await;
        assert_eq!(ended.code, 0, "{name}: {ended:#?}");
        assert!(ended.out.contains(env!("CARGO_PKG_VERSION")), "{name}: {ended:#?}");
    }
}

#[tokio::test]
async fn unknown_arguments_end_with_two() {
    for name in PROGRAMS {
        let ended = program(name, &["--no-such-thing"], []).await;
        assert_eq!(ended.code, 2, "{name}: {ended:#?}");
        assert_eq!(ended.out, "", "{name}: {ended:#?}");
        assert!(!ended.log.is_empty(), "{name}");
    }
    let ended = program("roundsman", &[], []).await;
    assert_eq!(ended.code, 2, "{ended:#?}");
}

#[tokio::test]
async fn runs_are_listed_shown_and_explained() {
    let mut world = World::new().await;
    let ended = world.program("roundsman", &["ps"]).await;
    assert_eq!((ended.code, ended.out.trim()), (0, "no runs"), "{ended:#?}");
    world.agent("printf 'A line.\\n' >> README.md; echo changed");
    let item = world.ask().await;
    let pull = world.until_green().await;
    let run = world.run().await;
    let id = run.id.to_string();
    world.universe.emulator.reset_calls();

    let ended = world.program("roundsman", &["ps"]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    for word in [id.as_str(), "in-review", &format!("!{pull}"), "Fabrikam/greet", "Greet loudly"] {
        assert!(ended.out.contains(word), "{word}: {ended:#?}");
    }
    let ended = world.program("roundsman", &["ps", "--json"]).await;
    assert_eq!(ended.out.lines().count(), 1, "{ended:#?}");
    assert_eq!(ended.json()["id"], id, "{ended:#?}");
    assert_eq!(ended.json()["stage"]["stage"], "in-review", "{ended:#?}");
    let ended = world.program("roundsman", &["ps", "--all", "--json"]).await;
    assert_eq!(ended.json()["id"], id, "{ended:#?}");

    let ended = world.program("roundsman", &["show", &id]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    for word in ["stage", "in-review", &format!("agent/{id}"), "implement", "open the pull request"] {
        assert!(ended.out.contains(word), "{word}: {ended:#?}");
    }
    let ended = world.program("roundsman", &["show", &id, "--json"]).await;
    assert_eq!(ended.json()["run"]["id"], id, "{ended:#?}");
    assert!(ended.json()["history"].as_array().is_some_and(|history| history.len() > 3), "{ended:#?}");
    assert!(world.universe.emulator.calls().is_empty(), "memory needs no network");

    for what in [id.clone(), item.to_string()] {
        let ended = world.program("roundsman", &["explain", &what]).await;
        assert_eq!(ended.code, 0, "{ended:#?}");
        assert!(ended.out.starts_with("wait: all checks are green"), "{ended:#?}");
        let ended = world.program("roundsman", &["explain", &what, "--json"]).await;
        assert_eq!(ended.json()["run"], id, "{ended:#?}");
        assert_eq!(ended.json()["what"], "wait", "{ended:#?}");
    }
    assert_eq!(world.universe.emulator.writes(), 0, "looking writes nothing");

    for arguments in [["show", "4711-r12"], ["show", "nonsense"]] {
        let ended = world.program("roundsman", &arguments).await;
        assert_eq!(ended.code, 2, "{ended:#?}");
        assert!(ended.log.contains("run"), "{ended:#?}");
    }
}

#[tokio::test]
async fn a_run_in_review_is_held_and_let_go_on() {
    let mut world = World::new().await;
    world.agent("printf 'A line.\\n' >> README.md; echo changed");
    let item = world.ask().await;
    world.until_green().await;
    let id = world.run().await.id.to_string();
    let held = world.settings().policy().labels.paused;

    let ended = world.program("roundsman", &["pause", &id]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(ended.out.contains("the operator pauses it"), "{ended:#?}");
    assert!(world.tags(item).contains(&held), "{:?}", world.tags(item));

    let ended = world.program("roundsman", &["resume", &item.to_string(), "--json"]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert_eq!(ended.json()["run"], id, "{ended:#?}");
    assert!(!world.tags(item).contains(&held), "{:?}", world.tags(item));

    let ended = world.program("roundsman", &["show", &id]).await;
    for word in ["obey: the operator pauses it", "obey: the operator takes the pause off"] {
        assert!(ended.out.contains(word), "{word}: {ended:#?}");
    }
    let ended = world.program("roundsman", &["stop", "4711-r12"]).await;
    assert_eq!(ended.code, 2, "{ended:#?}");
}

#[tokio::test]
async fn settings_are_checked_without_being_told() {
    let mut world = World::new().await;
    let ended = world.program("roundsman", &["config", "check"]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(ended.out.contains("settings are complete"), "{ended:#?}");
    assert!(!ended.out.contains(&world.universe.token), "{ended:#?}");
    let ended = world.program("roundsman", &["config", "check", "--json"]).await;
    assert_eq!(ended.json()["ok"], true, "{ended:#?}");
    world.set("ROUNDSMAN_ADO_URL", "ftp://somewhere");
    let ended = world.program("roundsman", &["config", "check", "--json"]).await;
    assert_eq!(ended.code, 78, "{ended:#?}");
    assert_eq!(ended.json()["ok"], false, "{ended:#?}");
    assert!(ended.json()["problems"].to_string().contains("ROUNDSMAN_ADO_URL"), "{ended:#?}");
    assert!(world.universe.emulator.calls().is_empty());
}

#[tokio::test]
async fn the_doctor_tries_what_a_run_needs_and_writes_nothing() {
    let mut world = World::new().await;
    let _ = world.tick().await;
    let _ = world.poll().await;
    world.universe.emulator.reset_calls();
    let ended = world.program("roundsman", &["doctor"]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    for said in [
        "✓ identity: the token belongs to `roundsman`",
        "✓ project Fabrikam",
        "✓ repository Fabrikam/greet: `main` is at",
        "a policy validates pull requests",
        "✓ executor",
        "✓ watcher: last ran",
    ] {
        assert!(ended.out.contains(said), "{said}: {ended:#?}");
    }
    assert!(!ended.out.contains('✗') && !ended.out.contains(&world.universe.token), "{ended:#?}");
    assert_eq!(world.universe.emulator.writes(), 0, "looking writes nothing");

    // All that is wrong is said in one visit.
    world.universe.emulator.drop_policy(world.universe.build_policy);
    world.set("ROUNDSMAN_INTAKE_PROJECTS", "Fabrikam, Nowhere");
    world.set("ROUNDSMAN_INTAKE_REPOSITORIES", "Fabrikam/greet, Fabrikam/gone");
    let ended = world.program("roundsman", &["doctor", "--json"]).await;
    assert_eq!(ended.code, 1, "{ended:#?}");
    let found: Vec<serde_json::Value> =
        ended.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let health = |what: &str| -> Vec<&str> {
        found.iter().filter(|f| f["what"] == what).filter_map(|f| f["health"].as_str()).collect()
    };
    assert_eq!(health("project Nowhere"), ["bad"], "{found:#?}");
    assert_eq!(health("repository Fabrikam/gone"), ["bad"], "{found:#?}");
    assert_eq!(health("repository Fabrikam/greet"), ["good", "doubtful"], "{found:#?}");
    assert_eq!(health("executor"), ["good"], "{found:#?}");

    world.universe.emulator.revoke_token(&world.universe.token);
    let ended = world.program("roundsman", &["doctor"]).await;
    assert_eq!(ended.code, 1, "{ended:#?}");
    assert!(
        ended.out.contains("✗ identity") && ended.out.contains("check that the token is valid"),
        "{ended:#?}"
    );
}

#[tokio::test]
async fn the_demo_ends_with_its_summary() {
    let ended = program("roundsman", &["demo", "--json"], []).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    for line in ended.out.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    let summary = ended.json();
    assert_eq!(summary["outcome"], "merged", "{summary:#}");
    let promises = summary["promises"].as_array().expect("promises");
    assert!(promises.len() >= 8 && promises.iter().all(|promise| promise["kept"] == true), "{summary:#}");
    let events = ended.out.lines().count() - 1;
    assert!(events > 10, "{events} events");
}

/// Each story of the demo is played as a person would play it.
macro_rules! demo_stories {
    ($($test:ident: $name:literal),* $(,)?) => {$(
        #[tokio::test]
        async fn $test() {
            let ended = program("roundsman", &["demo", "--json", "--story", $name], []).await;
            let summary = ended.json();
            assert_eq!(ended.code, 0, "{summary:#}\n{}", ended.out);
            let promises = summary["promises"].as_array().expect("promises");
            assert!(promises.len() >= 6 && promises.iter().all(|promise| promise["kept"] == true), "{summary:#}");
        }
    )*

        #[tokio::test]
        async fn every_story_of_the_demo_is_played() {
            let help = program("roundsman", &["demo", "--help"], []).await;
            let listed = help.out.lines().filter_map(|line| line.trim().strip_prefix("- "));
            let known: Vec<&str> = listed.filter_map(|line| line.split(':').next()).collect();
            for name in [$($name),*] {
                assert!(known.contains(&name), "{name}: {}", help.out);
            }
            let stories = known.iter().filter(|name| ![$($name),*].contains(*name));
            let others = ["scripted", "opencode", "claude", "codex", "process", "docker"];
            assert!(stories.clone().all(|name| others.contains(name)), "not played: {:?}", stories.collect::<Vec<_>>());
        }
    };
}

demo_stories! {
    the_demo_plays_review_ping_pong: "review-ping-pong",
    the_demo_plays_a_suggestion: "suggestion",
    the_demo_plays_a_conflict: "conflict",
    the_demo_plays_a_budget_that_is_spent: "budget-spent",
    the_demo_plays_the_brake: "brake",
    the_demo_plays_a_removed_label: "label-removed",
    the_demo_plays_a_lost_memory: "lost-memory",
    the_demo_plays_a_repository_without_checks: "no-checks",
    the_demo_plays_a_flaky_build: "flaky-build",
    the_demo_plays_a_red_target: "target-red",
    the_demo_plays_a_takeover_by_a_person: "human-takeover",
    the_demo_plays_a_question: "agent-asks",
    the_demo_plays_two_clusters: "two-clusters",
    the_demo_plays_commands: "commands",
}

#[tokio::test]
async fn the_real_programs_take_an_item_to_review() {
    let mut world = World::new().await;
    // Longer than any invocation: the agent must outlive the process that started it.
    world.agent("sleep 2; printf 'A line.\\n' >> README.md; echo changed");
    let first = world.program("roundsman-watcher", &[]).await;
    assert_eq!(first.code, 0, "{first:#?}");
    let item = world.universe.file_item(&["ready-for-agent"]).unwrap();
    let mut logs = String::new();
    for _ in 0..200 {
        for name in ["roundsman-poller", "roundsman-watcher"] {
            let ended = world.program(name, &[]).await;
            assert_eq!(ended.code, 0, "{name}: {ended:#?}");
            logs += &ended.log;
        }
        let pulls = world.universe.emulator.pull_requests();
        if pulls
            .iter()
            .flat_map(|pull| &pull.checks)
            .any(|(name, status)| name == "Build" && status == "approved")
        {
            break;
        }
    }
    let run = world.run().await;
    assert!(run.pull_request.is_some(), "{run:#?}\n{logs}");
    assert_eq!(run.turns.len(), 1, "{run:#?}");
    world.assert_once(item);
    for line in logs.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("one JSON object per line");
        assert!(line["message"].is_string() && line["level"].is_string(), "{line}");
    }
    assert!(!logs.contains(&world.universe.token));
}
