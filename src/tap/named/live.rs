//! A worker on a connection that stays: it has its shards for as long as it takes what it is sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::cursor::NamedCursor;
use super::reader::{Amount, Taken, WorkerReader};
use crate::config::limits::TAP_LIVE_BYTES_MAX;
use crate::edge::problem::Problem;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock;
use crate::runtime::phases::{Phase, Phases};
use crate::stream::{Payer, ReadError};
use crate::tap::cursor::Cursor;
use crate::tap::feed::{End, Format};
use crate::tap::reader::{Next, Piece, Reader};
use crate::tap::taps::Subscription;
use crate::tap::text;

/// How long it waits before it asks for memory again, and how often.
const MEMORY_PAUSE: Duration = Duration::from_millis(100);
/// See [`MEMORY_PAUSE`].
const MEMORY_TRIES: u32 = 100;

/// How long a client waits at the longest to be told that it has been sent nothing, but has moved: by a filter that
/// passes little on a busy stream it would be told with every append otherwise.
const PROGRESS_PAUSE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct LiveWorker {
    reader: WorkerReader,
    cursor: Arc<NamedCursor>,
    tap: Subscription,
    format: Format,
    payer: Payer,
    phases: Phases,
    /// Where the client stands.
    at: Cursor,
    /// What it is to be sent next.
    unsent: Option<Taken>,
    /// The shards that it was told to have.
    told: Option<Vec<ShardId>>,
    /// Where it was told that it stands.
    told_at: Cursor,
    /// When it was told so.
    told_when: Instant,
}

impl LiveWorker {
    /// Sends what `reader` reads, woken by the feed of its stream.
    pub fn new(
        mut reader: WorkerReader,
        tap: Subscription,
        format: Format,
        (payer, phases): (Payer, Phases),
    ) -> Self {
        reader.connect();
        let ((cursor, _), at) = (reader.worker(), reader.cursor().clone());
        let (told_at, told_when) = (Cursor::default(), clock::monotonic());
        Self { reader, cursor, tap, format, payer, phases, at, unsent: None, told: None, told_at, told_when }
    }

    /// Waits for what comes next. Nothing is lost if the wait is given up.
    ///
    /// # Errors
    /// If records cannot be read back, or the cursor is gone or cannot be kept.
    pub async fn next(&mut self) -> Result<Next, Problem> {
        let mut tries = 0;
        loop {
            let step = match self.step() {
                Some(next) => next,
                None => self.look().await.map(|ended| ended.map(Next::Ended)),
            };
            match step {
                Ok(Some(next)) => return Ok(next),
                Ok(None) => {}
                Err(Problem::MemoryFull) if tries < MEMORY_TRIES => {
                    tries += 1;
                    tokio::time::sleep(MEMORY_PAUSE).await;
                }
                Err(problem) => return Err(problem),
            }
        }
    }

    /// What was found and not sent yet; `None` if there is nothing.
    fn step(&mut self) -> Option<Result<Option<Next>, Problem>> {
        if let Some(taken) = self.unsent.as_mut().filter(|taken| taken.found.records == 0) {
            // Nothing is shown before it.
            self.at.clone_from(&taken.found.next);
        }
        let has_others = self.told.as_deref().unwrap_or_default() != self.reader.shards();
        if has_others || self.progress_due().is_some_and(|due| due <= clock::monotonic()) {
            let shards = self.reader.shards().to_vec();
            self.told = Some(shards.clone());
            self.has_told();
            return Some(Ok(Some(Next::Shards(shards))));
        }
        let mut taken = self.unsent.take()?;
        if taken.found.skipped > 0 {
            let skipped = std::mem::take(&mut taken.found.skipped);
            self.unsent = Some(taken);
            self.has_told();
            return Some(Ok(Some(Next::Gap(skipped))));
        }
        if taken.found.records == 0 {
            return Some(Ok(None));
        }
        let text = self.write(&taken);
        Some(match text {
            Ok(text) => {
                let records = taken.found.records as u64;
                self.at = taken.found.next;
                self.has_told();
                Ok(Some(Next::Records(Piece { text, records })))
            }
            Err(error) => {
                self.unsent = Some(taken);
                Err(error.into())
            }
        })
    }

    fn has_told(&mut self) {
        self.told_at.clone_from(&self.at);
        self.told_when = clock::monotonic();
    }

    /// When the client is to be told that it is further on than it knows, although it was sent nothing; `None` if it is
    /// not. It can say that a shard is done, whose children are waited for, only once it knows.
    fn progress_due(&self) -> Option<Instant> {
        let is_news = |&(shard, at): &(ShardId, SequenceNumber)| self.told_at.position(shard) != Some(at);
        self.at.positions.iter().any(is_news).then(|| self.told_when + PROGRESS_PAUSE)
    }

    fn write(&self, taken: &Taken) -> Result<Bytes, ReadError> {
        let pay = |bytes| self.payer.pay(bytes);
        match self.format {
            Format::Events => text::events(&taken.found, &taken.start, pay),
            Format::Page => text::page(&taken.found, pay),
        }
    }

    /// Looks for records, and waits if there are none. Tells the end of the process or the stream.
    async fn look(&mut self) -> Result<Option<End>, Problem> {
        if self.phases.current() >= Phase::StoppingEdge {
            return Ok(Some(End::Draining));
        }
        let feed = self.tap.feed();
        if feed.stream.is_deleted() {
            return Ok(Some(End::Deleted));
        }
        if let Some(end) = feed.ended() {
            return Ok(Some(end));
        }
        let changes = self.cursor.changed().wait();
        let taken = self.reader.step(Amount { records: usize::MAX, bytes: TAP_LIVE_BYTES_MAX }).await?;
        if self.reader.has_left() {
            return Ok(Some(End::WorkerLeft));
        }
        // A shard that went back, by a reset or a takeover, is one of which nothing was told.
        let is_before = |&(shard, told): &(ShardId, SequenceNumber)| {
            taken.start.position(shard).is_some_and(|start| told <= start)
        };
        self.told_at.positions.retain(is_before);
        self.at.clone_from(&taken.start);
        let is_idle = !taken.has_moved && taken.found.skipped == 0;
        let is_told = self.told.as_deref().unwrap_or_default() == self.reader.shards();
        self.unsent = Some(taken);
        if is_idle && is_told {
            let progress_due = self.progress_due();
            tokio::select! {
                () = until(progress_due) => {}
                () = self.reader.wait(self.tap.feed(), changes) => {}
                () = self.phases.reached(Phase::StoppingEdge) => {}
            }
        }
        Ok(None)
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Whoever reads on a connection that stays.
#[derive(Debug)]
pub enum AnyReader {
    /// Somebody who keeps the place.
    Own(Box<Reader>),
    /// A worker that shares a named cursor.
    Worker(Box<LiveWorker>),
}

impl AnyReader {
    /// From where to read on.
    pub fn cursor(&self) -> &Cursor {
        match self {
            AnyReader::Own(reader) => reader.cursor(),
            AnyReader::Worker(worker) => &worker.at,
        }
    }

    /// The worker that reads, and its named cursor.
    pub fn worker(&self) -> Option<(Arc<NamedCursor>, Arc<str>)> {
        match self {
            AnyReader::Own(_) => None,
            AnyReader::Worker(worker) => Some(worker.reader.worker()),
        }
    }

    /// Waits for what comes next. Nothing is lost if the wait is given up.
    ///
    /// # Errors
    /// If records cannot be read back, there has been no memory for them for a while, or a named cursor is gone.
    pub async fn next(&mut self) -> Result<Next, Problem> {
        match self {
            AnyReader::Own(reader) => Ok(reader.next().await?),
            AnyReader::Worker(worker) => worker.next().await,
        }
    }
}
