//! `/v1/streams/{stream}/cursors` and `…/cursors/{name}`: cursors that workers share.
//!
//! | request | body | meaning |
//! | --- | --- | --- |
//! | `PUT` | `{"from":"latest","lease":"30s"}` | makes it, unless it is there |
//! | `PUT` | `{"worker":"w1","next":"CURSOR"}` | everything before `next` is done; without `next`: the worker is alive |
//! | `PUT` | `{"reset":"earliest","force":true}` | goes on elsewhere: `earliest`, `latest`, a time or a cursor |
//! | `GET` | | how far it is, and who has which shard; of all of them only in numbers |
//! | `DELETE` | | deletes it; with `?worker=W` that worker only leaves |

mod shown;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode, request};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use super::body::{self, Bounds, Encoding};
use super::gate::Entry;
use super::gate::throttle::charge::Charge;
use super::identity::credentials::{API_KEY_PARAMETER, TOKEN_PARAMETER};
use super::problem::Problem;
use super::reply::{self, Body};
use super::visit::Visit;
use super::{Edge, Intake};
use crate::config::limits::{
    CURSOR_BODY_BYTES_MAX, CURSOR_LEASE_DEFAULT, CURSOR_LEASE_RANGE, NAME_BYTES_MAX,
};
use crate::config::{parse_duration, print_duration};
use crate::runtime::budget::Permit;
use crate::tap::cursor::Cursor;
use crate::tap::named::all::NewCursor;
use crate::tap::named::cursor::NamedCursor;
use crate::tap::query;
use shown::{Summary, Whole};

/// What a commit is read into beside its text: the string of its positions, and the positions, which are 16 bytes each
/// where their text has three at least.
const READ_FACTOR: u64 = 1 + 16 / 3 + 1;

/// Bytes of the answer to a commit beside its names and shards.
const COMMIT_BYTES: u64 = 64;

/// Bytes of a shard in it: its name (20, with quotes and a comma 23) as a string (24 and that) and in the text, and its
/// position (32 in decimal digits, and 16) in both.
const COMMIT_SHARD_BYTES: u64 = 2 * 23 + 24 + 2 * 32 + 16;

/// Bytes of a list around its rows.
const LIST_BYTES: u64 = 20;

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
struct List {
    cursors: Vec<Summary>,
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

impl CommitView<'_> {
    /// Bytes of its text, with those that it is made of, at most. Each visible character of a name is two at the most.
    fn bytes_max(name: &str, worker: &str, shards: usize) -> u64 {
        let names = (name.len() + 2 * worker.len()) as u64;
        COMMIT_BYTES + names + COMMIT_SHARD_BYTES * shards as u64
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    // Structs of numbers and strings always serialise.
    reply::json(status, serde_json::to_vec(value).unwrap_or_default())
}

/// All cursors of a stream, in numbers. What is written is paid for from the taps' account until it is sent.
///
/// # Errors
/// If that has not so much, or they are in a store that does not tell.
pub async fn list(edge: &Edge, intake: &Intake) -> Result<Response<Body>, Problem> {
    let cursors = intake.cursors.all().await?;
    let bytes = LIST_BYTES + cursors.iter().map(|cursor| Summary::bytes_max(cursor.name())).sum::<u64>();
    let permit = edge.admit_tap(bytes)?;
    let shown = |cursor: &Arc<NamedCursor>| Some(Summary::of(cursor.name(), &cursor.totals().ok()?));
    let shown = List { cursors: cursors.iter().filter_map(shown).collect() };
    Ok(paid(&shown, bytes, permit))
}

/// All of one of them, paid for as the list is.
///
/// # Errors
/// If there is none of that name, or the taps' account has not so much.
pub async fn describe(edge: &Edge, intake: &Intake, name: &str) -> Result<Response<Body>, Problem> {
    let cursor = intake.cursors.get(name).await?;
    cursor.refresh().await?;
    let view = cursor.view()?;
    let bytes = Whole::bytes_max(name, &view);
    let permit = edge.admit_tap(bytes)?;
    Ok(paid(&Whole::of(cursor.name(), &view), bytes, permit))
}

fn paid(value: &impl Serialize, bytes: u64, permit: Permit) -> Response<Body> {
    let mut text = Vec::with_capacity(bytes as usize);
    // Into memory, and structs of numbers and strings always serialise.
    let _ = serde_json::to_writer(&mut text, value);
    reply::json(StatusCode::OK, permit.cover(text))
}

/// What has become of a cursor.
fn answer(status: StatusCode, cursor: &NamedCursor) -> Result<Response<Body>, Problem> {
    Ok(json(status, &Summary::of(cursor.name(), &cursor.totals()?)))
}

/// Makes a cursor, moves it on for a worker, or puts it elsewhere.
pub async fn put(
    edge: &Edge,
    intake: &Intake,
    ((entry, charge), name): ((&Entry, &mut Charge), &str),
    visit: &Visit,
    mut body: Incoming,
) -> Result<Response<Body>, Problem> {
    check_name(name)?;
    let (competitor, bytes_max) = (&entry.competitor(), CURSOR_BODY_BYTES_MAX as u64);
    let bounds = Bounds { account: &intake.budget, competitor, bytes_max, visit };
    let mut paid = body::read(edge, bounds, (Encoding::Identity, entry.proof()), &mut body).await?;
    entry.pay(charge)?;
    let wish = match paid.bytes.as_slice() {
        [] => Wish::default(),
        text => serde_json::from_slice(text).map_err(|error| Problem::NotJson(error.to_string()))?,
    };
    match wish {
        Wish { worker: Some(worker), next, from: None, lease: None, reset: None, force: false } => {
            // What it is read into is no more than it was; both are there until the cursor has moved on.
            edge.admit_more(&mut paid.permit, READ_FACTOR * paid.bytes.len() as u64, competitor)?;
            commit((edge, intake), name, &worker, next.as_deref().unwrap_or_default()).await
        }
        Wish { reset: Some(to), force, from: None, lease: None, worker: None, next: None } => {
            let change = visit.change("cursor.reset", intake.stream.name(), Some(name));
            change.told(edge, reset(intake, name, &to, force).await)
        }
        Wish { from, lease, worker: None, next: None, reset: None, force: false } => {
            let change = visit.change("cursor.create", intake.stream.name(), Some(name));
            change.told(edge, create(intake, name, from.as_deref(), lease.as_deref()).await)
        }
        _ => {
            let detail = "send one of {\"from\": …, \"lease\": …} (each may be left out), {\"worker\": …, \"next\": …} \
                          and {\"reset\": …, \"force\": true}";
            Err(Problem::BadParameter { name: "body", detail: detail.to_owned() })
        }
    }
}

async fn reset(intake: &Intake, name: &str, to: &str, force: bool) -> Result<Response<Body>, Problem> {
    let cursor = intake.cursors.get(name).await?;
    cursor.reset(position(intake, to).await?, force).await?;
    answer(StatusCode::OK, &cursor)
}

/// Moves a cursor on. The answer, which grows with the shards of the worker, is paid for from the taps' account until it is
/// sent, and that before anything is moved.
async fn commit(
    (edge, intake): (&Edge, &Intake),
    name: &str,
    worker: &str,
    next: &str,
) -> Result<Response<Body>, Problem> {
    let (cursor, worker) = (intake.cursors.get(name).await?, query::worker_name(worker)?);
    let bytes = CommitView::bytes_max(name, &worker, intake.stream.layout().shards().len());
    let mut permit = edge.admit_tap(bytes)?;
    let done = cursor.commit(&worker, next_of(next)?).await?;
    // Shards may have come.
    let bytes = CommitView::bytes_max(name, &worker, done.positions.len()).max(bytes);
    permit.set(bytes);
    let shards = done.positions.iter().map(|(shard, _)| shard.to_string()).collect();
    let view = CommitView { cursor: name, worker: &worker, next: done.to_string(), shards };
    Ok(self::paid(&view, bytes, permit))
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
pub async fn delete(
    edge: &Edge,
    intake: &Intake,
    name: &str,
    (head, visit): (&request::Parts, &Visit),
) -> Result<Response<Body>, Problem> {
    let mut worker = None;
    for (name, value) in url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()) {
        // The gate has looked at these.
        if matches!(&*name, API_KEY_PARAMETER | TOKEN_PARAMETER) {
            continue;
        }
        if name != "worker" {
            let detail = format!("'{name}' is none: there is worker");
            return Err(Problem::BadParameter { name: "query parameter", detail });
        }
        worker = Some(query::worker_name(&value)?);
    }
    match worker {
        Some(worker) => intake.cursors.get(name).await?.leave(&worker).await?,
        None => {
            let change = visit.change("cursor.delete", intake.stream.name(), Some(name));
            change.told(edge, intake.cursors.delete(name).await)?;
        }
    }
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
