//! Signature Version 4 on our own routes, as curl signs.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use super::{assert_refused, curl, put};
use crate::server::{PATIENCE, Server, Setup, stream};

const TABLES: &str = "[auth]\ningest = [\"signature_v4\"]\ntap = [\"signature_v4\"]\nadmin = [\"signature_v4\"]\n\
    [[access_key]]\nid = \"AKIDEXAMPLE\"\nsecret = \"wJalrXUtnFEMI\"\nallow = [\"ingest:s\", \"tap:s\", \"admin:s\", \"kinesis:*\"]\n\
    [[access_key]]\nid = \"AWSONLY\"\nsecret = \"wJalrXUtnFEMI\"\nallow = [\"kinesis:*\"]\n";

fn start() -> Server {
    Setup::pipeline(stream("s", 1)).and_pipeline("other", stream("other", 1)).node(TABLES).start()
}

/// How curl is told to sign.
fn signed<'a>(user: &'a str, scope: &'a str) -> [&'a str; 4] {
    ["--aws-sigv4", scope, "--user", user]
}

const USER: &str = "AKIDEXAMPLE:wJalrXUtnFEMI";
const SCOPE: &str = "aws:amz:eu-central-1:execute-api";

#[tokio::test]
async fn curl_signs_what_it_puts_reads_and_changes() {
    let server = start();
    for service in ["execute-api", "forebay", "kinesis", "firehose"] {
        assert_eq!(put(&server, &signed(USER, &format!("aws:amz:us-east-1:{service}"))).0, 200, "{service}");
    }
    let (status, page) = curl(&server, "/v1/streams/s/records?from=earliest", &signed(USER, SCOPE));
    assert_eq!((status, page["records"].as_array().map(Vec::len)), (200, Some(4)), "{page}");
    let count = [&signed(USER, SCOPE)[..], &["--json", "{\"count\":2}"]].concat();
    assert_eq!(curl(&server, "/v1/streams/s/shards", &count).0, 200);
    let cursor =
        [&signed(USER, SCOPE)[..], &["--request", "PUT", "--data-binary", "{\"from\":\"earliest\"}"]]
            .concat();
    assert!(curl(&server, "/v1/streams/s/cursors/c", &cursor).0 < 300);
    let other = put(&server, &signed(USER, "aws:amz:us-east-1:s3"));
    assert_refused(other, 401, "Credential should be scoped to correct service: 'forebay'.");
    let (status, problem) = put(&server, &signed("AKIDEXAMPLE:another", SCOPE));
    assert_eq!(status, 401);
    assert!(
        problem["detail"].as_str().unwrap().starts_with("The request signature we calculated"),
        "{problem}"
    );
    let unknown = put(&server, &signed("NOBODY:wJalrXUtnFEMI", SCOPE));
    assert_refused(unknown, 401, "The security token included in the request is invalid.");
    let aws_only = put(&server, &signed("AWSONLY:wJalrXUtnFEMI", SCOPE));
    assert_refused(aws_only, 403, "'AWSONLY' may not put records into 's'");
    assert_refused(put(&server, &[]), 401, "this request does not say who has sent it");
    let stopped = server.stop();
    stopped.assert_drained();
    assert!(!stopped.stderr.contains("wJalrXUtnFEMI"), "{}", stopped.stderr);
}

/// The bytes of a request that curl signs.
fn caught(path: &str, words: &[&str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}{path}", listener.local_addr().unwrap());
    let catching = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let (mut text, mut buffer) = (String::new(), [0; 4096]);
        while !(text.ends_with('}') || text.starts_with("GET") && text.ends_with("\r\n\r\n")) {
            let read = socket.read(&mut buffer).unwrap();
            text.push_str(str::from_utf8(&buffer[..read]).unwrap());
        }
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        text
    });
    let output = Command::new("curl").arg("--silent").args(signed(USER, SCOPE)).args(words).arg(url).output();
    assert!(output.unwrap().status.success());
    catching.join().unwrap().replacen("\r\n", "\r\nConnection: close\r\n", 1)
}

/// The status of what a node answers to these bytes.
fn send(server: &Server, request: &str) -> u16 {
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer[9..12].parse().unwrap()
}

#[tokio::test]
async fn a_request_that_was_changed_on_its_way_is_refused_whole() {
    let server = start();
    let put = caught("/v1/streams/s/records", &["--json", "{\"n\":1}"]);
    for (from, to) in [
        ("{\"n\":1}", "{\"n\":2}"),
        ("POST /v1/streams/s/records", "POST /v1/streams/s/records?a=b"),
        ("POST /v1/streams/s/records", "GET /v1/streams/s/records"),
        ("eu-central-1", "eu-central-2"),
        ("Signature=", "Signature=0"),
    ] {
        assert!(put.contains(from), "{put}");
        assert_eq!(send(&server, &put.replacen(from, to, 1)), 401, "{to}");
    }
    let resize = caught("/v1/streams/s/shards", &["--json", "{\"count\":2}"]);
    assert_eq!(send(&server, &resize.replacen("{\"count\":2}", "{\"count\":3}", 1)), 401);
    // A body that nobody reads is not signed by anybody.
    let get = caught("/v1/streams/s/records?from=earliest", &[]);
    let with_body = get.replacen("\r\n", "\r\nContent-Length: 2\r\n", 1) + "{}";
    assert_eq!(send(&server, &with_body), 401);
    assert_eq!(send(&server, &get.replacen("earliest", "latest", 1)), 401);
    assert_eq!(server.metric("forebay_ingest_records_total", "accepted").await, 0.0);
    // As they were they are taken.
    assert_eq!((send(&server, &get), send(&server, &put), send(&server, &resize)), (200, 200, 200));
    assert_eq!(server.metric("forebay_ingest_records_total", "accepted").await, 1.0);
}

#[tokio::test]
async fn who_signs_pays_for_what_has_no_body_as_well() {
    let tables = TABLES.replacen(
        "\"kinesis:*\"]\n",
        "\"kinesis:*\"]\nlimit = { tap = { bytes_per_second = \"1B\" } }\nquota = { records = 3, period = \"day\" }\n",
        1,
    );
    let server = Setup::pipeline(stream("s", 1)).node(&tables).start();
    let put = || put(&server, &signed(USER, SCOPE)).0;
    assert_eq!((put(), put(), put(), put()), (200, 200, 200, 429));
    let page = || curl(&server, "/v1/streams/s/records?from=earliest", &signed(USER, SCOPE));
    assert_eq!(page().0, 200);
    let (status, problem) = page();
    assert_eq!(
        (status, problem["limit"].as_str()),
        (429, Some("principal AKIDEXAMPLE: tap.bytes_per_second")),
        "{problem}"
    );
    let cursor = [&signed(USER, SCOPE)[..], &["--request", "PUT", "--data-binary", "{}"]].concat();
    assert_eq!(curl(&server, "/v1/streams/s/cursors/c", &cursor).0, 429);
    let resize = [&signed(USER, SCOPE)[..], &["--json", "{\"count\":2}"]].concat();
    assert_eq!(curl(&server, "/v1/streams/s/shards", &resize).0, 429);
}
