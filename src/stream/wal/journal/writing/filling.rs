//! Requests → the bytes of a commit, on their way into the segment.

use std::io;

use super::Writing;
use crate::config::limits::{COMMIT_BUFFER_BYTES, INDEX_ENTRIES_MAX};
use crate::crash_point;
use crate::runtime::clock;
use crate::stream::wal::frame::CommitEncoder;
use crate::stream::wal::journal::commit::Commit;
use crate::stream::wal::writer::BLOCK_BYTES;

impl Writing {
    /// Room for frames and their header in the segment.
    fn room(&self) -> u64 {
        self.options.segment_bytes - self.active.end
    }

    /// Takes as many requests as fit, and writes their frames into the free buffer.
    pub(super) fn assemble(&mut self) -> io::Result<Option<Commit>> {
        let fits = |bytes: u64, room: u64| bytes <= room;
        let tail = self.active.tail.len();
        let room = self.room().min((COMMIT_BUFFER_BYTES - tail) as u64);
        let Some(first) = self.backlog.front() else { return Ok(None) };
        if !fits(first.bytes(), room) || self.active.frames + first.frames() > INDEX_ENTRIES_MAX {
            return Ok(None);
        }
        let buffer = self.writer.buffer(self.buffer);
        buffer[..tail].copy_from_slice(&self.active.tail);
        let mut encoder =
            CommitEncoder::begin(&mut buffer[tail..], self.active.header.salt, self.next.commit)
                .map_err(io::Error::other)?;
        let mut commit = Commit::at(self.active.end, self.next.commit);
        while let Some(request) = self.backlog.front() {
            let frames = self.active.frames + commit.frames.len() + request.frames();
            if !fits(commit.charged + request.bytes(), room) || frames > INDEX_ENTRIES_MAX {
                break;
            }
            let Some(request) = self.backlog.pop_front() else { break };
            if let Err(error) = commit.push(request, |entry| encoder.push(entry)) {
                self.backlog.extend(commit.requests);
                return Err(io::Error::other(error));
            }
        }
        commit.end = commit.start + encoder.finish() as u64;
        Ok(Some(commit))
    }

    /// Starts writing what was put together last.
    pub(super) fn start(&mut self, mut commit: Commit) -> io::Result<()> {
        let tail = self.active.tail.len();
        let filled = tail + (commit.end - commit.start) as usize;
        let padded = filled.next_multiple_of(BLOCK_BYTES);
        let buffer = self.writer.buffer(self.buffer);
        buffer[filled..padded].fill(0);
        let whole = filled - filled % BLOCK_BYTES;
        self.active.tail.clear();
        self.active.tail.extend_from_slice(&buffer[whole..filled]);
        commit.begun = clock::monotonic();
        let offset = commit.start - tail as u64;
        self.advance(&commit);
        self.under_way = Some(commit);
        crash_point!("log.write.before");
        self.writer.start(self.buffer, padded, offset)?;
        self.buffer = 1 - self.buffer;
        Ok(())
    }

    fn advance(&mut self, commit: &Commit) {
        self.active.end = commit.end;
        self.keeping.used(commit.end);
        self.active.frames += commit.frames.len();
        self.next.commit += 1;
    }

    /// The first request of the backlog does not fit into what is left of buffer or segment; nothing is under way.
    pub(super) fn write_alone_or_turn(&mut self) -> io::Result<()> {
        let Some(request) = self.backlog.front() else { return Ok(()) };
        let frames = self.active.frames + request.frames();
        if request.bytes() > self.room() || (frames > INDEX_ENTRIES_MAX && self.active.frames > 0) {
            return self.turn();
        }
        let Some(request) = self.backlog.pop_front() else { return Ok(()) };
        let tail = self.active.tail.len();
        let most = tail + request.bytes() as usize;
        let mut bytes = vec![0; most.next_multiple_of(BLOCK_BYTES)];
        bytes[..tail].copy_from_slice(&self.active.tail);
        let mut encoder = CommitEncoder::begin(&mut bytes[tail..], self.active.header.salt, self.next.commit)
            .map_err(io::Error::other)?;
        let mut commit = Commit::at(self.active.end, self.next.commit);
        if let Err(error) = commit.push(request, |entry| encoder.push(entry)) {
            self.backlog.extend(commit.requests);
            return Err(io::Error::other(error));
        }
        commit.end = commit.start + encoder.finish() as u64;
        let filled = tail + (commit.end - commit.start) as usize;
        bytes[filled..].fill(0);
        bytes.truncate(filled.next_multiple_of(BLOCK_BYTES));
        self.active.tail = bytes[filled - filled % BLOCK_BYTES..filled].to_vec();
        let offset = commit.start - tail as u64;
        self.advance(&commit);
        self.under_way = Some(commit);
        self.writer.write(&bytes, offset)?;
        if let Some(commit) = self.under_way.take() {
            self.publish(commit);
        }
        Ok(())
    }
}
