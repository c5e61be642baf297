//! How far the processes of a run are, told by each of them through a pipe while it sends: a line of JSON a time.
//!
//! They show nothing themselves: the process that began them shows the sum.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use forebay_load::run::Progress;
use serde::{Deserialize, Serialize};

/// Bytes of a line: five members with names of at most 13 bytes and numbers of at most 20 take 200.
const LINE_BYTES_MAX: usize = 256;

/// What a process tells. The time is known to who began it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Line {
    records: u64,
    payload_bytes: u64,
    requests: u64,
    failed: u64,
    retries: u64,
}

/// Tells the process that began this one.
pub struct Teller<W = io::Stdout> {
    out: W,
    /// Nothing before the first.
    last: Option<Line>,
}

impl Default for Teller {
    fn default() -> Self {
        Self { out: io::stdout(), last: None }
    }
}

impl<W: Write> Teller<W> {
    /// Tells what has changed. Nobody listens any more where that fails, and this process is ended in another way.
    pub fn tell(&mut self, progress: Progress) {
        let Progress { elapsed: _, records, payload_bytes, requests, failed, retries } = progress;
        let line = Line { records, payload_bytes, requests, failed, retries };
        if self.last.replace(line) == Some(line) {
            return;
        }
        if let Ok(mut text) = serde_json::to_vec(&line) {
            text.push(b'\n');
            let _ = self.out.write_all(&text).and_then(|()| self.out.flush());
        }
    }
}

/// Listens to one process. Its thread ends when the process does.
pub struct Listener {
    last: Arc<Mutex<Option<Line>>>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// `told` is the end of the pipe that can be read.
    pub fn start(told: impl Read + Send + 'static) -> Self {
        let last = Arc::<Mutex<Option<Line>>>::default();
        let heard = Arc::clone(&last);
        let thread = Some(thread::spawn(move || listen(told, &heard)));
        Self { last, thread }
    }

    /// Whether the process has told something, and so is far enough to hear signals.
    pub fn has_heard(&self) -> bool {
        lock(&self.last).is_some()
    }

    /// Waits until all is heard that was told. To be called when the process has ended.
    pub fn finish(&mut self) {
        // A thread that panicked has heard nothing more, and nothing rests on it.
        self.thread.take().map(JoinHandle::join);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What all have told, `elapsed` after the start.
pub fn sum<'a>(listeners: impl Iterator<Item = &'a Listener>, elapsed: Duration) -> Progress {
    listeners.fold(Progress { elapsed, ..Progress::default() }, |sum, listener| {
        let line = lock(&listener.last).unwrap_or_default();
        Progress {
            elapsed,
            records: sum.records + line.records,
            payload_bytes: sum.payload_bytes + line.payload_bytes,
            requests: sum.requests + line.requests,
            failed: sum.failed + line.failed,
            retries: sum.retries + line.retries,
        }
    })
}

/// Until the other end is closed, or says what is no line.
fn listen(told: impl Read, last: &Mutex<Option<Line>>) {
    let mut told = BufReader::with_capacity(LINE_BYTES_MAX, told);
    let mut text = String::new();
    loop {
        text.clear();
        match told.by_ref().take(LINE_BYTES_MAX as u64).read_line(&mut text) {
            Ok(count) if count > 0 => {}
            _ => return,
        }
        match serde_json::from_str(&text) {
            Ok(line) => *lock(last) = Some(line),
            // Of a process that was killed, part of a line may be there.
            Err(_) => return,
        }
    }
}

fn lock(line: &Mutex<Option<Line>>) -> MutexGuard<'_, Option<Line>> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

    use super::*;

    fn progress(records: u64, failed: u64) -> Progress {
        let elapsed = Duration::from_secs(1);
        Progress { elapsed, records, payload_bytes: 10 * records, requests: records, failed, retries: 1 }
    }

    #[test]
    fn what_processes_tell_is_added_up() {
        let (first, second) = (io::pipe().unwrap(), io::pipe().unwrap());
        let mut listeners = [Listener::start(first.0), Listener::start(second.0)];
        let mut tellers = [first.1, second.1].map(|out| Teller { out, last: None });
        assert!(!listeners[1].has_heard());
        tellers[0].tell(progress(5, 0));
        tellers[0].tell(progress(7, 1));
        tellers[1].tell(progress(4, 2));
        drop(tellers);
        listeners.iter_mut().for_each(Listener::finish);
        let sum = sum(listeners.iter(), Duration::from_secs(3));
        assert!(listeners.iter().all(Listener::has_heard));
        let elapsed = Duration::from_secs(3);
        let whole =
            Progress { elapsed, records: 11, payload_bytes: 110, requests: 11, failed: 3, retries: 2 };
        assert_eq!(sum, whole);
    }

    #[test]
    fn only_what_has_changed_is_told_and_every_line_is_short_enough() {
        let mut teller = Teller { out: Vec::new(), last: None };
        let most = u64::MAX;
        let all = Progress {
            elapsed: Duration::ZERO,
            records: most,
            payload_bytes: most,
            requests: most,
            failed: most,
            retries: most,
        };
        [progress(1, 0), progress(1, 0), all].into_iter().for_each(|progress| teller.tell(progress));
        let lines: Vec<_> = teller.out.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.len() <= LINE_BYTES_MAX));
    }

    #[test]
    fn half_a_line_of_a_process_that_was_killed_is_left_out() {
        let told = b"{\"records\":3,\"payload_bytes\":1,\"requests\":1,\"failed\":0,\"retries\":0}\n{\"rec";
        let mut listener = Listener::start(&told[..]);
        listener.finish();
        assert_eq!(sum([listener].iter(), Duration::ZERO).records, 3);
    }
}
