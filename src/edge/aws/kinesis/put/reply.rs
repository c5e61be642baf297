//! What became of each record.

use std::sync::Arc;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use crate::edge::aws::Caller;
use crate::edge::aws::kinesis::sequence::{Numbering, Printed, Rising};
use crate::edge::aws::kinesis::shapes::{encryption_type, printed, rate_exceeded};
use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::edge::judge::Refused;
use crate::record::{Batch, ShardId};
use crate::stream::quotas::Throttled;
use crate::stream::{Appended, Layout, Stream};

/// The records of a request, in order: numbered, refused or throttled.
#[derive(Debug)]
pub struct Placed {
    stream: Arc<str>,
    encryption_type: &'static str,
    count: usize,
    refused: Vec<Refused>,
    /// Of the records that were not refused.
    places: Vec<Place>,
    shards: Vec<(ShardId, Rising)>,
    /// How many records were beyond the quotas.
    pub throttled: usize,
}

/// What was appended to each shard.
#[derive(Debug, Clone, Copy, Default)]
pub struct Written<'a> {
    /// In the order of the layout.
    pub appended: &'a [(ShardId, Appended)],
    /// How their numbers are printed, with their places in the layout.
    pub numberings: &'a [(usize, Numbering)],
}

/// What became of a record that is well.
#[derive(Debug, Clone)]
pub enum Place {
    /// It is in the log.
    Taken {
        /// Its shard's place among those of the layout or, in an answer, of the answer.
        shard: usize,
        /// How many numbers it takes.
        numbers: usize,
    },
    /// It was beyond the quotas of its shard.
    Throttled(Throttled),
}

/// How the numbers of the shards that were written to are printed, with their places in the layout.
pub fn numberings(layout: &Layout, batches: &[(ShardId, Batch)]) -> Vec<(usize, Numbering)> {
    let numbering = |(id, _): &(ShardId, Batch)| {
        let place = layout.index(*id)?;
        Some((place, Numbering::of(&layout.shards()[place].facts)))
    };
    batches.iter().filter_map(numbering).collect()
}

impl Placed {
    /// All were refused.
    pub fn nowhere(stream: &Stream, count: usize, refused: Vec<Refused>) -> Self {
        Self::new(stream, count, refused, Vec::new(), Written::default())
    }

    /// `places` in the layout, as those of the numberings.
    pub fn new(
        stream: &Stream,
        count: usize,
        refused: Vec<Refused>,
        mut places: Vec<Place>,
        written: Written<'_>,
    ) -> Self {
        let Written { appended, numberings } = written;
        let mut throttled = 0;
        for place in &mut places {
            match place {
                // Both are in the order of the layout.
                Place::Taken { shard, .. } => {
                    *shard = numberings.partition_point(|(known, _)| known < shard);
                }
                Place::Throttled(_) => throttled += 1,
            }
        }
        let rising = |((id, appended), (_, numbering)): (&(ShardId, Appended), &(usize, Numbering))| {
            (*id, numbering.from(appended.first))
        };
        let shards = appended.iter().zip(numberings).map(rising).collect();
        let (stream, encryption_type) = (Arc::clone(stream.name()), encryption_type(stream));
        Self { stream, encryption_type, count, refused, places, shards, throttled }
    }

    /// The one record.
    ///
    /// # Errors
    /// `InvalidArgumentException` if it was refused, `ProvisionedThroughputExceededException` if it was throttled.
    pub fn only(mut self, caller: &Caller) -> Result<impl Serialize, Failure> {
        if let Some(refused) = self.refused.first() {
            return Err(Failure::invalid(told(refused)));
        }
        let place = match self.places.first() {
            Some(Place::Throttled(throttled)) => {
                return Err(rate_exceeded(throttled, &self.stream, caller));
            }
            Some(Place::Taken { shard, .. }) => *shard,
            None => 0,
        };
        let placed = self.shards.get_mut(place).map(|(shard, rising)| One {
            shard_id: *shard,
            sequence_number: rising.next_printed(),
            encryption_type: self.encryption_type,
        });
        placed.ok_or_else(|| Failure::new(FailureKind::InternalFailure, "the record went nowhere"))
    }

    /// Those that were refused, by ascending index.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// All records.
    pub fn all<'a>(&'a self, caller: &'a Caller) -> impl Serialize + 'a {
        All {
            failed_record_count: self.refused.len() + self.throttled,
            records: List(self, caller),
            encryption_type: self.encryption_type,
        }
    }
}

fn told(refused: &Refused) -> String {
    format!("{}: {}", refused.code, refused.message)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct One {
    #[serde(serialize_with = "printed")]
    shard_id: ShardId,
    sequence_number: Printed,
    encryption_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct All<'a> {
    failed_record_count: usize,
    records: List<'a>,
    encryption_type: &'static str,
}

struct List<'a>(&'a Placed, &'a Caller);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(serialize_with = "printed")]
    shard_id: ShardId,
    sequence_number: Printed,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    error_code: &'static str,
    error_message: String,
}

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(Placed { stream, count, refused, places, shards, .. }, caller) = self;
        let mut list = serializer.serialize_seq(Some(*count))?;
        let (mut refused, mut places) = (refused.iter().peekable(), places.iter());
        let mut shards = shards.clone();
        for index in 0..*count {
            if let Some(refused) = refused.next_if(|refused| refused.index == index) {
                let error_code = FailureKind::InvalidArgument.name();
                list.serialize_element(&Failed { error_code, error_message: told(refused) })?;
                continue;
            }
            let nowhere = || serde::ser::Error::custom("a record went to a shard that is not there");
            match places.next().ok_or_else(nowhere)? {
                Place::Taken { shard, numbers } => {
                    let (shard_id, rising) = shards.get_mut(*shard).ok_or_else(nowhere)?;
                    let (shard_id, sequence_number) = (*shard_id, rising.next_printed());
                    rising.skip(numbers.saturating_sub(1));
                    list.serialize_element(&Entry { shard_id, sequence_number })?;
                }
                Place::Throttled(throttled) => {
                    let Failure { kind, message } = rate_exceeded(throttled, stream, caller);
                    list.serialize_element(&Failed { error_code: kind.name(), error_message: message })?;
                }
            }
        }
        list.end()
    }
}
