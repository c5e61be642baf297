//! Which records a reader wants to see: of one partition key, and with certain values at certain JSON pointers.
//!
//! | parameter | passes records |
//! | --- | --- |
//! | `key=K` | whose partition key is exactly `K` |
//! | `where=/pointer=VALUE` | whose field at the JSON pointer equals the value; all of several must |
//!
//! A value is JSON where it reads as JSON, and a string otherwise: `where=/status=500` is the number, which `5e2` equals
//! as well, `where=/status="500"` the string, `where=/country=NL` the string `NL`. Arrays and objects cannot be
//! compared with. The pointer ends at the first `=`.

use std::cell::RefCell;

use crate::config::limits::{TAP_WHERE_BYTES_MAX, TAP_WHERE_MAX};
use crate::json::{Kind, Pointer, RawNumber, Scanner};
use crate::record::{RecordSpans, Source, Span};
use crate::schema::validation::{Options, Plan, Scratch};
use crate::stream::Captures;

/// The conditions, compiled.
#[derive(Debug)]
pub struct Filter {
    key: Option<String>,
    fields: Option<Fields>,
}

/// Conditions on fields.
#[derive(Debug)]
struct Fields {
    /// Captures the field of each condition.
    plan: Plan,
    /// The slot of the captured field, and what it must be.
    wanted: Vec<(usize, Wanted)>,
}

/// What a field must be.
#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    Null,
    Bool(bool),
    /// The text of a JSON number.
    Number(String),
    String(String),
}

thread_local! {
    /// One a thread: its buffers are reused from record to record.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

impl Filter {
    /// Compiles the conditions; `None` if there are none, so that everything passes.
    ///
    /// # Errors
    /// What is wrong with a condition, for the client.
    pub fn compile(key: Option<String>, conditions: &[String]) -> Result<Option<Self>, String> {
        if conditions.len() > TAP_WHERE_MAX {
            return Err(format!("at most {TAP_WHERE_MAX} conditions are taken"));
        }
        if key.is_none() && conditions.is_empty() {
            return Ok(None);
        }
        let fields = if conditions.is_empty() { None } else { Some(Fields::compile(conditions)?) };
        Ok(Some(Self { key, fields }))
    }

    /// Whether a reader wants to see the record.
    pub fn passes(&self, source: &Source, record: &RecordSpans) -> bool {
        let key_fits = self.key.as_ref().is_none_or(|key| source.bytes(record.key) == key.as_bytes());
        key_fits && self.fields.as_ref().is_none_or(|fields| fields.pass(source.bytes(record.payload)))
    }
}

impl Fields {
    fn compile(conditions: &[String]) -> Result<Self, String> {
        let mut captures = Captures::default();
        let mut wanted = Vec::with_capacity(conditions.len());
        for condition in conditions {
            let (pointer, value) = parse(condition)?;
            wanted.push((captures.slot(&pointer), value));
        }
        let options = Options { any_kind: true, ..Options::default() };
        let plan =
            Plan::compile_with(None, captures.pointers(), options).map_err(|error| error.to_string())?;
        Ok(Self { plan, wanted })
    }

    /// A payload that is no JSON has no fields.
    fn pass(&self, payload: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(payload) else { return false };
        SCRATCH.with_borrow_mut(|scratch| {
            if self.plan.check(&mut Scanner::new(text), scratch).is_err() {
                return false;
            }
            let field = |slot: usize| {
                let span = scratch.captures().get(slot).copied().unwrap_or(Span::ABSENT);
                if span.is_present() { text.get(span.start()..span.start() + span.len()) } else { None }
            };
            self.wanted.iter().all(|(slot, wanted)| field(*slot).is_some_and(|raw| wanted.equals(raw)))
        })
    }
}

/// Reads `/pointer=VALUE`.
fn parse(condition: &str) -> Result<(Pointer, Wanted), String> {
    if condition.len() > TAP_WHERE_BYTES_MAX {
        return Err(format!("a condition may have {TAP_WHERE_BYTES_MAX} bytes"));
    }
    let Some((pointer, value)) = condition.split_once('=') else {
        return Err(format!("'{condition}' is no condition: write /pointer=VALUE"));
    };
    let pointer = Pointer::parse(pointer).map_err(|error| error.to_string())?;
    Ok((pointer, Wanted::parse(value)?))
}

impl Wanted {
    fn parse(value: &str) -> Result<Self, String> {
        let mut scanner = Scanner::new(value);
        let is_value = |scanner: &mut Scanner<'_>| scanner.skip_value().and_then(|()| scanner.end()).is_ok();
        let kind = scanner.peek();
        let kind = if is_value(&mut scanner.clone()) { kind.ok() } else { None };
        match (kind, value.trim_ascii()) {
            (Some(Kind::Object | Kind::Array), _) => {
                Err("arrays and objects cannot be compared with: name a field inside".to_owned())
            }
            (Some(Kind::String), _) => Ok(Wanted::String(
                scanner.string().map(|text| text.decode().into_owned()).unwrap_or_default(),
            )),
            (Some(Kind::Null), _) => Ok(Wanted::Null),
            (Some(Kind::Bool), text) => Ok(Wanted::Bool(text == "true")),
            (Some(Kind::Number), text) => Ok(Wanted::Number(text.to_owned())),
            (None, _) if value.starts_with('"') => Err(format!("{value} is no JSON string")),
            (None, _) => Ok(Wanted::String(value.to_owned())),
        }
    }

    /// Whether the raw JSON value is the same value.
    fn equals(&self, raw: &str) -> bool {
        let mut scanner = Scanner::new(raw);
        match (self, scanner.peek()) {
            (Wanted::Null, Ok(Kind::Null)) => true,
            (Wanted::Bool(wanted), Ok(Kind::Bool)) => scanner.bool() == Ok(*wanted),
            (Wanted::String(wanted), Ok(Kind::String)) => {
                scanner.string().is_ok_and(|text| text.equals(wanted))
            }
            (Wanted::Number(wanted), Ok(Kind::Number)) => {
                let same = |found: RawNumber<'_>| {
                    Scanner::new(wanted).number().is_ok_and(|wanted| same(wanted, found))
                };
                scanner.number().is_ok_and(same)
            }
            _ => false,
        }
    }
}

/// Integers of 64 bits are compared exactly, all other numbers as the nearest doubles.
fn same(a: RawNumber<'_>, b: RawNumber<'_>) -> bool {
    match ((a.as_i64(), b.as_i64()), (a.as_u64(), b.as_u64())) {
        ((Some(a), Some(b)), _) => a == b,
        (_, (Some(a), Some(b))) => a == b,
        _ => a.as_f64() == b.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::runtime::budget::Budget;
    use crate::runtime::clock::UnixMicros;

    fn passes(key: Option<&str>, conditions: &[&str], record_key: &str, payload: &str) -> bool {
        let conditions: Vec<_> = conditions.iter().map(|&condition| condition.to_owned()).collect();
        let filter = Filter::compile(key.map(str::to_owned), &conditions).unwrap().unwrap();
        let body = Bytes::from(format!("{payload}{record_key}"));
        let (end, all) = (payload.len(), body.len());
        let record =
            RecordSpans { payload: Span::new(0, end), key: Span::new(end, all), refusal: Span::ABSENT };
        let permit = Budget::new(0).take_anyway(0);
        filter.passes(
            &Source {
                body,
                content: crate::record::Content::Json,
                side: Bytes::new(),
                arrival: UnixMicros(0),
                permit,
            },
            &record,
        )
    }

    #[test]
    fn values_are_compared_as_json() {
        let record = r#"{"status":500,"text":"500","no":null,"ok":true,"geo":{"country":"NL"},"a":[1,"x=y"],"é":"\u00e9"}"#;
        for condition in [
            "/status=500",
            "/status=5e2",
            "/status=500.0",
            "/text=\"500\"",
            "/no=null",
            "/ok=true",
            "/geo/country=NL",
            "/geo/country=\"NL\"",
            "/a/0=1",
            "/a/1=x=y",
            "/é=é",
        ] {
            assert!(passes(None, &[condition], "k", record), "{condition}");
        }
        for condition in [
            "/status=501",
            "/status=\"500\"",
            "/text=500",
            "/no=false",
            "/ok=false",
            "/geo/country=nl",
            "/geo=NL",
            "/missing=null",
            "/status/x=500",
            "/text=",
            "/a/1=x",
        ] {
            assert!(!passes(None, &[condition], "k", record), "{condition}");
        }
        assert!(passes(None, &["/n=9007199254740993"], "", r#"{"n":9007199254740993}"#));
        assert!(!passes(None, &["/n=9007199254740992"], "", r#"{"n":9007199254740993}"#));
    }

    #[test]
    fn all_conditions_must_hold() {
        let record = r#"{"a":1,"b":"x"}"#;
        assert!(passes(Some("k"), &["/a=1", "/b=x"], "k", record));
        assert!(!passes(Some("k"), &["/a=1", "/b=x"], "l", record));
        assert!(!passes(Some("k"), &["/a=1", "/b=y"], "k", record));
        assert!(!passes(None, &["/a=1", "/a=2"], "k", record));
        assert!(passes(Some(""), &[], "", record));
        assert!(!passes(None, &["/a=1"], "k", "no JSON"));
    }

    #[test]
    fn a_condition_that_makes_no_sense_is_refused() {
        for condition in ["", "a=1", "=1", "/a", "/a~=1", "/a=[1]", "/a={}", "/a=\"open"] {
            let refused = Filter::compile(None, &[condition.to_owned()]);
            assert!(refused.is_err(), "{condition}: {refused:?}");
        }
        assert!(Filter::compile(None, &vec!["/a=1".to_owned(); TAP_WHERE_MAX + 1]).is_err());
        assert!(Filter::compile(None, &["/a=".to_owned() + &"x".repeat(TAP_WHERE_BYTES_MAX)]).is_err());
        assert!(Filter::compile(None, &[]).unwrap().is_none());
    }

    fn scalar() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            // Never an integer, which would equal one that is written without a point.
            any::<i32>().prop_map(|number| Value::from(f64::from(number) + 0.5)),
            "\\PC{0,6}".prop_map(Value::from),
        ]
    }

    proptest! {
        #[test]
        fn any_text_is_a_condition_or_an_error(text in "\\PC{0,40}") {
            let _ = Filter::compile(None, &[text]);
        }

        #[test]
        fn a_record_passes_if_and_only_if_the_values_are_equal(wanted in scalar(), found in scalar()) {
            let record = json!({"x": 0, "field": found}).to_string();
            let condition = format!("/field={wanted}");
            prop_assert_eq!(passes(None, &[&condition], "", &record), wanted == found, "{} {}", condition, record);
            let same = json!({"field": wanted}).to_string();
            prop_assert!(passes(None, &[&condition], "", &same), "{} {}", condition, same);
        }
    }
}
