//! Refusals: RFC 9457 problem documents, each with one stable code.

use http::{HeaderValue, Response, StatusCode, Version, header};
use serde::Serialize;

use super::gate::throttle::refusal::Refusal;
use super::reply::Body;
use crate::config::limits::{DEAD_LETTER_READERS_MAX, HEADERS_MAX};
use crate::stream::quotas::Throttled;
use crate::stream::{AppendError, CommitError, ReadError};
use crate::telemetry::request_id::RequestId;

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

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    shards: &'a [String],
    /// Which quota or limit is used up.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
    /// The same without names, as the `RateLimit` fields have it.
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    violated_policies: Vec<String>,
    /// Seconds, as in the header, for whoever sees no header.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// As in the header, for whoever reports the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// The problem type of limits, of the draft that the `RateLimit` fields are of.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// Seconds after which a client may try again when memory is short: about the time in which a stalled sink shows
/// whether it comes back, and long enough that refused clients do not add to the load.
const RETRY_AFTER_SECONDS: u64 = 1;

impl Problem {
    /// Every code that there is.
    pub const CODES: [&'static str; 45] = [
        "not_found",
        "method_not_allowed",
        "headers_too_large",
        "ambiguous_request",
        "address_not_allowed",
        "blocked",
        "unknown_stream",
        "unknown_shard",
        "unknown_cursor",
        "unknown_delivery",
        "dead_letters_unavailable",
        "dead_letters_busy",
        "lease_lost",
        "cursor_not_kept",
        "unauthenticated",
        "forbidden",
        "identity_unavailable",
        "origin_not_allowed",
        "bad_parameter",
        "unsupported_media_type",
        "unsupported_encoding",
        "body_too_large",
        "too_many_records",
        "empty",
        "json",
        "bad_encoding",
        "body_incomplete",
        "body_timeout",
        "memory_full",
        "quota_exceeded",
        "rate_limited",
        "usage_quota_exceeded",
        "over_fair_share",
        "idempotency_key_reused",
        "cannot_change",
        "starting",
        "draining",
        "disk_full",
        "log_unavailable",
        "log_failed",
        "refused_by_log",
        "outcome_unknown",
        "read_only_stream",
        "log_unreadable",
        "shards_unknown",
    ];

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

    fn facts(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Problem::NotFound => (StatusCode::NOT_FOUND, "not_found", "No such route"),
            Problem::MethodNotAllowed { .. } => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed")
            }
            Problem::HeadersTooLarge { .. } => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "Headers too large")
            }
            Problem::Ambiguous(_) => (StatusCode::BAD_REQUEST, "ambiguous_request", "Ambiguous request"),
            Problem::AddressNotAllowed => {
                (StatusCode::FORBIDDEN, "address_not_allowed", "Address not allowed")
            }
            Problem::Blocked { status } => (*status, "blocked", "Blocked"),
            Problem::UnknownStream(_) => (StatusCode::NOT_FOUND, "unknown_stream", "Unknown stream"),
            Problem::UnknownShard(_) => (StatusCode::NOT_FOUND, "unknown_shard", "Unknown shard"),
            Problem::UnknownCursor(_) => (StatusCode::NOT_FOUND, "unknown_cursor", "Unknown cursor"),
            Problem::UnknownDelivery(_) => (StatusCode::NOT_FOUND, "unknown_delivery", "Unknown delivery"),
            Problem::DeadLettersUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "dead_letters_unavailable", "Dead letters cannot be read")
            }
            Problem::DeadLettersBusy => {
                (StatusCode::SERVICE_UNAVAILABLE, "dead_letters_busy", "Dead letters are being read")
            }
            Problem::LeaseLost { .. } => (StatusCode::CONFLICT, "lease_lost", "Lease lost"),
            Problem::CursorNotKept(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "cursor_not_kept", "Cursor cannot be kept")
            }
            Problem::Unauthenticated { .. } => {
                (StatusCode::UNAUTHORIZED, "unauthenticated", "Not authenticated")
            }
            Problem::IdentityUnavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "identity_unavailable", "Identity cannot be checked")
            }
            Problem::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden", "Not allowed"),
            Problem::OriginNotAllowed => (StatusCode::FORBIDDEN, "origin_not_allowed", "Origin not allowed"),
            Problem::BadParameter { .. } => (StatusCode::BAD_REQUEST, "bad_parameter", "Invalid parameter"),
            Problem::UnsupportedMediaType(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported content type")
            }
            Problem::UnsupportedEncoding(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", "Unsupported content encoding")
            }
            Problem::BodyTooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "Body too large")
            }
            Problem::TooManyRecords { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too_many_records", "Too many records")
            }
            Problem::Empty => (StatusCode::BAD_REQUEST, "empty", "No record"),
            Problem::NotJson(_) => (StatusCode::BAD_REQUEST, "json", "Invalid JSON"),
            Problem::BadEncoding(_) => (StatusCode::BAD_REQUEST, "bad_encoding", "Undecodable body"),
            Problem::BodyIncomplete(_) => (StatusCode::BAD_REQUEST, "body_incomplete", "Incomplete body"),
            Problem::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "body_timeout", "Body came too slowly"),
            Problem::MemoryFull => (StatusCode::SERVICE_UNAVAILABLE, "memory_full", "Out of memory budget"),
            Problem::Throttled(_) => {
                (StatusCode::TOO_MANY_REQUESTS, "quota_exceeded", "Quota of a shard used up")
            }
            Problem::Limited(refusal) if refusal.is_quota() => {
                (StatusCode::TOO_MANY_REQUESTS, "usage_quota_exceeded", "Usage quota used up")
            }
            Problem::Limited(_) => (StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too much at a time"),
            Problem::OverFairShare => {
                (StatusCode::TOO_MANY_REQUESTS, "over_fair_share", "More than a fair share of a busy server")
            }
            Problem::IdempotencyKeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "Idempotency key of another request",
            ),
            Problem::CannotChange(_) => (StatusCode::CONFLICT, "cannot_change", "Cannot be changed so"),
            Problem::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting", "Starting up"),
            Problem::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining", "Shutting down"),
            Problem::NotAnEdge => (StatusCode::MISDIRECTED_REQUEST, "not_an_edge", "Not an edge"),
            Problem::DiskFull => (StatusCode::INSUFFICIENT_STORAGE, "disk_full", "Out of disk space"),
            Problem::LogUnavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "log_unavailable", "Log cannot be written")
            }
            Problem::LogFailed(_) => (StatusCode::SERVICE_UNAVAILABLE, "log_failed", "Log write failed"),
            Problem::RefusedByLog(_) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "refused_by_log", "Log does not take the records")
            }
            Problem::OutcomeUnknown(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "outcome_unknown", "Unknown whether records are in the log")
            }
            Problem::ReadOnlyStream(_) => {
                (StatusCode::CONFLICT, "read_only_stream", "Nothing can be put into the stream")
            }
            Problem::LogUnreadable(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "log_unreadable", "Log cannot be read")
            }
            Problem::ShardsUnknown => {
                (StatusCode::SERVICE_UNAVAILABLE, "shards_unknown", "Shards not known yet")
            }
        }
    }

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

    /// The problem document. Of a message there is no id of a request.
    pub fn document(&self, request_id: Option<&str>) -> Vec<u8> {
        let (status, code, title) = self.facts();
        let detail = self.detail();
        let (limit, retry_after) = match self {
            Problem::Throttled(throttled) => (Some(throttled.quota.name().to_owned()), self.retry_after()),
            Problem::Limited(refusal) => (Some(refusal.to_string()), self.retry_after()),
            _ => (None, None),
        };
        let (r#type, violated_policies) = match self {
            Problem::Limited(refusal) => (QUOTA_EXCEEDED, vec![refusal.policy_name()]),
            _ => ("about:blank", Vec::new()),
        };
        let shards = match self {
            Problem::LeaseLost { shards } => shards.as_slice(),
            _ => &[],
        };
        let (status, detail) = (status.as_u16(), detail.as_str());
        let document = Document {
            r#type,
            title,
            status,
            code,
            detail,
            shards,
            limit,
            violated_policies,
            retry_after,
            request_id,
        };
        // A struct of strings always serialises.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// The whole answer to the request of that id.
    pub fn into_response(self, request_id: &RequestId) -> Response<Body> {
        let status = self.status();
        let mut response = Response::new(Body::whole(self.document(Some(request_id.as_str()))));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Problem::MethodNotAllowed { allow } = &self {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if let Problem::Unauthenticated { challenge: Some(challenge), .. } = &self {
            headers.insert(header::WWW_AUTHENTICATE, challenge.clone());
        }
        if let Problem::Limited(refusal) = &self {
            for (name, value) in
                [("ratelimit-policy", refusal.policy_field()), ("ratelimit", refusal.limit_field())]
            {
                // Names of limits are visible ASCII.
                if let Ok(value) = HeaderValue::try_from(value) {
                    headers.insert(name, value);
                }
            }
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// The same over a version of HTTP. What follows an ambiguous request on its connection is not read.
    pub fn into_response_over(self, version: Version, request_id: &RequestId) -> Response<Body> {
        let is_last = matches!(self, Problem::Ambiguous(_)) && version < Version::HTTP_2;
        let mut response = self.into_response(request_id);
        if is_last {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Seconds after which a client may try again, if it may.
    fn retry_after(&self) -> Option<u64> {
        match (self, self.status()) {
            // Whole ones, rounded up: what is asked for too early is asked for twice.
            (Problem::Throttled(throttled), _) => Some(throttled.wait.as_secs_f64().ceil().max(1.0) as u64),
            (Problem::Limited(refusal), _) => Some(refusal.retry_after_seconds()),
            (Problem::OverFairShare, _) => Some(RETRY_AFTER_SECONDS),
            (_, StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE) => {
                Some(RETRY_AFTER_SECONDS)
            }
            _ => None,
        }
    }
}
