//! Files out of a container, through the engine's archives: regular files only, never through a link, never more than a
//! cap in memory, whatever an agent has built there.

use super::engine::{Engine, Failure, Kind};
use crate::runtime::Error;
use futures_util::{Stream, StreamExt as _};
use std::{
    io::{self, Read},
    path::{Component, Path},
};
use tokio::sync::mpsc;

/// Bytes of an archive that are looked through for what is wanted; more is not left for us to read.
const SEARCH_LIMIT: u64 = 256 << 20;
/// Files of a listing.
const MOST_FILES: usize = 2_000;
/// Chunks between the connection and the reader.
const CHUNKS: usize = 8;

/// The beginning of a regular file `below/relative`, at most `limit` bytes; none when it is no regular file, is reached
/// through a link, or is not there.
pub(super) async fn file(
    engine: &Engine,
    container: &str,
    below: &str,
    relative: &str,
    limit: u64,
) -> Result<Option<Vec<u8>>, Error> {
    let Some(wanted) = parts(Path::new(relative)) else { return Ok(None) };
    let Some(top) = wanted.first().cloned() else { return Ok(None) };
    // The first part is asked for, the others are found in what comes: a link on the way is a link in the archive.
    read(engine, container, &format!("{below}/{top}"), move |archive| {
        for entry in archive.entries()? {
            let entry = entry?;
            if entry.header().entry_type().is_file() && parts(&entry.path()?).as_ref() == Some(&wanted) {
                let mut bytes = Vec::new();
                entry.take(limit).read_to_end(&mut bytes)?;
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    })
    .await
    .map(Option::flatten)
}

/// Regular files of `below/top`, which may be a file itself, as paths from `below` with their sizes.
pub(super) async fn list(
    engine: &Engine,
    container: &str,
    below: &str,
    top: &str,
) -> Result<Vec<(String, u64)>, Error> {
    let path = format!("{below}/{top}");
    let found = read(engine, container, &path, |archive| {
        let mut files = Vec::new();
        for entry in archive.entries()?.take(MOST_FILES) {
            let entry = entry?;
            if entry.header().entry_type().is_file()
                && let Some(parts) = parts(&entry.path()?)
            {
                files.push((parts.join("/"), entry.size()));
            }
        }
        Ok(files)
    });
    Ok(found.await?.unwrap_or_default())
}

/// The names of a relative path; none when it climbs, is absolute or is no text.
fn parts(path: &Path) -> Option<Vec<String>> {
    path.components()
        .map(|component| match component {
            Component::Normal(name) => name.to_str().map(str::to_owned),
            Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
        })
        .collect()
}

/// Streams a path of a container through a reader. None: it is not there, or there is too much of it.
async fn read<T: Send + 'static>(
    engine: &Engine,
    container: &str,
    path: &str,
    work: impl FnOnce(&mut tar::Archive<Pipe>) -> io::Result<T> + Send + 'static,
) -> Result<Option<T>, Error> {
    let chunks = engine.archive(container, path).await?;
    match tokio::time::timeout(engine.options.call_limit, unpack(chunks, work)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(Failure { kind: Kind::Absent, .. })) => Ok(None),
        Ok(Err(failure)) => Err(failure.into()),
        Err(_) => Err(Error::Unusable(format!("{path} of {container} could not be read in time"))),
    }
}

async fn unpack<T: Send + 'static>(
    chunks: impl Stream<Item = Result<Vec<u8>, Failure>>,
    work: impl FnOnce(&mut tar::Archive<Pipe>) -> io::Result<T> + Send + 'static,
) -> Result<Option<T>, Failure> {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let reader = tokio::task::spawn_blocking(move || {
        let pipe = Pipe { chunks: receiver, chunk: Vec::new(), at: 0 };
        work(&mut tar::Archive::new(pipe))
    });
    let mut chunks = Box::pin(chunks);
    let (mut failure, mut total) = (None, 0_u64);
    while let Some(chunk) = chunks.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                failure = Some(error);
                break;
            }
        };
        total += chunk.len() as u64;
        // A reader that has what it wants hangs up.
        if total > SEARCH_LIMIT || sender.send(chunk).await.is_err() {
            break;
        }
    }
    drop(sender);
    match (reader.await, failure) {
        (Ok(Ok(found)), None) => Ok(Some(found)),
        (_, Some(failure)) => Err(failure),
        // Cut at the limit, or nothing that is an archive.
        (Ok(Err(_)) | Err(_), None) => Ok(None),
    }
}

/// Chunks of a connection as a file.
struct Pipe {
    chunks: mpsc::Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            match self.chunks.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => (self.chunk, self.at) = (chunk, 0),
            }
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            if kind.is_file() {
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, path, content.as_bytes()).unwrap();
            } else {
                header.set_size(0);
                builder.append_link(&mut header, path, content).unwrap();
            }
        }
        builder.into_inner().unwrap()
    }

    async fn names(bytes: Vec<u8>, size: usize) -> Option<Vec<String>> {
        let chunks: Vec<_> = bytes.chunks(size).map(|chunk| Ok(chunk.to_vec())).collect();
        let work = |archive: &mut tar::Archive<Pipe>| {
            let entries = archive.entries()?;
            entries.map(|entry| Ok(entry?.path()?.display().to_string())).collect()
        };
        unpack(futures_util::stream::iter(chunks), work).await.unwrap()
    }

    #[tokio::test]
    async fn an_archive_is_read_in_whatever_pieces_it_comes() {
        let bytes = archive(&[
            ("replies/7.md", tar::EntryType::Regular, "because"),
            ("replies/8.md", tar::EntryType::Symlink, "/etc/passwd"),
        ]);
        for size in [1, 7, 512, 100_000] {
            assert_eq!(names(bytes.clone(), size).await.unwrap().len(), 2, "{size}");
        }
        assert_eq!(names(bytes[..600].to_vec(), 100).await, None, "cut in the middle");
    }

    #[test]
    fn a_path_that_climbs_is_no_path() {
        assert_eq!(parts(Path::new("replies/7.md")).unwrap().len(), 2);
        for path in ["../x", "/etc/passwd", "a/../../x"] {
            assert_eq!(parts(Path::new(path)), None, "{path}");
        }
    }
}
