//! Connections of workers that stay. When a worker leaves they are over, so that none takes shards again which the worker
//! has just given back.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::cursor::NamedCursor;

/// Those of workers that have not left since they began.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: BTreeMap<u64, Arc<str>>,
    /// How many there have been.
    count: u64,
}

impl Connections {
    /// One of `worker` begins; its number.
    pub fn begin(&mut self, worker: &Arc<str>) -> u64 {
        self.count += 1;
        self.open.insert(self.count, Arc::clone(worker));
        self.count
    }

    /// It is gone.
    pub fn forget(&mut self, number: u64) {
        self.open.remove(&number);
    }

    /// All of them end that are `worker`'s.
    pub fn end(&mut self, worker: &str) {
        self.open.retain(|_, name| **name != *worker);
    }

    /// Whether it has not ended.
    pub fn is_open(&self, connection: &Connection) -> bool {
        self.open.contains_key(&connection.number)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Connection {
    pub(super) cursor: Arc<NamedCursor>,
    pub(super) number: u64,
    /// Where several nodes keep the cursor: the number of what was known when it first got shards.
    pub(super) joined: OnceLock<u64>,
}

impl Connection {
    pub(super) fn joined(&self) -> Option<u64> {
        self.joined.get().copied()
    }

    /// The first time counts.
    pub(super) fn has_joined(&self, number: u64) {
        self.joined.get_or_init(|| number);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.cursor.disconnect(self.number);
    }
}
