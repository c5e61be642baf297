//! A wall clock that jumps, under the process and between two of its lives (libfaketime).

use std::path::PathBuf;

use forebay::testkit::skip::skipped;

use crate::trial::{Setup, Trial, long_row};

/// Where Debian puts it, for each kind of machine.
fn library() -> Option<PathBuf> {
    let found = std::fs::read_dir("/usr/lib")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketimeMT.so.1")))
        .find(|path| path.exists());
    if found.is_none() {
        skipped("libfaketime is not installed (Debian: apt-get install faketime; `make crash` does it)");
    }
    found
}

#[test]
fn nothing_is_lost_or_doubled_when_the_clock_jumps() {
    if !long_row() {
        return;
    }
    let Some(library) = library() else { return };
    // Keys are remembered by the wall clock: a window that no jump is longer than.
    let setup = Setup { window: "24h", ..Setup::default() };
    let mut node = setup.node();
    let offset = node.path().join("offset");
    std::fs::write(&offset, "+0").unwrap();
    node.set("LD_PRELOAD", library.to_str().unwrap());
    node.set("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap());
    node.set("FAKETIME_CACHE_DURATION", "1");
    for name in ["FAKETIME_DONT_FAKE_MONOTONIC", "DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"] {
        node.set(name, "1");
    }
    let mut trial = Trial::on(node, "wall clock jumps by hours, back and forth, with kills", &setup);
    trial.progress(500);
    for (number, jump) in ["+2h", "+0", "-3h", "-2h", "+90", "-600", "+5h", "+0"].iter().enumerate() {
        // In one step, so that nobody reads half of it.
        let draft = offset.with_extension("new");
        std::fs::write(&draft, jump).unwrap();
        std::fs::rename(&draft, &offset).unwrap();
        if number % 2 == 1 {
            trial.kill();
            trial.node.start();
        }
        // At 1,000 a second, longer than the library keeps an offset and the node a file open.
        trial.progress(2_500);
    }
    trial.row.note = "8 jumps".into();
    trial.end();
}
