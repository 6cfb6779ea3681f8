//! What is worth a ring, for whom, and the last phase of an invocation, in which it is rung.

use super::{App, progress};
use crate::{
    domain::{Cause, Receiver, Ring, RingKind, Run, Stage},
    doorbell, words,
};

/// What a move of the stage is worth ringing for.
pub(super) fn transition(from: &Run, to: &Run) -> Option<RingKind> {
    match (&from.stage, &to.stage) {
        (Stage::Escalated { .. }, Stage::Escalated { .. }) => None,
        (_, Stage::Escalated { .. }) if to.red_since.is_some() => Some(RingKind::Frozen),
        (_, Stage::Escalated { .. }) => Some(RingKind::NeedsHuman),
        (_, Stage::Closed { outcome, .. }) => RingKind::of(*outcome),
        (_, Stage::Claimed | Stage::Working { .. } | Stage::Pushed { .. } | Stage::InReview { .. }) => None,
    }
}

/// One ring for each receiver that wants to hear of it: what one of them does not take holds up no other.
pub(super) fn rings(app: &App, kind: RingKind, run: &Run, said: &str, cause: Option<Cause>) -> Vec<Ring> {
    let link = look_at(app, run);
    // Found as it was left, after a loss of memory: all of them for that one reason.
    let asked_before =
        || (kind != RingKind::Done).then(|| Cause::Reason { reason: "asked-before".to_owned() });
    for_all(app, &words::doorbell::ring(kind, run, said, cause.or_else(asked_before), link, app.now))
}

/// The one notice for all runs that wait for the same red target branch: they share its key.
pub(super) fn target_red(app: &App, run: &Run, signature: &str) -> Vec<Ring> {
    let link = look_at(app, run);
    for_all(app, &words::doorbell::target_red(run, signature, link, app.now))
}

/// Where people look: the pull request, and before there is one the work item's page.
fn look_at(app: &App, run: &Run) -> Option<String> {
    progress::links(run).pull_request.or_else(|| {
        let mut page = app.settings.ado.url.clone();
        let item = run.id.item.to_string();
        let way = [run.repository.project.as_str(), "_workitems", "edit", &item];
        page.path_segments_mut().ok()?.pop_if_empty().extend(way);
        Some(page.into())
    })
}

fn for_all(app: &App, ring: &Ring) -> Vec<Ring> {
    let wants = |receiver: &Receiver| {
        app.settings
            .doorbells
            .iter()
            .any(|bell| bell.receiver == *receiver && bell.events.contains(&ring.kind))
    };
    Receiver::ALL.into_iter().filter(wants).map(|receiver| ring.clone().for_receiver(receiver)).collect()
}

/// Ringing is the last phase of a tick and must not hold up the next one.
const RINGING: std::time::Duration = std::time::Duration::from_secs(20);

/// Rings what is due. Whatever goes wrong here is told in the log and is nobody else's trouble.
pub(super) async fn deliver(app: &App) -> doorbell::Report {
    if app.settings.doorbells.is_empty() {
        return doorbell::Report::default();
    }
    let bells = match doorbell::Doorbells::new(&app.settings.doorbells) {
        Ok(bells) => bells,
        Err(why) => {
            tracing::warn!("the doorbells cannot be used: {why}");
            return doorbell::Report::default();
        }
    };
    match doorbell::deliver(app.store.as_ref(), &bells, app.now, RINGING).await {
        Ok(report) => report,
        Err(why) => {
            tracing::warn!("the doorbells could not be rung: {why}");
            doorbell::Report::default()
        }
    }
}
