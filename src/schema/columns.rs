//! The columns of a file.

/// The columns of a columnar file, in order.
#[derive(Debug, Clone)]
pub struct Columns {}
