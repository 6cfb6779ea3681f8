//! Which repository an item belongs to: a branch or pull request link on the item, then the label `repo:<name>`, then
//! the area path, then the default.

use super::App;
use crate::{
    ado,
    domain::{Link, REPOSITORY_LABEL_PREFIX, Repository, WorkItem},
    settings::RepositoryPath,
};

/// The repository, or what was tried.
pub(super) async fn repository(app: &App, item: &WorkItem) -> Result<Result<Repository, String>, ado::Error> {
    let named = match linked(item).or_else(|| labelled(item)).map(|name| (item.project.clone(), name)) {
        Some(named) => named,
        None => match by_settings(app, item) {
            Some(path) => (path.project.clone(), path.name.clone()),
            None => {
                return Ok(Err(
                    "it links no branch, carries no `repo:` label, its area has no route, and there is no default".into()
                ));
            }
        },
    };
    let (project, name) = named;
    Ok(app
        .repository(&project, &name)
        .await?
        .ok_or_else(|| format!("`{project}/{name}` does not exist or cannot be read")))
}

fn linked(item: &WorkItem) -> Option<String> {
    item.links.iter().find_map(|link| match link {
        Link::Branch { repository_id, .. } => Some(repository_id.clone()),
        Link::PullRequest { .. } | Link::Predecessor(_) | Link::Related(_) => None,
    })
}

fn labelled(item: &WorkItem) -> Option<String> {
    let prefix = REPOSITORY_LABEL_PREFIX;
    item.labels.iter().find_map(|label| {
        let head = label.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| label[prefix.len()..].trim().to_owned())
    })
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
