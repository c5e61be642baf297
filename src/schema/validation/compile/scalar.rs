//! Keywords for strings and numbers.

use jsonschema::Draft;
use serde_json::{Map, Value};

use super::super::format::Format;
use super::super::kinds::Kinds;
use super::super::node::{NumberRules, StringRules};
use super::super::number::{Bound, Divisor, Number, Side};
use super::super::pattern::Pattern;
use super::{Bail, Compiler, counts};

/// The keyword `type`.
pub(super) fn kinds(types: &Value) -> Option<Kinds> {
    match types {
        Value::String(name) => Kinds::named(name),
        Value::Array(names) => {
            names.iter().try_fold(Kinds::NONE, |kinds, name| Some(kinds.with(Kinds::named(name.as_str()?)?)))
        }
        _ => None,
    }
}

impl Compiler<'_> {
    pub(super) fn string(
        &self,
        schema: &Map<String, Value>,
        at: &str,
    ) -> Result<Option<Box<StringRules>>, Bail> {
        let length = counts(schema, ["minLength", "maxLength"], at)?;
        let pattern = match schema.get("pattern") {
            None => None,
            Some(pattern) => Some(compile_pattern(pattern.as_str(), at)?),
        };
        let format = match schema.get("format").and_then(Value::as_str) {
            Some(name) if self.formats => Format::compile(name, self.draft),
            _ => None,
        };
        if length.is_none() && pattern.is_none() && format.is_none() {
            return Ok(None);
        }
        Ok(Some(Box::new(StringRules { length, pattern, format })))
    }

    pub(super) fn number(
        &self,
        schema: &Map<String, Value>,
        at: &str,
    ) -> Result<Option<Box<NumberRules>>, Bail> {
        let mut rules = NumberRules::default();
        let sides = [
            ("minimum", "exclusiveMinimum", Side::AtLeast, Side::Above),
            ("maximum", "exclusiveMaximum", Side::AtMost, Side::Below),
        ];
        for (inclusive, exclusive, side, strict_side) in sides {
            // In draft 4 the exclusive form is a switch beside the inclusive one.
            let switched = self.draft <= Draft::Draft4 && schema.get(exclusive) == Some(&Value::Bool(true));
            if let Some(limit) = schema.get(inclusive) {
                rules.bounds.push(bound(limit, if switched { strict_side } else { side }, at)?);
            }
            if self.draft > Draft::Draft4
                && let Some(limit) = schema.get(exclusive)
            {
                rules.bounds.push(bound(limit, strict_side, at)?);
            }
        }
        if let Some(divisor) = schema.get("multipleOf") {
            let divisor = divisor.as_number().and_then(|number| Divisor::parse(&number.to_string()));
            rules.multiple_of = Some(divisor.ok_or_else(|| Bail::unclaimed("\"multipleOf\"", at))?);
        }
        let none = rules.bounds.is_empty() && rules.multiple_of.is_none();
        Ok(if none { None } else { Some(Box::new(rules)) })
    }
}

pub(super) fn compile_pattern(source: Option<&str>, at: &str) -> Result<Pattern, Bail> {
    source.and_then(Pattern::compile).ok_or_else(|| {
        Bail::unclaimed(&format!("the regular expression '{}'", source.unwrap_or_default()), at)
    })
}

fn bound(limit: &Value, side: Side, at: &str) -> Result<Bound, Bail> {
    let number = limit.as_number().and_then(Number::of_json);
    let limit_text = limit.to_string().into();
    let limit = number.ok_or_else(|| Bail::unclaimed("a bound", at))?;
    Ok(Bound { side, limit, text: limit_text })
}
