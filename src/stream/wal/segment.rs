//! Segment files: made ahead of time, put into use, opened again, scanned. The layout is described in [`super`].

mod header;
mod scan;

#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io;
#[cfg(target_os = "linux")]
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

pub use header::SegmentHeader;
pub use scan::{Fault, Mode, ScanEnd, ScannedCommit, ScannedFrame, Start, Verdict, Visitor, scan};

use super::writer::BLOCK_BYTES;
use crate::config::limits;
use crate::crash_point;
use crate::runtime::disk::{Disk, DiskFile};

/// Bytes of a segment's header: where its first commit begins.
pub const SEGMENT_HEADER_BYTES: u64 = BLOCK_BYTES as u64;

/// Ending of files that have not got their name yet.
const UNNAMED: &str = "new";

/// What a file of a journal's folder is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileName {
    /// A segment of this number.
    Segment(u64),
    /// The index of this segment.
    Index(u64),
    /// What a process left behind that ended before the file got its name. May be removed.
    Unnamed,
}

impl FileName {
    /// Reads the name of `path`; `None` for one that no journal gives.
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?;
        let stem = path.file_stem()?.to_str()?;
        let number = || {
            let digits =
                stem.len() == 16 && stem.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            u64::from_str_radix(stem, 16).ok().filter(|_| digits)
        };
        match ending {
            "segment" => number().map(Self::Segment),
            "index" => number().map(Self::Index),
            UNNAMED => Some(Self::Unnamed),
            _ => None,
        }
    }

    /// Path of the segment with this number.
    pub fn segment(folder: &Path, number: u64) -> PathBuf {
        folder.join(format!("{number:016x}.segment"))
    }

    /// Path of the index of the segment with this number.
    pub fn index(folder: &Path, number: u64) -> PathBuf {
        folder.join(format!("{number:016x}.index"))
    }

    /// Path under which something is written that will be renamed to `path`.
    pub fn unnamed(path: &Path) -> PathBuf {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".");
        name.push(UNNAMED);
        path.with_file_name(name)
    }
}

/// Why a file cannot be used as a segment.
#[derive(Debug, Error)]
pub enum SegmentError {
    /// The disk does not answer.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was written by another program, or by another version of this one.
    #[error("{path} is no segment of format version {}: {what}", header::VERSION)]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// Its header is not what was written. A named segment always has had a whole one.
    #[error("the header of {path} is damaged: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
}

/// A segment that is in use or was.
#[derive(Debug, Clone)]
pub struct Segment {
    /// What it was put into use as.
    pub header: SegmentHeader,
    /// Its size in bytes: commits end there at the latest.
    pub bytes: u64,
    /// Its name.
    pub path: PathBuf,
    /// Its content.
    pub file: Arc<dyn DiskFile>,
}

impl Segment {
    /// Opens the segment at `path` and checks its header.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Self, SegmentError> {
        let failed = |source| SegmentError::Io { path: path.to_owned(), source };
        let file = disk.open(path).map_err(failed)?;
        let mut block = vec![0; BLOCK_BYTES];
        match file.read_exact_at(&mut block, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let what = "the file ends before the header does";
                return Err(SegmentError::Damaged { path: path.to_owned(), what });
            }
            other => other.map_err(failed)?,
        }
        let (header, bytes) = SegmentHeader::parse(&block, path)?;
        Ok(Self { header, bytes, path: path.to_owned(), file })
    }
}

/// Zeros for a step of filling a segment. Direct writes need aligned memory.
#[repr(align(4096))]
struct Zeros([u8; limits::LOG_SEGMENT_FILL_BYTES]);

static ZEROS: Zeros = Zeros([0; limits::LOG_SEGMENT_FILL_BYTES]);

/// The same file for direct writes; `None` where the disk or the system has no such thing.
#[cfg(target_os = "linux")]
fn open_direct(file: &dyn DiskFile, path: &Path) -> Option<File> {
    file.file()?;
    OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path).ok()
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_file: &dyn DiskFile, _path: &Path) -> Option<File> {
    None
}

/// A segment that is ready to be put into use: full of zeros, on stable storage, without a name.
#[derive(Debug)]
pub struct PreparedSegment {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    bytes: u64,
}

impl PreparedSegment {
    /// Makes a segment of `bytes` bytes (a multiple of [`BLOCK_BYTES`], from two of them
    /// to [`limits::LOG_SEGMENT_BYTES_MAX`]) in `folder`, which must
    /// exist. `spare` tells it from others that are made at the same time; a file that a former process left under the
    /// same temporary name is replaced. Takes as long as writing that many bytes; nothing is left behind on an error.
    pub fn create(disk: &dyn Disk, folder: &Path, spare: u32, bytes: u64) -> io::Result<Self> {
        let sizes = 2 * SEGMENT_HEADER_BYTES..=limits::LOG_SEGMENT_BYTES_MAX;
        if !bytes.is_multiple_of(SEGMENT_HEADER_BYTES) || !sizes.contains(&bytes) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a segment of {bytes} bytes: give a multiple of {BLOCK_BYTES} in {sizes:?}"),
            ));
        }
        let path = folder.join(format!("spare-{spare:08x}.{UNNAMED}"));
        match disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(&path)?;
        let prepared = Self { file, path, bytes };
        match prepared.fill() {
            Ok(()) => Ok(prepared),
            Err(error) => {
                // The first error is the one that matters; a file that cannot be removed is at the next start.
                let _ = disk.remove(&prepared.path);
                Err(error)
            }
        }
    }

    /// Writes zeros past the page cache where that is possible: they are not copied, they do not stand in the way of
    /// direct writes later, and a commit's sync never waits behind more than a step of them.
    fn fill(&self) -> io::Result<()> {
        let direct = open_direct(&*self.file, &self.path);
        let mut writes_direct = direct.is_some();
        let mut offset = 0;
        while offset < self.bytes {
            let step = (self.bytes - offset).min(ZEROS.0.len() as u64);
            let zeros = &ZEROS.0[..step as usize];
            let direct = direct.as_ref().filter(|_| writes_direct);
            match direct.map_or_else(
                || Err(io::ErrorKind::Unsupported.into()),
                |file| file.write_all_at(zeros, offset),
            ) {
                Ok(()) => {}
                // Some file systems open files for direct writes and then take none.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
                {
                    writes_direct = false;
                    self.file.write_all_at(zeros, offset)?;
                    self.file.sync_data()?;
                }
                Err(error) => return Err(error),
            }
            offset += step;
        }
        self.file.sync_data()
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts it into use in the same folder: once this returns, it is there after a crash as well. After an error it is
    /// unknown whether it is: the number must not be used for another segment, unless a restart finds it free. The
    /// temporary name is gone in any case, so that tries that fail do not fill the disk.
    pub fn activate(self, disk: &dyn Disk, header: SegmentHeader) -> io::Result<Segment> {
        let unnamed = self.path.clone();
        self.name(disk, header).inspect_err(|_| {
            // It may have got its name; if it cannot be removed, the next start tries again.
            let _ = disk.remove(&unnamed);
        })
    }

    fn name(self, disk: &dyn Disk, header: SegmentHeader) -> io::Result<Segment> {
        let folder = self.path.parent().unwrap_or(Path::new(".")).to_owned();
        self.file.write_all_at(&header.encode(self.bytes), 0)?;
        self.file.sync_data()?;
        let path = FileName::segment(&folder, header.number);
        crash_point!("log.segment.rename");
        disk.rename(&self.path, &path)?;
        disk.sync_folder(&folder)?;
        Ok(Segment { header, bytes: self.bytes, path, file: self.file })
    }

    /// Takes it away again.
    pub fn discard(self, disk: &dyn Disk) -> io::Result<()> {
        disk.remove(&self.path)
    }
}
