//! placeholder, replaced by the merge
use super::frame::ShardNumber;
use super::segment::SegmentHeader;
use crate::record::SequenceNumber;
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::Disk;
use std::io;
use std::path::Path;
use thiserror::Error;
#[derive(Debug, Clone, Copy)]
pub struct IndexEntry {
    pub first: SequenceNumber,
    pub count: u32,
    pub offset: u32,
    pub bytes: u32,
    pub payload_bytes: u32,
    pub arrival: UnixMicros,
}
#[derive(Debug, Clone, Copy)]
pub struct ReplyEntry {
    pub stream: u32,
    pub arrival: UnixMicros,
    pub offset: u32,
    pub bytes: u32,
}
#[derive(Debug, Error)]
#[error("index")]
pub struct IndexError;
#[derive(Debug)]
pub struct IndexReader;
#[derive(Debug)]
pub struct IndexHeader {
    pub salt: u64,
    pub valid_end: u64,
    pub next_commit: u64,
}
#[derive(Debug)]
pub struct ShardEntry {
    pub shard: ShardNumber,
    pub first: SequenceNumber,
    pub end: SequenceNumber,
    pub payload_bytes: u64,
    pub oldest: UnixMicros,
    pub newest: UnixMicros,
}
impl IndexReader {
    pub fn open(_: &dyn Disk, _: &Path) -> Result<Self, IndexError> {
        Err(IndexError)
    }
    pub fn header(&self) -> IndexHeader {
        IndexHeader { salt: 0, valid_end: 0, next_commit: 0 }
    }
    pub fn directory(&self) -> Vec<ShardEntry> {
        Vec::new()
    }
    pub fn replies(&self) -> Result<Vec<ReplyEntry>, IndexError> {
        Ok(Vec::new())
    }
    pub fn find(&self, _: ShardNumber, _: SequenceNumber) -> Result<u64, IndexError> {
        Err(IndexError)
    }
    pub fn entries(&self, _: ShardNumber, _: u64, _: usize) -> Result<Vec<IndexEntry>, IndexError> {
        Err(IndexError)
    }
}
#[derive(Debug)]
pub struct IndexBuilder;
impl IndexBuilder {
    pub fn new(_: &SegmentHeader) -> Self {
        Self
    }
    pub fn add(&mut self, _: ShardNumber, _: IndexEntry) {}
    pub fn add_reply(&mut self, _: ReplyEntry) {}
    pub fn write(self, _: &dyn Disk, _: &Path, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
}
impl From<IndexError> for crate::stream::ReadError {
    fn from(_: IndexError) -> Self {
        Self::Stopped
    }
}
