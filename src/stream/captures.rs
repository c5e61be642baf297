//! The fields that are found once, at the edge, and read by every delivery.

use std::cell::RefCell;
use std::sync::Arc;

use crate::json::Pointer;
use crate::record::{Batch, RecordSpans, Span};
use crate::schema::validation::{Plan, SchemaError, Scratch};

/// The stream's captured fields: a slot a pointer. The edge notes where each record has them while it validates, and
/// the batch carries the spans ([`crate::record::Batch::captures_of`]), so that no delivery scans for them again.
#[derive(Debug, Clone, Default)]
pub struct Captures {
    pointers: Vec<Pointer>,
}

impl Captures {
    /// The slot of `pointer`, made if there is none yet.
    pub fn slot(&mut self, pointer: &Pointer) -> usize {
        match self.pointers.iter().position(|known| known == pointer) {
            Some(slot) => slot,
            None => {
                self.pointers.push(pointer.clone());
                self.pointers.len() - 1
            }
        }
    }

    /// The pointers in slot order.
    pub fn pointers(&self) -> &[Pointer] {
        &self.pointers
    }
}

/// The same fields, ready to be found again in records that come back from the disk: the log keeps none of them,
/// because deliveries, and with them the fields, change from run to run.
#[derive(Debug)]
pub struct CapturePlan {
    plan: Plan,
    slots: usize,
}

impl Captures {
    /// Compiles them.
    pub fn plan(&self) -> Result<CapturePlan, SchemaError> {
        Ok(CapturePlan { plan: Plan::compile(None, self.pointers())?, slots: self.pointers.len() })
    }
}

thread_local! {
    /// One a thread: its buffers are reused from record to record.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

impl CapturePlan {
    /// Fields that it finds.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Appends the captured fields of `records`, whose payloads lie in `body`, to `captures`: [`CapturePlan::slots`]
    /// spans a record, all absent for one that is no JSON object.
    pub fn capture(&self, body: &[u8], records: &[RecordSpans], captures: &mut Vec<Span>) {
        if self.slots == 0 {
            return;
        }
        captures.reserve(records.len() * self.slots);
        SCRATCH.with_borrow_mut(|scratch| {
            for record in records {
                let start = record.payload.start();
                let payload = body.get(start..start + record.payload.len()).unwrap_or_default();
                self.plan.find(payload, scratch);
                captures.extend(scratch.captures().iter().map(|span| span.behind(start)));
            }
        });
    }

    /// The same records with the fields of this plan.
    pub fn recapture(&self, batch: &Batch) -> Batch {
        let mut captures = Vec::new();
        self.capture(&batch.source.body, &batch.records, &mut captures);
        Batch {
            source: Arc::clone(&batch.source),
            records: batch.records.clone(),
            captures: captures.into_boxed_slice(),
            aggregates: batch.aggregates.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_again_where_the_records_stand() {
        let mut captures = Captures::default();
        for field in ["/a", "/b"] {
            captures.slot(&Pointer::parse(field).unwrap());
        }
        let body = br#"xx{"b":[1],"a":"x"}{"a":2}no"#;
        let record = |start, end| RecordSpans {
            payload: Span::new(start, end),
            key: Span::ABSENT,
            refusal: Span::ABSENT,
        };
        let records = [record(2, 19), record(19, 26), record(26, 28)];
        let mut found = Vec::new();
        captures.plan().unwrap().capture(body, &records, &mut found);
        let texts = found.iter().map(|span| {
            span.is_present()
                .then(|| std::str::from_utf8(&body[span.start()..span.start() + span.len()]).unwrap())
        });
        let expected = [Some("\"x\""), Some("[1]"), Some("2"), None, None, None];
        assert_eq!(texts.collect::<Vec<_>>(), expected);
    }
}
