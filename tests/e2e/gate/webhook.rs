//! Signed webhooks.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac::{HMAC_SHA256, Key, sign};
use serde_json::{Value, json};

use crate::server::{Server, Setup, durable_stream};

const TABLES: &str = "[auth]\ningest = [\"hmac\"]\ntap = [\"none\"]\n\
    [[webhook]]\nname = \"github\"\nform = \"github\"\nsecrets = [\"new-secret\", \"old-secret\"]\n\
    idempotency_header = \"X-GitHub-Delivery\"\nallow = [\"ingest:s\"]\n\
    [[webhook]]\nname = \"stripe\"\nform = \"stripe\"\nsecret = \"whsec_0123\"\nallow = [\"ingest:s\"]\n";

fn start() -> Server {
    Setup::pipeline(durable_stream("s", 1, "os")).node(TABLES).start()
}

fn hex(secret: &str, signed: &[u8]) -> String {
    let tag = sign(&Key::new(HMAC_SHA256, secret.as_bytes()), signed);
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Status, whether it is an answer from before, and the body.
async fn put(server: &Server, headers: &[(&str, &str)], body: &[u8]) -> (u16, bool, Value) {
    let mut request = reqwest::Client::new().post(server.records("s")).body(body.to_vec());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.header("content-type", "application/json").send().await.unwrap();
    let (status, is_replayed) =
        (response.status().as_u16(), response.headers().contains_key("idempotency-replayed"));
    (status, is_replayed, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

const BODY: &[u8] = b"{\"action\":\"opened\"}";

#[tokio::test]
async fn a_delivery_of_github_is_taken_by_either_secret_and_once() {
    let server = start();
    for (secret, delivery) in [("new-secret", "a"), ("old-secret", "b"), ("old-secret", "b")] {
        let value = format!("sha256={}", hex(secret, BODY));
        let headers = [("x-hub-signature-256", value.as_str()), ("x-github-delivery", delivery)];
        let (status, _, answer) = put(&server, &headers, BODY).await;
        assert_eq!((status, &answer["accepted"]), (200, &json!(1)), "{secret}: {answer}");
    }
    let value = format!("sha256={}", hex("new-secret", BODY));
    let again = put(&server, &[("x-hub-signature-256", &value), ("x-github-delivery", "a")], BODY).await;
    assert!(again.0 == 200 && again.1, "{again:?}");
    // The client's own word about it counts more.
    let headers =
        [("x-hub-signature-256", value.as_str()), ("x-github-delivery", "a"), ("idempotency-key", "c")];
    assert!(!put(&server, &headers, BODY).await.1);
    assert_eq!(server.metric("forebay_ingest_records_total", "accepted").await, 3.0);
    server.stop().assert_drained();
}

#[tokio::test]
async fn the_bytes_that_came_are_what_is_signed() {
    let server = start();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(BODY).unwrap();
    let compressed = encoder.finish().unwrap();
    for (signed, wanted) in [(compressed.as_slice(), 200), (BODY, 401)] {
        let value = format!("sha256={}", hex("new-secret", signed));
        let headers = [("x-hub-signature-256", value.as_str()), ("content-encoding", "gzip")];
        assert_eq!(put(&server, &headers, &compressed).await.0, wanted);
    }
}

#[tokio::test]
async fn what_is_not_signed_so_is_refused_and_leaves_nothing() {
    let server = start();
    let right = format!("sha256={}", hex("new-secret", BODY));
    let other = format!("sha256={}", hex("other-secret", BODY));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let stripe = |time: u64| {
        let signed = [format!("{time}.").as_bytes(), BODY].concat();
        format!("t={time},v1={}", hex("whsec_0123", &signed))
    };
    let (fresh, old) = (stripe(now), stripe(now - 3_600));
    let mismatch = "the signature is not that of this body";
    for (header, value, body, detail) in [
        ("x-hub-signature-256", right.as_str(), &b"{\"action\":\"closed\"}"[..], mismatch),
        ("x-hub-signature-256", &other, BODY, mismatch),
        ("x-hub-signature-256", "sha1=00", BODY, "the header with the signature cannot be read"),
        ("stripe-signature", &old, BODY, "the signature is of another time than now"),
        ("x-api-key", "new-secret", BODY, "what this request shows of its sender is not known here"),
        ("x-nothing", "", BODY, "this request does not say who has sent it"),
    ] {
        let (status, _, problem) = put(&server, &[(header, value)], body).await;
        assert_eq!((status, &problem["detail"]), (401, &json!(detail)), "{header}");
    }
    assert_eq!(put(&server, &[("stripe-signature", &fresh)], BODY).await.0, 200);
    // Large ones go as they have come.
    let large = vec![b' '; 4 << 20];
    assert_eq!(put(&server, &[("x-hub-signature-256", &other)], &large).await.0, 401);
    assert_eq!(server.metric("forebay_ingest_records_total", "accepted").await, 1.0);
    let stopped = server.stop();
    stopped.assert_drained();
    for secret in ["new-secret", "old-secret", "whsec_0123", &right[7..]] {
        assert!(!stopped.stderr.contains(secret), "{}", stopped.stderr);
    }
}

#[tokio::test]
async fn a_webhook_signs_its_body_and_no_parameters() {
    let pipeline = durable_stream("s", 1, "os") + "[ingest]\npixel = true\n";
    let server = Setup::pipeline(pipeline).node(TABLES).start();
    let form = b"a=1";
    let value = format!("sha256={}", hex("new-secret", form));
    let event = async |query: &str| {
        let url = server.records("s").replace("/records", "/event") + query;
        let request = reqwest::Client::new().post(url).header("x-hub-signature-256", &value);
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(&form[..]);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((event("?a=2").await, event("?b=").await), (401, 401));
    assert_eq!(server.metric("forebay_ingest_records_total", "accepted").await, 0.0);
    assert_eq!((event("").await, event("?").await), (204, 204));
    server.stop().assert_drained();
}
