//! Run length encodings. Each function encodes a slice as a row of complete runs, so nothing is carried from one
//! call to the next, and a row group may begin wherever a call began.

pub(super) mod bits;
pub(super) mod bytes;
pub(super) mod integers;
mod literals;
mod packing;
mod patched;

#[cfg(test)]
mod decoder;
