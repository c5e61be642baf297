//! `/v1/streams/{stream}/cursors` and `…/cursors/{name}`: cursors that workers share.
//!
//! | request | body | meaning |
//! | --- | --- | --- |
//! | `PUT` | `{"from":"latest","lease":"30s"}` | makes it, unless it is there |
//! | `PUT` | `{"worker":"w1","next":"CURSOR"}` | everything before `next` is done; without `next`: the worker is alive |
//! | `PUT` | `{"reset":"earliest","force":true}` | goes on elsewhere: `earliest`, `latest`, a time or a cursor |
//! | `GET` | | how far it is, and who has which shard |
//! | `DELETE` | | deletes it; with `?worker=W` that worker only leaves |

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat};
use http::{Response, StatusCode, request};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use super::body::{self, Bounds, Encoding};
use super::gate::Entry;
use super::problem::Problem;
use super::reply::{self, Body};
use super::{Edge, Intake};
use crate::config::limits::{
    CURSOR_BODY_BYTES_MAX, CURSOR_LEASE_DEFAULT, CURSOR_LEASE_RANGE, NAME_BYTES_MAX,
};
use crate::config::{parse_duration, print_duration};
use crate::runtime::clock;
use crate::tap::cursor::Cursor;
use crate::tap::named::all::NewCursor;
use crate::tap::named::cursor::{NamedCursor, View};
use crate::tap::query;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    from: Option<String>,
    lease: Option<String>,
    worker: Option<String>,
    next: Option<String>,
    reset: Option<String>,
    #[serde(default)]
    force: bool,
}

#[derive(Serialize)]
struct CursorView {
    cursor: String,
    lease: String,
    /// Hand it to `reset` to come back here.
    next: String,
    /// Records that are there and not done.
    lag: u64,
    workers: Vec<WorkerView>,
    shards: Vec<ShardView>,
}

#[derive(Serialize)]
struct WorkerView {
    worker: String,
    shards: usize,
    /// Unless it gives another sign of life.
    alive_until: String,
}

#[derive(Serialize)]
struct ShardView {
    shard: String,
    next: String,
    lag: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leased_until: Option<String>,
    /// It gets no more records of it, so that another worker can have it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    handed_over: bool,
}

/// What a worker is told that has said what is done.
#[derive(Serialize)]
struct CommitView<'a> {
    cursor: &'a str,
    worker: &'a str,
    /// What is done of the shards that it has.
    next: String,
    shards: Vec<String>,
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    // Structs of numbers and strings always serialise.
    reply::json(status, serde_json::to_vec(value).unwrap_or_default())
}

/// All cursors of a stream.
pub fn list(intake: &Intake) -> Response<Body> {
    let cursors = intake.cursors.list();
    let views: Vec<_> =
        cursors.iter().filter_map(|cursor| Some(view(cursor.name(), &cursor.view()?))).collect();
    json(StatusCode::OK, &serde_json::json!({ "cursors": views }))
}

/// One of them.
pub fn describe(intake: &Intake, name: &str) -> Result<Response<Body>, Problem> {
    answer(StatusCode::OK, &*intake.cursors.get(name)?)
}

fn answer(status: StatusCode, cursor: &NamedCursor) -> Result<Response<Body>, Problem> {
    let unknown = || Problem::UnknownCursor(cursor.name().to_string());
    Ok(json(status, &view(cursor.name(), &cursor.view().ok_or_else(unknown)?)))
}

fn view(name: &str, found: &View) -> CursorView {
    let shards = found.shards.iter().map(|state| ShardView {
        shard: state.shard.to_string(),
        next: state.done.to_string(),
        lag: found.lag_of(state),
        worker: state.held.as_ref().map(|(worker, ..)| worker.to_string()),
        leased_until: state.held.as_ref().map(|(_, until, _)| wall(found.now, *until)),
        handed_over: state.held.as_ref().is_some_and(|(.., is_leaving)| *is_leaving),
    });
    let count = |worker: &str| {
        let has = |held: &Option<(Arc<str>, Instant, bool)>| {
            held.as_ref().is_some_and(|(one, ..)| **one == *worker)
        };
        found.shards.iter().filter(|state| has(&state.held)).count()
    };
    let workers = found.workers.iter().map(|(worker, until)| WorkerView {
        worker: worker.to_string(),
        shards: count(worker),
        alive_until: wall(found.now, *until),
    });
    CursorView {
        cursor: name.to_owned(),
        lease: print_duration(found.lease),
        next: found.done().to_string(),
        lag: found.lag(),
        workers: workers.collect(),
        shards: shards.collect(),
    }
}

/// A time to come by the wall clock.
fn wall(now: Instant, then: Instant) -> String {
    let ahead = i64::try_from(then.duration_since(now).as_micros()).unwrap_or_default();
    let time = DateTime::from_timestamp_micros(clock::wall().0.saturating_add(ahead)).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Makes a cursor, moves it on for a worker, or puts it elsewhere.
pub async fn put(
    edge: &Edge,
    intake: &Intake,
    (name, entry): (&str, &Entry),
    mut body: Incoming,
) -> Result<Response<Body>, Problem> {
    check_name(name)?;
    let competitor = &entry.competitor();
    let bounds = Bounds { account: &intake.budget, competitor, bytes_max: CURSOR_BODY_BYTES_MAX as u64 };
    let paid = body::read(edge, bounds, Encoding::Identity, &mut body).await?;
    let wish = match paid.bytes.as_slice() {
        [] => Wish::default(),
        text => serde_json::from_slice(text).map_err(|error| Problem::NotJson(error.to_string()))?,
    };
    match wish {
        Wish { worker: Some(worker), next, from: None, lease: None, reset: None, force: false } => {
            commit(intake, name, &worker, next.as_deref().unwrap_or_default()).await
        }
        Wish { reset: Some(to), force, from: None, lease: None, worker: None, next: None } => {
            let cursor = intake.cursors.get(name)?;
            cursor.reset(position(intake, &to).await?, force).await?;
            answer(StatusCode::OK, &cursor)
        }
        Wish { from, lease, worker: None, next: None, reset: None, force: false } => {
            create(intake, name, from.as_deref(), lease.as_deref()).await
        }
        _ => {
            let detail = "send one of {\"from\": …, \"lease\": …} (each may be left out), {\"worker\": …, \"next\": …} \
                          and {\"reset\": …, \"force\": true}";
            Err(Problem::BadParameter { name: "body", detail: detail.to_owned() })
        }
    }
}

async fn commit(intake: &Intake, name: &str, worker: &str, next: &str) -> Result<Response<Body>, Problem> {
    let (cursor, worker) = (intake.cursors.get(name)?, query::worker_name(worker)?);
    let done = cursor.commit(&worker, next_of(next)?).await?;
    let shards = done.positions.iter().map(|(shard, _)| shard.to_string()).collect();
    let view = CommitView { cursor: name, worker: &worker, next: done.to_string(), shards };
    Ok(json(StatusCode::OK, &view))
}

/// Reads what a worker hands back.
///
/// # Errors
/// If it is no cursor.
pub fn next_of(text: &str) -> Result<Cursor, Problem> {
    Cursor::parse_any(text).ok_or_else(|| Problem::BadParameter {
        name: "next",
        detail: "not the 'next' of a page or the id of an event: hand it back as it was".to_owned(),
    })
}

async fn create(
    intake: &Intake,
    name: &str,
    from: Option<&str>,
    lease: Option<&str>,
) -> Result<Response<Body>, Problem> {
    let length = lease.map(lease_of).transpose()?;
    // Behind all other checks, so that a wrong one is told also where the cursor is there.
    let from = query::start_of_all(&intake.stream, from.unwrap_or("latest")).await?;
    let new = NewCursor { name: name.to_owned(), from, lease: length.unwrap_or(CURSOR_LEASE_DEFAULT) };
    let (cursor, is_new) = intake.cursors.create(new).await?;
    if let (false, Some(length)) = (is_new, length) {
        cursor.set_lease(length).await?;
    }
    answer(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &cursor)
}

fn lease_of(text: &str) -> Result<Duration, Problem> {
    let bad = |detail: String| Problem::BadParameter { name: "lease", detail };
    let length = parse_duration(text).map_err(|error| bad(error.to_string()))?;
    if CURSOR_LEASE_RANGE.contains(&length) {
        return Ok(length);
    }
    let (least, most) = (*CURSOR_LEASE_RANGE.start(), *CURSOR_LEASE_RANGE.end());
    Err(bad(format!("it may be {} to {}", print_duration(least), print_duration(most))))
}

/// Where a cursor is to go on.
async fn position(intake: &Intake, to: &str) -> Result<Cursor, Problem> {
    match to {
        "earliest" | "latest" => Ok(intake.cursors.ends(to == "earliest")),
        _ if Cursor::parse(to).is_some() => query::position_in_all(&intake.stream, to, "reset"),
        _ => query::start_of_all(&intake.stream, to).await.map_err(|problem| match problem {
            Problem::BadParameter { .. } => Problem::BadParameter {
                name: "reset",
                detail: "earliest, latest, an RFC 3339 time, or the 'next' of this cursor".to_owned(),
            },
            other => other,
        }),
    }
}

fn check_name(name: &str) -> Result<(), Problem> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_plain) {
        let detail = format!("1 to {NAME_BYTES_MAX} letters, digits, '.', '_' and '-'");
        return Err(Problem::BadParameter { name: "cursor", detail });
    }
    Ok(())
}

/// Deletes a cursor, or lets a worker leave.
pub async fn delete(intake: &Intake, name: &str, head: &request::Parts) -> Result<Response<Body>, Problem> {
    let mut worker = None;
    for (name, value) in url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()) {
        if name != "worker" {
            let detail = format!("'{name}' is none: there is worker");
            return Err(Problem::BadParameter { name: "query parameter", detail });
        }
        worker = Some(query::worker_name(&value)?);
    }
    match worker {
        Some(worker) => intake.cursors.get(name)?.leave(&worker).await?,
        None => intake.cursors.delete(name).await?,
    }
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
