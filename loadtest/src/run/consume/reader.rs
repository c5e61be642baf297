//! One reader: comes in at the end of the stream, comes again where it was when the connection breaks.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use forebay::runtime::clock;
use forebay::testkit::generators::envelope;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::super::account::Times;
use super::super::link::connect::Dialer;
use super::{Seconds, Stamps, State, TapKind};
use crate::verify::bitmap::Bitmap;

/// Pause before a reader comes again.
const AGAIN: Duration = Duration::from_millis(200);

/// Bytes of an event that is not whole yet.
const EVENT_BYTES_MAX: usize = 32 << 20;

/// What all readers share.
pub(super) struct Source {
    pub(super) dialer: Dialer,
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) is_tls: bool,
    pub(super) authorization: Option<HeaderValue>,
    /// Places of producers by name.
    pub(super) producers: HashMap<String, usize>,
    pub(super) stamps: Arc<Stamps>,
    pub(super) kind: TapKind,
}

/// What a reader has seen.
pub(super) struct Seen {
    pub(super) times: Times,
    pub(super) records: u64,
    pub(super) duplicated: u64,
    pub(super) reordered: u64,
    pub(super) skipped: u64,
    pub(super) foreign: u64,
    pub(super) reconnects: u64,
    /// By place of the producer.
    pub(super) bitmaps: Vec<Bitmap>,
}

/// A record as taps show it.
#[derive(Deserialize)]
struct Shown<'a> {
    #[serde(borrow)]
    shard: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, default)]
    records: Vec<Shown<'a>>,
    next: Option<String>,
    #[serde(default)]
    skipped: u64,
}

#[derive(Deserialize)]
struct Gap {
    skipped: u64,
}

/// Why a connection is no more.
enum End {
    /// It broke; another may be better.
    Broken,
    /// The server does not want it.
    Refused(String),
}

/// A server that starts, or has too many readers, may be better later.
fn refusal(status: StatusCode) -> End {
    match status {
        StatusCode::TOO_MANY_REQUESTS => End::Broken,
        status if status.is_server_error() => End::Broken,
        status => End::Refused(format!("the server says {status}")),
    }
}

pub(super) struct Reader {
    source: Arc<Source>,
    state: Arc<State>,
    seconds: Rc<RefCell<Seconds>>,
    seen: Seen,
    /// The last sequence of each shard and producer.
    last: HashMap<(String, usize), u64>,
    cursor: Option<String>,
    is_open: bool,
}

impl Reader {
    pub(super) fn new(source: Arc<Source>, state: Arc<State>, seconds: Rc<RefCell<Seconds>>) -> Self {
        let seen = Seen {
            times: Times::new(),
            records: 0,
            duplicated: 0,
            reordered: 0,
            skipped: 0,
            foreign: 0,
            reconnects: 0,
            bitmaps: source.producers.iter().map(|_| Bitmap::default()).collect(),
        };
        Self { source, state, seconds, seen, last: HashMap::new(), cursor: None, is_open: false }
    }

    /// Reads until it is told to end, whatever it waits for: a connection, an answer, the next record. A reader that
    /// always finds something to read is no exception, because tokio has each task look up after so many reads.
    pub(super) async fn work(mut self) -> Seen {
        let mut told = self.state.ended.subscribe();
        tokio::select! {
            biased;
            // Who tells is gone only after the readers.
            _ = told.wait_for(|is_ended| *is_ended) => {}
            () = self.read() => {}
        }
        self.seen
    }

    /// Reads for as long as the server wants it.
    async fn read(&mut self) {
        loop {
            let end = match self.source.kind {
                TapKind::Events => self.events().await,
                TapKind::WebSocket => self.pages().await,
            };
            match end {
                // Before the load has begun it is the plan that is wrong; later the server may only be away.
                End::Refused(reason) if !self.is_open => {
                    if let Ok(mut refused) = self.state.refused.lock() {
                        *refused = Some(reason);
                    }
                    return;
                }
                End::Broken | End::Refused(_) => self.seen.reconnects += u64::from(self.is_open),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn opened(&mut self) {
        if !self.is_open {
            self.is_open = true;
            self.state.open.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn query(&self) -> String {
        match &self.cursor {
            Some(cursor) => format!("after={cursor}"),
            None => "from=latest".to_owned(),
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.extend(self.source.authorization.clone().map(|shown| (header::AUTHORIZATION, shown)));
        headers
    }

    async fn events(&mut self) -> End {
        let Ok(stream) = self.source.dialer.dial().await else { return End::Broken };
        let Ok((mut sender, connection)) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await
        else {
            return End::Broken;
        };
        let drive = tokio::spawn(async move { drop(connection.await) });
        let request = Request::get(format!("{}?{}", self.source.path, self.query()))
            .header(header::HOST, &self.source.authority)
            .header(header::ACCEPT, "text/event-stream")
            .body(Empty::<Bytes>::new());
        let Ok(mut request) = request else { return End::Refused("the URL makes no path".to_owned()) };
        request.headers_mut().extend(self.headers());
        let end = match sender.send_request(request).await {
            Ok(response) if response.status() == 200 => {
                self.opened();
                self.read_events(response.into_body()).await
            }
            Ok(response) => refusal(response.status()),
            Err(_) => End::Broken,
        };
        drive.abort();
        end
    }

    async fn read_events(&mut self, mut body: hyper::body::Incoming) -> End {
        let mut text: Vec<u8> = Vec::new();
        loop {
            let Some(Ok(frame)) = body.frame().await else { return End::Broken };
            let Ok(data) = frame.into_data() else { continue };
            text.extend_from_slice(&data);
            let mut done = 0;
            while let Some(end) = text[done..].windows(2).position(|pair| pair == b"\n\n") {
                let event = String::from_utf8_lossy(&text[done..done + end]).into_owned();
                done += end + 2;
                self.event(&event);
            }
            text.drain(..done);
            if text.len() > EVENT_BYTES_MAX {
                return End::Broken;
            }
        }
    }

    fn event(&mut self, event: &str) {
        let (mut kind, mut data) = ("message", "");
        for line in event.lines() {
            match line.split_once(": ") {
                Some(("event", value)) => kind = value,
                Some(("data", value)) => data = value,
                Some(("id", value)) => self.cursor = Some(value.to_owned()),
                _ => {}
            }
        }
        match kind {
            "record" => {
                if let Ok(shown) = serde_json::from_str::<Shown<'_>>(data) {
                    self.record(&shown);
                }
            }
            "gap" => self.seen.skipped += serde_json::from_str::<Gap>(data).map_or(0, |gap| gap.skipped),
            _ => {}
        }
    }

    async fn pages(&mut self) -> End {
        let Ok(stream) = self.source.dialer.dial().await else { return End::Broken };
        let scheme = if self.source.is_tls { "wss" } else { "ws" };
        let url = format!("{scheme}://{}{}?{}", self.source.authority, self.source.path, self.query());
        let Ok(mut request) = url.into_client_request() else {
            return End::Refused("the URL makes no path".to_owned());
        };
        request.headers_mut().extend(self.headers());
        let mut socket = match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => socket,
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
                return refusal(response.status());
            }
            Err(_) => return End::Broken,
        };
        self.opened();
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    if let Ok(page) = serde_json::from_str::<Page<'_>>(text.as_str()) {
                        page.records.iter().for_each(|shown| self.record(shown));
                        self.seen.skipped += page.skipped;
                        self.cursor = page.next.or(self.cursor.take());
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return End::Broken,
            }
        }
    }

    fn record(&mut self, shown: &Shown<'_>) {
        let now = clock::monotonic();
        let envelope = envelope::split(shown.data.get()).map(|(envelope, _)| envelope);
        let producer = envelope.and_then(|envelope| self.source.producers.get(envelope.producer).copied());
        let Some((envelope, producer)) = envelope.zip(producer) else {
            self.seen.foreign += 1;
            return;
        };
        self.seen.records += 1;
        let sequence = envelope.sequence;
        if !self.seen.bitmaps[producer].insert(sequence).is_new {
            self.seen.duplicated += 1;
            return;
        }
        self.state.distinct.fetch_add(1, Ordering::AcqRel);
        let age = self.source.stamps.age(producer, sequence, now);
        age.into_iter().for_each(|age| self.seen.times.record(age));
        if let Some(start) = self.state.start.get() {
            self.seconds.borrow_mut().count(*start, now, age);
        }
        // A shard that was split goes on under other names: within each, order is all that is promised.
        match self.last.get_mut(&(shown.shard.as_ref().to_owned(), producer)) {
            Some(last) if sequence < *last => self.seen.reordered += 1,
            Some(last) => *last = sequence,
            None => drop(self.last.insert((shown.shard.as_ref().to_owned(), producer), sequence)),
        }
    }
}
