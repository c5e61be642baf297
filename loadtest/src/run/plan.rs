//! What a run is asked to do, and what about that makes no sense.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use chrono::{DateTime, Utc};
use forebay::config::limits::REQUEST_RECORDS_MAX;
use forebay::testkit::generators::Profile;
use http::uri::Scheme;
use http::{HeaderValue, Uri};
use thiserror::Error;

use super::aws::Credentials;
use super::consume::{TAPS_MAX, TapKind};
use super::file_part::FilePart;
use super::link::connect::Trust;
use super::workload::{Class, Protocol, Span};

/// Connections of a run. Each costs a socket, a few KiB, and the bodies that are made ahead for it.
pub const CONNECTIONS_MAX: u32 = 20_000;

/// Requests under way on a connection.
pub const PIPELINE_MAX: u32 = 1_000;

/// Requests under way on all connections. Each costs the bodies that are made ahead for it, and about 2 KiB.
pub const UNDER_WAY_MAX: u64 = 100_000;

/// Producers of a run. Each costs about 200 bytes.
pub const PRODUCERS_MAX: u32 = 1_000_000;

/// What a run is asked to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the server is.
    pub target: Target,
    /// What `Authorization` shows of the sender, marked as a secret.
    pub authorization: Option<HeaderValue>,
    /// Which stream to post to.
    pub stream: String,
    /// Where the records come from.
    pub source: Source,
    /// Which lines of a file are replayed. Not for records that are made.
    pub file_part: FilePart,
    /// When a request starts.
    pub mode: Mode,
    /// Connections, each with `pipeline` requests at a time.
    pub connections: u32,
    /// Requests that may be under way on each connection (HTTP/1.1 and HTTP/2). Those of one producer are never so
    /// together.
    pub pipeline: u32,
    /// Threads that the connections are spread over.
    pub threads: u32,
    /// Threads that make bodies ahead of the connections.
    pub feeders: u32,
    /// Producers, spread over the connections; a producer has one request at a time under way, so that there are at
    /// least as many as requests that may be.
    pub producers: u32,
    /// When it ends: after so long, …
    pub duration: Option<Duration>,
    /// … or after so many records, whatever comes first. A replay without either sends its file once.
    pub records: Option<u64>,
    /// Records in a request. 1 sends single events as `application/json`.
    pub batch: u32,
    /// Bytes of a record, about; 0 for the natural size. Not for replays.
    pub record_bytes: usize,
    /// Number of partition keys. Not for replays.
    pub keys: u32,
    /// Zipf exponent of the keys; 0 means all alike. Not for replays.
    pub zipf: f64,
    /// `Content-Encoding` of the bodies.
    pub compression: Compression,
    /// When the load begins, so that several processes and machines begin together; nothing means at once.
    pub start_at: Option<DateTime<Utc>>,
    /// Seed of the records.
    pub seed: u64,
    /// What the producers' names hold, so that two runs into one stream can be told apart.
    pub run_name: String,
    /// For how long a refused or broken request is tried again, across restarts of the server; `None` means never.
    pub retry: Option<Duration>,
    /// Whether each request carries an `Idempotency-Key`, the same one with each try.
    pub idempotent: bool,
    /// After how long without a reply a request counts as broken.
    pub timeout: Duration,
    /// The process whose CPU time and memory are read.
    pub server_pid: Option<u32>,
    /// The same for a process that is started again under another number.
    pub followed_pid: Option<Arc<AtomicU32>>,
    /// How long to go on reading them after the last reply, for the work that the server still does.
    pub settle: Duration,
    /// Where the server tells its metrics, path included; asked once a second.
    pub metrics: Option<Target>,
    /// Parts of the load; empty for one part of all, over the native route.
    pub mix: Vec<Class>,
    /// Readers of the stream, in the same process.
    pub taps: u32,
    /// How they come in.
    pub tap_kind: TapKind,
    /// Whom to trust where the URL begins with `https`.
    pub trust: Trust,
    /// Who signs requests of the APIs of AWS; they are not signed without.
    pub credentials: Option<Credentials>,
}

impl Default for Plan {
    /// What the command line does where it is told nothing; without an end and a name of its own.
    fn default() -> Self {
        Self {
            target: Target {
                authority: "127.0.0.1:8080".into(),
                host: "127.0.0.1".into(),
                port: 8_080,
                prefix: String::new(),
                is_tls: false,
            },
            authorization: None,
            stream: Profile::Clickstream.name().into(),
            source: Source::Profile(Profile::Clickstream),
            file_part: FilePart::WHOLE,
            mode: Mode::Closed,
            connections: 8,
            pipeline: 1,
            threads: 1,
            feeders: 1,
            producers: 8,
            duration: None,
            records: None,
            batch: 100,
            record_bytes: 0,
            keys: 10_000,
            zipf: 1.0,
            compression: Compression::None,
            start_at: None,
            seed: 1,
            run_name: "run".into(),
            retry: None,
            idempotent: false,
            timeout: Duration::from_secs(30),
            server_pid: None,
            followed_pid: None,
            settle: Duration::ZERO,
            metrics: None,
            mix: Vec::new(),
            taps: 0,
            tap_kind: TapKind::Events,
            trust: Trust::System,
            credentials: None,
        }
    }
}

/// Where records come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// They are made.
    Profile(Profile),
    /// They are read from NDJSON, plain or gzip (`.gz`).
    File(PathBuf),
}

impl Source {
    /// The first part of the producers' names.
    pub fn name(&self) -> &'static str {
        match self {
            Source::Profile(profile) => profile.name(),
            Source::File(_) => forebay::testkit::generators::envelope::REPLAY,
        }
    }
}

/// When a request starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// On schedule, whatever became of the ones before it.
    Open {
        /// Records a second, over all connections.
        rate: f64,
    },
    /// As soon as its connection is free.
    Closed,
}

/// `Content-Encoding` of the bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// Level 1.
    Gzip,
    /// Level 1.
    Zstd,
}

impl Compression {
    /// The header's value.
    pub fn content_encoding(self) -> Option<&'static str> {
        match self {
            Compression::None => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
        }
    }
}

/// A server, from a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Host and port, as in the `Host` header.
    pub authority: String,
    /// Name or address to connect to.
    pub host: String,
    /// Port to connect to.
    pub port: u16,
    /// Path in front of `/v1/…`; no slash at its end.
    pub prefix: String,
    /// Whether it speaks TLS.
    pub is_tls: bool,
}

impl Target {
    /// Reads `http[s]://host[:port][/prefix]`.
    pub fn parse(url: &str) -> Result<Self, PlanError> {
        let bad = |reason| PlanError::Url { url: url.to_owned(), reason };
        let uri: Uri = url.parse().map_err(|_| bad("is no URL"))?;
        let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
        if !is_tls && uri.scheme() != Some(&Scheme::HTTP) {
            return Err(bad("does not begin with http:// or https://"));
        }
        let authority = uri.authority().ok_or_else(|| bad("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("holds a user name, which is never sent"));
        }
        if uri.query().is_some() {
            return Err(bad("has a query"));
        }
        Ok(Self {
            authority: authority.to_string(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            is_tls,
        })
    }
}

/// What makes no sense about a plan.
#[derive(Debug, Error, PartialEq)]
pub enum PlanError {
    /// Not a URL that load can be sent to.
    #[error("{url:?} {reason}: give http://HOST:PORT or https://HOST:PORT")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Not a mix.
    #[error("--mix: {text:?} {reason}: give NAME:WEIGHT[:batch=N[..M]][:size=N[..M]], parted by commas")]
    Mix {
        /// What was given.
        text: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Not for this protocol.
    #[error("{name} {reason}")]
    Protocol {
        /// The protocol's name.
        name: &'static str,
        /// What does not go together.
        reason: &'static str,
    },
    /// A number out of its range.
    #[error("--{option} {value} cannot be used: give {allowed}")]
    Range {
        /// The option's name.
        option: &'static str,
        /// What was given.
        value: String,
        /// What can be given.
        allowed: String,
    },
    /// Not a name that can be part of a producer's name.
    #[error("--run-name {0:?} cannot be used: give 1 to 64 of a-z A-Z 0-9 _ . -")]
    RunName(String),
    /// Not a name that a stream can have.
    #[error("--stream {0:?} cannot be used: give 1 to 128 of a-z A-Z 0-9 _ . -")]
    Stream(String),
    /// It would never end.
    #[error("the run has no end: give --duration or --records")]
    Endless,
}

impl Plan {
    /// All of the load as one part.
    pub fn whole(&self) -> Class {
        let record_bytes = Span::one(self.record_bytes as u32);
        Class { protocol: Protocol::Native, weight: 1.0, batch: Span::one(self.batch), record_bytes }
    }

    /// Requests that may be under way at the same time.
    pub fn lanes(&self) -> usize {
        self.connections as usize * self.pipeline as usize
    }

    /// The parts of the load.
    pub fn classes(&self) -> Vec<Class> {
        if self.mix.is_empty() { vec![self.whole()] } else { self.mix.clone() }
    }

    /// Says what makes no sense, also about being shared by `processes`: each of them has to have something to do.
    pub fn check_shared(&self, processes: u32) -> Result<(), PlanError> {
        self.check()?;
        let too_few = |option, value: u64, least: u64, each: &str| {
            let allowed = format!("at least {least} ({each} for each of {processes} --processes)");
            (value < least).then(|| PlanError::Range { option, value: value.to_string(), allowed })
        };
        let count = u64::from(processes);
        let parts = self.classes().len() as u64;
        let each = if parts == 1 { "one" } else { "one for each part of the mix, and that" };
        let connections = too_few("connections", self.connections.into(), parts * count, each);
        let records = self.records.and_then(|records| too_few("records", records, count, "one"));
        connections.or(records).map_or(Ok(()), Err)
    }

    fn check_classes(&self) -> Result<(), PlanError> {
        let classes = self.classes();
        within("connections", self.connections.into(), classes.len() as u64, CONNECTIONS_MAX.into())?;
        for class in &classes {
            let bad = |reason| PlanError::Protocol { name: class.protocol.name(), reason };
            class.check().map_err(bad)?;
            within("batch", class.batch.low.into(), 1, REQUEST_RECORDS_MAX as u64)?;
            within("batch", class.batch.high.into(), 1, REQUEST_RECORDS_MAX as u64)?;
            if class.protocol == Protocol::WebSocket && self.pipeline > 1 {
                return Err(bad("has one message under way on a connection: leave --pipeline out"));
            }
            let is_plain = matches!(class.protocol, Protocol::Native | Protocol::Http2);
            if !is_plain && self.compression != Compression::None {
                return Err(bad("has no content encodings: leave --compression out"));
            }
        }
        Ok(())
    }

    /// Says what makes no sense.
    pub fn check(&self) -> Result<(), PlanError> {
        within("connections", self.connections.into(), 1, CONNECTIONS_MAX.into())?;
        within("pipeline", self.pipeline.into(), 1, PIPELINE_MAX.into())?;
        within("connections times --pipeline", self.lanes() as u64, 1, UNDER_WAY_MAX)?;
        within("threads", self.threads.into(), 1, 256)?;
        within("feeders", self.feeders.into(), 1, 256)?;
        within("batch", self.batch.into(), 1, REQUEST_RECORDS_MAX as u64)?;
        self.check_classes()?;
        within("tap", self.taps.into(), 0, TAPS_MAX.into())?;
        // A producer's records are in order only if the next request waits for the one before.
        within("producers", self.producers.into(), self.lanes() as u64, PRODUCERS_MAX.into())?;
        if let Mode::Open { rate } = self.mode
            && !(rate > 0.0 && rate <= 1e9)
        {
            let allowed = "more than 0, up to 1000000000 records a second".to_owned();
            return Err(PlanError::Range { option: "rate", value: rate.to_string(), allowed });
        }
        if !is_word(&self.run_name, 64) {
            return Err(PlanError::RunName(self.run_name.clone()));
        }
        if !is_word(&self.stream, 128) {
            return Err(PlanError::Stream(self.stream.clone()));
        }
        let is_endless = self.duration.is_none() && self.records.is_none();
        if is_endless && matches!(self.source, Source::Profile(_)) {
            return Err(PlanError::Endless);
        }
        Ok(())
    }
}

fn within(option: &'static str, value: u64, least: u64, most: u64) -> Result<(), PlanError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let allowed = match option {
        "producers" => format!("{least} (one for each connection, times --pipeline) to {most}"),
        _ => format!("{least} to {most}"),
    };
    Err(PlanError::Range { option, value: value.to_string(), allowed })
}

fn is_word(text: &str, bytes_max: usize) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests;
