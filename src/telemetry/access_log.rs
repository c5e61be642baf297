//! The access log: one line of JSON a request, for all of them or a part.
//!
//! A line never has anything of the query or the body, nor of a header besides the user agent: they may hold secrets.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http::{Method, Version};
use serde::{Serialize, Serializer};

use super::lines::{Lines, Place, Writer};
use super::metrics::Registry;
use super::text::{self, Time};
use crate::config::checked;
use crate::config::limits::{LOG_LINE_PATH_BYTES, LOG_LINE_TEXT_BYTES};
use crate::runtime::clock::UnixMicros;

/// What is told of a request. What is not known of it is `null`.
#[derive(Debug, Serialize)]
pub struct Access<'a> {
    /// When its head was there.
    #[serde(serialize_with = "time")]
    pub time: UnixMicros,
    /// Its id.
    pub request_id: &'a str,
    /// Its trace, if it has one.
    pub trace_id: Option<String>,
    /// Address of the client; none over a Unix socket.
    #[serde(serialize_with = "client")]
    pub client: Option<IpAddr>,
    /// Request method.
    #[serde(serialize_with = "method")]
    pub method: &'a Method,
    /// Path without the query.
    #[serde(serialize_with = "path")]
    pub path: &'a str,
    /// What the path stands for: the label of the metrics.
    pub route: &'static str,
    /// The stream that it is about.
    pub stream: Option<&'a str>,
    /// Status of the answer.
    pub status: u16,
    /// The code of the refusal, if it is one.
    pub code: Option<&'static str>,
    /// Bytes of the body as it came.
    pub bytes_in: Option<u64>,
    /// Bytes of the answer's body; none of one that is streamed behind its head.
    pub bytes_out: Option<u64>,
    /// Records that were appended.
    pub records: Option<u64>,
    /// Time from the head to the end of the body.
    pub body_us: Option<u64>,
    /// Time from then until the records were as durable as their stream has it.
    pub append_us: Option<u64>,
    /// Time from the head to the answer's.
    pub total_us: u64,
    /// Who has sent it.
    pub principal: Option<&'a str>,
    /// What proves that: the word of the configuration.
    pub identity: Option<&'static str>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Version of HTTP.
    #[serde(serialize_with = "version")]
    pub http: Version,
    /// `User-Agent`.
    #[serde(serialize_with = "agent")]
    pub user_agent: Option<&'a [u8]>,
}

fn time<S: Serializer>(time: &UnixMicros, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Time(*time))
}

fn client<S: Serializer>(client: &Option<IpAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    match client {
        Some(client) => serializer.collect_str(client),
        None => serializer.serialize_str("unix"),
    }
}

fn method<S: Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text::shortened(method.as_str(), LOG_LINE_TEXT_BYTES))
}

fn path<S: Serializer>(path: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text::shortened(path, LOG_LINE_PATH_BYTES))
}

fn version<S: Serializer>(version: &Version, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text::http_version(*version))
}

fn agent<S: Serializer>(agent: &Option<&[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    match agent {
        Some(agent) => serializer.serialize_str(&text::shown(agent, LOG_LINE_TEXT_BYTES)),
        None => serializer.serialize_none(),
    }
}

/// See the module.
#[derive(Debug)]
pub struct AccessLog {
    is_on: AtomicBool,
    /// The bits of a number from 0 to 1.
    sample: AtomicU64,
    errors: AtomicBool,
    lines: Arc<Lines>,
}

impl AccessLog {
    /// Begins it.
    ///
    /// # Errors
    /// If its file cannot be had.
    pub fn open(config: &checked::AccessLog, registry: &Registry) -> io::Result<(Self, Writer)> {
        let (lines, writer) = Lines::open("access log", &config.to, registry.lines("access"))?;
        let sample = AtomicU64::new(config.sample.to_bits());
        let (is_on, errors) = (AtomicBool::new(true), AtomicBool::new(config.errors));
        Ok((Self { is_on, sample, errors, lines }, writer))
    }

    /// Has other requests get lines from now on; none at all without a configuration. Lines that are left already are
    /// written all the same.
    pub fn set(&self, config: Option<&checked::AccessLog>) {
        if let Some(config) = config {
            self.sample.store(config.sample.to_bits(), Ordering::Relaxed);
            self.errors.store(config.errors, Ordering::Relaxed);
        }
        self.is_on.store(config.is_some(), Ordering::Relaxed);
    }

    /// Whether any request gets a line.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Whether a request that is answered so gets a line.
    pub fn wants(&self, status: u16) -> bool {
        if !self.is_on() {
            return false;
        }
        let sample = f64::from_bits(self.sample.load(Ordering::Relaxed));
        (self.errors.load(Ordering::Relaxed) && status >= 400) || sample >= 1.0 || fastrand::f64() < sample
    }

    /// Has lines written elsewhere from now on.
    pub fn move_to(&self, place: Place) {
        self.lines.move_to(place);
    }

    /// Leaves its line.
    pub fn write(&self, access: &Access<'_>) {
        self.lines.add(|line| {
            let start = line.len();
            // Strings and numbers always serialise; half a line would be worse than none.
            if serde_json::to_writer(&mut *line, access).is_err() {
                line.truncate(start);
            }
        });
    }

    /// Has its file opened again.
    pub fn reopen(&self) {
        self.lines.reopen();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn access<'a>(path: &'a str, agent: &'a [u8]) -> Access<'a> {
        Access {
            time: UnixMicros(1_763_791_200_123_456),
            request_id: "id",
            trace_id: None,
            client: Some([127, 0, 0, 1].into()),
            method: &Method::POST,
            path,
            route: "records",
            stream: Some("s"),
            status: 200,
            code: None,
            bytes_in: Some(2),
            bytes_out: None,
            records: Some(1),
            body_us: Some(10),
            append_us: Some(20),
            total_us: 35,
            principal: None,
            identity: None,
            tls: false,
            http: Version::HTTP_2,
            user_agent: Some(agent),
        }
    }

    #[test]
    fn a_line_has_all_that_is_known_and_hostile_text_stays_short_and_in_its_line() {
        let line = serde_json::to_string(&access("/v1", b"curl")).unwrap();
        assert_eq!(
            line,
            "{\"time\":\"2025-11-22T06:00:00.123456Z\",\"request_id\":\"id\",\"trace_id\":null,\"client\":\"127.0.0.1\",\
             \"method\":\"POST\",\"path\":\"/v1\",\"route\":\"records\",\"stream\":\"s\",\"status\":200,\"code\":null,\
             \"bytes_in\":2,\"bytes_out\":null,\"records\":1,\"body_us\":10,\"append_us\":20,\"total_us\":35,\
             \"principal\":null,\"identity\":null,\"tls\":false,\"http\":\"2\",\"user_agent\":\"curl\"}"
        );
        let (path, agent) = ("/".repeat(100_000), b"\n\"\xff\\".repeat(1_000));
        let line = serde_json::to_string(&access(&path, &agent)).unwrap();
        assert!(line.len() < 4_000 && !line.contains('\n'), "{}", line.len());
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["path"].as_str().unwrap().len(), LOG_LINE_PATH_BYTES);
    }

    #[test]
    fn a_part_of_the_requests_and_every_error_get_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = checked::LogFile {
            path: folder.path().join("a.log"),
            bytes_max: 1 << 20,
            age_max: Duration::from_secs(60),
            kept: 1,
            is_compressed: false,
        };
        let registry = Registry::new().unwrap();
        let open = |sample, errors| {
            let config = checked::AccessLog { sample, errors, to: checked::LogTo::File(file.clone()) };
            AccessLog::open(&config, &registry).unwrap()
        };
        let count = |log: &AccessLog, status| (0..100_000).filter(|_| log.wants(status)).count();
        let (log, writer) = open(0.01, true);
        // Six standard deviations of a binomial distribution to each side.
        assert!((811..=1_189).contains(&count(&log, 200)), "{}", count(&log, 200));
        assert_eq!(count(&log, 404), 100_000);
        writer.end();
        let (log, writer) = open(0.0, false);
        assert_eq!((count(&log, 200), count(&log, 500)), (0, 0));
        writer.end();
        let (log, writer) = open(1.0, false);
        assert_eq!((count(&log, 200), count(&log, 500)), (100_000, 100_000));
        writer.end();
    }
}
