//! Records in one block: decoded into a new one, or left where they stand in the body.

use std::borrow::Cow;

use super::entries::{Data, Entry, Put, unreadable};
use crate::edge::aws::protocol::blobs::decode_base64;
use crate::edge::aws::protocol::failure::Failure;
use crate::json::RawString;
use crate::record::Span;
use crate::stream::HashKey;

/// Where payload and key of a record are.
pub type Spans = (Span, Span);

/// Records in one block.
#[derive(Debug)]
pub struct LaidOut {
    /// The block; `None` if it is the body itself.
    pub block: Option<Vec<u8>>,
    /// The records, in order.
    pub records: Vec<Spans>,
    /// The hashes that some of them bring along; empty if none does.
    pub hashes: Vec<Option<HashKey>>,
}

/// Lays out the records of a request, which was checked and read from `body`.
///
/// # Errors
/// `SerializationException` if data is no Base64, `InvalidArgumentException` if a hash is too large.
pub fn lay_out(put: &Put<'_>, body: &[u8]) -> Result<LaidOut, Failure> {
    let hashes = hashes(&put.entries)?;
    let within = |entry: &Entry<'_>| {
        let Some(Data::Plain(data)) = &entry.data else { return None };
        Some((span_within(data, body)?, span_within(key_of(entry), body)?))
    };
    if let Some(records) = put.entries.iter().map(within).collect() {
        return Ok(LaidOut { block: None, records, hashes });
    }
    let mut block = Vec::with_capacity(usize::try_from(put.laid_out_bytes()).unwrap_or_default());
    let mut unescaped = String::new();
    let mut records = Vec::with_capacity(put.entries.len());
    for entry in &put.entries {
        let start = block.len();
        match &entry.data {
            Some(Data::Base64(text)) => decode(*text, &mut unescaped, &mut block)?,
            Some(Data::Plain(bytes)) => block.extend_from_slice(bytes),
            None => {}
        }
        let end = block.len();
        block.extend_from_slice(key_of(entry));
        records.push((Span::new(start, end), Span::new(end, block.len())));
    }
    Ok(LaidOut { block: Some(block), records, hashes })
}

fn key_of<'a>(entry: &'a Entry<'_>) -> &'a [u8] {
    entry.key.as_deref().unwrap_or_default().as_bytes()
}

fn decode(text: RawString<'_>, unescaped: &mut String, block: &mut Vec<u8>) -> Result<(), Failure> {
    let text = if text.is_escaped() {
        unescaped.clear();
        text.decode_into(unescaped);
        unescaped.as_str()
    } else {
        text.raw()
    };
    decode_base64(text, block).map_err(|error| unreadable(format_args!("Data is no Base64: {error}")))
}

/// Where `bytes` are in the body, if they are a slice of it.
fn span_within(bytes: &[u8], body: &[u8]) -> Option<Span> {
    let start = bytes.as_ptr().addr().checked_sub(body.as_ptr().addr())?;
    (start + bytes.len() <= body.len()).then(|| Span::new(start, start + bytes.len()))
}

fn hashes(entries: &[Entry<'_>]) -> Result<Vec<Option<HashKey>>, Failure> {
    if entries.iter().all(|entry| entry.hash.is_none()) {
        return Ok(Vec::new());
    }
    let parse = |text: &Cow<'_, str>| {
        text.parse().map(HashKey).map_err(|_| {
            Failure::invalid(format!(
                "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was \
                 {text}"
            ))
        })
    };
    entries.iter().map(|entry| entry.hash.as_ref().map(parse).transpose()).collect()
}
