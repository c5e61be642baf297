//! Records one by one → columns.

use super::merge::Merge;
use super::node::Members;
use super::shape::{Shape, observe};
use super::{OnConflict, Refusal, Rules};
use crate::schema::columns::{Coercion, Column};

/// Columns that widen with what they are shown.
#[derive(Debug, Clone)]
pub struct Learner {
    root: Members,
    rules: Rules,
}

impl Learner {
    /// Goes on from columns that files have; from none at the beginning.
    pub fn new(columns: &[Column], rules: Rules) -> Self {
        Self { root: Members::of(columns), rules }
    }

    /// Makes room for a record. Returns whether there was none before; what is learned may be the same all the same.
    ///
    /// # Errors
    /// If there is no room to be made. Nothing has changed then.
    pub fn take(&mut self, record: &str) -> Result<bool, Refusal> {
        match self.widened(record)? {
            Some(root) => {
                self.root = root;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Whether [`Learner::take`] would make other columns of these.
    ///
    /// # Errors
    /// As that one's.
    pub fn would_change(&self, record: &str) -> Result<bool, Refusal> {
        let widened = self.widened(record)?;
        Ok(widened.is_some_and(|root| root.columns(self.coercion()) != self.columns()))
    }

    /// Whether a record fits as it is.
    ///
    /// # Errors
    /// If it is no JSON object.
    pub fn fits(&self, record: &str) -> Result<bool, Refusal> {
        let Shape::Struct(seen) = observe(record)? else { return Ok(false) };
        Ok(Merge { on_conflict: self.rules.on_conflict }.members_fit(&self.root, &seen))
    }

    fn widened(&self, record: &str) -> Result<Option<Members>, Refusal> {
        let Shape::Struct(seen) = observe(record)? else { return Ok(None) };
        let merge = Merge { on_conflict: self.rules.on_conflict };
        if merge.members_fit(&self.root, &seen) {
            return Ok(None);
        }
        let max = self.rules.columns_max;
        // Said without a copy of all columns, because a producer that keeps inventing fields has it said of each
        // record.
        if merge.adds_alone(&self.root, &seen) && self.root.leaves() >= max {
            return Err(Refusal::TooMany { max });
        }
        let mut root = self.root.clone();
        merge.members(&mut root, &seen, false).map_err(super::merge::Stopped::refusal)?;
        if root.leaves() > max && root.leaves() > self.root.leaves() {
            return Err(Refusal::TooMany { max });
        }
        Ok(Some(root))
    }

    /// The columns, in the order in which they came.
    pub fn columns(&self) -> Vec<Column> {
        self.root.columns(self.coercion())
    }

    fn coercion(&self) -> Coercion {
        if self.rules.on_conflict == OnConflict::String { Coercion::LearnedText } else { Coercion::Learned }
    }
}
