//! Memory for commits.

use super::BLOCK_BYTES;
use crate::config::limits;

/// [`limits::COMMIT_BUFFER_BYTES`] of zeros, aligned to [`BLOCK_BYTES`]. They stay where they are while it lives.
pub(super) struct CommitBuffer {
    memory: Vec<u8>,
    start: usize,
}

impl CommitBuffer {
    fn new() -> Self {
        let memory = vec![0_u8; limits::COMMIT_BUFFER_BYTES + BLOCK_BYTES];
        let start = memory.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        Self { memory, start }
    }

    /// The two buffers of a writer.
    pub(super) fn pair() -> [Self; 2] {
        [Self::new(), Self::new()]
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + limits::COMMIT_BUFFER_BYTES]
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + limits::COMMIT_BUFFER_BYTES]
    }
}
