//! In which image the agent of a run works, where a repository may describe it itself.
//!
//! Only the checkout of the first turn is what the target branch holds; later ones hold the agent's own commits, so they
//! take the image that the first one took. Its container remembers: containers of a live run are never removed.

use super::{
    engine::Engine,
    name::{self, Labels, Names},
};
use crate::{
    domain::{RunId, Step, Turn},
    runtime::{
        Error,
        environment::{self, Checkout, Choice, Decision, Settings},
        spec::Places,
    },
};
use jiff::Timestamp;
use std::{collections::BTreeSet, time::Duration};

/// A visit waits for a build and is itself ended after ten minutes, as schedulers are told; what takes longer belongs
/// into an image that the operator names.
const LIMIT: Duration = Duration::from_mins(5);

/// The image of this turn's agent.
pub(super) async fn image(engine: &Engine, run: RunId, turn: &Turn) -> Result<Decision, Error> {
    let names = Names::new(&engine.options.scope, run);
    if turn.base.is_some() {
        return earlier(engine, run).await;
    }
    let folder = Places::of_image().workspace.to_string_lossy().into_owned();
    let checkout = Checkout { container: names.worker(turn.number, Step::Fetch), folder };
    let settings = Settings { limit: LIMIT, ..Settings::default() };
    let docker = engine.docker().await?;
    let builder = environment::Engine { docker, scope: &engine.options.scope, run, settings: &settings };
    environment::choose(&builder, &Choice::FromRepository, &checkout).await
}

/// What the first agent of the run works in.
async fn earlier(engine: &Engine, run: RunId) -> Result<Decision, Error> {
    let of_run = [
        name::is(name::SCOPE, &engine.options.scope),
        name::is(name::RUN, run.to_string()),
        name::is(name::STEP, Step::Agent.word()),
    ];
    let turn_of = |labels: &Labels| Some(serde_json::from_str::<Turn>(labels.get(name::TURN)?).ok()?.number);
    let first = engine
        .list(&of_run)
        .await?
        .into_iter()
        .filter_map(|container| Some((turn_of(container.labels.as_ref()?)?, container.image?)))
        .min();
    let image = first.map(|(_, image)| image).filter(|image| *image != engine.options.image);
    Ok(Decision { image, told: Vec::new() })
}

/// Removes images that were built for runs and that nobody uses any more.
pub(super) async fn remove_unused(engine: &Engine, before: Timestamp, now: Timestamp) -> Result<u32, Error> {
    let settings = Settings::default();
    let docker = engine.docker().await?;
    // No run of its own: only the scope is asked for.
    let run = RunId { item: crate::domain::WorkItemId(0), revision: crate::domain::Revision(0) };
    let cleaner = environment::Engine { docker, scope: &engine.options.scope, run, settings: &settings };
    environment::remove_unused(&cleaner, &BTreeSet::new(), before, now).await
}
