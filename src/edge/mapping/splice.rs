//! Facts into records, byte by byte.

use super::{Added, Mapping, Place};
use crate::edge::Edge;
use crate::edge::body::Paid;
use crate::edge::gate::throttle::fair::Competitor;
use crate::edge::judge::Decoded;
use crate::edge::problem::Problem;
use crate::record::Span;

/// Copies the accepted records of a body with the facts in those that are to have them. What is found in the records
/// afterwards is found in the copies. Both forms are paid for while both are there.
///
/// # Errors
/// [`Problem::BodyTooLarge`] if it would be more than a request may have, [`Problem::MemoryFull`].
pub fn spliced(
    (edge, competitor): (&Edge, &Competitor),
    (mapping, added): (&Mapping, &Added),
    decoded: &mut Decoded,
    paid: Paid,
) -> Result<Paid, Problem> {
    let Paid { bytes: body, mut permit } = paid;
    let limit = edge.server.body_bytes_max;
    let places = std::mem::take(&mut decoded.places);
    let records = decoded.records.iter().zip(&places);
    let bytes: usize =
        records.map(|(record, place)| added.bytes_of(slice(&body, record.payload), *place)).sum();
    if bytes as u64 > limit {
        return Err(Problem::BodyTooLarge { limit });
    }
    edge.admit_more(&mut permit, bytes as u64, competitor)?;
    let bytes = splice((mapping, added), decoded, (&places, bytes), &body);
    Ok(Paid { bytes, permit })
}

/// The same without the account. `bytes` is what comes of it.
pub(super) fn splice(
    (mapping, added): (&Mapping, &Added),
    decoded: &mut Decoded,
    (places, bytes): (&[Place], usize),
    body: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes);
    let width = decoded.captures.len() / decoded.records.len().max(1);
    // What the records need besides lies behind the body.
    let side = |span: Span| {
        Span::new(span.start() - body.len() + bytes, span.start() - body.len() + bytes + span.len())
    };
    for (index, (record, place)) in decoded.records.iter_mut().zip(places).enumerate() {
        let moved =
            Moved::copy(slice(body, record.payload), added, (record.payload.start(), *place), &mut out);
        record.payload = Span::new(moved.to, out.len());
        for span in [&mut record.key, &mut record.refusal].into_iter().filter(|span| span.is_present()) {
            *span = if span.start() >= body.len() { side(*span) } else { moved.span(*span) };
        }
        let captures = decoded.captures.get_mut(index * width..(index + 1) * width).unwrap_or_default();
        for (slot, span) in captures.iter_mut().enumerate() {
            *span = match moved.facts_at {
                Some(at) if mapping.has(slot) => added.found(slot, at),
                _ => moved.span(*span),
            };
        }
    }
    debug_assert_eq!(out.len(), bytes, "what was paid for");
    out
}

fn slice(body: &[u8], span: Span) -> &[u8] {
    body.get(span.start()..span.start() + span.len()).unwrap_or_default()
}

/// Whether an object has no members.
pub(super) fn is_empty(object: &[u8]) -> bool {
    let inner = object.strip_suffix(b"}").unwrap_or(object);
    inner.trim_ascii_end() == b"{"
}

impl Added {
    /// A field in the member, whose object's text would begin at `at` of a body if it was there as a whole.
    fn found(&self, slot: usize, at: isize) -> Span {
        match self.captures.get(slot).filter(|span| span.is_present()) {
            Some(span) => {
                let start = span.start().saturating_add_signed(at);
                Span::new(start, start + span.len())
            }
            None => Span::ABSENT,
        }
    }
}

/// A record that was copied.
struct Moved {
    from: usize,
    to: usize,
    /// From here on in the old body, bytes moved by `grown` more.
    behind: usize,
    grown: isize,
    /// Where the text of the facts would begin.
    facts_at: Option<isize>,
}

impl Moved {
    /// Copies `record`, which begins at `from`, to the end of `out`.
    fn copy(record: &[u8], added: &Added, (from, place): (usize, Place), out: &mut Vec<u8>) -> Self {
        let to = out.len();
        let mut moved = Self { from, to, behind: usize::MAX, grown: 0, facts_at: None };
        match place {
            Place::Nowhere => out.extend_from_slice(record),
            Place::AtEnd => {
                let open = record.strip_suffix(b"}").unwrap_or(record);
                out.extend_from_slice(open);
                if !is_empty(record) {
                    out.push(b',');
                }
                moved.facts_at = Some(out.len() as isize - 1);
                out.extend_from_slice(added.member());
                out.push(b'}');
            }
            Place::Over(value) => {
                let (begin, end) = (value.start() - from, value.start() - from + value.len());
                out.extend_from_slice(record.get(..begin).unwrap_or_default());
                moved.facts_at = Some(out.len() as isize - added.value_at as isize);
                out.extend_from_slice(added.value());
                out.extend_from_slice(record.get(end..).unwrap_or_default());
                (moved.behind, moved.grown) =
                    (from + end, added.value().len() as isize - value.len() as isize);
            }
        }
        moved
    }

    /// Where something of it is now.
    fn span(&self, span: Span) -> Span {
        if !span.is_present() {
            return span;
        }
        let grown = if span.start() >= self.behind { self.grown } else { 0 };
        let start = (span.start() - self.from + self.to).saturating_add_signed(grown);
        Span::new(start, start + span.len())
    }
}
