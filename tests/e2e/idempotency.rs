//! `Idempotency-Key`: a client that has lost a reply asks again and has its records once.

use reqwest::Client;
use serde_json::Value;

use crate::server::{Server, Setup, durable_stream, stream};

/// Status, whether it is a repetition, and body.
async fn post(server: &Server, key: &str, body: &'static str) -> (u16, bool, String) {
    let request = Client::new()
        .post(server.records("s"))
        .header("content-type", "application/x-ndjson")
        .header("idempotency-key", key)
        .body(body);
    let response = request.send().await.unwrap();
    let replayed = response.headers().contains_key("idempotency-replayed");
    (response.status().as_u16(), replayed, response.text().await.unwrap())
}

async fn stored(server: &Server) -> usize {
    let (_, page) = server.get("/v1/streams/s/records?from=earliest").await;
    page["records"].as_array().unwrap().len()
}

#[tokio::test]
async fn the_same_request_gets_the_first_reply_again_and_is_stored_once() {
    let server = Setup::pipeline(stream("s", 3)).start();
    let first = post(&server, "a", "{\"n\":1}\nnot json\n{\"n\":2}\n").await;
    let second = post(&server, "a", "{\"n\":1}\nnot json\n{\"n\":2}\n").await;
    assert_eq!((first.0, first.1, second.0, second.1), (200, false, 200, true));
    assert_eq!(first.2, second.2);
    let reply: Value = serde_json::from_str(&first.2).unwrap();
    assert_eq!((&reply["accepted"], &reply["rejected"]), (&2.into(), &1.into()), "{reply}");
    assert_eq!(stored(&server).await, 2);
    let third = post(&server, "b", "{\"n\":1}\n").await;
    assert!(!third.1, "another key is another request");
    assert_eq!(stored(&server).await, 3);
}

#[tokio::test]
async fn a_key_with_another_body_is_refused_and_a_refused_request_may_be_corrected() {
    let server = Setup::pipeline(stream("s", 1)).start();
    assert_eq!(post(&server, "a", "{\"n\":1}\n").await.0, 200);
    let (status, _, body) = post(&server, "a", "{\"n\":2}\n").await;
    assert_eq!(status, 422);
    assert!(body.contains("\"code\":\"idempotency_key_reused\""), "{body}");
    assert_eq!(post(&server, "b", "nothing\n").await.0, 400);
    assert_eq!(post(&server, "b", "{\"n\":3}\n").await.0, 200);
    for key in ["", &"k".repeat(256)] {
        assert_eq!(post(&server, key, "{\"n\":4}\n").await.0, 400, "{key}");
    }
    assert_eq!(stored(&server).await, 2);
}

#[tokio::test]
async fn of_many_requests_at_once_with_one_key_one_is_stored() {
    let server = Setup::pipeline(stream("s", 2)).start();
    let posts = (0..20).map(|_| post(&server, "a", "{\"n\":1}\n{\"n\":2}\n"));
    let replies = futures_of(posts).await;
    assert!(replies.iter().all(|reply| reply.0 == 200 && reply.2 == replies[0].2), "{replies:?}");
    assert_eq!(replies.iter().filter(|reply| !reply.1).count(), 1);
    assert_eq!(stored(&server).await, 2);
}

async fn futures_of<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut ready = true;
        for (future, output) in &mut pending {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    pending.into_iter().map(|(_, output)| output.unwrap()).collect()
}

#[tokio::test]
async fn keys_of_a_durable_stream_survive_a_crash() {
    for durability in ["fsync", "os"] {
        let setup = || Setup::pipeline(durable_stream("s", 3, durability));
        let server = setup().start();
        let first = post(&server, "a", "{\"n\":1}\n{\"n\":2}\n").await;
        assert_eq!(first.0, 200, "{}", first.2);
        assert!(first.2.contains(durability), "{}", first.2);
        let server = setup().in_folder(server.kill()).start();
        let second = post(&server, "a", "{\"n\":1}\n{\"n\":2}\n").await;
        assert_eq!((second.0, second.1, second.2), (200, true, first.2));
        assert_eq!(post(&server, "a", "{\"n\":1}\n").await.0, 422);
        assert_eq!(stored(&server).await, 2);
    }
}
