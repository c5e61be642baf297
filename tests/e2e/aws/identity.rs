//! Who may use the AWS APIs.

use serde_json::Value;

use super::run;
use crate::server::{Server, Setup, stream};

const KEYS: &str = r#"access_key = [
    { id = "AKIDEXAMPLE", secret = "secret", allow = ["kinesis:*", "firehose:*"] },
    { id = "PRODUCER", secret = "produce", allow = ["kinesis:Put*"], streams = ["click*"] },
    { id = "SESSION", secret = "session", session_token = "token", allow = ["kinesis:List*"] },
]"#;

fn setup() -> Setup {
    Setup::pipeline(stream("clicks", 1)).and_pipeline("other", stream("other", 1))
}

#[test]
fn boto3_is_let_in_by_its_key_and_does_what_the_key_may() {
    let server = setup().node(KEYS).start();
    if run(&server, "identity.py", &[]).is_some() {
        server.stop().assert_drained();
    }
}

/// `__type` and message of the refusal.
async fn refused(server: &Server, headers: &[(&str, &str)]) -> (String, String) {
    let mut request = reqwest::Client::new()
        .post(format!("http://{}/", server.address))
        .header("x-amz-target", "Kinesis_20131202.ListStreams")
        .header("content-type", "application/x-amz-json-1.1")
        .body("{}");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 400);
    let reply: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    let text = |name: &str| reply[name].as_str().unwrap().to_owned();
    (text("__type"), text("message"))
}

#[tokio::test]
async fn a_request_that_nobody_has_signed_is_refused_in_the_words_of_the_services() {
    let server = setup().node(KEYS).start();
    let (kind, message) = refused(&server, &[]).await;
    assert_eq!(
        (kind.as_str(), message.as_str()),
        ("MissingAuthenticationTokenException", "Missing Authentication Token")
    );
    let (kind, _) = refused(&server, &[("authorization", "AWS4-HMAC-SHA256 Credential=x")]).await;
    assert_eq!(kind, "IncompleteSignatureException");
    let garbage = "AWS4-HMAC-SHA256 ".to_owned() + &"x=,".repeat(3_000);
    let (kind, _) = refused(&server, &[("authorization", &garbage)]).await;
    assert_eq!(kind, "IncompleteSignatureException");
    let long_ago = [
        ("x-amz-date", "20200101T000000Z"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20200101/us-east-1/kinesis/aws4_request, \
             SignedHeaders=host;x-amz-date;x-amz-target, \
             Signature=0000000000000000000000000000000000000000000000000000000000000000",
        ),
    ];
    let (kind, message) = refused(&server, &long_ago).await;
    assert!(
        kind == "InvalidSignatureException" && message.starts_with("Signature expired: "),
        "{kind}: {message}"
    );
    server.stop().assert_drained();
}

#[tokio::test]
async fn without_an_access_key_nobody_is_let_in_and_off_is_refused_beyond_the_machine() {
    let server = setup().start();
    assert_eq!(refused(&server, &[]).await.0, "MissingAuthenticationTokenException");
    server.stop().assert_drained();
    let said = setup().node("aws.signature = \"off\"").server("listen = \"0.0.0.0:0\"").start_that_fails();
    assert!(said.contains("lets everybody who can reach 0.0.0.0:0 do everything"), "{said}");
}
