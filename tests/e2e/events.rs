//! Taps: server-sent events.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::{PATIENCE, Server, Setup, durable_stream, stream};

/// An event as it came.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Event {
    pub id: String,
    pub name: String,
    pub data: Value,
}

/// A client of events, which keeps the last id as browsers do.
pub struct Events {
    response: reqwest::Response,
    text: Vec<u8>,
    pub last_id: String,
}

impl Events {
    /// Connects, with the id of before if there is one.
    pub async fn open(server: &Server, query: &str, last_id: &str) -> Self {
        Self::open_by(&reqwest::Client::new(), server, query, last_id).await
    }

    async fn open_by(client: &reqwest::Client, server: &Server, query: &str, last_id: &str) -> Self {
        let events = Self::open_anywhere_by(client, server, query, last_id).await;
        assert!(!events.last_id.is_empty());
        events
    }

    /// Connects where a reader may have no place yet.
    pub async fn open_anywhere(server: &Server, query: &str, last_id: &str) -> Self {
        Self::open_anywhere_by(&reqwest::Client::new(), server, query, last_id).await
    }

    async fn open_anywhere_by(client: &reqwest::Client, server: &Server, query: &str, last_id: &str) -> Self {
        let url = format!("http://{}/v1/streams/s/records?{query}", server.address);
        let mut request = client.get(url).header("accept", "text/event-stream");
        if !last_id.is_empty() {
            request = request.header("last-event-id", last_id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut events = Self { response, text: Vec::new(), last_id: last_id.to_owned() };
        // The first block tells where the reader stands.
        events.block().await.unwrap();
        events
    }

    /// The lines of the next block; `None` at the end of the stream.
    async fn block(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.windows(2).position(|pair| pair == b"\n\n") {
                let block = String::from_utf8(self.text.drain(..end + 2).collect()).unwrap();
                let mut event = Event::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => self.last_id = id.to_owned(),
                        Some(("event", name)) => event.name = name.to_owned(),
                        Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                        _ => {}
                    }
                }
                event.id = self.last_id.clone();
                return Some(event);
            }
            let piece =
                tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("in time").ok()??;
            self.text.extend_from_slice(&piece);
        }
    }

    /// The next event.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.block().await?;
            if !event.name.is_empty() {
                return Some(event);
            }
        }
    }

    /// The `n` of so many records.
    pub async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let event = self.next().await.expect("a record");
            assert_eq!(event.name, "record");
            numbers.push(event.data["data"]["n"].as_u64().unwrap());
        }
        numbers
    }
}

fn keyed(shards: u32) -> String {
    stream("s", shards) + "[ingest]\npartition_key = \"/k\"\n"
}

fn lines(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|n| format!("{{\"k\":\"{}\",\"n\":{n}}}\n", n % 7)).collect()
}

#[tokio::test]
async fn an_event_has_the_record_as_pages_have_it_and_comes_when_it_is_there() {
    let server = Setup::pipeline(keyed(2)).start();
    let mut events = Events::open(&server, "from=latest", "").await;
    server.post("s", "application/json", "{\n \"k\": \"a\",\r\n \"n\": [1,\n 2]\n}").await;
    let event = events.next().await.unwrap();
    let (_, page) = server.get("/v1/streams/s/records?from=earliest").await;
    assert_eq!((event.name.as_str(), &event.data), ("record", &page["records"][0]));
    assert_eq!(event.id, page["next"].as_str().unwrap());
    server.until("forebay_tap_open", "kind=\"events\"", |open| open == 1.0).await;
    server.until("forebay_tap_sent_records_total", "kind=\"events\"", |sent| sent == 1.0).await;
    drop(events);
    server.until("forebay_tap_open", "kind=\"events\"", |open| open == 0.0).await;
}

#[tokio::test]
async fn a_reader_that_comes_again_anywhere_gets_the_rest_in_order() {
    let server = Setup::pipeline(keyed(3)).start();
    for start in (0..300).step_by(60) {
        server.accept("s", lines(start..start + 60)).await;
    }
    let (mut seen, mut last_id) = (Vec::new(), String::new());
    // Away after the first of the events that come at a time, after the last, and in between.
    for wanted in [1, 59, 1, 100, 17, 122] {
        let mut events = Events::open(&server, "from=earliest", &last_id).await;
        seen.extend(events.numbers(wanted).await);
        last_id = events.last_id.clone();
    }
    for key in 0..7 {
        let numbers: Vec<_> = seen.iter().copied().filter(|n| n % 7 == key).collect();
        assert_eq!(
            numbers,
            (0..300).filter(|n| n % 7 == key).collect::<Vec<_>>(),
            "key {key} keeps its order"
        );
    }
}

#[tokio::test]
async fn with_many_shards_the_id_stands_behind_what_comes_at_a_time() {
    let server = Setup::pipeline(keyed(20)).start();
    server.accept("s", lines(0..300)).await;
    let mut events = Events::open(&server, "from=earliest", "").await;
    let first_id = events.last_id.clone();
    events.numbers(300).await;
    assert_eq!(events.last_id, first_id);
    assert_eq!(events.block().await.unwrap().name, "");
    assert_ne!(events.last_id, first_id);
    let mut later = Events::open(&server, "", &events.last_id).await;
    server.accept("s", lines(300..310)).await;
    let mut numbers = later.numbers(10).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (300..310).collect::<Vec<_>>());
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_over_a_restart() {
    let config = durable_stream("s", 3, "fsync") + "[ingest]\npartition_key = \"/k\"\n";
    let server = Setup::pipeline(config.clone()).start();
    let mut events = Events::open(&server, "from=latest", "").await;
    server.accept("s", lines(0..50)).await;
    let mut seen = events.numbers(31).await;
    server.accept("s", lines(50..70)).await;
    let last_id = events.last_id.clone();
    drop(events);
    let folder = server.kill();
    let server = Setup::pipeline(config).in_folder(folder).start();
    server.accept("s", lines(70..100)).await;
    let mut events = Events::open(&server, "from=latest", &last_id).await;
    seen.extend(events.numbers(69).await);
    server.accept("s", lines(100..110)).await;
    seen.extend(events.numbers(10).await);
    for key in 0..7 {
        let of_key: Vec<_> = seen.iter().copied().filter(|n| n % 7 == key).collect();
        assert_eq!(
            of_key,
            (0..110).filter(|n| n % 7 == key).collect::<Vec<_>>(),
            "key {key} keeps its order"
        );
    }
}

#[tokio::test]
async fn filters_choose_by_key_and_by_fields_live_and_in_pages() {
    let server = Setup::pipeline(keyed(3)).start();
    server.accept("s", lines(0..70)).await;
    let mut by_key = Events::open(&server, "from=earliest&key=3", "").await;
    let mut by_field = Events::open(&server, "from=earliest&where=/n=33", "").await;
    let mut by_both = Events::open(&server, "from=latest&key=3&where=/n=101", "").await;
    assert_eq!(by_key.numbers(10).await, (0..70).filter(|n| n % 7 == 3).collect::<Vec<_>>());
    assert_eq!(by_field.numbers(1).await, [33]);
    server.accept("s", lines(70..140)).await;
    assert_eq!(by_key.numbers(10).await, (70..140).filter(|n| n % 7 == 3).collect::<Vec<_>>());
    assert_eq!(by_both.numbers(1).await, [101]);
    let (_, page) = server.get("/v1/streams/s/records?from=earliest&key=3&where=/n=101").await;
    assert_eq!(page["records"].as_array().unwrap().len(), 1);
    // What the filter has passed over is not looked at again.
    let (_, rest) = server
        .get(&format!("/v1/streams/s/records?after={}&where=/n=101", page["next"].as_str().unwrap()))
        .await;
    assert_eq!((&rest["records"], &rest["next"]), (&json!([]), &page["next"]));
}

#[tokio::test]
async fn wrong_requests_for_events_are_refused_by_name() {
    let server = Setup::pipeline(keyed(2)).start();
    let ask = async |query: &str, id: Option<&str>| {
        let url = format!("http://{}/v1/streams/s/records?{query}", server.address);
        let mut request =
            reqwest::Client::new().get(url).header("accept", "text/html, text/event-stream;q=0.9");
        if let Some(id) = id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let problem: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        (status, problem["detail"].to_string())
    };
    for (query, id, part) in [
        ("limit=5", None, "for server-sent events"),
        ("where=/a", None, "where: "),
        ("where=a=1", None, "where: "),
        ("", Some("nonsense"), "Last-Event-ID: "),
        ("", Some("0-1"), "Last-Event-ID: "),
        ("from=yesterday", None, "from: "),
    ] {
        let (status, detail) = ask(query, id).await;
        assert!(status == 400 && detail.contains(part), "{query} {id:?}: {status} {detail}");
    }
}

#[tokio::test]
async fn a_quiet_reader_keeps_its_connection_and_a_drain_ends_it_at_once() {
    let server = Setup::pipeline(keyed(1)).server("idle_timeout = \"1s\"").start();
    let mut events = Events::open(&server, "", "").await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    server.accept("s", lines(0..1)).await;
    assert_eq!(events.numbers(1).await, [0]);
    let started = Instant::now();
    let stopping = tokio::task::spawn_blocking(move || server.stop().assert_drained());
    let end = events.next().await.unwrap();
    assert_eq!((end.name.as_str(), end.data), ("end", json!({"reason": "draining"})));
    assert_eq!(events.next().await, None);
    stopping.await.unwrap();
    // Without the end of the tap it would take the whole time that connections have.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[tokio::test]
async fn many_readers_share_a_connection_of_http_2() {
    let server = Setup::pipeline(keyed(2)).start();
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let mut readers = Vec::new();
    for _ in 0..5 {
        readers.push(Events::open_by(&client, &server, "", "").await);
    }
    server.accept("s", lines(0..30)).await;
    for reader in &mut readers {
        let mut numbers = reader.numbers(30).await;
        numbers.sort_unstable();
        assert_eq!(numbers, (0..30).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_gap_is_told_and_passed() {
    let config = keyed(1).replace("durability", "retention = \"1s\"\ndurability");
    let server = Setup::pipeline(config).start();
    let (_, page) = server.get("/v1/streams/s/records?from=earliest").await;
    let origin = page["next"].as_str().unwrap().to_owned();
    server.accept("s", lines(0..10)).await;
    server.until("forebay_stream_evicted_records_total", "reason=\"time\"", |count| count == 10.0).await;
    server.accept("s", lines(10..12)).await;
    let mut events = Events::open(&server, "", &origin).await;
    let gap = events.next().await.unwrap();
    assert_eq!((gap.name.as_str(), gap.data, gap.id), ("gap", json!({"skipped": 10}), origin));
    assert_eq!(events.numbers(2).await, [10, 11]);
}

#[tokio::test]
async fn a_slow_reader_ends_alone() {
    use std::io::{Read, Write};
    let server = Setup::pipeline(keyed(1)).server("idle_timeout = \"2s\"").start();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.connect(&server.address.into()).unwrap();
    let mut slow = std::net::TcpStream::from(socket);
    slow.write_all(b"GET /v1/streams/s/records HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n")
        .unwrap();
    slow.read_exact(&mut [0; 12]).unwrap();
    let mut fast = Events::open(&server, "", "").await;
    let pad = "x".repeat(100_000);
    let slow_readers = ("forebay_tap_slow_readers_total", "kind=\"events\"");
    let (mut sent, started) = (0, Instant::now());
    // More than all buffers of the kernel take.
    while sent < 100 || server.metric(slow_readers.0, slow_readers.1).await == 0.0 {
        assert!(started.elapsed() < PATIENCE);
        server.accept("s", format!("{{\"n\":{sent},\"pad\":\"{pad}\"}}")).await;
        assert_eq!(fast.numbers(1).await, [sent]);
        sent += 1;
    }
    assert_eq!(server.metric(slow_readers.0, slow_readers.1).await, 1.0);
    assert_eq!(server.metric("forebay_tap_open", "kind=\"events\"").await, 1.0);
}

#[tokio::test]
async fn a_thousand_readers_get_every_record_once() {
    const READERS: usize = 1_000;
    let server = Setup::pipeline(keyed(4)).start();
    let client = reqwest::Client::new();
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(Events::open_by(&client, &server, "", "").await);
    }
    let reading = readers.into_iter().map(|mut events| {
        tokio::spawn(async move {
            let mut numbers = events.numbers(200).await;
            numbers.sort_unstable();
            assert_eq!(numbers, (0..200).collect::<Vec<_>>());
            events
        })
    });
    let reading: Vec<_> = reading.collect();
    for start in (0..200).step_by(20) {
        server.accept("s", lines(start..start + 20)).await;
    }
    let mut readers = Vec::new();
    for reader in reading {
        readers.push(reader.await.unwrap());
    }
    // All texts are shared: what is paid for is little, and it comes back.
    let sent = server.metric("forebay_tap_sent_records_total", "kind=\"events\"").await;
    assert_eq!(sent, (READERS * 200) as f64);
    drop(readers);
    server.until("forebay_tap_open", "kind=\"events\"", |open| open == 0.0).await;
}
