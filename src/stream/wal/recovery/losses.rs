//! What is gone, and was accepted to be.
//!
//! An index file without its segment, whose salt is 0 (which no segment has), says that the loss of the segment was
//! accepted. It goes away with the last segment before it.

use std::io;
use std::path::Path;

use crate::runtime::disk::Disk;
use crate::stream::wal::index::{IndexBuilder, IndexReader, IndexedSegment};
use crate::stream::wal::segment::FileName;

/// Segments that should stand between those of `numbers` (in order) and do not, first and last of each gap, without
/// those whose loss was accepted.
pub(super) fn missing(disk: &dyn Disk, folder: &Path, numbers: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut missing: Vec<(u64, u64)> = Vec::new();
    let mut expected = None;
    for number in numbers {
        for lost in expected.unwrap_or(number)..number {
            match missing.last_mut() {
                _ if is_accepted(disk, folder, lost) => {}
                Some((_, last)) if *last + 1 == lost => *last = lost,
                _ => missing.push((lost, lost)),
            }
        }
        expected = Some(number + 1);
    }
    missing
}

fn is_accepted(disk: &dyn Disk, folder: &Path, number: u64) -> bool {
    let index = IndexReader::open(disk, &FileName::index(folder, number));
    index.is_ok_and(|index| index.segment().salt == 0)
}

/// Notes that the loss of segments was accepted.
pub(super) fn accept(disk: &dyn Disk, folder: &Path, missing: &[(u64, u64)]) -> io::Result<()> {
    for number in missing.iter().flat_map(|(first, last)| *first..=*last) {
        let segment = IndexedSegment { number, salt: 0, valid_end: 0, next_commit: 0 };
        IndexBuilder::new().write(disk, &FileName::index(folder, number), segment)?;
    }
    Ok(())
}

/// Gives a segment that cannot be used a name that no journal gives.
pub(super) fn set_aside(disk: &dyn Disk, folder: &Path, path: &Path) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".damaged");
    disk.rename(path, &folder.join(name))?;
    disk.sync_folder(folder)
}
