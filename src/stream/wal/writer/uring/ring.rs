//! A ring with two registered buffers and one registered file, which has at most one write under way.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, types};

use super::super::buffer::CommitBuffer;
use super::super::misused;

/// Index of the only registered file.
const FILE: u32 = 0;

pub(super) struct Ring {
    /// Before the buffers, so that it is gone when they are freed.
    uring: IoUring,
    buffers: [CommitBuffer; 2],
    /// False once a write has been refused: it would be submitted together with the next one.
    works: bool,
}

impl Ring {
    /// The calling thread is the only one that may use it.
    pub(super) fn new(buffers: [CommitBuffer; 2]) -> io::Result<Self> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(2)
            .map_err(|error| told("a ring cannot be made (the kernel must be 6.1 or newer)", &error))?;
        uring
            .submitter()
            .register_files_sparse(1)
            .map_err(|error| told("files cannot be registered", &error))?;
        let ring = Self { uring, buffers, works: true };
        ring.register_buffers().map_err(|error| {
            told("buffers cannot be registered (see ulimit -l: 8 MiB are needed)", &error)
        })?;
        Ok(ring)
    }

    #[expect(unsafe_code, reason = "the kernel is told where the buffers are")]
    fn register_buffers(&self) -> io::Result<()> {
        let vectors = self.buffers.each_ref().map(|buffer| libc::iovec {
            iov_base: buffer.bytes().as_ptr().cast_mut().cast(),
            iov_len: buffer.bytes().len(),
        });
        // SAFETY: the vectors describe memory of `self.buffers`, which is never moved or freed before `drop` has taken
        // the registration back. Nothing is written to it through the vectors: only writes to files are submitted.
        unsafe { self.uring.submitter().register_buffers(&vectors) }
    }

    /// Whether it takes writes.
    pub(super) fn works(&self) -> bool {
        self.works
    }

    /// Directs the following writes to `file`. The kernel keeps it open for as long as it needs it.
    pub(super) fn direct_to(&mut self, file: &File) -> io::Result<()> {
        self.uring.submitter().register_files_update(FILE, &[file.as_raw_fd()]).map(drop)
    }

    /// The buffers. One from which a write is under way must not be touched.
    pub(super) fn buffers(&mut self) -> &mut [CommitBuffer; 2] {
        &mut self.buffers
    }

    /// Starts writing part of a buffer at `offset`. After an error nothing is under way.
    pub(super) fn start(&mut self, buffer: usize, part: Range<usize>, offset: u64) -> io::Result<()> {
        let bytes = self.buffers.get(buffer).and_then(|buffer| buffer.bytes().get(part));
        let bytes = bytes.ok_or_else(|| misused("there are two buffers, and parts must lie within"))?;
        // Both fit: a buffer has a few MiB.
        let write =
            opcode::WriteFixed::new(types::Fixed(FILE), bytes.as_ptr(), bytes.len() as u32, buffer as u16)
                .offset(offset)
                .build();
        if !self.works {
            return Err(io::Error::other("the ring has refused a write before: open a segment again"));
        }
        self.push(&write)?;
        loop {
            match self.uring.submit() {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The kernel may have taken it all the same: then it will be completed.
                Err(_) if self.uring.submission().is_empty() => return Ok(()),
                Err(error) => {
                    self.works = false;
                    return Err(error);
                }
            }
        }
    }

    #[expect(unsafe_code, reason = "the kernel gets a pointer into a buffer")]
    fn push(&mut self, write: &io_uring::squeue::Entry) -> io::Result<()> {
        // SAFETY: `start` is the only caller. Its entry points into one of `self.buffers`, whose memory stays where it
        // is and is neither freed nor changed until the write is completed (see `super`).
        unsafe { self.uring.submission().push(write) }.map_err(|_| io::Error::other("the ring is full"))
    }

    /// Waits for the write that is under way: the bytes that it has written, or an error number below 0. An error means
    /// that nothing can be learned about it, so that it must be thought to be under way for ever.
    pub(super) fn wait(&mut self) -> io::Result<i32> {
        loop {
            if let Some(completion) = self.uring.completion().next() {
                return Ok(completion.result());
            }
            match self.uring.submit_and_wait(1) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // Closing the ring would do it later, at some moment; the next ring may need the locked memory before. If it
        // fails (on another thread), the kernel holds the memory's pages until the ring is gone.
        let _ = self.uring.submitter().unregister_buffers();
    }
}

fn told(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
