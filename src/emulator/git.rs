//! Real git, called as a program with a clean environment: bare repositories, commits, merges, refs.
//!
//! It knows git and nothing of Azure DevOps. No user or system configuration reaches these processes, so the outcome is
//! the same on every machine. Serving clones and pushes is next door in `backend`.

use jiff::Timestamp;
use std::{
    ffi::OsString,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

/// Git refused; the text is git's own.
#[derive(Debug, thiserror::Error)]
#[error("git {command}: {message}")]
pub(crate) struct GitError {
    command: String,
    message: String,
}

/// Who and when of a commit.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) at: Timestamp,
}

/// One file of a commit; no content means that it is deleted.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) path: String,
    pub(crate) content: Option<Vec<u8>>,
    pub(crate) executable: bool,
}

/// The outcome of a trial merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Merged {
    Tree(String),
    Conflicts(Vec<String>),
}

#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) id: String,
    pub(crate) tree: String,
    pub(crate) parents: Vec<String>,
    pub(crate) author: (String, String, String),
    pub(crate) committer: (String, String, String),
    pub(crate) message: String,
}

/// The search path is the one thing that children inherit: without it no tool of the pipeline would be found.
pub(crate) fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}

/// Git, by its place. A child that has a search path of its own and is called by its name only is forked for; a copy of
/// a process with hundreds of stories in it costs more than what most calls of git do.
pub(crate) fn program() -> &'static Path {
    static PLACE: LazyLock<PathBuf> = LazyLock::new(|| {
        let folders = search_path();
        let mut places = std::env::split_paths(&folders).map(|folder| folder.join("git"));
        places.find(|place| place.is_absolute() && place.is_file()).unwrap_or_else(|| "git".into())
    });
    &PLACE
}

/// What every git process of ours sees, and nothing else.
pub(crate) fn environment(home: &Path) -> Vec<(&'static str, OsString)> {
    vec![
        ("PATH", search_path()),
        ("HOME", home.into()),
        ("LC_ALL", "C".into()),
        ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
        ("GIT_TERMINAL_PROMPT", "0".into()),
        // Background repacking after a push would outlive the request that caused it.
        ("GIT_CONFIG_COUNT", "2".into()),
        ("GIT_CONFIG_KEY_0", "gc.auto".into()),
        ("GIT_CONFIG_VALUE_0", "0".into()),
        ("GIT_CONFIG_KEY_1", "maintenance.auto".into()),
        ("GIT_CONFIG_VALUE_1", "false".into()),
    ]
}

/// What a repository has to allow to be served like the service's own.
const SERVED: &str =
    "[http]\n\treceivepack = true\n[uploadpack]\n\tallowAnySHA1InWant = true\n\tallowFilter = true\n";

/// A bare repository.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    pub(crate) dir: PathBuf,
}

impl Git {
    pub(crate) fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    pub(crate) fn init(&self) -> Result<(), GitError> {
        let failed = |error: std::io::Error| GitError { command: "init".into(), message: error.to_string() };
        std::fs::create_dir_all(&self.dir).map_err(failed)?;
        self.run(&["init", "--quiet", "--bare", "--template=", "--initial-branch=main", "."])?;
        let config = std::fs::OpenOptions::new().append(true).open(self.dir.join("config"));
        config.and_then(|mut config| config.write_all(SERVED.as_bytes())).map_err(failed)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(program());
        command.env_clear().envs(environment(&self.dir)).current_dir(&self.dir);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Result<String, GitError> {
        self.feed(args, b"").map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    fn feed(&self, args: &[&str], input: &[u8]) -> Result<Vec<u8>, GitError> {
        let (code, out, err) = self.call(args, input, &[])?;
        if code == 0 {
            return Ok(out);
        }
        Err(GitError { command: args.join(" "), message: String::from_utf8_lossy(&err).trim().to_owned() })
    }

    fn call(
        &self,
        args: &[&str],
        input: &[u8],
        env: &[(&str, String)],
    ) -> Result<(i32, Vec<u8>, Vec<u8>), GitError> {
        let failed = |error: std::io::Error| GitError { command: args.join(" "), message: error.to_string() };
        let mut command = self.command();
        command.args(args).envs(env.iter().map(|(name, value)| (*name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // Git may end before it has read everything; its exit code tells, not the pipe.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().map_err(failed)?;
        Ok((output.status.code().unwrap_or(-1), output.stdout, output.stderr))
    }

    pub(crate) fn refs(&self) -> Result<Vec<(String, String)>, GitError> {
        let text = self.run(&["for-each-ref", "--format=%(refname) %(objectname)"])?;
        Ok(text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .collect())
    }

    pub(crate) fn update_ref(&self, name: &str, new: &str) -> Result<(), GitError> {
        self.run(&["update-ref", name, new]).map(drop)
    }

    pub(crate) fn delete_ref(&self, name: &str) -> Result<(), GitError> {
        self.run(&["update-ref", "-d", name]).map(drop)
    }

    pub(crate) fn has_commit(&self, id: &str) -> bool {
        self.run(&["cat-file", "-e", &format!("{id}^{{commit}}")]).is_ok()
    }

    pub(crate) fn is_ancestor(&self, old: &str, new: &str) -> bool {
        self.run(&["merge-base", "--is-ancestor", old, new]).is_ok()
    }

    pub(crate) fn merge_bases(&self, a: &str, b: &str) -> Vec<String> {
        self.run(&["merge-base", "--all", a, b])
            .map(|text| text.lines().map(str::to_owned).collect())
            .unwrap_or_default()
    }

    pub(crate) fn merge_tree(
        &self,
        ours: &str,
        theirs: &str,
        base: Option<&str>,
    ) -> Result<Merged, GitError> {
        let base = base.map(|base| format!("--merge-base={base}"));
        let mut args = vec!["merge-tree", "--write-tree", "--name-only", "--no-messages"];
        args.extend(base.as_deref());
        args.extend(["--allow-unrelated-histories", ours, theirs]);
        let (code, out, err) = self.call(&args, b"", &[])?;
        let text = String::from_utf8_lossy(&out);
        let mut lines = text.lines();
        let tree = lines.next().unwrap_or_default().to_owned();
        match code {
            0 => Ok(Merged::Tree(tree)),
            1 => Ok(Merged::Conflicts(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())),
            _ => Err(GitError {
                command: args.join(" "),
                message: String::from_utf8_lossy(&err).trim().to_owned(),
            }),
        }
    }

    pub(crate) fn commit_tree(
        &self,
        tree: &str,
        parents: &[&str],
        message: &str,
        author: &Signature,
        committer: &Signature,
    ) -> Result<String, GitError> {
        let mut args = vec!["commit-tree", tree];
        for parent in parents {
            args.extend(["-p", parent]);
        }
        let date = |signature: &Signature| format!("@{} +0000", signature.at.as_second());
        let env = [
            ("GIT_AUTHOR_NAME", author.name.clone()),
            ("GIT_AUTHOR_EMAIL", author.email.clone()),
            ("GIT_AUTHOR_DATE", date(author)),
            ("GIT_COMMITTER_NAME", committer.name.clone()),
            ("GIT_COMMITTER_EMAIL", committer.email.clone()),
            ("GIT_COMMITTER_DATE", date(committer)),
        ];
        let (code, out, err) = self.call(&args, message.as_bytes(), &env)?;
        if code != 0 {
            let message = String::from_utf8_lossy(&err).trim().to_owned();
            return Err(GitError { command: "commit-tree".into(), message });
        }
        Ok(String::from_utf8_lossy(&out).trim().to_owned())
    }

    /// A commit on a branch, made in one process; answers its id.
    pub(crate) fn commit(
        &self,
        branch: &str,
        parent: Option<&str>,
        changes: &[Change],
        message: &str,
        by: &Signature,
    ) -> Result<String, GitError> {
        let mut stream = Vec::new();
        let who = format!("{} <{}> {} +0000", by.name, by.email, by.at.as_second());
        stream.extend(format!("commit {branch}\nmark :1\nauthor {who}\ncommitter {who}\n").bytes());
        stream.extend(format!("data {}\n{message}\n", message.len()).bytes());
        if let Some(parent) = parent {
            stream.extend(format!("from {parent}\n").bytes());
        }
        for change in changes {
            let path = format!("\"{}\"", change.path.replace('\\', "\\\\").replace('"', "\\\""));
            match &change.content {
                None => stream.extend(format!("D {path}\n").bytes()),
                Some(content) => {
                    let mode = if change.executable { "100755" } else { "100644" };
                    stream.extend(format!("M {mode} inline {path}\ndata {}\n", content.len()).bytes());
                    stream.extend(content);
                    stream.push(b'\n');
                }
            }
        }
        stream.extend(b"\nget-mark :1\ndone\n");
        let out = self.feed(&["fast-import", "--quiet", "--done", "--date-format=raw"], &stream)?;
        Ok(String::from_utf8_lossy(&out).trim().to_owned())
    }

    pub(crate) fn resolve(&self, name: &str) -> Option<String> {
        self.run(&["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")]).ok()
    }

    /// Object id, type, mode of a path at a commit.
    pub(crate) fn entry(&self, commit: &str, path: &str) -> Option<(String, String, String)> {
        let path = path.trim_matches('/');
        if path.is_empty() {
            let tree = self.run(&["rev-parse", &format!("{commit}^{{tree}}")]).ok()?;
            return Some((tree, "tree".into(), "040000".into()));
        }
        self.entries(commit, path, false).into_iter().next().map(|(id, kind, mode, _)| (id, kind, mode))
    }

    /// (object id, type, mode, path) below a folder.
    pub(crate) fn entries(
        &self,
        commit: &str,
        path: &str,
        deep: bool,
    ) -> Vec<(String, String, String, String)> {
        let mut args = vec!["ls-tree", "-z"];
        if deep {
            args.extend(["-r", "-t"]);
        }
        args.push(commit);
        if !path.is_empty() {
            args.extend(["--", path]);
        }
        let text = self.run(&args).unwrap_or_default();
        text.split('\0')
            .filter_map(|line| {
                let (head, path) = line.split_once('\t')?;
                let mut words = head.split(' ');
                let (mode, kind, id) = (words.next()?, words.next()?, words.next()?);
                Some((id.to_owned(), kind.to_owned(), mode.to_owned(), path.to_owned()))
            })
            .collect()
    }

    pub(crate) fn blob(&self, id: &str) -> Result<Vec<u8>, GitError> {
        self.feed(&["cat-file", "blob", id], b"")
    }

    pub(crate) fn log(&self, args: &[&str]) -> Result<Vec<Commit>, GitError> {
        let format = "--format=%H%x1f%T%x1f%P%x1f%an%x1f%ae%x1f%aI%x1f%cn%x1f%ce%x1f%cI%x1f%B%x1e";
        let mut all = vec!["log", format];
        all.extend(args);
        let text = self.run(&all)?;
        Ok(text
            .split('\u{1e}')
            .filter_map(|record| {
                let mut parts = record.trim_start().split('\u{1f}').map(str::to_owned);
                let id = parts.next().filter(|id| !id.is_empty())?;
                Some(Commit {
                    id,
                    tree: parts.next()?,
                    parents: parts.next()?.split_whitespace().map(str::to_owned).collect(),
                    author: (parts.next()?, parts.next()?, parts.next()?),
                    committer: (parts.next()?, parts.next()?, parts.next()?),
                    message: parts.next()?.trim_end().to_owned(),
                })
            })
            .collect())
    }

    /// (status letter, path) between two commits.
    pub(crate) fn changes(&self, from: &str, to: &str) -> Vec<(String, String)> {
        let text =
            self.run(&["diff-tree", "-r", "--no-renames", "--name-status", from, to]).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .collect()
    }

    pub(crate) fn count(&self, range: &str) -> i64 {
        self.run(&["rev-list", "--count", range]).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}
