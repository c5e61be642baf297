//! What is durable, and what will be after the next write.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::LedgerError;
use super::entry::{Entry, Previous, Snapshot};
use super::state::State;

/// See the module.
#[derive(Debug)]
pub(super) struct TwoStates {
    /// What is durable; shared with those who look.
    durable: Arc<Mutex<State>>,
    /// What will be durable after the write that is being prepared; otherwise the same. A second copy is cheaper than
    /// making one for each write.
    ahead: State,
}

/// Appends that can follow what is durable, and what has become of each append.
pub(super) type Accepted<'a> = (Vec<&'a [Entry]>, Vec<Result<(), LedgerError>>);

impl TwoStates {
    /// Both are `state`.
    pub fn new(state: State) -> Self {
        Self { durable: Arc::new(Mutex::new(state.clone())), ahead: state }
    }

    /// The durable one, shared.
    pub fn durable(&self) -> Arc<Mutex<State>> {
        Arc::clone(&self.durable)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The durable one as the first line of a file has it.
    pub fn to_snapshot(&self, previous: Option<Previous>) -> Snapshot {
        self.lock().to_snapshot(previous)
    }

    /// Takes appends in. One that is refused does not touch the others.
    pub fn accept<'a>(&mut self, appends: &[&'a [Entry]]) -> Accepted<'a> {
        let mut accepted: Vec<&[Entry]> = Vec::with_capacity(appends.len());
        let mut results = Vec::with_capacity(appends.len());
        for &entries in appends {
            let result = entries.iter().try_for_each(|entry| self.ahead.apply(entry));
            match &result {
                Ok(()) => accepted.push(entries),
                // Some of its entries may have been taken in.
                Err(_) => self.rewind(&accepted),
            }
            results.push(result);
        }
        (accepted, results)
    }

    /// What was accepted was not written, because of `error`.
    pub fn take_back(&mut self, results: &mut [Result<(), LedgerError>], error: &LedgerError) {
        self.rewind(&[]);
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            *result = Err(error.clone());
        }
    }

    /// What was accepted is durable.
    pub fn written(&self, accepted: &[&[Entry]]) -> Result<(), LedgerError> {
        let mut durable = self.lock();
        accepted.iter().copied().flatten().try_for_each(|entry| durable.apply(entry))
    }

    /// Makes `ahead` the durable state and `accepted` after it.
    fn rewind(&mut self, accepted: &[&[Entry]]) {
        let durable = self.lock().clone();
        self.ahead = durable;
        for entry in accepted.iter().copied().flatten() {
            // It was taken in after the same ones before.
            let _ = self.ahead.apply(entry);
        }
    }
}
