//! Appends, several at a time, as the next object; and the removal of old ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use super::SharedBounds;
use super::object::{self, Head, Object};
use super::place::{Created, Listed, SharedPlace};
use super::reading::{self, Found};
use crate::config::limits::{
    LEDGER_READS_MAX, LEDGER_SNAPSHOT_SHARE_BYTES, LEDGER_TAKEOVER_BYTES_MAX, LEDGER_TIDY_OBJECTS,
    LEDGER_TIDY_PATIENCE,
};
use crate::delivery::ledger::ahead::TwoStates;
use crate::delivery::ledger::entry::{Entry, Generation};
use crate::delivery::ledger::state::State;
use crate::delivery::ledger::{FORMAT, LedgerError};

/// The owner of a ledger, until it is deposed.
#[derive(Debug)]
pub(in crate::delivery::ledger) struct SharedWriter {
    place: SharedPlace,
    bounds: SharedBounds,
    state: TwoStates,
    generation: u64,
    writer: String,
    /// Number of the newest object that is known, and its checksum.
    newest: u64,
    checksum: u64,
    /// Whether that is of an append whose caller was told that it had failed.
    newest_failed: bool,
    /// What the next object was tried to be created with, if nobody knows whether it was.
    unknown: Option<Bytes>,
    /// Number of the object with the latest snapshot; 0 for none.
    snapshot: u64,
    /// Objects and bytes since then, and its own bytes.
    since: Since,
    /// From the latest snapshot on.
    current: Vec<Kept>,
    /// Before that.
    older: VecDeque<Kept>,
    older_bytes: u64,
    /// Something was written since old objects were last looked for.
    is_untidy: bool,
    /// Set for ever when it is over.
    closed: Option<LedgerError>,
    deposed: Arc<watch::Sender<Option<Generation>>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Since {
    objects: u64,
    bytes: u64,
    snapshot_bytes: u64,
    /// Whether this owner has written a snapshot yet.
    has_own: bool,
}

/// An object that is there.
#[derive(Debug, Clone, Copy)]
struct Kept {
    listed: Listed,
    /// Whether it is known that nobody has taken over by it.
    is_append: bool,
}

/// An object that is to be created.
struct Next {
    content: Bytes,
    snapshot_bytes: Option<u64>,
}

impl SharedWriter {
    /// Goes on behind `takeover`, which is the object behind what was found.
    pub(super) fn begin(
        place: SharedPlace,
        found: Found,
        (generation, writer): (Generation, String),
        takeover: &Bytes,
        bounds: SharedBounds,
    ) -> Result<Self, LedgerError> {
        let Found { mut state, newest, snapshot, listed, .. } = found;
        let number = generation.number;
        state.apply(&Entry::Generation(generation))?;
        let older: VecDeque<Kept> =
            listed.into_iter().map(|listed| Kept { listed, is_append: false }).collect();
        let (newest, bytes) = (newest + 1, takeover.len() as u64);
        let taken = Kept { listed: Listed { number: newest, bytes }, is_append: false };
        Ok(Self {
            place,
            bounds,
            state: TwoStates::new(state),
            generation: number,
            writer,
            newest,
            checksum: object::checksum(takeover),
            newest_failed: false,
            unknown: None,
            snapshot,
            since: Since::default(),
            current: vec![taken],
            older_bytes: older.iter().map(|kept| kept.listed.bytes).sum(),
            older,
            is_untidy: false,
            closed: None,
            deposed: Arc::new(watch::Sender::new(None)),
        })
    }

    /// The durable state, shared.
    pub fn durable(&self) -> Arc<Mutex<State>> {
        self.state.durable()
    }

    /// Who has deposed this owner, once somebody has.
    pub fn deposed(&self) -> Arc<watch::Sender<Option<Generation>>> {
        Arc::clone(&self.deposed)
    }

    /// Makes some appends durable with one object. The results are theirs, in order. An append that is refused does not
    /// touch the others.
    pub async fn write(&mut self, appends: &[&[Entry]]) -> Vec<Result<(), LedgerError>> {
        if let Some(closed) = &self.closed {
            return vec![Err(closed.clone()); appends.len()];
        }
        let (accepted, mut results) = self.state.accept(appends);
        if let Err(error) = self.write_accepted(&accepted).await {
            self.state.take_back(&mut results, &error);
        }
        results
    }

    async fn write_accepted(&mut self, accepted: &[&[Entry]]) -> Result<(), LedgerError> {
        if accepted.iter().all(|entries| entries.is_empty()) {
            return Ok(());
        }
        loop {
            let number = self.newest + 1;
            let next = self.compose(number, accepted)?;
            // A number is asked for with one content only: see the header about removal.
            let content = self.unknown.get_or_insert_with(|| next.content.clone()).clone();
            let created = self.place.create(number, &content).await?;
            self.unknown = None;
            if let Created::Taken(found) = created {
                return Err(self.meet(number, &found));
            }
            if content == next.content {
                self.advance(&next);
                return self.state.written(accepted);
            }
            self.since.objects += 1;
            self.pass(object::checksum(&content), content.len() as u64, true);
        }
    }

    fn compose(&self, number: u64, accepted: &[&[Entry]]) -> Result<Next, LedgerError> {
        let line = match self.is_snapshot_due() {
            true => object::snapshot_line(self.state.to_snapshot(None))?,
            false => Vec::new(),
        };
        let snapshot_bytes = (!line.is_empty()).then_some(line.len() as u64);
        let head = Head {
            format: FORMAT,
            number,
            generation: self.generation,
            writer: self.writer.clone(),
            previous: self.checksum,
            snapshot: if line.is_empty() { self.snapshot } else { number },
            annuls: self.newest_failed,
        };
        Ok(Next { content: object::encode(&head, &line, accepted)?, snapshot_bytes })
    }

    /// Each owner writes one first, so that the objects of those before it need not be read for long. After that it must
    /// not become most of what is written.
    fn is_snapshot_due(&self) -> bool {
        let Since { objects, bytes, snapshot_bytes, has_own } = self.since;
        let share = snapshot_bytes / LEDGER_SNAPSHOT_SHARE_BYTES;
        !has_own
            || objects >= self.bounds.snapshot_objects + share
            || bytes >= self.bounds.snapshot_bytes.max(snapshot_bytes)
    }

    /// The next object is there.
    fn advance(&mut self, next: &Next) {
        let bytes = next.content.len() as u64;
        if let Some(snapshot_bytes) = next.snapshot_bytes {
            self.older_bytes += self.current.iter().map(|kept| kept.listed.bytes).sum::<u64>();
            self.older.extend(self.current.drain(..));
            self.snapshot = self.newest + 1;
            self.since = Since { snapshot_bytes, has_own: true, ..Since::default() };
        } else {
            self.since.objects += 1;
            self.since.bytes += bytes;
        }
        self.is_untidy = true;
        self.pass(object::checksum(&next.content), bytes, false);
    }

    fn pass(&mut self, checksum: u64, bytes: u64, failed: bool) {
        self.newest += 1;
        self.checksum = checksum;
        self.newest_failed = failed;
        let listed = Listed { number: self.newest, bytes };
        self.current.push(Kept { listed, is_append: true });
    }

    /// Another process has created the next object: the one that has deposed this owner.
    fn meet(&mut self, number: u64, content: &[u8]) -> LedgerError {
        let key = self.place.key(number);
        let found = match Object::decode(key.as_ref(), number, content) {
            Ok(found) => found,
            Err(error) => return error,
        };
        let error = match found.taken_over_by() {
            Some(by) => {
                self.deposed.send_replace(Some(by.clone()));
                LedgerError::Deposed { by: Arc::new(by.clone()) }
            }
            None => {
                let what = "it is of another process, which has not taken the ledger over before";
                LedgerError::damaged_text(key.as_ref(), 1, what)
            }
        };
        self.closed = Some(error.clone());
        error
    }

    /// Removes the oldest objects while there are more than there may be: some of them, for a little while. What cannot
    /// be removed now is tried again later, by this owner or by the next.
    pub async fn tidy(&mut self) {
        let mut spare = Vec::new();
        // A store that takes nothing is not asked.
        let is_untidy = std::mem::take(&mut self.is_untidy);
        while is_untidy && spare.len() < LEDGER_TIDY_OBJECTS {
            let is_too_much = self.older.len() > self.bounds.history_objects
                || self.older_bytes > self.bounds.history_bytes;
            let Some(kept) = self.older.pop_front_if(|_| is_too_much) else { break };
            self.older_bytes -= kept.listed.bytes;
            spare.push(kept);
        }
        if spare.is_empty() {
            return;
        }
        let removals = stream::iter(spare.into_iter().map(|kept| remove(&self.place, kept)));
        let removing = removals.buffer_unordered(LEDGER_READS_MAX).filter_map(std::future::ready);
        match tokio::time::timeout(LEDGER_TIDY_PATIENCE, removing.collect::<Vec<_>>()).await {
            Ok(failed) => {
                for (kept, error) in failed {
                    tracing::debug!(folder = %self.place.folder(), number = kept.listed.number, %error, "cannot remove");
                }
            }
            Err(_) => tracing::debug!(folder = %self.place.folder(), "removing old objects takes too long"),
        }
    }
}

/// Removes an object unless somebody has taken over by it. What could not be removed comes back.
async fn remove(place: &SharedPlace, kept: Kept) -> Option<(Kept, LedgerError)> {
    let Listed { number, bytes } = kept.listed;
    let removing = async {
        if !kept.is_append && bytes <= LEDGER_TAKEOVER_BYTES_MAX {
            match reading::object(place, number).await? {
                Some(found) if found.taken_over_by().is_none() => {}
                _ => return Ok(()),
            }
        }
        place.remove(number).await
    };
    removing.await.err().map(|error| (kept, error))
}
