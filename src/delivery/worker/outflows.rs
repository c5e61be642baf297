//! Large files on their way to the sink while they are filled.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Worker;
use super::redo::Undone;
use super::stage::Plan;
use super::upload_tasks::{Task, Work};
use super::uploads::Ended;
use crate::config::limits::DELIVERY_UPLOADS_MAX;
use crate::delivery::files::{BegunFile, OpenFile};
use crate::delivery::ledger::{Begun, OpenBegun, OpenSeal, State};
use crate::delivery::outflow::{Done, Outcome, Outflow, Target};
use crate::delivery::seal::{SealReason, Sealed};
use crate::delivery::sink::{NoNotes, ObjectSink, PartSizes, Stored};
use crate::delivery::status::Status;
use crate::delivery::upload::{self, LedgerNotes};
use crate::delivery::{OpenError, Parts};
use crate::runtime::phases::Phases;

/// A file that an earlier process has begun and not closed: what is there of it is thrown away.
#[derive(Debug)]
pub struct Leftover {
    /// Number of the file.
    pub number: u64,
    /// Key that it would have had.
    pub key: String,
    /// Where it is.
    pub sink: ObjectSink,
    /// Uploads in parts that were noted for it.
    pub multiparts: Vec<String>,
}

/// Everything of a delivery that is sent while it is filled, or is left of that.
#[derive(Default)]
pub struct Outflows {
    /// By number of the file.
    going: BTreeMap<u64, Outflow>,
    /// Closed files that the sink has lost.
    lost: Vec<OpenSeal>,
    /// Of earlier processes. While there are any no other file is begun, so that the ledger never has more begun ones
    /// than a process has open files.
    leftovers: Vec<Leftover>,
    /// Those of them that are being thrown away.
    aborting: usize,
}

impl Leftover {
    /// All of them.
    ///
    /// # Errors
    /// As [`Undone::of`].
    pub fn of(parts: &Parts, plan: &Plan, state: &State) -> Result<Vec<Self>, OpenError> {
        let leftover = |open: &OpenBegun| {
            let OpenBegun { begun: Begun { number, epoch, key }, multiparts } = open.clone();
            let sink = plan.stage_of(parts, epoch)?.intake.sink().clone();
            Ok(Self { number, key, sink, multiparts })
        };
        state.begun.values().map(leftover).collect()
    }
}

impl Outflows {
    /// Nothing but what earlier processes have left.
    pub fn new(leftovers: Vec<Leftover>) -> Self {
        Self { leftovers, ..Self::default() }
    }

    /// Whether a file may be begun.
    fn may_begin(&self) -> bool {
        self.leftovers.is_empty() && self.aborting == 0
    }

    /// Full parts that wait for a free upload.
    pub fn waiting_parts(&self) -> usize {
        self.going.values().map(Outflow::waiting_parts).fold(0, usize::saturating_add)
    }

    /// Whether none is on its way, and none has to be made again.
    pub fn is_empty(&self) -> bool {
        self.going.is_empty() && self.lost.is_empty()
    }

    /// Whether a closed file is on its way.
    pub fn has_sealed(&self) -> bool {
        self.going.values().any(|outflow| outflow.sealed().is_some())
    }

    /// Whether a file that is made again is on its way, or one that was given up is not got rid of yet.
    pub fn has_again(&self) -> bool {
        let is_awaited = |outflow: &Outflow| outflow.sealed().is_some() || outflow.is_given_up();
        self.going.values().any(|outflow| outflow.is_again() && is_awaited(outflow))
    }

    /// Whether a file has one.
    pub fn has(&self, number: u64) -> bool {
        self.going.contains_key(&number)
    }

    /// Where earlier processes have left something.
    pub fn sinks_of_leftovers(&self) -> impl Iterator<Item = &ObjectSink> {
        self.leftovers.iter().map(|leftover| &leftover.sink)
    }

    /// Takes out the closed files that the sink has lost.
    pub fn take_lost(&mut self) -> Vec<OpenSeal> {
        std::mem::take(&mut self.lost)
    }
}

impl Worker {
    /// Takes finished parts out of open files, and begins to send those that are large enough for that.
    pub(super) fn hand_over(&mut self) {
        // Until then they wait where they are.
        if !self.outflows.may_begin() || self.stages.is_empty() {
            return;
        }
        for key in self.files.take_ready() {
            let Some(file) = self.files.get_mut(&key).filter(|file| file.has_part()) else { continue };
            let begun = file.begun.as_ref().map(|begun| begun.number);
            let Some(number) = begun.or_else(|| self.begin_file(&key)) else { continue };
            if let (Some(file), Some(outflow)) =
                (self.files.get_mut(&key), self.outflows.going.get_mut(&number))
            {
                outflow.push(file.hand_over());
            }
        }
    }

    /// Gives an open file its number and its name, if it may have them now.
    fn begin_file(&mut self, key: &[u8]) -> Option<u64> {
        let intake = &self.stages.front()?.intake;
        let number = self.files.next_number();
        let file = self.files.get_mut(key)?;
        let sizes = file.sizes()?;
        let (begun, identity) = intake.begin(number, file);
        file.begun = Some(begun.clone());
        let (sink, epoch) = (intake.sink().clone(), intake.epoch());
        if let Some(book) = &mut self.book {
            book.begin(Begun { number, epoch, key: begun.key.clone() });
        }
        self.begin(&begun, (identity, sink, sizes), None);
        Some(number)
    }

    /// An outflow of a file. One that is closed already, with `leftovers`, may be sent at once.
    fn begin(
        &mut self,
        begun: &BegunFile,
        (identity, sink, PartSizes { part_bytes, .. }): (String, ObjectSink, PartSizes),
        leftovers: Option<Vec<String>>,
    ) {
        let number = begun.number;
        let may_go = leftovers.is_some() || self.book.is_none();
        let target = Target { key: begun.key.clone(), identity, sink, part_bytes, leftovers };
        let mut outflow = Outflow::new(target, self.budget.take_anyway(0));
        if may_go {
            outflow.written();
        }
        self.outflows.going.insert(number, outflow);
    }

    /// Takes finished parts out of a file that is made again, and begins to send it if that has not happened yet.
    pub(super) fn flow_again(
        &mut self,
        open: &OpenSeal,
        file: &mut OpenFile,
        (identity, sink): (String, ObjectSink),
    ) {
        let number = open.seal.number;
        if !self.outflows.has(number) {
            let Some(sizes) = file.sizes() else { return };
            let begun = BegunFile { number, key: open.seal.key.clone(), guard: 0 };
            self.begin(&begun, (identity, sink, sizes), Some(open.multiparts.clone()));
            file.begun = Some(begun);
        }
        if let Some(outflow) = self.outflows.going.get_mut(&number) {
            outflow.push(file.hand_over());
        }
    }

    /// The ledger has the begin of these files.
    pub(super) fn begun(&mut self, numbers: Vec<u64>) {
        for number in numbers {
            if let Some(outflow) = self.outflows.going.get_mut(&number) {
                outflow.written();
            }
        }
    }

    /// Sends a closed file, or the rest of it, to the sink.
    pub(super) fn dispatch(&mut self, sealed: Sealed) {
        let number = sealed.seal.number;
        match self.outflows.going.get_mut(&number) {
            Some(outflow) => {
                outflow.seal(sealed);
                self.settle(number);
            }
            None => {
                debug_assert!(sealed.seal.guard.is_none() || sealed.leftovers.is_some(), "its begin is sent");
                self.queue.push_back(sealed);
            }
        }
    }

    /// Sends nothing more of a file, if anything of it is sent, and throws away what was.
    pub(super) fn give_up(&mut self, number: u64) {
        if let Some(outflow) = self.outflows.going.get_mut(&number) {
            outflow.give_up();
            self.settle(number);
        }
    }

    /// Starts steps of files that are on their way, and gets rid of what earlier processes have left, while there are
    /// free uploads.
    pub(super) fn send_parts(&mut self, uploads_max: usize) {
        let numbers: Vec<u64> = self.outflows.going.keys().copied().collect();
        for number in numbers {
            while self.uploads.len() < uploads_max {
                let Some(outflow) = self.outflows.going.get_mut(&number) else { break };
                let Some(job) = outflow.next_job() else { break };
                let task = Task { work: Work::Step, number, key: outflow.key().to_owned() };
                let (status, ledger) =
                    (Arc::clone(&self.status), self.book.as_ref().map(|book| book.ledger().clone()));
                self.uploads.start(task, async move {
                    let done = match ledger {
                        Some(ledger) => upload::step(job, &LedgerNotes { ledger, number }, &status).await,
                        None => upload::step(job, &NoNotes, &status).await,
                    };
                    Ended::Step(number, done)
                });
            }
        }
        while self.uploads.len() < uploads_max {
            let Some(leftover) = self.outflows.leftovers.pop() else { break };
            self.outflows.aborting += 1;
            let task = Task { work: Work::Leftover, number: leftover.number, key: leftover.key.clone() };
            self.uploads.start(task, drop_leftover(leftover, Arc::clone(&self.status)));
        }
    }

    /// Takes note of a step that has ended.
    pub(super) fn stepped(&mut self, number: u64, done: Done) {
        if let Some(outflow) = self.outflows.going.get_mut(&number) {
            outflow.take(done);
            self.settle(number);
        }
    }

    /// Takes note that nothing is left of a file that an earlier process has begun.
    pub(super) fn left_over(&mut self, number: u64) {
        self.outflows.aborting = self.outflows.aborting.saturating_sub(1);
        if let Some(book) = &mut self.book {
            book.drop_begun(number);
        }
    }

    /// Draws the conclusion from what has become of a file.
    fn settle(&mut self, number: u64) {
        let Some(outflow) = self.outflows.going.get(&number) else { return };
        match outflow.outcome() {
            Outcome::Going => {}
            Outcome::Stored(stored) => self.flowed(number, stored),
            Outcome::Over => {
                let is_again = outflow.is_again();
                self.outflows.going.remove(&number);
                if let Some(book) = self.book.as_mut().filter(|_| !is_again) {
                    book.drop_begun(number);
                }
            }
            Outcome::Gone(loss) => {
                let key = outflow.key();
                if self.book.is_none() {
                    let why = format!("'{key}': {loss}, and it is nowhere else");
                    self.outflows.going.remove(&number);
                    if let Some(key) = self.files.key_of(number) {
                        // What is left of it is no file. Its records stay pending, which the balance shows.
                        self.files.remove(&key);
                    }
                    self.halt(&why);
                    return;
                }
                let Some(seal) = outflow.sealed().cloned() else { return };
                tracing::warn!(
                    stream = %self.stream.name(), delivery = self.status.name(), key, %loss,
                    "what was sent of a file is of no use: it is made again from the log"
                );
                self.outflows.going.remove(&number);
                self.outflows.lost.push(OpenSeal { seal, multiparts: Vec::new(), lost: Vec::new() });
            }
        }
    }

    fn flowed(&mut self, number: u64, stored: Stored) {
        let Some(outflow) = self.outflows.going.remove(&number) else { return };
        match (&mut self.book, outflow.sealed()) {
            (Some(book), _) => book.stored(number, stored),
            (None, Some(seal)) => {
                self.status.stored(seal.records, stored.bytes, seal.dead.as_deref());
                self.unstored.remove(&number);
            }
            (None, None) => {}
        }
    }

    /// Closes files that the sink has lost, and makes those that are closed again from the log. Returns whether there
    /// was anything to do.
    pub(super) async fn mend(&mut self, phases: &Phases) -> bool {
        let is_open = |outflow: &Outflow| outflow.is_gone() && outflow.sealed().is_none();
        let gone = self.outflows.going.iter().filter(|(_, outflow)| is_open(outflow));
        let gone: Vec<_> = gone.filter_map(|(&number, _)| self.files.key_of(number)).collect();
        for key in &gone {
            self.seal(key, SealReason::Sink);
        }
        if self.outflows.lost.is_empty() || self.halted.is_some() {
            return !gone.is_empty();
        }
        // Another configuration takes over only when none of its files can be lost any more.
        // None of the others may stay: what is open is of this one, and must not be begun under another one's name.
        let mut stages = std::mem::take(&mut self.stages);
        let Some(stage) = stages.pop_front() else { return false };
        let seals = self.outflows.take_lost();
        let Undone { stage, .. } = self.redo_all(Undone { stage, seals }, phases).await;
        stages.push_front(stage);
        self.stages = stages;
        true
    }

    /// Whether as many uploads are under way, or wait, as may be.
    pub(super) fn uploads_are_full(&self) -> bool {
        let wait = self.queue.len().saturating_add(self.outflows.waiting_parts());
        wait.saturating_add(self.uploads.len()) >= DELIVERY_UPLOADS_MAX
    }
}

async fn drop_leftover(leftover: Leftover, status: Arc<Status>) -> Ended {
    let Leftover { number, key, sink, multiparts } = leftover;
    upload::abort_leftovers(&sink, &key, &multiparts, &status).await;
    Ended::Leftover(number)
}
