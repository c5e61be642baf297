//! Bytes → a reply of HTTP/1.1.
//!
//! A general client costs more than the server that it measures. This one knows what it needs: a status,
//! `Content-Length` or chunks, `Connection: close`, `Retry-After`.

use std::time::Duration;

use bytes::Bytes;

use super::super::reply;
use super::{Attempt, REPLY_BYTES_MAX};

/// Bytes of a reply's head.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Headers of a reply.
const HEADERS_MAX: usize = 64;

/// Where a reply's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Bytes(usize),
    Chunked,
    UntilClose,
}

/// What a head says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    length: Length,
    closes: bool,
    retry_after: Option<Duration>,
    /// Bytes of it.
    size: usize,
}

/// No reply, and none will come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// A reply that is whole, or that will never be.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) attempt: Attempt,
    /// Bytes that it took, those of "100 Continue" and the like in front of it included.
    pub(super) size: usize,
    /// The connection cannot be used again.
    pub(super) closes: bool,
}

/// The reply at the start of `buffer`; nothing if more has to be read. `is_end` says that no more will come.
pub(super) fn take(buffer: &[u8], is_end: bool) -> Result<Option<Whole>, Broken> {
    let mut start = 0;
    let head = loop {
        match parse(&buffer[start..])? {
            // "100 Continue" and the like are followed by the reply.
            Some(head) if head.status < 200 => start += head.size,
            Some(head) => break head,
            None if is_end || buffer.len() - start > HEAD_BYTES_MAX => return Err(Broken),
            None => return Ok(None),
        }
    };
    let body = &buffer[start + head.size..];
    let lost = || Whole { attempt: Attempt::Lost("reply"), size: buffer.len(), closes: true };
    let taken = match head.length {
        Length::Bytes(length) if length > REPLY_BYTES_MAX => return Ok(Some(lost())),
        Length::Bytes(length) => body.get(..length).map(|body| (Bytes::copy_from_slice(body), length)),
        Length::Chunked => match chunks(body)? {
            Chunks::Whole(joined, size) => Some((joined, size)),
            Chunks::Part => None,
            Chunks::TooLong => return Ok(Some(lost())),
        },
        Length::UntilClose if is_end || body.len() > REPLY_BYTES_MAX => {
            Some((Bytes::copy_from_slice(body), body.len()))
        }
        Length::UntilClose => None,
    };
    let Some((body, size)) = taken else { return Ok(is_end.then(lost)) };
    let closes = head.closes || head.length == Length::UntilClose;
    let attempt = Attempt::Answered { status: head.status, retry_after: head.retry_after, body };
    Ok(Some(Whole { attempt, size: start + head.size + size, closes }))
}

enum Chunks {
    /// The bytes of all chunks, and how many bytes they took.
    Whole(Bytes, usize),
    Part,
    TooLong,
}

fn chunks(buffer: &[u8]) -> Result<Chunks, Broken> {
    let (mut at, mut body) = (0, Vec::new());
    loop {
        let (size, data) = match httparse::parse_chunk_size(&buffer[at..]) {
            Ok(httparse::Status::Complete((used, size))) => (size, at + used),
            Ok(httparse::Status::Partial) => return Ok(Chunks::Part),
            Err(_) => return Err(Broken),
        };
        if body.len() as u64 + size > REPLY_BYTES_MAX as u64 {
            return Ok(Chunks::TooLong);
        }
        let size = size as usize;
        // The line behind the data; trailers, which nobody asked for, are not understood.
        let Some(chunk) = buffer.get(data..data + size + 2) else { return Ok(Chunks::Part) };
        body.extend_from_slice(&chunk[..size]);
        at = data + size + 2;
        if size == 0 {
            return Ok(Chunks::Whole(body.into(), at));
        }
    }
}

fn parse(buffer: &[u8]) -> Result<Option<Head>, Broken> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let size = match response.parse(buffer) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Broken),
    };
    let status = response.code.ok_or(Broken)?;
    let mut head = Head {
        status,
        length: Length::UntilClose,
        closes: response.version == Some(0),
        retry_after: None,
        size,
    };
    for header in response.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let text = std::str::from_utf8(header.value).unwrap_or_default().trim();
        if is("content-length") && head.length != Length::Chunked {
            head.length = Length::Bytes(text.parse().map_err(|_| Broken)?);
        } else if is("transfer-encoding") {
            head.length = Length::Chunked;
        } else if is("connection") {
            head.closes |= text.eq_ignore_ascii_case("close");
        } else if is("retry-after") {
            head.retry_after = reply::retry_after(text);
        }
    }
    if matches!(status, 204 | 304) || status < 200 {
        head.length = Length::Bytes(0);
    }
    Ok(Some(head))
}
