//! The node that is asked.

use std::time::Duration;

use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::cli::node_key::{self, WrongKey};
use crate::cli::node_url::{Unreachable, WrongUrl, node_url};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the node may take: a change of thousands of shards takes several steps, each with a sync of the disk.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
/// Bytes of an answer that are read: 20,000 shards, open and closed, of 2 KiB with their heaviest keys.
const ANSWER_BYTES_MAX: usize = 40 << 20;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ShardsError {
    /// The address is none.
    #[error(transparent)]
    Url(#[from] WrongUrl),
    /// The key is none.
    #[error(transparent)]
    Key(#[from] WrongKey),
    /// There is no client.
    #[error("an HTTP client cannot be made ({0})")]
    Client(reqwest::Error),
    /// Nothing has reached the node.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The request may have reached the node.
    #[error(
        "no answer from {url} ({source}): look at the shards before you try again, it may have been done"
    )]
    Broken {
        /// Where.
        url: Url,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// It says why not.
    #[error("{url} answers {status}: {detail}{}", node_key::advice(*.status))]
    Refused {
        /// Where.
        url: Url,
        /// The status.
        status: u16,
        /// Its words.
        detail: String,
    },
    /// An answer that makes no sense.
    #[error("{url} answers {status} with something that is no answer of a node: is this the right address?")]
    Foreign {
        /// Where.
        url: Url,
        /// The status.
        status: u16,
    },
}

/// A shard as the node describes it.
#[derive(Debug, Deserialize)]
pub struct ShardInfo {
    /// Its id.
    pub shard: String,
    /// The first hash key, a decimal number.
    pub starting_hash_key: String,
    /// The last one.
    pub ending_hash_key: String,
    /// What it was made of.
    pub parents: Vec<String>,
    /// Whether it takes records.
    pub open: bool,
    /// Bytes that are kept.
    pub retained_bytes: u64,
    /// Records that came in a second, of late.
    pub records_per_second: f64,
    /// The same in bytes.
    pub bytes_per_second: f64,
    /// Which keys bring most of it, the heaviest first.
    pub heaviest_keys: Vec<HeavyKeyInfo>,
}

/// A key that much comes with.
#[derive(Debug, Deserialize)]
pub struct HeavyKeyInfo {
    /// The key.
    pub partition_key: String,
    /// Its part of what comes to the shard, from 0 to 1.
    pub share: f64,
}

#[derive(Deserialize)]
struct List {
    shards: Vec<ShardInfo>,
}

#[derive(Deserialize)]
struct Refusal {
    detail: String,
}

/// What the node has answered.
#[derive(Debug)]
pub struct Answer {
    /// As it has written it.
    pub as_sent: Value,
    /// As it is understood.
    pub shards: Vec<ShardInfo>,
}

/// See the module.
#[derive(Debug)]
pub struct Node {
    client: reqwest::Client,
    url: Url,
}

impl Node {
    /// For the shards of one stream. The key is in the environment.
    ///
    /// # Errors
    /// If the address is none, or the key.
    pub fn new(base: &str, stream: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ShardsError> {
        let url = node_url(base, &["v1", "streams", stream, "shards"])?;
        let client =
            node_key::client_builder(env)?.connect_timeout(CONNECT_TIMEOUT).timeout(ANSWER_TIMEOUT).build();
        Ok(Self { client: client.map_err(ShardsError::Client)?, url })
    }

    /// The shards.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn list(&self) -> Result<Answer, ShardsError> {
        self.answer(self.client.get(self.url.clone())).await
    }

    /// Changes them, once.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn change(&self, wish: &Value) -> Result<Answer, ShardsError> {
        self.answer(self.client.post(self.url.clone()).body(wish.to_string())).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Answer, ShardsError> {
        let url = || self.url.clone();
        let response = request.send().await.map_err(|source| match source.is_connect() {
            true => Unreachable { url: url(), source }.into(),
            false => ShardsError::Broken { url: url(), source },
        })?;
        let status = response.status();
        let body = self.body(response).await?;
        let foreign = || ShardsError::Foreign { url: url(), status: status.as_u16() };
        if status != StatusCode::OK {
            let Refusal { detail } = serde_json::from_slice(&body).map_err(|_| foreign())?;
            return Err(ShardsError::Refused { url: url(), status: status.as_u16(), detail });
        }
        let List { shards } = serde_json::from_slice(&body).map_err(|_| foreign())?;
        Ok(Answer { as_sent: serde_json::from_slice(&body).map_err(|_| foreign())?, shards })
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, ShardsError> {
        let status = response.status().as_u16();
        let mut body = Vec::new();
        let broken = |source| ShardsError::Broken { url: self.url.clone(), source };
        while let Some(piece) = response.chunk().await.map_err(broken)? {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(ShardsError::Foreign { url: self.url.clone(), status });
            }
        }
        Ok(body)
    }
}
