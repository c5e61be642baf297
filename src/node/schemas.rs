//! `schema/STREAM.json`: the versions of the columns that were learned of a stream.
//!
//! ```json
//! { "format": 1, "versions": [
//!     { "number": 1, "learned_at": 1763000000000000, "shard": 0, "sequence_number": "1763000000000000",
//!       "changes": [ { "path": "id", "to": "int64" } ],
//!       "columns": [ { "name": "id", "type": "int64" } ] } ],
//!   "checksum": … }
//! ```
//!
//! The file is replaced as a whole, and durable, before a version is used.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{NodeError, NodeFolder, document};
use crate::runtime::disk::Disk;
use crate::schema::registry::{Keeper, Version, VersionText};

/// The folder of these files.
pub(super) const SCHEMA: &str = "schema";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaDocument {
    versions: Vec<VersionText>,
}

#[derive(Serialize)]
struct SchemaDocumentRef<'a> {
    versions: &'a [VersionText],
}

/// Where the versions of one stream are.
#[derive(Debug)]
pub struct SchemaFile {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    name: String,
}

impl SchemaFile {
    /// That of `stream` in a node's folder.
    pub fn of(folder: &NodeFolder, stream: &str) -> Self {
        Self::at(Arc::clone(folder.disk()), folder.path(), stream)
    }

    /// The same where only the path of the node's folder is known. A file is replaced in one step, so that it can be
    /// read while a node is at work.
    pub fn at(disk: Arc<dyn Disk>, data_dir: &Path, stream: &str) -> Self {
        Self { disk, folder: data_dir.join(SCHEMA), name: format!("{stream}.json") }
    }

    /// Reads all versions, oldest first; none if there is no file.
    ///
    /// # Errors
    /// If it is damaged, cannot be read, or is of another version of the program.
    pub fn read(&self) -> Result<Vec<Version>, NodeError> {
        let path = self.folder.join(&self.name);
        let document: SchemaDocument = match document::read(&*self.disk, &path) {
            Ok(document) => document,
            Err(NodeError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let versions = document.versions.into_iter().map(VersionText::version);
        versions
            .collect::<Result<_, _>>()
            .map_err(|error| NodeError::Damaged { path, what: error.to_string() })
    }
}

impl Keeper for SchemaFile {
    fn keep(&self, versions: &[VersionText]) -> Result<(), String> {
        let created = self.disk.create_folder(&self.folder);
        created.map_err(|source| NodeError::io(&self.folder, source).to_string())?;
        let content = SchemaDocumentRef { versions };
        document::write(&*self.disk, &self.folder, &self.name, &content).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{SequenceNumber, ShardId};
    use crate::runtime::clock::UnixMicros;
    use crate::schema::inference::{OnConflict, Rules};
    use crate::schema::registry::Registry;
    use crate::testkit::disk::{Failure, Fault, Operation, SimulatedDisk};

    fn file(disk: &SimulatedDisk) -> SchemaFile {
        SchemaFile::at(Arc::new(disk.clone()), Path::new("/data"), "s")
    }

    fn registry(disk: &SimulatedDisk) -> Registry {
        let rules = Rules { on_conflict: OnConflict::Widen, columns_max: 100 };
        let file = file(disk);
        Registry::new(rules, file.read().unwrap(), Some(Box::new(file)))
    }

    fn learn(registry: &Registry, record: &str) -> Result<u32, String> {
        let base = registry.latest();
        let mut learner = registry.learner(&base.columns);
        learner.take(record).unwrap();
        let first = (ShardId(0), SequenceNumber(1));
        registry.add(base.number, &learner, Some(first), UnixMicros(0)).map(|added| added.version.number)
    }

    #[test]
    fn a_version_that_was_given_out_survives_the_power_and_one_that_was_not_may() {
        for calls in 0..12 {
            let disk = SimulatedDisk::new(calls);
            disk.create_folder(Path::new("/data")).unwrap();
            let before = registry(&disk);
            assert_eq!(learn(&before, r#"{"a":1}"#), Ok(1));
            let operations = [
                Operation::Create,
                Operation::Write,
                Operation::Sync,
                Operation::Rename,
                Operation::SyncFolder,
            ];
            let operation = operations[calls as usize % operations.len()];
            disk.inject(Fault::new(operation, Failure::Io).times(1));
            let second = learn(&before, r#"{"b":1}"#);
            let disk = disk.crash();
            let after = registry(&disk);
            let known = after.latest_number();
            assert!(
                known == 2 || (known == 1 && second.is_err()),
                "{operation:?}: {second:?}, found {known}"
            );
        }
    }

    #[test]
    fn a_file_that_was_changed_by_hand_is_refused() {
        let disk = SimulatedDisk::new(1);
        disk.create_folder(Path::new("/data")).unwrap();
        learn(&registry(&disk), r#"{"a":1}"#).unwrap();
        let path = Path::new("/data/schema/s.json");
        let content = disk.open(path).unwrap();
        let mut text = vec![0; content.len().unwrap() as usize];
        content.read_exact_at(&mut text, 0).unwrap();
        let text = String::from_utf8(text).unwrap().replace("int64", "bool_");
        content.write_all_at(text.as_bytes(), 0).unwrap();
        assert!(file(&disk).read().unwrap_err().to_string().contains("its checksum is another"));
    }
}
