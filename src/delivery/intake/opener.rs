//! Empty files of one configuration.

use std::sync::Arc;
use std::time::Duration;

use crate::config::checked::{Format, JsonCompression, JsonFormat};
use crate::delivery::encode;
use crate::delivery::encode::passed::PassedOver;
use crate::delivery::files::{OpenFile, Opening};
use crate::delivery::ledger::Seal;
use crate::delivery::sink::PartSizes;
use crate::runtime::budget::Budget;
use crate::runtime::clock;

/// Dead letters are few and read by people: the fastest level will do.
pub(in crate::delivery) const DEAD_LETTER_FORMAT: Format =
    Format::Json(JsonFormat { compression: JsonCompression::Gzip { level: 1 }, envelope: false });

/// Opens files of one configuration.
#[derive(Debug, Clone)]
pub struct Opener {
    pub(super) format: Format,
    /// Ending of the names of files that are not of dead letters.
    pub(super) extension: Arc<str>,
    pub(super) sizes: Option<PartSizes>,
    /// How old a file gets.
    pub(super) interval: Duration,
    /// How old a file of dead letters gets.
    pub(super) dead_interval: Duration,
    pub(super) budget: Arc<Budget>,
}

impl Opener {
    /// An empty file for what is passed over, which becomes no object.
    pub(super) fn open_passed(&self) -> OpenFile {
        let opened = clock::monotonic();
        OpenFile::new(Opening {
            folder: String::new(),
            extension: "".into(),
            dead: None,
            passed: true,
            encoder: Box::new(PassedOver),
            permit: self.budget.take_anyway(0),
            opened,
            sizes: None,
            due: opened + self.interval,
        })
    }

    /// The file of a seal once more, empty, beside `others` that are open.
    pub fn open_again(&self, others: usize, seal: &Seal) -> OpenFile {
        match seal.passed {
            true => self.open_passed(),
            false => self.open(others, seal.folder.clone(), seal.dead.clone()),
        }
    }

    /// An empty file beside `others` that are open; `dead` is the reason if it is for dead letters.
    pub fn open(&self, others: usize, folder: String, dead: Option<String>) -> OpenFile {
        let (format, extension, interval) = match dead {
            Some(_) => (&DEAD_LETTER_FORMAT, DEAD_LETTER_FORMAT.extension().into(), self.dead_interval),
            None => (&self.format, Arc::clone(&self.extension), self.interval),
        };
        let opened = clock::monotonic();
        OpenFile::new(Opening {
            folder,
            extension,
            dead,
            passed: false,
            encoder: encode::open_beside(others, format),
            permit: self.budget.take_anyway(0),
            sizes: self.sizes,
            opened,
            due: opened + interval,
        })
    }
}
