//! Epochs of a ledger → what they mean, as the delivery understands them.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Contents, Epochs, Place};
use crate::config::checked;
use crate::delivery::Slots;
use crate::delivery::classify::{Classifier, Record};
use crate::delivery::epoch::EpochConfig;
use crate::delivery::files::Position;
use crate::delivery::intake::DEAD_LETTER_FORMAT;
use crate::delivery::ledger::{Epoch, Seal};
use crate::delivery::sink::ObjectSink;
use crate::runtime::disk::Disk;
use crate::stream::{CapturePlan, Captures};

/// See the module.
pub struct Sorter<'a> {
    stream: Arc<str>,
    /// The delivery as it is configured now, for what is no part of an epoch.
    today: &'a checked::Delivery,
    /// Where sinks that are folders are.
    disk: Arc<dyn Disk>,
    known: HashMap<u32, (Classifier, Arc<CapturePlan>)>,
    contents: HashMap<u32, Contents>,
}

impl<'a> Sorter<'a> {
    /// For delivery `today` of `stream`; its sink, if it is a folder, is on `disk`.
    pub fn new(stream: &str, today: &'a checked::Delivery, disk: Arc<dyn Disk>) -> Self {
        Self { stream: stream.into(), today, disk, known: HashMap::new(), contents: HashMap::new() }
    }

    fn delivery_of(&self, epoch: &Epoch) -> Result<checked::Delivery, String> {
        let config = EpochConfig::parse(&epoch.config).and_then(|config| config.delivery(self.today));
        config.map_err(|error| error.to_string())
    }
}

impl Epochs for Sorter<'_> {
    fn captures(&mut self, epoch: &Epoch) -> Result<Arc<CapturePlan>, String> {
        if let Some((_, plan)) = self.known.get(&epoch.number) {
            return Ok(Arc::clone(plan));
        }
        let config = Arc::new(self.delivery_of(epoch)?);
        let mut captures = Captures::default();
        let slots = Slots::of(&config, &mut captures);
        let plan = Arc::new(captures.plan().map_err(|error| error.to_string())?);
        let classifier = Classifier::new(Arc::clone(&self.stream), config, slots);
        self.known.insert(epoch.number, (classifier, Arc::clone(&plan)));
        Ok(plan)
    }

    fn home(&mut self, epoch: u32, place: Place<'_>, key: &mut Vec<u8>) {
        let Some((classifier, _)) = self.known.get_mut(&epoch) else { return };
        let Place { batch, index, shard, number } = place;
        let position = Position { shard, number, arrival: batch.source.arrival };
        classifier.home(Record { batch, index, position }, key);
    }

    fn contents(&mut self, epoch: &Epoch, seal: &Seal) -> Result<Contents, String> {
        if seal.dead.is_some() {
            return Ok(Contents::of(&DEAD_LETTER_FORMAT));
        }
        if let Some(known) = self.contents.get(&epoch.number) {
            return Ok(*known);
        }
        let contents = Contents::of(&self.delivery_of(epoch)?.format);
        self.contents.insert(epoch.number, contents);
        Ok(contents)
    }

    fn sink(&mut self, epoch: &Epoch) -> Result<ObjectSink, String> {
        let config = self.delivery_of(epoch)?;
        ObjectSink::open_on(&config.sink, Arc::clone(&self.disk)).map_err(|error| error.to_string())
    }
}
