//! Names and labels of everything of ours in an engine. The name is the arbiter: it exists once. Labels tell, after every
//! other memory was lost, what was attempted and for whom.

use crate::{
    domain::{RunId, Step, Turn, TurnNumber},
    runtime::spec::{SCHEMA, WorkerSpec, worker_name},
};
use sha2::{Digest as _, Sha256};
use std::{collections::HashMap, fmt::Write as _};

/// Which installation: [`Options::scope`](super::Options::scope).
pub(super) const SCOPE: &str = "io.roundsman.scope";
/// The run.
pub(super) const RUN: &str = "io.roundsman.run";
/// The turn, complete, as JSON.
pub(super) const TURN: &str = "io.roundsman.turn";
/// The step; only workers have it.
pub(super) const STEP: &str = "io.roundsman.step";
/// SHA-256 of what must not differ between two starts of one name.
pub(super) const SPEC: &str = "io.roundsman.spec";
/// Version of the contract between programs and image; a worker image carries it as well.
pub(super) const SCHEMA_LABEL: &str = "io.roundsman.schema";
/// Number of the turn that a gate, a network or a volume belongs to.
pub(super) const NUMBER: &str = "io.roundsman.turn-number";
/// Seconds that a worker gets between asking and killing.
pub(super) const GRACE: &str = "io.roundsman.grace";
/// What it is, where it is no worker.
pub(super) const KIND: &str = "io.roundsman.kind";
/// A gate.
pub(super) const GATE: &str = "gate";

/// Labels of an object.
pub(super) type Labels = HashMap<String, String>;

/// Names of one run's objects.
#[derive(Clone, Debug)]
pub(super) struct Names<'a> {
    scope: &'a str,
    run: RunId,
}

impl<'a> Names<'a> {
    /// Of this run in this installation.
    pub(super) fn new(scope: &'a str, run: RunId) -> Self {
        Self { scope, run }
    }

    /// `roundsman-<scope>-<run>-t03-agent`.
    pub(super) fn worker(&self, turn: TurnNumber, step: Step) -> String {
        format!("roundsman-{}-{}", self.scope, worker_name(self.run, turn, step))
    }

    /// `roundsman-<scope>-<run>-t03-egress`.
    pub(super) fn gate(&self, turn: TurnNumber) -> String {
        self.of_turn(turn, "egress")
    }

    /// `roundsman-<scope>-<run>-t03-<what>`.
    pub(super) fn of_turn(&self, turn: TurnNumber, what: &str) -> String {
        format!("roundsman-{}-{}-t{:02}-{what}", self.scope, self.run, turn.0)
    }

    /// `roundsman-<scope>-<run>-<what>`.
    pub(super) fn of_run(&self, what: &str) -> String {
        format!("roundsman-{}-{}-{what}", self.scope, self.run)
    }

    /// Labels of what belongs to the run and is no worker.
    pub(super) fn labels(&self, kind: &str, turn: Option<TurnNumber>) -> Labels {
        let mut labels = Labels::from([
            (SCOPE.to_owned(), self.scope.to_owned()),
            (RUN.to_owned(), self.run.to_string()),
            (KIND.to_owned(), kind.to_owned()),
            (SCHEMA_LABEL.to_owned(), SCHEMA.to_string()),
        ]);
        if let Some(turn) = turn {
            labels.insert(NUMBER.to_owned(), turn.0.to_string());
        }
        labels
    }
}

/// Labels of a worker.
pub(super) fn worker_labels(scope: &str, spec: &WorkerSpec) -> Labels {
    let turn = serde_json::to_string(&spec.turn).expect("a turn is JSON");
    Labels::from([
        (SCOPE.to_owned(), scope.to_owned()),
        (RUN.to_owned(), spec.run.to_string()),
        (TURN.to_owned(), turn),
        (STEP.to_owned(), spec.step.word().to_owned()),
        (SPEC.to_owned(), fingerprint(spec)),
        (GRACE.to_owned(), spec.limits.grace_seconds.to_string()),
        (SCHEMA_LABEL.to_owned(), SCHEMA.to_string()),
    ])
}

/// What two starts of one name must agree on: turn, source and step. The rest may be read a moment apart.
pub(super) fn fingerprint(spec: &WorkerSpec) -> String {
    let text =
        serde_json::to_string(&(&spec.turn, &spec.source, spec.step)).expect("a specification is JSON");
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    })
}

/// Who a worker is, by its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    /// Its run.
    pub(super) run: RunId,
    /// Its turn.
    pub(super) turn: Turn,
    /// Its step.
    pub(super) step: Step,
}

/// Reads the labels of a worker. `None`: it is no worker. An error: it is one, of a version that we do not know.
pub(super) fn who(labels: &Labels) -> Option<Result<Who, String>> {
    let step = labels.get(STEP)?;
    let read = || {
        let step = Step::ALL.into_iter().find(|known| known.word() == step)?;
        let turn = serde_json::from_str(labels.get(TURN)?).ok()?;
        Some(Who { run: run(labels)?, turn, step })
    };
    Some(read().ok_or_else(|| "its labels are not those of this version".to_owned()))
}

/// The run that an object belongs to.
pub(super) fn run(labels: &Labels) -> Option<RunId> {
    labels.get(RUN)?.parse().ok()
}

/// The turn that a gate or a network belongs to.
pub(super) fn number(labels: &Labels) -> Option<TurnNumber> {
    labels.get(NUMBER)?.parse().ok().map(TurnNumber)
}

/// `key=value`, as the engine filters.
pub(super) fn is(key: &str, value: impl std::fmt::Display) -> String {
    format!("{key}={value}")
}
