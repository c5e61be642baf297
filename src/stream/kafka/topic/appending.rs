//! What is appended to a topic, and the producer that sends it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{TopicLog, lock};
use crate::config::limits::KAFKA_QUEUE_PERCENT;
use crate::stream::kafka::append::{Appender, Sending};
use crate::stream::kafka::ends::Ends;
use crate::stream::kafka::growth::switch::Shut;
use crate::stream::receipt::{AppendError, Receipt};

impl TopicLog {
    /// Why records cannot be appended, as far as that is known before.
    ///
    /// # Errors
    /// See there.
    pub fn may_append(&self) -> Result<(), AppendError> {
        if self.source.log.is_source {
            let topic = self.name().to_owned();
            return Err(AppendError::ReadOnly { stream: self.stream.to_string(), topic });
        }
        let lost = || lock(&self.lost_end).clone();
        if let Some(why) = self.another().map(str::to_owned).or_else(lost) {
            return Err(AppendError::Unavailable(why));
        }
        if !self.has_shards() {
            let unknown = || self.says("nothing is known of it yet");
            return Err(AppendError::Unavailable(self.trouble().unwrap_or_else(unknown)));
        }
        self.growth.may_send().map_err(|shut| self.is_shut(shut))
    }

    fn is_shut(&self, shut: Shut) -> AppendError {
        let why = self.growth.trouble().unwrap_or_else(|| self.says(&shut.to_string()));
        AppendError::Unavailable(why)
    }

    pub(super) fn appender(&self) -> Option<Arc<Appender>> {
        self.appender.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has a producer that works and knows all partitions, if there is to be one. Blocks the thread for a second at most.
    pub(in crate::stream::kafka) fn mend_appender(self: &Arc<Self>) {
        if self.source.log.is_source {
            return;
        }
        if let Some(appender) = self.appender().filter(|appender| !appender.is_broken()) {
            let partitions = u32::try_from(self.partitions().len()).unwrap_or(u32::MAX);
            if let Err(fault) = appender.learn(partitions) {
                tracing::warn!(stream = %self.stream, error = %fault, "the producer does not know all partitions yet");
            }
            return;
        }
        let queue_bytes = self.budget().capacity() / 100 * KAFKA_QUEUE_PERCENT;
        let first = || Ends::new(self.ended.get().into_iter().flatten().copied());
        let ends = self.appender().map_or_else(first, |appender| appender.ends());
        let begun = Appender::begin(
            self,
            (queue_bytes, self.source.request_bytes),
            // Whoever has told how many there are tells the same to a new client.
            (self.growth.partitions(), ends),
        );
        let new = match begun {
            Ok(appender) => Some(appender),
            Err(fault) => {
                if self.has_fault(&fault) {
                    tracing::error!(stream = %self.stream, error = %fault, "records cannot be appended");
                }
                return;
            }
        };
        let old = std::mem::replace(&mut *self.appender.write().unwrap_or_else(PoisonError::into_inner), new);
        if let Some(old) = old {
            tracing::warn!(stream = %self.stream, topic = self.name(), "the producer could not go on: another one has taken its place");
            old.end(Duration::ZERO);
        }
    }

    /// Appends to shards of the generation with this number. Does not block.
    ///
    /// # Errors
    /// If nothing of it was sent.
    pub fn append(&self, generation: u32, batches: Vec<Sending>) -> Result<Receipt, AppendError> {
        self.may_append()?;
        self.growth.may_send_under(generation).map_err(|shut| self.is_shut(shut))?;
        let unavailable =
            || AppendError::Unavailable(self.trouble().unwrap_or_else(|| self.says("no producer")));
        let appender = self.appender().ok_or_else(unavailable)?;
        let partitions = u32::try_from(self.partitions().len()).unwrap_or(u32::MAX);
        if !appender.knows(partitions) {
            return Err(AppendError::Unavailable(self.says("the producer does not know all partitions yet")));
        }
        appender.append(&self.notices, self.budget(), (generation, batches))
    }
}
