//! Requests as clients of AWS make them: PutRecords in JSON 1.1 and CBOR 1.1, PutRecordBatch in JSON 1.1, signed by
//! Signature Version 4 (the steps are those of *AWS Signature Version 4 for API requests*).

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use minicbor::Encoder;
use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, sign};

use super::workload::Protocol;

/// What both APIs take.
const JSON: &str = "application/x-amz-json-1.1";

/// What Kinesis takes besides, and the SDKs for Java send.
const CBOR: &str = "application/x-amz-cbor-1.1";

/// Who signs.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The access key's id.
    pub key_id: String,
    /// Its secret.
    pub secret: String,
    /// The token of a session.
    pub session_token: Option<String>,
    /// For which region it is signed.
    pub region: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("key_id", &self.key_id)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// Makes requests of one API.
#[derive(Debug)]
pub(super) struct Caller {
    protocol: Protocol,
    host: String,
    credentials: Option<Credentials>,
    /// The key of a day.
    signing: Option<(String, Key)>,
    body: Vec<u8>,
}

impl Caller {
    pub(super) fn new(protocol: Protocol, host: String, credentials: Option<Credentials>) -> Self {
        Self { protocol, host, credentials, signing: None, body: Vec::new() }
    }

    fn target(&self) -> &'static str {
        match self.protocol {
            Protocol::Firehose => "Firehose_20150804.PutRecordBatch",
            _ => "Kinesis_20131202.PutRecords",
        }
    }

    fn service(&self) -> &'static str {
        match self.protocol {
            Protocol::Firehose => "firehose",
            _ => "kinesis",
        }
    }

    /// The body of a request with these records.
    pub(super) fn body<'a>(&mut self, stream: &str, key: &str, records: impl Iterator<Item = &'a [u8]>) {
        self.body.clear();
        if self.protocol == Protocol::KinesisCbor {
            write_cbor(&mut self.body, stream, key, records);
            return;
        }
        let name = if self.protocol == Protocol::Firehose { "DeliveryStreamName" } else { "StreamName" };
        // It is empty, and keeps its room.
        let mut body = String::from_utf8(std::mem::take(&mut self.body)).unwrap_or_default();
        // Names of streams and producers need no escapes. Writing to a string cannot fail.
        let _ = write!(body, "{{\"{name}\":\"{stream}\",\"Records\":[");
        for (index, record) in records.enumerate() {
            body.push_str(if index == 0 { "{\"Data\":\"" } else { ",{\"Data\":\"" });
            STANDARD.encode_string(record, &mut body);
            body.push('"');
            if self.protocol == Protocol::Kinesis {
                let _ = write!(body, ",\"PartitionKey\":\"{key}\"");
            }
            body.push('}');
        }
        body.push_str("]}");
        self.body = body.into_bytes();
    }

    /// The body that was made last.
    pub(super) fn made(&self) -> &[u8] {
        &self.body
    }

    /// The lines of a request of `path` with the body that was made last, besides the first, `Host` and
    /// `Content-Length`.
    pub(super) fn headers(&mut self, path: &str, now: DateTime<Utc>) -> String {
        let (target, service) = (self.target(), self.service());
        let media_type = if self.protocol == Protocol::KinesisCbor { CBOR } else { JSON };
        let mut lines = format!("content-type: {media_type}\r\nx-amz-target: {target}\r\n");
        let Some(credentials) = &self.credentials else { return lines };
        let time = now.format("%Y%m%dT%H%M%SZ").to_string();
        let day = &time[..8];
        let scope = format!("{day}/{}/{service}/aws4_request", credentials.region);
        let token = credentials.session_token.as_deref();
        let mut canonical =
            format!("POST\n{path}\n\ncontent-type:{media_type}\nhost:{}\nx-amz-date:{time}\n", self.host);
        let mut names = "content-type;host;x-amz-date".to_owned();
        if let Some(token) = token {
            let _ = writeln!(canonical, "x-amz-security-token:{token}");
            names.push_str(";x-amz-security-token");
            let _ = write!(lines, "x-amz-security-token: {token}\r\n");
        }
        names.push_str(";x-amz-target");
        let hash = hex(digest(&SHA256, &self.body).as_ref());
        let _ = write!(canonical, "x-amz-target:{target}\n\n{names}\n{hash}");
        let hash = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
        if self.signing.as_ref().is_none_or(|(of, _)| of != day) {
            let mut key = Key::new(HMAC_SHA256, format!("AWS4{}", credentials.secret).as_bytes());
            for part in scope.split('/') {
                key = Key::new(HMAC_SHA256, sign(&key, part.as_bytes()).as_ref());
            }
            self.signing = Some((day.to_owned(), key));
        }
        if let Some((_, key)) = &self.signing {
            let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
            let signature = hex(sign(key, text.as_bytes()).as_ref());
            let _ = write!(
                lines,
                "x-amz-date: {time}\r\nauthorization: AWS4-HMAC-SHA256 Credential={}/{scope}, \
                 SignedHeaders={names}, Signature={signature}\r\n",
                credentials.key_id
            );
        }
        lines
    }
}

/// PutRecords. Arrays and maps have no lengths in front, as streaming encoders write them.
fn write_cbor<'a>(body: &mut Vec<u8>, stream: &str, key: &str, records: impl Iterator<Item = &'a [u8]>) {
    let mut encoder = Encoder::new(body);
    let write = || -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        encoder.begin_map()?.str("StreamName")?.str(stream)?.str("Records")?.begin_array()?;
        for record in records {
            encoder.begin_map()?.str("Data")?.bytes(record)?.str("PartitionKey")?.str(key)?.end()?;
        }
        encoder.end()?.end()?;
        Ok(())
    };
    // Writing to memory cannot fail.
    let _ = write();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials {
            key_id: "AKIDEXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
            region: "us-east-1".into(),
        }
    }

    #[test]
    fn bodies_are_what_the_apis_take() {
        let records = [&b"{\"n\":1}"[..], b"{}"];
        let mut kinesis = Caller::new(Protocol::Kinesis, "h".into(), None);
        kinesis.body("s", "iot/r/0", records.into_iter());
        let expected = "{\"StreamName\":\"s\",\"Records\":[{\"Data\":\"eyJuIjoxfQ==\",\"PartitionKey\":\"iot/r/0\"},\
            {\"Data\":\"e30=\",\"PartitionKey\":\"iot/r/0\"}]}";
        assert_eq!(kinesis.made(), expected.as_bytes());
        let mut firehose = Caller::new(Protocol::Firehose, "h".into(), None);
        firehose.body("s", "", records.into_iter());
        assert_eq!(
            firehose.body,
            b"{\"DeliveryStreamName\":\"s\",\"Records\":[{\"Data\":\"eyJuIjoxfQ==\"},{\"Data\":\"e30=\"}]}"
        );
        assert!(!firehose.headers("/", Utc::now()).contains("authorization"));
    }

    #[test]
    fn the_key_of_a_day_is_used_for_that_day_alone_and_secrets_are_not_told() {
        let mut caller = Caller::new(Protocol::Kinesis, "h".into(), Some(credentials()));
        caller.body("s", "k", std::iter::empty());
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
        let (first, next) = (at("2026-01-01T23:59:59Z"), at("2026-01-02T00:00:00Z"));
        let signed = [first, next, first].map(|now| caller.headers("/", now));
        assert_eq!(signed[0], signed[2]);
        assert_ne!(signed[0], signed[1]);
        assert!(
            signed[1].contains("20260102/us-east-1/kinesis/aws4_request, SignedHeaders=content-type;host;")
        );
        assert!(!format!("{caller:?}").contains("wJalr"));
    }
}
