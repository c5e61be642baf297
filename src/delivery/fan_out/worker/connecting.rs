//! Getting a client that is ours alone, and the positions to go on from.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Place, Worker};
use crate::config::limits::{FAN_OUT_CLIENT_BYTES, FAN_OUT_PATIENCE};
use crate::delivery::Begin;
use crate::delivery::fan_out::producer::{Failed, Producer, Remedy, client_config};
use crate::delivery::fan_out::progress::{self, Progress};
use crate::kafka::{Fault, FaultClass};
use crate::record::{SequenceNumber, ShardId};

type Found = BTreeMap<ShardId, SequenceNumber>;

fn again(fault: Fault) -> Failed {
    Failed { fault, remedy: Remedy::Reconnect }
}

impl Worker {
    /// Makes the client, ends what others have left under its name, and reads how far that was.
    pub(super) async fn connect(&mut self) -> Result<(), Failed> {
        let config = &self.parts.config.sink;
        if !self.has_progress_topic {
            progress::make_topic(&self.connection, &config.progress_topic).await.map_err(again)?;
            self.has_progress_topic = true;
        }
        let settings = client_config(&self.connection, config, &self.parts.identity, self.pace);
        let (connection, guarantee) = (Arc::clone(&self.connection), config.guarantee);
        let making =
            tokio::task::spawn_blocking(move || Producer::new(&connection, &settings, guarantee)).await;
        let producer = making.map_err(|_| again(self.stopped()))?.map_err(again)?;
        if let Err(failed) = producer.begin_name(FAN_OUT_PATIENCE).await {
            producer.close().await;
            return Err(again(failed.fault));
        }
        let (connection, topic) = (Arc::clone(&self.connection), config.progress_topic.clone());
        let key = Arc::clone(&self.parts.identity);
        let reading = tokio::task::spawn_blocking(move || progress::read(&connection, &topic, &key)).await;
        let found = match reading.map_err(|_| self.stopped()) {
            Ok(Ok(found)) => found,
            Ok(Err(fault)) | Err(fault) => {
                producer.close().await;
                // It may be gone.
                self.has_progress_topic = false;
                return Err(again(fault));
            }
        };
        let before = match (&found, self.has_begun, &self.parts.inherits) {
            (None, false, Some(before)) => match self.inherit(Arc::clone(before)).await {
                Ok(before) => before,
                Err(failed) => {
                    producer.close().await;
                    return Err(failed);
                }
            },
            _ => Found::new(),
        };
        self.connection.is_well();
        self.producer = Some(producer);
        self.client = Some(self.parts.budget.take_anyway(FAN_OUT_CLIENT_BYTES));
        self.resolve(found.as_ref());
        self.go_on_from(found, before).await
    }

    /// Ends whoever has the name `before`, and reads how far that was.
    async fn inherit(&self, before: Arc<str>) -> Result<Found, Failed> {
        let config = &self.parts.config.sink;
        let settings = client_config(&self.connection, config, &before, self.pace);
        let (connection, guarantee) = (Arc::clone(&self.connection), config.guarantee);
        let making =
            tokio::task::spawn_blocking(move || Producer::new(&connection, &settings, guarantee)).await;
        let producer = making.map_err(|_| again(self.stopped()))?.map_err(again)?;
        let taken = producer.begin_name(FAN_OUT_PATIENCE).await;
        producer.close().await;
        taken.map_err(|failed| again(failed.fault))?;
        let (connection, topic) = (Arc::clone(&self.connection), config.progress_topic.clone());
        let reading = tokio::task::spawn_blocking(move || progress::read(&connection, &topic, &before)).await;
        let found = reading.map_err(|_| again(self.stopped()))?.map_err(again)?;
        let mut positions = found.map(|found| found.positions).unwrap_or_default();
        positions.retain(|&shard, _| self.parts.stream.shard(shard).is_some());
        if !positions.is_empty() {
            tracing::info!(
                stream = %self.parts.stream.name(), delivery = self.parts.config.name, ?positions,
                "nodes go on with what one has delivered alone until now"
            );
        }
        Ok(positions)
    }

    fn stopped(&self) -> Fault {
        Fault {
            class: FaultClass::Transient,
            cluster: self.connection.cluster().label(),
            action: "connect".to_owned(),
            message: "the process stops".to_owned(),
        }
    }

    /// Finds out whether the transaction was committed that was under way when its client was lost.
    fn resolve(&mut self, found: Option<&Progress>) {
        let Some(transaction) = self.unresolved.take() else { return };
        // Another node may have had the shard meanwhile, and counts on from the same number.
        let is_it = |found: &Progress| {
            found.number == transaction.number && Some(&found.positions) == transaction.positions.as_ref()
        };
        match found.is_some_and(is_it) {
            true => self.settle(transaction),
            false => self.parts.metrics.aborted.increment(1),
        }
    }

    async fn go_on_from(&mut self, found: Option<Progress>, before: Found) -> Result<(), Failed> {
        let is_first = found.is_none();
        let (number, positions) = found.map(|found| (found.number, found.positions)).unwrap_or_default();
        self.committed = self.committed.max(number);
        if self.has_begun {
            for place in &mut self.places {
                if let Some(&position) = positions.get(&place.shard) {
                    place.committed = position;
                }
            }
            self.rewind();
            return Ok(());
        }
        let positions = if is_first { before } else { positions };
        let begins = self.begins(&positions).await.map_err(again)?;
        let layout = self.parts.stream.layout();
        self.places = layout
            .shards()
            .iter()
            .map(|shard| {
                let (id, bounds) = (shard.facts.id, shard.log_ref().bounds());
                let next = self.not_beyond_the_log(id, begins.get(&id).copied().unwrap_or(bounds.first));
                Place { shard: id, next, committed: next, found: bounds.first, trouble: None }
            })
            .collect();
        self.layout = layout;
        self.has_begun = true;
        self.begin_balance();
        for Place { shard, committed, .. } in &self.places {
            self.parts.status.set_position(*shard, *committed);
            if let Some(log) = self.parts.stream.shard(*shard) {
                log.release(self.parts.reader, *committed);
            }
        }
        if is_first {
            // Where it begins must not be forgotten, and what is wrong shows at once.
            self.ensure_open().await?;
            self.close_open();
        }
        Ok(())
    }

    /// Where each shard begins that the cluster says something about, or that must not begin with its oldest record.
    async fn begins(&self, positions: &Found) -> Result<Found, Fault> {
        // A shard that is news to a delivery that has begun has nothing that it could pass over.
        if !positions.is_empty() {
            return Ok(positions.clone());
        }
        match &self.parts.begin {
            Begin::Oldest => Ok(Found::new()),
            Begin::Behind(positions, _) => Ok(positions.iter().copied().collect()),
            Begin::At(time) => {
                let ids: Vec<_> = self.parts.stream.shard_ids().collect();
                let found = self.parts.stream.positions_at(&ids, *time).await;
                let unreadable = |error: crate::stream::ReadError| Fault {
                    message: format!("the log does not say where to begin: {error}"),
                    ..self.stopped()
                };
                Ok(found.map_err(unreadable)?.into_iter().collect())
            }
        }
    }

    /// A log that has lost its end gives the numbers again that were delivered: what has them now was not.
    fn not_beyond_the_log(&self, shard: ShardId, position: SequenceNumber) -> SequenceNumber {
        match self.ends.get(&shard) {
            // Where a topic ends is known a second late, and other nodes may have delivered more of it.
            Some(&end) if end < position && self.parts.stream.topic().is_none() => {
                tracing::error!(
                    stream = %self.parts.stream.name(), delivery = self.parts.config.name, %shard,
                    log_ends = %end, delivered_up_to = %position,
                    "the log has lost its end, which was delivered already: what comes now has the numbers of what was lost"
                );
                end
            }
            _ => position,
        }
    }

    /// Begins the balance: what the log has and is not delivered.
    fn begin_balance(&self) {
        let census = self.parts.stream.census();
        let found = census.ends.iter().map(|(id, end)| {
            let place = self.places.iter().find(|place| place.shard == *id);
            place.map_or(0, |place| end.0.saturating_sub(place.next.max(place.found).0))
        });
        self.parts.status.begin(found.sum(), 0, census.accepted);
    }

    /// Takes up shards that are new, and leaves those that are gone.
    pub(super) fn follow_shards(&mut self) {
        let layout = self.parts.stream.layout();
        if Arc::ptr_eq(&layout, &self.layout) || !self.has_begun {
            return;
        }
        let status = &self.parts.status;
        self.places.retain(|place| {
            let stays = layout.get(place.shard).is_some();
            if !stays {
                status.forget_position(place.shard);
            }
            stays
        });
        for shard in layout.shards() {
            let (id, first) = (shard.facts.id, shard.facts.first);
            if !self.places.iter().any(|place| place.shard == id) {
                status.set_position(id, first);
                self.places.push(Place {
                    shard: id,
                    next: first,
                    committed: first,
                    found: first,
                    trouble: None,
                });
            }
        }
        (self.layout, self.turn) = (layout, 0);
    }
}
