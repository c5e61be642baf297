//! The end of a transaction: committed, or given up.

use std::sync::Arc;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{Careful, Worker};
use crate::config::checked::Guarantee;
use crate::config::limits::{FAN_OUT_BATCH_BYTES_MIN, FAN_OUT_LETTER_BYTES_MIN, FAN_OUT_PATIENCE};
use crate::delivery::fan_out::held::Stage;
use crate::delivery::fan_out::producer::{Failed, Found, Message, Remedy};
use crate::delivery::fan_out::progress::Progress;
use crate::delivery::fan_out::transaction::Transaction;
use crate::kafka::{Fault, FaultClass};
use crate::runtime::clock;

/// The number that a message with positions is sent under.
const POSITIONS: usize = usize::MAX;

impl Worker {
    /// Begins a transaction, unless one is open.
    pub(super) async fn ensure_open(&mut self) -> Result<(), Failed> {
        if self.open.is_some() {
            return Ok(());
        }
        let Some(producer) = &self.producer else { return Ok(()) };
        producer.begin().await?;
        let permit = self.parts.budget.take_anyway(0);
        self.open = Some(Transaction::new(self.committed + 1, permit, clock::monotonic()));
        Ok(())
    }

    /// Adds nothing more to what is open.
    pub(super) fn close_open(&mut self) {
        if let Some(open) = self.open.as_mut().filter(|open| !open.is_closed()) {
            open.positions = Some(self.places.iter().map(|place| (place.shard, place.next)).collect());
        }
    }

    /// Commits what is open. May be called again where that is said to help.
    pub(super) async fn commit(&mut self) -> Result<(), Failed> {
        self.close_open();
        let Some(producer) = self.producer.clone() else { return Ok(()) };
        if self.open.is_none() {
            return Ok(());
        }
        if self.parts.config.sink.guarantee == Guarantee::AtLeastOnce {
            // Positions may be written only once everything below them is there.
            producer.commit(FAN_OUT_PATIENCE).await?;
            self.check_reports()?;
        }
        self.tell_positions()?;
        crate::crash_point!("fan_out.commit.before");
        producer.commit(FAN_OUT_PATIENCE).await?;
        self.check_reports()?;
        crate::crash_point!("fan_out.commit.after");
        if let Some(open) = self.open.take() {
            let has_records = open.messages() > 0;
            self.settle(open);
            self.held.passed(if has_records { Stage::Sending } else { Stage::Committing });
        }
        self.connection.is_well();
        self.leave_care();
        Ok(())
    }

    /// Sends the positions behind what is open.
    fn tell_positions(&mut self) -> Result<(), Failed> {
        let (Some(open), Some(producer)) = (&mut self.open, &self.producer) else { return Ok(()) };
        if open.is_told {
            return Ok(());
        }
        let parts = &self.parts;
        let names = (&**parts.stream.name(), &*parts.config.name);
        let progress = Progress::new(open.number, names, open.positions.clone().unwrap_or_default());
        let message = Message {
            topic: &parts.config.sink.progress_topic,
            partition: None,
            key: Some(parts.identity.as_bytes()),
            payload: &progress.to_bytes(),
            millis: clock::wall().0 / 1_000,
            headers: None,
        };
        match producer.send(message, POSITIONS) {
            Ok(()) => open.is_told = true,
            Err(code) => return Err(self.not_sent(code, &parts.config.sink.progress_topic.clone())),
        }
        Ok(())
    }

    /// What helps if a message is not even taken by the client.
    pub(super) fn not_sent(&self, code: RDKafkaErrorCode, topic: &str) -> Failed {
        let error = KafkaError::MessageProduction(code);
        let action = format!("send to topic '{topic}'");
        let fault = match &self.producer {
            Some(producer) => producer.fault(&action, &error),
            None => self.connection.fault(action, &error),
        };
        if code == RDKafkaErrorCode::State {
            // Something that was sent before has failed, which the reports tell.
            let fault = Fault { class: FaultClass::Transient, ..fault };
            return Failed { fault, remedy: Remedy::Abort };
        }
        let is_broken = fault.class == FaultClass::Fenced || code == RDKafkaErrorCode::Fatal;
        Failed { fault, remedy: if is_broken { Remedy::Reconnect } else { Remedy::of_lost(code) } }
    }

    /// Whether everything that was sent is there.
    pub(super) fn check_reports(&mut self) -> Result<(), Failed> {
        let Some(producer) = self.producer.as_ref().filter(|producer| producer.reports().has_any()) else {
            return Ok(());
        };
        let found = producer.reports().take();
        let remedy = found.remedy;
        // Of several reasons the one counts that needs most.
        self.judge(found)
            .map_err(|failed| Failed { remedy: failed.remedy.max(remedy.unwrap_or(Remedy::Again)), ..failed })
    }

    fn judge(&mut self, found: Found) -> Result<(), Failed> {
        let Found { refused, other, .. } = found;
        if let Some(code) = other {
            return Err(self.not_sent(code, self.parts.config.sink.topic.as_str()));
        }
        let Some(&(_, code)) = refused.first() else { return Ok(()) };
        let failed = self.not_sent(code, self.parts.config.sink.topic.as_str());
        if refused.iter().any(|&(message, _)| message == POSITIONS) {
            let topic = &self.parts.config.sink.progress_topic;
            let message = format!("it does not take positions: {code}; look at its settings");
            let action = format!("send to topic '{topic}'");
            let fault = Fault { class: FaultClass::Missing, action, message, ..failed.fault };
            return Err(Failed { fault, remedy: Remedy::Abort });
        }
        if !self.pace.one_by_one {
            // A batch is refused as a whole. Which of its records it is about shows when they go alone.
            let until = self.places.iter().map(|place| (place.shard, place.next)).collect();
            self.careful = Some(Careful { until, has_refused: false });
            self.pace.one_by_one = true;
            self.is_outpaced = true;
            return Err(quietly(failed));
        }
        let mut letters = false;
        if let (Some(open), Some(careful)) = (&self.open, &mut self.careful) {
            careful.has_refused = true;
            for (message, code) in refused {
                match open.record_of(message) {
                    Some((shard, number, false)) => drop(self.refused.insert((shard, number), code)),
                    Some((.., true)) => letters = true,
                    None => {}
                }
            }
        }
        if letters && self.letter_bytes > FAN_OUT_LETTER_BYTES_MIN {
            self.letter_bytes = (self.letter_bytes / 2).max(FAN_OUT_LETTER_BYTES_MIN);
        } else if letters {
            let topic = &self.parts.config.dead_topic;
            let message = format!("it does not take dead letters: {code}; nothing goes on until it does");
            let action = format!("send to topic '{topic}'");
            let fault = Fault { class: FaultClass::Missing, action, message, ..failed.fault };
            return Err(Failed { fault, remedy: Remedy::Abort });
        }
        Err(quietly(failed))
    }

    /// Gives up what is open, and reads it again.
    pub(super) async fn abort(&mut self) -> Result<(), Failed> {
        if self.producer.as_ref().is_some_and(|producer| !producer.is_transactional()) {
            self.disconnect().await;
            return Ok(());
        }
        if let Some(producer) = self.producer.clone() {
            producer.abort(FAN_OUT_PATIENCE).await?;
            // What is reported of it by now is about messages that do not exist.
            drop(producer.reports().take());
        }
        if self.open.take().is_some() {
            self.parts.metrics.aborted.increment(1);
        }
        self.rewind();
        Ok(())
    }

    /// Counts what is committed, and lets the log go of it.
    pub(super) fn settle(&mut self, transaction: Transaction) {
        let Transaction { number, records, bytes, dead, lost, unnumbered, oldest, positions, .. } =
            transaction;
        let parts = Arc::clone(&self.parts);
        let (status, metrics) = (&parts.status, &parts.metrics);
        self.committed = self.committed.max(number);
        status.settled(records, None);
        status.unnumbered(unnumbered);
        for (reason, &records) in &dead {
            status.settled(records, Some(reason));
        }
        for lost in lost {
            status.skipped(lost.records, lost.counted);
            if lost.records > 0 {
                tracing::error!(
                    stream = %parts.stream.name(), delivery = parts.config.name, shard = %lost.shard,
                    records = lost.records, "records were gone from the log before they were delivered"
                );
            }
        }
        metrics.records.increment(records);
        metrics.bytes.increment(bytes);
        metrics.letters.increment(dead.values().sum());
        metrics.committed.increment(1);
        if let Some(oldest) = oldest {
            metrics.latency_seconds.record((clock::wall().0 - oldest.0).max(0) as f64 / 1e6);
        }
        for (shard, position) in positions.unwrap_or_default() {
            let Some(place) = self.places.iter_mut().find(|place| place.shard == shard) else { continue };
            place.committed = position;
            status.set_position(shard, position);
            status.set_cursor(shard, position);
            if let Some(log) = parts.stream.shard(shard) {
                log.release(parts.reader, position);
            }
        }
        let committed =
            |shard| self.places.iter().find(|place| place.shard == shard).map(|place| place.committed);
        self.refused
            .retain(|&(shard, number), _| committed(shard).is_some_and(|committed| number >= committed));
    }

    /// Goes back to large batches once what was refused lies behind.
    fn leave_care(&mut self) {
        let Some(careful) = &self.careful else { return };
        let is_behind = self
            .places
            .iter()
            .all(|place| careful.until.get(&place.shard).is_none_or(|&until| place.committed >= until));
        if !is_behind {
            return;
        }
        if !careful.has_refused {
            // Nothing was wrong with any of them: the batches were too large for the topic.
            self.pace.batch_bytes = (self.pace.batch_bytes / 2).max(FAN_OUT_BATCH_BYTES_MIN);
        }
        self.careful = None;
        self.pace.one_by_one = false;
        self.is_outpaced = true;
    }
}

/// A refusal that is dealt with: it goes on at once, and needs nobody.
fn quietly(failed: Failed) -> Failed {
    Failed { fault: Fault { class: FaultClass::Transient, ..failed.fault }, remedy: Remedy::Abort }
}
