//! What people do to work items and branches: the verbs of the demo and of the stories.
//!
//! They go through the same rules as requests do and are refused with the same words.

use super::{
    Emulator,
    setup::{Identity, RepositoryHandle, SeedFile},
    state::{World, patch::Flags, repositories::RefUpdate},
    wire::{Problem, ZERO, encode},
};
use serde_json::{Value, json};

/// The service said no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({status} {key})")]
pub struct Refused {
    /// The HTTP status that a request would have got.
    pub status: u16,
    /// The `typeKey` of the error.
    pub key: String,
    /// What a person would have read.
    pub message: String,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { status: problem.status, key: problem.key.to_owned(), message: problem.message }
    }
}

/// A work item to file.
#[derive(Clone, Debug, Default)]
pub struct NewItem {
    /// The type: `User Story`, `Bug`, `Task`, …
    pub kind: String,
    /// The title.
    pub title: String,
    /// The description, as HTML.
    pub description: String,
    /// Acceptance criteria, as HTML.
    pub acceptance: String,
    /// Repro steps of a bug, as HTML.
    pub repro: String,
    /// Tags.
    pub tags: Vec<String>,
    /// 1 to 4.
    pub priority: Option<i64>,
    /// The area path; the project's root when absent.
    pub area: Option<String>,
}

impl NewItem {
    /// A user story with a title, and a description that says the same.
    pub fn story(title: &str) -> Self {
        let description = format!("<p>{title}.</p>");
        Self { kind: "User Story".to_owned(), title: title.to_owned(), description, ..Self::default() }
    }

    /// A bug with a title.
    pub fn bug(title: &str) -> Self {
        Self { kind: "Bug".to_owned(), ..Self::story(title) }
    }

    /// With tags.
    #[must_use]
    pub fn tagged(mut self, tags: &[&str]) -> Self {
        self.tags.extend(tags.iter().map(|&tag| tag.to_owned()));
        self
    }

    /// With a description in HTML.
    #[must_use]
    pub fn described(mut self, html: &str) -> Self {
        html.clone_into(&mut self.description);
        self
    }
}

impl Emulator {
    pub(crate) fn act<T>(&self, work: impl FnOnce(&mut World) -> Result<T, Problem>) -> Result<T, Refused> {
        self.inner.write(|world, _| work(world)).map_err(Refused::from)
    }

    pub(crate) fn acting<T>(
        &self,
        work: impl FnOnce(&mut World) -> Result<T, Problem>,
    ) -> Result<T, Refused> {
        self.act(work)
    }

    /// Plays a JSON patch on an item, as the web form does.
    fn patch(&self, id: i64, operations: &Value, by: &Identity) -> Result<(), Refused> {
        self.act(|world| world.patch_item(id, operations, Flags::default(), &by.id))
    }

    /// Files a work item; answers its id.
    pub fn file_item(&self, project: &str, new: &NewItem, by: &Identity) -> Result<i64, Refused> {
        let ids = self.file_items(project, new, 1, by)?;
        ids.first().copied().ok_or_else(|| Problem::argument("nothing was saved").into())
    }

    /// Files the same work item many times, as an import does; answers their ids.
    pub fn file_items(
        &self,
        project: &str,
        new: &NewItem,
        count: usize,
        by: &Identity,
    ) -> Result<Vec<i64>, Refused> {
        let mut operations = vec![json!({"op": "add", "path": "/fields/System.Title", "value": new.title})];
        let mut put = |field: &str, value: &str| {
            if !value.is_empty() {
                operations.push(json!({"op": "add", "path": format!("/fields/{field}"), "value": value}));
            }
        };
        put("System.Description", &new.description);
        put("Microsoft.VSTS.Common.AcceptanceCriteria", &new.acceptance);
        put("Microsoft.VSTS.TCM.ReproSteps", &new.repro);
        put("System.Tags", &new.tags.join("; "));
        put("System.AreaPath", new.area.as_deref().unwrap_or_default());
        put("Microsoft.VSTS.Common.Priority", &new.priority.map(|p| p.to_string()).unwrap_or_default());
        let document = Value::Array(operations);
        self.act(|world| {
            let project = world.project(project)?.id.clone();
            let file = |_| {
                let id = world.patch_new(&project, &new.kind, &document, Flags::default(), &by.id)?;
                id.ok_or_else(|| Problem::argument("nothing was saved"))
            };
            (0..count).map(file).collect()
        })
    }

    /// Adds a tag.
    pub fn tag(&self, id: i64, tag: &str, by: &Identity) -> Result<(), Refused> {
        self.patch(id, &json!([{"op": "add", "path": "/fields/System.Tags", "value": tag}]), by)
    }

    /// Hangs a file on an item.
    pub fn attach(&self, id: i64, name: &str, bytes: &[u8], by: &Identity) -> Result<(), Refused> {
        let uploaded = self.inner.change(|world| world.upload(None, name, bytes.to_vec()))?;
        let value = json!({"rel": "AttachedFile", "url": uploaded["url"], "attributes": {"name": name}});
        self.patch(id, &json!([{"op": "add", "path": "/relations/-", "value": value}]), by)
    }

    /// Adds a tag in the name of somebody else, as an account does that may bypass rules.
    pub fn tag_as(&self, id: i64, tag: &str, shown: &Identity, by: &Identity) -> Result<(), Refused> {
        let operations = json!([
            {"op": "add", "path": "/fields/System.Tags", "value": tag},
            {"op": "add", "path": "/fields/System.ChangedBy", "value": shown.unique_name},
        ]);
        let flags = Flags { bypass_rules: true, ..Flags::default() };
        self.act(|world| world.patch_item(id, &operations, flags, &by.id))
    }

    /// Takes a tag off, whatever its case.
    pub fn untag(&self, id: i64, tag: &str, by: &Identity) -> Result<(), Refused> {
        let tags = self.inner.look(|world| world.item(id).map(|item| item.tags()))?;
        let left: Vec<String> =
            tags.into_iter().filter(|known| known.to_lowercase() != tag.to_lowercase()).collect();
        self.patch(
            id,
            &json!([{"op": "replace", "path": "/fields/System.Tags", "value": left.join("; ")}]),
            by,
        )
    }

    /// Sets a field to a value; `null` clears it.
    pub fn set_field(
        &self,
        id: i64,
        field: &str,
        value: impl Into<Value>,
        by: &Identity,
    ) -> Result<(), Refused> {
        let value: Value = value.into();
        self.patch(id, &json!([{"op": "replace", "path": format!("/fields/{field}"), "value": value}]), by)
    }

    /// Moves the item to a state.
    pub fn set_state(&self, id: i64, state: &str, by: &Identity) -> Result<(), Refused> {
        self.set_field(id, "System.State", state, by)
    }

    /// Moves the item to another project, to the roots of its areas and iterations.
    pub fn move_item(&self, id: i64, project: &str, by: &Identity) -> Result<(), Refused> {
        let fields = ["System.TeamProject", "System.AreaPath", "System.IterationPath"];
        let put = |field| json!({"op": "add", "path": format!("/fields/{field}"), "value": project});
        self.patch(id, &Value::Array(fields.map(put).to_vec()), by)
    }

    /// Changes the title.
    pub fn edit_title(&self, id: i64, title: &str, by: &Identity) -> Result<(), Refused> {
        self.set_field(id, "System.Title", title, by)
    }

    /// Changes the description (HTML).
    pub fn edit_description(&self, id: i64, html: &str, by: &Identity) -> Result<(), Refused> {
        self.set_field(id, "System.Description", html, by)
    }

    /// Assigns the item, or nobody.
    pub fn assign(&self, id: i64, to: Option<&Identity>, by: &Identity) -> Result<(), Refused> {
        self.set_field(id, "System.AssignedTo", to.map_or("", |identity| identity.unique_name.as_str()), by)
    }

    /// Puts the item into the recycle bin.
    pub fn delete_item(&self, id: i64) -> Result<(), Refused> {
        self.act(|world| {
            world.item(id)?;
            if let Some(item) = world.item_mut(id) {
                item.deleted = true;
            }
            Ok(())
        })
    }

    /// Takes it out again: a new revision.
    pub fn restore_item(&self, id: i64, by: &Identity) -> Result<(), Refused> {
        self.act(|world| {
            if let Some(item) = world.item_mut(id) {
                item.deleted = false;
            }
            let mut save = world.edit(id)?;
            save.touch = true;
            world.save_item(id, save, &by.id);
            Ok(())
        })
    }

    /// Writes into the discussion (HTML); answers the comment's id.
    pub fn comment_item(&self, id: i64, html: &str, by: &Identity) -> Result<i64, Refused> {
        self.act(|world| world.add_comment(id, html, "html", &by.id))
    }

    /// Changes one's own comment.
    pub fn edit_item_comment(&self, id: i64, comment: i64, html: &str, by: &Identity) -> Result<(), Refused> {
        self.act(|world| world.edit_comment(id, comment, Some((html, None)), &by.id))
    }

    /// Removes a comment.
    pub fn delete_item_comment(&self, id: i64, comment: i64, by: &Identity) -> Result<(), Refused> {
        self.act(|world| world.edit_comment(id, comment, None, &by.id))
    }

    fn add_relation(&self, id: i64, relation: &Value, by: &Identity) -> Result<(), Refused> {
        self.patch(id, &json!([{"op": "add", "path": "/relations/-", "value": relation}]), by)
    }

    fn link_items(&self, id: i64, rel: &str, other: i64, by: &Identity) -> Result<(), Refused> {
        let url = format!("{}/_apis/wit/workItems/{other}", self.url());
        self.add_relation(id, &json!({"rel": rel, "url": url}), by)
    }

    /// `id` has to wait for `predecessor`.
    pub fn link_predecessor(&self, id: i64, predecessor: i64, by: &Identity) -> Result<(), Refused> {
        self.link_items(id, "System.LinkTypes.Dependency-Reverse", predecessor, by)
    }

    /// `parent` becomes the parent of `id`.
    pub fn link_parent(&self, id: i64, parent: i64, by: &Identity) -> Result<(), Refused> {
        self.link_items(id, "System.LinkTypes.Hierarchy-Reverse", parent, by)
    }

    /// Takes every link from `id` to `other` off.
    pub fn unlink(&self, id: i64, other: i64, by: &Identity) -> Result<(), Refused> {
        self.act(|world| {
            let mut save = world.edit(id)?;
            save.relations.retain(|relation| relation.target() != Some(other));
            world.save_item(id, save, &by.id);
            Ok(())
        })
    }

    /// Links a branch to the item.
    pub fn add_branch_link(
        &self,
        id: i64,
        repository: &RepositoryHandle,
        branch: &str,
        by: &Identity,
    ) -> Result<(), Refused> {
        let url = format!(
            "vstfs:///Git/Ref/{}%2F{}%2FGB{}",
            repository.project_id,
            repository.id,
            encode(branch.trim_start_matches("refs/heads/"))
        );
        self.add_relation(
            id,
            &json!({"rel": "ArtifactLink", "url": url, "attributes": {"name": "Branch"}}),
            by,
        )
    }

    /// A commit of a person, pushed to a branch (made from the default branch when new). Branch policies apply.
    pub fn push_as(
        &self,
        repository: &RepositoryHandle,
        branch: &str,
        files: &[SeedFile],
        message: &str,
        by: &Identity,
    ) -> Result<String, Refused> {
        self.act(|world| {
            let old = world.head(&repository.id, branch).unwrap_or_else(|| ZERO.to_owned());
            let update = RefUpdate { name: branch.to_owned(), old, new: "f".repeat(40) };
            world.may_update(&repository.id, &update, &by.id, false).map_err(|(_, message)| {
                Problem::new(403, "GitRefUpdateRejectedByPolicyException", message)
            })?;
            let changes: Vec<_> = files.iter().map(SeedFile::change).collect();
            world.commit(&repository.id, branch, &changes, message, &by.id)
        })
    }

    /// A commit that lands on a branch whatever its policies: as if another pull request had been completed.
    pub fn land(
        &self,
        repository: &RepositoryHandle,
        branch: &str,
        files: &[SeedFile],
        message: &str,
        by: &Identity,
    ) -> Result<String, Refused> {
        let changes: Vec<_> = files.iter().map(SeedFile::change).collect();
        self.act(|world| world.commit(&repository.id, branch, &changes, message, &by.id))
    }

    /// Moves a branch to a commit, forwards or backwards: a force push of a person who may.
    pub fn force_branch(
        &self,
        repository: &RepositoryHandle,
        branch: &str,
        commit: &str,
        by: &Identity,
    ) -> Result<(), Refused> {
        self.move_branch(repository, branch, commit, by)
    }

    /// Deletes a branch.
    pub fn delete_branch(
        &self,
        repository: &RepositoryHandle,
        branch: &str,
        by: &Identity,
    ) -> Result<(), Refused> {
        self.move_branch(repository, branch, ZERO, by)
    }

    fn move_branch(
        &self,
        repository: &RepositoryHandle,
        branch: &str,
        to: &str,
        by: &Identity,
    ) -> Result<(), Refused> {
        self.act(|world| {
            let old = world.head(&repository.id, branch).unwrap_or_else(|| ZERO.to_owned());
            let git = world.git(&repository.id);
            let rewinds = to != ZERO && old != ZERO && !git.is_ancestor(&old, to);
            let update = RefUpdate { name: branch.to_owned(), old, new: to.to_owned() };
            world
                .may_update(&repository.id, &update, &by.id, rewinds)
                .map_err(|(_, message)| Problem::new(403, "GitNeedsPermissionException", message))?;
            let moved = if to == ZERO { git.delete_ref(branch) } else { git.update_ref(branch, to) };
            moved.map_err(|error| super::state::repositories::internal(&error))?;
            world.after_push(&repository.id, &[update], &by.id);
            Ok(())
        })
    }
}
