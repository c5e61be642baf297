//! Keywords for objects.

use jsonschema::Draft;
use serde_json::{Map, Value};

use super::super::node::{Dependent, NodeId, ObjectRules};
use super::scalar::compile_pattern;
use super::{Bail, Compiler, below, counts};

const KEYWORDS: [&str; 10] = [
    "properties",
    "patternProperties",
    "additionalProperties",
    "required",
    "minProperties",
    "maxProperties",
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
];

impl<'s> Compiler<'s> {
    pub(super) fn object(
        &mut self,
        schema: &'s Map<String, Value>,
        at: &str,
    ) -> Result<Option<Box<ObjectRules>>, Bail> {
        if !KEYWORDS.iter().any(|keyword| schema.contains_key(*keyword)) {
            return Ok(None);
        }
        let mut rules = ObjectRules::default();
        for (source, schema) in members(schema, "patternProperties", at)? {
            let pattern = compile_pattern(Some(source), at)?;
            let node = self.node_for(schema, below(&format!("{at}/patternProperties"), source));
            rules.patterns.push((pattern, node));
        }
        for (name, schema) in members(schema, "properties", at)? {
            // A declared property is no additional one, but patterns hold for it too.
            let node = self.node_for(schema, below(&format!("{at}/properties"), name));
            let also = rules.matching(name);
            let position = rules.ensure(name);
            rules.properties[position].node = node;
            rules.properties[position].also = also;
        }
        if let Some(additional) = schema.get("additionalProperties") {
            rules.additional = self.node_for(additional, format!("{at}/additionalProperties"));
        }
        for name in names(schema.get("required"), "required", at)? {
            let position = rules.ensure(name);
            rules.properties[position].required = true;
        }
        self.dependents(schema, at, &mut rules)?;
        if let Some(names) = schema.get("propertyNames") {
            rules.names = Some(self.node_for(names, format!("{at}/propertyNames")));
        }
        if let Some((min, max)) = counts(schema, ["minProperties", "maxProperties"], at)? {
            (rules.count_min, rules.count_max) = (min, max);
        }
        Ok(Some(Box::new(rules)))
    }

    /// `dependentRequired` and `dependentSchemas`, or their common forerunner `dependencies`.
    fn dependents(
        &mut self,
        schema: &'s Map<String, Value>,
        at: &str,
        rules: &mut ObjectRules,
    ) -> Result<(), Bail> {
        let keywords: &[&str] = if self.draft <= Draft::Draft7 {
            &["dependencies"]
        } else {
            &["dependentRequired", "dependentSchemas"]
        };
        for keyword in keywords {
            for (trigger, wanted) in members(schema, keyword, at)? {
                let mut needs = Vec::new();
                let mut node = None;
                if wanted.is_array() {
                    for name in names(Some(wanted), keyword, at)? {
                        needs.push(rules.ensure(name) as u32);
                    }
                } else {
                    let id = self.node_for(wanted, below(&format!("{at}/{keyword}"), trigger));
                    node = Some(id).filter(|&id| id != NodeId::ANY);
                }
                let trigger = rules.ensure(trigger) as u32;
                rules.dependents.push(Dependent { trigger, needs, node });
            }
        }
        Ok(())
    }
}

/// The members of the object that `keyword` has, if it is there.
fn members<'s>(
    schema: &'s Map<String, Value>,
    keyword: &str,
    at: &str,
) -> Result<impl Iterator<Item = (&'s String, &'s Value)> + use<'s>, Bail> {
    let members = match schema.get(keyword) {
        None => None,
        Some(Value::Object(members)) => Some(members),
        Some(_) => return Err(Bail::unclaimed(&format!("\"{keyword}\""), at)),
    };
    Ok(members.into_iter().flatten())
}

/// The strings of a list, if it is there.
fn names<'s>(list: Option<&'s Value>, keyword: &str, at: &str) -> Result<Vec<&'s str>, Bail> {
    let unclaimed = || Bail::unclaimed(&format!("\"{keyword}\""), at);
    let Some(list) = list else { return Ok(Vec::new()) };
    let list = list.as_array().ok_or_else(unclaimed)?;
    list.iter().map(|name| name.as_str().ok_or_else(unclaimed)).collect()
}
