//! Which answers of an HTTP/2 connection are under way, and since when its client takes nothing of them.
//!
//! A client gives each stream a window, and may leave it shut for ever while its PINGs keep the connection alive: what
//! waits for the window keeps its memory. hyper tells nobody of that, so the frames are looked at as they pass (RFC 9113,
//! section 4.1): nine bytes of each, whatever is in them.

use std::time::Duration;

use super::connection::protocol::PREFACE;

const HEADER_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;

/// The flag of the last frame of a stream that has content.
const END_STREAM: u8 = 1;

/// See the module. Times are in microseconds since the connection was opened.
#[derive(Debug)]
pub struct Answers {
    /// Bytes that the client has not sent of what stands before its first frame.
    preface_left: usize,
    received: Frames,
    sent: Frames,
    /// Streams whose answers have begun and not ended, with when anything of them was taken last. There are no more than
    /// the connection may have streams, see [`HTTP2_STREAMS_MAX`](crate::config::limits::HTTP2_STREAMS_MAX).
    open: Vec<(u32, u64)>,
    /// Since when the socket takes nothing: of what is written, and of what is flushed.
    blocked: [Option<u64>; 2],
}

/// What of [`Answers`] has not gone on.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// A write.
    Write,
    /// A flush.
    Flush,
}

/// Where in its frames one direction is.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; HEADER_BYTES],
    /// Bytes of the header that are there.
    filled: usize,
    /// Bytes of the content that are not.
    left: usize,
    frame: Frame,
}

/// The header of a frame.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Frames {
    /// Goes on behind `bytes`. `seen` is shown each frame that begins in them or goes on.
    fn pass(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let (now, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.left -= now.len();
                bytes = rest;
                seen(self.frame);
                continue;
            }
            let (now, rest) = bytes.split_at((HEADER_BYTES - self.filled).min(bytes.len()));
            for (place, byte) in self.header.iter_mut().skip(self.filled).zip(now) {
                *place = *byte;
            }
            self.filled += now.len();
            bytes = rest;
            if self.filled == HEADER_BYTES {
                let [a, b, c, kind, flags, w, x, y, z] = self.header;
                self.left = u32::from_be_bytes([0, a, b, c]) as usize;
                // The first bit means nothing.
                let stream = u32::from_be_bytes([w, x, y, z]) & (u32::MAX >> 1);
                (self.filled, self.frame) = (0, Frame { kind, flags, stream });
                seen(self.frame);
            }
        }
    }
}

impl Default for Answers {
    /// Those of a connection that nothing has come over.
    fn default() -> Self {
        let (received, sent) = <(Frames, Frames)>::default();
        Self { preface_left: PREFACE.len(), received, sent, open: Vec::new(), blocked: [None; 2] }
    }
}

impl Answers {
    /// Bytes have come from the client.
    pub fn received(&mut self, bytes: &[u8]) {
        // A preface that is none ends the connection before its first frame.
        let (preface, frames) = bytes.split_at(self.preface_left.min(bytes.len()));
        self.preface_left -= preface.len();
        let open = &mut self.open;
        self.received.pass(frames, |frame| {
            if frame.kind == RST_STREAM {
                open.retain(|(stream, _)| *stream != frame.stream);
            }
        });
    }

    /// The socket has taken bytes for the client.
    pub fn sent(&mut self, bytes: &[u8], now: u64) {
        let open = &mut self.open;
        self.sent.pass(bytes, |Frame { kind, flags, stream }| match kind {
            HEADERS | DATA if flags & END_STREAM == 0 => {
                match open.iter_mut().find(|known| known.0 == stream) {
                    Some(known) => known.1 = now,
                    None if kind == HEADERS => open.push((stream, now)),
                    // Of one that the client has reset meanwhile.
                    None => {}
                }
            }
            HEADERS | DATA | RST_STREAM => open.retain(|known| known.0 != stream),
            _ => {}
        });
    }

    /// Whether the socket takes what it is given.
    pub fn moved(&mut self, step: Step, is_ready: bool, now: u64) {
        let [write, flush] = &mut self.blocked;
        let since = match step {
            Step::Write => write,
            Step::Flush => flush,
        };
        match is_ready {
            true => *since = None,
            false => drop(since.get_or_insert(now)),
        }
    }

    /// How long the client may still take nothing; `None` if it has taken nothing of an answer for `limit`.
    pub fn remaining(&self, limit: Duration, now: u64) -> Option<Duration> {
        let since = self.open.iter().map(|known| known.1).chain(self.blocked.into_iter().flatten()).min();
        let waited = Duration::from_micros(since.map_or(0, |since| now.saturating_sub(since)));
        limit.checked_sub(waited).filter(|rest| !rest.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_micros(100);

    fn frame(kind: u8, flags: u8, stream: u32, content: usize) -> Vec<u8> {
        let mut bytes = u32::try_from(content).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend((stream | 1 << 31).to_be_bytes());
        // What would be another frame's header, were it not content.
        bytes.extend([RST_STREAM, 0, 0].iter().cycle().take(content));
        bytes
    }

    fn http2() -> Answers {
        let mut answers = Answers::default();
        answers.received(PREFACE);
        answers
    }

    fn rest(answers: &Answers, now: u64) -> Option<u64> {
        answers.remaining(LIMIT, now).map(|rest| u64::try_from(rest.as_micros()).unwrap())
    }

    #[test]
    fn an_answer_of_which_nothing_is_taken_is_overdue_whatever_becomes_of_the_others() {
        let mut answers = http2();
        assert_eq!(rest(&answers, 1_000), Some(100), "nothing is under way");
        answers.sent(&frame(HEADERS, 4, 1, 30), 10);
        answers.sent(&frame(HEADERS, 4, 3, 30), 20);
        assert_eq!(rest(&answers, 60), Some(50));
        for now in (30..=100).step_by(10) {
            answers.sent(&frame(DATA, 0, 3, 50), now);
            answers.sent(&frame(6, 1, 0, 8), now);
            answers.received(&frame(6, 0, 0, 8));
        }
        assert_eq!((rest(&answers, 109), rest(&answers, 110)), (Some(1), None));
        // A window is there again.
        answers.sent(&frame(DATA, 0, 1, 5), 110);
        assert_eq!(rest(&answers, 110), Some(90));
        answers.sent(&frame(DATA, END_STREAM, 1, 5), 120);
        answers.sent(&frame(HEADERS, END_STREAM | 4, 3, 5), 120);
        assert_eq!(rest(&answers, 1_000), Some(100));
    }

    #[test]
    fn an_answer_that_is_reset_from_either_side_is_over() {
        let mut answers = http2();
        for stream in [1, 3] {
            answers.sent(&frame(HEADERS, 4, stream, 30), 0);
        }
        answers.received(&frame(RST_STREAM, 0, 1, 4));
        // A frame of it that was written already, and one without content that ends nothing.
        answers.sent(&frame(DATA, 0, 1, 10), 10);
        assert_eq!(answers.open, [(3, 0)]);
        answers.sent(&frame(RST_STREAM, 0, 3, 4), 20);
        assert_eq!(rest(&answers, 1_000), Some(100));
    }

    #[test]
    fn frames_are_seen_however_they_are_cut_and_the_middle_of_a_large_one_is_taken_as_well() {
        let sent = [
            frame(4, 0, 0, 18),
            frame(HEADERS, 4, 1, 40),
            frame(DATA, 0, 1, 300),
            frame(HEADERS, 4, 3, 2),
            frame(DATA, END_STREAM, 1, 0),
            frame(DATA, 0, 3, 10),
        ]
        .concat();
        let received = [PREFACE.to_vec(), frame(4, 0, 0, 6), frame(RST_STREAM, 0, 5, 4)].concat();
        for size in [1, 2, 7, 9, 10, 100, 1_000] {
            let mut answers = Answers::default();
            received.chunks(size).for_each(|part| answers.received(part));
            let mut now = 0;
            for part in sent.chunks(size) {
                now += 1;
                answers.sent(part, now);
            }
            assert_eq!(answers.open, [(3, now)], "{size}");
        }
    }

    #[test]
    fn a_socket_that_takes_nothing_is_overdue_as_well() {
        let mut answers = http2();
        answers.moved(Step::Write, false, 10);
        answers.moved(Step::Write, false, 50);
        assert_eq!(rest(&answers, 60), Some(50));
        answers.moved(Step::Flush, false, 60);
        answers.moved(Step::Write, true, 70);
        assert_eq!(rest(&answers, 80), Some(80));
        answers.moved(Step::Flush, true, 90);
        assert_eq!(rest(&answers, 1_000), Some(100));
    }
}
