//! No secret is in anything that the server says, whoever asks and whatever goes wrong.
//!
//! Who adds a kind of identity adds its secrets to [`SECRETS`], its tables to [`NODE`], and requests with right and wrong
//! credentials to [`requests`].

use std::path::Path;
use std::process::Command;

use super::collector::Collector;
use super::until;
use crate::server::{Server, Setup, stream};

/// Texts that must be nowhere: what is configured, what is shown, what stands in queries and bodies.
const SECRETS: [&str; 17] = [
    "right-api-key-3f",
    "wrong-api-key-3f",
    "right-bearer-9a-01",
    "wrong-bearer-9a",
    "basic-password-77",
    "YmFzaWMtcGFzc3dvcmQtNzc",
    "query-key-1c",
    "query-value-5d",
    "cookie-value-4e",
    "sigv4-secret-8b",
    "wrong-sigv4-secret-8b",
    "session-token-2d",
    "wrong-session-token-2d",
    "function-header-6e",
    "function-password-0f",
    "sink-secret-9c",
    "collector-secret",
];

const NODE: &str = r#"
access_log = { path = "access.log" }
audit_log = { path = "audit.log" }
auth = { ingest = ["api_key"], tap = ["api_key"], admin = ["api_key"] }
api_key = [
    { name = "mobile", key = "right-api-key-3f", allow = ["*:*"] },
    { name = "bearer", key = "right-bearer-9a-01", allow = ["ingest:other"] },
]
access_key = [
    { id = "AKIDEXAMPLE", secret = "sigv4-secret-8b", allow = ["kinesis:*"] },
    { id = "SESSION", secret = "sigv4-secret-8b", session_token = "session-token-2d", allow = ["kinesis:List*"] },
]
function = [{ name = "f", url = "http://user:function-password-0f@127.0.0.1:1/", headers = { authorization = "function-header-6e" } }]
"#;

/// A delivery to a store that is not there.
const LAKE: &str = "[[delivery]]\nname = \"lake\"\nbuffer = { interval = \"1s\" }\n\
    sink = { url = \"s3://bucket/\", endpoint = \"http://127.0.0.1:1\", region = \"r\", access_key_id = \"AKIDSINK\", \
    secret_access_key = \"sink-secret-9c\" }\n";

/// Words of curl: requests with right and wrong credentials of every kind.
fn requests() -> Vec<Vec<&'static str>> {
    let kinesis = ["-H", "content-type: application/x-amz-json-1.1", "-d", "{}", "-H"];
    let list = [&kinesis[..], &["x-amz-target: Kinesis_20131202.ListStreams"]].concat();
    let signed = |user: &'static str| {
        [&list[..], &["--aws-sigv4", "aws:amz:us-east-1:kinesis", "--user", user]].concat()
    };
    let with = |more: &[&'static str], words: &[&'static str]| [words, more].concat();
    vec![
        vec!["-H", "x-api-key: right-api-key-3f", "--json", "{\"secret\":\"query-value-5d\"}"],
        vec!["-H", "x-api-key: right-api-key-3f", "--json", "{\"secret\":query-value-5d}"],
        vec!["-H", "x-api-key: right-api-key-3f", "-H", "content-encoding: gzip", "--json", "query-value-5d"],
        vec!["-H", "x-api-key: wrong-api-key-3f", "--json", "{}"],
        vec!["-H", "authorization: Bearer right-bearer-9a-01", "--json", "{}"],
        vec!["-H", "authorization: Bearer wrong-bearer-9a", "--json", "{}"],
        vec!["--user", "somebody:basic-password-77", "--json", "{}"],
        vec!["-H", "authorization: query-value-5d", "--json", "{}"],
        vec!["-H", "x-api-key: right-api-key-3f", "-H", "cookie: session=cookie-value-4e", "-X", "DELETE"],
        vec!["-H", "x-api-key: right-api-key-3f", "-H", "traceparent: query-value-5d", "--json", "{}"],
        vec!["-H", "x-api-key: right-api-key-3f", "-H", "x-request-id: query-value-5d", "--json", "{}"],
        with(&["--path-as-is"], &signed("AKIDEXAMPLE:sigv4-secret-8b")),
        signed("AKIDEXAMPLE:wrong-sigv4-secret-8b"),
        with(&["-H", "x-amz-security-token: session-token-2d"], &signed("SESSION:sigv4-secret-8b")),
        with(&["-H", "x-amz-security-token: wrong-session-token-2d"], &signed("SESSION:sigv4-secret-8b")),
        list,
    ]
}

/// Paths that each of them is sent to.
fn urls(server: &Server) -> [String; 3] {
    let at = |rest: &str| format!("http://{}{rest}", server.address);
    let query = "?api_key=query-key-1c&from=query-value-5d&token=query-value-5d";
    [at("/v1/streams/s/records") + query, at("/") + query, at("/v1/streams/none/shards") + query]
}

fn read_all(folder: &Path, names: &[&str]) -> String {
    names.iter().map(|name| std::fs::read_to_string(folder.join(name)).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_anything_that_is_said() {
    let collector = Collector::start().await;
    let otlp = format!(
        "telemetry = {{ otlp = {{ endpoint = \"http://{}/base\", traces_sample = 1, metrics_interval = \"1s\", \
         headers = {{ x-collector-token = \"collector-secret\" }} }} }}\n",
        collector.address
    );
    collector.refuses(401, "0");
    let server = Setup::pipeline(stream("s", 1) + LAKE)
        .node(&otlp)
        .node(NODE)
        .server("drain_timeout = \"1s\"\ntrusted_proxies = [\"10.0.0.0/8\"]")
        .env("FOREBAY_LOG", "debug")
        .start();
    let mut said = String::new();
    let (mut statuses, urls) = (Vec::new(), urls(&server));
    for words in requests() {
        for url in &urls {
            let output = Command::new("curl")
                .args(["--silent", "--include", "--max-time", "60", "--write-out", "\n%{http_code}"])
                .args(&words)
                .arg(url)
                .output()
                .unwrap();
            assert!(output.status.success(), "{words:?}");
            let answer = String::from_utf8_lossy(&output.stdout).into_owned();
            statuses.push(answer.rsplit('\n').next().unwrap().to_owned());
            said.push_str(&answer);
        }
    }
    for wanted in ["200", "400", "401", "403", "405"] {
        assert!(statuses.iter().any(|status| status == wanted), "{wanted} of {statuses:?}");
    }
    server.until("forebay_delivery_upload_errors_total", "", |errors| errors > 0.0).await;
    until("the collector is told nothing", || (!collector.spans().is_empty()).then_some(())).await;
    said.push_str(&server.admin_get("/metrics").await.1);
    said.push_str(&server.admin_get("/readyz").await.1);
    let stopped = server.stop();
    let logs = read_all(stopped.folder.path(), &["access.log", "audit.log"]);
    assert!(logs.lines().count() > 40 && stopped.stderr.lines().count() > 3, "{}", stopped.stderr);
    let told: String = collector.sent().iter().map(|(_, body)| body.to_string()).collect();
    for (place, text) in [
        ("an answer or the admin port", &said),
        ("standard output", &stopped.stdout),
        ("standard error", &stopped.stderr),
        ("a log", &logs),
        ("what a collector is told", &told),
    ] {
        for secret in SECRETS {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} is in {place}");
        }
    }
}
