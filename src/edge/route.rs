//! Method and path → handler, with what every answer gets: its id, metrics, CORS, a place on record.

mod dispatch;

use std::sync::{Arc, OnceLock};

use http::{HeaderValue, Method, Request, Response, header, request};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use metrics::{Counter, Histogram};

use super::aws::{self, Target};
use super::dead_letters::View;
use super::gate::Entry;
use super::gate::facts::Facts;
use super::gate::throttle::charge::Charge;
use super::gate::throttle::measure::{Cost, Flow};
use super::identity::policy::Action;
use super::ingest::Told;
use super::listen::socket::Peer;
use super::problem::Problem;
use super::reply::Body;
use super::upgrade::{Leaving, Upgrade};
use super::visit::Visit;
use super::{Edge, Intake, body, clicks, cors, strict};
use crate::config::checked::CachedRoute;
use crate::config::limits::HEADERS_MAX;
use crate::runtime::clock;
use crate::tap;
use crate::telemetry::metrics::Registry;
use crate::telemetry::request_id;

/// What a path stands for. The name is the `route` label of the metrics, so that paths cannot multiply them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route<'a> {
    Records(&'a str),
    /// Records that are told by parameters.
    Click(clicks::Kind, &'a str),
    /// The same two by another way in: the stage and the stream.
    Staged(&'a str, &'a str, Told),
    Stream(&'a str),
    Shards(&'a str),
    Cursors(&'a str),
    Cursor(&'a str, &'a str),
    DeadLetters(View, &'a str),
    Streams,
    Aws(Target),
    Unknown,
}

/// Routes, [`Route::index`] being below.
const ROUTES: usize = 10 + Target::COUNT;
/// Status codes that the edge answers with; the last stands for any other.
const CODES: [u16; 19] =
    [101, 200, 201, 204, 304, 400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 431, 500, 503, 0];

impl<'a> Route<'a> {
    fn of(head: &'a request::Parts) -> Self {
        match (head.uri.path(), &head.method, Target::of(&head.headers)) {
            ("/", &Method::POST, Some(target)) => Route::Aws(target),
            (path, ..) if strict::head::is_plain(path) => Route::of_path(path),
            _ => Route::Unknown,
        }
    }

    fn of_path(path: &'a str) -> Self {
        let Some(rest) = path.strip_prefix("/v1/streams") else { return Route::of_stage(path) };
        let mut segments = rest.strip_prefix('/').unwrap_or(rest).splitn(4, '/');
        match (segments.next().unwrap_or_default(), segments.next(), segments.next(), segments.next()) {
            ("", None, ..) => Route::Streams,
            ("", ..) => Route::Unknown,
            _ if !rest.starts_with('/') => Route::Unknown,
            (stream, Some("records"), None, _) => Route::Records(stream),
            (stream, Some("pixel.gif"), None, _) => Route::Click(clicks::Kind::Pixel, stream),
            (stream, Some("event"), None, _) => Route::Click(clicks::Kind::Event, stream),
            (stream, Some("shards"), None, _) => Route::Shards(stream),
            (stream, Some("dead_letters"), None, _) => Route::DeadLetters(View::Page, stream),
            (stream, Some("dead_letters"), Some("summary"), None) => {
                Route::DeadLetters(View::Summary, stream)
            }
            (stream, Some("cursors"), None, _) => Route::Cursors(stream),
            (stream, Some("cursors"), Some(cursor), None) => Route::Cursor(stream, cursor),
            (stream, None, ..) => Route::Stream(stream),
            _ => Route::Unknown,
        }
    }

    /// `/STAGE/streams/STREAM/…`.
    fn of_stage(path: &'a str) -> Self {
        let mut segments = path.splitn(5, '/');
        let first = [segments.next(), segments.next(), segments.next(), segments.next(), segments.next()];
        let [Some(""), Some(stage), Some("streams"), Some(stream), Some(last)] = first else {
            return Route::Unknown;
        };
        let told = match last {
            "records" => Told::Records,
            "pixel.gif" => Told::Click(clicks::Kind::Pixel),
            "event" => Told::Click(clicks::Kind::Event),
            _ => return Route::Unknown,
        };
        if stage.is_empty() || stream.is_empty() {
            Route::Unknown
        } else {
            Route::Staged(stage, stream, told)
        }
    }

    /// What metrics take it for: by another way in it is the same.
    fn measured(self) -> Self {
        match self {
            Route::Staged(_, stream, Told::Records) => Route::Records(stream),
            Route::Staged(_, stream, Told::Click(kind)) => Route::Click(kind, stream),
            other => other,
        }
    }

    fn index(self) -> usize {
        match self.measured() {
            Route::Records(_) | Route::Staged(..) => 0,
            Route::Stream(_) => 1,
            Route::Shards(_) => 2,
            Route::Streams => 3,
            Route::Unknown => 4,
            Route::Cursors(_) => 5,
            Route::Cursor(..) => 6,
            Route::Click(clicks::Kind::Pixel, _) => 7,
            Route::Click(clicks::Kind::Event, _) => 8,
            Route::DeadLetters(..) => 9,
            Route::Aws(target) => 10 + target.index(),
        }
    }

    /// The label.
    fn name(self) -> &'static str {
        match self.measured() {
            Route::Records(_) | Route::Staged(..) => "records",
            Route::Click(clicks::Kind::Pixel, _) => "pixel",
            Route::Click(clicks::Kind::Event, _) => "event",
            Route::Stream(_) => "stream",
            Route::Shards(_) => "shards",
            Route::Cursors(_) => "cursors",
            Route::Cursor(..) => "cursor",
            Route::DeadLetters(..) => "dead_letters",
            Route::Streams => "streams",
            Route::Unknown => "unknown",
            Route::Aws(target) => target.name(),
        }
    }

    /// The stream that its path names.
    fn stream(self) -> Option<&'a str> {
        match self {
            Route::Records(stream)
            | Route::Click(_, stream)
            | Route::Staged(_, stream, _)
            | Route::Stream(stream)
            | Route::Shards(stream)
            | Route::Cursors(stream)
            | Route::DeadLetters(_, stream)
            | Route::Cursor(stream, _) => Some(stream),
            Route::Streams | Route::Aws(_) | Route::Unknown => None,
        }
    }

    /// What a request asks for. Clients of AWS services are asked who they are by their own protocol, and what is not
    /// there may be asked for by everybody.
    fn action(self, head: &request::Parts) -> Option<Action> {
        match (self, &head.method) {
            (Route::Aws(_) | Route::Unknown, _) | (_, &Method::OPTIONS) => None,
            // What it reads or sends besides is looked at when it is known.
            (Route::Click(..) | Route::Staged(..), _) => Some(Action::Ingest),
            (Route::Records(_), _) if tap::websocket::is_wanted(head) && tap::query::reads_nothing(head) => {
                Some(Action::Ingest)
            }
            (Route::Records(_), _) if tap::websocket::is_wanted(head) => Some(Action::Tap),
            (Route::Records(_), &Method::POST) => Some(Action::Ingest),
            (Route::Shards(_), &Method::POST) => Some(Action::Admin),
            (Route::DeadLetters(..), _) => Some(Action::DeadLetters),
            _ => Some(Action::Tap),
        }
    }

    /// In which direction records go.
    fn flow(self, action: Option<Action>) -> Flow {
        match (self, action) {
            (Route::Aws(target), _) if target.brings_records() => Flow::Ingest,
            (_, Some(Action::Ingest)) => Flow::Ingest,
            _ => Flow::Tap,
        }
    }

    /// What the head of a request that brings records tells of their cost.
    fn announced(self, head: &request::Parts, body: &Incoming) -> Cost {
        let sent = body.size_hint().exact();
        match self.measured() {
            Route::Click(..) => {
                let query = head.uri.query().map_or(0, str::len) as u64;
                Cost::announced(sent.map(|sent| sent + query))
            }
            _ if head.method == Method::POST => Cost::announced(sent),
            // A WebSocket pays for each of its messages.
            _ => Cost::READ,
        }
    }

    /// What of the cache its answer is, if it may be kept there.
    fn cached(self, head: &request::Parts) -> Option<CachedRoute> {
        match self {
            _ if head.method != Method::GET && head.method != Method::HEAD => None,
            Route::Streams => Some(CachedRoute::Streams),
            Route::Stream(_) => Some(CachedRoute::Stream),
            Route::Shards(_) => Some(CachedRoute::Shards),
            Route::Records(_) => {
                let stays = tap::websocket::is_wanted(head) || tap::events::are_wanted(&head.headers);
                (!stays).then_some(CachedRoute::Records)
            }
            _ => None,
        }
    }

    /// Whether a handler reads the body, and asks whether it is its sender's.
    fn reads_body(self, method: &Method) -> bool {
        match self {
            Route::Records(_) | Route::Shards(_) | Route::Click(..) | Route::Staged(..) => {
                method == Method::POST
            }
            Route::Cursor(..) => method == Method::PUT,
            _ => false,
        }
    }

    fn allow(self) -> &'static str {
        match self {
            Route::Staged(_, _, Told::Records) => "POST, OPTIONS",
            Route::Staged(_, _, Told::Click(clicks::Kind::Event)) => "GET, HEAD, POST, OPTIONS",
            Route::Records(_) | Route::Shards(_) | Route::Click(clicks::Kind::Event, _) => {
                "GET, HEAD, POST, OPTIONS"
            }
            Route::Cursor(..) => "GET, HEAD, PUT, DELETE, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }
}

/// The name of every route.
pub fn names() -> impl Iterator<Item = &'static str> {
    let native = [
        "records",
        "pixel",
        "event",
        "stream",
        "shards",
        "cursors",
        "cursor",
        "dead_letters",
        "streams",
        "unknown",
    ];
    native.into_iter().chain(Target::all().map(Target::name))
}

/// Handles of the request metrics, made when they are first needed.
pub struct RouteMetrics {
    registry: Registry,
    requests: Box<[OnceLock<Counter>]>,
    durations: [OnceLock<Histogram>; ROUTES],
    refused: [OnceLock<Counter>; Problem::CODES.len()],
}

impl std::fmt::Debug for RouteMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteMetrics").finish_non_exhaustive()
    }
}

impl RouteMetrics {
    /// None made yet.
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            requests: (0..ROUTES * CODES.len()).map(|_| OnceLock::new()).collect(),
            durations: std::array::from_fn(|_| OnceLock::new()),
            refused: std::array::from_fn(|_| OnceLock::new()),
        }
    }

    /// Counters of records that one way in has accepted and refused.
    pub fn stage_records(&self, stream: &str, stage: &str) -> [Counter; 2] {
        ["accepted", "rejected"].map(|verdict| self.registry.stage_records(stream, stage, verdict))
    }

    fn refuse(&self, code: &'static str) {
        if let Some(index) = Problem::CODES.iter().position(|&known| known == code) {
            self.refused[index].get_or_init(|| self.registry.ingest_refused(code)).increment(1);
        }
    }

    fn observe(&self, route: Route<'_>, status: u16, seconds: f64) {
        let (route, name) = (route.index(), route.name());
        let code = CODES.iter().position(|&code| code == status).unwrap_or(CODES.len() - 1);
        let slot = &self.requests[route * CODES.len() + code];
        slot.get_or_init(|| self.registry.http_requests(name, CODES[code])).increment(1);
        self.durations[route].get_or_init(|| self.registry.http_duration(name)).record(seconds);
    }
}

/// Answers one request.
pub async fn answer(
    edge: &Arc<Edge>,
    peer: &Peer,
    request: Request<Incoming>,
    upgrade: &Upgrade,
) -> Response<Body> {
    let started = clock::monotonic();
    let (mut head, body) = request.into_parts();
    // hyper puts it there for requests that ask to leave HTTP.
    let leaving = head.extensions.remove::<OnUpgrade>().map(|on_upgrade| Leaving { on_upgrade, upgrade });
    let origin = cors::allowed_origin(edge.server.cors.as_ref(), &head.headers);
    let route = Route::of(&head);
    let visit = Visit::begin(edge, peer, &head, started);
    let (action, stream) = (route.action(&head), route.stream());
    let (client, name, noted) = (visit.client, route.name(), Some(&visit));
    let facts = Facts { head: &head, peer, client, route: name, action, stream, visit: noted };
    let rest = Rest { body, leaving, visit: &visit };
    let mut response = match pass(edge, route, &facts, rest).await {
        Ok(response) => response,
        Err(problem) => {
            if matches!(route.measured(), Route::Records(_) | Route::Click(..)) {
                edge.route_metrics.refuse(problem.code());
            }
            visit.refuse_by(edge, &problem, &facts);
            problem.into_response_over(facts.head.version, &visit.id)
        }
    };
    if matches!(route.measured(), Route::Click(..)) {
        // Of two that are the same, both have happened.
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response.headers_mut().insert(request_id::HEADER, visit.id.header());
    if matches!(route, Route::Aws(_)) {
        response.headers_mut().insert(request_id::AWS_HEADER, visit.id.header());
    }
    if let Some(origin) = origin {
        cors::decorate(&mut response, origin, edge.server.cors.as_ref());
    }
    edge.route_metrics.observe(route, response.status().as_u16(), visit.elapsed().as_secs_f64());
    visit.conclude(edge, &facts, &response);
    response
}

/// What comes with a request besides its facts.
struct Rest<'a> {
    body: Incoming,
    leaving: Option<Leaving<'a>>,
    /// What is noted of it.
    visit: &'a Visit,
}

/// Through the gate, and on.
async fn pass(
    edge: &Arc<Edge>,
    route: Route<'_>,
    facts: &Facts<'_>,
    mut rest: Rest<'_>,
) -> Result<Response<Body>, Problem> {
    check_size(edge, facts.head)?;
    let passed = match enter(edge, facts).await {
        Ok(entry) => Passed::new(edge, route, entry, (facts, &rest.body)),
        Err(problem) => Err(problem),
    };
    match passed {
        Ok(passed) => dispatch::dispatch(edge, route, passed, facts.head, rest).await,
        Err(problem) => {
            let bytes_max = edge.server.body_bytes_max;
            body::discard_refused(&facts.head.headers, &mut rest.body, bytes_max).await;
            match (route, problem) {
                (_, problem @ Problem::Ambiguous(_)) => Err(problem),
                (Route::Aws(_), problem) => {
                    rest.visit.refuse_by(edge, &problem, facts);
                    Ok(aws::refuse(facts.head, problem))
                }
                (_, problem) => Err(problem),
            }
        }
    }
}

async fn enter(edge: &Edge, facts: &Facts<'_>) -> Result<Entry, Problem> {
    strict::head::check(facts.head).map_err(Problem::Ambiguous)?;
    let gate = edge.gate();
    gate.judge(facts)?;
    gate.enter(facts).await
}

/// A request that was let in and is not too much.
struct Passed {
    entry: Entry,
    charge: Charge,
    /// The stream that its path names.
    intake: Result<Arc<Intake>, Problem>,
}

impl Passed {
    /// Takes what the head tells of its cost.
    fn new(
        edge: &Edge,
        route: Route<'_>,
        entry: Entry,
        (facts, body): (&Facts<'_>, &Incoming),
    ) -> Result<Self, Problem> {
        let intake = facts.stream.map_or(Err(Problem::NotFound), |name| edge.intake(name));
        let flow = route.flow(facts.action);
        let cost = if flow == Flow::Ingest { route.announced(facts.head, body) } else { Cost::READ };
        let stream = intake.as_ref().ok().and_then(|intake| intake.account.as_ref());
        let charge = entry.charge(stream, flow, cost)?;
        Ok(Self { entry, charge, intake })
    }
}

/// Refuses a head that is larger than heads may be: hyper counts the headers of HTTP/1.1 alone.
///
/// # Errors
/// [`Problem::HeadersTooLarge`].
pub fn check_size(edge: &Edge, head: &request::Parts) -> Result<(), Problem> {
    let limit = edge.server.header_bytes_max;
    let is_too_large = head_bytes(head) > limit || head.headers.len() > HEADERS_MAX;
    if is_too_large { Err(Problem::HeadersTooLarge { limit }) } else { Ok(()) }
}

/// Bytes of the target and of the headers, without what stands between them.
fn head_bytes(head: &request::Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() + target
}

#[cfg(test)]
mod tests;
