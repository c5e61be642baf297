//! What became of each record.

use std::io::Write as _;
use std::sync::Arc;

use minicbor::Encoder;
use serde::Serialize;

use crate::edge::aws::Caller;
use crate::edge::aws::kinesis::sequence::{Numbering, Printed, Rising};
use crate::edge::aws::kinesis::shapes::{encryption_type, printed, rate_exceeded};
use crate::edge::aws::protocol::Encoding;
use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::edge::judge::Refused;
use crate::record::{Batch, ShardId};
use crate::stream::quotas::Throttled;
use crate::stream::{Appended, Layout, Stream};

/// Bytes of an answer about several records beside what stands there for each: names, counts and brackets.
const ANSWER_BYTES: usize = 128;

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
        Self::new(stream, count, refused, Vec::new(), (&[], &[]))
    }

    /// `places` in the layout, as those of `numberings`, which are in the order of `appended`.
    pub fn new(
        stream: &Stream,
        count: usize,
        refused: Vec<Refused>,
        mut places: Vec<Place>,
        (appended, numberings): (&[(ShardId, Appended)], &[(usize, Numbering)]),
    ) -> Self {
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

    /// The answer about all records.
    ///
    /// # Errors
    /// `InternalFailureException`, which no answer brings about.
    pub fn all(&self, encoding: Encoding, caller: &Caller) -> Result<Vec<u8>, Failure> {
        self.written(encoding, |throttled| rate_exceeded(throttled, &self.stream, caller))
    }

    fn written(
        &self,
        encoding: Encoding,
        slower: impl Fn(&Throttled) -> Failure,
    ) -> Result<Vec<u8>, Failure> {
        let nowhere =
            || Failure::new(FailureKind::InternalFailure, "a record went to a shard that is not there");
        let templates = self.shards.iter().map(|(id, rising)| Ok((Template::of(*id, encoding)?, *rising)));
        let mut shards = templates.collect::<Result<Vec<_>, Failure>>()?;
        let mut list = List::begin(self, encoding, shards.first().map_or(0, |(entry, _)| entry.bytes.len()));
        let (mut refused, mut places) = (self.refused.iter().peekable(), self.places.iter());
        for index in 0..self.count {
            let to = list.entry();
            if let Some(refused) = refused.next_if(|refused| refused.index == index) {
                let error_code = FailureKind::InvalidArgument.name();
                to.extend(encoding.write(&Failed { error_code, error_message: told(refused) })?);
                continue;
            }
            match places.next().ok_or_else(nowhere)? {
                Place::Taken { shard, numbers } => {
                    let (entry, rising) = shards.get_mut(*shard).ok_or_else(nowhere)?;
                    entry.write(&rising.next_printed(), to);
                    rising.skip(numbers.saturating_sub(1));
                }
                Place::Throttled(throttled) => {
                    let Failure { kind, message } = slower(throttled);
                    to.extend(encoding.write(&Failed { error_code: kind.name(), error_message: message })?);
                }
            }
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
struct List<'a> {
    placed: &'a Placed,
    encoding: Encoding,
    bytes: Vec<u8>,
    is_empty: bool,
}

impl<'a> List<'a> {
    const FAILED: &'static str = "FailedRecordCount";
    const RECORDS: &'static str = "Records";
    const ENCRYPTION: &'static str = "EncryptionType";

    /// For entries of about `entry_bytes`.
    fn begin(placed: &'a Placed, encoding: Encoding, entry_bytes: usize) -> Self {
        let (failed, count) = (placed.refused.len() + placed.throttled, placed.count);
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
        Self { placed, encoding, bytes, is_empty: true }
    }

    /// Where the next entry is to be written.
    fn entry(&mut self) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_empty) && self.encoding == Encoding::Json {
            self.bytes.push(b',');
        }
        &mut self.bytes
    }

    fn end(mut self) -> Vec<u8> {
        let encryption_type = self.placed.encryption_type;
        match self.encoding {
            Encoding::Json => {
                let _ = write!(self.bytes, "],\"{}\":\"{encryption_type}\"}}", Self::ENCRYPTION);
            }
            Encoding::Cbor => {
                let mut encoder = Encoder::new(&mut self.bytes);
                let _ = encoder.str(Self::ENCRYPTION).and_then(|it| it.str(encryption_type));
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
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::record::SequenceNumber;
    use crate::stream::quotas::Quota;

    const SHARDS: [ShardId; 3] = [ShardId(0), ShardId(7), ShardId(u32::MAX)];

    /// What became of a record.
    #[derive(Debug, Clone, Copy)]
    enum Fate {
        Refused,
        Throttled,
        /// It is in the shard of this place, and takes so many numbers.
        Taken(usize, usize),
    }

    fn fate() -> impl Strategy<Value = Fate> {
        let taken = (0..SHARDS.len(), 1..4_usize).prop_map(|(shard, numbers)| Fate::Taken(shard, numbers));
        prop_oneof![1 => Just(Fate::Refused), 1 => Just(Fate::Throttled), 8 => taken]
    }

    fn numbering(shard: usize) -> Numbering {
        Numbering::new(1_700_000_000, SHARDS[shard])
    }

    fn place(fate: Fate) -> Option<Place> {
        match fate {
            Fate::Refused => None,
            Fate::Throttled => {
                let (quota, wait) = (Quota::WriteRecords, Duration::ZERO);
                Some(Place::Throttled(Throttled { shard: SHARDS[1], quota, wait }))
            }
            Fate::Taken(shard, numbers) => Some(Place::Taken { shard, numbers }),
        }
    }

    fn placed(fates: &[Fate], first: SequenceNumber) -> Placed {
        let refused = |index| Refused { index, code: "json", message: format!("\"no\" {index}") };
        let is_refused = |index: &usize| matches!(fates[*index], Fate::Refused);
        Placed {
            stream: "s".into(),
            encryption_type: "KMS",
            count: fates.len(),
            refused: (0..fates.len()).filter(is_refused).map(refused).collect(),
            places: fates.iter().filter_map(|fate| place(*fate)).collect(),
            shards: (0..SHARDS.len()).map(|shard| (SHARDS[shard], numbering(shard).from(first))).collect(),
            throttled: fates.iter().filter(|fate| matches!(fate, Fate::Throttled)).count(),
        }
    }

    proptest! {
        #[test]
        fn every_record_is_told_its_shard_and_number_or_its_error(
            fates in prop::collection::vec(fate(), 0..40), first in any::<u32>(),
        ) {
            let first = SequenceNumber(first.into());
            let mut next = [first; SHARDS.len()];
            let told = |(index, fate): (usize, &Fate)| match *fate {
                Fate::Refused => json!({
                    "ErrorCode": "InvalidArgumentException",
                    "ErrorMessage": format!("json: \"no\" {index}"),
                }),
                Fate::Throttled => {
                    json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slower"})
                }
                Fate::Taken(shard, numbers) => {
                    let number = numbering(shard).print(next[shard]);
                    next[shard].0 += numbers as u64;
                    json!({"ShardId": SHARDS[shard].to_string(), "SequenceNumber": number.as_str()})
                }
            };
            let records: Vec<_> = fates.iter().enumerate().map(told).collect();
            let failed = fates.iter().filter(|fate| !matches!(fate, Fate::Taken(..))).count();
            let expected = json!({"FailedRecordCount": failed, "Records": records, "EncryptionType": "KMS"});
            let slower = |_: &Throttled| Failure::new(FailureKind::ThroughputExceeded, "slower");
            for encoding in [Encoding::Json, Encoding::Cbor] {
                let written = placed(&fates, first).written(encoding, slower).unwrap();
                prop_assert_eq!(&encoding.read::<Value>(&written).unwrap(), &expected);
                // The same members in the same order: byte for byte what serde would write.
                prop_assert_eq!(&written, &encoding.write(&expected).unwrap());
            }
        }
    }
}
