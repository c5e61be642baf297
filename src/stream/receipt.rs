//! What whoever appends gets: where the records went, and a wait until that is a fact.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::oneshot;

use super::log::Appended;
use super::replies::Claim;
use crate::record::ShardId;
use crate::runtime::clock::UnixMicros;

/// Makes a reply from where the records of the request went.
pub type MakeReply = Box<dyn FnOnce(&[(ShardId, Appended)]) -> Bytes + Send>;

/// A reply that the log is to keep, for a client that may ask again.
pub struct NewReply {
    /// The client's key.
    pub claim: Claim,
    /// When the request was complete.
    pub arrival: UnixMicros,
    /// Makes the reply, once the records have their numbers.
    pub make: MakeReply,
    /// The most bytes that `make` makes.
    pub bytes_max: usize,
}

impl fmt::Debug for NewReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewReply").field("claim", &self.claim).finish_non_exhaustive()
    }
}

/// What is known of a request that is a fact.
#[derive(Debug, Default)]
pub struct Committed {
    /// Where its records went, by shard.
    pub appended: Vec<(ShardId, Appended)>,
    /// The reply, if it was to be kept.
    pub reply: Option<Bytes>,
}

/// A request that is in the log, though perhaps not durably yet: a wait until it is, which may be given up and taken up
/// again. Nothing may be told to the client before.
#[derive(Debug)]
pub struct Receipt {
    commit: Commit,
    /// Known before it is a fact, where this process gives the numbers.
    known: Option<Committed>,
}

/// What a log says that gives numbers only with the fact.
pub type Numbered = Result<Vec<(ShardId, Appended)>, CommitError>;

/// Why a request was not appended. Nothing of it was kept.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AppendError {
    /// The disk has no room for it.
    #[error("the disk of the log is full: nothing of this request was kept")]
    DiskFull,
    /// It needs more than a segment.
    #[error(
        "the request needs {bytes} bytes of the log, of which a segment has {limit}: send less at a time, or raise [log] segment"
    )]
    TooLarge {
        /// What it needs.
        bytes: u64,
        /// What there is.
        limit: u64,
    },
    /// Its shards are being changed.
    #[error("the shards of the stream are being changed: nothing of this request was kept")]
    Resharding,
    /// A shard takes nothing.
    #[error("{shard} does not exist or is closed: nothing of this request was kept")]
    NoShard {
        /// The shard.
        shard: ShardId,
    },
    /// The stream was deleted.
    #[error("stream '{stream}' was deleted: nothing of this request was kept")]
    Deleted {
        /// Its name.
        stream: String,
    },
    /// As much is on its way as may be.
    #[error("too much is on its way to the log: nothing of this request was kept, try again later")]
    Busy,
    /// Others put the records there.
    #[error("stream '{stream}' reads topic '{topic}', which others fill: nothing can be put into it")]
    ReadOnly {
        /// Its name.
        stream: String,
        /// The topic.
        topic: String,
    },
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
    /// The log takes these records never, however often they come.
    #[error("the log does not take the records: {0}")]
    Refused(String),
    /// The log has not confirmed the records in time. They may be there, or come to be.
    #[error("it is unknown whether the records are in the log: {0}")]
    Unknown(String),
}

#[derive(Debug)]
enum Commit {
    /// There is nothing to wait for.
    Done,
    /// The log tells.
    Told(oneshot::Receiver<Result<(), CommitError>>),
    /// The log tells, and gives the numbers.
    Numbered(oneshot::Receiver<Numbered>),
}

impl Receipt {
    /// Of records that are a fact already.
    pub(super) fn done(committed: Committed) -> Self {
        Self { commit: Commit::Done, known: Some(committed) }
    }

    /// Of records that have their numbers.
    pub(super) fn told(committed: Committed, ticket: oneshot::Receiver<Result<(), CommitError>>) -> Self {
        Self { commit: Commit::Told(ticket), known: Some(committed) }
    }

    /// Of records that get their numbers elsewhere.
    pub(super) fn numbered(ticket: oneshot::Receiver<Numbered>) -> Self {
        Self { commit: Commit::Numbered(ticket), known: None }
    }

    /// Where the records go, if that is known before they are a fact.
    pub fn appended(&self) -> Option<&[(ShardId, Appended)]> {
        self.known.as_ref().map(|known| &*known.appended)
    }

    /// Waits until the records are a fact.
    ///
    /// # Errors
    /// If they have not become one.
    pub async fn committed(self) -> Result<Committed, CommitError> {
        self.await
    }
}

impl Future for Receipt {
    type Output = Result<Committed, CommitError>;

    /// Not to be asked again once it is ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = || CommitError::Failed("the log has ended".to_owned());
        let Self { commit, known } = self.get_mut();
        match commit {
            Commit::Done => {}
            Commit::Told(told) => {
                let told = ready!(Pin::new(told).poll(context));
                told.unwrap_or_else(|_| Err(ended()))?;
            }
            Commit::Numbered(told) => {
                let told = ready!(Pin::new(told).poll(context));
                let appended = told.unwrap_or_else(|_| Err(ended()))?;
                return Poll::Ready(Ok(Committed { appended, reply: None }));
            }
        }
        Poll::Ready(Ok(known.take().unwrap_or_default()))
    }
}
