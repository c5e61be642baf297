//! The segment that is written, and how the next one is taken into use.

use std::io;
use std::sync::Arc;

use super::Next;
use crate::stream::wal::journal::Options;
use crate::stream::wal::journal::keeping::Keeping;
use crate::stream::wal::segment::{FileName, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::stream::wal::stored::StoredSegment;
use crate::stream::wal::writer::SegmentWriter;

/// The segment that is written.
pub struct Active {
    pub stored: Arc<StoredSegment>,
    pub header: SegmentHeader,
    /// Where the next commit begins.
    pub end: u64,
    /// Where what is durable ends.
    pub durable_end: u64,
    /// The bytes from the last block boundary to `end`: a block is written again with what follows.
    pub tail: Vec<u8>,
    /// Frames in it.
    pub frames: usize,
}

/// Takes the segment that was made ahead into use.
pub fn turn(
    options: &Options,
    keeping: &Keeping,
    writer: &mut dyn SegmentWriter,
    next: &mut Next,
) -> io::Result<Active> {
    // First: a segment that is taken has to be used.
    remove_leftover(options, next.segment)?;
    let spare = keeping.take_spare()?;
    let header = SegmentHeader {
        class: options.class,
        number: next.segment,
        salt: SegmentHeader::new_salt(),
        first_commit: next.commit,
        previous_end: next.previous_end,
        node: options.node,
    };
    let segment = spare.activate(&*options.disk, header)?;
    writer.open(&segment.file, &segment.path)?;
    next.segment += 1;
    let (disk, readers) = (Arc::clone(&options.disk), &keeping.index_readers);
    let stored = Arc::new(StoredSegment::growing(disk, &options.folder, header.number, readers));
    keeping.opened(&stored);
    keeping.used(0);
    let start = SEGMENT_HEADER_BYTES;
    Ok(Active { stored, header, end: start, durable_end: start, tail: Vec::new(), frames: 0 })
}

/// A segment that could not be put into use may have got its name all the same. Nothing was written to it, and its
/// number is that of the next one.
fn remove_leftover(options: &Options, number: u64) -> io::Result<()> {
    match options.disk.remove(&FileName::segment(&options.folder, number)) {
        Ok(()) => options.disk.sync_folder(&options.folder),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
