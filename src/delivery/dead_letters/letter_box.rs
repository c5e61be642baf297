//! The dead letters of a delivery of the running node: found by the ledger and the sink that it has.

use std::path::PathBuf;
use std::sync::Arc;

use super::files::{Choice, Committed, DeadFile, FilesError, From, LedgerFiles, Listing};
use super::filter::Filter;
use super::patience::Patience;
use super::place::{FileName, Place};
use crate::config::checked::{self, Selection};
use crate::config::limits::{DEAD_LETTER_FILES_MAX, DEAD_LETTER_LISTED_MAX};
use crate::delivery::epoch::EpochConfig;
use crate::delivery::ledger::Epoch;
use crate::delivery::ledger::shared::files_of;
use crate::delivery::sink::{ObjectSink, SinkError, SinkErrorClass};
use crate::delivery::verify::{Epochs as _, Sorter};
use crate::delivery::{LedgerParts, Parts};
use crate::runtime::disk::Disk;
use crate::runtime::scratch_disk::ScratchDisk;

/// See the module.
#[derive(Debug, Clone)]
pub struct LetterBox {
    stream: Arc<str>,
    config: checked::Delivery,
    sink: ObjectSink,
    ledger: Option<LedgerParts>,
}

/// Where the files of a ledger are read.
type LedgerFolder = (Arc<dyn Disk>, PathBuf);

/// Files of a letter box.
#[derive(Debug, Default)]
pub struct Found {
    /// In the order of storing; by their keys where there is no ledger.
    pub files: Vec<DeadFile>,
    /// Whether there are others behind them.
    pub has_more: bool,
    /// Whether older ones are not known any more.
    pub has_forgotten: bool,
}

impl LetterBox {
    /// That of a delivery; `None` for a backup, which has none.
    pub fn of(parts: &Parts) -> Option<Self> {
        let Parts { config, stream, sink, ledger, .. } = parts;
        matches!(config.selection, Selection::Fitting).then(|| Self {
            stream: Arc::clone(stream.name()),
            config: config.clone(),
            sink: sink.clone(),
            ledger: ledger.clone(),
        })
    }

    /// That of a delivery without a ledger.
    #[cfg(test)]
    pub(super) fn without_ledger(stream: &str, config: checked::Delivery) -> Self {
        let sink = ObjectSink::open(&config.sink).expect("a folder");
        Self { stream: stream.into(), config, sink, ledger: None }
    }

    /// The stream's name.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The delivery's name.
    pub fn delivery(&self) -> &str {
        &self.config.name
    }

    /// Whether a ledger tells of the files.
    pub fn has_ledger(&self) -> bool {
        self.ledger.is_some()
    }

    /// The files that `filter` may mean, from `after` on: so many that a page is made of them. Blocks the thread.
    ///
    /// # Errors
    /// If they cannot be found.
    pub fn files(
        &self,
        after: Option<&Place>,
        filter: &Filter,
        patience: &Patience,
    ) -> Result<Found, FilesError> {
        let (stream, delivery) = (self.stream(), self.delivery());
        let Some((disk, folder)) = self.ledger_files(patience)? else {
            let files = Listing::read(&self.sink, (stream, &self.config), DEAD_LETTER_LISTED_MAX, patience)?;
            let is_left = |file: &DeadFile| match after {
                Some(Place { file: FileName::Listed(key), row: Some(_), .. }) => file.key >= *key,
                Some(Place { file: FileName::Listed(key), row: None, .. }) => file.key > *key,
                _ => true,
            };
            let files = files.into_iter().filter(is_left).collect();
            return Ok(Found { files, ..Found::default() });
        };
        // Whoever looks makes no folder.
        let disk_of_others = Arc::new(ScratchDisk::over(self.disk_of_sinks(&disk)));
        let mut others = Sorter::new(stream, &self.config, disk_of_others);
        let mut sink_of = |epoch: &Epoch| {
            let text = EpochConfig::parse(&epoch.config).map_err(|error| error.to_string())?;
            if text.has_sink_of(&self.config) { Ok(self.sink.clone()) } else { others.sink(epoch) }
        };
        let after = match after {
            Some(Place { file: FileName::Sealed(number), row, .. }) => {
                Some((*number, if row.is_some() { From::It } else { From::Behind }))
            }
            _ => None,
        };
        let choice = Choice { filter, after, files_max: DEAD_LETTER_FILES_MAX };
        let read = LedgerFiles::read(&*disk, &folder, (stream, delivery), choice, &mut sink_of)?;
        let LedgerFiles { files, has_more, has_forgotten } = read.unwrap_or_default();
        Ok(Found { files, has_more, has_forgotten })
    }

    /// Has each file that the ledger tells of counted: see [`LedgerFiles::count`]. `None` where there is no ledger.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn count<T: Clone>(
        &self,
        none: &T,
        patience: &Patience,
        count: impl Fn(&mut T, Committed) + Clone,
    ) -> Result<Option<(T, bool)>, FilesError> {
        match self.ledger_files(patience)? {
            None => Ok(None),
            Some((disk, folder)) => {
                let counted = LedgerFiles::count(&*disk, &folder, none, count)?;
                Ok(Some(counted.unwrap_or_else(|| (none.clone(), false))))
            }
        }
    }

    /// Where the ledger can be read: as it is, or as it was just now.
    fn ledger_files(&self, patience: &Patience) -> Result<Option<LedgerFolder>, FilesError> {
        match &self.ledger {
            None => Ok(None),
            Some(LedgerParts::Folder { disk, folder }) => Ok(Some((Arc::clone(disk), folder.clone()))),
            Some(LedgerParts::Shared(shared)) => {
                let folder = PathBuf::from("/ledger");
                // It has tried often enough by itself.
                let refused = |error| SinkError::new(SinkErrorClass::Other, error);
                let copy = async || files_of(shared.place(), &folder).await.map_err(refused);
                Ok(Some((patience.ask(copy)?, folder)))
            }
        }
    }

    /// What sinks that are folders are on.
    fn disk_of_sinks(&self, disk: &Arc<dyn Disk>) -> Arc<dyn Disk> {
        match &self.ledger {
            Some(LedgerParts::Shared(shared)) => Arc::clone(&shared.disk),
            _ => Arc::clone(disk),
        }
    }
}
