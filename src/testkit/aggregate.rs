//! Aggregated records as the Kinesis Producer Library makes them: see [`crate::record::aggregate`].

use md5::{Digest, Md5};

use crate::record::aggregate::MAGIC;

/// A user's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// Its partition key.
    pub key: Vec<u8>,
    /// Its explicit hash key, if it has one.
    pub hash_key: Option<String>,
    /// Its bytes.
    pub data: Vec<u8>,
}

impl UserRecord {
    /// Without an explicit hash key.
    pub fn new(key: impl Into<Vec<u8>>, data: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), hash_key: None, data: data.into() }
    }
}

/// The aggregate of `records`.
pub fn aggregate(records: &[UserRecord]) -> Vec<u8> {
    seal(&message(records))
}

/// Puts a message of any bytes between the magic and its digest.
pub fn seal(message: &[u8]) -> Vec<u8> {
    [&MAGIC[..], message, &Md5::digest(message)].concat()
}

/// The message, with each key once.
pub fn message(records: &[UserRecord]) -> Vec<u8> {
    let mut keys: Vec<&[u8]> = Vec::new();
    let mut hash_keys: Vec<&[u8]> = Vec::new();
    let mut parts = Vec::new();
    for record in records {
        let mut part = Vec::new();
        number(1, place_of(&record.key, &mut keys), &mut part);
        if let Some(hash_key) = &record.hash_key {
            number(2, place_of(hash_key.as_bytes(), &mut hash_keys), &mut part);
        }
        bytes(3, &record.data, &mut part);
        parts.push(part);
    }
    let mut message = Vec::new();
    keys.iter().for_each(|key| bytes(1, key, &mut message));
    hash_keys.iter().for_each(|key| bytes(2, key, &mut message));
    parts.iter().for_each(|part| bytes(3, part, &mut message));
    message
}

fn place_of<'a>(text: &'a [u8], table: &mut Vec<&'a [u8]>) -> u64 {
    let place = table.iter().position(|known| *known == text).unwrap_or_else(|| {
        table.push(text);
        table.len() - 1
    });
    place as u64
}

/// Appends a field that is a number.
pub fn number(field: u64, value: u64, out: &mut Vec<u8>) {
    varint(field << 3, out);
    varint(value, out);
}

/// Appends a field that is bytes.
pub fn bytes(field: u64, value: &[u8], out: &mut Vec<u8>) {
    varint(field << 3 | 2, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
