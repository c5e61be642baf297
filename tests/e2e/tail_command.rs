//! `forebay tail` of the stream `s`, and the numbers that it prints.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::server::Server;

/// A running one. Killed when dropped.
pub struct Tail {
    child: Child,
    pub numbers: Receiver<u64>,
}

impl Tail {
    /// Starts it with these words.
    pub fn start(server: &Server, words: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_forebay"))
            .args(["tail", "s", "--json", "--url", &format!("http://{}", server.address)])
            .args(words)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, numbers) = channel();
        std::thread::spawn(move || {
            for line in out.lines() {
                let record: Value = serde_json::from_str(&line.unwrap()).unwrap();
                if sender.send(record["data"]["n"].as_u64().unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { child, numbers }
    }

    /// Has it end by `signal`, and waits for that.
    pub fn signal(&mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.wait()
    }

    /// Waits until it ends.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// What it has printed that is not taken yet, until it has ended.
    pub fn rest(self) -> Vec<u64> {
        self.numbers.iter().collect()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
