//! Which repository an item belongs to: a branch link on the item, then the label `repo:<name>` (or
//! `repo:<project>/<name>`), then the area path, then the default. Two that differ on one of these levels are told, never
//! guessed between. Which of them may be worked on is not known here.

use super::App;
use crate::{
    ado,
    decide::NoRepository,
    domain::{BranchName, Link, REPOSITORY_LABEL_PREFIX, Repository, WorkItem},
    settings::RepositoryPath,
};
use std::collections::BTreeSet;

/// The repository, or why none.
pub(super) async fn repository(
    app: &App,
    item: &WorkItem,
) -> Result<Result<Repository, NoRepository>, ado::Error> {
    let linked = linked(item);
    let named = if linked.is_empty() { labelled(item) } else { linked };
    let mut named = named.into_iter();
    let (project, name) = match (named.next(), named.next()) {
        (Some(first), Some(second)) => {
            let (first, second) = (called(app, &first).await?, called(app, &second).await?);
            return Ok(Err(NoRepository::Two { first, second }));
        }
        (Some(only), None) => only,
        (None, _) => match by_settings(app, item) {
            Some(path) => (path.project.clone(), path.name.clone()),
            None => {
                return Ok(Err(NoRepository::Unknown(
                    "it links no branch, carries no `repo:` label, its area has no route, and there is no default".into(),
                )));
            }
        },
    };
    Ok(app
        .repository(&project, &name)
        .await?
        .ok_or_else(|| NoRepository::Unknown(format!("`{project}/{name}` does not exist or cannot be read"))))
}

/// Its path for a sentence; a link names it by ids.
async fn called(app: &App, (project, name): &(String, String)) -> Result<String, ado::Error> {
    let found = app.repository(project, name).await?;
    Ok(found.map_or_else(|| format!("{project}/{name}"), |repository| repository.path()))
}

/// Repositories of linked branches, as project and repository; a branch of ours is where an earlier run left it.
fn linked(item: &WorkItem) -> BTreeSet<(String, String)> {
    let repository = |link: &Link| match link {
        Link::Branch { project_id, repository_id, branch } => {
            (!BranchName::new(branch).is_ours()).then(|| (project_id.clone(), repository_id.clone()))
        }
        Link::PullRequest { .. } | Link::Predecessor(_) | Link::Related(_) | Link::File { .. } => None,
    };
    item.links.iter().filter_map(repository).collect()
}

/// Repositories that labels name; without a project it is the item's.
fn labelled(item: &WorkItem) -> BTreeSet<(String, String)> {
    let named = item.labels.after(REPOSITORY_LABEL_PREFIX).map(|name| match name.split_once('/') {
        Some((project, name)) => (project.trim().to_owned(), name.trim().to_owned()),
        None => (item.project.clone(), name.to_owned()),
    });
    let mut all: BTreeSet<(String, String)> = BTreeSet::new();
    for (project, name) in named {
        let same = |other: &(String, String)| {
            other.0.to_lowercase() == project.to_lowercase() && other.1.to_lowercase() == name.to_lowercase()
        };
        if !all.iter().any(same) {
            all.insert((project, name));
        }
    }
    all
}

/// The longest route whose area contains the item's, else the default.
fn by_settings<'a>(app: &'a App, item: &WorkItem) -> Option<&'a RepositoryPath> {
    let area = item.area.to_lowercase();
    let contains = |route: &str| {
        let route = route.to_lowercase();
        area == route || area.starts_with(&format!("{route}\\"))
    };
    let intake = &app.settings.intake;
    let routed =
        intake.routes.iter().filter(|route| contains(&route.area)).max_by_key(|route| route.area.len());
    routed.map(|route| &route.repository).or(intake.default_repository.as_ref())
}
