//! Every protocol against the real binary, over TLS as well, and the real lake judged.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic in a test is a failed test")]

mod node;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use forebay_load::run::consume::TapKind;
use forebay_load::run::workload::{Class, Protocol, Span};
use forebay_load::run::{Credentials, HeadError, Mode, Outcome, Plan, RunError, Target, Trust, run};
use node::Node;

const SECRET: &str = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY";

/// Signatures are asked for where they can be: of the APIs of AWS.
fn settings() -> String {
    format!(
        "[[access_key]]\nid = \"AKIDEXAMPLE\"\nsecret = \"{SECRET}\"\nallow = [\"kinesis:*\", \"firehose:*\"]\n"
    )
}

fn plan(url: &str, protocols: &[Protocol]) -> Plan {
    let class = |protocol: &Protocol| Class {
        protocol: *protocol,
        weight: 1.0,
        batch: Span { low: 1, high: 40 },
        record_bytes: Span { low: 300, high: 900 },
    };
    Plan {
        target: Target::parse(url).unwrap(),
        mix: protocols.iter().map(class).collect(),
        connections: 10,
        producers: 20,
        records: Some(4_000),
        retry: Some(Duration::from_secs(30)),
        idempotent: true,
        credentials: Some(Credentials {
            key_id: "AKIDEXAMPLE".into(),
            secret: SECRET.into(),
            session_token: None,
            region: "eu-central-1".into(),
        }),
        run_name: protocols.iter().map(|protocol| protocol.name()).collect::<Vec<_>>().join("-"),
        ..Plan::default()
    }
}

fn go(plan: &Plan) -> Result<Outcome, RunError> {
    run(plan, Arc::new(AtomicBool::new(false)), &mut |_| {})
}

const ALL: [Protocol; 6] = [
    Protocol::Native,
    Protocol::Http2,
    Protocol::WebSocket,
    Protocol::Kinesis,
    Protocol::KinesisCbor,
    Protocol::Firehose,
];

#[test]
fn what_was_acked_over_any_protocol_is_in_the_lake_once() {
    let Some(node) = Node::start(&settings()) else { return };
    let mut manifests = Vec::new();
    for protocols in ALL.map(|protocol| vec![protocol]).into_iter().chain([ALL.to_vec()]) {
        let outcome = go(&plan(&node.url, &protocols)).unwrap();
        assert!(outcome.is_success(), "{protocols:?} {}", outcome.report);
        assert_eq!(outcome.report.records.acked, 4_000, "{protocols:?}");
        if protocols.len() > 1 {
            let classes = &outcome.report.classes;
            assert_eq!(classes.iter().map(|class| class.acked).sum::<u64>(), 4_000);
            assert!(classes.iter().all(|class| class.acked > 0));
            assert!(classes.iter().all(|class| class.latency_ms.count == class.requests));
        }
        manifests.push(outcome.manifest);
    }
    for verdict in node.stop_and_judge(manifests) {
        assert!(verdict.ok, "{verdict}");
        assert_eq!(verdict.expected, 28_000);
    }
}

#[test]
fn several_requests_on_a_connection_keep_the_order_of_each_producer() {
    let Some(node) = Node::start(&settings()) else { return };
    let protocols =
        [Protocol::Native, Protocol::Http2, Protocol::Kinesis, Protocol::KinesisCbor, Protocol::Firehose];
    let piped = Plan {
        pipeline: 8,
        connections: 5,
        producers: 60,
        threads: 2,
        taps: 1,
        run_name: "piped".into(),
        ..plan(&node.url, &protocols)
    };
    let outcome = go(&piped).unwrap();
    assert!(outcome.is_success(), "{}", outcome.report);
    assert_eq!((outcome.report.records.acked, outcome.report.requests.retries), (4_000, 0));
    assert!(outcome.report.taps.as_ref().unwrap().is_right());
    let refused =
        go(&Plan { mix: vec![Class { protocol: Protocol::WebSocket, ..piped.mix[0] }], ..piped.clone() });
    assert!(matches!(refused, Err(RunError::Plan(_))));
    assert!(matches!(go(&Plan { producers: 39, ..piped }), Err(RunError::Plan(_))));
    for verdict in node.stop_and_judge(vec![outcome.manifest]) {
        assert!(verdict.ok, "{verdict}");
        assert_eq!(verdict.expected, 4_000);
    }
}

#[test]
fn a_mix_shares_the_rate_by_weight() {
    let Some(node) = Node::start(&settings()) else { return };
    let mut plan = plan(&node.url, &[Protocol::Native, Protocol::Kinesis]);
    plan.mix[0].weight = 3.0;
    plan.mix.iter_mut().for_each(|class| class.batch = Span::one(20));
    plan.mode = Mode::Open { rate: 2_000.0 };
    (plan.records, plan.duration) = (None, Some(Duration::from_secs(2)));
    let outcome = go(&plan).unwrap();
    assert!(outcome.is_success(), "{}", outcome.report);
    let acked: Vec<_> = outcome.report.classes.iter().map(|class| class.acked).collect();
    assert_eq!(acked, [3_000, 1_000]);
}

#[test]
fn a_wrong_signature_is_told_and_nothing_is_acked() {
    let Some(node) = Node::start(&settings()) else { return };
    for protocol in [Protocol::Kinesis, Protocol::KinesisCbor, Protocol::Firehose] {
        let mut plan = plan(&node.url, &[protocol]);
        plan.credentials.iter_mut().for_each(|credentials| credentials.secret.push('x'));
        plan.records = Some(200);
        let outcome = go(&plan).unwrap();
        assert_eq!((outcome.report.records.acked, outcome.report.records.refused), (0, 200));
        assert!(outcome.report.errors[0].code.contains("Signature"), "{}", outcome.report);
    }
}

/// An authority, and a server's certificate and key that it vouches for, as PEM files in `folder`.
fn certificates(folder: &Path) {
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let server = server.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("ca.pem"), authority_certificate.pem()).unwrap();
    std::fs::write(folder.join("server.pem"), server.pem()).unwrap();
    std::fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
}

#[test]
fn every_protocol_works_over_tls_and_only_whom_we_trust_gets_the_load() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let port = forebay::testkit::port::Port::take().unwrap();
    let path = |name: &str| folder.path().join(name);
    let listener = format!(
        "{}[[listener]]\naddress = \"{}\"\ntls = {{ certificate = {:?}, key = {:?} }}\n",
        settings(),
        port.address(),
        path("server.pem"),
        path("server.key"),
    );
    let Some(node) = Node::start(&listener) else { return };
    let mut plan = plan(&format!("https://{}", port.address()), &ALL);
    plan.trust = Trust::Ca(path("ca.pem"));
    let outcome = go(&plan).unwrap();
    assert!(outcome.is_success(), "{}", outcome.report);
    assert_eq!(outcome.report.records.acked, 4_000);
    plan.trust = Trust::Everybody;
    (plan.records, plan.run_name) = (Some(100), "insecure".into());
    let insecure = go(&plan).unwrap();
    assert_eq!(insecure.report.records.acked, 100);
    // Another authority: nothing is sent.
    let other = tempfile::tempdir().unwrap();
    certificates(other.path());
    plan.trust = Trust::Ca(other.path().join("ca.pem"));
    for retry in [None, Some(Duration::from_secs(600))] {
        // At once, also where there is patience: a certificate does not get better.
        let refused = go(&Plan { retry, run_name: "other".into(), ..plan.clone() }).unwrap_err();
        let told = refused.to_string();
        assert!(matches!(refused, RunError::Handshake { .. }) && told.contains("certificate"), "{told}");
    }
    // Who listens there does not speak TLS.
    let plain = Target { is_tls: true, ..Target::parse(&node.url).unwrap() };
    let refused = go(&Plan { target: plain, ..plan.clone() });
    assert!(matches!(refused, Err(RunError::Handshake { .. })));
    plan.trust = Trust::Ca(path("server.key"));
    assert!(matches!(go(&plan), Err(RunError::Head(HeadError::Tls(_)))));
    for verdict in node.stop_and_judge(vec![outcome.manifest, insecure.manifest]) {
        assert!(verdict.ok, "{verdict}");
    }
}

#[test]
fn readers_get_what_was_acked_once_and_in_order_and_say_how_long_it_took() {
    let Some(node) = Node::start(&settings()) else { return };
    for (tap_kind, name) in [(TapKind::Events, "events"), (TapKind::WebSocket, "websocket")] {
        let plan = Plan {
            taps: 3,
            tap_kind,
            run_name: name.into(),
            mode: Mode::Open { rate: 2_000.0 },
            ..plan(&node.url, &[Protocol::Native, Protocol::Kinesis])
        };
        let outcome = go(&plan).unwrap();
        let taps = outcome.report.taps.clone().unwrap();
        assert!(outcome.is_success() && taps.is_right(), "{}", outcome.report);
        assert_eq!((taps.readers, taps.records, taps.reconnects), (3, 12_000, 0));
        assert_eq!(taps.latency_us.count(), 12_000);
        let by_second = &outcome.record.taps;
        assert_eq!(by_second.intervals.iter().map(|at| at.records).sum::<u64>(), 12_000);
        assert!(by_second.intervals.iter().filter(|at| at.latency_ms.is_some()).count() >= 2);
        assert!(taps.latency_ms.p50 > 0.0);
    }
    let plan = Plan { taps: 1, stream: "nowhere".into(), ..plan(&node.url, &[Protocol::Native]) };
    assert!(matches!(go(&plan), Err(RunError::Tap(_))));
}

#[test]
fn a_server_that_is_killed_frozen_and_started_again_loses_nothing() {
    let Some(binary) = node::binary() else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = forebay::testkit::port::Port::take().unwrap();
    node::prepare(folder.path(), [&port.address().to_string(), "127.0.0.1:0"], "");
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let command = format!("env -C {} {} serve pipelines", folder.path().display(), binary.display());
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_forebay-load"))
        .args([
            "run",
            "--url",
            &format!("http://{}", port.address()),
            "--retry",
            "--rate",
            "2000",
            "--batch",
            "20",
        ])
        .args(["--duration", "4s", "--tap", "2", "--chaos", "kill@1s,restart@1500ms,freeze@2500ms,thaw@3s"])
        .args(["--server-command", &command, "--verify", &path("data/lake/clickstream/json")])
        .args(["--record", &path("run.record"), "--server-log", &path("server.log")])
        .output()
        .unwrap();
    let told = String::from_utf8(done.stdout).unwrap();
    let log = std::fs::read_to_string(path("server.log")).unwrap_or_default();
    assert!(done.status.success(), "{told} {} {log}", String::from_utf8_lossy(&done.stderr));
    assert!(told.contains("expected 8000: missing 0, duplicated 0, reordered 0"), "{told}");
    assert!(told.contains("2 readers") && told.contains("0 duplicated, 0 reordered, 0 missing"), "{told}");
    let record = forebay_load::record::Record::read(Path::new(&path("run.record"))).unwrap();
    let marks: Vec<_> = record.marks.iter().map(|mark| mark.text.as_str()).collect();
    assert_eq!(marks, ["kill", "restart", "freeze", "thaw"]);
    assert!(record.report.server.unwrap().alive_at_end && record.report.requests.retries > 0);
    assert!(record.server.windows(2).all(|pair| pair[0].cpu_seconds <= pair[1].cpu_seconds));
}

#[test]
fn chaos_that_makes_no_sense_is_refused_before_anything_is_sent() {
    let refused = |args: &[&str]| {
        let fixed = ["run", "--url", "http://127.0.0.1:1", "--retry", "--records", "1"];
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_forebay-load"))
            .args([&fixed, args].concat())
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(2));
        String::from_utf8(done.stderr).unwrap()
    };
    assert!(refused(&["--chaos", "kill@1s"]).contains("kill is not followed by restart"));
    assert!(refused(&["--chaos", "kill@1s,restart@2s"]).contains("--server-command"));
    assert!(refused(&["--chaos", "stall@1s,heal@2s"]).contains("--stall-proxy"));
    assert!(refused(&["--stall-proxy", "nothing"]).contains("give HOST:PORT=HOST:PORT"));
    // A step that is disturbed says nothing about the knee.
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_forebay-load"))
        .args(["run", "--retry", "--ramp", "10", "--chaos", "stall@1s,heal@2s"])
        .output()
        .unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2));
    assert!(told.contains("--chaos") && told.contains("--ramp") && told.contains("cannot be used"), "{told}");
}
