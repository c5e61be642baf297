//! What goes wrong, and when.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// What is asked of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "they are the methods of `Disk` and `DiskFile`")]
pub enum Operation {
    CreateFolder,
    List,
    Create,
    Open,
    Rename,
    Remove,
    SyncFolder,
    Read,
    Write,
    Sync,
    Len,
    SetLen,
}

impl Operation {
    /// Whether it changes what a crash leaves.
    fn changes(self) -> bool {
        !matches!(self, Self::List | Self::Open | Self::Read | Self::Len)
    }
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// With `EIO`. A write may have written some of its bytes. After a sync, what was not synced is on stable storage
    /// or lost, sector by sector, and another sync does not bring it back: the system takes it for written.
    Io,
    /// With `ENOSPC`, and without having done anything.
    Full,
    /// A read or write ends after so many bytes; anything else fails as with [`Failure::Io`].
    Short(usize),
}

impl Failure {
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Io | Self::Short(_) => io::Error::other("input/output error (injected)"),
            Self::Full => io::Error::new(io::ErrorKind::StorageFull, "no space left on device (injected)"),
        }
    }
}

/// Operations that fail.
#[derive(Debug, Clone)]
pub struct Fault {
    operation: Operation,
    failure: Failure,
    path: String,
    skip: u64,
    times: u64,
}

impl Fault {
    /// The next operation of this kind, once.
    pub fn new(operation: Operation, failure: Failure) -> Self {
        Self { operation, failure, path: String::new(), skip: 0, times: 1 }
    }

    /// Only after so many of them have succeeded.
    #[must_use]
    pub fn after(self, operations: u64) -> Self {
        Self { skip: operations, ..self }
    }

    /// So many of them in a row; [`u64::MAX`] for all.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Only those on paths that end with this text. A file's path is the one by which it was created or opened.
    #[must_use]
    pub fn on(self, path_end: &str) -> Self {
        Self { path: path_end.to_owned(), ..self }
    }
}

/// All faults of a disk.
#[derive(Debug, Default)]
pub(super) struct Faults {
    faults: Vec<Fault>,
    counts: BTreeMap<Operation, u64>,
    changes: u64,
    /// `changes` at which the power ends.
    power_until: Option<u64>,
    off: bool,
}

impl Faults {
    /// Those of a disk that is off.
    pub(super) fn off() -> Self {
        Self { off: true, ..Self::default() }
    }

    pub(super) fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.faults.clear();
        self.power_until = None;
    }

    pub(super) fn cut_power_after(&mut self, changes: u64) {
        self.power_until = Some(self.changes.saturating_add(changes));
    }

    pub(super) fn is_off(&self) -> bool {
        self.off
    }

    pub(super) fn count(&self, operation: Operation) -> u64 {
        self.counts.get(&operation).copied().unwrap_or_default()
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Counts an operation and says how it fails. An error means that there is no power.
    pub(super) fn begin(&mut self, operation: Operation, path: &Path) -> io::Result<Option<Failure>> {
        if self.off {
            return Err(no_power());
        }
        *self.counts.entry(operation).or_default() += 1;
        if operation.changes() {
            if self.power_until.is_some_and(|until| self.changes >= until) {
                self.off = true;
                return Err(no_power());
            }
            self.changes += 1;
        }
        let path = path.to_string_lossy();
        let matching = self.faults.iter_mut().filter(|fault| {
            fault.operation == operation && fault.times > 0 && path.ends_with(fault.path.as_str())
        });
        let mut failure = None;
        for fault in matching {
            if fault.skip > 0 {
                fault.skip -= 1;
            } else if failure.is_none() {
                fault.times = if fault.times == u64::MAX { u64::MAX } else { fault.times - 1 };
                failure = Some(fault.failure);
            }
        }
        Ok(failure)
    }
}

fn no_power() -> io::Error {
    io::Error::other("the machine is off (injected)")
}
