//! Who sends a request, and what they may do.

pub mod pattern;
pub mod policy;
