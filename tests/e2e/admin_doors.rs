//! The admin port at more places than one: over TLS, with certificates of clients, over a Unix socket, behind a proxy.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::listen::{Authority, listener};
use crate::server::{Server, Setup, durable_stream, stream};

const ADDRESS: &str = "address = \"127.0.0.1:0\"\nadmin = true\n";

/// Where it is besides `[server] admin`, as URLs.
fn places(server: &Server) -> Vec<&str> {
    server.others.iter().filter_map(|place| place.strip_prefix("admin on ")).collect()
}

fn words_of(authority: &Authority, client: &str) -> [String; 4] {
    let path = |end: &str| authority.path(&format!("{client}.{end}")).display().to_string();
    ["--cert".into(), path("pem"), "--key".into(), path("key")]
}

#[tokio::test]
async fn the_admin_port_is_reached_over_tls_and_has_no_streams() {
    let authority = Authority::new();
    authority.sign("server", "server", &["127.0.0.1"]);
    let tables = listener(&format!("{ADDRESS}{}", authority.tls("")));
    let server = Setup::pipeline(durable_stream("s", 1, "os")).node(&tables).start();
    let url = places(&server)[0].to_owned();
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let get = |path: &str, words: &[&str]| authority.call(&format!("{url}{path}"), words);
    for version in ["--http1.1", "--http2"] {
        assert_eq!(get("/readyz", &[version]).1["ready"], true);
        assert_eq!(get("/livez", &[version]).0, 200);
        assert_eq!(get("/metrics", &[version, "--output", "/dev/null"]).0, 200);
        assert_eq!(get("/v1/streams", &[version]).0, 404);
        let (status, told) = get("/reload", &[version, "--request", "POST"]);
        assert_eq!((status, &told["reloaded"]), (200, &true.into()), "{told}");
    }
    // As before at the place that there always is.
    assert_eq!(server.admin_get("/livez").await, (200, "ok\n".into()));
    // New certificates are taken here as well, and the door for clients has no routes of this one.
    authority.sign("server", "second", &["127.0.0.1"]);
    assert_eq!(get("/reload", &["--request", "POST"]).0, 200);
    assert_eq!(server.get("/metrics").await.0, 404);
    let stopped = server.stop();
    stopped.assert_drained();
    assert!(stopped.stderr.contains("new connections get the certificates"), "{}", stopped.stderr);
}

#[tokio::test]
async fn a_certificate_tells_who_has_the_files_read_again() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.sign("server", "server", &["127.0.0.1"]);
    authority.sign("operator", "operator", &[]);
    authority.sign("scraper", "scraper", &[]);
    stranger.sign("operator", "operator", &[]);
    let clients = format!(", client_ca = \"{}\"", authority.path("ca.pem").display());
    let tables = "audit_log = { path = \"audit.log\" }\n[auth]\ningest = [\"none\"]\ntap = [\"none\"]\nadmin = [\"client_certificate\"]\n\
         [[client_certificate]]\nname = \"operators\"\ncommon_name = \"operator\"\nallow = [\"admin:*\"]\n\
         [[client_certificate]]\nname = \"scrapers\"\ncommon_name = \"scraper\"\nallow = [\"tap:*\"]\n"
        .to_owned()
        + &listener(&format!("{ADDRESS}{}", authority.tls(&clients)));
    let server = Setup::pipeline(stream("s", 1)).node(&tables).start();
    let url = places(&server)[0].to_owned();
    let call = |client: &str, path: &str, words: &[&str]| {
        let shown = words_of(&authority, client);
        let words: Vec<&str> = shown.iter().map(String::as_str).chain(words.iter().copied()).collect();
        authority.call(&format!("{url}{path}"), &words)
    };
    let post = ["--request", "POST"];
    let (status, told) = call("operator", "/reload", &post);
    assert_eq!((status, &told["reloaded"]), (200, &true.into()), "{told}");
    let (status, told) = call("scraper", "/reload", &post);
    assert_eq!((status, &told["code"]), (403, &"forbidden".into()), "{told}");
    assert_eq!(call("scraper", "/readyz", &[]).0, 200);
    // Without a certificate of the authority there is no connection at all.
    for words in [&[][..], &words_of(&stranger, "operator")] {
        let mut curl = std::process::Command::new("curl");
        curl.arg("--silent").arg("--cacert").arg(authority.path("ca.pem")).args(words);
        let status = curl.arg(format!("{url}/metrics")).output().unwrap().status;
        assert!(!status.success());
    }
    // Where no certificate can be shown nobody is an operator.
    let bare = reqwest::Client::new().post(format!("http://{}/reload", server.admin));
    assert_eq!(bare.send().await.unwrap().status(), 401);
    let stopped = server.stop();
    stopped.assert_drained();
    let audit = std::fs::read_to_string(stopped.path("audit.log")).unwrap();
    assert!(audit.contains("\"principal\":\"operators\",\"identity\":\"client_certificate\""), "{audit}");
}

#[tokio::test]
async fn the_admin_port_is_reached_over_a_unix_socket_until_the_process_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let tables = listener(&format!("unix = \"{}\"\nadmin = true\n", path.display()));
    let server = Setup::pipeline(stream("s", 1)).node(&tables).start();
    assert_eq!(places(&server), [format!("unix:{}", path.display())]);
    let authority = Authority::new();
    let call = |url: &str, words: &[&str]| {
        let words = [&["--unix-socket", path.to_str().unwrap()], words].concat();
        authority.call(&format!("http://node{url}"), &words)
    };
    assert_eq!(call("/readyz", &[]).1["ready"], true);
    // It is of this machine, and nobody is asked.
    let (status, told) = call("/reload", &["--request", "POST"]);
    assert_eq!((status, &told["reloaded"]), (200, &true.into()), "{told}");
    server.stop().assert_drained();
    assert!(!path.exists());
}

#[tokio::test]
async fn what_a_proxy_tells_of_a_client_counts_and_heads_are_read_strictly() {
    let tables = listener(&format!("{ADDRESS}proxy_protocol = true\n")) + &listener(ADDRESS);
    let server = Setup::pipeline(stream("s", 1)).node(&tables).start();
    let ask = |place: usize, before: &[u8], request: &str| {
        let mut socket = TcpStream::connect(places(&server)[place].trim_start_matches("http://")).unwrap();
        socket.write_all(before).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    let told = |client: [u8; 4]| {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        header.extend(client);
        header.extend([127, 0, 0, 1, 0x12, 0x34, 0x01, 0xbb]);
        header
    };
    let reload = "POST /reload HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let afar = ask(0, &told([203, 0, 113, 9]), reload);
    assert!(afar.starts_with("HTTP/1.1 403"), "{afar}");
    let near = ask(0, &told([127, 0, 0, 1]), reload);
    assert!(near.starts_with("HTTP/1.1 200"), "{near}");
    let two_hosts = ask(1, b"", "GET /metrics HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n");
    assert!(two_hosts.starts_with("HTTP/1.1 400") && two_hosts.contains("ambiguous_request"), "{two_hosts}");
    server.until("forebay_http_connections_broken_total", "what=\"proxy\"", |broken| broken == 0.0).await;
    server.stop().assert_drained();
}
