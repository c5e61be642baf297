//! Method and path → handler, with what every answer gets: its id, metrics, CORS, a place on record.

use std::sync::{Arc, OnceLock};

use http::{Method, Request, Response, request};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use metrics::{Counter, Histogram};

use super::aws::{self, Target};
use super::gate::Entry;
use super::gate::facts::Facts;
use super::identity::policy::Action;
use super::listen::socket::Peer;
use super::problem::Problem;
use super::reply::Body;
use super::upgrade::{Leaving, Upgrade};
use super::visit::Visit;
use super::{Edge, body, cors, cursors, ingest, reshard, streams, strict};
use crate::config::limits::HEADERS_MAX;
use crate::runtime::clock;
use crate::tap;
use crate::telemetry::metrics::Registry;
use crate::telemetry::request_id;

/// What a path stands for. The name is the `route` label of the metrics, so that paths cannot multiply them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route<'a> {
    Records(&'a str),
    Stream(&'a str),
    Shards(&'a str),
    Cursors(&'a str),
    Cursor(&'a str, &'a str),
    Streams,
    Aws(Target),
    Unknown,
}

/// Routes, [`Route::index`] being below.
const ROUTES: usize = 7 + Target::COUNT;
/// Status codes that the edge answers with; the last stands for any other.
const CODES: [u16; 17] = [101, 200, 201, 204, 400, 403, 404, 405, 408, 409, 413, 415, 429, 431, 500, 503, 0];

impl<'a> Route<'a> {
    fn of(head: &'a request::Parts) -> Self {
        match (head.uri.path(), &head.method, Target::of(&head.headers)) {
            ("/", &Method::POST, Some(target)) => Route::Aws(target),
            (path, ..) if strict::head::is_plain(path) => Route::of_path(path),
            _ => Route::Unknown,
        }
    }

    fn of_path(path: &'a str) -> Self {
        let Some(rest) = path.strip_prefix("/v1/streams") else { return Route::Unknown };
        let mut segments = rest.strip_prefix('/').unwrap_or(rest).splitn(4, '/');
        match (segments.next().unwrap_or_default(), segments.next(), segments.next(), segments.next()) {
            ("", None, ..) => Route::Streams,
            ("", ..) => Route::Unknown,
            _ if !rest.starts_with('/') => Route::Unknown,
            (stream, Some("records"), None, _) => Route::Records(stream),
            (stream, Some("shards"), None, _) => Route::Shards(stream),
            (stream, Some("cursors"), None, _) => Route::Cursors(stream),
            (stream, Some("cursors"), Some(cursor), None) => Route::Cursor(stream, cursor),
            (stream, None, ..) => Route::Stream(stream),
            _ => Route::Unknown,
        }
    }

    fn index(self) -> usize {
        match self {
            Route::Records(_) => 0,
            Route::Stream(_) => 1,
            Route::Shards(_) => 2,
            Route::Streams => 3,
            Route::Unknown => 4,
            Route::Cursors(_) => 5,
            Route::Cursor(..) => 6,
            Route::Aws(target) => 7 + target.index(),
        }
    }

    /// The label.
    fn name(self) -> &'static str {
        match self {
            Route::Records(_) => "records",
            Route::Stream(_) => "stream",
            Route::Shards(_) => "shards",
            Route::Cursors(_) => "cursors",
            Route::Cursor(..) => "cursor",
            Route::Streams => "streams",
            Route::Unknown => "unknown",
            Route::Aws(target) => target.name(),
        }
    }

    /// The stream that its path names.
    fn stream(self) -> Option<&'a str> {
        match self {
            Route::Records(stream)
            | Route::Stream(stream)
            | Route::Shards(stream)
            | Route::Cursors(stream)
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
            (Route::Records(_), _) if tap::websocket::is_wanted(head) && tap::query::reads_nothing(head) => {
                Some(Action::Ingest)
            }
            (Route::Records(_), _) if tap::websocket::is_wanted(head) => Some(Action::Tap),
            (Route::Records(_), &Method::POST) => Some(Action::Ingest),
            (Route::Shards(_), &Method::POST) => Some(Action::Admin),
            _ => Some(Action::Tap),
        }
    }

    fn allow(self) -> &'static str {
        match self {
            Route::Records(_) | Route::Shards(_) => "GET, HEAD, POST, OPTIONS",
            Route::Cursor(..) => "GET, HEAD, PUT, DELETE, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }
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
            if matches!(route, Route::Records(_)) {
                edge.route_metrics.refuse(problem.code());
            }
            visit.refuse_by(edge, &problem, &facts);
            problem.into_response_over(facts.head.version, &visit.id)
        }
    };
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
    let limit = edge.server.header_bytes_max;
    // hyper counts the headers of HTTP/1.1 alone.
    if head_bytes(facts.head) > limit || facts.head.headers.len() > HEADERS_MAX {
        return Err(Problem::HeadersTooLarge { limit });
    }
    match enter(edge, facts).await {
        Ok(entry) => dispatch(edge, route, &entry, facts.head, rest).await,
        Err(problem) => {
            let bytes_max = edge.server.body_bytes_max;
            body::discard_refused(&facts.head.headers, &mut rest.body, bytes_max).await;
            match (route, problem) {
                (_, problem @ Problem::Ambiguous(_)) => Err(problem),
                (Route::Aws(_), problem) => Ok(aws::refuse(facts.head, rest.visit, problem)),
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

async fn dispatch(
    edge: &Arc<Edge>,
    route: Route<'_>,
    entry: &Entry,
    head: &request::Parts,
    rest: Rest<'_>,
) -> Result<Response<Body>, Problem> {
    let Rest { body, leaving, visit } = rest;
    if head.method == Method::OPTIONS && route != Route::Unknown {
        return Ok(cors::preflight(edge.server.cors.as_ref(), route.allow()));
    }
    // hyper leaves the body away where a client asks for the head alone.
    let method = if head.method == Method::HEAD { &Method::GET } else { &head.method };
    match (route, method) {
        (Route::Records(name), &Method::POST) => {
            ingest::post(edge, edge.intake(name), (head, visit), body).await
        }
        (Route::Records(name), _) if tap::websocket::is_wanted(head) => {
            tap::websocket::get(edge, &*edge.intake(name)?, entry, (head, leaving)).await
        }
        (Route::Records(name), &Method::GET) if tap::events::are_wanted(&head.headers) => {
            tap::events::get(edge, &*edge.intake(name)?, head).await
        }
        (Route::Records(name), &Method::GET) => tap::page::get(edge, &*edge.intake(name)?, head).await,
        (Route::Stream(name), &Method::GET) => Ok(streams::describe(&*edge.intake(name)?)),
        (Route::Shards(name), &Method::GET) => Ok(streams::shards(&*edge.intake(name)?)),
        (Route::Shards(name), &Method::POST) => reshard::post(edge, &*edge.intake(name)?, visit, body).await,
        (Route::Cursors(name), &Method::GET) => cursors::list(edge, &*edge.intake(name)?),
        (Route::Cursor(name, cursor), &Method::GET) => cursors::describe(edge, &*edge.intake(name)?, cursor),
        (Route::Cursor(name, cursor), &Method::PUT) => {
            cursors::put(edge, &*edge.intake(name)?, cursor, visit, body).await
        }
        (Route::Cursor(name, cursor), &Method::DELETE) => {
            cursors::delete(edge, &*edge.intake(name)?, cursor, (head, visit)).await
        }
        (Route::Streams, &Method::GET) => streams::list(edge, entry),
        (Route::Aws(target), &Method::POST) => {
            Ok(aws::post(edge, aws::Asked { target, entry, head, visit }, body).await)
        }
        (Route::Unknown, _) => Err(Problem::NotFound),
        _ => Err(Problem::MethodNotAllowed { allow: route.allow() }),
    }
}

/// Bytes of the target and of the headers, without what stands between them.
fn head_bytes(head: &request::Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() + target
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::edge::aws::firehose;
    use crate::edge::aws::kinesis::Operation;

    #[test]
    fn every_route_has_a_place_and_a_name_of_its_own() {
        let targets = Operation::ALL.map(Target::Kinesis).into_iter().chain([Target::Unknown]);
        let targets = targets.chain(firehose::Operation::ALL.map(Target::Firehose));
        let native = [
            Route::Records(""),
            Route::Stream(""),
            Route::Shards(""),
            Route::Cursors(""),
            Route::Cursor("", ""),
            Route::Streams,
            Route::Unknown,
        ];
        let routes: Vec<_> = native.into_iter().chain(targets.map(Route::Aws)).collect();
        let places: BTreeSet<_> = routes.iter().map(|route| route.index()).collect();
        let names: BTreeSet<_> = routes.iter().map(|route| route.name()).collect();
        assert_eq!((places.len(), names.len(), places.last()), (ROUTES, ROUTES, Some(&(ROUTES - 1))));
    }

    #[test]
    fn what_is_escaped_or_climbs_names_nothing() {
        for path in [
            "//v1/streams",
            "/v1//streams",
            "/v1/streams/",
            "/v1/streams/a/",
            "/v1/streams/%61",
            "/v1%2fstreams",
            "/v1/streams/a%00",
            "/v1/streams/%2e%2e/a",
            "/v1/streams/../streams",
            "/v1/streams/./a",
            "/v1/streams/a;x=1/records",
            "/v1\\streams",
            "/v1/streams/\u{e9}",
            "/V1/streams",
        ] {
            let (head, ()) = Request::get(path).body(()).unwrap().into_parts();
            assert_eq!(Route::of(&head), Route::Unknown, "{path}");
        }
    }

    #[test]
    fn paths_are_told_apart() {
        assert_eq!(Route::of_path("/v1/streams/a/records"), Route::Records("a"));
        assert_eq!(Route::of_path("/v1/streams/a/shards"), Route::Shards("a"));
        assert_eq!(Route::of_path("/v1/streams/a"), Route::Stream("a"));
        assert_eq!(Route::of_path("/v1/streams/a/cursors"), Route::Cursors("a"));
        assert_eq!(Route::of_path("/v1/streams/a/cursors/b"), Route::Cursor("a", "b"));
        assert_eq!(Route::of_path("/v1/streams/a/cursors/b/c"), Route::Unknown);
        assert_eq!(Route::of_path("/v1/streams"), Route::Streams);
        for path in
            ["/", "/v1", "/v1/streamsa", "/v1/streams//records", "/v1/streams/a/records/b", "/v1/streams/a/x"]
        {
            assert_eq!(Route::of_path(path), Route::Unknown, "{path}");
        }
    }
}
