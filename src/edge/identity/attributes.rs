//! What is said of a principal besides its name: claims of its token, or the context in an authorizer's answer.
//!
//! Texts, numbers and truth values are kept, and only so many: what is nested, and what goes beyond the bounds, is left
//! out. They come from whoever has proved the principal, never from the request itself.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::config::limits::{ATTRIBUTES_BYTES_MAX, ATTRIBUTES_MAX, FACT_BYTES_MAX, FACT_NAME_BYTES_MAX};

/// Who says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A token.
    Claims,
    /// An authorizer.
    Context,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A text, of [`FACT_BYTES_MAX`] at most.
    Text(Box<str>),
    /// A number or a truth value, as JSON has it.
    Plain(Box<str>),
}

impl Attribute {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => {
                let end = text.floor_char_boundary(FACT_BYTES_MAX);
                Some(Attribute::Text(text.get(..end)?.into()))
            }
            Value::Bool(_) | Value::Number(_) => Some(Attribute::Plain(value.to_string().into())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn text(&self) -> &str {
        match self {
            Attribute::Text(text) | Attribute::Plain(text) => text,
        }
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    origin: Origin,
    all: Box<[(Box<str>, Attribute)]>,
}

impl Attributes {
    /// Those of `fields` that are kept, in their order; none if there are none.
    pub fn of(origin: Origin, fields: &Map<String, Value>) -> Option<Arc<Self>> {
        let mut left = ATTRIBUTES_BYTES_MAX;
        let mut all = Vec::new();
        for (name, value) in fields {
            if all.len() == ATTRIBUTES_MAX {
                break;
            }
            let is_name = (1..=FACT_NAME_BYTES_MAX).contains(&name.len());
            let Some(attribute) = Attribute::of(value).filter(|_| is_name) else { continue };
            if let Some(rest) = left.checked_sub(name.len() + attribute.text().len()) {
                left = rest;
                all.push((name.as_str().into(), attribute));
            }
        }
        (!all.is_empty()).then(|| Arc::new(Self { origin, all: all.into() }))
    }

    /// The one of that name, if `origin` says it.
    pub fn get(&self, origin: Origin, name: &str) -> Option<&Attribute> {
        let is_it = |(known, _): &&(Box<str>, Attribute)| **known == *name;
        self.all.iter().find(is_it).map(|(_, attribute)| attribute).filter(|_| origin == self.origin)
    }

    /// Bytes of memory that they have taken.
    pub fn bytes(&self) -> usize {
        let of = |(name, attribute): &(Box<str>, Attribute)| name.len() + attribute.text().len();
        size_of::<Self>() + size_of_val(&*self.all) + self.all.iter().map(of).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of(value: Value) -> Option<Arc<Attributes>> {
        Attributes::of(Origin::Claims, value.as_object().unwrap())
    }

    #[test]
    fn texts_numbers_and_truth_values_are_kept_and_nothing_else() {
        let value = json!({
            "t": "ä\"\n", "i": -7, "f": 1.5, "b": false, "n": null, "l": [1], "o": { "x": 1 }, "": "x",
        });
        let kept = of(value).unwrap();
        let plain = |text: &str| Attribute::Plain(text.into());
        for (name, wanted) in [
            ("t", Some(Attribute::Text("ä\"\n".into()))),
            ("i", Some(plain("-7"))),
            ("f", Some(plain("1.5"))),
            ("b", Some(plain("false"))),
            ("n", None),
            ("l", None),
            ("o", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(kept.get(Origin::Claims, name), wanted.as_ref(), "{name}");
            assert_eq!(kept.get(Origin::Context, name), None, "{name}");
        }
        assert!(of(json!({ "l": [] })).is_none());
    }

    #[test]
    fn what_is_too_much_is_left_out_and_a_long_text_is_cut() {
        let many: Map<String, Value> =
            (0..=ATTRIBUTES_MAX).map(|number| (format!("n{number}"), json!(number))).collect();
        let kept = Attributes::of(Origin::Context, &many).unwrap();
        assert!(kept.get(Origin::Context, &format!("n{}", ATTRIBUTES_MAX - 1)).is_some());
        assert_eq!(kept.get(Origin::Context, &format!("n{ATTRIBUTES_MAX}")), None);
        let long = "ä".repeat(FACT_BYTES_MAX);
        let kept = of(json!({ "a": long, "b": long, "c": long, "d": 1, "x".repeat(200): 1 })).unwrap();
        assert_eq!(kept.get(Origin::Claims, "a").map(|it| it.text().len()), Some(FACT_BYTES_MAX));
        assert_eq!(kept.get(Origin::Claims, "c"), None, "there is no room for a second one and its name");
        assert!(kept.get(Origin::Claims, "d").is_some());
        assert_eq!(kept.get(Origin::Claims, &"x".repeat(200)), None);
    }

    proptest! {
        #[test]
        fn whatever_is_said_takes_no_more_than_its_bound(
            fields in prop::collection::hash_map(
                ".{0,200}",
                prop_oneof![
                    any::<f64>().prop_map(|number| json!(number)),
                    any::<bool>().prop_map(|it| json!(it)),
                    ".{0,3000}".prop_map(|text| json!(text)),
                    Just(json!([{}])),
                ],
                0..80,
            ),
        ) {
            let fields: Map<String, Value> = fields.into_iter().collect();
            if let Some(kept) = Attributes::of(Origin::Claims, &fields) {
                let overhead = ATTRIBUTES_MAX * size_of::<(Box<str>, Attribute)>() + size_of::<Attributes>();
                prop_assert!(kept.bytes() <= ATTRIBUTES_BYTES_MAX + overhead);
            }
        }
    }
}
