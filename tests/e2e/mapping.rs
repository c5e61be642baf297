//! Facts of the request in records, and records out of parameters.

use std::fs::File;

use parquet::file::reader::{FileReader, SerializedFileReader};
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::lake;
use crate::server::{Server, Setup, durable_stream, stream};
use crate::websocket;

const ADD: &str = "[ingest.add]\nfield = \"/request\"\n\
    facts = [\"client_address\", \"client_network\", \"method\", \"principal\", \"header:referer\", \"query:c\"]\n";

/// What is in the stream `s`.
async fn data(server: &Server) -> Vec<Value> {
    let page = server.get("/v1/streams/s/records?from=earliest").await.1;
    page["records"].as_array().unwrap().iter().map(|record| record["data"].clone()).collect()
}

#[tokio::test]
async fn facts_are_in_records_from_the_tap_to_the_files() {
    let text = durable_stream("s", 2, "os")
        + "[ingest]\npartition_key = \"/request/client_address\"\nschema = \"s.schema.json\"\n"
        + ADD
        + "[schema]\ncolumns = [{ name = \"n\", type = \"int64\" }, { name = \"request\", type = \"struct<client_address:string,header:struct<referer:string>>\" }]\n"
        + "[[delivery]]\nname = \"json\"\nprefix = \"from={/request/client_address}/\"\nbuffer = { interval = \"1h\" }\n"
        + "[[delivery]]\nname = \"parquet\"\nformat = \"parquet\"\nprefix = \"\"\nbuffer = { interval = \"1h\" }\n";
    // The schema is about what clients send.
    let schema = r#"{"type":"object","properties":{"n":{"type":"integer"},"request":{}},"additionalProperties":false}"#;
    let server = Setup::pipeline(text)
        .file("s.schema.json", schema)
        .node("[auth]\ningest = [\"api_key\"]\ntap = [\"none\"]\n[[api_key]]\nname = \"mobile\"\nkey = \"0123456789abcdef\"\nallow = [\"ingest:s\"]")
        .server("trusted_proxies = [\"127.0.0.1\"]")
        .start();
    let send = async |client: &str, body: &'static str| {
        let request = Client::new().post(server.records("s") + "?c=%C3%A4&c=2").body(body);
        let request = request.header("x-forwarded-for", client).header("x-api-key", "0123456789abcdef");
        let response = request.header("referer", "https://example.com/\"a\"").send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str::<Value>(&response.text().await.unwrap()).unwrap())
    };
    let (status, reply) =
        send("203.0.113.7", "{\"n\":1,\"\\u0072equest\":{\"principal\":\"root\"}}\n{\"n\":2}\n{}\n").await;
    assert_eq!((status, &reply["accepted"]), (200, &json!(3)), "{reply}");
    assert_eq!(send("2001:db8::1", "[{\"n\":4}]").await.0, 200);
    let facts = |address: &str, network: &str| {
        let header = json!({"referer": "https://example.com/\"a\""});
        json!({"client_address": address, "client_network": network, "method": "POST", "principal": "mobile",
               "header": header, "query": {"c": "ä"}})
    };
    let (first, second) = (facts("203.0.113.7", "203.0.113.0/24"), facts("2001:db8::1", "2001:db8::/48"));
    let mut found = data(&server).await;
    found.sort_by_key(|data| data["n"].as_i64().unwrap_or(3));
    let expected = [
        json!({"n": 1, "request": first}),
        json!({"n": 2, "request": first}),
        json!({"request": first}),
        json!({"n": 4, "request": second}),
    ];
    assert_eq!(found, expected);
    let page = server.get("/v1/streams/s/records?from=earliest").await.1;
    let keys: std::collections::BTreeSet<_> = page["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["partition_key"].as_str().unwrap())
        .collect();
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["2001:db8::1", "203.0.113.7"]);
    // What was kept on the disk is delivered after a kill.
    let folder = server.kill();
    let text = std::fs::read_to_string(folder.path().join("pipelines/pipeline.toml")).unwrap();
    let server = Setup::pipeline(text).file("s.schema.json", schema).in_folder(folder).start();
    let stopped = server.stop();
    stopped.assert_drained();
    let lake = stopped.path("data/lake/s");
    let lines = lake::gunzip_all(&lake.join("json/from=203.0.113.7"));
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line["request"] == first), "{lines:?}");
    let mut rows = Vec::new();
    for path in lake::files(&lake.join("parquet"), ".parquet") {
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        rows.extend(reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()));
    }
    rows.sort();
    let request = |address| {
        format!(
            "request: {{client_address: \"{address}\", header: {{referer: \"https://example.com/\"a\"\"}}}}"
        )
    };
    assert_eq!(rows.len(), 4, "{rows:?}");
    assert_eq!(rows[0], format!("{{n: 1, {}}}", request("203.0.113.7")));
    assert_eq!(rows[2], format!("{{n: 4, {}}}", request("2001:db8::1")));
}

#[tokio::test]
async fn records_of_a_websocket_have_the_facts_of_its_handshake() {
    let server = Setup::pipeline(stream("s", 1) + ADD).start();
    let mut client = websocket::Client::open(&server, "from=none").await;
    for number in 0..2 {
        client.send(json!({"records": [{"n": number, "request": "forged"}]}).to_string()).await;
        assert_eq!(client.next().await.unwrap()["accepted"], 1);
    }
    let facts = json!({"client_address": "127.0.0.1", "client_network": "127.0.0.0/24", "method": "GET"});
    assert_eq!(data(&server).await, [0, 1].map(|number| json!({"n": number, "request": facts})));
}

#[tokio::test]
async fn facts_count_for_the_size_of_records_and_requests() {
    let text = stream("s", 1) + "[ingest]\nmax_record = \"100B\"\n" + ADD;
    let server = Setup::pipeline(text).server("max_body = \"1KiB\"").start();
    let long = "x".repeat(60);
    let (status, reply) = server.post("s", "application/json", format!("{{\"a\":\"{long}\"}}")).await;
    assert_eq!((status, &reply["errors"][0]["code"]), (400, &json!("record_too_large")), "{reply}");
    let refer = |count: usize| {
        let lines = "{}\n".repeat(count);
        Client::new().post(server.records("s")).body(lines)
    };
    // Each record becomes one of 91 bytes.
    for (count, status) in [(11, 200), (12, 413)] {
        let response = refer(count).send().await.unwrap();
        let found = response.status().as_u16();
        assert_eq!(found, status, "{count}: {}", response.text().await.unwrap());
    }
}

async fn get(server: &Server, path: &str) -> Response {
    Client::new().get(format!("http://{}/v1/streams/s/{path}", server.address)).send().await.unwrap()
}

#[tokio::test]
async fn a_picture_and_an_event_are_records_of_their_parameters() {
    let text = stream("s", 1)
        + "[ingest]\npixel = true\nadd = { field = \"/request\", facts = [\"method\", \"user_agent\"] }\n";
    let server = Setup::pipeline(text).start();
    let shown = get(&server, "pixel.gif?e=open&m=1&m=2&request=forged&api_key=secret").await;
    assert_eq!(shown.status(), 200);
    assert_eq!(
        (&shown.headers()["content-type"], &shown.headers()["cache-control"]),
        (&"image/gif".parse().unwrap(), &"no-store".parse().unwrap())
    );
    let picture = shown.bytes().await.unwrap();
    assert_eq!((picture.len(), &picture[..6], picture.last()), (43, &b"GIF89a"[..], Some(&b';')));
    assert_eq!(get(&server, "event").await.status(), 204);
    let url = format!("http://{}/v1/streams/s/event?a=1", server.address);
    let form = |body: &'static str| {
        Client::new()
            .post(&url)
            .header("content-type", "application/x-www-form-urlencoded;charset=UTF-8")
            .body(body)
    };
    assert_eq!(form("a=2&b=%f0%9f%98%80+x").send().await.unwrap().status(), 204);
    assert_eq!(Client::new().post(&url).send().await.unwrap().status(), 204);
    let expected = [
        json!({"e": "open", "m": ["1", "2"], "request": {"method": "GET"}}),
        json!({"request": {"method": "GET"}}),
        json!({"a": ["1", "2"], "b": "😀 x", "request": {"method": "POST"}}),
        json!({"a": "1", "request": {"method": "POST"}}),
    ];
    assert_eq!(data(&server).await, expected);

    // What is refused, or only looked at, is no record.
    let head = Client::new()
        .head(format!("http://{}/v1/streams/s/pixel.gif?e=head", server.address))
        .send()
        .await
        .unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &"43".parse().unwrap()));
    let many = "a=1&".repeat(257);
    let refused = get(&server, &format!("pixel.gif?{many}")).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["cache-control"]),
        (400, &"no-store".parse().unwrap())
    );
    assert_eq!(
        Client::new()
            .post(&url)
            .body("{\"a\":1}")
            .header("content-type", "application/json")
            .send()
            .await
            .unwrap()
            .status(),
        415
    );
    assert_eq!(form("").body("x".repeat(65_537)).send().await.unwrap().status(), 413);
    assert_eq!(
        Client::new()
            .post(format!("http://{}/v1/streams/s/pixel.gif", server.address))
            .send()
            .await
            .unwrap()
            .status(),
        405
    );
    assert_eq!(get(&server, "pixel.gif/x").await.status(), 404);
    assert_eq!(data(&server).await.len(), 4);
}

#[tokio::test]
async fn there_is_no_picture_where_the_stream_has_none() {
    let server = Setup::pipeline(stream("s", 1)).start();
    for path in ["pixel.gif?a=1", "event?a=1"] {
        assert_eq!(get(&server, path).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn a_picture_is_for_those_who_may_send() {
    let server = Setup::pipeline(stream("s", 1) + "[ingest]\npixel = true\n")
        .node("[auth]\ningest = [\"api_key\"]\ncredentials_in_query = true\ntap = [\"none\"]\n[[api_key]]\nname = \"m\"\nkey = \"0123456789abcdef\"\nallow = [\"ingest:s\"]")
        .start();
    assert_eq!(get(&server, "pixel.gif?a=1").await.status(), 401);
    assert_eq!(get(&server, "pixel.gif?a=1&api_key=0123456789abcdef").await.status(), 200);
    assert_eq!(data(&server).await, [json!({"a": "1"})]);
}

#[tokio::test]
async fn stages_take_what_they_are_asked_for_and_their_share_of_the_rest() {
    let text = stream("s", 1)
        + "[ingest]\nschema = \"old.json\"\n[[stage]]\nname = \"beta\"\ncanary = 30\n\
           ingest = { schema = \"new.json\", pixel = true, add = { field = \"/stage\", facts = [\"query:x\"] } }\n";
    let server = Setup::pipeline(text)
        .file("old.json", r#"{"properties":{"v":{"const":1}}}"#)
        .file("new.json", r#"{"properties":{"v":{"const":2}}}"#)
        .start();
    let send = async |stage: &str, key: Option<&str>, body: &str| {
        let url = format!("http://{}/{stage}/streams/s/records?x=y", server.address);
        let mut request = Client::new().post(url).body(body.to_owned());
        if let Some(key) = key {
            request = request.header("x-partition-key", key);
        }
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(send("beta", None, "{\"v\":2}").await, 200);
    assert_eq!(send("beta", None, "{\"v\":1}").await, 400);
    for unknown in ["gamma", "Beta", "%62eta", "v2", "beta%2f"] {
        assert_eq!(send(unknown, None, "{\"v\":2}").await, 404, "{unknown}");
    }
    assert_eq!(data(&server).await, [json!({"v": 2, "stage": {"query": {"x": "y"}}})]);
    let in_beta = format!("http://{}/beta/streams/s", server.address);
    let asked = |path: &str| Client::new().get(format!("{in_beta}/{path}")).send();
    assert_eq!(asked("event?v=1").await.unwrap().status(), 400);
    assert_eq!(asked("pixel.gif?a=1").await.unwrap().status(), 200);
    assert_eq!(asked("records").await.unwrap().status(), 405);
    assert_eq!(asked("shards").await.unwrap().status(), 404);

    // Each key has one stage, and about three of ten have the new one.
    let mut new = 0;
    for number in 0..60 {
        let key = number.to_string();
        let statuses = [send("v1", Some(&key), "{\"v\":1}").await, send("v1", Some(&key), "{\"v\":2}").await];
        assert!(matches!(statuses, [200, 400] | [400, 200]), "{statuses:?}");
        new += usize::from(statuses[1] == 200);
    }
    assert!((8..=28).contains(&new), "{new}");
    let count = async |labels: &str| server.metric("forebay_stage_records_total", labels).await as usize;
    let counts = [
        count("stage=\"v1\",verdict=\"accepted\"").await,
        count("stage=\"v1\",verdict=\"rejected\"").await,
        count("stage=\"beta\",verdict=\"accepted\"").await,
        count("stage=\"beta\",verdict=\"rejected\"").await,
    ];
    assert_eq!(counts, [60 - new, 60 - new, new + 2, new + 2]);
}
