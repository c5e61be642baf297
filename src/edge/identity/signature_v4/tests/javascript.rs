//! Requests as version 3 of the SDK for JavaScript sends them: with the body's hash in a header, and to Kinesis over
//! HTTP/2, where it signs `:authority` in the place of the host.

use super::*;

const HEADERS: [(&str, &str); 5] = [
    ("content-type", "application/x-amz-json-1.1"),
    ("content-length", "64"),
    ("amz-sdk-request", "attempt=1; max=1"),
    ("x-amz-date", "20150830T123600Z"),
    ("user-agent", "not signed"),
];
const SIGNED: &str =
    "content-length;content-type;HOSTx-amz-content-sha256;x-amz-date;x-amz-target;x-amz-user-agent";

fn authorization(service: &str, first: &str, host: &str, signature: &str) -> String {
    let names = SIGNED.replace("HOST", host);
    format!(
        "AWS4-HMAC-SHA256 Credential={KEY_ID}/20150830/eu-central-1/{service}/aws4_request, \
         SignedHeaders={first}amz-sdk-invocation-id;amz-sdk-request;{names}, Signature={signature}"
    )
}

fn to_kinesis() -> Sent {
    let signature = "4a6d22ce9fbf689234410e3068f0229b60768c4c04441bb38afa2036b7020da5";
    let authorization = authorization("kinesis", ":authority;", "", signature);
    let more = [
        ("x-amz-target", "Kinesis_20131202.PutRecord"),
        ("x-amz-user-agent", "aws-sdk-js/3.1142.0"),
        ("amz-sdk-invocation-id", "3bae24c6-c8aa-4d98-9753-ce0d42bba78a"),
        ("x-amz-content-sha256", "c0df379188e5fcca3e2bff14e7a216320bd9178972a0124f6780af2bfc81d013"),
        ("authorization", &authorization),
    ];
    let body = r#"{"Data":"eyJhIjoxfQ==","StreamName":"clicks","PartitionKey":"k"}"#;
    Sent::new("POST", "http://127.0.0.1:8701/", &[&HEADERS[..], &more].concat(), body)
}

fn to_firehose() -> Sent {
    let signature = "d3efecb914074a60e4566edf72c8e6e96356f2e287abd257dffe9011b3a467d9";
    let authorization = authorization("firehose", "", "host;", signature);
    let more = [
        ("host", "127.0.0.1:8702"),
        ("x-amz-target", "Firehose_20150804.PutRecord"),
        ("x-amz-user-agent", "aws-sdk-js/3.1168.0"),
        ("amz-sdk-invocation-id", "8feb7c85-99ee-4dc0-975a-20ab44c83057"),
        ("x-amz-content-sha256", "ccc9177fb1bed31cd03cc539f34484ee02f7939921ca205fefb68bee87daed3b"),
        ("authorization", &authorization),
    ];
    let body = r#"{"DeliveryStreamName":"clicks","Record":{"Data":"eyJhIjoxfQ=="}}"#;
    Sent::new("POST", "/", &[&HEADERS[..], &more].concat(), body)
}

#[test]
fn what_the_javascript_sdk_signs_is_taken_and_proven_by_its_head() {
    for sent in [to_kinesis(), to_firehose()] {
        assert_eq!(sent.judged_by(&identities(), NOW).as_ref(), Ok(&sent.body));
        let claim = identities().claim(&sent.head().unwrap(), NOW).expect("its head is right");
        assert!(claim.is_signature_proven());
        let mut changed = sent.clone();
        changed.body[0] = b'[';
        assert_eq!(changed.judged_by(&identities(), NOW), Err(IdentityError::mismatch()));
    }
}

#[test]
fn the_authority_of_http_2_is_signed_as_the_host_is() {
    let elsewhere = Sent { target: "http://127.0.0.1:8700/".to_owned(), ..to_kinesis() };
    assert_eq!(elsewhere.judged_by(&identities(), NOW), Err(IdentityError::mismatch()));
    // A proxy that speaks HTTP/1.1 to us makes it the host.
    let proxied = Sent { target: "/".to_owned(), ..to_kinesis() }.with("host", "127.0.0.1:8701");
    assert!(proxied.judged_by(&identities(), NOW).is_ok());
}
