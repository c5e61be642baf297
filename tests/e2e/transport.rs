//! Connections: how many an address may have, and TLS as a stranger with a toolbox looks at it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use forebay::testkit::skip::skipped;

use crate::listen::{Authority, listener};
use crate::server::{PATIENCE, Setup, stream};

#[tokio::test]
async fn an_address_has_no_more_connections_than_it_may_and_others_have_theirs() {
    let setup = Setup::pipeline(stream("s", 1)).server("max_connections_per_address = 5");
    let server = setup.node("[[listener]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n").start();
    let held: Vec<_> = (0..5).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    server.until("forebay_http_connections", "", |open| open == 5.0).await;
    let mut answer = String::new();
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = socket.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("this address has as many"), "{answer}");
    // Behind a proxy it is the address that the proxy tells.
    let proxied = |client: [u8; 4]| {
        let mut socket = TcpStream::connect(server.others[0].trim_start_matches("http://")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        header.extend(client);
        header.extend([127, 0, 0, 1, 0x12, 0x34, 0x01, 0xbb]);
        socket.write_all(&header).unwrap();
        socket.write_all(b"GET /v1/streams HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut first = [0; 12];
        let is_served = socket.read_exact(&mut first).is_ok() && first.ends_with(b"200");
        (socket, is_served)
    };
    let many: Vec<_> = (0..5).map(|_| proxied([203, 0, 113, 9])).collect();
    assert!(many.iter().all(|(_, is_served)| *is_served));
    assert!(!proxied([203, 0, 113, 9]).1, "one more of the same address");
    assert!(proxied([203, 0, 113, 10]).1, "one of another address");
    let refused = server.metric("forebay_http_connections_refused_by_address_total", "").await;
    assert_eq!(refused, 2.0);
    drop((held, many));
    server.until("forebay_http_connections", "", |open| open == 0.0).await;
    assert_eq!(server.get("/v1/streams").await.0, 200);
    server.stop().assert_drained();
}

/// What `openssl s_client` prints for a connection, to which `input` is typed.
fn s_client(authority: &Authority, address: &str, words: &[&str], input: &str) -> String {
    let patience = PATIENCE.as_secs().to_string();
    let mut client = Command::new("timeout")
        .args([&patience, "openssl", "s_client", "-connect", address, "-CAfile"])
        .arg(authority.path("ca.pem"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut typed = client.stdin.take().unwrap();
    typed.write_all(input.as_bytes()).unwrap();
    // Who types nothing is done; otherwise the end is what the server makes of it.
    let typed = (!input.is_empty()).then_some(typed);
    let output = client.wait_with_output().unwrap();
    drop(typed);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn tls_takes_new_versions_and_suites_with_forward_secrecy_and_nothing_else() {
    let authority = Authority::new();
    authority.sign("server", "server", &["127.0.0.1"]);
    let tables = listener(&format!("address = \"127.0.0.1:0\"\n{}", authority.tls("")));
    let server = Setup::pipeline(stream("s", 1)).node(&tables).start();
    let address = server.others[0].trim_start_matches("https://").to_owned();
    let ask = |words: &[&str]| s_client(&authority, &address, words, "");
    for (version, protocol) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = ask(&[version]);
        assert!(said.contains(&format!("New, {protocol}, Cipher is ")), "{said}");
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
        assert!(said.contains("Compression: NONE"), "{said}");
    }
    for version in ["-tls1", "-tls1_1"] {
        let said = ask(&[version, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(said.contains("Cipher is (NONE)"), "{version}: {said}");
    }
    let old = [
        "AES128-GCM-SHA256",
        "AES256-SHA",
        "ECDHE-RSA-AES128-SHA",
        "DHE-RSA-AES128-GCM-SHA256",
        "DES-CBC3-SHA",
        "NULL",
        "aNULL",
        "PSK",
    ];
    for suite in old {
        let said = ask(&["-tls1_2", "-cipher", &format!("{suite}:@SECLEVEL=0")]);
        assert!(said.contains("Cipher is (NONE)") || said.contains("no cipher match"), "{suite}: {said}");
    }
    // Protocols: what is offered and spoken here, and nothing for one that is not.
    for (offered, chosen) in [("h2,http/1.1", "ALPN protocol: h2"), ("http/1.1", "ALPN protocol: http/1.1")] {
        assert!(ask(&["-alpn", offered]).contains(chosen), "{offered}");
    }
    assert!(ask(&["-alpn", "spdy/3"]).contains("no application protocol"));
    server.stop().assert_drained();
}

/// What is looked at: protocols, suites, renegotiation, and attacks by name.
const LOOKS: [&str; 14] =
    ["--fast", "-p", "-f", "-R", "-C", "-H", "-I", "-T", "-O", "-Z", "-F", "-J", "-D", "-A"];

#[tokio::test]
async fn a_toolbox_that_knows_the_attacks_on_tls_finds_none() {
    if Command::new("testssl").arg("--version").output().is_err() {
        skipped("there is no testssl (`make test` installs it where it may)");
        return;
    }
    let authority = Authority::new();
    authority.sign("server", "server", &["127.0.0.1"]);
    let tables = listener(&format!("address = \"127.0.0.1:0\"\n{}", authority.tls("")));
    let server = Setup::pipeline(stream("s", 1)).node(&tables).start();
    let found = authority.path("found.json");
    let output = Command::new("testssl")
        .args(["--quiet", "--color", "0", "--warnings", "batch", "-n", "none"])
        .args(LOOKS)
        .arg("--jsonfile")
        .arg(&found)
        .arg(&server.others[0])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let found = std::fs::read_to_string(&found).unwrap_or_else(|error| panic!("{error}: {said}"));
    let findings: Vec<serde_json::Value> = serde_json::from_str(&found).unwrap();
    let of =
        |id: &str| findings.iter().find(|finding| finding["id"] == id).map(|finding| &finding["severity"]);
    for id in ["TLS1_2", "TLS1_3", "secure_renego", "CRIME_TLS", "BEAST"] {
        assert_eq!(of(id), Some(&"OK".into()), "{id}: {said}");
    }
    // What it warns of is about its own tools.
    let is_harmless = |finding: &&serde_json::Value| {
        ["OK", "INFO", "WARN"].iter().any(|severity| finding["severity"] == *severity)
    };
    let harmful: Vec<_> = findings.iter().filter(|finding| !is_harmless(finding)).collect();
    assert!(harmful.is_empty(), "{harmful:#?}");
    server.stop().assert_drained();
}

#[tokio::test]
async fn a_handshake_is_not_begun_again_on_a_connection() {
    let authority = Authority::new();
    authority.sign("server", "server", &["127.0.0.1"]);
    let tables = listener(&format!("address = \"127.0.0.1:0\"\n{}", authority.tls("")));
    let server = Setup::pipeline(stream("s", 1)).node(&tables).server("header_timeout = \"1s\"").start();
    let address = server.others[0].trim_start_matches("https://").to_owned();
    // The tool begins it at a line of an R; it would look at the certificate once more.
    let said = s_client(&authority, &address, &["-tls1_2"], "R\n");
    let (before, behind) = said.split_once("RENEGOTIATING").unwrap_or_else(|| panic!("{said}"));
    assert!(before.contains("verify return:1") && !behind.contains("verify return:1"), "{said}");
    assert_eq!(server.get("/v1/streams").await.0, 200);
    server.stop().assert_drained();
}
