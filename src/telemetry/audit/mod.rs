//! The audit log: one line of JSON for each identity that is refused, and for each change that somebody asks for.
//!
//! ```text
//! refused ─▶ of a kind that was seen within the minute? ─ no ─▶ line
//!            yes: counted ─ at the end of the minute ─▶ one line for all of them
//! acted ───────────────────────────────────────────────▶ line
//! ```
//!
//! Nothing is sampled, and nobody can fill a disk with it: see [`fold`]. A line never has a credential.

mod fold;

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use self::fold::{Again, Fold, Kind};
use super::lines::{Lines, Place, Writer};
use super::metrics::Registry;
use super::text::{self, Time};
use super::trace::TraceId;
use crate::config::checked::LogTo;
use crate::config::limits::LOG_LINE_TEXT_BYTES;
use crate::runtime::clock::{self, UnixMicros};

/// Who has sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The name of the principal.
    pub name: Arc<str>,
    /// What proves that: a word of the configuration, such as `api_key`.
    pub identity: &'static str,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Its id.
    pub request_id: &'a str,
    /// The trace that it belongs to.
    pub trace: Option<TraceId>,
    /// Address of the client; none over a Unix socket.
    pub client: Option<IpAddr>,
    /// Who has sent it, if that is known.
    pub who: Option<&'a Who>,
}

/// A request that nobody, or not this one, may make.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// Status of the answer.
    pub status: u16,
    /// Code of the answer.
    pub reason: &'static str,
    /// The same in words. They quote nothing of a credential.
    pub detail: Option<&'a str>,
    /// What kind of credential it carries: a word of the configuration, or `none`.
    pub identity: &'static str,
    /// Whom it claims to come from. Not a secret: the id of a key or a user's name, never the credential itself.
    pub claims: Option<&'a str>,
    /// What it is about: the `route` label of the metrics.
    pub action: &'static str,
    /// The stream that it is about, if that is known.
    pub stream: Option<&'a str>,
}

/// A change that somebody has asked for.
#[derive(Debug, Clone, Copy)]
pub struct Acted<'a> {
    /// What was asked for, such as `cursor.delete` or `kinesis:DeleteStream`.
    pub action: &'static str,
    /// The stream that it is about, if there is one.
    pub stream: Option<&'a str>,
    /// What of it, such as the name of a cursor.
    pub target: Option<&'a str>,
    /// The code of the refusal, if it was refused.
    pub refused: Option<&'static str>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    event: &'static str,
    action: &'static str,
    outcome: &'static str,
    /// Why not, if it was not done.
    reason: Option<&'static str>,
    detail: Option<&'a str>,
    status: Option<u16>,
    stream: Option<&'a str>,
    target: Option<&'a str>,
    principal: Option<&'a str>,
    identity: Option<&'static str>,
    claims: Option<&'a str>,
    client: Option<String>,
    request_id: &'a str,
    trace_id: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Audit {
    lines: Option<Arc<Lines>>,
    fold: Mutex<Fold>,
}

impl Audit {
    /// Begins it.
    ///
    /// # Errors
    /// If its file cannot be had.
    pub fn open(to: &LogTo, registry: &Registry) -> io::Result<(Self, Writer)> {
        let (lines, writer) = Lines::open("audit log", to, registry.lines("audit"))?;
        Ok((Self { lines: Some(lines), fold: Mutex::default() }, writer))
    }

    /// One that forgets everything.
    pub fn off() -> Self {
        Self { lines: None, fold: Mutex::default() }
    }

    /// An identity was refused.
    pub fn refused(&self, refused: &Refused<'_>, from: &Origin<'_>) {
        let Some(lines) = &self.lines else { return };
        let kind = Kind::of(refused, from);
        let now = clock::wall();
        let (is_new, again) = {
            let mut fold = self.lock();
            let again = fold.turn(now);
            (fold.note(kind, now), again)
        };
        write_again(lines, &again);
        if is_new {
            let short = |text| text::shortened(text, LOG_LINE_TEXT_BYTES);
            write(
                lines,
                &Line {
                    event: "refused",
                    action: refused.action,
                    outcome: "refused",
                    reason: Some(refused.reason),
                    detail: refused.detail.map(short),
                    status: Some(refused.status),
                    stream: refused.stream.map(short),
                    target: None,
                    identity: Some(refused.identity),
                    claims: refused.claims.map(short),
                    ..Line::of(from, now)
                },
            );
        }
    }

    /// A change was asked for.
    pub fn acted(&self, acted: &Acted<'_>, from: &Origin<'_>) {
        let Some(lines) = &self.lines else { return };
        let short = |text| text::shortened(text, LOG_LINE_TEXT_BYTES);
        write(
            lines,
            &Line {
                event: "acted",
                action: acted.action,
                outcome: if acted.refused.is_some() { "refused" } else { "done" },
                reason: acted.refused,
                stream: acted.stream.map(short),
                target: acted.target.map(short),
                ..Line::of(from, clock::wall())
            },
        );
    }

    /// Writes how many refusals were counted, if their interval is over. To be called every second or so.
    pub fn tend(&self) {
        if let Some(lines) = &self.lines {
            let again = self.lock().turn(clock::wall());
            write_again(lines, &again);
        }
    }

    /// Writes how many refusals were counted, since nothing comes any more.
    pub fn end(&self) {
        if let Some(lines) = &self.lines {
            let again = self.lock().end();
            write_again(lines, &again);
        }
    }

    /// Has lines written elsewhere from now on.
    pub fn move_to(&self, place: Place) {
        if let Some(lines) = &self.lines {
            lines.move_to(place);
        }
    }

    /// Has its file opened again.
    pub fn reopen(&self) {
        self.lines.iter().for_each(|lines| lines.reopen());
    }

    fn lock(&self) -> MutexGuard<'_, Fold> {
        // Nothing panics under it.
        self.fold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Line<'a> {
    fn of(from: &Origin<'a>, now: UnixMicros) -> Self {
        Self {
            time: Time(now).to_string(),
            event: "",
            action: "",
            outcome: "",
            reason: None,
            detail: None,
            status: None,
            stream: None,
            target: None,
            principal: from.who.map(|who| &*who.name),
            identity: from.who.map(|who| who.identity),
            claims: None,
            client: Some(from.client.map_or_else(|| "unix".to_owned(), |client| client.to_string())),
            request_id: from.request_id,
            trace_id: from.trace.map(|trace| trace.to_string()),
        }
    }
}

fn write(lines: &Lines, line: &impl Serialize) {
    // Strings and numbers always serialise.
    if let Ok(line) = serde_json::to_vec(line) {
        lines.add_now(&line);
    }
}

fn write_again(lines: &Lines, again: &[Again]) {
    again.iter().for_each(|again| write(lines, again));
}

#[cfg(test)]
mod tests;
