//! Aggregated records: one record of Kinesis in which its Producer Library has packed several of its user's.
//!
//! | bytes | field |
//! | --- | --- |
//! | 4 | magic `f3 89 9a c2` |
//! | | `AggregatedRecord`, a message of protocol buffers |
//! | 16 | MD5 of the message |
//!
//! ```text
//! message AggregatedRecord {
//!   repeated string partition_key_table = 1;
//!   repeated string explicit_hash_key_table = 2;
//!   repeated Record records = 3;
//! }
//! message Record {
//!   required uint64 partition_key_index = 1;
//!   optional uint64 explicit_hash_key_index = 2;
//!   required bytes data = 3;
//!   repeated Tag tags = 4;
//! }
//! ```
//!
//! It is specified in `aggregation-format.md` of the library's repository (awslabs/amazon-kinesis-producer). What looks
//! like an aggregate and is none (a wrong digest, an index beyond its table, nothing in it) is a record like any other.
//!
//! The log keeps an aggregate as it came and finds its members again when it is read ([`split_again`]), so what is taken
//! here is part of the log's format: it may only become more.

use md5::{Digest, Md5};

use super::{RecordSpans, Span};
use crate::config::limits::PARTITION_KEY_BYTES_MAX;

/// What an aggregate begins with.
pub const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
/// Bytes of the MD5 at its end.
const DIGEST_BYTES: usize = 16;

/// Appends the members of the aggregate that stands at `blob` of `body` to `members`: their payloads and keys are slices
/// of it. Returns how many they are; `None`, and nothing is appended, if it is no aggregate or has more than
/// `members_max`.
///
/// Memory: 24 bytes a member, and while it works 8 bytes a key, of which there may be as many as members.
pub fn split(body: &[u8], blob: Span, members_max: usize, members: &mut Vec<RecordSpans>) -> Option<usize> {
    let bytes = body.get(blob.start()..blob.start() + blob.len())?;
    let message = bytes.strip_prefix(&MAGIC)?;
    let (message, digest) = message.split_at_checked(message.len().checked_sub(DIGEST_BYTES)?)?;
    if Md5::digest(message).as_slice() != digest {
        return None;
    }
    members_of(body, blob, members_max, members)
}

/// The same for one that was found to be an aggregate before, and is known to be as it was: its digest is not looked at.
pub fn split_again(body: &[u8], blob: Span, members: &mut Vec<RecordSpans>) -> Option<usize> {
    body.get(blob.start()..blob.start() + blob.len())?.strip_prefix(&MAGIC)?;
    members_of(body, blob, usize::MAX, members)
}

fn members_of(body: &[u8], blob: Span, members_max: usize, members: &mut Vec<RecordSpans>) -> Option<usize> {
    let end = (blob.start() + blob.len()).checked_sub(DIGEST_BYTES)?;
    let message = Message { body, at: blob.start() + MAGIC.len(), end };
    let tables = Tables::read(message, members_max)?;
    if tables.records == 0 {
        return None;
    }
    let before = members.len();
    members.reserve(tables.records);
    for field in message {
        let (3, Value::Bytes(record)) = field? else { continue };
        match tables.member(Message::at(body, record)) {
            Some(member) => members.push(member),
            None => {
                members.truncate(before);
                return None;
            }
        }
    }
    Some(members.len() - before)
}

/// What records refer to.
struct Tables {
    keys: Vec<Span>,
    hash_keys: u64,
    records: usize,
}

impl Tables {
    /// Looks through a message once. `None` if it is none, or has too much of anything.
    fn read(message: Message<'_>, members_max: usize) -> Option<Self> {
        let mut tables = Tables { keys: Vec::new(), hash_keys: 0, records: 0 };
        for field in message {
            match field? {
                (1, Value::Bytes(key)) if key.len() <= PARTITION_KEY_BYTES_MAX => {
                    if tables.keys.len() >= members_max {
                        return None;
                    }
                    tables.keys.push(key);
                }
                (2, Value::Bytes(_)) => tables.hash_keys += 1,
                (3, Value::Bytes(_)) => tables.records += 1,
                (1..=3, _) => return None,
                _ => {}
            }
        }
        (tables.records <= members_max).then_some(tables)
    }

    /// The member that a `Record` stands for.
    fn member(&self, record: Message<'_>) -> Option<RecordSpans> {
        let (mut key, mut payload) = (None, None);
        for field in record {
            match field? {
                (1, Value::Number(index)) => key = Some(*self.keys.get(usize::try_from(index).ok()?)?),
                (2, Value::Number(index)) if index < self.hash_keys => {}
                (3, Value::Bytes(data)) => payload = Some(data),
                (1..=3, _) => return None,
                _ => {}
            }
        }
        Some(RecordSpans { payload: payload?, key: key?, refusal: Span::ABSENT })
    }
}

/// The fields of a message, one after the other; `None` in the place of one that is none, behind which nothing comes.
#[derive(Clone, Copy)]
struct Message<'a> {
    body: &'a [u8],
    at: usize,
    end: usize,
}

/// A field's value.
enum Value {
    Number(u64),
    Bytes(Span),
    /// Of a kind that the messages here do not have.
    Other,
}

/// A varint has seven bits a byte.
const VARINT_BYTES_MAX: usize = 10;

impl<'a> Message<'a> {
    fn at(body: &'a [u8], span: Span) -> Self {
        Self { body, at: span.start(), end: span.start() + span.len() }
    }

    fn field(&mut self) -> Option<(u64, Value)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.skip(8)?,
            2 => {
                let bytes = usize::try_from(self.varint()?).ok()?;
                let start = self.at;
                self.skip(bytes)?;
                Value::Bytes(Span::new(start, self.at))
            }
            5 => self.skip(4)?,
            _ => return None,
        };
        // Numbers of fields begin at 1.
        (tag >> 3 > 0).then_some((tag >> 3, value))
    }

    fn skip(&mut self, bytes: usize) -> Option<Value> {
        self.at = self.at.checked_add(bytes).filter(|&at| at <= self.end)?;
        Some(Value::Other)
    }

    fn varint(&mut self) -> Option<u64> {
        let bytes = self.body.get(self.at..self.end)?;
        let mut value = 0;
        for (index, byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << (7 * index);
            if shifted >> (7 * index) != bits {
                return None;
            }
            value |= shifted;
            if byte & 0x80 == 0 {
                self.at += index + 1;
                return Some(value);
            }
        }
        None
    }
}

impl Iterator for Message<'_> {
    type Item = Option<(u64, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.at = self.end;
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests;
