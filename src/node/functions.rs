//! `functions/STREAM.json`: how far the records of a stream have gone through a function.
//!
//! ```json
//! { "format": 1, "source": 3, "target": 4, "next": [{ "shard": 0, "number": 17 }],
//!   "under_way": { "shard": 0, "to": 42, "behind": 12 }, "checksum": … }
//! ```
//!
//! `source` and `target` are numbers of streams in the catalog. What the other members say is the business of who keeps
//! them. A file is replaced as a whole, and durable, before the results that it tells of are appended.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{NodeError, document};
use crate::runtime::disk::Disk;

/// The folder of these files.
pub(super) const FUNCTIONS: &str = "functions";

/// The file of one stream.
#[derive(Debug, Clone)]
pub struct FunctionFile {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    name: String,
}

impl FunctionFile {
    /// That of the records of `stream`, in the node's folder at `data_dir`. Nothing is made before something is kept.
    pub fn at(disk: Arc<dyn Disk>, data_dir: &Path, stream: &str) -> Self {
        Self { disk, folder: data_dir.join(FUNCTIONS), name: format!("{stream}.json") }
    }

    /// What was kept, if anything was.
    ///
    /// # Errors
    /// If it is damaged, cannot be read, or is of another version of the program.
    pub fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, NodeError> {
        match document::read(&*self.disk, &self.folder.join(&self.name)) {
            Err(NodeError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// Puts `content` in the place of what there is. Durable when it returns.
    ///
    /// # Errors
    /// If the disk fails; what was there before is there then, or the new one.
    pub fn keep(&self, content: &impl Serialize) -> Result<(), NodeError> {
        let created = self.disk.create_folder(&self.folder);
        created.map_err(|source| NodeError::io(&self.folder, source))?;
        document::write(&*self.disk, &self.folder, &self.name, content)
    }

    /// Takes it away. Durable when it returns; it need not be there.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn remove(&self) -> Result<(), NodeError> {
        let path = self.folder.join(&self.name);
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
    use crate::testkit::disk::SimulatedDisk;

    #[test]
    fn what_was_kept_survives_the_power_and_what_was_removed_does_not_come_back() {
        let disk = SimulatedDisk::new(7);
        disk.create_folder(Path::new("/data")).unwrap();
        let file = |disk: &SimulatedDisk| FunctionFile::at(Arc::new(disk.clone()), Path::new("/data"), "a");
        assert_eq!(file(&disk).read::<Value>().unwrap(), None);
        file(&disk).remove().unwrap();
        file(&disk).keep(&json!({ "v": 1 })).unwrap();
        file(&disk).keep(&json!({ "v": 2 })).unwrap();
        let disk = disk.crash();
        assert_eq!(file(&disk).read::<Value>().unwrap(), Some(json!({ "v": 2 })));
        file(&disk).remove().unwrap();
        assert_eq!(file(&disk.crash()).read::<Value>().unwrap(), None);
    }
}
