//! The status, the code and the title of each problem.

use http::StatusCode;

use super::Problem;

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

    pub(super) fn facts(&self) -> (StatusCode, &'static str, &'static str) {
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
}
