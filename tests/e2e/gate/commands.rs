//! The commands that talk to a node show the key of their environment.

use std::process::{Command, Output};

use super::{PRODUCER, READER, ROOT, api_key, keys, put};
use crate::server::{Server, Setup, durable_stream, stream};

fn forebay(server: &Server, words: &[&str], key: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    command.args(words).args(["--url", &format!("http://{}", server.address)]).current_dir(server.folder());
    command.env_remove("FOREBAY_API_KEY").envs(key.map(|key| ("FOREBAY_API_KEY", key)));
    command.output().unwrap()
}

#[track_caller]
fn assert_fails(output: &Output, part: &str, key: &str) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains(part) && err.contains("FOREBAY_API_KEY"), "{err}");
    assert!(!err.contains(key) && !out.contains(key), "{err}");
}

const TAIL: [&str; 6] = ["tail", "s", "--from", "earliest", "--limit", "1"];

#[tokio::test]
async fn tail_and_shards_show_the_key_of_the_environment() {
    let server = Setup::pipeline(stream("s", 1)).node(&keys("")).start();
    assert_eq!(put(&server, &["--header", &api_key(PRODUCER)]).0, 200);
    for words in [&TAIL[..], &["shards", "s"]] {
        assert_fails(&forebay(&server, words, None), "answers 401: this request does not say", READER);
        assert_fails(&forebay(&server, words, Some(PRODUCER)), "answers 403: 'producer' may not", PRODUCER);
        let output = forebay(&server, words, Some(READER));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("shardId-000000000000"), "{output:?}");
        assert_eq!(forebay(&server, words, Some("two words")).status.code(), Some(2), "{words:?}");
    }
    let split = ["shards", "s", "split", "0"];
    assert_fails(&forebay(&server, &split, Some(READER)), "'reader' may not change 's'", READER);
    assert_eq!(forebay(&server, &split, Some(ROOT)).status.code(), Some(0));
}

#[tokio::test]
async fn a_replay_that_is_not_let_in_takes_no_letter_for_refused() {
    let pipeline = durable_stream("s", 1, "os")
        + "[[delivery]]\nname = \"lake\"\nprefix = \"{/kind}/\"\nbuffer = { interval = \"200ms\" }\n";
    let server = Setup::pipeline(pipeline).node(&keys("")).start();
    assert_eq!(put(&server, &["--header", &api_key(PRODUCER)]).0, 200);
    let name = "forebay_delivery_dead_lettered_records_total";
    server.until(name, "reason=\"partition\"", |found| found == 1.0).await;
    let replay = |key| forebay(&server, &["dlq", "replay"], key);
    assert_fails(&replay(None), "answers 401: this request does not say who has sent it", READER);
    assert_fails(&replay(Some(READER)), "answers 403: 'reader' may not put records into 's'", READER);
    let sent = replay(Some(PRODUCER));
    let out = String::from_utf8_lossy(&sent.stdout);
    assert!(sent.status.success() && out.starts_with("sent 1 records"), "{out}");
}
