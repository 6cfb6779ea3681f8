//! Furnishing the world: projects, repositories, pipelines, policies, people and their credentials.
//!
//! These calls are an administrator's; nothing refuses them but plain contradictions.

use super::{
    Emulator,
    git::Change,
    people::Refused,
    state::{
        Account, Credential, Group,
        builds::Pipeline,
        policies::{self, Policy},
        process::Process,
    },
    wire::{guid, same_guid},
};
use serde_json::{Value, json};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// A file of a repository's first commit, or of a person's commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedFile {
    /// The path from the repository's root, without a leading slash.
    pub path: String,
    /// The content.
    pub content: Vec<u8>,
    /// Whether git marks it executable.
    pub executable: bool,
}

impl SeedFile {
    /// A plain text file.
    pub fn new(path: &str, content: &str) -> Self {
        Self { path: path.to_owned(), content: content.as_bytes().to_owned(), executable: false }
    }

    /// An executable text file.
    pub fn executable(path: &str, content: &str) -> Self {
        Self { executable: true, ..Self::new(path, content) }
    }

    pub(crate) fn change(&self) -> Change {
        Change { path: self.path.clone(), content: Some(self.content.clone()), executable: self.executable }
    }
}

/// A repository of the emulator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryHandle {
    /// Its GUID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The GUID of its project.
    pub project_id: String,
    /// The name of its project.
    pub project: String,
    /// The address to clone from, without a user name.
    pub clone_url: String,
}

/// What kind of account an identity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityKind {
    /// A human: may force-push.
    Person,
    /// A service principal or bot: may not.
    Service,
    /// The identity of builds: may not either.
    Build,
}

/// Somebody who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The organization's own identity id (VSID).
    pub id: String,
    /// What people see.
    pub display_name: String,
    /// The sign-in name.
    pub unique_name: String,
    /// The graph descriptor.
    pub descriptor: String,
}

/// The kind of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// A personal access token: Basic, password only.
    Pat,
    /// An Entra token: Bearer, or Basic's password.
    Bearer,
}

/// A pipeline to create.
#[derive(Clone, Debug)]
pub struct NewPipeline {
    /// Its name.
    pub name: String,
    /// The name of its one task.
    pub step: String,
    /// Program and arguments, run in the checkout.
    pub command: Vec<String>,
    /// The time limit of the task.
    pub timeout: Duration,
    /// Full ref names whose pushes are built (CI).
    pub branches: Vec<String>,
}

impl NewPipeline {
    /// A pipeline without CI branches, with a limit of ten minutes.
    pub fn new(name: &str, command: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            step: "Build and test".to_owned(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            timeout: Duration::from_mins(10),
            branches: Vec::new(),
        }
    }
}

impl Emulator {
    /// A project with the Agile process; answers its GUID.
    pub fn create_project(&self, name: &str) -> String {
        self.create_project_with(name, Process::Agile)
    }

    /// A project with a process of choice; answers its GUID.
    pub fn create_project_with(&self, name: &str, process: Process) -> String {
        self.inner.change(|world| world.create_project(name, process))
    }

    /// An area path below the project, such as `Shop\Web`.
    pub fn create_area(&self, project: &str, path: &str) -> Result<(), Refused> {
        self.inner.change(|world| {
            let id = world.project(project)?.id.clone();
            if let Some(project) = world.project_mut(&id) {
                project.areas.insert(path.to_owned());
            }
            Ok(())
        })
    }

    /// A repository; with files it gets a first commit on `main`, without it is empty.
    pub fn create_repository(
        &self,
        project: &str,
        name: &str,
        files: &[SeedFile],
    ) -> Result<RepositoryHandle, Refused> {
        self.inner.change(|world| {
            let id = world.create_repository(project, name)?;
            if !files.is_empty() {
                let changes: Vec<Change> = files.iter().map(SeedFile::change).collect();
                world.commit(&id, "refs/heads/main", &changes, "First commit", &guid("administrator"))?;
            }
            let repository = Arc::clone(&world.repositories[&id]);
            let project = world.project(&repository.project)?;
            let url = world.repository_json(&repository)["webUrl"].as_str().unwrap_or_default().to_owned();
            Ok(RepositoryHandle {
                id,
                name: repository.name.clone(),
                project_id: project.id.clone(),
                project: project.name.clone(),
                clone_url: url,
            })
        })
    }

    /// A person or service of the organization, allowed to contribute.
    pub fn create_identity(&self, display_name: &str, unique_name: &str, kind: IdentityKind) -> Identity {
        let subject = match kind {
            IdentityKind::Person => "aad",
            IdentityKind::Service => "aadsp",
            IdentityKind::Build => "svc",
        };
        let service = kind != IdentityKind::Person;
        self.inner.change(|world| {
            let id = world.fresh_guid(&format!("identity {unique_name}"));
            let descriptor = format!("{subject}.{}", id.replace('-', ""));
            let account = Account {
                id: id.clone(),
                display_name: display_name.to_owned(),
                unique_name: unique_name.to_owned(),
                descriptor: descriptor.clone(),
                service,
                force_push: !service,
                create_tags: true,
                bypass_rules: false,
                contribute: true,
            };
            world.accounts.insert(id.clone(), Arc::new(account));
            Identity {
                id,
                display_name: display_name.to_owned(),
                unique_name: unique_name.to_owned(),
                descriptor,
            }
        })
    }

    /// A group of people, services and other groups, by their ids; as an identity, because it has an id and a descriptor.
    pub fn create_group(&self, name: &str, members: &[&Identity]) -> Identity {
        self.inner.change(|world| {
            let id = world.fresh_guid(&format!("group {name}"));
            let group = Group {
                id: id.clone(),
                name: name.to_owned(),
                descriptor: format!("vssgp.{}", id.replace('-', "")),
                members: members.iter().map(|member| member.id.clone()).collect(),
            };
            let identity = Identity {
                id: id.clone(),
                display_name: name.to_owned(),
                unique_name: format!("vstfs:///Classification/TeamProject/{id}\\{name}"),
                descriptor: group.descriptor.clone(),
            };
            world.groups.insert(id, Arc::new(group));
            identity
        })
    }

    /// Adds a member to a group; groups may contain each other.
    pub fn join_group(&self, group: &Identity, member: &Identity) {
        self.inner.change(|world| {
            if let Some(group) = world.groups.get_mut(&group.id) {
                Arc::make_mut(group).members.insert(member.id.clone());
            }
        });
    }

    /// A credential for an identity.
    pub fn issue_token(&self, identity: &Identity, kind: Token, secret: &str) {
        let credential =
            Credential { account: identity.id.clone(), bearer: kind == Token::Bearer, expired: false };
        self.inner.change(|world| world.credentials.insert(secret.to_owned(), credential));
    }

    /// The credential stops working: a PAT is told so, a bearer token looks like any wrong one.
    pub fn expire_token(&self, secret: &str) {
        self.inner.change(|world| {
            if let Some(known) = world.credentials.get_mut(secret) {
                known.expired = true;
            }
        });
    }

    /// The credential was never heard of.
    pub fn revoke_token(&self, secret: &str) {
        self.inner.change(|world| world.credentials.remove(secret));
    }

    /// A build definition of a repository; answers its id. It starts nothing by itself.
    pub fn create_pipeline(&self, repository: &RepositoryHandle, new: NewPipeline) -> i64 {
        self.inner.change(|world| {
            let id = world.pipelines.keys().next_back().map_or(41, |id| id + 1);
            let pipeline = Pipeline {
                id,
                project: repository.project_id.clone(),
                repository: repository.id.clone(),
                name: new.name,
                step: new.step,
                command: new.command,
                timeout: new.timeout,
                branches: new.branches,
                yaml_error: None,
                never_starts: false,
                forced: VecDeque::new(),
                checkpoint: false,
            };
            world.pipelines.insert(id, Arc::new(pipeline));
            id
        })
    }

    fn require(
        &self,
        repository: &RepositoryHandle,
        branch: &str,
        kind: &'static str,
        blocking: bool,
        settings: Value,
    ) -> i64 {
        self.inner.change(|world| {
            let prefix = branch.ends_with('/') || branch.ends_with('*');
            world.add_policy(Policy {
                id: 0,
                project: repository.project_id.clone(),
                repository: Some(repository.id.clone()),
                ref_name: branch.trim_end_matches('*').to_owned(),
                prefix,
                kind,
                blocking,
                enabled: true,
                deleted: false,
                broken: false,
                settings,
                created_by: guid("administrator"),
                created: jiff::Timestamp::UNIX_EPOCH,
            })
        })
    }

    /// Build validation on a full ref name; a trailing `/` or `*` makes it a prefix. Answers the policy's id.
    pub fn require_build(
        &self,
        repository: &RepositoryHandle,
        branch: &str,
        pipeline: i64,
        blocking: bool,
    ) -> i64 {
        let settings = json!({"buildDefinitionId": pipeline, "queueOnSourceUpdateOnly": true, "manualQueueOnly": false,
            "validDuration": 720.0});
        self.require(repository, branch, policies::BUILD, blocking, settings)
    }

    /// A number of approvals by others than the creator.
    pub fn require_reviewers(
        &self,
        repository: &RepositoryHandle,
        branch: &str,
        minimum: u32,
        reset_on_push: bool,
    ) -> i64 {
        let settings = json!({"minimumApproverCount": minimum, "creatorVoteCounts": false, "allowDownvotes": false,
            "resetOnSourcePush": reset_on_push});
        self.require(repository, branch, policies::MINIMUM_REVIEWERS, true, settings)
    }

    /// The approval of certain people.
    pub fn require_approval_of(
        &self,
        repository: &RepositoryHandle,
        branch: &str,
        people: &[&Identity],
    ) -> i64 {
        let ids: Vec<&str> = people.iter().map(|identity| identity.id.as_str()).collect();
        let settings = json!({"requiredReviewerIds": ids});
        self.require(repository, branch, policies::REQUIRED_REVIEWERS, true, settings)
    }

    /// No open thread.
    pub fn require_comment_resolution(
        &self,
        repository: &RepositoryHandle,
        branch: &str,
        blocking: bool,
    ) -> i64 {
        self.require(repository, branch, policies::COMMENTS, blocking, json!({}))
    }

    /// At least one linked work item.
    pub fn require_work_item_link(&self, repository: &RepositoryHandle, branch: &str, blocking: bool) -> i64 {
        self.require(repository, branch, policies::WORK_ITEM, blocking, json!({}))
    }

    /// One of these merge strategies (`squash`, `noFastForward`, `rebase`, `rebaseMerge`).
    pub fn require_merge_strategy(
        &self,
        repository: &RepositoryHandle,
        branch: &str,
        allowed: &[&str],
    ) -> i64 {
        let has = |name: &str| allowed.iter().any(|known| known.eq_ignore_ascii_case(name));
        let settings = json!({"allowSquash": has("squash"), "allowNoFastForward": has("noFastForward"),
            "allowRebase": has("rebase"), "allowRebaseMerge": has("rebaseMerge")});
        self.require(repository, branch, policies::MERGE_STRATEGY, true, settings)
    }

    /// A status posted by somebody; with `reset_on_push` only one on the newest iteration counts.
    pub fn require_status(
        &self,
        repository: &RepositoryHandle,
        branch: &str,
        genre: &str,
        name: &str,
        reset_on_push: bool,
    ) -> i64 {
        let settings =
            json!({"statusGenre": genre, "statusName": name, "invalidateOnSourceUpdate": reset_on_push});
        self.require(repository, branch, policies::STATUS, true, settings)
    }

    /// Removes a policy.
    pub fn drop_policy(&self, id: i64) {
        self.inner.change(|world| {
            if let Some(policy) = world.policy_mut(id) {
                policy.deleted = true;
            }
        });
    }

    pub(crate) fn account_change(&self, identity: &Identity, change: impl FnOnce(&mut Account)) {
        self.inner.change(|world| {
            let known = world.accounts.values_mut().find(|account| same_guid(&account.id, &identity.id));
            if let Some(account) = known {
                change(Arc::make_mut(account));
            }
        });
    }
}
