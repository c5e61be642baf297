//! Deliveries that are changed, added and taken away while their stream takes records.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::config::checked::Pipeline;
use crate::pipeline::control::DeliveryChange;
use crate::runtime::clock::UnixMicros;
use crate::stream::reshard::Change;

/// A stream's deliveries, each a name and its settings, below `lake`.
fn pipeline(config: &Config, lake: &Path, deliveries: &[(&str, &str)]) -> Pipeline {
    pipeline_of(DURABLE, config, lake, deliveries)
}

fn pipeline_of(stream: &str, config: &Config, lake: &Path, deliveries: &[(&str, &str)]) -> Pipeline {
    let mut text = stream.to_owned();
    for (name, settings) in deliveries {
        text += &format!(
            "[[delivery]]\nname = \"{name}\"\nsink = {{ path = {:?} }}\n\
             buffer = {{ size = \"64KiB\", interval = \"100ms\" }}\n{settings}\n",
            lake.to_str().unwrap()
        );
    }
    config::pipeline_of_text(&text, &config.node).unwrap_or_else(|problems| panic!("{problems}"))
}

fn change(pipelines: &Pipelines, pipeline: &Pipeline) -> Result<(), String> {
    let (pipeline, since) = (pipeline.clone(), clock::wall());
    let change = DeliveryChange { pipeline, is_own: true, since };
    alone(pipelines, move |control| {
        control.check_change(&change)?;
        control.change_deliveries(&change)
    })
}

fn alone(
    pipelines: &Pipelines,
    change: impl FnOnce(&Control) -> Result<(), crate::pipeline::control::ControlError> + Send + 'static,
) -> Result<(), String> {
    let control = Arc::clone(pipelines.site.edge.control().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let changed =
        runtime.block_on(control.alone(move |control| change(control).map_err(|error| error.to_string())));
    changed.unwrap()
}

/// How often each number is in files below `folder`.
fn numbers(folder: &Path) -> BTreeMap<u64, usize> {
    let mut numbers = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let text = match name.ends_with(".gz") {
                true => io::read_to_string(flate2::read::MultiGzDecoder::new(&*bytes)).unwrap(),
                false => String::from_utf8(bytes).unwrap(),
            };
            for line in text.lines() {
                let record: serde_json::Value = serde_json::from_str(line).unwrap();
                *numbers.entry(record["n"].as_u64().unwrap()).or_default() += 1;
            }
        }
    }
    numbers
}

fn send(pipelines: &Pipelines, n: u64) {
    let body = format!("{{\"n\":{n},\"k\":\"k{}\",\"m\":\"m{}\"}}", n % 7, n % 3);
    let answer = ask(pipelines, "POST", "/v1/streams/s/records", body.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200 "), "producers are not disturbed: {answer}");
}

fn once(numbers: std::ops::Range<u64>) -> BTreeMap<u64, usize> {
    numbers.map(|number| (number, 1)).collect()
}

#[test]
fn deliveries_change_under_load_between_reshards_and_every_record_is_in_one_file() {
    let (config, folder) = configure(DURABLE);
    let lake = folder.path().join("lake");
    let variants = [
        "compression = \"none\"\nprefix = \"v1/\"",
        "compression = \"gzip\"\nprefix = \"v2/{/k}/\"",
        "compression = \"none\"\nprefix = \"v3/{/m}/{/k}/\"",
        "compression = \"gzip\"\nprefix = \"v1/\"",
    ];
    let of = |variant: &str| pipeline(&config, &lake, &[("d", &format!("format = \"json\"\n{variant}"))]);
    let mut sent = 0;
    for round in 0..2 {
        let pipelines = Pipelines::listen(&config).unwrap();
        pipelines.build(config.clone(), false).unwrap();
        // The first one is there before the stream has a record.
        change(&pipelines, &of(variants[0])).unwrap();
        let ends = AtomicBool::new(false);
        sent = std::thread::scope(|scope| {
            let producer = scope.spawn(|| {
                let mut next = sent;
                while !ends.load(Ordering::Relaxed) {
                    send(&pipelines, next);
                    next += 1;
                }
                next
            });
            for (index, variant) in variants.iter().cycle().skip(1).take(6).enumerate() {
                change(&pipelines, &of(variant)).unwrap();
                if index == 2 + round {
                    let control = Arc::clone(pipelines.site.edge.control().unwrap());
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    let open = pipelines.site.edge.intake("s").unwrap().stream.layout();
                    let shard = open.open().next().unwrap();
                    let at = crate::stream::HashKey(
                        shard.facts.hash_keys.first / 2 + shard.facts.hash_keys.last / 2,
                    );
                    runtime
                        .block_on(control.reshard("s", vec![Change::Split { shard: shard.facts.id, at }]))
                        .unwrap();
                }
            }
            ends.store(true, Ordering::Relaxed);
            producer.join().unwrap()
        });
        pipelines.drain();
        let report = &pipelines.reports()[0];
        assert_eq!((report.pending, report.skipped), (0, 0), "{report:?}");
        assert_eq!(report.accepted + report.backlog, report.delivered, "{report:?}");
    }
    assert_eq!(numbers(&lake), once(0..sent));
}

#[test]
fn what_cannot_be_built_leaves_what_ran_before_running() {
    let (config, folder) = configure(DURABLE);
    let lake = folder.path().join("lake");
    let pipelines = Pipelines::listen(&config).unwrap();
    pipelines.build(config.clone(), false).unwrap();
    change(&pipelines, &pipeline(&config, &lake, &[("d", "format = \"json\"\nprefix = \"a/\"")])).unwrap();
    send(&pipelines, 0);
    fs::write(folder.path().join("file"), "").unwrap();
    let blocked = pipeline(
        &config,
        &folder.path().join("file/below"),
        &[("d", "format = \"json\""), ("e", "format = \"json\"")],
    );
    let error = change(&pipelines, &blocked).unwrap_err();
    assert!(error.starts_with("delivery 'd' of stream 's'"), "{error}");
    // The same where it comes out only once the old one has stopped.
    let forced = DeliveryChange { pipeline: blocked, is_own: true, since: UnixMicros(0) };
    alone(&pipelines, move |control| control.change_deliveries(&forced)).unwrap_err();
    send(&pipelines, 1);
    pipelines.drain();
    let reports = pipelines.reports();
    assert_eq!((reports.len(), reports[0].pending), (1, 0), "{reports:?}");
    assert_eq!(numbers(&lake.join("a")), once(0..2));
}

#[test]
fn a_delivery_that_comes_later_has_what_came_later_and_one_that_has_gone_holds_nothing() {
    let (config, folder) = configure(&format!("{DURABLE}retention = \"1s\"\n"));
    let lake = folder.path().join("lake");
    let pipelines = Pipelines::listen(&config).unwrap();
    pipelines.build(config.clone(), false).unwrap();
    (0..3).for_each(|n| send(&pipelines, n));
    let settings = "format = \"json\"\ncompression = \"none\"\nprefix = \"late/\"";
    change(&pipelines, &pipeline(&config, &lake, &[("d", settings)])).unwrap();
    (3..6).for_each(|n| send(&pipelines, n));
    let stream = Arc::clone(&pipelines.site.edge.intake("s").unwrap().stream);
    let left = folder.path().join("data/ledger/s/d");
    assert!(left.exists());
    let names = vec!["d".to_owned()];
    let status = Arc::clone(&pipelines.site.statuses()[0]);
    while status.report().pending > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    alone(&pipelines, move |control| {
        control.stop_deliveries("s", &names)?;
        control.forget_deliveries("s", &names)
    })
    .unwrap();
    assert!(!left.exists() && pipelines.reports().is_empty());
    send(&pipelines, 6);
    let split =
        vec![Change::Split { shard: crate::record::ShardId(0), at: crate::stream::HashKey(1 << 127) }];
    let control = Arc::clone(pipelines.site.edge.control().unwrap());
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(control.reshard("s", split))
        .unwrap();
    let outlived = stream.outlived(UnixMicros(clock::wall().0 + 10_000_000));
    assert_eq!(outlived, [crate::record::ShardId(0)], "nobody needs its records");
    pipelines.drain();
    assert_eq!(numbers(&lake), once(3..6));
}

#[test]
fn one_that_is_added_to_a_stream_in_memory_holds_nothing_that_came_before() {
    let stream = format!("{MEMORY}retention = \"1h\"\n");
    let (config, folder) = configure(&stream);
    let pipelines = Pipelines::listen(&config).unwrap();
    pipelines.build(config.clone(), false).unwrap();
    (0..3).for_each(|n| send(&pipelines, n));
    // It has what arrives in the microsecond of its making or later.
    std::thread::sleep(Duration::from_millis(2));
    let lake = folder.path().join("lake");
    change(&pipelines, &pipeline_of(&stream, &config, &lake, &[("d", "format = \"json\"")])).unwrap();
    let stream = Arc::clone(&pipelines.site.edge.intake("s").unwrap().stream);
    assert_eq!(stream.retained().0, 3);
    stream.enforce_retention(UnixMicros(clock::wall().0 + 7_200_000_000));
    assert_eq!(stream.retained().0, 0, "nothing of the shard is read, and nothing of it kept");
    pipelines.drain();
}

#[test]
fn one_of_a_stream_in_memory_is_deleted_though_its_sink_is_away_and_nobody_waits_for_that() {
    let (config, folder) = configure(MEMORY);
    let lake = folder.path().join("lake");
    let pipelines = Pipelines::listen(&config).unwrap();
    pipelines.build(config.clone(), false).unwrap();
    change(&pipelines, &pipeline_of(MEMORY, &config, &lake, &[("d", "format = \"json\"")])).unwrap();
    let _ = fs::remove_dir_all(&lake);
    fs::write(&lake, "in the way").unwrap();
    send(&pipelines, 0);
    while pipelines.reports()[0].paused.is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let looked = || {
        let (tell, told) = std::sync::mpsc::channel();
        let control = Arc::clone(pipelines.site.edge.control().unwrap());
        control.alone_now(move |control| tell.send(control.have_stopped("s", &["d".to_owned()])).unwrap());
        told.recv().ok()
    };
    assert_eq!(looked(), Some(false), "it tries for a while, and others may change something meanwhile");
    while looked() != Some(true) {
        std::thread::sleep(Duration::from_millis(20));
    }
    alone(&pipelines, |control| control.forget_deliveries("s", &["d".to_owned()])).unwrap();
    assert!(pipelines.reports().is_empty());
    pipelines.drain();
}
