//! The universe of the demo and of the stories: a pretend Azure DevOps with one project, one repository, one pipeline
//! and three identities, and the settings with which our programs find it.

use crate::emulator::model::Screenplay;
use crate::emulator::{
    Emulator, Identity, IdentityKind, NewItem, NewPipeline, Options, RepositoryHandle, SeedFile, Token,
};
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Everything that a run needs around it.
#[derive(Clone, Debug)]
pub struct Universe {
    /// The pretend Azure DevOps.
    pub emulator: Emulator,
    /// The repository that is worked on.
    pub repository: RepositoryHandle,
    /// Number of its pipeline.
    pub pipeline: i64,
    /// Number of the policy that requires its builds.
    pub build_policy: i64,
    /// Files work items and labels them.
    pub owner: Identity,
    /// Reviews and completes.
    pub reviewer: Identity,
    /// Ours.
    pub bot: Identity,
    /// The bot's token, to look for where it must not be.
    pub token: String,
    /// Where our programs keep their state.
    pub state_dir: PathBuf,
    screenplay: PathBuf,
    token_file: PathBuf,
}

/// The project.
pub const PROJECT: &str = "Fabrikam";
/// The repository.
pub const REPOSITORY: &str = "greet";

impl Universe {
    /// Builds everything below `root`.
    pub async fn build(root: &Path, at: SocketAddr, record: Option<&Path>) -> io::Result<Self> {
        let options = Options {
            address: at.ip(),
            port: at.port(),
            root: Some(root.join("azure-devops")),
            record: record.map(Path::to_owned),
            ..Options::default()
        };
        let emulator = Emulator::start(options).await?;
        emulator.create_project(PROJECT);
        let repository = emulator.create_repository(PROJECT, REPOSITORY, &seed()).map_err(refused)?;
        let pipeline =
            emulator.create_pipeline(&repository, NewPipeline::new("greet-ci", &["sh", "ci/build.sh"]));
        let person = |name: &str, mail: &str, kind| emulator.create_identity(name, mail, kind);
        let owner = person("Product owner", "owner@fabrikam.example", IdentityKind::Person);
        let reviewer = person("Reviewer", "reviewer@fabrikam.example", IdentityKind::Person);
        let bot = person("roundsman", "roundsman@fabrikam.example", IdentityKind::Service);
        let build_policy = emulator.require_build(&repository, "refs/heads/main", pipeline, true);
        emulator.require_reviewers(&repository, "refs/heads/main", 1, false);

        let token = token();
        emulator.issue_token(&bot, Token::Pat, &token);
        let token_file = root.join("token");
        write_private(&token_file, &token)?;
        let screenplay = root.join("screenplay");
        for (path, content) in SCREENPLAY {
            let path = screenplay.join(path);
            fs::create_dir_all(path.parent().unwrap_or(&screenplay))?;
            fs::write(path, content)?;
        }
        let state_dir = root.join("state");
        fs::create_dir_all(&state_dir)?;
        Ok(Self {
            emulator,
            repository,
            pipeline,
            build_policy,
            owner,
            reviewer,
            bot,
            token,
            state_dir,
            screenplay,
            token_file,
        })
    }

    /// The settings of both programs, as a scheduler would set them. The pauses that make sense in an office are
    /// shortened to nothing.
    pub fn vars(&self) -> Vec<(String, String)> {
        let path = |path: &Path| path.display().to_string();
        let vars = [
            ("ROUNDSMAN_KILL_SWITCH", "off".to_owned()),
            ("ROUNDSMAN_ADO_URL", self.emulator.url()),
            ("ROUNDSMAN_ADO_TOKEN_FILE", path(&self.token_file)),
            ("ROUNDSMAN_INTAKE_PROJECTS", PROJECT.to_owned()),
            ("ROUNDSMAN_INTAKE_REPOSITORIES", format!("{PROJECT}/{REPOSITORY}")),
            ("ROUNDSMAN_INTAKE_DEFAULT_REPOSITORY", format!("{PROJECT}/{REPOSITORY}")),
            ("ROUNDSMAN_INTAKE_TRUSTED", format!("{},{}", self.owner.id, self.reviewer.id)),
            ("ROUNDSMAN_STATE_DIR", path(&self.state_dir)),
            ("ROUNDSMAN_AGENT_NAME", "scripted".to_owned()),
            ("ROUNDSMAN_AGENT_COMMAND", format!("'{}'", path(&self.screenplay))),
            ("ROUNDSMAN_AGENT_PLAN_FIRST", "true".to_owned()),
            ("ROUNDSMAN_POLICY_QUIET_PERIOD", "0s".to_owned()),
            ("ROUNDSMAN_RUNTIME_RETENTION", "0s".to_owned()),
        ];
        vars.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// Files a work item that asks for what the screenplay delivers.
    pub fn file_item(&self, tags: &[&str]) -> io::Result<i64> {
        let item = NewItem::story("Greet loudly").tagged(tags).described(
            "<div>Some people are <b>hard of hearing</b>. <code>bin/greet --loud Ada</code> should greet in capitals.</div>\
             <ul><li>The name is optional.</li><li>Without the option nothing changes.</li></ul>",
        );
        self.emulator.file_item(PROJECT, &item, &self.owner).map_err(refused)
    }

    /// What the reviewer does when looking at pull requests: nothing while checks run; one remark on the first green
    /// head; approval and completion once the remark was answered and all is green again. Says what was done.
    pub fn review(&self) -> io::Result<Vec<(i64, &'static str)>> {
        let mut done = Vec::new();
        for pull in
            self.emulator.pull_requests().into_iter().filter(|pull| pull.status == "active" && !pull.draft)
        {
            let is_green = pull.checks.iter().any(|(name, status)| name == "Build" && status == "approved");
            if !is_green || pull.merge_status != "succeeded" {
                continue;
            }
            let talk: Vec<_> = pull.threads.iter().filter(|thread| !thread.is_system()).collect();
            let remark = talk.iter().find(|t| t.comments.iter().any(|c| c.author == self.reviewer.id));
            match remark {
                None => {
                    let text = "Typing `--loud` in full is tedious. Could `-l` do the same?";
                    let place = Some(("/bin/greet", 7));
                    self.emulator
                        .comment_pull_request(pull.id, text, place, &self.reviewer)
                        .map_err(refused)?;
                    done.push((pull.id, "asks for something"));
                }
                Some(thread) if thread.comments.iter().any(|c| c.author == self.bot.id) => {
                    if pull.votes.get(&self.reviewer.id) != Some(&10) {
                        self.emulator.vote(pull.id, 10, &self.reviewer).map_err(refused)?;
                        self.emulator.set_thread_status(pull.id, thread.id, "fixed").map_err(refused)?;
                        done.push((pull.id, "is content and approves"));
                    }
                    self.emulator.complete(pull.id, "squash", &self.reviewer).map_err(refused)?;
                    done.push((pull.id, "completes the pull request"));
                }
                Some(_) => {}
            }
        }
        Ok(done)
    }
}

pub(super) fn refused(why: impl std::fmt::Debug) -> io::Error {
    io::Error::other(format!("{why:?}"))
}

/// Shaped like a real token, made for this universe and worth nothing outside.
fn token() -> String {
    use std::hash::{BuildHasher, Hasher};
    let noise = std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{:x<76}AZDO{:04}", format!("demo{noise:016x}"), noise % 10_000)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}

macro_rules! told {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../../fixtures/demo/screenplay/", $path)))),*]
    };
}

const SCREENPLAY: [(&str, &str); 13] = told![
    "implement/plan.md",
    "implement/summary.txt",
    "implement/title.txt",
    "implement/pr.md",
    "implement/tree/bin/greet",
    "implement/tree/tests/greet_test.sh",
    "fix-forward/summary.txt",
    "fix-forward/tree/README.md",
    "respond/summary.txt",
    "respond/reply.md",
    "respond/tree/README.md",
    "respond/tree/bin/greet",
    "respond/tree/tests/greet_test.sh",
];

macro_rules! seeded {
    ($kind:ident, $path:literal) => {
        SeedFile::$kind($path, include_str!(concat!("../../../fixtures/demo/repository/", $path)))
    };
}

/// What is played, for a stand-in that sees no directory of ours: path and content, as JSON.
pub fn script() -> String {
    let files: std::collections::BTreeMap<&str, &str> = SCREENPLAY.iter().copied().collect();
    serde_json::to_string(&files).expect("a map of texts is JSON")
}

/// What is played, for a model that plays it.
pub fn screenplay() -> Screenplay {
    Screenplay::new(SCREENPLAY)
}

fn seed() -> Vec<SeedFile> {
    vec![
        seeded!(new, "README.md"),
        seeded!(executable, "bin/greet"),
        seeded!(new, "tests/greet_test.sh"),
        seeded!(new, "src/scripts/run-tests.sh"),
        seeded!(new, "src/scripts/code-checks.sh"),
        seeded!(new, "ci/build.sh"),
        seeded!(new, ".azuredevops/pull_request_template.md"),
    ]
}
