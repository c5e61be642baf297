//! The edge: framings, encodings, keys, replies, CORS, protocols, bounds.

use std::io::Write;

use reqwest::Client;
use serde_json::json;

use crate::server::{Setup, stream};

fn schema_pipeline() -> Setup {
    Setup::pipeline(stream("s", 4) + "[ingest]\npartition_key = \"/k\"\nschema = \"s.schema.json\"\n").file(
        "s.schema.json",
        r#"{"type":"object","required":["k"],"properties":{"k":{"type":"string"},"status":{"type":"integer"}}}"#,
    )
}

#[tokio::test]
async fn a_reply_tells_what_was_accepted_where() {
    let server = schema_pipeline().start();
    let (status, reply) = server.post("s", "application/json", r#"{"k":"a","status":200}"#).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(
        (&reply["accepted"], &reply["rejected"], &reply["durability"]),
        (&json!(1), &json!(0), &json!("memory"))
    );
    // md5("a") begins with 0c: the first quarter of the hash space.
    assert_eq!(reply["shards"][0]["shard"], "shardId-000000000000");
    assert_eq!(reply["shards"][0]["first"], reply["shards"][0]["last"]);
}

#[tokio::test]
async fn one_bad_record_fails_alone_and_all_bad_is_a_400() {
    let server = schema_pipeline().start();
    let body = "{\"k\":\"a\"}\n{\"k\":\"b\",\"status\":\"x\"}\n{\"k\":\"c\"}\n{\"status\":1}\n{\"k\"";
    let (status, reply) = server.post("s", "application/x-ndjson", body).await;
    assert_eq!((status, &reply["accepted"], &reply["rejected"]), (200, &json!(2), &json!(3)), "{reply}");
    let errors: Vec<_> = reply["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (&e["index"], e["code"].as_str().unwrap()))
        .collect();
    assert_eq!(errors, [(&json!(1), "schema"), (&json!(3), "schema"), (&json!(4), "json")]);
    assert_eq!(reply["errors"][0]["message"], "/status: expected integer, got string");
    let (status, reply) = server.post("s", "application/json", r#"[{"k":1},{}]"#).await;
    assert_eq!(
        (status, &reply["rejected"], &reply["code"]),
        (400, &json!(2), &json!("all_rejected")),
        "{reply}"
    );
}

#[tokio::test]
async fn every_content_type_and_encoding_that_is_promised_is_taken() {
    let server = Setup::pipeline(stream("s", 1)).start();
    let gzip = |data: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    };
    let zlib = |data: &[u8]| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    };
    let raw_deflate = |data: &[u8]| {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    };
    let lines = b"{\"n\":1}\n{\"n\":2}\n";
    let two_members = [gzip(b"{\"n\":1}\n"), gzip(b"{\"n\":2}\n")].concat();
    let bodies: [(&str, &str, Vec<u8>, u64); 11] = [
        ("application/json", "", b"{\"n\":1}".to_vec(), 1),
        ("application/json; charset=utf-8", "", b"[{\"n\":1},{\"n\":2}]".to_vec(), 2),
        ("application/x-ndjson", "identity", lines.to_vec(), 2),
        ("application/jsonl", "", lines.to_vec(), 2),
        ("text/plain;charset=UTF-8", "", b"{\"n\":1}".to_vec(), 1),
        ("text/plain", "", lines.to_vec(), 2),
        ("application/x-ndjson", "gzip", gzip(lines), 2),
        ("application/x-ndjson", "gzip", two_members, 2),
        ("application/x-ndjson", "deflate", zlib(lines), 2),
        ("application/x-ndjson", "deflate", raw_deflate(lines), 2),
        ("application/x-ndjson", "zstd", zstd::encode_all(&lines[..], 1).unwrap(), 2),
    ];
    for (content_type, encoding, body, records) in bodies {
        let mut request =
            reqwest::Client::new().post(server.records("s")).header("content-type", content_type).body(body);
        if !encoding.is_empty() {
            request = request.header("content-encoding", encoding);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let reply: serde_json::Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(
            (status, &reply["accepted"]),
            (200, &json!(records)),
            "{content_type} {encoding}: {reply}"
        );
    }
}

#[tokio::test]
async fn the_partition_key_comes_from_where_the_pipeline_says() {
    let with = |name: &str, key: &str| stream(name, 16) + &format!("[ingest]\npartition_key = \"{key}\"\n");
    let server = Setup::pipeline(with("pointer", "/a/b"))
        .and_pipeline("header", with("header", "header:x-device"))
        .and_pipeline("query", with("query", "query:device"))
        .and_pipeline("random", with("random", "random"))
        .start();
    let client = reqwest::Client::new();
    let post =
        |url: String| client.post(url).header("content-type", "application/json").body(r#"{"a":{"b":"me"}}"#);
    for (stream, request) in [
        ("pointer", post(server.records("pointer"))),
        ("header", post(server.records("header")).header("x-device", "me")),
        ("query", post(server.records("query") + "?device=m%65")),
        ("random", post(server.records("random")).header("x-partition-key", "me")),
    ] {
        assert_eq!(request.send().await.unwrap().status(), 200);
        let (_, page) = server.get(&format!("/v1/streams/{stream}/records?from=earliest")).await;
        assert_eq!(page["records"][0]["partition_key"], "me", "{stream}");
    }
    let lines = "{}\n".repeat(500);
    let (_, reply) = server.post("random", "application/x-ndjson", lines).await;
    assert!(reply["shards"].as_array().unwrap().len() > 8, "random keys spread over shards: {reply}");
}

#[tokio::test]
async fn http2_without_tls_works_with_prior_knowledge() {
    let server = Setup::pipeline(stream("s", 1)).start();
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let requests = (0..50).map(|n| {
        client
            .post(server.records("s"))
            .header("content-type", "application/json")
            .body(format!("{{\"n\":{n}}}"))
            .send()
    });
    for response in futures_join(requests).await {
        let response = response.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
    }
    let (_, stream) = server.get("/v1/streams/s").await;
    assert_eq!(stream["accepted_records"], 50);
}

async fn futures_join<F: Future + Send + 'static>(futures: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F::Output: Send,
{
    let tasks: Vec<_> = futures.map(tokio::spawn).collect();
    let mut outputs = Vec::new();
    for task in tasks {
        outputs.push(task.await.unwrap());
    }
    outputs
}

#[tokio::test]
async fn browsers_of_allowed_origins_get_cors_answers() {
    let server = Setup::pipeline(stream("s", 1))
        .server("cors = { origins = [\"https://shop.example\"], max_age = \"10m\" }")
        .start();
    let client = reqwest::Client::new();
    let preflight = |origin: &str| {
        client
            .request(reqwest::Method::OPTIONS, server.records("s"))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .send()
    };
    let response = preflight("https://shop.example").await.unwrap();
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()["access-control-allow-origin"], "https://shop.example");
    assert_eq!(response.headers()["access-control-max-age"], "600");
    assert!(response.headers()["access-control-allow-methods"].to_str().unwrap().contains("POST"));
    let allowed = response.headers()["access-control-allow-headers"].to_str().unwrap();
    assert!(
        ["authorization", "x-api-key", "content-type"].iter().all(|name| allowed.contains(name)),
        "{allowed}"
    );
    assert!(!response.headers().contains_key("access-control-allow-credentials"));
    let response = preflight("https://evil.example").await.unwrap();
    assert!(!response.headers().contains_key("access-control-allow-origin"));
    let beacon = client
        .post(server.records("s"))
        .header("origin", "https://shop.example")
        .header("content-type", "text/plain");
    let response = beacon.body("{\"n\":1}").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["access-control-allow-origin"]),
        (200, &"https://shop.example".parse().unwrap())
    );
}

#[tokio::test]
async fn browsers_may_send_credentials_where_that_is_said() {
    let cors = |origin: &str| format!("cors = {{ origins = [\"{origin}\"], credentials = true }}");
    let server = Setup::pipeline(stream("s", 1)).server(&cors("https://shop.example")).start();
    let ask = async |origin: &str| {
        let request = reqwest::Client::new().request(reqwest::Method::OPTIONS, server.records("s"));
        let response = request.header("origin", origin).send().await.unwrap();
        let allowed = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        (allowed("access-control-allow-origin"), allowed("access-control-allow-credentials"))
    };
    let origin = "https://shop.example".to_owned();
    assert_eq!(ask(&origin).await, (Some(origin), Some("true".to_owned())));
    assert_eq!(ask("https://evil.example").await, (None, None));
    let said = Setup::pipeline(stream("s", 1)).server(&cors("*")).start_that_fails();
    assert!(said.contains("credentials are taken from named origins only"), "{said}");
}

#[tokio::test]
async fn streams_and_shards_are_listed() {
    let server = Setup::pipeline(stream("b", 2)).and_pipeline("a", stream("a", 1)).start();
    server.accept("b", "{}\n{}").await;
    let (_, list) = server.get("/v1/streams").await;
    let names: Vec<_> =
        list["streams"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b"]);
    let (_, one) = server.get("/v1/streams/b").await;
    assert_eq!(
        (&one["shards"], &one["accepted_records"], &one["retained_records"]),
        (&json!(2), &json!(2), &json!(2))
    );
    let (_, shards) = server.get("/v1/streams/b/shards").await;
    assert_eq!(shards["shards"][0]["starting_hash_key"], "0");
    assert_eq!(shards["shards"][1]["ending_hash_key"], u128::MAX.to_string());
    let (status, problem) = server.get("/v1/streams/c").await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_stream")));
}

#[tokio::test]
async fn health_is_on_the_admin_port() {
    let server = Setup::pipeline(stream("s", 1)).start();
    assert_eq!(server.admin_get("/livez").await.0, 200);
    let (status, ready) = server.admin_get("/readyz").await;
    assert_eq!(status, 200, "{ready}");
    assert_eq!(server.get("/livez").await.0, 404, "the edge does not show it");
}

#[tokio::test]
async fn what_a_client_has_of_a_stream_is_not_sent_again_until_it_changes() {
    let server = Setup::pipeline(stream("s", 1)).start();
    for path in ["", "/s"] {
        let url = format!("http://{}/v1/streams{path}", server.address);
        let ask =
            async |tag: &str| Client::new().get(&url).header("if-none-match", tag).send().await.unwrap();
        let first = ask("\"none\"").await;
        assert_eq!(
            (first.status().as_u16(), &first.headers()["cache-control"]),
            (200, &"private, no-cache".parse().unwrap())
        );
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        let again = ask(&tag).await;
        assert_eq!((again.status().as_u16(), again.headers()["etag"].to_str().unwrap()), (304, tag.as_str()));
        assert_eq!(again.bytes().await.unwrap().len(), 0);
        server.accept("s", "{}\n").await;
        let changed = ask(&tag).await;
        assert_eq!(changed.status(), 200);
        assert_ne!(changed.headers()["etag"], tag.as_str());
    }
}
