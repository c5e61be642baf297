//! What whoever appends gets: where the records went, and a wait until that is a fact.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use thiserror::Error;

use super::log::Appended;
use crate::record::ShardId;

/// A request that is in the log, though perhaps not durably yet.
#[derive(Debug)]
pub struct Receipt {
    /// Where its records went, by shard.
    pub appended: Vec<(ShardId, Appended)>,
    /// Done once they have reached the stream's durability. Nothing may be told to the client before.
    pub commit: Commit,
}

/// Why a request was not appended. Nothing of it was kept.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AppendError {
    /// The disk has no room for it.
    #[error("the disk of the log is full: nothing of this request was kept")]
    DiskFull,
    /// The log cannot be written at the moment.
    #[error("the log cannot be written ({0}): nothing of this request was kept")]
    Unavailable(String),
}

/// Why a request that was appended has not become durable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommitError {
    /// Writing has failed. The log will not bring the records back, unless the disk fails altogether: then it is
    /// unknown whether they are there after a restart.
    #[error("the log could not be written: {0}")]
    Failed(String),
}

/// A wait for durability.
#[derive(Debug)]
#[must_use = "a request is no fact before it is committed"]
pub enum Commit {
    /// There is nothing to wait for.
    Done,
}

impl Future for Commit {
    type Output = Result<(), CommitError>;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Commit::Done => Poll::Ready(Ok(())),
        }
    }
}
