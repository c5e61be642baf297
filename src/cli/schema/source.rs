//! The last records of a stream: from the log of a stopped node, or from a running one through its tap.

use std::sync::Arc;

use reqwest::{Client, ClientBuilder};
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;
use url::Url;

use crate::cli::node_key;
use crate::config::checked::{Config, Pipeline};
use crate::config::limits::{PLAN_PAGE_BYTES_MAX, TAP_RECORDS_MAX};
use crate::delivery::classify::Record;
use crate::delivery::files::Position;
use crate::delivery::verify::{Held, RecordSource as _, StoredLog};
use crate::node::{Catalog, NodeError, NodeFolder};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock::UnixMicros;
use crate::runtime::disk::{Disk, RealDisk};
use crate::runtime::progress::Progress;
use crate::runtime::scratch_disk::ScratchDisk;
use crate::schema::validation::SchemaError;
use crate::stream::wal::journals::{Content, Setting};
use crate::stream::{Captures, ReadError};

/// Why there are no records to look at.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The node's folder cannot be used.
    #[error("{source}; to ask a running node instead: --url {url}")]
    Node {
        /// What is wrong with it.
        source: NodeError,
        /// Where the node's edge would be.
        url: String,
    },
    /// The stream has no log on a disk.
    #[error("stream '{stream}' is not durable: ask the running node with --url {url}")]
    NotDurable {
        /// The stream.
        stream: String,
        /// Where the node's edge would be.
        url: String,
    },
    /// The log is damaged, or of another version.
    #[error("the log cannot be read: {0}")]
    Log(String),
    /// Some of its records cannot be read.
    #[error("the log cannot be read: {0}")]
    Read(#[from] ReadError),
    /// Never, since no field is captured.
    #[error(transparent)]
    Captures(#[from] SchemaError),
    /// The node cannot be asked.
    #[error("{url}: {source}")]
    Request {
        /// What was asked for.
        url: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// It has not answered as asked.
    #[error("{url}: {status}{detail}")]
    Refused {
        /// What was asked for.
        url: String,
        /// The status.
        status: reqwest::StatusCode,
        /// What it said.
        detail: String,
    },
    /// Its answer is none.
    #[error("{url} has not answered as a tap of this version does: {source}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Its answer does not end.
    #[error("{url} has answered with more than {PLAN_PAGE_BYTES_MAX} bytes")]
    TooLong {
        /// What was asked for.
        url: String,
    },
    /// No address.
    #[error("{0}: write the address of the node's edge, such as http://127.0.0.1:8080")]
    Address(#[from] url::ParseError),
    /// No runtime.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Who looks at the records.
type Look<'a> = &'a mut dyn FnMut(ShardId, SequenceNumber, &str);

/// The first number of a shard that is among the last `last` of all shards, each with an even part.
fn begin(first: SequenceNumber, next: SequenceNumber, last: u64, shards: usize) -> SequenceNumber {
    let own = last.div_ceil(shards.max(1) as u64);
    SequenceNumber(next.0.saturating_sub(own)).max(first)
}

/// Shows the last records of the log in the node's folder. The server must be stopped; nothing is changed.
///
/// # Errors
/// If there is no log, or it cannot be read.
pub fn of_log(config: &Config, pipeline: &Pipeline, last: u64, look: Look<'_>) -> Result<(), SourceError> {
    let name = &pipeline.stream.name;
    let url = || config.node.server.url().unwrap_or_else(|| "URL".to_owned());
    let node = |source| SourceError::Node { source, url: url() };
    if !pipeline.stream.durability.is_durable() {
        return Err(SourceError::NotDurable { stream: name.clone(), url: url() });
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    // Held to the end: nobody writes meanwhile.
    let folder = NodeFolder::open_existing_for_reading(disk, &config.node.data_dir).map_err(node)?;
    let catalog = Catalog::open(&folder).map_err(node)?;
    let Some(stream) = catalog.stream(name) else { return Ok(()) };
    let setting = Setting {
        disk: Arc::new(ScratchDisk::over(Arc::clone(folder.disk()))),
        folder: folder.log(),
        node: folder.id().as_u64().to_be_bytes(),
        segment_bytes: config.node.log.segment_bytes,
        writer: config.node.log.writer,
        accept_damage: false,
        replies_since: UnixMicros(i64::MAX),
    };
    let content =
        Content::read(&setting, &Progress::default()).map_err(|error| SourceError::Log(error.to_string()))?;
    let log = StoredLog::new(stream, &content);
    let captures = Captures::default().plan()?;
    let shards = log.shards();
    for &Held { shard, first, next } in &shards {
        let mut from = begin(first, next, last, shards.len());
        while from < next {
            let read = log.read(shard, from, &captures)?;
            for slice in &read.slices {
                for offset in 0..slice.len() {
                    let number = SequenceNumber(slice.first.0 + offset as u64);
                    let position = Position { shard, number, arrival: slice.batch.source.arrival };
                    let record = Record { batch: &slice.batch, index: slice.skip + offset, position };
                    if let Some(text) = record.valid_text() {
                        look(shard, number, text);
                    }
                }
            }
            if read.next <= from {
                break;
            }
            from = read.next;
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Shards {
    shards: Vec<ShardView>,
}

#[derive(Deserialize)]
struct ShardView {
    shard: String,
    first: String,
    next: String,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    records: Vec<PageRecord<'a>>,
    next: String,
}

#[derive(Deserialize)]
struct PageRecord<'a> {
    sequence_number: String,
    /// Not there where the record is no JSON.
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// Shows the last records of a running node through its tap.
///
/// # Errors
/// If it cannot be asked.
pub fn of_node(
    (base, client): (&str, ClientBuilder),
    stream: &str,
    last: u64,
    look: Look<'_>,
) -> Result<(), SourceError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // The client is built without a TLS provider of its own; a second call finds one installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut base = Url::parse(base)?;
    base.set_path(&format!("{}/v1/streams/{stream}/", base.path().trim_end_matches('/')));
    let failed = |source| SourceError::Request { url: base.to_string(), source };
    let client = client.build().map_err(failed)?;
    runtime.block_on(of_tap((&base, &client), last, look))
}

async fn of_tap((base, client): (&Url, &Client), last: u64, look: Look<'_>) -> Result<(), SourceError> {
    let url = base.join("shards")?;
    let body = get(client, &url).await?;
    let answer = |source| SourceError::Answer { url: url.to_string(), source };
    let Shards { shards } = serde_json::from_slice(&body).map_err(answer)?;
    let number = |text: &str| SequenceNumber(text.parse().unwrap_or_default());
    for view in &shards {
        let Some(shard) = ShardId::parse(&view.shard) else { continue };
        let (first, next) = (number(&view.first), number(&view.next));
        let from = begin(first, next, last, shards.len());
        if from >= next {
            continue;
        }
        let mut position = format!("from={from}");
        loop {
            let url =
                base.join(&format!("records?shard={}&limit={TAP_RECORDS_MAX}&{position}", view.shard))?;
            let body = get(client, &url).await?;
            let answer = |source| SourceError::Answer { url: url.to_string(), source };
            let page: Page<'_> = serde_json::from_slice(&body).map_err(answer)?;
            let mut is_over = page.records.is_empty();
            for record in &page.records {
                let at = number(&record.sequence_number);
                // What has come since is no part of it, or a busy stream would have no end.
                is_over |= at.0 + 1 >= next.0;
                if let Some(data) = record.data.filter(|_| at < next) {
                    look(shard, at, data.get());
                }
            }
            if is_over {
                break;
            }
            position = format!("after={}", page.next);
        }
    }
    Ok(())
}

async fn get(client: &Client, url: &Url) -> Result<Vec<u8>, SourceError> {
    let failed = |source| SourceError::Request { url: url.to_string(), source };
    let mut response = client.get(url.clone()).send().await.map_err(failed)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if (body.len() + chunk.len()) as u64 > PLAN_PAGE_BYTES_MAX {
            return Err(SourceError::TooLong { url: url.to_string() });
        }
        body.extend_from_slice(&chunk);
    }
    if status.is_success() {
        return Ok(body);
    }
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let detail = problem.get("detail").and_then(serde_json::Value::as_str);
    let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
    let detail = detail + node_key::advice(status.as_u16());
    Err(SourceError::Refused { url: url.to_string(), status, detail })
}
