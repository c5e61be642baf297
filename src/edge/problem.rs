//! Refusals: RFC 9457 problem documents, each with one stable code.

mod detail;
mod document;
mod facts;

use http::{HeaderValue, StatusCode};

use super::gate::throttle::refusal::Refusal;
use crate::stream::quotas::Throttled;
use crate::stream::{AppendError, CommitError, ReadError};

/// Why a request was refused as a whole. One place maps each to a status and a code; both are part of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// No such route.
    NotFound,
    /// The route has other methods.
    MethodNotAllowed {
        /// The value of `Allow`.
        allow: &'static str,
    },
    /// Request line and headers are larger than allowed.
    HeadersTooLarge {
        /// The bound in bytes.
        limit: usize,
    },
    /// Other servers could read it otherwise.
    Ambiguous(&'static str),
    /// Nobody may come in from that address.
    AddressNotAllowed,
    /// A rule about requests refuses it.
    Blocked {
        /// As the rule says.
        status: StatusCode,
    },
    /// No such stream.
    UnknownStream(String),
    /// No such shard.
    UnknownShard(String),
    /// The stream has no named cursor of that name.
    UnknownCursor(String),
    /// The stream has no delivery of that name, or none at all that could have dead letters.
    UnknownDelivery(Option<String>),
    /// Dead letters cannot be read where they are.
    DeadLettersUnavailable,
    /// As many requests read dead letters as may.
    DeadLettersBusy,
    /// A worker says that records are done of shards that it does not have any more.
    LeaseLost {
        /// Their ids.
        shards: Vec<String>,
    },
    /// A named cursor cannot be kept: its checkpoint is where it was.
    CursorNotKept(String),
    /// It does not prove who has sent it.
    Unauthenticated {
        /// The value of `WWW-Authenticate`: what would prove it.
        challenge: Option<HeaderValue>,
        /// What is missing or wrong, without anything of what was shown.
        detail: String,
    },
    /// Who has sent it cannot be told at the moment, for this reason.
    IdentityUnavailable(&'static str),
    /// Whoever has sent it may not do what it asks for.
    Forbidden(String),
    /// A page of another origin must not open a WebSocket here.
    OriginNotAllowed,
    /// A query parameter or header that cannot be read.
    BadParameter {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// A content type that no decoder takes.
    UnsupportedMediaType(String),
    /// A content encoding that no decoder takes.
    UnsupportedEncoding(String),
    /// The body is larger than allowed, as sent or decoded.
    BodyTooLarge {
        /// The bound in bytes.
        limit: u64,
    },
    /// More records than one request may have.
    TooManyRecords {
        /// The bound.
        limit: usize,
    },
    /// No record in the body.
    Empty,
    /// The body is no JSON at all, or an array of it is broken.
    NotJson(String),
    /// The compressed body cannot be decoded.
    BadEncoding(String),
    /// The client went away or broke the protocol while sending the body.
    BodyIncomplete(String),
    /// The body did not come in time.
    BodyTimeout,
    /// The byte budget is spent.
    MemoryFull,
    /// A quota of a shard is used up.
    Throttled(Throttled),
    /// More than the configuration allows, at a time or in a day or month.
    Limited(Box<Refusal>),
    /// Memory is short, and what is left is for those who have had less of it.
    OverFairShare,
    /// The idempotency key belongs to another request.
    IdempotencyKeyReused,
    /// A stream or its shards are not to be changed so.
    CannotChange(String),
    /// The process has not read its log back yet.
    Starting,
    /// The process is stopping.
    Draining,
    /// The node has not the role of an edge.
    NotAnEdge,
    /// The disk of the log has no room.
    DiskFull,
    /// The log cannot be written, so that nothing was kept.
    LogUnavailable(String),
    /// The log could not be written to the end. Nothing was kept, unless the disk failed altogether.
    LogFailed(String),
    /// The log takes these records never.
    RefusedByLog(String),
    /// The log has not confirmed the records in time: they may be there.
    OutcomeUnknown(String),
    /// Nothing can be put into the stream.
    ReadOnlyStream(String),
    /// Records cannot be read back from the disk.
    LogUnreadable(String),
    /// A cursor of another node names shards that this one has not heard of yet.
    ShardsUnknown,
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::DiskFull => Problem::DiskFull,
            AppendError::TooLarge { limit, .. } => Problem::BodyTooLarge { limit },
            AppendError::Unavailable(why) => Problem::LogUnavailable(why),
            AppendError::Deleted { stream } => Problem::UnknownStream(stream),
            AppendError::Busy => Problem::MemoryFull,
            AppendError::ReadOnly { .. } => Problem::ReadOnlyStream(error.to_string()),
            AppendError::Resharding | AppendError::NoShard { .. } => {
                Problem::LogUnavailable(error.to_string())
            }
        }
    }
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Failed(why) => Problem::LogFailed(why),
            CommitError::Refused(why) => Problem::RefusedByLog(why),
            CommitError::Unknown(why) => Problem::OutcomeUnknown(why),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Problem::Limited(Box::new(refusal))
    }
}

impl From<Throttled> for Problem {
    fn from(throttled: Throttled) -> Self {
        Problem::Throttled(throttled)
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NoMemory { .. } => Problem::MemoryFull,
            ReadError::Stopped => Problem::Draining,
            other => Problem::LogUnreadable(other.to_string()),
        }
    }
}

impl Problem {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.facts().1
    }

    /// Whether the request was right, and it was the server that could not do it.
    pub fn is_of_server(&self) -> bool {
        self.status().is_server_error() || matches!(self, Problem::OverFairShare)
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.facts().0
    }
}
