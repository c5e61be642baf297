//! Requests → a running node, however often it has to be asked.

use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;
use thiserror::Error;

use super::window::Request;
use crate::cli::node_key::{self, WrongKey};
use crate::cli::node_url::Unreachable;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::backoff::Backoff;
use crate::runtime::clock;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a node is asked again that does not answer, or says that it cannot take the records now.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest pause that a node may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read: a thousand refused records with a kilobyte each, and the shards.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What a node has said to a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Some or all records are in the stream.
    Taken {
        /// Where: shard, first and last number.
        landed: Vec<(ShardId, SequenceNumber, SequenceNumber)>,
        /// The others: their index in the request, and the code of the reason.
        refused: Vec<(usize, String)>,
    },
    /// None of them: index and code of each that is named.
    Refused(Vec<(usize, String)>),
    /// None of them, with the code for all.
    RefusedWhole(String),
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nothing has reached the node.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The request may have reached the node.
    #[error("no answer from {url} ({source}): run the same command again; what was sent is not sent twice")]
    Broken {
        /// Where.
        url: Url,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// It cannot take records now, and could not for a minute.
    #[error("{url} answers {status} ({code}) and goes on to: run the same command again later")]
    Busy {
        /// Where.
        url: Url,
        /// The status.
        status: u16,
        /// The code of the problem.
        code: String,
    },
    /// An answer that makes no sense.
    #[error("{url} answers {status} with something that is no answer of a node: is this the right address?")]
    Foreign {
        /// Where.
        url: Url,
        /// The status.
        status: u16,
    },
    /// There is no such stream.
    #[error("{url}: the node has no such stream; name one with --to")]
    NoStream {
        /// Where.
        url: Url,
    },
    /// It does not let the sender put records.
    #[error("{url} answers {status}: {detail}{}", node_key::advice(*.status))]
    NotLetIn {
        /// Where.
        url: Url,
        /// The status.
        status: u16,
        /// Its words.
        detail: String,
    },
    /// The key is none.
    #[error(transparent)]
    Key(#[from] WrongKey),
    /// The address is none.
    #[error("--url: {0}")]
    Url(String),
    /// There is no client.
    #[error("an HTTP client cannot be made ({0})")]
    Client(reqwest::Error),
}

impl ClientError {
    /// Whether it is known that nothing of the request was taken.
    pub fn is_void(&self) -> bool {
        match self {
            ClientError::Unreachable(_) | ClientError::NoStream { .. } | ClientError::NotLetIn { .. } => true,
            // Somebody else's refusal. With any other status it may have been handed on.
            ClientError::Foreign { status, .. } => (300..500).contains(status),
            _ => false,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    code: String,
    detail: String,
    accepted: Option<u64>,
    shards: Vec<ShardBody>,
    errors: Vec<ErrorBody>,
}

#[derive(Debug, Deserialize)]
struct ShardBody {
    shard: String,
    first: String,
    last: String,
}

#[derive(Debug, Deserialize)]
struct ErrorBody {
    index: usize,
    code: String,
}

/// Sends requests to one node.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
}

impl Client {
    /// For the node at `base`, such as `http://127.0.0.1:8080`. The key is in the environment.
    pub fn new(base: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ClientError> {
        let base =
            Url::parse(base).map_err(|error| ClientError::Url(format!("{base} is no URL ({error})")))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(ClientError::Url(format!("{base}: write http://HOST:PORT")));
        }
        let http =
            node_key::client_builder(env)?.timeout(REQUEST_TIMEOUT).build().map_err(ClientError::Client)?;
        Ok(Self { http, base })
    }

    /// Where it sends to.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Sends a request until the node has decided about it. Under the same idempotency key it is taken once.
    pub async fn send(&self, to: &str, request: &Request, key: &str) -> Result<Answer, ClientError> {
        let url = self.records_of(to);
        let (started, mut backoff) = (clock::monotonic(), Backoff::default());
        loop {
            let answered = self.send_once(&url, request, key).await;
            let (error, pause) = match answered {
                Ok(Said::Answer(answer)) => return Ok(answer),
                Ok(Said::Later { status, code, pause }) => {
                    let pause = pause.unwrap_or_else(|| backoff.next_pause());
                    (ClientError::Busy { url: url.clone(), status: status.as_u16(), code }, pause)
                }
                Err(error @ (ClientError::Unreachable(_) | ClientError::Broken { .. })) => {
                    (error, backoff.next_pause())
                }
                Err(error) => return Err(error),
            };
            if is_over(started, pause, &error) {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn records_of(&self, stream: &str) -> Url {
        let mut url = self.base.clone();
        // Of a URL that can be a base it is always possible.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "streams", stream, "records"]);
        }
        url
    }

    async fn send_once(&self, url: &Url, request: &Request, key: &str) -> Result<Said, ClientError> {
        let mut post = self.http.post(url.clone()).header(CONTENT_TYPE, request.content_type);
        post = post.header("Idempotency-Key", key).body(request.body.clone());
        if let Some(key) = &request.key {
            post = post.header("X-Partition-Key", key);
        }
        let broken = |source: reqwest::Error| match source.is_connect() {
            true => Unreachable { url: url.clone(), source }.into(),
            false => ClientError::Broken { url: url.clone(), source },
        };
        let mut response = post.send().await.map_err(broken)?;
        let (status, pause) = (response.status(), retry_after(&response));
        let mut content = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(broken)? {
            content.extend_from_slice(&piece);
            if content.len() > ANSWER_BYTES_MAX {
                return Err(ClientError::Foreign { url: url.clone(), status: status.as_u16() });
            }
        }
        let body = serde_json::from_slice(&content).ok();
        understand(status, pause, body, url)
    }
}

/// What an answer means.
#[derive(Debug)]
enum Said {
    Answer(Answer),
    /// Not now.
    Later {
        status: StatusCode,
        code: String,
        pause: Option<Duration>,
    },
}

fn understand(
    status: StatusCode,
    pause: Option<Duration>,
    body: Option<Body>,
    url: &Url,
) -> Result<Said, ClientError> {
    let foreign = || ClientError::Foreign { url: url.clone(), status: status.as_u16() };
    match status {
        // Those of a proxy in between are among them.
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Ok(later(status, pause, body)),
        status if status.is_server_error() => Ok(later(status, pause, body)),
        StatusCode::OK => {
            let Body { accepted, shards, errors, .. } = body.ok_or_else(foreign)?;
            accepted.ok_or_else(foreign)?;
            let landed = shards.iter().map(ShardBody::read).collect::<Option<_>>().ok_or_else(foreign)?;
            Ok(Said::Answer(Answer::Taken { landed, refused: refused(errors) }))
        }
        StatusCode::NOT_FOUND if body.as_ref().is_some_and(|body| body.code == "unknown_stream") => {
            Err(ClientError::NoStream { url: url.clone() })
        }
        // It is no word about the records.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let detail = body.unwrap_or_default().detail;
            Err(ClientError::NotLetIn { url: url.clone(), status: status.as_u16(), detail })
        }
        status if status.is_client_error() => {
            let Body { code, errors, .. } = body.filter(|body| !body.code.is_empty()).ok_or_else(foreign)?;
            Ok(Said::Answer(match errors.is_empty() {
                true => Answer::RefusedWhole(code),
                false => Answer::Refused(refused(errors)),
            }))
        }
        _ => Err(foreign()),
    }
}

fn later(status: StatusCode, pause: Option<Duration>, body: Option<Body>) -> Said {
    Said::Later { status, code: body.unwrap_or_default().code, pause }
}

impl ShardBody {
    fn read(&self) -> Option<(ShardId, SequenceNumber, SequenceNumber)> {
        let (first, last) = (self.first.parse().ok()?, self.last.parse().ok()?);
        Some((ShardId::parse(&self.shard)?, SequenceNumber(first), SequenceNumber(last)))
    }
}

fn refused(errors: Vec<ErrorBody>) -> Vec<(usize, String)> {
    errors.into_iter().map(|error| (error.index, error.code)).collect()
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// A node that was never reached is given less time than one that is at work.
fn is_over(started: Instant, pause: Duration, error: &ClientError) -> bool {
    let patience = match error {
        ClientError::Unreachable(_) => PATIENCE / 20,
        _ => PATIENCE,
    };
    started.elapsed() + pause > patience
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &str) -> Result<Said, ClientError> {
        let url = Url::parse("http://127.0.0.1:1/").unwrap();
        understand(StatusCode::from_u16(status).unwrap(), None, serde_json::from_str(body).ok(), &url)
    }

    #[test]
    fn answers_of_a_node_are_understood_and_those_of_others_are_not() {
        let taken = r#"{"accepted":1,"rejected":1,"shards":[{"shard":"shardId-000000000002","first":"7","last":"7","count":1}],
            "errors":[{"index":1,"code":"schema","message":"m"}]}"#;
        let Ok(Said::Answer(answer)) = said(200, taken) else { panic!() };
        let landed = vec![(ShardId(2), SequenceNumber(7), SequenceNumber(7))];
        assert_eq!(answer, Answer::Taken { landed, refused: vec![(1, "schema".to_owned())] });
        let all = r#"{"code":"all_rejected","accepted":0,"errors":[{"index":0,"code":"json","message":""}]}"#;
        let Ok(Said::Answer(answer)) = said(400, all) else { panic!() };
        assert_eq!(answer, Answer::Refused(vec![(0, "json".to_owned())]));
        let Ok(Said::Answer(answer)) = said(413, r#"{"code":"body_too_large"}"#) else { panic!() };
        assert_eq!(answer, Answer::RefusedWhole("body_too_large".to_owned()));
        assert!(matches!(said(401, "{\"code\":\"unauthenticated\"}"), Err(ClientError::NotLetIn { .. })));
        assert!(matches!(said(403, "a proxy"), Err(error @ ClientError::NotLetIn { .. }) if error.is_void()));
        assert!(matches!(said(503, "{\"code\":\"starting\"}"), Ok(Said::Later { .. })));
        assert!(matches!(said(429, "slow down"), Ok(Said::Later { .. })));
        assert!(matches!(said(404, "{\"code\":\"unknown_stream\"}"), Err(ClientError::NoStream { .. })));
        assert!(matches!(said(502, "<html>"), Ok(Said::Later { .. })));
        for (status, body) in [(200, "<html>"), (200, "{}"), (404, "nothing here"), (302, "{}")] {
            assert!(matches!(said(status, body), Err(ClientError::Foreign { .. })), "{status} {body}");
        }
    }

    /// A server that gives one answer after the other, and returns the requests that it got.
    fn scripted(answers: &[&str]) -> (String, std::thread::JoinHandle<Vec<String>>) {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers: Vec<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
        let served = std::thread::spawn(move || {
            let serve = |answer: &String| {
                let (mut socket, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !request.ends_with(b"{}\n") {
                    let read = socket.read(&mut buffer).unwrap();
                    request.extend_from_slice(&buffer[..read]);
                }
                socket.write_all(answer.as_bytes()).unwrap();
                String::from_utf8(request).unwrap()
            };
            answers.iter().map(serve).collect()
        });
        (url, served)
    }

    #[tokio::test]
    async fn a_busy_node_is_asked_again_with_the_same_request() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let busy = |status: &str| {
            format!("HTTP/1.1 {status}\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        };
        let body = r#"{"accepted":1,"rejected":0,"shards":[]}"#;
        let well =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        let answers = [&busy("429 Too Many Requests"), &busy("503 Service Unavailable"), &well];
        let (url, served) = scripted(&answers.map(String::as_str));
        let request = Request {
            rows: super::super::rows::Rows::of([0]),
            key: Some("a key".to_owned()),
            attempt: 1,
            content_type: "application/x-ndjson",
            body: b"{}\n".to_vec(),
        };
        let answer = Client::new(&url, &|_| None).unwrap().send("s", &request, "k1").await.unwrap();
        assert_eq!(answer, Answer::Taken { landed: Vec::new(), refused: Vec::new() });
        for request in served.join().unwrap() {
            let request = request.to_lowercase();
            for part in ["post /v1/streams/s/records", "idempotency-key: k1", "x-partition-key: a key"] {
                assert!(request.contains(part), "{request}");
            }
        }
    }

    #[test]
    fn the_path_of_a_proxy_is_kept() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::new("https://edge.example/forebay/", &|_| None).unwrap();
        assert_eq!(client.records_of("s.1").as_str(), "https://edge.example/forebay/v1/streams/s.1/records");
        for wrong in ["127.0.0.1:8080", "file:///tmp", "nothing"] {
            assert!(matches!(Client::new(wrong, &|_| None), Err(ClientError::Url(_))), "{wrong}");
        }
    }
}
