//! The facts of a request → JSON.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, header};

use super::Sender;
use crate::config::checked::{Add, Fact};
use crate::config::limits::FACT_BYTES_MAX;
use crate::edge::identity::attributes::{Attribute, Attributes, Origin};
use crate::runtime::clock::UnixMicros;

/// What stands for times that have no such form.
const END_OF_TIME: &[u8] = b"9999-12-31T23:59:59.999999Z";

/// An object with the one member that is added, and where the value of that begins. Facts that the request does not have
/// are left out.
pub(super) fn object(add: &Add, sender: &Sender<'_>, arrival: UnixMicros) -> (Vec<u8>, usize) {
    let mut object = Object::begin(Vec::with_capacity(256));
    object.name(add.name());
    let value_at = object.text.len();
    let mut facts = Object::begin(object.text);
    let head = sender.head;
    for fact in &add.facts {
        match fact {
            Fact::ArrivalTime => {
                facts.raw("arrival_time", arrival.rfc3339().as_ref().map_or(END_OF_TIME, |text| text))
            }
            Fact::ClientAddress => {
                facts.some("client_address", sender.client.map(|address| address.to_string()))
            }
            Fact::ClientNetwork => facts.some("client_network", sender.client.map(network)),
            Fact::UserAgent => facts.some("user_agent", value_of(&head.headers, &header::USER_AGENT)),
            Fact::Method => facts.some("method", Some(head.method.as_str())),
            Fact::Principal => facts.some("principal", sender.principal),
            Fact::RequestId => facts.some("request_id", sender.request_id),
            Fact::TraceId => facts.some("trace_id", sender.trace.map(|context| context.trace.to_string())),
            // Behind the others, in objects of their own.
            Fact::Header(_) | Fact::Query(_) | Fact::Claim(_) | Fact::Context(_) => {}
        }
    }
    let headers = add.facts.iter().filter_map(|fact| match fact {
        Fact::Header(name) => Some((name.as_str(), value_of(&head.headers, name)?)),
        _ => None,
    });
    facts.object("header", headers);
    facts.object("query", parameters(&add.facts, head.uri.query().unwrap_or_default()).into_iter());
    for origin in [Origin::Claims, Origin::Context] {
        facts.attributes(origin, &add.facts, sender.attributes);
    }
    object.text = facts.end();
    (object.end(), value_at)
}

/// An object that is being written.
struct Object {
    text: Vec<u8>,
    is_empty: bool,
}

impl Object {
    fn begin(mut text: Vec<u8>) -> Self {
        text.push(b'{');
        Self { text, is_empty: true }
    }

    fn end(mut self) -> Vec<u8> {
        self.text.push(b'}');
        self.text
    }

    fn name(&mut self, name: &str) {
        if !self.is_empty {
            self.text.push(b',');
        }
        self.is_empty = false;
        string(&mut self.text, name);
        self.text.push(b':');
    }

    /// A text in which nothing is to be escaped.
    fn raw(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.text.push(b'"');
        self.text.extend_from_slice(value);
        self.text.push(b'"');
    }

    fn some(&mut self, name: &str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.name(name);
            string(&mut self.text, cut(value.as_ref()));
        }
    }

    /// Members in an object of their own, if there are any.
    fn object<'a>(&mut self, name: &str, members: impl Iterator<Item = (&'a str, Cow<'a, str>)>) {
        let mut members = members.peekable();
        if members.peek().is_none() {
            return;
        }
        self.name(name);
        let mut inner = Object::begin(std::mem::take(&mut self.text));
        members.for_each(|(name, value)| inner.some(name, Some(value)));
        self.text = inner.end();
    }
}

impl Object {
    /// What `origin` says of the sender, in an object of its own, if it says any of what is wanted.
    fn attributes(&mut self, origin: Origin, facts: &[Fact], said: Option<&Arc<Attributes>>) {
        let Some(said) = said else { return };
        let mut wanted = facts.iter().filter_map(|fact| {
            let name = match (fact, origin) {
                (Fact::Claim(name), Origin::Claims) | (Fact::Context(name), Origin::Context) => name,
                _ => return None,
            };
            Some((name, said.get(origin, name)?))
        });
        let Some(first) = wanted.next() else { return };
        self.name(match origin {
            Origin::Claims => "claim",
            Origin::Context => "context",
        });
        let mut inner = Object::begin(std::mem::take(&mut self.text));
        for (name, attribute) in [first].into_iter().chain(wanted) {
            match attribute {
                Attribute::Text(text) => inner.some(name, Some(text)),
                Attribute::Plain(text) => {
                    inner.name(name);
                    inner.text.extend_from_slice(text.as_bytes());
                }
            }
        }
        self.text = inner.end();
    }
}

fn string(text: &mut Vec<u8>, value: &str) {
    // Neither of the two can fail: a string is always JSON, and a Vec takes everything.
    let _ = serde_json::to_writer(text, value);
}

/// At most [`FACT_BYTES_MAX`] of a text, in whole characters.
fn cut(value: &str) -> &str {
    value.get(..value.floor_char_boundary(FACT_BYTES_MAX)).unwrap_or(value)
}

/// The values of a header, one behind the other as RFC 9110 has it. What is no UTF-8 is U+FFFD.
fn value_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let mut all = values.next()?;
    for value in values {
        let all = all.to_mut();
        all.push_str(", ");
        all.push_str(&value);
    }
    Some(all)
}

/// The first value of each parameter that is wanted. The query is read once, however many they are.
fn parameters<'a>(facts: &'a [Fact], query: &'a str) -> Vec<(&'a str, Cow<'a, str>)> {
    let wanted: Vec<&str> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Query(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut found = vec![None; wanted.len()];
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let slot = wanted.iter().position(|wanted| *wanted == name).and_then(|index| found.get_mut(index));
        if let Some(slot @ None) = slot {
            *slot = Some(value);
        }
    }
    wanted.into_iter().zip(found).filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The network that an address belongs to: wide enough that it names no household.
fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{}/24", Ipv4Addr::from_bits(address.to_bits() & !0xff)),
        IpAddr::V6(address) => format!("{}/48", Ipv6Addr::from_bits(address.to_bits() >> 80 << 80)),
    }
}
