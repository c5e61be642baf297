//! The admin port: `/metrics`, `/livez`, `/readyz`, `/reload`, wherever it listens.
//!
//! Connections come in through the same doors as those of clients, with their time-outs, TLS and strict reading. They have
//! places of their own, so that however many clients there are an operator gets in; and they are served by the main
//! thread, until the very end.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::checked::Listener;
use crate::edge::desk::Desk;
use crate::edge::listen::accept::Arrival;
use crate::edge::listen::socket::Peer;
use crate::edge::listen::{Alone, ListenError, Listeners};
use crate::edge::problem::Problem;
use crate::edge::reply::Body;
use crate::edge::upgrade::Upgrade;
use crate::edge::visit::Visit;
use crate::edge::{Edge, check_size, connection, strict};
use crate::pipeline::Pipelines;
use crate::pipeline::flush::Kept;
use crate::pipeline::reload::Asked;
use crate::runtime::tasks::Tasks;

/// Connections at a time: scrapers and probes, not users. More wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;

/// How long it is until somebody looks for a free place again, where all are taken.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// The same where the process is out of file descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Binds the admin port at all its places.
///
/// # Errors
/// The first place that cannot be had.
pub fn bind(places: &[Listener]) -> Result<Listeners, ListenError> {
    Listeners::bind(places, 1)
}

/// What answers its requests.
#[derive(Clone)]
pub struct Operators {
    pipelines: Arc<Pipelines>,
    ask: mpsc::Sender<Asked>,
}

impl Operators {
    /// About `pipelines`. `ask` has the files read again.
    pub fn new(pipelines: Arc<Pipelines>, ask: mpsc::Sender<Asked>) -> Self {
        Self { pipelines, ask }
    }

    /// Serves one place for ever. `connections` are those of all places.
    pub async fn serve(self, place: Alone, connections: Tasks) {
        // Nobody is told to stop: the port is there until the process ends.
        let stop = watch::Sender::new(false);
        loop {
            if connections.running() >= CONNECTIONS_MAX {
                tokio::time::sleep(FULL_PAUSE).await;
                continue;
            }
            match place.listener.accept().await {
                Ok((socket, address)) => {
                    let door = Arc::clone(&place.door);
                    let arrival = Arrival { socket, address, door, member: None, place: None };
                    let edge = Arc::clone(self.pipelines.edge());
                    connections.spawn(connection::serve(edge, arrival, self.clone(), stop.subscribe()));
                }
                Err(_) => tokio::time::sleep(EXHAUSTED_PAUSE).await,
            }
        }
    }
}

impl Desk for Operators {
    async fn answer(
        &self,
        edge: &Arc<Edge>,
        peer: &Peer,
        request: Request<Incoming>,
        _: &Upgrade,
    ) -> Response<Body> {
        let (head, _) = request.into_parts();
        let visit = self.pipelines.visit(&head, peer);
        let read =
            check_size(edge, &head).and_then(|()| strict::head::check(&head).map_err(Problem::Ambiguous));
        match read {
            Ok(()) => answer(&self.pipelines, (&head, peer), &visit, &self.ask).await,
            Err(problem) => problem.into_response_over(head.version, &visit.id),
        }
    }
}

async fn answer(
    pipelines: &Pipelines,
    (head, peer): (&Parts, &Peer),
    visit: &Visit,
    ask: &mpsc::Sender<Asked>,
) -> Response<Body> {
    if let Some(change) = Change::of(head.uri.path()) {
        return match (pipelines.enter_admin((head, peer), visit).await, change) {
            (Err(problem), _) => problem.into_response(&visit.id),
            (Ok(()), Change::Reload) => reload((pipelines, ask), visit, head).await,
            (Ok(()), Change::Flush) => flush(pipelines, visit, head),
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
        "/shards" => shards(pipelines),
        _ => text(
            StatusCode::NOT_FOUND,
            "text/plain",
            "there are /metrics, /livez, /readyz, /shards, /reload and /cache/flush\n".to_owned(),
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

/// Has the files read again, and tells what has changed or why nothing has.
async fn reload(
    (pipelines, ask): (&Pipelines, &mpsc::Sender<Asked>),
    visit: &Visit,
    head: &Parts,
) -> Response<Body> {
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
fn flush(pipelines: &Pipelines, visit: &Visit, head: &Parts) -> Response<Body> {
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

fn readyz(pipelines: &Pipelines) -> Response<Body> {
    let reasons = pipelines.unready();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let phase = pipelines.phases.current().as_str();
    let body = serde_json::json!({ "ready": reasons.is_empty(), "phase": phase, "reasons": reasons });
    text(status, "application/json", format!("{body}\n"))
}

/// Which shards this node delivers, of deliveries that nodes share.
fn shards(pipelines: &Pipelines) -> Response<Body> {
    let body = serde_json::json!({ "deliveries": pipelines.shared_reports() });
    text(StatusCode::OK, "application/json", format!("{body}\n"))
}

fn text(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
