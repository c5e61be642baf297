//! Walks the commits of a segment and says how it ends.

mod window;

use std::io;
use std::ops::Range;

use memchr::memmem;
use thiserror::Error;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use self::window::Window;
use super::{SEGMENT_HEADER_BYTES, Segment};
use crate::config::limits;
use crate::stream::wal::frame::{
    COMMIT_HEADER_BYTES, CommitHeader, FRAME_HEADER_BYTES, FrameError, FrameHeader, FrameKind, Reply,
    reply_of,
};

/// Where a scan begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Byte offset of a commit.
    pub offset: u64,
    /// Its number.
    pub commit: u64,
}

impl Start {
    /// The first commit of `segment`.
    pub fn of(segment: &Segment) -> Self {
        Self { offset: SEGMENT_HEADER_BYTES, commit: segment.header.first_commit }
    }
}

/// What a scan does at damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It ends there.
    Stop,
    /// It tells the visitor and goes on at the next whole commit: what is in between is lost.
    GoOn,
}

/// What does not fit where a commit should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// The file is shorter than its header says.
    #[error("the file ends at byte {0}, before the segment does")]
    FileShort(u64),
    /// No commit of this segment begins here.
    #[error("no header of a commit of this segment")]
    Header,
    /// The commit would go on behind the segment's end.
    #[error("a commit of {0} bytes that goes beyond the segment's end")]
    Size(u32),
    /// It is not the one that should follow.
    #[error("commit {found} where commit {expected} should be")]
    Number {
        /// The number that should follow.
        expected: u64,
        /// The number that stands there.
        found: u64,
    },
    /// A frame does not fit.
    #[error("at byte {at}: {error}")]
    Frame {
        /// Where the frame begins.
        at: u64,
        /// Why.
        error: FrameError,
    },
    /// The frames are not those that were written together, or the header is not.
    #[error("a commit with a wrong checksum")]
    Checksum,
}

/// How a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// With a whole commit, and zeros or an older segment's bytes behind it.
    Clean,
    /// With bytes that are no commit, and no whole commit behind them: a write that was interrupted, never
    /// acknowledged. To be ignored.
    Torn {
        /// Where: the end of the last whole commit.
        at: u64,
        /// What does not fit.
        why: Fault,
    },
    /// With bytes that are no commit although a whole one stands behind them: acknowledged data are lost. In a journal of
    /// class `os` a loss of power may do that.
    Damaged {
        /// Where: the end of the last whole commit before.
        at: u64,
        /// What does not fit.
        why: Fault,
        /// Where the next whole commit begins.
        later_commit_at: u64,
    },
}

/// The end of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanEnd {
    /// Byte offset of the end of the last commit that was visited.
    pub valid_end: u64,
    /// The number behind the last one that was visited.
    pub next_commit: u64,
    /// What stands there.
    pub verdict: Verdict,
    /// Bytes that were skipped ([`Mode::GoOn`]).
    pub skipped_bytes: u64,
}

/// A frame of a whole commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedFrame {
    /// Its header.
    pub header: FrameHeader,
    /// Where it begins, in bytes from the file's start.
    pub offset: u64,
    /// Where it lies in the commit's `replies`; empty for a batch.
    reply: Range<usize>,
}

/// A commit of which every byte is verified.
#[derive(Debug)]
pub struct ScannedCommit<'a> {
    /// Its number.
    pub number: u64,
    /// Where it begins, in bytes from the file's start.
    pub offset: u64,
    /// Bytes of it.
    pub bytes: u32,
    /// Its frames in order.
    pub frames: &'a [ScannedFrame],
    replies: &'a [u8],
}

impl<'a> ScannedCommit<'a> {
    /// The reply that `frame`, which is one of this commit, holds; `None` for a batch.
    pub fn reply(&self, frame: &ScannedFrame) -> Option<Reply<'a>> {
        reply_of(&frame.header, self.replies.get(frame.reply.clone())?).ok()
    }
}

/// Who is told what a scan finds.
pub trait Visitor {
    /// The next whole commit.
    fn commit(&mut self, commit: &ScannedCommit<'_>);
    /// Bytes that are lost ([`Mode::GoOn`]).
    fn skipped(&mut self, bytes: Range<u64>, why: Fault) {
        let _ = (bytes, why);
    }
}

impl<F: FnMut(&ScannedCommit<'_>)> Visitor for F {
    fn commit(&mut self, commit: &ScannedCommit<'_>) {
        self(commit);
    }
}

/// Walks the commits of `segment` in their order. An error is the disk's: nothing can be said about the segment then.
///
/// It needs two windows of [`limits::SCAN_WINDOW_BYTES`] and, for the commit at hand, about 80 bytes a frame and the
/// bytes of its replies.
pub fn scan(segment: &Segment, start: Start, mode: Mode, visitor: &mut dyn Visitor) -> io::Result<ScanEnd> {
    let end = segment.file.len()?.min(segment.space.bytes);
    let short = (end < segment.space.bytes).then_some(Fault::FileShort(end));
    let mut scan = Scan {
        window: Window::new(&*segment.file, end),
        end,
        salt: segment.header.salt,
        frames: Vec::new(),
        replies: Vec::new(),
    };
    let (mut at, mut expected, mut skipped_bytes) = (start.offset, start.commit, 0);
    let verdict = loop {
        let why = match scan.commit(at)? {
            Ok(header) if header.number == expected => {
                visitor.commit(&ScannedCommit {
                    number: header.number,
                    offset: at,
                    bytes: header.bytes,
                    frames: &scan.frames,
                    replies: &scan.replies,
                });
                at += u64::from(header.bytes);
                expected = expected.saturating_add(1);
                continue;
            }
            Ok(header) => Fault::Number { expected, found: header.number },
            Err(fault) => fault,
        };
        match scan.behind(at, expected)? {
            Behind::Zeros => break short.map_or(Verdict::Clean, |why| Verdict::Torn { at, why }),
            Behind::Bytes
                if short.is_none() && segment.space.leftovers && !scan.is_begun(at, expected)? =>
            {
                break Verdict::Clean;
            }
            Behind::Bytes => break Verdict::Torn { at, why: short.unwrap_or(why) },
            Behind::Commit { at: later_commit_at, number } => match mode {
                Mode::Stop => break Verdict::Damaged { at, why, later_commit_at },
                Mode::GoOn => {
                    visitor.skipped(at..later_commit_at, why);
                    skipped_bytes += later_commit_at - at;
                    (at, expected) = (later_commit_at, number);
                }
            },
        }
    };
    Ok(ScanEnd { valid_end: at, next_commit: expected, verdict, skipped_bytes })
}

/// What stands behind the last whole commit.
enum Behind {
    Zeros,
    Bytes,
    Commit { at: u64, number: u64 },
}

struct Scan<'a> {
    window: Window<'a>,
    /// Bytes of the file that belong to the segment.
    end: u64,
    salt: u64,
    /// Of the commit at hand.
    frames: Vec<ScannedFrame>,
    /// Frames of its replies, back to back.
    replies: Vec<u8>,
}

impl Scan<'_> {
    /// Verifies the commit at `at` and notes its frames.
    fn commit(&mut self, at: u64) -> io::Result<Result<CommitHeader, Fault>> {
        self.frames.clear();
        self.replies.clear();
        let header = match CommitHeader::parse(self.window.get(at, COMMIT_HEADER_BYTES)?) {
            Some(header) if header.salt == self.salt => header,
            _ => return Ok(Err(Fault::Header)),
        };
        let end = at + u64::from(header.bytes);
        if end > self.end {
            return Ok(Err(Fault::Size(header.bytes)));
        }
        let mut checksums = Xxh3::new();
        let mut frame_at = at + COMMIT_HEADER_BYTES as u64;
        for _ in 0..header.frames {
            let frame = match self.frame(frame_at, end - frame_at)? {
                Ok(frame) => frame,
                Err(error) => return Ok(Err(Fault::Frame { at: frame_at, error })),
            };
            checksums.update(&frame.checksum.to_le_bytes());
            frame_at += u64::from(frame.bytes);
        }
        checksums.update(&header.fields());
        if frame_at != end || checksums.digest() != header.checksum {
            return Ok(Err(Fault::Checksum));
        }
        Ok(Ok(header))
    }

    /// Verifies the frame at `at`, which may have `left` bytes, and notes it.
    fn frame(&mut self, at: u64, left: u64) -> io::Result<Result<FrameHeader, FrameError>> {
        let header = match FrameHeader::parse(self.window.get(at, FRAME_HEADER_BYTES)?) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error)),
        };
        if u64::from(header.bytes) > left {
            return Ok(Err(FrameError::Size { needed: u64::from(header.bytes), found: left }));
        }
        let (from, bytes) = (at + size_of::<u64>() as u64, u64::from(header.bytes) - size_of::<u64>() as u64);
        let checksum = match usize::try_from(bytes) {
            Ok(bytes) if bytes <= limits::SCAN_WINDOW_BYTES / 4 => xxh3_64(self.window.get(from, bytes)?),
            _ => self.window.checksum(from, bytes)?,
        };
        if checksum != header.checksum {
            return Ok(Err(FrameError::Checksum));
        }
        let start = self.replies.len();
        if header.kind == FrameKind::Reply {
            self.window.copy(at, u64::from(header.bytes), &mut self.replies)?;
        }
        self.frames.push(ScannedFrame { header, offset: at, reply: start..self.replies.len() });
        Ok(Ok(header))
    }

    /// Whether anything of commit `number` seems to stand at `at`. Only the block in which the commit before it ends can
    /// tell: it was zeros from there on. In the others an older segment may have left anything.
    fn is_begun(&mut self, at: u64, number: u64) -> io::Result<bool> {
        let rest = (at.next_multiple_of(SEGMENT_HEADER_BYTES) - at) as usize;
        if !all_zeros(self.window.get(at, rest)?) {
            return Ok(true);
        }
        let header = self.window.get(at, COMMIT_HEADER_BYTES)?;
        let has = |value: u64, field: usize| {
            header.get(field..).is_some_and(|from| from.starts_with(&value.to_le_bytes()))
        };
        // Numbers increase: no older commit has this one.
        Ok(has(self.salt, CommitHeader::SALT_AT) || has(number, CommitHeader::NUMBER_AT))
    }

    /// Looks for a whole commit that begins at `from` or later, numbered `expected` or higher: every commit repeats the
    /// segment's salt, so that is what is searched for.
    fn behind(&mut self, from: u64, expected: u64) -> io::Result<Behind> {
        let salt = self.salt.to_le_bytes();
        let finder = memmem::Finder::new(&salt);
        let mut search = Window::new(self.window.file(), self.end);
        let (mut at, mut zeros) = (from, true);
        loop {
            let chunk = search.get(at, limits::SCAN_WINDOW_BYTES)?;
            zeros = zeros && all_zeros(chunk);
            for found in finder.find_iter(chunk) {
                let begin = (at + found as u64).checked_sub(CommitHeader::SALT_AT as u64);
                let Some(begin) = begin.filter(|begin| *begin >= from) else { continue };
                match self.commit(begin)? {
                    Ok(header) if header.number >= expected => {
                        return Ok(Behind::Commit { at: begin, number: header.number });
                    }
                    _ => {}
                }
            }
            if chunk.len() < salt.len() || at + chunk.len() as u64 >= self.end {
                break;
            }
            // A salt may lie across the end of the chunk.
            at += (chunk.len() + 1 - salt.len()) as u64;
        }
        Ok(if zeros { Behind::Zeros } else { Behind::Bytes })
    }
}

fn all_zeros(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| chunk == &ZEROS[..chunk.len()])
}
