//! What decides over a record's folder: `prefix` and its kin of a `[[delivery]]`.

use std::time::Duration;

use super::check_dead_letters::check_error_prefix;
use super::checked::{Late, Placement};
use super::checker::Checker;
use super::limits::DURATION_MAX;
use super::raw::DeliveryTable;
use crate::delivery::prefix::{PrefixTemplate, Terms, Zone};
use crate::json::Pointer;

/// `prefix` where it is not given: what Hive, Athena, DuckDB and Spark take for partitions.
pub(super) const PREFIX_DEFAULT: &str = "dt={arrival_time:%Y-%m-%d}/hour={arrival_time:%H}/";

const EVENT_TIME_HELP: &str =
    "write event_time = \"/timestamp\" or the pointer of another field, or use {arrival_time:…}";

/// What the settings come to.
pub(super) struct Prefixes {
    pub prefix: PrefixTemplate,
    pub error_prefix: PrefixTemplate,
    pub event_time: Option<Pointer>,
    pub placement: Placement,
}

/// All of them; `None` where a problem was added.
pub(super) fn check_prefixes(raw: &DeliveryTable, path: &str, checker: &mut Checker<'_>) -> Option<Prefixes> {
    let event_time = match raw.event_time.as_deref() {
        None => Some(None),
        Some(text) => match Pointer::parse(text) {
            Ok(pointer) => Some(Some(pointer)),
            Err(error) => {
                checker.refused(&format!("{path}.event_time"), &error);
                None
            }
        },
    };
    let terms = check_terms(raw, path, checker);
    // Where a term is wrong, the templates are tried with the others: what is wrong with them is said as well.
    let known = terms.clone().unwrap_or_else(|partial| partial);
    let has_event_time = raw.event_time.is_some() || checker.document.has(&format!("{path}.event_time"));
    let prefix_text = raw.prefix.as_deref().unwrap_or(PREFIX_DEFAULT);
    let prefix = check_prefix(prefix_text, &known, (path, "prefix"), has_event_time, checker);
    let error_prefix = check_error_prefix(raw, path, &known, checker);
    let late = check_late(raw, &known, path, has_event_time, checker);
    let future_max = check_future(raw, path, has_event_time, checker);
    if let (Some(prefix), Some(error_prefix), Some(late)) = (&prefix, &error_prefix, &late) {
        check_folders_differ((prefix, error_prefix, late.as_ref()), path, checker);
    }
    let placement = Placement { terms: terms.ok()?, late: late?, future_max: future_max? };
    Some(Prefixes { prefix: prefix?, error_prefix: error_prefix?, event_time: event_time?, placement })
}

/// Readers of the files would take dead letters for records, and late records for others.
fn check_folders_differ(
    (prefix, error_prefix, late): (&PrefixTemplate, &PrefixTemplate, Option<&Late>),
    path: &str,
    checker: &mut Checker<'_>,
) {
    let same = |other: &PrefixTemplate| other.as_str() == prefix.as_str();
    if same(error_prefix) {
        let own = format!("{path}.dead_letters.prefix");
        let place = if checker.document.has(&own) { own } else { format!("{path}.error_prefix") };
        checker.problem_with_help(
            &place,
            "dead letters would lie among the files of records: their prefix is the same",
            "write error_prefix = \"errors/{reason}/\", or leave it out",
        );
    }
    if late.is_some_and(|late| same(&late.prefix)) {
        let message = "late_prefix is without effect: it is the same as prefix";
        let help = "write another one, or take late_prefix and allowed_lateness out";
        checker.problem_with_help(&format!("{path}.late_prefix"), message, help);
    }
}

/// The terms, or those of them that are right.
fn check_terms(raw: &DeliveryTable, path: &str, checker: &mut Checker<'_>) -> Result<Terms, Terms> {
    let mut terms = Terms::default();
    let mut is_right = true;
    if let Some(name) = raw.time_zone.as_deref() {
        match Zone::parse(name) {
            Ok(zone) => terms.time_zone = zone,
            Err(error) => {
                checker.refused(&format!("{path}.time_zone"), &error);
                is_right = false;
            }
        }
    }
    for (name, field) in raw.partition_keys.iter().flatten() {
        let field_path = format!("{path}.partition_keys.{name}");
        // By itself, to see whether it is a field at all.
        let alone = Terms { partition_keys: [(name.clone(), field.clone())].into(), ..Terms::default() };
        let expression = format!("!{{partitionKeyFromQuery:{name}}}");
        if name.is_empty() || name.contains(['}', '{', ':']) || name.trim() != name {
            let message =
                "the name of a partition key must not be empty, nor have braces, colons or spaces around it";
            checker.problem(&field_path, message);
            is_right = false;
        } else if let Err(error) = PrefixTemplate::parse(&expression, &alone) {
            checker.refused(&field_path, &error);
            is_right = false;
        }
        // A wrong one is known nevertheless: that it is missing as well would be no news.
        terms.partition_keys.insert(name.clone(), field.clone());
    }
    if is_right { Ok(terms) } else { Err(terms) }
}

pub(super) fn check_template(
    text: &str,
    terms: &Terms,
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<PrefixTemplate> {
    match PrefixTemplate::check(text, terms) {
        Ok(template) => Some(template),
        Err(errors) => {
            // Of what the environment says nothing is shown, so that one problem is as good as all.
            let shown = if checker.document.written(path).is_some() { 1 } else { errors.len() };
            errors.iter().take(shown).for_each(|error| checker.refused(path, error));
            None
        }
    }
}

/// `prefix` or `late_prefix`.
fn check_prefix(
    text: &str,
    terms: &Terms,
    (path, key): (&str, &str),
    has_event_time: bool,
    checker: &mut Checker<'_>,
) -> Option<PrefixTemplate> {
    let path = format!("{path}.{key}");
    let prefix = check_template(text, terms, &path, checker)?;
    if prefix.uses_reason() {
        checker.problem(&path, "{reason} is for error_prefix only");
        return None;
    }
    if prefix.uses_event_time() && !has_event_time {
        let message = format!("{key} uses {{event_time}}, but event_time is missing");
        checker.problem_with_help(&path, message, EVENT_TIME_HELP);
        return None;
    }
    Some(prefix)
}

/// `allowed_lateness` and `late_prefix`: both, or none.
fn check_late(
    raw: &DeliveryTable,
    terms: &Terms,
    path: &str,
    has_event_time: bool,
    checker: &mut Checker<'_>,
) -> Option<Option<Late>> {
    let allowed_path = format!("{path}.allowed_lateness");
    let late_path = format!("{path}.late_prefix");
    let has = |checker: &Checker<'_>, path: &str| checker.document.has(path);
    match (has(checker, &allowed_path), has(checker, &late_path)) {
        (false, false) => return Some(None),
        (true, false) => {
            let message = "allowed_lateness is without effect: there is no late_prefix";
            let help = "write late_prefix = \"late/dt={event_time:%Y-%m-%d}/\", or take allowed_lateness out: every record then goes to the folder of its event time";
            checker.problem_with_help(&allowed_path, message, help);
            return None;
        }
        (false, true) => {
            let message = "late_prefix is without effect: there is no allowed_lateness";
            checker.problem_with_help(&late_path, message, "write allowed_lateness = \"1h\"");
            return None;
        }
        (true, true) => {}
    }
    let event_time = need_event_time(&allowed_path, has_event_time, checker);
    let allowed =
        checker.duration_up_to(&allowed_path, raw.allowed_lateness.as_deref(), Duration::ZERO, DURATION_MAX);
    let text = raw.late_prefix.as_deref()?;
    let prefix = check_prefix(text, terms, (path, "late_prefix"), true, checker);
    event_time?;
    Some(Some(Late { allowed: allowed?, prefix: prefix? }))
}

fn check_future(
    raw: &DeliveryTable,
    path: &str,
    has_event_time: bool,
    checker: &mut Checker<'_>,
) -> Option<Option<Duration>> {
    let path = format!("{path}.max_future");
    if !checker.document.has(&path) {
        return Some(None);
    }
    let event_time = need_event_time(&path, has_event_time, checker);
    let text = raw.max_future.as_deref()?;
    let future_max = checker.duration_up_to(&path, Some(text), Duration::ZERO, DURATION_MAX);
    event_time?;
    Some(Some(future_max?))
}

fn need_event_time(path: &str, has_event_time: bool, checker: &mut Checker<'_>) -> Option<()> {
    if !has_event_time {
        let message = format!("{} needs event_time, which is missing", super::shape::last_key(path));
        let help = "write event_time = \"/timestamp\" or the pointer of another field";
        checker.problem_with_help(path, message, help);
        return None;
    }
    Some(())
}
