//! The ledger of a delivery: what it has decided, written down before it is done, so that after a crash the same is
//! done again and nothing else.
//!
//! # Order of entries
//! ```text
//! epoch ──▶ (begun ──▶ multipart ──▶) seal ──▶ (lost) ──▶ (multipart) ──▶ commit ──▶ cursor
//! ```
//! A *seal* fixes what is in a file and what its key is; it is durable before the object can be seen. Of a large file
//! the finished parts are sent before that: it is *begun*, which fixes its number and key. One that is begun and not
//! closed when its process ends is *dropped* by the next. A *commit* says that the store has it. A seal without a
//! commit is stored again under the same key. The *cursor* says below which positions everything is in committed files;
//! above it, [`State::is_settled`] tells for a partition which records are in sealed files already. What the log has
//! *lost* of a file before it was stored is not in the object. A *gap* accounts for numbers that no file will ever
//! have. *Shards* that a stream has been given since are named before a file has records of them, and such as have gone
//! with their last records when no open file has any: nothing is remembered of them then. [`State::apply`] refuses what
//! cannot follow.
//!
//! # Files
//! Those of a ledger that only this node has. One that others may go on with is in a store: see [`shared`].
//!
//! `{number:08}.ledger` in the delivery's folder; the newest one counts. It is text, one entry a line:
//! ```text
//! {xxh3-64 of the JSON, seed 0, 16 hex digits} {JSON}\n
//! ```
//! | JSON field | meaning |
//! | --- | --- |
//! | `write` | offset in the file of the write that brought the line |
//! | `more` | lines of the same append that follow; left out if 0. An append counts when its last line is there |
//! | `epoch`, `shards`, `begun`, `dropped`, `seal`, `lost`, `multipart`, `commit`, `cursor`, `gap`, `snapshot` | exactly one of them: the entry, with the fields of the [type](entry) of that name |
//!
//! Shards are numbers, positions are numbers, a pair of both is an array of two, times are microseconds since 1970,
//! partitions are base64. The first line is the *snapshot* of everything before. Behind the last line there are zeros,
//! written and synced ahead of use ([`LEDGER_STEP_BYTES`]): an append is one write and one sync in place, and a full
//! disk is met between entries.
//!
//! # What a crash leaves
//! A write is synced before the next begins. Whatever is not whole, and is not followed by a line of a later write, is
//! therefore the end of the last write, which was promised to nobody: it is cut. Anything else that is not whole is
//! damage, and an error. A disk that writes a sector either whole or not at all is assumed; lines that were synced
//! before share a sector with the next write, which repeats their bytes.
//!
//! A file is begun under a temporary name, synced, renamed, and its folder synced. That happens at each start, because
//! lines of the last process may be readable and not durable; when a file has grown to [`LEDGER_FILE_BYTES`]; and after
//! a failed write or sync, behind which nobody knows what the disk has. The snapshot then says up to which byte the
//! file before it counts. Old files stay as history for `forebay verify` ([`LEDGER_HISTORY_BYTES`]).

mod ahead;
pub mod entry;
mod error;
mod file;
mod history;
mod line;
mod refusal;
mod replay;
pub mod shared;
mod state;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

pub use entry::{
    Begun, Commit, Cursor, Dropped, Entry, Epoch, Gap, Generation, Lost, Multipart, OpenBegun, OpenSeal,
    Seal, SealedRange, ShardTotals, Shards, Snapshot,
};
pub use error::LedgerError;
pub use history::History;
pub use refusal::Refusal;
pub use state::State;

use crate::config::limits::{LEDGER_FILE_BYTES, LEDGER_HISTORY_BYTES, LEDGER_STEP_BYTES};
use crate::runtime::disk::Disk;
use shared::{SharedBounds, SharedPlace, SharedWriter};
use writer::Writer;

/// Version of the format of the files.
pub const FORMAT: u32 = 1;

/// The bounds of the files, in bytes.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// See [`LEDGER_STEP_BYTES`].
    step: u64,
    /// See [`LEDGER_FILE_BYTES`].
    file: u64,
    /// See [`LEDGER_HISTORY_BYTES`].
    history: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { step: LEDGER_STEP_BYTES, file: LEDGER_FILE_BYTES, history: LEDGER_HISTORY_BYTES }
    }
}

/// The ledger of one delivery, open for appending. Cheap to clone; all clones are the same ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    place: Place,
    durable: Arc<Mutex<State>>,
}

/// Where it is.
#[derive(Debug)]
enum Place {
    /// In a folder of this node, written by threads that wait for the disk.
    Folder(Box<Mutex<Writer>>),
    /// In a store that others can reach.
    Store {
        writer: Arc<tokio::sync::Mutex<SharedWriter>>,
        /// Who has deposed this process.
        deposed: Arc<watch::Sender<Option<Generation>>>,
    },
}

/// Appends that wait for the next write. There are at most as many as there are callers: each waits for its own.
#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// Whether a thread is writing, and will look here when it is done.
    led: bool,
}

#[derive(Debug)]
struct Waiting {
    entries: Vec<Entry>,
    done: oneshot::Sender<Result<(), LedgerError>>,
}

impl Ledger {
    /// Opens the ledger in `folder`, which is created if there is none, and tells where the delivery stands. Blocks the
    /// thread. Damage is an error that names file and line; the end of a write that a crash has cut short is cut.
    pub fn open(disk: Arc<dyn Disk>, folder: PathBuf) -> Result<(Self, State), LedgerError> {
        Self::open_bounded(disk, folder, Bounds::default())
    }

    fn open_bounded(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        bounds: Bounds,
    ) -> Result<(Self, State), LedgerError> {
        let writer = Writer::open(disk, folder, bounds)?;
        let durable = writer.durable();
        Ok(Self::of(Place::Folder(Box::new(Mutex::new(writer))), durable))
    }

    /// Takes over the ledger at `place` for `owner`, whoever has it, and tells where the delivery stands. See [`shared`].
    ///
    /// # Errors
    /// If the store cannot be asked, or is none for this; if the ledger is damaged or of another cluster, or others
    /// want it at the same time.
    pub async fn take_over(
        place: SharedPlace,
        owner: impl Into<shared::Owner<'_>>,
    ) -> Result<(Self, State), LedgerError> {
        Self::take_over_bounded(place, owner.into(), SharedBounds::default()).await
    }

    async fn take_over_bounded(
        place: SharedPlace,
        owner: shared::Owner<'_>,
        bounds: SharedBounds,
    ) -> Result<(Self, State), LedgerError> {
        let writer = shared::take_over(place, owner, bounds).await?;
        let (durable, deposed) = (writer.durable(), writer.deposed());
        let writer = Arc::new(tokio::sync::Mutex::new(writer));
        Ok(Self::of(Place::Store { writer, deposed }, durable))
    }

    fn of(place: Place, durable: Arc<Mutex<State>>) -> (Self, State) {
        let ledger = Self { shared: Arc::new(Shared { queue: Mutex::default(), place, durable }) };
        let state = ledger.state();
        (ledger, state)
    }

    /// Appends entries: when it returns they are durable, in this order and behind everything that was durable before.
    /// After an error either all or none of them may be there after a crash, until a later append succeeds: then none
    /// are. Appends that come while another one is being written share one write and one sync. Whoever drops the future
    /// does not learn the result; the entries may be written all the same.
    pub async fn append(&self, entries: Vec<Entry>) -> Result<(), LedgerError> {
        let (done, result) = oneshot::channel();
        if self.shared.enqueue(Waiting { entries, done }) {
            let mut lead = Lead { shared: Arc::clone(&self.shared), done: false };
            // Goes on whatever becomes of this future: others wait for it as well.
            match &self.shared.place {
                Place::Folder(_) => drop(tokio::task::spawn_blocking(move || lead.write_all_that_waits())),
                Place::Store { writer, .. } => {
                    let writer = Arc::clone(writer);
                    drop(tokio::spawn(async move { lead.send_all_that_waits(&writer).await }));
                }
            }
        }
        result.await.unwrap_or(Err(LedgerError::Stopped))
    }

    /// Returns when every append is written or has failed, also those whose callers have stopped waiting: the files may
    /// be opened again then.
    pub async fn settled(&self) {
        // Behind all others; nothing of it is written.
        let _ = self.append(Vec::new()).await;
    }

    /// [`Ledger::append`] on the calling thread, for a ledger in a folder.
    pub fn append_blocking(&self, entries: &[Entry]) -> Result<(), LedgerError> {
        self.shared.write(&[entries]).pop().unwrap_or(Ok(()))
    }

    /// Returns once this process has learned that another one has taken the ledger over, and which.
    pub async fn deposed(&self) -> Generation {
        if let Place::Store { deposed, .. } = &self.shared.place
            && let Ok(by) = deposed.subscribe().wait_for(Option::is_some).await
            && let Some(by) = by.clone()
        {
            return by;
        }
        std::future::pending().await
    }

    /// See [`State::settled_len`].
    pub fn settled_len(&self) -> usize {
        lock(&self.shared.durable).settled_len()
    }

    /// Where the delivery stands, as far as it is durable: a copy.
    pub fn state(&self) -> State {
        lock(&self.shared.durable).clone()
    }
}

impl Shared {
    /// Whether somebody has to be sent to write.
    fn enqueue(&self, waiting: Waiting) -> bool {
        let mut queue = lock(&self.queue);
        queue.waiting.push(waiting);
        !std::mem::replace(&mut queue.led, true)
    }

    fn write(&self, appends: &[&[Entry]]) -> Vec<Result<(), LedgerError>> {
        match &self.place {
            Place::Folder(writer) => lock(writer).write(appends),
            Place::Store { .. } => vec![Err(LedgerError::NotHere); appends.len()],
        }
    }
}

/// The duty to write what waits. When it ends without that, because the runtime or the thread does, those who wait
/// learn it.
struct Lead {
    shared: Arc<Shared>,
    done: bool,
}

impl Lead {
    fn write_all_that_waits(&mut self) {
        while let Some(group) = self.next_group() {
            let appends: Vec<&[Entry]> = group.iter().map(|waiting| &*waiting.entries).collect();
            let results = self.shared.write(&appends);
            tell(group, results);
        }
    }

    /// The same to a store.
    async fn send_all_that_waits(&mut self, writer: &tokio::sync::Mutex<SharedWriter>) {
        let mut writer = writer.lock().await;
        while let Some(group) = self.next_group() {
            let appends: Vec<&[Entry]> = group.iter().map(|waiting| &*waiting.entries).collect();
            let results = writer.write(&appends).await;
            tell(group, results);
            writer.tidy().await;
        }
    }

    /// Everything that waits; if that is nothing, the duty is done.
    fn next_group(&mut self) -> Option<Vec<Waiting>> {
        let mut queue = lock(&self.shared.queue);
        // Under the lock: whoever comes later sends another one.
        self.done = queue.waiting.is_empty();
        queue.led = !self.done;
        (!self.done).then(|| std::mem::take(&mut queue.waiting))
    }
}

fn tell(group: Vec<Waiting>, results: Vec<Result<(), LedgerError>>) {
    for (waiting, result) in group.into_iter().zip(results) {
        // Whoever has stopped waiting does not want to know.
        let _ = waiting.done.send(result);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.done {
            let mut queue = lock(&self.shared.queue);
            queue.led = false;
            queue.waiting.clear();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
