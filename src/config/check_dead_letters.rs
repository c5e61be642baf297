//! `error_prefix` and `dead_letters` of `[[delivery]]`: raw → checked.

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_delivery::{Surroundings, check_buffer};
use super::check_prefix::check_template;
use super::checked::{BufferHints, DeadLetters, ObjectSink};
use super::checker::Checker;
use super::raw::{BufferTable, DeliveryTable};
use crate::delivery::encode::dead_letter::Envelope;
use crate::delivery::prefix::{PrefixTemplate, Terms};

/// `error_prefix` where it is not given.
const ERROR_PREFIX_DEFAULT: &str = "errors/{reason}/";

/// `dead_letters` of a delivery.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLettersTable {
    /// The same as `error_prefix`, in this place.
    #[schemars(example = &"errors/{reason}/dt={arrival_time:%Y-%m-%d}/")]
    pub prefix: Option<String>,
    /// When a file of dead letters is closed. Default: as the files of the delivery.
    pub buffer: Option<BufferTable>,
    /// Names of a letter's fields: `forebay`, or `firehose` for those of Amazon Data Firehose's error records. Default:
    /// `forebay`.
    #[schemars(extend("enum" = ["forebay", "firehose"]), example = &"firehose")]
    pub envelope: Option<String>,
    /// Into Kafka only: the topic of dead letters, which is made where it is missing. Default: that of the records with
    /// `.dead` behind it, or `STREAM.DELIVERY.dead` where that depends on the record.
    #[schemars(example = &"clicks.dead")]
    pub topic: Option<String>,
}

/// The dead letters of the delivery at `path`, whose own files are closed by `buffer`; `None` where a problem was added.
pub(super) fn check_dead_letters(
    raw: &DeliveryTable,
    path: &str,
    (buffer, sink): (Option<BufferHints>, Option<&ObjectSink>),
    (around, checker): (&Surroundings<'_>, &mut Checker<'_>),
) -> Option<DeadLetters> {
    let table = raw.dead_letters.clone().unwrap_or_default();
    let path = format!("{path}.dead_letters");
    let words = [("forebay", Envelope::Forebay), ("firehose", Envelope::Firehose)];
    let envelope = table.envelope.as_deref();
    let envelope = checker.word(&format!("{path}.envelope"), envelope, Envelope::Forebay, &words);
    // What is not given is as the delivery has it, one by one.
    let of_delivery = raw.buffer.clone().unwrap_or_default();
    let buffer = match table.buffer {
        None => buffer,
        Some(own) => {
            let BufferTable { size, interval } = own;
            let own =
                BufferTable { size: size.or(of_delivery.size), interval: interval.or(of_delivery.interval) };
            check_buffer(own, &path, (around.memory_budget, sink), checker)
        }
    };
    Some(DeadLetters { buffer: buffer?, envelope: envelope? })
}

/// A dead letter need not be JSON at all, so its path cannot depend on its fields.
pub(super) fn check_error_prefix(
    raw: &DeliveryTable,
    delivery: &str,
    terms: &Terms,
    checker: &mut Checker<'_>,
) -> Option<PrefixTemplate> {
    let own = raw.dead_letters.as_ref().and_then(|table| table.prefix.as_deref());
    let (name, path, text) = match own {
        Some(_) => ("prefix", format!("{delivery}.dead_letters.prefix"), own),
        None => ("error_prefix", format!("{delivery}.error_prefix"), raw.error_prefix.as_deref()),
    };
    if own.is_some() && raw.error_prefix.is_some() {
        checker.problem(&path, "dead_letters.prefix and error_prefix are the same: write one of them");
        return None;
    }
    let prefix = check_template(text.unwrap_or(ERROR_PREFIX_DEFAULT), terms, &path, checker)?;
    let field = match prefix.pointers().first() {
        Some(pointer) => Some(format!("{{{pointer}}}")),
        None => prefix.uses_event_time().then(|| "{event_time}".to_owned()),
    };
    if let Some(field) = field {
        let field = if checker.document.written(&path).is_some() { "a field".to_owned() } else { field };
        checker.problem_with_help(
            &path,
            format!("{name} uses {field}, which a dead letter may not have"),
            "use {arrival_time:…}, {reason}, {stream}, {shard} or {delivery}",
        );
        return None;
    }
    Some(prefix)
}
