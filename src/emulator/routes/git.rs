//! Repositories, refs, files and commits over HTTP. Git's own protocol is served elsewhere.

use super::{Answer, Body, Call, Route, page};
use crate::emulator::{
    git::{Commit, Git},
    state::repositories::{RefUpdate, Repository},
    wire::{Content, Problem, Reply, ZERO, encode, stamp7, wrapped},
};
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) const ROUTES: &[Route] = &[
    Route::get("git/repositories", "repository: list", list).query(&[
        "includeLinks",
        "includeAllUrls",
        "includeHidden",
    ]),
    Route::get("git/repositories/{repo}", "repository: get", get).query(&["includeParent"]),
    Route::get("git/repositories/{repo}/refs", "ref: list", refs).query(&[
        "filter",
        "includeLinks",
        "includeStatuses",
        "includeMyBranches",
        "latestStatusesOnly",
        "peelTags",
        "filterContains",
        "$top",
        "continuationToken",
    ]),
    Route::send("POST", "git/repositories/{repo}/refs", "ref: update", Body::Json, update_refs)
        .query(&["projectId"]),
    Route::get("git/repositories/{repo}/items", "file: get", item).query(&[
        "path",
        "scopePath",
        "recursionLevel",
        "includeContentMetadata",
        "latestProcessedChange",
        "download",
        "$format",
        "versionDescriptor.version",
        "versionDescriptor.versionOptions",
        "versionDescriptor.versionType",
        "includeContent",
        "resolveLfs",
        "sanitize",
        "includeLinks",
        "zipForUnix",
    ]),
    Route::get("git/repositories/{repo}/commits", "commit: list", commits).query(&[
        "searchCriteria.$skip",
        "searchCriteria.$top",
        "searchCriteria.author",
        "searchCriteria.itemPath",
        "searchCriteria.itemVersion.version",
        "searchCriteria.itemVersion.versionType",
        "searchCriteria.itemVersion.versionOptions",
        "searchCriteria.compareVersion.version",
        "searchCriteria.compareVersion.versionType",
        "$top",
        "$skip",
    ]),
    Route::get("git/repositories/{repo}/commits/{id}", "commit: get", commit).query(&["changeCount"]),
    Route::get("git/repositories/{repo}/pushes", "push: list", pushes).query(&[
        "$skip",
        "$top",
        "searchCriteria.refName",
        "searchCriteria.pusherId",
        "searchCriteria.includeRefUpdates",
        "searchCriteria.includeLinks",
        "searchCriteria.fromDate",
        "searchCriteria.toDate",
    ]),
    Route::get("git/repositories/{repo}/stats/branches", "branch: statistics", stats).query(&[
        "name",
        "baseVersionDescriptor.version",
        "baseVersionDescriptor.versionType",
        "baseVersionDescriptor.versionOptions",
    ]),
    Route::get("git/repositories/{repo}/diffs/commits", "commit: differences", diffs).query(&[
        "diffCommonCommit",
        "$top",
        "$skip",
        "baseVersion",
        "baseVersionOptions",
        "baseVersionType",
        "targetVersion",
        "targetVersionOptions",
        "targetVersionType",
    ]),
];

/// The repository that the path names. Disabled ones answer almost nothing.
pub(crate) fn repository(call: &Call<'_>) -> Result<Arc<Repository>, Problem> {
    let project = call.project.as_ref().map(|project| project.id.as_str());
    let repository = call.world.repository(project, call.arg(0))?;
    if call.world.knobs.disabled_repositories.contains(&repository.id) {
        return Err(Problem::new(
            403,
            "GitRepositoryDisabledException",
            format!("TF401022: The repository {} is disabled.", repository.name),
        ));
    }
    Ok(repository)
}

fn list(call: &mut Call<'_>) -> Answer {
    let project = call.project.clone();
    let values = call
        .world
        .repositories
        .values()
        .filter(|repository| project.as_ref().is_none_or(|project| project.id == repository.project))
        .map(|repository| call.world.repository_json(repository));
    Ok(Reply::list(values.collect()))
}

fn get(call: &mut Call<'_>) -> Answer {
    let project = call.project.as_ref().map(|project| project.id.as_str());
    let repository = call.world.repository(project, call.arg(0))?;
    Ok(Reply::ok(call.world.repository_json(&repository)))
}

fn refs(call: &mut Call<'_>) -> Answer {
    let repository = repository(call)?;
    let filter = call.q("filter").map(|filter| format!("refs/{}", filter.trim_start_matches("refs/")));
    let contains = call.q("filterContains").map(str::to_owned);
    // A prefix, not a name: `heads/agent/1` also finds `heads/agent/12`.
    let all: Vec<Value> = repository
        .refs
        .iter()
        .filter(|(name, _)| filter.as_ref().is_none_or(|filter| name.starts_with(filter.as_str())))
        .filter(|(name, _)| contains.as_ref().is_none_or(|part| name.contains(part.as_str())))
        .map(|(name, id)| call.world.ref_json(&repository, name, id))
        .collect();
    let top = call.number("$top")?.unwrap_or(1000).min(1000);
    let skip = call.number("continuationToken")?.unwrap_or(0);
    let more = all.len() > skip + top;
    let reply = Reply::ok(wrapped(page(all, skip, top)));
    Ok(if more { reply.header("x-ms-continuationtoken", (skip + top).to_string()) } else { reply })
}

/// 200 whatever happens; every entry says for itself whether it did.
fn update_refs(call: &mut Call<'_>) -> Answer {
    let repository = repository(call)?;
    let Some(wanted) = call.body.as_array().filter(|list| !list.is_empty()).cloned() else {
        return Err(Problem::argument("Value cannot be null.\r\nParameter name: refUpdates"));
    };
    let git = call.world.git(&repository.id);
    let me = call.me.clone();
    let (mut answers, mut done) = (Vec::new(), Vec::new());
    for entry in wanted {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let update = RefUpdate { name: text("name"), old: text("oldObjectId"), new: text("newObjectId") };
        let outcome = move_ref(call, &repository, &git, &update, &me);
        if outcome.is_ok() {
            call.world.sync_refs(&repository.id);
            done.push(update.clone());
        }
        let (status, message) = match outcome {
            Ok(()) => ("succeeded", None),
            Err((status, message)) => (status, Some(message)),
        };
        answers.push(json!({
            "repositoryId": repository.id, "name": update.name, "oldObjectId": update.old, "newObjectId": update.new,
            "isLocked": false, "updateStatus": status, "success": message.is_none(), "customMessage": message,
        }));
    }
    if !done.is_empty() {
        call.world.after_push(&repository.id, &done, &me);
    }
    Ok(Reply::list(answers))
}

fn move_ref(
    call: &Call<'_>,
    repository: &Repository,
    git: &Git,
    update: &RefUpdate,
    me: &str,
) -> Result<(), (&'static str, String)> {
    if git.run(&["check-ref-format", &update.name]).is_err() {
        return Err(("invalidRefName", format!("The ref name '{}' is not valid.", update.name)));
    }
    let current = call.world.head(&repository.id, &update.name).unwrap_or_else(|| ZERO.to_owned());
    if !current.eq_ignore_ascii_case(&update.old) {
        return Err((
            "staleOldObjectId",
            format!("TF401028: The reference '{}' has already been updated.", update.name),
        ));
    }
    let deletes = update.new == ZERO;
    if !deletes && !git.has_commit(&update.new) {
        return Err(("unresolvableToCommit", format!("The object '{}' is no commit here.", update.new)));
    }
    let rewinds = !deletes && current != ZERO && !git.is_ancestor(&current, &update.new);
    call.world.may_update(&repository.id, update, me, rewinds)?;
    let moved =
        if deletes { git.delete_ref(&update.name) } else { git.update_ref(&update.name, &update.new) };
    moved.map_err(|error| ("unprocessed", error.to_string()))
}

/// A version as the service names it: a short branch name, a tag, or a commit.
fn version(call: &Call<'_>, repository: &Repository, prefix: &str) -> Result<String, Problem> {
    let kind = call.q(&format!("{prefix}Type")).unwrap_or("branch").to_ascii_lowercase();
    let named = call.q(prefix).map(str::to_owned);
    let missing = |name: &str| {
        Problem::new(
            404,
            "GitUnresolvableToCommitException",
            format!(
                "TF401175: The version descriptor <{kind}: {name} > could not be resolved to a version in the repository {}",
                repository.name
            ),
        )
    };
    let Some(name) = named else {
        let default = crate::emulator::state::World::default_branch(repository);
        return default
            .and_then(|name| repository.refs.get(name).cloned())
            .ok_or_else(|| missing("<default>"));
    };
    let found = match kind.as_str() {
        // `refs/heads/main` here means a branch of that odd name, and there is none.
        "branch" => repository.refs.get(&format!("refs/heads/{name}")).cloned(),
        "tag" => repository.refs.get(&format!("refs/tags/{name}")).cloned(),
        "commit" => call.world.git(&repository.id).resolve(&name),
        other => {
            return Err(Problem::new(
                400,
                "ArgumentException",
                format!("The value '{other}' is not a version type.\r\nParameter name: versionType"),
            ));
        }
    };
    found.ok_or_else(|| missing(&name))
}

fn item(call: &mut Call<'_>) -> Answer {
    let repository = repository(call)?;
    let commit = version(call, &repository, "versionDescriptor.version")?;
    let git = call.world.git(&repository.id);
    let base =
        format!("{}/_apis/git/repositories/{}", call.world.project_url(&repository.project), repository.id);
    let show = |path: &str, id: &str, kind: &str| {
        json!({
            "objectId": id, "gitObjectType": kind, "commitId": commit, "path": format!("/{path}"),
            "isFolder": (kind == "tree").then_some(true),
            "url": format!("{base}/items?path={}&versionType=Commit&version={commit}", encode(&format!("/{path}"))),
        })
    };
    if let Some(scope) = call.q("scopePath") {
        let scope = scope.trim_matches('/').to_owned();
        let level = call.q("recursionLevel").unwrap_or("none").to_ascii_lowercase();
        let below = if scope.is_empty() { String::new() } else { format!("{scope}/") };
        let mut values = Vec::new();
        if let Some((id, kind, _)) = git.entry(&commit, &scope) {
            values.push(show(&scope, &id, &kind));
        } else {
            return Err(no_file(&scope, &repository, &commit));
        }
        if level != "none" {
            for (id, kind, _, path) in git.entries(&commit, &below, level == "full") {
                values.push(show(&path, &id, &kind));
            }
        }
        return Ok(Reply::list(values));
    }
    let Some(path) = call.q("path").map(|path| path.trim_matches('/').to_owned()) else {
        return Err(Problem::argument("Value cannot be null.\r\nParameter name: path"));
    };
    let (id, kind, _) = git.entry(&commit, &path).ok_or_else(|| no_file(&path, &repository, &commit))?;
    let format = call.q("$format").unwrap_or_default().to_ascii_lowercase();
    let raw = format == "octetstream" || (format.is_empty() && call.accept.contains("octet-stream"));
    let text = format == "text" || (format.is_empty() && call.accept.contains("text/plain"));
    if kind == "blob" && (raw || text || (format.is_empty() && !call.accept.contains("json"))) {
        let bytes = git.blob(&id).map_err(|error| super::super::state::repositories::internal(&error))?;
        let kind = if text { "text/plain" } else { "application/octet-stream" };
        return Ok(Reply::new(200, Content::Bytes(bytes, kind)));
    }
    let mut answer = show(&path, &id, &kind);
    if kind == "blob" && call.flag("includeContent") {
        let bytes = git.blob(&id).map_err(|error| super::super::state::repositories::internal(&error))?;
        answer["content"] = json!(String::from_utf8_lossy(&bytes));
    }
    Ok(Reply::ok(answer))
}

fn no_file(path: &str, repository: &Repository, commit: &str) -> Problem {
    Problem::new(
        404,
        "GitItemNotFoundException",
        format!(
            "TF401174: The item '/{path}' could not be found in the repository '{}' at the version specified by '<Commit: \
             {commit} >' (resolved to commit '{commit}')",
            repository.name
        ),
    )
}

pub(crate) fn commit_json(call: &Call<'_>, repository: &Repository, commit: &Commit, whole: bool) -> Value {
    let base =
        format!("{}/_apis/git/repositories/{}", call.world.project_url(&repository.project), repository.id);
    let person = |(name, email, date): &(String, String, String)| {
        let date = date.parse().map_or_else(|_| date.clone(), stamp7);
        json!({"name": name, "email": email, "date": date})
    };
    let comment = if whole {
        commit.message.clone()
    } else {
        commit.message.lines().next().unwrap_or_default().to_owned()
    };
    let mut answer = json!({
        "commitId": commit.id, "author": person(&commit.author), "committer": person(&commit.committer),
        "comment": comment, "url": format!("{base}/commits/{}", commit.id),
    });
    if !whole && comment.len() < commit.message.len() {
        answer["commentTruncated"] = json!(true);
    }
    if whole {
        answer["parents"] = json!(commit.parents);
        answer["treeId"] = json!(commit.tree);
    }
    answer
}

fn commits(call: &mut Call<'_>) -> Answer {
    let repository = repository(call)?;
    let tip = version(call, &repository, "searchCriteria.itemVersion.version")?;
    // The prefixed paging names are reported to be ignored.
    let top = call.number("$top")?.unwrap_or(100);
    let skip = call.number("$skip")?.unwrap_or(0);
    let (top, skip) = (format!("--max-count={top}"), format!("--skip={skip}"));
    let range = match call.q("searchCriteria.compareVersion.version") {
        Some(_) => format!("{tip}..{}", version(call, &repository, "searchCriteria.compareVersion.version")?),
        None => tip,
    };
    let mut args = vec![top.as_str(), skip.as_str(), range.as_str()];
    let path = call.q("searchCriteria.itemPath").map(|path| path.trim_matches('/').to_owned());
    if let Some(path) = &path {
        args.extend(["--", path.as_str()]);
    }
    let found = call.world.git(&repository.id).log(&args).unwrap_or_default();
    Ok(Reply::list(found.iter().map(|commit| commit_json(call, &repository, commit, false)).collect()))
}

fn commit(call: &mut Call<'_>) -> Answer {
    let repository = repository(call)?;
    let id = call.arg(1).to_owned();
    let found = call.world.git(&repository.id).log(&["--max-count=1", &id]).unwrap_or_default();
    let found = found.first().filter(|commit| commit.id.eq_ignore_ascii_case(&id)).ok_or_else(|| {
        Problem::new(
            404,
            "GitCommitDoesNotExistException",
            format!("TF401175: The commit {id} does not exist in the repository {}.", repository.name),
        )
    })?;
    Ok(Reply::ok(commit_json(call, &repository, found, true)))
}

fn pushes(call: &mut Call<'_>) -> Answer {
    let repository = repository(call)?;
    let name = call.q("searchCriteria.refName").map(str::to_owned);
    let pusher = call.q("searchCriteria.pusherId").map(str::to_owned);
    let with_updates = call.flag("searchCriteria.includeRefUpdates");
    let values: Vec<Value> = repository
        .pushes
        .iter()
        .rev()
        .filter(|push| name.as_ref().is_none_or(|name| push.updates.iter().any(|update| update.name == *name)))
        .filter(|push| pusher.as_ref().is_none_or(|id| push.by.eq_ignore_ascii_case(id)))
        .map(|push| {
            let mut answer = call.world.push_json(&repository, push);
            if with_updates {
                let update = |u: &RefUpdate| json!({"name": u.name, "oldObjectId": u.old, "newObjectId": u.new, "repositoryId": repository.id});
                answer["refUpdates"] = push.updates.iter().map(update).collect();
            }
            answer
        })
        .collect();
    let (skip, top) = (call.number("$skip")?.unwrap_or(0), call.number("$top")?.unwrap_or(100));
    Ok(Reply::list(page(values, skip, top)))
}

fn stats(call: &mut Call<'_>) -> Answer {
    let repository = repository(call)?;
    let git = call.world.git(&repository.id);
    let base = version(call, &repository, "baseVersionDescriptor.version")?;
    let one = |name: &str, tip: &str| {
        let commit = git.log(&["--max-count=1", tip]).unwrap_or_default();
        let commit = commit.first().map(|commit| commit_json(call, &repository, commit, false));
        json!({
            "name": name, "aheadCount": git.count(&format!("{base}..{tip}")), "behindCount": git.count(&format!("{tip}..{base}")),
            "isBaseVersion": base == tip, "commit": commit,
        })
    };
    if let Some(name) = call.q("name") {
        // A missing branch is a bad request here, not a 404.
        let tip = repository.refs.get(&format!("refs/heads/{name}")).ok_or_else(|| {
            Problem::new(400, "GitUnresolvableToCommitException", format!("TF401175: The version descriptor <Branch: {name} > could not be resolved to a version in the repository {}", repository.name))
        })?;
        return Ok(Reply::ok(one(name, tip)));
    }
    let branches =
        repository.refs.iter().filter_map(|(name, tip)| Some((name.strip_prefix("refs/heads/")?, tip)));
    Ok(Reply::list(branches.map(|(name, tip)| one(name, tip)).collect()))
}

fn diffs(call: &mut Call<'_>) -> Answer {
    let repository = repository(call)?;
    let git = call.world.git(&repository.id);
    let base = version(call, &repository, "baseVersion")?;
    let target = version(call, &repository, "targetVersion")?;
    let common = git.merge_bases(&base, &target).into_iter().next();
    let all = git.changes(common.as_deref().unwrap_or(&base), &target);
    let (skip, top) = (call.number("$skip")?.unwrap_or(0), call.number("$top")?.unwrap_or(100));
    let complete = all.len() <= skip + top;
    let changes: Vec<Value> = page(all, skip, top).iter().map(change_json).collect();
    Ok(Reply::ok(json!({
        "allChangesIncluded": complete, "changes": changes, "commonCommit": common, "baseCommit": base, "targetCommit": target,
        "aheadCount": git.count(&format!("{base}..{target}")), "behindCount": git.count(&format!("{target}..{base}")),
    })))
}

pub(crate) fn change_json((letter, path): &(String, String)) -> Value {
    let kind = match letter.as_str() {
        "A" => "add",
        "D" => "delete",
        _ => "edit",
    };
    json!({"item": {"gitObjectType": "blob", "path": format!("/{path}")}, "changeType": kind})
}
