//! HTTP/1.1 by hand: a request is one write of bytes that were made ahead, a reply is read into a buffer that stays.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Attempt;
use super::answer::{self, Broken};
use super::connect::Stream;

/// Bytes that are read at a time.
pub(super) const READ_BYTES: usize = 16 << 10;

/// An open connection.
pub(super) struct Http1 {
    stream: Stream,
    buffer: Vec<u8>,
}

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
        let mut is_end = false;
        loop {
            self.buffer.reserve(READ_BYTES);
            is_end |= self.stream.read_buf(&mut self.buffer).await.map_err(|_| Broken)? == 0;
            if let Some(whole) = answer::take(&self.buffer, is_end)? {
                return Ok((whole.attempt, !whole.closes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
