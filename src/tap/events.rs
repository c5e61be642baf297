//! `GET /v1/streams/{stream}/records` with `Accept: text/event-stream`: records as they come, as server-sent events
//! (the HTML standard's `EventSource`).
//!
//! | event | data |
//! | --- | --- |
//! | `record` | the JSON object that pages have; its `id` is the cursor from which to read on behind it |
//! | `gap` | `{"skipped":N}`: so many records were gone (retention) before this reader got to them |
//! | `shards` | `{"shards":[…]}`: the shards that a worker that shares a named cursor has from now on |
//! | `end` | `{"reason":"draining"}`, or another word: the server ends the stream; a client may come again |
//!
//! A client that comes again with the header `Last-Event-ID`, as browsers do by themselves, gets what follows, nothing
//! twice. An id that stands alone, without an event, moves a reader on whose filter passes nothing.

use std::io::Write as _;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, header, request};

use super::feed::Format;
use super::paced::Paced;
use super::query;
use super::reader::{Next, Piece};
use super::taps::OpenTap;
use super::text::{write_id, write_shards};
use crate::edge::gate::Entry;
use crate::edge::gate::renewal::Renewal;
use crate::edge::gate::throttle::charge::Charge;
use crate::edge::identity::policy::Action;
use crate::edge::problem::Problem;
use crate::edge::reply::{Body, Pieces};
use crate::edge::{Edge, Intake};

/// The header by which a client reads on.
const LAST_EVENT_ID: &str = "last-event-id";

/// What an `EventSource` waits before it comes again, in milliseconds.
const RETRY_MS: u32 = 1_000;

/// Whether the client asks for events.
pub fn are_wanted(headers: &HeaderMap) -> bool {
    let is_wanted = |value: &HeaderValue| {
        value.to_str().is_ok_and(|value| {
            value.split(',').any(|range| {
                let essence = range.split(';').next().unwrap_or_default().trim();
                essence.eq_ignore_ascii_case("text/event-stream")
            })
        })
    };
    headers.get_all(header::ACCEPT).iter().any(is_wanted)
}

/// Answers with events for as long as the client wants them.
pub async fn get(
    edge: &Edge,
    intake: &Intake,
    (head, entry): (&request::Parts, &Entry),
    charge: Charge,
) -> Result<Response<Body>, Problem> {
    let last_event_id = match head.headers.get(LAST_EVENT_ID) {
        None => None,
        Some(value) => Some(value.to_str().map_err(|_| Problem::BadParameter {
            name: "Last-Event-ID",
            detail: "it is no visible ASCII".to_owned(),
        })?),
    };
    let query = head.uri.query().unwrap_or_default();
    // An `EventSource` that has seen no id sends none, and some clients an empty one.
    let reads = query::events(&intake.stream, query, last_event_id.filter(|id| !id.is_empty())).await?;
    let taps = &edge.taps;
    let reader = Paced::new(taps.any_reader(intake, reads, Format::Events).await?, charge, &edge.phases);
    let open = OpenTap::new(&taps.events, taps.slow_after());
    let heartbeat = taps.heartbeat();
    let renewal = Renewal::new(edge, entry, Action::Tap, intake.stream.name());
    let mut response =
        Response::new(Body::streamed(|pieces| send(Outlet { pieces, open }, (reader, renewal), heartbeat)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies of the nginx kind gather an answer otherwise.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Where events go.
struct Outlet {
    pieces: Pieces,
    open: OpenTap,
}

impl Outlet {
    async fn send(&mut self, piece: Piece) {
        let bytes = piece.text.len();
        self.open.waits();
        self.pieces.send(piece.text).await;
        self.open.sent(bytes, piece.records);
    }

    /// Something that is no record, and from where to read on.
    async fn say(&mut self, reader: &Paced, what: &str) {
        let mut text = Vec::with_capacity(what.len() + 64);
        write_id(&mut text, reader.cursor());
        // Writing to a vector cannot fail.
        let _ = write!(text, "{what}\n\n");
        self.send(Piece { text: text.into(), records: 0 }).await;
    }
}

async fn send(mut outlet: Outlet, (mut reader, renewal): (Paced, Renewal), heartbeat: Duration) {
    let renewal = renewal.next();
    tokio::pin!(renewal);
    outlet.say(&reader, &format!("retry: {RETRY_MS}")).await;
    let mut heartbeats = tokio::time::interval(heartbeat);
    heartbeats.reset();
    loop {
        let next = tokio::select! {
            biased;
            (again, entry) = &mut renewal => {
                renewal.set(again.next());
                match entry {
                    Some(_) => continue,
                    None => return outlet.say(&reader, "event: end\ndata: {\"reason\":\"forbidden\"}").await,
                }
            }
            next = reader.next() => next,
            _ = heartbeats.tick() => {
                outlet.say(&reader, ": still here").await;
                continue;
            }
        };
        match next {
            Ok(Next::Records(piece)) => outlet.send(piece).await,
            Ok(Next::Gap(skipped)) => {
                outlet.say(&reader, &format!("event: gap\ndata: {{\"skipped\":{skipped}}}")).await;
            }
            Ok(Next::Shards(shards)) => {
                let mut list = Vec::new();
                write_shards(&mut list, &shards);
                let list = String::from_utf8_lossy(&list);
                outlet.say(&reader, &format!("event: shards\ndata: {{\"shards\":{list}}}")).await;
            }
            Ok(Next::Ended(end)) => {
                let what = format!("event: end\ndata: {{\"reason\":\"{}\"}}", end.word());
                return outlet.say(&reader, &what).await;
            }
            Err(problem) => {
                let data = serde_json::json!({ "reason": problem.code(), "detail": problem.detail() });
                return outlet.say(&reader, &format!("event: end\ndata: {data}")).await;
            }
        }
    }
}
