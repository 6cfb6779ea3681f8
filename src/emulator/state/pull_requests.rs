//! Pull requests: model, life, rendering.
//!
//! It knows status, iterations, reviewers and what an answer shows while the server is still busy. Merging is in
//! `merges`, threads in `threads`, branch policies in `policies`.

use super::{
    World,
    repositories::{RefUpdate, Repository},
    threads::Thread,
    work_items::Save,
};
use crate::emulator::wire::{NOBODY, Problem, ZERO, same_guid};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc};

#[derive(Clone, Debug)]
pub(crate) struct Reviewer {
    pub(crate) id: String,
    pub(crate) vote: i64,
    pub(crate) required: bool,
    pub(crate) declined: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Iteration {
    pub(crate) reason: &'static str,
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) base: String,
    pub(crate) push: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct PostedStatus {
    pub(crate) id: i64,
    pub(crate) iteration: Option<usize>,
    pub(crate) state: String,
    pub(crate) genre: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) target_url: Option<String>,
    pub(crate) by: String,
    pub(crate) at: Timestamp,
}

/// What is known about the merge at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MergeView {
    pub(crate) status: &'static str,
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) commit: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct PullRequest {
    pub(crate) id: i64,
    pub(crate) repository: String,
    pub(crate) project: String,
    pub(crate) source_ref: String,
    pub(crate) target_ref: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) created_by: String,
    pub(crate) created: Timestamp,
    pub(crate) status: &'static str,
    pub(crate) draft: bool,
    pub(crate) merge: MergeView,
    /// Reads until the trial merge shows.
    pub(crate) merge_lag: u32,
    /// The view before the last push, and for how many reads it lingers.
    pub(crate) lingering: Option<(MergeView, u32)>,
    pub(crate) merge_id: String,
    pub(crate) reviewers: Vec<Reviewer>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) properties: BTreeMap<String, Value>,
    pub(crate) threads: Vec<Arc<Thread>>,
    pub(crate) iterations: Vec<Iteration>,
    pub(crate) statuses: Vec<PostedStatus>,
    pub(crate) evaluations: BTreeMap<i64, super::policies::Evaluation>,
    /// Reads until the queued completion happens, and who asked for it.
    pub(crate) completing: Option<(u32, String)>,
    pub(crate) completion_options: Option<Value>,
    pub(crate) auto_complete: Option<String>,
    pub(crate) closed_by: Option<String>,
    pub(crate) closed: Option<Timestamp>,
    pub(crate) completion_queued: Option<Timestamp>,
    /// The target moved since the last trial merge.
    pub(crate) outdated: bool,
    /// Reads until work item links show.
    pub(crate) link_lag: u32,
}

impl PullRequest {
    pub(crate) fn active(&self) -> bool {
        self.status == "active"
    }

    pub(crate) fn head(&self) -> &str {
        &self.merge.source
    }

    pub(crate) fn artifact(&self) -> String {
        format!("vstfs:///Git/PullRequestId/{}%2f{}%2f{}", self.project, self.repository, self.id)
    }
}

/// A new pull request as it was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewPullRequest {
    pub(crate) source_ref: String,
    pub(crate) target_ref: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) draft: bool,
    pub(crate) reviewers: Vec<String>,
    pub(crate) labels: Vec<String>,
    pub(crate) items: Vec<i64>,
}

pub(crate) fn check_description(text: &str) -> Result<(), Problem> {
    if text.encode_utf16().count() > 4000 {
        return Err(Problem::argument(
            "A description for a pull request must not be longer than 4000 characters.\r\nParameter name: description",
        ));
    }
    Ok(())
}

impl World {
    pub(crate) fn pull(&self, id: i64, repository: Option<&str>) -> Result<&Arc<PullRequest>, Problem> {
        self.pulls.get(&id).filter(|pull| repository.is_none_or(|r| pull.repository == r)).ok_or_else(|| {
            Problem::new(
                404,
                "GitPullRequestNotFoundException",
                format!(
                    "TF401180: The requested pull request was not found. Parameter name: pullRequestId {id}"
                ),
            )
        })
    }

    pub(crate) fn pull_mut(&mut self, id: i64) -> Option<&mut PullRequest> {
        self.pulls.get_mut(&id).map(Arc::make_mut)
    }

    pub(crate) fn create_pull(
        &mut self,
        repository: &Repository,
        new: NewPullRequest,
        by: &str,
    ) -> Result<i64, Problem> {
        if new.title.trim().is_empty() {
            return Err(Problem::argument(
                "A title is required.\r\nParameter name: pullRequestToCreate.Title",
            ));
        }
        if new.title.chars().count() > 400 {
            return Err(Problem::argument(
                "A title for a pull request must not be longer than 400 characters.",
            ));
        }
        check_description(&new.description)?;
        for name in [&new.source_ref, &new.target_ref] {
            if !name.starts_with("refs/heads/") || !repository.refs.contains_key(name) {
                return Err(Problem::new(
                    400,
                    "GitPullRequestCannotBeActivated",
                    "TF401398: The pull request cannot be activated because the source and/or the target branch no longer \
                     exists, or the requested refs are not branches",
                ));
            }
        }
        if new.source_ref == new.target_ref {
            return Err(Problem::argument("The source and target branch of a pull request must differ."));
        }
        self.refuse_twin(&repository.id, &new.source_ref, &new.target_ref, None)?;
        for reviewer in &new.reviewers {
            self.known_reviewer(reviewer)?;
        }
        let now = self.now();
        let id = self.pulls.keys().next_back().map_or(1, |id| id + 1);
        let merge_id = self.fresh_guid("merge");
        let labels = new
            .labels
            .iter()
            .map(|label| self.label(&repository.project, label, by))
            .collect::<Result<_, _>>()?;
        let pull = PullRequest {
            id,
            repository: repository.id.clone(),
            project: repository.project.clone(),
            source_ref: new.source_ref.clone(),
            target_ref: new.target_ref,
            title: new.title,
            description: new.description,
            created_by: by.to_owned(),
            created: now,
            status: "active",
            draft: new.draft,
            merge: MergeView::default(),
            merge_lag: 0,
            lingering: None,
            merge_id,
            reviewers: new
                .reviewers
                .iter()
                .filter_map(|id| self.account(id))
                .map(|account| Reviewer { id: account.id.clone(), vote: 0, required: false, declined: false })
                .collect(),
            labels,
            properties: BTreeMap::new(),
            threads: Vec::new(),
            iterations: Vec::new(),
            statuses: Vec::new(),
            evaluations: BTreeMap::new(),
            completing: None,
            completion_options: None,
            auto_complete: None,
            closed_by: None,
            closed: None,
            completion_queued: None,
            outdated: false,
            link_lag: self.knobs.work_item_link_lag,
        };
        self.pulls.insert(id, Arc::new(pull));
        self.try_merge(id);
        self.iterate(id, "create", by, 0);
        let mut items = new.items;
        items.extend(self.mentioned_items(id));
        for item in items {
            self.link_pull(id, item, by);
        }
        self.start_policies(id, true);
        Ok(id)
    }

    /// An active pull request of the same branches is a conflict; this is what makes creation idempotent.
    fn refuse_twin(
        &self,
        repository: &str,
        source: &str,
        target: &str,
        but: Option<i64>,
    ) -> Result<(), Problem> {
        let twin = self.pulls.values().any(|pull| {
            pull.active()
                && pull.repository == repository
                && pull.source_ref == source
                && pull.target_ref == target
                && Some(pull.id) != but
        });
        if twin {
            return Err(Problem::new(
                409,
                "GitPullRequestExistsException",
                "TF401179: An active pull request for the source and target branch already exists.",
            ));
        }
        Ok(())
    }

    pub(crate) fn known_reviewer(&self, id: &str) -> Result<String, Problem> {
        self.account(id).map(|account| account.id.clone()).ok_or_else(|| {
            Problem::new(
                400,
                "InvalidArgumentValueException",
                format!("TF401186: The reviewer {id} is not an identity of this organization."),
            )
        })
    }

    pub(crate) fn label(&mut self, project: &str, name: &str, by: &str) -> Result<(String, String), Problem> {
        let name = self.tag(project, name, by)?;
        let id = self
            .projects
            .get(project)
            .and_then(|project| project.tags.get(&name.to_lowercase()))
            .map_or_else(String::new, |tag| tag.id.clone());
        Ok((id, name))
    }

    /// `#12` in title or description.
    pub(crate) fn mentioned_items(&self, pull: i64) -> Vec<i64> {
        let Some(pull) = self.pulls.get(&pull) else { return Vec::new() };
        numbers(&format!("{} {}", pull.title, pull.description))
            .into_iter()
            .filter(|id| self.items.get(id).is_some_and(|item| !item.deleted && item.project == pull.project))
            .collect()
    }

    pub(crate) fn link_pull(&mut self, pull: i64, item: i64, by: &str) {
        let Some(url) = self.pulls.get(&pull).map(|pull| pull.artifact()) else { return };
        let Ok(mut save) = self.edit(item) else { return };
        if save.relations.iter().any(|known| known.url.eq_ignore_ascii_case(&url)) {
            return;
        }
        save.relations.push(super::work_items::Relation {
            rel: "ArtifactLink".into(),
            url,
            attributes: Map::from_iter([("name".to_owned(), json!("Pull Request"))]),
        });
        self.save_item(item, save, by);
    }

    /// The work items whose artifact links point at this pull request.
    pub(crate) fn linked_items(&self, pull: &PullRequest) -> Vec<i64> {
        let url = pull.artifact();
        self.items
            .values()
            .filter(|item| !item.deleted && item.relations.iter().any(|r| r.url.eq_ignore_ascii_case(&url)))
            .map(|item| item.id)
            .collect()
    }

    pub(crate) fn iterate(&mut self, id: i64, reason: &'static str, by: &str, push: i64) {
        let at = self.now();
        let Some(pull) = self.pulls.get(&id) else { return };
        let (source, target) = (pull.merge.source.clone(), pull.merge.target.clone());
        let base =
            self.git(&pull.repository).merge_bases(&target, &source).into_iter().next().unwrap_or_default();
        if let Some(pull) = self.pull_mut(id) {
            pull.iterations.push(Iteration { reason, by: by.to_owned(), at, source, target, base, push });
        }
    }

    /// A push to the source branch: new iteration, new trial merge, votes and checks start over.
    pub(crate) fn source_moved(&mut self, repository: &str, update: &RefUpdate, by: &str, push: i64) {
        if update.new == ZERO || update.old == ZERO {
            return;
        }
        let ids: Vec<i64> = self
            .pulls
            .values()
            .filter(|p| p.active() && p.repository == repository && p.source_ref == update.name)
            .map(|p| p.id)
            .collect();
        let forced = !self.git(repository).is_ancestor(&update.old, &update.new);
        for id in ids {
            let lag = self.knobs.push_lag;
            if let Some(pull) = self.pull_mut(id) {
                pull.lingering = (lag > 0).then(|| (pull.merge.clone(), lag));
                pull.completing = None;
                pull.completion_queued = None;
            }
            self.try_merge(id);
            self.iterate(id, if forced { "forcePush" } else { "push" }, by, push);
            let text = format!(
                "{} pushed commits creating iteration {}",
                self.account(by).map_or("somebody", |account| account.display_name.as_str()),
                self.pulls.get(&id).map_or(0, |pull| pull.iterations.len())
            );
            self.system_thread(id, "RefUpdate", &text, by);
            self.reset_votes(id, by);
            self.start_policies(id, true);
        }
    }

    /// The target moved: trial merges are out of date. They are made again when somebody looks, as in reality, unless a
    /// policy wants a new build at once.
    pub(crate) fn target_moved(&mut self, repository: &str, name: &str) {
        let ids: Vec<i64> = self
            .pulls
            .values()
            .filter(|p| p.active() && p.repository == repository && p.target_ref == name)
            .map(|p| p.id)
            .collect();
        for id in ids {
            if let Some(pull) = self.pull_mut(id) {
                pull.outdated = true;
            }
            let eager = self.pulls.get(&id).is_some_and(|pull| {
                let rebuilds = |policy: &Arc<super::policies::Policy>| {
                    policy.settings["queueOnSourceUpdateOnly"].as_bool() == Some(false)
                };
                self.policies_of(pull).iter().any(rebuilds)
            });
            if eager {
                self.refresh(id);
            }
        }
    }

    /// Makes an outdated trial merge anew.
    pub(crate) fn refresh(&mut self, id: i64) {
        if self.pulls.get(&id).is_some_and(|pull| pull.outdated && pull.active()) {
            self.try_merge(id);
            self.start_policies(id, false);
        }
    }

    fn reset_votes(&mut self, id: i64, by: &str) {
        if !self.resets_votes(id) {
            return;
        }
        let Some(pull) = self.pull_mut(id) else { return };
        let reset = pull.reviewers.iter().any(|reviewer| reviewer.vote != 0);
        pull.reviewers.iter_mut().for_each(|reviewer| reviewer.vote = 0);
        if reset {
            self.system_thread(id, "ResetMultipleVotes", "The votes were reset because of a push", by);
        }
    }

    pub(crate) fn vote(&mut self, id: i64, who: &str, vote: i64, by: &str) -> Result<(), Problem> {
        let who = self.known_reviewer(who)?;
        if ![10, 5, 0, -5, -10].contains(&vote) {
            return Err(Problem::argument(format!("The vote {vote} is none of 10, 5, 0, -5, -10.")));
        }
        let old = self.pull(id, None)?.reviewers.iter().find(|r| r.id == who).map(|r| r.vote);
        if !same_guid(&who, by) && vote != old.unwrap_or(0) {
            return Err(Problem::new(
                400,
                "InvalidArgumentValueException",
                "TF401186: The vote of another identity cannot be changed.",
            ));
        }
        let draft = self.pull(id, None)?.draft;
        if draft && vote != 0 {
            return Err(Problem::argument("Votes are not allowed on a draft pull request."));
        }
        if let Some(pull) = self.pull_mut(id) {
            match pull.reviewers.iter_mut().find(|reviewer| reviewer.id == who) {
                Some(reviewer) => reviewer.vote = vote,
                None => {
                    pull.reviewers.push(Reviewer { id: who.clone(), vote, required: false, declined: false });
                }
            }
        }
        let name = self.account(&who).map_or_else(String::new, |account| account.display_name.clone());
        if old.is_none() {
            self.system_thread(id, "ReviewersUpdate", &format!("{name} joined as a reviewer"), by);
        }
        if vote != old.unwrap_or(0) {
            self.system_thread(id, "VoteUpdate", &format!("{name} voted {vote}"), by);
        }
        self.consider_completion(id);
        Ok(())
    }

    /// Abandon or reactivate.
    pub(crate) fn set_pull_status(&mut self, id: i64, status: &str, by: &str) -> Result<(), Problem> {
        let now = self.now();
        let pull = Arc::clone(self.pull(id, None)?);
        match (pull.status, status) {
            ("active", "abandoned") => {
                if let Some(pull) = self.pull_mut(id) {
                    pull.status = "abandoned";
                    pull.closed = Some(now);
                    pull.closed_by = Some(by.to_owned());
                    pull.completing = None;
                    pull.auto_complete = None;
                }
                self.cancel_builds(id, None);
                self.system_thread(id, "StatusUpdate", "The pull request was abandoned", by);
            }
            ("abandoned", "active") => {
                let repository = Arc::clone(&self.repositories[&pull.repository]);
                if !repository.refs.contains_key(&pull.source_ref)
                    || !repository.refs.contains_key(&pull.target_ref)
                {
                    return Err(Problem::new(
                        400,
                        "GitPullRequestCannotBeActivated",
                        "TF401398: The pull request cannot be activated because the source and/or the target branch no \
                         longer exists, or the requested refs are not branches",
                    ));
                }
                self.refuse_twin(&pull.repository, &pull.source_ref, &pull.target_ref, Some(id))?;
                if let Some(pull) = self.pull_mut(id) {
                    pull.status = "active";
                    pull.closed = None;
                    pull.closed_by = None;
                }
                let before = pull.merge.source.clone();
                self.try_merge(id);
                if self.pulls.get(&id).is_some_and(|pull| pull.merge.source != before) {
                    self.iterate(id, "push", by, 0);
                }
                self.system_thread(id, "StatusUpdate", "The pull request was reactivated", by);
                self.start_policies(id, true);
            }
            (old, new) if old == new => {}
            (old, new) => {
                return Err(Problem::new(
                    400,
                    "InvalidArgumentValueException",
                    format!(
                        "TF401181: The pull request cannot be edited due to its state. It is {old}, not to become {new}."
                    ),
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn set_draft(&mut self, id: i64, draft: bool, by: &str) -> Result<(), Problem> {
        let was = self.pull(id, None)?.draft;
        if was == draft {
            return Ok(());
        }
        if let Some(pull) = self.pull_mut(id) {
            pull.draft = draft;
            if draft {
                pull.reviewers.iter_mut().for_each(|reviewer| reviewer.vote = 0);
                pull.auto_complete = None;
            }
        }
        let text = if draft { "marked the pull request as a draft" } else { "published the pull request" };
        self.system_thread(id, "IsDraftUpdate", text, by);
        if !draft {
            self.start_policies(id, true);
        }
        Ok(())
    }

    pub(crate) fn retarget(&mut self, id: i64, target: &str, by: &str) -> Result<(), Problem> {
        let pull = Arc::clone(self.pull(id, None)?);
        if self.head(&pull.repository, target).is_none() || target == pull.source_ref {
            return Err(Problem::new(
                400,
                "GitPullRequestCannotBeActivated",
                "TF401398: The pull request cannot be activated because the source and/or the target branch no longer exists, \
                 or the requested refs are not branches",
            ));
        }
        self.refuse_twin(&pull.repository, &pull.source_ref, target, Some(id))?;
        if let Some(pull) = self.pull_mut(id) {
            target.clone_into(&mut pull.target_ref);
            pull.evaluations.clear();
        }
        self.try_merge(id);
        self.iterate(id, "retarget", by, 0);
        self.system_thread(id, "TargetUpdate", &format!("The target branch is now {target}"), by);
        self.start_policies(id, true);
        Ok(())
    }

    pub(crate) fn set_auto_complete(&mut self, id: i64, who: &str, by: &str) -> Result<(), Problem> {
        self.pull(id, None)?;
        let value = if who == NOBODY {
            None
        } else if same_guid(who, by) {
            Some(by.to_owned())
        } else {
            return Err(Problem::argument(
                "TF401182: Auto-complete can only be set by the identity that is authenticated.",
            ));
        };
        if let Some(pull) = self.pull_mut(id) {
            pull.auto_complete = value;
        }
        self.consider_completion(id);
        Ok(())
    }

    /// A save of an item on behalf of a merge.
    pub(crate) fn move_item(&mut self, item: i64, state: &str, by: &str) {
        let Ok(mut save) = self.edit(item) else { return };
        save.fields.insert("System.State".into(), json!(state));
        self.save_item(item, Save { ..save }, by);
    }
}

/// The numbers behind `#` that stand alone.
pub(crate) fn numbers(text: &str) -> Vec<i64> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('#') {
        let before = text[..at].chars().next_back();
        let digits: String = text[at + 1..].chars().take_while(char::is_ascii_digit).collect();
        let after = text[at + 1 + digits.len()..].chars().next();
        let alone = before.is_none_or(|c| !c.is_alphanumeric() && c != '&')
            && after.is_none_or(|c| !c.is_alphanumeric());
        if let Some(id) = digits.parse().ok().filter(|id| alone && !found.contains(id)) {
            found.push(id);
        }
    }
    found
}
