//! HTTP/1.1 by hand: a request is one write of bytes that were made ahead, a reply is read into a buffer that stays.
//!
//! A general client costs more than the server that it measures. This one knows what it needs: a status,
//! `Content-Length` or chunks, `Connection: close`, `Retry-After`.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::reply;
use super::connect::Stream;
use super::{Attempt, REPLY_BYTES_MAX};

/// Bytes of a reply's head.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Headers of a reply.
const HEADERS_MAX: usize = 64;

/// Bytes that are read at a time.
const READ_BYTES: usize = 16 << 10;

/// An open connection.
pub(super) struct Http1 {
    stream: Stream,
    buffer: Vec<u8>,
}

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
struct Broken;

impl Http1 {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, buffer: Vec::with_capacity(READ_BYTES) }
    }

    /// Whether the server has closed it meanwhile.
    pub(super) fn has_ended(&self) -> bool {
        self.stream.has_ended()
    }

    /// Sends `request` whole, and reads the reply. True if the connection can be used again.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> (Attempt, bool) {
        // A short request is written whole or not at all; of a long one, part may be gone when the rest fails.
        let mut sent = 0;
        while sent < request.len() {
            match self.stream.write(&request[sent..]).await {
                Ok(count) if count > 0 => sent += count,
                _ if sent == 0 => return (Attempt::NotSent, false),
                // The server may have refused early, and its reply may be there.
                _ => break,
            }
        }
        if self.stream.flush().await.is_err() && sent < request.len() {
            return (Attempt::Lost("connection"), false);
        }
        let is_whole = sent == request.len();
        self.buffer.clear();
        match self.reply().await {
            Ok((attempt, stays)) => (attempt, stays && is_whole),
            Err(Broken) => (Attempt::Lost("connection"), false),
        }
    }

    async fn reply(&mut self) -> Result<(Attempt, bool), Broken> {
        let head = loop {
            match parse(&self.buffer)? {
                // "100 Continue" and the like are followed by the reply.
                Some(head) if head.status < 200 => drop(self.buffer.drain(..head.size)),
                Some(head) => break head,
                None if self.buffer.len() > HEAD_BYTES_MAX => return Err(Broken),
                None if !self.read().await? => return Err(Broken),
                None => {}
            }
        };
        let (body, ends) = match head.length {
            Length::Bytes(length) if length > REPLY_BYTES_MAX => return Ok((Attempt::Lost("reply"), false)),
            Length::Bytes(length) => {
                while self.buffer.len() < head.size + length {
                    if !self.read().await? {
                        return Ok((Attempt::Lost("reply"), false));
                    }
                }
                (Bytes::copy_from_slice(&self.buffer[head.size..head.size + length]), false)
            }
            Length::Chunked => match self.chunks(head.size).await? {
                Some(body) => (body, false),
                None => return Ok((Attempt::Lost("reply"), false)),
            },
            Length::UntilClose => {
                while self.buffer.len() <= REPLY_BYTES_MAX && self.read().await? {}
                (Bytes::copy_from_slice(&self.buffer[head.size..]), true)
            }
        };
        let attempt = Attempt::Answered { status: head.status, retry_after: head.retry_after, body };
        Ok((attempt, !head.closes && !ends))
    }

    /// The bytes of all chunks; nothing if the connection ends before the last one.
    async fn chunks(&mut self, mut at: usize) -> Result<Option<Bytes>, Broken> {
        let mut body = Vec::new();
        loop {
            let (size, data) = match httparse::parse_chunk_size(&self.buffer[at..]) {
                Ok(httparse::Status::Complete((used, size))) => (size as usize, at + used),
                Ok(httparse::Status::Partial) => {
                    if !self.read().await? {
                        return Ok(None);
                    }
                    continue;
                }
                Err(_) => return Err(Broken),
            };
            if body.len() + size > REPLY_BYTES_MAX {
                return Ok(None);
            }
            // The line behind the data; trailers, which nobody asked for, are not understood.
            while self.buffer.len() < data + size + 2 {
                if !self.read().await? {
                    return Ok(None);
                }
            }
            body.extend_from_slice(&self.buffer[data..data + size]);
            at = data + size + 2;
            if size == 0 {
                return Ok(Some(body.into()));
            }
        }
    }

    /// Reads what is there. False at the end of the connection.
    async fn read(&mut self) -> Result<bool, Broken> {
        self.buffer.reserve(READ_BYTES);
        self.stream.read_buf(&mut self.buffer).await.map(|count| count > 0).map_err(|_| Broken)
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

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// What the client makes of a server that says this and then closes.
    async fn told(reply: &'static [u8]) -> (Attempt, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4];
            stream.read_exact(&mut request).await.unwrap();
            for byte in reply {
                // Who has seen enough hangs up.
                let _ = stream.write_all(&[*byte]).await;
                tokio::task::yield_now().await;
            }
        };
        let client = async {
            let stream = TcpStream::connect(address).await.unwrap();
            Http1::new(Stream::Plain(stream)).exchange(b"ping").await
        };
        tokio::join!(server, client).1
    }

    fn answered(attempt: Attempt) -> (u16, Option<Duration>, String) {
        let Attempt::Answered { status, retry_after, body } = attempt else { panic!("{attempt:?}") };
        (status, retry_after, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_reply_is_read_however_its_length_is_told() {
        for (reply, stays) in [
            (&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..], true),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", true),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
                true,
            ),
            (b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 5\r\n\r\nhello", false),
            (b"HTTP/1.0 200 OK\r\n\r\nhello", false),
        ] {
            let (attempt, reused) = told(reply).await;
            assert_eq!(answered(attempt), (200, None, "hello".to_owned()));
            assert_eq!(reused, stays, "{}", String::from_utf8_lossy(reply));
        }
    }

    #[tokio::test]
    async fn a_refusal_says_when_to_come_again() {
        let (attempt, _) = told(b"HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(answered(attempt), (503, Some(Duration::from_secs(7)), String::new()));
    }

    #[tokio::test]
    async fn a_reply_that_breaks_off_is_lost() {
        for reply in [
            &b""[..],
            b"HTTP/1.1 200",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            b"SSH-2.0\r\n\r\n",
        ] {
            assert!(matches!(told(reply).await, (Attempt::Lost(_), false)));
        }
    }
}
