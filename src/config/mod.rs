//! Configuration: raw (as written) → checked (every problem found at once) → built.
//!
//! Only the checked types of [`checked`] are used by the rest of the program, so no stage can meet a setting that
//! nobody looked at.

pub mod checked;
pub mod limits;
