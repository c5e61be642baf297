//! What is sent: requests with records of all kinds.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{ARRIVAL, World};
use crate::record::{Batch, Content, RecordSpans, SequenceNumber, ShardId, Source, Span};
use crate::runtime::budget::Budget;
use crate::runtime::clock::UnixMicros;

/// What a record is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its id is a number.
    Number,
    /// Its id is text.
    Text,
    /// It has no field for the prefix.
    Homeless,
    /// Its time is none.
    Timeless,
    /// The edge has found it invalid.
    Refused,
    /// It has a field `xN`, a number.
    Extra(u8),
}

/// A record to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    pub shard: u32,
    pub partition: u8,
    pub kind: Kind,
}

impl World {
    /// One request.
    pub async fn send(&mut self, specs: &[Spec]) {
        let plan = self.captures.plan().unwrap();
        let (mut body, side) = (Vec::new(), b"schema broken".to_vec());
        let mut spans: BTreeMap<ShardId, (Vec<RecordSpans>, Vec<u64>)> = BTreeMap::new();
        let open: Vec<ShardId> = self.stream.layout().open().map(|shard| shard.facts.id).collect();
        for spec in specs {
            let n = self.sent.len() as u64;
            let shard = open[spec.shard as usize % open.len()];
            self.sent.push((shard, SequenceNumber(0)));
            self.kinds.push(spec.kind);
            let start = body.len();
            body.extend_from_slice(payload(n, spec, self.pad).as_bytes());
            let (records, numbers) = spans.entry(shard).or_default();
            let payload = Span::new(start, body.len());
            records.push(RecordSpans { payload, key: Span::ABSENT, refusal: Span::ABSENT });
            numbers.push(n);
        }
        let refused = |n: u64, first: usize| specs[n as usize - first].kind == Kind::Refused;
        let first = self.sent.len() - specs.len();
        let refusal = Span::new(body.len(), body.len() + side.len());
        let permit = Budget::new(1 << 20).take_anyway(0);
        let arrival = UnixMicros(ARRIVAL + first as i64);
        self.specs.extend(specs.iter().map(|spec| (*spec, arrival.0)));
        let (bytes, side, content) = (Bytes::from(body.clone()), Bytes::from(side), Content::Json);
        let source = Arc::new(Source { body: bytes, content, side, arrival, permit });
        let mut batches = Vec::new();
        let mut numbers_of = BTreeMap::new();
        for (shard, (mut records, numbers)) in spans {
            let mut captures = Vec::new();
            plan.capture(&body, &records, &mut captures);
            for (record, &n) in records.iter_mut().zip(&numbers) {
                if refused(n, first) {
                    record.refusal = refusal;
                }
            }
            let batch = Batch {
                source: Arc::clone(&source),
                records: records.into(),
                captures: captures.into(),
                aggregates: Box::default(),
            };
            batches.push((shard, batch));
            numbers_of.insert(shard, numbers);
        }
        let appended = self.stream.append(batches, None).unwrap().await.unwrap().appended;
        for (shard, appended) in appended {
            for (index, &n) in numbers_of[&shard].iter().enumerate() {
                self.sent[n as usize] = (shard, SequenceNumber(appended.first.0 + index as u64));
            }
        }
    }
}

fn payload(n: u64, spec: &Spec, pad: usize) -> String {
    let p = (b'a' + spec.partition) as char;
    let extra =
        if let Kind::Extra(number) = spec.kind { format!(",\"x{number}\":{n}") } else { String::new() };
    let id = if spec.kind == Kind::Text { format!("\"id-{n}\"") } else { n.to_string() };
    let at = if spec.kind == Kind::Timeless {
        "?".to_owned()
    } else {
        format!("2026-01-{:02}T00:00:00Z", spec.partition + 1)
    };
    let p = if spec.kind == Kind::Homeless { String::new() } else { format!(r#","p":"{p}""#) };
    format!(r#"{{"n":{n},"id":{id},"at":"{at}"{p}{extra},"pad":"{}"}}"#, "x".repeat(pad))
}
