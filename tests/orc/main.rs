//! ORC files with every type, null pattern and codec, read by programs that are not ours.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a panic in a test is a failed test, and a test that is skipped has to say so"
)]

mod own_library;
mod records;
mod rust_library;
