//! HTTP/1 messages as they stand on the wire: what the parser behind takes, and says nothing of.
//!
//! hyper goes by `Transfer-Encoding` where there is a `Content-Length` as well, takes the same length twice, takes a line
//! feed alone for the end of a line, and cuts off the fragment of a target (all of it as RFC 9112 allows). A proxy in
//! front that reads any of these otherwise lets in what it has not seen. [`Wire`] follows the messages of a connection
//! beside hyper, line by line in heads and by count in bodies, and says from which request on nothing is to be believed.
//!
//! What hyper refuses by itself need not be found here: nothing comes after it.

use memchr::memchr;

/// Bytes of a line that are kept: `transfer-encoding:` has 18, and a length at most 20 digits behind white space.
const LINE_BYTES_KEPT: usize = 64;

/// Why a request is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// A length and chunks, or more than one length.
    TwoLengths,
    /// A line ends with a line feed alone.
    BareLineFeed,
    /// The target has a fragment.
    Fragment,
    /// The end of the message before cannot be told.
    Unframed,
}

impl Flaw {
    /// For people.
    pub fn detail(self) -> &'static str {
        match self {
            Flaw::TwoLengths => {
                "a message has one Content-Length, or Transfer-Encoding: chunked, and not both"
            }
            Flaw::BareLineFeed => "each line of a request ends with CR and LF",
            Flaw::Fragment => "the target of a request has no fragment",
            Flaw::Unframed => "the end of the message before cannot be told",
        }
    }
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    RequestLine,
    Header,
    /// So many bytes that are no line.
    Body(u64),
    ChunkSize,
    /// So many bytes with the end of the line behind them.
    Chunk(u64),
    Trailer,
    /// Nothing that this looks at.
    Elsewhere,
}

/// What is known of the head that is being read.
#[derive(Debug, Default, Clone, Copy)]
struct Head {
    length: Option<u64>,
    is_chunked: bool,
}

/// The messages of one connection, as far as they have come in.
#[derive(Debug)]
pub struct Wire {
    place: Place,
    /// Heads that are complete.
    heads: u64,
    head: Head,
    /// The first request that is not believed, counted from 0.
    flawed: Option<(u64, Flaw)>,
    /// The beginning of a line whose end has not come in.
    line: [u8; LINE_BYTES_KEPT],
    /// Bytes of it, of which no more than [`LINE_BYTES_KEPT`] are kept.
    line_bytes: usize,
    /// The last one that has come in.
    last: u8,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            place: Place::RequestLine,
            heads: 0,
            head: Head::default(),
            flawed: None,
            line: [0; LINE_BYTES_KEPT],
            line_bytes: 0,
            last: 0,
        }
    }
}

impl Wire {
    /// Follows what has come in.
    pub fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.place {
                Place::Elsewhere => return,
                Place::Body(left) => self.skip(bytes, left, Place::Body, Place::RequestLine),
                Place::Chunk(left) => self.skip(bytes, left, Place::Chunk, Place::ChunkSize),
                _ => self.line(bytes),
            };
        }
    }

    /// The first request of this connection that is not to be believed, counted from 0, and why.
    pub fn flawed(&self) -> Option<(u64, Flaw)> {
        self.flawed
    }

    /// Whether every message that has begun is complete.
    pub fn is_between_messages(&self) -> bool {
        self.place == Place::RequestLine && self.line_bytes == 0
    }

    fn skip<'a>(&mut self, bytes: &'a [u8], left: u64, more: impl Fn(u64) -> Place, end: Place) -> &'a [u8] {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let rest = left.saturating_sub(count as u64);
        self.place = if rest == 0 { end } else { more(rest) };
        bytes.get(count..).unwrap_or_default()
    }

    /// Reads up to the end of a line; returns what is behind it.
    fn line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = memchr(b'\n', bytes);
        let piece = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        if self.place == Place::RequestLine && memchr(b'#', piece).is_some() {
            self.flaw(Flaw::Fragment);
        }
        let Some(end) = end else {
            self.keep(piece);
            return &[];
        };
        if self.line_bytes == 0 {
            self.ended(piece);
        } else {
            self.keep(piece);
            let (line, bytes) = (self.line, self.line_bytes);
            let is_crlf = self.last == b'\r';
            self.line_bytes = 0;
            let whole = line.get(..bytes.min(LINE_BYTES_KEPT)).unwrap_or_default();
            match bytes > LINE_BYTES_KEPT && self.is_cut_within_a_number(whole) {
                true => self.lost(),
                // What else is cut off is as good as its first bytes, but for the end.
                false => self.ended_by(whole.strip_suffix(b"\r").unwrap_or(whole), is_crlf),
            }
        }
        bytes.get(end + 1..).unwrap_or_default()
    }

    /// Whether the rest of a line, of which this is the beginning, may have digits of a length: zeros in front of one make
    /// it as long as somebody wants, and hyper reads it to its end.
    fn is_cut_within_a_number(&self, beginning: &[u8]) -> bool {
        match self.place {
            Place::Header => named(beginning, b"content-length:").is_some(),
            Place::ChunkSize => beginning.iter().all(u8::is_ascii_hexdigit),
            _ => false,
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        let from = self.line_bytes.min(LINE_BYTES_KEPT);
        let count = piece.len().min(LINE_BYTES_KEPT - from);
        if let (Some(to), Some(kept)) = (self.line.get_mut(from..from + count), piece.get(..count)) {
            to.copy_from_slice(kept);
        }
        self.line_bytes = self.line_bytes.saturating_add(piece.len());
        self.last = piece.last().copied().unwrap_or(self.last);
    }

    fn ended(&mut self, line: &[u8]) {
        match line.strip_suffix(b"\r") {
            Some(line) => self.ended_by(line, true),
            None => self.ended_by(line, false),
        }
    }

    fn ended_by(&mut self, line: &[u8], is_crlf: bool) {
        if !is_crlf {
            self.flaw(Flaw::BareLineFeed);
        }
        match self.place {
            // Empty lines in front of a request are passed over.
            Place::RequestLine if line.is_empty() => {}
            Place::RequestLine => self.place = Place::Header,
            Place::Header if line.is_empty() => self.head_ended(),
            Place::Header => self.header(line),
            Place::ChunkSize => match chunk_bytes(line) {
                Some(0) => self.place = Place::Trailer,
                Some(bytes) => self.place = Place::Chunk(bytes.saturating_add(2)),
                None => self.lost(),
            },
            Place::Trailer if line.is_empty() => self.place = Place::RequestLine,
            Place::Trailer | Place::Body(_) | Place::Chunk(_) | Place::Elsewhere => {}
        }
    }

    fn header(&mut self, line: &[u8]) {
        if named(line, b"transfer-encoding:").is_some() {
            self.head.is_chunked = true;
        } else if let Some(value) = named(line, b"content-length:") {
            if self.head.length.is_some() {
                self.flaw(Flaw::TwoLengths);
            }
            match length(value) {
                Some(length) => self.head.length = Some(length),
                None => self.lost(),
            }
        }
    }

    fn head_ended(&mut self) {
        let head = std::mem::take(&mut self.head);
        self.place = match (head.is_chunked, head.length) {
            (true, Some(_)) => {
                self.flaw(Flaw::TwoLengths);
                Place::ChunkSize
            }
            (true, None) => Place::ChunkSize,
            (false, Some(length)) if length > 0 => Place::Body(length),
            (false, _) => Place::RequestLine,
        };
        self.heads += 1;
    }

    /// Nobody knows where the next request begins.
    fn lost(&mut self) {
        self.flaw(Flaw::Unframed);
        self.place = Place::Elsewhere;
    }

    fn flaw(&mut self, flaw: Flaw) {
        self.flawed.get_or_insert((self.heads, flaw));
    }
}

/// The value, if the line has that name.
fn named<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, value) = line.split_at_checked(name.len())?;
    found.eq_ignore_ascii_case(name).then_some(value)
}

fn length(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

fn chunk_bytes(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    u64::from_str_radix(std::str::from_utf8(line.get(..end)?).ok()?, 16).ok()
}

#[cfg(test)]
mod tests;
