//! JSON lines of any codec, alone or in envelopes, and dead letters that carry records in base64.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use forebay::delivery::verify::unpack::Packing;
use forebay::testkit::generators::{canonical, envelope};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::key::KeyRule;
use super::lake::Object;
use super::object::ObjectFile;
use super::sighting::{OriginKind, Reporter, Unheard, kind_of};
use super::unpacked::Unpacked;

/// Bytes of a line. A record of 1 MiB needs 1.4 MiB in a dead letter; this leaves room for streams that take more.
const LINE_BYTES_MAX: u64 = 32 << 20;

/// Bytes of text that are decoded at a time.
const TEXT_BYTES: usize = 256 << 10;

/// A line of a file of dead letters, in either envelope. What else is in it does not matter here.
#[derive(Deserialize)]
struct DeadLetter<'a> {
    #[serde(borrow, alias = "rawData")]
    raw: Cow<'a, str>,
    #[serde(borrow, default, alias = "errorCode", alias = "lastErrorCode")]
    reason: Option<Cow<'a, str>>,
}

/// Reads all records of an object.
pub(super) fn read(
    file: &ObjectFile,
    (object, packing): (&Object, Packing),
    key: &KeyRule,
    to: &mut Reporter,
) -> Result<(), Unheard> {
    let text = match Unpacked::new(packing, file.reader(0)) {
        Ok(text) => text,
        Err(error) => {
            to.unreadable(1, error.to_string());
            return Ok(());
        }
    };
    let mut text = BufReader::with_capacity(TEXT_BYTES, text);
    let mut line = Vec::new();
    let mut row = 0;
    loop {
        match next_line(&mut text, &mut line) {
            Ok(true) => row += 1,
            Ok(false) => return Ok(()),
            Err(error) => {
                to.unreadable(row + 1, error.to_string());
                return Ok(());
            }
        }
        let record = line.trim_ascii();
        if record.is_empty() {
            continue;
        }
        if object.is_dead_letters {
            read_dead_letter(record, row, key, to);
        } else if let Err(reason) = inspect(out_of_envelope(record), row, key, to) {
            to.damaged(row, reason);
        }
        to.flush_if_full()?;
    }
}

/// What a line begins with that tells where its record came from.
const ENVELOPE: &[u8] = b"{\"arrival_time\":\"";

/// Such a line.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    record: &'a RawValue,
}

/// The record of a line, which may be in an envelope.
fn out_of_envelope(line: &[u8]) -> &[u8] {
    if !line.starts_with(ENVELOPE) {
        return line;
    }
    // What only looks like one is a record of somebody else.
    serde_json::from_slice::<Envelope<'_>>(line).map_or(line, |envelope| envelope.record.get().as_bytes())
}

/// False at the end.
fn next_line(text: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    text.take(LINE_BYTES_MAX).read_until(b'\n', line)?;
    if line.len() as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n") {
        return Err(io::Error::other(format!("a line of more than {LINE_BYTES_MAX} bytes")));
    }
    Ok(!line.is_empty())
}

fn read_dead_letter(line: &[u8], row: u64, key: &KeyRule, to: &mut Reporter) {
    let Ok(letter) = serde_json::from_slice::<DeadLetter<'_>>(line) else {
        return to.damaged(row, "no dead letter: it has no `raw` text");
    };
    let Ok(raw) = STANDARD.decode(letter.raw.as_bytes()) else {
        return to.damaged(row, "`raw` is no base64");
    };
    to.dead_letter(letter.reason.as_deref().unwrap_or("unknown"));
    // Whatever a client sent may be in a dead letter, so what is no record of ours was no record before either.
    // Where a record is to be found it has to be whole.
    match inspect(raw.trim_ascii(), row, key, to) {
        Ok(()) => {}
        Err(reason @ (Reason::Json | Reason::Envelope)) => {
            let _ = reason;
            to.foreign();
        }
        Err(reason) => to.damaged(row, reason),
    }
}

/// Why a record is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Json,
    Envelope,
    Hash,
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Json => "no JSON object".into(),
            Reason::Envelope => "producer, sequence or hash is not what it has to be".into(),
            Reason::Hash => "the hash does not match the content".into(),
        }
    }
}

fn inspect(record: &[u8], row: u64, key: &KeyRule, to: &mut Reporter) -> Result<(), Reason> {
    let text = std::str::from_utf8(record).map_err(|_| Reason::Json)?;
    if let Some((found, members)) = envelope::split(text)
        && kind_of(found.producer) == OriginKind::Replay
    {
        if envelope::hash_of_members(found.producer, found.sequence, members) != found.hash {
            return Err(Reason::Hash);
        }
        let key = match key {
            KeyRule::Member(_) => key.hash_of(None, &parse(text)?),
            KeyRule::Profile | KeyRule::Nowhere => None,
        };
        let origin = to.origin(found.producer);
        to.seen(origin, found.sequence, key, row);
        return Ok(());
    }
    let record = parse(text)?;
    let names = ["producer", "sequence", "hash"];
    if names.iter().all(|name| !record.contains_key(*name)) {
        to.foreign();
        return Ok(());
    }
    let [producer, sequence, hash] = names.map(|name| record.get(name));
    let producer = producer.and_then(Value::as_str).ok_or(Reason::Envelope)?;
    let sequence = sequence.and_then(Value::as_u64).ok_or(Reason::Envelope)?;
    let hash = hash.and_then(Value::as_str).and_then(envelope::parse_hash).ok_or(Reason::Envelope)?;
    match kind_of(producer) {
        OriginKind::Foreign => to.foreign(),
        // Its bytes are what the hash covers, and they did not begin as they were sent.
        OriginKind::Replay => return Err(Reason::Hash),
        OriginKind::Profile(profile) => {
            let of = canonical::hash_of_object(profile.fields(), (producer, sequence), &record);
            if of != Some(hash) {
                return Err(Reason::Hash);
            }
            let origin = to.origin(producer);
            to.seen(origin, sequence, key.hash_of(Some(profile), &record), row);
        }
    }
    Ok(())
}

fn parse(text: &str) -> Result<serde_json::Map<String, Value>, Reason> {
    serde_json::from_str(text).map_err(|_| Reason::Json)
}
