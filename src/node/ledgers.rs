//! Where the ledgers of deliveries are: `ledger/STREAM/DELIVERY/`.

use std::path::{Path, PathBuf};

use super::{LAYOUT, LEDGER, NodeError, NodeFolder, names_in};

impl NodeFolder {
    /// The folders of the ledgers that there are of a stream, each named after its delivery.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn ledgers(&self, stream: &str) -> Result<Vec<PathBuf>, NodeError> {
        let path = self.path.join(LEDGER).join(stream);
        let paths = names_in(&*self.disk, &path).map_err(|source| NodeError::io(&path, source))?;
        Ok(paths.unwrap_or_default())
    }

    /// The folder of a delivery's ledger. It need not be there yet.
    pub fn ledger(&self, stream: &str, delivery: &str) -> PathBuf {
        self.path.join(LEDGER).join(stream).join(delivery)
    }

    /// The folder in which streams in Kafka note which shards they have had. It need not be there yet.
    pub fn layouts(&self) -> PathBuf {
        Self::layouts_of(&self.path)
    }

    /// The same of a node whose folder is at `data_dir`, whether it is there or not.
    pub fn layouts_of(data_dir: &Path) -> PathBuf {
        data_dir.join(LAYOUT)
    }

    /// Takes away what a delivery has noted. Nothing of it may run; it need not be there.
    ///
    /// # Errors
    /// If the disk fails: a part may be left then, with which nobody can go on.
    pub fn forget_ledger(&self, stream: &str, delivery: &str) -> Result<(), NodeError> {
        let ledger = self.ledger(stream, delivery);
        let files = names_in(&*self.disk, &ledger).map_err(|source| NodeError::io(&ledger, source))?;
        let Some(mut files) = files else { return Ok(()) };
        // The newest is the one that counts. It goes last, so that never an older one counts in its place.
        files.sort();
        files
            .iter()
            .try_for_each(|file| self.disk.remove(file))
            .map_err(|source| NodeError::io(&ledger, source))?;
        self.remove_empty(&ledger)
    }

    /// The same for all deliveries of a stream that is gone.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn forget_ledgers(&self, stream: &str) -> Result<(), NodeError> {
        let ledgers = self.ledgers(stream)?;
        for delivery in ledgers.iter().filter_map(|ledger| ledger.file_name()?.to_str()) {
            self.forget_ledger(stream, delivery)?;
        }
        if ledgers.is_empty() {
            return Ok(());
        }
        self.remove_empty(&self.path.join(LEDGER).join(stream))
    }

    fn remove_empty(&self, folder: &Path) -> Result<(), NodeError> {
        let removed = self.disk.remove_folder(folder);
        let synced =
            removed.and_then(|()| folder.parent().map_or(Ok(()), |above| self.disk.sync_folder(above)));
        synced.map_err(|source| NodeError::io(folder, source))
    }
}
