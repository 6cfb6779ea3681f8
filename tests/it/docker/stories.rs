//! The road of a run with its steps in containers, told through the programs' own functions: what people see, what the
//! run remembers, and what the engine holds afterwards.

use super::{
    bench::{BASE, client, host},
    stage::{GOOD, LONG, Stage},
};
use crate::world::harsh::Program;
use jiff::SignedDuration;
use roundsman::{
    domain::{Outcome, Stage as Rung, Step, TurnEnd, TurnKind, TurnNumber},
    emulator::{Fault, Selection},
};
use std::{thread, time::Duration};

#[tokio::test]
async fn a_labelled_item_is_merged_by_containers_and_kept_as_long_as_was_asked() {
    let Some(mut stage) = Stage::new().await else { return };
    stage.world.set("ROUNDSMAN_RUNTIME_RETENTION", "1h");
    let item = stage.world.ask().await;
    stage.world.until_closed(item).await;
    stage.world.assert_once(item);
    let run = stage.world.run().await;
    assert!(matches!(run.stage, Rung::Closed { outcome: Outcome::Merged, .. }), "{run:#?}");
    let kinds: Vec<TurnKind> = run.turns.iter().map(|turn| turn.kind).collect();
    assert_eq!(kinds, [TurnKind::Implement, TurnKind::FixForward, TurnKind::Respond]);
    assert_eq!(run.lost(), 0, "{run:#?}");

    // The hour is not over.
    _ = stage.world.tick().await;
    for step in Step::ALL {
        assert_eq!(stage.containers(step, false).len(), 3, "{step}");
    }
    assert_eq!(stage.world.app().await.runtime.leftovers().await.unwrap(), [run.id]);
    stage.world.passes(SignedDuration::from_mins(59));
    _ = stage.world.tick().await;
    assert_eq!(stage.objects("container").len(), 9);
    stage.world.passes(SignedDuration::from_mins(2));
    _ = stage.world.tick().await;
    stage.assert_bare();
    stage.world.assert_survived(item).await;
}

#[tokio::test]
async fn a_suggestion_is_committed_in_the_agents_container_without_the_agent() {
    let Some(mut stage) = Stage::new().await else { return };
    stage.agent(GOOD);
    let item = stage.world.ask().await;
    let pull = stage.world.until_green().await;
    let (emulator, reviewer) = (stage.world.universe.emulator.clone(), stage.world.universe.reviewer.clone());
    let before = emulator.pull_request(pull).unwrap().head;
    let text = "```suggestion\n# Greeter\n```";
    let thread = emulator.comment_on(pull, text, Selection::line("README.md", 1), &reviewer).unwrap();
    let comments = || {
        let threads = emulator.threads(pull).into_iter();
        threads.filter(|one| one.id == thread).flat_map(|one| one.comments).collect::<Vec<_>>()
    };
    stage.world.go(|_| comments().len() == 2).await;
    let after = emulator.pull_request(pull).unwrap().head;
    assert_eq!(
        stage.world.git(&["rev-parse", &format!("{after}^")]),
        before,
        "the agent would have made another"
    );
    assert_eq!(stage.world.git(&["show", &format!("{after}:README.md")]).lines().next(), Some("# Greeter"));
    let said = format!("Your suggestion is commit {}, to the letter.", &after[..8]);
    assert!(comments()[1].text.starts_with(&said), "{:?}", comments()[1]);
    stage.world.assert_once(item);
}

#[tokio::test]
async fn an_agent_removed_by_hand_is_nobodys_attempt() {
    let Some(mut stage) = Stage::new().await else { return };
    stage.agent(LONG);
    let item = stage.world.ask().await;
    let agent = stage.until_agent_works().await;
    stage.docker(&["rm", "--force", &agent]);
    stage.agent(GOOD);
    let run = stage.merges(item).await;
    let ends: Vec<(TurnKind, bool)> =
        run.turns.iter().map(|turn| (turn.kind, turn.end == Some(TurnEnd::Lost))).collect();
    assert_eq!(ends, [(TurnKind::Implement, true), (TurnKind::Implement, false)]);
    assert_eq!((run.lost(), run.spent(TurnKind::Implement), run.spent(TurnKind::Redispatch)), (1, 1, 0));
    stage.assert_bare();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_killed_after_its_agent_worked_is_done_again_without_the_agent() {
    let Some(mut stage) = Stage::new().await else { return };
    stage.world.set("ROUNDSMAN_RUNTIME_RETENTION", "1h");
    // Long enough that nothing but publish asks the server once it has begun.
    stage.agent(&format!("sleep 1; {GOOD}"));
    let item = stage.world.ask().await;
    _ = stage.until_agent_works().await;
    let emulator = stage.world.universe.emulator.clone();
    emulator.fault(Fault::on("git: discover").times(9).slow(Duration::from_secs(4)));
    let first = stage.object(stage.world.run().await.id, "t01-publish");
    let victim = first.clone();
    let killer = thread::spawn(move || {
        for _ in 0..600 {
            let kill = ["kill", "--signal", "KILL", &victim];
            if client(host().as_deref(), &kill).is_ok() {
                return true;
            }
            thread::sleep(Duration::from_millis(50));
        }
        false
    });
    stage.world.go(|_| killer.is_finished()).await;
    assert!(killer.join().unwrap(), "publish was killed");
    let pushes = || emulator.request_log().iter().filter(|seen| seen.operation == "git: push").count();
    assert_eq!(pushes(), 0, "before its push");
    emulator.clear_faults();

    stage.world.until_green().await;
    let run = stage.world.run().await;
    let [lost, again] = &run.turns[..] else { panic!("{run:#?}") };
    assert_eq!((&lost.end, lost.work_of), (&Some(TurnEnd::Lost), None));
    assert_eq!((again.kind, again.work_of), (TurnKind::Implement, Some(TurnNumber::FIRST)));
    assert_eq!((run.lost(), run.spent(TurnKind::Implement)), (1, 1));
    assert_eq!(pushes(), 1);
    assert_eq!(stage.containers(Step::Agent, false).len(), 1, "its agent was paid once");
    let mounts = stage.docker(&[
        "inspect",
        "--format",
        "{{range .Mounts}}{{.Name}}={{.Destination}} {{end}}",
        &stage.object(run.id, "t02-publish"),
    ]);
    // In any order.
    let output = format!("{}=/out", stage.object(run.id, "t01-out"));
    assert!(mounts.split_whitespace().any(|mount| mount == output), "{mounts}");
    stage.world.assert_once(item);
}

#[tokio::test]
async fn a_repository_with_an_image_of_its_own_is_worked_on_in_it() {
    let Some(mut stage) = Stage::new().await else { return };
    stage.world.set("ROUNDSMAN_RUNTIME_RETENTION", "1h");
    stage.world.set("ROUNDSMAN_RUNTIME_IMAGES", &format!("Fabrikam/greet={BASE}"));
    // Its own worker is nowhere in that image; what there is came by the volume.
    stage.agent(&format!(
        "test ! -e /usr/local/bin/roundsman-worker && test -x /opt/roundsman/bin/worker && {GOOD}"
    ));
    let item = stage.world.ask().await;
    stage.world.until_green().await;
    stage.world.assert_once(item);
    let run = stage.world.run().await;
    let image = |step: Step| {
        let name = stage.object(run.id, &format!("t01-{step}"));
        stage.docker(&["inspect", "--format", "{{.Config.Image}}", &name])
    };
    assert_eq!(image(Step::Agent), BASE);
    assert_ne!(image(Step::Fetch), BASE);
    assert_ne!(image(Step::Publish), BASE);
    assert_eq!((run.turns.len(), run.lost()), (1, 0), "{run:#?}");
}

#[tokio::test]
async fn evidence_is_shown_from_the_engines_volume() {
    let Some(mut stage) = Stage::new().await else { return };
    stage.world.set("ROUNDSMAN_RUNTIME_RETENTION", "1h");
    stage.agent(&format!("printf 'seen by \\033[31mnobody\\n' > \"$ROUNDSMAN_OUT/plan.md\"; {GOOD}"));
    _ = stage.world.ask().await;
    stage.world.until_green().await;
    let run = stage.world.run().await.id.to_string();
    let listed = stage.world.program("roundsman", &["show", &run]).await.out;
    for file in ["t01/plan.md", "t01/evidence/01-implement.log", "t01/evidence/turn.json"] {
        assert!(listed.contains(&format!("evidence    {file}  ")), "{file}: {listed}");
    }
    let log =
        stage.world.program("roundsman", &["show", &run, "--file", "t01/evidence/01-implement.log"]).await;
    assert_eq!((log.code, log.out.trim()), (0, "changed"), "{log:#?}");
    let plan = stage.world.program("roundsman", &["show", &run, "--file", "t01/plan.md"]).await;
    assert!(plan.out.contains("seen by") && !plan.out.contains('\u{1b}'), "{plan:#?}");
    let none = stage.world.program("roundsman", &["show", &run, "--file", "t01/work.bundle"]).await;
    assert_eq!((none.code, none.out.as_str()), (2, ""), "{none:#?}");
}

/// Two machines with one engine and one memory: nothing but the engine's names keeps their containers apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_watchers_at_once_start_each_step_once() {
    let Some(mut stage) = Stage::new().await else { return };
    stage.world.set("ROUNDSMAN_RUNTIME_RETENTION", "1h");
    stage.agent(GOOD);
    let store = stage.world.settings().store.path.display().to_string();
    let other = stage.world.home().join("other");
    std::fs::create_dir_all(&other).unwrap();
    let other = other.display().to_string();
    let there = [("ROUNDSMAN_STORE_PATH", store.as_str()), ("ROUNDSMAN_STATE_DIR", other.as_str())];
    let starts = stage.starts();
    let item = stage.world.ask().await;
    let is_green = |stage: &Stage| {
        let pulls = stage.world.universe.emulator.pull_requests();
        pulls
            .iter()
            .any(|pull| pull.checks.iter().any(|(name, state)| name == "Build" && state == "approved"))
    };
    for _ in 0..60 {
        if is_green(&stage) {
            break;
        }
        let mut programs = [
            stage.world.start(Program::Poller),
            stage.world.start(Program::Watcher),
            stage.world.start_with(Program::Watcher, &there),
        ];
        for program in &mut programs {
            program.ends().await;
        }
    }
    assert!(is_green(&stage), "{:#?}", stage.world.runs().await);
    let starts = starts.end();
    let run = stage.world.run().await;
    assert_eq!(starts.len(), run.turns.len() * 3, "{starts:#?}\n{run:#?}");
    assert!(starts.values().all(|starts| *starts == 1), "{starts:#?}");
    let pushes = stage.world.universe.emulator.request_log();
    assert_eq!(pushes.iter().filter(|seen| seen.operation == "git: push").count(), 1);
    assert_eq!((run.turns.len(), run.lost()), (1, 0), "{run:#?}");
    stage.world.assert_once(item);
}
