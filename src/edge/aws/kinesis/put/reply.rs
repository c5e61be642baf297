//! What became of each record.

use std::io::Write as _;

use minicbor::Encoder;
use serde::Serialize;

use crate::edge::aws::kinesis::sequence::{Numbering, Printed, Rising};
use crate::edge::aws::kinesis::shapes::{NOT_ENCRYPTED, printed};
use crate::edge::aws::protocol::Encoding;
use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::edge::judge::Refused;
use crate::record::{Batch, ShardId};
use crate::stream::{Appended, Layout};

/// Bytes of an answer about several records beside what stands there for each: names, counts and brackets.
const ANSWER_BYTES: usize = 128;

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

    /// The answer about all records.
    ///
    /// # Errors
    /// `InternalFailureException`, which no answer brings about.
    pub fn all(&self, encoding: Encoding) -> Result<Vec<u8>, Failure> {
        let Placed { count, refused, places, shards } = self;
        let lost =
            || Failure::new(FailureKind::InternalFailure, "a record went to a shard that is not there");
        let mut shards: Vec<_> = shards
            .iter()
            .map(|(shard, rising)| Ok((Template::of(*shard, encoding)?, *rising)))
            .collect::<Result<_, Failure>>()?;
        let entry_bytes = shards.iter().map(|(entry, _)| entry.bytes.len()).max().unwrap_or_default();
        let mut list = List::begin(encoding, refused.len(), *count, entry_bytes);
        let (mut refused, mut places) = (refused.iter().peekable(), places.iter());
        for index in 0..*count {
            if let Some(refused) = refused.next_if(|refused| refused.index == index) {
                let error_code = FailureKind::InvalidArgument.name();
                let failed = encoding.write(&Failed { error_code, error_message: told(refused) })?;
                list.entry().extend_from_slice(&failed);
                continue;
            }
            let (place, count) = places.next().copied().unwrap_or_default();
            let (entry, rising) = shards.get_mut(place).ok_or_else(lost)?;
            entry.write(&rising.next_printed(), list.entry());
            rising.skip(count.saturating_sub(1));
        }
        Ok(list.end())
    }
}

/// What stands in the list for a record of a shard, with a number that is another one for each: written once for all of
/// them.
struct Template {
    bytes: Vec<u8>,
    /// Where the number stands.
    number: usize,
}

impl Template {
    fn of(shard_id: ShardId, encoding: Encoding) -> Result<Self, Failure> {
        let sequence_number = Printed::ZERO;
        let bytes = encoding.write(&Entry { shard_id, sequence_number })?;
        let number = memchr::memmem::find(&bytes, sequence_number.as_str().as_bytes());
        let number =
            number.ok_or_else(|| Failure::new(FailureKind::InternalFailure, "a number was written amiss"))?;
        Ok(Self { bytes, number })
    }

    fn write(&self, number: &Printed, to: &mut Vec<u8>) {
        let digits = number.as_str().as_bytes();
        let (before, rest) = self.bytes.split_at(self.number);
        to.extend_from_slice(before);
        to.extend_from_slice(digits);
        to.extend_from_slice(&rest[digits.len()..]);
    }
}

/// The answer as far as it is written.
struct List {
    encoding: Encoding,
    bytes: Vec<u8>,
    is_empty: bool,
}

impl List {
    const FAILED: &str = "FailedRecordCount";
    const RECORDS: &str = "Records";
    const ENCRYPTION: &str = "EncryptionType";

    /// For `count` entries of about `entry_bytes`.
    fn begin(encoding: Encoding, failed: usize, count: usize, entry_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(ANSWER_BYTES + count * (entry_bytes + 1));
        match encoding {
            Encoding::Json => {
                // Writing to a vector cannot fail.
                let _ = write!(bytes, "{{\"{}\":{failed},\"{}\":[", Self::FAILED, Self::RECORDS);
            }
            Encoding::Cbor => {
                let mut encoder = Encoder::new(&mut bytes);
                let _ =
                    encoder.map(3).and_then(|it| it.str(Self::FAILED)).and_then(|it| it.u64(failed as u64));
                let _ = encoder.str(Self::RECORDS).and_then(|it| it.array(count as u64));
            }
        }
        Self { encoding, bytes, is_empty: true }
    }

    /// Where the next entry is to be written.
    fn entry(&mut self) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_empty) && self.encoding == Encoding::Json {
            self.bytes.push(b',');
        }
        &mut self.bytes
    }

    fn end(mut self) -> Vec<u8> {
        match self.encoding {
            Encoding::Json => {
                let _ = write!(self.bytes, "],\"{}\":\"{NOT_ENCRYPTED}\"}}", Self::ENCRYPTION);
            }
            Encoding::Cbor => {
                let mut encoder = Encoder::new(&mut self.bytes);
                let _ = encoder.str(Self::ENCRYPTION).and_then(|it| it.str(NOT_ENCRYPTED));
            }
        }
        self.bytes
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::record::SequenceNumber;

    fn refused(index: usize) -> Refused {
        Refused { index, code: "json", message: format!("\"no\" {index}") }
    }

    proptest! {
        #[test]
        fn every_record_is_told_its_shard_and_number_or_its_error(
            // Each record: none if it is refused, or its shard's place and how many numbers it takes.
            records in prop::collection::vec(prop::option::of((0..3_usize, 1..4_usize)), 0..40), first in any::<u32>(),
        ) {
            let first = SequenceNumber(first.into());
            let ids = [ShardId(0), ShardId(7), ShardId(4_294_967_295)];
            let numbering = |id| Numbering::new(1_700_000_000, id);
            let placed = Placed {
                count: records.len(),
                refused: (0..records.len()).filter(|&index| records[index].is_none()).map(refused).collect(),
                places: records.iter().flatten().copied().collect(),
                shards: ids.map(|id| (id, numbering(id).from(first))).to_vec(),
            };
            let mut next = [first; 3];
            let told = |(index, record): (usize, &Option<(usize, usize)>)| {
                let Some((place, count)) = *record else {
                    let text = format!("json: \"no\" {index}");
                    return json!({"ErrorCode": "InvalidArgumentException", "ErrorMessage": text});
                };
                let number = numbering(ids[place]).print(next[place]);
                next[place].0 += count as u64;
                json!({"ShardId": ids[place].to_string(), "SequenceNumber": number.as_str()})
            };
            let expected = json!({
                "FailedRecordCount": placed.refused.len(),
                "Records": records.iter().enumerate().map(told).collect::<Vec<_>>(),
                "EncryptionType": "NONE",
            });
            for encoding in [Encoding::Json, Encoding::Cbor] {
                let written = placed.all(encoding).unwrap();
                let read: Value = encoding.read(&written).unwrap();
                prop_assert_eq!(&read, &expected);
                prop_assert_eq!(&written, &encoding.write(&expected).unwrap());
            }
        }
    }
}
