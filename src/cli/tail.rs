//! `forebay tail STREAM`: prints records of a running node as they arrive.
//!
//! It reads server-sent events, and when the connection ends it comes again with the id of the last one, so that nothing
//! is missed or printed twice. With `--cursor` the node keeps the place, and [`share`] tells it how far that is.

mod events;
mod node;
mod share;

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use clap::Args;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::node_url::{Unreachable, WrongUrl, node_url};
use super::stop::Stop;
use super::{Exit, Session};
use crate::runtime::backoff::Backoff;
use crate::runtime::clock;
use events::{Event, EventParser, TooLong};
use node::{TailError, refused};
use share::Share;

/// How long a node is tried again that was there and is gone: longer than a restart takes that has little to recover.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a connection may take to be made, and how long it may be silent: a node gives a sign of life every 15 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// See [`CONNECT_TIMEOUT`].
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// `forebay tail`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 --limit is reached or nobody reads the output any more, 1 the node cannot be reached, refuses, or was away for a minute, 2 wrong arguments. Ctrl-C ends at once; with --cursor it first says what is done and gives the shards back, which a second Ctrl-C does not wait for."
)]
pub struct TailArgs {
    /// The stream
    #[arg(value_name = "STREAM")]
    pub stream: String,
    /// Where to begin: earliest, latest or an RFC 3339 time; with --cursor only where that is new
    #[arg(long, default_value = "latest")]
    pub from: String,
    /// Share the stream with all commands that name this cursor: each prints some of the shards, and the node keeps what
    /// was printed
    #[arg(long, value_name = "NAME", conflicts_with = "shard")]
    pub cursor: Option<String>,
    /// The name of this one of them: whoever has it after a crash goes on at once [default: HOST-PID]
    #[arg(long, value_name = "NAME", requires = "cursor")]
    pub worker: Option<String>,
    /// Only this shard, such as shardId-000000000002
    #[arg(long, value_name = "ID")]
    pub shard: Option<String>,
    /// Only records with this partition key
    #[arg(long)]
    pub key: Option<String>,
    /// Only records whose field has this value: /pointer=VALUE; all of several must hold
    #[arg(long = "where", value_name = "/POINTER=VALUE")]
    pub conditions: Vec<String>,
    /// Print each record with its place and key as a JSON object on a line, instead of for people
    #[arg(long)]
    pub json: bool,
    /// The node
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// End after so many records
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}

/// A record as an event has it.
#[derive(Deserialize)]
struct Record<'a> {
    shard: String,
    sequence_number: String,
    arrival_time: String,
    partition_key: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    data_base64: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Gap {
    skipped: u64,
}

/// `forebay tail`.
///
/// # Errors
/// If the output cannot be written.
pub fn run(args: &TailArgs, session: &mut Session<'_>) -> io::Result<Exit> {
    // The client is built without a TLS provider of its own; a second call finds one installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async { Tail::new(args)?.run(session).await });
    match ended {
        Ok(()) => Ok(Exit::Well),
        Err(TailError::Output(error)) => Err(error),
        Err(error) => {
            writeln!(session.err, "forebay tail: {error}")?;
            Ok(if matches!(error, TailError::Url(_)) { Exit::Usage } else { Exit::NotWell })
        }
    }
}

struct Tail<'a> {
    args: &'a TailArgs,
    client: Client,
    url: Url,
    share: Option<Share>,
    last_id: String,
    /// The node has answered.
    was_there: bool,
    /// The number of the last record of each shard: with many shards an id stands for several records.
    seen: HashMap<String, u64>,
    printed: u64,
}

impl<'a> Tail<'a> {
    fn new(args: &'a TailArgs) -> Result<Self, TailError> {
        let mut url = records_url(args)?;
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_TIMEOUT)
            .build()
            .map_err(TailError::Client)?;
        let share = Share::new(args, &client)?;
        if let (Some(share), Some(cursor)) = (&share, &args.cursor) {
            url.query_pairs_mut().append_pair("cursor", cursor).append_pair("worker", share.worker());
        }
        let (last_id, seen) = (String::new(), HashMap::new());
        Ok(Self { args, client, url, share, last_id, was_there: false, seen, printed: 0 })
    }

    /// Until the limit is reached, the node is not there any more, or, with a named cursor, a signal comes.
    async fn run(&mut self, session: &mut Session<'_>) -> Result<(), TailError> {
        let Some(share) = &self.share else { return self.read(session).await };
        let mut stop = Stop::new()?;
        share.begin().await?;
        let ended = tokio::select! {
            ended = self.read(session) => ended,
            _ = stop.next() => Ok(()),
        };
        // Its connection is gone by now. Also where nobody reads any more, of what somebody has read.
        let Some(share) = &mut self.share else { return ended };
        let left = tokio::select! {
            left = share.leave() => left,
            _ = stop.next() => return ended.and(Err(TailError::NotSaid)),
        };
        if let Ok(Some(told)) = &left {
            writeln!(session.err, "forebay tail: {told}")?;
        }
        ended.and(left.map(|_| ()))
    }

    async fn read(&mut self, session: &mut Session<'_>) -> Result<(), TailError> {
        let (mut backoff, mut away_since) = (Backoff::default(), None);
        while !self.is_done() {
            match self.connect().await {
                Ok(response) => {
                    (backoff, away_since, self.was_there) = (Backoff::default(), None, true);
                    self.print_all(response, session).await?;
                }
                // Only a node that was there is waited for.
                Err(error) if !self.was_there || !error.may_pass() => return Err(error),
                Err(_) => {}
            }
            let now = clock::monotonic();
            if now.duration_since(*away_since.get_or_insert(now)) > PATIENCE {
                return Err(TailError::Away { url: self.url.clone() });
            }
            if !self.is_done() {
                tokio::time::sleep(backoff.next_pause()).await;
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.args.limit.is_some_and(|limit| self.printed >= limit)
    }

    async fn connect(&self) -> Result<Response, TailError> {
        let mut request = self.client.get(self.url.clone()).header("accept", "text/event-stream");
        let last_id = self.share.as_ref().map_or_else(|| self.last_id.clone(), Share::at);
        if !last_id.is_empty() {
            request = request.header("last-event-id", last_id);
        }
        let unreachable = |source| TailError::from(Unreachable { url: self.url.clone(), source });
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if status == StatusCode::OK {
            let is_events =
                |value: &reqwest::header::HeaderValue| value.as_bytes().starts_with(b"text/event-stream");
            let is_ours = response.headers().get("content-type").is_some_and(is_events);
            return if is_ours { Ok(response) } else { Err(TailError::Foreign { url: self.url.clone() }) };
        }
        Err(refused(&self.url, response).await)
    }

    /// Prints what comes until the connection ends.
    async fn print_all(
        &mut self,
        mut response: Response,
        session: &mut Session<'_>,
    ) -> Result<(), TailError> {
        let url = self.url.clone();
        let foreign = |_: TooLong| TailError::Foreign { url: url.clone() };
        let mut parser = EventParser::default();
        loop {
            let piece = tokio::select! {
                piece = response.chunk() => piece,
                () = due(self.share.as_ref()) => {
                    self.commit(session).await?;
                    continue;
                }
            };
            // A connection that breaks is taken up again, like one that ends.
            let Ok(Some(piece)) = piece else { return Ok(()) };
            parser.push(&piece).map_err(foreign)?;
            while let Some(event) = parser.next_event() {
                self.print(&event, session)?;
                if self.is_done() {
                    break;
                }
            }
            session.out.flush()?;
            if let Some(share) = &mut self.share {
                share.flushed();
            }
            if self.is_done() {
                return Ok(());
            }
        }
    }

    async fn commit(&mut self, session: &mut Session<'_>) -> Result<(), TailError> {
        let Some(share) = &mut self.share else { return Ok(()) };
        if let Some(told) = share.commit().await? {
            writeln!(session.err, "forebay tail: {told}")?;
        }
        Ok(())
    }

    fn print(&mut self, event: &Event, session: &mut Session<'_>) -> Result<(), TailError> {
        match event.name.as_str() {
            "record" => self.print_record(&event.data, session)?,
            "gap" => {
                if let Ok(Gap { skipped }) = serde_json::from_str(&event.data) {
                    writeln!(
                        session.err,
                        "forebay tail: {skipped} records were gone before they could be read"
                    )?;
                }
            }
            _ => {}
        }
        match (&event.id, &mut self.share) {
            // That of a record is the place behind it, which is noted as it is printed.
            (Some(id), Some(share)) if event.name != "record" => share.take_id(id),
            (Some(id), None) => self.last_id.clone_from(id),
            _ => {}
        }
        Ok(())
    }

    fn print_record(&mut self, data: &str, session: &mut Session<'_>) -> Result<(), TailError> {
        let foreign = |_| TailError::Foreign { url: self.url.clone() };
        let record: Record<'_> = serde_json::from_str(data).map_err(foreign)?;
        let number = record.sequence_number.parse().unwrap_or(u64::MAX);
        // What a named cursor sends again is wanted again: it was reset, or a lease was over.
        if self.share.is_none() && self.seen.get(&record.shard).is_some_and(|&seen| number <= seen) {
            return Ok(());
        }
        let Record { shard, sequence_number, arrival_time, partition_key, data: payload, data_base64 } =
            record;
        if self.args.json {
            writeln!(session.out, "{data}")?;
        } else {
            let payload = payload.or(data_base64).map_or("", RawValue::get);
            writeln!(session.out, "{arrival_time} {shard} {sequence_number} {partition_key:?} {payload}")?;
        }
        match &mut self.share {
            Some(share) => share.take_record(&shard, number),
            None => drop(self.seen.insert(shard, number)),
        }
        self.printed += 1;
        Ok(())
    }
}

async fn due(share: Option<&Share>) {
    match share {
        Some(share) => share.due().await,
        None => std::future::pending().await,
    }
}

fn records_url(args: &TailArgs) -> Result<Url, WrongUrl> {
    let mut url = node_url(&args.url, &["v1", "streams", &args.stream, "records"])?;
    let mut query = url.query_pairs_mut();
    query.clear();
    if args.cursor.is_none() {
        query.append_pair("from", &args.from);
    }
    for (name, value) in [("shard", &args.shard), ("key", &args.key)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    for condition in &args.conditions {
        query.append_pair("where", condition);
    }
    drop(query);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Cli, Command};
    use super::*;

    fn args(words: &[&str]) -> TailArgs {
        let words = ["forebay", "tail"].into_iter().chain(words.iter().copied());
        match Cli::try_parse_from(words).unwrap().command {
            Command::Tail(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_arguments_become_the_query() {
        let url = records_url(&args(&["clicks"])).unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:8080/v1/streams/clicks/records?from=latest");
        let all = args(&[
            "s",
            "--from",
            "earliest",
            "--key",
            "a b",
            "--where",
            "/a=1",
            "--where",
            "/b=x&y",
            "--url",
            "https://edge.example/proxy/",
        ]);
        assert_eq!(
            records_url(&all).unwrap().as_str(),
            "https://edge.example/proxy/v1/streams/s/records?from=earliest&key=a+b&where=%2Fa%3D1&where=%2Fb%3Dx%26y"
        );
        assert!(records_url(&args(&["s", "--url", "nothing"])).is_err());
    }

    #[test]
    fn a_record_is_printed_once() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let json = args(&["s", "--json"]);
        let mut tail = Tail::new(&json).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut session = Session { env: &|_| None, out: &mut out, err: &mut err };
        let record = |number| {
            format!(
                "{{\"shard\":\"a\",\"sequence_number\":\"{number}\",\"arrival_time\":\"t\",\"partition_key\":\"k\",\"data\":{{}}}}"
            )
        };
        for number in [1, 2, 2, 1, 3] {
            let event =
                Event { id: Some(number.to_string()), name: "record".to_owned(), data: record(number) };
            tail.print(&event, &mut session).unwrap();
        }
        let gap = Event { id: None, name: "gap".to_owned(), data: "{\"skipped\":5}".to_owned() };
        tail.print(&gap, &mut session).unwrap();
        assert_eq!((tail.printed, tail.last_id.as_str()), (3, "3"));
        assert_eq!(String::from_utf8(out).unwrap(), format!("{}\n{}\n{}\n", record(1), record(2), record(3)));
        assert!(String::from_utf8(err).unwrap().contains("5 records were gone"));
    }
}
