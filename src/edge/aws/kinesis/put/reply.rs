//! What became of each record.

use std::io::Write as _;
use std::sync::Arc;

use minicbor::Encoder;
use serde::Serialize;

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
    shards: Vec<(ShardId, Numbers)>,
    /// How many records were beyond the quotas.
    pub throttled: usize,
}

/// The numbers of the records of a shard, one after the other.
#[derive(Debug, Clone)]
struct Numbers {
    rising: Rising,
    /// Where they do not follow each other.
    apart: Option<Box<Apart>>,
}

#[derive(Debug, Clone)]
struct Apart {
    appended: Appended,
    numbering: Numbering,
    next: usize,
}

impl Numbers {
    fn of(appended: &Appended, numbering: Numbering) -> Self {
        let apart = || Box::new(Apart { appended: appended.clone(), numbering, next: 0 });
        Self { rising: numbering.from(appended.first), apart: appended.apart.as_ref().map(|_| apart()) }
    }

    fn next_printed(&mut self) -> Printed {
        let Some(apart) = &mut self.apart else { return self.rising.next_printed() };
        apart.next += 1;
        apart.numbering.print(apart.appended.number(apart.next - 1))
    }

    fn skip(&mut self, numbers: usize) {
        match &mut self.apart {
            None => self.rising.skip(numbers),
            Some(apart) => apart.next += numbers,
        }
    }
}

/// What was appended to each shard.
#[derive(Debug, Clone, Copy, Default)]
pub struct Written<'a> {
    /// In the order of the layout.
    pub appended: &'a [(ShardId, Appended)],
    /// How their numbers are printed, with their places in the layout.
    pub numberings: &'a [ShardNumbering],
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

/// A shard's place in the layout, and how its numbers are printed.
pub type ShardNumbering = (usize, Numbering);

/// Those of the shards that were written to.
pub fn numberings(layout: &Layout, batches: &[(ShardId, Batch)]) -> Vec<ShardNumbering> {
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
            (*id, Numbers::of(appended, *numbering))
        };
        let shards = appended.iter().zip(numberings).map(rising).collect();
        let (stream, encryption_type) = (Arc::clone(stream.name()), encryption_type(stream));
        Self { stream, encryption_type, count, refused, places, shards, throttled }
    }

    /// The one record.
    ///
    /// # Errors
    /// `InvalidArgumentException` if it was refused, `ProvisionedThroughputExceededException` if it was throttled.
    pub fn only(mut self, account: &str) -> Result<impl Serialize, Failure> {
        if let Some(refused) = self.refused.first() {
            return Err(Failure::invalid(told(refused)));
        }
        let place = match self.places.first() {
            Some(Place::Throttled(throttled)) => {
                return Err(rate_exceeded(throttled, &self.stream, account));
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

    /// How many are in the log.
    pub fn appended(&self) -> u64 {
        (self.places.len() - self.throttled) as u64
    }

    /// Those that were refused, by ascending index.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// The answer about all records.
    ///
    /// # Errors
    /// `InternalFailureException`, which no answer brings about.
    pub fn all(&self, encoding: Encoding, account: &str) -> Result<Vec<u8>, Failure> {
        let Placed { stream, encryption_type, count, refused, places, shards, throttled } = self;
        let lost =
            || Failure::new(FailureKind::InternalFailure, "a record went to a shard that is not there");
        let mut shards: Vec<_> = shards
            .iter()
            .map(|(shard, rising)| Ok((Template::of(*shard, encoding)?, rising.clone())))
            .collect::<Result<_, Failure>>()?;
        let entry_bytes = shards.iter().map(|(entry, _)| entry.bytes.len()).max().unwrap_or_default();
        let mut list = List::begin(encoding, refused.len() + throttled, *count, entry_bytes);
        let (mut refused, mut places) = (refused.iter().peekable(), places.iter());
        for index in 0..*count {
            if let Some(refused) = refused.next_if(|refused| refused.index == index) {
                let error_code = FailureKind::InvalidArgument.name();
                let failed = encoding.write(&Failed { error_code, error_message: told(refused) })?;
                list.entry().extend_from_slice(&failed);
                continue;
            }
            match places.next().ok_or_else(lost)? {
                Place::Taken { shard, numbers } => {
                    let (entry, rising) = shards.get_mut(*shard).ok_or_else(lost)?;
                    entry.write(&rising.next_printed(), list.entry());
                    rising.skip(numbers.saturating_sub(1));
                }
                Place::Throttled(throttled) => {
                    let Failure { kind, message } = rate_exceeded(throttled, stream, account);
                    let failed = Failed { error_code: kind.name(), error_message: message };
                    list.entry().extend_from_slice(&encoding.write(&failed)?);
                }
            }
        }
        Ok(list.end(encryption_type))
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

    fn end(mut self, encryption_type: &str) -> Vec<u8> {
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

    fn refused(index: usize) -> Refused {
        Refused { index, code: "json", message: format!("\"no\" {index}") }
    }

    fn place((shard, numbers): (usize, usize)) -> Place {
        match numbers {
            0 => Place::Throttled(Throttled {
                shard: ShardId(5),
                quota: Quota::WriteRecords,
                wait: Duration::ZERO,
            }),
            numbers => Place::Taken { shard, numbers },
        }
    }

    proptest! {
        #[test]
        fn every_record_is_told_its_shard_and_number_or_its_error(
            // Each record: none if it is refused, or its shard's place and how many numbers it takes; none if throttled.
            records in prop::collection::vec(prop::option::of((0..3_usize, 0..4_usize)), 0..40), first in any::<u32>(),
        ) {
            let first = SequenceNumber(first.into());
            let ids = [ShardId(0), ShardId(7), ShardId(4_294_967_295)];
            let numbering = |id| Numbering::new(1_700_000_000, id);
            let placed = Placed {
                count: records.len(),
                refused: (0..records.len()).filter(|&index| records[index].is_none()).map(refused).collect(),
                stream: "s".into(),
                encryption_type: "KMS",
                throttled: records.iter().flatten().filter(|(_, numbers)| *numbers == 0).count(),
                places: records.iter().flatten().map(|record| place(*record)).collect(),
                shards: ids.map(|id| (id, Numbers { rising: numbering(id).from(first), apart: None })).to_vec(),
            };
            let mut next = [first; 3];
            let told = |(index, record): (usize, &Option<(usize, usize)>)| {
                let Some((place, count)) = *record else {
                    let text = format!("json: \"no\" {index}");
                    return json!({"ErrorCode": "InvalidArgumentException", "ErrorMessage": text});
                };
                if count == 0 {
                    let text = "Rate exceeded for shard shardId-000000000005 in stream s under account 0.";
                    return json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": text});
                }
                let number = numbering(ids[place]).print(next[place]);
                next[place].0 += count as u64;
                json!({"ShardId": ids[place].to_string(), "SequenceNumber": number.as_str()})
            };
            let expected = json!({
                "FailedRecordCount": placed.refused.len() + placed.throttled,
                "Records": records.iter().enumerate().map(told).collect::<Vec<_>>(),
                "EncryptionType": "KMS",
            });
            for encoding in [Encoding::Json, Encoding::Cbor] {
                let written = placed.all(encoding, "0").unwrap();
                let read: Value = encoding.read(&written).unwrap();
                prop_assert_eq!(&read, &expected);
                prop_assert_eq!(&written, &encoding.write(&expected).unwrap());
            }
        }
    }
}
