//! `$ref` within the document.

use jsonschema::Draft;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::super::node::NodeId;
use super::{Bail, Compiler};

impl Compiler<'_> {
    /// The node that a reference of the form `#/$defs/name` or `#` leads to.
    pub(super) fn resolve(&mut self, reference: &Value, at: &str) -> Result<NodeId, Bail> {
        let unclaimed = || Bail::unclaimed(&format!("\"$ref\": {reference}"), at);
        let fragment = reference.as_str().and_then(|text| text.strip_prefix('#')).ok_or_else(unclaimed)?;
        let pointer = percent_decode_str(fragment).decode_utf8().map_err(|_| unclaimed())?;
        if self.passes_another_resource(&pointer) {
            return Err(unclaimed());
        }
        let target = self.document.pointer(&pointer).ok_or_else(unclaimed)?;
        if !matches!(target, Value::Object(_) | Value::Bool(_)) {
            return Err(unclaimed());
        }
        Ok(self.node_for(target, pointer.into_owned()))
    }

    /// Whether something on the way (the root aside) has an identifier of its own, so that references below it are
    /// not relative to the document.
    fn passes_another_resource(&self, pointer: &str) -> bool {
        let identifier = if self.draft <= Draft::Draft4 { "id" } else { "$id" };
        let ends = pointer.char_indices().skip(1).filter(|&(_, c)| c == '/').map(|(end, _)| end);
        ends.filter_map(|end| self.document.pointer(&pointer[..end]))
            .any(|passed| passed.get(identifier).is_some_and(Value::is_string))
    }
}
