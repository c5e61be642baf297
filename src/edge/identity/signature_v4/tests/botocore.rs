//! Hundreds of different requests, signed by botocore while the test runs.

use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::testkit::skip::skipped;

const REQUESTS: usize = 400;
const TOKEN: &str = "FwoGZXIvYXdzEXAMPLE//////////wEaDtoken+==";

fn pick<'a>(random: &mut fastrand::Rng, options: &[&'a str]) -> &'a str {
    options[random.usize(..options.len())]
}

/// Any request of the kind that SDKs send, and stranger ones.
fn any_request(random: &mut fastrand::Rng) -> Value {
    const SEGMENTS: [&str; 10] = ["", "", "/a", "/a-b_c.d~e", "//", "/.", "/..", "/%20", "/%C3%A9", "/a%2Fb"];
    // As they are canonical: botocore signs a query as it is.
    const PARAMETERS: [&str; 8] =
        ["a=b", "a=a", "A=%20", "b", "c=", "%C3%A9=~", "long=0123456789", "a%3D=%26"];
    const VALUES: [&str; 6] = ["v", "a b", "a   b", "\"a  b\"", "a\tb", "x,y"];
    let service = pick(random, &["kinesis", "firehose"]);
    let target = match service {
        "kinesis" => "Kinesis_20131202.PutRecords",
        _ => "Firehose_20150804.PutRecordBatch",
    };
    let mut headers = vec![json!(["X-Amz-Target", target])];
    headers
        .push(json!(["Content-Type", format!("application/x-amz-{}-1.1", pick(random, &["json", "cbor"]))]));
    for _ in 0..random.usize(..4) {
        let name = pick(random, &["X-Amz-Meta", "amz-sdk-invocation-id", "User-Agent", "Accept"]);
        headers.push(json!([name, pick(random, &VALUES)]));
    }
    let body: Vec<u8> = (0..random.usize(..2_000)).map(|_| random.u8(..)).collect();
    let form = pick(random, &["header", "header", "date", "query"]);
    let is_unsigned = form == "header" && random.u8(..4) == 0;
    if form == "header" && !is_unsigned && random.bool() {
        let hash = String::from_utf8(hex_sha256(&body).to_vec()).expect("hex");
        headers.push(json!(["X-Amz-Content-SHA256", hash]));
    }
    let path: String = (0..random.usize(..4)).map(|_| pick(random, &SEGMENTS)).collect();
    let query: Vec<&str> = (0..random.usize(..5)).map(|_| pick(random, &PARAMETERS)).collect();
    let mut url =
        format!("http://{}/{path}", pick(random, &["127.0.0.1:8080", "kinesis.example", "[::1]:8081"]));
    // For a presigned one botocore keeps one value of a parameter only.
    if !query.is_empty() && form != "query" {
        url = format!("{url}?{}", query.join("&"));
    }
    json!({
        "form": form, "method": pick(random, &["POST", "POST", "GET"]), "url": url, "headers": headers,
        "body": STANDARD.encode(body), "region": pick(random, &["us-east-1", "ap-southeast-2"]), "service": service,
        "token": random.bool().then_some(TOKEN), "is_unsigned": is_unsigned, "expires": random.u32(1..604_800),
    })
}

fn sign(python: &std::ffi::OsStr, requests: &[Value]) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/identity/botocore_signer.py");
    let mut signer = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let work = json!({ "key_id": KEY_ID, "secret": SECRET, "time": NOW.0 / 1_000_000, "requests": requests });
    let mut input = signer.stdin.take().expect("a pipe");
    input.write_all(work.to_string().as_bytes()).expect("it reads");
    drop(input);
    let output = signer.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the signer has failed");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn sent(request: &Value, signed: &Value) -> Sent {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let url = text(&signed["url"]);
    let (host, target) = url.strip_prefix("http://").and_then(|url| url.split_once('/')).expect("a URL");
    let mut headers = vec![("host".to_owned(), host.as_bytes().to_vec())];
    for header in signed["headers"].as_array().expect("headers") {
        headers.push((text(&header[0]).to_lowercase(), text(&header[1]).into_bytes()));
    }
    let body = STANDARD.decode(text(&request["body"])).expect("base64");
    Sent { method: text(&request["method"]), target: format!("/{target}"), headers, body }
}

#[test]
fn whatever_botocore_signs_is_taken_and_another_body_is_not() {
    let Some(python) = std::env::var_os("FOREBAY_PYTHON") else {
        skipped("FOREBAY_PYTHON is not set to a Python that has botocore");
        return;
    };
    let has_botocore = Command::new(&python).args(["-c", "import botocore"]).output();
    if !has_botocore.is_ok_and(|output| output.status.success()) {
        skipped("the Python of FOREBAY_PYTHON has no botocore");
        return;
    }
    let mut random = fastrand::Rng::with_seed(20_150_830);
    let requests: Vec<Value> = (0..REQUESTS).map(|_| any_request(&mut random)).collect();
    let signed = sign(&python, &requests);
    assert_eq!(signed.len(), REQUESTS);
    let (plain, tokened) = (identities(), everybody_of(&settings(Some(TOKEN))));
    for (request, signed) in requests.iter().zip(&signed) {
        let everybody = if request["token"].is_null() { &plain } else { &tokened };
        let mut sent = sent(request, signed);
        let body = sent.judged_by(everybody, NOW);
        assert!(body.as_ref() == Ok(&sent.body), "{:?}: {signed}", body.err());
        sent.body.push(b' ');
        assert_eq!(
            sent.judged_by(everybody, NOW).is_ok(),
            request["is_unsigned"] == true,
            "{request} {signed}"
        );
    }
}
