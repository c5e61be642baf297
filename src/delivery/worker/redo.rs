//! What an earlier process has decided and not finished: files that are in the ledger as closed, and not as stored.
//!
//! Their records are read from the log again, sorted by the configuration of that time, and stored under the same keys.
//! Files of one configuration are made in one pass over the log, as many as memory has room for; those that have to
//! give way to the others come in the next pass. A file that the sink has already, because the process ended before it
//! could write that down, is recognised there.

mod targets;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use self::targets::{Again, Target};
use super::book::Book;
use super::read::gaps;
use super::stage::{Plan, Stage};
use super::trouble::Trouble;
use super::{BLOCKED_PAUSE, Worker};
use crate::config::limits::{DELIVERY_READ_BYTES, DELIVERY_REDO_FILES_MAX};
use crate::delivery::encode::PushError;
use crate::delivery::intake;
use crate::delivery::ledger::{Lost, OpenSeal, State};
use crate::delivery::sink::{ObjectSink, Stored};
use crate::delivery::{Fields, OpenError, Parts};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::backoff::Backoff;
use crate::runtime::phases::{Phase, Phases};
use crate::stream::{Payer, Read};

/// Files of one epoch that are to be made again.
pub struct Undone {
    /// Their configuration.
    pub stage: Stage,
    /// The files.
    pub seals: Vec<OpenSeal>,
}

impl Undone {
    /// All of them, oldest epoch first.
    ///
    /// # Errors
    /// If an epoch is of another version of the program, or its sink cannot be opened.
    pub fn of(parts: &Parts, plan: &Plan, state: &State) -> Result<Vec<Self>, OpenError> {
        let mut by_epoch: BTreeMap<u32, Vec<OpenSeal>> = BTreeMap::new();
        for open in state.open.values() {
            by_epoch.entry(open.seal.epoch).or_default().push(open.clone());
        }
        let undone = |(epoch, seals)| Ok(Self { stage: plan.stage_of(parts, epoch)?, seals });
        by_epoch.into_iter().map(undone).collect()
    }
}

impl Worker {
    /// Makes every file again that is closed and not stored, and sends it to the sink. Returns when the last one is on
    /// its way: reading on need not wait for the sink.
    pub(super) async fn redo(&mut self, phases: &Phases) {
        for undone in std::mem::take(&mut self.undone) {
            tracing::info!(
                stream = %self.stream.name(), delivery = self.status.name(), files = undone.seals.len(),
                epoch = undone.stage.intake.epoch(), "storing what was closed before the last stop"
            );
            self.redo_all(undone, phases).await;
            if self.halted.is_some() {
                return;
            }
        }
    }

    /// Makes files again until none of them can be lost any more: a large one, whose parts are not kept, is waited for.
    pub(super) async fn redo_all(&mut self, undone: Undone, phases: &Phases) -> Undone {
        let Undone { mut stage, mut seals } = undone;
        let mut backoff = Backoff::default();
        while !seals.is_empty() && self.halted.is_none() {
            let now = seals.drain(..seals.len().min(DELIVERY_REDO_FILES_MAX)).collect();
            let mut again = Again::new(now, stage.intake.opener().clone());
            if let Err(error) = self.redo_pass(&mut stage, &mut again, phases).await {
                self.halt(&format!("an encoder has failed ({error})"));
                break;
            }
            for target in again.take_incomplete() {
                self.redo_incomplete(&mut stage, target, phases).await;
            }
            while self.outflows.has_again() {
                self.tend(phases.current() >= Phase::Draining).await;
                self.publish();
                self.pause(BLOCKED_PAUSE).await;
            }
            seals.extend(again.take_put_back());
            let lost = self.outflows.take_lost();
            if !lost.is_empty() {
                backoff.wait().await;
            }
            seals.extend(lost);
        }
        Undone { stage, seals }
    }

    /// One pass over the log.
    async fn redo_pass(
        &mut self,
        stage: &mut Stage,
        again: &mut Again,
        phases: &Phases,
    ) -> Result<(), PushError> {
        for shard in again.shards() {
            let mut position = SequenceNumber(0);
            while let Some(from) = again.next_needed(shard, position) {
                let read = self.read_patiently(stage.fields(), (shard, from), phases).await;
                for gap in gaps(from, &read) {
                    again.note_gap(shard, gap.numbers.start, gap.numbers.end);
                }
                if read.next <= from {
                    break;
                }
                for slice in &read.slices {
                    for at in intake::records(shard, slice, 0..slice.len()) {
                        stage.intake.redo(at, again)?;
                    }
                }
                position = read.next;
                for target in again.take_complete() {
                    self.send_again(stage, target, phases).await;
                }
                for (open, file) in again.with_parts() {
                    let of = (stage.intake.identity(&open.seal), stage.intake.sink().clone());
                    self.flow_again(open, file, of);
                }
                self.until_there_is_room(phases).await;
                while self.is_short()
                    && let Some(number) = again.put_back_largest()
                {
                    self.give_up(number);
                }
            }
        }
        Ok(())
    }

    /// Closes a file that has all of its records, and waits until there is room for another one on its way.
    async fn send_again(&mut self, stage: &mut Stage, target: Target, phases: &Phases) {
        let Target { open: OpenSeal { seal, multiparts, .. }, file, .. } = target;
        let Some(file) = file else { return };
        match stage.intake.finish(seal, file, Some(multiparts)) {
            Some(sealed) => self.dispatch(sealed),
            None => self.halt("an encoder has failed"),
        }
        self.until_there_is_room(phases).await;
    }

    /// Waits until another file, or part of one, can be sent.
    async fn until_there_is_room(&mut self, phases: &Phases) {
        loop {
            self.tend(phases.current() >= Phase::Draining).await;
            self.publish();
            if !self.uploads_are_full() {
                return;
            }
            self.pause(BLOCKED_PAUSE).await;
        }
    }

    /// Reads however often that takes.
    async fn read_patiently(
        &mut self,
        fields: Fields,
        at: (ShardId, SequenceNumber),
        phases: &Phases,
    ) -> Read {
        let payer = Payer { budget: Arc::clone(&self.budget), overdraws: true };
        let mut trouble = Trouble::none(&self.status);
        loop {
            match Stage::read(fields.clone(), &self.stream, at, DELIVERY_READ_BYTES, &payer).await {
                Ok(read) => {
                    trouble.passed();
                    return read;
                }
                Err(error) => trouble.failed("the log cannot be read", &error),
            }
            while trouble.until().is_some() {
                self.tend(phases.current() >= Phase::Draining).await;
                self.pause(BLOCKED_PAUSE).await;
            }
        }
    }

    /// A file of which the log does not have all records. That is right if the log has let go of them because their
    /// retention was over; what is left is then stored, unless the sink has the whole file already. The lost records
    /// are counted when reading passes them.
    async fn redo_incomplete(&mut self, stage: &mut Stage, target: Target, phases: &Phases) {
        let OpenSeal { seal, lost: written, .. } = &target.open;
        let (number, key, lost) = (seal.number, seal.key.clone(), target.lost());
        if lost != *written {
            if !lost.is_empty() && !self.has_lost(&target) {
                self.halt(&format!(
                    "the log has {} records of the file '{key}', which was closed with {}: \
                     log and ledger are not of the same node, or one of them was changed",
                    target.records(),
                    seal.records
                ));
                return;
            }
            let (sink, identity) = (stage.intake.sink().clone(), stage.intake.identity(seal));
            let found = match seal.passed {
                true => None,
                false => self.look_for(&sink, (&key, &identity), phases).await,
            };
            if let Some(stored) = found {
                self.spare(&lost, written);
                self.give_up(number);
                if let Some(book) = &mut self.book {
                    book.stored(number, stored);
                }
                return;
            }
            tracing::error!(
                stream = %self.stream.name(), delivery = self.status.name(), key,
                records = seal.records - target.records(),
                "records of a closed file were gone from the log before it was stored"
            );
            self.write_lost(Lost { number, shards: lost }, phases).await;
        }
        if target.records() > 0 {
            self.send_again(stage, target, phases).await;
        } else if let Some(book) = &mut self.book {
            // Nothing of it is left that could be stored.
            book.stored(number, Stored { bytes: 0, etag: None });
        }
    }

    /// Counts records that are `lost` to the log as delivered, but those of which it is `written` that no object has
    /// them.
    fn spare(&mut self, lost: &[(ShardId, u64)], written: &[(ShardId, u64)]) {
        let written: HashMap<ShardId, u64> = written.iter().copied().collect();
        let lost: HashMap<ShardId, u64> = lost.iter().copied().collect();
        for place in &mut self.places {
            let Some(lost) = lost.get(&place.shard) else { continue };
            let spared = lost.saturating_sub(written.get(&place.shard).copied().unwrap_or_default());
            place.spare(spared);
            // They count as delivered, so they must count as found.
            self.status.found_more(spared);
        }
    }

    /// Has the ledger say what is lost, before what is left is stored.
    async fn write_lost(&mut self, lost: Lost, phases: &Phases) {
        if let Some(book) = &mut self.book {
            book.lose(lost);
        }
        loop {
            self.tend(phases.current() >= Phase::Draining).await;
            if !self.book.as_ref().is_some_and(Book::has_lost) {
                return;
            }
            self.pause(BLOCKED_PAUSE).await;
        }
    }

    /// Whether the log does not reach over all of a file's ranges any more.
    fn has_lost(&self, target: &Target) -> bool {
        target.open.seal.ranges.iter().any(|range| {
            let bounds = self.stream.shard(range.shard).map(|shard| shard.bounds());
            let is_beyond = bounds.is_none_or(|held| range.first < held.first || range.last >= held.next);
            is_beyond || target.met_gap
        })
    }

    /// What the sink has under a key by an earlier process, however often it must be asked.
    async fn look_for(
        &mut self,
        sink: &ObjectSink,
        (key, identity): (&str, &str),
        phases: &Phases,
    ) -> Option<Stored> {
        let mut trouble = Trouble::none(&self.status);
        loop {
            match sink.find(key, identity).await {
                Ok(found) => {
                    trouble.passed();
                    return found;
                }
                Err(error) => trouble.failed("the sink cannot be asked what it has", &error),
            }
            while trouble.until().is_some() {
                self.tend(phases.current() >= Phase::Draining).await;
                self.pause(BLOCKED_PAUSE).await;
            }
        }
    }
}
