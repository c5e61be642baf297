//! Strings: finding their end eight bytes at a time, and undoing their escapes.

use std::borrow::Cow;

use super::scanner::{SyntaxError, SyntaxErrorKind};

/// What stands between a string's quotes. Already checked: every escape in it is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawString<'a> {
    raw: &'a str,
    spelling: Spelling,
}

/// As wide as a register: a `bool` leaves padding behind it, which the compiler copies piece by piece wherever a
/// `Result` is unwrapped, and loads that span several stores are slow (a third of the time to validate a record).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
enum Spelling {
    Plain,
    Escaped,
}

impl<'a> RawString<'a> {
    #[inline]
    pub(super) fn new(raw: &'a str, escaped: bool) -> Self {
        Self { raw, spelling: if escaped { Spelling::Escaped } else { Spelling::Plain } }
    }

    /// The text as written, escapes and all.
    #[inline]
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// Whether the text as written differs from the string that it stands for.
    #[inline]
    pub fn is_escaped(&self) -> bool {
        self.spelling == Spelling::Escaped
    }

    /// The string itself: borrowed unless an escape had to be undone.
    #[inline]
    pub fn decode(&self) -> Cow<'a, str> {
        if self.is_escaped() { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }

    /// Appends the string itself to `text`.
    #[inline]
    pub fn decode_into(&self, text: &mut String) {
        if self.is_escaped() {
            unescape_into(self.raw, |part| text.push_str(part))
        } else {
            text.push_str(self.raw)
        }
    }

    /// Appends the bytes of the string itself, which are UTF-8, to `bytes`.
    #[inline]
    pub fn decode_into_bytes(&self, bytes: &mut Vec<u8>) {
        match self.is_escaped() {
            true => unescape_into(self.raw, |part| bytes.extend_from_slice(part.as_bytes())),
            false => bytes.extend_from_slice(self.raw.as_bytes()),
        }
    }

    /// Whether the string is `other`.
    #[inline]
    pub fn equals(&self, other: &str) -> bool {
        if self.is_escaped() { unescape(self.raw) == other } else { self.raw == other }
    }
}

pub(super) struct Found {
    /// Offset of the closing quote.
    pub end: usize,
    pub escaped: bool,
}

/// Finds the closing quote of the string whose first byte stands at `start`.
#[inline]
pub(super) fn scan(bytes: &[u8], start: usize) -> Result<Found, SyntaxError> {
    let mut pos = start;
    let mut escaped = false;
    loop {
        pos = find_special(bytes, pos);
        match bytes.get(pos) {
            Some(b'"') => return Ok(Found { end: pos, escaped }),
            Some(b'\\') => {
                escaped = true;
                pos = check_escape(bytes, pos)?;
            }
            Some(&byte) => {
                return Err(SyntaxError { offset: pos, kind: SyntaxErrorKind::ControlCharacter(byte) });
            }
            None => return Err(SyntaxError { offset: pos, kind: SyntaxErrorKind::UnexpectedEnd }),
        }
    }
}

/// The closing quote of the string whose opening quote stands at `start`, if it has no escapes. Nothing else is looked for:
/// where that is enough it takes a third of the time of [`scan`].
#[inline]
pub(super) fn opaque(bytes: &[u8], start: usize) -> Option<usize> {
    let (b'"', rest) = bytes.get(start..)?.split_first()? else { return None };
    let length = memchr::memchr2(b'"', b'\\', rest)?;
    (rest[length] == b'"').then_some(start + 1 + length)
}

/// The first quote, backslash or control character at or after `pos`, or the end.
#[inline]
fn find_special(bytes: &[u8], mut pos: usize) -> usize {
    while let Some(block) = bytes.get(pos..).and_then(|rest| rest.first_chunk::<16>()) {
        if has_special(block) {
            break;
        }
        pos += 16;
    }
    while let Some(block) = bytes.get(pos..).and_then(|rest| rest.first_chunk::<8>()) {
        let mask = special_mask(u64::from_le_bytes(*block));
        if mask != 0 {
            return pos + mask.trailing_zeros() as usize / 8;
        }
        pos += 8;
    }
    while let Some(&byte) = bytes.get(pos) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            break;
        }
        pos += 1;
    }
    pos
}

/// Whether a quote, a backslash or a control character is in the block. Written so that it becomes three comparisons
/// of vectors.
#[inline]
fn has_special(block: &[u8; 16]) -> bool {
    block.iter().fold(false, |found, &byte| found | (byte == b'"') | (byte == b'\\') | (byte < 0x20))
}

/// The high bit of each of the eight bytes that is a quote, a backslash or a control character. A byte above the
/// first such byte may be marked wrongly (a borrow runs upwards), so only the lowest mark counts.
#[inline]
fn special_mask(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero_bytes(word ^ (ONES * b'"' as u64));
    let backslash = zero_bytes(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGH
}

/// Checks the escape whose backslash stands at `pos`; returns the offset behind it.
#[cold]
fn check_escape(bytes: &[u8], pos: usize) -> Result<usize, SyntaxError> {
    let error = |kind| SyntaxError { offset: pos, kind };
    match bytes.get(pos + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(pos + 2),
        Some(b'u') => {
            let unit = hex4(bytes, pos + 2).ok_or(error(SyntaxErrorKind::BadEscape))?;
            match unit {
                0xd800..=0xdbff => {
                    let low = match bytes.get(pos + 6..pos + 8) {
                        Some(b"\\u") => hex4(bytes, pos + 8),
                        _ => None,
                    };
                    match low {
                        Some(0xdc00..=0xdfff) => Ok(pos + 12),
                        _ => Err(error(SyntaxErrorKind::LoneSurrogate)),
                    }
                }
                0xdc00..=0xdfff => Err(error(SyntaxErrorKind::LoneSurrogate)),
                _ => Ok(pos + 6),
            }
        }
        Some(_) => Err(error(SyntaxErrorKind::BadEscape)),
        None => Err(error(SyntaxErrorKind::UnexpectedEnd)),
    }
}

fn hex4(bytes: &[u8], pos: usize) -> Option<u32> {
    let digits = bytes.get(pos..pos + 4)?;
    digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | (digit as char).to_digit(16)?))
}

fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    unescape_into(raw, |part| text.push_str(part));
    text
}

/// Undoes the escapes of a text that [`scan`] has accepted. Anything else stays as it stands.
fn unescape_into(raw: &str, mut add: impl FnMut(&str)) {
    let bytes = raw.as_bytes();
    let (mut pos, mut utf8) = (0, [0; 4]);
    while let Some(offset) = memchr::memchr(b'\\', &bytes[pos..]) {
        add(&raw[pos..pos + offset]);
        pos += offset;
        let plain = match bytes.get(pos + 1) {
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let (unit, length) = unescape_unit(bytes, pos);
                add(unit.encode_utf8(&mut utf8));
                pos += length;
                continue;
            }
            Some(&byte) => byte as char,
            None => break,
        };
        add(plain.encode_utf8(&mut utf8));
        pos += 2;
    }
    add(raw.get(pos..).unwrap_or_default());
}

/// The character of the `\u` escape (or pair of them) at `pos`, and its length in bytes.
fn unescape_unit(bytes: &[u8], pos: usize) -> (char, usize) {
    let high = hex4(bytes, pos + 2).unwrap_or(0xfffd);
    if let (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) = (high, hex4(bytes, pos + 8)) {
        let scalar = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}
