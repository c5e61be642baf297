//! `compression` and `compression_level` of whatever is sent to Kafka: a sink, or the log of a stream. Raw → checked.

use super::checked::KafkaCompression;
use super::checker::Checker;

/// How messages are compressed, and the level of that, if it is given. `keys_path` is the table that the keys are in; `None`
/// where a problem was added.
pub(super) fn check_compression(
    (word, level): (Option<&str>, Option<i64>),
    keys_path: &str,
    checker: &mut Checker<'_>,
) -> Option<(KafkaCompression, Option<i32>)> {
    let words = KafkaCompression::ALL.map(|word| (word.as_str(), word));
    let word_path = format!("{keys_path}.compression");
    let compression = checker.word(&word_path, word, KafkaCompression::None, &words)?;
    let level = check_level(level, compression, &format!("{keys_path}.compression_level"), checker)?;
    Some((compression, level))
}

fn check_level(
    level: Option<i64>,
    compression: KafkaCompression,
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<Option<i32>> {
    let Some(level) = level else { return Some(None) };
    let word = compression.as_str();
    let Some(most) = compression.level_max() else {
        checker.problem(path, format!("compression = {word:?} has no levels"));
        return None;
    };
    if !(1..=most).contains(&level) {
        let message = format!("compression_level must be from 1 to {most} for {word}, found {level}");
        checker.problem(path, message);
        return None;
    }
    i32::try_from(level).ok().map(Some)
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;

    use super::*;

    /// Whether the client can be made with this.
    fn is_taken(compression: KafkaCompression, level: Option<i64>) -> bool {
        let mut config = ClientConfig::new();
        config.set("compression.codec", compression.as_str());
        level.map(|level| config.set("compression.level", level.to_string()));
        config.create_native_config().is_ok()
    }

    #[test]
    fn the_client_takes_every_codec_with_its_highest_level() {
        for compression in KafkaCompression::ALL {
            assert!(is_taken(compression, compression.level_max()), "{compression:?}");
        }
        assert!(!is_taken(KafkaCompression::Zstd, Some(13)), "what it takes has grown: so may level_max");
    }
}
