//! Topics that records go to: how many partitions each has, and what it takes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::config::checked::Partitioner;
use crate::config::limits::{FAN_OUT_FACTS_AGE, FAN_OUT_PATIENCE};
use crate::delivery::classify::Dead;
use crate::kafka::{Connection, Fault, FaultClass, topic};
use crate::record::ShardId;
use crate::stream::HashKey;

use super::topic::TOPIC;

/// A topic that is in use.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Its partitions, of which there is at least one.
    partitions: u32,
    /// Hashes a partition has, but for the last one.
    hashes: u128,
    /// Bytes of a batch that it takes, if it says so.
    pub bytes_max: Option<u64>,
    /// Bytes of the smallest message that it has refused for its size, where it has told no bound.
    refused: Option<u64>,
    asked: Instant,
}

impl Topic {
    fn new(name: &str, partitions: u32, bytes_max: Option<u64>, now: Instant) -> Self {
        let count = u128::from(partitions.max(1));
        // As the ranges of shards: 2^128 / count, rounded down.
        let hashes = (u128::MAX / count).wrapping_add(u128::from(count.is_power_of_two()));
        Self {
            name: name.into(),
            partitions: partitions.max(1),
            hashes,
            bytes_max,
            refused: None,
            asked: now,
        }
    }

    /// The bytes that it has refused, if it would refuse a message of `bytes` as well.
    pub fn refuses(&self, bytes: impl FnOnce() -> u64) -> Option<u64> {
        self.refused.filter(|&refused| bytes() >= refused)
    }

    /// The partition whose range of hashes `hash` lies in: what `HashRange::even` says.
    fn of_hash(&self, hash: HashKey) -> i32 {
        if self.partitions == 1 {
            return 0;
        }
        let index = u32::try_from(hash.0 / self.hashes).unwrap_or(u32::MAX).min(self.partitions - 1);
        index.cast_signed()
    }

    /// The partition of a record, where the client does not choose it by the key.
    ///
    /// # Errors
    /// Why it has none.
    pub fn partition(
        &self,
        partitioner: &Partitioner,
        (key, shard): (&[u8], ShardId),
        field: Option<&str>,
    ) -> Result<Option<i32>, Dead> {
        let of_shard = (shard.0 % self.partitions).cast_signed();
        Ok(Some(match partitioner {
            Partitioner::Murmur2 => return Ok(None),
            // Records without a key keep the order that they have in their shard.
            Partitioner::Stream if key.is_empty() => of_shard,
            Partitioner::Stream => self.of_hash(HashKey::of(key)),
            Partitioner::Shard => of_shard,
            Partitioner::Field(pointer) => {
                let text = field.map(|text| text.trim_matches('"'));
                let number = text.and_then(|text| text.parse::<i128>().ok()).ok_or_else(|| Dead {
                    reason: "partition",
                    message: format!("{pointer}: no whole number, but the partition is told by it"),
                })?;
                // Less than the number of partitions.
                number.rem_euclid(i128::from(self.partitions)) as i32
            }
        }))
    }
}

/// The topics that are in use, by what tells them apart in records.
#[derive(Debug, Default)]
pub struct Topics {
    known: HashMap<Box<[u8]>, Topic>,
    most: usize,
}

impl Topics {
    /// None yet, and no more than `most` at a time.
    pub fn new(most: usize) -> Self {
        Self { known: HashMap::new(), most }
    }

    /// The topic of records with `key`, if it is known.
    pub fn get(&self, key: &[u8]) -> Option<&Topic> {
        self.known.get(key)
    }

    /// The topic of records with `key` has refused a message of `bytes` for its size. It need not be asked about larger ones
    /// until it is asked for its facts again: each would end a transaction.
    pub fn has_refused(&mut self, key: &[u8], bytes: u64) {
        if let Some(topic) = self.known.get_mut(key) {
            topic.refused = Some(topic.refused.map_or(bytes, |refused| refused.min(bytes)));
        }
    }

    /// Whether there is room for one more.
    ///
    /// # Errors
    /// If there is none.
    pub fn room(&self) -> Result<(), Dead> {
        match self.known.len() < self.most {
            true => Ok(()),
            false => Err(Dead {
                reason: TOPIC,
                message: format!("max_topics = {} topics are in use already", self.most),
            }),
        }
    }

    /// Asks the cluster about a topic, and knows it.
    ///
    /// # Errors
    /// If it does not answer, or has no such topic.
    pub async fn ask(
        &mut self,
        connection: &Arc<Connection>,
        key: &[u8],
        name: &str,
        now: Instant,
    ) -> Result<(), Fault> {
        let facts = topic::facts(connection, (name, topic::Missing::MayBeMade), FAN_OUT_PATIENCE).await?;
        let Some(facts) = facts else {
            return Err(Fault {
                class: FaultClass::Missing,
                cluster: connection.cluster().label(),
                action: format!("send to topic '{name}'"),
                message: "it is not there: make it; records wait in the log until then".to_owned(),
            });
        };
        let topic = Topic::new(name, facts.partitions, facts.settings.message_bytes_max, now);
        self.known.insert(key.into(), topic);
        Ok(())
    }

    /// Forgets what was asked long ago: what is still in use is asked again, since partitions may have been added, and what
    /// is not makes room.
    pub fn forget_old(&mut self, now: Instant) {
        self.known.retain(|_, topic| now.saturating_duration_since(topic.asked) < FAN_OUT_FACTS_AGE);
    }

    /// Forgets all.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// Bytes of a batch that all of them take, as far as they say so.
    pub fn bytes_max(&self) -> Option<u64> {
        self.known.values().filter_map(|topic| topic.bytes_max).min()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::json::Pointer;
    use crate::stream::HashRange;

    fn topic(partitions: u32) -> Topic {
        Topic::new("t", partitions, None, Instant::now())
    }

    #[test]
    fn the_streams_partitioner_has_the_ranges_of_shards() {
        for partitions in [1, 2, 3, 4, 7, 12, 64] {
            let topic = topic(partitions);
            for (index, range) in HashRange::even(partitions).enumerate() {
                for hash in [range.first, range.last, range.first + (range.last - range.first) / 2] {
                    assert_eq!(topic.of_hash(HashKey(hash)), index as i32, "{partitions} {hash}");
                }
            }
        }
    }

    #[test]
    fn keys_numbers_and_shards_choose_a_partition() {
        let topic = topic(4);
        let of = |partitioner: &Partitioner, key: &str, field: Option<&str>| {
            topic.partition(partitioner, (key.as_bytes(), ShardId(6)), field)
        };
        assert_eq!(of(&Partitioner::Murmur2, "a", None), Ok(None));
        assert_eq!(of(&Partitioner::Shard, "a", None), Ok(Some(2)));
        // MD5 of "a" begins with 0c: the first quarter.
        assert_eq!(of(&Partitioner::Stream, "a", None), Ok(Some(0)));
        assert_eq!(of(&Partitioner::Stream, "", None), Ok(Some(2)), "the order of the shard is kept");
        let field = Partitioner::Field(Pointer::parse("/n").unwrap());
        assert_eq!(of(&field, "", Some("7")), Ok(Some(3)));
        assert_eq!(of(&field, "", Some("\"7\"")), Ok(Some(3)));
        assert_eq!(of(&field, "", Some("-1")), Ok(Some(3)));
        for wrong in [None, Some("1.5"), Some("null"), Some("\"x\"")] {
            let dead = of(&field, "", wrong).unwrap_err();
            assert_eq!(dead.reason, "partition");
            assert!(dead.message.starts_with("/n: "), "{dead:?}");
        }
    }

    #[test]
    fn what_is_as_large_as_something_that_was_refused_is_refused() {
        let (mut topics, now) = (Topics::new(2), Instant::now());
        topics.known.insert(b"a".as_slice().into(), Topic::new("t", 1, None, now));
        let refuses = |topics: &Topics, bytes| topics.get(b"a").unwrap().refuses(|| bytes);
        assert_eq!(refuses(&topics, u64::MAX), None);
        for bytes in [500, 400, 600] {
            topics.has_refused(b"a", bytes);
        }
        topics.has_refused(b"b", 1);
        assert_eq!((refuses(&topics, 399), refuses(&topics, 400)), (None, Some(400)));
    }

    #[test]
    fn the_number_of_topics_is_bounded_and_old_ones_make_room() {
        let (mut topics, now) = (Topics::new(2), Instant::now());
        for key in [b"a", b"b"] {
            topics.room().unwrap();
            topics.known.insert(key.as_slice().into(), Topic::new("t", 1, None, now));
        }
        assert_eq!(topics.room().unwrap_err().reason, TOPIC);
        topics.forget_old(now + Duration::from_secs(1));
        assert_eq!(topics.len(), 2);
        topics.forget_old(now + FAN_OUT_FACTS_AGE + Duration::from_secs(1));
        topics.room().unwrap();
    }
}
