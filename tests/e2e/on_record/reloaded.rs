//! Logs and collectors that change while requests come.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::collector::Collector;
use super::{lines, until};
use crate::server::{Server, Setup, stream};

fn change(server: &Server, change: impl Fn(String) -> String) {
    let file = server.folder().join("forebay.toml");
    std::fs::write(&file, change(std::fs::read_to_string(&file).unwrap())).unwrap();
}

async fn reload(server: &Server) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("http://{}/reload", server.admin));
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

fn ids(log: &std::path::Path) -> Vec<String> {
    lines(log).iter().map(|line| line["request_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_one_line_while_the_access_log_goes_elsewhere() {
    let setup = Setup::pipeline(stream("s", 1))
        .node("access_log = { path = \"first.log\" }\naudit_log = { path = \"a.log\" }");
    let server = Arc::new(setup.start());
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (server, over) = (Arc::clone(&server), Arc::clone(&over));
            tokio::spawn(async move {
                let (client, mut sent) = (reqwest::Client::new(), Vec::new());
                while !over.load(Ordering::Relaxed) {
                    let request = client.get(format!("http://{}/v1/streams", server.address));
                    let answer = request.send().await.unwrap();
                    sent.push(answer.headers()["x-request-id"].to_str().unwrap().to_owned());
                }
                sent
            })
        })
        .collect();
    // In a folder that a file stands in the way of: nothing of it holds.
    std::fs::write(server.folder().join("file"), "").unwrap();
    change(&server, |text| text.replace("first.log", "file/x.log").replace("a.log", "b.log"));
    let (status, told) = reload(&server).await;
    assert!(status == 409 && told["error"].as_str().unwrap().contains("[access_log]"), "{told}");
    for (from, to) in [("file/x.log", "second.log"), ("second.log", "third.log"), ("third.log", "second.log")]
    {
        change(&server, |text| text.replace(from, to));
        let (status, told) = reload(&server).await;
        assert_eq!(status, 200, "{told}");
        assert!(told["changes"].as_array().unwrap().contains(&"[access_log]".into()), "{told}");
        // Requests come and go at each place.
        let at = server.folder().join(to);
        let has_come = || std::fs::metadata(&at).is_ok_and(|known| known.len() > 0).then_some(());
        until("nothing comes at the new place", has_come).await;
    }
    over.store(true, Ordering::Relaxed);
    let mut sent = Vec::new();
    for client in clients {
        sent.extend(client.await.unwrap());
    }
    // Switched off, and on again.
    change(&server, |text| text.replace("access_log = { path = \"second.log\" }\n", ""));
    assert_eq!(reload(&server).await.0, 200);
    server.get("/v1/streams/nobody").await;
    change(&server, |text| format!("access_log = {{ path = \"fourth.log\", sample = 1.0 }}\n{text}"));
    assert_eq!(reload(&server).await.0, 200);
    server.get("/v1/streams/somebody").await;
    let stopped = Arc::into_inner(server).unwrap().stop();
    stopped.assert_drained();
    let mut found = Vec::new();
    for log in ["first.log", "second.log", "third.log"] {
        let ids = ids(&stopped.path(log));
        assert!(!ids.is_empty(), "{log}");
        found.extend(ids);
    }
    assert_eq!(found.len(), sent.len(), "each once");
    assert_eq!(BTreeSet::from_iter(found), BTreeSet::from_iter(sent));
    let last: Vec<_> = lines(&stopped.path("fourth.log")).iter().map(|line| line["path"].clone()).collect();
    assert_eq!(last, ["/v1/streams/somebody"]);
    let reloads =
        |log: &str| lines(&stopped.path(log)).iter().filter(|line| line["action"] == "reload").count();
    assert_eq!((reloads("a.log"), reloads("b.log")), (1, 5));
}

fn telemetry(collector: &Collector) -> String {
    let headers = "headers = { x-collector-token = \"collector-secret\" }";
    let endpoint = format!("endpoint = \"http://{}/base/\"", collector.address);
    format!("telemetry = {{ otlp = {{ {endpoint}, {headers}, traces_sample = 1.0 }} }}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_told_what_was_meant_for_it_before_another_one_is() {
    let (first, second) = (Collector::start().await, Collector::start().await);
    let server = Setup::pipeline(stream("s", 1)).node(&telemetry(&first)).start();
    let names = |collector: &Collector| -> Vec<String> {
        let paths = collector.spans().into_iter().map(|span| {
            let attributes = span["attributes"].as_array().unwrap().clone();
            attributes.iter().find(|it| it["key"] == "url.path").unwrap()["value"]["stringValue"].clone()
        });
        paths.map(|path| path.as_str().unwrap().to_owned()).collect()
    };
    server.get("/v1/streams/one").await;
    change(&server, |text| text.replace(&first.address.to_string(), &second.address.to_string()));
    assert_eq!(reload(&server).await.1["changes"], serde_json::json!(["[telemetry]"]));
    // It was flushed before the answer.
    assert_eq!(names(&first), ["/v1/streams/one"]);
    server.get("/v1/streams/two").await;
    change(&server, |text| text.replace(&telemetry(&second), ""));
    assert_eq!(reload(&server).await.0, 200);
    assert_eq!(names(&second), ["/v1/streams/two"]);
    server.get("/v1/streams/three").await;
    change(&server, |text| telemetry(&second) + &text);
    assert_eq!(reload(&server).await.0, 200);
    server.get("/v1/streams/four").await;
    server.stop().assert_drained();
    assert_eq!(
        (names(&first).len(), names(&second)),
        (1, vec!["/v1/streams/two".into(), "/v1/streams/four".into()])
    );
    // One process, whoever is told.
    let instance = |collector: &Collector| {
        let body = collector.sent().remove(0).1;
        body["resourceSpans"][0]["resource"]["attributes"][2].clone()
    };
    assert_eq!(instance(&first), instance(&second));
}
