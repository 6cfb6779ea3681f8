//! Claims one item now because an operator says so: the same gates, the same claim and the same first step as in a poll,
//! and no other item is looked at.

use super::{
    App,
    poll::{self, Failure, Mode},
    report::Line,
};
use crate::domain::WorkItemId;

/// Claims this item, or says why not.
pub async fn claim(app: &App, id: WorkItemId) -> Result<Line, Failure> {
    let refused =
        |why: String| Ok(Line { run: None, item: id.0, what: "refused", why, stage: None, failed: false });
    app.check_brief()?;
    if let Some(held) = poll::held(&app.policy) {
        return refused(held);
    }
    if let Some(held) = poll::nobody_watches(app).await? {
        return refused(held);
    }
    app.runtime.health().await?;
    app.check_who_we_are().await?;
    let items = app.ado.work_items_with_links(&[id]).await?;
    let Some(item) = items.iter().find(|item| item.id == id) else {
        return refused(format!("work item {id} does not exist or cannot be read"));
    };
    // An operator's word names the item, not whose text may be worked on: projects stay what they were.
    if let Some(why) = poll::not_searched(app, &item.project) {
        return refused(why);
    }
    let mut load = poll::load(app).await?;
    Ok(poll::consider(app, Mode::Real, item, &mut load).await)
}
