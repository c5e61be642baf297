//! Objects in an S3-compatible store, in Google's or Azure's, or files below a folder, through `object_store`.
//!
//! A large object goes up in parts, and a failed upload is taken back. A process that is killed, or stopped in the
//! middle of an upload, cannot do that: its parts stay in the bucket, unseen and paid for. A lifecycle rule of the
//! bucket that removes incomplete multipart uploads after some days is advisable.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig};

use super::error::{SinkError, SinkErrorClass};
use super::multipart;
use crate::config::checked;
use crate::config::limits::MULTIPART_PART_BYTES;

/// One request to the store: a part of 8 MiB passes in this time at 130 KB/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// A store that does not take a connection in this time is asked again later.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A confirmed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its ETag, if the store gives one.
    pub etag: Option<String>,
}

/// A folder of an object store.
#[derive(Debug, Clone)]
pub struct ObjectSink {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    multipart_bytes: u64,
}

impl ObjectSink {
    /// Connects to nothing yet: a store that is away must not keep the process from starting.
    pub fn open(config: &checked::ObjectSink) -> Result<Self, SinkError> {
        let url = &config.url;
        let client = ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_connect_timeout(CONNECT_TIMEOUT);
        // `upload` tries again itself, because it also counts, logs and pauses.
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        // The builders have the same methods, but no trait in common.
        macro_rules! remote {
            ($builder:ident) => {{
                let mut builder =
                    $builder::new().with_url(url.as_str()).with_client_options(client).with_retry(retry);
                for (key, value) in &config.options {
                    builder = builder.with_config(key.parse()?, value);
                }
                Arc::new(builder.build()?)
            }};
        }
        let store: Arc<dyn ObjectStore> = match url.scheme() {
            "file" => {
                let path =
                    url.to_file_path().map_err(|()| invalid(url.as_str(), "not a path of a local file"))?;
                std::fs::create_dir_all(&path).map_err(|error| invalid(url.as_str(), &error.to_string()))?;
                let store = LocalFileSystem::new_with_prefix(path)?;
                return Ok(Self {
                    store: Arc::new(store),
                    folder: Path::default(),
                    multipart_bytes: u64::MAX,
                });
            }
            "s3" | "s3a" => remote!(AmazonS3Builder),
            "gs" => remote!(GoogleCloudStorageBuilder),
            "az" | "azure" | "abfs" | "abfss" => remote!(MicrosoftAzureBuilder),
            _ => return Err(invalid(url.as_str(), "no store is known for this scheme")),
        };
        let folder = Path::from_url_path(url.path()).map_err(object_store::Error::from)?;
        Ok(Self { store, folder, multipart_bytes: config.multipart_bytes })
    }

    /// Stores `chunks`, one behind the other, as the object `key` below the folder. Doing it again with the same
    /// content changes nothing. `key` may hold `%` escapes and is used as it is.
    pub async fn put(&self, key: &str, chunks: &[Bytes]) -> Result<Stored, SinkError> {
        let path = self.path(key)?;
        let bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let result = if bytes > self.multipart_bytes {
            let upload = self.store.put_multipart(&path).await?;
            multipart::send(upload, multipart::cut(chunks, MULTIPART_PART_BYTES)).await?
        } else {
            self.store.put(&path, chunks.iter().cloned().collect::<PutPayload>()).await?
        };
        Ok(Stored { bytes, etag: result.e_tag })
    }

    fn path(&self, key: &str) -> Result<Path, SinkError> {
        let text =
            if self.folder.as_ref().is_empty() { key.to_owned() } else { format!("{}/{key}", self.folder) };
        Ok(Path::parse(text).map_err(object_store::Error::from)?)
    }
}

fn invalid(url: &str, why: &str) -> SinkError {
    let source = object_store::Error::Generic { store: "sink", source: format!("{url}: {why}").into() };
    SinkError { class: SinkErrorClass::Other, source: Box::new(source) }
}

#[cfg(test)]
mod tests;
