//! The admin port: `/metrics`, `/livez`, `/readyz`, `/reload`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use crate::edge::listen::socket::Peer;
use crate::edge::problem::Problem;
use crate::edge::visit::Visit;
use crate::pipeline::Pipelines;
use crate::pipeline::flush::Kept;
use crate::pipeline::reload::Asked;
use crate::runtime::tasks::Tasks;

/// Connections at a time: scrapers and probes, not users. More wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;

/// How long a client may take to send a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Binds the admin port.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves for ever. `ask` has the files read again.
pub async fn serve(listener: TcpListener, pipelines: Arc<Pipelines>, ask: mpsc::Sender<Asked>) {
    let connections = Tasks::new();
    loop {
        if connections.running() >= CONNECTIONS_MAX {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        match listener.accept().await {
            Ok((socket, from)) => {
                let peer = Peer { address: Some(from), ..Peer::default() };
                connections.spawn(connection((socket, peer), Arc::clone(&pipelines), ask.clone()));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn connection((socket, peer): (TcpStream, Peer), pipelines: Arc<Pipelines>, ask: mpsc::Sender<Asked>) {
    let peer = Arc::new(peer);
    let service = service_fn(move |request: Request<Incoming>| {
        let (pipelines, peer, ask) = (Arc::clone(&pipelines), Arc::clone(&peer), ask.clone());
        async move {
            let (head, _) = request.into_parts();
            Ok::<_, Infallible>(answer(&pipelines, (&head, &peer), &ask).await)
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    // A probe that hangs up early is its own affair.
    let _ = builder.serve_connection(TokioIo::new(socket), service).await;
}

async fn answer(
    pipelines: &Pipelines,
    (head, peer): (&Parts, &Peer),
    ask: &mpsc::Sender<Asked>,
) -> Response<Full<Bytes>> {
    if let Some(change) = Change::of(head.uri.path()) {
        let visit = pipelines.visit(head, peer);
        return match (pipelines.enter_admin((head, peer), &visit).await, change) {
            (Err(problem), _) => refused(&problem, &visit),
            (Ok(()), Change::Reload) => reload((pipelines, ask), &visit, head).await,
            (Ok(()), Change::Flush) => flush(pipelines, &visit, head),
        };
    }
    if head.method != Method::GET && head.method != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned());
    }
    match head.uri.path() {
        "/metrics" => {
            text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", pipelines.render_metrics())
        }
        "/livez" => text(StatusCode::OK, "text/plain", "ok\n".to_owned()),
        "/readyz" => readyz(pipelines),
        _ => text(
            StatusCode::NOT_FOUND,
            "text/plain",
            "there are /metrics, /livez, /readyz, /reload and /cache/flush\n".to_owned(),
        ),
    }
}

/// What can be asked for besides looking at something.
#[derive(Clone, Copy)]
enum Change {
    Reload,
    Flush,
}

impl Change {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/reload" => Some(Change::Reload),
            "/cache/flush" => Some(Change::Flush),
            _ => None,
        }
    }

    /// Why a request asks for none, although its path does.
    fn refusal(head: &Parts) -> Option<(StatusCode, &'static str)> {
        if head.method != Method::POST {
            return Some((StatusCode::METHOD_NOT_ALLOWED, "only POST"));
        }
        // No page of whoever's may have it done by the browser of an operator.
        let is_of_page = head.headers.contains_key(header::ORIGIN);
        is_of_page.then_some((StatusCode::FORBIDDEN, "not for pages in browsers"))
    }
}

/// Why a request for a change is not let in.
fn refused(problem: &Problem, visit: &Visit) -> Response<Full<Bytes>> {
    let document = String::from_utf8_lossy(&problem.document(Some(visit.id.as_str()))).into_owned();
    let mut response = text(problem.status(), "application/problem+json", document);
    if let Problem::Unauthenticated { challenge: Some(challenge), .. } = problem {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.clone());
    }
    response
}

/// Has the files read again, and tells what has changed or why nothing has.
async fn reload(
    (pipelines, ask): (&Pipelines, &mpsc::Sender<Asked>),
    visit: &Visit,
    head: &Parts,
) -> Response<Full<Bytes>> {
    let refuse = |status, why: &str| {
        let body = serde_json::json!({ "reloaded": false, "error": why });
        text(status, "application/json", format!("{body}\n"))
    };
    if let Some((status, why)) = Change::refusal(head) {
        return refuse(status, why);
    }
    let (asked, outcome) = oneshot::channel();
    if ask.try_send(asked).is_err() {
        return refuse(
            StatusCode::CONFLICT,
            "the files are being read again already, or the node does not serve",
        );
    }
    let outcome = outcome.await;
    if let Ok(outcome) = &outcome {
        pipelines.note_reload(Some(visit), outcome);
    }
    match outcome {
        Ok(Ok(changes)) => {
            let body = serde_json::json!({ "reloaded": true, "changes": changes });
            text(StatusCode::OK, "application/json", format!("{body}\n"))
        }
        Ok(Err(error)) => refuse(StatusCode::CONFLICT, &error.to_string()),
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the node stops"),
    }
}

/// Forgets what is kept to save asking again, and tells how much that was.
fn flush(pipelines: &Pipelines, visit: &Visit, head: &Parts) -> Response<Full<Bytes>> {
    let kept = match Change::refusal(head) {
        Some((status, why)) => Err((status, why.to_owned())),
        None => {
            let named = Kept::named(head.uri.query().unwrap_or_default());
            named.map_err(|why| (StatusCode::BAD_REQUEST, why))
        }
    };
    let (status, body) = match kept {
        Ok(kept) => (StatusCode::OK, serde_json::json!({ "flushed": pipelines.flush(&kept, visit) })),
        Err((status, why)) => (status, serde_json::json!({ "flushed": {}, "error": why })),
    };
    text(status, "application/json", format!("{body}\n"))
}

fn readyz(pipelines: &Pipelines) -> Response<Full<Bytes>> {
    let reasons = pipelines.unready();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let phase = pipelines.phases.current().as_str();
    let body = serde_json::json!({ "ready": reasons.is_empty(), "phase": phase, "reasons": reasons });
    text(status, "application/json", format!("{body}\n"))
}

fn text(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
