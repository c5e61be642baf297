//! The scanner and `serde_json` on generated and damaged documents.

use proptest::prelude::*;
use serde_json::{Map, Number, Value};

use super::*;

/// Builds a value from the scanner's tokens.
fn build(scanner: &mut Scanner<'_>) -> Result<Value, SyntaxError> {
    let mut first = true;
    Ok(match scanner.peek()? {
        Kind::Null => scanner.null().map(|()| Value::Null)?,
        Kind::Bool => Value::Bool(scanner.bool()?),
        Kind::String => Value::String(scanner.string()?.decode().into_owned()),
        Kind::Number => {
            let raw = scanner.number()?;
            match (raw.as_u64().filter(|_| raw.text() != "-0"), raw.as_i64().filter(|_| raw.text() != "-0")) {
                (Some(unsigned), _) => unsigned.into(),
                (None, Some(signed)) => signed.into(),
                (None, None) => Value::Number(Number::from_f64(raw.as_f64()).unwrap()),
            }
        }
        Kind::Array => {
            scanner.enter_array()?;
            let mut items = Vec::new();
            while scanner.next_element(&mut first)? {
                items.push(build(scanner)?);
            }
            Value::Array(items)
        }
        Kind::Object => {
            scanner.enter_object()?;
            let mut members = Map::new();
            while let Some(key) = scanner.next_key(&mut first)? {
                let key = key.decode().into_owned();
                members.insert(key, build(scanner)?);
            }
            Value::Object(members)
        }
    })
}

fn build_all(text: &str) -> Result<Value, SyntaxError> {
    let mut scanner = Scanner::new(text);
    let value = build(&mut scanner)?;
    scanner.end()?;
    Ok(value)
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |double| double.is_finite()).prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        "[\\x00-\\x7f]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::btree_map("[a-c\"\\\\é\n]{0,3}", inner, 0..6)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    (document(), any::<bool>()).prop_map(|(document, pretty)| {
        if pretty { serde_json::to_string_pretty(&document).unwrap() } else { document.to_string() }
    })
}

/// Bytes that change the meaning of what stands around them.
const DAMAGE: &[u8] = b"{}[]:,\"\\ \n\t\0u/0123456789-+.eEtrfnalsdcx\x1f\x7f";

#[derive(Debug, Clone)]
enum Edit {
    Replace(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Cut(prop::sample::Index),
    Repeat(prop::sample::Index, prop::sample::Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = any::<prop::sample::Index>;
    let byte = prop::sample::select(DAMAGE);
    prop_oneof![
        (place(), byte.clone()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        (place(), byte).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        place().prop_map(Edit::Remove),
        place().prop_map(Edit::Cut),
        (place(), place()).prop_map(|(from, to)| Edit::Repeat(from, to)),
    ]
}

fn damage(text: String, edits: Vec<Edit>) -> Option<String> {
    let mut bytes = text.into_bytes();
    for edit in edits {
        if bytes.is_empty() {
            break;
        }
        match edit {
            Edit::Replace(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            Edit::Insert(at, byte) => bytes.insert(at.index(bytes.len()), byte),
            Edit::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
            Edit::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Edit::Repeat(from, to) => {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                let piece = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.extend(piece);
            }
        }
    }
    String::from_utf8(bytes).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn values_are_those_that_serde_json_reads(text in text()) {
        let reference: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(build_all(&text), Ok(reference));
        prop_assert_eq!(scan(&text), Ok(()));
    }

    #[test]
    fn damaged_texts_are_judged_as_serde_json_judges_them(
        text in text(),
        edits in prop::collection::vec(edit(), 1..4),
    ) {
        let Some(text) = damage(text, edits) else { return Ok(()) };
        let reference = serde_json::from_str::<Value>(&text);
        prop_assert_eq!(build_all(&text).ok(), reference.as_ref().ok().cloned(), "{:?}: {:?}", text, reference);
        match scan(&text) {
            // Duplicate keys are the one thing that only the strict scan refuses.
            Err(SyntaxError { kind: SyntaxErrorKind::DuplicateKey, .. }) => {}
            strict => prop_assert_eq!(strict.is_ok(), reference.is_ok(), "{:?}: {:?}", text, strict),
        }
    }

    #[test]
    fn any_text_at_all_is_judged_without_a_panic(text in "\\PC{0,40}") {
        prop_assert_eq!(build_all(&text).ok(), serde_json::from_str::<Value>(&text).ok());
    }
}
