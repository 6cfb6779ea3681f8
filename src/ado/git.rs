//! Repositories, branches and single files.

use super::{
    Client, Error, ErrorKind, Operation,
    request::{Call, STABLE},
    wire::{List, WireIdentity, git},
};
use crate::domain::{BranchName, CommitId, Identity, IdentityId, Repository};
use std::collections::BTreeMap;

/// The most that a page of branches has.
const PAGE: u32 = 1000;

/// A branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Where it stands.
    pub head: CommitId,
    /// Who made it, where the service tells.
    pub creator: Option<IdentityId>,
}

impl Client {
    /// Repositories of the project that can be used; disabled ones are left out.
    ///
    /// REST: Git, Repositories, *List*.
    pub async fn repositories(&self, project: &str) -> Result<Vec<Repository>, Error> {
        let call = Call::get(Operation::Repositories, &[project, "_apis", "git", "repositories"], STABLE);
        let list: List<git::Repository> = self.json(&call).await?;
        Ok(list.entries().filter_map(|repository| repository.usable(self.base())).collect())
    }

    /// One repository by name or GUID; absent if missing, not readable or disabled.
    ///
    /// REST: Git, Repositories, *Get Repository*.
    pub async fn repository(&self, project: &str, name_or_id: &str) -> Result<Option<Repository>, Error> {
        let call =
            Call::get(Operation::Repository, &[project, "_apis", "git", "repositories", name_or_id], STABLE);
        match self.json::<git::Repository>(&call).await {
            Ok(repository) => Ok(repository.usable(self.base())),
            Err(error) if is_missing(&error, &["TF401019", "GitRepositoryNotFoundException"]) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where a branch stands; absent if there is no branch of exactly this name.
    ///
    /// REST: Git, Refs, *List*.
    pub async fn branch_head(
        &self,
        repository: &Repository,
        branch: &BranchName,
    ) -> Result<Option<CommitId>, Error> {
        Ok(self.branch(repository, branch).await?.map(|found| found.head))
    }

    /// A branch; absent if there is none of exactly this name.
    ///
    /// REST: Git, Refs, *List*.
    pub async fn branch(
        &self,
        repository: &Repository,
        branch: &BranchName,
    ) -> Result<Option<Branch>, Error> {
        // The filter is a prefix: `agent/1-r2` also finds `agent/1-r20`.
        Ok(self.branches(repository, branch.as_str()).await?.remove(branch))
    }

    /// Branches whose short name begins with `prefix`, and where they stand.
    ///
    /// REST: Git, Refs, *List*.
    pub async fn branches(
        &self,
        repository: &Repository,
        prefix: &str,
    ) -> Result<BTreeMap<BranchName, Branch>, Error> {
        let call = Call::get(Operation::Refs, &in_repository(repository, &["refs"]), STABLE)
            .with("filter", format!("heads/{prefix}"))
            .with("$top", PAGE);
        let refs: Vec<git::Ref> = self.continued(&call).await?;
        let mut branches = BTreeMap::new();
        for one in refs.into_iter().filter(|one| one.name.starts_with("refs/heads/")) {
            let head = one.object_id.parse().map_err(|_| {
                let message = "not a commit id".to_owned();
                self.after_answer(&call, ErrorKind::Malformed { at: "objectId".into(), message })
            })?;
            let creator = one.creator.and_then(|who| who.known()).map(|who| who.id);
            branches.insert(BranchName::new(&one.name), Branch { head, creator });
        }
        branches.retain(|name, _| name.as_str().starts_with(prefix));
        Ok(branches)
    }

    /// The person who pushed to a branch last; absent if that was a service, or if nobody did.
    ///
    /// REST: Git, Pushes, *List* (`searchCriteria.refName`).
    pub async fn last_pusher(
        &self,
        repository: &Repository,
        branch: &BranchName,
    ) -> Result<Option<Identity>, Error> {
        let call = Call::get(Operation::Pushes, &in_repository(repository, &["pushes"]), STABLE)
            .with("searchCriteria.refName", branch.full())
            .with("$top", 1);
        let list: List<git::Push> = self.json(&call).await?;
        let newest = list.entries().next();
        Ok(newest.and_then(|push| push.pushed_by).filter(WireIdentity::is_person).and_then(|who| who.known()))
    }

    /// How many commits `branch` has that `base` does not; absent if there is no such branch.
    ///
    /// REST: Git, Stats, *Get*.
    pub async fn commits_ahead(
        &self,
        repository: &Repository,
        branch: &BranchName,
        base: &BranchName,
    ) -> Result<Option<u32>, Error> {
        let call = Call::get(
            Operation::BranchStatistics,
            &in_repository(repository, &["stats", "branches"]),
            STABLE,
        )
        .with("name", branch)
        .with("baseVersionDescriptor.version", base)
        .with("baseVersionDescriptor.versionType", "branch");
        match self.json::<git::BranchStatistics>(&call).await {
            Ok(statistics) => Ok(Some(statistics.ahead_count.unwrap_or_default())),
            // A missing branch is told as a bad request; whether it is missing, the list of branches tells.
            Err(error) => match self.branch_head(repository, branch).await? {
                None => Ok(None),
                Some(_) => Err(error),
            },
        }
    }

    /// A text file at the tip of a branch; absent if there is no such file or branch. Untrusted.
    ///
    /// REST: Git, Items, *Get*.
    pub async fn file(
        &self,
        repository: &Repository,
        path: &str,
        branch: &BranchName,
    ) -> Result<Option<String>, Error> {
        // The version is a short name; a full one is not found.
        self.file_of(repository, path, ("branch", branch.as_str())).await
    }

    /// A text file as a commit has it; absent if it has no such file. Untrusted.
    ///
    /// REST: Git, Items, *Get*.
    pub async fn file_at(
        &self,
        repository: &Repository,
        path: &str,
        commit: &CommitId,
    ) -> Result<Option<String>, Error> {
        self.file_of(repository, path, ("commit", commit.as_str())).await
    }

    /// The newest commits of a branch that changed a file, newest first, at most `top`.
    ///
    /// REST: Git, Commits, *Get Commits* (`searchCriteria.itemPath`).
    pub async fn commits_of(
        &self,
        repository: &Repository,
        branch: &BranchName,
        path: &str,
        top: u32,
    ) -> Result<Vec<CommitId>, Error> {
        // The documented name, which is reported to be ignored: then a page of 100 comes, and the rest is not looked at.
        let call = Call::get(Operation::Commits, &in_repository(repository, &["commits"]), STABLE)
            .with("searchCriteria.itemPath", format!("/{}", path.trim_start_matches('/')))
            .with("searchCriteria.itemVersion.version", branch)
            .with("searchCriteria.itemVersion.versionType", "branch")
            .with("searchCriteria.$top", top);
        let list: List<git::CommitReference> = self.json(&call).await?;
        let mut commits = Vec::new();
        for one in list.entries().take(top as usize) {
            commits.push(one.commit_id.unwrap_or_default().parse().map_err(|_| {
                let message = "not a commit id".to_owned();
                self.after_answer(&call, ErrorKind::Malformed { at: "commitId".into(), message })
            })?);
        }
        Ok(commits)
    }

    async fn file_of(
        &self,
        repository: &Repository,
        path: &str,
        (kind, version): (&str, &str),
    ) -> Result<Option<String>, Error> {
        let call = Call::get(Operation::File, &in_repository(repository, &["items"]), STABLE)
            .with("path", format!("/{}", path.trim_start_matches('/')))
            .with("versionDescriptor.version", version)
            .with("versionDescriptor.versionType", kind)
            .with("includeContent", true)
            .with("$format", "json");
        match self.json::<git::File>(&call).await {
            Ok(file) => Ok(Some(file.content.unwrap_or_default())),
            Err(error) if is_missing(&error, &["TF401174", "TF401175", "GitItemNotFoundException"]) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Segments below a repository, by GUIDs: they survive renames.
pub(super) fn in_repository<'a>(repository: &'a Repository, rest: &[&'a str]) -> Vec<&'a str> {
    [&[repository.project_id.as_str(), "_apis", "git", "repositories", repository.id.as_str()], rest].concat()
}

/// Whether it is the expected kind of absence, and not a wrong address.
pub(super) fn is_missing(error: &Error, signs: &[&str]) -> bool {
    match &error.kind {
        ErrorKind::NotFound { type_key, message } => {
            signs.iter().any(|sign| message.contains(sign) || type_key.as_deref() == Some(*sign))
        }
        _ => false,
    }
}
