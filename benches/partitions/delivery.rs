//! The whole way, from requests over HTTP to files in a folder: receive, validate, append, read, encode, write, sync.
//! CPU time of all threads of the server.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use forebay::testkit::web_events;

use super::harness::client::{Connection, post};
use super::harness::clocks;
use super::harness::forebay::{Server, configure_with};
use super::{PARTITIONS, REQUEST_RECORDS};

/// How the records are spread over files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// All in one file.
    One,
    /// A file for each partition, one behind the other.
    InTurn,
    /// The same files, all of them open until the end.
    AtOnce,
}

/// Requests with `records` of each partition, and the bytes of the records.
pub fn requests(spread: Spread, records: u64) -> (Vec<Bytes>, u64) {
    let (mut requests, mut bytes) = (Vec::new(), 0);
    let numbers: Vec<u64> = (0..PARTITIONS * records).collect();
    for numbers in numbers.chunks(REQUEST_RECORDS as usize) {
        let mut body = String::new();
        for number in numbers {
            let partition = match spread {
                Spread::One => 0,
                Spread::InTurn => number / records,
                Spread::AtOnce => number % PARTITIONS,
            };
            // A member whose value does not matter; of the same length, whatever the partition.
            let event = web_events::event(*number).replace("HTTP/1.1", &format!("HTTP{partition:06}"));
            writeln!(body, "{event}").unwrap();
        }
        bytes += body.len() - numbers.len();
        requests.push(post("web", "application/x-ndjson", &body));
    }
    (requests, bytes as u64)
}

/// CPU time of the server from its start until all is in files.
pub fn deliver(requests: &[Bytes], spread: Spread, format: &str) -> Duration {
    let open = if spread == Spread::AtOnce { PARTITIONS } else { 1 };
    let text = format!(
        "[stream]\nname = \"web\"\nshards = 1\ndurability = \"memory\"\n[ingest]\nschema = \"web.schema.json\"\n\
         [[delivery]]\nname = \"lake\"\n{format}\nprefix = \"p={{/protocol}}/\"\nmax_open_partitions = {open}\n\
         buffer = {{ size = \"256MiB\", interval = \"15m\" }}\n"
    );
    let config = configure_with(&[("web".to_owned(), text)], "memory_budget = \"2GiB\"\n");
    let before = clocks::others_cpu();
    let server = Server::of(config);
    let mut connection = Connection::open(server.address()).unwrap();
    for request in requests {
        connection.exchange(request).unwrap();
    }
    drop(connection);
    drop(server);
    clocks::others_cpu() - before
}
