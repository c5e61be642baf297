//! Objects in an S3-compatible store, in Google's or Azure's, or files below a folder, through `object_store`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig, WriteMultipart};
use thiserror::Error;

use crate::config::checked;
use crate::config::limits::{MULTIPART_PART_BYTES, MULTIPART_PARTS_UNDER_WAY};

/// One request to the store: a part of 8 MiB passes in this time at 130 KB/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// A store that does not take a connection in this time is asked again later.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What kind of failure it is, which tells what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkErrorClass {
    /// Time: the store is away, slow or overloaded.
    Transient,
    /// A person: credentials or permissions are wrong (401, 403).
    Denied,
    /// A person: the bucket does not exist (404).
    NotFound,
    /// A person: the store refuses the request for another reason.
    Other,
}

impl SinkErrorClass {
    /// Whether trying again soon is pointless until somebody acts.
    pub fn needs_a_person(self) -> bool {
        self != SinkErrorClass::Transient
    }
}

/// A failed call to the store.
#[derive(Debug, Error)]
#[error("{source}")]
pub struct SinkError {
    /// What helps.
    pub class: SinkErrorClass,
    /// What the store said.
    pub source: Box<object_store::Error>,
}

impl From<object_store::Error> for SinkError {
    fn from(source: object_store::Error) -> Self {
        use object_store::Error;
        let class = match &source {
            Error::NotFound { .. } => SinkErrorClass::NotFound,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => SinkErrorClass::Denied,
            Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::UnknownConfigurationKey { .. } => SinkErrorClass::Other,
            _ => SinkErrorClass::Transient,
        };
        Self { class, source: Box::new(source) }
    }
}

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
            "s3" | "s3a" => {
                let mut builder = AmazonS3Builder::new()
                    .with_url(url.as_str())
                    .with_client_options(client)
                    .with_retry(retry);
                for (key, value) in &config.options {
                    builder = builder.with_config(key.parse()?, value);
                }
                Arc::new(builder.build()?)
            }
            "gs" => {
                let mut builder = GoogleCloudStorageBuilder::new()
                    .with_url(url.as_str())
                    .with_client_options(client)
                    .with_retry(retry);
                for (key, value) in &config.options {
                    builder = builder.with_config(key.parse()?, value);
                }
                Arc::new(builder.build()?)
            }
            "az" | "azure" | "abfs" | "abfss" => {
                let mut builder = MicrosoftAzureBuilder::new()
                    .with_url(url.as_str())
                    .with_client_options(client)
                    .with_retry(retry);
                for (key, value) in &config.options {
                    builder = builder.with_config(key.parse()?, value);
                }
                Arc::new(builder.build()?)
            }
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
            let mut writer = WriteMultipart::new_with_chunk_size(upload, MULTIPART_PART_BYTES);
            for chunk in chunks {
                writer.wait_for_capacity(MULTIPART_PARTS_UNDER_WAY).await?;
                writer.put(chunk.clone());
            }
            // Takes the upload back if a part fails, so that nothing half-done stays in the store.
            writer.finish().await?
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
mod tests {
    use super::*;
    use url::Url;

    #[tokio::test]
    async fn an_object_below_a_folder_is_written_whole_and_again_without_change() {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::from_directory_path(folder.path().join("lake")).unwrap();
        let config = checked::ObjectSink { url, options: Default::default(), multipart_bytes: 1 };
        let sink = ObjectSink::open(&config).unwrap();
        let chunks = [Bytes::from_static(b"ab"), Bytes::from_static(b"c")];
        for _ in 0..2 {
            let stored = sink.put("dt=1/a%2Fb.json", &chunks).await.unwrap();
            assert_eq!(stored.bytes, 3);
            assert_eq!(std::fs::read(folder.path().join("lake/dt=1/a%2Fb.json")).unwrap(), b"abc");
        }
    }

    #[test]
    fn an_unknown_scheme_is_refused() {
        let url = Url::parse("ftp://host/x").unwrap();
        let config = checked::ObjectSink { url, options: Default::default(), multipart_bytes: 1 };
        assert_eq!(ObjectSink::open(&config).unwrap_err().class, SinkErrorClass::Other);
    }
}
