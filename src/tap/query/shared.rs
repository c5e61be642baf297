//! What a worker asks of a tap that shares a named cursor with others.

use std::borrow::Cow;
use std::sync::Arc;

use super::Sent;
use crate::config::limits::WORKER_NAME_BYTES_MAX;
use crate::edge::problem::Problem;
use crate::record::{SequenceNumber, ShardId};
use crate::stream::Stream;
use crate::tap::cursor::Cursor;
use crate::tap::filter::Filter;
use crate::tap::named::all::NamedCursors;
use crate::tap::named::reader::Asked;

/// A worker that shares a named cursor.
#[derive(Debug)]
pub struct Worker {
    /// The cursor's name.
    pub cursor: String,
    /// Its own.
    pub worker: Arc<str>,
    /// Where it has been sent records up to, although not all of them are done.
    pub after: Cursor,
    /// Which records are shown.
    pub filter: Option<Filter>,
}

impl Worker {
    /// Finds the cursor.
    ///
    /// # Errors
    /// If there is none of that name.
    pub async fn ask(self, cursors: &Arc<NamedCursors>) -> Result<Asked, Problem> {
        let Self { cursor, worker, after, filter } = self;
        Ok(Asked { cursor: cursors.get(&cursor).await?, worker, after, filter })
    }
}

impl Sent<'_> {
    /// The same by a named cursor.
    pub(super) fn shared(self, stream: &Stream, last_event_id: Option<&str>) -> Result<Worker, Problem> {
        let bad = |name, detail: &str| Problem::BadParameter { name, detail: detail.to_owned() };
        let (Some(cursor), Some(worker)) = (self.cursor, self.worker) else {
            return Err(bad("cursor", "it takes 'cursor' and 'worker' together"));
        };
        if self.from.is_some() || self.shard.is_some() {
            let detail =
                "the cursor tells where to begin, and the leases which shards: leave 'from' and 'shard' out";
            return Err(bad("cursor", detail));
        }
        let filter = Filter::compile(self.key.map(Cow::into_owned), &self.conditions)
            .map_err(|detail| Problem::BadParameter { name: "where", detail })?;
        let (name, text) = match last_event_id {
            Some(text) => ("Last-Event-ID", text),
            None => ("after", self.after.as_deref().unwrap_or_default()),
        };
        let layout = stream.layout();
        let is_there = |&(shard, position): &(ShardId, SequenceNumber)| {
            // Of a topic another node may have read more.
            stream.topic().is_some()
                || layout.get(shard).is_none_or(|shard| position <= shard.log_ref().bounds().next)
        };
        let after = Cursor::parse_any(text).filter(|cursor| cursor.positions.iter().all(is_there));
        let after = after.ok_or_else(|| bad(name, "not the 'next' of a page: hand it back as it was"))?;
        Ok(Worker { cursor: cursor.into_owned(), worker: worker_name(&worker)?, after, filter })
    }
}

/// The name of a worker.
///
/// # Errors
/// If it is none.
pub fn worker_name(text: &str) -> Result<Arc<str>, Problem> {
    if text.is_empty()
        || text.len() > WORKER_NAME_BYTES_MAX
        || !text.bytes().all(|byte| byte.is_ascii_graphic())
    {
        let detail = format!("1 to {WORKER_NAME_BYTES_MAX} visible ASCII characters: one for each process");
        return Err(Problem::BadParameter { name: "worker", detail });
    }
    Ok(text.into())
}
