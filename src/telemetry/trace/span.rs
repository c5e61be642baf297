//! A step of a trace that has ended.

use std::borrow::Cow;

use http::HeaderValue;

use super::context::{SpanId, TraceContext, TraceId};
use crate::runtime::clock::UnixMicros;

/// What a step is, in the words of OpenTelemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Work within this process.
    Internal = 1,
    /// A request that is answered.
    Server = 2,
    /// A request that is made.
    Client = 3,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// A step of a trace that has ended.
#[derive(Debug, Clone)]
pub struct Span {
    /// What it is called: of few values.
    pub name: Cow<'static, str>,
    /// What it is.
    pub kind: SpanKind,
    /// Its trace.
    pub trace: TraceId,
    /// Its own id.
    pub id: SpanId,
    /// The step that has caused it.
    pub parent: Option<SpanId>,
    /// `tracestate` of the trace.
    pub state: Option<HeaderValue>,
    /// When it began.
    pub start: UnixMicros,
    /// When it ended.
    pub end: UnixMicros,
    /// Details, by the names of the semantic conventions where there are any.
    pub attributes: Vec<(&'static str, Value)>,
    /// Steps of other traces that it is about as well.
    pub links: Vec<TraceContext>,
    /// Whether it has failed.
    pub is_error: bool,
}

impl Span {
    /// A step that `context` has caused, with an id of its own.
    pub fn of(context: &TraceContext, name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Self {
        Self {
            name: name.into(),
            kind,
            trace: context.trace,
            id: SpanId::new(),
            parent: Some(context.parent),
            state: context.state.clone(),
            start: UnixMicros::default(),
            end: UnixMicros::default(),
            attributes: Vec::new(),
            links: Vec::new(),
            is_error: false,
        }
    }

    /// The beginning of a trace.
    pub fn first(name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Self {
        let context = TraceContext::new(TraceId::new(), SpanId::new(), true);
        Self { id: context.parent, parent: None, ..Self::of(&context, name, kind) }
    }

    /// With times.
    #[must_use]
    pub fn between(self, start: UnixMicros, end: UnixMicros) -> Self {
        Self { start, end: end.max(start), ..self }
    }

    /// With one more attribute.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push((key, value.into()));
        self
    }

    /// The same, if there is a value.
    #[must_use]
    pub fn with_some(self, key: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }
}
