//! What is kept a file each, by name: what clients have made, and how far functions are.
//!
//! `delivery-streams/NAME.json`, of clients of the Firehose API. A delivery stream is gone once its file is.
//!
//! ```json
//! { "format": 1, "name": "clicks", "version": 1, …, "checksum": … }
//! ```
//!
//! `cursors/STREAM/CURSOR.json`, how far the workers of a named cursor are. `stream` is its number in the catalog, or the
//! name of the topic that is its log.
//!
//! ```json
//! { "format": 1, "cursor": "billing", "stream": 0, "lease_ms": 30000, "next": "0-1763000000000007_1-1763000000000000",
//!   "held": { "w1": [0], "w2": [1] }, "checksum": … }
//! ```
//!
//! `functions/STREAM.json`, how far the records of a stream have gone through a function. `source` and `target` are numbers
//! of streams in the catalog.
//!
//! ```json
//! { "format": 1, "source": 3, "target": 4, "next": [{ "shard": 0, "number": 17 }],
//!   "under_way": { "shard": 0, "to": 42, "behind": 12 }, "checksum": … }
//! ```
//!
//! What the members say is the business of who keeps them. A file is replaced as a whole, and durable, before a client
//! is told, and before the results that it tells of are appended.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{NodeError, document};
use crate::runtime::disk::Disk;

/// The folder of delivery streams.
pub const DELIVERY_STREAMS: &str = "delivery-streams";

/// The folder of named cursors, which has one for each stream.
pub(super) const CURSORS: &str = "cursors";

/// The folder of functions, by the streams whose records go through them.
pub(super) const FUNCTIONS: &str = "functions";

/// What a file's name has behind that of what it is of.
const ENDING: &str = ".json";

/// One such folder in a node's folder. Nothing is made before something is kept.
#[derive(Debug, Clone)]
pub struct DocumentFolder {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl DocumentFolder {
    /// Delivery streams of the node whose folder is at `data_dir`.
    pub fn of_delivery_streams(disk: Arc<dyn Disk>, data_dir: &Path) -> Self {
        Self { disk, folder: data_dir.join(DELIVERY_STREAMS) }
    }

    /// The named cursors of `stream`.
    pub fn of_cursors(disk: Arc<dyn Disk>, data_dir: &Path, stream: &str) -> Self {
        Self { disk, folder: data_dir.join(CURSORS).join(stream) }
    }

    /// How far the functions of a node are, by the streams whose records go through them.
    pub fn of_functions(disk: Arc<dyn Disk>, data_dir: &Path) -> Self {
        Self { disk, folder: data_dir.join(FUNCTIONS) }
    }

    /// The one of that name, if there is one.
    ///
    /// # Errors
    /// If it is damaged, cannot be read, or is of another version of the program.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, NodeError> {
        match document::read(&*self.disk, &self.path(name)) {
            Err(NodeError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{ENDING}"))
    }

    /// Reads all of them, each with its path, in the order of their names.
    ///
    /// # Errors
    /// If one is damaged, cannot be read, or is of another version of the program.
    pub fn read_all<T: DeserializeOwned>(&self) -> Result<Vec<(PathBuf, T)>, NodeError> {
        let names = super::names_in(&*self.disk, &self.folder);
        let names = names.map_err(|source| NodeError::io(&self.folder, source))?;
        let is_ours = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            // What a crash has left of a write ends otherwise.
            name.is_some_and(|name| name.ends_with(ENDING))
        };
        let mut paths: Vec<_> = names.unwrap_or_default().into_iter().filter(is_ours).collect();
        paths.sort();
        let read = |path: PathBuf| Ok((path.clone(), document::read(&*self.disk, &path)?));
        paths.into_iter().map(read).collect()
    }

    /// Puts `content` in the place of what there is of that name. Durable when it returns.
    ///
    /// # Errors
    /// If the disk fails; what was there before is there then, or the new one.
    pub fn keep(&self, name: &str, content: &impl Serialize) -> Result<(), NodeError> {
        let created = self.disk.create_folder(&self.folder);
        created.map_err(|source| NodeError::io(&self.folder, source))?;
        document::write(&*self.disk, &self.folder, &format!("{name}{ENDING}"), content)
    }

    /// Takes the one of that name away. Durable when it returns; it need not be there.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn remove(&self, name: &str) -> Result<(), NodeError> {
        let path = self.path(name);
        let removed = match self.disk.remove(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.disk.sync_folder(&self.folder),
        };
        removed.map_err(|source| NodeError::io(&path, source))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testkit::disk::{Failure, Fault, Operation, SimulatedDisk};

    fn files(disk: &SimulatedDisk) -> DocumentFolder {
        DocumentFolder::of_delivery_streams(Arc::new(disk.clone()), Path::new("/data"))
    }

    fn all(disk: &SimulatedDisk) -> Vec<Value> {
        files(disk).read_all().unwrap().into_iter().map(|(_, document)| document).collect()
    }

    #[test]
    fn what_was_kept_survives_the_power_and_what_was_removed_does_not_come_back() {
        let disk = SimulatedDisk::new(7);
        disk.create_folder(Path::new("/data")).unwrap();
        assert_eq!(all(&disk), Vec::<Value>::new());
        let kept = files(&disk);
        kept.keep("b", &json!({ "v": 1 })).unwrap();
        kept.keep(".a", &json!({ "v": 2 })).unwrap();
        let disk = disk.crash();
        assert_eq!(all(&disk), [json!({ "v": 2 }), json!({ "v": 1 })]);
        let kept = files(&disk);
        kept.keep("b", &json!({ "v": 3 })).unwrap();
        kept.remove(".a").unwrap();
        kept.remove("never").unwrap();
        let disk = disk.crash();
        assert_eq!(all(&disk), [json!({ "v": 3 })]);
        assert_eq!(files(&disk).read::<Value>("b").unwrap(), Some(json!({ "v": 3 })));
        assert_eq!(files(&disk).read::<Value>(".a").unwrap(), None);
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_one_or_the_new_one() {
        let operations =
            [Operation::Create, Operation::Write, Operation::Sync, Operation::Rename, Operation::SyncFolder];
        for (seed, operation) in operations.into_iter().enumerate() {
            let disk = SimulatedDisk::new(seed as u64);
            disk.create_folder(Path::new("/data")).unwrap();
            files(&disk).keep("a", &json!({ "v": 1 })).unwrap();
            disk.inject(Fault::new(operation, Failure::Io).times(1));
            let second = files(&disk).keep("a", &json!({ "v": 2 }));
            assert!(second.is_err(), "{operation:?}");
            let found = all(&disk.crash());
            assert!(found == [json!({ "v": 1 })] || found == [json!({ "v": 2 })], "{operation:?}: {found:?}");
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let disk = SimulatedDisk::new(1);
        disk.create_folder(Path::new("/data")).unwrap();
        files(&disk).keep("a", &json!({ "v": 1 })).unwrap();
        let file = disk.open(Path::new("/data/delivery-streams/a.json")).unwrap();
        file.write_all_at(b"x", 3).unwrap();
        let error = files(&disk).read_all::<Value>().unwrap_err().to_string();
        assert!(error.starts_with("/data/delivery-streams/a.json is damaged"), "{error}");
    }
}
