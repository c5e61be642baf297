//! Lists of addresses and rules about requests, before anybody asks who has sent one.

use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::server::{PATIENCE, Server, Setup, stream};

const TRUSTED: &str = "trusted_proxies = [\"127.0.0.0/8\"]\n";

fn start(node: &str, pipeline: &str) -> Server {
    let node = &format!("audit_log = {{ path = \"audit.log\" }}\n{node}");
    Setup::pipeline(stream("s", 1) + pipeline)
        .and_pipeline("other", stream("other", 1))
        .node(node)
        .server(TRUSTED)
        .start()
}

/// Status and code of the answer to a client of an address that a proxy tells.
async fn answer(server: &Server, client: &str, stream: &str) -> (u16, Value) {
    let request = reqwest::Client::new().post(server.records(stream)).header("x-forwarded-for", client);
    let response = request.header("content-type", "application/json").body("{}").send().await.unwrap();
    let status = response.status().as_u16();
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    (status, body["code"].clone())
}

/// What an AWS operation answers.
async fn aws(server: &Server, client: &str, operation: &str, body: Value) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("http://{}/", server.address));
    let request = request
        .header("x-forwarded-for", client)
        .header("x-amz-target", operation)
        .header("content-type", "application/x-amz-json-1.1");
    let response = request.body(body.to_string()).send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

#[tokio::test]
async fn addresses_that_are_denied_come_to_no_route_and_those_of_a_stream_to_it_alone() {
    let server = start(
        "aws = { signature = \"off\" }\n[access]\ndeny_addresses = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n",
        "[access]\nallow_addresses = [\"10.0.0.0/8\", \"192.0.2.0/24\"]\n",
    );
    let denied = (403, json!("address_not_allowed"));
    for client in ["192.0.2.9", "2001:db8::9", "::ffff:192.0.2.9"] {
        assert_eq!(answer(&server, client, "s").await, denied, "{client}");
        assert_eq!(answer(&server, client, "other").await, denied, "{client}");
    }
    assert_eq!(answer(&server, "198.51.100.1", "s").await, denied);
    assert_eq!(answer(&server, "198.51.100.1", "other").await.0, 200);
    assert_eq!(answer(&server, "10.1.2.3", "s").await.0, 200);
    let put = |client: &'static str, stream: &'static str| {
        let body = json!({"StreamName": stream, "Data": "e30=", "PartitionKey": "a"});
        aws(&server, client, "Kinesis_20131202.PutRecord", body)
    };
    for (client, stream) in [("192.0.2.9", "other"), ("198.51.100.1", "s")] {
        let (status, refusal) = put(client, stream).await;
        assert_eq!(status, 400, "{refusal}");
        assert!(refusal["__type"].as_str().unwrap().ends_with("AccessDeniedException"), "{refusal}");
    }
    assert_eq!(put("198.51.100.1", "other").await.0, 200);
    assert_eq!(put("10.1.2.3", "s").await.0, 200);
    // Lists show what one may come to.
    let (_, streams) = aws(&server, "198.51.100.1", "Kinesis_20131202.ListStreams", json!({})).await;
    assert_eq!(streams["StreamNames"], json!(["other"]));
    let refused = refused(server);
    for (action, reason) in [
        ("records", "address_not_allowed"),
        ("kinesis_put_record", "address_not_allowed"),
        ("kinesis_put_record", "AccessDeniedException"),
    ] {
        assert!(refused.contains(&(action.to_owned(), reason.to_owned())), "{refused:?}");
    }
}

/// Actions and reasons of the refusals that are on record.
fn refused(server: Server) -> Vec<(String, String)> {
    let stopped = server.stop();
    stopped.assert_drained();
    let text = std::fs::read_to_string(stopped.path("audit.log")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let word = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    lines
        .filter(|line| line["event"] == "refused")
        .map(|line| (word(&line, "action"), word(&line, "reason")))
        .collect()
}

#[tokio::test]
async fn a_file_of_addresses_is_read_again_on_sighup_and_a_wrong_one_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("blocked.txt");
    let many: String =
        (0..50_000_u32).map(|n| format!("{}/31\n", std::net::Ipv4Addr::from(0x0b00_0000 + n * 4))).collect();
    std::fs::write(&file, many).unwrap();
    let server = start(&format!("[access]\ndeny_file = {:?}\n", file.display().to_string()), "");
    assert_eq!(answer(&server, "11.0.0.4", "s").await.0, 403);
    assert_eq!(answer(&server, "11.0.0.6", "s").await.0, 200);
    std::fs::write(&file, "11.0.0.6 # this one\n").unwrap();
    server.signal(Signal::HUP);
    let began = Instant::now();
    while answer(&server, "11.0.0.6", "s").await.0 != 403 {
        assert!(began.elapsed() < PATIENCE, "the file is read again");
    }
    assert_eq!(answer(&server, "11.0.0.4", "s").await.0, 200);
    std::fs::write(&file, "11.0.0.6\nnobody\n").unwrap();
    server.signal(Signal::HUP);
    assert_eq!(answer(&server, "11.0.0.6", "s").await.0, 403);
    std::fs::write(&file, "11.0.0.6\n11.0.0.7\n").unwrap();
    server.signal(Signal::HUP);
    let began = Instant::now();
    while answer(&server, "11.0.0.7", "s").await.0 != 403 {
        assert!(began.elapsed() < PATIENCE, "it is taken once it is right again");
    }
    server.stop().assert_drained();
}

#[tokio::test]
async fn rules_block_count_and_allow_before_anybody_is_asked_who_it_is() {
    let rules = "[auth]\ningest = [\"api_key\"]\ntap = [\"none\"]\n\
         [screening]\ninjection = \"block\"\nbots = \"count\"\nbot_user_agents = [\"(?i)masscan\"]\n\
         [[api_key]]\nname = \"k\"\nkey = \"0123456789abcdef\"\nallow = [\"*:*\"]\n\
         [[rule]]\nname = \"office\"\nwhen = { client = [\"10.0.0.0/8\"] }\naction = \"allow\"\n\
         [[rule]]\nname = \"gone\"\nwhen = { query = \"debug=\", method = [\"GET\"] }\naction = \"block\"\nstatus = 410\n";
    let server = start(rules, "");
    let client = reqwest::Client::new();
    let get = async |query: &str, from: &str, agent: &str| {
        let url = format!("http://{}/v1/streams?{query}", server.address);
        let request = client.get(url).header("x-forwarded-for", from).header("user-agent", agent);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap().contains("\"code\":\"blocked\""))
    };
    assert_eq!(get("", "192.0.2.1", "curl").await, (200, false));
    assert_eq!(get("%64ebug=1", "192.0.2.1", "curl").await, (410, true));
    assert_eq!(get("debug=1", "10.0.0.1", "curl").await, (200, false));
    assert_eq!(get("q=%3Cscript%3E", "192.0.2.1", "curl").await, (403, true));
    assert_eq!(get("q=%3Cscript%3E", "10.0.0.1", "curl").await, (200, false));
    assert_eq!(get("", "192.0.2.1", "masscan/1.0").await, (200, false));
    // Who has no key is not told so where a rule is against the request.
    let url = format!("{}?q=../../../../etc/passwd", server.records("s"));
    let response = client.post(url).body("{}").send().await.unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(client.post(server.records("s")).body("{}").send().await.unwrap().status(), 401);
    let (status, refusal) = {
        let url = format!("http://{}/?q=%3Cscript%3E", server.address);
        let request = client.post(url).header("x-amz-target", "Kinesis_20131202.ListStreams");
        let response =
            request.header("content-type", "application/x-amz-json-1.1").body("{}").send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(status, 400);
    assert!(refusal.contains("AccessDeniedException"), "{refusal}");
    for (rule, action, count) in [
        ("office", "allow", 2.0),
        ("gone", "block", 1.0),
        ("screening:script", "block", 2.0),
        ("screening:traversal", "block", 1.0),
    ] {
        let labels = format!("rule=\"{rule}\",action=\"{action}\"");
        assert_eq!(server.metric("forebay_rule_matches_total", &labels).await, count, "{rule}");
    }
    assert!(server.metric("forebay_rule_matches_total", "screening:bots").await >= 1.0);
    let refused = refused(server);
    for action in ["streams", "records", "kinesis_list_streams"] {
        assert!(refused.contains(&(action.to_owned(), "blocked".to_owned())), "{refused:?}");
    }
}
