//! Twins: the same program started twice in the same second, on one host and on two.

use crate::world::{
    World,
    harsh::{Program, number, pause},
};
use roundsman::domain::Stage;
use std::collections::BTreeSet;

fn rounds() -> u64 {
    number("ROUNDSMAN_STORY_ROUNDS").unwrap_or(5)
}

/// Starts all at once and returns when all have ended.
async fn together(world: &World, programs: &[(Program, &[(&str, &str)])]) {
    let mut started: Vec<_> =
        programs.iter().map(|(program, changed)| world.start_with(*program, changed)).collect();
    for invocation in &mut started {
        invocation.ends().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twins_of_both_programs_claim_push_open_and_answer_once() {
    for round in 0..rounds() {
        let world = World::new().await;
        _ = world.tick().await;
        let item = world.universe.file_item(&["ready-for-agent"]).unwrap();
        let everybody: [(Program, &[(&str, &str)]); 4] = [
            (Program::Poller, &[]),
            (Program::Watcher, &[]),
            (Program::Poller, &[]),
            (Program::Watcher, &[]),
        ];
        for _ in 0..60 {
            if world.is_closed(item) {
                break;
            }
            together(&world, &everybody).await;
            _ = world.universe.review();
            pause(10).await;
        }
        assert!(world.is_closed(item), "round {round}: {:#?}", world.runs().await);
        _ = world.tick().await;
        _ = world.tick().await;
        world.assert_survived(item).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_that_poll_in_the_same_second_make_one_claim() {
    let mut winners = BTreeSet::new();
    for round in 0..rounds() {
        let world = World::new().await;
        let hosts: Vec<(String, String)> = ["alpha", "beta"]
            .map(|host| (host.to_owned(), world.home().join(host).display().to_string()))
            .into();
        for (_, state) in &hosts {
            std::fs::create_dir_all(state).unwrap();
        }
        let vars: Vec<[(&str, &str); 2]> = hosts
            .iter()
            .map(|(host, state)| {
                [("ROUNDSMAN_RUNTIME_EXECUTOR", host.as_str()), ("ROUNDSMAN_STATE_DIR", state.as_str())]
            })
            .collect();
        // Each host's watcher has to be seen once before its poller claims.
        together(&world, &[(Program::Watcher, &vars[0]), (Program::Watcher, &vars[1])]).await;
        let item = world.universe.file_item(&["ready-for-agent"]).unwrap();
        for _ in 0..60 {
            if world.is_closed(item) {
                break;
            }
            let everybody: [(Program, &[(&str, &str)]); 4] = [
                (Program::Poller, &vars[0]),
                (Program::Poller, &vars[1]),
                (Program::Watcher, &vars[0]),
                (Program::Watcher, &vars[1]),
            ];
            together(&world, &everybody).await;
            _ = world.universe.review();
            pause(10).await;
        }
        assert!(world.is_closed(item), "round {round}");
        world.assert_once(item);
        let mut owners = Vec::new();
        for (host, state) in &hosts {
            let mut there = world.elsewhere();
            there.set("ROUNDSMAN_STATE_DIR", state);
            there.set("ROUNDSMAN_RUNTIME_EXECUTOR", host);
            _ = there.tick().await;
            let runs = there.runs().await;
            if let Some(run) = runs.first() {
                assert!(matches!(run.stage, Stage::Closed { .. }), "{runs:#?}");
                owners.push(host.clone());
            }
        }
        assert_eq!(owners.len(), 1, "round {round}: one host owns the run");
        winners.extend(owners);
    }
    println!("two hosts: won by {winners:?}");
}
