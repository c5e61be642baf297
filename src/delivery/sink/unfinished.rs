//! Uploads in parts that were begun and neither completed nor taken back, as the store knows them.
//!
//! A process can be killed after the store has made an upload and before its id is noted, or the store's reply can be
//! lost. Then nobody but the store knows the id, and an upload stays there, unseen. So the store is asked for the
//! unfinished uploads of a key before another one is begun under it, and they are taken back: a key has in it which
//! node made the file, and from which records, so that whatever was begun under exactly this key is ours, and of no
//! use any more.
//!
//! `object_store` cannot ask that, so the request is made here: S3's `ListMultipartUploads`, signed and sent as that
//! crate does it. Source of the request and its answer: Amazon S3 API Reference.

use std::error::Error as StdError;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpError, HttpRequest, HttpRequestBody};
use object_store::path::Path;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use thiserror::Error;

use super::error::{NOT_IMPLEMENTED, RESPONSE, SinkError, SinkErrorClass};
use super::multipart::{self, NumberedStore};
use crate::config::limits::{UPLOADS_LOOKS_MAX, UPLOADS_PAGE_BYTES, UPLOADS_PAGES_MAX};

/// What stands for itself in a query. Source: "Signature Version 4", Amazon S3 API Reference.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Characters of an answer that is an error that are repeated to the reader.
const WORDS_MAX: usize = 1_000;

/// How a bucket is reached.
#[derive(Debug)]
pub struct Bucket {
    /// Its URL, as requests that concern all of it have it.
    url: String,
    region: String,
    client: HttpClient,
    credentials: AwsCredentialProvider,
}

/// The unfinished uploads of a bucket.
#[derive(Debug)]
pub struct Unfinished {
    bucket: Bucket,
    /// The store has said that it does not list them.
    is_unlisted: AtomicBool,
    /// Somebody was told that they cannot be listed, and since then they could not.
    has_warned: AtomicBool,
    /// Looks in a row that have failed as they do when a store is away.
    failures: AtomicU32,
}

/// Why they could not be taken back.
#[derive(Debug, Error)]
enum LookError {
    #[error(transparent)]
    Store(#[from] object_store::Error),
    #[error("cannot make the request: {0}")]
    Request(#[from] http::Error),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("cannot read the store's list of uploads in parts: {0}")]
    Body(#[source] Box<dyn StdError + Send + Sync>),
    #[error("{begin}{status}: {words}", begin = RESPONSE)]
    Refused { status: StatusCode, words: String },
    #[error("the store's list of uploads in parts is not of S3's form: {0}")]
    Form(#[from] quick_xml::DeError),
}

impl LookError {
    fn class(&self) -> SinkErrorClass {
        match self {
            LookError::Store(error) => SinkErrorClass::of(error),
            LookError::Request(_) | LookError::Form(_) => SinkErrorClass::Other,
            LookError::Http(_) | LookError::Body(_) => SinkErrorClass::Transient,
            LookError::Refused { .. } => {
                SinkErrorClass::of_response(&self.to_string()).unwrap_or(SinkErrorClass::Transient)
            }
        }
    }

    /// Whether the store does not know the request.
    fn is_unknown(&self) -> bool {
        let LookError::Refused { status, words } = self else { return false };
        matches!(*status, StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED)
            || words.contains(NOT_IMPLEMENTED)
    }
}

/// The answer, by the name of its root.
#[derive(Debug, Deserialize)]
enum Answer {
    ListMultipartUploadsResult(Page),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_upload_id_marker: Option<String>,
    #[serde(default, rename = "Upload")]
    uploads: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    key: String,
    upload_id: String,
}

/// Where the next page begins: behind this key and this upload.
#[derive(Debug)]
struct Marker {
    key: String,
    upload: String,
}

impl Page {
    fn read(body: &[u8]) -> Result<Self, quick_xml::DeError> {
        let Answer::ListMultipartUploadsResult(page) = quick_xml::de::from_reader(body)?;
        Ok(page)
    }

    fn next(&mut self) -> Option<Marker> {
        let key = self.next_key_marker.take().filter(|key| self.is_truncated && !key.is_empty())?;
        Some(Marker { key, upload: self.next_upload_id_marker.take().unwrap_or_default() })
    }
}

impl Bucket {
    /// Bucket `name`, reached as `builder` was told to. `client` has the settings of the client of its store, and
    /// `credentials` are those of its store.
    pub fn of(
        name: &str,
        builder: &AmazonS3Builder,
        client: HttpClient,
        credentials: AwsCredentialProvider,
    ) -> Self {
        let value = |key| builder.get_config_value(&key);
        let region = value(AmazonS3ConfigKey::Region).unwrap_or_else(|| "us-east-1".to_owned());
        let is_host = value(AmazonS3ConfigKey::VirtualHostedStyleRequest).is_some_and(|set| set == "true");
        // As the store itself puts it together.
        let endpoint = value(AmazonS3ConfigKey::S3Endpoint).or_else(|| value(AmazonS3ConfigKey::Endpoint));
        let url = match (endpoint, is_host) {
            (Some(endpoint), true) => endpoint,
            (Some(endpoint), false) => format!("{}/{name}", endpoint.trim_end_matches('/')),
            (None, true) => format!("https://{name}.s3.{region}.amazonaws.com"),
            (None, false) => format!("https://s3.{region}.amazonaws.com/{name}"),
        };
        Self { url, region, client, credentials }
    }

    /// One page of the unfinished uploads of keys that begin with `prefix`.
    async fn page(&self, prefix: &str, after: Option<&Marker>) -> Result<Page, LookError> {
        let mut url = format!("{}?", self.url);
        let markers = after.into_iter().flat_map(|marker| {
            [("key-marker", marker.key.as_str()), ("upload-id-marker", marker.upload.as_str())]
        });
        for (name, value) in markers.chain([("prefix", prefix)]) {
            let _ = write!(url, "{name}={}&", utf8_percent_encode(value, IN_QUERY));
        }
        url.push_str("uploads=");
        let mut request: HttpRequest = http::Request::get(url).body(HttpRequestBody::empty())?;
        let credential = self.credentials.get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(&mut request, None)?;
        let (head, body) = self.client.execute(request).await?.into_parts();
        let body =
            Limited::new(body, UPLOADS_PAGE_BYTES).collect().await.map_err(LookError::Body)?.to_bytes();
        if !head.status.is_success() {
            let words = String::from_utf8_lossy(&body).chars().take(WORDS_MAX).collect();
            return Err(LookError::Refused { status: head.status, words });
        }
        Ok(Page::read(&body)?)
    }

    /// The ids of the unfinished uploads of exactly this key.
    async fn uploads_of(&self, key: &str) -> Result<Vec<String>, LookError> {
        let mut ids = Vec::new();
        let mut after = None;
        for _ in 0..UPLOADS_PAGES_MAX {
            let mut page = self.page(key, after.as_ref()).await?;
            after = page.next();
            ids.extend(
                page.uploads.into_iter().filter(|upload| upload.key == key).map(|upload| upload.upload_id),
            );
            if after.is_none() {
                break;
            }
        }
        Ok(ids)
    }
}

impl Unfinished {
    /// Those of `bucket`.
    pub fn of(bucket: Bucket) -> Self {
        Self {
            bucket,
            is_unlisted: AtomicBool::new(false),
            has_warned: AtomicBool::new(false),
            failures: AtomicU32::new(0),
        }
    }

    /// Takes back all that were begun under exactly this key, none of which may be of use any more. `store` is the
    /// store that the bucket is in.
    ///
    /// What stays costs money and does no harm, so that neither a missing permission nor a store that cannot list
    /// keeps a file from being stored: that is said once and is no error.
    ///
    /// # Errors
    /// If the store is away, slow or overloaded; not if this alone is so time after time.
    pub async fn take_back(&self, store: &dyn NumberedStore, path: &Path) -> Result<(), SinkError> {
        if self.is_unlisted.load(Ordering::Relaxed) {
            return Ok(());
        }
        let error = match self.try_take_back(store, path).await {
            Ok(()) => {
                self.failures.store(0, Ordering::Relaxed);
                self.has_warned.store(false, Ordering::Relaxed);
                return Ok(());
            }
            Err(error) => error,
        };
        if error.is_unknown() {
            self.is_unlisted.store(true, Ordering::Relaxed);
            tracing::info!(
                %error,
                "the store does not list unfinished uploads in parts: one that a killed process leaves may stay there"
            );
            return Ok(());
        }
        let class = error.class();
        if !class.needs_a_person() && self.failures.fetch_add(1, Ordering::Relaxed) < UPLOADS_LOOKS_MAX {
            return Err(SinkError::new(class, error));
        }
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                key = %path, %error,
                "cannot take back unfinished uploads in parts, which needs the permissions \
                 s3:ListBucketMultipartUploads and s3:AbortMultipartUpload; files are stored all the same, and what a \
                 killed process leaves is left to the lifecycle rules of the bucket"
            );
        }
        Ok(())
    }

    async fn try_take_back(&self, store: &dyn NumberedStore, path: &Path) -> Result<(), LookError> {
        for id in self.bucket.uploads_of(path.as_ref()).await? {
            multipart::forget(store, path, &id).await?;
            tracing::debug!(key = %path, upload = id, "took back an unfinished upload in parts");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
