//! Opening the file: is the disk one that can be trusted, is the file ours, whole and of a schema that we know.
//!
//! Openers of one file take turns (a lock file beside it), because two that both find it damaged would otherwise put
//! each other's new file aside. A newer schema is left exactly as it is.

use super::{Error, Failure};
use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig};
use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// Numbered, append-only; each brings the file from its place in the list to the next.
const LADDER: &[&str] = &[include_str!("../schema/0001_runs.sql")];

/// Before this version, a write-ahead log could be reset under a reader and damage the file.
const OLDEST_LIBRARY: i32 = 3_051_003;

/// `rndm`: tells our file from another program's.
const APPLICATION_ID: i32 = 0x726e_646d;

/// Writers hold the file for milliseconds; who waits longer than this meets a process that hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a lock is asked for meanwhile.
const PAUSE: Duration = Duration::from_millis(20);

/// Left beside a file in which damage was met.
pub(super) const SUSPECT: &str = ".suspect";

/// The file, ready to use, and what the operator should know.
pub(super) fn open(path: &Path) -> Result<(Connection, Vec<String>), Error> {
    let unusable = |detail: String| Error::Unusable { path: path.display().to_string(), detail };
    if rusqlite::version_number() < OLDEST_LIBRARY {
        return Err(unusable(format!("SQLite {} is too old: 3.51.3 is needed", rusqlite::version())));
    }
    let io = |error: &io::Error| unusable(format!("its directory cannot be used: {}", error.kind()));
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| io(&error))?;
    let on = rustix::fs::statfs(directory).map_err(|error| io(&error.into()))?;
    if let Some(name) = network_file_system(i128::from(on.f_type)) {
        return Err(unusable(format!(
            "it is on a network file system ({name}), where SQLite's locks cannot be trusted: \
             let ROUNDSMAN_STORE_PATH name a file on a local disk of this machine"
        )));
    }
    let _turn = take_turn(path).map_err(|error| error.map_or(Error::Busy, |error| io(&error)))?;

    match open_whole(path) {
        Ok(connection) => Ok((connection, Vec::new())),
        Err(failure) if failure.is_damage() => {
            let aside = put_aside(path).map_err(|error| {
                unusable(format!("it is damaged and cannot be put aside: {}", error.kind()))
            })?;
            let connection = open_whole(path).map_err(|failure| failure.at(path))?;
            let warning = format!(
                "the run store {} was damaged and is now {}; runs are found again in Azure DevOps, notifications may repeat",
                path.display(),
                aside.display()
            );
            Ok((connection, vec![warning]))
        }
        Err(failure) => Err(failure.at(path)),
    }
}

fn open_whole(path: &Path) -> Result<Connection, Failure> {
    let unusable = |detail: &str| Error::Unusable { path: path.display().to_string(), detail: detail.into() };
    // Made by us and not by SQLite, because titles of work items are nobody else's business.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(unusable(&format!("it cannot be made: {}", error.kind())).into()),
    }
    // A clean end leaves no log; what was not ended cleanly, or looked damaged before, is looked at whole.
    let log = fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
    let suspect = beside(path, SUSPECT);
    let doubtful = log || suspect.exists();

    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    let known = u32::try_from(LADDER.len()).unwrap_or(u32::MAX);
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        // Not even the log is folded into a file that we do not understand.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        return Err(Error::Newer { found, known }.into());
    }
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(unusable("it is another program's database: choose another file").into());
    }
    if doubtful {
        let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(Failure::Damaged(verdict));
        }
        // Left there, it only costs another look.
        let _ = fs::remove_file(suspect);
    }

    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(unusable("its disk does not support a write-ahead log").into());
    }
    // A power cut must not take back what was promised; we write a few times a second at most.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    migrate(&mut connection, known)?;
    Ok(connection)
}

/// All missing steps in one transaction. Begun even if none is missing: it also tells whether the file can be written.
fn migrate(connection: &mut Connection, known: u32) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for step in LADDER.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        transaction.execute_batch(step)?;
    }
    if found < known {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", known)?;
    }
    transaction.commit()?;
    Ok(())
}

/// `runs.sqlite` becomes `runs.sqlite.corrupt-1`, with its log, so that somebody can look at it.
fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let mut number = 1;
    let mut aside = beside(path, ".corrupt-1");
    while aside.exists() {
        number += 1;
        aside = beside(path, &format!(".corrupt-{number}"));
    }
    fs::rename(path, &aside)?;
    for part in ["-wal", "-shm"] {
        match fs::rename(beside(path, part), beside(&aside, part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    let _ = fs::remove_file(beside(path, SUSPECT));
    Ok(aside)
}

/// Held until dropped, and by the system until we end at the latest. None as an error: somebody else holds it.
fn take_turn(path: &Path) -> Result<File, Option<io::Error>> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(beside(path, ".lock"))
        .map_err(Some)?;
    for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            Err(TryLockError::Error(error)) => return Err(Some(error)),
        }
    }
    Err(None)
}

/// A name beside `path`.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Linux's `statfs` types (`linux/magic.h`) of file systems that are, or may be, somewhere else. FUSE is one of them:
/// most of what containers mount through it is remote.
fn network_file_system(kind: i128) -> Option<&'static str> {
    // Sign-extended where the field is a signed 32-bit number.
    Some(match kind & 0xffff_ffff {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x0102_1997 => "9p",
        0x6573_5546 => "FUSE",
        0x00c3_6400 => "Ceph",
        0x5346_414f => "AFS",
        0x0bd0_0bd0 => "Lustre",
        0x786f_4256 => "VirtualBox folder",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_disks_are_known_by_their_number() {
        assert_eq!(network_file_system(0x6969), Some("NFS"));
        assert_eq!(network_file_system(i128::from(0xff53_4d42_u32.cast_signed())), Some("SMB"));
        assert_eq!(network_file_system(0xef53), None, "ext4");
        assert_eq!(network_file_system(0x0102_1994), None, "tmpfs");
    }

    #[test]
    fn the_bundled_library_is_new_enough() {
        assert!(rusqlite::version_number() >= OLDEST_LIBRARY);
    }
}
