//! Method and path → what they stand for, and what follows from that alone.

use http::{Method, request};
use hyper::body::{Body as _, Incoming};

use crate::config::checked::CachedRoute;
use crate::edge::aws::Target;
use crate::edge::dead_letters::View;
use crate::edge::gate::throttle::measure::{Cost, Flow};
use crate::edge::identity::policy::Action;
use crate::edge::ingest::Told;
use crate::edge::{clicks, strict};
use crate::tap;

/// What a path stands for. The name is the `route` label of the metrics, so that paths cannot multiply them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
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
pub const ROUTES: usize = 10 + Target::COUNT;
impl<'a> Route<'a> {
    pub fn of(head: &'a request::Parts) -> Self {
        match (head.uri.path(), &head.method, Target::of(&head.headers)) {
            ("/", &Method::POST, Some(target)) => Route::Aws(target),
            (path, ..) if strict::head::is_plain(path) => Route::of_path(path),
            _ => Route::Unknown,
        }
    }

    /// By the path alone, where it is one that means what it says.
    pub fn of_path(path: &'a str) -> Self {
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
    pub fn measured(self) -> Self {
        match self {
            Route::Staged(_, stream, Told::Records) => Route::Records(stream),
            Route::Staged(_, stream, Told::Click(kind)) => Route::Click(kind, stream),
            other => other,
        }
    }

    pub fn index(self) -> usize {
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
    pub fn name(self) -> &'static str {
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
    pub fn stream(self) -> Option<&'a str> {
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
    pub fn action(self, head: &request::Parts) -> Option<Action> {
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
    pub fn flow(self, action: Option<Action>) -> Flow {
        match (self, action) {
            (Route::Aws(target), _) if target.brings_records() => Flow::Ingest,
            (_, Some(Action::Ingest)) => Flow::Ingest,
            _ => Flow::Tap,
        }
    }

    /// What the head of a request that brings records tells of their cost.
    pub fn announced(self, head: &request::Parts, body: &Incoming) -> Cost {
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
    pub fn cached(self, head: &request::Parts) -> Option<CachedRoute> {
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
    pub fn reads_body(self, method: &Method) -> bool {
        match self {
            Route::Records(_) | Route::Shards(_) | Route::Click(..) | Route::Staged(..) => {
                method == Method::POST
            }
            Route::Cursor(..) => method == Method::PUT,
            _ => false,
        }
    }

    pub fn allow(self) -> &'static str {
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

#[cfg(test)]
mod tests;
