//! The way in of a delivery stream's records, which its deletion shuts.
//!
//! A deletion looks what is still to be delivered, and takes away the rest. A put that it did not see would be acknowledged
//! and gone. So each put holds the door from before it looks whether the delivery stream is there until its client's answer
//! is made, and a deletion waits for those that are in before it looks.

use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, RwLock};

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Door {
    is_shut: Arc<RwLock<bool>>,
}

/// Keeps the door from being shut.
#[derive(Debug)]
pub struct Pass {
    _open: OwnedRwLockReadGuard<bool>,
}

impl Door {
    /// Goes in; `None` if it is shut. Waits while somebody is about to shut it.
    pub async fn enter(&self) -> Option<Pass> {
        let open = Arc::clone(&self.is_shut).read_owned().await;
        (!*open).then_some(Pass { _open: open })
    }

    /// Shuts it for good, once all are out who are in. Nobody comes in meanwhile.
    pub async fn shut(&self) {
        *self.is_shut.write().await = true;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_deletion_waits_for_those_who_are_in_and_nobody_comes_in_behind_it() {
        let door = Door::default();
        let (one, other) = (door.enter().await.unwrap(), door.enter().await.unwrap());
        let mut shutting = Box::pin(door.shut());
        assert!(shutting.as_mut().now_or_never().is_none());
        let mut late = Box::pin(door.enter());
        assert!(late.as_mut().now_or_never().is_none(), "it comes behind the deletion");
        drop(one);
        assert!(shutting.as_mut().now_or_never().is_none());
        drop(other);
        shutting.await;
        assert!(late.await.is_none());
        assert!(door.enter().await.is_none());
    }

    #[tokio::test]
    async fn a_deletion_that_gives_up_leaves_the_door_open() {
        let door = Door::default();
        let pass = door.enter().await.unwrap();
        assert!(Box::pin(door.shut()).as_mut().now_or_never().is_none());
        assert!(door.enter().await.is_some());
        drop(pass);
    }
}
