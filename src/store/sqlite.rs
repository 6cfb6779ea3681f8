//! Runs remembered in one `SQLite` file, shared by the poller and the watcher of one executor.
//!
//! All calls leave the async threads; every write is one `BEGIN IMMEDIATE` transaction, so that a lock is won at the
//! start or not at all. A run is one JSON text beside the columns that are searched. How the file is opened, migrated
//! and put aside is in [`open`]. No decision is made here, except to refuse what cannot be a run's next stage.

mod open;

use super::{Error, Intent, Note, Ring, RingOutcome, RunStore, Saved};
use crate::domain::{Generation, Revision, Run, RunId, Stage, WorkItemId};
use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The file, open.
#[derive(Clone, Debug)]
pub struct Sqlite {
    connection: Arc<Mutex<Connection>>,
    path: PathBuf,
}

/// What opening the file came to.
#[derive(Debug)]
pub struct Opened {
    /// The memory.
    pub store: Sqlite,
    /// What an operator should know, one sentence each: a damaged file was put aside.
    pub warnings: Vec<String>,
}

/// Notes kept per run. A long run has a few dozen; a flapping one must not fill the disk.
const MOST_NOTES: u32 = 500;

impl Sqlite {
    /// Opens the file, and makes it when it is not there. Blocks only a blocking thread.
    pub async fn open(path: &Path) -> Result<Opened, Error> {
        let path = path.to_owned();
        blocking(move || {
            let (connection, warnings) = open::open(&path)?;
            Ok(Opened { store: Self { connection: Arc::new(Mutex::new(connection)), path }, warnings })
        })
        .await
    }

    /// Folds the write-ahead log into the file. Not needed for safety: the next open would do it.
    pub async fn close(self) -> Result<(), Error> {
        self.call(|connection| {
            // Whoever else has the file open folds it later; nobody waits for that.
            connection.busy_timeout(Duration::ZERO)?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok(())
        })
        .await
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let Self { connection, path } = self.clone();
        blocking(move || {
            // A panic in the middle of a transaction has rolled it back; the connection is as good as before.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection).map_err(|failure| failure.at(&path))
        })
        .await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        self.call(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = work(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        })
        .await
    }
}

#[async_trait]
impl RunStore for Sqlite {
    async fn intend(&self, intent: &Intent) -> Result<(), Error> {
        let Intent { run, nonce, at } = intent.clone();
        self.write(move |t| {
            t.prepare_cached(
                "INSERT OR IGNORE INTO intents (item, revision, nonce, at) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![run.item.0, run.revision.0, nonce, nanos(at)])?;
            Ok(())
        })
        .await
    }

    async fn intents(&self) -> Result<Vec<Intent>, Error> {
        self.call(|c| {
            let sql = "SELECT item, revision, nonce, at FROM intents i WHERE NOT EXISTS
                       (SELECT 1 FROM runs r WHERE r.item = i.item AND r.revision = i.revision)
                       ORDER BY at, item, revision, nonce";
            let intent = |row: &Row<'_>| {
                let run = RunId { item: WorkItemId(row.get(0)?), revision: Revision(row.get(1)?) };
                Ok(Intent { run, nonce: row.get(2)?, at: moment(row.get(3)?) })
            };
            Ok(c.prepare_cached(sql)?.query_map([], intent)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn drop_intent(&self, run: RunId) -> Result<(), Error> {
        self.write(move |t| forget_intents(t, run)).await
    }

    async fn open(&self, run: &Run) -> Result<Saved, Error> {
        let run = run.clone();
        self.write(move |t| {
            forget_intents(t, run.id)?;
            let first = Generation::NEW.next();
            let sql = "INSERT OR IGNORE INTO runs
                       (item, revision, repository_id, stage, closed, opened_at, generation, run)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            let inserted = t.prepare_cached(sql)?.execute(params![
                run.id.item.0,
                run.id.revision.0,
                run.repository.id,
                run.stage.word(),
                run.is_closed(),
                nanos(run.claimed_at),
                to_column(first),
                to_json(&run),
            ])?;
            Ok(if inserted == 1 { Saved::Saved(first) } else { Saved::Superseded })
        })
        .await
    }

    async fn load(&self, run: RunId) -> Result<Option<Run>, Error> {
        self.call(move |c| stored(c, run)).await
    }

    async fn in_flight(&self) -> Result<Vec<Run>, Error> {
        self.call(|c| {
            let sql = "SELECT run, generation FROM runs WHERE closed = 0 ORDER BY item, revision";
            c.prepare_cached(sql)?.query_map([], columns)?.map(|row| from_columns(row?)).collect()
        })
        .await
    }

    async fn recent(&self, limit: u32) -> Result<Vec<Run>, Error> {
        self.call(move |c| {
            let sql = "SELECT run, generation FROM runs
                       ORDER BY opened_at DESC, item DESC, revision DESC LIMIT ?1";
            c.prepare_cached(sql)?.query_map([limit], columns)?.map(|row| from_columns(row?)).collect()
        })
        .await
    }

    async fn of_item(&self, item: WorkItemId) -> Result<Vec<Run>, Error> {
        self.call(move |c| {
            let sql = "SELECT run, generation FROM runs WHERE item = ?1 ORDER BY revision";
            c.prepare_cached(sql)?.query_map([item.0], columns)?.map(|row| from_columns(row?)).collect()
        })
        .await
    }

    async fn worked_since(&self, since: Timestamp) -> Result<Vec<Run>, Error> {
        self.call(move |c| {
            // Texts of times compare like times up to the second; what ends within it is one run too many.
            let second = since.strftime("%Y-%m-%dT%H:%M:%S").to_string();
            let sql = "SELECT run, generation FROM runs WHERE opened_at >= ?1 OR EXISTS
                       (SELECT 1 FROM json_each(run, '$.turns') turn
                        WHERE turn.value ->> 'at' >= ?2 OR turn.value ->> 'ended_at' >= ?2)
                       ORDER BY item, revision";
            c.prepare_cached(sql)?
                .query_map(params![nanos(since), second], columns)?
                .map(|row| from_columns(row?))
                .collect()
        })
        .await
    }

    async fn save(&self, run: &Run, rings: &[Ring], note: Option<&Note>) -> Result<Saved, Error> {
        let (run, rings, note) = (run.clone(), rings.to_vec(), note.cloned());
        self.write(move |t| {
            // A run that is gone was lost together with the file; the next tick finds it in the world again.
            let Some(before) = stored(t, run.id)? else { return Ok(Saved::Superseded) };
            if before.generation != run.generation {
                return Ok(Saved::Superseded);
            }
            if !before.stage.can_become(&run.stage) {
                let (from, to) = (before.stage.word().to_owned(), run.stage.word().to_owned());
                return Err(Error::IllegalMove { run: run.id, from, to }.into());
            }
            let next = run.generation.next();
            let sql = "UPDATE runs SET repository_id = ?3, stage = ?4, closed = ?5, generation = ?6, run = ?7
                       WHERE item = ?1 AND revision = ?2";
            t.prepare_cached(sql)?.execute(params![
                run.id.item.0,
                run.id.revision.0,
                run.repository.id,
                run.stage.word(),
                run.is_closed(),
                to_column(next),
                to_json(&run),
            ])?;
            for ring in &rings {
                put_into_outbox(t, ring)?;
            }
            if let Some(note) = &note {
                add_note(t, run.id, note)?;
            }
            Ok(Saved::Saved(next))
        })
        .await
    }

    async fn settle(&self, run: RunId) -> Result<Saved, Error> {
        // Every save is durable when it returns.
        let generation = self.load(run).await?.map_or(Generation::NEW, |run| run.generation);
        Ok(Saved::Saved(generation))
    }

    fn says(&self, _: RunId, _: &str) -> bool {
        false
    }

    async fn foretell(&self, run: &Run, _: &Stage) -> Result<Saved, Error> {
        // The save that follows the write tells it; a crash in between is told by the world.
        Ok(Saved::Saved(run.generation))
    }

    async fn opened_since(&self, since: Timestamp) -> Result<u32, Error> {
        self.call(move |c| {
            let sql = "SELECT count(*) FROM runs WHERE opened_at >= ?1";
            Ok(c.prepare_cached(sql)?.query_row([nanos(since)], |row| row.get(0))?)
        })
        .await
    }

    async fn history(&self, run: RunId) -> Result<Vec<Note>, Error> {
        self.call(move |c| {
            let sql = "SELECT at, stage, text FROM notes WHERE item = ?1 AND revision = ?2 ORDER BY number";
            let note =
                |row: &Row<'_>| Ok(Note { at: moment(row.get(0)?), stage: row.get(1)?, text: row.get(2)? });
            Ok(c.prepare_cached(sql)?
                .query_map([run.item.0, run.revision.0], note)?
                .collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn due_rings(&self, now: Timestamp, limit: u32) -> Result<Vec<Ring>, Error> {
        self.call(move |c| {
            let sql = "SELECT ring, attempts FROM rings WHERE next_at <= ?1 ORDER BY at, key LIMIT ?2";
            c.prepare_cached(sql)?
                .query_map(params![nanos(now), limit], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?
                .map(|row| {
                    let (json, attempts) = row?;
                    Ok(Ring { attempts, ..from_json(&json)? })
                })
                .collect()
        })
        .await
    }

    async fn rung(&self, key: &str, outcome: RingOutcome) -> Result<(), Error> {
        let key = key.to_owned();
        let (next_at, ended) = match outcome {
            RingOutcome::Delivered => (None, Some("delivered")),
            RingOutcome::RetryAt(at) => (Some(nanos(at)), None),
            RingOutcome::Dropped => (None, Some("dropped")),
        };
        self.write(move |t| {
            // Two processes may deliver the same ring; what has ended stays ended.
            let sql = "UPDATE rings SET next_at = ?2, ended = ?3, attempts = attempts + 1
                       WHERE key = ?1 AND ended IS NULL";
            t.prepare_cached(sql)?.execute(params![key, next_at, ended])?;
            Ok(())
        })
        .await
    }

    fn keeps_beats(&self) -> bool {
        true
    }

    async fn beat(&self, program: &str, at: Timestamp) -> Result<(), Error> {
        let program = program.to_owned();
        self.write(move |t| {
            // The last one written, not the largest: a clock that once was wrong must not hide a silence.
            let sql = "INSERT INTO beats (program, at) VALUES (?1, ?2)
                       ON CONFLICT (program) DO UPDATE SET at = excluded.at";
            t.prepare_cached(sql)?.execute(params![program, nanos(at)])?;
            Ok(())
        })
        .await
    }

    async fn last_beat(&self, program: &str) -> Result<Option<Timestamp>, Error> {
        let program = program.to_owned();
        self.call(move |c| {
            let sql = "SELECT at FROM beats WHERE program = ?1";
            Ok(c.prepare_cached(sql)?.query_row([program], |row| row.get(0)).optional()?.map(moment))
        })
        .await
    }
}

fn stored(connection: &Connection, run: RunId) -> Result<Option<Run>, Failure> {
    let sql = "SELECT run, generation FROM runs WHERE item = ?1 AND revision = ?2";
    let row = connection.prepare_cached(sql)?.query_row([run.item.0, run.revision.0], columns).optional()?;
    row.map(from_columns).transpose()
}

fn forget_intents(transaction: &Transaction<'_>, run: RunId) -> Result<(), Failure> {
    let sql = "DELETE FROM intents WHERE item = ?1 AND revision = ?2";
    transaction.prepare_cached(sql)?.execute([run.item.0, run.revision.0])?;
    Ok(())
}

fn put_into_outbox(transaction: &Transaction<'_>, ring: &Ring) -> Result<(), Failure> {
    let sql = "INSERT OR IGNORE INTO rings (key, at, next_at, attempts, ring) VALUES (?1, ?2, ?2, ?3, ?4)";
    transaction.prepare_cached(sql)?.execute(params![
        ring.key,
        nanos(ring.at),
        ring.attempts,
        to_json(ring)
    ])?;
    Ok(())
}

fn add_note(transaction: &Transaction<'_>, run: RunId, note: &Note) -> Result<(), Failure> {
    let Note { at, stage, text } = note;
    let sql = "INSERT INTO notes (item, revision, at, stage, text) VALUES (?1, ?2, ?3, ?4, ?5)";
    transaction.prepare_cached(sql)?.execute(params![run.item.0, run.revision.0, nanos(*at), stage, text])?;
    let sql = "DELETE FROM notes WHERE number IN (SELECT number FROM notes WHERE item = ?1 AND revision = ?2
               ORDER BY number DESC LIMIT -1 OFFSET ?3)";
    transaction.prepare_cached(sql)?.execute([run.item.0, run.revision.0, MOST_NOTES])?;
    Ok(())
}

fn columns(row: &Row<'_>) -> rusqlite::Result<(String, i64)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn from_columns((json, generation): (String, i64)) -> Result<Run, Failure> {
    let run: Run = from_json(&json)?;
    Ok(Run { generation: Generation(generation.unsigned_abs()), ..run })
}

fn to_column(generation: Generation) -> i64 {
    i64::try_from(generation.0).unwrap_or(i64::MAX)
}

fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own types have string keys only")
}

fn from_json<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, Failure> {
    let from = &mut serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(from).map_err(|error| Failure::Unreadable(error.path().to_string()))
}

/// A timestamp as a column. Years beyond 2262 do not happen to us.
fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}

fn moment(nanos: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanos)).expect("i64 nanoseconds are within jiff's range")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        // Only a panic ends it early: nobody holds the handle that could cancel it.
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}

/// Why something did not work, before it is known for whom it is worded.
#[derive(Debug)]
enum Failure {
    Sql(rusqlite::Error),
    /// `quick_check` says so.
    Damaged(String),
    /// A JSON text is not what its type wants; the place in it.
    Unreadable(String),
    Store(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    fn is_damage(&self) -> bool {
        match self {
            Self::Sql(error) => {
                matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                )
            }
            Self::Damaged(_) => true,
            Self::Unreadable(_) | Self::Store(_) => false,
        }
    }

    /// In the words of the trait. Damage leaves a mark, so that the next open looks at the whole file.
    fn at(self, path: &Path) -> Error {
        if self.is_damage() {
            // If the mark cannot be left either, the operator reads about it in the error.
            let _ = fs::write(open::beside(path, open::SUSPECT), []);
        }
        let detail = match self {
            Self::Store(error) => return error,
            Self::Damaged(verdict) => {
                format!("it is damaged ({verdict}); the next start puts it aside and begins a new one")
            }
            Self::Unreadable(place) => format!("a stored record cannot be read at `{place}`"),
            Self::Sql(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => return Error::Busy,
                Some(ErrorCode::ReadOnly) => {
                    "it cannot be written: file, directory or disk is read-only".into()
                }
                Some(ErrorCode::DiskFull) => "the disk is full".into(),
                Some(ErrorCode::CannotOpen) => {
                    "it cannot be opened: check the directory and its owner".into()
                }
                Some(ErrorCode::SystemIoFailure) => {
                    format!("the disk does not take or give what it should: {error}")
                }
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    "it is damaged; the next start puts it aside and begins a new one".into()
                }
                _ => error.to_string(),
            },
        };
        Error::Unusable { path: path.display().to_string(), detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_said_in_words_and_nothing_is_half_written() {
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&dir.path().join("runs.sqlite")).await.unwrap().store;
        store.call(|c| Ok(c.pragma_update(None, "max_page_count", 1)?)).await.unwrap();
        let run = RunId { item: WorkItemId(1), revision: Revision(1) };
        let intent = Intent { run, nonce: "n".repeat(1 << 20), at: Timestamp::UNIX_EPOCH };
        let said = store.intend(&intent).await.unwrap_err().to_string();
        assert!(said.ends_with("the disk is full"), "{said}");
        assert_eq!(store.intents().await.unwrap(), []);
    }

    #[tokio::test]
    async fn every_table_is_strict_and_every_write_durable() {
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&dir.path().join("runs.sqlite")).await.unwrap().store;
        let one = |sql: &'static str| {
            let store = store.clone();
            async move {
                store.call(move |c| Ok(c.query_row(sql, [], |row| row.get::<_, i64>(0))?)).await.unwrap()
            }
        };
        assert_eq!(one("SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND strict = 0 AND name NOT LIKE 'sqlite_%'").await, 0);
        assert_eq!(one("PRAGMA synchronous").await, 2, "FULL");
        assert_eq!(one("PRAGMA foreign_keys").await, 1);
        assert_eq!(one("PRAGMA busy_timeout").await, 5000);
        assert_eq!(one("SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'").await, 1);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_is_said_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&dir.path().join("runs.sqlite")).await.unwrap().store;
        // Answers as a read-only disk does; file modes would not stop a test that runs as root.
        store.call(|c| Ok(c.pragma_update(None, "query_only", true)?)).await.unwrap();
        let said = store.beat("poller", Timestamp::UNIX_EPOCH).await.unwrap_err().to_string();
        assert!(said.contains("cannot be written") && said.contains("runs.sqlite"), "{said}");
    }

    #[tokio::test]
    async fn a_flapping_run_does_not_fill_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&dir.path().join("runs.sqlite")).await.unwrap().store;
        let run: Run = serde_json::from_str(include_str!("../../fixtures/runs/v1-claimed.json")).unwrap();
        assert_eq!(store.open(&run).await.unwrap(), Saved::Saved(Generation(1)));
        let note = |number: u32| Note {
            at: Timestamp::UNIX_EPOCH,
            stage: "working".into(),
            text: number.to_string(),
        };
        let id = run.id;
        store
            .write(move |t| (0..MOST_NOTES + 7).try_for_each(|number| add_note(t, id, &note(number))))
            .await
            .unwrap();
        let history = store.history(id).await.unwrap();
        assert_eq!((history.len(), history[0].text.as_str()), (500, "7"), "the oldest go first");
    }
}
