//! Method and path → handler, with what every answer gets: its id, metrics, CORS, a place on record.

mod dispatch;
mod metrics;
mod path;

use std::sync::Arc;

use http::{HeaderValue, Request, Response, header, request};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::aws;
use super::gate::Entry;
use super::gate::facts::Facts;
use super::gate::throttle::charge::Charge;
use super::gate::throttle::measure::{Cost, Flow};
use super::listen::socket::Peer;
use super::problem::Problem;
use super::reply::Body;
use super::upgrade::{Leaving, Upgrade};
use super::visit::Visit;
use super::{Edge, Intake, body, cors, strict};
use crate::config::limits::HEADERS_MAX;
use crate::runtime::clock;
use crate::telemetry::request_id;

pub use metrics::RouteMetrics;
pub use path::names;

use path::Route;

/// Whether records are told by the parameters of this path, which is asked for by GET.
pub fn is_click(path: &str) -> bool {
    matches!(Route::of_path(path).measured(), Route::Click(..))
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
