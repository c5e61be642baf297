//! No secret is in anything that the server says, whoever asks and whatever goes wrong.
//!
//! Who adds a kind of identity adds its secrets to [`SECRETS`], its tables to [`NODE`], and requests with right and wrong
//! credentials to [`requests`].

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use serde_json::json;

use super::collector::Collector;
use super::until;
use crate::jwt;
use crate::listen::Authority;
use crate::server::{Server, Setup, stream};

/// Texts that must be nowhere: what is configured, what is shown, what stands in queries and bodies.
const SECRETS: [&str; 27] = [
    "right-api-key-3f",
    "wrong-api-key-3f",
    "right-bearer-9a-01",
    "wrong-bearer-9a",
    "basic-password-77",
    "YmFzaWMtcGFzc3dvcmQtNzc",
    "query-key-1c",
    "query-value-5d",
    "cookie-value-4e",
    "sigv4-secret-8b",
    "wrong-sigv4-secret-8b",
    "session-token-2d",
    "wrong-session-token-2d",
    "function-header-6e",
    "function-password-0f",
    "sink-secret-9c",
    "collector-secret",
    jwt::SECRET,
    "wrong-token-5b",
    "webhook-secret-6d",
    "right-basic-password-77",
    "authorizer-header-2a",
    "authorizer-password-2a",
    "authorizer-token-2a",
    "jwks-password-7c",
    "jwks-query-7c",
    "hashed-password-1e",
];

const NODE: &str = r#"
access_log = { path = "access.log" }
audit_log = { path = "audit.log" }
auth = { ingest = ["api_key", "jwt", "basic", "hmac", "http", "client_certificate", "signature_v4"], tap = ["api_key", "jwt"], admin = ["api_key"] IN_QUERY }
basic_user = [
    { name = "partner", password = "right-basic-password-77", allow = ["ingest:s"] },
    { name = "hashed", password_hash = "$pbkdf2-sha256$i=100000$c2FsdHNhbHRzYWx0$47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", allow = ["*:*"] },
]
webhook = [{ name = "github", form = "github", secret = "webhook-secret-6d", allow = ["ingest:s"] }]
client_certificate = [{ name = "device", common_name = "device", allow = ["ingest:s"] }]
jwt_issuer = [
    { issuer = "i", audience = ["forebay"], secret = "JWT_SECRET", allow = ["ingest:s"] },
    { issuer = "j", audience = ["forebay"], jwks_url = "http://user:jwks-password-7c@127.0.0.1:1/keys?key=jwks-query-7c" },
]
authorizer = { url = "http://user:authorizer-password-2a@127.0.0.1:1/?key=authorizer-password-2a", headers = { authorization = "authorizer-header-2a" }, identity = ["header:x-token"] }
api_key = [
    { name = "mobile", key = "right-api-key-3f", allow = ["*:*"] },
    { name = "bearer", key = "right-bearer-9a-01", allow = ["ingest:other"] },
]
access_key = [
    { id = "AKIDEXAMPLE", secret = "sigv4-secret-8b", allow = ["kinesis:*"] },
    { id = "SESSION", secret = "sigv4-secret-8b", session_token = "session-token-2d", allow = ["kinesis:List*"] },
]
function = [{ name = "f", url = "http://user:function-password-0f@127.0.0.1:1/", headers = { authorization = "function-header-6e" } }]
"#;

/// A delivery to a store that is not there.
const LAKE: &str = "[[delivery]]\nname = \"lake\"\nbuffer = { interval = \"1s\" }\n\
    sink = { url = \"s3://bucket/\", endpoint = \"http://127.0.0.1:1\", region = \"r\", access_key_id = \"AKIDSINK\", \
    secret_access_key = \"sink-secret-9c\" }\n";

/// The node's lines. Secrets may stand in the query, or not.
fn node(are_in_query: bool) -> String {
    let in_query = if are_in_query { ", credentials_in_query = true" } else { "" };
    NODE.replace("JWT_SECRET", jwt::SECRET).replace("IN_QUERY", in_query)
}

const DELIVERED: &str = "{\"delivery\":1}";

/// The signature of [`DELIVERED`] by the secret of the webhook, or by another.
fn webhook_signature(secret: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), DELIVERED.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What senders show that is made for this run, and as secret: tokens and signatures, and all of a private key.
fn made_secrets(authority: &Authority, tokens: &[String]) -> Vec<String> {
    let signatures = ["webhook-secret-6d", "another-secret"].map(webhook_signature);
    let basic = ["partner:right-basic-password-77", "hashed:hashed-password-1e"];
    let basic = basic.map(|text| BASE64_STANDARD.encode(text).trim_end_matches('=').to_owned());
    let keys =
        ["server.key", "device.key"].map(|name| std::fs::read_to_string(authority.path(name)).unwrap());
    let keys = keys.iter().flat_map(|text| text.lines()).filter(|line| !line.starts_with('-'));
    let all = signatures.into_iter().chain(basic).chain(tokens.iter().cloned());
    all.chain(keys.map(str::to_owned)).collect()
}

/// The same of requests with what is made for this run.
fn made_requests(tokens: &[String]) -> Vec<Vec<String>> {
    let with = |name: &str, value: &str| {
        ["-H", &format!("{name}: {value}"), "--json", DELIVERED].map(str::to_owned).to_vec()
    };
    let bearers = tokens.iter().map(|token| with("authorization", &format!("Bearer {token}")));
    let signatures = ["webhook-secret-6d", "another-secret"]
        .map(|secret| with("x-hub-signature-256", &format!("sha256={}", webhook_signature(secret))));
    bearers.chain(signatures).chain([with("x-token", "authorizer-token-2a")]).collect()
}

/// Words of curl: requests with right and wrong credentials of every kind.
fn requests() -> Vec<Vec<&'static str>> {
    let kinesis = ["-H", "content-type: application/x-amz-json-1.1", "-d", "{}", "-H"];
    let list = [&kinesis[..], &["x-amz-target: Kinesis_20131202.ListStreams"]].concat();
    let signed = |user: &'static str| {
        [&list[..], &["--aws-sigv4", "aws:amz:us-east-1:kinesis", "--user", user]].concat()
    };
    let with = |more: &[&'static str], words: &[&'static str]| [words, more].concat();
    vec![
        vec!["-H", "x-api-key: right-api-key-3f", "--json", "{\"secret\":\"query-value-5d\"}"],
        vec!["-H", "x-api-key: right-api-key-3f", "--json", "{\"secret\":query-value-5d}"],
        vec!["-H", "x-api-key: right-api-key-3f", "-H", "content-encoding: gzip", "--json", "query-value-5d"],
        vec!["-H", "x-api-key: wrong-api-key-3f", "--json", "{}"],
        vec!["-H", "authorization: Bearer right-bearer-9a-01", "--json", "{}"],
        vec!["-H", "authorization: Bearer wrong-bearer-9a", "--json", "{}"],
        vec!["--user", "somebody:basic-password-77", "--json", "{}"],
        vec!["--user", "partner:right-basic-password-77", "--json", "{}"],
        vec!["--user", "hashed:hashed-password-1e", "--json", "{}"],
        vec!["-H", "authorization: query-value-5d", "--json", "{}"],
        vec!["-H", "x-api-key: right-api-key-3f", "-H", "cookie: session=cookie-value-4e", "-X", "DELETE"],
        vec!["-H", "x-api-key: right-api-key-3f", "-H", "traceparent: query-value-5d", "--json", "{}"],
        vec!["-H", "x-api-key: right-api-key-3f", "-H", "x-request-id: query-value-5d", "--json", "{}"],
        with(&["--path-as-is"], &signed("AKIDEXAMPLE:sigv4-secret-8b")),
        signed("AKIDEXAMPLE:wrong-sigv4-secret-8b"),
        with(&["-H", "x-amz-security-token: session-token-2d"], &signed("SESSION:sigv4-secret-8b")),
        with(&["-H", "x-amz-security-token: wrong-session-token-2d"], &signed("SESSION:sigv4-secret-8b")),
        list,
    ]
}

/// Paths that each of them is sent to.
fn urls(server: &Server) -> [String; 3] {
    let at = |rest: &str| format!("http://{}{rest}", server.address);
    let query = "?api_key=query-key-1c&from=query-value-5d&token=query-value-5d";
    [at("/v1/streams/s/records") + query, at("/") + query, at("/v1/streams/none/shards") + query]
}

fn read_all(folder: &Path, names: &[&str]) -> String {
    names.iter().map(|name| std::fs::read_to_string(folder.join(name)).unwrap()).collect()
}

/// What curl prints, the status last.
fn curl(words: &[&str], url: &str) -> (String, String) {
    let output = Command::new("curl")
        .args(["--silent", "--include", "--max-time", "60", "--write-out", "\n%{http_code}"])
        .args(words)
        .arg(url)
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}");
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    let status = answer.rsplit('\n').next().unwrap().to_owned();
    (answer, status)
}

/// Tokens that are right, that nobody has signed, and of an issuer whose keys never come.
fn tokens() -> Vec<String> {
    let right = jwt::token(json!({ "sub": "anna" }));
    let (signed, _) = right.rsplit_once('.').unwrap();
    vec![right.clone(), format!("{signed}.wrong-token-5b"), jwt::token(json!({ "iss": "j" }))]
}

fn assert_in_none_of(places: &[(&str, &str)], made: &[String]) {
    for (place, text) in places {
        for secret in SECRETS.into_iter().chain(made.iter().map(String::as_str)) {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} is in {place}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_anything_that_is_said() {
    let (collector, authority, tokens) = (Collector::start().await, Authority::new(), tokens());
    authority.sign("server", "server", &["127.0.0.1"]);
    authority.sign("device", "device", &[]);
    let otlp = format!(
        "telemetry = {{ otlp = {{ endpoint = \"http://{}/base\", traces_sample = 1, metrics_interval = \"1s\", \
         headers = {{ x-collector-token = \"collector-secret\" }} }} }}\n",
        collector.address
    );
    collector.refuses(401, "0");
    let certificates = authority.path("ca.pem").display().to_string();
    let certificates = format!(", client_ca = \"{certificates}\", client_certificate = \"optional\"");
    let server = Setup::pipeline(stream("s", 1) + LAKE)
        .node(&otlp)
        .node(&node(false))
        .node(&format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{}", authority.tls(&certificates)))
        .server("drain_timeout = \"1s\"\ntrusted_proxies = [\"10.0.0.0/8\"]")
        .env("FOREBAY_LOG", "trace")
        .start();
    let mut said = String::new();
    let (mut statuses, urls) = (Vec::new(), urls(&server));
    let made: Vec<_> = made_requests(&tokens);
    let made = made.iter().map(|words| words.iter().map(String::as_str).collect::<Vec<_>>());
    for words in requests().into_iter().chain(made) {
        for url in &urls {
            let (answer, status) = curl(&words, url);
            statuses.push(status);
            said.push_str(&answer);
        }
    }
    for wanted in ["200", "400", "401", "403", "405", "503"] {
        assert!(statuses.iter().any(|status| status == wanted), "{wanted} of {statuses:?}");
    }
    let path = |name: &str| authority.path(name).display().to_string();
    let shown = ["--cert", &path("device.pem"), "--key", &path("device.key"), "--json", "{}"];
    let by_certificate = authority.call(&format!("{}/v1/streams/s/records", server.others[0]), &shown);
    assert_eq!(by_certificate.0, 200, "{by_certificate:?}");
    server.until("forebay_delivery_upload_errors_total", "", |errors| errors > 0.0).await;
    until("the collector is told nothing", || (!collector.spans().is_empty()).then_some(())).await;
    said.push_str(&server.admin_get("/metrics").await.1);
    said.push_str(&server.admin_get("/readyz").await.1);
    let stopped = server.stop();
    let logs = read_all(stopped.folder.path(), &["access.log", "audit.log"]);
    assert!(logs.lines().count() > 60 && stopped.stderr.lines().count() > 100, "{}", stopped.stderr);
    let told: String = collector.sent().iter().map(|(_, body)| body.to_string()).collect();
    let places: [(&str, &str); 5] = [
        ("an answer or the admin port", &said),
        ("standard output", &stopped.stdout),
        ("standard error", &stopped.stderr),
        ("a log", &logs),
        ("what a collector is told", &told),
    ];
    assert_in_none_of(&places, &made_secrets(&authority, &tokens));
}

#[tokio::test]
async fn no_secret_of_a_query_is_in_anything_that_is_said() {
    let tokens = tokens();
    let server = Setup::pipeline(stream("s", 1)).node(&node(true)).env("FOREBAY_LOG", "trace").start();
    let at = |rest: String| format!("http://{}{rest}", server.address);
    let mut said = String::new();
    let mut ask = |query: &str, wanted: &str| {
        for path in ["/v1/streams/s", "/v1/streams/s/shards"] {
            let (answer, status) = curl(&[], &at(format!("{path}?{query}")));
            assert_eq!(status, wanted, "{answer}");
            said.push_str(&answer);
        }
    };
    ask("api_key=right-api-key-3f", "200");
    ask("access_token=right-api-key-3f", "200");
    ask("api_key=wrong-api-key-3f", "401");
    ask(&format!("access_token={}", tokens[0]), "403");
    ask(&format!("access_token={}", tokens[1]), "401");
    ask("api_key=wrong-api-key-3f&api_key=right-api-key-3f", "401");
    let stopped = server.stop();
    let logs = read_all(stopped.folder.path(), &["access.log", "audit.log"]);
    let places: [(&str, &str); 3] =
        [("an answer", &said), ("standard error", &stopped.stderr), ("a log", &logs)];
    assert_in_none_of(&places, &tokens);
}

/// Lines with something wrong about a secret, and what of it must be nowhere.
const WRONG: [(&str, &str); 10] = [
    ("api_key = [{ name = \"a\", key = \"short-9d\", allow = [\"*:*\"] }]", "short-9d"),
    ("api_key = [{ name = \"a\", key = [\"typed-secret-4f-0123\"], allow = [\"*:*\"] }]", "typed-secret-4f"),
    ("api_key = [{ name = \"a\", kay = \"misnamed-secret-3a\", allow = [\"*:*\"] }]", "misnamed-secret-3a"),
    ("api_key = [{ name = \"a\", key = \"broken-line-5e, allow = [\"*:*\"] }]", "broken-line-5e"),
    (
        "api_key = [{ name = \"${BAD_NAME}\", key = \"0123456789abcdef\", allow = [\"*:*\"] }]",
        "of-the-environment",
    ),
    (
        "webhook = [{ name = \"a\", form = \"github\", secret = \"short7x\", allow = [\"ingest:*\"] }]",
        "short7x",
    ),
    (
        "jwt_issuer = [{ issuer = \"i\", audience = [\"a\"], secret = \"short-hs-secret\" }]",
        "short-hs-secret",
    ),
    ("basic_user = [{ name = \"a\", password_hash = \"no-hash-8c\", allow = [\"*:*\"] }]", "no-hash-8c"),
    ("authorizer = { url = \"ftp://u:bad-url-1f@h/?k=bad-url-1f\" }", "bad-url-1f"),
    (
        "authorizer = { url = \"http://127.0.0.1:1/\", headers = { x = \"bad\\nheader-value-6a\" } }",
        "header-value-6a",
    ),
];

#[tokio::test]
async fn no_secret_is_in_what_is_said_about_wrong_settings() {
    const AUTH: &str = "auth = { ingest = [\"KIND\"], admin = [\"none\"] }\n";
    let setup = || Setup::pipeline(stream("s", 1)).env("BAD_NAME", "of-the-environment !");
    let server = setup().env("FOREBAY_LOG", "trace").start();
    let file = server.folder().join("forebay.toml");
    let right = std::fs::read_to_string(&file).unwrap();
    let mut said = String::new();
    for (wrong, secret) in WRONG {
        let kind = match wrong.split_once(' ').unwrap().0 {
            "webhook" => "hmac",
            "jwt_issuer" => "jwt",
            "basic_user" => "basic",
            "authorizer" => "http",
            kind => kind,
        };
        let lines = AUTH.replace("KIND", kind) + wrong + "\n";
        let stderr = setup().node(&lines).start_that_fails();
        assert!(stderr.contains("forebay.toml:"), "{wrong}: {stderr}");
        assert!(!stderr.contains(secret), "{wrong}: {stderr}");
        std::fs::write(&file, format!("{lines}{right}")).unwrap();
        let reload = reqwest::Client::new().post(format!("http://{}/reload", server.admin));
        let response = reload.send().await.unwrap();
        assert!(response.status().is_client_error(), "{wrong}");
        said.push_str(&response.text().await.unwrap());
    }
    let stopped = server.stop();
    assert!(said.contains("forebay.toml"), "{said}");
    for (_, secret) in WRONG {
        assert!(!said.contains(secret), "{secret}: {said}");
        assert!(!stopped.stderr.contains(secret), "{secret}: {}", stopped.stderr);
    }
}
