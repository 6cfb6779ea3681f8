//! What every memory must do, whatever it is made of, and what this one does when its file, its disk or its process
//! fails.

use crate::world::World;
use jiff::{Timestamp, ToSpan};
use roundsman::{
    domain::{Generation, Outcome, Receiver, Revision, Run, RunId, Stage, WorkItemId},
    store::{Error, Intent, Note, Ring, RingKind, RingOutcome, RunStore, Saved, sqlite::Sqlite},
};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("in range")
}

fn fixtures() -> Vec<(PathBuf, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/runs");
    let mut all: Vec<_> = fs::read_dir(dir)
        .expect("fixtures are in the repository")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .map(|path| (path.clone(), fs::read_to_string(path).expect("readable")))
        .collect();
    all.sort();
    all
}

fn fixture(name: &str) -> Run {
    let (_, json) = fixtures().into_iter().find(|(path, _)| path.ends_with(name)).expect("a known name");
    serde_json::from_str(&json).expect("a stored run")
}

/// A claimed run; later items were claimed later.
fn run(item: u32) -> Run {
    let id = RunId { item: WorkItemId(item), revision: Revision(12) };
    Run { id, claimed_at: at(i64::from(item)), ..fixture("v1-claimed.json") }
}

fn ring(key: &str, run: &Run, second: i64) -> Ring {
    Ring {
        key: key.into(),
        kind: RingKind::NeedsHuman,
        run: run.id,
        item: run.id.item,
        title: "needs you".into(),
        text: "a question".into(),
        link: Some("https://dev.azure.com/acme".into()),
        attempts: 0,
        at: at(second),
        receiver: Receiver::Webhook,
        cause: None,
    }
}

fn note(second: i64) -> Note {
    Note { at: at(second), stage: "working".into(), text: format!("at {second}") }
}

fn keys(rings: &[Ring]) -> Vec<&str> {
    rings.iter().map(|ring| ring.key.as_str()).collect()
}

fn closed(run: &Run) -> Run {
    Run { stage: Stage::Closed { outcome: Outcome::Merged, at: at(99) }, ..run.clone() }
}

/// Which comment a run lives in is for its memory to know.
fn bare(run: Run) -> Run {
    Run { progress_comment: None, ..run }
}

async fn loaded(store: &dyn RunStore, run: RunId) -> Option<Run> {
    store.load(run).await.expect("read").map(bare)
}

async fn saved(store: &dyn RunStore, run: &Run) -> Run {
    match store.save(run, &[], None).await.expect("it can be saved") {
        Saved::Saved(generation) => {
            assert_eq!(store.settle(run.id).await.expect("settled"), Saved::Saved(generation));
            Run { generation, ..run.clone() }
        }
        Saved::Superseded => panic!("{} was superseded", run.id),
    }
}

async fn opened(store: &dyn RunStore, run: &Run) -> Run {
    match store.open(run).await.expect("it can be opened") {
        Saved::Saved(generation) => Run { generation, ..run.clone() },
        Saved::Superseded => panic!("{} was there already", run.id),
    }
}

/// The contract of [`RunStore`], on an empty memory. What a memory without a file does not keep is left out, as the trait
/// says.
async fn keeps_the_contract(store: &dyn RunStore) {
    a_run_is_opened_once_and_reads_back(store).await;
    a_save_wins_by_generation(store).await;
    an_illegal_move_saves_nothing(store).await;
    closed_runs_are_remembered_but_not_in_flight(store).await;
    if store.keeps_beats() {
        intents_wait_until_they_become_runs(store).await;
        rings_are_unique_and_wait_their_turn(store).await;
        history_is_in_order_and_bounded(store).await;
        beats_are_the_last_ones(store).await;
    } else {
        store.beat("watcher", at(1)).await.expect("harmless");
        assert_eq!(store.last_beat("watcher").await.expect("read"), None, "nobody can tell");
        a_ring_is_tried_once(store).await;
    }
}

async fn a_ring_is_tried_once(store: &dyn RunStore) {
    let run = opened(store, &run(50)).await;
    let rings = [ring("50/b", &run, 2), ring("50/a", &run, 1)];
    assert!(matches!(store.save(&run, &rings, None).await, Ok(Saved::Saved(_))));
    assert_eq!(keys(&store.due_rings(at(5), 9).await.expect("read")), ["50/a", "50/b"]);
    store.rung("50/a", RingOutcome::RetryAt(at(60))).await.expect("noted");
    assert_eq!(keys(&store.due_rings(at(99), 9).await.expect("read")), ["50/b"]);
    store.rung("50/b", RingOutcome::Delivered).await.expect("noted");
}

async fn intents_wait_until_they_become_runs(store: &dyn RunStore) {
    let intent = |item, second| Intent { run: run(item).id, nonce: format!("n{item}"), at: at(second) };
    for _ in 0..2 {
        store.intend(&intent(1, 2)).await.expect("repeating is harmless");
    }
    store.intend(&intent(2, 1)).await.expect("noted");
    store.intend(&intent(3, 3)).await.expect("noted");
    assert_eq!(
        store.intents().await.expect("read"),
        [intent(2, 1), intent(1, 2), intent(3, 3)],
        "oldest first"
    );
    store.drop_intent(run(2).id).await.expect("dropped");
    store.drop_intent(run(2).id).await.expect("dropping twice is harmless");
    let _ = opened(store, &run(1)).await;
    assert_eq!(store.intents().await.expect("read"), [intent(3, 3)]);
    store.intend(&intent(1, 9)).await.expect("noted");
    assert_eq!(store.intents().await.expect("read"), [intent(3, 3)], "what is a run is no intent");
    store.drop_intent(run(3).id).await.expect("dropped");
}

async fn a_run_is_opened_once_and_reads_back(store: &dyn RunStore) {
    let first = opened(store, &run(10)).await;
    assert_eq!(loaded(store, first.id).await, Some(first.clone()));
    let other = Run { title: "another".into(), ..run(10) };
    assert_eq!(store.open(&other).await.expect("answered"), Saved::Superseded);
    assert_eq!(loaded(store, first.id).await, Some(first), "it stays as it was");
    assert_eq!(loaded(store, run(999).id).await, None);
    assert_eq!(store.save(&run(999), &[], None).await.expect("answered"), Saved::Superseded);
    assert_eq!(loaded(store, run(999).id).await, None, "a save opens nothing");
}

async fn a_save_wins_by_generation(store: &dyn RunStore) {
    let first = opened(store, &run(20)).await;
    let mine = Run { stage: Stage::Pushed { since: at(1) }, title: "mine".into(), ..first.clone() };
    let mine = saved(store, &mine).await;
    assert!(mine.generation > first.generation);
    let theirs = Run { title: "theirs".into(), ..first };
    let late = ring("20/late", &theirs, 0);
    assert_eq!(store.save(&theirs, &[late], Some(&note(1))).await.expect("answered"), Saved::Superseded);
    assert_eq!(loaded(store, mine.id).await, Some(mine.clone()));
    if store.keeps_beats() {
        assert!(store.history(mine.id).await.expect("read").is_empty(), "no note of a save that lost");
    }
    assert!(store.due_rings(at(999), 99).await.expect("read").is_empty(), "and no ring");
}

async fn an_illegal_move_saves_nothing(store: &dyn RunStore) {
    let first = opened(store, &run(30)).await;
    let reviewed = saved(store, &Run { stage: Stage::InReview { since: at(1) }, ..first }).await;
    let back = Run { stage: Stage::Claimed, ..reviewed.clone() };
    let rings = [ring("30/back", &back, 0)];
    match store.save(&back, &rings, Some(&note(1))).await {
        Err(Error::IllegalMove { run, from, to }) => {
            assert_eq!((run, from.as_str(), to.as_str()), (back.id, "in-review", "claimed"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(loaded(store, back.id).await, Some(reviewed));
    if store.keeps_beats() {
        assert!(store.history(back.id).await.expect("read").is_empty());
    }
    assert!(store.due_rings(at(999), 99).await.expect("read").is_empty());
}

async fn closed_runs_are_remembered_but_not_in_flight(store: &dyn RunStore) {
    let first = opened(store, &run(40)).await;
    let second = opened(store, &run(41)).await;
    let over = saved(store, &closed(&first)).await;
    assert_eq!(loaded(store, over.id).await, Some(over.clone()));
    let in_flight: Vec<Run> = store.in_flight().await.expect("read").into_iter().map(bare).collect();
    assert!(in_flight.contains(&second) && !in_flight.iter().any(|run| run.id == over.id));
    assert!(in_flight.is_sorted_by_key(|run| run.id), "ordered by id");
    assert!(in_flight.iter().all(|run| run.generation > Generation::NEW));
    let recent: Vec<Run> = store.recent(2).await.expect("read").into_iter().map(bare).collect();
    assert_eq!(recent, [second, over], "newest first, closed ones too");
    assert_eq!(store.opened_since(at(40)).await.expect("read"), 2, "at or after");
    assert_eq!(store.opened_since(at(41)).await.expect("read"), 1);
}

async fn rings_are_unique_and_wait_their_turn(store: &dyn RunStore) {
    let run = opened(store, &run(50)).await;
    let rings = [ring("50/b", &run, 2), ring("50/a", &run, 1)];
    assert!(matches!(store.save(&run, &rings, None).await, Ok(Saved::Saved(_))));
    let run = store.load(run.id).await.expect("read").expect("there");
    let again = Ring { title: "again".into(), ..ring("50/a", &run, 7) };
    assert!(matches!(store.save(&run, &[again], None).await, Ok(Saved::Saved(_))), "a known key is no error");
    assert_eq!(
        store.due_rings(at(5), 9).await.expect("read"),
        [ring("50/a", &run, 1), ring("50/b", &run, 2)]
    );
    assert_eq!(keys(&store.due_rings(at(5), 1).await.expect("read")), ["50/a"]);
    assert_eq!(keys(&store.due_rings(at(1), 9).await.expect("read")), ["50/a"], "not before its time");

    store.rung("50/a", RingOutcome::RetryAt(at(60))).await.expect("noted");
    assert_eq!(keys(&store.due_rings(at(59), 9).await.expect("read")), ["50/b"]);
    let due = store.due_rings(at(60), 9).await.expect("read");
    assert_eq!((keys(&due), due[0].attempts), (vec!["50/a", "50/b"], 1));
    store.rung("50/a", RingOutcome::Delivered).await.expect("noted");
    store.rung("50/a", RingOutcome::RetryAt(at(61))).await.expect("too late to matter");
    store.rung("50/b", RingOutcome::Dropped).await.expect("noted");
    store.rung("50/unknown", RingOutcome::Delivered).await.expect("harmless");
    assert!(store.due_rings(at(9999), 9).await.expect("read").is_empty());
    let run = store.load(run.id).await.expect("read").expect("there");
    let once_more = [ring("50/a", &run, 1), ring("50/b", &run, 1)];
    assert!(matches!(store.save(&run, &once_more, None).await, Ok(Saved::Saved(_))));
    assert!(store.due_rings(at(9999), 9).await.expect("read").is_empty(), "rung once is rung for ever");
}

async fn history_is_in_order_and_bounded(store: &dyn RunStore) {
    let mut run = opened(store, &run(60)).await;
    for second in [3, 1, 2] {
        let Saved::Saved(generation) = store.save(&run, &[], Some(&note(second))).await.expect("saved")
        else {
            panic!("nobody else saves")
        };
        run.generation = generation;
    }
    let history = store.history(run.id).await.expect("read");
    assert_eq!(history, [note(3), note(1), note(2)], "as it happened, whatever the clock said");
}

async fn beats_are_the_last_ones(store: &dyn RunStore) {
    assert_eq!(store.last_beat("watcher").await.expect("read"), None);
    for second in [5, 9, 7] {
        store.beat("watcher", at(second)).await.expect("noted");
    }
    assert_eq!(
        store.last_beat("watcher").await.expect("read"),
        Some(at(7)),
        "a wrong clock hides no silence"
    );
    assert_eq!(store.last_beat("poller").await.expect("read"), None);
}

async fn open(path: &Path) -> Sqlite {
    let opened = Sqlite::open(path).await.expect("it opens");
    assert_eq!(opened.warnings, [""; 0]);
    opened.store
}

fn home() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state/runs.sqlite");
    (dir, path)
}

/// A project with items that carry our label, and a memory in them.
async fn labelled() -> World {
    let mut world = World::new().await;
    world.set("ROUNDSMAN_STORE_KIND", "labels");
    let wanted = [10, 20, 30, 40, 41, 50];
    for _ in 1..=50 {
        let item = world.universe.file_item(&[]).expect("an item");
        if wanted.contains(&item) {
            let owner = world.universe.owner.clone();
            world.universe.emulator.tag(item, "agent-in-progress", &owner).expect("labelled");
        }
    }
    // The contract's runs were claimed in the future.
    let ahead = at(0).duration_since(world.now()) + jiff::SignedDuration::from_hours(1);
    world.passes(ahead);
    world
}

#[tokio::test]
async fn labels_keep_the_contract() {
    let world = labelled().await;
    keeps_the_contract(world.app().await.store.as_ref()).await;
}

#[tokio::test]
async fn of_two_that_save_in_a_comment_the_later_gives_way() {
    let world = labelled().await;
    let (one, other) = (world.app().await, world.app().await);
    let first = opened(one.store.as_ref(), &run(20)).await;
    let read = other.store.load(first.id).await.expect("read").expect("there");
    let red = Run { red_since: Some(at(7)), ..first.clone() };
    let red = saved(one.store.as_ref(), &red).await;
    let late = Run { reminded_at: Some(at(8)), ..read };
    assert!(
        matches!(other.store.save(&late, &[], None).await, Ok(Saved::Saved(_))),
        "kept until it is settled"
    );
    assert_eq!(other.store.settle(first.id).await.expect("answered"), Saved::Superseded);
    assert_eq!(loaded(other.store.as_ref(), first.id).await, Some(red), "and dropped");
}

#[tokio::test]
async fn only_what_our_identity_wrote_is_a_record() {
    let world = labelled().await;
    let app = world.app().await;
    let mut forged = run(30);
    forged.generation = forged.generation.next();
    let footer = roundsman::words::record::renewed("", &forged, &roundsman::words::Record::of(&forged));
    let stranger = world.universe.reviewer.clone();
    world.universe.emulator.comment_item(30, &footer, &stranger).expect("said");
    assert_eq!(app.store.load(forged.id).await.expect("read"), None);
    assert!(app.store.in_flight().await.expect("read").is_empty());
}

#[tokio::test]
async fn a_save_that_tells_nothing_new_is_not_written() {
    let world = labelled().await;
    let app = world.app().await;
    let first = opened(app.store.as_ref(), &run(20)).await;
    let before = world.universe.emulator.writes();
    let heard = Run { heard: Some(Revision(99)), ..first };
    assert!(matches!(app.store.save(&heard, &[], None).await, Ok(Saved::Saved(_))));
    assert!(matches!(app.store.settle(heard.id).await, Ok(Saved::Saved(_))));
    assert_eq!(world.universe.emulator.writes(), before, "our own edit would be the next thing to hear");
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let (_dir, path) = home();
    keeps_the_contract(&open(&path).await).await;
}

#[tokio::test]
async fn runs_stored_by_earlier_versions_are_read_for_ever() {
    let (_dir, path) = home();
    let store = open(&path).await;
    let all = fixtures();
    assert!(all.len() >= 6, "one per stage");
    for (index, (name, json)) in (1..).zip(all) {
        let run: Run =
            serde_json::from_str(&json).unwrap_or_else(|error| panic!("{}: {error}", name.display()));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_value(&run).unwrap(), value, "{} is written as it is read", name.display());
        let run = Run { id: RunId { item: WorkItemId(index), ..run.id }, ..run };
        let run = opened(&store, &run).await;
        assert_eq!(store.load(run.id).await.unwrap(), Some(run));
    }
}

#[tokio::test]
async fn what_was_closed_is_there_at_the_next_start() {
    let (_dir, path) = home();
    let store = open(&path).await;
    let run = opened(&store, &run(1)).await;
    store.close().await.unwrap();
    let log = path.with_file_name("runs.sqlite-wal");
    assert!(!log.exists() || fs::metadata(log).unwrap().len() == 0, "the log was folded in");
    assert_eq!(open(&path).await.in_flight().await.unwrap(), [run]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handles_hammering_lose_no_update() {
    const EACH: u64 = 30;
    let (_dir, path) = home();
    let id = opened(&open(&path).await, &run(1)).await.id;
    let hammer = |path: PathBuf| async move {
        let store = open(&path).await;
        let mut wins = 0;
        while wins < EACH {
            let run = store.load(id).await.unwrap().unwrap();
            let note = note(i64::try_from(run.generation.0).unwrap());
            match store.save(&run, &[], Some(&note)).await.unwrap() {
                Saved::Saved(_) => wins += 1,
                Saved::Superseded => {}
            }
        }
    };
    let both = [tokio::spawn(hammer(path.clone())), tokio::spawn(hammer(path.clone()))];
    for one in both {
        one.await.unwrap();
    }
    let store = open(&path).await;
    assert_eq!(store.load(id).await.unwrap().unwrap().generation, Generation(1 + 2 * EACH));
    let notes: Vec<_> = store.history(id).await.unwrap().iter().map(|note| note.at).collect();
    let expected: Vec<_> = (1..).take(notes.len()).map(at).collect();
    assert_eq!((notes.len() as u64, notes), (2 * EACH, expected), "each generation was seen by one winner");
}

/// Set for the child process alone.
const WRITER: &str = "WRITER_THAT_IS_KILLED";

/// Not a test of its own: the process that [`a_killed_writer_leaves_whole_transactions`] kills.
#[tokio::test]
async fn writer_that_is_killed() {
    if std::env::var_os(WRITER).is_none() {
        return;
    }
    let mut path = String::new();
    std::io::stdin().read_line(&mut path).unwrap();
    let store = open(Path::new(path.trim())).await;
    let mut run = store.in_flight().await.unwrap().remove(0);
    loop {
        let number = run.generation.0;
        let ring = ring(&format!("ring-{number}"), &run, 0);
        let note = note(i64::try_from(number).unwrap());
        let Saved::Saved(generation) = store.save(&run, &[ring], Some(&note)).await.unwrap() else {
            panic!()
        };
        run.generation = generation;
        writeln!(std::io::stdout(), "\nsaved {}", generation.0).unwrap();
    }
}

#[tokio::test]
async fn a_killed_writer_leaves_whole_transactions() {
    // Few rounds with different lengths: each ends in another place of the write.
    const ROUNDS: [usize; 4] = [1, 7, 20, 41];
    let (_dir, path) = home();
    let id = opened(&open(&path).await, &run(1)).await.id;
    for lines in ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::writer_that_is_killed", "--nocapture"])
            .env(WRITER, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{}", path.display()).unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let promised: u64 = said
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("saved ")?.parse().ok())
            .nth(lines)
            .expect("the writer writes");
        // SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();

        let store = open(&path).await;
        let generation = store.load(id).await.unwrap().unwrap().generation.0;
        assert!(generation >= promised, "{generation} < {promised}: a promise was broken");
        let rings = store.due_rings(at(1), 10_000).await.unwrap().len() as u64;
        assert_eq!(rings, generation - 1, "run and rings are one transaction");
        let notes = store.history(id).await.unwrap();
        assert_eq!(
            notes.last().unwrap().at,
            at(i64::try_from(generation).unwrap() - 1),
            "and so is the note"
        );
    }
}

#[tokio::test]
async fn a_deleted_file_is_begun_anew() {
    let (_dir, path) = home();
    let store = open(&path).await;
    let _ = opened(&store, &run(1)).await;
    // The log stays: it must not be replayed into the new file.
    fs::remove_file(&path).unwrap();
    let again = open(&path).await;
    assert!(again.in_flight().await.unwrap().is_empty());
    let second = opened(&again, &run(2)).await;
    drop(store);
    drop(again);
    assert_eq!(open(&path).await.in_flight().await.unwrap(), [second]);
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let (_dir, path) = home();
    open(&path).await.close().await.unwrap();
    {
        let newer = rusqlite::Connection::open(&path).unwrap();
        newer.pragma_update(None, "user_version", 7).unwrap();
        newer.execute_batch("CREATE TABLE more (x INTEGER) STRICT").unwrap();
    }
    let before = fs::read(&path).unwrap();
    match Sqlite::open(&path).await {
        Err(Error::Newer { found: 7, known }) => assert!(known < 7),
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_file_is_put_aside_with_a_warning() {
    let (_dir, path) = home();
    open(&path).await.close().await.unwrap();
    for number in 1..=2 {
        fs::write(&path, "this is no database, and long enough to be looked at: ".repeat(100)).unwrap();
        let opened = Sqlite::open(&path).await.unwrap();
        assert_eq!(opened.warnings.len(), 1);
        assert!(
            opened.warnings[0].contains(&format!("runs.sqlite.corrupt-{number}")),
            "{:?}",
            opened.warnings
        );
        assert!(path.with_file_name(format!("runs.sqlite.corrupt-{number}")).exists());
        keeps_the_contract(&opened.store).await;
    }
}

#[tokio::test]
async fn damage_in_the_middle_is_found_after_it_was_met() {
    let (_dir, path) = home();
    let store = open(&path).await;
    for item in 1..=60 {
        let _ = opened(&store, &run(item)).await;
    }
    store.close().await.unwrap();
    // Everything after the pages that an open reads.
    let mut bytes = fs::read(&path).unwrap();
    bytes[3 * 4096..].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let store = Sqlite::open(&path).await.unwrap().store;
    let told = store.in_flight().await.unwrap_err();
    assert!(matches!(&told, Error::Unusable { detail, .. } if detail.contains("damaged")), "{told}");
    drop(store);
    let opened = Sqlite::open(&path).await.unwrap();
    assert_eq!(opened.warnings.len(), 1);
    assert!(opened.store.in_flight().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_file_that_cannot_be_ours_is_refused_in_words() {
    let (dir, path) = home();
    let told = Sqlite::open(dir.path()).await.unwrap_err();
    assert!(matches!(told, Error::Unusable { .. }), "a directory: {told}");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = fs::read(&path).unwrap();
    let told = Sqlite::open(&path).await.unwrap_err().to_string();
    assert!(told.contains("another program's database"), "{told}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn somebody_elses_long_write_is_busy_and_nothing_more() {
    let (_dir, path) = home();
    let store = open(&path).await;
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(store.beat("poller", at(1)).await, Err(Error::Busy)));
    assert_eq!(store.last_beat("poller").await.unwrap(), None, "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    store.beat("poller", at(1) + 1.second()).await.unwrap();
}

#[tokio::test]
async fn only_the_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, path) = home();
    let store = open(&path).await;
    let _ = opened(&store, &run(1)).await;
    for file in fs::read_dir(path.parent().unwrap()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{}", file.path().display());
    }
}
