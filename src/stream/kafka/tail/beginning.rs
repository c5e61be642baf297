//! What the thread of a topic does first: asks which shards there are, and where each begins and ends.

use std::sync::Arc;

use rdkafka::consumer::Consumer;

use super::LOOK_EVERY;
use crate::config::limits::KAFKA_TAIL_FETCH_BYTES;
use crate::kafka::{Fault, topic as facts};
use crate::stream::kafka::client::{self, End, QUESTION_TIMEOUT, Reader};
use crate::stream::kafka::partition::PartitionLog;
use crate::stream::kafka::topic::TopicLog;

/// Waits until it is known which shards there are; `None` where it is over before.
pub(super) fn begin(topic: &Arc<TopicLog>) -> Option<Reader> {
    loop {
        match first_look(topic) {
            Ok(reader) => {
                let (stream, partitions) = (topic.stream(), topic.partitions().len());
                tracing::info!(%stream, topic = topic.name(), partitions, "the log of the stream is there");
                topic.bell.tell();
                return Some(reader);
            }
            Err(why) => {
                if topic.has_trouble(why.clone()) {
                    tracing::error!(stream = %topic.stream(), why, "the log of the stream is not there: trying again");
                }
            }
        }
        topic.bell.wait(LOOK_EVERY);
        if topic.bell.is_over() {
            return None;
        }
    }
}

fn first_look(topic: &Arc<TopicLog>) -> Result<Reader, String> {
    let told = |fault: Fault| fault.to_string();
    let connection = topic.connection();
    let reader = client::reader(connection, KAFKA_TAIL_FETCH_BYTES).map_err(told)?;
    let found = facts::partitions(reader.client(), connection, topic.name(), QUESTION_TIMEOUT);
    let Some((has, _)) = found.map_err(told)? else {
        let partitions = topic.log().partitions.map_or_else(
            || "as many partitions as the stream is to have shards".to_owned(),
            |count| format!("{count} partitions"),
        );
        return Err(topic.says(&format!("there is no such topic: create it, with {partitions}")));
    };
    let growth = topic.growth();
    growth.has_partitions(has);
    topic.bell.wait_until(LOOK_EVERY, || growth.may_show());
    let Some((_, count)) = growth.newest().filter(|_| growth.may_show()) else {
        return Err(topic.says("the nodes have not agreed yet which shards it has"));
    };
    if has < count {
        return Err(topic.says(&format!(
            "it has {has} partitions, and has had {count}: it was made again, or not all of \
             its brokers know that yet. Give the stream a topic of another name if it was"
        )));
    }
    topic.wants(growth.generations().known()).map_err(|why| topic.says(&why))?;
    let ends = |end: End| {
        let partitions = (0..count).map(|partition| i32::try_from(partition).unwrap_or(i32::MAX));
        let mut ends =
            client::ends((&reader, connection), topic.name(), (partitions, end), QUESTION_TIMEOUT)?;
        ends.sort_unstable();
        Ok(ends)
    };
    let (lows, highs) = ends(End::Low).and_then(|lows| Ok((lows, ends(End::High)?))).map_err(told)?;
    let log =
        |((partition, low), (_, high))| Arc::new(PartitionLog::new(partition, topic.weak(), (low, high)));
    let ended = highs.iter().map(|(_, high)| *high).collect();
    let logs = lows.into_iter().zip(highs).map(log).collect();
    topic.has_ends(ended);
    // Whoever waits for shards appends as soon as there are some.
    topic.mend_appender();
    topic.is_well();
    if topic.has_partitions(logs) {
        return Ok(reader);
    }
    Err(topic.says("the nodes agree on other shards just now"))
}
