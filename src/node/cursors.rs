//! `cursors/STREAM/CURSOR.json`: how far the workers of a named cursor are, a file each.
//!
//! ```json
//! { "format": 1, "cursor": "billing", "stream": 0, "lease_ms": 30000, "next": "0-1763000000000007_1-1763000000000000",
//!   "held": { "w1": [0], "w2": [1] }, "checksum": … }
//! ```
//!
//! `stream` is the stream's number in the catalog. What the other members say is the business of who keeps them. A file
//! is replaced as a whole, and durable, before a worker is told.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{NodeError, document};
use crate::runtime::disk::Disk;

/// The folder of these files.
pub(super) const CURSORS: &str = "cursors";

/// What a file's name has behind that of the cursor.
const ENDING: &str = ".json";

/// The folder of the cursors of one stream.
#[derive(Debug, Clone)]
pub struct CursorFiles {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl CursorFiles {
    /// Those of `stream` in the node's folder at `data_dir`. Nothing is made before something is kept.
    pub fn at(disk: Arc<dyn Disk>, data_dir: &Path, stream: &str) -> Self {
        Self { disk, folder: data_dir.join(CURSORS).join(stream) }
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
        let paths = names.unwrap_or_default().into_iter().filter(is_ours);
        paths.map(|path| Ok((path.clone(), document::read(&*self.disk, &path)?))).collect()
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
        let path = self.folder.join(format!("{name}{ENDING}"));
        let removed = match self.disk.remove(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.disk.sync_folder(&self.folder),
        };
        removed.map_err(|source| NodeError::io(&path, source))
    }
}
