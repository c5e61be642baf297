//! Clients of stores, from what the configuration says of one.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use super::error::{SinkError, SinkErrorClass};
use crate::config::checked;

/// One request to the store: a part of 8 MiB passes in this time at 130 KB/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// A store that does not take a connection in this time is asked again later.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bounds of requests.
pub(super) fn client_options() -> ClientOptions {
    ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_connect_timeout(CONNECT_TIMEOUT)
}

/// The caller tries again itself, because it also counts, logs and pauses.
fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

/// The builders have the same methods, but no trait in common.
macro_rules! builder {
    ($builder:ident, $config:expr) => {{
        let mut builder = $builder::new()
            .with_url($config.url.as_str())
            .with_client_options(client_options())
            .with_retry(no_retries());
        for (key, value) in &$config.options {
            builder = builder.with_config(key.parse()?, value);
        }
        Ok(builder)
    }};
}

/// A client of S3.
pub(super) fn s3(config: &checked::ObjectSink) -> Result<AmazonS3Builder, SinkError> {
    builder!(AmazonS3Builder, config)
}

/// A client of Google's store.
pub(super) fn google(config: &checked::ObjectSink) -> Result<GoogleCloudStorageBuilder, SinkError> {
    builder!(GoogleCloudStorageBuilder, config)
}

/// A client of Azure's store.
pub(super) fn azure(config: &checked::ObjectSink) -> Result<MicrosoftAzureBuilder, SinkError> {
    builder!(MicrosoftAzureBuilder, config)
}

/// The settings of a client of this S3 store, from those of any store.
pub(super) fn s3_client(config: &checked::ObjectSink) -> ClientOptions {
    config.options.iter().fold(client_options(), |client, (key, value)| match key.parse() {
        Ok(AmazonS3ConfigKey::Client(key)) => client.with_config(key, value),
        _ => client,
    })
}

/// The store of a configuration for those who need its conditions and lists more than its speed, and the folder in it. A
/// folder of the file system is made; what is written there is synced. Connects to nothing yet.
///
/// # Errors
/// If the configuration is of no store, or the folder cannot be made.
pub fn open_store(config: &checked::ObjectSink) -> Result<(Arc<dyn ObjectStore>, Path), SinkError> {
    let url = &config.url;
    let store: Arc<dyn ObjectStore> = match url.scheme() {
        "file" => {
            let root = url.to_file_path().map_err(|()| invalid(url, "not a path of a local file"))?;
            let made = std::fs::create_dir_all(&root);
            made.map_err(|error| SinkError::new(SinkErrorClass::Other, error))?;
            return Ok((Arc::new(LocalFileSystem::new_with_prefix(root)?.with_fsync(true)), Path::default()));
        }
        // Not every store can remove many at a time.
        "s3" | "s3a" => Arc::new(s3(config)?.with_disable_bulk_delete(true).build()?),
        "gs" => Arc::new(google(config)?.build()?),
        "az" | "azure" | "abfs" | "abfss" => Arc::new(azure(config)?.build()?),
        _ => return Err(invalid(url, "no store is known for this scheme")),
    };
    Ok((store, Path::from_url_path(url.path()).map_err(object_store::Error::from)?))
}

/// An error of the configuration.
pub(super) fn invalid(url: &Url, why: &str) -> SinkError {
    SinkError::new(SinkErrorClass::Other, format!("{url}: {why}"))
}
