//! PutRecord and PutRecords.
//!
//! ```text
//! body ─▶ members found (JSON: one scan; CBOR: slices) ─▶ checked ─▶ stream ─▶ records laid out in one block
//!      ─▶ judged as on the native route ─▶ split by shard ─▶ appended ─▶ a number or an error for each
//! ```

mod cbor;
mod entries;
mod json;
mod layout;
mod reply;

use http::Response;

use super::position::only_if_wet;
use crate::config::limits::REQUEST_OVERHEAD_BYTES;
use crate::edge::aws::Request;
use crate::edge::aws::protocol::failure::Failure;
use crate::edge::aws::protocol::{self, Encoding};
use crate::edge::body::Paid;
use crate::edge::decode::{self, Decoded, Refused};
use crate::edge::partition::{self, Shared};
use crate::edge::problem::Problem;
use crate::edge::reply::Body;
use crate::edge::{Edge, Intake};
use crate::record::{RecordSpans, Source};
use crate::runtime::clock;
use crate::runtime::phases::Phase;
use crate::stream::{HashKey, Layout, Receipt};
pub use entries::{Form, Put};
pub use layout::{LaidOut, lay_out};
pub use reply::Placed;

/// PutRecord.
///
/// # Errors
/// Why it is refused.
pub async fn record(edge: &Edge, request: Request) -> Result<Response<Body>, Failure> {
    let encoding = request.encoding;
    let placed = put(edge, request, Form::Record).await?;
    Ok(protocol::reply(encoding, encoding.write(&placed.only()?)?))
}

/// PutRecords.
///
/// # Errors
/// Why all of it is refused.
pub async fn records(edge: &Edge, request: Request) -> Result<Response<Body>, Failure> {
    let encoding = request.encoding;
    let placed = put(edge, request, Form::Records).await?;
    Ok(protocol::reply(encoding, encoding.write(&placed.all())?))
}

/// Finds the members of a body.
///
/// # Errors
/// `SerializationException`.
pub fn read(encoding: Encoding, body: &[u8], form: Form) -> Result<Put<'_>, Failure> {
    match encoding {
        Encoding::Json => json::read(body, form),
        Encoding::Cbor => cbor::read(body, form),
    }
}

async fn put(edge: &Edge, request: Request, form: Form) -> Result<Placed, Failure> {
    let Request { encoding, paid, caller } = request;
    let put = read(encoding, &paid.bytes, form)?;
    put.check(form)?;
    let intake = put.stream.find(edge, &caller)?;
    only_if_wet(put.dry_run)?;
    if edge.phases.current() >= Phase::Draining {
        // The deliveries are closing their files: what came now would not be delivered.
        return Err(Problem::Draining.into());
    }
    // From here on the stream pays. For a moment both forms are there, and both are paid for.
    let permit = edge.admit(&intake.budget, REQUEST_OVERHEAD_BYTES + put.laid_out_bytes())?;
    let LaidOut { block, records, hashes } = lay_out(&put, &paid.bytes)?;
    let paid = Paid { bytes: block.unwrap_or(paid.bytes), permit };
    append(&intake, paid, &records, &hashes).await
}

/// Judges and appends.
///
/// # Errors
/// Why none of it was appended.
pub async fn append(
    intake: &Intake,
    paid: Paid,
    records: &[layout::Spans],
    hashes: &[Option<HashKey>],
) -> Result<Placed, Failure> {
    let mut decoded = decode::judge(intake, &paid.bytes, records)?;
    let refused = std::mem::take(&mut decoded.refused);
    let stream = &intake.stream;
    if !refused.is_empty() {
        stream.metrics.rejected.increment(refused.len() as u64);
    }
    let count = records.len();
    if decoded.records.is_empty() {
        return Ok(Placed::nowhere(count, refused));
    }
    let arrival = clock::wall();
    let (body, permit) = paid.into_shared();
    let shared = Shared { body, permit, arrival };
    let mut places = Vec::with_capacity(decoded.records.len());
    let (receipt, numberings) = {
        let writing = stream.writing().await;
        let layout = writing.layout();
        let hashes = Hashes { given: hashes, refused: &refused, next: 0 };
        let batches = split(intake.slots, decoded, shared, (layout, hashes), &mut places);
        let numberings = reply::numberings(layout, &batches);
        (writing.append(batches, None)?, numberings)
    };
    let Receipt { appended, commit, .. } = receipt;
    commit.await?;
    Ok(Placed::new(count, refused, places, &appended, &numberings))
}

/// The hashes that the request gives to some of its records.
struct Hashes<'a> {
    /// One for each record, or none at all.
    given: &'a [Option<HashKey>],
    /// In order.
    refused: &'a [Refused],
    /// The record of the request that comes next.
    next: usize,
}

impl Hashes<'_> {
    /// That of the next record that was accepted.
    fn of_next_accepted(&mut self) -> Option<HashKey> {
        while let [first, rest @ ..] = self.refused
            && first.index == self.next
        {
            self.refused = rest;
            self.next += 1;
        }
        let hash = self.given.get(self.next).copied().flatten();
        self.next += 1;
        hash
    }
}

/// Splits by the given hash, or else that of the key; notes the place of each record, unless there is one shard.
fn split(
    width: usize,
    decoded: Decoded,
    shared: Shared,
    (layout, mut hashes): (&Layout, Hashes<'_>),
    places: &mut Vec<usize>,
) -> Vec<(crate::record::ShardId, crate::record::Batch)> {
    let place_of = |_: usize, record: &RecordSpans, source: &Source| {
        let hash = hashes.of_next_accepted().unwrap_or_else(|| HashKey::of(source.bytes(record.key)));
        let place = layout.open_index_of(hash);
        places.push(place);
        place
    };
    partition::split(width, decoded, shared, layout, place_of)
}

#[cfg(test)]
mod tests;
