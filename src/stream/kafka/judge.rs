//! The verdict on a record that nobody of us has judged before it was in the topic.

use std::cell::RefCell;

use serde_json::Value;

use crate::json::Scanner;
use crate::record::Content;
use crate::schema::validation::{Plan, SchemaError, Scratch, Verdict};

thread_local! {
    /// One a thread: its buffers are reused from record to record.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// Judges records while they are read. The verdict depends on nothing but the record, so it is the same whenever and
/// wherever it is read.
#[derive(Debug)]
pub struct Judge {
    content: Content,
    plan: Plan,
}

impl Judge {
    /// For payloads that are to be `content` and, where there is one, are to fit `schema`.
    ///
    /// # Errors
    /// If the schema cannot be compiled.
    pub fn new(content: Content, schema: Option<&Value>) -> Result<Self, SchemaError> {
        Ok(Self { content, plan: Plan::compile(schema, &[])? })
    }

    /// What payloads are.
    pub fn content(&self) -> Content {
        self.content
    }

    /// What is to be said against a payload: the reason code, a space, and the message.
    pub fn refusal(&self, payload: &[u8]) -> Option<String> {
        if self.content == Content::Any {
            return None;
        }
        let text = match std::str::from_utf8(payload) {
            Ok(text) => text,
            Err(error) => return Some(format!("json invalid UTF-8 at byte {}", error.valid_up_to())),
        };
        SCRATCH.with_borrow_mut(|scratch| {
            let mut scanner = Scanner::new(text);
            let verdict = self.plan.check(&mut scanner, scratch);
            match verdict.and_then(|verdict| scanner.end().map(|()| verdict)) {
                Ok(Verdict::Fits) => None,
                Ok(Verdict::Breaks) => {
                    let violation = scratch.violation().map(ToString::to_string).unwrap_or_default();
                    Some(format!("schema {violation}"))
                }
                Err(error) => Some(format!("json {error}")),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_that_is_no_json_or_breaks_the_schema_is_refused_with_its_reason() {
        let schema = json!({"type": "object", "required": ["a"]});
        let judge = Judge::new(Content::Json, Some(&schema)).unwrap();
        assert_eq!(judge.refusal(b"{\"a\":1}"), None);
        assert!(judge.refusal(b"{\"b\":1}").unwrap().starts_with("schema "));
        for text in [&b""[..], b"{", b"no", b"\xff", b"{} {}"] {
            assert!(judge.refusal(text).unwrap().starts_with("json "), "{text:?}");
        }
        let any = Judge::new(Content::Any, None).unwrap();
        assert_eq!(any.refusal(b"\xff"), None);
    }
}
