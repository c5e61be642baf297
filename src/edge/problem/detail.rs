//! What each problem tells of itself.

use super::Problem;
use crate::config::limits::{DEAD_LETTER_READERS_MAX, HEADERS_MAX};
use crate::stream::quotas::Throttled;

impl Problem {
    /// What happened, and what to do.
    pub fn detail(&self) -> String {
        match self {
            Problem::NotFound => "see the route table in the documentation".to_owned(),
            Problem::MethodNotAllowed { allow } => format!("allowed: {allow}"),
            Problem::HeadersTooLarge { limit } => {
                format!("request line and headers may have {limit} bytes, and there may be {HEADERS_MAX} headers")
            },
            Problem::Ambiguous(why) => (*why).to_owned(),
            Problem::AddressNotAllowed => "requests from this address are not taken here".to_owned(),
            Problem::Blocked { .. } => "a rule of this server is against this request".to_owned(),
            Problem::UnknownStream(name) => format!("there is no stream named '{name}' here"),
            Problem::UnknownShard(name) => format!("the stream has no shard '{name}'"),
            Problem::UnknownCursor(name) => {
                format!("the stream has no cursor '{name}': make it with PUT")
            }
            Problem::UnknownDelivery(Some(name)) => {
                format!("the stream has no delivery '{name}' that could have dead letters")
            }
            Problem::UnknownDelivery(None) => {
                "the stream has no delivery that could have dead letters".to_owned()
            }
            Problem::DeadLettersUnavailable => {
                "the store that has them, or the ledger that names them, does not answer as it should at the moment: the \
                 log of the node says why"
                    .to_owned()
            }
            Problem::DeadLettersBusy => format!(
                "{DEAD_LETTER_READERS_MAX} requests for dead letters are under way, and none has ended in time"
            ),
            Problem::LeaseLost { shards } => format!(
                "{} went to another worker, which reads on from its last checkpoint; what this worker still has was \
                 taken: ask for records again",
                shards.join(", ")
            ),
            Problem::CursorNotKept(why) => {
                format!("the cursor cannot be written at the moment ({why}): its checkpoint is where it was")
            }
            Problem::IdentityUnavailable(why) => format!("{why}; nothing of this request was kept"),
            Problem::Unauthenticated { detail, .. } | Problem::Forbidden(detail) => detail.clone(),
            Problem::OriginNotAllowed => {
                "pages of this origin may not open a WebSocket here: name it in [server] cors".to_owned()
            }
            Problem::BadParameter { name, detail } => format!("{name}: {detail}"),
            Problem::UnsupportedMediaType(found) => format!(
                "'{found}' is not taken: send application/json (one object or an array), application/x-ndjson, or \
                 text/plain with JSON in it"
            ),
            Problem::UnsupportedEncoding(found) => {
                format!("'{found}' is not taken: send gzip, zstd, deflate or identity")
            }
            Problem::BodyTooLarge { limit } => format!("a body may have {limit} bytes once it is decoded"),
            Problem::TooManyRecords { limit } => format!("a request may have {limit} records: send several"),
            Problem::Empty => "the body holds no record".to_owned(),
            Problem::NotJson(detail) | Problem::BadEncoding(detail) | Problem::BodyIncomplete(detail) => {
                detail.clone()
            }
            Problem::BodyTimeout => "the body was not complete in time".to_owned(),
            Problem::MemoryFull => {
                "the byte budget for records that are not delivered yet is spent; nothing of this request was kept"
                    .to_owned()
            }
            Problem::Throttled(Throttled { shard, quota, .. }) => {
                format!("{shard} may have {quota}, which are used up; nothing of this request was kept")
            }
            Problem::Limited(refusal) => format!(
                "the limit \"{refusal}\" is reached; nothing of this request was kept or read: try again in {} s",
                refusal.retry_after_seconds()
            ),
            Problem::OverFairShare => {
                "the server is busy, and what is left of its memory is for clients that have used less of it; nothing \
                 of this request was kept"
                    .to_owned()
            }
            Problem::IdempotencyKeyReused => {
                "this Idempotency-Key was used for a request with another body or partition key: make a new key for \
                 each request, and repeat a key only with the same request"
                    .to_owned()
            }
            Problem::Starting => {
                "this process is still reading its log back; nothing of this request was kept".to_owned()
            }
            Problem::Draining => "this process is stopping; nothing of this request was kept".to_owned(),
            Problem::NotAnEdge => {
                "this node delivers and takes no requests about streams ([cluster] roles): send this to a node with the \
                 role edge"
                    .to_owned()
            }
            Problem::DiskFull => {
                "the disk that holds the log has no room; nothing of this request was kept".to_owned()
            }
            Problem::LogUnavailable(why) => {
                format!("the log cannot be written at the moment ({why}); nothing of this request was kept")
            }
            Problem::LogFailed(why) => format!(
                "the log could not be written ({why}); the records are not acknowledged: send them again, with the \
                 same Idempotency-Key if you use one"
            ),
            Problem::RefusedByLog(why) => format!(
                "{why}: sending the same again does not help; send smaller records, or raise max.message.bytes of the topic"
            ),
            Problem::OutcomeUnknown(why) => format!(
                "it is unknown whether the records are in the log ({why}): they may be there, or come to be; whoever sends \
                 them again may double them"
            ),
            Problem::ShardsUnknown => {
                "the cursor names shards that this node has not heard of yet, as the topic of the stream has just got more \
                 partitions: try again in a moment"
                    .to_owned()
            }
            Problem::LogUnreadable(why) | Problem::CannotChange(why) | Problem::ReadOnlyStream(why) => why.clone(),
        }
    }
}
