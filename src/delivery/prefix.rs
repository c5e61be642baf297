//! Prefix templates: which folder of the sink a record belongs to.

/// A parsed template such as `dt={event_time:%Y-%m-%d}/`.
#[derive(Debug, Clone)]
pub struct PrefixTemplate {}
