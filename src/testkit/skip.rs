//! Tests that cannot run say so, where people see it.

use std::io::Write;

/// Tells why the running test is skipped: on standard error, and as a line `test: reason` in the file that
/// `FOREBAY_SKIPPED_FILE` names (`make test` prints that file at its end, because runners hide what passing tests
/// print).
#[allow(clippy::print_stderr, reason = "it is for whoever runs the tests")]
pub fn skipped(reason: &str) {
    let thread = std::thread::current();
    let line = format!("{}: {reason}\n", thread.name().unwrap_or("a test"));
    eprint!("skipped: {line}");
    if let Some(path) = std::env::var_os("FOREBAY_SKIPPED_FILE") {
        let file = std::fs::File::options().create(true).append(true).open(path);
        if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
            eprintln!("the reason cannot be kept: {error}");
        }
    }
}
