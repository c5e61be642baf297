//! Who answers a request that was let in.

use std::sync::Arc;

use http::{Method, Response, request};
use hyper::body::{Body as _, Incoming};

use super::{Passed, Rest, Route};
use crate::edge::gate::Entry;
use crate::edge::gate::throttle::charge::Charge;
use crate::edge::ingest::{Admitted, Told};
use crate::edge::mapping::Sender;
use crate::edge::problem::Problem;
use crate::edge::reply::Body;
use crate::edge::upgrade::Leaving;
use crate::edge::visit::Visit;
use crate::edge::{Edge, Intake, aws, cors, cursors, dead_letters, ingest, reshard, streams};
use crate::tap;

/// Has a request answered.
///
/// # Errors
/// Why it is refused.
pub(super) async fn dispatch(
    edge: &Arc<Edge>,
    route: Route<'_>,
    passed: Passed,
    head: &request::Parts,
    rest: Rest<'_>,
) -> Result<Response<Body>, Problem> {
    let Passed { mut entry, mut charge, intake } = passed;
    let Rest { body, leaving, visit } = rest;
    let is_preflight = head.method == Method::OPTIONS && route != Route::Unknown;
    if !is_preflight && !route.reads_body(&head.method) {
        entry.prove_without_body(body.is_end_stream(), (&mut charge, visit))?;
    }
    if is_preflight {
        return Ok(cors::preflight(edge.server.cors.as_ref(), route.allow()));
    }
    // hyper leaves the body away where a client asks for the head alone.
    let method = if head.method == Method::HEAD { &Method::GET } else { &head.method };
    let taken = match route {
        Route::Records(_) if method == Method::POST => Some((None, Told::Records)),
        Route::Click(kind, _) if kind.takes(method) => Some((None, Told::Click(kind))),
        Route::Staged(stage, _, told) if told.takes(method) => Some((Some(stage), told)),
        _ => None,
    };
    if let Some(told) = taken {
        let admitted = Admitted { entry: &entry, charge, sender: sender(head, &entry, visit), visit };
        return ingest::take(edge, intake, told, admitted, body).await;
    }
    // Most requests bring records. What the others take has room of its own, so that it is not moved with each of those.
    let asked = Asked { entry, charge, intake, head, method, visit };
    Box::pin(asked.answer(edge, route, leaving, body)).await
}

fn sender<'a>(head: &'a request::Parts, entry: &'a Entry, visit: &'a Visit) -> Sender<'a> {
    let principal = entry.principal.as_ref();
    Sender {
        head,
        client: visit.client,
        principal: principal.map(|principal| &*principal.name),
        attributes: principal.and_then(|principal| principal.attributes.as_ref()),
        request_id: Some(visit.id.as_str()),
        trace: visit.trace(),
    }
}

/// A request that brings no records by the native routes.
struct Asked<'a> {
    entry: Entry,
    charge: Charge,
    intake: Result<Arc<Intake>, Problem>,
    head: &'a request::Parts,
    method: &'a Method,
    visit: &'a Visit,
}

impl Asked<'_> {
    async fn answer(
        self,
        edge: &Arc<Edge>,
        route: Route<'_>,
        leaving: Option<Leaving<'_>>,
        body: Incoming,
    ) -> Result<Response<Body>, Problem> {
        let Self { entry, mut charge, intake, head, method, visit } = self;
        if let Some(cache) = &edge.answer_cache
            && let Some(route) = route.cached(head)
            && let Some(asked) = cache.asked(route, &intake, (&entry, head))
        {
            return asked.answer(edge, &mut charge).await;
        }
        match (route, method) {
            (Route::Records(_), _) if tap::websocket::is_wanted(head) => {
                let sender = sender(head, &entry, visit);
                let admitted = Admitted { entry: &entry, charge, sender, visit };
                tap::websocket::get(edge, &*intake?, admitted, leaving).await
            }
            (Route::Records(_), &Method::GET) if tap::events::are_wanted(&head.headers) => {
                tap::events::get(edge, &*intake?, (head, &entry), charge).await
            }
            (Route::Records(_), &Method::GET) => tap::page::get(edge, &*intake?, head, &mut charge).await,
            (Route::Stream(_), &Method::GET) => Ok(streams::describe(&*intake?, &head.headers)),
            (Route::Shards(_), &Method::GET) => Ok(streams::shards(&*intake?, &head.headers)),
            (Route::Shards(_), &Method::POST) => {
                reshard::post(edge, &*intake?, (&entry, &mut charge, visit), body).await
            }
            (Route::Cursors(_), &Method::GET) => cursors::list(edge, &*intake?).await,
            (Route::Cursor(_, cursor), &Method::GET) => cursors::describe(edge, &*intake?, cursor).await,
            (Route::Cursor(_, cursor), &Method::PUT) => {
                cursors::put(edge, &*intake?, ((&entry, &mut charge), cursor), visit, body).await
            }
            (Route::Cursor(_, cursor), &Method::DELETE) => {
                cursors::delete(edge, &*intake?, cursor, (head, visit)).await
            }
            (Route::DeadLetters(view, _), &Method::GET) => {
                let query = head.uri.query().unwrap_or_default();
                dead_letters::get(edge, &*intake?, (view, query), &mut charge).await
            }
            (Route::Streams, &Method::GET) => streams::list(edge, &entry, &head.headers),
            (Route::Aws(target), &Method::POST) => {
                let asked = aws::Asked { target, entry: &entry, head, visit };
                Ok(aws::post(edge, asked, charge, body).await)
            }
            (Route::Unknown, _) => Err(Problem::NotFound),
            _ => Err(Problem::MethodNotAllowed { allow: route.allow() }),
        }
    }
}
