//! `GET /v1/streams/{stream}/records`: a page of records, with a long poll.
//!
//! | parameter | meaning |
//! | --- | --- |
//! | `from` | `earliest`, `latest` (the default), an RFC 3339 time, or a sequence number together with `shard` |
//! | `after` | the `next` of the last page; overrules `from` |
//! | `shard` | only this shard |
//! | `limit` | records of a page |
//! | `wait` | how long to wait for a record if there is none: seconds, at most [`TAP_WAIT_SECONDS_MAX`] |

use std::io::Write;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use http::{Response, StatusCode, request};

use super::cursor::Cursor;
use crate::config::limits::{TAP_BYTES_MAX, TAP_RECORDS_DEFAULT, TAP_RECORDS_MAX, TAP_WAIT_SECONDS_MAX};
use crate::edge::problem::Problem;
use crate::edge::reply::{self, Body};
use crate::edge::{Edge, Intake};
use crate::record::{Batch, RecordSpans, SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;
use crate::runtime::phases::Phase;
use crate::stream::{ShardLog, Slice, Stream};

/// What a client asks for.
#[derive(Debug)]
struct Query {
    cursor: Cursor,
    limit: usize,
    wait: Duration,
}

/// Where a reader without a cursor begins.
#[derive(Debug, Clone, Copy)]
enum Start {
    Earliest,
    Latest,
    At(SequenceNumber),
    Time(UnixMicros),
}

/// Records found, as text, and where to read on.
struct Page {
    json: Vec<u8>,
    records: usize,
    bytes: u64,
    skipped: u64,
    next: Cursor,
}

/// Answers one page. Waits for the first record if the client asked for that.
pub async fn get(edge: &Edge, intake: &Intake, head: &request::Parts) -> Result<Response<Body>, Problem> {
    let stream = &intake.stream;
    let query = parse(stream, head.uri.query().unwrap_or_default())?;
    let mut page = read(stream, &query.cursor, query.limit);
    if page.records == 0 && !query.wait.is_zero() {
        page = wait(edge, stream, &query, page).await;
    }
    Ok(page.into_response())
}

/// Registers, looks, and sleeps, until there is a record or the time is over.
async fn wait(edge: &Edge, stream: &Stream, query: &Query, mut page: Page) -> Page {
    let deadline = tokio::time::sleep(query.wait);
    tokio::pin!(deadline);
    while page.records == 0 {
        let waiter = stream.taps.wait();
        // Records may be there that taps do not show (dead letters), so reading goes on behind them.
        page = read(stream, &page.next, query.limit);
        if page.records > 0 {
            break;
        }
        tokio::select! {
            () = waiter.woken() => {}
            () = &mut deadline => break,
            // A poll must not hold up a shutdown.
            () = edge.phases.reached(Phase::StoppingEdge) => break,
        }
    }
    page
}

fn parse(stream: &Stream, query: &str) -> Result<Query, Problem> {
    let (mut from, mut after, mut shard, mut limit, mut wait) = (None, None, None, None, None);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "from" => from = Some(value),
            "after" => after = Some(value),
            "shard" => shard = Some(value),
            "limit" => limit = Some(value),
            "wait" => wait = Some(value),
            _ => {
                let detail = format!("'{name}' is none: there are from, after, shard, limit and wait");
                return Err(Problem::BadParameter { name: "query parameter", detail });
            }
        }
    }
    let shards: Vec<_> = match shard.as_deref() {
        None => stream.shard_ids().collect(),
        Some(text) => {
            let known = ShardId::parse(text).filter(|&id| stream.shard(id).is_some());
            vec![known.ok_or_else(|| Problem::UnknownShard(text.to_owned()))?]
        }
    };
    let cursor = match after.as_deref() {
        Some(text) => resume(&shards, text)?,
        None => start(stream, &shards, from.as_deref().unwrap_or("latest"))?,
    };
    let limit = match limit.as_deref() {
        None => TAP_RECORDS_DEFAULT,
        Some(text) => bounded(text, TAP_RECORDS_MAX as u64).filter(|&limit| limit > 0).ok_or_else(|| {
            Problem::BadParameter { name: "limit", detail: format!("a number from 1 to {TAP_RECORDS_MAX}") }
        })? as usize,
    };
    let wait = match wait.as_deref() {
        None => 0,
        Some(text) => {
            bounded(text.strip_suffix('s').unwrap_or(text), TAP_WAIT_SECONDS_MAX).ok_or_else(|| {
                Problem::BadParameter {
                    name: "wait",
                    detail: format!("seconds from 0 to {TAP_WAIT_SECONDS_MAX}"),
                }
            })?
        }
    };
    Ok(Query { cursor, limit, wait: Duration::from_secs(wait) })
}

fn bounded(text: &str, max: u64) -> Option<u64> {
    text.parse().ok().filter(|&number| number <= max)
}

fn resume(shards: &[ShardId], text: &str) -> Result<Cursor, Problem> {
    let bad = || Problem::BadParameter {
        name: "after",
        detail: "not a cursor: hand back 'next' as it was".to_owned(),
    };
    let cursor = Cursor::parse(text).ok_or_else(bad)?;
    let positions = shards.iter().map(|&shard| Some((shard, cursor.position(shard)?))).collect::<Option<_>>();
    Ok(Cursor { positions: positions.ok_or_else(bad)? })
}

fn start(stream: &Stream, shards: &[ShardId], from: &str) -> Result<Cursor, Problem> {
    let start = match (from, from.parse::<u64>()) {
        ("earliest", _) => Start::Earliest,
        ("latest", _) => Start::Latest,
        (_, Ok(number)) if shards.len() == 1 => Start::At(SequenceNumber(number)),
        (text, _) => match DateTime::parse_from_rfc3339(text) {
            Ok(time) => Start::Time(UnixMicros(time.timestamp_micros())),
            Err(_) => {
                let detail =
                    "earliest, latest, an RFC 3339 time, or with 'shard' (or one shard) a sequence number"
                        .to_owned();
                return Err(Problem::BadParameter { name: "from", detail });
            }
        },
    };
    let at = |log: &dyn ShardLog| match start {
        Start::Earliest => log.bounds().first,
        Start::Latest => log.bounds().next,
        Start::At(number) => number,
        Start::Time(time) => log.position_at(time),
    };
    let positions = shards.iter().filter_map(|&id| Some((id, at(stream.shard(id)?)))).collect();
    Ok(Cursor { positions })
}

/// Fills a page from all shards in turn, oldest first within each.
fn read(stream: &Stream, cursor: &Cursor, limit: usize) -> Page {
    let mut page = Page { json: Vec::new(), records: 0, bytes: 0, skipped: 0, next: Cursor::default() };
    for &(id, from) in &cursor.positions {
        let Some(log) = stream.shard(id) else { continue };
        let mut position = from;
        if page.records < limit && page.bytes < TAP_BYTES_MAX {
            let read = log.read(from, TAP_BYTES_MAX - page.bytes);
            page.skipped += read.skipped;
            position = read.next;
            for slice in &read.slices {
                let taken = page.push(id, slice, limit);
                if taken < slice.len() {
                    position = SequenceNumber(slice.first.0 + taken as u64);
                    break;
                }
            }
        }
        page.next.positions.push((id, position));
    }
    page
}

impl Page {
    /// Adds records of `slice` up to the limit; returns how many of its records are done with.
    fn push(&mut self, shard: ShardId, slice: &Slice, limit: usize) -> usize {
        let arrival = rfc3339(slice.batch.source.arrival);
        for (offset, record) in slice.batch.records[slice.skip..].iter().enumerate() {
            if self.records == limit || self.bytes >= TAP_BYTES_MAX {
                return offset;
            }
            // A record bound for the dead letters need not even be JSON.
            if !record.refusal.is_present() {
                self.push_record(shard, slice.first.0 + offset as u64, &slice.batch, record, &arrival);
            }
        }
        slice.len()
    }

    fn push_record(
        &mut self,
        shard: ShardId,
        number: u64,
        batch: &Batch,
        record: &RecordSpans,
        arrival: &str,
    ) {
        let payload = batch.source.bytes(record.payload);
        let key = String::from_utf8_lossy(batch.source.bytes(record.key));
        // Strings always serialise.
        let key = serde_json::to_string(&key).unwrap_or_else(|_| "\"\"".to_owned());
        let separator = if self.records == 0 { "" } else { "," };
        // Writing to a vector cannot fail.
        let _ = write!(
            self.json,
            "{separator}{{\"shard\":\"{shard}\",\"sequence_number\":\"{number}\",\"arrival_time\":\"{arrival}\",\
             \"partition_key\":{key},\"data\":"
        );
        self.json.extend_from_slice(payload);
        self.json.push(b'}');
        self.records += 1;
        self.bytes += payload.len() as u64;
    }

    fn into_response(self) -> Response<Body> {
        let mut body = Vec::with_capacity(self.json.len() + 128);
        body.extend_from_slice(b"{\"records\":[");
        body.extend_from_slice(&self.json);
        let _ = write!(body, "],\"next\":\"{}\",\"skipped\":{}}}", self.next, self.skipped);
        reply::json(StatusCode::OK, body)
    }
}

fn rfc3339(time: UnixMicros) -> String {
    DateTime::from_timestamp_micros(time.0).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Micros, true)
}
