//! Answers that are being made: who asks for one of them waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::key::Key;

type UnderWay = HashMap<Arc<Key>, CancellationToken, foldhash::fast::RandomState>;

/// What is being made, with what tells that it has ended. Each is a request that is being answered, so there are no
/// more than those.
#[derive(Debug, Default)]
pub struct Flights(Mutex<UnderWay>);

/// Who makes it.
#[derive(Debug)]
pub enum Place<'a> {
    /// Whoever has asked.
    First(Flight<'a>),
    /// Somebody else, until this is cancelled.
    Behind(CancellationToken),
}

/// An answer that is being made. Whatever becomes of it, those who wait go on when this is dropped.
#[derive(Debug)]
pub struct Flight<'a> {
    flights: &'a Flights,
    key: Arc<Key>,
}

impl Flights {
    /// The first of those who ask for the same makes it.
    pub fn join(&self, key: &Arc<Key>) -> Place<'_> {
        let mut flights = self.lock();
        if let Some(over) = flights.get(key) {
            return Place::Behind(over.clone());
        }
        flights.insert(Arc::clone(key), CancellationToken::new());
        Place::First(Flight { flights: self, key: Arc::clone(key) })
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let over = self.flights.lock().remove(&self.key);
        if let Some(over) = over {
            over.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::tests::key;
    use super::*;

    #[test]
    fn one_makes_it_and_the_others_wait_until_that_has_ended_or_was_given_up() {
        let (flights, key, other) = (Flights::default(), Arc::new(key("s")), Arc::new(key("t")));
        let Place::First(flight) = flights.join(&key) else { panic!("nobody else asks") };
        let Place::Behind(over) = flights.join(&key) else { panic!("it is being made") };
        assert!(matches!(flights.join(&other), Place::First(_)));
        assert!(!over.is_cancelled());
        drop(flight);
        assert!(over.is_cancelled());
        assert!(matches!(flights.join(&key), Place::First(_)));
        assert!(flights.lock().is_empty());
    }
}
