//! Facts of a request in its records (`[ingest.add]`): when it came, from where, by whom.
//!
//! ```text
//! request ─▶ render ─▶ {"request":{…}}   once a request
//!                           │
//! record  ─▶ judge  ────▶ splice ─▶ record with the member
//! ```
//!
//! A record is judged as its client has sent it, and while that is done the scan notes where it has a member of that
//! name, however that is spelled. Then the accepted records are copied, and the text of the facts with them: at the end
//! of the record, or over the value that the client has given to the member. Nothing is parsed again, and what deliveries
//! want captured of the facts is found once a request.

mod facts;
mod splice;

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;

use crate::config::checked::{Add, OnForged};
use crate::edge::identity::attributes::Attributes;
use crate::record::Span;
use crate::runtime::clock::UnixMicros;
use crate::schema::validation::{Plan, SchemaError, Scratch};
use crate::stream::Captures;
use crate::telemetry::trace::TraceContext;

pub use splice::spliced;

/// Who has sent a request, and how.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// Method, target and headers.
    pub head: &'a Parts,
    /// Address of the client; none over a Unix socket.
    pub client: Option<IpAddr>,
    /// The name of whoever has sent it, where anybody was asked.
    pub principal: Option<&'a str>,
    /// What whoever has proved that says of them besides.
    pub attributes: Option<&'a Arc<Attributes>>,
    /// The id of the request.
    pub request_id: Option<&'a str>,
    /// The trace that it belongs to.
    pub trace: Option<&'a TraceContext>,
}

/// The same, to be kept.
#[derive(Debug)]
pub struct Asked {
    head: Parts,
    client: Option<IpAddr>,
    principal: Option<Box<str>>,
    attributes: Option<Arc<Attributes>>,
    request_id: Option<Box<str>>,
    trace: Option<TraceContext>,
}

impl Asked {
    /// What is known of `sender`.
    pub fn of(sender: &Sender<'_>) -> Self {
        // Without its extensions, which belong to the connection.
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.method.clone_from(&sender.head.method);
        head.uri.clone_from(&sender.head.uri);
        head.headers.clone_from(&sender.head.headers);
        Self {
            head,
            client: sender.client,
            principal: sender.principal.map(Box::from),
            attributes: sender.attributes.cloned(),
            request_id: sender.request_id.map(Box::from),
            trace: sender.trace.cloned(),
        }
    }

    /// The same again.
    pub fn sender(&self) -> Sender<'_> {
        Sender {
            head: &self.head,
            client: self.client,
            principal: self.principal.as_deref(),
            attributes: self.attributes.as_ref(),
            request_id: self.request_id.as_deref(),
            trace: self.trace.as_ref(),
        }
    }
}

/// What is added to the records of a stream.
#[derive(Debug)]
pub struct Mapping {
    add: Add,
    /// Slot of the member in what the scan captures.
    slot: usize,
    /// By slot: whether the field lies in the member.
    is_inside: Vec<bool>,
    /// Finds these fields in the text of the facts.
    inside: Option<Plan>,
}

/// The facts of one request, as text.
#[derive(Debug)]
pub struct Added {
    /// An object that has the member and nothing else.
    text: Vec<u8>,
    /// Where the member's value begins.
    value_at: usize,
    /// By slot: the fields that lie in the member.
    captures: Vec<Span>,
}

/// Where the facts come to stand in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In no place: the record stays as it is.
    Nowhere,
    /// Behind its last member.
    AtEnd,
    /// Over the value that it has there.
    Over(Span),
}

impl Mapping {
    /// As `add` says; the member gets a slot in `all` that is captured.
    ///
    /// # Errors
    /// If the fields cannot be compiled.
    pub fn new(add: &Add, all: &mut Captures) -> Result<Self, SchemaError> {
        let known = all.pointers().len();
        let slot = all.slot(&add.field);
        let is_inside: Vec<_> = all
            .pointers()
            .iter()
            .map(|pointer| pointer.tokens().first().is_some_and(|name| name == add.name()))
            .collect();
        let is_wanted = is_inside.iter().take(known).any(|is_inside| *is_inside);
        let inside = is_wanted.then(|| Plan::compile(None, all.pointers())).transpose()?;
        Ok(Self { add: add.clone(), slot, is_inside, inside })
    }

    /// Slot of the member.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// Whether the field of a slot lies in the member.
    pub fn has(&self, slot: usize) -> bool {
        self.is_inside.get(slot).copied().unwrap_or_default()
    }

    /// The text for a request that was complete at `arrival`.
    pub fn render(&self, sender: &Sender<'_>, arrival: UnixMicros) -> Added {
        let (text, value_at) = facts::object(&self.add, sender, arrival);
        let captures = match &self.inside {
            None => Vec::new(),
            Some(plan) => {
                let mut scratch = Scratch::new();
                plan.find(&text, &mut scratch);
                scratch.captures().to_vec()
            }
        };
        Added { text, value_at, captures }
    }

    /// Where the facts go in a record whose own member has `forged` for its value; `None` if the record is invalid for
    /// having it.
    pub fn place(&self, forged: Span) -> Option<Place> {
        if !forged.is_present() {
            return Some(Place::AtEnd);
        }
        match self.add.on_conflict {
            OnForged::Replace => Some(Place::Over(forged)),
            OnForged::Keep => Some(Place::Nowhere),
            OnForged::Reject => None,
        }
    }

    /// What is said against a record that has the member.
    pub fn refusal(&self) -> String {
        format!("{} is added by the server, and must not be in the record", self.add.field)
    }
}

impl Added {
    /// What is added to an object behind its last member.
    fn member(&self) -> &[u8] {
        self.text.get(1..self.text.len() - 1).unwrap_or_default()
    }

    fn value(&self) -> &[u8] {
        self.text.get(self.value_at..self.text.len() - 1).unwrap_or_default()
    }

    /// The text of a field in the member.
    pub fn field(&self, slot: usize) -> Option<&[u8]> {
        let span = self.captures.get(slot).filter(|span| span.is_present())?;
        self.text.get(span.start()..span.start() + span.len())
    }

    /// Bytes of a record once it has the facts.
    pub fn bytes_of(&self, record: &[u8], place: Place) -> usize {
        match place {
            Place::Nowhere => record.len(),
            Place::AtEnd => record.len() + usize::from(!splice::is_empty(record)) + self.member().len(),
            Place::Over(value) => record.len() - value.len() + self.value().len(),
        }
    }
}

#[cfg(test)]
mod tests;
