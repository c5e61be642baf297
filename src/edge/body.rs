//! A request's body: read once, paid for before it is kept, decoded under a bound.

use std::future::poll_fn;
use std::io::Read;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::Edge;
use super::gate::body_proof::BodyProof;
use super::gate::throttle::fair::Competitor;
use super::problem::Problem;
use super::visit::Visit;
use crate::config::limits::{BODY_STEP_BYTES, REQUEST_OVERHEAD_BYTES};
use crate::runtime::budget::{Budget, Permit};

/// How long the rest of a refused body may take to come in.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// The largest window of a Zstandard body, as a power of two: 8 MiB, what RFC 9659 demands of senders over HTTP.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// A body in one piece, and what it has cost.
#[derive(Debug)]
pub struct Paid {
    /// The bytes, decoded.
    pub bytes: Vec<u8>,
    /// Pays for them and for the request's overhead.
    pub permit: Permit,
}

/// What a body may cost.
#[derive(Debug, Clone, Copy)]
pub struct Bounds<'a> {
    /// Pays for it.
    pub account: &'a Arc<Budget>,
    /// Who has sent it.
    pub competitor: &'a Competitor,
    /// Bytes that it may have, as sent and decoded.
    pub bytes_max: u64,
    /// Is told when it is there.
    pub visit: &'a Visit,
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

/// Reads the body of a request, asks whether it is its sender's, as it came, and decodes it.
pub async fn read(
    edge: &Edge,
    bounds: Bounds<'_>,
    (encoding, proof): (Encoding, Option<&BodyProof>),
    body: &mut Incoming,
) -> Result<Paid, Problem> {
    let mut reading = pin!(collect(edge, bounds, body));
    // A body that is there already, as that of a single event nearly always is, needs no timer.
    let raw = match poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await {
        Poll::Ready(raw) => raw?,
        Poll::Pending => tokio::time::timeout(edge.server.body_timeout, reading)
            .await
            .unwrap_or(Err(Problem::BodyTimeout))?,
    };
    bounds.visit.has_body(raw.bytes.len() as u64);
    if let Some(proof) = proof {
        proof.check(&raw.bytes, bounds.visit)?;
    }
    if encoding == Encoding::Identity { Ok(raw) } else { decode(edge, bounds, encoding, &raw) }
}

/// Throws away what is left of a refused body, within bounds: a client that writes before it reads would otherwise
/// see a reset connection instead of the answer. A client that waits for `100 Continue` has sent nothing.
pub async fn discard_refused(headers: &HeaderMap, body: &mut Incoming, bytes_max: u64) {
    if headers.contains_key(header::EXPECT) || body.is_end_stream() {
        return;
    }
    let discarding = async {
        let mut left = bytes_max;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
            if left == 0 {
                return;
            }
        }
    };
    // Too slow or too long: then the connection is reset after all.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, discarding).await;
}

/// Copies the frames into one buffer. They cannot be kept as they are: each is a slice of the connection's read
/// buffer, so that a small record would hold kilobytes. A length that the client announces is paid for before the
/// first byte is read, so that bodies which have begun also come to their end; otherwise each growth of the buffer is
/// paid for before it happens.
async fn collect(edge: &Edge, bounds: Bounds<'_>, body: &mut Incoming) -> Result<Paid, Problem> {
    let limit = bounds.bytes_max;
    let announced = body.size_hint().exact();
    if announced.is_some_and(|length| length > limit) {
        return Err(Problem::BodyTooLarge { limit });
    }
    let mut permit =
        edge.admit(bounds.account, REQUEST_OVERHEAD_BYTES + announced.unwrap_or(0), bounds.competitor)?;
    let mut bytes = Vec::with_capacity(announced.unwrap_or(0) as usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::BodyIncomplete(incomplete(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length as u64 > limit {
            return Err(Problem::BodyTooLarge { limit });
        }
        if length > bytes.capacity() {
            let capacity = length.max(bytes.capacity() * 2).max(BODY_STEP_BYTES);
            edge.admit_more(&mut permit, (capacity - bytes.capacity()) as u64, bounds.competitor)?;
            bytes.reserve_exact(capacity - bytes.len());
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

/// Decodes step by step, so that a small body that would become a large one is given up at the bound. The compressed
/// form stays paid for until the decoded one is complete, because both are in memory.
fn decode(edge: &Edge, bounds: Bounds<'_>, encoding: Encoding, raw: &Paid) -> Result<Paid, Problem> {
    let input = raw.bytes.as_slice();
    match encoding {
        Encoding::Identity => inflate(edge, bounds, input),
        Encoding::Gzip => inflate(edge, bounds, flate2::bufread::MultiGzDecoder::new(input)),
        // RFC 9110 means the zlib form by `deflate`; its first byte tells it from the raw form (RFC 1950: method 8,
        // and the first two bytes are a multiple of 31).
        Encoding::Deflate if is_zlib(input) => {
            inflate(edge, bounds, flate2::bufread::ZlibDecoder::new(input))
        }
        Encoding::Deflate => inflate(edge, bounds, flate2::bufread::DeflateDecoder::new(input)),
        Encoding::Zstd => {
            let broken = |error: std::io::Error| Problem::BadEncoding(error.to_string());
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input).map_err(broken)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(broken)?;
            inflate(edge, bounds, decoder)
        }
    }
}

fn is_zlib(input: &[u8]) -> bool {
    matches!(input, [first, second, ..] if first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0)
}

fn inflate(edge: &Edge, bounds: Bounds<'_>, mut decoder: impl Read) -> Result<Paid, Problem> {
    let limit = bounds.bytes_max;
    let mut permit = edge.admit(bounds.account, REQUEST_OVERHEAD_BYTES, bounds.competitor)?;
    let mut bytes = Vec::new();
    loop {
        if bytes.capacity() - bytes.len() < BODY_STEP_BYTES {
            let capacity = (bytes.capacity() * 2).max(BODY_STEP_BYTES * 2);
            edge.admit_more(&mut permit, (capacity - bytes.capacity()) as u64, bounds.competitor)?;
            bytes.reserve_exact(capacity - bytes.len());
        }
        let read = decoder
            .by_ref()
            .take(BODY_STEP_BYTES as u64)
            .read_to_end(&mut bytes)
            .map_err(|error| Problem::BadEncoding(format!("the body cannot be decoded: {error}")))?;
        if bytes.len() as u64 > limit {
            return Err(Problem::BodyTooLarge { limit });
        }
        if read < BODY_STEP_BYTES {
            return Ok(Paid { bytes, permit });
        }
    }
}

impl Paid {
    /// The bytes in their shared form; spare capacity is given back.
    pub fn into_shared(self) -> (Bytes, Permit) {
        let Self { mut bytes, mut permit } = self;
        bytes.shrink_to_fit();
        permit.set(REQUEST_OVERHEAD_BYTES + bytes.len() as u64);
        (Bytes::from(bytes), permit)
    }
}
