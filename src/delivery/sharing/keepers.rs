//! The keepers of all shards that are this node's, and those who wait for some of them to end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Sharing;
use super::keeper;
use crate::kafka::ownership::LettingGo;
use crate::record::ShardId;

/// See the module.
pub(super) struct Keepers {
    sharing: Arc<Sharing>,
    tasks: JoinSet<ShardId>,
    /// Of each shard that is kept: sent when it is to be let go of.
    gone: BTreeMap<ShardId, watch::Sender<bool>>,
    /// Given to this node again before the work on them had ended.
    again: BTreeSet<ShardId>,
    /// Given back once the work on all of them has ended.
    letting_go: Vec<LettingGo>,
}

impl Keepers {
    pub fn new(sharing: Arc<Sharing>) -> Self {
        let (gone, again, letting_go) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        Self { sharing, tasks: JoinSet::new(), gone, again, letting_go }
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Begins to work on shards.
    pub fn take(&mut self, shards: &[ShardId]) {
        let names: Vec<_> = shards.iter().map(ShardId::to_string).collect();
        tracing::info!(
            stream = %self.sharing.stream_name(), delivery = self.sharing.name(), shards = ?names,
            "this node takes shards of the delivery"
        );
        for &shard in shards {
            if self.gone.contains_key(&shard) {
                self.again.insert(shard);
            } else {
                self.keep(shard);
            }
        }
    }

    fn keep(&mut self, shard: ShardId) {
        let (gone, told) = watch::channel(false);
        self.gone.insert(shard, gone);
        self.sharing.begin(shard);
        let sharing = Arc::clone(&self.sharing);
        self.tasks.spawn(async move {
            keeper::keep(&sharing, shard, told).await;
            shard
        });
    }

    /// Has the work on shards end, and gives them back then.
    pub fn let_go(&mut self, mut letting_go: LettingGo) {
        let names: Vec<_> = letting_go.shards.iter().map(ShardId::to_string).collect();
        tracing::info!(
            stream = %self.sharing.stream_name(), delivery = self.sharing.name(), shards = ?names,
            "this node lets go of shards of the delivery"
        );
        for shard in &letting_go.shards {
            self.again.remove(shard);
            if let Some(gone) = self.gone.get(shard) {
                gone.send_replace(true);
            }
        }
        letting_go.shards.retain(|shard| self.gone.contains_key(shard));
        if !letting_go.shards.is_empty() {
            self.letting_go.push(letting_go);
        }
    }

    /// Waits for the work on a shard to end. Whoever stops waiting misses nothing.
    pub async fn ended(&mut self) {
        match self.tasks.join_next().await {
            None => {}
            Some(Ok(shard)) => self.has_ended(shard),
            Some(Err(error)) => {
                // A worker that panics does not end its keeper, so this is an error in the keeper itself.
                tracing::error!(
                    stream = %self.sharing.stream_name(), delivery = self.sharing.name(), %error,
                    "the keeper of a shard has failed within the program: restart the node"
                );
            }
        }
    }

    fn has_ended(&mut self, shard: ShardId) {
        self.gone.remove(&shard);
        self.sharing.forget(shard);
        for letting_go in &mut self.letting_go {
            letting_go.shards.retain(|other| *other != shard);
        }
        // Dropping one gives its shards back.
        self.letting_go.retain(|letting_go| !letting_go.shards.is_empty());
        if self.again.remove(&shard) {
            self.keep(shard);
        }
    }

    /// Has all work end, and waits for that.
    pub async fn end_all(&mut self) {
        self.again.clear();
        for gone in self.gone.values() {
            gone.send_replace(true);
        }
        while !self.is_empty() {
            self.ended().await;
        }
    }
}
