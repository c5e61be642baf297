//! Connections that stop being HTTP: what goes on with them once the answer has been sent.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use hyper::upgrade::OnUpgrade;

/// What takes a connection over.
pub type Takeover = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a handler leaves what is to take its connection over. The connection runs it in its own task, in its own place
/// under the cap, when HTTP has ended on it.
#[derive(Default)]
pub struct Upgrade(Mutex<Option<Takeover>>);

impl std::fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upgrade").finish_non_exhaustive()
    }
}

/// A request that asks to leave HTTP.
#[derive(Debug)]
pub struct Leaving<'a> {
    /// The connection, once the answer has been sent.
    pub on_upgrade: OnUpgrade,
    /// Where to leave what goes on with it.
    pub upgrade: &'a Upgrade,
}

impl Upgrade {
    /// Leaves it.
    pub fn leave(&self, takeover: Takeover) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(takeover);
    }

    /// Takes it, if there is one.
    pub fn take(&self) -> Option<Takeover> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
