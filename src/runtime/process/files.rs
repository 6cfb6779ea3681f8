//! Files of a step and how they are read and written: the contract between [`ProcessRuntime`](super::ProcessRuntime)
//! and the worker. Decides nothing.

use crate::{domain::Step, domain::StepResult, runtime::spec::WorkerSpec};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Environment variable that marks every program of a step with the step's directory.
pub(crate) const MARK: &str = "ROUNDSMAN_STEP";
/// A specification is a brief and a few lines.
const SPEC_LIMIT: u64 = 4 << 20;
/// A status is bounded by its writer.
const STATUS_LIMIT: u64 = 256 << 10;
/// An escape sequence that does not end by then is text.
const ESCAPE_LIMIT: usize = 64;

/// The files of one step.
#[derive(Clone, Debug)]
pub(crate) struct StepFiles(PathBuf);

impl StepFiles {
    /// In this directory.
    pub(crate) fn new(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// What to do.
    pub(crate) fn spec(&self) -> PathBuf {
        self.0.join("spec.json")
    }

    /// Held while the worker lives.
    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Made once, by the one worker that runs.
    pub(crate) fn latch(&self) -> PathBuf {
        self.0.join("latch")
    }

    /// The worker's process group.
    pub(crate) fn pid(&self) -> PathBuf {
        self.0.join("pid")
    }

    /// Asks the worker to end.
    pub(crate) fn stop(&self) -> PathBuf {
        self.0.join("stop")
    }

    /// How it ended.
    pub(crate) fn status(&self) -> PathBuf {
        self.0.join("status.json")
    }

    /// What it printed.
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("output.log")
    }

    /// The specification.
    pub(crate) fn read_spec(&self) -> io::Result<WorkerSpec> {
        let bytes = read_bounded(&self.spec(), SPEC_LIMIT)?;
        serde_json::from_slice(&bytes).map_err(io::Error::other)
    }

    /// The status, if there is a valid one of this step.
    pub(crate) fn read_status(&self, step: Step) -> Option<StepResult> {
        let bytes = read_bounded(&self.status(), STATUS_LIMIT).ok()?;
        serde_json::from_slice::<StepResult>(&bytes).ok().filter(|result| result.step() == step)
    }

    /// Whether a worker is alive: it holds the lock. Two observers do not disturb each other.
    pub(crate) fn is_locked(&self) -> io::Result<bool> {
        match File::open(self.lock()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(error),
            },
        }
    }
}

fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(io::Error::other("too large")) } else { Ok(bytes) }
}

/// Writes so that a reader sees all or nothing, also after a power cut.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = write_beside(path, bytes)?;
    std::fs::rename(&temporary, path)?;
    sync_parent(path)
}

/// Like [`write_atomically`], but only where nothing is yet: false if there was something.
pub(crate) fn write_once(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let temporary = write_beside(path, bytes)?;
    let linked = std::fs::hard_link(&temporary, path);
    std::fs::remove_file(&temporary)?;
    match linked {
        Ok(()) => sync_parent(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let parent = path.parent().ok_or_else(|| io::Error::other("a file without directory"))?;
    // Only its owner reads it: a specification carries the operator's environment.
    let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(parent)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    let (_, path) = file.keep().map_err(|error| error.error)?;
    Ok(path)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// The beginning of a file below `directory` that somebody untrusted left: never through a link, never a pipe.
pub(crate) fn read_left(directory: &Path, relative: &str, limit: u64) -> io::Result<Option<String>> {
    let bytes = read_left_bytes(directory, relative, limit)?;
    Ok(bytes.map(|bytes| plain(&String::from_utf8_lossy(&bytes))))
}

/// The same, as it is.
pub(crate) fn read_left_bytes(directory: &Path, relative: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut place = directory.to_owned();
    let mut parts = relative.split('/').peekable();
    while let Some(part) = parts.next() {
        place.push(part);
        let facts = match std::fs::symlink_metadata(&place) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            other => other?,
        };
        if if parts.peek().is_some() { !facts.is_dir() } else { !facts.is_file() } {
            return Ok(None);
        }
    }
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(&place)?;
    // A second name of a file elsewhere is a link, too.
    if file.metadata()?.nlink() != 1 {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Regular files below `directory/relative`, or that file itself, as paths from `directory` with their sizes. Links are
/// not followed; at most `most` files.
pub(crate) fn list_left(directory: &Path, relative: &str, most: usize) -> io::Result<Vec<(String, u64)>> {
    let (mut open, mut found) = (vec![relative.to_owned()], Vec::new());
    while let Some(path) = open.pop() {
        let place = directory.join(&path);
        let facts = match std::fs::symlink_metadata(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        if facts.is_file() && found.len() < most {
            found.push((path, facts.len()));
        } else if facts.is_dir() {
            for entry in fs::read_dir(&place)? {
                // A name that is no text is nothing that people could ask for.
                if let Some(name) = entry?.file_name().to_str() {
                    open.push(format!("{path}/{name}"));
                }
            }
        }
    }
    Ok(found)
}

/// The end of a file, made plain.
pub(crate) fn tail(path: &Path, bytes: usize) -> io::Result<String> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        other => other?,
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes as u64)))?;
    let mut end = Vec::new();
    file.take(bytes as u64).read_to_end(&mut end)?;
    Ok(plain_end(&end, bytes))
}

/// The end of a text as plain text of at most `limit` bytes: what is no text grows when it is replaced.
pub(crate) fn plain_end(bytes: &[u8], limit: usize) -> String {
    // A character that was cut in two is left out.
    let cut = bytes.iter().take(3).take_while(|byte| (0x80..0xc0).contains(*byte)).count();
    let mut text = plain(&String::from_utf8_lossy(&bytes[cut..]));
    let surplus = (text.len().saturating_sub(limit)..text.len()).find(|at| text.is_char_boundary(*at));
    text.drain(..surplus.unwrap_or(text.len()));
    text
}

/// Text without terminal escape sequences and control characters; lines and tabs stay.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' | '\t' => out.push(character),
            '\u{1b}' => match characters.peek() {
                Some('[') => {
                    characters.next();
                    for _ in 0..ESCAPE_LIMIT {
                        if characters.next().is_none_or(|c| ('\u{40}'..='\u{7e}').contains(&c)) {
                            break;
                        }
                    }
                }
                Some(']') => {
                    for _ in 0..ESCAPE_LIMIT {
                        if characters.next().is_none_or(|c| c == '\u{7}' || c == '\\') {
                            break;
                        }
                    }
                }
                _ => {}
            },
            other if other.is_control() => {}
            other => out.push(other),
        }
    }
    out
}

/// Kills every process that carries the mark of this step's directory: whoever left its process group. A process that
/// cleans its environment escapes, which is one reason why this runtime isolates nothing.
pub(crate) fn kill_marked(directory: &Path) {
    let mark = format!("{MARK}={}", directory.display());
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(environment) = std::fs::read(process.path().join("environ")) else { continue };
        if environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Removes a tree, also one with read-only directories, as module caches like to make them.
pub(crate) fn remove_tree(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_writable(directory)?;
            fs::remove_dir_all(directory)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn make_writable(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_never_read_through_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (out, secret) = (directory.path().join("out"), directory.path().join("secret"));
        std::fs::create_dir_all(out.join("real")).unwrap();
        std::fs::write(&secret, "token").unwrap();
        std::fs::write(out.join("real/ok.md"), "fine\u{1b}[31m red\u{0}").unwrap();
        std::os::unix::fs::symlink(&secret, out.join("plan.md")).unwrap();
        std::os::unix::fs::symlink(directory.path(), out.join("replies")).unwrap();
        std::fs::hard_link(&secret, out.join("hard.md")).unwrap();
        let read = |file: &str| read_left(&out, file, 100).unwrap();
        assert_eq!(read("real/ok.md").as_deref(), Some("fine red"));
        for file in ["plan.md", "replies/secret", "hard.md", "real", "none.md", "real/ok.md/x"] {
            assert_eq!(read(file), None, "{file}");
        }
    }

    #[test]
    fn the_end_of_a_text_never_grows() {
        assert_eq!(plain_end("“é”".as_bytes(), 100), "“é”");
        assert_eq!(plain_end(&"“é”".as_bytes()[1..], 7), "é”");
        assert_eq!(plain_end(&[0xff; 9], 9), "\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(plain_end(b"abc", 2), "bc");
        assert_eq!(plain_end(b"abc", 0), "");
    }

    #[test]
    fn only_the_first_writer_of_a_file_wins() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spec.json");
        assert!(write_once(&path, b"one").unwrap());
        assert!(!write_once(&path, b"two").unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
