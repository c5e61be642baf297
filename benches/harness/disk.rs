//! What a disk does when nothing but the system is in the way: blocks written one after the other, each of them durable
//! before the next one begins.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::thread;
use std::time::{Duration, Instant};

use forebay::config::limits::COMMIT_BUFFER_BYTES;
use forebay::runtime::disk::{Disk, RealDisk};
use forebay::stream::wal::writer::{SegmentWriter, UringWriter};
use hdrhistogram::Histogram;
use rustix::fs::OFlags;
use tempfile::TempDir;

use super::{clocks, nanoseconds, record, scratch_folder};

/// What direct writes are multiples of.
pub const PAGE_BYTES: usize = 4 << 10;

/// The largest block, and what zeros are written in.
const BLOCK_BYTES_MAX: usize = 8 << 20;

/// How a block becomes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `pwrite`, then `fdatasync`.
    WriteAndSync,
    /// One `pwrite` to a file that is open for direct and synchronous writes.
    Direct,
    /// The same through the log's `io_uring` writer.
    Ring,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::WriteAndSync, Self::Direct, Self::Ring];

    /// What to print.
    pub fn name(self) -> &'static str {
        match self {
            Self::WriteAndSync => "pwrite + fdatasync",
            Self::Direct => "pwrite, O_DIRECT|O_DSYNC",
            Self::Ring => "our writer, io_uring",
        }
    }
}

/// What some writes have shown.
pub struct Written {
    /// From the call to the block being durable.
    pub times: Histogram<u64>,
    pub bytes: u64,
    pub wall: Duration,
    /// CPU time of all threads of the process: the kernel may write from one of its own.
    pub cpu: Duration,
}

impl Written {
    /// Megabytes a second.
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.wall.as_secs_f64()
    }

    /// Microseconds of CPU a block.
    pub fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.times.len() as f64
    }
}

/// A file full of zeros that were written and synced, as a segment of the log. It is written from its start to its end,
/// then again.
pub struct ZeroedFile {
    file: File,
    method: Method,
    /// Of [`Method::Ring`]. It belongs to the thread that has made it.
    ring: Option<UringWriter>,
    bytes: u64,
    at: u64,
    /// Bytes that nobody can store as anything shorter, from an offset on that is a multiple of [`PAGE_BYTES`].
    memory: Vec<u8>,
    start: usize,
    _folder: TempDir,
}

impl ZeroedFile {
    /// An error where the file system has no such writes.
    pub fn create(method: Method, bytes: u64) -> io::Result<Self> {
        let folder = scratch_folder();
        let path = folder.path().join("zeroed");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let zeros = vec![0; BLOCK_BYTES_MAX.min(bytes as usize)];
        for offset in (0..bytes).step_by(zeros.len()) {
            file.write_all_at(&zeros, offset)?;
            file.sync_data()?;
        }
        file.sync_all()?;
        File::open(folder.path())?.sync_all()?;
        let file = match method {
            Method::WriteAndSync | Method::Ring => file,
            Method::Direct => {
                let flags = (OFlags::DIRECT | OFlags::DSYNC).bits() as i32;
                OpenOptions::new().read(true).write(true).custom_flags(flags).open(&path)?
            }
        };
        let mut memory = vec![0; BLOCK_BYTES_MAX + PAGE_BYTES];
        fastrand::Rng::with_seed(1).fill(&mut memory);
        let start = memory.as_ptr().align_offset(PAGE_BYTES);
        let ring = match method {
            Method::WriteAndSync | Method::Direct => None,
            Method::Ring => {
                let mut ring = UringWriter::new();
                ring.buffer(0).copy_from_slice(&memory[start..start + COMMIT_BUFFER_BYTES]);
                ring.open(&RealDisk.open(&path)?, &path)?;
                Some(ring)
            }
        };
        let bytes = bytes - bytes % zeros.len() as u64;
        Ok(Self { file, method, ring, bytes, at: 0, memory, start, _folder: folder })
    }

    /// Writes a block of `block` bytes, a multiple of [`PAGE_BYTES`], where the one before ended.
    fn write(&mut self, block: usize) -> io::Result<()> {
        if self.at + block as u64 > self.bytes {
            self.at = 0;
        }
        if let Some(ring) = &mut self.ring {
            ring.start(0, block, self.at)?;
            ring.finish()?;
        } else {
            self.file.write_all_at(&self.memory[self.start..self.start + block], self.at)?;
        }
        if self.method == Method::WriteAndSync {
            self.file.sync_data()?;
        }
        self.at += block as u64;
        Ok(())
    }

    /// One block after the other.
    pub fn back_to_back(&mut self, block: usize, duration: Duration) -> Written {
        self.each(block, duration, || {})
    }

    /// A block each `interval`, or as soon as the one before has ended.
    pub fn paced(&mut self, block: usize, interval: Duration, duration: Duration) -> Written {
        let mut due = Instant::now();
        self.each(block, duration, || {
            due += interval;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        })
    }

    fn each(&mut self, block: usize, duration: Duration, mut wait: impl FnMut()) -> Written {
        let block = block.min(BLOCK_BYTES_MAX).min(self.bytes as usize);
        assert!(self.ring.is_none() || block <= COMMIT_BUFFER_BYTES, "the writer's buffers are smaller");
        let mut times = nanoseconds();
        let (started, cpu) = (Instant::now(), clocks::process_cpu());
        while started.elapsed() < duration || times.is_empty() {
            wait();
            let begun = Instant::now();
            self.write(block).unwrap();
            record(&mut times, begun.elapsed());
        }
        let bytes = times.len() * block as u64;
        Written { times, bytes, wall: started.elapsed(), cpu: clocks::process_cpu() - cpu }
    }
}
