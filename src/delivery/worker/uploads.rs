//! Closed files → the sink, some at a time; and what the ledger says before and after.

use std::sync::Arc;

use super::Worker;
use super::book::Book;
use super::upload_tasks::{Panicked, Task, Work};
use crate::config::limits::DELIVERY_UPLOADS_MAX;
use crate::delivery::ledger::{Ledger, Seal};
use crate::delivery::outflow::{Done, Loss};
use crate::delivery::seal::Sealed;
use crate::delivery::sink::{NoNotes, Stored};
use crate::delivery::status::Status;
use crate::delivery::upload::{self, LedgerNotes};

/// An upload that has ended.
#[derive(Debug)]
pub enum Ended {
    /// A closed file is stored: number of the seal, and the object.
    Stored(u64, Stored),
    /// A step of a file that is sent while it is filled: its number, and what has come of it.
    Step(u64, Done),
    /// Nothing is left of a file of this number that an earlier process has begun.
    Leftover(u64),
    /// Nothing is known.
    Panicked(Panicked),
}

impl Worker {
    /// Takes note of uploads that have ended, writes down whatever is ready, and starts what may be stored.
    pub(super) async fn tend(&mut self, draining: bool) {
        while let Some(ended) = self.uploads.try_next() {
            self.ended(ended);
        }
        self.hand_over();
        self.write_book().await;
        // A drain has a deadline and nothing else to do, so small files go out many at a time.
        let uploads_max = if draining { DELIVERY_UPLOADS_MAX * 4 } else { DELIVERY_UPLOADS_MAX };
        while self.uploads.len() < uploads_max {
            let Some(sealed) = self.queue.pop_front() else { break };
            let ledger = self.book.as_ref().map(|book| book.ledger().clone());
            let Seal { number, key, .. } = &sealed.seal;
            let task = Task { work: Work::File, number: *number, key: key.clone() };
            self.uploads.start(task, store(sealed, Arc::clone(&self.status), ledger));
        }
        self.send_parts(uploads_max);
    }

    /// Has the ledger written, and acts on what has become a fact by that.
    pub(super) async fn write_book(&mut self) {
        if self.book.as_ref().is_none_or(Book::is_written) {
            return;
        }
        let positions = self.positions();
        let Some(book) = &mut self.book else { return };
        let cursor = book.next_cursor(&positions, &self.files);
        let Some(written) = book.write(cursor).await else { return };
        self.begun(written.begun);
        written.sealed.into_iter().for_each(|sealed| self.dispatch(sealed));
        for (number, contents, stored) in written.committed {
            self.unstored.remove(&number);
            if contents.passed {
                self.status.passed(contents.records);
            } else if contents.records > 0 {
                self.status.stored(contents.records, stored.bytes, contents.dead.as_deref());
            }
        }
        for (shard, position) in written.cursor {
            self.status.set_cursor(shard, position);
            if let Some(log) = self.stream.shard(shard) {
                log.release(self.reader, position);
            }
        }
    }

    pub(super) fn ended(&mut self, ended: Ended) {
        match ended {
            Ended::Step(number, done) => self.stepped(number, done),
            Ended::Leftover(number) => self.left_over(number),
            Ended::Stored(number, stored) => match &mut self.book {
                Some(book) => book.stored(number, stored),
                None => {
                    self.unstored.remove(&number);
                }
            },
            Ended::Panicked(panicked) => self.panicked(panicked),
        }
    }

    /// Stops. The records stay pending, which the balance shows, and the ledger has the file as one to be made again.
    fn panicked(&mut self, panicked: Panicked) {
        self.halt(&panicked.to_string());
        let Task { work, number, .. } = panicked.task;
        match work {
            Work::Step => self.stepped(number, Done::Gone(Loss::Program(panicked.source.to_string()))),
            // The task had all that there was of the file, and the next process begins with leftovers again. Until
            // then no other file is begun.
            Work::File | Work::Leftover => {}
        }
    }
}

/// Without a ledger an object counts as soon as it is stored; with one, when that is written down.
async fn store(sealed: Sealed, status: Arc<Status>, ledger: Option<Ledger>) -> Ended {
    let number = sealed.seal.number;
    if sealed.seal.passed {
        // There is nothing to store. With a ledger it counts when that is written down.
        if ledger.is_none() {
            status.passed(sealed.seal.records);
        }
        return Ended::Stored(number, Stored { bytes: 0, etag: None });
    }
    let stored = match ledger {
        Some(ledger) => upload::store(&sealed, &LedgerNotes { ledger, number }, &status).await,
        None => {
            let stored = upload::store(&sealed, &NoNotes, &status).await;
            status.stored(sealed.seal.records, stored.bytes, sealed.seal.dead.as_deref());
            stored
        }
    };
    Ended::Stored(number, stored)
}
