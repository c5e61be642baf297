//! JSON web tokens: of a real issuer with keys that change, and of a secret.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Instant, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use forebay::testkit::skip::skipped;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use ring::hmac;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::aws::expired::faketime;
use crate::server::{PATIENCE, Server, Setup, stream};

/// `oauth2-mock-server`, by `issuer/issuer.mjs`. Ends when it is dropped.
struct Issuer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    url: String,
    _folder: TempDir,
}

impl Issuer {
    /// None where its modules are not installed.
    fn start() -> Option<Self> {
        let Some(modules) = std::env::var_os("FOREBAY_ISSUER").map(PathBuf::from) else {
            skipped(
                "FOREBAY_ISSUER is not set (`make test` sets it to a folder with an OpenID Connect issuer)",
            );
            return None;
        };
        // Modules are looked for beside the script.
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/issuer/issuer.mjs");
        let script = folder.path().join("issuer.mjs");
        std::fs::copy(source, &script).unwrap();
        std::os::unix::fs::symlink(modules.join("node_modules"), folder.path().join("node_modules")).unwrap();
        let mut child =
            Command::new("node").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut issuer = Self { child, input, output, url: String::new(), _folder: folder };
        issuer.url = issuer.answer();
        Some(issuer)
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the issuer has ended");
        line.trim().to_owned()
    }

    fn do_it(&mut self, words: Value) -> String {
        writeln!(self.input, "{words}").unwrap();
        self.answer()
    }

    /// A new key; returns its name.
    fn generate(&mut self, algorithm: &str) -> String {
        self.do_it(json!({ "action": "generate", "alg": algorithm }))
    }

    /// A token of that key, or of any, which lives for an hour unless the claims say otherwise.
    fn sign(&mut self, key: Option<&str>, claims: Value) -> String {
        self.do_it(json!({ "action": "sign", "kid": key, "claims": claims }))
    }

    /// A table with its keys found by `setting`.
    fn table(&self, more: &str) -> String {
        format!("[[jwt_issuer]]\nissuer = \"{}\"\naudience = [\"forebay\"]\n{more}\n", self.url)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const AUTH: &str = "[auth]\ningest = [\"jwt\"]\ntap = [\"jwt\"]\n";

fn start(tables: &str) -> Server {
    Setup::pipeline(stream("web", 1)).node(AUTH).node(tables).start()
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

/// Puts one record with a token.
async fn put(server: &Server, token: &str) -> Answer {
    let request =
        reqwest::Client::new().post(server.records("web")).header("content-type", "application/json");
    answer(request.bearer_auth(token).body("{\"n\":1}")).await
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.unwrap();
    Answer { status, headers, body: serde_json::from_slice(&body).unwrap_or_default() }
}

/// Puts records until the status is this one.
async fn until(server: &Server, token: &str, wanted: u16) -> Answer {
    let started = Instant::now();
    loop {
        let found = put(server, token).await;
        if found.status == wanted {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{} {} and not {wanted}", found.status, found.body);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

fn seconds_from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + seconds
}

#[tokio::test]
async fn tokens_of_a_real_issuer_are_taken_by_what_they_say() {
    let Some(mut issuer) = Issuer::start() else { return };
    let server =
        start(&issuer.table("discovery = true\n[jwt_issuer.scopes]\n\"events.write\" = [\"ingest:*\"]"));
    let write = json!({ "scope": "openid events.write" });
    let first = issuer.sign(None, write.clone());
    assert_eq!(put(&server, &first).await.status, 200);
    // The key is new each time: the issuer is asked for it once, and for those that follow in the next refresh only.
    let keys: Vec<String> = ["PS256", "ES256", "ES384", "EdDSA", "RS512"]
        .iter()
        .map(|algorithm| issuer.generate(algorithm))
        .collect();
    let mut tokens = vec![first];
    for key in &keys {
        let token = issuer.sign(Some(key), write.clone());
        let found = put(&server, &token).await;
        assert_eq!(found.status, 200, "{key} {}", found.body);
        assert_eq!(put(&server, &token).await.status, 200, "again");
        tokens.push(token);
    }
    let read = issuer.sign(None, json!({ "scope": "tap:web" }));
    let found = put(&server, &read).await;
    assert_eq!((found.status, &found.body["code"]), (403, &json!("forbidden")));
    let records = reqwest::Client::new().get(server.records("web") + "?from=earliest").bearer_auth(&read);
    assert_eq!(answer(records).await.status, 200);
    for (claims, description) in [
        (json!({ "aud": "others" }), "the token is for another audience"),
        (json!({ "exp": seconds_from_now(-3600) }), "the token has expired"),
        (json!({ "nbf": seconds_from_now(3600) }), "the token is not valid yet"),
        (json!({ "iss": "https://evil.example/" }), "tokens of this issuer are not taken"),
    ] {
        let token = issuer.sign(None, claims);
        let found = put(&server, &token).await;
        assert_eq!((found.status, &found.body["code"]), (401, &json!("unauthenticated")), "{description}");
        let challenge = found.headers[WWW_AUTHENTICATE].to_str().unwrap();
        let wanted = format!("error=\"invalid_token\", error_description=\"{description}\"");
        assert!(challenge.starts_with("Bearer ") && challenge.ends_with(&wanted), "{challenge}");
        tokens.push(token);
    }
    assert!(server.metric("forebay_jwt_tokens_total", "by=\"cache\"").await >= 6.0);
    assert_eq!(server.metric("forebay_jwt_refused_total", "reason=\"expired\"").await, 1.0);
    let stopped = server.stop();
    for token in tokens {
        let (_, signature) = token.rsplit_once('.').unwrap();
        assert!(
            !stopped.stderr.contains(signature) && !stopped.stdout.contains(signature),
            "{}",
            stopped.stderr
        );
    }
}

#[tokio::test]
async fn keys_of_an_issuer_that_is_gone_stay_for_the_grace_and_no_longer() {
    let Some(mut issuer) = Issuer::start() else { return };
    let table = |grace: &str| {
        let keys =
            format!("jwks_url = \"{}/jwks\"\nrefresh = \"1s\"\noutage_grace = \"{grace}\"\n", issuer.url);
        issuer.table(&(keys + "allow = [\"ingest:web\"]"))
    };
    let (patient, strict) = (start(&table("1h")), start(&table("0s")));
    let [known, other] = ["known", "other"].map(|subject| issuer.sign(None, json!({ "sub": subject })));
    for server in [&patient, &strict] {
        until(server, &known, 200).await;
    }
    assert_eq!(issuer.do_it(json!({ "action": "stop" })), "stopped");
    patient.until("forebay_jwt_key_refreshes_total", "outcome=\"unreachable\"", |count| count >= 2.0).await;
    for token in [&known, &other] {
        assert_eq!(put(&patient, token).await.status, 200);
    }
    // Also what is in its cache.
    let found = until(&strict, &known, 503).await;
    assert_eq!(found.body["code"], "identity_unavailable", "{}", found.body);
    assert_eq!(found.headers["retry-after"], "1");
    assert_eq!(issuer.do_it(json!({ "action": "start" })), "started");
    until(&strict, &known, 200).await;
    let log = strict.stop().stderr;
    let count = |text: &str| log.matches(text).count();
    assert_eq!(count("none are believed any more"), 1, "{log}");
    assert_eq!(count("can be fetched again"), 1, "{log}");
    patient.stop().assert_drained();
}

#[tokio::test]
async fn keys_that_an_operator_has_forgotten_are_asked_for_before_a_token_is_taken_again() {
    let Some(mut issuer) = Issuer::start() else { return };
    let keys = format!("jwks_url = \"{}/jwks\"\nallow = [\"ingest:web\"]\n", issuer.url);
    let auth = "[auth]\ningest = [\"jwt\"]\nadmin = [\"none\"]\n";
    let server = Setup::pipeline(stream("web", 1)).node(auth).node(&issuer.table(&keys)).start();
    let token = issuer.sign(None, json!({}));
    until(&server, &token, 200).await;
    let flush = async || {
        let url = format!("http://{}/cache/flush?which=jwks", server.admin);
        answer(reqwest::Client::new().post(url)).await.body["flushed"]["jwks"].clone()
    };
    assert_eq!(flush().await, json!({ "keys": 1, "tokens": 1 }));
    assert_eq!(put(&server, &token).await.status, 200, "it waits for the keys");
    assert_eq!(server.metric("forebay_jwt_key_refreshes_total", "outcome=\"ok\"").await, 2.0);
    // With its issuer gone, a token is taken because of what is kept, and not behind that.
    assert_eq!(issuer.do_it(json!({ "action": "stop" })), "stopped");
    assert_eq!(put(&server, &token).await.status, 200);
    assert_eq!(flush().await, json!({ "keys": 1, "tokens": 1 }));
    assert_eq!(put(&server, &token).await.status, 503);
    assert_eq!(issuer.do_it(json!({ "action": "start" })), "started");
    until(&server, &token, 200).await;
    server.stop().assert_drained();
}

pub(crate) const SECRET: &str = "a secret that nobody else knows, of more than 32 bytes";

/// A token of the secret.
pub(crate) fn token(claims: Value) -> String {
    let mut all = json!({ "iss": "i", "aud": "forebay", "sub": "s", "exp": seconds_from_now(3600) });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    let encoded = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", encoded(br#"{"alg":"HS256"}"#), encoded(all.to_string().as_bytes()));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", encoded(signature.as_ref()))
}

/// Everybody with a token of the secret may put and read.
fn with_secret(auth: &str) -> Setup {
    let table = "[[jwt_issuer]]\nissuer = \"i\"\naudience = [\"forebay\"]\nsecret = \"${JWT_SECRET}\"\nallow = [\"*:web\"]";
    Setup::pipeline(stream("web", 1))
        .node("access_log = { to = \"stderr\" }")
        .node(&format!("{AUTH}{auth}"))
        .node(table)
        .env("JWT_SECRET", SECRET)
}

#[tokio::test]
async fn a_token_may_stand_in_the_query_only_where_the_configuration_says_so() {
    let (off, on) = (with_secret("").start(), with_secret("credentials_in_query = true\n").start());
    let token = token(json!({}));
    for (server, status) in [(&off, 401), (&on, 200)] {
        assert_eq!(put(server, &token).await.status, 200);
        let page = format!("{}?from=earliest&access_token={token}", server.records("web"));
        assert_eq!(answer(reqwest::Client::new().get(page)).await.status, status);
    }
    let (_, signature) = token.rsplit_once('.').unwrap();
    for server in [off, on] {
        let stopped = server.stop();
        assert!(stopped.stderr.contains("/v1/streams/web/records"), "the log of requests is on");
        for secret in [SECRET, signature] {
            assert!(
                !stopped.stderr.contains(secret) && !stopped.stdout.contains(secret),
                "{}",
                stopped.stderr
            );
        }
    }
}

#[tokio::test]
async fn a_token_that_another_key_has_signed_or_none_is_refused() {
    let server = with_secret("").start();
    let right = token(json!({}));
    let (signed, _) = right.rsplit_once('.').unwrap();
    let none = signed.split_once('.').map(|(_, claims)| format!("eyJhbGciOiJub25lIn0.{claims}."));
    let large = token(json!({ "x": "x".repeat(9_000) }));
    for wrong in [format!("{signed}.AAAA"), none.unwrap(), large, "x".to_owned(), "a.b.c".to_owned()] {
        let found = put(&server, &wrong).await;
        assert_eq!(found.status, 401, "{}", found.body);
        assert!(found.headers.contains_key(WWW_AUTHENTICATE));
    }
    assert_eq!(put(&server, &right).await.status, 200);
    server.stop().assert_drained();
}

#[tokio::test]
async fn an_issuer_that_a_reload_takes_away_lets_nobody_in_any_more() {
    let server = with_secret("").start();
    let (before, after) = (token(json!({})), token(json!({ "iss": "j" })));
    assert_eq!((put(&server, &before).await.status, put(&server, &after).await.status), (200, 401));
    let file = server.folder().join("forebay.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("issuer = \"i\"", "issuer = \"j\"")).unwrap();
    server.signal(rustix::process::Signal::HUP);
    until(&server, &after, 200).await;
    assert_eq!(put(&server, &before).await.status, 401, "also in the cache");
    server.stop().assert_drained();
}

#[tokio::test]
async fn tokens_of_an_issuer_whose_keys_never_came_may_come_again() {
    let table =
        "[[jwt_issuer]]\nissuer = \"i\"\naudience = [\"forebay\"]\njwks_url = \"http://127.0.0.1:1/keys\"\n";
    let server = start(table);
    let (_, rest) = token(json!({})).split_once('.').map(|(_, rest)| ((), rest.to_owned())).unwrap();
    let header = BASE64_URL_SAFE_NO_PAD.encode(br#"{"alg":"RS256","kid":"k"}"#);
    let found = put(&server, &format!("{header}.{rest}")).await;
    assert_eq!((found.status, &found.body["code"]), (503, &json!("identity_unavailable")));
    assert!(server.metric("forebay_jwt_key_refreshes_total", "outcome=\"unreachable\"").await >= 1.0);
    assert_eq!(put(&server, &token(json!({}))).await.status, 401, "its keys are public ones");
    server.stop().assert_drained();
}

#[tokio::test]
async fn a_clock_that_is_wrong_by_hours_takes_no_token_of_another_time() {
    let Some(library) = faketime() else { return };
    let token = token(json!({ "iat": seconds_from_now(0) }));
    for (step, reason) in [("+2h", "expired"), ("-2h", "not_yet_valid")] {
        let wrong =
            with_secret("").env("LD_PRELOAD", &library).env("FAKETIME", step).env("NO_FAKE_STAT", "1");
        let server = wrong.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1").start();
        assert_eq!(put(&server, &token).await.status, 401, "{step}");
        assert_eq!(server.metric("forebay_jwt_refused_total", reason).await, 1.0, "{step}");
        server.stop().assert_drained();
    }
    let server = with_secret("").start();
    assert_eq!(put(&server, &token).await.status, 200);
    server.stop().assert_drained();
}
