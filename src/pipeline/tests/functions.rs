//! Streams with a function between them.

use std::net::TcpListener;
use std::time::Duration;

use super::*;
use crate::config::checked::{Function, Pipeline};
use crate::function::Spec;
use crate::function::contract::Origin;
use crate::pipeline::control::Control;
use crate::record::ShardId;
use crate::tap::page::tests::batch;

/// A function that takes calls and answers none.
fn spec(silent: &TcpListener) -> Spec {
    let url = format!("http://{}/", silent.local_addr().unwrap()).parse().unwrap();
    let function = Function { name: "f".into(), url, timeout: Duration::from_secs(300), headers: Vec::new() };
    let origin = Origin { arn: "a".into(), region: "r".into() };
    Spec { function, buffer_bytes: 1 << 20, buffer_interval: Duration::ZERO, retries: 300, origin }
}

fn alone<T: Send + 'static>(pipelines: &Pipelines, change: impl FnOnce(&Control) -> T + Send + 'static) -> T {
    let control = Arc::clone(pipelines.site.edge.control().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(control.alone(change)).unwrap()
}

fn begin(pipelines: &Pipelines, config: &Config, spec: Spec) {
    let pipeline = |name: &str| -> Pipeline {
        let text = format!("[stream]\nname = \"{name}\"\n");
        config::pipeline_of_text(&text, &config.node).unwrap_or_else(|problems| panic!("{problems}"))
    };
    let (source, target) = (pipeline("before"), pipeline("behind"));
    alone(pipelines, move |control| control.begin_transformed(source, target, &spec)).unwrap();
}

/// A record into a stream that no client sees.
fn put(pipelines: &Pipelines, stream: &str) {
    let answer = ask(pipelines, "POST", &format!("/v1/streams/{stream}/records"), b"{}");
    assert!(answer.contains("unknown_stream"), "{answer}");
    let intake = pipelines.site.edge.any_intake(stream).unwrap();
    let receipt = intake.stream.append(vec![(ShardId(0), batch(&[(b"{}", b"key", false)]))], None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(receipt).unwrap();
}

#[test]
fn records_are_waited_for_that_go_through_a_function_after_the_next_start() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (config, _folder) = configure(MEMORY);
    let pipelines = Pipelines::listen(&config).unwrap();
    pipelines.build(config.clone(), false).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    begin(&pipelines, &config, spec(&silent));
    let is_pending = || alone(&pipelines, |control| control.is_transforming("before"));
    assert!(!is_pending());
    put(&pipelines, "before");
    assert!(is_pending());
    // The stage ends with the process, while whoever deletes its streams may still ask.
    pipelines.phases.advance(Phase::Draining);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(pipelines.site.workers.joined());
    assert!(is_pending(), "its record has not gone through");
    end(&pipelines);
}

#[test]
fn streams_that_are_ended_do_not_wait_for_what_has_not_gone_through() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (config, _folder) = configure(MEMORY);
    let pipelines = Pipelines::listen(&config).unwrap();
    pipelines.build(config.clone(), false).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    begin(&pipelines, &config, spec(&silent));
    put(&pipelines, "before");
    assert!(alone(&pipelines, |control| control.is_transforming("before")));
    alone(&pipelines, |control| control.end_transformed("before", "behind")).unwrap();
    assert!(!alone(&pipelines, |control| control.is_transforming("before")));
    for stream in ["before", "behind"] {
        assert!(!alone(&pipelines, move |control| control.serves(stream)), "{stream}");
    }
    end(&pipelines);
}
