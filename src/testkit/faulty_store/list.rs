//! What is in a bucket: its objects, and its unfinished uploads in parts.
//!
//! Source of the requests and answers: Amazon S3 API Reference.

use std::fmt::Write;

use http::StatusCode;

use super::bucket::{Answer, Bucket, Call, LAST_MODIFIED, escaped};

/// Objects or uploads that one answer lists.
const LIST_MAX: usize = 1_000;

impl Bucket {
    /// `ListObjectsV2`.
    pub(super) fn list(&self, call: &Call) -> Answer {
        let (prefix, delimiter) = (call.argument("prefix"), call.argument("delimiter"));
        let after = call.argument("continuation-token").max(call.argument("start-after"));
        let mut body = "<ListBucketResult>".to_owned();
        let mut last_folder = String::new();
        let mut listed = 0;
        let mut last = "";
        let of_prefix =
            self.objects().iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
        for (key, object) in of_prefix {
            if listed == LIST_MAX {
                let _ = write!(body, "<NextContinuationToken>{}</NextContinuationToken>", escaped(last));
                break;
            }
            last = key;
            let cut = key.get(prefix.len()..).filter(|_| !delimiter.is_empty());
            if let Some(end) = cut.and_then(|rest| rest.find(delimiter)) {
                let folder = &key[..prefix.len() + end + delimiter.len()];
                if folder != last_folder {
                    let folder = escaped(folder);
                    let _ = write!(body, "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>");
                    listed += 1;
                }
                folder.clone_into(&mut last_folder);
                continue;
            }
            listed += 1;
            let (key, size, etag) = (escaped(key), object.bytes.len(), escaped(&object.etag));
            let time = LAST_MODIFIED.1;
            let _ = write!(
                body,
                "<Contents><Key>{key}</Key><LastModified>{time}</LastModified><ETag>{etag}</ETag><Size>{size}</Size></Contents>"
            );
        }
        body.push_str("</ListBucketResult>");
        Answer::of(StatusCode::OK, body)
    }
    /// `ListMultipartUploads`, by key and then by id.
    pub(super) fn list_uploads(&self, call: &Call) -> Answer {
        let after = (call.argument("key-marker"), call.argument("upload-id-marker"));
        let page = if self.uploads_page == 0 { LIST_MAX } else { self.uploads_page };
        let uploads = self.uploads();
        let mut listed: Vec<_> = uploads.iter().map(|(id, key)| (key.as_str(), id.as_str())).collect();
        listed.sort_unstable();
        listed.retain(|&(key, id)| {
            let is_after = if after.1.is_empty() { key > after.0 } else { (key, id) > after };
            is_after && key.starts_with(call.argument("prefix"))
        });
        let mut body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
            <ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
            .to_owned();
        let is_truncated = listed.len() > page;
        listed.truncate(page);
        if let Some((key, id)) = listed.last().filter(|_| is_truncated) {
            let (key, id) = (escaped(key), escaped(id));
            let _ = write!(
                body,
                "<NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>{id}</NextUploadIdMarker>"
            );
        }
        let _ = write!(body, "<MaxUploads>{page}</MaxUploads><IsTruncated>{is_truncated}</IsTruncated>");
        for (key, id) in listed {
            let (key, id, time) = (escaped(key), escaped(id), LAST_MODIFIED.1);
            let _ = write!(
                body,
                "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{time}</Initiated></Upload>"
            );
        }
        body.push_str("</ListMultipartUploadsResult>");
        Answer::of(StatusCode::OK, body)
    }
}
