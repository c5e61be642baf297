//! PutRecord and PutRecordBatch.
//!
//! A name is that of a delivery stream, or else of a pipeline with deliveries: its stream takes the records then. A record of a client
//! may be several (`RecordDeAggregation`); if one of them is refused, all of the client's record is told to be.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::apart::take_apart;
use super::processing::DeAggregation;
use super::registry::Pass;
use super::validation::Constraints;
use super::{not_found, pipeline};
use crate::config::checked::PartitionKeySource;
use crate::config::limits::{REQUEST_OVERHEAD_BYTES, REQUEST_RECORDS_MAX};
use crate::edge::aws::kinesis::put::{Appending, Throttling, append};
use crate::edge::aws::protocol::blobs::decode_base64;
use crate::edge::aws::protocol::failure::{Failure, FailureKind};
use crate::edge::aws::{Caller, Request};
use crate::edge::body::Paid;
use crate::edge::gate::throttle::charge::{Charge, Held};
use crate::edge::problem::Problem;
use crate::edge::reply::Body;
use crate::edge::{Edge, Intake};
use crate::record::Span;
use crate::runtime::phases::Phase;
use crate::stream::HashKey;

/// Bytes of one record: 1,000 KiB, as the service has it.
const RECORD_BYTES_MAX: usize = 1_000 << 10;
/// Records of a request.
const RECORDS_MAX: usize = 500;
/// Bytes of all records of a request.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Constraints that are told of one request; the rest is noise.
const TOLD_MAX: usize = 10;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input<'a> {
    delivery_stream_name: Option<String>,
    #[serde(borrow)]
    record: Option<Record<'a>>,
    #[serde(borrow)]
    records: Option<Vec<Record<'a>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record<'a> {
    #[serde(borrow)]
    data: Option<Cow<'a, str>>,
}

/// The records of a request in one block.
struct Block {
    bytes: Vec<u8>,
    /// Each record that is appended.
    payloads: Vec<Range<usize>>,
    /// How many of these each record of the client is.
    parts: Vec<usize>,
}

/// PutRecord.
///
/// # Errors
/// Why it is refused.
pub async fn record(edge: &Edge, mut request: Request<'_>) -> Result<Response<Body>, Failure> {
    let mut results = put(edge, &mut request, false).await?;
    match results.pop() {
        Some(None) => request.reply(&json!({ "RecordId": record_id(), "Encrypted": false })),
        Some(Some(why)) => Err(Failure::invalid(why)),
        None => Err(Failure::new(FailureKind::InternalFailure, "the record went nowhere")),
    }
}

/// PutRecordBatch.
///
/// # Errors
/// Why all of it is refused.
pub async fn batch(edge: &Edge, mut request: Request<'_>) -> Result<Response<Body>, Failure> {
    let results = put(edge, &mut request, true).await?;
    let failed = results.iter().filter(|result| result.is_some()).count();
    let responses: Vec<Value> = results
        .into_iter()
        .map(|result| match result {
            None => json!({ "RecordId": record_id() }),
            Some(why) => json!({ "ErrorCode": FailureKind::InvalidArgument.name(), "ErrorMessage": why }),
        })
        .collect();
    request.reply(&json!({ "FailedPutCount": failed, "Encrypted": false, "RequestResponses": responses }))
}

/// For each record of the client why it was refused, if it was.
async fn put(edge: &Edge, request: &mut Request<'_>, is_batch: bool) -> Result<Vec<Option<String>>, Failure> {
    let mut charge = std::mem::replace(&mut request.charge, Charge::free());
    let input: Input<'_> = request.members()?;
    let records = match is_batch {
        true => input.records,
        false => input.record.map(|record| vec![record]),
    };
    let paths = |index: usize| match is_batch {
        true => format!("records.{}.member.data", index + 1),
        false => "record.data".to_owned(),
    };
    let mut constraints = Constraints::new();
    constraints.name("deliveryStreamName", input.delivery_stream_name.as_ref());
    constraints.required(if is_batch { "records" } else { "record" }, records.as_ref());
    constraints.count("records", records.as_ref().map(Vec::len), 1, RECORDS_MAX);
    constraints.checked()?;
    let (name, records) = (input.delivery_stream_name.unwrap_or_default(), records.unwrap_or_default());
    let Found { intake, how, pass: _pass } = find(edge, &name, &request.caller).await?;
    if edge.phases.current() >= Phase::Draining {
        // The deliveries are closing their files: what came now would not be delivered.
        charge.refund();
        return Err(Problem::Draining.into());
    }
    charge.join(intake.account.clone().map(Held::Account)).map_err(in_own_words)?;
    let bytes_max: usize =
        records.iter().filter_map(|record| record.data.as_ref()).map(|data| data.len()).sum();
    // From here on the stream pays. For a moment both forms are there, and both are paid for.
    let permit = edge.admit(&intake.budget, REQUEST_OVERHEAD_BYTES + bytes_max as u64, &request.competitor);
    let permit = permit.inspect_err(|_| charge.refund())?;
    let Block { bytes, payloads, parts } = decoded(&records, how.as_ref(), paths)?;
    let spans: Vec<_> = payloads.iter().map(|at| (Span::new(at.start, at.end), Span::ABSENT)).collect();
    let hashes: Vec<_> = match intake.ingest.partition_key {
        // The key is found in the record.
        PartitionKeySource::Pointer(_) => Vec::new(),
        _ => spans.iter().map(|_| Some(HashKey(fastrand::u128(..)))).collect(),
    };
    let paid = Paid { bytes, permit };
    let how = Appending { throttling: Throttling::AllOrNone, trace: request.caller.trace() };
    let placed = append(&intake, (paid, charge), &spans, &hashes, how).await;
    let placed = placed.map_err(in_own_words)?;
    request.caller.has_appended(placed.appended());
    let mut results = vec![None; parts.len()];
    for refused in placed.refused() {
        let mut before = refused.index;
        // The record of the client that this is a part of.
        let whole = parts.iter().position(|&count| match before < count {
            true => true,
            false => {
                before -= count;
                false
            }
        });
        if let Some(result) = whole.and_then(|whole| results.get_mut(whole)) {
            *result = Some(format!("{}: {}", refused.code, refused.message));
        }
    }
    Ok(results)
}

/// What the service calls it.
fn in_own_words(failure: impl Into<Failure>) -> Failure {
    let failure = failure.into();
    match failure.kind {
        FailureKind::ThroughputExceeded => Failure::new(FailureKind::ServiceUnavailable, "Slow down."),
        _ => failure,
    }
}

/// Where the records of a name go.
struct Found {
    intake: Arc<Intake>,
    /// How a record of the client is taken for several.
    how: Option<DeAggregation>,
    /// Held until the client's answer is made: a deletion waits for it.
    pass: Option<Pass>,
}

async fn find(edge: &Edge, name: &str, caller: &Caller<'_>) -> Result<Found, Failure> {
    edge.control()?;
    caller.authorize_delivery_stream(name)?;
    let missing = || not_found(name, caller.account());
    let entry = edge.aws.delivery_streams.get().and_then(|streams| streams.get(name));
    let Some(entry) = entry else {
        let found = |intake| Found { intake, how: None, pass: None };
        return pipeline(edge, name).map(found).ok_or_else(missing);
    };
    if entry.delivery_stream.is_deleting {
        return Err(missing());
    }
    if entry.delivery_stream.source.is_some() {
        let text = "Records cannot be put to a delivery stream whose source is a Kinesis stream";
        return Err(Failure::new(FailureKind::InvalidSource, text));
    }
    let pass = entry.door.enter().await.ok_or_else(missing)?;
    // Clients know it by the name of the delivery stream alone.
    let intake = edge.any_intake(&entry.stream_of_puts()).map_err(|_| missing())?;
    Ok(Found { intake, how: entry.de_aggregation.clone(), pass: Some(pass) })
}

/// Decodes the records into one block, and takes them apart.
fn decoded(
    records: &[Record<'_>],
    how: Option<&DeAggregation>,
    paths: impl Fn(usize) -> String,
) -> Result<Block, Failure> {
    let mut block = Block { bytes: Vec::new(), payloads: Vec::new(), parts: Vec::new() };
    let mut constraints = Constraints::new();
    let mut told = 0;
    for (index, record) in records.iter().enumerate() {
        let start = block.bytes.len();
        let Some(data) = &record.data else {
            constraints.required::<()>(&paths(index), None);
            continue;
        };
        decode_base64(data, &mut block.bytes).map_err(|error| {
            Failure::new(FailureKind::Serialization, format!("Data is no Base64: {error}"))
        })?;
        let end = block.bytes.len();
        if end - start > RECORD_BYTES_MAX && told < TOLD_MAX {
            told += 1;
            let shown = format!("java.nio.HeapByteBuffer[pos=0 lim={0} cap={0}]", end - start);
            let constraint = format!("Member must have length less than or equal to {RECORD_BYTES_MAX}");
            constraints.add(&paths(index), shown, constraint);
        }
        let before = block.payloads.len();
        match how {
            None => block.payloads.push(start..end),
            Some(how) => {
                let parts = take_apart(block.bytes.get(start..end).unwrap_or_default(), how);
                block.payloads.extend(parts.into_iter().map(|at| start + at.start..start + at.end));
            }
        }
        block.parts.push(block.payloads.len() - before);
    }
    constraints.checked()?;
    if block.bytes.len() > BATCH_BYTES_MAX {
        return Err(Failure::invalid("Records size exceeds 4 MB limit"));
    }
    if block.payloads.len() > REQUEST_RECORDS_MAX {
        return Err(Failure::invalid(format!(
            "Records are more than {REQUEST_RECORDS_MAX} when they are taken apart"
        )));
    }
    Ok(block)
}

/// What the service calls a record that it has taken: nobody can do anything with it.
fn record_id() -> String {
    STANDARD.encode([fastrand::u128(..).to_be_bytes(), fastrand::u128(..).to_be_bytes()].concat())
}
