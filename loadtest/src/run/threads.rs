//! The threads of the connections: started, watched, and what they leave behind.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use forebay::runtime::clock;
use futures_util::StreamExt;
use futures_util::future::Either;
use futures_util::stream::FuturesUnordered;
use tokio::sync::SetOnce;

use super::account::Tally;
use super::lane::{Lane, Shared, rest};
use super::link::{Link, SharedLink};
use super::{Progress, RunError};
use crate::manifest::Account;

/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// What the connections of a thread leave behind.
pub(super) struct Seen {
    tally: Tally,
    /// By number of the connection.
    accounts: Vec<(u32, Vec<Account>)>,
    end: Instant,
}

pub(super) type Worker = JoinHandle<io::Result<Seen>>;

/// Spreads the connections over current-thread runtimes. `pipeline` lanes in a row share a connection.
pub(super) fn start_threads(
    threads: u32,
    pipeline: usize,
    classes: usize,
    lanes: Vec<Lane>,
    shared: &Arc<Shared>,
) -> Vec<Worker> {
    let count = (lanes.len() / pipeline).min(threads as usize);
    let mut of_thread: Vec<Vec<Lane>> = (0..count).map(|_| Vec::new()).collect();
    for (index, lane) in lanes.into_iter().enumerate() {
        of_thread[index / pipeline % count].push(lane);
    }
    let start = |lanes: Vec<Lane>| {
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let tally = RefCell::new(Tally::new(shared.start, classes));
            let accounts = runtime.block_on(work(lanes, pipeline, &shared, &tally));
            Ok(Seen { tally: tally.into_inner(), accounts, end: clock::monotonic() })
        })
    };
    of_thread.into_iter().map(start).collect()
}

/// The lanes of a thread, and the connections that they share.
async fn work(
    lanes: Vec<Lane>,
    pipeline: usize,
    shared: &Shared,
    tally: &RefCell<Tally>,
) -> Vec<(u32, Vec<Account>)> {
    let is_shared = pipeline > 1;
    let link = |lanes: &[Lane]| {
        let head = Arc::clone(&lanes.first()?.head);
        is_shared.then(|| Rc::new(SharedLink::new(head, lanes.len())))
    };
    let links: Vec<_> = lanes.chunks(pipeline).filter_map(link).collect();
    let begun = SetOnce::new();
    // One timer for all lanes, which are many.
    let begin = async {
        rest(shared.start.saturating_duration_since(clock::monotonic()), shared).await;
        // Nobody else sets it.
        let _ = begun.set(());
    };
    let one = async |(place, lane): (usize, Lane)| {
        let link = match links.get(place / pipeline) {
            Some(link) => Link::shared(Arc::clone(&lane.head), Rc::clone(link), place % pipeline),
            None => Link::new(Arc::clone(&lane.head)),
        };
        Some((lane.index, lane.work(shared, tally, link, &begun).await))
    };
    let drive = async |link: &Rc<SharedLink>| {
        link.drive().await;
        None
    };
    let lanes = lanes.into_iter().enumerate().map(|lane| Either::Left(one(lane)));
    let work: FuturesUnordered<_> =
        links.iter().map(|link| Either::Right(drive(link))).chain(lanes).collect();
    tokio::join!(begin, work.filter_map(async |done| done).collect()).1
}

/// Tells the observer how far it is, until all threads have ended.
pub(super) fn watch_over(threads: &[Worker], shared: &Shared, observer: &mut dyn FnMut(Progress)) {
    loop {
        let is_over = threads.iter().all(JoinHandle::is_finished);
        let now = clock::monotonic();
        let live = &shared.live;
        observer(Progress {
            elapsed: now.saturating_duration_since(shared.start),
            records: live.records.load(Ordering::Relaxed),
            payload_bytes: live.payload_bytes.load(Ordering::Relaxed),
            requests: live.requests.load(Ordering::Relaxed),
            failed: live.failed.load(Ordering::Relaxed),
            retries: live.retries.load(Ordering::Relaxed),
        });
        if is_over {
            return;
        }
        thread::park_timeout(PROGRESS_INTERVAL);
    }
}

/// Adds up what the threads have seen. The accounts are in the order of the producers; the end is that of the last
/// thread.
pub(super) fn join_threads(
    threads: Vec<Worker>,
    start: Instant,
    classes: usize,
) -> Result<(Tally, Vec<Account>, Instant), RunError> {
    let mut tally = Tally::new(start, classes);
    let mut of_lane = Vec::new();
    let mut end = start;
    let panicked = |_| Err(io::Error::other("a client thread panicked"));
    // All of them, before it is said what was wrong with one.
    let joined: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect();
    for seen in joined {
        let seen = seen?;
        tally.merge(seen.tally);
        of_lane.extend(seen.accounts);
        end = end.max(seen.end);
    }
    of_lane.sort_unstable_by_key(|(lane, _)| *lane);
    let mut lanes: Vec<_> = of_lane.into_iter().map(|(_, accounts)| accounts.into_iter()).collect();
    let mut producers = Vec::new();
    loop {
        let before = producers.len();
        producers.extend(lanes.iter_mut().filter_map(Iterator::next));
        if producers.len() == before {
            return Ok((tally, producers, end));
        }
    }
}
