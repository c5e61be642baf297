//! `usage.json`: what the quotas of principals have counted in their periods.
//!
//! ```json
//! { "format": 1, "usage": [
//!     { "kind": "api_key", "name": "mobile", "begins": 1793491200000000, "records": 41, "bytes": 12345 } ],
//!   "checksum": … }
//! ```
//!
//! The file is replaced as a whole, at most once a second while something is counted, and at the end of the process.

use std::io;

use serde::{Deserialize, Serialize};

use super::{NodeError, NodeFolder, document};
use crate::edge::gate::throttle::standing::KeptUsage;

const USAGE: &str = "usage.json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageDocument {
    usage: Vec<KeptUsage>,
}

impl NodeFolder {
    /// What was kept; nothing if nothing was, or if the file is damaged: who has used what is not worth a start that
    /// fails.
    ///
    /// # Errors
    /// If the file cannot be read, or another version has written it.
    pub fn read_usage(&self) -> Result<Vec<KeptUsage>, NodeError> {
        match document::read::<UsageDocument>(&*self.disk, &self.path.join(USAGE)) {
            Ok(document) => Ok(document.usage),
            Err(NodeError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(NodeError::Damaged { path, what }) => {
                tracing::error!(file = %path.display(), what, "it is damaged: all quotas count from zero");
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps it. Durable when it returns.
    ///
    /// # Errors
    /// If the disk fails; what was there before is there then, or the new one.
    pub fn keep_usage(&self, usage: &[KeptUsage]) -> Result<(), NodeError> {
        let document = UsageDocument { usage: usage.to_vec() };
        document::write(&*self.disk, &self.path, USAGE, &document)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::runtime::clock::UnixMicros;
    use crate::runtime::disk::Disk;
    use crate::testkit::disk::SimulatedDisk;

    fn open(disk: &SimulatedDisk) -> NodeFolder {
        NodeFolder::open(Arc::new(disk.clone()), Path::new("/data"), None).unwrap()
    }

    fn usage(records: u64) -> Vec<KeptUsage> {
        let (kind, name) = ("api_key".to_owned(), "mobile".to_owned());
        vec![KeptUsage { kind, name, source: None, begins: UnixMicros(7), records, bytes: u64::MAX }]
    }

    #[test]
    fn what_was_kept_survives_the_power() {
        let disk = SimulatedDisk::new(3);
        assert_eq!(open(&disk).read_usage().unwrap(), []);
        open(&disk).keep_usage(&usage(1)).unwrap();
        open(&disk).keep_usage(&usage(2)).unwrap();
        let disk = disk.crash();
        assert_eq!(open(&disk).read_usage().unwrap(), usage(2));
    }

    #[test]
    fn a_damaged_file_stops_no_start_and_is_replaced() {
        let disk = SimulatedDisk::new(3);
        open(&disk).keep_usage(&usage(1)).unwrap();
        disk.open(&Path::new("/data").join(USAGE)).unwrap().write_all_at(b"x", 20).unwrap();
        assert_eq!(open(&disk).read_usage().unwrap(), []);
        open(&disk).keep_usage(&usage(3)).unwrap();
        assert_eq!(open(&disk).read_usage().unwrap(), usage(3));
    }
}
