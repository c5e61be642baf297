//! Whether a record that does not fit learned columns is a reason to learn more of them, or a dead letter.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::files::Position;
use crate::record::{SequenceNumber, ShardId};
use crate::schema::columns::Columns;
use crate::schema::inference::Learner;
use crate::schema::registry::Registry;

/// See the module. One a version of columns, for the latest configuration of a delivery; those before it are settled.
#[derive(Debug)]
pub struct Judge {
    registry: Arc<Registry>,
    learner: Learner,
    /// Number of its version.
    version: u32,
    /// Positions below these are in files of these columns already, for better or worse.
    floors: Arc<BTreeMap<ShardId, SequenceNumber>>,
    /// A record for which nothing could be learned, against expectation.
    given_up: Option<(ShardId, SequenceNumber)>,
}

impl Judge {
    /// Of `columns`, which are a version of `registry`.
    pub fn new(
        registry: &Arc<Registry>,
        columns: &Columns,
        floors: Arc<BTreeMap<ShardId, SequenceNumber>>,
    ) -> Self {
        let version = columns.version().unwrap_or_default();
        let learner = registry.learner(columns);
        Self { registry: Arc::clone(registry), learner, version, floors, given_up: None }
    }

    /// The same for other columns.
    pub fn of_columns(&self, columns: &Columns) -> Self {
        Self::new(&self.registry, columns, Arc::clone(&self.floors))
    }

    /// Number of its version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The first position of a shard that may be under other columns than these.
    pub fn floor(&self, shard: ShardId) -> SequenceNumber {
        self.floors.get(&shard).copied().unwrap_or_default()
    }

    /// Of the record at `position`, which does not fit: nothing if other columns have room for it, or else why none
    /// has.
    ///
    /// # Errors
    /// Why it is a dead letter, if there is more to say than the columns do.
    pub fn wants_columns(&mut self, record: &str, position: Position) -> Result<(), Option<String>> {
        let at = (position.shard, position.number);
        if position.number < self.floor(position.shard) || self.given_up == Some(at) {
            return Err(None);
        }
        if self.registry.latest_number() > self.version {
            return Ok(());
        }
        match self.learner.would_change(record) {
            Ok(true) => Ok(()),
            Ok(false) => Err(None),
            Err(refusal) => Err(Some(refusal.to_string())),
        }
    }

    /// Takes the record at a position for one that nothing can be learned from.
    pub fn give_up(&mut self, at: (ShardId, SequenceNumber)) {
        self.given_up = Some(at);
    }
}
