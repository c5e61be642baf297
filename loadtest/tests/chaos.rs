//! Chaos that has no effect, and servers that do not end well: neither passes for a good run.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic in a test is a failed test")]

#[allow(dead_code, reason = "other tests need the rest of it")]
mod server;

use std::process::{Command, Output};
use std::time::Duration;

use server::{Act, Server};

fn load(url: &str, args: &[&str]) -> (Option<i32>, String) {
    let done: Output = Command::new(env!("CARGO_BIN_EXE_forebay-load"))
        .args(["run", "--stream", "events", "--retry", "--url", url])
        .args(args)
        .output()
        .unwrap();
    (done.status.code(), String::from_utf8(done.stderr).unwrap())
}

#[test]
fn acts_behind_the_load_are_refused_before_anything_is_sent() {
    let lake = tempfile::tempdir().unwrap();
    let server = Server::start(lake.path(), |_| Act::Keep);
    let args = ["--duration", "1s", "--server-command", "sleep 100", "--chaos", "kill@10s,restart@12s"];
    let (code, told) = load(&server.url, &args);
    assert_eq!(code, Some(2));
    assert!(told.contains("--chaos: kill at 10s is behind the load, which ends after 1s"), "{told}");
    assert_eq!(server.requests(), 0);
}

#[test]
fn acts_that_a_load_did_not_live_to_see_make_it_wrong() {
    let lake = tempfile::tempdir().unwrap();
    let server = Server::start(lake.path(), |_| Act::Keep);
    let chaos = ["--stall-proxy", "127.0.0.1:0=127.0.0.1:1", "--chaos", "stall@3600s,heal@3601s"];
    let (code, told) = load(&server.url, &[&["--records", "500"], &chaos[..]].concat());
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("stall at 3600s came behind the load"), "{told}");
}

#[test]
fn a_server_that_does_not_end_well_is_told() {
    for (ends_with, code) in [("3", Some(1)), ("0", Some(0))] {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready");
        let body =
            format!("trap \"exit {ends_with}\" TERM; : > {}; while :; do sleep 0.01; done", ready.display());
        // Who answers is another: all that counts here is how the process ends.
        let server = Server::start(folder.path(), move |_| {
            while !ready.exists() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Act::Keep
        });
        let command = format!("sh -c '{body}'");
        let (found, told) = load(&server.url, &["--records", "500", "--server-command", &command]);
        assert_eq!(found, code, "{told}");
        let is_told = told.contains("the server was told to end and did so with exit status: 3");
        assert_eq!(is_told, ends_with == "3", "{told}");
    }
}

#[test]
fn a_server_that_ends_by_itself_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let ended = folder.path().join("ended");
    let command = format!("sh -c ': > {}; exit 101'", ended.display());
    let server = Server::start(folder.path(), move |_| {
        while !ended.exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Act::Keep
    });
    let (code, told) = load(&server.url, &["--duration", "1s", "--server-command", &command]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("the server ended by itself") && told.contains("exit status: 101"), "{told}");
}
