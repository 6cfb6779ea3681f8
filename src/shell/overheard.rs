//! What workers say, without what only we know: the token of the installation and every spelling of it.
//!
//! A worker cleans what an agent writes, but the agent's step is never given our token and cannot look for it; an agent may
//! still have read it, in a log or in an item. Evidence is left as it is: whoever shows it cleans it.

use super::record::clean;
use crate::{
    ado::Redactor,
    domain::{RunId, Step, Turn, TurnNumber, Worker, WorkerState},
    runtime::{Error, EvidenceFile, Handover, Left, Runtime, Started, environment, spec::WorkerSpec},
};
use async_trait::async_trait;
use jiff::Timestamp;
use std::{collections::BTreeMap, time::Duration};

/// A runtime whose words are cleaned.
pub(super) struct Overheard {
    pub(super) inner: Box<dyn Runtime>,
    pub(super) redactor: Redactor,
}

impl Overheard {
    fn cleaned(&self, mut workers: Vec<Worker>) -> Vec<Worker> {
        for worker in &mut workers {
            match &worker.state {
                WorkerState::Finished(_) | WorkerState::Crashed { .. } => {}
                WorkerState::Created | WorkerState::Running { .. } => continue,
            }
            let Ok(said) = serde_json::to_value(&worker.state) else { continue };
            let whole = usize::MAX;
            if let Ok(state) = serde_json::from_value(clean(said, &self.redactor, whole)) {
                worker.state = state;
            }
        }
        workers
    }
}

#[async_trait]
impl Runtime for Overheard {
    async fn health(&self) -> Result<(), Error> {
        self.inner.health().await
    }

    async fn start(&self, spec: &WorkerSpec, handover: &Handover) -> Result<Started, Error> {
        self.inner.start(spec, handover).await
    }

    async fn workers(&self) -> Result<BTreeMap<RunId, Vec<Worker>>, Error> {
        let all = self.inner.workers().await?;
        Ok(all.into_iter().map(|(run, workers)| (run, self.cleaned(workers))).collect())
    }

    async fn workers_of(&self, run: RunId) -> Result<Vec<Worker>, Error> {
        Ok(self.cleaned(self.inner.workers_of(run).await?))
    }

    async fn wait(&self, run: RunId, turn: TurnNumber, step: Step, limit: Duration) -> Result<(), Error> {
        self.inner.wait(run, turn, step, limit).await
    }

    async fn stop(&self, run: RunId) -> Result<(), Error> {
        self.inner.stop(run).await
    }

    async fn left(&self, run: RunId, turn: TurnNumber, file: &Left) -> Result<Option<String>, Error> {
        Ok(self.inner.left(run, turn, file).await?.map(|text| self.redactor.redact(&text)))
    }

    async fn log_tail(
        &self,
        run: RunId,
        turn: TurnNumber,
        step: Step,
        bytes: usize,
    ) -> Result<String, Error> {
        Ok(self.redactor.redact(&self.inner.log_tail(run, turn, step, bytes).await?))
    }

    async fn remove(&self, run: RunId) -> Result<(), Error> {
        self.inner.remove(run).await
    }

    async fn environment(&self, run: RunId, turn: &Turn) -> Result<environment::Decision, Error> {
        self.inner.environment(run, turn).await
    }

    async fn remove_unused(&self, before: Timestamp, now: Timestamp) -> Result<u32, Error> {
        self.inner.remove_unused(before, now).await
    }

    async fn leftovers(&self) -> Result<Vec<RunId>, Error> {
        self.inner.leftovers().await
    }

    async fn evidence(&self, run: RunId, turn: TurnNumber) -> Result<Vec<EvidenceFile>, Error> {
        self.inner.evidence(run, turn).await
    }

    async fn read_evidence(
        &self,
        run: RunId,
        turn: TurnNumber,
        path: &str,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, Error> {
        self.inner.read_evidence(run, turn, path, limit).await
    }
}
