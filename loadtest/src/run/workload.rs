//! Who sends what over which protocol: `--mix native:80,kinesis:15:batch=500,firehose:5`.

use std::fmt;
use std::ops::RangeInclusive;

use forebay::testkit::generators::mix;

use super::plan::PlanError;

/// Classes of a mix.
pub const CLASSES_MAX: usize = 16;

/// Records in a request of PutRecords and PutRecordBatch.
const AWS_RECORDS_MAX: u32 = 500;

/// How records are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `POST /v1/streams/{stream}/records` over HTTP/1.1.
    Native,
    /// The same over HTTP/2; without TLS by prior knowledge.
    Http2,
    /// Messages over a WebSocket, each of which is acked.
    WebSocket,
    /// PutRecords of Kinesis Data Streams, JSON 1.1. The partition key is the producer.
    Kinesis,
    /// PutRecords, CBOR 1.1: records go as they are, without Base64.
    KinesisCbor,
    /// PutRecordBatch of Amazon Data Firehose, JSON 1.1.
    Firehose,
}

impl Protocol {
    const ALL: [Protocol; 6] =
        [Self::Native, Self::Http2, Self::WebSocket, Self::Kinesis, Self::KinesisCbor, Self::Firehose];

    /// The word on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Http2 => "http2",
            Self::WebSocket => "websocket",
            Self::Kinesis => "kinesis",
            Self::KinesisCbor => "kinesis-cbor",
            Self::Firehose => "firehose",
        }
    }

    /// The protocol of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// What is asked for when TLS begins (RFC 7301).
    pub(super) fn alpn(self) -> &'static [u8] {
        if self == Self::Http2 { b"h2" } else { b"http/1.1" }
    }

    /// Whether it is an API of AWS, which knows no idempotency keys and no content encodings.
    pub fn is_aws(self) -> bool {
        matches!(self, Self::Kinesis | Self::KinesisCbor | Self::Firehose)
    }
}

/// From the least to the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The least.
    pub low: u32,
    /// The greatest.
    pub high: u32,
}

impl Span {
    /// One value.
    pub fn one(value: u32) -> Self {
        Self { low: value, high: value }
    }

    fn parse(text: &str) -> Option<Self> {
        let (low, high) = text.split_once("..").unwrap_or((text, text));
        let span = Self { low: low.parse().ok()?, high: high.parse().ok()? };
        (span.low <= span.high).then_some(span)
    }

    fn is_within(self, allowed: RangeInclusive<u32>) -> bool {
        allowed.contains(&self.low) && allowed.contains(&self.high)
    }

    /// The mean of [`Span::draw`].
    pub fn mean(self) -> f64 {
        f64::from(self.low) / 2.0 + f64::from(self.high) / 2.0
    }

    /// A value, all alike likely, that follows from `seed` alone.
    pub fn draw(self, seed: u64) -> u32 {
        self.low + (mix(seed) % (u64::from(self.high - self.low) + 1)) as u32
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high {
            write!(f, "{}", self.low)
        } else {
            write!(f, "{}..{}", self.low, self.high)
        }
    }
}

/// A part of the load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Class {
    /// How its records are sent.
    pub protocol: Protocol,
    /// Its share of the records, beside the weights of the others.
    pub weight: f64,
    /// Records of a request, drawn anew for each.
    pub batch: Span,
    /// Bytes of a record, about, drawn once for each producer; 0 for the natural size.
    pub record_bytes: Span,
}

impl Class {
    /// Reads `NAME:WEIGHT[:batch=N[..M]][:size=N[..M]]`. What is not given is as in `default`.
    fn parse(text: &str, default: &Class) -> Result<Self, PlanError> {
        let bad = |reason| PlanError::Mix { text: text.to_owned(), reason };
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let names = "does not begin with native, http2, websocket, kinesis, kinesis-cbor or firehose";
        let protocol = Protocol::parse(name).ok_or_else(|| bad(names))?;
        let weight = parts.next().and_then(|weight| weight.parse().ok());
        let weight: f64 =
            weight.filter(|weight| *weight > 0.0 && *weight <= 1e6).ok_or_else(|| bad("has no weight"))?;
        let mut class = Class { protocol, weight, ..*default };
        if protocol.is_aws() {
            class.batch.low = class.batch.low.min(AWS_RECORDS_MAX);
            class.batch.high = class.batch.high.min(AWS_RECORDS_MAX);
        }
        for part in parts {
            let span = |text| {
                Span::parse(text).ok_or_else(|| bad("has a number or span that is none, such as 1..100"))
            };
            match part.split_once('=') {
                Some(("batch", value)) => class.batch = span(value)?,
                Some(("size", value)) => class.record_bytes = span(value)?,
                _ => return Err(bad("has a part that is neither batch= nor size=")),
            }
        }
        class.check().map_err(bad)?;
        Ok(class)
    }

    /// What makes no sense.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.protocol.is_aws() && !self.batch.is_within(1..=AWS_RECORDS_MAX) {
            return Err("has a batch beyond 1 to 500, which is what the API takes");
        }
        Ok(())
    }

    /// Reads a mix.
    pub fn parse_mix(text: &str, default: &Class) -> Result<Vec<Self>, PlanError> {
        let classes = text
            .split(',')
            .map(|class| Class::parse(class.trim(), default))
            .collect::<Result<Vec<_>, _>>()?;
        if classes.len() > CLASSES_MAX {
            return Err(PlanError::Mix { text: text.to_owned(), reason: "has more than 16 parts" });
        }
        Ok(classes)
    }
}

/// The class of each connection: by weight, and at least one each. There are as many connections as classes, or more.
pub(super) fn deal(classes: &[Class], connections: usize) -> Vec<usize> {
    let whole: f64 = classes.iter().map(|class| class.weight).sum();
    let mut has = vec![1_usize; classes.len()];
    let short_of =
        |has: &[usize], class: usize| classes[class].weight / whole * connections as f64 - has[class] as f64;
    for _ in classes.len()..connections {
        let next = (0..classes.len()).max_by(|&a, &b| short_of(&has, a).total_cmp(&short_of(&has, b)));
        next.into_iter().for_each(|class| has[class] += 1);
    }
    has.into_iter().enumerate().flat_map(|(class, count)| std::iter::repeat_n(class, count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Class = Class {
        protocol: Protocol::Native,
        weight: 1.0,
        batch: Span { low: 1_000, high: 1_000 },
        record_bytes: Span { low: 0, high: 0 },
    };

    #[test]
    fn a_mix_is_read_with_its_spans() {
        let mix =
            Class::parse_mix("native:80, kinesis:15,firehose:5:batch=1..9:size=200..2000", &DEFAULT).unwrap();
        assert_eq!(mix[0], Class { weight: 80.0, ..DEFAULT });
        assert_eq!((mix[1].protocol, mix[1].batch), (Protocol::Kinesis, Span::one(500)));
        assert_eq!(
            (mix[2].batch.to_string(), mix[2].record_bytes.to_string()),
            ("1..9".into(), "200..2000".into())
        );
        for bad in
            ["", "native", "ftp:1", "native:0", "native:1:batch=9..1", "kinesis:1:batch=501", "native:1:x=2"]
        {
            assert!(Class::parse_mix(bad, &DEFAULT).is_err(), "{bad}");
        }
    }

    #[test]
    fn connections_are_dealt_by_weight_and_everybody_has_one() {
        let mix = Class::parse_mix("native:80,kinesis:15,firehose:5", &DEFAULT).unwrap();
        let count = |connections| {
            let dealt = deal(&mix, connections);
            assert_eq!(dealt.len(), connections);
            [0, 1, 2].map(|class| dealt.iter().filter(|has| **has == class).count())
        };
        assert_eq!((count(3), count(8), count(100)), ([1, 1, 1], [6, 1, 1], [80, 15, 5]));
    }

    #[test]
    fn values_are_drawn_from_the_whole_span() {
        let span = Span { low: 3, high: 6 };
        let drawn: Vec<_> = (0..1_000).map(|seed| span.draw(seed)).collect();
        assert!((3..=6).all(|value| drawn.iter().filter(|drawn| **drawn == value).count() > 150));
        assert!(drawn.iter().all(|value| (3..=6).contains(value)) && span.mean() == 4.5);
        assert_eq!(Span::one(7).draw(99), 7);
    }
}
