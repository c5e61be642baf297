//! `--cursor NAME`: one of the workers that share a named cursor of the node.
//!
//! ```text
//! event ─▶ printed ─▶ flushed ─▶ said to be done, some times a second ─▶ the cursor's checkpoint
//! ```
//!
//! What is said to be done was written to the output before. A command that is killed has its last records printed
//! again, by whoever gets its shards; one that is stopped says all of it, and gives the shards back at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::{Value, json};

use super::node::{TailError, refused};
use super::{CONNECT_TIMEOUT, TailArgs};
use crate::cli::node_url::{Unreachable, WrongUrl, node_url};
use crate::record::{SequenceNumber, ShardId};
use crate::runtime::clock;
use crate::tap::cursor::Cursor;

/// Time between records that are printed and the word that they are done: that takes a sync of the node's disk.
const COMMIT_PAUSE: Duration = Duration::from_millis(200);

/// The name of the machine, on Linux.
const HOST_FILE: &str = "/proc/sys/kernel/hostname";

/// Where to read on in each shard.
type Positions = BTreeMap<ShardId, SequenceNumber>;

/// See the module.
pub struct Share {
    client: Client,
    /// Of the cursor.
    url: Url,
    from: String,
    worker: String,
    /// Behind what has come.
    at: Positions,
    /// The same, of what the node has not been told to be done.
    unsaid: Positions,
    /// The same, of what is not in the output yet.
    unflushed: Positions,
    /// When to tell it.
    due: Option<Instant>,
}

impl Share {
    /// What the arguments ask for, if it is a named cursor.
    ///
    /// # Errors
    /// If `--url` is no address.
    pub fn new(args: &TailArgs, client: &Client) -> Result<Option<Self>, WrongUrl> {
        let Some(cursor) = &args.cursor else { return Ok(None) };
        let url = node_url(&args.url, &["v1", "streams", &args.stream, "cursors", cursor])?;
        let (client, from) = (client.clone(), args.from.clone());
        let worker = args.worker.clone().unwrap_or_else(own_name);
        let [at, unsaid, unflushed] = [const { Positions::new() }; 3];
        Ok(Some(Self { client, url, from, worker, at, unsaid, unflushed, due: None }))
    }

    /// The worker's name.
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// Makes the cursor, unless it is there.
    ///
    /// # Errors
    /// If the node cannot be reached or refuses.
    pub async fn begin(&self) -> Result<(), TailError> {
        self.put(&json!({ "from": self.from })).await
    }

    /// From where to read on after a break.
    pub fn at(&self) -> String {
        cursor(&self.at).to_string()
    }

    /// A record has been printed.
    pub fn take_record(&mut self, shard: &str, number: u64) {
        if let Some(shard) = ShardId::parse(shard) {
            let next = SequenceNumber(number.saturating_add(1));
            self.at.insert(shard, next);
            self.unflushed.insert(shard, next);
        }
    }

    /// The node tells where it is.
    pub fn take_id(&mut self, id: &str) {
        let Some(told) = Cursor::parse_any(id) else { return };
        // It is about the shards that this worker has; what it had before has to be said all the same.
        self.at = told.positions.iter().copied().collect();
        self.unflushed.extend(told.positions);
    }

    /// All that was printed is in the output.
    pub fn flushed(&mut self) {
        self.unsaid.append(&mut self.unflushed);
        if !self.unsaid.is_empty() {
            self.due.get_or_insert_with(|| clock::monotonic() + COMMIT_PAUSE);
        }
    }

    /// Waits until something is to be said to be done.
    pub async fn due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due.into()).await,
            None => std::future::pending().await,
        }
    }

    /// Says what is done. Returns what is to be told, if shards were lost. What cannot be said now is due again later.
    ///
    /// # Errors
    /// If the node refuses for good, as when the cursor is gone.
    pub async fn commit(&mut self) -> Result<Option<String>, TailError> {
        self.due = None;
        if self.unsaid.is_empty() {
            return Ok(None);
        }
        let said =
            self.put(&json!({ "worker": self.worker, "next": cursor(&self.unsaid).to_string() })).await;
        match said {
            Ok(()) => {
                self.unsaid.clear();
                Ok(None)
            }
            Err(TailError::Refused { refusal, .. }) if refusal.code == "lease_lost" => {
                self.unsaid.clear();
                let shards = refusal.shards.join(", ");
                Ok(Some(format!(
                    "{shards}: lost to another worker, which prints the last records of it again"
                )))
            }
            Err(error) if error.may_pass() => {
                self.due = Some(clock::monotonic() + COMMIT_PAUSE);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Says what is done, and gives the shards back. Returns what is to be told.
    ///
    /// # Errors
    /// If what was printed last could not be said to be done.
    pub async fn leave(&mut self) -> Result<Option<String>, TailError> {
        let told = self.commit().await?;
        if !self.unsaid.is_empty() {
            return Err(TailError::NotSaid);
        }
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("worker", &self.worker);
        // If that fails they are free when the lease is over.
        let left = self.send(self.client.request(Method::DELETE, url)).await;
        Ok(left.err().filter(|error| !error.is_unknown()).map(|error| error.to_string()).or(told))
    }

    async fn put(&self, body: &Value) -> Result<(), TailError> {
        self.send(self.client.put(self.url.clone()).body(body.to_string())).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<(), TailError> {
        let unreachable = |source| TailError::from(Unreachable { url: self.url.clone(), source });
        let response = request.timeout(CONNECT_TIMEOUT).send().await.map_err(unreachable)?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(refused(&self.url, response).await)
    }
}

fn cursor(positions: &Positions) -> Cursor {
    Cursor { positions: positions.iter().map(|(shard, position)| (*shard, *position)).collect() }
}

/// A name that no other process has at the same time.
fn own_name() -> String {
    let host = std::fs::read_to_string(HOST_FILE).unwrap_or_default();
    let host: String = host.chars().filter(char::is_ascii_graphic).take(64).collect();
    format!("{host}-{}", std::process::id())
}
