//! The content of one file.

use std::collections::BTreeSet;
use std::ops::Range;

/// What a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    /// As the process sees it.
    content: Vec<u8>,
    /// On stable storage.
    stable: Vec<u8>,
    /// Sectors that the system knows to differ.
    dirty: BTreeSet<usize>,
}

impl Node {
    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let found =
            usize::try_from(offset).ok().and_then(|offset| self.content.get(offset..)).unwrap_or_default();
        let bytes = found.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&found[..bytes]);
        bytes
    }

    /// Writes `bytes`. The system may have written earlier, unsynced content of the same sectors to the disk.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64, random: &mut fastrand::Rng) {
        let Ok(start) = usize::try_from(offset) else { return };
        if bytes.is_empty() {
            return;
        }
        let end = start + bytes.len();
        for sector in sectors(start.min(self.content.len())..end) {
            if self.dirty.contains(&sector) && random.u8(..4) == 0 {
                self.write_back(sector);
            }
            self.dirty.insert(sector);
        }
        if self.content.len() < end {
            self.content.resize(end, 0);
        }
        self.content[start..end].copy_from_slice(bytes);
    }

    pub(super) fn set_len(&mut self, bytes: usize) {
        let (low, high) = (bytes.min(self.content.len()), bytes.max(self.content.len()));
        self.dirty.extend(sectors(low..high));
        self.content.resize(bytes, 0);
    }

    pub(super) fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.write_back(sector);
        }
        self.stable.resize(self.content.len(), 0);
    }

    /// Every unsynced sector reaches the disk or is lost, and the system forgets that it was not synced. What is lost
    /// may go on to be seen until the next crash.
    pub(super) fn fail_sync(&mut self, random: &mut fastrand::Rng) {
        let still_seen = random.bool();
        for sector in std::mem::take(&mut self.dirty) {
            if random.bool() {
                self.write_back(sector);
            } else if !still_seen {
                let range = clip(sector, self.content.len());
                let old = self.old(range.clone());
                self.content[range].copy_from_slice(&old);
            }
        }
    }

    /// The file after a loss of power.
    pub(super) fn after_crash(&self, random: &mut fastrand::Rng) -> Self {
        // All that was not synced is lost, or kept, or every sector has its own fate.
        let chance = [0, 4, 2, 2][random.usize(..4)];
        let kept = |random: &mut fastrand::Rng| random.u8(..4) < chance;
        let (old, new) = (self.stable.len(), self.content.len());
        let bytes = match random.u8(..4) {
            // In between, a file ends with a sector.
            0 => random.usize(old.min(new)..=old.max(new)) / SECTOR_BYTES * SECTOR_BYTES,
            _ if kept(random) => new,
            _ => old,
        };
        let bytes = bytes.clamp(old.min(new), old.max(new));
        let mut content = self.old(0..bytes);
        for sector in &self.dirty {
            let range = clip(*sector, bytes.min(new));
            if !range.is_empty() && kept(random) {
                content[range.clone()].copy_from_slice(&self.content[range]);
            }
        }
        Self { stable: content.clone(), content, dirty: BTreeSet::new() }
    }

    /// Whether there is such a byte.
    pub(super) fn flip(&mut self, offset: u64, mask: u8) -> bool {
        let Ok(offset) = usize::try_from(offset) else { return false };
        if let Some(byte) = self.stable.get_mut(offset) {
            *byte ^= mask;
        }
        match self.content.get_mut(offset) {
            Some(byte) => {
                *byte ^= mask;
                true
            }
            None => false,
        }
    }

    fn write_back(&mut self, sector: usize) {
        let range = clip(sector, self.content.len());
        if self.stable.len() < range.end {
            self.stable.resize(range.end, 0);
        }
        self.stable[range.clone()].copy_from_slice(&self.content[range]);
    }

    /// What stable storage has there; zeros behind its end.
    fn old(&self, range: Range<usize>) -> Vec<u8> {
        let mut old = self.stable.get(range.start.min(self.stable.len())..).unwrap_or_default().to_vec();
        old.resize(range.len(), 0);
        old
    }
}

/// The sectors in which `bytes` lie.
fn sectors(bytes: Range<usize>) -> Range<usize> {
    bytes.start / SECTOR_BYTES..bytes.end.div_ceil(SECTOR_BYTES)
}

/// The bytes of a sector, up to `end`.
fn clip(sector: usize, end: usize) -> Range<usize> {
    let start = (sector * SECTOR_BYTES).min(end);
    start..(start + SECTOR_BYTES).min(end)
}
