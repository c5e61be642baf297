//! Which shards of a topic are ours: membership in a consumer group that is joined for nothing but that.
//!
//! ```text
//! coordinator ──assign, revoke──▶ a thread that polls ──Change──▶ whoever works on the shards
//!      ▲                               │      ▲                            │
//!      └──heartbeats, positions────────┘      └──────LettingGo is dropped──┘
//! ```
//!
//! Nothing is fetched: what is assigned begins at its end and is paused. A shard that is taken away is given back only
//! when [`LettingGo`] is dropped, so that the work on it comes to rest before the next member begins; but not later than
//! [`OWNERSHIP_LET_GO_WAIT`]. Where the group has thrown us out already (`is_lost`), nobody waits for us.
//!
//! The group decides who *should* work on a shard. It cannot promise that nobody else does: a process that was stopped
//! and goes on knows nothing of what happened meanwhile. That must do no harm; see `delivery::ledger`.

mod member;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::{io, thread};

use tokio::sync::mpsc;

use super::{Connection, Fault};
use crate::record::{SequenceNumber, ShardId};
use member::Member;

/// Changes that wait to be taken. Each waits for the one before it, so that there are never more than two.
const CHANGES_MAX: usize = 4;

/// What is joined.
#[derive(Debug, Clone)]
pub struct Group {
    /// Id of the group.
    pub id: String,
    /// The topic whose partitions are shared.
    pub topic: String,
}

/// The group has decided.
#[derive(Debug)]
pub enum Change {
    /// These are ours from now on.
    Take(Vec<ShardId>),
    /// These are not ours any more.
    LetGo(LettingGo),
}

/// Shards that are to be let go of. They are given back when this is dropped.
#[derive(Debug)]
pub struct LettingGo {
    /// The shards.
    pub shards: Vec<ShardId>,
    /// Whether somebody else may have them already: the group has not heard of us for too long.
    pub is_lost: bool,
    /// Closing it is the sign.
    _held: SyncSender<()>,
}

/// Membership in a group. See the module.
#[derive(Debug)]
pub struct Ownership {
    changes: mpsc::Receiver<Change>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    leaves: AtomicBool,
    /// Where work on the shards of this process stands, as far as the group has not been told yet.
    positions: Mutex<BTreeMap<ShardId, SequenceNumber>>,
    fault: Mutex<Option<Fault>>,
}

/// What the rest of the process may see and tell.
#[derive(Debug, Clone)]
pub struct Standing {
    shared: Arc<Shared>,
}

impl Ownership {
    /// Joins `group`, as soon as the cluster can be reached. The thread ends with [`Ownership::leave`], once all shards
    /// are given back.
    ///
    /// # Errors
    /// If there is no room for another thread.
    pub fn join(connection: Arc<Connection>, group: Group) -> io::Result<Self> {
        let (sender, changes) = mpsc::channel(CHANGES_MAX);
        let shared = Arc::<Shared>::default();
        let member = Member::new(connection, group, Arc::clone(&shared), sender);
        let thread = thread::Builder::new().name("kafka-group".to_owned()).spawn(move || member.stay())?;
        Ok(Self { changes, shared, thread: Some(thread) })
    }

    /// The next change; `None` when the group was left.
    pub async fn next(&mut self) -> Option<Change> {
        self.changes.recv().await
    }

    /// Begins to leave: all shards are to be let go of, and then there are no more changes.
    pub fn leave(&self) {
        self.shared.leaves.store(true, Ordering::Release);
    }

    /// What others may see and tell of it.
    pub fn standing(&self) -> Standing {
        Standing { shared: Arc::clone(&self.shared) }
    }

    /// Waits for the thread, which ends after [`Ownership::next`] has said `None`. Blocks.
    pub fn ended(mut self) {
        self.leave();
        drop(self.changes);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that is a member of a consumer group has panicked");
        }
    }
}

impl Standing {
    /// Has the group told where the work on `shard` stands: everything below `position` is done. For those who look at
    /// lag; nothing is read from there.
    pub fn tell(&self, shard: ShardId, position: SequenceNumber) {
        lock(&self.shared.positions).insert(shard, position);
    }

    /// Why we are no member at the moment, as far as that is known.
    pub fn fault(&self) -> Option<Fault> {
        lock(&self.shared.fault).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
