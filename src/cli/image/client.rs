//! The engine's client, a program of its own: found, asked, watched.
//!
//! Images are built by the client and not through the engine's interface, because only the client speaks `BuildKit`'s
//! protocol for secrets. Knows nothing about what is built.

use super::{Problem, Surroundings, variable};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// From this major version on `BuildKit` is a plug-in of the client; before, it was inside.
const PLUG_IN_SINCE: u32 = 23;

/// What the client must be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// To talk to the engine.
    Anything,
    /// To build with `BuildKit` as well.
    BuildKit,
}

/// A client that does what is needed.
#[derive(Debug)]
pub(super) struct Client {
    program: PathBuf,
    has_plug_in: bool,
    vars: Vec<(&'static str, String)>,
}

impl Client {
    /// The first `docker` on `PATH` that does what is needed: machines are met whose first one cannot build.
    pub(super) fn find(surroundings: &Surroundings, need: Need) -> Result<Self, Problem> {
        let path = variable(surroundings, "PATH").unwrap_or_default();
        let mut seen = BTreeSet::new();
        let mut refused = None;
        for folder in std::env::split_paths(&path) {
            let program = folder.join("docker");
            // Two folders of the path are often one.
            let known = program.canonicalize().is_ok_and(|real| !seen.insert(real));
            if known || !program.is_file() {
                continue;
            }
            let mut client = Self { program, has_plug_in: false, vars: engine_vars(surroundings) };
            match need {
                Need::Anything => return Ok(client),
                Need::BuildKit => {}
            }
            client.has_plug_in = client.ask(["buildx", "version"]).is_ok();
            if client.has_plug_in || client.major().is_some_and(|major| major < PLUG_IN_SINCE) {
                return Ok(client);
            }
            refused.get_or_insert(client.program);
        }
        Err(refused.map_or(Problem::NoClient, Problem::NoBuildKit))
    }

    /// Whether a finished image must be asked for.
    pub(super) fn loads(&self) -> bool {
        self.has_plug_in
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// What kind of programs the engine runs: `amd64`, `arm64`. An error if no engine answers.
    pub(super) fn engine(&self) -> Result<String, Problem> {
        self.ask(["version", "--format", "{{.Server.Arch}}"]).map_err(Problem::NoEngine)
    }

    /// Id of an image, if the engine has it.
    pub(super) fn id_of(&self, image: &str) -> Option<String> {
        self.ask(["image", "inspect", "--format", "{{.Id}}", image]).ok()
    }

    /// Id and size in bytes.
    pub(super) fn describe(&self, image: &str) -> Result<(String, u64), Problem> {
        let missing = || Problem::Missing(image.to_owned());
        let said = self.ask(["image", "inspect", "--format", "{{.Id}} {{.Size}}", image]);
        let said = said.map_err(|_| missing())?;
        let (id, bytes) = said.split_once(' ').ok_or_else(missing)?;
        Ok((id.to_owned(), bytes.parse().unwrap_or_default()))
    }

    /// A label of an image, if it has it.
    pub(super) fn label(&self, image: &str, name: &str) -> Option<String> {
        let format = format!("{{{{index .Config.Labels \"{name}\"}}}}");
        self.ask(["image", "inspect", "--format", &format, image]).ok().filter(|value| !value.is_empty())
    }

    /// What it answers, or the last line of its complaint that is no advice.
    pub(super) fn ask<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Result<String, String> {
        let output = self.command().args(words).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        let says = |line: &&str| !line.trim().is_empty() && !line.contains("--help");
        let last = complaint.lines().rev().find(says).unwrap_or("no word why");
        Err(last.trim().to_owned())
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.envs(self.vars.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        command
    }

    /// Told even when no engine answers.
    fn major(&self) -> Option<u32> {
        let output = self.command().args(["version", "--format", "{{.Client.Version}}"]).output().ok()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.trim().split('.').next()?.parse().ok()
    }
}

/// Runs `command`, passes every line of its talk on, and says whether it went well.
pub(super) fn watch(mut command: Command, mut hear: impl FnMut(&str)) -> Result<bool, Problem> {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    if let Some(talk) = child.stderr.take() {
        // Compilers and package managers write what they like; a line need not be text.
        for line in BufReader::new(talk).split(b'\n') {
            hear(&String::from_utf8_lossy(&line?));
        }
    }
    Ok(child.wait()?.success())
}

/// The engine of the settings, in the words of its client.
fn engine_vars(surroundings: &Surroundings) -> Vec<(&'static str, String)> {
    let mut vars = vec![("DOCKER_BUILDKIT", "1".to_owned())];
    if let Some(host) = variable(surroundings, "ROUNDSMAN_RUNTIME_DOCKER_HOST") {
        vars.push(("DOCKER_HOST", host));
    }
    if let Some(folder) = variable(surroundings, "ROUNDSMAN_RUNTIME_DOCKER_CERTIFICATES") {
        vars.push(("DOCKER_CERT_PATH", folder));
        vars.push(("DOCKER_TLS_VERIFY", "1".to_owned()));
    }
    vars
}
