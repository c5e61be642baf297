//! Readers of a server that says what a test wants.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Barrier;

use forebay::testkit::generators::envelope;

use super::super::plan::Target;
use super::*;
use crate::manifest::Account;

const PRODUCER: &str = "replay/t/0";

/// An event with record `sequence` of `producer`.
fn event(producer: &str, sequence: u64) -> String {
    let mut record = Vec::new();
    envelope::wrap(&mut record, producer, sequence, "\"a\":1");
    let record = String::from_utf8(record).unwrap();
    format!("id: {sequence}\nevent: record\ndata: {{\"shard\":\"0\",\"data\":{record}}}\n\n")
}

/// A reader of a server that `speaks` after the head of its answer; and the server's thread.
fn consumers(speaks: impl FnOnce(TcpStream) + Send + 'static) -> (Consumers, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 4_096]).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").unwrap();
        speaks(stream);
    });
    let plan = Plan { target, taps: 1, ..Plan::default() };
    let stamps = Arc::new(Stamps::new(clock::monotonic(), 1));
    let consumers = Consumers::start(&plan, &accounts(0), &stamps).unwrap();
    (consumers, server)
}

/// One producer, of which `acked` records were.
fn accounts(acked: u64) -> Vec<Account> {
    let mut account = Account { producer: PRODUCER.to_owned(), ..Account::default() };
    if acked > 0 {
        account.acked.insert(0, acked - 1);
    }
    vec![account]
}

#[test]
fn readers_end_although_the_server_never_pauses() {
    let (consumers, server) = consumers(|mut stream| {
        stream.write_all(event(PRODUCER, 0).as_bytes()).unwrap();
        let others = event("replay/other/0", 0).repeat(100);
        // Until the reader has gone.
        while stream.write_all(others.as_bytes()).is_ok() {}
    });
    let (report, _) = consumers.finish(&accounts(1)).unwrap();
    assert_eq!((report.records, report.missing), (1, 0));
    server.join().unwrap();
}

#[test]
fn a_record_that_comes_again_behind_the_last_one_is_noticed() {
    let all_read = Arc::new(Barrier::new(2));
    let turn = Arc::clone(&all_read);
    let (mut consumers, server) = consumers(move |mut stream| {
        stream.write_all([event(PRODUCER, 0), event(PRODUCER, 1)].concat().as_bytes()).unwrap();
        turn.wait();
        stream.write_all(event(PRODUCER, 1).as_bytes()).unwrap();
        // Until the reader has gone.
        let _ = stream.read(&mut [0; 1]);
    });
    // Long enough for the slowest of machines.
    consumers.behind = Duration::from_secs(1);
    while consumers.state.distinct.load(Ordering::Acquire) < 2 {
        thread::sleep(Duration::from_millis(1));
    }
    all_read.wait();
    let (report, _) = consumers.finish(&accounts(2)).unwrap();
    assert_eq!((report.records, report.duplicated, report.missing), (3, 1, 0));
    server.join().unwrap();
}

#[test]
fn a_reader_that_gets_no_answer_does_not_keep_the_run() {
    let (consumers, server) = consumers(drop);
    // It comes again, to nobody.
    server.join().unwrap();
    let (report, _) = consumers.finish(&accounts(0)).unwrap();
    assert_eq!((report.records, report.missing), (0, 0));
}
