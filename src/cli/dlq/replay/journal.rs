//! The journal of replays: what was sent, so that nothing is sent twice, and where it has landed, so that a record that
//! comes back is known.
//!
//! Text, one fact a line, each synced before the next step is taken:
//! ```text
//! {xxh3-64 of the JSON, seed 0, 16 hex digits} {JSON}\n
//! ```
//! | JSON | is written |
//! | --- | --- |
//! | `{"intent":{…}}` | before a request: which lines of which file, to which stream, under which idempotency key |
//! | `{"sent":{…}}` | when it is acknowledged: where the records are now, and which were refused |
//! | `{"void":{…}}` | when it is known that nothing of it was taken |
//!
//! An intent with neither of the others is a request of which nobody knows the answer: it is sent again as it was. A
//! last line that is not whole is the end of a write that was cut short, and is cut. Anything else that is not whole is
//! damage, and an error.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::rows::Rows;
use crate::config::limits::REPLAY_JOURNAL_BYTES_MAX;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::{Disk, DiskFile};

/// Hex digits of the checksum.
const CHECKSUM: usize = 16;

/// Why there is no journal.
#[derive(Debug, Error)]
pub enum JournalError {
    /// Reading or writing has failed.
    #[error("the journal {}: {source}: let the user write there, or name another one with --journal", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another replay uses it.
    #[error("the journal {} is in use by another replay: wait for it, or end it", .path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A line is not what was written.
    #[error("the journal {} is damaged at line {line}: restore it from a copy; without it letters may be sent twice", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
    },
    /// It is larger than it may be.
    #[error("the journal {} has more than {REPLAY_JOURNAL_BYTES_MAX} bytes: move it away together with the dead letters that it is about", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// A request, before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Increasing within the journal.
    pub id: u64,
    /// When it was sent first.
    pub at: UnixMicros,
    /// The file of dead letters: `STREAM/DELIVERY/KEY`.
    pub file: String,
    /// Its lines, from 0.
    pub rows: Rows,
    /// The stream that they are sent to.
    pub to: String,
    /// Which replay of these records this is.
    pub attempt: u32,
    /// Under which the node knows it again.
    pub idempotency_key: String,
}

/// What has become of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// That of the intent.
    pub id: u64,
    /// Where the records are now: shard, first and last number.
    pub landed: Vec<(ShardId, SequenceNumber, SequenceNumber)>,
    /// Lines that were refused.
    #[serde(default, skip_serializing_if = "Rows::is_empty")]
    pub refused: Rows,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fact {
    Intent(Intent),
    Sent(Sent),
    Void { id: u64 },
}

/// Records that a replay has put into a stream.
#[derive(Debug, Clone, Copy)]
struct Landed {
    first: SequenceNumber,
    last: SequenceNumber,
    attempt: u32,
}

/// What a journal says.
#[derive(Debug, Default)]
pub struct Known {
    /// By file, then by the stream that it was sent to.
    sent: HashMap<String, HashMap<String, Rows>>,
    /// By stream and shard, in order.
    landed: HashMap<(String, ShardId), Vec<Landed>>,
    /// Requests whose outcome is not known.
    open: BTreeMap<u64, Intent>,
    next_id: u64,
}

impl Known {
    /// Whether a line of a file was sent to a stream, and taken there.
    pub fn is_sent(&self, file: &str, to: &str, row: u64) -> bool {
        self.sent.get(file).and_then(|streams| streams.get(to)).is_some_and(|rows| rows.has(row))
    }

    /// How often the record at this place was sent again until it came there.
    pub fn attempts(&self, stream: &str, shard: ShardId, number: SequenceNumber) -> u32 {
        let Some(landed) = self.landed.get(&(stream.to_owned(), shard)) else { return 0 };
        let index = landed.partition_point(|landed| landed.last < number);
        landed.get(index).filter(|landed| landed.first <= number).map_or(0, |landed| landed.attempt)
    }

    /// Requests about a file whose outcome is not known.
    pub fn open_of(&self, file: &str) -> Vec<Intent> {
        self.open.values().filter(|intent| intent.file == file).cloned().collect()
    }

    fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Intent(intent) => {
                self.next_id = self.next_id.max(intent.id + 1);
                self.open.insert(intent.id, intent);
            }
            Fact::Void { id } => {
                self.open.remove(&id);
            }
            Fact::Sent(Sent { id, landed, refused }) => {
                let Some(Intent { file, mut rows, to, attempt, .. }) = self.open.remove(&id) else { return };
                rows.remove(&refused);
                for (shard, first, last) in landed {
                    let known = self.landed.entry((to.clone(), shard)).or_default();
                    let index = known.partition_point(|landed| landed.last < first);
                    known.insert(index, Landed { first, last, attempt });
                }
                self.sent.entry(file).or_default().entry(to).or_default().add(&rows);
            }
        }
    }
}

/// A journal that is written to.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    end: u64,
    /// What it says.
    pub known: Known,
}

impl Journal {
    /// Reads the journal at `path` without touching it; says nothing if there is none.
    pub fn look_at(disk: &dyn Disk, path: &Path) -> Result<Known, JournalError> {
        match disk.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Known::default()),
            other => Ok(scan(path, other.map_err(|source| failed(path, source))?.as_ref())?.0),
        }
    }

    /// Opens the journal at `path`, which is made if there is none. Nobody else can open it meanwhile.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Self, JournalError> {
        let failed = |source| failed(path, source);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        let file = match disk.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                disk.create_folder(folder).map_err(failed)?;
                let file = disk.create(path).map_err(failed)?;
                disk.sync_folder(folder).map_err(failed)?;
                file
            }
            other => other.map_err(failed)?,
        };
        // A disk that is simulated has no other process.
        match file.file().map_or(Ok(()), std::fs::File::try_lock) {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(JournalError::InUse { path: path.to_owned() });
            }
            Err(std::fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
        let (known, end) = scan(path, file.as_ref())?;
        if file.len().map_err(failed)? > end {
            file.set_len(end).map_err(failed)?;
        }
        // What the last process has written may be readable and not durable.
        file.sync_data().map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, end, known })
    }

    /// The number of the next intent.
    pub fn next_id(&self) -> u64 {
        self.known.next_id
    }

    /// Notes a request that is about to be sent.
    pub fn intend(&mut self, intent: Intent) -> Result<(), JournalError> {
        self.write(Fact::Intent(intent))
    }

    /// Notes what has become of one.
    pub fn sent(&mut self, sent: Sent) -> Result<(), JournalError> {
        self.write(Fact::Sent(sent))
    }

    /// Notes that nothing of one was taken.
    pub fn void(&mut self, id: u64) -> Result<(), JournalError> {
        self.write(Fact::Void { id })
    }

    fn write(&mut self, fact: Fact) -> Result<(), JournalError> {
        let failed = |source| failed(&self.path, source);
        let json = serde_json::to_vec(&fact).map_err(|error| failed(error.into()))?;
        let mut line = format!("{:016x} ", xxh3_64(&json)).into_bytes();
        line.extend_from_slice(&json);
        line.push(b'\n');
        if self.end + line.len() as u64 > REPLAY_JOURNAL_BYTES_MAX {
            return Err(JournalError::TooLarge { path: self.path.clone() });
        }
        self.file.write_all_at(&line, self.end).map_err(failed)?;
        self.file.sync_data().map_err(failed)?;
        self.end += line.len() as u64;
        self.known.take(fact);
        Ok(())
    }
}

fn failed(path: &Path, source: io::Error) -> JournalError {
    JournalError::Io { path: path.to_owned(), source }
}

/// What a file says, and how many bytes of it count.
fn scan(path: &Path, file: &dyn DiskFile) -> Result<(Known, u64), JournalError> {
    let bytes = file.len().map_err(|source| failed(path, source))?;
    if bytes > REPLAY_JOURNAL_BYTES_MAX {
        return Err(JournalError::TooLarge { path: path.to_owned() });
    }
    let mut text = BufReader::new(Content { file, offset: 0 });
    let (mut known, mut end, mut number, mut line) = (Known::default(), 0, 0, Vec::new());
    let mut bad = None;
    loop {
        line.clear();
        let read = text.read_until(b'\n', &mut line).map_err(|source| failed(path, source))?;
        if read == 0 {
            return Ok((known, end));
        }
        number += 1;
        match (decode(&line), bad) {
            (Some(fact), None) => {
                known.take(fact);
                end += read as u64;
            }
            // A write is synced before the next one: what a whole line follows was whole once.
            (Some(_), Some(line)) => return Err(JournalError::Damaged { path: path.to_owned(), line }),
            (None, _) => bad = bad.or(Some(number)),
        }
    }
}

fn decode(line: &[u8]) -> Option<Fact> {
    let (checksum, json) = line.strip_suffix(b"\n")?.split_at_checked(CHECKSUM)?;
    let json = json.strip_prefix(b" ")?;
    if checksum != format!("{:016x}", xxh3_64(json)).as_bytes() {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// A file from its start.
struct Content<'a> {
    file: &'a dyn DiskFile,
    offset: u64,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
