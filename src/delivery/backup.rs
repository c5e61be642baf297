//! Which records a backup keeps, and which it passes over.
//!
//! All records have a home, also those that are no JSON: [`RAW`] and the key of the prefix. Those that a backup of
//! failed records does not keep have one together, [`PASSED`], which has ranges in the ledger as any other partition,
//! and no object. So every record is accounted for under the same rules, and what was passed over can be proved to have
//! been none of the backup's.

use std::sync::Arc;

use super::Slots;
use super::classify::{Classifier, DEAD, Record};
use super::encode::{Payload, raw_line};
use crate::config::checked::{Delivery, Selection};

/// First byte of the home of a record in a backup.
pub const RAW: u8 = 3;
/// The home of records that are passed over.
pub const PASSED: u8 = 2;

/// What of a record goes into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// Its text.
    Text(&'a str),
    /// Its bytes, as they are.
    Bytes(&'a [u8]),
    /// Its bytes, in a line that wraps them ([`raw_line`]).
    Wrapped(&'a [u8]),
    /// Nothing: it is passed over.
    Nothing,
}

impl<'a> Content<'a> {
    /// What an encoder takes of it; `line` holds that where it is made.
    pub fn line(self, line: &'a mut String) -> Payload<'a> {
        match self {
            Content::Text(text) => Payload::Text(text),
            Content::Bytes(bytes) => Payload::Bytes(bytes),
            Content::Wrapped(payload) => {
                raw_line::wrap(payload, line);
                Payload::Text(line)
            }
            Content::Nothing => Payload::Bytes(&[]),
        }
    }
}

/// See the module.
pub struct Backup {
    /// Tells what fails, if only that is kept.
    judge: Option<Box<Classifier>>,
}

impl Backup {
    /// That of `config`, if it is one. `slots` are its own.
    pub fn of(stream: &Arc<str>, config: &Delivery, slots: &Slots) -> Option<Self> {
        match &config.selection {
            Selection::Fitting => None,
            Selection::All => Some(Self { judge: None }),
            Selection::FailedIn(main) => {
                let slots = slots.judge.as_deref().cloned()?;
                let judge = Classifier::new(Arc::clone(stream), Arc::clone(main), slots);
                Some(Self { judge: Some(Box::new(judge)) })
            }
        }
    }

    /// Whether a record is kept; `key` is used meanwhile.
    pub fn keeps(&mut self, at: Record<'_>, key: &mut Vec<u8>) -> bool {
        let Some(judge) = &mut self.judge else { return true };
        judge.home(at, key);
        key.first() == Some(&DEAD)
    }
}

/// What of a record a backup keeps.
pub fn content(at: Record<'_>) -> Content<'_> {
    let payload = at.payload();
    match raw_line::plain(payload, at.is_json()) {
        Some(text) => Content::Text(text),
        None => Content::Wrapped(payload),
    }
}
