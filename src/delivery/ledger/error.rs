//! What can go wrong with a ledger.

use std::io;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use super::entry::Generation;
use super::refusal::Refusal;
use crate::delivery::sink::SinkError;

/// Why a ledger cannot be opened or appended to. Callers that shared a write share its error.
#[derive(Debug, Clone, Error)]
pub enum LedgerError {
    /// There is no space for another entry. Nothing is lost, and appending works again when there is.
    #[error("no space to {action} {path}: make room on the disk; nothing is lost, and it is tried again")]
    DiskFull {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: String,
    },
    /// The disk does not do what it is told.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// What stands there is not what was written, and it is not the end of a write that a crash has cut short.
    #[error(
        "{path} is damaged at line {line}: {what}; restore it from a copy, or move its folder away to deliver again everything that the log still has"
    )]
    Damaged {
        /// The file.
        path: String,
        /// The line, from 1.
        line: u64,
        /// What does not fit.
        what: String,
    },
    /// The file was written by another version of the program.
    #[error("{path} has format {found}, this program reads format {known}: run the version that wrote it")]
    Format {
        /// The file.
        path: String,
        /// What it says.
        found: u32,
        /// What can be read.
        known: u32,
    },
    /// An entry cannot follow those before it. Nothing of its append was written.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// Another process has taken the ledger over. It is closed for this one for ever; nothing of the append is in it.
    #[error("node '{}' has taken it over (generation {})", by.node, by.number)]
    Deposed {
        /// Which.
        by: Arc<Generation>,
    },
    /// The store with the ledger does not do what it is told.
    #[error("cannot {action} '{key}' in the store with the ledger: {source}")]
    Store {
        /// What was tried.
        action: &'static str,
        /// The object or folder.
        key: String,
        /// What the store said.
        source: Arc<SinkError>,
    },
    /// The store takes no notice of conditions, so that two processes could write over each other.
    #[error(
        "the store with the ledger does not refuse to create '{key}' a second time (If-None-Match: *): ledgers that          several nodes can reach need a store that does"
    )]
    NoConditions {
        /// The object.
        key: String,
    },
    /// It belongs to another cluster of nodes. Both would deliver everything, and depose each other for ever.
    #[error(
        "the ledger '{key}' is of the nodes with [cluster] group = \"{owner}\", and this one has group = \"{group}\": give \
         each cluster a ledger of its own, or its nodes the same group"
    )]
    OtherGroup {
        /// The folder.
        key: String,
        /// Whose it is.
        owner: String,
        /// Who wants it.
        group: String,
    },
    /// Others are always faster.
    #[error(
        "'{key}' cannot be taken over, as others take it over at the same time: tried often enough for now"
    )]
    Contended {
        /// The folder.
        key: String,
    },
    /// It was to be used as a ledger in a folder.
    #[error("a ledger in a store is not opened or written by a thread that waits")]
    NotHere,
    /// An entry cannot be written as JSON.
    #[error("cannot write a ledger entry as JSON: {0}")]
    Json(#[from] Arc<serde_json::Error>),
    /// The process stops.
    #[error("the process stops")]
    Stopped,
}

impl LedgerError {
    /// The error of doing `action` to `path`.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.display().to_string();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { action, path },
            _ => Self::Io { action, path, source: Arc::new(source) },
        }
    }

    pub(super) fn damaged(path: &Path, line: u64, what: impl Into<String>) -> Self {
        Self::damaged_text(&path.display().to_string(), line, what)
    }

    /// The same for what is no file.
    pub(super) fn damaged_text(path: &str, line: u64, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), line, what: what.into() }
    }

    /// Whether another process has taken the ledger over.
    pub fn is_deposed(&self) -> bool {
        matches!(self, Self::Deposed { .. })
    }

    /// Whether there is no such file or folder.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether it goes away when there is space again.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::DiskFull { .. })
    }
}

impl From<serde_json::Error> for LedgerError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(Arc::new(error))
    }
}
