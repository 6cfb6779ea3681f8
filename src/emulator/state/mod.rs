//! The world: who exists, what exists, and the clock.
//!
//! One value behind one lock; every change goes through it, so every request is atomic. Entities are shared by `Arc`,
//! which makes a snapshot of the whole world cheap: stale reads are answers from an older snapshot. Nothing here knows
//! HTTP, and nothing here waits.

pub(crate) mod attachments;
pub(crate) mod builds;
pub(crate) mod comments;
pub(crate) mod fields;
pub(crate) mod merges;
pub(crate) mod patch;
pub(crate) mod policies;
pub(crate) mod process;
pub(crate) mod pull_requests;
pub(crate) mod pull_view;
pub(crate) mod repositories;
pub(crate) mod threads;
pub(crate) mod work_items;

use super::wire::{self, Problem, encode, guid, same_guid, stamp};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
    sync::Arc,
};

/// The emulator's clock: it never stands still and never goes back, and tests may move it forward.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    offset: SignedDuration,
    last: Timestamp,
}

impl Clock {
    fn new() -> Self {
        Self { offset: SignedDuration::ZERO, last: Timestamp::UNIX_EPOCH }
    }

    #[expect(clippy::disallowed_methods, reason = "the emulator is its own universe and owns its clock")]
    fn now(&mut self) -> Timestamp {
        let wall = Timestamp::now() + self.offset;
        // Two events never share a date: with equal dates "the last one" would be a guess.
        let millis = wall.as_millisecond().max(self.last.as_millisecond() + 1);
        self.last = Timestamp::from_millisecond(millis).unwrap_or(self.last);
        self.last
    }
}

/// A person or a service.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "permissions are granted one by one")]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) display_name: String,
    pub(crate) unique_name: String,
    pub(crate) descriptor: String,
    pub(crate) service: bool,
    pub(crate) force_push: bool,
    pub(crate) create_tags: bool,
    pub(crate) bypass_rules: bool,
    pub(crate) contribute: bool,
}

/// A group of the organization.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) descriptor: String,
    /// Ids of accounts and of other groups.
    pub(crate) members: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) account: String,
    pub(crate) bearer: bool,
    pub(crate) expired: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) process: process::Process,
    pub(crate) areas: BTreeSet<String>,
    pub(crate) iterations: BTreeSet<String>,
    /// Lower-cased name to definition: the first spelling wins.
    pub(crate) tags: BTreeMap<String, TagDefinition>,
}

#[derive(Clone, Debug)]
pub(crate) struct TagDefinition {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) used: Timestamp,
}

/// What the runner must do after the lock is released.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Errand {
    Start(i64),
    Cancel(i64),
}

/// Lags and refusals that last until they are changed, in contrast to counted faults.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub(crate) struct Knobs {
    pub(crate) merge_lag: u32,
    pub(crate) completion_lag: u32,
    pub(crate) push_lag: u32,
    pub(crate) evaluation_lag: u32,
    pub(crate) work_item_link_lag: u32,
    pub(crate) index_lag: usize,
    pub(crate) anonymous_connection_data: bool,
    pub(crate) sign_in: super::SignIn,
    pub(crate) query_limit: usize,
    pub(crate) page_cap: usize,
    pub(crate) builds_never_start: bool,
    pub(crate) legacy_comment_ids: bool,
    pub(crate) folds: bool,
    pub(crate) hosted: bool,
    /// Item ids whose next guarded save loses a race, and the account that wins it.
    pub(crate) races: BTreeMap<i64, String>,
    /// (project id, type name lower-cased, field) that must not be empty.
    pub(crate) required_fields: BTreeSet<(String, String, String)>,
    pub(crate) disabled_repositories: BTreeSet<String>,
    pub(crate) unreadable_items: BTreeSet<i64>,
    /// Repository id to the words with which its server refuses every push.
    pub(crate) refused_pushes: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    /// `http://127.0.0.1:PORT/acme`
    pub(crate) base: Arc<str>,
    pub(crate) organization: Arc<str>,
    pub(crate) root: Arc<PathBuf>,
    clock: Clock,
    serial: u64,
    pub(crate) accounts: BTreeMap<String, Arc<Account>>,
    pub(crate) groups: BTreeMap<String, Arc<Group>>,
    pub(crate) credentials: BTreeMap<String, Credential>,
    pub(crate) projects: BTreeMap<String, Arc<Project>>,
    pub(crate) repositories: BTreeMap<String, Arc<repositories::Repository>>,
    pub(crate) items: BTreeMap<i64, Arc<work_items::WorkItem>>,
    pub(crate) pulls: BTreeMap<i64, Arc<pull_requests::PullRequest>>,
    pub(crate) pipelines: BTreeMap<i64, Arc<builds::Pipeline>>,
    pub(crate) policies: BTreeMap<i64, Arc<policies::Policy>>,
    pub(crate) builds: BTreeMap<i64, Arc<builds::Build>>,
    pub(crate) attachments: BTreeMap<String, Arc<attachments::Attachment>>,
    pub(crate) knobs: Knobs,
    pub(crate) errands: Vec<Errand>,
    pub(crate) watermark: i64,
    pub(crate) next_comment: i64,
    pub(crate) next_push: i64,
    /// An old copy that answers a stale read: it must not touch the repositories.
    pub(crate) replica: bool,
    /// Requests for things that the emulator does not play; stories must end with none.
    pub(crate) unsupported: Vec<String>,
}

impl World {
    pub(crate) fn new(base: &str, organization: &str, root: PathBuf, knobs: Knobs) -> Self {
        Self {
            base: base.into(),
            organization: organization.into(),
            root: Arc::new(root),
            clock: Clock::new(),
            serial: 0,
            accounts: BTreeMap::new(),
            groups: BTreeMap::new(),
            credentials: BTreeMap::new(),
            projects: BTreeMap::new(),
            repositories: BTreeMap::new(),
            items: BTreeMap::new(),
            pulls: BTreeMap::new(),
            pipelines: BTreeMap::new(),
            policies: BTreeMap::new(),
            builds: BTreeMap::new(),
            attachments: BTreeMap::new(),
            knobs,
            errands: Vec::new(),
            watermark: 0,
            next_comment: 0,
            next_push: 0,
            replica: false,
            unsupported: Vec::new(),
        }
    }

    pub(crate) fn now(&mut self) -> Timestamp {
        self.clock.now()
    }

    /// A copy for answering one stale read.
    pub(crate) fn replica(&self) -> Self {
        Self { replica: true, ..self.clone() }
    }

    pub(crate) fn advance(&mut self, by: SignedDuration) {
        self.clock.offset += by;
    }

    pub(crate) fn fresh_guid(&mut self, what: &str) -> String {
        self.serial += 1;
        guid(&format!("{what} {}", self.serial))
    }

    pub(crate) fn create_project(&mut self, name: &str, process: process::Process) -> String {
        let id = self.fresh_guid(&format!("project {name}"));
        let project = Project {
            id: id.clone(),
            name: name.to_owned(),
            process,
            areas: BTreeSet::from([name.to_owned()]),
            iterations: BTreeSet::from([name.to_owned()]),
            tags: BTreeMap::new(),
        };
        self.projects.insert(id.clone(), Arc::new(project));
        id
    }

    /// A project by name or GUID, the way a path names it.
    pub(crate) fn project(&self, name_or_id: &str) -> Result<Arc<Project>, Problem> {
        let found = self
            .projects
            .values()
            .find(|p| p.name.to_lowercase() == name_or_id.to_lowercase() || same_guid(&p.id, name_or_id));
        if let Some(project) = found {
            return Ok(Arc::clone(project));
        }
        if wire::is_guid(name_or_id) {
            return Err(Problem::new(
                404,
                "ProjectDoesNotExistException",
                format!(
                    "VS800075: The project with id 'vstfs:///Classification/TeamProject/{name_or_id}' does not exist, or you \
                     do not have permission to access it."
                ),
            ));
        }
        Err(Problem::new(
            404,
            "ProjectDoesNotExistWithNameException",
            format!(
                "TF200016: The following project does not exist: {name_or_id}. Verify that the name of the project is correct \
                 and that the project exists on the specified Azure DevOps Server."
            ),
        ))
    }

    pub(crate) fn project_mut(&mut self, id: &str) -> Option<&mut Project> {
        self.projects.get_mut(id).map(Arc::make_mut)
    }

    /// The definition's own spelling; makes the definition when the account may.
    pub(crate) fn tag(&mut self, project: &str, name: &str, by: &str) -> Result<String, Problem> {
        let now = self.now();
        let may_create = self.accounts.get(by).is_none_or(|account| account.create_tags);
        let id = self.fresh_guid("tag");
        let Some(project) = self.project_mut(project) else { return Ok(name.to_owned()) };
        if let Some(known) = project.tags.get_mut(&name.to_lowercase()) {
            known.used = now;
            return Ok(known.name.clone());
        }
        if name.chars().count() > 400 {
            return Err(Problem::argument("TF401287: The tag name is longer than 400 characters."));
        }
        if !may_create {
            return Err(Problem::new(
                403,
                "TagCreationPermissionException",
                format!(
                    "TF401289: The current user does not have permissions to create tags. The following tag could not be \
                     created: {name}"
                ),
            ));
        }
        project.tags.insert(name.to_lowercase(), TagDefinition { id, name: name.to_owned(), used: now });
        Ok(name.to_owned())
    }

    pub(crate) fn account(&self, id: &str) -> Option<&Arc<Account>> {
        self.accounts.get(id).or_else(|| self.accounts.values().find(|account| same_guid(&account.id, id)))
    }

    /// `IdentityRef` as every area renders it.
    pub(crate) fn identity(&self, id: &str) -> Value {
        let Some(account) = self.account(id) else {
            return json!({"id": id, "displayName": id});
        };
        let image = format!("{}/_apis/GraphProfile/MemberAvatars/{}", self.base, account.descriptor);
        json!({
            "displayName": account.display_name,
            "url": format!("{}/_apis/Identities/{}", self.base, account.id),
            "_links": {"avatar": {"href": image}},
            "id": account.id,
            "uniqueName": account.unique_name,
            "imageUrl": image,
            "descriptor": account.descriptor,
        })
    }

    pub(crate) fn project_reference(&self, id: &str) -> Value {
        let Some(project) = self.projects.get(id) else { return Value::Null };
        json!({
            "id": project.id, "name": project.name, "state": "wellFormed", "visibility": "private", "revision": 11,
            "url": format!("{}/_apis/projects/{}", self.base, project.id),
            "lastUpdateTime": stamp(Timestamp::UNIX_EPOCH),
        })
    }

    /// `{base}/{project GUID}`: links always use the GUID, whatever the request used.
    pub(crate) fn project_url(&self, project: &str) -> String {
        format!("{}/{}", self.base, encode(project))
    }
}

/// The last worlds, newest last: what a lagging replica would still show.
#[derive(Debug, Default)]
pub(crate) struct Past {
    worlds: VecDeque<World>,
}

impl Past {
    const DEPTH: usize = 48;

    pub(crate) fn remember(&mut self, world: &World) {
        if self.worlds.len() == Self::DEPTH {
            self.worlds.pop_front();
        }
        self.worlds.push_back(world.clone());
    }

    /// The world before the last `writes` changes, as far back as memory goes.
    pub(crate) fn before(&self, writes: usize) -> Option<&World> {
        match writes {
            0 => None,
            n => self.worlds.get(self.worlds.len().saturating_sub(n)),
        }
    }

    /// Newest first.
    pub(crate) fn backwards(&self) -> impl Iterator<Item = &World> {
        self.worlds.iter().rev()
    }
}
