//! A worker on a connection that stays: it has its shards for as long as it takes what it is sent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::cursor::NamedCursor;
use super::reader::{Amount, Sources, Taken, WorkerReader};
use crate::config::limits::TAP_LIVE_BYTES_MAX;
use crate::edge::problem::Problem;
use crate::record::ShardId;
use crate::runtime::phases::{Phase, Phases};
use crate::stream::{Payer, ReadError};
use crate::tap::cursor::Cursor;
use crate::tap::feed::{End, Format};
use crate::tap::reader::{Next, Piece, Reader};
use crate::tap::text;

/// How long it waits before it asks for memory again, and how often.
const MEMORY_PAUSE: Duration = Duration::from_millis(100);
/// See [`MEMORY_PAUSE`].
const MEMORY_TRIES: u32 = 100;

/// See the module.
#[derive(Debug)]
pub struct LiveWorker {
    reader: WorkerReader,
    sources: Sources,
    format: Format,
    payer: Payer,
    phases: Phases,
    /// Where the client stands.
    at: Cursor,
    /// What it is to be sent next.
    unsent: Option<Taken>,
    /// The shards that it was told to have.
    told: Option<Vec<ShardId>>,
}

impl LiveWorker {
    /// Sends what `reader` reads.
    pub fn new(reader: WorkerReader, format: Format, payer: Payer, phases: Phases) -> Self {
        let (sources, at) = (reader.sources(), reader.cursor().clone());
        Self { reader, sources, format, payer, phases, at, unsent: None, told: None }
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
        if self.told.as_deref().unwrap_or_default() != self.reader.shards() {
            let shards = self.reader.shards().to_vec();
            self.told = Some(shards.clone());
            return Some(Ok(Some(Next::Shards(shards))));
        }
        let mut taken = self.unsent.take()?;
        if taken.found.skipped > 0 {
            let skipped = std::mem::take(&mut taken.found.skipped);
            self.unsent = Some(taken);
            return Some(Ok(Some(Next::Gap(skipped))));
        }
        if taken.found.records == 0 {
            self.at = taken.found.next;
            return Some(Ok(None));
        }
        let text = self.write(&taken);
        Some(match text {
            Ok(text) => {
                let records = taken.found.records as u64;
                self.at = taken.found.next;
                Ok(Some(Next::Records(Piece { text, records })))
            }
            Err(error) => {
                self.unsent = Some(taken);
                Err(error.into())
            }
        })
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
        if self.sources.is_deleted() {
            return Ok(Some(End::Deleted));
        }
        let waiting = self.sources.wait();
        let taken = self.reader.step(Amount { records: usize::MAX, bytes: TAP_LIVE_BYTES_MAX }).await?;
        let is_idle = !taken.has_moved && taken.found.skipped == 0;
        let is_told = self.told.as_deref().unwrap_or_default() == self.reader.shards();
        self.unsent = Some(taken);
        if is_idle && is_told {
            tokio::select! {
                () = waiting.over() => {}
                () = self.phases.reached(Phase::StoppingEdge) => {}
            }
        }
        Ok(None)
    }
}

/// Whoever reads on a connection that stays.
#[derive(Debug)]
pub enum AnyReader {
    /// Somebody who keeps the place.
    Own(Reader),
    /// A worker that shares a named cursor.
    Worker(LiveWorker),
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
