//! Keywords for arrays.

use jsonschema::Draft;
use serde_json::{Map, Value};

use super::super::node::{ArrayRules, Contains, NodeId, Rule};
use super::{Bail, Compiler, count, counts};

impl<'s> Compiler<'s> {
    pub(super) fn array(
        &mut self,
        schema: &'s Map<String, Value>,
        at: &str,
    ) -> Result<Option<Box<ArrayRules>>, Bail> {
        let mut rules = ArrayRules::default();
        if let Some((min, max)) = counts(schema, ["minItems", "maxItems"], at)? {
            (rules.count_min, rules.count_max) = (min, max);
        }
        // Up to 2019-09 a list under `items` is what `prefixItems` is later, and `additionalItems` means nothing
        // without it.
        let (prefix, rest) = match schema.get("items") {
            Some(Value::Array(_)) if self.draft <= Draft::Draft201909 => ("items", "additionalItems"),
            _ => ("prefixItems", "items"),
        };
        match schema.get(prefix) {
            None => {}
            Some(Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    rules.prefix.push(self.node_for(item, format!("{at}/{prefix}/{index}")));
                }
            }
            Some(_) => return Err(Bail::unclaimed(&format!("\"{prefix}\""), at)),
        }
        match schema.get(rest) {
            None => {}
            Some(schema @ (Value::Object(_) | Value::Bool(_))) => {
                rules.rest = self.node_for(schema, format!("{at}/{rest}"));
            }
            Some(_) => return Err(Bail::unclaimed(&format!("\"{rest}\""), at)),
        }
        let none = rules.prefix.is_empty()
            && rules.rest == NodeId::ANY
            && rules.count_min == 0
            && rules.count_max == u64::MAX;
        Ok(if none { None } else { Some(Box::new(rules)) })
    }

    /// `contains` and `uniqueItems`, which need a second look.
    pub(super) fn array_rules(
        &mut self,
        schema: &'s Map<String, Value>,
        at: &str,
        rules: &mut Vec<Rule>,
    ) -> Result<(), Bail> {
        if let Some(contains) = schema.get("contains") {
            let node = self.node_for(contains, format!("{at}/contains"));
            let bound = |keyword: &str, default| match schema.get(keyword) {
                None => Ok(default),
                Some(value) => count(value).ok_or_else(|| Bail::unclaimed(&format!("\"{keyword}\""), at)),
            };
            let (count_min, count_max) = (bound("minContains", 1)?, bound("maxContains", u64::MAX)?);
            rules.push(Rule::Contains(Contains { node, count_min, count_max }));
        }
        match schema.get("uniqueItems") {
            None | Some(Value::Bool(false)) => {}
            Some(Value::Bool(true)) => rules.push(Rule::Unique),
            Some(_) => return Err(Bail::unclaimed("\"uniqueItems\"", at)),
        }
        Ok(())
    }
}
