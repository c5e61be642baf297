//! A page for a worker, with a long poll, during which it keeps its shards.

use std::time::Duration;

use super::reader::{Amount, Asked, WorkerReader};
use crate::config::limits::{TAP_BYTES_MAX, TAP_LOOKS_MAX};
use crate::edge::problem::Problem;
use crate::edge::{Edge, Intake};
use crate::runtime::phases::Phase;
use crate::stream::Payer;
use crate::tap::found::Found;

/// Looks, and sleeps, until there is a record or the time is over.
///
/// # Errors
/// What [`WorkerReader::step`] says.
pub async fn find(
    edge: &Edge,
    intake: &Intake,
    asked: Asked,
    (limit, wait): (usize, Duration),
) -> Result<Found, Problem> {
    let payer = Payer { budget: std::sync::Arc::clone(&edge.taps_budget), overdraws: false };
    let mut reader = WorkerReader::new(&intake.stream, asked, payer);
    let (cursor, _) = reader.worker();
    let mut tap = None;
    let deadline = tokio::time::sleep(wait);
    tokio::pin!(deadline);
    let amount = Amount { records: limit, bytes: TAP_BYTES_MAX };
    let (mut skipped, mut looks) = (0, 0);
    loop {
        let changes = cursor.changed().wait();
        let taken = reader.step(amount).await?;
        let mut found = taken.found;
        skipped += found.skipped;
        found.skipped = skipped;
        looks += 1;
        if found.records > 0 {
            return Ok(found);
        }
        if taken.has_moved {
            if looks >= TAP_LOOKS_MAX {
                return Ok(found);
            }
            // All that was looked at are records that are not shown; others may stand behind them.
            tokio::task::yield_now().await;
            continue;
        }
        if wait.is_zero() {
            return Ok(found);
        }
        // Who does not wait needs none.
        let tap = tap.get_or_insert_with(|| edge.taps.subscribe(&intake.stream));
        if tap.feed().ended().is_some() {
            return Ok(found);
        }
        tokio::select! {
            () = reader.wait(tap.feed(), changes) => {}
            () = &mut deadline => return Ok(found),
            // A poll must not hold up a shutdown.
            () = edge.phases.reached(Phase::StoppingEdge) => return Ok(found),
        }
    }
}
