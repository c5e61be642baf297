//! A live reader that is sent no more than its limits allow: what it is sent is owed, and nothing more comes until that
//! is paid.

use std::sync::Arc;

use super::cursor::Cursor;
use super::named::cursor::NamedCursor;
use super::named::live::AnyReader;
use super::reader::Next;
use crate::edge::gate::throttle::charge::Charge;
use crate::edge::problem::Problem;
use crate::runtime::phases::{Phase, Phases};

/// See the module.
#[derive(Debug)]
pub struct Paced {
    reader: AnyReader,
    charge: Charge,
    phases: Phases,
}

impl Paced {
    /// Sends what `reader` reads at the pace at which `charge` is paid.
    pub fn new(reader: AnyReader, charge: Charge, phases: &Phases) -> Self {
        Self { reader, charge, phases: phases.clone() }
    }

    /// From where to read on.
    pub fn cursor(&self) -> &Cursor {
        self.reader.cursor()
    }

    /// The worker that reads, and its named cursor.
    pub fn worker(&self) -> Option<(Arc<NamedCursor>, Arc<str>)> {
        self.reader.worker()
    }

    /// Waits for what comes next, and until it may come. Nothing is lost if the wait is given up.
    ///
    /// # Errors
    /// Those of [`AnyReader::next`].
    pub async fn next(&mut self) -> Result<Next, Problem> {
        while let Some(wait) = self.charge.owed_for() {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // A limit must not hold up a shutdown.
                () = self.phases.reached(Phase::StoppingEdge) => break,
            }
        }
        let next = self.reader.next().await?;
        if let Next::Records(piece) = &next {
            self.charge.owe(piece.records, piece.text.len() as u64);
        }
        Ok(next)
    }
}
