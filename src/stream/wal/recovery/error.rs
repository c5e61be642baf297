//! Why a journal cannot be recovered.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::stream::wal::index::IndexError;
use crate::stream::wal::segment::SegmentError;

/// Why a journal cannot be recovered. Nothing that was acknowledged has been changed.
#[derive(Debug, Error)]
pub enum RecoveryError {
    /// The disk does not answer.
    #[error("cannot read or repair {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A segment cannot be used.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// An index file cannot be used, and neither can it be made anew.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A segment of another node.
    #[error(
        "{path} was written by node {found}, this is node {expected}: each node needs a data folder of its own"
    )]
    OtherNode {
        /// The segment.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose folder it is in.
        expected: String,
    },
    /// Nobody waits for it any more.
    #[error("stopped while recovering")]
    Stopped,
    /// What was acknowledged is damaged.
    #[error(
        "{path} is damaged from byte {at} to byte {until} ({what}): {bytes} bytes of acknowledged records are lost; \
         restore the file from a copy, or start with --accept-damage to go on without them"
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where damage begins.
        at: u64,
        /// Where it ends.
        until: u64,
        /// Bytes between the two.
        bytes: u64,
        /// What does not fit.
        what: String,
    },
}
