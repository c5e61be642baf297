//! One live reader: where it stands, and what comes next for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::cursor::Cursor;
use super::feed::{At, Chunk, End, Format};
use super::filter::Filter;
use super::found::{self, Found, Scope};
use super::query::Live;
use super::taps::Subscription;
use super::text;
use crate::config::limits::{FEED_CHUNK_BYTES, TAP_LIVE_BYTES_MAX};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock;
use crate::stream::{Payer, ReadError};

/// How long a reader waits before it asks for memory again, and for how long.
const MEMORY_PAUSE: Duration = Duration::from_millis(100);
/// See [`MEMORY_PAUSE`].
const MEMORY_PATIENCE: Duration = Duration::from_secs(10);

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// Records, as text.
    Records(Piece),
    /// So many records were gone before they could be read.
    Gap(u64),
    /// A worker that shares a named cursor has these shards now.
    Shards(Vec<ShardId>),
    /// Nothing will.
    Ended(End),
}

/// Records as text.
#[derive(Debug)]
pub struct Piece {
    /// In the reader's format.
    pub text: Bytes,
    /// How many there are.
    pub records: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Reader {
    subscription: Subscription,
    format: Format,
    shard: Option<ShardId>,
    filter: Option<Filter>,
    cursor: Cursor,
    /// The number of the next chunk, if the cursor stands at its beginning or further on.
    following: Option<u64>,
    /// Found behind a gap that was told.
    behind_gap: Option<Found>,
    payer: Payer,
}

impl Reader {
    /// Reads what `live` asks for.
    pub fn new(subscription: Subscription, live: Live, format: Format, payer: Payer) -> Self {
        let Live { cursor, shard, filter, .. } = live;
        Self { subscription, format, shard, filter, cursor, following: None, behind_gap: None, payer }
    }

    /// From where to read on.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Waits for what comes next. Nothing is lost if the wait is given up.
    ///
    /// # Errors
    /// If records cannot be read back from the disk, or there has been no memory for them for a while.
    pub async fn next(&mut self) -> Result<Next, ReadError> {
        let mut short_since = None;
        loop {
            match self.step().await {
                Ok(Some(next)) => return Ok(next),
                Ok(None) => short_since = None,
                Err(error @ ReadError::NoMemory { .. }) => {
                    let now = clock::monotonic();
                    if now.duration_since(*short_since.get_or_insert(now)) > MEMORY_PATIENCE {
                        return Err(error);
                    }
                    tokio::time::sleep(MEMORY_PAUSE).await;
                }
                // Its records went before the feed was told.
                Err(_) if self.subscription.feed().stream.is_deleted() => {
                    return Ok(Next::Ended(End::Deleted));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A step forward; `None` if it has brought nothing to show.
    async fn step(&mut self) -> Result<Option<Next>, ReadError> {
        let feed = Arc::clone(self.subscription.feed());
        if let Some(end) = feed.ended() {
            return Ok(Some(Next::Ended(end)));
        }
        if let Some(found) = self.behind_gap.take() {
            return self.show(found);
        }
        let Some(number) = self.following else { return self.catch_up().await };
        match feed.at(number) {
            At::Chunk(chunk) => self.take_chunk(&chunk, number),
            At::Past => {
                self.following = None;
                Ok(None)
            }
            At::Future => {
                let waiter = feed.signal(self.shard).wait();
                // A look after registering, so that nothing is missed in between.
                if matches!(feed.at(number), At::Future) && feed.ended().is_none() {
                    waiter.woken().await;
                }
                Ok(None)
            }
        }
    }

    /// Reads the log up to where the feed is.
    async fn catch_up(&mut self) -> Result<Option<Next>, ReadError> {
        let (number, boundary) = self.subscription.feed().boundary();
        if self.shard.is_none() {
            // After the look at the boundary, so that no shard of it is missing.
            self.cursor.follow(&self.subscription.feed().stream.layout());
        }
        if !self.is_behind(&boundary) {
            self.following = Some(number);
            return Ok(None);
        }
        let scope = Scope {
            records: usize::MAX,
            bytes: TAP_LIVE_BYTES_MAX,
            filter: self.filter.as_ref(),
            upto: Some(&*boundary),
        };
        let stream = &self.subscription.feed().stream;
        let found = found::look(stream, &self.cursor, scope, &self.payer).await?;
        if found.skipped > 0 {
            // Told first, and from where the reader still stands: the records behind the gap are its next ones.
            let skipped = found.skipped;
            self.behind_gap = Some(Found { skipped: 0, ..found });
            return Ok(Some(Next::Gap(skipped)));
        }
        let moved = found.next != self.cursor;
        let next = self.show(found)?;
        // The feed has gone on meanwhile, but the chunk that begins here is still there. If nothing has moved, the look
        // at the boundary was newer than the one at the log.
        if !self.is_behind(&boundary) || !moved {
            self.following = Some(number);
        }
        if next.is_none() {
            tokio::task::yield_now().await;
        }
        Ok(next)
    }

    /// Whether it has something to read before `boundary`.
    fn is_behind(&self, boundary: &Cursor) -> bool {
        let is_before = |&(shard, position): &(ShardId, SequenceNumber)| {
            boundary.position(shard).is_some_and(|end| position < end)
        };
        self.cursor.positions.iter().any(is_before)
    }

    fn take_chunk(&mut self, chunk: &Chunk, number: u64) -> Result<Option<Next>, ReadError> {
        let next = if self.filter.is_none() && self.cursor == *chunk.start {
            let payer = &self.payer;
            let text = match chunk.found.records {
                0 => None,
                _ => Some(chunk.text(self.format, |bytes| payer.pay(bytes))?),
            };
            self.cursor.positions.clone_from(&chunk.found.next.positions);
            text.map(|text| Next::Records(Piece { text, records: chunk.found.records as u64 }))
        } else {
            let found = self.own_part(chunk);
            self.show(found)?
        };
        self.following = Some(number + 1);
        Ok(next)
    }

    /// What of a chunk this reader has asked for and not seen yet.
    fn own_part(&self, chunk: &Chunk) -> Found {
        let scope = Scope {
            records: usize::MAX,
            // A chunk has at most this and a record more.
            bytes: FEED_CHUNK_BYTES * 2 + chunk.found.looked_at,
            filter: self.filter.as_ref(),
            upto: None,
        };
        let mut found = Found { next: self.cursor.clone(), ..Found::default() };
        for part in &chunk.found.parts {
            let Some(position) = self.cursor.position(part.shard) else { continue };
            let seen = position.0.saturating_sub(part.slice.first.0).min(part.len as u64) as usize;
            if seen < part.len {
                let mut slice = part.slice.clone();
                slice.skip += seen;
                slice.first.0 += seen as u64;
                found.take_slice(part.shard, slice, part.len - seen, &scope);
            }
        }
        for (shard, position) in &mut found.next.positions {
            *position = chunk.found.next.position(*shard).unwrap_or(*position).max(*position);
        }
        found
    }

    /// Moves on behind what was found, and writes it.
    fn show(&mut self, found: Found) -> Result<Option<Next>, ReadError> {
        let records = found.records as u64;
        let text = match (records, self.format) {
            (0, _) => None,
            (_, Format::Events) => Some(text::events(&found, &self.cursor, |bytes| self.payer.pay(bytes))?),
            (_, Format::Page) => Some(text::page(&found, |bytes| self.payer.pay(bytes))?),
        };
        self.cursor = found.next;
        Ok(text.map(|text| Next::Records(Piece { text, records })))
    }
}
