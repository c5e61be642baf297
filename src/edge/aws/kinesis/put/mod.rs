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
use crate::edge::aws::protocol::failure::Failure;
use crate::edge::aws::protocol::{self, Encoding};
use crate::edge::aws::{Caller, Request};
use crate::edge::body::Paid;
use crate::edge::gate::throttle::charge::{Charge, Held};
use crate::edge::judge::{self, Entry};
use crate::edge::partition::{self, Shards, Shared};
use crate::edge::problem::Problem;
use crate::edge::reply::Body;
use crate::edge::{Edge, Intake};
use crate::runtime::clock;
use crate::runtime::phases::Phase;
use crate::stream::HashKey;
use crate::telemetry::trace::TraceContext;
pub use entries::{Form, Put};
pub use layout::{LaidOut, lay_out};
use reply::Written;
pub use reply::{Place, Placed};

/// PutRecord.
///
/// # Errors
/// Why it is refused.
pub async fn record(edge: &Edge, request: Request<'_>) -> Result<Response<Body>, Failure> {
    let encoding = request.encoding;
    let (placed, caller) = put(edge, request, Form::Record).await?;
    Ok(protocol::reply(encoding, encoding.write(&placed.only(caller.account())?)?))
}

/// PutRecords.
///
/// # Errors
/// Why all of it is refused.
pub async fn records(edge: &Edge, request: Request<'_>) -> Result<Response<Body>, Failure> {
    let encoding = request.encoding;
    let (placed, caller) = put(edge, request, Form::Records).await?;
    Ok(protocol::reply(encoding, placed.all(encoding, caller.account())?))
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

async fn put<'a>(edge: &Edge, request: Request<'a>, form: Form) -> Result<(Placed, Caller<'a>), Failure> {
    let Request { encoding, paid, caller, mut charge, competitor } = request;
    let put = read(encoding, &paid.bytes, form)?;
    put.check(form)?;
    let intake = put.stream.find(edge, &caller)?;
    only_if_wet(put.dry_run)?;
    if edge.phases.current() >= Phase::Draining {
        // The deliveries are closing their files: what came now would not be delivered.
        charge.refund();
        return Err(Problem::Draining.into());
    }
    charge.join(intake.account.clone().map(Held::Account))?;
    // From here on the stream pays. For a moment both forms are there, and both are paid for.
    let permit = edge.admit(&intake.budget, REQUEST_OVERHEAD_BYTES + put.laid_out_bytes(), &competitor);
    let permit = permit.inspect_err(|_| charge.refund())?;
    let LaidOut { block, records, hashes } = lay_out(&put, &paid.bytes)?;
    let paid = Paid { bytes: block.unwrap_or(paid.bytes), permit };
    let how = Appending { throttling: Throttling::EachRecord, trace: caller.trace() };
    let placed = append(&intake, (paid, charge), &records, &hashes, how).await?;
    caller.has_appended(placed.appended());
    Ok((placed, caller))
}

/// What becomes of a request that is beyond the quotas of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throttling {
    /// The records within them are appended.
    EachRecord,
    /// None is.
    AllOrNone,
}

/// How records are appended.
#[derive(Debug, Clone, Copy)]
pub struct Appending<'a> {
    /// What becomes of those beyond the quotas.
    pub throttling: Throttling,
    /// The trace that their request belongs to.
    pub trace: Option<&'a TraceContext>,
}

/// Judges and appends.
///
/// # Errors
/// Why none of it was appended.
pub async fn append(
    intake: &Intake,
    (paid, mut charge): (Paid, Charge),
    records: &[layout::Spans],
    hashes: &[Option<HashKey>],
    Appending { throttling, trace }: Appending<'_>,
) -> Result<Placed, Failure> {
    if let Err(error) = intake.stream.writing().await.check() {
        charge.refund();
        return Err(error.into());
    }
    let hashes = hashes.iter().copied().chain(std::iter::repeat(None));
    let entry = |(&(payload, key), hash_key): (&layout::Spans, _)| Entry { payload, key, hash_key };
    let mut decoded = judge::records(intake, &paid.bytes, records.iter().zip(hashes).map(entry))?;
    let refused = std::mem::take(&mut decoded.refused);
    let stream = &intake.stream;
    if !refused.is_empty() {
        stream.metrics.rejected.increment(refused.len() as u64);
    }
    let count = records.len();
    charge.settle_records(count as u64, decoded.records.len() as u64, paid.bytes.len())?;
    if decoded.records.is_empty() {
        return Ok(Placed::nowhere(stream, count, refused));
    }
    let arrival = clock::wall();
    let (body, permit) = paid.into_shared();
    let shared = Shared { body, permit, arrival };
    let mut places = Vec::with_capacity(decoded.records.len());
    let (receipt, numberings) = {
        let writing = stream.writing().await;
        let layout = writing.layout();
        let each = stream.quotas().filter(|_| throttling == Throttling::EachRecord);
        let shards = Shards { layout, quotas: each.map(|quotas| quotas.writing(layout)) };
        let routed = partition::split(intake.slots, decoded, shared, shards, |place, taken| {
            places
                .push(taken.map_or_else(Place::Throttled, |numbers| Place::Taken { shard: place, numbers }));
        });
        let spent = match throttling {
            Throttling::AllOrNone => stream
                .within_quotas(layout, &routed.batches)
                .inspect_err(|_| charge.refund())
                .map_err(Problem::from)?,
            Throttling::EachRecord => stream.spent_by(&routed.batches),
        };
        let numberings = reply::numberings(layout, &routed.batches);
        let receipt = if routed.batches.is_empty() {
            None
        } else {
            Some(writing.append(routed, None).inspect_err(|_| {
                stream.refund(&spent);
                charge.refund();
            })?)
        };
        (receipt, numberings)
    };
    let mut appended = Vec::new();
    if let Some(receipt) = receipt {
        let is_noted = receipt.appended().map(|appended| stream.note_trace(appended, trace)).is_some();
        appended = receipt.committed().await.inspect_err(|_| charge.refund())?.appended;
        if !is_noted {
            stream.note_trace(&appended, trace);
        }
    }
    let placed =
        Placed::new(stream, count, refused, places, Written { appended: &appended, numberings: &numberings });
    if placed.throttled > 0 {
        stream.count_throttled(placed.throttled as u64);
    }
    Ok(placed)
}

#[cfg(test)]
mod tests;
