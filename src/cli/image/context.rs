//! Where the programs of an image come from: compiled ones beside us, or a checkout that the engine compiles.
//!
//! Knows files, and nothing of engines.

use super::Problem;
use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// The recipe, as it was when this program was compiled.
pub(super) const DOCKERFILE: &str = include_str!("../../../worker.dockerfile");
/// Folder of compiled programs in a context that we make.
pub(super) const PREBUILT: &str = "programs";
/// The head of a Linux program that tells what it is; linkers put the table right behind the header.
const HEAD: u64 = 4096;

/// What goes into an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Programs {
    /// This program, as the worker.
    Compiled(PathBuf),
    /// This checkout, compiled by the engine.
    Checkout(PathBuf),
}

impl Programs {
    /// `asked` wins; then our own program, so that the image fits whoever builds it; then a checkout right here.
    pub(super) fn choose(asked: Option<&Path>, own: &Path, here: &Path) -> Result<Self, Problem> {
        let is_checkout =
            |folder: &Path| folder.join("worker.dockerfile").is_file() && folder.join("src").is_dir();
        if let Some(folder) = asked {
            return if is_checkout(folder) {
                Ok(Self::Checkout(folder.to_owned()))
            } else {
                Err(Problem::Asked(format!("--source: {} is no checkout of roundsman", folder.display())))
            };
        }
        if head(own).is_some_and(|head| Program::read(&head).is_some()) {
            Ok(Self::Compiled(own.to_owned()))
        } else if is_checkout(here) {
            Ok(Self::Checkout(here.to_owned()))
        } else {
            Err(Problem::NoProgram(here.to_owned()))
        }
    }

    /// Whether the worker needs the C library of the system that it was linked on: then it starts in few other images.
    pub(super) fn is_bound(&self) -> bool {
        match self {
            // The recipe links it statically.
            Self::Checkout(_) => false,
            Self::Compiled(program) => {
                head(program).and_then(|head| Program::read(&head)).is_some_and(|program| !program.is_static)
            }
        }
    }

    /// The folder that the engine is given, made below `scratch` where there is none. `machine` is what the engine
    /// runs, `amd64` or `arm64`.
    pub(super) fn context(&self, scratch: &Path, machine: &str) -> Result<PathBuf, Problem> {
        let program = match self {
            Self::Checkout(folder) => return Ok(folder.clone()),
            Self::Compiled(program) => program,
        };
        let own = head(program).and_then(|head| Program::read(&head));
        if let Some(own) = own.filter(|own| own.machine != machine) {
            return Err(Problem::OtherMachine { engine: machine.to_owned(), own: own.machine });
        }
        let context = scratch.join("context");
        fs::create_dir_all(context.join(PREBUILT))?;
        fs::write(context.join("worker.dockerfile"), DOCKERFILE)?;
        let worker = context.join(PREBUILT).join("roundsman-worker");
        fs::copy(program, &worker)?;
        // Whoever installed it for themselves alone: in the image it is another user's.
        fs::set_permissions(&worker, fs::Permissions::from_mode(0o755))?;
        Ok(context)
    }
}

/// Whether this is a program that needs no C library of the system that it runs on.
pub(super) fn is_static(program: &Path) -> bool {
    head(program).and_then(|head| Program::read(&head)).is_some_and(|program| program.is_static)
}

fn head(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(HEAD).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A Linux program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Program {
    /// As engines write it.
    machine: &'static str,
    /// Whether it needs no C library of the system that it runs on.
    is_static: bool,
}

impl Program {
    /// Reads the header of an ELF file, 64 bit and little endian; none if it is something else.
    fn read(bytes: &[u8]) -> Option<Self> {
        // Offsets of the ELF-64 header: e_machine, e_phoff, e_phentsize, e_phnum; p_type is first in an entry.
        let two = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let four = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let is_ours = bytes.starts_with(b"\x7fELF\x02\x01");
        let machine = match two(0x12)? {
            62 => "amd64",
            183 => "arm64",
            _ => return None,
        };
        if !is_ours {
            return None;
        }
        let (table, size, count) =
            (usize::try_from(four(0x20)?).ok()?, usize::from(two(0x36)?), usize::from(two(0x38)?));
        // PT_INTERP: the file names a loader.
        let names_loader = (0..count).any(|entry| four(table + entry * size) == Some(3));
        Some(Self { machine, is_static: !names_loader })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header and one entry of this type.
    fn elf(machine: u8, entry: u8) -> Vec<u8> {
        let mut bytes = vec![0; 0x40 + 0x38];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[0x12] = machine;
        bytes[0x20] = 0x40;
        bytes[0x36] = 0x38;
        bytes[0x38] = 1;
        bytes[0x40] = entry;
        bytes
    }

    #[test]
    fn a_program_tells_its_machine_and_whether_it_is_static() {
        assert_eq!(Program::read(&elf(62, 3)), Some(Program { machine: "amd64", is_static: false }));
        assert_eq!(Program::read(&elf(183, 1)), Some(Program { machine: "arm64", is_static: true }));
        assert_eq!(Program::read(&elf(40, 1)), None, "a machine that we make no images for");
        for other in [&b"#!/bin/sh\n"[..], b"", b"\x7fELF\x02\x01", &[0; 200]] {
            assert_eq!(Program::read(other), None);
        }
        assert!(Program::read(&fs::read(std::env::current_exe().unwrap()).unwrap()).is_some());
    }

    #[test]
    fn what_was_asked_for_wins_then_our_own_program_then_the_folder() {
        let own = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        let checkout = folder.path().join("checkout");
        fs::create_dir_all(checkout.join("src")).unwrap();
        fs::write(checkout.join("worker.dockerfile"), "FROM x").unwrap();

        let chosen = |asked: Option<&Path>, own: &Path| {
            Programs::choose(asked, own, &checkout).map_err(|e| e.to_string())
        };
        assert_eq!(chosen(Some(&checkout), &own), Ok(Programs::Checkout(checkout.clone())));
        assert_eq!(chosen(None, &own), Ok(Programs::Compiled(own.clone())));
        assert_eq!(chosen(None, &script), Ok(Programs::Checkout(checkout.clone())));
        assert!(chosen(Some(folder.path()), &own).unwrap_err().contains("no checkout"));
        assert!(Programs::choose(None, &script, folder.path()).is_err());
    }

    #[test]
    fn a_context_is_two_files() {
        let own = std::env::current_exe().unwrap();
        let machine = Program::read(&head(&own).unwrap()).unwrap().machine;
        let scratch = tempfile::tempdir().unwrap();
        let context = Programs::Compiled(own.clone()).context(scratch.path(), machine).unwrap();
        assert_eq!(fs::read_to_string(context.join("worker.dockerfile")).unwrap(), DOCKERFILE);
        let worker = context.join(PREBUILT).join("roundsman-worker");
        assert_eq!(fs::metadata(worker).unwrap().permissions().mode() & 0o777, 0o755);
        let refused = Programs::Compiled(own).context(scratch.path(), "s390x").unwrap_err().to_string();
        assert!(refused.contains("s390x") && refused.contains("--source"), "{refused}");
    }
}
