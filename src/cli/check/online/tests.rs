use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;

/// Findings for a delivery to a store that answers each request with `status` and `body`.
fn asked(status: &'static str, body: &'static str) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let _ = socket.read(&mut [0; 8192]);
            let length = body.len();
            let _ = write!(
                socket,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    found(&endpoint)
}

fn found(endpoint: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.toml");
    let text = format!(
        "[stream]\nname = \"s\"\ndurability = \"memory\"\n[[delivery]]\nname = \"a\"\nsink = {{ url = \"s3://lake/x\", endpoint = \"{endpoint}\", access_key_id = \"k\", secret_access_key = \"s\", region = \"r\" }}\n\
         [[delivery]]\nname = \"b\"\nsink = {{ path = \"/nowhere\" }}\n"
    );
    fs::write(&file, text).unwrap();
    let config =
        crate::config::load(&[file], None, &|_| None).unwrap_or_else(|problems| panic!("{problems:?}"));
    look(&config).unwrap().iter().map(Finding::to_string).collect()
}

const EMPTY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>lake</Name><Prefix>x/</Prefix>\
                     <KeyCount>0</KeyCount><MaxKeys>1</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>";

#[test]
fn a_store_that_answers_is_well() {
    assert!(asked("200 OK", EMPTY).is_empty());
}

#[test]
fn what_a_store_refuses_is_told_with_what_to_do() {
    let begin = "delivery 'a' of stream 's': s3://lake/x/";
    let said = asked("404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>");
    assert_eq!(said, [format!("problem: {begin}: the bucket does not exist: make it")]);
    let said = asked("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>");
    assert!(
        matches!(&said[..], [only] if only.starts_with(&format!("warning: {begin} may not be listed"))),
        "{said:?}"
    );
    let said = asked("403 Forbidden", "<Error><Code>InvalidAccessKeyId</Code></Error>");
    let [only] = &said[..] else { panic!("{said:?}") };
    assert!(only.starts_with("problem: ") && only.ends_with(": look at the credentials"), "{only}");
    assert!(only.contains("InvalidAccessKeyId"), "{only}");
}

#[test]
fn a_store_that_is_away_is_told() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let said = found(&format!("http://127.0.0.1:{port}"));
    let [only] = &said[..] else { panic!("{said:?}") };
    assert!(only.ends_with("look whether the endpoint can be reached from here"), "{only}");
}
