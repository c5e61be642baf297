//! The node's folder: who it belongs to, who uses it, and which durable streams are in it.
//!
//! ```text
//! DATA_DIR/
//!   lock          held by the process that uses the folder; tells its number
//!   node.json     { "format": 1, "node": "9f86d081884c7d65", "name": "a", "checksum": … }
//!   token-key.json  seals shard iterators: see [`token_key`]
//!   usage.json    what the quotas of principals have counted: see [`usage`]
//!   catalog.json  durable streams, their shards and numbers: see [`catalog`]
//!   log/          the write-ahead log
//!   ledger/       a folder a stream and delivery
//!   schema/       a file a stream whose columns are learned: see [`schemas`]
//!   cursors/      a folder a stream, with a file a named cursor: see [`document_folder`]
//!   delivery-streams/  a file each, of the Firehose API: see [`document_folder`]
//!   functions/    a file a stream whose records go through a function: see [`functions`]
//! ```
//!
//! `node.json` is written before anything else, so a folder with a log and without it is no folder of ours. A folder
//! that this process must not use is looked at and not touched: every check comes before the first write.

pub mod catalog;
mod document;
mod document_folder;
mod ledgers;
mod lock;
mod schemas;
mod token_key;
mod usage;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use document_folder::{DELIVERY_STREAMS, DocumentFolder};
pub use schemas::SchemaFile;
pub use token_key::TOKEN_KEY_BYTES;

pub use catalog::{
    Catalog, CatalogError, CatalogShard, CatalogStream, Changes, Consumer, DurabilityChange, StreamMode,
    StreamOrigin, StreamProperties,
};

use crate::runtime::disk::Disk;
use lock::Lock;

const NODE: &str = "node.json";
const CATALOG: &str = "catalog.json";
const LOG: &str = "log";
const LEDGER: &str = "ledger";
const LAYOUT: &str = "layout";

/// What only ever appears after `node.json`.
const AFTER_NODE: [&str; 8] = [
    LOG,
    CATALOG,
    LEDGER,
    LAYOUT,
    schemas::SCHEMA,
    document_folder::CURSORS,
    DELIVERY_STREAMS,
    document_folder::FUNCTIONS,
];

/// Why a folder cannot be this node's. Nothing in it has been touched, unless a write has failed.
#[derive(Debug, Error)]
pub enum NodeError {
    /// There is something else in its place.
    #[error("{} is not a folder: set data_dir to a folder, or to a path where one can be made", .path.display())]
    NotAFolder {
        /// Where.
        path: PathBuf,
    },
    /// The process may not read or write there.
    #[error(
        "{} cannot be used ({source}): let the process's user read and write there, or set data_dir to another folder", .path.display()
    )]
    Access {
        /// The folder or a file in it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Reading or writing has failed.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The folder or a file in it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process uses it.
    #[error(
        "{} is in use by another process{}: stop that one first, or set data_dir to another folder",
        .path.display(), .process.map(|id| format!(" (its lock file names process {id})")).unwrap_or_default()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process that has written its number into the lock file, which is the last one that has served.
        process: Option<u32>,
    },
    /// It was written by a version whose files this one does not know.
    #[error(
        "{} has format {found}, and this version of forebay reads format {known}: run the version that wrote it, or set data_dir to another folder", .path.display()
    )]
    OtherFormat {
        /// The file that tells.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The format of this version.
        known: u64,
    },
    /// It belongs to another node.
    #[error(
        "{} belongs to node \"{found}\", and this node is \"{configured}\": set data_dir to the folder of this node, or node = \"{found}\"", .path.display()
    )]
    OtherNode {
        /// The folder.
        path: PathBuf,
        /// Its node's name.
        found: String,
        /// The name in the configuration.
        configured: String,
    },
    /// It has records, and nothing tells whose they are.
    #[error(
        "{} has {found}, and no {NODE} that tells whose it is: restore that file from a backup, or set data_dir to another folder", .path.display()
    )]
    NoIdentity {
        /// The folder.
        path: PathBuf,
        /// What was found in it.
        found: &'static str,
    },
    /// A file is not what was written.
    #[error("{} is damaged or was changed by hand ({what}): restore it from a backup", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// There is no node's folder, and none was to be made.
    #[error("{} is no node's folder (it has no {NODE}): set data_dir to the folder of a node", .path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
}

impl NodeError {
    fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                NodeError::Access { path, source }
            }
            io::ErrorKind::NotADirectory => NodeError::NotAFolder { path },
            _ => NodeError::Io { path, source },
        }
    }
}

/// What a node is known by for ever: 64 random bits, printed as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId(u64);

impl NodeId {
    fn random() -> Self {
        // The keys of the standard library's hasher come from the system's source of randomness.
        Self(RandomState::new().hash_one(std::process::id()))
    }

    fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        let digits = Some(text).filter(|text| text.len() == 16 && text.bytes().all(plain))?;
        u64::from_str_radix(digits, 16).ok().map(Self)
    }

    /// The number itself: what the segments of the log carry.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The first 8 digits: what the names of objects carry.
    pub fn short(self) -> String {
        format!("{:08x}", self.0 >> 32)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The content of `node.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeDocument {
    node: String,
    name: Option<String>,
}

/// Whose a folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    id: NodeId,
    name: Option<String>,
}

impl Identity {
    fn read(disk: &dyn Disk, folder: &Path) -> Result<Self, NodeError> {
        let path = folder.join(NODE);
        let NodeDocument { node, name } = document::read(disk, &path)?;
        let what = || format!("node = {node:?} does not have 16 hexadecimal digits");
        let id = NodeId::parse(&node).ok_or_else(|| NodeError::Damaged { path, what: what() })?;
        Ok(Self { id, name })
    }

    fn write(&self, disk: &dyn Disk, folder: &Path) -> Result<(), NodeError> {
        let content = NodeDocument { node: self.id.to_string(), name: self.name.clone() };
        document::write(disk, folder, NODE, &content)
    }
}

/// A folder that this process uses alone.
#[derive(Debug)]
pub struct NodeFolder {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    identity: Identity,
    /// Held for as long as the folder is used.
    _lock: Option<Lock>,
}

impl NodeFolder {
    /// Whether there is anything of a node in `path`. Where nothing can be seen, there is not.
    pub fn is_begun(disk: &dyn Disk, path: &Path) -> bool {
        let names = names_in(disk, path).ok().flatten().unwrap_or_default();
        std::iter::once(NODE).chain(AFTER_NODE).any(|name| has(&names, name))
    }

    /// Opens the folder at `path` for the node of this `name` (any name if none is given), and makes it if there is
    /// none. A folder whose node has no name gets the one that is given.
    ///
    /// # Errors
    /// Any [`NodeError`] but [`NodeError::Missing`].
    pub fn open(disk: Arc<dyn Disk>, path: &Path, name: Option<&str>) -> Result<Self, NodeError> {
        // First without the lock, because taking it may make a file.
        match look(&*disk, path, name)? {
            Seen::NoFolder => disk.create_folder(path),
            Seen::NoNode | Seen::Node(_) => disk.check_writable(path),
        }
        .map_err(|source| NodeError::io(path, source))?;
        let lock = Lock::take_or_make(&*disk, path)?;
        // Again under the lock: another process may have begun the folder in between.
        let identity = match look(&*disk, path, name)? {
            Seen::Node(identity) if identity.name.is_some() || name.is_none() => identity,
            seen => {
                let id = if let Seen::Node(known) = seen { known.id } else { NodeId::random() };
                let identity = Identity { id, name: name.map(str::to_owned) };
                identity.write(&*disk, path)?;
                identity
            }
        };
        lock.sign().map_err(|source| NodeError::io(path, source))?;
        Ok(Self { disk, path: path.to_owned(), identity, _lock: Some(lock) })
    }

    /// Opens a folder that is there, and writes nothing into it. It is locked all the same, unless it is a copy that
    /// no process has ever used and that has no lock file.
    ///
    /// # Errors
    /// [`NodeError::Missing`] where there is no node's folder; any other [`NodeError`] but [`NodeError::OtherNode`].
    pub fn open_existing_for_reading(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, NodeError> {
        let missing = || NodeError::Missing { path: path.to_owned() };
        let Seen::Node(_) = look(&*disk, path, None)? else { return Err(missing()) };
        let lock = Lock::take(&*disk, path)?;
        let Seen::Node(identity) = look(&*disk, path, None)? else { return Err(missing()) };
        Ok(Self { disk, path: path.to_owned(), identity, _lock: lock })
    }

    /// Opens a folder that another process may be using, for looking only: no lock is taken, nothing is written, and
    /// what is found may have changed by the time it is read.
    ///
    /// # Errors
    /// As [`NodeFolder::open_existing_for_reading`], but never [`NodeError::InUse`].
    pub fn look_at(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, NodeError> {
        match look(&*disk, path, None)? {
            Seen::Node(identity) => Ok(Self { disk, path: path.to_owned(), identity, _lock: None }),
            Seen::NoFolder | Seen::NoNode => Err(NodeError::Missing { path: path.to_owned() }),
        }
    }

    /// The disk that it is on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The node that it belongs to.
    pub fn id(&self) -> NodeId {
        self.identity.id
    }

    /// That node's name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.identity.name.as_deref()
    }

    /// The folder of the log. It need not be there yet.
    pub fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }
}

/// What is at a path.
enum Seen {
    NoFolder,
    NoNode,
    Node(Identity),
}

/// Looks at the folder without touching it; an error if the node of this `name` must not use it.
fn look(disk: &dyn Disk, path: &Path, name: Option<&str>) -> Result<Seen, NodeError> {
    let Some(names) = names_in(disk, path).map_err(|source| NodeError::io(path, source))? else {
        return Ok(Seen::NoFolder);
    };
    if !has(&names, NODE) {
        return match AFTER_NODE.into_iter().find(|name| has(&names, name)) {
            Some(found) => Err(NodeError::NoIdentity { path: path.to_owned(), found }),
            None => Ok(Seen::NoNode),
        };
    }
    let identity = Identity::read(disk, path)?;
    if let (Some(found), Some(configured)) = (&identity.name, name)
        && found != configured
    {
        return Err(NodeError::OtherNode {
            path: path.to_owned(),
            found: found.clone(),
            configured: configured.to_owned(),
        });
    }
    if has(&names, CATALOG) {
        Catalog::read(disk, path)?;
    }
    Ok(Seen::Node(identity))
}

/// Everything in a folder, or `None` if there is no such folder.
fn names_in(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
    match disk.list(path) {
        Ok(names) => Ok(Some(names)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn has(names: &[PathBuf], name: &str) -> bool {
    names.iter().any(|path| path.file_name().is_some_and(|found| found == name))
}

#[cfg(test)]
mod tests;
