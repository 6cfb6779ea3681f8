//! Which environment a repository describes for itself. Pure: it is given the files of one revision, and builds nothing.
//!
//! Order: the compose file, the devcontainer, the Dockerfile. Of each only what makes an image is read; everything that
//! would reach out of the build (volumes, secrets, networks, variables of the host) is not obeyed, and said.

use super::{compose, devcontainer, paths};
use std::{collections::BTreeMap, fmt};

/// Compose files, in the order in which they are looked for.
pub const COMPOSE: [&str; 2] = ["docker-compose.yml", "docker-compose.yaml"];
/// The devcontainer's description.
pub const DEVCONTAINER: &str = ".devcontainer/devcontainer.json";
/// Dockerfiles, in the order in which they are looked for.
pub const DOCKERFILES: [&str; 2] = ["Dockerfile", "dockerfile"];

/// Bytes of a description. The largest hand-written compose files have a few tens of KB.
pub const TEXT_LIMIT: u64 = 256 << 10;
/// Bytes of all build arguments: they travel in an address, which engines cut at a megabyte.
const ARGUMENTS_LIMIT: usize = 16 << 10;
/// Characters of somebody's name or path in a sentence of ours.
const SHOWN: usize = 80;
/// Names that one sentence lists.
const LISTED: usize = 12;
/// Characters of the name of a build stage.
const STAGE_LIMIT: usize = 128;
/// Characters of an image's name, registry included.
const IMAGE_LIMIT: usize = 255;

/// The files of one revision. Paths are relative, `/`-separated, without `.` and `..`.
pub trait Files {
    /// What is at this path, never through a link; none when there is nothing.
    fn kind(&self, path: &str) -> Option<Kind>;
    /// The content of a regular file of at most [`TEXT_LIMIT`] bytes that detection may ask for.
    fn read(&self, path: &str) -> Option<&[u8]>;
}

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// Its size in bytes.
        bytes: u64,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
}

/// What a repository describes, and what of it is not obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How to come to an image; none when nothing is described.
    pub recipe: Option<Recipe>,
    /// What was seen and left out.
    pub notes: Vec<Note>,
}

/// How to come to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// Build one.
    Build(Build),
    /// Take one by its name.
    Image(String),
}

/// What to build. Nothing else of the description reaches the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Who described it.
    pub origin: Origin,
    /// The instructions.
    pub dockerfile: Dockerfile,
    /// The folder that is sent; the root is empty.
    pub context: String,
    /// The stage to stop at.
    pub target: Option<String>,
    /// Build arguments, literal.
    pub args: BTreeMap<String, String>,
}

/// Instructions of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dockerfile {
    /// A file below the context; the path is the repository's.
    Path(String),
    /// A text.
    Inline(String),
}

/// Who described the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A service of a compose file.
    Compose {
        /// The file.
        file: String,
        /// The service.
        service: String,
    },
    /// [`DEVCONTAINER`].
    Devcontainer,
    /// One of [`DOCKERFILES`].
    Dockerfile,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compose { file, service } => write!(f, "service `{}` of `{file}`", shown(service)),
            Self::Devcontainer => write!(f, "`{DEVCONTAINER}`"),
            Self::Dockerfile => f.write_str("the repository's Dockerfile"),
        }
    }
}

/// Why a description cannot be followed. The worker image takes its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// More than [`TEXT_LIMIT`].
    #[error("`{path}` has {bytes} bytes; a description of at most {TEXT_LIMIT} bytes is read")]
    TooLarge {
        /// The description.
        path: String,
        /// Its size.
        bytes: u64,
    },
    /// Not what its name says.
    #[error("`{path}` is not readable as {what}: correct it, or remove it")]
    Malformed {
        /// The description.
        path: String,
        /// The format.
        what: &'static str,
    },
    /// A part of a path is a symbolic link.
    #[error("`{}` is a symbolic link; name the file itself", shown(path))]
    Link {
        /// The link.
        path: String,
    },
    /// A path leads out of where it may point.
    #[error("the {what} `{}` leads out of the {limit}; keep it inside", shown(path))]
    Leaves {
        /// Which of the paths.
        what: &'static str,
        /// As written.
        path: String,
        /// Repository or context.
        limit: &'static str,
    },
    /// The context is an address.
    #[error("the build context `{}` is an address; only folders of the repository are built", shown(context))]
    Remote {
        /// As written.
        context: String,
    },
    /// Something that is named is not there.
    #[error("the {what} `{}` is not in the repository", shown(path))]
    Missing {
        /// Which of the paths.
        what: &'static str,
        /// The resolved path.
        path: String,
    },
    /// A name that no engine would take.
    #[error("`{}` is no name of {what}", shown(name))]
    BadName {
        /// As written.
        name: String,
        /// Of which thing.
        what: &'static str,
    },
    /// Too many, or too long.
    #[error("the build arguments have {bytes} bytes; at most {ARGUMENTS_LIMIT} are passed on")]
    ArgumentsTooLong {
        /// All names and values.
        bytes: usize,
    },
}

/// What was seen in a description and is not obeyed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    /// Variables of the host.
    #[error(
        "`{file}` refers to variables of the host, which are not passed on ({}); defaults or nothing stand in their place",
        listed(names)
    )]
    Variables {
        /// The description.
        file: String,
        /// Their names.
        names: Vec<String>,
    },
    /// Build arguments without a usable value.
    #[error("`{file}` names build arguments without a literal value, which are left out ({})", listed(names))]
    Arguments {
        /// The description.
        file: String,
        /// Their names.
        names: Vec<String>,
    },
    /// Keys that have no effect here.
    #[error("of `{file}` only what builds the image is obeyed; no effect have: {}", listed(keys))]
    Keys {
        /// The description.
        file: String,
        /// The keys.
        keys: Vec<String>,
    },
    /// A description that describes no image.
    #[error(
        "`{file}` describes no image that the application could run in; the next description was looked for"
    )]
    NoImage {
        /// The description.
        file: String,
    },
    /// The list of what is not sent.
    #[error("`{file}` has no effect: the whole build context of the revision is sent")]
    IgnoreFile {
        /// The list.
        file: String,
    },
}

/// Which environment the revision describes.
pub fn detect(files: &impl Files) -> Result<Found, Unusable> {
    let mut notes = Vec::new();
    let recipe = find(files, &mut notes)?;
    if let Some(Recipe::Build(build)) = &recipe {
        let ignore = paths::within(&build.context, ".dockerignore").unwrap_or_default();
        if files.kind(&ignore).is_some() {
            notes.push(Note::IgnoreFile { file: ignore });
        }
    }
    Ok(Found { recipe, notes })
}

fn find(files: &impl Files, notes: &mut Vec<Note>) -> Result<Option<Recipe>, Unusable> {
    for file in COMPOSE {
        if let Some(text) = text(files, file)? {
            match compose::read(files, file, text, notes)? {
                Some(build) => return Ok(Some(Recipe::Build(build))),
                None => notes.push(Note::NoImage { file: file.to_owned() }),
            }
        }
    }
    if let Some(text) = text(files, DEVCONTAINER)? {
        match devcontainer::read(files, text, notes)? {
            Some(recipe) => return Ok(Some(recipe)),
            None => notes.push(Note::NoImage { file: DEVCONTAINER.to_owned() }),
        }
    }
    for file in DOCKERFILES {
        match paths::solid(files, file)? {
            Some(Kind::File { .. }) => {
                return Ok(Some(Recipe::Build(Build {
                    origin: Origin::Dockerfile,
                    dockerfile: Dockerfile::Path(file.to_owned()),
                    context: String::new(),
                    target: None,
                    args: BTreeMap::new(),
                })));
            }
            Some(Kind::Folder | Kind::Link) | None => {}
        }
    }
    Ok(None)
}

/// The text of a description; none when it is not there.
fn text<'a>(files: &'a impl Files, path: &str) -> Result<Option<&'a str>, Unusable> {
    match paths::solid(files, path)? {
        None | Some(Kind::Folder | Kind::Link) => Ok(None),
        Some(Kind::File { bytes }) if bytes > TEXT_LIMIT => {
            Err(Unusable::TooLarge { path: path.to_owned(), bytes })
        }
        Some(Kind::File { .. }) => {
            let text = files.read(path).and_then(|bytes| std::str::from_utf8(bytes).ok());
            let text = text.map(|text| text.trim_start_matches('\u{feff}'));
            text.map(Some).ok_or_else(|| Unusable::Malformed { path: path.to_owned(), what: "text" })
        }
    }
}

/// What a description says about a build, before it is believed.
pub(super) struct Wanted {
    pub(super) origin: Origin,
    /// The folder of the description.
    pub(super) folder: &'static str,
    /// As written; empty is the folder itself.
    pub(super) context: String,
    /// As written, and the folder that it is relative to.
    pub(super) dockerfile: WantedFile,
    pub(super) target: Option<String>,
    pub(super) args: BTreeMap<String, String>,
}

/// Where the instructions are said to be.
pub(super) enum WantedFile {
    /// Relative to the context; empty is `Dockerfile`.
    OfContext(String),
    /// Relative to the description.
    OfFolder(String),
    /// Here.
    Inline(String),
}

impl Wanted {
    /// The build, if everything it names is there, stays inside and has a name that an engine takes.
    pub(super) fn check(self, files: &impl Files) -> Result<Build, Unusable> {
        let address = self.context.contains("://")
            || self.context.starts_with("git@")
            || self.context.starts_with("github.com/");
        if address {
            return Err(Unusable::Remote { context: self.context });
        }
        let leaves = |what, path: &str, limit| Unusable::Leaves { what, path: path.to_owned(), limit };
        let context = paths::within(self.folder, &self.context)
            .ok_or_else(|| leaves("build context", &self.context, "repository"))?;
        match paths::solid(files, &context)? {
            Some(Kind::Folder) => {}
            Some(Kind::File { .. } | Kind::Link) | None => {
                return Err(Unusable::Missing { what: "build context", path: context });
            }
        }
        let dockerfile = match self.dockerfile {
            WantedFile::Inline(text) if text.len() as u64 > TEXT_LIMIT => {
                return Err(Unusable::TooLarge {
                    path: "dockerfile_inline".into(),
                    bytes: text.len() as u64,
                });
            }
            WantedFile::Inline(text) => Dockerfile::Inline(text),
            WantedFile::OfContext(path) => Dockerfile::Path(there(files, &context, &context, &path)?),
            WantedFile::OfFolder(path) => Dockerfile::Path(there(files, self.folder, &context, &path)?),
        };
        if let Some(target) = &self.target
            && !is_stage(target)
        {
            return Err(Unusable::BadName { name: target.clone(), what: "a build stage" });
        }
        let bytes = self.args.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > ARGUMENTS_LIMIT {
            return Err(Unusable::ArgumentsTooLong { bytes });
        }
        Ok(Build { origin: self.origin, dockerfile, context, target: self.target, args: self.args })
    }
}

/// The path of a Dockerfile that is a file below the context.
fn there(files: &impl Files, folder: &str, context: &str, written: &str) -> Result<String, Unusable> {
    let written = if written.is_empty() { DOCKERFILES[0] } else { written };
    let leaves = |limit| Unusable::Leaves { what: "Dockerfile", path: written.to_owned(), limit };
    let path = paths::within(folder, written).ok_or_else(|| leaves("repository"))?;
    if paths::below(context, &path).is_none() {
        return Err(leaves("build context"));
    }
    match paths::solid(files, &path)? {
        Some(Kind::File { .. }) => Ok(path),
        Some(Kind::Folder | Kind::Link) | None => Err(Unusable::Missing { what: "Dockerfile", path }),
    }
}

fn is_stage(name: &str) -> bool {
    (1..=STAGE_LIMIT).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// Whether an argument may be called so.
pub(super) fn is_argument(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether an engine would take this as the name of an image: nothing that would be an option, a path or an address.
pub fn is_image(name: &str) -> bool {
    (1..=IMAGE_LIMIT).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte))
        && !name.split(['/', ':', '@']).any(|part| part.is_empty() || part == "." || part == "..")
}

/// Somebody's word in a sentence of ours: one line, bounded, nothing that could be markup or an escape sequence.
pub(super) fn shown(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(SHOWN)
        .map(|c| if c.is_control() || "`<>|*[]".contains(c) { '?' } else { c })
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out
}

fn listed(names: &[String]) -> String {
    let mut all: Vec<String> = names.iter().take(LISTED).map(|name| format!("`{}`", shown(name))).collect();
    if names.len() > LISTED {
        all.push(format!("{} more", names.len() - LISTED));
    }
    all.join(", ")
}
