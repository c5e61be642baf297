//! An iterator that is older than five minutes, without waiting for so long.

use forebay::testkit::skip::skipped;
use serde_json::{Value, json};

use super::{ACCESS_KEY, UNSIGNED};
use crate::server::{Server, Setup};

/// libfaketime, where Debian puts it for each kind of machine.
pub fn faketime() -> Option<String> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    let mut libraries =
        folders.filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketimeMT.so.1")));
    let found = libraries.find(|library| library.exists());
    if found.is_none() {
        skipped("libfaketime is not installed (Debian: apt-get install faketime): no iterator expires");
    }
    found.map(|library| library.to_string_lossy().into_owned())
}

async fn iterator(server: &Server, stream: &str) -> String {
    let members = json!({
        "StreamName": stream, "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON",
    });
    let request = reqwest::Client::new()
        .post(format!("http://{}/", server.address))
        .header("x-amz-target", "Kinesis_20131202.GetShardIterator")
        .header("content-type", "application/x-amz-json-1.1")
        .body(members.to_string());
    let reply = request.send().await.unwrap().bytes().await.unwrap();
    let reply: Value = serde_json::from_slice(&reply).unwrap();
    reply["ShardIterator"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned()
}

/// Starts the server, and gives a script's argument: an iterator of the node's `stream` that was made ten minutes ago,
/// where the clock can be set back.
pub async fn start(setup: impl Fn() -> Setup, stream: &str) -> (Server, Option<String>) {
    let Some(library) = faketime() else { return (setup().node(ACCESS_KEY).start(), None) };
    let ten_minutes_ago =
        setup().node(UNSIGNED).env("LD_PRELOAD", &library).env("FAKETIME", "-10m").env("NO_FAKE_STAT", "1");
    let ten_minutes_ago =
        ten_minutes_ago.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    let server = ten_minutes_ago.start();
    let iterator = iterator(&server, stream).await;
    let folder = server.stop().folder;
    (setup().node(ACCESS_KEY).in_folder(folder).start(), Some(iterator))
}
