//! A ledger as objects in a store that several processes can reach, so that any of them can go on with it.
//!
//! # Objects
//! `{prefix}{stream}/{delivery}/{shard}/{number:020}.ledger`, the numbers from 1 without a hole. Each is what one append
//! has written, and is never changed. It is text; lines are those of a [file](super), and the first one is the *head*:
//!
//! | JSON field of the head | meaning |
//! | --- | --- |
//! | `format` | [`FORMAT`](super::FORMAT) |
//! | `number` | the object's own |
//! | `generation` | whose it is |
//! | `writer` | 16 hexadecimal digits, drawn anew by each process that takes over: what tells its own objects from others |
//! | `previous` | xxh3-64 of all bytes of the object before this one; 0 for the first |
//! | `snapshot` | number of the latest object up to this one that has a snapshot; 0 for none |
//! | `annuls` | if true, the entries of the object before this one do not count; left out if false |
//!
//! A second line may be the *snapshot* of everything before the object. Entries follow. An object that takes over has one
//! entry and no more, a [`Generation`](super::Generation), and at most [`LEDGER_TAKEOVER_BYTES_MAX`] bytes.
//!
//! # Appending
//! One conditional create (`If-None-Match: *`) of the next number, with the lines of all appends that wait. So there is
//! one sequence, whoever writes: each number is given once. An answer that is lost is asked for again, with the same
//! bytes: then the number is taken, and the object there is compared. If it is the same it was written. If it is not, it is
//! of another process, and this one has been deposed: the ledger is closed for it, and nothing of the append is anywhere.
//!
//! When the time for that is over the caller is told that the append has failed, and nobody knows whether it has. The next
//! append begins with creating that object once more, as it was. Then it is there, by this create or an earlier one, and is
//! *annulled* by the object behind it, which has the new append: what has failed never comes back behind what has succeeded.
//! A process never asks for one number with two contents.
//!
//! # Taking over
//! Read to the end, create the next number with the next generation. From then on the owner before finds its number
//! taken. Whoever loses that race reads on and tries again. Before anything rests on it, two things are asked: that a
//! second create of the same number is refused, because a store that takes no notice of the condition would let two
//! owners write over each other; and that the list has no higher number, see below.
//!
//! # Reading
//! List the numbers, get the newest; its head says where the latest snapshot is; get what lies between. An object that
//! vanishes meanwhile is behind a newer snapshot: the reader begins anew. Stores must list what they have confirmed, as
//! S3, Google's, Azure's and file systems do.
//!
//! # Removal
//! Old objects stay as history for `forebay verify`, within bounds. Then they go, oldest first, and only such as lie
//! before the latest snapshot. Two processes could be so late that a number which they want to create was there and is
//! removed already:
//!
//! - *A deposed owner.* All numbers up to the object that has deposed it are its own or older, and it knows that it has
//!   written them, but for the last one, of which the answer may be lost: that one it creates again as it was, and with no
//!   other content, which changes nothing, as nobody reads it any more. The next one is that of its successor. **Objects
//!   that take over are never removed.** It always meets one.
//! - *A process that takes over,* and has slept between reading and creating. Whatever was removed, objects behind it are
//!   there, at least that with the latest snapshot. So it sees a higher number in the list, and what it has created is of
//!   no meaning: it begins anew.
//!
//! What such latecomers leave is below the oldest number that counts, and does not fit: `previous` tells that.

mod copy;
mod object;
mod place;
mod reading;
mod taking;
mod writer;

pub use copy::files_of;
pub use place::SharedPlace;
pub use reading::state_of;
pub use taking::Owner;
pub(super) use taking::take_over;
pub(super) use writer::SharedWriter;

use crate::config::limits::{
    LEDGER_FILE_BYTES, LEDGER_HISTORY_BYTES, LEDGER_HISTORY_OBJECTS, LEDGER_SNAPSHOT_OBJECTS,
};

/// The bounds of a ledger in a store.
#[derive(Debug, Clone, Copy)]
pub(super) struct SharedBounds {
    /// See [`LEDGER_SNAPSHOT_OBJECTS`].
    pub snapshot_objects: u64,
    /// See [`LEDGER_FILE_BYTES`].
    pub snapshot_bytes: u64,
    /// See [`LEDGER_HISTORY_BYTES`].
    pub history_bytes: u64,
    /// See [`LEDGER_HISTORY_OBJECTS`].
    pub history_objects: usize,
}

impl Default for SharedBounds {
    fn default() -> Self {
        Self {
            snapshot_objects: LEDGER_SNAPSHOT_OBJECTS,
            snapshot_bytes: LEDGER_FILE_BYTES,
            history_bytes: LEDGER_HISTORY_BYTES,
            history_objects: LEDGER_HISTORY_OBJECTS,
        }
    }
}

#[cfg(test)]
mod tests;
