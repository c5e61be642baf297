//! A commit: the requests that go out in one write, and where their frames are.

use std::time::Instant;

use super::queue::Request;
use crate::runtime::clock;
use crate::stream::wal::frame::{EncodeError, Entry, FrameLocation, ShardNumber};
use crate::stream::wal::index::{IndexEntry, ReplyEntry};

/// A commit that is put together or under way.
pub(super) struct Commit {
    pub(super) number: u64,
    pub(super) requests: Vec<Request>,
    /// Of each frame, in order.
    pub(super) frames: Vec<FrameLocation>,
    /// Where it begins in the segment.
    pub(super) start: u64,
    /// Where it ends.
    pub(super) end: u64,
    /// Bytes of its requests, as the queue counts them.
    pub(super) charged: u64,
    pub(super) begun: Instant,
}

impl Commit {
    /// Empty, from `start` on.
    pub(super) fn at(start: u64, number: u64) -> Self {
        let (requests, frames) = (Vec::new(), Vec::new());
        Self { number, requests, frames, start, end: start, charged: 0, begun: clock::monotonic() }
    }

    /// Adds a request. It is kept also if it cannot be encoded, which only a fault of the program can bring about, so
    /// that it can be failed.
    pub(super) fn push(
        &mut self,
        request: Request,
        mut encode: impl FnMut(&Entry<'_>) -> Result<FrameLocation, EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut encoded = Ok(());
        for entry in request.entries() {
            match encode(&entry) {
                Ok(frame) => self.frames.push(frame),
                Err(error) => encoded = Err(error),
            }
        }
        self.charged += request.bytes();
        self.requests.push(request);
        encoded
    }
}

/// The frames of batches, with their places in the segment.
pub(super) fn index_entries<'a>(
    requests: &'a [Request],
    frames: &'a [FrameLocation],
    start: u64,
) -> impl Iterator<Item = (ShardNumber, IndexEntry)> + 'a {
    let mut next = frames;
    requests.iter().flat_map(move |request| {
        let (own, rest) = next.split_at(request.frames());
        next = rest;
        request.batches().iter().zip(own).map(move |(placed, frame)| {
            let entry = IndexEntry {
                first: placed.first,
                count: placed.batch.records.len() as u32,
                offset: start as u32 + frame.offset_in_commit,
                bytes: frame.bytes,
                payload_bytes: placed.sizes.payload as u32,
                arrival: placed.batch.source.arrival,
            };
            (placed.log.number(), entry)
        })
    })
}

/// The frames of replies, with their places in the segment.
pub(super) fn reply_entries<'a>(
    requests: &'a [Request],
    frames: &'a [FrameLocation],
    start: u64,
) -> impl Iterator<Item = ReplyEntry> + 'a {
    let mut next = frames;
    requests.iter().filter_map(move |request| {
        let (own, rest) = next.split_at(request.frames());
        next = rest;
        let (stream, arrival) = request.reply()?;
        // The reply is the last frame of its request.
        let frame = own.last()?;
        let offset = start + u64::from(frame.offset_in_commit);
        Some(ReplyEntry { stream, arrival, offset, bytes: frame.bytes })
    })
}
