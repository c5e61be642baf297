//! The sample inputs beside the pipelines are what the generators make.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic in a test is a failed test")]

use std::path::Path;
use std::process::Command;

#[test]
fn samples_are_what_the_documented_command_prints() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines/samples");
    for profile in ["clickstream", "iot", "telemetry"] {
        let made = Command::new(env!("CARGO_BIN_EXE_forebay-load"))
            .args(["generate", "--profile", profile, "--count", "20"])
            .output()
            .unwrap();
        assert!(made.status.success());
        let kept = std::fs::read(folder.join(profile).with_extension("ndjson")).unwrap();
        assert!(
            made.stdout == kept,
            "run: forebay-load generate --profile {profile} --count 20 > pipelines/samples/{profile}.ndjson"
        );
    }
}
