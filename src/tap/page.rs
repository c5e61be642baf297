//! `GET /v1/streams/{stream}/records`: a page of records, with a long poll.
//!
//! A page is found first, as slices of the log's batches, then paid for from the taps' account of the byte budget, and
//! only then written, once, into the buffer that goes to the socket. What was paid comes back when that buffer has
//! been sent or the client is gone, so readers that ask and do not read cannot hold more than the share has.
//!
//! A page may have fewer records than were asked for although there are more. If it has none, then there were none;
//! with a filter, then `next` tells by having moved that there may be some further on.

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode, request};

use super::found::{self, Found, Scope};
use super::query::{self, Live, Query, Reads};
use super::{named, text};
use crate::config::limits::{TAP_BYTES_MAX, TAP_LOOKS_MAX};
use crate::edge::answer_cache::Made;
use crate::edge::gate::throttle::charge::Charge;
use crate::edge::problem::Problem;
use crate::edge::reply::{self, Body};
use crate::edge::{Edge, Intake};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::phases::Phase;
use crate::stream::{Payer, Stream};

/// Answers one page. Waits for the first record if the client asked for that.
pub async fn get(
    edge: &Edge,
    intake: &Intake,
    head: &request::Parts,
    charge: &mut Charge,
) -> Result<Response<Body>, Problem> {
    let (found, _) = ask(edge, intake, head).await?;
    let mut response = reply::json(StatusCode::OK, Vec::new());
    let text = text::page(&found, |bytes| edge.admit_tap(bytes))?;
    charge.owe(found.records as u64, text.len() as u64);
    *response.body_mut() = Body::whole(text);
    Ok(response)
}

/// The same page for whoever keeps it. It must not be one of a worker.
///
/// # Errors
/// Those of [`get`].
pub async fn made(edge: &Edge, intake: &Intake, head: &request::Parts) -> Result<Made, Problem> {
    let (found, is_full) = ask(edge, intake, head).await?;
    let mut oldest: Vec<(ShardId, SequenceNumber)> = Vec::new();
    for part in &found.parts {
        // The parts of a shard stand one behind the other.
        if oldest.last().is_none_or(|(shard, _)| *shard != part.shard) {
            oldest.push((part.shard, part.slice.first));
        }
    }
    let text = text::page(&found, |bytes| edge.admit_tap(bytes))?;
    Ok(Made { text, records: Some(found.records as u64), is_full, oldest })
}

/// What the query asks for, and whether new records change nothing of it: it has all that a page may have, from a place
/// that stays.
async fn ask(edge: &Edge, intake: &Intake, head: &request::Parts) -> Result<(Found, bool), Problem> {
    let query = query::page(&intake.stream, head.uri.query().unwrap_or_default()).await?;
    let Query { reads, limit, wait } = query;
    match reads {
        Reads::Live(live) => {
            let is_fixed = live.is_fixed;
            let found = find(edge, &intake.stream, live, (limit, wait)).await?;
            let is_full = found.records >= limit || found.looked_at >= TAP_BYTES_MAX;
            let is_lasting = is_fixed && is_full && found.skipped == 0;
            Ok((found, is_lasting))
        }
        Reads::Worker(worker) => {
            let asked = worker.ask(&intake.cursors).await?;
            Ok((named::page::find(edge, intake, asked, (limit, wait)).await?, false))
        }
    }
}

/// Registers, looks, and sleeps, until there is a record or the time is over.
async fn find(
    edge: &Edge,
    stream: &Arc<Stream>,
    live: Live,
    (limit, wait): (usize, Duration),
) -> Result<Found, Problem> {
    let payer = Payer { budget: Arc::clone(&edge.taps_budget), overdraws: false };
    let deadline = tokio::time::sleep(wait);
    tokio::pin!(deadline);
    let scope = Scope { records: limit, bytes: TAP_BYTES_MAX, filter: live.filter.as_ref(), upto: None };
    let (mut cursor, mut skipped, mut looks) = (live.cursor, 0, 0);
    loop {
        let waiter = (!wait.is_zero()).then(|| stream.taps().wait());
        if stream.is_deleted() {
            return Err(Problem::UnknownStream(stream.name().to_string()));
        }
        if live.shard.is_none() {
            cursor.follow(&stream.layout());
        }
        let mut found = found::look(stream, &cursor, scope, &payer).await?;
        skipped += found.skipped;
        found.skipped = skipped;
        looks += 1;
        if found.records > 0 {
            return Ok(found);
        }
        if found.next != cursor {
            if scope.filter.is_some() && looks >= TAP_LOOKS_MAX {
                return Ok(found);
            }
            // All that was looked at are records that are not shown; others may stand behind them.
            cursor = found.next;
            tokio::task::yield_now().await;
            continue;
        }
        let Some(waiter) = waiter else { return Ok(found) };
        tokio::select! {
            () = waiter.woken() => {}
            () = &mut deadline => return Ok(found),
            // A poll must not hold up a shutdown.
            () = edge.phases.reached(Phase::StoppingEdge) => return Ok(found),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
