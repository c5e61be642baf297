//! Ledgers in a store, and several who want them.

mod random;
mod takeover;

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;

use super::*;
use crate::delivery::ledger::{Entry, Epoch, Ledger, LedgerError, Seal, SealedRange, State};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;
use crate::testkit::lossy_store::{LossyStore, Weather};

/// Small enough that snapshots, and removals, come all the time.
const SMALL: SharedBounds =
    SharedBounds { snapshot_objects: 3, snapshot_bytes: 4 << 10, history_bytes: 8 << 10, history_objects: 5 };

fn place(store: &Arc<dyn ObjectStore>) -> SharedPlace {
    SharedPlace::new(Arc::clone(store), Path::from("ledgers/s/d/shardId-000000000000"))
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

async fn open(
    store: &Arc<dyn ObjectStore>,
    node: &str,
    bounds: SharedBounds,
) -> Result<(Ledger, State), LedgerError> {
    Ledger::take_over_bounded(place(store), node.into(), bounds).await
}

fn epoch() -> Entry {
    let from = vec![(ShardId(0), SequenceNumber(100))];
    Entry::Epoch(Epoch { number: 1, config: serde_json::json!({}), from })
}

/// A file that no other has anything in common with.
fn seal(number: u64) -> Entry {
    let at = SequenceNumber(100);
    Entry::Seal(Seal {
        number,
        epoch: 1,
        partition: number.to_be_bytes().to_vec(),
        folder: String::new(),
        ranges: vec![SealedRange { shard: ShardId(0), first: at, last: at, records: 1 }],
        records: 1,
        key: format!("k-{number}"),
        guard: None,
        dead: None,
        passed: false,
        reason: "age".into(),
        oldest: UnixMicros(5),
    })
}

/// Numbers of the seals of a state.
fn seals(state: &State) -> Vec<u64> {
    state.open.keys().copied().collect()
}

/// What the store says, read by somebody who takes no part.
async fn stored(store: &Arc<dyn ObjectStore>) -> State {
    reading::read(&place(store)).await.unwrap().state
}

async fn numbers(store: &Arc<dyn ObjectStore>) -> Vec<u64> {
    place(store).list(None).await.unwrap().into_iter().map(|listed| listed.number).collect()
}
