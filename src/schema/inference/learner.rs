//! Records one by one → columns.

use super::journal::Journal;
use super::merge::{Merge, Stopped};
use super::node::Members;
use super::shape::{Shape, observe};
use super::{OnConflict, Refusal, Rules};
use crate::schema::columns::{Coercion, Column};

/// Columns that widen with what they are shown.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, PartialEq))]
pub struct Learner {
    root: Members,
    /// Scalar columns of the root, counted once a change because there may be thousands.
    leaves: usize,
    rules: Rules,
}

impl Learner {
    /// Goes on from columns that files have; from none at the beginning.
    pub fn new(columns: &[Column], rules: Rules) -> Self {
        let root = Members::of(columns);
        Self { leaves: root.leaves(), root, rules }
    }

    /// Makes room for a record. Returns whether there was none before; what is learned may be the same all the same.
    ///
    /// # Errors
    /// If there is no room to be made. Nothing has changed then.
    pub fn take(&mut self, record: &str) -> Result<bool, Refusal> {
        let Some(journal) = self.widen(record)? else { return Ok(false) };
        if journal.changes_columns() {
            self.leaves = self.root.leaves();
        }
        Ok(true)
    }

    /// Whether [`Learner::take`] would make other columns of these, which are the same afterwards.
    ///
    /// # Errors
    /// As that one's.
    pub fn would_change(&mut self, record: &str) -> Result<bool, Refusal> {
        let Some(journal) = self.widen(record)? else { return Ok(false) };
        let would_change = journal.changes_columns();
        journal.undo_in_members(&mut self.root);
        Ok(would_change)
    }

    /// Whether a record fits as it is.
    ///
    /// # Errors
    /// If it is no JSON object.
    pub fn fits(&self, record: &str) -> Result<bool, Refusal> {
        let Shape::Struct(seen) = observe(record)? else { return Ok(false) };
        Ok(Merge { on_conflict: self.rules.on_conflict }.members_fit(&self.root, &seen))
    }

    /// Makes room for a record, and tells what has changed; nothing if there was room.
    fn widen(&mut self, record: &str) -> Result<Option<Journal>, Refusal> {
        let Shape::Struct(seen) = observe(record)? else { return Ok(None) };
        let merge = Merge { on_conflict: self.rules.on_conflict };
        if merge.members_fit(&self.root, &seen) {
            return Ok(None);
        }
        let max = self.rules.columns_max;
        // Said before anything is changed, because a producer that keeps inventing fields has it said of each record.
        if self.leaves >= max && merge.adds_alone(&self.root, &seen) {
            return Err(Refusal::TooMany { max });
        }
        let mut journal = Journal::default();
        let widened = merge.members(&mut self.root, &seen, false, &mut journal);
        let widened = widened.map_err(Stopped::refusal).and_then(|_| {
            let leaves = if journal.changes_columns() { self.root.leaves() } else { self.leaves };
            if leaves > max && leaves > self.leaves { Err(Refusal::TooMany { max }) } else { Ok(()) }
        });
        match widened {
            Ok(()) => Ok(Some(journal)),
            Err(refusal) => {
                journal.undo_in_members(&mut self.root);
                Err(refusal)
            }
        }
    }

    /// The columns, in the order in which they came.
    pub fn columns(&self) -> Vec<Column> {
        self.root.columns(self.coercion())
    }

    fn coercion(&self) -> Coercion {
        if self.rules.on_conflict == OnConflict::String { Coercion::LearnedText } else { Coercion::Learned }
    }
}
