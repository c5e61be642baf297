//! The audit log.

use serde_json::{Value, json};

use super::lines;
use crate::server::{Setup, stream};

const NODE: &str = r#"
audit_log = { path = "audit.log" }
auth = { ingest = ["api_key"], tap = ["api_key"], admin = ["api_key"] }
api_key = [
    { name = "ops", key = "ops-secret-0123456789", allow = ["*:*"] },
    { name = "mobile", key = "mobile-secret-0123456789", allow = ["ingest:s"] },
]
access_key = [{ id = "AKIDEXAMPLE", secret = "secret", allow = ["kinesis:*"] }]
"#;

#[tokio::test]
async fn refusals_and_changes_are_on_record_with_who_what_from_where_and_the_outcome() {
    let server = Setup::pipeline(stream("s", 1)).node(NODE).start();
    let client = reqwest::Client::new();
    let at = |path: &str| format!("http://{}/v1/streams/s{path}", server.address);
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    let key = |request: reqwest::RequestBuilder, key: &str| request.header("x-api-key", key);
    assert_eq!(status(client.get(at(""))).await, 401);
    for number in 0..100 {
        assert_eq!(status(key(client.get(at("")), &format!("wrong-{number}"))).await, 401);
    }
    assert_eq!(status(key(client.delete(at("/cursors/c")), "mobile-secret-0123456789")).await, 403);
    let post = |body: &'static str| key(client.post(at("/shards")), "ops-secret-0123456789").body(body);
    assert_eq!(status(post("{\"count\":2}")).await, 200);
    assert_eq!(status(post("{\"count\":0}")).await, 400);
    let put = |body: &'static str| key(client.put(at("/cursors/c")), "ops-secret-0123456789").body(body);
    assert_eq!(status(put("{}")).await, 201);
    assert_eq!(status(put("{\"reset\":\"earliest\",\"force\":true}")).await, 200);
    assert_eq!(status(key(client.delete(at("/cursors/c")), "ops-secret-0123456789")).await, 204);
    let aws = |target: &str| {
        client
            .post(format!("http://{}/", server.address))
            .header("x-amz-target", format!("Kinesis_20131202.{target}"))
            .header("content-type", "application/x-amz-json-1.1")
            .body("{\"StreamName\":\"s\"}")
    };
    assert_eq!(status(aws("ListShards")).await, 400);
    let delete = std::process::Command::new("curl")
        .args(["--silent", "--aws-sigv4", "aws:amz:us-east-1:kinesis", "--user", "AKIDEXAMPLE:secret"])
        .args(["-H", "x-amz-target: Kinesis_20131202.MergeShards", "-H", "content-type: application/x-amz-json-1.1"])
        .args(["-d", "{\"StreamName\":\"s\",\"ShardToMerge\":\"shardId-000000000009\",\"AdjacentShardToMerge\":\"shardId-000000000008\"}"])
        .arg(format!("http://{}/", server.address))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&delete.stdout).into_owned();
    assert!(said.contains("ResourceNotFoundException"), "{said}");

    let reload = || client.post(format!("http://{}/reload", server.admin));
    assert_eq!(status(reload()).await, 401);
    assert_eq!(status(key(reload(), "ops-secret-0123456789")).await, 200);
    let stopped = server.stop();
    stopped.assert_drained();
    let found = lines(&stopped.path("audit.log"));
    let fact =
        |line: &Value, name: &str| line[name].as_str().map_or_else(|| line[name].to_string(), str::to_owned);
    let facts = |names: &[&str]| -> Vec<String> {
        found
            .iter()
            .map(|line| names.iter().map(|name| fact(line, name)).collect::<Vec<_>>().join(" "))
            .collect()
    };
    assert_eq!(
        facts(&["event", "action", "outcome", "reason", "principal", "identity", "target", "times"]),
        [
            "refused stream refused unauthenticated null none null null",
            "refused stream refused unauthenticated null api_key null null",
            "refused cursor refused forbidden mobile api_key null null",
            "acted shards.change done null ops api_key null null",
            "acted shards.change refused bad_parameter ops api_key null null",
            "acted cursor.create done null ops api_key c null",
            "acted cursor.reset done null ops api_key c null",
            "acted cursor.delete done null ops api_key c null",
            "refused kinesis_list_shards refused MissingAuthenticationTokenException null signature_v4 null null",
            "acted kinesis:MergeShards refused ResourceNotFoundException AKIDEXAMPLE signature_v4 null null",
            "refused admin refused unauthenticated null none null null",
            "acted reload done null ops api_key null null",
            "refused_again stream refused unauthenticated null api_key null 99",
        ]
    );
    assert!(found.iter().all(|line| line["client"] == "127.0.0.1"));
    let told = found.iter().filter(|line| line["event"] != "refused_again");
    assert!(told.clone().all(|line| line["request_id"].as_str().is_some_and(|id| id.len() == 36)));
    let detail = told.filter_map(|line| line["detail"].as_str()).find(|detail| detail.contains("mobile"));
    assert_eq!(detail, Some("'mobile' may not read 's'"));
    assert_eq!(found[3]["stream"], json!("s"));
}
