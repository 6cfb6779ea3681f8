//! One visit to a run at a time on one executor. The memory's generation already refuses a second *save*; what people
//! see is written before it, and a reply or a reminder has no arbiter of its own, so two watchers that were started in
//! the same second would both say it.
//!
//! A lock of the kernel, not a lease: it is free again when its holder dies, whatever the clock says, and losing the
//! file costs nothing but this protection for one visit.

use super::App;
use crate::domain::RunId;
use std::{
    fs::{self, File, TryLockError},
    io,
    path::PathBuf,
};

/// Held during a visit.
#[derive(Debug)]
pub(super) struct Pass {
    /// None where this machine cannot lock; everything else still holds.
    _lock: Option<File>,
}

/// None while another process of ours is with the run.
pub(super) fn enter(app: &App, run: RunId) -> Option<Pass> {
    match lock(app, run) {
        Ok(lock) => Some(Pass { _lock: Some(lock) }),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(why)) => {
            tracing::warn!(run.id = %run, "visits cannot be kept apart: {why}");
            Some(Pass { _lock: None })
        }
    }
}

/// Forgets a run that is over.
pub(super) fn remove(app: &App, run: RunId) {
    match fs::remove_file(place(app, run)) {
        Ok(()) => {}
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => tracing::warn!(run.id = %run, "its lock could not be removed: {why}"),
    }
}

fn lock(app: &App, run: RunId) -> Result<File, TryLockError> {
    let place = place(app, run);
    place.parent().map_or(Ok(()), fs::create_dir_all).map_err(TryLockError::Error)?;
    let file = File::options().create(true).append(true).open(place).map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}

fn place(app: &App, run: RunId) -> PathBuf {
    app.settings.state_dir.join("visits").join(run.to_string())
}
