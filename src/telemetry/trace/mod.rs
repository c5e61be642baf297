//! Traces: which one a request belongs to, and what of it is told to a collector.
//!
//! ```text
//! traceparent ─▶ Tracer::step ─▶ Step ─ the request ends ─▶ Span ─▶ waiting (bounded) ─▶ otlp
//!                parent-based    handed on to what is called next
//! ```

pub mod context;
mod span;
mod state;
mod tracer;

pub use context::{SpanId, TraceContext, TraceId};
pub use span::{Span, SpanKind, Value};
pub use tracer::{Recorded, Step, Tracer};
