//! The machine under a step: clock, environment, directories. The only place of this room that reads them.

pub(super) use std::time::Instant;
use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Where programs are found when nobody says: a worker is started with an empty environment.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where agents are in an image that is not ours.
const TOOLS: &str = "/opt/roundsman/bin";

/// Where Debian and most others keep the certificates that are trusted.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What a program that talks to a server may inherit: how to get out of a company network, nothing that identifies us.
const NETWORK: [&str; 12] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
];

/// The time, for deadlines only: what a step leaves never depends on it.
pub(super) fn now() -> Instant {
    Instant::now()
}

/// A variable of the worker's own environment.
pub(super) fn variable(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the worker is a program of its own; this is its only look"
    )]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Search path for programs. A foreign image does not know where our tools are mounted.
pub(super) fn search_path() -> String {
    let given = variable("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let knows = given.split(':').any(|folder| folder == TOOLS);
    if knows || !Path::new(TOOLS).is_dir() { given } else { format!("{given}:{TOOLS}") }
}

/// Where on the search path a program is. Whoever is started by its place need not be forked for: with a search path of
/// its own a child is a whole copy of this process first.
pub(super) fn place(program: &str, search_path: &str) -> PathBuf {
    std::env::split_paths(search_path)
        .map(|folder| folder.join(program))
        .find(|place| !program.contains('/') && place.is_absolute() && is_program(place))
        .unwrap_or_else(|| program.into())
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// How to reach a server.
pub(super) fn network() -> Vec<(String, String)> {
    NETWORK.iter().filter_map(|name| Some(((*name).to_owned(), variable(name)?))).collect()
}

/// The machine's own list of certificates, where there is one.
pub(super) fn certificates() -> Option<PathBuf> {
    let told = variable("SSL_CERT_FILE").map(PathBuf::from);
    told.into_iter().chain([PathBuf::from(CERTIFICATES)]).find(|path| path.is_file())
}

/// Makes `directory` exist and be empty. The directory itself stays: it may be the root of a volume.
pub(super) fn empty(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            crate::runtime::process::files::remove_tree(&entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Paths become arguments and variables as text; ours always are.
pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Writes a file with its directories.
pub(super) fn write(path: PathBuf, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, bytes)
}
