//! Where connections come in: TLS, certificates of clients, Unix sockets, proxies in front.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::server::{PATIENCE, Server, Setup, stream};

/// An authority, and files of certificates that it has signed.
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let key = KeyPair::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    /// A file in its folder; its own certificate is `ca.pem`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `{file}.pem` and `{file}.key`.
    pub fn sign(&self, file: &str, common_name: &str, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{file}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
    }

    /// `tls = { … }` of a listener, with more of it.
    pub fn tls(&self, more: &str) -> String {
        let path = |name: &str| self.path(name).display().to_string();
        let (certificate, key) = (path("server.pem"), path("server.key"));
        format!("tls = {{ certificate = \"{certificate}\", key = \"{key}\"{more} }}\n")
    }

    /// The client's side of TLS, which offers these protocols.
    pub fn client(&self, protocols: &[&str]) -> rustls::ClientConnection {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate(&self.path("ca.pem"))).unwrap();
        let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = rustls_pki_types::ServerName::try_from("127.0.0.1").unwrap();
        rustls::ClientConnection::new(config.into(), name).unwrap()
    }

    /// Calls curl: the status, and the body where it is JSON.
    pub fn call(&self, url: &str, words: &[&str]) -> (u16, serde_json::Value) {
        let answer = curl(self, &[words, &[url]].concat()).unwrap();
        let mut parts = answer.rsplitn(3, ' ').skip(1);
        let status = parts.next().unwrap().parse().unwrap();
        (status, serde_json::from_str(parts.next().unwrap_or_default()).unwrap_or_default())
    }
}

/// A table of `[[listener]]`.
pub fn listener(lines: &str) -> String {
    format!("[[listener]]\n{lines}")
}

/// Calls curl; its output, with the status code and the version of HTTP behind it, or its exit code.
fn curl(authority: &Authority, words: &[&str]) -> Result<String, i32> {
    let authorities = authority.path("ca.pem");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", &PATIENCE.as_secs().to_string(), "--cacert"])
        .arg(authorities)
        .args(["--write-out", " %{http_code} %{http_version}"])
        .args(words)
        .output()
        .unwrap();
    match output.status.code() {
        Some(0) => Ok(String::from_utf8(output.stdout).unwrap()),
        code => Err(code.unwrap_or(-1)),
    }
}

fn ends(answer: &Result<String, i32>, end: &str) -> bool {
    answer.as_ref().is_ok_and(|answer| answer.ends_with(end))
}

fn start(tables: &str, server: &str) -> Server {
    Setup::pipeline(stream("s", 1)).node(tables).server(server).start()
}

#[tokio::test]
async fn requests_come_in_over_tls_in_both_versions_of_http() {
    let authority = Authority::new();
    authority.sign("server", "server", &["127.0.0.1"]);
    let server = start(&listener(&format!("address = \"127.0.0.1:0\"\n{}", authority.tls(""))), "");
    let url = format!("{}/v1/streams/s/records", server.others[0]);
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    for (version, end) in [("--http1.1", " 200 1.1"), ("--http2", " 200 2")] {
        for tls in [["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3", "--tls-max", "1.3"]] {
            let words = [&[version, "--json", "{\"n\":1}", &url], &tls[..]].concat();
            let answer = curl(&authority, &words);
            assert!(ends(&answer, end), "{version} {tls:?}: {answer:?}");
        }
    }
    // Older versions are not spoken, and text is no handshake.
    assert!(curl(&authority, &["--tls-max", "1.1", "--ciphers", "DEFAULT:@SECLEVEL=0", &url]).is_err());
    let mut socket = TcpStream::connect(server.others[0].trim_start_matches("https://")).unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    server.until("forebay_http_connections_broken_total", "what=\"tls\"", |broken| broken >= 2.0).await;
    let (status, page) = server.get("/v1/streams/s/records?from=earliest").await;
    assert_eq!((status, page["records"].as_array().unwrap().len()), (200, 4));
    server.stop().assert_drained();
}

#[tokio::test]
async fn certificates_of_clients_are_asked_for_and_checked() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.sign("server", "server", &["127.0.0.1"]);
    authority.sign("client", "sensor-7", &[]);
    stranger.sign("client", "sensor-7", &[]);
    let clients = |rule: &str| {
        let authorities = authority.path("ca.pem").display().to_string();
        authority.tls(&format!(
            ", client_ca = \"{authorities}\", client_certificate = \"{rule}\", min_version = \"1.3\""
        ))
    };
    let place = "address = \"127.0.0.1:0\"\n";
    let tables = listener(&format!("{place}{}", clients("required")))
        + &listener(&format!("{place}{}", clients("optional")));
    let server = start(&tables, "");
    let show = |authority: &Authority| {
        let path = |name: &str| authority.path(name).display().to_string();
        [String::from("--cert"), path("client.pem"), String::from("--key"), path("client.key")]
    };
    for (listener, without) in [(0, false), (1, true)] {
        let url = format!("{}/v1/streams", server.others[listener]);
        let with = |client: &Authority| {
            let words = show(client);
            let words: Vec<&str> = words.iter().map(String::as_str).chain([url.as_str()]).collect();
            curl(&authority, &words)
        };
        assert!(ends(&with(&authority), " 200 2"), "{:?}", with(&authority));
        assert!(with(&stranger).is_err());
        assert_eq!(curl(&authority, &[&url]).is_ok(), without, "listener {listener}");
        assert!(curl(&authority, &["--tls-max", "1.2", &url]).is_err());
    }
    server.stop().assert_drained();
}

#[tokio::test]
async fn new_certificates_are_taken_without_a_restart_and_broken_ones_are_not() {
    let authority = Authority::new();
    authority.sign("server", "first", &["127.0.0.1"]);
    let server = start(&listener(&format!("address = \"127.0.0.1:0\"\n{}", authority.tls(""))), "");
    let url = format!("{}/v1/streams", server.others[0]);
    let open = reqwest_client(&authority).build().unwrap();
    assert_eq!(open.get(&url).send().await.unwrap().status(), 200);
    let shown = || {
        let answer = Command::new("curl")
            .args(["--silent", "--verbose", "--cacert"])
            .args([authority.path("ca.pem").to_str().unwrap(), &url])
            .output()
            .unwrap();
        String::from_utf8_lossy(&answer.stderr).into_owned()
    };
    assert!(shown().contains("CN=first"), "{}", shown());
    authority.sign("server", "second", &["127.0.0.1"]);
    server.signal(Signal::HUP);
    let began = std::time::Instant::now();
    while !shown().contains("CN=second") {
        assert!(began.elapsed() < PATIENCE, "{}", shown());
    }
    // The connection from before goes on.
    assert_eq!(open.get(&url).send().await.unwrap().status(), 200);
    std::fs::write(authority.path("server.key"), "no key").unwrap();
    server.signal(Signal::HUP);
    assert!(shown().contains("CN=second"), "{}", shown());
    let stopped = server.stop();
    stopped.assert_drained();
    assert!(!stopped.stderr.contains("PRIVATE"), "{}", stopped.stderr);
}

#[tokio::test]
async fn certificates_that_change_on_the_disk_are_taken_without_a_signal() {
    let authority = Authority::new();
    authority.sign("server", "first", &["127.0.0.1"]);
    let server = start(&listener(&format!("address = \"127.0.0.1:0\"\n{}", authority.tls(""))), "");
    let url = format!("{}/v1/streams", server.others[0]);
    let shown = || {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--verbose", "--cacert"]).arg(authority.path("ca.pem")).arg(&url);
        String::from_utf8_lossy(&curl.output().unwrap().stderr).into_owned()
    };
    for name in ["second", "third"] {
        authority.sign("server", name, &["127.0.0.1"]);
        let began = std::time::Instant::now();
        while !shown().contains(&format!("CN={name}")) {
            assert!(began.elapsed() < PATIENCE, "{}", shown());
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
    let stopped = server.stop();
    stopped.assert_drained();
    let told = stopped.stderr.matches("new connections get the certificates").count();
    assert!(told == 2 && stopped.stderr.contains("CN=third until "), "{}", stopped.stderr);
}

fn reqwest_client(authority: &Authority) -> reqwest::ClientBuilder {
    let pem = std::fs::read(authority.path("ca.pem")).unwrap();
    let root = reqwest::Certificate::from_pem(&pem).unwrap();
    reqwest::Client::builder().tls_certs_only([root])
}

#[test]
fn certificates_that_cannot_be_used_are_told_at_the_start() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.sign("server", "server", &["127.0.0.1"]);
    stranger.sign("server", "server", &["127.0.0.1"]);
    std::fs::copy(stranger.path("server.key"), authority.path("server.key")).unwrap();
    let said = Setup::pipeline(stream("s", 1)).server(&authority.tls("")).start_that_fails();
    assert!(said.contains("the certificates cannot be used"), "{said}");
    std::fs::remove_file(authority.path("server.pem")).unwrap();
    let said = Setup::pipeline(stream("s", 1)).server(&authority.tls("")).start_that_fails();
    assert!(said.contains("server.pem"), "{said}");
}

#[tokio::test]
async fn requests_come_in_over_a_unix_socket_which_goes_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.sock");
    let log = "access_log = { path = \"access.log\" }\n";
    let tables = log.to_owned() + &listener(&format!("unix = \"{}\"\n", path.display()));
    let server = start(&tables, "");
    assert_eq!(server.others, [format!("unix:{}", path.display())]);
    let authority = Authority::new();
    let url = "http://localhost/v1/streams/s/records";
    let answer = curl(&authority, &["--unix-socket", path.to_str().unwrap(), "--json", "{\"n\":1}", url]);
    assert!(ends(&answer, " 200 1.1"), "{answer:?}");
    // A server that was killed leaves it behind, and the next one takes its place.
    let left = server.kill();
    assert!(path.exists());
    let server = Setup::pipeline(stream("s", 1)).node(&tables).in_folder(left).start();
    let answer = curl(&authority, &["--unix-socket", path.to_str().unwrap(), "--json", "{\"n\":1}", url]);
    assert!(ends(&answer, " 200 1.1"), "{answer:?}");
    let stopped = server.stop();
    stopped.assert_drained();
    assert!(!path.exists());
    let log = std::fs::read_to_string(stopped.path("access.log")).unwrap();
    assert!(log.contains("\"client\":\"unix\""), "{log}");
}

#[tokio::test]
async fn the_address_of_a_client_is_told_by_proxies_that_are_trusted() {
    let authority = Authority::new();
    authority.sign("server", "server", &["127.0.0.1"]);
    let log = "access_log = { path = \"access.log\" }\n";
    let place = listener(&format!("address = \"127.0.0.1:0\"\nproxy_protocol = true\n{}", authority.tls("")));
    let server = start(&(log.to_owned() + &place), "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n");
    let url = format!("{}/v1/streams", server.others[0]);
    // curl writes version 1, which is not taken.
    assert!(curl(&authority, &["--haproxy-protocol", &url]).is_err());
    let answer = through_proxy(&authority, &server.others[0], [203, 0, 113, 9]);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let plain = format!("http://{}/v1/streams", server.address);
    let forwarded = "X-Forwarded-For: 192.0.2.1, 198.51.100.7, 10.1.2.3";
    assert!(ends(&curl(&authority, &["--header", forwarded, &plain]), " 200 1.1"));
    server.until("forebay_http_connections_broken_total", "what=\"proxy\"", |broken| broken == 1.0).await;
    let stopped = server.stop();
    stopped.assert_drained();
    let log = std::fs::read_to_string(stopped.path("access.log")).unwrap();
    for client in ["203.0.113.9", "198.51.100.7"] {
        assert!(log.contains(&format!("\"client\":\"{client}\"")), "{log}");
    }
    assert!(!log.contains("192.0.2.1"), "what a client has made up");
}

/// A request over TLS behind a PROXY header of version 2.
fn through_proxy(authority: &Authority, url: &str, client: [u8; 4]) -> String {
    let mut socket = TcpStream::connect(url.trim_start_matches("https://")).unwrap();
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(client);
    header.extend([127, 0, 0, 1, 0x12, 0x34, 0x01, 0xbb]);
    socket.write_all(&header).unwrap();
    let mut socket = rustls::StreamOwned::new(authority.client(&[]), socket);
    socket.write_all(b"GET /v1/streams HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

fn certificate(path: &Path) -> rustls_pki_types::CertificateDer<'static> {
    use rustls_pki_types::pem::PemObject as _;
    rustls_pki_types::CertificateDer::from_pem_file(path).unwrap()
}
