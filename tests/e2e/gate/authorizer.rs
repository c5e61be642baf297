//! A service that is asked who a request is from.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::assert_refused;
use crate::server::{Server, Setup, stream};

/// In this process. It answers by the token that it is shown.
struct Service {
    address: SocketAddr,
    /// What it was asked.
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Service {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let service = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let asked = Arc::clone(&service.asked);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let asked = Arc::clone(&asked);
                let answer = service_fn(move |request| answer(request, Arc::clone(&asked)));
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(connection), answer));
            }
        });
        service
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    asked: Arc<Mutex<Vec<Value>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.headers()["x-secret"], "of-the-authorizer");
    let question: Value = serde_json::from_slice(&request.collect().await.unwrap().to_bytes()).unwrap();
    asked.lock().unwrap().push(question.clone());
    let policy = |effect: &str, resource: &str| {
        let statement = json!([{ "Effect": effect, "Action": "execute-api:Invoke", "Resource": resource }]);
        json!({ "principalId": "lambda", "policyDocument": { "Version": "2012-10-17", "Statement": statement } })
    };
    let token = question["identity"]["header:authorization"].as_str().unwrap();
    let (status, text) = match token.trim_start_matches("Bearer ") {
        "grants" => (
            200,
            json!({ "allow": true, "principal": "anna", "grants": ["ingest:s"], "ttl": 60 }).to_string(),
        ),
        "bare" => (200, json!({ "isAuthorized": true }).to_string()),
        "lambda" => (200, policy("Allow", "arn:aws:execute-api:*/POST/v1/streams/s/*").to_string()),
        "lambda-no" => (200, policy("Deny", "*").to_string()),
        "no" => (200, json!({ "allow": false }).to_string()),
        "nobody" => (401, String::new()),
        "forbidden" => (403, String::new()),
        "broken" => (200, "{\"allow\":true".to_owned()),
        "both" => (200, json!({ "allow": true, "isAuthorized": false }).to_string()),
        "unless" => (200, json!({ "allow": true, "unless": "it rains" }).to_string()),
        "endless" => (200, format!("{{\"allow\":true}}{}", " ".repeat(1 << 20))),
        "moved" => (302, json!({ "allow": true }).to_string()),
        "ill" => (500, json!({ "allow": true }).to_string()),
        "slow" => std::future::pending().await,
        other => panic!("{other}"),
    };
    let response = Response::builder().status(status).header("location", "/");
    Ok(response.body(Full::new(Bytes::from(text))).unwrap())
}

fn start(address: SocketAddr) -> Server {
    let kinds = "[\"http\"]";
    let tables = format!(
        "[auth]\ningest = {kinds}\ntap = {kinds}\nadmin = {kinds}\n\
         [authorizer]\nurl = \"http://{address}/authorize\"\ntimeout = \"1s\"\nheaders = {{ X-Secret = \"of-the-authorizer\" }}\n"
    );
    Setup::pipeline(stream("s", 1)).and_pipeline("other", stream("other", 1)).node(&tables).start()
}

async fn call(server: &Server, method: &str, path: &str, token: &str) -> (u16, Value) {
    let url = format!("http://{}{path}", server.address);
    let request = reqwest::Client::new().request(method.parse().unwrap(), url).bearer_auth(token);
    let response = request.body(if method == "POST" { "{\"n\":1}" } else { "" }).send().await.unwrap();
    let (status, retry) = (response.status().as_u16(), response.headers().contains_key("retry-after"));
    assert_eq!(status == 503, retry, "{token}");
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

const RECORDS: &str = "/v1/streams/s/records";

#[tokio::test]
async fn it_is_asked_once_for_each_who_and_what_and_its_word_counts() {
    let service = Service::start().await;
    let server = start(service.address);
    for _ in 0..3 {
        assert_eq!(call(&server, "POST", RECORDS, "grants").await.0, 200);
    }
    let asked = service.asked();
    let [question] = asked.as_slice() else { panic!("{asked:?}") };
    let arn = "arn:aws:execute-api:us-east-1:000000000000:forebay/$default/POST/v1/streams/s/records";
    let wanted = json!({
        "type": "REQUEST", "methodArn": arn, "method": "POST", "path": RECORDS, "route": "records", "action": "ingest",
        "stream": "s", "client": "127.0.0.1", "identity": { "header:authorization": "Bearer grants" },
    });
    assert_eq!(question, &wanted);
    let refused = call(&server, "GET", RECORDS, "grants").await;
    assert_refused(refused, 403, "'anna' may not read 's'");
    for token in ["bare", "lambda"] {
        assert_eq!(call(&server, "POST", RECORDS, token).await.0, 200, "{token}");
    }
    // Each decision is for what was asked.
    assert_eq!(call(&server, "GET", RECORDS, "bare").await.0, 200);
    assert_refused(call(&server, "GET", RECORDS, "lambda").await, 403, "the authorizer does not allow it");
    for token in ["no", "lambda-no", "forbidden"] {
        assert_refused(call(&server, "POST", RECORDS, token).await, 403, "the authorizer does not allow it");
    }
    let nobody = call(&server, "POST", RECORDS, "nobody").await;
    assert_refused(nobody, 401, "the authorizer does not know who has sent this");
    let calls = service.asked().len();
    let response = reqwest::Client::new().post(server.records("s")).body("{}").send().await.unwrap();
    assert_eq!((response.status().as_u16(), service.asked().len()), (401, calls), "nothing to ask about");
    assert!(server.metric("forebay_authorizer_cached_total", "").await >= 2.0);
    assert_eq!(server.metric("forebay_authorizer_calls_total", "result=\"deny\"").await, 5.0);
    let stopped = server.stop();
    stopped.assert_drained();
    assert!(!stopped.stderr.contains("of-the-authorizer"), "{}", stopped.stderr);
}

#[tokio::test]
async fn what_an_operator_has_forgotten_is_asked_again() {
    let service = Service::start().await;
    let server = start(service.address);
    for _ in 0..2 {
        assert_eq!(call(&server, "POST", RECORDS, "grants").await.0, 200);
    }
    assert_eq!(service.asked().len(), 1);
    let url = format!("http://{}/cache/flush?which=authorizer", server.admin);
    let flush = async |token: &str| {
        let response = reqwest::Client::new().post(&url).bearer_auth(token).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    // Who may do this is asked of the service as well: that is one decision more.
    let told = "{\"flushed\":{\"authorizer\":{\"decisions\":2}}}\n".to_owned();
    assert_eq!(flush("bare").await, (200, told));
    assert_eq!(flush("no").await.0, 403);
    assert_eq!(service.asked().len(), 3);
    for _ in 0..2 {
        assert_eq!(call(&server, "POST", RECORDS, "grants").await.0, 200);
    }
    assert_eq!(service.asked().len(), 4);
}

#[tokio::test]
async fn requests_of_the_same_wait_for_one_call() {
    let service = Service::start().await;
    let server = start(service.address);
    let calls = (0..50).map(|_| call(&server, "POST", RECORDS, "grants"));
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(|(status, _)| *status == 200));
    assert_eq!(service.asked().len(), 1);
}

#[tokio::test]
async fn down_slow_or_lying_it_lets_nobody_in() {
    let service = Service::start().await;
    let server = start(service.address);
    for token in ["broken", "both", "unless", "endless", "moved", "ill", "slow"] {
        let (status, problem) = call(&server, "POST", RECORDS, token).await;
        assert_eq!((status, problem["code"].as_str()), (503, Some("identity_unavailable")), "{token}");
    }
    assert_eq!(call(&server, "POST", RECORDS, "bare").await.0, 200, "others are not kept waiting");
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = start(nowhere);
    assert_eq!(call(&server, "POST", RECORDS, "bare").await.0, 503);
    assert_eq!(server.metric("forebay_authorizer_calls_total", "result=\"unavailable\"").await, 1.0);
    assert_eq!(server.metric("forebay_ingest_records_total", "accepted").await, 0.0);
}
