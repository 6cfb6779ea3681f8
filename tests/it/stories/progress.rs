//! The one progress comment of a run, as people see it.

use crate::world::World;
use roundsman::words::Marker;

/// A change that passes all checks.
const GOOD: &str = "printf 'A line.\\n' >> README.md";

fn comment(world: &World, item: i64) -> String {
    world
        .comments(item)
        .into_iter()
        .find(|text| Marker::find(text).is_some())
        .expect("a comment with a marker")
}

#[tokio::test]
async fn the_plan_stands_in_the_progress_comment_folded_up() {
    let mut world = World::new().await;
    world.agent(&format!(
        "{{ echo '1. Look at <script>x</script> and #12.'; echo '2. Add a line.'; head -c 9000 /dev/zero | tr '\\0' x; }} > \"$ROUNDSMAN_OUT/plan.md\"\n{GOOD}"
    ));
    let item = world.ask().await;
    world.until_green().await;
    let text = comment(&world, item);
    let (_, plan) = text.split_once("<details><summary>The agent's plan</summary>").expect("a plan");
    let (plan, _) = plan.split_once("</details>").expect("an end");
    assert!(
        plan.contains("&lt;script&gt;x&lt;/script&gt; and # 12.") && plan.contains("2. Add a line."),
        "{plan}"
    );
    assert!((2_000..2_400).contains(&plan.len()), "{}", plan.len());
    world.assert_quiet().await;
    assert_eq!(comment(&world, item), text);
    world.lose_memory();
    world.assert_quiet().await;
    assert_eq!(comment(&world, item), text, "the worker tells it again");
}

#[tokio::test]
async fn without_a_plan_there_is_no_word_of_one() {
    let mut world = World::new().await;
    world.agent(GOOD);
    let item = world.ask().await;
    world.until_green().await;
    assert!(!comment(&world, item).contains("plan"), "{}", comment(&world, item));
}

/// What only programs read frightens nobody.
#[tokio::test]
async fn what_programs_need_is_folded_up() {
    let mut world = World::new().await;
    world.agent(GOOD);
    let item = world.ask().await;
    world.until_green().await;
    let text = comment(&world, item);
    let (shown, folded) = text.split_once("<details><summary>For programs").expect("something folded");
    let longest = shown.split_whitespace().map(str::len).max().unwrap_or_default();
    assert!(longest < 120, "words that people can read: {shown}");
    assert!(folded.contains(" record 1.") && folded.ends_with("</p></details>"), "{folded}");
}

/// No document says that the service keeps what folds text up. Where it does not, everything goes on.
#[tokio::test]
async fn a_service_that_folds_nothing_up_changes_nothing_else() {
    let world = World::new().await;
    world.universe.emulator.set_folding(false);
    _ = world.tick().await;
    let item = world.universe.file_item(&["ready-for-agent"]).expect("an item");
    world.until_closed(item).await;
    let text = comment(&world, item);
    assert!(!text.contains("<details>") && text.contains(" record 1."), "{text}");
    world.assert_once(item);
    world.assert_quiet().await;
}
