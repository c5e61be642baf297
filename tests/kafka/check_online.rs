//! `forebay check --online` against a real broker.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use forebay::testkit::broker::{Broker, fresh_name};
use tempfile::TempDir;

/// A stream whose log is `topic` of `brokers`, with `shards` if they are given, and a delivery into `bus`.
fn pipeline(brokers: &str, (topic, shards): (&str, &str), bus: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[stream]\nname = \"clicks\"\nlog = {{ kafka = \"{brokers}\", topic = \"{topic}\" }}\n{shards}\n\
         [[delivery]]\nname = \"bus\"\nsink = {{ kafka = \"{brokers}\", topic = \"{bus}\", progress_topic = \"{bus}.progress\" }}\n"
    );
    fs::write(folder.path().join("clicks.toml"), text).unwrap();
    folder
}

/// Whether all is well, and what is said.
fn check_online(folder: &TempDir) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    command.args(["check", "--online", "clicks.toml"]).current_dir(folder.path());
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn topics_that_are_missing_or_do_not_fit_are_told() {
    let Some(broker) = Broker::shared() else { return };
    let (topic, bus) = (broker.topic("log", 3, &[]).unwrap(), broker.topic("bus", 2, &[]).unwrap());
    let (is_well, said) = check_online(&pipeline(broker.servers(), (&topic, "shards = 3"), &bus));
    assert!(is_well && said.ends_with("ok: 1 stream, 1 delivery\n"), "{said}");

    let (is_well, said) = check_online(&pipeline(broker.servers(), (&topic, "shards = 4"), &bus));
    assert!(!is_well, "{said}");
    let told = format!(
        "problem: stream 'clicks': topic '{topic}' of Kafka cluster '{}' has 3 partitions",
        broker.servers()
    );
    assert!(said.contains(&told) && said.contains("give it 4 partitions, or write shards = 3"), "{said}");

    for _ in 0..2 {
        // The question has not made it.
        let missing = format!("{topic}-missing");
        let (is_well, said) = check_online(&pipeline(broker.servers(), (&missing, ""), &bus));
        assert!(
            !is_well && said.contains(&format!("topic '{missing}'")) && said.contains("does not exist"),
            "{said}"
        );
    }

    let compacted = broker.topic("compacted", 1, &[("cleanup.policy", "compact")]).unwrap();
    let (is_well, said) = check_online(&pipeline(broker.servers(), (&compacted, ""), &bus));
    assert!(!is_well && said.contains("set cleanup.policy = delete"), "{said}");
}

#[test]
fn brokers_that_are_not_there_are_told_with_the_reason() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let brokers = format!("127.0.0.1:{port}");
    let (is_well, said) = check_online(&pipeline(&brokers, (&fresh_name("log"), ""), "bus"));
    assert!(!is_well, "{said}");
    assert!(said.contains(&brokers) && said.contains("refused"), "{said}");
    assert!(said.ends_with("not everything is there that the configuration wants\n"), "{said}");
}
