//! The traces that records of a stream belong to, for as long as somebody is likely to ask: a stage that calls a
//! function a little later. Not kept on the disk, and not for streams that nobody asks of.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Appended, Stream};
use crate::config::limits::{TRACE_LINKS_MAX, TRACED_APPENDS_MAX};
use crate::record::{SequenceNumber, ShardId};
use crate::telemetry::trace::TraceContext;

/// Traces of the newest appends.
#[derive(Debug, Default)]
pub(super) struct TracedAppends {
    are_wanted: AtomicBool,
    appends: Mutex<VecDeque<(ShardId, Appended, TraceContext)>>,
}

impl Stream {
    /// Has traces remembered from now on.
    pub fn want_traces(&self) {
        self.traced.are_wanted.store(true, Ordering::Relaxed);
    }

    /// Remembers that records which were appended belong to a trace, if anybody wants to know.
    pub fn note_trace(&self, appended: &[(ShardId, Appended)], trace: Option<&TraceContext>) {
        let Some(trace) = trace.filter(|_| self.traced.are_wanted.load(Ordering::Relaxed)) else { return };
        // Nothing panics under it.
        let mut appends = self.traced.appends.lock().unwrap_or_else(PoisonError::into_inner);
        for (shard, appended) in appended {
            if appends.len() >= TRACED_APPENDS_MAX {
                appends.pop_front();
            }
            appends.push_back((*shard, appended.clone(), trace.clone()));
        }
    }

    /// The traces of records of a shard up to before `to`, as far as they are remembered, the oldest first and not more
    /// than a few. What is older than these is forgotten: it is asked for once.
    pub fn take_traces(&self, shard: ShardId, to: SequenceNumber) -> Vec<TraceContext> {
        let mut found: Vec<TraceContext> = Vec::new();
        let mut appends = self.traced.appends.lock().unwrap_or_else(PoisonError::into_inner);
        appends.retain(|(of, appended, trace)| {
            let is_due = *of == shard && appended.first < to;
            if is_due && found.len() < TRACE_LINKS_MAX && found.last() != Some(trace) {
                found.push(trace.clone());
            }
            // The rest of a request may be in the next call.
            !is_due || appended.last >= to
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::checked;
    use crate::stream::{Backing, Captures};
    use crate::telemetry::metrics::Registry;
    use crate::telemetry::trace::{SpanId, TraceId};

    fn stream() -> Stream {
        let config = checked::Stream {
            name: "s".into(),
            shards: 1,
            durability: checked::Durability::Memory,
            retention: Duration::from_secs(60),
            retention_bytes: None,
            idempotency_window: Duration::ZERO,
            log: Default::default(),
            quotas: Default::default(),
        };
        let captures = Captures::default().plan().unwrap();
        Stream::new(&config, Backing::Memory, 0, captures, Registry::new().unwrap().stream("s"))
    }

    fn numbers(first: u64, last: u64) -> Appended {
        Appended { first: SequenceNumber(first), last: SequenceNumber(last), apart: None }
    }

    #[test]
    fn traces_of_records_are_found_by_their_numbers_once() {
        let stream = stream();
        let [one, other] = [(); 2].map(|()| TraceContext::new(TraceId::new(), SpanId::new(), true));
        stream.note_trace(&[(ShardId(0), numbers(1, 5))], Some(&one));
        assert_eq!(stream.take_traces(ShardId(0), SequenceNumber(9)), [], "nobody wanted them");
        stream.want_traces();
        stream.note_trace(&[(ShardId(0), numbers(10, 15)), (ShardId(1), numbers(10, 15))], Some(&one));
        stream.note_trace(&[(ShardId(0), numbers(16, 16))], Some(&other));
        stream.note_trace(&[(ShardId(0), numbers(17, 17))], None);
        let take = |to| stream.take_traces(ShardId(0), SequenceNumber(to));
        assert_eq!(take(10), []);
        assert_eq!(take(12), std::slice::from_ref(&one), "a part of a request");
        assert_eq!(take(18), [one.clone(), other]);
        assert_eq!(take(18), []);
        assert_eq!(stream.take_traces(ShardId(1), SequenceNumber(18)), [one]);
    }

    #[test]
    fn only_the_newest_are_remembered_and_only_a_few_are_told() {
        let stream = stream();
        stream.want_traces();
        for number in 0..TRACED_APPENDS_MAX as u64 + 10 {
            let trace = TraceContext::new(TraceId::new(), SpanId::new(), true);
            stream.note_trace(&[(ShardId(0), numbers(number, number))], Some(&trace));
        }
        assert_eq!(stream.take_traces(ShardId(0), SequenceNumber(10)), []);
        let told = stream.take_traces(ShardId(0), SequenceNumber(u64::MAX));
        assert_eq!(told.len(), TRACE_LINKS_MAX);
    }
}
