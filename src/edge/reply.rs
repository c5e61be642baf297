//! The reply to an ingest request.

mod body;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::decode::Refused;
use crate::config::checked::Durability;
use crate::record::{SequenceNumber, ShardId};
use crate::stream::Appended;

pub use body::{Body, Pieces};

/// A JSON answer.
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What became of a request.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// Records appended.
    pub accepted: u64,
    /// Records refused.
    pub rejected: usize,
    /// What the ack means.
    pub durability: Durability,
    /// Where the records went.
    pub shards: &'a [(ShardId, Appended)],
    /// The first refused records.
    pub refused: &'a [Refused],
}

#[derive(Serialize)]
struct ErrorItem<'a> {
    index: usize,
    code: &'static str,
    message: &'a str,
}

/// The members that make the reply a problem document (RFC 9457) where nothing was accepted.
const ALL_REJECTED: &[u8] =
    b"\"type\":\"about:blank\",\"title\":\"Every record was refused\",\"status\":400,\
    \"code\":\"all_rejected\",\"detail\":\"the reason of each record is in errors\",";

/// 200, or 400 if every record was refused, with the body of [`ingest_body`].
pub fn ingest(body: Vec<u8>, all_refused: bool) -> Response<Body> {
    if !all_refused {
        return json(StatusCode::OK, body);
    }
    let mut response = json(StatusCode::BAD_REQUEST, body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// The 200 of a request with an idempotency key, whose body the log keeps.
pub fn kept(body: Bytes) -> Response<Body> {
    let mut response = json(StatusCode::OK, Vec::new());
    *response.body_mut() = Body::whole(body);
    response
}

/// The same once more.
pub fn replayed(body: Bytes) -> Response<Body> {
    let mut response = kept(body);
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    response
}

/// What is told about a request's records; a problem document if none was accepted.
pub fn ingest_body(outcome: &Outcome<'_>) -> Vec<u8> {
    // Written by hand: this is the answer to every single event.
    let mut body = Vec::with_capacity(160 + outcome.shards.len() * 120 + outcome.refused.len() * 120);
    let mut number = itoa::Buffer::new();
    body.push(b'{');
    if outcome.accepted == 0 {
        body.extend_from_slice(ALL_REJECTED);
    }
    body.extend_from_slice(b"\"accepted\":");
    body.extend_from_slice(number.format(outcome.accepted).as_bytes());
    body.extend_from_slice(b",\"rejected\":");
    body.extend_from_slice(number.format(outcome.rejected).as_bytes());
    body.extend_from_slice(b",\"durability\":\"");
    body.extend_from_slice(outcome.durability.as_str().as_bytes());
    body.extend_from_slice(b"\",\"shards\":[");
    for (index, (shard, appended)) in outcome.shards.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(b"{\"shard\":\"shardId-");
        push_padded(&mut body, shard.0);
        body.extend_from_slice(b"\",\"first\":\"");
        body.extend_from_slice(number.format(appended.first.0).as_bytes());
        body.extend_from_slice(b"\",\"last\":\"");
        body.extend_from_slice(number.format(appended.last.0).as_bytes());
        body.extend_from_slice(b"\",\"count\":");
        body.extend_from_slice(number.format(appended.count()).as_bytes());
        if let Some(numbers) = &appended.apart {
            push_numbers(&mut body, numbers);
        }
        body.push(b'}');
    }
    body.push(b']');
    if outcome.rejected > 0 {
        push_errors(&mut body, outcome);
    }
    body.push(b'}');
    body
}

/// The most bytes that the body of a reply has that names `shards` shards and refuses as `outcome` does.
pub fn ingest_body_bytes_max(outcome: &Outcome<'_>, shards: usize) -> usize {
    // `{"shard":"shardId-000000000000","first":"…","last":"…","count":…},` with the longest numbers.
    const SHARD_BYTES: usize = 130;
    let widest = Outcome { accepted: u64::MAX, shards: &[], ..*outcome };
    ingest_body(&widest).len() + shards * SHARD_BYTES
}

fn push_errors(body: &mut Vec<u8>, outcome: &Outcome<'_>) {
    let items: Vec<_> = outcome
        .refused
        .iter()
        .map(|refused| ErrorItem { index: refused.index, code: refused.code, message: &refused.message })
        .collect();
    body.extend_from_slice(b",\"errors\":");
    // A list of numbers and strings always serialises.
    body.extend_from_slice(&serde_json::to_vec(&items).unwrap_or_else(|_| b"[]".to_vec()));
    let omitted = outcome.rejected - outcome.refused.len();
    if omitted > 0 {
        body.extend_from_slice(format!(",\"errors_omitted\":{omitted}").as_bytes());
    }
}

/// The number of each record.
fn push_numbers(body: &mut Vec<u8>, numbers: &[SequenceNumber]) {
    let mut buffer = itoa::Buffer::new();
    body.extend_from_slice(b",\"numbers\":");
    for (index, number) in numbers.iter().enumerate() {
        body.extend_from_slice(if index == 0 { b"[\"" } else { b",\"" });
        body.extend_from_slice(buffer.format(number.0).as_bytes());
        body.push(b'"');
    }
    body.push(b']');
}

/// The twelve digits of a shard id.
fn push_padded(body: &mut Vec<u8>, number: u32) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number);
    body.extend(std::iter::repeat_n(b'0', 12 - digits.len()));
    body.extend_from_slice(digits.as_bytes());
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn body_of(response: Response<Body>) -> serde_json::Value {
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    #[tokio::test]
    async fn a_reply_tells_where_the_records_went() {
        let appended = Appended { first: SequenceNumber(7), last: SequenceNumber(u64::MAX), apart: None };
        let outcome = Outcome {
            accepted: 1,
            rejected: 2,
            durability: Durability::Memory,
            shards: &[(ShardId(2), appended)],
            refused: &[Refused { index: 3, code: "schema", message: "/a: expected \"x\"".into() }],
        };
        let response = ingest(ingest_body(&outcome), outcome.accepted == 0);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            body_of(response).await,
            serde_json::json!({
                "accepted": 1, "rejected": 2, "durability": "memory",
                "shards": [{"shard": "shardId-000000000002", "first": "7", "last": "18446744073709551615",
                            "count": 18446744073709551609_u64}],
                "errors": [{"index": 3, "code": "schema", "message": "/a: expected \"x\""}],
                "errors_omitted": 1,
            })
        );
    }

    #[tokio::test]
    async fn all_refused_is_a_400_with_a_code() {
        let refused =
            [Refused { index: 0, code: "json", message: "unexpected end of JSON at byte 1".into() }];
        let outcome = Outcome {
            accepted: 0,
            rejected: 1,
            durability: Durability::Memory,
            shards: &[],
            refused: &refused,
        };
        let response = ingest(ingest_body(&outcome), outcome.accepted == 0);
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&text).unwrap()["code"], "all_rejected");
        let once = String::from_utf8_lossy(&text).matches("\"status\":").count();
        assert_eq!(once, 1, "each member is there once");
    }
}
