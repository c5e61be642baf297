//! A request's body: read once, paid for before it is kept, decoded under a bound.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::Edge;
use super::problem::Problem;
use crate::config::limits::{BODY_STEP_BYTES, REQUEST_OVERHEAD_BYTES};
use crate::runtime::budget::Permit;

/// A body in one piece, and what it has cost.
#[derive(Debug)]
pub struct Paid {
    /// The bytes, decoded.
    pub bytes: Vec<u8>,
    /// Pays for them and for the request's overhead.
    pub permit: Permit,
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// Gzip, one member or several.
    Gzip,
    /// zlib, or raw deflate as some clients send under this name.
    Deflate,
    /// Zstandard.
    Zstd,
}

impl Encoding {
    /// Reads `Content-Encoding`.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
        let text = value.to_str().unwrap_or_default().trim();
        let known = [
            ("identity", Encoding::Identity),
            ("", Encoding::Identity),
            ("gzip", Encoding::Gzip),
            ("x-gzip", Encoding::Gzip),
            ("deflate", Encoding::Deflate),
            ("zstd", Encoding::Zstd),
        ];
        match known.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)) {
            Some(&(_, encoding)) => Ok(encoding),
            None => Err(Problem::UnsupportedEncoding(shown(value))),
        }
    }
}

/// A header's value for a message: printable and short.
pub(super) fn shown(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).chars().take(80).collect()
}

/// Reads and decodes the body of a request.
pub async fn read(edge: &Edge, encoding: Encoding, body: Incoming) -> Result<Paid, Problem> {
    let limit = edge.server.body_bytes_max;
    let hint = body.size_hint().exact();
    if hint.is_some_and(|length| length > limit) {
        return Err(Problem::BodyTooLarge { limit });
    }
    let permit = edge.admit(REQUEST_OVERHEAD_BYTES)?;
    let raw = within(edge.server.body_timeout, collect(edge, body, hint, permit)).await?;
    match encoding {
        Encoding::Identity => Ok(raw),
        _ => decode(edge, encoding, raw),
    }
}

async fn within(
    timeout: Duration,
    reading: impl Future<Output = Result<Paid, Problem>>,
) -> Result<Paid, Problem> {
    // A body that is there already is read at the first poll, and then no timer is set.
    tokio::time::timeout(timeout, reading).await.unwrap_or(Err(Problem::BodyTimeout))
}

/// Copies the frames into one buffer. They cannot be kept as they are: each is a slice of the connection's read
/// buffer, so that a small record would hold kilobytes.
async fn collect(
    edge: &Edge,
    mut body: Incoming,
    hint: Option<u64>,
    mut permit: Permit,
) -> Result<Paid, Problem> {
    let limit = edge.server.body_bytes_max;
    // A length that a client merely claims is believed up to one step.
    let capacity = hint.map_or(0, |length| (length as usize).min(BODY_STEP_BYTES));
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::BodyIncomplete(incomplete(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = (bytes.len() + data.len()) as u64;
        if length > limit {
            return Err(Problem::BodyTooLarge { limit });
        }
        edge.admit_more(&mut permit, data.len() as u64)?;
        if bytes.capacity() == 0 {
            bytes.reserve_exact(capacity.max(data.len()));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Paid { bytes, permit })
}

fn incomplete(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        "the connection ended before the announced end of the body".to_owned()
    } else {
        format!("the body cannot be read: {error}")
    }
}

/// Decodes step by step, so that a small body that would become a large one is given up at the bound.
fn decode(edge: &Edge, encoding: Encoding, raw: Paid) -> Result<Paid, Problem> {
    let Paid { bytes, permit } = raw;
    let input = bytes.as_slice();
    let paid = match encoding {
        Encoding::Identity => return Ok(Paid { bytes, permit }),
        Encoding::Gzip => inflate(edge, flate2::bufread::MultiGzDecoder::new(input)),
        // RFC 9110 means the zlib form by `deflate`; its first byte tells it from the raw form (RFC 1950: method 8,
        // and the first two bytes are a multiple of 31).
        Encoding::Deflate if is_zlib(input) => inflate(edge, flate2::bufread::ZlibDecoder::new(input)),
        Encoding::Deflate => inflate(edge, flate2::bufread::DeflateDecoder::new(input)),
        Encoding::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(input)
                .map_err(|error| Problem::BadEncoding(error.to_string()))?;
            inflate(edge, decoder)
        }
    };
    // The compressed form is given back only now, because both were in memory.
    drop(permit);
    paid
}

fn is_zlib(input: &[u8]) -> bool {
    matches!(input, [first, second, ..] if first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0)
}

fn inflate(edge: &Edge, mut decoder: impl Read) -> Result<Paid, Problem> {
    let limit = edge.server.body_bytes_max;
    let mut permit = edge.admit(REQUEST_OVERHEAD_BYTES)?;
    let mut bytes = Vec::new();
    loop {
        edge.admit_more(&mut permit, BODY_STEP_BYTES as u64)?;
        let before = bytes.len();
        let read = decoder
            .by_ref()
            .take(BODY_STEP_BYTES as u64)
            .read_to_end(&mut bytes)
            .map_err(|error| Problem::BadEncoding(format!("the body cannot be decoded: {error}")))?;
        if bytes.len() as u64 > limit {
            return Err(Problem::BodyTooLarge { limit });
        }
        debug_assert_eq!(bytes.len(), before + read, "read_to_end appends what it counts");
        if read < BODY_STEP_BYTES {
            permit.set(REQUEST_OVERHEAD_BYTES + bytes.len() as u64);
            return Ok(Paid { bytes, permit });
        }
    }
}

impl Paid {
    /// The bytes in their shared form; spare capacity is given back.
    pub fn into_shared(self) -> (Bytes, Permit) {
        let mut bytes = self.bytes;
        bytes.shrink_to_fit();
        (Bytes::from(bytes), self.permit)
    }
}
