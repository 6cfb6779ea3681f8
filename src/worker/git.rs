//! How this room calls git: argument vectors, a clean environment, a time limit, and never a decision from its prose.
//!
//! The token travels in git's environment configuration, bound to the address of its server: not in an argument, an
//! address or a file. No hook, no file system monitor, no helper and no prompt of anybody's configuration runs.

use super::{
    child::{self, Bounds, Call, End},
    job::Job,
    machine::{self, Instant, text},
    secrets::Redactor,
};
use crate::{
    domain::CommitId,
    runtime::{Credential, Scheme},
};
use base64::Engine as _;
use secrecy::ExposeSecret as _;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Where our references stand in `repo.git`: written by fetch, read by agent and publish.
pub(super) const BASE: &str = "refs/roundsman/base";
/// Tip of the target branch when the turn began.
pub(super) const TARGET: &str = "refs/roundsman/target";
/// The one reference of a bundle.
pub(super) const WORK: &str = "refs/roundsman/work";

/// What one call may print: the list of all files of a very large repository is a few tens of MB.
const OUTPUT_CAP: u64 = 256 << 20;
/// Between asking git and killing it: enough to remove its lock files.
const GRACE: Duration = Duration::from_secs(2);
/// Characters of git's words that people get to see.
const DETAIL: usize = 1500;

/// Problems of old histories that harm nobody and that fsck would refuse; the big hosters tolerate the same.
const TOLERATED: [&str; 4] = ["zeroPaddedFilemode", "missingSpaceBeforeDate", "badTimezone", "missingEmail"];

/// A repository, named in full so that git never searches for one.
#[derive(Clone, Debug)]
pub(super) struct Repo {
    git_dir: PathBuf,
    work_tree: Option<PathBuf>,
}

impl Repo {
    /// `repo.git`.
    pub(super) fn bare(directory: &Path) -> Self {
        Self { git_dir: directory.to_owned(), work_tree: None }
    }

    /// A checkout.
    pub(super) fn checkout(directory: &Path) -> Self {
        Self { git_dir: directory.join(".git"), work_tree: Some(directory.to_owned()) }
    }
}

/// git did not do what it was asked for. For people; redacted and bounded.
#[derive(Clone, Debug, thiserror::Error)]
#[error("git {verb}: {detail}")]
pub(super) struct GitError {
    verb: String,
    detail: String,
    /// It ended by itself, with this code.
    pub(super) code: Option<i32>,
    /// What it printed for programs; as redacted and bounded as its words.
    pub(super) output: String,
}

#[cfg(test)]
impl GitError {
    /// As git would have said it.
    pub(super) fn of(verb: &str, detail: &str) -> Self {
        Self { verb: verb.into(), detail: detail.into(), code: Some(128), output: String::new() }
    }
}

/// A git with its environment.
pub(super) struct Git {
    home: tempfile::TempDir,
    search_path: String,
    bounds: Bounds,
    redactor: Redactor,
    remote: Remote,
    identity: Vec<(String, String)>,
}

/// The one server that may be talked to.
struct Remote {
    url: String,
    environment: Vec<(String, String)>,
    configuration: Vec<(String, String)>,
}

impl Git {
    /// For one step; `credential` is only used by [`Git::remote`].
    pub(super) fn new(job: &Job, credential: Option<&Credential>) -> Result<Self, GitError> {
        let home =
            tempfile::Builder::new().prefix(".git-home-").tempdir_in(&job.directory).map_err(|error| {
                GitError { verb: "home".into(), detail: error.to_string(), code: None, output: String::new() }
            })?;
        let commit = &job.spec.commit;
        let date = format!("{} +0000", commit.date.as_second());
        let identity = ["AUTHOR", "COMMITTER"]
            .into_iter()
            .flat_map(|who| {
                [("NAME", &commit.name), ("EMAIL", &commit.email), ("DATE", &date)]
                    .map(|(what, value)| (format!("GIT_{who}_{what}"), value.clone()))
            })
            .collect();
        Ok(Self {
            home,
            search_path: machine::search_path(),
            bounds: Bounds {
                deadline: job.deadline,
                idle: None,
                output_bytes: OUTPUT_CAP,
                grace: GRACE,
                stop: Some(job.stop.clone()),
            },
            redactor: job.redactor.clone(),
            remote: Remote::new(&job.spec.source.url, credential, job.network()),
            identity,
        })
    }

    /// This git, until `deadline` and whoever says stop: for saving work.
    pub(super) fn unstoppable(mut self, deadline: Instant) -> Self {
        self.bounds.deadline = deadline;
        self.bounds.stop = None;
        self
    }

    /// A local call: no credential, no network. Standard output.
    pub(super) fn local(&self, repo: &Repo, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
        self.local_with(repo, arguments, Vec::new())
    }

    /// A local call with standard input.
    pub(super) fn local_with(
        &self,
        repo: &Repo,
        arguments: &[&str],
        input: Vec<u8>,
    ) -> Result<Vec<u8>, GitError> {
        let configuration = [("protocol.allow", "never"), ("protocol.file.allow", "always")];
        self.call(Some(repo), arguments, input, pairs(&configuration), Vec::new())
    }

    /// A local call without a repository, for `init`.
    pub(super) fn bare_call(&self, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
        self.call(None, arguments, Vec::new(), pairs(&[("protocol.allow", "never")]), Vec::new())
    }

    /// A call to the server, with the credential.
    pub(super) fn remote(&self, repo: &Repo, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
        self.call(
            Some(repo),
            arguments,
            Vec::new(),
            self.remote.configuration.clone(),
            self.remote.environment.clone(),
        )
    }

    /// An error of ours about what git did.
    #[expect(clippy::unused_self, reason = "only who has a git can say what it did")]
    pub(super) fn refusal(&self, verb: &str, detail: &str) -> GitError {
        GitError { verb: verb.to_owned(), detail: detail.to_owned(), code: None, output: String::new() }
    }

    /// The server's address.
    pub(super) fn url(&self) -> &str {
        &self.remote.url
    }

    /// Yes or no, for commands that answer with their exit code.
    pub(super) fn asks(&self, repo: &Repo, arguments: &[&str]) -> Result<bool, GitError> {
        match self.local(repo, arguments) {
            Ok(_) => Ok(true),
            Err(GitError { code: Some(1), .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The commit that a name stands for; none when there is none.
    pub(super) fn commit(&self, repo: &Repo, name: &str) -> Result<Option<CommitId>, GitError> {
        let name = format!("{name}^{{commit}}");
        match self.local(repo, &["rev-parse", "--verify", "--quiet", "--end-of-options", &name]) {
            Ok(answer) => Ok(String::from_utf8_lossy(&answer).trim().parse().ok()),
            Err(GitError { code: Some(1), .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The newest commit of the target that our branch stands on: everything in it was landed by people, whatever agents
    /// committed since. A branch that shares nothing with its target stands on the target as it is.
    pub(super) fn ground(
        &self,
        repo: &Repo,
        target: &CommitId,
        own: &CommitId,
    ) -> Result<CommitId, GitError> {
        match self.local(repo, &["merge-base", target.as_str(), own.as_str()]) {
            Ok(answer) => String::from_utf8_lossy(&answer)
                .trim()
                .parse()
                .map_err(|_| self.refusal("merge-base", "it printed no commit")),
            Err(GitError { code: Some(1), .. }) => Ok(target.clone()),
            Err(error) => Err(error),
        }
    }

    /// Where a branch stands on the server.
    pub(super) fn remote_head(&self, repo: &Repo, full_name: &str) -> Result<Option<CommitId>, GitError> {
        let answer = self.remote(repo, &["ls-remote", "--refs", "--", self.url(), full_name])?;
        // The pattern also matches longer names with the same end.
        Ok(String::from_utf8_lossy(&answer)
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .find(|(_, name)| *name == full_name)
            .and_then(|(id, _)| id.parse().ok()))
    }

    fn call(
        &self,
        repo: Option<&Repo>,
        arguments: &[&str],
        input: Vec<u8>,
        configuration: Vec<(String, String)>,
        mut environment: Vec<(String, String)>,
    ) -> Result<Vec<u8>, GitError> {
        let home = text(self.home.path());
        environment.extend(pairs(&[
            ("PATH", &self.search_path),
            ("HOME", &home),
            ("XDG_CONFIG_HOME", &home),
            ("LC_ALL", "C"),
            ("TZ", "UTC"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "false"),
            ("GIT_LFS_SKIP_SMUDGE", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_OPTIONAL_LOCKS", "0"),
        ]));
        environment.extend(self.identity.iter().cloned());
        if let Some(repo) = repo {
            environment.push(("GIT_DIR".into(), text(&repo.git_dir)));
            if let Some(tree) = &repo.work_tree {
                environment.push(("GIT_WORK_TREE".into(), text(tree)));
            }
        }
        let mut settings = pairs(&[
            ("credential.helper", ""),
            ("core.hooksPath", "/dev/null"),
            ("core.fsmonitor", "false"),
            ("core.attributesFile", "/dev/null"),
            ("core.pager", "cat"),
            ("core.quotePath", "false"),
            ("transfer.fsckObjects", "true"),
            ("commit.gpgSign", "false"),
            ("push.gpgSign", "false"),
            ("gc.auto", "0"),
            ("maintenance.auto", "false"),
            ("submodule.recurse", "false"),
            ("fetch.recurseSubmodules", "false"),
            ("safe.directory", "*"),
        ]);
        settings.extend(configuration);
        environment.push(("GIT_CONFIG_COUNT".into(), settings.len().to_string()));
        for (index, (key, value)) in settings.into_iter().enumerate() {
            environment.push((format!("GIT_CONFIG_KEY_{index}"), key));
            environment.push((format!("GIT_CONFIG_VALUE_{index}"), value));
        }

        let command: Vec<String> =
            std::iter::once("git").chain(arguments.iter().copied()).map(str::to_owned).collect();
        let directory = repo.and_then(|repo| repo.work_tree.as_deref()).unwrap_or(self.home.path());
        let ended = child::run(Call {
            command: &command,
            environment: &environment,
            directory,
            input,
            log: None,
            watch: None,
            capture: true,
            bounds: self.bounds.clone(),
        });
        let verb = || arguments.first().copied().unwrap_or_default().to_owned();
        let words = self.redactor.clean(&String::from_utf8_lossy(&ended.stderr), DETAIL);
        match ended.end {
            End::Exited(0) => Ok(ended.stdout),
            End::Exited(code) => {
                let output = self.redactor.clean(&String::from_utf8_lossy(&ended.stdout), DETAIL);
                Err(GitError { verb: verb(), detail: words, code: Some(code), output })
            }
            other => {
                let detail = format!("{other:?} {words}");
                Err(GitError { verb: verb(), detail, code: None, output: String::new() })
            }
        }
    }
}

impl Remote {
    fn new(url: &str, credential: Option<&Credential>, environment: Vec<(String, String)>) -> Self {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        let mut configuration = pairs(&[("protocol.allow", "never"), ("http.followRedirects", "false")]);
        if matches!(scheme, "https" | "http" | "file") {
            configuration.push((format!("protocol.{scheme}.allow"), "always".into()));
        }
        for tolerated in TOLERATED {
            configuration.push((format!("fetch.fsck.{tolerated}"), "ignore".into()));
        }
        if let (Some(credential), Some(base)) = (credential, server(url)) {
            let token = credential.token.expose_secret();
            let header = match credential.scheme {
                Scheme::Bearer => format!("Authorization: Bearer {token}"),
                Scheme::Pat => {
                    let basic = base64::engine::general_purpose::STANDARD.encode(format!(":{token}"));
                    format!("Authorization: Basic {basic}")
                }
            };
            // An empty value first: headers of one key add up, and two of this kind are refused.
            configuration.push((format!("http.{base}.extraheader"), String::new()));
            configuration.push((format!("http.{base}.extraheader"), header));
        }
        Self { url: url.to_owned(), environment, configuration }
    }
}

/// `https://host:port/` of an address: where the header may go.
fn server(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    let host = url.host_str()?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{host}{port}/", url.scheme()))
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_bound_to_its_server_and_resets_inherited_ones() {
        let credential = Credential { scheme: Scheme::Pat, token: "t".repeat(52).into() };
        let remote = Remote::new("https://example.invalid:8443/org/_git/repo", Some(&credential), Vec::new());
        let headers: Vec<_> =
            remote.configuration.iter().filter(|(key, _)| key.ends_with("extraheader")).collect();
        assert_eq!(headers.len(), 2);
        assert!(headers.iter().all(|(key, _)| key == "http.https://example.invalid:8443/.extraheader"));
        assert!(headers[0].1.is_empty() && headers[1].1.starts_with("Authorization: Basic "));
        assert!(!remote.url.contains("tttt"));
    }

    #[test]
    fn only_the_protocol_of_the_address_is_allowed() {
        let allowed = |url: &str| -> Vec<String> {
            let keys = Remote::new(url, None, Vec::new()).configuration.into_iter();
            keys.filter(|(_, value)| value == "always").map(|(key, _)| key).collect()
        };
        assert_eq!(allowed("https://example.invalid/x"), ["protocol.https.allow"]);
        assert_eq!(allowed("file:///x"), ["protocol.file.allow"]);
        assert!(allowed("ext::sh -c x").is_empty());
    }
}
