//! What happens to the containers of a run: their engine dies, a volume is full, memory runs out. The run ends where its
//! reader looks, and nobody pays for what was not their doing.

use super::{
    own_engine::OwnEngine,
    stage::{GOOD, LONG, Stage},
};
use crate::world::{harsh::pause, line};
use roundsman::domain::{Step, TurnEnd, TurnKind};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_dies_under_an_agent_charges_nobody_and_loses_nothing() {
    let Some(mut engine) = OwnEngine::start() else { return };
    let mut stage = Stage::on(engine.host(), engine.doorway()).await;
    stage.world.set("ROUNDSMAN_INTAKE_MAX_RUNS_PER_REPOSITORY", "2");
    stage.agent(LONG);
    let item = stage.world.ask().await;
    _ = stage.until_agent_is_busy().await;
    engine.dies();

    // While it is away: said, nothing claimed, nothing lost, nothing written.
    let before = stage.world.run().await;
    let second = stage.world.universe.file_item(&["ready-for-agent"]).unwrap();
    let writes = stage.world.universe.emulator.writes();
    for _ in 0..2 {
        let poll = stage.world.program("roundsman-poller", &[]).await;
        assert_eq!(poll.code, 71, "{poll:#?}");
        let tick = stage.world.tick().await;
        let told = line(&tick, item);
        assert!(told.why.contains("executor"), "{tick:#?}");
        assert!(tick.held.as_deref().is_some_and(|why| why.contains("could not be reached")), "{tick:#?}");
        let watch = stage.world.program("roundsman-watcher", &[]).await;
        assert_eq!(watch.code, 71, "{watch:#?}");
    }
    assert_eq!(stage.world.universe.emulator.writes(), writes);
    assert!(stage.world.comments(second).is_empty());
    let meanwhile = stage.world.run().await;
    assert_eq!((&meanwhile.stage, &meanwhile.turns), (&before.stage, &before.turns));
    let owner = stage.world.universe.owner.clone();
    stage.world.universe.emulator.untag(second, "ready-for-agent", &owner).unwrap();

    engine.comes_back();
    let [workspace, out] =
        ["workspace", "t01-out"].map(|what| format!("{}:/{what}:ro", stage.object(before.id, what)));
    let kept = "test \"$(cat /workspace/wip.txt)\" = x && echo kept";
    let look = ["run", "--rm", "--network", "none", "--user", "10001:10001", "-v", &workspace, "-v", &out];
    let image = stage.world.settings().runtime.sandbox.image;
    let tail = ["--entrypoint", "/bin/sh", &image, "-ec", kept];
    assert_eq!(stage.docker(&[look.as_slice(), &tail].concat()), "kept");
    stage.agent(GOOD);
    let run = stage.merges(item).await;
    assert_eq!(run.turns[0].end, Some(TurnEnd::Lost), "{run:#?}");
    assert_eq!((run.lost(), run.spent(TurnKind::Implement), run.spent(TurnKind::Redispatch)), (1, 1, 0));
    stage.assert_bare();
}

/// A volume of the run that takes little. It is in memory, so somebody has to hold it while no step does.
fn small_volume(stage: &Stage, item: i64, what: &str, size: &str) {
    let run = format!("{item}-r{}", stage.world.universe.emulator.item(item).unwrap().rev);
    let name = stage.object(&run, what);
    let (scope, of_run) = (stage.label(), format!("io.roundsman.run={run}"));
    let options = format!("o=size={size},uid=10001,gid=10001");
    let labels = ["volume", "create", "--label", &scope, "--label", &of_run];
    let kind = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", &options, &name];
    stage.docker(&[labels.as_slice(), &kind].concat());
    let image = stage.world.settings().runtime.sandbox.image;
    let mount = format!("{name}:/held");
    let hold = ["run", "--detach", "--network", "none", "--label", &scope, "-v", &mount];
    stage.docker(&[hold.as_slice(), &["--entrypoint", "/bin/sleep", &image, "300"]].concat());
}

/// The first turn fills the volume; the second one has room.
async fn filled(what: &str, size: &str, program: &str) {
    let Some(mut stage) = Stage::new().await else { return };
    stage.agent(program);
    let item = stage.world.ask().await;
    small_volume(&stage, item, what, size);
    _ = stage.until_agent_works().await;
    while !stage.containers(Step::Agent, true).is_empty() {
        pause(50).await;
    }
    stage.agent(GOOD);
    stage.world.until_green().await;
    stage.world.assert_once(item);
    let run = stage.world.run().await;
    assert_eq!(run.turns[0].end, Some(TurnEnd::Lost), "{run:#?}");
    assert_eq!((run.lost(), run.spent(TurnKind::Implement), run.spent(TurnKind::Redispatch)), (1, 1, 0));
}

#[tokio::test]
async fn an_output_volume_that_is_full_is_nobodys_attempt() {
    filled(
        "t01-out",
        "300k",
        "sleep 1; echo x > wip.txt; head -c 1000000 /dev/zero > \"$ROUNDSMAN_OUT/full\"; exit 0",
    )
    .await;
}

#[tokio::test]
async fn a_workspace_that_is_full_is_nobodys_attempt() {
    // It has nothing to show, and ends with an error of its own.
    filled(
        "workspace",
        "2m",
        "sleep 1; head -c 4000000 /dev/zero > .git/full; echo 'cannot write' >&2; exit 3",
    )
    .await;
}

#[tokio::test]
async fn an_agent_that_eats_all_memory_is_told_to_people_as_that() {
    let Some(mut stage) = Stage::new().await else { return };
    stage.agent("perl -e '$x = \"a\" x (600 << 20); sleep 5'; exit 1");
    let item = stage.world.ask().await;
    let told = stage.world.until_handed(item).await;
    assert!(told.contains("out of memory"), "{told}");
    let run = stage.world.run().await;
    let kinds: Vec<TurnKind> = run.turns.iter().map(|turn| turn.kind).collect();
    assert_eq!(kinds, [TurnKind::Implement, TurnKind::Redispatch]);
    // Its own doing: charged, and tried once more.
    assert_eq!((run.lost(), run.spent(TurnKind::Redispatch)), (0, 1), "{run:#?}");
}

#[tokio::test]
async fn an_agent_that_kills_its_supervisor_takes_its_container_along_and_ends_with_a_person() {
    let Some(mut stage) = Stage::new().await else { return };
    stage.world.set("ROUNDSMAN_RUNTIME_RETENTION", "1h");
    // Whoever is left behind would hold the container, and write where the next turn works.
    stage.agent("(trap '' TERM HUP; sleep 300) & setsid sleep 300 & kill -KILL $PPID; sleep 300");
    let item = stage.world.ask().await;
    let told = stage.world.until_handed(item).await;
    assert!(told.contains("killed"), "{told}");
    let run = stage.world.run().await;
    assert_eq!(run.spent(TurnKind::Redispatch), 0, "{run:#?}");
    let agents = stage.containers(Step::Agent, false);
    assert!(agents.len() >= 2 && run.turns.len() == agents.len(), "tried again, not for ever: {agents:?}");
    assert_eq!(stage.containers(Step::Agent, true), [""; 0], "nothing lives on");
    assert!(stage.world.agent_branches().is_empty());
}
