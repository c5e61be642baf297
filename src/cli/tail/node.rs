//! What the node answers when it refuses, and why tailing ends.

use std::io;

use reqwest::{Response, Url};
use serde::Deserialize;
use thiserror::Error;

use super::PATIENCE;
use crate::cli::node_url::{Unreachable, WrongUrl};

/// Bytes of a refusal that are read.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// Why tailing has ended.
#[derive(Debug, Error)]
pub enum TailError {
    /// The address is none.
    #[error(transparent)]
    Url(#[from] WrongUrl),
    /// There is no client.
    #[error("an HTTP client cannot be made ({0})")]
    Client(reqwest::Error),
    /// Nothing has reached the node.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// It says why not.
    #[error("{url} answers {status}: {}", .refusal.detail)]
    Refused {
        /// Where.
        url: Url,
        /// The status.
        status: u16,
        /// Its words.
        refusal: Box<Refusal>,
    },
    /// It does not come back.
    #[error("{url} has been away for {} s: run the command again later", PATIENCE.as_secs())]
    Away {
        /// Where it was.
        url: Url,
    },
    /// An answer that makes no sense.
    #[error("{url} sends something that is no stream of records")]
    Foreign {
        /// Where.
        url: Url,
    },
    /// It has ended before the node knew what is done.
    #[error("the node was not told which records were printed last: whoever reads on prints them again")]
    NotSaid,
    /// Nobody reads what is printed, or it cannot be written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

impl TailError {
    /// Whether the node may be starting again.
    pub fn may_pass(&self) -> bool {
        match self {
            TailError::Unreachable(_) => true,
            TailError::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// Whether there is no such thing.
    pub fn is_unknown(&self) -> bool {
        matches!(self, TailError::Refused { status: 404, .. })
    }
}

/// What a node says that refuses, as far as it is needed here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// The error's code.
    pub code: String,
    /// What is wrong.
    pub detail: String,
    /// Shards that it names.
    pub shards: Vec<String>,
}

/// Reads why a request to `url` was refused.
pub async fn refused(url: &Url, mut response: Response) -> TailError {
    let mut body = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() > REFUSAL_BYTES_MAX {
            break;
        }
    }
    let refusal = Box::new(serde_json::from_slice(&body).unwrap_or_default());
    TailError::Refused { url: url.clone(), status: response.status().as_u16(), refusal }
}
