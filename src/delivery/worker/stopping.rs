//! The end of a worker: with the process, or told to stop while that goes on.
//!
//! One that is told to stop leaves its ledger as a crash would, but for what has been stored by then, which it writes
//! down: open files are not closed, and what is closed and not stored is made again from the log. In return it is quick,
//! and nothing of it touches ledger or sink any more when it has ended, so that another worker may go on at once.
//!
//! Without a ledger nobody could make a file again. Such a worker reads nothing more and stores what it has, for as long
//! as that takes, or until the wish is taken back. Only where it is told to stop for good it gives that up after a while:
//! the records of a delivery that is deleted are forgotten.

use super::Worker;
use crate::delivery::Stop;
use crate::delivery::ledger::{Generation, Ledger};
use crate::delivery::sink::ObjectSink;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::phases::Phases;

/// The first record of each shard that a worker has not read.
pub type Positions = Vec<(ShardId, SequenceNumber)>;

/// How a worker has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// With the process: what was accepted is stored.
    Drained(Positions),
    /// It was told to. With a ledger another one can go on at once; without one, behind what it has read.
    Stopped(Positions),
    /// Another process has taken its ledger over, and does what it would have done. Nothing of it is under way any more.
    Deposed(Generation),
}

impl Ended {
    /// What it has not read; nothing is known of that if it was deposed.
    pub fn into_positions(self) -> Positions {
        match self {
            Ended::Drained(positions) | Ended::Stopped(positions) => positions,
            Ended::Deposed(_) => Positions::new(),
        }
    }
}

impl Worker {
    /// Works until the drain is over: returns once everything that was accepted is stored. Whoever cannot wait that
    /// long drops the future; what was not stored then shows as pending in the status, and with a ledger is delivered
    /// after the next start.
    ///
    /// If it is told to stop it returns as soon as another worker can go on with its ledger; or, without one, where it
    /// has ended reading, once what it has read is stored.
    ///
    /// If it learns that its ledger was taken over it breaks off whatever it does. What it has closed is in the ledger, with
    /// its key and its content, and the one that follows stores it; what is open the ledger does not know of, or only
    /// as begun, and nobody ever sees it.
    pub async fn run(mut self, phases: Phases, stop: Stop) -> Ended {
        let (sinks, has_ledger) = (self.sinks(), self.book.is_some());
        self.status.tell_lost();
        let ledger = self.book.as_ref().map(|book| book.ledger().clone());
        let mut deposed_by = None;
        tokio::select! {
            // Before anything is made of the error that has told it.
            biased;
            by = deposed(ledger) => deposed_by = Some(by),
            () = self.work(&phases, &stop) => {}
            () = stop.overdue(has_ledger) => {
                tracing::info!(
                    stream = %self.stream.name(), delivery = self.status.name(), is_stored_again = has_ledger,
                    "uploads are broken off"
                );
            }
        }
        // Also where it was not told to: it costs next to nothing then, and the wish may have been taken back just now.
        self.let_go(&sinks).await;
        match deposed_by {
            Some(by) => {
                self.tell_deposed(&by);
                Ended::Deposed(by)
            }
            None if stop.is_told() => Ended::Stopped(self.positions()),
            None => Ended::Drained(self.positions()),
        }
    }

    fn tell_deposed(&self, by: &Generation) {
        let shards: Vec<String> = self.places.iter().map(|place| place.shard.to_string()).collect();
        tracing::info!(
            stream = %self.stream.name(), delivery = self.status.name(), shards = shards.join(" "), node = by.node,
            generation = by.number, "delivery was taken over by another node"
        );
        self.status.set_deposed(by.clone());
    }

    /// Waits for uploads that are under way, and writes down what has been stored. Begins nothing.
    pub(super) async fn come_to_rest(&mut self) {
        while let Some(ended) = self.uploads.next().await {
            self.ended(ended);
        }
        if let Some(book) = &mut self.book {
            book.let_go_of_unwritten();
        }
        self.write_book().await;
        self.publish();
    }

    /// Breaks off what is still under way, and waits for writes that the disk has been given. Wherever the work was
    /// broken off, this worker is of no more use than after a crash.
    async fn let_go(&mut self, sinks: &[ObjectSink]) {
        self.uploads.break_off().await;
        self.outflows = Default::default();
        if let Some(book) = &self.book {
            book.ledger().settled().await;
        }
        for sink in sinks {
            sink.settled().await;
        }
    }

    /// All that files of this worker go to.
    fn sinks(&self) -> Vec<ObjectSink> {
        let stages = self.stages.iter().chain(self.undone.iter().map(|undone| &undone.stage));
        let sinks = stages.map(|stage| stage.intake.sink());
        sinks.chain(self.outflows.sinks_of_leftovers()).cloned().collect()
    }
}

/// Returns once a ledger is known to have been taken over.
async fn deposed(ledger: Option<Ledger>) -> Generation {
    match ledger {
        Some(ledger) => ledger.deposed().await,
        None => std::future::pending().await,
    }
}
