//! Clients of HTTP/2 that take nothing.

use http::Method;
use http_body_util::Full;

use crate::server::{PATIENCE, Server, Setup, durable_stream};
use crate::websocket_http2::Connection;

const USED: &str = "forebay_memory_used_bytes";
const LATE: (&str, &str) = ("forebay_http_connections_timed_out_total", "late_with=\"answer\"");

/// Twenty records of 100 kB.
async fn fill(server: &Server) {
    let pad = "x".repeat(100_000);
    for n in 0..20 {
        let record = format!("{{\"n\":{n},\"pad\":\"{pad}\"}}");
        let reply = reqwest::Client::new().post(server.records("s")).body(record).send().await.unwrap();
        assert_eq!(reply.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_wait_for_a_window_go_with_their_connection_and_its_pings_do_not_keep_them() {
    let server = Setup::pipeline(durable_stream("s", 1, "os")).server("idle_timeout = \"1s\"").start();
    fill(&server).await;
    let before = server.metric(USED, "").await;
    // It pings as well, and nothing is under way: what its client did not want to read, it has reset.
    let (quiet, quiet_ended) = Connection::open_without_window(&server).await;
    let (greedy, greedy_ended) = Connection::open_without_window(&server).await;
    let mut pages = Vec::new();
    for _ in 0..4 {
        let page = greedy.get("/v1/streams/s/records?from=earliest&limit=20").await;
        assert_eq!(page.status(), 200);
        pages.push(page);
    }
    tokio::time::timeout(PATIENCE, greedy_ended).await.expect("in time").unwrap();
    server.until(USED, "", |used| used <= before).await;
    server.until(LATE.0, LATE.1, |late| late == 1.0).await;
    assert_eq!(quiet.get("/v1/streams/s").await.status(), 200);
    assert!(!quiet_ended.is_finished());
    // Nor does a live one, that nothing is sent on.
    let events = quiet.request(Method::GET, "/v1/streams/s/records").header("accept", "text/event-stream");
    let events = quiet.send(events.body(Full::default()).unwrap()).await;
    tokio::time::timeout(PATIENCE, quiet_ended).await.expect("in time").unwrap();
    drop((pages, events, greedy, quiet));
    server.stop().assert_drained();
}
