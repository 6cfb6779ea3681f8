//! The straight road: one label in, one merged pull request out.

use crate::world::World;
use roundsman::domain::{Outcome, Stage};

#[tokio::test]
async fn a_labelled_item_becomes_a_merged_pull_request() {
    let world = World::new().await;
    _ = world.tick().await;
    let item = world.universe.file_item(&["ready-for-agent", "customer-x"]).unwrap();
    world.until_closed(item).await;

    assert!(matches!(world.stage().await, Stage::Closed { outcome: Outcome::Merged, .. }));
    world.assert_once(item);
    let seen = world.universe.emulator.item(item).unwrap();
    assert_eq!(seen.tags, ["customer-x"], "other people's labels stay");

    let before = world.universe.emulator.writes();
    _ = world.poll().await;
    _ = world.tick().await;
    assert_eq!(world.universe.emulator.writes(), before, "an unchanged world is not written to");
}

#[tokio::test]
async fn with_the_brake_on_the_poller_makes_no_network_call() {
    let mut world = World::new().await;
    world.universe.file_item(&["ready-for-agent"]).unwrap();
    _ = world.tick().await;
    world.universe.emulator.reset_calls();
    for brake in ["on", "", "pause", "no such word", "drain", "stop"] {
        world.set("ROUNDSMAN_KILL_SWITCH", brake);
        let report = world.poll().await;
        assert!(report.held.is_some(), "{brake}");
        assert_eq!(world.universe.emulator.calls().len(), 0, "{brake}");
    }
}
