//! Who pays for pages of records: the taps' account, or once at a time nobody.
//!
//! A page with one record of 10 MiB needs 24 MB while it is written, which may be more than the account's floor. Where the
//! pool is full of records, which stay for as long as there is no need for their room, such a page would never be read.
//! So one page at a time, over the whole node, may overdraw the account, until the client has taken it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::get_records::{Page, PageLimit};
use super::sequence::Numbering;
use crate::edge::Edge;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::budget::{Budget, Permit};
use crate::stream::{Payer, ReadError, Stream};

/// Pays for the pages of one reader.
#[derive(Debug)]
pub struct PagePayer {
    budget: Arc<Budget>,
    overdraft: Arc<Semaphore>,
    /// There while this reader is the one that may overdraw.
    held: Option<OwnedSemaphorePermit>,
}

/// What a written page holds until it is sent.
#[derive(Debug)]
pub struct PagePermit {
    _permit: Permit,
    _overdraft: Option<OwnedSemaphorePermit>,
}

impl PagePayer {
    /// For a reader.
    pub fn new(edge: &Edge) -> Self {
        Self { budget: Arc::clone(&edge.taps_budget), overdraft: Arc::clone(&edge.aws.overdraft), held: None }
    }

    /// [`Page::find`].
    ///
    /// # Errors
    /// The same; that there is no memory only if another page overdraws the account already.
    pub async fn find(
        &mut self,
        stream: &Arc<Stream>,
        from: (ShardId, Numbering),
        position: SequenceNumber,
        limit: PageLimit,
    ) -> Result<Page, ReadError> {
        match Page::find(stream, from, position, limit, &self.payer()).await {
            Err(ReadError::NoMemory { .. }) if self.held.is_none() && self.may_overdraw() => {
                Page::find(stream, from, position, limit, &self.payer()).await
            }
            found => found,
        }
    }

    /// Pays for a page that is to be written; `None` if another one overdraws the account already.
    pub fn pay(&mut self, bytes: u64) -> Option<PagePermit> {
        if self.held.is_none()
            && let Some(permit) = self.budget.try_take(bytes)
        {
            return Some(PagePermit { _permit: permit, _overdraft: None });
        }
        let permit = self.may_overdraw().then(|| self.budget.take_anyway(bytes))?;
        Some(PagePermit { _permit: permit, _overdraft: self.held.take() })
    }

    fn payer(&self) -> Payer {
        Payer { budget: Arc::clone(&self.budget), overdraws: self.held.is_some() }
    }

    fn may_overdraw(&mut self) -> bool {
        if self.held.is_none() {
            self.held = Arc::clone(&self.overdraft).try_acquire_owned().ok();
        }
        self.held.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_page_at_a_time_may_be_more_than_there_is() {
        let (budget, overdraft) = (Budget::new(10), Arc::new(Semaphore::new(1)));
        let payer =
            || PagePayer { budget: Arc::clone(&budget), overdraft: Arc::clone(&overdraft), held: None };
        let small = payer().pay(10).unwrap();
        let large = payer().pay(100).unwrap();
        assert!(payer().pay(1).is_none(), "the account is overdrawn already");
        assert_eq!(budget.used(), 110);
        drop(large);
        let large = payer().pay(1).unwrap();
        drop((small, large));
        assert_eq!((budget.used(), overdraft.available_permits()), (0, 1));
        // A reader that has given up gives its place away.
        let mut other = payer();
        assert!(other.may_overdraw() && other.payer().overdraws && !payer().may_overdraw());
        drop(other);
        assert!(payer().may_overdraw());
    }
}
