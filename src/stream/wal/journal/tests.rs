use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::record::{Batch, SequenceNumber, ShardId};
use crate::runtime::budget::Budget;
use crate::runtime::disk::RealDisk;
use crate::stream::notices::Notices;
use crate::stream::wal::frame::ShardNumber;
use crate::stream::wal::samples;
use crate::stream::wal::shard::DurableLog;
use crate::stream::{Captures, Found, Payer, Read, ReadLimit, Retention, ShardLog};

const SEGMENT: u64 = 64 << 10;

fn options(folder: &Path) -> Options {
    Options {
        disk: Arc::new(RealDisk),
        folder: folder.to_owned(),
        class: JournalClass::Fsync,
        segment_bytes: SEGMENT,
        writer: WriterChoice::Thread,
        node: [7; 8],
        metrics: LogMetrics::none(),
    }
}

fn fresh() -> Resume {
    Resume { next_segment: 1, next_commit: 1, previous_end: None, segments: Vec::new() }
}
