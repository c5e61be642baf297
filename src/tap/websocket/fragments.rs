//! Texts in fragments (RFC 6455, 5.4), so that a client that takes them slowly costs what is paid for and no copy.

use bytes::Bytes;
use futures_util::SinkExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::config::limits::WEBSOCKET_FRAGMENT_BYTES;

/// Sends a message of `text`, which is UTF-8, and flushes it. The text, with whatever pays for it, is held as long as
/// that takes; beside it there is a copy of one fragment.
///
/// # Errors
/// If the connection is of no more use; where the call is given up as well, because a part was sent then.
pub async fn send<S>(socket: &mut WebSocketStream<S>, text: &Bytes) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from, mut kind) = (0, Data::Text);
    loop {
        let upto = text.len().min(from + WEBSOCKET_FRAGMENT_BYTES);
        let is_last = upto == text.len();
        let fragment = Frame::message(text.slice(from..upto), OpCode::Data(kind), is_last);
        socket.feed(Message::Frame(fragment)).await?;
        if is_last {
            return socket.flush().await;
        }
        (from, kind) = (upto, Data::Continue);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use futures_util::{StreamExt, poll};
    use tokio::io::{AsyncReadExt, DuplexStream};
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

    use super::*;

    async fn server(connection: DuplexStream) -> WebSocketStream<DuplexStream> {
        let config = WebSocketConfig::default().write_buffer_size(0);
        WebSocketStream::from_raw_socket(connection, Role::Server, Some(config)).await
    }

    /// Of two bytes a character, so that fragments end within one.
    fn text_of(bytes: usize) -> String {
        format!("x{}", "é".repeat(bytes / 2))
    }

    #[tokio::test]
    async fn a_text_of_any_size_is_one_message() {
        let (here, there) = tokio::io::duplex(1_000);
        let mut server = server(here).await;
        let mut client = WebSocketStream::from_raw_socket(there, Role::Client, None).await;
        let part = WEBSOCKET_FRAGMENT_BYTES;
        for bytes in [0, 1, part - 1, part, part + 1, 2 * part, 1 << 20] {
            let text = text_of(bytes);
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            let (sent, came) = tokio::join!(send(&mut server, &bytes), client.next());
            sent.unwrap();
            assert_eq!(came.unwrap().unwrap(), Message::text(text));
        }
    }

    /// Something that notes when it is let go.
    struct Paid(String, Arc<AtomicUsize>);

    impl AsRef<[u8]> for Paid {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }

    impl Drop for Paid {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn it_is_paid_for_until_its_last_byte_is_taken() {
        let (here, mut there) = tokio::io::duplex(1_000);
        let mut server = server(here).await;
        let let_go = Arc::new(AtomicUsize::new(0));
        // Ten fragments and a header of four bytes each.
        let bytes = 10 * WEBSOCKET_FRAGMENT_BYTES;
        let text = Bytes::from_owner(Paid("x".repeat(bytes), Arc::clone(&let_go)));
        let mut sending = Box::pin(async move { send(&mut server, &text).await });
        let (mut taken, mut room) = (0, [0; 1_000]);
        while taken < bytes + 40 {
            assert!(matches!(poll!(&mut sending), Poll::Pending) || bytes + 40 - taken <= 1_000);
            assert!(let_go.load(Ordering::Relaxed) == 0 || bytes + 40 - taken <= 1_000, "after {taken}");
            taken += there.read(&mut room).await.unwrap();
        }
        assert_eq!(let_go.load(Ordering::Relaxed), 1);
    }
}
