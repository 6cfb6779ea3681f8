//! Directs a story: programs and people act in turn until it is over, then everything that must be true is looked at.

use super::{Act, Host, Plot, Proof, Scene, Story};
use crate::cli::demo::{
    bell::Bell,
    programs::{Counts, Programs, now},
    promises::{self, Facts, Promise, Summary},
    timeline::{Event, Timeline},
    universe::Universe,
};
use jiff::SignedDuration;
use std::{collections::VecDeque, fs, io, path::Path, time::Duration};

/// The scheduler's period.
const PERIOD: Duration = Duration::from_millis(100);
/// A story that takes longer is stuck; on a slow machine it takes a tenth of this.
const LIMIT: SignedDuration = SignedDuration::from_secs(110);
/// Pauses between tries are skipped by this much, so that nobody watches a clock.
const SKIP: SignedDuration = SignedDuration::from_mins(2);

/// Plays a story to its end; whether it ended as it should and every promise was kept.
pub(in crate::cli::demo) async fn direct(
    story: Story,
    universe: Universe,
    mut programs: Programs,
    mut timeline: Timeline,
    bell: Bell,
    root: &Path,
) -> io::Result<bool> {
    let begun = now();
    let Plot { title: _, agent, settings, prepare, acts, ends, proves, forgets } = story.plot();
    let world = root.join("world");
    fs::create_dir_all(&world)?;
    let script = world.join("agent.sh");
    fs::write(&script, format!("WORLD='{}'\n{agent}", world.display()))?;
    let own = [
        ("ROUNDSMAN_AGENT_NAME", "command".to_owned()),
        ("ROUNDSMAN_AGENT_COMMAND", format!("sh '{}'", script.display())),
        ("ROUNDSMAN_AGENT_PLAN_FIRST", "no".to_owned()),
    ];
    let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned()));
    programs.vars.extend(own.into_iter().chain(settings).map(|(name, value)| (name.to_owned(), value)));
    let first = Host { vars: programs.vars.clone(), is_alive: true, forgets };
    let mut scene = Scene {
        universe,
        item: 0,
        runs: Vec::new(),
        hosts: vec![first],
        ahead: SignedDuration::ZERO,
        rounds: 0,
        world,
    };
    prepare(&scene)?;
    // A watcher that nobody has started would leave claims alone.
    round(&mut scene, &mut programs, &mut timeline).await?;
    scene.item = scene.universe.file_item(&["ready-for-agent"])?;
    let filed = format!("files work item {} and labels it ready-for-agent", scene.item);
    timeline.tell(&Event::person("product owner", filed).item(scene.item));

    let mut acts = VecDeque::from(acts);
    while now().duration_since(begun) < LIMIT && !(acts.is_empty() && ends(&scene)) {
        round(&mut scene, &mut programs, &mut timeline).await?;
        if let Some(Act { who, what, deed, .. }) = acts.pop_front_if(|act| (act.when)(&scene)) {
            timeline.tell(&Event::person(who, what.into()));
            deed(&mut scene)?;
            scene.rounds = 0;
        }
        timeline.look(&scene.universe);
        // Workers and builds are real processes; they need real time.
        tokio::time::timeout(PERIOD, std::future::pending::<()>()).await.ok();
    }
    let mut proofs = vec![match acts.front() {
        Some(act) => Proof {
            name: "played",
            kept: false,
            found: format!("it never came to: {} {}", act.who, act.what),
        },
        None => Proof { name: "played", kept: ends(&scene), found: "to its end".into() },
    }];
    proofs.extend(proves(&scene));
    // One more round in a world in which nothing happens any more.
    round(&mut scene, &mut programs, &mut timeline).await?;
    let before = scene.universe.emulator.writes();
    round(&mut scene, &mut programs, &mut timeline).await?;
    let facts = Facts {
        item: scene.item,
        idle_writes: scene.universe.emulator.writes() - before,
        rings: bell.rings(),
        said: timeline.said(),
        counts: Counts { ..programs.counts },
        wall: now().duration_since(begun),
        talk: None,
        key: None,
    };
    let mut promises: Vec<Promise> =
        proofs.into_iter().map(|Proof { name, kept, found }| Promise { name, kept, found }).collect();
    promises.extend(promises::always(&scene.universe, &programs.app().await?, &facts).await);
    let mut runs = scene.runs.clone();
    runs.sort_by_key(|run| std::cmp::Reverse(run.id));
    let summary = Summary::of(&runs, promises, &facts);
    timeline.end(&summary);
    Ok(summary.is_kept())
}

/// One invocation of both programs on every executor that is alive.
async fn round(scene: &mut Scene, programs: &mut Programs, timeline: &mut Timeline) -> io::Result<()> {
    scene.rounds += 1;
    for at in 0..scene.hosts.len() {
        let Host { vars, is_alive, forgets, .. } = &scene.hosts[at];
        if !is_alive {
            continue;
        }
        programs.vars.clone_from(vars);
        programs.ahead = scene.ahead;
        if *forgets {
            forget(vars.get("ROUNDSMAN_STATE_DIR").map(Path::new));
        }
        let mut found = programs.watch(timeline).await?;
        found.extend(programs.poll(timeline).await?);
        for run in found {
            scene.runs.retain(|known| known.id != run.id);
            scene.runs.push(run);
        }
    }
    let waits = scene.runs.iter().any(|run| !run.is_closed() && run.lost() > 0);
    if waits {
        scene.ahead += SKIP;
        scene.universe.emulator.advance(SKIP);
    }
    Ok(())
}

/// Deletes what the programs remember.
fn forget(state: Option<&Path>) {
    for name in ["runs.sqlite", "runs.sqlite-wal", "runs.sqlite-shm"] {
        // One that is not there is forgotten already.
        let _ = state.map(|state| fs::remove_file(state.join(name)));
    }
}
