//! What readers tell the judge, many records at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use forebay::testkit::generators::{Profile, envelope, profile_of_producer};

/// Records that are told at a time.
const BATCH_SIGHTINGS: usize = 4_096;

/// A record that is there, and whole as far as can be told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting {
    /// Place in [`Batch::producers`].
    pub(super) producer: u32,
    pub(super) sequence: u64,
    /// Hash of the partition key; nothing if the record has none that is known.
    pub(super) key: Option<u64>,
    /// Place in its object, from 1.
    pub(super) row: u64,
}

/// A record, or the rest of an object, that is not what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    /// Place in its object, from 1.
    pub(super) row: u64,
    pub(super) reason: String,
    /// Nothing behind it could be read either.
    pub(super) is_rest: bool,
}

/// What was seen in an object.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Place of the object in the listing.
    pub(super) object: usize,
    pub(super) producers: Vec<Arc<str>>,
    pub(super) sightings: Vec<Sighting>,
    pub(super) damages: Vec<Damage>,
    /// Records without an envelope.
    pub(super) foreign: u64,
    /// Records whose hash could not be computed, because the file does not have all that it covers.
    pub(super) unhashed: u64,
    /// Dead letters by reason.
    pub(super) reasons: HashMap<String, u64>,
}

/// What a reader says.
#[derive(Debug)]
pub(super) enum Message {
    Seen(Batch),
    /// All of the object was read.
    Done {
        object: usize,
        bytes: u64,
    },
    /// The store failed.
    Failed {
        object: usize,
        source: object_store::Error,
    },
}

/// The judge does not listen any more: there is nothing more to read for.
#[derive(Debug)]
pub(super) struct Unheard;

/// Gathers what is seen in one object.
pub(super) struct Reporter {
    batch: Batch,
    judge: SyncSender<Message>,
    places: HashMap<String, Origin>,
}

/// What a producer's name says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    place: u32,
    pub(super) kind: OriginKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OriginKind {
    Profile(Profile),
    Replay,
    /// Someone else's.
    Foreign,
}

/// The kind of records that a producer makes.
pub(super) fn kind_of(producer: &str) -> OriginKind {
    match profile_of_producer(producer) {
        Some(profile) => OriginKind::Profile(profile),
        None if producer.split_once('/').is_some_and(|(first, _)| first == envelope::REPLAY) => {
            OriginKind::Replay
        }
        None => OriginKind::Foreign,
    }
}

impl Reporter {
    pub(super) fn new(object: usize, judge: SyncSender<Message>) -> Self {
        Self { batch: Batch { object, ..Batch::default() }, judge, places: HashMap::new() }
    }

    /// Looks a producer up; its place is good until the next [`Reporter::flush_if_full`].
    pub(super) fn origin(&mut self, producer: &str) -> Origin {
        if let Some(origin) = self.places.get(producer) {
            return *origin;
        }
        let origin = Origin { place: self.batch.producers.len() as u32, kind: kind_of(producer) };
        self.batch.producers.push(producer.into());
        self.places.insert(producer.to_owned(), origin);
        origin
    }

    pub(super) fn seen(&mut self, origin: Origin, sequence: u64, key: Option<u64>, row: u64) {
        self.batch.sightings.push(Sighting { producer: origin.place, sequence, key, row });
    }

    pub(super) fn foreign(&mut self) {
        self.batch.foreign += 1;
    }

    pub(super) fn unhashed(&mut self) {
        self.batch.unhashed += 1;
    }

    pub(super) fn damaged(&mut self, row: u64, reason: impl Into<String>) {
        self.batch.damages.push(Damage { row, reason: reason.into(), is_rest: false });
    }

    /// Nothing from `row` on can be read.
    pub(super) fn unreadable(&mut self, row: u64, reason: impl Into<String>) {
        self.batch.damages.push(Damage { row, reason: reason.into(), is_rest: true });
    }

    pub(super) fn dead_letter(&mut self, reason: &str) {
        if let Some(count) = self.batch.reasons.get_mut(reason) {
            *count += 1;
        } else {
            self.batch.reasons.insert(reason.to_owned(), 1);
        }
    }

    /// Tells the judge if there is enough to tell.
    pub(super) fn flush_if_full(&mut self) -> Result<(), Unheard> {
        let batch = &self.batch;
        let count = batch.sightings.len() + batch.damages.len() + batch.reasons.len() + batch.producers.len();
        if count >= BATCH_SIGHTINGS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Unheard> {
        self.places.clear();
        let next = Batch { object: self.batch.object, ..Batch::default() };
        let batch = std::mem::replace(&mut self.batch, next);
        self.judge.send(Message::Seen(batch)).map_err(|_| Unheard)
    }

    /// Tells the judge the rest.
    pub(super) fn finish(mut self, bytes: u64, failure: Option<object_store::Error>) -> Result<(), Unheard> {
        self.flush()?;
        let object = self.batch.object;
        let message = match failure {
            Some(source) => Message::Failed { object, source },
            None => Message::Done { object, bytes },
        };
        self.judge.send(message).map_err(|_| Unheard)
    }
}
