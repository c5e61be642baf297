//! A file of lines that is closed by size and by age, and then stands beside the next one under another name.
//!
//! ```text
//! access.log                           is written
//! access-20261122T060000.000Z.log      was closed then
//! access-20261121T060000.000Z.log.gz   the same, compressed; the oldest are removed
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use super::rotation::{Compression, closed_files, closed_name};
use crate::config::checked::LogFile;
use crate::runtime::clock::{self, UnixMicros};

/// See the module.
pub(super) struct RotatedFile {
    rule: LogFile,
    file: File,
    /// Bytes of whole lines.
    bytes: u64,
    begun: UnixMicros,
    compression: Option<Compression>,
}

impl RotatedFile {
    /// Goes on with the file that there is, or begins one, with its folder. To be followed by [`RotatedFile::begin`] once
    /// nobody else writes to it any more.
    pub fn open(rule: LogFile) -> io::Result<Self> {
        if let Some(folder) = rule.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let (file, bytes, begun) = open(&rule.path)?;
        Ok(Self { rule, file, bytes, begun, compression: None })
    }

    /// Finds out how much is in the file, and begins to compress closed ones.
    ///
    /// # Errors
    /// If the file cannot be had any more.
    pub fn begin(&mut self) -> io::Result<()> {
        (self.file, self.bytes, self.begun) = open(&self.rule.path)?;
        self.compress_next();
        Ok(())
    }

    /// Whether [`RotatedFile::tend`] has more to do at once.
    pub fn is_compressing(&self) -> bool {
        self.compression.is_some()
    }

    /// Opens the file again if that is asked for, closes it if it is old, and goes on compressing closed ones.
    pub fn tend(&mut self, is_reopened: bool) -> io::Result<()> {
        if is_reopened {
            (self.file, self.bytes, self.begun) = open(&self.rule.path)?;
        }
        let age = clock::wall().0.saturating_sub(self.begun.0).max(0).unsigned_abs();
        if self.bytes > 0 && u128::from(age) >= self.rule.age_max.as_micros() {
            self.close()?;
        }
        if let Some(compression) = &mut self.compression {
            match compression.step() {
                Ok(false) => {}
                Ok(true) => {
                    self.compression = None;
                    self.compress_next();
                }
                Err(error) => {
                    // Tried again when the next file is closed.
                    self.compression = None;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Writes whole lines, and begins another file if they do not fit into this one.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut rest = lines;
        while !rest.is_empty() {
            let room = self.rule.bytes_max.saturating_sub(self.bytes);
            let taken = lines_within(rest, room);
            if taken == 0 && self.bytes > 0 {
                self.close()?;
                continue;
            }
            // A line that is longer than a whole file has one of its own.
            let taken = if taken == 0 { first_line(rest) } else { taken };
            let (now, later) = rest.split_at(taken);
            if let Err(error) = self.file.write_all(now) {
                // What has got there is half a line: it must not stand before the next one.
                self.file.set_len(self.bytes)?;
                return Err(error);
            }
            self.bytes += taken as u64;
            rest = later;
        }
        Ok(())
    }

    /// Gives the file its other name and begins the next one.
    fn close(&mut self) -> io::Result<()> {
        let closed = closed_name(&self.rule.path, clock::wall())?;
        match fs::rename(&self.rule.path, &closed) {
            Ok(()) => {}
            // Somebody has moved it: then it is theirs.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        (self.file, self.bytes, self.begun) = open(&self.rule.path)?;
        self.remove_oldest()?;
        self.compress_next();
        Ok(())
    }

    fn remove_oldest(&mut self) -> io::Result<()> {
        let closed = closed_files(&self.rule.path)?;
        let beyond = closed.len().saturating_sub(self.rule.kept);
        for path in closed.iter().take(beyond) {
            if self.compression.as_ref().is_some_and(|compression| compression.is_of(path)) {
                self.compression = None;
            }
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// Begins to compress the oldest file that is not, if there is one.
    fn compress_next(&mut self) {
        if !self.rule.is_compressed || self.compression.is_some() {
            return;
        }
        let closed = closed_files(&self.rule.path).unwrap_or_default();
        let plain = closed.into_iter().find(|path| path.extension().is_none_or(|end| end != "gz"));
        // What cannot be read stays as it is.
        self.compression = plain.and_then(|path| Compression::begin(path).ok());
    }
}

fn open(path: &Path) -> io::Result<(File, u64, UnixMicros)> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    let known = file.metadata()?;
    let begun = match known.len() {
        0 => clock::wall(),
        _ => known.created().or_else(|_| known.modified()).map_or_else(|_| clock::wall(), unix_micros),
    };
    Ok((file, known.len(), begun))
}

fn unix_micros(time: SystemTime) -> UnixMicros {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMicros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Bytes of the whole lines at the beginning that have room.
fn lines_within(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(lines.len());
    let end = lines.get(..room).and_then(|lines| memchr::memrchr(b'\n', lines));
    end.map_or(0, |end| end + 1)
}

fn first_line(lines: &[u8]) -> usize {
    memchr::memchr(b'\n', lines).map_or(lines.len(), |end| end + 1)
}
