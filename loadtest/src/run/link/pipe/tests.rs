use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::super::plan::{Plan, Target};
use super::*;

/// A pipe to where `listener` listens.
fn pipe(listener: &TcpListener, senders: usize, timeout: Duration) -> Rc<Pipe> {
    let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let plan = Plan { target, timeout, ..Plan::default() };
    Rc::new(Pipe::new(Arc::new(RequestHead::new(&plan, &plan.whole()).unwrap()), senders))
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Each sender sends its requests in turn and says what came of them.
async fn sent(pipe: &Rc<Pipe>, requests: Vec<Vec<&'static str>>) -> Vec<Vec<String>> {
    let one = async |(sender, requests): (usize, Vec<&'static str>)| {
        let mut told = Vec::new();
        for request in requests {
            told.push(match pipe.post(sender, request.as_bytes(), clock::monotonic()).await {
                Attempt::Answered { body, .. } => String::from_utf8(body.to_vec()).unwrap(),
                Attempt::NotSent => "not sent".to_owned(),
                Attempt::Lost(code) => format!("lost: {code}"),
            });
        }
        pipe.leave();
        told
    };
    let senders = join_all(requests.into_iter().enumerate().map(one));
    tokio::join!(pipe.drive(), senders).1
}

fn reply(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Takes `count` requests of four bytes.
async fn take(stream: &mut TcpStream, count: usize) -> String {
    let mut bytes = vec![0; 4 * count];
    stream.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn requests_go_out_together_and_each_sender_gets_its_own_reply() {
    let listener = listen().await;
    let pipe = pipe(&listener, 3, Duration::from_secs(30));
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        // None of them waits for a reply to another.
        let first = take(&mut stream, 3).await;
        let replies: Vec<u8> =
            first.as_bytes().chunks(4).flat_map(|one| reply(std::str::from_utf8(one).unwrap())).collect();
        // In pieces that end anywhere.
        for piece in replies.chunks(7) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        let second = take(&mut stream, 1).await;
        stream.write_all(&reply(&second)).await.unwrap();
        first
    };
    let (first, told) =
        tokio::join!(server, sent(&pipe, vec![vec!["aaaa", "dddd"], vec!["bbbb"], vec!["cccc"]]));
    assert_eq!(first, "aaaabbbbcccc");
    assert_eq!(told, [vec!["aaaa", "dddd"], vec!["bbbb"], vec!["cccc"]]);
}

#[tokio::test]
async fn a_connection_that_breaks_takes_with_it_what_was_sent_and_the_next_request_comes_over_another() {
    let listener = listen().await;
    let pipe = pipe(&listener, 2, Duration::from_secs(30));
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        take(&mut stream, 2).await;
        stream.write_all(&reply("yes")).await.unwrap();
        drop(stream);
        let (mut stream, _) = listener.accept().await.unwrap();
        let again = take(&mut stream, 2).await;
        stream.write_all(&[reply("1"), reply("2")].concat()).await.unwrap();
        again.len()
    };
    let (again, told) = tokio::join!(server, sent(&pipe, vec![vec!["aaaa", "cccc"], vec!["bbbb", "dddd"]]));
    assert_eq!(again, 8);
    assert_eq!(told[0][0], "yes");
    assert_eq!(told[1][0], "lost: connection");
    let mut second = [told[0][1].as_str(), told[1][1].as_str()];
    second.sort_unstable();
    assert_eq!(second, ["1", "2"]);
}

#[tokio::test]
async fn an_idle_connection_that_the_server_has_closed_costs_no_request() {
    let listener = listen().await;
    let pipe = pipe(&listener, 1, Duration::from_secs(30));
    let server = async {
        drop(listener.accept().await.unwrap());
        let (mut stream, _) = listener.accept().await.unwrap();
        let taken = take(&mut stream, 1).await;
        stream.write_all(&reply(&taken)).await.unwrap();
    };
    let late = async {
        // By then the end of the first connection was seen.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let told = match pipe.post(0, b"aaaa", clock::monotonic()).await {
            Attempt::Answered { body, .. } => body,
            attempt => panic!("{attempt:?}"),
        };
        pipe.leave();
        told
    };
    assert_eq!(&tokio::join!(server, pipe.drive(), late).2[..], b"aaaa");
}

#[tokio::test]
async fn who_says_close_or_something_else_ends_the_connection() {
    for (said, expected) in [
        (&b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"[..], "ok"),
        (b"HTTP/1.1 200 OK\r\n\r\nok", "ok"),
        (b"SSH-2.0\r\n\r\n", "lost: connection"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", "lost: reply"),
    ] {
        let listener = listen().await;
        let pipe = pipe(&listener, 2, Duration::from_secs(30));
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            take(&mut stream, 2).await;
            stream.write_all(said).await.unwrap();
        };
        let told = tokio::join!(server, sent(&pipe, vec![vec!["aaaa"], vec!["bbbb"]])).1;
        assert_eq!(told[0], [expected], "{}", String::from_utf8_lossy(said));
        assert!(told[1][0].starts_with("lost"), "{told:?}");
    }
}

#[tokio::test]
async fn a_reply_that_does_not_come_is_lost_after_the_timeout_and_nobody_there_is_not_sent() {
    let listener = listen().await;
    let pipe = pipe(&listener, 1, Duration::from_millis(50));
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        take(&mut stream, 1).await;
        drop(listener);
        stream
    };
    let (stream, told) = tokio::join!(server, sent(&pipe, vec![vec!["aaaa", "bbbb"]]));
    assert_eq!(told, [["lost: timeout", "not sent"]]);
    drop(stream);
}

/// A stream that takes all bytes at once and passes on three with each flush, as TLS does over a narrow connection. It
/// answers each request of four bytes with these.
#[derive(Default)]
struct Narrow {
    held: Vec<u8>,
    passed: Vec<u8>,
    answered: usize,
    reader: Option<Waker>,
}

impl AsyncRead for Narrow {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(request) = this.passed.get(this.answered..this.answered + 4) else {
            this.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        buf.put_slice(&reply(std::str::from_utf8(request).unwrap()));
        this.answered += 4;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Narrow {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let count = this.held.len().min(3);
        this.passed.extend(this.held.drain(..count));
        this.reader.take().into_iter().for_each(Waker::wake);
        if this.held.is_empty() {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn what_a_stream_holds_back_is_flushed_until_all_of_it_has_left() {
    let listener = listen().await;
    let pipe = pipe(&listener, 2, Duration::from_secs(30));
    let mut wire = Wire::new(Narrow::default(), Duration::from_secs(30));
    let one = async |sender: usize, request: &[u8]| {
        let told = match pipe.post(sender, request, clock::monotonic()).await {
            Attempt::Answered { body, .. } => String::from_utf8(body.to_vec()).unwrap(),
            attempt => panic!("{attempt:?}"),
        };
        pipe.leave();
        told
    };
    let work = poll_fn(|context| pipe.work(&mut wire, context));
    let (end, first, second) = tokio::join!(work, one(0, b"aaaa"), one(1, b"bbbb"));
    assert!(matches!(end, End::Done));
    assert_eq!((first.as_str(), second.as_str()), ("aaaa", "bbbb"));
}
