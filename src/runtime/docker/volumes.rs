//! Which volumes a step sees, where, and whether it can write them. Only named volumes; nothing of the host.
//!
//! A new volume takes owner and mode from the image's directory when the first container that mounts it is created. That
//! is why fetch mounts what only the agent uses, and why a foreign image never comes first.

use super::{
    engine::{Engine, Failure, Kind},
    hardening::{Caps, Place, STEP_DIR, Wish},
    name::{self, Labels, Names},
};
use crate::{
    domain::Step,
    runtime::{
        Error,
        spec::{Places, SCHEMA, WorkerSpec},
    },
};
use std::time::Duration;

/// Where worker and agents are in every image that has them, and where a foreign image finds them.
pub(super) const TOOLS: &str = "/opt/roundsman";
/// The worker in our own image.
pub(super) const OWN_WORKER: &str = "/usr/local/bin/roundsman-worker";
/// The worker in a foreign image.
pub(super) const TOOLS_WORKER: &str = "/opt/roundsman/bin/roundsman-worker";
/// Digits of an image's id that tell two of our images apart.
const IMAGE_DIGITS: usize = 12;
/// How often a container that fills volumes is asked for while its name is taken.
const TRIES: u32 = 20;
/// Between two tries: copying the tools takes a few seconds on a slow disk.
const PAUSE: Duration = Duration::from_millis(500);

/// A volume that has to exist, with its labels.
pub(super) type Volume = (String, Labels);

/// What a step mounts, and the volumes behind it.
pub(super) fn of_step(names: &Names<'_>, spec: &WorkerSpec) -> (Vec<Place>, Vec<Volume>) {
    let (places, turn, step) = (Places::of_image(), spec.turn.number, spec.step);
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let of_run = |what: &str| (names.of_run(what), names.labels("volume", None));
    let of_turn = |what: &str| (names.of_turn(turn, what), names.labels("volume", Some(turn)));
    let repository = (text(&places.repository), of_run("repo"));
    let workspace = (text(&places.workspace), of_run("workspace"));
    let home = (text(&places.home), of_run("home"));
    let input = (text(&places.input), of_turn("in"));
    // A turn that only publishes mounts what the agent of an earlier one left.
    let work = spec.turn.work();
    let output = (text(&places.output), (names.of_turn(work, "out"), names.labels("volume", Some(work))));
    let own = (STEP_DIR.to_owned(), of_turn(step.word()));
    let wanted = match step {
        Step::Fetch => vec![
            (repository, false),
            (workspace, false),
            (input, false),
            (output, false),
            (home, false),
            (own, false),
        ],
        Step::Agent => vec![
            (repository, true),
            (workspace, false),
            (input, true),
            (output, false),
            (home, false),
            (own, false),
        ],
        Step::Publish => vec![(repository, false), (output, true), (own, false)],
    };
    wanted
        .into_iter()
        .map(|((target, (volume, labels)), read_only)| {
            let place = Place { volume: volume.clone(), target, read_only, from_image: spec.image.is_none() };
            (place, (volume, labels))
        })
        .unzip()
}

/// Makes the volumes exist. A foreign image gets the tools as well; what has to be mounted besides is returned.
pub(super) async fn prepare(
    engine: &Engine,
    names: &Names<'_>,
    spec: &WorkerSpec,
    volumes: Vec<Volume>,
) -> Result<Option<Place>, Error> {
    for (volume, labels) in volumes {
        engine.create_volume(&volume, labels).await?;
    }
    if spec.image.is_none() {
        return Ok(None);
    }
    let options = &engine.options;
    let own = engine
        .image(&options.image)
        .await?
        .and_then(|image| image.id)
        .ok_or_else(|| missing(&options.image))?;
    let digits: String = own.trim_start_matches("sha256:").chars().take(IMAGE_DIGITS).collect();
    let tools = format!("roundsman-tools-{}-{digits}", options.scope);
    let labels = Labels::from([
        (name::SCOPE.to_owned(), options.scope.clone()),
        (name::KIND.to_owned(), "tools".to_owned()),
        (name::SCHEMA_LABEL.to_owned(), SCHEMA.to_string()),
    ]);
    engine.create_volume(&tools, labels).await?;
    initialise(engine, names, spec, &tools).await?;
    let place = Place { volume: tools, target: TOOLS.to_owned(), read_only: true, from_image: false };
    Ok(Some(place))
}

/// Creates, and never starts, a container of our own image: its directories fill the tools volume and give the step's
/// volume its owner.
async fn initialise(
    engine: &Engine,
    names: &Names<'_>,
    spec: &WorkerSpec,
    tools: &str,
) -> Result<(), Failure> {
    let turn = spec.turn.number;
    let place = |volume: String, target: &str| Place {
        volume,
        target: target.to_owned(),
        read_only: false,
        from_image: true,
    };
    let wish = Wish {
        name: names.of_turn(turn, &format!("{}-init", spec.step)),
        image: engine.options.image.clone(),
        labels: names.labels("init", Some(turn)),
        command: vec![OWN_WORKER.to_owned(), "--help".to_owned()],
        environment: Vec::new(),
        mounts: vec![place(tools.to_owned(), TOOLS), place(names.of_turn(turn, spec.step.word()), STEP_DIR)],
        network: "none".to_owned(),
        extra_hosts: Vec::new(),
        dns: Vec::new(),
        takes_input: false,
        caps: Caps::of_gate(&engine.options),
    };
    let mut tries = 1;
    while let Err(failure) = engine.create(&wish.name, wish.body()).await {
        if failure.kind != Kind::Conflict || tries == TRIES {
            return Err(failure);
        }
        // Left by somebody who died, or being made by somebody else: only a create that ended has filled the volumes.
        engine.remove(&wish.name, true).await?;
        tokio::time::sleep(PAUSE).await;
        tries += 1;
    }
    engine.remove(&wish.name, true).await
}

/// Whether an image with this schema label serves the steps of this program.
pub(super) fn fits(image: &str, schema: Option<&str>) -> Result<(), Error> {
    let wrong = match schema {
        Some(own) if own == SCHEMA.to_string() => return Ok(()),
        Some(own) => format!("{image} speaks schema {own}, this program {SCHEMA}"),
        None => format!("{image} is no worker image"),
    };
    Err(Error::Unusable(format!("{wrong}; make one with `roundsman image build`")))
}

/// An image that is not here, and what to do.
pub(super) fn missing(image: &str) -> Error {
    Error::Unusable(format!(
        "the engine has no image {image}; build the worker image with `roundsman image build`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_image_of_this_schema_fits() {
        assert!(fits("worker", Some(&SCHEMA.to_string())).is_ok());
        for (schema, says) in
            [(Some("0"), "speaks schema 0"), (Some(""), "schema"), (None, "no worker image")]
        {
            let told = fits("worker", schema).unwrap_err().to_string();
            assert!(told.contains(says) && told.contains("roundsman image build"), "{told}");
        }
    }
}
