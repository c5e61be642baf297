//! The places of a segment's frames, in memory.

use std::collections::HashMap;

use super::{IndexBuilder, IndexEntry, IndexError, IndexFull, Places, ReplyEntry};
use crate::record::SequenceNumber;
use crate::runtime::clock::UnixMicros;
use crate::stream::wal::frame::{FrameHeader, FrameKind, ShardNumber};

/// At most [`crate::config::limits::INDEX_ENTRIES_MAX`] frames, which is what a segment has.
#[derive(Debug, Default)]
pub struct GrowingIndex {
    shards: HashMap<ShardNumber, Vec<IndexEntry>, foldhash::fast::RandomState>,
    replies: Vec<ReplyEntry>,
}

impl GrowingIndex {
    /// Adds batch frames, which stand behind those of the same shard that are there.
    pub fn add(&mut self, entries: impl Iterator<Item = (ShardNumber, IndexEntry)>) {
        for (shard, entry) in entries {
            self.shards.entry(shard).or_default().push(entry);
        }
    }

    /// Adds reply frames.
    pub fn add_replies(&mut self, replies: impl Iterator<Item = ReplyEntry>) {
        self.replies.extend(replies);
    }

    /// Adds a batch frame that stands at `offset` in the segment; no other one.
    pub fn add_batch(&mut self, header: &FrameHeader, offset: u64) {
        if header.kind == FrameKind::Batch {
            self.add(std::iter::once((header.shard, IndexEntry::of(header, offset))));
        }
    }

    /// Gives back memory that was taken for more.
    pub fn shrink(&mut self) {
        self.shards.values_mut().for_each(Vec::shrink_to_fit);
    }

    /// Tells all of them to the maker of the index file.
    pub fn fill(&self, index: &mut IndexBuilder) -> Result<(), IndexFull> {
        for (shard, entries) in &self.shards {
            for entry in entries {
                index.batch(*shard, *entry)?;
            }
        }
        self.replies.iter().try_for_each(|reply| index.reply(*reply))
    }

    fn of(&self, shard: ShardNumber) -> &[IndexEntry] {
        self.shards.get(&shard).map(Vec::as_slice).unwrap_or_default()
    }
}

impl Places for GrowingIndex {
    fn each_from(
        &self,
        shard: ShardNumber,
        from: SequenceNumber,
        take: &mut dyn FnMut(IndexEntry) -> bool,
    ) -> Result<(), IndexError> {
        let entries = self.of(shard);
        let start = entries.partition_point(|entry| entry.end() <= from);
        let _ = entries[start..].iter().all(|entry| take(*entry));
        Ok(())
    }

    fn since(&self, shard: ShardNumber, time: UnixMicros) -> Result<Option<SequenceNumber>, IndexError> {
        let found = self.of(shard).iter().find(|entry| entry.has_record_since(time));
        Ok(found.map(|entry| entry.first))
    }

    fn is_in_memory(&self) -> bool {
        true
    }
}
