//! Records of random bytes from boto3, in raw files.

use std::path::Path;

use forebay::testkit::faulty_store::FaultyStore;

use super::{ACCESS_KEY, run};
use crate::lake;
use crate::server::{Server, Setup, durable_stream};

/// What was put, in order.
fn noted(path: &Path) -> Vec<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.as_bytes().chunks(2).map(byte).collect()).collect()
}

/// False where there is no boto3.
fn put(server: &Server, (service, stream): (&str, &str), path: &Path, seed: &str) -> bool {
    run(server, "put_bytes.py", &[service, stream, path.to_str().unwrap(), seed]).is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_boto3_puts_into_a_stream_is_in_raw_files_once_across_a_kill() {
    let delivery = |name: &str, more: &str| {
        format!(
            "[[delivery]]\nname = \"{name}\"\nsink = {{ path = \"{name}\" }}\nformat = \"raw\"\nprefix = \"\"\n\
             buffer = {{ size = \"64KiB\", interval = \"1s\" }}\n{more}\n"
        )
    };
    let text = durable_stream("s", 1, "fsync")
        + "[ingest]\ncontent = \"any\"\n"
        + &delivery("packed", "delimiter = \"none\"\nextension = \".bin\"")
        + &delivery("lines", "compression = \"none\"");
    let setup = || Setup::pipeline(text.clone()).node(ACCESS_KEY);
    let noted_at = tempfile::tempdir().unwrap();
    let path = noted_at.path().join("noted");
    let server = setup().start();
    if !put(&server, ("kinesis", "s"), &path, "1") {
        return;
    }
    // Some files are stored, others are open.
    server.until("forebay_delivery_delivered_records_total", "", |count| count > 0.0).await;
    assert!(put(&server, ("kinesis", "s"), &path, "2"));
    let folder = server.kill();
    let server = setup().in_folder(folder).start();
    assert!(put(&server, ("kinesis", "s"), &path, "3"));
    let stopped = server.stop();
    stopped.assert_drained();
    let records = noted(&path);
    assert_eq!(records.len(), 2_400);
    let packed = lake::files(&stopped.path("packed"), ".bin");
    let packed: Vec<u8> = packed.iter().flat_map(|path| lake::gunzip(path)).collect();
    assert!(packed == records.concat(), "{} bytes", packed.len());
    let lines = lake::files(&stopped.path("lines"), ".raw");
    let lines: Vec<u8> = lines.iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
    let expected: Vec<u8> = records.iter().flat_map(|record| [record, &b"\n"[..]].concat()).collect();
    assert!(lines == expected, "{} bytes", lines.len());

    let reports = crate::verify::well(stopped.folder.path(), &[]);
    for report in &reports {
        assert_eq!(report["delivered"].as_u64(), Some(2_400), "{report}");
        assert_eq!(report["objects_compared"], report["objects"], "{report}");
    }
    // One byte that is another.
    let file = &lake::files(&stopped.path("lines"), ".raw")[0];
    let mut bytes = std::fs::read(file).unwrap();
    bytes[0] ^= 1;
    std::fs::write(file, bytes).unwrap();
    let found = crate::verify::findings(stopped.folder.path());
    assert!(found.contains("from byte 0 on"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_boto3_puts_into_a_delivery_stream_is_in_its_bucket_once_across_a_kill() {
    let store = FaultyStore::start().unwrap();
    let setup = || {
        Setup::pipeline(durable_stream("other", 1, "os")).node(ACCESS_KEY).node(&format!(
            "aws.s3_sink = {{ endpoint = \"{}\", region = \"us-east-1\", access_key_id = \"k\", secret_access_key = \"s\" }}",
            store.endpoint()
        ))
    };
    let noted_at = tempfile::tempdir().unwrap();
    let path = noted_at.path().join("noted");
    let server = setup().start();
    if run(&server, "make_delivery_stream.py", &["made"]).is_none() {
        return;
    }
    assert!(put(&server, ("firehose", "made"), &path, "4"));
    server.until("forebay_delivery_delivered_records_total", "", |count| count > 0.0).await;
    assert!(put(&server, ("firehose", "made"), &path, "5"));
    let folder = server.kill();
    let server = setup().in_folder(folder).start();
    assert!(put(&server, ("firehose", "made"), &path, "6"));
    server.stop().assert_drained();
    let found: Vec<u8> = store.objects().into_values().flat_map(|object| object.bytes.to_vec()).collect();
    assert!(found == noted(&path).concat(), "{} bytes", found.len());
}
