//! Requests as AWS clients send them, signed as their SDKs do (Signature Version 4).

use bytes::Bytes;
use forebay::runtime::clock;
use ring::digest::{SHA256, digest};
use ring::hmac::{self, HMAC_SHA256};

/// The access key of signed requests.
pub const KEY_ID: &str = "AKIDEXAMPLE";
/// Its secret.
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// JSON 1.1.
pub const JSON: &str = "application/x-amz-json-1.1";
/// CBOR 1.1.
pub const CBOR: &str = "application/x-amz-cbor-1.1";

/// What the node's file says so that every request is taken.
pub const UNSIGNED_NODE: &str = "[aws]\nsignature = \"off\"\n";

/// What the node's file says so that only signed requests are taken.
pub fn signed_node() -> String {
    format!("[[access_key]]\nid = \"{KEY_ID}\"\nsecret = \"{SECRET}\"\nallow = [\"kinesis:*\"]\n")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value of `Authorization` for a `POST /` with these headers, which are in alphabetical order; `time` as in
/// `20150830T123600Z`.
pub fn authorization(headers: &[(&str, &str)], body: &[u8], time: &str) -> String {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let canonical = format!("POST\n/\n\n{lines}\n{names}\n{}", hex(digest(&SHA256, body).as_ref()));
    let hash = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
    let scope = format!("{}/us-east-1/kinesis/aws4_request", &time[..8]);
    let mut key = hmac::Key::new(HMAC_SHA256, format!("AWS4{SECRET}").as_bytes());
    for part in scope.split('/') {
        key = hmac::Key::new(HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
    }
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
    let signature = hex(hmac::sign(&key, text.as_bytes()).as_ref());
    format!("AWS4-HMAC-SHA256 Credential={KEY_ID}/{scope}, SignedHeaders={names}, Signature={signature}")
}

/// A request for an operation, signed now.
pub fn request(operation: &str, media_type: &str, body: &[u8]) -> Bytes {
    let now = chrono::DateTime::from_timestamp_micros(clock::wall().0).unwrap_or_default();
    let time = now.format("%Y%m%dT%H%M%SZ").to_string();
    let target = format!("Kinesis_20131202.{operation}");
    let headers =
        [("content-type", media_type), ("host", "bench"), ("x-amz-date", &time), ("x-amz-target", &target)];
    let authorization = authorization(&headers, body, &time);
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "POST / HTTP/1.1\r\n{lines}authorization: {authorization}\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat().into()
}
