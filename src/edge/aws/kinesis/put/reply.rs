//! What became of each record.

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use crate::edge::aws::kinesis::sequence::{Numbering, Printed, Rising};
use crate::edge::aws::kinesis::shapes::{NOT_ENCRYPTED, printed};
use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::edge::judge::Refused;
use crate::record::{Batch, ShardId};
use crate::stream::{Appended, Layout};

/// The records of a request, in order: numbered or refused.
#[derive(Debug)]
pub struct Placed {
    count: usize,
    refused: Vec<Refused>,
    /// For each record that was accepted, its shard's place in `shards`, and how many numbers it takes.
    places: Vec<(usize, usize)>,
    shards: Vec<(ShardId, Rising)>,
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
    pub fn nowhere(count: usize, refused: Vec<Refused>) -> Self {
        Self { count, refused, places: Vec::new(), shards: Vec::new() }
    }

    /// `places` in the layout, as those of `numberings`, which are in the order of `appended`.
    pub fn new(
        count: usize,
        refused: Vec<Refused>,
        mut places: Vec<(usize, usize)>,
        appended: &[(ShardId, Appended)],
        numberings: &[(usize, Numbering)],
    ) -> Self {
        for (place, _) in &mut places {
            // Both are in the order of the layout.
            *place = numberings.partition_point(|(known, _)| known < place);
        }
        let rising = |((id, appended), (_, numbering)): (&(ShardId, Appended), &(usize, Numbering))| {
            (*id, numbering.from(appended.first))
        };
        let shards = appended.iter().zip(numberings).map(rising).collect();
        Self { count, refused, places, shards }
    }

    /// The one record.
    ///
    /// # Errors
    /// `InvalidArgumentException` if it was refused.
    pub fn only(mut self) -> Result<impl Serialize, Failure> {
        if let Some(refused) = self.refused.first() {
            return Err(Failure::invalid(told(refused)));
        }
        let (place, _) = self.places.first().copied().unwrap_or_default();
        let placed = self.shards.get_mut(place).map(|(shard, rising)| One {
            shard_id: *shard,
            sequence_number: rising.next_printed(),
            encryption_type: NOT_ENCRYPTED,
        });
        placed.ok_or_else(|| Failure::new(FailureKind::InternalFailure, "the record went nowhere"))
    }

    /// Those that were refused, by ascending index.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// All records.
    pub fn all(&self) -> impl Serialize {
        All { failed_record_count: self.refused.len(), records: List(self), encryption_type: NOT_ENCRYPTED }
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

struct List<'a>(&'a Placed);

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
        let Placed { count, refused, places, shards } = self.0;
        let mut list = serializer.serialize_seq(Some(*count))?;
        let (mut refused, mut places) = (refused.iter().peekable(), places.iter());
        let mut shards = shards.clone();
        for index in 0..*count {
            if let Some(refused) = refused.next_if(|refused| refused.index == index) {
                let error_code = FailureKind::InvalidArgument.name();
                list.serialize_element(&Failed { error_code, error_message: told(refused) })?;
                continue;
            }
            let (place, count) = places.next().copied().unwrap_or_default();
            let (shard_id, rising) = shards
                .get_mut(place)
                .ok_or_else(|| serde::ser::Error::custom("a record went to a shard that is not there"))?;
            let (shard_id, sequence_number) = (*shard_id, rising.next_printed());
            rising.skip(count.saturating_sub(1));
            list.serialize_element(&Entry { shard_id, sequence_number })?;
        }
        list.end()
    }
}
