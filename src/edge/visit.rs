//! What is noted of a request on its way, for its answer, for logs and for traces.

mod conclude;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::{HeaderMap, header, request};

use super::Edge;
use super::gate::facts::Facts;
use super::identity::credentials::API_KEY;
use super::listen::client;
use super::listen::socket::Peer;
use super::problem::Problem;
use crate::config::checked::{RequestIds, Server};
use crate::runtime::clock::{self, UnixMicros};
use crate::telemetry::audit::{Acted, Origin, Refused, Who};
use crate::telemetry::request_id::RequestId;
use crate::telemetry::trace::{Step, TraceContext};

/// In place of a number that is not known.
const UNKNOWN: u64 = u64::MAX;

/// One request from its head to its answer. Whoever finds something out notes it here; the first note counts.
#[derive(Debug)]
pub struct Visit {
    /// Its id.
    pub id: RequestId,
    /// Address of the client; none over a Unix socket.
    pub client: Option<IpAddr>,
    /// Its step of a trace, if it belongs to one.
    pub step: Option<Step>,
    started: Instant,
    /// Whether anybody wants to know how long it takes.
    is_timed: bool,
    body_us: AtomicU64,
    appended_us: AtomicU64,
    bytes_in: AtomicU64,
    records: AtomicU64,
    stream: OnceLock<Arc<str>>,
    who: OnceLock<Who>,
    claimed: OnceLock<Who>,
    code: OnceLock<&'static str>,
}

impl Visit {
    /// Begins with the head of a request that has come at `started`.
    pub fn begin(edge: &Edge, peer: &Peer, head: &request::Parts, started: Instant) -> Self {
        let step = edge.observer.step(&head.headers);
        let is_recorded = step.as_ref().is_some_and(|step| step.recorded.is_some());
        Self {
            id: id(&edge.server, peer, &head.headers),
            client: client::address(peer.address, &head.headers, &edge.server.trusted_proxies),
            step,
            started,
            is_timed: edge.observer.access().is_some() || is_recorded,
            body_us: AtomicU64::new(UNKNOWN),
            appended_us: AtomicU64::new(UNKNOWN),
            bytes_in: AtomicU64::new(UNKNOWN),
            records: AtomicU64::new(UNKNOWN),
            stream: OnceLock::new(),
            who: OnceLock::new(),
            claimed: OnceLock::new(),
            code: OnceLock::new(),
        }
    }

    /// The body has come in whole, of so many bytes as they came.
    pub fn has_body(&self, bytes: u64) {
        if self.is_timed {
            self.bytes_in.store(bytes, Ordering::Relaxed);
            self.body_us.store(micros(self.elapsed()), Ordering::Relaxed);
        }
    }

    /// So many records were appended, and are as durable as their stream has it.
    pub fn has_appended(&self, records: u64) {
        if self.is_timed {
            self.records.store(records, Ordering::Relaxed);
            self.appended_us.store(micros(self.elapsed()), Ordering::Relaxed);
        }
    }

    /// It is about that stream, which its path does not name.
    pub fn is_about(&self, stream: &str) {
        self.stream.get_or_init(|| Arc::from(stream));
    }

    /// It is known who has sent it.
    pub fn is_of(&self, who: Who) {
        self.who.get_or_init(|| who);
    }

    /// Its head says who has sent it, and only its body can prove that.
    pub fn claims_to_be_of(&self, who: Who) {
        self.claimed.get_or_init(|| who);
    }

    /// It is refused with that code.
    pub fn is_refused(&self, code: &'static str) {
        self.code.get_or_init(|| code);
    }

    /// Time since the head was there.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Wall clock when the head was there, which was `elapsed` ago.
    pub fn began(elapsed: Duration) -> UnixMicros {
        UnixMicros(clock::wall().0.saturating_sub_unsigned(micros(elapsed)))
    }

    /// The stream that it is about, unless its path names it.
    pub fn stream(&self) -> Option<&str> {
        self.stream.get().map(|stream| &**stream)
    }

    /// Who has sent it.
    pub fn who(&self) -> Option<&Who> {
        self.who.get()
    }

    /// Why it was refused.
    pub fn code(&self) -> Option<&'static str> {
        self.code.get().copied()
    }

    /// The trace that it belongs to, going on from here.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.step.as_ref().map(|step| &step.context)
    }

    /// Bytes of the body as it came.
    pub fn bytes_in(&self) -> Option<u64> {
        known(&self.bytes_in)
    }

    /// Records that were appended.
    pub fn records(&self) -> Option<u64> {
        known(&self.records)
    }

    /// Microseconds from the head to the end of the body.
    pub fn body_us(&self) -> Option<u64> {
        known(&self.body_us)
    }

    /// Microseconds from the head until the records were durable.
    pub fn appended_us(&self) -> Option<u64> {
        known(&self.appended_us)
    }

    /// Has it on record that an identity was refused.
    pub fn refuse(&self, edge: &Edge, refused: Refused<'_>) {
        self.is_refused(refused.reason);
        edge.observer.audit.refused(&refused, &self.origin());
    }

    /// The same of a request that is answered with `problem`, if that is about who has sent it, or from where, or about
    /// what no honest client sends.
    pub fn refuse_by(&self, edge: &Edge, problem: &Problem, facts: &Facts<'_>) {
        self.is_refused(problem.code());
        let detail = match problem {
            Problem::Unauthenticated { detail, .. } | Problem::Forbidden(detail) => Some(detail.as_str()),
            Problem::Ambiguous(why) => Some(*why),
            Problem::AddressNotAllowed | Problem::Blocked { .. } | Problem::OriginNotAllowed => None,
            _ => return,
        };
        let claimed = self.claimed.get().filter(|_| self.who().is_none());
        let known = self.who().or(claimed);
        let refused = Refused {
            status: problem.status().as_u16(),
            reason: problem.code(),
            detail,
            identity: known.map_or_else(|| shown_by(&facts.head.headers), |who| who.identity),
            claims: claimed.map(|who| &*who.name),
            action: facts.route,
            stream: self.stream().or(facts.stream),
        };
        self.refuse(edge, refused);
    }

    /// A change that is asked for, and not done yet.
    pub fn change<'a>(
        &'a self,
        action: &'static str,
        stream: &'a str,
        target: Option<&'a str>,
    ) -> PendingChange<'a> {
        let acted = Acted { action, stream: Some(stream), target, refused: None };
        PendingChange { visit: self, acted }
    }

    /// Has it on record that a change was asked for, and what became of it.
    pub fn act(&self, edge: &Edge, acted: &Acted<'_>) {
        edge.observer.audit.acted(acted, &self.origin());
    }

    fn origin(&self) -> Origin<'_> {
        Origin {
            request_id: self.id.as_str(),
            trace: self.trace().map(|context| context.trace),
            client: self.client,
            who: self.who(),
        }
    }
}

/// A change that is asked for. Whatever becomes of it has to be told.
#[must_use]
#[derive(Debug)]
pub struct PendingChange<'a> {
    visit: &'a Visit,
    acted: Acted<'a>,
}

impl PendingChange<'_> {
    /// Has what became of it on record.
    ///
    /// # Errors
    /// The same as what became of it.
    pub fn told<T>(self, edge: &Edge, result: Result<T, Problem>) -> Result<T, Problem> {
        let refused = result.as_ref().err().map(Problem::code);
        self.visit.act(edge, &Acted { refused, ..self.acted });
        result
    }
}

/// The kind of credential that a request seems to show, for the audit log.
fn shown_by(headers: &HeaderMap) -> &'static str {
    let scheme = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let scheme = scheme.and_then(|text| text.split(|&byte| byte == b' ').next());
    match scheme {
        _ if headers.contains_key(API_KEY) => "api_key",
        None => "none",
        Some(scheme) if scheme.eq_ignore_ascii_case(b"bearer") => "bearer",
        Some(scheme) if scheme.eq_ignore_ascii_case(b"basic") => "basic",
        Some(scheme) if scheme.starts_with(b"AWS4-") => "signature_v4",
        Some(_) => "other",
    }
}

fn known(number: &AtomicU64) -> Option<u64> {
    Some(number.load(Ordering::Relaxed)).filter(|&number| number != UNKNOWN)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(UNKNOWN - 1)
}

/// The id that the request has, if who sends it is believed, or a new one.
fn id(server: &Server, peer: &Peer, headers: &HeaderMap) -> RequestId {
    let is_believed = match server.request_ids {
        RequestIds::Everybody => true,
        RequestIds::Nobody => false,
        RequestIds::Proxies => {
            !server.trusted_proxies.is_empty()
                && peer.ip().is_some_and(|ip| client::is_trusted(ip.to_canonical(), &server.trusted_proxies))
        }
    };
    is_believed.then(|| RequestId::sent(headers)).flatten().unwrap_or_default()
}
