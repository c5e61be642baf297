//! Where each partition ended when a producer appended to it last.
//!
//! No number of a topic is given twice. One that comes again belongs to a topic that was deleted and made again, or that
//! has lost its end. What is appended there nobody would deliver: deliveries are beyond that number.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::kafka::{Connection, Fault, FaultClass};

/// See the module. One for each producer, whose acks come in the order of numbers, partition by partition.
#[derive(Debug)]
pub struct Ends {
    /// The lowest number that can come next.
    next: Box<[AtomicU64]>,
}

impl Ends {
    /// Partitions that end before these numbers.
    pub fn new(next: impl Iterator<Item = u64>) -> Self {
        Self { next: next.map(AtomicU64::new).collect() }
    }

    /// The same for the next producer. Acks that the one before is still told of do not count for it.
    pub fn for_next(&self) -> Self {
        Self::new(self.next.iter().map(|next| next.load(Ordering::Relaxed)))
    }

    /// Notes that a record has got the number `offset`.
    ///
    /// # Errors
    /// Where the partition had ended, if that is behind it.
    pub fn note(&self, partition: i32, offset: u64) -> Result<(), u64> {
        let index = usize::try_from(partition).ok();
        let Some(next) = index.and_then(|index| self.next.get(index)) else { return Ok(()) };
        // One thread notes.
        let ended = next.load(Ordering::Relaxed);
        if offset < ended {
            return Err(ended);
        }
        next.store(offset.saturating_add(1), Ordering::Relaxed);
        Ok(())
    }
}

/// Why nothing more of a topic is appended or read, once that is so: it is not the one that it was.
pub type NotTheSame = Arc<OnceLock<String>>;

/// From now on the topic is not the one that it was, because of `fault`.
pub fn is_not_the_same(not_the_same: &NotTheSame, topic: &str, fault: &Fault) {
    let why = format!(
        "{fault}. Nothing of it is appended or read any more until this node is restarted. Give the stream another topic, \
         or its deliveries other names, before that, and have readers begin anew: they are beyond these numbers"
    );
    if not_the_same.set(why.clone()).is_ok() {
        tracing::error!(topic, why, "the topic is not the one that it was: records are refused");
    }
}

/// What it means that a partition has ended at `ended`, and now goes on, or ends, with the smaller number `offset`.
pub fn made_again(
    connection: &Connection,
    topic: &str,
    (partition, offset): (i32, u64),
    ended: u64,
) -> Fault {
    let error = KafkaError::MessageConsumption(RDKafkaErrorCode::OffsetOutOfRange);
    let action = format!(
        "go on in partition {partition} of topic '{topic}', which is at {offset} and had ended at {ended}: it was made \
         again, or has lost its end"
    );
    Fault { class: FaultClass::Broken, ..connection.fault(action, &error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_comes_again_is_told_whoever_was_given_it() {
        let first = Ends::new([0, 10].into_iter());
        assert_eq!((first.note(0, 0), first.note(1, 10), first.note(1, 15)), (Ok(()), Ok(()), Ok(())));
        assert_eq!((first.note(1, 15), first.note(0, 0)), (Err(16), Err(1)));
        let second = first.for_next();
        assert_eq!((first.note(1, 16), second.note(1, 17), first.note(1, 17)), (Ok(()), Ok(()), Ok(())));
        assert_eq!((second.note(1, 3), second.note(7, 0), second.note(-1, 0)), (Err(18), Ok(()), Ok(())));
    }
}
