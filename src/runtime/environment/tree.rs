//! The files of a checkout as a stream: looked through once, and sent once, filtered, as a build context. Never whole in
//! memory: of each file only its digest is kept, and what was looked through is what is sent.
//!
//! Knows tar and nothing of engines; both ends are plain readers and writers.

use super::{
    detect::{Build, COMPOSE, DEVCONTAINER, Dockerfile, Files, Kind, TEXT_LIMIT, shown},
    paths,
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};

/// The name of instructions that stand in no file.
const INLINE: &str = ".roundsman.dockerfile";
/// The repository's own store, which is no part of the revision.
const GIT: &str = ".git";
/// Every file's time, so that equal revisions are equal: the second day of 1980, because zip archives know no earlier.
const TIME: u64 = 315_619_200;
/// Rights of what may be executed or entered, and of what may not.
const OPEN: u32 = 0o755;
const PLAIN: u32 = 0o644;
/// The owner's right to execute.
const EXECUTABLE: u32 = 0o100;

/// What a build context may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Files, folders and links.
    pub entries: usize,
    /// Bytes of all files together.
    pub bytes: u64,
}

/// Why a checkout is not used as a build context.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many things.
    #[error("the revision has more than {limit} files and folders, too many for a build context")]
    TooMany {
        /// [`Bounds::entries`].
        limit: usize,
    },
    /// Too much.
    #[error("the revision has more than {limit} bytes, too many for a build context")]
    TooLarge {
        /// [`Bounds::bytes`].
        limit: u64,
    },
    /// A link out of the context.
    #[error("the link `{}` leads out of the build context", shown(path))]
    LinkLeaves {
        /// The link.
        path: String,
    },
    /// Something that no revision contains.
    #[error("`{}` is no file, folder or link of a revision", shown(path))]
    Odd {
        /// Its path.
        path: String,
    },
    /// A name that cannot be told to people.
    #[error("the name or the target of `{}` is not UTF-8", shown(path))]
    NotText {
        /// As far as it can be read.
        path: String,
    },
    /// Not what was looked through.
    #[error("`{}` changed while it was sent", shown(path))]
    Changed {
        /// Its path.
        path: String,
    },
}

/// Why a pass over the stream ended early.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The checkout is not used.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The stream failed; nothing is known about the checkout.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A checkout that was looked through.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
    /// The descriptions that detection reads.
    texts: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    File { bytes: u64, executable: bool, digest: [u8; 32] },
    Folder,
    Link { target: String },
}

impl Files for Tree {
    fn kind(&self, path: &str) -> Option<Kind> {
        Some(match self.entries.get(path)? {
            Entry::File { bytes, .. } => Kind::File { bytes: *bytes },
            Entry::Folder => Kind::Folder,
            Entry::Link { .. } => Kind::Link,
        })
    }

    fn read(&self, path: &str) -> Option<&[u8]> {
        self.texts.get(path).map(Vec::as_slice)
    }
}

impl Tree {
    /// Looks through an archive whose every path begins with the checkout's folder.
    pub fn look_through(archive: impl Read, bounds: Bounds) -> Result<Self, Broken> {
        let mut tree = Self::default();
        let mut bytes_left = bounds.bytes;
        each(archive, |path, mut file| {
            let odd = || Refused::Odd { path: path.to_owned() };
            if tree.entries.len() >= bounds.entries {
                return Err(Refused::TooMany { limit: bounds.entries }.into());
            }
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            if !parent.is_empty() && tree.entries.get(parent) != Some(&Entry::Folder) {
                return Err(odd().into());
            }
            let header = file.header();
            let entry = match header.entry_type() {
                tar::EntryType::Directory => Entry::Folder,
                tar::EntryType::Symlink => {
                    let target = file.link_name_bytes().and_then(|name| String::from_utf8(name.into()).ok());
                    let not_text = || Refused::NotText { path: path.to_owned() };
                    Entry::Link { target: target.ok_or_else(not_text)? }
                }
                tar::EntryType::Regular | tar::EntryType::Continuous => {
                    let executable = header.mode()? & EXECUTABLE != 0;
                    let bytes = file.size();
                    bytes_left =
                        bytes_left.checked_sub(bytes).ok_or(Refused::TooLarge { limit: bounds.bytes })?;
                    let mut hash = Hashing { source: &mut file, hash: Sha256::new() };
                    let is_description = COMPOSE.contains(&path) || path == DEVCONTAINER;
                    if is_description && bytes <= TEXT_LIMIT {
                        let mut text = Vec::new();
                        hash.read_to_end(&mut text)?;
                        tree.texts.insert(path.to_owned(), text);
                    } else {
                        io::copy(&mut hash, &mut io::sink())?;
                    }
                    Entry::File { bytes, executable, digest: hash.hash.finalize().into() }
                }
                // Hard links, devices, pipes: git checks out none of them.
                _ => return Err(odd().into()),
            };
            if tree.entries.insert(path.to_owned(), entry).is_some() {
                return Err(odd().into());
            }
            Ok(())
        })?;
        Ok(tree)
    }

    /// Whether the links below a context stay inside of it.
    pub fn check_links(&self, context: &str) -> Result<(), Refused> {
        let leaving = self.below(context).find(|(path, entry)| match entry {
            Entry::Link { target } => !paths::stays_below(context, path, target),
            Entry::File { .. } | Entry::Folder => false,
        });
        leaving.map_or(Ok(()), |(path, _)| Err(Refused::LinkLeaves { path: path.to_owned() }))
    }

    /// What a build depends on, as hexadecimal SHA-256: the context's files, the recipe and `more`.
    pub fn identity(&self, build: &Build, more: &str) -> String {
        let mut hash = Sha256::new();
        // Each part with its length, so that no two lists of parts are the same bytes.
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        part(match &build.dockerfile {
            Dockerfile::Path(path) => path,
            Dockerfile::Inline(text) => text,
        });
        part(if matches!(build.dockerfile, Dockerfile::Path(_)) { "path" } else { "inline" });
        part(&build.context);
        part(build.target.as_deref().unwrap_or_default());
        part(&build.args.len().to_string());
        for (name, value) in &build.args {
            part(name);
            part(value);
        }
        part(more);
        for (path, entry) in self.below(&build.context) {
            part(path);
            match entry {
                Entry::File { executable, digest, .. } => {
                    part(if *executable { "x" } else { "-" });
                    part(&hex(digest));
                }
                Entry::Folder => part("/"),
                Entry::Link { target } => {
                    part("@");
                    part(target);
                }
            }
        }
        hex(&hash.finalize())
    }

    /// Writes the build context out of the same archive, and nothing but what was looked through. An archive that is
    /// not sent to its end has no end: an engine must not take a part for the whole.
    pub fn send(&self, archive: impl Read, build: &Build, out: impl Write) -> Result<(), Broken> {
        let mut builder = tar::Builder::new(Valve { out, open: true });
        let sent = self.send_to(archive, build, &mut builder);
        if sent.is_err() {
            // The builder writes the end when it is dropped.
            builder.get_mut().open = false;
        }
        sent?;
        builder.into_inner()?.flush()?;
        Ok(())
    }

    fn send_to<W: Write>(
        &self,
        archive: impl Read,
        build: &Build,
        builder: &mut tar::Builder<W>,
    ) -> Result<(), Broken> {
        let mut left = self.below(&build.context).count();
        each(archive, |path, mut file| {
            let Some(name) = paths::below(&build.context, path).filter(|name| !name.is_empty()) else {
                return Ok(());
            };
            let changed = || Broken::Refused(Refused::Changed { path: path.to_owned() });
            left = left.checked_sub(1).ok_or_else(changed)?;
            let kind = file.header().entry_type();
            match self.entries.get(path) {
                Some(Entry::File { bytes, executable, digest })
                    if kind.is_file() && file.size() == *bytes =>
                {
                    let mode = if *executable { OPEN } else { PLAIN };
                    let mut header = header(tar::EntryType::Regular, mode, *bytes);
                    let mut hash = Hashing { source: &mut file, hash: Sha256::new() };
                    builder.append_data(&mut header, name, &mut hash)?;
                    if <[u8; 32]>::from(hash.hash.finalize()) != *digest {
                        return Err(changed());
                    }
                }
                Some(Entry::Folder) if kind.is_dir() => {
                    let mut header = header(tar::EntryType::Directory, OPEN, 0);
                    builder.append_data(&mut header, name, io::empty())?;
                }
                Some(Entry::Link { target })
                    if kind.is_symlink()
                        && file.link_name_bytes().is_some_and(|name| *name == *target.as_bytes()) =>
                {
                    let mut header = header(tar::EntryType::Symlink, OPEN, 0);
                    builder.append_link(&mut header, name, target)?;
                }
                Some(Entry::File { .. } | Entry::Folder | Entry::Link { .. }) | None => return Err(changed()),
            }
            Ok(())
        })?;
        if left > 0 {
            return Err(Refused::Changed { path: build.context.clone() }.into());
        }
        if let Dockerfile::Inline(text) = &build.dockerfile {
            let mut header = header(tar::EntryType::Regular, PLAIN, text.len() as u64);
            builder.append_data(&mut header, INLINE, text.as_bytes())?;
        }
        Ok(())
    }

    /// The context's entries, without the context itself.
    fn below<'a>(&'a self, context: &'a str) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        self.entries
            .iter()
            .map(|(path, entry)| (path.as_str(), entry))
            .filter(move |(path, _)| paths::below(context, path).is_some_and(|name| !name.is_empty()))
    }
}

/// Where the instructions are, as the engine sees the context.
pub(super) fn instructions(build: &Build) -> &str {
    match &build.dockerfile {
        Dockerfile::Path(path) => paths::below(&build.context, path).unwrap_or(path),
        Dockerfile::Inline(_) => INLINE,
    }
}

/// What is the same for equal contents, whenever and by whomever they were checked out.
fn header(kind: tar::EntryType, mode: u32, bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(bytes);
    header.set_mtime(TIME);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Every entry of the checkout, without its folder's name and without git's store.
fn each<R: Read>(
    archive: R,
    mut visit: impl FnMut(&str, tar::Entry<'_, R>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    for file in tar::Archive::new(archive).entries()? {
        let file = file?;
        let bytes = file.path_bytes().into_owned();
        let Ok(written) = std::str::from_utf8(&bytes) else {
            return Err(Refused::NotText { path: String::from_utf8_lossy(&bytes).into_owned() }.into());
        };
        if written.split('/').any(|part| part == "..") {
            return Err(Refused::Odd { path: written.to_owned() }.into());
        }
        let Some(path) = paths::within("", written) else {
            return Err(Refused::Odd { path: written.to_owned() }.into());
        };
        // The checkout itself.
        let Some((_, path)) = path.split_once('/') else { continue };
        if path == GIT || paths::below(GIT, path).is_some() {
            continue;
        }
        visit(path, file)?;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Reads and counts what was read into a digest.
struct Hashing<'a, R> {
    source: &'a mut R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.source.read(buffer)?;
        self.hash.update(&buffer[..bytes]);
        Ok(bytes)
    }
}

/// Lets nothing through any more once it is shut.
struct Valve<W> {
    out: W,
    open: bool,
}

impl<W: Write> Write for Valve<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open { self.out.write(bytes) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.open { self.out.flush() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::environment::detect::Origin;
    use std::collections::BTreeSet;

    const BOUNDS: Bounds = Bounds { entries: 100, bytes: 1 << 20 };

    enum Thing<'a> {
        Text(&'a str),
        Program(&'a str),
        Folder,
        Link(&'a str),
        Hard(&'a str),
        Pipe,
    }
    use Thing::{Folder, Hard, Link, Pipe, Program, Text};

    /// An archive as an engine makes it: everything below the folder's own name.
    fn archive(things: &[(&str, Thing)], time: u64) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, thing) in
            [("", &Folder)].into_iter().chain(things.iter().map(|(path, thing)| (*path, thing)))
        {
            let mut header = tar::Header::new_gnu();
            let (kind, mode, text, target) = match thing {
                Text(text) => (tar::EntryType::Regular, 0o640, *text, None),
                Program(text) => (tar::EntryType::Regular, 0o700, *text, None),
                Folder => (tar::EntryType::Directory, 0o2775, "", None),
                Link(target) => (tar::EntryType::Symlink, 0o777, "", Some(target)),
                Hard(target) => (tar::EntryType::Link, 0o644, "", Some(target)),
                Pipe => (tar::EntryType::Fifo, 0o644, "", None),
            };
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_mtime(time);
            header.set_uid(10_001);
            header.set_size(text.len() as u64);
            // The library refuses to write what an attacker would.
            let path = format!("workspace/{path}");
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            if let Some(target) = target {
                header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
            }
            header.set_cksum();
            builder.append(&header, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn build(context: &str) -> Build {
        Build {
            origin: Origin::Dockerfile,
            dockerfile: Dockerfile::Path(paths::within(context, "Dockerfile").unwrap()),
            context: context.to_owned(),
            target: None,
            args: BTreeMap::new(),
        }
    }

    fn revision() -> Vec<(&'static str, Thing<'static>)> {
        vec![
            (".git", Folder),
            (".git/config", Text("secret")),
            ("app", Folder),
            ("app/Dockerfile", Text("FROM x")),
            ("app/run", Program("#!")),
            ("app/link", Link("run")),
            ("docker-compose.yml", Text("services:")),
        ]
    }

    /// Path, kind, mode, time and owner of what is sent.
    fn sent(bytes: &[u8]) -> BTreeSet<(String, u8, u32, u64, u64)> {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            (
                entry.path().unwrap().to_str().unwrap().to_owned(),
                header.entry_type().as_byte(),
                header.mode().unwrap(),
                header.mtime().unwrap(),
                header.uid().unwrap(),
            )
        });
        entries.collect()
    }

    #[test]
    fn only_the_context_is_sent_and_nothing_of_the_store() {
        let archive = archive(&revision(), 1_000);
        let tree = Tree::look_through(archive.as_slice(), BOUNDS).unwrap();
        assert_eq!(tree.read("docker-compose.yml"), Some(&b"services:"[..]));
        assert_eq!(tree.kind(".git"), None);
        let mut out = Vec::new();
        tree.send(archive.as_slice(), &build("app"), &mut out).unwrap();
        let facts = |path: &str, kind, mode| (path.to_owned(), kind, mode, TIME, 0);
        let expected =
            [facts("Dockerfile", b'0', PLAIN), facts("run", b'0', OPEN), facts("link", b'2', OPEN)];
        assert_eq!(sent(&out), expected.into());
        out.clear();
        tree.send(archive.as_slice(), &build(""), &mut out).unwrap();
        assert_eq!(sent(&out).len(), 5);
        out.clear();
        let inline = Build { dockerfile: Dockerfile::Inline("FROM y".into()), ..build("app") };
        tree.send(archive.as_slice(), &inline, &mut out).unwrap();
        assert!(sent(&out).contains(&facts(instructions(&inline), b'0', PLAIN)));
        assert_eq!(instructions(&build("app")), "Dockerfile");
    }

    #[test]
    fn equal_contents_are_equal_and_any_difference_tells() {
        let identity = |things: &[(&str, Thing)], time, build: &Build, more| {
            Tree::look_through(archive(things, time).as_slice(), BOUNDS).unwrap().identity(build, more)
        };
        let base = identity(&revision(), 1, &build("app"), "");
        assert_eq!(identity(&revision(), 2, &build("app"), ""), base, "another time is the same content");
        let mut elsewhere = revision();
        elsewhere.push(("README", Text("not in the context")));
        assert_eq!(identity(&elsewhere, 1, &build("app"), ""), base);
        let mut seen = BTreeSet::from([base]);
        for (at, thing) in [Text("FROM y"), Program("FROM x"), Folder, Link("FROM x")].into_iter().enumerate()
        {
            let mut things = revision();
            things[3].1 = thing;
            assert!(seen.insert(identity(&things, 1, &build("app"), "")), "{at}");
        }
        let arguments = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        for other in [
            Build { target: Some("t".into()), ..build("app") },
            Build { args: arguments, ..build("app") },
            Build { dockerfile: Dockerfile::Inline("app/Dockerfile".into()), ..build("app") },
            build(""),
        ] {
            assert!(seen.insert(identity(&revision(), 1, &other, "")), "{other:?}");
        }
        assert!(seen.insert(identity(&revision(), 1, &build("app"), "more")));
    }

    #[test]
    fn what_no_revision_contains_is_refused() {
        let look = |things: &[(&str, Thing)], bounds| match Tree::look_through(
            archive(things, 1).as_slice(),
            bounds,
        ) {
            Err(Broken::Refused(refused)) => refused,
            other => panic!("{other:?}"),
        };
        let odd = |path: &str| Refused::Odd { path: path.to_owned() };
        assert_eq!(look(&[("hard", Hard("workspace/x"))], BOUNDS), odd("hard"));
        assert_eq!(look(&[("pipe", Pipe)], BOUNDS), odd("pipe"));
        assert_eq!(look(&[("../x", Text(""))], BOUNDS), odd("workspace/../x"));
        assert_eq!(look(&[("a", Link("b")), ("a/x", Text(""))], BOUNDS), odd("a/x"));
        assert_eq!(look(&[("a", Text("")), ("a", Text(""))], BOUNDS), odd("a"));
        let mut latin = archive(&[("caf", Text("")), ("x", Link("caf"))], 1);
        // Behind the header of the folder itself; one letter up, another down, and the checksum holds.
        latin[512 + 10] += 0x60;
        latin[512 + 12] -= 0x60;
        let end = Tree::look_through(latin.as_slice(), BOUNDS);
        assert!(matches!(end, Err(Broken::Refused(Refused::NotText { .. }))), "{end:?}");
        let few = Bounds { entries: 2, ..BOUNDS };
        assert_eq!(look(&revision(), few), Refused::TooMany { limit: 2 });
        let large = "x".repeat(6 << 10);
        let small = Bounds { bytes: 10 << 10, ..BOUNDS };
        assert_eq!(
            look(&[("a", Text(&large)), ("b", Text(&large))], small),
            Refused::TooLarge { limit: 10 << 10 }
        );
        // Not even remembered.
        let long = " ".repeat(usize::try_from(TEXT_LIMIT).unwrap() + 1);
        let tree = Tree::look_through(archive(&[(COMPOSE[0], Text(&long))], 1).as_slice(), BOUNDS).unwrap();
        assert_eq!((tree.read(COMPOSE[0]), tree.kind(COMPOSE[0]).is_some()), (None, true));
    }

    #[test]
    fn links_out_of_the_context_are_refused() {
        let things = [("app", Folder), ("app/up", Link("../x")), ("abs", Link("/etc/passwd"))];
        let tree = Tree::look_through(archive(&things, 1).as_slice(), BOUNDS).unwrap();
        assert_eq!(tree.check_links("app"), Err(Refused::LinkLeaves { path: "app/up".into() }));
        assert_eq!(tree.check_links(""), Err(Refused::LinkLeaves { path: "abs".into() }));
        let tree = Tree::look_through(archive(&things[..2], 1).as_slice(), BOUNDS).unwrap();
        assert_eq!(tree.check_links(""), Ok(()));
    }

    #[test]
    fn another_archive_than_the_one_looked_through_has_no_end() {
        let tree = Tree::look_through(archive(&revision(), 1).as_slice(), BOUNDS).unwrap();
        for (at, change) in [
            (3, ("app/Dockerfile", Text("FROM y"))),
            (3, ("app/Dockerfile", Link("FROM x"))),
            (5, ("app/link", Link("Dockerfile"))),
            (6, ("more", Text("services:"))),
            (6, (".git/x", Text("one less"))),
        ] {
            let mut things = revision();
            things[at] = change;
            let mut out = Vec::new();
            let end = tree.send(archive(&things, 1).as_slice(), &build(""), &mut out);
            assert!(matches!(end, Err(Broken::Refused(Refused::Changed { .. }))), "{at}: {end:?}");
            assert!(!out.ends_with(&[0; 1024]), "{at} could be taken for a whole archive");
        }
        // Cut in the middle.
        let cut = archive(&revision(), 1);
        let mut out = Vec::new();
        let end = tree.send(&cut[..2_000], &build(""), &mut out);
        assert!(matches!(end, Err(Broken::Io(_) | Broken::Refused(_))), "{end:?}");
        assert!(!out.ends_with(&[0; 1024]));
    }
}
