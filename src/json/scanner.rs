//! The strict RFC 8259 pull scanner.

use std::fmt;

use super::number::{self, RawNumber};
use super::string::{self, RawString};
use crate::config::limits::JSON_DEPTH_MAX;

/// What the next value is, told from its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// `-` or a digit
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

impl Kind {
    /// The JSON Schema name of the kind (`number` for every number).
    pub fn name(self) -> &'static str {
        match self {
            Kind::Object => "object",
            Kind::Array => "array",
            Kind::String => "string",
            Kind::Number => "number",
            Kind::Bool => "boolean",
            Kind::Null => "null",
        }
    }
}

/// Why a text is not JSON that this scanner accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyntaxErrorKind {
    /// The text ends inside a value.
    UnexpectedEnd,
    /// A byte that no value can have at this place.
    UnexpectedByte(u8),
    /// Arrays and objects nested deeper than [`JSON_DEPTH_MAX`].
    TooDeep,
    /// A raw control character (below U+0020) inside a string.
    ControlCharacter(u8),
    /// A backslash followed by something that is no escape.
    BadEscape,
    /// A `\u` surrogate without its other half: no Unicode character.
    LoneSurrogate,
    /// A number that RFC 8259 does not allow (`01`, `1.`, `+1`, `.5`).
    BadNumber,
    /// A number whose magnitude is beyond what a double can hold.
    NumberOutOfRange,
    /// An object that has the same key twice: readers disagree on which value counts.
    DuplicateKey,
    /// Something other than white space after the value.
    TrailingData,
}

/// A [`SyntaxErrorKind`] and the byte offset at which it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntaxError {
    /// Bytes from the start of the scanned text.
    pub offset: usize,
    /// What is wrong there.
    pub kind: SyntaxErrorKind,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            SyntaxErrorKind::UnexpectedEnd => write!(f, "unexpected end of JSON")?,
            SyntaxErrorKind::UnexpectedByte(byte) if byte.is_ascii_graphic() => {
                write!(f, "unexpected character '{}'", byte as char)?;
            }
            SyntaxErrorKind::UnexpectedByte(byte) => write!(f, "unexpected byte 0x{byte:02x}")?,
            SyntaxErrorKind::TooDeep => write!(f, "nested deeper than {JSON_DEPTH_MAX} levels")?,
            SyntaxErrorKind::ControlCharacter(byte) => {
                write!(f, "unescaped control character 0x{byte:02x} in a string")?;
            }
            SyntaxErrorKind::BadEscape => write!(f, "invalid escape in a string")?,
            SyntaxErrorKind::LoneSurrogate => write!(f, "lone surrogate in a string")?,
            SyntaxErrorKind::BadNumber => write!(f, "invalid number")?,
            SyntaxErrorKind::NumberOutOfRange => write!(f, "number out of range of a double")?,
            SyntaxErrorKind::DuplicateKey => write!(f, "duplicate key in an object")?,
            SyntaxErrorKind::TrailingData => write!(f, "trailing data after the value")?,
        }
        write!(f, " at byte {}", self.offset)
    }
}

impl std::error::Error for SyntaxError {}

/// A cursor over one text. Positions are byte offsets into that text, so a scan that starts in the middle of a
/// request body (see [`Scanner::at`]) yields positions in the body.
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    text: &'a str,
    pos: usize,
    depth: usize,
}

impl<'a> Scanner<'a> {
    /// Starts at the first byte of `text`.
    #[inline]
    pub fn new(text: &'a str) -> Self {
        Self::at(text, 0)
    }

    /// Starts at byte `pos` of `text`.
    #[inline]
    pub fn at(text: &'a str, pos: usize) -> Self {
        Self { text, pos, depth: 0 }
    }

    /// The whole text that is being scanned.
    #[inline]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The byte offset of the next byte to read.
    #[inline]
    pub fn position(&self) -> usize {
        self.pos
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    /// An error of `kind` at the current position.
    #[cold]
    pub fn error(&self, kind: SyntaxErrorKind) -> SyntaxError {
        SyntaxError { offset: self.pos, kind }
    }

    #[cold]
    fn unexpected(&self) -> SyntaxError {
        match self.byte() {
            Some(byte) => self.error(SyntaxErrorKind::UnexpectedByte(byte)),
            None => self.error(SyntaxErrorKind::UnexpectedEnd),
        }
    }

    /// Moves over spaces, tabs, line feeds and carriage returns.
    #[inline]
    pub fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.pos += 1;
        }
    }

    /// Moves over white space and tells what value comes next, without consuming any of it.
    #[inline]
    pub fn peek(&mut self) -> Result<Kind, SyntaxError> {
        self.skip_whitespace();
        match self.byte() {
            Some(b'"') => Ok(Kind::String),
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            _ => Err(self.unexpected()),
        }
    }

    /// Consumes white space to the end of the text; anything else is [`SyntaxErrorKind::TrailingData`].
    pub fn end(&mut self) -> Result<(), SyntaxError> {
        self.skip_whitespace();
        if self.pos == self.text.len() { Ok(()) } else { Err(self.error(SyntaxErrorKind::TrailingData)) }
    }

    #[inline]
    fn literal(&mut self, word: &str) -> Result<(), SyntaxError> {
        if self.text.as_bytes()[self.pos..].starts_with(word.as_bytes()) {
            self.pos += word.len();
            return Ok(());
        }
        for &expected in word.as_bytes() {
            if self.byte() != Some(expected) {
                break;
            }
            self.pos += 1;
        }
        Err(self.unexpected())
    }

    /// Consumes `null`.
    #[inline]
    pub fn null(&mut self) -> Result<(), SyntaxError> {
        self.skip_whitespace();
        self.literal("null")
    }

    /// Consumes `true` or `false`.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, SyntaxError> {
        self.skip_whitespace();
        if self.byte() == Some(b't') {
            self.literal("true")?;
            Ok(true)
        } else {
            self.literal("false")?;
            Ok(false)
        }
    }

    /// Consumes a string and borrows what stands between its quotes.
    #[inline]
    pub fn string(&mut self) -> Result<RawString<'a>, SyntaxError> {
        self.skip_whitespace();
        if self.byte() != Some(b'"') {
            return Err(self.unexpected());
        }
        let start = self.pos + 1;
        let found = string::scan(self.text.as_bytes(), start)?;
        self.pos = found.end + 1;
        Ok(RawString::new(&self.text[start..found.end], found.escaped))
    }

    /// The same where the caller checks the alphabet, as of Base64: control characters pass.
    #[inline]
    pub fn opaque_string(&mut self) -> Result<RawString<'a>, SyntaxError> {
        self.skip_whitespace();
        let Some(end) = string::opaque(self.text.as_bytes(), self.pos) else { return self.string() };
        let start = std::mem::replace(&mut self.pos, end + 1) + 1;
        Ok(RawString::new(&self.text[start..end], false))
    }

    /// Consumes a number that is written as an integer of at most 18 digits, and nothing but white space if that is
    /// not what comes next: a guess that spares [`Scanner::number`].
    #[inline]
    pub fn take_integer(&mut self) -> Option<i64> {
        self.skip_whitespace();
        let (value, end) = number::integer(self.text.as_bytes(), self.pos)?;
        self.pos = end;
        Some(value)
    }

    /// Consumes a number and borrows its digits.
    #[inline]
    pub fn number(&mut self) -> Result<RawNumber<'a>, SyntaxError> {
        self.skip_whitespace();
        let start = self.pos;
        let found = number::scan(self.text.as_bytes(), start)?;
        self.pos = found.end;
        let number = RawNumber::new(&self.text[start..found.end], found.integer);
        if !number.is_in_range() {
            return Err(SyntaxError { offset: start, kind: SyntaxErrorKind::NumberOutOfRange });
        }
        Ok(number)
    }

    #[inline]
    fn enter(&mut self, open: u8) -> Result<(), SyntaxError> {
        self.skip_whitespace();
        if self.byte() != Some(open) {
            return Err(self.unexpected());
        }
        if self.depth == JSON_DEPTH_MAX {
            return Err(self.error(SyntaxErrorKind::TooDeep));
        }
        self.depth += 1;
        self.pos += 1;
        Ok(())
    }

    /// Consumes `{`. Read its members with [`Scanner::next_key`].
    #[inline]
    pub fn enter_object(&mut self) -> Result<(), SyntaxError> {
        self.enter(b'{')
    }

    /// Consumes `[`. Read its elements with [`Scanner::next_element`].
    #[inline]
    pub fn enter_array(&mut self) -> Result<(), SyntaxError> {
        self.enter(b'[')
    }

    /// Moves to the next member: consumes `,`, the key and `:`, or the closing `}` (`None`).
    /// `first` is true before the first member; the caller keeps it beside the loop.
    #[inline]
    pub fn next_key(&mut self, first: &mut bool) -> Result<Option<RawString<'a>>, SyntaxError> {
        if !self.next_item(first, b'}')? {
            return Ok(None);
        }
        let key = self.string()?;
        self.skip_whitespace();
        if self.byte() != Some(b':') {
            return Err(self.unexpected());
        }
        self.pos += 1;
        Ok(Some(key))
    }

    /// Consumes the next member's key and `:` if the key is written exactly as `quoted` (the quotes included), and
    /// nothing otherwise: a guess that spares [`Scanner::next_key`] where the order of the keys is known.
    /// `quoted` must be a JSON string. `first` as in [`Scanner::next_key`].
    #[inline]
    pub fn take_key(&mut self, first: &mut bool, quoted: &str) -> bool {
        let start = self.pos;
        self.skip_whitespace();
        if !*first {
            if self.byte() != Some(b',') {
                self.pos = start;
                return false;
            }
            self.pos += 1;
            self.skip_whitespace();
        }
        let found = begins_with(&self.text.as_bytes()[self.pos..], quoted.as_bytes());
        self.pos += if found { quoted.len() } else { 0 };
        self.skip_whitespace();
        if !found || self.byte() != Some(b':') {
            self.pos = start;
            return false;
        }
        self.pos += 1;
        *first = false;
        true
    }

    /// Moves to the next element: consumes `,`, or the closing `]` (`false`). `first` as in [`Scanner::next_key`].
    #[inline]
    pub fn next_element(&mut self, first: &mut bool) -> Result<bool, SyntaxError> {
        self.next_item(first, b']')
    }

    #[inline]
    fn next_item(&mut self, first: &mut bool, close: u8) -> Result<bool, SyntaxError> {
        self.skip_whitespace();
        match self.byte() {
            Some(byte) if byte == close => {
                self.pos += 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(b',') if !*first => {
                self.pos += 1;
                Ok(true)
            }
            Some(_) if *first => {
                *first = false;
                Ok(true)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// Consumes one value of any kind. Duplicate keys pass: see [`super::KeySet::skip_value`] for the strict form.
    pub fn skip_value(&mut self) -> Result<(), SyntaxError> {
        match self.peek()? {
            Kind::String => self.string().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::Bool => self.bool().map(drop),
            Kind::Null => self.null(),
            Kind::Object => {
                self.enter_object()?;
                let mut first = true;
                while self.next_key(&mut first)?.is_some() {
                    self.skip_value()?;
                }
                Ok(())
            }
            Kind::Array => {
                self.enter_array()?;
                let mut first = true;
                while self.next_element(&mut first)? {
                    self.skip_value()?;
                }
                Ok(())
            }
        }
    }
}

/// [`slice::starts_with`] for the few bytes of a key, without the call that it makes.
#[inline]
fn begins_with(bytes: &[u8], key: &[u8]) -> bool {
    let Some(bytes) = bytes.get(..key.len()) else { return false };
    match (bytes.last_chunk::<8>(), key.last_chunk::<8>()) {
        // The last eight may have been compared before, in part.
        (Some(last), Some(key_last)) => {
            let eights = bytes.chunks_exact(8).zip(key.chunks_exact(8));
            last == key_last && eights.into_iter().all(|(bytes, key)| bytes == key)
        }
        _ => bytes.iter().zip(key).all(|(byte, key)| byte == key),
    }
}
