//! Intake: who may ask, what they saw, where it goes, and what people are told when nothing is taken.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::{World, line};
use roundsman::{
    emulator::{Fault, Identity, IdentityKind, NewItem, SeedFile},
    shell::{
        poll::{Mode, poll},
        report::Report,
    },
};

const GOOD: &str = "printf 'A line.\\n' >> README.md; echo changed";

/// Files a story with these labels in somebody's name.
fn file(world: &World, tags: &[&str], by: &Identity) -> i64 {
    let item = NewItem::story("Greet loudly").tagged(tags).described("<p>Greet in capitals.</p>");
    world.universe.emulator.file_item("Fabrikam", &item, by).unwrap()
}

async fn rehearse(world: &World) -> Report {
    poll(&world.app().await, Mode::DryRun).await
}

fn identity_calls(report: &Report) -> u32 {
    report.calls.get("Identities").copied().unwrap_or_default()
}

/// A watched world with room for many runs.
async fn roomy() -> World {
    let mut world = World::new().await;
    let _ = world.tick().await;
    for name in ["MAX_RUNS", "MAX_RUNS_PER_REPOSITORY", "MAX_CLAIMS_PER_POLL"] {
        world.set(&format!("ROUNDSMAN_INTAKE_{name}"), "20");
    }
    world
}

#[tokio::test]
async fn a_group_is_its_people_and_theirs_and_no_service() {
    let mut world = roomy().await;
    let emulator = world.universe.emulator.clone();
    let (owner, reviewer) = (world.universe.owner.clone(), world.universe.reviewer.clone());
    let stranger = emulator.create_identity("Stranger", "stranger@fabrikam.example", IdentityKind::Person);
    let build = emulator.create_identity("Build Service", "build@fabrikam.example", IdentityKind::Build);
    let inner = emulator.create_group("Reviewers", &[&reviewer, &build]);
    let outer = emulator.create_group("Leads", &[&inner]);
    // Groups may contain each other.
    emulator.join_group(&inner, &outer);

    let listed = file(&world, &["ready-for-agent"], &owner);
    world.set("ROUNDSMAN_INTAKE_TRUSTED", &format!("{}, group:{}", owner.id, outer.id));
    let report = rehearse(&world).await;
    assert_eq!(line(&report, listed).what, "would-claim", "{report:#?}");
    assert_eq!(identity_calls(&report), 0, "nobody asks for groups while everybody is listed");

    let member = file(&world, &["ready-for-agent"], &reviewer);
    let foreign = file(&world, &["ready-for-agent"], &stranger);
    let service = file(&world, &["ready-for-agent"], &build);
    let edited = file(&world, &["ready-for-agent"], &owner);
    emulator.edit_title(edited, "Greet even louder", &reviewer).unwrap();
    let touched = file(&world, &["ready-for-agent"], &owner);
    emulator.edit_title(touched, "Delete everything", &build).unwrap();
    for trusted in [format!("group:{}", outer.id), outer.descriptor.clone()] {
        world.set("ROUNDSMAN_INTAKE_TRUSTED", &format!("{}, {}, {trusted}", owner.id, build.id));
        let report = rehearse(&world).await;
        assert_eq!(line(&report, member).what, "would-claim", "{report:#?}");
        assert_eq!(line(&report, edited).what, "would-claim", "a member may change the text: {report:#?}");
        assert!(line(&report, foreign).why.contains("not on the list"), "{report:#?}");
        assert!(line(&report, service).why.contains("is a service"), "listed or not: {report:#?}");
        assert!(line(&report, touched).why.contains("Build Service changed its text"), "{report:#?}");
        // The group, what is in it, and what is in that: once for all candidates.
        assert_eq!(identity_calls(&report), 3, "{report:#?}");
    }

    // A group that is gone is nobody, and stops nobody else.
    world.set(
        "ROUNDSMAN_INTAKE_TRUSTED",
        &format!("{}, group:11111111-2222-3333-4444-555555555555", owner.id),
    );
    let ended = world.program("roundsman-poller", &["--dry-run"]).await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert_eq!(ended.log.matches("nobody of it is trusted").count(), 1, "{ended:#?}");
    let report = rehearse(&world).await;
    assert_eq!(line(&report, listed).what, "would-claim", "{report:#?}");
    assert_eq!(line(&report, member).what, "refused", "{report:#?}");
    assert!(emulator.unknown_requests().is_empty(), "{:#?}", emulator.unknown_requests());
}

#[tokio::test]
async fn a_label_in_somebody_elses_name_counts_for_nobody() {
    let world = roomy().await;
    let emulator = world.universe.emulator.clone();
    let owner = world.universe.owner.clone();
    let stranger = emulator.create_identity("Stranger", "stranger@fabrikam.example", IdentityKind::Person);
    let service = emulator.create_identity("Migration", "migration@fabrikam.example", IdentityKind::Build);
    let items = [&stranger, &service].map(|forger| {
        emulator.allow_bypass_rules(forger, true);
        let item = file(&world, &[], &owner);
        emulator.tag_as(item, "ready-for-agent", &owner, forger).unwrap();
        item
    });
    // By its owner, and then put on again by nobody whom anybody trusts.
    let again = file(&world, &["ready-for-agent"], &owner);
    emulator.untag(again, "ready-for-agent", &stranger).unwrap();
    emulator.tag(again, "ready-for-agent", &stranger).unwrap();
    // Whoever may label may also keep others off: a claim without a record of ours is nobody's, and for people.
    let claimed = file(&world, &["ready-for-agent"], &owner);
    emulator.tag(claimed, "agent-in-progress", &stranger).unwrap();
    let report = rehearse(&world).await;
    for item in items {
        let why = &line(&report, item).why;
        assert!(why.contains("another account"), "{report:#?}");
    }
    assert!(line(&report, again).why.contains("not on the list"), "{report:#?}");
    assert_eq!(line(&report, claimed).what, "refused", "{report:#?}");
    let _ = world.poll().await;
    let _ = world.tick().await;
    assert!(world.runs().await.is_empty());
    assert!(world.agent_branches().is_empty());
}

#[tokio::test]
async fn the_watcher_hears_the_people_of_a_group() {
    let mut world = World::new().await;
    world.agent(&format!(
        "{GOOD}; if test \"$ROUNDSMAN_TURN_KIND\" = respond; then echo heard > heard.txt; fi"
    ));
    let reviewer = world.universe.reviewer.clone();
    let group = world.universe.emulator.create_group("Reviewers", &[&reviewer]);
    let owner = world.universe.owner.id.clone();
    world.set("ROUNDSMAN_INTAKE_TRUSTED", &format!("{owner},group:{}", group.id));
    let item = world.ask().await;
    let pull = world.until_green().await;
    world.universe.emulator.comment_pull_request(pull, "Please add a file.", None, &reviewer).unwrap();
    world
        .go(|world| {
            let threads = world.universe.emulator.threads(pull);
            threads
                .iter()
                .any(|thread| thread.comments.iter().any(|said| said.author == world.universe.bot.id))
        })
        .await;
    world.assert_once(item);
}

#[tokio::test]
async fn a_refusal_is_told_once_for_each_label_and_never_by_two() {
    let mut world = roomy().await;
    let emulator = world.universe.emulator.clone();
    let owner = world.universe.owner.clone();
    let item = file(&world, &["ready-for-agent", "repo:nowhere"], &owner);
    // The first answer is lost: what was said is found, not said again.
    emulator.fault(Fault::on("work item: update").answer_lost());
    let _ = world.poll().await;
    let _ = world.poll().await;
    let elsewhere = world.elsewhere();
    let _ = tokio::join!(world.poll(), elsewhere.poll());
    assert_eq!(world.comments(item).len(), 1, "{:#?}", world.comments(item));
    assert!(world.comments(item)[0].contains("data-vss-mention"), "who labelled it is told");
    world.passes(jiff::SignedDuration::from_hours(48));
    let _ = world.tick().await;
    let _ = world.poll().await;
    assert_eq!(world.comments(item).len(), 1, "{:#?}", world.comments(item));
    // A new label is a new question.
    emulator.untag(item, "ready-for-agent", &owner).unwrap();
    emulator.tag(item, "ready-for-agent", &owner).unwrap();
    let _ = world.poll().await;
    let _ = world.poll().await;
    assert_eq!(world.comments(item).len(), 2, "{:#?}", world.comments(item));
}

#[tokio::test]
async fn what_it_waits_for_is_told_by_category_wherever_it_is() {
    let world = roomy().await;
    let emulator = world.universe.emulator.clone();
    let owner = world.universe.owner.clone();
    emulator.create_project("Second");
    let waits = |on: i64| {
        let item = file(&world, &["ready-for-agent"], &owner);
        emulator.link_predecessor(item, on, &owner).unwrap();
        item
    };
    let elsewhere = emulator.file_item("Second", &NewItem::bug("First this"), &owner).unwrap();
    let (removed, hidden, deleted) =
        (file(&world, &[], &owner), file(&world, &[], &owner), file(&world, &[], &owner));
    let rows = [(waits(elsewhere), elsewhere), (waits(hidden), hidden), (waits(deleted), deleted)];
    let after_removed = waits(removed);
    // The other direction: this one is waited for, and waits for nobody.
    let first = file(&world, &["ready-for-agent"], &owner);
    let second = waits(first);
    emulator.set_state(removed, "Removed", &owner).unwrap();
    emulator.set_unreadable(hidden, true);
    emulator.delete_item(deleted).unwrap();
    let report = rehearse(&world).await;
    for (item, on) in rows {
        assert!(line(&report, item).why.contains(&format!("waits for work item {on}")), "{report:#?}");
    }
    assert!(line(&report, second).why.contains(&format!("waits for work item {first}")), "{report:#?}");
    for item in [after_removed, first] {
        assert_eq!(line(&report, item).what, "would-claim", "{report:#?}");
    }
    emulator.set_state(elsewhere, "Closed", &owner).unwrap();
    assert_eq!(line(&rehearse(&world).await, rows[0].0).what, "would-claim");
}

#[tokio::test]
async fn a_repository_is_found_by_link_label_area_or_default_and_never_guessed() {
    let mut world = roomy().await;
    let emulator = world.universe.emulator.clone();
    let owner = world.universe.owner.clone();
    emulator.create_project("Second");
    let seed = [SeedFile::new("README.md", "x\n")];
    let shop = emulator.create_repository("Second", "shop", &seed).unwrap();
    let till = emulator.create_repository("Fabrikam", "till", &seed).unwrap();
    emulator.create_area("Fabrikam", "Fabrikam\\Till").unwrap();
    world.set("ROUNDSMAN_INTAKE_REPOSITORIES", "Fabrikam/greet,Fabrikam/till,Second/shop");
    world.set("ROUNDSMAN_INTAKE_ROUTES", "Fabrikam\\Till=Fabrikam/till");

    let usual = file(&world, &["ready-for-agent"], &owner);
    let other_project = file(&world, &["ready-for-agent", "repo:Second/Shop"], &owner);
    let linked = file(&world, &["ready-for-agent", "repo:till"], &owner);
    emulator.add_branch_link(linked, &shop, "refs/heads/main", &owner).unwrap();
    let by_area =
        NewItem { area: Some("Fabrikam\\Till".into()), ..NewItem::story("x").tagged(&["ready-for-agent"]) };
    let by_area = emulator.file_item("Fabrikam", &by_area, &owner).unwrap();
    let two_labels = file(&world, &["ready-for-agent", "repo:till", "repo:greet"], &owner);
    let two_links = file(&world, &["ready-for-agent"], &owner);
    emulator.add_branch_link(two_links, &shop, "refs/heads/main", &owner).unwrap();
    emulator.add_branch_link(two_links, &till, "refs/heads/main", &owner).unwrap();

    let report = rehearse(&world).await;
    let goes_to = |item| line(&report, item).why.rsplit(' ').next().unwrap().to_owned();
    assert_eq!(goes_to(usual), "Fabrikam/greet", "{report:#?}");
    assert_eq!(goes_to(other_project), "Second/shop", "{report:#?}");
    assert_eq!(goes_to(linked), "Second/shop", "{report:#?}");
    assert_eq!(goes_to(by_area), "Fabrikam/till", "{report:#?}");
    for (item, named) in [(two_labels, ["greet", "till"]), (two_links, ["Second/shop", "Fabrikam/till"])] {
        let why = &line(&report, item).why;
        assert!(why.contains("two repositories") && named.iter().all(|name| why.contains(name)), "{why}");
    }
}

#[tokio::test]
async fn an_item_whose_repository_is_in_another_project_is_told_where_it_is() {
    let mut world = World::new().await;
    world.agent(GOOD);
    let emulator = world.universe.emulator.clone();
    emulator.create_project("Second");
    emulator.create_repository("Second", "shop", &[SeedFile::new("README.md", "x\n")]).unwrap();
    world.set("ROUNDSMAN_INTAKE_REPOSITORIES", "Second/shop");
    let _ = world.tick().await;
    let item = file(&world, &["ready-for-agent", "repo:Second/shop"], &world.universe.owner);
    world.go(|world| !world.universe.emulator.pull_requests().is_empty()).await;
    let _ = world.tick().await;
    let told = world.comments(item);
    assert!(told.len() == 1 && told[0].contains("✓ <a") && told[0].contains("pull request !"), "{told:#?}");
    assert!(emulator.unknown_requests().is_empty(), "{:#?}", emulator.unknown_requests());
}

#[tokio::test]
async fn one_bad_repository_or_project_stops_no_other() {
    let mut world = roomy().await;
    let emulator = world.universe.emulator.clone();
    let owner = world.universe.owner.clone();
    emulator.create_repository("Fabrikam", "broken", &[SeedFile::new("a", "b")]).unwrap();
    let bad = file(&world, &["ready-for-agent", "repo:broken"], &owner);
    let good = file(&world, &["ready-for-agent"], &owner);
    emulator.fault(
        Fault::on_path("git/repositories/broken").times(99).answer(
            403,
            &[("Content-Type", "application/json")],
            r#"{"message":"TF401027: You need the Git 'GenericRead' permission.","typeKey":"GitNeedsPermissionException"}"#,
        ),
    );
    world.set("ROUNDSMAN_INTAKE_PROJECTS", "Nowhere,Fabrikam");
    let report = rehearse(&world).await;
    assert_eq!(line(&report, bad).what, "refused", "{report:#?}");
    assert_eq!(line(&report, good).what, "would-claim", "{report:#?}");
    assert_ne!(report.exit().code(), 0, "a project that cannot be searched is the operator's to mend");
}

#[tokio::test]
async fn what_about_an_item_stays_unreadable_is_told_once_and_ends_no_poll_with_an_error() {
    let world = roomy().await;
    let emulator = world.universe.emulator.clone();
    let owner = world.universe.owner.clone();
    let _ = world.tick().await;
    emulator.create_repository("Fabrikam", "closed", &[SeedFile::new("a", "b")]).unwrap();
    let closed = file(&world, &["ready-for-agent", "repo:closed"], &owner);
    let nameless = file(&world, &["ready-for-agent"], &owner);
    let json = [("Content-Type", "application/json")];
    let fault = |place: &str, status, says: &str| {
        emulator.fault(Fault::on_path(place).times(99).answer(status, &json, says));
    };
    fault(
        "git/repositories/closed",
        403,
        r#"{"message":"TF401027: You need the Git 'GenericRead' permission.","typeKey":"GitNeedsPermissionException"}"#,
    );
    // An update that does not tell who made it, and it is the one that brought the label.
    fault(
        &format!("workItems/{nameless}/updates"),
        200,
        r#"{"count":1,"value":[{"id":1,"rev":1,"revisedDate":"9999-01-01T00:00:00Z","fields":{"System.Tags":{"newValue":"ready-for-agent"}}}]}"#,
    );
    for _ in 0..3 {
        let report = world.poll().await;
        assert_eq!(report.exit().code(), 0, "{report:#?}");
        assert!(line(&report, closed).why.contains("GenericRead"), "{report:#?}");
        assert!(line(&report, nameless).why.contains("who saved it"), "{report:#?}");
    }
    for item in [closed, nameless] {
        let told = world.comments(item);
        assert!(told.len() == 1 && told[0].contains("cannot be read"), "{told:#?}");
    }
    assert!(world.comments(closed)[0].contains("data-vss-mention"), "who labelled it is told");
    // What may heal is none of it: that poll fails, and nobody is told.
    let shaky = file(&world, &["ready-for-agent"], &owner);
    fault(&format!("workItems/{shaky}/updates"), 503, "");
    let report = world.poll().await;
    assert!(line(&report, shaky).failed, "{report:#?}");
    assert_ne!(report.exit().code(), 0);
    assert!(world.comments(shaky).is_empty());
}

#[tokio::test]
async fn an_item_that_is_only_a_title_is_told_what_is_missing_and_taken_once_it_is_there() {
    let mut world = World::new().await;
    world.agent(GOOD);
    let _ = world.tick().await;
    let (emulator, owner) = (world.universe.emulator.clone(), world.universe.owner.clone());
    let new =
        NewItem::story("Make it better").tagged(&["ready-for-agent"]).described("<div><br>&nbsp;</div>");
    let item = emulator.file_item("Fabrikam", &new, &owner).unwrap();
    for _ in 0..2 {
        let report = world.poll().await;
        assert!(line(&report, item).why.contains("a title and nothing else"), "{report:#?}");
    }
    let comments = world.comments(item);
    assert_eq!(comments.len(), 1, "{comments:#?}");
    assert!(comments[0].contains("acceptance criteria"), "{comments:#?}");
    emulator.edit_description(item, "<p>Greet in capitals.</p>", &owner).unwrap();
    let report = world.poll().await;
    assert_eq!(line(&report, item).what, "claimed", "{report:#?}");
}
