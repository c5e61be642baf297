//! Names and passwords.

use std::io::Write;
use std::process::{Command, Stdio};

use super::{assert_refused, put};
use crate::server::{Setup, stream};

const PASSWORD: &str = "gäbe es: ja";

/// What `forebay hash-password` prints for it.
fn hash() -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    let mut child =
        command.arg("hash-password").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{PASSWORD}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[tokio::test]
async fn a_password_lets_in_whether_the_node_has_it_or_its_hash() {
    let tables = "[auth]\ningest = [\"basic\"]\n\
        [[basic_user]]\nname = \"plain\"\npassword = \"${PLAIN_PASSWORD}\"\nallow = [\"ingest:s\"]\n\
        [[basic_user]]\nname = \"hashed\"\npassword_hash = \"${PASSWORD_HASH}\"\nallow = [\"ingest:other\"]\n";
    let server = Setup::pipeline(stream("s", 1))
        .node(tables)
        .env("PLAIN_PASSWORD", PASSWORD)
        .env("PASSWORD_HASH", &hash())
        .start();
    let by = |name: &str, password: &str| put(&server, &["--user", &format!("{name}:{password}")]);
    for _ in 0..3 {
        assert_eq!(by("plain", PASSWORD).0, 200);
        assert_refused(by("hashed", PASSWORD), 403, "'hashed' may not put records into 's'");
    }
    for (name, password) in [("plain", "gäbe es"), ("hashed", ""), ("nobody", PASSWORD)] {
        assert_refused(by(name, password), 401, "name or password are wrong");
    }
    let unreadable = "the Basic credentials are no Base64 of NAME:PASSWORD";
    assert_refused(put(&server, &["--header", "Authorization: Basic ?"]), 401, unreadable);
    let answer = reqwest::Client::new().post(server.records("s")).body("{}").send().await.unwrap();
    assert_eq!(answer.headers()["www-authenticate"], "Basic realm=\"forebay\", charset=\"UTF-8\"");
    let stopped = server.stop();
    assert!(!stopped.stderr.contains(PASSWORD) && !stopped.stderr.contains("pbkdf2"), "{}", stopped.stderr);
}
