//! In which image the agent step of a repository runs: the worker image, one that the operator names, or one that the
//! repository describes for itself, where the operator allows that.
//!
//! A description is read from a checkout in which no agent has worked, and of it only what builds an image is obeyed.
//! Whatever cannot be followed is one sentence for people and the agent, and the worker image takes its place: an
//! environment never ends a run. How a step is started in the image is not known here.

mod build;
mod compose;
pub mod detect;
mod devcontainer;
mod image;
mod paths;
mod pipe;
pub mod tree;

use super::Error;
use crate::domain::RunId;
use bollard::Docker;
pub use build::{Checkout, remove_unused};
use detect::{Recipe, Unusable};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;
use tree::{Bounds, Refused};

/// What the operator chose for a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The image that every repository gets.
    #[default]
    WorkerImage,
    /// This image.
    Named(String),
    /// What the repository's base revision describes.
    FromRepository,
}

/// In which image to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The image's name; none is the worker image.
    pub image: Option<String>,
    /// Sentences for the log and the brief: what was taken, what was not and why. May quote the output of a build.
    pub told: Vec<String>,
}

/// The engine and for whom it works.
#[derive(Clone, Copy)]
pub struct Engine<'a> {
    /// The client.
    pub docker: &'a Docker,
    /// Which installation: eight hexadecimal digits.
    pub scope: &'a str,
    /// The run for which an image is built; whoever needs the same one later adopts it.
    pub run: RunId,
    /// What the operator set.
    pub settings: &'a Settings,
}

/// What the operator sets about environments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Network of a build's steps; none is the engine's usual one, which package managers need.
    pub network: Option<String>,
    /// Build arguments of every build, for example a mirror. They stay readable in images: no secrets.
    pub args: BTreeMap<String, String>,
    /// Whether newer base images, and named images that are not there, are fetched from their registry. A base image
    /// that is not there is fetched by the engine in any case.
    pub pull: bool,
    /// Memory of one step of a build, in bytes. The engine's client takes at most 2 GiB less one byte; more is cut.
    pub memory_bytes: u64,
    /// Processor of one step of a build, in thousandths of one.
    pub milli_cpus: u32,
    /// How long looking and building may take together.
    pub limit: Duration,
    /// What a build context may have.
    pub bounds: Bounds,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            network: None,
            args: BTreeMap::new(),
            pull: false,
            // What compilers and package managers need; see above for the end of the scale.
            memory_bytes: 2 << 30,
            // As much as the agent itself usually gets.
            milli_cpus: 2_000,
            // Installing tool chains takes minutes; what takes longer belongs into an image that the operator names.
            limit: Duration::from_mins(15),
            // A hundred thousand entries take about 20 MB of memory here; 512 MiB is far more than code.
            bounds: Bounds { entries: 100_000, bytes: 512 << 20 },
        }
    }
}

/// Why an environment is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The description cannot be followed.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// The checkout is no build context.
    #[error(transparent)]
    Context(#[from] Refused),
    /// The build ended with an error.
    #[error("building {origin} failed; the end of its output:\n{tail}")]
    BuildFailed {
        /// Who described it.
        origin: String,
        /// The end of the output, without control characters.
        tail: String,
    },
    /// The build was ended.
    #[error("building {origin} took longer than {seconds} s; let the operator name an image that is ready")]
    TookTooLong {
        /// Who described it.
        origin: String,
        /// The limit.
        seconds: u64,
    },
    /// No image of this name.
    #[error("the image `{name}` is not there: {detail}")]
    NotThere {
        /// Its name.
        name: String,
        /// What was tried.
        detail: String,
    },
    /// An image in which a step cannot work.
    #[error("the image `{name}` has no {what}, without which no step can work in it; install it there")]
    Lacks {
        /// Its name.
        name: String,
        /// `git`, or a shell.
        what: &'static str,
    },
}

/// Names and values of labels in the engine.
mod label {
    /// Which installation.
    pub(super) const SCOPE: &str = "io.roundsman.scope";
    /// Which run.
    pub(super) const RUN: &str = "io.roundsman.run";
    /// What kind of thing.
    pub(super) const KIND: &str = "io.roundsman.kind";
    /// The digest of what must not differ.
    pub(super) const SPEC: &str = "io.roundsman.spec";
    /// The version of these labels.
    pub(super) const SCHEMA: &str = "io.roundsman.schema";
    /// A container that is never started; the value is the scope.
    pub(super) const LOOK: &str = "io.roundsman.look";
    /// The kind of an image that was built here.
    pub(super) const OURS: &str = "environment";
    /// Of [`SCHEMA`].
    pub(super) const VERSION: &str = "1";
}

/// Decides in which image a step runs; may build it, which takes up to [`Settings::limit`].
///
/// `checkout` must be what the target branch holds, as fetch left it: whoever wrote it decides what a build runs, with
/// the build's network. A later turn, whose checkout holds the agent's own commits, takes the image of the first turn by
/// its name ([`Choice::Named`]).
///
/// An error says that the engine failed, and nothing about the repository: try again.
pub async fn choose(engine: &Engine<'_>, choice: &Choice, checkout: &Checkout) -> Result<Decision, Error> {
    let deadline = Instant::now() + engine.settings.limit;
    match choice {
        Choice::WorkerImage => Ok(Decision::default()),
        Choice::Named(name) => {
            let checked = image::check(engine, name, deadline).await?;
            Ok(decide(checked.map(|()| name.clone()), Vec::new()))
        }
        Choice::FromRepository => from_repository(engine, checkout, deadline).await,
    }
}

async fn from_repository(
    engine: &Engine<'_>,
    checkout: &Checkout,
    deadline: Instant,
) -> Result<Decision, Error> {
    let tree = match build::look_through(engine, checkout, deadline).await? {
        Ok(tree) => tree,
        Err(refusal) => return Ok(decide(Err(refusal), Vec::new())),
    };
    let found = match detect::detect(&tree) {
        Ok(found) => found,
        Err(unusable) => return Ok(decide(Err(unusable.into()), Vec::new())),
    };
    let mut told: Vec<String> = found.notes.iter().map(ToString::to_string).collect();
    let (origin, image) = match found.recipe {
        None => {
            told.push("the repository describes no environment; the worker image is used".into());
            return Ok(Decision { image: None, told });
        }
        Some(Recipe::Image(name)) => (detect::Origin::Devcontainer, Ok(name)),
        Some(Recipe::Build(recipe)) => {
            (recipe.origin.clone(), build::build(engine, checkout, tree, recipe, deadline).await?)
        }
    };
    let checked = match image {
        Ok(name) => image::check(engine, &name, deadline).await?.map(|()| name),
        Err(refusal) => Err(refusal),
    };
    if let Ok(name) = &checked {
        told.push(format!("the step runs in the image `{name}`, as {origin} describes it"));
    }
    Ok(decide(checked, told))
}

fn decide(checked: Result<String, Refusal>, mut told: Vec<String>) -> Decision {
    match checked {
        Ok(name) => Decision { image: Some(name), told },
        Err(refusal) => {
            told.push(format!("the worker image is used: {refusal}"));
            Decision { image: None, told }
        }
    }
}
