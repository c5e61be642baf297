//! Which trace a request belongs to, as its client says: `traceparent` and `tracestate`.
//!
//! Source of the format: W3C Trace Context, Recommendation of 23 November 2021,
//! <https://www.w3.org/TR/trace-context-1/>; the random flag is of level 2.
//!
//! ```text
//! 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
//! version  trace id                   parent id     flags
//! ```

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::state;

/// The header with the trace.
pub const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header with what systems of tracing tell each other besides.
pub const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");

/// Bytes of the header in version 00.
const PARENT_BYTES: usize = 55;
/// The flag of a trace that is recorded.
const SAMPLED: u8 = 0x01;
/// Flags that are handed on: the other ones mean nothing yet.
const KNOWN_FLAGS: u8 = SAMPLED | 0x02;

/// A trace: never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// A step of a trace: never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

impl TraceId {
    /// A random one.
    pub fn new() -> Self {
        Self(fastrand::u128(1..).to_be_bytes())
    }
}

impl SpanId {
    /// A random one.
    pub fn new() -> Self {
        Self(fastrand::u64(1..).to_be_bytes())
    }
}

impl Default for TraceId {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for SpanId {
    fn default() -> Self {
        Self::new()
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

/// A trace and the step of it that something belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The step that has caused this one.
    pub parent: SpanId,
    /// `tracestate`, if there is one: handed on as it is.
    pub state: Option<HeaderValue>,
    flags: u8,
}

impl TraceContext {
    /// A trace of our own, before its first step.
    pub fn new(trace: TraceId, parent: SpanId, is_sampled: bool) -> Self {
        Self { trace, parent, state: None, flags: if is_sampled { SAMPLED } else { 0 } }
    }

    /// What the headers of a request say; `None` if they say nothing that can be read.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(&TRACE_PARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let (trace, parent, flags) = read_parent(value.as_bytes())?;
        Some(Self { trace, parent, flags, state: state::of(headers) })
    }

    /// Whether the steps of this trace are recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The same trace, going on from another step.
    pub fn at(&self, step: SpanId) -> Self {
        Self { parent: step, ..self.clone() }
    }

    /// `traceparent` for what is called next.
    pub fn header(&self) -> HeaderValue {
        let text = format!("00-{}-{}-{:02x}", self.trace, self.parent, self.flags & KNOWN_FLAGS);
        // Digits and hyphens always are a value.
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// Reads `traceparent` as the specification demands: of a version to come, only what it has in common with version 00.
fn read_parent(bytes: &[u8]) -> Option<(TraceId, SpanId, u8)> {
    let (version, rest) = (hex::<1>(bytes.get(..2)?)?[0], bytes.get(PARENT_BYTES..)?);
    let is_right = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest.starts_with(b"-"),
    };
    let hyphens = [2, 35, 52].iter().all(|&at| bytes.get(at) == Some(&b'-'));
    if !is_right || !hyphens {
        return None;
    }
    let trace = hex::<16>(bytes.get(3..35)?)?;
    let parent = hex::<8>(bytes.get(36..52)?)?;
    let flags = hex::<1>(bytes.get(53..55)?)?[0];
    let is_there = trace != [0; 16] && parent != [0; 8];
    is_there.then_some((TraceId(trace), SpanId(parent), flags & KNOWN_FLAGS))
}

/// Bytes of lower-case hexadecimal digits.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    fn of(values: &[&str]) -> Option<TraceContext> {
        let values = values.iter().map(|value| (TRACE_PARENT, HeaderValue::from_str(value).unwrap()));
        TraceContext::of(&values.collect())
    }

    #[test]
    fn a_trace_is_read_and_handed_on() {
        let context = of(&[&format!("00-{TRACE}-{PARENT}-01")]).unwrap();
        assert_eq!((context.trace.to_string(), context.parent.to_string()), (TRACE.into(), PARENT.into()));
        assert!(context.is_sampled());
        assert_eq!(context.header(), format!("00-{TRACE}-{PARENT}-01"));
        let step = SpanId::new();
        assert_eq!(context.at(step).header(), format!("00-{TRACE}-{step}-01"));
        assert!(!of(&[&format!("00-{TRACE}-{PARENT}-00")]).unwrap().is_sampled());
        // Flags that mean nothing are not handed on.
        assert_eq!(
            of(&[&format!("00-{TRACE}-{PARENT}-ff")]).unwrap().header(),
            format!("00-{TRACE}-{PARENT}-03")
        );
    }

    #[test]
    fn what_is_no_trace_is_none() {
        let (zero_trace, zero_parent) = ("0".repeat(32), "0".repeat(16));
        for wrong in [
            String::new(),
            "00".into(),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("00-{zero_trace}-{PARENT}-01"),
            format!("00-{TRACE}-{zero_parent}-01"),
            format!("00-{TRACE}-{PARENT}-01-"),
            format!("00-{TRACE}-{PARENT}-01-00"),
            format!("00-{TRACE}-{PARENT}-1"),
            format!("0-{TRACE}-{PARENT}-01"),
            format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{}-01", PARENT.to_uppercase()),
            format!("00_{TRACE}-{PARENT}-01"),
            format!("00-{TRACE}-{PARENT}_01"),
            format!("00-{}-{PARENT}-01", &TRACE[1..]),
            format!("00-{TRACE}-{PARENT}-0g"),
            format!(" 00-{TRACE}-{PARENT}-01"),
            format!("0G-{TRACE}-{PARENT}-01"),
        ] {
            assert_eq!(of(&[&wrong]), None, "{wrong}");
        }
        let right = format!("00-{TRACE}-{PARENT}-01");
        assert_eq!(of(&[&right, &right]), None, "there must be one");
    }

    #[test]
    fn of_versions_to_come_the_known_part_is_read() {
        for right in ["cc-T-P-01", "01-T-P-01-what the future-will be", "fe-T-P-01-"] {
            let context = of(&[&right.replace('T', TRACE).replace('P', PARENT)]).unwrap();
            assert_eq!(context.header(), format!("00-{TRACE}-{PARENT}-01"), "{right}");
        }
        for wrong in ["cc-T-P-01.what", "cc-T-P-0", "CC-T-P-01"] {
            assert_eq!(of(&[&wrong.replace('T', TRACE).replace('P', PARENT)]), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_what_is_handed_on_is_read_again(
            text in "[0-9a-f]{2}-[0-9a-fA-F]{31,33}-[0-9a-f]{15,17}-[0-9a-f]{1,3}(-[ -~]{0,9})?"
        ) {
            if let Some(context) = of(&[&text]) {
                let sent = context.header();
                let again = of(&[sent.to_str().unwrap()]).unwrap();
                prop_assert_eq!(&again.trace.to_string(), &text[3..35]);
                prop_assert_eq!(again, context);
            }
        }

        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(32_u8..=255, 0..120)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _ = TraceContext::of(&[(TRACE_PARENT, value)].into_iter().collect());
            }
        }
    }
}
