//! Repositories, their refs and pushes.
//!
//! It knows who may move which ref and what a moved ref causes. The objects themselves are git's.

use super::World;
use crate::emulator::{
    git::{Change, Git, Signature},
    wire::{Problem, ZERO, encode, same_guid, stamp7},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

#[derive(Clone, Debug)]
pub(crate) struct Repository {
    pub(crate) id: String,
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) refs: BTreeMap<String, String>,
    pub(crate) creators: BTreeMap<String, String>,
    pub(crate) pushes: Vec<Push>,
    pub(crate) completes_items: bool,
    /// Where people have chosen one; else the usual names.
    pub(crate) default_branch: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Push {
    pub(crate) id: i64,
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    pub(crate) updates: Vec<RefUpdate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefUpdate {
    pub(crate) name: String,
    pub(crate) old: String,
    pub(crate) new: String,
}

/// Why a ref does not move: the word of `updateStatus`, and the sentence git shows.
pub(crate) type Refusal = (&'static str, String);

impl World {
    pub(crate) fn git(&self, repository: &str) -> Git {
        Git::new(self.root.join(format!("{repository}.git")))
    }

    pub(crate) fn create_repository(&mut self, project: &str, name: &str) -> Result<String, Problem> {
        let project = self.project(project)?.id.clone();
        let taken =
            self.repositories.values().any(|r| r.project == project && r.name.eq_ignore_ascii_case(name));
        if taken {
            return Err(Problem::new(
                409,
                "GitRepositoryNameAlreadyExistsException",
                format!("TF400948: A Git repository with the name {name} already exists."),
            ));
        }
        let id = self.fresh_guid(&format!("repository {name}"));
        self.git(&id).init().map_err(|error| internal(&error))?;
        let repository = Repository {
            id: id.clone(),
            project,
            name: name.to_owned(),
            refs: BTreeMap::new(),
            creators: BTreeMap::new(),
            pushes: Vec::new(),
            completes_items: true,
            default_branch: None,
        };
        self.repositories.insert(id.clone(), Arc::new(repository));
        Ok(id)
    }

    /// A repository by name or GUID within a project; by GUID alone without one.
    pub(crate) fn repository(
        &self,
        project: Option<&str>,
        name_or_id: &str,
    ) -> Result<Arc<Repository>, Problem> {
        let found = self.repositories.values().find(|repository| {
            let mine = project.is_none_or(|project| repository.project == project);
            mine && (same_guid(&repository.id, name_or_id)
                || (project.is_some() && repository.name.eq_ignore_ascii_case(name_or_id)))
        });
        let repository = found.cloned().ok_or_else(|| {
            Problem::new(
                404,
                "GitRepositoryNotFoundException",
                format!(
                    "TF401019: The Git repository with name or identifier {name_or_id} does not exist or you do not have \
                     permissions for the operation you are attempting."
                ),
            )
        })?;
        Ok(repository)
    }

    pub(crate) fn repository_mut(&mut self, id: &str) -> Option<&mut Repository> {
        self.repositories.get_mut(id).map(Arc::make_mut)
    }

    pub(crate) fn head(&self, repository: &str, name: &str) -> Option<String> {
        self.repositories.get(repository)?.refs.get(name).cloned()
    }

    pub(crate) fn default_branch(repository: &Repository) -> Option<&str> {
        let usual = ["refs/heads/main", "refs/heads/master"];
        let chosen = repository.default_branch.as_deref();
        chosen.into_iter().chain(usual).find(|name| repository.refs.contains_key(*name))
    }

    pub(crate) fn sync_refs(&mut self, id: &str) {
        let refs = self.git(id).refs().unwrap_or_default();
        if let Some(repository) = self.repository_mut(id) {
            repository.refs = refs.into_iter().collect();
        }
    }

    pub(crate) fn signature(&mut self, by: &str) -> Signature {
        let at = self.now();
        let (name, email) = self.account(by).map_or_else(
            || (by.to_owned(), by.to_owned()),
            |a| (a.display_name.clone(), a.unique_name.clone()),
        );
        Signature { name, email, at }
    }

    /// A commit on a branch, without asking anybody's permission.
    pub(crate) fn commit(
        &mut self,
        repository: &str,
        branch: &str,
        changes: &[Change],
        message: &str,
        by: &str,
    ) -> Result<String, Problem> {
        let who = self.signature(by);
        let old = self.head(repository, branch);
        // A new branch grows from the default branch, as it does for people.
        let parent = old.clone().or_else(|| {
            let repository = self.repositories.get(repository)?;
            repository.refs.get(Self::default_branch(repository)?).cloned()
        });
        let new = self
            .git(repository)
            .commit(branch, parent.as_deref(), changes, message, &who)
            .map_err(|error| internal(&error))?;
        let update =
            RefUpdate { name: branch.to_owned(), old: old.unwrap_or_else(|| ZERO.into()), new: new.clone() };
        self.after_push(repository, &[update], by);
        Ok(new)
    }

    /// May this account move this ref so?
    pub(crate) fn may_update(
        &self,
        repository: &str,
        update: &RefUpdate,
        by: &str,
        rewinds: bool,
    ) -> Result<(), Refusal> {
        let account = self.account(by);
        let denied = |permission: &str| {
            format!(
                "TF401027: You need the Git '{permission}' permission to perform this action. Details: identity '{by}', scope \
                 'branch'."
            )
        };
        if !account.is_some_and(|account| account.contribute) {
            return Err(("writePermissionRequired", denied("GenericContribute")));
        }
        if !(update.name.starts_with("refs/heads/") || update.name.starts_with("refs/tags/")) {
            return Err(("invalidRefName", format!("VS403463: The ref {} may not be written.", update.name)));
        }
        let creates = update.old == ZERO;
        if creates && let Some(other) = self.clashing(repository, &update.name) {
            return Err((
                "refNameConflict",
                format!("TF401019: The ref {} conflicts with the existing ref {other}.", update.name),
            ));
        }
        // A protected branch that does not exist yet may be made, unless a policy covers its whole folder.
        let guarded = !creates || self.prefix_protected(repository, &update.name);
        if guarded && self.pull_request_only(repository, &update.name) {
            return Err((
                "rejectedByPolicy",
                "TF402455: Pushes to this branch are not permitted; you must use a pull request to update this branch."
                    .to_owned(),
            ));
        }
        let own = self
            .repositories
            .get(repository)
            .and_then(|repository| repository.creators.get(&update.name))
            .is_some_and(|creator| same_guid(creator, by));
        let may_force = account.is_some_and(|account| account.force_push);
        if update.new == ZERO && !creates && !own && !may_force {
            return Err(("forcePushRequired", denied("ForcePush")));
        }
        if rewinds && !may_force {
            return Err(("forcePushRequired", denied("ForcePush")));
        }
        Ok(())
    }

    /// `agent` and `agent/1` cannot both exist.
    fn clashing(&self, repository: &str, name: &str) -> Option<String> {
        let repository = self.repositories.get(repository)?;
        repository
            .refs
            .keys()
            .find(|known| {
                known.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'))
                    || name.strip_prefix(known.as_str()).is_some_and(|rest| rest.starts_with('/'))
            })
            .cloned()
    }

    /// Everything that happens because refs moved.
    pub(crate) fn after_push(&mut self, repository: &str, updates: &[RefUpdate], by: &str) {
        let at = self.now();
        self.next_push += 1;
        let id = self.next_push;
        self.sync_refs(repository);
        if let Some(repository) = self.repository_mut(repository) {
            for update in updates {
                if update.old == ZERO {
                    repository.creators.insert(update.name.clone(), by.to_owned());
                }
                if update.new == ZERO {
                    repository.creators.remove(&update.name);
                }
            }
            repository.pushes.push(Push { id, by: by.to_owned(), at, updates: updates.to_vec() });
        }
        for update in updates {
            self.source_moved(repository, update, by, id);
            self.target_moved(repository, &update.name);
            if update.new != ZERO {
                self.continuous_integration(repository, &update.name, &update.new, by);
            }
        }
    }

    pub(crate) fn repository_json(&self, repository: &Repository) -> Value {
        let project = self.project_url(&repository.project);
        let name = self.projects.get(&repository.project).map_or("", |project| project.name.as_str());
        let web = format!("{}/{}/_git/{}", self.base, encode(name), encode(&repository.name));
        json!({
            "id": repository.id, "name": repository.name,
            "url": format!("{project}/_apis/git/repositories/{}", repository.id),
            "project": self.project_reference(&repository.project),
            "defaultBranch": Self::default_branch(repository),
            "size": 4096, "isDisabled": self.knobs.disabled_repositories.contains(&repository.id),
            "isInMaintenance": false,
            // The organization stands before the host as a user name; clients must take it off.
            "remoteUrl": web.replacen("://", &format!("://{}@", self.organization), 1),
            "sshUrl": format!("git@ssh.localhost:v3/{}/{}/{}", self.organization, encode(name), encode(&repository.name)),
            "webUrl": web,
        })
    }

    pub(crate) fn ref_json(&self, repository: &Repository, name: &str, id: &str) -> Value {
        let url = self.project_url(&repository.project);
        let creator = repository.creators.get(name).map(|creator| self.identity(creator));
        json!({
            "name": name, "objectId": id, "creator": creator,
            "url": format!("{url}/_apis/git/repositories/{}/refs?filter={}", repository.id,
                encode(name.strip_prefix("refs/").unwrap_or(name))),
        })
    }

    pub(crate) fn push_json(&self, repository: &Repository, push: &Push) -> Value {
        let url = self.project_url(&repository.project);
        json!({
            "pushId": push.id, "date": stamp7(push.at), "pushedBy": self.identity(&push.by),
            "url": format!("{url}/_apis/git/repositories/{}/pushes/{}", repository.id, push.id),
        })
    }
}

/// Git itself failed: the service would answer with its general apology.
pub(crate) fn internal(error: &crate::emulator::git::GitError) -> Problem {
    Problem::new(
        500,
        "GitUnexpectedErrorException",
        format!("TF401035: An unexpected error occurred. {error}"),
    )
}
