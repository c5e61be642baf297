//! Several requests at a time over one connection of HTTP/2, each on a stream of its own.
//!
//! Replies come in any order. The server says how many streams it takes at a time
//! (`SETTINGS_MAX_CONCURRENT_STREAMS`, RFC 9113, section 5.1.2); what is beyond that waits in the client for one that
//! ends. Requests share a fate only where the connection itself breaks: those that had begun are lost, the others go
//! over the next one. A request without an answer is given up alone, but no further ones go over its connection, of
//! which nobody knows whether it still leads anywhere.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use forebay::runtime::clock;
use tokio::sync::Mutex;
use tokio::time::{Sleep, timeout};

use super::http2::Http2;
use super::{Attempt, RequestHead, within};

/// A connection of HTTP/2 that several senders share, each with one request at a time.
pub(in crate::run) struct Streams {
    head: Arc<RequestHead>,
    /// Where the next request goes.
    current: RefCell<Option<Rc<Http2>>>,
    /// Held by who opens the next connection; the others wait for it.
    opening: Mutex<()>,
    /// Connections that were tried.
    tries: Cell<u64>,
}

impl Streams {
    pub(in crate::run) fn new(head: Arc<RequestHead>) -> Self {
        Self { head, current: RefCell::default(), opening: Mutex::new(()), tries: Cell::new(0) }
    }

    /// Opens the connection before there is something to send. A failure shows when there is.
    pub(super) async fn open_ahead(&self) {
        drop(self.connection().await);
    }

    /// Sends `bytes` beside what others have under way, and waits for the reply, for as long as the plan allows.
    pub(super) async fn post(
        &self,
        bytes: &Bytes,
        key: Option<&str>,
        timer: &mut Option<Pin<Box<Sleep>>>,
    ) -> Attempt {
        loop {
            let Some((connection, is_new)) = self.connection().await else { return Attempt::NotSent };
            let exchange = connection.exchange(&self.head.uri, &self.head.headers, bytes.clone(), key);
            let (attempt, stays) = within(timer, clock::monotonic(), self.head.timeout, exchange)
                .await
                .unwrap_or((Attempt::Lost("timeout"), false));
            if !stays {
                self.retire(&connection);
            }
            // A server may close an idle connection at any time: that is no failure, so there is a second way in.
            if is_new || !matches!(attempt, Attempt::NotSent) {
                return attempt;
            }
        }
    }

    /// The connection, and whether it was opened for this; nothing if it cannot be opened.
    async fn connection(&self) -> Option<(Rc<Http2>, bool)> {
        if let Some(current) = self.open() {
            return Some((current, false));
        }
        let seen = self.tries.get();
        let _alone = self.opening.lock().await;
        if let Some(current) = self.open() {
            return Some((current, true));
        }
        // Somebody has just tried: a server that is away costs all senders one try, not one each in turn.
        if self.tries.get() != seen {
            return None;
        }
        let opened = timeout(self.head.timeout, Http2::open(&self.head)).await.ok().flatten().map(Rc::new);
        self.tries.set(self.tries.get() + 1);
        self.current.borrow_mut().clone_from(&opened);
        opened.map(|opened| (opened, true))
    }

    fn open(&self) -> Option<Rc<Http2>> {
        self.current.borrow().as_ref().filter(|current| !current.has_ended()).cloned()
    }

    /// Sends nothing more over `connection`. It stays until the last request that is under way there has ended.
    fn retire(&self, connection: &Rc<Http2>) {
        let mut current = self.current.borrow_mut();
        if current.as_ref().is_some_and(|current| Rc::ptr_eq(current, connection)) {
            *current = None;
        }
    }
}

#[cfg(test)]
mod tests;
