use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, Notify};

use super::super::super::plan::{Plan, Target};
use super::super::super::workload::{Class, Protocol};
use super::*;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(60);

/// Streams to where `listener` listens.
fn streams(listener: &TcpListener, timeout: Duration) -> Streams {
    let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let plan = Plan { target, timeout, ..Plan::default() };
    let class = Class { protocol: Protocol::Http2, ..plan.whole() };
    Streams::new(Arc::new(RequestHead::new(&plan, &class).unwrap()))
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Each sender sends its requests in turn and says what came of them.
async fn sent(streams: &Streams, requests: &[&[&'static str]]) -> Vec<Vec<String>> {
    let one = async |requests: &&[&'static str]| {
        let (mut told, mut timer) = (Vec::new(), None);
        for request in *requests {
            told.push(match streams.post(&Bytes::from_static(request.as_bytes()), None, &mut timer).await {
                Attempt::Answered { body, .. } => String::from_utf8(body.to_vec()).unwrap(),
                Attempt::NotSent => "not sent".to_owned(),
                Attempt::Lost(code) => format!("lost: {code}"),
            });
        }
        told
    };
    join_all(requests.iter().map(one)).await
}

/// Says when a request may be answered.
type Hold = Arc<dyn Fn(Bytes) -> BoxFuture<'static, ()> + Send + Sync>;

fn hold<F: Future<Output = ()> + Send + 'static>(until: impl Fn(Bytes) -> F + Send + Sync + 'static) -> Hold {
    Arc::new(move |body| Box::pin(until(body)))
}

/// Answers each request of a connection with its own body, as soon as it may; at most `most` at a time.
async fn serve(stream: TcpStream, most: Option<u32>, hold: Hold) {
    let answer = move |request: Request<Incoming>| {
        let hold = Arc::clone(&hold);
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            hold(body.clone()).await;
            Ok::<_, Infallible>(Response::new(Full::new(body)))
        }
    };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    // Who has its answers hangs up.
    let _ =
        builder.max_concurrent_streams(most).serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

#[tokio::test]
async fn requests_of_all_senders_are_under_way_at_once_on_one_connection() {
    let listener = listen().await;
    let streams = streams(&listener, LONG);
    // None is answered before all of them are there, and the last comes first.
    let all = Arc::new(Barrier::new(3));
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        serve(
            stream,
            None,
            hold(move |_| {
                let all = Arc::clone(&all);
                async move {
                    all.wait().await;
                }
            }),
        )
        .await;
    };
    let client = sent(&streams, &[&["a", "d"], &["b", "e"], &["c", "f"]]);
    let told = tokio::select! {
        () = server => panic!("the server has ended"),
        told = client => told,
    };
    assert_eq!(told, [["a", "d"], ["b", "e"], ["c", "f"]]);
    assert_eq!(streams.tries.get(), 1);
}

#[tokio::test]
async fn no_more_streams_are_opened_than_the_server_takes_and_the_others_wait() {
    let listener = listen().await;
    let streams = streams(&listener, LONG);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (pair, seen) = (Arc::new(Barrier::new(2)), Arc::clone(&most));
    let one = move |_| {
        let (now, most, pair) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&pair));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Both of two that are allowed are there.
            pair.wait().await;
            now.fetch_sub(1, Ordering::SeqCst);
        }
    };
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, Some(2), hold(one)).await;
    };
    let requests: [&[&str]; 6] = [&["a"], &["b"], &["c"], &["d"], &["e"], &["f"]];
    let told = tokio::select! {
        () = server => panic!("the server has ended"),
        told = sent(&streams, &requests) => told,
    };
    assert_eq!(told, requests);
    assert_eq!((seen.load(Ordering::SeqCst), streams.tries.get()), (2, 1));
}

#[tokio::test]
async fn a_connection_that_breaks_takes_with_it_what_is_under_way_and_the_next_request_comes_over_another() {
    let listener = listen().await;
    let streams = streams(&listener, LONG);
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (all, are_there) = (Arc::new(Barrier::new(3)), Arc::new(Notify::new()));
        let told = Arc::clone(&are_there);
        let one = move |_| {
            let (all, told) = (Arc::clone(&all), Arc::clone(&told));
            async move {
                all.wait().await;
                told.notify_one();
                std::future::pending().await
            }
        };
        // It goes with three requests under way.
        tokio::select! {
            () = serve(stream, None, hold(one)) => panic!("the client has left"),
            () = are_there.notified() => {}
        }
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, None, hold(|_| async {})).await;
    };
    let told = tokio::select! {
        () = server => panic!("the server has ended"),
        told = sent(&streams, &[&["a", "d"], &["b", "e"], &["c", "f"]]) => told,
    };
    let lost = "lost: connection";
    assert_eq!(told, [[lost, "d"], [lost, "e"], [lost, "f"]]);
    assert_eq!(streams.tries.get(), 2);
}

#[tokio::test]
async fn an_idle_connection_that_the_server_has_closed_costs_no_request() {
    let listener = listen().await;
    let streams = streams(&listener, LONG);
    let closed = Arc::new(Notify::new());
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        drop(stream);
        closed.notify_one();
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, None, hold(|_| async {})).await;
    };
    let client = async {
        streams.open_ahead().await;
        closed.notified().await;
        // What is sent before the end is seen is lost with the connection.
        while streams.open().is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        sent(&streams, &[&["a"], &["b"]]).await
    };
    let told = tokio::select! {
        () = server => panic!("the server has ended"),
        told = client => told,
    };
    assert_eq!(told, [["a"], ["b"]]);
}

#[tokio::test]
async fn a_request_without_an_answer_is_given_up_and_the_next_one_comes_over_another_connection() {
    let listener = listen().await;
    let streams = streams(&listener, Duration::from_secs(1));
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let first = serve(stream, None, hold(|_| std::future::pending()));
        let second = async {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream, None, hold(|_| async {})).await;
        };
        tokio::join!(first, second);
    };
    let told = tokio::select! {
        () = server => panic!("the server has ended"),
        told = sent(&streams, &[&["a", "b"]]) => told,
    };
    assert_eq!(told, [["lost: timeout", "b"]]);
}

#[tokio::test]
async fn nobody_waits_for_the_tries_of_others_when_the_server_is_away() {
    let listener = listen().await;
    let streams = streams(&listener, LONG);
    drop(listener);
    let told = sent(&streams, &[&["a"], &["b"], &["c"]]).await;
    assert_eq!(told, [["not sent"]; 3]);
    assert_eq!(streams.tries.get(), 1);
}
