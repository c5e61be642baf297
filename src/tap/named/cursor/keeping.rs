//! The file of a cursor: written one at a time, and to the end.

use std::sync::Arc;

use super::{NamedCursor, lock};
use crate::edge::problem::Problem;
use crate::tap::named::alone;
use crate::tap::named::kept::{Kept, KeptText};
use crate::tap::named::leases::Leases;

impl NamedCursor {
    /// Runs what writes to the disk, one at a time and to the end.
    pub(super) async fn run_alone<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        alone::run(&self.writing, (self, self.place.is_some()), work).await
    }

    pub(super) fn keep(&self) -> Result<(), Problem> {
        // Somebody may have written it while this one waited.
        let is_kept = {
            let state = self.state()?;
            state.kept >= state.changed
        };
        if is_kept { Ok(()) } else { self.write(|leases| leases.kept(&[])) }
    }

    /// Writes what is to be kept.
    pub(in crate::tap::named) fn write(&self, kept: impl FnOnce(&Leases) -> Kept) -> Result<(), Problem> {
        let place = self.place.as_ref().map(lock);
        let (kept, changed) = {
            let state = self.state()?;
            (kept(&state.leases), state.changed)
        };
        let Some(place) = place else {
            lock(&self.state).kept = changed;
            return Ok(());
        };
        let text = KeptText::of(&self.name, place.stream.clone(), &kept);
        place.files.keep(&self.name, &text).map_err(|error| {
            let (stream, cursor) = (self.stream.name(), &self.name);
            tracing::warn!(%stream, %cursor, %error, "a named cursor cannot be kept");
            Problem::CursorNotKept(error.to_string())
        })?;
        // One write at a time: nobody has kept more.
        lock(&self.state).kept = changed;
        Ok(())
    }

    /// Ends it, and takes its file away. Nothing is written any more.
    ///
    /// # Errors
    /// If the file cannot be taken away; the cursor is then what it was, unless its stream is gone.
    pub(in crate::tap::named) fn remove(&self, with_stream: bool) -> Result<(), Problem> {
        let place = self.place.as_ref().map(lock);
        lock(&self.state).is_gone = true;
        let removed = place.map_or(Ok(()), |place| place.files.remove(&self.name));
        if removed.is_err() && !with_stream {
            lock(&self.state).is_gone = false;
        }
        self.changed.notify();
        removed.map_err(|error| Problem::CursorNotKept(error.to_string()))
    }
}
