//! Limits, quotas and facts of senders of every kind, and what is on record of those who only claim to be one.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ring::hmac;
use serde_json::{Value, json};

use crate::jwt::{SECRET, token};
use crate::server::{Server, Setup, durable_stream, stream};

const WEBHOOK_SECRET: &str = "a-secret-of-github";

/// An authorizer that names whoever shows a token `P…` so, and says what it knows of them.
async fn authorizer() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(connection), service_fn(decide)));
        }
    });
    address
}

async fn decide(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let question: Value = serde_json::from_slice(&request.collect().await.unwrap().to_bytes()).unwrap();
    let shown = question["identity"]["header:x-token"].as_str().unwrap();
    let answer = match shown.strip_prefix("key:") {
        Some(key) => json!({ "isAuthorized": true, "usageIdentifierKey": key }),
        None => json!({
            "allow": true, "principal": shown, "grants": ["ingest:s"],
            "context": { "tenant": format!("tenant of {shown}"), "level": 3, "is_paid": true, "nested": { "x": 1 } },
        }),
    };
    Ok(Response::new(Full::new(Bytes::from(answer.to_string()))))
}

/// Whether everybody may do so much, and no more.
fn tables(authorizer: SocketAddr, settings: &str) -> String {
    format!(
        "auth = {{ ingest = [\"basic\", \"hmac\", \"jwt\", \"http\", \"signature_v4\"], admin = [\"none\"] }}\n\
         audit_log = {{ path = \"audit.log\" }}\naccess_log = {{ path = \"access.log\" }}\n\
         [[basic_user]]\nname = \"partner\"\npassword = \"a-password\"\nallow = [\"ingest:s\"]\n{settings}\n\
         [[webhook]]\nname = \"github\"\nform = \"github\"\nsecret = \"{WEBHOOK_SECRET}\"\nallow = [\"ingest:s\"]\n{settings}\n\
         [[jwt_issuer]]\nissuer = \"i\"\naudience = [\"forebay\"]\nsecret = \"{SECRET}\"\nallow = [\"ingest:s\"]\n{settings}\n\
         [[access_key]]\nid = \"AKIDEXAMPLE\"\nsecret = \"a-signing-secret\"\nallow = [\"ingest:s\"]\n\
         [[api_key]]\nname = \"plan\"\nkey = \"an-api-key-of-a-plan\"\nallow = [\"tap:other\"]\n{settings}\n\
         [authorizer]\nurl = \"http://{authorizer}/\"\nidentity = [\"header:x-token\"]\n{settings}\n"
    )
}

/// So many records.
fn lines(count: usize) -> String {
    "{\"n\":1}\n".repeat(count)
}

/// One header by which somebody is known.
type Proof = (&'static str, String);

async fn put(server: &Server, (name, value): &Proof, body: String) -> (u16, Value) {
    let request = reqwest::Client::new().post(server.records("s")).header(*name, value);
    let response = request.header("content-type", "application/x-ndjson").body(body).send().await.unwrap();
    (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

fn signed(secret: &str, body: &str) -> Proof {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    ("x-hub-signature-256", format!("sha256={hex}"))
}

fn bearer(claims: Value) -> Proof {
    ("authorization", format!("Bearer {}", token(claims)))
}

/// Senders of all kinds by what they send, each with the name that they have in messages.
fn everybody(body: &str) -> Vec<(Proof, &'static str)> {
    use base64::Engine as _;
    let basic = base64::prelude::BASE64_STANDARD.encode("partner:a-password");
    vec![
        (("authorization", format!("Basic {basic}")), "partner"),
        (signed(WEBHOOK_SECRET, body), "github"),
        (bearer(json!({ "sub": "anna" })), "i#anna"),
        (bearer(json!({ "sub": "bert", "jti": "1" })), "i#bert"),
        (("x-token", "carla".to_owned()), "carla"),
        (("x-token", "dora".to_owned()), "dora"),
        (("x-token", "key:an-api-key-of-a-plan".to_owned()), "plan"),
    ]
}

#[tokio::test]
async fn every_kind_of_sender_has_buckets_of_its_own_that_a_reload_keeps() {
    let limit = "limit = { records_per_second = 1 }";
    let tables = tables(authorizer().await, limit);
    let server = Setup::pipeline(stream("s", 1)).node(&tables).start();
    let body = lines(10_000);
    // Whoever only says that they are somebody takes nothing of theirs.
    assert_eq!(put(&server, &signed("another-secret", &body), body.clone()).await.0, 401);
    for (proof, name) in everybody(&body) {
        // A full bucket takes any single request, and owes the rest of it for hours.
        let (status, answer) = put(&server, &proof, body.clone()).await;
        assert_eq!(status, 200, "{name}: {answer}");
    }
    let are_limited = async || {
        for (proof, name) in everybody("{}") {
            let (status, answer) = put(&server, &proof, "{}".to_owned()).await;
            assert_eq!((status, answer["code"].as_str()), (429, Some("rate_limited")), "{name}: {answer}");
            assert_eq!(answer["limit"], format!("principal {name}: records_per_second"));
        }
    };
    are_limited().await;
    let again = bearer(json!({ "sub": "anna", "jti": "another token" }));
    assert_eq!(put(&server, &again, "{}".to_owned()).await.0, 429, "the same subject");
    let node = server.folder().join("forebay.toml");
    let text = std::fs::read_to_string(&node).unwrap();
    let more = "[[basic_user]]\nname = \"more\"\npassword = \"p\"\nallow = [\"ingest:s\"]\n";
    std::fs::write(&node, text + more).unwrap();
    let reload = reqwest::Client::new().post(format!("http://{}/reload", server.admin));
    assert_eq!(reload.send().await.unwrap().status(), 200);
    are_limited().await;
    server.stop().assert_drained();
}

#[tokio::test]
async fn the_quota_of_everybody_goes_on_after_a_restart() {
    let authorizer = authorizer().await;
    let quota = "quota = { records = 10, period = \"month\" }";
    let setup = || Setup::pipeline(durable_stream("s", 1, "os")).node(&tables(authorizer, quota));
    let server = setup().start();
    let body = lines(6);
    for (proof, name) in everybody(&body) {
        assert_eq!(put(&server, &proof, body.clone()).await.0, 200, "{name}");
    }
    let stopped = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
    let server = setup().in_folder(stopped.folder).start();
    for (count, wanted) in [(5, 429), (4, 200), (1, 429)] {
        let body = lines(count);
        for (proof, name) in everybody(&body) {
            let (status, answer) = put(&server, &proof, body.clone()).await;
            assert_eq!(status, wanted, "{name} {count}: {answer}");
            if wanted == 429 {
                assert_eq!(answer["limit"], format!("principal {name}: quota.records"));
            }
        }
    }
    server.stop().assert_drained();
}

#[tokio::test]
async fn a_usage_key_that_is_nobodys_lets_nobody_in() {
    let server = Setup::pipeline(stream("s", 1)).node(&tables(authorizer().await, "")).start();
    let proof = ("x-token", "key:an-api-key-of-nobody".to_owned());
    assert_eq!(put(&server, &proof, "{}".to_owned()).await.0, 503);
    let stopped = server.stop();
    assert!(stopped.stderr.contains("usageIdentifierKey"), "{}", stopped.stderr);
    assert!(!stopped.stderr.contains("an-api-key-of"), "{}", stopped.stderr);
}

#[tokio::test]
async fn claims_and_context_are_in_the_records_and_nobody_makes_them_up() {
    let add = "[ingest.add]\nfield = \"/by\"\nfacts = [\"principal\", \"claim:tenant\", \"claim:level\", \
        \"claim:roles\", \"context:tenant\", \"context:level\", \"context:is_paid\", \"context:nested\"]\n";
    let tables = tables(authorizer().await, "").replace("admin = [", "tap = [\"none\"], admin = [");
    let server = Setup::pipeline(stream("s", 1) + add).node(&tables).start();
    let forged = "{\"by\":{\"claim\":{\"tenant\":\"root\"},\"context\":{\"tenant\":\"root\"}}}";
    let claims = json!({ "sub": "anna", "tenant": "a \"t\"", "level": 7, "roles": ["x"] });
    let proofs = [
        bearer(claims.clone()),
        bearer(claims),
        ("x-token", "carla".to_owned()),
        ("x-token", "carla".to_owned()),
        signed(WEBHOOK_SECRET, forged),
    ];
    for proof in &proofs {
        let (status, answer) = put(&server, proof, forged.to_owned()).await;
        assert_eq!(status, 200, "{answer}");
    }
    let (_, page) = server.get("/v1/streams/s/records?from=earliest").await;
    let records = page["records"].as_array().unwrap();
    let found: Vec<&Value> = records.iter().map(|record| &record["data"]["by"]).collect();
    let anna = json!({ "principal": "i#anna", "claim": { "tenant": "a \"t\"", "level": 7 } });
    let context = json!({ "tenant": "tenant of carla", "level": 3, "is_paid": true });
    let carla = json!({ "principal": "carla", "context": context });
    assert_eq!(found, [&anna, &anna, &carla, &carla, &json!({ "principal": "github" })], "{page}");
}

#[tokio::test]
async fn what_is_forged_is_not_on_record_as_theirs_whose_name_it_bears() {
    let server = Setup::pipeline(stream("s", 1)).node(&tables(authorizer().await, "")).start();
    let body = "{\"n\":1}";
    assert_eq!(put(&server, &signed("another-secret", body), body.to_owned()).await.0, 401);
    assert_eq!(put(&server, &signed(WEBHOOK_SECRET, body), body.to_owned()).await.0, 200);
    // Signed for another body, which the head tells: the signature is right, and the body is not.
    let curl = |words: &[&str]| {
        let output = std::process::Command::new("curl")
            .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"])
            .args(["--aws-sigv4", "aws:amz:us-east-1:execute-api", "--json", body])
            .args(words)
            .arg(server.records("s"))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let user = ["--user", "AKIDEXAMPLE:a-signing-secret"];
    let other_body = "x-amz-content-sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(curl(&[&user[..], &["-H", other_body]].concat()), "401");
    assert_eq!(curl(&["--user", "AKIDEXAMPLE:another"]), "401");
    assert_eq!(curl(&user), "200");
    let stopped = server.stop();
    let read = |name: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(stopped.path(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let of = |lines: &[Value], names: [&str; 4]| -> Vec<Value> {
        lines.iter().map(|line| names.iter().map(|name| line[*name].clone()).collect()).collect()
    };
    assert_eq!(
        of(&read("access.log"), ["status", "principal", "identity", "code"]),
        [
            json!([401, null, null, "unauthenticated"]),
            json!([200, "github", "hmac", null]),
            json!([401, null, null, "unauthenticated"]),
            json!([401, null, null, "unauthenticated"]),
            json!([200, "AKIDEXAMPLE", "signature_v4", null]),
        ]
    );
    let refused = of(&read("audit.log"), ["event", "principal", "claims", "identity"]);
    let by_webhook = json!(["refused", null, "github", "hmac"]);
    assert_eq!(refused.first(), Some(&by_webhook), "{refused:?}");
    assert!(refused.iter().all(|line| line[1].is_null()), "{refused:?}");
    assert!(refused.contains(&json!(["refused", null, "AKIDEXAMPLE", "signature_v4"])), "{refused:?}");
}
