//! `schema = "infer"` through the real binary: columns that grow with the traffic, over kills and restarts, with
//! producers that contradict each other, on real events, and the commands that show it.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lake;
use crate::real_data::events;
use crate::server::{Server, Setup, durable_stream, stream};

fn inferred(stream: &str, policy: &str, deliveries: &[&str]) -> String {
    let delivery = |format: &&str| {
        format!(
            "[[delivery]]\nname = \"{format}\"\nsink = {{ path = \"lake/{format}\" }}\nformat = \"{format}\"\nprefix = \"\"\n\
             buffer = {{ size = \"64MiB\", interval = \"10m\" }}\n"
        )
    };
    let deliveries: String = deliveries.iter().map(delivery).collect();
    let policy =
        if policy.is_empty() { String::new() } else { format!("[schema]\non_conflict = \"{policy}\"\n") };
    format!("{stream}[ingest]\nschema = \"infer\"\n{policy}{deliveries}")
}

/// Runs `forebay schema`; its exit code and what it has printed and said.
fn schema(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    let output = command.arg("schema").args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// `name: type` of the newest version, and its number.
fn shown(folder: &Path) -> (Vec<String>, u64) {
    let (code, out, err) = schema(folder, &["show", "s", "--json"]);
    assert_eq!(code, Some(0), "{err}");
    let shown: Value = serde_json::from_str(&out).unwrap();
    let column = |column: &Value| {
        format!("{}: {}", column["name"].as_str().unwrap(), column["type"].as_str().unwrap())
    };
    let columns = shown["columns"].as_array().unwrap().iter().map(column).collect();
    (columns, shown["version"].as_u64().unwrap_or_default())
}

/// Waits until a version has this number.
async fn version(folder: &Path, number: u64) {
    for _ in 0..600 {
        let path = folder.join("data/schema/s.json");
        let versions = std::fs::read(path).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        let newest =
            versions.and_then(|document| document["versions"].as_array()?.last()?["number"].as_u64());
        if newest.is_some_and(|newest| newest >= number) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("version {number} of the columns has not come");
}

async fn send(server: &Server, records: &[Value]) {
    let lines: Vec<String> = records.iter().map(ToString::to_string).collect();
    assert_eq!(server.accept("s", lines.join("\n")).await, records.len() as u64);
}

#[tokio::test]
async fn real_events_become_columns_without_a_word_about_them() {
    for (name, stream_name, columns) in
        [("web_access.ndjson.gz", "web", 9), ("nginx_status.ndjson.gz", "nginx", 15)]
    {
        let Some((source, lines)) = events(name) else { return };
        let server = Setup::pipeline(inferred(&stream(stream_name, 2), "", &["parquet", "orc"])).start();
        for chunk in lines.chunks(50) {
            assert_eq!(server.accept(stream_name, chunk.join("\n")).await, chunk.len() as u64);
        }
        let stopped = server.stop();
        stopped.assert_drained();
        assert!(stopped.stdout.contains("dead-lettered 0"), "{}", stopped.stdout);
        let found = lake::files(&stopped.path("lake/parquet"), ".parquet").len();
        assert!(found <= 2, "{name}: {found} files of {columns} columns");
        let Some(python) = lake::python() else { continue };
        let report = lake::run_reader(
            &python,
            "check_learned.py",
            &[&source.to_string_lossy(), &stopped.path("lake").to_string_lossy()],
        );
        assert!(report.contains(&format!("parquet: {} rows equal", lines.len())), "{report}");
        assert!(report.contains(&format!("orc: {} rows equal", lines.len())), "{report}");
    }
}

#[tokio::test]
async fn columns_outlive_a_kill_and_old_producers_share_the_files_of_new_ones() {
    let config = inferred(&durable_stream("s", 2, "fsync"), "", &["parquet", "json"]);
    let server = Setup::pipeline(&*config).start();
    send(&server, &[json!({"id": 1, "at": "2026-01-02"}), json!({"id": 2, "at": "2026-01-02"})]).await;
    version(server.folder(), 1).await;
    let folder = server.kill();
    assert_eq!(shown(folder.path()), (vec!["id: int64".to_owned(), "at: date".to_owned()], 1));

    let server = Setup::pipeline(&*config).in_folder(folder).start();
    send(&server, &[json!({"id": 3, "at": "2026-01-02T10:00:00Z", "new": {"x.y": [1.5]}})]).await;
    version(server.folder(), 2).await;
    for id in 4..40 {
        let old = json!({"id": id, "at": "2026-01-02"});
        let new = json!({"id": id, "at": "2026-01-02T10:00:00Z", "new": {"x.y": [id]}});
        send(&server, &[old, new]).await;
    }
    server.until("forebay_schema_version", "stream=\"s\"", |number| number == 2.0).await;
    let stopped = server.stop();
    stopped.assert_drained();
    let told = stopped.stderr.matches("the columns of the stream have grown").count();
    assert_eq!(told, 1, "once a version, however many deliveries have it: {}", stopped.stderr);
    let folder = stopped.path("");
    let expected = ["id: int64", "at: timestamp_micros", "new: struct<x_y = \"x.y\": list<float64>>"];
    assert_eq!(shown(&folder), (expected.map(str::to_owned).to_vec(), 2));
    let files = lake::files(&stopped.path("lake/parquet"), ".parquet").len();
    assert_eq!(files, 2, "one a version");
    let output =
        Command::new(env!("CARGO_BIN_EXE_forebay")).arg("verify").current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    let (code, out, _) = schema(&folder, &["diff", "s"]);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "~ at: date -> timestamp_micros\n+ new: struct<x_y = \"x.y\": list<float64>>\n")
    );
    let (code, _, err) = schema(&folder, &["show", "s", "--version", "7"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("has no version 7 of its columns: there are 1 to 2"), "{err}");
}

#[tokio::test]
async fn contradictory_producers_end_as_the_policy_says() {
    for (policy, of_price, dead) in [
        ("widen", vec!["price: json"], 0),
        ("string", vec!["price: string"], 0),
        ("suffix", vec!["price: int64", "price_string: string"], 0),
        ("dead_letter", vec!["price: int64"], 10),
    ] {
        let server = Setup::pipeline(inferred(&durable_stream("s", 1, "os"), policy, &["parquet"])).start();
        send(&server, &[json!({"price": 1})]).await;
        version(server.folder(), 1).await;
        for _ in 0..10 {
            send(&server, &[json!({"price": "1 EUR"}), json!({"price": 2})]).await;
        }
        let stopped = server.stop();
        stopped.assert_drained();
        assert!(stopped.stdout.contains(&format!("dead-lettered {dead}")), "{policy}: {}", stopped.stdout);
        let letters = lake::dead_letters(&stopped.path("lake/parquet"));
        assert_eq!(letters.len(), dead, "{policy}");
        for letter in letters {
            assert_eq!(letter["reason"], "columns");
            assert_eq!(letter["message"], "/price: expected int64, got a string");
        }
        let (columns, _) = shown(&stopped.path(""));
        assert_eq!(columns, of_price.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), "{policy}");
    }
}

#[tokio::test]
async fn the_edge_refuses_what_contradicts_known_columns_if_it_is_asked_to() {
    let server = Setup::pipeline(inferred(&durable_stream("s", 1, "os"), "reject", &["parquet"])).start();
    send(&server, &[json!({"price": 1, "at": "2026-01-01"})]).await;
    version(server.folder(), 1).await;
    let lines =
        "{\"price\":\"x\"}\n{\"price\":1.5,\"new\":true}\n{\"at\":\"2026-01-01T00:00:00Z\"}\n{\"at\":5}";
    let (status, reply) = server.post("s", "application/x-ndjson", lines.to_owned()).await;
    assert_eq!((status, &reply["accepted"], &reply["rejected"]), (200, &json!(2), &json!(2)), "{reply}");
    let stopped = server.stop();
    stopped.assert_drained();
    let (columns, _) = shown(&stopped.path(""));
    assert_eq!(columns, ["price: float64", "at: timestamp_micros", "new: bool"]);
}

#[tokio::test]
async fn a_plan_tells_which_of_the_last_records_would_not_fit() {
    let server = Setup::pipeline(inferred(&durable_stream("s", 1, "fsync"), "", &["parquet"])).start();
    let mut records: Vec<Value> = (0..20).map(|id| json!({"id": id, "list": [{"n": id}]})).collect();
    records.push(json!({"id": "x", "list": [{"n": 1}, {"n": "y"}]}));
    send(&server, &records).await;
    version(server.folder(), 1).await;
    let candidate = "[stream]\nname = \"other\"\n[schema]\ncolumns = [{ name = \"list\", type = \"list<struct<n: int8>>\" }]\n\
                     [[delivery]]\nname = \"d\"\nformat = \"parquet\"\n";
    let other = TempDir::new().unwrap();
    let file = other.path().join("candidate.toml");
    std::fs::write(&file, candidate).unwrap();
    let schema_file = other.path().join("candidate.json");
    std::fs::write(&schema_file, r#"{"properties": {"id": {"type": "integer"}}}"#).unwrap();
    let (file, schema_file) = (file.to_str().unwrap(), schema_file.to_str().unwrap());
    let url = format!("http://{}", server.address);
    let arguments = ["plan", "s", "--candidate", file, "--json", "--url", &url];
    let (code, out, err) = schema(other.path(), &arguments);
    let online: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
    assert_eq!((code, &online["records"], &online["fail"]), (Some(1), &json!(21), &json!(1)));
    let finding = &online["findings"][0];
    assert_eq!((&finding["pointer"], &finding["found"]), (&json!("/list/*/n"), &json!("string")), "{out}");

    let stopped = server.stop();
    stopped.assert_drained();
    let folder = stopped.path("");
    let (code, out, err) = schema(&folder, &["plan", "s", "--candidate", file, "--json"]);
    assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()), (Some(1), online), "{err}");
    let (code, out, _) = schema(&folder, &["plan", "s", "--candidate", schema_file, "--last", "1"]);
    assert_eq!(code, Some(1));
    assert!(
        out.contains("of the last 1 records, 0 fit") && out.contains("/id: expected integer, got string"),
        "{out}"
    );

    let (code, out, _) = schema(&folder, &["show", "s", "--toml"]);
    let own = format!("[stream]\nname = \"other\"\n{out}[[delivery]]\nname = \"d\"\nformat = \"parquet\"\n");
    std::fs::write(other.path().join("own.toml"), own).unwrap();
    let own = other.path().join("own.toml");
    let (planned, out, err) = schema(&folder, &["plan", "s", "--candidate", own.to_str().unwrap()]);
    assert_eq!((code, planned), (Some(0), Some(0)), "{out}{err}");
    let (code, _, err) = schema(&folder, &["plan", "s", "--candidate", "nowhere.json"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("nowhere.json"), "{err}");
}
