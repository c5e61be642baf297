//! Which records a delivery takes.

use std::sync::Arc;

use super::delivery::Delivery;

/// Which records a delivery takes, and what it does with the others.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// Those that fit its files; the others are dead letters.
    Fitting,
    /// A backup of all of them, as they came.
    All,
    /// A backup of those that this delivery makes dead letters, as they came; the others are passed over.
    FailedIn(Arc<Delivery>),
}
