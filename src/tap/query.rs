//! What a client asks of a tap: the query parameters of `GET /v1/streams/{stream}/records`.
//!
//! | parameter | of | meaning |
//! | --- | --- | --- |
//! | `from` | all | `earliest`, `latest` (the default), an RFC 3339 time, or a sequence number together with `shard`; for a WebSocket also `none`: it then only sends |
//! | `after` | all | a cursor: the `next` of a page or the id of an event; overrules `from` |
//! | `shard` | all | only this shard |
//! | `key`, `where` | all | see [`Filter`] |
//! | `cursor`, `worker` | all | a named cursor, and the name of one of the workers that share it; then `from` and `shard` are none |
//! | `limit` | pages | records of a page |
//! | `wait` | pages | how long to wait for a record if there is none: seconds, at most [`TAP_WAIT_SECONDS_MAX`] |
//! | `messages` | WebSockets | `envelope` (the default) or `body`: what the client's messages are |

mod shared;

use std::borrow::Cow;
use std::time::Duration;

use chrono::DateTime;
use http::request::Parts;

use super::cursor::Cursor;
use super::filter::Filter;
use crate::config::limits::{TAP_RECORDS_DEFAULT, TAP_RECORDS_MAX, TAP_WAIT_SECONDS_MAX};
use crate::edge::identity::credentials::{API_KEY_PARAMETER, TOKEN_PARAMETER};
use crate::edge::problem::Problem;
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;
use crate::stream::{Layout, ShardFacts, ShardLog, Stream};

pub use shared::{Worker, worker_name};

/// The parameters of a page, checked.
#[derive(Debug)]
pub struct Query {
    /// What is read.
    pub reads: Reads,
    /// Records that the page may have, at least one.
    pub limit: usize,
    /// How long to wait for the first of them.
    pub wait: Duration,
}

/// Who reads.
#[derive(Debug)]
pub enum Reads {
    /// Somebody who keeps the place.
    Live(Live),
    /// A worker that shares a named cursor.
    Worker(Worker),
}

/// What a live reader reads, checked.
#[derive(Debug)]
pub struct Live {
    /// Where to read on in each of the shards that are asked for.
    pub cursor: Cursor,
    /// The shard, if it is only one of the stream's.
    pub shard: Option<ShardId>,
    /// Which records are shown.
    pub filter: Option<Filter>,
    /// Whether the same words name the same place later on, as long as its records are there.
    pub is_fixed: bool,
}

/// What the messages of a WebSocket's client are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Messages {
    /// `{"id":…,"records":[…]}`
    Envelope,
    /// What the body of a `POST` would be.
    Body,
}

/// Where a reader without a cursor begins.
#[derive(Debug, Clone, Copy)]
enum Start {
    Earliest,
    Latest,
    At(SequenceNumber),
}

/// The parameters as they were sent.
#[derive(Debug, Default)]
struct Sent<'a> {
    from: Option<Cow<'a, str>>,
    after: Option<Cow<'a, str>>,
    shard: Option<Cow<'a, str>>,
    limit: Option<Cow<'a, str>>,
    wait: Option<Cow<'a, str>>,
    messages: Option<Cow<'a, str>>,
    key: Option<Cow<'a, str>>,
    cursor: Option<Cow<'a, str>>,
    worker: Option<Cow<'a, str>>,
    conditions: Vec<String>,
}

/// Which parameters there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Page,
    Events,
    WebSocket,
}

impl Form {
    fn names(self) -> &'static str {
        match self {
            Form::Page => "from, after, shard, key, where, cursor, worker, limit and wait",
            Form::Events => "from, after, shard, key, where, cursor and worker for server-sent events",
            Form::WebSocket => "from, after, shard, key, where, cursor, worker and messages for a WebSocket",
        }
    }
}

/// Reads the query part of a page's URI, and finds where the page begins.
///
/// # Errors
/// What is wrong with it.
pub async fn page(stream: &Stream, query: &str) -> Result<Query, Problem> {
    let sent = Sent::read(query, Form::Page)?;
    let limit = match sent.limit.as_deref() {
        None => TAP_RECORDS_DEFAULT,
        Some(text) => bounded(text, TAP_RECORDS_MAX as u64).filter(|&limit| limit > 0).ok_or_else(|| {
            Problem::BadParameter { name: "limit", detail: format!("a number from 1 to {TAP_RECORDS_MAX}") }
        })? as usize,
    };
    let wait = match sent.wait.as_deref() {
        None => 0,
        Some(text) => {
            bounded(text.strip_suffix('s').unwrap_or(text), TAP_WAIT_SECONDS_MAX).ok_or_else(|| {
                Problem::BadParameter {
                    name: "wait",
                    detail: format!("seconds from 0 to {TAP_WAIT_SECONDS_MAX}"),
                }
            })?
        }
    };
    let reads = sent.reads(stream, None).await?;
    Ok(Query { reads, limit, wait: Duration::from_secs(wait) })
}

/// Reads the query part of a URI of server-sent events. `last_event_id` is the header of that name, by which a client
/// reads on.
///
/// # Errors
/// What is wrong with it.
pub async fn events(stream: &Stream, query: &str, last_event_id: Option<&str>) -> Result<Reads, Problem> {
    Sent::read(query, Form::Events)?.reads(stream, last_event_id).await
}

/// Whether a WebSocket says that it only puts records. What it does besides is looked at when its query is read.
pub fn reads_nothing(head: &Parts) -> bool {
    let query = head.uri.query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "from" && value == "none")
}

/// Reads the query part of a WebSocket's URI: what it reads, if anything, and what its client sends.
///
/// # Errors
/// What is wrong with it.
pub async fn websocket(stream: &Stream, query: &str) -> Result<(Option<Reads>, Messages), Problem> {
    let sent = Sent::read(query, Form::WebSocket)?;
    let messages = match sent.messages.as_deref() {
        None | Some("envelope") => Messages::Envelope,
        Some("body") => Messages::Body,
        Some(_) => {
            let detail = "envelope or body".to_owned();
            return Err(Problem::BadParameter { name: "messages", detail });
        }
    };
    if sent.from.as_deref() == Some("none") && sent.after.is_none() && sent.cursor.is_none() {
        return Ok((None, messages));
    }
    Ok((Some(sent.reads(stream, None).await?), messages))
}

impl<'a> Sent<'a> {
    fn read(query: &'a str, form: Form) -> Result<Self, Problem> {
        let mut sent = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match (&*name, form) {
                ("from", _) => sent.from = Some(value),
                ("after", _) => sent.after = Some(value),
                ("shard", _) => sent.shard = Some(value),
                ("key", _) => sent.key = Some(value),
                ("cursor", _) => sent.cursor = Some(value),
                ("worker", _) => sent.worker = Some(value),
                ("where", _) => sent.conditions.push(value.into_owned()),
                ("limit", Form::Page) => sent.limit = Some(value),
                ("wait", Form::Page) => sent.wait = Some(value),
                ("messages", Form::WebSocket) => sent.messages = Some(value),
                // The gate has looked at these.
                (API_KEY_PARAMETER | TOKEN_PARAMETER, _) => {}
                _ => {
                    let detail = format!("'{name}' is none: there are {}", form.names());
                    return Err(Problem::BadParameter { name: "query parameter", detail });
                }
            }
        }
        Ok(sent)
    }

    /// Who reads what.
    async fn reads(self, stream: &Stream, last_event_id: Option<&str>) -> Result<Reads, Problem> {
        match (&self.cursor, &self.worker) {
            (None, None) => Ok(Reads::Live(self.live(stream, last_event_id).await?)),
            _ => Ok(Reads::Worker(self.shared(stream, last_event_id)?)),
        }
    }

    /// What is to be read, and from where.
    async fn live(self, stream: &Stream, last_event_id: Option<&str>) -> Result<Live, Problem> {
        let shard = match self.shard.as_deref() {
            None => None,
            Some(text) => {
                let known = ShardId::parse(text).filter(|&id| stream.shard(id).is_some());
                Some(known.ok_or_else(|| Problem::UnknownShard(text.to_owned()))?)
            }
        };
        let layout = stream.layout();
        let facts = layout.shards().iter().map(|shard| &shard.facts);
        let facts: Vec<_> = facts.filter(|facts| shard.is_none_or(|shard| shard == facts.id)).collect();
        let shards: Vec<_> = facts.iter().map(|facts| facts.id).collect();
        let filter = Filter::compile(self.key.map(Cow::into_owned), &self.conditions)
            .map_err(|detail| Problem::BadParameter { name: "where", detail })?;
        let from = self.from.as_deref().unwrap_or("latest");
        let (cursor, is_fixed) = match (last_event_id, self.after.as_deref()) {
            (Some(text), _) => (resume_in((stream, &layout), &facts, text, "Last-Event-ID")?, true),
            (None, Some(text)) => (resume_in((stream, &layout), &facts, text, "after")?, true),
            // A time that is not over is where the next record will be, as the latest is.
            (None, None) => {
                (start(stream, &shards, from).await?, from == "earliest" || from.parse::<u64>().is_ok())
            }
        };
        Ok(Live { cursor, shard, filter, is_fixed })
    }
}

fn bounded(text: &str, max: u64) -> Option<u64> {
    text.parse().ok().filter(|&number| number <= max)
}

/// The same of a stream at a moment. Another node may have given the cursor, which knows more of a topic that has just got
/// more partitions: without its position a shard would be read from its beginning once more.
fn resume_in(
    (stream, layout): (&Stream, &Layout),
    shards: &[&ShardFacts],
    text: &str,
    name: &'static str,
) -> Result<Cursor, Problem> {
    let is_unknown = |(shard, _): &(ShardId, SequenceNumber)| *shard >= layout.next_id();
    if stream.topic().is_some()
        && Cursor::parse(text).is_some_and(|cursor| cursor.positions.iter().any(is_unknown))
    {
        return Err(Problem::ShardsUnknown);
    }
    resume(shards, text, name)
}

/// A shard that the cursor does not name has been made since, of others: it is read from its first record on.
fn resume(shards: &[&ShardFacts], text: &str, name: &'static str) -> Result<Cursor, Problem> {
    let bad = || Problem::BadParameter {
        name,
        detail: "not a cursor of these shards: hand it back as it was".to_owned(),
    };
    let cursor = Cursor::parse(text).ok_or_else(bad)?;
    let position = |facts: &&ShardFacts| {
        let made_since = (shards.len() > 1 && facts.parents().next().is_some()).then_some(facts.first);
        Some((facts.id, cursor.position(facts.id).or(made_since)?))
    };
    Ok(Cursor { positions: shards.iter().map(position).collect::<Option<_>>().ok_or_else(bad)? })
}

/// Where a reader without a cursor begins in the stream's shards: `earliest`, `latest` or a time.
///
/// # Errors
/// If it is none of these, or the log cannot be read.
pub async fn start_of_all(stream: &Stream, from: &str) -> Result<Cursor, Problem> {
    let shards: Vec<_> = stream.shard_ids().collect();
    if from.parse::<u64>().is_ok() {
        let detail = "earliest, latest or an RFC 3339 time".to_owned();
        return Err(Problem::BadParameter { name: "from", detail });
    }
    start(stream, &shards, from).await
}

/// `text` as a cursor of all shards, whose positions are not beyond their ends.
///
/// # Errors
/// If it is none.
pub fn position_in_all(stream: &Stream, text: &str, name: &'static str) -> Result<Cursor, Problem> {
    let layout = stream.layout();
    let facts: Vec<_> = layout.shards().iter().map(|shard| &shard.facts).collect();
    let cursor = resume_in((stream, &layout), &facts, text, name)?;
    let is_there = |(shard, position): &(ShardId, SequenceNumber)| {
        layout.get(*shard).is_some_and(|shard| *position <= shard.log_ref().bounds().next)
    };
    if cursor.positions.iter().all(is_there) {
        return Ok(cursor);
    }
    Err(Problem::BadParameter { name, detail: "it is beyond the last record".to_owned() })
}

async fn start(stream: &Stream, shards: &[ShardId], from: &str) -> Result<Cursor, Problem> {
    let start = match (from, from.parse::<u64>()) {
        ("earliest", _) => Start::Earliest,
        ("latest", _) => Start::Latest,
        (_, Ok(number)) if shards.len() == 1 => Start::At(SequenceNumber(number)),
        (text, _) => match DateTime::parse_from_rfc3339(text) {
            Ok(time) => {
                let time = UnixMicros(time.timestamp_micros());
                return Ok(Cursor { positions: stream.positions_at(shards, time).await? });
            }
            Err(_) => {
                let detail =
                    "earliest, latest, an RFC 3339 time, or with 'shard' (or one shard) a sequence number"
                        .to_owned();
                return Err(Problem::BadParameter { name: "from", detail });
            }
        },
    };
    let at = |log: &dyn ShardLog| match start {
        Start::Earliest => log.bounds().first,
        Start::Latest => log.bounds().next,
        Start::At(number) => number,
    };
    let positions = shards.iter().filter_map(|&id| Some((id, at(&*stream.shard(id)?)))).collect();
    Ok(Cursor { positions })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(query in "(from|after|shard|key|where|limit|wait|messages|x)=\\PC{0,20}(&\\PC{0,9})?") {
            for form in [Form::Page, Form::Events, Form::WebSocket] {
                let _ = Sent::read(&query, form);
            }
        }

        #[test]
        fn any_text_is_a_cursor_of_the_shards_or_refused(text in "[0-9_-]{0,30}", shards in 1_u32..4) {
            let shards: Vec<_> = ShardFacts::even(shards, 0, SequenceNumber(0)).collect();
            let shards: Vec<_> = shards.iter().collect();
            if let Ok(cursor) = resume(&shards, &text, "after") {
                prop_assert!(cursor.positions.iter().map(|(id, _)| *id).eq(shards.iter().map(|shard| shard.id)));
            }
        }
    }

    #[test]
    fn a_cursor_of_before_a_split_goes_on_with_the_children() {
        let mut shards: Vec<_> = ShardFacts::even(2, 0, SequenceNumber(5)).collect();
        shards[0].end = Some(SequenceNumber(9));
        shards.push(ShardFacts {
            id: ShardId(2),
            parents: [Some(ShardId(0)), None],
            first: SequenceNumber(9),
            ..shards[0]
        });
        let shards: Vec<_> = shards.iter().collect();
        assert_eq!(resume(&shards, "0-7_1-6", "after").unwrap().to_string(), "0-7_1-6_2-9");
        assert_eq!(resume(&shards, "0-9_1-6_2-11", "after").unwrap().to_string(), "0-9_1-6_2-11");
        assert!(resume(&shards, "0-7_2-9", "after").is_err(), "a shard of the beginning is missing");
    }

    #[test]
    fn each_form_takes_its_own_parameters() {
        for (query, forms) in [
            ("from=latest&after=0-1&shard=x&key=&where=/a=1&where=/b=2", 3),
            ("cursor=a&worker=b", 3),
            ("limit=1&wait=1", 1),
            ("messages=body", 1),
            ("form=latest", 0),
        ] {
            let all = [Form::Page, Form::Events, Form::WebSocket];
            assert_eq!(all.iter().filter(|&&form| Sent::read(query, form).is_ok()).count(), forms, "{query}");
        }
    }
}
