//! A bucket in memory, and what S3's requests do to it.
//!
//! Source of the requests and answers: Amazon S3 API Reference.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use md5::{Digest, Md5};
use percent_encoding::percent_decode_str;

use super::rule::Operation;

/// Bytes of all objects and parts together.
const BUCKET_BYTES_MAX: usize = 1 << 30;
/// When everything was stored.
pub(super) const LAST_MODIFIED: (&str, &str) = ("Wed, 01 Jan 2025 00:00:00 GMT", "2025-01-01T00:00:00.000Z");
const METADATA: &str = "x-amz-meta-";

/// How the store takes `If-None-Match: *`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conditions {
    /// It keeps to it.
    #[default]
    Kept,
    /// It writes as if it had not been asked.
    Ignored,
    /// It answers 501.
    Refused,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Its content.
    pub bytes: Bytes,
    /// With the quotes.
    pub etag: String,
    /// User metadata, without `x-amz-meta-` in front of the names.
    pub metadata: BTreeMap<String, String>,
    /// How often it was stored: 1, unless something was written over it.
    pub writes: u64,
}

#[derive(Debug, Default)]
struct Upload {
    key: String,
    metadata: BTreeMap<String, String>,
    parts: BTreeMap<u32, Bytes>,
}

#[derive(Debug, Default)]
pub(super) struct Bucket {
    objects: BTreeMap<String, StoredObject>,
    uploads: BTreeMap<String, Upload>,
    uploads_begun: u64,
    conditions: Conditions,
    /// Uploads that one answer lists; 0 for as many as S3 does.
    pub(super) uploads_page: usize,
}

/// A request, read to its end.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) key: String,
    query: BTreeMap<String, String>,
    headers: HeaderMap,
    body: Bytes,
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: Vec<(&'static str, String)>,
    metadata: BTreeMap<String, String>,
    body: Bytes,
}

impl Answer {
    pub(super) fn of(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, headers: Vec::new(), metadata: BTreeMap::new(), body: body.into() }
    }

    /// An answer of S3 that is an error.
    pub(super) fn error(status: StatusCode, code: &str) -> Self {
        Self::of(status, format!("<Error><Code>{code}</Code><Message>as told</Message></Error>"))
    }

    /// As it goes out.
    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let metadata = self.metadata.into_iter().map(|(name, value)| (format!("{METADATA}{name}"), value));
        for (name, value) in
            self.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(metadata)
        {
            // What came in as a header can go out as one.
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Call {
    /// Reads a request for anything in `bucket`. The error is the answer to one that is not known here.
    pub(super) fn of(head: &http::request::Parts, bucket: &str, body: Bytes) -> Result<Self, Box<Answer>> {
        let path = percent_decode_str(head.uri.path()).decode_utf8_lossy().into_owned();
        let (found, key) = path.strip_prefix('/').unwrap_or_default().split_once('/').unwrap_or_default();
        let found = if found.is_empty() { path.trim_matches('/') } else { found };
        let query = url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
        let query: BTreeMap<String, String> = query.into_owned().collect();
        if found != bucket {
            return Err(Box::new(Answer::error(StatusCode::NOT_FOUND, "NoSuchBucket")));
        }
        let has = |name| query.contains_key(name);
        let operation = match head.method {
            Method::PUT if has("partNumber") && has("uploadId") => Operation::PutPart,
            Method::PUT if !key.is_empty() => Operation::Put,
            Method::POST if has("uploads") => Operation::CreateMultipart,
            Method::POST if has("uploadId") => Operation::CompleteMultipart,
            Method::DELETE if has("uploadId") => Operation::AbortMultipart,
            Method::DELETE if !key.is_empty() => Operation::Delete,
            Method::HEAD if !key.is_empty() => Operation::Head,
            Method::GET if key.is_empty() && has("list-type") => Operation::List,
            Method::GET if key.is_empty() && has("uploads") => Operation::ListMultipart,
            Method::GET if !key.is_empty() => Operation::Get,
            _ => return Err(Box::new(Answer::error(StatusCode::NOT_IMPLEMENTED, "NotImplemented"))),
        };
        Ok(Self { operation, key: key.to_owned(), query, headers: head.headers.clone(), body })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn argument(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        let names = self.headers.keys().filter_map(|name| name.as_str().strip_prefix(METADATA));
        names
            .filter_map(|name| Some((name.to_owned(), self.header(&format!("{METADATA}{name}"))?.to_owned())))
            .collect()
    }
}

impl Bucket {
    /// An empty one.
    pub(super) fn new(conditions: Conditions) -> Self {
        Self { conditions, ..Self::default() }
    }

    pub(super) fn objects(&self) -> &BTreeMap<String, StoredObject> {
        &self.objects
    }

    /// Ids and keys of the uploads in parts that were neither completed nor taken back.
    pub(super) fn uploads(&self) -> Vec<(String, String)> {
        self.uploads.iter().map(|(id, upload)| (id.clone(), upload.key.clone())).collect()
    }

    /// Throws away every upload in parts.
    pub(super) fn forget_uploads(&mut self) {
        self.uploads.clear();
    }

    /// Stores an object, in the place of one that is there.
    pub(super) fn insert(
        &mut self,
        key: &str,
        bytes: Bytes,
        etag: String,
        metadata: BTreeMap<String, String>,
    ) {
        let writes = self.objects.get(key).map_or(0, |object| object.writes) + 1;
        self.objects.insert(key.to_owned(), StoredObject { bytes, etag, metadata, writes });
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.objects.remove(key);
    }

    /// Does what is asked.
    pub(super) fn execute(&mut self, call: &Call) -> Answer {
        if self.bytes() + call.body.len() > BUCKET_BYTES_MAX {
            return Answer::error(StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage");
        }
        match call.operation {
            Operation::Put => self.put(call),
            Operation::Head | Operation::Get => self.get(call),
            Operation::Delete => {
                self.remove(&call.key);
                Answer::of(StatusCode::NO_CONTENT, "")
            }
            Operation::CreateMultipart => self.create_multipart(call),
            Operation::PutPart => self.put_part(call),
            Operation::CompleteMultipart => self.complete_multipart(call),
            Operation::AbortMultipart => self.abort_multipart(call),
            Operation::List => self.list(call),
            Operation::ListMultipart => self.list_uploads(call),
        }
    }

    fn bytes(&self) -> usize {
        let parts = self.uploads.values().flat_map(|upload| upload.parts.values());
        self.objects.values().map(|object| &object.bytes).chain(parts).map(Bytes::len).sum()
    }

    /// The answer to a write whose condition does not hold.
    fn refusal(&self, call: &Call) -> Option<Answer> {
        call.header("if-none-match")?;
        match self.conditions {
            Conditions::Kept if self.objects.contains_key(&call.key) => {
                Some(Answer::error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"))
            }
            Conditions::Refused => Some(Answer::error(StatusCode::NOT_IMPLEMENTED, "NotImplemented")),
            Conditions::Kept | Conditions::Ignored => None,
        }
    }

    fn put(&mut self, call: &Call) -> Answer {
        if let Some(refusal) = self.refusal(call) {
            return refusal;
        }
        let etag = etag_of(&call.body);
        self.insert(&call.key, call.body.clone(), etag.clone(), call.metadata());
        Answer::of(StatusCode::OK, "").with("etag", etag)
    }

    fn get(&self, call: &Call) -> Answer {
        let Some(object) = self.objects.get(&call.key) else {
            return Answer::error(StatusCode::NOT_FOUND, "NoSuchKey");
        };
        if call.header("if-match").is_some_and(|etag| etag != object.etag) {
            return Answer::error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        let mut answer = match call.header("range").map(|range| range_of(range, object.bytes.len())) {
            None => Answer::of(StatusCode::OK, object.bytes.clone()),
            Some(Some(range)) => {
                let told = format!("bytes {}-{}/{}", range.start, range.end - 1, object.bytes.len());
                Answer::of(StatusCode::PARTIAL_CONTENT, object.bytes.slice(range)).with("content-range", told)
            }
            Some(None) => return Answer::error(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"),
        };
        answer.metadata = object.metadata.clone();
        answer.with("etag", &object.etag).with("last-modified", LAST_MODIFIED.0)
    }

    /// Begins an upload in parts, and returns its id.
    pub(super) fn begin(&mut self, key: &str, metadata: BTreeMap<String, String>) -> String {
        self.uploads_begun += 1;
        let id = format!("upload-{}", self.uploads_begun);
        let upload = Upload { key: key.to_owned(), metadata, parts: BTreeMap::new() };
        self.uploads.insert(id.clone(), upload);
        id
    }

    fn create_multipart(&mut self, call: &Call) -> Answer {
        let id = self.begin(&call.key, call.metadata());
        let body = format!(
            "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        );
        Answer::of(StatusCode::OK, body)
    }

    fn put_part(&mut self, call: &Call) -> Answer {
        let upload = self.uploads.get_mut(call.argument("uploadId")).filter(|upload| upload.key == call.key);
        let (Some(upload), Ok(number)) = (upload, call.argument("partNumber").parse()) else {
            return no_such_upload();
        };
        upload.parts.insert(number, call.body.clone());
        Answer::of(StatusCode::OK, "").with("etag", etag_of(&call.body))
    }

    fn abort_multipart(&mut self, call: &Call) -> Answer {
        let id = call.argument("uploadId");
        if self.uploads.get(id).is_none_or(|upload| upload.key != call.key) {
            return no_such_upload();
        }
        self.uploads.remove(id);
        Answer::of(StatusCode::NO_CONTENT, "")
    }

    /// Completes an upload from all its parts: the list in the body is not looked at.
    fn complete_multipart(&mut self, call: &Call) -> Answer {
        if let Some(refusal) = self.refusal(call) {
            return refusal;
        }
        let id = call.argument("uploadId");
        if self.uploads.get(id).is_none_or(|upload| upload.key != call.key) {
            return no_such_upload();
        }
        let Some(upload) = self.uploads.remove(id) else { return no_such_upload() };
        let parts: Vec<_> = upload.parts.values().cloned().collect();
        let mut digests = Md5::new();
        parts.iter().for_each(|part| digests.update(Md5::digest(part)));
        let etag = format!("\"{}-{}\"", hex(&digests.finalize()), parts.len());
        self.insert(&call.key, Bytes::from(parts.concat()), etag.clone(), upload.metadata);
        let body = format!(
            "<CompleteMultipartUploadResult><ETag>{}</ETag></CompleteMultipartUploadResult>",
            escaped(&etag)
        );
        Answer::of(StatusCode::OK, body)
    }
}

fn no_such_upload() -> Answer {
    Answer::error(StatusCode::NOT_FOUND, "NoSuchUpload")
}

pub(super) fn etag_of(bytes: &[u8]) -> String {
    format!("\"{}\"", hex(&Md5::digest(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `bytes=FIRST-LAST` of an object of `len` bytes; `None` if nothing of it is there.
fn range_of(range: &str, len: usize) -> Option<std::ops::Range<usize>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let end = last.parse::<usize>().map_or(len, |last| len.min(last.saturating_add(1)));
    (first < end).then_some(first..end)
}
