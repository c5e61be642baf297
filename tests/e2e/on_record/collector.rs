//! A collector of traces and metrics in this process, which keeps what it is sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;

/// What is sent in one request: its path, and its body.
pub type Sent = (String, Value);

/// See the module.
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    sent: Arc<Mutex<Vec<Sent>>>,
    answers: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
    seen: Arc<Mutex<usize>>,
}

impl Collector {
    /// Takes everything.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sent, answers, seen) = (Arc::default(), Arc::default(), Arc::default());
        let collector = Self { address, sent, answers, seen };
        let (sent, answers, seen) =
            (Arc::clone(&collector.sent), Arc::clone(&collector.answers), Arc::clone(&collector.seen));
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (sent, answers, seen) = (Arc::clone(&sent), Arc::clone(&answers), Arc::clone(&seen));
                let service = service_fn(move |request| {
                    answer(request, Arc::clone(&sent), Arc::clone(&answers), Arc::clone(&seen))
                });
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(connection), service);
                tokio::spawn(serving);
            }
        });
        collector
    }

    /// Answers the next request with that status and `Retry-After`, and keeps nothing of it.
    pub fn refuses(&self, status: u16, retry_after: &'static str) {
        self.answers.lock().unwrap().push_back((status, retry_after));
    }

    /// Requests that have come, taken or not.
    pub fn seen(&self) -> usize {
        *self.seen.lock().unwrap()
    }

    /// What was taken.
    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// All spans that were taken.
    pub fn spans(&self) -> Vec<Value> {
        let bodies = self.sent().into_iter().filter(|(path, _)| path == "/base/v1/traces");
        let spans = bodies.map(|(_, body)| body["resourceSpans"][0]["scopeSpans"][0]["spans"].clone());
        spans.flat_map(|spans| spans.as_array().unwrap().clone()).collect()
    }

    /// The newest points of a metric.
    pub fn points(&self, name: &str, kind: &str) -> Option<Vec<Value>> {
        let bodies = self.sent().into_iter().filter(|(path, _)| path == "/base/v1/metrics");
        let metrics = bodies.last()?.1["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].clone();
        let metric = metrics.as_array()?.iter().find(|metric| metric["name"] == name)?.clone();
        Some(metric[kind]["dataPoints"].as_array()?.clone())
    }
}

async fn answer(
    request: Request<Incoming>,
    sent: Arc<Mutex<Vec<Sent>>>,
    answers: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
    seen: Arc<Mutex<usize>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.headers()["content-type"], "application/json");
    assert_eq!(request.headers()["x-collector-token"], "collector-secret");
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    *seen.lock().unwrap() += 1;
    if let Some((status, retry_after)) = answers.lock().unwrap().pop_front() {
        let response = Response::builder().status(status).header("retry-after", retry_after);
        return Ok(response.body(Full::default()).unwrap());
    }
    sent.lock().unwrap().push((path, serde_json::from_slice(&body).unwrap()));
    Ok(Response::new(Full::from("{\"partialSuccess\":{}}")))
}
