//! Which keywords the compiled form claims.

use jsonschema::Draft;
use serde_json::Value;

/// Whether `keyword` has here the meaning that `draft` gives it, or none. Annotations are claimed in every draft:
/// where a draft does not know one, it has no meaning either.
pub(super) fn is_claimed(keyword: &str, value: &Value, draft: Draft, root: bool) -> bool {
    match keyword {
        "type" | "enum" | "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf"
        | "minLength" | "maxLength" | "pattern" | "format" => true,
        "properties"
        | "patternProperties"
        | "additionalProperties"
        | "required"
        | "minProperties"
        | "maxProperties" => true,
        "items" | "minItems" | "maxItems" | "uniqueItems" => true,
        "allOf" | "anyOf" | "oneOf" | "not" | "$ref" => true,
        "title" | "description" | "default" | "examples" | "$comment" | "deprecated" | "readOnly"
        | "writeOnly" | "definitions" | "$defs" => true,
        "const" | "contains" | "propertyNames" => draft >= Draft::Draft6,
        "if" | "then" | "else" => draft >= Draft::Draft7,
        "dependentRequired" | "dependentSchemas" | "minContains" | "maxContains" => {
            draft >= Draft::Draft201909
        }
        "prefixItems" => draft >= Draft::Draft202012,
        "additionalItems" => draft <= Draft::Draft201909,
        "dependencies" => draft <= Draft::Draft7,
        // Draft 7 may assert them; later drafts only annotate.
        "contentEncoding" | "contentMediaType" | "contentSchema" => draft >= Draft::Draft201909,
        // Below the root they change what references are relative to.
        "$schema" => root,
        "$id" => root && draft >= Draft::Draft6 && is_plain_identifier(value),
        "id" => root && draft <= Draft::Draft4 && is_plain_identifier(value),
        _ => false,
    }
}

/// Whether it names the document as a whole.
fn is_plain_identifier(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim_end_matches('#').contains('#'))
}
